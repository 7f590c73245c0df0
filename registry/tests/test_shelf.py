"""The shelf of pages: never older than the question, one look for many readers, on display while all else is down."""

from __future__ import annotations

import asyncio
import threading

import pytest
from ldt_registry.index import JSON, Page, Root
from ldt_registry.problems import Down
from ldt_registry.shelf import Position, Shelf


class Memory:
    """A source in memory with a journal, that counts what it is asked and can be down or slow."""

    def __init__(self, *, stamped: bool) -> None:
        self.stamped = stamped
        self.epoch = 1
        self.journal: list[str] = []
        self.looks = self.reads = 0
        self.down = False
        self.gate = threading.Event()
        self.gate.set()
        self.reached = threading.Event()

    def change(self, name: str) -> None:
        self.journal.append(name)

    def _here(self) -> Position:
        if self.down:
            raise Down("the database does not answer")
        return self.epoch, len(self.journal)

    def stamp(self) -> int | None:
        return hash((self.epoch, len(self.journal))) if self.stamped else None

    def changes(self, since: Position | None) -> tuple[Position, set[str] | None]:
        self.looks += 1
        here = self._here()
        if since is None or since[0] != self.epoch:
            return here, None
        return here, set(self.journal[since[1] :])

    def page(self, name: str) -> tuple[Position, Page | Root | None]:
        self.reads += 1
        here = self._here()
        serials = {n: i for i, n in enumerate(self.journal, 1)}
        self.reached.set()
        assert self.gate.wait(10)
        if not name:
            return here, Root(here[1], tuple(sorted(serials.items())))
        return here, Page(name, serials[name]) if name in serials else None


async def serial(shelf: Shelf, name: str) -> int:
    found = await shelf.page(name)
    assert found is not None
    return found.page.serial


@pytest.fixture(params=[True, False], ids=["stamped", "asked"])
def memory(request: pytest.FixtureRequest) -> Memory:
    return Memory(stamped=request.param)


def test_a_page_is_made_once_until_its_own_project_changes(memory: Memory) -> None:
    async def story() -> None:
        shelf = Shelf(memory)
        memory.change("air")
        memory.change("noise")
        assert await serial(shelf, "air") == 1
        first = await shelf.page("air")
        memory.change("noise")
        assert await shelf.page("air") is first
        assert await serial(shelf, "noise") == 3
        memory.change("air")
        assert await serial(shelf, "air") == 4
        assert memory.reads == 3

    asyncio.run(story())


def test_the_root_follows_every_change_and_an_unknown_project_can_appear(memory: Memory) -> None:
    async def story() -> None:
        shelf = Shelf(memory)
        assert (await shelf.root()).page == Root(0)
        assert await shelf.page("air") is None
        memory.change("air")
        assert await serial(shelf, "air") == 1
        assert (await shelf.root()).page == Root(1, (("air", 1),))
        reads = memory.reads
        await shelf.root()
        assert memory.reads == reads

    asyncio.run(story())


def test_a_new_epoch_drops_every_page_though_its_serial_is_lower(memory: Memory) -> None:
    async def story() -> None:
        shelf = Shelf(memory)
        for _ in range(3):
            memory.change("air")
        assert await serial(shelf, "air") == 3
        memory.journal, memory.epoch = ["air"], 2
        assert await serial(shelf, "air") == 1

    asyncio.run(story())


def test_many_readers_share_one_look_and_none_misses_a_commit_made_before_it_asked() -> None:
    memory = Memory(stamped=False)

    async def story() -> None:
        shelf = Shelf(memory)
        memory.change("air")
        await serial(shelf, "air")
        looks = memory.looks
        assert set(await asyncio.gather(*(serial(shelf, "air") for _ in range(100)))) == {1}
        assert memory.looks - looks <= 2
        for round in range(2, 30):
            memory.change("air")
            assert set(await asyncio.gather(*(serial(shelf, "air") for _ in range(10)))) == {round}

    asyncio.run(story())


def test_with_a_stamp_a_page_that_is_kept_costs_no_query() -> None:
    memory = Memory(stamped=True)

    async def story() -> None:
        shelf = Shelf(memory)
        memory.change("air")
        await serial(shelf, "air")
        looks, reads = memory.looks, memory.reads
        for _ in range(100):
            await serial(shelf, "air")
        assert (memory.looks, memory.reads) == (looks, reads)

    asyncio.run(story())


def test_a_page_read_before_a_change_that_is_noticed_meanwhile_is_not_kept(memory: Memory) -> None:
    async def story() -> None:
        shelf = Shelf(memory)
        memory.change("air")
        await shelf.root()
        memory.reached.clear()
        memory.gate.clear()
        early = asyncio.create_task(serial(shelf, "air"))
        assert await asyncio.to_thread(memory.reached.wait, 10)
        memory.change("air")
        late = asyncio.create_task(serial(shelf, "air"))
        while memory.reads < 3:  # the late reader has looked, and reads too
            await asyncio.sleep(0)
        memory.gate.set()
        assert await early in (1, 2)
        assert await late == 2
        assert await serial(shelf, "air") == 2

    asyncio.run(story())


def test_while_the_database_is_down_kept_pages_are_served_and_others_are_refused(memory: Memory) -> None:
    async def story() -> None:
        shelf = Shelf(memory, rest=0)
        memory.change("air")
        memory.change("noise")
        await serial(shelf, "air")
        memory.down = True
        if not memory.stamped:
            memory.change("air")
        for _ in range(20):
            assert await serial(shelf, "air") == 1
        with pytest.raises(Down):
            await shelf.page("noise")
        memory.down = False
        memory.change("air")
        assert await serial(shelf, "air") == len(memory.journal)
        assert await serial(shelf, "noise") == 2

    asyncio.run(story())


def test_a_database_that_is_down_is_not_asked_for_every_reader() -> None:
    memory = Memory(stamped=False)

    async def story() -> None:
        shelf = Shelf(memory, rest=3600)
        memory.change("air")
        await serial(shelf, "air")
        memory.down = True
        looks = memory.looks
        for _ in range(50):
            await serial(shelf, "air")
        assert memory.looks == looks + 1

    asyncio.run(story())


def test_the_room_is_bounded_and_the_longest_unread_page_makes_way(memory: Memory) -> None:
    async def story() -> None:
        shelf = Shelf(memory, room=3 * 1024)
        for name in "abcd":
            memory.change(name)
        for name in "abc":
            await serial(shelf, name)
        await serial(shelf, "a")
        await serial(shelf, "d")  # b goes
        reads = memory.reads
        for name in "acd":
            await serial(shelf, name)
        assert memory.reads == reads
        await serial(shelf, "b")
        assert memory.reads == reads + 1

    asyncio.run(story())


def test_a_form_is_made_once() -> None:
    memory = Memory(stamped=True)

    async def story() -> None:
        shelf = Shelf(memory)
        memory.change("air")
        first = await shelf.page("air")
        second = await shelf.page("air")
        assert first is not None
        assert second is not None
        assert first.form(JSON, True) is second.form(JSON, True)

    asyncio.run(story())
