"""An upload over HTTP: what is published, what is refused and with which status; nothing is left of what was refused."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import forge
import httpx
import pytest
import sqlalchemy as sa
from dists import fields, make_account, make_sdist, make_token, make_wheel
from forge import FILENAME
from ldt_registry import audit, schema
from ldt_registry.database import now
from ldt_registry.registry import Registry
from servers import Served
from test_archive import CORPUS

Send = Callable[..., httpx.Response]


@pytest.fixture
def served(registry: Registry, serve: Callable[[Registry], Served]) -> Served:
    return serve(registry)


@pytest.fixture
def token(registry: Registry) -> str:
    return make_token(registry)


@pytest.fixture
def send(served: Served, token: str) -> Iterator[Send]:
    """Upload a file as a client does; what is said replaces fields of the form, None leaves one out."""
    with httpx.Client(base_url=served.address, timeout=30) as client:

        def send(
            file: tuple[str, bytes], *, token: str = token, auth: Any = None, **said: Any
        ) -> httpx.Response:
            name, version = said.get("name") or "heat-load", said.get("version") or "1.0"
            form = fields(*file, name, version) | said
            return client.post(
                "/legacy/",
                data={k: v for k, v in form.items() if v is not None},
                files={"content": file},
                auth=auth or ("__token__", token),
            )

        yield send


def rows(registry: Registry, table: sa.Table) -> list[Any]:
    with registry.database.read() as connection:
        return list(connection.execute(sa.select(table)))


def nothing_left(registry: Registry) -> bool:
    """No staged file, no claim: a refused upload is gone."""
    return not list(registry.blobs.staging.iterdir()) and not rows(registry, schema.claim)


def page(served: Served, name: str = "heat-load") -> Any:
    answer = httpx.get(
        f"{served.address}/simple/{name}/", headers={"Accept": "application/vnd.pypi.simple.v1+json"}
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_wheel_is_published_with_its_metadata_and_again_is_no_error(
    registry: Registry, served: Served, send: Send
) -> None:
    name, content = make_wheel()
    answer = send((name, content))
    assert (answer.status_code, answer.text) == (200, f"published: {name}\n")
    again = send((name, content))
    assert (again.status_code, again.text) == (200, f"already published: {name}\n")
    (told,) = page(served)["files"]
    base = f"{served.address}/simple/heat-load/"
    got = httpx.get(httpx.URL(base).join(told["url"]))
    assert got.content == content
    assert told["hashes"]["sha256"] == hashlib.sha256(content).hexdigest()
    sidecar = httpx.get(httpx.URL(base).join(told["url"] + ".metadata"))
    assert sidecar.content.startswith(b"Metadata-Version: 2.4\nName: heat-load")
    assert told["core-metadata"]["sha256"] == hashlib.sha256(sidecar.content).hexdigest()
    assert {b.state for b in rows(registry, schema.blob)} == {"live"}
    assert len(rows(registry, schema.journal)) == 1
    with registry.database.read() as connection:
        assert audit.verify(connection) is None
    assert nothing_left(registry)


def test_other_bytes_under_a_published_name_are_refused_and_the_first_stay(
    registry: Registry, served: Served, send: Send
) -> None:
    first = make_wheel()
    assert send(first).status_code == 200
    answer = send(make_wheel(body="changed = True"))
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert "already" in answer.json()["detail"]
    assert page(served)["files"][0]["hashes"]["sha256"] == hashlib.sha256(first[1]).hexdigest()
    assert nothing_left(registry)


def test_wheel_and_source_distribution_stand_in_one_release(served: Served, send: Send) -> None:
    assert send(make_wheel()).status_code == 200
    assert send(make_sdist()).status_code == 200
    told = page(served)
    assert told["versions"] == ["1.0"]
    assert [f["filename"] for f in told["files"]] == [
        "heat_load-1.0-py3-none-any.whl",
        "heat_load-1.0.tar.gz",
    ]
    assert told["files"][1]["core-metadata"] is False


@pytest.mark.parametrize(
    "said",
    [
        {"name": "other"},
        {"version": "2.0"},
        {"filetype": "sdist"},
        {"sha256_digest": "0" * 64},
        {"blake2_256_digest": "0" * 64},
        {"md5_digest": "0" * 32},
        {"sha256_digest": None},
        {":action": "submit"},
        {"protocol_version": None},
        {"metadata_version": None},
        {"version": None},
        {"name": ["heat-load", "heat-load"]},
    ],
    ids=str,
)
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_form_that_does_not_agree_with_the_file_is_malformed(
    registry: Registry, send: Send, said: dict[str, Any]
) -> None:
    form = fields(*make_wheel()) | said
    answer = send(make_wheel(), **form)
    assert answer.status_code == 400
    assert answer.json()["fix"]
    assert nothing_left(registry)
    assert not rows(registry, schema.project)
    assert send(make_wheel()).status_code == 200, "the control passes"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_every_digest_that_clients_send_is_taken_and_checked(send: Send) -> None:
    name, content = make_wheel()
    answer = send(
        (name, content),
        sha256_digest=None,
        md5_digest=hashlib.md5(content, usedforsecurity=False).hexdigest().upper(),
        blake2_256_digest=hashlib.blake2b(content, digest_size=32).hexdigest(),
    )
    assert answer.status_code == 200


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("file", "name", "version"),
    [
        (make_wheel("other"), "heat-load", "1.0"),
        (make_wheel(), "heat-load", "1.1"),
        (make_wheel(version="1.1"), "heat-load", "1.0"),
    ],
    ids=["name", "form", "version"],
)
def test_filename_metadata_and_form_must_agree(
    registry: Registry, send: Send, file: tuple[str, bytes], name: str, version: str
) -> None:
    renamed = (f"{name.replace('-', '_')}-{version}-py3-none-any.whl", file[1])
    for sent in (file, renamed):
        if sent[0] == "heat_load-1.0-py3-none-any.whl" and file == make_wheel():
            continue
        assert send(sent, name=name, version=version).status_code in (400, 422)
    assert nothing_left(registry)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_without_a_token_that_holds_nothing_is_read(registry: Registry, served: Served, send: Send) -> None:
    account = make_account(registry)
    for wrong in ("", "ldtr_guess", make_token(registry, account, days=-1), "__token__"):
        answer = send(make_wheel(), token=wrong)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Basic")
    assert send(make_wheel(), auth=("ann", make_token(registry, account))).status_code == 401
    anonymous = httpx.post(f"{served.address}/legacy/", content=b"x")
    assert anonymous.status_code == 401
    bearer = httpx.post(
        f"{served.address}/legacy/",
        content=b"x",
        headers={"Authorization": f"Bearer {make_token(registry, account)}"},
    )
    assert bearer.status_code == 400, "the token holds; the body is none"
    assert nothing_left(registry)


def test_only_who_holds_a_project_adds_to_it(registry: Registry, send: Send) -> None:
    assert send(make_wheel()).status_code == 200
    stranger = make_token(registry)
    answer = send(make_wheel(version="2.0"), version="2.0", token=stranger)
    assert answer.status_code == 403
    narrow = make_token(registry, make_account(registry), "upload:other")
    assert send(make_wheel("others"), name="others", token=narrow).status_code == 403
    assert send(make_wheel("other"), name="other", token=narrow).status_code == 200
    assert nothing_left(registry)


def test_a_namespace_is_its_organisations_and_a_member_publishes_in_it(
    registry: Registry, send: Send
) -> None:
    member = make_account(registry)
    with registry.database.write() as connection:
        made = {"created_at": now(connection)}
        org = connection.execute(sa.insert(schema.org).values(name="city", **made)).inserted_primary_key
        assert org is not None
        connection.execute(
            sa.insert(schema.membership).values(
                org_id=org[0], account_id=member, role="publisher", since=now(connection)
            )
        )
        connection.execute(
            sa.insert(schema.namespace).values(
                prefix="city", org_id=org[0], proof="admin", proof_of="city.example", state="granted", **made
            )
        )
    answer = send(make_wheel("city-air"), name="city-air")
    assert answer.status_code == 409
    assert "namespace-held" in answer.json()["type"]
    assert send(make_wheel("cityscape"), name="cityscape").status_code == 200
    assert (
        send(make_wheel("city-air"), name="city-air", token=make_token(registry, member)).status_code == 200
    )
    (project,) = [p for p in rows(registry, schema.project) if p.norm_name == "city-air"]
    assert project.org_id == org[0]


def test_a_second_spelling_of_a_file_is_refused(send: Send) -> None:
    assert send(make_wheel(version="1.0")).status_code == 200
    answer = send(make_wheel(version="1.0.0"), version="1.0.0")
    assert answer.status_code == 409
    assert send(make_wheel(version="1.0", tag="py3-none-linux_x86_64")).status_code == 200


def test_a_release_closes_after_two_weeks_and_at_its_first_certificate(
    registry: Registry, send: Send
) -> None:
    def add(tag: str) -> int:
        return send(make_wheel(tag=tag)).status_code

    assert add("py3-none-any") == 200
    assert add("py3-none-linux_x86_64") == 200
    with registry.database.write() as connection:
        at = now(connection)
        values = {"created_at": at - timedelta(days=15)}
        connection.execute(sa.update(schema.release).values(**values))
    assert add("py3-none-macosx_11_0_arm64") == 422
    with registry.database.write() as connection:
        connection.execute(sa.update(schema.release).values(created_at=at))
        first = connection.execute(sa.select(schema.file)).first()
        assert first is not None
        connection.execute(
            sa.insert(schema.certificate).values(
                id="c-1",
                subject=first.sha256,
                level=1,
                catalogue="1",
                bundle_sha256=first.sha256,
                issued=at,
                not_after=at + timedelta(days=1),
            )
        )
    assert add("py3-none-macosx_11_0_arm64") == 422
    assert add("py3-none-any") == 200, "the same bytes again are no addition"


def test_blocked_bytes_and_switches_refuse_with_their_reason(registry: Registry, send: Send) -> None:
    name, content = make_wheel()
    with registry.database.write() as connection:
        at = now(connection)
        connection.execute(
            sa.insert(schema.file_decision).values(
                sha256=hashlib.sha256(content).hexdigest(),
                decision="block",
                reason="steals keys",
                actor="m",
                at=at,
            )
        )
    answer = send((name, content))
    assert answer.status_code == 422
    assert "steals keys" in answer.json()["detail"]
    for flag, status in (("no-new-projects", 503), ("no-uploads", 503), ("read-only", 503)):
        with registry.database.write() as connection:
            connection.execute(sa.delete(schema.flag))
            connection.execute(
                sa.insert(schema.flag).values(name=flag, on=True, reason="moving house", since=at)
            )
        answer = send(make_wheel("air"), name="air")
        assert answer.status_code == status
        assert "moving house" in answer.json()["detail"]
    with registry.database.write() as connection:
        connection.execute(sa.update(schema.flag).values(on=False))
    assert send(make_wheel("air"), name="air").status_code == 200
    assert nothing_left(registry)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_every_hostile_wheel_is_refused_at_the_door_and_nothing_of_it_stays(
    registry: Registry, send: Send
) -> None:
    """The corpus of bad archives, each sent as a client would; the wheel that they are made from is published."""
    for what, (make, code) in CORPUS.items():
        content = make()
        answer = send((FILENAME, content))
        assert answer.status_code in (400, 413, 422), what
        assert answer.json()["type"] == f"urn:ldt:registry:{code}", what
        assert nothing_left(registry), what
    assert not rows(registry, schema.project)
    assert not rows(registry, schema.blob)
    assert send((FILENAME, forge.wheel())).status_code == 200


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_one_changed_byte_of_a_member_is_found_by_its_record(send: Send) -> None:
    files = forge.members()
    lying = forge.wheel(files | {f"{forge.PACKAGE}/__init__.py": b'"""A pbckage."""\n'}, **_row(files))
    answer = send((FILENAME, lying))
    assert answer.status_code in (400, 422)
    assert "RECORD" in answer.json()["detail"]


def _row(files: dict[str, bytes]) -> dict[str, str]:
    """The row of RECORD that the unchanged module has."""
    name = f"{forge.PACKAGE}/__init__.py"
    return {name: next(r for r in forge.record(files).decode().splitlines() if r.startswith(name))}
