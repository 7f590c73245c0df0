"""The basins' twin, run in the test's own process: no worker is started, so a hundred runs cost little."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from ldt_core import errors as e
from ldt_core.catalog import installed
from ldt_core.engines.choice import Place
from ldt_core.engines.protocol import Engine, Event, Needs, Setting
from ldt_core.ensemble import Ensemble
from ldt_core.runs import chosen_scenarios
from ldt_core.store import Store
from ldt_core.tables import Recording
from ldt_core.tasks import perform
from ldt_core.twin import load_twin

HOUR = 3_600_000_000
TWIN = """\
ldt: 1
twin: {id: basins, crs: "EPSG:25832"}
time: {start: 2026-01-01T00:00Z, end: 2026-01-01T12:00Z}
run: {seed: 3, replicates: 2}
components:
  rain: {use: rain}
  basin: {use: basin, step: 1h}
  gate: {use: gate, step: 2h}
  harm: {use: harm}
connect:
  - {from: rain.rain, to: basin.rain}
  - {from: gate.gate, to: basin.gate}
  - {from: basin.level, to: gate.level, when: lag}
  - {from: basin.level, to: harm.level}
kpis:
  harm: {of: harm.harm.level, reduce: {time: mean, space: mean}, unit: m}
record:
  gate.gate: {}
scenarios:
  base: {}
  leak: {branch: {of: base, at: 2026-01-01T06:00Z}, set: {basin.params.hole: 0.5}}
"""


class Here:
    """An engine without processes: each task is done where it is submitted."""

    name: ClassVar[str] = "here"

    def __init__(self, setting: Setting) -> None:
        self.events: deque[Event] = deque()

    def submit(self, task: Path, needs: Needs) -> None:
        try:
            found = perform(json.loads(task.read_text()), lambda share: None)
            self.events.append(Event(task.stem, "done", found))
        except e.LdtError as exc:
            described = exc.as_dict() | {"class": type(exc).__name__}
            kept = {k: described[k] for k in ("class", "what", "code", "where", "fix")}
            self.events.append(Event(task.stem, "failed", {"errors": [kept]}))

    def results(self) -> Iterator[Event]:
        while self.events:
            yield self.events.popleft()

    def close(self, *, kill: bool = False) -> None:
        pass


class HerePlace(Place):
    def start(self, setting: Setting) -> Engine:
        return Here(setting)


class Lab:
    """A twin file, its store, and runs of it in this process."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.notes, self.runs = folder, folder / "notes", 0
        self.store = Store(folder / "store")
        monkeypatch.setenv("LDT_TEST_NOTES", str(self.notes))
        self.write(TWIN)

    def write(self, text: str) -> None:
        (self.folder / "twin.yaml").write_text(text, encoding="utf-8")

    def edit(self, *changes: tuple[str, str]) -> None:
        text = (self.folder / "twin.yaml").read_text(encoding="utf-8")
        for old, new in changes:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        self.write(text)

    def plan(self, *names: str) -> Ensemble:
        twin = load_twin(self.folder / "twin.yaml")
        ensemble = Ensemble(
            twin, chosen_scenarios(twin, names), installed(), self.store, self.folder / "cache"
        )
        ensemble.settle()
        return ensemble

    def run(self, *names: str) -> Ensemble:
        """A finished run; ``counts`` then says what was computed for it."""
        self.notes.write_text("")
        ensemble = self.plan(*names)
        self.runs += 1
        folder = self.folder / f"run{self.runs}"
        folder.mkdir()
        (folder / "twin.yaml").write_bytes((self.folder / "twin.yaml").read_bytes())
        ensemble.run(folder, 1, lambda state: None, HerePlace())
        return ensemble

    @property
    def counts(self) -> Counter[str]:
        lines = self.notes.read_text().splitlines()
        return Counter(" ".join(line.split()[:2]) for line in lines)

    def refused(self, *names: str) -> e.LdtError:
        with pytest.raises(e.LdtError) as caught:
            self.run(*names)
        return caught.value


def recording(ensemble: Ensemble, scenario: str, ref: str, replicate: int = 0) -> Recording:
    work = ensemble.work(scenario, ref.partition(".")[0], replicate)
    return ensemble.entries[work.key].recording(ref)


def values(ensemble: Ensemble, scenario: str, ref: str, column: str, replicate: int = 0) -> Any:
    found = recording(ensemble, scenario, ref, replicate)
    return [found.window(i)[column].tolist() for i in range(len(found))]
