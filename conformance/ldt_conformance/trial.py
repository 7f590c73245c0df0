"""What a check is given: a driver, an example, and the means to say what was seen."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import SearchStrategy

import ldt_core as ldt

from .drivers.base import Driver, Raised, Subject, Word
from .example import Example
from .outcome import Evidence
from .requirements import Requirement


class Failed(Exception):
    """The requirement does not hold; ``evidence`` shows it."""

    def __init__(self, evidence: Evidence) -> None:
        super().__init__(evidence.what)
        self.evidence = evidence


class CannotTell(Exception):
    """The check could not be carried out, through no fault of the component's."""


class NothingToTry(CannotTell):
    """No value could be generated."""


class NotApplicable(Exception):
    """The component has nothing that the requirement speaks of, by its own manifest. Say so before anything is run."""


@dataclass
class Trial:
    """One requirement tried on one component. ``artefact`` is the ``Artefact`` that it comes from, where there is one.
    ``attempt`` counts from 0: what failed is tried again, and then nothing is taken from what was seen before."""

    requirement: Requirement
    driver: Driver
    example: Example
    artefact: Any = None
    quick: bool = False
    attempt: int = 0
    observations: int = 0
    notes: list[str] = field(default_factory=list)
    """What a reader of the report should know though it passed."""
    _scratch: list[tempfile.TemporaryDirectory[str]] = field(default_factory=list, repr=False)
    _open: list[Subject] = field(default_factory=list, repr=False)

    # -- instances --

    @property
    def manifest(self) -> Mapping[str, Any]:
        return self.driver.manifest

    def scratch(self) -> Path:
        """A new empty folder that goes with the trial."""
        folder = tempfile.TemporaryDirectory(prefix="ldt-trial-", dir=self.driver.scratch)
        self._scratch.append(folder)
        return Path(folder.name)

    def context(self, **changes: Any) -> ldt.Context:
        """The example's first window; ``changes`` replaces fields of ``ldt.Context``."""
        e = self.example
        fields: dict[str, Any] = {
            "start": e.start,
            "window": ldt.Window(0, e.step),
            "seed": e.seed,
            "crs": e.crs,
            "bbox": e.bbox,
            **changes,
        }
        for name in ("scratch", "cache"):
            fields.setdefault(name, self.scratch())
        return ldt.Context(**fields)

    def open(
        self, params: Mapping[str, Any] | None = None, *, driver: Driver | None = None, **context: Any
    ) -> Subject:
        """A new instance with the example's parameters, or these; it is finalized at the trial's end."""
        given_params = self.example.params if params is None else params
        subject = (driver or self.driver).open(given_params, self.context(**context), base=self.example.base)
        self._open.append(subject)
        return subject

    def close(self) -> None:
        """Let go of everything that was opened."""
        try:
            for subject in self._open:
                subject.close()
        finally:
            for folder in self._scratch:
                folder.cleanup()

    # -- what was seen --

    def expect(
        self,
        holds: bool,
        what: str,
        *,
        given: Any = None,
        expected: Any = None,
        got: Any = None,
    ) -> None:
        """Count one observation; raise ``Failed`` where it does not hold. ``what`` says what is wrong then."""
        self.observations += 1
        if not holds:
            self.fail(what, given=given, expected=expected, got=got)

    def fail(self, what: str, *, given: Any = None, expected: Any = None, got: Any = None) -> NoReturn:
        raise Failed(
            Evidence(
                what=what,
                given=plain(given),
                expected=plain(expected),
                got=plain(got),
                mend=self.requirement.mend,
            )
        )

    def expect_raises(
        self, words: tuple[Word, ...], what: str, call: Callable[[], Any], *, given: Any = None
    ) -> Raised:
        """Count one observation: ``call`` must raise one of these words of the contract."""
        self.observations += 1
        try:
            answer = call()
        except Raised as raised:
            if raised.word not in words:
                self.fail(what, given=given, expected=f"{' or '.join(words)} error", got=str(raised))
            return raised
        self.fail(what, given=given, expected=f"{' or '.join(words)} error", got=answer)

    def expect_same(
        self,
        expected: Any,
        got: Any,
        what: str,
        *,
        given: Any = None,
        tolerances: Mapping[str, float] | None = None,
    ) -> None:
        """Count one observation: two answers (tables by port) are equal, number for number, within absolute
        ``tolerances`` by column; None: those of the manifest and the example."""
        if tolerances is None:
            tolerances = {**self.manifest.get("tolerances", {}), **self.example.tolerances}
        difference = first_difference(expected, got, tolerances)
        self.expect(
            difference is None,
            f"{what}: {difference[0]}" if difference else what,
            given=given,
            expected=difference[1] if difference else None,
            got=difference[2] if difference else None,
        )

    def search(
        self, strategy: SearchStrategy[Any], holds: Callable[[Any], None], *, examples: int = 25
    ) -> None:
        """Try ``holds`` on generated values, always the same ones; the smallest that fails is the evidence.

        ``holds`` says what it sees by ``expect``. Fixed hostile values are tried by the check before this.
        """
        count = max(5, examples // 5) if self.quick else examples

        @settings(
            max_examples=count,
            deadline=None,
            derandomize=True,
            database=None,
            phases=(Phase.explicit, Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
            print_blob=False,
        )
        @seed(0)
        @given(strategy)
        def run(value: Any) -> None:
            holds(value)

        try:
            run()
        except Unsatisfiable as exc:
            raise NothingToTry(f"no valid input could be generated: {exc}") from exc


MOST_SHOWN = 2000
"""Characters of one piece of evidence."""


def plain(value: Any) -> Any:
    """As JSON, for a report: tables by column, anything else that is no JSON as text; cut where it is long."""
    found = _plain(value)
    text = repr(found)
    return found if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]} ... ({len(text)} characters)"


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value if not isinstance(value, float) or np.isfinite(value) else repr(value)
    if isinstance(value, ldt.Table):
        return {n: [_plain(v) for v in value[n][:20].tolist()] for n in value.names}
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    return str(value)


