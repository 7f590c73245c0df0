"""Remote components as classes like any other: the engine drives them as it drives what was imported."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, ClassVar
from urllib.parse import quote, urlencode

import jsonschema
import numpy as np
from pydantic import AfterValidator, PrivateAttr, create_model
from pydantic import Field as PydanticField
from referencing import Registry
from referencing.exceptions import Unresolvable

from ..catalog import Offer
from ..errors import LdtError, PluginError, RemoteError
from ..interfaces import (
    AnyPort,
    Component,
    Context,
    DataSource,
    Duration,
    Model,
    Params,
    Query,
    Secret,
    Simulator,
    Step,
    unit,
)
from ..ipc import from_stream
from ..tables import GridPort, Tables, port_from_dict
from .json_tables import from_json, loads
from .manifests import Access, access_of, digest, keep, parsed, read_manifest
from .messages import ARROW, ASIDE, BUNDLE, JSON, Memory, decode, encode
from .net import Client, Reply
from .served import instant_text

_MET: set[tuple[str, str]] = set()
"""(address, manifest) of the servers that this process has found to be what they were at check."""


class RemoteParams(Params):
    """Parameters as the manifest's JSON Schema has them; ``access`` says how the server is reached."""

    _access: Access = PrivateAttr(default_factory=Access)

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Any:
        raw = dict(obj)
        access = access_of(raw)
        raw.pop("access", None)
        found = super().model_validate(raw, **options)
        found._access = access
        return found

    def plain(self) -> dict[str, Any]:
        """What is sent: the parameters that were written, secrets in the clear."""
        found = {n: getattr(self, n) for n in sorted(self.model_fields_set)}
        return {n: v.get_secret_value() if isinstance(v, Secret) else v for n, v in found.items()}


