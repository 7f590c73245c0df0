"""What a simulator keeps: water, energy, vehicles. A balance as a vendor writes it down, and what it comes to.

In ``conformance.toml``::

    [[component.balances]]
    name = "water"
    unit = "m3"
    stored = ["levels.volume"]
    in = ["flows.caught", {of = "rain.rain", times = "gullies.area"}]
    out = ["flows.left"]
    relative = 1e-6

In every window, what is ``stored`` at its end less what was stored at its start is what came ``in`` less what went
``out``, in ``unit``, within ``relative`` of the largest of these amounts. Each term is ``port.column`` of an output or an
input, summed over its rows; ``times`` multiplies it by a number, or by a column of a port given at the start, row by row
by its id. What is stored is a value of an instant (``point``). What comes and goes is an amount of the window (``sum``),
or a rate (``mean``), which is multiplied by the window's seconds: its unit is one of ``unit`` per time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

import ldt_core as ldt
from ldt_core.tables import Column, Port

from .drive import Trajectory
from .forcing import Given
from .trial import CannotTell


class Term(BaseModel):
    """``of`` a column, ``port.column``; ``times`` a number or a column of the start."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    of: str = Field(pattern=r"^[^.]+\.[^.]+$")
    times: float | str = 1.0


class Balance(BaseModel):
    """See above. Raises ``ValidationError`` where it is written otherwise."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
    name: str
    unit: str
    stored: tuple[str | Term, ...] = ()
    coming: tuple[str | Term, ...] = Field((), alias="in")
    going: tuple[str | Term, ...] = Field((), alias="out")
    relative: float = Field(1e-6, ge=0.0, lt=1.0)

    def windows(self, found: Trajectory, given: Given) -> Iterator[dict[str, float]]:
        """For every window ``start`` and ``end`` (us), what was ``before``, is ``after``, came ``in``, went ``out`` and what is
        left over: ``amiss``. Raises ``CannotTell`` where it speaks of what is not there."""
        before = self._sum(self.stored, found.initial, given, None) if self._known_at_first(found) else None
        for (start, end, outputs), inputs in zip(found.windows, found.inputs, strict=True):
            tables = {**inputs, **outputs}
            after = self._sum(self.stored, tables, given, None)
            coming, going = (
                self._sum(terms, tables, given, (end - start) / ldt.SECOND)
                for terms in (self.coming, self.going)
            )
            if before is not None:
                amiss = after - before - coming + going
                found_here = {"before": before, "after": after, "in": coming, "out": going, "amiss": amiss}
                yield {"start": start, "end": end, **found_here}
            before = after

    def allowed(self, window: Mapping[str, float]) -> float:
        return self.relative * max(abs(window[n]) for n in ("before", "after", "in", "out"))

    def _known_at_first(self, found: Trajectory) -> bool:
        return all(_term(t).of.partition(".")[0] in found.initial for t in self.stored)

    def _sum(
        self, terms: Sequence[str | Term], tables: Mapping[str, Any], given: Given, seconds: float | None
    ) -> float:
        """``seconds`` is the window's length for what comes and goes, None for what is stored."""
        return float(sum(self._amount(_term(t), tables, given, seconds) for t in terms))

    def _amount(self, term: Term, tables: Mapping[str, Any], given: Given, seconds: float | None) -> float:
        port, name, column = self._column(term.of, given)
        table = tables.get(term.of.partition(".")[0])
        if not isinstance(table, ldt.Table):
            raise self._odd(f"'{term.of}' is not there in every window")
        wanted = ("point",) if seconds is None else ("sum", "mean")
        if column.cell not in wanted:
            raise self._odd(f"'{term.of}' is a {column.cell}, not a {' or a '.join(wanted)}")
        values = np.where(table.mask(name), 0.0, table[name].astype(float))
        unit = column.unit or "1"
        if isinstance(term.times, str):
            factors, by = self._factors(term.times, port, table, given)
            values, unit = values * factors, f"({unit}).({by})"
        else:
            values = values * term.times
        if column.cell == "mean" and seconds is not None:
            values, unit = values * seconds, f"({unit}).s"
        try:
            gain, _ = ldt.conversion(unit, self.unit)
        except ldt.WiringError as exc:
            raise self._odd(f"'{term.of}' is in {unit}: {exc.what}") from exc
        return float(values.sum() * gain)

    def _column(self, ref: str, given: Given) -> tuple[Port, str, Column]:
        name, _, column = ref.partition(".")
        port = given.outputs.get(name) or given.inputs.get(name)
        if not isinstance(port, Port) or column not in port.columns:
            raise self._odd(f"there is no column '{ref}'")
        return port, column, port.columns[column]

    def _factors(self, ref: str, port: Port, table: ldt.Table, given: Given) -> tuple[Any, str]:
        """A column of the start, brought to the rows of ``table`` by its id, and its unit."""
        other, name, column = self._column(ref, given)
        start = given.start.get(ref.partition(".")[0])
        if start is None or other.id is None or port.id is None:
            raise self._odd(f"'{ref}' is no column of a table of the start with the same id")
        by_id = dict(zip(start[other.id].tolist(), start[name].tolist(), strict=True))
        missing = [i for i in table[port.id].tolist() if i not in by_id]
        if missing:
            raise self._odd(f"'{ref}' has no row for {missing[0]!r}")
        return np.array([by_id[i] for i in table[port.id].tolist()], float), column.unit or "1"

    def _odd(self, what: str) -> CannotTell:
        return CannotTell(f"the balance '{self.name}' cannot be drawn up: {what}")


def _term(term: str | Term) -> Term:
    return term if isinstance(term, Term) else Term(of=term)
