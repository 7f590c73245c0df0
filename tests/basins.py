"""Water in basins: components with state for the tests of checkpoints and branches.

Installed as the package ``ldt_basins``; what they are told by the environment (to note, to wait, to die)
changes no result.
"""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np

import ldt_core as ldt

RAIN = ldt.Port({"time": ldt.instant(), "rain": ldt.number("mm", "x:rain", cell="mean")}, step="1h")
LEVEL = ldt.Port(
    {"time": ldt.instant(), "basin": ldt.text(), "level": ldt.number("m", "x:level", cell="mean")},
    entity="basin",
    id="basin",
)
GATE = ldt.Port({"open": ldt.number("1", "x:opening", cell="mean")})
PLACES = ldt.Port(
    {"basin": ldt.text(), "area": ldt.number("m2", "x:area")}, entity="basin", id="basin", at="start"
)


def note(*words: object) -> None:
    """One line per event, so that a test can count them."""
    if path := os.environ.get("LDT_TEST_NOTES"):
        with Path(path).open("a") as stream:
            stream.write(" ".join(map(str, words)) + "\n")


def strike(name: str, start: int) -> None:
    """Die, wait or fail once, as LDT_TEST_HOW says, at the window that LDT_TEST_AT names: ``basin@7200``."""
    if os.environ.get("LDT_TEST_AT") != f"{name}@{start // ldt.SECOND}":
        return
    mark = Path(os.environ["LDT_TEST_MARK"])
    if mark.exists():
        return
    mark.touch()
    how = os.environ.get("LDT_TEST_HOW", "die")
    if how == "fail":
        raise ValueError("struck")
    if how == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    while True:
        time.sleep(0.01)


class Rain(ldt.DataSource):
    """Made-up rain: one row per hour, and where the basins lie."""

    id = "rain"
    outputs = {"rain": RAIN, "places": PLACES}

    class Params(ldt.Params):
        amount: float = 1.0

    def version(self, query: ldt.Query) -> str:
        return "1"

    def read(self, query: ldt.Query) -> ldt.Tables:
        assert query.start is not None
        assert query.end is not None
        note("rain")
        times = np.arange(query.start, query.end, np.timedelta64(1, "h"))
        rain = self.params.amount * (1.0 + np.arange(len(times)) % 3)
        return {
            "rain": ldt.Table({"time": times, "rain": rain}),
            "places": ldt.Table({"basin": ["a", "b"], "area": [10.0, 20.0 * self.params.amount]}),
        }


class Basin(ldt.Simulator):
    """Two basins that fill by rain and chance, and empty through a hole as far as the gate is open."""

    id = "basin"
    stochastic = True
    live = ("hole", "label")
    inputs = {"rain": RAIN, "gate": GATE.replace(optional=True), "places": PLACES.replace(optional=True)}
    outputs = {"level": LEVEL, "shape": PLACES}

    class Params(ldt.Params):
        hole: float = 0.1
        depth: float = 1.0
        label: str = ""
        fussy: bool = False

    def initialize(self, inputs: ldt.Tables) -> ldt.Tables:
        note("initialize", "basin")
        self.level = np.full(2, self.params.depth) + self.context.rng.random(2)
        shape = ldt.Table({"basin": ["a", "b"], "area": self.params.hole * np.ones(2)})
        return {"shape": shape, "level": self._rows(0)}

    def _rows(self, start: int) -> ldt.Table:
        time = np.full(2, self.context.instant(start))
        return ldt.Table({"time": time, "basin": ["a", "b"], "level": self.level})

    def step(self, inputs: Any, until: int) -> ldt.Tables:
        start = self.context.window.start
        note("step", "basin", start // ldt.SECOND)
        strike("basin", start)
        opening = inputs["gate"]["open"][0] if "gate" in inputs else 1.0
        come = inputs["rain"]["rain"][0] * 0.01 + 0.1 * self.context.rng.random(2)
        self.level = self.level + come - self.params.hole * opening * self.level
        self.context.flag("highest", float(self.level.max()), "the highest level")
        return {"level": self._rows(start)}

    def get_state(self) -> bytes:
        return json.dumps([self.params.hole, self.level.tolist()]).encode()

    def set_state(self, state: bytes) -> None:
        hole, level = json.loads(state)
        if self.params.fussy and hole != self.params.hole:
            raise ldt.InputError("this state was saved with another hole", code="state foreign")
        self.level = np.array(level)


class Sieve(Basin):
    """A basin that cannot save its state."""

    id = "sieve-basin"

    def capabilities(self) -> frozenset[str]:
        return frozenset()


class Hasty(Basin):
    """A basin that stops its steps early."""

    id = "hasty-basin"

    def step(self, inputs: Any, until: int) -> Any:
        start = self.context.window.start
        return ldt.Step(super().step(inputs, until), min(until, start + 2500 * ldt.SECOND))


class Gate(ldt.Simulator):
    """Opens with the level that it saw last."""

    id = "gate"
    inputs = {"level": LEVEL}
    outputs = {"gate": GATE}

    class Params(ldt.Params):
        gain: float = 0.5

    def initialize(self, inputs: ldt.Tables) -> None:
        self.open = 0.0

    def step(self, inputs: Any, until: int) -> ldt.Tables:
        note("step", "gate", self.context.window.start // ldt.SECOND)
        strike("gate", self.context.window.start)
        self.open = 0.5 * self.open + self.params.gain * float(inputs["level"]["level"].mean())
        return {"gate": ldt.Table({"open": [self.open]})}

    def get_state(self) -> bytes:
        return json.dumps(self.open).encode()

    def set_state(self, state: bytes) -> None:
        self.open = json.loads(state)


class Harm(ldt.Model):
    """What the level does."""

    id = "harm"
    inputs = {"level": LEVEL}
    outputs = {"harm": LEVEL}

    class Params(ldt.Params):
        factor: float = 2.0

    def compute(self, inputs: Any) -> ldt.Tables:
        note("compute", "harm", self.context.window.start // ldt.SECOND)
        level = inputs["level"]
        return {"harm": level.with_columns(level=level["level"] * self.params.factor)}


class Luck(Harm):
    """Harm with chance, drawn window after window."""

    id = "luck"
    stochastic = True

    def compute(self, inputs: Any) -> ldt.Tables:
        level = inputs["level"]
        return {
            "harm": level.with_columns(level=level["level"] * self.params.factor * self.context.rng.random())
        }


class Once(ldt.Model):
    """Runs once, at the start."""

    id = "once"
    outputs = {"places": PLACES}

    class Params(ldt.Params):
        area: float = 1.0

    def compute(self, inputs: Any) -> ldt.Tables:
        return {"places": ldt.Table({"basin": ["a", "b"], "area": np.full(2, self.params.area)})}


@ldt.hookimpl
def ldt_data_sources() -> list[type[ldt.DataSource]]:
    return [Rain]


@ldt.hookimpl
def ldt_simulators() -> list[type[ldt.Simulator]]:
    return [Basin, Sieve, Hasty, Gate]


@ldt.hookimpl
def ldt_models() -> list[type[ldt.Model]]:
    return [Harm, Luck, Once]
