"""What can be found: components, their releases, services, bills of materials, advisories, texts to search."""

from __future__ import annotations

import sqlalchemy as sa

from .base import Instant, Json, blob_key, metadata, number, one_of, refers, sha256

component = sa.Table(
    "component",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("artifact", sa.Text, nullable=False),
    refers("project_id", "project.id"),
    refers("org_id", "org.id"),
    refers("account_id", "account.id"),
    sha256("manifest_sha256", nullable=False),  # of its newest version
    sa.Column("created_at", Instant, nullable=False),
    one_of("kind", "source", "model", "simulator", "viewer"),
    one_of("artifact", "wheel", "service", "image", "weights", "dataset"),
    sa.CheckConstraint("artifact <> 'wheel' OR project_id IS NOT NULL", name="a_wheel_has_a_project"),
)

component_release = sa.Table(
    "component_release",
    metadata,
    number(),
    refers("component_id", "component.id", nullable=False),
    refers("release_id", "release.id", nullable=False),
    sa.Column("manifest", Json, nullable=False),
    sha256("manifest_sha256", nullable=False),
    sa.Column(
        "about", Json, nullable=False, server_default="{}"
    ),  # what the publisher says of the distribution
    sa.UniqueConstraint("component_id", "release_id"),
)

service_version = sa.Table(
    "service_version",
    metadata,
    number(),
    refers("component_id", "component.id", nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    blob_key("openapi_sha256", nullable=False, index=True),
    sa.Column("image_digest", sa.Text),
    sa.Column("base_urls", Json, nullable=False),
    sa.Column("manifest", Json, nullable=False),
    sa.Column("state", sa.Text, nullable=False, server_default="published"),
    sa.Column("yank_code", sa.Text),
    sa.Column("yank_text", sa.Text),
    sa.Column("added_by", sa.Text, nullable=False),
    sa.Column("added_at", Instant, nullable=False),
    sa.UniqueConstraint("component_id", "version"),
    one_of("state", "published", "yanked", "quarantined"),
    sa.CheckConstraint(
        "state <> 'yanked' OR (yank_code IS NOT NULL AND yank_text IS NOT NULL)", name="yank_has_a_reason"
    ),
)

sbom = sa.Table(
    "sbom",
    metadata,
    refers("file_id", "file.id", primary_key=True),
    blob_key("sha256", nullable=False, index=True),
    sa.Column("origin", sa.Text, nullable=False),
    one_of("origin", "kept", "declared"),
)

advisory = sa.Table(
    "advisory",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("document", Json, nullable=False),  # OSV
    sa.Column("modified", Instant, nullable=False, index=True),
    sa.Column("withdrawn", Instant),
    sa.Column("exploited", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("aware_since", Instant),
    sa.Column("own", sa.Boolean, nullable=False),
)

advisory_project = sa.Table(
    "advisory_project",
    metadata,
    refers("advisory_id", "advisory.id", primary_key=True),
    sa.Column("norm_name", sa.Text, primary_key=True, index=True),
)

search_doc = sa.Table(  # one row for each component that can be found; its texts are folded, see ``words``
    "search_doc",
    metadata,
    refers("component_id", "component.id", primary_key=True),
    sa.Column("name", sa.Text, nullable=False, index=True),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("summary", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("facets", Json, nullable=False),
    sa.Column("level", sa.Integer, nullable=False, server_default="0"),  # of its certificate; 0 is none
    sa.Column("certified_until", Instant),
    sa.Column("changed_at", Instant, nullable=False, index=True),
)

search_facet = sa.Table(
    "search_facet",
    metadata,
    refers("component_id", "component.id", primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, primary_key=True),
    sa.Index("ix_search_facet_name_value", "name", "value"),
)

# Indexes of text, in the way of each database. SQLite's are tables of their own, written by ``catalogue``.
TEXT_INDEXES = {
    "sqlite": (
        "CREATE VIRTUAL TABLE search_text USING fts5(component_id UNINDEXED, name, title, summary, body, "
        "tokenize='porter unicode61', prefix='2 3')",
        "CREATE VIRTUAL TABLE search_gram USING fts5(component_id UNINDEXED, words, tokenize='trigram')",
    ),
    "postgresql": (
        "CREATE EXTENSION IF NOT EXISTS pg_trgm",
        "ALTER TABLE search_doc ADD COLUMN vector tsvector GENERATED ALWAYS AS ("
        "setweight(to_tsvector('english', name), 'A') || setweight(to_tsvector('english', title), 'B') || "
        "setweight(to_tsvector('english', summary), 'C') || setweight(to_tsvector('english', body), 'D')) STORED",
        "CREATE INDEX ix_search_doc_vector ON search_doc USING gin (vector)",
        "CREATE INDEX ix_search_doc_words ON search_doc USING gin ((name || ' ' || title) gin_trgm_ops)",
    ),
}
for _dialect, _statements in TEXT_INDEXES.items():
    for _statement in _statements:
        _made = sa.DDL(_statement).execute_if(dialect=_dialect)  # type: ignore[no-untyped-call]
        sa.event.listen(search_doc, "after_create", _made)
