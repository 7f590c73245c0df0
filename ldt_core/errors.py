"""Every error that a user can meet, sorted by who must mend it.

::

    LdtError
    ├── TwinFileError   E1  exit 10  the modeller: the twin file is wrong
    ├── PluginError     E2  exit 11  the operator: a plugin is missing, broken or of another version
    ├── WiringError     E3  exit 10  the modeller: two ports do not fit
    ├── ScheduleError   E4  exit 10  the modeller: the order of work cannot be found
    ├── DataError       E5  exit 12  the data owner: data is absent, changed or refused
    │   ├── InputError              raised by a component: this input cannot be used
    │   ├── NotFound                raised by a component: no such thing
    │   └── Unavailable             raised by a component: try again later (retryable)
    ├── RunError        E6  exit 13  the component's author: it failed while running
    │   ├── ChildError              of a component in a process of its own: how that ended, or what it raised
    │   ├── Unsupported             raised by a component: asked for what it cannot do
    │   └── Cancelled               raised by a component that noticed the cancellation
    ├── StoreError      E7  exit 14  the operator: the store is damaged or full
    └── RemoteError     E8  exit 15  the service owner: a remote component failed
        └── Unreachable             it does not answer: try again later (retryable)

``ParamError`` is the component's word for E1: a parameter that it cannot accept.
An error says what is wrong, where, why, and how to mend it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, ClassVar


class LdtError(Exception):
    """An error with a code, a place and a remedy.

    ``code`` is stable within its class, ``where`` names file:line:column, component or port,
    ``fix`` says what to do. ``retryable`` is true only where the same call may succeed later.
    """

    group: ClassVar[str] = "E0"
    exit_code: ClassVar[int] = 70
    retryable: ClassVar[bool] = False

    def __init__(self, what: str, *, code: str = "", where: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.code = code or type(self).__name__
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        return f"{head} [{self.group} {self.code}]" + (f"\n  -> {self.fix}" if self.fix else "")

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.what, self.code, self.where, self.fix))

    def as_dict(self) -> dict[str, Any]:
        return {
            "group": self.group,
            "code": self.code,
            "what": self.what,
            "where": self.where,
            "fix": self.fix,
            "retryable": self.retryable,
        }


def _rebuild(kind: type[LdtError], what: str, code: str, where: str, fix: str) -> LdtError:
    return kind(what, code=code, where=where, fix=fix)


class TwinFileError(LdtError):
    group = "E1"
    exit_code = 10


class ParamError(TwinFileError):
    """A component cannot accept this parameter."""


class PluginError(LdtError):
    group = "E2"
    exit_code = 11


class WiringError(LdtError):
    group = "E3"
    exit_code = 10


class ScheduleError(LdtError):
    group = "E4"
    exit_code = 10


class DataError(LdtError):
    group = "E5"
    exit_code = 12


class InputError(DataError):
    """A component cannot use this input."""


class NotFound(DataError):
    """A component was asked for something that does not exist."""


class Unavailable(DataError):
    """A component's upstream does not answer; the same call may succeed later."""

    retryable = True


class RunError(LdtError):
    group = "E6"
    exit_code = 13


class ChildError(RunError):
    """A component in a process of its own failed there: it raised, was killed, took too long, used too much."""


class Unsupported(RunError):
    """A component was asked for something that it does not offer."""


class Cancelled(RunError):
    """A component stopped because the run was cancelled."""


class StoreError(LdtError):
    group = "E7"
    exit_code = 14


class RemoteError(LdtError):
    group = "E8"
    exit_code = 15


class Unreachable(RemoteError):
    """A remote component does not answer; the same call may succeed later."""

    retryable = True


class ErrorList(LdtError):
    """All errors of one file or one check at once; takes group and exit code of the first."""

    def __init__(self, errors: Iterable[LdtError]) -> None:
        self.errors = list(errors)
        first = self.errors[0]
        super().__init__(first.what, code=first.code, where=first.where, fix=first.fix)
        self.group = first.group  # type: ignore[misc]
        self.exit_code = first.exit_code  # type: ignore[misc]

    def __str__(self) -> str:
        return "\n".join(str(e) for e in self.errors)

    def __reduce__(self) -> tuple[Any, ...]:
        return (ErrorList, (self.errors,))


def raise_all(errors: list[LdtError]) -> None:
    """Raise nothing, the one error, or all of them together."""
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise ErrorList(errors)


def nearest(word: str, known: Iterable[str]) -> str:
    """``did you mean 'x'?`` or the list of what is known."""
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f"did you mean '{close[0]}'?"
    if not known:
        return "nothing is known here"
    more = f" and {len(known) - 12} more" if len(known) > 12 else ""
    return "known here: " + ", ".join(known[:12]) + more
