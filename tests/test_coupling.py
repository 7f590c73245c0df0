"""Coupled simulators against closed forms: lag and iterate links, the order of their error, and stability."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import ldt_core as ldt
from ldt_core.errors import RunError
from ldt_core.runner import Member, Outcome, Setting, run_stage
from ldt_core.tables import Port, Table, number
from ldt_core.wires import Wire

SECOND = ldt.SECOND
START = np.datetime64("2026-03-02T05:00", "us")
POINT = Port({"v": number("1", "x:v")})
Law = Callable[[float, float, float, float], float]
"""(own value, the other's value before, the other's value now, seconds) -> own value after."""


def body(first: float, law: Law) -> Any:
    """A simulator of one number that reads another one. Its state is what it is and what it read last."""

    class Body(ldt.Simulator):
        id = "body"
        inputs = {"other": POINT}
        outputs = {"out": POINT}

        def initialize(self, inputs: ldt.Tables) -> ldt.Tables:
            self.value, self.heard = first, math.nan
            self.calls = 0
            return {"out": Table({"v": [first]})}

        def step(self, inputs: ldt.Tables, until: int) -> ldt.Tables:
            now = float(inputs["other"]["v"][0])
            before = now if math.isnan(self.heard) else self.heard
            self.value = law(self.value, before, now, self.context.window.seconds)
            self.heard = now
            return {"out": Table({"v": [self.value]})}

        def get_state(self) -> bytes:
            return np.array([self.value, self.heard]).tobytes()

        def set_state(self, state: bytes) -> None:
            self.value, self.heard = np.frombuffer(state).tolist()

    return Body


def couple(
    folder: Path, one: Any, two: Any, step: float, end: float, back: str, **words: Any
) -> tuple[Outcome, list[float], list[float]]:
    """``two`` reads ``one`` now; ``one`` reads ``two`` by the link ``back``. Values after every window."""
    size = round(step * SECOND)
    members = [
        Member(n, k, k.Params(), k.inputs, k.outputs, size, 0) for n, k in (("one", one), ("two", two))
    ]
    wires = [
        Wire("one", "out", "two", "other", "now", {"v": "last"}),
        Wire("two", "out", "one", "other", back, {"v": "last"}, place="twin.yaml:9:5", **words),
    ]
    setting = Setting(START, round(end * SECOND), "EPSG:25832", None, folder / "s", folder / "c")
    outcome = run_stage(members, wires, {}, {"one.out": None, "two.out": None}, setting)
    found = [outcome.recordings[f"{n}.out"].table["v"].tolist() for n in ("one", "two")]
    return outcome, found[0], found[1]


def order_of(errors: list[float]) -> float:
    """From the last two of runs whose step was halved each time."""
    return math.log2(errors[-2] / errors[-1])


# -- two tanks joined by a pipe: h1' = k (h2 - h1), h2' = k (h1 - h2) ----------------------------------

K = 0.1


def tank_held(h: float, before: float, now: float, dt: float) -> float:
    """Exact for a level of the other that holds."""
    return now + (h - now) * math.exp(-K * dt)


def tank_trapezoid(h: float, before: float, now: float, dt: float) -> float:
    half = K * dt / 2
    return (h * (1 - half) + half * (before + now)) / (1 + half)


def tanks(t: float) -> float:
    """The first tank's level from 2 and 1."""
    return 1.5 + 0.5 * math.exp(-2 * K * t)


@pytest.mark.parametrize(("law", "back", "order"), [(tank_held, "lag", 1), (tank_trapezoid, "iterate", 2)])
def test_coupled_tanks_approach_their_closed_form(tmp_path: Path, law: Law, back: str, order: int) -> None:
    errors = []
    for step in (1.0, 0.5, 0.25):
        words = {"tolerance": 1e-13} if back == "iterate" else {}
        # The first window of the trapezoid knows no value before: both begin at their own.
        one, two = body(2.0, _knowing(law, 1.0)), body(1.0, _knowing(law, 2.0))
        _, found, _ = couple(tmp_path, one, two, step, 10, back, **words)
        errors.append(abs(found[-1] - tanks(10)))
    assert order_of(errors) == pytest.approx(order, abs=0.15)


