"""Charts: the marks stand where the figures say."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ldt_web.chartmarks import BASE
from ldt_web.charts import draw_chart
from ldt_web.figures import lay_out
from ldt_web.words import apart_digits, write_number

from ldt_core import scene as sc

RECT = re.compile(r'<rect x="([\d.-]+)" y="([\d.-]+)" width="([\d.]+)" height="([\d.]+)" fill="([^"]+)"')


def draw(block):
    return draw_chart(block, name="c", zone="Europe/Rome")


def make_bars(values, names=None, **more):
    names = names or [f"C{i}" for i in range(len(values))]
    plain = {
        'id': "c", 'title': "Emissions", 'finding': "Cars emit most.", 'mark': "bar", 'x': sc.Axis(title="Class", kind="category"),
        'alternative': sc.Figures(caption="c", columns=[], rows=[]), 'y': sc.Axis(title="CO₂", unit="kg"),
        'series': [sc.Series(name="Today", x=names, y=values)],
    }  # fmt: skip
    return sc.ChartBlock(**(plain | more))


def test_bars_are_as_long_as_their_values():
    wide = str(draw(make_bars([100.0, 50.0, -25.0])).pictures[0])
    heights = [float(m[3]) for m in RECT.findall(wide)]
    assert heights == pytest.approx([heights[0], heights[0] / 2, heights[0] / 4], rel=1e-2)
    tops = [float(m[1]) for m in RECT.findall(wide)]
    assert tops[2] == pytest.approx(tops[0] + heights[0], abs=0.1)  # the negative bar hangs from zero


def test_bars_with_long_names_lie_down_and_carry_their_figures():
    names = [
        "A street with a very long name indeed, the longest of the whole town",
        "Another street of some length",
        "Short",
    ]
    for picture in draw(make_bars([1234.0, 617.0, -308.5], names)).pictures:
        widths = [float(m[2]) for m in RECT.findall(str(picture))]
        assert widths == pytest.approx([widths[0], widths[0] / 2, widths[0] / 4], rel=2e-2)
        assert ">1234<" in str(picture)
        assert ">−308<" in str(picture)


@given(
    st.lists(st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True)), min_size=1, max_size=12)
)
@settings(max_examples=60)
def test_any_values_can_be_drawn(values):
    for mark in ("bar", "line", "dot"):
        for picture in draw(make_bars(values, mark=mark)).pictures:
            assert "nan" not in str(picture).lower().replace("inan", "")
            assert 'inf"' not in str(picture)


def test_a_line_breaks_where_a_value_is_missing(made):
    wide = str(draw(made.chart()).pictures[0])
    lines = re.findall(r'<path d="([^"]*)" stroke="([^"]*)"[^>]*class="line"', wide)
    base = [d for d, colour in lines if colour == BASE]
    assert [d.count("L") + 1 for d in base] == [2, 3]
    assert wide.count('class="band"') == 2


def test_series_differ_by_more_than_colour(made):
    chart = draw(made.chart())
    assert len({re.sub(r'(stroke|fill)="[^"]*"', "", str(e.swatch)) for e in chart.legend}) == 2


def test_times_on_the_axis_are_local(made):
    wide = str(draw(made.chart()).pictures[0])
    assert "Europe/Rome time" in wide
    assert ">07:00<" in wide  # 06:00 UTC in March


def test_a_chart_without_values_says_so(made):
    empty = made.chart(series=[sc.Series(name="Today", x=[], y=[])])
    assert all("no values to draw" in str(p) for p in draw(empty).pictures)


def test_a_zero_axis_shows_zero_and_another_need_not():
    for zero, shown in ((True, True), (False, False)):
        block = make_bars([200.0, 210.0], mark="dot", y=sc.Axis(title="Duration", unit="s", zero=zero))
        assert (">0<" in str(draw(block).pictures[0])) is shown


def test_spread_is_drawn_between_low_and_high():
    series = [sc.Series(name="Today", x=["a", "b"], y=[10.0, 20.0], low=[8.0, None], high=[12.0, 24.0])]
    wide = str(draw(make_bars([], series=series, mark="dot")).pictures[0])
    assert wide.count('class="spread"') == 1


def test_tables_hold_the_figures_exactly(made):
    table = lay_out(made.figures(values=(812.4, None, -15.0)), "UTC")
    assert [row[1].text for row in table.rows] == ["812", "–", "−15"]
    assert [row[1].exact for row in table.rows] == ["812.4", None, "-15.0"]
    assert table.rows[0][0].header
    assert (table.heads[1].unit, table.more) == ("vehicles/h", 7)


def test_rows_of_different_units_have_their_own_decimals():
    heads = [
        sc.Head(id="kpi", title="Result", kind="text"), sc.Head(id="unit", title="Unit", kind="text"),
        sc.Head(id="before", title="Before"), sc.Head(id="after", title="After"), sc.Head(id="change", title="Change"),
        sc.Head(id="percent", title="Percent", unit="%"),
    ]  # fmt: skip
    rows = [["Noise", "dB", 61.2, 61.4, 0.2, 0.33], ["Traffic", "{veh}/h", 61000.0, 30500.0, -30500.0, -50.0]]
    shown = lay_out(sc.Figures(caption="c", columns=heads, rows=rows), "UTC").rows
    assert [c.text for c in shown[0][2:5]] == ["61.2", "61.4", "0.2"]
    assert [c.text for c in shown[1][2:5]] == ["61\u202f000", "30\u202f500", "−30\u202f500"]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=6), st.floats(-1e6, 1e6))
def test_different_figures_look_different(values, change):
    values, change = [round(v, 3) for v in values], round(change, 3)
    digits = apart_digits(values, [change])
    assert len({write_number(v, digits) for v in values}) == len(set(values))
    assert (float(write_number(abs(change), digits).replace("\u202f", "")) == 0) is (change == 0)


def test_names_at_the_ends_of_lines_stay_in_the_plot():
    series = [sc.Series(name=f"Run {i}", x=["1", "2"], y=[5.0 + i, 0.0]) for i in range(4)]
    block = make_bars([], series=series, mark="line", x=sc.Axis(title="Hour"))
    wide = draw(
        block.model_copy(update={"series": [s.model_copy(update={"x": [1, 2]}) for s in series]})
    ).pictures[0]
    places = sorted(float(y) for y in re.findall(r'<text x="[\d.]+" y="([\d.]+)"[^>]*class="end"', str(wide)))
    assert len(places) == 4
    assert all(b - a >= 14.9 for a, b in itertools.pairwise(places))
    assert places[-1] <= 304


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=9))
def test_the_exact_value_stands_beside_every_number(values):
    figures = sc.Figures(caption="c", columns=[sc.Head(id="v", title="V")], rows=[[v] for v in values])
    assert [float(r[0].exact) for r in lay_out(figures, "UTC").rows] == values


def test_cells_of_every_kind_are_words():
    heads = [
        sc.Head(id="unit", title="Unit", kind="text"), sc.Head(id="t", title="Time", kind="instant"),
        sc.Head(id="met", title="Met", kind="boolean"), sc.Head(id="v", title="V", digits=2),
    ]  # fmt: skip
    rows = [["ug/m3", "2026-03-02T06:00:00Z", True, 1], [None, "soon", False, float("nan")], ["x"]]
    table = lay_out(sc.Figures(caption="c", columns=heads, rows=rows), "Europe/Rome")
    assert [[c.text for c in row] for row in table.rows] == [
        ["µg/m³", "Mon 2 Mar 2026, 07:00", "yes", "1.00"],
        ["–", "soon", "no", "–"],
        ["x", "–", "–", "–"],
    ]
    assert table.zone == "Europe/Rome"
