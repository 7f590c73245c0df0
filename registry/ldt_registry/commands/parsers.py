"""The arguments of each subcommand. ``call`` imports the module that does the work."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import import_module
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


ALL = [add_serving, add_keeping]
