"""What the map viewer shows: given values at given places, on one scale, and what changed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from ldt_viewer_map import ldt_viewers
from ldt_viewer_map.viewer import MapViewer
from pydantic import ValidationError

import ldt_core as ldt
from ldt_core.scene import Block, ChartBlock, Figures, MapBlock, RunRef, Scene

BASE = RunRef(name="base", title="Base", replicates=2)
CAR_FREE = RunRef(name="car-free", title="Car-free", replicates=2)
TEMPO = RunRef(name="tempo 30", title="Tempo 30", replicates=2)
REF = "noise.levels.level"
HOSTILE = [
    "</script><img src=x onerror=alert(1)>",
    "=1+1",
    "שלום \u202edcba",
    "\ud800",
    "",
    "a\nb\x00",
    "x" * 5000,
]


def at(*replicates: Any) -> Any:
    """(replicates, 1 window, places)."""
    return np.array(replicates, float)[:, None, :]


def render(view: ldt.View, **params: Any) -> Scene:
    scene = MapViewer(params).render(view)
    assert Scene.model_validate_json(scene.model_dump_json()) == scene
    assert len({b.id for b in scene.blocks}) == len(scene.blocks)
    published = {d.id: view.published[d.id] for d in scene.data}  # type: ignore[attr-defined]
    for block in scene.blocks:
        assert block.finding
        heads = block.alternative.columns
        assert len({h.id for h in heads}) == len(heads)
        assert all(len(row) == len(heads) for row in block.alternative.rows)
        if isinstance(block, MapBlock):
            west, south, east, north = block.bounds
            assert west < east
            assert south < north
            for layer in block.layers:
                assert layer.field is None or layer.field in published[layer.data]
                assert layer.label is None or layer.label in published[layer.data]
    return scene


def table(figures: Figures) -> list[dict[str, Any]]:
    return [dict(zip((h.id for h in figures.columns), row, strict=True)) for row in figures.rows]


def block(scene: Scene, id: str) -> Any:
    return next(b for b in scene.blocks if b.id == id)


def drawn(view: Any, shown: MapBlock) -> tuple[list[str], Any, Any]:
    """ids, values (NaN where missing) and scale of the value layer, as a renderer reads them."""
    layer = shown.layers[-1]
    data = view.published[layer.data]
    values = np.where(data.mask(layer.field), np.nan, data[layer.field])
    return data["edge"].tolist(), values, layer.scale


def test_the_package_offers_the_viewer() -> None:
    assert [v.id for v in ldt_viewers()] == ["map"]


def test_all_runs_share_one_scale_and_one_frame(make_view: Any, make_variable: Any) -> None:
    level = make_variable(
        {"base": at([50, 60, 70]), "car-free": at([48, 55, 71]), "tempo 30": at([49, 58, 70])},
        quantity="x:other",
    )
    scene = render(make_view([BASE, CAR_FREE, TEMPO], {REF: level}))
    maps = [b for b in scene.blocks if isinstance(b, MapBlock)]
    values = [m for m in maps if m.compared_with is None]
    changes = [m for m in maps if m.compared_with]
    assert [m.run for m in values] == ["base", "car-free", "tempo 30"]
    assert [(m.run, m.compared_with) for m in changes] == [("car-free", "base"), ("tempo 30", "base")]
    assert len({str(m.layers[-1].scale) for m in values}) == 1
    assert len({str(m.layers[-1].scale) for m in changes}) == 1
    assert len({m.bounds for m in maps}) == 1
    assert len(scene.data) == 1, "the geometry is published once"


def test_sound_levels_have_the_usual_classes(make_view: Any, make_variable: Any) -> None:
    scene = render(make_view([BASE], {REF: make_variable({"base": at([44, 60, 80])})}))
    scale = scene.blocks[0].layers[0].scale
    assert scale.breaks == [45, 50, 55, 60, 65, 70, 75]
    assert scale.labels[0] == "44"
    assert scale.labels[-1] == "75 or more"
    assert scale.better == "lower"


def test_values_are_joined_to_places_by_id_and_a_value_without_a_place_is_told(
    make_view: Any, make_variable: Any, make_places: Any
) -> None:
    level = make_variable({"base": at([50, 60, 70])}, make_places(3))
    shuffled = make_places(2).take([1, 0])
    view = make_view([BASE], {REF: level})
    view.places = lambda ref, run=None: shuffled
    scene = render(view)
    ids, values, _ = drawn(view, scene.blocks[0])
    assert (ids, values.tolist()) == (["edge1", "edge0"], [60, 50])
    assert scene.blocks[0].finding.endswith("; 1 value without a place, not drawn")


def test_places_that_only_a_scenario_has_are_drawn(
    make_view: Any, make_variable: Any, make_places: Any
) -> None:
    level = make_variable({"base": at([50, 60, np.nan]), "car-free": at([50, 60, 70])}, make_places(3))
    view = make_view([BASE, CAR_FREE], {REF: level})
    whole = make_places(3)
    view.places = lambda ref, run=None: whole if run == "car-free" else whole.take([0, 1])
    ids, values, _ = drawn(view, block(render(view), "noise-levels-level-car-free"))
    assert (ids, values.tolist()) == (["edge0", "edge1", "edge2"], [50, 60, 70])


def test_the_finding_names_the_highest_places(make_view: Any, make_variable: Any, make_places: Any) -> None:
    places = make_places(5, names=["Via A", None, "Via A", "Via B", "Via C"])
    level = make_variable({"base": at([70.0, 69, 68, 67, np.nan])}, places)
    first = render(make_view([BASE], {REF: level}, step="5h"), top=2).blocks[0]
    assert first.finding == (
        "Loudest: Via A, 70\u202fdB; then edge1 (69) and Via B (67). "
        "Half of the 4 street sections have 69\u202fdB or more; 1 street section without a value"
    )
    assert table(first.alternative) == [
        {"place": "Via A", "id": "edge0", "value": 70, "class": "70 or more"},
        {"place": None, "id": "edge1", "value": 69, "class": "below 70"},
    ]
    assert first.alternative.more == 2
    assert first.period == "Energetic mean of 2 Mar 2026 06:00 to 11:00 (Europe/Rome)"


def test_the_change_is_told_in_the_words_of_the_quantity(
    make_view: Any, make_variable: Any, make_places: Any
) -> None:
    level = make_variable(
        {"base": at([60, 60, 60, 60, 60]), "car-free": at([61, 59, 56, 60.5, np.nan])},
        make_places(5, names=["Via A", "Via B", "Via C", "Via D", "Via E"]),
    )
    change = block(render(make_view([BASE, CAR_FREE], {REF: level})), "noise-levels-level-car-free-change")
    assert change.finding == (
        "Louder by 1\u202fdB or more at 1 of 4 street sections, above all Via A (+1); "
        "quieter at 2, above all Via C (−4) and Via B (−1); "
        "little change at 1; 1 street section without a value. Both replicates agree on these directions."
    )
    rows = table(change.alternative)
    assert [(r["place"], r["change"], r["before"], r["after"]) for r in rows] == [
        ("Via C", -4, 60, 56),
        ("Via A", 1, 60, 61),
        ("Via B", -1, 60, 59),
        ("Via D", 0.5, 60, 60.5),
    ]
    assert rows[0]["class"] == "quieter by 3 to 5"
    assert "Changes below 1\u202fdB count as little change." in change.note


def test_a_change_on_which_replicates_disagree_is_not_drawn(make_view: Any, make_variable: Any) -> None:
    base = at([60, 60, 60], [60, 60, 60])
    view = make_view(
        [BASE, CAR_FREE], {REF: make_variable({"base": base, "car-free": at([66, 65, 60], [58, 63, 60])})}
    )
    change = block(render(view), "noise-levels-level-car-free-change")
    ids, values, _ = drawn(view, change)
    assert ids == ["edge0", "edge1", "edge2"]
    np.testing.assert_array_equal(values, [np.nan, 4, 0])
    assert change.finding.endswith(
        "Both replicates agree on these directions; "
        "at 1 street section the replicates disagree, so no change is drawn."
    )
    assert [r["id"] for r in table(change.alternative)] == ["edge1", "edge2"]
    published = view.published[change.layers[-1].data]
    assert published["noise_levels_level__car_free__change"].tolist() == [2, 4, 0], (
        "the data hold it all the same"
    )


SOME = st.floats(-200, 200) | st.just(0.0) | st.just(np.nan) | st.just(np.inf)


@given(
    st.data(),
    st.integers(1, 12),
    st.integers(1, 2),
    st.sampled_from(["x:sound_level_a", "x:other"]),
    st.integers(1, 5),
)
@settings(max_examples=80, deadline=None)
def test_tables_and_counts_equal_what_is_drawn(
    make_view: Any, make_variable: Any, data: Any, places: int, replicates: int, quantity: str, top: int
) -> None:
    cells = st.lists(
        st.lists(SOME, min_size=places, max_size=places), min_size=replicates, max_size=replicates
    )
    values = {run: at(*data.draw(cells)) for run in ("base", "car-free")}
    values = {run: np.where(np.isinf(v), np.nan, v) for run, v in values.items()}
    view = make_view([BASE, CAR_FREE], {REF: make_variable(values, quantity=quantity)})
    scene = render(view, top=top)
    again = make_view([BASE, CAR_FREE], {REF: make_variable(values, quantity=quantity)})
    assert scene.model_dump_json() == render(again, top=top).model_dump_json()
    for shown in scene.blocks:
        if isinstance(shown, MapBlock):
            check_map(view, shown, top)
    chart = scene.blocks[-1]
    if isinstance(chart, ChartBlock):
        assert all(sum(s.y) == places for s in chart.series)
        for s in chart.series:
            assert [[label, y] for label, y in zip(s.x, s.y, strict=True)] == [
                [row[0], row[1 + chart.series.index(s)]] for row in chart.alternative.rows
            ]


def check_map(view: Any, shown: MapBlock, top: int) -> None:
    ids, values, scale = drawn(view, shown)
    assert scale.breaks == sorted(set(scale.breaks))
    assert len(scale.labels) == len(scale.breaks) + 1
    by_id = dict(zip(ids, values.tolist(), strict=True))
    rows = table(shown.alternative)
    column = "change" if shown.compared_with else "value"
    known = [v for v in values.tolist() if not np.isnan(v)]
    assert len(rows) == min(top, len(known))
    assert shown.alternative.more == len(known) - len(rows)
    for row in rows:
        assert by_id[row["id"]] == row[column]
        assert row["class"] == scale.labels[np.searchsorted(scale.breaks, row[column], side="right")]
    strength = [abs(r[column]) if shown.compared_with else r[column] for r in rows]
    assert strength == sorted(strength, reverse=True)
    rest = [
        v for v in known if (abs(v) if shown.compared_with else v) > (strength[-1] if strength else np.inf)
    ]
    assert len(rest) <= len(rows)
    if shown.compared_with:
        np.testing.assert_allclose(scale.breaks, -np.array(scale.breaks[::-1]))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.full((1, 1, 3), np.nan), "Sound level has no value in Base"),
        (np.zeros((1, 1, 0)), "Sound level has no value in Base"),
    ],
)
def test_where_there_is_nothing_the_finding_says_so(
    make_view: Any, make_variable: Any, values: Any, words: str
) -> None:
    scene = render(make_view([BASE], {REF: make_variable({"base": values})}))
    assert [b.finding for b in scene.blocks] == [f"There is nothing to show: {words}"]


@pytest.mark.parametrize(
    ("runs", "words"), [([], "there is no run"), ([BASE], "the view names nothing to show")]
)
def test_an_empty_view_says_so(make_view: Any, runs: Any, words: str) -> None:
    assert render(make_view(runs, {})).blocks[0].finding == f"There is nothing to show: {words}"


def test_a_run_without_values_beside_one_with(make_view: Any, make_variable: Any) -> None:
    level = make_variable({"base": at([50, 60]), "car-free": at([np.nan, np.nan])})
    scene = render(make_view([BASE, CAR_FREE], {REF: level}))
    assert [b.kind for b in scene.blocks] == ["text", "map", "text", "chart"]
    assert scene.blocks[0].finding == (
        "There is nothing to show: Sound level has no place with a value in both Base and Car-free"
    )


@pytest.mark.parametrize("shape", ["point", "line", "polygon"])
def test_one_feature(make_view: Any, make_variable: Any, make_places: Any, shape: str) -> None:
    level = make_variable({"base": at([50]), "car-free": at([47])}, make_places(1, shape))
    scene = render(make_view([BASE, CAR_FREE], {REF: level}))
    assert [b.layers[0].geometry for b in scene.blocks[:3]] == [shape] * 3
    assert scene.blocks[1].finding == "50\u202fdB at the one street section that has a value, edge0"
    assert scene.blocks[0].finding == (
        "Louder by 1\u202fdB or more at no street section; quieter at 1 of 1 street section, above all edge0 (−3). "
        "Both replicates agree on these directions."
    )


def test_places_without_geometry_are_listed(make_view: Any, make_variable: Any, make_places: Any) -> None:
    scene = render(
        make_view([BASE], {REF: make_variable({"base": at([50, 60])}, make_places(2).select("edge"))})
    )
    assert scene.blocks[0].kind == "table"
    assert scene.blocks[0].finding.startswith("Sound level has no places to draw on a map: ")
    assert [r["value"] for r in table(scene.blocks[0].alternative)] == [60, 50]


def test_missing_and_empty_geometries_stay_in_the_counts(
    make_view: Any, make_variable: Any, make_places: Any
) -> None:
    places = make_places(3)
    broken = places["geometry"].copy()
    broken[0], broken[1] = None, shapely.LineString()
    level = make_variable({"base": at([50, 60, 70])}, places.with_columns(geometry=broken))
    view = make_view([BASE], {REF: level})
    first = render(view).blocks[0]
    assert "Half of the 3 street sections" in first.finding
    assert view.published[first.layers[0].data].mask("geometry").tolist() == [True, True, False]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(make_view: Any, make_variable: Any, make_places: Any, text: str) -> None:
    proper = text.encode("utf-8", "replace").decode()
    runs = [RunRef(name="base", title=proper), RunRef(name="car-free", title=proper)]
    level = make_variable(
        {"base": at([50, 60]), "car-free": at([40, 65])}, make_places(2, names=[text, text]), title=text
    )
    view = make_view(runs, {REF: level})
    scene = render(view)
    scene.model_dump_json().encode()
    assert all(
        "\n" not in b.finding and "\u202e" not in b.finding and len(b.finding) < 2000 for b in scene.blocks
    )
    if proper:
        assert table(scene.blocks[0].alternative)[0]["place"] == proper, "in tables a name stands as it came"


def test_context_lies_below_and_only_where_the_map_is(
    make_view: Any, make_variable: Any, make_places: Any
) -> None:
    near, far = make_places(30, "polygon", "building"), 10_000.0
    moved = shapely.transform(near["geometry"][:15], lambda xy: xy + far)
    houses = near.with_columns(geometry=np.concatenate([moved, near["geometry"][15:]]))
    view = make_view(
        [BASE],
        {
            REF: make_variable({"base": at(np.linspace(40, 70, 30))}),
            "city.streets.x": make_variable({"base": np.zeros((1, 1, 2))}, make_places(2, id="way")),
            "city.buildings.x": make_variable({"base": np.zeros((1, 1, 30))}, houses, credits=["OSM"]),
        },
        show=[REF],
    )
    shown = render(view, context=["city.streets", "city.buildings"]).blocks[0]
    assert [(x.id, x.role, x.geometry) for x in shown.layers[:-1]] == [
        ("context-city-buildings", "context", "polygon"),
        ("context-city-streets", "context", "line"),
    ]
    assert len(view.published["context-city-buildings"]) == 15
    assert shown.credits == ["Example town, CC BY 4.0", "OSM"]


def test_context_that_is_also_shown_is_published_once(
    make_view: Any, make_variable: Any, make_places: Any
) -> None:
    houses, streets = make_places(3, "polygon", "edge"), make_places(3, names=["Via A", None, None])
    view = make_view(
        [BASE],
        {
            REF: make_variable({"base": at([50, 60, 70])}, houses),
            "traffic.flow.flow": make_variable({"base": at([5, 6, 7])}, streets),
        },
    )
    scene = render(view, context=[REF, "traffic.flow.flow"])
    assert len(scene.data) == 2
    levels, flows = (b for b in scene.blocks if isinstance(b, MapBlock))
    assert [x.role for x in levels.layers] == [x.role for x in flows.layers] == ["context", "value"]
    assert [x.geometry for x in flows.layers] == ["polygon", "line"]
    assert view.published[levels.layers[-1].data]["name"].tolist() == ["near Via A"] * 3


def test_refs_of_one_set_of_places_share_its_geometry(make_view: Any, make_variable: Any) -> None:
    level, flow = (make_variable({"base": at([50, 60])}) for _ in range(2))
    scene = render(make_view([BASE], {REF: level, "traffic.flow.flow": flow}))
    assert len(scene.data) == 1
    assert [f.name for f in scene.data[0].fields] == [
        "edge",
        "geometry",
        "noise_levels_level__base",
        "traffic_flow_flow__base",
    ]
    assert [f.unit for f in scene.data[0].fields[2:]] == ["dB", "dB"]


def test_over_the_budget_outlines_are_simplified_then_the_strongest_stay(
    make_view: Any, make_variable: Any
) -> None:
    values = {"base": at(np.arange(1000.0))}
    view = make_view([BASE], {REF: make_variable(values, quantity=None)}, budget=15_000)
    shown = render(view).blocks[0]
    ids, drawn_values, _ = drawn(view, shown)
    assert 100 < len(ids) < 1000
    assert drawn_values.min() == 1000 - len(ids), "the strongest stay"
    assert f"The maps draw the {len(ids)} strongest of 1000 places" in shown.note
    assert "Half of the 1000 street sections" in shown.finding
    assert shown.alternative.more == 990


def test_levels_are_averaged_by_energy(make_view: Any, make_variable: Any) -> None:
    level = make_variable({"base": np.array([[[40.0, 60.0], [80.0, 60.0]]])})
    view = make_view([BASE], {REF: level})
    first = render(view).blocks[0]
    np.testing.assert_allclose(drawn(view, first)[1], [10 * np.log10((1e4 + 1e8) / 2), 60])
    assert first.title == "Sound level: Base"
    assert first.period.startswith("Energetic mean of ")


def test_a_place_without_a_name_is_called_after_the_nearest_street(
    make_view: Any, make_variable: Any, make_places: Any
) -> None:
    houses = make_places(3, "polygon", "building", names=[None, "Town hall", None])
    far = houses["geometry"].copy()
    far[2] = shapely.transform(far[2], lambda xy: xy + 5000.0)
    view = make_view(
        [BASE],
        {
            "noise.levels.level": make_variable(
                {"base": at([70, 60, 50])}, houses.with_columns(geometry=far)
            ),
            "city.streets.x": make_variable({"base": at([0, 0])}, make_places(2, names=["Via A", None])),
        },
        show=[REF],
    )
    first = render(view, context=["city.streets.x"]).blocks[0]
    assert [r["place"] for r in table(first.alternative)] == ["near Via A", "Town hall", None]
    assert first.finding.startswith("Loudest: near Via A, 70\u202fdB; then building2 (50). ")
    assert view.published[first.layers[-1].data]["name"].tolist() == ["near Via A", "Town hall", ""]


def test_changes_are_told_by_the_streets_that_another_ref_names(
    make_view: Any, make_variable: Any, make_places: Any
) -> None:
    houses = make_places(3, "polygon", "building", names=["School", None, None])
    streets = make_places(3, names=["Via A", None, "Via C"])
    level = make_variable({"base": at([60, 60, 60]), "car-free": at([55, 62, 64])}, houses)
    flow = make_variable(
        {"base": at([300, 20, 40]), "car-free": at([0, 90, 249.4])},
        streets,
        unit="{veh}/h",
        quantity="x:traffic_flow",
    )
    scene = render(
        make_view([BASE, CAR_FREE], {REF: level, "traffic.flow.flow": flow}),
        threshold={"traffic.flow.flow": 5.0},
    )
    assert block(scene, "noise-levels-level-car-free-change").finding.startswith(
        "Louder by 1\u202fdB or more at 2 of 3 buildings, above all near Via C (+4); "
        "quieter at 1, above all near Via A (−5). "
    )
    assert block(scene, "traffic-flow-flow-car-free-change").finding.startswith(
        "More traffic by 5 vehicles an hour or more at 2 of 3 street sections, above all Via C (+209) "
    )
    assert block(scene, "traffic-flow-flow-car-free").finding.startswith(
        "Busiest: Via C, 249 vehicles an hour; then "
    )
    listed = table(block(scene, "noise-levels-level-base").alternative)
    assert {r["id"]: r["place"] for r in listed}["building0"] == "School", "tables name the house itself"


def test_changes_come_first_then_states_then_counts(make_view: Any, make_variable: Any) -> None:
    values = {"base": at([50, 60]), "car-free": at([52, 66])}
    refs = {ref: make_variable(values) for ref in (REF, "noise.levels.night")}
    scene = render(make_view([BASE, CAR_FREE], refs))
    kinds = [
        "change" if isinstance(b, MapBlock) and b.compared_with else "state" if b.kind == "map" else b.kind
        for b in scene.blocks
    ]
    assert kinds == ["change"] * 2 + ["state"] * 4 + ["chart"] * 2


def test_one_computation_is_never_called_sure(make_view: Any, make_variable: Any) -> None:
    runs = [r.model_copy(update={"replicates": 1}) for r in (BASE, CAR_FREE)]
    scene = render(make_view(runs, {REF: make_variable({"base": at([50]), "car-free": at([60])})}))
    assert scene.blocks[0].finding.endswith(" Computed once, so any of it may be chance.")


def test_usual_classes_that_nothing_reaches_are_left_out(make_view: Any, make_variable: Any) -> None:
    scene = render(make_view([BASE], {REF: make_variable({"base": at([51, 52, 58, 66])})}))
    assert scene.blocks[0].layers[0].scale.labels == ["below 55", "55 to 60", "60 to 65", "65 or more"]


def test_values_whose_places_nobody_knows_are_listed(
    make_view: Any, make_variable: Any, make_places: Any
) -> None:
    level = make_variable({"base": at([50, 60]), "car-free": at([40, 60])}, make_places(2).select("edge"))
    scene = render(make_view([BASE, CAR_FREE], {REF: level}))
    assert [b.kind for b in scene.blocks] == ["table", "table", "table", "chart"]
    assert [r["change"] for r in table(scene.blocks[0].alternative)] == [-10, 0]
    assert [r["value"] for r in table(scene.blocks[1].alternative)] == [60, 50]


def test_the_counts_name_the_break_at_which_the_runs_differ_most(make_view: Any, make_variable: Any) -> None:
    level = make_variable({"base": at([52, 66, 67, 71]), "car-free": at([51, 61, 62, 71])})
    chart = render(make_view([BASE, CAR_FREE], {REF: level})).blocks[-1]
    assert chart.finding == (
        "65\u202fdB or more: 3 of 4 street sections in Base, 1 of 4 street sections in Car-free"
    )


def test_sums_are_summed_over_time(make_view: Any, make_variable: Any) -> None:
    level = make_variable({"base": np.array([[[1.0, 2.0], [3.0, 4.0]]])}, cell="sum", quantity=None, unit="g")
    view = make_view([BASE], {REF: level})
    first = render(view).blocks[0]
    assert drawn(view, first)[1].tolist() == [4, 6]
    assert first.period.startswith("Sum of ")
    assert (
        render(make_view([BASE], {REF: level}), time="max").blocks[0].period.startswith("Highest value of ")
    )


def test_breaks_and_threshold_can_be_given(make_view: Any, make_variable: Any) -> None:
    level = make_variable({"base": at([50, 60]), "car-free": at([52, 60])})
    scene = render(make_view([BASE, CAR_FREE], {REF: level}), breaks={REF: [55]}, threshold={REF: 2.5})
    assert scene.blocks[1].layers[0].scale.breaks == [55]
    assert scene.blocks[0].layers[0].scale.breaks[3] == 2.5
    assert scene.blocks[0].finding == (
        "Louder by 2.5\u202fdB or more at no street section; quieter at no street section; "
        "little change at 2 of 2 street sections."
    )


@pytest.mark.parametrize(
    "params", [{"breaks": {REF: [2, 1]}}, {"breaks": {REF: []}}, {"threshold": {REF: 0}}, {"top": 0}]
)
def test_params_that_make_no_sense_are_refused(params: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MapViewer(params)


@pytest.mark.parametrize(
    "params", [{"titles": {"a.b.c": "A"}}, {"breaks": {"a.b.c": [1]}}, {"threshold": {"a.b.c": 1}}]
)
def test_params_for_what_is_not_shown_are_refused(make_view: Any, params: dict[str, Any]) -> None:
    with pytest.raises(ldt.ParamError, match="does not show"):
        render(make_view([BASE], {}), **params)


def test_one_id_for_several_places_is_refused(make_view: Any, make_variable: Any, make_places: Any) -> None:
    with pytest.raises(ldt.InputError, match="more than one place"):
        render(make_view([BASE], {REF: make_variable({"base": at([1, 2])}, make_places(2).take([0, 0]))}))


def test_a_hundred_thousand_places(make_view: Any, make_variable: Any, make_places: Any) -> None:
    rng = np.random.default_rng(1)
    count = 100_000
    places = make_places(count, names=[f"Street {i // 7}" for i in range(count)])
    base = rng.gamma(0.6, 300, (1, 1, count))
    level = make_variable(
        {"base": base, "car-free": base * rng.uniform(0.5, 1.2, base.shape)},
        places,
        quantity="x:traffic_flow",
        unit="{veh}/h",
    )
    scene = render(make_view([BASE, CAR_FREE], {REF: level}))
    assert len(scene.model_dump_json()) < 40_000, "the scene stays small; the data lie beside it"
    assert scene.data[0].rows == count
    assert isinstance(scene.blocks[0], Block)
