"""Real exports with real faults: byte order marks, wide hours, damaged coordinates, clock changes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from ldt_source_csv import Csv

import ldt_core as ldt

_DATA = Path(os.environ.get("LDT_DATA", "/nonexistent"), "bologna")
pytestmark = [
    pytest.mark.citydata,
    pytest.mark.skipif(not _DATA.is_dir(), reason="LDT_DATA names no folder with bologna/"),
]
LOOPS = "traffic_counts/loops_hourly_2024-02-01_02.csv"
HOURS = {"columns": r"(\d\d:\d\d)-\d\d:\d\d", "key": "hour", "value": "n"}


def _read(file: str, **params: Any) -> tuple[ldt.Table, dict[str, float]]:
    source = Csv({"file": str(_DATA / file), **params})
    tables = source.read(ldt.Query())
    assert isinstance(tables, dict)
    ldt.check(tables["rows"], source.ports()[1]["rows"], file)
    return tables["rows"], {f.name: f.value for f in source.context.flags}


def test_hourly_loops_of_two_days_as_rows() -> None:
    rows, _ = _read(
        LOOPS,
        melt=HOURS,
        time={"column": ["data", "hour"], "zone": "Europe/Rome"},
        columns={
            "loop": {"from": "codice_spira"},
            "count": {"from": "n", "unit": "{veh}", "quantity": "x:vehicle_count", "cell": "sum"},
        },
        point={"text": "geopoint", "order": "lat, lon"},
    )
    assert len(rows) == 104 * 24
    first = np.flatnonzero(rows["loop"] == "0.127 2.19 10 1")
    peak = first[rows["time"][first] == np.datetime64("2024-02-01T07:00")]
    assert rows["count"][peak].tolist() == [366], "08:00-09:00 in Bologna is 07:00 UTC in February"
    assert (rows["time"] == np.datetime64("2024-02-01T07:00")).sum() == 54
    west, south, east, north = shapely.total_bounds(rows["geometry"])
    assert 11.30 < west < east < 11.34
    assert 44.48 < south < north < 44.52


def test_coordinates_with_lost_decimal_signs_are_refused() -> None:
    with pytest.raises(ldt.InputError, match=r"113\.160\.312\.523\.868") as caught:
        _read(LOOPS, point={"x": "longitudine", "y": "latitudine"})
    assert caught.value.where.endswith(f"{Path(LOOPS).name}:2:longitudine")


def test_half_hours_of_six_years() -> None:
    rows, flags = _read(
        "traffic_counts/viali_halfhour_2019_2025.csv",
        melt={"columns": r"(\d+\.\d\d) - \d+\.\d\d", "key": "hour", "value": "n"},
        time={"column": ["data", "hour"], "format": "%Y-%m-%d %H.%M", "zone": "Europe/Rome"},
        drop_missing=["data"],
        columns={"loop": {"from": "Codice"}, "n": {"unit": "{veh}", "cell": "sum", "nulls": True}},
    )
    assert len(rows) == 6102 * 48
    assert flags == {"dropped_rows": 1}
    assert rows.mask("n").sum() == 28_570 - 48, "the row that was left out has 48 of the empty cells"


def test_a_series_in_standard_time_tells_itself_from_local_time() -> None:
    def no2(zone: str) -> ldt.Table:
        return _read(
            "air_quality/NO2_hourly.csv",
            time={"column": "data", "zone": zone},
            columns={"no2": {"from": "PORTA SAN FELICE", "unit": "ug/m3", "nulls": True}},
        )[0]

    with pytest.raises(ldt.InputError, match="does not exist in Europe/Rome"):
        no2("Europe/Rome")
    rows = no2("+01:00")
    assert len(rows) == 8784
    assert set(np.diff(rows["time"])) == {np.timedelta64(3600, "s")}


def test_an_archive_of_a_year_of_quarter_hours() -> None:
    rows, _ = _read(
        "traffic_counts/regional_mts_15min_by_class_2024.zip",
        columns={"station": {"from": "MTSStationID"}, "n": {"from": "TransitCount", "kind": "integer"}},
    )
    assert len(rows) == 399_149
    assert len(set(rows["station"])) == 7
