"""One task: a stage of a scenario in one replicate. Keys say what it depends on; ``perform`` runs it."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from .catalog import installed
from .checkpoint import Checkpoint, Refused, spliced, unsaved_because, windows_before
from .errors import ChildError, DataError, PluginError, RunError, StoreError
from .identity import core_digest, digest_package, lock_digest, package_digest
from .interfaces import CONTRACT, AnyPort, Context, DataSource, File, Flag, Query, file_digest, format_instant
from .planning import Planner
from .resume import Checkpoints, checkpoint_key, read_checkpoint
from .runner import Member, Outcome, Setting, Wire, guarded, run_stage
from .store import Store
from .tables import Recording, port_as_dict
from .twin import Twin, load_twin
from .wiring import Node, Plan, Stage, canonical

_log = logging.getLogger("ldt.tasks")
_Went = tuple[Outcome, int | None]
_ATTEMPTS = 3
"""As often as an engine runs the task of a worker that is killed."""


@lru_cache(maxsize=4096)
def _digest_of(path: str, changed: int, size: int) -> str:
    return file_digest(Path(path))


def content_digest(path: Path) -> str:
    """A file's digest, remembered while its size and time stamp stay the same; a folder's is always made."""
    stat = path.stat()
    return file_digest(path) if path.is_dir() else _digest_of(str(path), stat.st_mtime_ns, stat.st_size)


def _digests(file: File) -> list[str]:
    try:
        return [content_digest(path) for path in file.files()]
    except OSError as exc:
        raise DataError(
            f"{exc.filename or file.path} cannot be read: {exc.strerror or exc}",
            code="unavailable",
            fix="check the path; relative paths start at the twin file",
        ) from exc


def _by_content(file: File) -> dict[str, Any]:
    return {"file": _digests(file)}


def canonical_params(value: Any, of_file: Callable[[File], Any] = _by_content) -> Any:
    """Parameters as JSON for a key: files by content, secrets left out."""
    if isinstance(value, File):
        return of_file(value)
    if isinstance(value, SecretStr):
        return None
    if isinstance(value, BaseModel):
        return {n: canonical_params(getattr(value, n), of_file) for n in type(value).model_fields}
    if isinstance(value, Mapping):
        return {str(k): canonical_params(v, of_file) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [canonical_params(v, of_file) for v in value]
    if isinstance(value, (set, frozenset)):
        return sorted((canonical_params(v, of_file) for v in value), key=canonical)
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

    ``nonce`` keys a source, or a remote component, that cannot say its version to this run alone.
    """
    members = []
    for name in stage.members:
        node = plan.nodes[name]
        member: dict[str, Any] = {
            "name": name,
            "component": node.offer.id,
            "code": package_digest(node.offer.package, node.offer.folder),
            "lock": lock_digest(node.offer.distribution, node.offer.site),
            "params": canonical_params(node.params),
            "step": node.step,
            "outputs": {n: port_as_dict(p) for n, p in node.outputs.items()},
        }
        if node.component.stochastic:
            member["seed"] = node.seed(twin.run.seed, replicate)
        if issubclass(node.component, DataSource):
            member["version"] = source_version(twin, node) or nonce
        elif "://" in node.offer.id:  # the version is the digest that its manifest says
            member["version"] = node.offer.version or nonce
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
            **({"iterate": [w.tolerance, w.relaxation, w.passes]} if w.when == "iterate" else {}),
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
    """What stands for a source's data in a key: what it says, else that its files do, else None."""
    if node.component.version is DataSource.version:  # type: ignore[attr-defined]
        return "files" if any(files_of(node.params)) else None
    context = Context(start=twin.period.start, crs=twin.crs, bbox=twin.bbox)
    query = Query(outputs=tuple(node.outputs), bbox=twin.bbox)
    said = guarded(node.name, "version", lambda: node.component(node.params, context).version(query))  # type: ignore[attr-defined]
    return None if said is None else f"version {said}"


def files_of(value: Any) -> Iterator[File]:
    """Every file that parameters name."""
    if isinstance(value, File):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from files_of(getattr(value, name))
    elif isinstance(value, (Mapping, list, tuple)):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from files_of(item)


def named(file: File, path: Path) -> str:
    """How a person calls one of a file parameter's files: as in the twin file, or its name."""
    text = str(file)
    if path != file.path:
        return f"{text} -> {path.name}"
    return path.name if Path(text).is_absolute() else text


# -- in the worker --------------------------------------------------------------------------


