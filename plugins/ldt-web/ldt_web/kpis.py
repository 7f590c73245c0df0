"""KPIs for readers: the table that compares all scenarios, and the answer in plain sentences.

Nothing is judged here: verdicts, intervals and whether a target is met come with the values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ldt_core.scene import Kpi, KpiValue

from .words import (
    NARROW,
    NONE,
    apart_digits,
    is_number,
    say_unit,
    write_amount,
    write_number,
    write_percent,
)

Group = Literal["better", "worse", "different", "noise", "same", "unjudged", "missing"]


@dataclass(frozen=True)
class Result:
    """One KPI in one run. ``tone`` is better, worse or even, and only ever repeats what words say."""

    run: str
    value: str
    spread: str
    met: str
    arrow: str
    change: str
    beside: str
    interval: str
    judgement: str
    verdict: str
    tone: str


@dataclass(frozen=True)
class Row:
    """A KPI in all runs, the baseline (None where nothing is said of it) first; ``mark`` what is made up."""

    title: str
    target: str
    base: Result | None
    others: list[Result]
    mark: str


@dataclass(frozen=True)
class Sentence:
    """``2 results get better:`` and what follows."""

    lead: str
    text: str


def make_row(kpi: Kpi, runs: Mapping[str, str], mark: str = "") -> Row:
    """The row of a KPI; ``runs`` maps names to titles, baseline first."""
    given = {v.run: v for v in kpi.values}
    order = [r for r in runs if r in given] + [r for r in given if r not in runs]
    results = {run: make_result(kpi, given[run], runs.get(run, run)) for run in order}
    base = results.pop(next(iter(runs), ""), None)
    return Row(kpi.title or kpi.id, write_target(kpi), base, list(results.values()), mark)


def make_result(kpi: Kpi, value: KpiValue, run: str) -> Result:
    digits = digits_of(kpi)
    interval = spread = ""
    if is_number(value.low) and is_number(value.high):
        interval = " to ".join(write_number(v, digits, sign=True) for v in (value.low, value.high))
    if value.n > 1 and is_number(value.lowest) and is_number(value.highest):
        low, high = (write_number(v, digits) for v in (value.lowest, value.highest))
        spread = f"{low} to {high}" if low != high else ""
    known = is_number(value.change)
    return Result(
        run=run,
        value=write_amount(value.value, kpi.unit, digits),
        spread=spread,
        met="" if value.met is None else "target met" if value.met else "target missed",
        arrow=write_arrow(value),
        change=write_amount(value.change, None if kpi.unit == "%" else kpi.unit, digits, sign=True)
        if known
        else "",
        beside=_beside(kpi, value) if known else "",
        interval=interval,
        judgement="" if value.better is None else "better" if value.better else "worse",
        verdict=value.verdict or "",
        tone="even" if value.better is None else "better" if value.better else "worse",
    )


def digits_of(kpi: Kpi) -> int:
    """Decimals for all figures of a KPI: few, but enough that no change looks like none.

    What is shown also adds up: the baseline and the change give the value, where they do.
    """
    base = kpi.values[0].value if kpi.values else None
    changes = [c for v in kpi.values for c in (v.change, v.low, v.high)]
    sums = [
        (base, v.change, v.value)
        for v in kpi.values[1:]
        if base is not None and v.change is not None and v.value is not None
    ]
    exact = [(a, b, c) for a, b, c in sums if math.isclose(a + b, c, rel_tol=1e-9, abs_tol=1e-12)]
    return apart_digits([v.value for v in kpi.values], changes, exact)


def write_target(kpi: Kpi) -> str:
    if not is_number(kpi.target):
        return ""
    bound = {"lower": "at most ", "higher": "at least "}.get(kpi.better or "", "")
    return f"Target: {bound}{write_amount(kpi.target, kpi.unit)}"


def write_arrow(value: KpiValue) -> str:
    if value.change is None or not is_number(value.change):
        return ""
    return "▲" if value.change > 0 else "▼" if value.change < 0 else "="


def _beside(kpi: Kpi, value: KpiValue) -> str:
    """What stands below a change: the same in percent; a change of a percentage is in points instead."""
    if kpi.unit == "%":
        return "percentage points"
    return write_percent(value.percent) if is_number(value.percent) else ""


def _points(kpi: Kpi, amount: float | None, digits: int | None) -> str:
    """A change; that of a percentage is in points, which are not percent of it."""
    if kpi.unit == "%":
        return f"{write_number(amount, digits, sign=True)} percentage points"
    return write_amount(amount, kpi.unit, digits, sign=True)


def group_of(kpi: Kpi, value: KpiValue) -> Group:
    """What can be said of a change; ``better`` and the interval were judged with the values."""
    if not is_number(value.change) or value.change is None:
        return "missing"
    if value.better is not None:
        return "better" if value.better else "worse"
    if not (is_number(value.low) and is_number(value.high)) or value.low is None or value.high is None:
        return "unjudged"
    if value.change == value.low == value.high == 0:
        return "same"
    return "different" if kpi.better is None and (value.low > 0 or value.high < 0) else "noise"


def write_answer(kpis: Sequence[Kpi], runs: Mapping[str, str], run: str) -> list[Sentence]:
    """What ``run`` changes, in a few sentences: better, worse, what may be chance, targets, how sure."""
    base = next(iter(runs), "")
    found: dict[Group, list[tuple[Kpi, KpiValue]]] = {}
    for kpi in kpis:
        for value in kpi.values:
            if value.run == run and run != base:
                found.setdefault(group_of(kpi, value), []).append((kpi, value))
    told = [
        _count(found.get("better"), "gets better", "get better", _move),
        _count(found.get("worse"), "gets worse", "get worse", _move),
        _count(found.get("different"), "changes", "change", _move),
        _count(found.get("noise"), "may be chance", "may be chance", _shift, "change", "Zero lies within the 95 % interval."),
        _count(found.get("unjudged"), "cannot be judged", "cannot be judged", _shift, "change", "There are too few replicates."),
        _count(found.get("same"), "stays the same", "stay the same", _value),
        _targets(kpis, runs, run),
        _certainty([p for g in ("better", "worse", "different") for p in found.get(g, [])]),
    ]  # fmt: skip
    return [sentence for sentence in told if sentence]


def write_verdict(kpis: Sequence[Kpi], run: str) -> str:
    """The answer in one sentence, without figures."""
    groups = {group_of(k, v) for k in kpis for v in k.values if v.run == run}
    if {"better", "worse"} <= groups:
        return "It is a trade-off: some results get better, others worse."
    if "better" in groups:
        return "Some results get better, and none gets worse beyond chance."
    if "worse" in groups:
        return "Some results get worse, and none gets better beyond chance."
    if "different" in groups:
        return "Results change, without one side being the better one."
    if groups & {"noise", "same"}:
        return "No result changes beyond chance."
    return ""


def _count(
    found: Sequence[tuple[Kpi, KpiValue]] | None, one: str, many: str, write: object, what: str = "result", end: str = ""
) -> Sentence | None:  # fmt: skip
    if not found:
        return None
    count, single = len(found), len(found) == 1
    lead = f"{count} {what}{'' if single else 's'} {one if single else many}:"
    text = "; ".join(write(kpi, value) for kpi, value in found)  # type: ignore[operator]
    return Sentence(lead, f"{text}. {end}".strip())


def _move(kpi: Kpi, value: KpiValue) -> str:
    """``Mean trip, up from 221 to 282 s (+27 %)``."""
    digits, title = digits_of(kpi), kpi.title or kpi.id
    base = kpi.values[0].value
    change = value.change or 0.0
    if not is_number(base) or not is_number(value.value) or change == 0:
        return _shift(kpi, value)
    unit = say_unit(kpi.unit)
    percent = f" ({write_percent(value.percent)})" if is_number(value.percent) and kpi.unit != "%" else ""
    ends = f"{write_number(base, digits)} to {write_number(value.value, digits)}"
    return f"{title}, {'up' if change > 0 else 'down'} from {ends}{_spaced(unit)}{percent}"


def _shift(kpi: Kpi, value: KpiValue) -> str:
    """``Mean delivery tour (+8.5 min)``."""
    return f"{kpi.title or kpi.id} ({_points(kpi, value.change, digits_of(kpi))})"


def _value(kpi: Kpi, value: KpiValue) -> str:
    number = write_number(value.value, digits_of(kpi))
    return f"{kpi.title or kpi.id} ({number}{_spaced(say_unit(kpi.unit)) if number != NONE else ''})"


def _spaced(unit: str) -> str:
    return "" if not unit else (NARROW if len(unit) < 8 and " " not in unit else " ") + unit


def _targets(kpis: Sequence[Kpi], runs: Mapping[str, str], run: str) -> Sentence | None:
    judged = [(k, v) for k in kpis for v in k.values if v.run == run and v.met is not None]
    parts = []
    for kpi, value in judged:
        base = next((v for v in kpi.values if v.run == next(iter(runs), "")), None)
        goal = write_target(kpi).removeprefix("Target: ")
        state = "is met" if value.met else "is missed"
        turned = base is not None and base is not value and base.met is not None and base.met != value.met
        before = f" (it was {'met' if base and base.met else 'missed'} before)" if turned else ""
        parts.append(f"{kpi.title or kpi.id}, {goal}, {state}{before}")
    return Sentence("Target:" if len(parts) == 1 else "Targets:", "; ".join(parts) + ".") if parts else None


def _certainty(found: Sequence[tuple[Kpi, KpiValue]]) -> Sentence | None:
    """How far the sizes can be trusted, by the interval that is widest for its change."""
    sized = [
        ((v.high - v.low) / abs(v.change), k, v)
        for k, v in found
        if v.low is not None and v.high is not None and v.change and is_number(v.high - v.low)
    ]
    if not sized:
        return None
    n = max(v.n for _, _, v in sized)
    text = f"better and worse are said only where the 95{NARROW}% interval over {n} paired replicates leaves out zero."
    if len(found) > 0 and all(v.better is None for _, v in found):
        text = text.replace("better and worse are", "a change is")
    wide, kpi, value = max(sized, key=lambda item: item[0])
    if wide > 0.5:
        interval = make_result(kpi, value, "").interval
        unit = "percentage points" if kpi.unit == "%" else say_unit(kpi.unit)
        text += f" Sizes are less sure than directions: {kpi.title or kpi.id} changes by {interval}{_spaced(unit)}."
    return Sentence("How sure:", text[:1].upper() + text[1:])
