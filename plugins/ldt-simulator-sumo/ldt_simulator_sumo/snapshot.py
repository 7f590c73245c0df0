"""A simulator's state as bytes: a header that says whose it is, and SUMO's own saved state if asked for.

SUMO's saved state restores vehicles, signals and random numbers, but not all: with 1.28, vehicles inside
a junction may choose another speed for some seconds, mesoscopic queues may discharge otherwise, learnt
travel times can be lost, and vehicles on an edge are counted as entering it again (corrected here).
So the default state holds the position alone and SUMO runs again up to it, which gives the same bits.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from pydantic import BaseModel

import ldt_core as ldt

from .outputs import ATTRIBUTES, HEAVY, TRAFFIC, Sums
from .process import Sumo, sumo_version

_MAGIC = b"ldt-sumo-state 1\n"


class Position(NamedTuple):
    """Where a run stands: instant and interval in microseconds, vehicles arrived and teleported."""

    now: int
    period: int | None
    arrived: int
    teleports: int


def setup_digest(params: BaseModel, seed: int) -> str:
    """What a state belongs to: parameters with the files' contents, and the seed."""
    return hashlib.sha256(json.dumps([_content(params), seed]).encode()).hexdigest()


def _content(value: Any) -> Any:
    if isinstance(value, ldt.File):
        return value.digest()
    if isinstance(value, BaseModel):
        return {name: _content(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, list):
        return [_content(item) for item in value]
    return value


def pack(setup: str, position: Position, saved: bytes | None) -> bytes:
    header = {"sumo": sumo_version(), "setup": setup, "saved": saved is not None, **position._asdict()}
    body = json.dumps(header).encode() + b"\n" + (zlib.compress(saved, 3) if saved is not None else b"")
    return _MAGIC + hashlib.sha256(body).digest() + body


def unpack(state: bytes, setup: str) -> tuple[Position, bytes | None]:
    """Raises ``InputError`` where the bytes are torn, or belong to another setup or SUMO version."""
    digest, body = state[len(_MAGIC) : len(_MAGIC) + 32], state[len(_MAGIC) + 32 :]
    if not state.startswith(_MAGIC) or hashlib.sha256(body).digest() != digest:
        raise ldt.InputError("this is no complete SUMO state", code="state torn", fix="run from the start")
    line, _, payload = body.partition(b"\n")
    header = json.loads(line)
    for key, own, what in (
        ("sumo", sumo_version(), "SUMO version"),
        ("setup", setup, "parameters, input files or seed"),
    ):
        if header[key] != own:
            raise ldt.InputError(
                f"this state was saved with other {what}", code="state foreign", fix="run from the start"
            )
    position = Position(**{name: header[name] for name in Position._fields})
    return position, zlib.decompress(payload) if header["saved"] else None


def entered_on_loading(process: Sumo, rows: dict[str, int], with_heavy: bool) -> Sums:
    """Vehicles that SUMO counted as entering their edge only because their state was loaded."""
    sums: Sums = {}
    for name in (TRAFFIC, HEAVY) if with_heavy else (TRAFFIC,):
        attributes = ATTRIBUTES[name]
        counted = np.zeros((len(rows), len(attributes)))
        edges, values = process.ask("reading counts", partial(_entered, process.traci.meandata, name))
        for edge, value in zip(edges, values, strict=True):
            if edge in rows:
                counted[rows[edge], attributes.index("entered")] = value
        sums[name] = counted
    return sums


def _entered(meandata: Any, name: str) -> tuple[list[str], list[float]]:
    return list(meandata.getIDs(name)), list(meandata.getAttributeValues(name, "entered"))
