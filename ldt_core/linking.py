"""Whether two ports fit, and what must stand between them: every link becomes a wire, or an error in its place."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import errors as e
from .adapters import Adapter, CrsStep, crs_step
from .catalog import Offer
from .homes import Home
from .interfaces import AnyPort, Component, Model, Simulator
from .resample import LEVEL_FIX, UNSTATED, reduction
from .tables import Column, GridPort, Port
from .twin import Link, Ref, Twin
from .units import conversion
from .wires import Wire

PERSONAL = ("none", "pseudonymous", "personal", "sensitive")


@dataclass(frozen=True)
class Node:
    """One component of the twin, resolved: its class, parameters, ports, step (us) and capabilities."""

    name: str
    home: Home
    component: type[Component]
    params: Any
    raw_params: Mapping[str, Any]
    inputs: Mapping[str, AnyPort]
    outputs: Mapping[str, AnyPort]
    step: int | None = None
    capabilities: frozenset[str] = frozenset()

    @property
    def offer(self) -> Offer:
        return self.home.offer

    def seed(self, twin_seed: int, replicate: int) -> int:
        """Depends on the twin's seed, the component's name and the replicate, never on the scenario."""
        text = f"{twin_seed}\0{self.name}\0{replicate}".encode()
        return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1


@dataclass
class Linker:
    """Joins the links of one twin. ``notes`` and ``unproved`` collect what the plan should say of them."""

    twin: Twin
    nodes: Mapping[str, Node]
    notes: list[str]
    unproved: list[str]

    def join(self, link: Link, index: int) -> Wire:
        """The wire of ``twin.links[index]``. Raises ``WiringError``, ``ScheduleError``, ``TwinFileError``."""
        place = self.twin.place("connect", index)
        source = self._port(link.source, "outputs", self.twin.place("connect", index, "from"))
        target = self._port(link.target, "inputs", self.twin.place("connect", index, "to"))
        self._refuse_later_words(link, index)
        if isinstance(source, GridPort) or isinstance(target, GridPort):
            both = type(source) is type(target)
            raise e.WiringError(
                "links of grids are not in this version" if both else "a grid and a table do not join",
                code="not in this version" if both else "shape",
                where=place,
                fix="put a model between that takes the grid's values to the entities of a table",
            )
        _check_ports(link, source, target, place)
        used = _used(link, source, target, place)
        adapter = self._adapter(link, source, target, used, place)
        if link.merge == "sum":
            _refuse_sum_of_levels(link, target, place)
        if link.when != "now":
            self._check_earlier(link, source, target, index)
        self._refuse_words_of_iterate(link, index)
        reduced = source.at == "step" and target.at == "step" and not source.events
        methods = {
            own: reduction(column, link.over_time if column.measured else None, place) if reduced else "last"
            for own in used.values()
            if own != source.id and (column := source.columns[own]).kind != "instant"
        }
        return Wire(
            link.source.component,
            link.source.port,
            link.target.component,
            link.target.port,
            link.when,
            methods,
            adapter,
            link.init,
            link.merge,
            place,
            target if _needs_check(source, target, used, adapter) else None,
            tuple(target.columns) if len(source.columns) > len(target.columns) else (),
            link.tolerance or Wire.tolerance,
            link.relaxation or Wire.relaxation,
            link.passes or Wire.passes,
        )

    def _port(self, ref: Ref, side: str, place: str) -> AnyPort:
        node = self.nodes[ref.component]
        ports: Mapping[str, AnyPort] = getattr(node, side)
        if ref.port not in ports:
            raise e.WiringError(
                f"'{ref.component}' ({node.offer.id}) has no {side[:-1]} port '{ref.port}'",
                code="unresolved reference",
                where=place,
                fix=e.nearest(ref.port, ports),
            )
        return ports[ref.port]

    def _refuse_later_words(self, link: Link, index: int) -> None:
        for word in ("map", "over_space"):
            if getattr(link, word) is not None:
                raise e.WiringError(
                    f"{word}: on a link is not in this version",
                    code="not in this version",
                    where=self.twin.place("connect", index, word),
                    fix="put a model between that joins the two entity sets",
                )

    # -- columns ----------------------------------------------------------------------------

    def _adapter(
        self, link: Link, source: Port, target: Port, used: Mapping[str, str], place: str
    ) -> Adapter:
        convert: dict[str, tuple[float, float]] = {}
        crs = None
        for name, wanted in target.columns.items():
            offered = source.columns[used[name]]
            where = f"{place} ({link.source}.{used[name]} -> {link.target}.{name})"
            fit = self._match(link, used[name], offered, wanted, where)
            if isinstance(fit, CrsStep):
                crs = fit
                self.notes.append(
                    f"{where}: {fit.source:.40} -> {fit.target:.40}, {fit.operation}, "
                    f"accurate to {fit.accuracy:g} m"
                )
            elif fit is not None:
                convert[name] = fit
                self.notes.append(
                    f"{where}: {offered.unit} -> {wanted.unit}, x {fit[0]:.15g} + {fit[1]:.15g}"
                )
            if wanted.measured and target.at == "step" and source.at == "step" and not source.events:
                _match_cell(offered, wanted, link.over_time, where)
        return Adapter(dict(link.rename), convert, crs, target.geometry_column)

    def _match(
        self, link: Link, own: str, offered: Column, wanted: Column, where: str
    ) -> tuple[float, float] | CrsStep | None:
        """What must be done to one column; ``WiringError`` where the columns do not fit."""
        averaged = link.over_time in ("mean", "energetic") and offered.measured
        if offered.kind != wanted.kind and (offered.kind, wanted.kind) != ("integer", "number"):
            raise e.WiringError(
                f"{offered.kind} does not fit {wanted.kind}",
                code="dtype",
                where=where,
                fix="link a column of that kind, or put a model between that computes one from the other",
            )
        if averaged and wanted.kind == "integer":
            raise _mean_of_counts(own, where)
        if wanted.kind == "geometry":
            return self._match_geometry(own, offered, wanted, where)
        if not wanted.measured:
            return None
        if offered.unit is None:
            raise _unsaid(link, own, "unit", "...", where)
        if offered.quantity is None and wanted.quantity is not None:
            raise _unsaid(link, own, "quantity", wanted.quantity, where)
        if wanted.quantity is not None and offered.quantity != wanted.quantity:
            raise e.WiringError(
                f"{offered.quantity} does not fit {wanted.quantity}",
                code="quantity",
                where=where,
                fix="link a port that measures the same, or put a model between",
            )
        try:
            gain, offset = conversion(offered.unit, wanted.unit or "1")
        except e.WiringError as exc:
            exc.where = where
            raise
        return None if (gain, offset) == (1.0, 0.0) else (gain, offset)

    def _match_geometry(self, own: str, offered: Column, wanted: Column, where: str) -> CrsStep | None:
        fits = wanted.geometry in (None, "Geometry", offered.geometry) or (
            wanted.geometry == "MultiPolygon" and offered.geometry == "Polygon"
        )
        if not fits:
            raise e.WiringError(
                f"{offered.geometry} does not fit {wanted.geometry}",
                code="geometry",
                where=where,
                fix="link a port of that geometry, or put a model between that makes it",
            )
        if offered.crs is None:
            raise e.WiringError(
                "the source does not say its CRS",
                code="CRS missing",
                where=where,
                fix=f"write columns: {{{own}: {{crs: ...}}}} under the source in the twin file",
            )
        twin = self.twin
        source = twin.crs if offered.crs == "twin" else offered.crs
        target = twin.crs if wanted.crs == "twin" else wanted.crs
        return None if target is None else crs_step(source, target, twin.bbox, where, bbox_crs=twin.crs)

    def _refuse_words_of_iterate(self, link: Link, index: int) -> None:
        for word in ("tolerance", "relaxation", "passes"):
            if link.when != "iterate" and getattr(link, word) is not None:
                raise e.TwinFileError(
                    f"{word}: belongs to an iterate link, this one is when: {link.when}",
                    code="bad value",
                    where=self.twin.place("connect", index, word),
                    fix=f"remove {word}, or write when: iterate",
                )

    # -- lag and iterate ----------------------------------------------------------------------

    def _check_earlier(self, link: Link, source: Port, target: Port, index: int) -> None:
        """What a link needs that reads what was there before its source's window: a first value."""
        place, giver = self.twin.place("connect", index), self.nodes[link.source.component]
        if source.at == "start" or target.at == "start":
            raise e.ScheduleError(
                f"{link.source} is given once at the start, and a link with when: {link.when} reads windows",
                code="init missing",
                where=place,
                fix=f"remove when: {link.when}",
            )
        if link.when == "iterate" and (source.events or not issubclass(giver.component, (Model, Simulator))):
            gives = "events" if source.events else "what it reads once"
            raise e.ScheduleError(
                f"{link.source} gives {gives}, which no repetition of a window can settle",
                code="shape",
                where=place,
                fix="write when: lag, or remove when:",
            )
        if link.init is not None:
            self._check_init(link, target, index)
        elif not issubclass(giver.component, Simulator):
            raise e.ScheduleError(
                f"the {link.when} link from {link.source} has no value for the first window",
                code="init missing",
                where=place,
                fix="add init: with a value to the link",
            )
        else:
            self.unproved.append(
                f"{place}: whether initialize of '{giver.name}' gives {link.source}, which the {link.when} link reads first"
            )

    def _check_init(self, link: Link, target: Port, index: int) -> None:
        if target.entity is not None and not self._lists(target.entity, link):
            raise e.ScheduleError(
                f"no port at the start lists the entities '{target.entity}' that init: fills",
                code="init missing",
                where=self.twin.place("connect", index),
                fix=f"leave init: out and let initialize of '{link.source.component}' return the port",
            )
        for name, column in target.columns.items():
            wrong = None if name == target.id else _init_problem(column, link.init)
            if wrong:
                raise e.TwinFileError(
                    f"init: fills '{name}', {wrong}",
                    code="bad value",
                    where=self.twin.place("connect", index, "init"),
                    fix="write a value that every column of the receiver can take",
                )

    def _lists(self, entity: str, link: Link) -> bool:
        nodes = [self.nodes[r.component] for r in (link.source, link.target)]
        ports = [p for n in nodes for side in (n.inputs, n.outputs) for p in side.values()]
        return any(p.at == "start" and p.entity == entity for p in ports)


