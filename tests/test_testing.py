"""The in-memory view for authors of viewers answers what the contract says, on figures worked out by hand."""

from __future__ import annotations

import hashlib
import inspect
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import ldt_core as ldt
from ldt_core import scene, testing

NAN = float("nan")
REF = "traffic.flow.flow"
RUNS = [scene.RunRef(name="base", title="Today", replicates=2), scene.RunRef(name="calm", title="Calm")]
PLACES = ldt.Table(
    {
        "edge": ["a", "b", "c"],
        "name": ["Via A", "Via B", "Via C"],
        "geometry": np.array([shapely.LineString([(i, 0), (i, 80)]) for i in range(3)], object),
    }
)
FLOW = testing.Variable(
    {  # two replicates, two windows, three places
        "base": [[[10, 2, NAN], [30, 4, NAN]], [[20, 2, NAN], [60, NAN, NAN]]],
        "calm": [[[10, 1, 7], [10, 1, 7]], [[20, 3, 9], [20, 3, 9]]],
    },
    PLACES,
    unit="{veh}/h",
    quantity="x:traffic_flow",
    title="flow",
    credits=["Example town, CC BY 4.0"],
    synthetic=["Made up."],
)


@pytest.fixture
def view() -> testing.MemoryView:
    return testing.MemoryView(RUNS, {REF: FLOW}, step="1h")


def rows(table: ldt.Table) -> list[tuple[Any, ...]]:
    """Value, low and high by row, None where there is none."""
    known = {n: ~table.mask(n) for n in ("value", "low", "high")}
    return [tuple(float(table[n][i]) if known[n][i] else None for n in known) for i in range(len(table))]


@pytest.mark.parametrize(
    ("time", "wanted"),
    [
        # a: the replicates' means are 20 and 40; b: 3 and 2, the second window of one is unknown.
        ("mean", [(30, 20, 40), (2.5, 2, 3), (None,) * 3]),
        ("sum", [(60, 40, 80), (4, 2, 6), (None,) * 3]),
        ("min", [(15, 10, 20), (2, 2, 2), (None,) * 3]),
        ("max", [(45, 30, 60), (3, 2, 4), (None,) * 3]),
        ("last", [(45, 30, 60), (3, 2, 4), (None,) * 3]),
    ],
)
def test_values_are_reduced_over_time_and_then_over_replicates(
    view: testing.MemoryView, time: str, wanted: list[Any]
) -> None:
    table = view.values(REF, "base", time)
    assert table.names == ["edge", "value", "low", "high"]
    assert table["edge"].tolist() == ["a", "b", "c"]
    assert rows(table) == wanted


def test_changes_are_paired_replicate_by_replicate(view: testing.MemoryView) -> None:
    # a: 10 - 20 and 20 - 40; b: 1 - 3 and 3 - 2; c has no value in the baseline.
    assert rows(view.paired(REF, "calm")) == [(-15, -20, -10), (-0.5, -2, 1), (None,) * 3]
    assert rows(view.paired(REF, "base")) == [(0, 0, 0), (0, 0, 0), (None,) * 3]


@pytest.mark.parametrize(
    ("space", "wanted"),
    [
        # 05:00: (10, 2) and (20, 2); 06:00: (30, 4) and 60 alone.
        ("mean", [(8.5, 6, 11), (38.5, 17, 60)]),
        ("sum", [(17, 12, 22), (47, 34, 60)]),
        ("min", [(2, 2, 2), (32, 4, 60)]),
        ("max", [(15, 10, 20), (45, 30, 60)]),
    ],
)
def test_series_have_one_row_per_window(view: testing.MemoryView, space: str, wanted: list[Any]) -> None:
    table = view.series(REF, "base", space)
    assert table["time"].tolist() == np.array(["2026-03-02T05", "2026-03-02T06"], "M8[us]").tolist()
    assert rows(table) == wanted
    assert (view.start, view.end) == ("2026-03-02T05:00:00Z", "2026-03-02T07:00:00Z")


