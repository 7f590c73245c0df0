"""Requests to servers that are not trusted: where they may lead, how long they may take, how large they may grow.

An address is resolved once, every resolved address is judged, and the connection is made to the address that
was judged, so that a name that changes its mind leads nowhere else. Redirects are judged like the first address.
Answers are asked for uncompressed and refused compressed: what was counted is what there is.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import math
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, cast
from urllib.parse import urljoin, urlsplit

from ..errors import Cancelled, LdtError, RemoteError, Unreachable
from .problems import error_of

REDIRECTS = (301, 302, 303, 307, 308)
AGAIN = (429, 502, 503, 504)
_JOINED = 1 << 16


@dataclass(frozen=True)
class Policy:
    """Where a request may lead.

    ``trusted`` hosts (``name:port``) may lie in private networks, and on this machine may speak plain HTTP.
    ``ports`` are those of hosts that are not trusted; ``stay`` follows a redirect only to the same host.
    """

    private: bool = False
    http: bool = False
    trusted: frozenset[str] = frozenset()
    ports: frozenset[int] | None = None
    stay: bool = False


@dataclass(frozen=True)
class Limits:
    """Seconds and bytes. ``attempts`` counts the first try; only what may be repeated is."""

    connect: float = 10.0
    read: float = 60.0
    total: float = 600.0
    largest: int = 1 << 30
    attempts: int = 4
    redirects: int = 4


@dataclass(frozen=True)
class Reply:
    status: int
    media: str
    headers: Mapping[str, str]
    body: Any
    address: str = ""


@dataclass(frozen=True)
class Place:
    """An address, taken apart."""

    scheme: str
    host: str
    port: int
    path: str = field(compare=False, default="/")

    @property
    def name(self) -> str:
        """The host as written, with its port: what is trusted."""
        return f"{self.host}:{self.port}"


@lru_cache(maxsize=1024)
def place_of(address: str) -> Place:
    """Raises ``RemoteError`` for anything but http and https, and for an address with a password in it."""
    try:
        if any(c <= " " or c == "\x7f" for c in address):
            raise ValueError("it holds a blank or a control character")
        parts = urlsplit(address)
        port = parts.port
    except ValueError as exc:
        raise refused(address, str(exc)) from exc
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise refused(address, "an address begins with https://")
    if parts.username is not None or parts.password is not None:
        raise refused(
            "an address", "a name or password stands in it", "write params: {access: {token: ${NAME}}}"
        )
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not path.isascii():
        raise refused(address, "it holds characters that are not ASCII")
    return Place(parts.scheme, parts.hostname, port or (443 if parts.scheme == "https" else 80), path)


def refused(address: str, why: str, fix: str = "") -> RemoteError:
    return RemoteError(f"{address} is not asked: {why}", code="refused", fix=fix or "check the address")


def resolve(place: Place, policy: Policy) -> list[tuple[Any, ...]]:
    """What the host's name stands for, each address judged. Raises ``RemoteError``, ``Unreachable``."""
    trusted = place.name in policy.trusted
    if policy.ports is not None and not trusted and place.port not in policy.ports:
        raise refused(f"{place.scheme}://{place.name}", f"port {place.port} is none of a public server")
    try:
        found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        raise Unreachable(
            f"the host {place.host} is not known: {exc}",
            code="unreachable",
            fix="check the address and the network",
        ) from exc
    near = trusted and all(ipaddress.ip_address(str(a[0]).partition("%")[0]).is_loopback for *_, a in found)
    if place.scheme == "http" and not (policy.http or near):
        raise refused(
            f"http://{place.name}",
            "plain HTTP can be read and changed by others",
            "use https://, or write params: {access: {http: true}}",
        )
    for *_, address in found:
        if not (policy.private or trusted) and not is_public(str(address[0])):
            raise refused(
                f"{place.scheme}://{place.name}",
                f"it stands for {address[0]}, in a private network",
                "name the host itself, or write params: {access: {private: true}}",
            )
    return list(found)


