"""What the tables share: names of constraints, instants, states, identifiers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Json = sa.JSON().with_variant(JSONB(), "postgresql")
Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # SQLite numbers only an INTEGER key by itself


class Instant(sa.TypeDecorator[datetime]):
    """An aware datetime in UTC; text of one width in SQLite, so that texts compare as instants do."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> Any:
        return dialect.type_descriptor(sa.String(27) if dialect.name == "sqlite" else self.impl_instance)

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> Any:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"an instant without a zone: {value}")
        value = value.astimezone(UTC)
        if dialect.name != "sqlite":
            return value
        return value.isoformat(timespec="microseconds").replace("+00:00", "Z")

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> datetime | None:
        if isinstance(value, str):
            return datetime.fromisoformat(value)
        return value.astimezone(UTC) if isinstance(value, datetime) else None


def number() -> sa.Column[int]:
    """A key that the database counts up."""
    return sa.Column("id", Big, primary_key=True, autoincrement=True)


def sha256(name: str = "sha256", **said: Any) -> sa.Column[str]:
    """A digest in lower-case hexadecimal."""
    return sa.Column(name, sa.String(64), **said)


def blob_key(name: str = "sha256", **said: Any) -> sa.Column[str]:
    """Bytes in the blob store: what is so named cannot be collected."""
    return sa.Column(name, sa.String(64), sa.ForeignKey("blob.sha256"), **said)


def refers(name: str, target: str, **said: Any) -> sa.Column[Any]:
    """A key of another table, indexed: deleting there looks here."""
    said.setdefault("index", not said.get("primary_key", False))
    kind = sa.Text() if target in TEXT_KEYS else Big
    return sa.Column(name, kind, sa.ForeignKey(target), **said)


TEXT_KEYS = {"component.id", "certificate.id", "advisory.id", "token.id"}


def one_of(column: str, *states: str) -> sa.CheckConstraint:
    listed = ", ".join(f"'{s}'" for s in states)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=column)


def hexadecimal(column: str) -> sa.CheckConstraint:
    """64 lower-case digits: a path is made from this, so nothing else may ever stand here."""
    return sa.CheckConstraint(f"length({column}) = 64 AND lower({column}) = {column}", name=column)
