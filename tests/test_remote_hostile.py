"""What is done about servers that misbehave: endless, slow, compressed, elsewhere, or none of ours."""

from __future__ import annotations

import gzip
import http.server
import itertools
import json
import socket
import ssl
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trustme

from ldt_core import errors as e
from ldt_core.remote.net import Client, Limits, Policy, place_of
from tests.afar import Reply, answering, failing, send


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LDT_CACHE", str(tmp_path / "cache"))


def bomb(handler: http.server.BaseHTTPRequestHandler) -> None:
    send(handler, gzip.compress(b" " * 200_000_000, 1), Content_Encoding="gzip")


MANIFEST = {"id": "x", "kind": "model", "contract": 1, "inputs": {}, "outputs": {}, "params": {}}


def speaks(document: Any) -> Reply:
    """A server with a manifest and an interface document of this content."""

    def reply(handler: http.server.BaseHTTPRequestHandler) -> None:
        found = document if handler.path.startswith("/api") else MANIFEST
        send(handler, json.dumps(found).encode())

    return reply


@pytest.mark.parametrize(
    "reply",
    [
        lambda h: send(h, b"{}"),
        lambda h: send(h, b"", 500),
        lambda h: send(h, b"<html>", Content_Type="text/html"),
        lambda h: send(h, b"[" * 100_000),
        lambda h: send(h, b"", 302, Location="http://10.0.0.1/"),
        lambda h: send(h, b"", 302, Location="file:///etc/passwd"),
        bomb,
        speaks({"swagger": "2.0", "info": {"title": "t", "version": "1"}, "paths": {}}),
        speaks({"openapi": "3.1.0"}),
    ],
    ids=[
        "empty object",
        "500",
        "html",
        "deep",
        "redirect inside",
        "redirect to a file",
        "bomb",
        "swagger",
        "no paths",
    ],
)
def test_a_server_that_is_none_of_ours_is_an_error_in_its_place(tmp_path: Path, reply: Reply) -> None:
    with answering(reply) as address:
        for error in failing(tmp_path, address):
            assert error.where.startswith("twin.yaml:5:") or address in str(error), error
            assert error.fix
            assert error.exit_code in (11, 15), error


def test_nobody_there_is_told_as_unreachable(tmp_path: Path) -> None:
    with answering(lambda h: send(h, b"{}")) as address:
        pass
    (error,) = failing(tmp_path, address)
    assert (error.code, error.exit_code) == ("unreachable", 15)


# -- without an end ------------------------------------------------------------------------------------


@contextmanager
def pouring(
    pieces: Iterable[bytes], pause: float = 0.0, tls: ssl.SSLContext | None = None
) -> Iterator[tuple[str, list[int]]]:
    """A server that reads a request and sends pieces until nobody takes them; and how many bytes it sent."""
    listener = socket.create_server(("127.0.0.1", 0))
    sent: list[int] = []
    ended = threading.Event()

    def serve(client: socket.socket) -> None:
        with (
            suppress(OSError),
            client if tls is None else tls.wrap_socket(client, server_side=True) as client,
        ):
            client.recv(1 << 16)
            for piece in pieces:
                if ended.wait(pause) if pause else ended.is_set():
                    return
                client.sendall(piece)
                sent.append(len(piece))

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{listener.getsockname()[1]}", sent
    finally:
        ended.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def client_of(address: str, **limits: Any) -> Client:
    return Client(Policy(trusted=frozenset({place_of(address).name})), Limits(**limits))


OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
ROOM = b" " * (1 << 16)


