"""The component: a CSV file as a data source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyproj
import pyproj.exceptions
from numpy.typing import NDArray

import ldt_core as ldt

from .convert import convert_column, convert_points, convert_times
from .params import ColumnSpec, CsvParams
from .reading import Text, choose_rows, drop_empty_rows, drop_rows_without, melt, read_header, read_text


class Csv(ldt.DataSource):
    """Any CSV file, wide or long. What the text means (unit, quantity, zone, place) is stated, never guessed.

    Order of work: rows by ``where``, ``melt`` of a wide table, then ``time``, ``columns`` and ``point``.
    Times come out in UTC; a written time without a zone is refused, and so is an hour that the change of
    clocks makes doubtful. Rows in which every cell is empty are left out and counted by a flag.

    Raises ``NotFound`` for a missing file, ``ParamError`` for a column that is not in it and ``InputError``,
    with file, line and column, for a cell that cannot be read as what was stated.
    """

    id = "csv"
    title = "CSV file"
    dynamic = True
    outputs = {"rows": ldt.Port({})}
    Params = CsvParams

    def ports(self) -> tuple[Mapping[str, ldt.Port], Mapping[str, ldt.Port]]:
        params: CsvParams = self.params
        columns: dict[str, ldt.Column] = {}
        if params.time is not None:
            columns[params.time.name] = ldt.instant(zone=params.time.zone)
        columns |= {name: spec.to_column() for name, spec in self._specs().items()}
        if params.point is not None:
            place = params.point
            kind: Any = place.type or ("Geometry" if place.wkt else "Point")
            columns[place.name] = ldt.geometry(kind, crs=_known_crs(place.crs), nulls=place.nulls)
        if params.id is not None and params.id not in columns:
            raise ldt.ParamError(
                f"id names '{params.id}', which is no column",
                code="no column",
                fix=f"there are {', '.join(columns)}",
            )
        port = ldt.Port(
            columns,
            at=params.at,
            entity=params.entity,
            id=params.id,
            step=params.step,
            personal=params.personal,
            licence=params.licence,
            attribution=params.attribution,
            synthetic=params.synthetic,
        )
        return {}, {"rows": port}

    def read(self, query: ldt.Query) -> ldt.Tables:
        params: CsvParams = self.params
        whole = read_text(params)
        text = drop_empty_rows(whole)
        self._count("empty_rows", whole, text, "empty rows")
        filled, text = text, drop_rows_without(text, params.drop_missing)
        self._count("dropped_rows", filled, text, f"rows without {', '.join(params.drop_missing)}")
        text = choose_rows(text, params.where)
        if params.melt is not None:
            text = melt(text, params.melt)
        self.context.check_cancelled()
        return {"rows": self._convert(text)}

    def _count(self, name: str, before: Text, after: Text, what: str) -> None:
        gone = len(before.rows) - len(after.rows)
        if gone:
            self.context.flag(name, gone, f"{gone} {what} of {self.params.file} were left out")

    def _convert(self, text: Text) -> ldt.Table:
        params: CsvParams = self.params
        values: dict[str, NDArray[Any]] = {}
        masks: dict[str, NDArray[np.bool_]] = {}
        if params.time is not None:
            stamps, missing = convert_times(text, params.time.headers, params.time)
            if missing.any():
                where = text.place(int(missing.argmax()), params.time.headers[0])
                raise ldt.InputError(
                    "the time is missing", code="cell", where=where, fix="choose rows by where:"
                )
            values[params.time.name] = stamps
        for name, spec in self._specs().items():
            values[name], missing = convert_column(text, name, spec)
            if spec.nulls:
                masks[name] = missing
        if params.point is not None:
            place = params.point
            values[place.name], missing = convert_points(text, place)
            if missing.any() and not place.nulls:
                where = text.place(int(missing.argmax()), place.headers[0])
                raise ldt.InputError(
                    "the place is missing", code="cell", where=where, fix="write point.nulls: true"
                )
            if place.nulls:
                masks[place.name] = missing
        table = ldt.Table(values, masks)
        if params.at == "start" and params.id is not None:
            _refuse_repeats(text, table, params.id)
        return table

    def _specs(self) -> dict[str, ColumnSpec]:
        """The columns that were named, or every column of the file as text."""
        params: CsvParams = self.params
        if params.columns:
            return params.columns
        names, _ = read_header(params)
        if params.melt is not None:
            raise ldt.ParamError(
                "melt needs columns:", code="melt", fix="name the columns to keep, key and value"
            )
        return {name: ColumnSpec(nulls=name != params.id) for name in dict.fromkeys(names)}


def _known_crs(name: str) -> str:
    try:
        pyproj.CRS(name)
    except pyproj.exceptions.CRSError as error:
        raise ldt.ParamError(f"'{name}' is no CRS", code="crs", fix="write EPSG:4326") from error
    return name


def _refuse_repeats(text: Text, table: ldt.Table, column: str) -> None:
    seen: set[Any] = set()
    for row, name in enumerate(table[column]):
        if name in seen:
            raise ldt.InputError(
                f"'{name}' occurs twice, and a table at the start has one row for each {column}",
                code="repeated id",
                where=text.place(row, column) if column in text.columns else str(text.params.file),
                fix="correct the file, or write at: step",
            )
        seen.add(name)
