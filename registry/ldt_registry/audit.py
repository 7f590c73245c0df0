"""Who did what: each entry holds the hash of the one before it, so that a changed, removed or inserted entry shows.

The hash is SHA-256 over the canonical JSON of an entry. The head is kept beside the chain and published with the signed
metadata, so that cutting off the end shows, too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from .database import locked, now
from .schema import audit, head

START = "0" * 64


class Flaw(NamedTuple):
    """Where the chain is broken, and how."""

    id: int
    what: str


def record(connection: sa.Connection, actor: str, action: str, subject: str, **detail: Any) -> int:
    """Add one entry and return its number. ``detail`` is JSON and holds no secret."""
    last = connection.execute(locked(connection, sa.select(head.c.audit_id, head.c.audit_hash))).one()
    entry = {
        "id": last.audit_id + 1,
        "at": now(connection),
        "actor": actor,
        "action": action,
        "subject": subject,
        "detail": _canonical(detail),
        "prev_hash": last.audit_hash,
    }
    digest = _hash(entry)
    connection.execute(sa.insert(audit).values(**entry, hash=digest))
    connection.execute(sa.update(head).values(audit_id=entry["id"], audit_hash=digest))
    return int(last.audit_id) + 1


def verify(connection: sa.Connection) -> Flaw | None:
    """The first flaw of the chain, or nothing where it is whole."""
    number, before = 0, START
    for row in read(connection):
        number += 1
        if row["id"] != number:
            return Flaw(number, f"entry {number} is missing: the next is {row['id']}")
        if row["prev_hash"] != before:
            return Flaw(number, f"entry {number} does not follow the one before it")
        if _hash(row) != row["hash"]:
            return Flaw(number, f"entry {number} was changed after it was written")
        before = row["hash"]
    last = connection.execute(sa.select(head.c.audit_id, head.c.audit_hash)).one()
    if (last.audit_id, last.audit_hash) != (number, before):
        return Flaw(number + 1, f"the chain ends at entry {number}, its head is at {last.audit_id}")
    return None


def read(connection: sa.Connection) -> Iterator[dict[str, Any]]:
    """All entries, oldest first, a thousand at a time."""
    last = 0
    while True:
        query = sa.select(audit).where(audit.c.id > last).order_by(audit.c.id).limit(1000)
        rows = connection.execute(query).mappings().all()
        if not rows:
            return
        yield from (dict(row) for row in rows)
        last = rows[-1]["id"]


def _hash(entry: dict[str, Any]) -> str:
    said = {k: v for k, v in entry.items() if k != "hash"}
    at = said["at"]
    assert isinstance(at, datetime)
    said["at"] = at.astimezone(UTC).isoformat(timespec="microseconds")
    return hashlib.sha256(_canonical(said).encode()).hexdigest()


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
