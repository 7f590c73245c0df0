"""The component in a process of its own: it shares nothing with the judge but a socket."""

from __future__ import annotations

import sys
import uuid
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import ldt_core as ldt
from ldt_core.catalog import Offer
from ldt_core.environments import Environment
from ldt_core.errors import ChildError
from ldt_core.interfaces import Component
from ldt_core.isolation import Launch, Place, Watched, describe_isolated, load_isolated
from ldt_core.process import end_idle

from .base import Driver, Subject, Word

_ENDS: Mapping[str, Word] = {"killed": "died", "out of memory": "died", "timed out": "too long"}
"""The codes of ``ChildError`` that tell how a process ended; all others tell what the component did."""


def place_of(
    sites: Sequence[Path], *, python: str = sys.executable, launch: Launch | None = None, **limits: int
) -> Place:
    """Where what lies in these site folders runs: they come before what is installed for ``python``."""
    launch = launch or Launch()
    path = tuple(str(s) for s in sites)
    found = [*launch.variables, ("PYTHONPATH", ":".join(path))]
    environment = Environment(path[0], "", python, path)
    return Place(environment, launch=launch._replace(variables=tuple(found)), **limits)


class ProcessDriver(Driver):
    """Drives what a distribution offers, in a process at ``place``. All instances live in one process, as they do in a
    program that imports the component.

    ``scratch`` is where folders must lie that it is to see, if that is not everywhere (a sandbox).
    """

    door = "process"

    def __init__(self, offer: Offer, place: Place, *, scratch: Path | None = None) -> None:
        self.offer, self.scratch = offer, scratch
        self.place = place._replace(launch=place.launch._replace(shared=True, quiet=True))
        self.manifest = offer.describe()
        self._opened: weakref.WeakSet[Subject] = weakref.WeakSet()

    @classmethod
    def at(cls, place: Place, id: str, *, distribution: str | None = None, **more: Any) -> Self:
        """Drives the component ``id`` of what is installed at ``place``; ``distribution`` where several offer it."""
        offers = place.environment.offers()
        if distribution is not None:
            offers = offers._replace(offers=[o for o in offers.offers if o.distribution == distribution])
        return cls(offers.find(id), place, **more)

    def component(self) -> type[Component]:
        return load_isolated(self.offer, self.place)

    def open(self, params: Mapping[str, Any], context: ldt.Context, *, base: Any = None) -> Subject:
        subject = super().open(params, context, base=base)
        self._opened.add(subject)
        return subject

    def describe(self) -> Mapping[str, Any]:
        return self.call("describe", describe_isolated, self.offer, self.place)  # type: ignore[no-any-return]

    @contextmanager
    def fresh(self, **environment: str) -> Iterator[Driver]:
        launch = self.place.launch
        folder = environment.pop("PWD", launch.folder)
        variables = tuple((dict(launch.variables) | environment).items())
        launch = launch._replace(variables=variables, folder=folder, label=uuid.uuid4().hex)
        driver = ProcessDriver(self.offer, self.place._replace(launch=launch), scratch=self.scratch)
        try:
            yield driver
        finally:
            driver.close()

    def memory(self, subject: Subject) -> int | None:
        return self._watch(subject).memory

    def dropped(self, subject: Subject) -> Mapping[str, Sequence[str]]:
        return self._watch(subject).dropped

    def _watch(self, subject: Subject) -> Watched:
        return self.call("watch", subject.component.watch)  # type: ignore[attr-defined, no-any-return]

    def word_of(self, error: BaseException) -> Word:
        if isinstance(error, ChildError):
            return _ENDS.get(error.code, "unexpected")
        return super().word_of(error)

    def close(self) -> None:
        super().close()
        for subject in list(self._opened):
            subject.close()
        end_idle(self.place)
