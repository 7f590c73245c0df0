"""Whether a service outlives what is too much, too slow, or no HTTP at all."""

from __future__ import annotations

import socket
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any

from ..interface import Interface, check_service
from ..services import Answer, Request, Unanswered
from ..trial import CannotTell

MOST = 256 * 2**20
"""Bytes of a body that no service has to take."""
SLOW = 24
"""Clients that send half a request and wait."""
SHORT = 2.0
"""Seconds that the answer to a broken request is waited for."""


@check_service("LDT-HTTP-LIM-01")
def it_outlives_what_is_too_much(service: Interface) -> None:
    good = service.good
    service.granted(good)
    if good.body is not None:
        target = replace(good, body=None)
        _refused(service, "a body without end", _endless(service, target))
        _refused(service, "a body that unpacks to a thousand times its size", [_packed(service, target)])
    for what, raw in _broken(service, good):
        _outlived(service, what, raw)
        _alive(service, what)
    _others_are_served(service, good)
    service.granted(good)


def _alive(service: Interface, after: str) -> None:
    """Count one observation: it gives its manifest."""
    try:
        answer = service.asker.get("/component")
        why = "" if answer.status == 200 else str(answer)
    except Unanswered as exc:
        why = exc.what
    service.trial.expect(
        not why, f"after {after} the service does not answer any more", given=after, expected="200", got=why
    )


# -- too much -----------------------------------------------------------------------------------------


def _endless(service: Interface, target: Request) -> Iterator[bytes]:
    """A JSON text in chunks that goes on until it is answered; after ``MOST`` bytes it is ended as it should be."""
    head = {**target.headers, "Transfer-Encoding": "chunked"}
    yield service.asker.head(replace(target, headers=head))
    piece = b"a" * (1 << 16)
    yield _chunk(b'{"params": {}, "unknown": "')
    for _ in range(0, MOST, len(piece)):
        yield _chunk(piece)
    yield _chunk(b'"}') + b"0\r\n\r\n"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _packed(service: Interface, target: Request) -> bytes:
    """A gigabyte of blanks, packed to a megabyte."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    member = packer.compress(b" " * 2**20) + packer.flush()
    body = member * 1024
    said = {**target.headers, "Content-Encoding": "gzip", "Content-Length": str(len(body))}
    return service.asker.head(replace(target, headers=said)) + body


def _refused(service: Interface, what: str, pieces: Any) -> None:
    got: Any
    try:
        answer = service.asker.send(pieces, "POST")
        holds, got = 400 <= answer.status < 500, str(answer)
    except Unanswered as exc:
        if exc.how == "late":
            raise CannotTell(f"{what}: {exc.what}") from exc
        holds, got = exc.how == "closed", exc.what
    service.trial.expect(
        holds, f"{what} is not refused", given=what, expected="4xx, or a closed connection", got=got
    )
    _alive(service, what)


# -- broken -------------------------------------------------------------------------------------------


def _broken(service: Interface, good: Request) -> Iterator[tuple[str, bytes]]:
    """What is no HTTP, or no end of it."""
    post = replace(good, method="POST", body=None, headers={"Content-Type": "application/json"})

    def head(**headers: str | None) -> bytes:
        return service.asker.head(replace(post, headers={**post.headers, **_names(headers)}))

    plain = service.asker.head(Request("GET", "/component"))
    line = plain.partition(b"\r\n")[0]
    yield "a body that ends too early", head(Content_Length="1000") + b'{"params"'
    yield "a length of minus one", head(Content_Length="-1") + b"{}"
    yield "a length that is no number", head(Content_Length="many") + b"{}"
    yield "a length of 400 digits", head(Content_Length="9" * 400) + b"{}"
    yield "chunks without a size", head(Transfer_Encoding="chunked") + b"zz\r\n{}\r\n0\r\n\r\n"
    yield "a chunk of minus one", head(Transfer_Encoding="chunked") + b"-1\r\n{}\r\n0\r\n\r\n"
    yield "a chunk larger than it is", head(Transfer_Encoding="chunked") + b"ffffffffff\r\n{}"
    yield "chunks that do not end", head(Transfer_Encoding="chunked") + b"2\r\n{}\r\n"
    yield "an unknown encoding", head(Transfer_Encoding="klingon") + b"{}"
    yield "no request line", b"\r\n\r\n\r\n"
    yield "bytes", bytes(range(256)) * 4
    yield (
        "TLS where there is none, or the other way round",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64,
    )
    yield "HTTP of a version to come", line.replace(b"HTTP/1.1", b"HTTP/9.9") + b"\r\n\r\n"
    yield "a header without a name", line + b"\r\nHost: x\r\n: y\r\n\r\n"
    yield "NUL in a header", line + b"\r\nHost: x\r\nX: a\0b\r\n\r\n"
    yield "half a request line", b"GET /compo"
    yield "half a header", line + b"\r\nHost: x\r\nAcc"
    yield (
        "20,000 headers",
        line + b"\r\nHost: x\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(20_000)) + b"\r\n",
    )
    yield "a header of a megabyte", line + b"\r\nHost: x\r\nX: " + b"y" * 2**20 + b"\r\n\r\n"
    yield (
        "a path of a megabyte",
        line.replace(b" HTTP", b"/" + b"a" * 2**20 + b" HTTP") + b"\r\nHost: x\r\n\r\n",
    )


def _names(headers: dict[str, str | None]) -> dict[str, str | None]:
    return {n.replace("_", "-"): v for n, v in headers.items()}


def _outlived(service: Interface, what: str, raw: bytes) -> None:
    """Count one observation: it is answered by anything but a server error (that there is no such version or encoding is
    none), or not at all."""
    answer: Answer | None = None
    try:
        with service.asker.connect() as line:
            line.settimeout(SHORT)
            with suppress(OSError):
                line.sendall(raw)
                line.shutdown(socket.SHUT_WR)
            with suppress(Unanswered):
                answer = service.asker.read(line, patience=SHORT)
    except Unanswered as exc:
        service.trial.fail(f"before {what} the service is gone", given=what, got=exc.what)
    service.trial.expect(
        answer is None or answer.status < 500 or answer.status in (501, 505),
        f"{what} is answered by a server error",
        given=raw[:200].decode(errors="backslashreplace"),
        expected="4xx, or a closed connection",
        got=str(answer),
    )


# -- slow ---------------------------------------------------------------------------------------------


def _others_are_served(service: Interface, good: Request) -> None:
    """While some send half a request and wait, everybody else is served."""
    asker = service.asker
    whole = asker.head(replace(good, headers={**good.headers, "Content-Length": "1000"})) + b'{"params": '
    with ExitStack() as stack:
        for number in range(SLOW):
            try:
                line = stack.enter_context(asker.connect())
                line.sendall(whole if number % 2 and good.body is not None else whole[:40])
            except (OSError, Unanswered):
                break  # it takes no more of them, which is its right; others are served all the same
        try:
            answer: Any = asker.ask(good)
            holds = answer.status == (201 if good.target == "/sessions" else 200)
        except Unanswered as exc:
            holds, answer = False, exc.what
        service.trial.expect(
            holds,
            f"{SLOW} clients that send slowly hold up everybody else",
            given=f"{SLOW} connections, each with half a request; then {good.method} {good.target[:80]}",
            expected="an answer",
            got=str(answer),
        )
    _alive(service, f"{SLOW} slow clients")
