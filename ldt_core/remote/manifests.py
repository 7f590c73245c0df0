"""What a remote component says of itself, read once and kept, so that a twin is proved without the network.

``refresh`` reads the manifest and the OpenAPI document of an address and keeps the manifest as a
``component.json`` in the cache; ``offer_of`` finds it there. A run reads it anew when it begins, and its
workers refuse a server whose manifest has become another meanwhile.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ..catalog import KINDS, Offer, cache_folder
from ..errors import LdtError, ParamError, PluginError, RemoteError
from ..interfaces import CONTRACT, SECOND, Duration, Secret
from ..tables import port_from_dict
from ..twin import Twin
from ..twin_values import parse_size
from .json_tables import loads
from .net import Client, Limits, Policy, Reply, place_of
from .openapi import _refuse_far_references, validate

PACKAGE = "ldt_core.remote"
_LARGEST = 16 * 2**20
"""Bytes that a manifest or an OpenAPI document may have."""


class Access(BaseModel):
    """How a remote component is reached: ``params: {access: {...}}`` in the twin file. It enters no key."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    token: Secret | None = None
    timeout: Duration = 60 * SECOND
    private: bool = False
    http: bool = False
    arrow: bool = True
    largest: int | str = "1GiB"

    def client(self, address: str, largest: int | None = None, attempts: int = 4) -> Client:
        place = place_of(address)
        limit = largest or (parse_size(self.largest) if isinstance(self.largest, str) else self.largest)
        seconds = self.timeout / SECOND
        limits = Limits(min(10.0, seconds), seconds, max(600.0, seconds), limit, attempts)
        policy = Policy(self.private, self.http, frozenset({place.name}))
        return Client(policy, limits, None if self.token is None else self.token.get_secret_value())


def access_of(params: Mapping[str, Any]) -> Access:
    """What the parameters of a twin's component say under ``access``. Raises ``ParamError``."""
    try:
        found = Access.model_validate(params.get("access") or {})
        if isinstance(found.largest, str):
            parse_size(found.largest)
        return found
    except ValidationError as exc:
        first = exc.errors(include_input=False, include_url=False)[0]
        what = f"access.{'.'.join(map(str, first['loc']))}: {first['msg']}"
    except ValueError as exc:
        what = f"access.largest: {exc}"
    raise ParamError(
        what, code="bad value", fix="access takes token, timeout, private, http, arrow and largest"
    )


def is_address(use: str) -> bool:
    return use.startswith(("https://", "http://"))


def file_of(address: str) -> Path:
    name = hashlib.sha256(address.encode()).hexdigest()[:16]
    return cache_folder() / "remote" / f"{name}.json"


def offer_of(address: str) -> Offer:
    """The kept manifest as an offer. Raises ``PluginError`` where none is kept."""
    path = file_of(address)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        said = content["components"][0]
        title, kind, digest = said["title"], said["kind"], said.get("digest") or ""
        return Offer(address, kind, title, "ldt-core", digest, PACKAGE, str(path))
    except (OSError, ValueError, KeyError, TypeError, IndexError) as exc:
        raise PluginError(
            f"nothing is known here of the remote component {address}",
            code="not installed",
            fix="read its manifest once, with the network: ldt check --online",
        ) from exc


def refresh(address: str, access: Access) -> dict[str, Any]:
    """Read what an address offers and keep it. Raises ``RemoteError`` (``Unreachable``)."""
    from .foreign import describe_foreign

    base = address.rstrip("/")
    if any(part in (".", "..") for part in place_of(address).path.split("/")):
        raise RemoteError(f"{address} holds dots", code="refused", fix="write the address without them")
    client = access.client(base, _LARGEST)
    try:
        manifest = describe_foreign(base, client)
        if manifest is None:
            manifest = read_manifest(base, client)
            _read_document(base, client, manifest)
    finally:
        client.close()
    keep(address, manifest)
    return manifest


def read_manifest(base: str, client: Client) -> dict[str, Any]:
    """``GET /component``, checked. Raises ``RemoteError``."""
    return checked(parsed(client.ask("GET", f"{base}/component"), base), base)


