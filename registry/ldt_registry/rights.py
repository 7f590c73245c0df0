"""Who may do what: the one place that decides. Every function raises a problem, or says what follows.

| | upload | make a project | yank, mark | roles, trusted publishers | members, namespaces |
|---|---|---|---|---|---|
| publisher of project or organisation | yes | in the organisation's namespace | | | |
| maintainer | yes | the same | yes | | |
| owner (the account, or owners of the organisation) | yes | the same | yes | yes | yes |
| trusted publisher | its projects | the pending one | | | |
| moderator | | | yes | | |
| admin | | reserved names, too | yes | yes | yes |

A token can only narrow this, by its scopes. All of it is asked within the transaction of the change itself, with the
rights as they stand then.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from .database import locked, now
from .limits import Limit, spend
from .names import prefixes
from .problems import Conflict, Forbidden, Missing
from .registry import Registry
from .schema import (
    account,
    file,
    membership,
    namespace,
    org,
    project,
    project_role,
    publisher,
    release,
    token,
)
from .tokens import Identity, renew

PER_HOUR = timedelta(hours=1)
CARE = ("owner", "maintainer")
ROLES = ("owner", "maintainer", "publisher")


@dataclass(frozen=True)
class Owner:
    """To whom a new project will belong."""

    org_id: int | None
    account_id: int | None


def require_upload(
    connection: sa.Connection, identity: Identity, name: str, canonical: str
) -> sa.Row[Any] | Owner:
    """The project of a normalised name that the identity may upload this version to, or the owner of the one to be made."""
    identity = renew(connection, identity)
    found = connection.execute(sa.select(project).where(project.c.norm_name == name)).one_or_none()
    creates = f"create:{name}" in identity.scopes
    if found is None:
        if not identity.allows("upload", name) and not (creates and not _is_used(connection, identity)):
            raise _lacks("upload", f"upload:{name}", f"create:{name}")
        return owner_of_new(connection, identity, name)
    if not identity.allows("upload", name) and not (
        creates and _made_release(connection, identity, found.id, canonical)
    ):
        raise _lacks("upload", f"upload:{name}")
    if role_in(connection, identity, found) is None:
        raise Forbidden(
            f"The project {name!r} is not yours.", fix="Ask an owner of it to give your account a role."
        )
    return found


def settle(
    registry: Registry, connection: sa.Connection, identity: Identity, name: str, project_id: int
) -> None:
    """A project was made: what was granted once is used up, and a pending publisher has its project."""
    limit = Limit("new-project", registry.settings.projects_per_hour, PER_HOUR)
    if identity.account_id is not None:
        spend(connection, limit, str(identity.account_id))
    if not identity.allows("upload", name):
        once = sa.update(token).where(token.c.id == identity.token_id, token.c.used.is_(False))
        if connection.execute(once.values(used=True)).rowcount != 1:
            raise _lacks("upload", f"upload:{name}")
    connection.execute(
        sa.update(publisher)
        .where(publisher.c.id == identity.publisher_id, publisher.c.pending_name == name)
        .values(project_id=project_id, pending_name=None, not_after=None)
    )


def require_care(connection: sa.Connection, identity: Identity, name: str) -> sa.Row[Any]:
    """The project whose releases the identity may yank, restore and mark."""
    identity = renew(connection, identity)
    if not identity.allows("yank", name):
        raise _lacks("yank", f"yank:{name}")
    found = connection.execute(sa.select(project).where(project.c.norm_name == name)).one_or_none()
    if found is None or not (
        identity.role in ("moderator", "admin") or role_in(connection, identity, found) in CARE
    ):
        raise Forbidden(f"There is no project {name!r} in your care.", fix="Ask an owner of it.")
    return found


def require_project_owner(connection: sa.Connection, identity: Identity, name: str) -> sa.Row[Any]:
    """The project whose roles and trusted publishers the identity may change."""
    identity = _manager(connection, identity)
    found = connection.execute(sa.select(project).where(project.c.norm_name == name)).one_or_none()
    if found is None or not (identity.role == "admin" or role_in(connection, identity, found) == "owner"):
        raise Forbidden(f"There is no project {name!r} that you own.", fix="Ask an owner of it.")
    return found


def require_org(connection: sa.Connection, identity: Identity, name: str, *roles: str) -> sa.Row[Any]:
    """The organisation in which the identity has one of the roles (default: owner)."""
    identity = _manager(connection, identity)
    query = locked(connection, sa.select(org).where(org.c.name == name))
    found = connection.execute(query).one_or_none()
    if found is None:
        raise Missing(f"There is no organisation {name!r}.", fix="Look at `ldt registry org list`.")
    if identity.role != "admin" and _org_role(connection, identity, found.id) not in (roles or ("owner",)):
        raise Forbidden(f"You are no {' or '.join(roles or ('owner',))} of {name!r}.", fix="Ask an owner.")
    return found


def require_role(connection: sa.Connection, identity: Identity, *roles: str) -> Identity:
    """The identity as it stands now, with one of these roles in the registry; an admin has all."""
    identity = _manager(connection, identity)
    if identity.role not in (*roles, "admin"):
        raise Forbidden(
            f"That needs the role {' or '.join(roles or ('admin',))}.", fix="Ask an administrator."
        )
    return identity


def require_self(connection: sa.Connection, identity: Identity, account_id: int) -> Identity:
    """What one may do for one's own account, and an administrator for every one."""
    identity = _manager(connection, identity)
    if identity.role != "admin" and identity.account_id != account_id:
        raise Forbidden("That is another's account.", fix="Ask an administrator.")
    return identity


