"""A component of any kind at its main job, once: so that what all kinds owe is checked in one way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

import ldt_core as ldt
from ldt_core.interfaces import AnyPort
from ldt_core.tables import Port

from .corpus import numbers, reach
from .drivers.base import Driver, Raised, Subject
from .forcing import Given
from .generate import Bounds, bounds_of, example_inputs
from .perturb import moved
from .trial import Trial
from .views import example_view

MOST = 3
"""Windows that a simulator steps, and batches that are listened to, at most."""

_NO_PORTS = ("reached", "cursor", "scene")

Answer = dict[str, Any]
"""What came, by a name that says where from; see ``Trial.expect_same``."""


Handed = list[tuple[dict[str, Any], dict[str, str]]]
"""Inputs that a component was given, with the digests that they had then."""


def exercise(
    trial: Trial, subject: Subject, *, other: bool = False, given: Any = None, handed: Handed | None = None
) -> Answer:
    """Read, compute, initialize and step, or render with what the example says.

    ``other`` asks for something else that is just as good: another span, other values, another view. ``given`` replaces
    what is asked: a query, the inputs by port, or a view. ``handed`` keeps the inputs. May raise ``Raised``.
    """
    found: Answer = {}
    for part in work(trial, subject, other=other, given=given, handed=handed):
        found |= part
    return found


def work(
    trial: Trial, subject: Subject, *, other: bool = False, given: Any = None, handed: Handed | None = None
) -> Iterator[Answer]:
    """The parts of ``exercise`` as they come; what no port declares is left out, as the engine does."""
    outputs = subject.ports()[1]
    for part in _work(trial, subject, other, given, handed):
        yield {
            k: _declared(v, outputs.get(k.rpartition(": ")[2])) for k, v in part.items() if _known(k, outputs)
        }


def _known(key: str, outputs: Mapping[str, AnyPort]) -> bool:
    """Whether something that came is on a port that is declared, or on no port."""
    name = key.rpartition(": ")[2]
    return name in outputs or name in _NO_PORTS or name.startswith("published ")


def _declared(item: Any, port: AnyPort | None) -> Any:
    if not isinstance(item, ldt.Table) or not isinstance(port, Port):
        return item
    return item.select(*(n for n in item.names if n in port.columns))


def _work(trial: Trial, subject: Subject, other: bool, given: Any, handed: Handed | None) -> Iterator[Answer]:
    kind = trial.manifest["kind"]
    subject.context.rng_state = None  # what begins anew begins with the generator as it was
    subject.context.flags.clear()
    if kind == "source":
        yield _read(trial, subject, given or asked(trial, other))
    elif kind == "viewer":
        view = given or example_view(trial, "other" if other else "usual")
        scene = subject.render(view)
        shown = scene.model_dump(mode="json") if hasattr(scene, "model_dump") else scene
        yield {"scene": shown, **{f"published {n}": t for n, t in getattr(view, "published", {}).items()}}
    elif kind == "model":
        inputs = inputs_of(trial, subject, other=other, given=given)
        yield dict(subject.compute(_hand(inputs, handed)))
    else:
        yield from _simulate(trial, subject, inputs_of(trial, subject, other=other, given=given), handed)


def alternately(*jobs: Iterator[Answer]) -> list[Answer]:
    """What each of several jobs gives when all are at work at once, a part of each in turn."""
    found: list[Answer] = [{} for _ in jobs]
    waiting = dict(enumerate(jobs))
    while waiting:
        for number, job in list(waiting.items()):
            part = next(job, None)
            if part is None:
                del waiting[number]
            else:
                found[number] |= part
    return found


def opened(
    trial: Trial, *, driver: Driver | None = None, other: bool = False, **more: Any
) -> tuple[Subject, Answer]:
    """A new instance and what it gives; ``other`` runs it with another seed and other values."""
    subject = trial.open(driver=driver, **{"seed": seed_of(trial, other=other), **more})
    return subject, exercise(trial, subject, other=other)


def seed_of(trial: Trial, *, other: bool = False) -> int:
    """The example's seed, or another."""
    return trial.example.seed + (7919 if other else 0)


