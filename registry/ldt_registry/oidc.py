"""Trusted publishing: a job of a known issuer shows who it is, and is given a token for a quarter of an hour.

Issuers are added by an administrator; keys come from nobody else, whatever the header of a token says. What is matched are
numbers that never change hands, since a name that was given up can be taken over. A token of an issuer is used once.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from ldt_core.errors import LdtError
from ldt_core.remote.net import place_of

from . import audit, namespaces, tokens
from .database import now
from .fetch import get_json
from .limits import MINTS_OF_NETWORK, PROOFS_OF_ORG, spend
from .names import normalise, prefixes
from .problems import Problem, Refused
from .publishers import drop, matches
from .registry import Registry
from .rights import require_org
from .schema import issuer, namespace, oidc_jti, project, publisher

LEEWAY = timedelta(seconds=30)
HOLDS = timedelta(minutes=15)
FARTHEST = timedelta(hours=24)
LONGEST = 16_384
CLAIMS = ["exp", "iat", "iss", "aud", "jti", "sub"]
NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
CURVES = {"RS256": ("RSA", None), "ES256": ("EC", "P-256")}


@dataclass
class _Kept:
    """The keys of one issuer, by their ids."""

    keys: dict[str, jwt.PyJWK] = field(default_factory=dict)
    asked: float = float("-inf")
    found: float = float("-inf")
    lock: threading.Lock = field(default_factory=threading.Lock)


class Keys:
    """Keys of issuers, kept: asked for at most once a minute, however many unknown ids come; at least once an hour.

    Where an issuer does not answer, what was found within a day still holds. ``clock`` is in seconds.
    """

    SELDOM, OFTEN, LONGEST = 60.0, 3600.0, 86400.0

    def __init__(self, registry: Registry, clock: Callable[[], float] = time.monotonic) -> None:
        self._registry, self._clock = registry, clock
        self._kept: dict[str, _Kept] = {}
        self._lock = threading.Lock()

    def find(self, url: str, kid: str, algorithm: str) -> jwt.PyJWK:
        """The key of an issuer that the administrator added. Raises Refused."""
        with self._lock:
            kept = self._kept.setdefault(url, _Kept())
        if self._clock() - kept.found > self.OFTEN or kid not in kept.keys:
            with kept.lock:  # who comes meanwhile waits for what is found
                self._refresh(url, kept, kid)
        found = kept.keys.get(kid)
        if found is None or found.algorithm_name != algorithm:
            raise _refuse("unknown-key", f"{url} has no key {kid[:100]!r} for {algorithm}.")
        return found

    def _refresh(self, url: str, kept: _Kept, kid: str) -> None:
        at = self._clock()
        if (kid in kept.keys and at - kept.found <= self.OFTEN) or at - kept.asked < self.SELDOM:
            return
        kept.asked = at
        try:
            kept.keys, kept.found = self._ask(url), at
        except Problem:
            if at - kept.found > self.LONGEST:
                kept.keys = {}
                raise

    def _ask(self, url: str) -> dict[str, jwt.PyJWK]:
        said = get_json(self._registry, f"{url}/.well-known/openid-configuration")
        where = said.get("jwks_uri") if isinstance(said, dict) else None
        if not isinstance(where, str) or said.get("issuer") != url or not _same_host(where, url):
            raise _refuse("bad-issuer", f"{url} does not describe itself, or names keys of another host.")
        listed = get_json(self._registry, where)
        listed = listed.get("keys") if isinstance(listed, dict) else None
        if not isinstance(listed, list):
            raise _refuse("bad-issuer", f"{where} lists no keys.")
        return {k.key_id: k for one in listed[:100] if (k := _read_key(one)) is not None and k.key_id}


def verify(registry: Registry, keys: Keys, whole: str) -> dict[str, Any]:
    """The claims of a token that an added issuer signed for this registry, now. Raises Refused."""
    try:
        if len(whole) > LONGEST:
            raise jwt.InvalidTokenError("it is too long")
        header = jwt.get_unverified_header(whole)
        url = jwt.decode(whole, options={"verify_signature": False}).get("iss")
        known = _issuer(registry, url)
        algorithm = header.get("alg")
        if algorithm not in known.algorithms:
            raise jwt.InvalidTokenError(f"{url} does not sign with {algorithm}")
        key = keys.find(known.url, str(header.get("kid")), str(algorithm))
        claims: dict[str, Any] = jwt.decode(
            whole,
            key,
            algorithms=[str(algorithm)],
            audience=registry.settings.audience,
            issuer=known.url,
            leeway=LEEWAY,
            options={"require": CLAIMS, "strict_aud": True},
        )
    except (jwt.PyJWTError, ValueError, RecursionError) as exc:
        raise _refuse("invalid-token", f"The token is not valid: {exc}.") from exc
    if not claims["jti"] or len(claims["jti"]) > 500:
        raise _refuse("invalid-token", "The token has no usable id.")
    if datetime.fromtimestamp(claims["exp"], UTC) > datetime.now(UTC) + FARTHEST:
        raise _refuse("invalid-token", "The token lasts too long.")
    return claims


def mint(registry: Registry, keys: Keys, whole: str, network: str = "unknown") -> tuple[str, datetime]:
    """(token, its end) for the projects whose trusted publisher this is. Raises Refused, TooMany."""
    with registry.database.write() as connection:
        spend(connection, MINTS_OF_NETWORK, network)
    claims = verify(registry, keys, whole)
    with registry.database.write() as connection:
        _use_once(connection, claims)
        found = _trusting(connection, claims)
        if not found:
            raise _refuse("no-publisher", f"No project trusts this job: {_told(claims)}.")
        scopes = [f"create:{r.pending_name}" if r.pending_name else f"upload:{r.norm_name}" for r in found]
        until = now(connection) + HOLDS
        made = tokens.mint(
            connection, scopes=scopes, until=until, publisher_id=found[0].id, title="trusted publisher"
        )
        number = tokens.id_of(made)
        _renew_namespaces(connection, _owner(found[0].kind, claims)[1])
        audit.record(
            connection, f"oidc:{claims['iss']}", "token-minted", number, scopes=scopes, job=_told(claims)
        )
        return made, until


def claim_namespace(
    registry: Registry, keys: Keys, maker: tokens.Identity, prefix: str, org_name: str, whole: str
) -> None:
    """Grant a prefix that is the name of an owner at the issuer, to whom can run a job there.

    It holds as long as jobs of that owner publish now and then. Raises Refused, Conflict, Forbidden.
    """
    prefix = namespaces.require_prefix(prefix)
    with registry.database.write() as connection:
        require_org(connection, maker, org_name)
        spend(connection, PROOFS_OF_ORG, org_name)
    claims = verify(registry, keys, whole)
    name, of = _owner(_issuer(registry, claims["iss"]).kind, claims)
    if name not in prefixes(prefix):
        raise _refuse("wrong-owner", f"The job is one of {name!r}, which says nothing of {prefix!r}.")
    with registry.database.write() as connection:
        _use_once(connection, claims)
        namespaces.settle(connection, maker, prefix, org_name, "oidc", of)


def _owner(kind: str, claims: dict[str, Any]) -> tuple[str, str]:
    """(name, number at the issuer) of who owns the repository: an account of GitHub, a group of GitLab without a parent."""
    name, number = {
        "github": (claims.get("repository_owner"), claims.get("repository_owner_id")),
        "gitlab": (claims.get("namespace_path"), claims.get("namespace_id")),
    }.get(kind, (None, None))
    if not isinstance(name, str) or not NAME.fullmatch(name) or not number:
        return "", ""
    return normalise(name), f"{claims['iss']} {number}"


def burn(registry: Registry, whole: str) -> bool:
    """End a token that is not needed any more; whoever holds it may."""
    return tokens.revoke_leaked(registry, whole, "not needed any more", actor="oidc")


def forget(registry: Registry) -> None:
    """Delete ids of tokens that could not be used again anyway, and pending publishers whose time is over."""
    with registry.database.write() as connection:
        at = now(connection)
        connection.execute(sa.delete(oidc_jti).where(oidc_jti.c.keep_until < at))
        over = publisher.c.pending_name.is_not(None) & (publisher.c.not_after < at)
        for row in connection.execute(sa.select(publisher).where(over)).all():
            drop(connection, row)
            audit.record(connection, "system", "publisher-expired", row.pending_name)


def _issuer(registry: Registry, url: Any) -> sa.Row[Any]:
    with registry.database.read() as connection:
        found = connection.execute(sa.select(issuer).where(issuer.c.url == str(url))).one_or_none()
    if found is None:
        raise _refuse("unknown-issuer", f"{str(url)[:200]!r} is no issuer that this registry knows.")
    return found


def _use_once(connection: sa.Connection, claims: dict[str, Any]) -> None:
    until = datetime.fromtimestamp(claims["exp"], UTC) + LEEWAY + timedelta(seconds=5)
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    row = insert(oidc_jti).values(issuer=claims["iss"], jti=claims["jti"], keep_until=until)
    if connection.scalar(row.on_conflict_do_nothing().returning(oidc_jti.c.jti)) is None:
        raise _refuse("reused-token", "This token was used before.")


def _renew_namespaces(connection: sa.Connection, of: str) -> None:
    at = now(connection)
    mine = (namespace.c.proof == "oidc", namespace.c.proof_of == of, namespace.c.state == "granted")
    held = sa.update(namespace).where(*mine, namespace.c.not_after > at)
    connection.execute(held.values(checked_at=at, not_after=at + namespaces.HOLDS))


def _trusting(connection: sa.Connection, claims: dict[str, Any]) -> list[sa.Row[Any]]:
    query = (
        sa.select(publisher, issuer.c.kind, issuer.c.url, project.c.norm_name)
        .join(issuer, issuer.c.id == publisher.c.issuer_id)
        .outerjoin(project, project.c.id == publisher.c.project_id)
        .where(issuer.c.url == claims["iss"])
        .where(sa.or_(publisher.c.not_after.is_(None), publisher.c.not_after > now(connection)))
        .order_by(publisher.c.id)
    )
    return [r for r in connection.execute(query).all() if matches(r.kind, r.url, r.claims, claims)]


def _told(claims: dict[str, Any]) -> str:
    """What an owner needs in order to add the job: none of it is secret."""
    github = ("repository_owner_id", "repository_id", "job_workflow_ref")
    names = ("sub", *github, "namespace_id", "project_id", "ci_config_ref_uri", "environment")
    return ", ".join(f"{k}={str(claims[k])[:200]}" for k in names if k in claims)


def _read_key(said: Any) -> jwt.PyJWK | None:
    """A key to verify with, of a kind that we take; others are passed over."""
    if not isinstance(said, dict) or said.get("use", "sig") != "sig" or not isinstance(said.get("kid"), str):
        return None
    for algorithm, (kind, curve) in CURVES.items():
        if said.get("kty") == kind and said.get("crv") == curve and said.get("alg", algorithm) == algorithm:
            try:
                key = jwt.PyJWK(said, algorithm)
            except (jwt.PyJWTError, ValueError, TypeError, KeyError):
                return None
            return key if kind != "RSA" or key.key.key_size >= 2048 else None
    return None


def _same_host(one: str, two: str) -> bool:
    try:
        return place_of(one) == place_of(two)
    except LdtError:
        return False


def _refuse(code: str, what: str) -> Refused:
    """As clients of trusted publishing read it: a message, and errors with a code each."""
    return Refused(
        what,
        code=code,
        fix="See the guide 'Publish from a pipeline'.",
        message=what,
        errors=[{"code": code, "description": what}],
    )
