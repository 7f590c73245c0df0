"""The server: components behind OGC API Processes, OGC API Features and the session resource.

The event loop runs no component's code: that is done in threads, so that one that hangs holds up nobody else.
Bodies are read here and not by the framework, since what they hold depends on the component's ports.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from ..errors import InputError, LdtError
from ..interfaces import DataSource
from ..tables import port_as_dict
from . import features as f
from . import processes as p
from .arrow import ArrowStream
from .jobs import Job, Jobs
from .json_tables import loads, table_to_json
from .messages import ARROW, ASIDE, BUNDLE, GEOJSON, JSON, accepted, decode, encode, first_line, media_of
from .net import Limits, Policy, fetch
from .openapi import OPENAPI, document
from .problems import PROBLEM, Problem, contained, problem_of
from .served import Served, query_of
from .sessions import Answer, Session, Sessions

T = TypeVar("T")
Handler = Callable[[Request], Awaitable[Response]]
CONFORMANCE = {
    "http://www.opengis.net/spec/ogcapi-common-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-common-1/1.0/conf/json",
}
OF_PROCESSES = {
    f"http://www.opengis.net/spec/ogcapi-processes-1/1.0/conf/{name}"
    for name in ("core", "ogc-process-description", "json", "oas30", "job-list", "dismiss")
}
OF_FEATURES = {
    f"http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/{name}" for name in ("core", "oas30", "geojson")
}


@dataclass(frozen=True)
class Rules:
    """What a server allows. Sizes in bytes, times in seconds: ``farewell`` is for what sessions do when it ends.

    ``fetches`` says whether inputs by reference are fetched, and then never from private networks
    unless ``private``.
    """

    token: str | None = None
    largest: int = 64 * 2**20
    sessions: int = 64
    idle: float = 3600.0
    workers: int = 8
    farewell: float = 5.0
    fetches: bool = True
    private: bool = False


def make_app(served: list[Served], rules: Rules | None = None) -> FastAPI:
    """The application of these components; with several, each also has one of its own below /components/ID."""
    rules = rules or Rules()
    rooms = [_Room(served, rules)]
    if len(served) > 1:
        rooms += [_Room([one], rules) for one in served]

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        keeper = asyncio.create_task(_close_idle(rooms))
        try:
            yield
        finally:
            keeper.cancel()
            ending = [asyncio.wrap_future(f) for room in rooms for f in room.close()]
            if ending:
                await asyncio.wait(ending, timeout=rules.farewell)

    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, lifespan=life)
    for room in rooms[1:]:
        below = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
        room.add_routes(below)
        app.mount(f"/components/{room.served[0].id}", below)
    rooms[0].add_routes(app)
    app.add_middleware(cast(Any, _Guard), token=rules.token)
    return app


async def _close_idle(rooms: list[_Room]) -> None:
    while True:
        await asyncio.sleep(1.0)
        for room in rooms:
            room.sessions.close_idle()


class _Guard:
    """Refuses requests without the token, before anything else is read."""

    def __init__(self, app: Any, token: str | None) -> None:
        self.app, self.token = app, token

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and self.token is not None:
            given = next((v for k, v in scope["headers"] if k == b"authorization"), b"")
            if not hmac.compare_digest(given, b"Bearer " + self.token.encode()):
                no = Problem(
                    401, "not authorised", "send Authorization: Bearer TOKEN", WWW_Authenticate="Bearer"
                )
                await _problem(no)(scope, receive, send)
                return
        await self.app(scope, receive, send)


def _problem(problem: Problem) -> JSONResponse:
    return JSONResponse(
        problem.as_dict(), status_code=problem.status, media_type=PROBLEM, headers=problem.headers
    )


def _guarded(handler: Handler) -> Handler:
    async def handle(request: Request) -> Response:
        try:
            return await handler(request)
        except ClientDisconnect:
            return Response(status_code=400)
        except Exception as exc:
            return _problem(problem_of(exc))

    return handle


class _Room:
    """The routes of some components."""

    def __init__(self, served: list[Served], rules: Rules) -> None:
        self.served, self.rules = served, rules
        self.processes = {s.id: s for s in served if s.kind in ("model", "simulator")}
        self.collections = f.collections_of(served)
        self.sessions = Sessions(rules.sessions, rules.idle)
        self.jobs = Jobs(rules.workers)
        self.readings = f.Readings()
        self._threads = ThreadPoolExecutor(rules.workers, thread_name_prefix="ldt-read")
        self.conformance = sorted(
            CONFORMANCE | OF_PROCESSES | (OF_FEATURES if any(s.kind == "source" for s in served) else set())
        )

    def close(self) -> list[Future[None]]:
        """The sessions that have begun to end."""
        self.jobs.close()
        self._threads.shutdown(wait=False, cancel_futures=True)
        return self.sessions.close_all()

    def add_routes(self, app: FastAPI) -> None:
        routes: list[tuple[str, str, Handler]] = [
            ("GET", "/", self.landing),
            ("GET", "/conformance", self.conform),
            ("GET", "/api", self.api),
            ("GET", "/component", self.component),
            ("POST", "/ports", self.ports),
            ("GET", "/processes", self.list_processes),
            ("GET", "/processes/{id}", self.process),
            ("POST", "/processes/{id}/execution", self.execute),
            ("GET", "/jobs", self.list_jobs),
            ("GET", "/jobs/{job}", self.job),
            ("DELETE", "/jobs/{job}", self.dismiss),
            ("GET", "/jobs/{job}/results", self.results),
            ("POST", "/sessions", self.new_session),
            ("POST", "/sessions/{session}/step", self.step),
            ("GET", "/sessions/{session}/state", self.get_state),
            ("PUT", "/sessions/{session}/state", self.set_state),
            ("DELETE", "/sessions/{session}", self.end_session),
            ("POST", "/version", self.version),
            ("GET", "/collections", self.list_collections),
            ("GET", "/collections/{id}", self.collection),
            ("GET", "/collections/{id}/items", self.items),
            ("GET", "/collections/{id}/items/{item}", self.item),
        ]
        for method, path, handler in routes:
            app.add_route(path, _guarded(handler), methods=[method], include_in_schema=False)

        async def refused(request: Request, exc: Exception) -> Response:
            found = cast(HTTPException, exc)
            return _problem(Problem(found.status_code, str(found.detail), **dict(found.headers or {})))

        app.add_exception_handler(HTTPException, refused)

    # -- what there is --

    async def landing(self, request: Request) -> Response:
        base = _base(request)
        links = [
            _link(f"{base}/", "self", JSON, "this page"),
            _link(f"{base}/conformance", "conformance", JSON, "what it conforms to"),
            _link(
                f"{base}/conformance", "http://www.opengis.net/def/rel/ogc/1.0/conformance", JSON, "the same"
            ),
            _link(f"{base}/api", "service-desc", OPENAPI, "the interface"),
            _link(f"{base}/processes", "http://www.opengis.net/def/rel/ogc/1.0/processes", JSON, "processes"),
            _link(f"{base}/jobs", "http://www.opengis.net/def/rel/ogc/1.0/job-list", JSON, "jobs"),
        ]
        if self.collections:
            links += [
                _link(f"{base}/collections", "data", JSON, "collections"),
                _link(f"{base}/collections", "http://www.opengis.net/def/rel/ogc/1.0/data", JSON, "the same"),
            ]
        if len(self.served) > 1:
            links += [
                _link(f"{base}/components/{s.id}", "item", JSON, f"the component {s.id}") for s in self.served
            ]
        about = {
            "title": ", ".join(s.manifest["title"] for s in self.served),
            "description": "Components of a Local Digital Twin.",
            "links": links,
        }
        return _json(request, about)

    async def conform(self, request: Request) -> Response:
        return _json(request, {"conformsTo": self.conformance})

    async def api(self, request: Request) -> Response:
        content = document(self.served, list(self.collections), _base(request), self.rules.token is not None)
        if accepted(request.headers.get("accept"), (JSON, "application/vnd.oai.openapi+json")) is None:
            raise _not_acceptable(JSON)
        return JSONResponse(content, media_type=OPENAPI)

    async def component(self, request: Request) -> Response:
        if len(self.served) == 1:
            return _json(request, self.served[0].manifest)
        base = _base(request)
        listed = [{"id": s.id, "href": f"{base}/components/{s.id}"} for s in self.served]
        return _json(request, {"components": listed})

    async def ports(self, request: Request) -> Response:
        served = self._only()
        body = await self._body(request)
        params = body.get("params", {})

        def find() -> dict[str, Any]:
            component = served.new(served.params(params), served.context(body.get("context", {})))
            try:
                inputs, outputs = component.ports()
                return {
                    "inputs": {n: port_as_dict(q) for n, q in inputs.items()},
                    "outputs": {n: port_as_dict(q) for n, q in outputs.items()},
                    "capabilities": sorted(component.capabilities() & {"state"}),
                }
            finally:
                component.finalize()

        return _json(request, await self._apart(find))

    # -- processes --

    async def list_processes(self, request: Request) -> Response:
        base = _base(request)
        found = [p.summary(s, base) for s in (*self.processes.values(), None)]
        limit = request.query_params.get("limit")
        if limit is not None:
            if not (limit.isascii() and limit.isdigit()) or not int(limit[:9]) >= 1:
                raise Problem(400, "invalid query", "limit is a whole number from 1 on")
            found = found[: int(limit[:9])]
        links = [_link(f"{base}/processes", "self", JSON, "this list")]
        return _json(request, {"processes": found, "links": links})

    def _process(self, request: Request) -> Served | None:
        id = request.path_params["id"]
        if id != p.ECHO and id not in self.processes:
            raise Problem(404, "no such process", f"there is no process {id}", type="no-such-process")
        return self.processes.get(id)

    async def process(self, request: Request) -> Response:
        return _json(request, p.description(self._process(request), _base(request)))

    async def execute(self, request: Request) -> Response:
        served = self._process(request)
        media, raw = await self._raw(request, (JSON, BUNDLE))
        tables: Any = None
        if media == BUNDLE and served is not None:
            ports: Mapping[str, Any] = served.inputs
            if served.manifest["dynamic"]:
                head = loads(first_line(raw))
                params = head.get("params", {}) if isinstance(head, dict) else {}
                ports = (await self._apart(lambda: served.ports(served.params(params))))[0]
            values, tables = decode(raw, media, "inputs", ports)
            body: dict[str, Any] = {"inputs": values}
        else:
            body = _object(loads(raw))
        inputs, outputs = _object(body.get("inputs", {})), body.get("outputs")
        response = body.get("response", "raw")
        if response not in ("raw", "document"):
            raise p.bad("response is raw or document")
        wanted = None if not outputs else list(_object(outputs))
        known = ("text", "number", "object") if served is None else tuple(served.outputs)
        if (
            wanted is not None
            and (odd := sorted(set(wanted) - set(known)))
            and not (served and served.manifest["dynamic"])
        ):
            raise p.bad(f"there is no output '{odd[0]}', only {', '.join(known)}")
        if served is not None and not self._waits(request):
            self._refuse_missing(served, inputs, tables)
        job = self.jobs.start(
            p.ECHO if served is None else served.id,
            "async" if self._waits(request) else "sync",
            lambda job: self._work(served, inputs, tables, job),
        )
        shape = (response, wanted)
        self._shapes[job.id] = shape
        if self._waits(request):
            base = _base(request)
            headers = {"Location": f"{base}/jobs/{job.id}", "Preference-Applied": "respond-async"}
            return JSONResponse(job.as_dict(base), status_code=201, headers=headers)
        await job.done.wait()
        return await self._answer(request, job)

    @staticmethod
    def _refuse_missing(served: Served, inputs: Mapping[str, Any], tables: Any) -> None:
        if served.manifest["dynamic"]:
            return
        given = set(inputs) | set(tables or {})
        missing = [n for n, q in served.inputs.items() if n not in given and not q.optional]
        if missing:
            raise p.bad(f"the input '{missing[0]}' is missing")

    @property
    def _shapes(self) -> dict[str, tuple[str, list[str] | None]]:
        found: dict[str, Any] = self.__dict__.setdefault("_shaped", {})
        for id in [i for i in found if i not in self.jobs.known]:
            del found[id]
        return found

    @staticmethod
    def _waits(request: Request) -> bool:
        return "respond-async" in request.headers.get("prefer", "")

    def _work(self, served: Served | None, inputs: dict[str, Any], tables: Any, job: Job) -> Any:
        values = {n: p.value_of(v, self._fetch) for n, v in inputs.items()}
        if served is None:
            odd = sorted(set(values) - {"text", "number", "object"})
            if odd:
                raise p.bad(f"there is no input '{odd[0]}'")
            kinds: dict[str, tuple[type, ...]] = {"text": (str,), "number": (int, float), "object": (dict,)}
            wrong = [n for n, v in values.items() if type(v) not in kinds[n]]
            if wrong:
                raise p.bad(f"'{wrong[0]}' is no {wrong[0]}")
            return {}, values, {}
        scratch = Path(tempfile.mkdtemp(prefix="ldt-job-"))
        try:
            return p.run_process(served, values, tables, job.cancelled.is_set, job.tell, scratch)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _fetch(self, address: str) -> Any:
        if not self.rules.fetches:
            raise p.bad("this server takes no inputs by reference")
        try:
            found = fetch(
                address, Policy(private=self.rules.private, http=True), Limits(largest=self.rules.largest)
            )
            return loads(found.body)
        except LdtError as exc:
            raise p.bad(f"the reference cannot be used: {exc.what}") from exc

    async def _answer(self, request: Request, job: Job) -> Response:
        if job.error is not None:
            raise job.error
        head, outputs, ports = job.result
        response, wanted = self._shapes.get(job.id, ("document", None))
        if wanted is not None:
            outputs = {n: v for n, v in outputs.items() if n in wanted}
        media = accepted(request.headers.get("accept"), (JSON, BUNDLE))
        if media is None:
            raise _not_acceptable(f"{JSON} and {BUNDLE}")
        if not ports:
            return _results(outputs, response)
        if media == BUNDLE:
            body = await self._apart(lambda: encode({}, "outputs", outputs, ports, media))
            return Response(body, media_type=media, headers=_aside(head))
        plain = await self._apart(lambda: loads(encode({}, "outputs", outputs, ports, JSON))["outputs"])
        found = _results(plain, response)
        found.headers.update(_aside(head))
        return found

    async def list_jobs(self, request: Request) -> Response:
        base = _base(request)
        found = [j.as_dict(base) for j in reversed(self.jobs.known.values())]
        return _json(request, {"jobs": found, "links": [_link(f"{base}/jobs", "self", JSON, "this list")]})

    async def job(self, request: Request) -> Response:
        return _json(request, self.jobs.get(request.path_params["job"]).as_dict(_base(request)))

    async def dismiss(self, request: Request) -> Response:
        return _json(request, self.jobs.dismiss(request.path_params["job"]).as_dict(_base(request)))

    async def results(self, request: Request) -> Response:
        job = self.jobs.get(request.path_params["job"])
        if job.status in ("accepted", "running"):
            raise Problem(404, "result not ready", f"the job is {job.status}", type="result-not-ready")
        wanted = self._shapes.get(job.id, ("document", None))[1]
        self._shapes[job.id] = ("document", wanted)  # results of a job are a document in any case
        return await self._answer(request, job)

    # -- sessions --

    async def new_session(self, request: Request) -> Response:
        served = self._only()
        if served.kind != "simulator":
            raise Problem(404, "no sessions", f"'{served.id}' is a {served.kind}, which is not stepped")
        media, raw = await self._raw(request, (JSON, BUNDLE))
        body = await self._apart(lambda: _head(raw, media))

        def read(session: Session) -> Any:
            return decode(raw, media, "inputs", session.inputs)[1]

        key = request.headers.get("idempotency-key", "")
        session, answer = await self.sessions.create(served, body, read, key, p_digest(raw))
        base = _base(request)
        headers = {"Location": f"{base}/sessions/{session.id}"}
        return await self._told(request, answer, session, 201, headers)

    async def step(self, request: Request) -> Response:
        session = self.sessions.get(request.path_params["session"])
        media, raw = await self._raw(request, (JSON, BUNDLE))
        body = _head(raw, media)
        answer = await self.sessions.step(
            session, body, lambda: decode(raw, media, "inputs", session.inputs, session.memory)[1], raw
        )
        return await self._told(request, answer, session, 200, {}, seq=body["seq"])

    async def _told(
        self,
        request: Request,
        answer: Answer,
        session: Session,
        status: int,
        headers: dict[str, str],
        **more: Any,
    ) -> Response:
        if answer.error is not None:
            raise answer.error
        media = accepted(request.headers.get("accept"), (JSON, BUNDLE))
        if media is None:
            raise _not_acceptable(f"{JSON} and {BUNDLE}")
        head = {**more, **answer.head}
        body = encode(head, "outputs", answer.outputs, session.outputs, media, session.memory)
        return Response(body, status_code=status, media_type=media, headers=headers)

    async def get_state(self, request: Request) -> Response:
        session = self.sessions.get(request.path_params["session"])
        async with session.lock:
            return Response(await session.call(session.get_state), media_type="application/octet-stream")

    async def set_state(self, request: Request) -> Response:
        session = self.sessions.get(request.path_params["session"])
        _, raw = await self._raw(request, ("application/octet-stream",))
        async with session.lock:
            await session.call(lambda: session.set_state(raw))
            session.broken = False
        return Response(status_code=204)

    async def end_session(self, request: Request) -> Response:
        session = self.sessions.get(request.path_params["session"])
        self.sessions.close(session.id)
        return Response(status_code=204)

    # -- features --

    async def version(self, request: Request) -> Response:
        served = self._only()
        if served.kind != "source":
            raise Problem(404, "no data", f"'{served.id}' is a {served.kind}")
        body = await self._body(request)

        def find() -> str | None:
            made = served.new(served.params(body.get("params", {})), served.context(body.get("context", {})))
            try:
                return served.version(cast(DataSource, made), query_of(body.get("query", {})))
            finally:
                made.finalize()

        return _json(request, {"version": await self._apart(find)})

    async def list_collections(self, request: Request) -> Response:
        base = _base(request)
        found = [c.describe(base) for c in self.collections.values()]
        links = [_link(f"{base}/collections", "self", JSON, "this list")]
        return _json(request, {"collections": found, "links": links})

    def _collection(self, request: Request) -> f.Collection:
        id = request.path_params["id"]
        if id not in self.collections:
            raise Problem(404, "no such collection", f"there is no collection {id}")
        return self.collections[id]

    async def collection(self, request: Request) -> Response:
        return _json(request, self._collection(request).describe(_base(request)))

    async def _read(self, collection: f.Collection, asked: f.Asked) -> Any:
        def read() -> Any:
            scratch = Path(tempfile.mkdtemp(prefix="ldt-read-"))
            try:
                return self.readings.read(collection, asked, scratch)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)

        return await self._apart(read)

    async def items(self, request: Request) -> Response:
        collection = self._collection(request)
        given = dict(request.query_params)
        media = _items_media(given.get("f"), request.headers.get("accept"))
        asked = f.read_query(given, len(request.query_params.multi_items()))
        table, port, crs = await self._read(collection, asked)
        if media == GEOJSON:
            here = f"{_base(request)}/collections/{collection.id}/items"
            pages = f.feature_collection(table, port, crs, asked, here, given)
            return StreamingResponse(_in_thread(self._threads, pages), media_type=GEOJSON)
        last = None if asked.limit is None else asked.offset + asked.limit
        if asked.offset or last is not None:
            table = table.slice(asked.offset, len(table) if last is None else last)
        if media == ARROW:
            stream = await self._apart(lambda: ArrowStream(table, port, crs))
            return StreamingResponse(
                _pieces(stream), media_type=ARROW, headers={"Content-Length": str(stream.size)}
            )
        return JSONResponse(await self._apart(lambda: table_to_json(table, port)))

    async def item(self, request: Request) -> Response:
        collection = self._collection(request)
        text = request.path_params["item"]
        table, port, crs = await self._read(collection, f.read_query({}, 0))
        if not (text.isascii() and text.isdigit()) or len(text) > 15 or int(text) >= len(table):
            raise Problem(404, "no such item", f"{collection.id} has no item {text}")
        row = table.slice(int(text), int(text) + 1)
        return Response(next(f.features(row, port, crs, int(text))), media_type=GEOJSON)

    # -- how --

    def _only(self) -> Served:
        if len(self.served) > 1:
            raise Problem(404, "several components", "each has this below /components/ID")
        return self.served[0]

    async def _apart(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, contained, work)

    async def _raw(self, request: Request, medias: Iterable[str]) -> tuple[str, bytes]:
        media = media_of(request.headers.get("content-type"))
        if media not in medias:
            raise Problem(415, "media type", f"'{media}' came, {' or '.join(medias)} is taken")
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise Problem(415, "media type", "bodies come without Content-Encoding")
        parts: list[bytes] = []
        size = 0
        async for part in request.stream():
            size += len(part)
            if size > self.rules.largest:
                raise Problem(
                    413, "too large", f"a body has at most {self.rules.largest} bytes", Connection="close"
                )
            parts.append(part)
        return media, b"".join(parts)

    async def _body(self, request: Request) -> dict[str, Any]:
        _, raw = await self._raw(request, (JSON,))
        return _object(loads(raw))


def p_digest(raw: bytes) -> str:
    import hashlib

    return hashlib.sha256(raw).hexdigest()


def _head(raw: bytes, media: str) -> dict[str, Any]:
    return _object(loads(first_line(raw) if media == BUNDLE else raw))


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError("a JSON object is expected here", code="shape")
    return value


def _base(request: Request) -> str:
    return str(request.base_url).rstrip("/")


def _link(href: str, rel: str, media: str, title: str) -> dict[str, str]:
    return {"href": href, "rel": rel, "type": media, "title": title}


def _json(request: Request, content: Any) -> Response:
    if accepted(request.headers.get("accept"), (JSON,)) is None:
        raise _not_acceptable(JSON)
    return JSONResponse(content)


def _not_acceptable(offered: str) -> Problem:
    return Problem(406, "media type", f"only {offered} can be given")


def _aside(head: Mapping[str, Any]) -> dict[str, str]:
    """Flags and the state of random numbers, which have no place among a process's outputs."""
    return {ASIDE: json.dumps(head)} if head else {}


