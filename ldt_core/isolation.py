"""A component in a process of its own, seen from here as a class like any other.

A proxy class is made from what the other side says of the component; wiring, runner and keys treat it as they treat
a class that was imported.
"""

from __future__ import annotations

import itertools
import uuid
import weakref
from collections.abc import Iterator, Mapping
from functools import lru_cache, partial
from typing import Any, ClassVar, NamedTuple

import numpy as np
from pydantic import ConfigDict, PrivateAttr, ValidationError, create_model
from pydantic_core import InitErrorDetails, PydanticCustomError

from . import errors as e
from .catalog import Offer
from .interfaces import (
    AnyPort,
    Component,
    Context,
    DataSource,
    Field,
    File,
    Flag,
    Model,
    Params,
    Query,
    Secret,
    Simulator,
    Step,
    Viewer,
)
from .ipc import Packer, Unpacker
from .process import Launch, Place, Process, borrow, give_back
from .scene import Scene
from .tables import Tables, port_from_dict
from .viewing import answer, facts

__all__ = ["Launch", "Place", "describe_isolated", "load_isolated"]


# -- parameters, checked where their class lives -------------------------------------------------------------


class _Asked(Params):
    """Parameters as the other side has read them: files as files, secrets left there."""

    model_config = ConfigDict(protected_namespaces=())
    place: ClassVar[Place]
    offer: ClassVar[Offer]
    _raw: dict[str, Any] = PrivateAttr(default_factory=dict)
    _base: str | None = PrivateAttr(default=None)

    @classmethod
    def model_validate(cls, obj: Any, *, context: Any = None, **options: Any) -> Any:
        raw, base = dict(obj), (context or {}).get("base")
        base = None if base is None else str(base)
        mark = uuid.uuid4().hex
        head = {"do": "params", **_names(cls.offer), "raw": raw, "base": base, "mark": mark}
        reply = _ask_once(cls.place, head)
        if "refused" in reply:
            raise ValidationError.from_exception_data(cls.__name__, [_detail(i) for i in reply["refused"]])
        self = cls.model_construct(**{n: _with_files(v, mark) for n, v in reply["params"].items()})
        self._raw, self._base = raw, base
        return self


def _detail(item: Mapping[str, Any]) -> InitErrorDetails:
    said = {"error": item["error"]} if item.get("error") else None
    kind = PydanticCustomError(item["type"], item["msg"], said)
    return InitErrorDetails(type=kind, loc=tuple(item["loc"]), input=item["input"])


class _Files(File):
    """A file parameter of the other side, with all files that it stands for."""

    __slots__ = ("named",)
    named: tuple[Any, ...]

    def files(self) -> tuple[Any, ...]:
        return self.named


def _with_files(value: Any, mark: str) -> Any:
    if isinstance(value, dict):
        if set(value) == {mark}:
            first, *_ = value[mark]
            file = _Files(first)
            file.named = tuple(type(file.path)(p) for p in value[mark])
            return file
        return {k: _with_files(v, mark) for k, v in value.items()}
    return [_with_files(v, mark) for v in value] if isinstance(value, list) else value


# -- the classes ------------------------------------------------------------------------------------------


def _names(offer: Offer) -> dict[str, str]:
    return {"package": offer.package, "id": offer.id, "kind": offer.kind}


def _ask_once(place: Place, head: Mapping[str, Any]) -> dict[str, Any]:
    """One question that needs no instance."""
    process = borrow(place)
    try:
        reply, _ = process.ask(head, timeout=None)
        _raise_said(reply, process)
        return reply
    finally:
        give_back(process)


def _raise_said(reply: Mapping[str, Any], process: Process) -> None:
    """Raise what the other side raised."""
    error = reply.get("error")
    if error is None:
        return
    kind = getattr(e, error.pop("class"), e.ChildError)
    if kind is MemoryError or error.get("code") == "out of memory":
        raise process.out_of_memory(error["what"])
    raise kind(error.pop("what"), **error)


class Watched(NamedTuple):
    """``memory`` in bytes; ``dropped`` are columns by port."""

    memory: int
    dropped: Mapping[str, list[str]]


_SEATS = itertools.count(1)
"""Instances of processes that serve many: numbered, never the same twice."""


