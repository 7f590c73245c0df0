"""What is killed goes on from its last checkpoint, in a fresh process, to the bits of an undisturbed run."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from lab import TWIN, Lab
from workshop import Workshop, install, wait

from ldt_core import checkpoint, resume
from ldt_core import errors as e
from ldt_core.commands.states import describe_states
from ldt_core.ensemble import Ensemble
from ldt_core.resume import Checkpoints, slot_keys
from ldt_core.store import Entry, Store
from ldt_core.twin import CheckpointRules, load_twin

SAVING = TWIN.replace("replicates: 2}", "checkpoint: {windows: 1}}")
ALONE = SAVING.partition("  leak:")[0]


def digests(store: Store) -> dict[str, dict[str, str]]:
    """The content of every result by its key; KPIs and checkpoints have no recordings."""
    return {entry.key: entry.digests for entry in store.entries() if entry.digests}


def saved(store: Store) -> list[Entry]:
    return [entry for entry in store.entries() if entry.owner.startswith("checkpoint of")]


# -- through the command line, with kill -9 ------------------------------------------------------


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    folder = tmp_path_factory.mktemp("shop")
    install(folder / "site", "ldt-basins", (Path(__file__).parent / "basins.py").read_text(encoding="utf-8"))
    (folder / "twin").mkdir()
    (folder / "twin" / "twin.yaml").write_text(SAVING, encoding="utf-8")
    return Workshop(folder / "site", folder / "twin")


@pytest.fixture(scope="module")
def undisturbed(shop: Workshop) -> dict[str, dict[str, str]]:
    store = shop.twin.parent / "whole"
    shop.ldt("run", "--quiet", LDT_STORE=str(store))
    return digests(Store(store))


def steps(notes: Path, what: str = "step basin") -> list[int]:
    return [int(line.split()[2]) // 3600 for line in notes.read_text().splitlines() if line.startswith(what)]


def test_a_killed_worker_goes_on_where_its_last_checkpoint_is(
    shop: Workshop, undisturbed: dict[str, dict[str, str]], tmp_path: Path
) -> None:
    environment = {
        "LDT_STORE": str(tmp_path / "store"),
        "LDT_TEST_NOTES": str(tmp_path / "notes"),
        "LDT_TEST_MARK": str(tmp_path / "mark"),
        "LDT_TEST_AT": "basin@25200",
    }
    record = json.loads(shop.ldt("run", "--json", "--workers", "1", **environment).stdout)
    assert digests(Store(tmp_path / "store")) == undisturbed
    resumed = {(t["scenario"], t["stage"]): t["resumed"] for t in record["tasks"] if "resumed" in t}
    assert resumed == {("base", "basin+gate"): "2026-01-01T06:00Z"}
    # The hole of seven o'clock was left by a kill; six is the last hour at which both clocks stand.
    assert steps(tmp_path / "notes")[:14] == [0, 1, 2, 3, 4, 5, 6, 7, 6, 7, 8, 9, 10, 11]


def test_a_killed_driver_leaves_what_the_next_run_goes_on_from(
    shop: Workshop, undisturbed: dict[str, dict[str, str]], tmp_path: Path
) -> None:
    notes, store = tmp_path / "notes", Store(tmp_path / "store")
    notes.touch()
    environment = {
        "LDT_STORE": str(store.root),
        "LDT_TEST_NOTES": str(notes),
        "LDT_TEST_MARK": str(tmp_path / "mark"),
        "LDT_TEST_AT": "gate@28800",
        "LDT_TEST_HOW": "wait",
    }
    driver = shop.start("run", **environment)
    try:
        wait((tmp_path / "mark").exists)
        os.kill(driver.pid, signal.SIGKILL)
        driver.communicate(timeout=30)
    finally:
        driver.kill()
    before = len(steps(notes))
    record = json.loads(shop.ldt("run", "--json", **environment).stdout)
    assert digests(store) == undisturbed
    assert [t["resumed"] for t in record["tasks"] if "resumed" in t] == ["2026-01-01T08:00Z"]
    assert steps(notes)[before : before + 4] == [8, 9, 10, 11]
    assert shop.ldt("store", "verify", **environment).returncode == 0


def test_check_says_what_saving_does_and_what_is_left(shop: Workshop, tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    shop.ldt("run", "-s", "base", "--quiet", LDT_STORE=store)
    out = shop.ldt("check", LDT_STORE=store).stdout
    assert "leaves base at 2026-01-01T06:00Z: until then its results are those of base" in out
    assert "run again up to 2026-01-01T06:00" in out
    plan = json.loads(shop.ldt("check", "--json", LDT_STORE=store).stdout)
    assert plan["scenarios"]["leak"]["branch"] == {"of": "base", "at": "2026-01-01T06:00Z"}


# -- torn, foreign, older ------------------------------------------------------------------------


def struck(lab: Lab, monkeypatch: pytest.MonkeyPatch, at: str = "basin@25200", text: str = ALONE) -> Ensemble:
    """A run that failed in the middle, with what it left; planned again."""
    lab.write(text)
    monkeypatch.setenv("LDT_TEST_HOW", "fail")
    monkeypatch.setenv("LDT_TEST_MARK", str(lab.folder / "mark"))
    monkeypatch.setenv("LDT_TEST_AT", at)
    error = lab.refused()
    assert error.code == "component raised"
    return lab.plan()


def whole(lab: Lab, text: str = ALONE) -> dict[str, dict[str, str]]:
    """The results of an undisturbed run of the same twin, from a store of its own."""
    kept, lab.store = lab.store, Store(lab.folder / "other store")
    lab.write(text)
    lab.run()
    found, lab.store = digests(lab.store), kept
    return found


def damage(entry: Entry, change: Callable[[bytes], bytes], *, sealed: bool) -> None:
    """Other bytes in a checkpoint; ``sealed``: as if the store had written them so."""
    note = entry.record["files"]["checkpoint"]
    path = entry.folder / note["file"]
    data = change(path.read_bytes())
    path.write_bytes(data)
    if sealed:
        import hashlib

        from ldt_core._entry import seal

        note |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        record = {k: v for k, v in entry.record.items() if k != "sha256"}
        (entry.folder / "meta.json").write_bytes(seal(record))


def older(data: bytes) -> bytes:
    return data.replace(b'"layout": 1', b'"layout": 0')


def foreign(data: bytes) -> bytes:
    at = data.index(b'"of": "') + 7
    return data[:at] + b"f" * 64 + data[at + 64 :]


def flipped(data: bytes) -> bytes:
    return data[:-40] + bytes([data[-40] ^ 4]) + data[-39:]


CASES = {
    "bit flipped": (flipped, False, "its bytes have changed"),
    "cut": (lambda d: d[:-7], False, "bytes, not"),
    "cut and sealed": (lambda d: d[:-7], True, "torn"),
    "nothing": (lambda d: b"", True, "torn"),
    "noise": (lambda d: bytes(range(256)) * 9, True, "torn"),
    "half a head": (lambda d: d[:60], True, "torn"),
    "older": (older, True, "another version (layout 0, not 1)"),
    "foreign": (foreign, True, "foreign"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_checkpoint_that_cannot_be_trusted_is_refused_aloud_and_the_result_is_right(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    change, sealed, said = CASES[case]
    struck(lab, monkeypatch)
    found = sorted(saved(lab.store), key=lambda entry: entry.meta["at"])
    assert [entry.meta["at"] // 3_600_000_000 for entry in found] == [4, 6]
    damage(found[1], change, sealed=sealed)
    with caplog.at_level(logging.WARNING, "ldt"):
        done = lab.run()
    assert said in caplog.text
    assert "nothing is lost but time" in caplog.text
    assert done.works["base", "basin+gate", 0].timing["resumed"].startswith("2026-01-01T04"), "the one before"
    assert digests(lab.store) == whole(lab)
    assert not saved(lab.store), "what is finished keeps no checkpoint"


def test_with_both_refused_it_runs_from_the_start(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    struck(lab, monkeypatch)
    for entry in saved(lab.store):
        damage(entry, flipped, sealed=False)
    done = lab.run()
    assert "resumed" not in done.works["base", "basin+gate", 0].timing
    assert digests(lab.store) == whole(lab)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("seed: 3", "seed: 4"),
        ("gate: {use: gate,", "gate: {params: {gain: 0.7}, use: gate,"),
        ("rain: {use: rain}", "rain: {use: rain, params: {amount: 2}}"),
    ],
    ids=["another seed", "another parameter", "other inputs"],
)
def test_a_checkpoint_of_other_circumstances_is_never_met(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, old: str, new: str
) -> None:
    struck(lab, monkeypatch)
    lab.edit((old, new))
    done = lab.run()
    assert "resumed" not in done.works["base", "basin+gate", 0].timing
    assert digests(lab.store).items() >= whole(lab, ALONE.replace(old, new)).items()


def test_a_state_that_the_component_refuses_is_refused_as_a_whole(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gate = struck(lab, monkeypatch).plans["base"].nodes["gate"].component

    def refuse(self: Any, state: bytes) -> None:
        raise e.InputError("made by another version of the gate", code="state foreign")

    monkeypatch.setattr(gate, "set_state", refuse)
    done = lab.run()
    assert "gate refuses its state: made by another version of the gate" in caplog.text
    assert "resumed" not in done.works["base", "basin+gate", 0].timing
    assert digests(lab.store) == whole(lab)


def test_a_state_that_cannot_be_saved_stops_no_run(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lab.write(ALONE)
    gate = lab.plan().plans["base"].nodes["gate"].component
    monkeypatch.setattr(gate, "get_state", lambda self: "text")
    lab.run()
    assert "no checkpoint can be saved" in caplog.text
    assert caplog.text.count("no checkpoint can be saved") == 1


def test_what_has_no_state_runs_from_its_start_and_check_says_so(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = ALONE.replace("basin: {use: basin", "basin: {use: sieve-basin")
    planned = struck(lab, monkeypatch, text=text)
    assert not saved(lab.store)
    assert describe_states(planned, "base") == [
        "basin+gate cannot be saved under way: 'basin' (sieve-basin): it gives no state (get_state, set_state);"
        " after a kill it runs from its start"
    ]
    done = lab.run()
    assert "resumed" not in done.works["base", "basin+gate", 0].timing


def test_a_branch_that_is_struck_goes_on_from_its_own_checkpoint(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = SAVING.replace("of: base, at: 2026-01-01T06:00Z", "of: base, at: 2026-01-01T02:00Z")
    lab.write(text)
    lab.run("base")
    struck(lab, monkeypatch, "basin@36000", text)
    done = lab.run()
    assert done.works["leak", "basin+gate", 0].timing["resumed"].startswith("2026-01-01T10")
    assert digests(lab.store) == whole(lab, text)


def test_a_lost_branch_checkpoint_counts_more_than_what_could_be_gone_on_from(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint later than the one that is wanted would leave that one unmade."""
    struck(lab, monkeypatch, text=SAVING)
    wanted = next(entry for entry in saved(lab.store) if entry.record["fields"] is not None)
    lab.store.remove(wanted.key)
    lab.edit(("06:00Z", "02:00Z"))
    done = lab.run()
    assert "resumed" not in done.works["base", "basin+gate", 0].timing
    assert done.works["leak", "basin+gate", 0].state == "done"


