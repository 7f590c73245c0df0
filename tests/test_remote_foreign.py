"""Strangers: a real pygeoapi whose processes and collections join a twin; OWSLib and GDAL that read what we serve."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import shapely
import yaml

import ldt_core as ldt
from ldt_core.errors import InputError, LdtError, RemoteError
from ldt_core.remote.served import Served
from ldt_core.remote.server import make_app
from tests.afar import ask, listening, proxy, served
from tests.workshop import Workshop, install

HERE = Path(__file__).parent
POINTS = {
    "type": "FeatureCollection",
    "features": [
        {
            "type": "Feature",
            "id": n,
            "geometry": {"type": "Point", "coordinates": [9.0 + n / 100, 51.0]},
            "properties": {"id": n, "name": f"p{n}", "height": None if n == 3 else n / 2, "mixed": [n]},
        }
        for n in range(25)
    ],
}


def settings(folder: Path, address: str) -> dict[str, Any]:
    nobody = {"name": "none", "url": "http://127.0.0.1"}
    about = {"title": "t", "description": "d", "keywords": ["k"], "keywords_type": "theme"}
    processes = {
        "hello-world": "HelloWorld",
        "tally": "foreign_process.Tally",
        "later": "foreign_process.Later",
        "shapely": "ShapelyFunctions",
    }
    box = {"bbox": [-180, -90, 180, 90], "crs": "http://www.opengis.net/def/crs/OGC/1.3/CRS84"}
    points = {"type": "feature", "name": "GeoJSON", "data": str(folder / "points.geojson"), "id_field": "id"}
    return {
        "server": {
            "bind": {"host": "127.0.0.1", "port": 0},
            "url": address,
            "mimetype": "application/json; charset=UTF-8",
            "encoding": "utf-8",
            "languages": ["en-US"],
            "limits": {"default_items": 10, "max_items": 10},
            "map": {"url": "http://127.0.0.1/{z}/{x}/{y}.png", "attribution": "none"},
            "manager": {"name": "TinyDB", "connection": str(folder / "jobs.db"), "output_dir": str(folder)},
        },
        "logging": {"level": "ERROR"},
        "metadata": {
            "identification": {**about, "terms_of_service": "none", "url": "http://127.0.0.1"},
            "license": nobody,
            "provider": nobody,
            "contact": {"name": "c", "email": "you@example.org"},
        },
        "resources": {
            "points": {
                "type": "collection",
                "title": "Points",
                "description": "Some points",
                "keywords": ["p"],
                "links": [],
                "extents": {"spatial": box},
                "providers": [points],
            },
            **{n: {"type": "process", "processor": {"name": p}} for n, p in processes.items()},
        },
    }


@pytest.fixture(scope="module")
def pygeoapi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a pygeoapi server in a process of its own."""
    folder = tmp_path_factory.mktemp("pygeoapi")
    listener = socket.create_server(("127.0.0.1", 0))
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    (folder / "points.geojson").write_text(json.dumps(POINTS))
    (folder / "config.yml").write_text(yaml.safe_dump(settings(folder, address)))
    env = {
        **os.environ,
        "PYTHONPATH": str(HERE),
        "PYGEOAPI_CONFIG": str(folder / "config.yml"),
        "PYGEOAPI_OPENAPI": str(folder / "openapi.json"),
    }
    bin = Path(sys.executable).parent
    make = ["openapi", "generate", "config.yml", "--format", "json", "--output-file", "openapi.json"]
    subprocess.run([bin / "pygeoapi", *make], cwd=folder, env=env, check=True, capture_output=True)
    words = [
        "-m",
        "uvicorn",
        "pygeoapi.starlette_app:APP",
        "--fd",
        str(listener.fileno()),
        "--log-level",
        "error",
    ]
    process = subprocess.Popen([sys.executable, *words], cwd=folder, env=env, pass_fds=[listener.fileno()])
    try:
        listener.close()
        end = time.monotonic() + 60
        status = 0
        while status != 200:
            assert process.poll() is None
            assert time.monotonic() < end
            with suppress(OSError):
                status = ask("GET", f"{address}/conformance?f=json").status
            time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LDT_CACHE", str(tmp_path / "cache"))


# -- their servers -----------------------------------------------------------------------------------


