"""The page: one file, whole without a script, that says what it was given."""

from __future__ import annotations

import base64
import hashlib
import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ldt_web import colours, render_page
from ldt_web.kpis import make_card, sum_up

import ldt_core as ldt
from ldt_core import scene as sc


@pytest.fixture(scope="module")
def page(made):
    return render_page(
        [made.bundle()],
        made.record(flags={"base": [ldt.Flag("teleports", 3, "1", "Vehicles were moved on")]}),
    )


@pytest.fixture(scope="module")
def document(made, page):
    return made.read_html(page)


def test_the_question_is_the_heading(document):
    assert [e.text for e in document.all("h1")] == ["Does closing Station street calm the centre?"]
    assert document.all("html")[0].attrs["lang"] == "en"
    assert "calm the centre" in document.all("title")[0].text


def test_headings_skip_no_level(document):
    levels = [int(e.tag[1]) for e in document.elements if re.fullmatch(r"h[1-6]", e.tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))


def test_landmarks_and_skip_link(document):
    for tag in ("header", "nav", "main", "footer"):
        assert len(document.all(tag)) == 1
    assert document.all("a")[0].attrs == {"class": "skip", "href": "#main"}
    assert document.all("main")[0].attrs["id"] == "main"


def test_ids_are_unique_and_every_reference_hits(document):
    ids = [e.attrs["id"] for e in document.elements if "id" in e.attrs]
    assert len(ids) == len(set(ids))
    for element in document.elements:
        for name in ("aria-labelledby", "aria-describedby"):
            assert set(element.attrs.get(name, "").split()) <= set(ids)
        if element.attrs.get("href", "").startswith("#"):
            assert element.attrs["href"][1:] in ids


def test_every_picture_has_a_name_a_description_and_a_caption(document):
    pictures = [e for e in document.all("svg") if e.attrs.get("role") == "img"]
    assert len(pictures) == 3 + 2  # three maps, one chart in two widths
    for svg in pictures:
        assert "figure" in svg.path
        assert svg.attrs["aria-labelledby"]
        assert svg.attrs["aria-describedby"]
    assert all(
        e.attrs.get("aria-hidden") == "true"
        for e in document.all("svg")
        if e not in pictures and "svg" not in e.path
    )
    assert len(document.all("figcaption")) == len(document.all("figure")) == 4
    assert all("North is up" in e.text for e in document.all("desc") if "Drawn below" in e.text)


def test_tables_have_captions_and_scoped_heads(document):
    assert len(document.all("caption")) == len(document.all("table"))
    assert all(e.attrs.get("scope") in ("col", "row") for e in document.all("th"))


def test_nothing_comes_from_elsewhere(page, document):
    assert not re.search(r"url\(|@import|https?://", page)
    for element in document.elements:
        assert not {"src", "srcset", "data", "poster", "background", "action"} & set(element.attrs)
        if "href" in element.attrs:
            assert element.attrs["href"].startswith("#")
        assert not any(name.startswith("on") or name == "style" for name in element.attrs)
    assert {e.tag for e in document.elements}.isdisjoint(
        {"link", "iframe", "object", "embed", "form", "base"}
    )


def test_the_policy_allows_what_stands_in_the_file_and_nothing_else(page, document):
    policy = next(e for e in document.all("meta") if "http-equiv" in e.attrs).attrs["content"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert "unsafe" not in policy
    for tag, rule in (("style", "style-src"), ("script", "script-src")):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.S)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"


def test_kpis_are_told_in_words(document):
    cards = document.all("article", class_="card")
    text = cards[0].words
    for words in ("Target: at most 220\u202fs", "206\u202fs", "target met", "243\u202fs", "+37\u202fs (+18\u202f%)", "worse",
                  "distinguishable", "95\u202f% interval +30 to +44\u202fs", "target missed", "236 to 251 in 4 replicates"):  # fmt: skip
        assert words in text
    assert "µg/m³" in cards[1].text
    assert "not distinguishable" in cards[1].text
    summary = document.all("article", class_="scenario")[1].words
    assert "Mean trip duration ▲ +37\u202fs (+18\u202f%) worse, distinguishable, target missed" in summary


