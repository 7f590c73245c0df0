"""Who asks: by a token in the header, or by the cookie of a session. And whether a page of ours sent the form.

What changes something must come from our own pages: browsers say from where (Origin, Sec-Fetch-Site), the cookie stays at home
(SameSite), and the form holds a secret of the session. A token in a header needs none of it: no browser adds it by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response

from ..problems import Forbidden, Malformed, TooLarge
from ..registry import Registry
from ..sessions import Session, find, require_form, require_fresh
from ..tokens import Identity, authenticate
from .network import network_of

LARGEST = 64 * 1024
CSRF_HEADER = "x-csrf-token"
SAFE = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True)
class Form:
    """The fields of a form; of each the first value."""

    fields: dict[str, str]

    def one(self, name: str) -> str:
        return self.fields.get(name, "")


def cookie_name(registry: Registry) -> str:
    """A browser takes ``__Host-`` only over TLS, for this host alone and all of it: no neighbour can set it."""
    return "__Host-ldt-session" if _is_secure(registry) else "ldt-session"


def set_cookie(registry: Registry, response: Response, secret: str) -> None:
    response.set_cookie(
        cookie_name(registry), secret, path="/", secure=_is_secure(registry), httponly=True, samesite="lax"
    )


def delete_cookie(registry: Registry, response: Response) -> None:
    response.delete_cookie(
        cookie_name(registry), path="/", secure=_is_secure(registry), httponly=True, samesite="lax"
    )


def secret_of(request: Request) -> str | None:
    registry: Registry = request.app.state.registry
    return request.cookies.get(cookie_name(registry))


def session_of(request: Request) -> Session:
    """Raises Unauthenticated where nobody is signed in."""
    return find(request.app.state.registry, secret_of(request))


def identity_of(request: Request, *, fresh: bool = False) -> Identity:
    """Who asks the interface. ``fresh``: a session must have been confirmed of late. Raises Unauthenticated, Forbidden."""
    registry: Registry = request.app.state.registry
    header = request.headers.get("authorization")
    if header is not None or secret_of(request) is None:
        return authenticate(registry, header, network_of(request))
    session = session_of(request)
    if request.method not in SAFE:
        require_own_page(request)
        require_form(session, request.headers.get(CSRF_HEADER))
        if fresh:
            require_fresh(session)
    return session.identity


def require_own_page(request: Request) -> None:
    """Raises Forbidden where a browser says that a page of somebody else sent this."""
    registry: Registry = request.app.state.registry
    site = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin", registry.settings.base_url)
    if site not in ("same-origin", "none") or origin != registry.settings.base_url:
        raise Forbidden("Another site sent this.", code="csrf", fix="Do it on a page of this registry.")


async def form_of(request: Request) -> Form:
    """A small form, as a page without scripts sends it; from our own page. Raises Malformed, TooLarge, Forbidden."""
    require_own_page(request)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise Malformed("That is no form of a page.", fix="Send it as application/x-www-form-urlencoded.")
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > LARGEST:
            raise TooLarge("The form is too large.", fix="Shorten it.")
    try:
        found = parse_qs(body.decode(), keep_blank_values=True, strict_parsing=bool(body), max_num_fields=100)
    except ValueError as exc:
        raise Malformed("The form cannot be read.", fix="Load the page again.") from exc
    return Form({name: values[0] for name, values in found.items()})


def _is_secure(registry: Registry) -> bool:
    return registry.settings.base_url.startswith("https://")
