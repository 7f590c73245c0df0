"""A service with something standing in it, a session, a job, so that requests can be made that mean something."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from . import hostile
from . import openapi_rules as rules
from .interface import Interface, Operation
from .services import JSON, Answer, Request

SLOW = 0.5
"""Seconds for a good request: whoever takes longer is sent fewer spoilt ones, or judging it would take hours."""
UNHURT = (400, 404, 405, 406, 413, 415, 422)
"""After these a session stands as it stood."""


class Standing:
    """Makes requests for the operations of a service's document. A session that may have been hurt is replaced."""

    def __init__(self, service: Interface) -> None:
        self.service = service
        self._session: str | None = None
        self.took = 0.0
        """Seconds that the last answer took."""

    # -- asking --

    def ask(self, request: Request) -> Answer:
        begun = time.monotonic()
        answer = self.service.ask(request)
        self.took = time.monotonic() - begun
        path = request.target.partition("?")[0]
        if path == "/sessions":
            name = answer.object.get("session")
            if isinstance(name, str) and name != self._session:
                self.service.end(name)
        mine = self._session is not None and f"/{self._session}" in path
        if mine and request.method != "GET" and answer.status not in UNHURT:
            self._drop()
        return answer

    @property
    def session(self) -> str:
        """The name of a session that has not been stepped."""
        if self._session is None:
            self._session = self.service.session()[0]
        return self._session

    def _drop(self) -> None:
        if self._session is not None:
            self.service.end(self._session)
            self._session = None

    def job(self) -> str:
        """The name of a job."""
        request = self.service.execution()
        waiting = Request(
            request.method, request.target, request.body, {**request.headers, "Prefer": "respond-async"}
        )
        answer = self.service.ask(waiting)
        name = answer.object.get("jobID") or answer.headers.get("location", "").rstrip("/").rpartition("/")[2]
        return quote(str(name or "none"), safe="")

    # -- good requests --

    def target(self, operation: Operation) -> str | None:
        """The path of an operation with what stands in the place of its parameters; None where nothing is known."""
        names = operation.path.strip("/").split("/")
        found: list[str] = []
        for before, name in zip(["", *names], names):
            if not name.startswith("{"):
                found.append(name)
            elif before == "sessions" and self._known("simulator"):
                found.append(quote(self.session, safe=""))
            elif before == "jobs" and self._known("model"):
                found.append(self.job())
            elif before == "processes":
                found.append(quote(self.service.manifest["id"], safe=""))
            elif before == "collections" and self._known("source"):
                found.append(quote(next(iter(self.service.ports[1])), safe=""))
            elif before == "items":
                found.append("0")
            else:
                return None
        return "/" + "/".join(found)

    def _known(self, kind: str) -> bool:
        return self.service.kind == kind

    def good(self, operation: Operation) -> Request | None:
        """A request that has to be granted; None where only the service's owner knows one."""
        service = self.service
        names = operation.path.strip("/").split("/")
        shape = (operation.method, *("*" if n.startswith("{") else n for n in names))
        about = {"params": service.params, "context": service.context()} if service.manifest else {}
        if shape[:2] == ("post", "processes") and names[-1] == "execution":
            mine = names[1] in (service.manifest["id"],) or names[1].startswith("{")
            return service.execution() if mine and service.kind == "model" else None
        if shape == ("post", "ports"):
            return Request.of("POST", "/ports", about)
        if shape == ("post", "version") and service.kind == "source":
            return Request.of("POST", "/version", {**about, "query": {}})
        if shape == ("post", "sessions") and service.kind == "simulator":
            return service.new_session()
        if shape[1:2] == ("sessions",) and service.kind == "simulator":
            return self._of_session(shape)
        if shape[:2] == ("get", "collections") and names[-1] == "items":
            port = next(iter(service.ports[1])) if names[1].startswith("{") else names[1]
            return service.items(port) if port in service.ports[1] else None
        if operation.method != "get" or any(
            p.get("required") and p.get("in") != "path" for p in operation.parameters(service.document)
        ):
            return None
        if names[-1] == "results" or "items" in names:  # may not be there yet, or not at all
            return None
        target = self.target(operation)
        return None if target is None else Request("GET", target)

    def _of_session(self, shape: tuple[str, ...]) -> Request | None:
        session = quote(self.session, safe="")
        if shape == ("post", "sessions", "*", "step"):
            return self.service.step(self.session, 1)
        if shape == ("delete", "sessions", "*"):
            return Request("DELETE", f"/sessions/{session}")
        if shape[1:] != ("sessions", "*", "state") or "state" not in self.service.manifest["capabilities"]:
            return None
        if shape[0] == "get":
            return Request("GET", f"/sessions/{session}/state", headers={"Accept": "*/*"})
        state = self.service.ask(Request("GET", f"/sessions/{session}/state", headers={"Accept": "*/*"}))
        octets = {"Content-Type": "application/octet-stream"}
        return Request("PUT", f"/sessions/{session}/state", state.body, octets)

    def plain(self, operation: Operation) -> Request:
        """Any request of an operation, to see who is let in."""
        parts = ["x" if n.startswith("{") else n for n in operation.path.strip("/").split("/")]
        body = b"{}" if operation.method in ("post", "put", "patch") else None
        media = {"Content-Type": "application/json"} if body else {}
        return Request(operation.method.upper(), "/" + "/".join(parts), body, media)

    # -- hostile requests --

    def requests(self, operation: Operation) -> Iterator[tuple[str, Request, bool]]:
        """(what is odd, request, whether the document must foretell the answer) for an operation."""
        good = self.good(operation)
        if good is not None:
            yield "good", good, True
            leaves = hostile.chosen(quick=self.service.trial.quick, slow=self.took > SLOW)
            yield from ((w, r, True) for w, r in hostile.headers(self._fresh(operation)))
            if good.body is not None:
                for what, spoilt in hostile.bodies(good, leaves):
                    yield what, self._moved(spoilt, operation), True
        asked = good or self.plain(operation)
        names = [
            str(p.get("name")) for p in operation.parameters(self.service.document) if p.get("in") == "query"
        ]
        if names:
            yield from ((w, r, True) for w, r in hostile.queries(asked, names))
        if "{" in operation.path:
            yield from ((w, r, False) for w, r in hostile.segments(asked, operation.path))
            yield "of something that is not there", self.plain(operation), True

    def _fresh(self, operation: Operation) -> Request:
        return self.good(operation) or self.plain(operation)

    def _moved(self, request: Request, operation: Operation) -> Request:
        """To the session that stands now, where the one before had to go."""
        names = operation.path.strip("/").split("/")
        if names[0] != "sessions" or len(names) < 2:
            return request
        parts = request.target.split("/")
        parts[2] = quote(self.session, safe="")
        return Request(request.method, "/".join(parts), request.body, request.headers)

    def ways(self, operation: Operation) -> list[bool]:
        """Whether requests can be drawn that fit the document, and that do not: any text fits a plain path, and any bytes
        a body that is not JSON. In a quick run nothing is drawn but bodies."""
        named = operation.parameters(self.service.document)
        body = rules.follow(self.service.document, operation.said.get("requestBody")) or {}
        written = bool(body.get("content", {}).get(JSON, {}).get("schema"))
        if self.service.trial.quick:
            return [True, False] if written and self.good(operation) is not None else []
        if written or any(p.get("in") == "query" for p in named):
            return [True, False]
        return [True] if named or body else []

    # -- refusals --

    def refusals(self) -> Iterator[tuple[str, Request, tuple[str, ...]]]:
        """(what is refused, request, the words of the contract of which one must stand in the answer)."""
        service = self.service
        yield "a path that is not there", Request("GET", "/nothing/at/all"), ()
        good = service.good
        if good.body is None:
            yield "parameters that are no object", service.items(self._port(), params="5"), ()
            yield "a time that is none", service.items(self._port(), datetime="yesterday"), ()
            yield (
                "a collection that is not there",
                Request("GET", "/collections/nothing-of-this-name/items"),
                (),
            )
        else:
            for what, body in (("half an object", b"{"), ("a list", b"[]"), ("no UTF-8", b'{"a": "\xff"}')):
                yield f"a body that is {what}", Request(good.method, good.target, body, good.headers), ()
            yield (
                "a body of another type",
                Request(good.method, good.target, good.body, {"Content-Type": "text/plain"}),
                (),
            )
        for name, value in self._bad_params():
            yield f"the parameter '{name}' as {value!r}", self._with_params({name: value}), ("ParamError",)
        if service.kind == "simulator":
            yield "a session that is not there", service.step("nothing-of-this-name", 1), ()
            yield "a step backwards", service.step(self.session, 1, until=-1), ()
            wanted = [n for n, p in service.ports[0].items() if p.at == "step" and not p.optional]
            for name in wanted:
                spoilt = service.step(
                    self.session, 1, inputs={**service.inputs("step"), name: {"columns": 5}}
                )
                yield f"the input '{name}' as no table", spoilt, ("InputError",)
        if service.kind == "model":
            nowhere = "/processes/nothing-of-this-name/execution"
            yield "a process that is not there", Request.of("POST", nowhere, {"inputs": {}}), ()
            values: Mapping[str, Any] = service.inputs(None)
            for name in values:
                spoilt = service.execution_of(service.params, {**values, name: {"columns": 5}})
                yield f"the input '{name}' as no table", spoilt, ("InputError",)

    def _port(self) -> str:
        return next(iter(self.service.ports[1]))

    def _bad_params(self) -> Iterator[tuple[str, Any]]:
        """A value for each parameter that its own schema refuses, by the schema of them all."""
        from jsonschema import Draft202012Validator

        schema = self.service.manifest["params"]
        validator = Draft202012Validator(schema)
        odd: list[Any] = [{"no": ["value"]}, [[[]]], True, "no value of any kind"]
        for name in schema.get("properties", {}):
            for value in odd:
                errors = validator.iter_errors({**self.service.params, name: value})
                if any(list(e.absolute_path)[:1] == [name] for e in errors):
                    yield name, value
                    break

    def _with_params(self, changes: Mapping[str, Any]) -> Request:
        service = self.service
        params = {**service.params, **changes}
        if service.kind == "source":
            return service.items(self._port(), params=json.dumps(params))
        content = {"params": params, "context": service.context(), "inputs": service.inputs("start")}
        if service.kind == "simulator":
            return Request.of("POST", "/sessions", content)
        return service.execution_of(params, service.inputs(None))
