"""The registry is killed at random, again and again, while clients upload: what was acknowledged is there."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from dists import fields, make_token, make_wheel
from filling import THEN
from ldt_registry import journal, schema
from ldt_registry.keeping.fsck import check
from ldt_registry.keeping.gc import collect
from ldt_registry.registry import Registry, initialise
from ldt_registry.settings import Settings
from servers import Process

CLIENTS = 8
ACCEPT = {"Accept": "application/vnd.pypi.simple.v1+json"}


class Clients:
    """Upload wheels until each was acknowledged, as a tool that is run again does."""

    def __init__(self, address: str, token: str, count: int) -> None:
        self.address, self.token = address, token
        self.waiting = list(range(count))
        self.acknowledged: dict[str, str] = {}
        self.refused: list[str] = []
        self.lock, self.over = threading.Lock(), threading.Event()
        self.threads = [threading.Thread(target=self._work) for _ in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def _work(self) -> None:
        with httpx.Client(base_url=self.address, timeout=30, auth=("__token__", self.token)) as client:
            while True:
                with self.lock:
                    if not self.waiting or self.refused:
                        return
                    number = self.waiting.pop()
                self._upload(client, f"crash-{number % 10}", f"{number}.0", number)

    def _upload(self, client: httpx.Client, name: str, version: str, number: int) -> None:
        # Synthetic content: random, so that each wheel has bytes of its own and is written in several pieces.
        filename, content = make_wheel(
            name, version, body=f"x = '{random.Random(number).randbytes(20000).hex()}'"
        )
        while not self.over.is_set():
            try:
                answer = client.post(
                    "/legacy/",
                    data=fields(filename, content, name, version),
                    files={"content": (filename, content)},
                )
            except httpx.TransportError:
                time.sleep(0.1)
                continue
            if answer.status_code == 503:
                time.sleep(0.05)
                continue
            with self.lock:
                if answer.status_code == 200:
                    self.acknowledged[filename] = hashlib.sha256(content).hexdigest()
                else:
                    self.refused.append(f"{answer.status_code} {answer.text}")
            return

    def wait(self) -> None:
        for thread in self.threads:
            thread.join()


def _published(registry: Registry) -> dict[str, str]:
    with registry.database.read() as connection:
        rows = connection.execute(sa.select(schema.file.c.filename, schema.file.c.sha256))
        return {row.filename: row.sha256 for row in rows}


def crash(settings: Settings, *, uploads: int, kills: int, **said: Any) -> list[float]:
    """Uploads under kills; the seconds of each restart. Everything that must hold is asserted."""
    registry = Registry.open(settings)
    initialise(registry)
    token = make_token(registry)
    server = Process(settings.home, **said)
    restarts = [server.start()]
    clients = Clients(server.address, token, uploads)
    chance = random.Random(5)
    done = 0
    try:
        while done < kills and any(t.is_alive() for t in clients.threads):
            goal = len(clients.acknowledged) + chance.randint(1, max(1, uploads // kills))
            rest = chance.random() * 0.05
            while len(clients.acknowledged) < min(goal, uploads - 1) and any(
                t.is_alive() for t in clients.threads
            ):
                time.sleep(0.002)
            time.sleep(rest)
            server.kill()
            done += 1
            known, rows = dict(clients.acknowledged), _published(registry)
            assert known.items() <= rows.items(), "an acknowledged file is lost"
            assert [f for f in check(registry, quick=True) if not f.harmless] == []
            restarts.append(server.start())
        clients.wait()
        assert clients.refused == []
        assert done == kills, f"all was uploaded after {done} kills"
        assert len(clients.acknowledged) == uploads
        assert _published(registry) == clients.acknowledged
        for name in (f"crash-{n}" for n in range(10)):
            page = httpx.get(f"{server.address}/simple/{name}/", headers=ACCEPT).json()
            for told in page["files"]:
                assert told["hashes"]["sha256"] == clients.acknowledged[told["filename"]]
    finally:
        clients.over.set()
        server.close()
    assert [f for f in check(registry) if not f.harmless] == []
    with registry.database.write() as connection:
        serials = [c["serial"] for c in journal.since(connection, 0, limit=10 * uploads)]
        connection.execute(
            sa.update(schema.claim).values(lease_until=THEN)
        )  # of killed uploads; they end by themselves
    assert serials == list(range(1, uploads + 1))
    collect(registry, unused=timedelta(0))
    assert check(registry) == []
    assert _published(registry) == clients.acknowledged
    registry.close()
    return restarts


@pytest.mark.parametrize(
    "database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)], indirect=True
)
def test_nothing_is_lost_when_it_is_killed(settings: Settings) -> None:
    crash(settings, uploads=40, kills=1, **_told(settings))


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["folder", "s3"])
def test_nothing_is_lost_in_a_thousand_uploads_under_31_kills(
    settings: Settings,
    storage: str,
    request: pytest.FixtureRequest,
    record_property: Callable[[str, object], None],
) -> None:
    said = request.getfixturevalue("s3").new_bucket() if storage == "s3" else {}
    settings = settings.model_validate(settings.model_dump() | said)
    restarts = crash(settings, uploads=1000, kills=31, **_told(settings), **said)
    record_property("restarts", restarts)
    print(f"\nrestart: median {sorted(restarts)[len(restarts) // 2]:.2f} s, longest {max(restarts):.2f} s")


def _told(settings: Settings) -> dict[str, Any]:
    return {"database": settings.database.get_secret_value() if settings.database else None}
