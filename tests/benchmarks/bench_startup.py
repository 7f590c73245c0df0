"""Start-up of the command line with 200 plugins installed, against an empty interpreter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

CORE = Path(__file__).resolve().parent.parent.parent
PLUGINS = 200
ROUNDS = 15


def make_site(site: Path, count: int = PLUGINS) -> None:
    """Distributions with metadata, a package and a manifest of one component each."""
    for n in range(count):
        package, name = f"ldt_model_m{n:03}", f"ldt-model-m{n:03}"
        (site / package).mkdir()
        (site / package / "__init__.py").write_text("raise SystemExit('listing must not import me')\n")
        component = {"id": f"m{n:03}", "kind": "model", "title": f"Model {n}"}
        manifest = {"contract": 1, "components": [component], "commands": []}
        (site / package / "component.json").write_text(json.dumps(manifest))
        info = site / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[ldt]\n{name} = {package}\n")


def least(command: list[str], env: dict[str, str]) -> float:
    """Milliseconds, the least of several rounds: what the machine adds is never negative."""
    best = float("inf")
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)
        best = min(best, time.perf_counter() - begun)
    return best * 1000


def main() -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder) / "site"
        site.mkdir()
        make_site(site)
        env = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{site}{os.pathsep}{CORE}", "LDT_CACHE": folder}
        floor = least([sys.executable, "-c", "pass"], env)
        rows = [{"what": "python -c pass", "ms": floor, "ratio": 1.0, "aim": None}]
        for words, aim in ((["--help"], 6.0), (["list"], 8.0)):
            command = [sys.executable, "-c", "from ldt_core.cli import main; raise SystemExit(main())", *words]
            took = least(command, env)
            rows.append({"what": f"ldt {' '.join(words)}, {PLUGINS} plugins", "ms": took, "ratio": took / floor, "aim": aim})
        import_all = (
            "import importlib.metadata as m; print(len([e for e in m.entry_points(group='ldt')]))"
        )
        took = least([sys.executable, "-c", import_all], env)
        rows.append({"what": "peer: importlib.metadata.entry_points", "ms": took, "ratio": took / floor, "aim": None})
    return rows


if __name__ == "__main__":
    for row in main():
        print(f"{row['what']:<45} {row['ms']:8.1f} ms  x{row['ratio']:.2f}  aim {row['aim'] or '-'}")
