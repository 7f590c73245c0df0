"""One member of a stage at work: its instance, its clock, what it reads and what it gave."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from .errors import Cancelled, InputError, LdtError
from .faults import absent, broken, guarded, placed, raise_told, span
from .interfaces import AnyPort, Component, Simulator, Step, Window
from .resample import History, Part
from .tables import Checker, Seen, Table, check
from .windows import Unit
from .wires import Read, Wire

Add = Callable[[Part], None]


@dataclass(frozen=True)
class Member:
    """One component of a stage, ready to be built. ``step`` is None for what runs once."""

    name: str
    component: type[Component]
    params: Any
    inputs: Mapping[str, AnyPort]
    outputs: Mapping[str, AnyPort]
    step: int | None
    seed: int


@dataclass(frozen=True)
class Setting:
    """What all members share: the run's first instant, its length, the twin's place."""

    start: np.datetime64
    end: int
    crs: str
    bbox: tuple[float, float, float, float] | None
    scratch: Path
    cache: Path


class Actor(Unit):
    """A member at work.

    ``time`` is the instant that it has reached, ``histories`` the buffers of the links that leave it
    by port, ``parts`` the windows recorded so far by port.
    """

    def __init__(
        self, member: Member, component: Component, wires: list[Wire], cancelled: Callable[[], bool]
    ) -> None:
        super().__init__(member.name, member.step or 0)
        self.member = member
        self.component = component
        self.context = component.context
        self.cancelled = cancelled
        self.start_wires = [w for w in wires if member.inputs[w.input].at == "start"]
        self.wires = [w for w in wires if member.inputs[w.input].at == "step"]
        self.start_inputs: dict[str, Any] = {}
        self.start_outputs: dict[str, Table] = {}
        self.readers: list[tuple[str, Read]] = []
        self.histories: dict[str, list[History]] = {}
        self.forget: list[Callable[[int], None]] = []
        self.parts: dict[str, list[Part]] = {}
        self.outs: list[tuple[str, Checker, list[Add], list[Add]]] = []

    def bind(self, seen: Seen) -> None:
        """Bind once what every window needs: the output checks and the call into the component."""
        self.seen = seen
        self.outs = []
        for name, port in self.member.outputs.items():
            if port.at == "step":
                histories, recorded = self.histories.get(name, []), self.parts.get(name)
                adds = [h.parts.append for h in histories if not h.planned]
                adds += [] if recorded is None else [recorded.append]
                planned = [h.parts.append for h in histories if h.planned]
                self.outs.append((name, Checker(port, f"{self.name}.{name}", seen), adds, planned))
        component = self.component
        self.call: Callable[[Any, int], Any]
        if isinstance(component, Simulator):
            self.call = component.step
        elif self.start_inputs:
            self.call = lambda inputs, until: component.compute({**self.start_inputs, **inputs})  # type: ignore[attr-defined]
        else:
            self.call = lambda inputs, until: component.compute(inputs)  # type: ignore[attr-defined]

    def advance(self, start: int, until: int) -> int:
        """Read, run and keep the window from ``start`` to ``until``. Returns the instant reached."""
        if self.cancelled():
            raise Cancelled("the run was cancelled", code="cancelled", where=self.name)
        seen = self.seen
        window = seen.window
        if window[0] != start or window[1] != until:
            seen.window = window = Window(start, until)
        self.context.window = window
        try:
            inputs = {}
            for name, read in self.readers:
                inputs[name] = read(start, until)
        except LdtError as exc:
            exc.where = placed(self.name, span(start, until), exc.where)
            raise
        out: Any
        try:
            out = self.call(inputs, until)
        except (Exception, SystemExit) as exc:
            raise_told(self.name, span(start, until), exc)
        reached = until
        if type(out) is Step:
            reached = self._reached(out.reached, start, until)
            out = out.tables
        for name, checker, adds, planned in self.outs:
            try:
                data = out[name]
            except (KeyError, TypeError, IndexError):
                raise absent(self.name, name, span(start, until)) from None
            try:
                table = cast(Table, checker(data))
            except InputError as exc:
                raise broken(f"{exc.where} in {span(start, until)}", exc.what) from exc
            if adds:
                part = (start, reached, table)
                for add in adds:
                    add(part)
            for add in planned:
                add((start, until, table))
        self.time = reached
        for forget in self.forget:
            forget(reached)
        return reached

    def _reached(self, reached: Any, start: int, until: int) -> int:
        whole = isinstance(self.component, Simulator) and isinstance(reached, (int, np.integer))
        if whole and start < reached <= until:
            return int(reached)
        raise broken(
            f"{self.name} in {span(start, until)}",
            f"step reached {reached!r} us, asked were {start} < t <= {until} us",
        )

    def get_state(self) -> bytes | None:
        """What the component gives as its state; None for a model."""
        if not isinstance(self.component, Simulator):
            return None
        state = guarded(self.name, "get_state", self.component.get_state)
        if not isinstance(state, (bytes, bytearray, memoryview)):
            raise broken(self.name, f"get_state returned a {type(state).__name__}, not bytes")
        return bytes(state)

    def set_state(self, state: bytes) -> None:
        component = cast(Simulator, self.component)
        guarded(self.name, "set_state", lambda: component.set_state(state))

    def checked(self, out: Any, name: str, port: AnyPort, what: str) -> Table:
        """The table of one output port, as the port promises it."""
        try:
            data = out[name]
        except (KeyError, TypeError, IndexError):
            raise absent(self.name, name, what) from None
        try:
            return cast(Table, check(data, port, f"{self.name}.{name}"))
        except InputError as exc:
            raise broken(f"{exc.where} in {what}", exc.what) from exc
