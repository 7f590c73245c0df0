"""The twin file: what it may hold, and that every error names its place."""

from __future__ import annotations

import json
import os
import pickle
import re
import string
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ldt_core import twin_yaml
from ldt_core.errors import ErrorList, LdtError, TwinFileError
from ldt_core.interfaces import SECOND
from ldt_core.twin import Condition, Ref, Twin, load_twin, twin_json_schema
from ldt_core.twin_yaml import read_source

FULL = """\
ldt: 1
twin: {id: old-town, title: Old town, crs: "EPSG:25832", bbox: [600000, 5700000, 606000, 5706000]}
purpose: {goal: "Cleaner air around schools without moving the jam next door", owner: Mobility department}
time: {start: 2026-03-02T05:00Z, end: 2026-03-02T10:00Z}
run: {seed: 42, replicates: 8}
components:
  loops:     {use: csv, params: {file: data/loops.csv}, columns: {count: {quantity: traffic_volume, unit: "{veh}/h", cell: sum}, when: {zone: Europe/Rome}}}
  people:    {use: census-grid, params: {file: data/residents.parquet}}
  weather:   {use: weather-archive, params: {station: "0076"}}
  traffic:   {use: sumo, step: 60s, isolate: auto, params: {network: data/net.xml.gz, scale: 1.0}}
  emissions: {use: fleet-emissions, params: {electric_share: 0.08}}
  air:       {use: street-dispersion, step: 15min, params: {cell_size: 10 m}}
  routing:   {use: clean-routes, step: 1h}
connect:
  - {from: loops.rows, to: traffic.demand, map: data/sensor_edge.parquet}   # joined by a table
  - {from: traffic.flow, to: emissions.flow}
  - {from: emissions.nox, to: air.sources}
  - {from: weather.wind, to: air.wind}
  - {from: air.no2, to: routing.exposure, over_space: bilinear}
  - {from: routing.weights, to: traffic.weights, when: lag, init: 1.0}
record:
  traffic.vehicles: {every: 10s}
kpis:
  no2_exposure: {of: air.no2.no2, at: people.cells, over_space: nearest, weight: people.cells.residents, reduce: {space: mean, time: mean}, unit: ug/m3, better: lower, target: 20}
  delay:        {of: traffic.trips.time_loss, reduce: {space: sum, time: sum}, unit: h, better: lower}
views:
  board: {use: map, show: [air.no2, traffic.flow], runs: [base, school-street, both]}
scenarios:
  base: {}
  school-street: {set: {traffic.params.close: data/school-street.geojson}}
  electric: {set: {emissions.params.electric_share: 0.45}}
  both: {extends: [school-street, electric]}
"""

HEAD = """\
ldt: 1
twin: {id: t, crs: "EPSG:25832"}
time: {start: 2026-03-02T05:00Z, end: 2026-03-02T10:00Z}
components:
  a: {use: x, step: 1min, params: {scale: 1.0, deep: {one: 1, two: [1, 2]}, name: n}}
  b: {use: y}
"""


def load(folder: Path, text: str | bytes, **env: str) -> Twin:
    file = folder / "twin.yaml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_twin(folder, env)


def errors_of(folder: Path, text: str | bytes, **env: str) -> list[LdtError]:
    with pytest.raises(LdtError) as caught:
        load(folder, text, **env)
    found = caught.value.errors if isinstance(caught.value, ErrorList) else [caught.value]
    assert all(isinstance(e, TwinFileError) and e.fix for e in found), found
    return found


def the_error(folder: Path, text: str | bytes, **env: str) -> LdtError:
    found = errors_of(folder, text, **env)
    assert len(found) == 1, "\n".join(map(str, found))
    return found[0]


# --- what is read -----------------------------------------------------------------------------


def test_the_whole_example_is_read(tmp_path: Path) -> None:
    twin = load(tmp_path, FULL)
    assert (twin.id, twin.title, twin.crs) == ("old-town", "Old town", "EPSG:25832")
    assert twin.bbox == (600000, 5700000, 606000, 5706000)
    assert twin.purpose.owner == "Mobility department"
    assert twin.period.start == np.datetime64("2026-03-02T05:00", "us")
    assert twin.period.start.dtype == np.dtype("datetime64[us]")
    assert twin.duration == 5 * 3600 * SECOND
    assert (twin.run.seed, twin.run.replicates) == (42, 8)
    assert list(twin.components) == ["loops", "people", "weather", "traffic", "emissions", "air", "routing"]
    assert twin.components["traffic"].step == 60 * SECOND
    assert twin.components["weather"].params == {"station": "0076"}
    assert twin.components["air"].params == {"cell_size": "10 m"}
    assert twin.components["loops"].columns["count"].unit == "{veh}/h"
    assert twin.components["loops"].columns["when"].zone == "Europe/Rome"
    assert twin.links[0].source == Ref("loops", "rows")
    assert twin.links[0].map == "data/sensor_edge.parquet"
    assert (twin.links[5].when, twin.links[5].init) == ("lag", 1.0)
    assert twin.record[Ref("traffic", "vehicles")].every == 10 * SECOND
    no2 = twin.kpis["no2_exposure"]
    assert no2.of == Ref("air", "no2", "no2")
    assert list(no2.reduce.items()) == [("space", "mean"), ("time", "mean")]
    assert (no2.better, no2.target, no2.unit) == ("lower", 20, "ug/m3")
    assert twin.views["board"].show == (Ref("air", "no2"), Ref("traffic", "flow"))
    assert twin.baseline == "base"
    assert twin.folder == tmp_path
    assert str(no2.of) == "air.no2.no2"


