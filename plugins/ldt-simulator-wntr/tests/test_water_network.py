"""Hydraulics: closed forms, EPANET uninterrupted, WNTR's own simulator, the balance of water."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
import wntr
from ldt_simulator_wntr.component import WaterNetwork
from wntr.epanet.toolkit import ENepanet

import ldt_core as ldt

HOUR = 3600 * ldt.SECOND
Make = Callable[..., WaterNetwork]
Play = Callable[..., list[dict[str, ldt.Table]]]
DAY = range(1, 25)


def column(results: Any, port: str, name: str) -> np.ndarray:
    return np.array([r[port][name] for r in results])


def shipped(name: str) -> str:
    return str(wntr.library.model_library.get_filepath(name))


def test_a_tank_drains_by_its_closed_form(
    small: Any, water: Make, play: Play, write: Callable[..., Path]
) -> None:
    results = play(water(file=write(small.TANK)), DAY)
    area = np.pi * 10**2 / 4
    expected = np.maximum(10 - 36 * np.array(DAY) / area, 0.0)
    np.testing.assert_allclose(column(results, "tanks", "level")[:, 0], expected, atol=1e-4)
    full = expected > 0
    np.testing.assert_allclose(column(results, "tanks", "volume")[full, 0], expected[full] * area, atol=0.02)
    np.testing.assert_allclose(column(results, "flow", "flow")[full, 0], 36, rtol=1e-6)
    speed = 36 / 3600 / (np.pi * 0.3**2 / 4)
    np.testing.assert_allclose(column(results, "flow", "velocity")[full, 0], speed, rtol=1e-4)
    assert results[0]["tanks"]["time"][0] == np.datetime64("2000-01-01T01:00")


def test_a_pumps_power_is_weight_times_head_by_efficiency(
    small: Any, water: Make, play: Play, write: Callable[..., Path]
) -> None:
    """One point of a curve stands for h = 4/3 h0 - h0/3 (q/q0)^2; here it lifts 30 m through wide pipes."""
    pumps = play(water(file=write(small.PUMP)), [1])[0]["pumps"]
    flow = 100 * np.sqrt((4 / 3 * 40 - 30) / (40 / 3))
    assert pumps["flow"][0] == pytest.approx(flow, rel=1e-4)
    assert pumps["head"][0] == pytest.approx(30, rel=1e-3)
    kilowatts = 9.81 * flow / 3600 * 30 / 0.60
    assert pumps["power"][0] == pytest.approx(kilowatts, rel=2e-3)  # EPANET's water weighs 62.4 lb/ft3
    assert pumps["running"][0] == 100


@pytest.mark.parametrize("pressure", [5.0, 10.0, 19.0])
def test_demand_follows_pressure_by_wagners_formula(
    small: Any, water: Make, play: Play, write: Callable[..., Path], pressure: float
) -> None:
    text = small.TANK.replace("T 20 10 0 12 10 0", f"T {pressure - 10} 10 0 12 1000 0")
    result = play(water(file=write(text), pressure={"required": "20 m", "minimum": "1 m"}), [1])[0][
        "pressure"
    ]
    share = ((result["pressure"][0] - 1) / 19) ** 0.5
    assert result["pressure"][0] == pytest.approx(pressure, abs=0.2)
    assert result["demand"][0] == pytest.approx(36 * share, rel=1e-3)
    assert result["demand"][0] + result["unmet"][0] == pytest.approx(36, rel=1e-6)


def test_windows_of_whole_hydraulic_steps_give_epanets_own_bits(
    water: Make, play: Play, tmp_path: Path
) -> None:
    """An uninterrupted run of the same library: levels of the tanks whenever an hour is full."""
    e = ENepanet(version=2.2)
    e.ENopen(shipped("Net3"), str(tmp_path / "whole.rpt"), "")
    e.ENopenH()
    e.ENinitH(10)
    tanks = [e.ENgetnodeindex(name) for name in ("1", "2", "3")]
    heads = {}
    while True:
        heads[e.ENrunH()] = [e.ENgetnodevalue(i, 10) for i in tanks]
        if e.ENnextH() <= 0:
            break
    e.ENclose()
    component = water(network="Net3")
    results = play(component, [1, 2, 5, 6, *range(7, 49)])
    bottoms = component.hydraulics.network.elevations[92:95]
    for hour, result in zip([1, 2, 5, 6, *range(7, 49)], results, strict=True):
        expected = np.array(heads[hour * 3600]) * 0.3048 - bottoms
        assert result["tanks"]["level"].tolist() == expected.tolist(), hour


def test_it_agrees_with_wntrs_simulator(water: Make, play: Play, tmp_path: Path) -> None:
    """WNTR writes the file anew in SI units and reads EPANET's results in single precision."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wn = wntr.network.WaterNetworkModel(shipped("Net1"))
        wn.options.time.duration = 24 * 3600
        whole = wntr.sim.EpanetSimulator(wn).run_sim(file_prefix=str(tmp_path / "wntr"))
    results = play(water(network="Net1"), DAY)
    levels = column(results, "tanks", "level")[:, 0]
    heads = whole.node["head"]["2"].to_numpy()[1:25]
    np.testing.assert_allclose(levels, heads - wn.get_node("2").elevation, atol=2e-3)
    # No control falls into these hours, so the hour's mean is the state at its start.
    for hour in (1, 2, 3):
        pressure = results[hour - 1]["pressure"]
        wanted = whole.node["pressure"].loc[(hour - 1) * 3600, pressure["node"].tolist()]
        np.testing.assert_allclose(pressure["pressure"], wanted, atol=5e-3)
        flow = results[hour - 1]["flow"]
        wanted = whole.link["flowrate"].loc[(hour - 1) * 3600, flow["pipe"].tolist()] * 3600
        np.testing.assert_allclose(flow["flow"], wanted, atol=0.2)


