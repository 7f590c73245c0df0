"""What goes to standard output: results, and nothing that a component prints."""

from __future__ import annotations

import ctypes
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Any


def print_json(content: Any) -> None:
    """JSON for machines: UTF-8 where the stream can, else escapes."""
    ascii_only = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    print(json.dumps(content, indent=1, ensure_ascii=ascii_only))


def shown(path: Path) -> str:
    """A path as a person reads it: from here on, where it lies below."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


@contextmanager
def components_apart() -> Iterator[None]:
    """While components are loaded and asked, what they print goes to standard error, from C as well."""
    kept = None
    with suppress(OSError, ValueError):  # streams that are no files, or closed
        sys.stdout.flush()
        if sys.stdout.fileno() == 1:
            kept = os.dup(1)
            os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        if kept is not None:
            ctypes.CDLL(None).fflush(None)
            os.dup2(kept, 1)
            os.close(kept)
