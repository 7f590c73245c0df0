"""The store: whole or absent, the same for the same key, and honest about damage."""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from ldt_core._entry import safe_name
from ldt_core._lease import place_mark
from ldt_core.errors import StoreError
from ldt_core.store import Store, canonical
from ldt_core.tables import Grid, Port, Recording, Table, geometry, instant, number, text

HERE = Path(__file__)
FLOW = Port(
    {"time": instant(), "edge": text(), "flow": number("{veh}/h", "x:traffic_flow", cell="mean", nulls=True)},
    entity="street-edge",
    id="edge",
    synthetic="Made up for a test.",
)
PLACES = Port({"edge": text(), "at": geometry("Point")}, at="start", entity="street-edge", id="edge")
GRID = Grid(
    {"no2": np.arange(12.0).reshape(2, 2, 3), "pm10": np.zeros((2, 2, 3))},
    ("layer", "y", "x"),
    (10, 0, 600000, 0, -10, 5700000),
    "EPSG:25832",
    {"layer": ["street", "roof"]},
)


def flow(seed: int = 0, rows: int = 5, windows: int = 3) -> Recording:
    random = np.random.default_rng(seed)
    parts = []
    for window in range(windows):
        table = Table(
            {
                "time": np.full(rows, window * 60).astype("M8[s]"),
                "edge": [f"e{i}" for i in range(rows)],
                "flow": random.random(rows),
            },
            {"flow": np.arange(rows) == 1},
        )
        parts.append((window * 60_000_000, (window + 1) * 60_000_000, table))
    return Recording.of(FLOW, parts)


def places() -> Recording:
    return Recording.of(PLACES, [(0, 0, Table({"edge": ["e0"], "at": [shapely.Point(1, 2)]}))])


def key(*parts: Any) -> str:
    return Store.key({"parts": parts})


def fill(store: Store, name: str = "a") -> Any:
    return store.put(
        key(name),
        {"flow": flow(), "places": places()},
        {"seconds": 1.5},
        owner="traffic",
        files={"state.bin": b"\x00\x01"},
        grids={"air": GRID},
    )


def tree(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


# -- put, find, read ---------------------------------------------------------------------------


def test_what_was_put_is_read_again(tmp_path: Path) -> None:
    put = fill(Store(tmp_path / "store"))
    for entry in (put, Store(tmp_path / "store").find(key("a"))):
        assert entry is not None
        assert (entry.ports, entry.grids, entry.files) == (["flow", "places"], ["air"], ["state.bin"])
        assert (entry.key, entry.owner, entry.meta) == (key("a"), "traffic", {"seconds": 1.5})
        assert entry.digests == {"flow": flow().digest, "places": places().digest, "air": GRID.digest}
        for port, expected in (("flow", flow()), ("places", places())):
            found = entry.recording(port)
            assert found.port == expected.port
            assert found.table == expected.table
            assert found.windows.tolist() == expected.windows.tolist()
            assert found.digest == expected.digest
            assert [found.window(i) for i in range(len(found))] == [
                expected.window(i) for i in range(len(expected))
            ]
        assert entry.file("state.bin") == b"\x00\x01"
        grid = entry.grid("air")
        grid._digest = None
        assert grid.digest == GRID.digest
        assert grid.coords["layer"].tolist() == ["street", "roof"]
        assert entry.size == sum(
            (entry.folder / f).stat().st_size for f in tree(entry.folder) if f != "meta.json"
        )


def test_nothing_is_written_before_the_first_put_and_nothing_else_by_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "deep" / "store")
    assert store.find(key("a")) is None
    assert list(store.entries()) == []
    assert list(store.verify()) == []
    assert store.remove(key("a")) is False
    assert store.quarantine(key("a")) is None
    assert tree(tmp_path) == []
    fill(store)
    folder = f"entries/{key('a')[:2]}/{key('a')}"
    names = ["air.npz", "file.state.bin", "flow.parquet", "meta.json", "places.parquet"]
    assert tree(store.root) == [f"{folder}/{n}" for n in names]


