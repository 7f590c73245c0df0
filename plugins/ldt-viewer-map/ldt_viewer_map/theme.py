"""One reference in all runs: its places, its values, its changes, and the scales that all its maps share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import shapely
from numpy.typing import NDArray

import ldt_core as ldt

from .classes import choose_breaks, choose_steps, choose_threshold, mirror_steps, name_changes, name_classes
from .known import Habit, habit_of
from .places import Numbers, PlaceSet, find_id, read_places
from .words import clean_text, make_id, name_column, unique

TIME = {
    "mean": "mean",
    "energetic": "energetic mean",
    "sum": "sum",
    "min": "lowest value",
    "max": "highest value",
    "last": "last value",
}


@dataclass
class Change:
    """Against the baseline, by place.

    ``shown`` is what is drawn: NaN also where a change that counts goes up in some replicates and
    down in others, since it may be chance. ``partial`` says whether there are such places.
    """

    value: Numbers
    shown: Numbers

    @property
    def partial(self) -> bool:
        return bool((np.isnan(self.shown) & ~np.isnan(self.value)).any())


@dataclass
class Theme:
    """``values`` and ``changes`` by run, in the order of the places; ``lost`` values have no place."""

    ref: str
    info: ldt.Info
    habit: Habit
    title: str
    time: str
    places: PlaceSet
    values: dict[str, Numbers]
    changes: dict[str, Change]
    lost: dict[str, int]
    breaks: list[float]
    steps: list[float]

    @cached_property
    def known(self) -> Numbers:
        """All values of all runs."""
        return _join_known(self.values.values())

    @cached_property
    def labels(self) -> list[str]:
        return name_classes(self.known, self.breaks)

    @cached_property
    def change_breaks(self) -> list[float]:
        return mirror_steps(self.steps)

    @cached_property
    def change_labels(self) -> list[str]:
        return name_changes(self.steps, self.habit.less, self.habit.more)

    @cached_property
    def threshold(self) -> float:
        return self.steps[0]

    def column(self, run: str, what: str = "") -> str:
        """The published column of a run: ``traffic_flow_flow__base``, ``..__car_free__change``."""
        parts = [make_id(self.ref), make_id(run), what]
        return "__".join(p.replace("-", "_") for p in parts if p)


@dataclass(frozen=True)
class Wish:
    """What the viewer's parameters say of one reference."""

    title: str
    time: str
    breaks: Sequence[float]
    threshold: float | None


def read_theme(ref: str, wish: Wish, runs: Sequence[str], view: ldt.View, known: list[PlaceSet]) -> Theme:
    """All of ``ref``. Its places are looked up in ``known``, so that one set of places is published once."""
    info = view.info(ref)
    time = wish.time if wish.time != "auto" else _choose_time(info)
    tables = {run: view.values(ref, run, time) for run in runs}
    places = _share(read_places(_gather_places(ref, tables, view)), known)
    values, lost = {}, {}
    for run, table in tables.items():
        values[run], lost[run] = places.join(table, "value")
    moves, clear = {}, {}
    for run in runs[1:]:
        table = view.paired(ref, run, time)
        moves[run], low, high = (places.join(table, name)[0] for name in ("value", "low", "high"))
        clear[run] = np.isnan(low) | np.isnan(high) | (low > 0) | (high < 0)
    habit = habit_of(info)
    every = _join_known(values.values())
    moved = _join_known(moves.values())
    threshold = wish.threshold or (habit.steps[0] if habit.steps else choose_threshold(every, moved))
    steps = (
        [threshold, *(s for s in habit.steps if s > threshold)]
        if habit.steps
        else choose_steps(moved, threshold)
    )
    return Theme(
        ref=ref,
        info=info,
        habit=habit,
        title=clean_text(wish.title) or name_column(info),
        time=time,
        places=places,
        values=values,
        changes={
            run: Change(move, np.where(clear[run] | (np.abs(move) < threshold), move, np.nan))
            for run, move in moves.items()
        },
        lost=lost,
        breaks=list(wish.breaks or _reached(habit.breaks, every) or choose_breaks(every)),
        steps=steps,
    )


def _reached(breaks: Sequence[float], values: Numbers) -> list[float]:
    """The usual breaks that some values reach and others do not: a legend needs no empty ends."""
    return [b for b in breaks if len(values) and values.min() < b <= values.max()]


def _choose_time(info: ldt.Info) -> str:
    """Levels have no arithmetic mean: 40 dB and 80 dB together are 77 dB, not 60 dB."""
    return "energetic" if info.unit == "dB" else "sum" if info.cell == "sum" else "mean"


def _join_known(parts: Iterable[Numbers]) -> Numbers:
    joined = np.concatenate([np.empty(0), *parts])
    return np.asarray(joined[~np.isnan(joined)], np.float64)


def _gather_places(ref: str, tables: Mapping[str, ldt.Table], view: ldt.View) -> ldt.Table:
    """The places of ``ref``; where a run has ids of its own (a new street), those of that run as well."""
    try:
        places = view.places(ref)
    except ldt.NotFound:  # nobody says where they are: their values can be listed all the same
        first = next(iter(tables.values()))
        return ldt.Table({find_id(first): unique(i for t in tables.values() for i in t[find_id(t)].tolist())})
    key = find_id(places)
    seen = set(places[key].tolist())
    for run, table in tables.items():
        fresh = set(table[find_id(table)].tolist()) - seen
        if fresh:
            more = view.places(ref, run)
            rows = [row for row, i in enumerate(more[key].tolist()) if i in fresh]
            if rows and set(places) <= set(more):
                places = ldt.Table.concat([places, more.take(rows).select(*places)])
                seen |= fresh
    return places


def _share(places: PlaceSet, known: list[PlaceSet]) -> PlaceSet:
    found = find_same(places, known)
    if found is None:
        known.append(places)
    return places if found is None else found


def find_same(places: PlaceSet, known: Sequence[PlaceSet]) -> PlaceSet | None:
    """The set in ``known`` that has the same ids, names and geometry."""
    for other in known:
        same = other.id == places.id and other.ids == places.ids and other.names == places.names
        if same and _equal(other.geometry, places.geometry):
            return other
    return None


def _equal(one: NDArray[np.object_], other: NDArray[np.object_]) -> bool:
    """Same objects, or same coordinates; two reads of one port may build their geometries twice."""
    if all(a is b for a, b in zip(one.tolist(), other.tolist(), strict=True)):
        return True
    return bool(
        np.all(shapely.equals_exact(one, other) | (shapely.is_missing(one) & shapely.is_missing(other)))
    )