def test_places_lead_back_to_the_file(tmp_path: Path) -> None:
    twin = load(tmp_path, FULL)
    assert twin.place("connect", 3) == "twin.yaml:18:5"
    assert twin.place("connect", 4, "to") == "twin.yaml:19:25"
    assert twin.place("components") == "twin.yaml:6:1"
    assert twin.place("components", "loops") == "twin.yaml:7:14"
    assert twin.place("components", "loops", key=True) == "twin.yaml:7:3"
    assert twin.place("components", "loops", "step") == "twin.yaml:7:14", "the nearest above it"
    assert twin.place() == "twin.yaml:1:1"


def test_a_file_may_be_named_itself_and_a_twin_survives_pickling(tmp_path: Path) -> None:
    load(tmp_path, FULL)
    twin = load_twin(str(tmp_path / "twin.yaml"))
    copy = pickle.loads(pickle.dumps(twin.for_scenario("both")))  # noqa: S301 - our own bytes
    assert copy.components == twin.for_scenario("both").components
    assert copy.place("connect", 0) == "twin.yaml:15:5"
    assert copy.for_scenario("electric").components["traffic"].params == twin.components["traffic"].params


def test_little_is_needed(tmp_path: Path) -> None:
    twin = load(tmp_path, HEAD + "connect:\nkpis:  # nothing yet\nviews:\nscenarios:\n")
    assert (twin.title, twin.bbox, twin.links, twin.run.replicates) == ("t", None, (), 1)
    assert list(twin.scenarios) == ["base"]
    assert twin.for_scenario("base").components == twin.components
    assert twin.period.zone == "UTC"


@pytest.mark.parametrize(
    ("written", "start"),
    [
        ("2026-03-02T05:00Z", "2026-03-02T05:00"),
        ("2026-03-02t05:00z", "2026-03-02T05:00"),
        ("2026-03-02 05:00:01.25Z", "2026-03-02T05:00:01.25"),
        ('"2026-03-02T05:00+01:30"', "2026-03-02T03:30"),
        ("2026-03-01T23:00-05:00", "2026-03-02T04:00"),
        ("2024-02-29T00:00Z", "2024-02-29T00:00"),
    ],
)
def test_instants_are_held_in_utc(tmp_path: Path, written: str, start: str) -> None:
    twin = load(tmp_path, HEAD.replace("2026-03-02T05:00Z", written))
    assert twin.period.start == np.datetime64(start, "us")


@pytest.mark.parametrize(
    ("where", "conditions"),
    [
        ("speed > 8", [("speed", ">", 8)]),
        ("cars == true and speed<=8.5", [("cars", "==", True), ("speed", "<=", 8.5)]),
        ("kind != 'and so on' and x>=-1e3", [("kind", "!=", "and so on"), ("x", ">=", -1000.0)]),
        (
            '"Höhe über NN" < 3 and use == residential',
            [("Höhe über NN", "<", 3), ("use", "==", "residential")],
        ),
        ("'08' == '08'", [("08", "==", "08")]),
    ],
)
def test_conditions(tmp_path: Path, where: str, conditions: list[tuple[str, str, Any]]) -> None:
    quoted = where.replace("'", "''")
    twin = load(
        tmp_path, HEAD + f"kpis:\n  k: {{of: a.out.v, where: '{quoted}', reduce: {{space: share}}}}\n"
    )
    assert twin.kpis["k"].where == tuple(Condition(*c) for c in conditions)
    for found, wanted in zip(twin.kpis["k"].where, conditions, strict=True):
        assert type(found.value) is type(wanted[2])


def test_a_column_may_have_any_name(tmp_path: Path) -> None:
    twin = load(tmp_path, HEAD + "views:\n  v: {use: map, show: ['a.out.NO2 (µg/m³) v1.5']}\n")
    assert twin.views["v"].show == (Ref("a", "out", "NO2 (µg/m³) v1.5"),)


# --- YAML -------------------------------------------------------------------------------------


def tree(text: str | bytes, **env: str) -> Any:
    source, errors = read_source(text.encode() if isinstance(text, str) else text, "twin.yaml", env)
    assert not errors, errors
    return source.tree


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("yes", "yes"),
        ("off", "off"),
        ("n", "n"),
        ("08:30", "08:30"),
        ("190:20:30", "190:20:30"),
        ("2026-03-02", "2026-03-02"),
        ("1_000", "1_000"),
        ("0b1", "0b1"),
        ("1.2.3", "1.2.3"),
        ("0076", 76),
        ('"0076"', "0076"),
        ("0o17", 15),
        ("0x1F", 31),
        ("-12", -12),
        ("+.5e1", 5.0),
        ("1e3", 1000.0),
        ("True", True),
        ("FALSE", False),
        ("~", None),
        ("null", None),
        ("", None),
        ("''", ""),
        ("10 m", "10 m"),
        ("|\n  two\n  lines\n", "two\nlines\n"),
    ],
)
def test_scalars_follow_the_core_schema(written: str, value: Any) -> None:
    found = tree(f"k: {written}\n")["k"]
    assert found == value
    assert type(found) is type(value)


def test_keys_are_text_as_written() -> None:
    assert tree("on: 1\n08: 2\nnull: 3\n2026-03-02: 4\n") == {"on": 1, "08": 2, "null": 3, "2026-03-02": 4}


