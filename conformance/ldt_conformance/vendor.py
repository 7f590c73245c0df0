"""``conformance.toml``: what a vendor supplies so that a component can be judged. See the guide.

Every path is relative to the file. What is not written has a default; an unknown key is refused.
"""

from __future__ import annotations

import csv
import json
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

import ldt_core as ldt
from ldt_core.errors import DataError, LdtError, nearest
from ldt_core.interfaces import AnyPort, Duration
from ldt_core.remote.json_tables import from_json, loads

from .artefact import Artefact
from .example import Example
from .report import Waived
from .requirements import catalogue

NAME = "conformance.toml"


class VendorError(LdtError):
    """``conformance.toml`` or what it names cannot be used; the vendor mends it."""

    group = "conformance"
    exit_code = 3


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _instant(value: Any) -> Any:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("an instant says its zone: 2026-03-02T05:00:00Z")
        return value
    return datetime.fromisoformat(value) if isinstance(value, str) else value


class VariantSection(_Section):
    """What may differ between the examples of one component; see ``Example``."""

    params: dict[str, Any] | None = None
    start: Annotated[datetime, BeforeValidator(_instant)] | None = None
    step: Duration | None = None
    windows: int | None = Field(None, ge=0)
    seed: int | None = None
    crs: str | None = None
    bbox: tuple[float, float, float, float] | None = None
    inputs: dict[str, str] | None = None
    known: dict[str, tuple[dict[str, Any], ...]] | None = None
    rows: dict[str, int] | None = None


class ComponentSection(VariantSection):
    """``[component.ID]``: how one component is run to be judged. ``inputs`` and ``states`` name files."""

    windows: int | None = Field(None, ge=1)
    cases: str = "cases/*.json"
    tolerances: dict[str, float] | None = None
    balances: tuple[dict[str, Any], ...] | None = None
    nothing: dict[str, Any] | None = None
    shows: dict[str, Any] | None = None
    states: tuple[str, ...] = ()
    grace: Duration | None = None
    variants: dict[str, VariantSection] = {}


class ServiceSection(_Section):
    """``[service]``: how a service is reached. ``token_variable`` names the environment variable that holds its token."""

    token_variable: str | None = None


class PackageSection(_Section):
    """``[package]``: what is handed in with the wheel: a folder of wheels that it needs, a file of pinned requirements,
    the wheel that was certified last."""

    links: str | None = None
    lock: str | None = None
    previous: str | None = None


class WaiverSection(_Section):
    """``[[waiver]]``: a failure that is accepted at home until ``expires``."""

    requirement: str
    component: str | None = None
    reason: str = Field(min_length=10)
    expires: date


class VendorFile(_Section):
    """The whole file."""

    component: dict[str, ComponentSection] = {}
    service: ServiceSection = ServiceSection()
    package: PackageSection = PackageSection()
    waiver: tuple[WaiverSection, ...] = ()


def read_vendor(path: Path) -> VendorFile:
    """Read the file. Raises ``VendorError`` that names file, line and key."""
    try:
        text = path.read_text(encoding="utf-8")
        plain = tomllib.loads(text)
    except OSError as exc:
        raise VendorError(f"it cannot be read: {exc.strerror}", code="unreadable", where=str(path)) from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise VendorError(f"it is no TOML: {exc}", code="syntax", where=str(path)) from exc
    try:
        found = VendorFile.model_validate(plain)
    except ValidationError as exc:
        error = exc.errors(include_url=False)[0]
        keys = [str(k) for k in error["loc"]]
        raise VendorError(
            f"{'.'.join(keys)}: {error['msg']}",
            code="unknown key" if error["type"] == "extra_forbidden" else "bad value",
            where=f"{path}:{_line(text, keys)}",
            fix=_known(keys) if error["type"] == "extra_forbidden" else "",
        ) from exc
    for waiver in found.waiver:
        if waiver.requirement not in catalogue():
            raise VendorError(
                f"there is no requirement '{waiver.requirement}' to waive",
                code="unknown key",
                where=f"{path}:{_line(text, ['waiver', waiver.requirement])}",
                fix=nearest(waiver.requirement, catalogue()),
            )
    return found


def handed_in(artefact: Artefact, found: VendorFile, folder: Path) -> Artefact:
    """The artefact with what its vendor hands in with it. Raises ``VendorError`` where a file is not there."""
    said = {n: folder / p for n, p in found.package.model_dump(exclude_none=True).items()}
    for name, path in said.items():
        if not path.exists():
            raise VendorError(f"package.{name}: there is no {path.name}", code="unreadable", where=str(path))
    return replace(artefact, **said)


def _line(text: str, keys: list[str]) -> int:
    """The line on which the last of ``keys`` that is written stands; 1 where none is."""
    lines = text.splitlines()
    for key in reversed(keys):
        for number, line in enumerate(lines, 1):
            if key in line:
                return number
    return 1


_SECTIONS: Mapping[str, type[BaseModel]] = {
    "component": ComponentSection,
    "service": ServiceSection,
    "waiver": WaiverSection,
}


