"""Runs on disk: make one, find one, open one again."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .catalog import installed, notify
from .collect import remember_runs
from .engines.choice import LOCAL, Place
from .ensemble import Ensemble, Watcher
from .errors import ErrorList, LdtError, NotFound, StoreError, TwinFileError, nearest
from .journal import driving, status_of
from .record import describe_run, make_run_folder, read_record, refuse_unwritable, write_record
from .results import judge
from .results_table import describe_sweeps, tabulate, write_results
from .store import Store
from .sweeps import chosen_sweeps
from .twin import Twin
from .twin import load_twin as load_twin
from .usage import RunMeter

if TYPE_CHECKING:
    from .views import RenderedScene


@dataclass(frozen=True)
class OpenRun:
    """A run's folder with its record and its ensemble, ready to be read.

    ``error`` is what kept members of a sweep from their end, where all scenarios came to theirs.
    """

    folder: Path
    record: dict[str, Any]
    ensemble: Ensemble
    error: LdtError | None = None


def store_of(twin_folder: Path) -> tuple[Store, Path]:
    """The twin's store and its components' cache: ``.ldt`` beside the twin file, or all in ``LDT_STORE``."""
    named = os.environ.get("LDT_STORE")
    if named:
        root = Path(named).expanduser().absolute()
        return Store(root), root / "cache"
    return Store(twin_folder / ".ldt" / "store"), twin_folder / ".ldt" / "cache"


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
    for name in wanted:  # and what leaves another scenario needs that one; the list grows under way
        branch = twin.scenarios[name].branch
        if branch is not None and branch.of not in wanted:
            wanted.append(branch.of)
    return sorted(wanted, key=lambda s: s != twin.baseline)


def prepare(
    path: Path | str,
    names: Sequence[str] | None = None,
    replicates: int | None = None,
    sweeps: Sequence[str] | None = (),
    *,
    online: bool = False,
) -> Ensemble:
    """Read, prove and plan a twin; nothing is computed. ``sweeps`` names those to run with it, None: all.

    Where sweeps are named and no scenario is, only the scenarios that they vary are run with them.
    ``online`` reads anew what its remote components say of themselves; else what was read before holds.
    """
    twin = load_twin(path)
    if any("://" in c.use for c in twin.components.values()):
        from .remote.manifests import meet

        meet(twin, online=online)
    store, cache = store_of(twin.folder)
    chosen = list(twin.sweeps) if sweeps is None else chosen_sweeps(twin, sweeps)
    varied = [of for name in chosen for of in twin.sweeps[name].of or (twin.baseline,)]
    scenarios = chosen_scenarios(twin, [*names, *varied] if names else varied if sweeps else names)
    return Ensemble(twin, scenarios, installed(), store, cache, replicates=replicates, sweeps=chosen)


def execute(ensemble: Ensemble, workers: int, watch: Watcher, place: Place = LOCAL) -> OpenRun:
    """Run an ensemble and write its record, whatever the end: finished, failed or interrupted.

    ``place`` says where its tasks are run; by default in ``workers`` processes on this machine.
    """
    with ensemble.store.lease(f"a run of {ensemble.twin.path.name}"), ExitStack() as stack:
        ensemble.settle()
        if any(work.state != "stored" for work in ensemble.works.values()):
            for root in (ensemble.store.root, ensemble.cache):
                refuse_unwritable(root)
        folder = make_run_folder(
            ensemble.twin, [*ensemble.scenarios, *ensemble.designs], ensemble.twin.folder / "runs"
        )
        remember_runs(ensemble.store, folder.parent)
        stack.enter_context(driving(folder))
        meter = RunMeter()

        def usage() -> dict[str, Any]:
            return meter.read((w.timing for w in ensemble.works.values()), here=place == LOCAL)

        started = {**describe_run(ensemble, folder, "running", usage()), "kpis": {}}
        write_record(folder, started)
        notify("ldt_run_started", started)
        status = "interrupted"
        error: Exception | None = None
        kpis: dict[str, Any] = {}
        try:
            kpis, error = _compute(ensemble, folder, workers, watch, place)
            status = "finished"
        except Exception as exc:
            status, error = "failed", exc
            raise
        finally:
            record = describe_run(ensemble, folder, status, usage()) | {"kpis": kpis}
            if ensemble.designs:
                record["sweeps"] = describe_sweeps(ensemble)
            if isinstance(error, LdtError):
                record["error"] = error.as_dict()
            # What went wrong first is what the user must hear.
            with nullcontext() if status == "finished" else suppress(StoreError):
                write_record(folder, record)
            notify("ldt_run_finished", record)
    return OpenRun(folder, record, ensemble, error if isinstance(error, LdtError) else None)


def _compute(
    ensemble: Ensemble, folder: Path, workers: int, watch: Watcher, place: Place
) -> tuple[dict[str, Any], LdtError | None]:
    """All works, the table and the KPIs; the error where only members of sweeps failed.

    A damaged entry is as good as none: it is taken out and computed anew, once.
    """

    def once() -> tuple[dict[str, Any], LdtError | None]:
        error = None
        try:
            ensemble.run(folder, workers, watch, place)
        except LdtError as exc:
            error = exc
            if not ensemble.members or not ensemble.failures:
                raise
        write_results(tabulate(ensemble, folder.name), folder)
        if error is not None and any(ensemble.error_of(s) for s in ensemble.scenarios):
            raise error
        return judge(ensemble), error

    try:
        return once()
    except LdtError as exc:
        found = exc.errors if isinstance(exc, ErrorList) else [exc]
        if not any(e.code == "entry damaged" for e in found) or not ensemble.drop_damaged():
            raise
    return once()


def find_run(text: str, start: Path | None = None) -> Path:
    """A run's folder: a path, a run's name in ``runs``, a twin's file or folder (its last finished run), or ``last``."""
    here = start or Path()
    path = here / text
    for named in (path, here / "runs" / text):
        if (named / "run.json").is_file():
            return named
    if path.name == "run.json" and path.is_file():
        return path.parent
    if text == "last":
        folder, file = here, None
    else:
        folder, file = (path.parent, path.name) if path.is_file() else (path, None)
    if not folder.is_dir():
        raise NotFound(
            f"there is no '{text}'",
            code="no run",
            fix="name a run's folder, a twin file or its folder, or last",
        )
    finished = finished_runs(folder, file)
    if not finished:
        raise NotFound(
            f"'{text}' is no run, and there is no finished run in {folder / 'runs'}",
            code="no run",
            fix="run the twin first: ldt run",
        )
    return finished[-1]


