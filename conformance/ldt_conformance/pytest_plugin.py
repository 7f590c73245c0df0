"""The suite as tests: ``pytest --ldt-certify ID|WHEEL|DIR|URL`` collects one test for each requirement that is owed.

The component runs in a process of its own, as under ``ldt certify``; nothing of the suite is loaded without the option.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .outcome import Result
    from .report import Report


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("ldt", "conformance of Local Digital Twin components")
    group.addoption(
        "--ldt-certify",
        action="append",
        default=[],
        metavar="WHAT",
        help="judge this component too (repeatable)",
    )
    group.addoption(
        "--ldt-level", type=int, default=1, choices=[1, 2], help="of the requirements (default: 1)"
    )


def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    for what in config.getoption("--ldt-certify"):
        items.extend(Conformance.from_parent(session, name=what, nodeid=f"conformance::{what}").collect())


class Conformance(pytest.Collector):
    """All requirements of one subject. The suite runs once, when they are collected: only it knows what is owed."""

    def collect(self) -> Iterator[pytest.Item]:
        report = _judge(self.name, self.config.getoption("--ldt-level"))
        for result in report.results:
            name = f"{result.requirement}[{result.component or 'package'}]"
            yield RequirementItem.from_parent(self, name=name, report=report, result=result)


def _judge(what: str, level: int) -> Report:
    from ldt_core.errors import LdtError

    from .certification import run

    try:
        return run(what, level=level)
    except LdtError as exc:
        raise pytest.UsageError(str(exc)) from exc


class RequirementItem(pytest.Item):
    """One requirement: fails where it failed or nobody can tell, is skipped with its reason where it was not tried."""

    def __init__(self, *, report: Report, result: Result, **more: Any) -> None:
        super().__init__(**more)
        self.report, self.result = report, result

    def runtest(self) -> None:
        from .outcome import Outcome

        if self.result.outcome in (Outcome.INAPPLICABLE, Outcome.UNTESTED):
            pytest.skip(f"{self.result.outcome}: {self.result.reason}")
        if self.result.outcome is not Outcome.PASSED:
            raise NotKept(self.result)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, NotKept):
            return _told(self.report, self.result)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[str, None, str]:
        return "conformance", None, f"{self.result.requirement} {self.result.component or 'package'}"


class NotKept(Exception):
    """A requirement that does not hold, or of which nobody can tell."""


def _told(report: Report, result: Result) -> str:
    from .report.page import replay
    from .requirements import catalogue

    lines = [catalogue()[result.requirement].must, f"{result.outcome}: {result.reason}"]
    if result.evidence is not None:
        shown = {n: getattr(result.evidence, n) for n in ("given", "expected", "got")}
        lines += [f"{n}: {v}" for n, v in shown.items() if v is not None]
        lines += [f"-> {result.evidence.mend}"] if result.evidence.mend else []
    return "\n".join([*lines, f"again: {replay(report, result)}"])
