"""``/_/oidc/``: how uv, and whoever follows it, publishes from a pipeline without a secret. The paths are fixed by the clients."""

from __future__ import annotations

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from .. import oidc
from ..registry import Registry
from .network import network_of

router = APIRouter(prefix="/_/oidc", tags=["trusted publishing"])


class Shown(BaseModel):
    """A token, of an issuer or of this registry."""

    model_config = ConfigDict(extra="forbid")

    token: str = Field(max_length=oidc.LONGEST)


@router.get("/audience")
def read_audience(request: Request) -> dict[str, str]:
    """For whom the issuer has to make the token; part of the interface, since names of variables follow from it."""
    registry: Registry = request.app.state.registry
    return {"audience": registry.settings.audience}


@router.post("/mint-token")
def mint_token(request: Request, shown: Shown) -> dict[str, object]:
    """A token of this registry for a job that is trusted."""
    registry: Registry = request.app.state.registry
    made, until = oidc.mint(registry, request.app.state.keys, shown.token, network_of(request))
    return {"success": True, "token": made, "expires": int(until.timestamp())}


@router.post("/burn-token")
def burn_token(request: Request, shown: Shown) -> dict[str, bool]:
    """End a token of this registry."""
    registry: Registry = request.app.state.registry
    return {"success": oidc.burn(registry, shown.token)}
