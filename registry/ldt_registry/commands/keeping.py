"""``ldt registry migrate``, ``audit``, ``gc``, ``fsck``, ``backup`` and ``restore``."""

from __future__ import annotations

import argparse
import json
from datetime import datetime, timedelta

from .. import audit as chain
from .. import migrations
from ..problems import Misconfigured
from .opening import opened, say


def migrate(options: argparse.Namespace) -> int:
    """Bring the tables to a revision, forwards or back."""
    with opened(options, checked=False) as registry:
        before = migrations.current(registry.database)
        if before is None:
            raise Misconfigured("there is no registry in this database", fix="Make one: `ldt registry init`.")
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


def gc(options: argparse.Namespace) -> int:
    """Delete bytes that nothing names, and what killed uploads left behind."""
    from ..keeping.gc import collect

    unused = None if options.unused is None else timedelta(hours=options.unused)
    with opened(options) as registry:
        found = collect(registry, unused)
    words = f"{found.blobs} blobs ({found.size} bytes) and {found.staged} left-over uploads are deleted."
    say(options, words, **found._asdict())
    return 0


def fsck(options: argparse.Namespace) -> int:
    """Check rows against bytes; 1 where something is lost or wrong, 0 where at most space is wasted."""
    from ..keeping.fsck import check, repair

    with opened(options) as registry:
        findings = check(registry, quick=options.quick)
        mended = repair(registry, findings) if options.repair else 0
    for finding in findings:
        mark = "note" if finding.harmless else "WRONG"
        words = f"{mark}: {finding.kind} {finding.subject}: {finding.what}. {finding.fix}"
        say(options, words, **finding._asdict())
    wrong = sum(not f.harmless for f in findings)
    say(
        options, f"{wrong} wrong, {len(findings) - wrong} notes, {mended} mended.", wrong=wrong, mended=mended
    )
    return 1 if wrong else 0


def backup(options: argparse.Namespace) -> int:
    """Write a backup, or with --verify read all of one."""
    from ..keeping import backup as work

    if options.verify:
        count = work.verify(options.folder)
        say(options, f"The backup is whole: {count} blobs.", blobs=count)
        return 0
    with opened(options) as registry:
        saved = work.backup(registry, options.folder)
    words = f"{saved.rows} rows and {saved.blobs} blobs are in {options.folder}, {saved.copied} blobs are new there."
    say(options, words, **saved._asdict())
    return 0


def restore(options: argparse.Namespace) -> int:
    """Bring a backup back: into an empty registry, or only bytes that are missing."""
    from ..keeping import backup as work

    with opened(options, checked=options.bytes_only) as registry:
        if options.bytes_only:
            count = work.restore_bytes(registry, options.folder)
            say(options, f"{count} blobs are brought back.", blobs=count)
            return 0
        saved = work.restore(registry, options.folder)
    say(
        options,
        f"{saved.rows} rows and {saved.blobs} blobs are restored. The registry is in the new epoch {saved.epoch}.",
        **saved._asdict(),
    )
    return 0


def _instant(value: datetime) -> str:
    return value.isoformat(timespec="microseconds").replace("+00:00", "Z")
