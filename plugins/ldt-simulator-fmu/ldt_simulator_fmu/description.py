"""What an FMU says of itself: its variables, units and abilities, read without running it."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import ldt_core as ldt

from .units import ucum_code

_KINDS = {
    "Real": "number", "Float64": "number", "Float32": "number",
    "Integer": "integer", "Enumeration": "integer",
    "Int8": "integer", "UInt8": "integer", "Int16": "integer", "UInt16": "integer",
    "Int32": "integer", "UInt32": "integer", "Int64": "integer", "UInt64": "integer",
    "Boolean": "boolean", "String": "text",
}  # fmt: skip


@dataclass(frozen=True)
class Variable:
    """A scalar of the FMU. ``kind`` is that of a column; ``type`` FMI's own word, which names its calls."""

    name: str
    reference: int
    type: str
    kind: str
    causality: str
    initial: str | None
    unit: str | None
    fmi_unit: str | None
    start: str | None
    range: tuple[float, float] | None
    text: str

    def column(self, unit: str | None, quantity: str | None) -> ldt.Column:
        if self.kind == "text":
            return ldt.text(description=self.text)
        if self.kind == "boolean":
            return ldt.boolean(description=self.text)
        if self.kind == "integer":
            return ldt.integer(unit or self.unit or "1", quantity, range=self.range, description=self.text)
        return ldt.number(unit or self.unit, quantity, range=self.range, description=self.text)


@dataclass(frozen=True)
class Description:
    """An FMU as its model description shows it (``model``: FMPy's own).

    ``fixed_step`` in seconds, where it takes no other; ``problems`` is what breaks the standard.
    """

    path: Path
    model: Any
    version: str
    name: str
    variables: Mapping[str, Variable]
    left_out: Mapping[str, str]
    state: bool
    early_return: bool
    fixed_step: float | None
    start_time: float
    tolerance: float | None
    problems: tuple[str, ...]

    def find(self, name: str, parameter: str) -> Variable:
        """Raises ``ParamError`` for a variable that is not there, or that no column can hold."""
        if name in self.variables:
            return self.variables[name]
        if name in self.left_out:
            raise ldt.ParamError(
                f"{parameter} names '{name}', {self.left_out[name]}",
                code="not supported",
                fix="name a scalar variable",
            )
        near = [n for n in self.variables if name.lower() in n.lower() or n.lower() in name.lower()]
        raise ldt.ParamError(
            f"{parameter} names '{name}', which {self.path.name} does not have",
            code="no variable",
            fix=f"it has {', '.join((near or list(self.variables))[:12])}",
        )


def read_description(path: Path) -> Description:
    """Raises ``NotFound``, or ``ParamError`` for what is no FMU that can be co-simulated here."""
    try:
        stat = path.stat()
    except OSError as exc:
        raise ldt.NotFound(f"the FMU {path} cannot be read: {exc.strerror}", fix="correct fmu:") from exc
    return _read(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=16)
def _read(path: Path, changed: int, size: int) -> Description:
    import fmpy
    from fmpy.model_description import ValidationError

    problems: tuple[str, ...] = ()
    try:
        try:
            found = fmpy.read_model_description(str(path))
        except ValidationError as exc:  # many tools export small faults that hinder nobody
            problems = tuple(str(p) for p in exc.problems)
            found = fmpy.read_model_description(str(path), validate=False)
    except Exception as exc:
        raise ldt.ParamError(
            f"{path.name} is no FMU that can be read: {exc}",
            code="no FMU",
            fix="export it again from the tool that made it; `fmpy validate FILE` tells more",
        ) from exc
    slave = found.coSimulation
    if found.fmiVersion not in ("2.0",) and not found.fmiVersion.startswith("3."):
        raise _unusable(path, f"is written for FMI {found.fmiVersion}", "export it for FMI 2.0 or 3.0")
    if slave is None:
        raise _unusable(path, "offers no co-simulation", "export it as a co-simulation FMU")
    with zipfile.ZipFile(path) as archive:
        built = sorted({n.split("/")[1] for n in archive.namelist() if n.startswith("binaries/")} - {""})
    if not {fmpy.platform, fmpy.platform_tuple} & set(built):
        raise _unusable(
            path,
            f"is built for {', '.join(built) or 'no platform'}, this machine is {fmpy.platform_tuple}",
            "compile it for this platform (`fmpy compile FILE`, where the sources are inside)",
        )
    variables: dict[str, Variable] = {}
    left_out: dict[str, str] = {}
    for v in found.modelVariables:
        if v.type not in _KINDS:
            left_out[v.name] = f"which is of the type {v.type}"
        elif v.dimensions:
            left_out[v.name] = "which is an array"
        else:
            variables[v.name] = _variable(found, v)
    fixed = None if slave.canHandleVariableCommunicationStepSize else slave.fixedInternalStepSize
    experiment = found.defaultExperiment
    return Description(
        path,
        found,
        found.fmiVersion,
        found.modelName,
        variables,
        left_out,
        bool(slave.canGetAndSetFMUstate and slave.canSerializeFMUstate),
        bool(slave.mightReturnEarlyFromDoStep),
        None if fixed is None else float(fixed),
        float(experiment.startTime or 0.0) if experiment else 0.0,
        float(experiment.tolerance) if experiment and experiment.tolerance else None,
        problems,
    )


def _variable(found: Any, v: Any) -> Variable:
    declared = v.declaredType
    name = v.unit or (declared.unit if declared else None)
    unit = next((u for u in found.unitDefinitions if u.name == name), None)
    limits = [v.min, v.max] if v.min is not None and v.max is not None else None
    return Variable(
        v.name,
        v.valueReference,
        v.type,
        _KINDS[v.type],
        v.causality or "local",
        v.initial,
        ucum_code(name, unit.baseUnit if unit else None),
        name,
        None if v.start is None else str(v.start),
        (float(limits[0]), float(limits[1])) if limits and _KINDS[v.type] == "number" else None,
        v.description or "",
    )


def _unusable(path: Path, what: str, fix: str) -> ldt.ParamError:
    return ldt.ParamError(f"{path.name} {what}", code="not supported", fix=fix)
