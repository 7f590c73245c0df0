"""KPI values, and whether a change between two scenarios is more than noise.

A KPI reduces one column over time and space to a number per replicate; replicates are never reduced
inside a KPI. Two scenarios are compared by the differences of replicates with the same seeds:
Student's t interval, 95 %, two-sided.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import DataError, WiringError
from .resample import align, collapse, stack
from .tables import Column, Port, Recording, Table
from .units import conversion

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .twin import Condition, KpiDefinition

OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
CONFIDENCE = 0.95
# Student's t, two-sided 95 %, for 1 to 30 degrees of freedom: loading scipy takes 0.2 s.
_STUDENT = (
    12.7062047362,
    4.30265272975,
    3.18244630528,
    2.7764451052,
    2.57058183564,
    2.44691185114,
    2.36462425159,
    2.3060041352,
    2.2621571628,
    2.22813885199,
    2.20098516009,
    2.17881282967,
    2.16036865646,
    2.14478668792,
    2.13144954556,
    2.11990529922,
    2.10981557783,
    2.10092204024,
    2.09302405441,
    2.08596344727,
    2.07961384473,
    2.0738730679,
    2.06865761042,
    2.06389856163,
    2.05953855275,
    2.05552943864,
    2.05183051648,
    2.0484071418,
    2.04522964213,
    2.0422724563,
)
COUNTING = ("share", "duration")
TOO_FEW = "too few to tell"
SAME = "same in every replicate"
DISTINGUISHABLE = "distinguishable"
NOT_DISTINGUISHABLE = "not distinguishable"


@dataclass
class _Block:
    """Values, presence and weights of shape (windows, entities) on their way to one number."""

    values: dict[str, NDArray[Any]]
    present: NDArray[np.bool_]
    ids: NDArray[Any]
    lengths: NDArray[np.float64]
    weight: NDArray[np.float64]


def result_unit(kpi: KpiDefinition, column: Column) -> str:
    """The unit of a KPI before conversion to the one that it asks for."""
    for how in kpi.reduce.values():
        if how == "share":
            return "1"
        if how == "duration":
            return "s"
    return column.unit or "1"


def check_reductions(kpi: KpiDefinition, column: Column, events: bool, where: str) -> None:
    """Refuse what has no meaning: a mean of decibels, a share without ``where``."""
    counting = [how for how in kpi.reduce.values() if how in COUNTING]
    if len(counting) > 1:
        raise WiringError(
            f"{' and '.join(counting)} both count where the condition holds",
            code="cell method",
            where=where,
            fix="count once, and reduce the other axis by mean, max, min or sum",
        )
    for axis, how in kpi.reduce.items():
        if how in COUNTING and not kpi.where:
            raise WiringError(
                f"{how} needs where:", code="cell method", where=where, fix="add where: column op value"
            )
        if how == "duration" and axis != "time":
            raise WiringError(
                "duration is a reduction over time", code="cell method", where=where, fix="write space: share"
            )
        if how == "energetic" and column.unit != "dB":
            raise WiringError(
                "the energetic mean is one of levels in dB", code="cell method", where=where, fix="write mean"
            )
        if how in ("mean", "sum") and column.unit == "dB" and not _counted_before(kpi, axis):
            raise WiringError(
                f"levels in dB have no {how} over {axis}",
                code="cell method",
                where=where,
                fix="use energetic, max, min, last, or a share with where:",
            )
        if axis == "time" and how == "sum" and column.cell not in ("sum", "point") and not events:
            raise WiringError(
                f"a {column.cell} has no sum over time",
                code="cell method",
                where=where,
                fix="use mean, or a column that is a sum over its window",
            )
    if kpi.unit is not None:
        conversion(result_unit(kpi, column), kpi.unit)


def check_condition(condition: Condition, column: Column, where: str) -> None:
    """Refuse a condition whose value cannot stand in its column."""
    kinds: dict[str, tuple[type, ...]] = {
        "number": (int, float),
        "integer": (int, float),
        "boolean": (bool,),
        "text": (str,),
    }
    name, sign, value = condition
    fits = isinstance(value, kinds.get(column.kind, ())) and isinstance(value, bool) == (
        column.kind == "boolean"
    )
    ordered = column.kind in ("number", "integer") or sign in ("==", "!=")
    if not (fits and ordered):
        raise WiringError(
            f"where: '{name}' is of kind {column.kind}, which cannot be compared by {sign} {value!r}",
            code="dtype",
            where=where,
            fix="compare numbers with numbers, and text or truth by == and != only",
        )


def _counted_before(kpi: KpiDefinition, axis: str) -> bool:
    for other, how in kpi.reduce.items():
        if other == axis:
            return False
        if how in COUNTING:
            return True
    return False


def evaluate(
    kpi: KpiDefinition,
    column: str,
    recording: Recording,
    *,
    weight: Recording | None = None,
    weight_column: str | None = None,
    baseline: Recording | None = None,
    attributes: Mapping[str, Recording] | None = None,
) -> float | None:
    """The KPI's value in its unit; None where there is nothing to reduce.

    ``attributes`` holds the recordings of what ``where`` names and the port lacks, joined by id.
    """
    if recording.port.at == "step" and not (recording.windows[:, 1] > recording.windows[:, 0]).any():
        return None  # nobody looked, which is not the same as nothing seen
    spec = recording.port.columns[column]
    more = attributes or {}
    block = _block(kpi, column, recording, weight, weight_column, more)
    other = _block(kpi, column, baseline, weight, weight_column, more) if baseline is not None else None
    counted = any(how in COUNTING for how in kpi.reduce.values())
    if not counted and other is None:
        _select(kpi, block)
    for axis, how in kpi.reduce.items():
        if other is not None and (axis == "space" or how in COUNTING):
            block, other = _difference(block, other, column), None
            if not counted:
                _select(kpi, block)
        _apply(kpi, block, column, axis, how)
        if other is not None:
            _apply(kpi, other, column, axis, how)
    if other is not None:
        block = _difference(block, other, column)
    values, present = block.values[column], block.present
    if values.size != 1:
        raise DataError(
            f"the KPI of {kpi.of} leaves {values.shape[0]} windows and {values.shape[1]} entities",
            code="shape",
            where=str(kpi.of),
            fix="reduce: both time and space",
        )
    if not present.any():
        return None
    own = result_unit(kpi, spec)
    gain, offset = conversion(own, kpi.unit or own)
    if baseline is not None:
        offset = 0.0  # a difference of temperatures has no zero point
    return float(values[0, 0]) * gain + offset


def _block(
    kpi: KpiDefinition,
    column: str,
    recording: Recording,
    weight: Recording | None,
    weight_column: str | None,
    attributes: Mapping[str, Recording],
) -> _Block:
    names = dict.fromkeys([column, *(name for name, _, _ in kpi.where)])
    port = recording.port
    windows = recording.windows[recording.windows[:, 1] > recording.windows[:, 0]]
    if port.events or port.at == "start":
        tables, lengths = [recording.table], np.ones(1)
    else:
        first = len(recording) - len(windows)  # values at the start of the run belong to no window
        tables = [recording.window(i) for i in range(first, len(recording))]
        lengths = (windows[:, 1] - windows[:, 0]).astype(float)
    ids, rows = _entities(tables, port)
    values, present = {}, np.ones((len(tables), len(ids)), bool)
    for name in names:
        if name not in port.columns:
            values[name] = np.tile(_attribute(attributes[name], name, ids), (len(tables), 1))
            continue
        kind = port.columns[name].kind
        if kind in ("number", "integer", "boolean"):
            values[name], there = stack(tables, name, rows, len(ids))
            present &= there
        else:
            values[name] = _texts(tables, name, rows, len(ids))
    weights = np.ones_like(present, float)
    if weight is not None and weight_column is not None:
        weights = np.broadcast_to(_weights(ids, windows, weight, weight_column, kpi), present.shape)
    return _Block(values, present, ids, lengths, weights)


def _entities(tables: list[Table], port: Port) -> tuple[NDArray[Any], list[NDArray[np.int64]] | None]:
    """Ids of all entities and the rows of each table; rows without an id are counted through."""
    if port.events and port.id is not None and len(set(tables[0][port.id])) == len(tables[0]):
        return tables[0][port.id], None
    if port.events or port.id is None:
        counts = [len(t) for t in tables]
        return np.arange(max(counts)), [np.arange(n) for n in counts] if len(set(counts)) > 1 else None
    return align(tables, port)


def _attribute(recording: Recording, name: str, ids: NDArray[Any]) -> NDArray[Any]:
    """One value per id; None where the attribute's table does not know it."""
    table = recording.table
    present = ~table.mask(name)
    known = dict(zip(table[recording.port.id or ""][present], table[name][present], strict=True))
    found = np.empty(len(ids), object)
    found[:] = [known.get(i) for i in ids]
    return found


