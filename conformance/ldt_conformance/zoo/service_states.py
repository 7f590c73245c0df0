"""Specimens: services that break what they keep between requests, sessions and jobs, or do not outlive what is too much."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any, ClassVar

from . import simulators
from .layer import Asked, Given, Layer, specimen


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
class RepeatsDiffer(_Simulator):
    """A step that is asked twice is answered otherwise."""

    fails = "LDT-HTTP-STATE-01"

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        self.seen: set[tuple[str, int]] = set()

    def given(self, asked: Asked, given: Given) -> Given:
        if not asked.path.endswith("/step") or given.status != 200:
            return given
        step = (asked.path, given.json["seq"])
        again = step in self.seen
        self.seen.add(step)
        return given.with_json({**given.json, "outputs": {}}) if again else given


@specimen
class UsedNumbers(_Simulator):
    """The number of another step is granted."""

    fails = "LDT-HTTP-STATE-01"

    def given(self, asked: Asked, given: Given) -> Given:
        if given.status != 409 or given.json["title"] != "seq used":
            return given
        said = {"seq": 1, "reached": 1, "outputs": {}}
        return given.with_json(said, status=200, media="application/json")


@specimen
class OldNumbers(_Simulator):
    """A step that is over is granted."""

    fails = "LDT-HTTP-STATE-01"

    def given(self, asked: Asked, given: Given) -> Given:
        if given.status != 409 or not given.json["detail"].endswith("is 3, not 1"):
            return given
        said = {"seq": 1, "reached": 1, "outputs": {}}
        return given.with_json(said, status=200, media="application/json")


@specimen
class RefusalsMove(_Simulator):
    """What is refused is stepped all the same."""

    fails = "LDT-HTTP-STATE-01"

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        self.moved: set[str] = set()

    def given(self, asked: Asked, given: Given) -> Given:
        if given.status == 409:
            self.moved.add(asked.path)
        if asked.path not in self.moved or given.status != 200:
            return given
        return given.with_json({**given.json, "outputs": {}} if given.json["seq"] == 2 else given.json)


@specimen
class EveryDelete(_Simulator):
    """Sessions cannot be deleted."""

    fails = "LDT-HTTP-STATE-01"

    def asked(self, asked: Asked) -> Given | None:
        if asked.method != "DELETE" or not asked.path.startswith("/sessions/"):
            return None
        return Given(202, b"{}")

    def document(self, content: dict[str, Any]) -> None:
        said = content["paths"]["/sessions/{sessionId}"]["delete"]["responses"]
        said["202"] = {"description": "later", "content": {"application/json": {}}}


@specimen
class RestlessState(_Simulator):
    """A state that is put back is another one."""

    fails = "LDT-HTTP-STATE-01"

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        self.count = 0

    def given(self, asked: Asked, given: Given) -> Given:
        if asked.method != "GET" or not asked.path.endswith("/state") or given.status != 200:
            return given
        self.count += 1
        return replace(given, body=given.body + b"%d" % self.count)

    def asked(self, asked: Asked) -> Given | None:
        return Given(204) if asked.method == "PUT" else None


@specimen
class AnyState(_Simulator):
    """Anything is taken for a state."""

    fails = "LDT-HTTP-STATE-01"

    def asked(self, asked: Asked) -> Given | None:
        return Given(204) if asked.method == "PUT" else None


@specimen
class OneSession(_Simulator):
    """Everybody gets the session of the first."""

    fails = "LDT-HTTP-STATE-01"

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        self.first: str | None = None

    def given(self, asked: Asked, given: Given) -> Given:
        if asked.method == "DELETE":
            self.first = None
        if asked.path != "/sessions" or given.status != 201:
            return given
        self.first = self.first or given.json["session"]
        return given.with_json({**given.json, "session": self.first})


class _Jobs(Layer):
    """Changes what is said of a job."""

    fails = "LDT-HTTP-JOB-01"
    changes: ClassVar[dict[str, Any]] = {}

    def given(self, asked: Asked, given: Given) -> Given:
        parts = asked.path.split("/")
        one = asked.method == "GET" and parts[1] == "jobs" and len(parts) == 3
        if not one or given.status != 200:
            return given
        return given.with_json({**given.json, **self.changes})

    def document(self, content: dict[str, Any]) -> None:
        for path in ("/jobs/{jobId}", "/processes/zoo-model/execution"):
            for operation in content["paths"][path].values():
                if isinstance(operation, dict):
                    for status in ("200", "201"):
                        if status in operation["responses"]:
                            operation["responses"][status]["content"]["application/json"] = {}


@specimen
class FailingJobs(_Jobs):
    """No job succeeds."""

    changes = {"status": "failed"}


@specimen
class PausedJobs(_Jobs):
    """A word for how a job stands that the standard does not know."""

    changes = {"status": "paused"}


@specimen
class NamelessJobs(_Jobs):
    """A new job does not say its name."""

    def given(self, asked: Asked, given: Given) -> Given:
        return given.with_json({"made": True}) if given.status == 201 else given


@specimen
class GhostJobs(_Jobs):
    """A job that never was is found."""

    def asked(self, asked: Asked) -> Given | None:
        if asked.path != "/jobs/nothing-of-this-name" or asked.method != "GET":
            return None
        return Given(200, b'{"jobID": "nothing-of-this-name", "type": "process", "status": "running"}')


class _Results(Layer):
    fails = "LDT-HTTP-JOB-01"

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        self.kept: dict[str, Given] = {}

    def result(self, asked: Asked, given: Given) -> bool:
        return asked.path.endswith("/results") and given.status == 200


@specimen
class FleetingResults(_Results):
    """A result is another one the second time."""

    def given(self, asked: Asked, given: Given) -> Given:
        if not self.result(asked, given):
            return given
        again = asked.path in self.kept
        self.kept[asked.path] = given
        return replace(given, body=given.body + b" ") if again else given


@specimen
class OtherResults(_Results):
    """The result of a job is not that of the same request without one."""

    def given(self, asked: Asked, given: Given) -> Given:
        if not self.result(asked, given) or "load" not in given.json:
            return given
        columns = given.json["load"]["columns"]
        more = [v + 1.0 for v in columns["load"]]
        return given.with_json({"load": {"columns": {**columns, "load": more}}})


@specimen
class KeptResults(_Results):
    """The result of a job that was dismissed is still given."""

    def given(self, asked: Asked, given: Given) -> Given:
        if self.result(asked, given):
            self.kept[asked.path] = given
        return self.kept.get(asked.path, given)


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
class Sulks(Layer):
    """Answers nobody any more once a body was too large."""

    fails = "LDT-HTTP-LIM-01"

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        self.hurt = False

    def given(self, asked: Asked, given: Given) -> Given:
        before, self.hurt = self.hurt, self.hurt or given.status == 413
        return Given(503, b"{}") if before else given


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
