"""Components that are wrong as a whole fool nobody and bring nothing down."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ldt_conformance import certification
from ldt_conformance import judge as judging
from ldt_conformance.commands import certify
from ldt_conformance.drivers.base import Driver
from ldt_conformance.drivers.here import HereDriver
from ldt_conformance.drivers.http import HttpDriver
from ldt_conformance.drivers.process import ProcessDriver, place_of
from ldt_conformance.outcome import Outcome, Result, Verdict, verdict_of
from ldt_conformance.report import Subject, read_report
from ldt_conformance.requirements import KINDS, profile, released
from ldt_conformance.target import Target
from ldt_conformance.zoo import Specimen, pack, serving, specimens
from ldt_conformance.zoo.controls import CONTROLS, Control, install

import ldt_core as ldt
from ldt_core import process
from ldt_core.errors import LdtError

DECLARED = {
    *("LDT-COR-DESC-01", "LDT-COR-CONF-01"),
    *("LDT-SRC-SCHEMA-01", "LDT-SRC-UNIT-01", "LDT-SRC-PROV-01"),
    *("LDT-MOD-PORT-01", "LDT-MOD-CARD-01"),
}
"""What a manifest alone can earn."""

Judged = tuple[dict[str, Result], Verdict]
BY_NAME: dict[str, list[Control]] = {}
for _control in CONTROLS.values():
    # A kind is looked at as soon as there are requirements of its own.
    if sum(KINDS.get(r.area) == _control.specimen.component.kind for r in released().values()) > 3:
        BY_NAME.setdefault(_control.name, []).append(_control)


def kinds_of(*names: str) -> Any:
    found = [c for n in names for c in BY_NAME.get(n, [])]
    return pytest.mark.parametrize("control", found, ids=lambda c: f"{c.name}-{c.specimen.component.kind}")


def judged(driver: Driver, specimen: Specimen) -> Judged:
    m = driver.manifest
    results = judging.judge(driver, specimen.example, level=2)
    owed = profile(m["kind"], 2, judging.claims_of(m), driver.door)
    return {r.requirement: r for r in results}, verdict_of(results, [(r.id, m["id"]) for r, _ in owed])


def by(results: dict[str, Result], *outcomes: Outcome) -> set[str]:
    return {i for i, r in results.items() if r.outcome in outcomes}


@pytest.fixture(scope="module")
def look(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Control], Judged]]:
    """What comes of a control in a process of its own."""
    place = place_of([install(list(CONTROLS.values()), tmp_path_factory.mktemp("controls"))])
    seen: dict[str, Judged] = {}

    def find(control: Control) -> Judged:
        if control.distribution not in seen:
            id = control.specimen.component.id
            with ProcessDriver.at(place, id, distribution=control.distribution) as driver:
                seen[control.distribution] = judged(driver, control.specimen)
        return seen[control.distribution]

    yield find
    process.end_idle()


@kinds_of("null", "yes-man", "refuser", "crasher")
def test_who_does_nothing_earns_nothing(look: Callable[[Control], Judged], control: Control) -> None:
    results, verdict = look(control)
    assert by(results, Outcome.PASSED) <= DECLARED
    assert verdict is Verdict.FAILED


@kinds_of("crasher")
def test_who_crashes_is_judged_to_the_end(look: Callable[[Control], Judged], control: Control) -> None:
    results, _ = look(control)
    first = min(by(results, Outcome.FAILED), key=list(results).index)
    assert "ended with exit code 7" in results[first].reason
    assert not by(results, Outcome.CANT_TELL), "a crash is the component's fault, not the suite's"


@kinds_of("sleeper")
def test_who_sleeps_is_ended_and_the_rest_is_untested(
    look: Callable[[Control], Judged], control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    def soon(*arguments: Any, **more: Any) -> Any:
        return [(r.model_copy(update={"seconds": 1.0}), why) for r, why in profile(*arguments, **more)]

    monkeypatch.setattr(judging, "profile", soon)
    results, verdict = look(control)
    asleep = by(results, Outcome.CANT_TELL)
    assert len(asleep) == 1
    assert results[asleep.pop()].reason == "too long: not done within 1 s"
    assert by(results, Outcome.PASSED) <= DECLARED
    assert verdict is Verdict.INCOMPLETE


@kinds_of("flake")
def test_who_fails_now_and_then_is_not_green(look: Callable[[Control], Judged], control: Control) -> None:
    results, verdict = look(control)
    assert "repeats disagree" in " ".join(results[i].reason for i in by(results, Outcome.CANT_TELL))
    assert verdict is not Verdict.CERTIFIED


@kinds_of("shy")
def test_who_claims_nothing_still_owes_what_its_kind_is_for(
    look: Callable[[Control], Judged], control: Control
) -> None:
    results, verdict = look(control)
    assert verdict is Verdict.CERTIFIED, {i: results[i].reason for i in by(results, Outcome.FAILED)}
    left_out = by(results, Outcome.INAPPLICABLE)
    area = next(a for a, k in KINDS.items() if k == control.specimen.component.kind)
    core = {r.id for r in released().values() if r.area in (area, "COR") and r.capability is None}
    assert left_out <= set(released()) - core | {i for i in core if "process" not in released()[i].doors}
    assert core - left_out <= by(results, Outcome.PASSED)


@kinds_of("liar")
def test_who_claims_all_is_held_to_it(look: Callable[[Control], Judged], control: Control) -> None:
    results, verdict = look(control)
    claimed = {i for i in results if released()[i].capability in control.claims}
    kept = by(results, Outcome.PASSED, Outcome.INAPPLICABLE) & claimed
    assert kept <= {"LDT-SIM-CPL-01"}, "a simulator with inputs in every step does claim this one"
    if claimed:
        assert verdict is Verdict.FAILED


@kinds_of("sniffer")
def test_who_behaves_only_when_it_is_watched_is_seen(
    look: Callable[[Control], Judged], control: Control
) -> None:
    """Nothing of the suite is where it runs, and what it is given is not only what it has seen before."""
    results, verdict = look(control)
    assert verdict is Verdict.FAILED, by(results, Outcome.PASSED)


def test_in_a_process_of_its_own_nobody_feels_watched(tmp_path: Path) -> None:
    """The same class gives what it should where the suite is, and shows its face where it is not."""
    control = CONTROLS["ldt-zoo-sniffer-model"]
    air = control.specimen.example.inputs["air"]
    other = {"air": air.with_columns(air=air["air"] + 5.0)}
    place = place_of([install([control], tmp_path)])
    found = []
    with (
        HereDriver(control.specimen.component) as near,
        ProcessDriver.at(place, control.specimen.component.id) as far,
    ):
        for driver in (near, far):
            with driver.open({}, ldt.Context()) as subject:
                assert subject.compute({"air": air})["load"]["load"].tolist() == [0.0, 0.0, 4.25]
                found.append(subject.compute(other)["load"]["load"].tolist())
    assert found == [[0.0, 5.0, 9.25], [0.0, 0.0, 0.0]]


@kinds_of("saboteur")
def test_who_attacks_the_judge_changes_nothing(
    look: Callable[[Control], Judged], control: Control, tmp_path: Path
) -> None:
    results, verdict = look(control)
    owed = profile("model", 2, (), "process")
    assert set(results) == {r.id for r, _ in owed}, "each is told, though it left early with exit code 0"
    assert by(results, Outcome.PASSED) <= DECLARED
    assert verdict is Verdict.FAILED


@pytest.mark.parametrize("name", ["saboteur", "crasher", "refuser"])
def test_the_report_says_what_the_judge_saw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Through ``ldt certify``, with its exit code."""
    control = CONTROLS[f"ldt-zoo-{name}-model"]
    place = place_of([install([control], tmp_path)])
    driver = ProcessDriver.at(place, control.specimen.component.id, distribution=control.distribution)

    @contextmanager
    def opened(*arguments: Any) -> Iterator[Target]:
        with driver:
            yield Target(Subject(name=name, kind="folder"), {driver.manifest["id"]: driver})

    monkeypatch.setattr(certification, "opened", opened)
    assert certify([name, "--level", "2", "--report", str(tmp_path / "report")]) == 1
    report = read_report(tmp_path / "report" / "report.json")
    owed = {r.id for r, _ in profile("model", 2, (), "process")}
    assert {r.requirement for r in report.results} == owed
    assert report.verdict is Verdict.FAILED
    assert "FAILED" in capsys.readouterr().out


