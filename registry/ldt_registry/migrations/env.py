"""Run by alembic with the connection that ``migrations`` opened; its transaction is the only one."""

from __future__ import annotations

from typing import Any, Literal

import sqlalchemy as sa
from alembic import context
from alembic.autogenerate.api import AutogenContext

from ldt_registry.schema import metadata
from ldt_registry.schema.base import Big, Instant, Json

BASE = "from ldt_registry.schema.base import Big, Instant, Json"


def render(kind: str, item: Any, made: AutogenContext) -> str | Literal[False]:
    """Types and defaults as the schema writes them, the same for both databases."""
    known = {id(Big): "Big", id(Json): "Json"}
    if kind == "type" and (id(item) in known or isinstance(item, Instant)):
        made.imports.add(BASE)
        return known.get(id(item), "Instant")
    if kind == "server_default" and isinstance(item.arg, sa.sql.elements.False_):
        return "sa.false()"
    return False


def is_ours(thing: Any, name: str | None, kind: str, *_: Any) -> bool:
    """SQLite's indexes of text look like tables that the schema does not know."""
    return not (kind == "table" and str(name).startswith(("search_text", "search_gram")))


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    transaction_per_migration=False,
    render_as_batch=context.config.attributes.get("batch", True),
    render_item=render,
    include_object=is_ours,
)
context.run_migrations()
