"""Names and text come out as they went in."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import ldt_core as ldt
from ldt_core.interfaces import AnyPort

from ..corpus import NUL, TEXTS
from ..drivers.base import Raised, Word
from ..job import exercise, inputs_of, rounding
from ..perturb import sorted_rows
from ..trial import NotApplicable, Trial
from ..views import example_view
from . import check

_SHORT = {what: text for what, text in TEXTS.items() if 0 < len(text) < 100}


@check("LDT-COR-UNI-01")
def text_comes_out_unchanged(trial: Trial) -> None:
    """Whatever the things are called, the answer is the same but for their names."""
    {"source": _by_file, "viewer": _by_view}.get(trial.manifest["kind"], _by_ids)(trial)


# -- models and simulators: other ids in, the same answer with other ids out ---------------------------------


def _by_ids(trial: Trial) -> None:
    subject = trial.open()
    given, ports = inputs_of(trial, subject), subject.ports()
    names = _ids(given, ports[0])
    if not names:
        raise NotApplicable("it is given no names: no input port has an id")
    usual = exercise(trial, subject, given=given)
    own = {n for known in names.values() if not _renamable(trial, given, known) for n in known}
    known = list(dict.fromkeys(n for some in names.values() for n in some if n not in own))
    kept = _own_names_stay(trial, usual, own)
    if not known and not kept:
        raise NotApplicable("it takes the names of its own things alone, and gives none of them")
    texts = list(TEXTS.items())
    for first in range(0, len(texts), len(known)) if known else ():
        some = texts[first : first + len(known)]
        mapping = dict(zip(known, [text for _, text in some]))
        what = ", ".join(word for word, _ in some)
        try:
            answer = _renamed(trial, given, mapping)
        except Raised as raised:
            if raised.word not in OWN:
                raise
            trial.fail(f"it takes plain names, and refuses others ({what})", given=mapping, got=str(raised))
        _expect_renamed(trial, usual, answer, ports[1], mapping, what)
    for name in known[:1]:
        trial.observations += 1
        try:
            answer = _renamed(trial, given, {name: NUL}, {})
        except Raised as raised:
            if raised.word != "input":
                trial.fail("a name that holds NUL is not refused as an input", given=NUL, got=str(raised))
        else:
            _expect_renamed(trial, usual, answer, ports[1], {name: NUL}, "NUL")


OWN: tuple[Word, ...] = ("input", "not found", "config")
"""How a component refuses a thing that it does not know."""


def _renamable(trial: Trial, given: Mapping[str, Any], known: list[str]) -> bool:
    """Whether these things may be called something else, and be it plain: they may be those of a file that it reads."""
    try:
        _renamed(trial, given, {name: f"nobody{number}" for number, name in enumerate(known)})
    except Raised as raised:
        if raised.word in OWN:
            return False
        raise
    return True


def _renamed(
    trial: Trial,
    given: Mapping[str, Any],
    mapping: Mapping[str, str],
    params: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What comes when things are called otherwise, in the inputs and in the parameters (there as ``params`` says)."""
    changed = _mapped_params(trial.example.params, mapping if params is None else params)
    return exercise(trial, trial.open(changed), given={n: _mapped(t, mapping) for n, t in given.items()})


def _own_names_stay(trial: Trial, usual: Mapping[str, Any], own: set[str]) -> bool:
    """Names that came in and come out, however they are written then, come out as they came in. Whether any does."""
    said = {v for t in usual.values() if isinstance(t, ldt.Table) for v in _strings(t)}
    loose = {_loose(v) for v in said}
    shown = sorted(n for n in own if _loose(n) in loose)
    for name in shown:
        trial.expect(name in said, "a name comes out otherwise than it went in", given=name, expected=name)
    return bool(shown)


def _ids(given: Mapping[str, Any], ports: Mapping[str, AnyPort]) -> dict[str, list[str]]:
    """The names of things by their set."""
    found: dict[str, dict[str, None]] = {}
    for name, table in given.items():
        port = ports[name]
        if port.id is not None and isinstance(table, ldt.Table) and len(table):
            found.setdefault(port.entity or port.id, {}).update(dict.fromkeys(map(str, table[port.id])))
    return {entity: list(names) for entity, names in found.items()}


def _mapped(item: Any, mapping: Mapping[str, str]) -> Any:
    """A table in which every text that is a name of a thing is its new name."""
    if not isinstance(item, ldt.Table):
        return item
    found = item.columns
    for name, values in found.items():
        if values.dtype == object and any(isinstance(v, str) for v in values):
            new = np.empty(len(values), object)
            new[:] = [mapping.get(v, v) if isinstance(v, str) else v for v in values]
            found[name] = new
    return ldt.Table(found, item.masks)


