"""One FMU at work: FMI 2.0 and 3.0 behind the same few calls."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ldt_core as ldt

from .description import Description, Variable

Value = float | int | bool | str
_OK, _DISCARD, _ERROR = 0, 2, 3
_LAST_TIME = 2  # fmi2LastSuccessfulTime among the kinds of status
_MARK = b"ldt-fmu-state 1\n"


class Slave:
    """Unpacked into ``folder``, instantiated and initialized. What it says goes to ``say``.

    Raises ``ParamError`` where the FMU does not start, ``InputError`` where it refuses a value or a step: after that the
    standard allows nothing but its end.
    """

    def __init__(
        self,
        found: Description,
        folder: Path,
        start: Mapping[str, Value],
        time: float,
        tolerance: float | None,
        say: Callable[[str], None],
    ) -> None:
        import fmpy
        from fmpy.simulation import instantiate_fmu

        self.second = found.version == "2.0"
        self._name = found.name
        self._token = str(found.model.guid if self.second else found.model.instantiationToken).encode()
        self.last_words = ""
        self._fault = _OK
        self._say = say
        fmpy.extract(str(found.path), str(folder))
        self.fmu = instantiate_fmu(
            str(folder),
            found.model,
            "CoSimulation",
            logger=self._hear_2 if self.second else self._hear_3,
            early_return_allowed=found.early_return,
            debug_logging=True,  # else many an FMU keeps silent about its errors, too
        )
        groups = Group([found.variables[n] for n in start])
        limits = {"tolerance": tolerance, "startTime": time}
        with self._understood("did not start", ldt.ParamError, "correct start: and tolerance:"):
            if self.second:
                self.fmu.setupExperiment(**limits)
            groups.set(self, list(start.values()))
            self.fmu.enterInitializationMode(**({} if self.second else limits))
            self.fmu.exitInitializationMode()

    @contextlib.contextmanager
    def _understood(self, what: str, kind: type[ldt.LdtError], fix: str) -> Iterator[None]:
        """What the FMU refuses, in the contract's words and with its own last ones."""
        from fmpy.fmi1 import FMICallException

        try:
            yield
        except FMICallException as exc:
            self._fault = exc.status
            said = self.last_words or "nothing"
            raise kind(f"the FMU {what}: {exc} It said: {said}", code="refused by the FMU", fix=fix) from exc

    def set(self, groups: Mapping[str, Group], values: Mapping[str, Value]) -> None:
        """Set inputs, each by its name."""
        for name, value in values.items():
            with self._understood(f"refuses {value!r} for '{name}'", ldt.InputError, "give what it allows"):
                groups[name].set(self, [value])

    def step(self, time: float, size: float) -> float:
        """Advance; the time reached, which lies before ``time + size`` where the FMU stopped early."""
        from fmpy.fmi1 import FMICallException

        what = f"could not step from {time:g} s by {size:g} s"
        with self._understood(
            what, ldt.InputError, "look at the window's inputs, and at the values in start:"
        ):
            try:
                answer = self.fmu.doStep(currentCommunicationPoint=time, communicationStepSize=size)
            except FMICallException as exc:
                if self.second and exc.status == _DISCARD:
                    reached = float(self.fmu.getRealStatus(_LAST_TIME))
                    if reached > time:
                        return reached
                raise
        if self.second:
            return time + size
        _, ended, early, reached = answer
        if ended:
            raise RuntimeError(f"the FMU asks for the end of the simulation at {reached:g} s")
        return float(reached) if early else time + size

    @property
    def failed(self) -> bool:
        """Whether it refused something, so that it can only be ended."""
        return self._fault != _OK

    def save(self) -> bytes:
        """Its state behind a mark and a digest: few FMUs can tell torn or foreign bytes from their own."""
        state = self.fmu.getFMUState()
        try:
            save = self.fmu.serializeFMUstate if self.second else self.fmu.serializeFMUState
            body = bytes(save(state))
        finally:
            self.fmu.freeFMUState(state)
        return _MARK + self._digest(body) + body

    def load(self, saved: bytes) -> None:
        """Raises ``InputError`` for bytes that are no state of this FMU."""
        mark, body = saved[: len(_MARK) + 32], saved[len(_MARK) + 32 :]
        if mark != _MARK + self._digest(body):
            raise ldt.InputError(
                f"this is no state of the FMU '{self._name}'", code="state", fix="run from the start"
            )
        load = self.fmu.deSerializeFMUstate if self.second else self.fmu.deserializeFMUState
        with self._understood("refuses a state", ldt.InputError, "run from the start"):
            state = load(body)
            try:
                self.fmu.setFMUState(state)
            finally:
                self.fmu.freeFMUState(state)

    def _digest(self, body: bytes) -> bytes:
        return hashlib.sha256(self._token + b"\0" + body).digest()

    def close(self) -> None:
        """End it. The standard allows no terminate after an error, and no call at all after a fatal one."""
        if self._fault < _ERROR:
            with contextlib.suppress(Exception):  # a broken FMU may refuse its end, which changes no result
                self.fmu.terminate()
        if self._fault <= _ERROR:
            with contextlib.suppress(Exception):
                self.fmu.freeInstance()

    def _hear_2(self, environment: Any, instance: Any, status: int, category: Any, message: Any) -> None:
        self._hear(status, message)

    def _hear_3(self, environment: Any, status: int, category: Any, message: Any) -> None:
        self._hear(status, message)

    def _hear(self, status: int, message: Any) -> None:
        if status == _OK:
            return
        self.last_words = message.decode("utf-8", "replace") if isinstance(message, bytes) else str(message)
        self._say(self.last_words)


class Group:
    """Variables that are read or written together, by one call for each of their types."""

    def __init__(self, variables: Sequence[Variable]) -> None:
        self.variables = list(variables)
        by_type: dict[str, list[int]] = {}
        for number, variable in enumerate(self.variables):
            kind = "Int32" if variable.type == "Enumeration" else variable.type
            by_type.setdefault(kind, []).append(number)
        self._calls = [(t, at, [self.variables[n].reference for n in at]) for t, at in by_type.items()]

    def get(self, slave: Slave) -> list[Any]:
        """One value per variable, in their order."""
        found: list[Any] = [None] * len(self.variables)
        for kind, at, references in self._calls:
            values = getattr(slave.fmu, f"get{_call_of(kind, slave)}")(references)
            for number, value in zip(at, values, strict=True):
                found[number] = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        return found

    def set(self, slave: Slave, values: Sequence[Value]) -> None:
        for kind, at, references in self._calls:
            getattr(slave.fmu, f"set{_call_of(kind, slave)}")(references, [values[n] for n in at])


def _call_of(kind: str, slave: Slave) -> str:
    if kind == "Int32" and slave.second:
        return "Integer"
    return {"Enumeration": "Int64"}.get(kind, kind)
