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
    running = [a for a in group.actors.values() if a.step and a.time < end]
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
            stuck = ", ".join(f"{a.name} at {a.time / 1e6:g} s" for a in running)
            raise ScheduleError(
                f"no member can go on: {stuck}",
                code="stall",
                fix="choose steps that divide one another, or make another link of the loop when: lag",
            )
        running = [a for a in running if a.time < end]
    return True


def _pass(group: Group, running: Iterable[Actor], horizon: int) -> bool:
    """Run every window that may run and starts before the horizon; see the module's docstring."""
    moved, end, told = False, group.setting.end, group.progress.moved
    for actor in running:
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
