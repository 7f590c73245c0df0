"""Death at every step, a full disk, a database and a storage that are away: nothing is lost, and it mends itself."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from asking import Client
from dists import fields, make_token, make_wheel
from ldt_registry import journal
from ldt_registry.checkers import Checkers
from ldt_registry.keeping.fsck import check
from ldt_registry.keeping.gc import collect
from ldt_registry.multipart import Form
from ldt_registry.problems import Down, Unauthenticated
from ldt_registry.registry import Registry, initialise
from ldt_registry.settings import Settings
from ldt_registry.tokens import authenticate
from ldt_registry.upload import publish
from servers import Postgresql, Proxy, S3Server, Served, until

HERE = Path(__file__).parent
# On both databases, but on one of them in the long tests only.
quicker = pytest.mark.parametrize(
    "database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)], indirect=True
)


def _run(script: str, *words: str | Path, before: Sequence[str] = ()) -> list[dict[str, Any]]:
    """What a script beside this file prints: JSON, one document a line."""
    done = subprocess.run(
        [*before, sys.executable, HERE / script, *words],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(HERE)},
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def client(serve: Callable[[Registry], Served]) -> Iterator[Callable[[Registry], Client]]:
    made: list[Client] = []

    def make(registry: Registry) -> Client:
        made.append(Client(serve(registry).address, make_token(registry)))
        return made[-1]

    yield make
    for one in made:
        one.http.close()


@quicker
def test_an_upload_may_die_at_any_step_and_be_repeated(settings: Settings) -> None:
    url = settings.database.get_secret_value() if settings.database else ""
    steps = _run("fault_points.py", settings.home, url)
    names = [s["step"] for s in steps]
    assert len(names) >= 12
    assert {"before rename", "after rename", "after fsync", "before commit", "after commit"} <= set(names)
    # The commit of the last transaction is the moment of publication: nothing before, all after.
    moment = len(names) - 1 - names[::-1].index("before commit")
    for number, step in enumerate(steps):
        told = f"{step} at step {number} of {names}"
        assert step["published"] == (number > moment), told
        assert step["new"] == (number <= moment), told
        assert (step["wrong"], step["files"], step["left"]) == ([], 1, []), told


def test_an_upload_syncs_its_bytes_then_its_folder_then_its_rows(home: Path) -> None:
    """What a power cut asks for, which killing alone cannot show: seen from outside, by the system calls."""
    if shutil.which("strace") is None:
        pytest.skip("no strace: system calls cannot be seen")
    traced = home.parent / "trace"
    calls = "trace=fsync,fdatasync,rename,renameat,renameat2"
    _run("one_upload.py", home, before=["strace", "-f", "-y", "-e", calls, "-o", str(traced)])
    told = traced.read_text(encoding="utf-8", errors="replace").splitlines()
    told = told[next(n for n, line in enumerate(told) if "/staging/" in line) :]

    def last(*words: str) -> int:
        found = [n for n, line in enumerate(told) if all(w in line for w in words)]
        assert found, f"no {words} in {told}"
        return found[-1]

    names = {re.search(r"/staging/(\w+)", told[n])[1] for n, line in enumerate(told) if "rename" in line}  # type: ignore[index]
    assert len(names) == 2  # the wheel and its metadata
    commit = last("sync(", "registry.db-wal>")
    for name in names:
        moved = last("rename", f"/staging/{name}")
        place = re.search(r"/blobs/(\w\w)/", told[moved])
        assert place is not None
        assert last("fsync(", f"/staging/{name}>") < moved < last("fsync(", f"/blobs/{place[1]}>") < commit


def test_bytes_that_were_lost_come_back_with_the_same_upload(
    registry: Registry, client: Callable[[Registry], Client]
) -> None:
    asking = client(registry)
    assert asking.upload().status_code == 200
    for name in list(registry.blobs.names()):
        registry.blobs.delete(name)
    assert {f.kind for f in check(registry)} == {"bytes-missing"}
    asking.number -= 1
    assert asking.upload().text.startswith("already published")
    assert check(registry) == []


# -- away for a while --------------------------------------------------------------------------


def test_while_the_database_is_away_the_index_is_read_and_uploads_wait(
    home: Path, client: Callable[[Registry], Client]
) -> None:
    with Postgresql() as server:
        registry = Registry.open(
            Settings.load(home=home, database=server.new_database(), keep_free=0, keep_free_share=0.0)
        )
        initialise(registry)
        asking = client(registry)
        assert asking.upload().status_code == 200
        assert asking.fetch().status_code == 200
        server.stop()
        for _ in range(20):
            assert asking.page().status_code == 200
        assert asking.fetch().status_code == 200
        refused = asking.upload()
        assert (refused.status_code, refused.json()["type"]) == (503, "urn:ldt:registry:database-down")
        assert asking.http.get("/health/ready").status_code == 503
        assert asking.http.get("/health/live").status_code == 200
        assert not list(registry.blobs.staging.iterdir())
        server.start()
        assert asking.upload().status_code == 200
        until(
            lambda: len(asking.page().json()["files"]) == 2, what="the page"
        )  # it is not asked at once again
        assert [f for f in check(registry) if not f.harmless] == []
        registry.close()


def test_while_the_storage_is_away_the_index_is_read_and_uploads_wait(
    home: Path, s3: S3Server, client: Callable[[Registry], Client]
) -> None:
    between = Proxy(s3.port)
    said = s3.new_bucket() | {"s3_endpoint": f"http://127.0.0.1:{between.port}"}
    registry = Registry.open(Settings.load(home=home, keep_free=0, keep_free_share=0.0, **said))
    initialise(registry)
    asking = client(registry)
    assert asking.upload().status_code == 200
    between.cut()
    assert asking.page().status_code == 200
    for answer in (asking.upload(), asking.fetch()):
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:ldt:registry:storage-down")
    assert not list(registry.blobs.staging.iterdir())
    between.restore()
    assert asking.upload().status_code == 200
    between.delay = 0.2  # slow, yet there
    assert asking.upload().status_code == 200
    assert asking.fetch().status_code == 200
    between.delay = 0.0
    assert len(asking.page().json()["files"]) == 3
    assert [f for f in check(registry) if not f.harmless] == []
    between.cut()
    registry.close()


# -- no space ----------------------------------------------------------------------------------


def _with_small_disk(folder: Path) -> list[str]:
    """A command before a command: it sees a disk of 6 MB at the folder, nobody else does."""
    if shutil.which("unshare") is None:
        pytest.skip("no unshare: a small disk cannot be made")
    mount = f'mount -t tmpfs -o size=6m tmpfs "{folder}" && exec "$@"'
    wrapped = ["unshare", "-m" if os.geteuid() == 0 else "-rm", "sh", "-c", mount, "sh"]
    if subprocess.run([*wrapped, "true"], check=False, capture_output=True).returncode:
        pytest.skip("namespaces are not allowed here: a small disk cannot be made")
    return wrapped


@pytest.mark.slow
def test_a_full_disk_refuses_uploads_keeps_nothing_of_them_and_goes_on_when_there_is_room(
    home: Path, database: str, new_database: Callable[..., str]
) -> None:
    home.mkdir()
    url = new_database() if database == "postgresql" else ""
    seen = _run("full_disk.py", home, url, before=_with_small_disk(home))[0]
    stored = seen["answers"].count(200)
    assert 0 < stored < len(seen["answers"])
    assert set(seen["answers"]) <= {200, 503, 507}
    assert (seen["staged"], seen["page"], seen["files"], seen["fetched"]) == (0, 200, stored, 200)
    assert (seen["wrong"], seen["later"], seen["wrong later"]) == ([], 200, [])


# -- the collector against uploads -------------------------------------------------------------


def race_the_collector(registry: Registry, checkers: Checkers, seconds: float) -> int:
    """Publish while all that is unused is collected without mercy; the number of publications."""
    registry = dataclasses.replace(
        registry,
        settings=registry.settings.model_copy(update={"lease": timedelta(milliseconds=20), "wait": 30.0}),
    )
    token = make_token(registry)
    over = threading.Event()
    faults: list[BaseException] = []
    published: list[str] = []

    def collecting() -> None:
        while not over.is_set():
            collect(registry, unused=timedelta(0))

    def uploading(worker: int) -> None:
        identity = authenticate(registry, f"Bearer {token}")
        for number in itertools.count():
            if over.is_set():
                return
            # Few contents under many names: the same bytes are published and collected again and again.
            name, version = f"race-{worker}", f"{number}.0"
            filename, content = make_wheel(name, version)
            form = {
                k: v if isinstance(v, list) else [v]
                for k, v in fields(filename, content, name, version).items()
            }
            with registry.blobs.stage() as staged:
                staged.write(content)
                try:
                    done = publish(registry, checkers, identity, Form(form, filename), staged)
                except Down as exc:
                    assert exc.code in ("lease-lost", "blob-condemned")
                    continue
            published.append(done.sha256)
            if registry.blobs.size(done.sha256) != len(content):
                raise AssertionError(f"{filename} is published without its bytes")

    def guarded(work: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                work()
            except BaseException as exc:
                faults.append(exc)
                over.set()

        return run

    threads = [threading.Thread(target=guarded(collecting))]
    threads += [threading.Thread(target=guarded(lambda n=n: uploading(n))) for n in range(4)]
    for thread in threads:
        thread.start()
    over.wait(seconds)
    over.set()
    for thread in threads:
        thread.join()
    assert [(f, f.__cause__) for f in faults] == []
    assert [f for f in check(registry) if not f.harmless] == []
    return len(published)


def test_the_collector_takes_nothing_from_uploads(registry: Registry, checkers: Checkers) -> None:
    assert race_the_collector(registry, checkers, 2.0) > 0


@pytest.mark.slow
def test_the_collector_takes_nothing_from_uploads_in_five_minutes(
    registry: Registry, checkers: Checkers
) -> None:
    print(f"\n{race_the_collector(registry, checkers, 300)} publications")


# -- a clock that jumps ------------------------------------------------------------------------


@pytest.mark.parametrize("jump", [timedelta(minutes=10), timedelta(minutes=-10)])
def test_a_clock_that_jumps_changes_no_order_and_lets_no_ended_token_in(
    home: Path, checkers: Checkers, jump: timedelta
) -> None:
    registry = Registry.open(Settings.load(home=home, keep_free=0, keep_free_share=0.0))
    initialise(registry)
    short, token = make_token(registry, days=5 / 24 / 60), make_token(registry)
    began = datetime.now(UTC)

    def publish_one(version: str) -> bool:
        filename, content = make_wheel(version=version)
        form = {
            k: v if isinstance(v, list) else [v]
            for k, v in fields(filename, content, version=version).items()
        }
        with registry.blobs.stage() as staged:
            staged.write(content)
            identity = authenticate(registry, f"Bearer {token}")
            return publish(registry, checkers, identity, Form(form, filename), staged).new

    assert publish_one("1.0")
    with time_machine.travel(began + jump):
        assert publish_one("2.0")
        if jump > timedelta(0):
            with pytest.raises(Unauthenticated, match="ended"):
                authenticate(registry, f"Bearer {short}")
        collect(registry)
    assert publish_one("3.0")
    with registry.database.read() as connection:
        assert [c["serial"] for c in journal.since(connection, 0)] == [1, 2, 3]
    assert check(registry) == []
    registry.close()
