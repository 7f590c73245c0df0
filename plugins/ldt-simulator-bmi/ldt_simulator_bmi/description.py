"""What a BMI class says of itself once it is initialized: its variables, their grids, its clock."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import sys
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


@dataclass(frozen=True)
class Origin:
    """Where a model comes from: ``path`` is package.module:Class, or the name of a class in the Python file ``file``."""

    path: str
    file: Path | None
    config: Path | None

    @property
    def version(self) -> tuple[tuple[int, int] | None, ...]:
        """Changes with the files."""
        return tuple(_version(f) for f in (self.file, self.config))


def _version(file: Path | None) -> tuple[int, int] | None:
    stat = file.stat() if file is not None and file.is_file() else None
    return (stat.st_mtime_ns, stat.st_size) if stat else None


def load_class(origin: Origin) -> Any:
    """Raises ``ParamError``; ``NotFound`` where the file is not there."""
    module, _, name = origin.path.rpartition(":")
    if bool(module) == (origin.file is not None):
        raise ldt.ParamError(
            f"model: '{origin.path}' does not say where the class is",
            code="no model",
            fix="write package.module:Class; or the name of the class alone, and its Python file under file:",
        )
    try:
        found = getattr(importlib.import_module(module) if module else _of_file(origin.file), name)
    except ldt.LdtError:
        raise
    except Exception as exc:  # whatever a module does when it is imported
        raise ldt.ParamError(
            f"the model '{origin.path}' cannot be imported: {exc}",
            code="no model",
            fix="name a class of a package that is installed in this environment, or of a file that Python can read",
        ) from exc
    missing = [m for m in ("initialize", "update", "finalize", "get_value") if not hasattr(found, m)]
    if missing:
        raise ldt.ParamError(
            f"'{origin.path}' has no {', '.join(missing)}",
            code="no model",
            fix="name a class with the BMI 2.0",
        )
    return found


def _of_file(file: Path | None) -> Any:
    """The module of a file, named by its content, so that a saved state finds its class in any process."""
    assert file is not None
    if not file.is_file():
        raise ldt.NotFound(f"the model's file {file} is not there", fix="correct file:")
    name = f"ldt_bmi_{hashlib.sha256(file.read_bytes()).hexdigest()[:16]}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


def start_model(origin: Origin) -> Any:
    """The model, initialized. Raises ``ParamError`` where it does not start."""
    instance = load_class(origin)()
    if origin.config is not None and not origin.config.is_file():
        raise ldt.NotFound(f"the configuration {origin.config} is not there", fix="correct config:")
    try:
        instance.initialize("" if origin.config is None else str(origin.config))
    except Exception as exc:  # whatever its reader meets first
        raise ldt.ParamError(
            f"the model '{origin.path}' does not start: {type(exc).__name__}: {exc!s:.200}",
            code="no model",
            fix="correct the file under config:",
        ) from exc
    return instance


@contextlib.contextmanager
def opened(origin: Origin) -> Iterator[Any]:
    """The model, initialized, and finalized at the end."""
    instance = start_model(origin)
    try:
        yield instance
    finally:
        instance.finalize()


def describe(origin: Origin) -> Description:
    return _describe(origin, origin.version)


@lru_cache(maxsize=16)
def _describe(origin: Origin, version: tuple[tuple[int, int] | None, ...]) -> Description:
    with opened(origin) as bmi:
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
