"""The power flow: closed forms, pandapower itself, what comes in, what fails."""

from __future__ import annotations

import io
import math
import subprocess
import sys
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pandapower
import pandapower.networks
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ldt_simulator_pandapower.flow import PowerFlow

import ldt_core as ldt

pytestmark = pytest.mark.filterwarnings("ignore:.*tap_dependency_table:DeprecationWarning")
LINE = {"length_km": 5.0, "r_ohm_per_km": 0.3, "x_ohm_per_km": 0.35, "c_nf_per_km": 0.0, "max_i_ka": 0.3}


def two_buses(load: float = 2.0) -> Any:
    """20 kV, one line of 5 km without capacitance, one load in MW."""
    net = pandapower.create_empty_network()
    a, b = (pandapower.create_bus(net, 20.0, name=n) for n in ("a", "b"))
    pandapower.create_ext_grid(net, a, 1.0)
    pandapower.create_line_from_parameters(net, a, b, **LINE)
    pandapower.create_load(net, b, load, 0.0)
    return net


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pair") / "pair.json"
    pandapower.to_json(two_buses(), str(path))
    return path


def power(**kilowatts: float) -> ldt.Table:
    """By bus: b103=5 is 5 kW at bus 103."""
    return ldt.Table({"bus": [k[1:] for k in kilowatts], "power": list(kilowatts.values())})


def flow(model: PowerFlow, inputs: ldt.Tables | None = None) -> ldt.Tables:
    tables = model.compute(inputs or {})
    _, outputs = model.ports()
    return {name: ldt.check(table, outputs[name], name) for name, table in tables.items()}


def digests(tables: ldt.Tables) -> dict[str, str]:
    return {name: table.digest for name, table in tables.items()}


def drop(p: float, q: float) -> float:
    """Voltage (pu) at the end of the line for a load of p MW and q Mvar, by the formula of the two-bus line.

    u^2 solves u^4 + (2 (r p + x q) - 1) u^2 + (r^2 + x^2)(p^2 + q^2) = 0, all per unit.
    """
    base = 20.0**2
    r, x = 5 * 0.3 / base, 5 * 0.35 / base
    b = 2 * (r * p + x * q) - 1
    return math.sqrt((-b + math.sqrt(b * b - 4 * (r * r + x * x) * (p * p + q * q))) / 2)


