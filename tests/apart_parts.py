"""Components that run in an environment of their own in the tests: what they do is written in their parameters.

The suite puts this file into a wheel as the package ``ldt_apart``: see ``test_isolation``.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np

import ldt_core as ldt
from ldt_core import scene, tables


class PartParams(ldt.Params):
    """Ports as ``tables.port_as_dict`` writes them."""

    inputs: dict[str, dict[str, Any]] = {}
    outputs: dict[str, dict[str, Any]] = {}
    deed: str = ""
    """What it does in its second step."""
    speed: Annotated[float, ldt.unit("m/s")] = 1.0
    token: ldt.Secret | None = None
    file: ldt.File | None = None
    stops: list[int] = []


class _Part(ldt.Component):
    dynamic = True
    Params = PartParams

    def ports(self) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        made = [
            {n: tables.port_from_dict(p) for n, p in side.items()}
            for side in (self.params.inputs, self.params.outputs)
        ]
        return made[0], made[1]


class Mirror(_Part, ldt.Model):
    """Gives back what it is given, by the name of the port."""

    id = "mirror"

    def compute(self, inputs: ldt.Tables) -> Any:
        return {name: inputs[name] for name in self.params.outputs}


class Walker(_Part, ldt.Simulator):
    """Counts its steps, draws, and does deeds."""

    id = "walker"
    stochastic = True

    def __init__(self, params: Any = None, context: Any = None) -> None:
        super().__init__(params, context)
        self.steps = 0

    def rows(self) -> ldt.Table:
        c = self.context
        ids = ["north", "süd", "東"]
        values = c.rng.random(3) + self.steps + c.rng_for(ids, "x")
        return ldt.Table({"time": np.full(3, c.instant(c.window.start)), "id": ids, "value": values})

    def step(self, inputs: ldt.Tables, until: int) -> Any:
        self.steps += 1
        if self.steps == 2 and self.params.deed:
            found = DEEDS[self.params.deed](self)
            if found is not None:
                return found
        self.context.progress(0.5)
        self.context.flag("steps", self.steps, f"{self.steps} steps")
        self.context.log.info("step %d", self.steps)
        return {"out": self.rows()}

    def get_state(self) -> bytes:
        return self.steps.to_bytes(4, "little")

    def set_state(self, state: bytes) -> None:
        self.steps = int.from_bytes(state, "little")


class Basin(_Part, ldt.Simulator):
    """Half of its level, a quarter of what comes in, and chance; its level and where chance stands are its state."""

    id = "basin"
    stochastic = True
    level = 1.0

    def initialize(self, inputs: ldt.Tables) -> Any:
        return {"out": self.rows(0)}

    def rows(self, at: int) -> ldt.Table:
        return ldt.Table(
            {
                "time": [self.context.instant(at)] * 2,
                "id": ["low", "høj"],
                "value": [self.level, 2 * self.level],
            }
        )

    def step(self, inputs: ldt.Tables, until: int) -> Any:
        flow = float(inputs["in"]["value"].sum())
        self.level = 0.5 * self.level + 0.25 * flow / 3 + float(self.context.rng.random())
        self.context.flag(
            "highest", max([self.level, *(f.value for f in self.context.flags)]), "of all windows"
        )
        return {"out": self.rows(self.context.window.start)}

    def get_state(self) -> bytes:
        return repr(self.level).encode()

    def set_state(self, state: bytes) -> None:
        self.level = float(state)


class Spring(ldt.DataSource):
    """Two batches; its version is its file's first word."""

    id = "spring"
    outputs = {
        "rows": ldt.Port(
            {"time": ldt.instant(), "id": ldt.text(), "value": ldt.number("m", "x:length")},
            entity="spot",
            id="id",
        )
    }

    class Params(ldt.Params):
        file: ldt.File

    def read(self, query: ldt.Query) -> Iterator[ldt.Tables]:
        words = self.params.file.path.read_text().split()
        for number, word in enumerate(words):
            stamp = self.context.instant(0)
            yield {"rows": ldt.Table({"time": [stamp], "id": [word], "value": [float(number)]})}

    def version(self, query: ldt.Query) -> str | None:
        return self.params.file.path.read_text().split()[0]


def _child(self: Any) -> Any:
    started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    self.context.cache.mkdir(parents=True, exist_ok=True)
    (self.context.cache / "pids").write_text(f"{os.getpid()} {started.pid}")
    return None


