"""What a component afar costs: a table of a million rows, and a step, over HTTP on this machine.

The server is the one of ``ldt remote serve``, in a process of its own, and the client is the class that a run uses.
The floor of a table is the same bytes through a plain socket, the peer is the same rows as GeoJSON from the same server,
read by ``json``: of fewer rows, and said to be extrapolated. The floor of a step is a round trip over HTTP with bodies
of the same size: an application of three lines on the same web server, asked over a connection that is kept.
Run: ``python tests/benchmarks/bench_remote.py [--quick]``.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar
from unittest.mock import patch
from urllib.parse import urlsplit

import numpy as np
import shapely

import ldt_core as ldt
from ldt_core.catalog import load
from ldt_core.remote.manifests import Access, offer_of, refresh

ROWS = 1_000_000
FEATURES = 10_000
"""Rows of GeoJSON, one page: the time of all is this times as many pages as they would take."""
ENTITIES = (1, 100, 10_000)
STEP = 60_000_000
START = np.datetime64("2026-03-02T05:00", "us")
NUMBERS = ldt.Port(
    {
        "time": ldt.instant(),
        "x": ldt.number("m", "x:easting"),
        "y": ldt.number("m", "x:northing"),
        "speed": ldt.number("km/h", "x:speed"),
        "lane": ldt.integer(),
    },
    synthetic="made for a benchmark",
)
PLACES = ldt.Port(
    {"id": ldt.text(), "speed": ldt.number("km/h", "x:speed"), "geometry": ldt.geometry("Point")},
    entity="vehicle",
    id="id",
    at="start",
    synthetic="made for a benchmark",
)
VALUES = ldt.Port(
    {"time": ldt.instant(), "id": ldt.text(), "value": ldt.number("1", "x:value", cell="mean")},
    entity="thing",
    id="id",
)


class Numbers(ldt.DataSource):
    """Five columns of 8 bytes a row, made once."""

    id = "numbers"
    outputs: ClassVar[Any] = {"rows": NUMBERS}
    made: ClassVar[dict[str, Any]] = {}

    def read(self, query: ldt.Query) -> ldt.Tables:
        if not self.made:
            rng = np.random.default_rng(1)
            self.made["rows"] = ldt.Table(
                {
                    "time": START + np.arange(ROWS) * np.timedelta64(1, "ms"),
                    "x": rng.uniform(6e5, 7e5, ROWS),
                    "y": rng.uniform(5.7e6, 5.8e6, ROWS),
                    "speed": rng.uniform(0, 130, ROWS),
                    "lane": rng.integers(0, 4, ROWS),
                }
            )
        return dict(self.made)


class Places(ldt.DataSource):
    """Ids and points: what a client has to make objects of."""

    id = "places"
    outputs: ClassVar[Any] = {"rows": PLACES}
    made: ClassVar[dict[str, Any]] = {}

    def read(self, query: ldt.Query) -> ldt.Tables:
        if not self.made:
            rng = np.random.default_rng(2)
            points = shapely.points(rng.uniform(6e5, 7e5, ROWS), rng.uniform(5.7e6, 5.8e6, ROWS))
            ids = [f"v{i}" for i in range(ROWS)]
            speed = rng.uniform(0, 130, ROWS)
            self.made["rows"] = ldt.Table({"id": ids, "speed": speed, "geometry": points})
        return dict(self.made)


class Adder(ldt.Simulator):
    """Adds 1 to what it reads."""

    id = "adder"
    inputs: ClassVar[Any] = {"in": VALUES}
    outputs: ClassVar[Any] = {"out": VALUES}

    def step(self, inputs: ldt.Tables, until: int) -> ldt.Tables:
        table = inputs["in"]
        return {"out": table.with_columns(value=table["value"] + 1.0)}


# -- the processes on the other side -------------------------------------------------------------------


def serve(listener: int) -> None:
    """The three components, and how many requests came: ``GET /asked``, which is not counted."""
    import uvicorn

    from ldt_core.remote.served import Served
    from ldt_core.remote.server import Rules, make_app

    app = make_app([Served(c) for c in (Numbers, Places, Adder)], Rules())
    asked = [0]

    async def counted(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] == "/asked":
            await answer(send, json.dumps(asked[0]).encode())
            return
        asked[0] += scope["type"] == "http"
        await app(scope, receive, send)

    config = uvicorn.Config(
        counted, log_level="warning", access_log=False, lifespan="on", server_header=False
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=listener)])


def serve_floor(listener: int) -> None:
    """HTTP and nothing behind it: reads a body, answers as many bytes as the path says."""
    import uvicorn

    async def floor(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        await answer(send, b"x" * int(scope["path"][1:]))

    config = uvicorn.Config(floor, log_level="warning", access_log=False, lifespan="off", server_header=False)
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=listener)])


async def answer(send: Any, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def serve_bytes(listener: int) -> None:
    """A plain socket: eight bytes that say how many, then as many."""
    server = socket.socket(fileno=listener)
    while True:
        connection = server.accept()[0]
        with connection:
            block = b""
            while wanted := connection.recv(8):
                size = int.from_bytes(wanted, "big")
                block = block if len(block) == size else b"x" * size
                connection.sendall(block)


@contextmanager
def running(name: str) -> Iterator[tuple[str, int]]:
    """Where one of the above listens, in a process of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as `ldt remote serve` does
        words = [sys.executable, __file__, name, str(listener.fileno())]
        process = subprocess.Popen(words, pass_fds=[listener.fileno()])
        try:
            yield listener.getsockname()
        finally:
            process.terminate()
            process.wait(20)


# -- how long it takes -----------------------------------------------------------------------------------


