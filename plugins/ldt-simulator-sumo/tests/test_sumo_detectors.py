"""Induction loops of additional files become the port ``detectors``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ldt_simulator_sumo.component import Sumo

import ldt_core as ldt

Make = Callable[..., Sumo]
VEHICLE = '<vehicle id="v" depart="0"><route edges="in main1 main2 out"/></vehicle>'


def _loops(sumo: Make, fork: Path, tmp_path: Path, *loops: str) -> ldt.Table:
    additional, routes = tmp_path / "loops.add.xml", tmp_path / "one.rou.xml"
    additional.write_text(f"<additional>{''.join(loops)}</additional>")
    routes.write_text(f"<routes>{VEHICLE}</routes>")
    params: dict[str, Any] = {"network": str(fork)}
    params["demand"] = {"routes": [str(routes)], "additional": [str(additional)]}
    simulator = sumo(params)
    start = simulator.initialize({})
    ldt.check(start["detectors"], simulator.ports()[1]["detectors"], "detectors")
    simulator.step({}, 10 * ldt.SECOND)
    table = start["detectors"]
    assert isinstance(table, ldt.Table)
    return table


def test_loops_stand_on_their_edges(sumo: Make, fork: Path, tmp_path: Path) -> None:
    table = _loops(
        sumo,
        fork,
        tmp_path,
        '<e1Detector id="a" lane="main1_1" pos="20" freq="60" file="e1.xml"/>',
        '<!-- <e1Detector id="b" lane="main1_0" pos="20" freq="60" file="e1.xml"/> -->',
        '<inductionLoop id="c" lane="out_0" pos="-30" period="60" file="e1.xml"/>',
        '<e2Detector id="d" lane="out_0" pos="5" length="9" period="60" file="e2.xml"/>',
    )
    assert table["detector"].tolist() == ["a", "c"]
    assert table["edge"].tolist() == ["main1", "out"]
    assert table["lane"].tolist() == ["main1_1", "out_0"]
    assert table["position"][0] == 20
    assert 250 < table["position"][1] < 270, "30 m before the end of a lane of almost 300 m"
    assert not list(tmp_path.rglob("e1.xml")), "loops write nothing"


def test_no_loop_gives_no_row(sumo: Make, fork: Path) -> None:
    start = sumo({"network": str(fork), "demand": {"rate": 600.0}}).initialize({})
    assert len(start["detectors"]) == 0


@pytest.mark.parametrize(
    ("loops", "words"),
    [
        (['<e1Detector id="a" lane="nowhere_0" pos="1" freq="60" file="x"/>'], "lies on no lane 'nowhere_0'"),
        (['<e1Detector id="a" lane="in_0" pos="1" freq="60" file="x"/>'] * 2, "lies twice"),
    ],
)
def test_a_loop_that_cannot_lie_is_named(
    sumo: Make, fork: Path, tmp_path: Path, loops: list[str], words: str
) -> None:
    with pytest.raises(ldt.InputError, match=f"induction loop 'a' {words}"):
        _loops(sumo, fork, tmp_path, *loops)
