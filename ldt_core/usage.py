"""What a task and a run take: time, processor time, memory, and an estimate of the energy.

A worker lives long, so its memory's peak is set back before each task (Linux: ``clear_refs``); what it
has started is looked at five times a second, and where that was too short-lived, taken from what the
kernel says of children that have ended. A child that outgrows all earlier ones is seen whole.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

EVERY = 0.2
WATT_PER_CORE, WATT_PER_GB = 12.0, 0.3725
"""Of a busy core and of memory in use, as the Green Algorithms calculator takes them where nothing is known
of the machine: Lannelongue, Grealey, Inouye, Advanced Science 8 (2021) 2100707, doi:10.1002/advs.202100707."""
SETTING = "LDT_WATT_PER_CORE"


class Meter:
    """Measures from its making to ``read``, in this process and all that it starts."""

    def __init__(self) -> None:
        self.started = datetime.now(UTC)
        self._begun, self._cpu = time.perf_counter(), cpu_seconds()
        self._grown = _largest(children=True)
        self._reset = _reset_peak()
        self._own = self._children = 0
        self._stop = threading.Event()
        self._sample()
        self._thread = threading.Thread(target=self._watch, name="ldt-usage", daemon=True)
        self._thread.start()

    def read(self) -> dict[str, Any]:
        """``started``, ``seconds``, ``cpu_seconds`` (of all that it started), ``peak_memory`` in bytes."""
        self._stop.set()
        self._thread.join()
        self._sample()
        own = _status(os.getpid(), "VmHWM") if self._reset else self._own
        own = own or _largest(children=False)
        children = _largest(children=True)
        largest = children if children > self._grown else 0
        return {
            "started": self.started.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "seconds": round(time.perf_counter() - self._begun, 4),
            "cpu_seconds": round(cpu_seconds() - self._cpu, 4),
            "peak_memory": own + max(self._children, largest),
        }

    def _watch(self) -> None:
        while not self._stop.wait(EVERY):
            self._sample()

    def _sample(self) -> None:
        self._own = max(self._own, _status(os.getpid(), "VmRSS"))
        self._children = max(self._children, sum(_status(p, "VmHWM") for p in descendants(os.getpid())))


def cpu_seconds() -> float:
    """Of this process, of the children that it has waited for, and of those that are at work (Linux)."""
    own = os.times()
    spent = own.user + own.system + own.children_user + own.children_system
    return spent + sum(_spent(p) for p in descendants(os.getpid()))


def _spent(pid: int) -> float:
    """Processor seconds of another process and of the children that it has waited for."""
    with suppress(OSError, ValueError, IndexError), open(f"/proc/{pid}/stat") as stream:  # noqa: PTH123 - speed
        fields = stream.read().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def _largest(*, children: bool) -> int:
    """Bytes of this process at its largest so far, or of the largest child that has ended."""
    import resource

    found = resource.getrusage(resource.RUSAGE_CHILDREN if children else resource.RUSAGE_SELF)
    return found.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def descendants(pid: int) -> list[int]:
    """All processes below one (Linux; elsewhere none are seen)."""
    found: list[int] = []
    waiting = [pid]
    while waiting:
        folder = f"/proc/{waiting.pop()}/task"
        with suppress(OSError):
            for thread in os.listdir(folder):  # noqa: PTH208 - speed
                with suppress(OSError), open(f"{folder}/{thread}/children") as stream:  # noqa: PTH123
                    children = [int(c) for c in stream.read().split()]
                    found += children
                    waiting += children
    return found


def _reset_peak() -> bool:
    with suppress(OSError), open("/proc/self/clear_refs", "w") as stream:  # noqa: PTH123 - no file of ours
        stream.write("5")
        return True
    return False


def _status(pid: int, name: str) -> int:
    """Bytes that the kernel says of a process under a name; 0 where it says nothing."""
    with suppress(OSError, ValueError), open(f"/proc/{pid}/status") as stream:  # noqa: PTH123 - speed
        for line in stream:
            if line.startswith(name):
                return int(line.split()[1]) * 1024
    return 0


# -- the whole run ----------------------------------------------------------------------------


class EnergyCounter:
    """The machine's own energy counters (RAPL) where they may be read; ``read`` gives joules, or None."""

    def __init__(self, root: Path = Path("/sys/class/powercap")) -> None:
        # Packages and, beside them, memory; what lies below a package is part of it.
        self._zones = [z for z in sorted(root.glob("intel-rapl:*")) if z.name.count(":") == 1]
        self._before = self._count()

    def read(self) -> float | None:
        after = self._count()
        if not self._before or after.keys() != self._before.keys():
            return None
        total = 0
        for zone, count in after.items():
            gone = count - self._before[zone]
            if gone < 0:  # the counter began anew
                with suppress(OSError, ValueError):
                    gone += int((zone / "max_energy_range_uj").read_text())
            total += max(gone, 0)
        return total / 1e6

    def _count(self) -> dict[Path, int]:
        found = {}
        for zone in self._zones:
            with suppress(OSError, ValueError):
                found[zone] = int((zone / "energy_uj").read_text())
        return found


