"""Stepping: a simulator held by the server between requests.

A step carries a number ``seq``, one higher each time. The same number again gives the same answer and steps
nothing, so that a client whose connection dropped may ask again. Each session has one thread of its own,
in which all of its component's code runs.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import struct
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

from ..errors import InputError, Unsupported
from ..interfaces import Simulator, Step, Window
from ..tables import Checker, Seen, Tables
from .messages import Memory
from .problems import Problem, contained
from .served import Served, _typed

T = TypeVar("T")
_STATE = b"ldt state 1\n"
_SIZE = struct.Struct("<I")


@dataclass(frozen=True)
class Answer:
    """What a request gave: a head, tables under ``outputs``, or the error instead."""

    head: Mapping[str, Any] = field(default_factory=dict)
    outputs: Tables = field(default_factory=dict)
    error: BaseException | None = None


class Session:
    """One simulator at work."""

    def __init__(self, served: Served, params: Any, context: Any) -> None:
        self.id = uuid.uuid4().hex
        self.served = served
        self.used = time.monotonic()
        self.lock = asyncio.Lock()
        self.cancelled = threading.Event()
        self.busy = 0
        self.seq = 0
        self.request = b""
        self.answer = Answer()
        self.broken = False
        self._scratch = Path(tempfile.mkdtemp(prefix="ldt-session-"))
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ldt-session")
        made = served.params(params)
        self._context = served.context(context, self.cancelled.is_set, self._scratch)
        self._params = made
        self._component: Simulator | None = None
        self.memory = Memory()
        self._takers: dict[str, Checker] = {}
        self._givers: dict[str, Checker] = {}
        self.inputs: Mapping[str, Any] = {}
        self.outputs: Mapping[str, Any] = {}

    async def call(self, work: Callable[[], T]) -> T:
        """Run code of the component in the session's thread."""
        self.busy += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, contained, work)
        finally:
            self.busy -= 1
            self.used = time.monotonic()

    # -- in the session's thread --

    def build(self) -> None:
        component = cast(Simulator, self.served.new(self._params, self._context))
        self._component = component
        self.inputs, self.outputs = component.ports()
        seen = Seen()
        self._takers = {n: Checker(p, n, seen) for n, p in self.inputs.items()}
        self._givers = {n: Checker(p, n, seen) for n, p in self.outputs.items()}

    def start(self, inputs: Tables) -> Answer:
        """Raises what ``initialize`` raises, and ``InputError`` for tables that the ports do not take."""
        assert self._component is not None
        given = self._taken(inputs, "start")
        found = self._component.initialize(given) or {}
        return Answer({"session": self.id, **self._flags()}, self._given(found, None))

    def step(self, start: int, until: int, inputs: Tables) -> Answer:
        assert self._component is not None
        given = self._taken(inputs, "step")
        self._context.window = Window(start, until)
        found = self._component.step(given, until)
        reached = until
        if isinstance(found, Step):
            found, reached = found
        return Answer({"reached": int(reached), **self._flags()}, self._given(found, "step"))

    def _taken(self, inputs: Tables, at: str) -> dict[str, Any]:
        wanted = {n: p for n, p in self.inputs.items() if p.at == at}
        missing = [n for n, p in wanted.items() if n not in inputs and not p.optional]
        odd = [n for n in inputs if n not in wanted]
        if missing or odd:
            what = f"the input '{missing[0]}' is missing" if missing else f"'{odd[0]}' is no input of a {at}"
            raise Problem(400, "inputs do not fit", what, type="invalid-parameter-value")
        return {n: self._takers[n](t) for n, t in inputs.items()}

    def _given(self, found: Tables, at: str | None) -> dict[str, Any]:
        ports = {n: p for n, p in self.outputs.items() if at in (None, p.at)}
        return {n: self._givers[n](found[n]) for n in ports if at is not None or n in found}

    def _flags(self) -> dict[str, Any]:
        flags = self._context.flags
        return {"flags": [list(f) for f in flags]} if flags else {}

    def get_state(self) -> bytes:
        """The component's state and that of its random numbers."""
        assert self._component is not None
        if "state" not in self._component.capabilities():
            raise Unsupported(f"'{self.served.id}' does not give or take its state", code="Unsupported")
        own = bytes(self._component.get_state())
        head = json.dumps({"rng": self._context.rng_state}).encode()
        return _STATE + _SIZE.pack(len(head)) + head + own

    def set_state(self, state: bytes) -> None:
        assert self._component is not None
        if "state" not in self._component.capabilities():
            raise Unsupported(f"'{self.served.id}' does not give or take its state", code="Unsupported")
        at, before = len(_STATE) + _SIZE.size, self._context.rng_state
        try:
            if state[: len(_STATE)] != _STATE:
                raise ValueError("it does not begin as one")
            (size,) = _SIZE.unpack_from(state, len(_STATE))
            rng = json.loads(state[at : at + size])["rng"]
            self._context.rng_state = rng
        except (ValueError, KeyError, TypeError, struct.error) as exc:
            what = f"this is no state: {type(exc).__name__}: {exc}"
            raise InputError(
                what, code="state refused", where="state", fix="give one that came from here"
            ) from exc
        try:
            self._component.set_state(state[at + size :])
        except BaseException:
            self._context.rng_state = before  # what was refused has changed nothing
            raise

    def close(self) -> Future[None]:
        """Finalize in the session's thread, behind whatever still runs there."""
        self.cancelled.set()

        def end() -> None:
            try:
                if self._component is not None:
                    self._component.finalize()
            finally:
                shutil.rmtree(self._scratch, ignore_errors=True)

        ended = self._thread.submit(end)
        self._thread.shutdown(wait=False)
        return ended


