"""The four kinds of component and what they are given: the contract.

A component is a class with ports and parameters as class attributes, so that its manifest can be
made from the class. It is constructed with its parameters and a ``Context``; it raises only
``ParamError``, ``InputError``, ``NotFound``, ``Unavailable``, ``Unsupported``, ``Cancelled``.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple, NoReturn, get_args

import numpy as np
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    SecretStr,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)
from pydantic import Field as Field
from pydantic.fields import FieldInfo
from pydantic_core import core_schema

from .errors import Cancelled, InputError, ParamError, Unsupported
from .tables import GridPort, Port, Table, Tables

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .scene import DataRef, Kpi, RunRef, Scene

CONTRACT = 1
SECOND = 1_000_000
"""One second on the twin's clock, which counts int64 microseconds from the run's start."""

AnyPort = Port | GridPort
Secret = SecretStr

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(us|ms|s|min|h|d)")
_MICROSECONDS = {
    "us": 1,
    "ms": 1000,
    "s": SECOND,
    "min": 60 * SECOND,
    "h": 3600 * SECOND,
    "d": 86400 * SECOND,
}


def parse_duration(text: str | int) -> int:
    """``"15min"`` in microseconds. Units: s, min, h, d (and ms, us); ``m`` is metres and refused."""
    if isinstance(text, int) and not isinstance(text, bool):
        return text
    whole = _DURATION.fullmatch(str(text).strip())
    if whole is None:
        raise ValueError(f"'{text}' is not a duration; write 30s, 15min, 1h or 1d (m is metres)")
    micros = float(whole[1]) * _MICROSECONDS[whole[2]]
    if micros != int(micros):
        raise ValueError(f"'{text}' is not a whole number of microseconds")
    return int(micros)


def format_duration(micros: int) -> str:
    for unit in ("d", "h", "min", "s", "ms"):
        if micros % _MICROSECONDS[unit] == 0 and (micros or unit == "s"):
            return f"{micros // _MICROSECONDS[unit]}{unit}"
    return f"{micros}us"


def format_instant(start: np.datetime64, micros: int = 0) -> str:
    """``2026-03-02T05:00Z``: an instant (UTC), or so many microseconds after it, as short as it can be said."""
    instant = start + np.timedelta64(int(micros), "us")
    whole = instant == instant.astype("datetime64[m]")
    return np.datetime_as_string(instant, unit="m" if whole else "auto") + "Z"


Duration = Annotated[
    int,
    BeforeValidator(parse_duration),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "integer"}], "x-ldt": "duration"}),
]
"""A parameter written as ``15min`` and held as int microseconds."""


class unit(NamedTuple):  # noqa: N801 - reads as a word in Annotated[float, ldt.unit("Cel")]
    """Marks a parameter's UCUM unit. A value may be written as ``30`` or ``"30 km/h"``; see ``Params``."""

    code: str


