"""Specimens: whole packages. Each is the files of a wheel; a mutant changes a few of them."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

import ldt_core as ldt
from ldt_core.manifest import describe, render
from ldt_core.wheels import write_wheel

from ..example import Example
from .sample import TollModel

Files = dict[str, str]
"""Text by path inside the wheel."""
INFO, PACKAGE = "zoo_toll-1.2.0.dist-info", "zoo_toll"
CODE = f"{PACKAGE}/__init__.py"
FLOW = ldt.Table(
    {
        "time": [np.datetime64("2026-03-02T05:00", "us")] * 2,
        "road": ["A 7", "Żółta"],
        "flow": [120.0, 30.5],
    }
)
EXAMPLES = {"zoo-toll": Example(params={"token": "swordfish"}, windows=1, inputs={"flow": FLOW})}


@dataclass(frozen=True)
class PackageSpecimen:
    """A package of the zoo. ``fails`` is the one requirement that it breaks; None: it is good."""

    name: str
    change: Callable[[Files], None]
    fails: str | None = None

    def wheel(self, folder: Path) -> Path:
        """Write it into ``folder``."""
        contents = dict(_good())
        self.change(contents)
        name = f"{INFO.removesuffix('.dist-info')}-py3-none-any.whl"
        return write_wheel({n: t.encode() for n, t in contents.items()}, INFO, name, folder)


@cache
def _good() -> Files:
    code = (files("ldt_conformance.zoo") / "sample.py").read_text("utf-8")
    manifest: dict[str, Any] = {
        "contract": 1,
        "distribution": "zoo-toll",
        "version": "1.2.0",
        "components": [describe(TollModel)],
        "commands": [],
    }
    return {
        CODE: code,
        f"{PACKAGE}/component.json": render(manifest),
        f"{PACKAGE}/rates.csv": "vehicle,rate\ncar,2.0\n",
        f"{INFO}/METADATA": "Metadata-Version: 2.4\nName: zoo-toll\nVersion: 1.2.0\nLicense-Expression: MIT\n"
        "License-File: LICENSE\nRequires-Python: >=3.11\nRequires-Dist: ldt-core>=0.1\n",
        f"{INFO}/WHEEL": "Wheel-Version: 1.0\nGenerator: zoo\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{INFO}/entry_points.txt": f"[ldt]\nzoo-toll = {PACKAGE}\n",
        f"{INFO}/licenses/LICENSE": "Permission is hereby granted, free of charge, to any animal of the zoo.\n",
    }


_ALL = [PackageSpecimen("good", lambda contents: None)]


def packages() -> list[PackageSpecimen]:
    """All of them, the good one first."""
    return list(_ALL)


def _mutant(fails: str) -> Callable[[Callable[[Files], None]], Callable[[Files], None]]:
    def mark(change: Callable[[Files], None]) -> Callable[[Files], None]:
        _ALL.append(PackageSpecimen(change.__name__, change, fails))
        return change

    return mark


def _replace(contents: Files, file: str, old: str, new: str) -> None:
    assert old in contents[file], f"{file} has no {old!r}"
    contents[file] = contents[file].replace(old, new)


@_mutant("LDT-PKG-META-01")
def manifest_made_at_import(contents: Files) -> None:
    manifest = contents.pop(f"{PACKAGE}/component.json")
    contents[CODE] += f"\nfrom pathlib import Path\nMANIFEST = {json.dumps(manifest)!r}\n"


@_mutant("LDT-PKG-META-01")
def manifest_of_another_contract(contents: Files) -> None:
    _replace(contents, f"{PACKAGE}/component.json", '"contract": 1', '"contract": 99')


@_mutant("LDT-PKG-META-01")
def name_differs_from_the_file_name(contents: Files) -> None:
    _replace(contents, f"{INFO}/METADATA", "Name: zoo-toll", "Name: numpy")


@_mutant("LDT-PKG-VER-01")
def manifest_of_another_version(contents: Files) -> None:
    _replace(contents, f"{PACKAGE}/component.json", '"version": "1.2.0"', '"version": "1.1.0"')


@_mutant("LDT-PKG-VER-01")
def code_of_another_version(contents: Files) -> None:
    contents[CODE] += '\n__version__ = "1.2.0.dev3"\n'


@_mutant("LDT-PKG-LIC-01")
def licence_free(contents: Files) -> None:
    _replace(contents, f"{INFO}/METADATA", "License-Expression: MIT", "License-Expression: Free")


@_mutant("LDT-PKG-LIC-01")
def licence_without_its_text(contents: Files) -> None:
    del contents[f"{INFO}/licenses/LICENSE"]


def record_line(inside: str, data: bytes) -> str:
    """A line of RECORD."""
    code = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
    return f"{inside},sha256={code},{len(data)}"
