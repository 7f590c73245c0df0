"""A run made again: the same bit for bit, or what differs, by how much, and what may be the reason."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldt_core.reproduce import compare_tables
from ldt_core.tables import Table

sys.path.insert(0, str(Path(__file__).parent))
from workshop import Workshop, install

PLUGIN = '''
import os
import numpy as np
import ldt_core as ldt

PORT = ldt.Port({"time": ldt.instant(), "rain": ldt.number("mm", "x:rain", cell="sum")}, step="1h")

class Rain(ldt.DataSource):
    """One row per hour."""
    id = "rain"
    outputs = {"rain": PORT}
    class Params(ldt.Params):
        file: ldt.File
    def read(self, query):
        times = np.arange(query.start, query.end, np.timedelta64(1, "h"))
        return {"rain": ldt.Table({"time": times, "rain": np.full(len(times), float(self.params.file.path.read_text()))})}

class Sky(ldt.DataSource):
    """Cannot say its version."""
    id = "sky"
    outputs = {"rain": PORT}
    def read(self, query):
        return {"rain": ldt.Table({"time": [query.start], "rain": [1.0]})}

class Soil(ldt.Simulator):
    """Draws by chance; is moved by what no key knows."""
    id = "soil"
    stochastic = True
    tolerances = {"wet": 1e-3}
    inputs = {"rain": PORT}
    outputs = {"wet": ldt.Port({"time": ldt.instant(), "wet": ldt.number("mm", "x:wet", cell="sum")})}
    class Params(ldt.Params):
        share: float = 0.5
    def step(self, inputs, until):
        noise = self.context.rng.random() + float(os.environ.get("LDT_TEST_NOISE", "0"))
        start = self.context.instant(self.context.window.start)
        return {"wet": ldt.Table({"time": [start], "wet": [inputs["rain"]["rain"].sum() * self.params.share + noise]})}

@ldt.hookimpl
def ldt_data_sources():
    return [Rain, Sky]
@ldt.hookimpl
def ldt_simulators():
    return [Soil]
'''

TWIN = """
ldt: 1
twin: {id: wet, crs: "EPSG:25832"}
time: {start: 2026-01-01T00:00Z, end: 2026-01-01T03:00Z}
run: {seed: 5, replicates: 2}
components:
  rain: {use: rain, params: {file: rain.txt}}
  soil: {use: soil, step: 1h}
connect:
  - {from: rain.rain, to: soil.rain}
kpis:
  wet: {of: soil.wet.wet, reduce: {time: sum, space: sum}, unit: mm}
scenarios:
  base: {}
  sand: {set: {soil.params.share: 0.1}}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reproduce") / "site"
    install(folder, "ldt-simulator-soil", PLUGIN)
    return folder


@pytest.fixture
def shop(site: Path, tmp_path: Path) -> Workshop:
    (tmp_path / "twin").mkdir()
    (tmp_path / "twin" / "twin.yaml").write_text(TWIN)
    (tmp_path / "twin" / "rain.txt").write_text("2")
    return Workshop(site, tmp_path / "twin")


def again(shop: Workshop, *words: str, **env: str) -> tuple[int, Any]:
    done = shop.ldt("reproduce", "--json", *words, check=False, **env)
    assert done.returncode in (0, 13), done.stderr
    return done.returncode, json.loads(done.stdout)


def test_a_run_is_made_again_bit_for_bit_and_what_moved_it_is_found(shop: Workshop) -> None:
    run = json.loads(shop.ldt("run", "--json").stdout)["run"]
    (shop.twin / "twin.yaml").write_text("changed since")
    code, found = again(shop, f"runs/{run}")
    assert (code, found["same"], found["compared"]) == (0, True, 6)
    assert [found[n] for n in ("results", "kpis", "files", "environment", "not_reproducible")] == [[]] * 5
    assert len(list((shop.twin / "runs").iterdir())) == 1, "nothing is left behind"
    # A little more than nothing, within what the component declares; then far more.
    for noise, within in (("0.0001", True), ("7", False)):
        code, found = again(shop, f"runs/{run}", LDT_TEST_NOISE=noise)
        assert (code, found["same"]) == (13, False)
        assert {(r["scenario"], r["replicate"], r["port"]) for r in found["results"]} == {
            (s, n, "soil.wet") for s in ("base", "sand") for n in (0, 1)
        }
        assert {r["within"] for r in found["results"]} == {within}
        assert found["results"][0]["what"].startswith("wet differs in 3 of 3 rows, by ")
        assert {k["scenario"] for k in found["kpis"]} == {"base", "sand"}


