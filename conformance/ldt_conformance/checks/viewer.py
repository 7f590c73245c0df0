"""Checks of the catalogue's part ``viewer``: what is shown. How a page behaves stands in ``viewer_page``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

from ldt_web.words import write_unit

from ldt_core import scene as sc
from ldt_core.testing import MemoryView

from ..browser import Look, browser
from ..pages import Rendered, render, render_view
from ..sight import Sight, is_written, look, numbers_in, photograph, see, squeeze
from ..trial import Trial
from ..views import HUGE, copy_view, example_view, known_together, known_values, shows
from . import check, viewer_page  # noqa: F401  (its checks are marked there)

LEAST_MARKS = 20
"""Pixels that differ from the ground: fewer are no drawing."""
NOTHING = re.compile(
    r"\b(no|none|nothing|not|empty|without|missing|absent|unavailable|unknown"
    r"|kein\w*|nichts|leer\w*|ohne|fehl\w+|aucun\w*|rien|vide\w*|sans|ning\u00fan\w*|nada|vac\u00ed\w*|sin"
    r"|nessun\w*|niente|vuot\w+|senza|geen|niets|brak\w*|nic|pust\w+)\b",
    re.I,
)
"""Words for absence; a view asks for a locale, and these are read in any."""
NO_VALUES = re.compile(r"\b(nan|none|null|undefined|inf|infinity|-?\u221e)\b", re.I)
MOST_ELEMENTS = 20_000
"""Of a page: with more, a browser on a small machine answers late."""


def seen(trial: Trial, rendered: Rendered, *, again: bool = False) -> Look[Sight]:
    """The page of ``rendered``; one that wants what is not there, or complains, is judged by ``LDT-VIE-HEAD-01``."""
    return see(rendered.file, again=again or trial.attempt > 0)


@check("LDT-VIE-HEAD-01")
def opens_without_a_screen_and_shows_a_picture(trial: Trial) -> None:
    rendered = render(trial)
    found = seen(trial, rendered)
    trial.expect(not found.errors, "the page complains on its console", expected=[], got=found.errors)
    blocks = rendered.scene.blocks
    trial.expect(bool(blocks), "the scene has no block, though the view has values", expected="one or more")
    graphics = found.answer.graphics
    drawn = [b for b in blocks if b.kind in ("map", "chart", "image")]
    trial.expect(
        len(graphics) >= len(drawn),
        "a block that draws has no picture on the page",
        expected=[b.title for b in drawn],
        got=[g.name for g in graphics],
    )
    for graphic in graphics:
        trial.expect(not graphic.broken, "a picture cannot be read", given=graphic.name)
        trial.expect(
            graphic.marks >= LEAST_MARKS,
            "a picture is blank",
            given=graphic.name,
            expected=f"{LEAST_MARKS} or more pixels that differ from the ground",
            got=graphic.marks,
        )
    for block in blocks:
        text = squeeze(block.finding)
        trial.expect(
            any(text in squeeze(t) for t in found.answer.blocks),
            "the finding of a block is not to be read on the page",
            given=block.title,
            expected=block.finding,
        )


@check("LDT-VIE-DATA-01")
def shows_the_values_and_places_that_it_was_given(trial: Trial) -> None:
    """One instance is given both views: nothing of the first may be left on the second's page."""
    pages, subject = [], trial.open()
    for kind in ("usual", "other"):
        rendered = render(trial, kind, subject=subject)
        page = seen(trial, rendered).answer
        _expect_values(trial, rendered.view, page, kind)
        pages.append(page.text)
    trial.expect(
        pages[0] != pages[1], "other values gave the same page", given="the views 'usual' and 'other'"
    )


