"""Uploads that are too large, too slow or never end: each is ended with a status that speaks, and nothing stays."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from dists import fields, make_token, make_wheel
from ldt_registry.checkers import Bounds, Checkers
from ldt_registry.distribution import Distribution
from ldt_registry.problems import Malformed, Refused
from ldt_registry.registry import Registry
from servers import Served, until

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
LARGEST = 2**20
HEAD = b'--b\r\nContent-Disposition: form-data; name="content"; filename="heat_load-1.0-py3-none-any.whl"\r\n\r\n'


@pytest.fixture
def small(registry: Registry) -> Registry:
    """It takes files of a mebibyte."""
    settings = registry.settings.model_copy(
        update={"max_file": LARGEST, "max_field": 2000, "max_fields": 100}
    )
    return dataclasses.replace(registry, settings=settings)


def begin(address: str, token: str, *headers: str, body: bytes = b"") -> socket.socket:
    """Open an upload and send what is said of its body."""
    basic = base64.b64encode(f"__token__:{token}".encode()).decode()
    lines = ["POST /legacy/ HTTP/1.1", "Host: x", f"Authorization: Basic {basic}"]
    lines += ["Content-Type: multipart/form-data; boundary=b", *headers]
    host, port = address.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=60)
    connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    return connection


def status(connection: socket.socket) -> int:
    """Of the answer; 0 where the connection ended without one."""
    try:
        words = connection.makefile("rb").readline().split()
    except ConnectionError:
        return 0
    return int(words[1]) if words else 0


def empty(registry: Registry) -> bool:
    return not list(registry.blobs.staging.iterdir())


def test_a_file_that_is_too_large_is_refused_before_its_body_is_read(
    small: Registry, serve: Callable[[Registry], Served]
) -> None:
    served = serve(small)
    with begin(
        served.address, make_token(small), "Content-Length: 99999999999", "Expect: 100-continue"
    ) as connection:
        assert status(connection) == 413
    with begin(served.address, "wrong", "Content-Length: 99999999999", "Expect: 100-continue") as connection:
        assert status(connection) == 401
    assert empty(small)


def test_a_body_of_no_said_length_is_cut_off_where_it_passes_the_limit(
    small: Registry, serve: Callable[[Registry], Served]
) -> None:
    stream_zeros(serve(small), small, 4 * LARGEST)


@pytest.mark.slow
def test_two_gibibytes_of_zeros_are_cut_off(registry: Registry, serve: Callable[[Registry], Served]) -> None:
    stream_zeros(serve(registry), registry, 2 * 2**30)


def stream_zeros(served: Served, registry: Registry, size: int) -> None:
    sent = 0

    def body() -> Iterator[bytes]:
        nonlocal sent
        yield HEAD
        while sent < size:
            yield bytes(65536)
            sent += 65536

    try:
        answer = httpx.post(
            f"{served.address}/legacy/",
            content=body(),
            headers={"Content-Type": "multipart/form-data; boundary=b"},
            auth=("__token__", make_token(registry)),
            timeout=60,
        )
        assert answer.status_code == 413
        assert "larger" in answer.json()["detail"]
    except (httpx.WriteError, httpx.ReadError):
        assert sent < size, "a client that sends on and on is cut off"
    until(lambda: empty(registry), what="the staging folder")


def test_a_long_text_field_passes_and_one_over_the_limit_is_refused(
    small: Registry, serve: Callable[[Registry], Served]
) -> None:
    served, auth = serve(small), ("__token__", make_token(small))
    for length, expected in ((2001, 413), (1999, 200)):
        name, content = make_wheel()
        answer = httpx.post(
            f"{served.address}/legacy/",
            data=fields(name, content) | {"description": "x" * length},
            files={"content": (name, content)},
            auth=auth,
        )
        assert answer.status_code == expected
    assert empty(small)


def test_a_connection_that_ends_in_the_middle_leaves_nothing(
    registry: Registry, serve: Callable[[Registry], Served]
) -> None:
    served, token = serve(registry), make_token(registry)
    for _ in range(10):
        connection = begin(served.address, token, "Content-Length: 5000000", body=HEAD + bytes(100_000))
        until(lambda: not empty(registry), what="an upload under way")
        connection.close()
        until(lambda: empty(registry), what="the staging folder")
    assert httpx.get(f"{served.address}/simple/").status_code == 200


def test_a_body_that_trickles_is_ended(registry: Registry, serve: Callable[[Registry], Served]) -> None:
    settings = registry.settings.model_copy(update={"upload_seconds": 0.3})
    served = serve(dataclasses.replace(registry, settings=settings))
    with begin(
        served.address, make_token(registry), "Content-Length: 5000000", body=HEAD + b"x"
    ) as connection:
        assert status(connection) == 408
        connection.settimeout(30)
        while connection.recv(65536):
            pass  # what is left of the answer; then the server closes
    until(lambda: empty(registry), what="the staging folder")


def test_a_nearly_full_disk_takes_no_upload_and_serves_its_pages(
    registry: Registry, serve: Callable[[Registry], Served]
) -> None:
    settings = registry.settings.model_copy(update={"keep_free": 2**60})
    served = serve(dataclasses.replace(registry, settings=settings))
    with begin(served.address, make_token(registry), "Content-Length: 1000") as connection:
        assert status(connection) == 507
    assert httpx.get(f"{served.address}/simple/").status_code == 200


# -- the processes that read archives --


def wheel_at(folder: Path, content: bytes | None = None) -> tuple[Path, str]:
    name, made = make_wheel()
    path = folder / "staged"
    path.write_bytes(made if content is None else content)
    return path, name


def test_a_checker_that_is_killed_is_replaced_and_costs_one_refusal(
    registry: Registry, tmp_path: Path
) -> None:
    checkers = Checkers(count=1)
    path, name = wheel_at(tmp_path)
    assert isinstance(checkers.inspect(path, name), Distribution)
    (checker,) = checkers._idle.queue
    assert checker is not None
    checker._process.kill()
    with pytest.raises(Refused, match="bounds"):
        checkers.inspect(path, name)
    assert checkers.inspect(path, name).norm_name == "heat-load"
    checkers.close()


def test_a_checker_that_takes_too_long_is_ended(registry: Registry, tmp_path: Path) -> None:
    """A pipe in place of a file: reading it never ends."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    checkers = Checkers(count=1, bounds=Bounds(seconds=0.5))
    with pytest.raises(Refused, match="bounds"):
        checkers.inspect(pipe, make_wheel()[0])
    checkers.close()


