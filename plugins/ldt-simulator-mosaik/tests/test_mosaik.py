"""mosaik's simulators as components: against mosaik itself, in process and as programs, and what is refused."""

from __future__ import annotations

import os
import pickle
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ldt_simulator_mosaik import Mosaik

import ldt_core as ldt

SIMS = Path(__file__).parent / "sims"
PV = "mosaik_components.pv.pvsimulator:PVSimulator"
PANEL = {"latitude": 53.14, "area": 10.0, "efficiency": 0.2, "el_tilt": 32.0, "az_tilt": 0.0}
CLOCK = {"start_date": "2014-06-21 06:00:00", "step_size": 900}
POWER = {"P[MW]": {"unit": "MW", "name": "power", "quantity": "x:active_power"}}
LIGHT = {"DNI[W/m2]": {"unit": "W/m2", "name": "dni"}}
SUN: dict[str, Any] = {
    "simulator": "town_sims:Sun",
    "create": [{"model": "Sky", "count": 2}],
    "outputs": {"dni": {"unit": "W/m2", "quantity": "x:dni"}},
}


@pytest.fixture(autouse=True)
def sims(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SIMS))


@pytest.fixture
def make() -> Iterator[Callable[..., Mosaik]]:
    made: list[Mosaik] = []

    def start(params: dict[str, Any], **more: Any) -> Mosaik:
        made.append(Mosaik(params | more))
        made[-1].initialize({})
        return made[-1]

    yield start
    for one in made:
        one.finalize()


Make = Callable[..., Mosaik]


def step(one: Mosaik, start: float, end: float, **inputs: ldt.Table) -> ldt.Tables:
    one.context.window = ldt.Window(round(start * ldt.SECOND), round(end * ldt.SECOND))
    return one.step(inputs, round(end * ldt.SECOND))


def _by_mosaik(steps: int) -> list[float]:
    """The panel's power under mosaik itself, fed by the Sun."""
    import mosaik
    import town_sims

    config = {"Sun": {"python": "town_sims:Sun"}, "PV": {"python": PV}, "Ear": {"python": "town_sims:Ear"}}
    town_sims.Ear.seen.clear()
    with mosaik.World(config) as world:
        sky = world.start("Sun", step_size=900).Sky()
        panel = world.start("PV", **CLOCK).PV(**PANEL)
        world.connect(sky, panel, ("dni", "DNI[W/m2]"))
        world.connect(panel, world.start("Ear").Ear(), "P[MW]")
        world.run(until=steps * 900, print_progress=False)
    return list(town_sims.Ear.seen)


def test_a_panel_gives_what_it_gives_under_mosaik(make: Make) -> None:
    """The published simulator mosaik-pv, fed by the same sun, window by window."""
    sun = make(SUN, create=[{"model": "Sky"}])
    panel = make(
        {
            "simulator": PV,
            "init": CLOCK,
            "create": [{"model": "PV", "params": PANEL}],
            "inputs": LIGHT,
            "outputs": POWER,
        }
    )
    ours = []
    for i in range(12):
        light = step(sun, i * 900, (i + 1) * 900)["Sky"]["dni"]
        out = step(panel, i * 900, (i + 1) * 900, dni=ldt.Table({"id": ["PV_0"], "dni": light}))
        ours.append(float(out["PV"]["power"][0]))
    assert ours == _by_mosaik(12)
    assert max(ours) > 0


def test_ports_carry_what_the_twin_file_says(make: Make) -> None:
    params = {"simulator": PV, "init": CLOCK, "create": [{"model": "PV", "count": 3, "params": PANEL}]}
    inputs, outputs = Mosaik({**params, "inputs": LIGHT, "outputs": POWER}).ports()
    assert inputs["dni"].columns["dni"].unit == "W/m2"
    assert outputs["PV"].columns["power"].quantity == "x:active_power"
    assert outputs["PV"].entity == outputs["PV_entities"].entity == "mosaik-PV"


