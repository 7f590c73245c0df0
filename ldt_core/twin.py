"""The twin file: ``twin.yaml`` as a ``Twin``, every error with file, line and column.

``load_twin`` reads, checks and returns it; ``Twin.place`` says where a key stands, for the checks
that come later; ``Twin.for_scenario`` is the twin with one scenario's changes in place.
"""

from __future__ import annotations

import graphlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .errors import LdtError, TwinFileError, nearest, raise_all
from .twin_schema import Branch as Branch
from .twin_schema import ColumnEntry as ColumnEntry
from .twin_schema import ComponentEntry as ComponentEntry
from .twin_schema import KpiDefinition as KpiDefinition
from .twin_schema import Link as Link
from .twin_schema import Period as Period
from .twin_schema import Problem, TwinFile, shape
from .twin_schema import Purpose as Purpose
from .twin_schema import RecordRule as RecordRule
from .twin_schema import RunRules as RunRules
from .twin_schema import Scenario as Scenario
from .twin_schema import ViewDefinition as ViewDefinition
from .twin_schema import twin_json_schema as twin_json_schema
from .twin_values import Condition as Condition
from .twin_values import Ref as Ref
from .twin_values import show
from .twin_yaml import Path as KeyPath
from .twin_yaml import Source, read_source

BASE = "base"

# (path, value or None for any, what it is): in the schema, and not in this version.
NOT_YET: tuple[tuple[tuple[str, ...], str | None, str], ...] = (
    (("scenarios", "*", "branch"), None, "branching off a running scenario"),
    (("connect", "*", "when"), "iterate", "an implicit link (when: iterate)"),
    (("components", "*", "isolate"), "venv", "an environment per component (isolate: venv)"),
    (("components", "*", "resources"), None, "reserving resources"),
    (("sweeps",), None, "sweeping over parameters"),
)


class Override(NamedTuple):
    """A value that a scenario sets. ``key`` is the path of the entry in the file."""

    value: Any
    place: str
    key: KeyPath


@dataclass(frozen=True)
class Twin:
    """A twin file. ``bbox`` is min x, min y, max x, max y in metres of ``crs``.

    ``scenario`` is the name of the scenario whose changes are in place, None for the file as it
    stands. ``tree`` is the file as plain data, environment filled in. ``kpis`` keep the order of
    their reductions.
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
    tree: Mapping[str, Any] = field(repr=False)
    source: Source = field(repr=False, compare=False)
    scenario: str | None = None
    moved: Mapping[KeyPath, KeyPath] = field(default_factory=dict, repr=False, compare=False)
    origin: Twin | None = field(default=None, repr=False, compare=False)

    @property
    def folder(self) -> Path:
        """Where relative paths start."""
        return self.path.parent

    @property
    def duration(self) -> int:
        """Length of the run in microseconds."""
        return int((self.period.end - self.period.start) / np.timedelta64(1, "us"))

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
            moved = self.moved.get(path[:n])
            if moved is not None:
                return self.source.place((*moved, *path[n:]), key=key)
        return self.source.place(path, key=key)

    def resolve(self, name: str) -> Mapping[tuple[str, ...], Override]:
        """What a scenario sets, its parents' changes included, by path: ("traffic", "params", "scale").

        Mappings are taken apart, so that each path leads to a scalar, a list or an empty mapping.
        Raises ``TwinFileError``: unresolved reference, conflicting parents.
        """
        found, errors = _resolve(self, [name])
        raise_all(errors)
        return found[name]

    def for_scenario(self, name: str) -> Twin:
        """The twin with a scenario's changes in place. Raises ``TwinFileError``."""
        origin = self.origin or self
        overrides = origin.resolve(name)
        twin, errors = _apply(origin, name, overrides)
        raise_all(errors)
        return twin


def load_twin(path: Path | str, env: Mapping[str, str] = os.environ) -> Twin:
    """The twin file, or the ``twin.yaml`` of the folder.

    Raises ``TwinFileError``, or all of them as one ``ErrorList``.
    """
    file, data = _read(Path(path))
    source, errors = read_source(data, file.name, env)
    tree = {} if source.tree is None else source.tree
    names = {section: _names(tree, section) for section in ("components", "scenarios")}
    content, problems = shape(TwinFile, tree, names)
    known = {e.where for e in errors}  # the reader's word on a value comes before the schema's
    errors += [e for p in problems if (e := _as_error(p, source)).where not in known]
    if content is not None:
        twin = _twin(file, source, tree, content)
        errors += _check_scenarios(twin)
        errors += refuse_not_yet(twin)
        if not errors:
            return twin
    raise_all(_in_order(errors))
    raise AssertionError("a twin that cannot be read has an error")


