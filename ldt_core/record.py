"""The run folder: its twin file as it was, and ``run.json``, which says who, what and with which code."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from . import __version__
from .ensemble import Ensemble, timestamp
from .errors import StoreError, TwinFileError
from .identity import licence, lock, package_digest
from .interfaces import format_instant
from .locking import NAME, environments_of
from .resume import checkpoint_key
from .tasks import content_digest, files_of, named, short
from .twin import Twin, load_twin

RECORD = 1
"""Version of ``run.json``."""


def make_run_folder(twin: Twin, scenarios: Sequence[str], runs: Path) -> Path:
    """``<time>-<digest8>`` with the twin file as it was read."""
    data = twin.path.read_bytes()
    digest = short(data.decode("utf-8", "replace") + "\0".join(scenarios))
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    try:
        for attempt in range(1000):
            folder = runs / (f"{stamp}-{digest}" + (f"-{attempt}" if attempt else ""))
            try:
                folder.mkdir(parents=True)
            except FileExistsError:
                continue
            copy = folder / "twin.yaml"
            copy.write_bytes(data)
            with suppress(FileNotFoundError):
                (folder / NAME).write_bytes((twin.path.parent / NAME).read_bytes())
            break
        else:
            raise StoreError("a thousand runs in one second", code="not writable", where=str(runs))
    except OSError as exc:
        raise unwritable(exc, runs) from exc
    if load_twin(copy, folder=twin.folder).tree != twin.tree:
        raise TwinFileError(
            "the twin file changed while it was read",
            code="changed while reading",
            where=twin.path.name,
            fix="run again when it is saved",
        )
    return folder


def unwritable(exc: OSError, folder: Path) -> StoreError:
    """What to say where the folder of a run, of the store or of the components cannot be written."""
    full = exc.errno == errno.ENOSPC
    return StoreError(
        f"nothing can be written here: {exc.strerror or exc}",
        code="no space" if full else "not writable",
        where=str(folder),
        fix="free some space" if full else "copy the twin to a folder that you may write",
    )


def refuse_unwritable(folder: Path) -> None:
    """Raise ``StoreError`` where nothing can be written into a folder: before the work, not after it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as exc:
        raise unwritable(exc, folder) from exc


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """``run.json``, written beside and renamed, so that a reader sees a whole file always."""
    fresh = folder / f".run.json.{os.getpid()}"
    try:
        # Half a character of a broken text becomes its escape, which JSON reads.
        with fresh.open("w", encoding="utf-8", errors="backslashreplace") as stream:
            json.dump(record, stream, indent=1, ensure_ascii=False)
            stream.write("\n")
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(folder / "run.json")
    except OSError as exc:
        raise unwritable(exc, folder) from exc


