"""One FMU at work: FMI 2.0 and 3.0 behind the same few calls."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .description import Description, Variable

Value = float | int | bool | str
_OK, _DISCARD, _ERROR = 0, 2, 3
_LAST_TIME = 2  # fmi2LastSuccessfulTime among the kinds of status


class Slave:
    """Unpacked into ``folder``, instantiated and initialized. What it says goes to ``say``."""

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
        if self.second:
            self.fmu.setupExperiment(**limits)
        groups.set(self, list(start.values()))
        self.fmu.enterInitializationMode(**({} if self.second else limits))
        self.fmu.exitInitializationMode()

    def step(self, time: float, size: float) -> float:
        """Advance; the time reached, which lies before ``time + size`` where the FMU stopped early."""
        from fmpy.fmi1 import FMICallException

        try:
            answer = self.fmu.doStep(currentCommunicationPoint=time, communicationStepSize=size)
        except FMICallException as exc:
            reached = time
            if self.second and exc.status == _DISCARD:
                reached = float(self.fmu.getRealStatus(_LAST_TIME))
            if reached > time:
                return reached
            self._fault = exc.status
            raise RuntimeError(
                f"the FMU could not step from {time:g} s by {size:g} s: {exc} It said: {self.last_words or 'nothing'}"
            ) from exc
        if self.second:
            return time + size
        _, ended, early, reached = answer
        if ended:
            raise RuntimeError(f"the FMU asks for the end of the simulation at {reached:g} s")
        return float(reached) if early else time + size

    def save(self) -> bytes:
        state = self.fmu.getFMUState()
        try:
            save = self.fmu.serializeFMUstate if self.second else self.fmu.serializeFMUState
            return bytes(save(state))
        finally:
            self.fmu.freeFMUState(state)

    def load(self, saved: bytes) -> None:
        load = self.fmu.deSerializeFMUstate if self.second else self.fmu.deserializeFMUState
        state = load(saved)
        try:
            self.fmu.setFMUState(state)
        finally:
            self.fmu.freeFMUState(state)

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