# -- when it is time -----------------------------------------------------------------------------

HOUR = 3_600_000_000


def instants(tmp_path: Path, rules: CheckpointRules, steps: list[int], end: int) -> list[int]:
    """Where a loop would stop that is asked at every boundary of its longest step."""
    keeper = Checkpoints(Store(tmp_path), "0" * 64, "s", rules, steps)
    stops = []
    for latest in range(0, end, max(steps)):
        stop = keeper.stop_after(latest)
        if stop is not None and stop < end and (not stops or stop > stops[-1]):
            keeper.stand(stop, partial(checkpoint.Checkpoint, stop))
            stops.append(stop)
    return stops


def test_windows_and_every_count_the_twins_time_and_stand_on_common_boundaries(tmp_path: Path) -> None:
    assert instants(tmp_path, CheckpointRules(windows=2), [3, 2], 30) == [6, 12, 18, 24]
    assert instants(tmp_path, CheckpointRules(windows=3), [3, 2], 40) == [12, 24, 36]
    assert instants(tmp_path, CheckpointRules(every=10), [4], 50) == [12, 24, 36, 48]
    assert instants(tmp_path, CheckpointRules(every=10, windows=1), [4], 20) == [4, 8, 12, 16]
    assert instants(tmp_path, CheckpointRules(), [4], 20) == []


