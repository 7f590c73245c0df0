"""Pages from templates: escaped by themselves, never framed, with no script or style but our own files."""

from __future__ import annotations

from functools import cache
from typing import Any
from urllib.parse import urlsplit

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
    made = Environment(
        loader=PackageLoader(__package__), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    made.tests["address"] = is_address
    return made


def is_address(url: str) -> bool:
    """Whether a link may lead there. Asked again where it is shown: it must run nothing, whoever let it in."""
    return urlsplit(url).scheme in ("https", "http", "mailto")


def render(template: str, /, *, status: int = 200, private: bool = True, **said: Any) -> HTMLResponse:
    """A page; ``private`` ones are kept by no cache."""
    body = _templates().get_template(template).render(**said)
    return HTMLResponse(body, status, HEADERS | (PRIVATE if private else {}))
