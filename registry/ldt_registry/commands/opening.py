"""What commands share: the registry that the options name, and how they answer."""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import Iterator
from typing import Any

from ..migrations import check
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
    registry = Registry.open(settings_of(options))
    try:
        if checked:
            check(registry.database)
        yield registry
    finally:
        registry.close()


def say(options: argparse.Namespace, words: str, **document: Any) -> None:
    """One answer: words for a person, or a JSON document on one line."""
    print(json.dumps(document, default=str) if options.json else words, flush=True)
