"""What viewers are given, against brute force over the recordings; and scenes that do not hold together."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

from ldt_core import scene
from ldt_core.catalog import load_package
from ldt_core.errors import InputError, NotFound, RunError, Unsupported
from ldt_core.results import Recordings
from ldt_core.run_view import RunView
from ldt_core.runs import OpenRun, execute, find_run, load_scenes, open_run, prepare
from ldt_core.tables import Recording, Table
from ldt_core.twin import Ref

sys.path.insert(0, str(Path(__file__).parent))
from workshop import CORE, install

PLUGIN = '''
import numpy as np
import shapely
import ldt_core as ldt
from ldt_core import scene

PLACE = {"time": ldt.instant(), "place": ldt.text()}
HOUR = 3_600_000_000

class Town(ldt.DataSource):
    """Places of a made-up town."""
    id = "town"
    outputs = {
        "places": ldt.Port(
            {"place": ldt.text(), "name": ldt.text(nulls=True), "size": ldt.number("m2", "x:area"),
             "geometry": ldt.geometry("Point", crs="EPSG:4326")},
            entity="place", id="place", at="start", licence="CC-BY-4.0", attribution="Town Hall",
            synthetic="The places are made up.",
        )
    }
    def version(self, query):
        return "1"
    def read(self, query):
        ids = ["b", "a", "c"]
        points = shapely.points([[9.0, 50.0], [9.01, 50.0], [9.0, 50.01]])
        return {"places": ldt.Table({"place": ids, "name": ["B", "A", "C"], "size": [1.0, 2.0, 3.0], "geometry": points})}

class Walk(ldt.Simulator):
    """People by place: some places are absent, some values missing, and some steps end early."""
    id = "walk"
    stochastic = True
    inputs = {"places": ldt.Port({"place": ldt.text()}, entity="place", id="place", at="start")}
    outputs = {
        "flow": ldt.Port(
            {**PLACE, "flow": ldt.number("1", "x:flow", cell="mean", nulls=True),
             "level": ldt.number("dB", "x:sound_level_a", cell="mean")},
            entity="place", id="place", synthetic="The walks are drawn by lot.",
        ),
        "total": ldt.Port({"time": ldt.instant(), "total": ldt.number("1", "x:total", cell="sum")}),
    }
    class Params(ldt.Params):
        people: float = 1.0
    def step(self, inputs, until):
        rng, start = self.context.rng, self.context.window.start
        reached = until if rng.random() < 0.6 else start + HOUR // 2
        stamp = self.context.instant(start)
        ids = [i for i in ("a", "b", "c", "d") if rng.random() < 0.7]
        rng.shuffle(ids)
        flow = self.params.people * rng.random(len(ids))
        missing = rng.random(len(ids)) < 0.3
        self.context.flag("rare", float(rng.random()), "share of rare walks")
        rows = ldt.Table(
            {"time": np.full(len(ids), stamp), "place": np.array(ids, object), "flow": flow, "level": 50 + flow},
            {"flow": missing},
        )
        total = ldt.Table({"time": [stamp], "total": [float(flow.sum())]})
        return ldt.Step({"flow": rows, "total": total}, reached)

PORT = ldt.Port({"place": ldt.text(), "n": ldt.number("1", "x:n")}, entity="place", id="place")
TABLE = ldt.Table({"place": ["a", "b"], "n": [1.0, 2.0]})
DEEDS = {}

class Frame(ldt.Viewer):
    """Shows what a test tells it."""
    id = "frame"
    class Params(ldt.Params):
        deed: str = "plain"
        file: ldt.File | None = None
    def render(self, view):
        return DEEDS[self.params.deed](self, view)

def made(view, blocks=(), data=(), title="Frame"):
    return scene.Scene(title=title, viewer="frame", runs=list(view.runs), blocks=list(blocks), data=list(data))

def figures():
    return scene.Figures(caption="c", columns=[], rows=[])

def chart(x, y):
    axis = scene.Axis(title="x")
    line = scene.Series(name="s", x=x, y=y)
    return scene.ChartBlock(id="k", title="t", finding="f", alternative=figures(), mark="line", x=axis, y=axis, series=[line])

def image(name):
    return scene.ImageBlock(id="i", title="t", finding="f", alternative=figures(), data=name, alt="a dot")

def drawn(name):
    layer = scene.Layer(id="l", title="t", data=name, geometry="point")
    return scene.MapBlock(id="m", title="t", finding="f", alternative=figures(), crs="EPSG:25832", bounds=(0, 0, 1, 1), layers=[layer])

def deed(render):
    DEEDS[render.__name__] = lambda viewer, view: render(view)
    return render

@deed
def plain(view):
    places = view.places(view.show[0])
    port = ldt.Port({"place": ldt.text(), "name": ldt.text(nulls=True), "geometry": ldt.geometry("Point")}, entity="place", id="place")
    ref = view.publish("../../odd / ☃", places, port=port, source=view.show)
    left = view.publish("left out", TABLE, port=PORT)
    picture = view.publish_image("dot", b"<svg/>", "image/svg+xml")
    assert left.rows == 2
    return made(view, [drawn(ref.id), image("dot"), chart([0.0, 1.0], [float("nan"), 1.0])], [ref, picture])

@deed
def nothing(view):
    return made(view)

@deed
def raises(view):
    raise KeyError("a column")

@deed
def leaves(view):
    raise SystemExit(3)

@deed
def no_scene(view):
    return {"title": "a dict"}

@deed
def not_published(view):
    return made(view, [], [scene.DataRef(id="ghost", sha256="0" * 64, rows=1)])

@deed
def no_layer(view):
    return made(view, [drawn("ghost")])

@deed
def no_picture(view):
    return made(view, [image("ghost")])

@deed
def nan_on_the_axis(view):
    return made(view, [chart([float("nan")], [1.0])])

@deed
def half_a_character(view):
    return made(view, title="\\udcff")

@deed
def twice_in_the_scene(view):
    ref = view.publish("x", TABLE, port=PORT)
    return made(view, [], [ref, ref])

@deed
def other_content(view):
    view.publish("x", TABLE, port=PORT)
    return made(view, [], [view.publish("x", TABLE.take([0]), port=PORT)])

@deed
def other_port(view):
    return made(view, [], [view.publish("x", TABLE, port=ldt.Port({"m": ldt.number("1", "x:n")}))])

@deed
def unknown_ref(view):
    return view.values("walk.flow.speed", "base")

@deed
def empty_places(view):
    port = ldt.Port({"place": ldt.text(), "geometry": ldt.geometry("Point")}, entity="place", id="place")
    table = ldt.Table({"place": ["a"], "geometry": np.array([shapely.Point()], object)})
    ref = view.publish("x", table, port=port)
    assert ref.bounds is None
    return made(view, [], [ref, view.publish("y", table.take([]), port=port)])

@ldt.hookimpl
def ldt_data_sources():
    return [Town]
@ldt.hookimpl
def ldt_simulators():
    return [Walk]
@ldt.hookimpl
def ldt_viewers():
    return [Frame]
'''

TWIN = """
ldt: 1
twin: {id: town, title: Town, crs: "EPSG:25832"}
time: {start: 2026-01-01T00:00Z, end: 2026-01-01T05:00Z}
run: {seed: 5, replicates: 3}
components:
  town: {use: town}
  walk: {use: walk, step: 1h}