def _texts(tables: list[Any], name: str, rows: Any, count: int) -> NDArray[Any]:
    block = np.full((len(tables), count), None, object)
    for i, table in enumerate(tables):
        block[i, np.arange(count) if rows is None else rows[i]] = table[name]
    return block


def _weights(
    ids: NDArray[Any], windows: NDArray[np.int64], weight: Recording, column: str, kpi: KpiDefinition
) -> NDArray[np.float64]:
    """One weight per entity, or per window and entity; 0 where none is known."""
    own = weight.windows
    if weight.port.at == "start":
        tables = [weight.table]
    elif np.array_equal(own[own[:, 1] > own[:, 0]], windows):
        tables = [weight.window(i) for i in range(len(own) - len(windows), len(own))]
    else:
        raise DataError(
            f"{kpi.weight} comes in other windows than {kpi.of}",
            code="ids do not pair",
            where=str(kpi.of),
            fix="weigh by a port of the same component, or one that is given at the start",
        )
    found = np.full((len(tables), len(ids)), np.nan)
    for row, table in zip(found, tables, strict=True):
        there = ~table.mask(column)
        known = dict(zip(table[weight.port.id or ""][there], table[column][there], strict=True))
        row[:] = [known.get(i, np.nan) for i in ids]
    if np.isnan(found).all() and len(ids):
        raise DataError(
            f"none of {len(ids)} ids of {kpi.of} has a weight in {kpi.weight}",
            code="ids do not pair",
            where=str(kpi.of),
            fix="weigh by a port whose ids are the same",
        )
    weights: NDArray[np.float64] = np.nan_to_num(found)
    return weights


