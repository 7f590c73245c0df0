"""A component in a process of its own, seen from here as a class like any other.

The other side is ``ldt_core.child``, run by the Python of another environment under a keeper. Both speak over a pair
of connected Unix sockets, one message per call each way. A proxy class is made from what the other side says of the
component; the runner drives it as it drives a class that was imported. Whatever becomes of the process, it is told
in the contract's words, with its last words, and nothing is left running.
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import socket
import struct
import subprocess
import threading
import time
import uuid
import weakref
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple, NoReturn

import numpy as np
from pydantic import ConfigDict, PrivateAttr, ValidationError, create_model
from pydantic_core import InitErrorDetails, PydanticCustomError

from . import errors as e
from .catalog import Offer
from .environments import Environment, environment_variables
from .identity import core_digest
from .interfaces import (
    CONTRACT,
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
from .ipc import Channel, Garbled, Packer, Unpacker
from .tables import Tables, port_from_dict

_log = logging.getLogger("ldt.isolation")

PROTOCOL = 1
_PATIENCE = 5.0
"""Seconds that a process has to end after it was asked to; its keeper kills what does not."""
_TICK = struct.pack("@ll", 0, 100_000)
_KEPT_WORDS = 4096
_LOUDEST = 1 << 20
"""Bytes of one process's output that are handed on to the log."""


class Place(NamedTuple):
    """Where a component runs: its environment and the limits of its process (bytes, microseconds; None: no limit)."""

    environment: Environment
    memory: int | None = None
    timeout: int | None = None


# -- the process ---------------------------------------------------------------------------------------


class Process:
    """One process of another environment, and the conversation with it. It serves one component at a time.

    The thread that starts it must live as long as it does: the kernel ends it with that.
    """

    def __init__(self, environment: Environment, memory: int | None) -> None:
        self.key = (environment.python, memory)
        self.memory = memory
        ours, theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TICK)
        self.channel = Channel(ours)
        self.busy = False
        self.told = ""
        self._tail: deque[bytes] = deque()
        words = [environment.python, "-P", "-m", "ldt_core.child", str(os.getpid()), str(memory or 0)]
        try:
            with theirs:
                self._process = subprocess.Popen(
                    words,
                    stdin=theirs.fileno(),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    env=environment_variables(),
                    start_new_session=True,
                )
        except OSError as exc:
            ours.close()
            raise e.PluginError(
                f"the environment {environment.folder} cannot be used: {exc.strerror or exc}",
                code="import failed",
                fix="remove that folder; it is made again",
            ) from exc
        self._listener = threading.Thread(target=self._listen, name="ldt-words", daemon=True)
        self._listener.start()
        self.pid = 0
        self._greet(environment)

    def _greet(self, environment: Environment) -> None:
        reply, _ = self.ask({"do": "hello"}, timeout=None)
        self.pid = reply["pid"]
        ours = {"contract": CONTRACT, "protocol": PROTOCOL, "core": core_digest()}
        theirs = {k: reply.get(k) for k in ours}
        if theirs != ours:
            self.end()
            raise e.PluginError(
                f"the environment {environment.folder} has another ldt-core: {theirs}, here {ours}",
                code="contract version",
                fix="remove that folder; it is made again",
            )

    def ask(
        self,
        head: Mapping[str, Any],
        blocks: list[Any] | None = None,
        *,
        timeout: int | None,
        context: Context | None = None,
    ) -> tuple[dict[str, Any], Any]:
        """The answer to one request. Raises ``ChildError`` where none comes, or none that can be read."""
        self.busy = True
        try:
            self.channel.say(head, blocks or ())
        except OSError:
            self._fail()
        last = None if timeout is None else time.monotonic() + timeout / 1e6
        cancelled: float | None = None
        while True:
            try:
                reply, body = self.channel.hear()
            except BlockingIOError:
                now = time.monotonic()
                if last is not None and now > last:
                    self._give_up(head["do"], timeout or 0)
                if cancelled is not None and now > cancelled + _PATIENCE:
                    self.end()
                    raise e.Cancelled("the run was cancelled", code="cancelled") from None
                if cancelled is None and context is not None and context.cancelled():
                    cancelled = now
                    with suppress(OSError):
                        self.channel.say({"do": "cancel"})
                continue
            except (EOFError, OSError):
                self._fail()
            except Garbled as exc:
                self._spoil(f"its process said what is no message: {exc.args[0]!r}")
            if "log" in reply:
                (_log if context is None else context.log).log(reply["level"], "%s", reply["log"])
            elif "progress" in reply:
                if context is not None:
                    context.progress(reply["progress"])
            else:
                self.busy = False
                return reply, body

    # -- how it ends --

    def end(self) -> int:
        """End it with all that it has started; its exit code."""
        with suppress(OSError):
            if not self.busy:
                self.channel.say({"do": "end"})
            self.channel.socket.close()
        process = self._process
        for request in (None if not self.busy else process.terminate, process.terminate, process.kill):
            if request is not None and process.poll() is None:
                request()
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=_PATIENCE)
                break
        self.busy = True  # nobody else may use it
        self._listener.join(timeout=1.0)
        return process.wait()

    def _fail(self) -> NoReturn:
        """It has gone: say how, and what it said last."""
        self.busy = True
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=_PATIENCE)  # its keeper clears up first
        code = self.end()
        number = code - 128 if code > 128 else -code
        signals = {s.value: s.name for s in signal.Signals}
        how = f"was killed by {signals[number]}" if number in signals else f"ended with exit code {code}"
        words = self.last_words()
        short_of_memory = any(
            w in words for w in ("bad_alloc", "MemoryError", "annot allocate memory", "realloc of size")
        )
        if self.memory is not None and (short_of_memory or number == signal.SIGKILL):
            raise self._out_of_memory(words)
        fix = "report this to the component's author; the log holds what it said"
        if number == signal.SIGKILL:
            fix = "if memory ran out, run with fewer workers: --workers 1"
        raise e.ChildError(f"its process {how}. Last words: {words or 'none'}", code="killed", fix=fix)

    def _out_of_memory(self, words: str) -> e.ChildError:
        size = f" of {self.memory / 2**20:g} MiB" if self.memory else ""
        return e.ChildError(
            f"out of memory: its process reached its limit{size}. Last words: {words or 'none'}",
            code="out of memory",
            fix="raise memory: under its resources: in the twin file, or give it less to do",
        )

    def _give_up(self, what: str, timeout: int) -> NoReturn:
        self.end()
        raise e.ChildError(
            f"{what} took longer than {timeout / 1e6:g} s; its process was ended. "
            f"Last words: {self.last_words() or 'none'}",
            code="timed out",
            fix="raise timeout: under its resources: in the twin file, or report this to the component's author",
        )

    def _spoil(self, what: str) -> NoReturn:
        self.end()
        raise e.ChildError(
            f"{what}. Last words: {self.last_words() or 'none'}",
            code="contract broken",
            fix="report this to the component's author: nothing but ldt_core may use the process's socket",
        )

    # -- what it prints --

    def _listen(self) -> None:
        """Take what it prints, however much that is: the end is kept, the beginning handed on to our own log."""
        assert self._process.stdout is not None
        handed, kept = 0, 0
        with self._process.stdout as stream:
            while chunk := os.read(stream.fileno(), 1 << 16):
                if handed < _LOUDEST:
                    with suppress(OSError):
                        os.write(2, chunk)
                        handed += len(chunk)
                        if handed >= _LOUDEST:
                            os.write(2, b"\n(the rest of what this process prints is left out)\n")
                self._tail.append(chunk[-_KEPT_WORDS:])
                kept += len(self._tail[-1])
                while kept - len(self._tail[0]) >= _KEPT_WORDS:
                    kept -= len(self._tail.popleft())

    def last_words(self) -> str:
        text = b"".join(self._tail)[-_KEPT_WORDS:].decode("utf-8", "replace")
        lines = [line for line in text.splitlines() if line.strip()][-5:]
        return "\n".join("".join(c if c.isprintable() else " " for c in line)[-500:] for line in lines)