def refuse_not_yet(twin: Twin) -> list[LdtError]:
    """An error for everything that the file asks for and this version does not do."""
    errors: list[LdtError] = []
    for pattern, value, feature in NOT_YET:
        for path, found in _match(twin.tree, pattern):
            if found is not None and (value is None or found == value):
                fix = f"remove {path[-1]}, or write another value" if value else f"remove {path[-1]}"
                errors.append(
                    _error("not in this version", f"{feature} is not in this version", twin.place(*path), fix)
                )
    return errors


def _read(path: Path) -> tuple[Path, bytes]:
    try:
        file = path / "twin.yaml" if path.is_dir() else path
        return file, file.read_bytes()
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else str(exc)
        fix = "name a twin file or a folder with twin.yaml; `ldt new twin NAME` makes one"
        raise _error("not found", f"the twin file cannot be read: {reason}", str(path), fix) from None


def _names(tree: Any, section: str) -> list[str] | None:
    """The names that a section defines; None where it cannot be read, so that nothing is proved by it."""
    found = tree.get(section, {}) if isinstance(tree, dict) else None
    if section == "scenarios" and not found:
        return [BASE]
    return (
        list(found) if isinstance(found, dict) else [] if found is None and isinstance(tree, dict) else None
    )


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
        tree=tree,
        source=source,
    )


def _error(code: str, what: str, where: str, fix: str) -> TwinFileError:
    return TwinFileError(what, code=code, where=where, fix=fix)


def _as_error(problem: Problem, source: Source) -> TwinFileError:
    where = source.place(problem.path, key=problem.key)
    return _error(problem.code, problem.what, where, problem.fix)


def _in_order(errors: list[LdtError]) -> list[LdtError]:
    """By line and column, each once."""
    unique = {(e.where, e.what): e for e in errors}

    def position(error: LdtError) -> list[int]:
        return [int(n) for n in error.where.split(":")[-2:] if n.isdigit()]

    return sorted(unique.values(), key=position)


def _match(value: Any, pattern: tuple[str, ...], path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """(path, value) of everything that fits the pattern, where * is any key or index."""
    if not pattern:
        yield path, value
        return
    items: Iterator[tuple[str | int, Any]] = iter(())
    if isinstance(value, dict):
        items = iter(value.items())
    elif isinstance(value, list):
        items = iter(enumerate(value))
    for key, below in items:
        if pattern[0] in ("*", key):
            yield from _match(below, pattern[1:], (*path, key))


# --- scenarios --------------------------------------------------------------------------------


def _check_scenarios(twin: Twin) -> list[LdtError]:
    resolved, errors = _resolve(twin, list(twin.scenarios))
    for name, overrides in resolved.items():
        if overrides:
            errors += _apply(twin, name, overrides)[1]
    return errors


def _resolve(
    twin: Twin, wanted: list[str]
) -> tuple[dict[str, dict[tuple[str, ...], Override]], list[LdtError]]:
    """What each wanted scenario sets; scenarios with an error are left out."""
    graph: dict[str, tuple[str, ...]] = {}
    todo = list(wanted)
    while todo:
        name = todo.pop()
        if name not in twin.scenarios:
            return {}, [
                _error(
                    "unresolved reference",
                    f"no scenario is called {show(name)}",
                    twin.path.name,
                    nearest(name, twin.scenarios),
                )
            ]
        if name not in graph:
            graph[name] = twin.scenarios[name].extends
            todo += graph[name]
    try:
        order = list(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as exc:
        loop: list[str] = exc.args[1][::-1]
        where = twin.place("scenarios", loop[0], "extends")
        return {}, [
            _error(
                "unresolved reference",
                f"scenarios extend each other in a circle: {' -> '.join(loop)}",
                where,
                "remove one extends",
            )
        ]
    found: dict[str, dict[tuple[str, ...], Override]] = {}
    errors: list[LdtError] = []
    for name in order:
        own, problems = _own_changes(twin, name)
        if not problems and all(parent in found for parent in graph[name]):
            merged, problems = _inherit(twin, name, own, {p: found[p] for p in graph[name]})
            if not problems:
                found[name] = merged
        errors += problems
    return {name: found[name] for name in wanted if name in found}, errors


def _own_changes(twin: Twin, name: str) -> tuple[dict[tuple[str, ...], Override], list[LdtError]]:
    found: dict[tuple[str, ...], Override] = {}
    errors: list[LdtError] = []
    for dotted, value in twin.scenarios[name].changes.items():
        key = ("scenarios", name, "set", dotted)
        path = tuple(dotted.split("."))
        refused = _refuse_target(twin, path)
        if refused:
            errors.append(_error("override hits nothing", refused[0], twin.place(*key, key=True), refused[1]))
            continue
        for inner, leaf in _leaves(value):
            full = path + inner
            clash = _overlap(full, found)
            if clash is not None:
                what = f"'{'.'.join(full)}' and '{'.'.join(clash)}' are set in one scenario"
                errors.append(_error("duplicate key", what, twin.place(*key, key=True), "remove one of them"))
                break
            found[full] = Override(leaf, twin.place(*key, *inner), (*key, *inner))
    return found, errors


def _refuse_target(twin: Twin, path: tuple[str, ...]) -> tuple[str, str] | None:
    """(what, fix) unless a scenario may set this path."""
    head, rest = path[0], path[1:]
    if head == "run":
        if len(rest) == 1 and rest[0] in ("seed", "replicates"):
            return None
        return (
            f"a scenario sets run.seed or run.replicates, not {show('.'.join(path))}",
            "write one of the two",
        )
    if head == "components" and head not in twin.components:
        return (
            f"{show('.'.join(path))} begins with 'components'",
            f"write {'.'.join(rest) or 'component.params.NAME'}",
        )
    if head not in twin.components:
        return f"no component is called {show(head)}", nearest(head, twin.components)
    if rest and rest[0] == "params" and all(rest):
        return None
    if rest == ("step",):
        return None
    fix = f"write {head}.params.{'.'.join(rest) or 'NAME'}, or {head}.step"
    return f"a scenario sets a component's params or its step, not {show('.'.join(path))}", fix


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict) and value:
        for key, below in value.items():
            yield from _leaves(below, (*path, key))
    else:
        yield path, value


def _overlap(path: tuple[str, ...], others: Mapping[tuple[str, ...], Any]) -> tuple[str, ...] | None:
    """One of the others that is the path, above it or below it."""
    for n in range(1, len(path) + 1):
        if path[:n] in others:
            return path[:n]
    return next((o for o in others if o[: len(path)] == path), None)


def _inherit(
    twin: Twin,
    name: str,
    own: dict[tuple[str, ...], Override],
    parents: Mapping[str, dict[tuple[str, ...], Override]],
) -> tuple[dict[tuple[str, ...], Override], list[LdtError]]:
    merged: dict[tuple[str, ...], Override] = {}
    giver: dict[tuple[str, ...], str] = {}
    errors: list[LdtError] = []
    for parent, changes in parents.items():
        for path, override in changes.items():
            if any(path[:n] in own for n in range(1, len(path) + 1)):
                continue
            clash = _overlap(path, merged)
            if clash is None:
                merged[path], giver[path] = override, parent
            elif giver[clash] != parent and not (clash == path and _same(merged[path].value, override.value)):
                what = f"'{giver[clash]}' and '{parent}' set '{'.'.join(path if len(path) > len(clash) else clash)}' differently"
                fix = f"set it in '{name}' too; see {merged[clash].place} and {override.place}"
                errors.append(
                    _error("conflicting parents", what, twin.place("scenarios", name, "extends"), fix)
                )
    return merged | own, errors


def _same(a: Any, b: Any) -> bool:
    return json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)


