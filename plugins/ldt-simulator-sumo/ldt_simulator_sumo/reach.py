"""Which streets can be reached from which."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .network import Network


class Reach:
    """Which edges can be reached from which by vehicles of a class."""

    def __init__(self, net: Network, vehicle_class: str, closed: Sequence[str] = ()) -> None:
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        shut = set(closed)
        usable = [e for e in net.edges if e.allows(vehicle_class) and e.id not in shut]
        self.index = {edge.id: i for i, edge in enumerate(usable)}
        lanes = {e.id: e.lanes for e in usable}
        pairs = {
            (self.index[c.source], self.index[c.target])
            for c in net.connections
            if c.source in lanes
            and c.target in lanes
            and lanes[c.source][c.source_lane].allows(vehicle_class)
            and lanes[c.target][c.target_lane].allows(vehicle_class)
        }
        n = len(usable)
        rows, columns = zip(*sorted(pairs), strict=True) if pairs else ((), ())
        graph = coo_array((np.ones(len(rows), np.int8), (rows, columns)), shape=(n, n))
        if n:
            _, self.component = connected_components(graph, directed=True, connection="strong")
        else:
            self.component = np.empty(0, np.int32)
        self._next: dict[int, set[int]] = {}
        for a, b in pairs:
            ca, cb = int(self.component[a]), int(self.component[b])
            if ca != cb:
                self._next.setdefault(ca, set()).add(cb)
        self._from: dict[int, set[int]] = {}

    def connects(self, source: str, target: str) -> bool:
        a, b = self.index.get(source), self.index.get(target)
        if a is None or b is None:
            return False
        return int(self.component[b]) in self._reached(int(self.component[a]))

    def _reached(self, component: int) -> set[int]:
        if component not in self._from:
            reached, todo = {component}, [component]
            while todo:
                for following in self._next.get(todo.pop(), ()):
                    if following not in reached:
                        reached.add(following)
                        todo.append(following)
            self._from[component] = reached
        return self._from[component]
