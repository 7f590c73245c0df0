"""The component: mosaik's entities as rows, its attributes as columns, its steps inside windows."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

import ldt_core as ldt

from .calls import Calls, InProcess, Program

Cell = Literal["point", "mean", "sum", "min", "max"]
_SOURCE = "ldt.0"  # a full mosaik id: what feeds every input


class Attribute(ldt.Params):
    """What an attribute of mosaik means; mosaik itself says no units."""

    unit: str
    """UCUM code."""
    quantity: str | None = None
    """CF standard name, or x:..."""
    name: str | None = None
    """Its name in the twin, where its own cannot be written there."""
    cell: Cell = "point"
    """How a value stands for its window; over several steps in a window outputs are reduced by it."""


class Creation(ldt.Params):
    """Entities of one model."""

    model: str
    """Name of the model, as the simulator's meta data has it."""
    count: int = ldt.Field(default=1, ge=1)
    """How many."""
    params: dict[str, Any] = {}
    """Parameters of the model."""


@dataclass(frozen=True)
class Kind:
    """The entities of one model, in the order of their creation, and the attributes used."""

    model: str
    ids: tuple[str, ...]
    inputs: Mapping[str, Attribute]
    outputs: Mapping[str, Attribute]

    @property
    def entity(self) -> str:
        return f"mosaik-{self.model}"


class Span(NamedTuple):
    """Part of a window: its length, whether it began with a step in this window, and the values that hold."""

    length: float
    stepped: bool
    values: dict[tuple[str, str], float | None]