def test_levels_are_averaged_by_their_energy() -> None:
    level = testing.Variable({"base": [[[40.0, 50.0], [60.0, 50.0]]]}, unit="dB")
    view = testing.MemoryView(RUNS[:1], {"noise.levels.level": level})
    over_time = view.values("noise.levels.level", "base", "energetic")
    assert over_time["value"] == pytest.approx([10 * np.log10((1e4 + 1e6) / 2), 50])
    over_space = view.series("noise.levels.level", "base", "energetic")
    assert over_space["value"] == pytest.approx(
        [10 * np.log10((1e4 + 1e5) / 2), 10 * np.log10((1e6 + 1e5) / 2)]
    )


def test_no_place_and_no_window_are_answered() -> None:
    nowhere = testing.MemoryView(RUNS[:1], {REF: testing.Variable({"base": np.zeros((2, 3, 0))})})
    assert len(nowhere.values(REF, "base")) == 0
    assert rows(nowhere.series(REF, "base")) == [(None,) * 3] * 3
    assert rows(nowhere.series(REF, "base", "sum")) == [(0, 0, 0)] * 3
    never = testing.MemoryView(RUNS[:1], {REF: testing.Variable({"base": np.zeros((2, 0, 3))})})
    assert rows(never.values(REF, "base")) == [(None,) * 3] * 3
    assert len(never.series(REF, "base")) == 0
    assert never.start == never.end


@given(
    arrays(
        float, array_shapes(min_dims=3, max_dims=3, max_side=4), elements=st.floats(-1e6, 1e6) | st.just(NAN)
    ),
    st.sampled_from(["mean", "sum", "min", "max"]),
)
def test_a_value_lies_between_its_replicates(block: Any, how: str) -> None:
    view = testing.MemoryView(RUNS[:1], {REF: testing.Variable({"base": block})})
    never = np.isnan(block).all(axis=(0, 1))
    table = view.values(REF, "base", how)
    assert table.mask("value").tolist() == never.tolist()
    for value, low, high in [r for r in rows(table) + rows(view.series(REF, "base", how)) if None not in r]:
        assert low - 1e-6 <= value <= high + 1e-6


def test_what_a_column_means(view: testing.MemoryView) -> None:
    info = view.info(REF)
    assert (info.component, info.port, info.column) == ("traffic", "flow", "flow")
    assert (info.unit, info.quantity, info.cell, info.title) == ("{veh}/h", "x:traffic_flow", "mean", "flow")
    assert info.geometry == "line"
    assert view.info("traffic.flow").column == "flow", "the port has this one variable"
    assert view.places(REF) == PLACES
    assert view.credits(REF) == ["Example town, CC BY 4.0"]
    assert view.synthetic(REF) == ["Made up."]
    assert view.show == [REF]
    flag = ldt.Flag("teleports", 3, "1", "vehicles were moved")
    flagged = testing.MemoryView(RUNS, {REF: FLOW}, raised={"calm": [flag]})
    assert (flagged.flags("calm"), flagged.flags("base")) == ([flag], [])


def test_without_places_there_are_values_all_the_same() -> None:
    view = testing.MemoryView(RUNS[:1], {REF: testing.Variable({"base": [[[1.0, 2.0]]]})})
    assert view.values(REF, "base")["place"].tolist() == ["p0", "p1"]
    assert view.info(REF).geometry is None
    with pytest.raises(ldt.NotFound, match="where"):
        view.places(REF)


PORT = ldt.Port(
    {
        "edge": ldt.text(),
        "geometry": ldt.geometry("LineString"),
        "flow": ldt.number("{veh}/h", "x:traffic_flow", description="flow"),
    },
    entity="street-edge",
    id="edge",
)
TABLE = PLACES.select("edge", "geometry").with_columns(flow=np.array([1.0, 2.0, 3.0]))


