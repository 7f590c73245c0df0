"""Namespaces: prefixes of names that only one organisation may use (PEP 752), granted to who proves a domain.

A prefix follows from the domain: ``old-town.eu`` proves ``old-town``, ``old-town-eu`` and all below them; a domain below
another (``city.old-town.eu``) only its whole name. So a machine can decide. Everything else an administrator grants.
Two grants never overlap, unless the owner of the upper one makes the lower. A proof is looked for again and again; a grant
whose proof is gone ends.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from . import audit, fetch, journal
from .database import now
from .limits import PROOFS_OF_ORG, spend
from .names import prefixes, require_name, why_reserved
from .problems import Conflict, Malformed, Missing, Problem, Refused
from .registry import Registry
from .rights import is_granted, require_org, require_role
from .schema import membership, namespace, org, project
from .tokens import Identity

SHORTEST = 3
HOLDS = timedelta(days=90)
CHECKED_EVERY = timedelta(days=7)
DOMAIN = re.compile(
    r"(?=.{4,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])"
)
WELL_KNOWN = "/.well-known/ldt-registry.txt"
RECORD = "_ldt-registry"

Resolver = Callable[[str], list[str]]
Getter = Callable[[str], bytes]


def find_texts(name: str) -> list[str]:
    """The TXT records of a name, by the resolver of this machine."""
    import dns.exception
    import dns.resolver

    try:
        answer = dns.resolver.resolve(name, "TXT", lifetime=5.0)
    except dns.exception.DNSException:
        return []
    return [b"".join(record.strings).decode("utf-8", "replace") for record in answer]


@dataclass(frozen=True)
class Prover:
    """Where proofs are looked for; tests give their own."""

    texts: Resolver
    get: Getter

    @classmethod
    def of(cls, registry: Registry) -> Prover:
        return cls(find_texts, lambda address: fetch.get(registry, address))


def statement(registry: Registry, prefix: str, org_name: str) -> str:
    """What the domain has to say. It is no secret: only who holds the domain can say it there."""
    return f"ldt-registry={registry.settings.base_url} {org_name} {prefix}"


def claim(
    registry: Registry, prover: Prover, maker: Identity, prefix: str, org_name: str, domain: str, how: str
) -> None:
    """Grant a prefix to an organisation whose domain says so, by ``dns`` or ``well-known``.

    Raises Malformed, Refused where there is no proof, Conflict where another holds it, or has projects there.
    """
    prefix, domain = require_prefix(prefix), domain.lower().rstrip(".")
    if how not in ("dns", "well-known"):
        raise Malformed(f"{how!r} is no proof.", fix="Say dns or well-known.")
    if not proves(domain, prefix):
        raise Refused(
            f"The domain {domain!r} says nothing of {prefix!r}.",
            code="wrong-domain",
            fix="Claim a prefix that follows from the domain, or ask an administrator.",
        )
    with registry.database.write() as connection:
        require_org(connection, maker, org_name)
        spend(connection, PROOFS_OF_ORG, org_name)
    if not is_proved(registry, prover, prefix, org_name, domain, how):
        where = f"a TXT record of {RECORD}.{domain}" if how == "dns" else f"https://{domain}{WELL_KNOWN}"
        raise Refused(
            f"There is no proof in {where}.",
            code="no-proof",
            fix=f"Write there: {statement(registry, prefix, org_name)}",
        )
    with registry.database.write() as connection:
        settle(connection, maker, prefix, org_name, how, domain)


def settle(connection: sa.Connection, maker: Identity, prefix: str, org_name: str, how: str, of: str) -> None:
    """Grant what was proved, for a while; one's own again is held longer. Raises Conflict, Forbidden."""
    journal.hold(connection)  # one grant at a time, and no project made meanwhile
    found = require_org(connection, maker, org_name)
    _refuse_overlap(_overlapping(connection, prefix), found.id)
    _refuse_projects_of_others(connection, prefix, found.id)
    at = now(connection)
    _insert(connection, maker, prefix, found, how, of, at + HOLDS)
    new = sa.update(org).where(org.c.id == found.id, org.c.verified_at.is_(None))
    connection.execute(new.values(verified_at=at))


