"""Does a simulator keep what it says it keeps, and take what it exchanges as it is declared?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

import ldt_core as ldt
from ldt_core.tables import Port
from ldt_core.units import check_unit

from ..balance import Balance
from ..corpus import reach
from ..drive import Run, Trajectory, drive, expect_same_run, in_words, start_run
from ..perturb import moved
from ..trial import CannotTell, NotApplicable, Trial, first_difference
from . import check


@check("LDT-SIM-LAW-01")
def keeps_what_it_says_and_does_nothing_for_nothing(trial: Trial) -> None:
    """Every balance of the example in every window; then the scenarios that change nothing."""
    run = start_run(trial)
    found = run.advance()
    for written in trial.example.balances:
        try:
            balance = Balance.model_validate(dict(written))
        except ValidationError as exc:
            raise CannotTell(f"the example's balance cannot be read: {exc}") from exc
        _balanced(trial, balance, run, found)
    _same_when_said(trial, found)
    if trial.example.nothing is not None:
        _does_nothing(trial, trial.example.nothing, found)


def _balanced(trial: Trial, balance: Balance, run: Run, found: Trajectory) -> None:
    windows = list(balance.windows(found, run.given))
    if not windows or not any(abs(w["in"]) + abs(w["out"]) + abs(w["after"]) > 0 for w in windows):
        raise CannotTell(f"nothing of '{balance.name}' comes, goes or is stored in the whole example")
    for window in windows:
        trial.expect(
            abs(window["amiss"]) <= balance.allowed(window),
            f"the balance '{balance.name}' does not hold from {in_words(int(window['start']), int(window['end']))}",
            given={n: window[n] for n in ("before", "after", "in", "out")},
            expected=f"after - before = in - out, within {balance.allowed(window):.3g} {balance.unit}",
            got=f"{window['amiss']:.6g} {balance.unit} amiss",
        )


def _same_when_said(trial: Trial, found: Trajectory) -> None:
    """A parameter written down with the value that it has anyway changes nothing."""
    properties: Mapping[str, Any] = trial.manifest["params"].get("properties", {})
    secrets = set(trial.manifest.get("secrets", ()))
    said = {n: p["default"] for n, p in properties.items() if "default" in p and n not in secrets}
    params = {n: v for n, v in said.items() if v is not None} | dict(trial.example.params)
    other = replace(trial, example=replace(trial.example, params=params))
    expect_same_run(
        trial,
        found,
        drive(other),
        "with every parameter written down at its default the run is another",
        given={"params": {n: v for n, v in params.items() if n not in trial.example.params}},
    )


def _does_nothing(trial: Trial, nothing: Mapping[str, Any], found: Trajectory) -> None:
    e = trial.example
    if odd := set(nothing) - {"params", "inputs", "outputs"}:
        raise CannotTell(
            f"the example's do-nothing scenario says '{min(odd)}': params, inputs, outputs are known"
        )
    changed = replace(
        e,
        params={**e.params, **nothing.get("params", {})},
        inputs={**e.inputs, **nothing.get("inputs", {})},
    )
    other = drive(replace(trial, example=changed))
    names = nothing.get("outputs")
    expect_same_run(
        trial,
        found.only(names),
        other.only(names),
        "the scenario that changes nothing changes the run",
        given={n: nothing[n] for n in nothing if n != "outputs"},
    )


# -- what is exchanged --------------------------------------------------------------------------------

Inputs = Callable[[int, int], dict[str, ldt.Table]]


@check("LDT-SIM-CPL-01")
def takes_what_is_declared_and_nothing_of_the_future(trial: Trial) -> None:
    """Units that can be converted; other inputs from an instant on change nothing before it, and something after."""
    run = start_run(trial)
    if not run.given.stepped:
        raise NotApplicable("with the example's parameters no step has an input")
    for side, ports in (("inputs", run.given.inputs), ("outputs", run.given.outputs)):
        for name, port in ports.items():
            for column, what in port.columns.items():
                if what.kind == "number":
                    _can_be_exchanged(trial, f"{side}.{name}.{column}", what)
    # The component's own folder lives on from run to run, as it does in a twin.
    cache = trial.scratch()
    expected = _ended(start_run(trial, cache=cache))
    at = _middle(trial, expected)
    changed = _ended(start_run(trial, cache=cache), at)
    expect_same_run(
        trial,
        expected.until(at),
        changed.until(at),
        f"other inputs after {in_words(0, at)} change what came before",
        given={"inputs changed from": at},
        tolerances={} if trial.manifest.get("deterministic", True) else None,
    )
    later = _ended(start_run(trial, cache=cache), 0)
    trial.expect(
        first_difference(expected.tables, later.tables, {}) is not None or expected.spans != later.spans,
        "no input of any step changes any output",
        given={"inputs": run.given.stepped},
        expected="other outputs for other inputs",
        got="the same outputs",
    )


def _ended(run: Run, other_from: int | None = None) -> Trajectory:
    """A run to its end, finalized, with other inputs from an instant on."""
    inputs = None if other_from is None else _other_from(run, other_from)
    found = run.advance(inputs=inputs)
    run.subject.finalize()
    return found


def _can_be_exchanged(trial: Trial, where: str, column: ldt.Column) -> None:
    """What a file leaves open is filled by the twin file before anything is joined; see ``columns:``."""
    dynamic = bool(trial.manifest.get("dynamic"))
    if column.unit is not None or not dynamic:
        try:
            check_unit(column.unit or "")
            known = True
        except ldt.WiringError:
            known = False
        trial.expect(
            known,
            f"'{where}' has no unit that could be converted",
            given={"column": where},
            expected="a UCUM code",
            got=column.unit,
        )
    trial.expect(
        bool(column.quantity) or dynamic,
        f"'{where}' does not say what is measured",
        given={"column": where, "unit": column.unit},
        expected="a quantity",
        got=column.quantity,
    )


def _middle(trial: Trial, found: Trajectory) -> int:
    """An instant between two windows; ``CannotTell`` where there is none."""
    ends = [end for _, end in found.spans[:-1]]
    if not ends:
        raise CannotTell("the example has one window only; two are needed to tell before from after")
    return ends[len(ends) // 2]


def _other_from(run: Run, at: int) -> Inputs:
    """The example's inputs up to ``at``, others in every window that starts there or later."""

    def over(start: int, until: int) -> dict[str, ldt.Table]:
        tables = run.given.over(start, until)
        if start < at:
            return tables
        return {n: _other(run.given.inputs[n], t) for n, t in tables.items()}

    return over


def _other(port: Any, table: ldt.Table) -> ldt.Table:
    """Other values where something is measured; else fewer rows."""
    assert isinstance(port, Port)
    columns = [n for n, c in port.columns.items() if c.measured and len(table)]
    for column in columns:
        table = moved(table, column, 0.37, _span(port.columns[column], table[column]))
    return table if columns else table.slice(0, len(table) // 2)


def _span(column: ldt.Column, values: Any) -> tuple[float, float]:
    """Where the values lie, doubled, inside the column's own range."""
    low, high = reach(column)
    size = max(float(abs(values).max()), 1.0)
    return max(low, float(values.min()) - size), min(high, float(values.max()) + size)
