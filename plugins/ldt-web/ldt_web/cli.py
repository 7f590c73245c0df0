"""``ldt view``: the page of a run as one file."""

from __future__ import annotations

import argparse
import os
import re
import sys
import webbrowser
from pathlib import Path

from .access import load_run
from .page import render_page


def view(arguments: list[str]) -> int:
    """Write the page of a run and print its path; ``--open`` shows it in the browser."""
    parser = argparse.ArgumentParser(
        prog="ldt view", description="Write the page of a run: one HTML file that opens with the network off."
    )
    parser.add_argument(
        "run", nargs="?", default="last", metavar="RUN", help="a run folder, or last (default)"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="where to write it (default: RUN.html here)")
    parser.add_argument("--open", action="store_true", help="show it in the browser")
    asked = parser.parse_args(arguments)
    scenes, record = load_run(asked.run)
    page = render_page(scenes, record)
    out: Path = asked.out or Path(re.sub(r"[^\w.-]+", "-", record.run_id).strip("-.") + ".html")
    write_page(page, out)
    print(out)
    if asked.open and not webbrowser.open(out.resolve().as_uri()):
        print(f"no browser could be started; open {out.resolve()}", file=sys.stderr)
    return 0


def write_page(page: str, out: Path) -> None:
    """Write ``page`` beside ``out`` first, so that a reader never meets half a file."""
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        part.write_text(page, encoding="utf-8", newline="\n")
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
