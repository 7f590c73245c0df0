"""What KPIs and views want of a twin: proved, and turned into what must be recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from . import errors as e
from .catalog import Catalog
from .interfaces import AnyPort, format_duration
from .kpi import check_condition, check_reductions
from .resample import UNSTATED, reduction
from .tables import Column, Port
from .twin import KpiDefinition, Ref, Twin
from .units import strip_annotations


@dataclass(frozen=True)
class Demand:
    """What the wiring knows when it asks: ports and steps (us) by component, and who reads over a stage's edge.

    ``leaving`` maps ``component.port`` to the inputs of other stages that read it.
    """

    twin: Twin
    outputs: Mapping[str, Mapping[str, AnyPort]]
    steps: Mapping[str, int | None]
    leaving: Mapping[str, list[str]]
    catalog: Catalog


def wanted_records(demand: Demand) -> tuple[dict[str, int | None], list[e.LdtError]]:
    """What is recorded (``component.port`` -> thinned to this many us, or None), and all errors.

    Recorded are the ports that leave a stage, what a KPI or a view reads, what is given at the
    start, and what ``record:`` names.
    """
    twin, outputs = demand.twin, demand.outputs
    record: dict[str, int | None] = dict.fromkeys(sorted(demand.leaving))
    errors: list[e.LdtError] = []
    for name, ports in outputs.items():
        tables = {p for p, port in ports.items() if port.at == "start" and isinstance(port, Port)}
        record.update({f"{name}.{p}": None for p in tables})
    for id, kpi in twin.kpis.items():
        try:
            record.update(dict.fromkeys(_kpi_refs(demand, kpi, twin.place("kpis", id))))
        except e.LdtError as exc:
            errors.append(exc)
    for id, view in twin.views.items():
        for index, ref in enumerate(view.show):
            try:
                _check_shown(ref, outputs, twin.place("views", id, "show", index))
                record.setdefault(f"{ref.component}.{ref.port}", None)
            except e.LdtError as exc:
                errors.append(exc)
    for named, rule in twin.record.items():
        try:
            place = twin.place("record", str(named), key=True)
            port = resolve(named, outputs, place)
            if rule.every is not None:
                _check_thinning(demand, named, port, rule.every, place)
            record[f"{named.component}.{named.port}"] = rule.every
        except e.LdtError as exc:
            errors.append(exc)
    return dict(sorted(record.items())), errors


def _check_shown(ref: Ref, outputs: Mapping[str, Mapping[str, AnyPort]], place: str) -> None:
    port = resolve(ref, outputs, place)
    value_column(ref, port, place)
    if port.personal != "none":
        raise e.WiringError(
            f"{ref.component}.{ref.port} holds data of the class '{port.personal}', which a view would show",
            code="personal data",
            where=place,
            fix="show the output of a model that aggregates it",
        )


def _check_thinning(demand: Demand, ref: Ref, port: Port, every: int, place: str) -> None:
    """Refuse a coarser record that cannot be made, or that another component would read."""
    name, step = f"{ref.component}.{ref.port}", demand.steps[ref.component]
    if port.at == "start":
        raise e.WiringError(
            f"{name} is given once, at the start", code="step", where=place, fix="remove every:"
        )
    if port.events or step is None or every == step:
        return
    if name in demand.leaving:
        raise e.WiringError(
            f"{name} is read by {', '.join(sorted(demand.leaving[name]))}, which a record of every "
            f"{format_duration(every)} would change",
            code="step",
            where=place,
            fix="remove every:, or record the output of that component instead",
        )
    if every % step:
        raise e.WiringError(
            f"{name} comes every {format_duration(step)}, which does not divide {format_duration(every)}",
            code="step",
            where=place,
            fix="write a multiple of the component's step",
        )
    for column_name, column in port.columns.items():
        method = reduction(column, None, place)
        if method == UNSTATED or (method == "mean" and column.kind == "integer"):
            raise e.WiringError(
                f"{name}.{column_name} is {'a level in dB' if method == UNSTATED else 'a whole number'}, "
                "which has no mean over time",
                code="cell method",
                where=place,
                fix="remove every:, so that each window is recorded",
            )


def _kpi_refs(demand: Demand, kpi: KpiDefinition, place: str) -> list[str]:
    """The ports that a KPI reads, once it is proved that it can be computed."""
    outputs = demand.outputs
    port = resolve(kpi.of, outputs, place)
    column = value_column(kpi.of, port, place)
    refs = [f"{kpi.of.component}.{kpi.of.port}"]
    for word in ("at", "over_space"):
        if getattr(kpi, word) is not None:
            raise e.WiringError(
                f"{word}: of a KPI is not in this version",
                code="not in this version",
                where=place,
                fix="put a model between that takes the values to those places",
            )
    for condition in kpi.where:
        owner = None
        spec = port.columns.get(condition.column)
        if spec is None:
            owner = attribute_port(outputs, kpi.of, condition.column)
            spec = _attribute_column(outputs, owner)
        if spec is None:
            raise e.WiringError(
                f"where: {kpi.of.component}.{kpi.of.port} has no column '{condition.column}'",
                code="unresolved reference",
                where=place,
                fix=e.nearest(condition.column, port.columns),
            )
        check_condition(condition, spec, place)
        if owner is not None:
            refs.append(f"{owner.component}.{owner.port}")
    try:
        check_reductions(kpi, port.columns[column], port.events, place)
    except e.WiringError as exc:
        exc.where = exc.where or place
        raise
    _check_axes(demand, kpi, port, place)
    if kpi.weight is not None:
        _check_weight(kpi, kpi.weight, port, outputs, place)
        refs.append(f"{kpi.weight.component}.{kpi.weight.port}")
    return refs


def _attribute_column(outputs: Mapping[str, Mapping[str, AnyPort]], owner: Ref | None) -> Column | None:
    return (
        None
        if owner is None or owner.column is None
        else outputs[owner.component][owner.port].columns[owner.column]
    )


def _check_axes(demand: Demand, kpi: KpiDefinition, port: Port, place: str) -> None:
    """A KPI is one number: refuse what would surely leave more."""
    step = demand.steps[kpi.of.component]
    windows = port.at == "step" and not port.events and (step or demand.twin.duration) < demand.twin.duration
    many = {"space": port.entity is not None or port.events, "time": windows}
    for axis, several in many.items():
        if several and axis not in kpi.reduce:
            raise e.WiringError(
                f"the KPI leaves one value per {'window' if axis == 'time' else 'entity'}",
                code="shape",
                where=place,
                fix=f"add {axis}: to reduce:, such as {axis}: mean",
            )
    if kpi.against is not None and port.events and port.id is None:
        raise e.WiringError(
            f"the events of {kpi.of.component}.{kpi.of.port} have no id by which two runs could be compared",
            code="entities",
            where=place,
            fix="remove against: base; `ldt compare` shows the change of the KPI",
        )


def _check_weight(
    kpi: KpiDefinition,
    ref: Ref,
    port: Port,
    outputs: Mapping[str, Mapping[str, AnyPort]],
    place: str,
) -> None:
    weight = resolve(ref, outputs, place)
    column = weight.columns[value_column(ref, weight, place)]
    if weight.entity != port.entity or weight.id is None:
        raise e.WiringError(
            f"the weight speaks of '{weight.entity}', the KPI of '{port.entity}'",
            code="entities",
            where=place,
            fix="weigh by a column of the same entity set",
        )
    if kpi.reduce.get("space") == "sum" and strip_annotations(column.unit or "1") != "1":
        raise e.WiringError(
            f"a sum weighed by '{column.unit}' is not in the unit of {kpi.of}",
            code="unit dimension",
            where=place,
            fix="use space: mean, or let a model compute the product",
        )


def attribute_port(outputs: Mapping[str, Mapping[str, AnyPort]], of: Ref, column: str) -> Ref | None:
    """The port of the same component that gives ``column`` of the same entities at the start.

    So ``where: name == 'Kaivokatu'`` works on flows per edge, whose names stand in the network.
    """
    entity = outputs[of.component][of.port].entity
    for name, port in outputs[of.component].items():
        if entity is not None and port.entity == entity and port.at == "start" and column in port.columns:
            return Ref(of.component, name, column)
    return None


def resolve(ref: Ref, outputs: Mapping[str, Mapping[str, AnyPort]], place: str) -> Port:
    """The output port that a reference names."""
    ports = outputs.get(ref.component, {})
    port = ports.get(ref.port)
    if port is None:
        raise e.WiringError(
            f"'{ref.component}' has no output port '{ref.port}'",
            code="unresolved reference",
            where=place,
            fix=e.nearest(ref.port, ports),
        )
    if not isinstance(port, Port):
        raise e.WiringError(
            "grids cannot be read by KPIs and views in this version",
            code="not in this version",
            where=place,
            fix="put a model between that takes the grid's values to the entities of a table",
        )
    return port


def value_column(ref: Ref, port: Port, place: str) -> str:
    """The column that a reference means; it may be left out where there is one value only."""
    values = port.value_columns
    if ref.column is None:
        if len(values) == 1:
            return values[0]
        raise e.WiringError(
            f"{ref} has {len(values)} value columns" if values else f"{ref} has no column of values",
            code="ambiguous" if values else "shape",
            where=place,
            fix="name one: " + ", ".join(f"{ref}.{n}" for n in values) if values else "name another port",
        )
    if ref.column not in values:
        raise e.WiringError(
            f"{ref.component}.{ref.port} has no value column '{ref.column}'",
            code="unresolved reference",
            where=place,
            fix=e.nearest(ref.column, values),
        )
    return ref.column
