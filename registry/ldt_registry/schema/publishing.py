"""What is published: projects, releases, files, and the bytes behind them."""

from __future__ import annotations

import sqlalchemy as sa

from .base import Instant, Json, blob_key, hexadecimal, metadata, number, one_of, refers, sha256

project = sa.Table(
    "project",
    metadata,
    number(),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("norm_name", sa.Text, nullable=False, unique=True),
    sa.Column("skeleton", sa.Text, nullable=False, index=True),  # look-alikes share it
    refers("org_id", "org.id"),
    refers("account_id", "account.id"),
    sa.Column("status", sa.Text, nullable=False, server_default="active"),
    sa.Column("reason", sa.Text),
    sa.Column("replaced_by", sa.Text),
    sa.Column("serial", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("size", sa.BigInteger, nullable=False, server_default="0"),  # bytes of all files, for the quota
    sa.Column("created_at", Instant, nullable=False),
    one_of("status", "active", "archived", "quarantined", "deprecated"),
    sa.CheckConstraint("org_id IS NOT NULL OR account_id IS NOT NULL", name="owned"),
)

release = sa.Table(
    "release",
    metadata,
    number(),
    refers("project_id", "project.id", nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("canonical", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False, server_default="published"),
    sa.Column("yank_code", sa.Text),
    sa.Column("yank_text", sa.Text),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("published_at", Instant),
    sa.Column("summary", sa.Text),
    sa.Column("core_metadata", Json),  # parsed METADATA of the first wheel
    sa.UniqueConstraint("project_id", "canonical"),
    one_of("state", "draft", "published", "yanked", "quarantined"),
    sa.CheckConstraint(
        "state <> 'yanked' OR (yank_code IS NOT NULL AND yank_text IS NOT NULL)", name="yank_has_a_reason"
    ),
)

file = sa.Table(
    "file",
    metadata,
    number(),
    refers("project_id", "project.id", nullable=False),
    refers("release_id", "release.id", nullable=False),
    sa.Column("filename", sa.Text, nullable=False, unique=True),
    blob_key(nullable=False, index=True),
    sha256("blake2_256", nullable=False),
    blob_key("metadata_sha256", index=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("filetype", sa.Text, nullable=False),
    sa.Column("tags", Json, nullable=False),
    sa.Column("requires_python", sa.Text),
    sa.Column("uploaded_by", sa.Text, nullable=False),  # an actor, as in the audit
    sa.Column("uploaded_at", Instant, nullable=False),
    sa.Column("first_download", Instant),
    one_of("filetype", "bdist_wheel", "sdist"),
)

tombstone = sa.Table(
    "tombstone",
    metadata,
    sa.Column("filename", sa.Text, primary_key=True),
    sha256(nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("buried_at", Instant, nullable=False),
)

blob = sa.Table(
    "blob",
    metadata,
    sha256(primary_key=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("touched", Instant, nullable=False, index=True),
    one_of("state", "pending", "live", "condemned"),
    hexadecimal("sha256"),
)

claim = sa.Table(
    "claim",
    metadata,
    sa.Column("upload", sa.Text, primary_key=True),
    blob_key(primary_key=True, index=True),
    sa.Column("lease_until", Instant, nullable=False),
)
