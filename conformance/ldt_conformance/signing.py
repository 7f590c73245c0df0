"""A certified report as signed statements: the evidence, the full result, the certificate.

Keys are Ed25519 in PEM. Signing is securesystemslib's; ``ldt_core.certificate`` verifies without it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner, SSlibKey

from ldt_core.certificate import (
    CERTIFICATE,
    FULL_RESULT,
    PAYLOAD,
    STATEMENT,
    TEST_RESULT,
    Certificate,
    Certified,
    key_id,
)
from ldt_core.errors import PluginError

from .outcome import Outcome, Verdict
from .report import Report

WHEEL_DAYS = 365
SERVICE_DAYS = 90
"""How long a certificate is good: of bytes that cannot change, and of a service that can."""


def make_keys(folder: Path, name: str) -> tuple[Path, Path]:
    """A new pair: ``name.key`` (private, readable by its owner only) and ``name.pub``. Never replaces a file."""
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    private = Ed25519PrivateKey.generate()
    secret, public = folder / f"{name}.key", folder / f"{name}.pub"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with os.fdopen(os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        with public.open("xb") as stream:
            stream.write(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    except FileExistsError as exc:
        raise PluginError(
            f"{exc.filename} is there already",
            code="certificate",
            fix="give another --name; a key is never replaced",
        ) from exc
    return secret, public


def read_signer(path: Path) -> CryptoSigner:
    """The signer of a private key in PEM. Raises ``PluginError``."""
    try:
        private = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as exc:
        raise PluginError(
            f"the key {path} cannot be read: {exc}",
            code="certificate",
            fix="ldt certificate keys makes a pair",
        ) from exc
    if not isinstance(private, Ed25519PrivateKey):
        raise PluginError(
            f"the key {path} is no Ed25519 key", code="certificate", fix="ldt certificate keys makes a pair"
        )
    public = private.public_key()
    return CryptoSigner(private, SSlibKey.from_crypto(public, keyid=key_id(public.public_bytes_raw())))


def certificate_of(report: Report, now: datetime | None = None) -> Certificate:
    """What a report certifies. Raises ``PluginError`` where it certifies nothing that may be signed."""
    reasons = []
    if report.verdict is not Verdict.CERTIFIED:
        reasons.append(f"its verdict is '{report.verdict}'")
    if report.environment.sandbox == "none" and report.subject.kind != "service":
        reasons.append("it was not run in a sandbox (--as-registry)")
    if report.subject.kind not in ("wheel", "service") or not report.subject.sha256:
        reasons.append("a certificate speaks of the bytes of a wheel, or of a service")
    if not report.components:
        reasons.append("it offers no component, and a certificate speaks of components")
    if reasons:
        raise PluginError(
            f"this report cannot be signed: {'; '.join(reasons)}",
            code="certificate",
            fix="ldt certify WHEEL --as-registry",
        )
    issued = (now or datetime.now(UTC)).replace(microsecond=0)
    observed = report.subject.kind == "service"
    return Certificate(
        name=report.subject.name,
        version=report.subject.version,
        sha256=report.subject.sha256,
        observed=observed,
        address=report.subject.address,
        level=report.level,
        components=tuple(Certified(id=c.id, kind=c.kind, claims=c.claims) for c in report.components),
        catalogue=report.catalogue,
        catalogue_sha256=report.catalogue_sha256,
        suite=report.environment.suite,
        report_sha256=report.sha256,
        sandbox=report.environment.sandbox,
        issued=issued,
        not_after=issued + timedelta(days=SERVICE_DAYS if observed else WHEEL_DAYS),
    )


def statements(report: Report, certificate: Certificate) -> list[dict[str, Any]]:
    """The three in-toto statements, about the same subject."""
    subject = [
        {"name": report.subject.file or report.subject.address, "digest": {"sha256": certificate.sha256}}
    ]
    configuration = [
        {"name": f"catalogue {report.catalogue}", "digest": {"sha256": report.catalogue_sha256}},
        *({"name": f"manifest {c.id}", "digest": {"sha256": c.manifest_sha256}} for c in report.components),
    ]

    def named(outcome: Outcome) -> list[str]:
        return [f"{r.requirement}{f'@{r.component}' if r.component else ''}" for r in report.of(outcome)]

    evidence = {
        "result": {"certified": "PASSED", "failed": "FAILED", "incomplete": "WARNED"}[report.verdict],
        "configuration": configuration,
        "passedTests": named(Outcome.PASSED),
        "warnedTests": named(Outcome.CANT_TELL),
        "failedTests": named(Outcome.FAILED),
    }
    full = {
        "verdict": report.verdict.value,
        "level": report.level,
        "report": {"sha256": report.sha256},
        "catalogue": {"release": report.catalogue, "sha256": report.catalogue_sha256},
        "owed": len(report.owed),
        "executed": sum(r.outcome not in (Outcome.UNTESTED, Outcome.INAPPLICABLE) for r in report.results),
        "outcomes": {outcome.value: named(outcome) for outcome in Outcome},
        "claims": {c.id: list(c.claims) for c in report.components},
        "environment": report.environment.model_dump(mode="json"),
        "notAfter": certificate.not_after.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    bodies = [
        (TEST_RESULT, evidence),
        (FULL_RESULT, full),
        (CERTIFICATE, certificate.model_dump(mode="json")),
    ]
    return [
        {"_type": STATEMENT, "subject": subject, "predicateType": kind, "predicate": body}
        for kind, body in bodies
    ]


def sign(report: Report, signers: Sequence[CryptoSigner], now: datetime | None = None) -> dict[str, Any]:
    """The bundle: each statement in a DSSE envelope, signed by all. Raises ``PluginError``."""
    certificate = certificate_of(report, now)
    envelopes = []
    for statement in statements(report, certificate):
        payload = json.dumps(statement, sort_keys=True, ensure_ascii=False).encode()
        envelope = Envelope(payload, PAYLOAD, {})
        for signer in signers:
            envelope.sign(signer)
        envelopes.append(envelope.to_dict())
    return {"envelopes": envelopes}
