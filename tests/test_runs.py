"""Runs on disk: found, opened, refused; folders that cannot be written; stores that two twins share."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ldt_core.errors import NotFound, StoreError
from ldt_core.record import read_record
from ldt_core.runs import find_run, finished_runs, home_of, open_run, store_of

sys.path.insert(0, str(Path(__file__).parent))
from workshop import Workshop, install

PLUGIN = '''
import numpy as np
import ldt_core as ldt

class Rain(ldt.DataSource):
    """One row per hour."""
    id = "rain"
    outputs = {"rain": ldt.Port({"time": ldt.instant(), "rain": ldt.number("mm", "x:rain", cell="sum")}, step="1h")}
    class Params(ldt.Params):
        amount: float = 1.0
    def version(self, query):
        print("what a component prints")
        return "1"
    def read(self, query):
        times = np.arange(query.start, query.end, np.timedelta64(1, "h"))
        return {"rain": ldt.Table({"time": times, "rain": np.full(len(times), self.params.amount)})}

class Depth(ldt.DataSource):
    """Depths whose unit the twin file states."""
    id = "depth"
    outputs = {"depth": ldt.Port({"time": ldt.instant(), "depth": ldt.Column("number")}, step="1h")}
    def version(self, query):
        return "1"
    def read(self, query):
        times = np.arange(query.start, query.end, np.timedelta64(1, "h"))
        return {"depth": ldt.Table({"time": times, "depth": np.full(len(times), 2.0)})}

@ldt.hookimpl
def ldt_data_sources():
    return [Rain, Depth]
'''

TWIN = """
ldt: 1
twin: {id: rain, title: Rain, crs: "EPSG:25832"}
time: {start: 2026-01-01T00:00Z, end: 2026-01-01T03:00Z}
components:
  rain: {use: rain, params: {amount: 2.0}}
kpis:
  rain: {of: rain.rain.rain, reduce: {time: sum, space: sum}, unit: mm}
