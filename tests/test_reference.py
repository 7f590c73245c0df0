"""The scheduler against a literal reading of its rules: random graphs, steps, links, early returns."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ldt_core as ldt
from ldt_core.errors import ScheduleError
from ldt_core.interfaces import Step
from ldt_core.linking import Node as Resolved
from ldt_core.runner import Member, Setting, run_stage
from ldt_core.schedule import dry_run, find_groups
from ldt_core.tables import Port, Table, number
from ldt_core.wires import Wire
from tests.reference import Link, Node, Reference, Stall

START = np.datetime64("2026-03-02T05:00", "us")
NAMES = "abcde"
CELLS = {"mean": "mean", "min": "min", "max": "max", "last": "point", "sum": "sum"}


def port(method: str = "mean") -> Port:
    return Port({"v": number("1", "x:v", cell=CELLS[method])})  # type: ignore[arg-type]


def component(node: Node) -> Any:
    """The node as a component, with its inputs named in0, in1, ..."""

    def value(inputs: Any, state: float) -> float:
        total = node.bias + (state if node.stateful else 0.0)
        for number_, link in enumerate(node.links):
            total += link.weight * float(inputs[f"in{number_}"]["v"][0])
        return total

    class Sim(ldt.Simulator):
        id = "sim"

        def initialize(self, inputs: Any) -> None:
            self.state, self.count = 0.0, 0

        def step(self, inputs: Any, until: int) -> Any:
            found = value(inputs, self.state)
            self.state = found / 2
            tables = {"out": Table({"v": [found]})}
            self.count += 1
            if node.early:
                start = self.context.window.start
                return Step(tables, min(until, start + node.early[(self.count - 1) % len(node.early)]))
            return tables

        def get_state(self) -> bytes:
            return np.array([self.state, self.count]).tobytes()

        def set_state(self, state: bytes) -> None:
            self.state, count = np.frombuffer(state)
            self.count = int(count)

    class Mod(ldt.Model):
        id = "mod"

        def compute(self, inputs: Any) -> Any:
            return {"out": Table({"v": [value(inputs, 0.0)]})}

    kind: Any = Sim if node.stateful else Mod
    kind.inputs = {f"in{n}": port(link.method) for n, link in enumerate(node.links)}
    kind.outputs = {"out": port()}
    return kind


def wires_of(nodes: Mapping[str, Node]) -> list[Wire]:
    return [
        Wire(
            link.source,
            "out",
            name,
            f"in{n}",
            link.when,
            {"v": link.method},
            init=1.0 if link.when != "now" else None,
            tolerance=1e-9,
            passes=400,
            place=f"{name}.{n}",
        )
        for name, node in nodes.items()
        for n, link in enumerate(node.links)
    ]


def run(
    nodes: Mapping[str, Node], end: int, folder: Path, order: random.Random | None = None
) -> dict[str, Any]:
    """(start, end, value) of every window by node, through the real runner."""
    members = []
    for name, node in nodes.items():
        kind = component(node)
        members.append(Member(name, kind, kind.Params(), kind.inputs, kind.outputs, node.step, 0))
    wires = wires_of(nodes)
    if order is not None:
        order.shuffle(members)
        order.shuffle(wires)
    setting = Setting(START, end, "EPSG:25832", None, folder / "s", folder / "c")
    outcome = run_stage(members, wires, {}, {f"{n}.out": None for n in nodes}, setting)
    found = {}
    for name in nodes:
        recording = outcome.recordings[f"{name}.out"]
        found[name] = [
            (a, b, v)
            for (a, b), v in zip(recording.windows.tolist(), recording.table["v"].tolist(), strict=True)
        ]
    return found


@st.composite
def graphs(draw: st.DrawFn, early: bool, iterate: bool = False) -> tuple[dict[str, Node], int]:
    """Acyclic now links along the alphabet, lag links (and iterate links backwards) anywhere."""
    names = NAMES[: draw(st.integers(1, 5))]
    steps = st.sampled_from([1, 2, 4] if iterate else [1, 2, 3, 4, 5, 6, 7, 12])
    nodes = {}
    for at, name in enumerate(names):
        links = []
        for other_at, other in enumerate(names):
            kinds = ["none", "none", "lag"] + (["now"] * 2 if other_at < at else [])
            if iterate and other_at > at:
                kinds += ["iterate"] * 2
            when = draw(st.sampled_from(kinds))
            if when != "none":
                method = "last" if when == "lag" else draw(st.sampled_from(["mean", "min", "max", "last"]))
                links.append(Link(other, when, method, draw(st.sampled_from([-0.25, 0.125, 0.25]))))
        stateful = draw(st.booleans()) or not links
        ends = draw(st.lists(st.integers(1, 6), max_size=3)) if early and stateful else []
        nodes[name] = Node(draw(steps), float(draw(st.integers(-3, 3))), tuple(links), stateful, tuple(ends))
    return nodes, draw(st.integers(1, 30))


def outcome(nodes: Mapping[str, Node], end: int, folder: Path, order: random.Random | None = None) -> Any:
    """What the runner gives, or that it comes to a stall."""
    try:
        return run(nodes, end, folder, order)
    except ScheduleError as exc:
        assert exc.code == "stall"
        return "stall"


def expected(nodes: Mapping[str, Node], end: int) -> Any:
    try:
        done = Reference(nodes, end).run()
    except Stall:
        return "stall"
    return {name: [(d.start, d.end, d.value) for d in found] for name, found in done.items()}


def agree(found: Any, wanted: Any, tolerance: float) -> None:
    if "stall" in (found, wanted):
        assert found == wanted
        return
    assert {n: [w[:2] for w in ws] for n, ws in found.items()} == {
        n: [w[:2] for w in ws] for n, ws in wanted.items()
    }
    for name, windows in found.items():
        assert [w[2] for w in windows] == pytest.approx(
            [w[2] for w in wanted[name]], rel=tolerance, abs=tolerance
        ), name


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stages")


CALM = settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])


@CALM
@given(graphs(early=False), st.randoms(use_true_random=False))
def test_any_graph_follows_the_rules_in_any_order(folder: Path, drawn: Any, order: random.Random) -> None:
    nodes, end = drawn
    found = outcome(nodes, end, folder)
    agree(found, expected(nodes, end), 1e-12)
    assert outcome(nodes, end, folder, order) == found  # to the bit


@CALM
@given(graphs(early=True), st.randoms(use_true_random=False))
def test_steps_that_end_early_follow_the_rules_in_any_order(
    folder: Path, drawn: Any, order: random.Random
) -> None:
    nodes, end = drawn
    found = outcome(nodes, end, folder)
    agree(found, expected(nodes, end), 1e-12)
    assert outcome(nodes, end, folder, order) == found


@CALM
@given(graphs(early=False, iterate=True), st.randoms(use_true_random=False))
def test_implicit_links_settle_where_the_rules_say_in_any_order(
    folder: Path, drawn: Any, order: random.Random
) -> None:
    nodes, end = drawn
    nodes = without_idle_iterates(nodes)
    found = outcome(nodes, end, folder)
    agree(found, expected(nodes, end), 1e-6)
    assert outcome(nodes, end, folder, order) == found


def without_idle_iterates(nodes: Mapping[str, Node]) -> dict[str, Node]:
    """Iterate links that close no loop are refused by the check; here they become lag links."""
    blocks = Reference(nodes, 1)
    blocks.done = {n: [] for n in nodes}
    members = blocks._blocks()
    made = {}
    for name, node in nodes.items():
        links = tuple(
            k._replace(when="lag", method="last")
            if k.when == "iterate" and k.source not in members.get(name, ())
            else k
            for k in node.links
        )
        made[name] = Node(node.step, node.bias, links, node.stateful, node.early)
    return made


@CALM
@given(graphs(early=False), st.booleans())
def test_the_dry_run_foretells_every_stall(folder: Path, drawn: Any, iterate: bool) -> None:
    nodes, end = drawn
    resolved: dict[str, Any] = {}
    for name, node in nodes.items():
        kind = component(node)
        resolved[name] = Resolved(name, None, kind, None, {}, kind.inputs, kind.outputs, node.step)  # type: ignore[arg-type]
    wires = wires_of(nodes)
    stalls = False
    for group in find_groups(resolved, wires):
        try:
            if len(group) > 1:
                dry_run(resolved, wires, group, end)
        except ScheduleError as exc:
            assert exc.code == "stall"
            stalls = True
    assert stalls == (expected(nodes, end) == "stall")


LATE = {
    "a": Node(5, 1.0, (), True, (1, 5)),
    "b": Node(3, 0.0, (Link("a", "lag", "last", 1.0),)),
}


@pytest.mark.parametrize("names", ["ab", "ba"])
def test_a_window_that_ended_early_is_seen_by_lag_links_when_it_was_due(folder: Path, names: str) -> None:
    """Who runs first must not matter: an early end is known only to those who run after it."""
    found = run({n: LATE[n] for n in names}, 15, folder)
    assert found["b"] == [(d.start, d.end, d.value) for d in Reference(LATE, 15).run()["b"]]


def resolve(nodes: Mapping[str, Node]) -> dict[str, Any]:
    kinds = {name: component(node) for name, node in nodes.items()}
    return {
        n: Resolved(n, None, k, None, {}, k.inputs, k.outputs, nodes[n].step)  # type: ignore[arg-type]
        for n, k in kinds.items()
    }


def test_a_dry_run_of_steps_that_hardly_ever_meet_is_bounded_and_says_so() -> None:
    second, day = 1_000_000, 86_400_000_000
    nodes = {
        "a": Node(second, 0.0, (Link("b", "lag", "last", 1.0),)),
        "b": Node(second + 1, 0.0, (Link("a", "now", "mean", 1.0),)),
    }
    assert dry_run(resolve(nodes), wires_of(nodes), ("a", "b"), day) is None
    said = dry_run(resolve(nodes), wires_of(nodes), ("a", "b"), 366 * day)
    assert said is not None
    assert said.startswith("whether the schedule of a, b comes to a stall after ")


def test_a_bounded_dry_run_still_finds_what_stalls_before() -> None:
    second = 1_000_000
    nodes = {
        "a": Node(second, 0.0, (Link("c", "lag", "last", 1.0),)),
        "b": Node(second - 1, 0.0, (Link("a", "now", "mean", 1.0),)),
        "c": Node(second, 0.0, (Link("b", "now", "mean", 1.0),)),
    }
    with pytest.raises(ScheduleError, match=r"a at 1 s \(waits for c\)") as caught:
        dry_run(resolve(nodes), wires_of(nodes), ("a", "b", "c"), 366 * 86_400 * second)
    assert caught.value.code == "stall"
