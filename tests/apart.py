"""Tiny distributions as wheels, and an index of them in a folder: environments of their own without a network.

What the core needs is in that folder as stand-ins: wheels of the names and versions that are installed here, whose
only content is a pointer to where they lie.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

from ldt_core.identity import lock
from ldt_core.wheels import write_wheel

CORE = Path(__file__).resolve().parent.parent
WHEEL = b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def _put(links: Path, name: str, version: str, metadata: str, contents: dict[str, bytes]) -> Path:
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    everything = {**contents, f"{info}/METADATA": metadata.encode(), f"{info}/WHEEL": WHEEL}
    made = write_wheel(
        everything, info, f"{info.removesuffix('.dist-info')}-py3-none-any.whl", links / "made"
    )
    target = links / made.name
    target.unlink(missing_ok=True)
    target.hardlink_to(made)
    return target


def put_library(links: Path, name: str, version: str, code: str = "") -> Path:
    """A plain distribution with one module of its name, which knows its own version."""
    module = f"VERSION = {version!r}\n{textwrap.dedent(code)}".encode()
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    return _put(links, name, version, metadata, {f"{name.replace('-', '_')}.py": module})


def put_plugin(
    links: Path,
    name: str,
    code: str,
    components: dict[str, str],
    *,
    version: str = "1.0",
    needs: tuple[str, ...] = (),
) -> Path:
    """A plugin whose package holds ``code``; ``components`` maps its ids to kinds."""
    package = name.replace("-", "_")
    required = "".join(f"Requires-Dist: {need}\n" for need in ("ldt-core", *needs))
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{required}"
    offered = [{"id": i, "kind": k, "title": i, "contract": 1} for i, k in components.items()]
    contents = {
        f"{package}/__init__.py": textwrap.dedent(code).encode(),
        f"{package}/component.json": json.dumps(
            {"contract": 1, "components": offered, "commands": []}
        ).encode(),
        f"{package}-{version}.dist-info/entry_points.txt": f"[ldt]\n{name} = {package}\n".encode(),
    }
    return _put(links, name, version, metadata, contents)


def put_stand_ins(links: Path) -> None:
    """What the core needs, at the versions that are installed here."""
    for name, version in lock("ldt-core"):
        if name == "ldt-core":
            continue
        found = importlib.metadata.distribution(name)
        needs = "".join(f"Requires-Dist: {n}\n" for n in found.requires or () if "extra ==" not in n)
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}"
        site = str(Path(str(found.locate_file(""))).resolve())
        pointer = {f"{name.replace('-', '_')}_here.pth": f"{site}\n".encode()}
        _put(links, name, version, metadata, pointer)


def install_here(target: Path, wheels: list[Path]) -> None:
    """Put wheels into a folder for this Python's path, as an installer does."""
    words = ["pip", "install", "--quiet", "--no-deps", "--offline", "--target", str(target)]
    done = subprocess.run(
        [sys.executable, "-m", "uv", *words, *map(str, wheels)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def only_links(links: Path) -> dict[str, str]:
    """Variables by which uv knows this folder and nothing else."""
    return {"UV_FIND_LINKS": str(links), "UV_NO_INDEX": "1", "UV_OFFLINE": "1", "UV_NO_CONFIG": "1"}


def descendants(pid: int) -> list[int]:
    """Processes below one, at any depth."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(c) for c in task.read_text().split()]
        except OSError:
            continue
        for child in children:
            found += [child, *descendants(child)]
    return found


def forget(environment: dict[str, str]) -> dict[str, str]:
    """This process's environment without what uv would take from elsewhere, and with this."""
    return {**{k: v for k, v in os.environ.items() if not k.startswith("UV_")}, **environment}
