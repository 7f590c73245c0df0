"""Engines beside each other: one that a plugin brings, what tasks need, processes of their own, memory that runs out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from workshop import Workshop, install

from ldt_core.engines.local import Room
from ldt_core.engines.protocol import Needs
from ldt_core.twin_values import parse_size

COMPONENTS = '''
import os, time
from pathlib import Path
import ldt_core as ldt

NOTES = os.environ.get("LDT_TEST_NOTES")

class Eater(ldt.Simulator):
    """Takes time and memory."""
    id = "eater"
    outputs = {"mood": ldt.Port({"time": ldt.instant(), "mood": ldt.number("1", "x:mood", cell="mean")})}
    class Params(ldt.Params):
        number: int = 0
        megabytes: int = 0
        seconds: float = 0.0
    def step(self, inputs, until):
        held = bytearray(self.params.megabytes * 2**20)
        time.sleep(self.params.seconds)
        with open(NOTES, "a") as stream:
            stream.write(f"{os.getpid()}\\n")
        start = self.context.instant(self.context.window.start)
        return {"mood": ldt.Table({"time": [start], "mood": [1.0 + self.params.number]})}

class Picky(Eater):
    """Wants a process that nobody has used."""
    id = "picky"
    process = "fresh"

class Vague(Eater):
    """Does not know what it needs."""
    id = "vague"
    resources = {"memory": "a lot"}

@ldt.hookimpl
def ldt_simulators():
    return [Eater, Picky, Vague]
'''

ENGINE = '''
import json, queue, subprocess, sys, threading
import ldt_core as ldt

class Lone(ldt.Engine):
    """One worker, one task after another."""
    name = "lone"
    def __init__(self, setting):
        self.setting, self.events = setting, queue.Queue()
        self.worker = subprocess.Popen(
            [sys.executable, "-m", "ldt_core.cli", "worker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        self.tasks = queue.Queue()
        self.thread = threading.Thread(target=self.listen)
        self.thread.start()
    def submit(self, task, needs):
        assert isinstance(needs, ldt.Needs)
        self.tasks.put(task.stem)
        self.worker.stdin.write(f"{task}\\n")
        self.worker.stdin.flush()
    def listen(self):
        for line in self.worker.stdout:
            answer = json.loads(line)
            kind = answer.pop("kind")
            task = self.tasks.queue[0]
            if kind in ("done", "failed"):
                self.tasks.get()
            self.events.put(ldt.Event(task, kind, answer))
    def results(self):
        while True:
            try:
                yield self.events.get(timeout=0.5)
            except queue.Empty:
                yield ldt.Event("", "tick", {})
    def close(self, *, kill=False):
        if kill:
            self.worker.terminate()
        self.worker.stdin.close()
        self.worker.wait()
        self.thread.join()
        self.worker.stdout.close()

@ldt.hookimpl
def ldt_engines():
    return [Lone]
'''

TWIN = """
ldt: 1
twin: {id: eaters, crs: "EPSG:25832"}
time: {start: 2026-01-01T00:00Z, end: 2026-01-01T01:00Z}
components:
  c: {use: USE, step: 1h, MORE}
kpis:
  mood: {of: c.mood.mood, reduce: {time: mean}, unit: "1"}