def grant(registry: Registry, maker: Identity, prefix: str, org_name: str) -> None:
    """By an administrator without proof; or below one's own namespace to any organisation, which PEP 752 calls a child."""
    prefix = require_name(prefix)
    with registry.database.write() as connection:
        journal.hold(connection)
        found = connection.execute(sa.select(org).where(org.c.name == org_name)).one_or_none()
        if found is None:
            raise Missing(f"There is no organisation {org_name!r}.", fix="Make it first.")
        over = _overlapping(connection, prefix)
        above = [r for r in over if r.prefix in prefixes(prefix)]
        if not above:
            require_role(connection, maker, "admin")
        elif len(above) > 1 or above[0].prefix == prefix:
            raise Conflict(
                f"{above[0].prefix!r} is granted to {above[0].owner!r}; a part of a part is granted to nobody.",
                code="namespace-held",
                fix="Revoke that first.",
            )
        else:
            require_org(connection, maker, above[0].owner)
        _refuse_overlap([r for r in over if r not in above], found.id)
        _insert(connection, maker, prefix, found, "admin", above[0].prefix if above else "", None)


def revoke(registry: Registry, maker: Identity, prefix: str) -> None:
    """Give a grant back, or by an administrator take it; projects stay whose they are."""
    with registry.database.write() as connection:
        row = connection.execute(_granted(connection).where(namespace.c.prefix == prefix)).one_or_none()
        if row is None:
            raise Missing(f"{prefix!r} is not granted.", fix="Look at `ldt registry namespace list`.")
        require_org(connection, maker, row.owner)
        connection.execute(sa.update(namespace).where(namespace.c.id == row.id).values(state="expired"))
        audit.record(connection, maker.actor, "namespace-revoked", prefix, org=row.owner)


def set_open(registry: Registry, maker: Identity, prefix: str, value: bool) -> None:
    """Whether others may make projects there, too; theirs they stay."""
    with registry.database.write() as connection:
        row = connection.execute(_granted(connection).where(namespace.c.prefix == prefix)).one_or_none()
        if row is None:
            raise Missing(f"{prefix!r} is not granted.", fix="Look at `ldt registry namespace list`.")
        require_org(connection, maker, row.owner)
        connection.execute(sa.update(namespace).where(namespace.c.id == row.id).values(open=value))
        audit.record(connection, maker.actor, "namespace-open" if value else "namespace-closed", prefix)


def recheck(registry: Registry, prover: Prover | None = None) -> int:
    """Look for proofs again; how many grants ended. One that is not found is looked for until the grant ends."""
    prover = prover or Prover.of(registry)
    with registry.database.read() as connection:
        at = now(connection)
        due = connection.execute(
            _rows().where(
                namespace.c.state == "granted",
                sa.or_(
                    namespace.c.proof.in_(("dns", "well-known"))
                    & (namespace.c.checked_at < at - CHECKED_EVERY),
                    namespace.c.not_after <= at,
                ),
            )
        ).all()
    ended = 0
    for row in due:
        found = is_proved(registry, prover, row.prefix, row.owner, row.proof_of, row.proof)
        with registry.database.write() as connection:
            at = now(connection)
            over = not found and row.not_after <= at
            values: dict[str, Any] = {"not_after": at + HOLDS} if found else {}
            values |= {"checked_at": at} | ({"state": "expired"} if over else {})
            mine = (namespace.c.id == row.id, namespace.c.state == "granted")
            if connection.execute(sa.update(namespace).where(*mine).values(values)).rowcount and not found:
                action = "namespace-expired" if over else "namespace-proof-missing"
                audit.record(connection, "system", action, row.prefix, org=row.owner, domain=row.proof_of)
                ended += over
    return ended


def listed(registry: Registry) -> list[dict[str, Any]]:
    """Every namespace with its organisation, its proof and how long it holds."""
    columns = ("prefix", "owner", "proof", "proof_of", "state", "open", "checked_at", "not_after")
    with registry.database.read() as connection:
        found = connection.execute(_rows().order_by(namespace.c.prefix)).mappings()
        return [{k: r[k] for k in columns} for r in found]