class RunMeter:
    """What a run takes, from the meter's making on."""

    def __init__(self) -> None:
        self._begun, self._times, self._energy = time.monotonic(), os.times(), EnergyCounter()

    def read(self, tasks: Iterable[Mapping[str, Any]], *, here: bool) -> dict[str, Any]:
        """Totals. ``tasks``: what ``Meter.read`` gave of those computed; ``here``: all of them on this machine.

        ``peak_memory`` is that of the largest task, and the most that tasks which ran at once had together.
        """
        measured = [t for t in tasks if "cpu_seconds" in t]
        now, before = os.times(), self._times
        own = now.user + now.system - before.user - before.system
        ended = now.children_user + now.children_system - before.children_user - before.children_system
        # Workers of this process are its children, with their start and their end; others are known by their tasks.
        cores = own + max(ended, sum(t["cpu_seconds"] for t in measured))
        return {
            "wall_seconds": round(time.monotonic() - self._begun, 3),
            "cpu_seconds": round(cores, 3),
            "task_seconds": round(sum(t["seconds"] for t in measured), 3),
            "peak_memory": {
                "largest": max((t["peak_memory"] for t in measured), default=0),
                "together": _together(measured),
            },
            "energy": _describe_energy(measured, cores, self._energy.read() if here else None),
        }


def _describe_energy(measured: list[Mapping[str, Any]], cores: float, joules: float | None) -> dict[str, Any]:
    if joules is not None:
        method = "counters of the whole machine (RAPL), whatever else ran on it meanwhile"
        return {"kwh": _round(joules / 3.6e6), "estimate": False, "method": method}
    watt = watt_per_core()
    memory = sum(t["peak_memory"] / 1e9 * t["seconds"] for t in measured)
    method = (
        f"{watt:g} W per busy core and {WATT_PER_GB} W per GB of memory, as Green Algorithms takes them "
        "(doi:10.1002/advs.202100707); without cooling and idle time"
    )
    return {"kwh": _round((cores * watt + memory * WATT_PER_GB) / 3.6e6), "estimate": True, "method": method}


def watt_per_core() -> float:
    """``LDT_WATT_PER_CORE``, or what is usual."""
    with suppress(ValueError):
        said = float(os.environ.get(SETTING, ""))
        if 0 < said < 10_000:
            return said
    return WATT_PER_CORE


def _round(value: float) -> float:
    return float(f"{value:.3g}")


def _together(measured: list[Mapping[str, Any]]) -> int:
    moments: list[tuple[float, int]] = []
    for task in measured:
        begun = datetime.fromisoformat(task["started"]).timestamp()
        moments += [(begun, task["peak_memory"]), (begun + task["seconds"], -task["peak_memory"])]
    most = now = 0
    for _, change in sorted(moments):
        now += change
        most = max(most, now)
    return most
