"""A .sumocfg stands for the files that it names."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from ldt_simulator_sumo.component import Sumo

import ldt_core as ldt

Make = Callable[..., Sumo]


@pytest.fixture
def city(fork: Path, tmp_path: Path) -> Path:
    shutil.copy(fork, tmp_path / "fork.net.xml")
    (tmp_path / "one.rou.xml").write_text(
        '<routes><vehicle id="v" depart="0"><route edges="in main1 main2 out"/></vehicle></routes>'
    )
    (tmp_path / "loop.add.xml").write_text(
        '<additional><e1Detector id="l" lane="in_0" pos="50" freq="60" file="x"/></additional>'
    )
    (tmp_path / "run.sumocfg").write_text(
        '<configuration><input><net-file value="fork.net.xml"/><route-files value="one.rou.xml"/>'
        '<additional-files value="loop.add.xml"/></input></configuration>'
    )
    return tmp_path


def test_a_change_in_any_named_file_changes_what_the_configuration_stands_for(city: Path, sumo: Make) -> None:
    """Else a store would serve the results of other routes."""
    config = sumo({"demand": {"config": str(city / "run.sumocfg")}}).params.demand.config
    assert {p.name for p in config.files()} == {"run.sumocfg", "fork.net.xml", "one.rou.xml", "loop.add.xml"}
    for path in config.files():
        before = config.digest()
        path.write_bytes(path.read_bytes() + b"<!-- changed -->")
        assert config.digest() != before, path.name


def test_a_state_of_other_routes_is_refused(city: Path, sumo: Make) -> None:
    params = {"demand": {"config": str(city / "run.sumocfg")}}
    state = sumo(params).get_state()
    routes = next(p for p in sumo(params).params.demand.config.files() if p.name.endswith(".rou.xml"))
    routes.write_bytes(routes.read_bytes() + b"<!-- changed -->")
    with pytest.raises(ldt.InputError):
        sumo(params).set_state(state)