def asked(trial: Trial, other: bool = False) -> ldt.Query:
    """The example's query, or one for the first half of its time."""
    whole = trial.example.query
    if not other or whole.start is None or whole.end is None:
        return whole
    return ldt.Query(bbox=whole.bbox, start=whole.start, end=whole.start + (whole.end - whole.start) // 2)


def inputs_of(
    trial: Trial, subject: Subject, *, other: bool = False, given: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The example's inputs on the ports of this instance; ``given`` replaces some, ``other`` moves every number a little."""
    ports = subject.ports()[0]
    found = example_inputs(trial, ports, given=given)
    return {n: other_values(t, ports[n], trial, n) for n, t in found.items()} if other else found


def _hand(inputs: Mapping[str, Any], handed: Handed | None) -> dict[str, Any]:
    """Copies that the component could write to if it tried: what the judge holds stays whole."""
    copies = {
        n: ldt.Table({c: t[c].copy() for c in t.names}, t.masks) if isinstance(t, ldt.Table) else t
        for n, t in inputs.items()
    }
    if handed is not None:
        handed.append((copies, {n: digest(t) for n, t in copies.items()}))
    return dict(copies)


def digest(data: Any) -> str:
    """Of the content as it is now: a table keeps the digest that it had when it was first asked."""
    if isinstance(data, ldt.Table):
        return ldt.Table(data.columns, data.masks).digest
    return ldt.Grid(data.values, data.dims, data.affine, data.crs, data.coords).digest


def other_values(table: Any, port: AnyPort, trial: Trial, name: str, share: float = 0.1) -> Any:
    """A table whose numbers have all moved by ``share`` of their own span, inside what is valid."""
    if not isinstance(table, ldt.Table):
        return table
    for column, bounds in own_bounds(table, port, trial, name).items():
        table = moved(table, column, share, bounds)
    return table


def own_bounds(table: ldt.Table, port: AnyPort, trial: Trial, name: str) -> Bounds:
    """Where each measured column of ``table`` lies, a little generous, inside what is valid."""
    declared = bounds_of(name, port, trial.manifest.get("validity", {}))
    found = {}
    for column, meant in port.columns.items():
        known: Any = table[column][~table.mask(column)] if meant.measured else ()
        if len(known):
            low, high = float(np.min(known)), float(np.max(known))
            least, most = declared.get(column, (-np.inf, np.inf))
            found[column] = (max(low, least), min(low + max(high - low, abs(high), 1.0), most))
    return found


def extremes(
    trial: Trial, ports: Mapping[str, AnyPort], given: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The inputs with one number column at a value that is valid and seldom tried, and what that is."""
    for name, port in ports.items():
        table = given.get(name)
        if not isinstance(table, ldt.Table) or not len(table):
            continue
        within = bounds_of(name, port, trial.manifest["validity"])
        for column, meant in port.columns.items():
            if not meant.measured:
                continue
            low, high = reach(meant, within.get(column))
            odd = {"the least valid value": low, "the largest valid value": high, **numbers(meant)}
            for what, value in odd.items():
                if low <= value <= high:
                    changed = table.with_columns(**{column: np.full(len(table), value, meant.dtype)})
                    yield f"{what} in '{name}.{column}' ({value!r})", {**given, name: changed}


def rounding(trial: Trial, usual: Mapping[str, Any], share: float = 1e-9) -> dict[str, float]:
    """How far numbers may lie apart that were computed in another order or from rounded inputs: what is declared, and
    ``share`` of the largest number of their column."""
    found = {**trial.manifest["tolerances"], **trial.example.tolerances}
    for table in usual.values():
        for name in table.names if isinstance(table, ldt.Table) else ():
            if table[name].dtype.kind == "f" and len(table):
                most = float(np.nanmax(np.abs(table[name]), initial=0.0))
                found[name] = max(found.get(name, 0.0), most * share)
    return found


def rows(answer: Mapping[str, Any]) -> int:
    """Rows of all tables that came; a grid counts as one."""
    return sum(len(t) if isinstance(t, ldt.Table) else int(isinstance(t, ldt.Grid)) for t in answer.values())


def _read(trial: Trial, subject: Subject, query: ldt.Query) -> Answer:
    try:
        return subject.read(query)
    except Raised as raised:
        if raised.word != "unsupported" or "incremental" not in trial.manifest["capabilities"]:
            raise
    found: Answer = {}
    for number, (batch, cursor) in enumerate(subject.listen(query)):
        found |= {f"batch {number}: {name}": table for name, table in batch.items()}
        found[f"batch {number}: cursor"] = cursor
        if number + 1 == MOST:
            break
    return found


def _simulate(
    trial: Trial, subject: Subject, inputs: Mapping[str, Any], handed: Handed | None
) -> Iterator[Answer]:
    """Initialize and a few steps; inputs come as the engine gives them."""
    step = trial.example.step
    given = Given(replace(trial, example=replace(trial.example, inputs=inputs)), subject)
    subject.context.window = ldt.Window(0, step)
    first = subject.initialize(_hand(given.start, handed))
    yield {f"initialize: {n}": t for n, t in first.items()}
    start = 0
    for _ in range(min(trial.example.windows, MOST)):
        window = subject.context.window = ldt.Window(start, (start // step + 1) * step)
        done = subject.step(_hand(given.over(*window), handed), window.end)
        yield {f"from {start}: reached": done.reached} | {
            f"from {start}: {n}": t for n, t in done.tables.items()
        }
        if not start < done.reached <= window.end:
            break
        start = done.reached
