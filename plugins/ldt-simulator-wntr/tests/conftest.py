"""Small networks with closed forms, and a way to play a component through its windows."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ldt_simulator_wntr.component import WaterNetwork

import ldt_core as ldt

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import wntr  # noqa: F401 - its import warns, which is not what any test here asks about

HOUR = 3600 * ldt.SECOND
Results = list[dict[str, ldt.Table]]

TANK = """
[JUNCTIONS]
A 0 36
[TANKS]
T 20 10 0 12 10 0
[PIPES]
P T A 100 300 130
[OPTIONS]
Units CMH
Headloss H-W
[TIMES]
Duration 24
Hydraulic Timestep 1:00
[END]
"""
PUMP = """
[JUNCTIONS]
A 0 0
B 0 0
[RESERVOIRS]
R 0
H 30
[PIPES]
P R A 1 1000 150
Q B H 1 1000 150
[PUMPS]
M A B HEAD 1
[CURVES]
1 100 40
[CONTROLS]
LINK M CLOSED AT TIME 5
LINK M OPEN AT CLOCKTIME 7 AM
[ENERGY]
Global Efficiency 60
[OPTIONS]
Units CMH
Headloss H-W
[TIMES]
Duration 24
Hydraulic Timestep 1:00
[END]
"""


@pytest.fixture(scope="session")
def small() -> SimpleNamespace:
    """The texts of the small networks."""
    return SimpleNamespace(TANK=TANK, PUMP=PUMP)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def to_file(text: str, name: str = "small.inp") -> Path:
        (path := tmp_path / name).write_text(text)
        return path

    return to_file


@pytest.fixture
def water(tmp_path: Path) -> Iterator[Callable[..., WaterNetwork]]:
    """Makes components that are initialized, and ends them all."""
    made: list[WaterNetwork] = []

    def make(**params: Any) -> WaterNetwork:
        component = WaterNetwork(params, ldt.Context(scratch=tmp_path))
        made.append(component)
        _, outputs = component.ports()
        for name, table in component.initialize({}).items():
            ldt.check(table, outputs[name], name)
        return component

    yield make
    for component in made:
        component.finalize()


@pytest.fixture
def play() -> Callable[..., Results]:
    """Step to each hour with the inputs that ``told(hour)`` gives for the window that begins then."""

    def run(component: WaterNetwork, hours: Sequence[float], told: Any = None) -> Results:
        _, outputs = component.ports()
        results, before = [], component._windows[-1][0] / HOUR if component._windows else 0.0
        for hour in hours:
            tables = component.step(told(before) if told else {}, round(hour * HOUR))
            results.append({n: ldt.check(t, outputs[n], n) for n, t in tables.items()})
            before = hour
        return results

    return run