class _Proxy(Component):
    """What the four kinds have in common: an instance over there, as long as there is one here."""

    place: ClassVar[Place]
    offer: ClassVar[Offer]

    def __init__(self, params: Any = None, context: Context | None = None) -> None:
        super().__init__(params, context)
        self._packer, self._unpacker = Packer(), Unpacker()
        self._timeout = self.place.timeout
        self._flags: list[Flag] = []
        self._rng: Any = None
        fresh = self.process == "fresh"
        place = self.place
        if fresh and place.launch.shared:
            place = place._replace(launch=place.launch._replace(shared=False))
        self._process = borrow(place)
        self._seat = next(_SEATS) if self._process.shared else 0
        self._close = weakref.finalize(self, give_back, self._process, fresh)
        c = self.context
        said = {
            "start": int(c.start.astype("datetime64[us]").astype(np.int64)),
            "window": list(c.window),
            "seed": c.seed,
            "crs": c.crs,
            "bbox": None if c.bbox is None else list(c.bbox),
            "scratch": str(c.scratch),
            "cache": str(c.cache),
            "log": c.log.name,
        }
        head = {"do": "make", **_names(self.offer), "raw": self.params._raw, "base": self.params._base}
        try:
            self._ask({**head, "context": said})
        except BaseException:
            self._close()
            raise

    def _ask(
        self, head: dict[str, Any], blocks: list[Any] | None = None, asked: Any = None
    ) -> tuple[dict[str, Any], Any]:
        if not self._close.alive:  # its process serves another by now
            raise e.RunError(f"'{self.id}' was finalized, so it can do nothing more", code="finalized")
        context = self.context
        head["seat"], head["window"] = self._seat, context.window
        if context.flags != self._flags:  # a restored state has brought others
            head["flags"] = self._flags = list(context.flags)
        if (context._rng is not None or self._rng is not None) and context.rng_state != self._rng:
            head["rng"] = self._rng = context.rng_state
        reply, body = self._process.ask(head, blocks, timeout=self._timeout, context=context, asked=asked)
        if "flags" in reply:
            context.flags[:] = self._flags = [Flag(*flag) for flag in reply["flags"]]
        if "rng" in reply:
            context.rng_state = self._rng = reply["rng"]
        if "error" in reply:
            _raise_said(reply, self._process)
        return reply, body

    def _work(self, head: dict[str, Any], inputs: Tables) -> Any:
        """Tables there, tables back; one message each way."""
        blocks: list[Any] = []
        head["tables"] = self._packer.pack(inputs, {}, blocks)
        reply, body = self._ask(head, blocks)
        if "tables" in reply:
            return self._opened(reply, body)
        return None if "other" not in reply else _stand_in(reply["other"])

    def _opened(self, reply: dict[str, Any], body: Any) -> dict[str, Any]:
        try:
            found: dict[str, Any] = self._unpacker.unpack(reply["tables"], body)
        except Exception as exc:
            self._process.spoil(f"its tables cannot be read ({type(exc).__name__}: {exc})")
        for name, what in reply.get("odd", {}).items():
            found[name] = _stand_in(what)
        return found

    def ports(self) -> tuple[Mapping[str, AnyPort], Mapping[str, AnyPort]]:
        if not self.dynamic:
            return super().ports()
        reply, _ = self._ask({"do": "ports"})
        inputs, outputs = ({n: port_from_dict(p) for n, p in side.items()} for side in reply["ports"])
        return inputs, outputs

    def capabilities(self) -> frozenset[str]:
        return frozenset(self._ask({"do": "capabilities"})[0]["capabilities"])

    def finalize(self) -> None:
        if self._close.alive:
            try:
                if not self._process.busy:
                    self._ask({"do": "finalize"})
            finally:
                self._close()

    def watch(self) -> Watched:
        """What its process holds in memory now, and what it gave that was not declared and so left there."""
        reply, _ = self._ask({"do": "watch"})
        return Watched(reply["memory"], reply["dropped"])

    def finalize_only(self) -> None:
        """Let the component over there finalize, and keep it: what it does afterwards can be seen."""
        self._ask({"do": "finalize", "keep": True})


def _stand_in(name: str) -> Any:
    """Something of a type of this name: what the runner says of it is what it would say of the real thing."""
    return type(name, (), {})()


class _Source(_Proxy, DataSource):
    def read(self, query: Query) -> Any:
        reply, body = self._ask({"do": "read", "query": _query(query)})
        if reply.get("single"):
            return self._opened(reply, body)
        return self._batches(reply, body)

    def _batches(self, reply: dict[str, Any], body: Any) -> Iterator[Any]:
        while not reply.get("end"):
            batch = self._opened(reply, body) if "tables" in reply else _stand_in(reply["other"])
            yield (batch, reply["cursor"]) if "cursor" in reply else batch
            reply, body = self._ask({"do": "next"})


