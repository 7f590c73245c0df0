"""What a check of a package is given: the artefact, its components' examples, and a bench where it can be run."""

from __future__ import annotations

from typing import Any

from ldt_core.interfaces import Component

from .artefact import Artefact
from .drivers.base import Driver
from .example import Example
from .observe import Bench
from .requirements import Requirement
from .trial import Trial


class PackageDriver(Driver):
    """Stands where a component's driver stands: a package has a manifest, and is no component."""

    door = "process"

    def __init__(self, artefact: Artefact) -> None:
        self.manifest = {"id": artefact.name, "version": artefact.version}

    def component(self) -> type[Component]:
        raise NotImplementedError("a package is no component")

    def fresh(self, **environment: str) -> Any:
        raise NotImplementedError("a package is no component")


class PackageTrial(Trial):
    """One requirement tried on one package, at a bench that all its requirements share."""

    artefact: Artefact

    def __init__(self, requirement: Requirement, bench: Bench, quick: bool) -> None:
        super().__init__(requirement, PackageDriver(bench.artefact), Example(), bench.artefact, quick)
        self.bench = bench
