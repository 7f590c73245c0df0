"""What a BMI class says of itself once it is initialized: its variables, their grids, its clock."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import ldt_core as ldt

_SPELLED = {"": "1", "-": "1", "1": "1", "none": "1", "degC": "Cel", "radian": "rad", "radians": "rad"}
_TIMES = {
    "s": "s", "sec": "s", "second": "s", "seconds": "s", "min": "min", "minute": "min", "minutes": "min",
    "h": "h", "hr": "h", "hour": "h", "hours": "h", "d": "d", "day": "d", "days": "d", "-": "s", "": "s",
}  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Where values lie: the nodes, edges or faces of one of the model's grids."""

    grid: int
    location: str
    count: int

    @property
    def key(self) -> str:
        return f"{self.location}{self.grid}"


@dataclass(frozen=True)
class Variable:
    """``place`` is None for a single value (a grid of rank 0). ``unit`` is None where UCUM cannot say it."""

    name: str
    dtype: np.dtype[Any]
    unit: str | None
    said_unit: str
    place: Place | None


@dataclass(frozen=True)
class Description:
    """A BMI model. ``time_unit`` is a UCUM code; ``points`` holds x and y of each node, by place."""

    name: str
    inputs: Mapping[str, Variable]
    outputs: Mapping[str, Variable]
    points: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]]
    time_unit: str
    start: float
    step: float


def load_class(path: str) -> Any:
    """The class at ``package.module:Class``. Raises ``ParamError``."""
    module, _, name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError, SyntaxError) as exc:
        raise ldt.ParamError(
            f"the model '{path}' cannot be imported: {exc}",
            code="no model",
            fix="write package.module:Class, of a package that is installed in this environment",
        ) from exc
    missing = [m for m in ("initialize", "update", "finalize", "get_value") if not hasattr(found, m)]
    if missing:
        raise ldt.ParamError(
            f"'{path}' has no {', '.join(missing)}", code="no model", fix="name a class with the BMI 2.0"
        )
    return found


@contextlib.contextmanager
def opened(path: str, config: Path | None) -> Iterator[Any]:
    """The model, initialized, and finalized at the end."""
    instance = start_model(path, config)
    try:
        yield instance
    finally:
        instance.finalize()


def start_model(path: str, config: Path | None) -> Any:
    instance = load_class(path)()
    if config is not None and not config.is_file():
        raise ldt.NotFound(f"the configuration {config} is not there", fix="correct config:")
    instance.initialize("" if config is None else str(config))
    return instance


def describe(path: str, config: Path | None) -> Description:
    stat = config.stat() if config is not None and config.is_file() else None
    return _describe(path, config, (stat.st_mtime_ns, stat.st_size) if stat else None)


@lru_cache(maxsize=16)
def _describe(path: str, config: Path | None, version: tuple[int, int] | None) -> Description:
    with opened(path, config) as bmi:
        inputs = {n: _variable(bmi, n) for n in bmi.get_input_var_names()}
        outputs = {n: _variable(bmi, n) for n in bmi.get_output_var_names()}
        places = {v.place for v in [*inputs.values(), *outputs.values()] if v.place}
        said = str(bmi.get_time_units())
        unit = _TIMES.get(said.split(" ")[0].lower())
        if unit is None:
            raise ldt.ParamError(
                f"the model counts time in '{said}', which has no fixed length in seconds",
                code="unit unknown",
                fix="configure the model to count s, min, h or d",
            )
        return Description(
            str(bmi.get_component_name()),
            inputs,
            outputs,
            {p.key: xy for p in places if p.location == "node" and (xy := _points(bmi, p)) is not None},
            unit,
            float(bmi.get_start_time()),
            float(bmi.get_time_step()),
        )


def _variable(bmi: Any, name: str) -> Variable:
    grid = int(bmi.get_var_grid(name))
    count = int(bmi.get_var_nbytes(name)) // max(1, int(bmi.get_var_itemsize(name)))
    try:
        scalar = int(bmi.get_grid_rank(grid)) == 0
    except NotImplementedError:
        scalar = count == 1
    place = None if scalar else Place(grid, str(bmi.get_var_location(name)), count)
    said = str(bmi.get_var_units(name))
    return Variable(name, np.dtype(bmi.get_var_type(name)), ucum_code(said), said, place)


def _points(bmi: Any, place: Place) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """x and y of every node: given, or those of a uniform grid; None where the model does not say."""
    x, y = np.empty(place.count), np.empty(place.count)
    try:
        return np.array(bmi.get_grid_x(place.grid, x)), np.array(bmi.get_grid_y(place.grid, y))
    except (NotImplementedError, ValueError):
        pass
    try:
        shape, spacing, origin = np.empty(2, np.int32), np.empty(2), np.empty(2)
        bmi.get_grid_shape(place.grid, shape)
        bmi.get_grid_spacing(place.grid, spacing)
        bmi.get_grid_origin(place.grid, origin)
    except (NotImplementedError, ValueError):
        return None
    rows, columns = (np.arange(n) * d + o for n, d, o in zip(shape, spacing, origin, strict=True))
    if len(rows) * len(columns) != place.count:
        return None
    return np.tile(columns, len(rows)), np.repeat(rows, len(columns))


def ucum_code(said: str) -> str | None:
    """UDUNITS as BMI writes them ("kg m-3", "m**2/s", "m s^-1") as UCUM; None where it is none."""
    code = _SPELLED.get(said.strip())
    if code is None:
        code = ".".join(said.replace("**", "").replace("^", "").replace("*", ".").split())
    try:
        ldt.conversion(code, "m")
    except ldt.WiringError as exc:
        return None if exc.code == "unit unknown" else code
    return code
