"""The component behind an address: a service of somebody's, or a server of ours in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import ldt_core as ldt
from ldt_core.errors import RemoteError, Unreachable
from ldt_core.interfaces import Component
from ldt_core.isolation import Place
from ldt_core.remote.client import load_remote
from ldt_core.remote.manifests import access_of, odd, offer_of, refresh

from ..services import Asker, Unanswered
from .base import Driver, Subject, Word

_PATIENCE = 10.0
"""Seconds that a server has to end after it was told to; its keeper kills what hangs after some."""
_KEPT_WORDS = 2000
_UNDER_A_KEEPER = (
    "import importlib, sys; from ldt_core.engines.keeper import keep; module, _, name = sys.argv[2].partition(':'); "
    "main = lambda: getattr(importlib.import_module(module), name)(sys.argv[3:]); sys.exit(keep(int(sys.argv[1]), main))"
)


class Service:
    """A server in a process of its own at ``place``: ``target`` (module:function) is called with ``arguments`` and prints
    ``{"address": ...}`` once it listens. It ends, with all that it has started, at ``close`` or with this process.

    Raises ``RuntimeError`` with its last words where it does not come up.
    """

    def __init__(self, place: Place, target: str, arguments: Sequence[str]) -> None:
        launch = place.launch
        words = [
            place.environment.python,
            "-P",
            "-c",
            _UNDER_A_KEEPER,
            str(launch.parent),
            target,
            *arguments,
        ]
        self._process = launch.start(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert self._process.stdout is not None
        self._words = b""
        self._listener: threading.Thread | None = None
        self.said = self._read_said()
        self.address: str = self.said["address"]
        self._listener = threading.Thread(target=self._listen, name="ldt-service-words", daemon=True)
        self._listener.start()

    def _read_said(self) -> dict[str, Any]:
        """What it prints first that is JSON: whatever the component prints when it is imported may come before."""
        assert self._process.stdout is not None
        text = b""
        for line in self._process.stdout:
            self._words = (self._words + line)[-_KEPT_WORDS:]
            text = line if line.startswith(b"{") else text + line
            with suppress(ValueError):
                if "address" in (found := json.loads(text)):
                    return dict(found)
        self.close()
        self._process.stdout.close()
        raise RuntimeError(f"the server did not come up: {self._words.decode(errors='replace')}")

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream, suppress(OSError):
            while chunk := os.read(stream.fileno(), 1 << 16):
                self._words = (self._words + chunk)[-_KEPT_WORDS:]

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._listener is not None:
            self._listener.join(1.0)


def serve(place: Place, id: str, fixed: Mapping[str, Any] | None = None) -> Service:
    """``ldt remote serve ID`` at ``place``; ``fixed`` are the parameters that its owner sets, files among them."""
    return Service(
        place, "ldt_core.cli:main", ["remote", "serve", id, "--json", "--params", json.dumps(fixed or {})]
    )


_UNSAID: Mapping[str, type] = {
    **dict.fromkeys(("dynamic", "stochastic"), bool),
    **dict.fromkeys(("files", "secrets", "processes", "hosts", "live", "capabilities"), list),
    **dict.fromkeys(("units", "validity", "tolerances", "resources"), dict),
}
"""What a service may leave out of its manifest: then it is false, or empty, as for a class that does not say it."""


def completed(manifest: Mapping[str, Any], address: str) -> dict[str, Any]:
    """A manifest that says all that the checks ask of one. Raises ``RemoteError`` where something is of another type."""
    found = {"deterministic": True, **manifest}
    for key, kind in _UNSAID.items():
        if not isinstance(found.setdefault(key, kind()), kind):
            raise odd(address, f"its {key} is {found[key]!r:.40}")
    return found


class HttpDriver(Driver):
    """Drives what answers at ``address``. ``access`` is what a twin file says there; parameters of ``fixed`` are the
    server's and are not sent. ``service`` is the server where it is ours: it ends with the driver.

    Raises ``RemoteError`` where nothing that can be judged answers.
    """

    door = "http"

    def __init__(
        self,
        address: str,
        *,
        access: Mapping[str, Any] | None = None,
        fixed: Mapping[str, Any] | None = None,
        service: Service | None = None,
    ) -> None:
        self.address, self.access, self.fixed, self.service = address, access, fixed or {}, service
        self.manifest = completed(refresh(address, access_of({"access": access})), address)

    def component(self) -> type[Component]:
        found = load_remote(offer_of(self.address))
        return type("Judged", (found,), {"attempts": 1})  # the first answer is the answer

    def describe(self) -> Mapping[str, Any]:
        found = self.call("describe", refresh, self.address, access_of({"access": self.access}))
        return completed(found, self.address)

    def open(self, params: Mapping[str, Any], context: ldt.Context, *, base: Any = None) -> Subject:
        sent = {n: v for n, v in params.items() if n not in self.fixed}
        if self.access:
            sent["access"] = self.access
        subject = super().open(sent, context, base=base)
        self.call("open", getattr(subject.component, "try_params", lambda: None))
        return subject

    @contextmanager
    def fresh(self, **environment: str) -> Iterator[Driver]:
        yield self  # every instance is a session of its own, and variables are the service's affair

    def word_of(self, error: BaseException) -> Word:
        if isinstance(error, Unreachable):
            return "too long" if "too long" in error.what else "died"
        if isinstance(error, RemoteError) and error.code == "session lost":
            return "died"
        return super().word_of(error)

    def close(self) -> None:
        super().close()
        if self.service is not None:
            self.service.close()


class UnreadDriver(Driver):
    """A service that does not say what it is, so that nothing but its requests and answers can be judged. ``error`` is
    what came of reading its manifest and its document."""

    door = "http"

    def __init__(
        self,
        address: str,
        error: RemoteError,
        *,
        access: Mapping[str, Any] | None,
        fixed: Mapping[str, Any] | None,
    ) -> None:
        self.address, self.error, self.access, self.fixed = address, error, access, fixed or {}
        self.manifest = {
            "id": address,
            "kind": "",
            "title": address,
            "inputs": {},
            "outputs": {},
            "params": {"type": "object", "properties": {}},
            "capabilities": [],
        }

    def component(self) -> type[Component]:
        raise self.error

    @contextmanager
    def fresh(self, **environment: str) -> Iterator[Driver]:
        yield self


def reach(
    address: str,
    *,
    access: Mapping[str, Any] | None = None,
    fixed: Mapping[str, Any] | None = None,
    patience: float = 10.0,
) -> HttpDriver | UnreadDriver:
    """The driver of what answers at ``address``, whatever it answers; what does not begin to within ``patience`` seconds
    is not asked again."""
    try:
        Asker(address, (access or {}).get("token"), patience=patience).get("/component")
        return HttpDriver(address, access=access, fixed=fixed)
    except Unanswered as exc:
        error = RemoteError(f"{address} does not answer: {exc.what}", code="unreachable")
        return UnreadDriver(address, error, access=access, fixed=fixed)
    except RemoteError as exc:
        return UnreadDriver(address, exc, access=access, fixed=fixed)
