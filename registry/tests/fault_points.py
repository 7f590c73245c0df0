"""Run by test_faults.py: upload, and die at one step after another; then say what the registry holds.

Dying is leaving at once, in a process of its own (forked from this one, which imports everything once and has no threads):
no handler runs, no transaction is ended.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from dists import fields, make_token, make_wheel
from filling import THEN
from ldt_registry import schema
from ldt_registry.blobs import Blobs, Staged
from ldt_registry.distribution import Distribution, inspect
from ldt_registry.keeping.fsck import check
from ldt_registry.keeping.gc import collect
from ldt_registry.multipart import Form
from ldt_registry.registry import Registry, initialise
from ldt_registry.settings import Settings
from ldt_registry.tokens import authenticate
from ldt_registry.upload import publish

PIPE = -1  # of a forked process, to its parent
DIED = 9


class Steps:
    """Counts the steps of an upload and dies at one of them, with its name as the last word."""

    def __init__(self, last: int) -> None:
        self.left = last

    def __call__(self, name: str) -> None:
        if self.left == 0:
            os.write(PIPE, json.dumps(name).encode())
            os._exit(DIED)
        self.left -= 1

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def around(*args: Any, **said: Any) -> Any:
            self(f"before {name}")
            found = call(*args, **said)
            self(f"after {name}")
            return found

        return around


class DyingBlobs:
    def __init__(self, blobs: Blobs, steps: Steps) -> None:
        self._blobs, self._steps = blobs, steps
        self.promote = steps.around("promote", blobs.promote)

    def stage(self) -> Staged:
        staged = self._blobs.stage()
        for name in ("write", "finish"):
            setattr(staged, name, self._steps.around(name, getattr(staged, name)))
        return staged

    def __getattr__(self, name: str) -> Any:
        return getattr(self._blobs, name)


class DyingDatabase:
    def __init__(self, database: Any, steps: Steps) -> None:
        self._database, self._steps = database, steps

    @contextlib.contextmanager
    def write(self) -> Iterator[sa.Connection]:
        self._steps("before begin")
        with self._database.write() as connection:
            yield connection
            self._steps("before commit")
        self._steps("after commit")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)


class Here:
    """Reads the archive in this process."""

    def inspect(self, path: Path, filename: str) -> Distribution:
        return inspect(path, filename)


def upload(registry: Registry, token: str, number: int) -> bool:
    """Publish the wheel of a number; true where it was new."""
    version = f"{number}.0"
    filename, content = make_wheel(version=version)
    form = {
        k: v if isinstance(v, list) else [v] for k, v in fields(filename, content, version=version).items()
    }
    with registry.blobs.stage() as staged:
        staged.write(content)
        identity = authenticate(registry, f"Bearer {token}")
        return publish(registry, Here(), identity, Form(form, filename), staged).new  # type: ignore[arg-type]


def forked(work: Callable[[], object]) -> tuple[bool, Any]:
    """Whether the work came to its end in a process of its own; what it returned, or the step it died at."""
    global PIPE
    reading, PIPE = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(PIPE, json.dumps(work()).encode())
        os._exit(0)
    os.close(PIPE)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, DIED), f"a forked process ended with {code}"
    return code == 0, json.loads(said)


def main(settings: Settings) -> None:
    """Print one JSON document for each step: its name, and what was found after dying there and trying again."""

    plain = Registry.open(settings)
    initialise(plain)
    token = make_token(plain)

    def attempt(number: int, last: int) -> None:
        steps = Steps(last)
        registry = dataclasses.replace(
            plain,
            blobs=DyingBlobs(plain.blobs, steps),
            database=DyingDatabase(plain.database, steps),  # type: ignore[arg-type]
        )
        os.fsync = steps.around("fsync", os.fsync)
        os.replace = steps.around("rename", os.replace)
        upload(registry, token, number)

    def judge(number: int) -> dict[str, Any]:
        registry = plain
        of = sa.select(schema.file.c.id).join(schema.release).where(schema.release.c.version == f"{number}.0")

        def count() -> int:
            with registry.database.read() as connection:
                return len(connection.execute(of).all())

        found: dict[str, Any] = {"published": count()}
        found["wrong"] = [f.kind for f in check(registry) if not f.harmless]
        found["new"] = upload(registry, token, number)
        found["files"] = count()
        with registry.database.write() as connection:
            connection.execute(sa.update(schema.claim).values(lease_until=THEN))  # of who died
        at_once = registry.settings.model_copy(
            update={"upload_seconds": 0.0}
        )  # so that it sweeps at once, too
        collect(dataclasses.replace(registry, settings=at_once), unused=timedelta(0))
        found["left"] = [f.kind for f in check(registry)] + [p.name for p in registry.blobs.staging.iterdir()]
        return found

    upload(plain, token, 0)
    judge(0)  # what was compiled for a query is of use to all that are forked; connections are not
    plain.close()
    for number in itertools.count(1):
        survived, step = forked(lambda n=number: attempt(n, n - 1))
        if survived:
            return
        _, found = forked(lambda n=number: judge(n))
        print(json.dumps({"step": step, **found}), flush=True)


if __name__ == "__main__":
    main(
        Settings.load(home=Path(sys.argv[1]), database=sys.argv[2] or None, keep_free=0, keep_free_share=0.0)
    )
