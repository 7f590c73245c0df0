"""Specimens: services. Each is the real server of ``ldt remote serve`` over a good specimen, on loopback, behind a layer that
breaks one thing of what is asked or answered."""

from __future__ import annotations

import asyncio
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
from . import Specimen, models, simulators, sources
from .serving import fixed

TOKEN = "zoo-Token-7"  # noqa: S105 - locks nothing but a specimen
Scope = Mapping[str, Any]


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
    LAYERS.append(layer)
    return layer


def services() -> list[type[Layer]]:
    """All of them, good ones first."""
    return sorted(LAYERS, key=lambda s: (s.fails is not None, s.__name__))


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


# -- good ones -------------------------------------------------------------------------------------------


@specimen
class GoodModelService(Layer):
    """A model, as it is served."""


@specimen
class GoodSimulatorService(Layer):
    """A simulator, as it is served."""

    component = simulators.GoodSimulator
    example = simulators.EXAMPLE


@specimen
class GoodSourceService(Layer):
    """A source, as it is served."""

    component = sources.GoodSource
    example = sources.EXAMPLE


@specimen
class GoodLockedService(Layer):
    """A model behind a token."""

    token = TOKEN


# -- what it says of itself --------------------------------------------------------------------------------


@specimen
class FarReference(Layer):
    """A response stands in another document."""

    fails = "LDT-HTTP-OAS-01"

    def document(self, content: dict[str, Any]) -> None:
        responses = content["paths"]["/component"]["get"]["responses"]
        responses["200"] = {"$ref": "https://schemas.example.org/answers.yaml#/ok"}


@specimen
class OldDocument(Layer):
    """Swagger 2.0."""

    fails = "LDT-HTTP-OAS-01"

    def document(self, content: dict[str, Any]) -> None:
        del content["openapi"]
        content["swagger"] = "2.0"


@specimen
class UndeclaredParameter(Layer):
    """A path has a parameter that is declared nowhere."""

    fails = "LDT-HTTP-OAS-01"

    def document(self, content: dict[str, Any]) -> None:
        del content["paths"]["/jobs/{jobId}"]["parameters"]


@specimen
class HugeDocument(Layer):
    """50 MB of it."""

    fails = "LDT-HTTP-OAS-01"

    def given(self, asked: Asked, given: Given) -> Given:
        return replace(given, body=given.body + b" " * 50_000_000) if asked.path == "/api" else given


@specimen
class FalseExample(Layer):
    """An example that its own schema refuses."""

    fails = "LDT-HTTP-OAS-02"

    def document(self, content: dict[str, Any]) -> None:
        listed = content["paths"]["/processes"]["get"]["parameters"][0]
        listed["example"] = "all of them"


@specimen
class UndefinedScheme(Layer):
    """Security by a scheme that is defined nowhere, and may be left out."""

    fails = "LDT-HTTP-OAS-02"

    def document(self, content: dict[str, Any]) -> None:
        content["security"] = [{"badge": []}, {}]


@specimen
class NoExecution(Layer):
    """The one operation that a model needs is not documented."""

    fails = "LDT-HTTP-PROF-01"

    def document(self, content: dict[str, Any]) -> None:
        del content["paths"]["/processes/zoo-model/execution"]


@specimen
class NoStep(Layer):
    """Sessions that cannot be stepped."""

    fails = "LDT-HTTP-PROF-01"
    component = simulators.GoodSimulator
    example = simulators.EXAMPLE

    def document(self, content: dict[str, Any]) -> None:
        del content["paths"]["/sessions/{sessionId}/step"]


@specimen
class OtherOutputs(Layer):
    """Outputs by other names than the manifest's."""

    fails = "LDT-HTTP-PROF-01"

    def given(self, asked: Asked, given: Given) -> Given:
        if not asked.path.endswith("zoo-model/execution") or given.status != 200 or "load" not in given.json:
            return given
        return given.with_json({"heat": given.json["load"]})


@specimen
class NoItems(Layer):
    """A collection whose rows are not documented."""

    fails = "LDT-HTTP-PROF-01"
    component = sources.GoodSource
    example = sources.EXAMPLE

    def document(self, content: dict[str, Any]) -> None:
        for path in [p for p in content["paths"] if p.endswith("/items")]:
            del content["paths"][path]


# -- what it answers ---------------------------------------------------------------------------------------


@specimen
class NumberAsText(Layer):
    """A number that is a text."""

    fails = "LDT-HTTP-RESP-01"

    def given(self, asked: Asked, given: Given) -> Given:
        if not asked.path.startswith("/jobs/") or "progress" not in given.json:
            return given
        return given.with_json({**given.json, "progress": str(given.json["progress"])})


@specimen
class TripsOverText(Layer):
    """A server error where a text is longer than it thought."""

    fails = "LDT-HTTP-RESP-01"

    def asked(self, asked: Asked) -> Given | None:
        accept = asked.headers.get("accept", "")
        return Given(500, b"Internal Server Error", "text/plain") if len(accept) > 1000 else None


@specimen
class BadDayBreaks(Layer):
    """A server error for a day that the calendar does not have."""

    fails = "LDT-HTTP-RESP-01"
    component = sources.GoodSource
    example = sources.EXAMPLE

    def asked(self, asked: Asked) -> Given | None:
        return Given(500, b"{}") if "2020-02-30" in asked.query else None


