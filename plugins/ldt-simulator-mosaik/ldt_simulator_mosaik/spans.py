"""Values of a window's parts, reduced to one for the window."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np

Cell = Literal["point", "mean", "sum", "min", "max"]


class Span(NamedTuple):
    """Part of a window: its length, whether it began with a step in this window, and the values that hold."""

    length: float
    stepped: bool
    values: dict[tuple[str, str], float | None]


def block_of(spans: list[Span], ids: tuple[str, ...], name: str) -> Any:
    """One row per span, one column per entity; what is missing is NaN."""
    values = [[s.values.get((i, name)) for i in ids] for s in spans]
    return np.array([[np.nan if v is None else v for v in row] for row in values], np.float64)


def reduced(block: Any, spans: list[Span], cell: Cell) -> Any:
    """Over the parts of a window; what is not known at first counts from when it is."""
    known = ~np.isnan(block)
    if cell == "sum":  # an amount belongs to its step alone, and is not held
        fresh = known & np.array([s.stepped for s in spans])[:, None]
        return np.where(fresh, block, 0.0).sum(axis=0)
    some = known.any(axis=0)
    if cell == "mean":
        weight = np.where(known, np.array([s.length for s in spans])[:, None], 0.0)
        total = weight.sum(axis=0)
        mean = (np.where(known, block, 0.0) * weight).sum(axis=0) / np.where(some, total, 1.0)
        return np.where(some, mean, np.nan)
    if cell == "point":
        return block[-1]
    limit = np.inf if cell == "min" else -np.inf
    return np.where(some, getattr(np.where(known, block, limit), cell)(axis=0), np.nan)
