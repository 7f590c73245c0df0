"""Specimens: simulators whose states, failed steps, balances and exchanges are at fault."""

from __future__ import annotations

import json
import pickle
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

import ldt_core as ldt

from . import mutant
from .simulators import EXAMPLE, MARK, GoodSimulator, table_of

# -- states ----------------------------------------------------------------------------------------


@mutant("LDT-SIM-CKPT-01", EXAMPLE)
class ForgetsItsGenerator(GoodSimulator):
    """Draws from a generator of its own, and its state does not say where that stands."""

    def initialize(self, inputs: ldt.Tables) -> ldt.Tables:
        self.own = np.random.default_rng(self.context.seed)
        return super().initialize(inputs)

    def step(self, inputs: ldt.Tables, until: int) -> ldt.Step:
        held = self.own.bit_generator.state
        try:
            return super().step(inputs, until)
        except Exception:
            self.own.bit_generator.state = held
            raise

    def _gust(self) -> float:
        return float(self.own.uniform(0.8, 1.0))


@mutant("LDT-SIM-CKPT-02", EXAMPLE)
class OverlooksTornStates(GoodSimulator):
    """What cannot be read is passed over, and it goes on from wherever it stands."""

    def set_state(self, state: bytes) -> None:
        with suppress(ldt.InputError):
            super().set_state(state)


@mutant("LDT-SIM-CKPT-02", EXAMPLE)
class EmptiesBeforeItReads(GoodSimulator):
    """Makes room for a state before it knows that there is one."""

    def set_state(self, state: bytes) -> None:
        self.volume = np.zeros(len(self.ids))
        super().set_state(state)


@mutant("LDT-SIM-CKPT-02", EXAMPLE, doors=("here", "process"))  # a service looks for its own mark first
class TakesTheOldHalf(GoodSimulator):
    """Takes what a state of the first version held, and keeps the wind that it has."""

    def _opened(self, state: bytes) -> tuple[int, float, Any]:
        old = MARK.replace(b"2", b"1")
        if state.startswith(old):
            time, volume = json.loads(state[len(old) :])
            return time, self.wind, np.array([float.fromhex(v) for v in volume])
        return super()._opened(state)


@mutant("LDT-SIM-CKPT-02", EXAMPLE, doors=("here", "process"))  # a service looks for its own mark first
class RunsItsStates(GoodSimulator):
    """A state is a pickle: a program that is run when it is read."""

    def get_state(self) -> bytes:
        return pickle.dumps((self.time, self.wind, self.volume.tolist(), self.ids.tolist(), "end"))

    def _opened(self, state: bytes) -> tuple[int, float, Any]:
        try:
            time, wind, volume, ids, _ = pickle.loads(state)  # noqa: S301 - the fault that is shown
        except Exception:
            raise ldt.InputError("this is no state of these drains", where="state") from None
        if ids != self.ids.tolist():
            raise ldt.InputError("the state is that of other gullies", where="state")
        return time, wind, np.array(volume)


@mutant("LDT-SIM-STEP-01", EXAMPLE, doors=("here",))  # elsewhere it is too quick to be cancelled half-way
class ForgetsToRollBack(GoodSimulator):
    """A step that was cancelled half-way leaves half of it behind."""

    def step(self, inputs: ldt.Tables, until: int) -> ldt.Step:
        return self._advance(inputs, until)


@mutant("LDT-SIM-STEP-01", EXAMPLE, doors=("here", "process"))  # a session ends with a step that failed
class PoursBeforeItLooks(GoodSimulator):
    """Takes the rain of one gully after another, until it comes to one that it does not know."""

    def _advance(self, inputs: ldt.Tables, until: int) -> ldt.Step:
        rain = table_of(inputs["rain"])
        for name in rain["gully"]:
            if name not in self.at:
                self.volume[:1] += 1.0  # in place: what was held for a way back is written too
        return super()._advance(inputs, until)


# -- what is kept and exchanged --------------------------------------------------------------------


@mutant("LDT-SIM-LAW-01", EXAMPLE)
class Leaks(GoodSimulator):
    """Loses one hundredth of its water in every tick."""

    def _drain(self, rain: Any, seconds: float, caught: Any, left: Any) -> None:
        super()._drain(rain, seconds, caught, left)
        self.volume = self.volume * 0.99


@mutant("LDT-SIM-LAW-01", EXAMPLE)
class MindsTheWords(GoodSimulator):
    """A list of no closed gullies that was written down is not the same to it as one that was not."""

    def _gust(self) -> float:
        return super()._gust() * (0.9 if "closed" in self.params.model_fields_set else 1.0)


@mutant("LDT-SIM-CPL-01", EXAMPLE, doors=("here", "process"))  # a service keeps its cache to itself
class PeeksAtTheNextRain(GoodSimulator):
    """Keeps the rain of a run in its folder, and in the next one drains before it comes."""

    def __init__(self, params: Any = None, context: ldt.Context | None = None) -> None:
        super().__init__(params, context)
        self.memory = self.context.cache / "rain.json"
        self.known = json.loads(self.memory.read_text(encoding="utf-8")) if self.memory.exists() else {}
        self.seen: dict[str, list[float]] = {}

    def _rain(self, rain: ldt.Table) -> Any:
        found = super()._rain(rain)
        self.seen[str(self.time)] = found.tolist()
        coming = self.known.get(str(self.time + self.params.longest), self.seen[str(self.time)])
        return found + 0.01 * np.array(coming)

    def finalize(self) -> None:
        self.memory.write_text(json.dumps(self.seen), encoding="utf-8")


@mutant("LDT-SIM-CPL-01", EXAMPLE)
class DeafToRain(GoodSimulator):
    """Reads its input, and rains five millimetres an hour."""

    def _rain(self, rain: ldt.Table) -> Any:
        return 0.0 * super()._rain(rain) + 5.0 / 3.6e6


FLOWS = GoodSimulator.outputs["flows"]


@mutant("LDT-SIM-CPL-01", replace(EXAMPLE, balances=()))
class MeasuresInFurlongz(GoodSimulator):
    """A unit that nobody knows."""

    outputs = {
        **GoodSimulator.outputs,
        "flows": FLOWS.replace(
            columns={**FLOWS.columns, "left": ldt.number("furlongz", "x:left", cell="sum")}
        ),
    }
