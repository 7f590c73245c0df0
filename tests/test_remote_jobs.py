"""Components that hang beside those that do not, and inputs that stand elsewhere."""

from __future__ import annotations

import http.client
import http.server
import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import pytest

import ldt_core as ldt
from ldt_core.remote.server import Rules
from tests.afar import Answer, answering, ask, send, served
from tests.test_remote_server import RAIN, Double, rain
from tests.workshop import Workshop, install, wait


class Stuck(ldt.Model):
    """Hangs until it is let go, and hears nothing meanwhile."""

    id = "stuck"
    inputs: ClassVar[Any] = {"rain": RAIN}
    outputs: ClassVar[Any] = {"rain": RAIN}
    inside: ClassVar[list[threading.Event]] = []

    def compute(self, inputs: ldt.Tables) -> ldt.Tables:
        let = threading.Event()
        self.inside.append(let)
        assert let.wait(60)
        self.inside.remove(let)
        return {"rain": inputs["rain"]}


@pytest.fixture
def server() -> Iterator[str]:
    Double.let.set()
    with served(Stuck, Double, rules=Rules(workers=1)) as address:
        yield address
        for let in list(Stuck.inside):
            let.set()
        wait(lambda: not Stuck.inside)


def execute(server: str, id: str, later: bool = True) -> Answer:
    prefer = {"Prefer": "respond-async"} if later else {}
    return ask("POST", f"{server}/processes/{id}/execution", {"inputs": rain(4.0)}, **prefer)


def statuses(server: str) -> list[str]:
    return [job["status"] for job in ask("GET", f"{server}/jobs").json["jobs"]]


def test_a_job_that_hangs_is_listed_and_dismissed_and_gives_its_place_to_the_next(server: str) -> None:
    stuck = execute(server, "stuck").headers["location"]
    wait(lambda: len(Stuck.inside) == 1)
    after = execute(server, "double").headers["location"]
    assert statuses(server) == ["accepted", "running"]  # the newest first; there is one worker
    assert ask("DELETE", stuck).json["status"] == "dismissed"
    wait(lambda: ask("GET", after).json["status"] == "successful")
    assert ask("GET", f"{after}/results").json["rain"] == {"columns": {"rain": [8.0]}}
    assert ask("GET", f"{stuck}/results").status == 409
    Stuck.inside[0].set()  # what comes of it now is too late
    wait(lambda: not Stuck.inside)
    assert execute(server, "double", later=False).json == {"columns": {"rain": [8.0]}}
    assert statuses(server) == ["successful", "successful", "dismissed"]


def test_a_job_dismissed_before_it_began_never_begins(server: str) -> None:
    stuck, waiting = (execute(server, "stuck").headers["location"] for _ in range(2))
    wait(lambda: len(Stuck.inside) == 1)
    assert ask("DELETE", waiting).json["status"] == "dismissed"
    assert ask("DELETE", stuck).json["status"] == "dismissed"
    assert execute(server, "double", later=False).status == 200
    assert len(Stuck.inside) == 1


def test_who_waits_for_a_job_that_is_dismissed_is_told(server: str) -> None:
    answers: list[Answer] = []
    asking = threading.Thread(target=lambda: answers.append(execute(server, "stuck", later=False)))
    asking.start()
    wait(lambda: len(Stuck.inside) == 1)
    (job,) = ask("GET", f"{server}/jobs").json["jobs"]
    assert ask("DELETE", f"{server}/jobs/{job['jobID']}").status == 200
    asking.join(20)
    assert answers[0].status == 409
    assert "dismissed" in answers[0].json["detail"]


# -- what a server leaves behind ---------------------------------------------------------------------

