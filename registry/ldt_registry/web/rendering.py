"""Pages from templates: escaped by themselves, never framed, with no script or style but our own files."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
PRIVATE = {"Cache-Control": "no-store"}


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader(__package__), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )


def render(template: str, /, *, status: int = 200, private: bool = True, **said: Any) -> HTMLResponse:
    """A page; ``private`` ones are kept by no cache."""
    body = _templates().get_template(template).render(**said)
    return HTMLResponse(body, status, HEADERS | (PRIVATE if private else {}))
