"""What a viewer is given: the values, places, words and KPIs of a finished ensemble."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np

from . import scene
from .adapters import crs_step, reproject
from .ensemble import Ensemble
from .errors import InputError, NotFound, Unsupported, WiringError, nearest
from .interfaces import Flag, Info, View
from .resample import align, collapse, per_entity, stack
from .results import Recordings, credits_of, judged_kpis, place_port, synthetic_of
from .tables import Port, Recording, Table, check
from .twin import Ref
from .wanted import resolve, value_column
from .wiring import Plan

OVER_SPACE: Mapping[str, Callable[[Any], Any]] = {
    "mean": np.mean,
    "sum": np.sum,
    "min": np.min,
    "max": np.max,
    "energetic": lambda levels: 10 * np.log10(np.mean(10 ** (levels / 10))),
}


@dataclass
class RunView(View):
    """The view of a finished ensemble; ``names`` are its runs, the baseline first.

    What a viewer publishes is kept in ``published`` and ``images`` by id.
    """

    ensemble: Ensemble
    recordings: Recordings
    names: Sequence[str]
    show: Sequence[str]
    record: Mapping[str, Any]
    medium: Any = "html"
    audience: Any = "planner"
    locale: str = "en"
    budget: int = 6_000_000
    title: str = ""
    published: dict[str, tuple[Port, Table]] = field(default_factory=dict)
    images: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        twin = self.ensemble.twin
        self.title = self.title or twin.title
        self.crs, self.bounds = twin.crs, twin.bbox
        self.start, self.end = str(twin.period.start) + "Z", str(twin.period.end) + "Z"
        self.zone = twin.period.zone or "UTC"
        self.runs = [
            scene.RunRef(
                name=n,
                title=twin.scenarios[n].title or n,
                description=twin.scenarios[n].description or "",
                replicates=self.ensemble.replicates,
            )
            for n in self.names
        ]
        self.kpis = judged_kpis(self.record, self.names)

    # -- meaning -----------------------------------------------------------------------------

    def _plan(self) -> Plan:
        return self.ensemble.plans[self.names[0]]

    def _port(self, ref: str) -> tuple[Ref, Port]:
        """The port that ``component.port`` or ``component.port.column`` names. Raises ``NotFound``."""
        component, _, rest = ref.partition(".")
        port, _, column = rest.partition(".")
        if not (component and port):
            raise NotFound(f"'{ref}' is no component.port.column", code="unresolved reference")
        parsed = Ref(component, port, column or None)
        return parsed, _told(lambda: resolve(parsed, self._outputs(), ref))

    def _outputs(self) -> dict[str, Any]:
        return {n: node.outputs for n, node in self._plan().nodes.items()}

    def _find(self, ref: str) -> tuple[Ref, Port, str]:
        """The port and its column. Raises ``NotFound``."""
        parsed, port = self._port(ref)
        return parsed, port, _told(lambda: value_column(parsed, port, ref))

    def _recordings(self, parsed: Ref, run: str) -> Iterator[Recording]:
        """What the port gave, by replicate. Raises ``NotFound``."""
        if run not in self.ensemble.plans:
            raise NotFound(
                f"there is no run '{run}' here", code="no run", fix=nearest(run, self.ensemble.plans)
            )
        for replicate in range(self.ensemble.replicates):
            yield self.recordings.get(run, parsed, replicate)

    def info(self, ref: str) -> Info:
        parsed, port, column = self._find(ref)
        spec = port.columns[column]
        place = place_port(self.ensemble.twin, self._plan(), parsed)
        shape = None
        if place is not None:
            owner = cast(Port, self._plan().nodes[place.component].outputs[place.port])
            kind = owner.columns[cast(str, owner.geometry_column)].geometry
            shape = {"Point": "point", "LineString": "line"}.get(kind or "", "polygon")
        return Info(
            ref,
            parsed.component,
            parsed.port,
            column,
            spec.unit,
            spec.quantity,
            spec.cell,
            spec.description or column.replace("_", " "),
            cast(Any, shape),
        )

    # -- values ------------------------------------------------------------------------------

    def _replicates(self, ref: str, run: str, time: str) -> tuple[str, Any, Any, Any]:
        """(id column, ids, values, present), the last two of shape (replicates, entities)."""
        parsed, port, column = self._find(ref)
        tables = []
        seen: dict[int, Table] = {}
        for recording in self._recordings(parsed, run):
            if id(recording) not in seen:
                ids, values, known = per_entity(recording, column, time)
                seen[id(recording)] = Table({"id": ids, "value": values}, {"value": ~known})
            tables.append(seen[id(recording)])
        value = port.columns[column]
        joined = Port({"value": value})
        if port.id is not None:
            joined = Port({"id": port.columns[port.id], "value": value}, entity="x", id="id")
        ids, rows = align(tables, joined)
        block, present = stack(tables, "value", rows, len(ids))
        return port.id or "row", ids, block, present

    def values(self, ref: str, run: str, time: str = "mean") -> Table:
        return _spread(*self._replicates(ref, run, time))

    def paired(self, ref: str, run: str, time: str = "mean") -> Table:
        name, ids, block, present = self._replicates(ref, run, time)
        _, base_ids, base, base_present = self._replicates(ref, self.names[0], time)
        at = {i: n for n, i in enumerate(base_ids)}
        pairs = [(n, at[i]) for n, i in enumerate(ids) if i in at]
        mine, theirs = np.array(pairs, int).reshape(-1, 2).T
        both = present[:, mine] & base_present[:, theirs]
        return _spread(name, ids[mine], block[:, mine] - base[:, theirs], both)

    def series(self, ref: str, run: str, space: str = "mean") -> Table:
        parsed, _, column = self._find(ref)
        if space not in OVER_SPACE:
            raise Unsupported(f"'{space}' is no reduction over space", fix=nearest(space, OVER_SPACE))
        lines = [_over_space(r, column, space) for r in self._recordings(parsed, run)]
        starts = sorted(set().union(*lines))
        block = np.array([[line.get(s, np.nan) for s in starts] for line in lines], float)
        block = block.reshape(len(lines), len(starts))
        times = self.ensemble.twin.period.start + np.array(starts, "timedelta64[us]")
        known = ~np.isnan(block)
        return _spread("time", times, np.where(known, block, 0.0), known)

    def places(self, ref: str, run: str | None = None) -> Table:
        twin = self.ensemble.twin
        parsed, _ = self._port(ref)
        place = place_port(twin, self._plan(), parsed)
        if place is None:
            raise NotFound(
                f"nothing in this twin says where the entities of '{ref}' are",
                code="unresolved reference",
                fix="add a component that gives their geometry, with the same entity set",
            )
        recording = next(self._recordings(place, run or self.names[0]))
        port, table = recording.port, recording.table
        name = cast(str, port.geometry_column)
        crs = port.columns[name].crs or "twin"
        step = crs_step(twin.crs if crs == "twin" else crs, twin.crs, twin.bbox, ref)
        if step is not None:
            table = reproject(table, name, step)
        texts = [n for n, c in port.columns.items() if c.kind == "text" and n != port.id]
        chosen = table.select(cast(str, port.id), *texts, name)
        return chosen.rename({name: "geometry"})

    # -- words -------------------------------------------------------------------------------

    def credits(self, ref: str) -> list[str]:
        return credits_of(self._plan(), self._port(ref)[0])

    def synthetic(self, ref: str) -> list[str]:
        return synthetic_of(self._plan(), self._port(ref)[0])

    def flags(self, run: str) -> list[Flag]:
        scenarios = self.record["scenarios"]
        if run not in scenarios:
            raise NotFound(f"there is no run '{run}' here", code="no run", fix=nearest(run, scenarios))
        return [Flag(f["name"], max(f["values"]), f["unit"], f["text"]) for f in scenarios[run]["flags"]]

    # -- what is put beside the scene --------------------------------------------------------

    def publish(
        self, id: str, table: Table, *, port: Port, source: Sequence[str] = (), crs: str | None = None
    ) -> scene.DataRef:
        name = port.geometry_column
        bounds = None
        if name is not None:
            place = replace(port.columns[name], crs=crs or self.crs)
            port = port.replace(columns={**port.columns, name: place})
        table = cast(Table, check(table, port, f"published '{id}'"))
        if name is not None and len(table):
            import shapely

            found = [float(v) for v in shapely.total_bounds(table[name])]
            bounds = cast(Any, tuple(found)) if np.isfinite(found).all() else None
        known, same = self.published.get(id), (port, table.digest)
        if id in self.images or (known is not None and (known[0], known[1].digest) != same):
            raise _twice(id)
        self.published[id] = (port, table)
        said = [t for ref in source for t in self.synthetic(ref)]
        owed = [t for ref in source for t in self.credits(ref)]
        return scene.DataRef(
            id=id,
            sha256=table.digest,
            rows=len(table),
            crs=(crs or self.crs) if name else None,
            bounds=bounds,
            fields=[
                scene.DataField(name=n, kind=c.kind, unit=c.unit, quantity=c.quantity, title=c.description)
                for n, c in port.columns.items()
            ],
            attribution="; ".join(dict.fromkeys(owed)) or None,
            synthetic=" ".join(dict.fromkeys(said)) or None,
        )

    def publish_image(self, id: str, content: bytes, media: str) -> scene.DataRef:
        if id in self.published or self.images.get(id, content) != content:
            raise _twice(id)
        self.images[id] = bytes(content)
        return scene.DataRef(id=id, media=media, sha256=hashlib.sha256(content).hexdigest(), rows=0)


def _twice(id: str) -> InputError:
    return InputError(
        f"'{id}' is published twice, with other content", fix="give each table an id of its own"
    )


def _told(call: Callable[[], Any]) -> Any:
    """What a twin file would be told as an error of wiring is ``NotFound`` to a viewer."""
    try:
        return call()
    except WiringError as exc:
        raise NotFound(exc.what, code=exc.code, where=exc.where, fix=exc.fix) from exc


def _spread(name: str, ids: Any, block: Any, present: Any) -> Table:
    """Mean, lowest and highest over the replicates (first axis)."""
    weights = np.ones(len(block))
    value, known = collapse(block, present, "mean", weights)
    low, _ = collapse(block, present, "min", weights)
    high, _ = collapse(block, present, "max", weights)
    masks = {} if known.all() else dict.fromkeys(("value", "low", "high"), ~known)
    return Table({name: ids, "value": value, "low": low, "high": high}, masks)


def _over_space(recording: Recording, column: str, how: str) -> dict[int, float]:
    """One value per window by its start; NaN where nothing is known. The sum of no rows is 0."""
    found = {}
    for i, (start, end) in enumerate(recording.windows.tolist()):
        if end > start:
            table = recording.window(i)
            values = table[column][~table.mask(column)].astype(float)
            empty_sum = how == "sum" and not len(table)
            found[start] = float(OVER_SPACE[how](values)) if len(values) or empty_sum else np.nan
    return found
