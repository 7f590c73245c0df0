"""Specimens: sources."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any, ClassVar, cast
from zoneinfo import ZoneInfo

import numpy as np
import shapely
from pyproj import Transformer

import ldt_core as ldt

from ..example import Example
from . import good, mutant

ROME = ZoneInfo("Europe/Rome")
FIRST = datetime(2025, 10, 24)
STATIONS: tuple[tuple[str, str, float, float], ...] = (
    ("it-1", "Piazza dell'Unità", 11.3426, 44.5101),
    ("it-2", unicodedata.normalize("NFD", "Zoë's garden; 50 % shade"), 11.3271, 44.4836),
    ("it-3", "محطة الميناء", 11.3702, 44.4949),
    ("it-4", 'Via "Larga" \U0001f6b2', 11.4013, 44.4977),
    ("it-5", "Straße 5, Nord", 11.3301, 44.5213),
)
MISSING = -999.0
"""What the archive writes where an instrument gave nothing."""

EXAMPLE = Example(
    params={"days": 5},
    start=np.datetime64("2025-10-23T22:00", "us"),
    windows=121,
    crs="EPSG:25832",
    bbox=(678000.0, 4920000.0, 698000.0, 4940000.0),
    known={
        "stations": [
            {"station": "it-1", "name": "Piazza dell'Unità", "geometry": [11.3426, 44.5101]},
            {"station": "it-4", "name": 'Via "Larga" \U0001f6b2', "geometry": [11.4013, 44.4977]},
        ],
        "measurements": [
            {"time": "2025-10-24T10:00Z", "station": "it-1", "no2": 36.0, "air": 9.0},
            {"time": "2025-10-24T12:00+02:00", "station": "it-3", "no2": None, "air": 11.0},
            # The hour from 2 to 3 comes twice on this morning.
            {"time": "2025-10-26T00:00Z", "station": "it-2", "no2": 36.0},
            {"time": "2025-10-26T01:00Z", "station": "it-2", "no2": 36.5},
            {"time": "2025-10-26T02:00Z", "station": "it-2", "no2": 37.0},
        ],
    },
    rows={"stations": 5, "measurements": 605},
    variants={"huge": {"params": {"days": 5, "per_hour": 3600}, "rows": {}, "known": {}}},
)


def port(columns: Mapping[str, ldt.Column], **more: Any) -> ldt.Port:
    return ldt.Port(
        columns,
        entity="air-station",
        id="station",
        licence="CC-BY-4.0",
        attribution="The zoo",
        synthetic="All values were made up.",
        **more,
    )


@good(EXAMPLE)
class GoodSource(ldt.DataSource):
    """Air at five stations over a change of clocks: an archive in local time that writes -999 for what is missing."""

    id = "zoo-source"
    title = "Air stations of the zoo"
    outputs: ClassVar[Mapping[str, ldt.Port | ldt.GridPort]] = {
        "stations": port(
            {
                "station": ldt.text(),
                "name": ldt.text(),
                "geometry": ldt.geometry("Point", crs="EPSG:4326"),
            },
            at="start",
        ),
        "measurements": port(
            {
                "time": ldt.instant(zone="Europe/Rome"),
                "station": ldt.text(),
                "no2": ldt.number(
                    "ug/m3", "mass_concentration_of_nitrogen_dioxide_in_air", cell="mean", nulls=True
                ),
                "air": ldt.number("Cel", "air_temperature", cell="mean", range=(-60.0, 60.0)),
            },
        ),
    }

    class Params(ldt.Params):
        days: Annotated[int, ldt.Field(ge=1, le=31)] = 5
        per_hour: Annotated[int, ldt.Field(ge=1, le=3600, description="readings of a station in an hour")] = 1

    hours_at_once: ClassVar[int] = 24

    # -- the archive, as its owner keeps it: hour after hour of the clock on the wall --

    def hours(self) -> list[tuple[datetime, int]]:
        """Every hour on the wall, and 1 where it comes for the second time."""
        found = []
        for n in range(24 * self.params.days):
            wall = FIRST + timedelta(hours=n)
            twice = (
                wall.replace(tzinfo=ROME, fold=0).utcoffset() != wall.replace(tzinfo=ROME, fold=1).utcoffset()
            )
            found += [(wall, 0), (wall, 1)] if twice else [(wall, 0)]
        return found

    def instant(self, wall: datetime, fold: int) -> np.datetime64:
        return utc(wall, fold)

    def record(self, number: int) -> dict[str, Any]:
        """What the archive holds of one hour: a column for each station, numbers with -999 among them."""
        each = np.arange(len(STATIONS))
        no2 = 30.0 + 5.0 * each + 0.5 * (number % 24)
        air = 6.0 + 1.0 * each + 0.25 * (number % 24)
        no2[(number + each) % 14 == 0] = MISSING
        return {"no2": no2, "air": air}

    def table(self, hours: Sequence[tuple[int, np.datetime64]]) -> ldt.Table:
        """Hours of the archive as rows, station after station within an instant."""
        often, many = self.params.per_hour, len(STATIONS)
        steps = np.arange(often) * np.timedelta64(3_600_000_000 // often, "us")
        records = [self.record(number) for number, _ in hours]
        times = np.array([at for _, at in hours], "datetime64[us]")
        names = np.array([s[0] for s in STATIONS], object)
        no2 = np.repeat([r["no2"] for r in records], often, axis=0).ravel()
        return self.finished(
            ldt.Table(
                {
                    "time": np.repeat((times[:, None] + steps).ravel(), many),
                    "station": np.tile(names, often * len(hours)),
                    "no2": no2,
                    "air": np.repeat([r["air"] for r in records], often, axis=0).ravel(),
                }
            )
        )

    def finished(self, table: ldt.Table) -> ldt.Table:
        missing = table["no2"] == MISSING
        return table.with_columns(no2=np.where(missing, 0.0, table["no2"])).with_mask("no2", missing)

    # -- what is asked for --

    def chosen(self, query: ldt.Query) -> list[tuple[int, np.datetime64]]:
        """Hours of which something was asked for, in the order of the archive."""
        hour = np.timedelta64(1, "h")
        found = []
        for number, (wall, fold) in enumerate(self.hours()):
            at = self.instant(wall, fold)
            if (query.start is None or at + hour > query.start) and (query.end is None or at < query.end):
                found.append((number, at))
        return found

    def stations(self, query: ldt.Query) -> ldt.Table:
        keep = [s for s in STATIONS if query.bbox is None or self.is_in(s, query.bbox)]
        return ldt.Table(
            {
                "station": np.array([s[0] for s in keep], object),
                "name": np.array([s[1] for s in keep], object),
                "geometry": np.array([self.point(s) for s in keep], object),
            }
        )

    def is_in(self, station: tuple[str, str, float, float], box: tuple[float, float, float, float]) -> bool:
        x, y = move(self.context.crs, station[2], station[3])
        return box[0] <= x <= box[2] and box[1] <= y <= box[3]

    def point(self, station: tuple[str, str, float, float]) -> Any:
        return shapely.Point(station[2], station[3])

    def read(self, query: ldt.Query) -> ldt.Tables | Iterator[ldt.Tables]:
        return self.batches(query)

    def batches(self, query: ldt.Query) -> Iterator[ldt.Tables]:
        wanted = set(self.outputs if query.outputs is None else query.outputs)
        if "stations" in wanted:
            yield {"stations": asked_columns(self.stations(query), query)}
        if "measurements" in wanted:
            hours = self.chosen(query)
            size = max(1, self.hours_at_once // self.params.per_hour)
            for start in range(0, max(1, len(hours)), size):
                self.context.check_cancelled()
                table = self.table(hours[start : start + size])
                yield {"measurements": asked_columns(within_time(table, query), query)}

    def listen(self, query: ldt.Query, cursor: str | None = None) -> Iterator[tuple[ldt.Tables, str]]:
        hours = self.chosen(query)
        start = 0 if cursor is None else self.position(cursor)
        while start < len(hours):
            end = min(start + self.hours_at_once, len(hours))
            yield {"measurements": within_time(self.table(hours[start:end]), query)}, f"hour {end}"
            start = end

    def position(self, cursor: str) -> int:
        word, _, number = cursor.partition(" ")
        if word != "hour" or not number.isdecimal():
            ldt.fail_input(f"'{cursor}' is no cursor of this source", fix="start without one")
        return int(number)

    def version(self, query: ldt.Query) -> str | None:
        return "archive of October 2025, first edition"


def utc(wall: datetime, fold: int) -> np.datetime64:
    return np.datetime64(wall.replace(tzinfo=ROME, fold=fold).astimezone(UTC).replace(tzinfo=None), "us")


@lru_cache(maxsize=1024)
def move(crs: str, lon: float, lat: float) -> tuple[float, float]:
    """A place in the twin's CRS, x then y."""
    x, y = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(lon, lat)
    return float(x), float(y)


