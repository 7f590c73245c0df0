"""The lock: what a twin runs with, by content; each difference named; no address, no folder in it."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldt_core.errors import PluginError
from ldt_core.locking import describe_environment, drift, fetch_hashes, read_lock, write_lock

sys.path.insert(0, str(Path(__file__).parent))
from workshop import Workshop, install

PLUGIN = '''
import numpy as np
import ldt_core as ldt

class Rain(ldt.DataSource):
    """One row per hour."""
    id = "rain"
    outputs = {"rain": ldt.Port({"time": ldt.instant(), "rain": ldt.number("mm", "x:rain", cell="sum")}, step="1h")}
    def version(self, query):
        return "1"
    def read(self, query):
        times = np.arange(query.start, query.end, np.timedelta64(1, "h"))
        return {"rain": ldt.Table({"time": times, "rain": np.full(len(times), 2.0)})}

@ldt.hookimpl
def ldt_data_sources():
    return [Rain]
'''

TWIN = """
ldt: 1
twin: {id: rain, crs: "EPSG:25832"}
time: {start: 2026-01-01T00:00Z, end: 2026-01-01T03:00Z}
components:
  rain: {use: rain}
kpis:
  rain: {of: rain.rain.rain, reduce: {time: sum, space: sum}, unit: mm}
"""


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    install(tmp_path / "site", "ldt-source-rain", PLUGIN)
    (tmp_path / "twin").mkdir()
    (tmp_path / "twin" / "twin.yaml").write_text(TWIN)
    return Workshop(tmp_path / "site", tmp_path / "twin")


def make_wheel(folder: Path, name: str, version: str, code: str = "") -> str:
    """A wheel in a folder; the sha256 that an index would state."""
    path = folder / f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name.replace('-', '_')}.py", code)
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()


OFFLINE = {"UV_OFFLINE": "1", "UV_NO_CACHE": "1"}


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """The files of a folder over HTTP; the address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def make_index(folder: Path, names: list[str]) -> dict[str, list[str]]:
    """An index with version 1.5 and 2.0 of these; the hashes of 1.5."""
    found = {}
    for name in names:
        (folder / "simple" / name).mkdir(parents=True)
        links = []
        for version in ("1.5", "2.0"):
            digest = make_wheel(folder, name, version)
            file = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
            links.append(f'<a href="/{file}#{digest.replace(":", "=")}">{file}</a>')
            found.setdefault(name, []).append(digest)
        (folder / "simple" / name / "index.html").write_text(f"<html><body>{''.join(links)}</body></html>")
    return {n: h[:1] for n, h in found.items()}


