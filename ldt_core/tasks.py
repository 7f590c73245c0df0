"""One task: a stage of a scenario in one replicate. Keys say what it depends on; ``perform`` runs it."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from .catalog import installed
from .errors import DataError
from .identity import core_digest, lock_digest, package_digest
from .interfaces import CONTRACT, Context, DataSource, File, Query, file_digest
from .runner import Member, Setting, Wire, run_stage
from .store import Entry, Store
from .tables import Recording
from .twin import Twin, load_twin
from .wiring import Node, Plan, Stage, canonical, prove


@lru_cache(maxsize=4096)
def _digest_of(path: str, changed: int, size: int) -> str:
    return file_digest(Path(path))


def content_digest(path: Path) -> str:
    """A file's digest, remembered while its size and time stamp stay the same."""
    try:
        stat = path.stat()
    except OSError as exc:
        raise DataError(
            f"{path} cannot be read: {exc.strerror}",
            code="unavailable",
            fix="check the path; relative paths start at the twin file",
        ) from exc
    if path.is_dir():
        return file_digest(path)
    return _digest_of(str(path), stat.st_mtime_ns, stat.st_size)


def canonical_params(value: Any) -> Any:
    """Parameters as JSON for a key: files by content, secrets left out."""
    if isinstance(value, File):
        return {"file": [content_digest(path) for path in value.files()]}
    if isinstance(value, SecretStr):
        return None
    if isinstance(value, BaseModel):
        return {n: canonical_params(getattr(value, n)) for n in type(value).model_fields}
    if isinstance(value, Mapping):
        return {str(k): canonical_params(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [canonical_params(v) for v in value]
    if isinstance(value, (set, frozenset)):
        return sorted((canonical_params(v) for v in value), key=canonical)
    if isinstance(value, Path):
        return str(value)
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)


def local_record(plan: Plan, stage: Stage) -> dict[str, int | None]:
    """What is recorded of this stage's ports."""
    return {r: every for r, every in plan.record.items() if r.partition(".")[0] in stage.members}


def upstream(plan: Plan, stage: Stage) -> list[Wire]:
    """The wires that enter the stage from outside."""
    return [w for w in plan.wires_into(stage.members) if w.source not in stage.members]


def stage_fields(
    twin: Twin, plan: Plan, stage: Stage, replicate: int, inputs: Mapping[str, str], nonce: str
) -> dict[str, Any]:
    """All that the stage's result depends on. ``inputs``: content digest by ``component.port``.

    ``nonce`` keys a source that cannot say its version to this run alone.
    """
    members = []
    for name in stage.members:
        node = plan.nodes[name]
        member: dict[str, Any] = {
            "name": name,
            "component": node.offer.id,
            "code": package_digest(node.offer.package),
            "lock": lock_digest(node.offer.distribution),
            "params": canonical_params(node.params),
            "step": node.step,
        }
        if node.component.stochastic:
            member["seed"] = node.seed(twin.run.seed, replicate)
        if issubclass(node.component, DataSource):
            member["version"] = source_version(twin, node) or nonce
        members.append(member)
    wires = [
        {
            "from": w.origin,
            "to": f"{w.target}.{w.input}",
            "when": w.when,
            "methods": dict(w.methods),
            "adapter": _plain(asdict(w.adapter)),
            "init": w.init,
            "merge": w.merge,
            "content": inputs.get(w.origin),
        }
        for w in plan.wires_into(stage.members)
    ]
    return {
        "contract": CONTRACT,
        "core": core_digest(),
        "members": members,
        "wires": sorted(wires, key=canonical),
        "record": local_record(plan, stage),
        "start": str(twin.period.start),
        "end": twin.duration,
        "crs": twin.crs,
        "bbox": list(twin.bbox) if twin.bbox else None,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return list(value) if isinstance(value, tuple) else value


def source_version(twin: Twin, node: Node) -> str | None:
    """What stands for a source's data in a key: its files, else what it says, else None."""
    if any(isinstance(v, File) for v in _values(node.params)):
        return "files"
    component = node.component(node.params, Context(start=twin.period.start, crs=twin.crs, bbox=twin.bbox))
    assert isinstance(component, DataSource)
    said = component.version(Query(outputs=tuple(node.outputs), bbox=twin.bbox))
    return None if said is None else f"version {said}"


def _values(value: Any) -> list[Any]:
    if isinstance(value, BaseModel):
        return [x for n in type(value).model_fields for x in _values(getattr(value, n))]
    if isinstance(value, Mapping):
        return [x for v in value.values() for x in _values(v)]
    if isinstance(value, (list, tuple)):
        return [x for v in value for x in _values(v)]
    return [value]


# -- in the worker --------------------------------------------------------------------------


@lru_cache(maxsize=8)
def _planned(path: str, folder: str, scenario: str, cache: str) -> tuple[Twin, Plan]:
    twin = load_twin(Path(path), folder=Path(folder)).for_scenario(scenario)
    return twin, prove(twin, installed(), Path(cache))


def perform(task: Mapping[str, Any], progress: Callable[[float], None]) -> dict[str, Any]:
    """Run a task and put its result into the store. Returns the entry's key."""
    twin, plan = _planned(task["twin"], task["folder"], task["scenario"], task["cache"])
    stage = next(s for s in plan.stages if s.name == task["stage"])
    store = Store(Path(task["store"]))
    inputs = {ref: _recording(store, key, ref) for ref, key in task["inputs"].items()}
    members = [
        Member(
            n.name,
            n.component,
            n.params,
            n.inputs,
            n.outputs,
            n.step,
            n.seed(twin.run.seed, task["replicate"]),
        )
        for n in (plan.nodes[name] for name in stage.members)
    ]
    scratch = Path(tempfile.mkdtemp(prefix="ldt-"))
    setting = Setting(twin.period.start, twin.duration, twin.crs, twin.bbox, scratch, Path(task["cache"]))
    before = _file_digests(plan, stage)
    try:
        outcome = run_stage(
            members,
            plan.wires_into(stage.members),
            inputs,
            local_record(plan, stage),
            setting,
            progress=progress,
        )
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if _file_digests(plan, stage) != before:
        raise DataError(
            f"a file of '{stage.name}' changed while it was read",
            code="changed while reading",
            where=stage.name,
            fix="run again when the file is at rest",
        )
    meta = {
        "fields": task["fields"],
        "flags": {c: [list(f) for f in flags] for c, flags in outcome.flags.items()},
        "notes": outcome.notes,
    }
    entry = store.put(task["key"], outcome.recordings, meta, owner=stage.name)
    return {"key": entry.key}


def _recording(store: Store, key: str, ref: str) -> Recording:
    entry = store.find(key)
    if entry is None:
        raise DataError(f"the input '{ref}' vanished from the store", code="unavailable", fix="run again")
    return entry.recording(ref)


def _file_digests(plan: Plan, stage: Stage) -> list[str]:
    return [
        content_digest(path)
        for name in stage.members
        for v in _values(plan.nodes[name].params)
        if isinstance(v, File)
        for path in v.files()
    ]


def input_entries(plan: Plan, stage: Stage, entries: Mapping[str, Entry]) -> dict[str, Entry]:
    """The store entry of each outside port that the stage reads."""
    return {w.origin: entries[w.source] for w in upstream(plan, stage)}


def short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
