"""Scenarios that leave others under way: the same until then, their own from then on, and nothing computed twice."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from lab import HOUR, TWIN, Lab, recording, values

from ldt_core import errors as e
from ldt_core.checkpoint import spliced
from ldt_core.resample import split_by_time
from ldt_core.resume import checkpoint_key
from ldt_core.tables import Port, Recording, Table, instant, number

# -- the same until then -------------------------------------------------------------------------


def test_until_it_leaves_the_scenario_is_the_other_and_from_then_on_its_own(lab: Lab) -> None:
    done = lab.run()
    for replicate in (0, 1):
        for ref, column, parts in (
            ("basin.level", "level", 7),
            ("gate.gate", "open", 3),
            ("harm.harm", "level", 6),
        ):
            base, leak = (values(done, s, ref, column, replicate) for s in ("base", "leak"))
            assert len(base) == len(leak)
            assert base[:parts] == leak[:parts], ref
            assert all(
                a != b for a, b in zip(base[parts:], leak[parts:], strict=True) if ref != "gate.gate"
            ), ref
    assert values(done, "base", "basin.level", "level", 0) != values(done, "base", "basin.level", "level", 1)


def test_only_what_comes_after_is_computed(lab: Lab) -> None:
    lab.run()
    # Two replicates: twelve windows of the basin from the start, and six of the branch.
    assert lab.counts["step basin"] == 2 * (12 + 6)
    assert lab.counts["step gate"] == 2 * (6 + 3)
    assert lab.counts["compute harm"] == 2 * (12 + 6)
    assert lab.counts["rain"] == 1, "what is not changed is the other's"
    assert not lab.run().works["leak", "harm", 0].timing
    assert not lab.counts


def test_the_branch_is_what_a_change_of_the_hole_at_that_instant_gives(lab: Lab) -> None:
    """A closed form of the whole: the basin's own recursion with the hole of the hour, and the same draws."""
    done = lab.run()
    node = done.plans["base"].nodes["basin"]
    rng = np.random.default_rng(node.seed(3, 0))
    level, opening, seen = np.full(2, 1.0) + rng.random(2), 0.0, None
    expected = [level.tolist()]
    for hour in range(12):
        if hour % 2 == 0:
            seen = level
            opening = 0.5 * opening + 0.5 * float(seen.mean())
        come = (1.0 + hour % 3) * 0.01 + 0.1 * rng.random(2)
        level = level + come - (0.1 if hour < 6 else 0.5) * opening * level
        expected.append(level.tolist())
    assert values(done, "leak", "basin.level", "level") == expected


def test_a_branch_that_sets_nothing_is_the_other_bit_for_bit(lab: Lab) -> None:
    lab.edit((", set: {basin.params.hole: 0.5}}", "}"))
    done = lab.run()
    for (scenario, stage, replicate), work in done.works.items():
        assert work.key == done.works["base", stage, replicate].key, (scenario, stage)
    assert lab.counts["step basin"] == 2 * 12


def test_a_restored_group_goes_on_to_the_same_bits(lab: Lab) -> None:
    """Another label is another key, so the stage is restored and computed; and it changes nothing."""
    lab.edit(("basin.params.hole: 0.5", "basin.params.label: other"))
    done = lab.run()
    for replicate in (0, 1):
        mine, theirs = (done.works[s, "basin+gate", replicate] for s in ("leak", "base"))
        assert mine.key != theirs.key
        assert done.entries[mine.key].digests == done.entries[theirs.key].digests
        metas = [{k: v for k, v in done.entries[w.key].meta.items() if k != "fields"} for w in (mine, theirs)]
        assert metas[0] == metas[1]
    assert lab.counts["step basin"] == 2 * (12 + 6)
    assert lab.counts["compute harm"] == 12 * 2, "what reads the same content is not computed again"


def test_a_number_written_otherwise_is_no_change(lab: Lab) -> None:
    lab.edit(("basin.params.hole: 0.5", "basin.params.hole: 0.10"))
    assert lab.run().works["leak", "basin+gate", 0].key == lab.plan().works["base", "basin+gate", 0].key
    assert lab.counts["step basin"] == 2 * 12


def test_values_at_the_start_are_those_of_the_other(lab: Lab) -> None:
    done = lab.run()
    shapes = [recording(done, s, "basin.shape") for s in ("base", "leak")]
    assert shapes[0].digest == shapes[1].digest, "initialize would give the area of the other hole"


