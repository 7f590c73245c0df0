"""The arguments of each subcommand. ``call`` imports the module that does the work."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

Sub = Any  # argparse names the type of add_subparsers() privately


def _call(target: str) -> Callable[[argparse.Namespace], int]:
    """The function ``module.name`` of this package, imported when it is called."""
    module, _, name = target.partition(".")

    def call(options: argparse.Namespace) -> int:
        return int(getattr(import_module(f".{module}", __package__), name)(options))

    return call


def add_serving(sub: Sub, shared: argparse.ArgumentParser) -> None:
    serve = sub.add_parser("serve", parents=[shared], help="serve a registry; a new home is made ready first")
    serve.add_argument("--host", help="address to listen at (default: 127.0.0.1)")
    serve.add_argument("--port", type=int, help="0 takes a free one (default: 8080)")
    serve.set_defaults(call=_call("serving.serve"))
    init = sub.add_parser("init", parents=[shared], help="make the tables of a new registry")
    init.set_defaults(call=_call("serving.init"))


def add_keeping(sub: Sub, shared: argparse.ArgumentParser) -> None:
    migrate = sub.add_parser("migrate", parents=[shared], help="bring the tables to those of this program")
    migrate.add_argument(
        "--to", metavar="REVISION", help="this revision, older or newer (default: the newest)"
    )
    migrate.set_defaults(call=_call("keeping.migrate"))
    audit = sub.add_parser("audit", parents=[shared], help="verify the audit log, or write it out")
    audit.add_argument("what", choices=["verify", "export"], nargs="?", default="verify")
    audit.set_defaults(call=_call("keeping.audit"))
    gc = sub.add_parser("gc", parents=[shared], help="delete bytes that nothing names")
    gc.add_argument("--unused", type=float, metavar="HOURS", help="unused for so long (default: 24)")
    gc.set_defaults(call=_call("keeping.gc"))
    fsck = sub.add_parser(
        "fsck", parents=[shared], help="check that everything named is there, byte for byte"
    )
    fsck.add_argument("--quick", action="store_true", help="sizes only")
    fsck.add_argument("--repair", action="store_true", help="mend what can be mended without loss")
    fsck.set_defaults(call=_call("keeping.fsck"))
    backup = sub.add_parser("backup", parents=[shared], help="write a backup while the registry works")
    backup.add_argument(
        "folder", type=Path, metavar="FOLDER", help="of a backup; an older one there is updated"
    )
    backup.add_argument("--verify", action="store_true", help="read all of a backup instead")
    backup.set_defaults(call=_call("keeping.backup"))
    restore = sub.add_parser("restore", parents=[shared], help="bring a backup back, into an empty registry")
    restore.add_argument("folder", type=Path, metavar="FOLDER")
    restore.add_argument(
        "--bytes-only", action="store_true", help="only bytes that are missing in this registry"
    )
    restore.set_defaults(call=_call("keeping.restore"))


def add_people(sub: Sub, shared: argparse.ArgumentParser) -> None:
    user = _family(sub, "user", "accounts: add, list, give a role, suspend", "people.user")
    add = user("add", shared, "make an account", "name")
    add.add_argument("--email")
    add.add_argument("--role", default="user", help="user, certifier, moderator or admin (default: user)")
    add.add_argument("--password", action="store_true", help="ask for one; else the account has tokens only")
    user("list", shared, "all accounts")
    user("role", shared, "change what an account may do in this registry", "name", "role")
    user("suspend", shared, "nothing of this account works any more", "name")
    user("restore", shared, "undo a suspension", "name")
    user("drop-factor", shared, "ask for no one-time code any more: the device is lost", "name")
    user("password", shared, "set a password, from the terminal or standard input", "name")
    org = _family(sub, "org", "organisations and their members", "people.org")
    add = org("add", shared, "make an organisation", "name")
    add.add_argument("--owner", required=True, metavar="ACCOUNT", help="its first owner")
    add.add_argument("--title")
    org("list", shared, "all organisations with their members")
    org("member", shared, "give an account a role: owner, maintainer or publisher", "name", "account", "role")
    org("dismiss", shared, "take an account's role", "name", "account")
    org("take", shared, "let a project belong to an organisation", "name", "project")
    token = _family(sub, "token", "tokens of accounts: add, list, revoke", "people.token")
    add = token("add", shared, "make a token; it is shown once", "account")
    add.add_argument(
        "--scope",
        action="append",
        help="upload, yank (also :PROJECT or :PREFIX-*), create:NAME, certify:run, manage",
    )
    add.add_argument("--days", type=float, help="until it ends (default: 90, at most 366)")
    add.add_argument("--title", default="", help="what it is for")
    token("list", shared, "tokens, without their secrets").add_argument("account", nargs="?")
    revoke = token("revoke", shared, "end a token for good", "id")
    revoke.add_argument("--why", default="by the operator")
    space = _family(sub, "namespace", "prefixes of names that one organisation holds", "people.namespace")
    space("statement", shared, "what the domain has to say, and where", "prefix", "org")
    claim = space("claim", shared, "look for the proof, and grant the prefix", "prefix", "org", "domain")
    claim.add_argument("--proof", choices=["well-known", "dns"], default="well-known")
    space("grant", shared, "grant a prefix without proof, or a part of one's own", "prefix", "org")
    space("revoke", shared, "end a grant", "prefix")
    space("open", shared, "let others make projects there, too", "prefix")
    space("close", shared, "let no others make projects there", "prefix")
    space("check", shared, "look for all proofs that are due again")
    space("list", shared, "all namespaces with their proofs")


def add_trusting(sub: Sub, shared: argparse.ArgumentParser) -> None:
    issuer = _family(sub, "issuer", "issuers whose jobs may publish without a secret", "trusting.issuer")
    add = issuer("add", shared, "trust an issuer; `github` and `gitlab` stand for the public ones", "url")
    add.add_argument("--kind", choices=["github", "gitlab", "generic"], help="what its claims are called")
    add.add_argument("--algorithm", action="append", choices=["RS256", "ES256"], help="(default: RS256)")
    issuer("list", shared, "all issuers")
    issuer("remove", shared, "trust an issuer no more, nor its jobs", "url")
    publisher = _family(sub, "publisher", "jobs that may publish a project", "trusting.publisher")
    add = publisher("add", shared, "trust a job; a name that is free is kept for it for 30 days", "project")
    add.add_argument("--issuer", required=True, metavar="URL")
    add.add_argument("--account", required=True, help="who is answerable, and owns a new project")
    add.add_argument("--org", help="organisation that will own a new project")
    add.add_argument(
        "--claim",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="github: repository_owner_id, repository_id, workflow; gitlab: namespace_id, project_id, workflow; "
        "generic: sub; also environment and others",
    )
    publisher("list", shared, "all trusted publishers")
    publisher("remove", shared, "trust a job no more").add_argument("id", type=int, metavar="ID")


def add_standing(sub: Sub, shared: argparse.ArgumentParser) -> None:
    release = _family(sub, "release", "releases: yank, unyank, delete a file", "standing.release")
    yank = release("yank", shared, "let installers choose it no more, unless it is pinned", "name", "version")
    yank.add_argument("code", metavar="CODE", help="broken, insecure, licence, mistake, superseded or other")
    yank.add_argument("text", metavar="TEXT", help="the reason, in a sentence")
    release("unyank", shared, "undo that", "name", "version")
    release("delete", shared, "delete a file for good", "name", "filename", "text")
    project = _family(sub, "project", "projects: how they stand", "standing.project")
    mark = project("mark", shared, "active, archived, deprecated or quarantined", "name", "status")
    mark.add_argument("--why", help="the reason, in a sentence; not needed for active")
    mark.add_argument("--replaced-by", metavar="NAME")


def _family(sub: Sub, name: str, words: str, target: str) -> Callable[..., argparse.ArgumentParser]:
    """A command with subcommands, all done by one function that looks at ``what``."""
    inner = sub.add_parser(name, help=words).add_subparsers(dest="what", metavar="WHAT", required=True)

    def add(
        what: str, shared: argparse.ArgumentParser, words: str, *arguments: str
    ) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = inner.add_parser(what, parents=[shared], help=words)
        for argument in arguments:
            parser.add_argument(argument, metavar=argument.upper())
        parser.set_defaults(call=_call(target))
        return parser

    return add


def add_finding(sub: Sub, shared: argparse.ArgumentParser) -> None:
    check = sub.add_parser("check", help="check files as a registry would at their upload")
    check.add_argument("files", type=Path, nargs="+", metavar="FILE", help="a wheel or a source distribution")
    check.add_argument("--json", action="store_true", help="answer in JSON, for machines")
    check.set_defaults(call=_call("finding.check"))
    reindex = sub.add_parser("reindex", parents=[shared], help="make anew what the search reads")
    reindex.set_defaults(call=_call("finding.reindex"))
    unmet = sub.add_parser(
        "unmet", parents=[shared], help="names that wheels require and that nobody has taken"
    )
    unmet.set_defaults(call=_call("finding.unmet"))


ALL = [add_serving, add_keeping, add_people, add_trusting, add_standing, add_finding]
