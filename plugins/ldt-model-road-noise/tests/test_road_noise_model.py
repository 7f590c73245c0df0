"""The component: ports, joins, levels, errors."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from ldt_model_road_noise import ldt_models
from ldt_model_road_noise.model import RoadNoise

import ldt_core as ldt

HOUSES = {
    "near": shapely.box(0, 15, 20, 30),
    "back": shapely.box(0, 60, 20, 75),
    "far": shapely.box(0, 2000, 20, 2015),
}
STREETS = {
    "east": shapely.LineString([(-200, 0), (220, 0)]),
    "west": shapely.LineString([(220, 4), (-200, 4)]),
    "lane": shapely.LineString([(-200, 90), (220, 90)]),
}


def network(streets: dict[str, shapely.LineString] = STREETS) -> ldt.Table:
    return ldt.Table({"edge": list(streets), "geometry": list(streets.values())})


def buildings(houses: dict[str, shapely.Polygon] = HOUSES) -> ldt.Table:
    return ldt.Table(
        {"building": list(houses), "geometry": list(houses.values()), "height": np.full(len(houses), 15.0)}
    )


def traffic(**rows: tuple[float, float, float]) -> ldt.Table:
    """edge=(flow, heavy, speed)"""
    values = np.array(list(rows.values()), float).reshape(-1, 3)
    return ldt.Table(
        {
            "time": np.full(len(rows), np.datetime64("2026-03-02T07:00", "us")),
            "edge": np.array(list(rows), object),
            "flow": values[:, 0],
            "heavy": values[:, 1],
            "speed": values[:, 2],
        }
    )


def context(**changes: object) -> ldt.Context:
    plain = {
        "start": np.datetime64("2026-03-02T07:00", "us"),
        "window": ldt.Window(1800 * ldt.SECOND, 3600 * ldt.SECOND),
        "crs": "EPSG:25832",
    }
    return ldt.Context(**(plain | changes))  # type: ignore[arg-type]


def compute(
    flows: ldt.Table, params: dict[str, object] | None = None, **inputs: ldt.Table
) -> dict[str, ldt.Table]:
    model = RoadNoise(params, context())
    given_inputs = {"network": network(), "buildings": buildings(), "traffic": flows} | inputs
    checked = {name: ldt.check(table, RoadNoise.inputs[name], name) for name, table in given_inputs.items()}
    outputs = dict(model.compute(checked))
    for name, table in outputs.items():
        ldt.check(table, RoadNoise.outputs[name], name)
    return outputs  # type: ignore[return-value]


def levels(flows: ldt.Table, **params: object) -> dict[str, float]:
    table = compute(flows, params)["levels"]
    return dict(zip(table["building"], table["level"], strict=True))


def test_it_is_offered() -> None:
    assert ldt_models() == [RoadNoise]
    assert "screening estimate" in RoadNoise.title
    assert "screening estimate" in (RoadNoise.__doc__ or "")
    assert "creening estimate" in RoadNoise.outputs["levels"].description


def test_rows_and_times() -> None:
    """A row for every building and edge, stamped with the window's start."""
    tables = compute(traffic(east=(600, 30, 40)))
    assert tables["levels"]["building"].tolist() == list(HOUSES)
    assert tables["emission"]["edge"].tolist() == list(STREETS)
    start = np.datetime64("2026-03-02T07:30", "us")
    assert (tables["levels"]["time"] == start).all()
    assert (tables["emission"]["time"] == start).all()


def test_quiet_and_far_buildings_stand_at_the_background() -> None:
    quiet = levels(traffic(east=(0, 0, 0)), background=32.5)
    assert list(quiet.values()) == pytest.approx([32.5] * 3)
    busy = levels(traffic(east=(900, 0, 50)))
    assert busy["far"] == pytest.approx(35.0)
    assert busy["near"] > busy["back"] > busy["far"]


def test_emission_is_the_a_weighted_sum_of_the_published_coefficients() -> None:
    """1000 cars/h at 70 km/h: 1000 / 70 000 stand on a metre, each with A_R and A_P of Table F-1."""
    rolling = [83.1, 89.2, 87.7, 93.1, 100.1, 96.7, 86.8, 76.2]
    propulsion = [97.9, 92.5, 90.7, 87.2, 84.7, 88.0, 84.4, 77.1]
    weighting = [-26.2, -16.1, -8.6, -3.2, 0.0, 1.2, 1.0, -1.1]
    total = sum(
        (10 ** (r / 10) + 10 ** (p / 10)) * 10 ** (a / 10)
        for r, p, a in zip(rolling, propulsion, weighting, strict=True)
    )
    by_hand = 10 * np.log10(total) - 10 * np.log10(70)
    power = compute(traffic(east=(1000, 0, 70)))["emission"]["power"]
    assert power == pytest.approx([by_hand, 0.0, 0.0])


