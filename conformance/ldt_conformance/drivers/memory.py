"""How much memory a process holds (Linux; elsewhere nobody can tell)."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from pathlib import Path


def resident(pid: int, *, children: bool = False) -> int | None:
    """Bytes of main memory that a process holds now, on request with all that descend from it; None if unknown."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        size = pages * os.sysconf("SC_PAGE_SIZE")
        if not children:
            return size
        found = [
            resident(int(child), children=True)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    except (OSError, ValueError, IndexError):
        return None
    return size + sum(f for f in found if f is not None)


def give_back() -> None:
    """Hand to the system what this process has freed (glibc), so that what is held next is seen to grow."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
