"""KPIs for readers: the card of each, the summary of each scenario, the table of all side by side.

Nothing is judged here: verdicts, intervals and whether a target is met come with the values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from ldt_core.scene import Kpi, KpiValue

from .svg import short, tag
from .words import (
    NARROW,
    NONE,
    digits_for,
    is_number,
    rough_digits,
    write_amount,
    write_number,
    write_percent,
)


@dataclass(frozen=True)
class Result:
    """One KPI in one run. ``tone`` is better, worse or even, and only ever repeats what words say."""

    run: str
    value: str
    spread: str
    met: str
    arrow: str
    change: str
    judgement: str
    interval: str
    verdict: str
    tone: str
    strip: Markup

    @property
    def compared(self) -> bool:
        return bool(self.change or self.verdict)


@dataclass(frozen=True)
class Card:
    title: str
    target: str
    results: list[Result]
    synthetic: list[str]


@dataclass(frozen=True)
class Line:
    """One sentence of the summary: ``Mean trip duration`` ``▲ +37 s (+18 %)`` ``worse, distinguishable``."""

    kpi: str
    arrow: str
    change: str
    words: str
    tone: str


def make_card(kpi: Kpi, runs: Mapping[str, str]) -> Card:
    """The card of a KPI; ``runs`` maps names to titles, baseline first."""
    given = {v.run: v for v in kpi.values}
    order = [r for r in runs if r in given] + [r for r in given if r not in runs]
    scale = _reach(kpi)
    results = [
        make_result(kpi, given[run], runs.get(run, run), _strip(kpi, given[run], scale)) for run in order
    ]
    return Card(kpi.title or kpi.id, write_target(kpi), results, list(kpi.synthetic))


def make_result(kpi: Kpi, value: KpiValue, run: str, strip: Markup) -> Result:
    digits = _change_digits(value)
    interval = ""
    if is_number(value.low) and is_number(value.high):
        low, high = write_number(value.low, digits, sign=True), _points(kpi, value.high, digits)
        interval = f"95{NARROW}% interval {low} to {high}"
    spread = ""
    if value.n > 1 and is_number(value.lowest) and is_number(value.highest):
        one = digits_for(value.value)
        spread = (
            f"{write_number(value.lowest, one)} to {write_number(value.highest, one)} in {value.n} replicates"
        )
    return Result(
        run=run,
        value=write_amount(value.value, kpi.unit),
        spread=spread,
        met="" if value.met is None else "target met" if value.met else "target missed",
        arrow=write_arrow(value),
        change=_change(kpi, value, digits),
        judgement="" if value.better is None else "better" if value.better else "worse",
        interval=interval,
        verdict=value.verdict or "",
        tone=tone_of(value),
        strip=strip,
    )


def _change_digits(value: KpiValue) -> int:
    """As many decimals as the value has, but never fewer than two significant digits of the change."""
    numbers = [v for v in (value.change, value.low, value.high) if v is not None and is_number(v)]
    need = rough_digits(value.change) if value.change is not None and is_number(value.change) else 0
    return min(digits_for(*numbers), max(digits_for(value.value), need))


def write_target(kpi: Kpi) -> str:
    if not is_number(kpi.target):
        return ""
    bound = {"lower": "at most ", "higher": "at least "}.get(kpi.better or "", "")
    return f"Target: {bound}{write_amount(kpi.target, kpi.unit)}"


def write_arrow(value: KpiValue) -> str:
    if value.change is None or not is_number(value.change):
        return ""
    return "▲" if value.change > 0 else "▼" if value.change < 0 else "="


def tone_of(value: KpiValue) -> str:
    return "even" if value.better is None else "better" if value.better else "worse"


def _points(kpi: Kpi, amount: float | None, digits: int | None) -> str:
    """A change; that of a percentage is in points, which are not percent of it."""
    if kpi.unit == "%":
        return f"{write_number(amount, digits, sign=True)} percentage points"
    return write_amount(amount, kpi.unit, digits, sign=True)


def _change(kpi: Kpi, value: KpiValue, digits: int | None) -> str:
    if not is_number(value.change):
        return ""
    text = _points(kpi, value.change, digits)
    return text + (
        f" ({write_percent(value.percent)})" if is_number(value.percent) and kpi.unit != "%" else ""
    )


def sum_up(kpis: Sequence[Kpi], run: str) -> list[Line]:
    """What changed in ``run``: what is distinguishable first, in the order of the KPIs."""
    lines: list[tuple[bool, Line]] = []
    for kpi in kpis:
        value = next((v for v in kpi.values if v.run == run), None)
        if value is None:
            continue
        result = make_result(kpi, value, run, Markup(""))
        if not result.compared:
            lines.append((False, Line(kpi.title or kpi.id, "", result.value, result.met, "even")))
            continue
        side = {"▲": "higher", "▼": "lower", "=": "unchanged"}.get(result.arrow, "")
        words = ", ".join(filter(None, (result.judgement or side, result.verdict, result.met)))
        line = Line(kpi.title or kpi.id, result.arrow, result.change or NONE, words, result.tone)
        lines.append((value.better is None, line))
    return [line for _, line in sorted(lines, key=lambda pair: pair[0])]


def _reach(kpi: Kpi) -> tuple[float, float]:
    shown = [n for v in kpi.values for n in (v.value, v.lowest, v.highest)] + [kpi.target]
    numbers = [float(n) for n in shown if n is not None and is_number(n)]
    if not numbers:
        return 0.0, 1.0
    low, high = min(numbers), max(numbers)
    pad = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    return low - pad, high + pad


def _strip(kpi: Kpi, value: KpiValue, scale: tuple[float, float]) -> Markup:
    """Value, spread and target on one line, the same scale for all runs of the KPI."""
    low, high = scale

    def at(number: float) -> str:
        return f"{short(100 * (number - low) / (high - low))}%"

    parts = [tag("line", x1=0, x2="100%", y1=9, y2=9, class_="rail")]
    if (
        value.lowest is not None
        and value.highest is not None
        and is_number(value.lowest)
        and is_number(value.highest)
    ):
        parts.append(tag("line", x1=at(value.lowest), x2=at(value.highest), y1=9, y2=9, class_="range"))
    if kpi.target is not None and is_number(kpi.target):
        parts.append(tag("line", x1=at(kpi.target), x2=at(kpi.target), y1=1, y2=17, class_="goal"))
    if value.value is not None and is_number(value.value):
        parts.append(tag("circle", cx=at(value.value), cy=9, r=5, class_=tone_of(value)))
    return tag("svg", *parts, class_="strip", aria_hidden="true", focusable="false")
