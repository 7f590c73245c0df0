"""Induction loops of additional files: where the simulation could be held against counts."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable
from pathlib import Path

import numpy as np

import ldt_core as ldt

from .network import Network, open_xml

_LOOPS = ("e1Detector", "inductionLoop")

PORT = ldt.Port(
    {
        "detector": ldt.text(description="id in the file; a station often has one loop per lane"),
        "edge": ldt.text(),
        "lane": ldt.text(),
        "position": ldt.number("m", "x:position", range=(0, 1e6), description="from the edge's start"),
    },
    at="start",
    entity="detector",
    id="detector",
    description="Induction loops that the demand's additional files place; no row where they place none.",
)


def list_loops(files: Iterable[Path], net: Network) -> ldt.Table:
    """The loops of all files, in their order. A negative position counts from the lane's end.

    Raises ``InputError`` for a loop on a lane that the network does not have, or one that lies twice.
    """
    lengths = {lane.id: (edge.id, lane.length) for edge in net.edges for lane in edge.lanes}
    rows: dict[str, tuple[str, str, float]] = {}
    for path in files:
        with open_xml(path) as stream:
            for _, item in ET.iterparse(stream):  # noqa: S314 - expat expands no external entity
                if item.tag in _LOOPS:
                    name, lane = item.get("id", ""), item.get("lane", "")
                    if lane not in lengths or name in rows:
                        what = f"lies twice ({path.name})" if name in rows else f"lies on no lane '{lane}'"
                        raise ldt.InputError(
                            f"the induction loop '{name}' {what}",
                            code="detector",
                            where=path.name,
                            fix="correct the loop, or leave its file out",
                        )
                    edge, length = lengths[lane]
                    position = float(item.get("pos", 0))
                    rows[name] = (edge, lane, position + length if position < 0 else position)
                item.clear()
    values = list(rows.values())
    return ldt.Table(
        {
            "detector": np.array([*rows], object),
            "edge": np.array([v[0] for v in values], object),
            "lane": np.array([v[1] for v in values], object),
            "position": np.array([v[2] for v in values], float),
        }
    )