class Mosaik(ldt.Simulator):
    """Any simulator written for mosaik (API 3 or 2; time-based, hybrid or event-based).

    A Python class in this process, or a program that connects over TCP. Entities are rows, attributes are
    columns. The simulator steps when it asked to be stepped, and where new inputs trigger it; a value holds
    until the next. Source: Steinbrink et al., CPES Testing with mosaik, Applied Sciences 9(5), 923, 2019.

    Raises ``ParamError`` for what cannot be imported or started, and for models or attributes that are not there.
    """

    id = "mosaik"
    title = "Simulator written for mosaik"
    dynamic = True
    processes = ("command",)
    validity: ClassVar[Mapping[str, Any]] = {
        "requests": "simulators that call mosaik back (set_data, get_progress) are not served",
        "values": "numbers; other attributes are left out",
    }

    class Params(ldt.Params):
        simulator: str | None = ldt.Field(default=None, pattern=r"^[\w.]+:\w+$")
        """A Python class: package.module:Class."""
        command: str | None = None
        """Or a program: `%(python)s -m package %(addr)s`, as in mosaik's simulator configuration."""
        init: dict[str, Any] = {}
        """Parameters of the simulator."""
        time_resolution: float = ldt.Field(default=1.0, gt=0)
        """Seconds in one unit of mosaik's time."""
        create: list[Creation]
        """The entities."""
        inputs: dict[str, Attribute] = {}
        """Attributes that are fed: {attribute: {unit, quantity, name, cell}}."""
        outputs: dict[str, Attribute] = {}
        """Attributes that are read: {attribute: {unit, quantity, name, cell}}."""
        state: Literal["none", "pickle"] = "none"
        """`pickle`: the whole object is its state; only for a class that holds no open files."""

    params: Params

    def __init__(self, params: Any = None, context: ldt.Context | None = None) -> None:
        super().__init__(params, context)
        self._calls: Calls | None = None

    # -- what it offers ---------------------------------------------------------------------

    def ports(self) -> tuple[Mapping[str, ldt.Port], Mapping[str, ldt.Port]]:
        calls, meta, kinds = self._open()
        calls.close()
        nulls = meta.get("type", "time-based") != "time-based"
        inputs, outputs = {}, {}
        for kind in kinds:
            for name, attribute in self._input_ports(kinds, kind).items():
                inputs[name] = self._port(kind, {_name(*attribute): _column(attribute[1])}, optional=True)
            if kind.outputs:
                columns = {_name(n, a): _column(a, nulls) for n, a in kind.outputs.items()}
                outputs[_plain(kind.model)] = self._port(kind, columns)
            outputs[f"{_plain(kind.model)}_entities"] = self._port(kind, {}, at="start")
        return inputs, outputs

    def capabilities(self) -> frozenset[str]:
        return super().capabilities() if self.params.state == "pickle" else frozenset()

    @staticmethod
    def _port(kind: Kind, columns: dict[str, ldt.Column], **words: Any) -> ldt.Port:
        return ldt.Port({"id": ldt.text(), **columns}, entity=kind.entity, id="id", **words)

    def _input_ports(self, kinds: list[Kind], kind: Kind) -> dict[str, tuple[str, Attribute]]:
        """Each fed attribute by its port; with the model's name where several models have it."""
        shared = {n for n in kind.inputs if sum(n in k.inputs for k in kinds) > 1}
        return {
            (f"{_plain(kind.model)}_" if n in shared else "") + _name(n, a): (n, a)
            for n, a in kind.inputs.items()
        }

    def _open(self) -> tuple[Calls, Mapping[str, Any], list[Kind]]:
        """Start the simulator and create its entities."""
        params = self.params
        if (params.simulator is None) == (params.command is None):
            raise ldt.ParamError(
                "say what is to be run", code="no simulator", fix="write either simulator: or command:"
            )
        calls: Calls
        if params.simulator is not None:
            calls = InProcess(params.simulator)
        else:
            assert params.command is not None
            calls = Program(params.command)
        try:
            meta = calls.call("init", "ldt-sim", time_resolution=params.time_resolution, **params.init)
            ids: dict[str, list[str]] = {}
            for creation in params.create:
                if creation.model not in meta["models"]:
                    raise ldt.ParamError(
                        f"create names the model '{creation.model}', which the simulator does not have",
                        code="no model",
                        fix=f"it has {', '.join(meta['models'])}",
                    )
                for entity in _flat(calls.call("create", creation.count, creation.model, **creation.params)):
                    ids.setdefault(entity["type"], []).append(entity["eid"])
            calls.call("setup_done")
            return calls, meta, self._kinds(meta, ids)
        except BaseException:
            calls.close()
            raise

    def _kinds(self, meta: Mapping[str, Any], ids: Mapping[str, list[str]]) -> list[Kind]:
        for side in ("inputs", "outputs"):
            for name in getattr(self.params, side):
                known = {a for m in ids for a in meta["models"][m].get("attrs", ())}
                if name not in known and not any(meta["models"][m].get("any_inputs") for m in ids):
                    raise ldt.ParamError(
                        f"{side} names '{name}', which none of the created entities has",
                        code="no attribute",
                        fix=f"there are {', '.join(sorted(known))}",
                    )
        kinds = []
        for model, found in ids.items():
            about = meta["models"][model]
            attrs = set(about.get("attrs", ()))
            fed = {n: a for n, a in self.params.inputs.items() if n in attrs or about.get("any_inputs")}
            read = {n: a for n, a in self.params.outputs.items() if n in attrs}
            if fed or read:
                kinds.append(Kind(model, tuple(found), fed, read))
        return kinds

    # -- at work ----------------------------------------------------------------------------

    def initialize(self, inputs: ldt.Tables) -> ldt.Tables:
        self._calls, meta, self._kind_list = self._open()
        self._paced = meta.get("type", "time-based")
        self._next: int | None = None if self._paced == "event-based" else 0
        self._values: dict[tuple[str, str], float | None] = {}
        self._wanted = {i: list(k.outputs) for k in self._kind_list for i in k.ids if k.outputs}
        self._ids = {k.model: np.array(k.ids, object) for k in self._kind_list}
        return {f"{_plain(k.model)}_entities": ldt.Table({"id": self._ids[k.model]}) for k in self._kind_list}

    def step(self, inputs: ldt.Tables, until: int) -> ldt.Tables:
        unit = self.params.time_resolution * ldt.SECOND
        start, end = self.context.window.start / unit, until / unit
        given = self._given(inputs)
        if given and self._paced != "time-based":
            self._next = int(np.ceil(start)) if self._next is None else min(self._next, int(np.ceil(start)))
        passed, stepped = start, False
        spans: list[Span] = []
        while self._next is not None and self._next < end:
            now = max(self._next, int(np.ceil(start)))
            if now > passed:
                spans.append(Span(now - passed, stepped, dict(self._values)))
            passed, stepped = float(now), True
            self._step_once(now, given, int(np.ceil(end)) - 1)
        spans.append(Span(end - passed, stepped, dict(self._values)))
        return {_plain(k.model): self._table(k, spans) for k in self._kind_list if k.outputs}

    def _step_once(self, now: int, given: Mapping[str, Any], max_advance: int) -> None:
        calls = self._calls
        assert calls is not None
        following = calls.call("step", now, given, max_advance)
        if following is not None and following <= now:
            raise RuntimeError(f"the simulator asks to be stepped at {following}, which is not after {now}")
        self._next = None if following is None else int(following)
        if not self._wanted:
            return
        answer = calls.call("get_data", self._wanted)
        for entity, names in self._wanted.items():
            for name in names:
                if name in answer.get(entity, {}):
                    self._values[entity, name] = _number(answer[entity][name], entity, name)

    def _given(self, inputs: ldt.Tables) -> dict[str, dict[str, dict[str, float]]]:
        """mosaik's nested inputs from tables by port."""
        given: dict[str, dict[str, dict[str, float]]] = {}
        for kind in self._kind_list:
            for port, (name, attribute) in self._input_ports(self._kind_list, kind).items():
                table = inputs.get(port)
                if table is None:
                    continue
                assert isinstance(table, ldt.Table)
                ids = table["id"].tolist()
                odd = sorted(set(ids) - set(kind.ids))
                if odd:
                    raise ldt.InputError(
                        f"'{port}' speaks of '{odd[0]}', which is no entity of {kind.model}",
                        code="ids do not pair",
                        where=port,
                        fix=f"take the ids from the port {_plain(kind.model)}_entities",
                    )
                for entity, value in zip(ids, table[_name(name, attribute)].tolist(), strict=True):
                    given.setdefault(entity, {})[name] = {_SOURCE: value}
        return given

    def _table(self, kind: Kind, spans: list[Span]) -> ldt.Table:
        columns: dict[str, Any] = {"id": self._ids[kind.model]}
        masks = {}
        for name, attribute in kind.outputs.items():
            block = np.array(
                [[_or_nan(s.values.get((i, name))) for i in kind.ids] for s in spans], np.float64
            )
            values = _reduced(block, spans, attribute.cell)
            missing = np.isnan(values)
            columns[_name(name, attribute)] = np.where(missing, 0.0, values)
            if missing.any():
                if self._paced == "time-based":
                    entity = kind.ids[int(missing.argmax())]
                    raise RuntimeError(f"get_data gave no '{name}' of '{entity}'")
                masks[_name(name, attribute)] = missing
        return ldt.Table(columns, masks)

    def get_state(self) -> bytes:
        if self.params.state != "pickle" or not isinstance(self._calls, InProcess):
            raise ldt.Unsupported(
                "mosaik has no call that gives a simulator's state",
                fix="write state: pickle, for a class that holds no open files",
            )
        return pickle.dumps((self._calls.instance, self._next, self._values), protocol=5)

    def set_state(self, state: bytes) -> None:
        if self.params.state != "pickle" or not isinstance(self._calls, InProcess):
            raise ldt.Unsupported(
                "mosaik has no call that takes a simulator's state", fix="write state: pickle"
            )
        self._calls.instance, self._next, self._values = pickle.loads(state)  # noqa: S301 - our own, sealed bytes

    def finalize(self) -> None:
        if self._calls is not None:
            self._calls.close()
            self._calls = None