class File(str):
    """A file parameter: relative to the twin file, or ``package:NAME/PATH`` inside an installed package.

    ``path`` is where it is. Its content, not its name, enters the store's keys. For a file that names
    others (a configuration, a list of tiles), annotate the parameter with a subclass that overrides ``files``.
    """

    __slots__ = ("path",)
    path: Path

    def __new__(cls, text: str, base: Path | None = None) -> File:
        self = super().__new__(cls, text)
        self.path = _locate(str(text), base)
        return self

    def __getnewargs__(self) -> tuple[str]:
        return (str(self.path),)

    def files(self) -> tuple[Path, ...]:
        """Every file or folder that this parameter stands for, itself first: their contents enter the keys."""
        return (self.path,)

    def digest(self) -> str:
        """sha256 of the file, or of every file's name and content for a folder; of ``files`` where it is more."""
        digests = [file_digest(path) for path in self.files()]
        return digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        def validate(value: Any, info: ValidationInfo) -> File:
            if isinstance(value, cls):
                return value
            if isinstance(value, File):
                return cls(str(value.path))
            if not isinstance(value, (str, Path)):
                raise ValueError("a file is written as a path")
            base = (info.context or {}).get("base")
            return cls(str(value), base)

        return core_schema.with_info_plain_validator_function(
            validate, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        return {"type": "string", "format": "path", "x-ldt": "file"}


def _locate(text: str, base: Path | None) -> Path:
    if text.startswith("package:"):
        name, _, inside = text.removeprefix("package:").partition("/")
        spec = importlib.util.find_spec(name)
        if spec is None or not spec.submodule_search_locations:
            raise ValueError(f"the package '{name}' is not installed (pip install {name})")
        return Path(next(iter(spec.submodule_search_locations))) / inside
    path = Path(text).expanduser()
    return path if path.is_absolute() or base is None else base / path


def file_digest(path: Path) -> str:
    if not path.is_dir():
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    h = hashlib.sha256()
    for item in sorted(p for p in path.rglob("*") if p.is_file()):
        h.update(f"{item.relative_to(path).as_posix()}\0{file_digest(item)}\n".encode())
    return h.hexdigest()


class Params(BaseModel):
    """A component's parameters: frozen, unknown keys refused, ``inf`` and ``nan`` refused.

    A number marked with ``ldt.unit`` may be written with another unit of the same dimension:
    ``threshold: 300 K`` for a parameter in ``Cel``.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True, use_attribute_docstrings=True
    )

    @model_validator(mode="before")
    @classmethod
    def _read_units(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        read = dict(values)
        for name, info in cls.model_fields.items():
            marked = unit_of(info)
            if marked is not None and isinstance(read.get(name), str):
                read[name] = _with_unit(read[name], marked, name)
        return read


def unit_of(field: FieldInfo) -> str | None:
    """The UCUM code that a parameter is marked with, also inside ``... | None``."""
    inner = [m for part in get_args(field.annotation) for m in getattr(part, "__metadata__", ())]
    return next((m.code for m in [*field.metadata, *inner] if isinstance(m, unit)), None)


_NUMBER_WITH_UNIT = re.compile(r"([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)\s*(\S.*)")


def _with_unit(text: str, target: str, name: str) -> Any:
    from .errors import WiringError
    from .units import conversion

    found = _NUMBER_WITH_UNIT.fullmatch(text.strip())
    if found is None:
        return text
    try:
        gain, offset = conversion(found[2].strip(), target)
    except WiringError as exc:
        raise ValueError(f"{name} is in {target}: {exc.what}") from exc
    return float(found[1]) * gain + offset


class Window(NamedTuple):
    """start <= t < end, in microseconds from the run's start."""

    start: int
    end: int

    @property
    def seconds(self) -> float:
        return (self.end - self.start) / SECOND


class Flag(NamedTuple):
    """A quality flag that a component raises: how often something happened that a reader should know."""

    name: str
    value: float
    unit: str
    text: str


def _ignore(*args: object) -> None:
    return None


@dataclass
class Context:
    """What a component may know of its run. Only ``window`` and ``seed`` may change a result.

    ``start`` is the run's first instant (UTC) and ``window`` what is computed now, in microseconds
    from it. ``crs`` and ``bbox`` (min x, min y, max x, max y in ``crs``) are the twin's.
    ``scratch`` is an empty folder of this task; ``cache`` is the component's own and lives on
    between runs: what is kept there must depend on its key alone.
    """

    start: np.datetime64 = field(default_factory=lambda: np.datetime64("2000-01-01T00:00", "us"))
    window: Window = field(default_factory=lambda: Window(0, 3600 * SECOND))
    seed: int = 0
    crs: str = "EPSG:3857"
    bbox: tuple[float, float, float, float] | None = None
    scratch: Path = field(default_factory=Path)
    cache: Path = field(default_factory=Path)
    log: logging.Logger = field(default_factory=lambda: logging.getLogger("ldt"))
    progress: Callable[[float], None] = _ignore
    cancelled: Callable[[], bool] = bool
    flags: list[Flag] = field(default_factory=list)
    _rng: np.random.Generator | None = field(default=None, repr=False)

    @property
    def rng(self) -> np.random.Generator:
        """The component's random generator, started from ``seed``."""
        if self._rng is None:
            self._rng = np.random.default_rng(self.seed)
        return self._rng

    @property
    def rng_state(self) -> Any:
        """Where the generator stands, as plain data; None while nothing was drawn."""
        return None if self._rng is None else self._rng.bit_generator.state

    @rng_state.setter
    def rng_state(self, state: Any) -> None:
        if state is not None:
            self.rng.bit_generator.state = state
        elif self._rng is not None:  # the component may hold the generator itself
            self._rng.bit_generator.state = np.random.default_rng(self.seed).bit_generator.state

    def rng_for(self, ids: Iterable[str], label: str = "") -> NDArray[np.float64]:
        """One uniform draw in [0, 1) per id, the same whatever other ids there are."""
        head = f"{self.seed}\0{label}\0".encode()
        raw = b"".join(hashlib.blake2b(head + i.encode(), digest_size=8).digest() for i in ids)
        draws: NDArray[np.float64] = (np.frombuffer(raw, "<u8") >> np.uint64(11)).astype(np.float64)
        draws *= 2.0**-53
        return draws

    def instant(self, micros: int) -> np.datetime64:
        """The UTC time stamp of a point on the run's clock."""
        return self.start + np.timedelta64(int(micros), "us")

    def check_cancelled(self) -> None:
        if self.cancelled():
            raise Cancelled("the run was cancelled", code="cancelled")

    def flag(self, name: str, value: float, text: str, unit: str = "1") -> None:
        """Report a quality flag: shown with the results. The last report of a name counts."""
        self.flags[:] = [f for f in self.flags if f.name != name] + [Flag(name, float(value), unit, text)]


class Component(ABC):
    """One part of a twin. Subclass one of the four kinds below.

    ``processes`` and ``hosts`` declare programs started and hosts reached; ``stochastic`` says that
    the seed matters; ``live`` names parameters that may change on a restored state;
    ``validity`` says in words and ranges where results can be trusted; ``tolerances`` how far two
    runs may differ (absolute, by output column). ``resources`` says what a run needs, such as
    ``{"memory": "4GiB", "cpus": "2"}``, so that it can be placed; the twin file may say otherwise.
    ``process = "fresh"`` asks for a process in which nothing ran before and nothing will run after.
    """

    kind: ClassVar[Literal["source", "model", "simulator", "viewer"]]
    id: ClassVar[str]
    title: ClassVar[str] = ""
    inputs: ClassVar[Mapping[str, AnyPort]] = {}
    outputs: ClassVar[Mapping[str, AnyPort]] = {}
    stochastic: ClassVar[bool] = False
    deterministic: ClassVar[bool] = True
    dynamic: ClassVar[bool] = False
    processes: ClassVar[Sequence[str]] = ()
    hosts: ClassVar[Sequence[str]] = ()
    live: ClassVar[Sequence[str]] = ()
    validity: ClassVar[Mapping[str, Any]] = {}
    tolerances: ClassVar[Mapping[str, float]] = {}
    resources: ClassVar[Mapping[str, str]] = {}
    process: ClassVar[Literal["shared", "fresh"]] = "shared"
    step_default: ClassVar[str | None] = None

    Params: ClassVar[type[BaseModel]] = Params

    def __init__(
        self, params: BaseModel | Mapping[str, Any] | None = None, context: Context | None = None
    ) -> None:
        if not isinstance(params, BaseModel):
            params = type(self).Params.model_validate(dict(params or {}))
        self.params: Any = params
        self.context = context or Context()

    def ports(self) -> tuple[Mapping[str, AnyPort], Mapping[str, AnyPort]]:
        """(inputs, outputs) for these parameters. May read headers, never data.

        Override where ports depend on parameters, and set ``dynamic = True``.
        """
        return self.inputs, self.outputs

    def capabilities(self) -> frozenset[str]:
        """What it can do with these parameters: ``state``, ``incremental``; by default all that its class can.

        Override where that depends on parameters (an FMU that cannot save its state). May read headers,
        never data, and only narrow what the class shows.
        """
        return shown_capabilities(type(self))

    def finalize(self) -> None:
        """Release what is held. Called once at the end, also after an error; may be called twice."""


@dataclass(frozen=True)
class Query:
    """What is asked of a source. ``bbox`` is in the twin's CRS, ``start`` and ``end`` in UTC.

    A source may answer with more than was asked; the core filters what comes back.
    """

    outputs: tuple[str, ...] | None = None
    bbox: tuple[float, float, float, float] | None = None
    start: np.datetime64 | None = None
    end: np.datetime64 | None = None
    columns: tuple[str, ...] | None = None


class DataSource(Component):
    """Reads data. Must write ``read`` or ``listen``."""

    kind = "source"

    def read(self, query: Query) -> Tables | Iterator[Tables]:
        """The rows of every output port asked for, or an iterator of batches of them."""
        raise Unsupported(f"'{self.id}' is read by listening only")

    def listen(self, query: Query, cursor: str | None = None) -> Iterator[tuple[Tables, str]]:
        """Batches as they arrive, each with the cursor that resumes after it."""
        raise Unsupported(f"'{self.id}' cannot be listened to")

    def version(self, query: Query) -> str | None:
        """A text that changes whenever ``read(query)`` would; None where that cannot be known.

        Sources whose only input is their ``File`` parameters need not write it.
        """
        return None


class Model(Component):
    """A stateless computation: a pure function of parameters, inputs, window and seed.

    What the field calls a model with time of its own (BMI, SUMO) is a ``Simulator`` here.
    """

    kind = "model"

    @abstractmethod
    def compute(self, inputs: Tables) -> Tables:
        """The outputs of the window ``self.context.window``."""


class Step(NamedTuple):
    """What a step returns when it stops early: its outputs and the instant it reached."""

    tables: Tables
    reached: int


class Simulator(Component):
    """State that advances in time."""

    kind = "simulator"

    def initialize(self, inputs: Tables) -> Tables | None:
        """Values at the run's start; they also serve as ``init`` of lag links.

        ``inputs`` holds the ports with ``at="start"``.
        """
        return None

    @abstractmethod
    def step(self, inputs: Tables, until: int) -> Tables | Step:
        """Advance to ``until`` (microseconds from the run's start) and return the window's outputs.

        Rows of mean, sum, min and max columns are stamped with the window's start.
        """

    def get_state(self) -> bytes:
        raise Unsupported(f"'{self.id}' does not give or take its state")

    def set_state(self, state: bytes) -> None:
        raise Unsupported(f"'{self.id}' does not give or take its state")


class Info(NamedTuple):
    """What a viewer can know of one column, named ``component.port.column``."""

    ref: str
    component: str
    port: str
    column: str
    unit: str | None
    quantity: str | None
    cell: str
    title: str
    geometry: Literal["point", "line", "polygon"] | None


class View(ABC):
    """What a viewer is given: runs (baseline first), tables and KPIs; no paths, no network.

    A ``ref`` is ``component.port.column`` as the twin file's ``show`` lists them.
    """

    title: str
    runs: Sequence[RunRef]
    show: Sequence[str]
    kpis: Sequence[Kpi]
    crs: str
    bounds: tuple[float, float, float, float] | None
    start: str
    end: str
    zone: str
    locale: str
    audience: Literal["planner", "citizen", "vendor", "developer"]
    medium: Literal["app", "notebook", "html", "print", "png"]
    budget: int
    """Bytes of data that the medium can take."""

    @abstractmethod
    def info(self, ref: str) -> Info:
        """Meaning of a column. Raises ``NotFound``."""

    @abstractmethod
    def values(self, ref: str, run: str, time: str = "mean") -> Table:
        """One row per entity: the id column, ``value`` reduced over time (mean, sum, min, max,
        last, or energetic for levels in dB) and averaged over replicates, and ``low``, ``high`` of the replicates."""

    @abstractmethod
    def paired(self, ref: str, run: str, time: str = "mean") -> Table:
        """Change of ``values`` against the baseline, replicate by replicate: id, ``value``, ``low``, ``high``."""

    @abstractmethod
    def series(self, ref: str, run: str, space: str = "mean") -> Table:
        """One row per window: ``time``, ``value``, ``low``, ``high`` over the replicates.

        ``space`` is mean, sum, min, max, or energetic for levels in dB.
        """

    @abstractmethod
    def places(self, ref: str, run: str | None = None) -> Table:
        """Where the entities of ``ref`` are: id, every text column, and ``geometry`` in ``crs``."""

    @abstractmethod
    def credits(self, ref: str) -> list[str]:
        """Attribution and licence of all data that ``ref`` was computed from."""

    @abstractmethod
    def synthetic(self, ref: str) -> list[str]:
        """What of it was made up, in sentences; empty where nothing was."""

    @abstractmethod
    def flags(self, run: str) -> list[Flag]:
        """Quality flags of a run; of each the highest among its replicates."""

    @abstractmethod
    def publish(
        self, id: str, table: Table, *, port: Port, source: Sequence[str] = (), crs: str | None = None
    ) -> DataRef:
        """Put a table beside the scene. ``source`` lists the refs that it was made from."""

    def publish_image(self, id: str, content: bytes, media: str) -> DataRef:
        """Put a picture beside the scene, for an ``ImageBlock``; ``media`` such as image/png."""
        raise Unsupported("this view takes no pictures", fix="draw with other blocks")


class Viewer(Component):
    """Turns runs into a Scene: deterministic, and it shows what it was given."""

    kind = "viewer"
    accepts: ClassVar[Mapping[str, Any]] = {}
    max_runs: ClassVar[int | None] = None

    @abstractmethod
    def render(self, view: View) -> Scene: ...


def shown_capabilities(component: type[Component]) -> frozenset[str]:
    """Capabilities that a class shows by overriding the method that carries them."""
    found = set()
    if issubclass(component, DataSource) and component.listen is not DataSource.listen:
        found.add("incremental")
    if issubclass(component, Simulator) and component.get_state is not Simulator.get_state:
        found.add("state")
    return frozenset(found)


def fail_input(what: str, *, where: str = "", fix: str = "") -> NoReturn:
    raise InputError(what, where=where, fix=fix)


def fail_param(what: str, *, where: str = "", fix: str = "") -> NoReturn:
    raise ParamError(what, where=where, fix=fix)
