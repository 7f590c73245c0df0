"""A run of the suite over what somebody names: an installed component, a wheel, a folder, a service."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import distribution, version
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import ldt_core as ldt
from ldt_core.catalog import Offer, cache_folder, installed
from ldt_core.environments import Environment, solve
from ldt_core.errors import PluginError, nearest
from ldt_core.interfaces import AnyPort
from ldt_core.isolation import Place
from ldt_core.tables import port_from_dict

from .artefact import Artefact, open_folder, open_installed, open_wheel
from .drivers.base import Driver, Raised
from .drivers.process import ProcessDriver
from .example import Example
from .judge import claims_of, judge, judge_package
from .outcome import Result
from .progress import Progress
from .report import Component, Report, Subject
from .report import Environment as Where
from .requirements import export, profile
from .vendor import NAME, ComponentSection, VendorFile, example_of, read_vendor, waivers_of


@dataclass
class Target:
    """What is judged: drivers by component, the artefact that they come from, and the vendor's file."""

    subject: Subject
    drivers: dict[str, Driver] = field(default_factory=dict)
    artefact: Artefact | None = None
    vendor: VendorFile = field(default_factory=VendorFile)
    folder: Path = field(default_factory=Path)
    notes: list[str] = field(default_factory=list)
    sandbox: str = "none"

    @property
    def service(self) -> bool:
        return self.subject.kind == "service"


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
        _opened(what, Path(room), as_registry, vendor, progress) as target,
    ):
        chosen = _chosen(target, components)
        results, owed = _judged(target, chosen, level, only, quick, progress)
    progress.close()
    catalogue = export()
    return Report(
        catalogue=catalogue["release"],
        catalogue_sha256=catalogue["sha256"],
        level=level,
        subject=target.subject,
        components=tuple(_component(target.drivers[id].manifest) for id in chosen),
        environment=Where(
            suite=version("ldt-conformance"),
            core=version("ldt-core"),
            python=platform.python_version(),
            platform=f"{platform.system()} {platform.machine()}",
            door="http" if target.service else "process",
            sandbox=target.sandbox,
        ),
        selection="only" if only else "quick" if quick else "whole",
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


def _chosen(target: Target, components: Sequence[str] | None) -> list[str]:
    for id in components or ():
        if id not in target.drivers:
            raise PluginError(
                f"{target.subject.name} offers no component '{id}'",
                code="not installed",
                fix=nearest(id, target.drivers),
            )
    if components and len(components) < len(target.drivers):
        target.notes.append(f"Of {len(target.drivers)} components only {', '.join(components)} was judged.")
    return list(components or target.drivers)


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
    examples: dict[str, Example] = {}
    for id in chosen:
        examples[id] = _example(target, target.drivers[id])
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
                with driver.open(section.params, context, base=target.folder) as subject:
                    ports = subject.ports()[0]
            except Raised:
                ports = {**ports}
    return example_of(target.vendor, id, target.folder, ports, driver.manifest.get("step_default"))


# -- from what somebody names --------------------------------------------------------------------


@contextmanager
def _opened(
    what: str, room: Path, as_registry: bool, vendor: Path | None, progress: Progress
) -> Iterator[Target]:
    if what.startswith(("http://", "https://")):
        target = _service(what, vendor)
    elif what.endswith(".whl"):
        if not Path(what).is_file():
            raise PluginError(f"there is no wheel {what}", code="not installed", fix="give its path")
        target = _wheel(open_wheel(Path(what)), "wheel", vendor, progress)
    elif (Path(what) / "pyproject.toml").is_file():
        progress.say(f"building the wheel of {what}")
        target = _wheel(open_folder(Path(what), room), "folder", vendor or _beside(Path(what)), progress)
    elif as_registry:
        raise PluginError(
            f"'{what}' is no wheel",
            code="not installed",
            fix="the registry judges the bytes of a wheel: give its path",
        )
    else:
        target = _installed(what, room, vendor)
    try:
        yield target
    finally:
        for driver in target.drivers.values():
            driver.close()


def _beside(folder: Path) -> Path | None:
    path = folder / NAME
    return path if path.is_file() else None


def _with_vendor(target: Target, path: Path | None) -> Target:
    if path is None:
        target.notes.append(
            f"There is no {NAME}: components are run with their defaults and generated inputs."
        )
        return target
    target.vendor, target.folder = read_vendor(path), path.parent.resolve()
    return target


def _installed(what: str, room: Path, vendor: Path | None) -> Target:
    """A component by its id, or a distribution by its name, that is installed here."""
    catalog = installed()
    found = [o for o in catalog.offers if what in (o.id, o.distribution)]
    if not found:
        names = {o.id for o in catalog.offers} | {o.distribution for o in catalog.offers}
        raise PluginError(
            f"'{what}' is no installed component, no wheel, no folder with pyproject.toml and no address",
            code="not installed",
            fix=nearest(what, names),
        )
    name = found[0].distribution
    here = Environment(sys.prefix, "", sys.executable, tuple(sys.path))
    artefact = open_installed(name, room)
    subject = Subject(name=name, version=distribution(name).version, kind="installed", sha256=artefact.sha256)
    drivers: dict[str, Driver] = {
        o.id: ProcessDriver(o, Place(here)) for o in catalog.offers if o.distribution == name
    }
    target = Target(subject, drivers, artefact)
    if what in drivers and len(drivers) > 1:
        target.drivers = {what: drivers[what]}
    return _with_vendor(target, vendor or _of_installed(name, found[0]))


def _of_installed(name: str, offer: Offer) -> Path | None:
    """The vendor's file in the source folder of an editable installation, or in the installed package."""
    origin = json.loads(distribution(name).read_text("direct_url.json") or "{}")
    if origin.get("dir_info", {}).get("editable"):
        return _beside(Path(unquote(urlparse(origin["url"]).path)))
    return _beside(Path(offer.folder))


def _wheel(artefact: Artefact, kind: Any, vendor: Path | None, progress: Progress) -> Target:
    """The components of a wheel, in an environment that holds nothing else but what it needs."""
    subject = Subject(
        name=artefact.name,
        version=artefact.version,
        kind=kind,
        file=artefact.wheel.name,
        sha256=artefact.sha256,
    )
    target = Target(subject, artefact=artefact)
    if artefact.problems:  # nothing of it is installed; the package's requirements say what is wrong
        return _with_vendor(target, vendor)
    try:
        wanted = f"{artefact.name} @ {artefact.wheel.resolve().as_uri()}"
        environment = solve([wanted], cache_folder() / "certify")[0]
    except PluginError as exc:
        target.notes.append(f"It cannot be installed: {exc.what}")
        return _with_vendor(target, vendor)
    offers = [o for o in environment.offers().offers if o.distribution == artefact.name]
    target.drivers = {o.id: ProcessDriver(o, Place(environment)) for o in offers}
    if vendor is None and offers:
        vendor = _beside(Path(offers[0].folder))
    return _with_vendor(target, vendor)


def _service(address: str, vendor: Path | None) -> Target:
    from .drivers.http import HttpDriver

    found = read_vendor(vendor) if vendor is not None else VendorFile()
    variable = found.service.token_variable
    access = {"token": os.environ[variable]} if variable and variable in os.environ else {}
    driver = HttpDriver(address, access)
    manifest = driver.manifest
    subject = Subject(
        name=manifest.get("title") or manifest["id"],
        version=str(manifest.get("version", "")),
        kind="service",
        address=address,
        sha256=driver.openapi_digest(),
    )
    return _with_vendor(Target(subject, {manifest["id"]: driver}), vendor)