def _flat(entities: list[Any]) -> Iterator[Any]:
    """Entities and their children, parents first."""
    for entity in entities:
        yield entity
        yield from _flat(entity.get("children") or [])


def _plain(name: str) -> str:
    """A name as a twin file can write it."""
    return "".join(c if c.isalnum() or c in "_-" else "_" for c in name)


def _name(name: str, attribute: Attribute) -> str:
    return attribute.name or _plain(name)


def _column(attribute: Attribute, nulls: bool = False) -> ldt.Column:
    return ldt.number(attribute.unit, attribute.quantity, cell=attribute.cell, nulls=nulls)


def _number(value: Any, entity: str, name: str) -> float | None:
    if value is None:
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        raise RuntimeError(f"'{name}' of '{entity}' is {value!r:.80}, which is no number") from None


def _or_nan(value: float | None) -> float:
    return np.nan if value is None else value


def _reduced(block: Any, spans: list[Span], cell: Cell) -> Any:
    """Over the parts of a window; what is not known at first counts from when it is."""
    known = ~np.isnan(block)
    if cell == "sum":  # an amount belongs to its step alone, and is not held
        fresh = known & np.array([s.stepped for s in spans])[:, None]
        return np.where(fresh, block, 0.0).sum(axis=0)
    some = known.any(axis=0)
    if cell == "mean":
        weight = np.where(known, np.array([s.length for s in spans])[:, None], 0.0)
        total = weight.sum(axis=0)
        mean = (np.where(known, block, 0.0) * weight).sum(axis=0) / np.where(some, total, 1.0)
        return np.where(some, mean, np.nan)
    if cell == "point":
        return block[-1]
    limit = np.inf if cell == "min" else -np.inf
    return np.where(some, getattr(np.where(known, block, limit), cell)(axis=0), np.nan)
