"""Components side by side, and which are like one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from .catalogue import newest
from .database import now
from .facets import columns
from .problems import Malformed, Missing
from .schema import component, search_doc, search_facet

MOST = 6
WEIGHTS = {
    "gives": 4.0,
    "needs": 2.0,
    "kind": 1.0,
    "standard": 1.0,
    "capability": 0.5,
    "gives-unit": 0.5,
    "needs-unit": 0.25,
}
"""What sharing a value says about being alike; divided by how many components have it."""


@dataclass(frozen=True)
class Line:
    """One thing that is compared: a value for each component, in their order, None where one says nothing."""

    name: str
    values: tuple[Any, ...]

    @property
    def same(self) -> bool:
        return all(v == self.values[0] for v in self.values)


def compare(connection: sa.Connection, ids: Sequence[str]) -> list[Line]:
    """Two to six components, by their newest versions. Raises Malformed, and Missing where one cannot be found."""
    if not 2 <= len(set(ids)) == len(ids) <= MOST:
        raise Malformed(
            f"Two to {MOST} different components can be compared.", code="compare", fix="Name each once."
        )
    found = [_facts(connection, i) for i in ids]
    names = list(dict.fromkeys(n for facts in found for n in facts))
    lines = (Line(name, tuple(facts.get(name) for facts in found)) for name in names)
    return [line for line in lines if any(v not in (None, [], "") for v in line.values)]


def _facts(connection: sa.Connection, component_id: str) -> dict[str, Any]:
    row = connection.execute(sa.select(component).where(component.c.id == component_id)).one_or_none()
    version = newest(connection, component_id) if row is not None else None
    if row is None or version is None:
        raise Missing(f"There is no component {component_id!a}.", code="no-component", fix="Search for it.")
    doc = connection.execute(
        sa.select(search_doc).where(search_doc.c.component_id == component_id)
    ).one_or_none()
    stands = doc is not None and doc.certified_until is not None and doc.certified_until > now(connection)
    manifest, about = version["manifest"], version["about"]
    return {
        "kind": row.kind,
        "artifact": row.artifact,
        "version": version["version"],
        "published": version["published_at"],
        "level": doc.level if doc is not None and stands else 0,
        "certified until": doc.certified_until if doc is not None and stands else None,
        "licence": version["licence"],
        "open equivalent": about.get("open_equivalent"),
        "needs": _ports(manifest, "inputs"),
        "gives": _ports(manifest, "outputs"),
        "capabilities": sorted(manifest.get("capabilities", ())),
        "stochastic": manifest.get("stochastic", False),
        "programs started": sorted(manifest.get("processes", ())),
        "hosts reached": sorted(manifest.get("hosts", ())),
        "resources": manifest.get("resources") or None,
        "Python": version["requires_python"],
        "requirements": len(version["requires"]) if version["project"] else None,
        "size": version["size"],
        "standards": about.get("standards"),
        "mims": about.get("mims"),
        "deployment": about.get("deployment"),
        "manufacturer or steward": about.get("manufacturer") or about.get("steward"),
        "security contact": about.get("security_contact"),
        "supported until": about.get("support_until"),
    }


def _ports(manifest: dict[str, Any], side: str) -> list[str]:
    return sorted(
        {f"{quantity} [{unit}]" if unit else quantity for quantity, unit in columns(manifest, side)}
    )


def find_similar(connection: sa.Connection, component_id: str, limit: int = 5) -> list[tuple[str, float]]:
    """Components that give or need the same, the most alike first: (id, 0 < score). Rare things count more than common ones."""
    mine, other = search_facet.alias("mine"), search_facet.alias("other")
    held = (
        sa.select(search_facet.c.name, search_facet.c.value, sa.func.count().label("n"))
        .group_by(search_facet.c.name, search_facet.c.value)
        .subquery()
    )
    weight = sa.case(*((mine.c.name == n, w) for n, w in WEIGHTS.items()), else_=0.0)
    score = sa.func.sum(weight / held.c.n)
    query = (
        sa.select(other.c.component_id, score.label("score"))
        .select_from(mine)
        .join(other, (other.c.name == mine.c.name) & (other.c.value == mine.c.value))
        .join(held, (held.c.name == mine.c.name) & (held.c.value == mine.c.value))
        .where(
            mine.c.component_id == component_id,
            other.c.component_id != component_id,
            mine.c.name.in_([n for n in WEIGHTS if n != "kind"]),
        )
        .group_by(other.c.component_id)
        .order_by(score.desc(), other.c.component_id)
        .limit(limit)
    )
    return [(row.component_id, float(row.score)) for row in connection.execute(query)]
