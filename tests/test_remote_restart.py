"""A server that is started again in the middle of a run: what the client says, and where the next run goes on."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from lab import Lab, recording

from ldt_core.remote.manifests import Access, refresh
from ldt_core.remote.served import Served
from ldt_core.remote.server import make_app
from tests.afar import listening
from tests.test_remote_client import Walk

TWIN = """\
ldt: 1
twin: {{id: far, crs: "EPSG:25832"}}
time: {{start: 2026-01-01T00:00Z, end: 2026-01-01T08:00Z}}
run: {{seed: 3, checkpoint: {{windows: 2}}}}
components:
  walk: {{use: "{address}", step: 1h, params: {{size: 2.0}}}}
kpis:
  mean: {{of: walk.out.v, reduce: {{time: mean}}, unit: m}}
"""


class Restarting:
    """The server of a walk that is started again, and knows no session any more, before the step ``at``."""

    def __init__(self, at: int) -> None:
        self.at, self.steps = at, 0
        self.app = self.make()

    @staticmethod
    def make() -> Any:
        served = Served(Walk)
        served.manifest["digest"] = "1" * 64  # as that of an installed component
        return make_app([served])

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"].endswith("/step"):
            self.steps += 1
            if self.steps == self.at:
                self.app = self.make()
        await self.app(scope, receive, send)


@contextmanager
def lab(folder: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> Iterator[Lab]:
    monkeypatch.setenv("LDT_CACHE", str(folder / "remote"))
    with listening(Restarting(at)) as address:
        refresh(address, Access())
        made = Lab(folder, monkeypatch)
        made.write(TWIN.format(address=address))
        Walk.steps.clear()
        yield made


def test_a_run_whose_server_was_started_again_goes_on_from_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("whole", "struck"):
        (tmp_path / name).mkdir()
    with lab(tmp_path / "whole", monkeypatch, 0) as undisturbed:
        wanted = recording(undisturbed.run(), "base", "walk.out").digest
        assert len(Walk.steps) == 8
    with lab(tmp_path / "struck", monkeypatch, 6) as struck:
        error = struck.refused()
        assert (error.code, error.exit_code) == ("session lost", 15)
        assert "checkpoint" in error.fix
        assert len(Walk.steps) == 5
        again = struck.run()
        assert recording(again, "base", "walk.out").digest == wanted
        (work,) = [w for w in again.works.values() if "resumed" in w.timing]
        assert work.timing["resumed"] == "2026-01-01T04:00Z"
        assert len(Walk.steps) == 5 + 4