def test_a_source_gives_the_others_rows_before_and_its_own_after(lab: Lab) -> None:
    lab.edit(("basin.params.hole: 0.5", "rain.params.amount: 5"))
    done = lab.run()
    rain = [v[0] for v in values(done, "leak", "rain.rain", "rain")]
    assert rain == [1, 2, 3, 1, 2, 3, 5, 10, 15, 5, 10, 15]
    assert recording(done, "leak", "rain.places").digest == recording(done, "base", "rain.places").digest
    base, leak = (values(done, s, "basin.level", "level") for s in ("base", "leak"))
    assert base[:7] == leak[:7]
    assert base[7:] != leak[7:]
    assert lab.counts["step basin"] == 2 * (12 + 6)


def test_a_model_alone_needs_no_checkpoint(lab: Lab) -> None:
    lab.edit(("basin.params.hole: 0.5", "harm.params.factor: 3"))
    done = lab.run()
    base, leak = (np.array(values(done, s, "harm.harm", "level")) for s in ("base", "leak"))
    assert (leak[:6] == base[:6]).all()
    assert leak[6:] == pytest.approx(base[6:] * 1.5)
    assert lab.counts["step basin"] == 2 * 12
    assert not any(w.wanted for w in done.works.values())


def test_a_model_with_chance_goes_on_with_its_draws(lab: Lab) -> None:
    lab.edit(
        ("harm: {use: harm}", "harm: {use: luck}"), ("basin.params.hole: 0.5", "harm.params.factor: 4.0")
    )
    done = lab.run()
    base, leak = (np.array(values(done, s, "harm.harm", "level")) for s in ("base", "leak"))
    assert (leak[:6] == base[:6]).all()
    assert (leak[6:] == base[6:] * 2).all(), "the same draws, twice the factor"


def test_coarser_records_are_spliced_too(lab: Lab) -> None:
    lab.edit(("  gate.gate: {}", "  gate.gate: {every: 6h}"))
    done = lab.run()
    base, leak = (values(done, s, "gate.gate", "open") for s in ("base", "leak"))
    assert len(base) == len(leak) == 2
    assert base[0] == leak[0]
    assert base[1] != leak[1]


# -- branches of branches, replicates, other runs ------------------------------------------------


def test_a_branch_of_a_branch(lab: Lab) -> None:
    more = """\
  mend: {branch: {of: leak, at: 2026-01-01T08:00Z}, set: {basin.params.hole: 0.1}}
  harmed: {branch: {of: leak, at: 2026-01-01T10:00Z}, set: {harm.params.factor: 5}}
  late: {branch: {of: harmed, at: 2026-01-01T10:00Z}, set: {basin.params.hole: 0.2}}
"""
    lab.write(TWIN + more)
    done = lab.run()
    base, leak, mend, harmed, late = (
        values(done, s, "basin.level", "level") for s in ("base", "leak", "mend", "harmed", "late")
    )
    assert mend[:9] == leak[:9]
    assert mend[7] != base[7]
    assert mend[9] != leak[9]
    assert harmed == leak
    assert late[:11] == leak[:11]
    assert late[11] != leak[11]
    assert lab.counts["step basin"] == 2 * (12 + 6 + 4 + 2)
    lab.run("late")
    assert not lab.counts


def test_the_other_scenario_is_run_asked_for_or_not(lab: Lab) -> None:
    assert lab.plan("leak").scenarios == ["base", "leak"]


def test_a_result_without_the_checkpoint_is_run_again_up_to_it(lab: Lab) -> None:
    lab.run("base")
    planned = lab.plan()
    assert planned.missing(planned.works["base", "basin+gate", 0]) == [6 * HOUR]
    done = lab.run()
    assert lab.counts["step basin"] == 2 * (6 + 6)
    assert (
        values(done, "base", "basin.level", "level")[:7] == values(done, "leak", "basin.level", "level")[:7]
    )
    again = lab.run()
    assert all(w.state == "stored" for w in again.works.values())


