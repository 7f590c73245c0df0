"""Runs on disk: make one, find one, open one again."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .catalog import installed
from .ensemble import Ensemble, Watcher, describe_run, make_run_folder, write_record
from .errors import LdtError, NotFound, StoreError, TwinFileError, nearest
from .results import judge
from .store import Store
from .twin import Twin
from .twin import load_twin as load_twin

if TYPE_CHECKING:
    from .views import RenderedScene


@dataclass(frozen=True)
class OpenRun:
    """A run's folder with its record and its ensemble, ready to be read."""

    folder: Path
    record: dict[str, Any]
    ensemble: Ensemble


def store_of(twin_folder: Path) -> tuple[Store, Path]:
    """The twin's store and its components' cache: ``.ldt`` beside the twin file, or ``LDT_STORE``."""
    named = os.environ.get("LDT_STORE")
    root = Path(named) if named else twin_folder / ".ldt" / "store"
    return Store(root), root.parent / "cache"


def chosen_scenarios(twin: Twin, names: Sequence[str] | None) -> list[str]:
    """The scenarios asked for, the baseline first; all of them where none is named."""
    for name in names or ():
        if name not in twin.scenarios:
            raise TwinFileError(
                f"there is no scenario '{name}'",
                code="unresolved reference",
                where=twin.path.name,
                fix=nearest(name, twin.scenarios),
            )
    wanted = list(twin.scenarios) if not names else [s for s in twin.scenarios if s in set(names)]
    # A KPI against the baseline needs the baseline's numbers, asked for or not.
    if twin.baseline not in wanted and any(k.against for k in twin.kpis.values()):
        wanted.append(twin.baseline)
    return sorted(wanted, key=lambda s: s != twin.baseline)


def prepare(path: Path | str, names: Sequence[str] | None = None, replicates: int | None = None) -> Ensemble:
    """Read, prove and plan a twin; nothing is computed."""
    twin = load_twin(path)
    store, cache = store_of(twin.folder)
    return Ensemble(twin, chosen_scenarios(twin, names), installed(), store, cache, replicates=replicates)


def execute(ensemble: Ensemble, workers: int, watch: Watcher) -> OpenRun:
    """Run an ensemble and write its record, whatever the end: finished, failed or interrupted."""
    twin = ensemble.twin
    folder = make_run_folder(twin, ensemble.scenarios, twin.folder / "runs")
    begun = time.monotonic()
    status = "interrupted"
    error: LdtError | None = None
    try:
        try:
            ensemble.run(folder, workers, watch)
            kpis = judge(ensemble)
        except StoreError as exc:
            # A damaged entry is as good as none: take it out and compute it anew, once.
            if exc.code != "entry damaged" or not ensemble.drop_damaged():
                raise
            ensemble.run(folder, workers, watch)
            kpis = judge(ensemble)
        status = "finished"
    except LdtError as exc:
        status, error = "failed", exc
        raise
    finally:
        record = describe_run(ensemble, folder, status, time.monotonic() - begun)
        record["kpis"] = kpis if status == "finished" else {}
        if error is not None:
            record["error"] = error.as_dict()
        write_record(folder, record)
    return OpenRun(folder, record, ensemble)


def find_run(text: str, start: Path | None = None) -> Path:
    """A run's folder: a path, a twin's folder (its last finished run), or ``last``."""
    here = start or Path()
    path = Path(text)
    if (path / "run.json").is_file():
        return path
    twin_folder = here if text == "last" else (path.parent if path.is_file() else path)
    finished = finished_runs(twin_folder)
    if not finished:
        raise NotFound(
            f"'{text}' is no run, and there is no finished run in {twin_folder / 'runs'}",
            code="no run",
            fix="run the twin first: ldt run",
        )
    return finished[-1]


def finished_runs(twin_folder: Path) -> list[Path]:
    found = []
    for record in (twin_folder / "runs").glob("*/run.json"):
        try:
            content = json.loads(record.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if content.get("status") == "finished":
            found.append((content["created"], record.parent))
    return [folder for _, folder in sorted(found)]


def read_record(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except ValueError as exc:
        raise StoreError(f"run.json is no JSON: {exc}", code="entry damaged", where=str(folder)) from exc
    if not isinstance(content, dict) or content.get("record") != 1:
        raise StoreError(
            "run.json is of another version",
            code="entry damaged",
            where=str(folder),
            fix="run the twin again",
        )
    return content


def open_run(folder: Path) -> OpenRun:
    """A finished run with its results, from the twin file as it was and the keys in its record."""
    record = read_record(folder)
    if record["status"] != "finished":
        raise NotFound(
            f"the run {folder.name} is {record['status']}",
            code="no run",
            fix="run again; what was done is kept",
        )
    home = folder.resolve().parent.parent
    twin = load_twin(folder / "twin.yaml", folder=home)
    store, cache = store_of(home)
    scenarios = list(record["scenarios"])
    ensemble = Ensemble(twin, scenarios, installed(), store, cache, replicates=record["replicates"])
    for (scenario, stage, replicate), work in ensemble.works.items():
        work.key = record["scenarios"][scenario]["stages"][stage][replicate]
        entry = store.find(work.key)
        if entry is None:
            raise StoreError(
                f"the result of {work.name} is no longer in the store",
                code="entry damaged",
                where=str(folder),
                fix="run the twin again; what is still stored is not computed again",
            )
        work.state = "stored"
        ensemble.entries[work.key] = entry
    return OpenRun(folder, record, ensemble)


def load_scenes(run: OpenRun) -> list[RenderedScene]:
    """The run's views, rendered or from the store."""
    from .views import render_views

    return render_views(run.ensemble, run.record)
