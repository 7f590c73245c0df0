"""The report and what is derived from it, each read by a reader that is not ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyshacl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from junitparser import JUnitXml
from ldt_conformance.outcome import Evidence, Outcome, Result, Verdict, verdict_of
from ldt_conformance.report import Report, read_report, write_report
from ldt_conformance.report.earl import as_earl
from ldt_conformance.report.junit import as_junit
from ldt_conformance.report.page import as_page
from ldt_conformance.report.tar import as_tar
from lxml import etree
from rdflib import Graph, Namespace
from reports import make_report

HOSTILE = "<script>alert('x')</script> \u202eright to left\x00\x0b 😀 & ]]>"


def mixed() -> Report:
    """One result of each outcome, with hostile words."""
    ids = ["LDT-MOD-DET-01", "LDT-MOD-DET-01", "LDT-MOD-DET-01", "LDT-MOD-DET-01", "LDT-MOD-DET-01"]
    results = [
        Result(
            requirement=id,
            component=f"c{number}",
            outcome=outcome,
            observations=3,
            reason="" if outcome is Outcome.PASSED else HOSTILE,
            blocked_by="LDT-MOD-DET-01" if outcome is Outcome.UNTESTED else None,
            evidence=Evidence(what=HOSTILE, given={"a": [1, HOSTILE]}, expected=1.0, got=HOSTILE)
            if outcome is Outcome.FAILED
            else None,
        )
        for number, (id, outcome) in enumerate(zip(ids, Outcome, strict=True))
    ]
    return make_report(results=tuple(results), owed=tuple((r.requirement, r.component) for r in results))


# -- the verdict ---------------------------------------------------------------------------------

OWED = [("LDT-MOD-DET-01", "a"), ("LDT-MOD-DET-01", "b")]


def found(*outcomes: Outcome, observations: int = 1) -> list[Result]:
    return [
        Result(requirement=id, component=name, outcome=outcome, observations=observations)
        for (id, name), outcome in zip(OWED, outcomes, strict=False)
    ]


@given(st.lists(st.sampled_from(Outcome), min_size=2, max_size=2))
def test_green_is_only_what_was_tried_and_holds(outcomes: list[Outcome]) -> None:
    verdict = verdict_of(found(*outcomes), OWED)
    good = set(outcomes) <= {Outcome.PASSED, Outcome.INAPPLICABLE} and Outcome.PASSED in outcomes
    assert (verdict is Verdict.CERTIFIED) == good
    assert (verdict is Verdict.FAILED) == (Outcome.FAILED in outcomes)


@pytest.mark.parametrize(
    "results",
    [
        [],
        found(Outcome.PASSED),
        found(Outcome.PASSED, Outcome.PASSED, observations=0),
        [
            *found(Outcome.PASSED, Outcome.PASSED),
            Result(requirement="X", outcome=Outcome.PASSED, observations=1),
        ],
    ],
    ids=["nothing ran", "one was left out", "nothing was observed", "one that nobody owes"],
)
def test_a_run_that_left_something_out_is_never_green(results: list[Result]) -> None:
    assert verdict_of(results, OWED) is Verdict.INCOMPLETE


def test_a_requirement_judged_twice_is_no_run() -> None:
    with pytest.raises(ValueError, match="twice"):
        verdict_of(found(Outcome.PASSED) * 2, OWED)


def test_nothing_owed_is_nothing_proved() -> None:
    assert verdict_of([], []) is Verdict.INCOMPLETE


# -- the document --------------------------------------------------------------------------------


def test_a_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    report = mixed()
    write_report(report, tmp_path)
    assert read_report(tmp_path / "report.json") == report


def test_a_report_that_was_edited_is_no_report(tmp_path: Path) -> None:
    path = write_report(mixed(), tmp_path)["report.json"]
    path.write_text(path.read_text(encoding="utf-8").replace('"failed"', '"passed"'), encoding="utf-8")
    with pytest.raises(ValueError, match=r"its results come to|no report"):
        read_report(path)


def test_equal_runs_have_equal_digests_whatever_they_took() -> None:
    slower = make_report(started="2027-01-01T00:00:00Z", seconds=99.0)
    assert slower.sha256 == make_report().sha256
    assert make_report(level=2).sha256 != make_report().sha256


OTHERS = pytest.mark.filterwarnings("ignore::DeprecationWarning:rdflib", "ignore::DeprecationWarning:pyshacl")
TAR = etree.XMLSchema(etree.parse(str(Path(__file__).parent / "schemas/gitb/gitb_tr.xsd")))
# -- what is derived -----------------------------------------------------------------------------


def test_junit_is_read_by_a_junit_reader(tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    path.write_text(as_junit(mixed()), encoding="utf-8")
    suites = list(JUnitXml.fromfile(str(path)))
    assert [(s.tests, s.failures, s.errors, s.skipped) for s in suites] == [
        (1, 0, 0, 0),
        (1, 1, 0, 0),
        (1, 0, 1, 0),
        (1, 0, 0, 1),
        (1, 0, 0, 1),
    ]
    assert {case.name for s in suites for case in s} == {"LDT-MOD-DET-01"}


SHAPE = """
@prefix sh: <http://www.w3.org/ns/shacl#> . @prefix earl: <http://www.w3.org/ns/earl#> .
[] a sh:NodeShape ; sh:targetClass earl:Assertion ;
  sh:property [ sh:path earl:assertedBy ; sh:minCount 1 ; sh:maxCount 1 ] ;
  sh:property [ sh:path earl:subject ; sh:minCount 1 ; sh:maxCount 1 ] ;
  sh:property [ sh:path earl:test ; sh:minCount 1 ; sh:maxCount 1 ] ;
  sh:property [ sh:path earl:mode ; sh:in ( earl:automatic ) ; sh:minCount 1 ] ;
  sh:property [ sh:path ( earl:result earl:outcome ) ; sh:minCount 1 ; sh:maxCount 1 ;
    sh:in ( earl:passed earl:failed earl:cantTell earl:inapplicable earl:untested ) ] .
