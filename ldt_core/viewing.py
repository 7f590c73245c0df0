"""A view across two processes: the viewer works in one, what it looks at is in the other and is asked for.

``facts`` is what goes there at once, ``FarView`` what the viewer is given there, ``answer`` what is done here with what it
asks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .errors import LdtError, NotFound
from .interfaces import Flag, Info, View
from .ipc import Packer, Unpacker
from .scene import DataRef, Kpi, RunRef
from .tables import Port, Table, port_as_dict, port_from_dict

Message = tuple[dict[str, Any], Any]
_PLAIN = ("title", "crs", "start", "end", "zone", "locale", "audience", "medium", "budget")
_TABLES = ("values", "paired", "series", "places")
_ASKED = (*_TABLES, "info", "credits", "synthetic", "flags", "publish", "publish_image")


def facts(view: View) -> dict[str, Any]:
    """All of a view but what is asked for, as JSON."""
    return {
        **{name: getattr(view, name) for name in _PLAIN},
        "bounds": None if view.bounds is None else list(view.bounds),
        "show": list(view.show),
        "runs": [run.model_dump(mode="json") for run in view.runs],
        "kpis": [kpi.model_dump(mode="json") for kpi in view.kpis],
    }


def answer(view: View, head: Mapping[str, Any], body: Any) -> tuple[dict[str, Any], list[Any]]:
    """What ``view`` says to what a ``FarView`` asks: the head and blocks of a message."""
    name, arguments, blocks = head["asks"], list(head["arguments"]), list[Any]()
    if name not in _ASKED:
        raise NotFound(f"a view has no '{name}'", where="view")
    named: dict[str, Any] = {}
    if name == "publish":
        (table,) = Unpacker().unpack(head["tables"], body).values()
        port = port_from_dict(head["port"])
        arguments, named = [*arguments, table], {"port": port, "source": head["source"], "crs": head["crs"]}
    elif name == "publish_image":
        arguments = [arguments[0], bytes(body[: head["size"]]), arguments[1]]
    try:
        found = getattr(view, name)(*arguments, **named)
    except LdtError as exc:
        said = {"what": exc.what, "code": exc.code, "where": exc.where, "fix": exc.fix}
        return {"refused": {"class": type(exc).__name__, **said}}, []
    except (TypeError, ValueError, LookupError) as exc:  # arguments that are none
        what = f"view.{name}: {type(exc).__name__}: {exc}"
        return {"refused": {"class": "ChildError", "what": what, "code": "component raised"}}, []
    if isinstance(found, Table):
        return {"tables": Packer().pack({name: found}, {}, blocks)}, blocks
    if isinstance(found, DataRef):
        return {"value": found.model_dump(mode="json")}, []
    return {"value": list(found)}, []


class FarView(View):
    """A view whose runs lie in another process. ``ask`` takes a message there and brings back its answer."""

    def __init__(self, said: Mapping[str, Any], ask: Callable[[dict[str, Any], list[Any]], Message]) -> None:
        for name in _PLAIN:
            setattr(self, name, said[name])
        self.bounds = None if said["bounds"] is None else tuple(said["bounds"])
        self.show = list(said["show"])
        self.runs = [RunRef.model_validate(run) for run in said["runs"]]
        self.kpis = [Kpi.model_validate(kpi) for kpi in said["kpis"]]
        self._ask = ask

    def _call(self, name: str, *arguments: Any, blocks: list[Any] | None = None, **more: Any) -> Any:
        head, body = self._ask({"asks": name, "arguments": list(arguments), **more}, blocks or [])
        if "refused" in head:
            from . import errors

            error = dict(head["refused"])
            raise getattr(errors, error.pop("class"), LdtError)(error.pop("what"), **error)
        if "tables" in head:
            return Unpacker().unpack(head["tables"], body)[name]
        return head["value"]

    def info(self, ref: str) -> Info:
        return Info(*self._call("info", ref))

    def values(self, ref: str, run: str, time: str = "mean") -> Table:
        found: Table = self._call("values", ref, run, time)
        return found

    def paired(self, ref: str, run: str, time: str = "mean") -> Table:
        found: Table = self._call("paired", ref, run, time)
        return found

    def series(self, ref: str, run: str, space: str = "mean") -> Table:
        found: Table = self._call("series", ref, run, space)
        return found

    def places(self, ref: str, run: str | None = None) -> Table:
        found: Table = self._call("places", ref, run)
        return found

    def credits(self, ref: str) -> list[str]:
        return list(self._call("credits", ref))

    def synthetic(self, ref: str) -> list[str]:
        return list(self._call("synthetic", ref))

    def flags(self, run: str) -> list[Flag]:
        return [Flag(*flag) for flag in self._call("flags", run)]

    def publish(
        self, id: str, table: Table, *, port: Port, source: Any = (), crs: str | None = None
    ) -> DataRef:
        blocks: list[Any] = []
        tables = Packer().pack({id: table}, {id: port}, blocks)
        more = {"tables": tables, "port": port_as_dict(port), "source": list(source), "crs": crs}
        return DataRef.model_validate(self._call("publish", id, blocks=blocks, **more))

    def publish_image(self, id: str, content: bytes, media: str) -> DataRef:
        found = self._call("publish_image", id, media, blocks=[bytes(content)], size=len(content))
        return DataRef.model_validate(found)
