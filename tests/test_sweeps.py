"""Sweeps: designs, members as scenarios, the table of results, failures, indices against closed forms."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ldt_core import errors as e
from ldt_core import sensitivity
from ldt_core.catalog import installed
from ldt_core.ensemble import Ensemble
from ldt_core.sensitivity import Analysis, Index, analyse
from ldt_core.store import Store
from ldt_core.sweeps import make_design
from ldt_core.twin import load_twin
from tests.workshop import Workshop, install

CODE = '''
    from typing import Annotated
    import math
    import ldt_core as ldt

    class Ishigami(ldt.Model):
        """sin x1 + 7 sin(x2)^2 + 0.1 x3^4 sin x1, and chance where noise is asked for."""
        id = "ishigami"
        stochastic = True
        outputs = {"out": ldt.Port({"y": ldt.number("1", "x:y")}, at="start")}
        class Params(ldt.Params):
            x1: float = 0.0
            x2: float = 0.0
            x3: float = 0.0
            n: int = 1
            mode: str = "plain"
            speed: Annotated[float, ldt.unit("m/s")] = 1.0
            noise: float = 0.0
        def compute(self, inputs):
            p = self.params
            if p.x1 > 100:
                raise ldt.InputError("x1 is too large", code="too large", fix="less")
            y = math.sin(p.x1) + 7 * math.sin(p.x2) ** 2 + 0.1 * p.x3**4 * math.sin(p.x1)
            y += 10 * (p.mode == "odd") + p.noise * self.context.rng.standard_normal()
            return {"out": ldt.Table({"y": [y]})}

    @ldt.hookimpl
    def ldt_models():
        return [Ishigami]
'''
HEAD = """\
ldt: 1
twin: {id: sweep, crs: "EPSG:25832"}
time: {start: 2026-01-01T00:00Z, end: 2026-01-01T01:00Z}
components:
  f: {use: ishigami}
kpis:
  y: {of: f.out.y, reduce: {space: mean}, unit: "1", better: lower}
scenarios:
  base: {}
  odd: {set: {f.params.mode: odd}}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = tmp_path_factory.mktemp("site")
    install(site, "ldt-ishigami", CODE)
    return site


@pytest.fixture
def shop(site: Path, tmp_path: Path) -> Workshop:
    return Workshop(site, tmp_path)


def write(shop: Workshop, sweeps: str, head: str = HEAD) -> Workshop:
    (shop.twin / "twin.yaml").write_text(head + "sweeps:\n" + sweeps, encoding="utf-8")
    return shop


@pytest.fixture
def plan(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Ensemble]:
    """The ensemble of all sweeps of a twin file, planned and keyed in this process."""
    monkeypatch.syspath_prepend(str(site))

    def made(sweeps: str, scenarios: tuple[str, ...] = ("base", "odd")) -> Ensemble:
        (tmp_path / "twin.yaml").write_text(HEAD + sweeps, encoding="utf-8")
        twin = load_twin(tmp_path)
        ensemble = Ensemble(
            twin, scenarios, installed(), Store(tmp_path / "store"), tmp_path / "c", sweeps=list(twin.sweeps)
        )
        ensemble.settle()
        return ensemble

    return made


Plan = Callable[..., Ensemble]


# -- members are scenarios ------------------------------------------------------------------------


NUMBERS = st.floats(-9, 9, allow_nan=False).map(lambda v: round(v, 6))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(NUMBERS, st.integers(0, 9)), min_size=1, max_size=4, unique=True), st.booleans())
def test_members_of_a_list_have_the_keys_of_written_scenarios(
    plan: Plan, tmp_path: Path, rows: list[tuple[float, int]], swapped: bool
) -> None:
    header, order = ["f.params.x1", "f.params.n"], (1, 0) if swapped else (0, 1)
    lines = [",".join(header[j] for j in order)] + [",".join(repr(row[j]) for j in order) for row in rows]
    (tmp_path / "rows.csv").write_text("\n".join(lines), encoding="utf-8")
    swept = plan("sweeps: {s: {from: rows.csv}}\n")
    written = "".join(
        f"  w{i}: {{set: {{f.params.x1: {x!r}, f.params.n: {n}}}}}\n" for i, (x, n) in enumerate(rows)
    )
    scenarios = plan(written, tuple(f"w{i}" for i in range(len(rows))))
    for i in range(len(rows)):
        assert swept.works[f"s/{i + 1:04d}", "f", 0].key == scenarios.works[f"w{i}", "f", 0].key


