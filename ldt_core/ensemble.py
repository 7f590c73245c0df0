"""Scenarios times replicates as tasks: what is in the store is served, the rest goes to an engine.

The run folder takes the task files, the progress and the logs. Every result is in the store as soon
as its task is done, so nothing finished is ever lost.
"""

from __future__ import annotations

import json
import time
import uuid
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, TextIO

from . import errors
from .branching import Leaving, prove_branch
from .catalog import Catalog
from .engines.choice import LOCAL, Place
from .engines.protocol import Engine, Event, Needs, Setting
from .errors import LdtError, RunError, StoreError
from .needs import largest, needs_of
from .planning import Planner
from .resume import checkpoint_digest, checkpoint_key, slot_keys
from .store import Entry, Store
from .sweeps import make_design, member_name, plan_members
from .tasks import short, stage_fields, upstream
from .twin import Twin
from .wiring import Plan, Stage

TELL = 0.1
"""Seconds between two looks at the progress: counting thousands of tasks after each event costs more than they do."""


class Watcher(Protocol):
    """Is told how the run goes; the command line draws its bar from it."""

    def __call__(self, state: Progress) -> None: ...


@dataclass(eq=False)
class Work:
    """One stage of one scenario in one replicate (0 where the stage is not replicated).

    ``state``: waiting (for its inputs), ready, running, done or failed; stored: served from the store;
    shared: the same as another work that is still to be computed. ``own`` is the key that it would have
    if its scenario left no other; ``wanted`` are the instants (us) at which others go on from it.
    """

    scenario: str
    plan: Plan
    stage: Stage
    replicate: int
    key: str = ""
    own: str = ""
    wanted: set[int] = field(default_factory=set)
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
    """All work of one call of ``ldt run``: ``scenarios`` and the ``members`` of sweeps, by name.

    ``unversioned`` names the sources that cannot say their version; ``failures`` what went wrong.
    """

    def __init__(
        self,
        twin: Twin,
        scenarios: Sequence[str],
        catalog: Catalog,
        store: Store,
        cache: Path,
        *,
        replicates: int | None = None,
        sweeps: Sequence[str] = (),
    ) -> None:
        self.twin, self.scenarios, self.catalog = twin, list(scenarios), catalog
        self.store, self.cache = store, cache
        self.replicates = replicates or twin.run.replicates
        self.nonce = uuid.uuid4().hex
        self.twins = {s: twin.for_scenario(s) for s in self.scenarios}
        planner = Planner(catalog, cache)
        self.plans = {s: planner.plan(variant) for s, variant in self.twins.items()}
        self.designs = {name: make_design(twin, name, catalog) for name in sweeps}
        self.members = {m.name: m for design in self.designs.values() for m in design.members()}
        for name, (variant, plan) in plan_members(twin, self.members.values(), planner).items():
            self.twins[name], self.plans[name] = variant, plan
        self.failures: list[tuple[Work, LdtError]] = []
        self.works: dict[tuple[str, str, int], Work] = {}
        self.entries: dict[str, Entry] = {}
        self.unversioned: set[str] = set()
        self._owners: dict[str, dict[Work, None]] = {}
        self._stages: dict[tuple[str, str], Stage] = {}
        self._readers: dict[int, list[Work]] = {}
        self._upstream: dict[tuple[int, str], list[tuple[str, str]]] = {}
        self._keys: dict[tuple[Any, ...], str] = {}
        for scenario, plan in self.plans.items():
            for stage in plan.stages:
                self._stages.update({(scenario, name): stage for name in stage.members})
                for replicate in range(self.replicates if stage.replicated else 1):
                    work = Work(scenario, plan, stage, replicate)
                    self.works[scenario, stage.name, replicate] = work
                    for _, source in self._outside(work):
                        self._readers.setdefault(id(self.work(scenario, source, replicate)), []).append(work)
        self.leavings: dict[str, Leaving] | None = None
        self._candidates = deque(self.works.values())

    # -- what is known without computing -----------------------------------------------------

    def work(self, scenario: str, component: str, replicate: int) -> Work:
        """The work that computes a component of a scenario for this replicate."""
        stage = self._stages[scenario, component]
        return self.works[scenario, stage.name, replicate if stage.replicated else 0]

    def works_of(self, scenario: str, stage: Stage) -> list[Work]:
        """A stage's works, one per replicate, or the one that all replicates share."""
        count = self.replicates if stage.replicated else 1
        return [self.works[scenario, stage.name, r] for r in range(count)]

    def inputs_of(self, work: Work) -> dict[str, Entry] | None:
        """The entry of each outside port that a work reads, or None while one of them is not there."""
        found: dict[str, Entry] = {}
        for origin, source in self._outside(work):
            entry = self.entries.get(self.work(work.scenario, source, work.replicate).key)
            if entry is None:
                return None
            found[origin] = entry
        return found

    def _outside(self, work: Work) -> list[tuple[str, str]]:
        """(``component.port``, component) of what a work reads from other stages."""
        # Plans of the same shape share their wires.
        key = (id(work.plan.wires), work.stage.name)
        found = self._upstream.get(key)
        if found is None:
            wires = upstream(work.plan, work.stage)
            found = self._upstream[key] = [(w.origin, w.source) for w in wires]
        return found

    def settle(self) -> list[Work]:
        """Give a key to every work whose inputs are known; serve what is stored. Returns what must be computed."""
        if self.leavings is None:
            self.leavings = self._prove_branches()
        fresh: list[Work] = []
        while self._candidates:
            work = self._candidates.popleft()
            if work.state != "waiting" or (inputs := self.inputs_of(work)) is None:
                continue  # it comes again when its inputs are there
            left = self.left_by(work)
            if left is None or left.key in self.entries:
                self._key(work, inputs, left)
            if work.state == "ready":
                fresh.append(work)
            elif work.state == "stored":
                self._candidates.extend(self._readers.get(id(work), ()))
        return fresh

    def _key(self, work: Work, inputs: Mapping[str, Entry], left: Work | None) -> None:
        digests = {ref: entry.digests[ref] for ref, entry in inputs.items()}
        twin = self.twins[work.scenario]
        nodes = tuple(id(work.plan.nodes[n]) for n in work.stage.members)
        known = (nodes, id(work.plan.wires), twin.run.seed, work.replicate, *digests.items())
        work.own = self._keys.get(known, "")  # of another variant with the same components
        if not work.own:
            self._describe(work, inputs)
            work.own = self._keys[known] = Store.key(work.fields)
            self.unversioned |= {m["name"] for m in work.fields["members"] if m.get("version") == self.nonce}
        branch = None
        if left is None:
            work.key = work.own
        elif work.stage.name not in self._leaving(work).changed or work.own == left.own:
            work.key = left.key
        elif (branch := self._branch(work, left)) is not None:
            self._describe(work, inputs, branch)
            work.key = Store.key(work.fields)
        else:
            return  # it comes again when the checkpoint is there
        self._find(work, left)
        if work.state != "ready":
            work.fields = {}
        elif not work.fields:
            self._describe(work, inputs)

    def _describe(
        self, work: Work, inputs: Mapping[str, Entry], branch: Mapping[str, Any] | None = None
    ) -> None:
        digests = {ref: entry.digests[ref] for ref, entry in inputs.items()}
        twin = self.twins[work.scenario]
        work.fields = stage_fields(twin, work.plan, work.stage, work.replicate, digests, self.nonce)
        if branch is not None:
            work.fields = {**work.fields, "branch": branch}

    def _find(self, work: Work, left: Work | None) -> None:
        """Serve a work whose key is known from the store, from another work, or leave it to be computed."""
        owners = self._owners.setdefault(work.key, {})
        owners[work] = None
        entry = self.entries.get(work.key) or self.store.find(work.key)
        if entry is not None:
            self.entries[work.key] = entry
        if entry is not None and not self.missing(work):
            work.state = "stored"
        elif left is not None and left.key == work.key:
            self._want(left, work.wanted)
        elif any(other.state in ("ready", "running") for other in owners):
            work.state = "shared"
        else:
            work.state = "ready"

    # -- scenarios that leave others under way -----------------------------------------------

    def _prove_branches(self) -> dict[str, Leaving]:
        """How scenarios leave others; works that are left are told which checkpoints are wanted of them."""
        found: dict[str, Leaving] = {}
        problems: list[LdtError] = []
        for scenario, twin in self.twins.items():
            if twin.branch is not None:
                of = twin.branch.of
                try:
                    found[scenario] = prove_branch(twin, self.plans[scenario], self.twins[of], self.plans[of])
                except LdtError as exc:
                    problems += exc.errors if isinstance(exc, errors.ErrorList) else [exc]
        errors.raise_all(problems)
        self.leavings = found
        for work in self.works.values():
            left = self.left_by(work)
            if left is None:
                continue
            self._readers.setdefault(id(left), []).append(work)
            if work.stage.name in found[work.scenario].saved:
                at, source = found[work.scenario].at, left
                # What did not change there is the result of the scenario that it left itself.
                while (above := self.left_by(source)) and source.stage.name not in self._leaving(
                    source
                ).changed:
                    source = above
                source.wanted.add(at)
        return found

    def _leaving(self, work: Work) -> Leaving:
        assert self.leavings is not None
        return self.leavings[work.scenario]

    def left_by(self, work: Work) -> Work | None:
        """The same work in the scenario that this one's leaves; None where it begins at the start."""
        if not self.leavings or work.scenario not in self.leavings:
            return None
        return self.work(self.leavings[work.scenario].of, work.stage.members[0], work.replicate)

    def missing(self, work: Work) -> list[int]:
        """The instants (us) of the wanted checkpoints that are not in the store."""
        return [at for at in sorted(work.wanted) if self.store.find(checkpoint_key(work.key, at)) is None]

    def _want(self, work: Work, instants: Iterable[int]) -> None:
        """Let a work whose result is there be run again, to make these checkpoints."""
        work.wanted |= set(instants)
        if work.state in ("stored", "done") and self.missing(work):
            work.state = "waiting"
            self._candidates.append(work)

    def _branch(self, work: Work, left: Work) -> dict[str, Any] | None:
        """What the result depends on besides its own: rows before, and the checkpoint; None: not there yet."""
        leaving = self._leaving(work)
        fields = {"at": leaving.at, "before": self.entries[left.key].digests, "checkpoint": None}
        if work.stage.name in leaving.saved:
            saved = self.store.find(checkpoint_key(left.key, leaving.at))
            if saved is None:
                self._want(left, [leaving.at])
                return None
            fields["checkpoint"] = checkpoint_digest(saved)
        return fields

    def drop_damaged(self) -> int:
        """Take damaged entries out of the store and forget what is known. Returns how many there were."""
        damaged = 0
        wanted = {checkpoint_key(w.key, at) for w in self.works.values() if w.key for at in w.wanted}
        saved = {key: entry for key in wanted if (entry := self.store.find(key)) is not None}
        for key, entry in (self.entries | saved).items():
            if any(True for _ in entry.problems()):
                self.store.quarantine(key)
                damaged += 1
        self.entries.clear()
        self._owners.clear()
        self._keys.clear()
        self._candidates = deque(self.works.values())
        for work in self.works.values():
            work.key, work.own, work.state, work.share = "", "", "waiting", 0.0
        return damaged

    # -- running -----------------------------------------------------------------------------

    def run(self, folder: Path, workers: int, watch: Watcher, place: Place = LOCAL) -> None:
        """Compute what is missing, where ``place`` says; other tasks come to their end when one fails.

        Raises what failed: one error, or an ``ErrorList`` where there are several kinds.
        """
        begun = told = time.monotonic()
        self.settle()
        watch(self._progress(begun))
        ready = [w for w in self.works.values() if w.state == "ready"]
        if not ready:
            return
        (folder / "tasks").mkdir(exist_ok=True)
        (folder / "logs").mkdir(exist_ok=True)
        width = sum(w.state in ("ready", "waiting") for w in self.works.values())
        width = max(1, min(workers, width))
        most = self.largest_needs()
        engine = place.start(Setting(folder.resolve(), self.store.root.resolve(), width, largest=most))
        pending: dict[str, Work] = {}
        failures: list[tuple[Work, LdtError]] = []
        clean = False
        try:
            with (folder / "progress.jsonl").open("a", encoding="utf-8") as journal:
                self._submit(ready, engine, folder, pending)
                for event in engine.results():
                    if event.kind != "tick":
                        self._note(event, pending, failures, journal)
                    if event.kind == "done":
                        self._submit(self.settle(), engine, folder, pending)
                    if not pending or time.monotonic() - told > TELL:
                        told = time.monotonic()
                        watch(self._progress(begun))
                    if not pending:
                        break
            clean = True
        finally:
            engine.close(kill=not clean)
        self.failures = failures
        _raise_failures(failures)

    def baseline_of(self, variant: str) -> str:
        """What ``against: base`` compares a scenario or member with: the baseline, or the baseline's member of
        the same number where the sweep varies the baseline too."""
        member, base = self.members.get(variant), self.scenarios[0]
        if member is None or base not in self.designs[member.sweep].of:
            return base
        return member_name(member.sweep, self.designs[member.sweep].of, base, member.number)

    def error_of(self, variant: str) -> LdtError | None:
        """What kept a scenario or member from its end; None where all of it is there."""
        failed = {work.key: error for work, error in self.failures}
        for stage in self.plans[variant].stages:
            for work in self.works_of(variant, stage):
                if work.key in failed and work.key not in self.entries:
                    return failed[work.key]
        return None

    def _submit(self, works: Sequence[Work], engine: Engine, folder: Path, pending: dict[str, Work]) -> None:
        for work in works:
            inputs = self.inputs_of(work)
            assert inputs is not None
            for key in slot_keys(work.key):  # its worker saves there, and goes on from there after a kill
                self.store.hold(key)
            variant = work.scenario.replace("/", "-")
            name = f"{short(work.key)}-{variant}-{work.stage.name}-{work.replicate}"[:120]
            member = self.members.get(work.scenario)
            path = folder / "tasks" / f"{name}.json"
            task = {
                "key": work.key,
                "twin": str((folder / "twin.yaml").resolve()),
                "folder": str(self.twin.folder.resolve()),
                "scenario": work.scenario,
                "member": None if member is None else {"of": member.of, "set": member.changes},
                "stage": work.stage.name,
                "replicate": work.replicate,
                "inputs": {ref: entry.key for ref, entry in inputs.items()},
                "store": str(self.store.root.resolve()),
                "cache": str(self.cache.resolve()),
                "checkpoints": sorted(set[int]().union(*(w.wanted for w in self._owners[work.key]))),
                "slots": slot_keys(work.key),
                "branch": self._left_behind(work),
                "fields": work.fields,
            }
            path.write_text(json.dumps(task), encoding="utf-8")
            pending[name] = work
            engine.submit(path.resolve(), self._needs(work))

    def largest_needs(self) -> Needs:
        """The most that any task needs, in each respect."""
        return largest([self._needs(work) for work in self.works.values()])

    def _left_behind(self, work: Work) -> dict[str, Any] | None:
        """Where the worker finds what a work takes over of the scenario that its own leaves."""
        left = self.left_by(work)
        if left is None:
            return None
        leaving = self._leaving(work)
        return {"key": left.key, "at": leaving.at, "saved": work.stage.name in leaving.saved}

    def _needs(self, work: Work) -> Needs:
        return needs_of(self.twins[work.scenario], work.plan, work.stage)

    def _note(
        self,
        event: Event,
        pending: dict[str, Work],
        failures: list[tuple[Work, LdtError]],
        journal: TextIO,
    ) -> None:
        """Take over what became of a task, and write it down."""
        work = pending[event.task]
        line = {"at": timestamp(), "task": event.task, "event": event.kind, **event.payload}
        journal.write(json.dumps(line) + "\n")
        journal.flush()
        if event.kind == "started":
            work.state = "running"
        elif event.kind == "progress":
            work.share = max(work.share, event.payload["share"])
        elif event.kind == "killed":
            work.share = 0.0
        elif event.kind == "done":
            del pending[event.task]
            entry = self.store.find(work.key)
            if entry is None:
                work.state = "failed"
                failures.append((work, StoreError("its result is not in the store", code="entry damaged")))
                return
            self.entries[work.key] = entry
            work.timing = {k: v for k, v in event.payload.items() if k != "key"}
            work.fields = {}
            for other in self._owners[work.key]:
                other.state = "done" if other is work else "stored"
                if self.missing(other):
                    other.state = "waiting"
                    self._candidates.append(other)
                self._candidates.extend(self._readers.get(id(other), ()))
        elif event.kind in ("failed", "lost"):
            del pending[event.task]
            work.state = "failed"
            failures.extend((work, error) for error in _errors(event))

    def _progress(self, begun: float) -> Progress:
        works = [w for w in self.works.values() if w.state != "shared"]
        stored = sum(w.state == "stored" for w in works)
        done = [w for w in works if w.state == "done"]
        active = [w for w in works if w.state == "running"]
        # Tasks of one stage cost about the same; those not yet seen count as the mean of the seen.
        cost = {w.stage.name: w.timing.get("seconds", 1.0) for w in done}
        typical = sum(cost.values()) / len(cost) if cost else 1.0
        todo = [(w, cost.get(w.stage.name, typical)) for w in works if w.state != "stored"]
        whole = sum(c for _, c in todo)
        parts = {"done": 1.0, "failed": 1.0}
        finished = sum(c * (w.share if w.state == "running" else parts.get(w.state, 0.0)) for w, c in todo)
        share = finished / whole if whole else 1.0
        elapsed = time.monotonic() - begun
        left = elapsed * (1 - share) / share if share > 0.03 else None
        return Progress(len(works), stored, len(done), tuple(w.name for w in active), share, elapsed, left)