@settings(max_examples=6, deadline=None)
@given(st.floats(-3000, 12_000), st.floats(0.85, 1.0))
def test_a_line_drops_the_voltage_by_the_formula(kilowatts: float, factor: float) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ldt_simulator_pandapower.network.read", lambda which: two_buses())
        model = PowerFlow({"network": "two buses", "power_factor": factor})
        tables = flow(model, {"demand": power(b1=kilowatts)})
    p = 2.0 + kilowatts / 1000
    q = kilowatts / 1000 * math.sqrt(1 - factor**2) / factor
    u = drop(p, q)
    assert tables["voltage"]["voltage"].tolist() == pytest.approx([1.0, u], abs=1e-8)
    current = math.hypot(p, q) / (math.sqrt(3) * 20 * u)
    assert tables["lines"]["loading"][0] == pytest.approx(100 * current / 0.3, rel=1e-6)
    assert tables["balance"]["losses"][0] == pytest.approx(1000 * 3 * 1.5 * current**2, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("name", ["mv_oberrhein", "case9", "example_multivoltage", "create_cigre_network_lv"])
def test_without_inputs_it_is_pandapowers_own_result(name: str) -> None:
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        net = getattr(pandapower.networks, name)()
        pandapower.runpp(net, numba=False)
    tables = flow(PowerFlow({"network": name}))
    np.testing.assert_allclose(tables["voltage"]["voltage"], net.res_bus.vm_pu.fillna(0), rtol=0, atol=1e-9)
    np.testing.assert_allclose(tables["lines"]["loading"], net.res_line.loading_percent.fillna(0), atol=1e-6)
    transformers = [*net.res_trafo.loading_percent, *net.res_trafo3w.loading_percent]
    np.testing.assert_allclose(tables["transformers"]["loading"], transformers, atol=1e-6)
    balance = {n: float(v[0]) for n, v in tables["balance"].columns.items() if n != "time"}
    assert balance["imported"] == pytest.approx(1000 * net.res_ext_grid.p_mw.sum(), abs=1e-3)
    given, taken = balance["imported"] + balance["generation"], balance["load"] + balance["losses"]
    assert given == pytest.approx(taken, abs=1e-3)
    assert balance["lowest_voltage"] == pytest.approx(net.res_bus.vm_pu.min(), abs=1e-9)


def test_case9_gives_the_published_bus_voltages() -> None:
    """Zimmerman, Murillo-Sanchez, Thomas: MATPOWER, its shipped solution of case9 (runpf)."""
    voltage = flow(PowerFlow({"network": "case9"}))["voltage"]["voltage"]
    expected = [1.0, 1.0, 1.0, 0.987, 0.975, 1.003, 0.986, 0.996, 0.958]
    assert np.round(voltage, 3).tolist() == expected


def test_scales_replace_the_networks_own() -> None:
    own = flow(PowerFlow({"network": "mv_oberrhein"}))["balance"]
    full = flow(PowerFlow({"network": "mv_oberrhein", "load_scale": 1, "generation_scale": 1}))["balance"]
    assert own["load"][0] == pytest.approx(0.6 * full["load"][0], rel=1e-9)
    assert own["generation"][0] == 0
    assert full["generation"][0] > 1000
    assert full["imported"][0] < full["load"][0]


def test_load_and_generation_of_a_bus_replace_its_own_and_demand_comes_on_top(pair: Path) -> None:
    model = PowerFlow({"file": str(pair)})
    base = flow(model)["balance"]["load"][0]
    assert base == pytest.approx(2000)
    assert flow(model, {"load": power(b1=500)})["balance"]["load"][0] == pytest.approx(500)
    assert flow(model, {"load": power(b0=500)})["balance"]["load"][0] == pytest.approx(2500)
    assert flow(model, {"demand": power(b1=500, b0=100)})["balance"]["load"][0] == pytest.approx(2600)
    sunny = flow(model, {"generation": power(b1=800)})["balance"]
    assert sunny["generation"][0] == pytest.approx(800)
    assert sunny["imported"][0] + 800 == pytest.approx(2000 + sunny["losses"][0], abs=1e-3)
    both = {"load": ldt.Table({"bus": ["1", "1"], "power": [300.0, 200.0]})}
    assert flow(model, both)["balance"]["load"][0] == pytest.approx(500)


def test_a_window_does_not_depend_on_those_before() -> None:
    model = PowerFlow({"network": "mv_oberrhein"})
    first = digests(flow(model))
    bus = {"demand": power(b103=4000), "switching": ldt.Table({"line": ["1"], "closed": [False]})}
    other = digests(flow(model, bus))
    assert other != first
    assert digests(flow(model)) == first
    assert digests(flow(PowerFlow({"network": "mv_oberrhein"}), bus)) == other


def test_zero_demand_changes_nothing() -> None:
    model = PowerFlow({"network": "mv_oberrhein"})
    buses = flow(model)["voltage"]["bus"]
    nothing = ldt.Table({"bus": buses, "power": np.zeros(len(buses))})
    assert digests(flow(model)) == digests(flow(model, {"demand": nothing}))


def test_an_opened_line_leaves_what_it_fed_without_voltage(pair: Path) -> None:
    tables = flow(
        PowerFlow({"file": str(pair)}), {"switching": ldt.Table({"line": ["0"], "closed": [False]})}
    )
    assert tables["voltage"]["voltage"].tolist() == [1.0, 0.0]
    assert tables["balance"]["unserved"][0] == pytest.approx(2000)
    assert tables["balance"]["load"][0] == 0
    assert tables["balance"]["lowest_voltage"][0] == 1.0
    assert tables["lines"]["loading"][0] == 0


def test_a_line_that_is_out_of_service_stays_out(pair: Path) -> None:
    model = PowerFlow({"file": str(pair), "open_lines": ["0"]})
    assert flow(model)["voltage"]["voltage"].tolist() == [1.0, 0.0]
    assert flow(model)["balance"]["unserved"][0] == pytest.approx(2000)
    with pytest.raises(ldt.InputError, match="no line '7'"):
        flow(PowerFlow({"file": str(pair), "open_lines": ["7"]}))


def test_consumers_of_another_component_draw_at_their_bus_and_see_its_voltage(pair: Path) -> None:
    who = {"entity": "water-pump", "id": "pump", "bus": {"P1": "1", "P2": "0"}}
    model = PowerFlow({"file": str(pair), "consumers": who})
    inputs, outputs = model.ports()
    assert inputs["consumers"].entity == outputs["supply"].entity == "water-pump"
    tables = flow(model, {"consumers": ldt.Table({"pump": ["P2", "P1"], "power": [50.0, 1000.0]})})
    assert tables["balance"]["load"][0] == pytest.approx(3050)
    assert tables["supply"]["pump"].tolist() == ["P1", "P2"]
    assert tables["supply"]["voltage"].tolist() == [tables["voltage"]["voltage"][1], 1.0]
    tangent = math.sqrt(1 - 0.97**2) / 0.97
    assert tables["voltage"]["voltage"][1] == pytest.approx(drop(3.0, tangent), abs=1e-8)
    with pytest.raises(ldt.InputError, match="nothing says which bus feeds pump 'P9'"):
        model.compute({"consumers": ldt.Table({"pump": ["P9"], "power": [1.0]})})


def test_more_than_the_grid_can_carry_is_an_error_with_its_window(pair: Path) -> None:
    context = ldt.Context(start=np.datetime64("2026-03-02T17:00", "us"))
    model = PowerFlow({"file": str(pair)}, context)
    with pytest.raises(ldt.InputError) as failed:
        model.compute({"demand": power(b1=400_000)})
    assert failed.value.code == "not converged"
    assert "402.000 MW of load" in failed.value.what
    assert "2026-03-02T17:00" in failed.value.where
    assert "kW" in failed.value.fix
    assert flow(model)["balance"]["load"][0] == pytest.approx(2000)


@pytest.mark.parametrize(
    ("inputs", "word"),
    [
        ({"demand": power(b77=1)}, "no bus '77'"),
        ({"switching": ldt.Table({"line": ["9"], "closed": [True]})}, "no line '9'"),
    ],
)
def test_ids_that_the_network_does_not_have_are_refused(pair: Path, inputs: ldt.Tables, word: str) -> None:
    with pytest.raises(ldt.InputError, match=word) as failed:
        PowerFlow({"file": str(pair)}).compute(inputs)
    assert failed.value.code == "ids do not pair"


@pytest.mark.parametrize(
    ("params", "word"),
    [
        ({"network": "mv_oberhein"}, "did you mean mv_oberrhein"),
        ({"network": "create_empty_network"}, "no network"),
        ({"file": "{tmp}/broken.json"}, "cannot be read"),
        ({"file": "{tmp}/empty.json"}, "0 buses"),
    ],
)
def test_networks_that_are_none_are_refused(tmp_path: Path, params: dict[str, str], word: str) -> None:
    (tmp_path / "broken.json").write_text('{"bus": [1, 2')
    pandapower.to_json(pandapower.create_empty_network(), str(tmp_path / "empty.json"))
    given = {k: v.replace("{tmp}", str(tmp_path)) for k, v in params.items()}
    with pytest.raises(ldt.ParamError) as failed:
        PowerFlow(given).compute({})
    assert word in str(failed.value)


def test_a_network_is_named_once() -> None:
    for params in ({}, {"network": "case9", "file": "x.json"}):
        with pytest.raises(ValueError, match="give one of"):
            PowerFlow(params)


def test_describing_the_components_imports_no_pandas() -> None:
    code = (
        "import sys, ldt_simulator_pandapower as p;"
        "p.ldt_models()[0]({'network': 'case9'}).ports(); p.ldt_data_sources(); p.ldt_simulators();"
        "print([m for m in ('pandas', 'pandapower') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
