"""Accounts, organisations and roles: who may do what, and that it is asked again when it counts."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from dists import make_account, make_token, make_wheel, put
from ldt_registry import accounts, audit, namespaces, organisations, releases, schema
from ldt_registry.checkers import Checkers
from ldt_registry.commands import registry as command
from ldt_registry.problems import Conflict, Forbidden, Malformed, Missing, Problem, Refused
from ldt_registry.registry import Registry
from ldt_registry.tokens import Identity, authenticate, operator

ADMIN = operator("test")


@pytest.fixture(params=["sqlite"])
def database(request: pytest.FixtureRequest) -> str:
    """What depends on the database says so by itself."""
    return str(request.param)


both = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)


def person(registry: Registry, name: str, *scopes: str, role: str = "user") -> Identity:
    account = make_account(registry, name, role=role)
    return authenticate(
        registry, f"Bearer {make_token(registry, account, *(scopes or ('upload', 'yank', 'manage')))}"
    )


def refusal(call: Any, *words: Any) -> str:
    try:
        call(*words)
    except Problem as exc:
        return type(exc).__name__
    return ""


@both
@pytest.mark.parametrize(
    ("role", "upload", "yank", "give_roles"),
    [
        ("owner", "", "", ""),
        ("maintainer", "", "", "Forbidden"),
        ("publisher", "", "Forbidden", "Forbidden"),
        (None, "Forbidden", "Forbidden", "Forbidden"),
    ],
)
def test_what_a_member_may_do_follows_from_the_role(
    registry: Registry, checkers: Checkers, role: str | None, upload: str, yank: str, give_roles: str
) -> None:
    ann, ben = person(registry, "ann"), person(registry, "ben")
    organisations.make(registry, ann, "town", "ann")
    put(registry, checkers, ann, make_wheel())
    organisations.give_project(registry, ann, "heat-load", "town")
    if role is not None:
        organisations.set_member(registry, ann, "town", "ben", role)

    def send() -> None:
        put(registry, checkers, ben, make_wheel(version="2.0"), version="2.0")

    assert refusal(send) == upload
    assert refusal(releases.yank, registry, ben, "heat-load", "1.0", "broken", "wrong unit") == yank
    assert (
        refusal(organisations.set_project_role, registry, ben, "heat-load", "ann", "publisher") == give_roles
    )
    assert refusal(organisations.set_member, registry, ben, "town", "ben", "owner") == give_roles


@pytest.mark.parametrize("role", ["maintainer", "publisher"])
def test_a_helper_of_one_project_is_none_of_another(
    registry: Registry, checkers: Checkers, role: str
) -> None:
    ann, ben = person(registry, "ann"), person(registry, "ben")
    for name in ("heat-load", "wind-rose"):
        put(registry, checkers, ann, make_wheel(name), name=name)
    organisations.set_project_role(registry, ann, "heat-load", "ben", role)
    assert put(registry, checkers, ben, make_wheel(version="2.0"), version="2.0").new
    with pytest.raises(Forbidden):
        put(registry, checkers, ben, make_wheel("wind-rose", "2.0"), name="wind-rose", version="2.0")
    allowed = refusal(releases.yank, registry, ben, "heat-load", "1.0", "broken", "wrong unit") == ""
    assert allowed == (role == "maintainer")
    organisations.set_project_role(registry, ann, "heat-load", "ben", None)
    with pytest.raises(Forbidden):
        put(registry, checkers, ben, make_wheel(version="3.0"), version="3.0")


@both
def test_rights_end_at_once_not_with_the_token(registry: Registry, checkers: Checkers) -> None:
    eve, moderator = person(registry, "eve"), person(registry, "mo", role="moderator")
    put(registry, checkers, eve, make_wheel())
    releases.mark(registry, moderator, "heat-load", "quarantined", "a test")
    accounts.set_role(registry, ADMIN, "mo", "user")
    with pytest.raises(Forbidden):
        releases.mark(registry, moderator, "heat-load", "active")
    accounts.set_state(registry, ADMIN, "eve", "suspended")
    with pytest.raises(Forbidden, match="suspended"):
        releases.yank(registry, eve, "heat-load", "1.0", "broken", "wrong unit")
    accounts.set_state(registry, ADMIN, "eve", "active")
    with pytest.raises(Refused, match="quarantined"):
        put(registry, checkers, eve, make_wheel(version="2.0"), version="2.0")


def test_only_an_administrator_makes_accounts_and_one_always_stays(registry: Registry) -> None:
    accounts.make_first(registry)
    eve = person(registry, "eve")
    with pytest.raises(Forbidden):
        accounts.make(registry, eve, "mallory", role="admin")
    with pytest.raises(Forbidden):
        accounts.set_role(registry, eve, "eve", "admin")
    with pytest.raises(Forbidden):
        accounts.set_password(registry, eve, "admin", "a long enough sentence")
    accounts.set_password(registry, eve, "eve", "a long enough sentence")
    for call in (
        lambda: accounts.set_role(registry, ADMIN, "admin", "user"),
        lambda: accounts.set_state(registry, ADMIN, "admin", "suspended"),
    ):
        with pytest.raises(Refused, match="last administrator"):
            call()
    with pytest.raises(Conflict):
        accounts.make(registry, ADMIN, "eve")
    with pytest.raises(Missing):
        accounts.set_role(registry, ADMIN, "nobody", "user")
    for name in ("", "Ann", "a", "-ann", "ann-", "a--b", "ann\n", "a" * 40, "ann\u202e"):
        with pytest.raises(Malformed):
            accounts.make(registry, ADMIN, name)


@both
def test_an_organisation_keeps_an_owner(registry: Registry) -> None:
    ann = person(registry, "ann")
    person(registry, "ben")
    organisations.make(registry, ann, "town", "ann")
    for role in ("maintainer", None):
        with pytest.raises(Refused, match="last owner"):
            organisations.set_member(registry, ann, "town", "ann", role)
    organisations.set_member(registry, ann, "town", "ben", "owner")
    organisations.set_member(registry, ann, "town", "ann", None)
    with pytest.raises(Forbidden):
        organisations.set_member(registry, ann, "town", "ann", "owner")
    with pytest.raises(Refused, match="first owner"):
        organisations.make(registry, ann, "other", "ben")
    (told,) = organisations.listed(registry)
    assert (told["name"], told["members"]) == ("town", {"ben": "owner"})


def test_passwords_are_hashed_slowly_and_weak_ones_refused(registry: Registry) -> None:
    accounts.make(registry, ADMIN, "ann", password="correct horse battery")
    with registry.database.read() as connection:
        hashed = connection.scalar(sa.select(schema.account.c.password))
    assert hashed is not None
    assert hashed.startswith("$argon2id$")
    assert accounts.is_password(hashed, "correct horse battery")
    assert not accounts.is_password(hashed, "correct horse batterz")
    assert not accounts.is_password(None, "the password of nobody")
    for weak in ("short", "I am ann and nobody else", "x" * 2000):
        with pytest.raises(Refused):
            accounts.set_password(registry, ADMIN, "ann", weak)


def test_each_change_stands_in_the_audit_log_and_the_chain_is_whole(registry: Registry) -> None:
    accounts.make_first(registry)
    ann = person(registry, "ann")
    organisations.make(registry, ann, "town", "ann")
    accounts.make(registry, ADMIN, "ben", password="correct horse battery")
    organisations.set_member(registry, ann, "town", "ben", "publisher")
    accounts.set_state(registry, ADMIN, "ben", "suspended")
    with registry.database.read() as connection:
        assert audit.verify(connection) is None
        entries = list(audit.read(connection))
    told = [(e["actor"].partition(":")[0], e["action"], e["subject"]) for e in entries][1:]
    assert told == [
        ("operator", "account-made", "admin"),
        ("token", "org-made", "town"),
        ("operator", "account-made", "ben"),
        ("token", "org-member", "town"),
        ("operator", "account-suspended", "ben"),
    ]
    assert not any("correct horse" in str(e) or "argon2" in str(e) for e in entries)


def test_the_commands_make_people_and_tell_machines(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = str(registry.settings.home)

    def run(*words: str) -> list[Any]:
        assert command([*words, "--home", home, "--json"]) == 0
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse battery\n"))
    run("user", "add", "ann", "--email", "ann@example.org", "--password")
    run("user", "add", "ben")
    run("org", "add", "town", "--owner", "ann", "--title", "Old town")
    run("org", "member", "town", "ben", "publisher")
    assert [o["members"] for o in run("org", "list")] == [{"ann": "owner", "ben": "publisher"}]
    assert [(u["name"], u["state"]) for u in run("user", "list")] == [("ann", "active"), ("ben", "active")]
    (made,) = run("token", "add", "ben", "--scope", "create:heat-load", "--days", "1", "--title", "job")
    assert authenticate(registry, f"Bearer {made['token']}").scopes == ("create:heat-load",)
    assert [t["id"] for t in run("token", "list", "ben")] == [made["id"]]
    run("token", "revoke", made["id"])
    assert command(["token", "revoke", made["id"], "--home", home]) == 1
    assert command(["user", "role", "ben", "king", "--home", home]) == 1
    assert "'king' is no role" in capsys.readouterr().err
    run("user", "suspend", "ben")
    run("org", "dismiss", "town", "ben")
    assert command(["user", "list", "--home", home]) == 0
    assert "ben: user, suspended" in capsys.readouterr().out


@both
@pytest.mark.parametrize("change", ["nothing", "dismissed", "given away", "suspended", "namespace granted"])
def test_what_changes_while_the_bytes_are_kept_counts_at_the_commit(
    registry: Registry, checkers: Checkers, change: str
) -> None:
    """Attack 24: the right that held when the upload began is gone by the time that it would be published."""
    from test_races import meddled

    ann, ben = person(registry, "ann"), person(registry, "ben")
    organisations.make(registry, ann, "town", "ann")
    organisations.make(registry, ann, "county", "ann")
    organisations.set_member(registry, ann, "town", "ben", "maintainer")
    put(registry, checkers, ann, make_wheel())
    organisations.give_project(registry, ann, "heat-load", "town")

    def meddle() -> None:
        match change:
            case "dismissed":
                organisations.set_member(registry, ann, "town", "ben", None)
            case "given away":
                organisations.give_project(registry, ann, "heat-load", "county")
            case "suspended":
                accounts.set_state(registry, ADMIN, "ben", "suspended")
            case "namespace granted":
                namespaces.grant(registry, ADMIN, "wind", "county")

    name, version = ("wind-rose", "1.0") if change == "namespace granted" else ("heat-load", "2.0")

    def send(into: Registry) -> str:
        return refusal(
            lambda: put(into, checkers, ben, make_wheel(name, version), name=name, version=version)
        )

    expected = {"nothing": "", "namespace granted": "Conflict"}
    assert send(meddled(registry, meddle)) == expected.get(change, "Forbidden")
    with registry.database.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(schema.claim)) == 0
        assert connection.scalar(sa.select(sa.func.count()).select_from(schema.file)) == (
            2 if change == "nothing" else 1
        )
