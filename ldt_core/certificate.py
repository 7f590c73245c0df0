"""The certificate: what the conformance suite has found of certain bytes, signed. Conformance writes it, a registry serves
it, whoever installs a component verifies it; offline, with the public keys of those who signed.

A bundle is JSON: DSSE envelopes (secure-systems-lab/dsse v1) of in-toto statements (Statement v1), Ed25519 signatures.
Verifying needs the package ``cryptography`` (extra ``certificate``).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from .errors import PluginError

PAYLOAD = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
FULL_RESULT = "urn:ldt:conformance:full-result:1"
CERTIFICATE = "urn:ldt:conformance:certificate:1"
THRESHOLD = 2
"""How many of the known keys must have signed: who ran the suite, and who stands for the registry."""


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Certified(Part):
    """One component and what it claims beyond its kind's core."""

    id: str
    kind: Literal["source", "model", "simulator", "viewer"]
    claims: tuple[str, ...] = ()


class Certificate(Part):
    """That the bytes ``sha256`` keep every requirement of ``level`` in a catalogue.

    Of a service only what was observed can be said: ``observed`` is true, and ``sha256`` is that of its OpenAPI document.
    Instants are RFC 3339, UTC. ``report_sha256`` is that of the full report, times left out.
    """

    name: str
    version: str
    sha256: str
    observed: bool = False
    address: str = ""
    level: Literal[1, 2, 3]
    components: tuple[Certified, ...]
    catalogue: str
    catalogue_sha256: str
    suite: str
    report_sha256: str
    sandbox: str
    issued: datetime
    not_after: datetime

    def expired(self, now: datetime | None = None) -> bool:
        return (now or datetime.now(UTC)) >= self.not_after


def pae(kind: str, payload: bytes) -> bytes:
    """What a DSSE signature is made over: the pre-authentication encoding of a payload and its type."""
    head = kind.encode()
    return b"DSSEv1 %d %s %d %s" % (len(head), head, len(payload), payload)


def key_id(public: bytes) -> str:
    """The name of an Ed25519 public key (32 bytes): its SHA-256."""
    return hashlib.sha256(public).hexdigest()


def read_public_key(path: Path) -> bytes:
    """The 32 bytes of an Ed25519 public key in PEM. Raises ``PluginError``."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm) as exc:
        raise _untrue(f"the key {path} cannot be read: {exc}", "give an Ed25519 public key in PEM") from exc
    if not isinstance(key, Ed25519PublicKey):
        raise _untrue(f"the key {path} is no Ed25519 key", "give an Ed25519 public key in PEM")
    return key.public_bytes_raw()


def open_envelope(envelope: Any, keys: Iterable[bytes], threshold: int = THRESHOLD) -> dict[str, Any]:
    """The statement inside, once ``threshold`` different ones of ``keys`` are seen to have signed it. Raises ``PluginError``."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if threshold < 1:
        raise ValueError("a certificate that nobody signed proves nothing")
    try:
        payload = base64.b64decode(envelope["payload"], validate=True)
        if envelope["payloadType"] != PAYLOAD:
            raise ValueError(f"its payload is '{envelope['payloadType']}'")
        signatures = [base64.b64decode(s["sig"], validate=True) for s in envelope["signatures"]]
    except (KeyError, TypeError, ValueError, binascii.Error) as exc:
        raise _untrue(f"this is no signed statement: {type(exc).__name__}: {exc}") from exc
    said, good = pae(PAYLOAD, payload), set()
    for public in set(keys):
        for signature in signatures[:16]:
            try:
                Ed25519PublicKey.from_public_bytes(public).verify(signature, said)
                good.add(public)
            except InvalidSignature:
                continue
    if len(good) < threshold:
        raise _untrue(
            f"{len(good)} of the {threshold} signatures that are needed are good",
            "get the certificate again from its registry; check that the keys are those that the registry publishes",
        )
    try:
        statement = json.loads(payload)
        if statement["_type"] != STATEMENT:
            raise ValueError(f"its type is '{statement['_type']}'")
    except (ValueError, KeyError, TypeError) as exc:
        raise _untrue(f"what was signed is no in-toto statement: {exc}") from exc
    found: dict[str, Any] = statement
    return found


def verify_bundle(
    bundle: Any,
    keys: Iterable[bytes],
    *,
    threshold: int = THRESHOLD,
    artefact: bytes | None = None,
    now: datetime | None = None,
) -> Certificate:
    """The certificate of a bundle whose three statements are signed, speak of the same bytes and have not expired.

    ``artefact`` is the SHA-256 digest of the bytes at hand. Raises ``PluginError`` that says what is wrong.
    """
    keys = list(keys)
    envelopes = bundle.get("envelopes") if isinstance(bundle, Mapping) else None
    if not isinstance(envelopes, list) or len(envelopes) > 16:
        raise _untrue("this is no certificate bundle")
    statements = [open_envelope(e, keys, threshold) for e in envelopes]
    by_type = {s.get("predicateType"): s for s in statements}
    missing = [t for t in (TEST_RESULT, FULL_RESULT, CERTIFICATE) if t not in by_type]
    if missing or len(statements) != len(by_type):
        raise _untrue(f"the bundle lacks a statement: {', '.join(missing) or 'one stands twice'}")
    try:
        certificate = Certificate.model_validate(by_type[CERTIFICATE]["predicate"])
        subjects = {json.dumps(s["subject"], sort_keys=True) for s in statements}
        spoken = [s["digest"]["sha256"] for s in by_type[CERTIFICATE]["subject"]]
        full = by_type[FULL_RESULT]["predicate"]
        agreed = full["report"]["sha256"], full["verdict"], by_type[TEST_RESULT]["predicate"]["result"]
    except (ValidationError, KeyError, TypeError) as exc:
        raise _untrue(f"the certificate cannot be read: {exc}") from exc
    if len(subjects) != 1 or spoken != [certificate.sha256]:
        raise _untrue("its statements speak of different bytes")
    if agreed != (certificate.report_sha256, "certified", "PASSED"):
        raise _untrue("its statements disagree about what was found")
    if certificate.expired(now):
        raise _untrue(f"it was good until {certificate.not_after:%Y-%m-%d}", "have it certified again")
    if artefact is not None and artefact.hex() != certificate.sha256:
        raise _untrue(
            f"it speaks of other bytes: {certificate.sha256[:12]}, and these are {artefact.hex()[:12]}",
            "install the file that was certified",
        )
    return certificate


def _untrue(what: str, fix: str = "get the certificate again from its registry") -> PluginError:
    return PluginError(what, code="certificate", fix=fix)