def _known(keys: list[str]) -> str:
    section = _SECTIONS.get(keys[0], VendorFile) if len(keys) > 1 else VendorFile
    return nearest(keys[-1], section.model_fields)


def waivers_of(found: VendorFile, today: date | None = None) -> tuple[Waived, ...]:
    """Those that have not expired."""
    today = today or datetime.now(UTC).date()
    return tuple(
        Waived(
            requirement=w.requirement, component=w.component, reason=w.reason, expires=w.expires.isoformat()
        )
        for w in found.waiver
        if w.expires >= today
    )


def example_of(
    found: VendorFile, id: str, folder: Path, inputs: Mapping[str, AnyPort], step: str | None = None
) -> Example:
    """The example of one component. ``inputs`` are its input ports with the example's parameters, ``step`` its own
    default. Raises ``VendorError`` for a table that does not fit its port."""
    section = found.component.get(id, ComponentSection())
    fields = _given(section, folder, inputs)
    if step is not None:
        fields.setdefault("step", ldt.parse_duration(step))
    for name in ("tolerances", "balances", "shows", "grace"):
        if (value := getattr(section, name)) is not None:
            fields[name] = value
    if section.nothing is not None:
        fields["nothing"] = dict(section.nothing)
        if "inputs" in section.nothing:
            tables = section.nothing["inputs"].items()
            fields["nothing"]["inputs"] = {n: _table(folder / f, n, inputs) for n, f in tables}
    if section.states:
        fields["states"] = tuple(_bytes(folder / name) for name in section.states)
    if section.variants:
        fields["variants"] = {n: _given(v, folder, inputs) for n, v in section.variants.items()}
    return Example(base=folder, cases=tuple(_cases(folder, section.cases, id)), **fields)


def _given(section: VariantSection, folder: Path, inputs: Mapping[str, AnyPort]) -> dict[str, Any]:
    """The fields of ``Example`` that are written."""
    names = ("params", "step", "windows", "seed", "crs", "bbox", "known", "rows")
    fields: dict[str, Any] = {n: v for n in names if (v := getattr(section, n)) is not None}
    if section.start is not None:
        fields["start"] = np.datetime64(section.start.astimezone(UTC).replace(tzinfo=None), "us")
    if section.inputs is not None:
        fields["inputs"] = {n: _table(folder / f, n, inputs) for n, f in section.inputs.items()}
    return fields


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise VendorError(f"it cannot be read: {exc.strerror}", code="unreadable", where=str(path)) from exc


def _cases(folder: Path, pattern: str, id: str) -> list[Mapping[str, Any]]:
    found = []
    for path in sorted(folder.glob(pattern)):
        try:
            case = json.loads(path.read_text(encoding="utf-8"))
            mine = case["component"] == id
        except (OSError, ValueError, KeyError, TypeError) as exc:
            raise VendorError(
                f"it is no case: {type(exc).__name__}: {exc}",
                code="bad value",
                where=str(path),
                fix="a case is JSON with component, params, inputs and outputs",
            ) from exc
        if mine:
            found.append(case)
    return found


def _table(path: Path, name: str, ports: Mapping[str, AnyPort]) -> ldt.Table:
    """A table from JSON as the contract writes it, or from CSV with the port's columns as its head."""
    port = ports.get(name)
    if not isinstance(port, ldt.Port):
        raise VendorError(
            f"there is no input port '{name}' that takes a table",
            code="unknown key",
            where=NAME,
            fix=nearest(name, ports),
        )
    try:
        plain = loads(path.read_bytes(), str(path)) if path.suffix == ".json" else _csv(path, port)
        table = from_json(plain, port, str(path))
        assert isinstance(table, ldt.Table)
        ldt.check(table, port, str(path))
    except OSError as exc:
        raise VendorError(f"it cannot be read: {exc.strerror}", code="unreadable", where=str(path)) from exc
    except DataError as exc:
        raise VendorError(exc.what, code="bad value", where=exc.where or str(path), fix=exc.fix) from exc
    return table


def _csv(path: Path, port: ldt.Port) -> dict[str, Any]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    columns: dict[str, list[Any]] = {}
    for name, column in port.columns.items():
        try:
            texts = [row[name] for row in rows]
        except KeyError:
            raise VendorError(
                f"it has no column '{name}'",
                code="bad value",
                where=f"{path}:1",
                fix=f"the port '{name}' needs it",
            ) from None
        columns[name] = [_value(t, column.kind, f"{path}:{n}") for n, t in enumerate(texts, 2)]
    return {"columns": columns}


def _value(text: str, kind: str, where: str) -> Any:
    if text == "":
        return None
    try:
        if kind in ("number", "integer"):
            return float(text) if kind == "number" else int(text)
        if kind == "boolean":
            return {"true": True, "false": False}[text.lower()]
        return json.loads(text) if kind == "geometry" else text
    except (ValueError, KeyError):
        raise VendorError(f"'{text}' is no {kind}", code="bad value", where=where) from None
