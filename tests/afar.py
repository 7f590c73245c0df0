"""Servers over loopback inside the test's process, ours and such as misbehave, and the classes that stand for them."""

from __future__ import annotations

import http.client
import http.server
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
import uvicorn

import ldt_core as ldt
from ldt_core import errors as e
from ldt_core.catalog import load
from ldt_core.commands.serving import listen
from ldt_core.remote.manifests import access_of, offer_of, refresh
from ldt_core.remote.served import Served
from ldt_core.remote.server import Rules, make_app
from ldt_core.twin import load_twin


@contextmanager
def listening(app: Any) -> Iterator[str]:
    """The address of an ASGI application that runs in a thread of this process."""
    listener = listen("127.0.0.1", 0)
    config = uvicorn.Config(app, log_level="error", access_log=False, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    ready = threading.Event()
    before = server.startup

    async def startup(sockets: Any = None) -> None:
        await before(sockets)
        ready.set()

    server.startup = startup  # type: ignore[method-assign]
    thread = threading.Thread(target=lambda: server.run(sockets=[listener]), daemon=True)
    thread.start()
    assert ready.wait(20)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()


@contextmanager
def served(*components: type[ldt.Component], rules: Rules | None = None, **fixed: Any) -> Iterator[str]:
    """The address of these components; ``fixed`` are parameters of each."""
    with listening(make_app([Served(c, fixed) for c in components], rules)) as address:
        yield address


def proxy(address: str, **access: Any) -> type[ldt.Component]:
    """The class that stands for what is at an address."""
    refresh(address, access_of({"access": access}))
    return load(offer_of(address))


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw)


def ask(method: str, address: str, body: Any = None, **headers: str) -> Answer:
    """One request by a client that knows nothing of ours. A body that is no bytes is sent as JSON."""
    parts = urlsplit(address)
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    said: dict[str, str] = {k.replace("_", "-"): v for k, v in headers.items()}
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
        said.setdefault("Content-Type", "application/json")
    try:
        connection.request(
            method, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), body, said
        )
        found = connection.getresponse()
        return Answer(found.status, {k.lower(): v for k, v in found.getheaders()}, found.read())
    finally:
        connection.close()


def plain(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Tables by content."""
    return {n: t.digest for n, t in tables.items()}


# -- servers that misbehave -------------------------------------------------------------------------

Reply = Callable[[http.server.BaseHTTPRequestHandler], None]


@contextmanager
def answering(reply: Reply) -> Iterator[str]:
    """A server that answers everything as told."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            reply(self)

        def do_POST(self) -> None:
            reply(self)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def send(handler: http.server.BaseHTTPRequestHandler, body: bytes, status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    for name, value in {"Content-Type": "application/json", **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


# -- a twin -----

TWIN = """\
ldt: 1
twin: {{id: far, crs: "EPSG:25832"}}
time: {{start: 2026-03-02T05:00Z, end: 2026-03-02T06:00Z}}
components:
  walk: {{use: "{address}", step: 10min, params: {params}}}
"""


def failing(folder: Path, address: str, params: str = "{}") -> list[e.LdtError]:
    """The errors of a twin whose one component is at this address."""
    from ldt_core.runs import prepare

    (folder / "twin.yaml").write_text(TWIN.format(address=address, params=params), encoding="utf-8")
    assert load_twin(folder)
    with pytest.raises(e.LdtError) as caught:
        prepare(folder)
    return caught.value.errors if isinstance(caught.value, e.ErrorList) else [caught.value]
