"""A scenario that leaves another under way: which stages it changes from then on, and whether they can."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from . import errors as e
from .checkpoint import common_step, unsaved_because
from .interfaces import DataSource, Simulator, format_duration, format_instant
from .linking import Node
from .tasks import canonical_params
from .twin import Branch, Twin
from .wiring import Plan, canonical


@dataclass(frozen=True)
class Leaving:
    """A scenario leaves ``of`` at ``at`` (us from the run's start).

    ``changed`` names the stages that may differ from then on, ``saved`` those of them that go on from a
    checkpoint; the others are those of the scenario that it leaves. ``notes`` says what stays as it was.
    """

    of: str
    at: int
    changed: frozenset[str]
    saved: frozenset[str]
    notes: tuple[str, ...] = ()


def prove_branch(twin: Twin, plan: Plan, left: Twin, before: Plan) -> Leaving:
    """How the scenario in place in ``twin`` leaves the one in place in ``left``.

    Raises all that forbids it, together: an instant that is no boundary, a simulator without state, a
    parameter that cannot change under way.
    """
    branch = twin.branch
    assert branch is not None
    return _Proof(twin, plan, left, before, branch).leaving()


class _Proof:
    def __init__(self, twin: Twin, plan: Plan, left: Twin, before: Plan, branch: Branch) -> None:
        self.twin, self.plan, self.left, self.before, self.branch = twin, plan, left, before, branch
        self.at = int((branch.at - twin.period.start).astype("timedelta64[us]").astype(np.int64))
        self.when = format_instant(branch.at)
        self.place = twin.place("scenarios", twin.scenario or "", "branch", "at")
        self.errors: list[e.LdtError] = []
        self.notes: list[str] = []

    def leaving(self) -> Leaving:
        self._refuse_outside()
        changed: set[str] = set()
        saved: set[str] = set()
        moved: set[str] = set()
        for stage in self.plan.stages:
            nodes = [self.plan.nodes[n] for n in stage.members]
            own = {n.name: found for n in nodes if (found := list(self._changes(n)))}
            fed = [
                w
                for w in self.plan.wires_into(stage.members)
                if w.source in moved and self._in_time(w.source, w.port)
            ]
            if not own and not fed:
                continue
            moved.update(stage.members)
            changed.add(stage.name)
            if _any_of(nodes, DataSource):
                self._check_source(nodes[0])
                continue
            for node in nodes:
                self._check_member(node, own.get(node.name, []))
            self._check_boundary(nodes)
            if len(nodes) > 1 or _any_of(nodes, Simulator) or nodes[0].component.stochastic:
                saved.add(stage.name)
        e.raise_all(self.errors)
        return Leaving(self.branch.of, self.at, frozenset(changed), frozenset(saved), tuple(self.notes))

    # -- what changes -----------------------------------------------------------------------

    def _changes(self, node: Node) -> Iterator[tuple[str, ...]]:
        """Paths below the component whose value is another than in the scenario that is left."""
        old = self.before.nodes[node.name]
        if node.step != old.step:
            yield ("step",)
        mine, theirs = canonical_params(node.params), canonical_params(old.params)
        for name in sorted({*mine, *theirs}):
            if canonical(mine.get(name)) != canonical(theirs.get(name)):
                yield ("params", name)

    def _in_time(self, component: str, port: str) -> bool:
        return self.plan.nodes[component].outputs[port].at == "step"

    # -- whether it may ---------------------------------------------------------------------

    def _refuse_outside(self) -> None:
        if not 0 < self.at < self.twin.duration:
            start, end = self.twin.period.start, self.twin.period.end
            raise e.TwinFileError(
                f"{self.when} does not lie inside the run",
                code="bad value",
                where=self.place,
                fix=f"write an instant after {format_instant(start)} and before {format_instant(end)}",
            )
        if self.twin.run.seed != self.left.run.seed:
            raise e.TwinFileError(
                f"a scenario that leaves '{self.branch.of}' draws as it does: run.seed cannot change",
                code="bad value",
                where=self.twin.place("run", "seed"),
                fix="remove run.seed, or branch: so that the scenario runs from the start",
            )

    def _check_source(self, node: Node) -> None:
        start = [n for n, p in node.outputs.items() if p.at == "start"]
        if len(start) == len(node.outputs):
            self._refuse_once(node, "gives all its data at the start")
        elif start:
            self.notes.append(
                f"{node.name}.{', '.join(start)}, given at the start, stays that of {self.branch.of}"
            )
        elif node.step is not None:
            self._check_boundary([node])

    def _check_member(self, node: Node, changes: list[tuple[str, ...]]) -> None:
        if node.step is None:
            return self._refuse_once(node, "runs once, over the whole run")
        why = unsaved_because(node.component, node.capabilities, node.outputs, node.step)
        if why:
            self._error(
                f"'{node.name}' ({node.offer.id}) cannot go on from the middle of a run: {why}",
                "needs state",
                self.place,
                "run from the start: remove branch",
            )
        if issubclass(node.component, Simulator):
            for path in changes:
                if path[-1] not in node.component.live or path[0] != "params":
                    live = ", ".join(node.component.live)
                    self._error(
                        f"{'.'.join(path)} of '{node.name}' ({node.offer.id}) cannot change under way"
                        + (f"; what can: {live}" if live else ""),
                        "not live",
                        self.twin.place("components", node.name, *path),
                        "run from the start: remove branch",
                    )

    def _refuse_once(self, node: Node, how: str) -> None:
        self._error(
            f"'{node.name}' ({node.offer.id}) {how}, so it cannot change at {self.when}",
            "not a boundary",
            self.place,
            "run from the start: remove branch",
        )

    def _check_boundary(self, nodes: list[Node]) -> None:
        """All windows, and the coarser ones that are recorded, must end at the instant."""
        spans: dict[str, int] = {}
        for node in nodes:
            if node.step is not None:
                spans[f"a window of '{node.name}' ({format_duration(node.step)})"] = node.step
                old = self.before.nodes[node.name].step
                if old is not None and old != node.step:
                    spans[f"a window of '{node.name}' in '{self.branch.of}' ({format_duration(old)})"] = old
            for ref, every in self.plan.record.items():
                if every is not None and ref.partition(".")[0] == node.name:
                    spans[f"what is recorded of {ref} ({format_duration(every)})"] = every
        across = [what for what, span in spans.items() if self.at % span]
        if across:
            self._error(
                f"{self.when} is no boundary: {', '.join(across)} goes on across it",
                "not a boundary",
                self.place,
                self._nearest(common_step(spans.values())),
            )

    def _nearest(self, common: int) -> str:
        below = self.at // common * common
        inside = [t for t in (below, below + common) if 0 < t < self.twin.duration]
        if not inside:
            return "all windows end together only at the end of the run: remove branch"
        nearest = min(inside, key=lambda t: abs(t - self.at))
        return f"write at: {format_instant(self.twin.period.start, nearest)}, the nearest boundary"

    def _error(self, what: str, code: str, where: str, fix: str) -> None:
        self.errors.append(e.ScheduleError(what, code=code, where=where, fix=fix))


def _any_of(nodes: list[Node], kind: type) -> bool:
    return any(issubclass(n.component, kind) for n in nodes)
