"""Errors as problem+json (RFC 9457), and back.

A problem of ours carries the error itself under ``ldt``: its class, code, words and remedy, so that a
component's error reads alike from next door and from afar. A fault of a component's code shows its last
words and nothing of the server's files.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from .. import errors as e

T = TypeVar("T")
PROBLEM = "application/problem+json"
PROCESSES = "http://www.opengis.net/def/exceptions/ogcapi-processes-1/1.0/"
_log = logging.getLogger("ldt.remote")
# What a component may raise, and what that is in HTTP.
STATUS: tuple[tuple[type[e.LdtError], int], ...] = (
    (e.ParamError, 400),
    (e.InputError, 400),
    (e.NotFound, 404),
    (e.Unavailable, 503),
    (e.Unsupported, 501),
    (e.Cancelled, 409),
)


class Problem(Exception):
    """An answer that says no. ``type`` is a URI, or a name of the OGC's list of exceptions for processes."""

    def __init__(
        self, status: int, title: str, detail: str = "", *, type: str = "about:blank", **headers: str
    ) -> None:
        super().__init__(title)
        self.status, self.title, self.detail = status, title, detail
        self.type = type if ":" in type else PROCESSES + type
        self.headers = {k.replace("_", "-"): v for k, v in headers.items()}
        self.more: dict[str, Any] = {}

    def as_dict(self) -> dict[str, Any]:
        said = {"type": self.type, "title": self.title, "status": self.status, "detail": self.detail}
        return {**said, **self.more}


def contained(work: Callable[[], T]) -> T:
    """``work`` of a component in a thread: where it would end the program, it has failed and the server goes on."""
    try:
        return work()
    except Exception:
        raise
    except BaseException as exc:
        what = f"{type(exc).__name__}: {exc}"[:500]
        raise e.RunError(what, code="component raised", fix="report this to the component's author") from exc


def problem_of(exc: BaseException) -> Problem:
    """What a component raised, as a problem."""
    if isinstance(exc, Problem):
        return exc
    if isinstance(exc, e.LdtError):
        status = next((s for kind, s in STATUS if isinstance(exc, kind)), 500)
        bad = isinstance(exc, e.ParamError | e.InputError)
        problem = Problem(
            status, exc.code, str(exc), type="invalid-parameter-value" if bad else "about:blank"
        )
        name = next((k.__name__ for k, _ in STATUS if isinstance(exc, k)), "RunError")
        problem.more["ldt"] = {"class": name, **exc.as_dict()}
        return problem
    _log.error("a component raised", exc_info=exc)
    what = f"{type(exc).__name__}: {exc}"
    problem = Problem(500, "component raised", what[:500])
    problem.more["ldt"] = {"class": "RunError", "code": "component raised", "what": what[:500]}
    return problem


_NAMED = {kind.__name__: kind for kind, _ in STATUS}


def error_of(status: int, problem: Any, address: str) -> e.LdtError:
    """The error that an answer stands for: the component's own, or one of E8."""
    said = problem if isinstance(problem, Mapping) else {}
    own = said.get("ldt")
    if isinstance(own, Mapping):
        kind = _NAMED.get(str(own.get("class")), e.RemoteError)
        texts = {k: str(own.get(k) or "")[:1000] for k in ("what", "code", "where", "fix")}
        if texts["what"]:
            fix = texts["fix"] or f"report this to the owner of {address}"
            return kind(texts["what"], code=texts["code"], where=texts["where"], fix=fix)
    words = " ".join(str(said[k]) for k in ("title", "detail", "description") if said.get(k))[:500]
    what = f"{address} answered {status}" + (f": {words}" if words else "")
    if status in (401, 403):
        fix = "write its token in the twin file: params: {access: {token: ${NAME}}}"
        return e.RemoteError(what, code="not authorised", fix=fix)
    if status == 404:
        return e.RemoteError(what, code="not there", fix="check the address")
    if status in (406, 415):
        return e.RemoteError(
            what, code="media type", fix="ask its owner for JSON as docs/reference/remote.md has it"
        )
    if status == 413:
        return e.RemoteError(
            what, code="too large", fix="send less at once, or ask its owner to raise the limit"
        )
    if status in (429, 502, 503, 504):
        return e.Unreachable(what, code="unreachable", fix="try again later")
    return e.RemoteError(what, code="refused", fix=f"ask the owner of {address}")
