"""Does a simulator go on from its state, and refuse what is none?"""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..drive import Run, Saved, drive, expect_same_run, start_run
from ..drivers.base import Raised, Word
from ..trial import CannotTell, NotApplicable, Trial
from . import check


@check("LDT-SIM-CKPT-01")
def goes_on_from_its_state(trial: Trial) -> None:
    """Saved between all windows; gone on from in a new process, and put back in the instance that gave it."""
    run = _begun(trial)
    expected = drive(trial)
    saved: list[tuple[int, Saved]] = []
    for _, reached in run.steps():
        if reached < run.end:
            saved.append((reached, run.save()))
            trial.expect(
                saved[-1][1].state == run.save().state, "the same state gives other bytes when asked again"
            )
    if not saved:
        raise CannotTell("the example has one window only; a state is taken between two")
    expect_same_run(trial, expected, run.done(), "the run is another when states are taken")
    at, first = saved[0]
    back = run.restore(first, at).advance()
    expect_same_run(
        trial,
        expected.after(at),
        back,
        "put back in the same instance, it goes on otherwise",
        given={"at": at},
    )
    at, middle = saved[len(saved) // 2]
    later = start_run(trial, driver=trial.driver.another()).restore(middle, at)
    trial.expect(
        later.save().state == middle.state,
        "a state that was given to another process comes back as other bytes",
        given={"at": at},
    )
    there = later.advance()
    expect_same_run(
        trial, expected.after(at), there, "in another process it goes on otherwise", given={"at": at}
    )


def _begun(trial: Trial) -> Run:
    run = start_run(trial)
    if "state" not in run.subject.capabilities():
        trial.expect(
            bool(trial.manifest.get("dynamic")),
            "its manifest claims 'state', and it has none",
            expected="a claim that is kept; only what depends on parameters may be narrowed by them",
        )
        raise NotApplicable("with the example's parameters it claims no state")
    return run


@check("LDT-SIM-CKPT-02")
def refuses_what_is_no_state(trial: Trial) -> None:
    """Torn, foreign, damaged, older: refused in words and nothing is changed by it, or taken as a whole."""
    expected = drive(trial)
    run, other = _begun(trial), start_run(trial)
    at, good = run.take(1).time, run.save()
    here, now = run.take(1).time, run.save()
    marks = trial.scratch()
    for what, state in _no_states(trial, good.state, marks):
        end = _given(trial, run, other, what, state, now)
        trial.expect(not any(marks.iterdir()), "a state was run as a program when it was read", given=what)
        if end == "taken":
            trial.expect(
                not what.startswith(TORN),
                "a torn state is taken",
                given=what,
                expected="refused: input",
                got="taken",
            )
            other.begin()
        if end != "refused":
            run = (start_run(trial) if end == "dead" else run).restore(now, here)
    expect_same_run(
        trial,
        expected.after(here),
        run.advance().after(here),
        "after states were refused it goes on otherwise",
        given={"at": here},
    )
    run.restore(good, at)  # the control: what refuses everything keeps nothing
    expect_same_run(trial, expected.after(at), run.advance(), "the good state is not taken", given={"at": at})
    _of_other_things(trial, run)


TORN = "torn"
REFUSED: tuple[Word, ...] = ("input", "unsupported")


def _given(trial: Trial, run: Run, other: Run, what: str, state: bytes, now: Saved) -> str:
    """``refused``: everything is as it was; ``dead``: and it says so when asked; ``taken``: nothing is as it was."""
    try:
        run.subject.set_state(state)
    except Raised as raised:
        trial.expect(
            raised.word in REFUSED,
            "what is no state is refused by a fault",
            given=_shown(what, state),
            expected="an input error that says so",
            got=str(raised),
        )
        try:
            kept = run.save()
        except Raised as later:
            if later.word in REFUSED:
                return "dead"
            raise
        trial.expect(
            kept.state == now.state,
            "a state was refused and half of it taken",
            given=_shown(what, state),
            expected="the state as it was before",
            got="another state",
        )
        return "refused"
    try:
        other.subject.set_state(state)
        same = run.subject.get_state() == other.subject.get_state()
    except Raised as raised:
        trial.fail(
            "what is no state is taken by one instance and not by another",
            given=_shown(what, state),
            got=str(raised),
        )
    trial.expect(
        same,
        "a state is taken in part: the rest is what the instance held before",
        given=_shown(what, state),
        expected="two instances that take the same bytes are the same",
        got="two states",
    )
    return "taken"


def _shown(what: str, state: bytes) -> dict[str, Any]:
    return {"what": what, "bytes": len(state), "begins": state[:60].decode("latin-1")}


class _Deed:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def _no_states(trial: Trial, state: bytes, marks: Path) -> Iterator[tuple[str, bytes]]:
    size = len(state)
    for cut in sorted(
        {c for c in (0, 1, 7, size // 4, size // 2, 3 * size // 4, size - 8, size - 1) if 0 <= c < size}
    ):
        yield f"{TORN} after {cut} of {size} bytes", state[:cut]
    for at in sorted({size * k // 13 for k in range(1, 13)} if size else ()):
        yield (
            f"bit {at % 8} of byte {at} turned",
            state[:at] + bytes([state[at] ^ 1 << at % 8]) + state[at + 1 :],
        )
    yield "zeros after its end", state + bytes(8)
    yield "zeros for its second half", state[: size // 2] + bytes(size - size // 2)
    for foreign in (b"{}", b"[]", b"null", b"not a state", bytes(range(256)), b"\x80\x04N.", b"PK\x03\x04"):
        if foreign != state:
            yield "foreign", foreign
    for count, old in enumerate(trial.example.states):
        yield f"older, number {count + 1} of the example", old
    yield "foreign: a program", pickle.dumps(_Deed(marks / "unpickled"))


def _of_other_things(trial: Trial, run: Run) -> None:
    """The state of an instance that began with fewer things: refused, or at least good to go on from."""
    for name, table in run.given.start.items():
        port = run.given.inputs[name]
        if port.id is None or len(table) < 2:
            continue
        fewer = {**trial.example.inputs, name: table.slice(0, len(table) - 1)}
        small = replace(trial, example=replace(trial.example, inputs=fewer))
        try:
            foreign = start_run(small).save()
        except Raised:
            continue  # it needs them all
        run.begin()
        try:
            run.subject.set_state(foreign.state)
        except Raised as raised:
            words = REFUSED
            trial.expect(
                raised.word in words, "a foreign state is refused by a fault", given=name, got=str(raised)
            )
            continue
        try:
            run.advance(trial.example.step)
        except Raised as raised:
            trial.expect(
                raised.word != "unexpected",
                f"the state of a run with fewer rows of '{name}' is taken, and the next step fails",
                given={name: table},
                expected="refused: input",
                got=str(raised),
            )
