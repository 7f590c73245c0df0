"""Who is signed in at the web pages: sessions are kept here, the browser holds only a random name of one.

A session is new at each login, ends after a day, and is fresh for a quarter of an hour: what is hard to undo asks for the
password again. Each has a secret for its forms, which a page of another origin cannot know.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from . import audit
from .accounts import NAME, is_password
from .database import now
from .limits import LOGINS_OF_ACCOUNT, LOGINS_OF_NETWORK, forgive, is_first, spend
from .problems import Forbidden, Refused, TooMany, Unauthenticated
from .registry import Registry
from .rights import require_self
from .schema import account, web_session
from .tokens import ALL_SCOPES, Identity

LASTS = timedelta(hours=24)
FRESH = timedelta(minutes=15)
SECRET = re.compile(r"[A-Z2-7]{32}")
STEP = 30  # seconds of a one-time code
# Else a browser would ask for name and password in a window of its own.
NO_PROMPT = {"WWW-Authenticate": 'Cookie realm="registry"'}


@dataclass(frozen=True)
class Session:
    """One who is signed in. ``csrf`` goes into every form, and comes back with it."""

    identity: Identity
    name: str
    csrf: str
    fresh: bool


def login(
    registry: Registry,
    name: str,
    password: str,
    *,
    code: str = "",
    network: str = "unknown",
    before: str | None = None,
) -> str:
    """A new session's secret, for the cookie; the one ``before`` ends. Raises Unauthenticated, Forbidden, TooMany.

    Whether the name, the password or the code was wrong is not told, nor is it to be timed.
    """
    found = _check(registry, name, password, code, network)
    secret = secrets.token_urlsafe(32)
    with registry.database.write() as connection:
        at = now(connection)
        if before is not None:
            connection.execute(sa.delete(web_session).where(web_session.c.sha256 == _digest(before)))
        connection.execute(
            sa.insert(web_session).values(
                sha256=_digest(secret),
                account_id=found.id,
                csrf=secrets.token_urlsafe(32),
                created_at=at,
                fresh_until=at + FRESH,
                not_after=at + LASTS,
            )
        )
        audit.record(connection, f"account:{found.name}", "login", found.name)
    return secret


def confirm(
    registry: Registry, secret: str, password: str, *, code: str = "", network: str = "unknown"
) -> None:
    """The password again: the session is fresh for a while."""
    name = find(registry, secret).name
    _check(registry, name, password, code, network)
    with registry.database.write() as connection:
        mine = sa.update(web_session).where(web_session.c.sha256 == _digest(secret))
        connection.execute(mine.values(fresh_until=now(connection) + FRESH))
        audit.record(connection, f"account:{name}", "login-confirmed", name)


def find(registry: Registry, secret: str | None) -> Session:
    """The session of a cookie. Raises Unauthenticated where there is none that lasts, or its account is suspended."""
    with registry.database.read() as connection:
        query = (
            sa.select(web_session, account.c.name, account.c.role, account.c.state)
            .join(account)
            .where(web_session.c.sha256 == _digest(secret or ""))
        )
        row = connection.execute(query).one_or_none()
        at = now(connection)
    if row is None or row.not_after <= at or row.state != "active":
        raise Unauthenticated(
            "You are not signed in.",
            code="not-signed-in",
            fix="Sign in, then do it again.",
            headers=NO_PROMPT,
        )
    identity = Identity(f"account:{row.name}", "", ALL_SCOPES, row.account_id, role=row.role)
    return Session(identity, row.name, row.csrf, row.fresh_until > at)


def logout(registry: Registry, secret: str) -> None:
    with registry.database.write() as connection:
        connection.execute(sa.delete(web_session).where(web_session.c.sha256 == _digest(secret)))


def require_form(session: Session, given: str | None) -> None:
    """Raises Forbidden unless the form came from a page of this session."""
    if not hmac.compare_digest(session.csrf.encode(), (given or "").encode("utf-8", "replace")):
        raise Forbidden(
            "This form is not one of your session.", code="csrf", fix="Load the page again, then send it."
        )


def require_fresh(session: Session) -> None:
    if not session.fresh:
        raise Forbidden(
            "That needs your password again.",
            code="not-fresh",
            fix="Confirm your password, then do it again.",
        )


def forget(registry: Registry) -> None:
    """Delete sessions that are over."""
    with registry.database.write() as connection:
        connection.execute(sa.delete(web_session).where(web_session.c.not_after < now(connection)))


def set_second_factor(registry: Registry, session: Session, secret: str, code: str) -> None:
    """From now on a login needs a one-time code, too; ``code`` shows that the other device has the secret.

    ``secret`` is Base32, from ``new_factor``. Raises Refused where the code is not that of it.
    """
    require_fresh(session)
    if not SECRET.fullmatch(secret):
        raise Refused(
            "That is no secret of a second factor.", code="bad-secret", fix="Take the one of the page."
        )
    if not _matching_steps(secret, code, _seconds(registry)):
        raise Refused(
            "The code is not that of this secret.", code="wrong-code", fix="Look at the clock of the device."
        )
    with registry.database.write() as connection:
        assert session.identity.account_id is not None
        require_self(connection, session.identity, session.identity.account_id)
        mine = sa.update(account).where(account.c.id == session.identity.account_id)
        connection.execute(mine.values(totp_secret=secret))
        audit.record(connection, session.identity.actor, "second-factor-set", session.name)


def new_factor(registry: Registry, name: str) -> tuple[str, str]:
    """(secret, address to be shown as a QR code) of one-time codes after RFC 6238."""
    secret = base64.b32encode(secrets.token_bytes(20)).decode()
    title = "".join(c for c in registry.settings.title if c.isalnum() or c == " ").replace(" ", "%20")
    return secret, f"otpauth://totp/{title}:{name}?secret={secret}&issuer={title}"


def code_at(secret: str, step: int) -> str:
    """The one-time code of a step of 30 s (RFC 6238 with SHA-1 and six digits, as all devices have it)."""
    mac = hmac.digest(base64.b32decode(secret), step.to_bytes(8, "big"), "sha1")
    at = mac[-1] & 15
    return f"{(int.from_bytes(mac[at : at + 4], 'big') & 0x7FFFFFFF) % 1_000_000:06}"


def _check(registry: Registry, name: str, password: str, code: str, network: str) -> sa.Row[Any]:
    whom = hashlib.sha256(
        name.encode("utf-8", "replace")
    ).hexdigest()  # names that are none are long, or secrets
    with registry.database.write() as connection:
        try:
            spend(connection, LOGINS_OF_NETWORK, network)
            spend(connection, LOGINS_OF_ACCOUNT, whom)
            refused = None
        except TooMany as exc:  # counted all the same
            refused = exc
        query = sa.select(account).where(account.c.name == (name if NAME.fullmatch(name) else ""))
        row = connection.execute(query).one_or_none()
        at = now(connection)
    if refused is not None:
        raise refused
    fine = is_password(row.password if row is not None else None, password)
    if fine and row is not None and row.totp_secret is not None:
        fine = _use_code(registry, row, code, int(at.timestamp()))
    if not fine or row is None or row.state != "active":
        if row is not None:
            with registry.database.write() as connection:
                audit.record(connection, "unknown", "login-failed", row.name)
        raise Unauthenticated(
            "Name, password or code are wrong.", code="login", fix="Try again.", headers=NO_PROMPT
        )
    with registry.database.write() as connection:
        forgive(connection, LOGINS_OF_ACCOUNT, whom)
    return row


def _use_code(registry: Registry, row: sa.Row[Any], code: str, seconds: int) -> bool:
    """Whether the code is right and was not used before."""
    for step in _matching_steps(row.totp_secret, code, seconds):
        with registry.database.write() as connection:
            return is_first(connection, f"code:{row.id}", datetime.fromtimestamp(step * STEP, UTC))
    return False


def _matching_steps(secret: str, code: str, seconds: int) -> list[int]:
    """The steps, now and one before or after, whose code it is."""
    steps = range(seconds // STEP - 1, seconds // STEP + 2)
    return [
        s for s in steps if hmac.compare_digest(code_at(secret, s).encode(), code.encode("utf-8", "replace"))
    ]


def _seconds(registry: Registry) -> int:
    with registry.database.read() as connection:
        at: datetime = now(connection)
        return int(at.timestamp())


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
