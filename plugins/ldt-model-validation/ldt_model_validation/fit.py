"""Measures of agreement between simulated and observed values."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


def measure_correlation(simulated: Values, observed: Values) -> float | None:
    """Pearson's r; None for fewer than two pairs, or where one side does not vary."""
    if len(simulated) < 2:
        return None
    s, o = simulated - simulated.mean(), observed - observed.mean()
    # Rounding leaves a constant series a spread of its own last digits; it has no correlation.
    for deviation, values in ((s, simulated), (o, observed)):
        if np.abs(deviation).max() <= 1e-12 * np.abs(values).max():
            return None
    s, o = s / np.abs(s).max(), o / np.abs(o).max()
    return float(np.clip((s @ o) / np.sqrt((s @ s) * (o @ o)), -1.0, 1.0))


def measure_relative_bias(simulated: Values, observed: Values) -> float | None:
    """Difference of the totals in percent of what was observed; None where that is nought, or so little that no number says it."""
    total = observed.sum()
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        found = float((simulated.sum() - total) / total * 100.0)
    return found if np.isfinite(found) else None


def measure_geh(simulated: Values, observed: Values) -> Values:
    """The GEH statistic of hourly traffic volumes: sqrt(2 (m - c)^2 / (m + c)), 0 where both are 0.

    Source: UK Department for Transport, TAG unit M3.1, highway assignment modelling, section 3.3;
    a model is accepted there when at least 85 % of the counts have a GEH under 5.
    """
    total = simulated + observed
    return np.sqrt(2.0 * (simulated - observed) ** 2 / np.where(total > 0, total, 1.0))


def average_by_id(ids: NDArray[np.object_], values: Values) -> tuple[list[str], Values]:
    """(ids in order of appearance, mean of each)."""
    place: dict[str, int] = {}
    index = np.array([place.setdefault(i, len(place)) for i in ids], np.int64)
    sums = np.bincount(index, values, minlength=len(place))
    return list(place), sums / np.bincount(index, minlength=len(place))
