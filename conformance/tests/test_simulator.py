"""Simulators under judgement: driven as the engine drives them, forced, balanced, and only by chance otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ldt_conformance.balance import Balance
from ldt_conformance.checks import checks
from ldt_conformance.drive import Run, drive, start_run
from ldt_conformance.drivers.here import HereDriver
from ldt_conformance.example import Example
from ldt_conformance.forcing import Given
from ldt_conformance.judge import claims_of, judge
from ldt_conformance.outcome import Outcome
from ldt_conformance.requirements import catalogue
from ldt_conformance.trial import CannotTell, Trial
from ldt_conformance.zoo.simulators import EXAMPLE, RAIN, START, GoodSimulator

import ldt_core as ldt
from ldt_core.manifest import describe

MINUTE = 60 * ldt.SECOND
HOUR = 60 * MINUTE


@pytest.fixture
def trial() -> Iterator[Trial]:
    with trial_of(GoodSimulator, EXAMPLE) as found:
        yield found


@contextmanager
def trial_of(component: type[ldt.Simulator], example: Example) -> Iterator[Trial]:
    with HereDriver(component) as driver:
        found = Trial(catalogue()["LDT-SIM-TIME-01"], driver, example)
        yield found
        found.close()


@contextmanager
def run_of(component: type[ldt.Simulator], example: Example) -> Iterator[Run]:
    """A run that has begun."""
    with trial_of(component, example) as found:
        yield start_run(found)


class Meter(ldt.Simulator):
    """Says what came in."""

    id = "meter"
    inputs = {
        "rate": ldt.Port({"time": ldt.instant(), "rate": ldt.number("m3/h", "x:rate", cell="mean")}),
        "amount": ldt.Port({"time": ldt.instant(), "amount": ldt.number("L", "x:amount", cell="sum")}),
        "calls": ldt.Port({"time": ldt.instant(), "who": ldt.text()}, events=True),
    }
    outputs = {
        "kept": ldt.Port({"time": ldt.instant(), "kept": ldt.number("m3", "x:kept")}),
        "calls": ldt.Port({"time": ldt.instant(), "who": ldt.text()}, events=True),
    }

    def initialize(self, inputs: ldt.Tables) -> ldt.Tables:
        self.kept = 0.0
        return {"kept": self._kept(0)}

    def _kept(self, at: int) -> ldt.Table:
        return ldt.Table({"time": [self.context.instant(at)], "kept": [self.kept]})

    def step(self, inputs: ldt.Tables, until: int) -> ldt.Tables:
        hours = self.context.window.seconds / 3600
        for table in (inputs["rate"], inputs["amount"], inputs["calls"]):
            assert isinstance(table, ldt.Table)
        self.kept += (
            float(inputs["rate"]["rate"].sum()) * hours + float(inputs["amount"]["amount"].sum()) / 1000
        )  # type: ignore[index]
        return {"kept": self._kept(until), "calls": inputs["calls"]}


def at(*minutes: int) -> Any:
    return START + np.array(minutes, "timedelta64[m]")


METERED = Example(
    start=START,
    windows=3,
    inputs={
        "rate": ldt.Table({"time": at(0, 90), "rate": [2.0, 4.0]}),
        "amount": ldt.Table({"time": at(0), "amount": [60.0]}),
        "calls": ldt.Table({"time": at(10, 70, 71), "who": ["a", "b", "c"]}),
    },
    balances=({"name": "water", "unit": "L", "stored": ["kept.kept"], "in": ["rate.rate", "amount.amount"]},),
)


def test_inputs_come_as_the_engine_would_read_them() -> None:
    """Rows of several instants hold until the next and are averaged; rows of one are given anew; events happen once."""
    with run_of(Meter, METERED) as run:
        windows = [run.given.over(t * HOUR, (t + 1) * HOUR) for t in range(3)]
        assert [w["rate"]["rate"].tolist() for w in windows] == [[2.0], [3.0], [4.0]]
        assert [w["amount"]["amount"].tolist() for w in windows] == [[60.0]] * 3
        assert [w["calls"]["who"].tolist() for w in windows] == [["a"], ["b", "c"], []]
        assert [w["amount"]["time"][0] for w in windows] == [START + np.timedelta64(t, "h") for t in range(3)]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 59), max_size=4, unique=True))
def test_what_is_steady_adds_up_to_the_same_however_it_is_cut(cuts: list[int]) -> None:
    with run_of(Meter, METERED) as run:
        steady = run.given.steady(0, HOUR)
        ends = [0, *sorted(c * MINUTE for c in cuts), HOUR]
        parts = [steady(a, b) for a, b in pairwise(ends)]
        assert sum(float(p["amount"]["amount"][0]) for p in parts) == pytest.approx(60.0, rel=1e-12)
        assert {float(p["rate"]["rate"][0]) for p in parts} == {2.0}
        assert [w for p in parts for w in p["calls"]["who"].tolist()] == ["a"]


def test_an_input_that_the_example_lacks_is_made_up_from_its_port() -> None:
    with run_of(Meter, replace(METERED, inputs={})) as run:
        assert all(len(run.given.over(0, HOUR)[n]) for n in ("rate", "amount"))
        assert drive(run.trial).rows > 3


def test_a_window_that_was_left_early_is_followed_by_a_whole_one(trial: Trial) -> None:
    """Forty minutes at most in one step: as the engine's clock has it (compared there, by LDT-SIM-PROV-01)."""
    assert drive(trial).spans == [(t * 40 * MINUTE, min((t + 1) * 40 * MINUTE, 3 * HOUR)) for t in range(5)]