class Sessions:
    """All sessions of a server; at most ``limit``, each closed after ``idle`` seconds without a request."""

    def __init__(self, limit: int = 64, idle: float = 3600.0) -> None:
        self.limit, self.idle = limit, idle
        self.open: dict[str, Session] = {}
        self._keys: dict[str, tuple[str, asyncio.Future[tuple[Session, Answer]]]] = {}

    def get(self, id: str) -> Session:
        found = self.open.get(id)
        if found is None:
            raise Problem(404, "no such session", f"there is no session {id}", type="urn:ldt:no-session")
        found.used = time.monotonic()
        return found

    async def create(
        self,
        served: Served,
        body: Mapping[str, Any],
        read: Callable[[Session], Tables],
        key: str,
        digest: str,
    ) -> tuple[Session, Answer]:
        """A new session, or for a key that was used the one made then."""
        if key and key in self._keys:
            known, future = self._keys[key]
            if known != digest:
                raise Problem(409, "key used", "this Idempotency-Key was used for another session")
            return await asyncio.shield(future)
        self.close_idle()
        if len(self.open) >= self.limit:
            raise Problem(429, "too many sessions", f"at most {self.limit} are open at once", Retry_After="5")
        task = asyncio.ensure_future(self._create(served, body, read))
        if key:
            self._keys[key] = (digest, task)
        try:
            return await asyncio.shield(task)
        except Exception:
            self._keys.pop(key, None)
            raise

    async def _create(
        self, served: Served, body: Mapping[str, Any], read: Callable[[Session], Tables]
    ) -> tuple[Session, Answer]:
        session = Session(served, body.get("params", {}), body.get("context", {}))
        self.open[session.id] = session
        try:
            await session.call(session.build)
            answer = await session.call(lambda: session.start(read(session)))
        except BaseException:
            self.close(session.id)
            raise
        return session, answer

    async def step(
        self, session: Session, body: Mapping[str, Any], tables: Callable[[], Tables], request: bytes
    ) -> Answer:
        """The answer to step ``seq``; the one given before where it is the last one again."""
        try:
            seq, start, until = (_typed(body.get(n), int) for n in ("seq", "start", "until"))
        except (TypeError, ValueError) as exc:
            what = f"seq, start and until are whole numbers: {exc}"
            raise Problem(400, "no step", what, type="invalid-parameter-value") from exc
        async with session.lock:
            if seq == session.seq and seq > 0:
                if request != session.request:
                    if session.broken:
                        raise _over()
                    raise Problem(409, "seq used", f"seq {seq} was another step")
                return session.answer
            if seq != session.seq + 1:
                raise Problem(409, "seq out of order", f"the next seq is {session.seq + 1}, not {seq}")
            if session.broken:
                raise _over()
            if not start < until:
                raise Problem(400, "no step", "until lies after start", type="invalid-parameter-value")
            given = tables()
            try:
                answer = await session.call(lambda: session.step(start, until, given))
            except Problem:
                raise  # the request was at fault: nothing was stepped
            except Exception as exc:
                answer, session.broken = Answer(error=exc), True
            session.seq, session.request, session.answer = seq, request, answer
            return answer

    def close(self, id: str) -> list[Future[None]]:
        session = self.open.pop(id, None)
        ending = [] if session is None else [session.close()]
        for key, (_, future) in list(self._keys.items()):
            if future.done() and (future.exception() is not None or future.result()[0].id == id):
                del self._keys[key]
        return ending

    def close_idle(self) -> None:
        now = time.monotonic()
        for id, session in list(self.open.items()):
            if not session.busy and now - session.used > self.idle:
                self.close(id)

    def close_all(self) -> list[Future[None]]:
        """What has begun to end."""
        return [ending for id in list(self.open) for ending in self.close(id)]


def _over() -> Problem:
    what = "an earlier step failed; make a new session"
    problem = Problem(409, "session failed", what)
    problem.more["ldt"] = {"class": "RemoteError", "code": "session lost", "what": what}
    return problem
