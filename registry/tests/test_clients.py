"""The programs that developers and cities use, unchanged, against a registry: publish, publish again, install, lock."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from clients import BIN, CLIENTS, Where, build, make_project, run
from dists import make_account, make_token, make_wheel, put
from ldt_registry import releases
from ldt_registry.checkers import Checkers
from ldt_registry.registry import Registry
from ldt_registry.tokens import Identity, authenticate
from servers import Served

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
JSON = {"Accept": "application/vnd.pypi.simple.v1+json"}


@pytest.fixture
def account(registry: Registry) -> int:
    return make_account(registry)


@pytest.fixture
def server(registry: Registry, serve: Callable[[Registry], Served]) -> Served:
    return serve(registry)


@pytest.fixture
def where(registry: Registry, account: int, server: Served) -> Where:
    return Where(server.address, make_token(registry, account))


@pytest.fixture
def owner(registry: Registry, account: int) -> Identity:
    return authenticate(registry, f"Bearer {make_token(registry, account)}")


@pytest.fixture
def moderator(registry: Registry) -> Identity:
    token = make_token(registry, make_account(registry, role="moderator"))
    return authenticate(registry, f"Bearer {token}")


def shown(where: Where, name: str) -> dict[str, str]:
    answer = httpx.get(f"{where.simple}{name}/", headers=JSON)
    return {f["filename"]: f["hashes"]["sha256"] for f in answer.json().get("files", [])}


@pytest.mark.slow
@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_publishes_publishes_again_and_is_refused(client: str, where: Where, tmp_path: Path) -> None:
    """A wrong token is refused; the first upload and the same again succeed; changed bytes and a stranger are refused."""
    program, home, name = CLIENTS[client], tmp_path / "home", f"by-{client}"
    project = make_project(tmp_path / "project", name, backend=program.backend)
    build(project, home)
    stranger = Where(where.url, "ldtr_wrong")
    assert program.publish(stranger, project, home).returncode != 0
    assert shown(where, name) == {}
    for _ in range(2):
        answer = program.publish(where, project, home)
        assert answer.returncode == 0, answer.stdout + answer.stderr
    first = shown(where, name)
    assert len(first) == 2
    (project / name.replace("-", "_") / "__init__.py").write_text("changed = True\n", encoding="utf-8")
    build(project, home)
    assert program.publish(where, project, home).returncode != 0
    assert shown(where, name) == first


def test_uv_publishes_from_its_pinned_version_twice_and_says_why_it_is_refused(
    where: Where, tmp_path: Path
) -> None:
    uv, home = CLIENTS["uv"], tmp_path / "home"
    project = make_project(tmp_path / "project", "by-uv")
    build(project, home)
    for _ in range(2):
        answer = uv.publish(where, project, home)
        assert answer.returncode == 0, answer.stderr
    (project / "by_uv" / "__init__.py").write_text("changed = True\n", encoding="utf-8")
    build(project, home)
    refused = uv.publish(where, project, home)
    assert refused.returncode != 0
    assert "published already, with other bytes" in " ".join(refused.stderr.split())
    wrong = uv.publish(Where(where.url, "wrong"), project, home)
    assert wrong.returncode != 0
    assert "__token__" in wrong.stderr


@pytest.fixture
def stocked(registry: Registry, checkers: Checkers, owner: Identity, where: Where) -> Where:
    """Two versions of one package, and one that needs it."""
    for name, version, needs in (
        ("air-base", "1.0", ""),
        ("air-base", "1.1", ""),
        ("air-map", "1.0", "air-base>=1.0"),
    ):
        put(registry, checkers, owner, make_wheel(name, version, needs=needs), name=name, version=version)
    return where


def pip(*words: str | Path, home: Path) -> str:
    answer = run([sys.executable, "-m", "pip", "--disable-pip-version-check", *words], cwd=home, home=home)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def uv(*words: str | Path, home: Path, cwd: Path | None = None, fails: bool = False) -> str:
    answer = run([BIN / "uv", *words], cwd=cwd or home, home=home, UV_NO_CONFIG="0" if cwd else "1")
    assert (answer.returncode != 0) is fails, answer.stdout + answer.stderr
    return answer.stdout + answer.stderr


def installed(folder: Path) -> set[str]:
    return {p.name.removesuffix(".dist-info") for p in folder.rglob("*.dist-info")}


@pytest.mark.slow
def test_pip_installs_downloads_lists_and_holds_to_hashes(
    stocked: Where, server: Served, owner: Identity, registry: Registry, tmp_path: Path
) -> None:
    home, index = tmp_path / "pip", ("--index-url", stocked.simple)
    home.mkdir()
    pip("install", "--target", home / "t", *index, "air-map", home=home)
    assert installed(home / "t") == {"air_map-1.0", "air_base-1.1"}
    paths = [path for _, path, _ in server.asked if path.startswith("/files/")]
    assert paths[0].endswith(".whl.metadata"), "what a wheel needs is read before the wheel"
    assert len([p for p in paths if p.endswith(".whl")]) == 2
    pip("download", "--no-deps", "-d", home / "d", *index, "air-base==1.0", home=home)
    assert [p.name for p in (home / "d").iterdir()] == ["air_base-1.0-py3-none-any.whl"]
    assert "1.1, 1.0" in pip("index", "versions", *index, "air-base", home=home)
    digest = shown(stocked, "air-base")["air_base-1.1-py3-none-any.whl"]
    needs = home / "requirements.txt"
    needs.write_text(f"air-base==1.1 --hash=sha256:{digest}\n")
    pip("install", "--require-hashes", "--target", home / "h", *index, "-r", needs, home=home)
    releases.yank(registry, owner, "air-base", "1.1", "broken", "wrong unit")
    pip("install", "--target", home / "y", *index, "air-base", home=home)
    assert installed(home / "y") == {"air_base-1.0"}, "what is yanked is not chosen"
    pip("install", "--target", home / "z", *index, "air-base==1.1", home=home)
    assert installed(home / "z") == {"air_base-1.1"}, "an exact pin still finds it"


def test_uv_installs_and_the_second_time_asks_only_whether_it_changed(
    stocked: Where, server: Served, owner: Identity, registry: Registry, moderator: Identity, tmp_path: Path
) -> None:
    home = tmp_path / "uv"
    home.mkdir()

    def install(name: str, where: str, **said: bool) -> str:
        words = ("pip", "install", "--python", sys.executable, "--target", home / where)
        return uv(*words, "--refresh", "--index-url", stocked.simple, name, home=home, **said)

    install("air-map", "a")
    assert installed(home / "a") == {"air_map-1.0", "air_base-1.1"}
    paths = [path for _, path, _ in server.asked if path.startswith("/files/")]
    assert paths.index(next(p for p in paths if p.endswith(".metadata"))) == 0
    server.asked.clear()
    install("air-map", "b")
    pages = {path: status for _, path, status in server.asked if path.startswith("/simple/")}
    assert pages == {"/simple/air-map/": 304, "/simple/air-base/": 304}
    releases.yank(registry, owner, "air-base", "1.1", "broken", "wrong unit")
    install("air-base", "c")
    assert installed(home / "c") == {"air_base-1.0"}
    install("air-base==1.1", "d")
    assert installed(home / "d") == {"air_base-1.1"}
    releases.mark(registry, moderator, "air-base", "quarantined", "reads the environment")
    install("air-base", "e", fails=True)


def test_uv_locks_and_syncs_from_an_explicit_index(stocked: Where, tmp_path: Path) -> None:
    home, city = tmp_path / "uv", tmp_path / "city"
    city.mkdir()
    (city / "pyproject.toml").write_text(
        '[project]\nname = "city"\nversion = "0"\nrequires-python = ">=3.11"\ndependencies = ["air-map"]\n'
        f'[[tool.uv.index]]\nname = "twin"\nurl = "{stocked.simple}"\ndefault = true\n'
    )
    for _ in range(2):
        uv("lock", home=home, cwd=city)
        uv("sync", "--locked", "--python", sys.executable, home=home, cwd=city)
    lock = (city / "uv.lock").read_text()
    for filename, digest in (shown(stocked, "air-base") | shown(stocked, "air-map")).items():
        assert (digest in lock) == ("1.0" not in filename or "air_map" in filename)
    assert {"air_map-1.0", "air_base-1.1"} <= installed(city / ".venv")
