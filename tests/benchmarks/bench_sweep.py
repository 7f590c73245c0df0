"""Planning a thousand members of a sweep, against the canonical JSON and the hash that each key costs anyway."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
MEMBERS = 1000
TWIN = """\
ldt: 1
twin: {id: many, crs: "EPSG:25832"}
time: {start: 2026-01-01T00:00Z, end: 2026-01-01T01:00Z}
components:
%s
connect:
%s
sweeps:
  s: {grid: {m0.params.factor: {from: 0, to: 1, count: %d}}}
"""
CODE = """
import ldt_core as ldt

PORT = ldt.Port({"y": ldt.number("1", "x:y")}, at="start")


class Link(ldt.Model):
    id = "link"
    inputs = {"x": PORT.replace(optional=True)}
    outputs = {"y": PORT}

    class Params(ldt.Params):
        factor: float = 1.0

    def compute(self, inputs):
        return {"y": ldt.Table({"y": [self.params.factor]})}


@ldt.hookimpl
def ldt_models():
    return [Link]
"""


def main() -> list[dict[str, Any]]:
    sys.path.insert(0, str(HERE.parent))
    from workshop import install

    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        site = folder / "site"
        site.mkdir()
        install(site, "ldt-link", CODE)
        components = "\n".join(f"  m{i}: {{use: link}}" for i in range(5))
        links = "\n".join(f"  - {{from: m{i}.y, to: m{i + 1}.x}}" for i in range(4))
        (folder / "twin.yaml").write_text(TWIN % (components, links, MEMBERS), encoding="utf-8")
        code = (
            "import json, sys, time\nfrom ldt_core.runs import prepare\nfrom ldt_core.store import Store\n"
            "begun = time.process_time(); e = prepare(sys.argv[1], ()); first = time.process_time() - begun\n"
            "begun = time.process_time(); e = prepare(sys.argv[1], (), None, ['s']); e.settle()\n"
            "took = time.process_time() - begun\n"
            "fields = [w.fields for w in e.works.values() if w.fields]\n"
            "begun = time.process_time(); [Store.key(f) for f in fields]; floor = time.process_time() - begun\n"
            "print(json.dumps([took, floor, len(e.members)]))"
        )
        env = {**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{HERE.parents[1]}", "LDT_CACHE": text}
        answer = subprocess.run([sys.executable, "-c", code, text], capture_output=True, text=True, env=env)
        assert answer.returncode == 0, answer.stderr
        took, floor, members = json.loads(answer.stdout)
    return [
        {"what": "keys of one member, hashed only (floor)", "ms": 1000 * floor / members, "ratio": 1.0},
        {
            "what": f"one of {members} members planned and keyed",
            "ms": 1000 * took / members,
            "ratio": took / floor,
        },
    ]


if __name__ == "__main__":
    begun = time.perf_counter()
    for row in main():
        print(row)
    print(f"{time.perf_counter() - begun:.1f} s")
