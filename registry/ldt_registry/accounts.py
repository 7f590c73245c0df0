"""Accounts: made by an administrator, with a password for the web pages or with tokens only."""

from __future__ import annotations

import re
import threading
from functools import cache
from typing import Any

import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from . import audit
from .database import now
from .problems import Conflict, Malformed, Refused
from .registry import Registry
from .rights import account_named, require_role, require_self
from .schema import account, token, web_session
from .tokens import Identity, operator

NAME = re.compile(r"[a-z0-9](?:-?[a-z0-9]){1,38}")
ROLES = ("user", "certifier", "moderator", "admin")
SHORTEST, LONGEST = 12, 1024
# One hash takes 64 MiB and some 0.1 s: many at once would be an attack on our own memory.
_at_once = threading.Semaphore(2)


def require_simple(name: str) -> str:
    """A name of an account or organisation. Raises Malformed."""
    if not NAME.fullmatch(name):
        raise Malformed(
            f"{name!r} is no name here.",
            code="bad-name",
            fix="Use 2 to 39 lower-case letters, digits and single dashes; begin and end with a letter or digit.",
        )
    return name


def make(
    registry: Registry,
    maker: Identity,
    name: str,
    *,
    email: str | None = None,
    role: str = "user",
    password: str | None = None,
) -> int:
    """Make an account and return its number. Raises Conflict, Malformed, Refused, Forbidden."""
    hashed = None if password is None else hash_password(password, name)
    _require_known_role(role)
    with registry.database.write() as connection:
        require_role(connection, maker)
        return _insert(connection, maker, name, email=email, role=role, password=hashed)


def make_first(registry: Registry, name: str = "admin") -> int:
    """The administrator of a new registry."""
    with registry.database.write() as connection:
        return _insert(connection, operator("init"), name, role="admin")


def set_role(registry: Registry, maker: Identity, name: str, role: str) -> None:
    _require_known_role(role)
    _change(registry, maker, name, "account-role", role=role)


def set_state(registry: Registry, maker: Identity, name: str, state: str) -> None:
    """``suspended``: nothing of this account works any more; ``active`` undoes it."""
    if state not in ("active", "suspended"):
        raise Malformed(f"{state!r} is no state of an account.", fix="Say active or suspended.")
    _change(registry, maker, name, f"account-{state}", state=state)


def set_password(registry: Registry, maker: Identity, name: str, password: str) -> None:
    """A new password ends all sessions of the account."""
    hashed = hash_password(password, name)
    with registry.database.write() as connection:
        found = account_named(connection, name)
        require_self(connection, maker, found.id)
        connection.execute(sa.update(account).where(account.c.id == found.id).values(password=hashed))
        connection.execute(sa.delete(web_session).where(web_session.c.account_id == found.id))
        audit.record(connection, maker.actor, "account-password", name)


def drop_second_factor(registry: Registry, maker: Identity, name: str) -> None:
    """For who lost the device: an administrator who knows the person lets the password alone do again."""
    _change(registry, maker, name, "second-factor-dropped", totp_secret=None)


def listed(registry: Registry) -> list[dict[str, Any]]:
    columns = (account.c.name, account.c.role, account.c.state, account.c.email, account.c.created_at)
    with registry.database.read() as connection:
        return [dict(r) for r in connection.execute(sa.select(*columns).order_by(account.c.name)).mappings()]


def tokens_of(registry: Registry, name: str | None = None) -> list[dict[str, Any]]:
    """What can be told of tokens; their secrets are not kept."""
    columns = [token.c[k] for k in ("id", "title", "scopes", "created_at", "not_after", "last_used")]
    query = sa.select(*columns, token.c.revoked_at, token.c.used, account.c.name.label("account")).join(
        account
    )
    if name is not None:
        query = query.where(account.c.name == name)
    with registry.database.read() as connection:
        return [dict(r) for r in connection.execute(query.order_by(token.c.created_at)).mappings()]


def hash_password(password: str, name: str) -> str:
    """Argon2id. Raises Refused for what is too short, too long, or says the name."""
    if not SHORTEST <= len(password) <= LONGEST or name.lower() in password.lower():
        raise Refused(
            f"A password has {SHORTEST} to {LONGEST} characters and does not hold the name.",
            code="weak-password",
            fix="Take a few words that do not belong together.",
        )
    with _at_once:
        return _hasher().hash(password)


def is_password(hashed: str | None, password: str) -> bool:
    """As slow for an account without a password, or for none, as for a wrong one."""
    with _at_once:
        try:
            return _hasher().verify(hashed or _nobody(), password[: LONGEST + 1]) and hashed is not None
        except (VerificationError, InvalidHashError):
            return False


@cache
def _hasher() -> PasswordHasher:
    return PasswordHasher()


@cache
def _nobody() -> str:
    return _hasher().hash("the password of nobody")


def _insert(connection: sa.Connection, maker: Identity, name: str, **values: Any) -> int:
    require_simple(name)
    if connection.scalar(sa.select(account.c.id).where(account.c.name == name)) is not None:
        raise Conflict(f"There is an account {name!r} already.", fix="Choose another name.")
    row = sa.insert(account).values(name=name, created_at=now(connection), **values).returning(account.c.id)
    made = int(connection.execute(row).scalar_one())
    audit.record(connection, maker.actor, "account-made", name, role=values["role"])
    return made


def _change(registry: Registry, maker: Identity, name: str, action: str, **values: Any) -> None:
    with registry.database.write() as connection:
        require_role(connection, maker)
        found = account_named(connection, name)
        connection.execute(sa.update(account).where(account.c.id == found.id).values(values))
        admins = sa.select(sa.func.count()).where(account.c.role == "admin", account.c.state == "active")
        if found.role == "admin" and not connection.scalar(admins):
            raise Refused(f"{name!r} is the last administrator.", fix="Make another one first.")
        connection.execute(sa.delete(web_session).where(web_session.c.account_id == found.id))
        audit.record(connection, maker.actor, action, name, **values)


def _require_known_role(role: str) -> None:
    if role not in ROLES:
        raise Malformed(f"{role!r} is no role of an account.", fix=f"Say one of {', '.join(ROLES)}.")