def _knowing(law: Law, first: float) -> Law:
    """The law with the other's value at the start."""
    called: list[bool] = []

    def known(own: float, before: float, now: float, dt: float) -> float:
        return law(own, first if before == now and not called else before, now, dt)

    return known


def test_an_implicit_link_keeps_the_water_that_a_lag_link_loses(tmp_path: Path) -> None:
    lost = {}
    for back, law in (("lag", tank_held), ("iterate", tank_trapezoid)):
        words = {"tolerance": 1e-13} if back == "iterate" else {}
        one, two = body(2.0, _knowing(law, 1.0)), body(1.0, _knowing(law, 2.0))
        _, h1, h2 = couple(tmp_path, one, two, 1.0, 20, back, **words)
        lost[back] = abs(h1[-1] + h2[-1] - 3.0)
    assert lost["iterate"] < 1e-10 < 1e-3 < lost["lag"]


# -- predator and prey: x' = x (a - b y), y' = y (d x - c) -----------------------------------------------

A, B, C, D = 1.1, 0.4, 0.4, 0.1


def prey(x: float, before: float, now: float, dt: float) -> float:
    return x * math.exp((A - B * (before + now) / 2) * dt)


def predator(y: float, before: float, now: float, dt: float) -> float:
    return y * math.exp((D * (before + now) / 2 - C) * dt)


def prey_held(x: float, before: float, now: float, dt: float) -> float:
    return x * math.exp((A - B * now) * dt)


def predator_held(y: float, before: float, now: float, dt: float) -> float:
    return y * math.exp((D * now - C) * dt)


@pytest.mark.parametrize("back", ["lag", "iterate"])
def test_predator_and_prey_follow_their_orbit(tmp_path: Path, back: str) -> None:
    """Against an independent integrator at a tolerance of 1e-12, and the orbit's conserved quantity."""

    def field(t: float, z: Any) -> list[float]:
        return [z[0] * (A - B * z[1]), z[1] * (D * z[0] - C)]

    exact = solve_ivp(field, (0, 8), (10.0, 5.0), method="DOP853", rtol=1e-12, atol=1e-12).y[:, -1]
    errors, drifts = [], []
    for step in (0.1, 0.05, 0.025):
        if back == "iterate":
            one, two = body(10.0, _knowing(prey, 5.0)), body(5.0, _knowing(predator, 10.0))
            _, x, y = couple(tmp_path, one, two, step, 8, back, tolerance=1e-13)
        else:
            _, x, y = couple(tmp_path, body(10.0, prey_held), body(5.0, predator_held), step, 8, back)
        errors.append(float(np.hypot(x[-1] - exact[0], y[-1] - exact[1])))
        orbit = [D * p - C * math.log(p) + B * q - A * math.log(q) for p, q in ((x[0], y[0]), (x[-1], y[-1]))]
        drifts.append(abs(orbit[1] - orbit[0]))
    assert order_of(errors) == pytest.approx(2 if back == "iterate" else 1, abs=0.2)
    assert drifts[-1] < drifts[0]


# -- heat between two bodies through a wall: q = g (T1 - T2), C T1' = -q, C T2' = q ----------------------


class Wall(ldt.Model):
    id = "wall"
    inputs = {"warm": POINT, "cold": POINT}
    outputs = {"heat": POINT}

    def compute(self, inputs: ldt.Tables) -> ldt.Tables:
        return {"heat": Table({"v": inputs["warm"]["v"] - inputs["cold"]["v"]})}  # g = 1


def warmed(first: float, sign: float) -> Any:
    return body(first, lambda t, before, now, dt: t + sign * now * dt)  # C = 1