def _expect_values(trial: Trial, view: MemoryView, page: Sight, kind: str) -> None:
    said = shows(trial)
    words = squeeze(page.text)
    for ref, variable in view.variables.items():
        for run in view.runs:
            known = dict(known_values(view, ref, run.name))
            if not said.places:
                known |= known_together(view, ref, run.name)
            hits = {how: sum(is_written(v, page.numbers) for v in values) for how, values in known.items()}
            trial.expect(
                any(hits[how] >= min(3, len(values)) for how, values in known.items()),
                "values that the view gives are not to be found on the page",
                given={"view": kind, "ref": ref, "run": run.name},
                expected={how: [round(v, 3) for v in values] for how, values in known.items()},
                got=f"at most {max(hits.values())} of one kind",
            )
        if "geometry" not in variable.table or not said.places:
            continue
        names = [str(n) for n in variable.table["name"]]
        known_names = [n for n in names[:-1] if squeeze(n) in words]
        trial.expect(
            len(known_names) >= 3,
            "places that the view gives are not named on the page",
            given={"view": kind, "ref": ref},
            expected=names[:-1],
            got=known_names,
        )
        lost = squeeze(names[-1])
        zeros = [r for r in page.rows if lost in squeeze(r) and _has_zero(squeeze(r).replace(lost, ""))]
        trial.expect(
            not zeros, "a place without a value is shown with the value 0", given=names[-1], got=zeros[:1]
        )
    for kpi in view.kpis:
        lost_values = [v for v in kpi.values if v.value is not None and not is_written(v.value, page.numbers)]
        trial.expect(
            squeeze(kpi.title) in words and not lost_values,
            "a KPI is not shown with its value in each run",
            given={"view": kind, "kpi": kpi.title},
            expected={v.run: v.value for v in kpi.values},
            got={v.run: "not found" for v in lost_values} or "no title",
        )


def _has_zero(row: str) -> bool:
    return any(re.fullmatch(r"[-\u2212+]?0(\.0+)?", cell) for cell in row.split())


@check("LDT-VIE-EMPTY-01")
def says_in_words_that_there_is_nothing(trial: Trial) -> None:
    for kind in ("none", "missing"):
        rendered = render(trial, kind)
        found = seen(trial, rendered)
        trial.expect(not found.errors, "the page of an empty view complains", given=kind, got=found.errors)
        blocks = rendered.scene.blocks
        trial.expect(bool(blocks), "an empty view gives an empty page", given=kind, expected="words")
        said = [b.finding for b in blocks if NOTHING.search(b.finding)]
        trial.expect(
            any(squeeze(text) in squeeze(t) for text in said for t in found.answer.blocks),
            "no sentence says that there is nothing to show",
            given=kind,
            expected="a finding such as: No value in any run",
            got=[b.finding for b in blocks],
        )
        for block in blocks:
            if block.kind in ("map", "chart") and not _draws(block, rendered.view):
                trial.expect(
                    bool(NOTHING.search(f"{block.finding} {block.note}")),
                    "a map or chart without any value does not say so",
                    given={"view": kind, "block": block.title},
                    got=block.finding,
                )
        odd = NO_VALUES.findall(" ".join(re.sub(NOTHING, "", b.finding) for b in blocks))
        trial.expect(not odd, "a finding speaks of what is no value", given=kind, got=odd)


def _draws(block: sc.AnyBlock, view: MemoryView) -> bool:
    if isinstance(block, sc.ChartBlock):
        return any(y is not None for s in block.series for y in s.y)
    if isinstance(block, sc.MapBlock):
        tables = [(view.published[x.data], x.field) for x in block.layers if x.role == "value"]
        return any(f in t and not t.mask(f).all() for t, f in tables if f is not None)
    return True


@check("LDT-VIE-LEG-01")
def says_quantity_unit_time_and_source(trial: Trial) -> None:
    for kind in ("usual", "leap day"):
        rendered = render(trial, kind)
        page = seen(trial, rendered).answer
        view, words = rendered.view, squeeze(page.visible)
        units = {u for v in view.variables.values() for u in _units(v.unit)}
        units |= {u for k in view.kpis for u in _units(k.unit)} | {"%"}
        for ref, variable in view.variables.items():
            given = {"view": kind, "ref": ref}
            trial.expect(
                any(
                    squeeze(variable.title) in squeeze(b) and _any_in(_units(variable.unit), b)
                    for b in page.blocks
                ),
                "no block names the quantity together with its unit",
                given=given,
                expected=[variable.title, *_units(variable.unit)],
            )
            for what, texts in (("credit", variable.credits), ("note on made-up data", variable.synthetic)):
                for text in texts:
                    trial.expect(
                        squeeze(text).rstrip(".") in words,
                        f"a {what} is not visible",
                        given=given,
                        expected=text,
                    )
        for graphic in page.graphics:
            trial.expect(
                graphic.tag == "img" or _any_in(units, graphic.around),
                "a picture has no unit beside it",
                given=graphic.name,
                expected=sorted(units),
                got=graphic.around,
            )
        at = datetime.fromisoformat(view.start.replace("Z", "+00:00")).astimezone(ZoneInfo(view.zone))
        for what, ways in _ways(at, view.zone).items():
            trial.expect(
                any(squeeze(w) in words for w in ways),
                f"the {what} of the time that is shown is not visible",
                given={"view": kind, "start": view.start, "zone": view.zone},
                expected=ways,
            )


