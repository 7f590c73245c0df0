"""Cars that charge: energy is kept, a split run equals the whole, low voltage slows them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ldt_simulator_pandapower.charging import EvCharging

import ldt_core as ldt

START = np.datetime64("2026-03-02T17:00", "us")
BUSES = ldt.Table({"bus": ["a", "b", "c"], "load": [100.0, 200.0, 0.0]})
MINUTE = 60 * ldt.SECOND


def arrivals(minutes: list[float]) -> ldt.Table:
    times = START + np.array([round(m * MINUTE) for m in minutes], "timedelta64[us]")
    return ldt.Table({"time": times, "trip": [f"t{m}" for m in minutes]})


def charging(params: dict[str, object], seed: int = 3) -> EvCharging:
    simulator = EvCharging(params, ldt.Context(start=START, seed=seed))
    simulator.initialize({"buses": BUSES})
    return simulator


def step(
    simulator: EvCharging, until: float, minutes: list[float], voltage: float | None = None
) -> tuple[float, int, float]:
    """Mean kW of all buses, cars at the end, kWh that they still need."""
    inputs = {"arrivals": arrivals(minutes)}
    if voltage is not None:
        inputs["voltage"] = ldt.Table({"bus": ["a", "b", "c"], "voltage": [voltage] * 3})
    tables = simulator.step(inputs, round(until * MINUTE))
    for name, table in tables.items():
        ldt.check(table, EvCharging.outputs[name], name)
    waiting = tables["waiting"]
    return float(tables["demand"]["power"].sum()), int(waiting["cars"].sum()), float(waiting["energy"].sum())


def test_one_car_charges_from_its_arrival_until_it_is_full() -> None:
    simulator = charging({"share": 1, "energy": 11, "power": 11})
    power, cars, left = step(simulator, 30, [15])
    assert (power, cars, left) == (pytest.approx(5.5), 1, pytest.approx(8.25))
    assert step(simulator, 60, []) == (pytest.approx(11), 1, pytest.approx(2.75))
    assert step(simulator, 90, []) == (pytest.approx(5.5), 0, 0.0)
    assert step(simulator, 120, []) == (0.0, 0, 0.0)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 5999), unique=True, max_size=40),
    st.lists(st.integers(1, 59), min_size=1, max_size=5, unique=True),
    st.floats(0, 1),
)
def test_energy_is_kept_however_the_hour_is_cut(hundredths: list[int], cuts: list[int], share: float) -> None:
    minutes = [h / 100 for h in sorted(hundredths)]
    whole = charging({"share": share})
    power, cars, left = step(whole, 60, minutes)
    parts, before, energy = charging({"share": share}), 0, 0.0
    for until in [*sorted(cuts), 60]:
        kilowatts, *rest = step(parts, until, [m for m in minutes if before <= m < until])
        energy, before = energy + kilowatts * (until - before) / 60, until
    assert energy == pytest.approx(power, abs=1e-6)
    assert rest[0] == cars
    assert rest[1] == pytest.approx(left, abs=1e-6)
    electric = int((whole.context.rng_for([f"t{m}" for m in minutes], "electric") < share).sum())
    assert energy + left == pytest.approx(8.0 * electric, abs=1e-6)


def test_low_voltage_slows_and_stops() -> None:
    params = {"share": 1, "droop": {"full": 0.95, "none": 0.85}, "power": 10}
    assert step(charging(params), 30, [0], voltage=1.0)[0] == pytest.approx(10)
    assert step(charging(params), 30, [0], voltage=0.90)[0] == pytest.approx(5)
    assert step(charging(params), 30, [0], voltage=0.80)[0] == 0
    assert step(charging({"share": 1, "power": 10}), 30, [0], voltage=0.80)[0] == pytest.approx(10)


def test_a_saved_state_goes_on_bit_by_bit() -> None:
    first = charging({"share": 0.7})
    step(first, 7, [0, 1, 2.5, 6.9])
    second = charging({"share": 0.7})
    second.set_state(first.get_state())
    for until in (20, 33, 60):
        assert step(first, until, [until - 0.5]) == step(second, until, [until - 0.5])


def test_a_second_initialize_begins_anew() -> None:
    first, second = (charging({"share": 1}) for _ in range(2))
    step(second, 30, [1, 2, 3])
    second.initialize({"buses": BUSES})
    for until in (15, 30):
        assert step(first, until, [until - 0.5]) == step(second, until, [until - 0.5])


def test_a_step_that_cannot_be_made_plugs_nobody_in() -> None:
    simulator = charging({"share": 1, "droop": {"full": 0.95, "none": 0.85}})
    before = simulator.get_state()
    with pytest.raises(KeyError):
        simulator.step({"arrivals": arrivals([1]), "voltage": ldt.Table({"bus": ["a"]})}, MINUTE)
    assert simulator.get_state() == before


def test_chargers_stand_where_loads_are_or_where_they_are_named() -> None:
    waiting = charging({}).initialize({"buses": BUSES})["waiting"]
    assert waiting["bus"].tolist() == ["a", "b"]
    assert charging({"buses": ["c"]}).initialize({"buses": BUSES})["waiting"]["bus"].tolist() == ["c"]
    with pytest.raises(ldt.ParamError, match="no bus 'x'"):
        charging({"buses": ["x"]})
    with pytest.raises(ldt.ParamError, match="no bus has loads"):
        EvCharging().initialize({"buses": ldt.Table({"bus": ["a"], "load": [0.0]})})


def test_scenarios_share_the_draws_and_seeds_do_not() -> None:
    minutes = [float(m) for m in range(60)]
    few, more = (charging({"share": s, "energy": 1000}) for s in (0.2, 0.6))
    one, two = (step(s, 60, minutes) for s in (few, more))
    assert 0 < one[1] < two[1]
    assert set(few.context.rng_for([f"t{m}" for m in minutes], "electric") < 0.2) == {True, False}
    assert step(charging({"share": 0.2, "energy": 1000}, seed=4), 60, minutes) != one


@pytest.mark.parametrize(
    "state", [b"", b"{}", b'{"now": 0, "bus": ["z"], "left": [1]}', b'{"now": 0, "bus": [], "left": [1]}']
)
def test_torn_and_foreign_states_are_refused(state: bytes) -> None:
    with pytest.raises(ldt.InputError, match="no state"):
        charging({}).set_state(state)


def test_droop_is_written_in_order() -> None:
    with pytest.raises(ValueError, match="none lies below full"):
        EvCharging({"droop": {"full": 0.9, "none": 0.95}})