def _holds(kpi: KpiDefinition, block: _Block) -> NDArray[np.bool_]:
    held = np.ones_like(block.present)
    for name, sign, value in kpi.where:
        values = block.values[name]
        if values.dtype == object:
            known = values != None  # noqa: E711 - element by element
            held &= known
            held[known] &= OPERATORS[sign](values[known], value).astype(bool)
        else:
            held &= OPERATORS[sign](values, value)
    return held


def _select(kpi: KpiDefinition, block: _Block) -> None:
    if kpi.where:
        block.present = block.present & _holds(kpi, block)


def _difference(block: _Block, other: _Block, column: str) -> _Block:
    """Value minus baseline, entity by entity; only what both know is present."""
    if not np.array_equal(block.lengths, other.lengths):
        raise DataError(
            f"{len(block.lengths)} windows cannot be compared with {len(other.lengths)} of the baseline",
            code="shape",
            fix="reduce time first, or give both scenarios the same step",
        )
    at = {i: n for n, i in enumerate(other.ids)}
    pairs = np.array([(n, at[i]) for n, i in enumerate(block.ids) if i in at], int).reshape(-1, 2)
    mine, theirs = pairs[:, 0], pairs[:, 1]
    values = {n: v[:, mine] for n, v in block.values.items()}
    values[column] = values[column] - other.values[column][:, theirs]
    present = block.present[:, mine] & other.present[:, theirs]
    return _Block(values, present, block.ids[mine], block.lengths, block.weight[:, mine])


