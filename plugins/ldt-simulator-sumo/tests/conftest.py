"""Small real networks, made by netconvert and netgenerate once per session."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ldt_simulator_sumo.component import Sumo
from ldt_simulator_sumo.process import program

import ldt_core as ldt

SECOND = ldt.SECOND


def call(name: str, *words: str) -> None:
    subprocess.run([str(program(name)), *words], check=True, capture_output=True)


@pytest.fixture(scope="session")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A grid of 4 x 4 junctions, 150 m apart, two lanes each way, signals, no projection."""
    path = tmp_path_factory.mktemp("grid") / "grid.net.xml"
    call(
        "netgenerate",
        *("--grid", "--grid.number", "4", "--grid.length", "150", "-L", "2", "--tls.guess"),
        *("--default.speed", "13.89", "-o", str(path)),
    )
    return path


@pytest.fixture(scope="session")
def fork(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """From a to d over the short Main Street (b) or the long Side Street (c); in and out by one edge each."""
    folder = tmp_path_factory.mktemp("fork")
    (folder / "n.xml").write_text(
        '<nodes><node id="o" x="-300" y="0"/><node id="a" x="0" y="0"/><node id="b" x="300" y="0"/>'
        '<node id="c" x="300" y="400"/><node id="d" x="600" y="0"/><node id="e" x="900" y="0"/></nodes>'
    )
    roads = [("in", "o", "a", "Gate"), ("main1", "a", "b", "Main Street"), ("main2", "b", "d", "Main Street")]
    roads += [
        ("side1", "a", "c", "Side Street"),
        ("side2", "c", "d", "Side Street"),
        ("out", "d", "e", "Exit"),
    ]
    (folder / "e.xml").write_text(
        "<edges>"
        + "".join(
            f'<edge id="{i}" from="{f}" to="{t}" name="{n}" numLanes="2" speed="13.89"/>'
            for i, f, t, n in roads
        )
        + "</edges>"
    )
    path = folder / "fork.net.xml"
    call(
        "netconvert",
        *("-n", str(folder / "n.xml"), "-e", str(folder / "e.xml"), "-o", str(path)),
        *("--output.street-names", "--no-turnarounds", "--offset.disable-normalization"),
    )
    text = path.read_text().replace('netOffset="0.00,0.00"', 'netOffset="-500000.00,-5000000.00"')
    path.write_text(
        text.replace('projParameter="!"', 'projParameter="+proj=utm +zone=33 +datum=WGS84 +units=m"')
    )
    return path


@pytest.fixture
def sumo(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Sumo]]:
    """Makes simulators and ends them all. The cache of converted networks is shared by the session."""
    made: list[Sumo] = []
    cache = tmp_path_factory.getbasetemp() / "cache"

    def make(params: dict[str, Any], seed: int = 7, folder: str = "scratch") -> Sumo:
        (scratch := tmp_path / folder).mkdir(exist_ok=True)
        context = ldt.Context(seed=seed, scratch=scratch, cache=cache)
        made.append(Sumo(params, context))
        return made[-1]

    yield make
    for simulator in made:
        simulator.finalize()


@pytest.fixture
def play() -> Callable[..., list[ldt.Tables]]:
    """Initialise, step to each instant (seconds), check every table against its port, end."""

    def run(simulator: Sumo, until: list[int]) -> list[ldt.Tables]:
        _, outputs = simulator.ports()
        start = simulator.initialize({})
        ldt.check(start["network"], outputs["network"], "network")
        results: list[ldt.Tables] = [start]
        for end in until:
            tables = simulator.step({}, end * SECOND)
            results.append({n: ldt.check(t, outputs[n], n) for n, t in tables.items()})
        simulator.finalize()
        return results

    return run