def test_level_beside_a_street_is_the_emission_less_the_divergence() -> None:
    """Wall 15 m from a street of 420 m: L'W - 10 lg d - 3, less the ends out of sight and the air."""
    tables = compute(traffic(east=(1000, 0, 50)), {"max_distance": 500.0})
    power, level = tables["emission"]["power"][0], tables["levels"]["level"][0]
    distance = (14.5**2 + 3.95**2) ** 0.5
    seen = (np.arctan(215 / distance) + np.arctan(205 / distance)) / np.pi
    ideal = power - 10 * np.log10(distance) - 10 * np.log10(2) + 10 * np.log10(seen)
    assert ideal - 0.5 < level < ideal


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 3000), st.floats(0, 1), st.floats(5, 120)), min_size=3, max_size=3),
    st.integers(0, 2),
    st.floats(0, 2000),
    st.floats(0, 1),
)
def test_more_traffic_is_never_quieter(
    rows: list[tuple[float, float, float]], which: int, more: float, share: float
) -> None:
    plain = {e: (f, f * h, v) for e, (f, h, v) in zip(STREETS, rows, strict=True)}
    edge = list(STREETS)[which]
    flow, heavy, speed = plain[edge]
    grown = plain | {edge: (flow + more, heavy + share * more, speed)}
    before, after = levels(traffic(**plain)), levels(traffic(**grown))
    assert all(after[b] >= before[b] - 1e-9 for b in HOUSES)
    assert all(level >= 35.0 for level in before.values())


def test_lorries_paving_stones_and_cold_are_louder() -> None:
    plain = levels(traffic(east=(600, 0, 40)))["near"]
    assert levels(traffic(east=(600, 60, 40)))["near"] > plain + 1
    assert levels(traffic(east=(600, 0, 40)), surface="NL11")["near"] > plain + 3
    assert levels(traffic(east=(600, 0, 40)), temperature=0.0)["near"] > plain
    heavy = traffic(east=(600, 60, 40))
    assert levels(heavy, medium_share=1.0)["near"] < levels(heavy)["near"]


def test_row_order_and_absent_rows_change_nothing() -> None:
    first = levels(traffic(east=(600, 0, 40), lane=(50, 5, 20), west=(0, 0, 10)))
    assert levels(traffic(lane=(50, 5, 20), east=(600, 0, 40))) == first


def test_windows_repeat_exactly_and_geometry_is_traced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pure function: the kept geometry changes no bit, and another town does not meet it."""
    flows = traffic(east=(613, 7, 41))
    first = compute(flows)
    calls = []
    monkeypatch.setattr("ldt_model_road_noise.model.trace", lambda *a, **k: calls.append(1))
    assert compute(flows)["levels"] == first["levels"]
    assert not calls
    monkeypatch.undo()
    moved = {
        name: shapely.transform(house, lambda xy: xy + np.array([0, 3])) for name, house in HOUSES.items()
    }
    assert compute(flows, buildings=buildings(moved))["levels"] != first["levels"]
    assert compute(flows)["levels"] == first["levels"]


def test_closing_a_street_and_moving_its_cars() -> None:
    """The sign that the model is for: quieter where cars leave, louder where they go."""
    before = levels(traffic(east=(800, 0, 40), lane=(50, 0, 30)))
    after = levels(traffic(east=(0, 0, 40), lane=(850, 0, 30)))
    assert after["near"] < before["near"] - 3
    assert after["back"] > before["back"] + 3


def test_empty_tables() -> None:
    nothing = {}
    assert len(compute(traffic(), buildings=buildings(nothing))["levels"]) == 0
    tables = compute(traffic(), network=network(nothing))
    assert len(tables["emission"]) == 0
    assert tables["levels"]["level"] == pytest.approx([35.0] * 3)


def test_flags_tell_of_enclosed_buildings_and_speeds() -> None:
    ctx = context()
    houses = {"yard": shapely.box(0, 0, 50, 50), "inner": shapely.box(10, 10, 20, 20)}
    model = RoadNoise({"surface": "NL05"}, ctx)
    inputs = {"network": network(), "buildings": buildings(houses), "traffic": traffic(east=(9, 0, 20))}
    model.compute(inputs)
    assert {f.name: f.value for f in ctx.flags} == {"enclosed_buildings": 1.0, "surface_speed": 1.0}


@pytest.mark.parametrize(
    ("flows", "words"),
    [
        (traffic(north=(1, 0, 10)), "'north'"),
        (traffic(east=(10, 11, 10)), "11 heavy among 10"),
    ],
)
def test_what_does_not_pair_is_refused(flows: ldt.Table, words: str) -> None:
    with pytest.raises(ldt.InputError, match=words):
        compute(flows)


def test_an_edge_twice_is_refused() -> None:
    twice = traffic(east=(1, 0, 10)).take([0, 0])
    with pytest.raises(ldt.InputError, match="several rows"):
        compute(twice)
    with pytest.raises(ldt.InputError, match="more than once"):
        compute(traffic(), network=network().take([0, 0]))


def test_degrees_are_refused() -> None:
    model = RoadNoise({}, context(crs="EPSG:4326"))
    inputs = {"network": network(), "buildings": buildings(), "traffic": traffic()}
    with pytest.raises(ldt.InputError, match="degree"):
        model.compute(inputs)


def test_cancelling_stops_the_tracing() -> None:
    model = RoadNoise({"spacing": 3.21}, context(cancelled=lambda: True))
    inputs = {"network": network(), "buildings": buildings(), "traffic": traffic()}
    with pytest.raises(ldt.Cancelled):
        model.compute(inputs)