@specimen
class UndocumentedStatus(Layer):
    """A step is answered with 202, which stands nowhere in the document."""

    fails = "LDT-HTTP-RESP-01"

    def given(self, asked: Asked, given: Given) -> Given:
        return replace(given, status=202) if asked.path == "/conformance" and given.status == 200 else given

    def document(self, content: dict[str, Any]) -> None:
        del content["paths"]["/conformance"]["get"]["responses"]["default"]


@specimen
class BareText(Layer):
    """Refuses in plain text, and says so in its document."""

    fails = "LDT-HTTP-ERR-01"

    def given(self, asked: Asked, given: Given) -> Given:
        return Given(given.status, b"bad request", "text/plain") if given.status >= 400 else given

    def document(self, content: dict[str, Any]) -> None:
        for item in content["paths"].values():
            for operation in item.values():
                if isinstance(operation, dict):
                    for status, said in operation["responses"].items():
                        if status == "default" or status >= "4":
                            said["content"] = {"text/plain": {}}


@specimen
class WithoutWords(Layer):
    """Problems without the words of the contract."""

    fails = "LDT-HTTP-ERR-01"

    def given(self, asked: Asked, given: Given) -> Given:
        if given.status < 400 or given.status >= 500:
            return given
        return given.with_json({k: v for k, v in given.json.items() if k != "ldt"})


# -- whom it lets in ---------------------------------------------------------------------------------------


def _lock(content: dict[str, Any]) -> None:
    content.setdefault("components", {})["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    content["security"] = [{"token": []}]


@specimen
class DrawnLock(Layer):
    """Documents a token and asks for none."""

    fails = "LDT-HTTP-AUTH-01"

    def document(self, content: dict[str, Any]) -> None:
        _lock(content)


@specimen
class AnyKey(Layer):
    """Any token will do."""

    fails = "LDT-HTTP-AUTH-01"

    def asked(self, asked: Asked) -> Given | None:
        if asked.headers.get("authorization", "").startswith("Bearer "):
            return None
        said = {"title": "not authorised", "status": 401}
        return Given(401, json.dumps(said).encode(), "application/problem+json")

    def document(self, content: dict[str, Any]) -> None:
        _lock(content)


@specimen
class BackDoor(Layer):
    """The token is asked for by the beginning of the path as it is written."""

    fails = "LDT-HTTP-AUTH-01"

    def asked(self, asked: Asked) -> Given | None:
        if asked.path.startswith("//") or asked.headers.get("authorization") == f"Bearer {TOKEN}":
            return Given(200, b"{}") if asked.path == "//component" else None
        said = {"title": "not authorised", "status": 401}
        return Given(401, json.dumps(said).encode(), "application/problem+json")

    def document(self, content: dict[str, Any]) -> None:
        _lock(content)


# -- what it keeps -----------------------------------------------------------------------------------------


class _Simulator(Layer):
    component = simulators.GoodSimulator
    example = simulators.EXAMPLE


@specimen
class SoftDelete(_Simulator):
    """A deleted session is still served."""

    fails = "LDT-HTTP-STATE-01"

    def asked(self, asked: Asked) -> Given | None:
        return Given(204) if asked.method == "DELETE" and asked.path.startswith("/sessions/") else None


@specimen
class KeysForgotten(_Simulator):
    """A client that asks again gets another session."""

    fails = "LDT-HTTP-STATE-01"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            kept = [(k, v) for k, v in scope["headers"] if k != b"idempotency-key"]
            scope = {**scope, "headers": kept}
        await super().__call__(scope, receive, send)


@specimen
class AnyStep(_Simulator):
    """Numbers out of order are granted."""

    fails = "LDT-HTTP-STATE-01"

    def given(self, asked: Asked, given: Given) -> Given:
        if given.status != 409 or not asked.path.endswith("/step"):
            return given
        return given.with_json({"seq": 1, "reached": 1, "outputs": {}}, status=200, media="application/json")


@specimen
class UndeadJobs(Layer):
    """Says that a job was dismissed, and keeps it."""

    fails = "LDT-HTTP-JOB-01"

    def asked(self, asked: Asked) -> Given | None:
        if asked.method != "DELETE":
            return None
        said = {"jobID": asked.path.rpartition("/")[2], "type": "process", "status": "dismissed"}
        return Given(200, json.dumps(said).encode())


@specimen
class NoPlace(Layer):
    """Makes jobs and does not say where they stand."""

    fails = "LDT-HTTP-JOB-01"

    def given(self, asked: Asked, given: Given) -> Given:
        return replace(given, headers={}) if given.status == 201 else given


@specimen
class TooMuch(Layer):
    """A server error where a body is too large."""

    fails = "LDT-HTTP-LIM-01"

    def given(self, asked: Asked, given: Given) -> Given:
        return Given(500, b"out of memory", "text/plain") if given.status == 413 else given


@specimen
class OneAtATime(Layer):
    """Reads one body after the other, so that a slow client holds up everybody."""

    fails = "LDT-HTTP-LIM-01"

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        self.turn = asyncio.Lock()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        async with self.turn:
            messages, more = [], True
            while more:
                messages.append(await receive())
                more = messages[-1].get("more_body", False)
            waiting = iter(messages)

            async def kept() -> Any:
                return next(waiting, None) or await receive()

            await super().__call__(scope, kept, send)
