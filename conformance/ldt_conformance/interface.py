"""What a service says that it offers, and the requests that are made to it out of an example."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn
from urllib.parse import quote, urlencode, urljoin, urlsplit

import numpy as np

from ldt_core.errors import LdtError
from ldt_core.interfaces import AnyPort
from ldt_core.remote.json_tables import from_json, to_json
from ldt_core.remote.manifests import checked
from ldt_core.tables import check as check_table
from ldt_core.tables import port_from_dict

from . import openapi_rules as rules
from .checks import check
from .generate import example_inputs
from .openapi_blind_spots import operations
from .services import JSON, Answer, Asker, Request, Unanswered
from .trial import CannotTell, Trial

OPENAPI = "application/vnd.oai.openapi+json, application/json"
SHARE = 0.9
"""Of a requirement's time, for requests: what was not answered is told by its name before the check is ended."""
QUICK_SECONDS = 30.0
PATIENCE, QUICK_PATIENCE = 60.0, 20.0
"""Seconds in which an answer has to begin and to go on; a twin waits for as long."""


@dataclass(frozen=True)
class Operation:
    """One operation of the document. ``path`` is a template."""

    pointer: str
    method: str
    path: str
    item: Mapping[str, Any]
    said: Mapping[str, Any]

    @property
    def label(self) -> str:
        return f"{self.method.upper()} {self.path}"

    def parameters(self, document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Its own and those of its path, resolved."""
        both = [*(self.item.get("parameters") or []), *(self.said.get("parameters") or [])]
        by_name = {(p.get("in"), p.get("name")): p for p in (rules.follow(document, q) for q in both)}
        return list(by_name.values())


class Interface:
    """The service of a trial, for as long as the ``with`` goes: then the sessions that were made are deleted.

    Whatever it does not answer is told by ``Trial.fail``, or by ``CannotTell`` where it was never met or is only slow.
    """

    def __init__(self, trial: Trial) -> None:
        address = getattr(trial.driver, "address", None)
        if address is None:
            raise CannotTell("this driver reaches no service")
        access: Mapping[str, Any] = getattr(trial.driver, "access", None) or {}
        self.trial, self.token = trial, access.get("token")
        seconds = SHARE * trial.requirement.seconds
        seconds, patience = (
            (min(QUICK_SECONDS, seconds), QUICK_PATIENCE) if trial.quick else (seconds, PATIENCE)
        )
        self.asker = Asker(service_of(address), self.token, seconds=seconds, patience=patience)
        self.fixed = set(getattr(trial.driver, "fixed", None) or ())
        self._made: set[str] = set()

    def __enter__(self) -> Interface:
        return self

    def __exit__(self, *exc: object) -> None:
        for name in list(self._made):
            self.end(name)

    # -- asking --

    def ask(self, request: Request, **options: Any) -> Answer:
        try:
            answer = self.asker.ask(request, **options)
        except Unanswered as exc:
            self.unanswered(str(request), exc)
        if request.method == "POST" and answer.status == 201:
            name = answer.object.get("session")
            if isinstance(name, str):
                self._made.add(name)
        return answer

    def get(self, target: str, accept: str = JSON) -> Answer:
        return self.ask(Request("GET", target, headers={"Accept": accept}))

    def unanswered(self, request: str, exc: Unanswered) -> NoReturn:
        """Say what it means that ``request`` was not answered."""
        if exc.how == "nobody" and self.asker.met:
            what = "the service is gone"
        elif exc.how in ("nobody", "late"):
            raise CannotTell(f"{request}: {exc.what}")
        else:
            what = f"{request[:100]} got no answer: {exc.what}"
        self.trial.fail(what, given=request, expected="an answer", got=exc.what)

    # -- what it says of itself --

    @cached_property
    def raw_document(self) -> tuple[str, Answer]:
        """Where the OpenAPI document is, and the answer that holds it: at ``/api``, or where the landing page leads to."""
        answer = self.get("/api", OPENAPI)
        if answer.status != 404:
            return "GET /api", answer
        for link in self.get("/").object.get("links") or []:
            if isinstance(link, Mapping) and link.get("rel") == "service-desc" and link.get("href"):
                place = urlsplit(urljoin(f"{self.asker.address}/", str(link["href"])))
                mine = urlsplit(self.asker.address)
                if place.netloc == mine.netloc and place.path.startswith(self.asker.base):
                    query = f"?{place.query}" if place.query else ""
                    target = place.path[len(self.asker.base) :] + query
                    return f"GET {target}", self.get(target, OPENAPI)
        return "GET /api", answer

    @cached_property
    def document(self) -> dict[str, Any]:
        """For a service whose document was found to be good."""
        where, answer = self.raw_document
        try:
            return rules.read(answer.body)
        except rules.Unreadable as exc:
            self.trial.fail(f"the OpenAPI document cannot be read: {exc}", given=where, got=str(answer))

    @cached_property
    def operations(self) -> list[Operation]:
        return [Operation(*found) for found in _in_order(self.document)]

    def operation(self, method: str, *parts: str | None) -> Operation | None:
        """The one whose path has these parts; None stands for a parameter, a word for itself or a parameter."""
        best = None
        for found in self.operations:
            names = found.path.strip("/").split("/")
            if found.method != method.lower() or len(names) != len(parts):
                continue
            fits = all(n.startswith("{") or n == p for n, p in zip(names, parts))
            if fits and (best is None or found.path.count("{") < best.path.count("{")):
                best = found
        return best

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """``GET /component``, as the contract wants it. Fails where it is not."""
        answer = self.get("/component")
        if answer.status != 200:
            self.trial.fail(
                "GET /component gives no manifest", expected="200 with a manifest", got=str(answer)
            )
        try:
            content = answer.json
            if not isinstance(content, dict):
                raise ValueError("it is no JSON object")
            return checked(content, self.asker.address)
        except (ValueError, LdtError) as exc:
            what = exc.what if isinstance(exc, LdtError) else str(exc)
            self.trial.fail(
                f"GET /component gives no manifest: {what}", expected="a manifest", got=str(answer)
            )

    @property
    def kind(self) -> str:
        return str(self.manifest["kind"])

    # -- requests out of the example --

    @cached_property
    def params(self) -> dict[str, Any]:
        """The example's parameters, without those that the service sets by itself."""
        known = self.manifest["params"].get("properties", {})
        given = self.trial.example.params
        return {n: v for n, v in given.items() if n not in self.fixed and (n in known or not known)}

    def context(self, window: int = 0) -> dict[str, Any]:
        e = self.trial.example
        start = f"{np.datetime_as_string(e.start.astype('datetime64[us]'))}Z"
        bbox = None if e.bbox is None else list(e.bbox)
        span = [window * e.step, (window + 1) * e.step]
        return {"start": start, "window": span, "seed": e.seed, "crs": e.crs, "bbox": bbox}

    @cached_property
    def ports(self) -> tuple[Mapping[str, AnyPort], Mapping[str, AnyPort]]:
        said: Mapping[str, Any] = self.manifest
        if said.get("dynamic"):
            request = Request.of("POST", "/ports", {"params": self.params, "context": self.context()})
            answer = self.ask(request)
            said = answer.object
            if answer.status != 200 or not {"inputs", "outputs"} <= set(said):
                self.trial.fail(
                    "it does not tell its ports", given=str(request), expected="200", got=str(answer)
                )
        try:
            inputs, outputs = (
                {n: port_from_dict(p) for n, p in said[s].items()} for s in ("inputs", "outputs")
            )
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            self.trial.fail(f"its ports cannot be read: {exc}", got=said)
        return inputs, outputs

    def inputs(self, at: str | None, window: int = 0) -> dict[str, Any]:
        """Tables of the example as JSON, by port."""
        step = self.trial.example.step
        ports = self.ports[0]
        data = example_inputs(self.trial, ports, at=at, window=_window(window, step))
        return {n: to_json(t, ports[n]) for n, t in data.items()}

    def execution(self) -> Request:
        return self.execution_of(self.params, self.inputs(None))

    def execution_of(self, params: Mapping[str, Any], tables: Mapping[str, Any]) -> Request:
        """As a twin sends it: every input qualified."""
        inputs = {"params": params, "context": self.context(), **tables}
        name = quote(self.manifest["id"], safe="")
        content = {"inputs": {n: {"value": v} for n, v in inputs.items()}, "response": "document"}
        return Request.of("POST", f"/processes/{name}/execution", content)

    def new_session(self, **headers: str) -> Request:
        content = {"params": self.params, "context": self.context(), "inputs": self.inputs("start")}
        return Request.of("POST", "/sessions", content, **headers)

    def step(self, session: str, seq: int, start: int = 0, **changes: Any) -> Request:
        """From ``start`` to the end of the example's window in which it lies."""
        step = self.trial.example.step
        span = {"start": start, "until": (start // step + 1) * step}
        content = {"seq": seq, **span, "inputs": self.inputs("step", start // step), **changes}
        return Request.of("POST", f"/sessions/{quote(session, safe='')}/step", content)

    def items(self, port: str, **more: str) -> Request:
        query = self.trial.example.query
        asked = {"f": "table", "params": json.dumps(self.params), "context": json.dumps(self.context())}
        if query.start is not None and query.end is not None:
            last = query.end - np.timedelta64(1, "us")
            asked["datetime"] = f"{np.datetime_as_string(query.start)}Z/{np.datetime_as_string(last)}Z"
        target = f"/collections/{quote(port, safe='')}/items?{urlencode({**asked, **more})}"
        return Request("GET", target, headers={"Accept": JSON})

    @cached_property
    def good(self) -> Request:
        """A request of the kind's main operation that has to be granted."""
        if self.kind == "model":
            return self.execution()
        if self.kind == "simulator":
            return self.new_session()
        return self.items(next(iter(self.ports[1])))

    # -- answers --

    def granted(self, request: Request, *statuses: int) -> Answer:
        """Count one observation: ``request`` is granted, by one of these statuses."""
        wanted = statuses or ((201,) if request.target == "/sessions" else (200,))
        answer = self.ask(request)
        self.trial.expect(
            answer.status in wanted,
            f"{request.method} {request.target.partition('?')[0]} is not granted to the example",
            given=str(request),
            expected=" or ".join(map(str, wanted)),
            got=str(answer),
        )
        return answer

    def tables(self, found: Any, request: Request, at: tuple[str, ...] = ("start", "step")) -> dict[str, Any]:
        """The tables of an answer's ``outputs``, each as its port declares. Fails where one is not."""
        outputs = self.ports[1]
        if not isinstance(found, Mapping):
            self.trial.fail("it gives no outputs", given=str(request), expected=sorted(outputs), got=found)
        wanted = {n for n, p in outputs.items() if p.at in at}
        if not wanted <= set(found):
            missing = min(wanted - set(found))
            self.trial.fail(f"the output '{missing}' is missing", given=str(request), got=sorted(found))
        return {n: self.table(found[n], n, request) for n in sorted(wanted)}

    def table(self, found: Any, port: str, request: Request) -> Any:
        """Count one observation: ``found`` is a table as the port declares it."""
        declared = self.ports[1][port]
        why = ""
        try:
            table = check_table(from_json(found, declared, port), declared, port)
        except LdtError as exc:
            why = exc.what
        self.trial.expect(
            not why, f"the output '{port}' does not fit its port: {why}", given=str(request), got=found
        )
        return table

    def session(self, **headers: str) -> tuple[str, Answer]:
        """The name of a new session, and the answer that made it."""
        request = self.new_session(**headers)
        answer = self.granted(request)
        name = answer.object.get("session")
        if not isinstance(name, str) or not name:
            self.trial.fail("a new session has no name", given=str(request), got=str(answer))
        return name, answer

    def stepped(self, session: str, seq: int, start: int) -> tuple[Request, Answer, int]:
        """Step number ``seq``; with the instant that was reached."""
        request = self.step(session, seq, start)
        answer = self.granted(request)
        reached = answer.object.get("reached")
        if type(reached) is not int or reached <= start:
            self.trial.fail("a step does not say how far it came", given=str(request), got=str(answer))
        return request, answer, reached

    def end(self, session: str) -> None:
        """Delete a session, whether it is there or not, so that none is left behind."""
        self._made.discard(session)
        with suppress(Unanswered, CannotTell):  # seen by the check itself, where it matters
            self.asker.ask(Request("DELETE", f"/sessions/{quote(session, safe='')}"))


def check_service(requirement: str) -> Callable[[Callable[[Interface], None]], Callable[[Interface], None]]:
    """Marks the check of a requirement that is given the service of its trial."""

    def mark(function: Callable[[Interface], None]) -> Callable[[Interface], None]:
        @check(requirement)
        def run(trial: Trial) -> None:
            with Interface(trial) as service:
                function(service)

        return function

    return mark


def _window(number: int, step: int) -> Any:
    import ldt_core as ldt

    return ldt.Window(number * step, (number + 1) * step)


def service_of(address: str) -> str:
    """The root of the service in which a component lies: of a process or a collection, what stands before it."""
    for word in ("/processes/", "/collections/"):
        if word in urlsplit(address).path:
            return address.partition(word)[0]
    return address.rstrip("/")


def _in_order(document: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    yield from operations(document)
