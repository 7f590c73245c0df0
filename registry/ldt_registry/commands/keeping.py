"""``ldt registry migrate`` and ``audit``."""

from __future__ import annotations

import argparse
import json
from datetime import datetime

from .. import audit as chain
from .. import migrations
from .opening import opened, say


def migrate(options: argparse.Namespace) -> int:
    """Bring the tables to a revision, forwards or back."""
    with opened(options, checked=False) as registry:
        before = migrations.current(registry.database)
        migrations.move(registry.database, options.to)
        after = migrations.current(registry.database)
    say(options, f"The tables are at revision {after} (before: {before}).", before=before, after=after)
    return 0


def audit(options: argparse.Namespace) -> int:
    """Verify the chain (1 where it is broken), or write its entries, one JSON document a line."""
    with opened(options) as registry, registry.database.read() as connection:
        if options.what == "export":
            for entry in chain.read(connection):
                print(json.dumps(entry | {"at": _instant(entry["at"])}, ensure_ascii=True))
            return 0
        flaw = chain.verify(connection)
    if flaw:
        say(options, f"The audit log is broken: {flaw.what}.", whole=False, flaw=flaw._asdict())
        return 1
    say(options, "The audit log is whole.", whole=True)
    return 0


def _instant(value: datetime) -> str:
    return value.isoformat(timespec="microseconds").replace("+00:00", "Z")