def test_byte_order_mark_line_ends_and_unicode_keep_places(tmp_path: Path) -> None:
    text = FULL.replace("Old town", "Åltstadt 😀 旧市街")
    for data in (b"\xef\xbb\xbf" + text.encode(), text.replace("\n", "\r\n").encode()):
        twin = load(tmp_path, data)
        assert twin.title == "Åltstadt 😀 旧市街"
        assert twin.place("connect", 4, "to") == "twin.yaml:19:25"
        assert twin.place("twin", "crs") == "twin.yaml:2:50"


def test_aliases_are_shared_values(tmp_path: Path) -> None:
    twin = load(tmp_path, HEAD + "  c: &c {use: z, params: {n: 1}}\n  d: *c\n")
    assert twin.components["d"] == twin.components["c"]
    assert twin.place("components", "d") == "twin.yaml:8:6"
    assert twin.place("components", "d", "params", "n") == "twin.yaml:7:30"


def test_the_environment_fills_strings(tmp_path: Path) -> None:
    block = HEAD + "  c:\n    use: z\n    params:\n"
    values = "      {}: {}\n"
    for written, expected in [
        ("${D}/a.csv", "/data/a.csv"),
        ('"${N}"', "42"),
        ("${N}", 42),
        ("${N:-7}", 42),
        ("${X:-7}", 7),
        ("${X:-}", ""),
        ("${EMPTY}", ""),
        ("${EMPTY:-e}", "e"),
        ("$${N}", "${N}"),
        ("$N", "$N"),
        ("${EVIL}", "a: [b"),
    ]:
        twin = load(tmp_path, block + values.format("v", written), D="/data", N="42", EMPTY="", EVIL="a: [b")
        assert twin.components["c"].params == {"v": expected}, written


def test_the_default_environment_is_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "twin.yaml").write_text(HEAD.replace("name: n", 'name: "${LDT_TEST_NAME}"'), encoding="utf-8")
    monkeypatch.setenv("LDT_TEST_NAME", "from outside")
    assert load_twin(tmp_path).components["a"].params["name"] == "from outside"
    assert load_twin.__defaults__ == (os.environ,)


# --- errors: code, place, remedy --------------------------------------------------------------

KPI = "kpis:\n  k: {of: a.out.v, %s}\n"
LINK = "connect:\n  - {from: a.out, to: b.in, %s}\n"