def _init_problem(column: Column, init: Any) -> str | None:
    """Why ``init`` cannot stand in the column, in words."""
    if column.kind == "instant":
        return None
    allowed: dict[str, tuple[type, ...]] = {
        "number": (int, float),
        "integer": (int,),
        "boolean": (bool,),
        "text": (str,),
    }
    fits = isinstance(init, allowed.get(column.kind, ())) and isinstance(init, bool) == (
        column.kind == "boolean"
    )
    if not fits:
        return f"a column of kind {column.kind}, with {init!r}"
    low, high = column.range or (-math.inf, math.inf)
    if isinstance(init, (int, float)) and not low <= init <= high:
        return f"whose range is {low:g} to {high:g}, with {init!r}"
    return None


def _check_ports(link: Link, source: Port, target: Port, place: str) -> None:
    """What can be said of two ports as a whole."""
    if source.at == "step" and target.at == "start":
        raise e.WiringError(
            f"{link.target} is read once at the start, {link.source} comes in every window",
            code="step",
            where=place,
            fix="link a port that is given at the start",
        )
    if target.entity and source.entity != target.entity:
        speaks = f"'{source.entity}'" if source.entity else "no entity set"
        raise e.WiringError(
            f"{link.source} speaks of {speaks}, {link.target} of '{target.entity}'",
            code="entities",
            where=place,
            fix="link ports of one entity set",
        )
    if target.events != source.events and target.at == "step":
        raise e.WiringError(
            f"{link.source} {'gives' if source.events else 'gives no'} events, {link.target} "
            f"{'wants' if target.events else 'wants no'} events",
            code="shape",
            where=place,
            fix="link a port of the same sort, or put a model between that counts the events",
        )
    if PERSONAL.index(source.personal) > PERSONAL.index(target.personal):
        raise e.WiringError(
            f"{link.source} holds data of the class '{source.personal}', {link.target} accepts '{target.personal}'",
            code="personal data",
            where=place,
            fix="put a model between that aggregates it, or link a receiver that declares the class",
        )


