"""From street to wall: how much of each street's sound power arrives in front of each building.

A screening estimate, not the propagation method of CNOSSOS-EU (section 2.5). It has

- exact divergence of an incoherent line over hard ground (power radiated into a half space),
- absorption by air per octave band,
- one fixed loss where another building stands in the line of sight;

and it has no reflections from facing walls, no ground other than hard, no weather, no terrain, and
no diffraction that depends on frequency or roof height. It depends on geometry alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import shapely
from numpy.typing import NDArray

from .coefficients import BANDS, Floats

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Ints = NDArray[np.int64]

SOURCE_HEIGHT = 0.05
"""m above the road: section 2.2.1 of the method."""
RECEIVER_HEIGHT = 4.0
"""m above ground: annex I of Directive 2002/49/EC."""
WALL_DISTANCE = 0.5
"""m before the wall: far enough to stand free, and the wall's own reflection is not counted."""
WALL_DETAIL = 0.25
"""m. Smaller notches of an outline are smoothed away."""
PIECE = 20.0
"""m. Streets are cut to pieces of at most this length; air and screening are taken at their middles."""

_PAIRS_AT_ONCE = 200_000


@dataclass(frozen=True)
class Transfer:
    """Energy at each receiver per unit of street power: 1/m2 per 1/m, that is p2/p02 per pW/m.

    ``matrix`` has shape (receiver, edge x band); ``building`` names each receiver's building by row
    and is sorted.
    """

    matrix: csr_array
    building: Ints
    points: Floats

    def loudest(self, power: Floats, buildings: int) -> Floats:
        """Greatest p2/p02 before the walls of each building; 0 where none has a receiver.

        ``power`` in pW/m, shape (edge, band), weighted by whoever asks for a weighted level.
        """
        energy = self.matrix @ np.ascontiguousarray(power).ravel()
        loudest = np.zeros(buildings)
        np.maximum.at(loudest, self.building, energy)
        return loudest


def cut_streets(lines: NDArray[np.object_]) -> tuple[Floats, Floats, Ints]:
    """Straight pieces of at most ``PIECE`` m: starts (n, 2), ends (n, 2) and the row of their line."""
    points, line = shapely.get_coordinates(lines, return_index=True)
    same = line[1:] == line[:-1]
    starts, ends, line = points[:-1][same], points[1:][same], line[:-1][same]
    lengths = np.hypot(*(ends - starts).T)
    keep = lengths > 0
    starts, ends, line, lengths = starts[keep], ends[keep], line[keep], lengths[keep]
    counts = np.maximum(np.ceil(lengths / PIECE - 1e-9).astype(np.int64), 1)
    of = np.repeat(np.arange(len(counts)), counts)
    nth = np.arange(len(of)) - np.repeat(np.cumsum(counts) - counts, counts)
    low, high = (nth / counts[of])[:, None], ((nth + 1) / counts[of])[:, None]
    step = (ends - starts)[of]
    return starts[of] + low * step, starts[of] + high * step, line[of].astype(np.int64)


def place_receivers(buildings: NDArray[np.object_], spacing: float) -> tuple[Floats, Ints]:
    """Points before the outer walls, one per ``spacing`` m at most: (n, 2), and the building's row.

    Points that would stand inside a building (a party wall) are left out.
    """
    parts, owner = shapely.get_parts(buildings, return_index=True)
    rings = shapely.get_exterior_ring(shapely.simplify(parts, WALL_DETAIL))
    starts, ends, ring, lengths = _walls(rings)
    counts = np.maximum(np.ceil(lengths / spacing - 1e-9).astype(np.int64), 1)
    of = np.repeat(np.arange(len(counts)), counts)
    nth = np.arange(len(of)) - np.repeat(np.cumsum(counts) - counts, counts)
    step = ends - starts
    outward = np.stack([step[:, 1], -step[:, 0]], 1) / lengths[:, None]
    outward[~shapely.is_ccw(rings)[ring]] *= -1.0
    points = starts[of] + ((nth + 0.5) / counts[of])[:, None] * step[of] + WALL_DISTANCE * outward[of]
    building = owner[ring[of]].astype(np.int64)
    inside, _ = shapely.STRtree(parts).query(shapely.points(points), predicate="intersects")
    free = np.ones(len(points), bool)
    free[inside] = False
    order = np.argsort(building[free], kind="stable")
    return points[free][order], building[free][order]


