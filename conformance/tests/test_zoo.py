"""The matrix: every specimen against every requirement of its kind, by every door."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
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
from ldt_core.isolation import Place

ZOO = {s.name: s for s in specimens()}
Results = dict[str, Result]


def judged(driver: Driver, specimen: Specimen, only: Collection[str] = ()) -> Results:
    with driver:
        results = judge(driver, specimen.example, level=2, only=only)
    return {r.requirement: r for r in results if r.reason != "not selected"}


class Apart(ProcessDriver):
    """One process serves one specimen after another, and one of each environment is the new one of them all: it costs most
    of a second to start."""

    @contextmanager
    def fresh(self, **environment: str) -> Iterator[Driver]:
        yield Apart(self.offer, new(self.place, environment))

    def close(self) -> None:
        """The next specimen uses the process."""
        Driver.close(self)


class Near(HereDriver):
    """The class in this process; its new ones are those of all."""

    def __init__(self, specimen: Specimen, site: Path) -> None:
        super().__init__(specimen.component)
        self.apart = apart_at(specimen, site)

    @contextmanager
    def fresh(self, **environment: str) -> Iterator[Driver]:
        with self.apart.fresh(**environment) as driver:
            yield driver


def apart_at(specimen: Specimen, site: Path) -> Apart:
    return Apart.at(place_of([site]), specimen.component.id, distribution=pack.distribution(specimen))


def new(place: Place, environment: dict[str, str]) -> Place:
    """A process of this environment that is none of the first ones; for any other folder one other folder."""
    folder = place.environment.path[0] if environment.pop("PWD", None) else None
    variables = dict(place.launch.variables) | environment
    launch = place.launch._replace(variables=tuple(variables.items()), folder=folder, label="new")
    return place._replace(launch=launch)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """All specimens, installed in one folder."""
    yield pack.site(ZOO.values(), tmp_path_factory.mktemp("zoo"))
    process.end_idle()


@pytest.fixture(scope="module")
def judged_here(site: Path) -> Callable[[str], Results]:
    return cache(lambda name: judged(Near(ZOO[name], site), ZOO[name]))


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


def _shown_here() -> list[object]:
    """All of them. Viewers open a browser, and their mutants many pages: in the normal run each is looked at for its one
    fault (see ``test_viewer``)."""
    viewers = {n for n, s in ZOO.items() if s.component.kind == "viewer"}
    slow = {n for n in viewers if ZOO[n].fails}
    marks = {
        n: [*([pytest.mark.browser] if n in viewers else []), *([pytest.mark.slow] if n in slow else [])]
        for n in ZOO
    }
    return [pytest.param(n, marks=marks[n]) for n in ZOO]


@pytest.mark.parametrize("name", _shown_here())
def test_a_specimen_fails_its_requirement_and_no_other(
    judged_here: Callable[[str], Results], name: str
) -> None:
    specimen, results = ZOO[name], judged_here(name)
    assert results
    failed = _by(results, Outcome.FAILED)
    assert set(failed) == ({specimen.fails, *specimen.also} if specimen.fails else set()), failed
    assert not _by(results, Outcome.CANT_TELL)
    blocked = set(_by(results, Outcome.UNTESTED))
    assert blocked <= (_may_be_blocked(specimen.fails) if specimen.fails else set())


def _seen(door: Door) -> list[object]:
    """Every specimen whose fault can be seen by the door; in the normal run the good ones, and the first mutant of each
    requirement; viewers open a browser."""
    found, shown = [], set[str | None]()
    for name, specimen in ZOO.items():
        fault = specimen.fails
        viewer = specimen.component.kind == "viewer"
        if door not in specimen.doors or (viewer and door == "http"):
            continue
        if fault is not None and door not in catalogue()[fault].doors:
            continue
        again = fault is not None and (fault in shown or viewer)
        shown.add(fault)
        marks = [*([pytest.mark.browser] if viewer else []), *([pytest.mark.slow] if again else [])]
        found.append(pytest.param(name, marks=marks))
    return found


def _agrees(driver: Driver, name: str, here: Results) -> None:
    """What both doors can see they see alike. Of a mutant only its fault is looked for, and what that needs. A service
    offers fewer capabilities than the class behind it."""
    specimen, door = ZOO[name], driver.door
    results = judged(driver, specimen, {specimen.fails} if specimen.fails else ())
    both = {i for i, r in results.items() if door in catalogue()[i].doors and "not claimed" not in r.reason}
    differ = {
        i: (here[i].reason, results[i].reason) for i in both if here[i].outcome is not results[i].outcome
    }
    assert not differ
    assert both or specimen.fails, "nothing could be compared"


@pytest.mark.parametrize("name", _seen("process"))
def test_a_specimen_is_judged_alike_in_a_process_of_its_own(
    judged_here: Callable[[str], Results], site: Path, name: str
) -> None:
    _agrees(apart_at(ZOO[name], site), name, judged_here(name))


@pytest.mark.parametrize("name", _seen("http"))
def test_a_specimen_is_judged_alike_as_a_service(
    judged_here: Callable[[str], Results], service: Service, name: str
) -> None:
    _agrees(serving.driver(service, ZOO[name]), name, judged_here(name))


@pytest.mark.slow
@pytest.mark.browser
def test_twenty_shuffled_rounds_bring_no_false_alarm(site: Path) -> None:
    """Whoever was judged before, and how often: a good specimen is found good. Viewers, which cost a browser's time, every
    fifth round."""
    good = [s for s in ZOO.values() if s.fails is None]
    alarms = []
    for number in range(20):
        order = [s for s in good if s.component.kind != "viewer" or number % 5 == 0]
        random.Random(number).shuffle(order)
        for specimen in order:
            found = judged(Near(specimen, site), specimen)
            fine = {Outcome.PASSED, Outcome.INAPPLICABLE}
            alarms += [(number, specimen.name, r) for r in found.values() if r.outcome not in fine]
    assert not alarms
