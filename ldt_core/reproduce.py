"""A run made again, from its own record into an empty store, and what differs from the first time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .catalog import installed
from .ensemble import Ensemble, Watcher, Work
from .errors import NotFound, StoreError
from .homes import environments_folder
from .locking import drift, environments_of
from .record import files_read, make_run_folder, read_record
from .results import judge
from .runs import home_of, store_of
from .store import Store
from .tables import Recording, Table
from .twin import load_twin


@dataclass(frozen=True)
class Difference:
    """A result that is not the same. ``within``: inside what its component declares as tolerance; None: unknown."""

    scenario: str
    stage: str
    replicate: int
    port: str
    what: str
    within: bool | None


@dataclass
class Reproduction:
    """What was compared and what was found. Files, environment and sources are told as reasons."""

    run: str
    compared: int = 0
    results: list[Difference] = field(default_factory=list)
    kpis: list[dict[str, Any]] = field(default_factory=list)
    environment: list[tuple[str, str, str]] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    not_reproducible: list[str] = field(default_factory=list)

    @property
    def same(self) -> bool:
        """Every recording and every KPI, bit for bit."""
        return not self.results and not self.kpis

    def as_dict(self) -> dict[str, Any]:
        return {"same": self.same, **asdict(self)}


def reproduce(folder: Path, workers: int, watch: Watcher) -> Reproduction:
    """Run the twin file of a run's folder again, with its scenarios, replicates and seeds, and compare digests.

    Nothing is taken from a store, nothing is left behind. Raises what running raises; ``NotFound`` where the
    run has no end; ``StoreError`` where its record knows no digests.
    """
    record = read_record(folder)
    if record["status"] != "finished":
        raise NotFound(
            f"the run {folder.name} is {record['status']}, so there is nothing to compare with",
            code="no run",
            fix="name a finished run",
        )
    if "results" not in record:
        raise StoreError(
            "the record knows no digests of results; an older version wrote it",
            code="store version",
            where=str(folder),
            fix="run the twin again: what is stored is not computed again, and the new record has them",
        )
    home = home_of(folder, record)
    twin = load_twin(folder / "twin.yaml", folder=home)
    found = Reproduction(record["run"])
    with tempfile.TemporaryDirectory(prefix="ldt-reproduce-") as name:
        place = Path(name)
        store, cache = store_of(home)
        # Environments of components' own are named by what is in them, so they may be shared.
        environments_folder(cache).mkdir(parents=True, exist_ok=True)
        environments_folder(place / "cache").symlink_to(environments_folder(cache).resolve())
        scenarios = list(record["scenarios"])
        ensemble = Ensemble(
            twin,
            scenarios,
            installed(),
            Store(place / "store"),
            place / "cache",
            replicates=record["replicates"],
        )
        here = environments_of(twin, ensemble.catalog, ensemble.plans.values())
        found.environment = list(drift(record["environments"], here))
        found.files = list(_changed_files(record, ensemble))
        ensemble.run(make_run_folder(twin, scenarios, place / "runs"), workers, watch)
        found.not_reproducible = sorted({*record["not_reproducible"], *ensemble.unversioned})
        _compare(record, ensemble, store, found)
        found.kpis = list(_other_kpis(record["kpis"], judge(ensemble)))
    return found


def _changed_files(record: Mapping[str, Any], ensemble: Ensemble) -> Iterator[str]:
    for name, component in record["components"].items():
        now = files_read(ensemble, name)
        for file in sorted({*component["files"], *now}):
            if component["files"].get(file) != now.get(file):
                yield f"{name}: {file}"


def _compare(record: Mapping[str, Any], ensemble: Ensemble, store: Store, found: Reproduction) -> None:
    for (scenario, stage, replicate), work in ensemble.works.items():
        known = record["scenarios"][scenario]["stages"].get(stage, [])
        key = known[replicate] if replicate < len(known) else ""
        before, after = record["results"].get(key, {}), ensemble.entries[work.key].digests
        for port in sorted({*before, *after}):
            found.compared += 1
            if before.get(port) != after.get(port):
                what, within = _tell(ensemble, work, port, store, key)
                found.results.append(Difference(scenario, stage, replicate, port, what, within))


def _tell(ensemble: Ensemble, work: Work, port: str, store: Store, key: str) -> tuple[str, bool | None]:
    """How far a recording is from the first one, where that is still stored."""
    before: Recording | None = None
    with suppress(StoreError, KeyError, ValueError):
        entry = store.find(key)
        before = None if entry is None else entry.recording(port)
    if before is None:
        return "another digest; the first result is no longer stored", None
    try:
        after = ensemble.entries[work.key].recording(port)
    except KeyError:
        return "it is no longer recorded", None
    node = work.plan.nodes[port.partition(".")[0]]
    return compare_tables(before.table, after.table, node.component.tolerances)


def compare_tables(one: Table, other: Table, tolerances: Mapping[str, float]) -> tuple[str, bool]:
    """How far two tables are from each other, and whether every number is within its column's tolerance.

    ``tolerances`` are absolute, in the column's unit.
    """
    if len(one) != len(other) or list(one.columns) != list(other.columns):
        return f"{len(other)} rows and columns {', '.join(other.columns)}; it had {len(one)}", False
    said, within = [], True
    for name in one.columns:
        a, b = np.asarray(one[name]), np.asarray(other[name])
        if a.dtype.kind in "fiu" and b.dtype.kind in "fiu":
            apart = np.abs(a.astype(float) - b.astype(float))
            apart[(a == b) | (np.isnan(a.astype(float)) & np.isnan(b.astype(float)))] = 0.0
            count = int(np.count_nonzero(apart))
            if count:
                most = float(np.max(apart))
                said.append(f"{name} differs in {count} of {len(a)} rows, by {most:.3g} at most")
                within = within and bool(most <= tolerances.get(name, 0.0))
        else:
            count = sum(bool(x != y) for x, y in zip(a.tolist(), b.tolist(), strict=True))
            if count:
                said.append(f"{name} differs in {count} of {len(a)} rows")
                within = False
    if not said:
        return "the same values in other windows, or missing in other places", False
    return "; ".join(said), within


def _other_kpis(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name in sorted({*before, *after}):
        one, other = before.get(name, {}).get("values", {}), after.get(name, {}).get("values", {})
        for scenario in sorted({*one, *other}):
            if one.get(scenario) != other.get(scenario):
                yield {
                    "kpi": name,
                    "scenario": scenario,
                    "was": one.get(scenario),
                    "is": other.get(scenario),
                }
