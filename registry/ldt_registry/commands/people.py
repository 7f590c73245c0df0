"""``ldt registry user``, ``org``, ``token`` and ``namespace``: what the operator does at the machine of the registry."""

from __future__ import annotations

import argparse
import getpass
import sys
from typing import Any

from .. import accounts, organisations, tokens
from ..rights import account_named
from .opening import opened, say


def me() -> tokens.Identity:
    """Who runs this command, as it will stand in the audit log."""
    return tokens.operator(getpass.getuser())


def user(options: argparse.Namespace) -> int:
    with opened(options) as registry:
        match options.what:
            case "add":
                made = accounts.make(
                    registry,
                    me(),
                    options.name,
                    email=options.email,
                    role=options.role,
                    password=_password(options) if options.password else None,
                )
                say(options, f"The account {options.name} is made.", name=options.name, id=made)
            case "list":
                show(options, accounts.listed(registry), "{name}: {role}, {state}")
            case "role":
                accounts.set_role(registry, me(), options.name, options.role)
                say(options, f"{options.name} is {options.role}.", name=options.name, role=options.role)
            case "suspend" | "restore":
                state = "suspended" if options.what == "suspend" else "active"
                accounts.set_state(registry, me(), options.name, state)
                say(options, f"{options.name} is {state}.", name=options.name, state=state)
            case "drop-factor":
                accounts.drop_second_factor(registry, me(), options.name)
                say(options, f"{options.name} signs in with the password alone.", name=options.name)
            case "password":
                accounts.set_password(registry, me(), options.name, _password(options))
                say(options, f"The password of {options.name} is set.", name=options.name)
    return 0


def org(options: argparse.Namespace) -> int:
    with opened(options) as registry:
        match options.what:
            case "add":
                made = organisations.make(registry, me(), options.name, options.owner, title=options.title)
                say(options, f"The organisation {options.name} is made.", name=options.name, id=made)
            case "list":
                show(options, organisations.listed(registry), "{name}: {members}")
            case "member":
                organisations.set_member(registry, me(), options.name, options.account, options.role)
                words = f"{options.account} is {options.role} of {options.name}."
                say(options, words, name=options.name, account=options.account, role=options.role)
            case "dismiss":
                organisations.set_member(registry, me(), options.name, options.account, None)
                words = f"{options.account} is no member of {options.name} any more."
                say(options, words, name=options.name, account=options.account, role=None)
            case "take":
                organisations.give_project(registry, me(), options.project, options.name)
                words = f"The project {options.project} belongs to {options.name}."
                say(options, words, name=options.name, project=options.project)
    return 0


def token(options: argparse.Namespace) -> int:
    with opened(options) as registry:
        match options.what:
            case "add":
                with registry.database.write() as connection:
                    number, whole = tokens.make(
                        connection,
                        me(),
                        account_named(connection, options.account).id,
                        options.scope or ["upload", "yank"],
                        days=options.days or registry.settings.token_days,
                        title=options.title,
                    )
                say(options, f"{whole}\nIt is shown this once. Its id is {number}.", id=number, token=whole)
            case "list":
                found = accounts.tokens_of(registry, options.account)
                show(options, found, "{id} of {account}: {scopes}, until {not_after:%Y-%m-%d}")
            case "revoke":
                with registry.database.write() as connection:
                    done = tokens.revoke(connection, me().actor, options.id, options.why)
                words = f"The token {options.id} {'is revoked' if done else 'was not in force'}."
                say(options, words, id=options.id, revoked=done)
                return 0 if done else 1
    return 0


def namespace(options: argparse.Namespace) -> int:
    from .. import namespaces as work

    with opened(options) as registry:
        name = getattr(options, "prefix", "")
        match options.what:
            case "statement":
                words = work.statement(registry, name, options.org)
                say(options, words, statement=words, file=work.WELL_KNOWN, record=work.RECORD)
            case "claim":
                prover = work.Prover.of(registry)
                work.claim(registry, prover, me(), name, options.org, options.domain, options.proof)
                say(options, f"{name} is granted to {options.org}.", prefix=name, org=options.org)
            case "grant":
                work.grant(registry, me(), name, options.org)
                say(options, f"{name} is granted to {options.org}.", prefix=name, org=options.org)
            case "revoke":
                work.revoke(registry, me(), name)
                say(options, f"{name} is free again.", prefix=name)
            case "open" | "close":
                work.set_open(registry, me(), name, options.what == "open")
                words = f"Others {'may' if options.what == 'open' else 'may not'} make projects under {name}."
                say(options, words, prefix=name, open=options.what == "open")
            case "check":
                ended = work.recheck(registry)
                say(options, f"{ended} grants ended.", ended=ended)
            case "list":
                show(options, work.listed(registry), "{prefix}: {owner}, {state}, {proof} {proof_of}")
    return 0


def show(options: argparse.Namespace, rows: list[dict[str, Any]], form: str) -> None:
    """Each on a line; one JSON document each for machines."""
    for row in rows:
        say(options, form.format(**row), **row)


def _password(options: argparse.Namespace) -> str:
    """From the terminal unseen, else the first line of what is piped in; never an argument, which others see."""
    if sys.stdin.isatty():
        return getpass.getpass("Password: ")
    return sys.stdin.readline().rstrip("\r\n")
