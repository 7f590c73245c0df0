"""What a run says of itself, while it goes on and afterwards: who drives it, its tasks, its logs.

::

    runs/<run>/driver.json      who drives it; locked as long as that process lives, gone at the end
               progress.jsonl   one event of a task per line
               logs/TASK.log    what was said while the task ran; worker-0.log: outside of tasks

Nothing here changes a run; any number may look on.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from .errors import NotFound, nearest
from .record import read_record

try:
    import fcntl
except ImportError:  # Windows: a driver is known by its process number alone
    fcntl = None  # type: ignore[assignment]

KILLED = "interrupted (killed)"
_BEAT = 20.0
_STAMPED = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) ?(.*)", re.DOTALL)


@contextmanager
def driving(folder: Path) -> Iterator[None]:
    """This process drives the run until the block ends, or until it dies."""
    path, ended = folder / "driver.json", threading.Event()
    who = {"process": os.getpid(), "machine": _machine()}

    def beat() -> None:  # for a look from a machine to which this file system shows no locks
        while not ended.wait(_BEAT):
            with suppress(OSError):
                os.utime(path)

    with path.open("w", encoding="utf-8") as stream:
        if fcntl is not None:
            with suppress(OSError):
                fcntl.flock(stream, fcntl.LOCK_EX)
        json.dump(who, stream)
        stream.flush()
        threading.Thread(target=beat, name="ldt-driver", daemon=True).start()
        try:
            yield
        finally:
            ended.set()
            path.unlink(missing_ok=True)


def is_driven(folder: Path) -> bool:
    """Whether the process that began the run still lives."""
    try:
        with (folder / "driver.json").open("rb") as stream:
            age = time.time() - os.fstat(stream.fileno()).st_mtime
            who = json.loads(stream.read() or b"{}")
            here = who.get("machine") == _machine()
            if fcntl is None:
                return not here or _lives(who["process"])
            try:
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            except OSError:  # a file system without locks
                return _lives(who["process"]) if here else age < 3 * _BEAT
            return not here and age < 3 * _BEAT
    except FileNotFoundError:
        return False
    except (OSError, ValueError, KeyError):
        return True  # it cannot be told


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def _machine() -> str:
    uname = getattr(os, "uname", None)
    return str(uname().nodename if uname else os.environ.get("COMPUTERNAME", ""))


def status_of(folder: Path, record: Mapping[str, Any]) -> str:
    """The record's status, but for a run whose driver was killed before it could write another one."""
    if record["status"] != "running" or is_driven(folder):
        return str(record["status"])
    return str(read_record(folder)["status"]).replace("running", KILLED)  # it may have ended just now


def read_events(folder: Path) -> Iterator[dict[str, Any]]:
    """The lines of ``progress.jsonl``; what a killed driver left torn is passed over."""
    with suppress(FileNotFoundError), (folder / "progress.jsonl").open("rb") as stream:
        for line in stream:
            with suppress(ValueError):
                yield json.loads(line)


