"""``ldt results`` and ``ldt sensitivity``, and what other commands say of sweeps."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ensemble import Ensemble
from ..errors import NotFound, nearest
from ..record import read_record
from ..results_table import FILE, read_results
from ..runs import find_run
from ..sensitivity import Analysis, analyse, bootstrap, member_values, wilson
from ..sweeps import Design
from .output import print_json, shown

if TYPE_CHECKING:
    import pyarrow as pa


SHOWN = 3
"""Members of a design that a plan prints from its start."""
DRAWN = ("latin-hypercube", "random", "sobol")
"""Designs whose members are a sample of something, so that an interval says how far it may be off."""


# -- before a run ---------------------------------------------------------------------------------


def sweeps_as_dict(ensemble: Ensemble) -> dict[str, Any]:
    """Design, members and states of tasks of every sweep that is planned."""
    found = {}
    for name, design in ensemble.designs.items():
        members = [m.name for m in ensemble.members.values() if m.sweep == name]
        states = [w.state for w in ensemble.works.values() if w.scenario in set(members)]
        found[name] = {
            "design": design.kind,
            "of": list(design.of),
            "parameters": list(design.paths),
            "rows": [list(row) for row in design.rows],
            "members": len(members),
            "tasks": {s: states.count(s) for s in dict.fromkeys(states)},
        }
    return found


def _design_lines(design: Design) -> list[str]:
    """What the first members and the last one set."""
    lines = []
    for number, row in enumerate(design.rows, 1):
        if number <= SHOWN or number == len(design.rows):
            values = ", ".join(f"{p} = {_plain(v)}" for p, v in zip(design.paths, row, strict=True))
            lines.append(f"  {number:04d}: {values}")
        elif number == SHOWN + 1:
            lines.append("  ...")
    return lines


def _plain(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def plan_lines(ensemble: Ensemble) -> list[str]:
    """What a plan says of its sweeps, a line or two each."""
    lines = []
    for name, found in sweeps_as_dict(ensemble).items():
        title = ensemble.twin.sweeps[name].title
        tasks = found["tasks"]
        ready = sum(tasks.get(s, 0) for s in ("ready", "waiting"))
        lines += [
            f"\nsweep {name}{f': {title}' if title else ''}",
            f"  {found['design']}, {found['members']} members of {' and '.join(found['of'])}, varying "
            f"{', '.join(found['parameters'])}",
            f"  {sum(tasks.values())} tasks: at most {ready} to compute, {tasks.get('stored', 0)} from the store, "
            f"{tasks.get('shared', 0)} shared with others",
            *_design_lines(ensemble.designs[name]),
        ]
    return lines


# -- after a run ----------------------------------------------------------------------------------


def distributions(record: Mapping[str, Any], table: pa.Table) -> list[dict[str, Any]]:
    """Of each KPI over the members of each sweep: quantiles, and where several scenarios go through the same
    members, how often the later beats the first and by how much.

    The 95 % intervals of the median change (bootstrap over the members) and of that share (Wilson's score)
    are left out where the members were chosen and not drawn. A member's value is its mean over replicates.
    """
    found = []
    for name, sweep in record.get("sweeps", {}).items():
        for id, kpi in record["kpis"].items():
            values = {of: _drawn_values(table, name, sweep, of, id) for of in sweep["of"]}
            first = values[sweep["of"][0]]
            for of, given in values.items():
                known = given[np.isfinite(given)]
                row: dict[str, Any] = {"sweep": name, "scenario": of, "kpi": id, "title": kpi["title"]}
                row |= {"unit": kpi["unit"], "members": len(known), "missing": len(given) - len(known)}
                if len(known):
                    quantiles = np.quantile(known, [0.0, 0.05, 0.5, 0.95, 1.0]).tolist()
                    row |= dict(zip(("min", "p5", "median", "p95", "max"), quantiles, strict=True))
                if of != sweep["of"][0]:
                    row |= _against(given - first, kpi["better"], sweep["design"] in DRAWN)
                found.append(row)
    return found


def _drawn_values(table: pa.Table, name: str, sweep: Mapping[str, Any], of: str, id: str) -> Any:
    """The KPI by member; of Saltelli's design the base points alone, whose coordinates the others repeat."""
    _, y = member_values(table, name, of, id, [])
    if sweep["design"] != "sobol":
        return y
    return y.reshape(-1, len(sweep["parameters"]) + 2)[:, [0, -1]].ravel()


def _against(change: Any, better: str | None, drawn: bool) -> dict[str, Any]:
    """How members of a scenario differ from the same members of the first one."""
    change = change[np.isfinite(change)]
    if not len(change):
        return {}
    wins = (change < 0 if better == "lower" else change > 0).astype(float)
    row: dict[str, Any] = {"pairs": len(change), "change": float(np.median(change))}
    if better is not None:
        row["wins"] = float(wins.mean())
    if drawn and len(change) > 2:
        low, high = bootstrap(lambda rows: np.median(change[rows]), len(change))
        row |= {"change_low": float(low), "change_high": float(high)}
        if better is not None:
            row |= dict(zip(("wins_low", "wins_high"), wilson(wins.mean(), len(wins)), strict=True))
    return row


def sweep_lines(record: Mapping[str, Any], folder: Path) -> list[str]:
    """What a run says of its sweeps."""
    sweeps = record.get("sweeps") or {}
    if not sweeps:
        return []
    rows = distributions(record, read_results(folder))
    lines = []
    for name, sweep in sweeps.items():
        failed = f", {sweep['failed_count']} failed" if sweep["failed_count"] else ""
        lines.append(f"\nsweep {name}: {sweep['design']}, {sweep['members']} members{failed}")
        head = [
            "",
            "unit",
            "scenario",
            "median",
            "5 to 95 % of members",
            "least to most",
            "against the first",
        ]
        cells = [head]
        for row in (r for r in rows if r["sweep"] == name):
            if "median" not in row:
                cells.append([row["title"], row["unit"], row["scenario"], "-", "-", "-", "-"])
                continue
            cells.append(
                [
                    row["title"],
                    row["unit"],
                    row["scenario"],
                    f"{row['median']:.4g}",
                    f"{row['p5']:.4g} to {row['p95']:.4g}",
                    f"{row['min']:.4g} to {row['max']:.4g}",
                    _words_against(row),
                ]
            )
        lines += aligned(cells)
        for one in sweep["failed"][:3]:
            what = ", ".join(f"{path} = {value}" for path, value in one["set"].items())
            lines.append(f"  failed: {one['member']} ({what}): {one['error']['what']}")
        if sweep["failed_count"] > 3:
            lines.append(f"  and {sweep['failed_count'] - 3} more; `ldt results --to csv` lists them all")
    return lines


def _words_against(row: Mapping[str, Any]) -> str:
    if "change" not in row:
        return ""
    around = f" ({row['change_low']:+.3g} to {row['change_high']:+.3g})" if "change_low" in row else ""
    share = f", better in {row['wins']:.0%} of {row['pairs']}" if "wins" in row else ""
    if share and "wins_low" in row:
        share += f" ({row['wins_low']:.0%} to {row['wins_high']:.0%})"
    return f"{row['change']:+.3g}{around}{share}"


def aligned(cells: Sequence[Sequence[str]]) -> list[str]:
    """A table of texts as lines: the first column to the left, the others to the right."""
    used = [c for c in range(len(cells[0])) if any(row[c] for row in cells[1:])]
    widths = {c: max(len(row[c]) for row in cells) for c in used}
    lines = [
        "  ".join(row[c].ljust(widths[c]) if c == 0 else row[c].rjust(widths[c]) for c in used)
        for row in cells
    ]
    return ["  " + line.rstrip() for line in lines]


def results(options: argparse.Namespace) -> int:
    """Show or write the table of a run."""
    folder = find_run(options.run)
    record, table = read_record(folder), read_results(folder)
    if options.to is not None:
        _write(table, options.to, options.out)
        return 0
    if options.json:
        print_json({"run": record["run"], "rows": table.num_rows, "sweeps": distributions(record, table)})
        return 0
    print(f"{shown(folder / FILE)}: {table.num_rows} rows, {', '.join(table.column_names)}")
    for line in sweep_lines(record, folder):
        print(line)
    return 0


def _write(table: pa.Table, form: str, out: str | None) -> None:
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    if form == "parquet":
        pa.parquet.write_table(table, out or FILE, compression="zstd")
        return
    sink = pa.BufferOutputStream()
    pa.csv.write_csv(table, sink)
    text = sink.getvalue().to_pybytes()
    if out is not None:
        Path(out).write_bytes(text)
    else:
        sys.stdout.write(text.decode("utf-8"))


def sensitivity(options: argparse.Namespace) -> int:
    """Indices of every sweep, scenario and KPI asked for."""
    folder = find_run(options.run)
    record, table = read_record(folder), read_results(folder)
    sweeps = record.get("sweeps") or {}
    if not sweeps:
        raise NotFound(
            f"the run {folder.name} has no sweep",
            code="no run",
            fix="write sweeps: into the twin file and run it: ldt run --sweep NAME",
        )
    _refuse_unknown("sweep", options.sweep, sweeps)
    _refuse_unknown("KPI", options.kpi, record["kpis"])
    found = [
        analyse(table, sweeps[name], name, of, kpi)
        for name in options.sweep or sweeps
        for of in sweeps[name]["of"]
        for kpi in options.kpi or record["kpis"]
    ]
    if options.json:
        print_json({"run": record["run"], "analyses": [a.as_dict() for a in found]})
        return 0
    for analysis in found:
        for line in _analysis_lines(analysis):
            print(line)
    return 0


def _refuse_unknown(what: str, names: Sequence[str] | None, known: Mapping[str, Any]) -> None:
    for name in names or ():
        if name not in known:
            raise NotFound(f"the run has no {what} '{name}'", code="no run", fix=nearest(name, known))


def _analysis_lines(analysis: Analysis) -> list[str]:
    title = f"{analysis.sweep}, {analysis.scenario}: {analysis.kpi} by {analysis.method}, {analysis.members} members"
    cells = [["parameter", "index", "value", "95 % interval"]]
    for index in sorted(analysis.indices, key=lambda i: (i.kind, -abs(i.value or 0.0))):
        interval = "" if index.low is None or index.high is None else f"{index.low:.3f} to {index.high:.3f}"
        value = "-" if index.value is None else f"{index.value:.3f}"
        cells.append([index.parameter, index.kind, value, interval])
    return [title, *(aligned(cells) if len(cells) > 1 else []), *(f"  {note}" for note in analysis.notes), ""]
