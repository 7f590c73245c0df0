"""Is it alive, can it work?"""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from .. import journal
from ..problems import Problem
from ..registry import Registry

router = APIRouter(tags=["health"])


@router.get("/health/live")
def live() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/health/ready")
def ready(request: Request) -> JSONResponse:
    """Database and storage answer: 200, else 503 with what does not."""
    registry: Registry = request.app.state.registry
    found: dict[str, str] = {}
    try:
        with registry.database.read() as connection:
            epoch, serial = journal.read_head(connection)
        found |= {"database": "ok", "epoch": epoch, "serial": str(serial)}
    except Problem as exc:
        found["database"] = exc.what
    try:
        registry.blobs.size("0" * 64)
        found["storage"] = "ok"
    except Problem as exc:
        found["storage"] = exc.what
    well = found["database"] == found["storage"] == "ok"
    return JSONResponse({"status": "ok" if well else "degraded", **found}, 200 if well else 503)
