"""What KPIs and views want of a twin: proved, and turned into what must be recorded."""

from __future__ import annotations

from collections.abc import Mapping

from . import errors as e
from .catalog import Catalog, load
from .interfaces import AnyPort, Viewer
from .kpi import check_reductions
from .tables import Port
from .twin import KpiDefinition, Ref, Twin


def wanted_records(
    twin: Twin,
    outputs: Mapping[str, Mapping[str, AnyPort]],
    leaving: set[str],
    catalog: Catalog,
) -> tuple[dict[str, int | None], list[e.LdtError]]:
    """What is recorded (``component.port`` -> thinned to this many us, or None), and all errors.

    Recorded are the ports in ``leaving`` (those that leave a stage), what a KPI or a view reads,
    what is given at the start, and what ``record:`` names.
    """
    record: dict[str, int | None] = dict.fromkeys(sorted(leaving))
    errors: list[e.LdtError] = []
    for name, ports in outputs.items():
        record.update({f"{name}.{p}": None for p, port in ports.items() if port.at == "start"})
    for id, kpi in twin.kpis.items():
        try:
            record.update(
                {r: None for r in _kpi_refs(twin, kpi, outputs, twin.place("kpis", id)) if r not in record}
            )
        except e.LdtError as exc:
            errors.append(exc)
    for id, view in twin.views.items():
        try:
            viewer = load(catalog.find(view.use))
            if not issubclass(viewer, Viewer):
                raise e.TwinFileError(
                    f"'{view.use}' is no viewer", code="bad value", where=twin.place("views", id, "use")
                )
            for index, ref in enumerate(view.show):
                port = resolve(ref, outputs, twin.place("views", id, "show", index))
                value_column(ref, port, twin.place("views", id, "show", index))
                record.setdefault(f"{ref.component}.{ref.port}", None)
        except e.LdtError as exc:
            exc.where = exc.where or twin.place("views", id)
            errors.append(exc)
    for named, rule in twin.record.items():
        try:
            resolve(named, outputs, twin.place("record", str(named), key=True))
            record[f"{named.component}.{named.port}"] = rule.every
        except e.LdtError as exc:
            errors.append(exc)
    return dict(sorted(record.items())), errors


def _kpi_refs(
    twin: Twin, kpi: KpiDefinition, outputs: Mapping[str, Mapping[str, AnyPort]], place: str
) -> list[str]:
    port = resolve(kpi.of, outputs, place)
    column = value_column(kpi.of, port, place)
    attributes = []
    for name, _, _ in kpi.where:
        if name not in port.columns:
            owner = attribute_port(outputs, kpi.of, name)
            if owner is not None:
                attributes.append(f"{owner.component}.{owner.port}")
                continue
            raise e.WiringError(
                f"where: {kpi.of.component}.{kpi.of.port} has no column '{name}'",
                code="unresolved reference",
                where=place,
                fix=e.nearest(name, port.columns),
            )
    try:
        check_reductions(kpi, port.columns[column], port.events, place)
    except e.WiringError as exc:
        exc.where = exc.where or place
        raise
    refs = [f"{kpi.of.component}.{kpi.of.port}", *attributes]
    for word in ("at", "over_space"):
        if getattr(kpi, word) is not None:
            raise e.WiringError(
                f"{word}: of a KPI is not in this version",
                code="not in this version",
                where=place,
                fix="put a model between that takes the values to those places",
            )
    if kpi.weight is not None:
        weight = resolve(kpi.weight, outputs, place)
        value_column(kpi.weight, weight, place)
        if weight.entity != port.entity:
            raise e.WiringError(
                f"the weight speaks of '{weight.entity}', the KPI of '{port.entity}'",
                code="entities",
                where=place,
                fix="weigh by a column of the same entity set",
            )
        refs.append(f"{kpi.weight.component}.{kpi.weight.port}")
    return refs


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
            "grids cannot be read by KPIs and views in this version", code="not in this version", where=place
        )
    return port


def value_column(ref: Ref, port: Port, place: str) -> str:
    """The column that a reference means; it may be left out where there is one value only."""
    values = port.value_columns
    if ref.column is None:
        if len(values) == 1:
            return values[0]
        raise e.WiringError(
            f"{ref} has {len(values)} value columns",
            code="ambiguous",
            where=place,
            fix="name one: " + ", ".join(f"{ref}.{n}" for n in values),
        )
    if ref.column not in values:
        raise e.WiringError(
            f"{ref.component}.{ref.port} has no value column '{ref.column}'",
            code="unresolved reference",
            where=place,
            fix=e.nearest(ref.column, values),
        )
    return ref.column
