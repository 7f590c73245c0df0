"""``ldt runs`` and ``ldt log``: what became of runs, and what they say while they go on."""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import suppress
from pathlib import Path

from ..errors import NotFound, StoreError
from ..journal import Line, RunLog, all_runs, find_any_run, refuse_unknown_task, status_of, summarise
from ..record import read_record
from .output import print_json


def runs(options: argparse.Namespace) -> int:
    """All runs beside a twin, oldest first; those that cannot be read are passed over."""
    path = Path(options.twin)
    folder = path.parent if path.is_file() else path
    if not folder.is_dir():
        raise NotFound(f"there is no '{path}'", code="no run", fix="name a twin file or its folder")
    found = []
    for run in all_runs(folder):
        with suppress(StoreError):
            found.append(summarise(run))
    if options.json:
        print_json(found)
        return 0
    if not found:
        print(f"no runs in {folder / 'runs'}: ldt run makes one")
        return 0
    rows = [("run", "status", "began", "took", "scenarios", "tasks", "computed", "stored", "failed")]
    for item in found:
        took = "" if item["seconds"] is None else f"{item['seconds']:.1f} s"
        counts = [str(item[n]) for n in ("tasks", "computed", "stored", "failed")]
        head = (item["run"], item["status"], item["began"], took, str(len(item["scenarios"])))
        rows.append((*head, counts[0], counts[1], counts[2], counts[3]))
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    for row in rows:
        cells = [
            cell.ljust(w) if n < 3 else cell.rjust(w)
            for n, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())
    return 0


def log(options: argparse.Namespace) -> int:
    """Events and logs of a run by time; with ``--follow`` until it ends."""
    folder = find_any_run(options.run)
    if options.task and not options.follow:
        refuse_unknown_task(folder, options.task)
    reader = RunLog(folder, options.task)
    while options.follow and status_of(folder, read_record(folder)) == "running":
        _print(reader.read(to_the_end=False), options.json)
        time.sleep(0.2)
    _print(reader.read(), options.json)
    if not options.json:
        print(f"{folder.name}: {status_of(folder, read_record(folder))}", file=sys.stderr)
    return 0


def _print(lines: list[Line], as_json: bool) -> None:
    import json

    for line in lines:
        text = "".join(c if c.isprintable() or c == "\t" else "?" for c in line.text)
        print(json.dumps(line._asdict()) if as_json else f"{line.at[11:23]}  {line.of}  {text}", flush=True)
