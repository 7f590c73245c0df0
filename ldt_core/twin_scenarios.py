"""Scenarios: what each one sets once it has taken over its parents' changes, and setting it.

A path such as ``("traffic", "params", "scale")`` leads to a component's parameters or step, or to
``run``. A mapping that a scenario sets is taken apart, so that it merges with what is there; a list
or an empty mapping replaces what is there.
"""

from __future__ import annotations

import graphlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple

from .errors import LdtError, TwinFileError, nearest
from .twin_schema import Scenario
from .twin_sweeps import Sweep
from .twin_values import show
from .twin_yaml import KeyPath

Spot = KeyPath | str


class Override(NamedTuple):
    """A value that a scenario sets. ``key`` is the path of the entry in the file, or a place in another file."""

    value: Any
    place: str
    key: Spot


Target = tuple[str, ...]
Overrides = dict[Target, Override]
Place = Callable[..., str]


class _Taken:
    """Paths of which none leads through another."""

    def __init__(self) -> None:
        self.paths: set[Target] = set()
        self.above: dict[Target, Target] = {}

    def add(self, path: Target) -> Target | None:
        """Nothing, or the path that is in the way: the same, one above it or one below it."""
        found = next(
            (path[:n] for n in range(1, len(path) + 1) if path[:n] in self.paths), self.above.get(path)
        )
        if found is None:
            self.paths.add(path)
            self.above.update((path[:n], path) for n in range(1, len(path)))
        return found


def resolve(
    scenarios: Mapping[str, Scenario], components: Collection[str], place: Place
) -> tuple[dict[str, Overrides], list[LdtError]]:
    """What each scenario sets; one with an error, or with a parent that has one, is left out.

    ``place(*path, key=False)`` says where a path of the file stands.
    """
    order, errors = _order(scenarios, place)
    found: dict[str, Overrides] = {}
    for name in order:
        changes = scenarios[name].changes
        own, wrong = own_changes(
            changes, {path: ("scenarios", name, "set", path) for path in changes}, components, place
        )
        parents = dict.fromkeys(_parents(scenarios[name]))
        if not wrong and all(parent in found for parent in parents):
            merged, wrong = inherit(name, own, {p: found[p] for p in parents}, place)
            if not wrong:
                found[name] = merged
        errors += wrong
    return found, errors


def _parents(scenario: Scenario) -> tuple[str, ...]:
    """Whose changes it takes over: what it leaves, and what it extends."""
    return (*scenario.extends, *([scenario.branch.of] if scenario.branch else []))


def _order(scenarios: Mapping[str, Scenario], place: Place) -> tuple[list[str], list[LdtError]]:
    """Parents before children, without those that extend each other in a circle."""
    graph = {name: set(_parents(scenario)) for name, scenario in scenarios.items()}
    errors: list[LdtError] = []
    broken: set[str] = set()
    while True:
        try:
            return [n for n in graphlib.TopologicalSorter(graph).static_order() if n not in broken], errors
        except graphlib.CycleError as exc:
            loop: list[str] = exc.args[1][::-1]
            word = "extends" if set(loop[1:2]) <= set(scenarios[loop[0]].extends) else "branch"
            what = f"scenarios lead to each other in a circle: {' -> '.join(loop)}"
            where = place("scenarios", loop[0], word)
            errors.append(_error("conflicting parents", what, where, "remove one of them"))
            broken.update(loop)
            graph |= {name: set() for name in loop}


def own_changes(
    changes: Mapping[str, Any], keys: Mapping[str, Spot], components: Collection[str], place: Place
) -> tuple[Overrides, list[LdtError]]:
    """What ``{component.params.NAME: value}`` sets, each standing where ``keys`` says."""

    def where(key: Spot) -> str:
        return key if isinstance(key, str) else place(*key, key=True)

    found: Overrides = {}
    taken = _Taken()
    errors: list[LdtError] = []
    for dotted, value in changes.items():
        key = keys[dotted]
        path = tuple(dotted.split("."))
        refused = _refuse_target(path, components)
        if refused:
            errors.append(_error("override hits nothing", refused[0], where(key), refused[1]))
            continue
        for inner, leaf in _leaves(value):
            clash = taken.add(path + inner)
            if clash is not None:
                what = f"'{'.'.join(path + inner)}' and '{'.'.join(clash)}' are set in one scenario"
                errors.append(_error("duplicate key", what, where(key), "remove one of them"))
                break
            spot = key if isinstance(key, str) else (*key, *inner)
            found[path + inner] = Override(leaf, spot if isinstance(spot, str) else place(*spot), spot)
    return found, errors