# Reserved, or not routed any more, though some versions of `ipaddress` call them global.
_NOT_PUBLIC = [ipaddress.ip_network(n) for n in ("192.0.0.0/24", "192.88.99.0/24", "3fff::/20")]
_UNICAST = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def is_public(text: str) -> bool:
    """Whether an IP address lies in the public internet, also inside an IPv6 one that stands for it."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        if address not in _UNICAST:
            return False
    listed = any(address.version == n.version and address in n for n in _NOT_PUBLIC)
    return address.is_global and not address.is_multicast and not listed


class _Timed:
    """A socket that reads and writes until ``end`` and no longer, however often a byte comes.

    Looked at here, below the HTTP library: it reads headers, chunks and trailers in loops of its own.
    """

    end = math.inf
    pause = 60.0
    """Seconds that may pass without a byte."""

    def _left(self) -> float:
        left = self.end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def recv_into(self, *words: Any) -> int:
        self.settimeout(min(self.pause, self._left()))  # type: ignore[attr-defined]
        return super().recv_into(*words)  # type: ignore[misc, no-any-return]

    def send(self, *words: Any) -> int:
        self.settimeout(self._left())  # type: ignore[attr-defined]
        return super().send(*words)  # type: ignore[misc, no-any-return]

    def sendall(self, *words: Any) -> None:
        self.settimeout(self._left())  # type: ignore[attr-defined]
        super().sendall(*words)  # type: ignore[misc]


class _Socket(_Timed, socket.socket):
    pass


class _TLSSocket(_Timed, ssl.SSLSocket):
    pass


class _Connection(http.client.HTTPConnection):
    """A connection to an address that was judged."""

    sock: _Socket | _TLSSocket | None

    def __init__(self, place: Place, policy: Policy, limits: Limits) -> None:
        super().__init__(place.host, place.port)
        self._place, self._policy, self._limits = place, policy, limits
        self._end = math.inf
        self._held: list[Any] | None = None

    def set_end(self, end: float) -> None:
        """The instant (``time.monotonic``) at which the next exchange is over."""
        self._end = end
        if self.sock is not None:
            self.sock.end = end

    def request(self, method: str, url: str, body: Any = None, headers: Any = None, **more: Any) -> None:
        """One piece where it is small: the server need not wake twice."""
        whole: list[Any] = []
        self._held = whole
        try:
            super().request(method, url, body, headers or {}, **more)
        finally:
            self._held = None
        if sum(map(len, whole)) < _JOINED:
            whole = [b"".join(whole)]
        for part in whole:
            super().send(part)

    def send(self, data: Any) -> None:
        if self._held is None:
            super().send(data)
        else:
            self._held.append(data)

    def connect(self) -> None:
        last: OSError | None = None
        for family, kind, protocol, _, address in resolve(self._place, self._policy):
            made: _Socket | _TLSSocket = _Socket(family, kind, protocol)
            try:
                made.end, made.pause = self._end, self._limits.read
                made.settimeout(min(self._limits.connect, made._left()))
                made.connect(address)
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self._place.scheme == "https":
                    context = ssl.create_default_context()
                    context.sslsocket_class = _TLSSocket
                    made = cast(_TLSSocket, context.wrap_socket(made, server_hostname=self._place.host))
                    made.end, made.pause = self._end, self._limits.read
            except OSError as exc:
                made.close()
                last = exc
                continue
            self.sock = made
            return
        raise last or OSError("no address")


class Client:
    """Requests to one host, over connections that are kept. May be used by several threads."""

    def __init__(self, policy: Policy, limits: Limits | None = None, token: str | None = None) -> None:
        self.policy, self.limits, self.token = policy, limits or Limits(), token
        self._idle: dict[Place, list[_Connection]] = {}
        self._lock = threading.Lock()

    def ask(
        self,
        method: str,
        address: str,
        *,
        body: bytes | None = None,
        media: str | None = None,
        accept: str = "application/json",
        headers: Mapping[str, str] | None = None,
        repeat: bool | None = None,
        cancelled: Callable[[], bool] = bool,
        good: tuple[int, ...] = (200, 201, 204),
    ) -> Reply:
        """The answer, tried again where ``repeat`` allows (GET, PUT, DELETE by themselves).

        Raises ``Unreachable``, ``RemoteError``, or what the component on the other side raised.
        """
        again = method in ("GET", "PUT", "DELETE") if repeat is None else repeat
        end = time.monotonic() + self.limits.total
        attempt = 0
        while True:
            attempt += 1
            if cancelled():
                raise Cancelled("the run was cancelled", code="cancelled")
            try:
                reply = self._follow(method, address, body, media, accept, headers or {}, end, again)
                if reply.status in good:
                    return reply
                failure: LdtError = error_of(reply.status, _plain(reply), address)
                waits = reply.headers.get("retry-after", "")
                if reply.status not in AGAIN:
                    raise failure
            except Unreachable as exc:
                failure, waits = exc, ""
            pause = min(float(waits) if waits.isdigit() else 0.1 * 2**attempt, 10.0)
            pause *= 0.75 + 0.5 * random.random()  # noqa: S311 - spreads retries, no secret
            if not again or attempt >= self.limits.attempts or time.monotonic() + pause > end:
                raise failure
            time.sleep(pause)

    def _follow(
        self,
        method: str,
        address: str,
        body: bytes | None,
        media: str | None,
        accept: str,
        headers: Mapping[str, str],
        end: float,
        again: bool,
    ) -> Reply:
        first = place_of(address)
        for _ in range(self.limits.redirects + 1):
            place = place_of(address)
            said = {"Accept": accept, "Accept-Encoding": "identity", "User-Agent": "ldt", **headers}
            if media is not None:
                said["Content-Type"] = media
            if self.token is not None and place == first:
                if "\n" in self.token or "\r" in self.token or not self.token.isascii():
                    raise refused(address, "its token holds characters that no header may")
                said["Authorization"] = f"Bearer {self.token}"
            reply = self._once(method, address, place, body, said, end, again)
            target = reply.headers.get("location")
            if reply.status not in REDIRECTS or target is None:
                return reply
            address = urljoin(address, target)
            if place.scheme == "https" and place_of(address).scheme != "https":
                raise refused(address, "a redirect leads from https to plain HTTP")
            if place_of(address) != place and (self.policy.stay or method != "GET"):
                raise refused(address, f"a redirect of a {method} leads to another host")
            if reply.status == 303:
                method, body, media = "GET", None, None
        raise refused(address, f"more than {self.limits.redirects} redirects")

    def _once(
        self,
        method: str,
        address: str,
        place: Place,
        body: bytes | None,
        headers: Mapping[str, str],
        end: float,
        again: bool,
    ) -> Reply:
        with self._borrowed(place, address) as (connection, fresh):
            try:
                return self._exchange(connection, method, place, body, headers, end, address)
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                if fresh or not again:
                    raise
            connection.close()  # it was kept, and the server has closed it meanwhile
            return self._exchange(connection, method, place, body, headers, end, address)

    def _exchange(
        self,
        connection: _Connection,
        method: str,
        place: Place,
        body: bytes | None,
        headers: Mapping[str, str],
        end: float,
        address: str,
    ) -> Reply:
        connection.set_end(end)
        connection.request(method, place.path, body=body, headers=dict(headers))
        with connection.getresponse() as found:
            lower = {k.lower(): v for k, v in found.getheaders()}
            if lower.get("content-encoding", "identity").lower() != "identity":
                raise RemoteError(
                    f"{address} answered compressed, though it was asked not to",
                    code="media type",
                    fix="ask its owner to heed Accept-Encoding: identity",
                )
            content = self._read(found, address)
        media = lower.get("content-type", "").partition(";")[0].strip().lower()
        return Reply(found.status, media, lower, content, address)

    def _read(self, found: http.client.HTTPResponse, address: str) -> Any:
        limit = self.limits.largest
        if found.length is not None:
            if found.length > limit:
                raise too_large(address, limit)
            block = bytearray(found.length)
            view, have = memoryview(block), 0
            while have < len(block):
                count = found.readinto(view[have:])
                if not count:
                    raise http.client.IncompleteRead(b"", len(block) - have)
                have += count
            found.read()
            return block
        parts: list[bytes] = []
        have = 0
        while part := found.read1(1 << 16):
            parts.append(part)
            have += len(part)
            if have > limit:
                raise too_large(address, limit)
        return b"".join(parts)

    @contextmanager
    def _borrowed(self, place: Place, address: str) -> Iterator[tuple[_Connection, bool]]:
        with self._lock:
            waiting = self._idle.setdefault(place, [])
            connection = waiting.pop() if waiting else None
        fresh = connection is None
        connection = connection or _Connection(place, self.policy, self.limits)
        try:
            yield connection, fresh
        except LdtError:
            connection.close()
            raise
        except ssl.SSLError as exc:
            connection.close()
            raise RemoteError(
                f"{address} cannot prove who it is: {exc}",
                code="refused",
                fix="ask its owner for a valid certificate",
            ) from exc
        except (OSError, http.client.HTTPException) as exc:
            connection.close()
            words = "it took too long" if isinstance(exc, TimeoutError) else f"{type(exc).__name__}: {exc}"
            raise Unreachable(
                f"{address} does not answer: {words}",
                code="unreachable",
                fix="see whether it runs, or write a larger params: {access: {timeout: }}; then run again",
            ) from exc
        except BaseException:
            connection.close()
            raise
        with self._lock:
            waiting.append(connection)

    def __del__(self) -> None:
        self.close()  # of a component that was asked for its ports and never ran

    def close(self) -> None:
        with self._lock:
            for connections in self._idle.values():
                for connection in connections:
                    with suppress(OSError):
                        connection.close()
            self._idle.clear()


def _plain(reply: Reply) -> Any:
    try:
        return json.loads(bytes(reply.body[:100_000]))
    except ValueError:
        return None


def too_large(address: str, limit: int) -> RemoteError:
    return RemoteError(
        f"the answer of {address} is larger than {limit} bytes",
        code="too large",
        fix="ask for less, or write params: {access: {largest: SIZE}}",
    )


def fetch(address: str, policy: Policy, limits: Limits | None = None) -> Reply:
    """One document."""
    client = Client(policy, limits)
    try:
        return client.ask("GET", address)
    finally:
        client.close()