def test_a_grid_is_every_combination_whatever_the_order_in_the_file(plan: Plan) -> None:
    one = plan("sweeps: {s: {grid: {f.params.n: [1, 2], f.params.x1: {from: 0.0, to: 1.0, count: 3}}}}\n")
    two = plan("sweeps: {s: {grid: {f.params.x1: {from: 0.0, to: 1.0, count: 3}, f.params.n: [1, 2]}}}\n")
    changes = [dict(m.changes) for m in one.members.values()]
    assert changes == [{"f.params.n": n, "f.params.x1": x} for n in (1, 2) for x in (0.0, 0.5, 1.0)]
    assert [w.key for w in one.works.values()] == [w.key for w in two.works.values()]


def test_units_and_whole_numbers_reach_the_parameters(plan: Plan) -> None:
    ensemble = plan(
        "sweeps:\n  s:\n    sample: {size: 50, seed: 3}\n"
        "    over: {f.params.speed: [36 km/h, 72 km/h], f.params.n: [1, 4]}\n"
    )
    nodes = [ensemble.plans[m].nodes["f"] for m in ensemble.members]
    speeds, counts = [n.params.speed for n in nodes], [n.params.n for n in nodes]
    assert 10 <= min(speeds) < max(speeds) <= 20
    assert set(counts) == {1, 2, 3, 4}
    assert all(isinstance(n, int) for n in counts)


def test_a_latin_hypercube_has_one_value_in_every_slice_and_is_that_of_its_seed(plan: Plan) -> None:
    def values(seed: int) -> list[float]:
        found = plan(
            f"sweeps: {{s: {{sample: {{size: 20, seed: {seed}}}, over: {{f.params.x1: [0, 20]}}}}}}\n"
        )
        return [m.changes["f.params.x1"] for m in found.members.values()]

    assert sorted(int(v) for v in values(1)) == list(range(20))
    assert values(1) == values(1) != values(2)


def test_distributions_are_those_of_scipy(plan: Plan) -> None:
    found = plan(
        "sweeps: {s: {sample: {size: 400}, over: {f.params.x1: {normal: [10, 2]}, f.params.mode: {choice: [plain, odd]}}}}\n"
    )
    x = np.array([m.changes["f.params.x1"] for m in found.members.values()])
    assert x.mean() == pytest.approx(10, abs=0.05)
    assert x.std() == pytest.approx(2, abs=0.05)
    assert [m.changes["f.params.mode"] for m in found.members.values()].count("odd") == 200


def test_equal_members_are_computed_once(plan: Plan) -> None:
    ensemble = plan("sweeps: {s: {grid: {f.params.x1: [0.0, 0.0, 1.0]}}}\n", ("base",))
    states = [ensemble.works[m, "f", 0].state for m in ensemble.members]
    assert states == ["shared", "shared", "ready"]  # the first is the baseline itself


WRONG = [
    ("s: {}", "missing key", "says not what is varied"),
    ("s: {grid: {f.params.x1: [1]}, from: a.csv}", "duplicate key", "grid and from"),
    ("s: {grid: {f.params.x9: [1]}}", "override hits nothing", "no parameter 'x9'"),
    ("s: {grid: {g.params.x1: [1]}}", "override hits nothing", "g"),
    ("s: {grid: {f.params.x1: []}}", "bad value", "an empty list"),
    ("s: {grid: {f.params.x1: [high]}}", "bad value", "x1"),
    ("s: {grid: {run.replicates: [1, 2]}}", "override hits nothing", "same number of replicates"),
    ("s: {sample: {size: 4}}", "missing key", "no over:"),
    ("s: {sample: {size: 3, method: sobol}, over: {f.params.x1: [0, 1]}}", "bad value", "power of two"),
    ("s: {sample: {size: 4}, over: {f.params.x1: [1, 0]}}", "bad value", "is no range"),
    ("s: {sample: {size: 4}, over: {f.params.x1: {norml: [0, 1]}}}", "bad value", "no distribution 'norml'"),
    ("s: {sample: {size: 4}, over: {f.params.speed: [1 km/h, 2 m/s]}}", "bad value", "two units"),
    ("s: {of: none, grid: {f.params.x1: [1]}}", "unresolved reference", "none"),
    ("base: {grid: {f.params.x1: [1]}}", "duplicate key", "a scenario is called 'base' too"),
    ("s: {from: none.csv}", "not found", "none.csv cannot be read"),
    (
        "s: {grid: {f.params.x1: {from: 0, to: 1, count: 400}, f.params.x2: {from: 0, to: 1, count: 400}}}",
        "bad value",
        "160,000 members",
    ),
]


