"""Specimens: services. Each is the real server of ``ldt remote serve`` over a good specimen, on loopback, behind a layer that
breaks one thing: here of what it says of itself, answers, and lets in; what it keeps stands in ``service_states``."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from typing import Any

from . import simulators, sources
from .layer import LAYERS, PROBLEM, TOKEN, Asked, Given, Layer, driver, listening, serving, specimen

__all__ = ["Layer", "driver", "listening", "services", "serving"]


def services() -> list[type[Layer]]:
    """All of them, good ones first."""
    importlib.import_module(f"{__package__}.service_states")
    return sorted(LAYERS, key=lambda s: (s.fails is not None, s.fails or "", LAYERS.index(s)))


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
class NoPaths(Layer):
    """A document that is valid and says nothing."""

    fails = "LDT-HTTP-OAS-01"

    def document(self, content: dict[str, Any]) -> None:
        content["paths"] = {}


@specimen
class InYaml(Layer):
    """A document that is no JSON."""

    fails = "LDT-HTTP-OAS-01"

    def given(self, asked: Asked, given: Given) -> Given:
        return replace(given, body=b"openapi: 3.0.3") if asked.path == "/api" else given


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


EXECUTION = "/processes/zoo-model/execution"


@specimen
class NoManifest(Layer):
    """There is nothing at /component."""

    fails = "LDT-HTTP-PROF-01"

    def asked(self, asked: Asked) -> Given | None:
        said = {"title": "not found", "status": 404}
        return Given(404, json.dumps(said).encode(), PROBLEM) if asked.path == "/component" else None


@specimen
class ManifestOfNothing(Layer):
    """What stands at /component is no manifest."""

    fails = "LDT-HTTP-PROF-01"

    def given(self, asked: Asked, given: Given) -> Given:
        return given.with_json({"name": "heat"}) if asked.path == "/component" else given


@specimen
class RefusesEverybody(Layer):
    """The example is not granted."""

    fails = "LDT-HTTP-PROF-01"

    def given(self, asked: Asked, given: Given) -> Given:
        said = {"title": "no", "status": 400}
        return given.with_json(said, status=400, media=PROBLEM) if asked.path == EXECUTION else given


@specimen
class TextForNumber(Layer):
    """An output that does not fit its port."""

    fails = "LDT-HTTP-PROF-01"

    def given(self, asked: Asked, given: Given) -> Given:
        if asked.path != EXECUTION or given.status != 200 or "load" not in given.json:
            return given
        columns = given.json["load"]["columns"]
        return given.with_json({"load": {"columns": {**columns, "load": [str(v) for v in columns["load"]]}}})


@specimen
class NoJson(Layer):
    """Its document says that executions come in a format of its own."""

    fails = "LDT-HTTP-PROF-01"

    def document(self, content: dict[str, Any]) -> None:
        body = content["paths"][EXECUTION]["post"]["requestBody"]
        body["content"] = {"application/x-heat": {}}


@specimen
class NarrowSchema(Layer):
    """Its document refuses what every twin sends."""

    fails = "LDT-HTTP-PROF-01"

    def document(self, content: dict[str, Any]) -> None:
        body = content["paths"][EXECUTION]["post"]["requestBody"]["content"]["application/json"]
        body["schema"]["properties"]["inputs"]["required"] = ["air", "hour"]


@specimen
class PortsUnknown(Layer):
    """Says that its ports depend on parameters, and does not tell them."""

    fails = "LDT-HTTP-PROF-01"

    def given(self, asked: Asked, given: Given) -> Given:
        if asked.path == "/component":
            return given.with_json({**given.json, "dynamic": True})
        return given.with_json({"ports": 2}) if asked.path == "/ports" and given.status == 200 else given


@specimen
class PortsOfNothing(PortsUnknown):
    """Says that its ports depend on parameters, and tells what are none."""

    def given(self, asked: Asked, given: Given) -> Given:
        if asked.path == "/ports" and given.status == 200:
            return given.with_json({"inputs": {"air": 5}, "outputs": {}, "capabilities": []})
        return super().given(asked, given)


@specimen
class NamelessSession(Layer):
    """A session that nobody can name."""

    fails = "LDT-HTTP-PROF-01"
    component = simulators.GoodSimulator
    example = simulators.EXAMPLE

    def given(self, asked: Asked, given: Given) -> Given:
        if asked.path != "/sessions" or given.status != 201:
            return given
        return given.with_json({**given.json, "session": ""})


@specimen
class NowhereStep(NamelessSession):
    """A step that does not say how far it came."""

    def given(self, asked: Asked, given: Given) -> Given:
        if not asked.path.endswith("/step") or given.status != 200:
            return given
        return given.with_json({n: v for n, v in given.json.items() if n != "reached"})


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
class RefusesAList(Layer):
    """A good request is refused."""

    fails = "LDT-HTTP-RESP-01"

    def asked(self, asked: Asked) -> Given | None:
        said = {"title": "busy", "status": 429}
        return Given(429, json.dumps(said).encode(), PROBLEM) if asked.path == "/jobs" else None


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


@specimen
class StatusOfAnother(Layer):
    """Problems that name another status than their answer's."""

    fails = "LDT-HTTP-ERR-01"

    def given(self, asked: Asked, given: Given) -> Given:
        if given.status < 400 or given.status >= 500:
            return given
        return given.with_json({**given.json, "status": 418})


@specimen
class WordsOfItsOwn(Layer):
    """Classes of errors that the contract does not know."""

    fails = "LDT-HTTP-ERR-01"

    def given(self, asked: Asked, given: Given) -> Given:
        if given.status < 400 or given.status >= 500 or "ldt" not in given.json:
            return given
        return given.with_json({**given.json, "ldt": {**given.json["ldt"], "class": "TypeError"}})


@specimen
class OkProblems(Layer):
    """Says of a path that is not there that all is well."""

    fails = "LDT-HTTP-ERR-01"

    def given(self, asked: Asked, given: Given) -> Given:
        return Given(200, b"{}") if asked.path.startswith("/nothing") else given


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
class OddLock(Layer):
    """A lock for which clients of the contract have no key."""

    fails = "LDT-HTTP-AUTH-01"
    token = TOKEN

    def document(self, content: dict[str, Any]) -> None:
        scheme = {"type": "apiKey", "in": "header", "name": "X-Key"}
        content["components"]["securitySchemes"] = {"token": scheme}


@specimen
class LockedForGood(Layer):
    """Refuses its own token for what is not there."""

    fails = "LDT-HTTP-AUTH-01"
    token = TOKEN

    def asked(self, asked: Asked) -> Given | None:
        said = {"title": "forbidden", "status": 403}
        return Given(403, json.dumps(said).encode(), PROBLEM) if asked.path == "/jobs/x/results" else None


@specimen
class AnyKey(Layer):
    """Any token will do."""

    fails = "LDT-HTTP-AUTH-01"

    def asked(self, asked: Asked) -> Given | None:
        if asked.headers.get("authorization", "").startswith("Bearer "):
            return None
        said = {"title": "not authorised", "status": 401}
        return Given(401, json.dumps(said).encode(), PROBLEM)

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
        return Given(401, json.dumps(said).encode(), PROBLEM)

    def document(self, content: dict[str, Any]) -> None:
        _lock(content)
