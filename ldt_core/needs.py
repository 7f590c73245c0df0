"""What a task needs to be placed: what the twin file says of its components, else what their classes say."""

from __future__ import annotations

from .engines.protocol import Needs
from .errors import PluginError
from .twin import Twin
from .twin_values import parse_cpus, parse_size
from .wiring import Node, Plan, Stage


def needs_of(twin: Twin, plan: Plan, stage: Stage) -> Needs:
    """A stage's members stand in one process: their memory adds up, and one of them works at a time."""
    found = [_needs(twin, plan.nodes[name]) for name in stage.members]
    return Needs(max(n.cpus for n in found), sum(n.memory for n in found), any(n.fresh for n in found))


def largest(needs: list[Needs]) -> Needs:
    """The most that any of them needs, in each respect."""
    return Needs(
        max((n.cpus for n in needs), default=1),
        max((n.memory for n in needs), default=0),
        any(n.fresh for n in needs),
    )


def _needs(twin: Twin, node: Node) -> Needs:
    said, declared = twin.components[node.name].resources, node.component.resources
    try:
        cpus = said.cpus or parse_cpus(declared.get("cpus", 1))
        memory = said.memory or parse_size(declared.get("memory", 0))
    except ValueError as exc:
        raise PluginError(
            f"'{node.offer.id}' declares resources that cannot be read: {exc}",
            code="import failed",
            where=node.name,
            fix='report this to its author: resources = {"memory": "4GiB", "cpus": "2"}',
        ) from exc
    return Needs(cpus, memory, node.component.process == "fresh")
