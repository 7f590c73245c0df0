"""A run as files that anyone can read: GeoParquet, CSV, JSON; and who made what from what.

::

    twin.yaml, twin.lock, run.json
    kpis.csv                 one row per KPI, scenario and replicate
    results.csv              which file holds what; a result that scenarios share is one file
    results/*.parquet        the recordings
"""

from __future__ import annotations

import csv
import hashlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ._entry import safe_name
from .ensemble import Work
from .errors import ParamError
from .locking import NAME
from .results import credits_of, synthetic_of
from .runs import OpenRun
from .twin import Ref


@dataclass(frozen=True)
class Exported:
    """A file of an export: where, what it holds, whose data and licences are in it, what in it is made up."""

    path: str
    title: str
    kind: str
    sha256: str
    size: int
    credits: tuple[str, ...] = ()
    synthetic: tuple[str, ...] = ()


@dataclass(frozen=True)
class Activity:
    """One stage at work: its components, the files that it read and wrote, when, and for whom."""

    key: str
    title: str
    components: tuple[str, ...]
    used: tuple[str, ...]
    made: tuple[str, ...]
    started: str | None
    ended: str


@dataclass
class Export:
    files: list[Exported] = field(default_factory=list)
    activities: list[Activity] = field(default_factory=list)


def export_run(run: OpenRun, folder: Path, page: Path | None = None) -> Export:
    """Write a finished run into an empty folder. Raises ``ParamError`` (exists), ``StoreError`` (entry damaged)."""
    refuse_full(folder)
    (folder / "results").mkdir(parents=True, exist_ok=True)
    found = Export()
    for name, title in (
        ("twin.yaml", "The twin file"),
        (NAME, "The lock"),
        ("run.json", "The record of the run"),
    ):
        if (run.folder / name).is_file():
            shutil.copyfile(run.folder / name, folder / name)
            found.files.append(_exported(folder / name, name, title))
    if page is not None:
        shutil.copyfile(page, folder / "page.html")
        found.files.append(_exported(folder / "page.html", "page.html", "The results as a page"))
    _write_kpis(run.record, folder / "kpis.csv")
    synthetic = tuple(dict.fromkeys(s for k in run.record["kpis"].values() for s in k["synthetic"]))
    credits = tuple(dict.fromkeys(c for k in run.record["kpis"].values() for c in k["credits"]))
    found.files.append(
        _exported(folder / "kpis.csv", "kpis.csv", "KPIs of all scenarios", credits, synthetic)
    )
    _export_results(run, folder, found)
    return found


def refuse_full(path: Path) -> None:
    """Nothing is written over."""
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        raise ParamError(
            f"{path} is there already", code="exists", where=str(path), fix="name another place, or remove it"
        )


def _export_results(run: OpenRun, folder: Path, found: Export) -> None:
    """Every entry once, named after the first scenario that has it."""
    files: dict[tuple[str, str], str] = {}
    done: set[str] = set()
    rows = []
    ensemble = run.ensemble
    timings = {(t["scenario"], t["stage"], t["replicate"]): t for t in run.record["tasks"]}
    for work in _in_order(run):
        entry, fresh = ensemble.entries[work.key], work.key not in done
        for port in entry.ports:
            if fresh:
                files[work.key, port] = _copy(work, port, run, folder, found)
            rows.append([work.scenario, work.stage.name, port, work.replicate + 1, files[work.key, port]])
        if fresh:
            done.add(work.key)
            timing = timings[work.scenario, work.stage.name, work.replicate]
            inputs = ensemble.inputs_of(work) or {}
            used = [files[e.key, ref] for ref, e in inputs.items()]
            read = [
                f"{n}: {f}" for n in work.stage.members for f in run.record["components"][n].get("files", ())
            ]
            made = [files[work.key, port] for port in entry.ports]
            found.activities.append(
                Activity(
                    work.key,
                    work.name,
                    tuple(work.stage.members),
                    (*dict.fromkeys(used), *read),
                    tuple(made),
                    timing.get("started"),
                    entry.created,
                )
            )
    header = ["scenario", "stage", "port", "replicate", "file"]
    _write_csv(folder / "results.csv", [header, *rows])
    found.files.append(_exported(folder / "results.csv", "results.csv", "Which file holds what"))


def _in_order(run: OpenRun) -> Iterator[Work]:
    """Works after those whose results they read."""
    for scenario in run.ensemble.scenarios:
        for stage in run.ensemble.plans[scenario].stages:
            yield from run.ensemble.works_of(scenario, stage)


def _copy(work: Work, port: str, run: OpenRun, folder: Path, found: Export) -> str:
    entry = run.ensemble.entries[work.key]
    replicate = f".r{work.replicate + 1}" if work.stage.replicated else ""
    name = f"results/{safe_name(f'{work.scenario}.{port}{replicate}', dots='.')}.parquet"
    shutil.copyfile(entry.port_file(port), folder / name)
    component, _, rest = port.partition(".")
    ref = Ref(component, rest)
    said = f"{port} of {work.scenario}" + (f", replicate {work.replicate + 1}" if replicate else "")
    credits, synthetic = credits_of(work.plan, ref), synthetic_of(work.plan, ref)
    found.files.append(_exported(folder / name, name, said, tuple(credits), tuple(synthetic)))
    return name


def _write_kpis(record: Mapping[str, Any], path: Path) -> None:
    rows: list[list[Any]] = [
        ["kpi", "title", "unit", "better", "target", "scenario", "replicate", "value", "synthetic"]
    ]
    for name, kpi in record["kpis"].items():
        about = [
            name,
            kpi["title"],
            kpi["unit"],
            kpi["better"] or "",
            "" if kpi["target"] is None else kpi["target"],
        ]
        made_up = "; ".join(kpi["synthetic"])
        for scenario, values in kpi["values"].items():
            for number, value in enumerate(values, 1):
                rows.append([*about, scenario, number, "" if value is None else repr(value), made_up])
    _write_csv(path, rows)


def _write_csv(path: Path, rows: list[list[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(rows)


_KINDS = {
    ".parquet": "application/vnd.apache.parquet",
    ".csv": "text/csv",
    ".json": "application/json",
    ".lock": "application/json",
    ".yaml": "application/yaml",
    ".html": "text/html",
}


def _exported(
    path: Path, name: str, title: str, credits: tuple[str, ...] = (), synthetic: tuple[str, ...] = ()
) -> Exported:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return Exported(name, title, _KINDS[path.suffix], digest, path.stat().st_size, credits, synthetic)
