"""Runs one stage: a source, a model, a simulator, or a group of them on one integer clock.

Inputs from other stages come from the store; what is recorded goes back to it. A stage is built
(``group``), started (``start``), connected (``connect``), run window by window (``clock``) and closed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .actor import Member, Setting
from .capture import restore
from .checkpoint import Checkpoint, Saver
from .clock import prepare, run_clock
from .connect import connect_all
from .faults import broken, guarded
from .group import Group
from .interfaces import Flag
from .start import start_all
from .tables import Recording
from .wires import Wire, in_order

__all__ = ["Member", "Outcome", "Setting", "Wire", "broken", "guarded", "run_stage"]


@dataclass(frozen=True)
class Outcome:
    """What a stage gave: recordings by ``component.port``, quality flags by component, notes."""

    recordings: dict[str, Recording]
    flags: dict[str, list[Flag]]
    notes: dict[str, Any]


def run_stage(
    members: list[Member],
    wires: list[Wire],
    inputs: Mapping[str, Recording],
    record: Mapping[str, int | None],
    setting: Setting,
    *,
    progress: Callable[[float], None] = lambda share: None,
    cancelled: Callable[[], bool] = bool,
    resume: Checkpoint | None = None,
    saver: Saver | None = None,
) -> Outcome:
    """Run the members to the end and return what ``record`` names (value: thin to this many us).

    ``inputs`` holds the recordings of ports outside the stage by ``component.port``. Any error leaves
    the members finalized. ``progress`` is told shares that only grow. With ``resume`` they go on from
    there: raises ``Refused`` where they cannot. ``saver`` takes checkpoints, and may end it early.
    """
    group = Group(members, in_order(wires), inputs, record, setting, progress, cancelled)
    try:
        group.build()
        start_all(group, {} if resume is None else resume.start)
        connect_all(group)
        if resume is not None:
            restore(group, resume)
        prepare(group)
        if run_clock(group, saver):
            progress(1.0)
        return _outcome(group)
    finally:
        group.close()


def _outcome(group: Group) -> Outcome:
    flags = {a.name: a.context.flags for a in group.actors.values() if a.context.flags}
    # Large means that the loop oscillates from window to window.
    notes: dict[str, Any] = {f"lag change {r.wire.origin}": r.worst for r in group.lagged.values()}
    for block in group.blocks:
        notes.update(block.notes())
    return Outcome(group.recordings(), flags, notes)
