"""Scenarios times replicates through the real command line: served, shared, killed, damaged, interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from workshop import Workshop, alive, install, wait

PLUGIN = '''
import os, signal, time
from pathlib import Path
import numpy as np
import ldt_core as ldt

TANK = {"time": ldt.instant(), "tank": ldt.text(), "level": ldt.number("m", "x:level", cell="mean")}

def note(context, word):
    """One line per computation, so that a test can count them."""
    with (Path(os.environ["LDT_TEST_NOTES"])).open("a") as stream:
        stream.write(f"{word} {os.getpid()}\\n")

def wait_for_gate():
    gate = os.environ.get("LDT_TEST_GATE")
    while gate and Path(gate).exists():
        time.sleep(0.01)

class Rain(ldt.DataSource):
    """Rain that does not fall twice: one row per hour."""
    id = "rain"
    outputs = {"rain": ldt.Port({"time": ldt.instant(), "rain": ldt.number("mm", "x:rain", cell="sum")}, step="1h")}
    class Params(ldt.Params):
        version: str | None = "1"
        amount: float = 1.0
    def version(self, query):
        return self.params.version
    def read(self, query):
        note(self.context, "rain")
        times = np.arange(query.start, query.end, np.timedelta64(1, "h"))
        return {"rain": ldt.Table({"time": times, "rain": np.full(len(times), self.params.amount)})}

class Tank(ldt.Simulator):
    """A tank that fills with noise and empties through a hole."""
    id = "tank"
    stochastic = True
    outputs = {"level": ldt.Port(TANK, entity="tank", id="tank")}
    class Params(ldt.Params):
        hole: float = 0.1
        kill: str = ""
    def initialize(self, inputs):
        note(self.context, "tank")
        self.level = 1.0
    def step(self, inputs, until):
        wait_for_gate()
        if self.params.kill and not Path(self.params.kill).exists():
            Path(self.params.kill).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if self.params.kill == "always":
            os.kill(os.getpid(), signal.SIGKILL)
        self.level += 0.1 * self.context.rng.random() - self.params.hole * self.level
        start = self.context.instant(self.context.window.start)
        return {"level": ldt.Table({"time": [start], "tank": ["a"], "level": [self.level]})}

class Double(ldt.Model):
    """Twice the level."""
    id = "double"
    inputs = {"level": ldt.Port(TANK, entity="tank", id="tank")}
    outputs = {"level": ldt.Port(TANK, entity="tank", id="tank")}
    class Params(ldt.Params):
        factor: float = 2.0
    def compute(self, inputs):
        note(self.context, "double")
        level = inputs["level"]
        return {"level": level.with_columns(level=level["level"] * self.params.factor)}

@ldt.hookimpl
def ldt_run_started(context):
    note(None, f"started-{context['status']}")
@ldt.hookimpl
def ldt_run_finished(context):
    note(None, f"ended-{context['status']}")
    if "TANKS_FAIL" in os.environ:
        raise RuntimeError("a report that fails")
@ldt.hookimpl
def ldt_data_sources():
    return [Rain]
@ldt.hookimpl
def ldt_simulators():
    return [Tank]
@ldt.hookimpl
def ldt_models():
    return [Double]
'''

TWIN = """
ldt: 1
twin: {id: tanks, title: Tanks, crs: "EPSG:25832"}
time: {start: 2026-01-01T00:00Z, end: 2026-01-01T06:00Z}
run: {seed: 3, replicates: 3}
components:
  rain: {use: rain}
  tank: {use: tank, step: 1h}
  double: {use: double}
connect:
  - {from: tank.level, to: double.level}
kpis:
  level: {of: double.level.level, reduce: {time: mean, space: mean}, unit: m, better: higher, target: 1.0}
  rain: {of: rain.rain.rain, reduce: {time: sum, space: sum}, unit: mm}
scenarios:
  base: {}
  leak: {title: A bigger hole, set: {tank.params.hole: 0.2}}
