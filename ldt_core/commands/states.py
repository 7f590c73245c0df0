"""What ``ldt check`` says of states: scenarios that leave others, and what cannot be saved under way."""

from __future__ import annotations

from ..checkpoint import unsaved_because
from ..ensemble import Ensemble
from ..interfaces import Simulator, format_instant
from ..wiring import Plan, Stage


def branch_as_dict(ensemble: Ensemble, scenario: str) -> dict[str, str] | None:
    """Where a scenario leaves another, None where it begins at the start."""
    branch = ensemble.twin.scenarios[scenario].branch
    return None if branch is None else {"of": branch.of, "at": format_instant(branch.at)}


def describe_states(ensemble: Ensemble, scenario: str) -> list[str]:
    """Sentences on one scenario of a settled ensemble; none where there is nothing out of the ordinary."""
    plan = ensemble.plans[scenario]
    said = []
    leaving = (ensemble.leavings or {}).get(scenario)
    if leaving is not None:
        at = _instant(ensemble, leaving.at)
        said.append(f"leaves {leaving.of} at {at}: until then its results are those of {leaving.of}")
        said += leaving.notes
    for stage in plan.stages:
        said += [f"{why}; after a kill it runs from its start" for why in _unsaved(plan, stage)]
        missing = {
            t
            for w in ensemble.works_of(scenario, stage)
            if w.key in ensemble.entries
            for t in ensemble.missing(w)
        }
        said += [
            f"{stage.name} is run again up to {_instant(ensemble, at)}, for the checkpoint that another goes on from"
            for at in sorted(missing)
        ]
    return said


def unsaved_stages(plan: Plan) -> dict[str, str]:
    """The stages with simulators that cannot be saved between windows, and why."""
    return {stage.name: "; ".join(found) for stage in plan.stages if (found := _unsaved(plan, stage))}


def _unsaved(plan: Plan, stage: Stage) -> list[str]:
    nodes = [plan.nodes[n] for n in stage.members]
    if not any(issubclass(n.component, Simulator) for n in nodes):
        return []
    reasons = [(n, unsaved_because(n.component, n.capabilities, n.outputs, n.step)) for n in nodes]
    return [
        f"{stage.name} cannot be saved under way: '{n.name}' ({n.offer.id}): {why}"
        for n, why in reasons
        if why
    ]


def _instant(ensemble: Ensemble, at: int) -> str:
    return format_instant(ensemble.twin.period.start, at)