def _apply(
    twin: Twin, name: str, overrides: Mapping[tuple[str, ...], Override]
) -> tuple[Twin, list[LdtError]]:
    tree: dict[str, Any] = dict(twin.tree)
    moved: dict[KeyPath, KeyPath] = {}
    errors: list[LdtError] = []
    for path, override in sorted(overrides.items(), key=lambda item: len(item[0])):
        full = path if path[0] == "run" else ("components", *path)
        blocked = _put(tree, full, override.value)
        if blocked is not None:
            above, value = ".".join(path[: blocked - (path is not full)]), show(_get(tree, full[:blocked]))
            what = f"'{'.'.join(path)}' lies below '{above}', which is {value}"
            errors.append(_error("override hits nothing", what, override.place, f"set '{above}' as a whole"))
        moved[full] = override.key
    new = replace(twin, scenario=name, tree=tree, moved=moved, origin=twin)
    components, run = dict(twin.components), twin.run
    problems: list[Problem] = []
    for component in dict.fromkeys(path[0] for path in overrides):
        at = ("run",) if component == "run" else ("components", component)
        entry, wrong = shape(RunRules if component == "run" else ComponentEntry, _get(tree, at), {}, at)
        problems += wrong
        if component == "run":
            run = entry
        else:
            components[component] = entry
    errors += [_error(p.code, p.what, new.place(*p.path), p.fix) for p in problems]
    return replace(new, components=components, run=run), errors


def _get(tree: Any, path: KeyPath) -> Any:
    for part in path:
        tree = tree[part]
    return tree


def _put(tree: dict[str, Any], path: tuple[str, ...], value: Any) -> int | None:
    """Set a value without touching the dicts that the tree shares with others.

    Returns None, or how much of the path leads to something that is not a mapping.
    """
    here = tree
    for n, part in enumerate(path[:-1], 1):
        below = here.get(part)
        if below is not None and not isinstance(below, dict):
            return n
        here[part] = below = dict(below or {})
        here = below
    here[path[-1]] = value
    return None
