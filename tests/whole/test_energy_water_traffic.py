"""The example of three engines: SUMO, pandapower and EPANET in one run, with two loops between them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

EXAMPLE = Path(__file__).parents[2] / "docs/examples/energy-water-traffic"
GROUP = "charging+grid+water"
Change = Callable[[dict[str, Any]], None]


def _run(folder: Path, *words: str) -> dict[str, Any]:
    keep = {k: v for k, v in os.environ.items() if k != "LDT_STORE"}
    command = [sys.executable, "-m", "ldt_core.cli", "run", str(folder), "--json", "--workers", "2", *words]
    done = subprocess.run(command, capture_output=True, text=True, env=keep)
    assert done.returncode == 0, done.stderr
    record: dict[str, Any] = json.loads(done.stdout)
    return record


def _rows(folder: Path, record: dict[str, Any], scenario: str, port: str) -> dict[str, np.ndarray]:
    """What ``component.port`` gave in the windows of the first replicate; values at the start are left out."""
    key = record["scenarios"][scenario]["stages"][GROUP][0]
    (entry,) = (folder / ".ldt/store/entries").glob(f"*/{key}")
    (file,) = entry.glob(f"{port.replace('.', '_')}~*.parquet")
    table = pq.read_table(file)
    return {name: np.array(table[name].to_pylist()) for name in table.column_names}


def _per_window(rows: dict[str, np.ndarray], column: str) -> np.ndarray:
    return np.array([rows[column][rows["time"] == t].sum() for t in np.unique(rows["time"])])


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Change], Path]:
    """A copy of the example, changed; runs and store stay in the copy."""

    def copy(change: Change) -> Path:
        folder = tmp_path_factory.mktemp("coupled")
        twin = yaml.safe_load((EXAMPLE / "twin.yaml").read_text(encoding="utf-8"))
        change(twin)
        (folder / "twin.yaml").write_text(yaml.safe_dump(twin, sort_keys=False), encoding="utf-8")
        return folder

    return copy


def _short(twin: dict[str, Any]) -> None:
    """Twenty minutes, mesoscopic, once; a full car park, so that the relay has something to do."""
    twin["time"]["end"] = "2026-03-03T15:20Z"
    twin["run"]["replicates"] = 1
    twin["components"]["traffic"]["params"] |= {"mesoscopic": True}
    twin["components"]["traffic"]["params"]["demand"] |= {"rate": 2400, "duration": "10min"}
    many = {"charging.params.share": 1.0, "charging.params.power": "26 kW"}
    twin["scenarios"]["evening-charging"]["set"] |= many
    del twin["scenarios"]["pump-failure"], twin["scenarios"]["street-closed"]
    twin["views"] = {"results": twin["views"]["results"]}


@pytest.fixture(scope="module")
def short(make: Callable[[Change], Path]) -> tuple[Path, dict[str, Any]]:
    folder = make(_short)
    return folder, _run(folder)


def test_what_pumps_and_cars_draw_is_what_the_grid_carries(short: tuple[Path, dict[str, Any]]) -> None:
    folder, record = short
    own = {"base": 0.6, "evening-charging": 0.7, "managed-charging": 0.7}
    rated = {}
    for scenario, scale in own.items():
        load = _rows(folder, record, scenario, "grid.balance")["load"]
        cars = _per_window(_rows(folder, record, scenario, "charging.demand"), "power")
        pumps = _per_window(_rows(folder, record, scenario, "water.pumps"), "power")
        assert len(load) == 4
        assert cars.max() > 100
        assert pumps[0] == pytest.approx(372, abs=5)
        rest = (load - cars - pumps) / scale
        np.testing.assert_allclose(rest, rest[0], rtol=1e-6)
        rated[scenario] = rest[0]
    assert rated["base"] == pytest.approx(rated["evening-charging"], rel=1e-6)


def test_a_pump_runs_as_the_voltage_of_the_window_before_allows(short: tuple[Path, dict[str, Any]]) -> None:
    folder, record = short
    stopped = {}
    for scenario in record["scenarios"]:
        supply, pumps = (_rows(folder, record, scenario, p) for p in ("grid.supply", "water.pumps"))
        volts = supply["voltage"][supply["pump"] == "335"]
        running = pumps["running"][pumps["pump"] == "335"]
        tripped, expected = False, []
        for voltage in [1.0, *volts[:-1]]:
            tripped = voltage < 0.90 or (tripped and voltage < 0.93)
            expected.append(0.0 if tripped else 100.0)
        assert running.tolist() == expected
        stopped[scenario] = tripped
    assert stopped == {"base": False, "evening-charging": True, "managed-charging": False}


def test_chargers_that_follow_the_voltage_hold_it_up(
    short: tuple[Path, dict[str, Any]],
) -> None:
    """They hold the voltage up, and pay with cars that wait."""
    _, record = short
    values = {k: record["kpis"][k]["values"] for k in ("lowest_voltage", "charging_peak", "to_charge")}
    free, managed = "evening-charging", "managed-charging"
    assert values["lowest_voltage"][free][0] < values["lowest_voltage"][managed][0]
    assert values["charging_peak"][free][0] > values["charging_peak"][managed][0]
    assert values["to_charge"][free][0] < values["to_charge"][managed][0]
    notes = " ".join(record["scenarios"][managed]["notes"])
    assert "charging, grid repeat windows of 5min until they settle" in notes


def test_every_result_says_what_was_made_up(short: tuple[Path, dict[str, Any]]) -> None:
    said = json.dumps(short[1])
    for sentence in ("generic grid (mv_oberrhein)", "generic water network (Net3)", "drawn by chance"):
        assert sentence in said


@pytest.mark.slow
def test_the_relay_may_act_in_the_same_window(
    make: Callable[[Change], Path], short: tuple[Path, dict[str, Any]]
) -> None:
    """The variant of the README: the grid and the water network, too, repeat the window until they agree."""

    def implicit(twin: dict[str, Any]) -> None:
        _short(twin)
        (link,) = (c for c in twin["connect"] if c["to"] == "water.supply")
        link |= {"when": "iterate", "tolerance": 1e-4}

    folder = make(implicit)
    shutil.copytree(short[0] / ".ldt", folder / ".ldt")  # the same traffic need not be computed again
    record = _run(folder, "-s", "evening-charging")
    supply, pumps = (_rows(folder, record, "evening-charging", p) for p in ("grid.supply", "water.pumps"))
    volts = supply["voltage"][supply["pump"] == "335"]
    running = pumps["running"][pumps["pump"] == "335"]
    tripped, expected = False, []
    for voltage in volts:
        tripped = voltage < 0.90 or (tripped and voltage < 0.93)
        expected.append(0.0 if tripped else 100.0)
    assert running.tolist() == expected
    assert tripped


@pytest.mark.slow
def test_the_whole_example_answers_its_question(tmp_path: Path) -> None:
    shutil.copy(EXAMPLE / "twin.yaml", tmp_path)
    record = _run(tmp_path)
    kpis = {name: kpi["values"] for name, kpi in record["kpis"].items()}
    units = {name: kpi["unit"] for name, kpi in record["kpis"].items()}
    assert units["lowest_voltage"] == "%"
    assert units["unmet"] == "m3"
    assert set(record["scenarios"]) == {
        "base", "evening-charging", "managed-charging", "pump-failure", "street-closed"
    }  # fmt: skip

    def all_of(kpi: str, scenario: str, low: float, high: float) -> None:
        values = kpis[kpi][scenario]
        assert len(values) == 3
        assert all(low <= v <= high for v in values), f"{kpi} of {scenario}: {values}"

    for scenario in record["scenarios"]:
        all_of("under_way", scenario, 0, 0)
    all_of("lowest_voltage", "base", 95, 98)
    all_of("lowest_voltage", "evening-charging", 84, 90)
    all_of("lowest_voltage", "managed-charging", 90, 93)
    all_of("unmet", "base", 0, 0.01)
    all_of("unmet", "evening-charging", 1, 5)
    all_of("unmet", "managed-charging", 0, 0.01)
    all_of("unmet", "pump-failure", 4, 8)
    # Pump 335 lifts about 3 000 m3/h by 28 m at 75 %, pump 10 some 750 m3/h by 23 m.
    lift = 9.81 / 0.75 / 3600 * (2975 * 28.6 + 745 * 22.9)
    all_of("pump_energy", "base", 0.97 * lift, 1.03 * lift)
    all_of("pump_energy", "pump-failure", 55, 70)
    assert min(kpis["mean_trip"]["street-closed"]) > max(kpis["mean_trip"]["base"])
    assert kpis["mean_trip"]["evening-charging"] == kpis["mean_trip"]["base"]
