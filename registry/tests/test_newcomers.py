"""Names of new projects: nobody takes one that could be taken for another's; what is needed and not there is listed."""

from __future__ import annotations

import pytest
import shelves
import sqlalchemy as sa
from dists import make_account
from ldt_registry import schema
from ldt_registry.database import now
from ldt_registry.newcomers import find_unmet, refuse_new_name
from ldt_registry.problems import Conflict
from ldt_registry.registry import Registry
from ldt_registry.rights import Owner


def refused(registry: Registry, name: str, account: int = 99) -> str | None:
    with registry.database.read() as connection:
        try:
            refuse_new_name(connection, name, Owner(None, account))
        except Conflict as problem:
            return problem.code
    return None


def test_a_skeleton_is_taken_beside_every_project(registry: Registry) -> None:
    shelves.put(registry, shelves.manifest("a", "A"), project="traffic-noise")
    assert refused(registry, "trafficnoise") == "look-alike"
    assert refused(registry, "traffic-no1se") == "look-alike"
    assert refused(registry, "traffic-noises") is None
    assert refused(registry, "flood-depth") is None


def test_one_slip_is_taken_beside_a_certified_or_verified_project(registry: Registry) -> None:
    shelves.put(registry, shelves.manifest("a", "A"), project="traffic-noise", level=1)
    owned = shelves.put(registry, shelves.manifest("b", "B"), project="water-levels")
    assert refused(registry, "trafic-noise") == "look-alike"
    assert refused(registry, "waterlevel") is None
    with registry.database.write() as connection:
        at = now(connection)
        row = (
            sa.insert(schema.org)
            .values(name="ghent", verified_at=at, created_at=at)
            .returning(schema.org.c.id)
        )
        org_id = connection.execute(row).scalar_one()
        connection.execute(
            sa.update(schema.project)
            .where(schema.project.c.id == owned)
            .values(org_id=org_id, account_id=None)
        )
    assert refused(registry, "waterlevel") == "look-alike"


def test_beside_ones_own_everything_is_free(registry: Registry) -> None:
    account = make_account(registry)
    shelves.put(registry, shelves.manifest("a", "A"), project="traffic-noise", level=1, account=account)
    assert refused(registry, "traffic-noises", account) is None
    assert refused(registry, "trafficnoise", account) is None


@pytest.mark.parametrize("name", ["numpy", "nunpy", "json", "ldt-core", "ldtcore"])
def test_reserved_names_are_nobodys(registry: Registry, name: str) -> None:
    assert refused(registry, name) == "reserved-name"


def test_names_that_are_needed_and_nowhere_are_listed(registry: Registry) -> None:
    shelves.put(
        registry, shelves.manifest("a", "A"), project="pa", requires=("numpy>=2", "pb", "city-private-lib>=1")
    )
    shelves.put(registry, shelves.manifest("b", "B"), project="pb", requires=("City_Private.Lib",))
    with registry.database.read() as connection:
        assert find_unmet(connection) == {"city-private-lib": ["pa", "pb"]}
