"""The order of work: groups joined in loops, steps, and a dry run of the clock with integers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from math import lcm

from . import errors as e
from .interfaces import DataSource, Simulator, format_duration
from .iterate import find_blocks
from .linking import Node, refuse_reductions
from .loops import find_loops
from .twin import Twin
from .windows import Joint, Unit, run_windows, stall
from .wires import Wire

Group = tuple[str, ...]


def find_groups(nodes: Mapping[str, Node], wires: Iterable[Wire]) -> list[Group]:
    """The strongly connected components of the link graph, lag links included, sources first."""
    return find_loops(nodes, ((w.source, w.target) for w in wires))


def refuse_cycles(nodes: Mapping[str, Node], wires: Sequence[Wire], group: Group) -> None:
    """Raise ``ScheduleError`` (cycle) where links wait for each other at the start, or in one window."""
    inside = [w for w in wires if w.source in group and w.target in group]
    once = [w for w in inside if nodes[w.target].inputs[w.input].at == "start"]
    windows = [w for w in inside if w.when == "now" and nodes[w.source].outputs[w.port].at == "step"]
    _refuse_cycle(once, "at the start", "remove one of them, or put a source of its own in its place")
    _refuse_cycle(
        windows,
        "in the same window",
        "make one of them when: lag with an init:, so that it reads the window before",
    )


def _refuse_cycle(wires: Sequence[Wire], when: str, fix: str) -> None:
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for wire in wires:
        sorter.add(wire.target, wire.source)
    try:
        sorter.prepare()
    except CycleError as exc:
        circle = [next(w for w in wires if (w.source, w.target) == (a, b)) for a, b in pairwise(exc.args[1])]
        links = [f"{w.origin} -> {w.target}.{w.input} ({w.place})" for w in circle]
        raise e.ScheduleError(
            f"these links wait for each other {when}: " + "; ".join(links),
            code="cycle",
            where=circle[0].place,
            fix=fix,
        ) from None


def check_blocks(nodes: Mapping[str, Node], wires: Sequence[Wire], group: Group) -> list[str]:
    """What is to be said of each set of members that repeats its windows.

    Raises ``ScheduleError``: an iterate link that closes no loop, members without state (needs state), steps
    that do not divide the longest of them (step).
    """
    inside = [w for w in wires if w.source in group and w.target in group]
    blocks = find_blocks(group, [(w.source, w.target, w.when) for w in inside if _in_windows(nodes, w)])
    for wire in wires:
        if wire.when == "iterate" and wire.target in group and not _closes(wire, blocks):
            raise e.ScheduleError(
                f"the iterate link from {wire.origin} to {wire.target}.{wire.input} closes no loop",
                code="cycle",
                where=wire.place,
                fix="remove when: iterate; the source then runs first",
            )
    notes = []
    for block in blocks:
        links = [w for w in inside if w.when == "iterate" and _closes(w, [block])]
        bare = [
            n
            for n in block
            if issubclass(nodes[n].component, Simulator) and "state" not in nodes[n].capabilities
        ]
        if bare:
            raise e.ScheduleError(
                f"{', '.join(bare)} cannot give and take state, and an iterate link repeats windows from their start",
                code="needs state",
                where=links[0].place,
                fix="write when: lag with an init: instead, or use a component with state (`ldt show` tells)",
            )
        steps = {n: s for n in block if (s := nodes[n].step) is not None}
        longest = max(steps.values())
        odd = [n for n, s in steps.items() if longest % s]
        if odd:
            raise e.ScheduleError(
                f"the step of {odd[0]}, {format_duration(steps[odd[0]])}, does not divide {format_duration(longest)}, "
                f"over which {' and '.join(block)} repeat their windows",
                code="step",
                where=links[0].place,
                fix="give the members of the loop steps that divide the longest of them",
            )
        settled = ", ".join(f"{w.origin} to {w.tolerance:g} in {w.passes} passes at most" for w in links)
        notes.append(
            f"{', '.join(block)} repeat windows of {format_duration(longest)} until they settle: {settled}"
        )
    return notes


def _closes(wire: Wire, blocks: Iterable[Group]) -> bool:
    return any(wire.source in b and wire.target in b for b in blocks)


def settle_steps(
    twin: Twin, nodes: dict[str, Node], wires: Sequence[Wire], groups: Iterable[Group]
) -> list[e.LdtError]:
    """Give a model without a step of its own the finest among its ``now`` inputs. Returns what is wrong."""
    errors: list[e.LdtError] = []
    for group in groups:
        for name in _upstream_first(nodes, wires, group):
            node = nodes[name]
            clocked = any(p.at == "step" for p in node.outputs.values())
            if issubclass(node.component, DataSource) or node.step is not None:
                continue
            if issubclass(node.component, Simulator):
                errors.append(_no_step(twin, f"the simulator '{name}' has no step", name))
                continue
            read = [w for w in wires if w.target == name and _in_windows(nodes, w)]
            steps = [nodes[w.source].step for w in read if w.when != "lag"]
            known = [s for s in steps if s is not None]
            if clocked and known:
                nodes[name] = replace(node, step=min(known))
            elif any(w.source in group or w.when == "lag" for w in read):
                errors.append(_no_step(twin, f"no input of the model '{name}' says its step", name))
    return errors


def _no_step(twin: Twin, what: str, name: str) -> e.WiringError:
    return e.WiringError(
        what,
        code="step",
        where=twin.place("components", name),
        fix="add step: 5min (or another length) to it",
    )


def _in_windows(nodes: Mapping[str, Node], wire: Wire) -> bool:
    """Whether the link carries rows window after window."""
    source, target = nodes[wire.source].outputs[wire.port], nodes[wire.target].inputs[wire.input]
    return source.at == "step" and target.at == "step"


def _upstream_first(nodes: Mapping[str, Node], wires: Iterable[Wire], group: Group) -> list[str]:
    sorter: TopologicalSorter[str] = TopologicalSorter({n: set() for n in group})
    for w in wires:
        if w.source in group and w.target in group and w.when == "now" and _in_windows(nodes, w):
            sorter.add(w.target, w.source)
    return list(sorter.static_order())


def check_steps(nodes: Mapping[str, Node], wire: Wire) -> str | None:
    """Raise ``WiringError`` where values cannot be read over the receiver's step; how they are, in words."""
    source, target = nodes[wire.source], nodes[wire.target]
    port, wanted = source.outputs[wire.port], target.inputs[wire.input]
    if wire.when == "lag" or port.events or not _in_windows(nodes, wire):
        return None
    inverse = {new: old for old, new in wire.adapter.rename.items()}
    used = {n: inverse.get(n, n) for n in wanted.columns}
    if source.step is None or target.step is None:
        if target.step is None and not issubclass(source.component, DataSource):
            refuse_reductions(wire, wanted.columns, used)
        return None
    values = [n for n in sorted(used.values()) if port.columns[n].measured]
    sums = [n for n in values if wire.methods.get(n) == "sum"]
    if sums and target.step % source.step:
        raise e.WiringError(
            f"{wire.origin} adds up {', '.join(sums)} over {format_duration(source.step)}, which cannot be read "
            f"over {format_duration(target.step)}",
            code="step",
            where=wire.place,
            fix="give the receiver a step that is a multiple of the source's",
        )
    if source.step == target.step:
        return None
    if source.step < target.step or target.step % source.step:
        refuse_reductions(wire, wanted.columns, used)
    how = ", ".join(f"{n}: {wire.methods[n] if source.step < target.step else 'holds'}" for n in values)
    return (
        f"{wire.place} ({wire.origin} -> {wire.target}.{wire.input}): "
        f"{format_duration(source.step)} to {format_duration(target.step)}, {how}"
    )


