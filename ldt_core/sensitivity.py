"""Which parameter of a sweep moves a KPI, and by how much: from a run's table of results.

A member's value is its mean over replicates. The design decides what can be told:

- ``sobol``: first-order and total Sobol indices (Saltelli 2010, Jansen 1999; SALib), intervals by bootstrap;
- ``latin-hypercube``, ``random``, ``list``: first-order indices from given data (RBD-FAST; SALib) and
  standardised rank regression coefficients, whose sign says the direction; intervals by bootstrap;
- ``grid``: main effects, the share of variance between the levels of one parameter.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import DataError, PluginError

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

RESAMPLES = 1000
FEW = 64
"""Members (for sobol: base points) below which intervals are too wide to rank parameters by."""


@dataclass(frozen=True)
class Index:
    """One index of one parameter with its 95 % bootstrap interval (None: not known).

    ``kind`` is first, total, rank or main.
    """

    parameter: str
    kind: str
    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Analysis:
    """The indices of one KPI under one scenario; ``notes`` says what they lack."""

    sweep: str
    scenario: str
    kpi: str
    method: str
    members: int
    missing: int
    indices: tuple[Index, ...]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def analyse(table: pa.Table, sweep: Mapping[str, Any], name: str, scenario: str, kpi: str) -> Analysis:
    """The indices of a KPI in a sweep. ``sweep`` is what the run's record says of it.

    Raises ``DataError`` where no member has a value, ``PluginError`` where SALib is not installed.
    """
    paths = [p["path"] for p in sweep["parameters"]]
    x, y = member_values(table, name, scenario, kpi, paths)
    known = np.isfinite(y)
    missing = int((~known).sum())
    notes = [f"{missing} of {len(y)} members have no value and are left out"] if missing else []
    if not known.any():
        raise DataError(
            f"no member of {name} under {scenario} has a value of {kpi}",
            code="unavailable",
            fix="see ldt results",
        )
    design = sweep["design"]
    blocks = len(paths) + 2
    if design == "sobol" and missing:  # a base point counts whole or not at all
        known = np.repeat(known.reshape(-1, blocks).all(axis=1), blocks)
    x, y = x[known], y[known]
    base = len(y) // blocks if design == "sobol" else len(y)
    spread = float(y.max() - y.min()) if len(y) else 0.0
    method = {"sobol": "Sobol indices", "grid": "main effects"}.get(design, "RBD-FAST and rank regression")
    indices: list[Index] = []
    if len(y) and spread <= 1e-12 * float(np.abs(y).max()):
        notes.append("the KPI is the same in every member: nothing moves it")
        indices = [Index(p, "main" if design == "grid" else "first", None) for p in paths]
    elif design == "grid":
        indices = [Index(p, "main", _main_effect(x[:, j], y)) for j, p in enumerate(paths)]
        notes.append("exact on the values of the grid, so without intervals")
    elif base < max(4, len(paths) + 2):
        notes.append(f"{base} {'base points' if design == 'sobol' else 'members'} are too few for any index")
    else:
        if base < FEW:
            notes.append(
                f"{base} {'base points' if design == 'sobol' else 'members'} are few: mind the intervals"
            )
        indices = _sobol(paths, y) if design == "sobol" else _given_data(paths, x, y, notes)
    return Analysis(name, scenario, kpi, method, len(y), missing, tuple(indices), tuple(notes))


def member_values(
    table: pa.Table, sweep: str, scenario: str, kpi: str, paths: Sequence[str]
) -> tuple[Floats, Floats]:
    """Parameters (members, paths) and the KPI's mean over replicates (members), by number; NaN where missing.

    Text and truth become the number of their value among the sorted ones.
    """
    import pyarrow.compute as pc

    mine = (pc.field("sweep") == sweep) & (pc.field("scenario") == scenario) & (pc.field("kpi") == kpi)
    rows = table.filter(mine)
    number = rows["member"].to_numpy()
    members, place = np.unique(number, return_inverse=True)
    values = rows["value"].to_numpy(zero_copy_only=False).astype(float)
    with np.errstate(invalid="ignore"):  # a replicate that is missing makes the member's mean missing
        y = np.bincount(place, values, len(members)) / np.bincount(place, minlength=len(members))
    x = np.empty((len(members), len(paths)))
    for j, path in enumerate(paths):
        column = rows[path].to_pylist()
        if any(isinstance(v, (str, bool)) for v in column):
            levels = {v: i for i, v in enumerate(sorted({v for v in column if v is not None}))}
            column = [None if v is None else levels[v] for v in column]
        x[place, j] = [math.nan if v is None else v for v in column]
    return x, y


def _main_effect(x: Floats, y: Floats) -> float:
    """Variance of the means of the levels over the whole variance."""
    levels, place = np.unique(x, return_inverse=True)
    count = np.bincount(place, minlength=len(levels))
    means = np.bincount(place, y, len(levels)) / count
    return float((count * (means - y.mean()) ** 2).sum() / ((y - y.mean()) ** 2).sum())


def _library(name: str) -> Any:
    import importlib

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(f"SALib.analyze.{name}")
    except ImportError as exc:
        raise PluginError(
            "sensitivity indices need SALib, which is not installed",
            code="not installed",
            fix="pip install 'ldt-core[sensitivity]'",
        ) from exc


def _sobol(paths: Sequence[str], y: Floats) -> list[Index]:
    problem = {"num_vars": len(paths), "names": list(paths), "bounds": [[0.0, 1.0]] * len(paths)}
    found = _library("sobol").analyze(
        problem, y, calc_second_order=False, num_resamples=RESAMPLES, seed=np.random.default_rng(0)
    )
    return [
        Index(path, kind, float(found[key][j]), *_around(found[key][j], found[f"{key}_conf"][j]))
        for kind, key in (("first", "S1"), ("total", "ST"))
        for j, path in enumerate(paths)
    ]


def _around(value: float, half: float) -> tuple[float | None, float | None]:
    return (float(value - half), float(value + half)) if math.isfinite(half) else (None, None)


def _given_data(paths: Sequence[str], x: Floats, y: Floats, notes: list[str]) -> list[Index]:
    there = [bool(np.isfinite(x[:, j]).all()) for j in range(len(paths))]
    moved = [j for j in range(len(paths)) if there[j] and x[:, j].max() > x[:, j].min()]
    still = [paths[j] for j in range(len(paths)) if j not in moved]
    if still:
        notes.append(f"not varied, or not set in every member: {', '.join(still)}")
    if not moved:
        return []
    varied, names = x[:, moved], [paths[j] for j in moved]
    indices: list[Index] = []
    if len(y) > 2 * HARMONICS:
        problem = {"num_vars": len(names), "names": names, "bounds": [[0.0, 1.0]] * len(names)}
        found = _library("rbd_fast").analyze(
            problem, varied, y, M=HARMONICS, num_resamples=200, seed=np.random.default_rng(0)
        )
        indices = [
            Index(n, "first", float(found["S1"][j]), *_around(found["S1"][j], found["S1_conf"][j]))
            for j, n in enumerate(names)
        ]
    else:
        notes.append(f"first-order indices from given data need more than {2 * HARMONICS} members")
    return indices + _ranked(names, varied, y)


HARMONICS = 10


def _ranked(names: Sequence[str], x: Floats, y: Floats) -> list[Index]:
    """Standardised rank regression coefficients with percentile bootstrap intervals."""
    from scipy.stats import rankdata

    def coefficients(rows: NDArray[np.intp]) -> Floats:
        ranks = np.column_stack([rankdata(x[rows], axis=0), rankdata(y[rows])])
        ranks -= ranks.mean(axis=0)
        spread = ranks.std(axis=0)
        spread[spread == 0] = 1.0
        ranks /= spread
        found: Floats = np.linalg.lstsq(ranks[:, :-1], ranks[:, -1], rcond=None)[0]
        return found

    everything = np.arange(len(y))
    low, high = bootstrap(coefficients, len(y), 200)
    return [
        Index(n, "rank", float(v), float(a), float(b))
        for n, v, a, b in zip(names, coefficients(everything), low, high, strict=True)
    ]


def bootstrap(
    statistic: Callable[[NDArray[np.intp]], Floats], size: int, resamples: int = RESAMPLES
) -> tuple[Floats, Floats]:
    """The 2.5 and 97.5 % quantiles of a statistic of row numbers under resampling, the same each time."""
    rng = np.random.default_rng(0)
    found = np.array([statistic(rng.integers(0, size, size)) for _ in range(resamples)])
    low, high = np.quantile(found, [0.025, 0.975], axis=0)
    return low, high


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share of ``count`` draws (Wilson 1927): honest where all of them agree."""
    z = 1.959963984540054
    middle = share + z**2 / (2 * count)
    half = z * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    whole = 1 + z**2 / count
    return max(0.0, (middle - half) / whole), min(1.0, (middle + half) / whole)
