"""``ldt store``: what is stored of a twin, whether it is whole, and what may go."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..collect import Collection, Holders, budget_of, collect, read_size, show_size, size_of
from ..errors import ParamError, StoreError
from ..interfaces import parse_duration
from ..runs import load_twin, store_of
from ..store import Entry, Store
from .output import print_json, shown


def store(options: argparse.Namespace) -> int:
    twin = load_twin(options.twin)
    found, _ = store_of(twin.folder)
    runs = twin.folder / "runs"
    if options.action == "verify":
        return _verify(found, options)
    if options.action == "gc":
        return _collect(found, runs, options)
    return _list(found, runs, options.json)


def _list(found: Store, runs: Path, as_json: bool) -> int:
    held = _held(found, runs)
    rows: list[dict[str, Any]] = [
        {
            "key": key,
            "owner": entry.owner,
            "size": size_of(entry),
            "created": entry.created,
            "used": datetime.fromtimestamp(used, UTC).isoformat(timespec="seconds"),
            "held_by": held.get(key, []),
        }
        for key, entry, used in found.scan()
        if isinstance(entry, Entry)
    ]
    if as_json:
        print_json(rows)
        return 0
    for row in rows:
        who = [shown(Path(w)) if Path(w).is_absolute() else w for w in row["held_by"]]
        more = f" and {len(who) - 1} more" if len(who) > 1 else ""
        kept = f"held by {who[0]}{more}" if who else "not held"
        print(
            f"{row['key'][:16]}  {show_size(row['size']):>10}  used {row['used'][:16]}Z  {row['owner']}  {kept}"
        )
    print(f"{len(rows)} entries, {show_size(sum(r['size'] for r in rows))}")
    return 0


def _held(found: Store, runs: Path) -> dict[str, list[str]]:
    """Holders by key; where the store may not be written, so nothing can be taken, those of runs here alone."""
    from .._lease import locked

    if not found.root.is_dir():
        return {}
    holders = Holders(found, [runs])
    with suppress(StoreError), locked(found.root):
        return holders.by_key()
    return {}


def _verify(found: Store, options: argparse.Namespace) -> int:
    live, count = sys.stderr.isatty() and not options.json, 0

    def told(number: int) -> None:
        nonlocal count
        count = number
        if live and number % 20 == 0:
            print(f"\r\x1b[K{number:,} entries read", end="", file=sys.stderr, flush=True)

    problems = list(found.verify(told))
    if live:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    damaged = {p.key for p in problems}
    if options.set_aside:
        for key in damaged:
            found.quarantine(key)
    if options.json:
        print_json([p._asdict() for p in problems])
        return StoreError.exit_code if problems else 0
    for problem in problems:
        print(f"{problem.key[:16]} {problem.file}: {problem.what}")
    if problems:
        many = f"{len(damaged)} of {count} entries are damaged"
        print(many + ("; set aside, so the next run computes them anew" if options.set_aside else ""))
        return StoreError.exit_code
    print(f"{count} entries, no damage")
    return 0


def _collect(found: Store, runs: Path, options: argparse.Namespace) -> int:
    budget = budget_of(os.environ) if options.budget is None else read_size(options.budget)
    older_than = None if options.older_than is None else _seconds(options.older_than)
    done = collect(found, budget=budget, older_than=older_than, runs=[runs], dry_run=options.dry_run)
    if options.json:
        print_json(done.as_dict())
        return 0
    limits = budget is not None or older_than is not None
    for line in describe(done, limits):
        print(line)
    return 0


def _seconds(text: str) -> float:
    try:
        return parse_duration(text) / 1e6
    except ValueError as exc:
        raise ParamError(str(exc), code="bad value", where="--older-than", fix="write 12h or 30d") from exc


def describe(done: Collection, limits: bool) -> list[str]:
    """What a collection did, in lines for people."""
    left = done.size - done.freed
    would = "would be taken out" if done.dry_run else "taken out"
    lines = [
        f"{len(done.taken)} of {done.entries} entries {would}, {show_size(done.freed)}; {show_size(left)} stay"
    ]
    if done.swept:
        lines.append(f"{done.swept} leftovers of killed writers and damaged entries deleted")
    if done.held:
        lines.append(f"held: {done.held} entries, {show_size(done.held_size)}, by")
        most = sorted(done.by.items(), key=lambda item: (-item[1], item[0]))
        lines += [f"  {who}: {show_size(size)}" for who, size in most[:10]]
        if len(most) > 10:
            lines.append(f"  and {len(most) - 10} more")
    if done.budget is not None and left > done.budget:
        lines.append(
            f"over the budget of {show_size(done.budget)} by {show_size(left - done.budget)}: "
            "delete the folders of runs that nobody needs"
        )
    elif not limits:
        lines.append(
            "no limit given, so nothing that is whole was taken: say --budget 10GiB or --older-than 30d"
        )
    return lines


def keep_budget(found: Store, runs: Path, budget: int) -> str | None:
    """After a run: come down to the budget. What to tell, or None."""
    try:
        done = collect(found, budget=budget, runs=[runs])
    except StoreError as exc:  # the run went well all the same
        return f"the store's budget cannot be kept: {exc.what}"
    left = done.size - done.freed
    over = f", still over the budget of {show_size(budget)}: what runs hold stays" if left > budget else ""
    if not done.taken and not over:
        return None
    return (
        f"store: {len(done.taken)} entries taken out, {show_size(done.freed)}; {show_size(left)} stay{over}"
    )


def usage_line(usage: dict[str, Any]) -> str:
    """What a run took, in one line."""
    memory, energy = usage["peak_memory"], usage["energy"]
    kwh = f"{energy['kwh']:g} kWh" if energy["kwh"] >= 0.1 else f"{energy['kwh'] * 1000:.2g} Wh"
    how = "estimated" if energy["estimate"] else "counted"
    most = f"at most {show_size(memory['largest'])} in a task, {show_size(memory['together'])} at once, "
    return f"{usage['cpu_seconds']:.1f} s of processor time, {most if memory['largest'] else ''}{kwh} {how}"
