"""Sweeps: designs, members as scenarios, the table of results, failures, indices against closed forms."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ldt_core import errors as e
from ldt_core.catalog import installed
from ldt_core.ensemble import Ensemble
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


def indices(shop: Workshop, *words: str) -> dict[tuple[str, str], dict[str, Any]]:
    (found,) = json.loads(shop.ldt("sensitivity", "--json", *words).stdout)["analyses"]
    return {(i["parameter"].rpartition(".")[2], i["kind"]): i for i in found["indices"]}


def test_sobol_indices_hold_the_closed_form_in_their_intervals(shop: Workshop) -> None:
    write(shop, f"  s: {{sample: {{method: sobol, size: 128, seed: 5}}, over: {OVER}}}\n")
    shop.ldt("run", "--sweep", "s", "-q")
    found = indices(shop)
    for kind, exact in (("first", FIRST), ("total", TOTAL)):
        for name, value in exact.items():
            index = found[name, kind]
            margin = 0.03
            assert index["low"] - margin <= value <= index["high"] + margin, (name, kind, index)
    assert "first" in shop.ldt("sensitivity").stdout


def test_given_data_tells_what_moves_the_kpi(shop: Workshop) -> None:
    write(shop, f"  s: {{sample: {{size: 400, seed: 5}}, over: {OVER}}}\n")
    shop.ldt("run", "--sweep", "s", "-q")
    found = indices(shop)
    for name, value in FIRST.items():
        assert found[name, "first"]["value"] == pytest.approx(value, abs=0.12)
    assert found["x1", "rank"]["low"] > 0.2
    assert found["x2", "rank"]["low"] < 0 < found["x2", "rank"]["high"]


def test_a_kpi_that_nothing_moves_and_too_few_members_are_told(shop: Workshop) -> None:
    write(shop, "  s: {grid: {f.params.n: [1, 2]}}\n  t: {sample: {size: 2}, over: {f.params.x1: [0, 1]}}\n")
    shop.ldt("run", "--all", "-q")
    assert "the same in every member: nothing moves it" in shop.ldt("sensitivity", "--sweep", "s").stdout
    assert "2 members are too few for any index" in shop.ldt("sensitivity", "--sweep", "t").stdout
    done = shop.ldt("sensitivity", "--sweep", "u", check=False)
    assert (done.returncode, "no sweep 'u'" in done.stderr) == (12, True)


def test_main_effects_of_a_grid_are_exact(shop: Workshop) -> None:
    write(shop, "  s: {grid: {f.params.x1: [0.0, 1.0], f.params.mode: [plain, odd]}}\n")
    shop.ldt("run", "--sweep", "s", "-q")
    found = indices(shop)
    one, ten = math.sin(1.0) ** 2, 100.0
    assert found["x1", "main"]["value"] == pytest.approx(one / (one + ten))
    assert found["mode", "main"]["value"] == pytest.approx(ten / (one + ten))


def test_the_design_is_made_without_a_run(plan: Plan) -> None:
    ensemble = plan("sweeps: {s: {grid: {f.params.x1: [1, 2]}}}\n")
    assert make_design(ensemble.twin, "s", installed()).rows == [(1,), (2,)]