@pytest.mark.parametrize(("sweep", "code", "words"), WRONG)
def test_what_is_wrong_has_its_place(plan: Plan, sweep: str, code: str, words: str) -> None:
    with pytest.raises(e.LdtError) as caught:
        plan(f"sweeps:\n  {sweep}\n")
    found = caught.value.errors if isinstance(caught.value, e.ErrorList) else [caught.value]
    assert code in {error.code for error in found}
    assert any(words in str(error) for error in found), found
    for error in found:
        assert error.where.startswith("twin.yaml:12"), error
        assert error.fix


@pytest.mark.parametrize(
    ("text", "where", "words"),
    [
        ("", "rows.csv:1:1", "no header"),
        ("f.params.x1\n", "rows.csv:1:1", "no rows"),
        ("f.params.x1,f.params.n\n1,2,3\n", "rows.csv:2:1", "3 cells, the header 2"),
        ("f.params.x1, f.params.x8\n1,2\n", "rows.csv:2:", "x8"),
        ("f.params.x1,f.params.n\n1.5,2\n0.5,two\n", "rows.csv:3:5", "n"),
    ],
)
def test_what_is_wrong_in_a_list_has_its_place_there(
    plan: Plan, tmp_path: Path, text: str, where: str, words: str
) -> None:
    (tmp_path / "rows.csv").write_text(text, encoding="utf-8")
    with pytest.raises(e.LdtError) as caught:
        plan("sweeps: {s: {from: rows.csv}}\n")
    found = caught.value.errors if isinstance(caught.value, e.ErrorList) else [caught.value]
    assert any(error.where.startswith(where) and words in str(error) for error in found), found


# -- through the command line -----------------------------------------------------------------------


def test_a_run_with_a_sweep_ends_in_one_tidy_table(shop: Workshop) -> None:
    write(shop, "  s: {of: [base, odd], grid: {f.params.x1: [0.0, 1.0, 2.0], f.params.n: [1, 2]}}\n")
    said = shop.ldt("check").stdout
    assert "grid, 12 members of base and odd, varying f.params.n, f.params.x1" in said
    record = json.loads(shop.ldt("run", "--sweep", "s", "--replicates", "2", "--json").stdout)
    table = pq.read_table(next(shop.twin.glob("runs/*/results.parquet")))
    assert table.num_rows == 2 * (2 + 12)
    rows = [r for r in table.to_pylist() if r["sweep"] == "s"]
    assert {(r["scenario"], r["member"], r["replicate"]) for r in rows} == {
        (s, m, r) for s in ("base", "odd") for m in range(1, 7) for r in (1, 2)
    }
    for row in rows:
        assert row["value"] == pytest.approx(math.sin(row["f.params.x1"]) + 10 * (row["scenario"] == "odd"))
        assert (row["kpi"], row["unit"], row["error"]) == ("y", "1", None)
    assert record["sweeps"]["s"]["members"] == 12
    assert json.loads(table.schema.metadata[b"ldt"])["twin"] == "sweep"
    shown = shop.ldt("results").stdout
    assert "better in 0% of 6" in shown
    csv = shop.ldt("results", "--to", "csv").stdout
    assert len(csv.splitlines()) == 29


