"""What the registry costs: pages, uploads, starts and installs, beside pypiserver, devpi and a bare application.

2,000 projects of 5 wheels (`--quick`: 200); the files are one small wheel each, so that names count and not bytes. A page is
asked over 16 kept connections; milliseconds are CPU of the server per request, which a busy machine does not change much.
The floor is a Starlette application with its pages in a dictionary, on the same web server. An upload is one POST over a
kept connection, wall time, synced to disk. Ratios: ours to the floor; a peer's to ours. Peers are looked for in the folder
that ``LDT_PEERS`` names (`pip install -r registry/peers.txt` in an environment of its own), and left out where absent;
devpi is filled through its own API with 20 projects only, since its page of one project does not depend on the others.
Run: ``LDT_PEERS=.../bin python tests/benchmarks/bench_registry.py [--quick]``.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
import sqlalchemy as sa

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "registry" / "tests"))

from dists import fields, make_token, make_wheel
from ldt_registry import schema
from ldt_registry.database import now
from ldt_registry.index import Entry, Page, as_json
from ldt_registry.registry import Registry, initialise
from ldt_registry.settings import Settings

JSON = "application/vnd.pypi.simple.v1+json"
VERSIONS = 5
CONNECTIONS = 16
BARE = """
import asyncio, sys
from pathlib import Path
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
from ldt_registry.commands.serving import _serve
pages = {p.name: p.read_bytes() for p in Path(sys.argv[1]).iterdir()}
async def page(request):
    return Response(pages[request.path_params["name"]], media_type="application/vnd.pypi.simple.v1+json")
asyncio.run(_serve(Starlette(routes=[Route("/simple/{name}/", page)]), "127.0.0.1", int(sys.argv[2])))
"""


def main(quick: bool = False) -> list[dict[str, Any]]:
    count = 200 if quick else 2000
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        names = [f"plugin-{n:05}" for n in range(count)]
        token = stock(home / "ours", names)
        rows: list[dict[str, Any]] = []
        with ours(home / "ours") as (url, process, start):
            page = cost(url, process, "/simple/{}/", names, JSON, 400 if quick else 4000)
            plain = cost(url, process, "/simple/{}/", names, "text/html", 400 if quick else 4000)
            root = fetch_ms(f"{url}/simple/", JSON)
            upload = upload_ms(f"{url}/legacy/", ("__token__", token), 20 if quick else 60)
        with bare(home, names) as (url, process):
            floor = cost(url, process, "/simple/{}/", names, JSON, 400 if quick else 4000)
        rows += [
            row(f"project page, JSON, {count} x {VERSIONS} (CPU a request)", page, page / floor, 2),
            row(f"project page, HTML, {count} x {VERSIONS} (CPU a request)", plain, plain / floor, 2),
            row("  floor: Starlette, its pages in a dictionary", floor, 1),
            row(f"root of {count} projects, kept (wall)", root, root / 5, 1),
            row("upload of a small wheel, synced (wall)", upload, upload / 5, 1),
            row(
                f"start with {count * VERSIONS} files, to the first page, after imports (CPU)",
                start,
                start / 500,
                1,
            ),
        ]
        rows += peers(home, names, page, upload, quick)
        if not quick:
            rows += large(home)
        rows += installs(home)
    return rows


def row(what: str, ms: float, ratio: float, aim: float | None = None) -> dict[str, Any]:
    return {"what": what, "ms": ms, "ratio": ratio, "aim": aim}


# -- what is served --


def stock(home: Path, names: list[str]) -> str:
    """A registry of these projects, written straight into its tables; a token that may upload."""
    registry = Registry.open(Settings(home=home, keep_free=0, keep_free_share=0))
    initialise(registry)
    with registry.database.write() as connection:
        at = now(connection)
        account = connection.execute(sa.insert(schema.account).values(name="ann", created_at=at))
        key = account.inserted_primary_key
        assert key is not None
        connection.execute(
            sa.insert(schema.blob).values(sha256="a" * 64, size=1000, state="live", touched=at)
        )
        projects, releases, files = [], [], []
        for n, name in enumerate(names, 1):
            projects.append(
                {
                    "id": n,
                    "name": name,
                    "norm_name": name,
                    "skeleton": name,
                    "account_id": key[0],
                    "serial": n,
                    "created_at": at,
                }
            )
            for v in range(VERSIONS):
                number, version = n * VERSIONS + v, f"1.{v}"
                releases.append(
                    {
                        "id": number,
                        "project_id": n,
                        "version": version,
                        "canonical": version,
                        "created_at": at,
                        "published_at": at,
                    }
                )
                files.append(
                    {
                        "project_id": n,
                        "release_id": number,
                        "filename": make_name(name, version),
                        "sha256": "a" * 64,
                        "blake2_256": "b" * 64,
                        "metadata_sha256": "a" * 64,
                        "size": 1000,
                        "filetype": "bdist_wheel",
                        "tags": ["py3-none-any"],
                        "requires_python": ">=3.11",
                        "uploaded_by": "ann",
                        "uploaded_at": at + timedelta(seconds=v),
                    }
                )
        for table, made in ((schema.project, projects), (schema.release, releases), (schema.file, files)):
            if made:
                connection.execute(sa.insert(table), made)
        connection.execute(sa.update(schema.head).values(serial=len(names)))
    token = make_token(registry, int(key[0]))
    registry.close()
    return token


def make_name(name: str, version: str) -> str:
    return f"{name.replace('-', '_')}-{version}-py3-none-any.whl"


@contextmanager
def running(command: list[str], url: str, ready: str) -> Iterator[tuple[str, psutil.Process]]:
    """A server, as soon as ``ready`` is answered with 200: its address and its process."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                if httpx.get(url + ready, follow_redirects=True).status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.005)
            if process.poll() is not None or time.perf_counter() - began > 120:
                raise RuntimeError(f"{command[0]} ended with {process.returncode}")
        yield url, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(30)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def ours(home: Path) -> Iterator[tuple[str, psutil.Process, float]]:
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "ldt_core.cli",
        "registry",
        "serve",
        "--home",
        str(home),
        "--port",
        str(port),
    ]
    needed = "import ldt_registry.app, ldt_registry.commands.serving, granian.server.embed"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", needed], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    imports = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    with running(command, f"http://127.0.0.1:{port}", "/simple/plugin-00007/") as (url, process):
        yield url, process, (spent(process) - imports) * 1000


