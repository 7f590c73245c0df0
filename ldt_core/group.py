"""The members of one stage together: built, joined, at one instant of their clock, and closed again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import cast

from .actor import Actor, Member, Setting
from .faults import guarded
from .interfaces import Context, Window
from .iterate import Block, IterateReader
from .resample import History, thinned
from .tables import Port, Recording, Seen
from .wires import LagReader, Wire

log = logging.getLogger("ldt.runner")


class Progress:
    """Passes on the share of the whole that is done, if it grew."""

    def __init__(self, end: int, members: int, tell: Callable[[float], None]) -> None:
        self.end, self.whole, self.tell = end, (end or 1) * max(1, members), tell
        self.done, self.told, self.next = 0, 0.0, 0.0

    def moved(self, by: int) -> None:
        """A member has advanced by this many microseconds; told in a thousand parts at most."""
        self.done += by
        if self.done >= self.next:
            self.say(self.done)

    def inside(self, actor: Actor, share: float) -> None:
        """A member tells the share of its window that it has done."""
        if 0.0 < share <= 1.0 and actor.time < self.end:
            self.say(self.done + share * min(actor.step or self.end, self.end - actor.time))

    def say(self, done: float) -> None:
        self.next = self.done + self.whole / 1000
        share = min(1.0, done / self.whole)
        if share > self.told:
            self.told = share
            self.tell(share)


class Group:
    """The actors of a stage and what they share.

    ``buffers`` are the windows that wait on the links between them, by link, and ``lagged`` the readers
    of lag links, by link, ``implicit`` those of iterate links; ``blocks`` are the actors that these join.
    ``read`` is what its sources gave.
    """

    def __init__(
        self,
        members: list[Member],
        wires: list[Wire],
        inputs: Mapping[str, Recording],
        record: Mapping[str, int | None],
        setting: Setting,
        progress: Callable[[float], None],
        cancelled: Callable[[], bool],
    ) -> None:
        self.members, self.wires, self.inputs, self.record = members, wires, inputs, record
        self.setting, self.cancelled = setting, cancelled
        self.progress = Progress(setting.end, len(members), progress)
        self.actors: dict[str, Actor] = {}
        self.read: dict[str, Recording] = {}
        self.buffers: dict[str, History] = {}
        self.lagged: dict[str, LagReader] = {}
        self.implicit: dict[str, IterateReader] = {}
        self.blocks: list[Block] = []
        self.seen = Seen()

    def build(self) -> None:
        """Construct every component. What was built before an error is closed by ``close``."""
        for member in self.members:
            self._build(member)

    def _build(self, member: Member) -> None:
        s = self.setting
        scratch = s.scratch / member.name
        cache = s.cache / member.component.id
        for folder in (scratch, cache):
            folder.mkdir(parents=True, exist_ok=True)
        context = Context(
            start=s.start,
            window=Window(0, s.end),
            seed=member.seed,
            crs=s.crs,
            bbox=s.bbox,
            scratch=scratch,
            cache=cache,
            log=logging.getLogger(f"ldt.component.{member.name}"),
            cancelled=self.cancelled,
        )
        component = guarded(member.name, "construction", lambda: member.component(member.params, context))
        wires = [w for w in self.wires if w.target == member.name]
        actor = Actor(member, component, wires, self.cancelled)
        context.progress = lambda share: self.progress.inside(actor, share)
        self.actors[member.name] = actor

    def recordings(self) -> dict[str, Recording]:
        """What ``record`` names, as far as the clock has come."""
        found: dict[str, Recording] = {}
        for ref, every in self.record.items():
            name, _, port_name = ref.partition(".")
            actor = self.actors.get(name)
            if actor is None:
                continue
            port = cast(Port, actor.member.outputs[port_name])
            if ref in self.read:
                recording = self.read[ref]
            elif port.at == "start":
                recording = Recording.of(port, [(0, 0, actor.start_outputs[port_name])])
            else:
                recording = Recording.of(port, actor.parts[port_name])
            if every is not None and port.at == "step":
                recording = thinned(recording, every, self.setting.end, self.setting.start)
            found[ref] = recording
        return found

    def close(self) -> None:
        """Finalize every component, whatever one of them says."""
        for actor in self.actors.values():
            try:
                actor.component.finalize()
            except (Exception, SystemExit):
                log.exception("%s failed in finalize", actor.name)
