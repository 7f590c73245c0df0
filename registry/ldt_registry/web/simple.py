"""``/simple/``: the index that installers read, straight from the shelf.

Plain ASGI: this is asked more often than all else together, and an answer is a look into a dictionary.
"""

from __future__ import annotations

import re

from starlette.types import Receive, Scope, Send

from ..index import Form, Rendered, choose, matches, takes_gzip
from ..names import normalise
from ..problems import Missing, NotAllowed
from ..shelf import Shelf

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,200}[A-Za-z0-9])?")
# What a 304 repeats of the headers.
KEPT = {b"etag", b"vary", b"cache-control", b"x-pypi-last-serial"}


class SimpleIndex:
    """To be mounted; ``public`` is the address under which clients reach the registry, without a slash at its end."""

    def __init__(self, shelf: Shelf, public: str = "") -> None:
        self._shelf = shelf
        self._public = public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await send({"type": "websocket.close"})
            return
        if scope["method"] not in ("GET", "HEAD"):
            raise NotAllowed("The index is only read.", headers={"Allow": "GET, HEAD"})
        root = scope.get("root_path", "").removesuffix("/simple")  # which the mount adds
        name = scope["path"].removeprefix(root).removeprefix("/simple").removeprefix("/")
        if name.endswith("/") and name[:-1] == (normal := normalise(name[:-1])):
            found = await self._shelf.page(normal) if NAME.fullmatch(normal) else None
            if found is None:
                raise Missing(f"There is no project {normal!r} here.", fix="Look at the list of projects.")
            await _send(found, scope, send)
        elif not name and scope["path"].endswith("/"):
            await _send(await self._shelf.root(), scope, send)
        else:
            name = name.removesuffix("/")
            if name and not NAME.fullmatch(name):
                raise Missing(f"{name!r} is no name of a project.", fix="Look at the list of projects.")
            target = f"{self._public or root}/simple/{normalise(name) + '/' if name else ''}"
            await _answer(send, 301, [(b"location", target.encode()), (b"content-length", b"0")])


async def _send(page: Rendered, scope: Scope, send: Send) -> None:
    accept = encoding = known = ""
    for key, value in scope["headers"]:
        if key == b"accept":
            accept = f"{accept},{value.decode('latin-1')}" if accept else value.decode("latin-1")
        elif key == b"accept-encoding":
            encoding = value.decode("latin-1")
        elif key == b"if-none-match":
            known = value.decode("latin-1")
    form: Form = page.form(choose(accept), takes_gzip(encoding))
    if known and matches(known, form.etag):
        await _answer(send, 304, [h for h in form.headers if h[0] in KEPT])
    else:
        await _answer(send, 200, form.headers, form.body if scope["method"] == "GET" else b"")


async def _answer(send: Send, status: int, headers: object, body: bytes = b"") -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