def test_hashes_are_those_that_the_index_states_and_what_it_lacks_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = make_index(tmp_path, ["rain-gauge", "soil"])
    pins = {"rain-gauge": "1.5", "soil": "1.5"}
    with serve(tmp_path) as address:
        for name in [n for n in os.environ if n.startswith("UV_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"{address}/simple")
        monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
        assert fetch_hashes(pins) == (wanted, "")
        found, why = fetch_hashes({**pins, "rain": "1.0"})
        assert found == wanted
        assert "rain" in why
        assert fetch_hashes({"nowhere": "1"})[0] == {}
        assert fetch_hashes({}) == ({}, "")
    found, why = fetch_hashes({"never-asked-for": "1"})
    assert found == {}
    assert why


def test_a_lock_is_written_checked_and_holds_a_run_back(shop: Workshop) -> None:
    """The plugin changes after the lock was made: its name and both contents are told, nothing is run."""
    done = shop.ldt("lock", **OFFLINE)
    assert "no hashes of their files" in done.stderr
    path = shop.twin / "twin.lock"
    text = path.read_text()
    locked = json.loads(text)["environments"]["here"]
    assert {"ldt-core", "ldt-source-rain", "numpy", "pyarrow"} <= set(locked["distributions"])
    assert "pytest" not in locked["distributions"]
    for word in ("http", "file:", str(shop.twin), str(shop.site), str(Path(sys.prefix)), str(Path.home())):
        assert word not in text, word
    assert "as locked" in shop.ldt("lock", "--check").stdout
    record = json.loads(shop.ldt("run", "--locked", "--json").stdout)
    assert record["environments"]["here"] == locked
    assert (shop.twin / "runs" / record["run"] / "twin.lock").read_text() == text
    code = shop.site / "ldt_source_rain" / "__init__.py"
    code.write_text(code.read_text().replace("2.0", "3.0"))
    for words in (["run", "--locked"], ["lock", "--check"]):
        refused = shop.ldt(*words, check=False)
        assert refused.returncode == 11
        assert refused.stderr.count("[E2 lock drift]") == 1
        assert "ldt-source-rain: twin.lock wants 1.0 with content " in refused.stderr
        assert "-> " in refused.stderr
    assert len(list((shop.twin / "runs").iterdir())) == 1
    path.unlink()
    assert "[E2 lock missing]" in shop.ldt("run", "--locked", check=False).stderr


def test_hashes_that_were_known_are_kept_where_no_index_answers(shop: Workshop) -> None:
    shop.ldt("lock", **OFFLINE)
    path = shop.twin / "twin.lock"
    content = json.loads(path.read_text())
    found = content["environments"]["here"]["distributions"]
    found["numpy"]["hashes"] = ["sha256:" + "0" * 64]
    found["scipy"] |= {"hashes": ["sha256:" + "1" * 64], "version": "0.1"}
    write_lock(path, content)
    shop.ldt("lock", **OFFLINE)
    after = json.loads(path.read_text())["environments"]["here"]["distributions"]
    assert after["numpy"]["hashes"] == ["sha256:" + "0" * 64]
    assert "hashes" not in after["scipy"]


VERSIONS = st.dictionaries(st.sampled_from("abcdef"), st.tuples(st.sampled_from("12"), st.sampled_from("xy")))


def environment(found: dict[str, tuple[str, str]], python: str = "3.11.7") -> dict[str, Any]:
    named = {n: {"version": v, "content": c} for n, (v, c) in found.items()}
    return {"python": python, "implementation": "cpython", "platform": "linux", "distributions": named}


@given(VERSIONS, VERSIONS)
def test_every_difference_is_named_and_nothing_else(
    one: dict[str, tuple[str, str]], other: dict[str, tuple[str, str]]
) -> None:
    named = {what for what, _, _ in drift({"here": environment(one)}, {"here": environment(other)})}
    assert named == {n for n in {*one, *other} if one.get(n) != other.get(n)}


def test_another_python_and_platform_are_differences() -> None:
    own = {"own: a": environment({"a": ("1", "x")})}
    found = list(
        drift(
            {"here": environment({}, "3.11.7"), **own},
            {"here": environment({}, "3.12.1") | {"platform": "macosx"}},
        )
    )
    assert found.pop() == ("environment (own: a)", "there", "absent")
    assert found == [("python", "3.11.7", "3.12.1"), ("platform", "linux", "macosx")]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"lock": 1}',
        '{"lock": 1, "environments": {}}',
        '{"lock": 9, "environments": {"here": {"distributions": {}}}}',
    ],
)
def test_a_file_that_is_no_lock_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "twin.lock"
    path.write_text(text)
    with pytest.raises(PluginError) as caught:
        read_lock(path)
    assert caught.value.code == "lock damaged"
    assert "ldt lock" in caught.value.fix


def test_a_distribution_is_known_by_its_files_and_not_by_how_it_was_installed(tmp_path: Path) -> None:
    """The same wheel unpacked by two installers, in two places."""
    rows = ["a/__init__.py,sha256=abc,1", "a-1.dist-info/METADATA,sha256=def,2"]
    first = [*rows, "a-1.dist-info/INSTALLER,sha256=x,1", "a/__pycache__/a.pyc,,", "a-1.dist-info/RECORD,,"]
    second = [*reversed(rows), "../../../bin/a,sha256=q,3", "a-1.dist-info/direct_url.json,sha256=z,1"]
    third = ["a/__init__.py,sha256=other,1", rows[1]]
    found = []
    for number, lines in enumerate((first, second, third)):
        info = tmp_path / str(number) / "a-1.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: a\nVersion: 1\n")
        (info / "RECORD").write_text("\n".join(lines))
        from ldt_core.locking import _describe

        found.append(_describe("a", str(info.parent)))
    assert found[0] == found[1] != found[2]


def test_this_environment_is_described() -> None:
    found = describe_environment(["ldt-core", "absent"])
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["distributions"]["ldt-core"]["content"]
    assert "absent" not in found["distributions"]