def test_a_second_run_computes_nothing_and_a_plain_run_runs_no_sweep(shop: Workshop) -> None:
    write(shop, "  s: {grid: {f.params.x1: [0.0, 1.0, 2.0]}}\n")
    assert "sweeps" not in json.loads(shop.ldt("run", "--json").stdout)
    first = json.loads(shop.ldt("run", "--all", "--json").stdout)
    assert first["sweeps"]["s"]["tasks"] == {"stored": 1, "done": 2}  # x1 = 0 is the baseline
    again = json.loads(shop.ldt("run", "--sweep", "s", "--json").stdout)
    assert again["sweeps"]["s"]["tasks"] == {"stored": 3}


def test_a_member_that_fails_is_told_and_the_others_finish(shop: Workshop) -> None:
    (shop.twin / "rows.csv").write_text("f.params.x1\n0.5\n500\n1.5\n", encoding="utf-8")
    write(shop, "  s: {from: rows.csv}\n")
    done = shop.ldt("run", "--sweep", "s", check=False)
    assert done.returncode == 12
    assert "x1 is too large" in done.stderr
    assert "failed: s/0002 (f.params.x1 = 500): x1 is too large" in done.stdout
    rows = pq.read_table(next(shop.twin.glob("runs/*/results.parquet"))).to_pylist()
    found = {r["member"]: (r["value"], r["error"]) for r in rows if r["sweep"]}
    assert found[1][0] == pytest.approx(math.sin(0.5))
    assert found[2] == (None, "E5 too large: x1 is too large")
    assert found[3][1] is None
    (shop.twin / "rows.csv").write_text("f.params.x1\n0.5\n50\n1.5\n", encoding="utf-8")
    record = json.loads(shop.ldt("run", "--sweep", "s", "--json").stdout)
    assert record["sweeps"]["s"]["tasks"] == {"stored": 2, "done": 1}


# Ishigami's indices in closed form (a = 7, b = 0.1; Ishigami and Homma 1990).
A, B = 7.0, 0.1
V1, V2, V13 = 0.5 * (1 + B * math.pi**4 / 5) ** 2, A**2 / 8, B**2 * math.pi**8 * 8 / 225
V = V1 + V2 + V13
FIRST = {"x1": V1 / V, "x2": V2 / V, "x3": 0.0}
TOTAL = {"x1": (V1 + V13) / V, "x2": V2 / V, "x3": V13 / V}
OVER = "{f.params.x1: [-3.14159265, 3.14159265], f.params.x2: [-3.14159265, 3.14159265], f.params.x3: [-3.14159265, 3.14159265]}"


def exact_table(
    plan_file: Path, sweep: str, function: Callable[[np.ndarray], np.ndarray]
) -> tuple[pa.Table, dict[str, Any]]:
    """What a run of the sweep would leave if the function were the KPI, and what its record would say."""
    (plan_file / "twin.yaml").write_text(HEAD + f"sweeps: {{s: {sweep}}}\n", encoding="utf-8")
    design = make_design(load_twin(plan_file), "s", installed())
    x = np.array(design.rows, float)
    columns: dict[str, Any] = {path: x[:, j] for j, path in enumerate(design.paths)}
    count = len(x)
    columns |= {"sweep": ["s"] * count, "scenario": ["base"] * count, "kpi": ["y"] * count}
    columns |= {"member": np.arange(1, count + 1), "value": function(x)}
    return pa.table(columns), {"design": design.kind, "parameters": [{"path": p} for p in design.paths]}


def ishigami(x: np.ndarray) -> np.ndarray:
    return np.sin(x[:, 0]) + A * np.sin(x[:, 1]) ** 2 + B * x[:, 2] ** 4 * np.sin(x[:, 0])


WEIGHTS = np.array([0.0, 1.0, 4.5])


def sobol_g(x: np.ndarray) -> np.ndarray:
    return np.prod((np.abs(4 * x - 2) + WEIGHTS) / (1 + WEIGHTS), axis=1)


# First-order and total indices of Sobol's g function in closed form (Saltelli and Sobol 1995).
ALONE = 1 / (3 * (1 + WEIGHTS) ** 2)
WHOLE = np.prod(1 + ALONE) - 1
G_FIRST = dict(zip(FIRST, ALONE / WHOLE, strict=True))
G_TOTAL = dict(zip(FIRST, ALONE * np.prod(1 + ALONE) / (1 + ALONE) / WHOLE, strict=True))
UNIT_CUBE = "{f.params.x1: [0, 1], f.params.x2: [0, 1], f.params.x3: [0, 1]}"
CLOSED = [(ishigami, OVER, FIRST, TOTAL), (sobol_g, UNIT_CUBE, G_FIRST, G_TOTAL)]