def test_a_program_gives_what_the_class_gives(make: Make) -> None:
    path = shlex.quote(str(SIMS / "town_sims.py"))
    program = make(
        {k: v for k, v in SUN.items() if k != "simulator"}, command=f"%(python)s {path} sun %(addr)s"
    )
    inside = make(SUN)
    for i in range(4):
        assert step(program, i * 900, (i + 1) * 900)["Sky"] == step(inside, i * 900, (i + 1) * 900)["Sky"]
    pid = program._calls._process.pid  # type: ignore[union-attr]
    program.finalize()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("point", 100 + 27),
        ("mean", 100 + (0 + 9 + 18 + 27) / 4),
        ("sum", 400 + 54),
        ("min", 100),
        ("max", 127),
    ],
)
def test_several_steps_in_a_window_are_reduced_by_the_cell_method(
    make: Make, cell: str, value: float
) -> None:
    one = make(SUN, outputs={"dni": {"unit": "W/m2", "cell": cell}})
    assert step(one, 0, 3600)["Sky"]["dni"].tolist() == [pytest.approx(value)] * 2


def test_a_value_holds_between_steps_and_an_amount_does_not(make: Make) -> None:
    for cell, values in (("point", [100, 100, 109]), ("mean", [100, 100, 104.5]), ("sum", [100, 0, 109])):
        one = make(SUN, outputs={"dni": {"unit": "W/m2", "cell": cell}})
        windows = [(0, 300), (300, 600), (600, 1200)]
        found = [float(step(one, *w)["Sky"]["dni"][0]) for w in windows]
        assert found == pytest.approx(values), cell


def test_new_inputs_trigger_a_hybrid_simulator_and_what_is_unknown_is_missing(make: Make) -> None:
    one = make(
        {
            "simulator": "town_sims:Bank",
            "create": [{"model": "House", "params": {"accounts": 2}}],
            "inputs": {"paid": {"unit": "1"}},
            "outputs": {"sum": {"unit": "1"}},
        }
    )
    assert list(one.ports()[1]) == ["Account", "Account_entities"]
    assert step(one, 0, 60)["Account"].mask("sum").all()
    out = step(one, 60, 120, paid=ldt.Table({"id": ["a1"], "paid": [5.0]}))["Account"]
    assert out.mask("sum").tolist() == [True, False]
    assert step(one, 120, 180)["Account"]["sum"][1] == 5.0
    out = step(one, 180, 240, paid=ldt.Table({"id": ["a0", "a1"], "paid": [1.0, 2.0]}))["Account"]
    assert out["sum"].tolist() == [1.0, 7.0]


def test_a_resumed_run_equals_the_whole_run(make: Make) -> None:
    whole, head, tail = (make(SUN, state="pickle") for _ in range(3))
    assert whole.capabilities() == {"state"}
    step(whole, 0, 900)
    step(head, 0, 900)
    tail.set_state(head.get_state())
    assert step(whole, 900, 2000)["Sky"] == step(tail, 900, 2000)["Sky"]


STORE: dict[str, Any] = {
    "simulator": "Store",
    "file": str(SIMS / "town_sims.py"),
    "create": [{"model": "Battery", "count": 2, "params": {"energy": 10.0}}],
    "inputs": {"power": {"unit": "kW"}},
    "outputs": {"energy": {"unit": "kW.h"}},
    "state": "pickle",
}


def test_a_class_can_come_from_a_file(make: Make) -> None:
    one = make(STORE)
    out = step(one, 0, 3600, power=ldt.Table({"id": ["battery-1"], "power": [5.0]}))["Battery"]
    assert out["energy"].tolist() == [10.0, pytest.approx(14.9)]
    other = make(STORE)
    other.set_state(one.get_state())
    assert other.get_state() == one.get_state()
    assert step(other, 3600, 7200)["Battery"] == step(one, 3600, 7200)["Battery"]


def test_torn_and_foreign_states_are_refused_and_never_unpickled(make: Make) -> None:
    one = make(STORE)
    step(one, 0, 60)
    good, sun = one.get_state(), make(SUN, state="pickle").get_state()
    for state in (b"", good[:-1], good[:30], good + b"0", sun, pickle.dumps(one._calls.instance)):  # type: ignore[union-attr]
        with pytest.raises(ldt.InputError, match="no state of 'Store'"):
            one.set_state(state)
    assert one.get_state() == good


