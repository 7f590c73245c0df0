"""``/login``, ``/logout`` and ``/account``: pages that work without scripts."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import RedirectResponse, Response

from .. import accounts, sessions, tokens
from ..problems import Malformed, Missing, Problem, Unauthenticated
from ..registry import Registry
from ..sessions import Session
from .network import network_of
from .rendering import render
from .signed_in import (
    Form,
    delete_cookie,
    form_of,
    secret_of,
    session_of,
    set_cookie,
)

router = APIRouter(include_in_schema=False)
Sent = Annotated[Form, Depends(form_of)]
Shown = Annotated[Session, Depends(session_of)]


@router.get("/login")
def show_login(request: Request) -> Response:
    return _login_page(request)


@router.post("/login")
def login(request: Request, form: Sent) -> Response:
    """A new session; whatever session the browser came with ends."""
    registry: Registry = request.app.state.registry
    try:
        secret = sessions.login(
            registry,
            form.one("name"),
            form.one("password"),
            code=form.one("code"),
            network=network_of(request),
            before=secret_of(request),
        )
    except Problem as problem:
        answer = _login_page(request, form.one("name"), problem)
        answer.headers.update({k: v for k, v in problem.headers.items() if k == "Retry-After"})
        return answer
    response = RedirectResponse("/account", 303)
    set_cookie(registry, response, secret)
    return response


@router.post("/logout")
def logout(request: Request, session: Shown, form: Sent) -> Response:
    sessions.require_form(session, form.one("csrf"))
    sessions.logout(request.app.state.registry, secret_of(request) or "")
    response = RedirectResponse("/login", 303)
    delete_cookie(request.app.state.registry, response)
    return response


@router.get("/account")
def show_account(request: Request) -> Response:
    try:
        session = session_of(request)
    except Unauthenticated:
        return RedirectResponse("/login", 303)
    return _account_page(request, session)


@router.post("/account/confirm")
def confirm(request: Request, session: Shown, form: Sent) -> Response:
    sessions.require_form(session, form.one("csrf"))
    registry: Registry = request.app.state.registry
    try:
        sessions.confirm(
            registry,
            secret_of(request) or "",
            form.one("password"),
            code=form.one("code"),
            network=network_of(request),
        )
    except Problem as problem:
        return _account_page(request, session, problem=problem)
    return RedirectResponse("/account", 303)


@router.post("/account/tokens")
def make_token(request: Request, session: Shown, form: Sent) -> Response:
    """A token of one's own account, shown on the page that answers, and kept by no cache."""
    sessions.require_form(session, form.one("csrf"))
    registry: Registry = request.app.state.registry
    try:
        sessions.require_fresh(session)
        if not form.one("days").isdecimal():
            raise Malformed("The days are no number.", fix="Write one.")
        assert session.identity.account_id is not None
        with registry.database.write() as connection:
            _, made = tokens.make(
                connection,
                session.identity,
                session.identity.account_id,
                form.one("scopes").split(),
                days=int(form.one("days")),
                title=form.one("title")[:100],
            )
    except Problem as problem:
        return _account_page(request, session, problem=problem)
    return _account_page(request, session, made=made)


@router.post("/account/tokens/{number}/revoke")
def revoke_token(request: Request, number: str, session: Shown, form: Sent) -> Response:
    """Ending one's own token needs no password: it can only make things safer."""
    sessions.require_form(session, form.one("csrf"))
    registry: Registry = request.app.state.registry
    if number not in {t["id"] for t in accounts.tokens_of(registry, session.name)}:
        raise Missing("There is no such token of yours.", fix="Look at your account.")
    with registry.database.write() as connection:
        tokens.revoke(connection, session.identity.actor, number, "by its owner")
    return RedirectResponse("/account", 303)


@router.get("/account/second-factor")
def show_second_factor(request: Request, session: Shown) -> Response:
    return _factor_page(request, session)


@router.post("/account/second-factor")
def set_second_factor(request: Request, session: Shown, form: Sent) -> Response:
    """From now on a login needs a code, too, once a first one shows that the device has the secret."""
    sessions.require_form(session, form.one("csrf"))
    try:
        registry: Registry = request.app.state.registry
        sessions.set_second_factor(registry, session, form.one("secret"), form.one("code"))
    except Problem as problem:
        return _factor_page(request, session, problem)
    return RedirectResponse("/account", 303)


def _factor_page(request: Request, session: Session, problem: Problem | None = None) -> Response:
    registry: Registry = request.app.state.registry
    secret, address = sessions.new_factor(registry, session.name)
    return render(
        "second_factor.html",
        status=problem.status if problem else 200,
        title="Second factor",
        registry=registry.settings.title,
        session=session,
        secret=secret,
        address=address,
        problem=f"{problem.what} {problem.fix}" if problem else "",
    )


def _login_page(request: Request, name: str = "", problem: Problem | None = None) -> Response:
    registry: Registry = request.app.state.registry
    return render(
        "login.html",
        status=problem.status if problem else 200,
        title="Sign in",
        registry=registry.settings.title,
        name=name,
        problem=problem.what if problem else "",
    )


def _account_page(
    request: Request, session: Session, *, problem: Problem | None = None, made: str = ""
) -> Response:
    registry: Registry = request.app.state.registry
    return render(
        "account.html",
        status=problem.status if problem else 200,
        title="Your account",
        registry=registry.settings.title,
        session=session,
        tokens=[t for t in accounts.tokens_of(registry, session.name) if t["revoked_at"] is None],
        days=registry.settings.token_days,
        made=made,
        problem=f"{problem.what} {problem.fix}" if problem else "",
    )