def test_a_trajectory_has_one_digest_and_another_for_another_seed(trial: Trial) -> None:
    first, second, other = drive(trial), drive(trial), drive(trial, seed=7)
    assert first.digest == second.digest != other.digest
    assert first.until(80 * MINUTE).spans + first.after(80 * MINUTE).spans == first.spans


def test_a_balance_adds_rates_and_amounts_in_its_own_unit() -> None:
    with run_of(Meter, METERED) as run:
        balance = Balance.model_validate(METERED.balances[0])
        found = list(balance.windows(run.advance(), run.given))
        assert [w["in"] for w in found] == pytest.approx([2060.0, 3060.0, 4060.0])
        assert [abs(w["amiss"]) <= balance.allowed(w) for w in found] == [True] * 3


def test_a_term_may_be_multiplied_by_a_column_of_the_start(trial: Trial) -> None:
    """Rain in mm/h on areas in m2 is what falls, of which the wind leaves four fifths at least."""
    run = start_run(trial)
    found = run.advance()
    written = {"unit": "m3", "stored": ["levels.volume"], "out": ["flows.left"]}
    falls = {"of": "rain.rain", "times": "gullies.area"}
    fallen = Balance.model_validate({**written, "name": "all that falls", "in": [falls]})
    caught = Balance.model_validate({**written, "name": "what is caught", "in": ["flows.caught"]})
    for all_of_it, part in zip(fallen.windows(found, run.given), caught.windows(found, run.given)):
        assert 0.8 * all_of_it["in"] - 1e-9 <= part["in"] <= all_of_it["in"] + 1e-9
        assert abs(part["amiss"]) <= caught.allowed(part)
        assert all_of_it["amiss"] <= 1e-9


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"stored": ["levels.level"]}, "there is no column 'levels.level'"),
        ({"stored": ["flows.left"]}, "is a sum, not a point"),
        ({"unit": "kg"}, "measure different things"),
        ({"in": [{"of": "flows.caught", "times": "rain.rain"}]}, "is no column of a table of the start"),
    ],
)
def test_a_balance_that_cannot_be_drawn_up_says_why(trial: Trial, changes: dict[str, Any], word: str) -> None:
    run = start_run(trial)
    balance = Balance.model_validate({**EXAMPLE.balances[0], **changes})
    with pytest.raises(CannotTell, match=word):
        list(balance.windows(run.advance(), run.given))