@lru_cache(maxsize=2)
def _loaded(path: str, folder: str, cache: str) -> tuple[Twin, Planner]:
    """A run's copy of its twin file, which never changes, and what was proved of it so far."""
    return load_twin(Path(path), folder=Path(folder)), Planner(installed(), Path(cache))


@lru_cache(maxsize=8)
def _planned(path: str, folder: str, scenario: str, member: str, cache: str) -> tuple[Twin, Plan]:
    """``member`` is JSON: what a sweep's member sets, and over which scenario; or null."""
    twin, planner = _loaded(path, folder, cache)
    made = json.loads(member)
    variant = (
        twin.for_scenario(scenario) if made is None else twin.with_changes(scenario, made["of"], made["set"])
    )
    return variant, planner.plan(variant)


def perform(task: Mapping[str, Any], progress: Callable[[float], None]) -> dict[str, Any]:
    """Run a task and put its result into the store. Returns the entry's key, and from where it went on.

    Raises whatever the stage raises, and ``PluginError`` or ``DataError`` (changed while reading) where
    code or files are not those, before or after, that the task's key was made from.
    """
    store = Store(Path(task["store"]))
    known = store.find(task["key"])  # another run was first, or the worker died after its work
    if known is not None and not task["checkpoints"]:
        return {"key": task["key"]}
    members = task["fields"]["members"]
    member = json.dumps(task["member"])
    twin, plan = _planned(task["twin"], task["folder"], task["scenario"], member, task["cache"])
    stage = next(s for s in plan.stages if s.name == task["stage"])
    _refuse_changed_code(task["fields"], plan)
    _refuse_changed_files(plan, members)
    checkpoints = Checkpoints(
        store,
        task["key"],
        stage.name,
        twin.run.checkpoint,
        steps_of([plan.nodes[n] for n in stage.members]),
        task["checkpoints"],
        known,
    )
    if known is not None and not checkpoints.wanted:
        return {"key": task["key"]}
    inputs = {ref: _recording(store, key, ref) for ref, key in task["inputs"].items()}
    scratch = Path(tempfile.mkdtemp(prefix="ldt-"))
    setting = Setting(twin.period.start, twin.duration, twin.crs, twin.bbox, scratch, Path(task["cache"]))
    left = _Left(store, task["branch"], plan, stage) if task["branch"] else None

    def run(resume: Checkpoint | None) -> Outcome:
        return run_stage(
            [_member(plan.nodes[name], twin, task["replicate"]) for name in stage.members],
            plan.wires_into(stage.members),
            inputs,
            local_record(plan, stage),
            setting,
            progress=progress,
            resume=resume,
            saver=checkpoints,
        )

    try:
        outcome, resumed = _in_spite_of_kills(lambda: _go_on(run, checkpoints, left), scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    _refuse_changed_code(task["fields"], plan)
    _refuse_changed_files(plan, members)
    if known is None:
        recordings = outcome.recordings if left is None else left.splice(outcome.recordings, setting)
        meta = {
            "fields": task["fields"],
            "flags": {c: [_plain_flag(c, f) for f in flags] for c, flags in outcome.flags.items()},
            "notes": {n: v if math.isfinite(v) else None for n, v in outcome.notes.items()},
        }
        store.put(task["key"], recordings, meta, owner=stage.name)
        checkpoints.clear()
    checkpoints.refuse_missed(twin.period.start)
    at = None if resumed is None else format_instant(twin.period.start, resumed)
    return {"key": task["key"]} | ({} if at is None else {"resumed": at})


def steps_of(nodes: Sequence[Node]) -> list[int] | None:
    """The steps of a stage's members; None where its state cannot be saved between windows."""
    if any(unsaved_because(n.component, n.capabilities, n.outputs, n.step) for n in nodes):
        return None
    return [n.step for n in nodes if n.step is not None]


def _in_spite_of_kills(work: Callable[[], _Went], scratch: Path) -> _Went:
    """A component's own process that was killed is no end yet, as a killed worker is none."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return work()
        except ChildError as exc:
            if exc.code != "killed":
                raise
            if attempt == _ATTEMPTS:
                exc.what = f"{_ATTEMPTS} times in a row, {exc.what}"
                raise
            _log.warning("%s; it is run again (%d of %d)", exc, attempt + 1, _ATTEMPTS)
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
    raise AssertionError


def _go_on(
    run: Callable[[Checkpoint | None], Outcome], checkpoints: Checkpoints, left: _Left | None
) -> tuple[Outcome, int | None]:
    """Run from the last checkpoint that can be used, else from the beginning; from which instant (us)."""
    for saved in checkpoints.saved():
        try:
            return run(saved if left is None else left.as_before(saved)), saved.at
        except Refused as exc:
            checkpoints.refuse(exc)
    if left is None:
        return run(None), None
    try:
        return run(left.begin()), None
    except Refused as exc:
        raise RunError(
            f"it cannot go on from the state of the scenario that it leaves: {exc}",
            code="state refused",
            where=checkpoints.owner,
            fix="run from the start: remove branch; or report this to the component's author",
        ) from exc


class _Left:
    """In the worker: what a stage takes over of the scenario that it leaves at ``at`` (us)."""

    def __init__(self, store: Store, branch: Mapping[str, Any], plan: Plan, stage: Stage) -> None:
        self.store, self.key, self.at, self.saved = store, branch["key"], branch["at"], branch["saved"]
        nodes = [plan.nodes[n] for n in stage.members]
        self.source = any(issubclass(n.component, DataSource) for n in nodes)
        ports = {ref: _port(plan, ref) for ref in local_record(plan, stage)}
        self.recordings = {ref: _recording(store, self.key, ref) for ref in ports}
        self.start = {ref: self.recordings[ref].table for ref, port in ports.items() if port.at == "start"}

    def as_before(self, saved: Checkpoint) -> Checkpoint:
        """What was given at the start is what the other scenario gave."""
        return replace(saved, start=self.start)

    def begin(self) -> Checkpoint | None:
        """Where the stage begins; None where it is a source, which is read as a whole."""
        if self.source:
            return None
        saved = Checkpoint(self.at)
        if self.saved:
            key = checkpoint_key(self.key, self.at)
            entry = self.store.find(key)
            try:
                if entry is None:
                    raise Refused("it is gone")
                saved = read_checkpoint(entry, self.key)
            except Refused as exc:
                self.store.quarantine(key)
                raise StoreError(
                    f"the checkpoint of the scenario that is left cannot be used: {exc}",
                    code="entry damaged",
                    fix="run again: it is made anew",
                ) from exc
        rows = {r: windows_before(m, self.at) for r, m in self.recordings.items() if r not in self.start}
        return replace(self.as_before(saved), recorded=rows)

    def splice(self, recordings: Mapping[str, Recording], setting: Setting) -> Mapping[str, Recording]:
        """The rows of the whole run: a source's new ones begin where the other scenario's end."""
        if not self.source:
            return recordings
        return {r: spliced(self.recordings[r], m, self.at, setting.start, r) for r, m in recordings.items()}


def _port(plan: Plan, ref: str) -> AnyPort:
    component, _, port = ref.partition(".")
    return plan.nodes[component].outputs[port]


def _member(node: Node, twin: Twin, replicate: int) -> Member:
    seed = node.seed(twin.run.seed, replicate)
    return Member(node.name, node.component, node.params, node.inputs, node.outputs, node.step, seed)


def _recording(store: Store, key: str, ref: str) -> Recording:
    entry = store.find(key)
    if entry is None:
        raise DataError(f"the input '{ref}' vanished from the store", code="unavailable", fix="run again")
    return entry.recording(ref)


def _refuse_changed_code(fields: Mapping[str, Any], plan: Plan) -> None:
    """Before and after the work: what is imported late may be of another day than the rest."""
    changed = None if core_digest() == fields["core"] else "ldt-core"
    for member in fields["members"]:
        offer = plan.nodes[member["name"]].offer
        if digest_package(offer.package, offer.folder) != member["code"]:
            changed = offer.distribution
    if changed is not None:
        raise PluginError(
            f"the code of {changed} changed while the run went on",
            code="changed while reading",
            fix="run again; what was finished is kept",
        )


def _refuse_changed_files(plan: Plan, members: Sequence[Mapping[str, Any]]) -> None:
    for member in members:
        if canonical(canonical_params(plan.nodes[member["name"]].params)) != canonical(member["params"]):
            raise DataError(
                f"a file of '{member['name']}' changed while it was read",
                code="changed while reading",
                where=member["name"],
                fix="run again when the file is at rest",
            )


def _plain_flag(component: str, flag: Flag) -> list[Any]:
    """A flag as the store keeps it. Raises ``RunError`` where its value is no number."""
    if not math.isfinite(flag.value):
        raise RunError(
            f"the flag '{flag.name}' has the value {flag.value}",
            code="contract broken",
            where=component,
            fix="report this to the component's author: a flag counts, so its value is a finite number",
        )
    text = str(flag.text)
    return [str(flag.name), flag.value, str(flag.unit), text if len(text) <= 500 else f"{text[:500]} ..."]


def short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
