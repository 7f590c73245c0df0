"""A layer over the real server of ``ldt remote serve``, that breaks one thing of what is asked or answered; and how it is served."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from ldt_core.commands.serving import listen
from ldt_core.interfaces import Component

from ..drivers.base import Driver
from ..drivers.http import reach
from ..example import Example
from . import Specimen, models
from .serving import fixed

TOKEN = "zoo-Token-7"  # noqa: S105 - locks nothing but a specimen
PROBLEM = "application/problem+json"


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    headers: Mapping[str, str]
    query: str = ""


@dataclass(frozen=True)
class Given:
    status: int
    body: bytes = b""
    media: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def with_json(self, content: Any, **changes: Any) -> Given:
        return replace(self, body=json.dumps(content).encode(), **changes)


class Layer:
    """Lets everything through. A mutant overrides ``asked``, to answer itself, or ``given``, to change an answer."""

    fails: ClassVar[str | None] = None
    component: ClassVar[type[Component]] = models.GoodModel
    example: ClassVar[Example] = models.EXAMPLE
    token: ClassVar[str | None] = None
    """Of the server; the one that the judge is given is ``TOKEN`` wherever the document asks for one."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def asked(self, asked: Asked) -> Given | None:
        return None

    def given(self, asked: Asked, given: Given) -> Given:
        return given

    def document(self, content: dict[str, Any]) -> None:
        """Change the OpenAPI document."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        asked = Asked(scope["method"], scope["path"], headers, scope["query_string"].decode("latin-1"))
        given = self.asked(asked)
        if given is None:
            given = await self._through(scope, receive)
            if asked.path == "/api" and given.status == 200:
                content = given.json
                self.document(content)
                given = given.with_json(content)
            given = self.given(asked, given)
        lines = {**given.headers, "content-length": str(len(given.body))}
        if given.body:
            lines["content-type"] = given.media
        found = [(k.encode("latin-1"), v.encode("latin-1")) for k, v in lines.items()]
        if given.status == 204:
            found = [line for line in found if line[0] != b"content-length"]
        await send({"type": "http.response.start", "status": given.status, "headers": found})
        await send({"type": "http.response.body", "body": given.body})

    async def _through(self, scope: Any, receive: Any) -> Given:
        start: dict[str, Any] = {}
        parts: list[bytes] = []

        async def keep(message: Any) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                parts.append(message.get("body", b""))

        await self.app(scope, receive, keep)
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in start["headers"]}
        media = headers.pop("content-type", "application/json")
        headers.pop("content-length", None)
        return Given(start["status"], b"".join(parts), media, headers)


LAYERS: list[type[Layer]] = []


def specimen(layer: type[Layer]) -> type[Layer]:
    """Marks a specimen."""
    LAYERS.append(layer)
    return layer


def driver(layer: type[Layer], address: str) -> Driver:
    """The driver that judges a specimen at ``address``."""
    token = layer.token or (TOKEN if layer.fails == "LDT-HTTP-AUTH-01" else None)
    files = fixed(Specimen(layer.component, layer.example))
    return reach(address, access={"token": token} if token else None, fixed=files)


# -- serving --------------------------------------------------------------------------------------------


@contextmanager
def serving(layer: type[Layer]) -> Iterator[str]:
    """The address of a specimen."""
    from ldt_core.remote.served import Served
    from ldt_core.remote.server import Rules, make_app

    files = fixed(Specimen(layer.component, layer.example))
    served = Served(layer.component, files)
    rules = Rules(token=layer.token, largest=2**20, fetches=False)
    with listening(layer(make_app([served], rules))) as address:
        yield address


@contextmanager
def listening(app: Any) -> Iterator[str]:
    """The address of an ASGI application that runs in a thread of this process."""
    import uvicorn

    ready = threading.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            ready.set()

    with listen("127.0.0.1", 0) as listener:
        config = uvicorn.Config(app, log_level="critical", access_log=False, timeout_graceful_shutdown=1)
        server = Server(config)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        if not ready.wait(30):
            raise RuntimeError("the server did not come up")
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)