connect:
  - {from: town.places, to: walk.places}
kpis:
  flow: {of: walk.flow.flow, reduce: {time: mean, space: mean}, unit: "1"}
views:
  frame: {use: frame, show: [walk.flow.flow, walk.flow.level, walk.total.total]}
scenarios:
  base: {}
  crowd: {title: A crowd, set: {walk.params.people: 4.0}}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A twin that has run once, in an environment with its plugin."""
    folder = tmp_path_factory.mktemp("views")
    site, twin = folder / "site", folder / "twin"
    install(site, "ldt-viewer-frame", PLUGIN)
    twin.mkdir()
    (twin / "twin.yaml").write_text(TWIN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(site), *sys.path])
        patch.setenv("PYTHONPATH", os.pathsep.join([str(site), str(CORE)]))
        patch.setenv("LDT_CACHE", str(folder / "cache"))
        patch.delenv("LDT_STORE", raising=False)
        execute(prepare(twin), 2, lambda state: None)
        yield twin
        load_package.cache_clear()
        sys.modules.pop("ldt_viewer_frame", None)


@pytest.fixture(scope="module")
def run(home: Path) -> OpenRun:
    return open_run(find_run(str(home)))


@pytest.fixture(scope="module")
def view(run: OpenRun) -> RunView:
    e = run.ensemble
    show = [str(r) for r in e.twin.views["frame"].show]
    return RunView(e, Recordings(e), e.scenarios, show, run.record)


# -- values against brute force -----------------------------------------------------------------


def recordings(view: RunView, port: str, run: str) -> list[Recording]:
    return [view.recordings.get(run, Ref(*port.split("."), None), r) for r in range(3)]


def windows(recording: Recording) -> list[tuple[int, int, Table]]:
    return [(s, e, recording.window(i)) for i, (s, e) in enumerate(recording.windows.tolist()) if e > s]


def cells(table: Table, column: str) -> dict[Any, float]:
    """What is there, by place."""
    ids = table["place"].tolist() if "place" in table.names else list(range(len(table)))
    return {i: float(v) for i, v, m in zip(ids, table[column], table.mask(column), strict=True) if not m}


REDUCE: dict[str, Callable[[list[tuple[float, float]]], float]] = {
    "mean": lambda vw: sum(v * w for v, w in vw) / sum(w for _, w in vw),
    "sum": lambda vw: sum(v for v, _ in vw),
    "min": lambda vw: min(v for v, _ in vw),
    "max": lambda vw: max(v for v, _ in vw),
    "last": lambda vw: vw[-1][0],
    "energetic": lambda vw: 10 * math.log10(sum(10 ** (v / 10) * w for v, w in vw) / sum(w for _, w in vw)),
}


def by_replicate(view: RunView, ref: str, run: str, time: str) -> list[dict[Any, float]]:
    port, _, column = ref.rpartition(".")
    found = []
    for recording in recordings(view, port, run):
        values: dict[Any, list[tuple[float, float]]] = {}
        for start, end, table in windows(recording):
            for place, value in cells(table, column).items():
                values.setdefault(place, []).append((value, end - start))
        found.append({p: REDUCE[time](vw) for p, vw in values.items()})
    return found


def as_dict(table: Table, id: str) -> dict[Any, tuple[float, float, float] | None]:
    """Mean, low and high by id; None where nothing is known."""
    known = ~table.mask("value")
    assert (known == ~table.mask("low")).all()
    assert (known == ~table.mask("high")).all()
    return {
        i: (float(v), float(lo), float(hi)) if k else None
        for i, v, lo, hi, k in zip(
            table[id].tolist(), table["value"], table["low"], table["high"], known, strict=True
        )
    }


def spread(replicates: list[dict[Any, float]]) -> dict[Any, Any]:
    found = {}
    for i in {i for r in replicates for i in r}:
        values = [r[i] for r in replicates if i in r]
        found[i] = pytest.approx((sum(values) / len(values), min(values), max(values)))
    return found


def known(found: dict[Any, Any]) -> dict[Any, Any]:
    return {i: v for i, v in found.items() if v is not None}


@pytest.mark.parametrize("time", REDUCE)
@pytest.mark.parametrize("ref", ["walk.flow.flow", "walk.flow.level", "walk.total.total"])
@pytest.mark.parametrize("run_name", ["base", "crowd"])
def test_values_are_those_of_brute_force(view: RunView, ref: str, run_name: str, time: str) -> None:
    replicates = by_replicate(view, ref, run_name, time)
    table = view.values(ref, run_name, time)
    assert known(as_dict(table, "place" if "flow." in ref else "row")) == spread(replicates)


@pytest.mark.parametrize("time", ["mean", "max"])
def test_changes_are_paired_replicate_by_replicate(view: RunView, time: str) -> None:
    ref = "walk.flow.flow"
    base, crowd = (by_replicate(view, ref, r, time) for r in ("base", "crowd"))
    change = [{i: c[i] - b[i] for i in c if i in b} for b, c in zip(base, crowd, strict=True)]
    assert known(as_dict(view.paired(ref, "crowd", time), "place")) == spread(change)
    same = known(as_dict(view.paired(ref, "base", time), "place"))
    assert set(same.values()) == {(0.0, 0.0, 0.0)}


SPACE: dict[str, Callable[[list[float]], float]] = {
    "mean": lambda v: sum(v) / len(v),
    "sum": sum,
    "min": min,
    "max": max,
    "energetic": lambda v: 10 * math.log10(sum(10 ** (x / 10) for x in v) / len(v)),
}


@pytest.mark.parametrize("space", SPACE)
@pytest.mark.parametrize("ref", ["walk.flow.flow", "walk.total.total"])
def test_series_are_those_of_brute_force(view: RunView, ref: str, space: str) -> None:
    """By instant, though the replicates' windows differ: some steps ended early."""
    port, _, column = ref.rpartition(".")
    replicates = []
    for recording in recordings(view, port, "crowd"):
        line: dict[Any, float] = {}
        for start, _, table in windows(recording):
            values = list(cells(table, column).values())
            if values or (space == "sum" and not len(table)):
                line[start] = SPACE[space](values)
        replicates.append(line)
    starts = [{s for s, _, _ in windows(r)} for r in recordings(view, port, "crowd")]
    assert len({frozenset(s) for s in starts}) > 1, "the replicates must differ for this test"
    table = view.series(ref, "crowd", space)
    begin = view.ensemble.twin.period.start
    assert (np.diff(table["time"]) > np.timedelta64(0)).all()
    found = {
        int((t - begin).astype(int)): v
        for t, v in zip(table["time"], as_dict(table, "time").values(), strict=True)
    }
    assert set(found) == set().union(*starts)
    assert known(found) == spread(replicates)


