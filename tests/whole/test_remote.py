"""Every component that can be served has a document that tools accept, and a component in another language joins."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ldt_core as ldt
from ldt_core.catalog import installed, load
from ldt_core.errors import LdtError
from ldt_core.interfaces import Viewer
from ldt_core.manifest import describe
from ldt_core.remote.manifests import checked
from ldt_core.remote.openapi import document, validate
from ldt_core.remote.served import Served

ROOT = Path(__file__).resolve().parent.parent.parent
EXAMPLE = ROOT / "docs" / "examples" / "node-component"
OFFERS = [o for o in installed().offers if o.kind != "viewer"]


@pytest.mark.parametrize("offer", OFFERS, ids=lambda o: o.id)
def test_what_is_installed_can_be_described_to_any_tool(offer: Any) -> None:
    component = load(offer)
    assert not issubclass(component, Viewer)
    try:
        served = Served(component)
    except LdtError as exc:  # it needs a parameter that only its owner can set, and says which
        assert exc.fix or exc.where or exc.what
        required = describe(component)["params"].get("required", [])
        assert required, exc
        return
    collections = list(served.outputs) if served.kind == "source" else []
    validate(document([served], collections, "http://127.0.0.1:1", True), "here")
    checked(json.loads(json.dumps(served.manifest)), "here")


@pytest.fixture(scope="module")
def node() -> Iterator[str]:
    """The address of the example in Node, in a process of its own."""
    program = shutil.which("node")
    if program is None:
        assert not os.environ.get("CI"), "needs Node (Debian: apt-get install nodejs)"
        pytest.skip("needs Node (Debian: apt-get install nodejs)")
    process = subprocess.Popen([program, EXAMPLE / "rain-tank.js"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found is not None
        yield found[0]
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


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
        hour = 3600 * ldt.SECOND
        component.context.window = ldt.Window(number * hour, (number + 1) * hour)
        now = component.context.instant(number * hour)
        given = {"rain": ldt.Table({"time": [now], "rain": [rain]})}
        (level,) = component.step(given, (number + 1) * hour)["level"]["level"]
        found.append(float(level))
    return found


@pytest.mark.node
def test_a_tank_in_another_language_follows_its_closed_form(node: str) -> None:
    """S' = R - S/K, exact over a window of even rain: S1 = R K + (S0 - R K) exp(-h/K)."""
    import math

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


@pytest.mark.node
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


@pytest.mark.node
def test_what_it_refuses_is_told_as_by_any_other(node: str) -> None:
    component = tank(node)
    try:
        component.initialize({})
        with pytest.raises(ldt.InputError, match="rain"):
            levels(component, 0, 1, -1.0)
        assert levels(component, 0, 1, 1.0)  # nothing was lost
    finally:
        component.finalize()


@pytest.mark.node
def test_it_joins_a_twin_whose_run_is_not_made_twice(node: str, tmp_path: Path) -> None:
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
    assert first["not_reproducible"] == []
    assert first["kpis"]["highest"]["values"] == second["kpis"]["highest"]["values"]
    assert {t["state"] for t in second["tasks"]} == {"stored"}
    low, high = (first["kpis"]["highest"]["values"][s][0] for s in ("base", "slow"))
    assert high > low > 0
