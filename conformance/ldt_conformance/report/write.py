"""Write a report down: one page, one JSON, and what other tools read."""

from __future__ import annotations

import json
from pathlib import Path

from .ctrf import as_ctrf
from .document import Report
from .earl import as_earl
from .junit import as_junit
from .page import as_page
from .tar import as_tar


def write_report(report: Report, folder: Path) -> dict[str, Path]:
    """The files written, by what they are; a file is replaced as a whole."""
    files = {
        "report.json": json.dumps(report.as_dict(), indent=1, ensure_ascii=False) + "\n",
        "report.html": as_page(report),
        "junit.xml": as_junit(report),
        "earl.jsonld": json.dumps(as_earl(report), indent=1, ensure_ascii=False) + "\n",
        "gitb-tar.xml": as_tar(report),
        "ctrf.json": json.dumps(as_ctrf(report), indent=1, ensure_ascii=False) + "\n",
    }
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for name, text in files.items():
        part = folder / f".{name}.part"
        part.write_text(text, encoding="utf-8", newline="\n")
        written[name] = part.replace(folder / name)
    return written