def test_the_checkpoint_counts_for_the_key_and_so_does_the_instant(lab: Lab) -> None:
    first = lab.run().works["leak", "basin+gate", 0].key
    lab.edit(("06:00Z", "08:00Z"))
    second = lab.run()
    assert second.works["leak", "basin+gate", 0].key != first
    assert lab.counts["step basin"] == 2 * (8 + 4), (
        "the base is there; its checkpoint is made, and the branch"
    )
    lab.edit(("08:00Z", "06:00Z"))
    assert lab.run().works["leak", "basin+gate", 0].key == first


@pytest.mark.parametrize("how", ["cut", "flip", "gone"])
def test_a_damaged_checkpoint_of_a_branch_is_made_anew(lab: Lab, how: str) -> None:
    done = lab.run()
    first = done.works["leak", "basin+gate", 0]
    entry = lab.store.find(checkpoint_key(done.works["base", "basin+gate", 0].key, 6 * HOUR))
    assert entry is not None
    path = entry.folder / entry.record["files"]["checkpoint"]["file"]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes({"cut": bytes(data[:-3]), "flip": bytes(data), "gone": b""}[how])
    lab.store.remove(first.key)
    error = lab.refused()
    assert (type(error), error.code) == (e.StoreError, "entry damaged")
    again = lab.run()  # what is damaged was set aside
    assert again.works["leak", "basin+gate", 0].key == first.key


# -- what cannot leave ---------------------------------------------------------------------------