def outcomes(component: type[ldt.Simulator], example: Example, *only: str) -> dict[str, Outcome]:
    with HereDriver(component) as driver:
        return {r.requirement: r.outcome for r in judge(driver, example, level=2, only=only)}


class DrawsPerStep(GoodSimulator):
    """One gust in every step, so that two steps are one only on average."""

    def _advance(self, inputs: ldt.Tables, until: int) -> ldt.Step:
        self.gust = float(self.context.rng.uniform(0.8, 1.0))
        return super()._advance(inputs, until)

    def _gust(self) -> float:
        return self.gust


def test_two_steps_of_a_stochastic_simulator_are_one_on_average() -> None:
    example = replace(EXAMPLE, params={"drain_time": "30 min"})
    assert outcomes(DrawsPerStep, example, "LDT-SIM-TIME-02")["LDT-SIM-TIME-02"] is Outcome.PASSED


class SaysItIsDead(GoodSimulator):
    """After a step that failed it refuses all others."""

    dead = False

    def initialize(self, inputs: ldt.Tables) -> ldt.Tables:
        self.dead = False
        return super().initialize(inputs)

    def step(self, inputs: ldt.Tables, until: int) -> ldt.Step:
        if self.dead:
            raise ldt.Unsupported("a step failed before: begin anew")
        try:
            return self._advance(inputs, until)
        except Exception:
            self.dead = True
            raise


class ComesBack(SaysItIsDead):
    """Refuses one step, then goes on with half a step in it."""

    def step(self, inputs: ldt.Tables, until: int) -> ldt.Step:
        try:
            return super().step(inputs, until)
        except ldt.Unsupported:
            self.dead = False
            raise


@pytest.mark.parametrize(
    ("component", "outcome"), [(SaysItIsDead, Outcome.PASSED), (ComesBack, Outcome.FAILED)]
)
def test_who_says_that_it_is_dead_stays_dead(component: type[ldt.Simulator], outcome: Outcome) -> None:
    assert outcomes(component, EXAMPLE, "LDT-SIM-STEP-01")["LDT-SIM-STEP-01"] is outcome


def test_a_simulator_without_state_or_inputs_is_not_asked_for_them() -> None:
    class Clock(ldt.Simulator):
        id = "clock"
        outputs = {"now": ldt.Port({"time": ldt.instant(), "hours": ldt.number("h", "x:hours")})}

        def step(self, inputs: ldt.Tables, until: int) -> ldt.Tables:
            now = {"time": [self.context.instant(until)], "hours": [until / HOUR]}
            return {"now": ldt.Table(now)}

    assert claims_of(describe(Clock)) == frozenset()
    with trial_of(Clock, Example()) as trial:
        for id in (
            "LDT-SIM-TIME-01",
            "LDT-SIM-RESET-01",
            "LDT-SIM-TIME-02",
            "LDT-SIM-STEP-01",
            "LDT-SIM-PROV-01",
        ):
            checks()[id](trial)
    found = {
        r.requirement: r.outcome for r in judge(_Listed(Clock), Example(), level=2, only=["LDT-SIM-CPL-01"])
    }
    assert found["LDT-SIM-CPL-01"] is found["LDT-SIM-CKPT-01"] is Outcome.INAPPLICABLE


class _Listed(HereDriver):
    """A class of a test cannot be imported by another process."""

    def another(self) -> Any:
        return self


def test_rows_outside_the_run_are_no_inputs_of_it() -> None:
    late = RAIN.with_columns(time=RAIN["time"] + np.timedelta64(5, "h"))
    with run_of(GoodSimulator, replace(EXAMPLE, inputs={**EXAMPLE.inputs, "rain": late})) as run:
        assert isinstance(run.given, Given)
        assert all(len(run.given.over(t * HOUR, (t + 1) * HOUR)["rain"]) == 0 for t in range(3))
