"""A chart block as SVG: once for a wide place and once for a phone, both in Python, neither with a script."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from ldt_core.scene import ChartBlock

from .chartmarks import Mark, axis_title, colour_of, is_drawable, marks_of, position, reach, spread, symbol
from .colours import DASHES
from .legend import Entry
from .svg import join, short, tag
from .ticks import number_ticks, short_instants, time_ticks, write_ticks
from .words import is_number, shorten, write_amount, write_number

WIDE, NARROW = 880, 340
LETTER = 6.7
NAME = 30  # letters that the name at the end of a line may have


@dataclass(frozen=True)
class ChartPicture:
    pictures: list[Markup]
    legend: list[Entry]


def draw_chart(block: ChartBlock, *, name: str, zone: str) -> ChartPicture:
    """The pictures of ``block``, the wide one first; ``name`` is unique in the page."""
    pictures = []
    for width, kind in ((WIDE, "wide"), (NARROW, "narrow")):
        body, height = _draw(block, width, zone)
        pictures.append(
            tag(
                "svg",
                tag("title", f"Chart: {block.title}", id=f"{name}-{kind}-title"),
                tag("desc", describe(block), id=f"{name}-{kind}-desc"),
                body,
                class_=f"chart {kind}",
                viewBox=f"0 0 {width} {height}",
                role="img",
                aria_labelledby=f"{name}-{kind}-title",
                aria_describedby=f"{name}-{kind}-desc",
            )
        )
    count = len(block.series)
    legend = [Entry(_swatch(block, i), s.name, "") for i, s in enumerate(block.series)] if count > 1 else []
    return ChartPicture(pictures, legend)


def describe(block: ChartBlock) -> str:
    """What the chart shows, for who does not see it."""
    sentences = [block.finding]
    for series in block.series:
        values = [y for y in series.y if is_number(y)]
        if values:
            low, high = (write_amount(v, block.y.unit) for v in (min(values), max(values)))  # type: ignore[type-var]
            sentences.append(f"{series.name}: from {low} to {high}.")
    return " ".join(sentences)


def _draw(block: ChartBlock, width: int, zone: str) -> tuple[Markup, int]:
    every = [x for s in block.series for x in s.x]
    if not any(is_drawable(y) for s in block.series for y in s.y):
        return tag("text", "There are no values to draw.", x=width / 2, y=48, text_anchor="middle"), 90
    if block.mark != "bar" and block.x.kind != "category":
        places = [position(x, block.x) for x in every]
        if all(p is not None for p in places):
            return _plane(block, width, zone)
    names = list(dict.fromkeys(str(x) for x in every))
    marks = [list(marks_of(s, {n: float(i) for i, n in enumerate(names)})) for s in block.series]
    shown = short_instants(names, zone) if block.x.kind == "instant" else names
    room = (width - 90) / max(1, len(names))
    if block.mark == "dot" or (
        block.mark == "bar" and (max(map(len, shown)) * LETTER > room - 4 or room < 12 * len(block.series))
    ):
        return _rows(block, width, shown, marks)
    return _columns(block, width, shown, marks)


class _Upright:
    """A plot with the values upwards: grid, value axis and title are drawn; x is left to the caller."""

    def __init__(self, block: ChartBlock, width: int, marks: list[list[Mark | None]], right: float) -> None:
        low, high = reach(marks, zero=block.y.zero or block.mark == "bar")
        self.ticks = number_ticks(low, high, 5)
        texts = write_ticks(self.ticks)
        self.left = max(map(len, texts)) * LETTER + 14
        self.right, self.top, self.bottom = width - right, 34.0, (300.0 if width == WIDE else 250.0)
        self.height = int(self.bottom) + 46
        self.parts = [
            tag("text", shorten(axis_title(block.y), int(width / LETTER)), x=0, y=14, class_="axis-title")
        ]
        for tick, text in zip(self.ticks, texts, strict=True):
            at = self.y(tick)
            self.parts.append(
                tag("line", x1=self.left, x2=self.right, y1=at, y2=at, class_="zero" if tick == 0 else "grid")
            )
            self.parts.append(tag("text", text, x=self.left - 8, y=at + 4, text_anchor="end"))

    def y(self, value: float) -> float:
        low, high = self.ticks[0], self.ticks[-1]
        return self.bottom - (value - low) / (high - low) * (self.bottom - self.top)

    def name_x(self, title: str) -> None:
        middle = (self.left + self.right) / 2
        self.parts.append(
            tag("text", title, x=middle, y=self.bottom + 40, text_anchor="middle", class_="axis-title")
        )


def _plane(block: ChartBlock, width: int, zone: str) -> tuple[Markup, int]:
    """Lines or dots over numbers or time."""
    marks = [marks_of(s, None, block.x) for s in block.series]
    ends = block.mark == "line" and 1 < len(marks) <= 5 and width == WIDE
    right = 12.0 + (max(len(shorten(s.name, NAME)) for s in block.series) * 7.8 + 8 if ends else 8)
    plot = _Upright(block, width, marks, right)
    places = [m.x for s in marks for m in s if m]
    first, last = min(places), max(places)
    if first == last:
        first, last = first - 0.5, last + 0.5
    count = 8 if width == WIDE else 4
    if block.x.kind == "instant":
        ticks = time_ticks(first, last, count, zone)
    else:
        numbers = number_ticks(first, last, count)
        first, last = numbers[0], numbers[-1]
        ticks = list(zip(numbers, write_ticks(numbers), strict=True))

    def across(x: float) -> float:
        return plot.left + (x - first) / (last - first) * (plot.right - plot.left)

    for tick, text in ticks:
        at = across(tick)
        plot.parts.append(tag("line", x1=at, x2=at, y1=plot.bottom, y2=plot.bottom + 5, class_="tick"))
        plot.parts.append(tag("text", text, x=at, y=plot.bottom + 20, text_anchor="middle"))
    title = axis_title(block.x) + (f", {zone} time" if block.x.kind == "instant" else "")
    plot.name_x(title)
    finals: list[tuple[float, str, str]] = []
    for index, series in enumerate(marks):
        colour = colour_of(index, len(marks))
        points = [(across(m.x), plot.y(m.y), m) if m else None for m in series]
        if block.mark == "line":
            plot.parts.extend(_line(points, plot, index, colour))
        else:
            plot.parts.extend(_dots(points, plot, index, colour))
        if tail := [p for p in points if p]:
            finals.append((tail[-1][1], block.series[index].name, colour))
    if ends:
        plot.parts.extend(_end_labels(finals, plot))
    return join(plot.parts), plot.height


Point = tuple[float, float, Mark]


def _line(points: list[Point | None], plot: _Upright, index: int, colour: str) -> list[Markup]:
    parts: list[Markup] = []
    runs: list[list[Point]] = [[]]
    for point in points:
        if point:
            runs[-1].append(point)
        elif runs[-1]:
            runs.append([])
    for run in filter(None, runs):
        band = [
            (x, plot.y(m.low), plot.y(m.high)) for x, _, m in run if m.low is not None and m.high is not None
        ]
        if len(band) > 1:
            there = "L".join(f"{short(x, 1)} {short(high, 1)}" for x, _, high in band)
            back = "L".join(f"{short(x, 1)} {short(low, 1)}" for x, low, _ in reversed(band))
            parts.append(tag("path", d=f"M{there}L{back}z", fill=colour, class_="band"))
        data = "M" + "L".join(f"{short(x, 1)} {short(y, 1)}" for x, y, _ in run)
        parts.append(
            tag("path", d=data, stroke=colour, stroke_dasharray=DASHES[index % len(DASHES)], class_="line")
        )
    filled = [p for p in points if p]
    if len(filled) <= 40:
        parts.extend(symbol(index, 3.2, x, y, colour) for x, y, _ in filled)
    return parts


def _dots(points: list[Point | None], plot: _Upright, index: int, colour: str) -> list[Markup]:
    parts = []
    for x, y, mark in filter(None, points):
        parts.append(
            spread(x, plot.y(mark.low), x, plot.y(mark.high))
            if mark.low is not None and mark.high is not None
            else Markup("")
        )
        parts.append(symbol(index, 4.5, x, y, colour))
    return parts


def _end_labels(finals: list[tuple[float, str, str]], plot: _Upright) -> list[Markup]:
    """Names at the ends of lines, pushed apart where lines end close together."""
    order = sorted(finals)
    heights = [y for y, _, _ in order]
    for i in range(1, len(heights)):
        heights[i] = max(heights[i], heights[i - 1] + 15)
    lowest = plot.bottom
    for i in reversed(range(len(heights))):
        heights[i] = min(heights[i], lowest)
        lowest = heights[i] - 15
    return [
        tag("text", shorten(name, NAME), x=plot.right + 8, y=height + 4, fill=colour, class_="end")
        for height, (_, name, colour) in zip(heights, order, strict=True)
    ]


def _columns(
    block: ChartBlock, width: int, names: list[str], marks: list[list[Mark | None]]
) -> tuple[Markup, int]:
    """Categories side by side, values upwards."""
    plot = _Upright(block, width, marks, 8)
    room = (plot.right - plot.left) / len(names)
    every = max(1, -(-int(max(map(len, names)) * LETTER + 8) // max(1, int(room))))
    for i, name in enumerate(names):
        if i % every == 0:
            plot.parts.append(
                tag("text", name, x=plot.left + (i + 0.5) * room, y=plot.bottom + 20, text_anchor="middle")
            )
    plot.name_x(axis_title(block.x))
    count = len(marks)
    thick = min(46.0, room * 0.78 / count)
    for index, series in enumerate(marks):
        colour = colour_of(index, count)
        if block.mark == "line":
            plot.parts.extend(
                _line(
                    [(plot.left + (m.x + 0.5) * room, plot.y(m.y), m) if m else None for m in series],
                    plot,
                    index,
                    colour,
                )
            )
            continue
        for mark in filter(None, series):
            centre = plot.left + (mark.x + 0.5) * room + (index - (count - 1) / 2) * thick
            if block.mark == "bar":
                top, foot = sorted((plot.y(mark.y), plot.y(0.0)))
                plot.parts.append(
                    tag(
                        "rect",
                        x=centre - thick * 0.46,
                        y=top,
                        width=thick * 0.92,
                        height=foot - top,
                        fill=colour,
                    )
                )
            if mark.low is not None and mark.high is not None:
                plot.parts.append(spread(centre, plot.y(mark.low), centre, plot.y(mark.high)))
            if block.mark == "dot":
                plot.parts.append(symbol(index, 5, centre, plot.y(mark.y), colour))
    return join(plot.parts), plot.height


def _rows(
    block: ChartBlock, width: int, names: list[str], marks: list[list[Mark | None]]
) -> tuple[Markup, int]:
    """Categories one below the other, values to the right, each with its figure."""
    count, wide = len(marks), width == WIDE
    bar = (18.0 if count == 1 else 13.0) if block.mark == "bar" else 15.0
    longest = max(map(len, names)) * LETTER + 12
    beside = wide or longest < width * 0.3
    left = min(longest, width * 0.34) if beside else 0.0
    room, title = count * bar + (14 if beside else 30), 30.0
    ticks = number_ticks(*reach(marks, zero=block.y.zero or block.mark == "bar"), 6 if wide else 3)
    texts = write_ticks(ticks)
    figures = max(len(write_number(m.y)) for s in marks for m in s if m) * LETTER + 12
    margin = max(figures if ticks[0] < 0 else 4.0, len(texts[0]) * LETTER / 2 - left)
    start, end = left + margin, width - max(figures, len(texts[-1]) * LETTER / 2)
    bottom = title + room * len(names)

    def across(value: float) -> float:
        return start + (value - ticks[0]) / (ticks[-1] - ticks[0]) * (end - start)

    parts = [tag("text", shorten(axis_title(block.y), int(width / LETTER)), x=0, y=14, class_="axis-title")]
    for tick, text in zip(ticks, texts, strict=True):
        at = across(tick)
        parts.append(tag("line", x1=at, x2=at, y1=title, y2=bottom, class_="zero" if tick == 0 else "grid"))
        parts.append(tag("text", text, x=at, y=bottom + 18, text_anchor="middle"))
    most = int((left if beside else width) / LETTER)
    for i, text in enumerate(names):
        top = title + i * room
        label = shorten(text, max(3, most))
        place = (left - 8, top + room / 2 + 4) if beside else (0.0, top + 16)
        parts.append(
            tag(
                "text", label, x=place[0], y=place[1], text_anchor="end" if beside else "start", class_="name"
            )
        )
    for index, series in enumerate(marks):
        colour = colour_of(index, count)
        for mark in filter(None, series):
            middle = title + mark.x * room + (7 if beside else 23) + (index + 0.5) * bar
            far = max(across(v) for v in (mark.y, mark.high) if v is not None)
            near = min(across(v) for v in (mark.y, mark.low) if v is not None)
            if block.mark == "bar":
                one, other = sorted((across(0.0), across(mark.y)))
                parts.append(
                    tag(
                        "rect",
                        x=one,
                        y=middle - bar * 0.44,
                        width=max(other - one, 0.5),
                        height=bar * 0.88,
                        fill=colour,
                    )
                )
            if mark.low is not None and mark.high is not None:
                parts.append(spread(across(mark.low), middle, across(mark.high), middle))
            if block.mark == "dot":
                parts.append(symbol(index, 5, across(mark.y), middle, colour))
            below = mark.y < 0
            parts.append(
                tag(
                    "text",
                    write_number(mark.y),
                    x=near - 6 if below else far + 6,
                    y=middle + 4,
                    text_anchor="end" if below else "start",
                    class_="figure",
                )
            )
    return join(parts), int(bottom) + 30


def _swatch(block: ChartBlock, index: int) -> Markup:
    colour = colour_of(index, len(block.series))
    if block.mark == "bar":
        mark = tag("rect", x=4, y=3, width=26, height=12, fill=colour)
    else:
        line = tag(
            "path", d="M1 9h32", stroke=colour, stroke_dasharray=DASHES[index % len(DASHES)], class_="line"
        )
        mark = (line if block.mark == "line" else Markup("")) + symbol(index, 4, 17, 9, colour)
    return tag("svg", mark, class_="swatch", viewBox="0 0 34 18", aria_hidden="true", focusable="false")
