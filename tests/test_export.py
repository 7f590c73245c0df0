"""A run as files for others: complete, whole, with licences and labels, and with no place of this machine."""

from __future__ import annotations

import csv
import hashlib
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from workshop import Workshop, install

PLUGIN = '''
import numpy as np
import ldt_core as ldt

PORT = ldt.Port(
    {"time": ldt.instant(), "rain": ldt.number("mm", "x:rain", cell="sum")}, step="1h",
    licence="CC-BY-4.0", attribution="Weather service of nowhere", synthetic="Made up for a test.",
)

class Rain(ldt.DataSource):
    """One row per hour."""
    id = "rain"
    outputs = {"rain": PORT}
    class Params(ldt.Params):
        file: ldt.File
    def read(self, query):
        times = np.arange(query.start, query.end, np.timedelta64(1, "h"))
        return {"rain": ldt.Table({"time": times, "rain": np.full(len(times), float(self.params.file.path.read_text()))})}

class Soil(ldt.Simulator):
    """Draws by chance."""
    id = "soil"
    stochastic = True
    inputs = {"rain": ldt.Port({"time": ldt.instant(), "rain": ldt.number("mm", "x:rain", cell="sum")})}
    outputs = {"wet": ldt.Port({"time": ldt.instant(), "wet": ldt.number("mm", "x:wet", cell="sum")})}
    def step(self, inputs, until):
        start = self.context.instant(self.context.window.start)
        return {"wet": ldt.Table({"time": [start], "wet": [inputs["rain"]["rain"].sum() + self.context.rng.random()]})}

@ldt.hookimpl
def ldt_data_sources():
    return [Rain]
@ldt.hookimpl
def ldt_simulators():
    return [Soil]
'''

