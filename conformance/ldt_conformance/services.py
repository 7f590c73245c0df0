"""How a service is asked: one request on one connection, byte for byte as it is to be sent, within a budget.

Nothing is followed (a redirect is an answer like any other), nothing is asked twice, nothing is unpacked. What does not
come as one whole answer is ``Unanswered``, in words.
"""

from __future__ import annotations

import http.client
import io
import json
import select
import socket
import ssl
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from .trial import CannotTell

LARGEST = 16 * 2**20
"""Bytes of an answer."""
PIECE = 1 << 16
JSON = "application/json"

How = Literal["nobody", "closed", "late", "endless", "garbled"]


class Unanswered(Exception):
    """No answer came: ``nobody`` listens, the connection was ``closed`` before it, it came too ``late``, was ``endless``, or
    what came is no HTTP (``garbled``)."""

    def __init__(self, how: How, what: str) -> None:
        super().__init__(what)
        self.how, self.what = how, what


@dataclass(frozen=True)
class Request:
    """``target`` is a path with its query, below the service's address, in ASCII as it goes over the line. Of ``headers``
    the names that stand here replace what would be sent anyway; a value None leaves it out."""

    method: str
    target: str
    body: bytes | None = None
    headers: Mapping[str, str | None] = field(default_factory=dict)

    @classmethod
    def of(cls, method: str, target: str, content: Any, **headers: str | None) -> Request:
        """With ``content`` as JSON."""
        said = {n.replace("_", "-"): v for n, v in headers.items()}
        body = json.dumps(content, ensure_ascii=False, allow_nan=False).encode()
        return cls(method, target, body, {"Content-Type": JSON, **said})

    def __str__(self) -> str:
        found = f"{self.method} {self.target[:300]}"
        if self.headers:
            found += "".join(f" [{n}: {v!s:.60}]" for n, v in self.headers.items() if v is not None)
        if self.body is not None:
            text = self.body[:300].decode(errors="backslashreplace")
            found += f" with {text!r}" + (f" ... ({len(self.body)} bytes)" if len(self.body) > 300 else "")
        return found


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def media(self) -> str:
        """Without its parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def json(self) -> Any:
        """Raises ``ValueError`` for what is no JSON; NaN is none."""

        def refuse(word: str) -> Any:
            raise ValueError(f"{word} is no JSON number")

        try:
            return json.loads(self.body, parse_constant=refuse)
        except RecursionError:
            raise ValueError("it is nested too deep") from None

    @property
    def object(self) -> dict[str, Any]:
        """The body as a JSON object; an empty one where it is none."""
        with suppress(ValueError):
            if isinstance(found := self.json, dict):
                return found
        return {}

    def __str__(self) -> str:
        text = self.body[:400].decode(errors="backslashreplace")
        where = (
            f" to {self.headers['location']:.200}"
            if 300 <= self.status < 400 and "location" in self.headers
            else ""
        )
        media = self.media or "no media type"
        return f"{self.status}{where}, {media}, {text}" if text else f"{self.status}{where}, no body"


class Asker:
    """Asks the service at ``address``. All that it does ends ``seconds`` after it was made, and each answer has to begin
    and to go on within ``patience`` seconds; ``met`` says whether anything was ever answered.

    Raises ``CannotTell`` once the budget is spent.
    """

    def __init__(
        self, address: str, token: str | None = None, *, seconds: float = 120.0, patience: float = 10.0
    ) -> None:
        parts = urlsplit(address)
        self.secure = parts.scheme == "https"
        self.host, self.port = parts.hostname or "", parts.port or (443 if self.secure else 80)
        self.base = parts.path.rstrip("/")
        self.address, self.token, self.patience = address.rstrip("/"), token, patience
        self.seconds, self.end = seconds, time.monotonic() + seconds
        self.met, self.count = False, 0

    def ask(self, request: Request, *, token: str | Literal[True] | None = True) -> Answer:
        """The answer. ``token`` replaces the service's own; None sends none. Raises ``Unanswered``, ``CannotTell``."""
        return self.send([self.head(request, token) + (request.body or b"")], request.method)

    def get(self, target: str, accept: str = JSON) -> Answer:
        return self.ask(Request("GET", target, headers={"Accept": accept}))

    def head(self, request: Request, token: str | Literal[True] | None = True) -> bytes:
        """The first lines of ``request``, as they go over the line."""
        shown = f"[{self.host}]" if ":" in self.host else self.host
        said: dict[str, str | None] = {
            "Host": f"{shown}:{self.port}",
            "Accept": f"{JSON}, */*;q=0.5",
            "Accept-Encoding": "identity",
            "User-Agent": "ldt-certify",
            "Connection": "close",
        }
        if request.body is not None:
            said["Content-Length"] = str(len(request.body))
        sent = self.token if token is True else token
        if sent is not None:
            said["Authorization"] = f"Bearer {sent}"
        known = {n.lower() for n in request.headers}
        said = {n: v for n, v in said.items() if n.lower() not in known} | dict(request.headers)
        lines = [f"{request.method} {self.base}{request.target} HTTP/1.1"]
        lines += [f"{n}: {v}" for n, v in said.items() if v is not None]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def left(self) -> float:
        """Seconds for the next wait. Raises ``CannotTell`` where there are none."""
        left = self.end - time.monotonic()
        if left <= 0:
            raise CannotTell(f"the budget of {self.seconds:g} s was spent after {self.count} requests")
        return min(self.patience, left)

    def connect(self) -> socket.socket:
        """A connection; whoever takes it closes it. Raises ``Unanswered``."""
        try:
            made = socket.create_connection((self.host, self.port), timeout=self.left())
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.secure:
                made = ssl.create_default_context().wrap_socket(made, server_hostname=self.host)
        except TimeoutError:
            raise Unanswered(
                "late", f"{self.host}:{self.port} took no connection in {self.patience:g} s"
            ) from None
        except OSError as exc:
            raise Unanswered("nobody", f"{self.host}:{self.port} takes no connection: {exc}") from exc
        return made

    def send(self, pieces: Iterable[bytes], method: str = "GET") -> Answer:
        """Send ``pieces`` until they are all gone or the answer has begun, and read it."""
        self.count += 1
        with self.connect() as line:
            try:
                self._send(line, pieces)
            except TimeoutError:
                pass  # it does not read on; maybe it has answered
            except (ConnectionError, ssl.SSLError):
                pass  # it has closed; maybe it has answered before
            answer = self.read(line, method)
        self.met = True
        return answer

    def _send(self, line: socket.socket, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            for at in range(0, len(piece), PIECE):
                if at and select.select([line], [], [], 0)[0]:
                    return
                line.settimeout(self.left())
                line.sendall(piece[at : at + PIECE])
            if select.select([line], [], [], 0)[0]:
                return

    def read(self, line: socket.socket, method: str = "GET", *, patience: float | None = None) -> Answer:
        """The answer that comes over ``line``. Raises ``Unanswered``."""
        pause = patience or self.patience
        kept = _Kept(line, pause, min(time.monotonic() + 3 * pause, self.end))
        found = http.client.HTTPResponse(kept, method=method)  # type: ignore[arg-type]
        try:
            found.begin()
            parts, size = [], 0
            while part := _more(found):
                parts.append(part)
                size += len(part)
                if size > LARGEST:
                    raise Unanswered("endless", f"the answer is larger than {LARGEST >> 20} MiB")
            if found.length:
                raise Unanswered("closed", f"the answer ends {found.length} bytes too early")
            headers = {n.lower(): v for n, v in found.getheaders()}
            return Answer(found.status, headers, b"".join(parts))
        except TimeoutError:
            self.left()
            if time.monotonic() >= kept.end:
                raise Unanswered("endless", f"the answer did not end in {3 * pause:g} s") from None
            what = f"the answer stopped for {pause:g} s" if kept.count else f"no answer came in {pause:g} s"
            raise Unanswered("late", what) from None
        except (
            http.client.RemoteDisconnected,
            http.client.IncompleteRead,
            ConnectionError,
            ssl.SSLError,
        ) as exc:
            raise Unanswered("closed", f"the connection was closed before an answer came: {exc}") from exc
        except (http.client.HTTPException, ValueError) as exc:
            raise Unanswered("garbled", f"what came is no HTTP: {type(exc).__name__}: {exc}") from exc
        finally:
            found.close()


def _more(found: http.client.HTTPResponse) -> bytes:
    """The next piece of a body. One that goes on until the connection is closed may end by its being reset: so do servers
    that answer before they have read everything."""
    try:
        return found.read1(PIECE)
    except ConnectionResetError:
        if found.length is not None or found.chunked:
            raise
        return b""


class _Kept(io.RawIOBase):
    """Reads from a connection, each time for ``pause`` seconds and in all until ``end``: below the HTTP library, which reads
    headers, chunks and trailers in loops of its own, however slowly they drip."""

    def __init__(self, line: socket.socket, pause: float, end: float) -> None:
        self.line, self.pause, self.end, self.count = line, pause, end, 0

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self.end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.line.settimeout(min(self.pause, left))
        count = self.line.recv_into(buffer)
        self.count += count
        return count
