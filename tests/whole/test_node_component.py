"""A component written in Node: what it answers, and a twin that joins it through the command line."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import validate

import ldt_core as ldt
from ldt_core.catalog import load
from ldt_core.errors import LdtError
from tests.afar import Answer, ask

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "node-component"
HOUR = 3600 * ldt.SECOND
pytestmark = pytest.mark.node


@contextmanager
def running(*words: str) -> Iterator[str]:
    """The address of the example, in a process of its own."""
    program = shutil.which("node")
    if program is None:
        assert not os.environ.get("CI"), "needs Node (Debian: apt-get install nodejs)"
        pytest.skip("needs Node (Debian: apt-get install nodejs)")
    process = subprocess.Popen([program, EXAMPLE / "rain-tank.js", *words], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found is not None
        yield found[0]
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


@pytest.fixture(scope="module")
def node() -> Iterator[str]:
    with running() as address:
        yield address


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LDT_CACHE", str(tmp_path / "cache"))


def tank(address: str, **params: float) -> Any:
    from ldt_core.remote.manifests import Access, offer_of, refresh

    refresh(address, Access())
    return load(offer_of(address))(params)


def levels(component: Any, start: int, steps: int, rain: float) -> list[float]:
    found = []
    for number in range(start, start + steps):
        component.context.window = ldt.Window(number * HOUR, (number + 1) * HOUR)
        now = component.context.instant(number * HOUR)
        given = {"rain": ldt.Table({"time": [now], "rain": [rain]})}
        (level,) = component.step(given, (number + 1) * HOUR)["level"]["level"]
        found.append(float(level))
    return found


def test_a_tank_in_another_language_follows_its_closed_form(node: str) -> None:
    """S' = R - S/K, exact over a window of even rain: S1 = R K + (S0 - R K) exp(-h/K)."""
    component = tank(node, delay=7200.0, level=10.0)
    try:
        component.initialize({})
        level, wanted = 10.0, []
        for _ in range(6):
            full = 4.0 * 2
            level = full + (level - full) * math.exp(-0.5)
            wanted.append(level)
        assert levels(component, 0, 6, 4.0) == pytest.approx(wanted, rel=1e-12)
    finally:
        component.finalize()


def test_its_state_goes_to_another_session(node: str) -> None:
    one, two = tank(node, level=3.0), tank(node, level=99.0)
    try:
        for component in (one, two):
            component.initialize({})
        assert one.capabilities() == {"state"}
        levels(one, 0, 3, 2.0)
        levels(two, 0, 1, 1.0)
        with pytest.raises(LdtError, match="no state of a tank"):
            two.set_state(b"noise")
        two.set_state(one.get_state())
        assert levels(two, 3, 2, 5.0) == levels(one, 3, 2, 5.0)
    finally:
        one.finalize()
        two.finalize()


def test_what_it_refuses_is_told_as_by_any_other(node: str) -> None:
    component = tank(node)
    try:
        component.initialize({})
        with pytest.raises(ldt.InputError, match="rain"):
            levels(component, 0, 1, -1.0)
        assert levels(component, 0, 1, 1.0)  # nothing was lost
    finally:
        component.finalize()


def highest(delay: float) -> float:
    """The highest level in mm by the exact solution, looked at every ten minutes; ``delay`` in hours."""
    level, found = 0.0, 0.0
    for rain in (0, 12, 30, 4, 0, 0):
        for _ in range(6):
            full = rain * delay
            level = full + (level - full) * math.exp(-1 / 6 / delay)
            found = max(found, level)
    return found


def test_the_kpi_of_a_twin_that_it_joins_is_that_of_its_closed_form(node: str, tmp_path: Path) -> None:
    for name in ("twin.yaml", "rain.csv"):
        shutil.copy(EXAMPLE / name, tmp_path)
    env = {**os.environ, "RAIN_TANK": node, "LDT_CACHE": str(tmp_path / "cache")}

    def run() -> dict[str, Any]:
        words = [sys.executable, "-m", "ldt_core.cli", "run", "--json", "--workers", "1"]
        done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    first, second = run(), run()
    values = first["kpis"]["highest"]["values"]
    assert values["base"] == pytest.approx([highest(1.0)], rel=1e-12)
    assert values["slow"] == pytest.approx([highest(4.0)], rel=1e-12)
    assert first["not_reproducible"] == []
    assert second["kpis"]["highest"]["values"] == values
    assert {t["state"] for t in second["tasks"]} == {"stored"}


# -- what it answers to any client -------------------------------------------------------------------


def new(address: str, params: Any = None, **headers: str) -> Answer:
    return ask("POST", f"{address}/sessions", {"params": params or {}}, **headers)


