"""Checks of the catalogue's part ``compared``: what every kind owes and only a deterministic component can be seen to do."""

from __future__ import annotations

import time
from typing import Any

from ldt_core.interfaces import Context

from ..drivers.base import Raised
from ..job import Handed, alternately, digest, exercise, opened, seed_of, work
from ..trial import Trial
from . import check, compared_text
from .every_errors import WORDS

__all__ = ["compared_text"]


@check("LDT-COR-LIFE-01")
def it_can_be_finalized_twice(trial: Trial) -> None:
    """Before any work and after it; and what a call after it does."""
    unused = trial.open()
    _finalize(trial, unused.finalize, "before any work")
    subject, expected = opened(trial)
    for time_ in ("after work", "a second time"):
        _finalize(trial, subject.finalize, time_)
    trial.observations += 1
    try:
        answer = exercise(trial, subject)
    except Raised as raised:
        if raised.word not in WORDS:
            trial.fail(
                "a call after finalize raises what no component may raise",
                expected="the answer of a new instance, or a word of the contract",
                got=str(raised),
            )
    else:
        trial.expect_same(expected, answer, "a call after finalize gives what no new instance would")
    trial.expect_same(expected, opened(trial)[1], "after one instance has ended, a new one differs")


def _finalize(trial: Trial, call: Any, when: str) -> None:
    trial.observations += 1
    try:
        call()
    except Raised as raised:
        trial.fail(f"finalize raises, called {when}", expected="no error", got=str(raised))


@check("LDT-COR-LIFE-02")
def instances_share_nothing(trial: Trial) -> None:
    """Two at once, with other seeds and other values: each gives what it gives alone."""
    with trial.driver.fresh() as elsewhere:
        alone = opened(trial, driver=elsewhere, other=True)[1]
    expected = opened(trial)[1]
    first, second = trial.open(), trial.open(seed=seed_of(trial, other=True))
    got, beside = alternately(work(trial, first), work(trial, second, other=True))
    trial.expect_same(
        alone, beside, "beside another instance it gives something else than alone in its process"
    )
    trial.expect_same(expected, got, "with another instance beside it, it gives something else than before")
    first.finalize()
    trial.expect_same(
        expected, opened(trial)[1], "after another instance has ended, a new one gives something else"
    )


@check("LDT-COR-ENV-01")
def where_it_runs_does_not_matter(trial: Trial) -> None:
    """The same answer under another time zone, language, hash seed and working folder."""
    here = opened(trial)[1]
    environment = {
        "TZ": "Asia/Kathmandu",
        "LANG": "tr_TR.UTF-8",
        "LC_ALL": "tr_TR.UTF-8",
        "PYTHONHASHSEED": "4321",
        "PWD": str(trial.scratch()),
    }
    with trial.driver.fresh(**environment) as elsewhere:
        there = opened(trial, driver=elsewhere)[1]
    trial.expect_same(here, there, "in another environment it gives something else", given=environment)


@check("LDT-COR-CANC-01")
def it_stops_when_it_is_cancelled(trial: Trial) -> None:
    """Cancelled from the beginning, and at the second and fifth time of asking."""
    expected = opened(trial)[1]
    grace = trial.example.grace / 1e6
    for asked in (0, 1, 4):
        switch = _Switch(asked)
        begun = time.monotonic()
        trial.observations += 1
        answer = None
        try:
            answer = exercise(trial, trial.open(cancelled=switch))
        except Raised as raised:
            if raised.word != "cancelled":
                trial.fail(
                    "it ends with something else than Cancelled when the run is cancelled",
                    given={"cancelled when asked": asked + 1},
                    expected="cancelled error",
                    got=str(raised),
                )
        took = time.monotonic() - (switch.at or begun)
        trial.expect(
            took <= grace,
            "it goes on for longer than its grace",
            expected=f"{grace:g} s",
            got=f"{took:.2f} s",
        )
        if answer is not None:
            trial.expect_same(expected, answer, "cancelled, it returns something else than the whole answer")
    trial.expect_same(
        expected, opened(trial)[1], "after it was cancelled, a new instance gives something else"
    )


class _Switch:
    """False for the first ``asked`` times of asking, then true; ``at`` is when that was."""

    def __init__(self, asked: int) -> None:
        self.left, self.at = asked, 0.0

    def __call__(self) -> bool:
        if self.left > 0:
            self.left -= 1
            return False
        self.at = self.at or time.monotonic()
        return True


@check("LDT-COR-MUT-01")
def what_it_is_given_stays_as_it_was(trial: Trial) -> None:
    """Inputs, parameters and the context, by their content before and after."""
    subject = trial.open()
    before, params = _facts(subject.context), subject.component.params.model_dump_json()
    handed: Handed = []
    first = exercise(trial, subject, handed=handed)
    for tables, digests in handed:
        for name, table in tables.items():
            trial.expect(
                digest(table) == digests[name],
                f"it changes the table that it is given on '{name}'",
                got=table,
            )
    trial.expect(subject.component.params.model_dump_json() == params, "it changes its parameters")
    now = _facts(subject.context)
    trial.expect(now == before, "it changes its context", expected=before, got=now)
    trial.expect_same(first, opened(trial)[1], "after it has worked, another instance gives something else")


def _facts(context: Context) -> dict[str, Any]:
    """What the run decides. The window is the engine's to move, as the judge does."""
    return {"start": context.start, "seed": context.seed, "crs": context.crs, "bbox": context.bbox}
