"""Checks of the catalogue's part ``simulator``: time and repetition; other subjects in modules of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any

import numpy as np

import ldt_core as ldt
from ldt_core.interfaces import AnyPort

from ..drive import Run, Trajectory, digest_of, drive, expect_same_run, start_run
from ..drivers.base import Raised, Word
from ..perturb import sorted_rows
from ..trial import CannotTell, Trial, first_difference
from . import check, simulator_law, simulator_record, simulator_state

__all__ = [
    "simulator_law",
    "simulator_record",
    "simulator_state",
]  # the other checks of this part, by subject

ROUNDING = 1e-9
"""Of the largest value: what another order of adding up may do."""
SEEDS = 8


@check("LDT-SIM-TIME-01")
def lands_where_it_is_asked(trial: Trial) -> None:
    """Window by window to the end; what comes fits its ports and is stamped inside its window."""
    run = start_run(trial)
    for start, reached in run.steps():
        trial.expect(start < reached, "time does not advance")
        for name, table in run.trajectory.windows[-1][2].items():
            _stamped_inside(trial, run.given.outputs[name], table, name, start, reached)
    found = run.done()
    trial.expect(
        found.rows > 0,
        "no output has a row in any window",
        given=trial.example.inputs,
        expected="at least one row",
        got=found.tables,
    )


def _stamped_inside(trial: Trial, port: Any, table: Any, name: str, start: int, reached: int) -> None:
    if not isinstance(port, ldt.Port) or port.time_column is None or not len(table):
        return
    cells = {c.cell for c in port.columns.values() if c.measured}
    at = (table[port.time_column] - trial.example.start).astype(np.int64)
    early = at <= start if cells == {"point"} and not port.events else at < start
    late = at > reached if "point" in cells or port.events else at >= reached
    wrong = (early | late) & ~table.mask(port.time_column)
    row = int(wrong.argmax()) if wrong.any() else 0
    trial.expect(
        not wrong.any(),
        f"a row of '{name}' is stamped outside its window",
        given={"window": [start, reached], "cell methods": sorted(cells), "row": row},
        expected="amounts and means at the window's start, values of an instant at theirs, up to what was reached",
        got=int(at[row]),
    )


@check("LDT-SIM-TIME-02")
def two_steps_are_one(trial: Trial) -> None:
    """Two windows of the example's step against one of twice its length, under the same forcing; and the window after it.

    A simulator that draws once in every window is held to what its draws do on average.
    """
    step = trial.example.step
    halves, whole = _parted(trial, trial.example.seed)
    outputs = start_run(trial).given.outputs
    differences = []
    for begin, end in ((0, 2 * step), (2 * step, 3 * step)):
        for name, port in outputs.items():
            if isinstance(port, ldt.Port) and port.at == "step":
                one, two = (_joined(t, name, port, begin, end) for t in (whole, halves))
                if one is None or two is None:
                    continue
                tolerances = _near(trial, name, port, one, two)
                difference = first_difference({name: one}, {name: two}, tolerances)
                differences += [(begin, end, difference)] if difference else []
                trial.expect(True, "the same")
    if differences and trial.manifest.get("stochastic", False):
        differences = [] if _only_by_chance(trial, outputs) else differences
    for begin, end, (where, one, two) in differences:
        trial.fail(
            f"in two steps it comes to another end than in one: {where}",
            given={
                "one step": [0, 2 * step],
                "two steps": [[0, step], [step, 2 * step]],
                "seen over": [begin, end],
            },
            expected=one,
            got=two,
        )


def _parted(trial: Trial, seed: int) -> tuple[Trajectory, Trajectory]:
    """In steps as they are and in one of twice the length; then both by one step more."""
    step, found = trial.example.step, []
    for first in (step, 2 * step):
        run = start_run(trial, seed=seed)
        steady = run.given.steady(0, step)
        run.advance(2 * step, first, steady)
        found.append(run.advance(3 * step, step, steady))
    return found[0], found[1]


def _joined(found: Trajectory, name: str, port: ldt.Port, begin: int, end: int) -> ldt.Table | None:
    """What can be compared of one port over a span; None where nothing can. Of things that come and go the amounts."""
    kept = [w for w in found.windows if begin <= w[0] and w[1] <= end]
    try:
        table = Trajectory({}, kept).over(name, port)
    except CannotTell:
        return None
    if port.dynamic and not port.events:
        amounts = [n for n, c in port.columns.items() if c.measured and c.cell == "sum"]
        table = table.select(*[n for n in (port.id,) if n], *amounts)
    sorted_table = sorted_rows({name: table}, {name: port})[name]
    return sorted_table if isinstance(sorted_table, ldt.Table) else None


def _near(trial: Trial, name: str, port: ldt.Port, *tables: ldt.Table) -> dict[str, float]:
    """Declared tolerances, and in any case what rounding does to other sums of the same numbers."""
    declared = {**trial.manifest.get("tolerances", {}), **trial.example.tolerances}
    numbers = [n for n in tables[0].names if n in port.columns and port.columns[n].kind == "number"]
    largest = {n: max([float(abs(t[n]).max()) for t in tables if len(t)], default=0.0) for n in numbers}
    return {n: max(float(declared.get(n, 0.0)), ROUNDING * largest[n]) for n in numbers}


def _only_by_chance(trial: Trial, outputs: Mapping[str, AnyPort]) -> bool:
    """Whether the means over several seeds differ by no more than four of their standard errors."""
    step = trial.example.step
    columns = [
        (name, port, n)
        for name, port in outputs.items()
        if isinstance(port, ldt.Port) and port.at == "step"
        for n, c in port.columns.items()
        if c.measured and not (port.dynamic and c.cell != "sum")
    ]
    seen: dict[tuple[str, str], list[float]] = {(name, n): [] for name, _, n in columns}
    size: dict[tuple[str, str], float] = dict.fromkeys(seen, 0.0)
    for seed in range(trial.example.seed, trial.example.seed + SEEDS):
        both = _parted(trial, seed)
        for name, port, n in columns:
            halves, whole = (_joined(t, name, port, 0, 2 * step) for t in both)
            if halves is not None and whole is not None and n in halves and n in whole:
                one, two = (float(t[n].sum()) for t in (whole, halves))
                seen[name, n].append(two - one)
                size[name, n] = max(size[name, n], abs(one), abs(two))
    for key, changes in seen.items():
        error = 4 * np.std(changes) / np.sqrt(max(len(changes), 1)) + ROUNDING * size[key]
        if changes and abs(np.mean(changes)) > error:
            return False
    return True


@check("LDT-SIM-DET-01")
def same_seed_same_trajectory(trial: Trial) -> None:
    """Twice, by two instances; looked at in between; and what was given once stays as it was."""
    first = drive(trial)
    again = start_run(trial)
    for _ in again.steps():
        again.subject.ports()
        if "state" in again.subject.capabilities():
            again.subject.get_state()
    second = again.done()
    expect_same_run(trial, first, second, "run again, with a look in every window, it differs")
    _stays(trial, first)
    _stays(trial, second)
    there = drive(trial, driver=trial.driver.another())
    expect_same_run(trial, first, there, "in another process it differs")


def _stays(trial: Trial, found: Trajectory) -> None:
    """Tables are handed on by reference: they must not change after they were given."""
    now = [digest_of(tables) for _, _, tables in found.windows]
    changed = [span for span, a, b in zip(found.spans, found.digests, now, strict=True) if a != b]
    trial.expect(
        not changed,
        "tables of an earlier window changed when later ones were computed",
        given={"windows": changed[:5]},
        expected="values that stay as they were given: a copy of a buffer that is used again",
        got="other values in the same tables",
    )


@check("LDT-SIM-RESET-01")
def a_second_initialize_is_a_new_instance(trial: Trial) -> None:
    """After a whole run, and after a part of one."""
    expected = drive(trial)
    run = start_run(trial)
    run.advance()
    expect_same_run(trial, expected, run.begin().advance(), "initialized after a whole run, it differs")
    run.begin().advance(trial.example.step)
    expect_same_run(trial, expected, run.begin().advance(), "initialized under way, it differs")


@check("LDT-SIM-STEP-01")
def a_failed_step_has_not_been(trial: Trial) -> None:
    """Steps that are cancelled or given what cannot be used: tried again, the run is as if they had not been; or dead."""
    expected = drive(trial)
    step = trial.example.step
    for what, inputs, cancelled in _bad_steps(start_run(trial).take(1)):
        run = start_run(trial).take(1)
        context = run.subject.context
        before, until = context.cancelled, min(run.time + step, run.end)
        rng, flags = context.rng_state, tuple(context.flags)
        context.cancelled = cancelled or before
        try:
            run.ask(inputs, until)
        except Raised:
            context.cancelled, context.rng_state, context.flags[:] = before, rng, flags
            _rolled_back_or_dead(trial, run, expected, what)
        else:
            trial.expect(True, "it was a step, and none that failed")
        finally:
            context.cancelled = before


def _bad_steps(run: Run) -> Iterator[tuple[str, dict[str, Any], Callable[[], bool] | None]]:
    """(what is wrong, inputs, when it is cancelled)."""
    good = run.given.over(run.time, min(run.time + run.trial.example.step, run.end))
    for calls in (0, 2):
        asked = count()
        yield f"cancelled after {calls} looks", good, lambda asked=asked, calls=calls: next(asked) >= calls  # type: ignore[misc]
    for name, table in good.items():
        port = run.given.inputs[name]
        rest = {n: t for n, t in good.items() if n != name}
        yield f"'{name}' does not come", rest, None
        yield f"'{name}' has no rows", {**rest, name: table.slice(0, 0)}, None
        for column in table.names:
            yield f"'{name}' comes without '{column}'", {**rest, name: table.drop(column)}, None
        if isinstance(port, ldt.Port) and port.id is not None and len(table):
            last = table.slice(len(table) - 1, len(table))
            ids = np.array([NOBODY], object) if port.columns[port.id].kind == "text" else [-987_654_321]
            stranger = last.with_columns(**{port.id: ids})
            yield (
                f"'{name}' names an unknown {port.entity}",
                {**rest, name: ldt.Table.concat([table, stranger])},
                None,
            )
            yield f"'{name}' names one twice", {**rest, name: ldt.Table.concat([table, last])}, None


def _rolled_back_or_dead(trial: Trial, run: Run, expected: Trajectory, what: str) -> None:
    """Good input again: the run goes on as it would have; or this and every later step is refused in words."""
    start = run.time
    try:
        after = run.advance()
    except Raised as raised:
        if raised.word in DEAD:
            trial.expect_raises(
                DEAD, "after a step that failed it is dead, and then not", lambda: run.advance(), given=what
            )
            return
        trial.fail(
            "after a step that failed, a good one fails by another fault of the component's",
            given=what,
            expected="the step, or a refusal in the contract's words",
            got=str(raised),
        )
    expect_same_run(
        trial,
        expected.after(start),
        after.after(start),
        "a step that failed left something behind",
        given=what,
    )


NOBODY = "nobody knows me"
DEAD: tuple[Word, ...] = ("input", "unsupported", "unavailable", "cancelled", "not found", "config", "died")