def step(address: str, session: str, seq: int, rain: float, **more: Any) -> Answer:
    inputs = {"rain": {"columns": {"rain": [rain]}}}
    body = {"seq": seq, "start": (seq - 1) * HOUR, "until": seq * HOUR, "inputs": inputs, **more}
    return ask("POST", f"{address}/sessions/{session}/step", body)


def refused(answer: Answer, status: int) -> None:
    assert answer.status == status, answer.raw
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["status"] == status
    assert answer.json["title"]


def test_its_document_is_valid(node: str) -> None:
    validate(ask("GET", f"{node}/api").json)


def test_a_key_makes_one_session_and_is_refused_for_another(node: str) -> None:
    first = new(node, {"level": 3}, Idempotency_Key="storm")
    session = first.json["session"]
    assert step(node, session, 1, 2.0).status == 200
    assert new(node, {"level": 3}, Idempotency_Key="storm").raw == first.raw
    refused(new(node, {"level": 4}, Idempotency_Key="storm"), 409)
    assert step(node, session, 2, 2.0).status == 200  # it is there still
    assert ask("DELETE", f"{node}/sessions/{session}").status == 204
    again = new(node, {"level": 4}, Idempotency_Key="storm")
    assert again.status == 201
    assert again.json["session"] != session
    ask("DELETE", f"{node}/sessions/{again.json['session']}")


def test_a_step_asked_for_again_is_answered_again_and_a_gap_is_refused(node: str) -> None:
    session = new(node).json["session"]
    first = step(node, session, 1, 5.0)
    assert first.json["seq"] == 1
    assert step(node, session, 1, 5.0).raw == first.raw
    refused(step(node, session, 1, 6.0), 409)
    refused(step(node, session, 3, 5.0), 409)
    second = step(node, session, 2, 0.0)
    assert second.json["outputs"]["level"]["columns"]["level"][0] == pytest.approx(
        first.json["outputs"]["level"]["columns"]["level"][0] * math.exp(-0.5), rel=1e-12
    )
    refused(step(node, session, 1, 5.0), 409)
    assert ask("DELETE", f"{node}/sessions/{session}").status == 204
    refused(step(node, session, 3, 0.0), 404)


@pytest.mark.parametrize(
    "state", [b"", b" ", b"\n", b"noise", b"-1", b"1e999", b"NaN", b"null", b"[3]", b'"3"', b"\xff"]
)
def test_a_state_that_is_none_is_refused_and_changes_nothing(node: str, state: bytes) -> None:
    session = new(node, {"level": 7}).json["session"]
    place = f"{node}/sessions/{session}/state"
    kept = ask("GET", place).raw
    refused(ask("PUT", place, state, Content_Type="application/octet-stream"), 400)
    assert ask("GET", place).raw == kept
    assert ask("PUT", place, b"2.5", Content_Type="application/octet-stream").status == 204
    ask("DELETE", f"{node}/sessions/{session}")


@pytest.mark.parametrize(
    "params", [{"delay": 0}, {"delay": "2"}, {"level": -1}, {"level": None}, {"speed": 1}, [1]], ids=str
)
def test_parameters_that_do_not_fit_make_no_session(node: str, params: Any) -> None:
    refused(new(node, params), 400)


@pytest.mark.parametrize(
    "more", [{"start": "a", "until": "b"}, {"until": 0}, {"inputs": None}, {"start": None}], ids=str
)
def test_a_step_that_is_none_uses_up_no_number(node: str, more: Any) -> None:
    session = new(node).json["session"]
    refused(step(node, session, 1, 1.0, **more), 400)
    for body in (b"{", b"[]", b'{"seq": "\xff"}'):
        refused(ask("POST", f"{node}/sessions/{session}/step", body, Content_Type="application/json"), 400)
    refused(ask("POST", f"{node}/sessions/{session}/step", b"{}", Content_Type="text/plain"), 415)
    assert step(node, session, 1, 1.0).status == 200
    ask("DELETE", f"{node}/sessions/{session}")


def test_sessions_and_keys_are_few() -> None:
    with running() as address:
        made = [new(address, Idempotency_Key=f"k{i}") for i in range(100)]
        assert {a.status for a in made} == {201}
        refused(new(address, Idempotency_Key="one more"), 429)
        assert new(address, Idempotency_Key="k7").raw == made[7].raw
        assert ask("DELETE", f"{address}/sessions/{made[0].json['session']}").status == 204
        assert new(address, Idempotency_Key="one more").status == 201


def test_sessions_that_lie_idle_end_and_their_keys_with_them() -> None:
    with running("0", "0") as address:  # idle at once
        made = [new(address, {"level": i}, Idempotency_Key="same") for i in range(150)]
        assert {a.status for a in made} == {201}
        assert len({a.json["session"] for a in made}) == 150
        refused(step(address, made[-1].json["session"], 1, 1.0), 404)