def _mapped_params(value: Any, mapping: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {mapping.get(k, k): _mapped_params(v, mapping) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_mapped_params(v, mapping) for v in value]
    return mapping.get(value, value) if isinstance(value, str) else value


def _expect_renamed(
    trial: Trial,
    usual: Mapping[str, Any],
    answer: Mapping[str, Any],
    outputs: Mapping[str, AnyPort],
    mapping: Mapping[str, str],
    what: str,
) -> None:
    """Row for row the usual answer under the new names; of a stochastic component its text only: it draws by name."""
    by_key = {key: outputs[key.rpartition(": ")[2]] for key in usual if key.rpartition(": ")[2] in outputs}

    def comparable(tables: Mapping[str, Any]) -> dict[str, Any]:
        found = sorted_rows(tables, by_key)
        if trial.manifest["stochastic"]:
            return {k: _texts(t) if isinstance(t, ldt.Table) else None for k, t in found.items()}
        return found

    trial.expect_same(
        comparable({k: _mapped(t, mapping) for k, t in usual.items()}),
        comparable(answer),
        f"things that are called otherwise ({what})",
        given=mapping,
        tolerances=rounding(trial, usual),
    )


def _texts(table: ldt.Table) -> ldt.Table:
    return table.select(*(n for n in table.names if table[n].dtype == object))


# -- sources: other text in the file, the same rows with that text --------------------------------------------


def _by_file(trial: Trial) -> None:
    subject = trial.open()
    usual = exercise(trial, subject)
    texts = sorted({v for t in usual.values() if isinstance(t, ldt.Table) for v in _strings(t)})
    if not any(c.kind == "text" for p in subject.ports()[1].values() for c in p.columns.values()):
        raise NotApplicable("it gives no text: no output port has a text column")
    broken = [v for v in texts if "\ufffd" in v or any(unicodedata.category(c) == "Cs" for c in v)]
    trial.expect(not broken, "text was lost while it was read", got=broken[:5])
    for name in trial.manifest["files"]:
        for old, text in _rewritable(trial, name, texts):
            for what in ("composed (NFC)", "decomposed (NFD)", "right to left", "outside the basic plane"):
                made = trial.scratch() / Path(str(trial.example.params[name])).name
                made.write_bytes(text.replace(old, TEXTS[what]).encode())
                params = {**trial.example.params, name: str(made)}
                answer = exercise(trial, trial.open(params))
                wanted = {v.replace(old, TEXTS[what]) for v in texts}
                lost = sorted(
                    wanted - {v for t in answer.values() if isinstance(t, ldt.Table) for v in _strings(t)}
                )
                trial.expect(
                    not lost, f"text of the file is changed ({what})", given=TEXTS[what], expected=lost
                )
            break  # one name is enough


def _strings(table: ldt.Table) -> Iterator[str]:
    for name in table.names:
        yield from (v for v in table[name] if isinstance(v, str))


def _rewritable(trial: Trial, name: str, texts: list[str]) -> Iterator[tuple[str, str]]:
    """A name that stands in the file as it came out, with the file's text."""
    given = trial.example.params.get(name)
    path = Path(ldt.File(given, trial.example.base).path) if isinstance(given, str) else Path()
    if not path.is_file():
        return
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError:
        return
    for old in sorted(texts, key=len, reverse=True):
        if len(old) > 2 and not old.isdigit() and old in text:
            yield old, text


# -- viewers: other names in the view, these names in the scene ---------------------------------------------------


def _by_view(trial: Trial) -> None:
    view = example_view(trial)
    names = sorted({v for variable in view.variables.values() for v in _strings(variable.table)})
    usual = list(_all(exercise(trial, trial.open(), given=view)))
    loose = "\n".join(map(_loose, usual))
    shown = [n for n in names if _loose(n) in loose]  # however it writes them
    for what, text in {"as it is": "", **_SHORT}.items():
        mapping = {n: f"{n} {text}".rstrip() for n in names}
        places = {ref: replace(v, places=_mapped(v.table, mapping)) for ref, v in view.variables.items()}
        said = list(_all(exercise(trial, trial.open(), given=replace(view, variables=places))))
        lost = [mapping[n] for n in shown if not any(mapping[n] in one for one in said)]
        trial.expect(not lost, f"names that it shows are changed ({what})", expected=lost[:3])


def _loose(text: str) -> str:
    return unicodedata.normalize("NFKD", text).casefold()


def _all(answer: Any) -> Iterator[str]:
    """Every text in what came."""
    if isinstance(answer, str):
        yield answer
    elif isinstance(answer, ldt.Table):
        yield from _strings(answer)
    elif isinstance(answer, Mapping):
        for key, value in answer.items():
            yield from _all(key)
            yield from _all(value)
    elif isinstance(answer, list | tuple):
        for value in answer:
            yield from _all(value)