def _used(link: Link, source: Port, target: Port, place: str) -> dict[str, str]:
    """The source's column for each of the target's."""
    inverse = {new: old for old, new in link.rename.items()}
    for old in link.rename:
        if old not in source.columns:
            raise e.WiringError(
                f"rename: {link.source} has no column '{old}'",
                code="shape",
                where=place,
                fix=e.nearest(old, source.columns),
            )
    used = {}
    for name in target.columns:
        own = inverse.get(name, name)
        if own not in source.columns or (own == name and own in link.rename):
            raise e.WiringError(
                f"{link.target} needs the column '{name}', {link.source} has {', '.join(source.columns)}",
                code="shape",
                where=place,
                fix=f"{e.nearest(name, source.columns)} If one of them is meant, write rename: {{its name: {name}}}",
            )
        used[name] = own
    if target.id is not None and used[target.id] != source.id:
        raise e.WiringError(
            f"{link.source} names each '{source.entity}' by '{source.id}', {link.target} by '{used[target.id]}'",
            code="entities",
            where=place,
            fix=f"write rename: {{{source.id}: {target.id}}}",
        )
    return used


def _match_cell(offered: Column, wanted: Column, asked: str | None, where: str) -> None:
    if asked is not None:
        reduction(offered, asked, where)
    given = offered.cell if asked is None else {"last": "point", "energetic": "mean"}.get(asked, asked)
    if given != wanted.cell:
        raise e.WiringError(
            f"the source gives a {given} over its window, the receiver wants a {wanted.cell}",
            code="cell method",
            where=where,
            fix=f"write over_time: {wanted.cell if wanted.cell != 'point' else 'last'} on the link if that is meant",
        )


