"""Serves one instance of a component at a time to the process that started this one; see ``child``."""

from __future__ import annotations

import json
import logging
import os
import resource
import socket
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from .catalog import installed, load
from .engines.keeper import Ended
from .errors import ChildError, InputError, LdtError, PluginError
from .faults import MAY_RAISE, described
from .identity import core_digest
from .interfaces import CONTRACT, Component, Context, DataSource, Flag, Query, Simulator, Step, Window
from .ipc import Channel, Packer, Unpacker
from .manifest import describe, render
from .process import PROTOCOL
from .scene import Scene
from .tables import Grid, Table, check, port_as_dict
from .tasks import canonical_params
from .viewing import FarView

_OFTEN = 0.1
"""Seconds between two reports of progress."""


class Seat:
    """One instance, and what both sides know of its conversation."""

    def __init__(self) -> None:
        self.instance: Component | None = None
        self.packer, self.unpacker = Packer(), Unpacker()
        self.outputs: Any = None
        self.batches: Any = None
        self.dropped: dict[str, list[str]] = {}
        self.flags: list[Any] = []
        self.rng: Any = None


class Server:
    """Answers requests. Between two of them nothing is said but what the component logs.

    ``seats`` holds the instances by the number that the other side gives them; as a rule there is one.
    """

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.channel = Channel(connection)
        self.lock = threading.Lock()
        self.seats: dict[int, Seat] = {}
        self.seat = Seat()
        self.told = 0.0
        self.stopped = False
        self._log()

    def serve(self) -> None:
        while True:
            head, body = self.channel.hear()
            do = head["do"]
            if do == "end":
                return
            if do == "cancel":
                continue  # it came too late
            blocks: list[Any] = []
            self.stopped = False
            self.seat = self.seats.get(head.get("seat", 0)) or Seat()
            try:
                reply = getattr(self, f"do_{do}")(head, body, blocks)
            except Ended:
                raise
            except BaseException as exc:
                blocks.clear()
                reply = {"error": self.described(exc)}
            if self.seat.instance is not None:
                self.tell_what_moved(self.seat.instance.context, reply)
            with self.lock:
                self.channel.say(reply, blocks)

    def tell_what_moved(self, context: Context, reply: dict[str, Any]) -> None:
        """Flags and the random generator are the context's, whose other half is the parent's."""
        if context.flags != self.seat.flags:
            self.seat.flags = list(context.flags)
            reply["flags"] = [list(flag) for flag in self.seat.flags]
        if (state := context.rng_state) != self.seat.rng:
            self.seat.rng = reply["rng"] = state

    # -- without an instance --

    def do_hello(self, head: Any, body: Any, blocks: Any) -> dict[str, Any]:
        return {"pid": os.getpid(), "contract": CONTRACT, "protocol": PROTOCOL, "core": core_digest()}

    def component(self, head: Any) -> Any:
        catalog, wanted = installed(), (head["id"], head["package"])
        asked = [o for o in catalog.offers if (o.id, o.package) == wanted]
        return load(asked[0] if asked else catalog.find(head["id"]))

    def do_describe(self, head: Any, body: Any, blocks: Any) -> dict[str, Any]:
        found = self.component(head)
        may = {n: getattr(b, n) for b in (DataSource, Simulator) for n in _OPTIONAL if hasattr(b, n)}
        writes = [n for n, plain in may.items() if getattr(found, n, plain) is not plain]
        return {
            "component": json.loads(render(describe(found))),
            "writes": writes,
            "process": found.process,
            "step_default": found.step_default,
        }

    def read_params(self, head: Any) -> Any:
        base = head["base"]
        context = {"base": None if base is None else Path(base)}
        return self.component(head).Params.model_validate(dict(head["raw"]), context=context)

    def do_params(self, head: Any, body: Any, blocks: Any) -> dict[str, Any]:
        try:
            params = self.read_params(head)
        except ValidationError as exc:
            return {"refused": [_plain_item(i) for i in exc.errors(include_url=False)]}
        mark = head["mark"]
        return {"params": canonical_params(params, lambda file: {mark: [str(p) for p in file.files()]})}

    # -- the instance --

    def do_make(self, head: Any, body: Any, blocks: Any) -> dict[str, Any]:
        self.seat = self.seats[head["seat"]] = Seat()
        c = head["context"]
        context = Context(
            start=np.datetime64(c["start"], "us"),
            window=Window(*c["window"]),
            seed=c["seed"],
            crs=c["crs"],
            bbox=None if c["bbox"] is None else tuple(c["bbox"]),
            scratch=Path(c["scratch"]),
            cache=Path(c["cache"]),
            log=logging.getLogger(c["log"]),
            progress=self.progress,
            cancelled=self.cancelled,
        )
        self.seat.instance = self.component(head)(self.read_params(head), context)
        return {}

    def at_work(self, head: Any) -> Any:
        if self.seat.instance is None:
            raise RuntimeError("no component has been made")
        context = self.seat.instance.context
        context.window = Window(*head["window"])
        if "flags" in head:
            self.seat.flags = context.flags[:] = [Flag(*flag) for flag in head["flags"]]
        if "rng" in head:
            self.seat.rng = context.rng_state = head["rng"]
        return self.seat.instance

    def do_ports(self, head: Any, body: Any, blocks: Any) -> dict[str, Any]:
        sides = self.at_work(head).ports()
        return {"ports": [{n: port_as_dict(p) for n, p in side.items()} for side in sides]}

    def do_capabilities(self, head: Any, body: Any, blocks: Any) -> dict[str, Any]:
        return {"capabilities": sorted(self.at_work(head).capabilities())}

    def do_watch(self, head: Any, body: Any, blocks: Any) -> dict[str, Any]:
        self.at_work(head)
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return {"memory": pages * resource.getpagesize(), "dropped": self.seat.dropped}

    def do_finalize(self, head: Any, body: Any, blocks: Any) -> dict[str, Any]:
        try:
            self.at_work(head).finalize()
        finally:
            if not head.get("keep"):
                self.seats.pop(head["seat"], None)
                self.seat = Seat()
        return {}

    def do_initialize(self, head: Any, body: Any, blocks: list[Any]) -> dict[str, Any]:
        inputs = self.seat.unpacker.unpack(head["tables"], body)
        return self.packed(self.at_work(head).initialize(inputs), blocks)

    def do_compute(self, head: Any, body: Any, blocks: list[Any]) -> dict[str, Any]:
        inputs = self.seat.unpacker.unpack(head["tables"], body)
        return self.packed(self.at_work(head).compute(inputs), blocks)

    def do_render(self, head: Any, body: Any, blocks: list[Any]) -> dict[str, Any]:
        found = self.at_work(head).render(FarView(head["view"], self.ask))
        if not isinstance(found, Scene):
            return {} if found is None else {"other": type(found).__name__}
        return {"scene": found.model_dump(mode="json")}

    def ask(self, head: dict[str, Any], blocks: list[Any]) -> tuple[dict[str, Any], Any]:
        """What only the other side knows."""
        with self.lock:
            self.channel.say(head, blocks)
        while True:
            reply, body = self.channel.hear()
            if reply.get("do") != "cancel":
                return reply, body
            self.stopped = True

    def do_step(self, head: Any, body: Any, blocks: list[Any]) -> dict[str, Any]:
        inputs = self.seat.unpacker.unpack(head["tables"], body)
        out = self.at_work(head).step(inputs, head["until"])
        if type(out) is not Step:
            return self.packed(out, blocks)
        return {**self.packed(out.tables, blocks), "reached": _plain_number(out.reached)}

    def do_get_state(self, head: Any, body: Any, blocks: list[Any]) -> dict[str, Any]:
        state = self.at_work(head).get_state()
        if not isinstance(state, (bytes, bytearray, memoryview)):
            return {"other": type(state).__name__}
        blocks.append(bytes(state))
        return {"size": len(blocks[0])}

    def do_set_state(self, head: Any, body: Any, blocks: Any) -> dict[str, Any]:
        self.at_work(head).set_state(bytes(body[: head["size"]]))
        return {}

    # -- sources --

    def do_version(self, head: Any, body: Any, blocks: Any) -> dict[str, Any]:
        said = self.at_work(head).version(_query(head["query"]))
        return {"version": None if said is None else str(said)}

    def do_read(self, head: Any, body: Any, blocks: list[Any]) -> dict[str, Any]:
        answer = self.at_work(head).read(_query(head["query"]))
        if isinstance(answer, Mapping):
            return {**self.packed(answer, blocks), "single": True}
        self.seat.batches = iter(answer)
        return self.do_next(head, body, blocks)

    def do_listen(self, head: Any, body: Any, blocks: list[Any]) -> dict[str, Any]:
        self.seat.batches = iter(self.at_work(head).listen(_query(head["query"]), head["cursor"]))
        return self.do_next(head, body, blocks)

    def do_next(self, head: Any, body: Any, blocks: list[Any]) -> dict[str, Any]:
        self.at_work(head)
        try:
            batch = next(self.seat.batches)
        except StopIteration:
            return {"end": True}
        if isinstance(batch, tuple) and len(batch) == 2:
            return {**self.packed(batch[0], blocks), "cursor": batch[1]}
        return self.packed(batch, blocks) or {"other": "NoneType"}

    # -- answers --

    def packed(self, out: Any, blocks: list[Any]) -> dict[str, Any]:
        """Tables as the ports promise them; anything else by the name of its type, for the runner to judge."""
        if out is None:
            return {}
        if not isinstance(out, Mapping):
            return {"other": type(out).__name__}
        if self.seat.outputs is None:
            assert self.seat.instance is not None
            self.seat.outputs = self.seat.instance.ports()[1]
        found: dict[str, Table | Grid] = {}
        odd: dict[str, str] = {}
        for name, item in out.items():
            port = self.seat.outputs.get(name)
            if type(item) is Table and port is not None:
                wanted = [c for c in item if c in port.columns]
                if len(wanted) != len(item._columns):
                    self.seat.dropped[name] = [c for c in item if c not in port.columns]
                    item = item.select(*wanted)
                found[name] = item
            elif type(item) is Grid and port is not None:
                found[name] = item
            else:
                odd[str(name)] = type(item).__name__
        try:
            heads = self.seat.packer.pack(found, self.seat.outputs, blocks)
        except InputError as exc:
            refused = exc
            try:
                for name, item in found.items():
                    check(item, self.seat.outputs[name], name)  # which says it in the words of the port
            except InputError as better:
                refused = better
            fix = "report this to the component's author"
            raise ChildError(refused.what, code="contract broken", where=refused.where, fix=fix) from exc
        return {"tables": heads, "odd": odd} if odd else {"tables": heads}

    def described(self, exc: BaseException) -> dict[str, Any]:
        """An error in the contract's words; its traceback is for the log."""
        if isinstance(exc, (*MAY_RAISE, PluginError)):
            ours = next(k for k in type(exc).__mro__ if k.__module__ == LdtError.__module__)
            return {
                "class": ours.__name__,
                "what": exc.what,
                "code": exc.code,
                "where": exc.where,
                "fix": exc.fix,
            }
        logging.getLogger("ldt").error("in a process of its own", exc_info=exc)
        if isinstance(exc, MemoryError):
            return {"class": "ChildError", "what": str(exc), "code": "out of memory", "where": "", "fix": ""}
        fault = described(exc)
        return {"class": "ChildError", "what": fault, "code": "component raised", "where": "", "fix": _REPORT}

    def progress(self, share: float) -> None:
        moment = time.monotonic()
        if moment - self.told >= _OFTEN:
            self.told = moment
            with self.lock:
                self.channel.say({"progress": float(share)})

    def cancelled(self) -> bool:
        """Whether the parent has said something while we work: unasked it says nothing else than cancel."""
        if self.stopped:
            return True
        try:
            self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        return True

    def _log(self) -> None:
        say, lock = self.channel.say, self.lock

        class Handler(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                text = self.format(record)[:8000]
                with lock:
                    say({"log": text, "level": record.levelno})

        logging.basicConfig(level=logging.INFO, handlers=[Handler()], format="%(message)s")


_OPTIONAL = ("listen", "version", "get_state", "set_state")
_REPORT = "report this to the component's author; the log holds the whole traceback"


def _plain_item(item: Any) -> dict[str, Any]:
    """One of pydantic's errors as JSON."""
    given = item["input"]
    plain = given is None or isinstance(given, (str, int, float))
    said = str(item.get("ctx", {}).get("error", ""))
    return {
        "type": item["type"],
        "loc": list(item["loc"]),
        "msg": item["msg"],
        "input": given if plain else [type(given).__name__],
        "error": said,
    }


def _plain_number(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    return value if value is None or isinstance(value, (int, float, str)) else repr(value)


def _query(said: dict[str, Any]) -> Query:
    found: dict[str, Any] = {
        n: v if v is None else tuple(v) for n, v in said.items() if n not in ("start", "end")
    }
    found |= {n: None if said[n] is None else np.datetime64(said[n], "us") for n in ("start", "end")}
    return Query(**found)
