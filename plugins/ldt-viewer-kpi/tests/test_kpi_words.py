"""Figures, units, times and foreign text in sentences."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ldt_viewer_kpi import words
from ldt_viewer_kpi.words import name_column

import ldt_core as ldt
from ldt_core.scene import RunRef


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (12.345, "12.3"),
        (99.96, "100"),
        (1234.4, "1234"),
        (-12345.6, "−12\u202f346"),
        (0.05, "0.05"),
        (1e-07, "1e-07"),
        (2e20, "2e+20"),
        (999.95, "1000"),
    ],
)
def test_numbers_have_three_significant_digits_or_are_whole(value: float, text: str) -> None:
    assert words.write_number(value) == text


@given(st.floats(-1e300, 1e300))
def test_a_written_number_is_close_to_the_number(value: float) -> None:
    read = float(words.write_number(value).replace("−", "-").replace("\u202f", ""))
    assert math.isclose(read, value, rel_tol=0.0051, abs_tol=1e-320)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("ug/m3", "µg/m³"),
        ("{veh}/h", "vehicles/h"),
        ("Cel", "°C"),
        ("1", ""),
        (None, ""),
        ("kW.h", "kWh"),
        ("m/s", "m/s"),
        ("%", "%"),
        ("dB", "dB"),
        ("m2", "m²"),
        ("g.m-2", "g·m⁻²"),
        ("um", "µm"),
        ("[ppm]", "ppm"),
    ],
)
def test_units_are_written_for_readers(code: str | None, text: str) -> None:
    assert words.write_unit(code) == text


def test_an_instant_is_written_in_the_twins_zone_and_an_unknown_zone_falls_back_to_utc() -> None:
    instant = np.datetime64("2026-03-29T01:30", "us")
    assert words.write_instant(instant, "Europe/Rome") == "29 Mar 2026 03:30 (Europe/Rome)"
    assert words.write_instant(instant, "Nowhere/Land") == "29 Mar 2026 01:30 (UTC)"
    assert words.write_iso(instant) == "2026-03-29T01:30:00Z"
    assert words.write_iso(np.datetime64("2026-03-29T01:30:00.250", "us")) == "2026-03-29T01:30:00.25Z"


@given(st.text(st.characters(codec=None), max_size=300))
def test_foreign_text_becomes_one_short_line_that_encodes(text: str) -> None:
    clean = words.clean_text(text)
    assert len(clean) <= 80
    assert clean.isprintable()
    assert not set(clean) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f")
    clean.encode()


@given(st.lists(st.text(max_size=8), unique=True))
def test_ids_are_different_for_different_names_and_safe(names: list[str]) -> None:
    ids = words.make_ids(names)
    assert list(ids) == names
    assert len(set(ids.values())) == len(names)
    assert all(set(i) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") and i for i in ids.values())


def test_runs_that_share_a_title_are_told_apart() -> None:
    runs = [RunRef(name="a", title="Base"), RunRef(name="b", title="Base"), RunRef(name="c", title="")]
    assert words.label_runs(runs) == {"a": "Base (a)", "b": "Base (b)", "c": "c"}


@pytest.mark.parametrize(
    ("title", "quantity", "name"),
    [
        ("flow", "x:traffic_flow", "Traffic flow"),
        ("flow", None, "Flow"),
        ("flow", "x:sound_level_a", "Noise level"),
        ("co2", "x:co2_mass", "CO₂ mass"),
        ("vehicles per hour", "x:traffic_flow", "Vehicles per hour"),
        ("", None, "Traffic.flow.flow"),
    ],
)
def test_a_column_is_called_by_its_description_then_its_quantity(
    title: str, quantity: str | None, name: str
) -> None:
    column = "co2" if title == "co2" else "flow"
    info = ldt.Info("traffic.flow.flow", "traffic", "flow", column, "1", quantity, "mean", title, None)
    assert name_column(info) == name
