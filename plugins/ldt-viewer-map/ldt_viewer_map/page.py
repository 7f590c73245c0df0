"""The blocks and the data of one scene."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

import ldt_core as ldt
from ldt_core.scene import (
    AnyBlock,
    Axis,
    ChartBlock,
    DataRef,
    Figures,
    Layer,
    MapBlock,
    Scale,
    Series,
    TableBlock,
    TextBlock,
)

from .budget import fit_places
from .figures import describe_change, describe_counts, describe_values, list_changes, list_counts, list_values
from .params import MapParams
from .places import (
    Bounds,
    Numbers,
    PlaceSet,
    cut_places,
    frame_places,
    name_by_neighbours,
    read_places,
    tabulate_places,
    weigh_places,
)
from .theme import TIME, Theme, Wish, find_same, read_theme
from .words import clean_text, make_ids, say_places, unique, write_amount, write_period

_ORDER = {"polygon": 0, "line": 1, "point": 2}
Said = Mapping[str, tuple[str, Figures]]
"""Finding and table by run."""


class Page:
    """The blocks and the data of one scene while they are made."""

    def __init__(self, params: MapParams, view: ldt.View, runs: Mapping[str, str]) -> None:
        self.params, self.view, self.runs = params, view, runs
        self.base = next(iter(runs), "")
        self.blocks: list[AnyBlock] = []
        self.data: list[DataRef] = []
        self.run_ids = make_ids(runs)
        self.context: list[Layer] = []
        self.notes: list[str] = []
        self.frame: Bounds | None = None

    def draw(self) -> None:
        shown = unique(self.view.show)
        sets: list[PlaceSet] = []
        themes = [read_theme(ref, self._wish(ref), list(self.runs), self.view, sets) for ref in shown]
        around = {ref: self._read_context(ref, sets) for ref in unique(self.params.context)}
        named = [replace(places) for places in (*around.values(), *sets)]
        for places in sets:
            name_by_neighbours(places, [n for n in named if n.geometry is not places.geometry])
        for theme in themes:
            self._add_columns(theme)
        placed = [s for s in sets if s.shape is not None]
        self.frame = frame_places(placed, self.view.bounds)
        texts = [self._write_theme(theme) for theme in themes]
        if self.frame is not None:
            self._publish(placed, around, self.frame)
        ids = make_ids(shown)
        told = [(theme, ids[theme.ref], *said) for theme, said in zip(themes, texts, strict=True)]
        for theme, id, _, changes in told:
            self._show_changes(theme, id, changes)
        for theme, id, values, _ in told:
            self._show_values(theme, id, values)
        for theme, id, values, _ in told:
            if values and len(theme.labels) > 1:
                self._add_counts(theme, f"{id}-classes")

    def _read_context(self, ref: str, sets: list[PlaceSet]) -> PlaceSet:
        """The places of ``ref``; the very set of a theme where they are the same, to be published once."""
        places = read_places(self.view.places(ref))
        return find_same(places, sets) or places

    def _wish(self, ref: str) -> Wish:
        p = self.params
        return Wish(p.titles.get(ref, ""), p.time, p.breaks.get(ref, ()), p.threshold.get(ref))

    def _add_columns(self, theme: Theme) -> None:
        """The columns that the maps of ``theme`` draw, and the whole change where only a part is drawn."""
        info, columns = theme.info, theme.places.columns
        theme.places.refs.append(theme.ref)

        def add(run: str, what: str, values: Numbers, words: str) -> None:
            meaning = ldt.number(
                info.unit, info.quantity if not what else None, nulls=True, description=words
            )
            columns[theme.column(run, what)] = (values, meaning)

        for run, values in theme.values.items():
            add(run, "", values, f"{theme.title}, {self.runs[run]}")
        for run, change in theme.changes.items():
            words = f"{theme.title}, {self.runs[run]} less {self.runs[self.base]}"
            add(run, "change", change.value, words)
            if change.partial:
                add(run, "drawn", change.shown, f"{words}, where the replicates agree")

    def _write_theme(self, theme: Theme) -> tuple[Said, Said]:
        """Finding and table of every map, made of all places before any is left out of the drawing."""
        p, base = self.params, self.runs[self.base]
        replicates = min(run.replicates for run in self.view.runs)
        values, changes = {}, {}
        for run, title in self.runs.items():
            if not np.isnan(theme.values[run]).all():
                values[run] = describe_values(theme, run), list_values(theme, run, title, p.top)
        for run in theme.changes:
            title = self.runs[run]
            changes[run] = (
                describe_change(theme, run, title, base, replicates),
                list_changes(theme, run, title, base, p.top),
            )
        return values, changes

    def _publish(self, sets: list[PlaceSet], around: Mapping[str, PlaceSet], frame: Bounds) -> None:
        """One table per set of places: id, name, geometry once, and a column per ref, run and change."""
        self.notes = fit_places(sets, frame, self.view.budget)
        left = self.view.budget - sum(map(weigh_places, sets))
        ids = make_ids(f"places {s.refs[0].rpartition('.')[0]} {i or ''}" for i, s in enumerate(sets))
        for places, id in zip(sets, ids.values(), strict=True):
            places.data = self._publish_set(id, places)
        found = []
        for ref, id in make_ids(around).items():
            places = around[ref]
            if not places.data:
                places = cut_places(places, frame)
                places.refs = [ref]
            if places.shape is None or not len(places):
                continue
            title = clean_text(ref.split(".")[1] if "." in ref else ref).replace("_", " ")
            if not places.data:
                if self.view.budget > 0 and weigh_places(places) > left:
                    self.notes.append(f"The {title} are not drawn, to keep the file small.")
                    continue
                left -= weigh_places(places)
                places.data = self._publish_set(f"context-{id}", places)
            found.append(
                Layer(
                    id=f"context-{id}",
                    title=title.capitalize(),
                    data=places.data,
                    geometry=places.shape,
                    role="context",
                )
            )
        self.context = sorted(found, key=lambda layer: _ORDER[layer.geometry])

    def _publish_set(self, id: str, places: PlaceSet) -> str:
        table, port = tabulate_places(places, self.view.crs)
        ref = self.view.publish(id, table, port=port, source=unique(places.refs), crs=self.view.crs)
        self.data.append(ref)
        return ref.id

    def _drawn(self, theme: Theme) -> bool:
        return theme.places.shape is not None and self.frame is not None

    def _show_values(self, theme: Theme, id: str, values: Said) -> None:
        for run, title in self.runs.items():
            heading, name = f"{theme.title}: {title}", f"{id}-{self.run_ids[run]}"
            if run not in values:
                self.say_nothing(name, heading, f"{theme.title} has no value in {title}", theme)
            elif self._drawn(theme):
                scale = Scale(
                    kind="sequential", breaks=theme.breaks, labels=theme.labels, better=theme.habit.better
                )
                self._add_map(theme, name, heading, values[run], scale, theme.column(run), run)
            else:
                finding, table = values[run]
                self._add_table(
                    theme, name, heading, f"{theme.title} has no places to draw on a map: {finding}", table
                )

    def _show_changes(self, theme: Theme, id: str, changes: Said) -> None:
        for run, (finding, table) in changes.items():
            heading = f"{theme.title}: {self.runs[run]} compared with {self.runs[self.base]}"
            name = f"{id}-{self.run_ids[run]}-change"
            if finding.startswith("There is nothing"):
                self.say_nothing(name, heading, finding.partition(": ")[2], theme)
            elif self._drawn(theme):
                scale = Scale(
                    kind="diverging",
                    breaks=theme.change_breaks,
                    labels=theme.change_labels,
                    better=theme.habit.better,
                )
                what = "drawn" if theme.changes[run].partial else "change"
                self._add_map(theme, name, heading, (finding, table), scale, theme.column(run, what), run)
            else:
                self._add_table(theme, name, heading, finding, table)

    def _add_map(
        self,
        theme: Theme,
        id: str,
        title: str,
        said: tuple[str, Figures],
        scale: Scale,
        column: str,
        run: str,
    ) -> None:
        assert theme.places.shape is not None
        assert self.frame is not None
        change = scale.kind == "diverging"
        layer = Layer(
            id=column.replace("_", "-"),
            title=f"{theme.title}: change" if change else theme.title,
            data=theme.places.data,
            geometry=theme.places.shape,
            field=column,
            unit=theme.info.unit,
            scale=scale,
            label=theme.places.label or theme.places.id,
        )
        notes = [*filter(None, [theme.habit.note]), *self.notes]
        if change:
            least = write_amount(theme.threshold, theme.info.unit)
            notes.insert(0, f"Changes below {least} count as little change.")
            if theme.changes[run].partial:
                notes.insert(1, "Unclear: the replicates disagree on the direction, so it may be chance.")
        view = self.view
        self.blocks.append(
            MapBlock(
                id=id,
                title=title,
                finding=said[0],
                alternative=said[1],
                credits=unique(c for ref in (theme.ref, *self.params.context) for c in view.credits(ref)),
                synthetic=unique(s for ref in (theme.ref, *self.params.context) for s in view.synthetic(ref)),
                note=" ".join(notes),
                crs=view.crs,
                bounds=self.frame,
                layers=[*(c for c in self.context if c.data != layer.data), layer],
                run=run,
                compared_with=self.base if change else None,
                period=f"{TIME[theme.time].capitalize()} of {write_period(view.start, view.end, view.zone)}",
            )
        )

    def _add_counts(self, theme: Theme, id: str) -> None:
        """How many places each class holds in each run: what the maps say, to be read as lengths."""
        table, counts = list_counts(theme, self.runs, self.run_ids)
        labels: list[float | str] = [str(row[0]) for row in table.rows]
        self.blocks.append(
            ChartBlock(
                id=id,
                title=f"{theme.title}: number of {say_places(theme.places.id)}",
                finding=describe_counts(theme, self.runs, counts),
                alternative=table,
                credits=unique(self.view.credits(theme.ref)),
                synthetic=unique(self.view.synthetic(theme.ref)),
                mark="bar",
                x=Axis(title=theme.title, unit=theme.info.unit, kind="category"),
                y=Axis(title=say_places(theme.places.id).capitalize(), zero=True),
                series=[
                    Series(name=title, x=labels, y=[float(n) for n in counts[run]])
                    for run, title in self.runs.items()
                ],
            )
        )

    def _add_table(self, theme: Theme, id: str, title: str, finding: str, table: Figures) -> None:
        self.blocks.append(
            TableBlock(
                id=id,
                title=title,
                finding=finding,
                alternative=table,
                credits=unique(self.view.credits(theme.ref)),
                synthetic=unique(self.view.synthetic(theme.ref)),
            )
        )

    def say_nothing(self, id: str, title: str, reason: str, theme: Theme | None = None) -> None:
        text = f"There is nothing to show: {reason}"
        self.blocks.append(
            TextBlock(
                id=id,
                title=title,
                finding=text,
                text=text,
                alternative=Figures(caption=title, columns=[], rows=[]),
                credits=unique(self.view.credits(theme.ref)) if theme else [],
                synthetic=unique(self.view.synthetic(theme.ref)) if theme else [],
            )
        )