class Remote(Component):
    """What the proxies share. ``address`` is the base of the server's paths, ``attempts`` how often it is asked where
    it does not answer (the first time counts)."""

    address: ClassVar[str]
    manifest: ClassVar[Mapping[str, Any]]
    attempts: ClassVar[int] = 4

    def __init__(self, params: Any = None, context: Context | None = None) -> None:
        super().__init__(params, context)
        self._access: Access = self.params._access
        self._link: Client | None = None

    @property
    def client(self) -> Client:
        if self._link is None:
            self._link = self._access.client(self.address, attempts=self.attempts)
        return self._link

    @property
    def bundles(self) -> bool:
        """Whether both sides can speak Arrow."""
        return self._access.arrow and BUNDLE in self.manifest["media"]

    def ports(self) -> tuple[Mapping[str, AnyPort], Mapping[str, AnyPort]]:
        return self._asked_ports()[:2]

    def capabilities(self) -> frozenset[str]:
        return frozenset(self._asked_ports()[2]) & {"state"}

    def try_params(self) -> None:
        """Let the server make an instance with these parameters, where it can. Raises what the component raises."""
        try:
            self._post("ports", {"params": self.params.plain(), "context": self._where()})
        except RemoteError as exc:
            if exc.code not in (
                "not there",
                "refused",
            ):  # only those whose ports depend on parameters must answer
                raise

    def _asked_ports(self) -> tuple[Mapping[str, AnyPort], Mapping[str, AnyPort], list[str]]:
        if not self.manifest.get("dynamic"):
            return self.inputs, self.outputs, list(self.manifest["capabilities"])
        found = self._post("ports", {"params": self.params.plain(), "context": self._where()})
        try:
            sides = [{n: port_from_dict(p) for n, p in found[s].items()} for s in ("inputs", "outputs")]
            return sides[0], sides[1], [str(c) for c in found.get("capabilities", [])]
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            raise self._odd(f"its ports cannot be read: {exc}") from exc

    # -- how it is asked --

    def _meet(self) -> None:
        """Refuse a server whose manifest is not the one that the twin was proved with."""
        kept = self.manifest["remote"]["said"]
        if (self.address, kept) in _MET:
            return
        found = read_manifest(self.address, self.client)
        if digest(found) != kept:
            keep(self.id, found)
            raise RemoteError(
                f"{self.address} is not what it was when the twin was proved",
                code="changed",
                fix="run again: its new manifest has been read",
            )
        _MET.add((self.address, kept))

    def _where(self) -> dict[str, Any]:
        c = self.context
        said = {"start": instant_text(c.start), "window": list(c.window), "seed": c.seed, "crs": c.crs}
        return {**said, "bbox": None if c.bbox is None else list(c.bbox)}

    def _ask(self, path: str, content: Mapping[str, Any]) -> Reply:
        return self.client.ask(
            "POST",
            f"{self.address}/{path}",
            body=json.dumps(content, allow_nan=False).encode(),
            media=JSON,
            repeat=True,
            cancelled=self.context.cancelled,
        )

    def _post(self, path: str, content: Mapping[str, Any]) -> dict[str, Any]:
        return parsed(self._ask(path, content), self.address)

    def _say(
        self,
        path: str,
        head: Mapping[str, Any],
        tables: Tables,
        inputs: Mapping[str, AnyPort],
        memory: Memory | None = None,
        **headers: str,
    ) -> Reply:
        media = BUNDLE if self.bundles else JSON
        return self.client.ask(
            "POST",
            f"{self.address}/{path}",
            body=encode(head, "inputs", tables, inputs, media, memory),
            media=media,
            accept=f"{BUNDLE}, {JSON};q=0.5" if self.bundles else JSON,
            headers={k.replace("_", "-"): v for k, v in headers.items()},
            repeat=True,
            cancelled=self.context.cancelled,
        )

    def _heard(
        self, reply: Reply, outputs: Mapping[str, AnyPort], memory: Memory | None = None
    ) -> tuple[dict[str, Any], Tables]:
        if reply.media not in (JSON, BUNDLE):
            raise RemoteError(
                f"{self.address} answered {reply.media or 'nothing'}",
                code="media type",
                fix=f"its owner lets it answer {JSON}",
            )
        try:
            head, tables = decode(reply.body, reply.media, "outputs", outputs, memory)
            self._take_flags(head)
        except (LdtError, TypeError, ValueError) as exc:
            raise self._odd(str(exc)) from exc
        return head, tables

    def _take_flags(self, head: Mapping[str, Any]) -> None:
        for name, value, code, text in head.get("flags", []):
            self.context.flag(str(name), float(value), str(text), str(code))

    def _take_aside(self, reply: Reply) -> None:
        if ASIDE.lower() in reply.headers:
            try:
                aside = json.loads(reply.headers[ASIDE.lower()])
                self._take_flags(aside)
                self.context.rng_state = aside.get("rng")
            except (TypeError, ValueError, KeyError, AttributeError) as exc:
                raise self._odd(f"its header {ASIDE} cannot be read: {exc}") from exc

    def _odd(self, what: str) -> RemoteError:
        return RemoteError(
            f"the answer of {self.address} cannot be used: {what}",
            code="contract broken",
            fix=f"report this to the owner of {self.address}",
        )

    def finalize(self) -> None:
        if self._link is not None:
            self._link.close()


class RemoteModel(Remote, Model):
    def compute(self, inputs: Tables) -> Tables:
        self._meet()
        ports_in, ports_out = self.ports()
        path = f"processes/{quote(self.manifest['remote']['id'], safe='')}/execution"
        told = {"params": self.params.plain(), "context": self._where()}
        if self.context.rng_state is not None:
            told["context"]["rng"] = self.context.rng_state
        if self.bundles:
            reply = self._say(path, told, inputs, ports_in)
            found = self._heard(reply, ports_out)[1]
            self._take_aside(reply)
            return found
        tables = loads(encode({}, "inputs", inputs, ports_in, JSON))["inputs"]
        values = {n: {"value": v} for n, v in {**told, **tables}.items()}
        reply = self._ask(path, {"inputs": values, "response": "document"})
        self._take_aside(reply)
        found = parsed(reply, self.address)
        try:
            return {n: from_json(found[n], p, n) for n, p in ports_out.items() if n in found}
        except LdtError as exc:
            raise self._odd(str(exc)) from exc