@pytest.mark.parametrize(
    "pieces",
    [
        itertools.chain([OK + b"\r\n"], itertools.repeat(ROOM)),
        itertools.chain(
            [OK + b"Transfer-Encoding: chunked\r\n\r\n"], itertools.repeat(b"10000\r\n" + ROOM + b"\r\n")
        ),
        [OK + b"Content-Length: 1000000000000\r\n\r\n"],
    ],
    ids=["no length", "chunks", "a length beyond all"],
)
def test_a_body_without_an_end_is_given_up_at_the_limit(pieces: Iterable[bytes]) -> None:
    with pouring(pieces) as (address, sent):
        client = client_of(address, largest=1 << 20)
        with pytest.raises(e.RemoteError, match="larger than 1048576 bytes") as caught:
            client.ask("GET", f"{address}/")
        assert caught.value.code == "too large"
        client.close()
    assert sum(sent) < 64 << 20  # what the sockets between hold


SLOW = [bytes([b]) for b in b"x" * 150]
"""What would take a client who waits for it to the end some fifteen times as long as it may take."""


@pytest.mark.parametrize(
    "pieces",
    [
        [OK + b"Content-Length: 150\r\n\r\n", *SLOW],
        [OK + b"\r\n", *SLOW],
        [OK + b"Transfer-Encoding: chunked\r\n\r\n", *[b"1\r\nx\r\n"] * 150, b"0\r\n\r\n"],
        [OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", *[b"More: and more\r\n"] * 150, b"\r\n"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSlow: ", *SLOW, b"\r\n\r\n"],
        [*[b"HTTP/1.1 100 Continue\r\n\r\n"] * 150, OK + b"Content-Length: 0\r\n\r\n"],
    ],
    ids=["body", "body without length", "chunks", "trailers", "headers", "continue"],
)
def test_an_answer_that_drips_is_given_up_when_its_time_is_over(pieces: list[bytes]) -> None:
    """Each byte comes well within the time for one, and the whole would be an answer if it were waited for."""
    with pouring(pieces, pause=0.05) as (address, sent):
        client = client_of(address, read=5.0, total=0.5)
        with pytest.raises(e.Unreachable, match="too long"):
            client.ask("GET", f"{address}/")
        client.close()
        assert len(sent) < len(pieces)


# -- over TLS ------------------------------------------------------------------------------------------


