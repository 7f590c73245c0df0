"""A long-lived worker: reads paths of task files, runs each, answers with JSON lines.

What a component prints goes to the worker's log, never into the protocol.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import logging
import os
import resource
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from ..errors import LdtError


def main() -> int:
    parent = int(sys.argv[1]) if len(sys.argv) > 1 else os.getppid()
    die_with_parent(parent)
    protocol = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

    def answer(kind: str, **payload: Any) -> None:
        with contextlib.suppress(BrokenPipeError):
            protocol.write(json.dumps({"kind": kind, **payload}) + "\n")
            protocol.flush()

    for line in sys.stdin:
        work(Path(line.strip()), answer)
    return 0


def work(path: Path, answer: Any) -> None:
    from ..tasks import perform

    begun, cpu = time.perf_counter(), _cpu()
    said = [0.0]

    def progress(share: float) -> None:
        moment = time.perf_counter()
        if moment - said[0] > 0.2:
            said[0] = moment
            answer("progress", share=round(share, 4))

    try:
        task = json.loads(path.read_text(encoding="utf-8"))
        result = perform(task, progress)
    except LdtError as exc:
        logging.getLogger("ldt").exception("task %s failed", path.stem)
        answer("failed", error=exc.as_dict())
    except Exception as exc:
        logging.getLogger("ldt").exception("task %s failed", path.stem)
        what = f"{type(exc).__name__}: {exc}"
        detail = traceback.format_exc().splitlines()[-3:]
        answer(
            "failed", error={"group": "E0", "code": "our own fault", "what": what, "where": " ".join(detail)}
        )
    else:
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        answer(
            "done",
            seconds=round(time.perf_counter() - begun, 4),
            cpu_seconds=round(_cpu() - cpu, 4),
            peak_memory=memory,
            **result,
        )


def _cpu() -> float:
    """CPU seconds of this process and of the children that it has waited for."""
    own = os.times()
    return own.user + own.system + own.children_user + own.children_system


def die_with_parent(parent: int) -> None:
    """Ask the kernel to end this process when its parent dies (Linux), also by kill -9."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


if __name__ == "__main__":
    raise SystemExit(main())