def test_an_entry_can_be_read_without_us(tmp_path: Path) -> None:
    entry = fill(Store(tmp_path))
    meta = json.loads((entry.folder / "meta.json").read_bytes())
    assert meta["ports"]["flow"]["rows"] == 15
    assert meta["ports"]["flow"]["port"]["synthetic"] == "Made up for a test."
    table = pq.ParquetFile(entry.folder / "flow.parquet").read()
    assert table.column("edge").to_pylist()[:2] == ["e0", "e1"]
    assert table.column("flow").null_count == 3
    with np.load(entry.folder / "air.npz") as blocks:
        assert blocks["value0"].shape == (2, 2, 3)
    for note in [*meta["ports"].values(), *meta["grids"].values(), *meta["files"].values()]:
        assert hashlib.sha256((entry.folder / note["file"]).read_bytes()).hexdigest() == note["sha256"]


def test_an_empty_recording_and_one_of_many_windows_come_back(tmp_path: Path) -> None:
    store = Store(tmp_path)
    nothing, many = Recording.of(FLOW, []), flow(rows=1, windows=500)
    entry = store.put(key(1), {"none": nothing, "many": many}, {}, owner="x")
    assert entry.recording("none").digest == nothing.digest
    assert len(entry.recording("none")) == 0
    assert entry.recording("many").windows.tolist() == many.windows.tolist()
    assert list(store.verify()) == []


