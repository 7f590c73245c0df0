"""Whatever is generated is valid, lies where and when it should, and perturbations say the same thing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ldt_conformance.corpus import TEXTS, numbers
from ldt_conformance.drivers.here import HereDriver
from ldt_conformance.example import Example
from ldt_conformance.generate import area, example_inputs, inputs, plain_data, stamp, tables
from ldt_conformance.perturb import (
    in_other_unit,
    moved,
    other_unit,
    sorted_rows,
    with_other_columns,
    with_other_gaps,
    with_other_rows,
)
from ldt_conformance.requirements import catalogue
from ldt_conformance.trial import Trial, first_difference
from ldt_conformance.zoo.models import EXAMPLE, GoodModel

import ldt_core as ldt
from ldt_core.adapters import Adapter

CONTEXT = ldt.Context(
    start=np.datetime64("2026-03-29T00:00", "us"),
    window=ldt.Window(3600 * ldt.SECOND, 7200 * ldt.SECOND),
    crs="EPSG:25832",
    bbox=(600000.0, 5700000.0, 601000.0, 5701000.0),
)
UNITS = st.sampled_from(["Cel", "km/h", "{veh}/h", "dB", "1", "ug/m3", "kW.h"])
RANGES = st.sampled_from([None, (0.0, 1.0), (-60.0, 60.0), (0.0, float("inf")), (-1e-3, 1e12), (5.0, 5.0)])


@st.composite
def columns(draw: st.DrawFn) -> Any:
    nulls = draw(st.booleans())
    cell: Any = draw(st.sampled_from(["point", "mean", "sum", "min", "max"]))
    return draw(
        st.sampled_from(
            [
                ldt.instant(nulls=nulls),
                ldt.text(nulls=nulls),
                ldt.boolean(nulls=nulls),
                ldt.number(draw(UNITS), "x:q", cell=cell, range=draw(RANGES), nulls=nulls),
                ldt.integer("1", "x:q", cell=cell, range=draw(st.sampled_from([None, (0, 7)])), nulls=nulls),
                *(
                    ldt.geometry(kind, crs=crs, nulls=nulls)
                    for kind in ("Point", "LineString", "Polygon", "MultiPolygon", "Geometry")
                    for crs in ("twin", "EPSG:4326")
                ),
            ]
        )
    )


@st.composite
def ports(draw: st.DrawFn) -> Any:
    found = draw(st.dictionaries(st.sampled_from("abcde"), columns(), max_size=4))
    found = {"when": ldt.instant(), **found} if draw(st.booleans()) else found
    at: Any = draw(st.sampled_from(["start", "step"]))
    if draw(st.booleans()):
        return ldt.Port(
            {"id": ldt.text(), **found}, entity="thing", id="id", at=at, dynamic=draw(st.booleans())
        )
    if draw(st.booleans()):
        only = {n: c for n, c in found.items() if c.kind == "number"} or {"q": ldt.number("K", "x:q")}
        return ldt.GridPort(
            only, dims=draw(st.sampled_from([("y", "x"), ("time", "y", "x"), ("band", "y", "x")]))
        )
    return ldt.Port(found or {"a": ldt.text()}, at=at, events=draw(st.booleans()))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data(), ports())
def test_generated_tables_are_valid_for_any_port(data: st.DataObject, port: Any) -> None:
    ldt.check(data.draw(tables(port, CONTEXT)), port, "generated")
    ldt.check(plain_data(port, CONTEXT), port, "plain")


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data(), ports())
def test_rows_lie_in_their_window_and_place(data: st.DataObject, port: Any) -> None:
    if not isinstance(port, ldt.Port):
        return
    for table in (data.draw(tables(port, CONTEXT)), plain_data(port, CONTEXT)):
        assert isinstance(table, ldt.Table)
        if port.id is not None:
            assert len(set(table["id"])) == len(table)
        if (name := port.time_column) is not None and not port.events:
            known = table[name][~table.mask(name)]
            assert (known == stamp(port, CONTEXT)).all()
        for name, column in port.columns.items():
            if column.kind == "geometry" and len(table):
                box = shapely.box(*area(CONTEXT.crs, CONTEXT.bbox, column.crs or "twin")).buffer(1e-6)
                shapes = table[name][~table.mask(name)]
                assert shapely.within(shapes, box).all()
                assert shapely.is_valid(shapes).all()


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_tables_of_one_entity_set_name_the_same_things(data: st.DataObject) -> None:
    network = ldt.Port({"edge": ldt.text(), "to": ldt.text()}, at="start", entity="edge", id="edge")
    flow = ldt.Port({"edge": ldt.text(), "flow": ldt.number("1/h", "x:flow")}, entity="edge", id="edge")
    turns = ldt.Port({"edge": ldt.text(), "share": ldt.number("1", "x:share")})
    found = data.draw(inputs({"network": network, "flow": flow, "turns": turns}, CONTEXT))
    known = set(found["network"]["edge"])
    assert set(found["flow"]["edge"]) <= known
    assert set(found["turns"]["edge"]) <= known


def _trial(example: Example) -> Trial:
    return Trial(catalogue()["LDT-MOD-DET-01"], HereDriver(GoodModel), example)


def test_what_an_example_does_not_give_is_made_up_and_always_the_same() -> None:
    bare = replace(EXAMPLE, inputs={})
    first, second = (example_inputs(_trial(bare), GoodModel.inputs)["air"] for _ in range(2))
    assert first == second
    assert len(ldt.check(first, GoodModel.inputs["air"], "air")) == 3
    assert example_inputs(_trial(EXAMPLE), GoodModel.inputs)["air"] == EXAMPLE.inputs["air"]
    assert example_inputs(_trial(EXAMPLE), GoodModel.inputs, at="start") == {}


def test_rows_of_an_example_are_moved_to_a_window_that_has_none() -> None:
    step = EXAMPLE.step
    later = example_inputs(_trial(EXAMPLE), GoodModel.inputs, window=ldt.Window(2 * step, 3 * step))["air"]
    assert isinstance(later, ldt.Table)
    assert set(later["time"]) == {EXAMPLE.start + np.timedelta64(2 * step, "us")}
    assert later["air"] is EXAMPLE.inputs["air"]["air"]


@pytest.mark.parametrize("unit", ["Cel", "km/h", "{veh}/h", "ug/m3", "kW.h", "1", "%", "m", "s", "Pa", "K"])
def test_another_unit_is_of_the_same_dimension_and_another_size(unit: str) -> None:
    code = other_unit(unit)
    assert code is not None
    assert not ldt.conversion(unit, code).identity


def test_a_level_has_no_other_unit() -> None:
    assert other_unit("dB") is None


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_values_in_another_unit_come_back_through_the_core(data: st.DataObject) -> None:
    port = GoodModel.inputs["air"]
    table = data.draw(tables(port, CONTEXT))
    assert isinstance(port, ldt.Port)
    assert isinstance(table, ldt.Table)
    other, written = in_other_unit(port, table)
    assert isinstance(ldt.check(written, other, "other"), ldt.Table)
    unit = other.columns["air"].unit
    assert unit is not None
    back = Adapter(convert={"air": ldt.conversion(unit, "Cel")}).apply(written)
    assert back["air"] == pytest.approx(table["air"], abs=1e-9)


def test_perturbations_keep_what_they_should() -> None:
    port = ldt.Port(
        {"id": ldt.text(), "v": ldt.number("m", "x:v", range=(0.0, 10.0), nulls=True)}, entity="t", id="id"
    )
    table = ldt.Table({"id": ["b", "a", "c"], "v": [1.0, 2.0, 9.5]}, {"v": [False, True, False]})
    turned, order = with_other_rows(table)
    assert order != [0, 1, 2]
    assert sorted_rows({"p": turned}, {"p": port}) == sorted_rows({"p": table}, {"p": port})
    assert first_difference(table, ldt.check(with_other_columns(table), port, "p"), {}) is None
    gaps = with_other_gaps(table, port)
    assert gaps == table
    assert gaps["v"][1] != table["v"][1]
    further = moved(table, "v", 0.1, (0.0, 10.0))
    assert further["v"].tolist() == [2.0, 3.0, 8.5]
    assert further.mask("v").tolist() == [False, True, False]


def test_odd_numbers_of_a_column_are_valid_in_it() -> None:
    for column in (
        ldt.number("Cel", "x:t", range=(-60, 60)),
        ldt.integer(range=(0, 9)),
        ldt.number("1", "x:s"),
    ):
        for value in numbers(column).values():
            ldt.check(ldt.Table({"v": np.array([value], column.dtype)}), ldt.Port({"v": column}), "odd")


def test_texts_of_the_corpus_differ_from_each_other() -> None:
    assert len(set(TEXTS.values())) == len(TEXTS)
    assert not any("\0" in text for text in TEXTS.values())