def through_a_wall(
    folder: Path, step: float, end: float, back: str, **words: Any
) -> tuple[Outcome, list[float]]:
    """Both bodies take up the heat of the window (``back``), the wall sees their temperatures at its end."""
    size = round(step * SECOND)
    kinds = {"warm": warmed(80.0, -1.0), "cold": warmed(20.0, 1.0), "wall": Wall}
    members = [Member(n, k, k.Params(), k.inputs, k.outputs, size, 0) for n, k in kinds.items()]
    wires = [Wire(n, "out", "wall", n, "now", {"v": "last"}) for n in ("warm", "cold")]
    wires += [
        Wire("wall", "heat", n, "other", back, {"v": "last"}, init=60.0, place="twin.yaml:9:5", **words)
        for n in ("warm", "cold")
    ]
    setting = Setting(START, round(end * SECOND), "EPSG:25832", None, folder / "s", folder / "c")
    outcome = run_stage(members, wires, {}, {"warm.out": None}, setting)
    return outcome, outcome.recordings["warm.out"].table["v"].tolist()


@pytest.mark.parametrize(("back", "words"), [("lag", {}), ("iterate", {"tolerance": 1e-12})])
def test_heat_flows_at_the_closed_forms_rate_and_first_order(tmp_path: Path, back: str, words: Any) -> None:
    errors = [
        abs(through_a_wall(tmp_path, step, 2, back, **words)[1][-1] - (50 + 30 * math.exp(-4)))
        for step in (0.02, 0.01, 0.005)
    ]
    assert order_of(errors) == pytest.approx(1, abs=0.1)


def test_a_stiff_exchange_swings_ever_wider_with_lag_and_settles_with_iterate(tmp_path: Path) -> None:
    """Step 2 at a time constant of 0.5: beyond what any explicit coupling bears."""
    _, swinging = through_a_wall(tmp_path, 2.0, 20, "lag")
    away = [abs(t - 50) for t in swinging[1:]]
    assert away[-1] > 100 * away[0]
    _, calm = through_a_wall(tmp_path, 2.0, 20, "iterate", relaxation=0.3, tolerance=1e-10)
    implicit = [50 + 30 / 5**n for n in range(11)]  # implicit Euler: the difference falls by 1 + 2 g dt / C
    assert calm == pytest.approx(implicit, rel=1e-8)


def test_what_does_not_converge_is_an_error_that_names_link_window_and_remedy(tmp_path: Path) -> None:
    with pytest.raises(RunError) as caught:
        through_a_wall(tmp_path, 2.0, 20, "iterate", passes=20)
    error = caught.value
    assert error.code == "not converged"
    assert "wall.heat still changes by" in error.what
    assert "after 20 passes" in error.what
    assert "twin.yaml:9:5 (wall.heat -> cold.other, [0 s, 2 s))" in error.where
    assert "relaxation: 0.5" in error.fix


def test_passes_and_residuals_are_reported(tmp_path: Path) -> None:
    outcome, _ = through_a_wall(tmp_path, 0.1, 2, "iterate", tolerance=1e-8)
    notes = outcome.notes
    assert 0 < notes["residual wall.heat"] <= 1e-8
    assert 2 <= notes["passes cold+wall+warm"] <= notes["most passes cold+wall+warm"] <= 50


def test_chance_and_flags_are_rolled_back_with_the_state(tmp_path: Path) -> None:
    """A noisy member draws the same in every pass, so that the passes can settle; each window draws anew."""

    class Noisy(body(0.0, tank_held)):  # type: ignore[misc]
        id = "noisy"
        stochastic = True

        def step(self, inputs: ldt.Tables, until: int) -> ldt.Tables:
            draw = float(self.context.rng.random())
            self.context.flag("draws", draw, "the last draw")
            return {"out": Table({"v": inputs["other"]["v"] / 4 + draw})}

    calm = body(1.0, lambda own, before, now, dt: now / 4)
    outcome, one, _ = couple(tmp_path, Noisy, calm, 1.0, 6, "iterate", tolerance=1e-12)
    draws = np.random.default_rng(0).random(6)
    assert one[1:] == pytest.approx((draws / (1 - 1 / 16)).tolist(), rel=1e-9)
    assert outcome.flags["one"][0].value == draws[-1]


def test_a_steady_state_takes_one_pass(tmp_path: Path) -> None:
    outcome, one, _ = couple(tmp_path, body(1.5, tank_held), body(1.5, tank_held), 1.0, 5, "iterate")
    assert outcome.notes["most passes one+two"] == 1
    assert one == [1.5] * 6
