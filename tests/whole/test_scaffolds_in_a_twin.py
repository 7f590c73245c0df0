"""Scaffolds beside the plugins of this repository: what `ldt new` writes fits into real twins."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
TOOLS = runpy.run_path(str(ROOT / "tests" / "editable.py"))


class Place:
    """A folder in which commands are typed, with plugins of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.site = folder / "site"
        self.site.mkdir(parents=True)

    def ldt(self, *words: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "ldt_core.cli", *words],
            cwd=self.folder,
            env=TOOLS["environment"](self.site, self.folder / "cache"),
            capture_output=True,
            text=True,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def record(self, twin: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.ldt("run", twin, "--json", "--quiet"))
        return found


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "place")


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place with one scaffold of each kind."""
    made = Place(tmp_path_factory.mktemp("workshop") / "place")
    for kind in ("source", "model", "simulator", "viewer"):
        made.ldt("new", kind, f"my-{kind}")
        TOOLS["install"](made.folder / f"ldt-{kind}-my-{kind}", made.site)
    return made


TWIN = """\
ldt: 1
twin: {id: hot-town, title: Hot town, crs: "EPSG:3035"}
time: {start: 2026-07-01T00:00Z, end: 2026-07-02T00:00Z}
run: {seed: 3, replicates: 4}
components:
  air: {use: my-source}
  measured:
    use: csv
    step: 1h
    params:
      file: measured.csv
      time: {column: time}
      columns: {station: {}, air: {unit: K, quantity: air_temperature, cell: mean}}
      entity: station
      id: station
  made-up: {use: my-model}
  real: {use: my-model}
  rooms: {use: my-simulator}
  fit: {use: validation, params: {simulated_id: station, simulated_value: air, observed_id: station,
        observed_value: air, unit: Cel, quantity: air_temperature, cell: mean}}
connect:
  - {from: air.air, to: made-up.air}
  - {from: measured.rows, to: real.air}
  - {from: air.air, to: fit.simulated}
  - {from: measured.rows, to: fit.observed}
kpis:
  made_up: {of: made-up.load.load, reduce: {time: mean, space: mean}, unit: K, better: lower}
  real: {of: real.load.load, reduce: {time: max, space: max}, unit: K, better: lower}
  coldest: {of: rooms.rooms.indoor, reduce: {time: min, space: min}, unit: Cel, better: higher}
  bias: {of: fit.fit.bias, reduce: {time: mean, space: mean}, unit: Cel}
views:
  mine: {use: my-viewer, show: [made-up.load, rooms.rooms]}
  board: {use: kpi, show: [air.air.air, real.load.load]}
scenarios:
  base: {title: Today}
  warmer: {title: Warmer by 4, set: {air.params.mean: 28, rooms.params.outdoor: -1}}
