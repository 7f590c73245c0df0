"""The matrix: every specimen against every requirement of its kind, by every door."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from ldt_conformance.drivers.base import Driver
from ldt_conformance.drivers.here import HereDriver
from ldt_conformance.drivers.http import Service
from ldt_conformance.drivers.process import ProcessDriver, place_of
from ldt_conformance.judge import judge
from ldt_conformance.outcome import Outcome, Result
from ldt_conformance.requirements import Door, catalogue
from ldt_conformance.zoo import Specimen, pack, serving, specimens

from ldt_core import process

ZOO = {s.name: s for s in specimens()}
Results = dict[str, Result]
Opened = Callable[[Specimen], Driver]


def judged(driver: Driver, specimen: Specimen) -> Results:
    with driver:
        return {r.requirement: r for r in judge(driver, specimen.example, level=2)}


@cache
def judged_here(name: str) -> Results:
    return judged(HereDriver(ZOO[name].component), ZOO[name])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All specimens, installed in one folder."""
    return pack.site(ZOO.values(), tmp_path_factory.mktemp("zoo"))


@pytest.fixture(scope="module")
def apart(site: Path) -> Iterator[Opened]:
    """One process serves one specimen after another."""
    place = place_of([site])

    class Shared(ProcessDriver):
        def close(self) -> None:
            """The next specimen uses the process."""

    yield lambda s: Shared.at(place, s.component.id, distribution=pack.distribution(s))
    process.end_idle(place)


@pytest.fixture(scope="module")
def service(site: Path) -> Iterator[Service]:
    with serving.start(ZOO.values(), site) as found:
        yield found


def _may_be_blocked(root: str) -> set[str]:
    """Everything that needs ``root``, however far."""
    found = {root}
    while more := {i for i, r in catalogue().items() if found & set(r.needs)} - found:
        found |= more
    return found


def _by(results: Results, outcome: Outcome) -> dict[str, str]:
    return {i: r.reason for i, r in results.items() if r.outcome is outcome}


@pytest.mark.parametrize("name", ZOO)
def test_a_specimen_fails_its_requirement_and_no_other(name: str) -> None:
    specimen, results = ZOO[name], judged_here(name)
    assert results
    failed = _by(results, Outcome.FAILED)
    assert set(failed) == ({specimen.fails, *specimen.also} if specimen.fails else set()), failed
    assert not _by(results, Outcome.CANT_TELL)
    blocked = set(_by(results, Outcome.UNTESTED))
    assert blocked <= (_may_be_blocked(specimen.fails) if specimen.fails else set())


def _kinds(door: Door, *served: str) -> list[object]:
    """Every specimen of these kinds whose fault can be seen by the door. In the normal run: the good ones, and the
    first mutant of each requirement."""
    found, shown = [], set()
    for name, specimen in ZOO.items():
        if specimen.component.kind not in served:
            continue
        fault = specimen.fails
        if door not in specimen.doors or (fault is not None and door not in catalogue()[fault].doors):
            continue
        again = fault is not None and fault in shown
        shown.add(fault)
        found.append(pytest.param(name, marks=pytest.mark.slow if again else ()))
    return found


def _agree(results: Results, name: str, door: Door) -> None:
    """What both doors can see they see alike; a service offers fewer capabilities than the class behind it."""
    here = {i: r for i, r in judged_here(name).items() if door in catalogue()[i].doors}
    both = {i for i in here if "not claimed" not in results[i].reason}
    reasons = {
        i: (here[i].reason, results[i].reason) for i in both if here[i].outcome is not results[i].outcome
    }
    assert not reasons
    assert both, "nothing could be compared"


@pytest.mark.parametrize("name", _kinds("process", "source", "model", "simulator"))
def test_a_specimen_is_judged_alike_in_a_process_of_its_own(apart: Opened, name: str) -> None:
    _agree(judged(apart(ZOO[name]), ZOO[name]), name, "process")


@pytest.mark.parametrize("name", _kinds("http", "source", "model", "simulator"))
def test_a_specimen_is_judged_alike_as_a_service(service: Service, name: str) -> None:
    _agree(judged(serving.driver(service, ZOO[name]), ZOO[name]), name, "http")
