"""What a viewer is given, and the scenes of a run: rendered once, then served from the store."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from . import scene
from .adapters import crs_step, reproject
from .catalog import load
from .ensemble import Ensemble
from .errors import NotFound, RunError
from .identity import lock_digest, package_digest
from .interfaces import Context, Flag, Info, View, Viewer
from .resample import align, collapse, per_entity, stack
from .results import Recordings, credits_of, judged_kpis, place_port, synthetic_of
from .runner import guarded
from .store import Store
from .tables import Port, Recording, Table, port_as_dict
from .twin import Ref, ViewDefinition
from .wanted import resolve, value_column
from .wiring import read_params


@dataclass(frozen=True)
class RenderedScene:
    """A scene with the tables that it refers to, by the id of their ``DataRef``."""

    scene: scene.Scene
    tables: Mapping[str, Table]


@dataclass
class RunView(View):
    """The view of a finished ensemble."""

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

    def _plan(self) -> Any:
        return self.ensemble.plans[self.names[0]]

    def _find(self, ref: str) -> tuple[Ref, Port, str]:
        parts = ref.split(".")
        if len(parts) not in (2, 3):
            raise NotFound(f"'{ref}' is no component.port.column", code="unresolved reference")
        parsed = Ref(parts[0], parts[1], parts[2] if len(parts) == 3 else None)
        outputs = {n: node.outputs for n, node in self._plan().nodes.items()}
        port = resolve(parsed, outputs, ref)
        return parsed, port, value_column(parsed, port, ref) if port.value_columns else ""

    def info(self, ref: str) -> Info:
        parsed, port, column = self._find(ref)
        spec = port.columns[column]
        place = place_port(self.ensemble.twin, self._plan(), parsed)
        shape = None
        if place is not None:
            owner = cast(Port, self._plan().nodes[place.component].outputs[place.port])
            kind = owner.columns[cast(str, owner.geometry_column)].geometry
            shape = {"Point": "point", "LineString": "line"}.get(kind or "", "polygon")
        title = spec.description or column.replace("_", " ")
        return Info(
            ref,
            parsed.component,
            parsed.port,
            column,
            spec.unit,
            spec.quantity,
            spec.cell,
            title,
            cast(Any, shape),
        )

    # -- values ------------------------------------------------------------------------------

    def _replicates(self, ref: str, run: str, time: str) -> tuple[str, Any, Any, Any]:
        """(id column, ids, values, present), the last two of shape (replicates, entities)."""
        parsed, port, column = self._find(ref)
        tables = []
        seen: dict[int, Table] = {}
        for replicate in range(self.ensemble.replicates):
            recording = self.recordings.get(run, parsed, replicate)
            if id(recording) not in seen:
                ids, values, known = per_entity(recording, column, time)
                seen[id(recording)] = Table({"id": ids, "value": values}, {"value": ~known})
            tables.append(seen[id(recording)])
        joined = (
            Port({"id": port.columns[port.id], "value": port.columns[column]}, entity="x", id="id")
            if (port.id)
            else Port({"value": port.columns[column]})
        )
        ids, rows = align(tables, joined)
        block, present = stack(tables, "value", rows, len(ids))
        return port.id or "row", ids, block, present

    def values(self, ref: str, run: str, time: str = "mean") -> Table:
        name, ids, block, present = self._replicates(ref, run, time)
        return _spread(name, ids, block, present)

    def paired(self, ref: str, run: str, time: str = "mean") -> Table:
        name, ids, block, present = self._replicates(ref, run, time)
        _, base_ids, base, base_present = self._replicates(ref, self.names[0], time)
        at = {i: n for n, i in enumerate(base_ids)}
        pairs = [(n, at[i]) for n, i in enumerate(ids) if i in at]
        mine, theirs = np.array(pairs, int).reshape(-1, 2).T
        return _spread(
            name, ids[mine], block[:, mine] - base[:, theirs], present[:, mine] & base_present[:, theirs]
        )

    def series(self, ref: str, run: str, space: str = "mean") -> Table:
        parsed, _, column = self._find(ref)
        lines = []
        for replicate in range(self.ensemble.replicates):
            recording = self.recordings.get(run, parsed, replicate)
            lines.append(_over_space(recording, column, space))
        count = min(len(v) for v in lines)
        block = np.stack([v[:count] for v in lines])
        windows = recording.windows[recording.windows[:, 1] > recording.windows[:, 0]][:count]
        start = self.ensemble.twin.period.start
        times = start + windows[:, 0].astype("timedelta64[us]")
        known = ~np.isnan(block)
        spread = _spread("time", times, np.nan_to_num(block), known)
        return spread

    def places(self, ref: str, run: str | None = None) -> Table:
        parsed, _, _ = self._find_place(ref)
        twin = self.ensemble.twin
        recording = self.recordings.get(run or self.names[0], parsed, 0)
        port, table = recording.port, recording.table
        name = cast(str, port.geometry_column)
        crs = port.columns[name].crs or "twin"
        step = crs_step(twin.crs if crs == "twin" else crs, twin.crs, twin.bbox, ref)
        if step is not None:
            table = reproject(table, name, step)
        texts = [n for n, c in port.columns.items() if c.kind == "text" and n != port.id]
        chosen = table.select(cast(str, port.id), *texts, name)
        return chosen.rename({name: "geometry"})

    def _find_place(self, ref: str) -> tuple[Ref, Port, str]:
        parts = ref.split(".")
        parsed = Ref(parts[0], parts[1], None)
        outputs = {n: node.outputs for n, node in self._plan().nodes.items()}
        resolve(parsed, outputs, ref)
        place = place_port(self.ensemble.twin, self._plan(), parsed)
        if place is None:
            raise NotFound(
                f"nothing in this twin says where the entities of '{ref}' are",
                code="unresolved reference",
                fix="add a component that gives their geometry, with the same entity set",
            )
        port = resolve(place, outputs, ref)
        return place, port, ""

    # -- words -------------------------------------------------------------------------------

    def credits(self, ref: str) -> list[str]:
        return credits_of(self._plan(), self._place_of_words(ref))

    def synthetic(self, ref: str) -> list[str]:
        return synthetic_of(self._plan(), self._place_of_words(ref))

    def _place_of_words(self, ref: str) -> Ref:
        component, port = ref.split(".")[:2]
        resolve(Ref(component, port), {n: node.outputs for n, node in self._plan().nodes.items()}, ref)
        return Ref(component, port)

    def flags(self, run: str) -> list[Flag]:
        return [
            Flag(f["name"], max(f["values"]), f["unit"], f["text"])
            for f in self.record["scenarios"][run]["flags"]
        ]

    def publish(
        self, id: str, table: Table, *, port: Port, source: Sequence[str] = (), crs: str | None = None
    ) -> scene.DataRef:
        name = port.geometry_column
        bounds = None
        if name is not None and len(table):
            import shapely

            bounds = tuple(float(v) for v in shapely.total_bounds(table[name]))
        if name is not None:
            place = port.columns[name].__class__(**{**_slots(port.columns[name]), "crs": crs or self.crs})
            port = port.replace(columns={**port.columns, name: place})
        self.published[id] = (port, table)
        said = [t for ref in source for t in self.synthetic(ref)]
        owed = [t for ref in source for t in self.credits(ref)]
        return scene.DataRef(
            id=id,
            sha256=table.digest,
            rows=len(table),
            crs=(crs or self.crs) if name else None,
            bounds=cast(Any, bounds),
            fields=[
                scene.DataField(name=n, kind=c.kind, unit=c.unit, quantity=c.quantity, title=c.description)
                for n, c in port.columns.items()
            ],
            attribution="; ".join(dict.fromkeys(owed)) or None,
            synthetic=" ".join(dict.fromkeys(said)) or None,
        )


def _slots(column: Any) -> dict[str, Any]:
    return {n: getattr(column, n) for n in column.__slots__}


def _spread(name: str, ids: Any, block: Any, present: Any) -> Table:
    weights = np.ones(len(block))
    value, known = collapse(block, present, "mean", weights)
    low, _ = collapse(block, present, "min", weights)
    high, _ = collapse(block, present, "max", weights)
    masks = {} if known.all() else dict.fromkeys(("value", "low", "high"), ~known)
    return Table({name: ids, "value": value, "low": low, "high": high}, masks)


def _over_space(recording: Recording, column: str, how: str) -> Any:
    """One value per window; NaN where there is none."""
    out = []
    for i in range(len(recording)):
        start, end = recording.windows[i]
        if end <= start:
            continue
        table = recording.window(i)
        values = table[column][~table.mask(column)].astype(float)
        if how == "sum":
            out.append(float(values.sum()))
        elif how == "energetic" and len(values):
            out.append(float(10 * np.log10(np.mean(10 ** (values / 10)))))
        elif not len(values):
            out.append(np.nan)
        else:
            out.append(float(getattr(values, {"mean": "mean", "min": "min", "max": "max"}[how])()))
    return np.array(out, float)


# -- rendering ------------------------------------------------------------------------------


def render_views(ensemble: Ensemble, record: Mapping[str, Any]) -> list[RenderedScene]:
    """Every view of the twin file, in its order."""
    recordings = Recordings(ensemble)
    return [_render(ensemble, recordings, record, id, view) for id, view in ensemble.twin.views.items()]


def _render(
    ensemble: Ensemble, recordings: Recordings, record: Mapping[str, Any], id: str, view: ViewDefinition
) -> RenderedScene:
    twin = ensemble.twin
    offer = ensemble.catalog.find(view.use)
    viewer = load(offer)
    params = read_params(viewer, view.params, twin, ("views", id, "params"))
    names = [n for n in (view.runs or ensemble.scenarios) if n in ensemble.scenarios]
    show = [str(r) for r in view.show]
    store: Store = ensemble.store
    key = store.key(
        {
            "viewer": offer.id,
            "code": package_digest(offer.package),
            "core": package_digest("ldt_core"),
            "lock": lock_digest(offer.distribution),
            "params": params.model_dump(mode="json"),
            "show": show,
            "title": view.title,
            "runs": [[n, record["scenarios"][n]] for n in names],
            "twin": record["twin"],
            "kpis": record["kpis"],
        }
    )
    entry = store.find(key)
    if entry is not None:
        found = scene.Scene.model_validate(json.loads(entry.file("scene.json")))
        return RenderedScene(found, {d.id: entry.recording(d.id).table for d in found.data})
    given = RunView(ensemble, recordings, names, show, record, title=view.title)
    context = Context(start=twin.period.start, crs=twin.crs, bbox=twin.bbox)
    component = cast(Viewer, viewer(params, context))
    rendered = guarded(id, "render", lambda: component.render(given))
    if not isinstance(rendered, scene.Scene):
        raise RunError(
            f"render returned {type(rendered).__name__}, not a Scene", code="contract broken", where=id
        )
    tables = {i: Recording.of(port, [(0, 0, table)]) for i, (port, table) in given.published.items()}
    files = {"scene.json": rendered.model_dump_json(indent=1).encode()}
    store.put(key, tables, {"view": id}, owner=f"view {id}", files=files)
    return RenderedScene(rendered, {i: table for i, (_, table) in given.published.items()})


def describe_ports(ports: Mapping[str, Any]) -> dict[str, Any]:
    return {n: port_as_dict(p) for n, p in ports.items()}
