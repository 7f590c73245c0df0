"""What a vendor supplies for one component: an example of its parameters, inputs, cases; read from ``conformance.toml``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

import ldt_core as ldt
from ldt_core.interfaces import parse_duration


@dataclass(frozen=True)
class Example:
    """How a component is run to be judged.

    ``params`` may name files, relative to ``base``. The run starts at ``start`` and goes over ``windows`` windows of
    ``step`` microseconds. ``inputs`` holds a table by port (an input that is not given is generated from its port):
    for a simulator, rows of several instants hold each until the next; rows of one instant, or without a time, are
    given in every window (see ``forcing.Given``). ``cases`` are golden cases as plain JSON (``cases/*.json``),
    ``balances`` what a simulator keeps (see ``balance.Balance``), ``nothing`` what must change nothing:
    ``{"params": {...}, "inputs": {...}, "outputs": [...]}``, parameters and tables that replace those of the example,
    and the output ports that must stay as they are (left out: all), ``states`` states that earlier versions gave: taken as
    a whole, or refused. ``tolerances`` are absolute ones by output column (metres for a geometry).
    Once cancelled, the component stops within ``grace`` microseconds.
    ``shows`` says what a viewer can show (see ``views.Shows``).

    A source says what its fixture holds. ``known`` has by port some rows, or the columns of them that are known: text
    and numbers as they are (numbers in the column's unit), None for what is missing, an instant as RFC 3339 text with
    its offset, a place as [longitude, latitude] whatever the column's CRS. Rows beside a change of clocks count for
    LDT-SRC-TIME-02. ``rows`` is how many rows a port has in the example's time and place. ``variants`` are other
    examples: fields of this one to replace, by name. ``empty``: no data at all; ``huge``: a million rows; ``clock``:
    known rows over a change of clocks, where the fixture itself has none.
    """

    params: Mapping[str, Any] = field(default_factory=dict)
    base: Path = field(default_factory=Path)
    start: np.datetime64 = field(default_factory=lambda: np.datetime64("2026-03-02T05:00", "us"))
    step: int = parse_duration("1h")
    windows: int = 3
    seed: int = 1
    crs: str = "EPSG:25832"
    bbox: tuple[float, float, float, float] | None = None
    inputs: Mapping[str, ldt.Table] = field(default_factory=dict)
    cases: tuple[Mapping[str, Any], ...] = ()
    tolerances: Mapping[str, float] = field(default_factory=dict)
    balances: tuple[Mapping[str, Any], ...] = ()
    nothing: Mapping[str, Any] | None = None
    states: tuple[bytes, ...] = ()
    grace: int = parse_duration("10s")
    shows: Mapping[str, Any] = field(default_factory=dict)
    known: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def variant(self, name: str) -> Example | None:
        """This example with some fields replaced; None where no variant of this name is given."""
        changes = self.variants.get(name)
        return None if changes is None else replace(self, **changes)

    @property
    def query(self) -> ldt.Query:
        """Everything in the example's time and place."""
        end = self.start + np.timedelta64(self.step * self.windows, "us")
        return ldt.Query(bbox=self.bbox, start=self.start, end=end)
