"""An FMU, a BMI model and a mosaik simulator in one twin, through the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
TWIN = """\
ldt: 1
twin: {id: adapters, crs: "EPSG:25832"}
time: {start: 2026-03-02T05:00Z, end: 2026-03-02T08:00Z}
components:
  sun:
    use: mosaik
    step: 15min
    params:
      simulator: town_sims:Sun
      create: [{model: Sky}]
      outputs: {dni: {unit: W/m2, name: inflow, quantity: "x:light", cell: mean}}
  pond:
    use: bmi
    step: 1h
    params:
      model: bmi_heat:Tank
      units: {inflow: W/m2}
      quantities: {inflow: "x:light", level: "x:level"}
      cells: {inflow: mean}
  tank:
    use: fmu
    step: 30min
    params:
      fmu: Tank.fmu
      units: {inflow: m, level: m}
      quantities: {inflow: "x:level", level: "x:depth"}
      outputs: [level]
connect:
  - {from: sun.Sky, to: pond.inflow}
  - {from: pond.level, to: tank.inflow, rename: {level: inflow}}
kpis:
  depth: {of: tank.out.level, reduce: {time: last}, unit: m, better: lower}
scenarios:
  base: {}
  bright: {set: {sun.params.create: [{model: Sky, params: {base: 200}}]}}
"""


@pytest.fixture
def town(tmp_path: Path) -> Path:
    source = PLUGINS / "ldt-simulator-fmu" / "tests" / "fmus" / "tank.py"
    command = [sys.executable, "-m", "pythonfmu", "build", "-f", str(source), "-d", str(tmp_path)]
    subprocess.run([*command, "--handle-state", "--serialize-state"], check=True, capture_output=True)
    (tmp_path / "twin.yaml").write_text(TWIN, encoding="utf-8")
    return tmp_path


def test_three_foreign_standards_run_in_one_twin(town: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = [
        PLUGINS / "ldt-simulator-bmi" / "tests" / "models",
        PLUGINS / "ldt-simulator-mosaik" / "tests" / "sims",
    ]
    monkeypatch.setenv("PYTHONPATH", ":".join(map(str, models)))
    done = subprocess.run(
        [sys.executable, "-m", "ldt_core.cli", "run", str(town), "--json"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    values = {n: v[0] for n, v in record["kpis"]["depth"]["values"].items()}
    assert values["bright"] > values["base"] > 0
    assert {c["use"] for c in record["components"].values()} == {"mosaik", "bmi", "fmu"}
