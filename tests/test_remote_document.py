"""The server keeps what its own OpenAPI document says, whatever is asked that fits the document, and what does not."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from openapi_schema_validator import OAS30Validator
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

import ldt_core as ldt
from ldt_core.remote.server import Rules
from tests.afar import ask, served

START = np.datetime64("2026-01-01", "us")
ROWS = ldt.Port(
    {
        "at": ldt.instant(),
        "name": ldt.text(),
        "n": ldt.integer(),
        "v": ldt.number("m", "x:v", nulls=True, range=(0, 10)),
        "yes": ldt.boolean(),
        "place": ldt.geometry("Point", crs="EPSG:25832"),
    }
)
SUM = ldt.Port({"sum": ldt.number("m", "x:sum")})


class Sieve(ldt.Model):
    """Rows whose number is even."""

    id = "sieve"
    inputs: ClassVar[Any] = {"rows": ROWS}
    outputs: ClassVar[Any] = {"rows": ROWS}

    class Params(ldt.Params):
        least: int = ldt.Field(default=0, ge=-5, le=5)
        word: str | None = None

    def compute(self, inputs: ldt.Tables) -> ldt.Tables:
        return {"rows": inputs["rows"].take(inputs["rows"]["n"] % 2 == 0)}


class Heap(ldt.Simulator):
    """All that it was ever given."""

    id = "heap"
    inputs: ClassVar[Any] = {"rows": ROWS}
    outputs: ClassVar[Any] = {"sum": SUM}

    class Params(ldt.Params):
        first: float = ldt.Field(default=0.0, ge=0, le=1e6)

    def initialize(self, inputs: ldt.Tables) -> ldt.Tables:
        self.sum = self.params.first
        return {"sum": ldt.Table({"sum": [self.sum]})}

    def step(self, inputs: ldt.Tables, until: int) -> ldt.Tables:
        self.sum += float(np.nansum(inputs["rows"]["v"]))
        return {"sum": ldt.Table({"sum": [self.sum]})}

    def get_state(self) -> bytes:
        return np.float64(self.sum).tobytes()

    def set_state(self, state: bytes) -> None:
        if len(state) != 8:
            raise ldt.InputError("a state has 8 bytes", code="shape")
        self.sum = float(np.frombuffer(state)[0])


class Clock(ldt.DataSource):
    """A row an hour for four days."""

    id = "clock"
    outputs: ClassVar[Any] = {"hours": ldt.Port({"at": ldt.instant(), "hour": ldt.integer()})}

    def read(self, query: ldt.Query) -> ldt.Tables:
        hours = np.arange(96)
        return {"hours": ldt.Table({"at": START + hours * np.timedelta64(1, "h"), "hour": hours})}


ALL = (Sieve, Heap, Clock)
QUIET = Rules(fetches=False, sessions=100_000)  # what is made up leads to nobody's server
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
]


def hold(address: str, mode: GenerationMode, examples: int) -> set[str]:
    """Ask every operation of the document for made-up things; the operations that could be asked."""
    names = {}
    if ask("GET", f"{address}/component").json.get("kind") == "simulator":
        names["sessionId"] = ask("POST", f"{address}/sessions", {}).json["session"]
    executed = ask(
        "POST", f"{address}/processes/echo/execution", {"inputs": {"text": "x"}}, Prefer="respond-async"
    )
    names["jobId"] = executed.json["jobID"]
    found = set()
    for result in schemathesis.openapi.from_url(f"{address}/api").get_all_operations():
        operation = result.ok()
        said = operation.query or any(b.media_type == "application/json" for b in operation.body)
        if mode is GenerationMode.NEGATIVE and not said:
            continue  # a path that is unlike itself is another path, and any bytes are bytes

        @settings(
            max_examples=examples,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(operation.as_strategy(generation_mode=mode))
        def keep(case: Any) -> None:
            if case.method != "DELETE":  # real ones, so that more than 404 is seen
                case.path_parameters.update({n: v for n, v in names.items() if n in case.path_parameters})
            wanted = CHECKS
            limit = str((case.query or {}).get("limit", ""))
            if (
                limit.isdigit() and int(limit) > 10_000
            ):  # OGC API Features: no error, though the schema has a maximum
                wanted = [c for c in CHECKS if c is not negative_data_rejection]
            case.call_and_validate(checks=wanted)

        keep()
        found.add(operation.label)
    assert ask("GET", f"{address}/").status == 200
    return found


def test_what_fits_the_document_is_answered_as_it_says() -> None:
    with served(*ALL, rules=QUIET) as address:
        asked = hold(address, GenerationMode.POSITIVE, 3)
    assert {"POST /processes/sieve/execution", "GET /collections/hours/items", "GET /jobs/{jobId}"} <= asked


def test_what_does_not_fit_the_document_is_refused() -> None:
    with served(*ALL, rules=QUIET) as address:
        asked = hold(address, GenerationMode.NEGATIVE, 3)
    assert {"POST /processes/sieve/execution", "GET /collections/hours/items"} <= asked


def test_what_a_twin_sends_fits_the_document() -> None:
    """Nulls among it: in OpenAPI 3.0 they are allowed beside a type alone."""
    with served(Sieve) as address:
        paths = ask("GET", f"{address}/api").json["paths"]
    schema = paths["/processes/sieve/execution"]["post"]["requestBody"]["content"]["application/json"][
        "schema"
    ]
    rows = {"columns": {"at": [], "name": [], "n": [], "v": [], "yes": [], "place": []}}
    context = {
        "start": "2026-01-01T00:00:00Z",
        "window": [0, 1],
        "seed": 1,
        "crs": "EPSG:25832",
        "bbox": None,
    }
    message = {"inputs": {"params": {"word": None}, "context": context, "rows": {"value": rows}}}
    OAS30Validator(schema).validate(message)
    message["inputs"]["params"] = {"word": 5}
    assert not OAS30Validator(schema).is_valid(message)


def test_the_document_tells_its_own_media_type_and_what_answers_hold() -> None:
    with served(Sieve) as address:
        answer = ask("GET", f"{address}/api")
    paths = answer.json["paths"]
    assert list(paths["/api"]["get"]["responses"]["200"]["content"]) == [answer.headers["content-type"]]
    job = paths["/jobs/{jobId}"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert {"jobID", "status"} <= set(job["required"])


@pytest.mark.slow
@pytest.mark.parametrize("mode", GenerationMode, ids=lambda m: m.name.lower())
@pytest.mark.parametrize("component", ALL, ids=lambda c: c.id)
def test_each_component_holds_to_its_document(component: Any, mode: GenerationMode) -> None:
    with served(component, rules=QUIET) as address:
        assert hold(address, mode, 40)