def role_in(connection: sa.Connection, identity: Identity, row: sa.Row[Any]) -> str | None:
    """The role in a project: owner, maintainer, publisher, or none."""
    if identity.publisher_id is not None:
        return "publisher" if _is_trusted(connection, identity, project_id=row.id) else None
    if identity.account_id is None:
        return "owner" if identity.role == "admin" and not identity.token_id else None
    if row.account_id == identity.account_id:
        return "owner"
    given = connection.scalar(
        sa.select(project_role.c.role).where(
            project_role.c.project_id == row.id, project_role.c.account_id == identity.account_id
        )
    )
    held = {given, _org_role(connection, identity, row.org_id)}
    return next((role for role in ROLES if role in held), None)


def holder(connection: sa.Connection, name: str) -> sa.Row[Any] | None:
    """The granted namespace with the longest prefix under which a normalised name falls."""
    return connection.execute(
        sa.select(namespace)
        .where(namespace.c.prefix.in_(prefixes(name)), is_granted(connection))
        .order_by(sa.func.length(namespace.c.prefix).desc())
    ).first()


def is_granted(connection: sa.Connection) -> sa.ColumnElement[bool]:
    """A grant ends by itself where its proof is not found again."""
    alive = sa.or_(namespace.c.not_after.is_(None), namespace.c.not_after > now(connection))
    return sa.and_(namespace.c.state == "granted", alive)


def _manager(connection: sa.Connection, identity: Identity) -> Identity:
    identity = renew(connection, identity)
    if not identity.allows("manage"):
        raise _lacks("manage")
    return identity


def _lacks(*scopes: str) -> Forbidden:
    return Forbidden(
        f"This token may not do that: it would need the scope {' or '.join(scopes)}.",
        code="scope",
        fix="Use another token, or make one with that scope.",
    )


def _is_used(connection: sa.Connection, identity: Identity) -> bool:
    return bool(connection.scalar(sa.select(token.c.used).where(token.c.id == identity.token_id)))


def _made_release(connection: sa.Connection, identity: Identity, project_id: int, canonical: str) -> bool:
    """Whether this token made the project with this release: its other files belong to the one use."""
    first = sa.select(release.c.id, release.c.canonical).where(release.c.project_id == project_id)
    releases = connection.execute(first.limit(2)).all()
    if len(releases) != 1 or releases[0].canonical != canonical:
        return False
    mine = sa.select(file.c.id).where(
        file.c.release_id == releases[0].id, file.c.uploaded_by == identity.actor
    )
    return connection.scalar(mine.limit(1)) is not None


def _is_trusted(connection: sa.Connection, identity: Identity, **where: Any) -> bool:
    """Whether a publisher of the same issuer is trusted there; which claims it has was asked when the token was made."""
    mine = sa.select(publisher.c.issuer_id).where(publisher.c.id == identity.publisher_id).scalar_subquery()
    same = [publisher.c[k] == v for k, v in where.items()]
    query = sa.select(publisher.c.id).where(publisher.c.issuer_id == mine, *same).limit(1)
    return connection.scalar(query) is not None


def _org_role(connection: sa.Connection, identity: Identity, org_id: int | None) -> str | None:
    if org_id is None or identity.account_id is None:
        return None
    role = sa.select(membership.c.role).where(
        membership.c.org_id == org_id, membership.c.account_id == identity.account_id
    )
    found = connection.scalar(role)
    return None if found is None else str(found)


def owner_of_new(connection: sa.Connection, identity: Identity, name: str) -> Owner:
    """Who will own a project that does not exist: a granted namespace is its organisation's."""
    pending = connection.execute(sa.select(publisher).where(publisher.c.pending_name == name)).one_or_none()
    owner = Owner(None, identity.account_id)
    if identity.publisher_id is not None:
        if pending is None or f"create:{name}" not in identity.scopes:
            raise Forbidden(f"This trusted publisher is not that of {name!r}.", fix="Add one for this name.")
        owner = Owner(pending.org_id, None if pending.org_id else pending.account_id)
    held = holder(connection, name)
    if held is not None:
        mine = _org_role(connection, identity, held.org_id) or (
            identity.publisher_id is not None and owner.org_id == held.org_id
        )
        if mine:
            return Owner(held.org_id, None)
        if not held.open:
            raise Conflict(
                f"Names that begin with {held.prefix!r} are held by an organisation.",
                code="namespace-held",
                fix="Choose another name, or become a member of that organisation.",
            )
    if pending is not None and identity.publisher_id is None and pending.not_after > now(connection):
        raise Conflict(
            f"{name!r} is kept for a trusted publisher until {pending.not_after:%Y-%m-%d}.",
            code="name-pending",
            fix="Choose another name.",
        )
    return owner


def account_named(connection: sa.Connection, name: str) -> sa.Row[Any]:
    found = connection.execute(sa.select(account).where(account.c.name == name)).one_or_none()
    if found is None:
        raise Missing(f"There is no account {name!r}.", fix="Look at `ldt registry user list`.")
    return found