_idle: dict[tuple[str, int | None], list[Process]] = {}


def _borrow(place: Place) -> Process:
    """A process at rest, or a new one."""
    waiting = _idle.get((place.environment.python, place.memory), [])
    while waiting:
        process = waiting.pop()
        if process._process.poll() is None:
            return process
        process.end()
    return Process(place.environment, place.memory)


def _give_back(process: Process, fresh: bool = False) -> None:
    if process.busy or fresh:
        process.end()
    else:
        _idle.setdefault(process.key, []).append(process)


@atexit.register
def end_idle() -> None:
    """End the processes that are at rest."""
    for waiting in _idle.values():
        while waiting:
            waiting.pop().end()


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
    process = _borrow(place)
    try:
        reply, _ = process.ask(head, timeout=place.timeout)
        _raise_said(reply, process)
        return reply
    finally:
        _give_back(process)


def _raise_said(reply: Mapping[str, Any], process: Process) -> None:
    """Raise what the other side raised."""
    error = reply.get("error")
    if error is None:
        return
    kind = getattr(e, error.pop("class"), e.ChildError)
    if kind is MemoryError or error.get("code") == "out of memory":
        raise process._out_of_memory(error["what"])
    raise kind(error.pop("what"), **error)


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
        self._process = _borrow(self.place)
        fresh = self.process == "fresh"
        self._close = weakref.finalize(self, _give_back, self._process, fresh)
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

    def _ask(self, head: dict[str, Any], blocks: list[Any] | None = None) -> tuple[dict[str, Any], Any]:
        context = self.context
        head["window"] = context.window
        if context.flags != self._flags:  # a restored state has brought others
            head["flags"] = self._flags = list(context.flags)
        if (context._rng is not None or self._rng is not None) and context.rng_state != self._rng:
            head["rng"] = self._rng = context.rng_state
        reply, body = self._process.ask(head, blocks, timeout=self._timeout, context=context)
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
            self._process._spoil(f"its tables cannot be read ({type(exc).__name__}: {exc})")
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
        raise e.Unsupported(f"'{self.id}' is a viewer; viewers run in this environment")


_BASES: dict[str, type[_Proxy]] = {
    "source": _Source,
    "model": _Model,
    "simulator": _Simulator,
    "viewer": _Viewer,
}
_MAY_WRITE = {"listen": _listen, "version": _version, "get_state": _get_state, "set_state": _set_state}


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
