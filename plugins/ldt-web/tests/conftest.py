"""A small made-up town, its scenes, and a reader of HTML that is stricter than a browser."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
import shapely
from ldt_web import Part, RunSummary, SceneBundle

import ldt_core as ldt
from ldt_core import scene as sc

VOID = {"meta", "link", "br", "img", "hr", "input"}
SYNTHETIC = "The demand is made up: trips drawn at random."
CREDIT = "Made-up survey, CC0-1.0"
RUNS = [
    sc.RunRef(name="base", title="Today", replicates=4, description="All streets open."),
    sc.RunRef(name="closed", title="Station street closed", replicates=4, description="Closed to cars."),
]


@dataclass
class Element:
    tag: str
    attrs: dict[str, str]
    text: str = ""
    path: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """The text with blanks as a browser shows them."""
        return re.sub(r"[ \t\r\n]+", " ", self.text).strip()


@dataclass
class Document:
    elements: list[Element] = field(default_factory=list)

    def all(self, tag: str, **attrs: str) -> list[Element]:
        wanted = {k.rstrip("_").replace("_", "-"): v for k, v in attrs.items()}
        return [
            e
            for e in self.elements
            if e.tag == tag and all(v in e.attrs.get(k, "").split() for k, v in wanted.items())
        ]

    @property
    def text(self) -> str:
        return " ".join(e.words for e in self.elements if e.path == ("html", "body") and e.tag != "script")


class _Reader(HTMLParser):
    """Refuses tags that are closed out of order or left open."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.document, self.open = Document(), []

    def handle_starttag(self, tag, attrs):
        names = [k for k, _ in attrs]
        assert len(names) == len(set(names)), f"doubled attribute in <{tag}>: {names}"
        element = Element(tag, {k: v or "" for k, v in attrs}, path=tuple(e.tag for e in self.open))
        self.document.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert [e.tag for e in self.open[-1:]] == [tag], f"</{tag}> after {[e.tag for e in self.open[-3:]]}"
        self.open.pop()

    def handle_data(self, data):
        for element in self.open:
            element.text += data


def read_html(html: str) -> Document:
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert not reader.open, f"left open: {[e.tag for e in reader.open]}"
    return reader.document


def make_figures(caption: str = "Streets by flow", values: tuple[float | None, ...] = (812.4, None, -15.0)):
    heads = [
        sc.Head(id="street", title="Street", kind="text"),
        sc.Head(id="flow", title="Flow", unit="{veh}/h"),
    ]
    return sc.Figures(
        caption=caption, columns=heads, rows=[[f"Street {i}", v] for i, v in enumerate(values)], more=7
    )


def make_streets(count: int = 60, seed: int = 1) -> ldt.Table:
    """Bent streets in a square of one kilometre, with flow, change and names; the last has no flow."""
    rng = np.random.default_rng(seed)
    start = rng.uniform(50, 900, (count, 2)) + np.array([600_000, 5_700_000])
    bends = rng.uniform(-60, 60, (count, 4, 2)).cumsum(axis=1)
    flow = rng.uniform(0, 1000, count)
    flow[-1] = np.nan
    return ldt.Table(
        {
            "edge": [f"e{i}" for i in range(count)],
            "name": [f"Street {i}" for i in range(count)],
            "flow": flow,
            "change": rng.normal(0, 120, count),
            "class": [("main", "side", "lane")[i % 3] for i in range(count)],
            "geometry": list(shapely.linestrings(start[:, None] + bends)),
        }
    )


