"""Tokens: shown once, kept as their SHA-256, with scopes and an end. Who presents one is known by it.

``ldtr_`` + id + secret + checksum, so that scanners for leaked secrets recognise one without asking anybody.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
import secrets
import zlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from . import audit, journal
from .database import now
from .limits import TOKENS_OF_NETWORK, refuse_spent, spend
from .names import prefixes
from .problems import Forbidden, Malformed, Problem, Unauthenticated
from .registry import Registry
from .schema import account, publisher, token

PREFIX = "ldtr_"
FORM = re.compile(r"ldtr_[A-Za-z0-9_-]{20,}")
LONGEST = timedelta(days=366)
NOTED_EVERY = timedelta(hours=1)
# What a token may allow. `upload` and `yank` hold for all that its holder may, `:name` for one project, `:prefix-*` for
# those whose names begin so; `create:name` makes one project once.
SCOPE = re.compile(
    r"(upload|yank)(:[a-z0-9]+(-[a-z0-9]+)*(-\*)?)?|create:[a-z0-9]+(-[a-z0-9]+)*|read:private|certify:run|manage"
)
ALL_SCOPES = ("upload", "yank", "read:private", "certify:run", "manage")


@dataclass(frozen=True)
class Identity:
    """Who asks: ``actor`` as it stands in journal and audit, an account or a trusted publisher, and what was granted.

    Without a token it is a person at the web pages, or the operator at the command line (then without an account).
    """

    actor: str
    token_id: str
    scopes: tuple[str, ...]
    account_id: int | None = None
    publisher_id: int | None = None
    role: str = "user"

    def allows(self, verb: str, name: str = "") -> bool:
        """Whether a scope covers the verb, for all or for this normalised name."""
        names = {f"{verb}:{name}", *(f"{verb}:{p}-*" for p in prefixes(name))} if name else set()
        return bool(set(self.scopes) & {verb, *names})


def operator(name: str) -> Identity:
    """Who can run a command in the home of the registry may do everything."""
    return Identity(f"operator:{name}", "", ALL_SCOPES, role="admin")


def mint(
    connection: sa.Connection,
    *,
    scopes: list[str],
    until: datetime,
    account_id: int | None = None,
    publisher_id: int | None = None,
    title: str = "",
) -> str:
    """Make a token and return it; it cannot be read again. Raises Malformed for a scope that is none."""
    for scope in scopes or [""]:
        if not SCOPE.fullmatch(scope):
            raise Malformed(
                f"{scope!r} is no scope of a token.",
                code="bad-scope",
                fix="Say upload, yank, each also with :PROJECT or :PREFIX-*, create:NAME, read:private, certify:run or manage.",
            )
    body = secrets.token_hex(6) + secrets.token_urlsafe(32)
    whole = f"{PREFIX}{body}{_checksum(body)}"
    connection.execute(
        sa.insert(token).values(
            id=body[:12],
            sha256=_digest(whole),
            account_id=account_id,
            publisher_id=publisher_id,
            title=title,
            scopes=scopes,
            created_at=now(connection),
            not_after=until,
        )
    )
    return whole


def make(
    connection: sa.Connection,
    maker: Identity,
    account_id: int,
    scopes: list[str],
    *,
    days: float,
    title: str = "",
) -> tuple[str, str]:
    """(id, token) of an account, written into the audit log.

    A token makes none that may more, or lasts longer, than itself. Raises Malformed, Forbidden.
    """
    more = [s for s in scopes if maker.token_id and not {s, s.partition(":")[0]} & set(maker.scopes)]
    if more:
        raise Forbidden(
            f"This token cannot give what it does not have: {', '.join(more)}.",
            code="scope",
            fix="Sign in, and make it there.",
        )
    if not 0 < days <= LONGEST.days:
        raise Malformed(
            f"A token ends within {LONGEST.days} days.", code="bad-end", fix="Make a new one then."
        )
    until = now(connection) + timedelta(days=days)
    if maker.token_id:
        own = connection.scalar(sa.select(token.c.not_after).where(token.c.id == maker.token_id))
        until = min(until, own) if own is not None else until
    whole = mint(connection, scopes=scopes, until=until, account_id=account_id, title=title)
    number = id_of(whole)
    audit.record(
        connection, maker.actor, "token-made", number, account=account_id, scopes=scopes, until=str(until)
    )
    return number, whole


def revoke(connection: sa.Connection, actor: str, number: str, why: str) -> bool:
    """End a token for good; false where it is unknown or ended already."""
    query = sa.update(token).where(token.c.id == number, token.c.revoked_at.is_(None))
    if connection.execute(query.values(revoked_at=now(connection))).rowcount == 0:
        return False
    audit.record(connection, actor, "token-revoked", number, why=why)
    return True


def revoke_leaked(registry: Registry, whole: str, why: str, actor: str = "scanner") -> bool:
    """End a token that was found in public; whoever holds it may, and nobody else can guess it."""
    with registry.database.write() as connection:
        number = connection.scalar(sa.select(token.c.id).where(token.c.sha256 == _digest(whole)))
        return number is not None and revoke(connection, actor, number, why[:200])


def authenticate(registry: Registry, header: str | None, network: str = "") -> Identity:
    """Who sent this ``Authorization``: ``Basic`` with the user ``__token__``, or ``Bearer``.

    Raises Unauthenticated, and TooMany where too many wrong ones came from the network.
    """
    try:
        with registry.database.read() as connection:
            if network:
                refuse_spent(connection, TOKENS_OF_NETWORK, network)
            digest = _digest(read_header(header))
            row = connection.execute(_known().where(token.c.sha256 == digest)).one_or_none()
            identity = _identity(connection, row)
            at = now(connection)
    except Unauthenticated:
        if network and header:
            with registry.database.write() as connection:
                spend(connection, TOKENS_OF_NETWORK, network)
        raise
    assert row is not None
    if row.last_used is None or row.last_network != network or at - row.last_used > NOTED_EVERY:
        _note_use(registry, identity, row.last_network, network)
    return identity


def renew(connection: sa.Connection, identity: Identity) -> Identity:
    """The same, as it stands now: rights end at once, not when a request does. Raises Unauthenticated, Forbidden."""
    if identity.token_id:
        row = connection.execute(_known().where(token.c.id == identity.token_id)).one_or_none()
        return _identity(connection, row)
    if identity.account_id is None:
        return identity
    query = sa.select(account).where(account.c.id == identity.account_id)
    person = connection.execute(query).one_or_none()
    if person is None or person.state != "active":
        raise Forbidden("This account is suspended.", fix="Ask an administrator of this registry.")
    return Identity(identity.actor, "", identity.scopes, person.id, role=person.role)


def id_of(whole: str) -> str:
    return whole.removeprefix(PREFIX)[:12]


def redact(text: str) -> str:
    """The text without the secrets of tokens: of each its id is left, by which it can be revoked."""
    return FORM.sub(lambda m: f"{m[0][:17]}...", text)


def read_header(header: str | None) -> str:
    """The token of an ``Authorization`` header. Raises Unauthenticated where it is none, by its checksum."""
    kind, _, value = (header or "").partition(" ")
    given = ""
    if kind.lower() == "bearer":
        given = value.strip()
    elif kind.lower() == "basic":
        with contextlib.suppress(ValueError):  # neither Base64 nor a text
            user, _, password = base64.b64decode(value.strip(), validate=True).decode().partition(":")
            given = password if user == "__token__" else ""
    body = given.removeprefix(PREFIX)[:-8]
    if not FORM.fullmatch(given) or given[-8:] != _checksum(body):
        raise Unauthenticated(
            "No token of this registry was sent.",
            fix="Send the user name __token__ with a token as the password.",
        )
    return given


def _known() -> sa.Select[Any]:
    holder = account.c.id == sa.func.coalesce(token.c.account_id, publisher.c.account_id)
    return sa.select(token, account.c.name, account.c.role, account.c.state).select_from(
        token.outerjoin(publisher, token.c.publisher_id == publisher.c.id).outerjoin(account, holder)
    )


def _identity(connection: sa.Connection, row: sa.Row[Any] | None) -> Identity:
    if row is None or row.revoked_at is not None or row.not_after <= now(connection):
        raise Unauthenticated(
            "This token is not known, was revoked or has ended.",
            fix="Make a new one with `ldt registry token add`.",
        )
    if row.state != "active":
        raise Forbidden(f"The account {row.name} is suspended.", fix="Ask an administrator of this registry.")
    return Identity(
        actor=f"token:{row.id}:{row.name}",
        token_id=row.id,
        scopes=tuple(row.scopes),
        account_id=row.account_id,
        publisher_id=row.publisher_id,
        role="user" if row.publisher_id is not None else row.role,
    )


def _note_use(registry: Registry, identity: Identity, before: str | None, network: str) -> None:
    """When and from where it was used; a use from elsewhere is told in the audit log."""
    elsewhere = before is not None and network not in ("", before)
    with contextlib.suppress(Problem), registry.database.write() as connection:
        if elsewhere:
            journal.hold(connection)  # a publication uses up a token while it holds the head
        connection.execute(
            sa.update(token)
            .where(token.c.id == identity.token_id)
            .values(last_used=now(connection), last_network=network)
        )
        if elsewhere:
            audit.record(connection, identity.actor, "token-used-elsewhere", identity.token_id)


def _checksum(body: str) -> str:
    return f"{zlib.crc32(body.encode()):08x}"


def _digest(whole: str) -> str:
    return hashlib.sha256(whole.encode()).hexdigest()
