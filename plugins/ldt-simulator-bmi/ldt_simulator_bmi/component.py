"""The component: a BMI model's variables as ports, its updates as windows."""

from __future__ import annotations

import contextlib
import hashlib
import math
import pickle
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import shapely

import ldt_core as ldt

from .description import Description, Origin, Place, Variable, describe, start_model

_MARK = b"ldt-bmi-state 1\n"


class Bmi(ldt.Simulator):
    """Any Python class with the Basic Model Interface 2.0.

    Every input and output variable is a port with one row per node, edge or face of its grid, or one row
    for a single value. Places of nodes come once at the start. Inputs hold over a window; outputs are the
    values at its end. Source: Hutton et al., The Basic Model Interface 2.0, JOSS 5(51), 2317, 2020.

    Raises ``ParamError`` for what is no BMI class, and for time that has no fixed length.
    """

    id = "bmi"
    title = "BMI model (Basic Model Interface 2.0)"
    dynamic = True
    validity: ClassVar[Mapping[str, Any]] = {
        "interface": "Python classes with BMI 2.0 in this environment",
        "ports": "to tell its ports, the model is initialized once with its configuration",
    }

    class Params(ldt.Params):
        model: str = ldt.Field(pattern=r"^([\w.]+:)?\w+$")
        """The class: package.module:Class; or its name alone, in the Python file under `file`."""
        file: ldt.File | None = None
        """A Python file that holds the class. Its content counts in what a result was made from."""
        config: ldt.File | None = None
        """Its configuration file, handed to `initialize`."""
        inputs: list[str] | None = None
        """Input variables that become ports; left out: all."""
        outputs: list[str] | None = None
        """Output variables that become ports; left out: all."""
        uniform: list[str] = []
        """Input variables that take one value for their whole grid."""
        units: dict[str, str] = {}
        """UCUM code by variable, where the model's own is none that UCUM can say."""
        quantities: dict[str, str] = {}
        """What is measured, by variable: a CF standard name, or x:..."""
        cells: dict[str, Literal["point", "mean", "sum", "min", "max"]] = {}
        """How a value stands for its window, by variable; `point` where nothing is said."""
        entities: dict[str, str] = {}
        """Names of entity sets by place: {node0: street-edge}; left out: the model's name and the place."""
        crs: str | None = None
        """CRS of the model's coordinates; then its nodes have geometries."""
        state: Literal["none", "pickle"] = "none"
        """`pickle`: the whole object is its state. Only for models that hold no open files or foreign memory."""

    params: Params

    def __init__(self, params: Any = None, context: ldt.Context | None = None) -> None:
        super().__init__(params, context)
        self._bmi: Any = None
        self._torn = False  # whether a step was left in its middle

    # -- what it offers ---------------------------------------------------------------------

    def ports(self) -> tuple[Mapping[str, ldt.Port], Mapping[str, ldt.Port]]:
        found = self._description()
        inputs = {
            _name(v.name): self._port(found, v, optional=True) for v in self._chosen("inputs", found.inputs)
        }
        outputs = {_name(v.name): self._port(found, v) for v in self._chosen("outputs", found.outputs)}
        for place in self._places(found):
            outputs[place.key] = self._place_port(found, place)
        return inputs, outputs

    def capabilities(self) -> frozenset[str]:
        return super().capabilities() if self.params.state == "pickle" else frozenset()

    @property
    def _origin(self) -> Origin:
        files = (None if f is None else f.path for f in (self.params.file, self.params.config))
        return Origin(self.params.model, *files)

    def _description(self) -> Description:
        return describe(self._origin)

    def _chosen(self, parameter: str, variables: Mapping[str, Variable]) -> list[Variable]:
        asked = getattr(self.params, parameter)
        chosen = []
        for name in variables if asked is None else asked:
            if name not in variables:
                raise ldt.ParamError(
                    f"{parameter} names '{name}', which the model does not have",
                    code="no variable",
                    fix=f"it has {', '.join(variables)}",
                )
            if variables[name].dtype.kind in "biuf":
                chosen.append(variables[name])
            elif asked is not None:
                raise ldt.ParamError(
                    f"{parameter} names '{name}', whose type {variables[name].dtype} no column can hold",
                    code="not supported",
                    fix="leave it out",
                )
        return chosen

    def _places(self, found: Description) -> list[Place]:
        """Places of nodes that have coordinates, in order."""
        every = [*found.inputs.values(), *found.outputs.values()]
        return sorted(
            {v.place for v in every if v.place and v.place.key in found.points}, key=lambda p: p.grid
        )

    def _entity(self, found: Description, place: Place) -> str:
        named = self.params.entities.get(place.key)
        return named or f"{found.name.lower().replace(' ', '-')}-{place.key}"

    def _place_port(self, found: Description, place: Place) -> ldt.Port:
        columns = {place.location: ldt.text(), "x": ldt.number("m", None), "y": ldt.number("m", None)}
        if self.params.crs is not None:
            columns["geometry"] = ldt.geometry("Point", crs=self.params.crs)
        return ldt.Port(columns, at="start", entity=self._entity(found, place), id=place.location)

    def _port(self, found: Description, variable: Variable, *, optional: bool = False) -> ldt.Port:
        column = self._column(variable, optional)
        place = None if self._uniform(variable) and optional else variable.place
        if place is None:
            return ldt.Port({_name(variable.name): column}, optional=optional)
        return ldt.Port(
            {place.location: ldt.text(), _name(variable.name): column},
            entity=self._entity(found, place),
            id=place.location,
            optional=optional,
        )

    def _uniform(self, variable: Variable) -> bool:
        return variable.name in self.params.uniform

    def _column(self, variable: Variable, is_input: bool) -> ldt.Column:
        unit = self.params.units.get(variable.name) or variable.unit
        if unit is None and is_input:
            raise ldt.ParamError(
                f"the input '{variable.name}' has the unit '{variable.said_unit}', which UCUM cannot say",
                code="unit unknown",
                fix=f"write units: {{{variable.name}: CODE}}; 1 for a number without dimension",
            )
        quantity = self.params.quantities.get(variable.name)
        cell = self.params.cells.get(variable.name, "point")
        if variable.dtype.kind == "f":
            return ldt.number(unit, quantity, cell=cell)
        return ldt.integer(unit or "1", quantity, cell=cell)

    # -- at work ----------------------------------------------------------------------------

    def initialize(self, inputs: ldt.Tables) -> ldt.Tables:
        self.finalize()
        found = self._description()
        self._found = found
        self._takes = self._chosen("inputs", found.inputs)
        self._gives = self._chosen("outputs", found.outputs)
        self._ids = {
            v.place: np.array([str(i) for i in range(v.place.count)], object)
            for v in [*found.inputs.values(), *found.outputs.values()]
            if v.place
        }
        gain, _ = ldt.conversion(found.time_unit, "s")
        self._second = 1.0 / gain
        self._bmi = start_model(self._origin)
        start = {place.key: self._place_table(place) for place in self._places(found)}
        return start | self._values()

    def _place_table(self, place: Place) -> ldt.Table:
        x, y = self._found.points[place.key]
        columns: dict[str, Any] = {place.location: self._ids[place], "x": x, "y": y}
        if self.params.crs is not None:
            columns["geometry"] = shapely.points(x, y)
        return ldt.Table(columns)

    def step(self, inputs: ldt.Tables, until: int) -> ldt.Tables:
        """Raises ``InputError`` for ids that do not pair and for what the model refuses: after that it can only begin anew."""
        bmi = self._running()
        self.context.check_cancelled()
        taken = [v for v in self._takes if _name(v.name) in inputs]
        given = {v.name: self._read(v, inputs[_name(v.name)]) for v in taken}
        self._torn = True
        for name, values in given.items():
            with _understood(f"refuses the values of '{name}'"):
                bmi.set_value(name, values)
        self._advance(self._found.start + until / ldt.SECOND * self._second)
        self._torn = False
        return self._values()

    def _started(self) -> Any:
        if self._bmi is None:
            raise ldt.Unsupported("the model is not initialized", code="not initialized")
        return self._bmi

    def _running(self) -> Any:
        bmi = self._started()
        if self._torn:
            raise ldt.InputError(
                "a step failed in its middle, and nobody knows where the model stands since",
                code="refused by the model",
                fix="initialize it anew, or restore a state",
            )
        return bmi

    def _advance(self, goal: float) -> None:
        """Update by the model's own steps while they fit; what is left over by ``update_until``."""
        bmi = self._bmi
        now, size = float(bmi.get_current_time()), float(bmi.get_time_step())
        while size > 0 and now + size <= goal * (1 + 1e-12):
            self.context.check_cancelled()
            with _understood("refuses to go on"):
                bmi.update()
            before, now = now, float(bmi.get_current_time())
            if now <= before:
                raise RuntimeError(f"the model's update left its clock at {now:g} {self._found.time_unit}")
            size = float(bmi.get_time_step())
        if not math.isclose(now, goal, rel_tol=1e-9, abs_tol=1e-9):
            with _understood(f"refuses to go on to {goal:g} {self._found.time_unit}"):
                bmi.update_until(goal)
            now = float(bmi.get_current_time())
        if not math.isclose(now, goal, rel_tol=1e-9, abs_tol=1e-9):
            raise ldt.ParamError(
                f"the model stands at {now:g} {self._found.time_unit} where the window ends at {goal:g}",
                code="step",
                fix=f"give it a step that is a multiple of its own ({self._found.step:g} {self._found.time_unit})",
            )

    def _read(self, variable: Variable, given: ldt.Table | ldt.Grid) -> Any:
        """The values of an input in the model's order."""
        name = _name(variable.name)
        assert isinstance(given, ldt.Table)
        count = 1 if variable.place is None else variable.place.count
        values = given[name].astype(variable.dtype)
        if variable.place is not None and not self._uniform(variable):
            return values[self._order(variable, given, count)]
        if len(values) != 1:
            raise ldt.InputError(
                f"the input '{name}' takes one value, not {len(values)}",
                code="shape",
                where=name,
                fix="link a port with one row a window",
            )
        return np.full(count, values[0])

    def _order(self, variable: Variable, given: ldt.Table, count: int) -> Any:
        """Rows of ``given`` in the model's order, whatever their own; each id once."""
        assert variable.place is not None
        try:
            at = given[variable.place.location].astype(np.int64)
        except ValueError:
            at = np.array([], np.int64)
        if len(at) != count or not np.array_equal(np.sort(at), np.arange(count)):
            raise ldt.InputError(
                f"the input '{_name(variable.name)}' needs a value for each of {count} {variable.place.location}s, "
                f"0 to {count - 1}",
                code="ids do not pair",
                where=_name(variable.name),
                fix=f"take the ids from the port {variable.place.key}, or name the variable in uniform:",
            )
        return np.argsort(at)

    def _values(self) -> dict[str, ldt.Table]:
        found = {}
        for variable in self._gives:
            count = 1 if variable.place is None else variable.place.count
            raw = np.empty(count, variable.dtype)
            self._bmi.get_value(variable.name, raw)
            columns: dict[str, Any] = {}
            if variable.place is not None:
                columns[variable.place.location] = self._ids[variable.place]
            columns[_name(variable.name)] = raw.astype(np.float64 if variable.dtype.kind == "f" else np.int64)
            found[_name(variable.name)] = ldt.Table(columns)
        return found

    def get_state(self) -> bytes:
        """The whole object behind a mark and a digest, so that torn and foreign bytes are never unpickled."""
        if self.params.state != "pickle":
            raise ldt.Unsupported(
                "BMI 2.0 has no call that gives a model's state",
                fix="write state: pickle, if the model holds no open files or foreign memory",
            )
        bmi = self._running()
        body = pickle.dumps(bmi, protocol=5)
        return _MARK + _digest(type(bmi), body) + body

    def set_state(self, state: bytes) -> None:
        """Raises ``InputError`` for bytes that are no state of this model."""
        if self.params.state != "pickle":
            raise ldt.Unsupported("BMI 2.0 has no call that takes a model's state", fix="write state: pickle")
        kind = type(self._started())
        mark, body = state[: len(_MARK) + 32], state[len(_MARK) + 32 :]
        if mark != _MARK + _digest(kind, body):
            raise ldt.InputError(
                f"this is no state of '{self.params.model}'", code="state", fix="run from the start"
            )
        self._bmi, self._torn = pickle.loads(body), False  # noqa: S301 - our own bytes, sealed here and by the store

    def finalize(self) -> None:
        if self._bmi is not None:
            with contextlib.suppress(Exception):  # its end changes no result
                self._bmi.finalize()
            self._bmi = None
        self._torn = False


def _digest(kind: type, body: bytes) -> bytes:
    return hashlib.sha256(f"{kind.__module__}:{kind.__qualname__}\0".encode() + body).digest()


@contextlib.contextmanager
def _understood(what: str) -> Iterator[None]:
    """What the model raises, in the contract's words."""
    try:
        yield
    except Exception as exc:
        raise ldt.InputError(
            f"the model {what}: {type(exc).__name__}: {exc!s:.300}",
            code="refused by the model",
            fix="look at the window's inputs, and at what the model says of them",
        ) from exc


def _name(variable: str) -> str:
    """A variable's name as a twin file can write it."""
    return "".join(c if c.isalnum() or c in "_-" else "_" for c in variable)