"""


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    install(tmp_path / "site", "ldt-model-tanks", PLUGIN)
    twin = tmp_path / "twin"
    twin.mkdir()
    (twin / "twin.yaml").write_text(TWIN, encoding="utf-8")
    return Workshop(tmp_path / "site", twin)


@pytest.fixture
def notes(tmp_path: Path) -> Callable[[str], int]:
    path = tmp_path / "notes"
    path.touch()

    def count(word: str) -> int:
        return sum(line.startswith(f"{word} ") for line in path.read_text().splitlines())

    return count


def run(shop: Workshop, *words: str, check: bool = True, **env: str) -> Any:
    notes = str(shop.twin.parent / "notes")
    done = shop.ldt("run", "--json", *words, check=check, LDT_TEST_NOTES=notes, **env)
    return json.loads(done.stdout) if check else done


def states(record: Any) -> list[str]:
    return [t["state"] for t in record["tasks"]]


def test_second_run_computes_nothing(shop: Workshop, notes: Callable[[str], int]) -> None:
    first, second = run(shop), run(shop)
    assert (notes("rain"), notes("tank")) == (1, 6)
    assert notes("double") == 6 * 6  # six windows in each of six runs
    assert set(states(second)) == {"stored"}
    assert first["kpis"] == second["kpis"]


def test_a_changed_parameter_recomputes_only_what_depends_on_it(
    shop: Workshop, notes: Callable[[str], int]
) -> None:
    run(shop)
    text = (
        (shop.twin / "twin.yaml").read_text().replace("{use: double}", "{use: double, params: {factor: 3}}")
    )
    (shop.twin / "twin.yaml").write_text(text)
    run(shop)
    assert (notes("rain"), notes("tank"), notes("double")) == (1, 6, 2 * 36)


def test_scenarios_share_seeds_and_what_they_do_not_change(
    shop: Workshop, notes: Callable[[str], int]
) -> None:
    text = (shop.twin / "twin.yaml").read_text().replace("tank.params.hole: 0.2", "double.params.factor: 4.0")
    (shop.twin / "twin.yaml").write_text(text)
    record = run(shop)
    assert notes("tank") == 3  # the tanks of both scenarios are the same three runs
    values = record["kpis"]["level"]["values"]
    assert values["leak"] == pytest.approx([2 * v for v in values["base"]])
    assert len(set(values["base"])) == 3


def test_no_trace_of_the_declaration_order(shop: Workshop) -> None:
    first = run(shop)
    lines = (shop.twin / "twin.yaml").read_text().splitlines()
    a, b = lines.index("  rain: {use: rain}"), lines.index("  double: {use: double}")
    lines[a], lines[b] = lines[b], lines[a]
    (shop.twin / "twin.yaml").write_text("\n".join(lines))
    second = run(shop)
    assert set(states(second)) == {"stored"}
    assert {k: v["values"] for k, v in first["kpis"].items()} == {
        k: v["values"] for k, v in second["kpis"].items()
    }


def test_a_source_without_a_version_is_read_in_every_run_and_named(
    shop: Workshop, notes: Callable[[str], int]
) -> None:
    text = (
        (shop.twin / "twin.yaml").read_text().replace("{use: rain}", "{use: rain, params: {version: null}}")
    )
    (shop.twin / "twin.yaml").write_text(text)
    assert run(shop)["not_reproducible"] == ["rain"]
    run(shop)
    assert notes("rain") == 2


def test_a_killed_worker_is_replaced_and_its_task_run_again(shop: Workshop, tmp_path: Path) -> None:
    text = (shop.twin / "twin.yaml").read_text()
    (shop.twin / "twin.yaml").write_text(
        text.replace(
            "{use: tank, step: 1h}", f"{{use: tank, step: 1h, params: {{kill: '{tmp_path / 'once'}'}}}}"
        )
    )
    record = run(shop, "--workers", "1")
    assert record["status"] == "finished"
    journal = next((shop.twin / "runs").glob("*/progress.jsonl")).read_text()
    assert "killed by SIGKILL" in journal


def test_a_task_that_always_kills_its_worker_is_reported_and_the_others_finish(
    shop: Workshop, tmp_path: Path, notes: Callable[[str], int]
) -> None:
    text = (shop.twin / "twin.yaml").read_text()
    (shop.twin / "twin.yaml").write_text(text.replace("tank.params.hole: 0.2", "tank.params.kill: always"))
    (shop.twin / "always").touch()
    done = run(shop, check=False)
    assert done.returncode == 13, done.stderr
    assert "E6 killed" in done.stderr
    assert "leak" in done.stderr
    assert notes("double") == 18, "base must have come to its end"
    record = json.loads(next((shop.twin / "runs").glob("*/run.json")).read_text())
    assert record["status"] == "failed"
    assert record["error"]["code"] == "killed"


def _workers(path: Path) -> set[int]:
    return {int(line.split()[1]) for line in path.read_text().splitlines()}


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill -9"])
def test_an_interrupted_run_leaves_no_process_and_loses_nothing_finished(
    shop: Workshop, tmp_path: Path, notes: Callable[[str], int], how: signal.Signals
) -> None:
    run(shop, "-s", "base")
    before = notes("tank")
    gate = tmp_path / "gate"
    gate.touch()
    path = tmp_path / "notes"
    driver = shop.start("run", LDT_TEST_NOTES=str(path), LDT_TEST_GATE=str(gate))
    try:
        wait(lambda: notes("tank") > before)
        workers = _workers(path)
        os.kill(driver.pid, how)
        _, said = driver.communicate(timeout=30)
    finally:
        driver.kill()
    if how == signal.SIGINT:
        assert driver.returncode == 130
        assert "what was finished is in the store" in said
    wait(lambda: not any(alive(w) for w in workers))
    gate.unlink()
    assert shop.ldt("store", "verify").returncode == 0
    record = run(shop)
    assert [t["state"] for t in record["tasks"] if t["scenario"] == "base"] == ["stored"] * 7
    assert record["status"] == "finished"


def test_a_damaged_entry_is_computed_anew(shop: Workshop, notes: Callable[[str], int]) -> None:
    first = run(shop)
    for path in (shop.twin / ".ldt" / "store").rglob("*.parquet"):
        if "tank_level" in path.name:
            path.write_bytes(path.read_bytes()[:-20] + b"x" * 20)
    assert shop.ldt("store", "verify", check=False).returncode == 14
    text = (
        (shop.twin / "twin.yaml").read_text().replace("{use: double}", "{use: double, params: {factor: 3}}")
    )
    (shop.twin / "twin.yaml").write_text(text)
    second = run(shop)
    assert second["status"] == "finished"
    assert notes("tank") == 12
    base = first["kpis"]["level"]["values"]["base"]
    assert second["kpis"]["level"]["values"]["base"] == pytest.approx([1.5 * v for v in base])
    assert shop.ldt("store", "verify").returncode == 0


def test_two_runs_on_one_store_at_once_agree(shop: Workshop, tmp_path: Path) -> None:
    path = str(tmp_path / "notes")
    Path(path).touch()
    both = [shop.start("run", "--json", LDT_TEST_NOTES=path) for _ in range(2)]
    records = []
    for process in both:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        records.append(json.loads(out))
    assert records[0]["kpis"]["level"]["values"] == records[1]["kpis"]["level"]["values"]
    assert records[0]["run"] != records[1]["run"]
    assert shop.ldt("store", "verify").returncode == 0


def test_compare_says_whether_a_change_is_more_than_noise(shop: Workshop) -> None:
    run(shop)
    found = {
        k["id"]: k for k in json.loads(shop.ldt("compare", ".", "base", "leak", "--json").stdout)["kpis"]
    }
    level = found["level"]["values"][1]
    assert level["verdict"] == "distinguishable"
    assert level["better"] is False
    assert level["low"] < level["change"] < level["high"] < 0
    assert level["n"] == 3
    rain = found["rain"]["values"][1]
    assert (rain["verdict"], rain["change"]) == ("same in every replicate", 0.0)
    text = shop.ldt("compare").stdout
    assert "distinguishable, worse, n = 3" in text
    assert "target" in text


def test_two_replicates_are_too_few_to_tell(shop: Workshop) -> None:
    record = run(shop, "--replicates", "2")
    assert record["kpis"]["level"]["changes"]["leak"]["verdict"] == "too few to tell"


def test_dry_run_and_check_compute_nothing(shop: Workshop, notes: Callable[[str], int]) -> None:
    path = str(shop.twin.parent / "notes")
    out = shop.ldt("run", "--dry-run", LDT_TEST_NOTES=path).stdout
    assert "to compute" in out
    plan = json.loads(shop.ldt("check", "--json", LDT_TEST_NOTES=path).stdout)
    stages = plan["scenarios"]["base"]["stages"]
    assert [s["replicated"] for s in stages if s["stage"] == "rain"] == [False]
    assert [len(s["states"]) for s in stages if s["stage"] == "tank"] == [3]
    assert notes("tank") == notes("rain") == 0
    run(shop)
    assert "from the store" in shop.ldt("check", LDT_TEST_NOTES=path).stdout
    assert not list((shop.twin / "runs").glob("*/run.json"))[1:]


def test_record_names_code_versions_keys_and_seed(shop: Workshop) -> None:
    record = run(shop)
    assert record["seed"] == 3
    assert record["components"]["tank"]["distribution"] == "ldt-model-tanks"
    assert len(record["components"]["tank"]["code"]) == 64
    keys = record["scenarios"]["base"]["stages"]["tank"]
    assert len(set(keys)) == 3
    assert record["kpis"]["level"]["digest"]
    folder = next((shop.twin / "runs").iterdir())
    assert (folder / "twin.yaml").read_text() == TWIN


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["run", "nowhere"], 10, "nowhere"),
        (["run", "-s", "leek"], 10, "did you mean 'leak'?"),
        (["compare"], 12, "ldt run"),
        (["run", "--engine", "cloud"], 2, "invalid choice: 'cloud' (choose from"),
        (["frobnicate"], 2, "invalid choice"),
        (["show", "tnak"], 11, "did you mean 'tank'?"),
    ],
)
def test_wrong_calls_say_what_to_do(shop: Workshop, words: list[str], code: int, said: str) -> None:
    done = shop.ldt(*words, check=False)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_full_disk_is_a_clear_error_and_the_run_goes_on_afterwards(
    shop: Workshop, tmp_path: Path, notes: Callable[[str], int]
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=80k", "tmpfs", str(small)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        done = run(shop, check=False, LDT_STORE=str(small / "store"))
        assert done.returncode == 14, done.stdout + done.stderr
        assert "E7 no space" in done.stderr
        assert "Traceback" not in done.stderr
        assert shop.ldt("store", "verify", LDT_STORE=str(small / "store")).returncode == 0
        subprocess.run(["mount", "-o", "remount,size=8m", str(small)], check=True)
        before = notes("tank")
        record = run(shop, LDT_STORE=str(small / "store"))
        kept = states(record).count("stored")
        assert kept > 0, "what was stored before the disk was full must be served"
        assert notes("tank") - before == 6 - sum(
            t["state"] == "stored" for t in record["tasks"] if t["stage"] == "tank"
        )
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_reports_are_called_at_the_start_and_at_the_end_and_cannot_spoil_a_run(
    shop: Workshop, notes: Callable[[str], int]
) -> None:
    run(shop, "-s", "base", TANKS_FAIL="1")
    assert (notes("started-running"), notes("ended-finished")) == (1, 1)
