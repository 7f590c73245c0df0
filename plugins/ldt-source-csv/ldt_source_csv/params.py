"""What must be said of a CSV file before its text means anything."""

from __future__ import annotations

import codecs
import re
from datetime import timedelta, timezone, tzinfo
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, ConfigDict, model_validator

import ldt_core as ldt

Kind = Literal["text", "number", "integer", "boolean", "instant"]
_OFFSET = re.compile(r"([+-])(\d\d):(\d\d)")


def make_zone(name: str) -> tzinfo:
    """``Europe/Rome``, ``UTC`` or a fixed offset such as ``+01:00``. Raises ``ValueError``."""
    if offset := _OFFSET.fullmatch(name):
        shift = timedelta(hours=int(offset[2]), minutes=int(offset[3]))
        return timezone(shift if offset[1] == "+" else -shift)
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"'{name}' is no time zone; write Europe/Rome, UTC or +01:00") from None


def _zone(name: str) -> str:
    make_zone(name)
    return name


def _regex(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"'{text}' is no regular expression: {error}") from None
    return text


def _codec(name: str) -> str:
    try:
        codecs.lookup(name)
    except LookupError:
        raise ValueError(f"'{name}' is no encoding; write utf-8-sig, latin-1 or cp1252") from None
    return name


Zone = Annotated[str, AfterValidator(_zone)]
Regex = Annotated[str, AfterValidator(_regex)]


class _Words(ldt.Params):
    model_config = ConfigDict(populate_by_name=True)


class Stamps(_Words):
    """How time is written: ``format`` as in strptime, else ISO 8601; ``zone`` where it has no offset.

    ``fold`` chooses between the two readings of the hour that the end of summer time repeats.
    ``end_of`` says that stamps mark the end of spans of this length; their start is kept.
    """

    format: str | None = None
    zone: Zone | None = None
    fold: Literal["earlier", "later"] | None = None
    end_of: ldt.Duration | None = None


class TimeSpec(Stamps):
    """The time of a row: one column, or several (date, hour) that are joined by a blank."""

    column: str | tuple[str, ...]
    name: str = "time"

    @property
    def headers(self) -> tuple[str, ...]:
        return (self.column,) if isinstance(self.column, str) else self.column


class ColumnSpec(_Words):
    """One column: where it stands in the file and what it means.

    Without ``kind`` a column with a unit or a quantity is a number, and any other is text.
    """

    source: str | None = ldt.Field(None, alias="from")
    kind: Kind | None = None
    unit: str | None = None
    quantity: str | None = None
    cell: Literal["point", "mean", "sum", "min", "max"] = "point"
    nulls: bool = False
    range: tuple[float, float] | None = None
    stamps: Stamps | None = ldt.Field(None, alias="time")
    description: str = ""

    @model_validator(mode="after")
    def _fits(self) -> ColumnSpec:
        kind = self.resolve_kind()
        if kind not in ("number", "integer") and (self.unit or self.quantity or self.range):
            raise ValueError(f"a column of kind {kind} has no unit, quantity or range")
        if (self.stamps is not None) != (kind == "instant"):
            raise ValueError("a column of kind instant needs time: {format, zone}, and no other does")
        return self

    def resolve_kind(self) -> Kind:
        return self.kind or ("number" if self.unit or self.quantity else "text")

    def to_column(self) -> ldt.Column:
        kind = self.resolve_kind()
        if kind == "instant":
            assert self.stamps is not None
            return ldt.instant(nulls=self.nulls, zone=self.stamps.zone, description=self.description)
        unit = self.unit or ("1" if kind == "integer" else None)
        return ldt.Column(
            kind, unit, self.quantity, self.cell, self.nulls, self.range, description=self.description
        )


class Melt(_Words):
    """Turns a wide table into a long one: every column whose header matches becomes a row.

    ``columns`` is a regular expression for the whole header; its first group, or the header itself,
    becomes the text of column ``key`` and the cell the text of column ``value``.
    """

    columns: Regex
    key: str
    value: str


