"""The application answers in problem documents and says how it is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from ldt_registry.commands import registry as run_command
from ldt_registry.problems import Conflict, Misconfigured, Unauthenticated
from ldt_registry.registry import Registry
from ldt_registry.settings import Settings
from servers import Served


def test_health(registry: Registry, serve: Callable[[Registry], Served]) -> None:
    address = serve(registry).address
    assert httpx.get(f"{address}/health/live").json() == {"status": "ok"}
    found = httpx.get(f"{address}/health/ready")
    assert (found.status_code, found.json()["status"]) == (200, "ok")


def test_what_is_not_there_is_a_problem_document(
    registry: Registry, serve: Callable[[Registry], Served]
) -> None:
    found = httpx.get(f"{serve(registry).address}/no/such/page")
    assert found.status_code == 404
    assert found.headers["content-type"] == "application/problem+json"
    assert found.json()["status"] == 404


def test_a_problem_says_what_and_how_to_mend_it() -> None:
    problem = Conflict(
        "demo-1.0 holds other bytes.", code="filename-taken", fix="Raise the version.", sha256="ab"
    )
    assert problem.as_document() == {
        "type": "urn:ldt:registry:filename-taken",
        "title": "Exists already",
        "status": 409,
        "detail": "demo-1.0 holds other bytes. Raise the version.",
        "fix": "Raise the version.",
        "sha256": "ab",
    }
    assert "WWW-Authenticate" in Unauthenticated("who are you?").headers


def _start(home: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "ldt_core.cli",
            "registry",
            "serve",
            "--home",
            home,
            "--port",
            "0",
            "--json",
            *words,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


def test_one_command_serves_a_new_registry_and_a_second_is_told(tmp_path: Path) -> None:
    from servers import until

    process = _start(tmp_path / "home")
    assert process.stdout is not None
    said = json.loads(process.stdout.readline())
    assert said["new"] is True

    def ready() -> bool:
        try:
            return httpx.get(f"{said['address']}/health/ready").status_code == 200
        except httpx.TransportError:
            return False

    until(ready, what="the registry")
    second = _start(tmp_path / "home")
    assert "another server works" in second.communicate(timeout=30)[1]
    assert second.returncode == 1
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 0


def test_settings_are_read_from_file_and_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "registry.toml").write_text('title = "Old town"\nport = 1\n', encoding="utf-8")
    monkeypatch.setenv("LDT_REGISTRY_HOME", str(tmp_path))
    monkeypatch.setenv("LDT_REGISTRY_PORT", "2")
    settings = Settings.load(host="127.0.0.2")
    assert (settings.title, settings.port, settings.host) == ("Old town", 2, "127.0.0.2")


def test_a_wrong_setting_is_named(tmp_path: Path) -> None:
    (tmp_path / "registry.toml").write_text("colour = 1\nport = -1\n", encoding="utf-8")
    with pytest.raises(Misconfigured, match=r"(?s)(?=.*colour)(?=.*port)"):
        Settings.load(home=tmp_path)


@pytest.mark.parametrize("command", ["serve", "init", "migrate"])
def test_a_home_that_cannot_be_written_is_told_in_words(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    assert run_command([command, "--home", str(tmp_path / "file" / "home")]) == 1
    told = capsys.readouterr()
    assert "cannot be written" in told.err
    assert "LDT_REGISTRY_HOME" in told.err
    assert "Traceback" not in told.err


def test_migrating_nothing_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["migrate", "--home", str(tmp_path)]) == 1
    assert "ldt registry init" in capsys.readouterr().err


def test_a_database_file_that_is_none_is_told_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "registry.db").write_bytes(b"this is no database" * 100)
    assert run_command(["fsck", "--home", str(tmp_path)]) == 1
    told = capsys.readouterr().err
    assert "file is not a database" in told
    assert "Traceback" not in told


def test_storage_that_the_settings_misname_is_told_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LDT_REGISTRY_BLOBS", "ftp://somewhere")
    assert run_command(["init", "--home", str(tmp_path)]) == 1
    assert "Write s3://BUCKET" in capsys.readouterr().err
    monkeypatch.delenv("LDT_REGISTRY_BLOBS")
    monkeypatch.setenv("LDT_REGISTRY_DATABASE", "mysql://somewhere/else")
    assert run_command(["init", "--home", str(tmp_path)]) == 1
    assert "Use postgresql://" in capsys.readouterr().err
