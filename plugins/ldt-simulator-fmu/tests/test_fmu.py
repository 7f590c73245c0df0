"""FMUs of FMI 2.0 and 3.0 as simulators: closed forms, units, state, early return, and what is refused."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ldt_simulator_fmu import Fmu
from ldt_simulator_fmu.units import ucum_code

import ldt_core as ldt

TANK = {"units": {"inflow": "m/s", "level": "m", "k": "1/s"}}


class Run:
    """An FMU stepped by hand, as the core would."""

    def __init__(self, fmu: Path, scratch: Path, **params: Any) -> None:
        scratch.mkdir(exist_ok=True)
        self.fmu = Fmu({"fmu": str(fmu), **params}, ldt.Context(scratch=scratch))
        self.first = self.fmu.initialize({})["out"]

    def step(self, start: float, end: float, **inputs: float) -> Any:
        self.fmu.context.window = ldt.Window(round(start * ldt.SECOND), round(end * ldt.SECOND))
        tables = {n: ldt.Table({n: [v]}) for n, v in inputs.items()}
        return self.fmu.step(tables, round(end * ldt.SECOND))


@pytest.fixture
def run(tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    made: list[Run] = []

    def make(fmu: Path, **params: Any) -> Run:
        made.append(Run(fmu, tmp_path / str(len(made)), **params))
        return made[-1]

    yield make
    for one in made:
        one.fmu.finalize()


Make = Callable[..., Run]


def test_a_tank_of_fmi_2_follows_its_closed_form(run: Make, tank: Path) -> None:
    one = run(tank, **TANK)
    assert one.first["level"][0] == 1.0
    out = one.step(0, 100, inflow=0.002)["out"]
    assert out["level"][0] == pytest.approx(2.0 - math.exp(-0.1), rel=1e-12)
    assert (out["steps"][0], out["full"][0], out["note"][0]) == (1, False, "calm")
    assert str(out["time"][0]) == "2000-01-01T00:01:40.000000"


def test_a_room_of_fmi_3_follows_its_closed_form(run: Make, heater: Path) -> None:
    out = run(heater).step(0, 5000, power=1.0)["out"]
    assert out["temperature"][0] == pytest.approx(293.15, rel=1e-12)  # 1 kW / 100 W/K holds 10 K
    out = run(heater).step(0, 5000, power=2.0)["out"]
    assert out["temperature"][0] == pytest.approx(303.15 - 10 * math.exp(-0.5), rel=1e-12)


def test_units_and_causality_come_from_the_model_description(heater: Path) -> None:
    inputs, outputs = Fmu({"fmu": str(heater)}).ports()
    assert list(inputs) == ["power"]
    assert inputs["power"].columns["power"].unit == "kW"
    assert inputs["power"].optional  # it has a start value
    assert list(outputs["out"].columns) == ["time", "temperature", "steps"]
    assert outputs["out"].columns["temperature"].unit == "K"


class Base:
    """What FMPy gives for a BaseUnit."""

    kg = m = s = A = K = mol = cd = rad = 0

    def __init__(self, factor: float = 1.0, offset: float = 0.0, **exponents: int) -> None:
        self.factor, self.offset = factor, offset
        for name, value in exponents.items():
            setattr(self, name, value)


@pytest.mark.parametrize(
    ("name", "base", "code"),
    [
        ("kW", Base(1000.0, kg=1, m=2, s=-3), "kW"),
        ("degC", Base(offset=273.15, K=1), "Cel"),
        ("degF", Base(5 / 9, 255.3722222222222, K=1), "[degF]"),
        ("kg.m2/s3", Base(kg=1, m=2, s=-3), "kg.m2/s3"),
        ("Watt!", Base(kg=1, m=2, s=-3), "kg.m2.s-3"),
        ("m", Base(1000.0, m=1), None),  # the name lies about its size
        ("smoots", Base(1.7018, m=1), None),
        ("1", Base(), "1"),
        ("-", None, "1"),
        ("m/s", None, "m/s"),
        ("widgets", None, None),
        (None, None, None),
    ],
)
def test_a_unit_counts_only_where_its_size_proves_it(name: Any, base: Any, code: str | None) -> None:
    assert ucum_code(name, base) == code


def test_names_of_ports_can_be_chosen(run: Make, tank: Path) -> None:
    one = run(tank, outputs={"water": "level"}, inputs={"rain": "inflow"}, **TANK)
    assert one.step(0, 100, rain=0.001)["out"]["water"][0] == pytest.approx(1.0)


def test_start_values_take_units(run: Make, tank: Path) -> None:
    one = run(tank, start={"k": "3.6 1/h", "inflow": "3.6 m/h"}, **TANK)
    assert one.step(0, 1000)["out"]["level"][0] == pytest.approx(1.0, rel=1e-12)


def test_the_steps_of_the_fmu_can_be_finer_than_the_window(run: Make, tank: Path) -> None:
    out = run(tank, internal_step="7s", **TANK).step(0, 100, inflow=0.0)["out"]
    assert out["steps"][0] == 15
    assert out["level"][0] == pytest.approx(math.exp(-0.1), rel=1e-12)


def test_an_fmu_that_returns_early_says_how_far_it_came(run: Make, minute: Path) -> None:
    one = run(minute)
    early = one.step(0, 100)
    assert isinstance(early, ldt.Step)
    assert early.reached == 60 * ldt.SECOND
    assert early.tables["out"]["x"][0] == 60.0
    assert one.step(60, 100)["out"]["x"][0] == 100.0


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 5), flows=st.lists(st.floats(0, 1), min_size=5, max_size=5))
def test_a_resumed_run_equals_the_whole_run(
    tmp_path_factory: pytest.TempPathFactory, tank: Path, heater: Path, cut: int, flows: list[float]
) -> None:
    for fmu, name, params in ((tank, "inflow", TANK), (heater, "power", {})):
        folder = tmp_path_factory.mktemp("run")
        whole, head, tail = (Run(fmu, folder / n, **params) for n in "abc")
        try:
            last = [whole.step(i, i + 1, **{name: q})["out"] for i, q in enumerate(flows)][-1]
            for i in range(cut):
                head.step(i, i + 1, **{name: flows[i]})
            tail.fmu.set_state(head.fmu.get_state())
            resumed = [tail.step(i, i + 1, **{name: flows[i]})["out"] for i in range(cut, 5)]
            if resumed:
                assert resumed[-1] == last
            assert tail.fmu.get_state() == whole.fmu.get_state()
        finally:
            for one in (whole, head, tail):
                one.fmu.finalize()


def test_an_fmu_that_cannot_save_its_state_says_so(minute: Path, run: Make) -> None:
    assert Fmu({"fmu": str(minute)}).capabilities() == set()
    with pytest.raises(ldt.Unsupported, match="cannot save its state"):
        run(minute).fmu.get_state()


def test_a_failing_step_tells_the_last_words_of_the_fmu(run: Make, tank: Path) -> None:
    one = run(tank, **TANK)
    with pytest.raises(ldt.InputError, match=r"from 0 s by 10 s(.|\n)*the pump is dry"):
        one.step(0, 10, inflow=-1.0)
    with pytest.raises(ldt.InputError, match="refused a step"):  # the standard allows no other call
        one.step(0, 10, inflow=1.0)
    one.fmu.initialize({})
    assert one.step(0, 10, inflow=0.0)["out"]["steps"][0] == 1


def test_torn_and_foreign_states_are_refused_and_change_nothing(run: Make, tank: Path, heater: Path) -> None:
    one = run(tank, **TANK)
    one.step(0, 10, inflow=0.5)
    good = one.fmu.get_state()
    for state in (b"", good[:-1], good[:20], good + b"0", run(heater).fmu.get_state()):
        with pytest.raises(ldt.InputError, match="no state of the FMU 'Tank'"):
            one.fmu.set_state(state)
    assert one.fmu.get_state() == good


def test_nothing_is_asked_of_an_fmu_that_is_not_there(run: Make, tank: Path) -> None:
    one = run(tank, **TANK)
    one.fmu.finalize()
    for call in (lambda: one.step(0, 10), one.fmu.get_state, lambda: one.fmu.set_state(b"")):
        with pytest.raises(ldt.Unsupported, match="not initialized"):
            call()


def test_faults_of_a_model_description_are_flagged_and_hinder_nobody(
    tank: Path, tmp_path: Path, run: Make
) -> None:
    odd = _changed(tank, tmp_path, b'name="steps"', b'name="level"')
    one = run(odd, **TANK)
    assert [f.name for f in one.fmu.context.flags] == ["fmi_problems"]
    assert "level" in one.fmu.context.flags[0].text
    one.step(0, 10, inflow=0.0)


def _changed(fmu: Path, folder: Path, old: bytes, new: bytes) -> Path:
    """The FMU with other words in its model description."""
    target = folder / "changed.fmu"
    with zipfile.ZipFile(fmu) as source, zipfile.ZipFile(target, "w") as made:
        for item in source.infolist():
            data = source.read(item)
            made.writestr(item, data.replace(old, new) if item.filename == "modelDescription.xml" else data)
    return target


@pytest.mark.parametrize(
    ("params", "error", "words"),
    [
        ({"outputs": ["depth"]}, ldt.ParamError, ["outputs names 'depth'", "level"]),
        ({"inputs": ["k"]}, ldt.ParamError, ["causality parameter", "start:"]),
        ({"outputs": {"time": "level"}}, ldt.ParamError, ["'time' is the time of the row"]),
        ({"start": {"k": "3 kg"}}, ldt.ParamError, ["'3 kg' is no value for 'k'", "1/s"]),
        ({"start": {"k": True}}, ldt.ParamError, ["True is no value for 'k'"]),
        ({"start": {"q": 1}}, ldt.ParamError, ["start names 'q'"]),
    ],
)
def test_what_the_fmu_does_not_have_is_refused(
    tank: Path, tmp_path: Path, params: dict[str, Any], error: type[ldt.LdtError], words: list[str]
) -> None:
    fmu = Fmu({"fmu": str(tank), **TANK, **params}, ldt.Context(scratch=tmp_path))
    with pytest.raises(error) as caught:
        fmu.ports() and fmu.initialize({})
    assert caught.value.fix
    for word in words:
        assert word in str(caught.value)


def test_an_input_without_a_unit_is_asked_for(tank: Path) -> None:
    with pytest.raises(ldt.ParamError, match=r"units: \{inflow: CODE\}"):
        Fmu({"fmu": str(tank)}).ports()


def test_an_array_is_left_out_and_said_to_be_one(minute: Path) -> None:
    assert list(Fmu({"fmu": str(minute)}).ports()[1]["out"].columns) == ["time", "x"]
    with pytest.raises(ldt.ParamError, match="'profile', which is an array"):
        Fmu({"fmu": str(minute), "outputs": ["profile"]}).ports()


def test_two_rows_for_one_input_are_refused(run: Make, tank: Path) -> None:
    one = run(tank, **TANK)
    one.fmu.context.window = ldt.Window(0, ldt.SECOND)
    with pytest.raises(ldt.InputError, match="'inflow' takes one row"):
        one.fmu.step({"inflow": ldt.Table({"inflow": [1.0, 2.0]})}, ldt.SECOND)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b'fmiVersion="2.0"', b'fmiVersion="1.0"', "no FMU that can be read"),
        (b"<CoSimulation", b"<ModelExchange", "offers no co-simulation"),
        (b"<fmiModelDescription", b"<html", "no FMU that can be read"),
    ],
)
def test_what_cannot_be_co_simulated_is_refused(
    tank: Path, tmp_path: Path, old: bytes, new: bytes, said: str
) -> None:
    with pytest.raises(ldt.ParamError, match=said):
        Fmu({"fmu": str(_changed(tank, tmp_path, old, new))}).ports()


def test_another_platform_is_told(tank: Path, tmp_path: Path) -> None:
    target = tmp_path / "other.fmu"
    with zipfile.ZipFile(tank) as source, zipfile.ZipFile(target, "w") as made:
        for item in source.infolist():
            if not item.filename.startswith("binaries/"):
                made.writestr(item, source.read(item))
        made.writestr("binaries/vax64/Tank.so", b"")
    with pytest.raises(ldt.ParamError, match="is built for vax64, this machine is"):
        Fmu({"fmu": str(target)}).ports()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"\x00" * 1000])
def test_a_file_that_is_no_fmu_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.fmu"
    path.write_bytes(content)
    with pytest.raises(ldt.ParamError, match="no FMU that can be read"):
        Fmu({"fmu": str(path)}).ports()


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ldt.NotFound, match="cannot be read"):
        Fmu({"fmu": str(tmp_path / "none.fmu")}).ports()