# -- services ---------------------------------------------------------------------------------------


@contextmanager
def answering(status: int, content: bytes, honest: dict[str, bytes]) -> Iterator[str]:
    """A server that gives one answer to every request, but for the paths of ``honest``."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            known = honest.get(self.path)
            body = content if known is None else known
            self.send_response(status if known is None else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - named by http.server

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


ANSWERS = {"refuser": (400, b'{"title": "no"}'), "yes-man": (200, b"{}")}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_service_with_one_answer_for_everything_is_no_component(name: str) -> None:
    with answering(*ANSWERS[name], {}) as address, pytest.raises(LdtError):
        HttpDriver(address)


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """What the good specimens say of themselves as services, by their names."""
    found: dict[str, dict[str, bytes]] = {}
    good = [s for s in specimens() if s.fails is None and s.component.kind != "viewer"]
    with serving.start(good, pack.site(good, tmp_path_factory.mktemp("good"))) as service:
        for specimen in good:
            base = f"{service.address}/{pack.distribution(specimen)}"
            said = {path: urllib.request.urlopen(base + path) for path in ("/component", "/api")}  # noqa: S310
            found[specimen.name] = {path: answer.read() for path, answer in said.items()}
            for answer in said.values():
                answer.close()
    return found


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize(
    "kind", sorted({c.specimen.component.kind for cs in BY_NAME.values() for c in cs} - {"viewer"})
)
def test_a_service_that_describes_itself_well_and_does_nothing_earns_nothing(
    described: dict[str, dict[str, bytes]], name: str, kind: str
) -> None:
    specimen = next(s for s in specimens() if s.fails is None and s.component.kind == kind)
    honest = described[specimen.name]
    assert json.loads(honest["/component"])["kind"] == kind
    with answering(*ANSWERS[name], honest) as address, HttpDriver(address) as driver:
        results, verdict = judged(driver, specimen)
    assert by(results, Outcome.PASSED) <= DECLARED
    assert verdict is Verdict.FAILED
