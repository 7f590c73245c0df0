"""Which name a new project may take, and which names our wheels need that nobody has taken."""

from __future__ import annotations

import sqlalchemy as sa
from packaging.requirements import InvalidRequirement, Requirement

from .names import alike_skeletons, normalise, reserved, skeleton, why_reserved
from .problems import Conflict
from .rights import Owner
from .schema import certificate, file, membership, org, project, release


def refuse_new_name(connection: sa.Connection, name: str, owner: Owner) -> None:
    """Raises Conflict where a normalised name is reserved, or could be taken for a project of somebody else.

    Written otherwise or with look-alike letters, it is refused beside every project; one slip away, beside those that are
    protected: certified, or of an organisation that is verified. Beside one's own and those of one's organisations,
    everything is free.
    """
    why = why_reserved(name)
    if why is not None:
        raise Conflict(
            f"The name {name!r} cannot be taken. {why}",
            code="reserved-name",
            fix="Choose another name, or ask an administrator to make the project.",
        )
    mine = skeleton(name)
    belongs = sa.select(membership.c.org_id).where(membership.c.account_id == owner.account_id)
    mine_too = set(connection.scalars(belongs))
    for row in connection.execute(_others(mine)):
        own = (row.org_id, row.account_id) == (owner.org_id, owner.account_id) or row.org_id in mine_too
        if not own and alike_skeletons(mine, row.skeleton):
            raise Conflict(
                f"The name {name!r} could be taken for {row.norm_name!r}, which is another's.",
                code="look-alike",
                fix="Choose a name that is told apart at a glance.",
            )


def _others(mine: str) -> sa.Select[tuple[str, str, int, int]]:
    certified = sa.exists().where(file.c.project_id == project.c.id, certificate.c.subject == file.c.sha256)
    about = sa.func.length(project.c.skeleton).between(len(mine) - 1, len(mine) + 1)
    return (
        sa.select(project.c.norm_name, project.c.skeleton, project.c.org_id, project.c.account_id)
        .outerjoin(org, org.c.id == project.c.org_id)
        .where((project.c.skeleton == mine) | (about & (org.c.verified_at.is_not(None) | certified)))
    )


def find_unmet(connection: sa.Connection) -> dict[str, list[str]]:
    """Names that wheels here require, and that are neither here nor known to be on the public index; each with who asks.

    Whoever took such a name, here or there, would be installed with them.
    """
    taken = set(connection.scalars(sa.select(project.c.norm_name))) | set(reserved())
    query = (
        sa.select(project.c.norm_name, release.c.core_metadata)
        .join(release, release.c.project_id == project.c.id)
        .where(release.c.state == "published")
    )
    found: dict[str, set[str]] = {}
    for row in connection.execute(query):
        for text in (row.core_metadata or {}).get("requires_dist", ()):
            try:
                name = normalise(Requirement(text).name)
            except InvalidRequirement:
                continue
            if name not in taken:
                found.setdefault(name, set()).add(row.norm_name)
    return {name: sorted(asking) for name, asking in sorted(found.items())}
