"""The example of one component, run inside walls as a twin would run it; and all that it said meanwhile."""

from __future__ import annotations

import json
import logging
import pickle
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ldt_core as ldt

from .drive import start_run
from .drivers.base import Raised
from .generate import example_inputs
from .sandbox import Sandbox
from .seen import Seen
from .trial import Failed, Trial
from .views import example_view

_SHOW = Path(__file__).parent / "confine" / "show.py"
_PATIENCE = 3.0
"""Seconds in which what a component started may end after ``finalize``."""
_OWN = ("ldt_core.child", "bwrap ")


@dataclass
class Observed:
    """What one component did while its example ran. ``texts`` is all that it said, by where it was said: logs, prints,
    errors, outputs, state. ``unfinished`` says why its example did not run to its end; ``left`` are commands that ran on
    after ``finalize``."""

    seen: Seen = field(default_factory=Seen)
    texts: dict[str, str] = field(default_factory=dict)
    unfinished: str = ""
    word: str = ""
    left: tuple[str, ...] = ()


def left_running(walls: Sandbox) -> tuple[str, ...]:
    """What a component's process has running beside it, when that had time to end."""
    last = time.monotonic() + _PATIENCE
    while left := [c for c in walls.running() if not any(own in c for own in _OWN)]:
        if time.monotonic() > last:
            break
        time.sleep(0.02)
    return tuple(left)


def show(trial: Trial, found: Observed, walls: Sandbox) -> None:
    """Render the example's view by ``confine.show``; say into ``found`` what came of it."""
    context = trial.context()
    asked = {
        "params": dict(trial.example.params),
        "base": trial.example.base.absolute(),
        "context": {
            n: getattr(context, n) for n in ("start", "window", "seed", "crs", "bbox", "scratch", "cache")
        },
        "view": example_view(trial),
    }
    given, answer = walls.scratch / "given", walls.scratch / "answer"
    given.write_bytes(pickle.dumps(asked))
    ended = walls.run(
        [walls.environment.python, "-P", str(_SHOW), trial.manifest["id"], str(given), str(answer)]
    )
    found.seen = ended.seen
    try:
        said = json.loads(answer.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        said = {"error": f"its process ended with code {ended.code}"}
    found.texts["its output"], found.texts["an error"] = said.get("output", ""), said.get("error", "")
    found.unfinished = said.get("error", "")


def exercise(trial: Trial, found: Observed, log: logging.Logger, *, spoil: bool) -> None:
    """Open the example's component, use it as a run does, and end it; say into ``found`` what came of it."""
    kind = trial.manifest["kind"]
    try:
        subject = trial.open(log=log)
        ports, capabilities = subject.ports()[0], subject.capabilities()
        if kind == "source":
            found.texts["its output"] = _words(subject.read(trial.example.query))
            found.texts["its version"] = str(subject.version(trial.example.query))
        elif kind == "model":
            found.texts["its output"] = _words(subject.compute(example_inputs(trial, ports)))
        else:
            run = start_run(trial, log=log)
            found.texts["its output"] = _words(run.advance().tables)
            if "state" in capabilities:
                found.texts["its state"] = bytes(run.subject.get_state()).decode("utf-8", "replace")
            run.subject.finalize()
        if spoil:
            _spoil(trial, subject, kind, found)
        subject.finalize()
    except Raised as raised:
        found.unfinished, found.word = str(raised), raised.word
        found.texts["an error"] = _chain(raised)
    except Failed as failed:
        found.unfinished = failed.evidence.what
        found.texts["an error"] = str(failed.evidence)


def _spoil(trial: Trial, subject: Any, kind: str, found: Observed) -> None:
    """Ask for what cannot be: components tell most in their errors."""
    query = ldt.Query(start=trial.example.start, end=trial.example.start)
    calls: dict[str, list[Callable[[], Any]]] = {
        "source": [lambda: subject.read(query)],
        "model": [lambda: subject.compute({})],
        "simulator": [lambda: subject.initialize({}), lambda: subject.step({}, trial.example.step)],
    }
    for number, call in enumerate(calls.get(kind, ())):
        try:
            call()
        except Raised as raised:
            found.texts[f"an error, asked for what cannot be ({number + 1})"] = _chain(raised)


def _chain(raised: Raised) -> str:
    """All that an error says, and those that it comes from."""
    said, error = [], raised.error
    while error is not None:
        said.append(f"{type(error).__name__}: {error} {getattr(error, 'fix', '')}")
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    return "\n".join(said)


def _words(tables: Mapping[str, Any]) -> str:
    """Every value of some tables, as text."""
    parts = []
    for name, table in tables.items():
        if isinstance(table, ldt.Table):
            parts += [f"{name}.{c}: {' '.join(map(str, table[c].tolist()))}" for c in table.names]
        else:
            parts.append(f"{name}: {getattr(table, 'attributes', '')}")
    return "\n".join(parts)


def own_log() -> tuple[logging.Logger, list[str]]:
    """A logger of its own, and what it was told."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    log = logging.Logger("ldt.observed", logging.DEBUG)
    log.addHandler(Keep())
    return log, lines