@contextmanager
def bare(home: Path, names: list[str]) -> Iterator[tuple[str, psutil.Process]]:
    """The same bytes of the same pages, from a dictionary."""
    pages = home / "pages"
    pages.mkdir()
    at = time.time()
    for name in names:
        (pages / name).write_bytes(as_json(page_of(name, at)))
    port = free_port()
    command = [sys.executable, "-c", BARE, str(pages), str(port)]
    with running(command, f"http://127.0.0.1:{port}", f"/simple/{names[0]}/") as found:
        yield found


def page_of(name: str, at: float) -> Page:
    from datetime import UTC, datetime

    entries = tuple(
        Entry(
            make_name(name, f"1.{v}"),
            f"1.{v}",
            "a" * 64,
            1000,
            datetime.fromtimestamp(at, UTC),
            ">=3.11",
            "a" * 64,
        )
        for v in range(VERSIONS)
    )
    return Page(name, 1, entries=entries, versions=tuple(e.version for e in entries))


# -- what is measured --


def cost(url: str, process: psutil.Process, path: str, names: list[str], accept: str, requests: int) -> float:
    """CPU milliseconds of the server and its children per request, after each page was asked for once."""
    ask(url, path, names, accept, max(len(names), requests // 4))  # what is kept in memory is kept by now
    before = spent(process)
    ask(url, path, names, accept, requests)
    return (spent(process) - before) * 1000 / requests


def spent(process: psutil.Process) -> float:
    total = 0.0
    for one in [process, *process.children(recursive=True)]:
        used = one.cpu_times()
        total += used.user + used.system
    return total


def ask(url: str, path: str, names: list[str], accept: str, requests: int) -> None:
    """Closed loop over kept connections: each sends its next request when its answer is whole."""
    host, port = url.removeprefix("http://").split(":")

    def connect() -> socket.socket:
        made = socket.create_connection((host, int(port)))
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    held = [connect() for _ in range(min(CONNECTIONS, requests))]
    done = 0
    while done < requests:
        for n, one in enumerate(held):
            where = path.format(names[(done + n) % len(names)])
            one.sendall(f"GET {where} HTTP/1.1\r\nHost: {host}\r\nAccept: {accept}\r\n\r\n".encode())
        for n, one in enumerate(held):
            if not read_answer(one):
                one.close()
                held[n] = connect()
        done += len(held)
    for one in held:
        one.close()


def read_answer(connection: socket.socket) -> bool:
    """Read one answer to its end; whether the connection is kept."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        assert piece, "the server closed the connection"
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    assert b" 200 " in head.split(b"\r\n")[0], head
    lines = [h.partition(b":") for h in head.lower().split(b"\r\n")[1:]]
    headers = {k.strip(): v.strip() for k, _, v in lines}
    if b"content-length" in headers:
        while len(body) < int(headers[b"content-length"]):
            body += connection.recv(65536)
    elif headers.get(b"transfer-encoding") == b"chunked":
        while not body.endswith(b"0\r\n\r\n"):
            body += connection.recv(65536)
    else:
        while connection.recv(65536):
            pass
        return False
    return headers.get(b"connection") != b"close"


def fetch_ms(url: str, accept: str, rounds: int = 30) -> float:
    with httpx.Client(timeout=120) as client:
        times = []
        for _ in range(rounds):
            began = time.perf_counter()
            assert client.get(url, headers={"Accept": accept}).status_code == 200
            times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times[1:])


def upload_ms(url: str, auth: tuple[str, str] | None, count: int) -> float:
    """Median of one POST each, over a kept connection; the first ones, which start processes, are left out."""
    times = []
    with httpx.Client(timeout=120, auth=auth) as client:
        for n in range(count):
            name = f"fresh-{n % 7}"
            version = f"{n}.0"
            file = make_wheel(name, version, body=f"n = {n}")
            form = fields(*file, name, version)
            began = time.perf_counter()
            answer = client.post(url, data=form, files={"content": file})
            times.append((time.perf_counter() - began) * 1000)
            assert answer.status_code == 200, (answer.status_code, answer.text[:300])
    return statistics.median(times[len(times) // 4 :])


# -- beside ours --


def peers(home: Path, names: list[str], page: float, upload: float, quick: bool) -> list[dict[str, Any]]:
    folder = os.environ.get("LDT_PEERS")
    rows: list[dict[str, Any]] = []
    for name, measure in (("pypiserver", pypiserver), ("devpi", devpi)):
        if folder is None:
            print(f"{name}: left out, LDT_PEERS names no environment that has it", file=sys.stderr)
            continue
        their_page, their_upload = measure(Path(folder), home, names, quick)
        rows.append(
            row(
                f"  {name}: project page (CPU a request)",
                their_page,
                their_page / page,
                20 if name == "devpi" else 1000,
            )
        )
        rows.append(row(f"  {name}: upload (wall)", their_upload, their_upload / upload, 20))
    return rows


def pypiserver(folder: Path, home: Path, names: list[str], quick: bool) -> tuple[float, float]:
    """All files in its folder, its faster way of looking at them, no password."""
    packages = home / "packages"
    packages.mkdir()
    for name in names:
        for v in range(VERSIONS):
            (packages / make_name(name, f"1.{v}")).write_bytes(b"x" * 1000)
    port = free_port()
    command = [str(folder / "pypi-server"), "run", "-i", "127.0.0.1", "-p", str(port), "-P", ".", "-a", "."]
    command += ["--backend", "cached-dir", "--disable-fallback", str(packages)]
    with running(command, f"http://127.0.0.1:{port}", f"/simple/{names[0]}/") as (url, process):
        page = cost(url, process, "/simple/{}/", names[:16], "text/html", 16)
        return page, upload_ms(f"{url}/", None, 12)


def devpi(folder: Path, home: Path, names: list[str], quick: bool) -> tuple[float, float]:
    server, port = home / "devpi", free_port()
    subprocess.run(
        [folder / "devpi-init", "--serverdir", server, "--no-root-pypi"], check=True, capture_output=True
    )
    command = [
        str(folder / "devpi-server"),
        "--serverdir",
        str(server),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    with running(command, f"http://127.0.0.1:{port}", "/+api") as (url, process):
        httpx.put(f"{url}/ann", json={"password": "secret"}).raise_for_status()
        login = httpx.post(f"{url}/+login", json={"user": "ann", "password": "secret"}).json()["result"][
            "password"
        ]
        import base64

        header = {"X-Devpi-Auth": base64.b64encode(f"ann:{login}".encode()).decode()}
        httpx.put(f"{url}/ann/dev", json={"bases": []}, headers=header).raise_for_status()
        upload = upload_ms(f"{url}/ann/dev/", ("ann", "secret"), 35)
        page = cost(url, process, "/ann/dev/+simple/{}/", [f"fresh-{n}" for n in range(7)], JSON, 320)
        return page, upload


def large(home: Path) -> list[dict[str, Any]]:
    """The root at 10,000 projects."""
    stock(home / "large", [f"plugin-{n:05}" for n in range(10_000)])
    with ours(home / "large") as (url, _, start):
        began = time.perf_counter()
        httpx.get(f"{url}/simple/", headers={"Accept": JSON}, timeout=60).raise_for_status()
        first = (time.perf_counter() - began) * 1000
        kept = fetch_ms(f"{url}/simple/", JSON)
    return [
        row("root of 10000 projects, first (wall)", first, first / 1000, 1),
        row("root of 10000 projects, kept (wall)", kept, kept / 5, 1),
        row("start with 50000 files, to the first page, after imports (CPU)", start, start / 500, 1),
    ]


def installs(home: Path) -> list[dict[str, Any]]:
    """`uv pip install` of 10 packages with an empty cache, from ours and from a folder of pages served by http.server."""
    names = [f"street-count-{n}" for n in range(10)]
    wheels = {name: make_wheel(name, "1.0") for name in names}
    token = stock(home / "installing", [])
    static = home / "static"
    with ours_empty(home / "installing") as (url, _):
        with httpx.Client(auth=("__token__", token)) as client:
            for name, file in wheels.items():
                client.post(
                    f"{url}/legacy/", data=fields(*file, name, "1.0"), files={"content": file}
                ).raise_for_status()
        answers = {name: httpx.get(f"{url}/simple/{name}/").text for name in names}
        pages = {name: text.replace("../../files/", "/files/") for name, text in answers.items()}
        for name, (filename, content) in wheels.items():
            (static / "simple" / name).mkdir(parents=True)
            (static / "simple" / name / "index.html").write_text(pages[name])
            link = httpx.URL(f"{url}/simple/{name}/").join(answers[name].split('href="')[1].split("#")[0])
            target = static / link.path.lstrip("/")
            target.parent.mkdir(parents=True)
            target.write_bytes(content)
            target.with_name(filename + ".metadata").write_bytes(httpx.get(f"{link}.metadata").content)
        mine = install_ms(home, f"{url}/simple/", names)
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "http.server",
        "--bind",
        "127.0.0.1",
        "--protocol",
        "HTTP/1.1",
        "-d",
        str(static),
        str(port),
    ]
    with running(command, f"http://127.0.0.1:{port}", "/simple/street-count-0/") as (url, _):
        floor = install_ms(home, f"{url}/simple/", names)
    return [
        row("uv installs 10 packages, no cache (wall)", mine, mine / floor, 1.2),
        row("  floor: the same pages and files from http.server", floor, 1),
    ]


@contextmanager
def ours_empty(home: Path) -> Iterator[tuple[str, psutil.Process]]:
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "ldt_core.cli",
        "registry",
        "serve",
        "--home",
        str(home),
        "--port",
        str(port),
    ]
    with running(command, f"http://127.0.0.1:{port}", "/simple/") as found:
        yield found


def install_ms(home: Path, index: str, names: list[str]) -> float:
    times = []
    for _ in range(7):
        with tempfile.TemporaryDirectory(dir=home) as folder:
            command = [
                str(Path(sys.executable).parent / "uv"),
                "pip",
                "install",
                "-q",
                "--no-config",
                "--python",
                sys.executable,
            ]
            command += [
                "--cache-dir",
                f"{folder}/cache",
                "--target",
                f"{folder}/t",
                "--index-url",
                index,
                *names,
            ]
            began = time.perf_counter()
            subprocess.run(command, check=True)
            times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


if __name__ == "__main__":
    for found in main("--quick" in sys.argv[1:]):
        print(json.dumps(found), flush=True)
