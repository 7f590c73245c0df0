"""Holding a simulation against observations."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, model_validator

import ldt_core as ldt

from .fit import average_by_id, measure_correlation, measure_geh, measure_relative_bias

VEHICLES_PER_HOUR = "{veh}/h"

MOST = 1e15
"""Beyond stand the marks of missing values of many formats (1e20, 9.97e36), which are no measurements."""
MOST_VEHICLES = 1e6
DIFFERENCES = {"Cel": "K", "[degF]": "[degR]", "[degRe]": "K"}
"""Units of a difference where the unit itself counts from a nought of its own: UCUM, table of special units."""


def _regex(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"'{text}' is no regular expression: {error}") from None
    return text


class Rewrite(ldt.Params):
    """Every match of ``pattern`` is replaced by ``by``, as in ``re.sub``."""

    pattern: Annotated[str, AfterValidator(_regex)]
    by: str = ""


class Validation(ldt.Model):
    """How well simulated values agree with observed ones, in every window.

    Both sides are averaged over the rows of one id in the window; observations that are missing are left
    out. Ids pair by equality, or by the table on ``match``, each of whose rows makes one pair. ``fit`` has
    one row: number of pairs, correlation, bias (mean of simulated minus observed), relative bias (of the
    totals), root mean square error, both totals, and for vehicles per hour the share of pairs with a GEH
    under 5. ``compared`` has one row per pair. A window outside ``judge_from`` to ``judge_until`` has no pair.

    What cannot be said (a correlation of one pair) is missing. Values lie within 1e15 of nought, vehicles per hour between 0
    and 1e6: a mark that stands for a missing value is refused. Raises ``InputError`` where observations and simulated values are there but none pair.
    """

    id = "validation"
    title = "Simulated against observed"
    dynamic = True
    validity = {
        "words": "Agreement is judged at the places that are observed, and says nothing about the others."
        " GEH is meant for hourly volumes: use windows of one hour, or of whole hours."
    }

    class Params(ldt.Params):
        quantity: str = ldt.Field("x:traffic_flow", description="what both sides measure")
        unit: str = VEHICLES_PER_HOUR
        cell: str = ldt.Field("mean", pattern="^(point|mean|sum|min|max)$")
        simulated_id: str = "edge"
        simulated_value: str = "flow"
        observed_id: str = "station"
        observed_value: str = "flow"
        observed_entity: str | None = ldt.Field(None, description="entity set of the observed ids")
        matched_observed: str = ldt.Field("station", description="column of match with observed ids")
        matched_simulated: str = ldt.Field("edge", description="column of match with simulated ids")
        match_rewrite: tuple[Rewrite, ...] = ldt.Field(
            (), description="applied in turn to the observed ids of match, where they are written otherwise"
        )
        judge_from: ldt.Duration = ldt.Field(
            0, ge=0, description="from the run's start; windows that begin before are not judged: a warm-up"
        )
        judge_until: ldt.Duration | None = ldt.Field(
            None,
            gt=0,
            description="from the run's start; windows that end after it are not judged: a run-out",
        )

        @model_validator(mode="after")
        def _some_time(self) -> Validation.Params:
            if self.judge_until is not None and self.judge_until <= self.judge_from:
                raise ValueError("judge_until must come after judge_from")
            return self

    inputs = {
        "simulated": ldt.Port({}),
        "observed": ldt.Port({}),
        "match": ldt.Port({}, at="start", optional=True),
    }
    outputs = {"fit": ldt.Port({}), "compared": ldt.Port({})}

    def ports(self) -> tuple[Mapping[str, ldt.Port], Mapping[str, ldt.Port]]:
        p: Any = self.params
        span = (0.0, MOST_VEHICLES) if p.unit == VEHICLES_PER_HOUR else (-MOST, MOST)

        def given(nulls: bool = False) -> ldt.Column:
            return ldt.number(p.unit, p.quantity, cell=p.cell, nulls=nulls, range=span)

        def value(quantity: str = p.quantity, nulls: bool = False, cell: Any = p.cell) -> ldt.Column:
            return ldt.number(p.unit, quantity, cell=cell, nulls=nulls)

        def difference(quantity: str, nulls: bool = False) -> ldt.Column:
            return ldt.number(DIFFERENCES.get(p.unit, p.unit), quantity, cell="mean", nulls=nulls)

        inputs = {
            "simulated": ldt.Port({p.simulated_id: ldt.text(), p.simulated_value: given()}),
            "observed": ldt.Port({p.observed_id: ldt.text(), p.observed_value: given(nulls=True)}),
            "match": ldt.Port(
                {p.matched_observed: ldt.text(), p.matched_simulated: ldt.text()}, at="start", optional=True
            ),
        }
        fit = {
            "time": ldt.instant(),
            "pairs": ldt.integer("1", "x:pairs"),
            "correlation": ldt.number("1", "x:correlation", cell="mean", range=(-1, 1), nulls=True),
            "bias": difference("x:bias", True),
            "relative_bias": ldt.number("%", "x:relative_bias", cell="mean", nulls=True),
            "rmse": difference("x:rmse", True),
            "simulated_total": value("x:simulated_total", True, "mean"),
            "observed_total": value("x:observed_total", True, "mean"),
        }
        compared = {
            "time": ldt.instant(),
            "station": ldt.text(),
            "simulated_id": ldt.text(),
            "simulated": value(),
            "observed": value(),
            "difference": difference("x:difference"),
        }
        if p.unit == VEHICLES_PER_HOUR:
            fit["geh_under_5"] = ldt.number("%", "x:geh_under_5", cell="mean", range=(0, 100), nulls=True)
            compared["geh"] = ldt.number("1", "x:geh", cell="mean")
        entity = p.observed_entity
        return inputs, {
            "fit": ldt.Port(fit),
            "compared": ldt.Port(
                compared, entity=entity, id="station" if entity else None, dynamic=bool(entity)
            ),
        }

    def compute(self, inputs: ldt.Tables) -> ldt.Tables:
        p: Any = self.params
        simulated = _table(inputs["simulated"])
        observed = _table(inputs["observed"])
        judged = self._is_judged()
        observed = observed.take(~observed.mask(p.observed_value) & judged)
        names, values = average_by_id(simulated[p.simulated_id], simulated[p.simulated_value])
        by_edge = dict(zip(names, values.tolist(), strict=True))
        stations, measured = average_by_id(observed[p.observed_id], observed[p.observed_value])
        by_station = dict(zip(stations, measured.tolist(), strict=True))
        pairs = self._pairs(inputs.get("match"), stations)
        pairs = [(station, edge) for station, edge in pairs if station in by_station and edge in by_edge]
        if judged:
            self._report(stations, names, {station for station, _ in pairs})
        s = np.array([by_edge[edge] for _, edge in pairs], np.float64)
        o = np.array([by_station[station] for station, _ in pairs], np.float64)
        start = self.context.instant(self.context.window.start)
        compared: dict[str, Any] = {
            "time": np.full(len(pairs), start, "datetime64[us]"),
            "station": _texts([station for station, _ in pairs]),
            "simulated_id": _texts([edge for _, edge in pairs]),
            "simulated": s,
            "observed": o,
            "difference": s - o,
        }
        geh = measure_geh(s, o) if p.unit == VEHICLES_PER_HOUR else None
        if geh is not None:
            compared["geh"] = geh
        return {"fit": _one_row(start, len(pairs), _judge(s, o, geh)), "compared": ldt.Table(compared)}

    def _is_judged(self) -> bool:
        p, window = self.params, self.context.window
        return bool(p.judge_from <= window.start and window.end <= (p.judge_until or window.end))

    def _pairs(self, match: Any, stations: list[str]) -> list[tuple[str, str]]:
        """(station, edge) in the order of the observations, each once."""
        p: Any = self.params
        if match is None:
            return [(station, station) for station in stations]
        edges: dict[str, list[str]] = {}
        table = _table(match)
        for station, edge in zip(table[p.matched_observed], table[p.matched_simulated], strict=True):
            for rule in p.match_rewrite:
                station = re.sub(rule.pattern, rule.by, station)
            edges.setdefault(station, []).append(edge)
        return [(station, edge) for station in stations for edge in dict.fromkeys(edges.get(station, ()))]

    def _report(self, stations: list[str], names: list[str], paired: set[str]) -> None:
        if stations and names and not paired:
            raise ldt.InputError(
                f"none of {len(stations)} observed and {len(names)} simulated ids pair,"
                f" such as '{stations[0]}' and '{names[0]}'",
                code="ids do not pair",
                where="validation",
                fix="link a table of both to the port match, or correct match_rewrite:",
            )
        alone = len(stations) - len(paired)
        self.context.flag(
            "unpaired_observations", alone, f"{alone} of {len(stations)} observed ids have no simulated value"
        )


def _judge(
    s: NDArray[np.float64], o: NDArray[np.float64], geh: NDArray[np.float64] | None
) -> dict[str, float | None]:
    there = len(s) > 0
    found = {
        "correlation": measure_correlation(s, o),
        "bias": float((s - o).mean()) if there else None,
        "relative_bias": measure_relative_bias(s, o) if there else None,
        "rmse": float(np.sqrt(((s - o) ** 2).mean())) if there else None,
        "simulated_total": float(s.sum()) if there else None,
        "observed_total": float(o.sum()) if there else None,
    }
    if geh is not None:
        found["geh_under_5"] = float((geh < 5).mean() * 100) if there else None
    return found


def _one_row(start: np.datetime64, pairs: int, found: Mapping[str, float | None]) -> ldt.Table:
    columns: dict[str, Any] = {
        "time": np.array([start], "datetime64[us]"),
        "pairs": np.array([pairs], np.int64),
    }
    columns |= {name: np.array([0.0 if v is None else v]) for name, v in found.items()}
    return ldt.Table(columns, {name: np.array([v is None]) for name, v in found.items()})


def _texts(values: list[str]) -> NDArray[np.object_]:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _table(data: Any) -> ldt.Table:
    assert isinstance(data, ldt.Table)
    return data
