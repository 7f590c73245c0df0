"""Write constraints.txt: every package that the gates and the demo install, with its hashes.

Hashes bind each pin to the bytes that were tested; addresses are left out, so that any index serves.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEAD = "# Pinned by `tox -e pins`: names, versions and hashes. Do not edit.\n"


def main() -> int:
    """Resolve dev.txt, plugins.txt and the core, upgraded to the newest versions that fit."""
    answer = subprocess.run(
        ["uv", "pip", "compile", "-", "dev.txt", "plugins.txt", "--generate-hashes", "--upgrade"]
        + ["--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links", "--universal"]
        + ["--python-version", "3.11"],
        cwd=ROOT,
        input="-e .\n",
        capture_output=True,
        text=True,
        env={k: v for k, v in os.environ.items() if k != "UV_CONSTRAINT"},
    )
    if answer.returncode:
        print(answer.stderr, file=sys.stderr)
        return answer.returncode
    pins = re.split(r"\n(?=\S)", answer.stdout.strip())
    kept = [p for p in pins if not p.startswith(("-e", "./", "file:", "ldt-"))]
    (ROOT / "constraints.txt").write_text(HEAD + "\n".join(kept) + "\n", encoding="utf-8")
    print(f"wrote {len(kept)} pins")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
