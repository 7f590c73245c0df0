"""Tokens: their form, their end, what each scope allows; a leaked one is found in no log and can be ended by its finder."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import zlib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from dists import fields, make_account, make_token, make_wheel, put
from ldt_registry import audit, limits, schema, tokens
from ldt_registry.checkers import Checkers
from ldt_registry.database import now
from ldt_registry.problems import Conflict, Forbidden, Malformed, TooMany, Unauthenticated
from ldt_registry.registry import Registry
from ldt_registry.tokens import Identity, authenticate
from servers import Served


@pytest.fixture(params=["sqlite"])
def database(request: pytest.FixtureRequest) -> str:
    """What depends on the database says so by itself."""
    return str(request.param)


both = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)


def identity_of(registry: Registry, *scopes: str, account: int | None = None) -> Identity:
    return authenticate(registry, f"Bearer {make_token(registry, account, *scopes)}")


def test_a_token_is_known_by_its_form_and_only_its_digest_is_kept(registry: Registry) -> None:
    whole = make_token(registry)
    body, check = whole.removeprefix("ldtr_")[:-8], whole[-8:]
    assert re.fullmatch(r"ldtr_[0-9a-f]{12}[A-Za-z0-9_-]{43}[0-9a-f]{8}", whole)
    assert check == f"{zlib.crc32(body.encode()):08x}"
    with registry.database.read() as connection:
        row = connection.execute(sa.select(schema.token)).one()
        everything = json.dumps([str(r) for r in audit.read(connection)])
    assert row.id == tokens.id_of(whole)
    assert whole[17:] not in f"{row} {everything}"


@both
@pytest.mark.parametrize(
    "kind", ["revoked", "ended", "suspended", "changed", "no token", "wrong user", "not base64"]
)
def test_what_is_no_token_in_force_is_refused(registry: Registry, kind: str) -> None:
    account = make_account(registry)
    whole = make_token(registry, account)
    header = f"Bearer {whole}"
    assert authenticate(registry, header).account_id == account
    with registry.database.write() as connection:
        if kind == "revoked":
            assert tokens.revoke(connection, "test", tokens.id_of(whole), "lost")
            assert not tokens.revoke(connection, "test", tokens.id_of(whole), "lost")
        elif kind == "ended":
            connection.execute(sa.update(schema.token).values(not_after=now(connection)))
        elif kind == "suspended":
            connection.execute(sa.update(schema.account).values(state="suspended"))
    if kind == "changed":
        body = whole[5:-9] + ("A" if whole[-9] != "A" else "B")
        header = f"Bearer ldtr_{body}{zlib.crc32(body.encode()):08x}"
    elif kind == "no token":
        header = "Bearer of bad news"
    elif kind == "wrong user":
        header = "Basic " + base64.b64encode(f"ann:{whole}".encode()).decode()
    elif kind == "not base64":
        header = "Basic é"
    with pytest.raises(Forbidden if kind == "suspended" else Unauthenticated):
        authenticate(registry, header)


@pytest.mark.parametrize(
    "scope", ["", "everything", "upload:", "upload:UPPER", "create", "create:a-*", "upload:*", "upload\n"]
)
def test_a_scope_that_is_none_is_refused(registry: Registry, scope: str) -> None:
    with pytest.raises(Malformed, match="scope"):
        make_token(registry, None, scope)


def test_a_token_ends_within_a_year(registry: Registry) -> None:
    account = make_account(registry)
    with registry.database.write() as connection, pytest.raises(Malformed, match="366 days"):
        tokens.make(connection, tokens.operator("test"), account, ["upload"], days=400)


@pytest.mark.parametrize(
    ("scopes", "allowed"),
    [
        (["upload"], True),
        (["upload:heat-load"], True),
        (["upload:heat-*"], True),
        (["create:heat-load"], True),
        (["upload:heat-load-*"], True),
        (["upload:heat"], False),
        (["upload:heating-*"], False),
        (["yank", "manage", "certify:run"], False),
        (["create:heat"], False),
    ],
)
def test_a_scope_allows_no_more_than_it_says(
    registry: Registry, checkers: Checkers, scopes: list[str], allowed: bool
) -> None:
    identity = identity_of(registry, *scopes)
    if allowed:
        assert put(registry, checkers, identity, make_wheel()).new
    else:
        with pytest.raises(Forbidden, match="scope"):
            put(registry, checkers, identity, make_wheel())


@both
def test_a_token_to_create_makes_one_release_of_one_project_once(
    registry: Registry, checkers: Checkers
) -> None:
    identity = identity_of(registry, "create:heat-load", "create:heat-load-two")
    assert put(registry, checkers, identity, make_wheel()).new
    assert not put(registry, checkers, identity, make_wheel()).new, "a job that runs again"
    assert put(registry, checkers, identity, make_wheel(tag="py3-none-win32")).new, "a second file of it"
    with pytest.raises(Forbidden):
        put(registry, checkers, identity, make_wheel(version="2.0"), version="2.0")
    with pytest.raises(Forbidden):
        put(registry, checkers, identity, make_wheel("heat-load-two"), name="heat-load-two")
    with pytest.raises(Forbidden, match=r"not yours|scope"):
        put(registry, checkers, identity_of(registry, "create:heat-load"), make_wheel())


@both
def test_a_name_that_could_be_taken_for_anothers_is_refused(registry: Registry, checkers: Checkers) -> None:
    ann = make_account(registry)
    put(
        registry,
        checkers,
        identity_of(registry, "upload", account=ann),
        make_wheel("solar-roof"),
        name="solar-roof",
    )
    for name in ("so1ar-roof", "solarroof", "s0lar-r00f", "requests", "pydantic", "ldt-core", "numpyy"):
        with pytest.raises(Conflict, match=r"could be taken|cannot be taken"):
            put(registry, checkers, identity_of(registry), make_wheel(name), name=name)
    own = identity_of(registry, "upload", account=ann)
    assert put(registry, checkers, own, make_wheel("solarroof"), name="solarroof").new, "one's own names"


@both
def test_a_token_that_is_revoked_while_the_bytes_are_kept_publishes_nothing(
    registry: Registry, checkers: Checkers
) -> None:
    from test_races import meddled

    identity = identity_of(registry)

    def revoke() -> None:
        with registry.database.write() as connection:
            tokens.revoke(connection, "test", identity.token_id, "lost")

    with pytest.raises(Unauthenticated):
        put(meddled(registry, revoke), checkers, identity, make_wheel())
    with registry.database.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(schema.project)) == 0


@pytest.mark.usefixtures("long_windows")
def test_one_account_makes_so_many_projects_an_hour(registry: Registry, checkers: Checkers) -> None:
    import dataclasses

    settings = registry.settings.model_copy(update={"projects_per_hour": 2})
    registry = dataclasses.replace(registry, settings=settings)
    identity = identity_of(registry)
    for name in ("tree-crowns", "wind-rose"):
        assert put(registry, checkers, identity, make_wheel(name), name=name).new
    with pytest.raises(TooMany):
        put(registry, checkers, identity, make_wheel("night-noise"), name="night-noise")
    assert put(
        registry, checkers, identity, make_wheel("wind-rose", "2.0"), name="wind-rose", version="2.0"
    ).new
    assert put(registry, checkers, identity_of(registry), make_wheel("night-noise"), name="night-noise").new


@both
@pytest.mark.usefixtures("long_windows")
def test_a_thousand_guesses_are_stopped_early_and_a_good_token_elsewhere_works(registry: Registry) -> None:
    """Attack 12. What is limited is the network that guesses; what is compared is a digest, found by an index."""
    good = f"Bearer {make_token(registry)}"
    seen: dict[str, int] = {}
    tries = 1000 if registry.database.dialect == "sqlite" else 200
    for n in range(tries):
        body = f"{n:012x}" + "A" * 43
        try:
            authenticate(registry, f"Bearer ldtr_{body}{zlib.crc32(body.encode()):08x}", "192.0.2.1")
        except (Unauthenticated, TooMany) as exc:
            seen[type(exc).__name__] = seen.get(type(exc).__name__, 0) + 1
            last = exc
    assert seen == {
        "Unauthenticated": limits.TOKENS_OF_NETWORK.count,
        "TooMany": tries - limits.TOKENS_OF_NETWORK.count,
    }
    assert last.status == 429
    assert int(last.headers["Retry-After"]) > 0
    with pytest.raises(TooMany):
        authenticate(registry, good, "192.0.2.1")
    assert authenticate(registry, good, "192.0.2.2")
    with registry.database.write() as connection:
        connection.execute(sa.update(schema.attempt).values(since=now(connection) - timedelta(days=2)))
    limits.forget(registry)
    assert authenticate(registry, good, "192.0.2.1"), "a limit ends, and nothing of the network is kept"


def test_a_leaked_token_is_ended_by_who_found_it(
    registry: Registry, serve: Callable[[Registry], Served]
) -> None:
    """Attack 11."""
    address = serve(registry).address
    whole = make_token(registry)
    said = {"token": whole, "url": "https://example.org/a-public-gist"}
    assert authenticate(registry, f"Bearer {whole}")
    assert httpx.post(f"{address}/api/v1/tokens/leaked", json=said).json() == {"revoked": True}
    assert httpx.post(f"{address}/api/v1/tokens/leaked", json=said).json() == {"revoked": False}
    with pytest.raises(Unauthenticated):
        authenticate(registry, f"Bearer {whole}")
    with registry.database.read() as connection:
        (told,) = [e for e in audit.read(connection) if e["action"] == "token-revoked"]
    assert "a-public-gist" in told["detail"]


def test_a_token_stands_in_no_log_whatever_a_client_does_with_it(tmp_path: Path) -> None:
    """Attack 11: real server; in address, name of a file, form, wrong header and fault; then all that it wrote is searched."""
    from servers import until

    home = tmp_path / "home"
    command = [
        sys.executable,
        "-m",
        "ldt_core.cli",
        "registry",
        "serve",
        "--home",
        str(home),
        "--port",
        "0",
        "--json",
    ]
    log = tmp_path / "log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    try:
        assert process.stdout is not None
        said: dict[str, Any] = json.loads(process.stdout.readline())
        token, base = said["token"], said["address"]

        def ready() -> bool:
            try:
                return httpx.get(f"{base}/health/live").is_success
            except httpx.TransportError:
                return False

        until(ready, what="the registry")
        name, content = make_wheel()
        form = fields(name, content)
        tries = [
            httpx.get(f"{base}/simple/{token}/", params={"token": token}),
            httpx.get(f"{base}/files/aa/{token}/{token}.whl"),
            httpx.post(f"{base}/legacy/", headers={"Authorization": f"Token {token}"}),
            httpx.post(
                f"{base}/legacy/",
                data=form | {"name": token},
                files={"content": (f"{token}.whl", content)},
                auth=("__token__", token),
            ),
            httpx.post(f"{base}/_/oidc/mint-token", json={"token": token}),
            httpx.post(f"{base}/_/oidc/mint-token", content=f'{{"token": {token}'.encode()),
        ]
        assert all(300 <= t.status_code < 500 for t in tries), [(t.status_code, t.text) for t in tries]
        assert httpx.post(
            f"{base}/legacy/", data=form, files={"content": (name, content)}, auth=("__token__", token)
        ).is_success
    finally:
        process.terminate()
        process.communicate(timeout=30)
    secret = token[17:].encode()
    assert secret not in log.read_bytes()
    found = [p for p in home.rglob("*") if p.is_file() and secret in p.read_bytes()]
    assert not found
    assert tokens.redact(f"a {token} b") == f"a {token[:17]}... b"


LOGGING = """
import logging, structlog, sys
from ldt_registry import logs
logs.configure()
try:
    raise ValueError(sys.argv[1])
except ValueError:
    logging.getLogger("uvicorn").exception("it failed with %s", sys.argv[1])
    structlog.get_logger().exception("job failed", said=sys.argv[1])
"""


def test_a_traceback_is_logged_without_the_secret(registry: Registry) -> None:
    """Attack 11: the frames and messages of others, too."""
    whole = make_token(registry)
    done = subprocess.run([sys.executable, "-c", LOGGING, whole], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert len(lines) == 2
    assert all(whole[:17] in str(line) and "ValueError" in line["exception"] for line in lines)
    assert whole[17:] not in done.stderr
