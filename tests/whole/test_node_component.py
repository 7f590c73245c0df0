"""A component written in Node joins a twin: through the command line, against its closed form."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from openapi_spec_validator import validate

from tests.afar import ask

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "node-component"
pytestmark = pytest.mark.node


@pytest.fixture
def server() -> Iterator[tuple[subprocess.Popen[str], str]]:
    node = shutil.which("node")
    if node is None:
        assert not os.environ.get("CI"), "needs Node (Debian: apt-get install nodejs)"
        pytest.skip("needs Node (Debian: apt-get install nodejs)")
    process = subprocess.Popen([node, str(EXAMPLE / "server.mjs")], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def town(tmp_path: Path) -> Path:
    for name in ("twin.yaml", "rain.csv"):
        shutil.copyfile(EXAMPLE / name, tmp_path / name)
    return tmp_path


def ldt(town: Path, address: str, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "TANK": address, "LDT_CACHE": str(town / "cache")}
    return subprocess.run(
        [sys.executable, "-m", "ldt_core.cli", *words, str(town)], capture_output=True, text=True, env=env
    )


def highest(drain: float) -> float:
    """The tank's highest level in mm, by its exact solution over half hours of constant rain."""
    level, found = 0.0, 0.0
    for rain in (0, 0, 12, 12, 20, 20, 4, 4, 0, 0, 0, 0):
        kept = math.exp(-drain / 2)
        level = level * kept + rain / drain * (1 - kept)
        found = max(found, level)
    return found


def test_a_tank_in_node_follows_its_closed_form_in_a_twin(server: tuple[object, str], town: Path) -> None:
    done = ldt(town, server[1], "run", "--json")
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)["kpis"]["highest"]["values"]
    assert values["base"][0] == pytest.approx(highest(0.4), rel=1e-12)
    assert values["slow"][0] == pytest.approx(highest(0.1), rel=1e-12)


def test_its_interface_is_described_and_keeps_the_rules_of_stepping(server: tuple[object, str]) -> None:
    address = server[1]
    validate(ask("GET", f"{address}/api").json)
    session = ask("POST", f"{address}/sessions", {"params": {"first": 2}}).json["session"]
    step = {"seq": 1, "start": 0, "until": 3_600_000_000, "inputs": {"rain": {"columns": {"rain": [1.0]}}}}
    first = ask("POST", f"{address}/sessions/{session}/step", step)
    assert ask("POST", f"{address}/sessions/{session}/step", step).raw == first.raw
    assert ask("POST", f"{address}/sessions/{session}/step", {**step, "seq": 5}).status == 409
    assert ask("POST", f"{address}/sessions", b"{").status == 400
    state = ask("GET", f"{address}/sessions/{session}/state").raw
    other = ask("POST", f"{address}/sessions", {}).json["session"]
    assert ask("PUT", f"{address}/sessions/{other}/state", state).status == 204
    again = ask("POST", f"{address}/sessions/{other}/step", step).json["outputs"]
    following = ask("POST", f"{address}/sessions/{session}/step", {**step, "seq": 2}).json["outputs"]
    assert again == following


def test_a_wrong_parameter_and_a_server_that_is_gone_are_told(
    server: tuple[subprocess.Popen[str], str], town: Path
) -> None:
    process, address = server
    text = (town / "twin.yaml").read_text(encoding="utf-8")
    (town / "twin.yaml").write_text(text.replace("drain: 0.4", "drain: -1"), encoding="utf-8")
    done = ldt(town, address, "check")
    assert done.returncode == 10
    assert "twin.yaml:15:" in done.stderr
    assert "drain" in done.stderr
    (town / "twin.yaml").write_text(text, encoding="utf-8")
    process.kill()
    process.wait()
    done = ldt(town, address, "run", "-q")
    assert done.returncode == 15
    assert "unreachable" in done.stderr
