"""How a service is asked: within a budget, whatever comes; nothing is followed, unpacked or asked twice."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ldt_conformance.checks import service_limits
from ldt_conformance.example import Example
from ldt_conformance.interface import Interface
from ldt_conformance.requirements import catalogue
from ldt_conformance.services import Asker, Request, Unanswered
from ldt_conformance.trial import CannotTell, Failed, Trial

Reply = Callable[[socket.socket], None]


@contextmanager
def answering(reply: Reply) -> Iterator[tuple[str, list[bytes]]]:
    """The address of a server that answers each connection by ``reply``, and what it was sent first."""
    seen: list[bytes] = []
    over = threading.Event()

    def serve(listener: socket.socket) -> None:
        while not over.is_set():
            with suppress(OSError):
                line, _ = listener.accept()
                with line:
                    seen.append(line.recv(1 << 16))
                    reply(line)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/base", seen
        finally:
            over.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def says(text: bytes) -> Reply:
    return lambda line: line.sendall(text)


def drips(before: bytes, byte: bytes) -> Reply:
    """Goes on for ever, a byte at a time."""

    def reply(line: socket.socket) -> None:
        line.sendall(before)
        while True:
            line.sendall(byte)
            time.sleep(0.05)

    return reply


def stops(before: bytes) -> Reply:
    """Sends a part and then nothing, until the other side has gone."""

    def reply(line: socket.socket) -> None:
        line.sendall(before)
        line.recv(1)

    return reply


HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("reply", "how"),
    [
        (says(b""), "closed"),
        (says(HEAD[:9]), "garbled"),
        (says(b"SSH-2.0-OpenSSH\r\n"), "garbled"),
        (says(HEAD + b"Content-Length: 10\r\n\r\nabc"), "closed"),
        (says(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"), "closed"),
        (says(HEAD + b"X: y\r\n" * 1000 + b"\r\n"), "garbled"),
        (says(HEAD + b"X: " + b"y" * 100_000 + b"\r\n\r\n"), "garbled"),
        (says(HEAD + b"\r\n" + b" " * (16 * 2**20 + 1)), "endless"),
        (stops(b""), "late"),
        (stops(HEAD), "late"),
        (stops(HEAD + b"Content-Length: 10\r\n\r\nabc"), "late"),
        (drips(b"", b"X"), "endless"),
        (drips(HEAD, b"X"), "endless"),
        (drips(HEAD + b"\r\n", b" "), "endless"),
        (drips(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"), "endless"),
    ],
)
def test_what_is_no_whole_answer_ends_in_time_and_is_told(reply: Reply, how: str) -> None:
    with answering(reply) as (address, _), pytest.raises(Unanswered) as told:
        Asker(address, patience=0.3).get("/x")
    assert told.value.how == how, told.value.what


def test_a_redirect_is_an_answer() -> None:
    with answering(says(b"HTTP/1.1 302 Found\r\nLocation: http://10.0.0.1/\r\n\r\n")) as (address, seen):
        answer = Asker(address).get("/x")
    assert answer.status == 302
    assert "to http://10.0.0.1/" in str(answer)
    assert len(seen) == 1


def test_nothing_is_unpacked() -> None:
    packed = gzip.compress(b" " * 1000)
    with answering(says(HEAD + b"Content-Encoding: gzip\r\n\r\n" + packed)) as (address, _):
        assert Asker(address).get("/x").body == packed


def test_a_request_goes_out_as_it_is_written() -> None:
    with answering(says(HEAD + b"\r\n")) as (address, seen):
        asker = Asker(address, "secret")
        asker.ask(Request("ODD", "/%00?x=%ff", b"body", {"Accept": None, "X-Odd": "\xff"}))
        asker.ask(Request("GET", "/"), token=None)
        asker.ask(Request("GET", "/"), token="other")
    lines = seen[0].split(b"\r\n")
    assert lines[0] == b"ODD /base/%00?x=%ff HTTP/1.1"
    assert b"X-Odd: \xff" in lines
    assert b"Authorization: Bearer secret" in lines
    assert b"Content-Length: 4" in lines
    assert not [line for line in lines if line.startswith(b"Accept:")]
    assert b"Authorization" not in seen[1]
    assert b"Authorization: Bearer other" in seen[2]


def test_an_answer_that_comes_before_all_was_sent_is_read() -> None:
    """The server closes what it will not read: the connection breaks while it is written to."""
    with answering(says(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")) as (address, _):
        asker = Asker(address)
        pieces = [asker.head(Request("POST", "/x", headers={"Content-Length": str(10**9)}))]
        answer = asker.send([*pieces, *[b"x" * (1 << 20)] * 1000], "POST")
    assert answer.status == 413


def test_a_budget_that_is_spent_is_no_fault_of_the_service() -> None:
    with answering(says(HEAD + b"\r\n")) as (address, _):
        asker = Asker(address, seconds=0.0)
        with pytest.raises(CannotTell, match="budget of 0 s"):
            asker.get("/x")


def test_nobody_there_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    asker = Asker(f"http://127.0.0.1:{port}")
    with pytest.raises(Unanswered) as told:
        asker.get("/x")
    assert told.value.how == "nobody"
    assert not asker.met


# -- what becomes of what is no HTTP ---------------------------------------------------------------------


def _sent(address: str) -> Trial:
    """A trial in which something broken was sent there."""
    requirement = catalogue()["LDT-HTTP-LIM-01"]
    trial = Trial(requirement, cast(Any, SimpleNamespace(address=address)), Example(), quick=True)
    with Interface(trial) as service:
        service_limits._outlived(service, "bytes", b"\x00\r\n\r\n")
    return trial


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 400 Bad\r\n\r\n", b"HTTP/1.1 501 No\r\n\r\n", b"\x15\x03\x01"]
)
def test_what_is_no_http_may_be_refused_or_not_answered(answer: bytes) -> None:
    with answering(says(answer)) as (address, _):
        assert _sent(address).observations == 1


def test_what_is_no_http_may_not_be_a_server_error() -> None:
    with (
        answering(says(b"HTTP/1.1 500 Oh\r\n\r\n")) as (address, _),
        pytest.raises(Failed, match="server error"),
    ):
        _sent(address)


def test_a_service_that_is_gone_before_is_a_failure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(Failed, match="gone"):
        _sent(f"http://127.0.0.1:{port}")
