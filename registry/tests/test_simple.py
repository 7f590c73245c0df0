"""The index over HTTP: what installers ask of it, what follows a change at once, and files that run nothing."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
import re
import string
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from dists import make_account, make_sdist, make_token, make_wheel, put
from ldt_registry import releases, schema
from ldt_registry.blobs import open_blobs
from ldt_registry.checkers import Checkers
from ldt_registry.problems import Forbidden, Missing, Refused
from ldt_registry.registry import Registry
from ldt_registry.settings import Settings
from ldt_registry.tokens import Identity, authenticate
from servers import S3Server, Served

JSON = {"Accept": "application/vnd.pypi.simple.v1+json"}
PAGE = "/simple/heat-load/"


@pytest.fixture
def owner(registry: Registry) -> Identity:
    return authenticate(registry, f"Bearer {make_token(registry)}")


@pytest.fixture
def moderator(registry: Registry) -> Identity:
    account = make_account(registry, role="moderator")
    return authenticate(registry, f"Bearer {make_token(registry, account)}")


@pytest.fixture
def client(
    registry: Registry, serve: Callable[[Registry], Served], owner: Identity, checkers: Checkers
) -> Iterator[httpx.Client]:
    """Of a registry with one project: two releases as wheels, one source distribution."""
    for file, version in ((make_wheel(), "1.0"), (make_sdist(), "1.0"), (make_wheel(version="1.1"), "1.1")):
        put(registry, checkers, owner, file, version=version)
    with httpx.Client(base_url=serve(registry).address) as client:
        yield client


def page(client: httpx.Client, name: str = "heat-load") -> Any:
    return client.get(f"/simple/{name}/", headers=JSON).json()


def test_each_client_gets_its_form(client: httpx.Client) -> None:
    for accept, kind in (
        ("application/vnd.pypi.simple.v1+json", "application/vnd.pypi.simple.v1+json"),
        ("application/vnd.pypi.simple.v1+html", "application/vnd.pypi.simple.v1+html; charset=utf-8"),
        ("text/html", "text/html; charset=utf-8"),
        ("*/*", "text/html; charset=utf-8"),
    ):
        for path in (PAGE, "/simple/"):
            answer = client.get(path, headers={"Accept": accept})
            assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
            assert answer.headers["vary"] == "Accept, Accept-Encoding"
            assert answer.headers["x-pypi-last-serial"] == "3"
            assert answer.headers["cache-control"] == "max-age=0"
    assert page(client)["meta"] == {"api-version": "1.4", "_last-serial": 3}
    assert page(client)["versions"] == ["1.0", "1.1"]
    assert client.get("/simple/", headers=JSON).json()["projects"] == [
        {"name": "heat-load", "_last-serial": 3}
    ]


def test_what_a_client_holds_is_not_sent_again_until_it_changes(
    registry: Registry, client: httpx.Client, owner: Identity
) -> None:
    for accept in ("application/vnd.pypi.simple.v1+json", "text/html"):
        for encoding in ("gzip", "identity"):
            asked = {"Accept": accept, "Accept-Encoding": encoding}
            first = client.get(PAGE, headers=asked)
            assert (first.headers.get("content-encoding") == "gzip") == (encoding == "gzip")
            known = asked | {"If-None-Match": first.headers["etag"]}
            again = client.get(PAGE, headers=known)
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["etag"] == first.headers["etag"]
            releases.yank(registry, owner, "heat-load", "1.1", "broken", f"for {accept} {encoding}")
            assert client.get(PAGE, headers=known).status_code == 200


def test_a_head_request_has_the_headers_and_no_body(client: httpx.Client) -> None:
    got, head = client.get(PAGE, headers=JSON), client.head(PAGE, headers=JSON)
    assert head.status_code == 200
    assert head.content == b""
    assert head.headers["content-length"] == got.headers["content-length"]
    assert client.post(PAGE).status_code == 405


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/simple", "/simple/"),
        ("/simple/heat-load", PAGE),
        ("/simple/Heat_Load/", PAGE),
        ("/simple/heat.load", PAGE),
        ("/simple/not-here", "/simple/not-here/"),
    ],
)
def test_another_spelling_is_redirected(client: httpx.Client, path: str, target: str) -> None:
    answer = client.get(path, headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"})
    assert answer.status_code == 301
    assert answer.headers["location"].removeprefix(str(client.base_url).rstrip("/")) == target


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_no_address_is_made_from_the_request(client: httpx.Client) -> None:
    lies = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "gopher"}
    for path in (
        PAGE,
        "/simple/",
        "/simple/Heat_Load/",
        "/simple",
        "/legacy",
        "/no/such/page",
        "/simple/none/",
    ):
        for method in ("GET", "POST"):
            answer = client.request(method, path, headers=lies)
            assert "evil" not in answer.text + str(answer.headers)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "path",
    [
        "/simple/none/",
        "/simple/heat-load/1.0/",
        "/simple//evil.example/",
        "/simple/%0d%0aX:%20y",
        "/simple/../x/",
        "/simple/%2e%2e/",
    ],
)
def test_what_is_no_project_is_a_problem_document(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert not {"x", "location"} & set(answer.headers)


def test_the_next_request_after_a_publication_sees_it(
    registry: Registry, client: httpx.Client, owner: Identity, checkers: Checkers
) -> None:
    for n in range(2, 12):
        version = f"1.{n}"
        put(registry, checkers, owner, make_wheel(version=version), version=version)
        assert page(client)["versions"][-1] == version
        assert client.get("/simple/", headers=JSON).json()["meta"]["_last-serial"] == n + 2


def test_a_yank_shows_with_its_reason_and_can_be_undone(
    registry: Registry, client: httpx.Client, owner: Identity
) -> None:
    with pytest.raises(Refused):
        releases.yank(registry, owner, "heat-load", "1.1", "broken", " ")
    with pytest.raises(Refused):
        releases.yank(registry, owner, "heat-load", "1.1", "no-code", "x")
    with pytest.raises(Missing):
        releases.yank(registry, owner, "heat-load", "9", "broken", "x")
    releases.yank(registry, owner, "Heat_Load", "1.1.0", "broken", 'kelvin for "degrees" <b>')
    told = {f["filename"]: f["yanked"] for f in page(client)["files"]}
    assert told["heat_load-1.1-py3-none-any.whl"] == 'broken: kelvin for "degrees" <b>'
    assert told["heat_load-1.0-py3-none-any.whl"] is False
    assert "kelvin for &quot;degrees&quot; &lt;b&gt;" in client.get(PAGE).text
    assert page(client)["versions"] == ["1.0", "1.1"]
    releases.restore(registry, owner, "heat-load", "1.1")
    assert not any(f["yanked"] for f in page(client)["files"])


def test_a_quarantined_project_shows_no_file_but_says_why(
    registry: Registry, client: httpx.Client, owner: Identity, moderator: Identity
) -> None:
    (first, *_) = page(client)["files"]
    url = httpx.URL(f"{client.base_url}{PAGE}").join(first["url"])
    assert client.get(url).status_code == 200
    with pytest.raises(Forbidden):
        releases.mark(registry, owner, "heat-load", "quarantined", "suspicion")
    releases.mark(registry, moderator, "heat-load", "quarantined", "reads the environment")
    told = page(client)
    assert (told["files"], told["versions"]) == ([], [])
    assert told["project-status"] == {"status": "quarantined", "reason": "reads the environment"}
    assert client.get(url).status_code == 404
    assert 'name="pypi:project-status" content="quarantined"' in client.get(PAGE).text
    with pytest.raises(Forbidden):
        releases.mark(registry, owner, "heat-load", "active")
    releases.mark(registry, moderator, "heat-load", "active")
    assert len(page(client)["files"]) == 3
    assert client.get(url).status_code == 200
    releases.mark(registry, owner, "heat-load", "deprecated", "use heat-load-2", "heat-load-2")
    assert page(client)["project-status"] == {"status": "deprecated", "reason": "use heat-load-2"}


def test_an_archived_project_takes_no_file(
    registry: Registry, client: httpx.Client, owner: Identity, checkers: Checkers
) -> None:
    releases.mark(registry, owner, "heat-load", "archived", "finished")
    with pytest.raises(Refused, match="archived"):
        put(registry, checkers, owner, make_wheel(version="2.0"), version="2.0")
    assert len(page(client)["files"]) == 3


def test_who_deletes_what_and_the_name_is_never_used_again(
    registry: Registry, client: httpx.Client, owner: Identity, moderator: Identity, checkers: Checkers
) -> None:
    name, content = make_wheel(version="1.1")
    (told,) = [f for f in page(client)["files"] if f["filename"] == name]
    releases.delete(registry, owner, "heat-load", name, "mistake")
    assert page(client)["versions"] == ["1.0"]
    assert client.get(httpx.URL(f"{client.base_url}{PAGE}").join(told["url"])).status_code == 404
    from ldt_registry.problems import Conflict

    for again in ((name, content), (name, make_wheel(version="1.1", body="x = 1")[1])):
        with pytest.raises(Conflict, match="deleted"):
            put(registry, checkers, owner, again, version="1.1")
    wheel, _ = make_wheel()
    (told,) = [f for f in page(client)["files"] if f["filename"] == wheel]
    assert client.get(httpx.URL(f"{client.base_url}{PAGE}").join(told["url"])).status_code == 200
    until_noted(registry, wheel)
    with pytest.raises(Forbidden, match="others may rely"):
        releases.delete(registry, owner, "heat-load", wheel, "mistake")
    releases.delete(registry, moderator, "heat-load", wheel, "court order")
    assert [f["filename"] for f in page(client)["files"]] == ["heat_load-1.0.tar.gz"]


def until_noted(registry: Registry, filename: str) -> None:
    from servers import until

    def noted() -> bool:
        with registry.database.read() as connection:
            at = connection.scalar(
                sa.select(schema.file.c.first_download).where(schema.file.c.filename == filename)
            )
            return at is not None

    until(noted, what="the note of a download")


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_file_is_sent_as_it_is_and_in_parts(client: httpx.Client) -> None:
    content = make_wheel()[1]
    told = page(client)["files"][0]
    url = httpx.URL(f"{client.base_url}{PAGE}").join(told["url"])
    for path in (url, f"{url}.metadata"):
        answer = client.get(path, headers={"Accept-Encoding": "gzip, zstd, br"})
        assert "content-encoding" not in answer.headers
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert client.get(url).content == content
    part = client.get(url, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, content[10:20])
    assert client.head(url).headers["content-length"] == str(len(content))
    assert client.get(url).headers["etag"] == f'"{hashlib.sha256(content).hexdigest()}"'
    assert client.get(f"{url}.metadata.metadata").status_code == 404
    sdist = httpx.URL(f"{client.base_url}{PAGE}").join(page(client)["files"][1]["url"])
    assert client.get(sdist).status_code == 200
    assert client.get(f"{sdist}.metadata").status_code == 404


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_what_somebody_uploaded_runs_nothing_on_our_origin(client: httpx.Client) -> None:
    url = httpx.URL(f"{client.base_url}{PAGE}").join(page(client)["files"][0]["url"])
    for path in (url, f"{url}.metadata"):
        headers = client.get(path).headers
        assert headers["content-type"] == "application/octet-stream"
        assert headers["content-disposition"].startswith("attachment;")
        assert "sandbox" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("rounds", [200, pytest.param(10_000, marks=pytest.mark.slow)])
def test_no_path_but_that_of_a_page_leads_to_a_file(
    registry: Registry, client: httpx.Client, rounds: int
) -> None:
    """Mutations of a true path, and paths to what lies beside the blobs."""
    url = str(httpx.URL(f"{client.base_url}{PAGE}").join(page(client)["files"][0]["url"]).raw_path.decode())
    assert client.get(url).status_code == 200
    sha256 = url.split("/")[3]
    (registry.settings.home / "secret.whl").write_text("secret")
    chance = random.Random(7)
    pieces = [
        "..",
        "%2e%2e",
        "%2f",
        "\\",
        "%5c",
        "%00",
        ".",
        "//",
        sha256,
        sha256[:2],
        "files",
        "registry.db",
    ]
    pieces += [
        "secret.whl",
        "%252e%252e",
        "..%2f..%2fregistry.db",
        "heat_load-1.0-py3-none-any.whl",
        "etc",
        "passwd",
    ]
    seen = set()
    for round in range(rounds):
        if round % 3:
            path = "/files/" + "/".join(chance.choices(pieces, k=chance.randint(1, 6)))
        else:
            at = chance.randrange(7, len(url))
            path = (
                url[:at]
                + chance.choice(string.printable[:94].replace("?", "").replace("#", ""))
                + url[at + 1 :]
            )
        if path == url or path in seen:
            continue
        seen.add(path)
        answer = client.get(path)
        if not answer.url.path.startswith("/files/"):
            continue  # the client went up by itself, to a page that has tests of its own
        assert answer.status_code in (404, 405), (path, answer.status_code)
        assert b"secret" not in answer.content.replace(b"secret.whl", b"")
        assert b"SQLite" not in answer.content
    assert len(seen) > rounds / 2


def test_while_the_storage_lacks_the_bytes_the_answer_is_no_success(
    registry: Registry, client: httpx.Client
) -> None:
    told = page(client)["files"][0]
    registry.blobs.delete(told["hashes"]["sha256"])
    answer = client.get(httpx.URL(f"{client.base_url}{PAGE}").join(told["url"]))
    assert answer.status_code == 503
    assert json.loads(answer.text)["status"] == 503


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_files_come_from_a_bucket_as_they_do_from_a_folder(
    registry: Registry, s3: S3Server, serve: Callable[[Registry], Served], owner: Identity, checkers: Checkers
) -> None:
    settings = Settings.load(**registry.settings.model_dump() | s3.new_bucket())
    remote = dataclasses.replace(registry, settings=settings, blobs=open_blobs(settings))
    file = make_wheel()
    assert put(remote, checkers, owner, file).new
    assert not put(remote, checkers, owner, file).new
    with httpx.Client(base_url=serve(remote).address) as client:
        told = page(client)["files"][0]
        url = httpx.URL(f"{client.base_url}{PAGE}").join(told["url"])
        answer = client.get(url)
        assert answer.content == file[1]
        assert answer.headers["content-length"] == str(len(file[1]))
        assert "content-encoding" not in answer.headers
        sidecar = client.get(f"{url}.metadata").content
        assert hashlib.sha256(sidecar).hexdigest() == told["core-metadata"]["sha256"]
        remote.blobs.delete(told["hashes"]["sha256"])
        assert client.get(url).status_code == 503
    assert not list(remote.blobs.staging.iterdir())


def test_a_new_epoch_is_noticed(registry: Registry, client: httpx.Client) -> None:
    from ldt_registry import journal

    before = page(client)
    with registry.database.write() as connection:
        journal.new_epoch(connection)
        connection.execute(sa.update(schema.project).values(serial=1))
    assert page(client)["meta"]["_last-serial"] == 1
    assert page(client)["files"] == before["files"]
    assert re.fullmatch(
        r'"[0-9a-f]{32}"', client.get(PAGE, headers={"Accept-Encoding": "identity"}).headers["etag"]
    )
