"""What happens to a release after it was published: yanked, restored, deleted; and what stands over a whole project.

Each is one transaction with a line in journal and audit; the pages follow by themselves.
"""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from packaging.utils import canonicalize_version

from . import audit, journal
from .catalogue import refresh_project
from .database import now
from .names import normalise
from .problems import Forbidden, Missing, Problem, Refused
from .registry import Registry
from .rights import require_care
from .rules import refuse_switched_off
from .schema import certificate, component_release, file, project, release, sbom, tombstone
from .tokens import Identity, renew

YANK_CODES = ("broken", "insecure", "licence", "mistake", "superseded", "other")
STATUSES = ("active", "archived", "deprecated", "quarantined")
DELETABLE_FOR = timedelta(hours=72)


def yank(registry: Registry, identity: Identity, name: str, version: str, code: str, text: str) -> None:
    """Take a release from those that installers choose; an exact pin still finds it. A reason is owed."""
    if code not in YANK_CODES or not text.strip():
        raise Refused("A yank needs a reason.", fix=f"Say one of {', '.join(YANK_CODES)}, and a sentence.")
    _change(registry, identity, name, version, "yanked", yank_code=code, yank_text=" ".join(text.split()))


def restore(registry: Registry, identity: Identity, name: str, version: str) -> None:
    """Undo a yank."""
    _change(registry, identity, name, version, "published", yank_code=None, yank_text=None)


def _change(
    registry: Registry, identity: Identity, name: str, version: str, state: str, **reason: str | None
) -> None:
    with registry.database.write() as connection:
        journal.hold(connection)
        refuse_switched_off(connection, "read-only")
        owned, found = _find(connection, identity, name, version)
        if found.state not in ("published", "yanked"):
            raise Refused(f"The release {version} of {name} is {found.state}.", fix="Ask a moderator.")
        connection.execute(sa.update(release).where(release.c.id == found.id).values(state=state, **reason))
        _write_down(connection, identity, owned, f"release-{state}", version=found.version, **reason)


def mark(
    registry: Registry,
    identity: Identity,
    name: str,
    status: str,
    reason: str | None = None,
    replaced_by: str | None = None,
) -> None:
    """Say how a project stands (PEP 792). Only a moderator quarantines, or frees from it."""
    if status not in STATUSES:
        raise Refused(f"{status!r} is no status of a project.", fix=f"Say one of {', '.join(STATUSES)}.")
    if status != "active" and not (reason or "").strip():
        raise Refused(f"The status {status!r} needs a reason.", fix="Say it in a sentence.")
    with registry.database.write() as connection:
        journal.hold(connection)
        refuse_switched_off(connection, "read-only")
        owned = require_care(connection, identity, normalise(name))
        if "quarantined" in (status, owned.status) and renew(connection, identity).role not in (
            "moderator",
            "admin",
        ):
            raise Forbidden("Only a moderator quarantines a project, or frees it.", fix="Ask one.")
        connection.execute(
            sa.update(project)
            .where(project.c.id == owned.id)
            .values(status=status, reason=reason if status != "active" else None, replaced_by=replaced_by)
        )
        _write_down(connection, identity, owned, f"project-{status}", reason=reason, replaced_by=replaced_by)


def delete(registry: Registry, identity: Identity, name: str, filename: str, reason: str) -> None:
    """Delete one file for good; its name is never used again, and its bytes go with the next collection.

    An owner may within 72 hours, as long as nobody downloaded it and it is not certified; a moderator always.
    """
    if not reason.strip():
        raise Refused("A deletion needs a reason.", fix="Say it in a sentence.")
    with registry.database.write() as connection:
        journal.hold(connection)
        refuse_switched_off(connection, "read-only")
        owned = require_care(connection, identity, normalise(name))
        query = sa.select(file).where(file.c.project_id == owned.id, file.c.filename == filename)
        found = connection.execute(query).one_or_none()
        if found is None:
            raise Missing(f"{name} has no file {filename}.", fix="Look at its page.")
        certified = connection.scalar(
            sa.select(certificate.c.id).where(certificate.c.subject == found.sha256).limit(1)
        )
        late = now(connection) > found.uploaded_at + DELETABLE_FOR
        if renew(connection, identity).role not in ("moderator", "admin") and (
            late or found.first_download or certified
        ):
            raise Forbidden(
                f"{filename} is older than {DELETABLE_FOR}, was downloaded or is certified: others may rely on it.",
                fix="Yank the release, or ask a moderator.",
            )
        connection.execute(
            sa.insert(tombstone).values(
                filename=filename, sha256=found.sha256, reason=reason, buried_at=now(connection)
            )
        )
        connection.execute(sa.delete(sbom).where(sbom.c.file_id == found.id))
        connection.execute(sa.delete(file).where(file.c.id == found.id))
        left = connection.scalar(
            sa.select(sa.func.count()).select_from(file).where(file.c.release_id == found.release_id)
        )
        if not left:
            connection.execute(
                sa.delete(component_release).where(component_release.c.release_id == found.release_id)
            )
            connection.execute(sa.delete(release).where(release.c.id == found.release_id))
        connection.execute(
            sa.update(project).where(project.c.id == owned.id).values(size=project.c.size - found.size)
        )
        _write_down(
            connection, identity, owned, "file-deleted", filename=filename, sha256=found.sha256, reason=reason
        )


def note_download(registry: Registry, filename: str) -> None:
    """Remember that somebody has this file: from then on its owner cannot delete it.

    While the database is away it is the next download that is remembered: the bytes are on their way already.
    """
    with contextlib.suppress(Problem), registry.database.write() as connection:
        connection.execute(
            sa.update(file)
            .where(file.c.filename == filename, file.c.first_download.is_(None))
            .values(first_download=now(connection))
        )


def _find(
    connection: sa.Connection, identity: Identity, name: str, version: str
) -> tuple[sa.Row[Any], sa.Row[Any]]:
    owned = require_care(connection, identity, normalise(name))
    query = sa.select(release).where(
        release.c.project_id == owned.id, release.c.canonical == canonicalize_version(version)
    )
    found = connection.execute(query).one_or_none()
    if found is None:
        raise Missing(f"{name} has no release {version}.", fix="Look at its page.")
    return owned, found


def _write_down(
    connection: sa.Connection, identity: Identity, owned: sa.Row[Any], action: str, **said: Any
) -> None:
    audit.record(connection, identity.actor, action, owned.norm_name, **said)
    refresh_project(connection, owned.id)
    journal.append(connection, action, identity.actor, project_id=owned.id, **said)
