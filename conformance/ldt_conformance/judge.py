"""Runs the checks of a profile in the order of their needs and says what came of each."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from .artefact import Artefact
from .budget import TooLong, within
from .checks import Check, checks
from .drivers.base import Driver, Raised
from .example import Example
from .observe import Bench
from .outcome import Evidence, Outcome, Result
from .package_trial import PackageTrial
from .requirements import Requirement, profile
from .trial import CannotTell, Failed, NotApplicable, Trial

REPEATS = 3
"""A failure is seen this often before it is called one: where repeats disagree, nobody can tell."""

CLOSING = 10.0
"""Seconds that a component has to let go of what a check opened."""

Told = Callable[[Result], None]
Begun = Callable[[Requirement], Trial]


def claims_of(manifest: Mapping[str, Any]) -> frozenset[str]:
    """What a component claims by its manifest; a simulator that has inputs in every step, or may have some for other
    parameters, claims ``coupling``."""
    steps = [p for p in manifest["inputs"].values() if p.get("at", "step") == "step"]
    coupled = manifest["kind"] == "simulator" and (steps or manifest.get("dynamic"))
    coupling = {"coupling"} if coupled else set()
    return frozenset(manifest.get("capabilities", ())) | coupling


def judge(
    driver: Driver,
    example: Example,
    *,
    level: int = 1,
    artefact: Any = None,
    service: bool = False,
    only: Collection[str] = (),
    quick: bool = False,
    tell: Told = lambda result: None,
) -> list[Result]:
    """One result for every requirement that the component owes; see ``requirements.profile``.

    ``only`` selects requirements (and what they need): all others are untested, so such a run is never green.
    """
    owed = profile(driver.manifest["kind"], level, claims_of(driver.manifest), driver.door, service=service)

    def begin(requirement: Requirement) -> Trial:
        return Trial(requirement, driver, example, artefact, quick)

    return _run(owed, driver.manifest["id"], begin, only, tell)


def judge_package(
    artefact: Artefact,
    examples: Mapping[str, Example],
    *,
    level: int = 1,
    only: Collection[str] = (),
    quick: bool = False,
    tell: Told = lambda result: None,
) -> list[Result]:
    """One result for every requirement that the package as a whole owes; ``examples`` are its components', by id."""

    bench = Bench(artefact, examples)

    def begin(requirement: Requirement) -> Trial:
        return PackageTrial(requirement, bench, quick)

    try:
        return _run(profile(None, level, (), "process"), None, begin, only, tell)
    finally:
        bench.close()


def _run(
    owed: Iterable[tuple[Requirement, str]], name: str | None, begin: Begun, only: Collection[str], tell: Told
) -> list[Result]:
    found: dict[str, Result] = {}
    wanted = _with_needs(only)
    slow = None
    for requirement, reason in owed:

        def said(outcome: Outcome, requirement: Requirement = requirement, **fields: Any) -> Result:
            return Result(requirement=requirement.id, component=name, outcome=outcome, **fields)

        blocked = _blocked(requirement, found)
        if reason:
            result = said(Outcome.INAPPLICABLE, reason=reason)
        elif wanted and requirement.id not in wanted:
            result = said(Outcome.UNTESTED, reason="not selected")
        elif slow is not None:
            result = said(Outcome.UNTESTED, reason=f"not tried: {slow} took too long", blocked_by=slow)
        elif blocked is not None:
            result = said(Outcome.UNTESTED, reason=f"blocked by {blocked}", blocked_by=blocked)
        else:
            fields, over = _try(requirement, begin)
            slow = requirement.id if over else None
            result = said(**fields)
        found[requirement.id] = result
        tell(result)
    return list(found.values())


def _with_needs(only: Collection[str]) -> set[str]:
    from .requirements import catalogue

    wanted, waiting = set(), list(only)
    while waiting:
        id = waiting.pop()
        if id not in wanted:
            wanted.add(id)
            waiting.extend(catalogue()[id].needs)
    return wanted


def _blocked(requirement: Requirement, found: Mapping[str, Result]) -> str | None:
    """The root of what keeps this requirement from being tried: failed, or itself blocked. What the component does
    not owe blocks nothing."""
    for need in requirement.needs:
        result = found.get(need)
        if result is not None and result.outcome not in (Outcome.PASSED, Outcome.INAPPLICABLE):
            return result.blocked_by or need
    return None


def _try(requirement: Requirement, begin: Begun) -> tuple[dict[str, Any], bool]:
    """The fields of a result, and whether it took too long. What fails is tried again, to tell a fault from a flake."""
    first, over = _once(requirement, checks()[requirement.id], begin)
    if first["outcome"] is not Outcome.FAILED:
        return first, over
    for attempt in range(1, REPEATS):
        again, over = _once(requirement, checks()[requirement.id], begin, attempt)
        if again["outcome"] is not Outcome.FAILED:
            reason = f"repeats disagree: failed, then {again['outcome']}. First: {first['reason']}"
            return {**first, "outcome": Outcome.CANT_TELL, "reason": reason}, over
    return first, False


def _once(
    requirement: Requirement, check: Check, begin: Begun, attempt: int = 0
) -> tuple[dict[str, Any], bool]:
    trial = begin(requirement)
    trial.attempt = attempt
    begun = time.perf_counter()
    evidence, reason, over = None, "", False
    try:
        with within(requirement.seconds):
            check(trial)
        outcome = Outcome.PASSED if trial.observations else Outcome.CANT_TELL
        reason = "; ".join(trial.notes) if trial.observations else "the check saw nothing"
    except Failed as failed:
        outcome, evidence, reason = Outcome.FAILED, failed.evidence, failed.evidence.what
    except Raised as raised:
        over = raised.word == "too long"
        outcome = Outcome.CANT_TELL if over else Outcome.FAILED
        reason = f"{raised.call} raised what the check did not ask for: {raised.error}"
        evidence = Evidence(what=reason, got=str(raised), mend=requirement.mend)
    except TooLong:
        over, outcome = True, Outcome.CANT_TELL
        reason = f"too long: not done within {requirement.seconds:g} s"
    except NotApplicable as exc:
        outcome, reason = Outcome.INAPPLICABLE, str(exc)
    except CannotTell as exc:
        outcome, reason = Outcome.CANT_TELL, str(exc)
    except Exception as exc:
        last = traceback.extract_tb(exc.__traceback__)[-1]
        outcome = Outcome.CANT_TELL
        reason = f"the suite failed: {type(exc).__name__}: {exc} ({last.name}, line {last.lineno})"
    finally:
        try:
            with within(CLOSING):
                trial.close()
        except TooLong:
            over = True
    fields = {
        "outcome": outcome,
        "observations": trial.observations,
        "seconds": round(time.perf_counter() - begun, 4),
        "reason": reason,
        "evidence": evidence,
    }
    return fields, over