def test_what_is_published_is_checked_and_kept(view: testing.MemoryView) -> None:
    ref = view.publish("streets", TABLE, port=PORT, source=[REF, REF])
    assert view.published == {"streets": TABLE}
    assert (ref.id, ref.rows, ref.sha256, ref.crs) == ("streets", 3, TABLE.digest, view.crs)
    assert ref.bounds == (0, 0, 2, 80)
    assert [(f.name, f.kind, f.unit) for f in ref.fields] == [
        ("edge", "text", None),
        ("geometry", "geometry", None),
        ("flow", "number", "{veh}/h"),
    ]
    assert (ref.attribution, ref.synthetic) == ("Example town, CC BY 4.0", "Made up.")
    assert view.publish("streets", TABLE, port=PORT, source=[REF]) == ref, "the same again is the same"
    with pytest.raises(ldt.InputError, match="twice"):
        view.publish("streets", TABLE.take([0]), port=PORT)
    with pytest.raises(ldt.InputError, match="'flow' is missing"):
        view.publish("other", PLACES, port=PORT)
    points = TABLE.with_columns(geometry=np.array([shapely.Point(0, 0)] * 3, object))
    with pytest.raises(ldt.InputError, match="POINT"):
        view.publish("points", points, port=PORT)
    assert list(view.published) == ["streets"]


def test_pictures_are_kept(view: testing.MemoryView) -> None:
    ref = view.publish_image("sketch", b"picture", "image/png")
    assert (ref.media, ref.sha256) == ("image/png", hashlib.sha256(b"picture").hexdigest())
    assert view.images == {"sketch": b"picture"}
    with pytest.raises(ldt.InputError, match="twice"):
        view.publish_image("sketch", b"another", "image/png")
    with pytest.raises(ldt.InputError, match="twice"):
        view.publish("sketch", TABLE, port=PORT)


@pytest.mark.parametrize(
    ("ask", "error", "word"),
    [
        (
            lambda view: view.values("traffic.flow.flaw", "base"),
            ldt.NotFound,
            "did you mean 'traffic.flow.flow'",
        ),
        (lambda view: view.info("traffic"), ldt.NotFound, "names 0 variables"),
        (lambda view: view.series(REF, "clam"), ldt.NotFound, "did you mean 'calm'"),
        (
            lambda view: view.values(REF, "base", "median"),
            ldt.Unsupported,
            "'median' is no reduction over time",
        ),
        (lambda view: view.series(REF, "base", "last"), ldt.Unsupported, "'last' is no reduction over space"),
    ],
)
def test_what_is_not_there_is_told(view: testing.MemoryView, ask: Any, error: Any, word: str) -> None:
    with pytest.raises(error) as caught:
        ask(view)
    assert word in f"{caught.value.what} {caught.value.fix}"


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: testing.Variable({"base": [1.0, 2.0]}), "1 dimensions"),
        (lambda: testing.Variable({"base": [[[1.0, 2.0]]]}, PLACES), "for 2 places, and there are 3"),
        (lambda: testing.Variable({"a": [[[1.0]]], "b": [[[1.0, 2.0]]]}), "for 1 places, and there are 2"),
        (lambda: testing.MemoryView(RUNS, {"flow": FLOW}), "no component.port.column"),
    ],
)
def test_what_does_not_fit_together_is_refused(make: Any, word: str) -> None:
    with pytest.raises(ldt.InputError, match=word):
        make()


def test_it_asks_for_nothing_that_a_view_does_not_promise() -> None:
    """Signatures are those of the contract, so that a viewer that works here works on a run."""
    for name, method in inspect.getmembers(ldt.View, inspect.isfunction):
        mine = inspect.signature(getattr(testing.MemoryView, name))
        assert mine.parameters.keys() == inspect.signature(method).parameters.keys(), name


def test_it_loads_when_it_is_first_used_and_without_pytest() -> None:
    code = (
        "import sys, ldt_core as ldt\nassert 'ldt_core.testing' not in sys.modules\n"
        "ldt.testing.MemoryView\nassert 'pytest' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
