"""Tag values as numbers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ldt_source_osm.tags import parse_length, parse_number, parse_speed


@pytest.mark.parametrize(
    ("text", "metres"),
    [
        ("12", 12),
        ("12 m", 12),
        ("12,5", 12.5),
        ("12.5m", 12.5),
        (" 7 ", 7),
        ("40'", 12.192),
        ("40 ft", 12.192),
        ("6'4\"", 1.9304),
        ("250 cm", 2.5),
        ("about 9", None),
        ("", None),
        ("-3", None),
        ("10-12", None),
        ("1e3", None),
        ("nan", None),
        ("12 km", None),
    ],
)
def test_a_length_is_metres_unless_it_names_another_unit(text: str, metres: float | None) -> None:
    assert parse_length(text) == (None if metres is None else pytest.approx(metres))


@pytest.mark.parametrize(
    ("text", "kmh"),
    [
        ("50", 50),
        ("30 mph", 48.28032),
        ("30mph", 48.28032),
        ("10 knots", 18.52),
        ("60 km/h", 60),
        ("none", None),
        ("walk", None),
        ("RO:urban", None),
        ("50;30", None),
        ("signals", None),
    ],
)
def test_a_speed_is_kmh_unless_it_names_another_unit(text: str, kmh: float | None) -> None:
    assert parse_speed(text) == (None if kmh is None else pytest.approx(kmh))


@settings(deadline=None)
@given(st.floats(0, 1e6).map(lambda x: round(x, 3)))
def test_decimal_comma_and_point_read_alike(value: float) -> None:
    text = f"{value:.3f}"
    assert parse_number(text) == parse_number(text.replace(".", ",")) == parse_length(text + " m") == value


@settings(deadline=None)
@given(st.text())
def test_no_text_breaks_the_parsers(text: str) -> None:
    for parse in (parse_number, parse_length, parse_speed):
        value = parse(text)
        assert value is None or value >= 0
