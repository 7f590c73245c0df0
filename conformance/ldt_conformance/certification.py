"""A run of the suite over what somebody names."""

from __future__ import annotations

import hashlib
import json
import platform
import sys
import tempfile
import time
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ldt_core as ldt
from ldt_core.errors import PluginError, nearest
from ldt_core.interfaces import AnyPort
from ldt_core.tables import port_from_dict

from .budget import TooLong, within
from .drivers.base import Driver, Raised
from .example import Example
from .judge import claims_of, judge, judge_package
from .outcome import Result
from .progress import Progress
from .report import Component, Report
from .report import Environment as Where
from .requirements import export, profile
from .target import Target, opened
from .vendor import ComponentSection, example_of, waivers_of

ASKING = 20.0
"""Seconds that a component has to say its ports before it is judged."""


def run(
    what: str,
    *,
    level: int = 1,
    only: Collection[str] = (),
    quick: bool = False,
    components: Sequence[str] | None = None,
    as_registry: bool = False,
    vendor: Path | None = None,
    progress: Progress | None = None,
) -> Report:
    """The report of one run; see ``ldt certify --help``. Raises ``LdtError`` where ``what`` cannot be judged at all."""
    progress = progress or Progress(sys.stderr)
    begun, started = time.monotonic(), datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    with (
        tempfile.TemporaryDirectory(prefix="ldt-certify-") as room,
        opened(what, Path(room), as_registry, vendor, progress) as target,
    ):
        chosen = choose(target, components or ([what] if what in target.drivers else None))
        results, owed = _judged(target, chosen, level, only, quick, progress)
    progress.close()
    catalogue = export()
    return Report(
        catalogue=catalogue["release"],
        catalogue_sha256=catalogue["sha256"],
        level=level,
        subject=target.subject.model_copy(update={"asked": what, "conformance": str(vendor or "")}),
        components=tuple(_component(target.drivers[id].manifest) for id in chosen),
        environment=Where(
            suite=version("ldt-conformance"),
            core=version("ldt-core"),
            python=platform.python_version(),
            platform=f"{platform.system()} {platform.machine()}",
            door="http" if target.service else "process",
            sandbox=target.sandbox,
        ),
        selection="only" if only or in_part(target, chosen) else "quick" if quick else "whole",
        owed=tuple(owed),
        results=tuple(results),
        waivers=() if as_registry else waivers_of(target.vendor),
        notes=tuple(target.notes),
        started=started,
        seconds=round(time.monotonic() - begun, 3),
    )


def _component(manifest: Mapping[str, Any]) -> Component:
    canonical = json.dumps(manifest, sort_keys=True, separators=(",", ":"), default=str)
    return Component(
        id=manifest["id"],
        kind=manifest["kind"],
        title=manifest.get("title", ""),
        claims=tuple(sorted(claims_of(manifest))),
        manifest_sha256=hashlib.sha256(canonical.encode()).hexdigest(),
    )


def choose(target: Target, components: Sequence[str] | None) -> list[str]:
    for id in components or ():
        if id not in target.drivers:
            raise PluginError(
                f"{target.subject.name} offers no component '{id}'",
                code="not installed",
                fix=nearest(id, target.drivers),
            )
    chosen = list(dict.fromkeys(components or target.drivers))
    if in_part(target, chosen):
        target.notes.append(f"Of {len(target.drivers)} components only {', '.join(chosen)} was judged.")
    return chosen


def in_part(target: Target, chosen: Sequence[str]) -> bool:
    """Whether a component was left out: what is certified is all that the bytes offer."""
    return len(chosen) < len(target.drivers)


def _judged(
    target: Target,
    chosen: Sequence[str],
    level: int,
    only: Collection[str],
    quick: bool,
    progress: Progress,
) -> tuple[list[Result], list[tuple[str, str | None]]]:
    """Every result, and everything that is owed."""
    results: list[Result] = []
    owed: list[tuple[str, str | None]] = []
    whole = (
        target.drivers if target.artefact is not None else chosen
    )  # a package is run with all that it holds
    examples = {id: _example(target, target.drivers[id]) for id in whole}
    if target.artefact is not None:
        owed += [(r.id, None) for r, _ in profile(None, level, (), "process")]
        results += judge_package(
            target.artefact, examples, level=level, only=only, quick=quick, tell=progress
        )
    for id in chosen:
        driver = target.drivers[id]
        kind, claims = driver.manifest["kind"], claims_of(driver.manifest)
        owed += [(r.id, id) for r, _ in profile(kind, level, claims, driver.door, service=target.service)]
        results += judge(
            driver,
            examples[id],
            level=level,
            artefact=target.artefact,
            service=target.service,
            only=only,
            quick=quick,
            tell=progress,
        )
    return results, owed


def _example(target: Target, driver: Driver) -> Example:
    """The vendor's example. Ports that depend on parameters are asked for; what cannot be asked is told by the checks."""
    id = driver.manifest["id"]
    section = target.vendor.component.get(id, ComponentSection())
    ports: Mapping[str, AnyPort] = {n: port_from_dict(p) for n, p in driver.manifest["inputs"].items()}
    if driver.manifest.get("dynamic") and section.inputs:
        with tempfile.TemporaryDirectory(prefix="ldt-ports-") as scratch:
            context = ldt.Context(scratch=Path(scratch), cache=Path(scratch))
            try:
                with (
                    within(ASKING),
                    driver.open(section.params or {}, context, base=target.folder) as subject,
                ):
                    ports = subject.ports()[0]
            except (Raised, TooLong):
                ports = {**ports}
    return example_of(target.vendor, id, target.folder, ports, driver.manifest.get("step_default"))