def test_places_words_and_meaning(view: RunView, run: OpenRun) -> None:
    places = view.places("walk.flow.level")
    assert places.names == ["place", "name", "geometry"]
    assert places["place"].tolist() == ["b", "a", "c"]
    x, y = (float(f(places["geometry"][0])) for f in (shapely.get_x, shapely.get_y))
    assert abs(x - 500_000) < 0.01, "nine degrees east is the middle of the zone"
    assert abs(y - 5_538_630.7) < 0.1
    assert view.places("town.places")["name"].tolist() == ["B", "A", "C"]
    info = view.info("walk.flow.level")
    assert (info.unit, info.quantity, info.cell, info.geometry) == ("dB", "x:sound_level_a", "mean", "point")
    assert view.info("walk.total").column == "total"
    assert view.credits("walk.flow.flow") == ["Town Hall, CC-BY-4.0"]
    assert view.synthetic("walk.flow.flow") == ["The walks are drawn by lot.", "The places are made up."]
    (flag,) = view.flags("crowd")
    assert flag.value == max(run.record["scenarios"]["crowd"]["flags"][0]["values"])
    assert [r.title for r in view.runs] == ["base", "A crowd"]
    assert [k.id for k in view.kpis] == ["flow"]


WRONG: list[tuple[Callable[[RunView], Any], type[Exception], str]] = [
    (lambda v: v.info("walk"), NotFound, "is no component.port.column"),
    (lambda v: v.info(""), NotFound, "is no component.port.column"),
    (lambda v: v.credits("walk"), NotFound, "is no component.port.column"),
    (lambda v: v.places("..a"), NotFound, "is no component.port.column"),
    (lambda v: v.info("walk.flow"), NotFound, "has 2 value columns"),
    (lambda v: v.values("walk.flow.place", "base"), NotFound, "has no value column 'place'"),
    (lambda v: v.values("walk.flow.a.b", "base"), NotFound, "has no value column 'a.b'"),
    (lambda v: v.values("walk.flaw.flow", "base"), NotFound, "did you mean 'flow'"),
    (lambda v: v.values("walk.flow.flow", "bass"), NotFound, "did you mean 'base'"),
    (lambda v: v.series("walk.flow.flow", "bass"), NotFound, "no run 'bass'"),
    (lambda v: v.places("walk.flow.flow", "bass"), NotFound, "no run 'bass'"),
    (lambda v: v.flags("bass"), NotFound, "no run 'bass'"),
    (lambda v: v.places("walk.total.total"), NotFound, "nothing in this twin says where"),
    (lambda v: v.series("walk.flow.flow", "base", "median"), Unsupported, "'median' is no reduction"),
    (lambda v: v.values("walk.flow.flow", "base", "median"), RunError, "'median' is no reduction"),
]