PLUGIN = '''
import os
import time
from contextlib import suppress
from pathlib import Path

import ldt_core as ldt

OUT = ldt.Port({"v": ldt.number("m", "x:v")})
NOTES = Path(os.environ.get("LDT_TEST_NOTES", "."))


class Sleeper(ldt.Simulator):
    """Hangs where it is told to."""

    id = "sleeper"
    outputs = {"out": OUT}

    class Params(ldt.Params):
        hang: bool = False

    def initialize(self, inputs):
        return {"out": ldt.Table({"v": [0.0]})}

    def step(self, inputs, until):
        (NOTES / "stepping").touch()
        while self.params.hang:
            time.sleep(0.05)
        return {"out": ldt.Table({"v": [1.0]})}

    def finalize(self):
        time.sleep(0.3)
        (NOTES / "finalized").touch()


@ldt.hookimpl
def ldt_simulators():
    return [Sleeper]
'''


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    install(folder, "ldt-sleeper", PLUGIN)
    return folder


@pytest.fixture
def sleeper(site: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``ldt remote serve sleeper`` in a process of its own, and its address."""
    words = ("remote", "serve", "sleeper")
    process = Workshop(site, tmp_path).start(*words, LDT_TEST_NOTES=str(tmp_path))
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().split()[-1]
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT], ids=["terminated", "interrupted"])
def test_a_server_that_ends_finalizes_its_sessions(
    sleeper: tuple[subprocess.Popen[str], str], tmp_path: Path, how: int
) -> None:
    process, address = sleeper
    assert ask("POST", f"{address}/sessions", {}).status == 201
    os.kill(process.pid, how)
    process.wait(30)
    assert (tmp_path / "finalized").exists()
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT], ids=["terminated", "interrupted"])
def test_a_server_ends_though_a_component_hangs(
    sleeper: tuple[subprocess.Popen[str], str], tmp_path: Path, how: int
) -> None:
    process, address = sleeper
    session = ask("POST", f"{address}/sessions", {"params": {"hang": True}}).json["session"]
    body = {"seq": 1, "start": 0, "until": 1, "inputs": {}}
    asking = threading.Thread(target=lambda: _quietly(f"{address}/sessions/{session}/step", body))
    asking.start()
    wait((tmp_path / "stepping").exists)
    os.kill(process.pid, how)
    process.wait(30)
    asking.join(20)


def _quietly(address: str, body: Any) -> None:
    with suppress(OSError, http.client.HTTPException):  # the server is gone, as it should be
        ask("POST", address, body)


# -- inputs by reference -----------------------------------------------------------------------------


def refer(server: str, href: Any) -> Answer:
    return ask("POST", f"{server}/processes/double/execution", {"inputs": {"rain": {"href": href}}})


def test_an_input_that_stands_elsewhere_is_fetched_where_the_servers_owner_allows_it() -> None:
    asked: list[str] = []

    def reply(handler: http.server.BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        send(handler, json.dumps(rain(21.0)["rain"]).encode() if handler.path == "/rain.json" else b"<html>")

    Double.let.set()
    with answering(reply) as elsewhere:
        with served(Double, rules=Rules(private=True)) as server:
            assert refer(server, f"{elsewhere}/rain.json").json == {"columns": {"rain": [42.0]}}
            assert asked == ["/rain.json"]
            assert refer(server, f"{elsewhere}/other").status == 400
        asked.clear()
        for rules, why in ((Rules(), "private network"), (Rules(fetches=False), "no inputs by reference")):
            with served(Double, rules=rules) as server:
                answer = refer(server, f"{elsewhere}/rain.json")
                assert answer.status == 400
                assert why in answer.json["detail"]
        assert asked == []


@pytest.mark.parametrize(
    "href",
    [
        "file:///etc/passwd",
        "ftp://example.org/x",
        "http://user:word@127.0.0.1/",
        "http:///x",
        "/rain.json",
        7,
        None,
    ],
    ids=str,
)
def test_a_reference_that_leads_nowhere_is_refused(href: Any) -> None:
    Double.let.set()
    with served(Double) as server:
        answer = refer(server, href)
    assert answer.status == 400
    assert answer.headers["content-type"].startswith("application/problem+json")