def test_finding_reads_one_small_file_and_imports_no_arrow(tmp_path: Path) -> None:
    entry = fill(Store(tmp_path))
    for name in tree(entry.folder):
        if name != "meta.json":
            (entry.folder / name).unlink()
    script = f"""
import sys
from pathlib import Path
from ldt_core.store import Store
entry = Store(Path({str(tmp_path)!r})).find({key("a")!r})
assert entry.digests == {entry.digests!r}
assert not {{"pyarrow", "shapely", "pandas"}} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_recording_read_from_the_store_is_not_hashed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ldt_core import tables

    fill(Store(tmp_path))
    monkeypatch.setattr(tables, "_digest", lambda table: pytest.fail("hashed again"))
    entry = Store(tmp_path).find(key("a"))
    assert entry is not None
    assert entry.recording("flow").digest == entry.digests["flow"]


@pytest.mark.parametrize("wrong", ["", "abc", "../../etc/passwd", "A" * 64, "g" * 64, "0" * 65])
def test_what_is_no_key_is_refused(wrong: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no key"):
        Store(tmp_path).find(wrong)


def test_listing_and_removing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    keys = sorted(key(i) for i in range(5))
    for item in keys:
        store.put(item, {}, {}, owner="x", files={"f": item.encode()})
    assert [e.key for e in store.entries()] == keys
    assert store.remove(keys[2]) is True
    assert store.remove(keys[2]) is False
    assert [e.key for e in store.entries()] == keys[:2] + keys[3:]
    assert store.find(keys[2]) is None
    assert list((tmp_path / "tmp").iterdir()) == []


# -- keys --------------------------------------------------------------------------------------

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), plain, max_size=4), st.randoms())
def test_a_key_does_not_know_the_order_of_fields(fields: dict[str, Any], random: Any) -> None:
    names = list(fields)
    random.shuffle(names)
    assert Store.key({n: fields[n] for n in names}) == Store.key(fields)


@given(st.dictionaries(st.text(), plain, max_size=4))
def test_canonical_json_says_what_it_was_given(fields: dict[str, Any]) -> None:
    assert json.loads(canonical(fields)) == fields
    assert canonical(json.loads(canonical(fields))) == canonical(fields)


def test_the_same_values_have_one_key_whatever_their_types() -> None:
    same = [
        {"a": [1, 2.5], "b": "x", "c": True, "d": "2026-03-02T05:00"},
        {
            "d": np.datetime64("2026-03-02T05:00"),
            "c": np.bool_(True),
            "b": np.str_("x"),
            "a": (np.int32(1), np.float64(2.5)),
        },
    ]
    assert len({Store.key(f) for f in same}) == 1
    assert Store.key({"a": np.array([1, 2])}) == Store.key({"a": [1, 2]})
    assert Store.key({"a": {"y", "x", "z"}}) == Store.key({"a": ["x", "y", "z"]})
    assert Store.key({"a": -0.0}) == Store.key({"a": 0.0})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        (1, True),
        (1, "1"),
        (None, "null"),
        ([], {}),
        ("ä", "a\u0308"),
        (0.1, 0.1 + 2**-56),
        ([[1], 2], [1, [2]]),
    ],
)
def test_other_values_have_other_keys(one: Any, other: Any) -> None:
    assert Store.key({"a": one}) != Store.key({"a": other})


@pytest.mark.parametrize(
    ("fields", "kind", "says"),
    [
        ({"a": {"b": [1.0, float("nan")]}}, ValueError, r"a\.b\[1\] is nan"),
        ({"a": np.float32("inf")}, ValueError, "a is inf"),
        ({"a": Path("x")}, TypeError, "a is "),
        ({"a": b"x"}, TypeError, "a is bytes"),
        ({"a": {1: 2}}, TypeError, "a has the key 1"),
    ],
)
def test_what_is_not_data_has_no_key(fields: Any, kind: type[Exception], says: str) -> None:
    with pytest.raises(kind, match=says):
        Store.key(fields)


def test_a_key_is_kept_from_version_to_version() -> None:
    """Stores outlive releases: another key for the same fields makes every result unreachable."""
    fields = {"id": "sumo", "params": {"scale": 1.0, "close": None}, "window": (0, 3600), "seed": 42}
    text = b'{"id":"sumo","params":{"close":null,"scale":1.0},"seed":42,"window":[0,3600]}'
    assert canonical(fields) == text
    assert Store.key(fields) == hashlib.sha256(text).hexdigest()


# -- names -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["flow", "a-b_c", "no2", "x" * 80])
def test_a_plain_name_is_its_own_file_name(name: str) -> None:
    assert safe_name(name) == name


NAMES = [
    "Flow", "FLOW", "flöw", "日本", "a/b", "a\\b", "..", ".", "", "con", "CON", "nul", "com1", "lpt9", "a.b", "a b",
    "a:b", "x" * 81, "x" * 300, "a\x00b", "~", "\ud800", "flow~", "aux.txt", "trailing.", "trailing ",
]  # fmt: skip


@pytest.mark.parametrize("dots", ["", "."])
def test_any_name_becomes_a_file_name_that_every_system_takes(dots: str) -> None:
    found = [safe_name(n, dots) for n in [*NAMES, "flow"]]
    assert len({f.lower() for f in found}) == len(found)
    for name in found:
        assert 0 < len(name) <= 80
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-~.")
        assert not name.endswith((".", " "))
        assert name.partition(".")[0] not in {"con", "nul", "aux", "prn", "com1", "lpt9"}


@given(st.lists(st.text(), unique=True, max_size=20))
def test_no_two_names_share_a_file(names: list[str]) -> None:
    assert len({safe_name(n).lower() for n in names}) == len(names)


def test_ports_and_files_of_any_name_are_kept_apart(tmp_path: Path) -> None:
    store = Store(tmp_path)
    names = [n for n in NAMES if n] + ["meta", "meta.json", "file.x"]
    recordings = {n: flow(i, rows=1, windows=1) for i, n in enumerate(names)}
    files = {n: n.encode("utf-8", "surrogatepass") for n in [*names, "x.parquet"]}
    store.put(key(1), recordings, {}, owner="x", files=files, grids={f"{n} grid": GRID for n in names[:3]})
    entry = store.find(key(1))
    assert entry is not None
    assert {n: entry.recording(n).digest for n in names} == {n: r.digest for n, r in recordings.items()}
    assert {n: entry.file(n) for n in files} == files
    assert list(store.verify()) == []


# -- the same key twice ------------------------------------------------------------------------


def test_the_same_content_again_gives_the_entry_that_is_there(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = fill(store)
    before = {f: (tmp_path / f).stat().st_mtime_ns for f in tree(tmp_path)}
    again = store.put(
        key("a"), {"flow": flow(), "places": places()}, {"seconds": 9.0}, owner="other", grids={"air": GRID}
    )
    assert again.record == first.record
    assert {f: (tmp_path / f).stat().st_mtime_ns for f in tree(tmp_path)} == before


@pytest.mark.parametrize(
    "recordings", [{"flow": flow(1)}, {"flow": flow(), "other": flow()}, {"flow": flow(windows=2)}, {}]
)
def test_other_content_under_the_same_key_names_the_component(
    recordings: dict[str, Recording], tmp_path: Path
) -> None:
    store = Store(tmp_path)
    store.put(key(1), {"flow": flow()}, {}, owner="traffic")
    with pytest.raises(StoreError) as caught:
        store.put(key(1), recordings, {}, owner="traffic")
    assert caught.value.code == "same key but other content"
    assert caught.value.where == "traffic"
    assert "context.rng" in caught.value.fix
    entry = store.find(key(1))
    assert entry is not None
    assert entry.digests == {"flow": flow().digest}


@pytest.mark.parametrize("contents", [[0, 0, 0, 0], [0, 1, 2, 3]])
def test_writers_of_one_key_at_once_leave_one_result(contents: list[int], tmp_path: Path) -> None:
    """Equal content: all succeed. Other content: the first stays and the rest are told."""
    start = threading.Barrier(len(contents))
    outcomes: list[str] = []

    def write(seed: int) -> None:
        store = Store(tmp_path)
        recording = flow(seed)
        start.wait()
        try:
            outcomes.append(store.put(key(1), {"flow": recording}, {}, owner="x").digests["flow"])
        except StoreError as exc:
            outcomes.append(exc.code)

    threads = [threading.Thread(target=write, args=(seed,)) for seed in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entry = Store(tmp_path).find(key(1))
    assert entry is not None
    kept = entry.digests["flow"]
    refused = len(contents) - contents.count(0) if 1 in contents else 0
    assert sorted(outcomes) == sorted(
        [kept] * (len(contents) - refused) + ["same key but other content"] * refused
    )
    assert list(Store(tmp_path).verify()) == []
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_writer_that_comes_second_to_the_rename_takes_the_first_ones_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.rename
    first: list[Any] = []

    def rename(source: Any, target: Any) -> None:
        if not first:
            first.append(None)
            first[0] = Store(tmp_path).put(key(1), {"flow": flow()}, {"by": "first"}, owner="x")
        real(source, target)

    monkeypatch.setattr(os, "rename", rename)
    entry = Store(tmp_path).put(key(1), {"flow": flow()}, {"by": "second"}, owner="x")
    assert entry.meta == {"by": "first"}
    assert list((tmp_path / "tmp").iterdir()) == []


# -- damage ------------------------------------------------------------------------------------


def flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


HARMS: list[Callable[[Path], None]] = [flip, truncate, Path.unlink]
READS: dict[str, Callable[[Any], Any]] = {
    "flow.parquet": lambda e: e.recording("flow"),
    "air.npz": lambda e: e.grid("air"),
    "file.state.bin": lambda e: e.file("state.bin"),
}


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("name", READS)
def test_damaged_data_is_refused_when_read_and_computed_anew(
    name: str, harm: Callable[[Path], None], tmp_path: Path
) -> None:
    store = Store(tmp_path)
    harm(fill(store).folder / name)
    entry = store.find(key("a"))
    assert entry is not None
    with pytest.raises(StoreError) as caught:
        READS[name](entry)
    assert caught.value.code == "entry damaged"
    assert caught.value.where.endswith(name)
    assert [p.file for p in store.verify()] == [name]
    aside = store.quarantine(key("a"))
    assert aside is not None
    assert (aside / "meta.json").exists()
    assert store.find(key("a")) is None
    assert list(store.verify()) == []
    READS[name](fill(store))


@pytest.mark.parametrize("harm", [flip, truncate])
def test_a_damaged_description_is_set_aside_and_told(harm: Callable[[Path], None], tmp_path: Path) -> None:
    store = Store(tmp_path)
    entry = fill(store)
    harm(entry.folder / "meta.json")
    assert [(p.key, p.file) for p in store.verify()] == [(key("a"), "meta.json")]
    assert store.find(key("a")) is None
    assert [(p.key, p.file) for p in store.damaged] == [(key("a"), "meta.json")]
    assert not entry.folder.exists()
    assert len(list((tmp_path / "quarantine").iterdir())) == 1
    assert fill(store).digests == entry.digests
    assert list(store.verify()) == []


@given(st.data())
def test_no_flipped_bit_of_the_description_goes_unseen(data: st.DataObject) -> None:
    from ldt_core._entry import seal, unseal

    raw = bytearray(seal({"layout": 1, "key": "k", "meta": {"a": [1, 2.5, "ä"]}}))
    assert unseal(bytes(raw), "k")["meta"] == {"a": [1, 2.5, "ä"]}
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= 1 << data.draw(st.integers(0, 7))
    try:
        record = unseal(bytes(raw), "k")
    except ValueError:
        return
    assert record["meta"] == {"a": [1, 2.5, "ä"]}  # what was flipped was not part of what is said


def test_an_entry_without_its_description_is_written_anew(tmp_path: Path) -> None:
    store = Store(tmp_path)
    entry = fill(store)
    (entry.folder / "meta.json").unlink()
    assert store.find(key("a")) is None
    assert [p.file for p in store.verify()] == ["meta.json"]
    assert fill(store).digests == entry.digests
    assert list(store.verify()) == []


def test_an_entry_moved_to_another_key_is_not_taken_for_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    entry = fill(store)
    other = store._folder(key("b"))
    other.parent.mkdir(parents=True)
    shutil.copytree(entry.folder, other)
    assert store.find(key("b")) is None
    assert "the entry is that of" in store.damaged[0].what


def test_an_entry_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    from ldt_core._entry import seal

    store = Store(tmp_path)
    entry = fill(store)
    (entry.folder / "meta.json").write_bytes(seal(entry.record | {"layout": 99}))
    with pytest.raises(StoreError) as caught:
        store.find(key("a"))
    assert caught.value.code == "store version"
    assert entry.folder.exists()
    assert [p.file for p in store.verify()] == ["meta.json"]


# -- killed writers ----------------------------------------------------------------------------


def make_leftover(store: Store, name: str, age: float = 0) -> Path:
    folder = store.root / "tmp" / name
    folder.mkdir(parents=True)
    (folder / "flow.parquet").write_bytes(b"half")
    os.utime(folder, (time.time() - age,) * 2)
    return folder


def test_leftovers_of_the_dead_are_swept_and_those_of_the_living_kept(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    store, place = Store(tmp_path), place_mark()
    dead = make_leftover(store, f"{place}-{gone.pid}-aa")
    alive = make_leftover(store, f"{place}-{os.getpid()}-aa")
    elsewhere = make_leftover(store, f"00000000-{gone.pid}-aa")
    old = make_leftover(store, f"00000000-{gone.pid}-bb", age=90_000)
    fill(store)  # the first put sweeps
    assert [f.exists() for f in (dead, alive, elsewhere, old)] == [False, True, True, False]
    assert [e.key for e in store.entries()] == [key("a")]
    assert list(store.verify()) == []
    assert store.sweep() == 0


def forked(work: Callable[[], None]) -> int:
    """Run ``work`` in a child of its own; the child's pid. Nothing of the test runner runs in it."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    return pid


