"""``ldt registry ...``: the parsers are light; what a command needs is imported when it is called."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ldt_core.errors import LdtError

from . import parsers


def registry(arguments: Sequence[str]) -> int:
    """Run one subcommand. 0 done, 1 refused or found wrong, 2 usage."""
    parser = build_parser()
    options = parser.parse_args(list(arguments))
    try:
        return int(options.call(options))
    except LdtError as exc:
        print(exc, file=sys.stderr)
        if exc.__cause__ is not None:
            print(f"  because: {str(exc.__cause__).splitlines()[0]}", file=sys.stderr)
        return exc.exit_code


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ldt registry",
        description="Serve a registry of components, and keep it.",
        epilog="Settings: registry.toml in the home, or variables LDT_REGISTRY_*; see the guide 'Run a registry'.",
    )
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--home", type=Path, metavar="DIR", help="folder of the registry (default: registry)")
    shared.add_argument("--json", action="store_true", help="answer in JSON, for machines")
    sub = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for add in parsers.ALL:
        add(sub, shared)
    return parser
