"""Signing in at the pages: guesses are stopped, forms of others are refused, nobody can plant a session (attacks 12, 32)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from dists import make_token
from ldt_registry import accounts, audit, limits, schema, sessions
from ldt_registry.commands import registry as command
from ldt_registry.database import now
from ldt_registry.problems import Forbidden, Refused, TooMany, Unauthenticated
from ldt_registry.registry import Registry
from ldt_registry.tokens import operator
from servers import Served

ADMIN = operator("test")
PASSWORD = "correct horse battery"


@pytest.fixture(params=["sqlite"])
def database(request: pytest.FixtureRequest) -> str:
    return str(request.param)


both = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real hash with less of it: one test of accounts has the real cost."""
    from argon2 import PasswordHasher

    quick = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    nobody = quick.hash("the password of nobody")
    monkeypatch.setattr(accounts, "_hasher", lambda: quick)
    monkeypatch.setattr(accounts, "_nobody", lambda: nobody)


@pytest.fixture
def ann(registry: Registry, quick_hashes: None) -> int:
    return accounts.make(registry, ADMIN, "ann", password=PASSWORD)


@both
def test_a_session_is_known_by_its_secret_until_it_ends(registry: Registry, ann: int) -> None:
    secret = sessions.login(registry, "ann", PASSWORD)
    found = sessions.find(registry, secret)
    assert (found.name, found.identity.account_id, found.fresh) == ("ann", ann, True)
    with registry.database.read() as connection:
        row = connection.execute(sa.select(schema.web_session)).one()
        entries = list(audit.read(connection))
    assert secret not in str(row)
    assert not any(secret in str(e) or PASSWORD in str(e) for e in entries)
    for wrong in (None, "", secret + "x", row.sha256):
        with pytest.raises(Unauthenticated):
            sessions.find(registry, wrong)

    def let_pass(**ahead: Any) -> None:
        with registry.database.write() as connection:
            connection.execute(sa.update(schema.web_session).values({k: now(connection) for k in ahead}))

    let_pass(fresh_until=0)
    stale = sessions.find(registry, secret)
    with pytest.raises(Forbidden, match="password again"):
        sessions.require_fresh(stale)
    with pytest.raises(Unauthenticated):
        sessions.confirm(registry, secret, "wrong")
    sessions.confirm(registry, secret, PASSWORD)
    sessions.require_fresh(sessions.find(registry, secret))
    let_pass(not_after=0)
    with pytest.raises(Unauthenticated):
        sessions.find(registry, secret)
    sessions.forget(registry)
    with registry.database.read() as connection:
        assert connection.execute(sa.select(schema.web_session)).all() == []


@pytest.mark.parametrize("change", ["logout", "password", "suspended", "role", "login again"])
def test_a_session_ends_with_what_it_stood_for(registry: Registry, ann: int, change: str) -> None:
    secret, other = sessions.login(registry, "ann", PASSWORD), sessions.login(registry, "ann", PASSWORD)
    match change:
        case "logout":
            sessions.logout(registry, secret)
            assert sessions.find(registry, other), "only this one"
        case "password":
            accounts.set_password(registry, ADMIN, "ann", "another long sentence")
        case "suspended":
            accounts.set_state(registry, ADMIN, "ann", "suspended")
        case "role":
            accounts.set_role(registry, ADMIN, "ann", "moderator")
        case "login again":
            assert sessions.login(registry, "ann", PASSWORD, before=secret) != secret
    with pytest.raises(Unauthenticated):
        sessions.find(registry, secret)