def write_all(root: Path, count: int, salt: int) -> None:
    store = Store(root)
    for i in range(count):
        store.put(key(salt, i), {"flow": flow(i, rows=50)}, {}, owner="x", files={"state": bytes(20_000)})


def kill_at_every_line(root: Path) -> None:
    """One child for every line that a put runs, killed as it comes to that line."""
    import ldt_core._arrow  # imported here, so that the children need not

    watched = {
        str(Path(ldt_core._arrow.__file__).with_name(n)) for n in ("store.py", "_entry.py", "_arrow.py")
    }
    warm = Store(root)
    warm.put(key("warm"), {"flow": flow()}, {}, owner="x")
    for lethal in itertools.count(1):
        seen = 0

        def trace(frame: Any, event: str, arg: Any, lethal: int = lethal) -> Any:
            nonlocal seen
            if frame.f_code.co_filename not in watched:
                return None
            if event == "line":
                seen += 1
                if seen == lethal:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        def work() -> None:
            sys.settrace(trace)
            Store(root).put(key("victim"), {"flow": flow()}, {}, owner="x", files={"state": b"x"})
            sys.settrace(None)

        _, status = os.waitpid(forked(work), 0)
        problems = list(warm.verify())
        assert not problems, (lethal, problems)
        entry = warm.find(key("victim"))
        assert entry is None or entry.recording("flow").digest == flow().digest
        if not os.WIFSIGNALED(status):
            assert entry is not None
            print(lethal)
            return
        warm.remove(key("victim"))


