"""The twin file: ``twin.yaml`` as a ``Twin``, every error with file, line and column.

``load_twin`` reads, checks and returns it; ``Twin.place`` says where a key stands, for the checks
that come later; ``Twin.for_scenario`` is the twin with one scenario's changes in place.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .errors import LdtError, TwinFileError, nearest, raise_all
from .twin_scenarios import Override as Override
from .twin_scenarios import Overrides, Place, check_sweeps, inherit, override_tree, own_changes, resolve
from .twin_scenarios import Spot as Spot
from .twin_scenarios import check_targets as check_targets
from .twin_schema import Branch as Branch
from .twin_schema import CheckpointRules as CheckpointRules
from .twin_schema import ColumnEntry as ColumnEntry
from .twin_schema import ComponentEntry as ComponentEntry
from .twin_schema import KpiDefinition as KpiDefinition
from .twin_schema import Link as Link
from .twin_schema import Period as Period
from .twin_schema import Problem, Scenarios, TwinFile, shape
from .twin_schema import Purpose as Purpose
from .twin_schema import RecordRule as RecordRule
from .twin_schema import RunRules as RunRules
from .twin_schema import Scenario as Scenario
from .twin_schema import ViewDefinition as ViewDefinition
from .twin_schema import twin_json_schema as twin_json_schema
from .twin_sweeps import Sweep as Sweep
from .twin_values import Condition as Condition
from .twin_values import Ref as Ref
from .twin_values import show
from .twin_yaml import KeyPath, Source, read_source
from .twin_yaml import read_scalar as read_scalar

BASE = "base"


@dataclass(frozen=True)
class Twin:
    """A twin file. ``bbox`` is min x, min y, max x, max y in metres of ``crs``.

    ``scenario`` is the name of the scenario whose changes are in place, None for the file as it
    stands; for a member of a sweep ``member_of`` is the scenario that it varies. ``tree`` is the file as plain data with the environment filled in: it may hold secrets and
    belongs in no record.
    """

    path: Path
    id: str
    title: str
    description: str
    crs: str
    bbox: tuple[float, float, float, float] | None
    purpose: Purpose
    period: Period
    run: RunRules
    components: Mapping[str, ComponentEntry]
    links: tuple[Link, ...]
    record: Mapping[Ref, RecordRule]
    kpis: Mapping[str, KpiDefinition]
    views: Mapping[str, ViewDefinition]
    scenarios: Mapping[str, Scenario]
    sweeps: Mapping[str, Sweep]
    tree: Mapping[str, Any] = field(repr=False)
    source: Source = field(repr=False, compare=False)
    scenario: str | None = None
    member_of: str | None = None
    home: Path | None = None
    moved: Mapping[KeyPath, Spot] = field(default_factory=dict, repr=False, compare=False)
    origin: Twin | None = field(default=None, repr=False, compare=False)

    @property
    def folder(self) -> Path:
        """Where relative paths start."""
        return self.home or self.path.parent

    @property
    def duration(self) -> int:
        """Length of the run in microseconds."""
        return int((self.period.end - self.period.start).astype(np.int64))

    @property
    def branch(self) -> Branch | None:
        """Where the scenario in place leaves another."""
        name = self.member_of or self.scenario
        return self.scenarios[name].branch if name is not None else None

    @property
    def baseline(self) -> str:
        """The scenario that others are compared with: ``base``, else the first."""
        return BASE if BASE in self.scenarios else next(iter(self.scenarios))

    def place(self, *path: str | int, key: bool = False) -> str:
        """``twin.yaml:12:5`` of a path of keys such as ``("connect", 0, "from")``.

        That is the value if it starts in its key's line or is a list item, else the key; with
        ``key`` always the key. What a scenario sets stands in the scenario. A path that the file
        does not hold has the place of the nearest one above it.
        """
        for n in range(len(path), 0, -1):
            spot = self.moved.get(path[:n])
            if spot is not None:
                return spot if isinstance(spot, str) else self.source.place(*spot, *path[n:], key=key)
        return self.source.place(*path, key=key)

    def resolve(self, name: str) -> Mapping[tuple[str, ...], Override]:
        """What a scenario sets, its parents' changes included, by path: ("traffic", "params", "scale").

        Mappings are taken apart, so that each path leads to a scalar, a list or an empty mapping.
        Raises ``TwinFileError``: unresolved reference, conflicting parents.
        """
        if name not in self.scenarios:
            raise _error(
                "unresolved reference",
                f"no scenario is called {show(name)}",
                self.path.name,
                nearest(name, self.scenarios),
            )
        return self._resolved[name]

    @cached_property
    def _resolved(self) -> dict[str, Overrides]:
        found, errors = resolve(self.scenarios, self.components, self.place)
        raise_all(errors)
        return found

    def for_scenario(self, name: str) -> Twin:
        """The twin with a scenario's changes in place. Raises ``TwinFileError``."""
        origin = self.origin or self
        twin, errors = _apply(origin, name, dict(origin.resolve(name)))
        raise_all(errors)
        return twin

    def with_changes(
        self, name: str, of: str, changes: Mapping[str, Any], keys: Mapping[str, Spot] | None = None
    ) -> Twin:
        """The twin as a scenario called ``name`` would make it that extends ``of`` and sets ``changes``.

        ``keys`` says where each of the changes stands. Raises ``TwinFileError``.
        """
        origin = self.origin or self
        places = keys or dict.fromkeys(changes, ("scenarios", of))
        own, errors = own_changes(changes, places, origin.components, origin.place)
        merged, wrong = inherit(name, own, {of: dict(origin.resolve(of))}, origin.place)
        raise_all(errors + wrong)
        twin, wrong = _apply(origin, name, merged)
        raise_all(wrong)
        return replace(twin, member_of=of)