@both
@pytest.mark.usefixtures("long_windows")
def test_a_thousand_guesses_at_a_password_are_stopped(registry: Registry, ann: int) -> None:
    """Attack 12: by account, wherever they come from; by network, whomever they are for."""

    def answers(count: int, name: Callable[[int], str], network: Callable[[int], str]) -> dict[str, int]:
        seen: dict[str, int] = {}
        for n in range(count):
            try:
                sessions.login(registry, name(n), f"guess {n}", network=network(n))
            except (Unauthenticated, TooMany) as exc:
                seen[type(exc).__name__] = seen.get(type(exc).__name__, 0) + 1
        return seen

    most = limits.LOGINS_OF_ACCOUNT.count
    tries = 1000 if registry.database.dialect == "sqlite" else 100
    assert answers(tries, lambda _: "ann", lambda n: f"192.0.2.{n}") == {
        "Unauthenticated": most,
        "TooMany": tries - most,
    }
    with pytest.raises(TooMany) as caught:
        sessions.login(registry, "ann", PASSWORD, network="198.51.100.1")
    assert int(caught.value.headers["Retry-After"]) > 0
    most = limits.LOGINS_OF_NETWORK.count
    assert answers(100, lambda n: f"b{n}", lambda _: "203.0.113.1") == {
        "Unauthenticated": most,
        "TooMany": 100 - most,
    }
    with registry.database.write() as connection:
        connection.execute(sa.update(schema.attempt).values(since=now(connection) - timedelta(hours=1)))
    assert sessions.login(registry, "ann", PASSWORD, network="203.0.113.1"), "a limit ends"


