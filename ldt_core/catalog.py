"""Who offers which component, found without importing any plugin.

A plugin's distribution names its package under the entry-point group ``ldt``; that package's
``component.json`` lists components and commands. Both are read as files and kept in a small index,
valid as long as the folders of ``sys.path`` and the manifests are unchanged. Only what a twin names
is imported.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .errors import PluginError, nearest

if TYPE_CHECKING:
    from .interfaces import Component

GROUP = "ldt"
KINDS = ("source", "model", "simulator", "viewer")
_INDEX_VERSION = 1


class Offer(NamedTuple):
    """One component that an installed distribution offers."""

    id: str
    kind: str
    title: str
    distribution: str
    version: str
    package: str
    manifest: str

    def describe(self) -> dict[str, Any]:
        """The component's whole manifest."""
        text = Path(self.manifest).read_text(encoding="utf-8")
        found = next(c for c in json.loads(text)["components"] if c["id"] == self.id)
        return dict(found)


class Command(NamedTuple):
    """A command that a plugin adds to ``ldt``."""

    name: str
    help: str
    target: str
    distribution: str


class Catalog(NamedTuple):
    """All that is installed. ``problems`` lists the distributions whose manifest cannot be read."""

    offers: list[Offer]
    commands: list[Command]
    problems: list[str]

    def find(self, id: str) -> Offer:
        """The one offer of ``id``, or ``PluginError``: not installed, or two owners."""
        found = [o for o in self.offers if o.id == id]
        if len(found) > 1:
            owners = " and ".join(f"{o.distribution} {o.version}" for o in found)
            raise PluginError(
                f"the component '{id}' is offered by {owners}",
                code="two owners",
                fix=f"uninstall one of them: pip uninstall {found[-1].distribution}",
            )
        if found:
            return found[0]
        known = _known()
        if id in known:
            raise PluginError(
                f"the component '{id}' is not installed; {known[id]} offers it",
                code="not installed",
                fix=f"pip install {known[id]}",
            )
        raise PluginError(
            f"no installed package offers the component '{id}'",
            code="not installed",
            fix=nearest(id, {o.id for o in self.offers} | set(known)),
        )