def _listen(self: _Source, query: Query, cursor: str | None = None) -> Iterator[tuple[Tables, str]]:
    reply, body = self._ask({"do": "listen", "query": _query(query), "cursor": cursor})
    yield from self._batches(reply, body)


def _version(self: _Source, query: Query) -> Any:
    return self._ask({"do": "version", "query": _query(query)})[0]["version"]


def _query(query: Query) -> dict[str, Any]:
    found = dict(vars(query))
    for side in ("start", "end"):
        at = found[side]
        found[side] = None if at is None else int(at.astype("datetime64[us]").astype(np.int64))
    return found


class _Model(_Proxy, Model):
    def compute(self, inputs: Tables) -> Any:
        return self._work({"do": "compute"}, inputs)


class _Simulator(_Proxy, Simulator):
    def initialize(self, inputs: Tables) -> Any:
        return self._work({"do": "initialize"}, inputs)

    def step(self, inputs: Tables, until: int) -> Any:
        blocks: list[Any] = []
        tables = self._packer.pack(inputs, {}, blocks)
        reply, body = self._ask({"do": "step", "until": until, "tables": tables}, blocks)
        if "tables" not in reply:
            return None if "other" not in reply else _stand_in(reply["other"])
        found = self._opened(reply, body)
        return Step(found, reply["reached"]) if "reached" in reply else found


def _get_state(self: _Simulator) -> Any:
    reply, body = self._ask({"do": "get_state"})
    return bytes(body[: reply["size"]]) if "size" in reply else _stand_in(reply["other"])


def _set_state(self: _Simulator, state: bytes) -> None:
    self._ask({"do": "set_state", "size": len(state)}, [state])


class _Viewer(_Proxy, Viewer):
    def render(self, view: Any) -> Any:
        reply, _ = self._ask({"do": "render", "view": facts(view)}, asked=partial(answer, view))
        if "scene" not in reply:
            return None if "other" not in reply else _stand_in(reply["other"])
        try:
            return Scene.model_validate(reply["scene"])
        except ValidationError as exc:
            fix = "report this to the component's author"
            raise e.ChildError(f"its scene is none: {exc}", code="contract broken", fix=fix) from exc


_BASES: dict[str, type[_Proxy]] = {
    "source": _Source,
    "model": _Model,
    "simulator": _Simulator,
    "viewer": _Viewer,
}
_MAY_WRITE = {"listen": _listen, "version": _version, "get_state": _get_state, "set_state": _set_state}


def describe_isolated(offer: Offer, place: Place) -> dict[str, Any]:
    """What the code says of itself there, now: its manifest. Raises ``PluginError``, ``ChildError``."""
    found: dict[str, Any] = _ask_once(place, {"do": "describe", **_names(offer)})["component"]
    return found


@lru_cache(maxsize=256)
def load_isolated(offer: Offer, place: Place) -> type[Component]:
    """The proxy class of an offer of another environment. Raises ``PluginError`` as ``catalog.load`` does."""
    said = _ask_once(place, {"do": "describe", **_names(offer)})
    facts = said["component"]
    secrets = set(facts["secrets"])
    fields: dict[str, Any] = {
        n: (Secret | None if n in secrets else Any, Field(default=None, description=p.get("description")))
        for n, p in facts["params"].get("properties", {}).items()
    }
    given = {"place": place, "offer": offer}
    params = create_model("Params", __base__=_Asked, **fields)
    for name, value in given.items():
        setattr(params, name, value)
    plain = (
        "id",
        "title",
        "stochastic",
        "deterministic",
        "dynamic",
        "processes",
        "hosts",
        "live",
        "validity",
    )
    content: dict[str, Any] = {n: facts[n] for n in (*plain, "tolerances", "resources")}
    for side in ("inputs", "outputs"):
        content[side] = {n: port_from_dict(p) for n, p in facts[side].items()}
    content |= {n: _MAY_WRITE[n] for n in said["writes"]}
    content |= {"process": said["process"], "step_default": said["step_default"], "Params": params, **given}
    content["__doc__"] = facts["description"]
    found: type[Component] = type(facts["id"], (_BASES[offer.kind],), content)
    return found
