"""The rules of the clock, followed literally and slowly: what the scheduler is held against.

Windows are made on demand, each asking for what it needs, so the order of work has nothing in common with
the runner's. Nodes have one number as value and one as state; every rule is that of ``docs/concepts``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Link(NamedTuple):
    source: str
    when: str
    method: str
    weight: float


@dataclass(frozen=True)
class Node:
    """value = bias + state + sum of weight x input; then state = value / 2. A model has no state.

    ``early`` says how far each step comes at most, over and over.
    """

    step: int
    bias: float
    links: tuple[Link, ...] = ()
    stateful: bool = True
    early: tuple[int, ...] = ()


class Done(NamedTuple):
    """A window: planned to ``until``, ended at ``end``."""

    start: int
    until: int
    end: int
    value: float


class Stall(Exception):
    """A window needs itself."""


@dataclass
class Reference:
    nodes: Mapping[str, Node]
    end: int
    first: float = 1.0
    passes: int = 400
    done: dict[str, list[Done]] = field(default_factory=dict)

    def run(self) -> dict[str, list[Done]]:
        self.done = {n: [] for n in self.nodes}
        self.state = dict.fromkeys(self.nodes, 0.0)
        self.busy: set[str] = set()
        self.guess: dict[str, list[Done]] = {}
        self.blocks = self._blocks()
        for name in self.nodes:
            self._reach(name, self.end)
        return self.done

    def clock(self, name: str) -> int:
        return self.done[name][-1].end if self.done[name] else 0

    def _blocks(self) -> dict[str, tuple[str, ...]]:
        """The block of every node in one: joined both ways by now and iterate links, one iterate among them."""

        def leads(a: str, b: str) -> bool:
            seen, waiting = set(), [a]
            while waiting:
                at = waiting.pop()
                following = [
                    n
                    for n, node in self.nodes.items()
                    for k in node.links
                    if k.source == at and k.when != "lag"
                ]
                waiting += [n for n in following if n not in seen]
                seen.update(following)
            return b in seen

        found = {}
        for name in self.nodes:
            both = tuple(sorted(n for n in self.nodes if n == name or (leads(name, n) and leads(n, name))))
            if any(k.when == "iterate" and k.source in both for n in both for k in self.nodes[n].links):
                found[name] = both
        return found

    # -- who must have run ---------------------------------------------------------------------

    def _reach(self, name: str, until: int, within: tuple[str, ...] = ()) -> None:
        while self.clock(name) < until:
            self._next(name, within)

    def _due(self, name: str, by: int, end: int, within: tuple[str, ...] = ()) -> None:
        """Nothing pending that would end by then."""
        while self.clock(name) < end and min(self.clock(name) + self.nodes[name].step, end) <= by:
            self._next(name, within)

    def _next(self, name: str, within: tuple[str, ...]) -> None:
        block = self.blocks.get(name, ())
        if block and not within:
            self._repeat(block)
        else:
            self._window(name, self.end, within)

    def _repeat(self, block: tuple[str, ...]) -> None:
        """One window of a block: its members again and again, from the same states."""
        if block[0] in self.busy:
            raise Stall(block)
        self.busy.update(block)
        start = self.clock(block[0])
        until = min(start + max(self.nodes[n].step for n in block), self.end)
        for name in block:
            node = self.nodes[name]
            last = max(range(start, until, node.step))
            for link in node.links:
                if link.source not in block and link.when == "now":
                    self._reach(link.source, until)
                if link.source not in block and link.when == "lag":
                    self._due(link.source, last, self.end)
        before = {n: (len(self.done[n]), self.state[n]) for n in block}
        self.busy.difference_update(block)
        self.guess = {}
        for _ in range(self.passes):
            for name, (count, state) in before.items():
                del self.done[name][count:]
                self.state[name] = state
            for name in block:
                while self.clock(name) < until:
                    self._window(name, until, block)
            self.guess = {n: list(self.done[n]) for n in block}
        self.guess = {}

    def _window(self, name: str, end: int, within: tuple[str, ...]) -> None:
        if name in self.busy:
            raise Stall(name)
        self.busy.add(name)
        node = self.nodes[name]
        start = self.clock(name)
        until = min(start + node.step, end)
        value = node.bias + (self.state[name] if node.stateful else 0.0)
        for link in node.links:
            value += link.weight * self._read(link, start, until, end, within)
        reached = until
        if node.early:
            reached = min(until, start + node.early[len(self.done[name]) % len(node.early)])
        self.done[name].append(Done(start, until, reached, value))
        self.state[name] = value / 2
        self.busy.discard(name)

    # -- what is read --------------------------------------------------------------------------

    def _read(self, link: Link, start: int, until: int, end: int, within: tuple[str, ...]) -> float:
        inside = link.source in within
        if link.when == "iterate":
            if self.guess:
                return self._over(self.guess[link.source], link.method, start, until)
            begun = [d for d in self.done[link.source] if d.end <= self._begun(within)]
            return begun[-1].value if begun else self.first
        if link.when == "lag":
            self._due(link.source, start, end if inside else self.end, within if inside else ())
            complete = [d.value for d in self.done[link.source] if d.until <= start]
            return complete[-1] if complete else self.first
        self._reach(link.source, until, within if inside else ())
        return self._over(self.done[link.source], link.method, start, until)

    def _begun(self, within: Sequence[str]) -> int:
        """Where the block's window began: blocks go by their longest step from 0."""
        longest = max(self.nodes[n].step for n in within)
        return min(self.clock(n) for n in within) // longest * longest

    @staticmethod
    def _over(windows: Sequence[Done], method: str, start: int, until: int) -> float:
        parts = [(min(d.end, until) - max(d.start, start), d.value) for d in windows]
        parts = [(length, value) for length, value in parts if length > 0]
        if method == "mean":
            return sum(length * value for length, value in parts) / sum(length for length, _ in parts)
        return {"min": min, "max": max, "last": lambda v: v[-1], "sum": sum}[method]([v for _, v in parts])