def test_scenarios_stand_side_by_side(document):
    (table,) = document.all("table", class_="compare")
    assert re.findall(r"Today|Station street closed", table.text)[:2] == ["Today", "Station street closed"]
    assert "31.5\u202fµg/m³" in table.text


def test_a_change_of_a_percentage_is_in_points():
    value = sc.KpiValue(
        run="b", value=45.0, change=5.0, percent=12.5, low=4.0, high=6.0, verdict="distinguishable"
    )
    kpi = sc.Kpi(id="s", title="Share", unit="%", values=[value])
    result = make_card(kpi, {"b": "B"}).results[0]
    assert result.change == "+5 percentage points"
    assert result.interval.endswith("+4 to +6 percentage points")
    assert (result.arrow, result.tone, result.judgement) == ("▲", "even", "")


def test_what_is_distinguishable_comes_first(made):
    trip, air = made.kpis()
    assert [line.kpi for line in sum_up([air, trip], "closed")] == ["Mean trip duration", "Exposure to NO₂"]


def test_findings_come_before_pictures_and_changes_first(page, document):
    first, rest = document.all("ul", class_="findings")
    assert first.words.startswith("What changes: ")
    assert "Station street carries most cars." in rest.text
    assert page.index("What the pictures show") < page.index('role="img"')


def test_a_scene_that_only_repeats_the_title_is_named_by_what_it_holds(made):
    bundles = [made.bundle([b], title="Old town") for b in (made.kpi_block(), made.map(), made.chart())]
    document = made.read_html(render_page(bundles, made.record()))
    assert [e.words for e in document.all("h2")][1:4] == ["Results", "Maps", "Charts"]


def test_notices_that_string_others_together_are_said_once(made):
    blocks = [
        made.map(id=f"m{i}", synthetic=[text])
        for i, text in enumerate(["One.", "Two.", "Two. One.", "One more."])
    ]
    document = made.read_html(render_page([made.bundle(blocks)], made.record()))
    (notice,) = [e for e in document.all("div") if e.attrs.get("aria-label") == "Synthetic data"]
    assert notice.words.endswith("One.Two.One more.")


def test_synthetic_data_is_said_at_the_top_and_at_the_picture(document, made):
    notes = [e for e in document.all("div") if e.attrs.get("aria-label") == "Synthetic data"]
    assert made.SYNTHETIC in notes[0].text
    assert sum(made.SYNTHETIC in e.text for e in document.all("details", class_="made-up")) == 3 + 1


def test_provenance_is_complete(document, made):
    text = document.text
    for words in ("20260302T0500-abcdef12", "42", "5 minutes", "ldt-simulator-sumo 0.1.0", "Apache-2.0", made.CREDIT,
                  "Vehicles were moved on", "Mobility department", "Monday 2 March 2026, 07:00 to 09:00 (Europe/Rome)"):  # fmt: skip
        assert words in text


def test_quality_flags_say_how_often_and_where(made):
    flags = {
        "base": [
            ldt.Flag("a", 3, "1", "vehicles were moved on"),
            ldt.Flag("b", 5, "1", "5 roofs were guessed"),
        ],
        "closed": [
            ldt.Flag("a", 8, "1", "vehicles were moved on"),
            ldt.Flag("b", 5, "1", "5 roofs were guessed"),
        ],
    }
    (told,) = made.read_html(render_page([], made.record(flags=flags))).all("ul", class_="flags")
    assert told.words == (
        "vehicles were moved on (3 in Today, 8 in Station street closed) 5 roofs were guessed (every scenario)"
    )


def test_what_cannot_be_repeated_is_said(made):
    page = render_page(
        [made.bundle([])], made.record(not_reproducible=["weather: the service states no version"])
    )
    assert "Not reproducible." in page
    assert "weather: the service states no version" in page


def test_tables_hold_the_figures_of_their_block(document):
    table = next(t for t in document.all("table") if t.text.strip().startswith("KPIs"))
    assert "812" in table.text
    assert "7 more rows not listed here." in document.text


def test_maps_of_states_stand_together_and_the_change_is_wide(document):
    blocks = document.all("article", class_="map")
    assert ["half" in e.attrs["class"] for e in blocks] == [True, True, False]
    (group,) = list(document.all("div", class_="maps"))
    assert "What changes" in group.text


def test_the_same_input_gives_the_same_bytes(made):
    assert render_page([made.bundle()], made.record()) == render_page([made.bundle()], made.record())


