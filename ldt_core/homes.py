"""Where each component of a twin lives: in this environment, or in one of its own, and why.

``auto`` is this environment where the component is installed and its requirements hold, else one of its own;
``venv`` is always one of its own; ``never`` must be this one. Components whose packages go together share one.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import NamedTuple

from .catalog import Catalog, Offer, known_distributions
from .environments import Environment, conflicts, solve, uv_program
from .errors import PluginError
from .identity import lock
from .twin import ComponentEntry, Twin
from .wheels import wheel_of

_ASKED, _ABSENT = "asked for", "not installed here"


class Home(NamedTuple):
    """A component's offer and the environment that it comes from; None is this one. ``why`` is for the plan."""

    offer: Offer
    environment: Environment | None = None
    why: str = ""


def environments_folder(cache: Path) -> Path:
    """``envs`` beside the components' cache: ``.ldt/envs``."""
    return cache.with_name("envs")


def home_of(twin: Twin, catalog: Catalog, cache: Path, name: str) -> Home:
    """Where ``name`` lives. An environment that it needs and that is not there is made now.

    Raises ``PluginError``: not installed, environments cannot resolve, contract version.
    """
    entry, root = twin.components[name], environments_folder(cache)
    wanted = _wanted(twin, catalog, root, name, entry)
    if wanted is None:
        return Home(catalog.find(entry.use))
    others = [_wanted(twin, catalog, root, n, c) for n, c in twin.components.items()]
    asked = list(dict.fromkeys([wanted[0], *(w[0] for w in others if w is not None)]))
    try:
        try:
            environment = solve(asked, root)[0]
        except PluginError as exc:
            if exc.where == wanted[0] or len(asked) == 1:
                raise
            environment = solve(asked[:1], root)[0]  # another one's fault is told at its own place
    except PluginError as exc:
        exc.where = twin.place("components", name, "use")
        if wanted[1] != _ABSENT or entry.package or exc.code != "environments cannot resolve":
            raise
        missing = _shown(wanted[0])
        raise PluginError(
            f"the component '{entry.use}' is not installed; {missing} offers it. {exc.what}",
            code="not installed",
            where=exc.where,
            fix=f"pip install {missing}",
        ) from exc
    found = environment.offers()
    if not any(o.id == entry.use for o in found.offers):
        raise PluginError(
            f"{_shown(wanted[0])} offers no component '{entry.use}'"
            + (f"; {'; '.join(found.problems)}" if found.problems else ""),
            code="not installed",
            where=twin.place("components", name),
            fix="offered are: " + (", ".join(o.id for o in found.offers) or "none"),
        )
    offer = found.find(entry.use)
    return Home(offer, environment, f"own environment ({wanted[1]}){_differences(offer)}")


def _wanted(
    twin: Twin, catalog: Catalog, root: Path, name: str, entry: ComponentEntry
) -> tuple[str, str] | None:
    """What uv should install for a component and why; None where it lives here, or is nobody's to install."""
    if entry.isolate == "never" or "://" in entry.use:
        return None
    here = next((o for o in catalog.offers if o.id == entry.use), None)
    said = None if entry.package is None else _requirement(entry.package, twin, name)
    if here is None:
        distribution = said or known_distributions().get(entry.use)
        if distribution is None or (uv_program() is None and entry.isolate == "auto"):
            return None  # the catalogue says what is missing, and how to get it
        return distribution, _ASKED if entry.isolate == "venv" else _ABSENT
    if entry.isolate == "venv":
        return said or _as_here(here, twin, name, root), _ASKED
    unmet = _unmet(here.distribution)
    if unmet is None:
        return None
    return said or _as_here(here, twin, name, root), unmet


def _unmet(distribution: str) -> str | None:
    """What does not hold of a distribution's requirements, or of those of a package that it needs."""
    found = conflicts()
    return next((f"{n} {found[n]}" for n, _ in lock(distribution) if n in found), None) if found else None


def _as_here(offer: Offer, twin: Twin, name: str, root: Path) -> str:
    wheel = wheel_of(offer.distribution, root)
    if wheel is None:
        raise PluginError(
            f"{offer.distribution} was put here by no installer, so it cannot be put into an environment of its own",
            code="environments cannot resolve",
            where=twin.place("components", name),
            fix="name what is to be installed: package: NAME, or a wheel's or folder's path",
        )
    return f"{offer.distribution} @ {Path(wheel).as_uri()}"


def _requirement(said: str, twin: Twin, name: str) -> str:
    """``package:`` as uv takes it: a path starts with ``.`` or ``/`` and is relative to the twin file."""
    if not said.startswith((".", "/")):
        return said
    path = (twin.folder / said).resolve()
    if not path.exists():
        raise PluginError(
            f"there is nothing at {said}",
            code="not installed",
            where=twin.place("components", name, "package"),
            fix="a path starts at the twin file",
        )
    return (
        f"-e {path}"
        if path.is_dir()
        else f"{path.name.partition('-')[0].replace('_', '-')} @ {path.as_uri()}"
    )


def _shown(requirement: str) -> str:
    return requirement.partition(" @ ")[0].removeprefix("-e ")


def _differences(offer: Offer) -> str:
    """The packages that it uses in another version than is installed here."""
    told = []
    for name, version in lock(offer.distribution, offer.site):
        try:
            here = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        if here != version:
            told.append(f"{name} {version} where this one has {here}")
    more = f" and {len(told) - 3} more" if len(told) > 3 else ""
    return f": {', '.join(told[:3])}{more}" if told else ""
