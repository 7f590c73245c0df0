"""Who offers which component, found without importing any plugin.

A plugin's distribution names its package under the entry-point group ``ldt``; that package's
``component.json`` lists components and commands. Both are read as files and kept in a small index,
valid as long as the folders of ``sys.path`` and the manifests are unchanged. Only what a twin names
is imported.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import json
import os
import stat
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .errors import PluginError, nearest

if TYPE_CHECKING:
    from .engines.protocol import Engine
    from .interfaces import Component

GROUP = "ldt"
KINDS = ("source", "model", "simulator", "viewer")
_LOADED: dict[str, Any] = {}
"""pluggy's manager of every package that this process has loaded."""
_INDEX_VERSION = 2


class Offer(NamedTuple):
    """One component that an installed distribution offers."""

    id: str
    kind: str
    title: str
    distribution: str
    version: str
    package: str
    manifest: str
    site: str = ""
    """Where it is installed, if that is an environment of its own and not this one."""

    @property
    def folder(self) -> str:
        """The package's folder in an environment of its own; empty for one of this environment."""
        return str(Path(self.manifest).parent) if self.site else ""

    def describe(self) -> dict[str, Any]:
        """The component's whole manifest."""
        try:
            content = json.loads(Path(self.manifest).read_text(encoding="utf-8"))
            return dict(next(c for c in content["components"] if c["id"] == self.id))
        except (OSError, ValueError, KeyError, TypeError, StopIteration) as exc:
            raise PluginError(
                f"the manifest of '{self.id}' cannot be read: {type(exc).__name__}: {exc}",
                code="manifest differs from code",
                where=self.manifest,
                fix=f"reinstall {self.distribution}, or run `ldt manifest` in its folder if it is yours",
            ) from exc


class Command(NamedTuple):
    """A command that a plugin adds to ``ldt``."""

    name: str
    help: str
    target: str
    distribution: str


class EngineOffer(NamedTuple):
    """An engine that a plugin adds to ``ldt run --engine``."""

    name: str
    package: str
    distribution: str


def engine_names(offers: Sequence[EngineOffer]) -> list[str]:
    """The names that ``ldt run --engine`` takes: the core's, then those of plugins."""
    own = ["local", "dask", "slurm"]
    return own + sorted({o.name for o in offers} - set(own))


class Catalog(NamedTuple):
    """All that is installed. ``problems`` lists the distributions whose manifest cannot be read."""

    offers: list[Offer]
    commands: list[Command]
    problems: list[str]
    engines: Sequence[EngineOffer] = ()

    def find(self, id: str) -> Offer:
        """The one offer of ``id`` (or of an address), or ``PluginError``: not installed, or two owners."""
        if "://" in id:
            from .remote.manifests import offer_of

            return offer_of(id)
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
        known = known_distributions()
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