def within_time(table: ldt.Table, query: ldt.Query) -> ldt.Table:
    keep = np.ones(len(table), bool)
    if query.start is not None:
        keep &= table["time"] >= query.start
    if query.end is not None:
        keep &= table["time"] < query.end
    return table if keep.all() else table.take(keep)


def asked_columns(table: ldt.Table, query: ldt.Query) -> ldt.Table:
    if query.columns is None or not set(query.columns) & set(table):
        return table
    return table.select(*(n for n in table.names if n in query.columns or n in ("time", "station")))


def measured(**columns: ldt.Column) -> Mapping[str, ldt.Port | ldt.GridPort]:
    """The good ports with other columns for measurements."""
    good_ports = cast("dict[str, ldt.Port]", dict(GoodSource.outputs))
    old = good_ports["measurements"]
    return {**good_ports, "measurements": old.replace(columns={**old.columns, **columns})}


# -- what is declared -------------------------------------------------------------------------------


@mutant("LDT-SRC-SCHEMA-01", EXAMPLE)
class NumberWithoutUnit(GoodSource):
    """Leaves unit and quantity of a number open."""

    outputs = measured(air=ldt.number(None, None, cell="mean"))


@mutant("LDT-SRC-SCHEMA-02", EXAMPLE)
class UndeclaredColumn(GoodSource):
    """Gives a column that its port does not name."""

    def finished(self, table: ldt.Table) -> ldt.Table:
        return super().finished(table).with_columns(operator=np.full(len(table), "E. Rossi", object))