def test_seconds_count_the_time_of_computing_and_what_saving_costs(tmp_path: Path, monkeypatch: Any) -> None:
    now = [0.0]
    monkeypatch.setattr(resume.time, "monotonic", lambda: now[0])
    keeper = Checkpoints(Store(tmp_path), "0" * 64, "s", CheckpointRules(seconds=60.0), [3, 2])
    assert keeper.stop_after(0) is None
    now[0] = 59.9
    assert keeper.stop_after(7) is None
    now[0] = 60.0
    assert keeper.stop_after(7) == 12

    def slow() -> checkpoint.Checkpoint:
        now[0] += 9.0
        return checkpoint.Checkpoint(12)

    keeper.stand(12, slow)
    now[0] += 60.0
    assert keeper.stop_after(20) is None, "nine seconds of saving are a twentieth of 180"
    now[0] += 120.0
    assert keeper.stop_after(20) == 24


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("{windows: 0}", "twin.yaml:4:38", "at least 1"),
        ("{every: 10m}", "twin.yaml:4:36", "10m"),
        ("{seconds: -1}", "twin.yaml:4:38", "at least 0"),
        ("{minutes: 1}", "twin.yaml:4:29", "not a key"),
    ],
)
def test_wrong_words_are_refused_with_their_place(tmp_path: Path, text: str, where: str, what: str) -> None:
    (tmp_path / "twin.yaml").write_text(TWIN.replace("replicates: 2}", f"checkpoint: {text}}}"))
    with pytest.raises(e.TwinFileError) as caught:
        load_twin(tmp_path)
    assert caught.value.where == where
    assert what in str(caught.value)


def test_the_rules_are_in_no_key(lab: Lab) -> None:
    lab.write(TWIN)
    keys = {w.key for w in lab.run().works.values()}
    lab.write(SAVING.replace("checkpoint:", "replicates: 2, checkpoint:"))
    assert {w.key for w in lab.plan().works.values()} == keys
    assert all(k not in keys for key in keys for k in slot_keys(key))
