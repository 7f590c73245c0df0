"""Checks of the catalogue's part ``model``."""

from __future__ import annotations

from ..trial import Trial
from . import check


@check("LDT-MOD-DET-01")
def same_inputs_give_same_outputs(trial: Trial) -> None:
    """Twice in one process, by two instances."""
    inputs = dict(trial.example.inputs)
    first = trial.open().compute(inputs)
    trial.expect_same(first, trial.open().compute(inputs), "computed again it differs", given=inputs)
