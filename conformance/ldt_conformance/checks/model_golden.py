"""Golden cases hold, and the model does not merely know them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import ldt_core as ldt

from ..badparams import accepts, whole
from ..cases import Case, cases_of, like, run, tolerances_of
from ..drivers.base import Raised
from ..job import other_values
from ..perturb import held_back, sorted_rows
from ..trial import Trial
from . import check

LEAST = 3
SHARES = (0.02, 0.05, -0.03, 0.11, -0.08, 0.21)
"""How far inputs are moved, as shares of their own span; each times a number that nobody chose (see ``held_back``)."""


@check("LDT-MOD-GOLD-01")
def golden_cases_hold_and_are_computed(trial: Trial) -> None:
    """The cases as they are; then with their inputs and parameters moved a little."""
    cases = cases_of(trial)
    trial.expect(
        len(cases) >= LEAST,
        "there are too few golden cases",
        expected=f"at least {LEAST} in cases/*.json",
        got=len(cases),
    )
    outputs, golden = trial.open().ports()[1], _values(c.outputs for c in cases)
    for case in cases:
        try:
            found = like(case, run(trial, case))
        except Raised as raised:
            trial.fail(f"the golden case '{case.name}' is refused", given=case.inputs, got=str(raised))
        trial.expect_same(
            sorted_rows(case.outputs, outputs),
            sorted_rows(found, outputs),
            f"the golden case '{case.name}' does not hold",
            given=case.inputs,
            tolerances=tolerances_of(trial, case),
        )
        golden |= _values([found])
    seen, answered = set[Any](), 0
    for case in cases:
        for changes in _moved(trial, case):
            try:
                answer = run(trial, case, **changes)
            except Raised as raised:
                if raised.word not in ("input", "config"):
                    raise
                continue
            answered += 1
            seen |= _values([like(case, answer)])
    trial.expect(answered > 0, "it refuses every input near a golden case", got=[c.name for c in cases])
    trial.expect(
        bool(seen - golden) or (not any(isinstance(v, float) for v in golden | seen) and seen != golden),
        "moving the inputs of the golden cases a little gives nothing but golden answers",
        given=[c.inputs for c in cases],
        expected="a number that stands in no golden case",
        got=sorted(map(str, seen))[:20],
    )


def _moved(trial: Trial, case: Case) -> Iterator[dict[str, Any]]:
    """The case with every number of its inputs moved together, and with one parameter moved."""
    ports = trial.open(case.params).ports()[0]
    for share in SHARES:
        far = share * held_back(case.name, case.params, share)
        tables = {n: other_values(t, ports[n], trial, n, far) for n, t in case.inputs.items()}
        yield {"inputs": tables}
    schema = trial.manifest["params"]
    for name, described in schema.get("properties", {}).items():
        value = case.params.get(name, described.get("default"))
        if isinstance(value, float) or (isinstance(value, int) and described.get("type") == "number"):
            other = value + 0.07 * held_back(case.name, name) * (abs(value) or 1.0)
            if accepts(whole(schema, name), other):
                yield {"params": {**case.params, name: other}}


def _values(answers: Any) -> set[Any]:
    """Every number and word of some answers but names and times; numbers rounded as they would be written down."""
    found: set[Any] = set()
    for answer in answers:
        for table in answer.values():
            if isinstance(table, ldt.Table):
                found |= _cells(table)
    return found


def _cells(table: ldt.Table) -> set[Any]:
    found: set[Any] = set()
    for name in table:
        values = table[name]
        if values.dtype.kind == "f":
            found |= {float(f"{v:.7g}") for v in values.tolist() if np.isfinite(v)}
        elif values.dtype.kind in "ib":
            found |= {(name, v) for v in values.tolist()}
    return found