BROKEN = [
    # YAML
    ("a: [1\n", "syntax", "twin.yaml:2:1", ""),
    ("a:\n\tb: 1\n", "syntax", "twin.yaml:2:1", "spaces"),
    ("a: b: c\n", "syntax", "twin.yaml:1:5", ""),
    ("a: {f: ${X}}\n", "syntax", "twin.yaml:1:9", 'put quotes around it: "${NAME}"'),
    ("a: @x\n", "syntax", "twin.yaml:1:4", "quotes"),
    ("a: 1\n---\nb: 1\n", "syntax", "twin.yaml:2:1", "one twin per file"),
    ("a: 1\n? [x]\n: 1\n", "syntax", "twin.yaml:2:3", "quotes"),
    ("a: *nobody\n", "syntax", "twin.yaml:1:4", "quotes"),
    ("a: &a [*a]\n", "syntax", "twin.yaml:1:8", "alias"),
    ("a: x\x07\n", "syntax", "twin.yaml:1:5", "remove"),
    ("é: " + "[" * 60 + "]" * 60, "syntax", "twin.yaml:1:53", "levels"),
    # keys
    (HEAD + "porpose: {goal: x}\n", "unknown key", "twin.yaml:7:1", "did you mean 'purpose'?"),
    (HEAD + "run: {sede: 1}\n", "unknown key", "twin.yaml:7:7", "did you mean 'seed'?"),
    (HEAD + "  c: {use: x, parms: {}}\n", "unknown key", "twin.yaml:7:15", "did you mean 'params'?"),
    (HEAD + LINK % "frm: a.x", "unknown key", "twin.yaml:8:29", "did you mean 'from'?"),
    (HEAD + KPI % "unti: h", "unknown key", "twin.yaml:8:20", "did you mean 'unit'?"),
    (HEAD + "  a: {use: z}\n", "duplicate key", "twin.yaml:7:3", "remove"),
    (HEAD + "  c:\n    step: 1s\n", "missing key", "twin.yaml:7:3", "add use: Id of the component"),
    (HEAD.replace("ldt: 1\n", ""), "missing key", "twin.yaml:1:1", "add ldt"),
    (HEAD.replace(', crs: "EPSG:25832"', ""), "missing key", "twin.yaml:2:1", "add crs: Projected"),
    (HEAD + LINK.replace("to: b.in, ", "") % "map: m", "missing key", "twin.yaml:8:5", "add to"),
    (HEAD + "<<: {run: {}}\n", "bad value", "twin.yaml:7:1", "write the keys out"),
    # file version
    (HEAD.replace("ldt: 1", "ldt: 2"), "file version", "twin.yaml:1:6", "newer"),
    (HEAD.replace("ldt: 1", 'ldt: "1"'), "file version", "twin.yaml:1:6", "write ldt: 1"),
    (HEAD.replace("ldt: 1", "ldt: true"), "file version", "twin.yaml:1:6", "write ldt: 1"),
    # values
    (HEAD.replace("id: t", "id: old town"), "bad value", "twin.yaml:2:12", "letters"),
    (HEAD.replace("id: t", "id: 5"), "bad value", "twin.yaml:2:12", "letters"),
    (HEAD + "purpose: {goal: 5}\n", "bad value", "twin.yaml:7:17", 'put it in quotes: "5"'),
    (HEAD + "purpose: [x]\n", "bad value", "twin.yaml:7:10", "a mapping"),
    (HEAD + "purpose: !!str x\n", "bad value", "twin.yaml:7:10", "quotes"),
    (HEAD + "connect: {a: b}\n", "bad value", "twin.yaml:7:10", "a list"),
    (HEAD + 'run: {seed: "42"}\n', "bad value", "twin.yaml:7:13", "a whole number"),
    (HEAD + "run: {seed: true}\n", "bad value", "twin.yaml:7:13", "a whole number"),
    (HEAD + "run: {seed: 1.5}\n", "bad value", "twin.yaml:7:13", "a whole number"),
    (HEAD + "run: {replicates: 0}\n", "bad value", "twin.yaml:7:19", "at least 1"),
    (HEAD + f"run: {{seed: {2**63}}}\n", "bad value", "twin.yaml:7:13", "less than"),
    (HEAD + f"run: {{seed: {'9' * 5000}}}\n", "bad value", "twin.yaml:7:13", "finite"),
    (HEAD.replace("scale: 1.0", "scale: .inf"), "bad value", "twin.yaml:5:43", "finite"),
    (HEAD.replace("scale: 1.0", "scale: 1e999"), "bad value", "twin.yaml:5:43", "finite"),
    (HEAD.replace("1min", "15m"), "bad value", "twin.yaml:5:21", "m is metres"),
    (HEAD.replace("1min", "60"), "bad value", "twin.yaml:5:21", "15min"),
    (HEAD.replace("1min", "0s"), "bad value", "twin.yaml:5:21", "15min"),
    (HEAD.replace("1min", "9" * 400 + "d"), "bad value", "twin.yaml:5:21", "15min"),
    (HEAD + "  run: {use: x}\n", "bad value", "twin.yaml:7:3", "another name"),
    (HEAD + "  a.b: {use: x}\n", "bad value", "twin.yaml:7:3", "no dots"),
    (HEAD + '  c: {use: ""}\n', "bad value", "twin.yaml:7:12", "write text"),
    (HEAD + "  c: {use: x, isolate: allways}\n", "bad value", "twin.yaml:7:24", "known here"),
    (HEAD + "  c: {use: x, columns: {k: {unit: kmh}}}\n", "bad value", "twin.yaml:7:35", "UCUM"),
    (HEAD + "  c: {use: x, columns: {k: {zone: Rome}}}\n", "bad value", "twin.yaml:7:35", "'Europe/Rome'"),
    (HEAD + "  c: {use: x, columns: {k: {range: [1]}}}\n", "bad value", "twin.yaml:7:36", "write 2 values"),
    (
        HEAD + "  c: {use: x, columns: {k: {cell: meen}}}\n",
        "bad value",
        "twin.yaml:7:35",
        "did you mean 'mean'?",
    ),
    (HEAD + "record: {a.out: {every: 10}}\n", "bad value", "twin.yaml:7:25", "15min"),
    (HEAD + "record: {a.out.v: {every: 10s}}\n", "bad value", "twin.yaml:7:10", "write a.out"),
    # time
    (HEAD.replace("05:00Z", "05:00"), "bad value", "twin.yaml:3:15", "write 2026-03-02T05:00Z if it is UTC"),
    (
        HEAD.replace("2026-03-02T05:00Z", "2026-03-02"),
        "bad value",
        "twin.yaml:3:15",
        "write date, time and offset",
    ),
    (HEAD.replace("03-02T05", "02-30T05"), "bad value", "twin.yaml:3:15", "write date"),
    (HEAD.replace("T05:00Z", "T05:00+99:00"), "bad value", "twin.yaml:3:15", "+01:00"),
    (
        HEAD.replace("2026-03-02T05:00Z", "0001-01-01T00:00+09:00"),
        "bad value",
        "twin.yaml:3:15",
        "the offset",
    ),
    (HEAD.replace("T10:00Z", "T05:00Z"), "bad value", "twin.yaml:3:39", "after the start"),
    (HEAD.replace("10:00Z}", "10:00Z, zone: Mars}"), "bad value", "twin.yaml:3:64", "Europe/Rome"),
    # place
    (HEAD.replace("25832", "4326"), "bad value", "twin.yaml:2:20", "projected CRS in metres"),
    (HEAD.replace("25832", "99999999"), "bad value", "twin.yaml:2:20", "EPSG:25832"),
    (HEAD.replace("25832", "2263"), "bad value", "twin.yaml:2:20", "metres"),
    (HEAD.replace("EPSG:25832", "+init=epsg:25832"), "bad value", "twin.yaml:2:20", "EPSG:25832"),
    (HEAD.replace('25832"', '25832", bbox: [5, 1, 2, 3]'), "bad value", "twin.yaml:2:40", "min x"),
    (HEAD.replace('25832"', '25832", bbox: [5, 1, 2]'), "bad value", "twin.yaml:2:40", "write 4 values"),
    (HEAD.replace('25832"', '25832", bbox: [11, 44, 12, 45]'), "bad value", "twin.yaml:2:40", "degrees"),
    (
        HEAD.replace('25832"', '25832", bbox: [5.7e+6, 6e+5, 5.8e+6, 7e+5]'),
        "bad value",
        "twin.yaml:2:40",
        "x, then y",
    ),
    # references
    (
        HEAD + "connect: [{from: aa.out, to: b.in}]\n",
        "unresolved reference",
        "twin.yaml:7:18",
        "did you mean 'a'?",
    ),
    (HEAD + "connect: [{from: a.out, to: b}]\n", "bad value", "twin.yaml:7:29", "component.port"),
    (HEAD + "connect: [{from: a.out.v, to: b.in}]\n", "bad value", "twin.yaml:7:18", "write a.out"),
    (HEAD + "connect: [{from: a., to: b.in}]\n", "bad value", "twin.yaml:7:18", "component.port"),
    (HEAD + LINK % "when: lagg", "bad value", "twin.yaml:8:35", "did you mean 'lag'?"),
    (HEAD + LINK % "init: 1", "bad value", "twin.yaml:8:35", "when: lag"),
    (HEAD + LINK % "when: lag, init: [1]", "bad value", "twin.yaml:8:46", "one number"),
    (HEAD + LINK % "merge: mean", "bad value", "twin.yaml:8:36", "sum"),
    (HEAD + "kpis:\n  k: {of: c.out.v}\n", "unresolved reference", "twin.yaml:8:11", "known here: a, b"),
    (HEAD + KPI % "weight: c.x", "unresolved reference", "twin.yaml:8:28", "known here: a, b"),
    (HEAD + "record: {c.x: {}}\n", "unresolved reference", "twin.yaml:7:10", "known here: a, b"),
    (
        HEAD + "views: {v: {use: map, show: [a.b, c.d]}}\n",
        "unresolved reference",
        "twin.yaml:7:35",
        "known here",
    ),
    (
        HEAD + "views: {v: {use: map, runs: [bas]}}\n",
        "unresolved reference",
        "twin.yaml:7:30",
        "did you mean 'base'?",
    ),
    (HEAD + "scenarios: {s: {extends: t}}\n", "unresolved reference", "twin.yaml:7:26", "known here: s"),
    # KPIs
    (HEAD + KPI % "where: v = 3", "bad value", "twin.yaml:8:27", "write =="),
    (HEAD + KPI % "where: v > 3 or v < 1", "bad value", "twin.yaml:8:27", "'and' only"),
    (HEAD + KPI % "where: v > 3 and", "bad value", "twin.yaml:8:27", "column op value"),
    (HEAD + KPI % "where: v > 3 v < 1", "bad value", "twin.yaml:8:27", "column op value"),
    (HEAD + KPI % "where: '> 3'", "bad value", "twin.yaml:8:27", "column op value"),
    (HEAD + KPI % 'where: "v == \'open"', "bad value", "twin.yaml:8:27", "column op value"),
    (HEAD + KPI % "where: ''", "bad value", "twin.yaml:8:27", "column op value"),
    (HEAD + KPI % "reduce: {time: avg}", "bad value", "twin.yaml:8:35", "known here"),
    (HEAD + KPI % "reduce: {tim: mean}", "bad value", "twin.yaml:8:29", "did you mean 'time'?"),
    (HEAD + KPI % "reduce: {space: share}", "missing key", "twin.yaml:8:28", "write where"),
    (HEAD + KPI % "target: 3", "missing key", "twin.yaml:8:28", "better: lower"),
    (HEAD + KPI % "better: less", "bad value", "twin.yaml:8:28", "lower"),
    (HEAD + KPI % "better: lower, target: low", "bad value", "twin.yaml:8:43", "a number"),
    (HEAD + KPI % "against: other", "bad value", "twin.yaml:8:29", "base"),
    # scenarios
    (
        HEAD + "scenarios: {s: {set: {aa.params.x: 1}}}\n",
        "override hits nothing",
        "twin.yaml:7:23",
        "did you mean 'a'?",
    ),
    (
        HEAD + "scenarios: {s: {set: {a.x: 1}}}\n",
        "override hits nothing",
        "twin.yaml:7:23",
        "write a.params.x",
    ),
    (
        HEAD + "scenarios: {s: {set: {a: 1}}}\n",
        "override hits nothing",
        "twin.yaml:7:23",
        "write a.params.NAME",
    ),
    (
        HEAD + "scenarios: {s: {set: {a.params.: 1}}}\n",
        "override hits nothing",
        "twin.yaml:7:23",
        "write a.params",
    ),
    (
        HEAD + "scenarios: {s: {set: {components.a.step: 1s}}}\n",
        "override hits nothing",
        "twin.yaml:7:23",
        "a.step",
    ),
    (
        HEAD + "scenarios: {s: {set: {run.sed: 1}}}\n",
        "override hits nothing",
        "twin.yaml:7:23",
        "did you mean 'run.seed'",
    ),
    (
        HEAD + "scenarios: {s: {set: {a.params.name.x: 1}}}\n",
        "override hits nothing",
        "twin.yaml:7:40",
        "as a whole",
    ),
    (HEAD + "scenarios: {s: {set: {a.params: 1}}}\n", "bad value", "twin.yaml:7:33", "a mapping"),
    (HEAD + "scenarios: {s: {set: {a.step: 5m}}}\n", "bad value", "twin.yaml:7:31", "m is metres"),
    (HEAD + "scenarios: {s: {set: {run.replicates: 0}}}\n", "bad value", "twin.yaml:7:39", "at least 1"),
    (
        HEAD + "scenarios:\n  s:\n    set:\n      a.params.x: 1\n      a.params: {x: 2}\n",
        "duplicate key",
        "twin.yaml:11:7",
        "remove one",
    ),
    (
        HEAD
        + "scenarios:\n  p: {set: {a.params.x: 1}}\n  q: {set: {a.params.x: 2}}\n  r: {extends: [p, q]}\n",
        "conflicting parents",
        "twin.yaml:10:16",
        "set it in 'r' too; see twin.yaml:8:25 and twin.yaml:9:25",
    ),
    (
        HEAD
        + "scenarios:\n  p: {set: {a.params.d: 1}}\n  q: {set: {a.params.d.e: 1}}\n  r: {extends: [q, p]}\n",
        "conflicting parents",
        "twin.yaml:10:16",
        "set it in 'r' too",
    ),
    (
        HEAD + "scenarios:\n  p: {extends: r}\n  q: {extends: p}\n  r: {extends: [q]}\n",
        "conflicting parents",
        "twin.yaml:8:16",
        "remove one",
    ),
    # environment
    (HEAD.replace("name: n", 'name: "${LDT_X}"'), "variable not set", "twin.yaml:5:83", "${LDT_X:-default}"),
    (HEAD.replace("name: n", 'name: "${A.B}"'), "bad value", "twin.yaml:5:83", "write ${NAME}"),
    ("ldt: ${LDT_X}\n" + HEAD[7:], "variable not set", "twin.yaml:1:6", "set LDT_X"),
    # encoding
    (b"ldt: 1\nb: \xff\xfe\n", "encoding", "twin.yaml:2:4", "UTF-8"),
    ("ldt: 1".encode("utf-16"), "encoding", "twin.yaml:1:1", "UTF-8"),
]


