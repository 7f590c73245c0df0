"""A remote component as a class like any other, and what is done about servers that misbehave."""

from __future__ import annotations

import gzip
import http.server
import json
import socket
import threading
from collections.abc import Callable, Iterator
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
from ldt_core.twin import load_twin
from tests.afar import ask, plain, proxy, served

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


TWIN = """\
ldt: 1
twin: {{id: far, crs: "EPSG:25832"}}
time: {{start: 2026-03-02T05:00Z, end: 2026-03-02T06:00Z}}
components:
  walk: {{use: "{address}", step: 10min, params: {params}}}
"""


def failing(folder: Path, address: str, params: str = "{}") -> list[e.LdtError]:
    from ldt_core.runs import prepare

    (folder / "twin.yaml").write_text(TWIN.format(address=address, params=params), encoding="utf-8")
    assert load_twin(folder)
    with pytest.raises(e.LdtError) as caught:
        prepare(folder)
    return caught.value.errors if isinstance(caught.value, e.ErrorList) else [caught.value]


def test_a_wrong_parameter_has_its_place_in_the_twin_file(tmp_path: Path) -> None:
    with served(Walk) as address:
        (error,) = failing(tmp_path, address, "{size: -1}")
        assert error.where.startswith("twin.yaml:5:")
        assert "size" in error.what
        (error,) = failing(tmp_path, address, "{sise: 1}")
        assert error.where.startswith("twin.yaml:5:")
        assert "sise" in error.what


# -- servers that misbehave -------------------------------------------------------------------------


Reply = Callable[[http.server.BaseHTTPRequestHandler], None]


@contextmanager
def answering(reply: Reply) -> Iterator[str]:
    """A server that answers everything as told."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            reply(self)

        def do_POST(self) -> None:
            reply(self)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def send(handler: http.server.BaseHTTPRequestHandler, body: bytes, status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    for name, value in {"Content-Type": "application/json", **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def bomb(handler: http.server.BaseHTTPRequestHandler) -> None:
    send(handler, gzip.compress(b" " * 200_000_000, 1), Content_Encoding="gzip")


MANIFEST = {"id": "x", "kind": "model", "contract": 1, "inputs": {}, "outputs": {}, "params": {}}


def speaks(document: Any) -> Reply:
    """A server with a manifest and an interface document of this content."""

    def reply(handler: http.server.BaseHTTPRequestHandler) -> None:
        found = document if handler.path.startswith("/api") else MANIFEST
        send(handler, json.dumps(found).encode())

    return reply


@pytest.mark.parametrize(
    "reply",
    [
        lambda h: send(h, b"{}"),
        lambda h: send(h, b"", 500),
        lambda h: send(h, b"<html>", Content_Type="text/html"),
        lambda h: send(h, b"[" * 100_000),
        lambda h: send(h, b"", 302, Location="http://10.0.0.1/"),
        lambda h: send(h, b"", 302, Location="file:///etc/passwd"),
        bomb,
        speaks({"swagger": "2.0", "info": {"title": "t", "version": "1"}, "paths": {}}),
        speaks({"openapi": "3.1.0"}),
    ],
    ids=[
        "empty object",
        "500",
        "html",
        "deep",
        "redirect inside",
        "redirect to a file",
        "bomb",
        "swagger",
        "no paths",
    ],
)
def test_a_server_that_is_none_of_ours_is_an_error_in_its_place(tmp_path: Path, reply: Reply) -> None:
    with answering(reply) as address:
        for error in failing(tmp_path, address):
            assert error.where.startswith("twin.yaml:5:") or address in str(error), error
            assert error.fix
            assert error.exit_code in (11, 15), error


def test_nobody_there_is_told_as_unreachable(tmp_path: Path) -> None:
    with answering(lambda h: send(h, b"{}")) as address:
        pass
    (error,) = failing(tmp_path, address)
    assert (error.code, error.exit_code) == ("unreachable", 15)


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
