"""The clock of a group: whose window may run next.

A member's window runs when every ``now`` source is done to its end and no ``lag`` source has a
window pending that ends by its start; so any order gives the same bits.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from .actor import Actor
from .capture import capture
from .checkpoint import Saver
from .errors import ScheduleError
from .group import Group
from .interfaces import DataSource
from .iterate import Block
from .start import compute_once


def prepare(group: Group) -> None:
    """Bind what every window needs, and begin the recordings."""
    for actor in group.actors.values():
        if isinstance(actor.component, DataSource) or (actor.time and not actor.step):
            continue
        for name, port in actor.member.outputs.items():
            if port.at == "step" and f"{actor.name}.{name}" in group.record:
                first = actor.start_outputs.get(name)
                actor.parts.setdefault(name, [] if first is None else [(0, 0, first)])
        if actor.member.step is None:
            compute_once(group, actor)
        else:
            actor.bind(group.seen)


def run_clock(group: Group, saver: Saver | None = None) -> bool:
    """Run every window to the end. Whether it came there: ``saver`` may end it early."""
    end = stop = group.setting.end
    joined = {m.name for b in group.blocks for m in b.members}
    movers: list[Actor | Block] = [a for a in group.actors.values() if a.step and a.name not in joined]
    running = [m for m in [*movers, *group.blocks] if m.time < end]
    longest = max((a.step for a in running), default=0)
    while running:
        if saver is not None and stop == end:
            stop = min(end, saver.stop_after(max(a.time for a in running)) or end)
        # Nobody runs far ahead of the slowest, so that few windows wait for their readers.
        moved = _pass(group, running, min(stop, min(a.time for a in running) + longest))
        if not moved and not _pass(group, running, stop):
            if saver is not None and stop < end:  # all have come there, or one has a window across it
                stands = len({a.time for a in running}) == 1
                if stands and not saver.stand(running[0].time, partial(capture, group)):
                    return False
                stop = end
                continue
            raise _stall(running, "make another link of the loop when: lag")
        running = [a for a in running if a.time < end]
    return True


def _pass(group: Group, running: Iterable[Actor | Block], horizon: int, end: int | None = None) -> bool:
    """Run every window that may run and starts before the horizon; see the module's docstring.

    ``end`` is where windows are cut: the run's end, or that of a block's window.
    """
    moved, told = False, group.progress.moved
    end = group.setting.end if end is None else end
    for actor in running:
        if isinstance(actor, Block):
            moved |= _repeat(group, actor, horizon)
            continue
        while actor.time < horizon:
            start = actor.time
            until = start + actor.step
            if until > end:
                until = end
            for other in actor.now:
                if other.time < until:
                    break
            else:
                for other in actor.lag:
                    if other.time < end and min(other.time + other.step, end) <= start:
                        break
                else:
                    told(actor.advance(start, until) - start)
                    moved = True
                    continue
            break
    return moved


def _repeat(group: Group, block: Block, horizon: int) -> bool:
    """Run every window of a block that may run and starts before the horizon."""
    moved, end = False, group.setting.end
    while block.time < horizon:
        start = block.time
        until = min(start + block.step, end)
        if not block.ready(until, end):
            break
        block.advance(start, until, partial(_run_once, group, block))
        moved = True
    return moved


def _run_once(group: Group, block: Block, until: int, again: bool) -> None:
    """One pass of a block: all windows of its members up to ``until``."""
    if again:
        group.progress.done -= sum(until - m.time for m in block.members)
    outside = [(m.now, m.lag) for m in block.members]
    for member in block.members:
        member.now, member.lag = member.within
    try:
        while any(m.time < until for m in block.members):
            if not _pass(group, block.members, until, until):
                raise _stall(block.members, "make another link of the loop when: iterate")
    finally:
        for member, (now, lag) in zip(block.members, outside, strict=True):
            member.now, member.lag = now, lag


def _stall(running: Iterable[Actor | Block], otherwise: str) -> ScheduleError:
    stuck = ", ".join(f"{a.name} at {a.time / 1e6:g} s" for a in running)
    return ScheduleError(
        f"no member can go on: {stuck}",
        code="stall",
        fix=f"choose steps that divide one another, or {otherwise}",
    )
