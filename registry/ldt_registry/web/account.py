"""``/api/v1/``: tokens, organisations, namespaces, roles and trusted publishers, for programs and for our pages."""

from __future__ import annotations

from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from .. import accounts, namespaces, oidc, organisations, publishers, tokens
from ..limits import TOKENS_OF_NETWORK, spend
from ..names import normalise
from ..problems import Forbidden, Missing
from ..registry import Registry
from ..rights import require_self
from ..schema import account
from ..tokens import Identity
from .network import network_of
from .signed_in import identity_of

router = APIRouter(prefix="/api/v1", tags=["accounts"])


def _registry(request: Request) -> Registry:
    found: Registry = request.app.state.registry
    return found


def _asker(request: Request) -> Identity:
    return identity_of(request)


def _fresh_asker(request: Request) -> Identity:
    return identity_of(request, fresh=True)


Here = Annotated[Registry, Depends(_registry)]
Asker = Annotated[Identity, Depends(_asker)]
FreshAsker = Annotated[Identity, Depends(_fresh_asker)]
Text = Annotated[str, Field(min_length=1, max_length=500)]


class _Said(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Leak(_Said):
    """A token that stood where others could read it."""

    token: str = Field(max_length=200)
    url: str = Field("", max_length=2000)


class NewToken(_Said):
    scopes: list[Text] = Field(min_length=1, max_length=100)
    days: float = Field(90, gt=0, le=366)
    title: str = Field("", max_length=100)


class NewOrg(_Said):
    name: Text
    title: str | None = Field(None, max_length=200)


class Role(_Said):
    role: Text


class Claim(_Said):
    prefix: Text
    org: Text
    domain: Text | None = None
    proof: Text = "well-known"
    token: str | None = Field(None, max_length=oidc.LONGEST, description="of a job, where proof is oidc")


class NewPublisher(_Said):
    project: Text
    issuer: Text
    claims: dict[str, str] = Field(max_length=20)
    org: Text | None = None


@router.post("/tokens/leaked")
def revoke_leaked(request: Request, registry: Here, leak: Leak) -> dict[str, bool]:
    """End a token that was found in public. Whoever holds it could do worse, so nobody need say who they are."""
    with registry.database.write() as connection:
        spend(connection, TOKENS_OF_NETWORK, network_of(request))
    return {"revoked": tokens.revoke_leaked(registry, leak.token, f"leaked: {leak.url}")}


@router.get("/me")
def read_me(registry: Here, asker: Asker) -> dict[str, Any]:
    """Who asks, and what is granted."""
    return {
        "actor": asker.actor,
        "account": _name(registry, asker),
        "role": asker.role,
        "scopes": asker.scopes,
    }


@router.get("/tokens")
def list_tokens(registry: Here, asker: Asker) -> list[dict[str, Any]]:
    """One's own tokens, without their secrets."""
    return accounts.tokens_of(registry, _manager(registry, asker))


@router.post("/tokens", status_code=201)
def make_token(registry: Here, asker: FreshAsker, said: NewToken) -> dict[str, str]:
    """A token of one's own account; it is shown this once."""
    _manager(registry, asker)
    assert asker.account_id is not None
    with registry.database.write() as connection:
        number, made = tokens.make(
            connection, asker, asker.account_id, said.scopes, days=said.days, title=said.title
        )
    return {"id": number, "token": made}


@router.delete("/tokens/{number}", status_code=204)
def revoke_token(registry: Here, asker: Asker, number: str) -> None:
    """End one's own token."""
    if number not in {t["id"] for t in accounts.tokens_of(registry, _manager(registry, asker))}:
        raise Missing("There is no such token of yours.", fix="Look at the list.")
    with registry.database.write() as connection:
        tokens.revoke(connection, asker.actor, number, "by its owner")


@router.get("/orgs")
def list_orgs(registry: Here) -> list[dict[str, Any]]:
    """All organisations, with their members."""
    return organisations.listed(registry)


@router.post("/orgs", status_code=201)
def make_org(registry: Here, asker: FreshAsker, said: NewOrg) -> dict[str, str]:
    """An organisation of which one is the first owner."""
    organisations.make(registry, asker, said.name, _name(registry, asker), title=said.title)
    return {"name": said.name}


@router.put("/orgs/{name}/members/{who}", status_code=204)
def set_member(registry: Here, asker: FreshAsker, name: str, who: str, said: Role) -> None:
    organisations.set_member(registry, asker, name, who, said.role)


@router.delete("/orgs/{name}/members/{who}", status_code=204)
def dismiss_member(registry: Here, asker: FreshAsker, name: str, who: str) -> None:
    organisations.set_member(registry, asker, name, who, None)


@router.put("/projects/{name}/roles/{who}", status_code=204)
def set_project_role(registry: Here, asker: FreshAsker, name: str, who: str, said: Role) -> None:
    organisations.set_project_role(registry, asker, normalise(name), who, said.role)


@router.delete("/projects/{name}/roles/{who}", status_code=204)
def take_project_role(registry: Here, asker: FreshAsker, name: str, who: str) -> None:
    organisations.set_project_role(registry, asker, normalise(name), who, None)


@router.get("/namespaces")
def list_namespaces(registry: Here) -> list[dict[str, Any]]:
    """Every prefix that an organisation holds, and by which proof."""
    return namespaces.listed(registry)


@router.post("/namespaces", status_code=201)
def claim_namespace(request: Request, registry: Here, asker: FreshAsker, said: Claim) -> dict[str, str]:
    """Look for the proof at the domain, or in the token of a job, and grant the prefix."""
    if said.proof == "oidc":
        keys = request.app.state.keys
        oidc.claim_namespace(registry, keys, asker, said.prefix, said.org, said.token or "")
    else:
        prover = namespaces.Prover.of(registry)
        namespaces.claim(registry, prover, asker, said.prefix, said.org, said.domain or "", said.proof)
    return {"prefix": normalise(said.prefix), "org": said.org}


@router.delete("/namespaces/{prefix}", status_code=204)
def revoke_namespace(registry: Here, asker: FreshAsker, prefix: str) -> None:
    namespaces.revoke(registry, asker, prefix)


@router.post("/publishers", status_code=201)
def add_publisher(registry: Here, asker: FreshAsker, said: NewPublisher) -> dict[str, int]:
    """Let a job publish a project, or keep a name for it."""
    made = publishers.add(registry, asker, said.project, said.issuer, said.claims, said.org)
    return {"id": made}


@router.delete("/publishers/{number}", status_code=204)
def remove_publisher(registry: Here, asker: FreshAsker, number: int) -> None:
    publishers.remove(registry, asker, number)


def _name(registry: Registry, asker: Identity) -> str:
    """The account that asks. Raises Forbidden for a trusted publisher, which has none."""
    with registry.database.read() as connection:
        found = connection.scalar(sa.select(account.c.name).where(account.c.id == asker.account_id))
    if found is None:
        raise Forbidden("A trusted publisher has no account.", fix="Use a token of an account.")
    return str(found)


def _manager(registry: Registry, asker: Identity) -> str:
    """The account whose tokens the asker may manage: its own."""
    with registry.database.read() as connection:
        require_self(connection, asker, asker.account_id or 0)
    return _name(registry, asker)
