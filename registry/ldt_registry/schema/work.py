"""What happened and what is to be done: serials, audit, jobs, switches, reports."""

from __future__ import annotations

import sqlalchemy as sa

from .base import Instant, Json, metadata, number, one_of, refers, sha256

head = sa.Table(  # one row; whoever adds to the journal or the audit holds its lock, so both are without gaps
    "head",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("epoch", sa.Text, nullable=False),
    sa.Column("serial", sa.BigInteger, nullable=False),
    sa.Column("audit_id", sa.BigInteger, nullable=False),
    sha256("audit_hash", nullable=False),
    sa.CheckConstraint("id = 1", name="one_row"),
)

journal = sa.Table(
    "journal",
    metadata,
    sa.Column("serial", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("epoch", sa.Text, nullable=False),
    refers("project_id", "project.id"),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("detail", Json, nullable=False),
)

audit = sa.Table(  # only ever added to
    "audit",
    metadata,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False, index=True),
    sa.Column("subject", sa.Text, nullable=False, index=True),
    sa.Column("detail", sa.Text, nullable=False),  # canonical JSON, kept as it was hashed
    sha256("prev_hash", nullable=False),
    sha256("hash", nullable=False),
)

job = sa.Table(  # also the outbox: written in the transaction whose effects it stands for
    "job",
    metadata,
    number(),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("payload", Json, nullable=False),
    sa.Column("state", sa.Text, nullable=False, server_default="waiting"),
    sa.Column("lease_until", Instant),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("not_before", Instant, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("ended_at", Instant),
    sa.Column("error", sa.Text),
    sa.UniqueConstraint("kind", "key"),
    sa.Index(None, "state", "not_before"),
    one_of("state", "waiting", "running", "done", "failed"),
)

flag = sa.Table(
    "flag",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("on", sa.Boolean, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("since", Instant, nullable=False),
    one_of("name", "read-only", "no-uploads", "no-new-projects", "no-oidc", "no-certification"),
)

report = sa.Table(
    "report",
    metadata,
    number(),
    refers("project_id", "project.id", nullable=False),
    sa.Column("reporter", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False, server_default="open"),
    sa.Column("answer", sa.Text),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("answered_at", Instant),
    one_of("state", "open", "upheld", "dismissed"),
    sa.CheckConstraint("state = 'open' OR answer IS NOT NULL", name="an_answer"),
)

file_decision = sa.Table(
    "file_decision",
    metadata,
    sha256(primary_key=True),
    sa.Column("decision", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("at", Instant, nullable=False),
    one_of("decision", "allow", "block"),
)