def finished_runs(twin_folder: Path, file: str | None = None) -> list[Path]:
    """The finished runs beside a twin, oldest first; with ``file`` those of this twin file alone."""
    found = []
    for path in (twin_folder / "runs").glob("*/run.json"):
        with suppress(StoreError):  # torn, foreign or of another version: none that could be opened
            record = read_record(path.parent)
            if record["status"] == "finished" and file in (None, record["twin"]["file"]):
                found.append((record["created"], path.parent))
    return [folder for _, folder in sorted(found)]


def home_of(folder: Path, record: Mapping[str, Any]) -> Path:
    """The folder of the twin that a run belongs to, where ``runs`` or the run may be a link."""
    places = [folder.absolute().parent.parent, folder.resolve().parent.parent]
    return next((p for p in places if (p / record["twin"]["file"]).is_file()), places[0])


def open_run(folder: Path) -> OpenRun:
    """A finished run with its results, from the twin file as it was and the keys in its record."""
    record = read_record(folder)
    if record["status"] != "finished":
        said = status_of(folder, record).replace("running", "still running")
        raise NotFound(
            f"the run {folder.name} is {said}", code="no run", fix="run again; what was done is kept"
        )
    home = home_of(folder, record)
    twin = load_twin(folder / "twin.yaml", folder=home)
    store, cache = store_of(home)
    remember_runs(store, folder.parent)  # it may have been moved here
    scenarios = list(record["scenarios"])
    ensemble = Ensemble(twin, scenarios, installed(), store, cache, replicates=record["replicates"])
    for (scenario, stage, replicate), work in ensemble.works.items():
        try:
            work.key = record["scenarios"][scenario]["stages"][stage][replicate]
        except (KeyError, IndexError):
            raise StoreError(
                f"the run knows nothing of {work.name}: it was made with other versions of the components",
                code="store version",
                where=str(folder),
                fix="run the twin again, or install the versions that its run.json names",
            ) from None
        entry = store.find(work.key)
        if entry is None:
            raise StoreError(
                f"the result of {work.name} is no longer in the store {store.root}",
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