def test_an_account_that_is_none_takes_as_long_as_a_wrong_password(
    registry: Registry, ann: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attack 12: both compute one hash, so that the time does not tell; what is counted is the work, not the clock."""
    done: list[str] = []
    hasher = accounts._hasher()
    verify = type(hasher).verify

    def count(self: Any, hashed: str, password: str) -> bool:
        done.append(hashed.rsplit("$", 2)[0])
        return verify(self, hashed, password)

    monkeypatch.setattr(type(hasher), "verify", count)
    accounts.make(registry, ADMIN, "tokens-only")
    for name in ("ann", "nobody", "tokens-only", "x" * 5000, "ann\x00", "\ud800"):
        with pytest.raises(Unauthenticated, match="Name, password or code"):
            sessions.login(registry, name, "wrong")
    assert len(done) == 6
    assert len(set(done)) == 1, "with the same parameters"


def test_a_second_factor_is_asked_for_and_each_code_is_used_once(registry: Registry, ann: int) -> None:
    secret, shown = sessions.new_factor(registry, "ann")
    assert secret in shown
    session = sessions.find(registry, sessions.login(registry, "ann", PASSWORD))
    with pytest.raises(Refused):
        sessions.set_second_factor(registry, session, secret, "000000x")
    step = int(time.time()) // 30
    sessions.set_second_factor(registry, session, secret, sessions.code_at(secret, step))
    for code in ("", "123", sessions.code_at(secret, step - 20)):
        with pytest.raises(Unauthenticated):
            sessions.login(registry, "ann", PASSWORD, code=code)
    code = sessions.code_at(secret, int(time.time()) // 30)
    with pytest.raises(Unauthenticated):
        sessions.login(registry, "ann", "wrong", code=code)
    assert sessions.login(registry, "ann", PASSWORD, code=code)
    with pytest.raises(Unauthenticated):
        sessions.login(registry, "ann", PASSWORD, code=code)


@pytest.mark.parametrize(("at", "code"), [(59, "287082"), (1111111109, "081804"), (20000000000, "353130")])
def test_one_time_codes_are_those_of_rfc_6238(at: int, code: str) -> None:
    import base64

    assert sessions.code_at(base64.b32encode(b"12345678901234567890").decode(), at // 30) == code


@pytest.fixture
def browser(registry: Registry, ann: int, serve: Callable[[Registry], Served]) -> Iterator[httpx.Client]:
    """Ann, signed in, with what her browser keeps."""
    with httpx.Client(base_url=serve(registry).address, timeout=30) as client:
        answer = client.post("/login", data={"name": "ann", "password": PASSWORD})
        assert (answer.status_code, answer.headers["location"]) == (303, "/account")
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=lax" in cookie
        assert "path=/" in cookie
        yield client


def token_of(page: httpx.Response) -> str:
    return page.text.partition('name="csrf" value="')[2].partition('"')[0]


def test_a_form_of_another_site_does_nothing(registry: Registry, browser: httpx.Client) -> None:
    """Attack 32; the form of our own page does what it says."""
    csrf = token_of(browser.get("/account"))
    form = {"title": "job", "scopes": "upload", "days": "3"}
    for headers in (
        {"Origin": "https://evil.example.org"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        for path in ("/account/tokens", "/logout", "/login", "/account/confirm"):
            answer = browser.post(
                path, data=form | {"csrf": csrf, "name": "ann", "password": PASSWORD}, headers=headers
            )
            assert (answer.status_code, answer.json()["type"]) == (403, "urn:ldt:registry:csrf"), (
                path,
                headers,
            )
    for said in ({}, {"csrf": ""}, {"csrf": "x" * 43}, {"csrf": csrf[:-1]}):
        for path in ("/account/tokens", "/logout", "/account/confirm", "/account/tokens/abc/revoke"):
            answer = browser.post(path, data=form | said)
            assert (answer.status_code, answer.json()["type"]) == (403, "urn:ldt:registry:csrf"), (path, said)
        answer = browser.post(
            "/api/v1/tokens", json={"scopes": ["upload"]}, headers={"X-CSRF-Token": said.get("csrf", "")}
        )
        assert answer.status_code == 403
    for kind in ("text/plain", "application/json", "multipart/form-data; boundary=x"):
        answer = browser.post("/account/tokens", content=f"csrf={csrf}", headers={"Content-Type": kind})
        assert answer.status_code == 400
    assert accounts.tokens_of(registry) == []
    answer = browser.post("/account/tokens", data=form | {"csrf": csrf})
    assert answer.status_code == 200
    (made,) = accounts.tokens_of(registry)
    assert f"ldtr_{made['id']}" in answer.text
    assert browser.post(f"/account/tokens/{made['id']}/revoke", data={"csrf": csrf}).status_code == 303
    assert (
        browser.post("/api/v1/tokens", json={"scopes": ["yank"]}, headers={"X-CSRF-Token": csrf}).status_code
        == 201
    )
    assert browser.post("/logout", data={"csrf": csrf}).status_code == 303
    assert browser.get("/account").status_code == 303


def test_a_session_that_was_planted_is_not_signed_in(registry: Registry, browser: httpx.Client) -> None:
    """Attack 32: fixation. A login makes a new session and ends the one that the browser came with."""
    planted = browser.cookies["ldt-session"]
    victim = httpx.Client(base_url=browser.base_url, cookies={"ldt-session": planted})
    answer = victim.post("/login", data={"name": "ann", "password": PASSWORD})
    assert answer.status_code == 303
    assert planted not in answer.headers["set-cookie"]
    assert browser.get("/account").status_code == 303, "the attacker's is over"
    unknown = {"ldt-session": "chosen-by-an-attacker"}
    with httpx.Client(base_url=browser.base_url, cookies=unknown) as other:
        answer = other.post("/login", data={"name": "ann", "password": PASSWORD})
        assert "chosen-by-an-attacker" not in answer.headers["set-cookie"]
    victim.close()


def test_a_second_factor_is_set_at_its_page_and_dropped_by_an_administrator(
    registry: Registry, browser: httpx.Client
) -> None:
    page = browser.get("/account/second-factor")
    form = {"csrf": token_of(page), "secret": page.text.partition('name="secret" value="')[2][:32]}
    for wrong in ({"code": "000"}, {"code": "1", "secret": "A"}, {"code": "1", "secret": "1" * 32}):
        assert browser.post("/account/second-factor", data=form | wrong).status_code == 422
    form["code"] = sessions.code_at(form["secret"], int(time.time()) // 30)
    assert (
        browser.post(
            "/account/second-factor", data={"code": form["code"], "secret": form["secret"]}
        ).status_code
        == 403
    )
    assert browser.post("/account/second-factor", data=form).status_code == 303
    with pytest.raises(Unauthenticated):
        sessions.login(registry, "ann", PASSWORD)
    assert command(["user", "drop-factor", "ann", "--home", str(registry.settings.home)]) == 0
    assert sessions.login(registry, "ann", PASSWORD)


def test_no_page_of_ours_is_framed_kept_or_scripted(browser: httpx.Client) -> None:
    """Attack 32: clickjacking."""
    for path in ("/account", "/login"):
        headers = browser.get(path).headers
        assert headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["cache-control"] == "no-store"


def test_what_is_typed_is_shown_escaped(browser: httpx.Client) -> None:
    name = '"><script>alert(1)</script>'
    answer = browser.post("/login", data={"name": name, "password": "x"})
    assert answer.status_code == 401
    assert "<script>" not in answer.text
    assert "&lt;script&gt;" in answer.text


def test_a_cookie_over_tls_is_of_this_host_alone(registry: Registry, ann: int, serve: Any) -> None:
    import dataclasses

    public = registry.settings.model_copy(update={"public_url": "https://registry.example.org"})
    address = serve(dataclasses.replace(registry, settings=public)).address
    answer = httpx.post(
        f"{address}/login",
        data={"name": "ann", "password": PASSWORD},
        headers={"Origin": "https://registry.example.org"},
    )
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-ldt-session=")
    assert "Secure" in cookie
    assert "Domain" not in cookie
    assert (
        httpx.post(
            f"{address}/login", data={"name": "ann", "password": PASSWORD}, headers={"Origin": address}
        ).status_code
        == 403
    )


@both
def test_the_interface_manages_what_the_token_may(registry: Registry, ann: int, serve: Any) -> None:
    accounts.make(registry, ADMIN, "ben")
    address = serve(registry).address
    weak, strong = (
        make_token(registry, ann, "upload"),
        make_token(registry, ann, "upload:a-b", "manage", days=2),
    )

    def ask(method: str, path: str, token: str, **body: Any) -> httpx.Response:
        return httpx.request(
            method, f"{address}/api/v1{path}", json=body or None, headers={"Authorization": f"Bearer {token}"}
        )

    assert ask("GET", "/me", weak).json() == {
        "actor": ask("GET", "/me", weak).json()["actor"],
        "account": "ann",
        "role": "user",
        "scopes": ["upload"],
    }
    assert ask("GET", "/tokens", weak).status_code == 403
    assert ask("POST", "/orgs", weak, name="town").status_code == 403
    assert ask("POST", "/orgs", strong, name="town").status_code == 201
    assert ask("PUT", "/orgs/town/members/ben", strong, role="publisher").status_code == 204
    assert httpx.get(f"{address}/api/v1/orgs").json()[0]["members"] == {"ann": "owner", "ben": "publisher"}
    assert ask("POST", "/tokens", strong, scopes=["upload"]).status_code == 403, "no more than itself"
    made = ask("POST", "/tokens", strong, scopes=["upload:a-b"], days=90).json()
    ends = {t["id"]: t["not_after"] for t in accounts.tokens_of(registry, "ann")}
    assert ends[made["id"]] == max(ends.values()), "and no longer"
    assert ask("DELETE", f"/tokens/{made['id']}", strong).status_code == 204
    assert ask("DELETE", f"/tokens/{made['id']}x", strong).status_code == 404
    assert ask("POST", "/namespaces", strong, prefix="a", org="town", domain="127.0.0.1").status_code in (
        400,
        422,
    )
    assert ask("POST", "/publishers", strong, project="a-b", issuer="https://x", claims={}).status_code == 404
    assert httpx.get(f"{address}/api/v1/me").status_code == 401
    assert ask("PUT", "/orgs/town/members/%00", strong, role="publisher").status_code in (400, 404)
    assert ask("POST", "/tokens", strong, scopes=["upload:a-b"], title="\x00").status_code in (201, 400)


def test_a_proxy_is_believed_as_far_as_it_is_ours(registry: Registry, ann: int, serve: Any) -> None:
    """Attack 12: who guesses cannot choose a network to be counted for, unless the operator says that a proxy writes it."""
    import dataclasses

    def networks(proxies: int, *headers: str) -> set[str]:
        settings = registry.settings.model_copy(update={"proxies": proxies})
        address = serve(dataclasses.replace(registry, settings=settings)).address
        with registry.database.write() as connection:
            connection.execute(sa.delete(schema.attempt))
        for header in headers:
            httpx.post(
                f"{address}/login", data={"name": "x", "password": "y"}, headers={"X-Forwarded-For": header}
            )
        with registry.database.read() as connection:
            keys = connection.scalars(sa.select(schema.attempt.c.key)).all()
        return {k.removeprefix("login-network:") for k in keys if k.startswith("login-network:")}

    assert networks(0, "192.0.2.1", "192.0.2.2") == {"127.0.0.1"}
    assert networks(1, "6.6.6.6, 192.0.2.1", "7.7.7.7, 192.0.2.1") == {"192.0.2.1"}
    assert networks(1, "2001:db8::1", "2001:db8::2", "nonsense") == {"2001:db8::/64", "unknown"}
