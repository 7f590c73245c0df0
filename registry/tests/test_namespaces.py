"""Attack 8: prefixes of names belong to who proved a domain; they never overlap, and end without proof."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from dists import make_wheel, put
from ldt_registry import audit, namespaces, organisations, schema
from ldt_registry.checkers import Checkers
from ldt_registry.commands import registry as command
from ldt_registry.database import now
from ldt_registry.namespaces import Prover, proves, statement
from ldt_registry.problems import Conflict, Forbidden, Malformed, Missing, Problem, Refused
from ldt_registry.registry import Registry
from ldt_registry.tokens import Identity, operator
from test_people import person

ADMIN = operator("test")


@pytest.fixture(params=["sqlite"])
def database(request: pytest.FixtureRequest) -> str:
    """What depends on the database says so by itself."""
    return str(request.param)


both = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)


class World:
    """Domains that say something, without a network."""

    def __init__(self) -> None:
        self.texts: dict[str, list[str]] = {}
        self.files: dict[str, str] = {}

    def get(self, address: str) -> bytes:
        if address not in self.files:
            raise Refused(f"{address} answers 404")
        return self.files[address].encode()

    @property
    def prover(self) -> Prover:
        return Prover(lambda name: self.texts.get(name, []), self.get)

    def say(self, registry: Registry, domain: str, prefix: str, org: str) -> None:
        words = statement(registry, prefix, org)
        self.texts[f"_ldt-registry.{domain}"] = ["v=spf1 -all", words]
        self.files[f"https://{domain}/.well-known/ldt-registry.txt"] = f"# of the city\r\n{words}\r\n"


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def people(registry: Registry) -> dict[str, Identity]:
    """Ann of the town, Eve of evil: each owner of an organisation."""
    found = {name: person(registry, name) for name in ("ann", "eve")}
    organisations.make(registry, found["ann"], "town", "ann")
    organisations.make(registry, found["eve"], "evil", "eve")
    return found


@both
@pytest.mark.parametrize("how", ["dns", "well-known"])
def test_a_domain_that_says_so_grants_its_prefix(
    registry: Registry, checkers: Checkers, people: dict[str, Identity], world: World, how: str
) -> None:
    ann, eve = people["ann"], people["eve"]
    with pytest.raises(Refused, match="Write there: ldt-registry=http"):
        namespaces.claim(registry, world.prover, ann, "old-town", "town", "old-town.eu", how)
    world.say(registry, "old-town.eu", "old-town", "town")
    with pytest.raises(Refused, match="no proof"):
        namespaces.claim(registry, world.prover, eve, "old-town", "evil", "old-town.eu", how)
    with pytest.raises(Forbidden):
        namespaces.claim(registry, world.prover, eve, "old-town", "town", "old-town.eu", how)
    namespaces.claim(registry, world.prover, ann, "old-town", "town", "Old-Town.eu.", how)
    with pytest.raises(Conflict, match="held by an organisation"):
        put(registry, checkers, eve, make_wheel("old-town-heat"), name="old-town-heat")
    assert put(registry, checkers, eve, make_wheel("old-townhall"), name="old-townhall").new, "no part of it"
    assert put(registry, checkers, ann, make_wheel("old-town-heat"), name="old-town-heat").new
    with registry.database.read() as connection:
        mine = sa.select(schema.org.c.name).join(schema.project, schema.project.c.org_id == schema.org.c.id)
        assert connection.scalars(mine).all() == ["town"], "it is the organisation's"
        assert connection.scalar(sa.select(schema.org.c.verified_at).where(schema.org.c.name == "town"))
    namespaces.set_open(registry, ann, "old-town", True)
    assert put(registry, checkers, eve, make_wheel("old-town-wind"), name="old-town-wind").new
    namespaces.revoke(registry, ann, "old-town")
    assert put(registry, checkers, eve, make_wheel("old-town-sun"), name="old-town-sun").new


@pytest.mark.parametrize(
    ("domain", "prefix", "allowed"),
    [
        ("old-town.eu", "old-town", True),
        ("old-town.eu", "old-town-eu", True),
        ("old-town.eu", "old-town-heat", True),
        ("heat.old-town.eu", "heat-old-town-eu", True),
        ("heat.old-town.eu", "heat-old-town-eu-maps", True),
        ("heat.old-town.eu", "heat", False),  # who may add below a domain is not who holds that word
        ("heat.old-town.eu", "old-town", False),
        ("old-town.github.io", "old-town", False),
        ("old-town.eu", "old", False),
        ("old-town.eu", "old-townhall", False),
        ("eu", "eu", False),
        ("127.0.0.1", "127-0-0-1", False),
        ("old-town.eu\n", "old-town", False),
        ("old-town.eu:8443", "old-town", False),
        ("old_town.eu", "old-town", False),
        ("öld-town.eu", "old-town", False),
        ("user@old-town.eu", "old-town", False),
        ("old-town.eu/x", "old-town", False),
        ("-.eu", "eu", False),
    ],
)
def test_a_prefix_follows_from_the_domain(domain: str, prefix: str, allowed: bool) -> None:
    assert proves(domain, prefix) == allowed


@pytest.mark.parametrize(
    ("held", "wanted", "own", "other"),
    [
        ("acme", "acme", "", "Conflict"),
        ("acme", "acme-heat", "", "Conflict"),
        ("acme-heat", "acme", "", "Conflict"),  # a parent after its child
        ("acme-heat", "acme-heating", "", ""),
        ("acme", "acmeheat", "", ""),
        ("acme-heat", "acme-wind", "", ""),
        ("acme-heat-map", "acme-heat", "", "Conflict"),
        ("ac_me", "ac-me", "", "Conflict"),
        ("acme%", "acme-x", "", ""),  # a sign of LIKE is no name at all
    ],
)
@pytest.mark.parametrize("who", ["own", "other"])
def test_grants_of_two_organisations_never_overlap(
    registry: Registry, people: dict[str, Identity], held: str, wanted: str, own: str, other: str, who: str
) -> None:
    if "%" in held:
        with pytest.raises(Malformed):
            namespaces.grant(registry, ADMIN, held, "town")
    else:
        namespaces.grant(registry, ADMIN, held, "town")
    domain = f"{wanted}.eu" if "-" not in wanted else f"{wanted}.org"
    world = World()
    to, maker = ("town", people["ann"]) if who == "own" else ("evil", people["eve"])
    world.say(registry, domain, wanted, to)
    try:
        namespaces.claim(registry, world.prover, maker, wanted, to, domain, "dns")
        found = ""
    except Problem as exc:
        found = type(exc).__name__
    assert found == (own if who == "own" else other)


@both
def test_the_owner_of_a_namespace_gives_parts_of_it(
    registry: Registry, checkers: Checkers, people: dict[str, Identity]
) -> None:
    ann, eve = people["ann"], people["eve"]
    with pytest.raises(Forbidden):
        namespaces.grant(registry, ann, "acme", "town")
    namespaces.grant(registry, ADMIN, "acme", "town")
    with pytest.raises(Forbidden):
        namespaces.grant(registry, eve, "acme-heat", "evil")
    namespaces.grant(registry, ann, "acme-heat", "evil")
    assert put(registry, checkers, eve, make_wheel("acme-heat-map"), name="acme-heat-map").new
    for who in (eve, ann, ADMIN):
        with pytest.raises(Conflict, match="part of a part"):
            namespaces.grant(registry, who, "acme-heat-map", "evil")
    for name in ("acme-wind", "acme"):
        with pytest.raises(Conflict):
            put(registry, checkers, eve, make_wheel(name), name=name)
    with pytest.raises(Conflict):
        put(registry, checkers, ann, make_wheel("acme-heat-x"), name="acme-heat-x")
    with pytest.raises(Missing):
        namespaces.revoke(registry, ann, "acme-wind")
    with pytest.raises(Forbidden):
        namespaces.revoke(registry, ann, "acme-heat")


@both
def test_a_word_that_others_use_is_not_granted_by_a_domain(
    registry: Registry, checkers: Checkers, people: dict[str, Identity], world: World
) -> None:
    put(registry, checkers, people["ann"], make_wheel("solar-roof"), name="solar-roof")
    world.say(registry, "solar.eu", "solar", "evil")
    with pytest.raises(Conflict, match="another's project"):
        namespaces.claim(registry, world.prover, people["eve"], "solar", "evil", "solar.eu", "dns")
    world.say(registry, "solar.eu", "solar", "town")
    namespaces.claim(registry, world.prover, people["ann"], "solar", "town", "solar.eu", "dns")
    for name in ("ldt-core", "requests", "numpyy"):
        with pytest.raises(Conflict, match="not to be had"):
            namespaces.claim(registry, world.prover, people["eve"], name, "evil", f"{name}.eu", "dns")


@both
def test_a_grant_ends_when_its_proof_stays_away(
    registry: Registry, checkers: Checkers, people: dict[str, Identity], world: World
) -> None:
    world.say(registry, "old-town.eu", "old-town", "town")
    namespaces.claim(registry, world.prover, people["ann"], "old-town", "town", "old-town.eu", "dns")

    def let_pass(days: float) -> None:
        with registry.database.write() as connection:
            row = connection.execute(sa.select(schema.namespace)).one()
            moved = {k: getattr(row, k) - timedelta(days=days) for k in ("checked_at", "not_after")}
            connection.execute(sa.update(schema.namespace).values(moved))

    def state() -> tuple[str, bool]:
        with registry.database.read() as connection:
            row = connection.execute(sa.select(schema.namespace)).one()
            return row.state, row.not_after > now(connection) + timedelta(days=89)

    assert namespaces.recheck(registry, world.prover) == 0, "not yet due"
    let_pass(30)
    assert (namespaces.recheck(registry, world.prover), state()) == (0, ("granted", True)), (
        "found: it holds on"
    )
    world.texts.clear()
    let_pass(30)
    assert (namespaces.recheck(registry, world.prover), state()) == (0, ("granted", False))
    with pytest.raises(Conflict):
        put(registry, checkers, people["eve"], make_wheel("old-town-heat"), name="old-town-heat")
    let_pass(61)
    assert put(registry, checkers, people["eve"], make_wheel("old-town-sun"), name="old-town-sun").new
    assert (namespaces.recheck(registry, world.prover), state()) == (1, ("expired", False))
    with registry.database.read() as connection:
        told = [e["action"] for e in audit.read(connection) if e["action"].startswith("namespace")]
    assert told == ["namespace-granted", "namespace-proof-missing", "namespace-expired"]


@both
def test_of_rivals_for_overlapping_prefixes_one_wins(registry: Registry, people: dict[str, Identity]) -> None:
    start = threading.Barrier(6)

    def rival(n: int) -> bool:
        org, maker = ("town", people["ann"]) if n % 2 else ("evil", people["eve"])
        prefix = "acme" if n % 2 else "acme-heat"
        world = World()
        world.say(registry, "acme.eu", prefix, org)
        start.wait()
        try:
            namespaces.claim(registry, world.prover, maker, prefix, org, "acme.eu", "dns")
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        won = list(pool.map(rival, range(6)))
    assert won in ([True, False] * 3, [False, True] * 3), "all of one, and none of the other"
    assert len(namespaces.listed(registry)) == 1


def test_the_commands_grant_and_list(
    registry: Registry, people: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    home = ["--home", str(registry.settings.home)]
    assert command(["namespace", "statement", "acme", "town", *home]) == 0
    assert "town acme" in capsys.readouterr().out
    assert command(["namespace", "grant", "acme", "town", *home]) == 0
    assert command(["namespace", "open", "acme", *home]) == 0
    capsys.readouterr()
    assert command(["namespace", "list", "--json", *home]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["prefix"], said["owner"], said["open"], said["proof"]) == ("acme", "town", True, "admin")
    assert command(["namespace", "check", *home]) == 0
    assert command(["namespace", "revoke", "acme", *home]) == 0
    assert command(["namespace", "claim", "acme", "town", "127.0.0.1", *home]) == 1
