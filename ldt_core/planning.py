"""Plans of many variants of one twin: what is equal in two of them is resolved and proved once.

A proof depends on its components' classes, ports, steps and capabilities, and on nothing else that a
scenario may change. So a variant whose components have the shapes of one that was proved before takes
its wires, stages and records over, and a component is resolved again only where its entry is another.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

from .catalog import Catalog
from .errors import LdtError
from .linking import Node
from .twin import ComponentEntry, Twin
from .wiring import Plan, prove, resolve_node


class Planner:
    """Proves the scenarios and sweep members of one twin. ``proofs`` counts the whole proofs made."""

    def __init__(self, catalog: Catalog, cache: Path) -> None:
        self.catalog, self.cache = catalog, cache
        self.proofs = 0
        self._plans: dict[tuple[int, ...], Plan] = {}
        self._nodes: dict[tuple[str, str], Node] = {}
        # The entry is kept, so that its id stays its own.
        self._seen: dict[tuple[str, int], tuple[ComponentEntry, Node]] = {}
        self._steps: dict[tuple[int, int | None], Node] = {}
        self._shapes: dict[str, list[tuple[Any, ...]]] = {}

    def plan(self, twin: Twin) -> Plan:
        """The plan of ``twin.for_scenario(name)`` or of a member. Raises every error found, together."""
        try:
            nodes = {name: self._node(twin, name, entry) for name, entry in twin.components.items()}
        except LdtError:
            return prove(twin, self.catalog, self.cache)  # which says all that is wrong
        shape = tuple(self._shape(node) for node in nodes.values())
        known = self._plans.get(shape)
        if known is None:
            self.proofs += 1
            known = self._plans[shape] = prove(twin, self.catalog, self.cache, nodes)
        return replace(
            known, nodes={n: self._settled(node, known.nodes[n].step) for n, node in nodes.items()}
        )

    def _node(self, twin: Twin, name: str, entry: ComponentEntry) -> Node:
        seen = self._seen.get((name, id(entry)))
        if seen is not None:
            return seen[1]
        key = (name, _canonical(entry))
        node = self._nodes.get(key)
        if node is None:
            node = self._nodes[key] = resolve_node(twin, self.catalog, self.cache, name, entry)
        self._seen[name, id(entry)] = (entry, node)
        return node

    def _settled(self, node: Node, step: int | None) -> Node:
        """The node with the step that the proof gave it, the same object each time."""
        if node.step == step:
            return node
        return self._steps.setdefault((id(node), step), replace(node, step=step))

    def _shape(self, node: Node) -> int:
        """A number for all that a proof sees of a component, the same for equal ones."""
        shape = (node.component, dict(node.inputs), dict(node.outputs), node.step, node.capabilities)
        shapes = self._shapes.setdefault(node.name, [])
        for number, other in enumerate(shapes):
            if other == shape:
                return number
        shapes.append(shape)
        return len(shapes) - 1


def _canonical(entry: ComponentEntry) -> str:
    return json.dumps(astuple(entry), sort_keys=True, default=_plain)


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else repr(value)
