"""Scenarios times replicates as tasks: what is in the store is served, the rest goes to an engine.

The run folder holds ``run.json`` (the truth), the twin file as it was, the task files, progress and
logs. Every result is in the store as soon as its task is done, so nothing finished is ever lost.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from . import __version__
from .catalog import Catalog
from .engines.local import Event, LocalEngine
from .errors import LdtError, RunError, StoreError
from .identity import licence, lock, package_digest
from .store import Entry, Store, canonical
from .tasks import input_entries, short, stage_fields
from .twin import Twin
from .wiring import Plan, Stage, prove


class Watcher(Protocol):
    """Is told how the run goes; the command line draws its bar from it."""

    def __call__(self, state: Progress) -> None: ...


@dataclass
class Work:
    """One stage of one scenario in one replicate (0 where the stage is not replicated)."""

    scenario: str
    plan: Plan
    stage: Stage
    replicate: int
    key: str = ""
    state: str = "waiting"
    share: float = 0.0
    fields: Mapping[str, Any] = field(default_factory=dict)
    timing: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.stage.name} of {self.scenario}, replicate {self.replicate + 1}"


@dataclass(frozen=True)
class Progress:
    """Counts of tasks, the share done (0 to 1) and an estimate of the seconds left (None: unknown)."""

    total: int
    stored: int
    computed: int
    running: tuple[str, ...]
    share: float
    elapsed: float
    left: float | None


class Ensemble:
    """All work of one call of ``ldt run``."""

    def __init__(
        self,
        twin: Twin,
        scenarios: Sequence[str],
        catalog: Catalog,
        store: Store,
        cache: Path,
        *,
        replicates: int | None = None,
    ) -> None:
        self.twin, self.scenarios, self.catalog = twin, list(scenarios), catalog
        self.store, self.cache = store, cache
        self.replicates = replicates or twin.run.replicates
        self.nonce = uuid.uuid4().hex
        self.twins = {s: twin.for_scenario(s) for s in self.scenarios}
        self.plans = {s: prove(self.twins[s], catalog, cache) for s in self.scenarios}
        self.works: dict[tuple[str, str, int], Work] = {}
        for scenario, plan in self.plans.items():
            for stage in plan.stages:
                for replicate in range(self.replicates if stage.replicated else 1):
                    work = Work(scenario, plan, stage, replicate)
                    self.works[scenario, stage.name, replicate] = work
        self.entries: dict[str, Entry] = {}
        self.owners: dict[str, list[Work]] = {}

    # -- what is known without computing -----------------------------------------------------

    def inputs_of(self, work: Work) -> dict[str, Entry] | None:
        """The entries that a work reads, or None while one of them is not there."""
        above: dict[str, Entry] = {}
        for other in work.plan.stages:
            for name in other.members:
                replicate = work.replicate if other.replicated else 0
                key = self.works[work.scenario, other.name, replicate].key
                if key in self.entries:
                    above[name] = self.entries[key]
        try:
            return input_entries(work.plan, work.stage, above)
        except KeyError:
            return None

    def settle(self) -> list[Work]:
        """Give a key to every work whose inputs are known; serve what is stored. Returns what must be computed."""
        fresh: list[Work] = []
        moved = True
        while moved:
            moved = False
            for work in self.works.values():
                if work.state != "waiting":
                    continue
                inputs = self.inputs_of(work)
                if inputs is None:
                    continue
                moved = True
                work.fields = stage_fields(
                    self.twins[work.scenario],
                    work.plan,
                    work.stage,
                    work.replicate,
                    {ref: entry.digests[ref] for ref, entry in inputs.items()},
                    self.nonce,
                )
                work.key = Store.key(work.fields)
                if work.key in self.owners:
                    self.owners[work.key].append(work)
                    work.state = "shared" if work.key not in self.entries else "stored"
                    continue
                self.owners[work.key] = [work]
                entry = self.store.find(work.key)
                if entry is not None:
                    self.entries[work.key] = entry
                    work.state = "stored"
                else:
                    work.state = "ready"
                    fresh.append(work)
        return fresh

    def drop_damaged(self) -> int:
        """Take damaged entries out of the store and forget what is known. Returns how many there were."""
        damaged = 0
        for key, entry in self.entries.items():
            if any(True for _ in entry.problems()):
                self.store.quarantine(key)
                damaged += 1
        self.entries.clear()
        self.owners.clear()
        for work in self.works.values():
            work.key, work.state, work.share = "", "waiting", 0.0
        return damaged

    # -- running -----------------------------------------------------------------------------

    def run(self, folder: Path, workers: int, watch: Watcher) -> None:
        """Compute what is missing. Raises the first error after the other tasks have come to their end."""
        begun = time.monotonic()
        fresh = self.settle()
        watch(self._progress(begun))
        if not fresh:
            return
        (folder / "tasks").mkdir(parents=True, exist_ok=True)
        (folder / "logs").mkdir(exist_ok=True)
        engine = LocalEngine(max(1, min(workers, self._width())), folder / "logs")
        pending: dict[str, Work] = {}
        failures: list[tuple[Work, LdtError]] = []
        clean = False
        try:
            with (folder / "progress.jsonl").open("a", encoding="utf-8") as journal:
                self._submit(fresh, engine, folder, pending)
                for event in engine.results():
                    if event.kind != "tick":
                        self._note(event, pending, failures, journal)
                    if event.kind == "done":
                        self._submit(self.settle(), engine, folder, pending)
                    watch(self._progress(begun))
                    if not pending:
                        break
            clean = True
        finally:
            engine.close(kill=not clean)
        if failures:
            work, error = failures[0]
            error.where = f"{error.where} ({work.name})" if error.where else work.name
            raise error

    def _width(self) -> int:
        """How many tasks can run at once at most."""
        return max(1, len([w for w in self.works.values() if w.state in ("ready", "waiting")]))

    def _submit(
        self, works: Sequence[Work], engine: LocalEngine, folder: Path, pending: dict[str, Work]
    ) -> None:
        for work in works:
            inputs = self.inputs_of(work)
            assert inputs is not None
            name = f"{short(work.key)}-{work.scenario}-{work.stage.name}-{work.replicate}"[:120]
            path = folder / "tasks" / f"{name}.json"
            task = {
                "key": work.key,
                "twin": str((folder / "twin.yaml").resolve()),
                "folder": str(self.twin.folder.resolve()),
                "scenario": work.scenario,
                "stage": work.stage.name,
                "replicate": work.replicate,
                "inputs": {ref: entry.key for ref, entry in inputs.items()},
                "store": str(self.store.root.resolve()),
                "cache": str(self.cache.resolve()),
                "fields": work.fields,
            }
            path.write_text(json.dumps(task, indent=1), encoding="utf-8")
            pending[name] = work
            engine.submit(path)

    def _note(
        self,
        event: Event,
        pending: dict[str, Work],
        failures: list[tuple[Work, LdtError]],
        journal: Any,
    ) -> None:
        work = pending[event.task]
        line = {"at": _timestamp(), "task": event.task, "event": event.kind, **event.payload}
        journal.write(json.dumps(line, ensure_ascii=False) + "\n")
        journal.flush()
        if event.kind == "started":
            work.state = "running"
        elif event.kind == "progress":
            work.share = event.payload["share"]
        elif event.kind == "killed":
            work.state, work.share = "ready", 0.0
        elif event.kind == "done":
            entry = self.store.find(work.key)
            del pending[event.task]
            if entry is None:
                failures.append((work, StoreError("its result is not in the store", code="entry damaged")))
                return
            self.entries[work.key] = entry
            work.timing = {k: v for k, v in event.payload.items() if k != "key"}
            for other in self.owners[work.key]:
                other.state = "done" if other is work else "stored"
        elif event.kind in ("failed", "lost"):
            del pending[event.task]
            work.state = "failed"
            failures.append((work, _error(event)))

    def _progress(self, begun: float) -> Progress:
        works = [w for w in self.works.values() if w.state != "shared"]
        stored = sum(w.state == "stored" for w in works)
        done = [w for w in works if w.state == "done"]
        active = [w for w in works if w.state == "running"]
        # Tasks of one stage cost about the same; those not yet seen count as the mean of the seen.
        cost: dict[str, float] = {}
        for work in done:
            cost[work.stage.name] = work.timing.get("seconds", 1.0)
        typical = sum(cost.values()) / len(cost) if cost else 1.0
        todo = [w for w in works if w.state != "stored"]
        whole = sum(cost.get(w.stage.name, typical) for w in todo)
        finished = sum(
            cost.get(w.stage.name, typical)
            * (1.0 if w.state == "done" else w.share if w.state == "running" else 0)
            for w in todo
        )
        share = finished / whole if whole else 1.0
        elapsed = time.monotonic() - begun
        left = elapsed * (1 - share) / share if share > 0.03 else None
        return Progress(len(works), stored, len(done), tuple(w.name for w in active), share, elapsed, left)


def _error(event: Event) -> LdtError:
    from . import errors

    if event.kind == "lost":
        words = event.payload["last_words"]
        return RunError(
            f"its worker was {event.payload['how']}, {event.payload['of']} times. Last words: {words or 'none'}",
            code="killed",
            fix="if memory ran out, run with fewer workers: --workers 1",
        )
    found = event.payload["error"]
    for kind in _kinds(errors.LdtError):
        if kind.group == found["group"] and kind.__name__ != "ErrorList":
            return kind(
                found["what"], code=found["code"], where=found.get("where", ""), fix=found.get("fix", "")
            )
    return LdtError(found["what"], code=found["code"], where=found.get("where", ""))


def _kinds(kind: type[LdtError]) -> list[type[LdtError]]:
    return [k for sub in kind.__subclasses__() for k in (sub, *_kinds(sub))]


# -- the run folder -------------------------------------------------------------------------


def _timestamp() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def make_run_folder(twin: Twin, scenarios: Sequence[str], runs: Path) -> Path:
    """``<time>-<digest8>`` with the twin file as it is now."""
    text = twin.path.read_bytes()
    digest = short(text.decode("utf-8", "replace") + "\0".join(scenarios))
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    for attempt in range(1000):
        folder = runs / (f"{stamp}-{digest}" + (f"-{attempt}" if attempt else ""))
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as exc:
            raise StoreError(
                f"the run folder cannot be made: {exc.strerror}",
                code="no space" if exc.errno == 28 else "not writable",
                where=str(runs),
                fix="free some space, or copy the twin to a folder that you may write",
            ) from exc
        shutil.copyfile(twin.path, folder / "twin.yaml")
        return folder
    raise StoreError("a thousand runs in one second", code="not writable", where=str(runs))


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """``run.json``, written beside and renamed, so that a reader sees a whole file always."""
    fresh = folder / f".run.json.{os.getpid()}"
    with fresh.open("w", encoding="utf-8") as stream:
        json.dump(record, stream, indent=1, ensure_ascii=False)
        stream.write("\n")
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(folder / "run.json")


def describe_run(ensemble: Ensemble, folder: Path, status: str, seconds: float) -> dict[str, Any]:
    """The record of a run apart from its KPIs: who, what, with which code, from which entries."""
    twin = ensemble.twin
    nodes = {n.name: n for plan in ensemble.plans.values() for n in plan.nodes.values()}
    return {
        "record": 1,
        "run": folder.name,
        "status": status,
        "created": _timestamp(),
        "seconds": round(seconds, 3),
        "ldt": __version__,
        "twin": {
            "id": twin.id,
            "title": twin.title,
            "file": twin.path.name,
            "crs": twin.crs,
            "bbox": list(twin.bbox) if twin.bbox else None,
            "goal": twin.purpose.goal,
            "owner": twin.purpose.owner,
            "start": str(twin.period.start) + "Z",
            "end": str(twin.period.end) + "Z",
            "zone": twin.period.zone,
        },
        "seed": twin.run.seed,
        "replicates": ensemble.replicates,
        "baseline": ensemble.scenarios[0],
        "components": {
            name: {
                "use": node.offer.id,
                "title": node.offer.title,
                "distribution": node.offer.distribution,
                "version": node.offer.version,
                "licence": licence(node.offer.distribution),
                "code": package_digest(node.offer.package),
                "lock": dict(lock(node.offer.distribution)),
            }
            for name, node in sorted(nodes.items())
        },
        "scenarios": {
            s: {
                "title": twin.scenarios[s].title or s,
                "description": twin.scenarios[s].description,
                "stages": _stages(ensemble, s),
                "flags": _flags(ensemble, s),
                "notes": list(ensemble.plans[s].notes),
            }
            for s in ensemble.scenarios
        },
        "not_reproducible": _not_reproducible(ensemble),
        "tasks": [
            {
                "scenario": w.scenario,
                "stage": w.stage.name,
                "replicate": w.replicate,
                "state": w.state,
                **w.timing,
            }
            for w in ensemble.works.values()
        ],
    }


def _stages(ensemble: Ensemble, scenario: str) -> dict[str, list[str]]:
    """The store key of every stage by replicate."""
    return {
        stage.name: [
            ensemble.works[scenario, stage.name, r].key
            for r in range(ensemble.replicates if stage.replicated else 1)
        ]
        for stage in ensemble.plans[scenario].stages
    }


def _flags(ensemble: Ensemble, scenario: str) -> list[dict[str, Any]]:
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for (name, _, _), work in ensemble.works.items():
        entry = ensemble.entries.get(work.key)
        if name != scenario or entry is None:
            continue
        for component, flags in entry.meta.get("flags", {}).items():
            for flag, value, unit, text in flags:
                item = found.setdefault(
                    (component, flag),
                    {"component": component, "name": flag, "unit": unit, "text": text, "values": []},
                )
                if item["values"] and value > max(item["values"]):
                    item["text"] = text  # a text may hold its figure: the highest one speaks for all
                item["values"].append(value)
    return list(found.values())


def _not_reproducible(ensemble: Ensemble) -> list[str]:
    return sorted(
        {
            m["name"]
            for w in ensemble.works.values()
            for m in w.fields.get("members", ())
            if m.get("version") == ensemble.nonce
        }
    )


def definition_digest(definition: Mapping[str, Any]) -> str:
    return short(canonical(definition).decode())


Reader = Callable[[str, int], Entry | None]
