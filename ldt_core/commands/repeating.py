"""``ldt lock``, ``reproduce``, ``export``: that a run can be had again, elsewhere and later."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..engines.local import cores
from ..errors import PluginError, RunError
from ..export import export_run
from ..locking import HERE, NAME, environments_of, make_lock, read_lock, rebuild, refuse_drift, write_lock
from ..record import read_record
from ..reproduce import Reproduction, reproduce
from ..runs import find_run, open_run, prepare
from .output import components_apart, print_json, shown
from .running import Bar


def lock(options: argparse.Namespace) -> int:
    """Write ``twin.lock`` beside the twin file, or check this environment against it."""
    with components_apart():
        ensemble = prepare(options.twin)
    path = ensemble.twin.path.parent / NAME
    environments = environments_of(ensemble.twin, ensemble.catalog, ensemble.plans.values())
    if options.check:
        content = refuse_drift(environments, path)
        if options.json:
            print_json(content)
        else:
            print(f"{shown(path)}: {sum(1 for _ in _distributions(content))} distributions as locked")
        return 0
    try:
        known = read_lock(path)
    except PluginError:
        known = None
    content, why = make_lock(ensemble.twin, environments, known)
    write_lock(path, content)
    if why:
        print(f"some distributions have no hashes of their files: {why}", file=sys.stderr)
    if options.json:
        print_json(content)
        return 0
    found = list(_distributions(content))
    local = sum(bool(d.get("local")) for d in found)
    more = f", {local} of them local, known by their content alone" if local else ""
    print(f"{shown(path)}: {len(found)} distributions{more}")
    return 0


def _distributions(content: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for environment in content["environments"].values():
        yield from environment["distributions"].values()


def repeat(options: argparse.Namespace) -> int:
    """Make a run again and compare; 0 where it is the same bit for bit, else 13."""
    folder = find_run(options.run)
    if options.rebuild:
        return _rebuilt(folder, options)
    watch = Bar(quiet=options.quiet or options.json)
    try:
        with components_apart():
            found = reproduce(folder, options.workers or cores(), watch)
    finally:
        watch.end()
    if options.json:
        print_json(found.as_dict())
    else:
        for line in describe(found):
            print(line)
    return 0 if found.same else RunError.exit_code


def _rebuilt(folder: Path, options: argparse.Namespace) -> int:
    """The same command by the Python of a fresh environment, made from the run's lock or record."""
    path = folder / NAME
    environment = (
        read_lock(path)["environments"][HERE] if path.is_file() else read_record(folder)["environments"][HERE]
    )
    links = None if options.find_links is None else Path(options.find_links)
    with tempfile.TemporaryDirectory(prefix="ldt-rebuild-") as name:
        python = rebuild(environment, Path(name), links)
        words = ["--workers", str(options.workers)] if options.workers else []
        words += ["--json"] * options.json + ["--quiet"] * options.quiet
        command = [str(python), "-m", "ldt_core.cli", "reproduce", str(folder.resolve()), *words]
        ours = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LDT_CACHE")
        outside = {k: v for k, v in os.environ.items() if k not in ours}
        return subprocess.run(command, env={**outside, "LDT_CACHE": name}, check=False).returncode


def describe(found: Reproduction) -> Iterator[str]:
    """What a reproduction found, in lines for people: the outcome, then what may be the reason."""
    if found.same:
        yield f"{found.run}: the same bit for bit: {found.compared} recordings, all KPIs"
    else:
        yield f"{found.run}: {len(found.results)} of {found.compared} recordings differ, {len(found.kpis)} KPI values"
    words = {True: "within its component's tolerance", False: "beyond its component's tolerance", None: ""}
    for one in found.results:
        end = f" ({words[one.within]})" if words[one.within] else ""
        yield f"  {one.scenario}, replicate {one.replicate + 1}, {one.port}: {one.what}{end}"
    for kpi in found.kpis:
        yield f"  {kpi['scenario']}, KPI {kpi['kpi']}: was {kpi['was']}, is {kpi['is']}"
    for file in found.files:
        yield f"changed data file: {file}"
    for what, wanted, have in found.environment:
        yield f"another environment: {what} was {wanted}, is {have}"
    for name in found.not_reproducible:
        yield f"not reproducible: {name} (its source says no version)"


def export(options: argparse.Namespace) -> int:
    """A run as open files in a folder, or as an RO-Crate."""
    folder = find_run(options.run)
    page = None if options.page is None else Path(options.page)
    with components_apart():
        run = open_run(folder)
        if options.to == "crate":
            from ..crate import write_crate

            out = Path(options.out or f"{folder.resolve().name}-crate")
            found = write_crate(run, out, page)
        else:
            out = Path(options.out or options.to)
            found = export_run(run, out, page)
    if options.json:
        print_json({"out": str(out), "files": [asdict(f) for f in found.files]})
        return 0
    results = sum(f.path.startswith("results/") for f in found.files)
    print(f"{shown(out)}: {results} recordings, {len(found.files) - results} other files")
    for sentence in dict.fromkeys(s for f in found.files for s in f.synthetic):
        print(f"synthetic: {sentence}")
    return 0