def load_twin(path: Path | str, env: Mapping[str, str] = os.environ, *, folder: Path | None = None) -> Twin:
    """The twin file, or the ``twin.yaml`` of the folder. Relative paths start at ``folder`` if given.

    Raises ``TwinFileError``, or all of them as one ``ErrorList``.
    """
    file, data = _read(Path(path))
    source, errors = read_source(data, file.name, env)
    tree = {} if source.tree is None else source.tree
    names = {section: _names(tree, section) for section in ("components", "scenarios")}
    content, problems = shape(TwinFile, tree, names)
    known = {e.where for e in errors}  # the reader's word on a value comes before the schema's
    errors += [e for e in _as_errors(problems, source.place) if e.where not in known]
    if content is not None:
        twin = _twin(file, source, tree, content)
        resolved, wrong = resolve(twin.scenarios, twin.components, twin.place)
        errors += wrong
        for name, overrides in resolved.items():
            errors += _apply(twin, name, overrides)[1] if overrides else []
        errors += check_sweeps(twin.sweeps, twin.scenarios, twin.components, twin.place)
        if not errors:
            return replace(twin, home=folder) if folder is not None else twin
    elif isinstance(tree, dict):  # what can still be said
        scenarios, _ = shape(Scenarios, tree.get("scenarios"), names)
        if scenarios and names["components"] is not None:
            errors += resolve(scenarios, names["components"], source.place)[1]
    raise_all(_in_order(errors))
    raise AssertionError("a twin that cannot be read has an error")


def _read(path: Path) -> tuple[Path, bytes]:
    try:
        file = path / "twin.yaml" if path.is_dir() else path
        return file.absolute(), file.read_bytes()
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else str(exc)
        fix = "name a twin file or a folder with twin.yaml; `ldt new twin NAME` makes one"
        raise _error("not found", f"the twin file cannot be read: {reason}", str(path), fix) from None


def _names(tree: Any, section: str) -> list[str] | None:
    """The names that a section defines; None where it cannot be read, so that nothing is proved by it."""
    found = (tree.get(section) or {}) if isinstance(tree, dict) else None
    if not isinstance(found, dict):
        return None
    return [BASE] if section == "scenarios" and not found else list(found)


def _twin(path: Path, source: Source, tree: dict[str, Any], content: TwinFile) -> Twin:
    area = content.twin
    return Twin(
        path=path,
        id=area.id,
        title=area.title or area.id,
        description=area.description,
        crs=area.crs,
        bbox=area.bbox,
        purpose=content.purpose,
        period=content.time,
        run=content.run,
        components=content.components,
        links=content.connect,
        record=content.record,
        kpis=content.kpis,
        views=content.views,
        scenarios=content.scenarios or {BASE: Scenario()},
        sweeps=content.sweeps,
        tree=tree,
        source=source,
    )


def _error(code: str, what: str, where: str, fix: str) -> TwinFileError:
    return TwinFileError(what, code=code, where=where, fix=fix)


def _as_errors(problems: list[Problem], place: Place) -> list[LdtError]:
    return [_error(p.code, p.what, place(*p.path, key=p.key), p.fix) for p in problems]


def _in_order(errors: list[LdtError]) -> list[LdtError]:
    """By line and column, each once."""
    unique = {(e.where, e.what): e for e in errors}

    def position(error: LdtError) -> list[int]:
        return [int(n) for n in error.where.split(":")[-2:] if n.isdigit()]

    return sorted(unique.values(), key=position)


def _apply(twin: Twin, name: str, overrides: Overrides) -> tuple[Twin, list[LdtError]]:
    tree, moved, errors = override_tree(twin.tree, overrides)
    new = replace(twin, scenario=name, tree=tree, moved=moved, origin=twin)
    components, run = dict(twin.components), twin.run
    for head in dict.fromkeys(path[0] for path in overrides):
        if head == "run":
            run, problems = shape(RunRules, tree["run"], {}, ("run",))
        else:
            components[head], problems = shape(
                ComponentEntry, tree["components"][head], {}, ("components", head)
            )
        errors += _as_errors(problems, new.place)
    return replace(new, components=components, run=run), errors