def test_a_process_that_greets_is_a_model(pygeoapi: str) -> None:
    kind: Any = proxy(f"{pygeoapi}/processes/hello-world")
    assert (kind.kind, kind.title) == ("model", "Hello World")
    assert set(kind.inputs) == {"name", "message"}
    with made(kind, {"name": "Grüße", "message": "aus Köln"}) as greeting:
        (row,) = greeting.compute({})["echo"]["echo"]
        assert json.loads(row) == "Hello Grüße! aus Köln"
        name = ldt.Table({"name": ["linked"]})
        (row,) = greeting.compute({"name": name})["echo"]["echo"]
        assert json.loads(row) == "Hello linked! aus Köln"


@pytest.mark.parametrize("name", ["tally", "later"])
def test_numbers_go_to_a_process_and_come_back(pygeoapi: str, name: str) -> None:
    """By waiting for the answer, and by asking after the job."""
    kind: Any = proxy(f"{pygeoapi}/processes/{name}")
    with made(kind, {"scale": 0.5}) as model:
        found = model.compute({"values": ldt.Table({"values": [1.0, 2.5, 0.25]})})
    assert found["sum"]["sum"].tolist() == [1.875]
    assert found["count"]["count"].tolist() == [3]
    assert found["count"]["count"].dtype == np.int64


@contextmanager
def made(kind: Any, params: dict[str, Any]) -> Iterator[Any]:
    component = kind(params)
    try:
        yield component
    finally:
        component.finalize()


def test_what_a_process_needs_and_is_not_given_is_told(pygeoapi: str) -> None:
    tally, hello = (proxy(f"{pygeoapi}/processes/{n}") for n in ("tally", "hello-world"))
    with made(tally, {}) as model, pytest.raises(InputError, match="'values' is missing"):
        model.compute({})
    with made(hello, {"name": "x"}) as model:
        two = ldt.Table({"name": ["a", "b"]})
        with pytest.raises(InputError, match="one row, 2 came"):
            model.compute({"name": two})


def test_parameters_of_a_process_are_proved_by_its_schema(pygeoapi: str) -> None:
    kind = proxy(f"{pygeoapi}/processes/tally")
    with pytest.raises(ValueError, match="scale"):
        kind({"scale": -1})
    with pytest.raises(ValueError, match="colour"):
        kind({"colour": "red"})


def test_a_process_that_no_table_can_hold_is_refused_by_name(pygeoapi: str) -> None:
    with pytest.raises(RemoteError, match="which is no number, text") as told:
        proxy(f"{pygeoapi}/processes/shapely")
    assert told.value.code == "refused"
    with pytest.raises(LdtError, match="404"):
        proxy(f"{pygeoapi}/processes/none")


def test_a_collection_is_a_source_whatever_the_size_of_its_pages(pygeoapi: str) -> None:
    kind: Any = proxy(f"{pygeoapi}/collections/points")
    source = kind({}, ldt.Context(crs="EPSG:25832"))
    try:
        table = source.read(ldt.Query())["features"]
        assert table["name"].tolist() == [f"p{n}" for n in range(25)]
        assert table.mask("height").tolist() == [n == 3 for n in range(25)]
        assert "mixed" not in table
        assert shapely.get_x(table["geometry"])[4] == 9.04
        # a box in the twin's CRS: 9.00 to 9.10 degrees are x 500,000 to about 507,000
        near = source.read(ldt.Query(bbox=(499_000.0, 5_600_000.0, 503_000.0, 5_700_000.0)))["features"]
        assert near["name"].tolist() == ["p0", "p1", "p2", "p3", "p4"]
        assert source.version(ldt.Query()) is None
    finally:
        source.finalize()


TWIN = """\
ldt: 1
twin: {{id: far, title: Far, crs: "EPSG:25832"}}
time: {{start: 2026-03-02T05:00Z, end: 2026-03-02T06:00Z}}
components:
  numbers: {{use: numbers}}
  tally: {{use: "{address}/processes/tally", params: {{scale: 2}}}}
connect:
  - {{from: numbers.values, to: tally.values}}
kpis:
  total: {{of: tally.sum.sum, reduce: {{space: sum, time: last}}, unit: "1"}}
"""
NUMBERS = """\
import ldt_core as ldt
class Numbers(ldt.DataSource):
    id = "numbers"
    outputs = {"values": ldt.Port({"values": ldt.number("1", "x:values")}, at="start")}
    def version(self, query): return "1"
    def read(self, query): return {"values": ldt.Table({"values": [1.0, 2.0, 4.5]})}
@ldt.hookimpl
def ldt_data_sources(): return [Numbers]
"""


