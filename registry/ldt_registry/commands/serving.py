"""``ldt registry serve`` and ``init``."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import resource
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

from .. import limits, oidc, sessions
from ..accounts import make_first
from ..jobs import Handler, Worker
from ..keeping.gc import collect
from ..namespaces import recheck
from ..problems import Misconfigured
from ..registry import Registry, initialise
from ..tokens import ALL_SCOPES, make, operator
from .opening import opened, say, settings_of

# What follows a change, by the kind of its job: a subject adds its handler here.
HANDLERS: dict[str, Handler] = {}


# Slow clients hold a connection each; as many as these wait before anybody else does.
CONNECTIONS = 8192


def init(options: argparse.Namespace) -> int:
    """Make the tables of a new registry; an existing one is left as it is."""
    with opened(options, checked=False) as registry:
        new = initialise(registry)
        home = registry.settings.home.resolve()
        said = {"token": _first_token(registry)} if new else {}
    words = f"The registry in {home} {'is made' if new else 'was there already'}.{_shown(said)}"
    say(options, words, home=home, new=new, **said)
    return 0


def serve(options: argparse.Namespace) -> int:
    """Serve until interrupted. A new home is made ready first."""
    from .. import logs
    from ..app import create_app

    logs.configure()
    settings = settings_of(options)
    if settings.port == 0:
        settings = settings.model_copy(update={"port": _free_port(settings.host)})
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 2 * CONNECTIONS)), hard))
    registry = Registry.open(settings)
    with _alone(settings.home):
        new = initialise(registry)
        said = {"token": _first_token(registry)} if new else {}
        say(
            options,
            f"Registry at {settings.base_url}{_shown(said)}",
            address=settings.base_url,
            new=new,
            **said,
        )
        hourly = (collect, limits.forget, oidc.forget, sessions.forget, recheck)
        worker = Worker(registry, HANDLERS, [(3600, call) for call in hourly])
        worker.start()
        try:
            asyncio.run(_serve(create_app(registry), settings.host, settings.port))
        finally:
            worker.stop()
            registry.close()
    return 0


def _first_token(registry: Registry) -> str:
    """The token of the administrator of a new registry."""
    first = make_first(registry)
    with registry.database.write() as connection:
        maker, days = operator("init"), registry.settings.token_days
        return make(connection, maker, first, list(ALL_SCOPES), days=days, title="first")[1]


def _shown(said: dict[str, str]) -> str:
    return f"\nThe token of its administrator `admin`, shown this once: {said['token']}" if said else ""


async def _serve(app: object, host: str, port: int) -> None:
    from granian.constants import Interfaces
    from granian.http import HTTP1Settings
    from granian.log import LogLevels
    from granian.server.embed import Server

    server = Server(
        app,
        host,
        port,
        interface=Interfaces.ASGI,
        websockets=False,
        backlog=1024,
        backpressure=CONNECTIONS,
        log_level=LogLevels.warning,
        http1_settings=HTTP1Settings(header_read_timeout=10_000),  # a client that sends no headers is let go
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, server.stop)
    await server.serve()


def _free_port(host: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _alone(home: Path) -> Iterator[None]:
    """One server per home: its caches and its writer lock are those of one process."""
    with (home / "serving.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            raise Misconfigured(
                f"another server works with the home {home.resolve()}",
                fix="Stop that one, or give this one a home of its own.",
            ) from exc
        yield
