"""Death at every step, a full disk, a database and a storage that are away: nothing is lost, and it mends itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from ldt_registry.settings import Settings

HERE = Path(__file__).parent


def test_an_upload_may_die_at_any_step_and_be_repeated(settings: Settings) -> None:
    url = settings.database.get_secret_value() if settings.database else ""
    done = subprocess.run(
        [sys.executable, HERE / "fault_points.py", settings.home, url],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(HERE)},
    )
    assert done.returncode == 0, done.stderr
    steps = [json.loads(line) for line in done.stdout.splitlines()]
    names = [s["step"] for s in steps]
    assert len(names) >= 12
    assert {"before rename", "after rename", "after fsync", "before commit", "after commit"} <= set(names)
    # The commit of the last transaction is the moment of publication: nothing before, all after.
    moment = len(names) - 1 - names[::-1].index("before commit")
    for number, step in enumerate(steps):
        told = f"{step} at step {number} of {names}"
        assert step["published"] == (number > moment), told
        assert step["new"] == (number <= moment), told
        assert (step["wrong"], step["files"], step["left"]) == ([], 1, []), told