def describe_run(ensemble: Ensemble, folder: Path, status: str, usage: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a run apart from its KPIs: who, what, with which code, from which entries.

    ``usage`` is what it took so far; see ``usage.RunMeter``.
    """
    twin = ensemble.twin
    nodes = {n.name: n for plan in ensemble.plans.values() for n in plan.nodes.values()}
    return {
        "record": RECORD,
        "run": folder.name,
        "status": status,
        "created": timestamp(),
        "seconds": usage["wall_seconds"],
        "usage": usage,
        "ldt": __version__,
        "twin": {
            "id": twin.id,
            "title": twin.title,
            "file": twin.path.name,
            "crs": twin.crs,
            "bbox": list(twin.bbox) if twin.bbox else None,
            "goal": twin.purpose.goal,
            "limits": twin.purpose.limits,
            "owner": twin.purpose.owner,
            "start": str(twin.period.start) + "Z",
            "end": str(twin.period.end) + "Z",
            "zone": twin.period.zone,
        },
        "seed": twin.run.seed,
        "replicates": ensemble.replicates,
        "baseline": ensemble.scenarios[0],
        "environments": environments_of(twin, ensemble.catalog, ensemble.plans.values()),
        "components": {
            name: {
                "use": node.offer.id,
                "title": node.offer.title,
                "distribution": node.offer.distribution,
                "version": node.offer.version,
                "licence": licence(node.offer.distribution, node.offer.site),
                "code": package_digest(node.offer.package, node.offer.folder),
                "lock": dict(lock(node.offer.distribution, node.offer.site)),
                "home": node.home.why or "this environment",
                "files": files_read(ensemble, name),
            }
            for name, node in sorted(nodes.items())
        },
        "scenarios": {
            s: {
                "title": twin.scenarios[s].title or s,
                "description": twin.scenarios[s].description,
                "branch": _branch(ensemble, s),
                "stages": _stages(ensemble, s),
                "flags": _flags(ensemble, s),
                "coupling": _coupling(ensemble, s),
                "notes": list(ensemble.plans[s].notes),
            }
            for s in ensemble.scenarios
        },
        "results": _digests(ensemble),
        "not_reproducible": sorted(ensemble.unversioned),
        "tasks": [
            {
                "scenario": w.scenario,
                "stage": w.stage.name,
                "replicate": w.replicate,
                "state": w.state,
                **w.timing,
            }
            for w in ensemble.works.values()
            if w.scenario not in ensemble.members
        ],
    }


def files_read(ensemble: Ensemble, name: str) -> dict[str, str]:
    """Digest of every file that the component reads in some scenario, by its name in the twin file."""
    found: dict[str, str] = {}
    nodes = {id(plan.nodes[name]): plan.nodes[name] for plan in ensemble.plans.values()}
    for node in nodes.values():  # thousands of members share the node of what they do not vary
        for file in files_of(node.params):
            with suppress(OSError):
                paths = file.files()
                digests = [content_digest(path) for path in paths]
                found |= {named(file, path): d for path, d in zip(paths, digests, strict=True)}
    return found


def _digests(ensemble: Ensemble) -> dict[str, dict[str, str]]:
    """What the scenarios gave, by key. Members of sweeps stand in the table: thousands would hide the rest."""
    keys = {w.key for w in ensemble.works.values() if w.scenario not in ensemble.members}
    return {key: dict(ensemble.entries[key].digests) for key in sorted(keys & ensemble.entries.keys())}


def _stages(ensemble: Ensemble, scenario: str) -> dict[str, list[str]]:
    """The store key of every stage by replicate."""
    stages = ensemble.plans[scenario].stages
    return {stage.name: [w.key for w in ensemble.works_of(scenario, stage)] for stage in stages}


def _branch(ensemble: Ensemble, scenario: str) -> dict[str, Any] | None:
    """Where a scenario leaves another, with the keys of the checkpoints that it goes on from."""
    leaving = (ensemble.leavings or {}).get(scenario)
    if leaving is None:
        return None
    stages = [s for s in ensemble.plans[scenario].stages if s.name in leaving.saved]
    works = [w for stage in stages for w in ensemble.works_of(scenario, stage)]
    left = [(w, ensemble.left_by(w)) for w in works]
    keys = [checkpoint_key(o.key, leaving.at) for w, o in left if o is not None and o.key and o.key != w.key]
    at = format_instant(ensemble.twin.period.start, leaving.at)
    return {"of": leaving.of, "at": at, "checkpoints": keys}


def _flags(ensemble: Ensemble, scenario: str) -> list[dict[str, Any]]:
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for (name, _, _), work in ensemble.works.items():
        entry = ensemble.entries.get(work.key)
        if name != scenario or entry is None:
            continue
        for component, flags in entry.meta.get("flags", {}).items():
            for flag, value, unit, text in flags:
                item = found.setdefault(
                    (component, flag),
                    {"component": component, "name": flag, "unit": unit, "text": text, "values": []},
                )
                if item["values"] and value > max(item["values"]):
                    item["text"] = text  # a text may hold its figure: the highest one speaks for all
                item["values"].append(value)
    return list(found.values())


def _coupling(ensemble: Ensemble, scenario: str) -> dict[str, list[float | None]]:
    """How links that lag and iterate did: what is told of them, one value per replicate."""
    found: dict[str, list[float | None]] = {}
    for stage in ensemble.plans[scenario].stages:
        for work in ensemble.works_of(scenario, stage):
            entry = ensemble.entries.get(work.key)
            for name, value in (entry.meta.get("notes", {}) if entry is not None else {}).items():
                found.setdefault(name, []).append(value)
    return found


def read_record(folder: Path) -> dict[str, Any]:
    """The content of ``run.json``. Raises ``StoreError`` where it is not one of this version."""
    try:
        content = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise _unreadable(folder, f"cannot be read: {exc}") from exc
    if not isinstance(content, dict) or "record" not in content:
        raise _unreadable(folder, "is not the record of a run")
    if content["record"] != RECORD:
        raise _unreadable(folder, f"is of another version (record {content['record']}, not {RECORD})")
    missing = {"run", "created", "status", "twin", "scenarios", "replicates", "kpis"} - set(content)
    if missing:
        raise _unreadable(folder, f"lacks {', '.join(sorted(missing))}")
    return content


def _unreadable(folder: Path, what: str) -> StoreError:
    return StoreError(
        f"run.json {what}",
        code="entry damaged",
        where=str(folder),
        fix="run the twin again; what is still stored is not computed again",
    )
