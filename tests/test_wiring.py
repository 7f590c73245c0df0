"""What `ldt check` proves, and the one clear error for each thing that it refuses."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ldt_core import errors as e
from ldt_core.catalog import Catalog, installed
from ldt_core.twin import load_twin
from ldt_core.wiring import Plan, prove

HOUR = 3_600_000_000
MINUTE = 60_000_000

HEAD = """\
ldt: 1
twin: {id: t, crs: "EPSG:25832", bbox: [600000, 5700000, 606000, 5706000]}
time: {start: 2026-03-02T05:00Z, end: 2026-03-02T06:00Z}
"""


def column(
    kind: str = "number", unit: str | None = "m/s", quantity: str | None = "x:speed", **more: Any
) -> dict[str, Any]:
    if kind in ("number", "integer"):
        return {"kind": kind, "unit": unit, "quantity": quantity, **more}
    return {"kind": kind, **more}


def port(columns: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A port of one speed per edge, unless columns say otherwise."""
    if columns is None:
        columns = {"edge": column("text"), "v": column(cell="mean")}
    if "edge" in columns:
        more = {"entity": "street-edge", "id": "edge"} | more
    return {"columns": columns, **{k: v for k, v in more.items() if v is not None}}


SPEED = port()


class Draft:
    """A twin file under construction: one line per component and per link."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.components: dict[str, dict[str, Any]] = {}
        self.links: list[dict[str, Any]] = []
        self.tail = ""
        self.text = ""

    def add(self, name: str, use: str, **params: Any) -> Draft:
        more = {k: params.pop(k) for k in ("step", "columns") if k in params}
        if use in ("mill", "dice"):
            more.setdefault("step", "5min")
        self.components[name] = {"use": use, **more, "params": json.loads(json.dumps(params))}
        return self

    def link(self, source: str, target: str, **words: Any) -> Draft:
        self.links.append({"from": source, "to": target, **words})
        return self

    def line(self, mark: str) -> int:
        """The number of the one line that holds ``mark``."""
        found = [n for n, text in enumerate(self.text.splitlines(), 1) if mark in text]
        assert len(found) == 1, (mark, self.text)
        return found[0]

    def write(self) -> Path:
        lines = [HEAD + "components:"]
        lines += [f"  {n}: {json.dumps(c)}" for n, c in self.components.items()]
        lines += ["connect:"] + [f"  - {json.dumps(k)}" for k in self.links] if self.links else []
        self.text = "\n".join(lines) + "\n" + self.tail
        path = self.folder / "twin.yaml"
        path.write_text(self.text, encoding="utf-8")
        return path

    def prove(self, scenario: str = "base", catalog: Catalog | None = None) -> Plan:
        twin = load_twin(self.write()).for_scenario(scenario)
        return prove(twin, catalog or installed(), self.folder / "cache")

    def fails(self, scenario: str = "base", catalog: Catalog | None = None) -> list[e.LdtError]:
        """All errors; each must say what, where in this file, and how to mend it."""
        with pytest.raises(e.LdtError) as caught:
            self.prove(scenario, catalog)
        found = caught.value.errors if isinstance(caught.value, e.ErrorList) else [caught.value]
        for error in found:
            assert error.what
            assert error.where.startswith("twin.yaml:"), error
            assert error.fix, error
        return found

    def fails_once(self, scenario: str = "base", catalog: Catalog | None = None) -> e.LdtError:
        found = self.fails(scenario, catalog)
        assert len(found) == 1, "\n".join(map(str, found))
        return found[0]


@pytest.fixture
def draft(tmp_path: Path, specimens: Any) -> Draft:
    return Draft(tmp_path)


def pair(
    draft: Draft, offered: dict[str, Any], wanted: dict[str, Any], use: str = "mill", **words: Any
) -> Draft:
    """One source of ``offered``, one model that wants ``wanted``, joined."""
    draft.add("src", use, outputs={"out": offered})
    draft.add("dst", "sieve", inputs={"in": wanted})
    return draft.link("src.out", "dst.in", **words)


def expect(error: e.LdtError, group: str, code: str, exit_code: int, *words: str) -> None:
    assert (error.group, error.code, error.exit_code) == (group, code, exit_code), str(error)
    for word in words:
        assert word in str(error), str(error)


@pytest.mark.parametrize(("level", "can"), [(1.0, {"state"}), (2.0, set())])
def test_what_a_component_can_depends_on_its_parameters(draft: Draft, level: float, can: set[str]) -> None:
    plan = draft.add("a", "keeper", step="5min", level=level).prove()
    assert plan.nodes["a"].capabilities == can


def test_a_component_claims_no_more_than_its_class_shows(draft: Draft) -> None:
    error = draft.add("a", "keeper", step="5min", level=3.0).fails_once()
    expect(error, "E6", "contract broken", 13, "levitation", "(a)")


# -- what fits ---------------------------------------------------------------------------------


def test_ports_that_fit_need_no_adapter(draft: Draft) -> None:
    plan = pair(draft, SPEED, SPEED).prove()
    (wire,) = plan.wires
    assert wire.adapter.identity
    assert wire.verify is None
    assert wire.place.startswith(f"twin.yaml:{draft.line('src.out')}:")
    assert [s.members for s in plan.stages] == [("src",), ("dst",)]
    assert plan.record == {"src.out": None}


def test_a_unit_of_the_same_dimension_is_converted_and_listed(draft: Draft) -> None:
    wanted = port({"edge": column("text"), "v": column(unit="km/h", cell="mean")})
    plan = pair(draft, SPEED, wanted).prove()
    gain, offset = plan.wires[0].adapter.convert["v"]
    assert (gain, offset) == (pytest.approx(3.6, rel=1e-15), 0.0)
    assert any("m/s -> km/h" in note and "3.6" in note for note in plan.notes)


def test_a_crs_is_changed_and_the_operation_is_listed(draft: Draft) -> None:
    def places(crs: str) -> dict[str, Any]:
        return port({"edge": column("text"), "g": column("geometry", geometry="Point", crs=crs)}, at="start")

    plan = pair(draft, places("EPSG:4258"), places("twin"), use="well").prove()
    step = plan.wires[0].adapter.crs
    assert step is not None
    assert step.source == "EPSG:4258"
    assert any("UTM zone 32N" in note and "accurate to" in note for note in plan.notes)


def test_renaming_joins_columns_of_other_names(draft: Draft) -> None:
    wanted = port({"street": column("text"), "speed": column(cell="mean")}, entity="street-edge", id="street")
    plan = pair(draft, SPEED, wanted, rename={"edge": "street", "v": "speed"}).prove()
    assert dict(plan.wires[0].adapter.rename) == {"edge": "street", "v": "speed"}


def test_a_source_that_promises_less_is_checked_on_the_way(draft: Draft) -> None:
    for offered, wanted, checked in [
        (column(cell="mean", nulls=True), column(cell="mean"), True),
        (column(cell="mean"), column(cell="mean", range=[0, 9]), True),
        (column(cell="mean", range=[0, 99]), column(cell="mean", range=[0, 9]), True),
        (column(cell="mean", range=[0, 5]), column(cell="mean", range=[0, 9]), False),
        (column(cell="mean", unit="km/h", range=[0, 5]), column(cell="mean", range=[0, 9]), True),
        (column("integer", cell="mean"), column(cell="mean"), True),
        (column(cell="mean"), column(cell="mean", nulls=True), False),
    ]:
        plan = pair(Draft(draft.folder), port({"v": offered}), port({"v": wanted})).prove()
        assert (plan.wires[0].verify is not None) is checked, (offered, wanted)


def test_a_coarser_receiver_reduces_and_the_plan_says_how(draft: Draft) -> None:
    draft.add("src", "mill", outputs={"out": SPEED}, step="1min")
    draft.add("dst", "sieve", inputs={"in": SPEED}, step="15min")
    plan = draft.link("src.out", "dst.in").prove()
    assert plan.wires[0].methods["v"] == "mean"
    assert any("1min to 15min, v: mean" in note for note in plan.notes)


def test_a_model_runs_at_the_finest_step_among_its_now_inputs(draft: Draft) -> None:
    for name, step in [("slow", "10min"), ("fast", "2min")]:
        draft.add(name, "mill", outputs={"out": SPEED, "net": port(at="start")}, step=step)
    draft.add("finest", "mill", outputs={"net": port(at="start"), "out": SPEED}, step="1s")
    draft.add("model", "sieve", inputs={"a": SPEED, "b": SPEED, "c": SPEED}, outputs={"out": SPEED})
    draft.link("slow.out", "model.a").link("fast.out", "model.b").link("finest.net", "model.c")
    draft.add("next", "sieve", inputs={"in": SPEED}, outputs={"out": SPEED})
    plan = draft.link("model.out", "next.in").prove()
    assert plan.nodes["model"].step == 2 * MINUTE
    assert plan.nodes["next"].step == 2 * MINUTE


def test_models_in_a_loop_find_their_step_whatever_their_names(draft: Draft) -> None:
    """z feeds a, and in the order of names a comes first."""
    draft.add("sim", "mill", inputs={"in": SPEED}, outputs={"out": SPEED}, step="2min")
    draft.add("z", "sieve", inputs={"in": SPEED}, outputs={"out": SPEED})
    draft.add("a", "sieve", inputs={"in": SPEED}, outputs={"out": SPEED, "net": port(at="start")})
    draft.components["a"]["params"]["outputs"].pop("net")
    draft.link("sim.out", "z.in").link("z.out", "a.in").link("a.out", "sim.in", when="lag")
    draft.components["sim"]["params"]["inputs"]["in"] = port({"v": column(cell="mean")})
    draft.links[-1]["init"] = 0.5
    plan = draft.prove()
    assert plan.nodes["a"].step == plan.nodes["z"].step == 2 * MINUTE
    assert [s.members for s in plan.stages] == [("a", "sim", "z")]


def test_a_loop_is_one_stage_and_replicates_fan_out_below_chance(draft: Draft) -> None:
    draft.add("base", "mill", outputs={"out": SPEED})
    draft.add("dice", "dice", inputs={"in": SPEED}, outputs={"out": SPEED})
    draft.add("below", "sieve", inputs={"in": SPEED})
    plan = draft.link("base.out", "dice.in").link("dice.out", "below.in").prove()
    assert {s.name: s.replicated for s in plan.stages} == {"base": False, "dice": True, "below": True}


def test_a_seed_depends_on_twin_name_and_replicate_only(draft: Draft) -> None:
    draft.tail = "scenarios: {base: {}, other: {set: {a.params.level: 2}}}\n"
    draft.add("a", "dice", outputs={"out": SPEED}).add("b", "dice", outputs={"out": SPEED})
    base, other = draft.prove(), draft.prove("other")
    seeds = {base.nodes[n].seed(s, r) for n in "ab" for s in (0, 1) for r in (0, 1)}
    assert len(seeds) == 8
    assert base.nodes["a"].seed(3, 1) == other.nodes["a"].seed(3, 1)


def test_any_order_in_the_file_gives_the_same_plan(draft: Draft) -> None:
    names = ["d", "b", "a", "c"]
    for name in names:
        draft.add(name, "mill", inputs={"in": port(optional=True)}, outputs={"out": SPEED})
    for source, target in [("a", "b"), ("b", "c"), ("a", "d")]:
        draft.link(f"{source}.out", f"{target}.in")
    seen = set()
    for seed in range(5):
        shuffle = random.Random(seed).sample
        other = Draft(draft.folder)
        other.components = {n: draft.components[n] for n in shuffle(names, 4)}
        other.links = shuffle(draft.links, 3)
        plan = other.prove()
        order = [s.members for s in plan.stages]
        assert order.index(("a",)) < order.index(("b",)) < order.index(("c",))
        seen.add((frozenset(order), tuple(plan.record)))
    assert len(seen) == 1


# -- two ports that do not fit -------------------------------------------------------------------

EDGE = column("text")
AREA = {"geometry": "Polygon", "crs": "twin"}


def shape(**more: Any) -> dict[str, Any]:
    return port({"edge": EDGE, "g": column("geometry", **(AREA | more))}, at="start")


def value(**more: Any) -> dict[str, Any]:
    return port({"edge": EDGE, "v": column(**({"cell": "mean"} | more))})


MISFITS: dict[str, tuple[dict[str, Any], dict[str, Any], str, tuple[str, ...]]] = {
    "a column that is not there": (
        SPEED,
        port({"edge": EDGE, "vv": column(cell="mean")}),
        "shape",
        ("did you mean 'v'?", "rename", "'vv'"),
    ),
    "another dimension": (value(unit="m"), SPEED, "unit dimension", ("m and m/s",)),
    "a level into power": (value(unit="dB"), value(unit="W"), "unit not linear", ("dB",)),
    "another quantity": (value(quantity="x:wind"), SPEED, "quantity", ("x:wind", "x:speed")),
    "no quantity said": (value(quantity=None), SPEED, "quantity", ("columns: {v: {quantity:",)),
    "no unit said": (value(unit=None), SPEED, "unit dimension", ("columns: {v: {unit:",)),
    "no CRS said": (shape(crs=None), shape(), "CRS missing", ("columns: {g: {crs:",)),
    "a CRS that nobody knows": (shape(crs="EPSG:999999"), shape(), "CRS missing", ("EPSG:999999",)),
    "a CRS that is metres off": (
        shape(crs="EPSG:4314"),
        shape(crs="EPSG:3031"),
        "CRS accuracy",
        ("EPSG:4314",),
    ),
    "another geometry": (shape(geometry="LineString"), shape(), "geometry", ("LineString", "Polygon")),
    "any geometry into one": (shape(geometry="Geometry"), shape(), "geometry", ("Geometry", "Polygon")),
    "text for a number": (port({"edge": EDGE, "v": EDGE}), SPEED, "dtype", ("text", "number")),
    "a number for a count": (value(), value(kind="integer"), "dtype", ("number", "integer")),
    "ids of another type": (
        port({"edge": column("integer", "1", None), "v": column(cell="mean")}),
        SPEED,
        "dtype",
        ("integer", "text"),
    ),
    "another cell method": (value(cell="sum"), SPEED, "cell method", ("sum", "mean", "over_time: mean")),
    "a mean for a point": (value(), value(cell="point"), "cell method", ("over_time: last",)),
    "another entity set": (port(entity="building"), SPEED, "entities", ("building", "street-edge")),
    "no entity set": (
        {"columns": SPEED["columns"]},
        SPEED,
        "entities",
        ("src.out", "street-edge"),
    ),
    "what names the entities is another column": (
        port({"edge": EDGE, "v": column(cell="mean"), "name": EDGE}, id="name"),
        SPEED,
        "entities",
        ("'name'", "'edge'"),
    ),
    "events for no events": (port(events=True), SPEED, "shape", ("events",)),
    "no events for events": (SPEED, port(events=True), "shape", ("events",)),
    "windows for the start": (SPEED, port(at="start"), "step", ("start",)),
    "personal data": (port(personal="personal"), SPEED, "personal data", ("personal", "none")),
    "sensitive data": (
        port(personal="sensitive"),
        port(personal="pseudonymous"),
        "personal data",
        ("sensitive", "pseudonymous"),
    ),
    "a grid": ({**SPEED, "shape": "grid", "entity": None, "id": None}, SPEED, "shape", ("grid",)),
}


@pytest.mark.parametrize("case", MISFITS)
def test_ports_that_do_not_fit(draft: Draft, case: str) -> None:
    offered, wanted, code, words = MISFITS[case]
    error = pair(draft, offered, wanted).fails_once()
    expect(error, "E3", code, 10, *words)
    assert error.where.startswith(f"twin.yaml:{draft.line('src.out')}:"), error.where


def test_two_grids_are_not_in_this_version(draft: Draft) -> None:
    grid = {"shape": "grid", "columns": {"v": column()}}
    expect(pair(draft, grid, grid).fails_once(), "E3", "not in this version", 10)


@pytest.mark.parametrize(("word", "value"), [("map", "pairs.csv"), ("over_space", "nearest")])
def test_words_of_a_later_version(draft: Draft, word: str, value: str) -> None:
    error = pair(draft, SPEED, SPEED, **{word: value}).fails_once()
    expect(error, "E3", "not in this version", 10, word)
    line = draft.text.splitlines()[draft.line("src.out") - 1]
    assert error.where == f"twin.yaml:{draft.line('src.out')}:{line.index(value)}"


@pytest.mark.parametrize("side", ["from", "to"])
def test_a_port_that_is_not_there_has_its_place_and_the_nearest(draft: Draft, side: str) -> None:
    pair(draft, SPEED, SPEED)
    draft.links[0] = (
        {"from": "src.outt", "to": "dst.in"} if side == "from" else {"from": "src.out", "to": "dst.inn"}
    )
    if side == "to":
        draft.components["dst"]["params"]["inputs"]["in"]["optional"] = True
    else:
        draft.components["dst"]["params"]["inputs"] = {"in": port(optional=True)}
    error = draft.fails_once()
    wrong = "src.outt" if side == "from" else "dst.inn"
    expect(error, "E3", "unresolved reference", 10, f"did you mean '{'out' if side == 'from' else 'in'}'?")
    line = draft.text.splitlines()[draft.line(wrong) - 1]
    assert error.where == f"twin.yaml:{draft.line(wrong)}:{line.index(wrong)}"


def test_a_sum_is_read_only_over_whole_steps(draft: Draft) -> None:
    counts = value(cell="sum")
    draft.add("src", "mill", outputs={"out": counts}, step="4min")
    draft.add("dst", "sieve", inputs={"in": counts}, step="10min").link("src.out", "dst.in")
    expect(draft.fails_once(), "E3", "step", 10, "4min", "10min", "multiple")
    draft.components["dst"]["step"] = "12min"
    assert draft.prove().wires[0].methods["v"] == "sum"
    draft.components["dst"]["step"] = "2min"
    expect(draft.fails_once(), "E3", "step", 10, "4min", "2min")


def test_a_sum_that_nobody_reads_hinders_nobody(draft: Draft) -> None:
    both = port({"edge": EDGE, "v": column(cell="mean"), "n": column("integer", "1", "x:count", cell="sum")})
    draft.add("src", "mill", outputs={"out": both}, step="4min")
    draft.add("dst", "sieve", inputs={"in": SPEED}, step="10min").link("src.out", "dst.in")
    assert "n" not in draft.prove().wires[0].methods


def test_a_level_is_averaged_only_where_that_is_said(draft: Draft) -> None:
    level = value(unit="dB")
    draft.add("src", "mill", outputs={"out": level}, step="5min")
    draft.add("dst", "sieve", inputs={"in": level}, step="15min").link("src.out", "dst.in")
    expect(draft.fails_once(), "E3", "cell method", 10, "energetic")
    draft.links[0]["over_time"] = "energetic"
    assert draft.prove().wires[0].methods["v"] == "energetic"
    draft.links[0]["over_time"] = "mean"
    expect(draft.fails_once(), "E3", "cell method", 10, "energetic")
    del draft.links[0]["over_time"]
    draft.components["dst"]["step"] = "5min"  # nothing to average
    draft.prove()


@pytest.mark.parametrize(
    ("offered", "wanted", "asked", "words"),
    [
        (value(), SPEED, "median", ("median", "mean, sum")),
        (value(), value(cell="sum"), "sum", ("mean", "sum")),
        (value(), SPEED, "energetic", ("dB",)),
    ],
)
def test_a_reduction_without_meaning_is_refused(
    draft: Draft, offered: dict[str, Any], wanted: dict[str, Any], asked: str, words: tuple[str, ...]
) -> None:
    expect(pair(draft, offered, wanted, over_time=asked).fails_once(), "E3", "cell method", 10, *words)


def test_a_mean_of_counts_is_no_count(draft: Draft) -> None:
    counts = value(kind="integer", unit="1", quantity="x:n", cell="mean")
    draft.add("src", "mill", outputs={"out": counts}, step="5min")
    draft.add("dst", "sieve", inputs={"in": counts}, step="15min").link("src.out", "dst.in")
    expect(draft.fails_once(), "E3", "dtype", 10, "mean")
    draft.components["dst"]["params"]["inputs"]["in"] = value(unit="1", quantity="x:n")
    draft.prove()


# -- links that are missing or too many --------------------------------------------------------


def test_an_input_without_a_link_is_told_who_offers_it(draft: Draft) -> None:
    draft.add("src", "mill", outputs={"net": port(at="start"), "other": port({"w": column()}), "out": SPEED})
    draft.add("dst", "sieve", inputs={"in": SPEED})
    error = draft.fails_once()
    expect(error, "E3", "unconnected", 10, "dst.in", "{from: src.out, to: dst.in}")
    assert error.where.startswith(f"twin.yaml:{draft.line('  dst:')}:")


def test_an_input_that_nobody_offers_is_described(draft: Draft) -> None:
    draft.add("dst", "sieve", inputs={"in": SPEED, "more": port(optional=True)})
    expect(draft.fails_once(), "E3", "unconnected", 10, "dst.in", "edge, v")


def test_two_links_into_one_input_say_how_they_merge(draft: Draft) -> None:
    draft.add("a", "mill", outputs={"out": SPEED}).add("b", "mill", outputs={"out": SPEED})
    draft.add("dst", "sieve", inputs={"in": SPEED})
    draft.link("a.out", "dst.in").link("b.out", "dst.in")
    for words, known in [({}, "merge: sum"), ({"merge": "sum"}, "each of them")]:
        draft.links[0] |= words
        error = draft.fails_once()
        expect(error, "E3", "ambiguous", 10, "dst.in", known)
        assert error.where.startswith(f"twin.yaml:{draft.line('b.out')}:")
    draft.links[1]["merge"] = "concat"
    expect(draft.fails_once(), "E3", "ambiguous", 10, "concat", "sum")
    draft.links[1]["merge"] = "sum"
    draft.prove()


def test_levels_are_not_added(draft: Draft) -> None:
    level = value(unit="dB")
    draft.add("a", "mill", outputs={"out": level}).add("b", "mill", outputs={"out": level})
    draft.add("dst", "sieve", inputs={"in": level})
    draft.link("a.out", "dst.in", merge="sum").link("b.out", "dst.in", merge="sum")
    assert {(x.group, x.code) for x in draft.fails()} == {("E3", "cell method")}


def test_several_errors_come_together_each_in_its_place(draft: Draft) -> None:
    draft.add("src", "mill", outputs={"out": SPEED, "wet": value(unit="m")})
    draft.add("dst", "sieve", inputs={"in": SPEED, "more": SPEED, "free": SPEED})
    draft.add("odd", "sieve", levle=3)
    draft.link("src.out", "dst.inn").link("src.wet", "dst.more")
    found = draft.fails()
    assert [(x.group, x.code) for x in found] == [
        ("E1", "unknown key"),
        ("E3", "unresolved reference"),
        ("E3", "unit dimension"),
    ]
    assert len({x.where for x in found}) == 3


# -- the order of work ---------------------------------------------------------------------------


def ring(draft: Draft, names: list[str]) -> Draft:
    plain = port({"v": column(cell="mean")})
    for name in names:
        draft.add(name, "mill", inputs={"in": plain}, outputs={"out": plain})
    for a, b in zip(names, names[1:] + names[:1], strict=True):
        draft.link(f"{a}.out", f"{b}.in")
    return draft


@pytest.mark.parametrize("names", [["one"], ["one", "two"], ["one", "two", "three", "four"]])
def test_links_that_wait_for_each_other_are_all_listed(draft: Draft, names: list[str]) -> None:
    error = ring(draft, names).fails_once()
    expect(error, "E4", "cycle", 10, "when: lag")
    for a, b in zip(names, names[1:] + names[:1], strict=True):
        line = draft.line(f'"{a}.out", "to"')
        assert f"{a}.out -> {b}.in (twin.yaml:{line}:" in str(error)


def test_a_lag_link_cuts_a_loop(draft: Draft) -> None:
    ring(draft, ["one", "two", "three"]).links[-1] |= {"when": "lag", "init": 0.0}
    plan = draft.prove()
    assert [s.members for s in plan.stages] == [("one", "three", "two")]


def keepers(draft: Draft, **steps: str) -> Draft:
    """Simulators with state in a ring that an iterate link closes."""
    plain = port({"v": column(cell="mean")})
    for name, step in steps.items():
        draft.add(name, "keeper", inputs={"in": plain}, outputs={"out": plain}, step=step)
    names = list(steps)
    for a, b in itertools.pairwise(names):
        draft.link(f"{a}.out", f"{b}.in")
    return draft.link(f"{names[-1]}.out", f"{names[0]}.in", when="iterate", init=0.0)


def test_an_iterate_link_closes_a_loop_and_the_plan_says_how(draft: Draft) -> None:
    plan = keepers(draft, one="5min", two="10min", three="5min").prove()
    assert [s.members for s in plan.stages] == [("one", "three", "two")]
    (note,) = [n for n in plan.notes if "repeat windows" in n]
    assert (
        note
        == "one, three, two repeat windows of 10min until they settle: three.out to 1e-06 in 50 passes at most"
    )


def test_an_iterate_link_needs_members_with_state(draft: Draft) -> None:
    keepers(draft, one="5min", two="5min")
    draft.components["two"]["params"]["level"] = 2.0  # then it has none
    error = draft.fails_once()
    expect(error, "E4", "needs state", 10, "two cannot give and take state", "when: lag")
    assert error.where.startswith(f"twin.yaml:{draft.line('two.out')}:")


def test_steps_of_a_repeated_window_divide_its_length(draft: Draft) -> None:
    error = keepers(draft, one="4min", two="10min").fails_once()
    expect(error, "E4", "step", 10, "the step of one, 4min, does not divide 10min")


def test_an_iterate_link_that_closes_no_loop_is_refused(draft: Draft) -> None:
    plain = port({"v": column(cell="mean")})
    draft.add("one", "keeper", outputs={"out": plain}, step="5min")
    draft.add("two", "keeper", inputs={"in": plain}, step="5min")
    draft.link("one.out", "two.in", when="iterate", init=0.0)
    expect(draft.fails_once(), "E4", "cycle", 10, "closes no loop", "remove when: iterate")


def test_an_iterate_link_without_a_first_value_is_found(draft: Draft) -> None:
    plain = port({"v": column(cell="mean")})
    draft.add("sim", "keeper", inputs={"in": plain}, outputs={"out": plain}, step="5min")
    draft.add("model", "sieve", inputs={"in": plain}, outputs={"out": plain})
    draft.link("sim.out", "model.in").link("model.out", "sim.in", when="iterate")
    expect(draft.fails_once(), "E4", "init missing", 10, "the iterate link from model.out", "init:")


def test_events_cannot_be_repeated(draft: Draft) -> None:
    events = port({"v": column()}, events=True)
    for name in ("one", "two"):
        draft.add(name, "keeper", inputs={"in": events}, outputs={"out": events}, step="5min")
    draft.link("one.out", "two.in").link("two.out", "one.in", when="iterate", init=0.0)
    expect(draft.fails_once(), "E4", "shape", 10, "two.out gives events")


@pytest.mark.parametrize(("word", "value"), [("tolerance", 1e-3), ("relaxation", 0.5), ("passes", 9)])
def test_words_of_iterate_belong_to_iterate_links(draft: Draft, word: str, value: float) -> None:
    error = pair(draft, SPEED, SPEED, **{word: value}).fails_once()
    expect(error, "E1", "bad value", 10, f"{word}: belongs to an iterate link", "when: iterate")
    keepers(draft, k="5min", m="5min").links[-1] |= {word: value}
    draft.links[0].pop(word)
    assert getattr(next(w for w in draft.prove().wires if w.when == "iterate"), word) == value


def test_a_network_given_at_the_start_closes_no_loop(draft: Draft) -> None:
    """sim gives its network once, the model answers in every window: nobody waits for itself."""
    draft.add("sim", "mill", inputs={"in": SPEED}, outputs={"net": port(at="start")})
    draft.add("model", "sieve", inputs={"net": SPEED}, outputs={"out": SPEED}, step="5min")
    draft.link("sim.net", "model.net").link("model.out", "sim.in")
    assert [s.members for s in draft.prove().stages] == [("model", "sim")]


def test_networks_that_wait_for_each_other_are_found(draft: Draft) -> None:
    once = port(at="start")
    for name in ("one", "two"):
        draft.add(name, "mill", inputs={"in": once}, outputs={"net": once})
    draft.link("one.net", "two.in").link("two.net", "one.in")
    expect(draft.fails_once(), "E4", "cycle", 10, "one.net -> two.in", "two.net -> one.in")


def test_a_lag_without_a_first_value_is_found(draft: Draft) -> None:
    plain = port({"v": column(cell="mean")})
    draft.add("sim", "mill", inputs={"in": plain}, outputs={"out": plain})
    draft.add("model", "sieve", inputs={"in": plain}, outputs={"out": plain})
    draft.link("sim.out", "model.in").link("model.out", "sim.in", when="lag")
    error = draft.fails_once()
    expect(error, "E4", "init missing", 10, "init:")
    assert error.where.startswith(f"twin.yaml:{draft.line('model.out')}:")


def test_what_initialize_may_give_is_listed_as_not_proved(draft: Draft) -> None:
    ring(draft, ["one", "two"]).links[-1] |= {"when": "lag"}
    (said,) = draft.prove().unproved
    assert "two.out" in said
    assert "initialize" in said


def test_an_init_needs_a_list_of_the_entities_that_it_fills(draft: Draft) -> None:
    draft.add("sim", "mill", inputs={"in": SPEED}, outputs={"out": SPEED})
    draft.add("model", "sieve", inputs={"in": SPEED}, outputs={"out": SPEED})
    draft.link("sim.out", "model.in").link("model.out", "sim.in", when="lag", init=1.0)
    expect(draft.fails_once(), "E4", "init missing", 10, "street-edge")
    draft.components["sim"]["params"]["outputs"]["net"] = port(at="start")
    draft.prove()


@pytest.mark.parametrize(
    ("wanted", "init", "word"),
    [
        (column(cell="mean"), "fast", "number"),
        (column(cell="mean"), True, "number"),
        (column("integer", cell="mean"), 1.5, "integer"),
        (column(cell="mean", range=[0, 9]), 10, "0 to 9"),
        (column("boolean"), 1, "boolean"),
        (column("text"), 1, "text"),
    ],
)
def test_an_init_has_the_type_and_range_of_what_it_fills(
    draft: Draft, wanted: dict[str, Any], init: Any, word: str
) -> None:
    plain = port({"v": wanted})
    draft.add("sim", "mill", inputs={"in": plain}, outputs={"out": plain})
    draft.link("sim.out", "sim.in", when="lag", init=init)
    error = draft.fails_once()
    expect(error, "E1", "bad value", 10, word)
    line = draft.text.splitlines()[draft.line("sim.out") - 1]
    assert error.where == f"twin.yaml:{draft.line('sim.out')}:{line.index(json.dumps(init)) + 1}"


def test_a_simulator_needs_a_step(draft: Draft) -> None:
    draft.add("sim", "mill", outputs={"out": SPEED})
    del draft.components["sim"]["step"]
    error = draft.fails_once()
    expect(error, "E3", "step", 10, "'sim'", "step: 5min")


def test_a_model_that_only_lags_needs_a_step(draft: Draft) -> None:
    plain = port({"v": column(cell="mean")})
    draft.add("sim", "mill", inputs={"in": plain}, outputs={"out": plain})
    draft.add("model", "sieve", inputs={"in": plain}, outputs={"out": plain})
    draft.link("sim.out", "model.in", when="lag", init=1).link("model.out", "sim.in")
    expect(draft.fails_once(), "E3", "step", 10, "'model'")


def test_a_wiring_without_a_circle_can_still_stall(draft: Draft) -> None:
    plain = port({"v": column(cell="mean")})
    for name, step in [("a", "10min"), ("b", "7min"), ("c", "10min")]:
        draft.add(name, "mill", inputs={"in": plain}, outputs={"out": plain}, step=step)
    draft.link("a.out", "b.in").link("b.out", "c.in").link("c.out", "a.in", when="lag", init=0)
    error = draft.fails_once()
    expect(error, "E4", "stall", 10, "a at", "divide one another")
    draft.components["b"]["step"] = "5min"
    draft.prove()


def test_the_dry_run_of_a_long_run_is_short(draft: Draft) -> None:
    """A year in steps of a second: the schedule repeats, so that only one period is tried."""
    ring(draft, ["one", "two"]).links[-1] |= {"when": "lag", "init": 0.0}
    draft.components["one"]["step"], draft.components["two"]["step"] = "1s", "4s"
    path = draft.write()
    path.write_text(path.read_text().replace("2026-03-02T06:00Z", "2027-03-02T06:00:01Z"))
    plan = prove(load_twin(path).for_scenario("base"), installed(), draft.folder)
    assert len(plan.stages) == 1


# -- parameters ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "code", "mark", "words"),
    [
        ({"levle": 2.5}, "unknown key", "2.5", ("'levle'", "did you mean 'level'?")),
        ({"level": "high"}, "bad value", '"high"', ("level", "number")),
        ({"speed": "3 kg"}, "bad value", '"3 kg"', ("speed is in m/s",)),
        ({"stops": [1, 2, "x7"]}, "bad value", '"x7"', ("stops",)),
        ({"either": "both"}, "bad value", '"both"', ("either",)),
        ({"rows": None}, "bad value", "null", ("rows",)),
    ],
)
def test_a_wrong_parameter_has_line_and_column(
    draft: Draft, params: dict[str, Any], code: str, mark: str, words: tuple[str, ...]
) -> None:
    error = draft.add("src", "mill", **params).fails_once()
    expect(error, "E1", code, 10, *words)
    number = draft.line("  src:")
    line = draft.text.splitlines()[number - 1]
    key = next(iter(params))
    column = line.index(mark) + 1 if code == "bad value" else line.index(f'"{key}"') + 1
    assert error.where == f"twin.yaml:{number}:{column}"


def test_a_parameter_that_is_left_out_is_named(draft: Draft, offer: Callable[..., None]) -> None:
    code = (
        "import ldt_core as ldt\n"
        "class Needy(ldt.Model):\n"
        "    id = 'needy'\n"
        "    class Params(ldt.Params):\n"
        "        threshold: float = ldt.Field(description='Where comfort ends.')\n"
        "    def compute(self, inputs): return {}\n"
        "@ldt.hookimpl\n"
        "def ldt_models(): return [Needy]\n"
    )
    offer("ldt-needy", "ldt_needy_one", code, {"needy": "model"})
    error = draft.add("n", "needy").fails_once()
    expect(error, "E1", "missing key", 10, "'threshold'", "Where comfort ends.")


def test_a_secret_stays_out_of_the_message(draft: Draft) -> None:
    error = draft.add("src", "mill", token=["hunter2"]).fails_once()
    expect(error, "E1", "bad value", 10, "token")
    assert "hunter2" not in str(error)
    error = draft.add("src", "mill", token="hunter2", rows="many").fails_once()
    assert "hunter2" not in str(error)


def test_a_parameter_that_a_scenario_sets_wrong_points_to_the_scenario(draft: Draft) -> None:
    draft.tail = "scenarios:\n  base: {}\n  wet:\n    set:\n      src.params.levle: 2\n"
    draft.tail += "  dry:\n    set: {src.params.level: low}\n"
    draft.add("src", "mill", level=1)
    draft.prove()
    error = draft.fails_once("wet")
    expect(error, "E1", "override hits nothing", 10, "did you mean 'level'?")
    assert error.where == f"twin.yaml:{draft.line('src.params.levle')}:7"
    error = draft.fails_once("dry")
    expect(error, "E1", "bad value", 10, "'low'")
    assert error.where.startswith(f"twin.yaml:{draft.line('src.params.level: low')}:")


def test_a_component_that_refuses_its_parameters_is_placed(draft: Draft) -> None:
    error = draft.add("f", "fussy", level=2).fails_once()
    expect(error, "E1", "bad value", 10, "level is above 1", "write 1 or less")
    assert error.where.startswith(f"twin.yaml:{draft.line('  f:')}:")


def test_a_component_that_fails_while_it_tells_its_ports(draft: Draft) -> None:
    error = draft.add("f", "fussy", level=1).fails_once()
    expect(error, "E6", "component raised", 13, "KeyError", "no such header", "ports")


# -- columns: ------------------------------------------------------------------------------------


def test_columns_fill_what_a_source_leaves_open(draft: Draft) -> None:
    offered = port({"edge": EDGE, "v": column(unit=None, quantity=None)})
    pair(draft, offered, SPEED)
    draft.components["src"]["columns"] = {"v": {"unit": "km/h", "quantity": "x:speed", "cell": "mean"}}
    plan = draft.prove()
    assert plan.wires[0].adapter.convert["v"][0] == pytest.approx(1 / 3.6)
    assert plan.nodes["src"].outputs["out"].columns["v"].cell == "mean"


def test_columns_contradict_nothing(draft: Draft) -> None:
    pair(draft, SPEED, SPEED)
    draft.components["src"]["columns"] = {
        "v": {"unit": "km/h", "quantity": "x:wind", "cell": "mean"},
        "w": {},
    }
    found = draft.fails()
    assert [(x.group, x.code) for x in found[:3]] == [
        ("E1", "contradiction"),
        ("E1", "contradiction"),
        ("E1", "unresolved reference"),
    ]
    line = draft.text.splitlines()[draft.line("  src:") - 1]
    assert found[0].where.endswith(f":{line.index('x:wind')}") or found[0].where.endswith(
        f":{line.index('km/h')}"
    )
    assert "did you mean" in found[2].fix or "known here" in found[2].fix


# -- plugins ---------------------------------------------------------------------------------------


def test_a_plugin_that_is_not_installed_is_named(draft: Draft) -> None:
    error = draft.add("t", "sumo").fails_once(catalog=Catalog([], [], []))
    expect(error, "E2", "not installed", 11, "ldt-simulator-sumo", "pip install")
    line = draft.text.splitlines()[draft.line("  t:") - 1]
    assert error.where == f"twin.yaml:{draft.line('  t:')}:{line.index('sumo')}"


def test_a_component_that_nobody_offers_has_the_nearest(draft: Draft) -> None:
    expect(draft.add("t", "mil").fails_once(), "E2", "not installed", 11, "did you mean 'mill'?")


MODEL = (
    "import ldt_core as ldt\n"
    "class Extra(ldt.Model):\n"
    "    id = '{id}'\n"
    "    def compute(self, inputs): return {{}}\n"
    "@ldt.hookimpl\n"
    "def {hook}(): return [Extra]\n"
)


def test_an_offer_is_found_and_used(draft: Draft, offer: Callable[..., None]) -> None:
    offer("ldt-extra", "ldt_extra_good", MODEL.format(id="extra", hook="ldt_models"), {"extra": "model"})
    assert draft.add("t", "extra").prove().nodes["t"].offer.distribution == "ldt-extra"


def test_two_owners_of_one_id_are_both_named(draft: Draft, offer: Callable[..., None]) -> None:
    for name in ("one", "two"):
        offer(
            f"ldt-{name}",
            f"ldt_owner_{name}",
            MODEL.format(id="twice", hook="ldt_models"),
            {"twice": "model"},
        )
    expect(draft.add("t", "twice").fails_once(), "E2", "two owners", 11, "ldt-one 1.0", "ldt-two 1.0")


def test_a_hook_with_a_misspelt_name(draft: Draft, offer: Callable[..., None]) -> None:
    offer("ldt-typo", "ldt_typo_hook", MODEL.format(id="typo", hook="ldt_modles"), {"typo": "model"})
    expect(draft.add("t", "typo").fails_once(), "E2", "unknown hook", 11, "ldt_modles", "ldt_models")


def test_an_import_that_fails(draft: Draft, offer: Callable[..., None]) -> None:
    offer("ldt-broken", "ldt_broken_import", "import absent_module_of_nobody\n", {"broken": "model"})
    expect(draft.add("t", "broken").fails_once(), "E2", "import failed", 11, "absent_module_of_nobody")


def test_code_that_lacks_what_the_manifest_lists(draft: Draft, offer: Callable[..., None]) -> None:
    offer("ldt-drift", "ldt_drifted", MODEL.format(id="kept", hook="ldt_models"), {"gone": "model"})
    expect(draft.add("t", "gone").fails_once(), "E2", "manifest differs from code", 11, "'gone'")


def test_a_viewer_under_components(draft: Draft) -> None:
    error = draft.add("t", "glass").fails_once()
    expect(error, "E1", "bad value", 10, "viewer", "views:")


# -- KPIs, views, records --------------------------------------------------------------------------


def judged(draft: Draft, kpi: str, *, offered: dict[str, Any] | None = None) -> Draft:
    draft.add(
        "src",
        "mill",
        outputs={
            "out": offered or SPEED,
            "net": port({"edge": EDGE, "n": column(unit="1"), "m": column(unit="m2")}, at="start"),
        },
    )
    draft.tail = f"kpis:\n  k: {kpi}\n"
    return draft


BOTH = "reduce: {space: mean, time: mean}"
BAD_KPIS = {
    "another port": ("{of: src.outt.v, " + BOTH + "}", "unresolved reference", "did you mean 'out'?"),
    "another column": ("{of: src.out.w, " + BOTH + "}", "unresolved reference", "v"),
    "a column to filter by": ("{of: src.out.v, where: w > 1, " + BOTH + "}", "unresolved reference", "'w'"),
    "text above a number": ("{of: src.out.v, where: edge > 1, " + BOTH + "}", "dtype", "edge"),
    "a number like text": ("{of: src.out.v, where: v == abc, " + BOTH + "}", "dtype", "number"),
    "another dimension": ("{of: src.out.v, unit: kg, " + BOTH + "}", "unit dimension", "kg"),
    "a share in seconds": (
        "{of: src.out.v, where: v > 1, unit: s, reduce: {time: share, space: mean}}",
        "unit dimension",
        "s",
    ),
    "a sum of means over time": ("{of: src.out.v, reduce: {space: mean, time: sum}}", "cell method", "mean"),
    "duration over space": (
        "{of: src.out.v, where: v > 1, reduce: {space: duration, time: mean}}",
        "cell method",
        "time",
    ),
    "counting twice": (
        "{of: src.out.v, where: v > 1, reduce: {space: share, time: duration}}",
        "cell method",
        "share",
    ),
    "energy of a speed": ("{of: src.out.v, reduce: {space: energetic, time: mean}}", "cell method", "dB"),
    "entities that stay": ("{of: src.out.v, reduce: {time: mean}}", "shape", "space"),
    "windows that stay": ("{of: src.out.v, reduce: {space: mean}}", "shape", "time"),
    "a weight of others": ("{of: src.out.v, weight: src.far.n, " + BOTH + "}", "entities", "house"),
    "a sum weighed with a unit": (
        "{of: src.out.v, weight: src.net.m, reduce: {space: sum, time: mean}}",
        "unit dimension",
        "m2",
    ),
    "places": ("{of: src.out.v, at: src.net, " + BOTH + "}", "not in this version", "at"),
    "places by distance": (
        "{of: src.out.v, over_space: nearest, " + BOTH + "}",
        "not in this version",
        "over_space",
    ),
}


@pytest.mark.parametrize("case", BAD_KPIS)
def test_a_kpi_that_cannot_be_computed(draft: Draft, case: str) -> None:
    kpi, code, word = BAD_KPIS[case]
    judged(draft, kpi)
    far = port({"house": EDGE, "n": column(unit="1")}, entity="house", id="house", at="start")
    draft.components["src"]["params"]["outputs"]["far"] = far
    error = draft.fails_once()
    expect(error, "E3", code, 10, word)
    assert error.where.startswith(f"twin.yaml:{draft.line('  k: {')}:")


def test_levels_have_no_mean_as_a_kpi(draft: Draft) -> None:
    level = value(unit="dB")
    for reduce in ("{space: mean, time: max}", "{space: max, time: mean}", "{time: energetic, space: sum}"):
        error = judged(
            Draft(draft.folder), f"{{of: src.out.v, reduce: {reduce}}}", offered=level
        ).fails_once()
        expect(error, "E3", "cell method", 10, "dB")
    judged(
        draft, "{of: src.out.v, where: v > 55, reduce: {time: energetic, space: share}}", offered=level
    ).prove()


def test_events_are_not_compared_one_by_one_without_an_id(draft: Draft) -> None:
    trips = port({"time": column("instant"), "v": column()}, events=True)
    judged(draft, "{of: src.out.v, against: base, reduce: {space: mean}}", offered=trips)
    expect(draft.fails_once(), "E3", "entities", 10, "events")


def test_what_a_kpi_a_view_and_the_file_name_is_recorded(draft: Draft) -> None:
    judged(draft, "{of: src.out.v, " + BOTH + ", weight: src.net.n}")
    draft.components["src"]["params"]["outputs"] |= {"seen": SPEED, "named": SPEED, "idle": SPEED}
    draft.tail += "views:\n  w: {use: glass, show: [src.seen]}\nrecord:\n  src.named: {every: 10min}\n"
    assert draft.prove().record == {
        "src.named": 10 * MINUTE,
        "src.net": None,
        "src.out": None,
        "src.seen": None,
    }


@pytest.mark.parametrize(
    ("tail", "group", "code", "exit_code", "mark", "words"),
    [
        ("views: {w: {use: mill}}", "E1", "bad value", 10, "mill}", ("viewer",)),
        ("views: {w: {use: glas}}", "E2", "not installed", 11, "glas}", ("did you mean 'glass'?",)),
        (
            "views: {w: {use: glass, show: [src.outt]}}",
            "E3",
            "unresolved reference",
            10,
            "src.outt",
            ("'out'",),
        ),
        ("views: {w: {use: glass, params: {color: red}}}", "E1", "unknown key", 10, "color", ("'colour'",)),
        ("record: {src.outt: {}}", "E3", "unresolved reference", 10, "src.outt", ("'out'",)),
    ],
)
def test_a_view_or_record_that_cannot_be(
    draft: Draft, tail: str, group: str, code: str, exit_code: int, mark: str, words: tuple[str, ...]
) -> None:
    draft.add("src", "mill", outputs={"out": SPEED})
    draft.tail = tail + "\n"
    error = draft.fails_once()
    expect(error, group, code, exit_code, *words)
    assert error.where == f"twin.yaml:{draft.line(tail)}:{tail.index(mark) + 1}"


def test_a_view_of_a_port_with_several_values_asks_which(draft: Draft) -> None:
    two = port({"edge": EDGE, "v": column(), "w": column()})
    draft.add("src", "mill", outputs={"out": two})
    draft.tail = "views: {w: {use: glass, show: [src.out]}}\n"
    expect(draft.fails_once(), "E3", "ambiguous", 10, "src.out.v", "src.out.w")


def test_personal_data_is_not_shown(draft: Draft) -> None:
    draft.add("src", "mill", outputs={"out": port(personal="pseudonymous")})
    draft.tail = "views: {w: {use: glass, show: [src.out]}}\n"
    expect(draft.fails_once(), "E3", "personal data", 10, "pseudonymous")


def test_a_coarse_record_must_be_possible(draft: Draft) -> None:
    draft.add("src", "mill", outputs={"level": value(unit="dB"), "count": value(cell="sum")}, step="4min")
    draft.tail = "record:\n  src.level: {every: 8min}\n  src.count: {every: 10min}\n"
    found = draft.fails()
    assert [(x.group, x.code) for x in found] == [("E3", "cell method"), ("E3", "step")]
    assert [x.where for x in found] == [f"twin.yaml:{draft.line(m)}:3" for m in ("src.level:", "src.count:")]
    draft.tail = "record:\n  src.count: {every: 8min}\n"
    assert draft.prove().record == {"src.count": 8 * MINUTE}


def test_a_record_never_coarsens_what_another_component_reads(draft: Draft) -> None:
    pair(draft, SPEED, SPEED).tail = "record:\n  src.out: {every: 30min}\n"
    error = draft.fails_once()
    expect(error, "E3", "step", 10, "dst.in", "30min")
    draft.tail = "record:\n  src.out: {every: 5min}\n"  # its own step: nothing is lost
    draft.prove()
