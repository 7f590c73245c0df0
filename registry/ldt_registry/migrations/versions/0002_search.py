"""What can be found, indexed by text and by facet. Its rows are made again from the components: ``catalogue.refresh_all``."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from ldt_registry.schema.base import Instant, Json

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

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


def _columns() -> list[sa.Column[object]]:
    return [
        sa.Column("component_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
    ]


def _keys() -> list[sa.Constraint]:
    return [
        sa.ForeignKeyConstraint(["component_id"], ["component.id"], name="fk_search_doc_component_id"),
        sa.PrimaryKeyConstraint("component_id", name="pk_search_doc"),
    ]


def upgrade() -> None:
    op.drop_table("search_doc")
    op.create_table(
        "search_doc",
        *_columns(),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("facets", Json, nullable=False),
        sa.Column("level", sa.Integer(), server_default="0", nullable=False),
        sa.Column("certified_until", Instant, nullable=True),
        sa.Column("changed_at", Instant, nullable=False),
        *_keys(),
    )
    op.create_index("ix_search_doc_name", "search_doc", ["name"])
    op.create_index("ix_search_doc_changed_at", "search_doc", ["changed_at"])
    for statement in TEXT_INDEXES[op.get_bind().dialect.name]:
        op.execute(statement)
    op.create_table(
        "search_facet",
        sa.Column("component_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["component_id"], ["component.id"], name="fk_search_facet_component_id"),
        sa.PrimaryKeyConstraint("component_id", "name", "value", name="pk_search_facet"),
    )
    op.create_index("ix_search_facet_name_value", "search_facet", ["name", "value"])
    with op.batch_alter_table("component_release") as batch:
        batch.add_column(sa.Column("about", Json, server_default="{}", nullable=False))


def downgrade() -> None:
    with op.batch_alter_table("component_release") as batch:
        batch.drop_column("about")
    op.drop_table("search_facet")
    op.drop_table("search_doc")
    if op.get_bind().dialect.name == "sqlite":
        op.drop_table("search_text")
        op.drop_table("search_gram")
    op.create_table(
        "search_doc",
        *_columns(),
        sa.Column("facets", Json, nullable=False),
        sa.Column("level", sa.Integer(), server_default="0", nullable=False),
        *_keys(),
    )