def _needs_check(source: Port, target: Port, used: Mapping[str, str], adapter: Adapter) -> bool:
    """Whether what the source promises is wider than what the target accepts."""
    for name, wanted in target.columns.items():
        offered = source.columns[used[name]]
        if (offered.nulls and not wanted.nulls) or offered.kind != wanted.kind:
            return True
        if wanted.range is not None:
            if offered.range is None or name in adapter.convert:
                return True
            if offered.range[0] < wanted.range[0] or offered.range[1] > wanted.range[1]:
                return True
    return False


def _refuse_sum_of_levels(link: Link, target: Port, place: str) -> None:
    levels = [n for n, c in target.columns.items() if c.unit == "dB"]
    if levels:
        raise e.WiringError(
            f"merge: sum would add the levels '{levels[0]}' of {link.target}",
            code="cell method",
            where=place,
            fix="put a model between that adds their energies",
        )


def _mean_of_counts(name: str, where: str) -> e.WiringError:
    return e.WiringError(
        f"the mean of the whole numbers '{name}' is no whole number",
        code="dtype",
        where=where,
        fix="link it to a column of numbers, or give both components the same step",
    )


def _unsaid(link: Link, own: str, what: str, example: str, where: str) -> e.WiringError:
    return e.WiringError(
        f"{link.source} does not say the {what} of '{own}'",
        code="quantity" if what == "quantity" else "unit dimension",
        where=where,
        fix=f"write columns: {{{own}: {{{what}: {example}}}}} under '{link.source.component}' in the twin file",
    )


def refuse_reductions(wire: Wire, columns: Mapping[str, Column], used: Mapping[str, str]) -> None:
    """What may hold but not be reduced: levels without a method, whole numbers averaged as such."""
    for wanted, own in used.items():
        method = wire.methods.get(own)
        where = f"{wire.place} ({wire.origin}.{own} -> {wire.target}.{wire.input}.{wanted})"
        if method == UNSTATED:
            raise e.WiringError(
                f"'{own}' is a level in dB, averaged over time only by a stated method",
                code="cell method",
                where=where,
                fix=LEVEL_FIX,
            )
        if method in ("mean", "energetic") and columns[wanted].kind == "integer":
            raise _mean_of_counts(own, where)
