"""What the matrix does not show of the checks that all kinds share, and of those of models."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from ldt_conformance.badparams import accepts, bad_values, whole
from ldt_conformance.cases import cases_of, like, run
from ldt_conformance.checks import checks
from ldt_conformance.drivers.here import HereDriver
from ldt_conformance.example import Example
from ldt_conformance.job import alternately, exercise, extremes
from ldt_conformance.judge import judge
from ldt_conformance.outcome import Outcome, Result
from ldt_conformance.requirements import catalogue
from ldt_conformance.trial import CannotTell, Failed, Trial
from ldt_conformance.zoo.models import CASES, EXAMPLE, GoodModel, case
from ldt_conformance.zoo.simulators import EXAMPLE as RAIN
from ldt_conformance.zoo.simulators import GoodSimulator

import ldt_core as ldt
from ldt_core import scene


class Many(ldt.Params):
    share: Annotated[float, ldt.Field(ge=0, lt=1)] = 0.5
    count: Annotated[int, ldt.Field(ge=1)] | None = None
    method: Literal["fast", "exact"] = "fast"
    name: Annotated[str, ldt.Field(min_length=2, pattern="^[a-z]+$")] = "abc"
    every: ldt.Duration = 60
    file: ldt.File | None = None


def test_bad_values_break_every_bound_and_are_refused_by_the_class_itself() -> None:
    schema = Many.model_json_schema()
    tried = {name: dict(bad_values(schema, name)) for name in schema["properties"]}
    assert set(tried["share"]) == {"beyond its minimum", "at its exclusiveMaximum", "another type"}
    assert set(tried["name"]) >= {"too short", "another pattern"}
    for name, values in tried.items():
        assert values, name
        for value in values.values():
            assert not accepts(whole(schema, name), value)
            with pytest.raises(ValueError, match=name):
                Many.model_validate({name: value})


def _trial(example: Example, component: Any = GoodModel) -> Trial:
    return Trial(catalogue()["LDT-MOD-GOLD-01"], HereDriver(component), example)


def _judged(component: Any, example: Example, *only: str) -> dict[str, Result]:
    with HereDriver(component) as driver:
        return {r.requirement: r for r in judge(driver, example, level=2, only=only)}


def test_a_golden_case_is_read_in_the_units_that_it_is_written_in() -> None:
    trial = _trial(EXAMPLE)
    found = cases_of(trial)
    assert found[3].inputs["air"]["air"] == pytest.approx([25.0, 30.0])
    assert found[0].context["start"] == EXAMPLE.start
    answer = like(found[3], run(trial, found[3]))
    assert answer["load"]["load"] == pytest.approx([0.0, 5.0])
    trial.close()


def test_a_golden_case_may_leave_out_columns() -> None:
    some = case(27.0, [30.0], [3.0])
    some["outputs"]["load"]["columns"] = {"load": [3.0]}
    trial = _trial(replace(EXAMPLE, cases=(some,)))
    (found,) = cases_of(trial)
    assert like(found, run(trial, found))["load"].names == ["load"]
    trial.close()


def test_a_case_that_cannot_be_read_is_nobodys_failure() -> None:
    trial = _trial(replace(EXAMPLE, cases=({"params": {}, "inputs": {"air": {}}, "outputs": {}},)))
    with pytest.raises(CannotTell, match="golden case"):
        cases_of(trial)
    trial.close()


def test_two_golden_cases_are_too_few() -> None:
    found = _judged(GoodModel, replace(EXAMPLE, cases=CASES[:2]), "LDT-MOD-GOLD-01")["LDT-MOD-GOLD-01"]
    assert found.outcome is Outcome.FAILED
    assert "too few" in found.reason


class Warm(GoodModel):
    """Says of a parameter where it holds, and refuses outside."""

    validity = {"threshold": [-20.0, 40.0]}

    def compute(self, inputs: ldt.Tables) -> ldt.Tables:
        if not -20.0 <= self.params.threshold <= 40.0:
            raise ldt.InputError("nobody is comfortable there", where="threshold")
        return super().compute(inputs)


class Cold(GoodModel):
    validity = {"threshold": [-20.0, 40.0]}


class Misspelt(GoodModel):
    validity = {"air.airs": [-20.0, 40.0]}


@pytest.mark.parametrize(
    ("component", "outcome", "words"),
    [
        (Warm, Outcome.PASSED, ""),
        (Cold, Outcome.FAILED, "neither refused nor flagged"),
        (Misspelt, Outcome.FAILED, "no input column and no parameter"),
    ],
)
def test_a_domain_may_be_that_of_a_parameter(component: Any, outcome: Outcome, words: str) -> None:
    trial = Trial(catalogue()["LDT-MOD-DOM-01"], HereDriver(component), EXAMPLE)
    if outcome is Outcome.PASSED:
        checks()["LDT-MOD-DOM-01"](trial)
        assert trial.observations > 5
    else:
        with pytest.raises(Failed, match=words):
            checks()["LDT-MOD-DOM-01"](trial)
    trial.close()


def test_extremes_are_valid() -> None:
    trial = _trial(EXAMPLE)
    port = GoodModel.inputs["air"]
    tried = dict(extremes(trial, {"air": port}, {"air": EXAMPLE.inputs["air"]}))
    for given in tried.values():
        ldt.check(given["air"], port, "air")
    values = {float(given["air"]["air"][0]) for given in tried.values()}
    assert {-40.0, 50.0, 0.0} <= values
    assert max(values) == 50.0


def test_jobs_take_turns() -> None:
    seen: list[str] = []

    def job(name: str, parts: int) -> Iterator[dict[str, Any]]:
        for n in range(parts):
            seen.append(name)
            yield {f"{name}{n}": n}

    first, second = alternately(job("a", 3), job("b", 1))
    assert seen == ["a", "b", "a", "a"]
    assert list(first) == ["a0", "a1", "a2"]
    assert list(second) == ["b0"]


def test_a_simulator_at_its_job_gives_what_it_gave_before() -> None:
    trial = _trial(RAIN, GoodSimulator)
    one, two = (exercise(trial, trial.open()) for _ in range(2))
    trial.expect_same(one, two, "it differs")
    assert any(isinstance(t, ldt.Table) and len(t) for t in one.values())
    trial.close()


class Plain(ldt.Viewer):
    """Names every place of the first variable."""

    id = "zoo-plain"
    title = "Names"

    def render(self, view: ldt.View) -> scene.Scene:
        places = view.places(view.show[0])
        names = [str(n) for n in places["name"]]
        head = [scene.Head(id="name", title="Name", kind="text")]
        rows: list[list[Any]] = [[self._called(n)] for n in names]
        figures = scene.Figures(caption="Places", columns=head, rows=rows)
        block = scene.TableBlock(
            id="names", title="Places", finding="Places have names.", alternative=figures
        )
        return scene.Scene(title=view.title, viewer=self.id, runs=list(view.runs), blocks=[block])

    def _called(self, name: str) -> str:
        return name


class Folded(Plain):
    def _called(self, name: str) -> str:
        return name.casefold()


@pytest.mark.parametrize(("component", "outcome"), [(Plain, Outcome.PASSED), (Folded, Outcome.FAILED)])
def test_a_viewer_keeps_the_names_that_it_shows(component: Any, outcome: Outcome) -> None:
    example = Example(start=np.datetime64("2026-03-02T05:00", "us"))
    found = _judged(component, example, "LDT-COR-UNI-01", "LDT-COR-MUT-01", "LDT-COR-CONF-02")
    assert found["LDT-COR-MUT-01"].outcome is Outcome.PASSED
    assert found["LDT-COR-UNI-01"].outcome is outcome, found["LDT-COR-UNI-01"].reason
