"""The findings of maps, and the tables that say what they draw."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ldt_core.scene import Cell, Figures, Head

from .classes import classify, count_classes
from .places import Numbers, PlaceSet
from .theme import Theme
from .words import join_words, say_places, write_amount, write_number, write_rough

NAMED = 3
"""Places named in a finding."""


def rank_places(strength: Numbers) -> list[int]:
    """Rows by falling strength, without those that have none; rows of equal strength keep their order."""
    order = np.argsort(-np.nan_to_num(strength, nan=-np.inf), kind="stable")
    return [int(row) for row in order[: int((~np.isnan(strength)).sum())]]


def name_strongest(
    places: PlaceSet, values: Numbers, rows: list[int], most: int = NAMED, *, sign: bool = False
) -> str:
    """The first different whereabouts among ``rows``, each with its value."""
    named: dict[str, float] = {}
    for row in rows:
        named.setdefault(places.locate(row), float(values[row]))
        if len(named) == most:
            break
    text = join_words([f"{name} ({write_rough(value, sign=sign)})" for name, value in named.items()])
    if len(named) > 1 and all(name.startswith("near ") for name in named):
        text = "near " + text.replace("near ", "")
    return text


def _count(number: int, id: str) -> str:
    return f"{write_number(number)} {say_places(id, number)}"


def describe_values(theme: Theme, run: str) -> str:
    """What the map of one run shows, in a sentence or two. The run has at least one value."""
    values, unit, places = theme.values[run], theme.info.unit, theme.places
    known = values[~np.isnan(values)]
    low, high = float(known.min()), float(known.max())
    rows = rank_places(values)
    if len(known) == 1:
        text = f"{write_amount(high, unit)} at the one {say_places(places.id, 1)} that has a value, {places.locate(rows[0])}"
    elif low == high:
        text = f"{write_amount(high, unit)} at all of {_count(len(known), places.id)}"
    else:
        first = places.locate(rows[0])
        text = f"{theme.habit.most}: {first}, {write_amount(high, unit)}"
        others = name_strongest(places, values, [r for r in rows if places.locate(r) != first], NAMED - 1)
        text += f"; then {others}" if others else ""
        middle = float(np.quantile(known, 0.5, method="higher"))
        text += f". Half of the {_count(len(known), places.id)} have {write_amount(middle, unit)} or more"
    return text + _say_missing(len(values) - len(known), theme.lost[run], places.id)


def _say_missing(missing: int, lost: int, id: str) -> str:
    text = f"; {_count(missing, id)} without a value" if missing else ""
    return text + (
        f"; {write_number(lost)} value{'' if lost == 1 else 's'} without a place, not drawn" if lost else ""
    )


def describe_change(theme: Theme, run: str, title: str, base: str, replicates: int) -> str:
    """What the difference map of one run shows: how many places change, where most, and how sure that is."""
    change, places = theme.changes[run], theme.places
    shown = change.shown
    known = int((~np.isnan(change.value)).sum())
    if not known:
        return f"There is nothing to show: {theme.title} has no place with a value in both {base} and {title}"
    parts: list[str] = []
    moved = 0
    least = f" by {write_amount(theme.threshold, theme.info.unit)} or more"
    for side, word in ((1.0, theme.habit.more), (-1.0, theme.habit.less)):
        rows = rank_places(np.where(side * shown >= theme.threshold, np.abs(shown), np.nan))
        text = word if parts else word[:1].upper() + word[1:] + least
        if rows:
            text += f" at {write_number(len(rows))}{'' if moved else f' of {_count(known, places.id)}'}"
            text += f", above all {name_strongest(places, shown, rows, sign=True)}"
        else:
            text += f" at no {say_places(places.id, 1)}"
        moved += len(rows)
        parts.append(text)
    still = int((np.abs(shown) < theme.threshold).sum())
    if still:
        rest = f" of {_count(known, places.id)}" if not moved else ""
        parts.append(f"little change at {write_number(still)}{rest}")
    unclear = known - int((~np.isnan(shown)).sum())
    missing = _say_missing(len(shown) - known, 0, places.id)
    return f"{'; '.join(parts)}{missing}. {_say_agreement(replicates, moved, unclear, places.id)}".strip()


def _say_agreement(replicates: int, moved: int, unclear: int, id: str) -> str:
    if replicates < 2:
        return "Computed once, so any of it may be chance." if moved else ""
    every = "Both" if replicates == 2 else f"All {replicates}"
    said = [f"{every} replicates agree on these directions"] if moved else []
    if unclear:
        said.append(f"at {_count(unclear, id)} the replicates disagree, so no change is drawn")
    text = "; ".join(said)
    return text[:1].upper() + text[1:] + "." if text else ""


def list_values(theme: Theme, run: str, title: str, top: int) -> Figures:
    """The ``top`` places by value."""
    values = theme.values[run]
    rows = rank_places(values)
    heads, cells = _start_rows(theme.places, rows[:top])
    heads += [
        Head(id="value", title=theme.title, unit=theme.info.unit),
        Head(id="class", title="Class", kind="text"),
    ]
    classes = classify(values, theme.breaks)
    for row, cell in zip(rows, cells, strict=False):
        cell += [float(values[row]), theme.labels[classes[row]]]
    caption = f"{theme.title} in {title}: {say_places(theme.places.id)} with the highest values"
    return Figures(caption=caption, columns=heads, rows=cells, more=len(rows) - len(cells))


def list_changes(theme: Theme, run: str, title: str, base: str, top: int) -> Figures:
    """The ``top`` places by size of the change that is drawn, with the values before and after."""
    shown = theme.changes[run].shown
    rows = rank_places(np.abs(shown))
    heads, cells = _start_rows(theme.places, rows[:top])
    unit = theme.info.unit
    heads += [
        Head(id="change", title="Change", unit=unit),
        Head(id="class", title="Class", kind="text"),
        Head(id="before", title=base, unit=unit),
        Head(id="after", title=title, unit=unit),
    ]
    classes = classify(shown, theme.change_breaks)
    before, after = next(iter(theme.values.values())), theme.values[run]
    for row, cell in zip(rows, cells, strict=False):
        cell += [float(shown[row]), theme.change_labels[classes[row]], _cell(before[row]), _cell(after[row])]
    caption = f"{theme.title}: {say_places(theme.places.id)} that change most in {title} against {base}"
    return Figures(caption=caption, columns=heads, rows=cells, more=len(rows) - len(cells))


def _cell(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _start_rows(places: PlaceSet, rows: list[int]) -> tuple[list[Head], list[list[Cell]]]:
    heads = [Head(id="place", title="Place", kind="text")] if places.names else []
    heads.append(Head(id="id", title=places.id if not places.names else f"Id ({places.id})", kind="text"))
    named: list[list[Cell]] = [[places.names[r] or None] if places.names else [] for r in rows]
    return heads, [[*cells, places.ids[r]] for cells, r in zip(named, rows, strict=True)]


def list_counts(
    theme: Theme, runs: Mapping[str, str], ids: Mapping[str, str]
) -> tuple[Figures, dict[str, list[int]]]:
    """Places per class and run, the ones without a value last; and the counts by run."""
    labels = list(theme.labels)
    counts = {run: count_classes(theme.values[run], theme.breaks).tolist() for run in runs}
    missing = {run: int(np.isnan(theme.values[run]).sum()) for run in runs}
    if any(missing.values()):
        labels.append("no value")
        for run in runs:
            counts[run].append(missing[run])
    heads = [Head(id="class", title=f"Class of {theme.title}", kind="text", unit=theme.info.unit)]
    heads += [Head(id=ids[run], title=runs[run], digits=0) for run in runs]
    rows: list[list[Cell]] = [[label, *(counts[run][i] for run in runs)] for i, label in enumerate(labels)]
    return Figures(
        caption=f"{theme.title}: {say_places(theme.places.id)} in each class", columns=heads, rows=rows
    ), counts


def describe_counts(theme: Theme, runs: Mapping[str, str], counts: Mapping[str, list[int]]) -> str:
    """How many places reach the break at which the runs differ most; the middle one for a single run."""
    breaks = theme.breaks
    reach = {run: [sum(counts[run][i + 1 : len(breaks) + 1]) for i in range(len(breaks))] for run in runs}
    spread = [max(column) - min(column) for column in zip(*reach.values(), strict=True)]
    at = spread.index(max(spread)) if max(spread) else len(breaks) // 2
    known = {run: sum(counts[run][: len(breaks) + 1]) for run in runs}
    id = theme.places.id
    parts = [
        f"{write_number(reach[run][at])} of {_count(known[run], id)} in {title}"
        for run, title in runs.items()
    ]
    limit = write_amount(breaks[at], theme.info.unit)
    return f"{limit} or more: {', '.join(parts)}"