@pytest.mark.parametrize("case", range(len(WRONG)))
def test_a_wrong_question_is_told(view: RunView, case: int) -> None:
    ask, kind, said = WRONG[case]
    with pytest.raises(kind) as caught:
        ask(view)
    assert said in str(caught.value)


# -- scenes -----------------------------------------------------------------------------------


def render(home: Path, deed: str, *, more: str = "") -> list[Any]:
    """The scenes of a run of the twin whose viewer does ``deed``."""
    text = TWIN.replace("{use: frame,", f"{{use: frame, params: {{deed: {deed}{more}}},")
    (home / "twin.yaml").write_text(text)
    return load_scenes(execute(prepare(home), 1, lambda state: None))


def test_a_scene_from_the_store_is_the_scene_that_was_rendered(home: Path) -> None:
    """Same JSON, same tables, same pictures; and only what the scene names."""
    (first,), (second,) = render(home, "plain"), render(home, "plain")
    assert first.scene == second.scene
    assert first.scene.model_dump_json() == second.scene.model_dump_json()
    assert list(first.tables) == list(second.tables) == ["../../odd / ☃"]
    assert {i: t.digest for i, t in first.tables.items()} == {i: t.digest for i, t in second.tables.items()}
    ref, picture = second.scene.data
    assert ref.sha256 == second.tables[ref.id].digest
    assert first.images == second.images == {"dot": b"<svg/>"}
    assert picture.media == "image/svg+xml"
    assert ref.synthetic == "The walks are drawn by lot. The places are made up."
    assert second.scene.blocks[2].series[0].y == [None, 1.0]  # type: ignore[union-attr]
    assert not list(home.parent.glob("odd*"))