@pytest.mark.parametrize(("text", "code", "where", "fix"), BROKEN)
def test_an_error_names_its_place_and_its_remedy(
    tmp_path: Path, text: str | bytes, code: str, where: str, fix: str
) -> None:
    error = the_error(tmp_path, text)
    assert (error.code, error.where) == (code, where), error
    assert fix in error.fix
    assert (error.group, error.exit_code) == ("E1", 10)


def test_all_errors_come_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    found = errors_of(
        tmp_path,
        """\
ldt: 1
twin: {id: t, crs: "EPSG:4326", titel: T}
time: {start: 2026-03-02T05:00, end: 2026-03-02T10:00Z}
components:
  a: {use: x, step: 15m, resources: {memory: 4G}}
  a: {use: y}
connect:
  - {from: c.out, to: a.in, when: later}
scenarios:
  p: {set: {a.params.x: 1, c.params.x: 2}}
  q: {set: {a.params.y: "${NOT_SET}"}}
  r: {extends: [q, s]}
  v: {branch: {of: q, at: 2026-03-02T08:00Z}}
  w: {extends: w}
""",
    )
    assert [(e.code, e.where) for e in found] == [
        ("bad value", "twin.yaml:2:20"),
        ("unknown key", "twin.yaml:2:33"),
        ("bad value", "twin.yaml:3:15"),
        ("bad value", "twin.yaml:5:21"),
        ("bad value", "twin.yaml:5:46"),
        ("duplicate key", "twin.yaml:6:3"),
        ("unresolved reference", "twin.yaml:8:12"),
        ("bad value", "twin.yaml:8:35"),
        ("variable not set", "twin.yaml:11:25"),
        ("unresolved reference", "twin.yaml:12:20"),
    ]
    found = errors_of(
        tmp_path,
        HEAD.replace("1min", "1m")
        + "scenarios:\n  p: {set: {a.params.x: 1, c.params.x: 2}}\n  w: {extends: w}\n",
    )
    assert [(e.code, e.where) for e in found] == [
        ("bad value", "twin.yaml:5:21"),
        ("override hits nothing", "twin.yaml:8:28"),
        ("conflicting parents", "twin.yaml:9:16"),
    ]


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n"])
def test_an_empty_file_lists_what_is_missing(tmp_path: Path, text: str) -> None:
    assert {e.what for e in errors_of(tmp_path, text)} == {
        f"'{key}' is missing" for key in ("ldt", "twin", "time", "components")
    }