class RemoteSimulator(Remote, Simulator):
    def __init__(self, params: Any = None, context: Context | None = None) -> None:
        super().__init__(params, context)
        self._session = ""
        self._seq = 0
        self._memory = Memory()

    def initialize(self, inputs: Tables) -> Tables:
        self._meet()
        self._end_session()
        self._in, self._out = self.ports()
        told = {"params": self.params.plain(), "context": self._where()}
        reply = self._say("sessions", told, inputs, self._in, Idempotency_Key=uuid.uuid4().hex)
        head, tables = self._heard(reply, self._out)
        if not isinstance(head.get("session"), str):
            raise self._odd("it made a session without a name")
        self._session, self._seq = f"sessions/{quote(head['session'], safe='')}", 0
        return tables

    def step(self, inputs: Tables, until: int) -> Tables | Step:
        told = {"seq": self._seq + 1, "start": self.context.window.start, "until": until}
        with self._lost():
            reply = self._say(f"{self._session}/step", told, inputs, self._in, self._memory)
        self._seq += 1  # what was refused was no step
        head, tables = self._heard(reply, self._out, self._memory)
        reached = head.get("reached", until)
        return tables if reached == until else Step(tables, reached)

    def get_state(self) -> bytes:
        with self._lost():
            return bytes(self.client.ask("GET", f"{self.address}/{self._session}/state", accept="*/*").body)

    def set_state(self, state: bytes) -> None:
        media = "application/octet-stream"
        with self._lost():
            self.client.ask("PUT", f"{self.address}/{self._session}/state", body=state, media=media)

    def _lost(self) -> Any:
        return _Lost(self.address)

    def finalize(self) -> None:
        self._end_session()
        super().finalize()

    def _end_session(self) -> None:
        if self._session:
            with suppress(LdtError):
                self.client.ask("DELETE", f"{self.address}/{self._session}", good=(200, 204, 404))
            self._session = ""


class _Lost:
    """Tells a session that has gone from what the component says."""

    def __init__(self, address: str) -> None:
        self.address = address

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, exc: BaseException | None, trace: Any) -> None:
        if isinstance(exc, RemoteError) and exc.code == "not there":
            raise RemoteError(
                f"{self.address} knows the session no more: it was started again, or the session lay idle",
                code="session lost",
                fix="run again; with run: {checkpoint: ...} a run goes on from its last checkpoint",
            ) from exc


class RemoteSource(Remote, DataSource):
    def read(self, query: Query) -> Tables:
        self._meet()
        return {name: self._read(name, port, query) for name, port in self.ports()[1].items()}

    def _read(self, name: str, port: AnyPort, query: Query) -> Any:
        if isinstance(port, GridPort):
            raise self._odd(f"'{name}' is a grid, and collections hold tables")
        arrow = self._access.arrow and ARROW in self.manifest["media"]
        asked = {"f": "arrow" if arrow else "table", **self._asked(query)}
        address = f"{self.address}/collections/{quote(name, safe='')}/items?{urlencode(asked)}"
        accept = ARROW if arrow else JSON
        reply = self.client.ask(
            "GET", address, accept=f"{accept}, {JSON};q=0.5", cancelled=self.context.cancelled
        )
        try:
            if reply.media == ARROW:
                return from_stream(reply.body)
            return from_json(loads(bytes(reply.body)), port, name)
        except LdtError as exc:
            raise self._odd(str(exc)) from exc

    def _asked(self, query: Query) -> dict[str, str]:
        said = {"params": json.dumps(self.params.plain()), "context": json.dumps(self._where())}
        if query.start is not None and query.end is not None:
            last = query.end - np.timedelta64(1, "us")
            said["datetime"] = f"{instant_text(query.start)}/{instant_text(last)}"
        authority, _, code = self.context.crs.partition(":")
        if query.bbox is not None and authority == "EPSG":
            said["bbox"] = ",".join(repr(float(v)) for v in query.bbox)
            said["bbox-crs"] = f"http://www.opengis.net/def/crs/EPSG/0/{code}"
        return said

    def version(self, query: Query) -> str | None:
        """What the server says; None where it says nothing, or does not answer (reading will tell)."""
        told = {
            "bbox": None if query.bbox is None else list(query.bbox),
            "outputs": None if query.outputs is None else list(query.outputs),
        }
        content = {"params": self.params.plain(), "context": self._where(), "query": told}
        if not self.manifest.get("digest"):
            return None
        try:
            self._link = self._access.client(self.address, attempts=1)
            said = self._post("version", content).get("version")
        except RemoteError:
            return None
        finally:
            self.finalize()
            self._link = None
        return None if said is None else str(said)