def by_name(found: Analysis) -> dict[tuple[str, str], Index]:
    return {(i.parameter.rpartition(".")[2], i.kind): i for i in found.indices}


@pytest.mark.parametrize(("function", "over", "first", "total"), CLOSED, ids=["Ishigami", "Sobol g"])
def test_sobol_intervals_hold_the_closed_form_as_often_as_they_say(
    site: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    function: Any,
    over: str,
    first: Any,
    total: Any,
) -> None:
    monkeypatch.syspath_prepend(str(site))
    held = []
    for seed in range(12):
        sweep = f"{{sample: {{method: sobol, size: 256, seed: {seed}}}, over: {over}}}"
        table, record = exact_table(tmp_path, sweep, function)
        found = by_name(analyse(table, record, "s", "base", "y"))
        for kind, exact in (("first", first), ("total", total)):
            for name, value in exact.items():
                index = found[name, kind]
                assert index.value == pytest.approx(value, abs=0.12)
                assert index.low is not None
                assert index.high is not None
                held.append(index.low <= value <= index.high)
    assert np.mean(held) >= 0.95


def test_given_data_tells_what_moves_the_kpi(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(site))
    table, record = exact_table(tmp_path, f"{{sample: {{size: 1000, seed: 5}}, over: {OVER}}}", ishigami)
    found = by_name(analyse(table, record, "s", "base", "y"))
    for name, value in FIRST.items():
        assert found[name, "first"].value == pytest.approx(value, abs=0.06)
    assert (found["x1", "rank"].low or 0) > 0.2
    assert (found["x2", "rank"].low or 1) < 0 < (found["x2", "rank"].high or -1)


def test_a_base_point_with_a_failed_member_is_left_out_as_a_whole(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(site))
    sweep = f"{{sample: {{method: sobol, size: 128}}, over: {OVER}}}"
    table, record = exact_table(tmp_path, sweep, ishigami)
    values = table["value"].to_pylist()
    values[7] = None  # of the second base point
    table = table.set_column(table.column_names.index("value"), "value", pa.array(values, pa.float64()))
    found = analyse(table, record, "s", "base", "y")
    assert (found.members, found.missing) == (127 * 5, 1)
    assert "1 of 640 members have no value and are left out" in found.notes
    assert by_name(found)["x2", "first"].value == pytest.approx(FIRST["x2"], abs=0.15)


def test_without_salib_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "SALib.analyze.sobol", None)
    with pytest.raises(e.PluginError, match="SALib") as caught:
        sensitivity._library("sobol")
    assert "ldt-core[sensitivity]" in caught.value.fix


def test_pairs_are_judged_on_base_points_and_only_where_members_were_drawn(shop: Workshop) -> None:
    over = "{f.params.x1: [0, 1], f.params.x2: [0, 1]}"
    write(
        shop,
        f"  drawn: {{of: [base, odd], sample: {{method: sobol, size: 4}}, over: {over}}}\n"
        "  chosen: {of: [base, odd], grid: {f.params.x1: [0.0, 0.5, 1.0]}}\n",
    )
    shop.ldt("run", "--all", "-q")
    rows = {
        (r["sweep"], r["scenario"]): r for r in json.loads(shop.ldt("compare", "--json").stdout)["sweeps"]
    }
    drawn, chosen = rows["drawn", "odd"], rows["chosen", "odd"]
    assert (drawn["members"], drawn["pairs"]) == (2 * 4, 2 * 4)  # of 16 members
    z2 = 1.959963984540054**2
    assert (drawn["wins"], drawn["wins_low"]) == (0.0, pytest.approx(0))
    assert drawn["wins_high"] == pytest.approx(z2 / (8 + z2))  # Wilson's score in closed form
    assert drawn["change"] == pytest.approx(10) == drawn["change_low"]
    assert chosen["change"] == pytest.approx(10)
    assert "change_low" not in chosen
    told = json.loads(shop.ldt("sensitivity", "--sweep", "drawn", "--json").stdout)["analyses"]
    assert [a["scenario"] for a in told] == ["base", "odd"]
    done = shop.ldt("sensitivity", "--sweep", "u", check=False)
    assert (done.returncode, "no sweep 'u'" in done.stderr) == (12, True)
    assert "4 base points are few: mind the intervals" in told[0]["notes"]