def first_difference(expected: Any, got: Any, tolerances: Mapping[str, float]) -> tuple[str, Any, Any] | None:
    """Where two answers first differ, in words, with both values; None where they are the same."""
    if isinstance(expected, Mapping) and isinstance(got, Mapping):
        if list(expected) != list(got) and set(expected) != set(got):
            return "other ports", sorted(expected), sorted(got)
        for name in expected:
            if (found := first_difference(expected[name], got[name], tolerances)) is not None:
                return f"port '{name}', {found[0]}", found[1], found[2]
        return None
    if not isinstance(expected, ldt.Table) or not isinstance(got, ldt.Table):
        return None if _equal(expected, got) else ("other values", expected, got)
    if expected.names != got.names:
        return "other columns", expected.names, got.names
    if len(expected) != len(got):
        return "another number of rows", len(expected), len(got)
    for name in expected.names:
        gone, lost = expected.mask(name), got.mask(name)
        if (gone != lost).any():
            row = int(np.argmax(gone != lost))
            return f"column '{name}', row {row}: missing in one", bool(gone[row]), bool(lost[row])
        a, b = expected[name], got[name]
        off = _off(a, b, tolerances.get(name, 0.0)) & ~gone
        if off.any():
            row = int(np.argmax(off))
            return f"column '{name}', row {row}", a[row], b[row]
    return None


def _off(a: Any, b: Any, tolerance: float) -> Any:
    if a.dtype != b.dtype:
        return np.ones(len(a), bool)
    if a.dtype.kind in "iu" and tolerance:
        return np.abs(a.astype(float) - b) > tolerance
    if a.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            near = (a == b) | (np.abs(a - b) <= tolerance)
        return ~(near | (np.isnan(a) & np.isnan(b)))
    if a.dtype == object:
        return np.array([x != y for x, y in zip(a, b)], bool)
    return a != b


def _equal(a: Any, b: Any) -> bool:
    digests = getattr(a, "digest", None), getattr(b, "digest", None)
    if all(isinstance(d, str) for d in digests):
        return digests[0] == digests[1]
    return bool(a == b)