@pytest.mark.parametrize("text", ["just text\n", "- a\n- b\n", "42\n"])
def test_a_file_must_be_a_mapping(tmp_path: Path, text: str) -> None:
    error = the_error(tmp_path, text)
    assert (error.code, error.where) == ("bad value", "twin.yaml:1:1")


def test_aliases_that_multiply_are_refused(tmp_path: Path) -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)
    )
    assert the_error(tmp_path, bomb).code == "too large"
    tower = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} {'[' * 9}*a{i - 1}{']' * 9}\n" for i in range(1, 20))
    assert the_error(tmp_path, tower).code == "too large"


def test_huge_and_deep_files_are_refused(tmp_path: Path) -> None:
    assert the_error(tmp_path, b"#" * (twin_yaml.MAX_BYTES + 1)).code == "too large"
    assert the_error(tmp_path, "- " * 100_000).code == "syntax"
    assert the_error(tmp_path, "[" * 100_000).code == "syntax"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "other.yaml", "twin\0.yaml"):
        with pytest.raises(TwinFileError) as caught:
            load_twin(path)
        assert caught.value.code == "not found"
        assert "ldt new twin" in caught.value.fix


def test_secret_values_are_not_shown(tmp_path: Path) -> None:
    text = HEAD.replace("name: n", 'name: "${KEY}"') + "scenarios: {s: {set: {a.params.name.x: 1}}}\n"
    assert "hunter2" not in str(the_error(tmp_path, text, KEY="hunter2"))
    assert "hunter2" not in repr(load(tmp_path, text[: text.index("scenarios")], KEY="hunter2").source.at(0))


def test_both_yaml_parsers_agree_on_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = read_source(FULL.encode(), "twin.yaml", {})[0]
    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    plain = read_source(FULL.encode(), "twin.yaml", {})[0]
    assert plain == quick


def test_text_that_is_not_unicode_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = HEAD.replace("name: n", 'name: "${NAME}"')
    assert the_error(tmp_path, text, NAME=b"caf\xe9".decode("utf-8", "surrogateescape")).code == "encoding"
    text = HEAD.replace("name: n", r'name: "\ud83d\ude00"')
    assert the_error(tmp_path, text).code == "syntax"
    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    error = the_error(tmp_path, text)
    assert (error.where, error.fix) == ("twin.yaml:5:83", "write the character itself")