def _known() -> dict[str, str]:
    """Components of this project and the distributions that offer them, installed or not."""
    text = (Path(__file__).parent / "known.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


def installed(*, refresh: bool = False) -> Catalog:
    """The catalog of this environment, from the index where nothing changed."""
    folders = [p for p in dict.fromkeys(sys.path) if p and os.path.isdir(p)]  # noqa: PTH112 - start-up path
    stamp = [[p, os.stat(p).st_mtime_ns] for p in folders]  # noqa: PTH116
    index = _index_file(folders)
    if not refresh and (found := _read_index(index, stamp)) is not None:
        return found
    catalog, manifests = _scan(folders)
    if not catalog.problems:  # what is mended must be seen at once
        _write_index(index, stamp, catalog, manifests)
    return catalog


def _index_file(folders: list[str]) -> Path:
    import hashlib

    base = os.environ.get("LDT_CACHE") or os.path.join(  # noqa: PTH118
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"),  # noqa: PTH111
        "ldt",
    )
    name = hashlib.sha256("\0".join([sys.prefix, *folders]).encode()).hexdigest()[:16]
    return Path(base) / f"index-{name}.json"


def _read_index(index: Path, stamp: list[list[Any]]) -> Catalog | None:
    try:
        found = json.loads(index.read_text(encoding="utf-8"))
        if found["version"] != _INDEX_VERSION or found["stamp"] != stamp:
            return None
        for path, changed in found["manifests"].items():
            if os.stat(path).st_mtime_ns != changed:  # noqa: PTH116
                return None
        return Catalog(
            [Offer(*o) for o in found["offers"]], [Command(*c) for c in found["commands"]], found["problems"]
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_index(index: Path, stamp: list[list[Any]], catalog: Catalog, manifests: dict[str, int]) -> None:
    content = {"version": _INDEX_VERSION, "stamp": stamp, "manifests": manifests, **catalog._asdict()}
    try:
        index.parent.mkdir(parents=True, exist_ok=True)
        fresh = index.with_name(f"{index.name}.{os.getpid()}")
        fresh.write_text(json.dumps(content), encoding="utf-8")
        fresh.replace(index)
    except OSError:
        return  # a read-only home costs some milliseconds per start, no more


def _scan(folders: list[str]) -> tuple[Catalog, dict[str, int]]:
    catalog, manifests = Catalog([], [], []), {}
    for distribution, version, package in _entries(folders):
        path = _manifest_path(package)
        if path is None:
            catalog.problems.append(f"{distribution}: its package '{package}' has no component.json")
            continue
        try:
            changed = path.stat().st_mtime_ns
            content = json.loads(path.read_text(encoding="utf-8"))
            offers = [
                Offer(c["id"], c["kind"], c["title"], distribution, version, package, str(path))
                for c in content["components"]
            ]
            commands = [Command(c["name"], c["help"], c["target"], distribution) for c in content["commands"]]
        except (OSError, ValueError, KeyError, TypeError) as exc:
            catalog.problems.append(f"{distribution}: {path.name} cannot be read ({exc!r})")
            continue
        manifests[str(path)] = changed
        catalog.offers.extend(offers)
        catalog.commands.extend(commands)
    catalog.offers.sort(key=lambda o: (KINDS.index(o.kind) if o.kind in KINDS else 9, o.id, o.distribution))
    catalog.commands.sort(key=lambda c: c.name)
    return catalog, manifests


def _entries(folders: list[str]) -> Iterator[tuple[str, str, str]]:
    """(distribution, version, package) of every entry of the group; the first on the path wins."""
    seen: set[str] = set()
    for folder in folders:
        with os.scandir(folder) as items:
            infos = sorted(i.path for i in items if i.name.endswith((".dist-info", ".egg-info")))
        for info in infos:
            try:
                with open(os.path.join(info, "entry_points.txt"), encoding="utf-8") as stream:  # noqa: PTH118, PTH123
                    text = stream.read()
            except OSError:
                continue
            if f"[{GROUP}]" not in text:
                continue
            import configparser

            parser = configparser.ConfigParser(delimiters="=", strict=False, interpolation=None)
            parser.optionxform = str  # type: ignore[assignment, method-assign]
            parser.read_string(text)
            version = Path(info).name.rsplit(".", 1)[0].partition("-")[2]
            for name, package in parser[GROUP].items():
                if name not in seen:
                    seen.add(name)
                    yield name, version, package.strip()


def _manifest_path(package: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(next(iter(spec.submodule_search_locations))) / "component.json"
    return path if path.is_file() else None


HOOKS = {
    "source": "ldt_data_sources",
    "model": "ldt_models",
    "simulator": "ldt_simulators",
    "viewer": "ldt_viewers",
}


@cache
def load_package(package: str) -> dict[str, type[Component]]:
    """Import a plugin's package and return its components by id.

    Raises ``PluginError``: import failed, or a hook with a misspelt name.
    """
    import pluggy

    from . import hookspecs

    try:
        module = importlib.import_module(package)
    except Exception as exc:
        raise PluginError(
            f"importing '{package}' failed: {type(exc).__name__}: {exc}",
            code="import failed",
            fix="reinstall the package, or report this to its author",
        ) from exc
    manager = pluggy.PluginManager("ldt")
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(module, package)
        manager.check_pending()
    except pluggy.PluginValidationError as exc:
        raise PluginError(
            f"'{package}' implements a hook that does not exist: {exc}",
            code="unknown hook",
            fix="hooks are: " + ", ".join(sorted(HOOKS.values())),
        ) from exc
    found: dict[str, type[Component]] = {}
    for name in HOOKS.values():
        for classes in getattr(manager.hook, name)():
            found.update({c.id: c for c in classes})
    return found


def load(offer: Offer) -> type[Component]:
    """The class of an offer. Raises ``PluginError`` when code and manifest differ."""
    from .interfaces import CONTRACT

    contract = offer.describe().get("contract")
    if contract != CONTRACT:
        raise PluginError(
            f"{offer.distribution} {offer.version} is written for contract {contract}, this core has {CONTRACT}",
            code="contract version",
            fix=f"pip install --upgrade {offer.distribution} ldt-core",
        )
    found = load_package(offer.package).get(offer.id)
    if found is None:
        raise PluginError(
            f"{offer.distribution} lists the component '{offer.id}', but its code offers no such class",
            code="manifest differs from code",
            fix="reinstall the package, or run `ldt manifest` in its folder if it is yours",
        )
    return found
