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
from ldt_web.kpis import group_of, make_result, make_row, write_answer, write_verdict

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


def test_every_scenario_stands_in_one_table(document):
    (table,) = document.all("table", class_="compare")
    heads = [e.words for e in document.all("th", scope="col")]
    assert heads[:6] == ["Result", "Today", "Station street closed", "Change", "95 % interval", "Verdict"]
    cells = [
        e.words
        for e in document.all("td")
        if "compare" not in e.attrs.get("class", "") and "data-l" in e.attrs
    ]
    assert cells[:10] == [
        "206\u202fs201 to 213✓ target met", "243\u202fs236 to 251✗ target missed", "+37\u202fs+18\u202f%", "+30 to +44",
        "▲ worsedistinguishable",
        "31.5\u202fµg/m³", "31.4\u202fµg/m³", "−0.1\u202fµg/m³−0.3\u202f%", "−0.4 to +0.2", "not distinguishable",
    ]  # fmt: skip
    assert "Target: at most 220\u202fs" in table.words
    assert "lowest to highest of 4 replicates" in document.text


def test_the_answer_states_the_trade_off_with_its_figures(document):
    (answer,) = document.all("article", class_="answer")
    for words in (
        "Station street closed compared with Today", "Closed to cars. Today: All streets open.",
        "Some results get worse, and none gets better beyond chance.",
        "1 result gets worse: Mean trip duration, up from 206 to 243\u202fs (+18\u202f%).",
        "1 change may be chance: Exposure to NO₂ (−0.1\u202fµg/m³).",
        "Target: Mean trip duration, at most 220\u202fs, is missed (it was met before).",
        "the 95\u202f% interval over 4 paired replicates leaves out zero.",
    ):  # fmt: skip
        assert words in answer.words


def test_no_figure_is_told_twice_but_in_its_table(page, document):
    shown = re.sub(r"<details.*?</details>", "", page, flags=re.S)
    assert shown.count("31.5\u202fµg/m³") == 1
    assert page.count("Trips become longer.") == 1
    assert document.text.count("Station street carries most cars.") == 3 * 2, (
        "finding and description of each map"
    )


def test_the_answer_comes_before_the_table_and_that_before_the_pictures(page):
    order = ['id="made-up"', 'class="answer"', 'class="compare', 'role="img"', 'id="quality"', 'id="made"']
    places = [page.index(mark) for mark in order]
    assert places == sorted(places)


def test_sections_with_changes_come_first(made):
    change = made.map(id="c", run="closed", compared_with="base", title="Louder here")
    bundles = [made.bundle([made.kpi_block(), made.chart()], title="A"), made.bundle([change], title="B")]
    document = made.read_html(render_page(bundles, made.record()))
    assert [e.words for e in document.all("h2")] == [
        "In short",
        "B",
        "A",
        "How sure this is",
        "How this was made",
    ]


def test_several_scenarios_have_a_row_each(made):
    (trip, air) = made.kpis()
    third = [v.model_copy(update={"run": "third"}) for v in trip.values[1:]]
    kpis = [trip.model_copy(update={"values": [*trip.values, *third]}), air]
    runs = [*made.RUNS, sc.RunRef(name="third", title="Third", replicates=4)]
    page = render_page([made.bundle([made.kpi_block(kpis=kpis)])], made.record(scenarios=runs))
    document = made.read_html(page)
    assert [e.words for e in document.all("th", scope="col")][:7] == [
        "Result", "Today", "Scenario", "Value", "Change", "95 % interval", "Verdict",
    ]  # fmt: skip
    assert [e.attrs.get("rowspan") for e in document.all("th", scope="row")][:2] == ["2", None]
    assert len(document.all("article", class_="answer")) == 2


def test_a_change_of_a_percentage_is_in_points():
    base = sc.KpiValue(run="a", value=40.0)
    value = sc.KpiValue(
        run="b", value=45.0, change=5.0, percent=12.5, low=4.0, high=6.0, verdict="distinguishable"
    )
    kpi = sc.Kpi(id="s", title="Share", unit="%", values=[base, value])
    result = make_result(kpi, value, "B")
    assert (result.change, result.beside, result.interval) == ("+5", "percentage points", "+4 to +6")
    assert (result.arrow, result.tone, result.judgement) == ("▲", "even", "")
    (moved, sure) = write_answer([kpi], {"a": "A", "b": "B"}, "b")
    assert (moved.lead, moved.text) == ("1 result changes:", "Share, up from 40 to 45\u202f%.")
    assert sure.text.startswith("A change is said only where")


def test_figures_that_differ_never_look_alike():
    base = sc.KpiValue(run="a", value=61.2)
    value = sc.KpiValue(run="b", value=61.4, change=0.2, low=0.1, high=0.3, better=True)
    row = make_row(sc.Kpi(id="s", title="S", unit="m", values=[base, value]), {"a": "A", "b": "B"})
    assert row.base.value == "61.2\u202fm"
    assert (row.others[0].value, row.others[0].change) == ("61.4\u202fm", "+0.2\u202fm")


