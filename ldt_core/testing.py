"""For authors of viewers: an in-memory ``View`` to test a viewer with.

Values are written down in the test, so that what a viewer must show can be computed by hand, without a
twin, a store or a run::

    from ldt_core import scene, testing

    runs = [scene.RunRef(name="base", title="Today"), scene.RunRef(name="calm", title="Calm streets")]
    noise = testing.Variable({"base": [[[60.0, 50.0]]], "calm": [[[57.0, 50.0]]]}, unit="dB", title="sound level")
    view = testing.MemoryView(runs, {"noise.levels.level": noise})
    shown = MyViewer().render(view)

Only tests import this module.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import shapely

from .errors import InputError, NotFound, Unsupported, nearest
from .interfaces import Flag, Info, View, parse_duration
from .resample import REDUCTIONS, collapse
from .scene import DataField, DataRef, Kpi, RunRef
from .tables import Cell, Port, Table, check

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHAPES: Mapping[int, Literal["point", "line", "polygon"]] = {0: "point", 1: "line", 2: "polygon"}


@dataclass(frozen=True)
class Variable:
    """One column as its runs gave it.

    ``values`` holds by run an array of the shape (replicates, windows, places), NaN where there is no
    value. ``places`` has one row per place: the id column first, then text columns and ``geometry``;
    without a ``geometry`` column nobody knows where they are, and without the table the ids are p0, p1, ...
    The other fields are those of a port's column, and what its port says of its data.

    Raises ``InputError`` where the shapes do not fit together.
    """

    values: Mapping[str, Any]
    places: Table | None = None
    _: KW_ONLY
    unit: str | None = None
    quantity: str | None = None
    cell: Cell = "mean"
    title: str = ""
    credits: Sequence[str] = ()
    synthetic: Sequence[str] = ()

    def __post_init__(self) -> None:
        blocks = {run: np.array(block, float) for run, block in self.values.items()}
        for run, block in blocks.items():
            if block.ndim != 3:
                raise InputError(
                    f"the values of '{run}' have {block.ndim} dimensions",
                    fix="give an array of the shape (replicates, windows, places)",
                )
        if self.places is None:
            count = max((block.shape[2] for block in blocks.values()), default=0)
            ids = np.array([f"p{i}" for i in range(count)], object)
            object.__setattr__(self, "places", Table({"place": ids}))
        for run, block in blocks.items():
            if block.shape[2] != len(self.table):
                raise InputError(
                    f"'{run}' has values for {block.shape[2]} places, and there are {len(self.table)}",
                    fix="give one value, or NaN, for each place",
                )
        object.__setattr__(self, "values", blocks)

    @property
    def table(self) -> Table:
        """The places, given or made up."""
        return cast(Table, self.places)


@dataclass
class MemoryView(View):
    """A view of ``variables`` by ``component.port.column``; the first of ``runs`` is the baseline.

    What it answers is what a view of a finished run would answer. Windows follow each other from ``start``
    (UTC), each ``step`` long; without an ``end`` they end with the last window. ``show`` lists all variables
    where it is left out. ``raised`` holds what ``flags`` answers, by run.

    What a viewer publishes is kept in ``published`` and ``images``, by id.
    """

    runs: Sequence[RunRef]
    variables: Mapping[str, Variable]
    kpis: Sequence[Kpi] = ()
    _: KW_ONLY
    show: Sequence[str] = ()
    title: str = "Old town"
    crs: str = "EPSG:3035"
    bounds: tuple[float, float, float, float] | None = None
    start: str = "2026-03-02T05:00:00Z"
    end: str = ""
    step: str = "15min"
    zone: str = "Europe/Rome"
    locale: str = "en"
    audience: Literal["planner", "citizen", "vendor", "developer"] = "planner"
    medium: Literal["app", "notebook", "html", "print", "png"] = "html"
    budget: int = 6_000_000
    raised: Mapping[str, Sequence[Flag]] = field(default_factory=dict)
    published: dict[str, Table] = field(default_factory=dict, init=False)
    images: dict[str, bytes] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        for ref in self.variables:
            if len(ref.split(".")) != 3:
                raise InputError(f"'{ref}' is no component.port.column", fix="such as noise.levels.level")
        self.show = self.show or list(self.variables)
        counts = [block.shape[1] for v in self.variables.values() for block in v.values.values()]
        self.end = self.end or f"{self._times(max(counts, default=0) + 1)[-1].astype('datetime64[s]')}Z"

    # -- meaning -----------------------------------------------------------------------------

    def _find(self, ref: str) -> tuple[str, Variable]:
        """The variable that ``component.port.column`` names, or ``component.port`` where it has one."""
        found = [r for r in self.variables if ref in (r, r.rpartition(".")[0])]
        if len(found) != 1:
            raise NotFound(
                f"'{ref}' names {len(found)} variables of this view",
                code="unresolved reference",
                where=ref,
                fix=nearest(ref, self.variables),
            )
        return found[0], self.variables[found[0]]

    def info(self, ref: str) -> Info:
        full, found = self._find(ref)
        component, port, column = full.split(".")
        title = found.title or column.replace("_", " ")
        shape = None
        if "geometry" in found.table:
            dimensions = shapely.get_dimensions(found.table["geometry"])
            shape = SHAPES.get(int(dimensions.max(initial=-1)))
        return Info(ref, component, port, column, found.unit, found.quantity, found.cell, title, shape)

    # -- values ------------------------------------------------------------------------------

    def _block(self, ref: str, run: str) -> NDArray[np.float64]:
        """(replicates, windows, places)."""
        values = self._find(ref)[1].values
        if run not in values:
            raise NotFound(f"'{ref}' has no run '{run}'", code="no run", where=ref, fix=nearest(run, values))
        return cast("NDArray[np.float64]", values[run])

    def _over_time(self, ref: str, run: str, how: str) -> NDArray[np.float64]:
        """(replicates, places)."""
        if how not in REDUCTIONS:
            raise Unsupported(f"'{how}' is no reduction over time", fix=nearest(how, REDUCTIONS))
        return _reduce(self._block(ref, run), how)

    def values(self, ref: str, run: str, time: str = "mean") -> Table:
        return self._by_place(ref, self._over_time(ref, run, time))

    def paired(self, ref: str, run: str, time: str = "mean") -> Table:
        base = self._over_time(ref, self.runs[0].name, time)
        return self._by_place(ref, self._over_time(ref, run, time) - base)

    def _by_place(self, ref: str, block: NDArray[np.float64]) -> Table:
        places = self._find(ref)[1].table
        return _spread(places.names[0], places[places.names[0]], block)

    def series(self, ref: str, run: str, space: str = "mean") -> Table:
        over_space = [r for r in REDUCTIONS if r != "last"]
        if space not in over_space:
            raise Unsupported(f"'{space}' is no reduction over space", fix=nearest(space, over_space))
        block = self._block(ref, run).swapaxes(1, 2)
        # The sum of no places is 0; any other reduction of none is unknown.
        lines = block.sum(axis=1) if space == "sum" and not block.shape[1] else _reduce(block, space)
        return _spread("time", self._times(lines.shape[1]), lines)

    def _times(self, count: int) -> NDArray[np.datetime64]:
        start = np.datetime64(self.start.removesuffix("Z"), "us")
        times: NDArray[np.datetime64] = start + np.arange(count) * np.timedelta64(
            parse_duration(self.step), "us"
        )
        return times

    def places(self, ref: str, run: str | None = None) -> Table:
        table = self._find(ref)[1].table
        if "geometry" not in table:
            raise NotFound(f"nothing says where the entities of '{ref}' are", code="unresolved reference")
        return table

    # -- words -------------------------------------------------------------------------------

    def credits(self, ref: str) -> list[str]:
        return list(self._find(ref)[1].credits)

    def synthetic(self, ref: str) -> list[str]:
        return list(self._find(ref)[1].synthetic)

    def flags(self, run: str) -> list[Flag]:
        return list(self.raised.get(run, ()))

    # -- what is put beside the scene --------------------------------------------------------

    def publish(
        self, id: str, table: Table, *, port: Port, source: Sequence[str] = (), crs: str | None = None
    ) -> DataRef:
        name = port.geometry_column
        bounds = None
        if name is not None:
            place = replace(port.columns[name], crs=crs or self.crs)
            port = port.replace(columns={**port.columns, name: place})
        table = cast(Table, check(table, port, f"published '{id}'"))
        if name is not None:
            found = shapely.total_bounds(table[name])
            bounds = cast(Any, tuple(found.tolist())) if np.isfinite(found).all() else None
        known = self.published.get(id)
        if id in self.images or (known is not None and known.digest != table.digest):
            raise _twice(id)
        self.published[id] = table
        made_up = [text for ref in source for text in self.synthetic(ref)]
        owed = [text for ref in source for text in self.credits(ref)]
        return DataRef(
            id=id,
            sha256=table.digest,
            rows=len(table),
            crs=(crs or self.crs) if name else None,
            bounds=bounds,
            fields=[
                DataField(name=n, kind=c.kind, unit=c.unit, quantity=c.quantity, title=c.description)
                for n, c in port.columns.items()
            ],
            attribution="; ".join(dict.fromkeys(owed)) or None,
            synthetic=" ".join(dict.fromkeys(made_up)) or None,
        )

    def publish_image(self, id: str, content: bytes, media: str) -> DataRef:
        if id in self.published or self.images.get(id, content) != content:
            raise _twice(id)
        self.images[id] = bytes(content)
        return DataRef(id=id, media=media, sha256=hashlib.sha256(content).hexdigest(), rows=0)


def _twice(id: str) -> InputError:
    return InputError(
        f"'{id}' is published twice, with other content", fix="give each table an id of its own"
    )


def _known(block: NDArray[np.float64], how: str) -> NDArray[np.float64]:
    """The first axis reduced over what is known; NaN where nothing is."""
    present = ~np.isnan(block)
    values, known = collapse(np.where(present, block, 0.0), present, how, np.ones(len(block)))
    return np.where(known, values, np.nan)


def _reduce(block: NDArray[np.float64], how: str) -> NDArray[np.float64]:
    """The second axis of three reduced."""
    count, _, rest = block.shape
    return np.array([_known(one, how) for one in block], float).reshape(count, rest)


def _spread(name: str, ids: Any, block: NDArray[np.float64]) -> Table:
    """Mean, lowest and highest over the replicates (first axis)."""
    found = {n: _known(block, how) for n, how in (("value", "mean"), ("low", "min"), ("high", "max"))}
    unknown = np.isnan(found["value"])
    masks = dict.fromkeys(found, unknown) if unknown.any() else {}
    return Table({name: ids, **{n: np.where(unknown, 0.0, v) for n, v in found.items()}}, masks)
