"""Tokens: shown once, kept as their SHA-256, with scopes and an end. Who presents one is known by it.

``ldtr_`` + id + secret + checksum, so that scanners for leaked secrets recognise one without asking anybody.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
import zlib
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from .database import now
from .problems import Forbidden, Unauthenticated
from .registry import Registry
from .schema import account, publisher, token

PREFIX = "ldtr_"


@dataclass(frozen=True)
class Identity:
    """Who asks: ``actor`` as it stands in journal and audit, an account or a trusted publisher, and what was granted."""

    actor: str
    token_id: str
    scopes: tuple[str, ...]
    account_id: int | None = None
    publisher_id: int | None = None
    role: str = "user"


def mint(
    connection: sa.Connection,
    *,
    scopes: list[str],
    until: datetime,
    account_id: int | None = None,
    publisher_id: int | None = None,
    title: str = "",
) -> str:
    """Make a token and return it; it cannot be read again."""
    body = secrets.token_hex(6) + secrets.token_urlsafe(32)
    whole = f"{PREFIX}{body}{zlib.crc32(body.encode()):08x}"
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


def authenticate(registry: Registry, header: str | None) -> Identity:
    """Who sent this ``Authorization``: ``Basic`` with the user ``__token__``, or ``Bearer``. Raises Unauthenticated."""
    given = _read(header)
    with registry.database.read() as connection:
        query = (
            sa.select(token, account.c.name, account.c.role, account.c.state)
            .select_from(
                token.outerjoin(publisher, token.c.publisher_id == publisher.c.id).outerjoin(
                    account, account.c.id == sa.func.coalesce(token.c.account_id, publisher.c.account_id)
                )
            )
            .where(token.c.sha256 == _digest(given))
        )
        row = connection.execute(query).one_or_none()
        if row is None or row.revoked_at is not None or row.not_after <= now(connection):
            raise Unauthenticated(
                "This token is not known, was revoked or has ended.",
                fix="Make a new one with `ldt registry token`.",
            )
    if row.state != "active":
        raise Forbidden(f"The account {row.name} is suspended.", fix="Ask an administrator of this registry.")
    return Identity(
        actor=f"token:{row.id}:{row.name}",
        token_id=row.id,
        scopes=tuple(row.scopes),
        account_id=row.account_id,
        publisher_id=row.publisher_id,
        role=row.role,
    )


def _read(header: str | None) -> str:
    kind, _, value = (header or "").partition(" ")
    given = ""
    if kind.lower() == "bearer":
        given = value.strip()
    elif kind.lower() == "basic":
        try:
            user, _, given = base64.b64decode(value.strip(), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            user = given = ""
        if user != "__token__":
            given = ""
    body = given.removeprefix(PREFIX)[:-8]
    if not given.startswith(PREFIX) or given[-8:] != f"{zlib.crc32(body.encode()):08x}":
        raise Unauthenticated(
            "No token of this registry was sent.",
            fix="Send the user name __token__ with a token as the password.",
        )
    return given


def _digest(whole: str) -> str:
    return hashlib.sha256(whole.encode()).hexdigest()
