"""The component: an FMU's inputs and outputs as ports, its steps as windows."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

import ldt_core as ldt

from .description import Description, Variable, read_description
from .slave import Group, Slave, Value

_IDENTIFIER = str.maketrans(dict.fromkeys(" .[](),:;'\"/\\+-*^", "_"))


class Fmu(ldt.Simulator):
    """Any co-simulation FMU, FMI 2.0 or 3.0, through FMPy.

    Every input variable is a port of its own, so that each can come from another component; what is not
    linked keeps its start value. All outputs are columns of the port ``out``. Units come from the FMU's
    unit definitions; what UCUM cannot say is asked for. Inputs hold over a window; outputs are the values
    at its end. Source: Modelica Association, Functional Mock-up Interface 2.0.5 and 3.0.2.

    Raises ``ParamError`` for a file that is no co-simulation FMU of this platform, or lacks a variable.
    """

    id = "fmu"
    title = "FMU (FMI 2.0 and 3.0 co-simulation)"
    dynamic = True
    # FMPy asks for the C library when it is imported, by way of these where they are.
    processes = ("ldconfig", "gcc", "collect2", "ld", "objdump")
    outputs = {"out": ldt.Port({"time": ldt.instant()})}
    validity: ClassVar[Mapping[str, Any]] = {
        "variables": "scalars; arrays, binaries and clocks are left out",
        "interface": "co-simulation; model exchange and scheduled execution are not offered",
        "trust": "an FMU is a program of its author and runs with your rights",
    }

    class Params(ldt.Params):
        fmu: ldt.File
        """The FMU."""
        start: dict[str, float | int | bool | str] = {}
        """Start values of parameters and inputs by variable name; a number may carry a unit: "30 Cel"."""
        inputs: dict[str, str] | list[str] | None = None
        """Input ports: variable names, or {port: variable}. Left out: every variable of causality input."""
        outputs: dict[str, str] | list[str] | None = None
        """Columns of `out`: variable names, or {column: variable}. Left out: every variable of causality output."""
        units: dict[str, str] = {}
        """UCUM code by variable name, where the FMU's own unit is none that UCUM can say."""
        quantities: dict[str, str] = {}
        """What is measured, by variable name: a CF standard name, or x:..."""
        cells: dict[str, Literal["point", "mean", "sum", "min", "max"]] = {}
        """How a value stands for its window, by variable name: `mean` takes links from ports that give means."""
        internal_step: ldt.Duration | None = None
        """Length of one FMU step inside a window; left out, a window is one step."""
        tolerance: float | None = ldt.Field(default=None, gt=0)
        """Relative tolerance of the FMU's solver; left out, that of its default experiment."""

    params: Params

    def __init__(self, params: Any = None, context: ldt.Context | None = None) -> None:
        super().__init__(params, context)
        self._slave: Slave | None = None
        self._folder: Path | None = None

    # -- what it offers ---------------------------------------------------------------------

    def ports(self) -> tuple[Mapping[str, ldt.Port], Mapping[str, ldt.Port]]:
        inputs = {
            name: ldt.Port({name: self._column(v)}, optional=v.start is not None, description=v.text)
            for name, v in self._chosen("inputs", "input").items()
        }
        columns = {name: self._column(v) for name, v in self._chosen("outputs", "output").items()}
        return inputs, {"out": ldt.Port({"time": ldt.instant()} | columns)}

    def capabilities(self) -> frozenset[str]:
        return super().capabilities() if self._description().state else frozenset()

    def _description(self) -> Description:
        return read_description(self.params.fmu.path)

    def _chosen(self, parameter: str, causality: str) -> dict[str, Variable]:
        """The variables of one side by their name in the twin."""
        found, asked = self._description(), getattr(self.params, parameter)
        if asked is None:
            asked = [n for n, v in found.variables.items() if v.causality == causality]
        if not isinstance(asked, Mapping):
            asked = {name.translate(_IDENTIFIER): name for name in asked}
        chosen = {name: found.find(variable, parameter) for name, variable in asked.items()}
        for name, variable in chosen.items():
            if parameter == "inputs" and variable.causality != "input":
                raise ldt.ParamError(
                    f"inputs names '{variable.name}', which is of the causality {variable.causality}",
                    code="no input",
                    fix="set it by start:" if variable.causality == "parameter" else "remove it",
                )
            if name == "time":
                raise ldt.ParamError(
                    f"{parameter}: 'time' is the time of the row",
                    code="name taken",
                    fix=f"name it otherwise: {parameter}: {{clock: {variable.name}}}",
                )
        return chosen

    def _column(self, variable: Variable) -> ldt.Column:
        unit = self.params.units.get(variable.name)
        if variable.causality == "input" and variable.kind == "number" and not (unit or variable.unit):
            said = f"'{variable.fmi_unit}', which UCUM cannot say" if variable.fmi_unit else "no unit"
            raise ldt.ParamError(
                f"the input '{variable.name}' has {said}",
                code="unit unknown",
                fix=f"write units: {{{variable.name}: CODE}}; 1 for a number without dimension",
            )
        column = variable.column(unit, self.params.quantities.get(variable.name))
        return replace(column, cell=self.params.cells.get(variable.name, "point"))

    # -- at work ----------------------------------------------------------------------------

    def initialize(self, inputs: ldt.Tables) -> ldt.Tables:
        self.finalize()
        found = self._description()
        self._gives = Group(list(self._chosen("outputs", "output").values()))
        self._columns = list(self._chosen("outputs", "output"))
        self._takes = {name: Group([v]) for name, v in self._chosen("inputs", "input").items()}
        self._origin = found.start_time
        self._fixed = None if found.fixed_step is None else round(found.fixed_step * ldt.SECOND)
        if found.problems:
            text = f"its model description breaks the FMI standard: {'; '.join(found.problems)}"
            self.context.flag("fmi_problems", len(found.problems), text)
        start = self._start_values(found)
        self._folder = Path(tempfile.mkdtemp(prefix="fmu-", dir=self.context.scratch))
        self._slave = Slave(
            found,
            self._folder,
            start,
            self._origin,
            self.params.tolerance or found.tolerance,
            lambda words: self.context.log.info("%s: %s", found.name, words),
        )
        return {"out": self._row(0)}

    def step(self, inputs: ldt.Tables, until: int) -> ldt.Tables | ldt.Step:
        slave = self._running()
        given = {name: _one(inputs[name], name) for name in self._takes if name in inputs}
        now, reached = self.context.window.start, until
        size = self.params.internal_step or self._fixed or until - now
        if self._fixed and (size % self._fixed or (until - now) % self._fixed):
            raise ldt.ParamError(
                f"the FMU takes steps of {ldt.format_duration(self._fixed)} only, the window has "
                f"{ldt.format_duration(until - now)}",
                code="step",
                fix=f"give it a step that is a multiple of {ldt.format_duration(self._fixed)}",
            )
        slave.set(self._takes, given)
        while now < until:
            goal = min(now + size, until)
            came = slave.step(self._origin + now / ldt.SECOND, (goal - now) / ldt.SECOND)
            reached = now = min(goal, round((came - self._origin) * ldt.SECOND))
            if now < goal:
                break
        row = {"out": self._row(reached)}
        return row if reached == until else ldt.Step(row, reached)

    def get_state(self) -> bytes:
        if not self._description().state:
            raise ldt.Unsupported(
                f"the FMU '{self._description().name}' cannot save its state",
                fix="export it with canGetAndSetFMUState and canSerializeFMUState",
            )
        return self._running().save()

    def set_state(self, state: bytes) -> None:
        self._running().load(state)

    def finalize(self) -> None:
        if self._slave is not None:
            self._slave.close()
            self._slave = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _running(self) -> Slave:
        if self._slave is None:
            raise ldt.Unsupported("the FMU is not initialized", code="not initialized")
        if self._slave.failed:
            raise ldt.InputError(
                "the FMU refused a step or a value before, and nothing can be asked of it since",
                code="refused by the FMU",
                fix="initialize it anew",
            )
        return self._slave

    def _start_values(self, found: Description) -> dict[str, Value]:
        return {
            name: _as(found.find(name, "start"), given, self.params)
            for name, given in self.params.start.items()
        }

    def _row(self, instant: int) -> ldt.Table:
        """One row of all outputs. A number that is none is refused by the core, with this port's name."""
        values = self._gives.get(self._running())
        columns: dict[str, Any] = {"time": np.array([self.context.instant(instant)], "datetime64[us]")}
        for name, variable, value in zip(self._columns, self._gives.variables, values, strict=True):
            kind = {"number": np.float64, "integer": np.int64, "boolean": np.bool_, "text": object}[
                variable.kind
            ]
            columns[name] = np.array([value], kind)
        return ldt.Table(columns)


