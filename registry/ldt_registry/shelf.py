"""The rendered pages in memory, as fresh as the database at the moment of asking.

A page is keyed by its project's serial: the journal tells which projects changed since the last look, and only
their pages are made again. The look itself is shared: whoever came before a look began waits for it, so that any
number of readers costs one query, and no reader misses what was committed before it asked. On SQLite the counter
of changes is asked first, which costs microseconds. While the database is down, pages in memory are served.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Protocol

from .index import Page, Rendered, Root
from .problems import Down

# An epoch and a serial in it: how far the journal was read.
Position = tuple[str, int]
ROOT = ""  # the name under which the list of all projects is kept


class Source(Protocol):
    """Where pages come from. All but ``stamp`` may block, and raise Down."""

    def stamp(self) -> int | None:
        """A number that changes with every commit, read without waiting; None where there is no such thing."""

    def changes(self, since: Position | None) -> tuple[Position, set[str] | None]:
        """Where the journal stands, and the projects that changed since; None stands for all of them."""

    def page(self, name: str) -> tuple[Position, Page | Root | None]:
        """A page, or the root, and where the journal stood as it was read."""


class Shared:
    """One run of ``work`` for all who asked before it began."""

    def __init__(self, work: Callable[[], Awaitable[None]]) -> None:
        self._work = work
        self._next: asyncio.Task[None] | None = None
        self._one = asyncio.Lock()

    async def __call__(self) -> None:
        if self._next is None:
            self._next = asyncio.create_task(self._run())
        await asyncio.shield(self._next)

    async def _run(self) -> None:
        async with self._one:
            self._next = None  # who comes from here on may have seen a commit that this run misses
            await self._work()


class Shelf:
    """Pages by project, at most ``room`` bytes of them; the longest unread make way.

    After the database did not answer, it is left alone for ``rest`` seconds, and what is kept is served.
    """

    def __init__(
        self, source: Source, *, room: int = 64 * 2**20, rest: float = 1.0, private: bool = False
    ) -> None:
        self._source = source
        self._room = room
        self._rest = rest
        self._private = private
        self._kept: OrderedDict[str, Rendered] = OrderedDict()
        self._used = 0
        self._position: Position | None = None
        self._stamp: int | None = None
        self._rested = 0.0
        self._look = Shared(self._find_changes)

    async def page(self, name: str) -> Rendered | None:
        """The page of a normalised name; None where there is no such project. Raises Down where it is not kept."""
        stamp = self._source.stamp()
        if stamp is None or stamp != self._stamp:
            await self._look()
        while (found := self._kept.get(name)) is None:
            position, page = await asyncio.to_thread(self._source.page, name)
            if page is None:
                return None
            if self._is_behind(position):  # it was read before a change that was noticed meanwhile
                await self._look()
            else:
                self._keep(name, Rendered(page, private=self._private))
        self._kept.move_to_end(name)
        return found

    async def root(self) -> Rendered:
        found = await self.page(ROOT)
        assert found is not None
        return found

    async def _find_changes(self) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._rested:
            return
        stamp = self._source.stamp()  # before the query: what is committed in between is looked for again
        try:
            position, changed = await asyncio.to_thread(self._source.changes, self._position)
        except Down:
            self._rested = now + self._rest
            return
        for name in list(self._kept) if changed is None else [*changed, *([ROOT] if changed else [])]:
            self._drop(name)
        self._position, self._stamp = position, stamp

    def _is_behind(self, position: Position) -> bool:
        seen = self._position
        return seen is not None and (position[0] != seen[0] or position[1] < seen[1])

    def _keep(self, name: str, rendered: Rendered) -> None:
        self._drop(name)
        self._kept[name] = rendered
        self._used += rendered.size
        while self._used > self._room and len(self._kept) > 1:
            self._drop(next(iter(self._kept)))

    def _drop(self, name: str) -> None:
        found = self._kept.pop(name, None)
        if found is not None:
            self._used -= found.size