def _wait(self: Any) -> Any:
    _child(self)
    print("waiting for ever", flush=True)
    while True:
        time.sleep(0.01)


def _patient(self: Any) -> Any:
    while True:
        self.context.check_cancelled()


def _babble(self: Any) -> Any:
    while True:
        self.context.log.debug("nothing")
        self.context.log.info("still at it")


def _promise(self: Any) -> Any:
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if str(entry.readlink()).startswith("socket:"):
                os.write(
                    int(entry.name), struct.pack("<4sIQ", b"LDT1", 8, self.params.stops[0]) + b"{}      "
                )
    return _wait(self)


def _shout(self: Any) -> Any:
    os.system("head -c 300000000 /dev/zero | tr '\\0' x")
    print("and still here", flush=True)
    return None


def _speak_on_socket(self: Any) -> Any:
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if str(entry.readlink()).startswith("socket:"):
                os.write(int(entry.name), b"HTTP/1.1 200 OK\r\n\r\nhello there")
    return None


def _raise(exc: BaseException) -> Any:
    raise exc


DEEDS: dict[str, Any] = {
    "crash": lambda self: os.kill(os.getpid(), signal.SIGSEGV),
    "leave": lambda self: (print("so long", file=sys.stderr, flush=True), os._exit(3)),
    "exit": lambda self: sys.exit("enough"),
    "raise": lambda self: _raise(KeyError("edge 7")),
    "refuse": lambda self: _raise(ldt.InputError("no such edge", where="row 3", fix="look")),
    "eat": lambda self: (np.ones(1 << 34, np.uint8), None)[1],
    "wait": _wait,
    "patient": _patient,
    "babble": _babble,
    "promise": _promise,
    "shout": _shout,
    "garble": _speak_on_socket,
    "child": _child,
    "early": lambda self: ldt.Step({"out": self.rows()}, self.context.window.start + 1_000_000),
    "backwards": lambda self: ldt.Step({"out": self.rows()}, self.context.window.start - 1),
    "list": lambda self: [1, 2],
    "absent": lambda self: {},
    "dict": lambda self: {"out": {"id": []}},
    "nan": lambda self: {"out": self.rows().with_columns(value=np.full(3, np.nan))},
    "object": lambda self: {"out": self.rows().with_columns(id=np.array([1, "b", None], object))},
    "complex": lambda self: {"out": self.rows().with_columns(value=np.ones(3, complex))},
    "extra": lambda self: {"out": self.rows().with_columns(more=np.ones(3, complex)), "other": 3},
    "log": lambda self: logging.getLogger("part").warning("looking around"),
}


class Lens(_Part, ldt.Viewer):
    """Shows a number of every run, beside a table of where it is."""

    id = "lens"

    def render(self, view: ldt.View) -> Any:
        if self.params.deed == "die":
            view.values(view.show[0], "base")
            os._exit(9)
        if self.params.deed == "none":
            return "<p>all is well</p>"
        ref = view.show[0] if self.params.deed != "stray" else "no.such.column"
        means = [float(view.values(ref, run.name)["value"].mean()) for run in view.runs]
        port = ldt.Port({"id": ldt.text(), "geometry": ldt.geometry("Point")}, entity="spot", id="id")
        places = view.places(ref)
        data = view.publish("places", places.select("id", "geometry"), port=port, source=[ref], crs=view.crs)
        picture = view.publish_image("dot", b"\x89PNG", "image/png")
        told = [view.info(ref).unit, *view.credits(ref), *view.synthetic(ref), *map(str, view.flags("base"))]
        rows = [[run.title, mean] for run, mean in zip(view.runs, means, strict=True)]
        head = [scene.Head(id="run", title="Run"), scene.Head(id="mean", title="Mean")]
        figures = scene.Figures(caption="Means", columns=head, rows=rows)
        block = scene.TextBlock(
            id="t", title="T", finding="F", alternative=figures, text=" ".join(map(str, told))
        )
        return scene.Scene(
            title=view.title, viewer=self.id, runs=list(view.runs), blocks=[block], data=[data, picture]
        )


@ldt.hookimpl
def ldt_data_sources() -> list[type[ldt.DataSource]]:
    return [Spring]


@ldt.hookimpl
def ldt_simulators() -> list[type[ldt.Simulator]]:
    return [Walker, Basin]


@ldt.hookimpl
def ldt_models() -> list[type[ldt.Model]]:
    return [Mirror]


@ldt.hookimpl
def ldt_viewers() -> list[type[ldt.Viewer]]:
    return [Lens]
