"""Text from data is text: whatever it holds, the page keeps its shape."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ldt_web import Part, render_page
from ldt_web.bundle import clean

import ldt_core as ldt
from ldt_core import scene as sc

ATTACKS = [
    "</script><img src=x onerror=alert(1)>",
    "</style><svg onload=alert(1)>",
    "\"'><b onmouseover=alert(1)>",
    "]]><!-- -->",
    "{{ 7 * 7 }} {% raw %}",
    "javascript:alert(1)",
    "\u202eshoof\u202c \u2066x",
    "مرحبا بالعالم",
    "\x00\x1b[31m\x7f\ufffe",
    "=cmd|'/c calc'!A1",
    "w" * 3000,
    "",
    "   ",
    "&lt;b&gt; &amp; &#x3c;",
]
ANY = st.one_of(st.sampled_from(ATTACKS), st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
TAGS = {
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "a",
    "svg",
    "defs",
    "path",
    "header",
    "div",
    "p",
    "h1",
    "h2",
    "h3",
    "h4",
    "dl",
    "dt",
    "dd",
    "nav",
    "ul",
    "ol",
    "li",
    "main",
    "section",
    "article",
    "span",
    "table",
    "caption",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "small",
    "b",
    "figure",
    "desc",
    "g",
    "use",
    "text",
    "tspan",
    "line",
    "circle",
    "rect",
    "figcaption",
    "details",
    "summary",
    "code",
    "footer",
    "script",
    "strong",
}


def make_page(made, word):
    """A page with ``word`` in every place that takes text."""
    heads = [sc.Head(id="a", title=word, kind="text", unit=word), sc.Head(id="b", title=word, unit="m")]
    figures = sc.Figures(caption=word, columns=heads, rows=[[word, 1.0], [None, float("nan")]])
    plain = {
        "title": word,
        "finding": word or "-",
        "alternative": figures,
        "credits": [word],
        "synthetic": [word],
        "note": word,
    }
    streets = made.streets(4)
    table = streets.with_columns(
        name=np.array([word] * 4, object), kind=np.array([word, "b", "c", word], object)
    )
    layers = [
        made.CONTEXT,
        made.layer(title=word, unit=word),
        made.layer(
            id="k", field="kind", unit=None, scale=sc.Scale(kind="categorical", categories=[word, "b"])
        ),
    ]
    series = [sc.Series(name=word, x=[word, "b"], y=[1.0, None]), sc.Series(name="b", x=["b"], y=[2.0])]
    kpi = sc.Kpi(
        id=word,
        title=word,
        unit=word,
        synthetic=[word],
        values=[sc.KpiValue(run="base", value=1.0, verdict=word)],
    )
    blocks = [
        made.map(**plain, layers=layers, period=word),
        made.chart(
            **plain,
            mark="bar",
            x=sc.Axis(title=word, kind="category"),
            y=sc.Axis(title=word, unit=word),
            series=series,
        ),
        made.chart(**plain, x=sc.Axis(title=word, kind="instant"), series=series),
        made.kpi_block(**plain, kpis=[kpi]),
        sc.TableBlock(id="t", **plain),
        sc.TextBlock(id="x", text=word, **plain),
        sc.CustomBlock(id="y", module=word, fallback=word, **plain),
    ]
    record = made.record(
        title=word, goal=word, owner=word, run_id=word or "r", credits=[word], not_reproducible=[word],
        components=[Part(word, word, word, word, word, word)], flags={word: [ldt.Flag(word, 1.0, word, word)]},
        scenarios=[sc.RunRef(name="base", title=word, description=word)],
    )  # fmt: skip
    bundle = made.bundle(blocks, tables={"streets": table}, title=word)
    return render_page([bundle], record)


@pytest.mark.parametrize("word", ATTACKS)
def test_known_attacks_stay_text(made, word):
    check(made, make_page(made, word))


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(ANY)
def test_any_text_stays_text(made, word):
    check(made, make_page(made, word))


def check(made, page):
    page.encode()
    document = made.read_html(page)
    assert {e.tag for e in document.elements} <= TAGS
    assert len(document.all("script")) == len(document.all("style")) == 1
    for element in document.elements:
        assert not any(n.startswith("on") or n in ("style", "src", "srcdoc") for n in element.attrs)
        assert element.attrs.get("href", "#").startswith("#")
    assert not any("\u202a" <= c <= "\u202e" or "\u2066" <= c <= "\u2069" or c < "\t" for c in page)


def test_half_characters_from_data_do_not_break_the_encoding(made):
    streets = made.streets(4).with_columns(name=np.array(["a\ud800b"] * 4, object))
    page = render_page([made.bundle([made.map()], tables={"streets": streets})], made.record())
    check(made, page)
    assert "<title>a\ufffdb: " in page


def test_hostile_text_is_shown_as_it_is(made):
    document = made.read_html(make_page(made, ATTACKS[0]))
    assert document.all("h1")[0].text == ATTACKS[0]


@given(
    st.recursive(
        st.text(st.characters()),
        lambda c: st.lists(c, max_size=3) | st.dictionaries(st.text(), c, max_size=3),
    )
)
def test_cleaning_keeps_shape_and_is_done_once(value):
    once = clean(value)
    assert clean(once) == once
    assert type(once) is type(value)


def test_cleaning_keeps_what_is_sound(made):
    record = made.record()
    assert clean(record) == record
    assert dataclasses.asdict(clean(made.record(title="a\u202eb")))["title"] == "a\ufffdb"


def test_values_that_are_none_are_words(made):
    kpi = sc.Kpi(id="k", title="K", unit="m", target=float("nan"), values=[
        sc.KpiValue(run="base", value=None), sc.KpiValue(run="closed", value=float("inf"), change=float("nan"), low=1.0)])  # fmt: skip
    page = render_page([made.bundle([made.kpi_block(kpis=[kpi])])], made.record())
    document = made.read_html(page)
    (table,) = document.all("table", class_="compare")
    assert table.text.count("no value") == 2
    assert "nan" not in document.text.lower()


def test_a_map_of_nothing_is_still_a_page(made):
    empty = ldt.Table(
        {
            "edge": np.empty(0, object),
            "name": np.empty(0, object),
            "flow": [],
            "geometry": np.empty(0, object),
        }
    )
    page = render_page(
        [made.bundle([made.map(layers=[made.layer()])], tables={"streets": empty})], made.record()
    )
    check(made, page)


def test_a_single_place_fills_no_more_than_its_map(made):
    point = ldt.Table(
        {"edge": ["a"], "name": ["A"], "flow": [5.0], "geometry": [shapely.Point(600_500, 5_700_500)]}
    )
    here = (600_500.0, 5_700_500.0, 600_500.0, 5_700_500.0)
    block = made.map(layers=[made.layer(geometry="point")], bounds=here)
    page = render_page([made.bundle([block], tables={"streets": point})], made.record())
    check(made, page)
    assert "A: 5\u202fvehicles/h" in page or "A: 5 vehicles/h" in page