# --- scenarios --------------------------------------------------------------------------------

SCENARIOS = (
    HEAD
    + """\
scenarios:
  now: {title: Today}
  fast: {set: {a.params.scale: 2.0, a.params.deep: {one: 11}}}
  fine: {set: {a.step: 10s, a.params.deep.two: [9], run.replicates: 3}}
  both: {extends: [fast, fine]}
  child:
    extends: both
    set:
      a.params.scale: 3.0
      b.params.new: {x: {y: z}}
      a.params.name: null
  diamond: {extends: [both, fast]}
  empty: {set: {a.params.deep: {}, b.params: {}}}
"""
)


def test_scenarios_merge_mappings_and_replace_lists(tmp_path: Path) -> None:
    twin = load(tmp_path, SCENARIOS)
    both = twin.for_scenario("both")
    assert both.components["a"].params == {"scale": 2.0, "deep": {"one": 11, "two": [9]}, "name": "n"}
    assert (both.components["a"].step, both.run.replicates, both.scenario) == (10 * SECOND, 3, "both")
    child = twin.for_scenario("child")
    assert child.components["a"].params == {"scale": 3.0, "deep": {"one": 11, "two": [9]}, "name": None}
    assert child.components["b"].params == {"new": {"x": {"y": "z"}}}
    assert twin.for_scenario("diamond").components == both.components
    assert twin.for_scenario("empty").components["a"].params["deep"] == {}
    assert twin.components["a"].params == {"scale": 1.0, "deep": {"one": 1, "two": [1, 2]}, "name": "n"}
    assert twin.baseline == "now"


def test_a_scenario_starts_from_the_file_and_not_from_another(tmp_path: Path) -> None:
    twin = load(tmp_path, SCENARIOS)
    assert twin.for_scenario("child").for_scenario("fast") == twin.for_scenario("fast")
    assert twin.for_scenario("now").components == twin.components


def test_what_a_scenario_sets_has_its_place_there(tmp_path: Path) -> None:
    twin = load(tmp_path, SCENARIOS)
    child = twin.for_scenario("child")
    assert child.place("components", "a", "params", "scale") == "twin.yaml:15:23"
    assert child.place("components", "a", "params", "deep", "two", 0) == "twin.yaml:10:49"
    assert child.place("components", "a", "params", "deep", "one") == "twin.yaml:9:58"
    assert child.place("components", "b", "params", "new", "x") == "twin.yaml:16:25"
    assert child.place("run", "replicates") == "twin.yaml:10:69"
    assert child.place("components", "a", "use") == "twin.yaml:5:12"
    assert twin.place("components", "a", "params", "scale") == "twin.yaml:5:43"


def test_resolve_lists_every_value_with_its_place(tmp_path: Path) -> None:
    twin = load(tmp_path, SCENARIOS)
    found = {path: (o.value, o.place) for path, o in twin.resolve("fast").items()}
    assert found == {
        ("a", "params", "scale"): (2.0, "twin.yaml:9:32"),
        ("a", "params", "deep", "one"): (11, "twin.yaml:9:58"),
    }
    assert twin.resolve("now") == {}
    for call in (twin.resolve, twin.for_scenario):
        with pytest.raises(TwinFileError, match="no scenario is called 'fsat'") as caught:
            call("fsat")
        assert caught.value.fix == "did you mean 'fast'?"


def test_a_child_settles_what_its_parents_dispute(tmp_path: Path) -> None:
    text = (
        HEAD
        + "scenarios:\n  p: {set: {a.params.x: {y: 1, z: 1}}}\n  q: {set: {a.params.x: {y: 2, z: 1}}}\n"
        + "  r: {extends: [p, q], set: {a.params.x.y: 3}}\n"
    )
    twin = load(tmp_path, text)
    assert twin.for_scenario("r").components["a"].params["x"] == {"y": 3, "z": 1}


names = st.text(string.ascii_lowercase, min_size=1, max_size=2)
trees = st.recursive(
    st.integers(0, 3) | st.booleans() | st.lists(st.integers(0, 2), max_size=2),
    lambda below: st.dictionaries(names, below, min_size=1, max_size=3),
    max_leaves=6,
)


def merged(base: Any, change: Any) -> Any:
    if isinstance(base, dict) and isinstance(change, dict):
        return base | {k: merged(base[k], v) if k in base else v for k, v in change.items()}
    return change


def clashes(base: Any, change: Any) -> bool:
    """Whether a change goes below something that is not a mapping."""
    if isinstance(base, dict) and isinstance(change, dict):
        return any(clashes(base[k], v) for k, v in change.items() if k in base)
    return isinstance(change, dict)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    base=st.dictionaries(names, trees, max_size=3),
    change=st.dictionaries(names, trees, min_size=1, max_size=3),
)
def test_a_scenario_is_the_deep_merge_of_base_and_change(tmp_path: Path, base: Any, change: Any) -> None:
    text = json.dumps(
        {
            "ldt": 1,
            "twin": {"id": "t", "crs": "EPSG:25832"},
            "time": {"start": "2026-03-02T05:00Z", "end": "2026-03-02T10:00Z"},
            "components": {"a": {"use": "x", "params": base}},
            "scenarios": {"s": {"set": {"a.params": change}}},
        }
    )
    if clashes(base, change):
        assert {e.code for e in errors_of(tmp_path, text)} == {"override hits nothing"}
    else:
        params = load(tmp_path, text).for_scenario("s").components["a"].params
        assert json.dumps(params, sort_keys=True) == json.dumps(merged(base, change), sort_keys=True)


