"""BMI classes as simulators: closed forms, a real model (Landlab), state, and what is refused."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ldt_simulator_bmi import Bmi
from ldt_simulator_bmi.description import ucum_code

import ldt_core as ldt

HOUR = 3600
HEAT = "plate_surface__temperature"
SOURCE = "plate_surface__heat_source"


@pytest.fixture(autouse=True)
def models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "models"))


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    path = tmp_path / "plate.yaml"
    path.write_text("{nodes: 21, conductivity: 0.01}", encoding="utf-8")
    return path


@pytest.fixture
def make() -> Iterator[Callable[..., Bmi]]:
    made: list[Bmi] = []

    def start(model: str, **params: Any) -> Bmi:
        made.append(Bmi({"model": model, **{k: str(v) if k == "config" else v for k, v in params.items()}}))
        made[-1].initialize({})
        return made[-1]

    yield start
    for one in made:
        one.finalize()


Make = Callable[..., Bmi]


def step(bmi: Bmi, start: float, end: float, **inputs: ldt.Table) -> ldt.Tables:
    bmi.context.window = ldt.Window(round(start * ldt.SECOND), round(end * ldt.SECOND))
    return bmi.step(inputs, round(end * ldt.SECOND))


def test_a_tank_follows_its_closed_form_in_its_own_unit_of_time(make: Make) -> None:
    out = step(make("bmi_heat:Tank"), 0, 5 * HOUR, inflow=ldt.Table({"inflow": [0.2]}))
    assert out["level"]["level"][0] == pytest.approx(2.0 - math.exp(-0.5), rel=1e-12)
    assert out["hours"]["hours"][0] == 5


def test_heat_in_a_plate_decays_as_its_first_mode_does(make: Make, plate: Path) -> None:
    bmi = make("bmi_heat:Heat", config=plate)
    out = step(bmi, 0, 2.0)[HEAT]
    x, y = (bmi.initialize({})["node0"][n] for n in "xy")
    exact = np.sin(np.pi * x) * np.sin(np.pi * y) * math.exp(-2 * math.pi**2 * 0.01 * 2.0)
    assert np.abs(out[HEAT] - exact).max() < 1e-3


def test_ports_carry_units_entities_and_places(plate: Path) -> None:
    inputs, outputs = Bmi({"model": "bmi_heat:Heat", "config": str(plate)}).ports()
    assert inputs[SOURCE].columns[SOURCE].unit == "K.s-1"
    assert outputs[HEAT].entity == outputs["node0"].entity == "heat-node0"
    assert outputs["node0"].at == "start"
    named = Bmi(
        {"model": "bmi_heat:Heat", "config": str(plate), "entities": {"node0": "roof"}, "crs": "EPSG:25832"}
    )
    assert named.ports()[1][HEAT].entity == "roof"
    assert named.ports()[1]["node0"].columns["geometry"].crs == "EPSG:25832"


def test_rows_are_paired_by_id_whatever_their_order(make: Make, plate: Path) -> None:
    rng = np.random.default_rng(3)
    values, order = rng.random(441), rng.permutation(441)
    ids = np.array([str(i) for i in range(441)], object)
    straight, mixed = make("bmi_heat:Heat", config=plate), make("bmi_heat:Heat", config=plate)
    a = step(straight, 0, 1, **{SOURCE: ldt.Table({"node": ids, SOURCE: values})})
    b = step(mixed, 0, 1, **{SOURCE: ldt.Table({"node": ids[order], SOURCE: values[order]})})
    assert a[HEAT] == b[HEAT]


def test_a_uniform_input_takes_one_value_for_all(make: Make, plate: Path) -> None:
    one = make("bmi_heat:Heat", config=plate, uniform=[SOURCE])
    assert one.ports()[0][SOURCE].entity is None
    warm = step(one, 0, 1, **{SOURCE: ldt.Table({SOURCE: [1.0]})})
    cold = step(make("bmi_heat:Heat", config=plate), 0, 1)
    assert warm[HEAT][HEAT].sum() > cold[HEAT][HEAT].sum()


def test_a_resumed_run_equals_the_whole_run(make: Make, plate: Path) -> None:
    whole, head, tail = (make("bmi_heat:Heat", config=plate, state="pickle") for _ in range(3))
    assert whole.capabilities() == {"state"}
    step(whole, 0, 1)
    step(head, 0, 1)
    tail.set_state(head.get_state())
    assert step(whole, 1, 2)[HEAT] == step(tail, 1, 2)[HEAT]


def test_torn_and_foreign_states_are_refused_and_never_unpickled(make: Make, plate: Path) -> None:
    one = make("bmi_heat:Heat", config=plate, state="pickle")
    step(one, 0, 1)
    good, tank = one.get_state(), make("bmi_heat:Tank", state="pickle").get_state()
    for state in (b"", good[:-1], good[:30], good + b"0", tank, pickle.dumps(one._bmi)):
        with pytest.raises(ldt.InputError, match="no state of 'bmi_heat:Heat'"):
            one.set_state(state)
    assert one.get_state() == good


def test_a_class_can_come_from_a_file(make: Make, plate: Path, tmp_path: Path) -> None:
    file = tmp_path / "my_heat.py"
    file.write_bytes((Path(__file__).parent / "models" / "bmi_heat.py").read_bytes())
    mine = make("Heat", file=str(file), config=plate, state="pickle")
    assert step(mine, 0, 1)[HEAT] == step(make("bmi_heat:Heat", config=plate), 0, 1)[HEAT]
    again = make("Heat", file=str(file), config=plate, state="pickle")
    again.set_state(mine.get_state())
    assert step(again, 1, 2)[HEAT] == step(mine, 1, 2)[HEAT]


def test_what_a_model_refuses_is_told_and_it_begins_anew(make: Make) -> None:
    one = make("bmi_heat:Shy")
    with pytest.raises(ldt.InputError, match=r"refuses to go on(.|\n)*no more than 1 m/h"):
        step(one, 0, HOUR, inflow=ldt.Table({"inflow": [2.0]}))
    with pytest.raises(ldt.InputError, match="failed in its middle"):
        step(one, 0, HOUR, inflow=ldt.Table({"inflow": [0.0]}))
    one.initialize({})
    assert step(one, 0, HOUR)["hours"]["hours"][0] == 1


def test_nothing_is_asked_of_a_model_that_has_ended(make: Make) -> None:
    one = make("bmi_heat:Tank", state="pickle")
    one.finalize()
    for call in (lambda: step(one, 0, HOUR), one.get_state, lambda: one.set_state(b"")):
        with pytest.raises(ldt.Unsupported, match="not initialized"):
            call()


def test_state_is_offered_only_where_it_is_asked_for(make: Make) -> None:
    one = make("bmi_heat:Tank")
    assert one.capabilities() == set()
    with pytest.raises(ldt.Unsupported, match="state: pickle"):
        one.get_state()
    with pytest.raises(ldt.Unsupported, match="state: pickle"):
        one.set_state(b"")


def test_hills_of_landlab_diffuse_and_keep_their_soil(make: Make, tmp_path: Path) -> None:
    """A real model: Landlab's LinearDiffuser, against its closed form for one sine mode."""
    config = tmp_path / "hill.yaml"
    config.write_text(
        "linear_diffuser: {linear_diffusivity: 0.5}\nclock: {start: 0., stop: 1000., step: 1.}\n"
        "grid: {RasterModelGrid: [[21, 21], {xy_spacing: 5.0, fields: {node: {topographic__elevation: "
        "{constant: [{value: 0.0}]}}}}]}\n",
        encoding="utf-8",
    )
    name = "topographic__elevation"
    bmi = make("landlab.bmi.components:LinearDiffuserBMI", config=config, inputs=[name], outputs=[name])
    assert bmi.ports()[1][name].columns[name].unit == "m"
    places = bmi.initialize({})["node0"]
    hill = np.sin(np.pi * places["x"] / 100) * np.sin(np.pi * places["y"] / 100)
    out = step(bmi, 0, 1, **{name: ldt.Table({"node": places["node"], name: hill})})
    for second in range(1, 50):
        out = step(bmi, second, second + 1)
    assert np.abs(out[name][name] - hill * math.exp(-2 * (math.pi / 100) ** 2 * 0.5 * 50)).max() < 2e-3


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("kg m-3", "kg.m-3"),
        ("m**2/s", "m2/s"),
        ("m s^-1", "m.s-1"),
        ("degC", "Cel"),
        ("-", "1"),
        ("", "1"),
        ("buckets", None),
    ],
)
def test_units_of_udunits_become_ucum(said: str, code: str | None) -> None:
    assert ucum_code(said) == code


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"model": "nowhere:Model"}, ["'nowhere:Model' cannot be imported"]),
        ({"model": "bmi_heat:Cold"}, ["'bmi_heat:Cold' cannot be imported"]),
        ({"model": "bmi_heat:np"}, ["has no initialize"]),
        ({"model": "bmi_heat:Moons"}, ["counts time in 'months'"]),
        ({"model": "bmi_heat:Odd"}, ["the unit 'buckets'", "units: {inflow: CODE}"]),
        ({"model": "bmi_heat:Tank", "outputs": ["depth"]}, ["outputs names 'depth'", "level"]),
        ({"model": "bmi_heat:Tank", "config": "none.yaml"}, ["none.yaml is not there"]),
        ({"model": "bmi_heat:Heat", "config": __file__}, ["'bmi_heat:Heat' does not start"]),
        ({"model": "Tank"}, ["'Tank' does not say where the class is"]),
        ({"model": "bmi_heat:Tank", "file": __file__}, ["does not say where the class is"]),
        ({"model": "Tank", "file": "none.py"}, ["none.py is not there"]),
    ],
)
def test_what_is_no_bmi_model_is_refused(params: dict[str, Any], words: list[str]) -> None:
    with pytest.raises((ldt.ParamError, ldt.NotFound)) as caught:
        Bmi(params).ports()
    assert caught.value.fix
    for word in words:
        assert word in str(caught.value)


def test_a_window_that_is_no_multiple_of_the_models_step_is_refused(make: Make) -> None:
    with pytest.raises(ldt.ParamError, match="multiple of its own"):
        step(make("bmi_heat:Tank"), 0, 1.5 * HOUR)


def test_a_clock_that_stands_still_is_told(make: Make) -> None:
    with pytest.raises(RuntimeError, match="left its clock at 0"):
        step(make("bmi_heat:Stuck"), 0, HOUR)


@pytest.mark.parametrize("ids", [["0", "1"], ["a"] * 441, ["0"] * 441])
def test_ids_that_do_not_pair_are_told(make: Make, plate: Path, ids: list[str]) -> None:
    with pytest.raises(ldt.InputError, match="a value for each of 441 nodes"):
        step(
            make("bmi_heat:Heat", config=plate),
            0,
            1,
            **{SOURCE: ldt.Table({"node": ids, SOURCE: [0.0] * len(ids)})},
        )
