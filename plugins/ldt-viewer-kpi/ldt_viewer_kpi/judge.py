"""What can be said of a change: the judgement made by the KPI's comparison, put into sentences.

Nothing is judged here anew. ``better`` and the interval of the change come with the values; a change
whose interval holds zero is never called better or worse.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

from ldt_core.scene import Kpi, KpiValue

from .words import NARROW, clean_text, join_words, write_amount, write_apart, write_number, write_unit

Judgement = Literal["better", "worse", "different", "noise", "same", "unjudged", "missing"]

_COUNTED: dict[Judgement, str] = {
    "better": "better",
    "worse": "worse",
    "noise": "may be chance",
    "same": "unchanged",
    "unjudged": "with too few replicates to tell",
}
_WORDS: dict[Judgement, str] = {
    "better": "better",
    "worse": "worse",
    "different": "different",
    "noise": "not distinguishable",
    "same": "unchanged",
    "unjudged": "with too few replicates to tell",
    "missing": "no value",
}


def judge(kpi: Kpi, value: KpiValue) -> Judgement:
    """The group that a change belongs to when changes are counted.

    ``different``: told from chance, but the KPI states no better side. ``unjudged``: there are too
    few replicates for an interval, so nothing says whether the change is chance.
    """
    if value.change is None or value.value is None:
        return "missing"
    if value.better is not None:
        return "better" if value.better else "worse"
    if value.low is None or value.high is None:
        return "unjudged"
    if value.change == value.low == value.high == 0:
        return "same"
    if kpi.better is None and (value.low > 0 or value.high < 0):
        return "different"
    return "noise"


def write_verdict(kpi: Kpi, value: KpiValue) -> str:
    """The verdict as it came with the value, with better or worse before it where that is known."""
    found = judge(kpi, value)
    word = _WORDS[found]
    if not value.verdict:
        return word
    given = clean_text(value.verdict)
    return f"{word}, {given}" if found in ("better", "worse") and word not in given else given


def write_change(kpi: Kpi, value: KpiValue) -> str:
    """``lower by 2.9 dB (95 % interval 2.5 to 3.3), better``; no figure where it may be chance."""
    found = judge(kpi, value)
    if value.change is None or found in ("missing", "noise", "same"):
        return write_verdict(kpi, value)
    side = "lower" if value.change < 0 else "higher"
    if kpi.unit == "%":  # a change of a share is in points, not in percent of it
        text = f"{side} by {write_number(abs(value.change))} percentage points"
    else:
        text = f"{side} by {write_amount(abs(value.change), kpi.unit)}"
    if value.low is not None and value.high is not None and value.low < value.high:
        ends = [value.low, value.high]
        if not value.low < 0 < value.high:
            ends = sorted(abs(end) for end in ends)
        text += f" (95{NARROW}% interval {write_number(ends[0])} to {write_number(ends[1])})"
    return f"{text}, {write_verdict(kpi, value)}"


def sum_up(kpis: Sequence[Kpi], runs: Mapping[str, str]) -> str:
    """One finding over all KPIs. ``runs`` maps each run's name to what it is called, baseline first."""
    names = list(runs)
    base, others = runs[names[0]], names[1:]
    count = f"{len(kpis)} result{'' if len(kpis) == 1 else 's'}"
    if others:
        parts = [
            f"Compared with {base}, {runs[name]} changes {_count_changes(kpis, name)}" for name in others
        ]
    else:
        parts = [f"{count} of {base}; there is no other run to compare with"]
    aims = [f"{runs[name]} {met} of {of}" for name in names for met, of in [_count_met(kpis, name)] if of]
    if aims:
        parts.append(f"Targets met: {', '.join(aims)}")
    return ". ".join(parts)


def _count_changes(kpis: Sequence[Kpi], run: str) -> str:
    found = Counter(judge(k, v) for k in kpis for v in k.values if v.run == run)
    found["missing"] += len(kpis) - found.total()
    clear = found["better"] + found["worse"] + found["different"]
    head = f"{clear or 'none'} of {len(kpis)} result{'' if len(kpis) == 1 else 's'} beyond chance"
    told = [f"{found[g]} {_COUNTED[g]}" for g in ("better", "worse") if found[g]]
    if found["different"]:
        told.append(f"{found['different']} without a better side")
    rest = [f"{found[g]} {_COUNTED[g]}" for g in ("noise", "same", "unjudged") if found[g]]
    if found["missing"]:
        rest.append(f"{found['missing']} without a value to compare")
    return head + (f": {', '.join(told)}" if told else "") + "".join(f"; {part}" for part in rest)


def _count_met(kpis: Sequence[Kpi], run: str) -> tuple[int, int]:
    judged = [v.met for k in kpis for v in k.values if v.run == run and v.met is not None]
    return sum(judged), len(judged)


def describe(kpi: Kpi, runs: Mapping[str, str]) -> str:
    """One KPI in all runs: value, spread and the change against the baseline in words."""
    parts, unit = [], write_unit(kpi.unit)
    for value in kpi.values:
        if value.value is None:
            parts.append(f"{runs[value.run]} has no value")
            continue
        spread = value.n > 1 and value.lowest is not None and value.highest is not None
        near = [value.lowest, value.highest] if spread else []
        mean, *ends = write_apart([v for v in (value.value, *near, kpi.target) if v is not None])
        text = f"{runs[value.run]} {mean}" + (NARROW + unit if unit else "")
        if spread:
            text += f" ({ends[0]} to {ends[1]})"
        if value.change is not None:
            text += f", {write_change(kpi, value)}"
        parts.append(text)
    if kpi.target is not None:
        met = [runs[v.run] for v in kpi.values if v.met]
        aim = f"target {write_amount(kpi.target, kpi.unit)}"
        parts.append(f"{aim} met by {join_words(met)}" if met else f"{aim} met by none")
    return "; ".join(parts) + _explain_spread(kpi)


def _explain_spread(kpi: Kpi) -> str:
    counts = sorted({v.n for v in kpi.values if v.value is not None and v.lowest is not None and v.n > 1})
    if not counts:
        return ""
    return f" (in brackets lowest to highest of {join_words([str(n) for n in counts])} replicates)"


def label_kpis(kpis: Sequence[Kpi]) -> dict[str, str]:
    """What to call each KPI: its title, with its id where two share a title."""
    titles = {k.id: clean_text(k.title) or k.id for k in kpis}
    count = Counter(titles.values())
    return {id: title if count[title] == 1 else f"{title} ({id})" for id, title in titles.items()}


def find_largest(kpis: Sequence[Kpi], runs: Mapping[str, str]) -> str:
    """The largest change in percent that is told from chance, in a sentence."""
    clear = [
        (abs(v.percent), k, v)
        for k in kpis
        for v in k.values
        if v.percent is not None and judge(k, v) in ("better", "worse", "different")
    ]
    if not clear:
        return "No change in percent can be told from chance"
    _, kpi, value = max(clear, key=lambda item: item[0])
    assert value.percent is not None
    side = "lower" if value.percent < 0 else "higher"
    return (
        f"The largest change beyond chance, in percent, is {label_kpis(kpis)[kpi.id]} in {runs[value.run]}: "
        f"{write_number(abs(value.percent))}{NARROW}% {side}, {write_verdict(kpi, value)}"
    )
