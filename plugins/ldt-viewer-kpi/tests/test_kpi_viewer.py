"""What the KPI viewer shows: the figures it was given, judged in the words that came with them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ldt_viewer_kpi import ldt_viewers
from ldt_viewer_kpi.viewer import KpiViewer

import ldt_core as ldt
from ldt_core.scene import ChartBlock, Figures, Kpi, KpiBlock, KpiValue, RunRef, Scene, Series

BASE, CAR_FREE = (
    RunRef(name="base", title="Base", replicates=4),
    RunRef(name="car-free", title="Car-free", replicates=4),
)
HOSTILE = [
    "</script><img src=x onerror=alert(1)>",
    "=1+1",
    "שלום \u202edcba",
    "\ud800",
    "",
    "a\nb\x00",
    "x" * 5000,
]


def kpi(
    id: str, change: float | None, better: bool | None = None, *, half: float | None = 1.0, **more: Any
) -> Kpi:
    """A KPI of 10 in the base and 10 + change in the other run, with an interval of +- half."""
    values = [KpiValue(run="base", value=10.0, lowest=9.0, highest=11.0, n=4)]
    if change is not None:
        ends = (None, None) if half is None else (change - half, change + half)
        words = "not distinguishable" if better is None else "distinguishable"
        values.append(
            KpiValue(
                run="car-free",
                value=10 + change,
                lowest=9 + change,
                highest=11 + change,
                n=4,
                change=change,
                percent=10 * change,
                low=ends[0],
                high=ends[1],
                verdict=words,
                better=better,
            )
        )
    return Kpi(**({"id": id, "title": id.title(), "unit": "dB", "better": "lower", "values": values} | more))


def render(view: ldt.View, **params: Any) -> Scene:
    scene = KpiViewer(params).render(view)
    assert Scene.model_validate_json(scene.model_dump_json()) == scene
    assert all(b.finding and isinstance(b.alternative, Figures) for b in scene.blocks)
    assert len({b.id for b in scene.blocks}) == len(scene.blocks)
    for block in scene.blocks:
        heads = block.alternative.columns
        assert len({h.id for h in heads}) == len(heads)
        assert all(len(row) == len(heads) for row in block.alternative.rows)
    return scene


def table(figures: Figures) -> list[dict[str, Any]]:
    return [dict(zip((h.id for h in figures.columns), row, strict=True)) for row in figures.rows]


def block(scene: Scene, id: str) -> Any:
    return next(b for b in scene.blocks if b.id == id)


def test_the_package_offers_the_viewer() -> None:
    assert [v.id for v in ldt_viewers()] == ["kpi"]


def test_the_finding_counts_only_distinguishable_changes_as_better_or_worse(make_view: Any) -> None:
    kpis = [kpi("noise", -3, True)] + [kpi(f"worse{i}", 4, False) for i in range(4)]
    kpis += [kpi("a", 0.1), kpi("b", -0.4)]
    scene = render(make_view([BASE, CAR_FREE], {}, kpis))
    assert scene.blocks[0].finding == (
        "Compared with Base, Car-free changes 5 of 7 results beyond chance: 1 better, 4 worse; 2 may be chance"
    )


def test_every_kind_of_judgement_is_counted_once(make_view: Any) -> None:
    kpis = [
        kpi("better", -3, True),
        kpi("noise", 0.2),
        kpi("neither", 5).model_copy(update={"better": None}),
        kpi("same", 0, half=0.0),
        kpi("lone", 2, half=None),
        kpi("gone", None),
    ]
    scene = render(make_view([BASE, CAR_FREE], {}, kpis))
    assert scene.blocks[0].finding == (
        "Compared with Base, Car-free changes 2 of 6 results beyond chance: 1 better, 1 without a better side; "
        "1 may be chance; 1 unchanged; 1 with too few replicates to tell; 1 without a value to compare"
    )


def test_no_direction_is_given_for_a_change_that_may_be_chance(make_view: Any) -> None:
    scene = render(make_view([BASE, CAR_FREE], {}, [kpi("noise", -0.4)]))
    text = scene.model_dump_json()
    assert "lower by" not in text
    assert " better" not in scene.blocks[0].finding
    assert scene.blocks[0].finding == (
        "Compared with Base, Car-free changes none of 1 result beyond chance; 1 may be chance"
    )


def test_the_verdict_stands_as_it_came(make_view: Any) -> None:
    given = kpi("noise", -3, True)
    loud = given.values[1].model_copy(update={"verdict": "same in every replicate"})
    scene = render(
        make_view([BASE, CAR_FREE], {}, [given.model_copy(update={"values": [given.values[0], loud]})]),
        spread=True,
    )
    assert table(scene.blocks[0].alternative)[1]["verdict"] == "better, same in every replicate"
    assert (
        "lower by 3\u202fdB (95\u202f% interval 2 to 4), better, same in every replicate"
        in block(scene, "spread-noise").finding
    )


def test_a_change_of_a_share_is_in_percentage_points(make_view: Any) -> None:
    scene = render(make_view([BASE, CAR_FREE], {}, [kpi("share", -3, True, unit="%")]), spread=True)
    assert "lower by 3 percentage points" in block(scene, "spread-share").finding


def test_changes_are_drawn_on_one_axis_with_their_intervals(make_view: Any) -> None:
    kpis = [kpi("noise", -3, True), kpi("jam", 4, False, title="Noise"), kpi("none", None)]
    chart = block(render(make_view([BASE, CAR_FREE], {}, kpis)), "changes")
    assert chart.y.zero
    assert chart.y.unit == "%"
    (line,) = chart.series
    assert (line.x, line.y) == (["Noise (noise)", "Noise (jam)"], [-30, 40])
    np.testing.assert_allclose((line.low, line.high), ([-40, 30], [-20, 50]))
    assert chart.finding == (
        "The largest change beyond chance, in percent, is Noise (jam) in Car-free: 40\u202f% higher, worse, distinguishable"
    )


def test_figures_side_by_side_are_told_apart(make_view: Any) -> None:
    value = KpiValue(run="base", value=100.38, lowest=100.35, highest=100.41, n=4, met=False)
    given = Kpi(id="a", title="A", unit="dB", better="lower", target=100.0, values=[value])
    assert block(render(make_view([BASE], {}, [given])), "spread-a").finding == (
        "Base 100.38\u202fdB (100.35 to 100.41); target 100\u202fdB met by none "
        "(in brackets lowest to highest of 4 replicates)"
    )


def test_levels_are_not_averaged_over_places(make_view: Any, make_variable: Any) -> None:
    level = make_variable({"base": np.array([[[40.0, 80.0]]])}, unit="dB", title="sound level")
    chart = render(make_view([BASE], {"traffic.flow.flow": level})).blocks[-1]
    assert isinstance(chart, ChartBlock)
    assert chart.title == "Sound level (highest place)"
    assert chart.series[0].y == [80]


def test_targets_are_counted_for_each_run(make_view: Any) -> None:
    given = kpi("noise", -3, True, target=8.0)
    values = [v.model_copy(update={"met": v.run == "car-free"}) for v in given.values]
    scene = render(
        make_view([BASE, CAR_FREE], {}, [given.model_copy(update={"values": values})]), spread=True
    )
    assert scene.blocks[0].finding.endswith("Targets met: Base 0 of 1, Car-free 1 of 1")
    chart = block(scene, "spread-noise")
    assert [s.name for s in chart.series] == ["Mean of replicates", "Target"]
    assert "; target 8\u202fdB met by Car-free" in chart.finding


def test_one_run_has_nothing_to_compare_with(make_view: Any) -> None:
    scene = render(make_view([BASE], {}, [kpi("noise", None)]))
    assert scene.blocks[0].finding == "1 result of Base; there is no other run to compare with"


@pytest.mark.parametrize(
    ("runs", "kpis", "words"),
    [
        ([], [], "there is no run"),
        ([BASE], [], "the twin file names no KPI"),
        ([BASE], [Kpi(id="a", title="A", unit="1", values=[])], "none of 1 KPIs has a value"),
        (
            [BASE],
            [Kpi(id="a", title="A", unit="1", values=[KpiValue(run="base", value=float("nan"))])],
            "none of 1",
        ),
    ],
)
def test_where_there_is_nothing_the_finding_says_so(make_view: Any, runs: Any, kpis: Any, words: str) -> None:
    finding = render(make_view(runs, {}, kpis)).blocks[0].finding
    assert finding.startswith("There is nothing to show: ")
    assert words in finding


VALUES = st.none() | st.floats(allow_nan=True, allow_infinity=True)


@st.composite
def any_kpis(draw: Any) -> list[Kpi]:
    def value(run: str) -> KpiValue:
        numbers = {
            n: draw(VALUES) for n in ("value", "lowest", "highest", "change", "percent", "low", "high")
        }
        return KpiValue(run=run, n=draw(st.integers(1, 9)), better=draw(st.none() | st.booleans()), **numbers)

    runs = draw(st.lists(st.sampled_from(["base", "car-free", "stranger"]), unique=True))
    return [
        Kpi(
            id=f"k{i}",
            title=draw(st.text(max_size=20)),
            unit=draw(st.sampled_from(["dB", "%", "ug/m3", "1"])),
            target=draw(VALUES),
            values=[value(run) for run in runs],
        )
        for i in range(draw(st.integers(0, 4)))
    ]


def points(series: Series) -> Any:
    nothing = [None] * len(series.x)
    return zip(series.x, series.y, series.low or nothing, series.high or nothing, strict=True)


@given(any_kpis())
@settings(max_examples=60, deadline=None)
def test_the_alternatives_hold_what_is_drawn(make_view: Any, kpis: list[Kpi]) -> None:
    scene = render(make_view([BASE, CAR_FREE], {}, kpis), spread=True)
    assert scene == render(make_view([BASE, CAR_FREE], {}, kpis), spread=True)
    names = {"base": "Base", "car-free": "Car-free"}
    for block in scene.blocks:
        if isinstance(block, KpiBlock):
            drawn = [
                [k.title, k.unit, names[v.run], v.value, v.lowest, v.highest, v.n, k.target, v.met, v.change]
                for k in block.kpis
                for v in k.values
            ]
            assert [row[:10] for row in block.alternative.rows] == drawn
            assert all([v.run for v in k.values] == ["base", "car-free"] for k in block.kpis)
        elif block.id == "changes":
            assert isinstance(block, ChartBlock)
            lines = sorted(
                ((x, s.name, y, low, high) for s in block.series for x, y, low, high in points(s)), key=str
            )
            assert lines == sorted((tuple(row[:5]) for row in block.alternative.rows), key=str)
        elif isinstance(block, ChartBlock):
            rows = table(block.alternative)
            assert [r["run"] for r in rows] == block.series[0].x
            assert [r["value"] for r in rows] == block.series[0].y
            for s, column in ((block.series[0].low, "lowest"), (block.series[0].high, "highest")):
                assert s is None or s == [r[column] for r in rows]
            if len(block.series) > 1:
                assert [r["target"] for r in rows] == block.series[1].y
    json.loads(scene.model_dump_json())


def flows(*replicates: Any) -> Any:
    """(replicates, windows, 2 places) where both places have the value of the window."""
    return np.repeat(np.array(replicates, float)[:, :, None], 2, axis=2)


def test_a_line_per_run_with_its_spread(make_view: Any, make_variable: Any) -> None:
    flow = make_variable(
        {"base": flows([1, 5], [3, 7]), "car-free": flows([2, 2], [2, 2])}, synthetic=["Made up."]
    )
    scene = render(make_view([BASE, CAR_FREE], {"traffic.flow.flow": flow}))
    chart = scene.blocks[-1]
    assert isinstance(chart, ChartBlock)
    assert chart.mark == "line"
    assert chart.y.unit == "{veh}/h"
    assert chart.series[0].x == ["2026-03-02T05:00:00Z", "2026-03-02T05:15:00Z"]
    assert (chart.series[0].y, chart.series[0].low, chart.series[0].high) == ([2, 6], [1, 5], [3, 7])
    assert (chart.series[1].y, chart.series[1].low) == ([2, 2], None)
    assert chart.alternative.rows == [
        ["2026-03-02T05:00:00Z", 2, 1, 3, 2],
        ["2026-03-02T05:15:00Z", 6, 5, 7, 2],
    ]
    assert chart.finding == (
        "Highest at 2 Mar 2026 06:15 (Europe/Rome): 6\u202fvehicles/h in Base; on average 4 in Base; "
        "Car-free 2\u202fvehicles/h throughout"
    )
    assert chart.credits == ["Example town, CC BY 4.0"]
    assert chart.synthetic == ["Made up."]


def test_averaged_points_span_all_their_windows(make_view: Any, make_variable: Any) -> None:
    view = make_view(
        [BASE], {"traffic.flow.flow": make_variable({"base": flows([1, 9, 5, 3], [3, 11, 7, 5])})}
    )
    chart = render(view, max_steps=2).blocks[-1]
    assert isinstance(chart, ChartBlock)
    line = chart.series[0]
    assert (line.y, line.low, line.high) == ([6, 5], [1, 3], [11, 7])
    assert chart.note == "Each point is the mean of 2 windows."


def test_a_line_runs_in_the_order_of_time(make_view: Any, make_variable: Any) -> None:
    view = make_view([BASE], {"traffic.flow.flow": make_variable({"base": flows([1, 5, 3])})})
    series = view.series
    view.series = lambda ref, run, space="mean": series(ref, run, space).take([2, 0, 1])
    chart = render(view).blocks[-1]
    assert isinstance(chart, ChartBlock)
    assert chart.series[0].y == [1, 5, 3]


def test_columns_that_are_sums_are_summed_over_places(make_view: Any, make_variable: Any) -> None:
    flow = make_variable({"base": flows([1, 5])}, cell="sum", unit="g", title="CO2")
    chart = render(make_view([BASE], {"traffic.flow.flow": flow})).blocks[-1]
    assert isinstance(chart, ChartBlock)
    assert chart.title == "CO₂ (sum over places)"
    assert chart.series[0].y == [2, 10]


@given(st.lists(st.floats(0, 1e6) | st.just(np.nan), min_size=1, max_size=200), st.integers(2, 30))
@settings(max_examples=40, deadline=None)
def test_long_lines_are_averaged_and_keep_their_extremes(
    make_view: Any, make_variable: Any, values: list[float], most: int
) -> None:
    noisy = np.array([values, np.array(values) + 1.0])
    view = make_view([BASE], {"traffic.flow.flow": make_variable({"base": flows(*noisy)})})
    block = render(view, max_steps=most).blocks[-1]
    if np.isnan(values).all():
        assert block.finding.startswith("There is nothing to show")
        return
    assert isinstance(block, ChartBlock)
    line = block.series[0]
    assert len(line.x) <= most
    assert bool(block.note) == (len(values) > most)
    assert line.low is not None
    assert line.high is not None
    np.testing.assert_allclose(min(v for v in line.low if v is not None), np.nanmin(values))
    np.testing.assert_allclose(max(v for v in line.high if v is not None), np.nanmax(values) + 1, rtol=1e-12)
    rows = table(block.alternative)
    assert [r["time"] for r in rows] == line.x
    assert [r["base"] for r in rows] == line.y
    assert [r["base.low"] for r in rows] == line.low


def test_one_instant_is_drawn_as_dots(make_view: Any, make_variable: Any) -> None:
    flow = make_variable({"base": flows([4]), "car-free": flows([2])})
    chart = render(make_view([BASE, CAR_FREE], {"traffic.flow.flow": flow})).blocks[-1]
    assert isinstance(chart, ChartBlock)
    assert chart.mark == "dot"


@pytest.mark.parametrize("shape", [(1, 0, 3), (1, 3, 0), (2, 3, 2)])
def test_a_value_that_never_is_says_so(
    make_view: Any, make_variable: Any, shape: tuple[int, int, int]
) -> None:
    flow = make_variable({"base": np.full(shape, np.nan)})
    block = render(make_view([BASE], {"traffic.flow.flow": flow})).blocks[-1]
    assert block.kind == "text"
    assert block.finding == "There is nothing to show: Traffic flow has no value in any run"


def test_spreads_are_drawn_where_nothing_else_shows_chance(make_view: Any) -> None:
    kpis = [kpi("noise", -3, True)]
    for runs, param, drawn in (
        ([BASE], None, True),
        ([BASE, CAR_FREE], None, False),
        ([BASE, CAR_FREE], True, True),
        ([BASE], False, False),
    ):
        scene = render(make_view(runs, {}, kpis), spread=param)
        assert any(b.id == "spread-noise" for b in scene.blocks) is drawn


def test_every_figure_is_in_one_table(make_view: Any) -> None:
    scene = render(make_view([BASE, CAR_FREE], {}, [kpi("noise", -3, True, target=8.0)]))
    assert [b.id for b in scene.blocks] == ["kpis", "changes"], "no block repeats another"
    shown = table(scene.blocks[0].alternative)[1]
    assert (shown["value"], shown["lowest"], shown["highest"], shown["target"]) == (7, 6, 8, 8)
    assert (shown["change"], shown["low"], shown["high"], shown["percent"]) == (-3, -4, -2, -30)


def test_results_without_a_change_in_percent_are_named(make_view: Any) -> None:
    given = kpi("louder", 4, False)
    values = [given.values[0], given.values[1].model_copy(update={"percent": None})]
    kpis = [kpi("noise", -3, True), given.model_copy(update={"values": values})]
    chart = block(render(make_view([BASE, CAR_FREE], {}, kpis)), "changes")
    assert chart.note.endswith("Without a change in percent: Louder.")


def test_peaks_at_different_times_are_told_with_their_times(make_view: Any, make_variable: Any) -> None:
    flow = make_variable({"base": flows([1, 5]), "car-free": flows([4, 2])}, placed=False)
    chart = render(make_view([BASE, CAR_FREE], {"traffic.flow.flow": flow})).blocks[-1]
    assert chart.title == "Traffic flow", "what has no places is not averaged over them"
    assert chart.finding == (
        "Highest: 5\u202fvehicles/h in Base, at 2 Mar 2026 06:15 (Europe/Rome); "
        "4\u202fvehicles/h in Car-free, at 2 Mar 2026 06:00 (Europe/Rome); on average 3 in Base and 3 in Car-free"
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(make_view: Any, make_variable: Any, text: str) -> None:
    proper = text.encode("utf-8", "replace").decode()
    runs = [RunRef(name="base", title=proper), RunRef(name="car-free", title=proper)]
    flow = make_variable({"base": flows([4]), "car-free": flows([2])}, title=text)
    flags = {"base": [ldt.Flag(text, float("nan"), "1", text)]}
    scene = render(
        make_view(runs, {"traffic.flow.flow": flow}, [kpi("noise", -3, True, title=proper)], raised=flags)
    )
    scene.model_dump_json().encode()
    assert all(
        "\n" not in b.finding and "\u202e" not in b.finding and len(b.finding) < 2000 for b in scene.blocks
    )


def test_a_title_for_what_is_not_shown_is_refused(make_view: Any) -> None:
    with pytest.raises(ldt.ParamError, match="does not show"):
        render(make_view([BASE], {}), titles={"a.b.c": "A"})


def test_an_unknown_reference_is_not_found(make_view: Any) -> None:
    with pytest.raises(ldt.NotFound):
        render(make_view([BASE], {}, show=["no.such.thing"]))