def _refuse_target(path: Target, components: Collection[str]) -> tuple[str, str] | None:
    """(what, fix) unless a scenario may set this path."""
    (head, *rest), dotted = path, show(".".join(path))
    if head == "run":
        known = ("run.seed", "run.replicates")
        return (
            None
            if ".".join(path) in known
            else (f"a scenario cannot set {dotted}", nearest(".".join(path), known))
        )
    if head not in components:
        if head == "components" and rest:
            return f"{dotted} begins with 'components'", f"write {'.'.join(rest)}"
        return f"no component is called {show(head)}", nearest(head, components)
    if rest == ["step"] or (rest and rest[0] == "params" and all(rest)):
        return None
    fix = f"write {head}.params.{'.'.join(rest) or 'NAME'}, or {head}.step"
    return f"a scenario cannot set {dotted}: it sets a component's params or its step", fix


def _leaves(value: Any, path: Target = ()) -> Iterator[tuple[Target, Any]]:
    if isinstance(value, dict) and value:
        for key, below in value.items():
            yield from _leaves(below, (*path, key))
    else:
        yield path, value


def inherit(
    name: str, own: Overrides, parents: Mapping[str, Overrides], place: Place
) -> tuple[Overrides, list[LdtError]]:
    merged: Overrides = {}
    giver: dict[Target, str] = {}
    taken = _Taken()
    errors: list[LdtError] = []
    for parent, changes in parents.items():
        for path, override in changes.items():
            if any(path[:n] in own for n in range(1, len(path) + 1)):
                continue
            clash = taken.add(path)
            if clash is None:
                merged[path], giver[path] = override, parent
            elif clash != path or _canonical(merged[path].value) != _canonical(override.value):
                what = f"'{giver[clash]}' and '{parent}' set '{'.'.join(clash)}' differently"
                fix = f"set it in '{name}' too; see {merged[clash].place} and {override.place}"
                errors.append(_error("conflicting parents", what, place("scenarios", name, "extends"), fix))
    return merged | own, errors


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def override_tree(
    tree: Mapping[str, Any], overrides: Overrides
) -> tuple[dict[str, Any], dict[KeyPath, Spot], list[LdtError]]:
    """A copy of the file's tree with the values set, and for each path that was set where it stands."""
    new = dict(tree)
    moved: dict[KeyPath, Spot] = {}
    errors: list[LdtError] = []
    for path, (value, where, key) in sorted(overrides.items(), key=lambda item: len(item[0])):
        full = path if path[0] == "run" else ("components", *path)
        here = new
        for n, part in enumerate(full[:-1], 1):
            below = here.get(part)
            if below is None:  # the scenario makes this mapping
                above = key if isinstance(key, str) else key[: max(4, len(key) - len(full) + n)]
                moved.setdefault(full[:n], above)
            elif not isinstance(below, dict):
                value_above = ".".join(full[len(full) - len(path) : n])
                what = f"'{'.'.join(path)}' lies below '{value_above}', which is not a mapping"
                errors.append(_error("override hits nothing", what, where, f"set '{value_above}' as a whole"))
                break
            here[part] = copy = dict(below or {})  # the tree shares its dicts with others
            here = copy
        else:
            here[full[-1]] = value
            moved[full] = key
    return new, moved, errors


def check_sweeps(
    sweeps: Mapping[str, Sweep], scenarios: Collection[str], components: Collection[str], place: Place
) -> list[LdtError]:
    """What can be said of the sweeps without their components: names and targets."""
    errors: list[LdtError] = []
    for name, sweep in sweeps.items():
        if name in scenarios:
            what = f"a scenario is called '{name}' too, and both are named in commands"
            errors.append(
                _error("duplicate key", what, place("sweeps", name, key=True), "rename one of them")
            )
        word = "grid" if sweep.grid else "over"
        keys: dict[str, Spot] = {path: ("sweeps", name, word, path) for path in sweep.axes}
        errors += check_targets(keys, components, place)
    return errors


def check_targets(keys: Mapping[str, Spot], components: Collection[str], place: Place) -> list[LdtError]:
    """Refuse what a sweep cannot vary: what a scenario cannot set, and the number of replicates."""
    errors: list[LdtError] = []
    if (key := keys.get("run.replicates")) is not None:
        where = key if isinstance(key, str) else place(*key, key=True)
        what, fix = "all members run in the same number of replicates", "ldt run --replicates N"
        errors.append(_error("override hits nothing", what, where, fix))
    return errors + own_changes(dict.fromkeys(keys), keys, components, place)[1]


def _error(code: str, what: str, where: str, fix: str) -> TwinFileError:
    return TwinFileError(what, code=code, where=where, fix=fix)
