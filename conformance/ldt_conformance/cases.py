"""Golden cases: what a model must give for inputs that somebody has worked out elsewhere, as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import ldt_core as ldt
from ldt_core.interfaces import AnyPort
from ldt_core.remote.json_tables import from_json
from ldt_core.tables import Port

from .drivers.base import Subject
from .generate import stamp
from .trial import CannotTell, Trial

ROUNDING = 1e-6
"""Share of the largest number of a column that its golden numbers may be rounded by."""


@dataclass(frozen=True)
class Case:
    """One golden case. ``units`` says in which units its numbers are written where these are not the ports'
    (``{"air.air": "[degF]"}``); ``inputs`` and ``outputs`` are in those of the ports already.

    An output may leave out ports and columns: what is not there is not compared.
    """

    name: str
    params: Mapping[str, Any]
    inputs: Mapping[str, Any]
    outputs: Mapping[str, ldt.Table]
    context: Mapping[str, Any] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    tolerances: Mapping[str, float] = field(default_factory=dict)


def cases_of(trial: Trial) -> list[Case]:
    """The cases of the example. Raises ``CannotTell`` for one that cannot be read."""
    found = []
    for number, plain in enumerate(trial.example.cases, 1):
        name = str(plain.get("about", f"case {number}"))
        try:
            found.append(_read(trial, trial.open(plain.get("params", {})), plain, name))
        except (ldt.LdtError, KeyError, TypeError, ValueError, AttributeError) as exc:
            raise CannotTell(f"the golden case '{name}' cannot be read: {exc}") from exc
    return found


def _read(trial: Trial, subject: Subject, plain: Mapping[str, Any], name: str) -> Case:
    ports, outputs = subject.ports()
    units = dict(plain.get("units", {}))
    inputs = {
        n: _converted(from_json(t, ports[n], n), ports[n], n, units) for n, t in plain["inputs"].items()
    }
    wanted = {}
    for port, table in plain["outputs"].items():
        some = _some_columns(outputs[port], table)
        wanted[port] = _converted(from_json(table, some, port), some, port, units)
    context = {n: plain[n] for n in ("seed", "crs") if n in plain}
    if plain.get("bbox") is not None:
        context["bbox"] = tuple(plain["bbox"])
    return Case(
        name,
        plain.get("params", {}),
        inputs,
        wanted,
        context | _times(trial, plain, inputs, ports),
        units,
        dict(plain.get("tolerances", {})),
    )


def _some_columns(port: AnyPort, table: Mapping[str, Any]) -> Port:
    """The port with the columns that a case gives."""
    if not isinstance(port, Port):
        raise ValueError("golden outputs are tables")
    columns = {n: c for n, c in port.columns.items() if n in table["columns"]}
    known = port.id in columns
    return port.replace(columns=columns, id=port.id if known else None, entity=port.entity if known else None)


def _converted(table: Any, port: AnyPort, name: str, units: Mapping[str, str]) -> Any:
    for column, meant in port.columns.items():
        code = units.get(f"{name}.{column}")
        if code is not None and meant.unit is not None:
            gain, offset = ldt.conversion(code, meant.unit)
            mask = table.masks.get(column)
            table = table.with_columns(**{column: table[column] * gain + offset})
            table = table if mask is None else table.with_mask(column, mask)
    return table


def _times(
    trial: Trial, plain: Mapping[str, Any], inputs: Mapping[str, Any], ports: Mapping[str, AnyPort]
) -> dict[str, Any]:
    """The window: from ``start`` to ``end`` as the case says, else one step of the example around its inputs."""
    step = np.timedelta64(trial.example.step, "us")
    start = _instant(plain["start"]) if "start" in plain else None
    if start is None:
        start = trial.example.start
        for name, table in inputs.items():
            port = ports[name]
            if isinstance(port, Port) and port.time_column is not None and port.at == "step" and len(table):
                first = table[port.time_column].min()
                at_end = stamp(port, ldt.Context(window=ldt.Window(0, 1))) != ldt.Context().start
                start = first - step if at_end else first
                break
    end = _instant(plain["end"]) if "end" in plain else start + step
    return {"start": start, "window": ldt.Window(0, int((end - start) // np.timedelta64(1, "us")))}


def _instant(text: str) -> np.datetime64:
    return np.datetime64(text.removesuffix("Z"), "us")


def run(trial: Trial, case: Case, **changes: Any) -> dict[str, Any]:
    """What a new instance gives for a case, or for its ``params`` and ``inputs`` changed. Raises ``Raised``."""
    subject = trial.open(changes.get("params", case.params), **case.context)
    return dict(subject.compute(changes.get("inputs", case.inputs)))


def tolerances_of(trial: Trial, case: Case, share: float = ROUNDING) -> dict[str, float]:
    """Absolute ones by column: those that are declared, at least ``share`` of the largest number."""
    found: dict[str, float] = {**trial.manifest["tolerances"], **trial.example.tolerances, **case.tolerances}
    for table in case.outputs.values():
        for name in table.names:
            if table[name].dtype.kind == "f" and len(table):
                most = float(np.nanmax(np.abs(table[name]), initial=0.0))
                found[name] = max(found.get(name, 0.0), most * share)
    return found


def like(case: Case, answer: Mapping[str, Any]) -> dict[str, Any]:
    """Of an answer the ports and columns that the case knows."""
    return {
        n: answer[n].select(*(c for c in t.names if c in answer[n]))
        if isinstance(answer.get(n), ldt.Table)
        else answer.get(n)
        for n, t in case.outputs.items()
    }
