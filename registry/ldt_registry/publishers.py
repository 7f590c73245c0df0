"""Issuers that an administrator trusts, and the jobs of theirs that owners of projects trust."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from ldt_core.errors import LdtError
from ldt_core.remote.net import place_of

from . import audit
from .database import now
from .names import require_name
from .newcomers import refuse_new_name
from .problems import Conflict, Malformed, Missing
from .registry import Registry
from .rights import (
    owner_of_new,
    require_org,
    require_project_owner,
    require_role,
    require_self,
)
from .schema import account, issuer, org, project, publisher, token
from .tokens import Identity

KEPT_FOR = timedelta(days=30)
ALGORITHMS = ("RS256", "ES256")
# What a publisher has to say, for each kind of issuer: numbers that stay when names change, and the file that publishes.
NEEDED = {
    "github": ("repository_owner_id", "repository_id", "workflow"),
    "gitlab": ("namespace_id", "project_id", "workflow"),
    "generic": ("sub",),
}
ISSUERS = {"github": "https://token.actions.githubusercontent.com", "gitlab": "https://gitlab.com"}


def add_issuer(
    registry: Registry, maker: Identity, url: str, kind: str, algorithms: tuple[str, ...] = ("RS256",)
) -> int:
    """Trust an issuer of tokens: https, no path with a slash at its end, as it names itself. Only an administrator."""
    try:
        fine = place_of(url).scheme == "https" and not url.endswith("/") and "?" not in url and "#" not in url
    except LdtError:
        fine = False
    if not fine:
        raise Malformed(f"{url!r} is no address of an issuer.", fix="Write https://HOST, as its tokens do.")
    if kind not in NEEDED or not algorithms or set(algorithms) - set(ALGORITHMS):
        raise Malformed(
            f"An issuer is {', '.join(NEEDED)}; it signs with {' or '.join(ALGORITHMS)}.", fix="Say so."
        )
    with registry.database.write() as connection:
        require_role(connection, maker)
        if connection.scalar(sa.select(issuer.c.id).where(issuer.c.url == url)) is not None:
            raise Conflict(f"{url} is an issuer already.", fix="Remove it first, to change it.")
        row = sa.insert(issuer).values(
            url=url, kind=kind, algorithms=list(algorithms), added_at=now(connection)
        )
        made = int(connection.execute(row.returning(issuer.c.id)).scalar_one())
        audit.record(connection, maker.actor, "issuer-added", url, kind=kind, algorithms=list(algorithms))
        return made


def remove_issuer(registry: Registry, maker: Identity, url: str) -> int:
    """Trust an issuer no more, nor its jobs; how many publishers went with it."""
    with registry.database.write() as connection:
        require_role(connection, maker)
        number = connection.scalar(sa.select(issuer.c.id).where(issuer.c.url == url))
        if number is None:
            raise Missing(f"{url} is no issuer here.", fix="Look at `ldt registry issuer list`.")
        rows = connection.execute(sa.select(publisher).where(publisher.c.issuer_id == number)).all()
        for row in rows:
            drop(connection, row)
        connection.execute(sa.delete(issuer).where(issuer.c.id == number))
        audit.record(connection, maker.actor, "issuer-removed", url, publishers=len(rows))
        return len(rows)


def add(
    registry: Registry,
    maker: Identity,
    name: str,
    issuer_url: str,
    claims: Mapping[str, str],
    org_name: str | None = None,
) -> int:
    """Let a job publish a project; one that does not exist is kept for it for 30 days. The maker needs an account."""
    name = require_name(name)
    with registry.database.write() as connection:
        known = connection.execute(sa.select(issuer).where(issuer.c.url == issuer_url)).one_or_none()
        if known is None:
            raise Missing(f"{issuer_url} is no issuer here.", fix="Ask an administrator to add it.")
        _check_claims(known.kind, claims)
        values = _place(connection, maker, name, org_name)
        row = sa.insert(publisher).values(
            issuer_id=known.id,
            claims=dict(claims),
            account_id=maker.account_id,
            created_at=now(connection),
            **values,
        )
        made = int(connection.execute(row.returning(publisher.c.id)).scalar_one())
        audit.record(connection, maker.actor, "publisher-added", name, issuer=issuer_url, claims=dict(claims))
        return made


def remove(registry: Registry, maker: Identity, number: int) -> None:
    """Trust a job no more; tokens that it holds end at once."""
    with registry.database.write() as connection:
        row = connection.execute(_rows().where(publisher.c.id == number)).one_or_none()
        if row is None:
            raise Missing(
                f"There is no trusted publisher {number}.", fix="Look at `ldt registry publisher list`."
            )
        if row.project_id is None:
            require_self(connection, maker, row.account_id)
        else:
            require_project_owner(connection, maker, row.project)
        drop(connection, row)
        audit.record(connection, maker.actor, "publisher-removed", row.project or row.pending_name)


def drop(connection: sa.Connection, row: sa.Row[Any]) -> None:
    """Delete a publisher with every token of a job that may have got it there."""
    name = connection.scalar(sa.select(project.c.norm_name).where(project.c.id == row.project_id))
    name = name or row.pending_name
    query = sa.select(token.c.id, token.c.scopes, token.c.publisher_id).where(
        token.c.publisher_id.is_not(None)
    )
    for held in connection.execute(query).all():
        if held.publisher_id == row.id or {f"upload:{name}", f"create:{name}"} & set(held.scopes):
            connection.execute(sa.delete(token).where(token.c.id == held.id))
    connection.execute(sa.delete(publisher).where(publisher.c.id == row.id))


def listed(registry: Registry) -> list[dict[str, Any]]:
    columns = ("id", "project", "pending_name", "issuer", "kind", "claims", "account", "org", "not_after")
    with registry.database.read() as connection:
        rows = connection.execute(_rows().order_by(publisher.c.id)).mappings()
        return [{k: r[k] for k in columns} for r in rows]


def issuers(registry: Registry) -> list[dict[str, Any]]:
    with registry.database.read() as connection:
        rows = connection.execute(sa.select(issuer).order_by(issuer.c.url)).mappings()
        return [{k: r[k] for k in ("url", "kind", "algorithms", "added_at")} for r in rows]


def matches(kind: str, url: str, wanted: Mapping[str, str], claims: Mapping[str, Any]) -> bool:
    """Whether a job is the one that is trusted: each wanted claim is there, with this value."""
    found = dict(claims) | {"workflow": _workflow(kind, url, claims)}
    for name, value in wanted.items():
        said = found.get(name)
        if isinstance(said, bool):
            said = str(said).lower()
        if not isinstance(said, str | int) or not value:
            return False
        same = str(said) == value
        if name == "environment":  # whose names the platforms compare without regard to case
            same = str(said).lower() == value.lower()
        if not same:
            return False
    return True


def _workflow(kind: str, url: str, claims: Mapping[str, Any]) -> str | None:
    """The file that describes the job, where it belongs to the very repository that the job runs for."""
    if kind == "github":
        said, _, _ = str(claims.get("job_workflow_ref", "")).partition("@")
        before = f"{claims.get('repository')}/.github/workflows/"
    else:
        said, _, _ = str(claims.get("ci_config_ref_uri", "")).partition("@")
        before = f"{url.removeprefix('https://')}/{claims.get('project_path')}//"
    return said.removeprefix(before) if said.startswith(before) else None


def _check_claims(kind: str, claims: Mapping[str, str]) -> None:
    missing = [k for k in NEEDED[kind] if not claims.get(k)]
    if missing:
        raise Malformed(
            f"A trusted publisher at {kind} is known by {', '.join(NEEDED[kind])}; {', '.join(missing)} is missing.",
            code="claims",
            fix="Names are not enough: one that is given up can be taken over.",
        )
    if not all(isinstance(v, str) and 0 < len(v) <= 500 for v in claims.values()) or len(claims) > 20:
        raise Malformed("Claims are up to 20 short texts.", code="claims", fix="Shorten them.")


def _place(connection: sa.Connection, maker: Identity, name: str, org_name: str | None) -> dict[str, Any]:
    """Where it publishes: a project that the maker owns, or a name that is free."""
    found = connection.scalar(sa.select(project.c.id).where(project.c.norm_name == name))
    if found is not None:
        return {"project_id": require_project_owner(connection, maker, name).id}
    if maker.account_id is None:
        raise Missing("Nobody would own this project.", fix="Say whose it will be.")
    require_self(connection, maker, maker.account_id)
    at = now(connection)
    old = connection.execute(sa.select(publisher).where(publisher.c.pending_name == name)).one_or_none()
    if old is not None and old.not_after <= at:
        drop(connection, old)
    elif old is not None:
        raise Conflict(
            f"{name!r} is kept for a trusted publisher.", code="name-pending", fix="Choose another."
        )
    owner = owner_of_new(connection, maker, name)
    refuse_new_name(connection, name, owner)
    org_id = owner.org_id
    if org_name is not None:
        mine = require_org(connection, maker, org_name, "owner", "maintainer").id
        if org_id not in (None, mine):
            raise Conflict(
                f"{name!r} is in the namespace of another.", code="namespace-held", fix="Choose another."
            )
        org_id = mine
    return {"pending_name": name, "org_id": org_id, "not_after": at + KEPT_FOR}


def _rows() -> sa.Select[Any]:
    return (
        sa.select(
            publisher,
            issuer.c.url.label("issuer"),
            issuer.c.kind,
            project.c.norm_name.label("project"),
            account.c.name.label("account"),
            org.c.name.label("org"),
        )
        .join(issuer, issuer.c.id == publisher.c.issuer_id)
        .join(account, account.c.id == publisher.c.account_id)
        .outerjoin(project, project.c.id == publisher.c.project_id)
        .outerjoin(org, org.c.id == publisher.c.org_id)
    )