KINDS: dict[str, type[Remote]] = {"model": RemoteModel, "simulator": RemoteSimulator, "source": RemoteSource}


@lru_cache(maxsize=64)
def _made(address: str, path: str, said: str) -> type[Component]:
    content = json.loads(Path(path).read_text(encoding="utf-8"))["components"][0]
    if content.get("foreign"):
        from .foreign import ForeignFeatures, ForeignProcess

        kind: type[Remote] = ForeignProcess if content["kind"] == "model" else ForeignFeatures
    else:
        kind = KINDS[content["kind"]]
    step = content.get("step_default")
    members = {
        "__doc__": content["description"],
        "id": address,
        "title": content["title"],
        "address": address.rstrip("/"),
        "manifest": content,
        "inputs": {n: port_from_dict(p) for n, p in content["inputs"].items()},
        "outputs": {n: port_from_dict(p) for n, p in content["outputs"].items()},
        "dynamic": bool(content.get("dynamic")),
        "stochastic": bool(content.get("stochastic")),
        "deterministic": bool(content.get("deterministic", True)),
        "live": tuple(content.get("live", ())),
        "tolerances": dict(content.get("tolerances", {})),
        "step_default": step if isinstance(step, str) else None,
        "Params": params_of(content, address),
    }
    return type("Remote", (kind,), members)


def load_remote(offer: Offer) -> type[Component]:
    """The class that stands for a remote component. Raises ``PluginError``."""
    said = offer.describe()["remote"]["said"]
    return _made(offer.id, offer.manifest, said)


def params_of(content: Mapping[str, Any], address: str) -> type[RemoteParams]:
    """A params class from the manifest's JSON Schema."""
    schema = content["params"]
    fields: dict[str, Any] = {}
    units = content.get("units") or {}
    for name, described in schema["properties"].items():
        if not name.isidentifier() or name.startswith("_") or hasattr(RemoteParams, name) or name == "access":
            raise PluginError(
                f"the parameter '{name}' of {address} has a name that cannot be written here",
                code="manifest differs from code",
                fix="its owner renames it",
            )
        secret = bool(described.get("writeOnly"))
        marks: list[Any] = [unit(units[name])] if name in units else []
        plain: Any = Duration if described.get("x-ldt") == "duration" else Any
        validator = AfterValidator(_fits({**described, "$defs": schema.get("$defs", {})}))
        kind: Any = Annotated[(Secret if secret else plain, validator, *marks)]
        default: Any = ... if name in schema.get("required", ()) else described.get("default")
        if secret and default is not ...:
            kind, default = (Secret | None), None
        fields[name] = (kind, PydanticField(default, description=described.get("description")))
    return create_model("RemoteParams", __base__=RemoteParams, **fields)


def _fits(schema: dict[str, Any]) -> Any:
    # An empty registry: what a schema names is looked up in itself, never in the network.
    validator = jsonschema.Draft202012Validator(schema, registry=Registry())

    def check(value: Any) -> Any:
        plain = value.get_secret_value() if isinstance(value, Secret) else value
        try:
            error = next(iter(validator.iter_errors(plain)), None)
        except (Unresolvable, RecursionError) as exc:
            raise ValueError(
                f"its server's schema cannot be read: {type(exc).__name__} {exc!s:.200}"
            ) from exc
        if error is not None and not (value is None and "default" not in schema):
            raise ValueError(error.message[:200])
        return value

    return check