def _units(code: str | None) -> list[str]:
    return [u for u in dict.fromkeys((write_unit(code), code or "")) if u and u != "1"]


def _any_in(texts: Iterable[str], where: str) -> bool:
    return any(squeeze(t) in squeeze(where) for t in texts)


def _ways(at: datetime, zone: str) -> dict[str, list[str]]:
    """How an instant may be written."""
    day, month = at.day, at.strftime("%b")
    offset = at.strftime("%z")
    return {
        "day": [
            f"{day} {month}",
            f"{day:02} {month}",
            f"{day} {at:%B}",
            f"{month} {day}",
            f"{at:%B} {day}",
            f"{at:%Y-%m-%d}",
            f"{at:%d.%m.%Y}",
            f"{at:%d/%m/%Y}",
        ],
        "hour": [f"{at:%H:%M}", f"{at.hour}:{at:%M}", f"{at:%H.%M}", f"{at.hour % 12 or 12}:{at:%M}"],
        "zone": [
            zone,
            f"{offset[:3]}:{offset[3:]}",
            *([name] if (name := at.tzname() or "").isalpha() else []),
        ],
    }


@check("LDT-VIE-DET-01")
def the_same_view_gives_the_same_picture(trial: Trial) -> None:
    view = example_view(trial)
    first = render_view(trial, view)
    second = render_view(trial, copy_view(view))
    one, two = (r.scene.model_dump(mode="json") for r in (first, second))
    trial.expect(
        one == two,
        "rendered again, the scene differs",
        expected=_first_apart(one, two),
        got=_first_apart(two, one),
    )
    for id, table in first.view.published.items():
        again = second.view.published.get(id)
        trial.expect(
            again is not None and again.digest == table.digest, "published again, data differ", given=id
        )
    trial.expect(first.view.images == second.view.images, "published again, pictures differ")
    pictures = [look(r.file, photograph, again=True).answer for r in (first, second)]
    apart = browser().difference(*pictures)
    trial.expect(
        apart <= 0.002, "drawn again, the page looks different", expected="0.2 % of it at most", got=apart
    )


def _first_apart(one: object, other: object, path: str = "") -> str:
    """Where two scenes first differ, with what stands there in ``one``."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for key in one:
            if one[key] != other[key]:
                return _first_apart(one[key], other[key], f"{path}.{key}")
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, (a, b) in enumerate(zip(one, other, strict=True)):
            if a != b:
                return _first_apart(a, b, f"{path}[{number}]")
    return f"{path.lstrip('.')}: {json.dumps(one, default=str)}"


@check("LDT-VIE-HUGE-01")
def a_hundred_thousand_places_stay_usable(trial: Trial) -> None:
    rendered = render(trial, "huge")
    view, size = rendered.view, rendered.file.stat().st_size
    trial.expect(
        size <= view.budget,
        "the page is larger than the view's budget",
        given=f"{HUGE} places",
        expected=view.budget,
        got=size,
    )
    elements = rendered.html.count("<") // 2
    trial.expect(
        elements <= MOST_ELEMENTS,
        "the page has too many elements to stay usable",
        given=f"{HUGE} places",
        expected=MOST_ELEMENTS,
        got=elements,
    )
    found = see(rendered.file, again=trial.attempt > 0)
    trial.expect(not found.errors, "the page complains", got=found.errors)
    trial.expect(bool(rendered.scene.blocks), "nothing is shown", given=f"{HUGE} places")
    rows = {d.id: d.rows for d in rendered.scene.data}
    for block in rendered.scene.blocks:
        if not isinstance(block, sc.MapBlock):
            continue
        drawn = max((rows[x.data] for x in block.layers if x.role == "value"), default=0)
        words = " ".join((block.finding, block.note))
        trial.expect(
            drawn >= HUGE or (is_counted(words, HUGE) and is_counted(words, drawn)),
            "a map leaves places out and does not say how many it draws of how many",
            given=block.title,
            expected=f"a finding or note with both numbers: {drawn} of {HUGE}",
            got=words,
        )


def is_counted(words: str, count: int) -> bool:
    """Whether a number of places stands in ``words``, those without a value left out or not."""
    return any(count - 1 <= x <= count for x, _ in numbers_in(words))
