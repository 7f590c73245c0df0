"""What checkpoints cost and save: a simulator whose window takes some milliseconds, 1,000 entities recorded.

The floor is the same stage without saving. "every n windows" saves into a real store; times are of the processor, so
that other work on the machine counts little (nor does waiting for the disk); "resumed" goes on in new objects from nine tenths of the run. Run: ``python tests/benchmarks/bench_checkpoints.py``.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import ldt_core as ldt
from ldt_core.resume import Checkpoints
from ldt_core.runner import Member, Outcome, Setting, run_stage
from ldt_core.store import Store
from ldt_core.twin import CheckpointRules

ENTITIES, WINDOWS, WORK = 1_000, 400, 0.005
STEP = 60_000_000
START = np.datetime64("2026-03-02T05:00", "us")
KEY = "0" * 64
PORT = ldt.Port(
    {"time": ldt.instant(), "id": ldt.text(), "value": ldt.number("1", "x:value", cell="mean")},
    entity="thing",
    id="id",
)


class Worker(ldt.Simulator):
    """Draws and adds, until a window's time of computing is over."""

    id = "worker"
    outputs = {"out": PORT}

    def initialize(self, inputs: ldt.Tables) -> None:
        self.ids = ldt.Table({"id": [f"e{i}" for i in range(ENTITIES)]})["id"]
        self.value = np.zeros(ENTITIES)

    def step(self, inputs: ldt.Tables, until: int) -> ldt.Tables:
        end = time.process_time() + WORK
        self.value = self.value + self.context.rng.random(ENTITIES)
        while time.process_time() < end:
            pass
        stamp = self.context.instant(self.context.window.start)
        return {"out": ldt.Table({"time": np.full(ENTITIES, stamp), "id": self.ids, "value": self.value})}

    def get_state(self) -> bytes:
        return self.value.tobytes()

    def set_state(self, state: bytes) -> None:
        self.value = np.frombuffer(state)


def run(folder: Path, **more: Any) -> tuple[float, Outcome]:
    """Processor seconds of the stage, and what it gave."""
    member = Member("s", Worker, Worker.Params(), {}, Worker.outputs, STEP, 1)
    setting = Setting(START, WINDOWS * STEP, "EPSG:25832", None, folder, folder)
    begun = time.process_time()
    outcome = run_stage([member], [], {}, {"s.out": None}, setting, **more)
    return time.process_time() - begun, outcome


def main() -> list[dict[str, Any]]:
    """One row per way of saving; ``ratio`` is to the run that saves nothing."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        floor, whole = run(folder)
        rows = [_row("no checkpoints (floor)", floor, floor)]
        for windows in (1, 10, 100):
            store = Store(folder / f"every {windows}")
            keeper = Checkpoints(store, KEY, "s", CheckpointRules(windows=windows), [STEP])
            took, outcome = run(folder, saver=keeper)
            assert outcome.recordings["s.out"].digest == whole.recordings["s.out"].digest
            rows.append(_row(f"a checkpoint every {windows} windows", took, floor))
        keeper = Checkpoints(Store(folder / "timed"), KEY, "s", CheckpointRules(seconds=0.2), [STEP])
        took, _ = run(folder, saver=keeper)
        rows.append(_row("after each 0.2 s of computing, a twentieth at most", took, floor, 1.06))
        at = WINDOWS * 9 // 10
        store = Store(folder / "last")
        run(folder, saver=Checkpoints(store, KEY, "s", CheckpointRules(windows=at), [STEP]))
        size = sum(entry.size for entry in store.entries())
        begun = time.process_time()
        saved = next(Checkpoints(store, KEY, "s", CheckpointRules(), [STEP]).saved())
        took, outcome = run(folder, resume=saved)
        assert saved.at == at * STEP
        assert outcome.recordings["s.out"].digest == whole.recordings["s.out"].digest
        what = f"resumed at nine tenths, from {size / 1e6:.1f} MB"
        rows.append(_row(what, time.process_time() - begun, floor, 0.15))
    return rows


def _row(what: str, seconds: float, floor: float, aim: float | None = None) -> dict[str, Any]:
    return {"what": what, "ms": seconds * 1000, "ratio": seconds / floor, "aim": aim}


if __name__ == "__main__":
    for row in main():
        print(f"{row['what']:<55} {row['ms']:>10.1f} ms  x{row['ratio']:.3f}  aim {row['aim'] or '-'}")