def parsed(reply: Reply, base: str) -> dict[str, Any]:
    try:
        content = loads(bytes(reply.body))
    except Exception as exc:
        raise odd(base, f"it answered no JSON ({reply.media or 'no media type'})", "media type") from exc
    if not isinstance(content, dict):
        raise odd(base, "it answered no JSON object", "media type")
    return content


def odd(base: str, what: str, code: str = "refused") -> RemoteError:
    fix = "its owner finds in docs/reference/remote.md what is expected"
    return RemoteError(f"{base} cannot be used as a component: {what}", code=code, fix=fix)


def checked(content: dict[str, Any], base: str) -> dict[str, Any]:
    """A manifest that the proxies can work with."""
    if "components" in content and "kind" not in content:
        raise odd(base, "it serves several components; name one: ADDRESS/components/ID")
    if content.get("contract") != CONTRACT:
        raise odd(
            base, f"it is written for contract {content.get('contract')!r:.40}, this core has {CONTRACT}"
        )
    if content.get("kind") not in KINDS[:3] or not isinstance(content.get("id"), str):
        raise odd(base, f"its kind is {content.get('kind')!r:.40}, not source, model or simulator")
    for side in ("inputs", "outputs"):
        ports = content.setdefault(side, {})
        try:
            for port in ports.values():
                port_from_dict(port)
        except (TypeError, ValueError, KeyError, AttributeError) as exc:
            raise odd(base, f"its {side} cannot be read: {type(exc).__name__}: {exc}") from exc
    schema = content.setdefault("params", {"type": "object", "properties": {}})
    _refuse_far_references(schema, base)
    if not isinstance(schema, dict) or not isinstance(schema.setdefault("properties", {}), dict):
        raise odd(base, "its params are no JSON Schema of an object")
    import jsonschema

    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as exc:
        raise odd(base, f"its params are no JSON Schema: {exc.message:.200}") from exc
    content.setdefault("title", content["id"])
    content.setdefault("description", "")
    for key, kind in (("title", str), ("description", str), ("capabilities", list), ("media", list)):
        if not isinstance(content.setdefault(key, kind()), kind):
            raise odd(base, f"its {key} is {content[key]!r:.40}")
    return content


def _read_document(base: str, client: Client, manifest: Mapping[str, Any]) -> None:
    """The OpenAPI document must say what the kind needs."""
    content = validate(
        parsed(
            client.ask("GET", f"{base}/api", accept="application/vnd.oai.openapi+json, application/json"),
            base,
        ),
        base,
    )
    needed = {
        "model": [
            f"/processes/{manifest['id']}/execution",
            "/processes/{id}/execution",
            "/processes/{processId}/execution",
        ],
        "simulator": ["/sessions"],
        "source": ["/collections"],
    }[manifest["kind"]]
    if not set(needed) & set(content.get("paths") or {}):
        raise odd(base, f"its OpenAPI document has no path {needed[0]}, which a {manifest['kind']} needs")


def meet(twin: Twin, *, online: bool) -> None:
    """Read the manifests of a twin's remote components, where ``online`` or where none is kept.

    Raises ``RemoteError``, ``ParamError`` with the place in the twin file.
    """
    for name, entry in twin.components.items():
        if not is_address(entry.use) or (file_of(entry.use).is_file() and not online):
            continue
        try:
            refresh(entry.use, access_of(entry.params))
        except LdtError as exc:
            inside = "access." in exc.what
            place = twin.place("components", name, *(("params", "access") if inside else ("use",)))
            exc.where = f"{place} ({exc.where})" if exc.where else place
            raise


def digest(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def keep(address: str, manifest: Mapping[str, Any]) -> None:
    """Write the manifest where ``offer_of`` finds it."""
    path = file_of(address)
    content = {
        "contract": CONTRACT,
        "read": datetime.now(UTC).isoformat(timespec="seconds"),
        "components": [
            {**manifest, "id": address, "remote": {"id": manifest["id"], "said": digest(manifest)}}
        ],
        "commands": [],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fresh.write_text(json.dumps(content, indent=1), encoding="utf-8")
    fresh.replace(path)


def read_on(address: str) -> str:
    """When the kept manifest was read."""
    return str(json.loads(file_of(address).read_text(encoding="utf-8"))["read"])
