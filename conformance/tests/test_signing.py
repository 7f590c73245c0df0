"""Certificates: signed by one library, verified by our own code and by others, refused where anything was changed."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from in_toto_attestation.predicates.test_result.v0.test_result_pb2 import TestResult as Predicate
from ldt_conformance.outcome import Outcome
from ldt_conformance.signing import make_keys, read_signer, sign
from reports import ARTEFACT, make_report
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

from ldt_core.certificate import pae, read_public_key, verify_bundle
from ldt_core.errors import PluginError

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("keys")
    return {name: make_keys(folder, name)[0] for name in ("runner", "registry", "stranger")}


@pytest.fixture(scope="module")
def public(keys: dict[str, Path]) -> dict[str, bytes]:
    return {name: read_public_key(path.with_suffix(".pub")) for name, path in keys.items()}


@pytest.fixture(scope="module")
def bundle(keys: dict[str, Path]) -> dict[str, Any]:
    return sign(make_report(), [read_signer(keys["runner"]), read_signer(keys["registry"])], NOW)


def test_a_certificate_is_verified_by_two_keys(bundle: Any, public: dict[str, bytes]) -> None:
    digest = hashlib.sha256(ARTEFACT).digest()
    found = verify_bundle(bundle, [public["runner"], public["registry"]], artefact=digest, now=NOW)
    assert (found.name, found.level, found.components[0].id) == ("ldt-model-zoo", 1, "zoo-model")
    assert found.not_after - found.issued == timedelta(days=365)


def test_a_library_that_is_not_ours_verifies_it(bundle: Any, keys: dict[str, Path]) -> None:
    both = [read_signer(keys[n]).public_key for n in ("runner", "registry")]
    for plain in copy.deepcopy(bundle["envelopes"]):
        assert len(Envelope.from_dict(plain).verify(both, 2)) == 2
    assert all(isinstance(key, SSlibKey) for key in both)


@pytest.mark.node
def test_another_language_verifies_it(bundle: Any, keys: dict[str, Path], tmp_path: Path) -> None:
    if shutil.which("node") is None:
        pytest.skip("needs Node (Debian: apt-get install nodejs)")
    envelope = bundle["envelopes"][2]
    (tmp_path / "said").write_bytes(pae(envelope["payloadType"], base64.b64decode(envelope["payload"])))
    script = """
    const c = require("node:crypto"), fs = require("node:fs");
    const [said, sig, key] = process.argv.slice(1);
    const good = c.verify(null, fs.readFileSync(said), c.createPublicKey(fs.readFileSync(key)), Buffer.from(sig, "base64"));
    console.log(good);
    """
    answers = [
        subprocess.run(
            ["node", "-e", script, str(tmp_path / "said"), s["sig"], str(keys[name].with_suffix(".pub"))],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for s, name in zip(envelope["signatures"], ("runner", "registry"), strict=True)
    ]
    assert answers == ["true", "true"]


def test_one_signature_or_a_strangers_is_not_enough(bundle: Any, public: dict[str, bytes]) -> None:
    for known in (["runner"], ["runner", "stranger"], ["stranger"], []):
        with pytest.raises(PluginError, match="signatures that are needed are good"):
            verify_bundle(bundle, [public[n] for n in known], now=NOW)


def test_the_same_key_twice_counts_once(bundle: Any, public: dict[str, bytes]) -> None:
    doubled = copy.deepcopy(bundle)
    for envelope in doubled["envelopes"]:
        envelope["signatures"] = [envelope["signatures"][0]] * 2
    with pytest.raises(PluginError, match="1 of the 2 signatures"):
        verify_bundle(doubled, [public["runner"], public["runner"], public["registry"]], now=NOW)


def test_a_changed_statement_is_refused(bundle: Any, public: dict[str, bytes]) -> None:
    changed = copy.deepcopy(bundle)
    payload = base64.b64decode(changed["envelopes"][2]["payload"]).replace(b'"level": 1', b'"level": 2')
    changed["envelopes"][2]["payload"] = base64.b64encode(payload).decode()
    with pytest.raises(PluginError, match="0 of the 2 signatures"):
        verify_bundle(changed, [public["runner"], public["registry"]], now=NOW)


def test_a_statement_that_is_left_out_or_comes_from_another_report_is_refused(
    bundle: Any, keys: dict[str, Path], public: dict[str, bytes]
) -> None:
    both = [public["runner"], public["registry"]]
    with pytest.raises(PluginError, match="lacks a statement"):
        verify_bundle({"envelopes": bundle["envelopes"][:2]}, both, now=NOW)
    other = make_report(subject=make_report().subject.model_copy(update={"sha256": "f" * 64}))
    signers = [read_signer(keys[n]) for n in ("runner", "registry")]
    mixed = [*bundle["envelopes"][:2], sign(other, signers, NOW)["envelopes"][2]]
    with pytest.raises(PluginError, match="different bytes"):
        verify_bundle({"envelopes": mixed}, both, now=NOW)


def test_an_old_certificate_and_other_bytes_are_refused(bundle: Any, public: dict[str, bytes]) -> None:
    both = [public["runner"], public["registry"]]
    with pytest.raises(PluginError, match="it was good until 2027-11-25"):
        verify_bundle(bundle, both, now=NOW + timedelta(days=365))
    with pytest.raises(PluginError, match="other bytes"):
        verify_bundle(bundle, both, artefact=hashlib.sha256(b"others").digest(), now=NOW)


@pytest.mark.parametrize("odd", [None, [], {}, {"envelopes": 3}, {"envelopes": [{}]}, {"envelopes": [[1]]}])
def test_what_is_no_bundle_is_refused(odd: Any, public: dict[str, bytes]) -> None:
    with pytest.raises(PluginError):
        verify_bundle(odd, list(public.values()), now=NOW)


def test_only_a_whole_green_run_in_a_sandbox_is_signed(keys: dict[str, Path]) -> None:
    signers = [read_signer(keys["runner"])]
    failed = make_report().results[0].model_copy(update={"outcome": Outcome.FAILED})
    bad = [
        make_report(results=(failed, *make_report().results[1:])),
        make_report(results=make_report().results[1:]),
        make_report(selection="quick"),
        make_report(components=()),
        make_report(environment=make_report().environment.model_copy(update={"sandbox": "none"})),
        make_report(subject=make_report().subject.model_copy(update={"kind": "folder"})),
    ]
    for one in bad:
        with pytest.raises(PluginError, match="cannot be signed"):
            sign(one, signers, NOW)


def test_a_key_is_never_replaced(tmp_path: Path) -> None:
    secret, _ = make_keys(tmp_path, "mine")
    before = secret.read_bytes()
    with pytest.raises(PluginError, match="there already"):
        make_keys(tmp_path, "mine")
    assert secret.read_bytes() == before
    assert secret.stat().st_mode & 0o077 == 0


def test_the_evidence_is_what_the_in_toto_schema_allows(bundle: Any) -> None:
    statement = json.loads(base64.b64decode(bundle["envelopes"][0]["payload"]))
    parsed = ParseDict(statement["predicate"], Predicate(), ignore_unknown_fields=False)
    assert parsed.result == "PASSED"
    assert len(parsed.passed_tests) == len(make_report().results)