class PointSpec(_Words):
    """A place from two columns (``x``, ``y``), one text (``text``, in ``order``) or WKT (``wkt``).

    ``type`` says what all WKT is, so that it can feed a port of this type; it is any geometry where left out.
    """

    x: str | None = None
    y: str | None = None
    text: str | None = None
    order: Literal["lat, lon", "lon, lat"] | None = None
    wkt: str | None = None
    type: Literal["Point", "LineString", "Polygon", "MultiPolygon"] | None = None
    crs: str = "EPSG:4326"
    name: str = "geometry"
    nulls: bool = False

    @model_validator(mode="after")
    def _one_way(self) -> PointSpec:
        ways = [self.x is not None and self.y is not None, self.text is not None, self.wkt is not None]
        if sum(ways) != 1 or (self.x is None) != (self.y is None):
            raise ValueError("give a place as x and y, as text with its order, or as wkt")
        if (self.text is None) != (self.order is None):
            raise ValueError("text needs order: 'lat, lon' or 'lon, lat', and nothing else does")
        if self.type is not None and self.wkt is None:
            raise ValueError("type goes with wkt; other places are points")
        return self

    @property
    def headers(self) -> tuple[str, ...]:
        return tuple(h for h in (self.x, self.y, self.text, self.wkt) if h is not None)


class CsvParams(ldt.Params):
    file: ldt.File = ldt.Field(description="CSV file, plain, .gz, or a .zip with one file in it")
    member: str | None = ldt.Field(None, description="the file inside a .zip with several")
    separator: str | None = ldt.Field(
        None, min_length=1, max_length=1, description="found in the header line where absent: ; tab | or ,"
    )
    decimal: Literal[".", ","] = "."
    thousands: Literal[".", ",", " ", "'"] | None = None
    encoding: Annotated[str, AfterValidator(_codec)] = "utf-8-sig"
    skip_rows: int = ldt.Field(0, ge=0, description="lines before the header")
    skip_after_header: int = ldt.Field(0, ge=0, description="lines between header and data, such as units")
    names: tuple[str, ...] | None = ldt.Field(None, description="column names of a file without a header")
    missing: tuple[str, ...] = ldt.Field(
        ("NA", "NaN", "nan", "null", "NULL"),
        description="words for a missing value, besides an empty cell",
    )
    where: dict[str, str | tuple[str, ...]] = ldt.Field(
        {}, description="keeps the rows whose column has this text, or one of these"
    )
    drop_missing: tuple[str, ...] = ldt.Field(
        (), description="leaves out rows without these columns, counted"
    )
    melt: Melt | None = None
    time: TimeSpec | None = None
    columns: dict[str, ColumnSpec] = ldt.Field({}, description="every column as text where absent")
    point: PointSpec | None = None
    at: Literal["start", "step"] = "step"
    step: str | None = None
    entity: str | None = None
    id: str | None = ldt.Field(None, description="the column that names each thing of the entity set")
    licence: str | None = ldt.Field(None, description="SPDX licence of the data")
    attribution: str | None = None
    synthetic: str | None = ldt.Field(None, description="one sentence on what was made up, if anything")
    personal: Literal["none", "pseudonymous", "personal", "sensitive"] = "none"

    @model_validator(mode="after")
    def _fits(self) -> CsvParams:
        if self.decimal in (self.thousands, self.separator):
            raise ValueError(f"'{self.decimal}' cannot be decimal sign and separator at once")
        if (self.entity is None) != (self.id is None):
            raise ValueError("entity and id go together")
        if self.step is not None:
            ldt.parse_duration(self.step)
        made: list[Any] = [*self.columns]
        made += [self.time.name] if self.time else []
        made += [self.point.name] if self.point else []
        twice = {name for name in made if made.count(name) > 1}
        if twice:
            raise ValueError(f"these columns are made twice: {', '.join(sorted(twice))}")
        if self.id is not None and self.columns and self.id not in made:
            raise ValueError(f"id names '{self.id}', which is not among the columns {', '.join(made)}")
        return self
