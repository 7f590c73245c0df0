"""What commands share: the registry that the options name, and how they answer."""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import Iterator
from typing import Any

from ..migrations import check
from ..problems import Misconfigured
from ..registry import Registry
from ..settings import Settings


def settings_of(options: argparse.Namespace) -> Settings:
    """Settings under what was written on the command line."""
    return Settings.load(
        home=options.home, host=getattr(options, "host", None), port=getattr(options, "port", None)
    )


@contextlib.contextmanager
def opened(options: argparse.Namespace, *, checked: bool = True) -> Iterator[Registry]:
    """The registry, with tables that are those of this program unless not ``checked``."""
    settings = settings_of(options)
    if checked and settings.database is None and not (settings.home / "registry.db").is_file():
        raise Misconfigured(
            f"there is no registry in {settings.home.resolve()}",
            fix="Name its home with --home or LDT_REGISTRY_HOME, or make one with `ldt registry init`.",
        )
    registry = Registry.open(settings)
    try:
        if checked:
            check(registry.database)
        yield registry
    finally:
        registry.close()


def say(options: argparse.Namespace, words: str, **document: Any) -> None:
    """One answer: words for a person, or a JSON document on one line."""
    print(json.dumps(document, default=str) if options.json else words, flush=True)