def make_buildings(count: int = 49) -> ldt.Table:
    side = int(np.ceil(count**0.5))
    pitch = 1000 / side
    x, y = (np.arange(side * side) % side) * pitch, (np.arange(side * side) // side) * pitch
    size = pitch * 0.6
    boxes = shapely.box(600_000 + x, 5_700_000 + y, 600_000 + x + size, 5_700_000 + y + size)[:count]
    return ldt.Table(
        {
            "building": [f"b{i}" for i in range(count)],
            "level": np.linspace(-4, 4, count),
            "geometry": list(boxes),
        }
    )


def make_ref(id: str, table: ldt.Table, crs: str = "EPSG:25832", **more) -> sc.DataRef:
    fields = [sc.DataField(name="geometry", kind="geometry")]
    return sc.DataRef(id=id, sha256=table.digest, rows=len(table), crs=crs, fields=fields, **more)


SEQUENTIAL = sc.Scale(kind="sequential", breaks=[100, 300, 600], better="lower")
DIVERGING = sc.Scale(kind="diverging", breaks=[-100, -10, 10, 100], better="lower")
CATEGORICAL = sc.Scale(kind="categorical", categories=["main", "side", "lane"])


def make_layer(**more) -> sc.Layer:
    plain = {
        "id": "flow", "title": "Traffic flow", "data": "streets", "geometry": "line", "field": "flow", "unit": "{veh}/h",
        "scale": SEQUENTIAL, "label": "name",
    }  # fmt: skip
    return sc.Layer(**(plain | more))


CONTEXT = sc.Layer(id="houses", title="Buildings", data="houses", geometry="polygon", role="context")


def make_map(**more) -> sc.MapBlock:
    plain = {
        "id": "map", "title": "Traffic flow today", "finding": "Station street carries most cars.",
        "alternative": make_figures(), "credits": [CREDIT], "synthetic": [SYNTHETIC], "crs": "EPSG:25832",
        "bounds": (600_000.0, 5_700_000.0, 601_000.0, 5_701_000.0), "layers": [CONTEXT, make_layer()], "run": "base",
        "period": "Mon 2 Mar 2026, 07:00 to 09:00 (Europe/Rome)",
    }  # fmt: skip
    return sc.MapBlock(**(plain | more))


def make_chart(**more) -> sc.ChartBlock:
    hours = [f"2026-03-02T{h:02}:00:00Z" for h in range(6, 12)]
    plain = {
        "id": "chart", "title": "Speed over the morning", "finding": "Cars are slowest at nine.",
        "alternative": make_figures("Speed by hour"), "mark": "line", "x": sc.Axis(title="Time", kind="instant"),
        "y": sc.Axis(title="Speed", unit="km/h"),
        "series": [
            sc.Series(name="Today", x=hours, y=[30, 25, None, 20, 26, 31], low=[29, 24, None, 19, 25, 30],
                      high=[31, 26, None, 21, 27, 32]),
            sc.Series(name="Closed", x=hours, y=[30.0, 22, 18, 17, 24, 30]),
        ],
    }  # fmt: skip
    return sc.ChartBlock(**(plain | more))


def make_kpis() -> list[sc.Kpi]:
    trip = sc.Kpi(
        id="trip", title="Mean trip duration", unit="s", better="lower", target=220, synthetic=[SYNTHETIC],
        values=[
            sc.KpiValue(run="base", value=206.1, lowest=201, highest=213, n=4, met=True),
            sc.KpiValue(run="closed", value=243.4, lowest=236, highest=251, n=4, met=False, change=37.3,
                        percent=18.1, low=30.2, high=44.4, verdict="distinguishable", better=False),
        ],
    )  # fmt: skip
    air = sc.Kpi(
        id="no2", title="Exposure to NO₂", unit="ug/m3", better="lower",
        values=[
            sc.KpiValue(run="base", value=31.5, n=4),
            sc.KpiValue(run="closed", value=31.4, n=4, change=-0.1, percent=-0.3, low=-0.4, high=0.2,
                        verdict="not distinguishable"),
        ],
    )  # fmt: skip
    return [trip, air]


def make_kpi_block(**more) -> sc.KpiBlock:
    plain = {
        "id": "kpis", "title": "Results against targets", "finding": "Trips become longer.",
        "alternative": make_figures("KPIs"), "kpis": make_kpis(),
    }  # fmt: skip
    return sc.KpiBlock(**(plain | more))


def make_record(**more) -> RunSummary:
    plain = {
        "title": "Old town", "goal": "Does closing Station street calm the centre?", "owner": "Mobility department",
        "run_id": "20260302T0500-abcdef12", "start": "2026-03-02T06:00:00Z", "end": "2026-03-02T08:00:00Z",
        "zone": "Europe/Rome", "scenarios": RUNS, "seed": 42, "replicates": 4,
        "components": [Part("traffic", "sumo", "ldt-simulator-sumo", "0.1.0", "SUMO", "Apache-2.0")],
        "credits": [CREDIT], "duration": 312.0, "created": "2026-03-03T10:00:00Z",
    }  # fmt: skip
    return RunSummary(**(plain | more))


def make_bundle(blocks: list[sc.AnyBlock] | None = None, **more) -> SceneBundle:
    tables = {"streets": make_streets(), "houses": make_buildings()} | more.pop("tables", {})
    refs = more.pop("refs", None) or [make_ref(k, t) for k, t in tables.items()]
    if blocks is None:
        change = make_layer(title="Change of flow", field="change", scale=DIVERGING)
        blocks = [
            make_kpi_block(),
            make_map(),
            make_map(
                id="map2",
                title="Traffic flow with Station street closed to cars, vans and lorries",
                run="closed",
            ),
            make_map(
                id="map3", title="What changes", run="closed", compared_with="base", layers=[CONTEXT, change]
            ),
            make_chart(),
            sc.TableBlock(
                id="table", title="Busiest streets", finding="Three stand out.", alternative=make_figures()
            ),
            sc.TextBlock(
                id="text",
                title="Note",
                finding="Read with care.",
                alternative=make_figures(),
                text="One.\n\nTwo.",
            ),
        ]
    scene = sc.Scene(title=more.pop("title", "Traffic"), viewer="test", runs=RUNS, blocks=blocks, data=refs)
    return SceneBundle(scene, tables, **more)


MADE = SimpleNamespace(
    **{
        n.removeprefix("make_"): v for n, v in globals().items() if n.startswith("make_") or n == "read_html"
    },
    CONTEXT=CONTEXT, SEQUENTIAL=SEQUENTIAL, DIVERGING=DIVERGING, CATEGORICAL=CATEGORICAL, RUNS=RUNS,
    SYNTHETIC=SYNTHETIC, CREDIT=CREDIT,
)  # fmt: skip


@pytest.fixture(scope="session")
def made() -> SimpleNamespace:
    """The builders above: ``made.map(title="…")``, ``made.bundle([...])``, ``made.read_html(page)``."""
    return MADE
