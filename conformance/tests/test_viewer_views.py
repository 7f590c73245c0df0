"""The views that a viewer is judged on: made of what its vendor says, with values that are known."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ldt_conformance.example import Example
from ldt_conformance.trial import CannotTell
from ldt_conformance.views import example_view, known_together, known_values


def trial(**shows: Any) -> Any:
    return SimpleNamespace(example=Example(shows=shows))


def test_values_of_runs_and_places_can_be_told_apart() -> None:
    view = example_view(trial())
    assert len({v.unit for v in view.variables.values()}) >= 2
    for ref in view.show:
        for run in view.runs:
            values = sorted(known_values(view, ref, run.name)["places, mean"])
            assert len(values) == 5, "one place has no value"
            assert all(b > 1.05 * a for a, b in pairwise(values))


def test_a_vendor_says_what_its_viewer_shows() -> None:
    view = example_view(trial(geometry=["line"], kpis=False, runs=1))
    assert list(view.variables) == ["traffic.flow.flow"]
    assert view.info("traffic.flow.flow").geometry == "line"
    assert not view.kpis
    assert [r.name for r in view.runs] == ["base"]


def test_what_cannot_be_read_of_the_example_is_not_the_viewers_fault() -> None:
    with pytest.raises(CannotTell, match="shows"):
        example_view(trial(geometries=["line"]))


def test_empty_views_have_no_place_or_no_value() -> None:
    none, missing = example_view(trial(), "none"), example_view(trial(), "missing")
    for ref in none.show:
        assert len(none.places(ref)) == 0
        assert (
            np.isnan(missing.values(ref, "base")["value"]).all()
            or missing.values(ref, "base").mask("value").all()
        )
    assert all(v.value is None for k in missing.kpis for v in k.values)


def test_one_number_for_all_places_is_known_where_a_viewer_shows_nothing_else() -> None:
    view = example_view(trial(places=False))
    known = known_together(view, "traffic.flow.flow", "calm")
    places = known_values(view, "traffic.flow.flow", "calm")["places, mean"]
    assert known["together, mean over time, mean over places"] == [pytest.approx(sum(places) / len(places))]
    assert not known_together(example_view(trial(), "missing"), "traffic.flow.flow", "calm")
