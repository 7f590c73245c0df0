"""What a component of any kind may raise: the contract's words, for whatever it is given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import ldt_core as ldt
from ldt_core.tables import Port, empty

from ..corpus import NUL, TEXTS
from ..drivers.base import Raised, Subject, Word
from ..generate import inputs
from ..job import asked, exercise, extremes, inputs_of
from ..trial import Trial
from ..views import example_view
from . import check

WORDS: tuple[Word, ...] = ("config", "input", "not found", "unavailable", "unsupported", "cancelled")
"""What a component may raise."""


@check("LDT-COR-ERR-01")
def only_words_of_the_contract_escape(trial: Trial) -> None:
    """Files that are absent, empty, cut or a folder; then odd but valid queries, inputs or views."""
    exercise(trial, trial.open())
    trial.expect(True, "the example is answered")
    for what, params in _broken_files(trial):
        _try(
            trial, f"a file that is {what}", params, lambda params=params: exercise(trial, trial.open(params))
        )
    subject = trial.open()
    for what, given in _hostile(trial, subject):
        _try(trial, what, given, lambda given=given: exercise(trial, trial.open(), given=given))
    if trial.manifest["kind"] in ("model", "simulator") and (ports := subject.ports()[0]):

        def holds(given: Any) -> None:
            _try(trial, "generated inputs", given, lambda: exercise(trial, trial.open(), given=given))

        trial.search(inputs(ports, trial.context(), trial.manifest["validity"]), holds, examples=15)
    exercise(trial, trial.open())  # none of it broke the component for others


def _try(trial: Trial, what: str, given: Any, call: Any) -> None:
    """Count one observation: ``call`` answers, or raises a word of the contract."""
    trial.observations += 1
    try:
        call()
    except Raised as raised:
        if raised.word not in WORDS:
            trial.fail(
                f"with {what} it raises what no component may raise",
                given=given,
                expected="an answer, or one of ParamError, InputError, NotFound, Unavailable, Unsupported",
                got=str(raised),
            )


def _broken_files(trial: Trial) -> Iterator[tuple[str, dict[str, Any]]]:
    """The example's parameters with each file spoiled in turn."""
    for name in trial.manifest["files"]:
        given = trial.example.params.get(name)
        if not isinstance(given, str):
            continue
        yield "not there", {**trial.example.params, name: "no-such-folder/no-such-file"}
        yield "a folder", {**trial.example.params, name: str(trial.scratch())}
        path = Path(ldt.File(given, trial.example.base).path)
        content = path.read_bytes() if path.is_file() else b""
        for what, spoiled in (
            ("empty", b""),
            ("cut in the middle", content[: len(content) // 2]),
            ("something else", bytes(range(256)) * 4),
        ):
            if content:
                made = trial.scratch() / path.name
                made.write_bytes(spoiled)
                yield what, {**trial.example.params, name: str(made)}


def _hostile(trial: Trial, subject: Subject) -> Iterator[tuple[str, Any]]:
    kind = trial.manifest["kind"]
    if kind == "source":
        yield from _queries(trial)
    elif kind == "viewer":
        kinds: tuple[Any, ...] = ("none", "missing", "hostile", "leap day", "one window")
        yield from ((f"a view with '{kind}'", example_view(trial, kind)) for kind in kinds)
    else:
        yield from _inputs(trial, subject)


def _queries(trial: Trial) -> Iterator[tuple[str, ldt.Query]]:
    whole = asked(trial)
    day = np.timedelta64(1, "D")
    box = whole.bbox or (0.0, 0.0, 1.0, 1.0)
    start = whole.start or trial.example.start
    yield "a query for nothing in particular", ldt.Query()
    yield "a query of an instant", replace(whole, start=start, end=start)
    yield "a query of another century", replace(whole, start=start - 40000 * day, end=start - 39999 * day)
    yield "a query that ends before it starts", replace(whole, start=start, end=start - day)
    yield "a query of a point", replace(whole, bbox=(box[0], box[1], box[0], box[1]))
    yield "a query of a place far away", replace(whole, bbox=(-1e7, -1e7, -1e7 + 1, -1e7 + 1))
    yield "a query for a port that does not exist", replace(whole, outputs=("no-such-port",))
    yield "a query for a column that does not exist", replace(whole, columns=("no such column",))
    yield "a query for no port", replace(whole, outputs=())


def _inputs(trial: Trial, subject: Subject) -> Iterator[tuple[str, dict[str, Any]]]:
    """Valid inputs, odd in one column or on one port."""
    ports, given = subject.ports()[0], inputs_of(trial, subject)
    for name, port in ports.items():
        table = given.get(name)
        if not isinstance(port, Port) or not isinstance(table, ldt.Table):
            continue
        yield f"no rows on '{name}'", {**given, name: empty(port)}
        if len(table):
            yield f"one row on '{name}'", {**given, name: table.slice(0, 1)}
            yield f"every row twice on '{name}'", {**given, name: ldt.Table.concat([table, table])}
        for column, meant in port.columns.items():
            if meant.kind == "text" and len(table):
                for what, text in {**TEXTS, "a NUL": NUL}.items():
                    values = table[column].copy()
                    values[0] = text
                    changed = table.with_columns(**{column: values})
                    yield f"text that is {what} in '{name}.{column}'", {**given, name: changed}
    yield from extremes(trial, ports, given)