def kill_at_random(root: Path, kills: int) -> None:
    """Two writers of the same keys, killed at some moment, again and again."""
    import ldt_core._arrow  # noqa: F401

    random = np.random.default_rng(7)
    store = Store(root)
    interrupted = 0
    for round in range(kills):
        pids = [forked(partial(write_all, root, 50, round)) for _ in range(2)]
        time.sleep(random.uniform(0.0, 0.06))  # where in its work the writer is hit
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        problems = list(store.verify())
        assert not problems, problems
        interrupted += store.sweep()
    assert list((root / "tmp").iterdir()) == []
    assert interrupted > kills / 4, "the kills came at moments when nothing was being written"
    write_all(root, 50, kills)
    print(len(list(store.entries())))


def run_apart(work: str) -> int:
    """Run a function of this file in an interpreter of its own, whose children may be killed."""
    script = f"""
import sys
sys.path.insert(0, {str(HERE.parent)!r})
from pathlib import Path
import {HERE.stem} as tests
tests.{work}
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_a_writer_killed_at_any_line_leaves_a_whole_entry_or_none(tmp_path: Path) -> None:
    lines = run_apart(f"kill_at_every_line(Path({str(tmp_path)!r}))")
    assert lines > 50


def test_racing_writers_killed_at_any_moment_break_nothing(tmp_path: Path) -> None:
    assert run_apart(f"kill_at_random(Path({str(tmp_path)!r}), 25)") >= 50


@pytest.mark.slow
def test_racing_writers_killed_a_hundred_times_break_nothing(tmp_path: Path) -> None:
    assert run_apart(f"kill_at_random(Path({str(tmp_path)!r}), 100)") >= 50


# -- no space, no right ------------------------------------------------------------------------


CODES = ["stored", "no space", "not writable"]


def put_and_tell(root: Path, *prepare: Callable[[Path], object]) -> None:
    """In an interpreter of its own: put, and print what came of it, as a place in CODES."""
    fill(Store(root), "to import what a put needs while that is allowed")
    recording = flow(rows=50_000)
    for step in prepare:
        step(root)
    try:
        Store(root).put(key("big"), {"flow": recording}, {}, owner="x", grids={"air": GRID})
    except StoreError as exc:
        print(CODES.index(exc.code))
    else:
        print(CODES.index("stored"))


def limit_files(root: Path) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))


def test_a_file_that_may_not_grow_is_told_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    assert run_apart(f"put_and_tell(Path({str(tmp_path)!r}), tests.limit_files)") == CODES.index("no space")
    assert len(list(Store(tmp_path).entries())) == 1
    assert list(Store(tmp_path).verify()) == []
    assert list((tmp_path / "tmp").iterdir()) == []


def bytes_in(folder: Path) -> int:
    return sum((folder / f).stat().st_size for f in tree(folder))


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A disk of 1 MiB; where none may be mounted, a folder whose syncs fail beyond that."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0:
        yield disk
        subprocess.run(["umount", str(disk)], check=True)
        return
    real = os.fsync

    def fsync(handle: int) -> None:
        if bytes_in(disk) > 2**20:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    yield disk


def put_until_full(store: Store) -> int:
    for stored in range(1000):
        try:
            store.put(key(stored), {"flow": flow(stored, rows=2000)}, {}, owner="x")
        except StoreError as exc:
            told = exc
            break
    assert told.code == "no space"
    assert "LDT_STORE" in told.fix
    return stored


def test_a_disk_that_fills_up_is_told_and_usable_again_once_there_is_room(small_disk: Path) -> None:
    store = Store(small_disk / "store")
    stored = put_until_full(store)
    assert stored > 1
    assert [e.key for e in store.entries()] == sorted(key(i) for i in range(stored))
    assert list(store.verify()) == []
    assert list((store.root / "tmp").iterdir()) == []
    assert store.remove(key(0))
    assert store.put(key(stored), {"flow": flow(stored, rows=500)}, {}, owner="x").key == key(stored)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "no space"),
        (errno.EDQUOT, "no space"),
        (errno.EROFS, "not writable"),
        (errno.EACCES, "not writable"),
        (errno.EIO, "not usable"),
    ],
)
@pytest.mark.parametrize("call", ["fsync", "rename", "mkdir"])
def test_whichever_call_fails_is_told_and_leaves_nothing(
    call: str, number: int, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    fill(store)

    def fail(*args: Any, **kwargs: Any) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(StoreError) as caught:
            fill(store, "b")
    assert caught.value.code == code
    assert caught.value.fix
    assert [e.key for e in store.entries()] == [key("a")]
    assert list((tmp_path / "tmp").iterdir()) == []
    assert fill(store, "b").key == key("b")


def lock(root: Path) -> None:
    """Take away the right to write; root, who has it anyway, becomes somebody else."""
    for folder in [p for p in root.rglob("*") if p.is_dir()]:
        folder.chmod(0o555)
    root.chmod(0o555)
    if os.geteuid() == 0:
        os.seteuid(65534)


def read_it(root: Path) -> None:
    for entry in Store(root).entries():
        entry.recording("flow")
        entry.grid("air")


def test_a_store_that_may_only_be_read_gives_results_and_takes_none() -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to other users
        Path(name).chmod(0o755)
        root = Path(name) / "store"
        steps = "tests.read_it, tests.lock, tests.read_it"
        try:
            assert run_apart(f"put_and_tell(Path({str(root)!r}), {steps})") == CODES.index("not writable")
        finally:
            for folder in [root, *(p for p in root.rglob("*") if p.is_dir())]:
                folder.chmod(0o755)
        assert len(list(Store(root).entries())) == 1
        assert list(Store(root).verify()) == []


def test_a_store_inside_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    store = Store(tmp_path / "file" / "store")
    assert store.find(key("a")) is None
    with pytest.raises(StoreError) as caught:
        fill(store)
    assert caught.value.code == "not usable"
    assert "LDT_STORE" in caught.value.fix
