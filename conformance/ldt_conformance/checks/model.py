"""Checks of the catalogue's part ``model``: ports, domain, repetition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

import ldt_core as ldt
from ldt_core.adapters import parse_crs
from ldt_core.interfaces import AnyPort
from ldt_core.tables import Port
from ldt_core.units import check_unit

from ..drivers.base import Raised
from ..generate import inputs, limits
from ..job import exercise, extremes, inputs_of, opened
from ..trial import NotApplicable, Trial
from . import check, model_alike, model_golden, model_numbers
from .every_errors import WORDS

__all__ = ["model_alike", "model_golden", "model_numbers"]


@check("LDT-MOD-PORT-01")
def ports_say_what_they_carry(trial: Trial) -> None:
    """Every column of every port of an instance."""
    sides = trial.open().ports()
    trial.expect(bool(sides[1]), "it has no output port")
    for side, ports in zip(("input", "output"), sides):
        for name, port in ports.items():
            trial.expect(bool(port.columns), f"the {side} port '{name}' has no column")
            for column, meant in port.columns.items():
                _expect_meaning(trial, f"{side} {name}.{column}", meant)
            if not isinstance(port, Port):
                _expect_crs(trial, f"{side} {name}", port.crs)


def _expect_meaning(trial: Trial, where: str, meant: Any) -> None:
    if meant.kind == "number":
        trial.expect(bool(meant.quantity), f"{where} does not say its quantity", got=meant)
        trial.expect(bool(meant.unit), f"{where} does not say its unit", got=meant)
    if meant.unit is not None:
        try:
            check_unit(meant.unit)
            trial.expect(True, f"{where} has a unit")
        except ldt.WiringError as exc:
            trial.fail(f"{where} has a unit that does not exist", got=exc.what)
    if meant.range is not None:
        trial.expect(
            meant.range[0] <= meant.range[1], f"{where} has a range that holds nothing", got=meant.range
        )
    if meant.kind == "geometry":
        trial.expect(meant.geometry is not None, f"{where} does not say its type of geometry", got=meant)
        _expect_crs(trial, where, meant.crs)


def _expect_crs(trial: Trial, where: str, crs: str | None) -> None:
    try:
        known = crs == "twin" or (crs is not None and bool(parse_crs(crs)))
    except ldt.WiringError:
        known = False
    trial.expect(
        known, f"{where} does not say its CRS", expected="twin, an authority code or PROJJSON", got=crs
    )


@check("LDT-MOD-DET-01")
def same_inputs_give_same_outputs(trial: Trial) -> None:
    """By two instances, and in two new processes that are alike."""
    first = opened(trial)[1]
    trial.expect_same(first, exercise(trial, trial.open()), "computed again by another instance it differs")
    with trial.driver.fresh(PYTHONHASHSEED="0") as driver:
        there = opened(trial, driver=driver)[1]
    with trial.driver.fresh(PYTHONHASHSEED="0") as driver:  # how they compare to ours is a matter of COR-ENV
        trial.expect_same(there, opened(trial, driver=driver)[1], "computed in two new processes it differs")


@check("LDT-MOD-PORT-02")
def outputs_fit_their_ports(trial: Trial) -> None:
    """For the example, and for generated inputs that are not refused."""
    subject = trial.open()
    ports, outputs = subject.ports()
    given = inputs_of(trial, subject)
    _expect_fits(trial, subject.compute(given), outputs, given)
    if not ports:
        return

    def holds(given: Any) -> None:
        try:
            answer = trial.open().compute(given)
        except Raised as raised:
            if raised.word in WORDS:
                return
            raise
        if finite(answer):  # what is not is a matter of NUM
            _expect_fits(trial, answer, outputs, given)

    for _, item in extremes(trial, ports, given):
        holds(item)
    trial.search(inputs(ports, trial.context(), trial.manifest["validity"]), holds)


def finite(answer: Mapping[str, Any]) -> bool:
    """Whether every number that is not missing is one."""
    tables = [t for t in answer.values() if isinstance(t, ldt.Table)]
    return all(np.isfinite(t[n][~t.mask(n)]).all() for t in tables for n in t.names if t[n].dtype.kind == "f")


def _expect_fits(trial: Trial, answer: Any, outputs: Mapping[str, AnyPort], given: Any) -> None:
    for name, port in outputs.items():
        trial.expect(name in answer, f"the output port '{name}' does not come", given=given, got=list(answer))
        try:
            table = ldt.check(answer[name], port, name)
        except ldt.InputError as exc:
            trial.fail(f"what comes on '{name}' is not what the port declares", given=given, got=str(exc))
        if isinstance(table, ldt.Table) and isinstance(port, Port):
            _expect_stamps(trial, table, port, name, given)
            if port.id is not None and not port.events:
                keys = [n for n in (port.id, port.time_column) if n is not None]
                seen = list(zip(*(table[k].tolist() for k in keys)))
                trial.expect(
                    len(set(seen)) == len(seen),
                    f"a thing has two rows of one instant on '{name}'",
                    given=given,
                    got=table,
                )
    more = sorted(set(answer) - set(outputs))
    trial.expect(not more, "ports come that are not declared", got=more)


def _expect_stamps(trial: Trial, table: ldt.Table, port: Port, name: str, given: Any) -> None:
    """Means, sums and extremes carry the window's start, points an instant in (start, end]."""
    time = port.time_column
    if time is None or port.at == "start" or not len(table):
        return
    context = trial.context()
    start, end = (context.instant(t) for t in context.window)
    times = table[time][~table.mask(time)]
    pointwise = all(c.cell == "point" for c in port.columns.values() if c.measured)
    right = (start < times) & (times <= end) if pointwise else times == start
    trial.expect(
        bool(np.all(right)),
        f"rows of '{name}' are not stamped in their window",
        given=given,
        expected=f"after {start}, up to {end}" if pointwise else str(start),
        got=times[:5].tolist(),
    )


