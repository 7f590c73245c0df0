"""The street graph: which streets a van can use, where an address meets them, the fastest ways between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import shapely
import shapely.ops
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Objects = NDArray[np.object_]

LEAST_TIME = 1e-3
"""s. A sparse graph reads a weight of nought as no connection."""


@dataclass(frozen=True)
class Streets:
    """Directed streets, sorted by id so that row order never decides a tie.

    ``start`` and ``end`` are node numbers, ``time`` in s, ``length`` in m, ``lines`` in a metric CRS.
    ``usable`` marks the streets open to vans from which every other usable street can be reached.
    """

    start: Ints
    end: Ints
    time: Floats
    length: Floats
    lines: Objects
    usable: NDArray[np.bool_]
    nodes: int

    @classmethod
    def build(
        cls,
        edge: Objects,
        nodes: tuple[Objects, Objects],
        time: Floats,
        length: Floats,
        open_: Any,
        lines: Objects,
    ) -> Streets:
        order = np.argsort(edge.astype(str), kind="stable")
        names, number = np.unique(np.concatenate(nodes).astype(str), return_inverse=True)
        start, end = number[: len(edge)][order], number[len(edge) :][order]
        is_open = np.asarray(open_)[order]
        from scipy.sparse import csr_array  # slow to load, and only needed to compute
        from scipy.sparse.csgraph import connected_components

        graph = csr_array(
            (np.ones(int(is_open.sum())), (start[is_open], end[is_open])), shape=(len(names), len(names))
        )
        _, component = connected_components(graph, directed=True, connection="strong")
        inside = is_open & (component[start] == component[end])
        sizes = np.bincount(component[start][inside], minlength=1)
        usable = inside & (component[start] == sizes.argmax())
        return cls(
            start, end, np.maximum(time[order], LEAST_TIME), length[order], lines[order], usable, len(names)
        )

    def snap(self, places: Objects, among: NDArray[np.bool_]) -> tuple[Ints, Floats, Floats]:
        """Nearest street of each place, how far along it (0 to 1), and the distance in m."""
        rows = np.flatnonzero(among)
        tree = shapely.STRtree(self.lines[rows])
        (place, found), distance = tree.query_nearest(places, return_distance=True)
        nearest = np.full(len(places), len(rows))
        np.minimum.at(nearest, place, found)  # of equally near ones the first by id
        apart = np.zeros(len(places))
        apart[place] = distance
        street = rows[nearest]
        touch = shapely.get_point(shapely.shortest_line(self.lines[street], places), 0)
        along = shapely.line_locate_point(self.lines[street], touch, normalized=True)
        return street, np.clip(along, 0.0, 1.0), apart


class Way(NamedTuple):
    """The fastest way between two places: metres driven and the line of it."""

    distance: float
    line: shapely.LineString | None


class Ways:
    """Fastest ways between places on usable streets. U-turns at nodes are allowed, turn bans unknown."""

    def __init__(self, streets: Streets, street: Ints, along: Floats) -> None:
        """``street`` (row) and ``along`` (0 to 1) of each place."""
        self._streets, self._street, self._along = streets, street, along
        rows = np.flatnonzero(streets.usable)
        # Of parallel streets the fastest counts; a sparse matrix would add them up.
        order = rows[np.lexsort((rows, streets.time[rows], streets.end[rows], streets.start[rows]))]
        first = np.ones(len(order), bool)
        first[1:] = (np.diff(streets.start[order]) != 0) | (np.diff(streets.end[order]) != 0)
        best = order[first]
        self._between = {(int(streets.start[e]), int(streets.end[e])): int(e) for e in best}
        from scipy.sparse import csr_array  # slow to load, and only needed to compute
        from scipy.sparse.csgraph import dijkstra

        graph = csr_array(
            (streets.time[best], (streets.start[best], streets.end[best])),
            shape=(streets.nodes, streets.nodes),
        )
        origins, self._origin = np.unique(streets.end[street], return_inverse=True)
        reach, self._previous = dijkstra(graph, indices=origins, return_predecessors=True)
        spent, left = along * streets.time[street], (1.0 - along) * streets.time[street]
        times = left[:, None] + reach[self._origin][:, streets.start[street]] + spent[None, :]
        ahead = self._ahead(np.arange(len(street))[:, None], np.arange(len(street))[None, :])
        times = np.where(ahead, spent[None, :] - spent[:, None], times)
        np.fill_diagonal(times, 0.0)
        self.times: Floats = times
        """Seconds from each place (row) to each (column)."""

    def _ahead(self, here: Any, there: Any) -> Any:
        """Whether a place lies farther along the same street."""
        return (self._street[here] == self._street[there]) & (self._along[there] >= self._along[here])

    def trace(self, here: int, there: int) -> Way:
        """The way that ``times`` tells of."""
        if here == there:
            return Way(0.0, None)
        first, last = int(self._street[here]), int(self._street[there])
        a, b = float(self._along[here]), float(self._along[there])
        if self._ahead(here, there):
            parts = [(first, a, b)]
        else:
            parts = [(first, a, 1.0), *((e, 0.0, 1.0) for e in self._edges(here, last)), (last, 0.0, b)]
        distance = sum((high - low) * float(self._streets.length[e]) for e, low, high in parts)
        pieces = [shapely.get_coordinates(_cut(self._streets.lines[e], low, high)) for e, low, high in parts]
        points = np.concatenate(pieces)
        keep = np.ones(len(points), bool)
        keep[1:] = (np.diff(points, axis=0) != 0).any(axis=1)
        return Way(distance, shapely.LineString(points[keep]) if keep.sum() > 1 else None)

    def _edges(self, here: int, last: int) -> list[int]:
        row, node = int(self._origin[here]), int(self._streets.start[last])
        origin = int(self._streets.end[self._street[here]])
        found: list[int] = []
        while node != origin:
            before = int(self._previous[row, node])
            found.append(self._between[before, node])
            node = before
        return found[::-1]


def _cut(line: shapely.LineString, low: float, high: float) -> shapely.LineString:
    if low == 0.0 and high == 1.0:
        return line
    return shapely.ops.substring(line, low, high, normalized=True)