def timed(call: Callable[[], Any], times: int) -> float:
    """Median seconds of one call."""
    took = []
    for _ in range(times):
        begun = time.perf_counter()
        call()
        took.append(time.perf_counter() - begun)
    return sorted(took)[len(took) // 2]


def proxy(address: str) -> Any:
    refresh(address, Access())
    return load(offer_of(address))()


def get(address: str) -> bytes:
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=600)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}")
        found = connection.getresponse()
        assert found.status == 200, found.read()
        return found.read()
    finally:
        connection.close()


def tables(base: str, plain: tuple[str, int], times: int) -> Iterator[dict[str, Any]]:
    """The same rows as bytes of a socket, as a table of the client, and as GeoJSON."""
    for name, made in (("numbers", "numbers"), ("places", "ids and points")):
        source = proxy(f"{base}/components/{name}")

        def read(source: Any = source) -> Any:
            return source.read(ldt.Query())["rows"]

        assert len(read()) == ROWS
        items = f"{base}/components/{name}/collections/rows/items"
        size = len(get(f"{items}?f=arrow"))
        raw, arrow = [], []
        with socket.create_connection(plain) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

            def receive(size: int = size, connection: socket.socket = connection) -> None:
                connection.sendall(size.to_bytes(8, "big"))
                block = bytearray(size)
                view, have = memoryview(block), 0
                while have < size:
                    have += connection.recv_into(view[have:])

            receive()
            for _ in range(times):
                raw.append(timed(receive, 1))
                arrow.append(timed(read, 1))
        source.finalize()
        floor, ours = (sorted(side)[times // 2] for side in (raw, arrow))

        def features(items: str = items) -> None:
            found = json.loads(get(f"{items}?limit={FEATURES}"))
            assert len(found["features"]) == FEATURES

        features()
        geojson = timed(features, 3) * ROWS / FEATURES
        what = f"a million rows of {made}, {size / 1e6:.0f} MB"
        yield {"what": f"plain socket, {what}", "ms": floor * 1e3, "ratio": 1.0, "aim": None}
        yield {"what": f"Arrow, {what}", "ms": ours * 1e3, "ratio": ours / floor, "aim": 1.5}
        words = f"GeoJSON over Arrow, extrapolated from {FEATURES} rows of {made}"
        yield {"what": words, "ms": geojson * 1e3, "ratio": geojson / ours, "aim": 300.0}


def steps(base: str, bare: tuple[str, int], times: int, rounds: int) -> Iterator[dict[str, Any]]:
    """A step, a round trip with bodies of the same size, and the messages of a step."""
    address = f"{base}/components/adder"
    for entities in ENTITIES:
        component = proxy(address)
        ids = ldt.Table({"id": [f"e{i}" for i in range(entities)]})["id"]
        stamps, zeros = np.full(entities, START), np.zeros(entities)
        component.initialize({})
        sizes: list[int] = []
        kept, now = component.client.ask, [0]

        def told(*words: Any, sizes: list[int] = sizes, kept: Any = kept, **more: Any) -> Any:
            reply = kept(*words, **more)
            sizes[:] = [len(more["body"]), len(reply.body)]
            return reply

        def step(
            component: Any = component, now: list[int] = now, many: tuple[Any, ...] = (stamps, ids, zeros)
        ) -> Any:
            begin, now[0] = now[0], now[0] + STEP
            component.context.window = ldt.Window(begin, now[0])
            given = dict(zip(("time", "id", "value"), many, strict=True))
            return component.step({"in": ldt.Table(given)}, now[0])

        component.client.ask = told
        assert (step()["out"]["value"] == 1.0).all()
        del component.client.ask
        connection = http.client.HTTPConnection(*bare)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        message = b"x" * sizes[0]

        def trip(connection: Any = connection, message: bytes = message, path: str = f"/{sizes[1]}") -> None:
            connection.request("POST", path, message)
            connection.getresponse().read()

        before = int(get(f"{base}/asked"))
        floors, ours = [], []
        trip()
        for _ in range(rounds):
            floors.append(timed(trip, times))
            ours.append(timed(step, times))
        messages = (int(get(f"{base}/asked")) - before) / (rounds * times)
        connection.close()
        component.finalize()
        floor, mine = (sorted(side)[rounds // 2] for side in (floors, ours))
        what = f"{entities} entities, {sizes[0] + sizes[1]} bytes"
        yield {"what": f"round trip over HTTP, {what}", "ms": floor * 1e3, "ratio": 1.0, "aim": None}
        yield {"what": f"remote step, {what}", "ms": mine * 1e3, "ratio": mine / floor, "aim": 1.5}
        yield {
            "what": f"messages of a step, {entities} entities",
            "ms": mine * 1e3,
            "ratio": messages,
            "aim": 1.0,
        }


def main(*, quick: bool = False) -> list[dict[str, Any]]:
    with (
        tempfile.TemporaryDirectory() as folder,
        patch.dict(os.environ, {"LDT_CACHE": folder}),
        running("serve") as (host, port),
        running("floor") as bare,
        running("bytes") as plain,
    ):
        base = f"http://{host}:{port}"
        found = list(tables(base, plain, 3 if quick else 9))
        return found + list(steps(base, bare, 50 if quick else 300, 3 if quick else 5))


SERVERS = {"serve": serve, "floor": serve_floor, "bytes": serve_bytes}

if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in SERVERS:
        SERVERS[sys.argv[1]](int(sys.argv[2]))
    else:
        for row in main(quick="--quick" in sys.argv):
            print(f"{row['what']:<70} {row['ms']:>10.3f} ms  x{row['ratio']:<8.3g} aim {row['aim'] or '-'}")