REFUSED = {
    "no boundary": (
        [("06:00Z", "07:00Z")],
        "not a boundary",
        "a window of 'gate' (2h) goes on across it",
        "write at: 2026-01-01T06:00Z, the nearest boundary",
        "twin.yaml:21:33",
    ),
    "not one of the record": (
        [("  gate.gate: {}", "  gate.gate: {every: 4h}")],
        "not a boundary",
        "what is recorded of gate.gate (4h) goes on across it",
        "write at: 2026-01-01T04:00Z, the nearest boundary",
        "twin.yaml:21:33",
    ),
    "before the start": (
        [("01T06:00Z", "01T00:00Z")],
        "bad value",
        "does not lie inside the run",
        "after 2026-01-01T00:00Z and before 2026-01-01T12:00Z",
        "twin.yaml:21:33",
    ),
    "at the end": (
        [("01T06:00Z", "01T12:00Z")],
        "bad value",
        "does not lie inside",
        "before",
        "twin.yaml:21:33",
    ),
    "a parameter that is not live": (
        [("basin.params.hole: 0.5", "basin.params.depth: 2")],
        "not live",
        "params.depth of 'basin' (basin) cannot change under way; what can: hole, label",
        "run from the start: remove branch",
        "twin.yaml:21:79",
    ),
    "a step": (
        [("basin.params.hole: 0.5", "gate.step: 1h")],
        "not live",
        "step of 'gate' (gate) cannot change under way",
        "run from the start: remove branch",
        "twin.yaml:21:70",
    ),
    "a simulator without state": (
        [("basin: {use: basin", "basin: {use: sieve-basin")],
        "needs state",
        "'basin' (sieve-basin) cannot go on from the middle of a run: it gives no state",
        "run from the start: remove branch",
        "twin.yaml:21:33",
    ),
    "what runs once": (
        [
            ("  harm: {use: harm}", "  harm: {use: harm}\n  once: {use: once}"),
            ("basin.params.hole: 0.5", "once.params.area: 2"),
            ("  - {from: rain.rain", "  - {from: once.places, to: basin.places}\n  - {from: rain.rain"),
        ],
        "not a boundary",
        "'once' (once) runs once, over the whole run, so it cannot change at 2026-01-01T06:00Z",
        "run from the start: remove branch",
        "twin.yaml:23:33",
    ),
    "the seed": (
        [("basin.params.hole: 0.5", "run.seed: 4")],
        "bad value",
        "draws as it does: run.seed cannot change",
        "remove run.seed",
        "twin.yaml:21:69",
    ),
    "itself": ([("of: base", "of: leak")], "conflicting parents", "in a circle", "remove", "twin.yaml:21:18"),
    "nobody": (
        [("of: base", "of: bass")],
        "unresolved reference",
        "bass",
        "did you mean 'base'?",
        "twin.yaml:21:23",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_leave_is_refused_with_its_place_and_remedy(lab: Lab, case: str) -> None:
    changes, code, what, fix, where = REFUSED[case]
    lab.edit(*changes)
    error = lab.refused()
    assert (error.code, error.where) == (code, where), str(error)
    assert what in error.what
    assert fix in error.fix
    assert error.exit_code == 10
    assert not lab.counts, "said before anything runs"


def test_all_that_forbids_a_branch_is_said_at_once(lab: Lab) -> None:
    lab.edit(("06:00Z", "07:00Z"), ("basin.params.hole: 0.5", "basin.params.depth: 2, gate.params.gain: 1"))
    error = lab.refused()
    assert isinstance(error, e.ErrorList)
    assert [one.code for one in error.errors] == ["not live", "not live", "not a boundary"]


def test_steps_that_end_early_may_miss_the_instant_and_the_results_before_stay(lab: Lab) -> None:
    lab.edit(
        ("basin: {use: basin", "basin: {use: hasty-basin"),
        ("  - {from: gate.gate, to: basin.gate}\n", ""),
        ("gate, step: 2h", "gate, step: 1h"),
        ("run: {seed: 3, replicates: 2}", "run: {seed: 3}"),
        ("06:00Z", "05:00Z"),
    )
    done = lab.plan("base")
    error = lab.refused()
    assert error.code == "not a boundary"
    assert "a window of 'basin' goes on across 2026-01-01T05:00Z" in error.what
    done = lab.plan()
    assert done.works["base", "basin", 0].key in done.entries, "the scenario that is left is whole"
    # Windows of 2500 s: after 25000 s they end at 6 h 56 min 40 s.
    lab.edit(("05:00Z", "06:56:40Z"))
    assert "no boundary" in lab.refused().what


def test_a_component_that_refuses_the_other_parameters_is_told(lab: Lab) -> None:
    lab.edit(("basin: {use: basin,", "basin: {params: {fussy: true}, use: basin,"))
    error = lab.refused()
    assert error.code == "state refused"
    assert "basin refuses its state: this state was saved with another hole" in error.what
    assert "remove branch" in error.fix


# -- a source's rows on both sides ---------------------------------------------------------------

START = np.datetime64("2026-01-01T00:00", "us")


def hours(cell: str, values: dict[int, float], step: int | None = None) -> Recording:
    port = Port({"time": instant(), "v": number("1", "x:v", cell=cell)})  # type: ignore[arg-type]
    times = [START + np.timedelta64(h, "h") for h in values]
    table = Table({"time": np.array(times, "datetime64[us]"), "v": list(values.values())})
    return split_by_time(port, table, START, 12 * HOUR, step)


def test_a_value_that_holds_across_the_instant_is_cut_there() -> None:
    first, then = hours("point", {0: 1, 5: 2}), hours("point", {1: 10, 7: 20})
    found = spliced(first, then, 6 * HOUR, START, "s.out")
    assert (found.windows // HOUR).tolist() == [[0, 5], [5, 6], [6, 7], [7, 12]]
    assert found.table["v"].tolist() == [1, 2, 10, 20]
    assert ((found.table["time"] - START) / np.timedelta64(1, "h")).tolist() == [0, 5, 6, 7]


def test_a_sum_is_not_cut() -> None:
    first = hours("sum", {0: 1, 5: 2}, 2 * HOUR)
    with pytest.raises(e.ScheduleError, match=r"over \[5h, 7h\)") as caught:
        spliced(first, first, 6 * HOUR, START, "s.out")
    assert caught.value.fix == "branch at 2026-01-01T07:00Z, where that window ends"


@given(st.sets(st.integers(0, 11), min_size=1), st.sets(st.integers(0, 11), min_size=1), st.integers(1, 11))
def test_splicing_keeps_every_value_on_its_own_side(one: set[int], other: set[int], at: int) -> None:
    first = hours("point", {h: float(h) for h in sorted(one)})
    then = hours("point", {h: 100.0 + h for h in sorted(other)})
    found = spliced(first, then, at * HOUR, START, "s.out")
    windows = (found.windows // HOUR).tolist()
    assert all(a[1] <= b[0] for a, b in pairwise(windows))

    def holds(recording: Recording, hour: int) -> list[float]:
        spans = (recording.windows // HOUR).tolist()
        return [float(recording.window(i)["v"][0]) for i, (a, b) in enumerate(spans) if a <= hour < b]

    for hour in range(12):
        assert holds(found, hour) == holds(first if hour < at else then, hour)
