"""Does a component fit my twin? Told from a twin file and its lock, without running either.

The answer is one of three: it fits, it fits with changes (each gap with its remedy), it does not fit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import sqlalchemy as sa
import yaml
from packaging.markers import default_environment
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

import ldt_core as ldt

from .catalogue import newest
from .facets import columns
from .names import normalise, show
from .problems import Malformed, Missing
from .schema import search_facet

LARGEST = 2**20
MOST_ADDRESSES = 3
MOST_PARTS = 300
"""Different components of a twin: each is looked up, for whoever asks."""
Verdict = Literal["fits", "fits with changes", "does not fit"]


@dataclass(frozen=True)
class Twin:
    """What is known of a twin. ``uses`` maps names to component ids, ``gives`` the (quantity, unit) that it can hand over."""

    python: Version | None = None
    pins: Mapping[str, Version] = field(default_factory=dict)
    uses: Mapping[str, str] = field(default_factory=dict)
    gives: frozenset[tuple[str, str | None]] = frozenset()


@dataclass(frozen=True)
class Gap:
    """Something that is in the way. ``hard`` where no change of the twin alone helps."""

    what: str
    fix: str
    hard: bool = False


@dataclass(frozen=True)
class Fit:
    id: str
    version: str
    gaps: tuple[Gap, ...] = ()

    @property
    def verdict(self) -> Verdict:
        if any(g.hard for g in self.gaps):
            return "does not fit"
        return "fits with changes" if self.gaps else "fits"


def read_twin(connection: sa.Connection, twin: bytes = b"", lock: bytes = b"") -> Twin:
    """A twin from its file (twin.yaml) and its lock (twin.lock), either may be missing. Raises Malformed."""
    uses, open_columns = _read_file(twin) if twin.strip() else ({}, set())
    if len(set(uses.values())) > MOST_PARTS:
        raise Malformed(
            f"The twin uses more than {MOST_PARTS} different components.",
            code="too-large",
            fix="Leave out those that are not in question.",
        )
    python, pins = _read_lock(lock) if lock.strip() else (None, {})
    gives = set(open_columns)
    for component_id in set(uses.values()):
        found = newest(connection, component_id)
        gives |= set(columns(found["manifest"], "outputs")) if found is not None else set()
    return Twin(python, pins, uses, frozenset(gives))


def _read_file(content: bytes) -> tuple[dict[str, str], set[tuple[str, str | None]]]:
    """The components that a twin file uses, and what its ``columns`` say that its files hold."""
    plain = _plain(content, "The twin file", yaml.safe_load)
    parts = plain.get("components")
    if not isinstance(parts, dict):
        raise Malformed("The twin file names no components.", code="no-twin", fix="Upload a twin.yaml.")
    uses = {
        str(n): str(p["use"])
        for n, p in parts.items()
        if isinstance(p, dict) and isinstance(p.get("use"), str)
    }
    said = set()
    for part in parts.values():
        params = part.get("params") if isinstance(part, dict) else None
        listed = params.get("columns") if isinstance(params, dict) else None
        for column in listed.values() if isinstance(listed, dict) else ():
            if isinstance(column, dict) and isinstance(column.get("quantity"), str):
                unit = column.get("unit")
                said.add((column["quantity"], unit if isinstance(unit, str) else None))
    return uses, said


def _read_lock(content: bytes) -> tuple[Version | None, dict[str, Version]]:
    """Python and the distributions of the environment in which ``ldt`` itself runs."""
    plain = _plain(content, "The lock", json.loads)
    found = plain.get("environments")
    here = found.get("here") if isinstance(found, dict) else None
    if not isinstance(here, dict) or not isinstance(here.get("distributions", {}), dict):
        raise Malformed("This is no twin.lock.", code="no-lock", fix="Make one with `ldt lock`.")
    pins = {}
    try:
        for name, note in here.get("distributions", {}).items():
            if isinstance(note, dict):
                pins[normalise(str(name))] = Version(str(note.get("version")))
        return Version(str(here["python"])) if "python" in here else None, pins
    except InvalidVersion as exc:
        raise Malformed(
            f"The lock holds a version that is none: {show(str(exc)[:200])}",
            code="no-lock",
            fix="Make it anew.",
        ) from exc


def _plain(content: bytes, what: str, load: Any) -> dict[str, Any]:
    if len(content) > LARGEST:
        raise Malformed(
            f"{what} is larger than {LARGEST} bytes.", code="too-large", fix="Upload the file itself."
        )
    try:
        plain = load(content.decode("utf-8"))
    except (ValueError, RecursionError, yaml.YAMLError) as exc:
        raise Malformed(f"{what} cannot be read.", code="no-twin", fix="Check it with `ldt check`.") from exc
    if not isinstance(plain, dict):
        raise Malformed(f"{what} is no mapping.", code="no-twin", fix="Check it with `ldt check`.")
    return plain


def fit(connection: sa.Connection, twin: Twin, component_id: str) -> Fit:
    """Whether the newest version fits. Raises Missing."""
    version = newest(connection, component_id)
    if version is None:
        raise Missing(f"There is no component {component_id!a}.", code="no-component", fix="Search for it.")
    gaps = [*_python_gaps(twin, version), *_pin_gaps(twin, version), *_port_gaps(connection, twin, version)]
    return Fit(component_id, version["version"], tuple(gaps))


def _python_gaps(twin: Twin, version: Mapping[str, Any]) -> list[Gap]:
    gaps = []
    if version["manifest"].get("contract") != ldt.CONTRACT:
        gaps.append(Gap("It is written for another contract.", "Use a version for this one.", hard=True))
    try:
        admits = SpecifierSet(version["requires_python"] or "")
    except InvalidSpecifier:
        admits = SpecifierSet()
    if twin.python is not None and not admits.contains(twin.python, prereleases=True):
        gaps.append(
            Gap(f"It needs Python {admits}; the twin has {twin.python}.", "Move the twin to another Python.")
        )
    return gaps


def _pin_gaps(twin: Twin, version: Mapping[str, Any]) -> list[Gap]:
    """What it requires against what the twin is locked to. Extras are not asked for; markers are those of the twin's Python."""
    environment: dict[str, str] = {**default_environment(), "extra": ""}  # type: ignore[dict-item]
    if twin.python is not None:
        environment |= {
            "python_version": f"{twin.python.major}.{twin.python.minor}",
            "python_full_version": str(twin.python),
        }
    gaps = []
    for text in version["requires"]:
        try:
            asked = Requirement(text)
        except InvalidRequirement:
            continue
        pinned = twin.pins.get(normalise(asked.name))
        if pinned is None or (asked.marker is not None and not asked.marker.evaluate(environment)):
            continue
        if not asked.specifier.contains(pinned, prereleases=True):
            gaps.append(
                Gap(
                    f"It needs {asked.name}{asked.specifier}; the twin is locked to {pinned}.",
                    "Lock the twin again with it, or give it an environment of its own with `isolate: venv`.",
                )
            )
    return gaps


