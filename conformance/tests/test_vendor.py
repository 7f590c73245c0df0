"""``conformance.toml``: what is read from it, and what is said of one that cannot be used."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest
from ldt_conformance.vendor import VendorError, example_of, read_vendor, waivers_of

import ldt_core as ldt

PORT = ldt.Port(
    {
        "time": ldt.instant(),
        "station": ldt.text(),
        "air": ldt.number("Cel", "air_temperature", nulls=True),
        "open": ldt.boolean(),
    },
    entity="station",
    id="station",
)
WHOLE = """
[component.heat-load]
params = {threshold = "300 K"}
start = 2026-03-02T06:00:00+01:00
step = "15min"
windows = 4
seed = 7
crs = "EPSG:3067"
bbox = [1.0, 2.0, 3.0, 4.0]
inputs = {air = "air.csv"}
tolerances = {load = 1e-6}

[[waiver]]
requirement = "LDT-MOD-DET-01"
reason = "mended in the next release"
expires = 2027-01-01

[[waiver]]
requirement = "LDT-MOD-DET-01"
component = "other"
reason = "was mended some time ago"
expires = 2026-01-01
"""
CSV = "\ufeffstation,time,air,open\nZoë,2026-03-02T06:00:00+01:00,21.5,true\nb,2026-03-02T05:00:00Z,,FALSE\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "conformance.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_whole_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "air.csv").write_text(CSV, encoding="utf-8")
    found = example_of(read_vendor(written(tmp_path, WHOLE)), "heat-load", tmp_path, {"air": PORT})
    assert found.params == {"threshold": "300 K"}
    assert found.start == np.datetime64("2026-03-02T05:00", "us")
    assert (found.step, found.windows, found.seed) == (ldt.parse_duration("15min"), 4, 7)
    assert found.bbox == (1.0, 2.0, 3.0, 4.0)
    air = found.inputs["air"]
    assert list(air["station"]) == ["Zoë", "b"]
    assert list(air["time"]) == [found.start] * 2
    assert list(air.mask("air")) == [False, True]
    assert list(air["open"]) == [True, False]


def test_a_component_that_is_not_named_gets_the_defaults_and_its_own_step(tmp_path: Path) -> None:
    found = example_of(read_vendor(written(tmp_path, "")), "heat-load", tmp_path, {}, "5min")
    assert (found.params, found.inputs, found.cases) == ({}, {}, ())
    assert found.step == ldt.parse_duration("5min")


def test_a_waiver_that_has_expired_is_none(tmp_path: Path) -> None:
    found = waivers_of(read_vendor(written(tmp_path, WHOLE)), date(2026, 11, 25))
    assert [(w.requirement, w.component) for w in found] == [("LDT-MOD-DET-01", None)]


def test_cases_are_those_of_the_component(tmp_path: Path) -> None:
    (tmp_path / "cases").mkdir()
    for name in ("heat-load", "other"):
        (tmp_path / "cases" / f"{name}.json").write_text(f'{{"component": "{name}"}}', encoding="utf-8")
    found = example_of(read_vendor(written(tmp_path, "")), "heat-load", tmp_path, {})
    assert found.cases == ({"component": "heat-load"},)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[component.a]\nparms = {}\n", "did you mean 'params'"),
        ("[component.a]\nwindows = 0\n", "component.a.windows"),
        ("[component.a]\nstart = 2026-03-02T06:00:00\n", "an instant says its zone"),
        ("[component.a]\nstep = '5 m'\n", "is not a duration"),
        ("[servise]\n", "did you mean 'service'"),
        ("[component.a\n", "it is no TOML"),
        (
            "[[waiver]]\nrequirement='LDT-MOD-DET-02'\nreason='a long reason'\nexpires=2027-01-01",
            "LDT-MOD-DET-01",
        ),
        ("[[waiver]]\nrequirement='LDT-MOD-DET-01'\nreason='no'\nexpires=2027-01-01", "waiver.0.reason"),
        ("[[waiver]]\nrequirement='LDT-MOD-DET-01'\nreason='a long reason'", "waiver.0.expires"),
    ],
)
def test_what_is_wrong_with_it_is_said(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(VendorError) as raised:
        read_vendor(written(tmp_path, text))
    assert words in str(raised.value)
    assert "conformance.toml" in str(raised.value)


def test_the_line_of_an_unknown_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(VendorError, match=r"conformance\.toml:4:"):
        read_vendor(written(tmp_path, "\n\n[component.a]\nparms = {}\n"))


def test_a_file_that_is_not_there_or_no_text_is_told(tmp_path: Path) -> None:
    with pytest.raises(VendorError, match="cannot be read"):
        read_vendor(tmp_path / "none.toml")
    (tmp_path / "conformance.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(VendorError, match="no TOML"):
        read_vendor(tmp_path / "conformance.toml")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("air.csv", "station,time,air\nb,2026-03-02T05:00:00Z,1\n", "it has no column 'open'"),
        ("air.csv", "station,time,air,open\nb,2026-03-02T05:00:00Z,warm,true\n", "'warm' is no number"),
        ("air.csv", "station,time,air,open\nb,yesterday,1,true\n", "yesterday"),
        ("air.csv", "station,time,air,open\n,2026-03-02T05:00:00Z,1,true\n", "station"),
        ("air.json", "{", "air.json"),
        ("air.json", '{"columns": {"air": [1]}}', "air"),
        ("gone.csv", None, "gone.csv"),
    ],
)
def test_a_table_that_does_not_fit_its_port_is_told(
    tmp_path: Path, name: str, text: str | None, words: str
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text, encoding="utf-8")
    found = read_vendor(written(tmp_path, f"[component.a]\ninputs = {{air = '{name}'}}\n"))
    with pytest.raises(VendorError) as raised:
        example_of(found, "a", tmp_path, {"air": PORT})
    assert words in str(raised.value)


def test_a_table_for_a_port_that_is_not_there_is_told(tmp_path: Path) -> None:
    found = read_vendor(written(tmp_path, "[component.a]\ninputs = {aire = 'air.csv'}\n"))
    with pytest.raises(VendorError, match="did you mean 'air'"):
        example_of(found, "a", tmp_path, {"air": PORT})


def test_a_case_that_is_no_case_is_told(tmp_path: Path) -> None:
    (tmp_path / "cases").mkdir()
    (tmp_path / "cases" / "odd.json").write_text("[]", encoding="utf-8")
    with pytest.raises(VendorError, match=r"odd\.json"):
        example_of(read_vendor(written(tmp_path, "")), "a", tmp_path, {})
