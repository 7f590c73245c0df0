"""A component class as a distribution: its folder, its wheel, and a site folder in which it lies installed.

No build backend and no installer runs, so it takes milliseconds.
"""

from __future__ import annotations

import importlib.metadata
import tomllib
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ldt_core.catalog import HOOKS
from ldt_core.interfaces import CONTRACT, Component
from ldt_core.manifest import describe, render
from ldt_core.wheels import write_wheel

_PROJECT = """[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "{version}"
description = "{title}"
license = "Apache-2.0"
license-files = ["LICENSE"]
requires-python = ">=3.11"
dependencies = ["ldt-core>=0.1"]

[project.entry-points.ldt]
{name} = "{package}"
"""


def package_of(name: str) -> str:
    return name.replace("-", "_")


def exported(component: type[Component]) -> str:
    """The code of a package that offers a class which can be imported from elsewhere."""
    module, name = component.__module__, component.__qualname__
    if "<" in name or module == "__main__":
        raise ValueError(f"{module}.{name} cannot be imported by another process")
    return (
        f"import ldt_core as ldt\n\nimport {module}\n\n\n@ldt.hookimpl\n"
        f"def {HOOKS[component.kind]}():\n    return [{module}.{name}]\n"
    )


def put_folder(
    component: type[Component],
    folder: Path,
    name: str,
    *,
    code: str = "",
    version: str = "1.0.0",
    claims: Iterable[str] = (),
) -> Path:
    """Write the source folder of the distribution ``name``: pyproject.toml, LICENSE, package, component.json.

    ``code`` is what the package holds; without it, it offers the class from where it lies. ``claims`` are capabilities
    that its manifest has beside those that the class shows.
    """
    package = folder / package_of(name)
    package.mkdir(parents=True)
    title = component.title or component.id
    project = _PROJECT.format(name=name, version=version, title=title, package=package.name)
    (folder / "pyproject.toml").write_text(project, encoding="utf-8")
    (folder / "LICENSE").write_text(licence_text(), encoding="utf-8")
    (package / "__init__.py").write_text(code or exported(component), encoding="utf-8")
    said = describe(component)
    said["capabilities"] = sorted({*said["capabilities"], *claims})
    manifest = {
        "contract": CONTRACT,
        "distribution": name,
        "version": version,
        "components": [said],
        "commands": [],
    }
    (package / "component.json").write_text(render(manifest), encoding="utf-8")
    return folder


def licence_text() -> str:
    """The suite's own, Apache-2.0, as it was installed."""
    return importlib.metadata.distribution("ldt-conformance").read_text("licenses/LICENSE") or ""


def build_wheel(folder: Path, target: Path) -> Path:
    """The wheel of such a folder, below ``target``; the same bytes for the same files."""
    project: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))[
        "project"
    ]
    name, version = package_of(project["name"]), project["version"]
    info = f"{name}-{version}.dist-info"
    inside = {
        f.relative_to(folder).as_posix(): f.read_bytes()
        for f in sorted((folder / name).rglob("*"))
        if f.is_file() and "__pycache__" not in f.parts
    }
    licences = [f for pattern in project.get("license-files", ()) for f in sorted(folder.glob(pattern))]
    inside |= {f"{info}/licenses/{f.relative_to(folder).as_posix()}": f.read_bytes() for f in licences}
    points = [
        f"[{group}]\n" + "".join(f"{n} = {v}\n" for n, v in items.items())
        for group, items in project.get("entry-points", {}).items()
    ]
    said = {
        f"{info}/METADATA": _metadata(project, [f.relative_to(folder).as_posix() for f in licences]),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: ldt-conformance\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "\n".join(points),
    }
    inside |= {n: text.encode() for n, text in said.items()}
    return write_wheel(inside, info, f"{name}-{version}-py3-none-any.whl", target)


def _metadata(project: dict[str, Any], licences: list[str]) -> str:
    fields = [
        ("Metadata-Version", "2.4"),
        ("Name", project["name"]),
        ("Version", project["version"]),
        ("Summary", project.get("description")),
        ("License-Expression", project.get("license")),
        *(("License-File", name) for name in licences),
        ("Requires-Python", project.get("requires-python")),
        *(("Requires-Dist", text) for text in project.get("dependencies", ())),
    ]
    return "".join(f"{n}: {text}\n" for n, text in fields if text)


def install_wheel(wheel: Path, site: Path) -> Path:
    """Lay the wheel's files into a site folder, as an installer does; the folder."""
    site.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as files:
        files.extractall(site)
    return site
