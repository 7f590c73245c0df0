"""Units, numbers and times as readers expect them."""

from __future__ import annotations

import itertools
import re
from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ldt_web import words
from ldt_web.ticks import number_ticks, time_ticks, write_ticks

import ldt_core as ldt


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("ug/m3", "µg/m³"), ("Cel", "°C"), ("{veh}/h", "vehicles/h"), ("dB", "dB"), ("%", "%"), ("1", ""),
        (None, ""), ("m/s", "m/s"), ("m/s2", "m/s²"), ("kW.h", "kWh"), ("W.h/m2", "Wh/m²"), ("g", "g"),
        ("1/h", "1/h"), ("m-2", "m⁻²"), ("10*3{person}", "10³"), ("[ppm]", "ppm"), ("um", "µm"), ("N.m", "N·m"),
        ("{parcel}", "parcels"), ("{bus_stop}", "bus stop"), ("deg", "°"), ("not a unit!", "not a unit!"),
    ],
)  # fmt: skip
def test_units_are_written_for_readers(code, text):
    assert words.write_unit(code) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (0.0, "0"), (-0.0, "0"), (7, "7"), (1234, "1234"), (12345.6, "12\u202f346"),
        (-1234567, "−1\u202f234\u202f567"), (3.14159, "3.14"), (0.01234, "0.0123"), (99.96, "100.0"),
        (2.5e16, "2.50\u202f×\u202f10¹⁶"), (None, "no value"), (float("nan"), "no value"), (float("inf"), "no value"),
    ],
)  # fmt: skip
def test_numbers_have_sensible_digits(value, text):
    assert words.write_number(value) == text


@given(st.floats(-1e12, 1e12), st.integers(0, 6))
def test_a_written_number_reads_back_as_rounded(value, digits):
    text = words.write_number(value, digits).replace("−", "-").replace("\u202f", "")
    rounded = Decimal(value).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_EVEN)
    assert Decimal(text) == rounded


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_a_change_always_says_its_direction(value):
    text = words.write_number(value, sign=True)
    assert text == "no value" or text[0] in "+−±"
    assert (text[0] == "−") <= (value < 0)


def test_times_are_in_the_zone_of_the_twin():
    assert words.write_instant("2026-03-02T05:00:00Z", "Europe/Helsinki") == "Mon 2 Mar 2026, 07:00"
    same = words.write_period("2026-07-02T05:00:00Z", "2026-07-02T07:30:00Z", "Europe/Rome")
    assert same == "Thursday 2 July 2026, 07:00 to 09:30 (Europe/Rome)"
    assert words.write_period("soon", "later", "UTC") == "soon to later"


def test_an_unknown_zone_is_refused():
    with pytest.raises(ldt.InputError, match="Middle/Earth"):
        words.write_instant("2026-03-02T05:00:00Z", "Middle/Earth")


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.25, "4.2"), (75, "75 seconds"), (312, "5 minutes"), (7500, "2 h 5 min")]
)
def test_durations_are_words(seconds, text):
    assert words.write_duration(seconds).startswith(text)


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9), st.integers(2, 9))
def test_ticks_are_round_and_enclose_the_values(low, reach, count):
    high = low + reach
    if high <= low:
        return
    ticks = number_ticks(low, high, count)
    step = ticks[1] - ticks[0]
    assert ticks[0] <= low + step * 1e-6
    assert ticks[-1] >= high - step * 1e-6
    assert 2 <= len(ticks) <= 3 * count + 3
    assert len(set(write_ticks(ticks))) == len(ticks)


@given(st.floats(-1e6, 1e6))
def test_one_value_still_has_an_axis(value):
    ticks = number_ticks(value, value, 5)
    assert ticks[0] < value < ticks[-1]


def test_time_ticks_stand_on_round_local_hours_across_a_change_of_clocks():
    start, end = (
        words.parse_instant(f"2026-03-{d}T{h}:00:00Z").timestamp() for d, h in (("28", "20"), ("29", "08"))
    )
    ticks = time_ticks(start, end, 8, "Europe/Rome")
    assert [t for _, t in ticks] == ["22:00", "00:00", "02:00", "04:00", "06:00", "08:00", "10:00"]
    gaps = {round((b - a) / 3600) for (a, _), (b, _) in itertools.pairwise(ticks)}
    assert gaps == {1, 2}  # the hour that the clocks leave out


def test_time_ticks_for_years_are_few():
    start, end = (words.parse_instant(f"{y}-06-01T00:00:00Z").timestamp() for y in (1990, 2026))
    ticks = time_ticks(start, end, 6, "UTC")
    assert 1 <= len(ticks) <= 9
    assert all(re.fullmatch(r"\d{4}", t) for _, t in ticks)
