"""``/api/v1/openapi.json``: the interface as an OpenAPI 3.1 document, made from the routes."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.openapi.utils import get_openapi

from ..problems import MEDIA_TYPE
from . import account, api_v1
from .answers import ProblemDocument

router = APIRouter()


@router.get("/api/v1/openapi.json", include_in_schema=False)
def read_document(request: Request) -> dict[str, Any]:
    app = request.app
    if not hasattr(app.state, "document"):
        app.state.document = make_document(app.title, app.state.registry.settings.base_url)
    found: dict[str, Any] = app.state.document
    return found


def make_document(title: str, address: str) -> dict[str, Any]:
    """Whatever fails, fails as a problem document."""
    found = get_openapi(
        title=title,
        version="1",
        openapi_version="3.1.0",
        routes=[*api_v1.router.routes, *account.router.routes],
        servers=[{"url": address}],
    )
    parts = found.setdefault("components", {}).setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        parts.pop(unused, None)
    parts["ProblemDocument"] = ProblemDocument.model_json_schema()
    problem = {
        "description": "A problem: what, why, and how to mend it.",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}},
    }
    for path in found["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
            operation["responses"] |= {"4XX": problem, "5XX": problem}
    return found
