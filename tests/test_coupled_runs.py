"""Loops that iterate, as a whole: through the command line in any order, and resumed from any boundary."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ldt_core as ldt
from ldt_core.checkpoint import Checkpoint, pack, unpack
from ldt_core.runner import Member, Outcome, Setting, run_stage
from ldt_core.store import Store
from ldt_core.tables import Port, Table, number
from ldt_core.wires import Wire
from tests.lab import TWIN
from tests.workshop import Workshop, install

# -- through the command line ----------------------------------------------------------------------

ITERATES = TWIN.replace("when: lag", "when: iterate, tolerance: 1e-9").replace(
    "  leak: {branch: {of: base, at: 2026-01-01T06:00Z}, set: {basin.params.hole: 0.5}}\n",
    "  leak: {set: {basin.params.hole: 0.5}}\n",
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    folder = tmp_path_factory.mktemp("shop")
    install(folder / "site", "ldt-basins", (Path(__file__).parent / "basins.py").read_text(encoding="utf-8"))
    (folder / "twin").mkdir()
    (folder / "twin" / "twin.yaml").write_text(ITERATES, encoding="utf-8")
    return Workshop(folder / "site", folder / "twin")


def shuffled(text: str, seed: int) -> str:
    """The same twin, with components and links in another order."""
    order = random.Random(seed)
    for begin, end in (("components:\n", "connect:\n"), ("connect:\n", "kpis:\n")):
        head, _, rest = text.partition(begin)
        lines, _, tail = rest.partition(end)
        several = lines.splitlines(keepends=True)
        order.shuffle(several)
        text = head + begin + "".join(several) + end + tail
    return text


def digests(store: Path) -> dict[str, dict[str, str]]:
    """The content of every result by its key; KPIs have no recordings."""
    return {entry.key: entry.digests for entry in Store(store).entries() if entry.digests}


def test_any_order_of_the_file_and_any_number_of_workers_gives_the_same_bits(
    shop: Workshop, tmp_path: Path
) -> None:
    found: list[dict[str, dict[str, str]]] = []
    for workers, seed in ((1, None), (2, 1), (2, 2)):
        folder = tmp_path / f"run{len(found)}"
        folder.mkdir()
        text = ITERATES if seed is None else shuffled(ITERATES, seed)
        (folder / "twin.yaml").write_text(text, encoding="utf-8")
        here = Workshop(shop.site, folder)
        here.ldt("run", "--quiet", "--workers", str(workers), LDT_STORE=str(folder / "store"))
        found.append(digests(folder / "store"))
    assert len(found[0]) == 1 + 2 * 2 * 2  # rain; loop and harm by scenario and replicate
    assert found[1] == found[0]
    assert found[2] == found[0]


def test_check_and_the_record_say_what_iterates_and_how_it_went(shop: Workshop, tmp_path: Path) -> None:
    said = shop.ldt("check").stdout
    assert "basin 12 times, gate 6 times" in said
    assert (
        "basin, gate repeat windows of 2h until they settle: basin.level to 1e-09 in 50 passes at most"
        in said
    )
    shop.ldt("run", "--quiet", LDT_STORE=str(tmp_path / "store"))
    (record,) = (shop.twin / "runs").glob("*/run.json")
    coupling = json.loads(record.read_text())["scenarios"]["base"]["coupling"]
    assert [len(values) for values in coupling.values()] == [2, 2, 2]  # one value per replicate
    assert all(0 < residual <= 1e-9 for residual in coupling["residual basin.level"])
    assert all(1 < n <= 50 for n in coupling["most passes basin+gate"])


# -- resumed ---------------------------------------------------------------------------------------

START = np.datetime64("2026-03-02T05:00", "us")
VALUE = Port({"v": number("1", "x:v", cell="mean")})


class Noisy(ldt.Simulator):
    """Half of what it reads and was, and a draw that each pass repeats."""

    id = "noisy"
    stochastic = True
    inputs = {"other": VALUE}
    outputs = {"out": VALUE}

    def initialize(self, inputs: ldt.Tables) -> ldt.Tables:
        self.value, self.chance = 1.0, self.context.rng  # kept: going back must reach it too
        return {"out": Table({"v": [self.value]})}

    def step(self, inputs: Any, until: int) -> ldt.Tables:
        self.value = 0.3 * self.value + 0.4 * float(inputs["other"]["v"][0]) + float(self.chance.random())
        self.context.flag("highest", self.value, "the last value")
        return {"out": Table({"v": [self.value]})}

    def get_state(self) -> bytes:
        return np.float64(self.value).tobytes()

    def set_state(self, state: bytes) -> None:
        self.value = float(np.frombuffer(state)[0])


class Stop:
    """Stops at an instant, keeps the checkpoint as bytes, and ends the run there."""

    def __init__(self, at: int) -> None:
        self.at, self.data = at, b""

    def stop_after(self, latest: int) -> int | None:
        return self.at if latest <= self.at and not self.data else None

    def stand(self, at: int, capture: Callable[[], Checkpoint]) -> bool:
        self.data = pack(capture(), "key")
        return False


def run(folder: Path, steps: dict[str, int], relaxation: float, **more: Any) -> Outcome:
    members = [
        Member(n, Noisy, Noisy.Params(), Noisy.inputs, Noisy.outputs, step, seed)
        for seed, (n, step) in enumerate(steps.items())
    ]
    mean = {"v": "mean"}
    wires = [
        Wire("a", "out", "b", "other", "now", mean),
        Wire("b", "out", "a", "other", "iterate", mean, tolerance=1e-9, relaxation=relaxation, passes=200),
        Wire("a", "out", "c", "other", "lag", mean),
    ]
    setting = Setting(START, 36, "EPSG:25832", None, folder / "s", folder / "c")
    return run_stage(members, wires, {}, {f"{n}.out": None for n in steps}, setting, **more)


@settings(max_examples=25)
@given(
    st.fixed_dictionaries({n: st.sampled_from([1, 2, 4]) for n in "abc"}),
    st.integers(1, 8),
    st.sampled_from([1.0, 0.7]),
)
def test_a_block_goes_on_from_a_checkpoint_in_the_same_bits(
    tmp_path_factory: pytest.TempPathFactory, steps: dict[str, int], windows: int, relaxation: float
) -> None:
    folder = tmp_path_factory.mktemp("stage")
    whole = run(folder, steps, relaxation)
    stop = Stop(4 * windows)
    run(folder, steps, relaxation, saver=stop)
    resumed = run(folder, steps, relaxation, resume=unpack(stop.data, "key"))
    assert {n: r.digest for n, r in resumed.recordings.items()} == {
        n: r.digest for n, r in whole.recordings.items()
    }
    assert (resumed.notes, resumed.flags) == (whole.notes, whole.flags)


def test_a_pass_repeats_the_draws_of_the_pass_before(tmp_path: Path) -> None:
    """What is drawn is that of a loop by hand which draws once per window, and then solves it."""
    found = run(tmp_path, {"a": 4, "b": 4, "c": 4}, 1.0).recordings
    draw_a, draw_b = np.random.default_rng(0), np.random.default_rng(1)
    a = b = 1.0
    for n in range(1, 10):
        one, two = 0.3 * a + draw_a.random(), 0.3 * b + draw_b.random()
        a, b = np.linalg.solve([[1.0, -0.4], [-0.4, 1.0]], [one, two])
        assert found["a.out"].window(n)["v"][0] == pytest.approx(a, rel=1e-7)
        assert found["b.out"].window(n)["v"][0] == pytest.approx(b, rel=1e-7)