def known_distributions() -> dict[str, str]:
    """Components of this project and the distributions that offer them, installed or not."""
    text = (Path(__file__).parent / "known.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


def installed(*, refresh: bool = False) -> Catalog:
    """The catalog of this environment, from the index where nothing changed."""
    found_at = {p: changed for p in sys.path if p and (changed := _changed(p)) is not None}
    folders, stamp = list(found_at), [list(item) for item in found_at.items()]
    index = _index_file(folders)
    if not refresh and (found := _read_index(index, stamp)) is not None:
        return found
    catalog, manifests = _scan(folders)
    if not catalog.problems:  # what is mended must be seen at once
        _write_index(index, stamp, catalog, manifests)
    return catalog


def offered_in(folders: list[str], path: list[str]) -> Catalog:
    """The catalog of another environment: distributions in ``folders``, packages on ``path``."""
    found = _scan(folders, path)[0]
    return found._replace(offers=[o._replace(site=folders[0]) for o in found.offers])


def _changed(folder: str) -> int | None:
    """The time stamp of a folder on the path; None where it is none (absent, a zip)."""
    try:
        found = os.stat(folder)  # noqa: PTH116 - start-up path
    except OSError:
        return None
    return found.st_mtime_ns if stat.S_ISDIR(found.st_mode) else None


def _index_file(folders: list[str]) -> Path:
    import hashlib

    name = hashlib.sha256("\0".join([sys.prefix, *folders]).encode()).hexdigest()[:16]
    return cache_folder() / f"index-{name}.json"


def cache_folder() -> Path:
    """Where this machine keeps what it knows of its environments: ``LDT_CACHE``, or ``~/.cache/ldt``."""
    base = os.environ.get("LDT_CACHE") or os.path.join(  # noqa: PTH118
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"),  # noqa: PTH111
        "ldt",
    )
    return Path(base)


def _read_index(index: Path, stamp: list[list[Any]]) -> Catalog | None:
    try:
        found = json.loads(index.read_text(encoding="utf-8"))
        if found["version"] != _INDEX_VERSION or found["stamp"] != stamp:
            return None
        for path, changed in found["manifests"].items():
            if os.stat(path).st_mtime_ns != changed:  # noqa: PTH116
                return None
        return Catalog(
            [Offer(*o) for o in found["offers"]],
            [Command(*c) for c in found["commands"]],
            found["problems"],
            [EngineOffer(*e) for e in found["engines"]],
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


def _scan(folders: list[str], elsewhere: list[str] | None = None) -> tuple[Catalog, dict[str, int]]:
    engines: list[EngineOffer] = []
    catalog, manifests = Catalog([], [], [], engines), {}
    for distribution, version, package in _entries(folders, catalog.problems):
        path = _manifest_path(package, elsewhere)
        if path is None:
            catalog.problems.append(f"{distribution}: its package '{package}' has no component.json")
            continue
        try:
            changed = path.stat().st_mtime_ns
            offers, commands, places = _read_manifest(path, distribution, version, package)
        except (OSError, ValueError, KeyError, TypeError) as exc:
            catalog.problems.append(
                f"{distribution}: {path.name} cannot be read ({type(exc).__name__}: {exc})"
            )
            continue
        manifests[str(path)] = changed
        catalog.offers.extend(offers)
        catalog.commands.extend(commands)
        engines.extend(places)
    catalog.offers.sort(key=lambda o: (KINDS.index(o.kind), o.id, o.distribution))
    catalog.commands.sort(key=lambda c: (c.name, c.distribution))
    return catalog, manifests


def _read_manifest(
    path: Path, distribution: str, version: str, package: str
) -> tuple[list[Offer], list[Command], list[EngineOffer]]:
    content = json.loads(path.read_text(encoding="utf-8"))
    offers = [
        Offer(_text(c, "id"), _text(c, "kind"), _text(c, "title"), distribution, version, package, str(path))
        for c in content["components"]
    ]
    odd = [o.kind for o in offers if o.kind not in KINDS]
    if odd:
        raise ValueError(f"there is no kind '{odd[0]}', only {', '.join(KINDS)}")
    commands = [
        Command(_text(c, "name"), _text(c, "help"), _text(c, "target"), distribution)
        for c in content["commands"]
    ]
    engines = [EngineOffer(_text(e, "name"), package, distribution) for e in content.get("engines", [])]
    return offers, commands, engines


def _text(item: dict[str, Any], key: str) -> str:
    value = item[key]
    if not isinstance(value, str):
        raise TypeError(f"{key} is {value!r}, not a text")
    return value


def _entries(folders: list[str], problems: list[str]) -> Iterator[tuple[str, str, str]]:
    """(distribution, version, package) of every entry of the group; the first on the path wins."""
    seen: set[str] = set()
    for info in _infos(folders):
        try:
            with open(os.path.join(info, "entry_points.txt"), encoding="utf-8") as stream:  # noqa: PTH118, PTH123
                text = stream.read()
        except (OSError, ValueError):  # none, or not ours: ours is written in UTF-8
            continue
        if f"[{GROUP}]" not in text:
            continue
        import configparser

        parser = configparser.ConfigParser(delimiters="=", strict=False, interpolation=None)
        parser.optionxform = str  # type: ignore[assignment, method-assign]
        try:
            parser.read_string(text)
        except configparser.Error as exc:
            problems.append(f"{info}: entry_points.txt cannot be read ({exc.message})")
            continue
        for name, package in parser[GROUP].items() if GROUP in parser else ():
            if name not in seen:
                seen.add(name)
                yield name, _version(info), package.strip()


def _infos(folders: list[str]) -> Iterator[str]:
    for folder in folders:
        try:
            with os.scandir(folder) as items:
                yield from sorted(i.path for i in items if i.name.endswith((".dist-info", ".egg-info")))
        except OSError:  # gone, or not for us to read
            continue


def _version(info: str) -> str:
    """The version that the metadata say; a folder's name holds it where they are absent."""
    for name in ("METADATA", "PKG-INFO"):
        try:
            with open(os.path.join(info, name), encoding="utf-8", errors="replace") as stream:  # noqa: PTH118, PTH123
                for line in stream:
                    if line.startswith("Version:"):
                        return line.partition(":")[2].strip()
        except OSError:
            continue
    return Path(info).name.rsplit(".", 1)[0].partition("-")[2]


def _manifest_path(package: str, elsewhere: list[str] | None = None) -> Path | None:
    if not package.isidentifier():  # finding "a.b" would import a
        return None
    try:
        if elsewhere is None:
            spec = importlib.util.find_spec(package)
        else:
            spec = importlib.machinery.PathFinder.find_spec(package, elsewhere)
    except Exception:  # finders are anybody's code
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
    except (Exception, SystemExit) as exc:
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
            fix="hooks are: " + ", ".join(sorted([*HOOKS.values(), "ldt_engines"])),
        ) from exc
    _LOADED[package] = manager
    found: dict[str, type[Component]] = {}
    for kind, name in HOOKS.items():
        for component in _called(package, name, getattr(manager.hook, name)):
            if getattr(component, "kind", None) != kind or not isinstance(
                getattr(component, "id", None), str
            ):
                raise _odd(package, f"{name} returned {component!r}, which is no {kind} class with an id")
            if found.setdefault(component.id, component) is not component:
                raise _odd(package, f"two classes have the id '{component.id}'")
    return found


def load_engines(package: str) -> dict[str, type[Engine]]:
    """Import a plugin's package and return its engines by name. Raises ``PluginError`` (import failed)."""
    load_package(package)
    found: dict[str, type[Engine]] = {}
    for engine in _called(package, "ldt_engines", _LOADED[package].hook.ldt_engines):
        if not isinstance(name := getattr(engine, "name", None), str) or not callable(engine):
            raise _odd(package, f"ldt_engines returned {engine!r}, which is no engine class with a name")
        found[name] = engine
    return found


def load_engine(offer: EngineOffer) -> type[Engine]:
    """The class of an engine's offer. Raises ``PluginError`` when code and manifest differ."""
    found = load_engines(offer.package).get(offer.name)
    if found is None:
        raise PluginError(
            f"{offer.distribution} lists the engine '{offer.name}', but its code offers no such class",
            code="manifest differs from code",
            fix="reinstall the package, or run `ldt manifest` in its folder if it is yours",
        )
    return found


def notify(hook: str, context: Mapping[str, Any]) -> None:
    """Call a report hook of every package that this process has loaded; a fault there stops nothing."""
    for package, manager in _LOADED.items():
        try:
            getattr(manager.hook, hook)(context=context)
        except Exception:
            import logging

            logging.getLogger("ldt").exception("%s failed in %s", package, hook)


def _called(package: str, name: str, hook: Callable[[], list[Any]]) -> list[Any]:
    try:
        return [component for classes in hook() for component in classes]
    except (Exception, SystemExit) as exc:
        raise _odd(package, f"{name} cannot be used: {type(exc).__name__}: {exc}") from exc


def _odd(package: str, what: str) -> PluginError:
    return PluginError(
        what,
        code="import failed",
        where=package,
        fix="a hook returns a list of classes; report this to its author",
    )


def load(offer: Offer) -> type[Component]:
    """The class of an offer. Raises ``PluginError`` when code and manifest differ."""
    from .interfaces import CONTRACT

    if "://" in offer.id:
        from .remote.client import load_remote

        return load_remote(offer)
    contract = offer.describe().get("contract")
    if contract != CONTRACT:
        raise PluginError(
            f"{offer.distribution} {offer.version} is written for contract {contract}, this core has {CONTRACT}",
            code="contract version",
            fix=f"pip install --upgrade {offer.distribution} ldt-core",
        )
    found = load_package(offer.package).get(offer.id)
    if found is None or found.kind != offer.kind:
        raise PluginError(
            f"{offer.distribution} lists the {offer.kind} '{offer.id}', but its code offers no such class",
            code="manifest differs from code",
            fix="reinstall the package, or run `ldt manifest` in its folder if it is yours",
        )
    return found
