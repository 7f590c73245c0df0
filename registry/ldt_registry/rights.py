"""Who may do what: the one place that decides. Every function raises Forbidden or Conflict, or says what follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from .problems import Conflict, Forbidden
from .schema import membership, namespace, project, project_role, publisher
from .tokens import Identity


@dataclass(frozen=True)
class Owner:
    """To whom a new project will belong."""

    org_id: int | None
    account_id: int | None


def require_upload(connection: sa.Connection, identity: Identity, name: str) -> sa.Row[Any] | Owner:
    """The project of a normalised name that the identity may upload to, or the owner of the one to be made."""
    found = connection.execute(sa.select(project).where(project.c.norm_name == name)).one_or_none()
    if found is None:
        _require_scope(identity, "upload", f"upload:{name}", f"create:{name}")
        return _owner_of_new(connection, identity, name)
    _require_scope(identity, "upload", f"upload:{name}")
    if not _holds(connection, identity, found):
        raise Forbidden(
            f"The project {name!r} is not yours.", fix="Ask an owner of it to give your account a role."
        )
    return found


def require_care(connection: sa.Connection, identity: Identity, name: str) -> sa.Row[Any]:
    """The project whose releases the identity may yank, restore and mark."""
    _require_scope(identity, "yank", f"yank:{name}")
    found = connection.execute(sa.select(project).where(project.c.norm_name == name)).one_or_none()
    if found is None or not (identity.role in ("moderator", "admin") or _holds(connection, identity, found)):
        raise Forbidden(f"There is no project {name!r} of yours.", fix="Ask an owner of it.")
    return found


def _require_scope(identity: Identity, *scopes: str) -> None:
    if not set(scopes) & set(identity.scopes):
        raise Forbidden(
            f"This token may not do that: it would need the scope {' or '.join(scopes)}.",
            fix="Use another token, or make one with that scope.",
        )


def _holds(connection: sa.Connection, identity: Identity, row: sa.Row[Any]) -> bool:
    if identity.publisher_id is not None:
        mine = publisher.c.id == identity.publisher_id
        return bool(connection.scalar(sa.select(publisher.c.project_id == row.id).where(mine)))
    if identity.account_id is None:
        return False
    if row.account_id == identity.account_id:
        return True
    role = sa.select(project_role.c.role).where(
        project_role.c.project_id == row.id, project_role.c.account_id == identity.account_id
    )
    return connection.scalar(role) is not None or _is_member(connection, identity, row.org_id)


def _is_member(connection: sa.Connection, identity: Identity, org_id: int | None) -> bool:
    if org_id is None or identity.account_id is None:
        return False
    role = sa.select(membership.c.role).where(
        membership.c.org_id == org_id, membership.c.account_id == identity.account_id
    )
    return connection.scalar(role) is not None


def _owner_of_new(connection: sa.Connection, identity: Identity, name: str) -> Owner:
    """Who owns a project that does not exist; a granted namespace is its organisation's."""
    prefixes = ["-".join(name.split("-")[:n]) for n in range(1, name.count("-") + 2)]
    held = connection.execute(
        sa.select(namespace.c.org_id, namespace.c.prefix, namespace.c.open)
        .where(namespace.c.prefix.in_(prefixes), namespace.c.state == "granted")
        .order_by(sa.func.length(namespace.c.prefix).desc())
    ).first()
    if held is not None:
        if _is_member(connection, identity, held.org_id):
            return Owner(held.org_id, None)
        if not held.open:
            raise Conflict(
                f"Names that begin with {held.prefix!r} are held by an organisation.",
                code="namespace-held",
                fix="Choose another name, or become a member of that organisation.",
            )
    if identity.publisher_id is not None:
        mine = connection.execute(sa.select(publisher).where(publisher.c.id == identity.publisher_id)).one()
        if mine.pending_name != name:
            raise Forbidden(f"This trusted publisher is not that of {name!r}.", fix="Add one for this name.")
        return Owner(mine.org_id, None if mine.org_id else mine.account_id)
    return Owner(None, identity.account_id)
