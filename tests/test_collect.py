"""What may go and what must stay: the least recently used, never what a run holds."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldt_core._lease import leases, locked
from ldt_core.cli import main
from ldt_core.collect import Holders, budget_of, collect, read_size, remember_runs, show_size
from ldt_core.errors import ParamError, StoreError
from ldt_core.resume import checkpoint_key, slot_keys
from ldt_core.store import Entry, Store

sys.path.insert(0, str(Path(__file__).parent))
from workshop import Workshop, install, wait

HERE = Path(__file__)
HOUR, DAY = 3600.0, 86400.0


def key(name: Any) -> str:
    return hashlib.sha256(str(name).encode()).hexdigest()


def put(store: Store, name: Any, age: float = 0.0, size: int = 1000) -> str:
    """An entry of about this size that was last used so many seconds ago."""
    entry = store.put(key(name), {}, {}, owner=f"owner of {name}", files={"f": bytes(size)})
    stamp = time.time() - age
    os.utime(entry.folder / "meta.json", (stamp, stamp))
    return entry.key


def names(store: Store, among: Any) -> list[Any]:
    stored = {k for k, entry, _ in store.scan() if isinstance(entry, Entry)}
    return [n for n in among if key(n) in stored]


def make_run(
    runs: Path, name: str, cites: list[Any], status: str = "finished", file: str = "twin.yaml"
) -> Path:
    """A run's folder; names sort by time, and so does ``created``."""
    folder = runs / name
    folder.mkdir(parents=True)
    record = {
        "status": status,
        "created": name,
        "twin": {"file": file},
        "cites": {"deep": [key(c) for c in cites]},
    }
    (folder / "run.json").write_text(json.dumps(record))
    return folder


# -- what goes --------------------------------------------------------------------------------


def test_the_least_recently_used_go_until_the_budget_is_kept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for name, age in ((1, 5), (2, 1), (3, 4), (4, 2), (5, 3)):
        put(store, name, age * DAY)
    whole = collect(store, dry_run=True)
    each = whole.size // 5
    assert [k for k, _, _ in collect(store, budget=3 * each, dry_run=True).taken] == [key(1), key(3)]
    assert names(store, range(1, 6)) == [1, 2, 3, 4, 5]
    done = collect(store, budget=3 * each)
    assert [(k, o) for k, o, _ in done.taken] == [(key(1), "owner of 1"), (key(3), "owner of 3")]
    assert (done.entries, done.size, done.freed) == (5, 5 * each, 2 * each)
    assert names(store, range(1, 6)) == [2, 4, 5]
    assert collect(store, budget=3 * each).taken == []
    assert list((tmp_path / "tmp").iterdir()) == []
    assert list(store.verify()) == []


