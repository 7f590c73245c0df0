"""A backup is a folder: every table as JSON lines, every blob under its digest, and ``backup.json``, which binds them.

It is of no database's own form: what was SQLite can be restored into PostgreSQL, and the other way. Bytes never change,
so a further backup into the same folder copies only what is new. A restored registry starts a new epoch: whoever
mirrored the lost changes must notice.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa

from .. import audit, journal, migrations
from ..blobs import Blobs, FileBlobs, digest
from ..database import now
from ..problems import Misconfigured
from ..registry import Registry
from ..schema import blob, claim, head, metadata, web_session
from ..schema.base import Big, Instant

FILE = "backup.json"
FORM = 1
LEASE = timedelta(hours=24)
# Claims belong to uploads under way, sessions to browsers: neither outlives the server.
LEFT_OUT = {claim.name, web_session.name}


class Saved(NamedTuple):
    rows: int
    blobs: int
    copied: int
    epoch: str
    serial: int


def backup(registry: Registry, folder: Path) -> Saved:
    """Write a backup while the registry works. What was there before stays valid until the last moment."""
    store = FileBlobs(folder)
    holder = f"backup-{secrets.token_hex(8)}"
    _hold_bytes(registry, holder)
    try:
        with registry.database.read() as connection:
            stood = journal.read_head(connection)
            state = folder / f"tables-{stood.epoch}-{stood.serial}-{secrets.token_hex(4)}"
            state.mkdir()
            tables = {t.name: _write_table(connection, t, state) for t in _tables()}
            names = list(connection.scalars(sa.select(blob.c.sha256).where(blob.c.state == "live")))
            taken = now(connection)
        copied = sum(copy_blob(registry.blobs, store, name) for name in names)
    finally:
        with registry.database.write() as connection:
            connection.execute(sa.delete(claim).where(claim.c.upload == holder))
    document = {
        "form": FORM,
        "revision": migrations.newest(),
        "taken": taken.isoformat(),
        "epoch": stood.epoch,
        "serial": stood.serial,
        "state": state.name,
        "tables": tables,
        "blobs": len(names),
    }
    _publish(folder / FILE, document)
    for old in folder.glob("tables-*"):
        if old != state:
            _remove(old)
    return Saved(sum(t["rows"] for t in tables.values()), len(names), copied, *stood)


def restore(registry: Registry, folder: Path) -> Saved:
    """Bring a backup back into a database without tables; its bytes come first. Starts a new epoch."""
    document = read_document(folder)
    if not _is_empty(registry):
        raise Misconfigured(
            "this registry is not empty", fix="Restore into a new home, or a new PostgreSQL database."
        )
    copied = restore_bytes(registry, folder)
    migrations.move(registry.database, document["revision"])
    rows = 0
    with registry.database.write() as connection:
        for name in _in_order(connection, document["tables"]):
            rows += _read_table(connection, name, folder / document["state"], document["tables"][name])
        stood = journal.new_epoch(connection)
        before = f"{document['epoch']}/{document['serial']}"
        audit.record(
            connection, "system", "registry-restored", before, epoch=stood.epoch, taken=document["taken"]
        )
    migrations.move(registry.database)
    return Saved(rows, document["blobs"], copied, *stood)


def _is_empty(registry: Registry) -> bool:
    """No tables, or those of a restore that was killed: the rows come in one transaction."""
    if migrations.current(registry.database) is None:
        return True
    with registry.database.read() as connection:
        return connection.scalar(sa.select(head.c.id)) is None


def restore_bytes(registry: Registry, folder: Path) -> int:
    """Bring back bytes that are missing or of another size here; how many."""
    store = FileBlobs(folder)
    return sum(copy_blob(store, registry.blobs, name) for name in store.names())


def read_document(folder: Path) -> dict[str, Any]:
    """What a backup says of itself, checked against its tables."""
    try:
        document: dict[str, Any] = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise Misconfigured(f"{folder} holds no finished backup: {exc}") from exc
    if document["form"] != FORM or document["revision"] not in migrations.revisions():
        raise Misconfigured(
            f"the backup is of revision {document['revision']}, which this program does not know",
            fix="Install a newer version of ldt-registry.",
        )
    for name, table in document["tables"].items():
        content = folder / document["state"] / f"{name}.jsonl"
        if not content.is_file() or hashlib.sha256(content.read_bytes()).hexdigest() != table["sha256"]:
            raise Misconfigured(f"the backup of the table {name} is damaged", fix="Take another backup.")
    return document


def copy_blob(source: Blobs, target: Blobs, name: str) -> bool:
    """Copy bytes unless they are there; true where they were copied. Raises ``Misconfigured`` where they are damaged."""
    size = source.size(name)
    if size is not None and target.size(name) == size:
        return False
    with target.stage() as staged:
        for piece in source.read(name):
            staged.write(piece)
        if staged.sha256.hexdigest() != name:
            raise Misconfigured(
                f"the bytes of {name} are damaged", fix="`ldt registry fsck` names all that are."
            )
        target.promote(staged)
    return True


def verify(folder: Path) -> int:
    """Read all bytes of a backup; the number of blobs. Raises ``Misconfigured`` where one is missing or damaged."""
    document, store = read_document(folder), FileBlobs(folder)
    wanted = {r["sha256"] for r in _lines(folder / document["state"] / "blob.jsonl") if r["state"] == "live"}
    for name in sorted(wanted):
        if store.size(name) is None or digest(store, name) != name:
            raise Misconfigured(f"the bytes of {name} are missing or damaged", fix="Take another backup.")
    return len(wanted)


def _hold_bytes(registry: Registry, holder: str) -> None:
    """Claim everything, so that what the backup names is not collected while it is copied."""
    with registry.database.write() as connection:
        until = now(connection) + LEASE
        live = sa.select(sa.literal(holder), blob.c.sha256, sa.literal(until, claim.c.lease_until.type))
        chosen = live.where(blob.c.state == "live")
        connection.execute(sa.insert(claim).from_select(["upload", "sha256", "lease_until"], chosen))


def _tables() -> list[sa.Table]:
    return [t for t in metadata.sorted_tables if t.name not in LEFT_OUT]


def _write_table(connection: sa.Connection, table: sa.Table, folder: Path) -> dict[str, Any]:
    count, hashed = 0, hashlib.sha256()
    with (folder / f"{table.name}.jsonl").open("wb") as file:
        for row in connection.execute(sa.select(table)).mappings():
            line = json.dumps(dict(row), default=_plain, ensure_ascii=False).encode() + b"\n"
            file.write(line)
            hashed.update(line)
            count += 1
    return {"rows": count, "sha256": hashed.hexdigest()}


def _read_table(connection: sa.Connection, name: str, folder: Path, said: dict[str, Any]) -> int:
    """Insert the rows by names: a table of an older revision may lack columns that the schema has."""
    rows = [_typed(name, row) for row in _lines(folder / f"{name}.jsonl")]
    if len(rows) != said["rows"]:
        raise Misconfigured(f"the backup of the table {name} is damaged", fix="Take another backup.")
    if not rows:
        return 0
    table = sa.table(name, *(sa.column(c, _type(name, c)) for c in rows[0]))
    for start in range(0, len(rows), 500):
        connection.execute(sa.insert(table), rows[start : start + 500])
    known = metadata.tables.get(name)
    if (
        connection.dialect.name == "postgresql"
        and known is not None
        and "id" in known.c
        and known.c.id.type is Big
    ):
        # The rows brought their numbers; the counter must go on above them.
        order = f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), (SELECT max(id) FROM {name}))"
        if known.c.id.autoincrement is True:
            connection.execute(sa.text(order))
    return len(rows)


def _in_order(connection: sa.Connection, names: dict[str, Any]) -> list[str]:
    """What is referred to comes first."""
    seen = sa.MetaData()
    seen.reflect(connection, only=lambda name, _: name in names)
    return [t.name for t in seen.sorted_tables]


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def _type(table: str, column: str) -> sa.types.TypeEngine[Any]:
    known = metadata.tables.get(table)
    return known.c[column].type if known is not None and column in known.c else sa.types.NULLTYPE


def _typed(table: str, row: dict[str, Any]) -> dict[str, Any]:
    typed = dict(row)
    for column, value in row.items():
        kind = _type(table, column)
        if isinstance(value, str) and isinstance(kind, Instant):
            typed[column] = datetime.fromisoformat(value)
        elif isinstance(value, str) and isinstance(kind, sa.LargeBinary):
            typed[column] = base64.b64decode(value)
    return typed


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"{value!r} is not JSON")


def _publish(path: Path, document: dict[str, Any]) -> None:
    """Whole or not at all."""
    fresh = path.with_suffix(".new")
    with fresh.open("w", encoding="utf-8") as file:
        json.dump(document, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _remove(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
