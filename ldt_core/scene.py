"""What a viewer returns: blocks of content, references to data, and the state that renderers share.

A Scene is JSON. It holds no HTML and no script; renderers (web page, single file, notebook, PDF)
turn it into what a person sees. Every block carries its finding in one sentence and an alternative
table with the figures that it draws, so that no block depends on sight or on JavaScript.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

SCENE_VERSION = 1


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


Cell = str | float | int | bool | None


class Head(Part):
    """A column of a table block. ``unit`` is UCUM; renderers write it for readers (ug/m3 -> µg/m³)."""

    id: str
    title: str
    unit: str | None = None
    kind: Literal["text", "number", "instant", "boolean"] = "number"
    digits: int | None = None


class Figures(Part):
    """A table of figures: the alternative of a block, or a table block of its own."""

    caption: str
    columns: list[Head]
    rows: list[list[Cell]]
    more: int = Field(0, description="rows left out here; the data reference holds them all")


class DataField(Part):
    """One column of referenced data."""

    name: str
    kind: Literal["text", "number", "integer", "boolean", "instant", "geometry"]
    unit: str | None = None
    quantity: str | None = None
    title: str = ""


class DataRef(Part):
    """Data beside the scene: a table that a renderer or a reader may fetch."""

    id: str
    media: str = "application/vnd.apache.parquet"
    sha256: str
    rows: int
    crs: str | None = None
    bounds: tuple[float, float, float, float] | None = None
    fields: list[DataField] = []
    licence: str | None = None
    attribution: str | None = None
    synthetic: str | None = None


class Block(Part):
    """What every block has. ``synthetic`` says in words which of its data was made up."""

    id: str
    title: str
    finding: str = Field(min_length=1, description="what it shows, in one sentence")
    alternative: Figures
    credits: list[str] = []
    synthetic: list[str] = []
    note: str = ""


class KpiValue(Part):
    """One KPI in one run: the mean over ``n`` replicates, lowest and highest, target met or not.

    Against the baseline: ``change`` in the KPI's unit, ``percent``, the 95 % interval ``low`` to
    ``high`` of the change, and ``verdict`` in words; all None for the baseline itself.
    """

    run: str
    value: float | None
    lowest: float | None = None
    highest: float | None = None
    n: int = 1
    met: bool | None = None
    change: float | None = None
    percent: float | None = None
    low: float | None = None
    high: float | None = None
    verdict: str | None = None
    better: bool | None = Field(None, description="whether a distinguishable change is an improvement")


class Kpi(Part):
    id: str
    title: str
    unit: str
    better: Literal["lower", "higher"] | None = None
    target: float | None = None
    values: list[KpiValue]
    credits: list[str] = []
    synthetic: list[str] = []


class KpiBlock(Block):
    kind: Literal["kpi"] = "kpi"
    kpis: list[Kpi]


class Series(Part):
    """One line, or one group of bars or dots. ``low`` and ``high`` draw the spread where given.

    Instants on an axis are RFC 3339 text or seconds since 1970.
    """

    name: str
    x: list[float | str]
    y: list[float | None]
    low: list[float | None] | None = None
    high: list[float | None] | None = None


class Axis(Part):
    title: str
    unit: str | None = None
    kind: Literal["number", "category", "instant"] = "number"
    zero: bool = Field(False, description="the axis must show zero")


class ChartBlock(Block):
    """``mark``: line, bar (grouped, horizontal bars for long names) or dot (with spread)."""

    kind: Literal["chart"] = "chart"
    mark: Literal["line", "bar", "dot"]
    x: Axis
    y: Axis
    series: list[Series]


class Scale(Part):
    """How values become colours and widths: classes between ``breaks`` (one colour more than breaks).

    ``diverging`` scales are centred; ``categorical`` ones list ``categories`` instead of breaks.
    Renderers choose the palette by kind and never show colour alone: ``labels`` name each class.
    """

    kind: Literal["sequential", "diverging", "categorical"]
    breaks: list[float] = []
    categories: list[str] = []
    labels: list[str] = []
    better: Literal["lower", "higher"] | None = None


class Layer(Part):
    """Places of ``data`` drawn by the value of ``field``, or plain where ``field`` is None."""

    id: str
    title: str
    data: str
    geometry: Literal["point", "line", "polygon"]
    field: str | None = None
    unit: str | None = None
    scale: Scale | None = None
    role: Literal["value", "context"] = "value"
    label: str | None = Field(None, description="the column that names a place")


class MapBlock(Block):
    """Layers from bottom to top. ``crs`` is metric; ``bounds`` in it; the renderer adds a scale bar."""

    kind: Literal["map"] = "map"
    crs: str
    bounds: tuple[float, float, float, float]
    layers: list[Layer]
    run: str | None = None
    compared_with: str | None = None
    period: str | None = Field(None, description="the time that the picture stands for, with zone")


class TableBlock(Block):
    """A table for its own sake; what is shown is ``alternative``."""

    kind: Literal["table"] = "table"


class TextBlock(Block):
    kind: Literal["text"] = "text"
    text: str


class ImageBlock(Block):
    kind: Literal["image"] = "image"
    data: str
    alt: str = Field(min_length=1)


class CustomBlock(Block):
    """A block drawn by the viewer's own client module.

    ``fallback`` is the id of a picture among the scene's data, or text that says the same.
    """

    kind: Literal["custom"] = "custom"
    module: str
    fallback: str


AnyBlock = Annotated[
    KpiBlock | ChartBlock | MapBlock | TableBlock | TextBlock | ImageBlock | CustomBlock,
    Field(discriminator="kind"),
]


class TimeAxis(Part):
    start: str
    end: str
    zone: str = "UTC"
    steps: list[str] = []


class RunRef(Part):
    """A run in the scene; the first one is the baseline."""

    name: str
    title: str
    description: str = ""
    replicates: int = 1


class State(Part):
    """What linked renderers share; nothing else passes between them."""

    time: str | None = None
    run: str | None = None
    camera: tuple[float, float, float, float] | None = None
    selection: list[str] = []
    layers: list[str] = []


class Scene(Part):
    version: Literal[1] = 1
    title: str
    viewer: str
    runs: list[RunRef]
    time: TimeAxis | None = None
    blocks: list[AnyBlock]
    data: list[DataRef] = []
    state: State = State()
