"""What can be said of a component without running it: made from its class, kept as component.json.

``python -m ldt_core.manifest FOLDER... [--check]`` writes the manifests of plugin folders, or tells
which have drifted from the code.
"""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from pathlib import Path
from typing import Any

from .catalog import load_engines, load_package
from .interfaces import CONTRACT, Component, File, shown_capabilities, unit_of
from .tables import port_as_dict


def describe(component: type[Component]) -> dict[str, Any]:
    """The manifest of one component class, as JSON."""
    schema = component.Params.model_json_schema()
    return {
        "id": component.id,
        "kind": component.kind,
        "contract": CONTRACT,
        "title": component.title or component.id,
        "description": inspect.cleandoc(component.__doc__ or ""),
        "inputs": {n: port_as_dict(p) for n, p in component.inputs.items()},
        "outputs": {n: port_as_dict(p) for n, p in component.outputs.items()},
        "dynamic": component.dynamic,
        "params": schema,
        "units": _units(component),
        "secrets": sorted(n for n, p in schema.get("properties", {}).items() if p.get("writeOnly")),
        "files": sorted(n for n, p in schema.get("properties", {}).items() if "'file'" in str(p)),
        "capabilities": sorted(shown_capabilities(component)),
        "stochastic": component.stochastic,
        "deterministic": component.deterministic,
        "processes": list(component.processes),
        "hosts": list(component.hosts),
        "live": list(component.live),
        "validity": dict(component.validity),
        "tolerances": dict(component.tolerances),
        "resources": dict(component.resources),
        **({"process": component.process} if component.process != "shared" else {}),
    }


def _units(component: type[Component]) -> dict[str, str]:
    marked = {n: unit_of(info) for n, info in component.Params.model_fields.items()}
    return {n: code for n, code in marked.items() if code is not None}


def package_manifest(package: str, distribution: str, version: str) -> dict[str, Any]:
    """The content of a package's component.json."""
    components = load_package(package)
    engines = load_engines(package)
    module = importlib.import_module(package)
    about = getattr(module, "ABOUT", None)  # what no code can show: standards, support, contacts
    return {
        "contract": CONTRACT,
        "distribution": distribution,
        "version": version,
        "components": [describe(components[i]) for i in sorted(components)],
        "commands": [dict(c) for c in getattr(module, "COMMANDS", [])],
        **({"engines": [{"name": n} for n in sorted(engines)]} if engines else {}),
        **({"about": dict(about)} if about else {}),
        **({"twins": list(module.TWINS)} if hasattr(module, "TWINS") else {}),
    }


def render(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False, default=_plain) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, File):
        return str(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"{value!r} is not JSON")


def folder_manifest(folder: Path) -> tuple[Path, str]:
    """Where the component.json of a plugin folder stands and what it must hold."""
    import tomllib

    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    ((name, package),) = project["entry-points"]["ldt"].items()
    content = package_manifest(package, name, project["version"])
    return folder / package / "component.json", render(content)


def main(arguments: list[str]) -> int:
    """Write the manifests of the folders named, or with ``--check`` tell which differ (exit 1)."""
    check = "--check" in arguments
    folders = [Path(a) for a in arguments if not a.startswith("--")]
    if "--all" in arguments:
        folders = sorted(
            p.parent
            for pattern in ("plugins/*", "conformance", "registry")
            for p in Path().glob(f"{pattern}/pyproject.toml")
        )
    drifted = 0
    for folder in folders:
        sys.path.insert(0, str(folder))
        path, text = folder_manifest(folder)
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        if check:
            print(f"{path}: differs from the code; run `ldt manifest {folder}`", file=sys.stderr)
            drifted += 1
        else:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path}")
    return 1 if drifted else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
