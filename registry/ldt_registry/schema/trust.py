"""Why one may trust it: runs of the suite, certificates, their standing, signed metadata."""

from __future__ import annotations

import sqlalchemy as sa

from .base import Instant, Json, blob_key, metadata, number, one_of, refers, sha256

cert_run = sa.Table(
    "cert_run",
    metadata,
    number(),
    sha256("subject", nullable=False, index=True),
    refers("file_id", "file.id"),
    refers("service_version_id", "service_version.id"),
    sa.Column("level", sa.Integer, nullable=False),
    sa.Column("suite", sa.Text),
    sa.Column("catalogue", sa.Text),
    sa.Column("state", sa.Text, nullable=False, server_default="waiting"),
    sa.Column("lease_until", Instant),
    sa.Column("holder", sa.Text),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("verdict", Json),
    blob_key("report_sha256", index=True),
    sa.Column("asked_by", sa.Text, nullable=False),
    sa.Column("asked_at", Instant, nullable=False),
    sa.Column("ended_at", Instant),
    one_of("state", "waiting", "running", "certified", "failed", "incomplete", "abandoned"),
)

certificate = sa.Table(
    "certificate",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sha256("subject", nullable=False, index=True),
    refers("run_id", "cert_run.id"),
    sa.Column("level", sa.Integer, nullable=False),
    sa.Column("catalogue", sa.Text, nullable=False),
    blob_key("bundle_sha256", nullable=False, index=True),
    sa.Column("issued", Instant, nullable=False),
    sa.Column("not_after", Instant, nullable=False, index=True),
    sa.CheckConstraint("not_after > issued", name="ends_after_issue"),
    sa.CheckConstraint("level IN (1, 2, 3)", name="level"),
)

cert_status = sa.Table(  # only ever added to: the newest row is what stands
    "cert_status",
    metadata,
    number(),
    refers("certificate_id", "certificate.id", nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("since", Instant, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    one_of("state", "good", "suspended", "revoked", "superseded", "expired"),
)

tuf_meta = sa.Table(
    "tuf_meta",
    metadata,
    sa.Column("role", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger, primary_key=True),
    sa.Column("content", sa.LargeBinary, nullable=False),
    sa.Column("signed_at", Instant, nullable=False),
    sa.Column("not_after", Instant, nullable=False),
)