def test_a_checker_knows_no_secret_and_ends_with_its_server(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LDT_REGISTRY_DATABASE", "postgresql://secret")
    checkers = Checkers(count=1)
    checkers.inspect(*wheel_at(tmp_path))
    (checker,) = checkers._idle.queue
    assert checker is not None
    environment = Path(f"/proc/{checker._process.pid}/environ").read_bytes()
    assert b"secret" not in environment
    assert b"PATH=" in environment
    assert checker._process.stdin is not None
    checker._process.stdin.close()  # what the kernel does when the server is killed
    assert checker._process.wait(30) == 0
    checker._process.stdout and checker._process.stdout.close()


def test_what_is_no_archive_is_malformed(registry: Registry, tmp_path: Path) -> None:
    checkers = Checkers(count=1)
    for content in (b"", b"PK", b"x" * 1000, make_wheel()[1][:-30]):
        with pytest.raises((Malformed, Refused)):
            checkers.inspect(*wheel_at(tmp_path, content))
    checkers.close()


@pytest.fixture
def process(registry: Registry) -> Iterator[str]:
    """The address of this registry, served by the real command."""
    registry.close()
    command = [sys.executable, "-m", "ldt_core.cli", "registry", "serve", "--port", "0", "--json"]
    said = {
        "LDT_REGISTRY_HOME": str(registry.settings.home),
        "LDT_REGISTRY_KEEP_FREE": "0",
        "PYTHONUNBUFFERED": "1",
    }
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | said)
    assert running.stdout is not None
    address = json.loads(running.stdout.readline())["address"]

    def answers() -> bool:
        try:
            return httpx.get(f"{address}/simple/").status_code == 200
        except httpx.TransportError:
            return False

    until(answers, what="the registry")
    yield address
    running.send_signal(signal.SIGTERM)
    running.communicate(timeout=30)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["headers", "body"])
def test_slow_connections_starve_nobody_and_are_all_ended(
    registry: Registry, kind: str, request: Any
) -> None:
    """250 at once that never finish their headers, or that hold a token and trickle a body of no end."""
    token = make_token(registry)
    address = request.getfixturevalue("process")
    host, port = address.removeprefix("http://").split(":")
    if kind == "headers":
        held = [socket.create_connection((host, int(port))) for _ in range(250)]
        for one in held:
            one.sendall(b"POST /legacy/ HTTP/1.1\r\nHost: x\r\nX-Slow: ")
    else:
        held = [begin(address, token, "Content-Length: 5000000", body=HEAD) for _ in range(250)]
    open_ = set(held)
    with httpx.Client(base_url=address) as client, contextlib.ExitStack() as stack:
        for one in held:
            stack.enter_context(one)

        def all_ended() -> bool:
            for one in list(open_):
                try:
                    one.settimeout(0.001)
                    one.sendall(b"x")
                    if not one.recv(4096):
                        open_.discard(one)
                except TimeoutError:
                    continue
                except OSError:
                    open_.discard(one)
            assert client.get("/simple/").status_code == 200
            return not open_

        until(all_ended, what="the end of every slow connection", seconds=120)
    until(lambda: empty(registry), what="the staging folder")
