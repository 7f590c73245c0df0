"""The example of a second real city: it runs, pairs with the counts, and leaves the data folder alone."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

EXAMPLE = Path(__file__).parents[2] / "docs/examples/bologna"
_DATA = Path(os.environ.get("LDT_DATA", "/nonexistent"))
pytestmark = [
    pytest.mark.citydata,
    pytest.mark.skipif(not (_DATA / "bologna").is_dir(), reason="LDT_DATA names no folder with bologna/"),
]
VEHICLES = 11_176


def _command(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    keep = {k: v for k, v in os.environ.items() if k != "LDT_STORE"}
    return subprocess.run(
        [sys.executable, "-m", "ldt_core.cli", *words], capture_output=True, text=True, env=keep | environment
    )


def _run(folder: Path) -> dict[str, Any]:
    done = _command("run", str(folder), "--json", "--workers", "2")
    assert done.returncode == 0, done.stderr
    record: dict[str, Any] = json.loads(done.stdout)
    return record


def _values(record: dict[str, Any], kpi: str) -> dict[str, list[float]]:
    """Per scenario the KPI's value in every replicate."""
    found: dict[str, list[float]] = record["kpis"][kpi]["values"]
    return found


def _tree() -> dict[str, tuple[int, str]]:
    """Time of change and digest of every file of the city, and every folder."""
    root = _DATA / "bologna"
    return {
        p.relative_to(root).as_posix(): (
            p.stat().st_mtime_ns,
            "" if p.is_dir() else hashlib.sha256(p.read_bytes()).hexdigest(),
        )
        for p in [root, *root.rglob("*")]
    }


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A copy of the example, changed; runs and store stay in the copy."""

    def copy(change: Callable[[dict[str, Any]], None] = lambda twin: None) -> Path:
        folder = tmp_path_factory.mktemp("bologna")
        shutil.copy(EXAMPLE / "twin.yaml", folder)
        twin = yaml.safe_load((folder / "twin.yaml").read_text(encoding="utf-8"))
        before = json.dumps(twin, default=str)
        change(twin)
        if json.dumps(twin, default=str) != before:
            text = yaml.safe_dump(twin, sort_keys=False, allow_unicode=True)
            (folder / "twin.yaml").write_text(text, encoding="utf-8")
        return folder

    return copy


def _quick(twin: dict[str, Any]) -> None:
    """Mesoscopic and once: good for who goes where, not for jams and emissions."""
    twin["run"]["replicates"] = 1
    twin["components"]["traffic"]["params"]["mesoscopic"] = True


@pytest.fixture(scope="module")
def quick(make: Callable[..., Path]) -> dict[str, Any]:
    before = _tree()
    folder = make(_quick)
    record = _run(folder)
    assert _tree() == before, "the data folder must stay as it is"
    return record | {"folder": folder}


def test_the_simulated_hour_pairs_with_the_counts_of_the_same_hour(quick: dict[str, Any]) -> None:
    """31 loops of 54 have a detector of their code; a shift by an hour or a wrong join would break either figure."""
    assert set(quick["scenarios"]) == {"base", "slow"}
    for scenario in quick["scenarios"]:
        assert _values(quick, "fit_pairs")[scenario] == [31]
        assert 0.85 < _values(quick, "fit_correlation")[scenario][0] < 0.98
        flags = {f["name"]: f["values"] for f in quick["scenarios"][scenario]["flags"]}
        assert flags["unpaired_observations"] == [54 - 31]


def test_everyone_arrives_or_is_counted(quick: dict[str, Any]) -> None:
    counted = [_values(quick, k) for k in ("arrived", "under_way", "never_in")]
    for scenario in quick["scenarios"]:
        assert sum(values[scenario][0] for values in counted) == VEHICLES
        assert counted[1][scenario] == counted[2][scenario] == [0]
    distance = _values(quick, "distance")
    assert distance["slow"] == pytest.approx(distance["base"], rel=0.001), "all keep their routes"
    assert _values(quick, "mean_trip")["slow"] > _values(quick, "mean_trip")["base"]


def test_who_has_not_arrived_is_counted_when_the_clock_stops_early(make: Callable[..., Path]) -> None:
    def half_an_hour(twin: dict[str, Any]) -> None:
        _quick(twin)
        twin["time"]["end"] = "2024-02-01T07:30Z"
        twin["time"]["start"] = "2024-02-01T07:00Z"
        twin["components"]["fit"]["step"] = twin["components"]["station"]["step"] = "30min"

    record = _run(make(half_an_hour))
    for scenario in ("base", "slow"):
        assert _values(record, "under_way")[scenario][0] > 100
        flags = {f["name"]: f["values"][0] for f in record["scenarios"][scenario]["flags"]}
        left = _values(record, "under_way")[scenario][0] + _values(record, "never_in")[scenario][0]
        assert flags["not_arrived"] == left


def test_another_hour_of_the_day_finds_no_count(make: Callable[..., Path]) -> None:
    def an_hour_later(twin: dict[str, Any]) -> None:
        _quick(twin)
        twin["time"] |= {"start": "2024-02-01T06:00Z", "end": "2024-02-01T08:00Z"}
        del twin["scenarios"]["slow"]

    record = _run(make(an_hour_later))
    assert _values(record, "fit_pairs")["base"] == [0]
    assert _values(record, "fit_correlation")["base"] == [None]


def test_the_page_says_what_the_comparison_with_counts_is_worth(
    quick: dict[str, Any], tmp_path: Path
) -> None:
    done = _command("view", str(quick["folder"]), "--out", str(tmp_path / "page.html"))
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    for words in ("EPL-2.0", "Comune di Bologna", "15 years", "30 km/h limit was already in force"):
        assert words in page


def test_without_the_data_folder_the_variable_is_named(tmp_path: Path) -> None:
    shutil.copy(EXAMPLE / "twin.yaml", tmp_path)
    keep = {k: v for k, v in os.environ.items() if k != "LDT_DATA"}
    words = [sys.executable, "-m", "ldt_core.cli", "check", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, env=keep)
    assert done.returncode == 10
    assert "LDT_DATA" in done.stderr


@pytest.mark.slow
def test_the_whole_example(make: Callable[..., Path]) -> None:
    """The figures of the README: three microscopic replicates of the hour, everyone arrives."""
    before = _tree()
    record = _run(make())
    assert _tree() == before
    assert record["replicates"] == 3

    def means(kpi: str) -> tuple[float, float]:
        found = _values(record, kpi)
        return sum(found["base"]) / 3, sum(found["slow"]) / 3

    assert means("arrived") == (VEHICLES, VEHICLES)
    assert means("fit_pairs") == (31, 31)
    assert means("fit_correlation") == (pytest.approx(0.937, abs=0.01), pytest.approx(0.923, abs=0.015))
    assert means("mean_trip") == (pytest.approx(383, rel=0.05), pytest.approx(587, rel=0.05))
    base, slow = means("distance")
    assert slow == pytest.approx(base, rel=1e-3)
    for kpi, change in (("nox", 0.17), ("co2", 0.27), ("nox_station", 0.14)):
        base, slow = means(kpi)
        assert slow / base - 1 == pytest.approx(change, abs=0.05)