"""


def test_scaffolds_and_plugins_join_by_their_ports(workshop: Place) -> None:
    hours = [f"2026-07-01T{h:02}:00Z" for h in range(24)]
    rows = [f"{t},{s},{k}" for t in hours for s, k in (("harbour", 290.15), ("park", 305.15))]
    (workshop.folder / "measured.csv").write_text(
        "time,station,air\n" + "\n".join(rows) + "\n", encoding="utf-8"
    )
    (workshop.folder / "twin.yaml").write_text(TWIN, encoding="utf-8")
    plan = workshop.ldt("check")
    assert "K -> Cel, x 1 + -273.15" in plan
    record = workshop.record(".")
    kpis = record["kpis"]
    # 305.15 K is 32 Cel, 5 K above the model's threshold, whatever the other components do.
    assert kpis["real"]["values"] == {s: [pytest.approx(5.0)] * 4 for s in ("base", "warmer")}
    assert len(set(kpis["made_up"]["values"]["base"])) == 4, "the made-up air differs by replicate"
    assert kpis["made_up"]["changes"]["warmer"]["verdict"] == "distinguishable"
    bias = kpis["bias"]["changes"]["warmer"]
    assert bias["mean"] == pytest.approx(4.0)
    # Newton's law over 24 h with 12 h: outdoor + 25 exp(-2), and 21 exp(-2) where it is 4 warmer outdoors.
    shares = [kpis["coldest"]["values"][s][0] for s in ("base", "warmer")]
    assert shares == [pytest.approx(-5 + 25 * 0.1353352832), pytest.approx(-1 + 21 * 0.1353352832)]

    workshop.ldt("view", ".", "--out", "page.html")
    page = (workshop.folder / "page.html").read_text(encoding="utf-8")
    assert "Warmer by 4" in page
    assert "is highest in" in page, "the finding of the scaffold's viewer"
    assert "Air temperatures are made up by a formula." in page


def test_the_use_block_of_the_readme_works_as_it_stands(place: Place) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```sh\n(ldt new twin my-town.*?)```", readme, re.S)
    lines = [line.partition("#")[0].split() for line in block.splitlines()]
    assert [words[1] for words in lines] == ["new", "check", "run", "compare", "view"]
    said = {words[1]: place.ldt(*words[1:]) for words in lines}
    assert "the wiring and the schedule hold" in said["check"]
    for verb in ("run", "compare"):
        # The sums of the two columns of the file that `ldt new` wrote.
        assert re.search(r"Vehicles in four hours +\{veh\} +3185 +2825 +-360 \(-11\.3 %\)", said[verb])
        assert "synthetic: The counts are made up." in said[verb]
    (page,) = place.folder.glob("*.html")
    assert "Vehicles in the busiest street and hour" in page.read_text(encoding="utf-8")


ODD = {
    "semicolons and quotes": 'a;"b ""c"": {d}";"#e"\n1;2;3\n',
    "words of YAML": "no,null,true,~\n1,2,3,4\n",
    "other scripts": "straße,木,עיר\n1,2,3\n",
    "marks": "@id@,${HOME},%s,{x}\n1,2,3,4\n",
    "tabs": "time\tcount\n1\t2\n",
    "one column": "count\n3\n",
}


@pytest.mark.parametrize("text", [pytest.param(t, id=n) for n, t in ODD.items()])
def test_a_twin_from_any_header_can_be_checked_and_run(text: str, place: Place) -> None:
    (place.folder / "data.csv").write_text(text, encoding="utf-8")
    place.ldt("new", "twin", "town", "--from", "data.csv")
    place.ldt("check", "town")
    written = (place.folder / "town" / "twin.yaml").read_text(encoding="utf-8")
    marked = [line for line in written.splitlines() if line.endswith("# <- fill in")]
    header = text.splitlines()[0]
    separator = next((s for s in ";\t," if s in header), ",")
    assert len([line for line in marked if "{from: " in line]) == len(header.split(separator))
    assert place.record("town")["status"] == "finished"


def test_only_the_header_is_read(place: Place) -> None:
    (place.folder / "data.csv").write_text("time,count\n1,2,3,4\n", encoding="utf-8")
    place.ldt("new", "twin", "town", "--from", "data.csv")
    place.ldt("check", "town")
    assert "data.csv" in place.ldt("run", "town", "--quiet", code=12)


def test_blanks_that_are_filled_in_make_a_kpi(place: Place) -> None:
    """What the marks ask for is enough: no other line is touched but those that ask a question."""
    (place.folder / "data.csv").write_text(
        "when,count\n2026-03-02 07:30,4\n2026-03-02 08:30,6\n", encoding="utf-8"
    )
    place.ldt("new", "twin", "town", "--from", "data.csv")
    twin = place.folder / "town" / "twin.yaml"
    text = twin.read_text(encoding="utf-8")
    text = text.replace("# time: {column: COLUMN, zone: ZONE}", "time: {column: when, zone: Europe/Rome}")
    text = re.sub(
        r'("count", )unit: null, quantity: null', r'\1unit: "{veh}", quantity: "x:n", cell: sum', text
    )
    text = re.sub(r' *"when": .*\n', "", text)
    text += "\nkpis:\n  all: {of: data.rows.count, reduce: {time: sum, space: sum}}\n"
    twin.write_text(text, encoding="utf-8")
    assert place.record("town")["kpis"]["all"]["values"]["base"] == [10.0] * 3


def test_a_file_that_is_not_there_is_named(place: Place) -> None:
    said = place.ldt("new", "twin", "town", "--from", "nowhere.csv", code=12)
    assert "nowhere.csv" in said
    assert not (place.folder / "town").exists()
