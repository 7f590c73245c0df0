"""Broken components that prove the suite: each mutant is a good specimen with one fault, and names the one requirement
that must fail; the good specimens must pass everything."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from ldt_core.interfaces import Component

from ..example import Example
from ..requirements import DOORS, Door

MODULES = (
    "sources",
    "models",
    "simulators",
    "simulators_kept",
    "viewers",
    "viewers_together",
    "every",
    "models_wrong",
)
C = TypeVar("C", bound=type[Component])


@dataclass(frozen=True)
class Specimen:
    """A component of the zoo with its example. ``fails`` is the one requirement that it breaks; None: it is good.

    ``also`` are requirements that break with it of necessity; keep it empty, and say why where you cannot. ``doors`` are
    those by which the fault can be seen, where that is fewer than its requirement's: by others it is not judged.
    """

    component: type[Component]
    example: Example
    fails: str | None = None
    also: tuple[str, ...] = ()
    doors: tuple[Door, ...] = DOORS

    @property
    def name(self) -> str:
        return f"{self.component.__module__.rpartition('.')[2]}.{self.component.__name__}"


_ALL: list[Specimen] = []


def good(example: Example) -> Callable[[C], C]:
    """Marks a good specimen."""
    return _marked(example, None)


def mutant(fails: str, example: Example, **more: Any) -> Callable[[C], C]:
    """Marks a specimen with one fault: the requirement that must find it."""
    return _marked(example, fails, **more)


def _marked(example: Example, fails: str | None, **more: Any) -> Callable[[C], C]:
    def mark(component: C) -> C:
        _ALL.append(Specimen(component, example, fails, **more))
        return component

    return mark


def specimens() -> list[Specimen]:
    """All of them, good ones first."""
    for name in MODULES:
        importlib.import_module(f"{__name__}.{name}")
    return sorted(_ALL, key=lambda s: (s.fails is not None, s.name))
