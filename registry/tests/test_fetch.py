"""Attack 21: an address that somebody gave us leads to public servers only, whatever it stands for and wherever it turns."""

from __future__ import annotations

import socket
import ssl
from typing import Any

import pytest
from ldt_registry.fetch import get, get_json
from ldt_registry.problems import Refused
from ldt_registry.registry import Registry
from outside import Answer, place, serving, trusting

pytestmark = pytest.mark.parametrize("database", ["sqlite"])

INWARD = [
    "127.0.0.1", "127.8.8.8", "0.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "192.0.0.8", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.88.99.1",
    "::1", "::", "fe80::1", "fec0::1", "fd00::1", "ff02::1", "::ffff:127.0.0.1", "::127.0.0.1", "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::7f00:1", "2002:7f00:1::", "2002:a00:1::1", "2001:0:7f00:1::",
    "2001:db8::1", "3fff::1", "5f00::1",
]  # fmt: skip


class Connected(OSError):
    """Where a connection would have gone."""


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[list[str]]]:
    """What names stand for, one list of addresses for each time that they are asked for; connections are not made."""
    answers: dict[str, list[list[str]]] = {}

    def find(host: str, port: int, **_: Any) -> list[Any]:
        turn = answers[host]
        found = turn.pop(0) if len(turn) > 1 else turn[0]
        return [
            (socket.AF_INET6 if ":" in a else socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port))
            for a in found
        ]

    def connect(_: Any, address: Any) -> None:
        raise Connected(address[0])

    monkeypatch.setattr(socket, "getaddrinfo", find)
    monkeypatch.setattr(socket.socket, "connect", connect)
    return answers


@pytest.mark.parametrize("address", INWARD)
def test_an_address_in_a_private_network_is_not_asked(
    registry: Registry, names: dict[str, list[list[str]]], address: str
) -> None:
    names["public.example.org"] = [[address]]
    with pytest.raises(Refused, match="private network"):
        get(registry, "https://public.example.org/x")
    names["public.example.org"] = [["1.1.1.1", address]]
    with pytest.raises(Refused, match="private network"):
        get(registry, "https://public.example.org/x")


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700::1111", "64:ff9b::101:101"])
def test_a_public_address_is_asked(
    registry: Registry, names: dict[str, list[list[str]]], address: str
) -> None:
    names["public.example.org"] = [[address]]
    with pytest.raises(Refused, match=f"Connected: {address}"):
        get(registry, "https://public.example.org/x")


def test_a_name_that_changes_its_mind_is_asked_once(
    registry: Registry, names: dict[str, list[list[str]]]
) -> None:
    names["rebinding.example.org"] = [["1.1.1.1"], ["127.0.0.1"]]
    with pytest.raises(Refused, match=r"Connected: 1\.1\.1\.1"):
        get(registry, "https://rebinding.example.org/x")
    with pytest.raises(Refused, match="private network"):
        get(registry, "https://rebinding.example.org/x")


@pytest.mark.parametrize(
    "address",
    [
        "file:///etc/passwd", "gopher://example.org/", "ftp://example.org/", "http://example.org/", "//example.org/x",
        "https://user:pass@example.org/", "https://example.org:22/", "https://example.org:8443/", "https:///x",
        "https://example.org/\r\nHost: inner", "https://example.org/ x", "https://[::1", "https://example.org:port/",
        "javascript:alert(1)", "", "https://0x7f.1/", "https://2130706433/", "https://017700000001/", "https://localhost/",
    ],
)  # fmt: skip
def test_an_address_that_is_odd_is_not_asked(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    def connect(_: Any, where: Any) -> None:
        raise AssertionError(where)

    monkeypatch.setattr(socket.socket, "connect", connect)
    with pytest.raises(Refused):
        get(registry, address)


def test_a_trusted_host_of_the_own_network_is_asked_and_no_other(
    registry: Registry, certificate: ssl.SSLContext
) -> None:
    with serving(certificate, lambda _: (200, {}, b'{"a": 1}')) as (address, asked):
        with pytest.raises(Refused):
            get(registry, f"{address}/x")
        assert asked == []
        assert get_json(trusting(registry, place(address)), f"{address}/x") == {"a": 1}
        with pytest.raises(Refused):
            get(trusting(registry, "localhost:443"), f"{address}/x")
    assert asked == ["/x"]


def test_redirects_lead_to_no_other_host_and_end(registry: Registry, certificate: ssl.SSLContext) -> None:
    inner_asked: list[str]
    with serving(certificate, lambda _: (200, {}, b"secret")) as (inner, inner_asked):

        def answer(path: str) -> Answer:
            turns = {
                "/near": "/here",
                "/away": f"{inner}/x",
                "/meta": "http://169.254.169.254/latest/",
                "/file": "file:///etc/passwd",
                "/plain": "http://localhost/",
                "/loop": "/loop",
                "/chain": "/near",
                "/long": "/chain",
            }
            return (302, {"Location": turns[path]}, b"") if path in turns else (200, {}, b"here")

        with serving(certificate, answer) as (address, _):
            asking = trusting(registry, place(address))
            assert get(asking, f"{address}/near") == get(asking, f"{address}/chain") == b"here"
            for path in ("/away", "/meta", "/file", "/plain", "/loop", "/long"):
                with pytest.raises(Refused):
                    get(asking, f"{address}{path}")
            both = trusting(registry, place(address), place(inner))
            with pytest.raises(Refused, match="another host"):
                get(both, f"{address}/away")
        assert inner_asked == []


def test_an_answer_that_is_no_answer_is_refused(registry: Registry, certificate: ssl.SSLContext) -> None:
    def answer(path: str) -> Answer:
        if path == "/large":
            return 200, {}, b"x" * (2 * 1024 * 1024)
        if path == "/packed":
            return 200, {"Content-Encoding": "gzip"}, b"x"
        if path == "/deep":
            return 200, {}, b"[" * 100_000
        return 404, {}, b"no"

    with serving(certificate, answer) as (address, _):
        asking = trusting(registry, place(address))
        for path in ("/large", "/packed", "/deep", "/none"):
            with pytest.raises(Refused):
                get_json(asking, f"{address}{path}")


def test_a_server_that_cannot_prove_its_name_is_not_believed(
    registry: Registry, certificate: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(certificate, lambda _: (200, {}, b"x")) as (address, asked):
        other = address.replace("localhost", "127.0.0.1")
        with pytest.raises(Refused, match="cannot prove"):
            get(trusting(registry, place(other)), f"{other}/x")
        monkeypatch.delenv("SSL_CERT_FILE")
        with pytest.raises(Refused, match="cannot prove"):
            get(trusting(registry, place(address)), f"{address}/x")
    assert asked == []
