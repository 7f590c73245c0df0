"""``/api/v1/tokens/...``: what concerns tokens and who holds them."""

from __future__ import annotations

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from .. import tokens
from ..limits import TOKENS_OF_NETWORK, spend
from ..registry import Registry
from .network import network_of

router = APIRouter(tags=["accounts"])


class Leak(BaseModel):
    """A token that stood where others could read it."""

    model_config = ConfigDict(extra="forbid")

    token: str = Field(max_length=200)
    url: str = Field("", max_length=2000)


@router.post("/api/v1/tokens/leaked")
def revoke_leaked(request: Request, leak: Leak) -> dict[str, bool]:
    """End a token that was found in public. Whoever holds it could do worse, so nobody need say who they are."""
    registry: Registry = request.app.state.registry
    with registry.database.write() as connection:
        spend(connection, TOKENS_OF_NETWORK, network_of(request))
    return {"revoked": tokens.revoke_leaked(registry, leak.token, leak.url)}
