"""One check for every released requirement, in a module for each part of the catalogue.

A check is given a ``Trial``, returns nothing and says what it saw by ``trial.expect`` and its kin, which count the
observations. It knows no component by name.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ..requirements import FILES

if TYPE_CHECKING:
    from ..trial import Trial

Check = Callable[["Trial"], None]
_CHECKS: dict[str, Check] = {}


def check(requirement: str) -> Callable[[Check], Check]:
    """Marks the check of a requirement."""

    def mark(function: Check) -> Check:
        if requirement in _CHECKS:
            raise ValueError(f"{requirement} has two checks")
        _CHECKS[requirement] = function
        return function

    return mark


def checks() -> Mapping[str, Check]:
    """Every check by the id of its requirement."""
    for name in FILES:
        importlib.import_module(f"{__name__}.{name}")
    return _CHECKS
