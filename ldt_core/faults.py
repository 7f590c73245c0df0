"""What went wrong inside a component, and whose it is: its own fault, or what it may say."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from .errors import (
    Cancelled,
    ChildError,
    InputError,
    LdtError,
    NotFound,
    ParamError,
    RemoteError,
    RunError,
    Unavailable,
    Unsupported,
)

MAY_RAISE = (
    ParamError,
    InputError,
    NotFound,
    Unavailable,
    Unsupported,
    Cancelled,
    ChildError,
    RemoteError,
)


def span(start: int, end: int) -> str:
    """A window in words, for errors."""
    return f"[{start / 1e6:g} s, {end / 1e6:g} s)"


def placed(name: str, what: str, where: str) -> str:
    """The place of an error with the component, and the call or window, in which it came up."""
    return f"{where} ({name}, {what})" if where else f"{name}, {what}"


def guarded(name: str, what: str, call: Callable[[], Any]) -> Any:
    """Call into a component; what it raises says where it came from."""
    try:
        return call()
    except (Exception, SystemExit) as exc:
        raise_told(name, what, exc)


def raise_told(name: str, what: str, exc: BaseException) -> NoReturn:
    """Raise what a component may raise, with its place; anything else as the component's own fault."""
    if isinstance(exc, MAY_RAISE):
        exc.where = placed(name, what, exc.where)
        raise exc
    if isinstance(exc, MemoryError):
        raise RunError(
            "out of memory", code="out of memory", where=f"{name}, {what}", fix="run with fewer workers"
        ) from exc
    raise RunError(
        described(exc),
        code="component raised",
        where=f"{name}, {what}",
        fix="report this to the component's author; the log holds the whole traceback",
    ) from exc


def described(exc: BaseException) -> str:
    """What a component raised that it should not have, and where."""
    frames = traceback.extract_tb(exc.__traceback__)
    last = frames[-1] if frames else None
    at = f" at {Path(last.filename).name}:{last.lineno} in {last.name}" if last else ""
    words = exc.what if isinstance(exc, LdtError) else _said(exc)
    return f"{type(exc).__name__}: {words}{at}"


def _said(exc: BaseException) -> str:
    try:
        return str(exc)
    except Exception:
        return "(its own message cannot be read)"


def absent(name: str, port: str, what: str) -> RunError:
    return broken(f"{name} in {what}", f"the output port '{port}' was not returned")


def broken(where: str, what: str) -> RunError:
    return RunError(what, code="contract broken", where=where, fix="report this to the component's author")
