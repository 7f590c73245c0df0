"""Whatever takes too long is ended, also where it does not want to."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import suppress

import pytest
from hypothesis import strategies as st
from ldt_conformance.budget import TooLong, within
from ldt_conformance.drivers.here import HereDriver
from ldt_conformance.judge import judge
from ldt_conformance.outcome import Outcome
from ldt_conformance.requirements import released
from ldt_conformance.trial import Trial
from ldt_conformance.zoo.models import EXAMPLE, GoodModel

import ldt_core as ldt


def test_what_takes_too_long_is_ended() -> None:
    with pytest.raises(TooLong), within(0.05):
        threading.Event().wait()


def test_who_takes_the_alarm_for_its_own_hears_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ldt_conformance.budget._AGAIN", 0.05)
    heard: list[BaseException] = []

    def stubborn() -> None:
        while True:
            try:
                threading.Event().wait()
            except BaseException as exc:
                heard.append(exc)
                if len(heard) == 3:
                    raise

    with pytest.raises(TooLong), within(0.05):
        stubborn()
    assert len(heard) == 3


def test_what_is_done_in_time_hears_nothing_later() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with within(0.05):
        pass
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is before


def test_other_threads_have_no_limit() -> None:
    done = threading.Event()

    def work() -> None:
        with within(0.001):
            time.sleep(0.05)
        done.set()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done.is_set()


class Endless(GoodModel):
    """Computes for ever, and minds nothing."""

    def compute(self, inputs: ldt.Tables) -> ldt.Tables:
        while True:
            with suppress(Exception):
                sum(range(1000))


def test_a_component_in_this_process_is_ended_too(monkeypatch: pytest.MonkeyPatch) -> None:
    short = {i: r.model_copy(update={"seconds": 0.2}) for i, r in released().items()}
    monkeypatch.setattr("ldt_conformance.requirements.released", lambda: short)
    with HereDriver(Endless) as driver:
        results = judge(driver, EXAMPLE)
    slow, *rest = [r for r in results if r.outcome is not Outcome.PASSED]
    assert slow.outcome is Outcome.CANT_TELL
    assert slow.reason == "too long: not done within 0.2 s"
    assert all(r.outcome in (Outcome.UNTESTED, Outcome.INAPPLICABLE) for r in rest)
    assert all(r.blocked_by == slow.requirement for r in rest if r.outcome is Outcome.UNTESTED)


class NeverEnds(GoodModel):
    """Computes well, and does not let go."""

    def finalize(self) -> None:
        threading.Event().wait()


def test_who_does_not_let_go_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ldt_conformance.judge.CLOSING", 0.1)
    with HereDriver(NeverEnds) as driver:
        results = judge(driver, EXAMPLE, only=["LDT-MOD-DET-01"])
    tried = [r for r in results if r.outcome not in (Outcome.UNTESTED, Outcome.INAPPLICABLE)]
    assert len(tried) == 1


def test_a_search_is_ended_too() -> None:
    def hang(value: int) -> None:
        threading.Event().wait()

    trial = Trial(next(iter(released().values())), HereDriver(GoodModel), EXAMPLE)
    with pytest.raises(TooLong), within(0.2):
        trial.search(st.integers(), hang)
