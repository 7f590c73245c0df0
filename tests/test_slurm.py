"""The engine `slurm`: its script as text, and run for real where only `srun` is not SLURM's."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from workshop import Workshop, alive, install, wait

PLUGIN = '''
import os, time
from pathlib import Path
import ldt_core as ldt

NOTES = os.environ.get("LDT_TEST_NOTES")

class Walker(ldt.Simulator):
    """Goes at random."""
    id = "walker"
    stochastic = True
    outputs = {"way": ldt.Port({"time": ldt.instant(), "x": ldt.number("m", "x:way", cell="mean")})}
    class Params(ldt.Params):
        wait: bool = False
    def initialize(self, inputs):
        self.x = 0.0
    def step(self, inputs, until):
        if self.params.wait and NOTES:
            with open(NOTES, "a") as stream:
                stream.write(f"{os.getpid()}\\n")
            time.sleep(600)
        self.x += self.context.rng.normal()
        start = self.context.instant(self.context.window.start)
        return {"way": ldt.Table({"time": [start], "x": [self.x]})}

@ldt.hookimpl
def ldt_simulators():
    return [Walker]
'''

TWIN = """
ldt: 1
twin: {id: walkers, crs: "EPSG:25832"}
time: {start: 2026-01-01T00:00Z, end: 2026-01-01T02:00Z}
run: {replicates: 4}
components:
  walker: {use: walker, step: 1h, resources: {memory: 1500MiB, cpus: 2}}
kpis:
  far: {of: walker.way.x, reduce: {time: last}, unit: m}
"""

SRUN = r"""#!/bin/bash
# What srun does, on this machine: the command, as often as there are tasks. Not SLURM's.
for word in "$@"; do
  case $word in --ntasks=*) tasks=${word#*=} ;; --*) ;; *) break ;; esac
  shift
done
trap 'kill $(jobs -p)' TERM
for task in $(seq "$tasks"); do SLURM_PROCID=$task "$@" & done
wait; wait
"""

HOSTILE = "Große Stadt 100% 'a\" $(touch owned) `touch owned` ;& ☃\nb "


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    """In a folder whose name would break out of any quotes that are not shlex's."""
    install(tmp_path / "site", "ldt-simulator-walker", PLUGIN)
    twin = tmp_path / HOSTILE
    twin.mkdir()
    (twin / "twin.yaml").write_text(TWIN)
    return Workshop(tmp_path / "site", twin)


def script(shop: Workshop, *words: str) -> str:
    text = shop.ldt("run", "--engine", "slurm", "--dry-run", *words).stdout
    checked = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    return text


def test_the_script_asks_for_what_the_twin_and_the_user_say(shop: Workshop) -> None:
    text = script(shop)
    header = [line.removeprefix("#SBATCH ") for line in text.splitlines() if line.startswith("#SBATCH ")]
    assert {"--job-name=ldt-walkers", "--ntasks=4", "--cpus-per-task=2", "--mem-per-cpu=750M"} <= set(header)
    assert "--time=01:00:00" in header
    assert not any(h.startswith(("--nodes", "--partition", "--account")) for h in header)
    assert not list(shop.twin.glob("runs/*")), "nothing is run"

    words = [
        "--nodes",
        "2",
        "--workers",
        "9",
        "--time",
        "1-02",
        "--partition",
        "fat,long",
        "--account",
        "a_b",
        "--cpus",
        "3",
        "--memory",
        "8GiB",
    ]
    text = script(shop, *words, "--extra=--constraint=fast", "--extra", "module load python")
    lines = text.splitlines()
    assert {
        "#SBATCH --nodes=2",
        "#SBATCH --ntasks=9",
        "#SBATCH --time=1-02",
        "#SBATCH --partition=fat,long",
        "#SBATCH --account=a_b",
        "#SBATCH --cpus-per-task=3",
        "#SBATCH --mem-per-cpu=2731M",
        "#SBATCH --constraint=fast",
        "module load python",
    } <= set(lines)
    assert '"cpus=3 memory=8589934592"' in text
    assert json.loads(shop.ldt("run", "--engine", "slurm", "--dry-run", "--json").stdout)["script"] == script(
        shop
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--partition", "a b"], "'a b' cannot be given to SLURM"),
        (["--account", "x\n#SBATCH --uid=0"], "cannot be given to SLURM"),
        (["--time", "soon"], "HH:MM:SS"),
        (["--extra", "a\nb"], "write one line"),
        (["--memory", "lots"], "write 512MiB or 4GiB"),
        (["--nodes", "0"], "whole number from 1 on"),
    ],
)
def test_values_that_would_break_the_script_are_refused(shop: Workshop, words: list[str], said: str) -> None:
    done = shop.ldt("run", "--engine", "slurm", "--dry-run", *words, check=False)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert done.stdout == ""