"""


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    install(tmp_path / "site", "ldt-source-rain", PLUGIN)
    (tmp_path / "twin").mkdir()
    (tmp_path / "twin" / "twin.yaml").write_text(TWIN)
    return Workshop(tmp_path / "site", tmp_path / "twin")


def record_of(done: subprocess.CompletedProcess[str]) -> Any:
    return json.loads(done.stdout)


# -- places -----------------------------------------------------------------------------------


def test_two_twins_share_a_store_and_each_finds_its_own_runs(shop: Workshop, tmp_path: Path) -> None:
    """Two files in one folder, a third twin elsewhere, one store, all named relative to other places."""
    (shop.twin / "other.yaml").write_text(TWIN.replace("2.0", "5.0").replace("id: rain", "id: heavy"))
    third = tmp_path / "third"
    shutil.copytree(shop.twin, third)
    env = {"LDT_STORE": "../one store"}
    first = record_of(shop.ldt("run", "--json", **env))
    second = record_of(shop.ldt("run", "--json", "other.yaml", **env))
    shop.twin = tmp_path / "site"
    again = record_of(shop.ldt("run", "--json", str(third), **env))
    assert [t["state"] for r in (first, second, again) for t in r["tasks"]] == ["done", "done", "stored"]
    assert not (third / ".ldt").exists()
    names = ["cache", "entries", "leases", "lock", "tmp", "twins"]
    assert sorted(p.name for p in (tmp_path / "one store").iterdir()) == names
    assert list((tmp_path / "one store" / "leases").iterdir()) == []
    for name, value in (("twin.yaml", 6.0), ("other.yaml", 15.0)):
        said = shop.ldt("compare", f"../twin/{name}", "--json", **env).stdout
        assert json.loads(said)["kpis"][0]["values"][0]["value"] == value
    assert find_run("last", tmp_path / "twin").name == second["run"]


def read_only(folder: Path) -> Callable[[], None]:
    """Take the right to write away, from root as well; returns what gives it back."""
    if os.geteuid():
        folder.chmod(0o555)
        return lambda: folder.chmod(0o755)
    bound = ["mount", "--bind", str(folder), str(folder)]
    subprocess.run(bound, check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)
    return lambda: subprocess.run(["umount", str(folder)], check=True) and None


def test_a_twin_in_a_folder_that_cannot_be_written(shop: Workshop, tmp_path: Path) -> None:
    shop.ldt("run")
    give_back = read_only(shop.twin)
    try:
        assert "hold" in shop.ldt("check").stdout
        assert "rain" in shop.ldt("compare").stdout
        done = shop.ldt("run", check=False)
        elsewhere = shop.ldt("run", check=False, LDT_STORE=str(tmp_path / "store"))
    finally:
        give_back()
    for said in (done, elsewhere):
        assert said.returncode == 14, said.stderr
        assert "[E7 not writable]" in said.stderr
        assert "-> copy the twin to a folder that you may write" in said.stderr
        assert str(shop.twin) in said.stderr


@pytest.mark.parametrize("name", ["runs", ".ldt", ".ldt/store", ".ldt/cache"])
def test_a_file_where_a_folder_must_be_is_told_before_the_work(shop: Workshop, name: str) -> None:
    path = shop.twin / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("in the way")
    done = shop.ldt("run", check=False)
    assert done.returncode == 14, done.stderr
    assert "[E7 not writable]" in done.stderr
    assert str(path) in done.stderr
    assert "computed" not in done.stdout


def test_the_store_may_begin_at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LDT_STORE", "~/store")
    store, cache = store_of(tmp_path / "twin")
    assert (store.root, cache) == (tmp_path / "store", tmp_path / "store" / "cache")
    monkeypatch.setenv("LDT_STORE", "")
    assert store_of(tmp_path / "twin")[0].root == tmp_path / "twin" / ".ldt" / "store"


# -- the keys ---------------------------------------------------------------------------------


def test_what_the_twin_file_says_of_columns_is_part_of_the_key(shop: Workshop) -> None:
    """The stored recording carries unit and method: another word of the twin file is another result."""
    text = TWIN.replace("{use: rain, params: {amount: 2.0}}", "{use: depth, columns: {depth: {unit: m}}}")
    text = text.replace("rain.rain.rain", "rain.depth.depth").replace("unit: mm", "unit: m")
    (shop.twin / "twin.yaml").write_text(text)
    first = record_of(shop.ldt("run", "--json"))
    (shop.twin / "twin.yaml").write_text(text.replace("{unit: m}", "{unit: km}"))
    second = record_of(shop.ldt("run", "--json"))
    assert [r["kpis"]["rain"]["values"]["base"] for r in (first, second)] == [[6.0], [6000.0]]


# -- records ----------------------------------------------------------------------------------


def _record(folder: Path, created: str = "2026-01-01T00:00:00Z", **changes: Any) -> Path:
    content = {
        "record": 1,
        "run": folder.name,
        "created": created,
        "status": "finished",
        "twin": {"file": "twin.yaml"},
        "scenarios": {},
        "replicates": 1,
        "kpis": {},
    }
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({**content, **changes}))
    return folder


BAD = {
    "torn": ('{"record": 1, "stat', "cannot be read"),
    "a list": ("[]", "is not the record of a run"),
    "foreign": ('{"run": 7}', "is not the record of a run"),
    "newer": ('{"record": 2}', "is of another version (record 2, not 1)"),
    "poor": ('{"record": 1, "status": "finished"}', "lacks created"),
    "binary": ("\ud800", "cannot be read"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_record_that_is_none_is_told_and_passed_over(tmp_path: Path, name: str) -> None:
    good = _record(tmp_path / "runs" / "a")
    bad = _record(tmp_path / "runs" / "b", "2027")
    content, said = BAD[name]
    (bad / "run.json").write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(StoreError, match=r"run\.json") as caught:
        read_record(bad)
    assert said in caught.value.what
    assert caught.value.fix
    assert find_run("last", tmp_path) == good
    assert find_run(str(bad)) == bad, "named, it is opened, and told"


def test_the_last_run_is_the_last_that_finished(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    first = _record(runs / "b", "2026-01-01")
    second = _record(runs / "a", "2026-01-02", twin={"file": "other.yaml"})
    for status in ("interrupted", "failed", "running"):
        _record(runs / status, "2027", status=status)
    (runs / "empty").mkdir()
    assert finished_runs(tmp_path) == [first, second]
    (tmp_path / "twin.yaml").touch()
    assert find_run(str(tmp_path / "twin.yaml")) == first
    assert find_run(str(tmp_path)) == find_run("last", tmp_path) == second
    assert find_run(str(runs / "a" / "run.json")) == second
    assert find_run("a", tmp_path) == second, "as it is listed"
    for wrong in ("nothing", str(runs / "empty"), str(tmp_path / "c.yaml")):
        with pytest.raises(NotFound) as caught:
            find_run(wrong)
        assert "there is no" in caught.value.what
        assert caught.value.fix
    for status in ("interrupted", "failed", "running"):
        with pytest.raises(NotFound, match=r"running|is interrupted|is failed"):
            open_run(runs / status)


def test_a_run_behind_a_link_belongs_to_its_twin(tmp_path: Path) -> None:
    home, disk = tmp_path / "home", tmp_path / "disk"
    home.mkdir()
    (home / "twin.yaml").touch()
    run = _record(disk / "runs" / "a")
    (home / "runs").symlink_to(disk / "runs")
    record = read_record(run)
    assert home_of(home / "runs" / "a", record) == home
    (tmp_path / "favourite").symlink_to(home / "runs" / "a")
    assert home_of(tmp_path / "favourite", record) in (tmp_path.parent, home)


def test_a_run_whose_results_are_gone_says_what_to_do(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = record_of(shop.ldt("run", "--json"))
    folder = shop.twin / "runs" / record["run"]
    code = f"from pathlib import Path; from ldt_core.runs import open_run; open_run(Path({str(folder)!r}))"
    open_it = [sys.executable, "-c", code]
    env = shop.environment()
    assert subprocess.run(open_it, env=env).returncode == 0
    changed = json.loads((folder / "run.json").read_text())
    (key,) = changed["scenarios"]["base"]["stages"].pop("rain")
    (folder / "run.json").write_text(json.dumps(changed))
    done = subprocess.run(open_it, env=env, capture_output=True, text=True)
    assert "it was made with other versions of the components" in done.stderr
    changed["scenarios"]["base"]["stages"]["rain"] = [key]
    (folder / "run.json").write_text(json.dumps(changed))
    shutil.rmtree(shop.twin / ".ldt" / "store" / "entries" / key[:2])
    done = subprocess.run(open_it, env=env, capture_output=True, text=True)
    assert "the result of rain of base, replicate 1 is no longer in the store" in done.stderr
    assert "run the twin again" in done.stderr


def test_a_twin_file_that_is_edited_runs_as_it_was_read(shop: Workshop) -> None:
    """The run keeps the file that it was started with, also where it is edited in between."""
    code = (
        "import sys; from pathlib import Path; from ldt_core.runs import prepare, execute\n"
        "e = prepare('twin.yaml'); p = Path('twin.yaml'); text = p.read_text()\n"
        "p.write_text(text.replace('2.0', '9.0'))\n"
        "try: execute(e, 1, lambda s: None)\n"
        "except Exception as exc: print(exc)\n"
        "p.write_text(text)\n"
        "def edit(state): p.write_text(text.replace('2.0', '7.0'))\n"
        "print(execute(prepare('twin.yaml'), 1, edit).record['kpis']['rain']['values'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=shop.twin, env=shop.environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "the twin file changed while it was read [E1 changed while reading]" in done.stdout
    assert "{'base': [6.0]}" in done.stdout


def test_json_is_all_that_stands_on_standard_output(shop: Workshop) -> None:
    for words in (["run", "--dry-run"], ["run"], ["compare"], ["store", "ls"]):
        done = shop.ldt(*words, "--json")
        json.loads(done.stdout)
        if words[0] == "run":
            assert "what a component prints" in done.stderr
    plain = shop.ldt("run", "--json", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    json.loads(plain.stdout)