def test_a_process_of_a_stranger_runs_in_a_twin_and_is_never_taken_from_the_store(
    pygeoapi: str, tmp_path: Path
) -> None:
    install(tmp_path / "site", "ldt-numbers", NUMBERS)
    shop = Workshop(tmp_path / "site", tmp_path / "twin")
    shop.twin.mkdir()
    (shop.twin / "twin.yaml").write_text(TWIN.format(address=pygeoapi))
    for _ in range(2):
        done = shop.ldt("run", "--workers", "1", "--json")
        record = json.loads(done.stdout)
        assert record["kpis"]["total"]["values"]["base"] == [15.0]
        assert record["not_reproducible"] == ["tally"]
        assert {t["stage"]: t["state"] for t in record["tasks"]}["tally"] == "done"


# -- their clients -----------------------------------------------------------------------------------


class Sensors(ldt.DataSource):
    """Thirty sensors on a diagonal."""

    id = "sensors"
    outputs: ClassVar[Any] = {
        "sensors": ldt.Port(
            {"name": ldt.text(), "level": ldt.number("dB", "x:level"), "place": ldt.geometry("Point")},
            at="start",
            entity="sensor",
            id="name",
        )
    }

    def read(self, query: ldt.Query) -> ldt.Tables:
        steps = np.arange(30) * 100.0
        names = [f"Straße {n}" for n in range(30)]
        places = shapely.points(500_000.0 + steps, 5_700_000.0 + steps)
        return {"sensors": ldt.Table({"name": names, "level": steps / 10, "place": places})}


class Halve(ldt.Model):
    """Half of it."""

    id = "halve"
    inputs: ClassVar[Any] = {"x": ldt.Port({"x": ldt.number("1", "x:x")})}
    outputs: ClassVar[Any] = {"y": ldt.Port({"y": ldt.number("1", "x:y")})}

    def compute(self, inputs: ldt.Tables) -> ldt.Tables:
        return {"y": ldt.Table({"y": inputs["x"]["x"] / 2})}


@pytest.fixture(scope="module")
def ours() -> Iterator[str]:
    with listening(make_app([Served(Sensors, crs="EPSG:25832"), Served(Halve)])) as address:
        yield address


def test_gdal_reads_a_source(ours: str) -> None:
    """In a process of its own: its HTTP client is GDAL's, from the wheel of pyogrio."""
    code = f"""
import json, pyogrio
name = "OAPIF:{ours}"
meta, _, shapes, columns = pyogrio.raw.read(name, layer="sensors", columns=["name", "level"])
fields = dict(zip(meta["fields"], columns))
_, _, few, _ = pyogrio.raw.read(name, layer="sensors", bbox=(8.999, 51.4, 9.005, 51.6))
print(json.dumps([[l[0] for l in pyogrio.list_layers(name)], len(shapes), list(fields["name"]),
    list(fields["level"]), meta["crs"], meta["geometry_type"], len(few)]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    layers, count, names, levels, crs, kind, few = json.loads(done.stdout)
    assert layers == ["sensors"]
    assert count == 30
    assert names == [f"Straße {n}" for n in range(30)]
    assert levels == [n * 10.0 for n in range(30)]
    assert crs in ("OGC:CRS84", "EPSG:4326")
    assert kind == "Point"
    assert 0 < few < 30


def test_owslib_reads_a_source(ours: str) -> None:
    from owslib.ogcapi.features import Features

    client = Features(f"{ours}/")
    assert client.feature_collections() == ["sensors"]
    page = client.collection_items("sensors", limit=7, offset=3)
    assert [f["properties"]["level"] for f in page["features"]] == [n * 10.0 for n in range(3, 10)]
    assert page["numberMatched"] == 30
    assert client.collection_item("sensors", "4")["properties"]["name"] == "Straße 4"
    assert client.api()["openapi"].startswith("3.0")


def test_owslib_runs_a_model(ours: str) -> None:
    from owslib.ogcapi.processes import Processes

    client = Processes(f"{ours}/")
    assert {p["id"] for p in client.processes()} == {"halve", "echo"}
    assert "x" in client.process("halve")["inputs"]
    x = {"x": {"columns": {"x": [3.0]}}}
    assert client.execute("halve", inputs=x, response="document") == {"y": {"columns": {"y": [1.5]}}}


def test_pygeoapis_greeting_is_read_by_owslib_as_ours_is(pygeoapi: str) -> None:
    """The same client, the same calls: what it takes from one server it takes from the other."""
    from owslib.ogcapi.processes import Processes

    with served(Halve) as address:
        answers = [Processes(f"{a}/").conformance()["conformsTo"] for a in (pygeoapi, address)]
    core = "http://www.opengis.net/spec/ogcapi-processes-1/1.0/conf/core"
    assert all(core in a for a in answers)
