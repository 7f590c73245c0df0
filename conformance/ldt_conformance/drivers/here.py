"""The component in this process: for the zoo and for a vendor's own tests, never for a certificate."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ldt_core.interfaces import Component
from ldt_core.manifest import describe

from .base import Driver


class HereDriver(Driver):
    """Drives a class that was imported."""

    door = "here"

    def __init__(self, component: type[Component]) -> None:
        self._component = component
        self.manifest = describe(component)

    def component(self) -> type[Component]:
        return self._component

    @contextmanager
    def fresh(self, **environment: str) -> Iterator[Driver]:
        raise NotImplementedError("comes with the spawned driver")
        yield self