def _port_gaps(connection: sa.Connection, twin: Twin, version: Mapping[str, Any]) -> list[Gap]:
    """Quantities that it cannot do without and that nothing in the twin gives, in a unit that can be converted."""
    gaps = []
    for name, port in version["manifest"].get("inputs", {}).items():
        if port.get("optional"):
            continue
        for quantity, unit in sorted(set(columns({"inputs": {name: port}}, "inputs")), key=str):
            there = {u for q, u in twin.gives if q == quantity}
            if any(_converts(u, unit) for u in there):
                continue
            if there:
                units = ", ".join(sorted(str(u) for u in there))
                gaps.append(
                    Gap(
                        f"Its input {name!r} needs {quantity} in {unit}; the twin gives it in {units}.",
                        "Put a model between that converts it.",
                    )
                )
                continue
            givers = _givers(connection, quantity)
            fix = (
                f"Add one that does: {', '.join(givers)}."
                if givers
                else "Add a source of it, such as a file of your own."
            )
            gaps.append(
                Gap(
                    f"Its input {name!r} needs {quantity}{f' [{unit}]' if unit else ''}, which nothing in the twin gives.",
                    fix,
                )
            )
    return gaps


def _givers(connection: sa.Connection, quantity: str) -> Sequence[str]:
    query = sa.select(search_facet.c.component_id).where(
        search_facet.c.name == "gives", search_facet.c.value == quantity
    )
    return connection.scalars(query.order_by(search_facet.c.component_id).limit(MOST_ADDRESSES)).all()


def _converts(source: str | None, target: str | None) -> bool:
    if source is None or target is None or source == target:
        return True
    try:
        ldt.conversion(source, target)
    except ldt.WiringError:
        return False
    return True