@pytest.mark.parametrize("params", [{"network": "Net3"}, {"network": "ky10", "pressure": {}}])
def test_water_is_neither_made_nor_lost(water: Make, play: Play, params: dict[str, Any]) -> None:
    component = water(**params)
    before = component.hydraulics.tanks()[1].sum()
    results = play(component, [0.25, 0.5, 1, 2, 4, 8, 12])
    b = {n: column(results, "balance", n)[:, 0] for n in ("from_sources", "delivered", "into_tanks")}
    np.testing.assert_allclose(b["from_sources"], b["delivered"] + b["into_tanks"], rtol=2e-3, atol=1)
    volumes = column(results, "tanks", "volume").sum(axis=1)
    np.testing.assert_allclose(np.diff([before, *volumes]), b["into_tanks"], rtol=1e-6, atol=0.5)
    energy = (column(results, "pumps", "power").sum(axis=1) * np.diff([0, 0.25, 0.5, 1, 2, 4, 8, 12])).sum()
    assert energy == pytest.approx(column(results, "balance", "pump_energy").sum())
    assert energy > 100


def test_units_of_the_file_do_not_matter(water: Make, play: Play, tmp_path: Path) -> None:
    wn = wntr.network.WaterNetworkModel(shipped("Net1"))
    wntr.network.write_inpfile(wn, str(tmp_path / "si.inp"), units="LPS")
    us, si = play(water(network="Net1"), [6])[0], play(water(file=tmp_path / "si.inp"), [6])[0]
    for port, name in (("pressure", "pressure"), ("flow", "flow"), ("pumps", "power"), ("tanks", "level")):
        np.testing.assert_allclose(us[port][name], si[port][name], rtol=2e-3, atol=0.05)


def test_begin_computes_the_hours_before(water: Make, play: Play) -> None:
    later = play(water(network="Net3", begin="6h"), range(1, 7))
    whole = play(water(network="Net3"), range(1, 13))[6:]
    assert column(later, "tanks", "level").tolist() == column(whole, "tanks", "level").tolist()
    assert column(later, "pumps", "power").tolist() == column(whole, "pumps", "power").tolist()


