"""Bytes are kept whole under their own digest, in a folder and in S3 alike."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from typing import Any

import pytest
from ldt_registry.blobs import Blobs, FileBlobs, digest, get, open_blobs, put, sweep_staging
from ldt_registry.problems import Down
from ldt_registry.settings import Settings

CONTENT = bytes(range(256)) * 2500  # more than two pieces
NAME = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(params=["folder", "s3"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    said: dict[str, Any] = {}
    if request.param == "s3":
        said = request.getfixturevalue("s3").new_bucket()
    return open_blobs(Settings.load(home=tmp_path, **said))


def test_what_was_put_can_be_read_whole_and_in_part(blobs: Blobs) -> None:
    assert put(blobs, CONTENT) == NAME
    assert blobs.size(NAME) == len(CONTENT)
    assert get(blobs, NAME) == CONTENT
    assert digest(blobs, NAME) == NAME
    assert b"".join(blobs.read(NAME, 1000, 300_000)) == CONTENT[1000:300_000]
    assert b"".join(blobs.read(NAME, 600_000)) == CONTENT[600_000:]
    assert list(blobs.names()) == [NAME]
    assert not list(blobs.staging.iterdir())


def test_the_same_bytes_twice_are_one_blob(blobs: Blobs) -> None:
    assert put(blobs, CONTENT) == put(blobs, CONTENT)
    assert list(blobs.names()) == [NAME]


def test_no_bytes_are_a_blob_too(blobs: Blobs) -> None:
    assert get(blobs, put(blobs, b"")) == b""


def test_what_was_not_promoted_is_gone(blobs: Blobs) -> None:
    with blobs.stage() as staged:
        staged.write(CONTENT)
    with contextlib.suppress(ZeroDivisionError), blobs.stage() as staged:
        staged.write(CONTENT)
        raise ZeroDivisionError
    assert blobs.size(NAME) is None
    assert not list(blobs.staging.iterdir())


def test_what_a_killed_upload_left_is_swept_when_it_is_old(blobs: Blobs) -> None:
    (blobs.staging / "left").write_bytes(b"half")
    assert sweep_staging(blobs, older=3600) == 0
    assert sweep_staging(blobs, older=0) == 1
    assert not list(blobs.staging.iterdir())


def test_deleting_is_done_once_and_may_be_repeated(blobs: Blobs) -> None:
    put(blobs, CONTENT)
    blobs.delete(NAME)
    blobs.delete(NAME)
    assert blobs.size(NAME) is None
    with pytest.raises(Down, match="not in the storage"):
        get(blobs, NAME)


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 64, "a" * 63, "a" * 65, "a" * 63 + "\n"])
def test_a_path_is_made_from_a_digest_and_nothing_else(blobs: Blobs, name: str) -> None:
    for call in (blobs.size, blobs.delete, lambda n: list(blobs.read(n))):
        with pytest.raises(ValueError, match="is no SHA-256"):
            call(name)


def test_the_digests_are_those_of_the_bytes(tmp_path: Path) -> None:
    with FileBlobs(tmp_path).stage() as staged:
        staged.write(CONTENT[:1000])
        staged.write(CONTENT[1000:])
        assert staged.size == len(CONTENT)
        assert staged.blake2_256.hexdigest() == hashlib.blake2b(CONTENT, digest_size=32).hexdigest()
        assert staged.md5.hexdigest() == hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()


def test_storage_that_is_away_is_a_problem_to_repeat(tmp_path: Path) -> None:
    said = {
        "blobs": "s3://bucket",
        "s3_endpoint": "http://127.0.0.1:1",
        "s3_access_key": "a",
        "s3_secret_key": "b",
    }
    blobs = open_blobs(Settings.load(home=tmp_path, **said))
    with pytest.raises(Down, match="does not answer"):
        put(blobs, CONTENT)
    assert not list(blobs.staging.iterdir())
