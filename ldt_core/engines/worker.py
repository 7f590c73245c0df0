"""A long-lived worker: reads paths of task files, runs each, answers with JSON lines.

What a component prints goes to its task's log, never into the protocol.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import ErrorList, LdtError, RunError
from ..usage import Meter
from .child import task_log
from .keeper import Ended, end_on_request, keep

LONGEST = 4000
"""Characters of one error's text that reach the run's record; the log holds all of it."""
Answer = Callable[..., None]


def main(arguments: Sequence[str] = ()) -> int:
    """Serve until the input ends. With the engine's process number: under a keeper, and end with it."""
    if arguments:
        return keep(int(arguments[0]), serve)
    return serve()


def serve() -> int:
    """Run one task file after another, by one path per line (a JSON string where it is quoted)."""
    answer = _protocol()
    tasks = os.fdopen(os.dup(0), "rb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)  # what a component starts must not read our tasks
    os.dup2(2, 1)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # in order, and not lost by a kill
    faulthandler.enable()  # the last words of one that falls
    _log_in_utc()
    folder, environment = Path.cwd(), dict(os.environ)
    code = 0
    try:
        for line in tasks:
            end_on_request()
            text = os.fsdecode(line.rstrip(b"\n"))
            path = Path(json.loads(text) if text.startswith('"') else text)
            with _own_log(path):
                work(path, answer)
            os.chdir(folder)  # no task finds what another one has left
            if dict(os.environ) != environment:
                os.environ.clear()
                os.environ.update(environment)
    except Ended:
        code = 143
    except Exception:
        logging.getLogger("ldt").exception("the worker cannot go on")
        code = 70
    finally:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # threads of components may run on for ever


def _log_in_utc() -> None:
    """Lines that begin as those of a run's progress do, so that both can be read as one."""
    form = "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s"
    formatter = logging.Formatter(form, "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=[handler])


@contextmanager
def _own_log(task: Path) -> Iterator[None]:
    """All that this process and its programs say goes to the task's log, kept where there is something in it."""
    log = task_log(task)
    try:
        own = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError:  # a task file elsewhere, or a full disk
        yield
        return
    before = os.dup(2)
    os.dup2(own, 2)
    os.dup2(own, 1)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os.dup2(before, 2)
        os.dup2(before, 1)
        empty = os.fstat(own).st_size == 0
        os.close(own)
        os.close(before)
        if empty:
            log.unlink(missing_ok=True)


def _protocol() -> Answer:
    """The way to the engine: one JSON object per line, whatever thread speaks."""
    stream, lock = os.fdopen(os.dup(1), "wb"), threading.Lock()

    def answer(kind: str, **payload: Any) -> None:
        line = json.dumps({"kind": kind, **payload}).encode() + b"\n"
        with lock:
            stream.write(line)
            stream.flush()

    return answer


def work(path: Path, answer: Answer) -> None:
    """Run one task and answer progress, then done or failed."""
    from ..tasks import perform

    meter = Meter()
    said = time.perf_counter()
    at_work = True

    def progress(share: float) -> None:
        nonlocal said
        moment = time.perf_counter()
        if at_work and moment - said > 0.2:
            said = moment
            answer("progress", share=round(share, 4))

    stage = path.stem
    try:
        task = json.loads(path.read_text(encoding="utf-8"))
        stage = task["stage"]
        result = perform(task, progress)
    except Ended:
        raise
    except BaseException as exc:
        at_work = False
        logging.getLogger("ldt").error("task %s failed", path.stem, exc_info=True)
        answer("failed", errors=[describe_error(e) for e in _errors(exc, stage)])
    else:
        at_work = False
        answer("done", **meter.read(), **result)


def _errors(exc: BaseException, stage: str) -> list[LdtError]:
    if isinstance(exc, ErrorList):
        return exc.errors
    if isinstance(exc, LdtError):
        return [exc]
    what = f"{type(exc).__name__}: {_text(exc)}"
    if isinstance(exc, Exception):
        frames = traceback.extract_tb(exc.__traceback__)[-2:]
        where = ", ".join(f"{Path(f.filename).name}:{f.lineno} in {f.name}" for f in frames)
        return [LdtError(what, code="our own fault", where=where)]
    fix = "report this to the component's author; the log holds the whole traceback"
    return [RunError(what, code="component raised", where=stage, fix=fix)]


def describe_error(error: LdtError) -> dict[str, Any]:
    """An error as the engine hands it on: its class, and texts of a length that can be read."""
    texts = {n: _text(getattr(error, n)) for n in ("what", "code", "where", "fix")}
    return {"class": type(error).__name__, **texts}


def _text(value: Any) -> str:
    try:
        text = str(value)
    except Exception as exc:
        text = f"(its text cannot be made: {type(exc).__name__})"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ... ({len(text):,} characters; see the log)"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
