"""``results.parquet`` of a run: one row per scenario or member, replicate and KPI, for any data tool.

===========  =======  ==========================================================================
sweep        text     the sweep's name; null for a scenario of the twin file
member       int32    number of the member in its sweep, from 1; null for a scenario
scenario     text     the scenario, or the one that the member varies
replicate    int32    from 1
PATH         any      one column per parameter that some sweep varies, with its value in every row;
                      ``unit`` in the field's metadata is the parameter's own (a step: s)
kpi, unit    text     which number, and its UCUM code
value        float64  null where there is nothing to reduce, or where ``error`` says why not
error        text     what kept it from its end; null where nothing did
===========  =======  ==========================================================================

The file's metadata (key ``ldt``) says run, twin, and what was made up.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .ensemble import Ensemble
from .errors import LdtError, StoreError
from .results import Recordings, describe_kpi, kpi_value, own_unit
from .store import canonical
from .sweeps import parameter, unit_of_path
from .tasks import short

if TYPE_CHECKING:
    import pyarrow as pa

FILE = "results.parquet"
FIXED = ("sweep", "member", "scenario", "replicate", "kpi", "unit", "value", "error")


def tabulate(ensemble: Ensemble, run: str) -> pa.Table:
    """The results of all that came to its end; of what did not, the parameters and the error."""
    import pyarrow as pa

    paths = sorted({path for design in ensemble.designs.values() for path in design.paths})
    columns: dict[str, list[Any]] = {name: [] for name in (*FIXED, *paths)}
    for row in _rows(ensemble, paths):
        for name, value in row.items():
            columns[name].append(value)
    plan = ensemble.plans[ensemble.scenarios[0]]
    ports = [port for node in plan.nodes.values() for port in node.outputs.values()]
    made_up = sorted({s for port in ports if (s := getattr(port, "synthetic", None))})
    kinds = {"member": pa.int32(), "replicate": pa.int32(), "value": pa.float64()}
    fields = [pa.field(name, kinds.get(name, pa.string())) for name in FIXED[:4]]
    for path in paths:
        unit = unit_of_path(plan, path)
        fields.append(pa.field(path, _kind(columns[path]), metadata={"unit": unit} if unit else None))
        if fields[-1].type == pa.string():
            columns[path] = [
                None if v is None else v if isinstance(v, str) else json.dumps(v) for v in columns[path]
            ]
    fields += [pa.field(name, kinds.get(name, pa.string())) for name in FIXED[4:]]
    about = {"run": run, "twin": ensemble.twin.id, "synthetic": made_up}
    schema = pa.schema(fields, metadata={"ldt": json.dumps(about)})
    return pa.table([columns[f.name] for f in fields], schema=schema)


def _rows(ensemble: Ensemble, paths: list[str]) -> Iterator[dict[str, Any]]:
    kpis = [
        (id, kpi, unit := own_unit(ensemble, kpi), short(canonical(describe_kpi(id, kpi, unit)).decode()))
        for id, kpi in ensemble.twin.kpis.items()
    ]
    for variant in (*ensemble.scenarios, *ensemble.members):
        member = ensemble.members.get(variant)
        head = {
            "sweep": member.sweep if member else None,
            "member": member.number if member else None,
            "scenario": member.of if member else variant,
        }
        values = {p: parameter(ensemble.twins[variant], ensemble.plans[variant], p) for p in paths}
        failed, base_failed = ensemble.error_of(variant), ensemble.error_of(ensemble.baseline_of(variant))
        recordings = Recordings(ensemble)  # of its own: those of thousands do not fit into memory
        for replicate in range(ensemble.replicates):
            for id, kpi, unit, digest in kpis:
                error: LdtError | None = failed or (base_failed if kpi.against else None)
                value = None
                if error is None:
                    value, _ = kpi_value(ensemble, recordings, kpi, variant, replicate, digest)
                yield {
                    **head,
                    "replicate": replicate + 1,
                    **values,
                    "kpi": id,
                    "unit": kpi.unit or unit,
                    "value": value,
                    "error": None if error is None else f"{error.group} {error.code}: {error.what}",
                }


def _kind(values: list[Any]) -> pa.DataType:
    """The narrowest type that holds all of a parameter's values."""
    import pyarrow as pa

    known = [v for v in values if v is not None]
    if all(isinstance(v, bool) for v in known):
        return pa.bool_()
    if any(isinstance(v, (bool, str)) for v in known):
        return pa.string()
    return pa.int64() if all(isinstance(v, int) and abs(v) < 2**63 for v in known) else pa.float64()


def write_results(table: pa.Table, folder: Path) -> None:
    """``results.parquet`` in a run's folder, whole or not at all."""
    import pyarrow.parquet as pq

    fresh = folder / f".{FILE}"
    pq.write_table(table, fresh, compression="zstd")
    fresh.replace(folder / FILE)


def read_results(folder: Path) -> pa.Table:
    """The table of a run. Raises ``StoreError`` where it has none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(folder / FILE).read()
    except (OSError, pa.ArrowInvalid) as exc:
        raise StoreError(
            f"the run {folder.name} has no table of results: {exc}",
            code="no run",
            where=str(folder / FILE),
            fix="run again; what is stored is not computed again",
        ) from None


def describe_sweeps(ensemble: Ensemble) -> dict[str, Any]:
    """What a run's record says of its sweeps; the values stand in the table."""
    found: dict[str, Any] = {}
    errors = {name: ensemble.error_of(name) for name in ensemble.members} if ensemble.failures else {}
    plan = ensemble.plans[ensemble.scenarios[0]]
    works: dict[str, list[str]] = {}
    for work in ensemble.works.values():
        if (member := ensemble.members.get(work.scenario)) is not None:
            works.setdefault(member.sweep, []).append(work.state)
    for name, design in ensemble.designs.items():
        members = [m for m in ensemble.members.values() if m.sweep == name]
        failed = [(m, error) for m in members if (error := errors.get(m.name)) is not None]
        states = works.get(name, [])
        found[name] = {
            "title": ensemble.twin.sweeps[name].title or name,
            "design": design.kind,
            "of": list(design.of),
            "parameters": [{"path": p, "unit": unit_of_path(plan, p)} for p in design.paths],
            "rows": len(design.rows),
            "members": len(members),
            "tasks": {s: states.count(s) for s in dict.fromkeys(states)},
            "results": FILE,
            "failed": [_failure(m.name, m.changes, error) for m, error in failed[:SHOWN]],
            "failed_count": len(failed),
        }
    return found


SHOWN = 20
"""Failed members that a record names; the table has them all."""


def _failure(name: str, changes: Mapping[str, Any], error: LdtError) -> dict[str, Any]:
    return {"member": name, "set": dict(changes), "error": error.as_dict()}