def test_what_was_not_used_for_long_goes_whatever_the_budget(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put(store, "old", 40 * DAY)
    put(store, "young", 20 * DAY)
    assert collect(store, older_than=30 * DAY, budget=10**9).as_dict()["taken"] == [
        {"key": key("old"), "owner": "owner of old", "size": pytest.approx(1000, abs=600)}
    ]
    assert names(store, ["old", "young"]) == ["young"]


def test_without_limits_only_leftovers_go(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put(store, "a", 400 * DAY)
    fresh, old, torn = (store.root / "quarantine" / n for n in ("fresh", "old", "torn"))
    for folder in (fresh, old):
        folder.mkdir(parents=True)
    os.utime(old, (time.time() - 8 * DAY,) * 2)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    from ldt_core._lease import place_mark

    left = store.root / "tmp" / f"{place_mark()}-{dead.pid}-aa"
    left.mkdir(parents=True)
    torn = store.put(key("torn"), {}, {}, owner="x", files={"f": b"x"}).folder
    (torn / "meta.json").unlink()
    done = collect(store)
    assert (done.taken, done.swept) == ([], 3)
    assert [p.exists() for p in (fresh, old, left, torn)] == [True, False, False, False]
    assert names(store, ["a"]) == ["a"]


def test_a_damaged_entry_is_set_aside_and_one_of_another_version_left_alone(tmp_path: Path) -> None:
    from ldt_core._entry import seal

    store = Store(tmp_path)
    for name in ("whole", "damaged", "later"):
        put(store, name)
    folder = store.root / "entries"
    damaged, later = (folder / key(n)[:2] / key(n) / "meta.json" for n in ("damaged", "later"))
    damaged.write_bytes(b"{}")
    record = json.loads(later.read_bytes()) | {"layout": 99}
    later.write_bytes(seal({k: v for k, v in record.items() if k != "sha256"}))
    done = collect(store, budget=0)
    assert [k for k, _, _ in done.taken] == [key("whole")]
    assert done.swept == 1
    assert (damaged.exists(), later.exists()) == (False, True)


def test_a_store_that_is_not_there_has_nothing_to_collect(tmp_path: Path) -> None:
    assert collect(Store(tmp_path / "none"), budget=0).as_dict()["freed"] == 0
    assert list(tmp_path.iterdir()) == []


# -- last use ---------------------------------------------------------------------------------


def test_finding_an_entry_is_its_use_written_down_once_an_hour(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put(store, "old", 3 * HOUR)
    put(store, "new", HOUR / 2)
    before = {n: store.last_use(key(n)) for n in ("old", "new")}
    for name in ("old", "new"):
        assert store.find(key(name)) is not None
    assert store.last_use(key("new")) == before["new"]
    used = store.last_use(key("old"))
    assert used is not None
    assert used > time.time() - HOUR
    assert store.last_use(key("none")) is None


def test_looking_through_the_store_is_no_use(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put(store, "old", 3 * HOUR)
    before = store.last_use(key("old"))
    assert list(store.verify()) == []
    collect(store, dry_run=True)
    assert store.last_use(key("old")) == before


# -- what stays -------------------------------------------------------------------------------


def test_what_a_finished_run_cites_stays_until_its_folder_is_gone(tmp_path: Path) -> None:
    store, runs = Store(tmp_path / "store"), tmp_path / "twin" / "runs"
    for name in "abc":
        put(store, name, DAY)
    folder = make_run(runs, "r1", ["a", "b"])
    done = collect(store, budget=0, runs=[runs])
    assert names(store, "abc") == ["a", "b"]
    assert done.held == 2
    assert list(done.by) == [str(folder)]
    assert done.as_dict()["over_budget"] == done.held_size > 2000
    shutil.rmtree(folder)
    collect(store, budget=0, runs=[runs])
    assert names(store, "abc") == []


def test_runs_of_another_twin_that_shares_the_store_are_known(tmp_path: Path) -> None:
    store, here, there = Store(tmp_path / "store"), tmp_path / "here" / "runs", tmp_path / "there" / "runs"
    for name in "ab":
        put(store, name, DAY)
    make_run(here, "r1", ["a"])
    make_run(there, "r1", ["b"])
    remember_runs(store, there)
    remember_runs(store, there)
    collect(store, budget=0, runs=[here])
    assert names(store, "ab") == ["a", "b"]
    shutil.rmtree(tmp_path / "there")
    collect(store, budget=0, runs=[here])
    assert names(store, "ab") == ["a"]
    assert list((store.root / "twins").iterdir()) == []


def test_a_run_without_an_end_holds_until_a_later_one_of_its_twin_has_finished(tmp_path: Path) -> None:
    """What was done before the kill is what the next run goes on from, whatever came between in another twin."""
    store, runs = Store(tmp_path / "store"), tmp_path / "runs"
    for name in "abcd":
        put(store, name, DAY)
    saved = [*slot_keys(key("c")), checkpoint_key(key("c"), 60)]
    for one in saved:
        store.put(one, {}, {}, owner="c", files={"f": b"x"})
    make_run(runs, "r1", ["a"], "failed")
    killed = make_run(runs, "r2", ["b"], "running")
    (killed / "tasks").mkdir()
    (killed / "tasks" / "t.json").write_text(json.dumps({"key": key("c"), "checkpoints": [60]}))
    (killed / "tasks" / "torn.json").write_text("{")
    make_run(runs, "r3", ["d"], file="other.yaml")
    collect(store, budget=0, runs=[runs])
    assert names(store, "abcd") == ["a", "b", "c", "d"]
    assert all(store.find(one) for one in saved)
    make_run(runs, "r4", [])
    collect(store, budget=0, runs=[runs])
    assert names(store, "abcd") == ["d"]
    assert not any(store.find(one) for one in saved)


def test_what_is_no_run_holds_nothing(tmp_path: Path) -> None:
    store, runs = Store(tmp_path / "store"), tmp_path / "runs"
    put(store, "a", DAY)
    for number, text in enumerate(["", "[]", "{", f'{{"x": "{key("a")}"}}', '"\ud800"']):
        (runs / str(number)).mkdir(parents=True)
        (runs / str(number) / "run.json").write_text(text, errors="surrogatepass")
    (runs / "file").write_text("no folder")
    collect(store, budget=0, runs=[runs, tmp_path / "absent"])
    assert names(store, "a") == []


def test_a_run_that_may_not_be_read_stops_the_collection() -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to other users
        folder = Path(name)
        store, runs = Store(folder / "store"), folder / "runs"
        put(store, "a", DAY)
        record = make_run(runs, "r1", ["a"]) / "run.json"
        record.chmod(0o000)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o777 if path.is_dir() else (0o000 if path == record else 0o666))
        assert run_apart(f"collect_as_another({str(folder)!r})") == 1
        record.chmod(0o600)
        assert names(store, "a") == ["a"]


def collect_as_another(folder: str) -> None:
    if os.geteuid() == 0:
        os.seteuid(65534)
    try:
        collect(Store(Path(folder) / "store"), budget=0, runs=[Path(folder) / "runs"])
    except StoreError as exc:
        assert exc.code == "not usable"
        assert exc.where.endswith("run.json")
        print(1)
    else:
        print(0)


# -- runs at work -----------------------------------------------------------------------------


def test_what_is_used_under_a_lease_stays_until_it_ends(tmp_path: Path) -> None:
    mine, other = Store(tmp_path), Store(tmp_path)
    for name in "ab":
        put(other, name, DAY)
    with mine.lease("a run of twin.yaml"):
        assert mine.find(key("a")) is not None
        assert mine.find(key("later")) is None
        put(other, "later", DAY)  # what its worker stores is held before it is there
        with mine.lease("inside"):
            pass
        done = collect(other, budget=0)
        assert names(other, ["a", "b", "later"]) == ["a", "later"]
        assert [who.startswith("a run of twin.yaml (process") for who in done.by] == [True]
    collect(other, budget=0)
    assert names(other, ["a", "later"]) == []
    assert list((tmp_path / "leases").iterdir()) == []


def lease_and_wait(root: Path) -> None:
    store = Store(root)
    with store.lease("a run"):
        store.find(key("a"))
        print("held", flush=True)
        sys.stdin.read()


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put(store, "a", DAY)
    child = start_apart(f"lease_and_wait(Path({str(tmp_path)!r}))")
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    collect(store, budget=0)
    assert names(store, "a") == ["a"]
    child.kill()
    child.communicate()
    assert len(list((tmp_path / "leases").iterdir())) == 1
    collect(store, budget=0)
    assert names(store, "a") == []
    assert list((tmp_path / "leases").iterdir()) == []


def test_nobody_takes_a_key_into_use_while_entries_are_taken(tmp_path: Path) -> None:
    """A find that comes while the collector is at work waits, and then knows that the entry is gone."""
    store = Store(tmp_path)
    put(store, "a", DAY)
    with store.lease("x"), locked(tmp_path):
        assert leases(tmp_path)[0].keys == set()
        child = start_apart(f"lease_and_wait(Path({str(tmp_path)!r}))")
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(0.5)
        child.kill()
        child.communicate()


def test_a_store_that_may_only_be_read_is_read_without_a_lease() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        put(Store(folder / "store"), "a", DAY)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        assert run_apart(f"find_as_another({str(folder / 'store')!r})") == 1
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755)


def find_as_another(root: str) -> None:
    if os.geteuid() == 0:
        os.seteuid(65534)
    store = Store(Path(root))
    with store.lease("x"):
        print(int(store.find(key("a")) is not None))


# -- kills ------------------------------------------------------------------------------------


def start_apart(work: str) -> subprocess.Popen[str]:
    """A function of this file in an interpreter of its own."""
    script = f"import sys\nsys.path.insert(0, {str(HERE.parent)!r})\nfrom pathlib import Path\n"
    script += f"import {HERE.stem} as tests\ntests.{work}\n"
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", script], stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def run_apart(work: str) -> int:
    child = start_apart(work)
    out, err = child.communicate()
    assert child.returncode == 0, err
    return int(out)


def forked(work: Callable[[], None]) -> int:
    """``work`` in a child; exit code 1 where it fails."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return pid


def use(root: Path, seed: int) -> None:
    """A run at work: what it has put or found is there until its lease ends."""
    random = np.random.default_rng(seed)
    while True:
        store = Store(root)
        with store.lease(f"user {seed}"):
            mine: list[int] = []
            for name in random.integers(0, 40, 12).tolist():
                if store.find(key(name)) is None:
                    store.put(key(name), {}, {}, owner="x", files={"f": str(name).encode() * 500})
                mine.append(name)
                for other in mine:
                    entry = store.find(key(other))
                    assert entry is not None, f"{other} was taken from a run at work"
                    assert entry.file("f") == str(other).encode() * 500


def take_all(root: Path) -> None:
    while True:
        collect(Store(root), budget=0)


def kill_users_and_collectors(root: Path, kills: int) -> None:
    random = np.random.default_rng(11)
    works = [partial(use, root, 1), partial(use, root, 2), partial(take_all, root)]
    store = Store(root)
    put(store, "first")
    living = [forked(w) for w in works]
    taken = 0
    for round in range(kills):
        time.sleep(random.uniform(0.0, 0.04))  # where in its work it is hit
        number = int(random.integers(0, len(works)))
        gone, status = os.waitpid(living[number], os.WNOHANG)
        assert not gone, f"{works[number]} failed with {status}"
        os.kill(living[number], signal.SIGKILL)
        os.waitpid(living[number], 0)
        living[number] = forked(works[number])
        taken += len(list((root / "tmp").iterdir()))
        if round % 10 == 0:
            problems = list(store.verify())
            assert not problems, problems
    for pid in living:
        gone, _ = os.waitpid(pid, os.WNOHANG)
        assert not gone
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    problems = list(store.verify())
    assert not problems, problems
    collect(store, budget=0)
    for folder in ("tmp", "leases", "quarantine"):
        assert not (root / folder).exists() or list((root / folder).iterdir()) == [], folder
    assert list(store.scan()) == []
    print(taken)


def test_collectors_and_runs_killed_at_any_moment_break_nothing(tmp_path: Path) -> None:
    assert run_apart(f"kill_users_and_collectors(Path({str(tmp_path)!r}), 25)") > 0


@pytest.mark.slow
def test_collectors_and_runs_killed_hundreds_of_times_break_nothing(tmp_path: Path) -> None:
    assert run_apart(f"kill_users_and_collectors(Path({str(tmp_path)!r}), 400)") > 0


# -- settings ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("12", 12),
        ("1kB", 1000),
        ("1 KiB", 1024),
        ("1.5GB", 1_500_000_000),
        ("10GiB", 10 * 2**30),
        ("2TB", 2 * 10**12),
    ],
)
def test_a_size_is_read_in_its_unit(text: str, size: int) -> None:
    assert read_size(text) == size


@pytest.mark.parametrize("text", ["", "ten", "-1", "10 gigabytes", "1PB", "GiB", "nan", "1e3"])
def test_what_is_no_size_is_refused_with_a_remedy(text: str) -> None:
    with pytest.raises(ParamError, match="is not a size") as caught:
        read_size(text)
    assert "10GiB" in caught.value.fix


@given(st.integers(0, 2**60))
def test_a_shown_size_is_read_again_to_a_twentieth(size: int) -> None:
    assert read_size(show_size(size)) == pytest.approx(size, rel=0.05, abs=0.5)


def test_the_budget_of_the_environment(tmp_path: Path) -> None:
    assert budget_of({}) is None
    assert budget_of({"LDT_STORE_BUDGET": " "}) is None
    assert budget_of({"LDT_STORE_BUDGET": "3MiB"}) == 3 * 2**20
    with pytest.raises(ParamError) as caught:
        budget_of({"LDT_STORE_BUDGET": "much"})
    assert caught.value.where == "LDT_STORE_BUDGET"


# -- through the command line -------------------------------------------------------------------

PLUGIN = '''
import os, time, uuid
from pathlib import Path
import numpy as np
import ldt_core as ldt

PORT = ldt.Port({"time": ldt.instant(), "water": ldt.number("mm", "x:water", cell="sum")}, step="1h")

class Rain(ldt.DataSource):
    """Rows of noise that cannot be compressed, the same for the same seed."""
    id = "rain"
    outputs = {"water": PORT}
    class Params(ldt.Params):
        amount: float = 1.0
        rows: int = 3
    def version(self, query):
        return "1"
    def read(self, query):
        times = query.start + np.arange(self.params.rows) * (query.end - query.start) / self.params.rows
        noise = np.random.default_rng(int(self.params.amount * 1000)).random(len(times))
        return {"water": ldt.Table({"time": times.astype("M8[us]"), "water": noise * self.params.amount})}

class Soil(ldt.Model):
    """Half of the water stays; with chance, as much as it likes."""
    id = "soil"
    inputs = {"water": PORT}
    outputs = {"wet": ldt.Port({"time": ldt.instant(), "wet": ldt.number("mm", "x:wet", cell="sum")})}
    class Params(ldt.Params):
        share: float = 0.5
        luck: bool = False
    def compute(self, inputs):
        water = inputs["water"]["water"]
        if self.params.luck:
            meet = Path(os.environ["LDT_TEST_NOTES"])
            (meet / uuid.uuid4().hex).touch()
            while len(list(meet.iterdir())) < 2:
                time.sleep(0.01)
            water = water * uuid.uuid4().int
        return {"wet": ldt.Table({"time": inputs["water"]["time"], "wet": water * self.params.share})}

@ldt.hookimpl
def ldt_data_sources():
    return [Rain]
@ldt.hookimpl
def ldt_models():
    return [Soil]
'''

TWIN = """
ldt: 1
twin: {id: wet, title: Wet, crs: "EPSG:25832"}
time: {start: 2026-01-01T00:00Z, end: 2026-01-01T03:00Z}
components:
  rain: {use: rain, params: {rows: 3}}
  soil: {use: soil, params: {share: 0.5}}
connect:
  - {from: rain.water, to: soil.water}
kpis:
  wet: {of: soil.wet.wet, reduce: {time: sum, space: sum}, unit: mm}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("soil") / "site"
    install(folder, "ldt-model-soil", PLUGIN)
    return folder


@pytest.fixture
def shop(site: Path, tmp_path: Path) -> Workshop:
    (tmp_path / "twin").mkdir()
    (tmp_path / "twin" / "twin.yaml").write_text(TWIN)
    return Workshop(site, tmp_path / "twin")


def store_command(shop: Workshop, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """`ldt store` in this process, which knows no plugin: what is stored can be told without any."""
    code = main(["store", words[0], str(shop.twin), *words[1:]])
    said = capsys.readouterr()
    return code, said.out, said.err


def run(shop: Workshop, **env: str) -> Any:
    return json.loads(shop.ldt("run", "--json", **env).stdout)


def states(record: Any) -> list[str]:
    return [t["state"] for t in record["tasks"]]


def test_a_run_keeps_its_results_and_lets_them_go_with_its_folder(
    shop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    first = run(shop)
    folder = shop.twin / "runs" / first["run"]
    ask = partial(store_command, shop, capsys)
    listed = json.loads(ask("ls", "--json")[1])
    assert sorted(row["owner"] for row in listed) == ["kpi of soil.wet.wet", "rain", "soil"]
    assert all(row["held_by"] == [str(folder)] and row["size"] > 0 for row in listed)
    said = ask("ls")[1]
    assert said.count(f"held by {folder}") == 3
    assert "3 entries" in said
    said = ask("gc", "--budget", "0")[1]
    assert said.startswith("0 of 3 entries taken out, 0 B")
    assert f"  {folder}: " in said
    assert "over the budget of 0 B" in said
    shutil.rmtree(shop.twin / "runs")
    assert "not held" in ask("ls")[1]
    plan = json.loads(ask("gc", "--older-than", "0s", "--dry-run", "--json")[1])
    assert (plan["dry_run"], len(plan["taken"]), plan["held"]["entries"]) == (True, 3, 0)
    done = json.loads(ask("gc", "--older-than", "0s", "--json")[1])
    assert done["taken"] == plan["taken"]
    assert done["freed"] == done["before"]["size"] > 0
    again = run(shop)
    assert states(again) == ["done", "done"]
    assert again["kpis"]["wet"]["values"] == first["kpis"]["wet"]["values"]


def test_the_budget_is_kept_after_a_run(shop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    run(shop)
    shutil.rmtree(shop.twin / "runs")
    twin = shop.twin / "twin.yaml"
    twin.write_text(TWIN.replace("share: 0.5", "share: 0.25"))
    done = shop.ldt("run", LDT_STORE_BUDGET="0")
    assert "store: 2 entries taken out" in done.stderr
    assert "still over the budget of 0 B: what runs hold stays" in done.stderr
    assert len(json.loads(store_command(shop, capsys, "ls", "--json")[1])) == 3
    wrong = shop.ldt("run", check=False, LDT_STORE_BUDGET="much")
    assert wrong.returncode == 10
    assert "LDT_STORE_BUDGET: 'much' is not a size" in wrong.stderr
    assert len(list((shop.twin / "runs").iterdir())) == 1, "told before the work"


def test_words_of_gc_are_refused_elsewhere_and_bad_ones_everywhere(
    shop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    ask = partial(store_command, shop, capsys)
    with pytest.raises(SystemExit) as caught:
        ask("ls", "--budget", "1")
    assert caught.value.code == 2
    with pytest.raises(SystemExit):
        ask("gc", "--set-aside")
    for words in (["--budget", "many"], ["--older-than", "1m"]):
        code, _, said = ask("gc", *words)
        assert code == 10
        assert "->" in said
    assert "no limit given" in ask("gc")[1]


def test_damage_is_found_and_computed_anew_also_after_a_collection(
    shop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    first = run(shop)
    for name in ("meta.json", "*.parquet"):
        found = list((shop.twin / ".ldt" / "store" / "entries").glob(f"*/*/{name}"))
        assert len(found) == {"meta.json": 3, "*.parquet": 2}[name]
        for path in found:
            raw = bytearray(path.read_bytes())
            raw[len(raw) // 2] ^= 1
            path.write_bytes(raw)
        aside = ["--set-aside"] if name == "*.parquet" else []
        code, said, _ = store_command(shop, capsys, "verify", "--json", *aside)
        assert code == 14
        assert len(json.loads(said)) == len(found)
        if name == "meta.json":
            assert "3 leftovers" in store_command(shop, capsys, "gc")[1]
        again = run(shop)
        assert "done" in states(again)
        assert again["kpis"]["wet"]["values"] == first["kpis"]["wet"]["values"]
        assert "no damage" in store_command(shop, capsys, "verify")[1]


def test_a_component_that_gives_other_results_each_time_is_named(shop: Workshop, tmp_path: Path) -> None:
    """Two runs compute the same at once; the second to finish is told whose result differs."""
    (shop.twin / "twin.yaml").write_text(TWIN.replace("share: 0.5", "luck: true"))
    (tmp_path / "notes").mkdir()
    both = [shop.start("run", "--workers", "1", LDT_TEST_NOTES=str(tmp_path / "notes")) for _ in range(2)]
    said = [p.communicate(timeout=100)[1] for p in both]
    assert sorted(p.returncode for p in both) == [0, 14], said
    failed = next(s for s, p in zip(said, both, strict=True) if p.returncode)
    assert "soil: soil gave other content for soil.wet than at" in failed.replace(
        "soil (soil of base, replicate 1)", "soil"
    )
    assert "[E7 same key but other content]" in failed
    assert "context.rng" in failed


def test_a_full_disk_is_told_and_the_next_run_goes_on(shop: Workshop) -> None:
    """Files may not grow beyond 200 kB: the source's table does not fit, then it does."""
    (shop.twin / "twin.yaml").write_text(TWIN.replace("rows: 3", "rows: 108000"))
    command = ["bash", "-c", 'ulimit -f 200; exec "$@"', "bash", *shop.command("run")]
    done = subprocess.run(command, cwd=shop.twin, env=shop.environment(), capture_output=True, text=True)
    assert done.returncode == 14, done.stderr
    assert "[E7 no space]" in done.stderr
    assert "LDT_STORE" in done.stderr
    assert list((shop.twin / ".ldt" / "store" / "tmp").iterdir()) == []
    assert list(Store(shop.twin / ".ldt" / "store").scan()) == []
    assert states(run(shop)) == ["done", "done"]


def test_what_a_run_at_work_uses_is_not_taken(shop: Workshop, tmp_path: Path) -> None:
    """Another process collects with a budget of nothing while a run waits inside its component."""
    (shop.twin / "twin.yaml").write_text(TWIN.replace("share: 0.5", "luck: true"))
    notes = tmp_path / "notes"
    notes.mkdir()
    process = shop.start("run", LDT_TEST_NOTES=str(notes))
    wait(lambda: len(list(notes.iterdir())) == 1)
    done = json.loads(shop.ldt("store", "gc", "--budget", "0", "--json").stdout)
    assert (done["before"]["entries"], done["taken"], done["held"]["entries"]) == (1, [], 1)
    assert [who.startswith("a run of twin.yaml (process ") for who in done["held"]["by"]] == [True, False]
    (notes / "go").touch()
    assert process.wait(60) == 0, process.stderr
    process.communicate()


def test_holders_read_a_record_again_only_where_it_changed(tmp_path: Path) -> None:
    store, runs = Store(tmp_path / "store"), tmp_path / "runs"
    put(store, "a")
    folder = make_run(runs, "r1", ["a"])
    holders = Holders(store, [runs])
    with locked(store.root):
        assert holders.by_key() == {key("a"): [str(folder)]}
        make_run(runs, "r2", ["b"])
        shutil.rmtree(folder)
        assert list(holders.by_key()) == [key("b")]