def proves(domain: str, prefix: str) -> bool:
    """Whether who holds the domain may have the prefix."""
    if not DOMAIN.fullmatch(domain):
        return False
    labels = domain.split(".")
    bases = {require_name("-".join(labels))} | ({require_name(labels[0])} if len(labels) == 2 else set())
    return bool(bases & set(prefixes(prefix)))


def is_proved(registry: Registry, prover: Prover, prefix: str, org_name: str, domain: str, how: str) -> bool:
    wanted = statement(registry, prefix, org_name)
    if how == "oidc":  # it is renewed by the jobs that publish
        return False
    if how == "dns":
        return wanted in prover.texts(f"{RECORD}.{domain}")
    try:
        said = prover.get(f"https://{domain}{WELL_KNOWN}")
    except Problem:
        return False
    return wanted in (line.strip() for line in said.decode("utf-8", "replace").splitlines())


def require_prefix(prefix: str) -> str:
    prefix = require_name(prefix)
    if len(prefix) < SHORTEST:
        raise Refused(f"{prefix!r} is too short for a namespace.", fix="Ask an administrator.")
    if why := why_reserved(prefix):
        raise Conflict(f"{prefix!r} is not to be had. {why}", code="name-reserved", fix="Claim another.")
    return prefix


def _rows() -> sa.Select[Any]:
    return sa.select(namespace, org.c.name.label("owner")).join(org, org.c.id == namespace.c.org_id)


def _granted(connection: sa.Connection) -> sa.Select[Any]:
    return _rows().where(is_granted(connection))


def _overlapping(connection: sa.Connection, prefix: str) -> list[sa.Row[Any]]:
    """Grants of this prefix, above it and below it, longest first."""
    where = sa.or_(
        namespace.c.prefix.in_(prefixes(prefix)),
        namespace.c.prefix.startswith(f"{prefix}-", autoescape=True),
    )
    query = _granted(connection).where(where).order_by(sa.func.length(namespace.c.prefix).desc())
    return list(connection.execute(query).all())


def _refuse_overlap(rows: list[sa.Row[Any]], org_id: int) -> None:
    for row in rows:
        if row.org_id != org_id:
            raise Conflict(
                f"{row.prefix!r}, which overlaps, is granted to {row.owner!r}.",
                code="namespace-held",
                fix="Claim another prefix, or ask its owner for a part of it.",
            )


def _refuse_projects_of_others(connection: sa.Connection, prefix: str, org_id: int) -> None:
    """A prefix that others use is common, whoever owns a domain of that name."""
    members = sa.select(membership.c.account_id).where(membership.c.org_id == org_id)
    theirs = sa.func.coalesce(project.c.org_id != org_id, project.c.account_id.not_in(members))
    inside = sa.or_(
        project.c.norm_name == prefix, project.c.norm_name.startswith(f"{prefix}-", autoescape=True)
    )
    name = connection.scalar(sa.select(project.c.norm_name).where(inside, theirs).limit(1))
    if name is not None:
        raise Conflict(
            f"{name!r} is another's project, and its name begins with {prefix!r}.",
            code="namespace-in-use",
            fix="Claim a longer prefix, or ask an administrator.",
        )


def _insert(
    connection: sa.Connection,
    maker: Identity,
    prefix: str,
    owner: sa.Row[Any],
    how: str,
    of: str,
    until: Any,
) -> None:
    at = now(connection)
    old = connection.execute(sa.select(namespace).where(namespace.c.prefix == prefix)).one_or_none()
    was_open = old is not None and old.org_id == owner.id and old.open
    values = {"org_id": owner.id, "proof": how, "proof_of": of, "state": "granted", "open": was_open}
    values |= {"checked_at": at, "not_after": until, "created_at": at}
    connection.execute(sa.delete(namespace).where(namespace.c.prefix == prefix))
    connection.execute(sa.insert(namespace).values(prefix=prefix, **values))
    audit.record(connection, maker.actor, "namespace-granted", prefix, org=owner.name, proof=how, of=of)
