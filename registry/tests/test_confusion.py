"""Attack 9: a higher version under our name on another index. What real installers take, and what our advice makes of it."""

from __future__ import annotations

import functools
import http.server
import threading
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from clients import BIN, run
from dists import fields, make_token, make_wheel
from ldt_registry.registry import Registry
from servers import Served

pytestmark = pytest.mark.parametrize("database", ["sqlite"])
NAME = "city-sewer-lib"


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def bad(tmp_path: Path) -> Iterator[str]:
    """An index that anybody may write to, with version 9 of our name."""
    filename, content = make_wheel(NAME, "9.0")
    folder = tmp_path / "bad" / NAME
    folder.mkdir(parents=True)
    (folder / filename).write_bytes(content)
    (folder / "index.html").write_text(f'<!doctype html><a href="{filename}">{filename}</a>')
    handler = functools.partial(_Quiet, directory=str(tmp_path / "bad"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


@pytest.fixture
def ours(registry: Registry, serve: Callable[[Registry], Served]) -> str:
    """Our index, with version 1."""
    served, file = serve(registry), make_wheel(NAME, "1.0")
    answer = httpx.post(
        f"{served.address}/legacy/",
        data=fields(*file, NAME),
        files={"content": file},
        auth=("__token__", make_token(registry)),
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    return f"{served.address}/simple/"


def taken(tmp_path: Path, *options: str) -> str:
    """The version that pip downloads."""
    into = tmp_path / "into"
    command = [BIN / "pip", "download", "--no-deps", "--no-cache-dir", "-d", into, *options, NAME]
    done = run([str(c) for c in command], cwd=tmp_path, home=tmp_path / "home")
    assert done.returncode == 0, done.stderr
    (file,) = into.iterdir()
    return file.name.split("-")[1]


def test_an_extra_index_lets_the_higher_version_in(tmp_path: Path, bad: str, ours: str) -> None:
    """The danger itself: this is why no page of ours shows that option."""
    assert taken(tmp_path, "--index-url", ours, "--extra-index-url", bad) == "9.0"


def test_the_registry_as_the_only_index_keeps_it_out(tmp_path: Path, ours: str) -> None:
    assert taken(tmp_path, "--index-url", ours) == "1.0"


def test_an_explicit_index_keeps_it_out_beside_another(tmp_path: Path, bad: str, ours: str) -> None:
    (tmp_path / "pyproject.toml").write_text(
        f'[project]\nname = "twin"\nversion = "0"\nrequires-python = ">=3.11"\ndependencies = ["{NAME}"]\n'
        f'[[tool.uv.index]]\nname = "city"\nurl = "{ours}"\nexplicit = true\n'
        f'[[tool.uv.index]]\nname = "other"\nurl = "{bad}"\ndefault = true\n'
        f'[tool.uv.sources]\n{NAME} = {{ index = "city" }}\n'
    )
    done = run([BIN / "uv", "lock"], cwd=tmp_path, home=tmp_path / "home", UV_NO_CONFIG="0")
    assert done.returncode == 0, done.stderr
    locked = tomllib.loads((tmp_path / "uv.lock").read_text())["package"]
    (found,) = (p for p in locked if p["name"] == NAME)
    assert found["version"] == "1.0"
    assert found["source"]["registry"].rstrip("/") == ours.rstrip("/")
