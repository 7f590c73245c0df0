"""Side by side, alike, and what fits a twin: told from the catalogue alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import shelves
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ldt_registry.compare import compare, find_similar
from ldt_registry.fits import Fit, Twin, fit, read_twin
from ldt_registry.problems import Malformed, Missing, Problem
from ldt_registry.registry import Registry

WORKSPACE = Path(__file__).parents[2]
TWIN = b"""
ldt: 1
twin: {id: storm, title: A storm, crs: "EPSG:25832"}
components:
  rain: {use: rain-gauge}
  levels: {use: csv, params: {file: a.csv, columns: {stage: {unit: cm, quantity: "x:water_depth"}}}}
"""


def lock(python: str = "3.11.7", **pins: str) -> bytes:
    found = {n.replace("_", "-"): {"version": v} for n, v in pins.items()}
    return json.dumps(
        {"lock": 1, "twin": "storm", "environments": {"here": {"python": python, "distributions": found}}}
    ).encode()


@pytest.fixture
def city(registry: Registry) -> Registry:
    shelves.fill(registry)
    return registry


def fitted(registry: Registry, component_id: str, twin: bytes = TWIN, locked: bytes = b"") -> Fit:
    with registry.database.read() as connection:
        return fit(connection, read_twin(connection, twin, locked), component_id)


def test_what_the_twin_gives_is_enough(city: Registry) -> None:
    found = fitted(city, "flood-depth", locked=lock(numpy="2.1"))
    assert (found.verdict, found.gaps, found.version) == ("fits", (), "1.0")


def test_a_unit_that_converts_is_enough_and_one_that_does_not_is_told(city: Registry) -> None:
    assert fitted(city, "flood-risk").verdict == "fits"  # centimetres of a file for metres
    found = fitted(city, "flood-risk", TWIN.replace(b"unit: cm", b"unit: s"))
    assert found.verdict == "fits with changes"
    assert "needs x:water_depth in m; the twin gives it in s" in found.gaps[0].what


def test_a_quantity_that_nothing_gives_is_told_with_who_does(city: Registry) -> None:
    found = fitted(city, "road-noise")
    assert found.verdict == "fits with changes"
    assert "x:travel_time [s], which nothing in the twin gives" in found.gaps[0].what
    assert found.gaps[0].fix == "Add one that does: road-traffic."
    lonely = fitted(city, "flood-risk", b"components: {a: {use: b}}")
    assert lonely.gaps[0].fix == "Add one that does: flood-depth."


def test_a_quantity_that_nobody_gives_is_to_come_from_a_file(registry: Registry) -> None:
    shelves.put(registry, shelves.manifest("a", "A", needs={"x": ("m", "x:rare")}))
    assert fitted(registry, "a").gaps[0].fix == "Add a source of it, such as a file of your own."


def test_an_optional_input_is_no_gap(registry: Registry) -> None:
    said = shelves.manifest("a", "A")
    said["inputs"] = {"maybe": shelves.port(shelves.RAIN, optional=True)}
    shelves.put(registry, said)
    assert fitted(registry, "a", b"").verdict == "fits"


def test_python_and_locked_versions_are_compared(registry: Registry) -> None:
    requires = ("numpy>=3", "scipy>=1 ; extra == 'more'", "pandas<3", 'tomli>=9 ; python_version < "3.11"')
    shelves.put(registry, shelves.manifest("a", "A"), requires=requires, requires_python=">=3.12")
    found = fitted(registry, "a", b"", lock("3.11.7", numpy="2.1", scipy="0.9", pandas="2.2", tomli="1"))
    assert [g.what for g in found.gaps] == [
        "It needs Python >=3.12; the twin has 3.11.7.",
        "It needs numpy>=3; the twin is locked to 2.1.",
    ]
    assert fitted(registry, "a", b"", lock("3.12.1", numpy="3.0")).verdict == "fits"
    assert [g.what for g in fitted(registry, "a", b"", lock("3.10.1", numpy="3.0", tomli="1")).gaps][1:] == [
        "It needs tomli>=9; the twin is locked to 1."
    ]


def test_another_contract_does_not_fit(registry: Registry) -> None:
    shelves.put(registry, shelves.manifest("a", "A", contract=9))
    assert fitted(registry, "a", b"").verdict == "does not fit"


def test_what_cannot_be_found_is_told(city: Registry) -> None:
    with pytest.raises(Missing):
        fitted(city, "no-such")


@pytest.mark.parametrize(
    "path", sorted(WORKSPACE.glob("docs/examples/*/twin.yaml")), ids=lambda p: p.parent.name
)
def test_the_twins_of_the_documentation_are_read(registry: Registry, path: Path) -> None:
    with registry.database.read() as connection:
        assert read_twin(connection, path.read_bytes()).uses


BAD = [
    b"{",
    b"[]",
    b"3",
    b"components: 3",
    b"a: [" * 5000,
    b"\xff",
    b"x" * (2**20 + 1),
    b"!!python/object/apply:os.system [x]",
    b"a: &a [*a]",
]


@pytest.mark.parametrize("content", BAD, ids=range(len(BAD)))
def test_what_is_no_twin_or_no_lock_is_refused(registry: Registry, content: bytes) -> None:
    with registry.database.read() as connection:
        with pytest.raises(Malformed):
            read_twin(connection, content)
        with pytest.raises(Malformed):
            read_twin(connection, b"", content)


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["components", "use", "params", "columns", "quantity", "environments", "here", "python", "distributions", "version"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(JSON, JSON)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_file_as_twin_or_lock_is_read_or_refused(registry: Registry, one: Any, two: Any) -> None:
    with registry.database.read() as connection:
        try:
            assert isinstance(read_twin(connection, json.dumps(one).encode(), json.dumps(two).encode()), Twin)
        except Problem as problem:
            assert problem.status == 400


def test_components_stand_side_by_side(city: Registry) -> None:
    with city.database.read() as connection:
        lines = {
            line.name: line for line in compare(connection, ["flood-depth", "urban-drainage", "flood-risk"])
        }
    assert lines["kind"].values == ("simulator", "simulator", "model")
    assert lines["level"].values == (3, 0, 0)
    assert lines["needs"].values == (
        ["rainfall_rate [mm/h]"],
        ["rainfall_rate [mm/h]"],
        ["x:water_depth [m]"],
    )
    assert lines["licence"].values == ("Apache-2.0", "Apache-2.0", "EUPL-1.2 OR MIT")
    assert lines["standards"].values == (["OGC WaterML 2"], None, None)
    assert lines["Python"].same
    assert not lines["licence"].same
    assert "hosts reached" not in lines


@pytest.mark.parametrize("ids", [[], ["flood-depth"], ["flood-depth"] * 2, [f"c{n}" for n in range(7)]])
def test_fewer_than_two_or_too_many_are_not_compared(city: Registry, ids: list[str]) -> None:
    with city.database.read() as connection, pytest.raises(Malformed):
        compare(connection, ids)
    with city.database.read() as connection, pytest.raises(Missing, match="no-such"):
        compare(connection, ["flood-depth", "no-such"])


def test_what_gives_and_needs_the_same_is_alike(city: Registry) -> None:
    with city.database.read() as connection:
        assert find_similar(connection, "rain-radar")[0][0] == "rain-gauge"
        assert find_similar(connection, "road-noise")[0][0] == "railway-noise"
        scores = dict(find_similar(connection, "flood-depth"))
        assert max(scores, key=lambda i: scores[i]) == "urban-drainage"
        assert "kpi-table" not in scores
        assert find_similar(connection, "no-such") == []
