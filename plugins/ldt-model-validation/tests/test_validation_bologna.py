"""The morning peak of Bologna as SUMO simulates it, against the loops of 1 February 2024."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import xml.etree.ElementTree as ET
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyproj
import pytest
import shapely
from ldt_model_validation import Nearby, Validation

import ldt_core as ldt

_DATA = Path(os.environ.get("LDT_DATA", "/nonexistent"), "bologna")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.citydata,
    pytest.mark.skipif(not _DATA.is_dir(), reason="LDT_DATA names no folder with bologna/"),
]
TWIN = "EPSG:32632"
STATION = (11.32724, 44.49924)  # Porta San Felice
ADDITIONAL = ["joined_bus_stops", "joined_detectors", "joined_vtypes", "joined_tls"]
OUTPUTS = """<additional>
  <edgeData id="flow" file="flow.xml" begin="0" end="3600"/>
  <edgeData id="nox" type="emissions" file="nox.xml" begin="0" end="3600"/>
</additional>"""


@pytest.fixture(scope="module")
def hour(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a simulated hour, 08:00-09:00, with flow.xml and nox.xml."""
    import sumo

    folder = tmp_path_factory.mktemp("bologna")
    for item in (_DATA / "sumo/joined").iterdir():
        (folder / item.name).write_bytes(item.read_bytes())
    (folder / "out.add.xml").write_text(OUTPUTS)
    additional = ",".join(f"{name}.add.xml" for name in [*ADDITIONAL, "out"])
    binary = Path(sumo.SUMO_HOME, "bin", "sumo")
    command = [
        binary,
        "-c",
        "run.sumocfg",
        "-a",
        additional,
        "--end",
        "3600",
        "--no-step-log",
        "--no-warnings",
    ]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


def _texts(values: list[str]) -> np.ndarray[tuple[int], np.dtype[np.object_]]:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _loops(id: str) -> ldt.Table:
    text = (_DATA / "traffic_counts/loops_hourly_2024-02-01_02.csv").read_text(encoding="utf-8-sig")
    rows = [r for r in csv.DictReader(text.splitlines(), delimiter=";") if r["data"] == "2024-02-01"]
    flow = np.array([float(r["08:00-09:00"]) for r in rows])
    return ldt.Table({"station": _texts([r[id] for r in rows]), "flow": flow})


def _fit(hour: Path, observed: ldt.Table, match: ldt.Table, **params: object) -> dict[str, float]:
    flow: dict[str, float] = defaultdict(float)
    for edge in ET.parse(hour / "flow.xml").iter("edge"):  # noqa: S314 - written by the simulator just now
        flow[edge.attrib["id"]] += float(edge.get("entered", 0)) + float(edge.get("departed", 0))
    simulated = ldt.Table({"edge": _texts([*flow]), "flow": np.array([*flow.values()])})
    model = Validation(params)
    fit = model.compute({"simulated": simulated, "observed": observed, "match": match})["fit"]
    assert isinstance(fit, ldt.Table)
    return {name: fit[name][0] for name in fit.names}


def test_the_peak_hour_agrees_with_the_loops(hour: Path) -> None:
    """Known from elsewhere: 31 common stations, r = 0.94, 21 608 simulated and 25 050 counted vehicles."""
    detectors = list(ET.parse(hour / "joined_detectors.add.xml").iter("e1Detector"))  # noqa: S314
    match = ldt.Table(
        {
            "station": _texts([d.attrib["id"] for d in detectors]),
            "edge": _texts([re.sub(r"_\d+$", "", d.attrib["lane"]) for d in detectors]),
        }
    )
    rules = [{"pattern": r"__l\d+$"}, {"pattern": "_", "by": " "}]
    fit = _fit(hour, _loops("codice_spira"), match, match_rewrite=rules)
    assert fit["pairs"] == 31
    assert fit["observed_total"] == 25_050
    assert fit["correlation"] == pytest.approx(0.94, abs=0.02)
    assert fit["simulated_total"] == pytest.approx(21_608, rel=0.03)
    assert fit["bias"] < 0


def test_the_nearest_street_is_not_always_the_street_of_the_loop(hour: Path) -> None:
    """Paired by position alone, as loop_to_sumo_edge.csv does, agreement is far lower."""
    text = (_DATA / "traffic_counts/loop_to_sumo_edge.csv").read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(text.splitlines(), delimiter=";"))
    match = ldt.Table(
        {"station": _texts([r["geopoint"] for r in rows]), "edge": _texts([r["edge_id"] for r in rows])}
    )
    fit = _fit(hour, _loops("geopoint"), match)
    assert fit["pairs"] > 31
    assert fit["correlation"] < 0.7


def test_nox_near_the_air_station_comes_from_a_few_streets(hour: Path) -> None:
    net = ET.parse(hour / "joined_buslanes.net.xml")  # noqa: S314
    location = net.find("location")
    assert location is not None
    dx, dy = map(float, location.attrib["netOffset"].split(","))
    names, shapes = [], []
    for edge in net.iter("edge"):
        lane = edge.find("lane")
        assert lane is not None
        points = [tuple(map(float, p.split(",")))[:2] for p in lane.attrib["shape"].split()]
        names.append(edge.attrib["id"])
        shapes.append(shapely.LineString([(x - dx, y - dy) for x, y in points]))
    nox = {e.attrib["id"]: float(e.get("NOx_abs", 0)) / 1000 for e in ET.parse(hour / "nox.xml").iter("edge")}  # noqa: S314
    model = Nearby({"x": STATION[0], "y": STATION[1], "radius": 75.0}, ldt.Context(crs=TWIN))
    places = ldt.Table({"edge": _texts(names), "geometry": _texts(shapes)})  # type: ignore[arg-type]
    values = ldt.Table({"edge": _texts([*nox]), "nox": np.array([*nox.values()])})
    table = model.compute({"places": places, "values": values})["nearby"]
    assert isinstance(table, ldt.Table)
    # The same by walking along every street in steps of about 10 cm.
    centre = pyproj.Transformer.from_crs("EPSG:4326", TWIN, always_xy=True).transform(*STATION)
    expected, count = 0.0, 0
    for name, shape in zip(names, shapes, strict=True):
        if shape.distance(shapely.Point(centre)) < 80:
            steps = (np.arange(int(shape.length * 10) + 1) + 0.5) / (int(shape.length * 10) + 1)
            walk = shapely.line_interpolate_point(shape, steps, normalized=True)
            share = (shapely.distance(walk, shapely.Point(centre)) < 75).mean()
            expected, count = expected + share * nox.get(name, 0.0), count + (share > 0)
    assert table["nox"][0] == pytest.approx(expected, rel=0.01)
    assert table["count"][0] == pytest.approx(count, abs=1)
    assert expected > 0