@check("LDT-MOD-DOM-01")
def outside_its_domain_it_says_so(trial: Trial) -> None:
    """At the ends of every range, and beyond the end: for one row, and for all; and for parameters."""
    subject = trial.open()
    ports, validity = subject.ports()[0], trial.manifest["validity"]
    given = inputs_of(trial, subject)
    stated = {name: found for name, text in validity.items() if (found := limits(text)) is not None}
    measured = [f"{n}.{c}" for n, p in ports.items() for c, m in p.columns.items() if m.measured]
    unbounded = [r for r in measured if r not in stated and _column(ports, r).range is None]
    if not measured and not stated:
        raise NotApplicable("it measures nothing: no input has a column with a unit, no range is declared")
    trial.expect(
        not measured or len(unbounded) < len(measured),
        "nothing says in numbers where it holds: no input column has a range, and validity has none",
        got=unbounded,
    )
    for name, port in ports.items():
        if name in given:
            try:
                ldt.check(given[name], port, name)
            except ldt.InputError as exc:
                trial.fail("the example lies outside the ranges of the ports", got=str(exc))
            trial.expect(True, "the example lies inside")
    usual = _flags(trial, {}, given)
    for name, (low, high) in stated.items():
        if name in measured:
            _try_column(trial, name, (low, high), ports, given, usual)
        elif name in trial.manifest["params"].get("properties", {}):
            _try_param(trial, name, (low, high), given, usual)
        else:
            trial.fail(
                f"validity speaks of '{name}', which is no input column and no parameter",
                expected="port.column or a parameter's name",
                got=name,
            )


def _column(ports: Mapping[str, AnyPort], ref: str) -> Any:
    port, _, column = ref.partition(".")
    return ports[port].columns[column]


def _flags(trial: Trial, params: Mapping[str, Any], given: Any) -> set[tuple[str, float]]:
    """What it flags. Raises ``Raised`` where it refuses."""
    subject = trial.open({**trial.example.params, **params})
    subject.compute(dict(given))
    return {(f.name, f.value) for f in subject.context.flags}


def _try_column(
    trial: Trial,
    ref: str,
    stated: tuple[float, float],
    ports: Mapping[str, AnyPort],
    given: Mapping[str, Any],
    usual: set[tuple[str, float]],
) -> None:
    name, _, column = ref.partition(".")
    table, meant = given.get(name), _column(ports, ref)
    if not isinstance(table, ldt.Table) or not len(table):
        return
    low, high = stated
    least, most = meant.range or (-np.inf, np.inf)
    width = high - low
    for value, beyond in ((low, max(low - 0.1 * width, least)), (high, min(high + 0.1 * width, most))):
        if beyond == value:
            continue  # the port itself ends here: the engine refuses what lies beyond
        for rows in (slice(0, 1), slice(None)):
            values = table[column].copy()
            values[rows] = value
            inside = {**given, name: table.with_columns(**{column: values})}
            trial.expect(
                _said(trial, {}, inside, usual) is None,
                f"'{ref}' at the end of its validity is refused or flagged",
                given={ref: value},
            )
            values = values.copy()
            values[rows] = beyond
            outside = {**given, name: table.with_columns(**{column: values})}
            trial.expect(
                _said(trial, {}, outside, usual) is not None,
                f"'{ref}' outside its validity is neither refused nor flagged",
                given={ref: values[:5].tolist()},
                expected=f"InputError or context.flag(...) outside {low:g} to {high:g}",
                got="an answer",
            )


def _try_param(
    trial: Trial, name: str, stated: tuple[float, float], given: Any, usual: set[tuple[str, float]]
) -> None:
    low, high = stated
    for value in (low, high):
        said = _said(trial, {name: value}, given, usual)
        trial.expect(
            said is None, f"'{name}' at the end of its validity is refused or flagged", given={name: value}
        )
    for value in (low - 0.1 * (high - low), high + 0.1 * (high - low)):
        said = _said(trial, {name: value}, given, usual)
        trial.expect(
            said is not None,
            f"'{name}' outside its validity is neither refused nor flagged",
            given={name: value},
        )


def _said(trial: Trial, params: Mapping[str, Any], given: Any, usual: set[tuple[str, float]]) -> str | None:
    """How it refuses or flags; None where it does neither. Raises ``Raised`` for any other word."""
    try:
        flags = _flags(trial, params, given) - usual
    except Raised as raised:
        if raised.word in ("input", "config"):
            return str(raised)
        raise
    return ", ".join(n for n, _ in sorted(flags)) or None