"""


def _earl(plain: dict[str, Any]) -> Graph:
    return Graph().parse(data=json.dumps(plain), format="json-ld")


@OTHERS
def test_earl_says_our_outcomes_in_its_words() -> None:
    graph = _earl(as_earl(mixed()))
    earl = Namespace("http://www.w3.org/ns/earl#")
    said = sorted(str(o).removeprefix(str(earl)) for o in graph.objects(None, earl.outcome))
    assert said == sorted(o.value for o in Outcome)
    shape = Graph().parse(data=SHAPE, format="turtle")
    assert pyshacl.validate(graph, shacl_graph=shape)[0]


@OTHERS
def test_the_shape_refuses_another_word() -> None:
    plain = as_earl(mixed())
    plain["@graph"][2]["result"]["outcome"] = "earl:skipped"
    assert not pyshacl.validate(_earl(plain), shacl_graph=Graph().parse(data=SHAPE, format="turtle"))[0]


@pytest.mark.parametrize(
    ("report", "word"),
    [(make_report(), "SUCCESS"), (mixed(), "FAILURE"), (make_report(selection="quick"), "UNDEFINED")],
    ids=["certified", "failed", "incomplete"],
)
def test_the_test_bed_is_told_the_verdict(report: Report, word: str) -> None:
    root = etree.fromstring(as_tar(report).encode())
    TAR.assertValid(root)
    name = "{http://www.gitb.com/tr/v1/}"
    assert root.findtext(f"{name}result") == word
    ids = [e.text for e in root.iter(f"{name}assertionID")]
    assert ids == [r.requirement for r in report.results]


# -- the page ------------------------------------------------------------------------------------


def test_the_page_shows_hostile_words_as_words() -> None:
    page = as_page(mixed())
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_the_page_needs_no_script_and_no_other_host() -> None:
    page = as_page(mixed())
    assert "default-src 'none'" in page
    for word in ("http://", "https://", "<link", "<img", "@import", "url("):
        assert word not in page.replace(HOSTILE, ""), word


def test_the_page_says_how_to_see_a_failure_again() -> None:
    assert "ldt certify ldt_model_zoo-1.0-py3-none-any.whl --level 1 --only LDT-MOD-DET-01" in as_page(
        mixed()
    )
