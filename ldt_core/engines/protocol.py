"""What an engine is. It places task files and says what became of them; it knows nothing of their content.

The unit of work is one task file in the run's folder plus the store: whoever sees both can run it by
writing the file's path to the standard input of ``ldt worker``, which answers with JSON lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

ATTEMPTS = 3
"""How often a task is run that kills its worker, before it is reported."""


class Event(NamedTuple):
    """What became of a task. ``task`` is the stem of its file.

    ``kind`` is started, progress (``share``), done (``key``, timings), failed (``errors``), killed (and
    run again) or lost (``how``, ``of``, ``last_words``, ``memory``: whether memory ran out). A ``tick``
    with no task says that nothing happened for a while.
    """

    task: str
    kind: str
    payload: dict[str, Any]


class Needs(NamedTuple):
    """What a task is said to need while it runs; for placing it, nothing enforces it. Memory in bytes."""

    cpus: int = 1
    memory: int = 0
    fresh: bool = False
    """Whether it needs a process in which nothing ran before and nothing will run after."""


ORDINARY = Needs()


@dataclass(frozen=True)
class Setting:
    """What an engine is started with: the run's folder (with ``tasks`` and ``logs``), the store's root.

    ``workers`` is how many tasks may run at once, ``address`` where the user says the machines are, and
    ``largest`` what the most demanding task needs in each respect.
    """

    folder: Path
    store: Path
    workers: int
    address: str | None = None
    largest: Needs = ORDINARY

    @property
    def logs(self) -> Path:
        return self.folder / "logs"


class Engine(Protocol):
    """Constructed with a ``Setting``. Its first docstring line is what the command line says of it."""

    name: ClassVar[str]

    def __init__(self, setting: Setting) -> None: ...

    def submit(self, task: Path, needs: Needs) -> None:
        """Take a task file; returns at once."""

    def results(self) -> Iterator[Event]:
        """Events as they come, a ``tick`` at least every second; the caller ends the iteration."""

    def close(self, *, kill: bool = False) -> None:
        """End all workers, and all that they started; with ``kill`` at once. Returns when they are gone."""