def _walls(rings: NDArray[np.object_]) -> tuple[Floats, Floats, Ints, Floats]:
    points, ring = shapely.get_coordinates(rings, return_index=True)
    same = ring[1:] == ring[:-1]
    starts, ends, ring = points[:-1][same], points[1:][same], ring[:-1][same]
    lengths = np.hypot(*(ends - starts).T)
    keep = lengths > 0
    return starts[keep], ends[keep], ring[keep], lengths[keep]


def trace(
    streets: NDArray[np.object_],
    buildings: NDArray[np.object_],
    heights: Floats,
    *,
    spacing: float,
    max_distance: float,
    absorption: Floats,
    screening_loss: float,
    progress: Callable[[float], None] = lambda share: None,
) -> Transfer:
    """The transfer from every street to the walls of every building. All lengths in metres.

    ``streets`` are LineStrings, ``buildings`` Polygons or MultiPolygons in one metric CRS;
    ``absorption`` in dB/m per band, ``screening_loss`` in dB.
    """
    starts, ends, edge = cut_streets(streets)
    points, building = place_receivers(buildings, spacing)
    middles = (starts + ends) / 2.0
    shapely.prepare(buildings)
    screens = np.flatnonzero(heights > RECEIVER_HEIGHT)
    tree = shapely.STRtree(buildings[screens])
    near = shapely.STRtree(shapely.linestrings(np.stack([starts, ends], 1)))
    receiver, piece = near.query(shapely.points(points), predicate="dwithin", distance=max_distance)
    order = np.lexsort((piece, receiver))
    receiver, piece = receiver[order], piece[order]
    energy = np.empty((len(receiver), len(BANDS)))
    for low in range(0, len(receiver), _PAIRS_AT_ONCE):
        part = slice(low, low + _PAIRS_AT_ONCE)
        at, to = points[receiver[part]], piece[part]
        own = building[receiver[part]]
        sights = shapely.linestrings(np.stack([at, middles[to]], 1))
        # Half of all sights end at the receiver's own building, which is one quick test.
        hidden = shapely.intersects(buildings[own], sights) & (heights[own] > RECEIVER_HEIGHT)
        open_ = np.flatnonzero(~hidden)
        sight, screen = tree.query(sights[open_])
        crossing = shapely.intersects(buildings[screens[screen]], sights[open_[sight]])
        hidden[open_[sight[crossing]]] = True
        spread = spread_line(at, starts[to], ends[to])
        distance = np.hypot(np.hypot(*(at - middles[to]).T), RECEIVER_HEIGHT - SOURCE_HEIGHT)
        loss = absorption * distance[:, None] + np.where(hidden, screening_loss, 0.0)[:, None]
        energy[part] = spread[:, None] * 10.0 ** (-loss / 10.0)
        progress(min(1.0, (low + _PAIRS_AT_ONCE) / len(receiver)))
    return Transfer(_sum_pieces(receiver, edge[piece], energy, len(points), len(streets)), building, points)


def spread_line(points: Floats, starts: Floats, ends: Floats) -> Floats:
    """p2/p02 at ``points`` of straight incoherent lines that radiate 1 pW/m each into the half space.

    The integral of 1 / (2 pi r2) along the line: the angle in which it is seen, over 2 pi times the
    distance to its straight continuation. All of shape (n, 2), in m.
    """
    step = ends - starts
    length = np.hypot(*step.T)
    along = step / length[:, None]
    to_start, to_end = starts - points, ends - points
    aside = np.hypot(
        along[:, 0] * to_start[:, 1] - along[:, 1] * to_start[:, 0], RECEIVER_HEIGHT - SOURCE_HEIGHT
    )
    first, last = (along * to_start).sum(1), (along * to_end).sum(1)
    return np.asarray((np.arctan(last / aside) - np.arctan(first / aside)) / (2.0 * np.pi * aside))


def _sum_pieces(receiver: Ints, edge: Ints, energy: Floats, receivers: int, edges: int) -> csr_array:
    """Pieces of one street added up per receiver; rows come sorted by receiver, then edge."""
    bands = len(BANDS)
    first = np.ones(len(receiver), bool)
    first[1:] = (receiver[1:] != receiver[:-1]) | (edge[1:] != edge[:-1])
    heads = np.flatnonzero(first)
    summed = np.add.reduceat(energy, heads, axis=0) if len(heads) else energy
    column = edge[heads][:, None] * bands + np.arange(bands)
    rows = np.zeros(receivers + 1, np.int64)
    rows[1:] = np.cumsum(np.bincount(receiver[heads], minlength=receivers)) * bands
    from scipy.sparse import csr_array  # 0.3 s that a run served from the store need not pay

    return csr_array((summed.ravel(), column.ravel(), rows), shape=(receivers, edges * bands))
