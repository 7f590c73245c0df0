"""Specimens: simulators. Rain on a small, made-up network of gullies that drain into one another."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import ldt_core as ldt

from ..example import Example
from . import good, mutant

START = np.datetime64("2026-03-02T05:00", "us")
TICK = ldt.parse_duration("10min")
MARK = b"zoo drains 2\n"

GULLIES = ldt.Table(
    {
        "gully": ["hill", "market", "Zoë's park", "outfall"],
        "into": ["market", "outfall", "outfall", ""],
        "area": [1200.0, 800.0, 2500.0, 300.0],
    }
)
RAIN = ldt.Table(
    {
        "time": np.repeat(START + np.arange(3) * np.timedelta64(1, "h"), 4),
        "gully": ["hill", "market", "Zoë's park", "outfall"] * 3,
        "rain": [4.0, 3.5, 6.0, 2.0, 12.0, 10.0, 9.5, 8.0, 0.0, 0.5, 1.0, 0.0],
    }
)
EXAMPLE = Example(
    params={"drain_time": "30 min", "longest": "40min"},
    start=START,
    windows=3,
    inputs={"gullies": GULLIES, "rain": RAIN},
    balances=(
        {
            "name": "water",
            "unit": "m3",
            "stored": ["levels.volume"],
            "in": ["flows.caught"],
            "out": ["flows.left"],
        },
    ),
    nothing={"params": {"drain_time": "1800 s", "closed": []}},
    states=(b'zoo drains 1\n[3600, ["0x1p+1", "0x1p+1", "0x1p+1", "0x1p+1"]]',),
)


@good(EXAMPLE)
class GoodSimulator(ldt.Simulator):
    """Linear reservoirs, one after another, on a clock of ten minutes; wind takes a part of the rain."""

    id = "zoo-simulator"
    title = "Drains of the zoo"
    stochastic = True
    step_default = "1h"
    tolerances = {"volume": 1e-9, "caught": 1e-9, "left": 1e-9}
    inputs = {
        "gullies": ldt.Port(
            {
                "gully": ldt.text(),
                "into": ldt.text(description="the gully that it drains into; empty: out of the network"),
                "area": ldt.number("m2", "area", range=(0.0, 1e7)),
            },
            at="start",
            entity="gully",
            id="gully",
        ),
        "rain": ldt.Port(
            {
                "time": ldt.instant(),
                "gully": ldt.text(),
                "rain": ldt.number("mm/h", "rainfall_rate", cell="mean", range=(0.0, 500.0)),
            },
            entity="gully",
            id="gully",
        ),
    }
    outputs = {
        "levels": ldt.Port(
            {
                "time": ldt.instant(),
                "gully": ldt.text(),
                "volume": ldt.number("m3", "x:water_volume", range=(0.0, 1e9)),
            },
            entity="gully",
            id="gully",
        ),
        "flows": ldt.Port(
            {
                "time": ldt.instant(),
                "gully": ldt.text(),
                "caught": ldt.number("m3", "x:rain_caught", cell="sum"),
                "left": ldt.number("m3", "x:water_left", cell="sum", description="out of the network"),
            },
            entity="gully",
            id="gully",
        ),
    }

    class Params(ldt.Params):
        drain_time: ldt.Duration = ldt.parse_duration("30min")
        longest: ldt.Duration | None = ldt.Field(None, description="advance no further in one step")
        closed: list[str] = ldt.Field([], description="gullies that nothing leaves")

    def initialize(self, inputs: ldt.Tables) -> ldt.Tables:
        gullies = table_of(inputs["gullies"])
        self.ids: Any = gullies["gully"]
        self.at = {name: i for i, name in enumerate(self.ids.tolist())}
        if len(self.at) < len(self.ids):
            raise ldt.InputError("a gully stands twice", where="gullies", fix="name each gully once")
        unknown = sorted({*gullies["into"].tolist()} - {"", *self.at})
        if unknown:
            raise ldt.InputError(
                f"'{unknown[0]}' is no gully", where="gullies.into", fix="name a gully of the table, or none"
            )
        self.into = np.array([self.at.get(name, -1) for name in gullies["into"]], np.int64)
        self.area = gullies["area"]
        self.open = np.array([name not in self.params.closed for name in self.ids], float)
        self.time, self.volume, self.wind, self.tick = 0, np.zeros(len(self.ids)), 1.0, TICK
        return {"levels": self._levels()}

    def step(self, inputs: ldt.Tables, until: int) -> ldt.Step:
        held = self.time, self.wind, self.volume
        try:
            return self._advance(inputs, until)
        except Exception:
            self.time, self.wind, self.volume = held
            raise

    def _advance(self, inputs: ldt.Tables, until: int) -> ldt.Step:
        rain = self._rain(table_of(inputs["rain"]))
        if self.params.longest is not None:
            until = min(until, self.time + self.params.longest)
        caught, left, start = np.zeros(len(self.ids)), np.zeros(len(self.ids)), self.time
        while self.time < until:
            self.context.check_cancelled()
            if self.time % self.tick == 0:
                self.wind = self._gust()
            end = min(until, self.time - self.time % self.tick + self.tick)
            self._drain(rain * self.wind, (end - self.time) / ldt.SECOND, caught, left)
            self.time = end
            self.context.progress((end - start) / (until - start))
        stamp = np.full(len(self.ids), self.context.instant(start))
        flows = {"time": stamp, "gully": self.ids, "caught": caught, "left": left}
        return ldt.Step({"levels": self._levels(), "flows": ldt.Table(flows)}, until)

    def _gust(self) -> float:
        return float(self.context.rng.uniform(0.8, 1.0))

    def _rain(self, rain: ldt.Table) -> Any:
        """Of each gully, in m/s."""
        unknown = sorted({*rain["gully"].tolist()} - {*self.at})
        if unknown:
            raise ldt.InputError(
                f"'{unknown[0]}' is no gully", where="rain.gully", fix="rain on gullies only"
            )
        found = np.zeros(len(self.ids))
        for name, rate in zip(rain["gully"], rain["rain"], strict=True):
            found[self.at[name]] = rate / 3.6e6
        return found

    def _drain(self, rain: Any, seconds: float, caught: Any, left: Any) -> None:
        """Every reservoir gives an exponential share of what it holds, then takes what comes."""
        share = -np.expm1(-seconds * ldt.SECOND / self.params.drain_time) * self.open
        given = self.volume * share
        taken = rain * self.area * seconds
        self.volume = self.volume - given + taken
        inside = self.into >= 0
        np.add.at(self.volume, self.into[inside], given[inside])
        caught += taken
        left += np.where(inside, 0.0, given)

    def _levels(self) -> ldt.Table:
        stamp = np.full(len(self.ids), self.context.instant(self.time))
        return ldt.Table({"time": stamp, "gully": self.ids, "volume": self.volume.copy()})

    def get_state(self) -> bytes:
        held = [self.time, self.wind.hex(), [v.hex() for v in self.volume.tolist()], self.ids.tolist()]
        content = json.dumps(held, ensure_ascii=False).encode()
        return MARK + hashlib.sha256(content).hexdigest().encode() + content

    def set_state(self, state: bytes) -> None:
        time, wind, volume = self._opened(state)
        self.time, self.wind, self.volume = time, wind, volume

    def _opened(self, state: bytes) -> tuple[int, float, Any]:
        """All of it is read before any of it is taken."""
        digest, content = state[len(MARK) : len(MARK) + 64], state[len(MARK) + 64 :]
        whole = state.startswith(MARK) and digest == hashlib.sha256(content).hexdigest().encode()
        if not whole:
            raise ldt.InputError("this is no whole state of these drains", where="state", fix="begin anew")
        time, wind, volume, ids = json.loads(content)
        if ids != self.ids.tolist():
            raise ldt.InputError("the state is that of other gullies", where="state", fix="begin anew")
        return time, float.fromhex(wind), np.array([float.fromhex(v) for v in volume])


def table_of(data: Any) -> ldt.Table:
    assert isinstance(data, ldt.Table)
    return data


# -- time ------------------------------------------------------------------------------------------


@mutant("LDT-SIM-TIME-01", EXAMPLE)
class Overshoots(GoodSimulator):
    """Goes on to the end of its own tick, beyond what it was asked."""

    def step(self, inputs: ldt.Tables, until: int) -> ldt.Step:
        return super().step(inputs, until + TICK)


@mutant("LDT-SIM-TIME-01", EXAMPLE)
class StampsTheEnd(GoodSimulator):
    """Amounts of a window carry its end."""

    def step(self, inputs: ldt.Tables, until: int) -> ldt.Step:
        tables, reached = super().step(inputs, until)
        flows = table_of(tables["flows"])
        late = np.full(len(flows), self.context.instant(reached))
        return ldt.Step({**tables, "flows": flows.with_columns(time=late)}, reached)


@mutant("LDT-SIM-TIME-01", EXAMPLE)
class LooksAhead(GoodSimulator):
    """Levels carry an instant that it has not reached."""

    def step(self, inputs: ldt.Tables, until: int) -> ldt.Step:
        tables, reached = super().step(inputs, until)
        levels = table_of(tables["levels"])
        ahead = np.full(len(levels), self.context.instant(reached + 1))
        return ldt.Step({**tables, "levels": levels.with_columns(time=ahead)}, reached)


@mutant("LDT-SIM-TIME-01", EXAMPLE)
class SaysNothing(GoodSimulator):
    """Tables without rows, whatever happens."""

    def initialize(self, inputs: ldt.Tables) -> ldt.Tables:
        return _emptied(super().initialize(inputs))

    def step(self, inputs: ldt.Tables, until: int) -> ldt.Step:
        tables, reached = super().step(inputs, until)
        return ldt.Step(_emptied(tables), reached)


def _emptied(tables: ldt.Tables) -> ldt.Tables:
    return {n: table_of(t).slice(0, 0) for n, t in tables.items()}


@mutant("LDT-SIM-TIME-02", replace(EXAMPLE, params={"drain_time": "30 min"}))
class OneStrideAStep(GoodSimulator):
    """Drains once in every step, however long that is."""

    def step(self, inputs: ldt.Tables, until: int) -> ldt.Step:
        self.tick = until - self.time
        return super().step(inputs, until)


# -- repeating -------------------------------------------------------------------------------------


@mutant("LDT-SIM-DET-01", EXAMPLE)
class LookingAdvancesChance(GoodSimulator):
    """Draws while its state is read."""

    def get_state(self) -> bytes:
        self.context.rng.uniform()
        return super().get_state()


@mutant("LDT-SIM-DET-01", EXAMPLE, doors=("here",))  # what goes through a socket is a copy
class HandsOutItsBuffer(GoodSimulator):
    """Fills one and the same array in every step, also under the tables that it gave before."""

    def initialize(self, inputs: ldt.Tables) -> ldt.Tables:
        self.buffer = np.zeros(len(table_of(inputs["gullies"])))
        return super().initialize(inputs)

    def _levels(self) -> ldt.Table:
        self.buffer[:] = self.volume
        return super()._levels().with_columns(volume=self.buffer)


@mutant("LDT-SIM-DET-01", EXAMPLE)
class SeededFromNowhere(GoodSimulator):
    """Its wind comes from a generator that nobody can start again."""

    def _gust(self) -> float:
        return float(np.random.default_rng().uniform(0.8, 1.0))


@mutant("LDT-SIM-RESET-01", EXAMPLE, doors=("here", "process"))  # a service begins anew by a new session
class KeepsItsClock(GoodSimulator):
    """A second ``initialize`` empties the gullies but goes on at the old time."""

    def initialize(self, inputs: ldt.Tables) -> ldt.Tables:
        time = getattr(self, "time", 0)
        found = super().initialize(inputs)
        self.time = time
        return found


@mutant("LDT-SIM-PROV-01", EXAMPLE)
class HidesItsSeed(GoodSimulator):
    """Draws, and does not say that it is stochastic: no record of its runs names the seed."""

    stochastic = False


WIND = Path(__file__).with_name("wind.txt")


@mutant("LDT-SIM-PROV-01", replace(EXAMPLE, params={**EXAMPLE.params, "wind": str(WIND)}))
class ReadsAFileByText(GoodSimulator):
    """A parameter names a file, and the record of a run does not say what was in it."""

    class Params(GoodSimulator.Params):
        wind: str = ""

    def _gust(self) -> float:
        return super()._gust() * float(Path(self.params.wind).read_text(encoding="utf-8"))


@mutant(
    "LDT-SIM-PROV-01",
    replace(EXAMPLE, base=WIND.parent, params={**EXAMPLE.params, "gauge": "wind.txt"}),
    doors=("here", "process"),  # a service takes no file of its client's
)
class ReadsBesideItsFile(GoodSimulator):
    """Reads the declared file, and one that lies beside it."""

    class Params(GoodSimulator.Params):
        gauge: ldt.File | None = None

    def _gust(self) -> float:
        beside = self.params.gauge.path.with_name("simulators.py")
        return super()._gust() * (0.95 if beside.exists() else 1.0)
