"""Services that nobody wrote for the suite: the example in Node passes, pygeoapi fails where it does, and rightly."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from ldt_conformance.certification import run
from ldt_conformance.outcome import Outcome, Result
from ldt_conformance.requirements import released
from ldt_conformance.services import Asker, Unanswered

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "node-component"
OURS = [i for i in released() if i.startswith("LDT-HTTP-")]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LDT_CACHE", str(tmp_path / "cache"))


def _judged(address: str, vendor: Path | None = None) -> dict[str, Result]:
    report = run(address, level=2, only=OURS, vendor=vendor)
    return {r.requirement: r for r in report.results if r.requirement in OURS}


@pytest.mark.node
def test_the_rain_tank_in_node_keeps_every_requirement_of_a_service() -> None:
    program = shutil.which("node")
    if program is None:
        assert not os.environ.get("CI"), "needs Node (Debian: apt-get install nodejs)"
        pytest.skip("needs Node (Debian: apt-get install nodejs)")
    with subprocess.Popen([program, EXAMPLE / "rain-tank.js"], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://\S+", process.stdout.readline())
            assert found is not None
            results = _judged(found[0], EXAMPLE / "conformance.toml")
        finally:
            process.terminate()
    odd = {i: r.reason for i, r in results.items() if r.outcome is not Outcome.PASSED}
    assert odd == {
        "LDT-HTTP-AUTH-01": "its document declares no protection",
        "LDT-HTTP-JOB-01": "its document offers no jobs",
    }


def _settings(folder: Path, address: str) -> dict[str, Any]:
    nobody = {"name": "none", "url": "http://127.0.0.1"}
    about = {"title": "t", "description": "d", "keywords": ["k"], "keywords_type": "theme"}
    return {
        "server": {
            "bind": {"host": "127.0.0.1", "port": 0},
            "url": address,
            "mimetype": "application/json; charset=UTF-8",
            "encoding": "utf-8",
            "languages": ["en-US"],
            "limits": {"default_items": 10, "max_items": 10},
            "map": {"url": "http://127.0.0.1/{z}/{x}/{y}.png", "attribution": "none"},
            "manager": {"name": "TinyDB", "connection": str(folder / "jobs.db"), "output_dir": str(folder)},
        },
        "logging": {"level": "ERROR"},
        "metadata": {
            "identification": {**about, "terms_of_service": "none", "url": "http://127.0.0.1"},
            "license": nobody,
            "provider": nobody,
            "contact": {"name": "c", "email": "you@example.org"},
        },
        "resources": {"hello-world": {"type": "process", "processor": {"name": "HelloWorld"}}},
    }


@contextmanager
def pygeoapi(folder: Path) -> Iterator[str]:
    """The address of a pygeoapi server in a process of its own."""
    listener = socket.create_server(("127.0.0.1", 0))
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    (folder / "config.yml").write_text(yaml.safe_dump(_settings(folder, address)))
    env = {
        **os.environ,
        "PYGEOAPI_CONFIG": str(folder / "config.yml"),
        "PYGEOAPI_OPENAPI": str(folder / "openapi.json"),
    }
    make = ["openapi", "generate", "config.yml", "--format", "json", "--output-file", "openapi.json"]
    program = Path(sys.executable).parent / "pygeoapi"
    subprocess.run([program, *make], cwd=folder, env=env, check=True, capture_output=True)
    words = ["-m", "uvicorn", "pygeoapi.starlette_app:APP", "--fd", str(listener.fileno())]
    process = subprocess.Popen(
        [sys.executable, *words, "--log-level", "error"], cwd=folder, env=env, pass_fds=[listener.fileno()]
    )
    try:
        listener.close()
        asker, status = Asker(address, seconds=60), 0
        while status != 200:
            assert process.poll() is None
            try:
                status = asker.get("/conformance?f=json").status
            except Unanswered:
                time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait(20)


def test_pygeoapi_fails_since_its_document_cannot_be_read_offline(tmp_path: Path) -> None:
    """It refers to schemas of the OGC by their address, which would have to be fetched."""
    with pygeoapi(tmp_path) as address:
        results = _judged(f"{address}/processes/hello-world")
    first = results.pop("LDT-HTTP-OAS-01")
    assert first.outcome is Outcome.FAILED
    assert first.evidence is not None
    assert first.evidence.given.startswith("GET /openapi")
    assert "https://schemas.opengis.net/" in first.reason
    assert {r.outcome for r in results.values()} == {Outcome.UNTESTED}
    assert {r.blocked_by for r in results.values()} == {"LDT-HTTP-OAS-01"}
