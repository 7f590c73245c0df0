"""What any client of the standards, or one that steps, finds at a served component."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import pytest
import shapely
from openapi_spec_validator import validate

import ldt_core as ldt
from ldt_core.remote.server import Rules
from tests.afar import ask, served
from tests.workshop import wait

LEVEL = ldt.Port({"level": ldt.number("m", "x:level")})
RAIN = ldt.Port({"rain": ldt.number("m", "x:rain")})
SECOND = ldt.SECOND


class Tank(ldt.Simulator):
    """A tank that keeps what it is given."""

    id = "tank"
    title = "A tank"
    inputs: ClassVar[Any] = {"rain": RAIN}
    outputs: ClassVar[Any] = {"level": LEVEL}
    stepped: ClassVar[list[int]] = []

    class Params(ldt.Params):
        first: float = ldt.Field(default=0.0, ge=0)

    def initialize(self, inputs: ldt.Tables) -> ldt.Tables:
        self.level = self.params.first
        return {"level": ldt.Table({"level": [self.level]})}

    def step(self, inputs: ldt.Tables, until: int) -> ldt.Tables:
        rain = float(inputs["rain"]["rain"][0])
        if rain < 0:
            raise ValueError("it rains upwards")
        if rain == 666:
            raise SystemExit("enough")
        self.stepped.append(until)
        self.level += rain
        return {"level": ldt.Table({"level": [self.level]})}

    def get_state(self) -> bytes:
        return np.float64(self.level).tobytes()

    def set_state(self, state: bytes) -> None:
        self.level = float(np.frombuffer(state)[0])


class Double(ldt.Model):
    """Twice what it is given, once it is let."""

    id = "double"
    inputs: ClassVar[Any] = {"rain": RAIN}
    outputs: ClassVar[Any] = {"rain": RAIN}
    let: ClassVar[threading.Event] = threading.Event()

    class Params(ldt.Params):
        wait: bool = False

    def compute(self, inputs: ldt.Tables) -> ldt.Tables:
        while self.params.wait and not self.let.wait(0.01):
            self.context.check_cancelled()
        return {"rain": ldt.Table({"rain": inputs["rain"]["rain"] * 2})}


class Trees(ldt.DataSource):
    """A hundred trees in a row, one a metre."""

    id = "trees"
    outputs: ClassVar[Any] = {
        "trees": ldt.Port(
            {"tree": ldt.text(), "height": ldt.number("m", "x:height"), "geometry": ldt.geometry("Point")},
            at="start",
            entity="tree",
            id="tree",
        )
    }

    def read(self, query: ldt.Query) -> ldt.Tables:
        x = 500_000.0 + np.arange(100)
        points = shapely.points(x, np.full(100, 5_700_000.0))
        ids = [f"t{i}" for i in range(100)]
        return {"trees": ldt.Table({"tree": ids, "height": np.arange(100.0), "geometry": points})}


@pytest.fixture
def tank() -> Iterator[str]:
    Tank.stepped.clear()
    with served(Tank) as address:
        yield address


def rain(value: float) -> dict[str, Any]:
    return {"rain": {"columns": {"rain": [value]}}}


def step(tank: str, session: str, seq: int, value: float, **more: Any) -> Any:
    body = {"seq": seq, "start": (seq - 1) * SECOND, "until": seq * SECOND, "inputs": rain(value), **more}
    return ask("POST", f"{tank}/sessions/{session}/step", body)


# -- what there is ----------------------------------------------------------------------------------


def test_the_interface_describes_itself_to_any_tool() -> None:
    with served(Tank, Double, Trees) as address:
        rels = {link["rel"] for link in ask("GET", f"{address}/").json["links"]}
        assert {"service-desc", "conformance", "data"} <= rels
        validate(ask("GET", f"{address}/api").json)
        conforms = ask("GET", f"{address}/conformance").json["conformsTo"]
        assert "http://www.opengis.net/spec/ogcapi-processes-1/1.0/conf/core" in conforms
        assert "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/geojson" in conforms
        processes = ask("GET", f"{address}/processes").json["processes"]
        assert {p["id"] for p in processes} == {"tank", "double", "echo"}
        below = ask("GET", f"{address}/components/tank/component").json
        assert (below["id"], below["capabilities"]) == ("tank", ["state"])


def test_a_process_is_described_with_units(tank: str) -> None:
    found = ask("GET", f"{tank}/processes/tank").json
    columns = found["inputs"]["rain"]["schema"]["properties"]["columns"]["properties"]
    assert columns["rain"]["x-unit"] == "m"
    assert set(found["jobControlOptions"]) == {"sync-execute", "async-execute", "dismiss"}


# -- processes --------------------------------------------------------------------------------------


@pytest.fixture
def double() -> Iterator[str]:
    Double.let.clear()
    with served(Double) as address:
        yield f"{address}/processes/double/execution"
    Double.let.set()


def test_a_model_is_executed_while_the_client_waits(double: str) -> None:
    answer = ask("POST", double, {"inputs": rain(4.0)})
    assert (answer.status, answer.json) == (200, {"columns": {"rain": [8.0]}})  # one output, raw
    whole = ask("POST", double, {"inputs": rain(4.0), "response": "document"})
    assert whole.json == {"rain": {"columns": {"rain": [8.0]}}}


def test_a_model_is_executed_as_a_job_and_a_job_can_be_dismissed(double: str) -> None:
    base = double.partition("/processes")[0]
    body = {"inputs": rain(4.0) | {"params": {"wait": True}}}
    started = ask("POST", double, body, Prefer="respond-async")
    assert started.status == 201
    job = started.headers["location"]
    assert ask("GET", job).json["status"] in ("accepted", "running")
    assert ask("GET", f"{job}/results").status == 404
    assert ask("GET", f"{base}/jobs").json["jobs"][0]["jobID"] == job.rpartition("/")[2]
    Double.let.set()
    wait(lambda: ask("GET", job).json["status"] == "successful")
    assert ask("GET", f"{job}/results").json["rain"] == {"columns": {"rain": [8.0]}}
    Double.let.clear()
    other = ask("POST", double, body, Prefer="respond-async").headers["location"]
    assert ask("DELETE", other).json["status"] == "dismissed"


def test_echo_gives_back_what_it_was_given(double: str) -> None:
    echo = double.replace("/double/", "/echo/")
    answer = ask("POST", echo, {"inputs": {"text": "Grüße", "number": 1.5}})
    assert answer.json == {"text": "Grüße", "number": 1.5}


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", {"Content_Type": "application/json"}, 400),
        (b"\xff\xfe", {"Content_Type": "application/json"}, 400),
        (b"<a/>", {"Content_Type": "text/xml"}, 415),
        ({"inputs": {}}, {}, 400),
        ({"inputs": rain(1.0) | {"odd": 1}}, {}, 400),
        ({"inputs": {"rain": {"columns": {"rain": ["wet"]}}}}, {}, 400),
        ({"inputs": {"rain": {"columns": {"rain": [None]}}}}, {}, 400),
        ({"inputs": {"rain": {"columns": {}}}}, {}, 400),
        ({"inputs": rain(1.0) | {"params": {"wait": "perhaps"}}}, {}, 400),
        ({"inputs": rain(1.0) | {"params": {"speed": 1}}}, {}, 400),
        ({"inputs": rain(1.0)}, {"Accept": "image/png"}, 406),
        ([], {}, 400),
    ],
)
def test_a_bad_request_is_a_problem_that_says_why(
    double: str, body: Any, headers: dict[str, str], status: int
) -> None:
    answer = ask("POST", double, body, **headers)
    assert answer.status == status, answer.raw
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert answer.json["status"] == status
    assert answer.json["detail"]


def test_what_is_not_there_is_a_problem_too(tank: str) -> None:
    for path in ("/processes/none", "/jobs/none", "/sessions/none/state", "/collections/none", "/nowhere"):
        answer = ask("GET", f"{tank}{path}")
        assert (answer.status, answer.json["status"]) == (404, 404), path


def test_a_body_beyond_the_limit_is_refused() -> None:
    with served(Double, rules=Rules(largest=1000)) as address:
        body = {"inputs": {"rain": {"columns": {"rain": [1.0] * 1000}}}}
        assert ask("POST", f"{address}/processes/double/execution", body).status == 413


def test_who_has_no_token_gets_nothing() -> None:
    with served(Tank, rules=Rules(token="secret")) as address:
        assert ask("GET", f"{address}/").status == 401
        assert ask("GET", f"{address}/", Authorization="Bearer wrong").status == 401
        assert ask("GET", f"{address}/", Authorization="Bearer secret").status == 200


# -- sessions ---------------------------------------------------------------------------------------


def test_a_step_asked_for_again_is_answered_again_and_done_once(tank: str) -> None:
    made = ask("POST", f"{tank}/sessions", {"params": {"first": 1.0}})
    assert made.json["outputs"]["level"] == {"columns": {"level": [1.0]}}
    session = made.json["session"]
    first = step(tank, session, 1, 2.0)
    assert first.json["outputs"]["level"] == {"columns": {"level": [3.0]}}
    assert first.json["reached"] == SECOND
    assert step(tank, session, 1, 2.0).raw == first.raw
    assert Tank.stepped == [SECOND]
    assert step(tank, session, 1, 9.0).status == 409  # the same number for another step
    assert step(tank, session, 3, 2.0).status == 409
    assert step(tank, session, 2, 4.0).json["outputs"]["level"] == {"columns": {"level": [7.0]}}
    assert step(tank, session, 1, 2.0).status == 409
    assert ask("DELETE", f"{tank}/sessions/{session}").status == 204
    assert step(tank, session, 3, 1.0).status == 404


def test_a_state_goes_from_one_session_to_another(tank: str) -> None:
    one, two = (ask("POST", f"{tank}/sessions", {}).json["session"] for _ in range(2))
    step(tank, one, 1, 5.0)
    state = ask("GET", f"{tank}/sessions/{one}/state")
    assert state.headers["content-type"] == "application/octet-stream"
    assert (
        ask("PUT", f"{tank}/sessions/{two}/state", state.raw, Content_Type="application/octet-stream").status
        == 204
    )
    assert step(tank, two, 1, 1.0).json["outputs"]["level"] == {"columns": {"level": [6.0]}}
    bad = ask("PUT", f"{tank}/sessions/{two}/state", b"noise", Content_Type="application/octet-stream")
    assert bad.status == 400


def test_a_step_that_fails_ends_the_session_and_says_why(tank: str) -> None:
    session = ask("POST", f"{tank}/sessions", {}).json["session"]
    answer = step(tank, session, 1, -1.0)
    assert answer.status == 500
    assert "it rains upwards" in answer.json["detail"]
    assert step(tank, session, 2, 1.0).status == 409


def test_a_component_that_would_end_the_program_ends_its_session_alone(tank: str) -> None:
    sessions = [ask("POST", f"{tank}/sessions", {}).json["session"] for _ in range(2)]
    answer = step(tank, sessions[0], 1, 666.0)
    assert (answer.status, answer.json["ldt"]["code"]) == (500, "component raised")
    assert "SystemExit: enough" in answer.json["detail"]
    assert step(tank, sessions[1], 1, 1.0).status == 200


def test_inputs_that_do_not_fit_step_nothing(tank: str) -> None:
    session = ask("POST", f"{tank}/sessions", {}).json["session"]
    assert step(tank, session, 1, 1.0, inputs={}).status == 400
    assert step(tank, session, 1, 1.0, until=0).status == 400
    assert Tank.stepped == []
    assert step(tank, session, 1, 1.0).status == 200


def test_sessions_are_few_and_end_by_themselves() -> None:
    with served(Tank, rules=Rules(sessions=1)) as address:
        assert ask("POST", f"{address}/sessions", {}).status == 201
        full = ask("POST", f"{address}/sessions", {})
        assert (full.status, full.headers["retry-after"]) == (429, "5")
    with served(Tank, rules=Rules(sessions=1, idle=0.0)) as address:
        assert ask("POST", f"{address}/sessions", {}).status == 201
        assert ask("POST", f"{address}/sessions", {}).status == 201


def test_a_key_makes_one_session_however_often_it_is_asked_for(tank: str) -> None:
    one, two = (ask("POST", f"{tank}/sessions", {}, Idempotency_Key="k").json["session"] for _ in range(2))
    assert one == two
    assert ask("POST", f"{tank}/sessions", {"params": {"first": 2.0}}, Idempotency_Key="k").status == 409


# -- features ---------------------------------------------------------------------------------------


@pytest.fixture
def trees() -> Iterator[str]:
    from ldt_core.remote.served import Served
    from ldt_core.remote.server import make_app
    from tests.afar import listening

    with listening(make_app([Served(Trees, crs="EPSG:25832")])) as address:
        yield f"{address}/collections/trees/items"


def test_items_come_in_pages_that_lose_and_repeat_none(trees: str) -> None:
    found, page = [], f"{trees}?limit=30"
    while page:
        answer = ask("GET", page).json
        found += [f["properties"]["tree"] for f in answer["features"]]
        page = next((link["href"] for link in answer["links"] if link["rel"] == "next"), "")
    assert found == [f"t{i}" for i in range(100)]


def test_a_box_in_degrees_holds_what_lies_in_it(trees: str) -> None:
    everything = ask("GET", f"{trees}?limit=100").json
    x = [f["geometry"]["coordinates"][0] for f in everything["features"]]
    y = everything["features"][0]["geometry"]["coordinates"][1]
    assert 8.9 < x[0] < 9.1  # EPSG:25832 has its middle at 9 degrees east
    box = f"{x[10] - 1e-9},{y - 0.001},{x[19] + 1e-9},{y + 0.001}"
    inside = ask("GET", f"{trees}?limit=100&bbox={box}").json
    assert [f["properties"]["tree"] for f in inside["features"]] == [f"t{i}" for i in range(10, 20)]
    assert inside["numberMatched"] == 10


@pytest.mark.parametrize(
    "query", ["bbox=1,2,3", "bbox=a,b,c,d", "limit=0", "limit=x", "datetime=soon", "colour=red"]
)
def test_a_question_that_cannot_be_read_is_refused(trees: str, query: str) -> None:
    assert ask("GET", f"{trees}?{query}").status == 400


def test_items_come_as_an_arrow_stream_where_that_is_asked_for(trees: str) -> None:
    from ldt_core.ipc import from_stream

    answer = ask("GET", trees, Accept="application/vnd.apache.arrow.stream")
    assert answer.headers["content-type"] == "application/vnd.apache.arrow.stream"
    assert from_stream(answer.raw)["height"].tolist() == list(range(100))
