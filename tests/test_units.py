"""Unit conversion: facts from outside, closed forms, and what must be refused."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldt_core.errors import WiringError
from ldt_core.units import _COMMON, _quantity, check_unit, conversion, strip_annotations

# Defined values: the SI brochure (9th edition), the international yard and pound agreement of 1959,
# and the UCUM specification (a = 365.25 d, [ppm] = 10*-6, mm[Hg] = 133.322387415 Pa).
GOLDEN = [
    ("km/h", "m/s", 1 / 3.6, 0.0),
    ("m/s", "km/h", 3.6, 0.0),
    ("Cel", "K", 1.0, 273.15),
    ("K", "Cel", 1.0, -273.15),
    ("[degF]", "Cel", 5 / 9, -160 / 9),
    ("Cel", "[degF]", 1.8, 32.0),
    ("[degF]", "K", 5 / 9, 459.67 * 5 / 9),
    ("Cel", "mK", 1000.0, 273150.0),
    ("kW.h", "J", 3.6e6, 0.0),
    ("cal", "J", 4.184, 0.0),
    ("ug/m3", "mg/m3", 1e-3, 0.0),
    ("L/s", "m3/h", 3.6, 0.0),
    ("[mi_i]", "km", 1.609344, 0.0),
    ("[ft_i]", "m", 0.3048, 0.0),
    ("[kn_i]", "m/s", 1852 / 3600, 0.0),
    ("[lb_av]", "kg", 0.45359237, 0.0),
    ("t", "kg", 1000.0, 0.0),
    ("bar", "Pa", 1e5, 0.0),
    ("mm[Hg]", "Pa", 133.322387415, 0.0),
    ("har", "m2", 1e4, 0.0),
    ("a", "d", 365.25, 0.0),
    ("d", "s", 86400.0, 0.0),
    ("deg", "rad", 3.141592653589793 / 180, 0.0),
    ("%", "1", 0.01, 0.0),
    ("[ppm]", "%", 1e-4, 0.0),
    ("W.h/km", "J/m", 3.6, 0.0),
    ("kg.m/s2", "N", 1.0, 0.0),
    ("{veh}/h", "{veh}/d", 24.0, 0.0),
    ("{veh}.km", "{veh}.m", 1000.0, 0.0),
]


@pytest.mark.parametrize(("source", "target", "gain", "offset"), GOLDEN)
def test_a_conversion_agrees_with_the_definition(
    source: str, target: str, gain: float, offset: float
) -> None:
    found = conversion(source, target)
    assert found.gain == pytest.approx(gain, rel=2e-16, abs=0)
    assert found.offset == pytest.approx(offset, rel=2e-16, abs=0)


@pytest.mark.parametrize("pair", [(s, t) for s, t, _, _ in GOLDEN])
@given(value=st.floats(-1e9, 1e9))
def test_there_and_back_gives_the_value_again(pair: tuple[str, str], value: float) -> None:
    there, back = conversion(*pair), conversion(*reversed(pair))
    again = (value * there.gain + there.offset) * back.gain + back.offset
    scale = max(abs(value), abs(there.offset / there.gain), 1e-280)  # below, floats lose their digits
    assert again == pytest.approx(value, rel=1e-14, abs=1e-14 * scale)


@given(
    st.sampled_from(["m", "km", "mm", "[mi_i]", "[ft_i]", "dm"]), st.sampled_from(["m", "cm", "nm", "[in_i]"])
)
def test_a_way_round_gives_the_same_gain(first: str, last: str) -> None:
    through = conversion(first, "m").gain * conversion("m", last).gain
    assert conversion(first, last).gain == pytest.approx(through, rel=1e-14)


@pytest.mark.parametrize(
    ("code", "bare"),
    [
        ("{veh}/h", "1/h"),
        ("{veh}", "1"),
        ("{veh}/{veh}", "1"),
        ("{veh}.km", "km"),
        ("km/{veh}", "km"),
        ("g/{veh}/km", "g/km"),
        ("kg/({person}.a)", "kg/(a)"),
        ("m3{dry}", "m3"),
        ("/h", "1/h"),
        ("10*3/ul", "10*3/ul"),
        ("1/h", "1/h"),
    ],
)
def test_annotations_carry_no_dimension(code: str, bare: str) -> None:
    assert strip_annotations(code) == bare
    check_unit(code)
    assert conversion(code, bare).identity


@pytest.mark.parametrize(
    ("source", "target", "code"),
    [
        ("m", "s", "unit dimension"),
        ("{veh}/h", "m", "unit dimension"),
        ("kWh", "J", "unit unknown"),
        ("m", "metre", "unit unknown"),
        ("µg/m3", "ug/m3", "unit unknown"),
        ("dB", "dBx", "unit unknown"),
        ("dB", "1", "unit not linear"),
        ("1", "dB", "unit not linear"),
        ("B", "dB", "unit not linear"),
        ("dB[SPL]", "Pa", "unit not linear"),
    ],
)
def test_what_does_not_convert_is_refused(source: str, target: str, code: str) -> None:
    with pytest.raises(WiringError) as caught:
        conversion(source, target)
    assert caught.value.code == code
    assert caught.value.fix


def test_a_level_converts_to_itself() -> None:
    assert conversion("dB", "dB").identity
    check_unit("dB")


@pytest.mark.parametrize("code", ["", "1", "%", "[ppm]", "m/s", "W/(m2.K)", "10*6/L", "{trip}", "dB"])
def test_a_unit_is_accepted(code: str) -> None:
    check_unit(code)


@pytest.mark.parametrize("code", ["kWh", "m/s ", "veh/h", "m{a", "EUR", "m//s"])
def test_what_is_no_unit_is_refused_with_a_remedy(code: str) -> None:
    with pytest.raises(WiringError, match="not a UCUM unit") as caught:
        check_unit(code)
    assert "ug/m3" in caught.value.fix


def test_every_code_that_is_accepted_unseen_is_known_to_the_unit_library() -> None:
    for code in _COMMON:
        assert _quantity(code) is not None, code


def test_the_unit_library_is_loaded_at_the_first_conversion_between_two_codes() -> None:
    script = """
import sys
from ldt_core import units
units.check_unit("km/h"); units.conversion("m", "m"); units.conversion("{veh}/h", "1/h")
assert units.conversion("km", "m").gain == 1000.0
assert not {"pint", "ucumvert"} & set(sys.modules), "loaded too early"
assert units.conversion("[mi_i]", "m").gain == 1609.344
assert "pint" in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_sizes_known_by_heart_agree_with_the_library() -> None:
    import itertools

    from ldt_core import units

    registry = units._registry()
    for source, target in itertools.permutations(units._SIZES, 2):
        if units._SIZES[source][0] != units._SIZES[target][0]:
            continue
        origin, goal = units._quantity(source), units._quantity(target)
        library = (
            registry.Quantity(origin.magnitude, origin.units).to(goal.units) / goal.magnitude
        ).magnitude
        assert units.conversion(source, target).gain == pytest.approx(library, rel=1e-14), (source, target)