def test_against_base_is_against_the_same_member_of_the_baseline(shop: Workshop) -> None:
    more = "  more: {of: f.out.y, against: base, reduce: {space: mean}, unit: '1'}\nscenarios:\n"
    write(
        shop,
        "  pairs: {of: [base, odd], grid: {f.params.x1: [0.0, 1.0]}}\n  alone: {of: odd, grid: {f.params.x1: [1.0]}}\n",
        HEAD.replace("scenarios:\n", more),
    )
    shop.ldt("run", "--all", "-q")
    rows = pq.read_table(next(shop.twin.glob("runs/*/results.parquet"))).to_pylist()
    found = {(r["sweep"], r["scenario"], r["member"]): r["value"] for r in rows if r["kpi"] == "more"}
    assert [found["pairs", "base", m] for m in (1, 2)] == [0, 0]
    assert [found["pairs", "odd", m] for m in (1, 2)] == pytest.approx([10, 10])
    assert found["alone", "odd", 1] == pytest.approx(10 + math.sin(1.0))


def test_the_record_names_no_member_and_check_prints_the_design(shop: Workshop) -> None:
    write(shop, "  s: {grid: {f.params.x1: {from: 1, to: 9, count: 9}}}\n")
    said = shop.ldt("check").stdout
    assert "0001: f.params.x1 = 1\n  0002: f.params.x1 = 2" in said
    assert "  ...\n  0009: f.params.x1 = 9" in said
    plan = json.loads(shop.ldt("check", "--json").stdout)
    assert plan["sweeps"]["s"]["rows"] == [[x] for x in range(1, 10)]
    record = json.loads(shop.ldt("run", "--sweep", "s", "--json").stdout)
    assert len(record["results"]) == len(record["tasks"]) == 1
    assert record["sweeps"]["s"]["members"] == 9


def test_a_kpi_that_nothing_moves_and_too_few_members_are_told(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(site))
    table, record = exact_table(tmp_path, "{grid: {f.params.n: [1, 2]}}", lambda x: np.full(len(x), 3.7))
    found = analyse(table, record, "s", "base", "y")
    assert found.notes == ("the KPI is the same in every member: nothing moves it",)
    assert [i.value for i in found.indices] == [None]
    table, record = exact_table(tmp_path, f"{{sample: {{size: 2}}, over: {OVER}}}", ishigami)
    found = analyse(table, record, "s", "base", "y")
    assert (found.notes, found.indices) == (("2 members are too few for any index",), ())


def test_main_effects_of_a_grid_are_exact_for_text_too() -> None:
    rows = [(x, mode, math.sin(x) + 10 * (mode == "odd")) for x in (0.0, 1.0) for mode in ("plain", "odd")]
    x, mode, y = zip(*rows, strict=True)
    same = {"sweep": ["s"] * 4, "scenario": ["base"] * 4, "kpi": ["y"] * 4, "member": [1, 2, 3, 4]}
    table = pa.table({**same, "f.params.x1": x, "f.params.mode": mode, "value": y})
    record = {"design": "grid", "parameters": [{"path": "f.params.x1"}, {"path": "f.params.mode"}]}
    found = by_name(analyse(table, record, "s", "base", "y"))
    one, ten = math.sin(1.0) ** 2, 100.0
    assert found["x1", "main"].value == pytest.approx(one / (one + ten))
    assert found["mode", "main"].value == pytest.approx(ten / (one + ten))


def test_the_design_is_made_without_a_run(plan: Plan) -> None:
    ensemble = plan("sweeps: {s: {grid: {f.params.x1: [1, 2]}}}\n")
    assert make_design(ensemble.twin, "s", installed()).rows == [(1,), (2,)]