def summarise(folder: Path) -> dict[str, Any]:
    """One run in a few words. Raises ``StoreError`` where its record cannot be read."""
    record = read_record(folder)
    status = status_of(folder, record)
    states = [t["state"] for t in record.get("tasks", ())]
    found = {"computed": states.count("done"), "failed": states.count("failed")}
    if status in ("running", KILLED):  # its record is that of its beginning
        ends = {
            e["task"]: e["event"] for e in read_events(folder) if e["event"] in ("done", "failed", "lost")
        }
        done = list(ends.values()).count("done")
        found = {"computed": done, "failed": len(ends) - done}
    began = _began(folder)
    seconds = record["seconds"]
    if status == "running":
        seconds = max(0.0, time.time() - began)
    return {
        "run": folder.name,
        "folder": str(folder),
        "status": status,
        "began": datetime.fromtimestamp(began, UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "seconds": None if status == KILLED else round(seconds, 1),
        "scenarios": list(record["scenarios"]),
        "tasks": len(states),
        "stored": states.count("stored"),
        **found,
    }


def _began(folder: Path) -> float:
    """When the run's copy of its twin file was written."""
    return (folder / "twin.yaml").stat().st_mtime


def all_runs(twin_folder: Path) -> list[Path]:
    """Every run beside a twin, whatever became of it, oldest first."""
    found = [
        p.parent for p in (twin_folder / "runs").glob("*/run.json") if (p.parent / "twin.yaml").is_file()
    ]
    return sorted(found, key=lambda f: (_began(f), f.name))


def find_any_run(text: str) -> Path:
    """A run's folder: a path, a run's name in ``runs``, a twin's file or folder (its newest run), or ``last``.

    Raises ``NotFound``.
    """
    path = Path("." if text == "last" else text)
    for named in (path, Path("runs", text)):
        if (named / "run.json").is_file():
            return named
    runs = all_runs(path.parent if path.is_file() else path)
    if not runs:
        raise NotFound(
            f"'{text}' is no run, and has none", code="no run", fix="ldt runs lists them; ldt run makes one"
        )
    return runs[-1]


# -- the log -----------------------------------------------------------------------------------


class Line(NamedTuple):
    """A line of a run's log: when, whose (a task, or a worker outside of tasks), and what."""

    at: str
    of: str
    text: str


class RunLog:
    """Events and logs of a run as one, by time. Each ``read`` gives what has come since the last one."""

    def __init__(self, folder: Path, task: str | None = None) -> None:
        self._folder, self._task = folder, task
        self._places: dict[Path, int] = {}
        self._last: dict[str, str] = {}

    def read(self, *, to_the_end: bool = True) -> list[Line]:
        """New lines; those that are not yet complete only ``to_the_end``."""
        found = [line for line in self._events(to_the_end) if self._wanted(line.of)]
        for path in sorted((self._folder / "logs").glob("*.log")):
            if self._wanted(path.stem):
                found += self._said(path, to_the_end)
        return sorted(found, key=lambda line: line.at)  # stable: lines of one time stay in their order

    def _wanted(self, name: str) -> bool:
        return self._task is None or self._task in name

    def _events(self, to_the_end: bool) -> Iterator[Line]:
        for text in self._new(self._folder / "progress.jsonl", to_the_end):
            with suppress(ValueError, KeyError):
                event = json.loads(text)
                if event["event"] == "started":
                    self._last.setdefault(event["task"], event["at"])
                if event["event"] != "progress":
                    yield Line(event["at"], event["task"], _told(event))

    def _said(self, path: Path, to_the_end: bool) -> Iterator[Line]:
        """A log's lines; one that bears no time was said with the one before, or after its task began."""
        for text in self._new(path, to_the_end):
            stamped = _STAMPED.fullmatch(text)
            at, words = stamped.groups() if stamped else (self._last.get(path.stem) or _changed(path), text)
            self._last[path.stem] = at
            yield Line(at, path.stem, words)

    def _new(self, path: Path, to_the_end: bool) -> list[str]:
        with suppress(FileNotFoundError), path.open("rb") as stream:
            stream.seek(self._places.get(path, 0))
            data = stream.read()
            if not to_the_end:
                data = data[: data.rfind(b"\n") + 1]
            self._places[path] = self._places.get(path, 0) + len(data)
            return data.decode("utf-8", "replace").splitlines()
        return []


def _changed(path: Path) -> str:
    at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _told(event: Mapping[str, Any]) -> str:
    """An event in words."""
    kind = str(event["event"])
    if kind == "started":
        where = f"on {event['on']}, " if "on" in event else ""
        return f"-- started ({where}process {event['pid']})"
    if kind == "done":
        return f"-- done in {event['seconds']:.1f} s" if "seconds" in event else "-- done"
    if kind == "failed":
        return "-- failed: " + "; ".join(f"{e['what']} [{e['code']}]" for e in event["errors"])
    if kind in ("killed", "lost"):
        again = "it is run again" if kind == "killed" else "it is given up"
        return f"-- its worker {event['how']}, time {event['attempt']} of {event['of']}; {again}"
    return f"-- {kind}"


def refuse_unknown_task(folder: Path, task: str) -> None:
    """Raise ``NotFound`` where no task of the run has this text in its name."""
    names = {e["task"] for e in read_events(folder)} | {p.stem for p in (folder / "logs").glob("*.log")}
    if names and not any(task in name for name in names):
        raise NotFound(
            f"no task of the run has '{task}' in its name", code="no task", fix=nearest(task, names)
        )
