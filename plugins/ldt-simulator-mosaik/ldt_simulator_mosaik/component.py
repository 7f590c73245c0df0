"""The component: mosaik's entities as rows, its attributes as columns, its steps inside windows."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np

import ldt_core as ldt

from .calls import Calls, InProcess, Program
from .description import Attribute, Creation, Kind, column, column_name, flat, input_ports, kinds_of, plain
from .loading import seal, understood, unseal
from .spans import Span, block_of, reduced

_SOURCE = "ldt.0"  # a full mosaik id: what feeds every input


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
        simulator: str | None = ldt.Field(default=None, pattern=r"^([\w.]+:)?\w+$")
        """A Python class: package.module:Class; or its name alone, in the Python file under `file`."""
        file: ldt.File | None = None
        """A Python file that holds the class. Its content counts in what a result was made from."""
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
        self._torn = False  # whether a step was left in its middle

    # -- what it offers ---------------------------------------------------------------------

    def ports(self) -> tuple[Mapping[str, ldt.Port], Mapping[str, ldt.Port]]:
        calls, meta, kinds = self._open()
        calls.close()
        nulls = meta.get("type", "time-based") != "time-based"
        inputs, outputs = {}, {}
        for kind in kinds:
            for name, attribute in input_ports(kinds, kind).items():
                inputs[name] = self._port(
                    kind, {column_name(*attribute): column(attribute[1])}, optional=True
                )
            if kind.outputs:
                columns = {column_name(n, a): column(a, nulls) for n, a in kind.outputs.items()}
                outputs[plain(kind.model)] = self._port(kind, columns)
            outputs[f"{plain(kind.model)}_entities"] = self._port(kind, {}, at="start")
        return inputs, outputs

    def capabilities(self) -> frozenset[str]:
        return super().capabilities() if self.params.state == "pickle" else frozenset()

    @staticmethod
    def _port(kind: Kind, columns: dict[str, ldt.Column], **words: Any) -> ldt.Port:
        return ldt.Port({"id": ldt.text(), **columns}, entity=kind.entity, id="id", **words)

    def _open(self) -> tuple[Calls, Mapping[str, Any], list[Kind]]:
        """Start the simulator and create its entities."""
        params = self.params
        if (params.simulator is None) == (params.command is None):
            raise ldt.ParamError(
                "say what is to be run", code="no simulator", fix="write either simulator: or command:"
            )
        calls: Calls
        if params.simulator is not None:
            calls = InProcess(params.simulator, None if params.file is None else params.file.path)
        else:
            assert params.command is not None
            calls = Program(params.command)
        try:
            with understood("does not start", ldt.ParamError, "correct init: and the params under create:"):
                meta, ids = self._created(calls)
            return calls, meta, kinds_of(meta, ids, params.inputs, params.outputs)
        except BaseException:
            calls.close()
            raise

    def _created(self, calls: Calls) -> tuple[Mapping[str, Any], dict[str, list[str]]]:
        """The simulator's meta data, and the ids of the entities by their model."""
        params = self.params
        meta = calls.call("init", "ldt-sim", time_resolution=params.time_resolution, **params.init)
        ids: dict[str, list[str]] = {}
        for creation in params.create:
            if creation.model not in meta["models"]:
                raise ldt.ParamError(
                    f"create names the model '{creation.model}', which the simulator does not have",
                    code="no model",
                    fix=f"it has {', '.join(meta['models'])}",
                )
            for entity in flat(calls.call("create", creation.count, creation.model, **creation.params)):
                ids.setdefault(entity["type"], []).append(entity["eid"])
        calls.call("setup_done")
        return meta, ids

    # -- at work ----------------------------------------------------------------------------

    def initialize(self, inputs: ldt.Tables) -> ldt.Tables:
        self.finalize()
        self._calls, meta, self._kind_list = self._open()
        self._paced = meta.get("type", "time-based")
        self._next: int | None = None if self._paced == "event-based" else 0
        self._values: dict[tuple[str, str], float | None] = {}
        self._wanted = {i: list(k.outputs) for k in self._kind_list for i in k.ids if k.outputs}
        self._ids = {k.model: np.array(k.ids, object) for k in self._kind_list}
        return {f"{plain(k.model)}_entities": ldt.Table({"id": self._ids[k.model]}) for k in self._kind_list}

    def step(self, inputs: ldt.Tables, until: int) -> ldt.Tables:
        """Raises ``InputError`` for ids that do not pair and for what the simulator refuses: after that it can only begin anew."""
        self._running()
        self.context.check_cancelled()
        unit = self.params.time_resolution * ldt.SECOND
        start, end = self.context.window.start / unit, until / unit
        given = self._given(inputs)
        self._torn = True
        if given and self._paced != "time-based":
            self._next = int(np.ceil(start)) if self._next is None else min(self._next, int(np.ceil(start)))
        passed, stepped = start, False
        spans: list[Span] = []
        while self._next is not None and self._next < end:
            now = max(self._next, int(np.ceil(start)))
            if now > passed:
                spans.append(Span(now - passed, stepped, dict(self._values)))
            passed, stepped = float(now), True
            self.context.check_cancelled()
            self._step_once(now, given, int(np.ceil(end)) - 1)
        spans.append(Span(end - passed, stepped, dict(self._values)))
        tables = {plain(k.model): self._table(k, spans) for k in self._kind_list if k.outputs}
        self._torn = False
        return tables

    def _started(self) -> Calls:
        if self._calls is None:
            raise ldt.Unsupported("the simulator is not initialized", code="not initialized")
        return self._calls

    def _running(self) -> Calls:
        calls = self._started()
        if self._torn:
            raise ldt.InputError(
                "a step failed in its middle, and nobody knows where the simulator stands since",
                code="refused by the simulator",
                fix="initialize it anew, or restore a state",
            )
        return calls

    def _step_once(self, now: int, given: Mapping[str, Any], max_advance: int) -> None:
        calls = self._started()
        with understood(
            f"refuses to step at {now}", ldt.InputError, "feed what it needs: each attribute of each entity"
        ):
            following = calls.call("step", now, given, max_advance)
            answer = calls.call("get_data", self._wanted) if self._wanted else {}
        if following is not None and following <= now:
            raise RuntimeError(f"the simulator asks to be stepped at {following}, which is not after {now}")
        self._next = None if following is None else int(following)
        for entity, names in self._wanted.items():
            for name in names:
                if name in answer.get(entity, {}):
                    self._values[entity, name] = _number(answer[entity][name], entity, name)

    def _given(self, inputs: ldt.Tables) -> dict[str, dict[str, dict[str, float]]]:
        """mosaik's nested inputs from tables by port."""
        given: dict[str, dict[str, dict[str, float]]] = {}
        for kind in self._kind_list:
            for port, (name, attribute) in input_ports(self._kind_list, kind).items():
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
                        fix=f"take the ids from the port {plain(kind.model)}_entities",
                    )
                if len(set(ids)) < len(ids):
                    raise ldt.InputError(
                        f"'{port}' names an entity twice",
                        code="ids do not pair",
                        where=port,
                        fix="give each one row a window",
                    )
                for entity, value in zip(ids, table[column_name(name, attribute)].tolist(), strict=True):
                    given.setdefault(entity, {})[name] = {_SOURCE: value}
        return given

    def _table(self, kind: Kind, spans: list[Span]) -> ldt.Table:
        columns: dict[str, Any] = {"id": self._ids[kind.model]}
        masks = {}
        for name, attribute in kind.outputs.items():
            values = reduced(block_of(spans, kind.ids, name), spans, attribute.cell)
            missing = np.isnan(values)
            columns[column_name(name, attribute)] = np.where(missing, 0.0, values)
            if missing.any():
                if self._paced == "time-based":
                    entity = kind.ids[int(missing.argmax())]
                    raise RuntimeError(f"get_data gave no '{name}' of '{entity}'")
                masks[column_name(name, attribute)] = missing
        return ldt.Table(columns, masks)

    def get_state(self) -> bytes:
        calls = self._running()
        if self.params.state != "pickle" or not isinstance(calls, InProcess):
            raise ldt.Unsupported(
                "mosaik has no call that gives a simulator's state",
                fix="write state: pickle, for a class that holds no open files",
            )
        body = pickle.dumps((calls.instance, self._next, self._values), protocol=5)
        # Once more: equal texts that are one object here are two where they were read, which other bytes say.
        body = pickle.dumps(pickle.loads(body), protocol=5)  # noqa: S301 - written a line above
        return seal(body, type(calls.instance))

    def set_state(self, state: bytes) -> None:
        """Raises ``InputError`` for bytes that are no state of this simulator."""
        calls = self._started()
        if self.params.state != "pickle" or not isinstance(calls, InProcess):
            raise ldt.Unsupported(
                "mosaik has no call that takes a simulator's state", fix="write state: pickle"
            )
        body = unseal(state, type(calls.instance))
        calls.instance, self._next, self._values = pickle.loads(body)  # noqa: S301 - our own bytes, sealed
        self._torn = False

    def finalize(self) -> None:
        if self._calls is not None:
            with contextlib.suppress(Exception):  # its end changes no result
                self._calls.close()
            self._calls = None
        self._torn = False


def _number(value: Any, entity: str, name: str) -> float | None:
    if value is None:
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        raise RuntimeError(f"'{name}' of '{entity}' is {value!r:.80}, which is no number") from None
