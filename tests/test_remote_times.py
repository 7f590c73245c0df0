"""Collections asked for a time: the rows are those that anybody would filter himself, both ends included."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, ClassVar
from urllib.parse import urlencode

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ldt_core as ldt
from tests.afar import ask, proxy, served

BEGIN = datetime(2026, 3, 29, tzinfo=UTC)
MOMENTS = [timedelta(seconds=s, microseconds=m) for s in (0, 1, 60, 3600, 86_400) for m in (0, 1, 999_999)]
ROWS = sorted(BEGIN + m for m in MOMENTS)
PORT = ldt.Port({"at": ldt.instant(), "row": ldt.integer()})


def table() -> ldt.Table:
    return ldt.Table(
        {"at": [np.datetime64(t.replace(tzinfo=None), "us") for t in ROWS], "row": np.arange(len(ROWS))}
    )


class Careless(ldt.DataSource):
    """Gives everything, whatever is asked."""

    id = "careless"
    outputs: ClassVar[Any] = {"rows": PORT}

    def read(self, query: ldt.Query) -> ldt.Tables:
        return {"rows": table()}


class Careful(Careless):
    """Gives what lies in the query: its start belongs to it, its end does not."""

    id = "careful"

    def read(self, query: ldt.Query) -> ldt.Tables:
        found = table()
        keep = np.ones(len(found), bool)
        if query.start is not None:
            keep &= found["at"] >= query.start
        if query.end is not None:
            keep &= found["at"] < query.end
        return {"rows": found.take(keep)}


@pytest.fixture(scope="module", params=[Careless, Careful], ids=lambda c: c.id)
def items(request: Any) -> Iterator[str]:
    with served(request.param) as address:
        yield f"{address}/collections/rows/items"


@st.composite
def written(draw: st.DrawFn) -> tuple[str, datetime]:
    """An instant near the rows, in one of the ways in which RFC 3339 writes it."""
    off = draw(st.sampled_from([-1, 0, 1]))
    moment = draw(st.sampled_from(ROWS)) + timedelta(microseconds=off)
    zone = draw(
        st.sampled_from([UTC, timezone(timedelta(hours=2)), timezone(-timedelta(hours=3, minutes=30))])
    )
    text = moment.astimezone(zone).isoformat(timespec=draw(st.sampled_from(["auto", "microseconds"])))
    if draw(st.booleans()):
        text = text.replace("+00:00", "Z")
    return (text.lower() if draw(st.booleans()) else text), moment


OPEN = st.sampled_from([("..", None), ("", None)])


def rows_of(items: str, **query: str) -> list[int]:
    answer = ask("GET", f"{items}?{urlencode(query)}")
    assert answer.status == 200, answer.raw
    if query.get("f") == "table":
        return list(answer.json["columns"]["row"])
    assert answer.json["numberMatched"] == answer.json["numberReturned"]
    return [f["properties"]["row"] for f in answer.json["features"]]


@given(start=written() | OPEN, end=written() | OPEN, form=st.sampled_from(["table", "geojson"]))
def test_an_interval_holds_the_rows_from_its_start_to_its_end(
    items: str, start: Any, end: Any, form: str
) -> None:
    wanted = [
        n
        for n, at in enumerate(ROWS)
        if (start[1] is None or at >= start[1]) and (end[1] is None or at <= end[1])
    ]
    assert rows_of(items, datetime=f"{start[0]}/{end[0]}", f=form) == wanted


@given(at=written())
def test_an_instant_holds_the_rows_of_that_instant(items: str, at: Any) -> None:
    assert rows_of(items, datetime=at[0], f="table") == [n for n, t in enumerate(ROWS) if t == at[1]]


@pytest.mark.parametrize(
    "text",
    ["", "..", "2026-03-29", "2026-03-29T00:00:00", "2026-02-30T00:00:00Z", "a/b", "../../..", "P1D/.."],
)
def test_a_time_that_is_none_is_refused(items: str, text: str) -> None:
    answer = ask("GET", f"{items}?{urlencode({'datetime': text})}")
    assert answer.status == 400
    assert answer.json["detail"]


def test_a_twin_reads_the_rows_of_its_window_whose_end_does_not_belong_to_it() -> None:
    with served(Careless) as address:
        source: Any = proxy(address)()
        start, end = (np.datetime64(t.replace(tzinfo=None), "us") for t in (ROWS[3], ROWS[9]))
        found = source.read(ldt.Query(start=start, end=end))["rows"]
        source.finalize()
    assert found["row"].tolist() == list(range(3, 9))
