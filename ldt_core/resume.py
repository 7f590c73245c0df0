"""A stage's checkpoints in the store: two that take turns, to go on after a kill, and one for each instant
at which a scenario leaves.

All are entries like any other, so they are written whole or not at all, checked when they are read,
listed, and collected when space is short: a checkpoint that is gone costs time, and no result. Their keys
are made from the stage's own key, so those of other inputs, parameters or code can never be met.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace

import numpy as np

from .checkpoint import LAYOUT, Checkpoint, Refused, common_step, pack, unpack, windows_before
from .errors import LdtError, ScheduleError, StoreError
from .interfaces import format_instant
from .store import Entry, Store
from .tables import Recording
from .twin import CheckpointRules

SHARE = 0.05
"""Of the time of computing, what saving by ``seconds`` may take at most."""
_FILE = "checkpoint"
_log = logging.getLogger("ldt.checkpoints")


def checkpoint_key(stage: str, at: int) -> str:
    """The key of the checkpoint of a stage (its key) at an instant (us) at which a scenario leaves it."""
    return Store.key({"checkpoint": LAYOUT, "of": stage, "at": at})


def slot_keys(stage: str) -> list[str]:
    """The keys of the two checkpoints that take turns."""
    return [Store.key({"checkpoint": LAYOUT, "of": stage, "slot": n}) for n in (0, 1)]


def checkpoint_digest(entry: Entry) -> str:
    """What stands for a checkpoint in the key of what goes on from it."""
    return str(entry.record["files"][_FILE]["sha256"])


def read_checkpoint(entry: Entry, stage: str) -> Checkpoint:
    """Raises ``Refused``: torn, foreign or older."""
    try:
        return unpack(entry.file(_FILE), stage)
    except (StoreError, KeyError) as exc:
        raise Refused(exc.what if isinstance(exc, StoreError) else "it holds no checkpoint") from exc


class Checkpoints:
    """Keeps the checkpoints of one stage; the ``Saver`` of the loop that computes it.

    ``steps`` are the steps (us) of its members, None where it cannot be saved. ``wanted`` are the instants
    at which scenarios leave it; ``known`` is its result where that is there already, so that only they
    are still to be made. What could not be made stays in ``wanted``.
    """

    def __init__(
        self,
        store: Store,
        key: str,
        owner: str,
        rules: CheckpointRules,
        steps: Iterable[int] | None,
        wanted: Iterable[int] = (),
        known: Entry | None = None,
    ) -> None:
        self.store, self.key, self.owner, self.known = store, key, owner, known
        self.wanted = {at for at in wanted if store.find(checkpoint_key(key, at)) is None}
        self._slots = slot_keys(key)
        self._turn = 0
        steps = list(steps or ())
        self._common = common_step(steps) if steps else 0
        self._rolling = bool(steps) and known is None
        lengths = [rules.every, rules.windows and rules.windows * max(steps, default=0)]
        self._length = min((n for n in lengths if n), default=None)
        self._waiting = sorted(self.wanted) if steps else []
        self._seconds = self._pause = rules.seconds
        self._since(0)

    # -- finding ----------------------------------------------------------------------------

    def saved(self) -> Iterator[Checkpoint]:
        """What the stage can go on from, the latest first. What cannot be read is named and set aside."""
        found = [(e.meta["at"], turn, e) for turn in (0, 1) if (e := self.store.find(self._slots[turn]))]
        for at, turn, entry in sorted(found, key=lambda item: item[0], reverse=True):
            if at > min(self.wanted, default=at):
                continue
            self._turn = 1 - turn
            try:
                checkpoint = read_checkpoint(entry, self.key)
            except Refused as exc:
                self.refuse(exc)
                continue
            self._since(checkpoint.at)
            yield checkpoint
        self._since(0)

    def refuse(self, why: Refused) -> None:
        """Say why the checkpoint found last is not used, and set it aside."""
        _log.warning("%s: a checkpoint is refused: %s; nothing is lost but time", self.owner, why)
        with suppress(StoreError):
            self.store.quarantine(self._slots[1 - self._turn])

    # -- keeping ----------------------------------------------------------------------------

    def _since(self, at: int) -> None:
        self._last, self._moment = at, time.monotonic()

    def stop_after(self, latest: int) -> int | None:
        stops = []
        while self._waiting and self._waiting[0] < latest:
            del self._waiting[0]
        if self._waiting:
            stops.append(self._waiting[0])
        if self._rolling and (at := self._due(latest)) is not None:
            stops.append(at)
        stop = min(stops, default=None)
        if stop is not None and self._waiting and stop == self._waiting[0]:
            del self._waiting[0]
        return stop

    def _due(self, latest: int) -> int | None:
        """The next common boundary at which it is time to save again."""
        earliest = []
        if self._length is not None:
            earliest.append(max(self._last + self._length, latest))
        if self._pause is not None and time.monotonic() - self._moment >= self._pause:
            earliest.append(max(self._last + 1, latest))
        return -(-min(earliest) // self._common) * self._common if earliest else None

    def stand(self, at: int, capture: Callable[[], Checkpoint]) -> bool:
        if at in self.wanted:
            self._keep(at, capture())
            return self.known is None or bool(self._waiting)
        begun = time.monotonic()
        try:
            data = pack(capture(), self.key)
            slot = self._slots[self._turn]
            self.store.remove(slot)
            self.store.put(slot, {}, {"at": at}, owner=f"checkpoint of {self.owner}", files={_FILE: data})
        except LdtError as exc:
            _log.warning("%s: no checkpoint can be saved: %s", self.owner, exc)
            self._rolling = False
            return True
        self._turn = 1 - self._turn
        self._since(at)
        if self._seconds is not None:
            self._pause = max(self._seconds, (self._moment - begun) / SHARE)
        return True

    def _keep(self, at: int, checkpoint: Checkpoint) -> None:
        """The checkpoint that another scenario goes on from; what was recorded is in the stage's result."""
        if self.known is not None:
            self._refuse_other_rows(self.known, checkpoint)
        data = pack(replace(checkpoint, recorded={}), self.key)
        fields = {"checkpoint": LAYOUT, "of": self.key, "at": at}
        owner = f"checkpoint of {self.owner}"
        self.store.put(
            checkpoint_key(self.key, at), {}, {"at": at}, owner=owner, files={_FILE: data}, fields=fields
        )
        self.wanted.discard(at)

    def _refuse_other_rows(self, known: Entry, checkpoint: Checkpoint) -> None:
        """A component that draws from elsewhere gives a state that is not that of its stored rows."""
        for ref, parts in checkpoint.recorded.items():
            if ref not in known.ports:
                continue
            recording = known.recording(ref)
            ended = Recording.of(recording.port, windows_before(recording, checkpoint.at))
            again = Recording.of(recording.port, parts)
            if len(ended) == len(again) and ended.digest != again.digest:
                raise StoreError(
                    f"{self.owner} gave other content for {ref} than at {known.created}, from the same inputs",
                    code="same key but other content",
                    where=self.owner,
                    fix="its result depends on what the key does not know; `ldt store verify` and the"
                    " component's author can say more",
                )

    def refuse_missed(self, start: np.datetime64) -> None:
        """Raise ``ScheduleError`` (not a boundary) where windows went on across a wanted instant."""
        for at in sorted(self.wanted):
            raise ScheduleError(
                f"a window of '{self.owner}' goes on across {format_instant(start, at)}, at which"
                " another scenario leaves it: it ended steps early",
                code="not a boundary",
                where=self.owner,
                fix="branch at another instant, or run that scenario from the start: remove branch",
            )

    def clear(self) -> None:
        """The stage is done: what it could have gone on from is of no more use."""
        for slot in self._slots:
            with suppress(StoreError):
                self.store.remove(slot)
