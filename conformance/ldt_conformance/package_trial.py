"""What a check of a package is given: the artefact, its components' examples, and a bench where it can be run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ldt_core.interfaces import Component

from .artefact import Artefact
from .drivers.base import Driver
from .example import Example
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
    """One requirement tried on one package. ``examples`` are those of its components, by id."""

    artefact: Artefact
    examples: Mapping[str, Example]

    def __init__(
        self, requirement: Requirement, artefact: Artefact, examples: Mapping[str, Example], quick: bool
    ) -> None:
        super().__init__(requirement, PackageDriver(artefact), Example(), artefact, quick)
        self.examples = examples
