"""Scenes and the record of their run as one HTML file.

The file asks for nothing: styles, pictures and the small script that sorts tables stand in it, and a
Content-Security-Policy that names their hashes keeps everything else out. Without the script
nothing is lost but sorting and saving of tables.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import groupby
from typing import Any

import jinja2
from markupsafe import Markup

import ldt_core as ldt
from ldt_core.scene import AnyBlock, ChartBlock, CustomBlock, ImageBlock, Kpi, KpiBlock, MapBlock, TextBlock

from .bundle import RunSummary, SceneBundle, clean
from .charts import draw_chart
from .figures import lay_out
from .kpis import Row, Sentence, make_row, write_answer, write_verdict
from .maps import Shared, draw_map
from .notices import gather, list_flags, mark_synthetic
from .words import write_duration, write_instant, write_period

_PICTURES = frozenset({"image/png", "image/jpeg", "image/webp", "image/svg+xml"})


@dataclass(frozen=True)
class Shown:
    """A block with what was drawn of it; ``span`` says how a map stands beside others, ``mark`` what is made up."""

    block: AnyBlock
    id: str
    table: Any
    picture: Any = None
    span: str = ""
    mark: str = ""


@dataclass(frozen=True)
class Comparison:
    """All KPIs in all runs; ``mark`` says what is made up where it is so of all rows, else each row does."""

    base: str
    others: list[str]
    rows: list[Row]
    mark: str


@dataclass(frozen=True)
class Answer:
    """What one scenario does, in a few sentences."""

    title: str
    description: str
    verdict: str
    sentences: list[Sentence]


@dataclass(frozen=True)
class Section:
    id: str
    title: str
    groups: list[list[Shown]]


def render_page(scenes: Sequence[SceneBundle], record: RunSummary) -> str:
    """The page, the same bytes for the same input.

    Raises ``NotFound`` where a block speaks of data that is not there, and ``InputError`` where
    data cannot be drawn.
    """
    record = clean(record)
    bundles = [b.cleaned() for b in scenes]
    runs = {r.name: r.title or r.name for b in reversed(bundles) for r in b.scene.runs}
    order = [r.name for b in bundles for r in b.scene.runs]
    titles = {name: runs[name] for name in dict.fromkeys(order)}
    titles |= {r.name: r.title or r.name for r in record.scenarios}
    shared, notices = Shared(), gather(bundles, "synthetic")
    kpis = _kpis(bundles)
    sections = [
        _section(i, b, _name(bundles, i, record), titles, record, shared, notices)
        for i, b in enumerate(bundles)
    ]
    results, sections = _lift_results(sections, kpis)
    style, script = _asset("page.css"), _asset("page.js")
    return _template().render(
        record=record,
        period=write_period(record.start, record.end, record.zone),
        created=write_instant(record.created, record.zone) if record.created else "",
        duration=write_duration(record.duration) if record.duration is not None else "",
        sections=sections,
        results=results,
        comparison=compare(kpis, titles, notices) if results else None,
        runs=list(titles.values()),
        answers=_answers(record, bundles, kpis, titles),
        baseline=_describe(record, bundles, next(iter(titles), "")),
        flags=list_flags(record, titles),
        synthetic=notices,
        credits=list(dict.fromkeys([*record.credits, *gather(bundles, "credits")])),
        data=[ref for b in bundles for ref in b.scene.data],
        definitions=shared.definitions(),
        style=Markup(style),
        script=Markup(script),
        policy=write_policy(style, script),
    )


def write_policy(style: str, script: str) -> str:
    """A policy under which the page runs what stands in it, and nothing else."""
    return (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def _asset(name: str) -> str:
    return (files(__package__) / "templates" / name).read_text(encoding="utf-8").strip()


@cache
def _template() -> jinja2.Template:
    world = jinja2.Environment(
        loader=jinja2.PackageLoader(__package__ or "ldt_web"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return world.get_template("page.html.j2")


def _lift_results(sections: Sequence[Section], kpis: Sequence[Kpi]) -> tuple[list[Shown], list[Section]]:
    """The KPI blocks, to be told at the top as one table, and the sections without them, changes first."""
    known = {k.id: k for k in kpis}
    results: list[Shown] = []
    rest = []
    for section in sections:
        groups = []
        for group in section.groups:
            kept: list[Shown] = []
            for shown in group:
                block = shown.block
                top = isinstance(block, KpiBlock) and all(known[k.id] == k for k in block.kpis)
                (results if top else kept).append(shown)
            if kept:
                groups.append(kept)
        if groups:
            rest.append(Section(section.id, section.title, groups))
    return results, sorted(rest, key=lambda s: not any(_is_change(b.block) for g in s.groups for b in g))


def compare(kpis: Sequence[Kpi], titles: dict[str, str], notices: Sequence[str]) -> Comparison:
    marks = [mark_synthetic(k.synthetic, notices) for k in kpis]
    base, *others = titles.values() or [""]
    if all(marks):
        every = mark_synthetic([t for k in kpis for t in k.synthetic], notices)
        return Comparison(base, others, [make_row(k, titles) for k in kpis], every)
    rows = [make_row(k, titles, mark) for k, mark in zip(kpis, marks, strict=True)]
    return Comparison(base, others, rows, "")


def _is_change(block: AnyBlock) -> bool:
    return isinstance(block, MapBlock) and block.compared_with is not None


def _name(scenes: Sequence[SceneBundle], index: int, record: RunSummary) -> str:
    """The heading of a scene; by what it holds where its title only repeats that of the page."""
    scene = scenes[index].scene
    if scene.title and scene.title not in (record.title, record.goal):
        return scene.title
    kinds = {block.kind for block in scene.blocks}
    return next(
        (t for k, t in (("kpi", "Results"), ("map", "Maps"), ("chart", "Charts")) if k in kinds), "Details"
    )


def _section(
    index: int,
    bundle: SceneBundle,
    title: str,
    titles: dict[str, str],
    record: RunSummary,
    shared: Shared,
    notices: Sequence[str],
) -> Section:
    scene = bundle.scene
    zone = scene.time.zone if scene.time else record.zone
    groups = []
    for _, members in groupby(enumerate(scene.blocks), key=_turns(scene.blocks)):
        group = list(members)
        span = (
            ""
            if len(group) == 1
            else f"half of-{'three' if len(group) % 3 == 0 or len(group) > 4 else 'two'}"
        )
        groups.append(
            [_shown(f"s{index}b{i}", b, bundle, titles, zone, shared, span, notices) for i, b in group]
        )
    return Section(f"scene-{index}", title, groups)


def _turns(blocks: Sequence[AnyBlock]) -> Any:
    """A key that puts maps together that show the same of several runs."""
    keys: list[int] = []
    for block, before in zip(blocks, [None, *blocks], strict=False):
        together = (
            isinstance(block, MapBlock)
            and isinstance(before, MapBlock)
            and _subject(block) == _subject(before)
            and not (block.compared_with or before.compared_with)
        )
        keys.append(keys[-1] if together else len(keys))
    return lambda member: keys[member[0]]


def _subject(block: MapBlock) -> object:
    return block.bounds, block.crs, [x.title for x in block.layers if x.role == "value"]


def _shown(
    name: str,
    block: AnyBlock,
    bundle: SceneBundle,
    titles: dict[str, str],
    zone: str,
    shared: Shared,
    span: str,
    notices: Sequence[str],
) -> Shown:
    table = lay_out(block.alternative, zone)
    mark = mark_synthetic(block.synthetic, notices)
    if isinstance(block, MapBlock):
        picture = draw_map(block, bundle, shared, name=name, wide=not span)
        tall = " tall" if not span and picture.height > 0.65 * picture.width else ""
        return Shown(block, name, table, picture, (span or "wide") + tall, mark)
    if isinstance(block, ChartBlock):
        return Shown(block, name, table, draw_chart(block, name=name, zone=zone), mark=mark)
    if isinstance(block, KpiBlock):
        return Shown(block, name, table, compare(block.kpis, titles, notices), mark=mark)
    if isinstance(block, TextBlock):
        paragraphs = [p.strip() for p in block.text.split("\n\n") if p.strip()]
        return Shown(block, name, table, [p for p in paragraphs if p != block.finding], mark=mark)
    if isinstance(block, ImageBlock):
        return Shown(block, name, table, _image(block.data, bundle), mark=mark)
    if isinstance(block, CustomBlock):
        known = any(r.id == block.fallback and r.media in _PICTURES for r in bundle.scene.data)
        return Shown(block, name, table, _image(block.fallback, bundle) if known else "", mark=mark)
    return Shown(block, name, table, mark=mark)


def _image(id: str, bundle: SceneBundle) -> str:
    """A picture as a ``data:`` address. Raises ``NotFound``, ``InputError``."""
    ref = bundle.ref(id)
    if ref.media not in _PICTURES:
        raise ldt.InputError(
            f"data '{id}' is {ref.media}, not a picture", fix=f"give one of {', '.join(sorted(_PICTURES))}"
        )
    if id not in bundle.images:
        raise ldt.NotFound(
            f"there is no picture for the data '{id}'", fix="give SceneBundle its bytes in images"
        )
    return f"data:{ref.media};base64,{base64.b64encode(bundle.images[id]).decode()}"


def _kpis(bundles: Sequence[SceneBundle]) -> list[Kpi]:
    """Every KPI once, as the first block shows it."""
    found: dict[str, Kpi] = {}
    for bundle in bundles:
        for block in bundle.scene.blocks:
            for kpi in block.kpis if isinstance(block, KpiBlock) else ():
                found.setdefault(kpi.id, kpi)
    return list(found.values())


def _answers(
    record: RunSummary, bundles: Sequence[SceneBundle], kpis: Sequence[Kpi], titles: dict[str, str]
) -> list[Answer]:
    """One for each scenario; where there is none to compare, one for what was computed."""
    runs = list(titles)[1:] or list(titles)
    return [
        Answer(
            titles[run],
            _describe(record, bundles, run),
            write_verdict(kpis, run),
            write_answer(kpis, titles, run),
        )
        for run in runs
    ]


def _describe(record: RunSummary, bundles: Sequence[SceneBundle], run: str) -> str:
    words = {r.name: r.description for b in bundles for r in b.scene.runs}
    words |= {r.name: r.description for r in record.scenarios}
    return words.get(run, "")
