"""Scenes and the record of their run as one HTML file.

The file asks for nothing: styles, pictures and the small script that sorts tables stand in it, and a
Content-Security-Policy that names their hashes keeps everything else out. Without the script
nothing is lost but sorting and saving of tables.
"""

from __future__ import annotations

import base64
import hashlib
import re
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
from .kpis import Line, make_card, sum_up
from .maps import Shared, draw_map
from .words import write_amount, write_duration, write_instant, write_number, write_period

_PICTURES = frozenset({"image/png", "image/jpeg", "image/webp", "image/svg+xml"})


@dataclass(frozen=True)
class Shown:
    """A block with what was drawn of it; ``span`` says how a map stands beside others."""

    block: AnyBlock
    id: str
    table: Any
    picture: Any = None
    span: str = ""


@dataclass(frozen=True)
class Change:
    """A scenario in the summary."""

    title: str
    description: str
    lines: list[Line]


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
    shared = Shared()
    sections = [
        _section(i, b, _name(bundles, i, record), titles, record, shared) for i, b in enumerate(bundles)
    ]
    kpis = _kpis(bundles)
    findings, others = _findings(sections)
    style, script = _asset("page.css"), _asset("page.js")
    return _template().render(
        record=record,
        period=write_period(record.start, record.end, record.zone),
        created=write_instant(record.created, record.zone) if record.created else "",
        duration=write_duration(record.duration) if record.duration is not None else "",
        sections=sections,
        findings=findings,
        others=others,
        cards=[make_card(k, titles) for k in kpis],
        runs=list(titles.values()),
        changes=_changes(record, bundles, kpis, titles),
        flags=_flags(record, titles),
        synthetic=_gather(bundles, "synthetic"),
        credits=list(dict.fromkeys([*record.credits, *_gather(bundles, "credits")])),
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


def _findings(sections: Sequence[Section]) -> tuple[list[Shown], list[Shown]]:
    """What is told at the top, and what waits there to be unfolded: changes first, where there are any."""
    every = [shown for section in sections for group in section.groups for shown in group]
    changes = [s for s in every if isinstance(s.block, MapBlock) and s.block.compared_with is not None]
    first = changes or every[:8]
    return first, [s for s in every if s not in first]


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
    index: int, bundle: SceneBundle, title: str, titles: dict[str, str], record: RunSummary, shared: Shared
) -> Section:
    scene = bundle.scene
    zone = scene.time.zone if scene.time else record.zone
    groups = []
    blocks = list(enumerate(scene.blocks))
    for _, members in groupby(blocks, key=_turns(scene.blocks)):
        # Pictures of one state come first, side by side; then, wide, what differs between them.
        group = sorted(members, key=lambda m: isinstance(m[1], MapBlock) and m[1].compared_with is not None)
        single = sum(isinstance(b, MapBlock) and b.compared_with is None for _, b in group) < 2
        groups.append([_shown(f"s{index}b{i}", b, bundle, titles, zone, shared, single) for i, b in group])
    return Section(f"scene-{index}", title, groups)


def _turns(blocks: Sequence[AnyBlock]) -> Any:
    """A key that puts maps of one area together: pictures of states, then of changes between them."""
    keys: list[int] = []
    for block, before in zip(blocks, [None, *blocks], strict=False):
        together = (
            isinstance(block, MapBlock)
            and isinstance(before, MapBlock)
            and (block.bounds, block.crs) == (before.bounds, before.crs)
            and not (before.compared_with and not block.compared_with)
        )
        keys.append(keys[-1] if together else len(keys))
    return lambda member: keys[member[0]]


def _shown(
    name: str,
    block: AnyBlock,
    bundle: SceneBundle,
    titles: dict[str, str],
    zone: str,
    shared: Shared,
    single: bool,
) -> Shown:
    table = lay_out(block.alternative, zone)
    if isinstance(block, MapBlock):
        wide = single or block.compared_with is not None
        picture = draw_map(block, bundle, shared, name=name, wide=wide)
        shape = "half" if not wide else "wide tall" if picture.height > 0.65 * picture.width else "wide"
        return Shown(block, name, table, picture, shape)
    if isinstance(block, ChartBlock):
        return Shown(block, name, table, draw_chart(block, name=name, zone=zone))
    if isinstance(block, KpiBlock):
        return Shown(block, name, table, [make_card(k, titles) for k in block.kpis])
    if isinstance(block, TextBlock):
        return Shown(block, name, table, [p.strip() for p in block.text.split("\n\n") if p.strip()])
    if isinstance(block, ImageBlock):
        return Shown(block, name, table, _image(block.data, bundle))
    if isinstance(block, CustomBlock):
        known = any(r.id == block.fallback and r.media in _PICTURES for r in bundle.scene.data)
        return Shown(block, name, table, _image(block.fallback, bundle) if known else "")
    return Shown(block, name, table)


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


def _changes(
    record: RunSummary, bundles: Sequence[SceneBundle], kpis: Sequence[Kpi], titles: dict[str, str]
) -> list[Change]:
    words = {r.name: r.description for b in bundles for r in b.scene.runs}
    words |= {r.name: r.description for r in record.scenarios}
    changes = [Change(titles[run], words.get(run, ""), sum_up(kpis, run)) for run in titles]
    return changes


def _flags(record: RunSummary, titles: dict[str, str]) -> list[tuple[str, str]]:
    """Quality flags by sentence, each with the scenarios that raised it and the value in each."""
    found: dict[str, dict[str, tuple[str, str]]] = {}
    for run, flags in record.flags.items():
        for flag in flags:
            value = (write_number(flag.value), write_amount(flag.value, flag.unit))
            found.setdefault(flag.text or flag.name, {})[titles.get(run, run)] = value
    told = []
    for text, values in found.items():
        alike = len(values) == len(titles) and len(set(values.values())) == 1
        shown = {"every scenario": next(iter(values.values()))} if alike else values
        words = re.findall(r"[^\s,;:]+", text)  # a sentence that holds its number is not followed by it again
        told.append((text, ", ".join(r if n in words else f"{v} in {r}" for r, (n, v) in shown.items())))
    return told


def _gather(bundles: Sequence[SceneBundle], what: str) -> list[str]:
    """Synthetic notices or credits of all blocks and their data, each once."""
    found: list[str] = []
    for bundle in bundles:
        for block in bundle.scene.blocks:
            found.extend(getattr(block, what))
            if isinstance(block, KpiBlock):
                found.extend(text for kpi in block.kpis for text in getattr(kpi, what))
        for ref in bundle.scene.data:
            if what == "synthetic" and ref.synthetic:
                found.append(ref.synthetic)
            elif what == "credits":
                found.extend(
                    [", ".join(filter(None, (ref.attribution, ref.licence)))] if ref.attribution else []
                )
    unique = list(dict.fromkeys(filter(None, found)))
    return [text for text in unique if not _is_made_of(text, [u for u in unique if u != text])]


def _is_made_of(text: str, others: Sequence[str]) -> bool:
    """Whether ``text`` only strings together what ``others`` say."""
    for other in sorted(others, key=len, reverse=True):
        text = text.replace(other, "")
    return not text.strip(" .;,")
