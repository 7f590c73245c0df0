"""A viewer in a process of its own sees what it sees here, and shows the same."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import shapely

import ldt_core as ldt
from ldt_core import scene
from ldt_core.errors import ChildError, NotFound
from ldt_core.interfaces import Flag
from ldt_core.testing import MemoryView, Variable
from ldt_core.viewing import FarView, answer, facts

REF = "noise.levels.level"


def view() -> MemoryView:
    places = ldt.Table(
        {
            "id": np.array(["north", "Zoë's"], object),
            "geometry": np.array([shapely.Point(4e6, 3e6), shapely.Point(4e6 + 1, 3e6)], object),
        }
    )
    levels = {"base": [[[60.0, 50.0], [62.0, np.nan]]], "calm": [[[57.0, 50.0], [58.0, 51.0]]]}
    noise = Variable(levels, places, unit="dB", quantity="x:level", credits=["© A"], synthetic=["Made up."])
    runs = [scene.RunRef(name="base", title="Today"), scene.RunRef(name="calm", title="Calm ☂")]
    return MemoryView(runs, {REF: noise}, raised={"base": [Flag("late", 2.0, "1", "twice")]})


def far(near: MemoryView) -> FarView:
    """The same through messages, as they go over a socket."""

    def ask(head: dict[str, Any], blocks: list[Any]) -> tuple[dict[str, Any], Any]:
        reply, found = answer(near, json.loads(json.dumps(head)), joined(blocks))
        return json.loads(json.dumps(reply)), joined(found)

    return FarView(json.loads(json.dumps(facts(near))), ask)


def joined(blocks: list[Any]) -> memoryview:
    return memoryview(b"".join(bytes(b) + bytes(-len(b) % 8) for b in blocks))


ASKED: list[tuple[str, tuple[Any, ...]]] = [
    ("info", (REF,)),
    *(("values", (REF, run, time)) for run in ("base", "calm") for time in ("mean", "max")),
    ("paired", (REF, "calm")),
    ("series", (REF, "base", "energetic")),
    ("places", (REF,)),
    ("places", (REF, "base")),
    ("credits", (REF,)),
    ("synthetic", (REF,)),
    ("flags", ("base",)),
    ("flags", ("calm",)),
]


@pytest.mark.parametrize(("name", "arguments"), ASKED)
def test_what_is_asked_for_is_the_same_from_afar(name: str, arguments: tuple[Any, ...]) -> None:
    near = view()
    here, there = (getattr(v, name)(*arguments) for v in (near, far(near)))
    if isinstance(here, ldt.Table):
        assert here.names == there.names
        assert here.digest == there.digest
    else:
        assert here == there
        assert type(here) is type(there)


def test_what_is_known_at_once_is_the_same() -> None:
    near = view()
    there = far(near)
    for name in ("title", "crs", "bounds", "start", "end", "zone", "locale", "audience", "medium", "budget"):
        assert getattr(there, name) == getattr(near, name)
    assert (list(there.runs), list(there.show), list(there.kpis)) == (near.runs, near.show, list(near.kpis))


def test_what_a_viewer_may_not_ask_is_refused_as_here() -> None:
    for seen in (view(), far(view())):
        with pytest.raises(NotFound, match="names 0 variables"):
            seen.info("no.such.column")
    with pytest.raises(ChildError, match="TypeError"):
        far(view())._call("values")
    with pytest.raises(NotFound, match="a view has no '__class__'"):
        far(view())._call("__class__")
