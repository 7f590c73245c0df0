"""Check that what the database names is there, byte for byte, and that what is there is named."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import sqlalchemy as sa

from .. import audit
from ..blobs import digest
from ..database import locked, now
from ..problems import Problem
from ..registry import Registry
from ..schema import blob, claim, file, head, journal, project, release
from .gc import references


class Finding(NamedTuple):
    """``kind`` is stable; ``fix`` says what to do. ``harmless`` costs space at most."""

    kind: str
    subject: str
    what: str
    fix: str
    harmless: bool = False


RESTORE = (
    "Restore the bytes from a backup (`ldt registry restore --bytes-only`), or upload the same file again."
)
REPAIR = "`ldt registry fsck --repair` mends it."


def check(registry: Registry, *, quick: bool = False) -> list[Finding]:
    """Every finding. Reads all bytes, unless ``quick``: then only their sizes. Uploads may go on meanwhile."""
    with registry.database.read() as connection:
        found = [*_rows(connection), *_counts(connection)]
        named = {row.sha256: row for row in connection.execute(sa.select(blob))}
        needed = {
            name for c in references() for name in connection.scalars(sa.select(c).where(c.is_not(None)))
        }
        claimed = set(connection.scalars(sa.select(claim.c.sha256)))
    for name, row in sorted(named.items()):
        if name in needed:
            found += _bytes(registry, name, row.size, quick=quick)
    for name in registry.blobs.names():
        if name not in named and not _known_by_now(registry, name):
            what = "bytes that no row names"
            found.append(Finding("unknown-bytes", name, what, REPAIR, harmless=True))
    for name in sorted(set(named) - needed - claimed):
        if named[name].state == "live":
            what = "a row that nothing refers to"
            found.append(Finding("unused-row", name, what, "It will be collected.", harmless=True))
    return found


def repair(registry: Registry, findings: list[Finding]) -> int:
    """Mend what can be mended without losing anything; how many."""
    count = 0
    for finding in findings:
        with registry.database.write() as connection:
            if finding.kind == "unknown-bytes":
                size = registry.blobs.size(finding.subject)
                if size is None or _known(connection, finding.subject):
                    continue
                row = {
                    "sha256": finding.subject,
                    "size": size,
                    "state": "pending",
                    "touched": now(connection),
                }
                connection.execute(sa.insert(blob).values(**row))  # the collector takes it when it is old
            elif finding.kind == "project-size":
                named = project.c.norm_name == finding.subject
                connection.execute(locked(connection, sa.select(project.c.id).where(named)))
                size = _size_of(connection, finding.subject)
                connection.execute(sa.update(project).where(named).values(size=size))
            else:
                continue
            audit.record(connection, "system", "repaired", finding.subject, kind=finding.kind)
            count += 1
    return count


def _bytes(registry: Registry, name: str, size: int, *, quick: bool) -> Iterator[Finding]:
    found = registry.blobs.size(name)
    if found is None:
        yield Finding("bytes-missing", name, "bytes that a row names are not there", RESTORE)
    elif found != size:
        yield Finding("bytes-damaged", name, f"{found} bytes are there, the row says {size}", RESTORE)
    elif not quick:
        try:
            counted = digest(registry.blobs, name)
        except Problem as exc:
            yield Finding("bytes-unreadable", name, exc.what, RESTORE)
        else:
            if counted != name:
                yield Finding("bytes-damaged", name, f"the bytes have the SHA-256 {counted}", RESTORE)


def _rows(connection: sa.Connection) -> Iterator[Finding]:
    """What constraints cannot say."""
    flaw = audit.verify(connection)
    if flaw is not None:
        yield Finding("audit-broken", str(flaw.id), flaw.what, "Find out who could write to the database.")
    differing = (
        sa.select(file.c.filename)
        .join(blob, blob.c.sha256 == file.c.sha256)
        .where(sa.or_(file.c.size != blob.c.size, blob.c.state != "live"))
    )
    for name in connection.scalars(differing):
        yield Finding("file-without-blob", name, "its bytes are not live, or of another size", RESTORE)
    strays = sa.select(file.c.filename).join(release).where(release.c.project_id != file.c.project_id)
    for name in connection.scalars(strays):
        yield Finding(
            "stray-file",
            name,
            "its release belongs to another project",
            "This is a fault of the registry: report it.",
        )


def _counts(connection: sa.Connection) -> Iterator[Finding]:
    epoch, serial = connection.execute(sa.select(head.c.epoch, head.c.serial)).one()
    count, first, last = connection.execute(
        sa.select(sa.func.count(), sa.func.min(journal.c.serial), sa.func.max(journal.c.serial)).select_from(
            journal
        )
    ).one()
    if count and (last != serial or last - first + 1 != count):
        what = f"{count} entries from {first} to {last}, the head is at {serial}"
        yield Finding("journal-gap", epoch, what, "Start a new epoch: restore a backup.")
    ahead = sa.select(project.c.norm_name).where(project.c.serial > serial)
    for name in connection.scalars(ahead):
        yield Finding(
            "serial-ahead",
            name,
            "its serial is above the head's",
            "This is a fault of the registry: report it.",
        )
    total = sa.func.coalesce(sa.func.sum(file.c.size), 0).label("total")
    sizes = sa.select(project.c.norm_name, project.c.size, total).outerjoin(
        file, file.c.project_id == project.c.id
    )
    for row in connection.execute(sizes.group_by(project.c.id, project.c.norm_name, project.c.size)):
        if row.size != row.total:
            what = f"its files are {row.total} bytes, its row says {row.size}"
            yield Finding("project-size", row.norm_name, what, REPAIR, harmless=True)


def _size_of(connection: sa.Connection, name: str) -> int:
    """Bytes of all files of a project."""
    of = sa.select(sa.func.sum(file.c.size)).join(project).where(project.c.norm_name == name)
    return int(connection.scalar(of) or 0)


def _known(connection: sa.Connection, name: str) -> bool:
    return connection.scalar(sa.select(blob.c.size).where(blob.c.sha256 == name)) is not None


def _known_by_now(registry: Registry, name: str) -> bool:
    """An upload may have begun after the rows were read."""
    with registry.database.read() as connection:
        return _known(connection, name)
