"""What is judged: from an installed component, a wheel, a folder or an address to drivers."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.metadata import distribution
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from ldt_core.catalog import Offer, cache_folder, installed
from ldt_core.environments import Environment, solve
from ldt_core.errors import PluginError, RemoteError, nearest
from ldt_core.isolation import Place
from ldt_core.remote.manifests import access_of

from .artefact import Artefact, open_folder, open_installed, open_wheel
from .drivers.base import Driver
from .drivers.http import UnreadDriver, reach
from .drivers.process import ProcessDriver
from .observe import offline
from .progress import Progress
from .report import Subject
from .sandbox import Sandbox, profile_digest, unavailable
from .vendor import NAME, VendorFile, handed_in, read_vendor


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


@contextmanager
def opened(
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
    with ExitStack() as held:
        if as_registry and not target.service:
            _behind_walls(target, held)
        try:
            yield target
        finally:
            for driver in target.drivers.values():
                driver.close()


def _behind_walls(target: Target, held: ExitStack) -> None:
    """The same components, in a sandbox that goes with ``held``; where there can be none, the report says so."""
    if problem := unavailable():
        target.notes.append(f"It was judged without a sandbox: {problem}.")
        return
    target.sandbox = f"bubblewrap, profile {profile_digest()[:12]}"
    for id, driver in target.drivers.items():
        assert isinstance(driver, ProcessDriver)
        shown = [target.folder] if target.folder != Path() else []
        walls = held.enter_context(Sandbox(driver.place.environment, read=shown))
        target.drivers[id] = ProcessDriver(driver.offer, walls.place(), scratch=walls.scratch)


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
    if target.artefact is not None:
        target.artefact = handed_in(target.artefact, target.vendor, target.folder)
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
    return _with_vendor(Target(subject, drivers, artefact), vendor or _of_installed(name, found[0]))


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
    if vendor is not None:
        artefact = handed_in(artefact, read_vendor(vendor), vendor.parent.resolve())
    try:
        wanted = f"{artefact.name} @ {artefact.wheel.resolve().as_uri()}"
        with offline(artefact):
            environment = solve([wanted], cache_folder() / "certify")[0]
    except PluginError as exc:
        target.notes.append(f"It cannot be installed: {exc.what}")
        return _with_vendor(target, vendor)
    offers = [o for o in environment.offers().offers if o.distribution == artefact.name]
    target.drivers = {o.id: ProcessDriver(o, Place(environment)) for o in offers}
    if not offers:
        target.notes.append("It offers no component: judged is the package alone.")
    if vendor is None and offers:
        vendor = _beside(Path(offers[0].folder))
    return _with_vendor(target, vendor)


def _service(address: str, vendor: Path | None) -> Target:
    """A service at its address."""
    found = read_vendor(vendor) if vendor is not None else VendorFile()
    variable = found.service.token_variable
    access = {"token": os.environ[variable]} if variable and variable in os.environ else {}
    subject = Subject(name=address, kind="service", address=address)
    driver = reach(address, access=access)
    if isinstance(driver, UnreadDriver):
        target = Target(subject, {address: driver})
        target.notes.append(
            f"It does not say what it is, and is judged as a service alone: {driver.error.what}."
        )
        return _with_vendor(target, vendor)
    manifest = driver.manifest
    known = subject.model_copy(
        update={
            "name": manifest.get("title") or manifest["id"],
            "version": str(manifest.get("version", "")),
            "sha256": _described(address, access),
        }
    )
    return _with_vendor(Target(known, {manifest["id"]: driver}), vendor)


def _described(address: str, access: Mapping[str, Any]) -> str:
    """The digest of a service's OpenAPI document; empty where it has none, which a requirement tells."""
    client = access_of({"access": access}).client(address)
    try:
        accept = "application/vnd.oai.openapi+json, application/json"
        return hashlib.sha256(client.ask("GET", f"{address.rstrip('/')}/api", accept=accept).body).hexdigest()
    except RemoteError:
        return ""
    finally:
        client.close()