@pytest.mark.parametrize(
    ("better", "ends", "change", "side", "group", "words"),
    [
        (True, (1, 2), 1.5, "higher", "better", "none gets worse beyond chance"),
        (False, (1, 2), 1.5, "lower", "worse", "none gets better beyond chance"),
        (None, (1, 2), 1.5, None, "different", "without one side being the better one"),
        (None, (-1, 2), 0.5, "lower", "noise", "No result changes beyond chance"),
        (None, (0, 0), 0.0, "lower", "same", "No result changes beyond chance"),
        (None, (None, None), 0.5, "lower", "unjudged", ""),
        (None, (None, None), None, "lower", "missing", ""),
    ],
)
def test_a_change_is_told_as_it_was_judged(better, ends, change, side, group, words):
    value = sc.KpiValue(run="b", value=2.0, change=change, low=ends[0], high=ends[1], better=better)
    kpi = sc.Kpi(id="k", title="K", unit="m", better=side, values=[sc.KpiValue(run="a", value=1.0), value])
    assert group_of(kpi, value) == group
    assert words in write_verdict([kpi], "b")
    told = " ".join(f"{s.lead} {s.text}" for s in write_answer([kpi], {"a": "A", "b": "B"}, "b"))
    assert ("better" in told.replace("Better and worse", "").lower()) is (group == "better")


def test_a_scene_that_only_repeats_the_title_is_named_by_what_it_holds(made):
    bundles = [made.bundle([b], title="Old town") for b in (made.kpi_block(), made.map(), made.chart())]
    document = made.read_html(render_page(bundles, made.record()))
    assert [e.words for e in document.all("h2")][1:4] == ["Maps", "Charts", "How sure this is"]


def test_notices_that_string_others_together_are_said_once(made):
    blocks = [
        made.map(id=f"m{i}", synthetic=[text])
        for i, text in enumerate(["One.", "Two.", "Two. One.", "One more."])
    ]
    document = made.read_html(render_page([made.bundle(blocks)], made.record()))
    (notice,) = [e for e in document.all("div") if e.attrs.get("aria-label") == "Synthetic data"]
    assert notice.words.endswith("One.Two.One more.")


def test_synthetic_data_is_said_once_in_full_and_marked_at_each_picture(page, document, made):
    (notice,) = [e for e in document.all("div") if e.attrs.get("aria-label") == "Synthetic data"]
    assert made.SYNTHETIC in notice.text
    assert page.count(made.SYNTHETIC) == 1
    marks = document.all("a", class_="tag")
    assert len(marks) == 3 + 1, "three maps and one of two results"
    assert {(e.text, e.attrs["href"]) for e in marks} == {("partly made-up data", "#made-up")}


def test_marks_name_the_notices_that_hold(made):
    blocks = [made.map(id="a", synthetic=["One.", "Three."]), made.map(id="b", synthetic=["Two."])]
    document = made.read_html(render_page([made.bundle(blocks)], made.record(limits="Do not build by this.")))
    assert [e.text for e in document.all("a", class_="tag")] == [
        "partly made-up data (1, 2)",
        "partly made-up data (3)",
    ]
    (notice,) = [e for e in document.all("div") if e.attrs.get("aria-label") == "Synthetic data"]
    assert "Do not build by this." in notice.text


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
    document = made.read_html(render_page([], made.record(flags=flags)))
    (table,) = document.all("table", class_="flags")
    rows = [e.words for e in document.all("tr") if "table" in e.path][1:3]
    assert rows == ["Vehicles were moved on a38", "5 roofs were guessed b55"]
    assert "Station street closed" in table.text


def test_quality_flags_of_nothing_are_only_counted(made):
    silent = ldt.Flag("stops_short", 0, "1", "stops without an address")
    loud = ldt.Flag("teleports", 2, "{veh}", "vehicles were stuck")
    document = made.read_html(
        render_page([], made.record(flags={"base": [silent], "closed": [silent, loud]}))
    )
    (table,) = document.all("table", class_="flags")
    assert "stops without" not in table.text
    assert [e.text for e in document.all("td") if "data-l" in e.attrs][:2] == ["–", "2 vehicles"]
    assert "1 other check found nothing." in document.text


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
    assert "Station street closed to cars" in group.text
    assert "What changes" not in group.text
    assert "wide" in blocks[2].attrs["class"].split()


def test_maps_of_other_subjects_are_not_mixed(made):
    noise = made.layer(title="Noise level")
    maps = [made.map(id=f"m{i}", layers=[made.layer() if i < 3 else noise]) for i in range(5)]
    document = made.read_html(render_page([made.bundle(maps)], made.record()))
    spans = [e.attrs["class"].split()[-1] for e in document.all("article", class_="half")]
    assert spans == ["of-three"] * 3 + ["of-two"] * 2


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
