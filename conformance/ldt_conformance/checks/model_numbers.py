"""Seeds, windows one after another, and numbers at the ends of their ranges."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

import ldt_core as ldt
from ldt_core.tables import Port, empty

from ..drivers.base import Raised
from ..generate import inputs
from ..job import exercise, extremes, inputs_of, opened
from ..trial import NotApplicable, Trial, first_difference
from . import check
from .every_errors import WORDS


@check("LDT-MOD-SEED-01")
def the_seed_and_nothing_else_decides_chance(trial: Trial) -> None:
    """Another seed, and the generators that a whole program shares."""
    usual = opened(trial)[1]
    other = exercise(trial, trial.open(seed=trial.example.seed + 104_729))
    if trial.manifest["stochastic"]:
        trial.expect(
            first_difference(usual, other, {}) is not None,
            "it calls itself stochastic, and another seed gives the same",
            got=other,
        )
    else:
        trial.expect_same(
            usual, other, "another seed gives something else, and it does not call itself stochastic"
        )
    if trial.driver.door != "here":
        return  # the generators of another process cannot be seen
    kept = random.getstate(), np.random.get_state()
    try:
        random.seed(7)
        np.random.seed(7)
        before = random.getstate(), repr(np.random.get_state())
        again = opened(trial)[1]
        after = random.getstate(), repr(np.random.get_state())
        trial.expect(before == after, "it draws from, or seeds, a generator that the whole program shares")
        trial.expect_same(usual, again, "a generator that the whole program shares changes its answer")
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])


@check("LDT-MOD-BATCH-01")
def windows_one_after_another_are_as_alone(trial: Trial) -> None:
    """One instance computes other inputs, none, and the first again."""
    subject = trial.open()
    ports = subject.ports()[0]
    given, other = inputs_of(trial, subject), inputs_of(trial, subject, other=True)
    alone = [exercise(trial, trial.open(), given=item) for item in (given, other)]
    together = [exercise(trial, subject, given=item) for item in (given, other, given, other)]
    for number, answer in enumerate(together):
        trial.expect_same(
            alone[number % 2],
            answer,
            "an instance that has computed other windows before gives something else than a new one",
            given={"window": number + 1},
        )
    steps = {n: p for n, p in ports.items() if isinstance(p, Port) and p.at == "step"}
    if not steps:
        return
    nothing = {**given, **{n: empty(p) for n, p in steps.items()}}
    try:
        answers = [exercise(trial, s, given=nothing) for s in (subject, trial.open())]
    except Raised as raised:
        if raised.word not in WORDS:
            raise
        trial.observations += 1
        return
    trial.expect_same(answers[1], answers[0], "a window without rows is answered from the windows before")


@check("LDT-MOD-NUM-01")
def finite_inputs_give_finite_outputs(trial: Trial) -> None:
    """Each number column at its limits, at zero and beside them; then generated inputs."""
    subject = trial.open()
    ports, given = subject.ports()[0], inputs_of(trial, subject)
    measured = [(n, c) for n, p in ports.items() for c, m in p.columns.items() if m.measured]
    if not measured:
        raise NotApplicable("no input has a column with a unit")

    def holds(what: Any, item: Any) -> None:
        try:
            answer = trial.open().compute(dict(item))
        except Raised as raised:
            if raised.word in WORDS:
                return
            raise
        for name, table in answer.items():
            if not isinstance(table, ldt.Table):
                continue
            for column in table.names:
                values = table[column]
                if values.dtype.kind == "f":
                    odd = values[~table.mask(column) & ~np.isfinite(values)]
                    trial.expect(
                        not len(odd),
                        f"'{name}.{column}' is not finite",
                        given=what,
                        expected="a number",
                        got=odd[:5].tolist(),
                    )

    holds("the example", given)
    for what, item in extremes(trial, ports, given):
        holds(what, item)
    trial.search(
        inputs(ports, trial.context(), trial.manifest["validity"]),
        lambda item: holds(item, item),
        examples=15,
    )