def _one(table: ldt.Table | ldt.Grid, name: str) -> Value:
    """The value of a table with one row."""
    if isinstance(table, ldt.Grid) or len(table) != 1:
        raise ldt.InputError(
            f"the input '{name}' takes one row a window and was given another number of them",
            code="shape",
            where=name,
            fix="link a port with one row a window, or put a model between that adds the rows up",
        )
    value: Value = table[name].tolist()[0]
    return value


def _as(variable: Variable, given: Value, params: Fmu.Params) -> Value:
    """A start value in the variable's type and unit."""
    if isinstance(given, str) and variable.kind in ("number", "integer"):
        number, _, unit = given.strip().partition(" ")
        target = params.units.get(variable.name) or variable.unit
        try:
            value = float(number)
            if unit:
                gain, offset = ldt.conversion(unit.strip(), target or "1")
                value = value * gain + offset
        except (ValueError, ldt.WiringError) as exc:
            raise ldt.ParamError(
                f"start: '{given}' is no value for '{variable.name}' in {target or 'no unit'}: {exc}",
                code="bad value",
                fix="write a number, or a number and a UCUM unit of the same dimension",
            ) from exc
        given = value
    fits = {
        "number": isinstance(given, (int, float)) and not isinstance(given, bool) and math.isfinite(given),
        "integer": isinstance(given, (int, float))
        and not isinstance(given, bool)
        and float(given).is_integer(),
        "boolean": isinstance(given, bool),
        "text": isinstance(given, str),
    }[variable.kind]
    if not fits:
        raise ldt.ParamError(
            f"start: {given!r} is no value for '{variable.name}', which is of the type {variable.type}",
            code="bad value",
            fix="write a value of that type",
        )
    if variable.kind == "number":
        return float(given)
    return int(given) if variable.kind == "integer" else given
