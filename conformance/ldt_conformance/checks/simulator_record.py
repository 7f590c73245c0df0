"""Does the record of a run name all that made a simulator's result?"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ldt_core.runner import Member, Outcome, Setting, run_stage
from ldt_core.tables import Port, Recording
from ldt_core.tasks import files_of
from ldt_core.wires import Wire

from ..drive import Trajectory, drive, expect_same_run
from ..forcing import Given, methods_of
from ..trial import Trial
from . import check


@check("LDT-SIM-PROV-01")
def nothing_unnamed_matters(trial: Trial) -> None:
    """Through the engine's own runner the result is the same; what the run's record does not name changes nothing."""
    expected = drive(trial)
    _the_runner_gives_it(trial, expected)
    _no_file_is_a_text(trial)
    if not trial.manifest.get("stochastic", False):
        other = trial.example.seed + 1
        expect_same_run(
            trial,
            expected,
            drive(trial, seed=other),
            "another seed gives another result, and the manifest does not say 'stochastic'",
            given={"seeds": [trial.example.seed, other]},
        )
    moved = _moved(trial)
    if moved is not None:
        expect_same_run(
            trial,
            expected,
            drive(moved),
            "with its file parameters copied to another folder the result is another",
            given={"params": trial.example.params},
        )


# -- the engine's runner ----------------------------------------------------------------------------


def _the_runner_gives_it(trial: Trial, expected: Trajectory) -> None:
    subject = trial.open()
    given = Given(trial, subject)
    outcome: Outcome = trial.driver.call("run", _run_stage, trial, given)
    for name, port in given.outputs.items():
        if not isinstance(port, Port):
            continue
        first = [(0, 0, expected.initial[name])] if name in expected.initial else []
        parts = [] if port.at == "start" else [(s, e, t[name]) for s, e, t in expected.windows]
        wanted, found = Recording.of(port, [*first, *parts]), outcome.recordings[f"it.{name}"]
        trial.expect_same(
            {name: wanted.table, "windows": wanted.windows.tolist()},
            {name: found.table, "windows": found.windows.tolist()},
            "the engine's runner gives another result",
            tolerances={} if trial.manifest.get("deterministic", True) else None,
        )


def _run_stage(trial: Trial, given: Given) -> Outcome:
    e = trial.example
    kind = trial.driver.component()
    params = kind.Params.model_validate(dict(e.params), context={"base": e.base})
    member = Member("it", kind, params, given.inputs, given.outputs, e.step, e.seed)
    wires = [Wire("given", n, "it", n, methods=methods_of(_port(given, n))) for n in given.tables]
    inputs = {f"given.{n}": given.recording(n) for n in given.tables}
    record = dict.fromkeys(f"it.{n}" for n, p in given.outputs.items() if isinstance(p, Port))
    setting = Setting(e.start, e.step * e.windows, e.crs, e.bbox, trial.scratch(), trial.scratch())
    return run_stage([member], wires, inputs, record, setting)


def _port(given: Given, name: str) -> Port:
    port = given.inputs[name]
    assert isinstance(port, Port)
    return port


# -- files ------------------------------------------------------------------------------------------


def _no_file_is_a_text(trial: Trial) -> None:
    """The content of a file enters the record where its parameter is an ``ldt.File``; of a text, the text does."""
    declared = set(trial.manifest.get("files", ()))
    texts = {n: v for n, v in trial.example.params.items() if n not in declared}
    for name, text in _texts(texts):
        path = trial.example.base / text
        named = len(text) < 4096 and "\0" not in text and path.is_file() and not os.access(path, os.X_OK)
        trial.expect(
            not named,
            f"the parameter '{name}' names a file and is a text: the record of a run does not say what was in it",
            given={name: text},
            expected="a parameter of the type ldt.File",
            got="text",
        )
    trial.expect(True, "parameters name no file")


def _texts(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(item, name or str(key))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item, name)


def _moved(trial: Trial) -> Trial | None:
    """The trial in a folder that holds the declared files and nothing else; None where they cannot be moved."""
    e, kind = trial.example, trial.driver.component()
    params = kind.Params.model_validate(dict(e.params), context={"base": e.base})
    base = e.base.resolve()
    paths = [Path(p).resolve() for file in files_of(params) for p in file.files()]
    if not paths or not all(p.is_relative_to(base) for p in paths):
        return None  # an absolute name is part of the parameters: elsewhere it is another one
    folder = trial.scratch()
    for path in paths:
        copy = folder / path.relative_to(base)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, copy, dirs_exist_ok=True)
        else:
            shutil.copyfile(path, copy)
    return replace(trial, example=replace(e, base=folder))
