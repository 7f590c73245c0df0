"""Organisations, who belongs to them, and what belongs to them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from . import audit, journal
from .accounts import require_simple
from .database import now
from .problems import Conflict, Malformed, Missing, Refused
from .registry import Registry
from .rights import ROLES, account_named, require_org, require_project_owner, require_role
from .schema import account, membership, org, project, project_role
from .tokens import Identity


def make(registry: Registry, maker: Identity, name: str, owner: str, *, title: str | None = None) -> int:
    """Make an organisation with its first owner. Raises Conflict, Malformed, Missing, Forbidden."""
    require_simple(name)
    with registry.database.write() as connection:
        identity = require_role(connection, maker, "user", "certifier", "moderator")
        first = account_named(connection, owner)
        if identity.role != "admin" and first.id != identity.account_id:
            raise Refused("The first owner is who makes it.", fix="Give others their roles afterwards.")
        if connection.scalar(sa.select(org.c.id).where(org.c.name == name)) is not None:
            raise Conflict(f"There is an organisation {name!r} already.", fix="Choose another name.")
        at = now(connection)
        row = sa.insert(org).values(name=name, title=title, created_at=at).returning(org.c.id)
        made = int(connection.execute(row).scalar_one())
        connection.execute(
            sa.insert(membership).values(org_id=made, account_id=first.id, role="owner", since=at)
        )
        audit.record(connection, maker.actor, "org-made", name, owner=owner)
        return made


def set_member(registry: Registry, maker: Identity, name: str, who: str, role: str | None) -> None:
    """Give an account a role in an organisation, or with None take it. One owner always stays."""
    if role is not None and role not in ROLES:
        raise Malformed(f"{role!r} is no role of a member.", fix=f"Say one of {', '.join(ROLES)}.")
    with registry.database.write() as connection:
        found = require_org(connection, maker, name)
        member = account_named(connection, who)
        mine = (membership.c.org_id == found.id, membership.c.account_id == member.id)
        gone = connection.execute(sa.delete(membership).where(*mine)).rowcount
        if role is None and not gone:
            raise Missing(f"{who!r} is no member of {name!r}.", fix="Look at `ldt registry org list`.")
        if role is not None:
            row = {"org_id": found.id, "account_id": member.id, "role": role, "since": now(connection)}
            connection.execute(sa.insert(membership).values(row))
        owners = sa.select(sa.func.count()).where(
            membership.c.org_id == found.id, membership.c.role == "owner"
        )
        if not connection.scalar(owners):
            raise Refused(f"{who!r} is the last owner of {name!r}.", fix="Make another one first.")
        audit.record(connection, maker.actor, "org-member", name, account=who, role=role)


def set_project_role(registry: Registry, maker: Identity, name: str, who: str, role: str | None) -> None:
    """Let an account publish or maintain one project, or with None no longer."""
    if role not in ("maintainer", "publisher", None):
        raise Malformed(f"{role!r} is no role in a project.", fix="Say maintainer or publisher.")
    with registry.database.write() as connection:
        found = require_project_owner(connection, maker, name)
        helper = account_named(connection, who)
        mine = (project_role.c.project_id == found.id, project_role.c.account_id == helper.id)
        connection.execute(sa.delete(project_role).where(*mine))
        if role is not None:
            row = {"project_id": found.id, "account_id": helper.id, "role": role}
            connection.execute(sa.insert(project_role).values(row))
        audit.record(connection, maker.actor, "project-role", name, account=who, role=role)


def give_project(registry: Registry, maker: Identity, name: str, to: str) -> None:
    """Hand a project over to an organisation of which one is an owner."""
    with registry.database.write() as connection:
        journal.hold(connection)
        found = require_project_owner(connection, maker, name)
        taker = require_org(connection, maker, to)
        connection.execute(
            sa.update(project).where(project.c.id == found.id).values(org_id=taker.id, account_id=None)
        )
        audit.record(connection, maker.actor, "project-given", name, org=to)
        journal.append(connection, "project-given", maker.actor, project_id=found.id, org=to)


def listed(registry: Registry) -> list[dict[str, Any]]:
    """Every organisation with its members: account and role."""
    with registry.database.read() as connection:
        found = {
            r["id"]: {k: r[k] for k in ("name", "title", "verified_at", "created_at")} | {"members": {}}
            for r in connection.execute(sa.select(org).order_by(org.c.name)).mappings()
        }
        query = sa.select(membership.c.org_id, account.c.name, membership.c.role).join(account)
        for row in connection.execute(query.order_by(account.c.name)):
            found[row.org_id]["members"][row.name] = row.role
    return list(found.values())
