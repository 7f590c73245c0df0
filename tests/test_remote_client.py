"""A remote component as a class like any other, over connections that drop and to servers that go away."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ldt_core as ldt
from ldt_core import errors as e
from ldt_core.runner import Member, Setting, run_stage
from tests.afar import ask, failing, plain, proxy, served

SECOND = ldt.SECOND
MIXED = ldt.Port(
    {
        "id": ldt.text(),
        "v": ldt.number("m", "x:v", nulls=True),
        "n": ldt.integer(),
        "yes": ldt.boolean(),
        "at": ldt.instant(),
    },
    entity="thing",
    id="id",
)
OUT = ldt.Port({"v": ldt.number("m", "x:v")})


class Mirror(ldt.Model):
    """What it is given."""

    id = "mirror"
    inputs: ClassVar[Any] = {"in": MIXED}
    outputs: ClassVar[Any] = {"out": MIXED}

    def compute(self, inputs: ldt.Tables) -> ldt.Tables:
        return {"out": inputs["in"]}


class Walk(ldt.Simulator):
    """A random walk: state, chance, flags, an early end."""

    id = "walk"
    stochastic = True
    outputs: ClassVar[Any] = {"out": OUT}
    steps: ClassVar[list[int]] = []

    class Params(ldt.Params):
        size: float = ldt.Field(default=1.0, gt=0)
        """Of one step."""

    def initialize(self, inputs: ldt.Tables) -> ldt.Tables:
        self.v = 0.0
        return {"out": ldt.Table({"v": [self.v]})}

    def step(self, inputs: ldt.Tables, until: int) -> Any:
        self.steps.append(until)
        self.v += self.params.size * float(self.context.rng.standard_normal())
        self.context.flag("steps", until / SECOND, "seconds walked")
        tables = {"out": ldt.Table({"v": [self.v]})}
        start = self.context.window.start
        return ldt.Step(tables, start + (until - start) // 2) if start == 2 * SECOND else tables

    def get_state(self) -> bytes:
        return np.float64(self.v).tobytes()

    def set_state(self, state: bytes) -> None:
        self.v = float(np.frombuffer(state)[0])


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LDT_CACHE", str(tmp_path / "cache"))
    Walk.steps.clear()


@pytest.fixture(scope="module")
def mirror() -> Iterator[str]:
    with served(Mirror) as address:
        yield address


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=5)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
ROWS = st.lists(st.tuples(FLOATS | st.none(), st.integers(-(2**53), 2**53), st.booleans(), TEXTS), max_size=5)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ROWS)
def test_tables_are_the_same_to_the_bit_after_the_way_there_and_back(mirror: str, rows: list[Any]) -> None:
    ids = [f"{i}-{r[3]}" for i, r in enumerate(rows)]
    table = ldt.Table(
        {
            "id": np.array(ids, object),
            "v": np.array([0.0 if r[0] is None else r[0] for r in rows], float),
            "n": np.array([r[1] for r in rows], np.int64),
            "yes": np.array([r[2] for r in rows], bool),
            "at": np.array(
                [np.datetime64("2026-03-29T01:30", "us") + i for i in range(len(rows))], "datetime64[us]"
            ),
        },
        {"v": np.array([r[0] is None for r in rows], bool)},
    )
    remote: Any = proxy(mirror)()
    try:
        assert plain(remote.compute({"in": table})) == plain(Mirror().compute({"in": table}))
    finally:
        remote.finalize()


def walked(kind: Any, folder: Path, seed: int = 5) -> Any:
    params = kind.Params.model_validate({"size": 2.0})
    member = Member("walk", kind, params, {}, {"out": OUT}, SECOND, seed)
    setting = Setting(
        np.datetime64("2026-01-01", "us"), 5 * SECOND, "EPSG:25832", None, folder / "s", folder / "c"
    )
    return run_stage([member], [], {}, {"walk.out": None}, setting)


def test_a_simulator_afar_gives_what_it_gives_here(tmp_path: Path) -> None:
    here = walked(Walk, tmp_path)
    with served(Walk) as address:
        there = walked(proxy(address), tmp_path)
    assert there.recordings["walk.out"].digest == here.recordings["walk.out"].digest
    assert there.flags == here.flags


def test_a_state_taken_afar_is_that_of_here(tmp_path: Path) -> None:
    with served(Walk) as address:
        kind: Any = proxy(address)
        assert kind().capabilities() == {"state"}
        one, two = kind(), kind()
        for component in (one, two):
            component.initialize({})
        one.context.window = two.context.window = ldt.Window(0, SECOND)
        one.step({}, SECOND)
        state = one.get_state()
        two.set_state(state)
        one.context.window = two.context.window = ldt.Window(SECOND, 2 * SECOND)
        assert plain(one.step({}, 2 * SECOND)) == plain(two.step({}, 2 * SECOND))
        for component in (one, two):
            component.finalize()


def test_a_wrong_parameter_has_its_place_in_the_twin_file(tmp_path: Path) -> None:
    with served(Walk) as address:
        (error,) = failing(tmp_path, address, "{size: -1}")
        assert error.where.startswith("twin.yaml:5:")
        assert "size" in error.what
        (error,) = failing(tmp_path, address, "{sise: 1}")
        assert error.where.startswith("twin.yaml:5:")
        assert "sise" in error.what


# -- connections and servers that go away --------------------------------------------------------


@contextmanager
def relayed(address: str, cut: list[bytes]) -> Iterator[str]:
    """The server behind a relay that cuts the connection after the first step, when it is done and not yet told."""
    host, _, port = address.rpartition("/")[2].partition(":")
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(client: socket.socket) -> None:
        stepping = threading.Event()
        with client, socket.create_connection((host, int(port))) as server:

            def ask_on() -> None:
                with suppress(OSError):
                    while asked := client.recv(1 << 16):
                        if b"/step " in asked:
                            stepping.set()
                        server.sendall(asked)

            threading.Thread(target=ask_on, daemon=True).start()
            with suppress(OSError):
                while answer := server.recv(1 << 16):
                    if stepping.is_set() and not cut:
                        cut.append(answer)
                        client.shutdown(socket.SHUT_RDWR)
                        return
                    client.sendall(answer)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def test_a_step_whose_answer_got_lost_is_done_once(tmp_path: Path) -> None:
    """The client asks again with the same number, and the server answers again."""
    here = walked(Walk, tmp_path)
    Walk.steps.clear()
    cut: list[bytes] = []
    with served(Walk) as behind, relayed(behind, cut) as address:
        there = walked(proxy(address), tmp_path)
    assert cut
    assert len(Walk.steps) == len(set(Walk.steps)) == 6
    assert there.recordings["walk.out"].digest == here.recordings["walk.out"].digest


def test_a_session_that_is_gone_is_told() -> None:
    with served(Walk) as address:
        one: Any = proxy(address)()
        one.initialize({})
        one.context.window = ldt.Window(0, SECOND)
        one.step({}, SECOND)
        try:
            assert ask("DELETE", f"{address}/{one._session}").status == 204
            one.context.window = ldt.Window(SECOND, 2 * SECOND)
            with pytest.raises(e.LdtError, match="session"):
                one.step({}, 2 * SECOND)
        finally:
            one.finalize()
