"""Services: every specimen fails its requirement and no other; what is no service at all ends in its budget, in words."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from ldt_conformance import interface
from ldt_conformance.answers import _checks
from ldt_conformance.certification import run
from ldt_conformance.drivers.http import UnreadDriver, reach
from ldt_conformance.example import Example
from ldt_conformance.judge import judge
from ldt_conformance.outcome import Outcome, Result, Verdict
from ldt_conformance.requirements import catalogue, released
from ldt_conformance.zoo.layer import TOKEN
from ldt_conformance.zoo.services import (
    GoodLockedService,
    GoodModelService,
    Layer,
    driver,
    listening,
    services,
    serving,
)
from schemathesis.checks import not_a_server_error

from ldt_core.remote.served import Served
from ldt_core.remote.server import make_app

OURS = [i for i in released() if i.startswith("LDT-HTTP-")]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LDT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(interface, "QUICK_PATIENCE", 3.0)  # for those who never answer


def _judged(found: Any, example: Example, **options: Any) -> dict[str, Result]:
    results = judge(found, example, level=2, service=True, only=OURS, **options)
    return {r.requirement: r for r in results if r.requirement in OURS}


def _may_be_blocked(root: str) -> set[str]:
    found = {root}
    while more := {i for i, r in catalogue().items() if found & set(r.needs)} - found:
        found |= more
    return found


def _broken() -> list[Any]:
    """Good ones first; of those that break one requirement the first runs always, the others in the slow run."""
    found, seen = [], set()
    for layer in services():
        again = layer.fails is not None and layer.fails in seen
        seen.add(layer.fails)
        found.append(pytest.param(layer, marks=pytest.mark.slow if again else ()))
    return found


@pytest.mark.parametrize(
    "layer",
    [s for s in services() if s.fails is not None and s.__name__ != "OneAtATime"],
    ids=lambda s: s.__name__,
)
def test_a_broken_service_is_found(layer: type[Layer]) -> None:
    assert layer.fails is not None
    with serving(layer) as address:
        results = judge(
            driver(layer, address), layer.example, level=2, service=True, only=[layer.fails], quick=True
        )
    found = {r.requirement: r for r in results}
    assert found[layer.fails].outcome is Outcome.FAILED, found[layer.fails].reason
    assert found[layer.fails].evidence is not None
    needed = catalogue()[layer.fails].needs
    assert all(found[n].outcome is Outcome.PASSED for n in needed)


@pytest.mark.parametrize("layer", _broken(), ids=lambda s: s.__name__)
def test_a_service_fails_its_requirement_and_no_other(layer: type[Layer]) -> None:
    with serving(layer) as address:
        results = _judged(driver(layer, address), layer.example, quick=True)
    assert set(results) == set(OURS)
    reasons = {i: r.reason for i, r in results.items() if r.reason and r.outcome is not Outcome.INAPPLICABLE}
    failed = {i for i, r in results.items() if r.outcome is Outcome.FAILED}
    untested = {i for i, r in results.items() if r.outcome is Outcome.UNTESTED}
    assert failed == ({layer.fails} if layer.fails else set()), reasons
    assert not [i for i, r in results.items() if r.outcome is Outcome.CANT_TELL], reasons
    assert untested <= (_may_be_blocked(layer.fails) if layer.fails else set())
    assert results[layer.fails].evidence if layer.fails else True


# -- what is no service at all -----------------------------------------------------------------------


def _answering(status: int, body: bytes, media: str = "application/json", **headers: str) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            lines = [
                (b"content-type", media.encode()),
                *((k.encode(), v.encode()) for k, v in headers.items()),
            ]
            await send({"type": "http.response.start", "status": status, "headers": lines})
            await send({"type": "http.response.body", "body": body})

    return app


async def _endless(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": b" " * 65536, "more_body": True})
            await asyncio.sleep(0)


async def _silent(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await asyncio.sleep(3600)


PROBLEM = json.dumps({"title": "no", "status": 400}).encode()
CONTROLS: dict[str, tuple[Any, Outcome, str]] = {
    "says yes to everything": (_answering(200, b"{}"), Outcome.FAILED, "does not say its version"),
    "refuses everything": (
        _answering(400, PROBLEM, "application/problem+json"),
        Outcome.FAILED,
        "no OpenAPI document",
    ),
    "leads elsewhere": (
        _answering(302, b"", location="http://10.0.0.1/api"),
        Outcome.FAILED,
        "it answered 302 to http://10.0.0.1/api",
    ),
    "speaks HTML": (_answering(200, b"<html>", "text/html"), Outcome.FAILED, "no JSON"),
    "never ends": (_endless, Outcome.FAILED, "larger than 16 MiB"),
    "never answers": (_silent, Outcome.CANT_TELL, "no answer came in"),
}


@pytest.mark.parametrize("name", CONTROLS)
def test_what_is_no_service_earns_nothing_and_is_told(name: str) -> None:
    app, outcome, words = CONTROLS[name]
    with listening(app) as address:
        found = reach(address, patience=1.0)
        assert isinstance(found, UnreadDriver)
        results = _judged(found, Example(), quick=True)
    assert results["LDT-HTTP-OAS-01"].outcome is outcome
    assert words in results["LDT-HTTP-OAS-01"].reason
    assert not [r for r in results.values() if r.outcome is Outcome.PASSED]


def test_the_command_says_what_came_of_what_is_no_service(capfd: pytest.CaptureFixture[str]) -> None:
    with listening(_answering(200, b"{}")) as address:
        found = run(address)
    assert found.verdict is Verdict.FAILED
    assert {r.requirement for r in found.results} == {r for r in OURS if catalogue()[r].level == 1}
    assert "It does not say what it is" in found.notes[0]


def test_a_token_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vendor = tmp_path / "conformance.toml"
    vendor.write_text('[service]\ntoken_variable = "ZOO_TOKEN"\n')
    with serving(GoodLockedService) as address:
        without = run(address, only=OURS, vendor=vendor)
        monkeypatch.setenv("ZOO_TOKEN", TOKEN)
        found = run(address, only=["LDT-HTTP-AUTH-01"], vendor=vendor, quick=True)
    assert "401" in next(r.reason for r in without.results if r.requirement == "LDT-HTTP-OAS-01")
    passed = {r.requirement for r in found.results if r.outcome is Outcome.PASSED}
    assert "LDT-HTTP-AUTH-01" in passed
    assert TOKEN not in found.model_dump_json()


def test_nobody_there_is_no_fault_of_a_component() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    results = _judged(reach(address), Example())
    assert {r.outcome for r in results.values()} == {Outcome.CANT_TELL, Outcome.UNTESTED}
    assert "takes no connection" in results["LDT-HTTP-OAS-01"].reason


@pytest.mark.slow
@pytest.mark.parametrize("layer", [s for s in services() if s.fails is None], ids=lambda s: s.__name__)
def test_a_good_service_passes_everything_that_it_is_ever_asked(layer: type[Layer]) -> None:
    with serving(layer) as address:
        results = _judged(driver(layer, address), layer.example)
    reasons = {
        i: r.reason for i, r in results.items() if r.outcome not in (Outcome.PASSED, Outcome.INAPPLICABLE)
    }
    assert not reasons


def test_our_server_keeps_to_its_document_in_process_too(tmp_path: Path) -> None:
    """The same generated requests without a network between: straight into the application."""
    kind = GoodModelService.component
    loaded = schemathesis.openapi.from_asgi("/api", make_app([Served(kind)]), config=schemathesis.Config())
    seen = set()
    for result in loaded.get_all_operations():
        operation: Any = result.ok()  # type: ignore[union-attr]

        @settings(
            max_examples=3,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(operation.as_strategy())
        def keep(case: Any) -> None:
            case.call_and_validate(checks=[not_a_server_error, *_checks()])

        keep()
        seen.add(operation.label)
    assert "POST /processes/zoo-model/execution" in seen
