"""Checks of the catalogue's part ``simulator``: time and repetition; other subjects in modules of their own."""

from __future__ import annotations

from typing import Any

import numpy as np

import ldt_core as ldt

from ..drive import Trajectory, digest_of, drive, expect_same_run, start_run
from ..trial import Trial
from . import check, simulator_record

__all__ = ["simulator_record"]  # the other checks of this part, by subject


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
    with trial.driver.fresh() as elsewhere:
        expect_same_run(trial, first, drive(trial, driver=elsewhere), "in a new process it differs")


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
