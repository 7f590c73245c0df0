"""The clock of a group: from its start to its end, with stops where it can be saved."""

from __future__ import annotations

from functools import partial

from .capture import capture
from .checkpoint import Saver
from .group import Group
from .interfaces import DataSource
from .loops import find_loops
from .start import compute_once
from .windows import Unit, run_windows, stall


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
    running = [u for u in _units(group) if u.time < end]
    ahead = longest = max((u.step for u in running), default=0)
    while running:
        if saver is not None and stop == end:
            stop = min(end, saver.stop_after(max(u.time for u in running)) or end)
        # Nobody runs far ahead of the slowest, so that few windows wait for their readers.
        horizon = min(stop, min(u.time for u in running) + ahead)
        if run_windows(running, horizon, end, group.progress):
            ahead = longest
        elif horizon < stop:
            ahead *= 2
        elif stop < end and saver is not None:  # all have come there, or one has a window across it
            stands = len({u.time for u in running}) == 1
            if stands and not saver.stand(running[0].time, partial(capture, group)):
                return False
            stop = end
        else:
            raise stall(running, end)
        running = [u for u in running if u.time < end]
    return True


def _units(group: Group) -> list[Unit]:
    """What the clock moves: sources first, as far as one order can say."""
    actors = {n: a for n, a in group.actors.items() if a.step}
    mover: dict[str, Unit] = dict(actors)
    for block in group.blocks:
        block.time = block.members[0].time
        mover |= dict.fromkeys(block.names, block)
    now = [(other.name, n) for n, a in actors.items() for other in a.now if other.name in actors]
    return list(dict.fromkeys(mover[n] for loop in find_loops(actors, now) for n in loop))