def _errors(event: Event) -> list[LdtError]:
    """What an engine says of a failed or lost task, as errors again."""
    if event.kind == "failed":
        return [_error(dict(found)) for found in event.payload["errors"]]
    lost = event.payload
    text = f"its worker {lost['how']}, {lost['of']} times. Last words: {lost['last_words'] or 'none'}"
    less = "run fewer tasks at once: --workers 1, or say in the twin file what it needs: resources: {memory: 8GiB}"
    if lost.get("memory"):
        return [RunError(f"memory ran out: {text}", code="out of memory", fix=less)]
    killed = f"if memory ran out, {less}" if "SIGKILL" in lost["how"] else ""
    log = "report this to the component's author; `ldt log` shows what the task said"
    return [RunError(text, code="killed", fix=killed or log)]


def _error(found: dict[str, Any]) -> LdtError:
    kind = getattr(errors, found.pop("class"), LdtError)
    error: LdtError = kind(found.pop("what"), **found)
    return error


def _raise_failures(failures: Sequence[tuple[Work, LdtError]]) -> None:
    """Every kind of failure once, with the first work that had it."""
    found: dict[tuple[str, str], LdtError] = {}
    for work, error in failures:
        if (error.code, error.what) not in found:
            error.where = f"{error.where} ({work.name})" if error.where else work.name
            found[error.code, error.what] = error
    errors.raise_all(list(found.values()))


def timestamp() -> str:
    """Now, in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
