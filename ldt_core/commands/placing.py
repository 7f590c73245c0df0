"""``ldt run --engine slurm``: writes the job's script, and submits it."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import time
from pathlib import Path

from ..engines.protocol import Needs
from ..engines.slurm import JOBS, Job, write_script
from ..ensemble import Ensemble
from ..errors import PluginError, RunError
from ..record import unwritable
from .output import print_json

_MOST = 16
"""Workers of a job that says nothing of them."""


def submit(options: argparse.Namespace, ensemble: Ensemble) -> int:
    """Print the script (``--dry-run``), or submit it and say how to follow the job."""
    twin = ensemble.twin
    folder = twin.folder.resolve()
    script = write_script(_job(options, ensemble), twin.id, folder, _words(options, ensemble), _environment())
    if options.dry_run:
        if options.json:
            print_json({"script": script})
        else:
            print(script, end="")
        return 0
    if shutil.which("sbatch") is None:
        raise PluginError(
            "there is no sbatch here, with which a job is submitted",
            code="not installed",
            fix="go to a login node of the cluster; or write the script with --dry-run and submit it there",
        )
    file = folder / JOBS / f"{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}.sh"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(script, encoding="utf-8")
    except OSError as exc:
        raise unwritable(exc, file.parent) from exc
    words = ["sbatch", "--parsable", f"--chdir={folder}", f"--output={JOBS}/%j.log", str(file)]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise RunError(
            f"sbatch refused the job: {done.stderr.strip() or done.returncode}",
            code="refused",
            where=str(file),
            fix="mend the options (--partition, --account, --time, --memory, --extra)",
        )
    job = done.stdout.strip().partition(";")[0]
    log = folder / JOBS / f"{job}.log"
    if options.json:
        print_json({"job": job, "script": str(file), "log": str(log)})
        return 0
    print(f"job {job}: {file}")
    print(f"follow it with: squeue -j {job}; tail -F {log}; ldt runs {twin.path}")
    return 0


def _job(options: argparse.Namespace, ensemble: Ensemble) -> Job:
    needs: Needs = ensemble.largest_needs()
    width = sum(w.state in ("ready", "waiting") for w in ensemble.works.values())
    asked = {n: getattr(options, n) for n in ("nodes", "time", "partition", "account", "cpus", "memory")}
    given = {n: v for n, v in asked.items() if v is not None}
    defaults = {"cpus": needs.cpus, **({"memory": needs.memory} if needs.memory else {})}
    workers = options.workers or max(1, min(width, _MOST))
    return Job(workers=workers, extra=tuple(options.extra or ()), **{**defaults, **given})


def _words(options: argparse.Namespace, ensemble: Ensemble) -> list[str]:
    """What the job's own ``ldt run`` is told: the same scenarios and replicates."""
    words = [str(ensemble.twin.path.resolve()), "--quiet"]
    words += ["--all"] * options.all
    words += [w for name in options.sweep or () for w in ("--sweep", name)]
    if not options.all:
        words += [w for name in options.scenario or () for w in ("-s", name)]
    if options.replicates:
        words += ["--replicates", str(options.replicates)]
    return words + ["--locked"] * options.locked


def _environment() -> dict[str, str]:
    """What decides where results lie; SLURM may be told to pass no environment."""
    store = os.environ.get("LDT_STORE")
    return {"LDT_STORE": str(Path(store).expanduser().absolute())} if store else {}
