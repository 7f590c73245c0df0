"""From a sweep in the twin file to its members: scenarios that are made, not written.

A member sets parameters exactly as a scenario that extends ``of`` and names them under ``set:`` does:
same checks, same keys in the store. Parameters are taken in the order of their names, so the order in
the file changes no member.
"""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

from pydantic import BaseModel

from .catalog import Catalog, load
from .errors import LdtError, TwinFileError, nearest, raise_all
from .interfaces import File, unit_of
from .planning import Planner
from .twin import Spot, Sweep, Twin, check_targets, read_scalar
from .twin_sweeps import LIMIT, Spread, with_unit
from .wiring import Plan, canonical

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Member:
    """One scenario of a sweep. ``changes`` holds what it sets by path, ``keys`` where that stands.

    ``number`` counts the rows of the design from 1; members of the same number under several
    scenarios are pairs.
    """

    sweep: str
    number: int
    of: str
    name: str
    changes: Mapping[str, Any]
    keys: Mapping[str, Spot]

    def of_twin(self, twin: Twin) -> Twin:
        """The twin with this member's changes in place. Raises ``TwinFileError``."""
        return twin.with_changes(self.name, self.of, self.changes, self.keys)


def member_name(sweep: str, all_of: Sequence[str], of: str, number: int) -> str:
    """``SWEEP/0001``, or ``SWEEP/SCENARIO/0001`` where several scenarios go through the same members."""
    return f"{sweep}/{of}/{number:04d}" if len(all_of) > 1 else f"{sweep}/{number:04d}"


@dataclass(frozen=True)
class Design:
    """The values of all members: ``rows[i][j]`` is what member i + 1 sets at ``paths[j]``.

    ``kind`` is grid, latin-hypercube, sobol, random or list. A row of a list may leave a path out (None).
    """

    sweep: str
    kind: str
    of: tuple[str, ...]
    paths: tuple[str, ...]
    rows: Sequence[Sequence[Any]]
    spot: Callable[[int, int], Spot]

    def members(self) -> Iterable[Member]:
        """Every row under every scenario that is varied, row by row."""
        for number, row in enumerate(self.rows, 1):
            there = [j for j, value in enumerate(row) if value is not None or self.kind != "list"]
            changes = {self.paths[j]: row[j] for j in there}
            keys = {self.paths[j]: self.spot(number - 1, j) for j in there}
            for of in self.of:
                yield Member(
                    self.sweep, number, of, member_name(self.sweep, self.of, of, number), changes, keys
                )