def describe_clock(nodes: Mapping[str, Node], wires: Iterable[Wire], group: Group, duration: int) -> str:
    """Who of a group runs how often, and what is read late."""
    often = [f"{n} {-(-duration // s)} times" for n in group if (s := nodes[n].step) is not None]
    late = [
        f"{w.target} reads {w.origin} one window late" for w in wires if w.when == "lag" and w.target in group
    ]
    return "; ".join([", ".join(often), *late])


FOLLOWED = 400_000
"""Windows that a dry run goes through at most: half a second."""


def dry_run(nodes: Mapping[str, Node], wires: Sequence[Wire], group: Group, duration: int) -> str | None:
    """Raise ``ScheduleError`` (stall): an acyclic wiring can still come to a stop.

    All clocks meet after the least common multiple of the steps, and what follows repeats what was; so one
    period is tried, and the cut one at the end. Where that is very long, what was not followed is
    returned in words. Steps that end early are not foreseen.
    """
    steps = {n: s for n in group if (s := nodes[n].step) is not None}
    inside = [w for w in wires if w.source in steps and w.target in steps and _in_windows(nodes, w)]
    period = lcm(*steps.values()) if steps else duration
    bound = FOLLOWED * min(steps.values(), default=1) // max(1, len(steps))
    for end in {min(period, duration), duration % period or min(period, duration)}:
        _run_dry(steps, inside, end, min(end, bound))
    if bound >= min(period, duration):
        return None
    return (
        f"whether the schedule of {', '.join(group)} comes to a stall after {format_duration(bound)}: their steps "
        f"meet again after {format_duration(period)} only"
    )


def _run_dry(steps: Mapping[str, int], wires: Sequence[Wire], end: int, stop: int) -> None:
    """The clock itself, with members that only count, through all windows that start before ``stop``."""
    counters = {n: Unit(n, s) for n, s in steps.items()}
    for wire in wires:
        waits = {"now": counters[wire.target].now, "lag": counters[wire.target].lag}
        if wire.when in waits:
            waits[wire.when].append(counters[wire.source])
    units = dict(counters)
    for names in find_blocks(steps, [(w.source, w.target, w.when) for w in wires]):
        units |= dict.fromkeys(names, Joint([counters[n] for n in names]))
    try:
        # A window before the stop may need sources beyond it: at most one window further for each member.
        movers, longest = list(dict.fromkeys(units.values())), max(steps.values())
        for further in range(len(steps) + 1):
            run_windows(movers, min(end, stop + further * longest), end)
            if all(unit.time >= stop for unit in movers):
                return
        raise stall(movers, end)
    except e.ScheduleError as exc:
        exc.where = wires[0].place
        raise