def _results(outputs: Mapping[str, Any], response: str) -> Response:
    """One output raw is its value; else a document by name, which raw values of JSON cannot be told from."""
    if response == "raw" and len(outputs) == 1:
        return JSONResponse(next(iter(outputs.values())))
    return JSONResponse(dict(outputs))


def _items_media(asked: str | None, header: str | None) -> str:
    named = {"json": GEOJSON, "geojson": GEOJSON, "arrow": ARROW, "table": JSON}
    if asked is not None:
        if asked not in named:
            raise f.bad(f"f is one of {', '.join(named)}")
        return named[asked]
    # Whoever asks for plain JSON of features means GeoJSON; tables are asked for by f=table.
    media = accepted(header, (GEOJSON, ARROW, JSON))
    if media is None:
        raise _not_acceptable(f"{GEOJSON} and {ARROW}")
    return GEOJSON if media == JSON else media


async def _pieces(stream: ArrowStream) -> AsyncIterator[memoryview]:
    for piece in stream:
        yield piece


async def _in_thread(threads: ThreadPoolExecutor, pieces: Iterable[str]) -> AsyncIterator[str]:
    source = iter(pieces)
    loop = asyncio.get_running_loop()
    while (piece := await loop.run_in_executor(threads, lambda: next(source, None))) is not None:
        yield piece