scenarios:
"""


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    install(tmp_path / "site", "ldt-simulator-eater", COMPONENTS)
    (tmp_path / "twin").mkdir()
    return Workshop(tmp_path / "site", tmp_path / "twin")


def write(shop: Workshop, use: str, more: str = "params: {}", count: int = 3) -> None:
    lines = [f"  s{n}: {{set: {{c.params.number: {n}}}}}\n" for n in range(count)]
    (shop.twin / "twin.yaml").write_text(TWIN.replace("USE", use).replace("MORE", more) + "".join(lines))


def environment(shop: Workshop) -> dict[str, str]:
    return {"LDT_TEST_NOTES": str(shop.twin.parent / "notes")}


def pids(shop: Workshop) -> list[str]:
    return (shop.twin.parent / "notes").read_text().split()


def events(shop: Workshop) -> list[tuple[str, str]]:
    text = max((shop.twin / "runs").glob("*/progress.jsonl")).read_text()
    found = [json.loads(line) for line in text.splitlines()]
    return [(e["task"], e["event"]) for e in found if e["event"] != "progress"]


# -- an engine that a plugin brings ------------------------------------------------------------


def test_a_plugin_brings_an_engine_of_its_own(shop: Workshop) -> None:
    package = install(shop.site, "ldt-engine-lone", ENGINE)
    manifest = json.loads((package / "component.json").read_text())
    assert manifest["engines"] == [{"name": "lone"}]
    write(shop, "eater")
    env = environment(shop)
    local = json.loads(shop.ldt("run", "--json", LDT_STORE=str(shop.twin / "local"), **env).stdout)
    placed = json.loads(shop.ldt("run", "--json", "--engine", "lone", **env).stdout)
    assert [t["state"] for t in placed["tasks"]] == ["done"] * 3
    assert placed["kpis"]["mood"]["values"] == local["kpis"]["mood"]["values"]
    assert "lone" in shop.ldt("run", "--help").stdout

    (package / "__init__.py").write_text(ENGINE.replace("return [Lone]", "return []"))
    write(shop, "eater", count=4)
    done = shop.ldt("run", "--engine", "lone", check=False, **env)
    assert done.returncode == 11
    assert "lists the engine 'lone', but its code offers no such class" in done.stderr


def test_help_and_a_local_run_import_no_engine_but_their_own(shop: Workshop) -> None:
    package = install(shop.site, "ldt-engine-lone", ENGINE)
    (package / "__init__.py").write_text("raise ImportError('not for this run')")
    write(shop, "eater")
    shop.ldt("run", "--help")
    code = (
        "import sys; from ldt_core.cli import main; code = main(['run', '--quiet'])\n"
        "sys.exit(code or [m for m in sys.modules if m.partition('.')[0] in ('dask', 'distributed')] or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=shop.twin,
        env=shop.environment(**environment(shop)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_two_engines_of_one_name_are_refused(shop: Workshop) -> None:
    install(shop.site, "ldt-engine-lone", ENGINE)
    install(shop.site, "ldt-engine-solo", ENGINE)
    write(shop, "eater")
    done = shop.ldt("run", "--engine", "lone", check=False, **environment(shop))
    assert done.returncode == 11
    assert "brought by ldt-engine-lone and ldt-engine-solo" in done.stderr


# -- what tasks need ---------------------------------------------------------------------------


def test_tasks_that_do_not_fit_together_run_one_after_another(shop: Workshop) -> None:
    """Also one that asks for more than the machine has, which runs alone."""
    write(shop, "eater", "params: {seconds: 0.05}, resources: {memory: 1000TiB}")
    shop.ldt("run", "--workers", "3", **environment(shop))
    kinds = [kind for _, kind in events(shop)]
    assert kinds == ["started", "done"] * 3
    write(shop, "eater", "params: {seconds: 0.06}, resources: {memory: 1MiB}")
    shop.ldt("run", "--workers", "3", **environment(shop))
    kinds = [kind for _, kind in events(shop)]
    assert kinds[:3] == ["started"] * 3
    write(shop, "eater", "params: {seconds: 0.06}")
    record = json.loads(shop.ldt("run", "--json", **environment(shop)).stdout)
    assert {t["state"] for t in record["tasks"]} == {"stored"}, "needs are no part of a result"


@given(
    whole=st.tuples(st.integers(1, 8), st.integers(1, 100)),
    asked=st.lists(st.tuples(st.integers(1, 12), st.integers(0, 150)), min_size=1, max_size=30),
    turns=st.randoms(use_true_random=False),
)
def test_what_runs_together_fits_and_everything_runs_at_last(
    whole: tuple[int, int], asked: list[tuple[int, int]], turns: Any
) -> None:
    room, waiting, inside = Room(*whole), [Needs(*a) for a in asked], list[Needs]()
    while waiting or inside:
        entered = next((n for n in waiting if room.enter(n)), None)
        if entered is not None:
            waiting.remove(entered)
            inside.append(entered)
        else:
            assert inside, "an empty room refuses nobody"
            room.leave(inside.pop(turns.randrange(len(inside))))
        fits = sum(n.cpus for n in inside) <= whole[0] and sum(n.memory for n in inside) <= whole[1]
        assert fits or len(inside) == 1


@pytest.mark.parametrize(
    ("text", "size"),
    [("512MiB", 2**29), ("4GiB", 2**32), ("1.5 kB", 1500), ("0B", 0), (7, 7), ("2TB", 2 * 10**12)],
)
def test_sizes_are_read(text: str | int, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["4G", "GiB", "-1GiB", "4 gib", "", "١GiB", True, -1])
def test_what_is_no_size_is_refused(text: Any) -> None:
    with pytest.raises(ValueError, match="write 512MiB or 4GiB"):
        parse_size(text)


def test_resources_that_a_class_declares_badly_are_told(shop: Workshop) -> None:
    write(shop, "vague")
    done = shop.ldt("run", check=False, **environment(shop))
    assert done.returncode == 11
    assert "'vague' declares resources that cannot be read: 'a lot' is no size" in done.stderr


# -- processes and memory ----------------------------------------------------------------------


def test_a_fresh_process_serves_one_task_alone(shop: Workshop) -> None:
    write(shop, "eater")
    shop.ldt("run", "--workers", "1", **environment(shop))
    assert len(set(pids(shop))) == 1, "a worker stays"
    write(shop, "picky")
    shop.ldt("run", "--workers", "1", **environment(shop))
    assert len(set(pids(shop))) == 4
    (manifest,) = [
        c
        for c in json.loads((shop.site / "ldt_simulator_eater" / "component.json").read_text())["components"]
        if c["id"] == "picky"
    ]
    assert manifest["process"] == "fresh"


@pytest.mark.slow
def test_a_worker_that_is_killed_since_memory_ran_out_is_told_as_such(shop: Workshop) -> None:
    """A real kill by the kernel, in a cgroup with little memory; the driver itself stands outside."""
    group = Path("/sys/fs/cgroup/memory/ldt-test")
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text("400M")
    except OSError:
        pytest.skip("limiting memory needs root and cgroups of version 1")
    site = shop.site / "sitecustomize.py"  # a worker joins the group when its interpreter starts
    site.write_text(
        "import os, sys\n"
        "if 'ldt_core.engines.worker' in ' '.join(sys.orig_argv):\n"
        f"    open('{group}/cgroup.procs', 'w').write(str(os.getpid()))\n"
    )
    try:
        write(shop, "eater", "params: {megabytes: 2000}", count=1)
        done = shop.ldt("run", check=False, **environment(shop))
        assert done.returncode == 13
        assert "E6 out of memory" in done.stderr
        assert "memory ran out: its worker was killed by SIGKILL, 3 times" in done.stderr
        assert "--workers 1" in done.stderr
        assert "resources: {memory: 8GiB}" in done.stderr
    finally:
        group.rmdir()
