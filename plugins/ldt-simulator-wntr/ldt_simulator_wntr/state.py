"""A state is what the network was told, window by window: EPANET computes it again, to the same bits.

EPANET can be given tank levels, but neither the flows that its next solution starts from nor what its
controls remember, so a state made of levels would be near, not equal.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from typing import Any

import ldt_core as ldt

Told = dict[str, dict[str, Any]]
"""By input port: what each id was told in a window."""


def setup_digest(params: Any, file: bytes, version: str) -> str:
    told = params.model_dump_json(exclude={"licence", "attribution", "place", "crs"})
    return hashlib.sha256(b"\0".join([told.encode(), file, version.encode()])).hexdigest()


def pack(setup: str, windows: list[tuple[int, Told]]) -> bytes:
    body = zlib.compress(json.dumps({"setup": setup, "windows": windows}).encode(), 6)
    return hashlib.sha256(body).digest() + body


def unpack(state: bytes, setup: str) -> list[tuple[int, Told]]:
    """The windows. Raises ``InputError`` for torn bytes and for another network or other parameters."""
    head, body = state[:32], state[32:]
    if hashlib.sha256(body).digest() != head:
        raise ldt.InputError(
            "this is no complete state of a water network", code="state", fix="restore an undamaged one"
        )
    read = json.loads(zlib.decompress(body))
    if read["setup"] != setup:
        raise ldt.InputError(
            "the state belongs to other parameters, another network file or another version of wntr",
            code="state",
            fix="run from the start",
        )
    return [(until, told) for until, told in read["windows"]]
