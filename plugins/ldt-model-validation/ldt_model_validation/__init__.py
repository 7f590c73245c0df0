"""Simulated against observed values, and values near a place."""

from __future__ import annotations

import ldt_core as ldt

from .nearby import Nearby
from .validation import Validation

__all__ = ["Nearby", "Validation"]


@ldt.hookimpl
def ldt_models() -> list[type[ldt.Model]]:
    return [Validation, Nearby]
