"""The component in this process: for the zoo and for a vendor's own tests, never for a certificate."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ldt_core.interfaces import Component
from ldt_core.manifest import describe

from .. import packing
from .base import Driver, Subject
from .memory import give_back, resident
from .process import ProcessDriver, place_of


class HereDriver(Driver):
    """Drives a class that was imported."""

    door = "here"

    def __init__(self, component: type[Component]) -> None:
        self._component = component
        self.manifest = describe(component)
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def component(self) -> type[Component]:
        return self._component

    def describe(self) -> Mapping[str, Any]:
        return self.call("describe", describe, self._component)  # type: ignore[no-any-return]

    @contextmanager
    def fresh(self, **environment: str) -> Iterator[Driver]:
        with self._elsewhere().fresh(**environment) as driver:
            yield driver

    def _elsewhere(self) -> ProcessDriver:
        """The same class, offered to another process by a distribution made for this."""
        name = "ldt-conformance-judged"
        made = self._folder is None
        self._folder = self._folder or tempfile.TemporaryDirectory(prefix="ldt-judged-")
        folder = Path(self._folder.name)
        if made:
            source = packing.put_folder(self._component, folder / "source", name)
            packing.install_wheel(packing.build_wheel(source, folder), folder / "site")
        near = [Path(p) for p in sys.path if p and Path(p).is_dir()]
        place = place_of([folder / "site", *near])
        return ProcessDriver.at(place, self._component.id, distribution=name)

    def close(self) -> None:
        super().close()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def memory(self, subject: Subject) -> int | None:
        give_back()
        return resident(os.getpid())
