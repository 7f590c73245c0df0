"""Checks of the catalogue's part ``package`` that read the wheel and run nothing."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Any, cast

import jsonschema
from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from ldt_core.catalog import KINDS
from ldt_core.interfaces import CONTRACT
from ldt_core.tables import port_from_dict

from ..artefact import Artefact
from ..package_trial import PackageTrial
from ..trial import Trial
from . import check, package_compat, package_run, package_sbom

__all__ = ["package_compat", "package_run", "package_sbom"]


@check("LDT-PKG-META-01")
def the_manifest_can_be_read(trial: Trial) -> None:
    artefact = cast(PackageTrial, trial).artefact
    trial.expect(
        not artefact.problems,
        f"the wheel is not whole: {artefact.problems[0] if artefact.problems else ''}",
        given=artefact.wheel.name,
        expected="a wheel as the binary distribution format says",
        got=artefact.problems[:20],
    )
    try:
        entries = artefact.entry_points
    except ValueError as exc:
        trial.fail(str(exc), given=artefact.wheel.name)
    inside = f"{artefact.package}/__init__.py" in artefact.files
    trial.expect(
        artefact.package.isidentifier() and inside,
        "the group 'ldt' of its entry points does not name one top-level package of the wheel",
        expected="one entry, such as ldt-heat = ldt_heat",
        got=entries,
    )
    try:
        manifest = artefact.manifest
    except ValueError as exc:
        trial.fail(f"the manifest cannot be read: {exc}", given=artefact.wheel.name)
    problem = next(_manifest_problems(manifest, artefact), None)
    trial.expect(
        problem is None, f"the manifest is not valid: {problem}", given=f"{artefact.package}/component.json"
    )


def _manifest_problems(manifest: Mapping[str, Any], artefact: Artefact) -> Iterator[str]:
    """What is wrong with a package's component.json, in words."""
    if manifest.get("contract") != CONTRACT:
        yield f"it is written for contract {manifest.get('contract')!r}, this suite judges contract {CONTRACT}"
    said = manifest.get("distribution")
    if not isinstance(said, str) or canonicalize_name(said) != artefact.name:
        yield f"its distribution is {said!r}, the wheel's is '{artefact.name}'"
    components = manifest.get("components")
    if not isinstance(components, list):
        yield "it has no list of components"
        return
    twins = manifest.get("twins", [])
    if not components and not manifest.get("commands") and not manifest.get("engines") and not twins:
        yield "it offers nothing: no component, no command, no engine, no twin"
    for twin in twins:
        if f"{artefact.package}/{twin}" not in artefact.files:
            yield f"the wheel lacks the twin file '{twin}' that it lists"
    for component in components:
        if not isinstance(component, dict) or not isinstance(component.get("id"), str):
            yield f"a component of it has no id: {component!r:.80}"
            return
        yield from (f"component '{component['id']}': {p}" for p in _component_problems(component))


def _component_problems(component: Mapping[str, Any]) -> Iterator[str]:
    if component.get("kind") not in KINDS:
        yield f"its kind is {component.get('kind')!r}, none of {', '.join(KINDS)}"
    for name in ("title", "description"):
        if not isinstance(component.get(name), str) or not component[name].strip():
            yield f"it has no {name}"
    for side in ("inputs", "outputs"):
        try:
            for port in component[side].values():
                port_from_dict(port)
        except (TypeError, ValueError, KeyError, AttributeError) as exc:
            yield f"its {side} cannot be read: {type(exc).__name__}: {exc}"
    try:
        jsonschema.Draft202012Validator.check_schema(component.get("params"))  # type: ignore[arg-type]
    except jsonschema.SchemaError as exc:
        yield f"its params are no JSON Schema: {exc.message:.200}"
    for name in ("secrets", "files", "capabilities", "processes", "hosts"):
        said = component.get(name)
        if not isinstance(said, list) or not all(isinstance(s, str) for s in said):
            yield f"its {name} is no list of texts"


@check("LDT-PKG-VER-01")
def one_version_everywhere(trial: Trial) -> None:
    artefact = cast(PackageTrial, trial).artefact
    said = {
        "the file name": artefact.version,
        "METADATA": str(artefact.metadata.get("Version")),
        "component.json": artefact.manifest.get("version"),
    }
    code = artefact.read(f"{artefact.package}/__init__.py") or b""
    if (own := _literal_version(code)) is not None:
        said["__version__"] = own
    for where, version in said.items():
        try:
            read = Version(version)  # type: ignore[arg-type]
        except (InvalidVersion, TypeError):
            trial.fail(
                f"the version in {where} is not legal", expected="a version as PEP 440 says", got=version
            )
        trial.expect(
            read == Version(artefact.version),
            f"the version in {where} is another than that of the wheel's file name",
            expected=artefact.version,
            got=version,
        )


def _literal_version(code: bytes) -> str | None:
    """What the code gives ``__version__``, where that is a text."""
    try:
        body = ast.parse(code).body
    except (SyntaxError, ValueError):
        return None
    for line in body:
        if isinstance(line, ast.Assign | ast.AnnAssign) and isinstance(line.value, ast.Constant):
            targets = line.targets if isinstance(line, ast.Assign) else [line.target]
            if any(isinstance(t, ast.Name) and t.id == "__version__" for t in targets):
                return str(line.value.value)
    return None


@check("LDT-PKG-LIC-01")
def the_licence_is_said(trial: Trial) -> None:
    artefact = cast(PackageTrial, trial).artefact
    # Before metadata 2.4 the expression stood in License, with no promise that it is one.
    said = artefact.metadata.get("License-Expression") or artefact.metadata.get("License")
    trial.expect(bool(said), "METADATA names no licence", expected="License-Expression: Apache-2.0", got=said)
    try:
        canonicalize_license_expression(str(said))
    except InvalidLicenseExpression as exc:
        trial.fail(f"the licence is no SPDX expression: {exc}", expected="Apache-2.0", got=str(said))
    trial.observations += 1
    named = [artefact.info(f"licenses/{f}") for f in artefact.metadata.get_all("License-File", [])]
    known = [f for f in artefact.files if "LICEN" in f.upper() or "COPYING" in f.upper()]
    texts = {f: len((artefact.read(f) or b"").strip()) for f in named or known}
    trial.expect(
        bool(texts) and all(size > 20 for size in texts.values()),
        "the wheel does not hold the text of its licence",
        expected="the files that License-File names, with the licence's words",
        got={f: f"{size} bytes" for f, size in texts.items()} or "no such file",
    )
