"""Makes fork.net.xml, which was made up: `python cases/build.py`. From the gate to the exit over Main Street or Side Street."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from ldt_simulator_sumo.process import program

PLACES = {"o": (-300, 0), "a": (0, 0), "b": (300, 0), "c": (300, 400), "d": (600, 0), "e": (900, 0)}
ROADS = [
    ("in", "o", "a", "Gate"),
    ("main1", "a", "b", "Main Street"),
    ("main2", "b", "d", "Main Street"),
    ("side1", "a", "c", "Side Street"),
    ("side2", "c", "d", "Side Street"),
    ("out", "d", "e", "Exit"),
]
PROJECTION = "+proj=utm +zone=32 +datum=WGS84 +units=m"


def build(target: Path) -> None:
    nodes = "".join(f'<node id="{n}" x="{x}" y="{y}"/>' for n, (x, y) in PLACES.items())
    edges = "".join(
        f'<edge id="{i}" from="{f}" to="{t}" name="{n}" numLanes="2" speed="13.89"/>' for i, f, t, n in ROADS
    )
    with tempfile.TemporaryDirectory() as room:
        Path(room, "n.xml").write_text(f"<nodes>{nodes}</nodes>", encoding="utf-8")
        Path(room, "e.xml").write_text(f"<edges>{edges}</edges>", encoding="utf-8")
        words = ["-n", f"{room}/n.xml", "-e", f"{room}/e.xml", "-o", f"{room}/out.xml", "--no-turnarounds"]
        words += ["--output.street-names", "--offset.disable-normalization"]
        subprocess.run([str(program("netconvert")), *words], check=True, capture_output=True)
        text = Path(room, "out.xml").read_text(encoding="utf-8")
    text = text[text.index("<net ") :]  # without the configuration, which names the folder
    text = text.replace('netOffset="0.00,0.00"', 'netOffset="-686000.00,-4930000.00"')
    text = text.replace('projParameter="!"', f'projParameter="{PROJECTION}"')
    target.write_text('<?xml version="1.0" encoding="UTF-8"?>\n' + text, encoding="utf-8")


if __name__ == "__main__":
    build(Path(__file__).with_name("fork.net.xml"))
