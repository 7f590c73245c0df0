"""Where the scenes of a stored run come from: the one door between the page and the core's store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ldt_core as ldt
from ldt_core.runs import find_run, load_scenes, open_run
from ldt_core.scene import RunRef

from .bundle import Part, RunSummary, SceneBundle


def load_run(run: str) -> tuple[list[SceneBundle], RunSummary]:
    """The scenes of ``run`` (a run folder, a twin's folder or ``last``) and its record.

    Raises ``NotFound`` where there is no finished run, ``StoreError`` where its results are gone.
    """
    opened = open_run(find_run(run))
    scenes = [SceneBundle(s.scene, s.tables, s.images) for s in load_scenes(opened)]
    return scenes, summarise(opened.record, credits_of(scenes))


def credits_of(scenes: list[SceneBundle]) -> list[str]:
    """Every credit that a block owes, each once."""
    return list(dict.fromkeys(credit for s in scenes for b in s.scene.blocks for credit in b.credits))


def summarise(record: Mapping[str, Any], credits: list[str]) -> RunSummary:
    """A run's record (``run.json``) in the words of its reader."""
    twin = record["twin"]
    return RunSummary(
        title=twin["title"],
        run_id=record["run"],
        start=twin["start"],
        end=twin["end"],
        goal=twin["goal"],
        owner=twin["owner"],
        limits=twin.get("limits", ""),
        zone=twin["zone"],
        scenarios=[
            RunRef(name=n, title=s["title"], description=s["description"], replicates=record["replicates"])
            for n, s in record["scenarios"].items()
        ],
        seed=record["seed"],
        replicates=record["replicates"],
        components=[
            Part(n, c["use"], c["distribution"], c["version"], c["title"], c.get("licence", ""))
            for n, c in record["components"].items()
        ],
        credits=credits,
        flags={
            n: [ldt.Flag(f["name"], max(f["values"]), f["unit"], f["text"]) for f in s["flags"]]
            for n, s in record["scenarios"].items()
        },
        not_reproducible=record["not_reproducible"],
        duration=record["seconds"],
        created=record["created"],
    )
