"""A specimen as a distribution that can be built and installed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from .. import packing
from . import Specimen


def distribution(specimen: Specimen) -> str:
    """The name of its distribution."""
    return f"ldt-zoo-{specimen.name.replace('.', '-').replace('_', '-').lower()}"


def folder(specimen: Specimen, under: Path, *, code: str = "") -> Path:
    """Its source folder, below ``under``. ``code`` is what its package holds; without it, it re-exports the specimen."""
    name = distribution(specimen)
    return packing.put_folder(specimen.component, under / name, name, code=code)


def wheel(specimen: Specimen, under: Path, *, code: str = "") -> Path:
    return packing.build_wheel(folder(specimen, under / "folders", code=code), under / "wheels")


def site(specimens: Iterable[Specimen], under: Path) -> Path:
    """A folder in which these specimens lie installed, as a child process can import them."""
    for specimen in specimens:
        packing.install_wheel(wheel(specimen, under), under / "site")
    return under / "site"
