"""The rules that an upload meets, asked in one transaction: what is switched off, whose it is, what stands there already."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from .database import now
from .distribution import Distribution
from .newcomers import refuse_new_name
from .problems import Conflict, Down, Forbidden, Refused, TooLarge
from .registry import Registry
from .rights import Owner, require_upload
from .schema import certificate, file, file_decision, flag, publisher, release, tombstone
from .tokens import Identity, renew

# A release is closed to new files this long after it was made, and at once when one of its files is certified.
CLOSED_AFTER = timedelta(days=14)


@dataclass(frozen=True)
class Standing:
    """What a file meets: its project or the owner of the one to be made, its release if there is one.

    ``published`` is true where these very bytes stand there under this name.
    """

    project: sa.Row[Any] | Owner
    release: sa.Row[Any] | None = None
    published: bool = False


def refuse_switched_off(connection: sa.Connection, *names: str) -> None:
    """Raises Down where one of these switches is on, with the operator's reason."""
    found = connection.execute(sa.select(flag).where(flag.c.name.in_(names), flag.c.on)).first()
    if found is not None:
        raise Down(f"This registry is switched to {found.name}: {found.reason}", code=found.name)


def ask(
    registry: Registry,
    connection: sa.Connection,
    identity: Identity,
    found: Distribution,
    sha256: str,
    size: int,
) -> Standing:
    """Every rule in turn. Raises the problem of the first that is broken."""
    refuse_switched_off(connection, "read-only", "no-uploads")
    owned = require_upload(connection, identity, found.norm_name, found.canonical)
    if _is_published(connection, found, sha256):
        return Standing(owned, published=True)
    _refuse_blocked(connection, sha256)
    if not isinstance(owned, Owner) and registry.settings.trusted_only:
        _refuse_untrusted(connection, identity, owned)
    if isinstance(owned, Owner):
        refuse_switched_off(connection, "no-new-projects")
        if renew(connection, identity).role != "admin":
            refuse_new_name(connection, found.norm_name, owned)
        return Standing(owned)
    if owned.status in ("archived", "quarantined"):
        raise Refused(
            f"The project {found.norm_name!r} is {owned.status}.", fix="Ask a moderator of this registry."
        )
    if owned.size + size > registry.settings.max_project:
        raise TooLarge(
            f"The files of {found.norm_name!r} would pass {registry.settings.max_project} bytes in all.",
            fix="Ask the operator for more room.",
        )
    where = (release.c.project_id == owned.id, release.c.canonical == found.canonical)
    existing = connection.execute(sa.select(release).where(*where)).one_or_none()
    if existing is not None:
        _refuse_closed(connection, existing)
        _refuse_twin(connection, existing, found)
    return Standing(owned, existing)


def _is_published(connection: sa.Connection, found: Distribution, sha256: str) -> bool:
    """Whether these bytes stand there under this name. Raises Conflict where other bytes do, or did."""
    there = connection.scalar(sa.select(file.c.sha256).where(file.c.filename == found.filename))
    if there == sha256:
        return True
    if there is not None:
        raise Conflict(
            f"{found.filename} is published already, with other bytes.",
            code="other-bytes",
            fix="Raise the version: a published file never changes.",
        )
    buried = connection.execute(
        sa.select(tombstone).where(tombstone.c.filename == found.filename)
    ).one_or_none()
    if buried is not None:
        raise Conflict(
            f"{found.filename} was published and deleted ({buried.reason}).",
            code="deleted-name",
            fix="Raise the version: the name of a file is never used again.",
        )
    return False


def _refuse_untrusted(connection: sa.Connection, identity: Identity, owned: sa.Row[Any]) -> None:
    trusted = sa.select(publisher.c.id).where(publisher.c.project_id == owned.id).limit(1)
    if identity.publisher_id is None and connection.scalar(trusted) is not None:
        raise Forbidden(
            f"{owned.norm_name!r} is published by its trusted publisher only.",
            code="trusted-only",
            fix="Publish from its pipeline, or remove the trusted publisher.",
        )


def _refuse_blocked(connection: sa.Connection, sha256: str) -> None:
    query = sa.select(file_decision).where(
        file_decision.c.sha256 == sha256, file_decision.c.decision == "block"
    )
    found = connection.execute(query).one_or_none()
    if found is not None:
        raise Refused(f"These bytes are blocked: {found.reason}", code="blocked", fix="Ask a moderator.")


def _refuse_closed(connection: sa.Connection, existing: sa.Row[Any]) -> None:
    """What was tested together is not added to."""
    if existing.state == "quarantined":
        raise Refused(f"The release {existing.version} is quarantined.", fix="Ask a moderator.")
    certified = sa.select(sa.func.count()).where(
        certificate.c.subject.in_(sa.select(file.c.sha256).where(file.c.release_id == existing.id))
    )
    if connection.scalar(certified):
        raise Refused(
            f"The release {existing.version} is certified, and takes no further file.",
            code="closed",
            fix="Raise the version.",
        )
    if now(connection) > existing.created_at + CLOSED_AFTER:
        raise Refused(
            f"The release {existing.version} is older than {CLOSED_AFTER.days} days, and takes no further file.",
            code="closed",
            fix="Raise the version.",
        )


def _refuse_twin(connection: sa.Connection, existing: sa.Row[Any], found: Distribution) -> None:
    """A second spelling of a name that is taken: an installer could choose either."""
    rows = connection.execute(
        sa.select(file.c.filename, file.c.tags).where(
            file.c.release_id == existing.id,
            file.c.filetype == found.filetype,
            file.c.filename
            != found.filename,  # its own, committed since it was looked for, is met at the end
        )
    )
    for row in rows:
        if list(row.tags) == list(found.tags):
            raise Conflict(
                f"{row.filename} serves the same version and platforms.",
                code="same-tags",
                fix="Raise the version, or keep the spelling of the first file.",
            )
