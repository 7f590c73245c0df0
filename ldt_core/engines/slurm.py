"""SLURM: one allocation with a Dask scheduler, its workers and the run. Text in, text out.

The script is complete in itself: it can be read, changed, and submitted again, when it goes on where
the last job ended, since the store has what was finished.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import __version__

JOBS = ".ldt/jobs"
"""Where jobs keep their scripts, logs and schedulers' files: beside the twin file."""
_WORD = (re.compile(r"[A-Za-z0-9][A-Za-z0-9_.,@:/-]*"), "write the name alone")
_ODD = {
    "partition": _WORD,
    "account": _WORD,
    "time": (re.compile(r"\d+|\d+:\d\d(:\d\d)?|\d+-\d+(:\d\d){0,2}"), "write minutes, HH:MM:SS or DAYS-HH"),
    "extra": (re.compile(r"[^\r\n]+"), "write one line; repeat the option for more"),
}


def refuse_odd(option: str, value: str) -> None:
    """Raise ``ValueError`` for a value that would break out of its line in the script."""
    pattern, fix = _ODD[option]
    if not pattern.fullmatch(value):
        raise ValueError(f"{value!r} cannot be given to SLURM; {fix}")


@dataclass(frozen=True)
class Job:
    """What is asked of SLURM. Memory in bytes and processors are those of one worker.

    ``extra`` are lines of the user's: ``#SBATCH`` or ``--option`` for the header, others for the shell.
    """

    workers: int
    cpus: int = 1
    memory: int = 4 * 1024**3
    nodes: int | None = None
    time: str = "01:00:00"
    partition: str | None = None
    account: str | None = None
    extra: Sequence[str] = ()


def write_script(job: Job, name: str, folder: Path, words: Sequence[str], environment: dict[str, str]) -> str:
    """The job's script. ``words`` follow ``ldt run``; ``folder`` is the twin's.

    Raises ``ValueError`` for a value that would break out of its line.
    """
    given = [("time", job.time), ("partition", job.partition), ("account", job.account)]
    for option, value in [*given, *(("extra", line) for line in job.extra)]:
        if value is not None:
            refuse_odd(option, value)
    header = [
        f"--job-name=ldt-{name}",
        *([f"--nodes={job.nodes}"] if job.nodes else []),
        f"--ntasks={job.workers}",
        f"--cpus-per-task={job.cpus}",
        f"--mem-per-cpu={-(-job.memory // (job.cpus * 1024**2))}M",
        f"--time={job.time}",
        *([f"--partition={job.partition}"] if job.partition else []),
        *([f"--account={job.account}"] if job.account else []),
        "--signal=B:TERM@120",
        "--requeue",
        "--open-mode=append",
        *(e.removeprefix("#SBATCH").strip() for e in job.extra if e.startswith(("#SBATCH", "--"))),
    ]
    return _SCRIPT.format(
        version=__version__,
        header="\n".join(f"#SBATCH {h}" for h in header),
        folder=shlex.quote(str(folder)),
        python=shlex.quote(sys.executable),
        jobs=JOBS,
        environment="".join(f"export {n}={shlex.quote(v)}\n" for n, v in environment.items()),
        extra="".join(f"{e}\n" for e in job.extra if not e.startswith(("#SBATCH", "--"))),
        workers=job.workers,
        cpus=job.cpus,
        memory=job.memory,
        run=shlex.join(words),
    )


_SCRIPT = """\
#!/bin/bash
# Written by ldt {version}. Submit it again to go on: what was finished is in the store.
{header}

cd -- {folder} || exit 14
python={python}
mkdir -p {jobs} && state=$(mktemp -d {jobs}/dask-XXXXXX) || exit 14
{environment}{extra}
# On one node nobody else needs to reach the scheduler.
here=(--no-dashboard --scheduler-file "$state/scheduler.json")
if [ "${{SLURM_JOB_NUM_NODES:-1}}" = 1 ]; then here+=(--host 127.0.0.1); fi

end() {{
  trap - EXIT TERM INT
  for child in "$run" "$workers" "$scheduler"; do
    if [ -n "$child" ] && kill -TERM "$child" 2>/dev/null; then wait "$child"; fi
  done
  rm -rf -- "$state"
}}
run= workers= scheduler= told=0
trap end EXIT
# Two minutes before the time limit, or when it is preempted, the job is told; the run ends with its record.
trap 'told=$((told + 1)); if [ -n "$run" ]; then kill -TERM "$run"; else exit 130; fi' TERM INT

"$python" -m dask scheduler --port 0 "${{here[@]}}" &
scheduler=$!
until [ -s "$state/scheduler.json" ]; do
  kill -0 "$scheduler" 2>/dev/null || {{ echo "ldt: the Dask scheduler did not start" >&2; exit 13; }}
  sleep 0.2
done

srun --ntasks={workers} --cpus-per-task={cpus} --kill-on-bad-exit=0 \\
  "$python" -m dask worker --nthreads 1 --memory-limit 0 --death-timeout 120 \\
  --resources "cpus={cpus} memory={memory}" --local-directory "${{TMPDIR:-/tmp}}" "${{here[@]}}" &
workers=$!

"$python" -m ldt_core.cli run {run} --engine dask --address "$state/scheduler.json" &
run=$!
code=127
while true; do # a signal interrupts the waiting, not the run
  before=$told
  wait "$run"; found=$?
  if [ "$found" != 127 ]; then code=$found; fi
  if [ "$told" = "$before" ]; then break; fi
done
run=
if [ "$told" != 0 ]; then echo "ldt: the job was told to end; submit it again to go on" >&2; fi
exit "$code"
"""