TWIN = """
ldt: 1
twin: {id: wet, title: Wet town, crs: "EPSG:25832"}
purpose: {goal: Dry cellars, owner: Water board}
time: {start: 2026-01-01T00:00Z, end: 2026-01-01T03:00Z}
run: {replicates: 2}
components:
  rain: {use: rain, params: {file: data/rain.txt}}
  soil: {use: soil, step: 1h}
connect:
  - {from: rain.rain, to: soil.rain}
record: {rain.rain: {}}
kpis:
  wet: {of: soil.wet.wet, reduce: {time: sum, space: sum}, unit: mm, better: lower, target: 20}
scenarios:
  base: {}
  same: {}
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """A twin with a lock and one finished run."""
    place = tmp_path_factory.mktemp("export")
    install(place / "site", "ldt-simulator-soil", PLUGIN)
    (place / "twin" / "data").mkdir(parents=True)
    (place / "twin" / "twin.yaml").write_text(TWIN)
    (place / "twin" / "data" / "rain.txt").write_text("2")
    (place / "twin" / "page.html").write_text("<title>Wet town</title>")
    made = Workshop(place / "site", place / "twin")
    made.ldt("lock", UV_OFFLINE="1")
    made.ldt("run")
    return made


def all_text(folder: Path) -> str:
    return "".join(p.read_bytes().decode("latin-1") for p in sorted(folder.rglob("*")) if p.is_file())


def assert_no_place(text: str, shop: Workshop) -> None:
    for word in (str(shop.twin), str(shop.site), str(Path(sys.prefix)), str(Path.home()), "file:/"):
        assert word not in text, word


def test_a_run_is_written_in_open_formats(shop: Workshop, tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = shop.ldt("export", "--to", str(out)).stdout
    assert "3 recordings" in said
    assert "synthetic: Made up for a test." in said
    with (out / "kpis.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    record = json.loads((out / "run.json").read_text())
    assert [(r["scenario"], r["replicate"], float(r["value"])) for r in rows] == [
        (s, str(n + 1), v)
        for s, values in record["kpis"]["wet"]["values"].items()
        for n, v in enumerate(values)
    ]
    assert {r["synthetic"] for r in rows} == {"Made up for a test."}
    with (out / "results.csv").open(newline="") as stream:
        index = list(csv.DictReader(stream))
    assert len(index) == 6
    assert {r["file"] for r in index if r["scenario"] == "same"} == {
        r["file"] for r in index if r["scenario"] == "base"
    }
    for row in index:
        table = pq.ParquetFile(out / row["file"]).read()
        assert table.num_rows == 3
        assert table.column_names == ["time", row["port"].split(".")[1]]
    assert (out / "twin.yaml").read_text() == TWIN
    assert_no_place(all_text(out), shop)
    again = shop.ldt("export", "--to", str(out), check=False)
    assert again.returncode == 10
    assert "is there already" in again.stderr


@pytest.mark.parametrize("name", ["crate", "crate.zip"])
def test_a_crate_is_read_back_by_the_library_and_holds_what_it_lists(
    name: str, shop: Workshop, tmp_path: Path
) -> None:
    from rocrate.rocrate import ROCrate

    out = tmp_path / name
    shop.ldt("export", "--to", "crate", "--out", str(out), "--page", "page.html")
    folder = out
    if name.endswith("zip"):
        folder = tmp_path / "unpacked"
        with zipfile.ZipFile(out) as packed:
            packed.extractall(folder)
    crate = ROCrate(folder)
    assert crate.root_dataset["conformsTo"][0].id == "https://w3id.org/ro/wfrun/process/0.5"
    assert crate.root_dataset["license"] == "Weather service of nowhere, CC-BY-4.0"
    files = {e.id: e for e in crate.data_entities}
    on_disk = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert set(files) | {"ro-crate-metadata.json"} == on_disk
    assert {"twin.yaml", "twin.lock", "run.json", "kpis.csv", "page.html", "prov.jsonld"} < on_disk
    for id, file in files.items():
        if id != "prov.jsonld":
            assert hashlib.sha256((folder / id).read_bytes()).hexdigest() == file["sha256"]
            assert int(file["contentSize"]) == (folder / id).stat().st_size
    recordings = [f for i, f in files.items() if i.startswith("results/")]
    assert len(recordings) == 3
    for file in recordings:
        assert file["license"] == "Weather service of nowhere, CC-BY-4.0"
        assert file["description"] == "Synthetic: Made up for a test."
    actions = [e for e in crate.contextual_entities if e.type == "CreateAction"]
    assert len(actions) == 3
    rain, *soils = sorted(actions, key=lambda a: a["instrument"][0].id)
    assert rain["instrument"][0]["softwareVersion"] == "1.0"
    assert rain["object"][0]["name"] == "rain: data/rain.txt"
    assert [o.id for s in soils for o in s["object"]] == [r.id for r in rain["result"]] * 2
    assert all(a["agent"]["name"] == "Water board" and a["startTime"] and a["endTime"] for a in actions)
    assert_no_place(all_text(folder), shop)


def test_provenance_leads_from_every_result_to_the_data(shop: Workshop, tmp_path: Path) -> None:
    out = tmp_path / "crate"
    shop.ldt("export", "--to", "crate", "--out", str(out))
    graph = json.loads((out / "prov.jsonld").read_text())["@graph"]
    by_id: dict[str, Any] = {node["@id"]: node for node in graph}
    assert len(by_id) == len(graph)
    for node in graph:
        for name in ("prov:used", "prov:wasAssociatedWith"):
            assert all(item["@id"] in by_id for item in node.get(name, ()))

    def origins(id: str) -> set[str]:
        maker = by_id[id].get("prov:wasGeneratedBy")
        if maker is None:
            return {by_id[id]["rdfs:label"].partition(",")[0]}
        return set().union(*(origins(u["@id"]) for u in by_id[maker["@id"]]["prov:used"]))

    results = [i for i in by_id if i.startswith("results/")]
    assert results
    assert all(origins(i) == {"rain: data/rain.txt"} for i in results)


def test_without_the_library_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ldt_core.crate import write_crate
    from ldt_core.errors import PluginError

    monkeypatch.setitem(sys.modules, "rocrate.rocrate", None)
    with pytest.raises(PluginError) as caught:
        write_crate(None, tmp_path / "crate")  # type: ignore[arg-type]
    assert caught.value.code == "not installed"
    assert "ldt-core[crate]" in caught.value.fix
