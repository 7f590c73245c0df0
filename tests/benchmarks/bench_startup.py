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


def least(commands: dict[str, list[str]], env: dict[str, str]) -> dict[str, float]:
    """Milliseconds of each, the least of many rounds taken in turn: what the machine adds is never negative."""
    best = dict.fromkeys(commands, float("inf"))
    for _ in range(ROUNDS):
        for name, command in commands.items():
            begun = time.perf_counter()
            subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)
            best[name] = min(best[name], (time.perf_counter() - begun) * 1000)
    return best


def main() -> list[dict[str, Any]]:
    run = [sys.executable, "-c"]
    ldt = [*run, "from ldt_core.cli import main; raise SystemExit(main())"]
    peer = "import importlib.metadata as m; list(m.entry_points(group='ldt'))"
    commands = {
        "python -c pass": [*run, "pass"],
        f"ldt --help, {PLUGINS} plugins": [*ldt, "--help"],
        f"ldt list, {PLUGINS} plugins": [*ldt, "list"],
        "peer: importlib.metadata.entry_points alone": [*run, peer],
    }
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder) / "site"
        site.mkdir()
        make_site(site)
        env = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{site}{os.pathsep}{CORE}", "LDT_CACHE": folder}
        took = least(commands, env)
    floor = took["python -c pass"]
    aims = dict(zip(commands, (None, 6.0, 8.0, None), strict=True))
    return [{"what": n, "ms": ms, "ratio": ms / floor, "aim": aims[n]} for n, ms in took.items()]


if __name__ == "__main__":
    for row in main():
        print(f"{row['what']:<45} {row['ms']:8.1f} ms  x{row['ratio']:.2f}  aim {row['aim'] or '-'}")
