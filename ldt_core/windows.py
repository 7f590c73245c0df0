"""Whose window may run next: the one rule of the clock, for a dry run and for the run itself.

A window runs when every ``now`` source is done to its end and no ``lag`` source has a window pending
that ends by its start; so any order gives the same bits. Members that are joined
run a common window as if they were one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Protocol

from .errors import ScheduleError


class Moved(Protocol):
    """Counts the microseconds of all members; ``say`` is called when ``done`` comes to ``next``."""

    done: int
    next: float

    def say(self, done: float) -> None: ...


class Unit:
    """What advances window by window. ``now`` and ``lag`` are those that it waits for; times in us.

    By itself it only counts: that is a dry run.
    """

    def __init__(self, name: str, step: int) -> None:
        self.name = name
        self.names: tuple[str, ...] = (name,)
        self.step = step
        self.time = 0
        self.now: list[Unit] = []
        self.lag: list[Unit] = []

    def blocker(self, start: int, until: int, end: int) -> Unit | None:
        """Who must go on before the window from ``start`` to ``until`` can run; ``end`` cuts all windows."""
        for other in self.now:
            if other.time < until:
                return other
        for other in self.lag:
            if other.time < end and min(other.time + other.step, end) <= start:
                return other
        return None

    def advance(self, start: int, until: int) -> int:
        """Run the window. Returns the instant reached, where ``time`` now stands."""
        self.time = until
        return until


class Joint(Unit):
    """Members that run a common window together: the longest step among them, which the others divide."""

    def __init__(self, members: Sequence[Unit]) -> None:
        super().__init__("+".join(sorted(m.name for m in members)), max(m.step for m in members))
        self.members = list(members)
        self.names = tuple(m.name for m in members)
        inside = set(self.names)
        self.now_outside = [o for m in members for o in m.now if o.name not in inside]
        self.lag_outside = [(m, o) for m in members for o in m.lag if o.name not in inside]
        self.time = members[0].time

    def blocker(self, start: int, until: int, end: int) -> Unit | None:
        for other in self.now_outside:
            if other.time < until:
                return other
        for member, other in self.lag_outside:
            last = start + (until - start - 1) // member.step * member.step
            if other.time < end and min(other.time + other.step, end) <= last:
                return other
        return None

    def advance(self, start: int, until: int) -> int:
        self.run_once(until)
        return until

    def run_once(self, until: int) -> None:
        """One pass over the window. Raises ``ScheduleError`` (stall)."""
        run_windows(self.members, until, until)
        if any(m.time < until for m in self.members):
            raise stall(self.members, until)
        self.time = until


def run_windows(units: Iterable[Unit], horizon: int, end: int, moved: Moved | None = None) -> bool:
    """Run every window that may run and starts before ``horizon``; whether any did.

    Who cannot go on is looked at again when the one that it waits for has advanced: the work is that
    of the windows run. ``end`` cuts the last window of each.
    """
    queue, waiting, ran = deque(units), dict[str, list[Unit]](), False
    while queue:
        unit = queue.popleft()
        while (start := unit.time) < horizon:
            until = start + unit.step
            if until > end:
                until = end
            blocker = unit.blocker(start, until, end)
            if blocker is not None:
                waiting.setdefault(blocker.name, []).append(unit)
                break
            reached = unit.advance(start, until)
            ran = True
            if moved is not None:
                moved.done += (reached - start) * len(unit.names)
                if moved.done >= moved.next:
                    moved.say(moved.done)
            if waiting:
                for name in unit.names:
                    queue.extend(waiting.pop(name, ()))
    return ran


def stall(units: Iterable[Unit], end: int) -> ScheduleError:
    """The error where nobody can go on: who stands where, and who waits for whom."""
    told = []
    for unit in units:
        if unit.time < end:
            other = unit.blocker(unit.time, min(unit.time + unit.step, end), end)
            waits = f" (waits for {other.name})" if other is not None else ""
            told.append(f"{unit.name} at {unit.time / 1e6:g} s{waits}")
    return ScheduleError(
        f"the schedule comes to a stall: {', '.join(told)}",
        code="stall",
        fix="choose steps that divide one another, or make another link of the loop when: lag",
    )