def make_design(twin: Twin, name: str, catalog: Catalog) -> Design:
    """The design of a sweep of the twin file. Raises ``TwinFileError``.

    The same file, catalog and scipy give the same design.
    """
    sweep = twin.sweeps[name]
    of = sweep.of or (twin.baseline,)
    if sweep.file is not None:
        return _read_list(twin, name, sweep, sweep.file, of)
    paths = tuple(sorted(sweep.axes))
    word = "grid" if sweep.grid else "over"
    if sweep.sample is None:
        axes = [sweep.grid[path] for path in paths]
        rows = list(itertools.product(*(axis.values for axis in axes)))

        def spot(row: int, column: int) -> Spot:
            """Where the value stands in its list; a spacing stands as a whole."""
            below = math.prod(len(a.values) for a in axes[column + 1 :])
            return ("sweeps", name, word, paths[column], row // below % len(axes[column].values))

        return Design(name, "grid", of, paths, rows, spot)
    cube = _draw(sweep.sample.method, sweep.sample.size, len(paths), sweep.sample.seed)
    columns = []
    for j, path in enumerate(paths):
        where = twin.place("sweeps", name, word, path)
        columns.append(_spread(sweep.over[path], cube[:, j], _kind_of(twin, catalog, path), where))
    return Design(
        name,
        sweep.sample.method,
        of,
        paths,
        list(zip(*columns, strict=True)),
        lambda row, column: ("sweeps", name, word, paths[column]),
    )


def plan_members(twin: Twin, members: Iterable[Member], planner: Planner) -> dict[str, tuple[Twin, Plan]]:
    """The variant and the plan of every member, by name. Raises all that is wrong, each place once."""
    found: dict[str, tuple[Twin, Plan]] = {}
    wrong: dict[tuple[str, str], tuple[LdtError, list[str]]] = {}
    for member in members:
        try:
            variant = member.of_twin(twin)
            found[member.name] = (variant, planner.plan(variant))
        except LdtError as exc:
            for error in getattr(exc, "errors", [exc]):
                wrong.setdefault((error.where, error.code), (error, []))[1].append(member.name)
    for error, names in wrong.values():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        error.what = f"{error.what} (member {names[0]}{more})"
    raise_all([error for error, _ in wrong.values()])
    return found


def chosen_sweeps(twin: Twin, names: Sequence[str]) -> list[str]:
    """The sweeps asked for, in the order of the file. Raises ``TwinFileError`` where there is none."""
    for name in names:
        if name not in twin.sweeps:
            raise TwinFileError(
                f"there is no sweep '{name}'",
                code="unresolved reference",
                where=twin.path.name,
                fix=nearest(name, twin.sweeps),
            )
    return [name for name in twin.sweeps if name in set(names)]


# -- drawing ------------------------------------------------------------------------------------


def _draw(method: str, size: int, width: int, seed: int) -> NDArray[np.float64]:
    """Points of the unit cube, strictly inside, one row per member."""
    import inspect

    import numpy as np
    from scipy.stats import qmc

    rng = np.random.default_rng(seed)
    if method == "random":
        return _inside(rng.random((size, width)))
    kind = qmc.LatinHypercube if method == "latin-hypercube" else qmc.Sobol
    word = "rng" if "rng" in inspect.signature(kind.__init__).parameters else "seed"
    if method == "latin-hypercube":
        return _inside(kind(width, **{word: rng}).random(size))
    return _inside(_saltelli(kind(2 * width, **{word: rng}).random(size), width))


def _saltelli(points: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """A, then A with one column of B each, then B, base point after base point (Saltelli et al. 2010)."""
    import numpy as np

    a, b = points[:, None, :width], points[:, None, width:]
    mixed = np.where(np.eye(width, dtype=bool)[None], b, a)
    return np.concatenate([a, mixed, b], axis=1).reshape(-1, width)


def _inside(cube: NDArray[np.float64]) -> NDArray[np.float64]:
    """Away from 0 and 1, where an unbounded distribution is infinite."""
    return cube.clip(1e-12, 1 - 1e-12)


def _spread(spread: Spread, u: NDArray[np.float64], kind: Any, where: str) -> list[Any]:
    """The values at these quantiles; whole numbers for a parameter that is one."""
    import numpy as np

    if spread.name == "choice":
        return [spread.arguments[i] for i in np.floor(u * len(spread.arguments)).astype(int)]
    if spread.name == "uniform" and spread.arguments:
        low, high = spread.arguments
        if kind is int:  # every whole number from low to high, the ends too, is as likely
            first, last = math.ceil(low), math.floor(high)
            if last < first:
                raise _refused(f"there is no whole number from {low} to {high}", where, "widen the range")
            numbers = first + np.floor(u * (last - first + 1))
        else:
            numbers = low + u * (high - low)
    else:
        numbers = _quantiles(spread, u, where)
        numbers = np.rint(numbers) if kind is int else numbers
    plain = [int(v) if kind is int else float(v) for v in numbers]
    return [with_unit(v, spread.unit) for v in plain]


def _quantiles(spread: Spread, u: NDArray[np.float64], where: str) -> NDArray[np.float64]:
    import numpy as np
    import scipy.stats

    name = {"normal": "norm", "exponential": "expon", "lognormal": "lognorm", "triangular": "triang"}.get(
        spread.name, spread.name
    )
    kind = getattr(scipy.stats, name, None)
    kinds = (scipy.stats.rv_continuous, scipy.stats.rv_discrete)
    if not isinstance(kind, kinds):
        known = [n for n, v in vars(scipy.stats).items() if isinstance(v, kinds)]
        raise _refused(f"scipy.stats has no distribution '{spread.name}'", where, nearest(name, known))
    try:
        found = np.asarray(kind(*spread.arguments, **spread.named).ppf(u), float)
    except TypeError as exc:
        fix = f"see scipy.stats.{name}: its arguments are {kind.shapes or 'none of its own'}, then loc"
        raise _refused(f"{spread.name} cannot take these numbers: {exc}", where, fix) from None
    if not np.isfinite(found).all():
        fix = f"see scipy.stats.{name} for what its numbers mean"
        raise _refused(f"{spread.name} with these numbers has no finite values", where, fix)
    return found


def _kind_of(twin: Twin, catalog: Catalog, path: str) -> Any:
    """The type of a parameter, None where it cannot be told."""
    head, *rest = path.split(".")
    if head == "run":
        return int
    if rest[0] != "params":
        return None
    try:
        here: Any = load(catalog.find(twin.components[head].use)).Params
    except LdtError:
        return None  # the proof says why
    for part in rest[1:]:
        fields = getattr(here, "model_fields", {}) if isinstance(here, type) else {}
        if not (isinstance(here, type) and issubclass(here, BaseModel) and part in fields):
            return None
        here = _bare(fields[part].annotation)
    return here


def _bare(annotation: Any) -> Any:
    """``int`` of ``Annotated[int, ...] | None``."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    options = [a for a in get_args(annotation) if a is not type(None)]
    return _bare(options[0]) if len(options) == 1 and get_origin(annotation) is not list else annotation


# -- members from a file ------------------------------------------------------------------------


def _read_list(twin: Twin, name: str, sweep: Sweep, text: str, of: tuple[str, ...]) -> Design:
    """The rows of a CSV file: a header of paths, a value per cell; an empty cell sets nothing."""
    where = twin.place("sweeps", name, "from")
    try:
        path = File(text, twin.folder).path
        lines = path.read_text(encoding="utf-8-sig").splitlines(keepends=True)
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or str(exc)
        fix = "check the path, which starts at the twin file; the file is UTF-8 text"
        raise TwinFileError(
            f"{text} cannot be read: {reason}", code="not found", where=where, fix=fix
        ) from None
    reader = csv.reader(lines, skipinitialspace=True)
    try:
        header = [cell.strip() for cell in next(reader, [])]
        rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as exc:
        raise _refused(f"{text} is no CSV: {exc}", f"{text}:{reader.line_num}:1", "mend the line") from None
    if not header or not rows:
        fix = "write paths such as traffic.params.scale in the first line, and a row per member"
        raise _refused(f"{text} has no {'rows' if header else 'header'}", f"{text}:1:1", fix)
    if len(rows) > LIMIT:
        raise _refused(f"{text} has {len(rows):,} rows", f"{text}:1:1", f"stay below {LIMIT:,}")
    _check_header(twin, text, header, lines[0])
    order = sorted(range(len(header)), key=header.__getitem__)
    columns = {line: _columns(lines[line - 1], row) for line, row in rows}
    errors: list[LdtError] = []
    for line, row in rows:
        if len(row) != len(header):
            what = f"the row has {len(row)} cells, the header {len(header)}"
            errors.append(_refused(what, f"{text}:{line}:1", "write one cell per column"))
    raise_all(errors)
    return Design(
        name,
        "list",
        of,
        tuple(header[j] for j in order),
        [[read_scalar(row[j].strip()) for j in order] for _, row in rows],
        lambda row, column: f"{text}:{rows[row][0]}:{columns[rows[row][0]][order[column]]}",
    )


def _check_header(twin: Twin, text: str, header: Sequence[str], line: str) -> None:
    columns = _columns(line, header)
    places = {path: f"{text}:1:{column}" for path, column in zip(header, columns, strict=True)}
    errors: list[LdtError] = [
        _refused(f"'{path}' heads two columns", places[path], "remove one of them")
        for path in dict.fromkeys(header)
        if header.count(path) > 1
    ]
    errors += check_targets(dict(places), twin.components, twin.place)
    raise_all(errors)


def _columns(line: str, cells: Sequence[str]) -> list[int]:
    """Where each cell begins in its line, from 1; all at 1 where quotes hide it."""
    plain = line.rstrip("\r\n").split(",")
    if len(plain) != len(cells) or '"' in line:
        return [1] * len(cells)
    starts = itertools.accumulate((len(p) + 1 for p in plain[:-1]), initial=1)
    return [s + len(p) - len(p.lstrip()) for s, p in zip(starts, plain, strict=True)]


def _refused(what: str, where: str, fix: str) -> TwinFileError:
    return TwinFileError(what, code="bad value", where=where, fix=fix)


# -- what the members have set ------------------------------------------------------------------


def parameter(twin: Twin, plan: Plan, path: str) -> Any:
    """The value that a path has in a variant, in the parameter's own unit; a step in seconds.

    A number, a truth or text; anything else as canonical JSON. None where there is none.
    """
    head, *rest = path.split(".")
    if head == "run":
        return getattr(twin.run, rest[0])
    node = plan.nodes[head]
    if rest == ["step"]:
        return None if node.step is None else node.step / 1e6
    here: Any = node.params
    for part in rest[1:]:
        here = here.get(part) if isinstance(here, Mapping) else getattr(here, part, None)
    if here is None or isinstance(here, (bool, int, float, str)):
        return here
    if isinstance(here, BaseModel):
        here = here.model_dump(mode="json")
    try:
        return canonical(here)
    except (TypeError, ValueError):
        return str(here)


def unit_of_path(plan: Plan, path: str) -> str:
    """The unit of what ``parameter`` gives: the parameter's own; empty where it has none."""
    head, *rest = path.split(".")
    if head == "run":
        return ""
    if rest == ["step"]:
        return "s"
    field = type(plan.nodes[head].params).model_fields.get(rest[1])
    return (unit_of(field) or "") if field is not None and len(rest) == 2 else ""