def test_a_placed_network_fits_its_square_and_is_called_synthetic(tmp_path: Path) -> None:
    place = {"x": 385950.0, "y": 6672300.0, "width": "2 km"}
    component = WaterNetwork({"network": "Net3", "place": place}, ldt.Context(scratch=tmp_path))
    start = component.initialize({})
    component.finalize()
    west, south, east, north = shapely.total_bounds(start["nodes"]["geometry"])
    assert max(east - west, north - south) == pytest.approx(2000)
    assert ((west + east) / 2, (south + north) / 2) == pytest.approx((385950, 6672300))
    at = dict(zip(start["nodes"]["node"], start["nodes"]["geometry"], strict=True))
    for a, b, line in zip(*(start["pipes"][c] for c in ("from_node", "to_node", "geometry")), strict=True):
        assert line.coords[0] == at[a].coords[0]
        assert line.coords[-1] == at[b].coords[0]
    _, outputs = component.ports()
    assert outputs["pipes"].columns["geometry"].crs == "twin"
    assert "not the city's own" in (outputs["pressure"].synthetic or "")
    unplaced = WaterNetwork({"network": "Net3"}).ports()[1]["pipes"]
    assert unplaced.columns["geometry"].crs is None
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("params", "word"),
    [
        ({"network": "Net33"}, "did you mean Net3"),
        ({"file": "broken.inp"}, "cannot be read"),
    ],
)
def test_networks_that_are_none_are_refused(
    tmp_path: Path, write: Callable[..., Path], params: dict[str, str], word: str
) -> None:
    write("[PIPES]\nP A B 1 1\n", "broken.inp")
    given = {k: str(tmp_path / v) if k == "file" else v for k, v in params.items()}
    with pytest.raises(ldt.ParamError) as failed:
        WaterNetwork(given, ldt.Context(scratch=tmp_path)).initialize({})
    assert word in str(failed.value)


def test_parameters_that_contradict_each_other_are_refused() -> None:
    for params, word in (
        ({}, "give one of"),
        ({"network": "Net1", "undervoltage": 0.95}, "restart lies"),
        ({"network": "Net1", "pressure": {"minimum": 30}}, "minimum lies below"),
        ({"network": "Net1", "hydraulic_step": "1.5s"}, "whole number of seconds"),
    ):
        with pytest.raises(ValueError, match=word):
            WaterNetwork(params)


def test_describing_the_component_imports_no_wntr() -> None:
    code = (
        "import sys, ldt_simulator_wntr as p; p.ldt_simulators()[0]({'network': 'Net3'}).ports();"
        "print([m for m in ('pandas', 'wntr') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_it_writes_nothing_into_the_home_of_its_user(
    small: Any, write: Callable[..., Path], tmp_path: Path
) -> None:
    """In a new process: matplotlib, which wntr imports, keeps a list of fonts where it is told to when it is imported first."""
    folders = {name: tmp_path / name for name in ("home", "scratch", "cache")}
    for folder in folders.values():
        folder.mkdir()
    code = (
        "import sys; from pathlib import Path; import ldt_core as ldt; from ldt_simulator_wntr.component import WaterNetwork\n"
        "file, scratch, cache = map(Path, sys.argv[1:])\n"
        "WaterNetwork({'file': str(file)}, ldt.Context(scratch=scratch, cache=cache)).initialize({})"
    )
    unset = {
        k: v for k, v in os.environ.items() if k not in ("MPLCONFIGDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
    }
    words = [
        sys.executable,
        "-W",
        "ignore",
        "-c",
        code,
        write(small.TANK),
        folders["scratch"],
        folders["cache"],
    ]
    subprocess.run(words, check=True, env={**unset, "HOME": str(folders["home"])})
    assert list(folders["home"].iterdir()) == []
    assert list(folders["cache"].iterdir())
