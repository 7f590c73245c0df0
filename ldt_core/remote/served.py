"""One local component as a server sees it: its manifest, its parameters, new instances on request."""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ValidationError

from ..catalog import Catalog, Offer, load
from ..errors import InputError, ParamError, PluginError
from ..identity import core_digest, lock_digest, package_digest
from ..interfaces import AnyPort, Component, Context, DataSource, Query, Viewer, Window
from ..manifest import describe, render
from ..tables import port_as_dict
from ..tasks import canonical_params, files_of
from ..wiring import canonical
from .json_tables import _instants
from .messages import ARROW, BUNDLE, JSON

RESERVED = {"params", "context", "step"}
"""Inputs of a process that are no ports."""


class Served:
    """A component class with the parameters that its owner has fixed.

    Parameters that name files can be fixed only: what a client writes opens no file of this machine.
    """

    def __init__(
        self,
        component: type[Component],
        fixed: Mapping[str, Any] | None = None,
        *,
        offer: Offer | None = None,
        base: Path | None = None,
        cache: Path | None = None,
        crs: str | None = None,
        bbox: tuple[float, float, float, float] | None = None,
    ) -> None:
        if issubclass(component, Viewer):
            raise PluginError(
                f"'{component.id}' is a viewer, and viewers are not served",
                code="not served",
                fix="serve sources, models and simulators",
            )
        self.component, self.fixed, self.offer, self.base = component, dict(fixed or {}), offer, base
        self.cache = cache or Path(tempfile.gettempdir())
        self.crs, self.bbox = crs or Context().crs, bbox
        self.id, self.kind = component.id, component.kind
        self.manifest = self._describe()
        taken = RESERVED & set(self.inputs)
        if taken:
            raise PluginError(
                f"'{self.id}' has an input port called {min(taken)}, which a process input is called too",
                code="not served",
                fix="rename the port",
            )

    def _describe(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(render(describe(self.component)))
        schema = content["params"]
        closed = set(self.fixed) | set(content["files"])
        schema["properties"] = {n: p for n, p in schema.get("properties", {}).items() if n not in closed}
        schema["required"] = [n for n in schema.get("required", []) if n not in closed]
        content["files"] = []
        try:
            inputs, outputs = self.ports(self.params({}))
            content["inputs"] = {n: port_as_dict(p) for n, p in inputs.items()}
            content["outputs"] = {n: port_as_dict(p) for n, p in outputs.items()}
            self.inputs, self.outputs = dict(inputs), dict(outputs)
        except (ParamError, InputError):  # it needs parameters to know its ports
            if not self.component.dynamic:
                raise
            self.inputs, self.outputs = dict(self.component.inputs), dict(self.component.outputs)
        content["dynamic"] = self.component.dynamic and bool(schema["properties"])
        content["step_default"] = self.component.step_default
        content["capabilities"] = [c for c in content["capabilities"] if c == "state"]
        content["media"] = [BUNDLE, ARROW, JSON]
        if self.offer is not None:
            content["distribution"], content["version"] = self.offer.distribution, self.offer.version
            content["digest"] = self._digest(self.offer)
        return content

    def _digest(self, offer: Offer) -> str:
        """Changes with the component's code, what it needs, and the parameters fixed here."""
        parts = [core_digest(), package_digest(offer.package), lock_digest(offer.distribution)]
        return hashlib.sha256("\n".join([*parts, canonical(self.fixed)]).encode()).hexdigest()

    # -- from what a client writes --

    def params(self, raw: Any) -> BaseModel:
        """Raises ``ParamError``."""
        if not isinstance(raw, Mapping):
            raise ParamError("params is an object of names and values", code="bad value")
        known = self.component.Params.model_fields
        for name in raw:
            if name in self.fixed or name not in known:
                why = "is fixed by this server" if name in self.fixed else "does not exist"
                raise ParamError(f"the parameter '{name}' {why}", code="unknown key", where=name)
        whole = {**self.fixed, **raw}
        try:
            found = self.component.Params.model_validate(whole, context={"base": self.base})
        except ValidationError as exc:
            items = [(".".join(map(str, i["loc"])), i["msg"]) for i in exc.errors(include_input=False)]
            said = "; ".join(f"{place}: {why}" for place, why in items)
            raise ParamError(said[:1000], code="bad value", where=items[0][0]) from None
        for name in raw:
            if any(files_of(getattr(found, name))):
                raise ParamError(
                    f"'{name}' names a file of the server, so its owner sets it",
                    code="bad value",
                    where=name,
                    fix="serve with --params",
                )
        return found

    def context(
        self, plain: Any, cancelled: Callable[[], bool] = bool, scratch: Path | None = None
    ) -> Context:
        """Raises ``InputError``."""
        if not isinstance(plain, Mapping):
            raise InputError("context is an object", code="shape", where="context")
        try:
            made = Context(
                cancelled=cancelled, cache=self.cache, log=logging.getLogger(f"ldt.component.{self.id}")
            )
            if plain.get("start") is not None:
                made.start = _instants([_typed(plain["start"], str)], "context.start")[0]
            if plain.get("window") is not None:
                start, end = (_typed(v, int) for v in plain["window"])
                made.window = Window(start, end)
            made.seed = _typed(plain.get("seed", 0), int)
            made.crs, made.bbox = _typed(plain.get("crs", self.crs), str), self.bbox
            if plain.get("rng") is not None:
                made.rng_state = plain["rng"]
            if plain.get("bbox") is not None:
                a, b, c, d = (float(_typed(v, int, float)) for v in plain["bbox"])
                made.bbox = (a, b, c, d)
        except (TypeError, ValueError) as exc:
            raise InputError(f"this context cannot be read: {exc}", code="shape", where="context") from exc
        if scratch is not None:
            made.scratch = scratch
        return made

    def new(self, params: BaseModel, context: Context) -> Component:
        return self.component(params, context)

    def ports(self, params: BaseModel) -> tuple[Mapping[str, AnyPort], Mapping[str, AnyPort]]:
        return self.new(params, Context(cache=self.cache)).ports()

    def version(self, source: DataSource, query: Query) -> str | None:
        """A text that changes with what ``read(query)`` gives; None where nobody knows."""
        own = type(source).version is not DataSource.version
        said = source.version(query) if own else ("files" if any(files_of(source.params)) else None)
        if said is None:
            return None
        params = canonical(canonical_params(source.params))
        return hashlib.sha256(f"{said}\n{params}\n{self.manifest.get('digest')}".encode()).hexdigest()


def _typed(value: Any, *kinds: type) -> Any:
    if type(value) not in kinds:
        raise TypeError(f"{value!r:.60} is no {kinds[0].__name__}")
    if kinds == (int,) and abs(value) >= 2**63:
        raise ValueError(f"{value} is too large")
    return value


def query_of(plain: Any) -> Query:
    """A query from its JSON. Raises ``InputError``."""
    if not isinstance(plain, Mapping):
        raise InputError("query is an object", code="shape", where="query")
    try:
        bbox = plain.get("bbox")
        a_box = None if bbox is None else tuple(float(_typed(v, int, float)) for v in bbox)
        if a_box is not None and len(a_box) != 4:
            raise ValueError("bbox has four numbers")
        times = {
            n: None if plain.get(n) is None else _instants([_typed(plain[n], str)], n)[0]
            for n in ("start", "end")
        }
        lists = {
            n: None if plain.get(n) is None else tuple(_typed(v, str) for v in plain[n])
            for n in ("outputs", "columns")
        }
    except (TypeError, ValueError) as exc:
        raise InputError(f"this query cannot be read: {exc}", code="shape", where="query") from exc
    return Query(bbox=a_box, **times, **lists)  # type: ignore[arg-type]


def find_served(catalog: Catalog, id: str, params: Mapping[str, Any], cache: Path, **place: Any) -> Served:
    """A component that is installed here. Raises ``PluginError``, ``ParamError``."""
    offer = catalog.find(id)
    return Served(load(offer), params, offer=offer, base=Path(), cache=cache / id, **place)


def instant_text(value: np.datetime64) -> str:
    return f"{np.datetime_as_string(value.astype('datetime64[us]'))}Z"
