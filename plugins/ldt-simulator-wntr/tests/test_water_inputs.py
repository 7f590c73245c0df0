"""What the network is told, what it remembers of it, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ldt_simulator_wntr.component import WaterNetwork

import ldt_core as ldt

HOUR = 3600 * ldt.SECOND
Make = Callable[..., WaterNetwork]
Play = Callable[..., list[dict[str, ldt.Table]]]
Write = Callable[..., Path]


def rows(id: str, name: str, **values: Any) -> ldt.Table:
    return ldt.Table({id: list(values), name: list(values.values())})


def power(results: list[dict[str, ldt.Table]]) -> list[bool]:
    return [bool(r["pumps"]["power"][0] > 0) for r in results]


def test_given_demand_replaces_pattern_and_base_and_ends_with_its_row(
    small: Any, water: Make, play: Play, write: Write
) -> None:
    text = small.TANK.replace("A 0 36", "A 0 36 X").replace("[OPTIONS]", "[PATTERNS]\nX 0.5 2\n[OPTIONS]")
    told = {1.0: {"demand": rows("node", "demand", A=7.0)}, 3.0: {"factors": rows("node", "factor", A=0.5)}}
    results = play(water(file=write(text)), range(1, 7), lambda h: told.get(h, {}))
    delivered = [float(r["pressure"]["demand"][0]) for r in results]
    assert delivered == pytest.approx([18, 7, 18, 36, 18, 72], rel=1e-6)


def test_the_files_own_multiplier_does_not_change_what_is_given(
    small: Any, water: Make, play: Play, write: Write
) -> None:
    text = small.TANK.replace("Units CMH", "Units CMH\nDemand Multiplier 2")
    component = water(file=write(text), demand_factor=1.5)
    results = play(component, [1, 2], lambda h: {"demand": rows("node", "demand", A=7.0)} if h else {})
    assert [float(r["pressure"]["demand"][0]) for r in results] == pytest.approx([108, 7], rel=1e-6)


def test_factors_of_one_change_nothing(water: Make, play: Play) -> None:
    own = play(water(network="Net3"), [1, 2, 6])
    component = water(network="Net3")
    told = {
        "factors": ldt.Table({"node": component.hydraulics.network.junctions, "factor": np.ones(92)}),
        "supply": ldt.Table({"pump": ["10", "335"], "voltage": [1.0, 1.0]}),
        "open": ldt.Table({"pipe": ["330"], "open": [True]}),
    }
    same = play(component, [1, 2, 6], lambda h: told)
    assert [{n: t.digest for n, t in r.items()} for r in own] == [
        {n: t.digest for n, t in r.items()} for r in same
    ]


def test_low_voltage_stops_a_pump_until_it_is_well_again(
    small: Any, water: Make, play: Play, write: Write
) -> None:
    volts = [1.0, 0.86, 0.84, 0.88, 0.90, 1.0]
    results = play(
        water(file=write(small.PUMP.replace("LINK M CLOSED AT TIME 5", ""))),
        range(1, 7),
        lambda h: {"supply": rows("pump", "voltage", M=volts[int(h)])},
    )
    assert power(results) == [True, True, False, False, True, True]
    stopped = results[2]["pumps"]
    assert (stopped["flow"][0], stopped["running"][0], stopped["head"][0]) == (
        pytest.approx(0, abs=1e-3),
        0,
        0,
    )


def test_a_timer_that_went_off_meanwhile_counts_when_the_pump_is_free(
    small: Any, water: Make, play: Play, write: Write
) -> None:
    """Closed at 5, opened at 7 by the clock: what held while it was kept shut holds when it is let go."""

    def kept(*hours: int) -> list[bool]:
        component = water(file=write(small.PUMP))
        return power(
            play(
                component, range(1, 10), lambda h: {"available": rows("pump", "available", M=h not in hours)}
            )
        )

    assert kept() == [True] * 5 + [False] * 2 + [True] * 2
    assert kept(4, 5) == [True] * 4 + [False] * 3 + [True] * 2
    assert kept(6, 7) == [True] * 5 + [False] * 3 + [True]
    assert kept(1, 2) == [True] + [False] * 2 + [True] * 2 + [False] * 2 + [True] * 2
    assert kept(3, 4, 5, 6, 7) == [True] * 3 + [False] * 5 + [True]


def test_a_control_by_level_cannot_open_what_is_kept_shut(water: Make, play: Play) -> None:
    """Net3 opens pump 335 when tank 1 is below 17.1 ft, which it is in the first four hours."""
    shut = {"available": ldt.Table({"pump": ["335"], "available": [False]})}
    results = play(water(network="Net3", pressure={}), range(1, 5), lambda h: shut if h in (1, 2) else {})
    assert [r["pumps"]["running"][1] > 0 for r in results] == [True, False, False, True]
    assert [r["balance"]["into_tanks"][0] > 0 for r in results] == [True, False, False, True]


def test_what_is_out_of_service_never_runs_after_the_start(water: Make, play: Play) -> None:
    component = water(network="Net3", begin="2h", out_of_service=["335"])
    results = play(component, [1, 2], lambda h: {"available": rows("pump", "available", **{"335": True})})
    assert [r["pumps"]["running"].tolist() for r in results] == [[100, 0], [100, 0]]
    with pytest.raises(ldt.ParamError, match="no pump, pipe or valve 'X'"):
        water(network="Net3", out_of_service=["X"])


def test_a_rule_cannot_open_what_is_kept_shut(small: Any, water: Make, play: Play, write: Write) -> None:
    rule = "[RULES]\nRULE 1\nIF SYSTEM TIME >= 0\nTHEN PUMP M STATUS IS OPEN\n[ENERGY]"
    text = small.PUMP.replace("LINK M CLOSED AT TIME 5", "").replace("[ENERGY]", rule)
    shut = {"available": rows("pump", "available", M=False)}
    results = play(water(file=write(text)), range(1, 4), lambda h: shut if h == 1 else {})
    assert power(results) == [True, False, True]


def test_a_closed_pipe_carries_nothing_and_opens_again(
    small: Any, water: Make, play: Play, write: Write
) -> None:
    component = water(file=write(small.TANK), pressure={"required": 5})
    results = play(component, [1, 2, 3], lambda h: {"open": rows("pipe", "open", P=h != 1)})
    flows = [float(r["flow"]["flow"][0]) for r in results]
    assert flows == pytest.approx([36, 0, 36], abs=1e-3)
    assert results[1]["balance"]["unmet"][0] == pytest.approx(36, abs=0.01)


TOLD = st.fixed_dictionaries(
    {},
    optional={
        "supply": st.tuples(st.floats(0.7, 1.1), st.floats(0.7, 1.1)).map(
            lambda v: ldt.Table({"pump": ["10", "335"], "voltage": list(v)})
        ),
        "open": st.booleans().map(lambda v: ldt.Table({"pipe": ["330"], "open": [v]})),
        "factors": st.floats(0, 3).map(lambda v: ldt.Table({"node": ["101"], "factor": [v]})),
        "demand": st.floats(0, 300).map(lambda v: ldt.Table({"node": ["103"], "demand": [v]})),
    },
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(TOLD, min_size=6, max_size=6), st.integers(0, 5))
def test_a_resumed_run_equals_the_whole_to_the_bit(
    water: Make, play: Play, told: list[dict[str, ldt.Table]], cut: int
) -> None:
    hours = [0.25, 0.5, 4.5, 6, 14.5, 16]
    at = dict(zip([0.0, *hours[:-1]], told, strict=True))
    params = {"network": "Net3", "pressure": {"required": 20}}
    whole = play(water(**params), hours, at.__getitem__)
    first, second = water(**params), water(**params)
    play(first, hours[:cut], at.__getitem__)
    second.set_state(first.get_state())
    rest = play(second, hours[cut:], at.__getitem__)
    for one, two in zip(whole[cut:], rest, strict=True):
        assert {n: t.digest for n, t in one.items()} == {n: t.digest for n, t in two.items()}


def test_a_simulator_can_go_back(water: Make, play: Play) -> None:
    component = water(network="Net3")
    play(component, [1, 2])
    state = component.get_state()
    once = play(component, [3])[0]
    component.set_state(state)
    assert {n: t.digest for n, t in play(component, [3])[0].items()} == {n: t.digest for n, t in once.items()}


def test_torn_and_foreign_states_are_refused(water: Make, play: Play) -> None:
    component = water(network="Net1")
    play(component, [1])
    state = component.get_state()
    for torn in (b"", state[:-3], state[:40] + bytes([state[40] ^ 1]) + state[41:]):
        with pytest.raises(ldt.InputError, match="no complete state"):
            component.set_state(torn)
    for other in (water(network="Net3"), water(network="Net1", demand_factor=1.1)):
        with pytest.raises(ldt.InputError, match="other parameters"):
            other.set_state(state)
    water(network="Net1", place={"x": 0, "y": 0, "width": 10}).set_state(state)


@pytest.mark.parametrize(
    ("port", "table", "word"),
    [
        ("demand", rows("node", "demand", X=1.0), "no junction 'X'"),
        ("demand", ldt.Table({"node": ["2"], "demand": [1.0]}), "no junction '2'"),
        ("supply", rows("pump", "voltage", X=1.0), "no pump 'X'"),
        ("open", rows("pipe", "open", X=True), "no pipe 'X'"),
    ],
)
def test_ids_that_the_network_does_not_have_are_refused(
    water: Make, port: str, table: ldt.Table, word: str
) -> None:
    with pytest.raises(ldt.InputError, match=word) as failed:
        water(network="Net1").step({port: table}, HOUR)
    assert failed.value.code == "ids do not pair"
    assert failed.value.where == port


def test_parts_of_seconds_are_refused(water: Make) -> None:
    with pytest.raises(ldt.InputError, match="whole seconds"):
        water(network="Net1").step({}, HOUR + 500_000)


def test_a_network_that_stops_without_balance_is_an_error_with_its_hour(
    small: Any, water: Make, write: Write
) -> None:
    text = small.TANK.replace("Units CMH", "Units CMH\nUnbalanced STOP\nTrials 1\nAccuracy 0.00001")
    component = water(file=write(text))
    with pytest.raises(ldt.InputError) as failed:
        component.step({}, HOUR)
    assert failed.value.code == "not converged"
    assert "hour 0" in failed.value.where


def test_negative_pressure_is_flagged(small: Any, water: Make, play: Play, write: Write) -> None:
    component = water(file=write(small.TANK.replace("T 20 10", "T -20 10")))
    play(component, [1])
    assert [f.name for f in component.context.flags] == ["negative_pressure"]
