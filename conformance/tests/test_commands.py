"""``ldt certify`` and ``ldt certificate`` as a vendor types them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from ldt_conformance import certification
from ldt_conformance.certification import choose, in_part
from ldt_conformance.commands import certificate, certify, exit_code
from ldt_conformance.outcome import Outcome, Result
from ldt_conformance.report import Subject, Waived
from ldt_conformance.requirements import released
from ldt_conformance.target import Target
from reports import make_report


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def ldt(capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """A command of the suite, in this process."""

    def run(command: str, *words: str) -> Done:
        try:
            code = {"certify": certify, "certificate": certificate}[command]([*words])
        except SystemExit as exc:
            code = int(exc.code or 0)
        return Done(code, *capsys.readouterr())

    return run


# -- what is chosen ------------------------------------------------------------------------------


def test_a_component_left_out_of_many_makes_it_a_part_and_the_report_says_so() -> None:
    parts: Any = {"one": object(), "two": object()}
    target = Target(Subject(name="ldt-two", kind="wheel"), parts)
    assert not in_part(target, choose(target, None))
    assert not in_part(target, choose(target, ["two", "one", "two"]))
    assert not target.notes
    assert in_part(target, choose(target, ["one", "one"]))
    assert target.notes == ["Of 2 components only one was judged."]


@pytest.mark.slow
def test_a_package_is_run_with_all_that_it_holds_even_where_one_component_is_judged() -> None:
    """The network source beside it cannot be made without its vendor's parameters."""
    report = certification.run("ev-charging", only=["LDT-PKG-NET-01"])
    found = {r.requirement: r for r in report.results if r.component is None}
    assert found["LDT-PKG-NET-01"].outcome is Outcome.PASSED, found["LDT-PKG-NET-01"].reason
    assert "Of 3 components only ev-charging was judged." in report.notes


# -- what a waiver does --------------------------------------------------------------------------

BROKEN = "LDT-MOD-DET-01"
WAIVER = Waived(requirement=BROKEN, reason="mended in the next release", expires="2027-01-01")


def judged(*outcomes: tuple[str, Outcome, str | None], waivers: tuple[Waived, ...] = (WAIVER,)) -> int:
    results = tuple(
        Result(requirement=i, component="c", outcome=o, observations=1, blocked_by=b) for i, o, b in outcomes
    )
    owed = tuple((r.requirement, r.component) for r in results)
    return exit_code(make_report(results=results, owed=owed, waivers=waivers), at_home=True)


def test_a_waived_failure_is_quiet_at_home_and_what_it_blocks_too() -> None:
    assert judged((BROKEN, Outcome.FAILED, None)) == 0
    assert judged((BROKEN, Outcome.FAILED, None), ("X", Outcome.UNTESTED, BROKEN)) == 0


def test_a_waiver_covers_nothing_else() -> None:
    assert judged((BROKEN, Outcome.FAILED, None), ("X", Outcome.FAILED, None)) == 1
    assert judged((BROKEN, Outcome.FAILED, None), ("X", Outcome.CANT_TELL, None)) == 1
    assert judged((BROKEN, Outcome.FAILED, None), waivers=()) == 1
    other = WAIVER.model_copy(update={"component": "another"})
    assert judged((BROKEN, Outcome.FAILED, None), waivers=(other,)) == 1


def test_a_waiver_of_what_passes_is_an_error() -> None:
    assert judged((BROKEN, Outcome.PASSED, None)) == 1


def test_a_waiver_never_counts_for_a_registry() -> None:
    results = (Result(requirement=BROKEN, component="c", outcome=Outcome.FAILED, observations=1),)
    report = make_report(results=results, owed=((BROKEN, "c"),), waivers=(WAIVER,))
    assert report.verdict.exit_code == 1
    assert exit_code(report, at_home=False) == 1


# -- what is asked wrongly -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nonsense"], "no installed component"),
        ([], "required"),
        (["x", "--level", "9"], "invalid choice"),
        (["x", "--only", "LDT-MOD-DET-1"], "LDT-MOD-DET-01"),
        (["explain", "LDT-MOD-DET-1"], "did you mean"),
        (["replay", "nothing.json"], "nothing.json"),
        (["gone.whl"], "there is no wheel"),
        (["x", "--sign", "key"], "--as-registry"),
        (["x", "--conformance", "gone.toml"], "no installed component"),
    ],
)
def test_a_usage_error_exits_3_and_says_what_to_do(
    ldt: Callable[..., Done], words: list[str], said: str
) -> None:
    done = ldt("certify", *words)
    assert done.returncode == 3
    assert said in done.stderr


# -- what is looked up ---------------------------------------------------------------------------


def test_a_requirement_is_explained(ldt: Callable[..., Done]) -> None:
    assert json.loads(ldt("certify", "explain", BROKEN, "--json").stdout)["must"] == released()[BROKEN].must
    shown = ldt("certify", "explain", BROKEN).stdout
    for words in (released()[BROKEN].must, "Fails:", "Holds:", "How to mend it:"):
        assert words in shown


def test_the_catalogue_is_printed_with_its_digest(ldt: Callable[..., Done]) -> None:
    found = json.loads(ldt("certify", "catalogue").stdout)
    assert [r["id"] for r in found["requirements"]] == list(released())


# -- keys ----------------------------------------------------------------------------------------


def test_keys_are_made_and_a_bundle_that_is_none_is_refused(ldt: Callable[..., Done], tmp_path: Path) -> None:
    done = ldt("certificate", "keys", "mine", "--into", str(tmp_path))
    assert done.returncode == 0
    assert {p.name for p in tmp_path.iterdir()} == {"mine.key", "mine.pub"}
    (tmp_path / "none.json").write_text("{}", encoding="utf-8")
    refused = ldt("certificate", "verify", str(tmp_path / "none.json"), "--key", str(tmp_path / "mine.pub"))
    assert refused.returncode == 1
    assert "no certificate bundle" in refused.stderr
