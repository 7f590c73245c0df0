"""Names: one spelling, what could be taken for another, what nobody may take."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ldt_registry.names import (
    hidden,
    look_alike,
    normalise,
    prefixes,
    require_name,
    reserved,
    show,
    skeleton,
    why_reserved,
)
from ldt_registry.problems import Malformed

WORKSPACE = Path(__file__).parents[2]
REAL = sorted(
    {normalise(line.partition("==")[0]) for line in (WORKSPACE / "constraints.txt").read_text().splitlines() if "==" in line and line[0].isalpha()}
)  # fmt: skip
TOLD_APART = [
    "traffic-noise",
    "flood-depth",
    "air-quality-forecast",
    "bus-occupancy",
    "heat-island",
    "solar-roofs",
]


def slips(name: str, chance: random.Random) -> set[str]:
    """What a squatter registers: a letter out, in, replaced or swapped; separators; digits that look like letters."""
    at = chance.randrange(1, len(name) - 1)
    letter = chance.choice("abcdefghjkmnpqrtuvxyz")
    made = {
        name[:at] + name[at + 1 :],
        name[:at] + letter + name[at:],
        name[:at] + letter + name[at + 1 :],
        name[:at] + name[at + 1] + name[at] + name[at + 2 :],
        name.replace("-", ""),
        name.replace("-", "_"),
        name.replace("l", "1").replace("o", "0"),
        name.replace("l", "i"),
        name.replace("m", "rn"),
        name + letter,
    }
    return {normalise(m) for m in made if normalise(m) != name and m[0].isalnum() and m[-1].isalnum()}


def test_two_hundred_slips_are_found() -> None:
    chance = random.Random(7)
    pairs = [
        (n, s)
        for n in [*TOLD_APART, *(r for r in REAL if len(skeleton(r)) > 7)]
        for s in sorted(slips(n, chance))
    ]
    pairs = pairs[:200] + [(s, n) for n, s in pairs[:200]]
    assert len(pairs) == 400
    assert [p for p in pairs if not look_alike(*p)] == []


def test_real_names_are_seldom_taken_for_each_other() -> None:
    """False alarms among the packages that the toolbox is built with: they are told in the guide, so they are counted."""
    assert len(REAL) > 200
    found = [p for p in itertools.combinations(REAL, 2) if look_alike(*p)]
    assert len(found) <= len(REAL) * 0.02, found


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("solver2", "solver3"),
        ("solver", "solver2"),
        ("bus", "buz"),
        ("tram", "tran"),
        ("flood-depth", "flood-dept-map"),
    ],
)
def test_a_number_or_a_short_name_is_no_slip(one: str, two: str) -> None:
    assert not look_alike(one, two)


@given(
    st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True),
    st.from_regex(r"[a-z0-9]{1,12}", fullmatch=True),
)
def test_looking_alike_goes_both_ways_and_never_to_itself(one: str, two: str) -> None:
    assert look_alike(one, two) == look_alike(two, one)
    assert not look_alike(one, one.replace("-", "_"))


@pytest.mark.parametrize(
    "name", ["numpy", "NumPy", "sqlite3", "json", "ldt-core", "ldt_core", "sqlalchemy", "ldt"]
)
def test_names_of_others_are_reserved(name: str) -> None:
    assert why_reserved(name)


@pytest.mark.parametrize("name", ["nunpy", "sqla1chemy", "ldtcore", "pydantlc", "fastapl"])
def test_what_looks_like_a_reserved_name_is_reserved_too(name: str) -> None:
    assert "looks like" in (why_reserved(name) or "")


@pytest.mark.parametrize("name", TOLD_APART)
def test_other_names_are_free(name: str) -> None:
    assert why_reserved(name) is None
    assert require_name(name) == name


def test_what_our_distributions_need_is_reserved_in_depth() -> None:
    assert {"numpy", "pydantic", "pydantic-core", "starlette"} <= set(reserved())


@pytest.mark.parametrize("name", ["", "-a", "a-", "a b", "ä", "a/b", "a\u202eb", "a\n", "a" * 101, "а"])
def test_what_is_no_name_is_refused_and_shown_harmlessly(name: str) -> None:
    with pytest.raises(Malformed) as caught:
        require_name(name)
    assert caught.value.what.isascii()


def test_prefixes_of_a_name_go_from_long_to_short() -> None:
    assert prefixes("City_Of.Ghent") == ["city-of-ghent", "city-of", "city"]


@given(st.text())
def test_what_is_shown_of_a_stranger_is_visible_and_on_one_line(text: str) -> None:
    assert show(text).isprintable()
    assert hidden(show(text)) is None