def _apply(kpi: KpiDefinition, block: _Block, column: str, axis: str, how: str) -> None:
    """Reduce one axis in place. Columns that only ``where`` names keep their last value that is known."""
    flip = axis == "space"
    weights = block.weight.T if flip else block.lengths
    present = block.present.T if flip else block.present
    count = present.shape[1]
    known: NDArray[np.bool_] = np.any(present, axis=0)
    last = len(present) - 1 - present[::-1].argmax(axis=0) if len(present) else np.zeros(count, int)
    reduced: dict[str, NDArray[Any]] = {}
    for name, values in block.values.items():
        source = values.T if flip else values
        if name != column:
            reduced[name] = source[last, np.arange(count)] if len(source) else np.full(count, None, object)
        elif how in COUNTING:
            held = _holds(kpi, block)
            share = (held.T if flip else held).astype(float)
            if how == "duration":
                share = share * (block.lengths[:, None] / 1e6)
            reduced[name], known = collapse(share, present, "mean" if how == "share" else "sum", weights)
        elif how == "sum" and flip:
            reduced[name], _ = collapse(source * weights, present, "sum", weights)
            known = np.ones_like(known)  # a window in which nothing is there adds up to nothing
        else:
            reduced[name], known = collapse(source, present, how, weights)
    block.values = {n: (v[:, None] if flip else v[None, :]) for n, v in reduced.items()}
    block.present = known[:, None] if flip else known[None, :]
    if flip:
        block.ids, block.weight = block.ids[:1], np.ones((count, 1))
    else:
        block.weight = collapse(block.weight, present, "mean", block.lengths)[0][None, :]
        block.lengths = np.ones(1)


# -- comparison -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Change:
    """The change of one KPI against the baseline over ``n`` pairs of replicates.

    ``low`` to ``high`` is the 95 % interval of the mean change, None where it cannot be told.
    ``gain`` is the share of variance that pairing by seed took away (below 0: it added some).
    """

    mean: float
    percent: float | None
    low: float | None
    high: float | None
    n: int
    verdict: str
    gain: float | None = None

    @property
    def certain(self) -> bool:
        return self.verdict == DISTINGUISHABLE or (self.verdict == SAME and self.mean != 0)


def change(
    values: Sequence[float | None], baseline: Sequence[float | None], *, chance: bool = True
) -> Change | None:
    """Compare two lists of replicate values, paired by position. None when no pair is known.

    Without ``chance`` (nothing that the values depend on is stochastic) one replicate tells it all.
    """
    pairs = [(a, b) for a, b in zip(values, baseline, strict=False) if a is not None and b is not None]
    if not pairs:
        return None
    mine, base = np.array(pairs, float).T
    differences = mine - base
    mean, n = float(differences.mean()), len(pairs)
    percent = 100.0 * mean / abs(float(base.mean())) if base.mean() != 0 else None
    spread = float(differences.std(ddof=1)) if n > 1 else 0.0
    # Digits lost in the subtraction are no spread.
    noise = 1e-12 * max(float(np.abs(mine).max()), float(np.abs(base).max()))
    if n < 3 and chance:
        return Change(mean, percent, None, None, n, TOO_FEW)
    if spread <= noise:
        return Change(mean, percent, mean, mean, n, SAME)
    half = student(n - 1) * spread / math.sqrt(n)
    apart = float(mine.var(ddof=1) + base.var(ddof=1))
    gain = 1.0 - spread**2 / apart if apart > 0 else None
    verdict = DISTINGUISHABLE if abs(mean) > half else NOT_DISTINGUISHABLE
    return Change(mean, percent, mean - half, mean + half, n, verdict, gain)


def student(freedom: int) -> float:
    """The two-sided 95 % quantile of Student's t."""
    if freedom <= len(_STUDENT):
        return _STUDENT[freedom - 1]
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.5 + CONFIDENCE / 2))