def test_what_a_simulator_refuses_is_told_and_it_begins_anew(make: Make) -> None:
    """A panel that is not fed has no answer."""
    params = {"simulator": PV, "init": CLOCK, "create": [{"model": "PV", "params": PANEL}]}
    one = make({**params, "inputs": LIGHT, "outputs": POWER})
    with pytest.raises(ldt.InputError, match="refuses to step at 0: KeyError: 'PV_0'"):
        step(one, 0, 900)
    light = ldt.Table({"id": ["PV_0"], "dni": [500.0]})
    with pytest.raises(ldt.InputError, match="failed in its middle"):
        step(one, 0, 900, dni=light)
    one.initialize({})
    assert len(step(one, 0, 900, dni=light)["PV"]) == 1


def test_nothing_is_asked_of_a_simulator_that_has_ended(make: Make) -> None:
    one = make(STORE)
    one.finalize()
    for call in (lambda: step(one, 0, 60), one.get_state, lambda: one.set_state(b"")):
        with pytest.raises(ldt.Unsupported, match="not initialized"):
            call()


def test_state_is_offered_only_where_it_is_asked_for(make: Make) -> None:
    one = make(SUN)
    assert one.capabilities() == set()
    with pytest.raises(ldt.Unsupported, match="state: pickle"):
        one.get_state()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"simulator": "nowhere:Sim"}, ["'nowhere:Sim' cannot be imported"]),
        ({"simulator": "town_sims:sys"}, ["has no init"]),
        ({"simulator": None}, ["either simulator: or command:"]),
        ({"command": "x"}, ["either simulator: or command:"]),
        ({"create": [{"model": "Moon"}]}, ["the model 'Moon'", "Sky"]),
        ({"simulator": "Sun"}, ["'Sun' does not say where the class is"]),
        ({"file": str(SIMS / "town_sims.py")}, ["does not say where the class is"]),
        ({"simulator": "Sun", "file": "none.py"}, ["none.py is not there"]),
        ({"init": {"moons": 2}}, ["does not start", "moons"]),
        ({"outputs": {"heat": {"unit": "W"}}}, ["outputs names 'heat'", "dni"]),
        ({"simulator": None, "command": "/nowhere/sim %(addr)s"}, ["'/nowhere/sim' cannot be started"]),
        ({"simulator": None, "command": "%(python)s -c pass %(addr)s"}, ["ended with exit code 0"]),
    ],
)
def test_what_is_no_simulator_is_refused(change: dict[str, Any], words: list[str]) -> None:
    with pytest.raises((ldt.ParamError, ldt.NotFound, ldt.Unavailable)) as caught:
        Mosaik(SUN | change).ports()
    assert caught.value.fix
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("Still", "stepped at 0, which is not after 0"),
        ("Wordy", "'bright', which is no number"),
        ("Mute", "gave no 'dni' of 'sky-0'"),
    ],
)
def test_a_simulator_that_breaks_mosaiks_rules_is_told(make: Make, kind: str, said: str) -> None:
    with pytest.raises(RuntimeError, match=said):
        step(make(SUN, simulator=f"town_sims:{kind}"), 0, 900)


def test_a_program_that_ends_in_the_middle_is_told(make: Make) -> None:
    path = shlex.quote(str(SIMS / "town_sims.py"))
    one = make(
        {k: v for k, v in SUN.items() if k != "simulator"}, command=f"%(python)s {path} crash %(addr)s"
    )
    with pytest.raises(RuntimeError, match=r"ended in step|SystemExit"):
        step(one, 0, 900)


def test_ids_that_do_not_pair_are_told(make: Make) -> None:
    params = {"simulator": PV, "init": CLOCK, "create": [{"model": "PV", "params": PANEL}]}
    one = make({**params, "inputs": LIGHT, "outputs": POWER})
    with pytest.raises(ldt.InputError, match="'PV_9', which is no entity of PV"):
        step(one, 0, 900, dni=ldt.Table({"id": ["PV_9"], "dni": np.array([1.0])}))
    twice = ldt.Table({"id": ["PV_0", "PV_0"], "dni": [1.0, 2.0]})
    with pytest.raises(ldt.InputError, match="names an entity twice"):
        one.step({"dni": twice}, 900 * ldt.SECOND)