# --- the schema -------------------------------------------------------------------------------


def test_the_schema_in_the_docs_is_the_schema_of_the_code() -> None:
    file = Path(__file__).parent.parent / "docs" / "reference" / "twin.schema.json"
    fix = "from ldt_core.twin_schema import twin_json_schema; write json.dumps(..., indent=2) and a line end"
    assert json.loads(file.read_text(encoding="utf-8")) == twin_json_schema(), fix


def test_the_schema_says_a_sentence_for_every_key() -> None:
    schema = twin_json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    for name, part in [("TwinFile", schema), *schema["$defs"].items()]:
        assert part["description"], name
        assert part["additionalProperties"] is False, name
        for key, below in part["properties"].items():
            assert below.get("description") or "$ref" in below, f"{name}.{key}"


STRUCTURAL = {"unknown key", "missing key", "file version"}


@pytest.mark.parametrize("text", [FULL, HEAD, SCENARIOS])
def test_a_twin_that_loads_passes_the_schema(text: str) -> None:
    jsonschema.Draft202012Validator(twin_json_schema()).validate(tree(text))


@pytest.mark.parametrize("case", [c for c in BROKEN if c[1] in STRUCTURAL and "write where" not in c[3]])
def test_a_twin_with_wrong_keys_fails_the_schema(case: tuple[str, str, str, str]) -> None:
    beyond = "better: lower" in case[3]  # a rule between two keys, which load_twin alone proves
    assert jsonschema.Draft202012Validator(twin_json_schema()).is_valid(tree(case[0])) is beyond


# --- hostile files ----------------------------------------------------------------------------

PLACE = re.compile(r"twin\.yaml:(\d+):(\d+)")


def survives(folder: Path, text: str) -> Twin | None:
    """The twin, or None after its errors were seen to lie inside the file."""
    try:
        return load(folder, text.encode("utf-8", "surrogatepass"))
    except LdtError as error:
        lines = re.split(r"\r\n|\r|\n", text.removeprefix("\ufeff"))
        for one in error.errors if isinstance(error, ErrorList) else [error]:
            assert isinstance(one, TwinFileError)
            match = PLACE.fullmatch(one.where)
            if one.code == "encoding":
                continue
            assert match, one
            line, column = int(match[1]), int(match[2])
            assert 1 <= line <= len(lines), one
            assert 1 <= column <= len(lines[line - 1]) + 1, one
        return None


WORDS = sorted(set(re.findall(r"[\w.:/-]+", FULL)))
FUZZ = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@FUZZ
@given(data=st.data())
def test_a_changed_word_never_breaks_the_reader(tmp_path: Path, data: st.DataObject) -> None:
    spans = [m.span() for m in re.finditer(r"[\w.:/-]+|[{}\[\],\"\n]", FULL)]
    text = FULL
    for start, end in sorted(
        data.draw(st.lists(st.sampled_from(spans), max_size=3, unique=True)), reverse=True
    ):
        new = data.draw(
            st.sampled_from(WORDS)
            | st.sampled_from(
                ["", "~", "[]", "{}", "[1", "*x", "&x", "!!int", "${X}", "1e999", "\t", "- ", ": "]
            )
            | st.text(max_size=6)
        )
        text = text[:start] + new + text[end:]
    survives(tmp_path, text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(WORDS),
    lambda below: (
        st.lists(below, max_size=3)
        | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=5), below, max_size=3)
    ),
    max_leaves=5,
)


def paths(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(p for k, v in items for p in paths(v, (*path, k)))]


FULL_TREE = tree(FULL)
FULL_PATHS = paths(FULL_TREE)[1:]
VALIDATOR = jsonschema.Draft202012Validator(twin_json_schema())


@FUZZ
@given(path=st.sampled_from(FULL_PATHS), value=json_values, action=st.sampled_from(["set", "drop", "rename"]))
def test_a_changed_value_never_breaks_the_reader(
    tmp_path: Path, path: tuple[str | int, ...], value: Any, action: str
) -> None:
    changed = json.loads(json.dumps(FULL_TREE))
    holder = changed
    for part in path[:-1]:
        holder = holder[part]
    if action == "set":
        holder[path[-1]] = value
    elif action == "drop" or not isinstance(holder, dict):
        del holder[path[-1]]
    else:
        assume(isinstance(value, str))
        holder[value] = holder.pop(path[-1])
    text = json.dumps(changed, indent=1).replace("NaN", ".nan").replace("Infinity", ".inf")
    twin = survives(tmp_path, text)
    if twin is not None:
        assert VALIDATOR.is_valid(twin.tree), list(VALIDATOR.iter_errors(twin.tree))


@FUZZ
@given(text=st.text(max_size=80) | st.text("[]{}:,-?&*!|>'\"%@`#<= \n\t\r${}a1", max_size=80))
def test_any_text_is_a_twin_or_a_clear_error(tmp_path: Path, text: str) -> None:
    assert survives(tmp_path, text) is None


@FUZZ
@given(text=st.text(max_size=20))
def test_any_text_in_quotes_comes_back(tmp_path: Path, text: str) -> None:
    assume(not any("\ud800" <= c <= "\udfff" for c in text))
    quoted = "".join(rf"\U{ord(c):08x}" for c in text.replace("${", "$${"))
    twin = load(tmp_path, HEAD + f'  c: {{use: x, params: {{v: "{quoted}"}}}}\n')
    assert twin.components["c"].params["v"] == text