@mutant("LDT-SRC-SCHEMA-02", EXAMPLE)
class OutOfItsRange(GoodSource):
    """Declares a range and leaves it."""

    outputs = measured(air=ldt.number("Cel", "air_temperature", cell="mean", range=(-10.0, 12.0)))


@mutant("LDT-SRC-SCHEMA-02", EXAMPLE)
class UndeclaredGaps(GoodSource):
    """Marks values as missing in a column that says that none are."""

    outputs = measured(no2=ldt.number("ug/m3", "mass_concentration_of_nitrogen_dioxide_in_air", cell="mean"))


# -- what comes -------------------------------------------------------------------------------------


@mutant("LDT-SRC-DATA-01", EXAMPLE)
class AlwaysEmpty(GoodSource):
    """Has the right columns and never a row."""

    def batches(self, query: ldt.Query) -> Iterator[ldt.Tables]:
        for batch in super().batches(query):
            yield {n: cast(ldt.Table, t).slice(0, 0) for n, t in batch.items()}


@mutant("LDT-SRC-DATA-01", EXAMPLE)
class OtherNames(GoodSource):
    """Gives made-up names in place of those in its data."""

    def stations(self, query: ldt.Query) -> ldt.Table:
        found = super().stations(query)
        return found.with_columns(name=np.array([f"Station {i}" for i in range(len(found))], object))


@mutant("LDT-SRC-DET-01", EXAMPLE, doors=("here", "process"))  # a service remembers what it has read
class OrderOfAHash(GoodSource):
    """Gives the rows of a batch in an order that nobody knows."""

    def finished(self, table: ldt.Table) -> ldt.Table:
        return super().finished(table).take(np.random.default_rng().permutation(len(table)))

    def listen(self, query: ldt.Query, cursor: str | None = None) -> Iterator[tuple[ldt.Tables, str]]:
        for tables, at in super().listen(query, cursor):
            found = cast(ldt.Table, tables["measurements"])
            order = np.lexsort((found["station"].astype(str), found["time"]))
            yield {"measurements": found.take(order)}, at