def certified(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """One that this machine trusts."""
    made = trustme.CA()
    made.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return made


HELLO = [OK + b"Content-Length: 2\r\n\r\n", b"{}"]


def test_a_server_that_proves_who_it_is_is_asked_over_tls(authority: trustme.CA) -> None:
    with pouring(HELLO, tls=certified(authority, "127.0.0.1")) as (address, _):
        client = client_of(address)
        assert bytes(client.ask("GET", f"{address}/").body) == b"{}"
        client.close()
    slow = [OK + b"Content-Length: 150\r\n\r\n", *SLOW]
    with pouring(slow, pause=0.05, tls=certified(authority, "127.0.0.1")) as (address, sent):
        client = client_of(address, read=5.0, total=0.5)
        with pytest.raises(e.Unreachable, match="too long"):
            client.ask("GET", f"{address}/")
        client.close()
        assert len(sent) < len(slow)


@pytest.mark.parametrize("which", ["another name", "an authority that nobody knows"])
def test_a_server_that_cannot_prove_who_it_is_is_told_nothing(authority: trustme.CA, which: str) -> None:
    tls = (
        certified(authority, "other.example")
        if which == "another name"
        else certified(trustme.CA(), "127.0.0.1")
    )
    with pouring(HELLO, tls=tls) as (address, sent):
        client = client_of(address)
        with pytest.raises(e.RemoteError, match="cannot prove who it is") as caught:
            client.ask("GET", f"{address}/")
        assert caught.value.code == "refused"
        client.close()
        assert sent == []


# -- elsewhere -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("near", ["127.0.0.1", "10.0.0.7", "::1", "169.254.169.254", "::ffff:127.0.0.1"])
def test_a_name_that_changes_its_mind_leads_nowhere_else(near: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was judged is what is connected to; when the name is looked up again, it is judged again."""
    looked_up: list[str] = []
    connected: list[Any] = []

    def stands_for(host: str, port: int, **options: Any) -> list[Any]:
        looked_up.append(host)
        address = "93.184.215.14" if len(looked_up) == 1 else near
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [(family, socket.SOCK_STREAM, 6, "", (address, port))]

    def connect(self: socket.socket, address: Any) -> None:
        connected.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", stands_for)
    monkeypatch.setattr(socket.socket, "connect", connect)
    client = Client(Policy(http=True), Limits(attempts=3))
    with pytest.raises(e.RemoteError, match="private network") as caught:
        client.ask("GET", "http://rebinding.example:8080/")
    assert caught.value.code == "refused"
    assert looked_up == ["rebinding.example"] * 2
    assert connected == [("93.184.215.14", 8080)]


DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "x", "version": "1"},
    "paths": {"/processes/x/execution": {"post": {"responses": {"200": {"description": "done"}}}}},
}


def referring(reference: str) -> list[tuple[str, Any, Any]]:
    """Manifests and documents that name what lies elsewhere, each in a place of its own."""
    body = {"content": {"application/json": {"schema": {"$ref": reference}}}}
    path = {"$ref": reference}
    inner = {"schemas": {"a": {"$dynamicRef": reference}}}
    property = {"type": "object", "properties": {"p": {"$ref": reference}}}
    dynamic = {"type": "object", "properties": {"p": {"$dynamicRef": reference}}}
    based = {"$id": reference, "type": "object", "properties": {"p": {"$ref": "other"}}}
    return [
        ("a path", MANIFEST, {**DOCUMENT, "paths": {**DOCUMENT["paths"], "/a": path}}),
        ("a response", MANIFEST, {**DOCUMENT, "components": {"responses": {"a": {"$ref": reference}}}}),
        ("a body", MANIFEST, {**DOCUMENT, "components": {"requestBodies": {"a": body}}}),
        ("a schema", MANIFEST, {**DOCUMENT, "components": inner}),
        ("a dialect", MANIFEST, {**DOCUMENT, "jsonSchemaDialect": reference}),
        ("params", {**MANIFEST, "params": property}, DOCUMENT),
        ("dynamic params", {**MANIFEST, "params": dynamic}, DOCUMENT),
        ("params with a base", {**MANIFEST, "params": based}, DOCUMENT),
        ("params of a dialect", {**MANIFEST, "params": {"$schema": reference, "type": "object"}}, DOCUMENT),
    ]


@pytest.mark.parametrize("number", range(9), ids=[name for name, *_ in referring("")])
def test_what_a_document_names_elsewhere_is_not_asked_for(number: int, tmp_path: Path) -> None:
    asked: list[str] = []

    def overhear(handler: http.server.BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        send(handler, b'{"type": "string"}')

    with answering(overhear) as elsewhere:
        name, manifest, document = referring(f"{elsewhere}/schema.json")[number]

        def reply(handler: http.server.BaseHTTPRequestHandler) -> None:
            found = document if handler.path.startswith("/api") else manifest
            send(handler, json.dumps(found).encode())

        with answering(reply) as address:
            errors = failing(tmp_path, address, '{p: "x"}')
        assert asked == []
        assert "dialect" in name or "outside itself" in str(errors[0])
        assert all(error.fix for error in errors)
        assert {error.exit_code for error in errors} <= {10, 15}


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"p": {"$ref": "#/$defs/nowhere"}}},
        {"properties": {"p": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"$ref": "#/$defs/a"}}},
    ],
    ids=["nowhere", "in a circle"],
)
def test_a_schema_that_leads_nowhere_is_told_in_its_place(tmp_path: Path, schema: Any) -> None:
    def reply(handler: http.server.BaseHTTPRequestHandler) -> None:
        found = DOCUMENT if handler.path.startswith("/api") else {**MANIFEST, "params": schema}
        send(handler, json.dumps(found).encode())

    with answering(reply) as address:
        (error,) = failing(tmp_path, address, '{p: "x"}')
        assert error.where.startswith("twin.yaml:5:")
        assert "schema cannot be read" in error.what