def test_a_changed_data_file_is_named(shop: Workshop) -> None:
    run = json.loads(shop.ldt("run", "--json", "-s", "base").stdout)["run"]
    (shop.twin / "rain.txt").write_text("3")
    shutil.rmtree(shop.twin / ".ldt")  # nothing of the first results is left but their digests
    done = shop.ldt("reproduce", f"runs/{run}", "-q", check=False)
    assert done.returncode == 13
    assert "changed data file: rain: rain.txt" in done.stdout
    assert "3 of 3 recordings differ, 1 KPI values" in done.stdout
    assert "the first result is no longer stored" in done.stdout


def test_a_source_without_a_version_is_told_also_where_the_result_is_the_same(shop: Workshop) -> None:
    text = TWIN.replace("{use: rain, params: {file: rain.txt}}", "{use: sky}").replace(
        "replicates: 2", "replicates: 1"
    )
    (shop.twin / "twin.yaml").write_text(text)
    shop.ldt("run", "-s", "base")
    done = shop.ldt("reproduce", "-q")
    assert "the same bit for bit" in done.stdout
    assert "not reproducible: rain" in done.stdout


def test_what_has_no_end_or_no_digests_is_refused(shop: Workshop) -> None:
    run = json.loads(shop.ldt("run", "--json", "-s", "base").stdout)["run"]
    path = shop.twin / "runs" / run / "run.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"status": "failed"}))
    done = shop.ldt("reproduce", f"runs/{run}", check=False)
    assert (done.returncode, "nothing to compare with" in done.stderr) == (12, True)
    del record["results"]
    path.write_text(json.dumps(record))
    done = shop.ldt("reproduce", f"runs/{run}", check=False)
    assert (done.returncode, "[E7 store version]" in done.stderr) == (14, True)


FLOATS = st.lists(st.floats(allow_nan=True, allow_infinity=False, width=32), max_size=6)


@given(FLOATS, st.floats(0, 1e3), st.data())
def test_a_column_is_within_its_tolerance_or_not(
    values: list[float], tolerance: float, data: st.DataObject
) -> None:
    one = np.array(values, float)
    moves = np.array(
        data.draw(st.lists(st.floats(-1e3, 1e3), min_size=len(values), max_size=len(values))), float
    )
    other = one + moves
    said, within = compare_tables(Table({"a": one}), Table({"a": other}), {"a": tolerance})
    apart = np.nan_to_num(np.abs(other - one))
    assert within is (bool((apart <= tolerance).all()) if apart.any() else False)
    assert (f"in {np.count_nonzero(apart)} of" in said) is bool(apart.any())


def test_texts_and_shapes_have_no_tolerance() -> None:
    one = Table({"a": ["x", "y"], "b": [1.0, 2.0]})
    assert compare_tables(one, Table({"a": ["x", "z"], "b": [1.0, 2.0]}), {"a": 9.0}) == (
        "a differs in 1 of 2 rows",
        False,
    )
    assert compare_tables(one, Table({"a": ["x"], "b": [1.0]}), {"b": 9.0})[1] is False
    assert compare_tables(one, Table({"a": ["x", "y"]}), {})[1] is False


@pytest.mark.slow
def test_a_run_is_made_again_in_an_environment_made_from_its_lock(shop: Workshop, tmp_path: Path) -> None:
    """A real one by uv; the plugin comes from a folder of wheels, and is then another one than was locked."""
    import zipfile

    def make_wheel(folder: Path, code: str) -> None:
        folder.mkdir()
        with zipfile.ZipFile(folder / "ldt_simulator_soil-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr("ldt_simulator_soil/__init__.py", code)
            for name in ("component.json",):
                wheel.writestr(
                    f"ldt_simulator_soil/{name}", (shop.site / "ldt_simulator_soil" / name).read_bytes()
                )
            info = "ldt_simulator_soil-1.0.dist-info"
            for name in ("METADATA", "entry_points.txt"):
                wheel.writestr(f"{info}/{name}", (shop.site / info / name).read_bytes())
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")

    code = (shop.site / "ldt_simulator_soil" / "__init__.py").read_text()
    make_wheel(tmp_path / "same", code)
    make_wheel(tmp_path / "other", code.replace("+ noise", "+ 2 * noise"))
    shop.ldt("lock")
    shop.ldt("run", "--locked", "-s", "base")
    code_, found = again(shop, "--rebuild", "--find-links", str(tmp_path / "same"))
    assert (code_, found["same"], found["environment"]) == (0, True, [])
    code_, found = again(shop, "--rebuild", "--find-links", str(tmp_path / "other"))
    assert (code_, found["same"]) == (13, False)
    assert [e[0] for e in found["environment"]] == ["ldt-simulator-soil"]
    lost = shop.ldt("reproduce", "--rebuild", check=False)
    assert lost.returncode == 11
    assert "--find-links" in lost.stderr