@mutant("LDT-SRC-TIME-01", EXAMPLE)
class NaiveTimes(GoodSource):
    """Hands on the clock on the wall as if it were UTC."""

    def instant(self, wall: datetime, fold: int) -> np.datetime64:
        return np.datetime64(wall, "us") + fold * np.timedelta64(1, "h")


@mutant("LDT-SRC-TIME-01", EXAMPLE)
class TimesAsText(GoodSource):
    """Keeps a second time as text, without an offset."""

    outputs = measured(received=ldt.text())

    def finished(self, table: ldt.Table) -> ldt.Table:
        text = np.array([str(t)[:16].replace("T", " ") for t in table["time"]], object)
        return super().finished(table).with_columns(received=text)


@mutant("LDT-SRC-TIME-02", EXAMPLE)
class FirstHourTwice(GoodSource):
    """Takes both hours from two to three on the last Sunday of October for the first."""

    def instant(self, wall: datetime, fold: int) -> np.datetime64:
        return utc(wall, 0)


@mutant("LDT-SRC-CRS-01", EXAMPLE, doors=("here", "process"))  # a service finds none of it in the area
class SwappedAxes(GoodSource):
    """Gives latitude as x and longitude as y."""

    def point(self, station: tuple[str, str, float, float]) -> Any:
        return shapely.Point(station[3], station[2])


@mutant("LDT-SRC-CRS-01", EXAMPLE, doors=("here", "process"))  # a service refuses or filters them first
class OtherCrs(GoodSource):
    """Says another CRS than that of its positions."""

    outputs = {
        **GoodSource.outputs,
        "stations": port(
            {"station": ldt.text(), "name": ldt.text(), "geometry": ldt.geometry("Point", crs="EPSG:3857")},
            at="start",
        ),
    }


@mutant("LDT-SRC-UNIT-01", EXAMPLE)
class UnknownUnit(GoodSource):
    """Measures in a unit that nobody knows."""

    outputs = measured(air=ldt.number("furlongz", "air_temperature", cell="mean"))


@mutant("LDT-SRC-UNIT-01", EXAMPLE)
class UnitOfAnotherQuantity(GoodSource):
    """Measures a temperature in metres."""

    outputs = measured(air=ldt.number("m", "air_temperature", cell="mean"))


@mutant("LDT-SRC-UNIT-01", EXAMPLE)
class DegreesFahrenheit(GoodSource):
    """Says degrees Celsius and gives degrees Fahrenheit."""

    outputs = measured(air=ldt.number("Cel", "air_temperature", cell="mean"))

    def record(self, number: int) -> dict[str, Any]:
        found = super().record(number)
        return {**found, "air": found["air"] * 9 / 5 + 32}


@mutant("LDT-SRC-NULL-01", EXAMPLE)
class NumberForMissing(GoodSource):
    """Hands on the archive's -999."""

    def finished(self, table: ldt.Table) -> ldt.Table:
        return table


@mutant("LDT-SRC-NULL-01", EXAMPLE, doors=("here", "process"))  # a service refuses or filters them first
class NanForMissing(GoodSource):
    """Writes NaN where a value is missing."""

    def finished(self, table: ldt.Table) -> ldt.Table:
        return table.with_columns(no2=np.where(table["no2"] == MISSING, np.nan, table["no2"]))


# -- what is asked for --------------------------------------------------------------------------------


@mutant("LDT-SRC-EMPTY-01", EXAMPLE)
class NothingForEmpty(GoodSource):
    """Gives None in place of a table without rows."""

    def batches(self, query: ldt.Query) -> Iterator[ldt.Tables]:
        for batch in super().batches(query):
            yield cast(ldt.Tables, {n: t if len(cast(ldt.Table, t)) else None for n, t in batch.items()})


@mutant("LDT-SRC-EMPTY-01", EXAMPLE)
class ErrorForEmpty(GoodSource):
    """Raises an error where there are no rows."""

    def table(self, hours: Sequence[tuple[int, np.datetime64]]) -> ldt.Table:
        if not hours:
            raise ldt.NotFound("there are no measurements of that time")
        return super().table(hours)