def test_a_damaged_scene_is_rendered_anew(home: Path) -> None:
    (first,) = render(home, "plain")
    for path in (home / ".ldt" / "store").rglob("file.scene.json"):
        path.write_bytes(b"{")
    (second,) = render(home, "plain")
    assert first.scene == second.scene


def test_a_file_of_a_viewer_counts_by_its_content(home: Path) -> None:
    (home / "style.txt").write_text("one")
    before = len(list((home / ".ldt" / "store" / "entries").glob("*/*")))
    render(home, "nothing", more=", file: style.txt")
    (home / "style.txt").write_text("another")
    render(home, "nothing", more=", file: style.txt")
    assert len(list((home / ".ldt" / "store" / "entries").glob("*/*"))) == before + 2


def test_a_run_without_the_views_runs_shows_those_that_it_has(home: Path) -> None:
    text = TWIN.replace("{use: frame,", "{use: frame, runs: [crowd], params: {deed: nothing},")
    (home / "twin.yaml").write_text(text)
    (found,) = load_scenes(execute(prepare(home, ["base"]), 1, lambda state: None))
    assert [r.name for r in found.scene.runs] == ["base"]


BROKEN = {
    "raises": (RunError, "KeyError: 'a column'"),
    "leaves": (RunError, "SystemExit: 3"),
    "no_scene": (RunError, "render returned dict, not a Scene"),
    "not_published": (RunError, "the data 'ghost', which was never published"),
    "no_layer": (RunError, "the block 'm' draws the data 'ghost', which the scene lacks"),
    "no_picture": (RunError, "the block 'i' draws the data 'ghost', which the scene lacks"),
    "nan_on_the_axis": (RunError, "blocks.0.chart.series.0.x.0"),
    "half_a_character": (RunError, "cannot be written as JSON"),
    "twice_in_the_scene": (RunError, "'x' stands twice"),
    "other_content": (InputError, "'x' is published twice, with other content"),
    "other_port": (InputError, "column 'm' is missing"),
    "unknown_ref": (NotFound, "has no value column 'speed'"),
}


@pytest.mark.parametrize("deed", BROKEN)
def test_a_scene_that_does_not_hold_together_is_told_every_time(home: Path, deed: str) -> None:
    kind, said = BROKEN[deed]
    for _ in range(2):
        with pytest.raises(kind) as caught:
            render(home, deed)
        assert said in str(caught.value)
        assert "frame" in caught.value.where


@pytest.mark.parametrize("deed", ["nothing", "empty_places"])
def test_a_scene_of_nothing_is_one(home: Path, deed: str) -> None:
    (first,), (second,) = render(home, deed), render(home, deed)
    assert first.scene == second.scene
    assert [len(t) for t in second.tables.values()] == ([] if deed == "nothing" else [1, 0])


def test_the_scene_that_a_viewer_returns_is_one_for_json(home: Path) -> None:
    (found,) = render(home, "plain")
    assert scene.Scene.model_validate(json.loads(found.scene.model_dump_json())) == found.scene