def test_no_order_of_hashing_shows():
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import conftest, hashlib; from ldt_web import render_page; m = conftest.MADE; "
        "print(hashlib.sha256(render_page([m.bundle()], m.record()).encode()).hexdigest())"
    )
    digests = set()
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        done = subprocess.run(
            [sys.executable, "-c", script, str(Path(__file__).parent)],
            env=env,
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(done.stdout)
    assert len(digests) == 1


def test_a_city_centre_stays_small(made):
    tables = {"streets": made.streets(825), "houses": made.buildings(500)}
    page = render_page([made.bundle(tables=tables)], made.record())
    assert len(page.encode()) < 1_500_000


def test_twenty_thousand_buildings_stay_under_six_megabytes(made):
    layer = made.layer(
        data="houses", geometry="polygon", field="level", unit="dB", label=None, scale=made.DIVERGING
    )
    blocks = [made.map(id=f"m{i}", layers=[layer]) for i in range(3)]
    page = render_page([made.bundle(blocks, tables={"houses": made.buildings(20_000)})], made.record())
    assert len(page.encode()) < 6_000_000


def test_a_page_of_one_run_or_of_nothing_reads_well(made):
    one = made.record(scenarios=made.RUNS[:1], replicates=1, goal="", owner="")
    page = render_page([], one)
    document = made.read_html(page)
    assert document.all("h1")[0].text == "Old town"
    assert "1 scenario, 1 replicate each" in document.text
    assert "computed once" in document.text


def test_images_and_custom_blocks_are_shown_inline(made):
    picture = b"\x89PNG\r\n\x1a\nnot a real picture"
    refs = [sc.DataRef(id="p", media="image/png", sha256="0" * 64, rows=0)]
    plain = {"title": "Photo", "finding": "A street.", "alternative": made.figures()}
    blocks = [
        sc.ImageBlock(id="i", data="p", alt="A street with trees", **plain),
        sc.CustomBlock(id="c", module="x.mjs", fallback="p", **plain),
        sc.CustomBlock(id="d", module="x.mjs", fallback="Seen from above, all is green.", **plain),
    ]
    document = made.read_html(
        render_page([made.bundle(blocks, refs=refs, images={"p": picture})], made.record())
    )
    sources = [e.attrs["src"] for e in document.all("img")]
    assert sources == ["data:image/png;base64," + base64.b64encode(picture).decode()] * 2
    assert document.all("img")[0].attrs["alt"] == "A street with trees"
    assert "Seen from above" in document.text
    assert "x.mjs" not in document.text


def test_a_picture_that_is_none_is_refused(made):
    refs = [sc.DataRef(id="p", media="text/html", sha256="0" * 64, rows=0)]
    block = sc.ImageBlock(id="i", data="p", alt="x", title="t", finding="f", alternative=made.figures())
    with pytest.raises(ldt.InputError, match="not a picture"):
        render_page([made.bundle([block], refs=refs)], made.record())


def test_tables_may_come_from_a_function(made):
    bundle = made.bundle([made.map()])
    tables = dict(bundle.tables)
    asked = type(bundle)(bundle.scene, tables.__getitem__)
    assert render_page([asked], made.record()) == render_page([bundle], made.record())


def test_a_table_that_is_not_given_is_named(made):
    bundle = made.bundle([made.map()])
    with pytest.raises(ldt.NotFound, match="streets"):
        render_page([type(bundle)(bundle.scene, {"houses": made.buildings()})], made.record())


def test_text_stands_out_from_its_ground(page):
    style = re.search(r"<style>(.*?)</style>", page, re.S).group(1)
    inks = dict(re.findall(r"--(ink|soft|deep|good|bad):(#[0-9a-f]{6})", style))
    assert len(inks) == 5
    for name, colour in inks.items():
        for ground in ("#ffffff", "#f4f6f8", "#fff5dc", "#eaf1f5"):
            assert colours.contrast(colour, ground) >= 4.5, (name, ground)


def test_the_page_is_pure_of_its_input(made):
    streets = made.streets()
    before = streets.digest
    render_page([made.bundle(tables={"streets": streets})], made.record())
    assert ldt.Table({n: np.array(v) for n, v in streets.columns.items()}).digest == before