@mutant("LDT-SRC-PAGE-01", EXAMPLE)
class LastBatchLost(GoodSource):
    """Forgets the last batch, unless it is the only one."""

    def batches(self, query: ldt.Query) -> Iterator[ldt.Tables]:
        held, given = None, False
        for batch in super().batches(query):
            if "measurements" not in batch:
                yield batch
                continue
            if held is not None:
                yield held
                given = True
            held = batch
        if held is not None and not given:
            yield held


@mutant("LDT-SRC-PAGE-01", replace(EXAMPLE, rows={}))
class LastBatchLostUncounted(LastBatchLost):
    """The same, with nobody who knows how many rows there are."""


@mutant("LDT-SRC-PAGE-01", replace(EXAMPLE, rows={}))
class BatchesOverlap(GoodSource):
    """Begins each batch with the last hour of the one before."""

    def batches(self, query: ldt.Query) -> Iterator[ldt.Tables]:
        hour = None
        for batch in super().batches(query):
            found = batch.get("measurements")
            if isinstance(found, ldt.Table) and len(found):
                last = found.slice(len(found) - len(STATIONS), len(found))
                batch = {"measurements": found if hour is None else ldt.Table.concat([hour, found])}
                hour = last
            yield batch


@mutant("LDT-SRC-FILT-01", replace(EXAMPLE, bbox=None))
class BoxWithOneAxisTwice(GoodSource):
    """Compares x with both sides of the box and y with neither: with the sides of x."""

    def is_in(self, station: tuple[str, str, float, float], box: tuple[float, float, float, float]) -> bool:
        x, _ = move(self.context.crs, station[2], station[3])
        return box[0] <= x <= box[2] and box[1] <= x <= box[3]


@mutant("LDT-SRC-FILT-01", EXAMPLE)
class WholeHoursOnly(GoodSource):
    """Gives only the hours that lie in the window as a whole."""

    def chosen(self, query: ldt.Query) -> list[tuple[int, np.datetime64]]:
        hour = np.timedelta64(1, "h")
        return [f for f in super().chosen(query) if query.end is None or f[1] + hour <= query.end]


@mutant("LDT-SRC-HUGE-01", EXAMPLE)
class EverythingInAList(GoodSource):
    """Reads everything before it gives the first batch."""

    def batches(self, query: ldt.Query) -> Iterator[ldt.Tables]:
        yield from list(super().batches(query))


@mutant("LDT-SRC-HUGE-01", EXAMPLE)
class OneBatch(GoodSource):
    """Gives everything at once."""

    def read(self, query: ldt.Query) -> ldt.Tables:
        parts: dict[str, list[ldt.Table]] = {}
        for batch in self.batches(query):
            for name, table in batch.items():
                parts.setdefault(name, []).append(cast(ldt.Table, table))
        return {n: ldt.Table.concat(tables) for n, tables in parts.items()}


@mutant("LDT-SRC-CRS-02", EXAMPLE)
class BoxInItsOwnCrs(GoodSource):
    """Takes every box to be in the CRS of one city."""

    def is_in(self, station: tuple[str, str, float, float], box: tuple[float, float, float, float]) -> bool:
        x, y = move("EPSG:25832", station[2], station[3])
        return box[0] <= x <= box[2] and box[1] <= y <= box[3]


# -- going on -------------------------------------------------------------------------------------------


@mutant("LDT-SRC-INCR-01", EXAMPLE)
class CursorOneBack(GoodSource):
    """Resumes with the last hour that was given before."""

    def position(self, cursor: str) -> int:
        return super().position(cursor) - 1


@mutant("LDT-SRC-INCR-01", EXAMPLE)
class CursorOneOn(GoodSource):
    """Resumes an hour too late."""

    def position(self, cursor: str) -> int:
        return super().position(cursor) + 1


@mutant("LDT-SRC-INCR-01", EXAMPLE)
class CursorInMemory(GoodSource):
    """Knows where it stood only as long as it lives."""

    def position(self, cursor: str) -> int:
        return getattr(self, "_reached", 0)
