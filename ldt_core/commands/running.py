"""``ldt check``, ``run``, ``compare``, ``demo``: what a modeller does with a twin."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..collect import budget_of
from ..engines.choice import LOCAL, Place
from ..engines.local import cores
from ..ensemble import Ensemble, Progress
from ..errors import PluginError, StoreError
from ..interfaces import format_duration
from ..kpi import change
from ..locking import NAME, environments_of, refuse_drift
from ..record import read_record
from ..results import judged_kpis
from ..results_table import read_results
from ..runs import OpenRun, chosen_scenarios, execute, find_run, home_of, load_twin, prepare
from .keeping import keep_budget, usage_line
from .output import components_apart, print_json, shown
from .states import branch_as_dict, describe_states, unsaved_stages
from .sweeping import distributions, plan_lines, sweep_lines, sweeps_as_dict


def check(options: argparse.Namespace) -> int:
    """Prove all scenarios; print the plan, or all that is wrong."""
    with components_apart():
        sweeps = () if options.scenario else None
        ensemble = prepare(options.twin, options.scenario, sweeps=sweeps, online=options.online)
        ensemble.settle()
    if options.json:
        print_json(plan_as_dict(ensemble))
        return 0
    print_plan(ensemble)
    return 0


def plan_as_dict(ensemble: Ensemble) -> dict[str, Any]:
    twin = ensemble.twin
    return {
        "twin": twin.id,
        "seed": twin.run.seed,
        "replicates": ensemble.replicates,
        "scenarios": {
            s: {
                "stages": [
                    {
                        "stage": stage.name,
                        "use": [plan.nodes[n].offer.id for n in stage.members],
                        "step": [plan.nodes[n].step for n in stage.members],
                        "replicated": stage.replicated,
                        "seeds": _seeds(ensemble, s, stage.members),
                        "states": [w.state for w in ensemble.works_of(s, stage)],
                        "records": [r for r in plan.record if r.partition(".")[0] in stage.members],
                    }
                    for stage in plan.stages
                ],
                "branch": branch_as_dict(ensemble, s),
                "unsaved": unsaved_stages(plan),
                "adapters": list(plan.notes),
                "unproved": list(plan.unproved),
            }
            for s in ensemble.scenarios
            for plan in (ensemble.plans[s],)
        },
        "sweeps": sweeps_as_dict(ensemble),
    }


def print_plan(ensemble: Ensemble) -> None:
    twin = ensemble.twin
    print(f"{twin.title} ({twin.path})")
    print(
        f"  {twin.period.start}Z to {twin.period.end}Z, {format_duration(twin.duration)}; {twin.crs}; "
        f"seed {twin.run.seed}, {ensemble.replicates} replicates"
    )
    said: tuple[str, ...] = ()
    for name in ensemble.scenarios:
        plan = ensemble.plans[name]
        print(f"\n{name}: {twin.scenarios[name].title or ''}")
        for number, stage in enumerate(plan.stages, 1):
            members = ", ".join(
                f"{n} ({plan.nodes[n].offer.id}"
                + (f", every {format_duration(step)})" if (step := plan.nodes[n].step) else ")")
                for n in stage.members
            )
            print(f"  {number}. {members}: {_states([w.state for w in ensemble.works_of(name, stage)])}")
        for component, seeds in _seeds(ensemble, name, list(plan.nodes)).items():
            print(f"  seeds of {component}: {', '.join(str(s) for s in seeds)}")
        for note in describe_states(ensemble, name):
            print(f"  {note}")
        if plan.notes and plan.notes != said:
            print("  on the way:")
            for note in plan.notes:
                print(f"    {note}")
            said = plan.notes
        for note in plan.unproved:
            print(f"  not proved: {note}")
    for line in plan_lines(ensemble):
        print(line)
    print("\nthe wiring and the schedule hold")


def _seeds(ensemble: Ensemble, scenario: str, members: Sequence[str]) -> dict[str, list[int]]:
    """The seed of each stochastic member by replicate."""
    nodes, seed = ensemble.plans[scenario].nodes, ensemble.twins[scenario].run.seed
    return {
        n: [nodes[n].seed(seed, r) for r in range(ensemble.replicates)]
        for n in members
        if nodes[n].component.stochastic
    }


def _states(states: Sequence[str]) -> str:
    words = {
        "stored": "from the store",
        "shared": "shared with another scenario",
        "ready": "to compute",
        "waiting": "to compute, or from the store when its inputs are known",
    }
    return ", ".join(
        (f"{count} x " if len(states) > 1 else "") + words.get(state, state)
        for state in dict.fromkeys(states)
        if (count := states.count(state))
    )


def run(options: argparse.Namespace) -> int:
    place = Place(options.engine, options.address)
    with components_apart():
        names, sweeps = (None, None) if options.all else (options.scenario, options.sweep or ())
        ensemble = prepare(options.twin, names, options.replicates, sweeps, online=not options.dry_run)
    if options.locked:
        found = environments_of(ensemble.twin, ensemble.catalog, ensemble.plans.values())
        refuse_drift(found, ensemble.twin.path.parent / NAME)
    if options.engine == "slurm":
        from .placing import submit

        with components_apart():
            ensemble.settle()
        return submit(options, ensemble)
    if options.dry_run:
        with components_apart():
            ensemble.settle()
        if options.json:
            print_json(plan_as_dict(ensemble))
        else:
            print_plan(ensemble)
        return 0
    done = _execute(ensemble, options, place)
    if options.json:
        print_json(done.record)
    else:
        _summary(done)
    if done.error is not None:  # of members; the rest came to its end
        print(f"ldt: {done.error}", file=sys.stderr)
        return done.error.exit_code
    return 0


def _execute(ensemble: Ensemble, options: argparse.Namespace, place: Place = LOCAL) -> OpenRun:
    budget = budget_of(os.environ)  # what is wrong with it is told before the work
    watch = Bar(quiet=options.quiet or options.json)
    # Told to end, or left by its terminal, a run ends as with Ctrl-C: with its record.
    before = {n: signal.signal(n, signal.default_int_handler) for n in (signal.SIGTERM, signal.SIGHUP)}
    try:
        with components_apart():
            done = execute(ensemble, options.workers or cores(), watch, place)
    finally:
        watch.end()
        for number, handler in before.items():
            signal.signal(number, handler)
    if budget is not None and (said := keep_budget(ensemble.store, done.folder.parent, budget)):
        print(said, file=sys.stderr)
    return done


def _summary(done: OpenRun) -> None:
    record = done.record
    members = [(s, n) for sweep in record.get("sweeps", {}).values() for s, n in sweep["tasks"].items()]
    states = [t["state"] for t in record["tasks"]] + [s for s, n in members for _ in range(n)]
    fresh = states.count("done")
    print(
        f"{record['twin']['title']}: {len(states)} tasks, {fresh} computed, {len(states) - fresh} from the store, "
        f"{record['seconds']:.1f} s"
    )
    print(f"  {usage_line(record['usage'])}")
    for name in record["not_reproducible"]:
        print(f"not reproducible: {name} (it says no version)")
    for line in _flag_lines(record):
        print(f"  {line}")
    if record["kpis"]:
        print()
        print_comparison(record, list(record["scenarios"]))
    for line in sweep_lines(record, done.folder):
        print(line)
    print(f"\nrun {shown(done.folder)}")


def _flag_lines(record: dict[str, Any]) -> list[str]:
    """One line per quality flag; what is the same in every scenario is said once."""
    found: dict[tuple[str, str, tuple[float, ...]], list[str]] = {}
    for name, scenario in record["scenarios"].items():
        for flag in scenario["flags"]:
            if any(flag["values"]):
                found.setdefault((flag["component"], flag["text"], tuple(flag["values"])), []).append(name)
    lines = []
    for (component, text, values), names in found.items():
        where = "" if len(names) == len(record["scenarios"]) else f"{', '.join(names)}, "
        if len(set(values)) > 1:
            many = f" (by replicate {', '.join(f'{v:g}' for v in values)})"
        else:
            many = "" if f"{values[0]:g}" in text else f" ({values[0]:g})"
        lines.append(f"{where}{component}: {text}{many}")
    return lines


def compare(options: argparse.Namespace) -> int:
    folder = find_run(options.run or options.twin)
    record = read_record(folder)
    twin = load_twin(folder / "twin.yaml", folder=home_of(folder, record))
    names = options.scenarios or list(record["scenarios"])
    chosen_scenarios(twin, names)
    missing = [n for n in names if n not in record["scenarios"]]
    if missing:
        raise StoreError(
            f"the run {folder.name} has no scenario {', '.join(missing)}",
            code="no run",
            fix=f"ldt run -s {' -s '.join(names)}",
        )
    if options.json:
        kpis = [k.model_dump(mode="json") for k in judged_kpis(record, names)]
        for kpi in kpis:
            kpi["replicates"] = {n: record["kpis"][kpi["id"]]["values"][n] for n in names}
            kpi["pairing_gain"] = {n: _gain(record["kpis"][kpi["id"]], names[0], n) for n in names[1:]}
        found: dict[str, Any] = {"run": record["run"], "baseline": names[0], "kpis": kpis}
        if record.get("sweeps"):
            found["sweeps"] = distributions(record, read_results(folder))
        print_json(found)
        return 0
    print_comparison(record, names)
    for line in sweep_lines(record, folder):
        print(line)
    return 0


def _gain(kpi: dict[str, Any], base: str, name: str) -> float | None:
    found = change(kpi["values"][name], kpi["values"][base], chance=kpi["chance"])
    return found.gain if found else None


def print_comparison(record: dict[str, Any], names: Sequence[str]) -> None:
    """The KPI table; the first of ``names`` is the baseline."""
    kpis = judged_kpis(record, names)
    rows = [
        [
            "",
            "unit",
            names[0],
            *(h for n in names[1:] for h in (n, "change", "95 % interval", "more than noise?")),
        ]
    ]
    for kpi in kpis:
        row = [kpi.title, kpi.unit]
        for value in kpi.values:
            goal = "" if value.met is None else (" (target met)" if value.met else " (target missed)")
            row.append(("-" if value.value is None else f"{value.value:.4g}") + goal)
            if value.run == names[0]:
                continue
            if value.change is None:
                row += ["-", "-", "-"]
                continue
            percent = "" if value.percent is None else f" ({value.percent:+.1f} %)"
            row.append(f"{value.change:+.3g}{percent}")
            row.append(
                "-" if value.low is None or value.high is None else f"{value.low:+.3g} to {value.high:+.3g}"
            )
            word = {True: ", better", False: ", worse", None: ""}[value.better]
            row.append(f"{value.verdict}{word}, n = {value.n}")
        rows.append(row)
    widths = [max(len(r[c]) for r in rows) for c in range(len(rows[0]))]
    for number, row in enumerate(rows):
        cells = [
            t.ljust(w) if c == 0 else t.rjust(w) for c, (t, w) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())
        if number == 0:
            print("-" * (sum(widths) + 2 * (len(widths) - 1)))
    made_up = dict.fromkeys(s for k in kpis for s in k.synthetic)
    for sentence in made_up:
        print(f"synthetic: {sentence}")


def demo(options: argparse.Namespace) -> int:
    """Copy the demo twin here, run it, compare, and write the page."""
    spec = find_spec("ldt_demo")
    if spec is None or not spec.submodule_search_locations:
        raise PluginError("the demo is not installed", code="not installed", fix="pip install ldt-demo")
    source = Path(next(iter(spec.submodule_search_locations))) / "twin"
    folder = Path(options.folder)
    folder.mkdir(parents=True, exist_ok=True)
    for item in sorted(source.iterdir()):
        if item.is_file() and not (folder / item.name).exists():
            shutil.copyfile(item, folder / item.name)
    with components_apart():
        ensemble = prepare(folder, None, options.replicates)
    done = _execute(ensemble, options)
    if options.json:
        print_json(done.record)
    else:
        _summary(done)
    from ..catalog import installed
    from ..cli import call_plugin

    viewer = next((c for c in installed().commands if c.name == "view"), None)
    if viewer is None:
        print("no page: ldt-web is not installed (pip install ldt-web)", file=sys.stderr)
        return 0
    words = [str(done.folder), "--out", str(folder / "page.html"), *(["--open"] if options.open else [])]
    with components_apart() if options.json else nullcontext():
        return call_plugin(viewer, words)


class Bar:
    """One line on the terminal: share done, tasks, time left. Elsewhere a line per finished tenth."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self.live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self.said = -1
        self.drawn = False

    def __call__(self, state: Progress) -> None:
        if self.quiet or state.total == state.stored:
            return
        if not self.live:
            tenth = int(state.share * 10)
            if tenth > self.said:
                self.said = tenth
                print(f"{state.share:4.0%}  {self._words(state)}", file=sys.stderr, flush=True)
            return
        filled = int(state.share * 24)
        line = f"[{'#' * filled}{'.' * (24 - filled)}] {state.share:4.0%}  {self._words(state)}"
        # Not shutil's size: that of standard output, which may go to a file.
        columns = os.get_terminal_size(sys.stderr.fileno()).columns or 80
        print(f"\r\x1b[K{line[: columns - 1]}", end="", file=sys.stderr, flush=True)
        self.drawn = True

    def _words(self, state: Progress) -> str:
        left = "" if state.left is None else f", about {state.left:.0f} s left"
        names = "; ".join(state.running)
        stored = f", {state.stored} from the store" if state.stored else ""
        return f"{state.computed} of {state.total - state.stored} computed{stored}{left}  {names}".rstrip()

    def end(self) -> None:
        if self.drawn:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