def test_without_sbatch_the_remedy_is_told(shop: Workshop, tmp_path: Path) -> None:
    done = shop.ldt("run", "--engine", "slurm", check=False, PATH=str(tmp_path))
    assert done.returncode == 11
    assert "no sbatch here" in done.stderr
    assert "--dry-run" in done.stderr


def test_a_job_is_submitted_with_its_script(shop: Workshop, tmp_path: Path) -> None:
    """``sbatch`` is a stand-in that keeps what it was given."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "sbatch"
    program.write_text('#!/bin/bash\nprintf "%s\\0" "$@" > "$KEEP"\necho "4711;cluster"\n')
    program.chmod(0o755)
    path = f"{program.parent}:{os.environ['PATH']}"
    out = shop.ldt("run", "--engine", "slurm", PATH=path, KEEP=str(tmp_path / "kept")).stdout
    words = (tmp_path / "kept").read_text().split("\0")[:-1]
    assert words[0] == "--parsable"
    assert words[1] == f"--chdir={shop.twin}"
    assert words[2] == "--output=.ldt/jobs/%j.log"
    assert Path(words[3]).read_text() == script(shop)
    assert "squeue -j 4711" in out
    program.write_text("#!/bin/bash\necho 'invalid partition' >&2; exit 1\n")
    done = shop.ldt("run", "--engine", "slurm", check=False, PATH=path)
    assert done.returncode == 13
    assert "sbatch refused the job: invalid partition" in done.stderr


def start(shop: Workshop, text: str, **env: str) -> subprocess.Popen[str]:
    """The script as SLURM would start it, with our ``srun`` on the path."""
    folder = shop.twin.parent / "bin"
    folder.mkdir(exist_ok=True)
    (folder / "srun").write_text(SRUN)
    (folder / "srun").chmod(0o755)
    job = folder / "job.sh"
    job.write_text(text)
    more = {"PATH": f"{folder}:{os.environ['PATH']}", "PYTHONWARNINGS": "default", **env}
    return subprocess.Popen(
        ["bash", str(job)],
        cwd=folder,
        env=shop.environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def session(pid: int) -> list[str]:
    """The living processes of a session."""
    found = subprocess.run(["ps", "-o", "args=", "-s", str(pid)], capture_output=True, text=True).stdout
    return [line for line in found.splitlines() if "defunct" not in line]


@pytest.mark.slow
def test_the_job_gives_the_bits_of_a_local_run_and_ends_with_all_it_started(shop: Workshop) -> None:
    pytest.importorskip("distributed")
    local = json.loads(shop.ldt("run", "--json", LDT_STORE=str(shop.twin.parent / "local")).stdout)
    job = start(shop, script(shop, "--workers", "2"))
    _, said = job.communicate(timeout=120)
    assert job.returncode == 0, said
    run = max((shop.twin / "runs").iterdir())
    record = json.loads((run / "run.json").read_text())
    assert record["status"] == "finished"
    assert [t["state"] for t in record["tasks"]] == ["done"] * 4
    assert all(t["on"].startswith("tcp://127.0.0.1:") for t in record["tasks"])
    assert record["kpis"]["far"]["values"] == local["kpis"]["far"]["values"]
    assert session(job.pid) == []
    assert not list((shop.twin / ".ldt" / "jobs").iterdir())
    assert not list(shop.twin.parent.rglob("owned")), "a name was run as a command"


@pytest.mark.slow
def test_a_job_at_its_time_limit_ends_with_a_record_and_the_next_goes_on(shop: Workshop) -> None:
    pytest.importorskip("distributed")
    waiting = TWIN + "scenarios:\n  base: {}\n  long: {set: {walker.params.wait: true}}\n"
    (shop.twin / "twin.yaml").write_text(waiting)
    notes = shop.twin.parent / "notes"
    job = start(shop, script(shop, "--workers", "2"), LDT_TEST_NOTES=str(notes))
    done = shop.twin / "runs"
    wait(lambda: sum('"done"' in p.read_text() for p in done.glob("*/progress.jsonl")) > 0 and notes.exists())
    job.send_signal(signal.SIGTERM)  # to the script alone, as --signal=B: has it
    _, said = job.communicate(timeout=60)
    assert job.returncode == 130, said
    assert "submit it again to go on" in said
    record = json.loads((max(done.iterdir()) / "run.json").read_text())
    assert record["status"] == "interrupted"
    kept = [t["state"] for t in record["tasks"]].count("done")
    assert kept >= 1
    assert session(job.pid) == []
    wait(lambda: not any(alive(int(p)) for p in notes.read_text().split()))

    job = start(shop, script(shop, "--workers", "2"))
    _, said = job.communicate(timeout=120)
    assert job.returncode == 0, said
    record = json.loads((max(done.iterdir()) / "run.json").read_text())
    assert record["status"] == "finished"
    assert [t["state"] for t in record["tasks"]].count("stored") >= kept
