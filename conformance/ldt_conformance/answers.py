"""Whether an answer is one that the document foretells, and requests drawn from the document.

The drawing and the checks of status, media type, headers and schema are Schemathesis's; the requests are sent by ``services``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from hypothesis.strategies import SearchStrategy

from .interface import Operation
from .services import Answer, Request
from .trial import CannotTell

PARAMETER = re.compile(r"\{([^{}]*)\}")
UNSUPPORTED, UNAVAILABLE = "Unsupported", "Unavailable"


def server_fault(answer: Answer) -> str:
    """Why ``answer`` is one that a service may not give to anything it is sent; an empty text where it may.

    501 and 503 are refusals of the component, and of a service that is busy, where they say so."""
    if answer.status < 500:
        return ""
    said = answer.object.get("ldt")
    word = said.get("class") if isinstance(said, Mapping) else None
    if answer.status == 501 and word == UNSUPPORTED:
        return ""
    if answer.status == 503 and (word == UNAVAILABLE or "retry-after" in answer.headers):
        return ""
    return f"a server error, {answer.status}"


class Document:
    """The document, as Schemathesis reads it."""

    def __init__(self, document: Mapping[str, Any], address: str) -> None:
        self.address = address
        self._operations = _operations(document)

    def fault(self, operation: Operation, answer: Answer) -> str:
        """What the document does not foretell of ``answer``; an empty text where it does."""
        from schemathesis.core.failures import Failure, FailureGroup
        from schemathesis.core.transport import Response

        if (why := server_fault(answer)) or answer.status >= 500:
            return why
        said = self._operations[operation.path, operation.method]
        case = said.Case(path_parameters=dict.fromkeys(PARAMETER.findall(operation.path), "x"))
        headers = {n: [v] for n, v in answer.headers.items()}
        given = Response(answer.status, headers, answer.body, _prepared(self.address), 0.0, False)
        try:
            case.validate_response(given, checks=_checks())
        except FailureGroup as group:
            return "; ".join(_words(f) for f in group.exceptions)
        except Failure as failure:
            return _words(failure)
        return _undeclared(operation, answer)

    def requests(self, operation: Operation, *, valid: bool) -> SearchStrategy[Request]:
        """Requests that fit the document, or that do not."""
        from schemathesis.generation import GenerationMode

        mode = GenerationMode.POSITIVE if valid else GenerationMode.NEGATIVE
        found = self._operations[operation.path, operation.method].as_strategy(generation_mode=mode)
        drawn: SearchStrategy[Request] = found.map(self._request)
        return drawn

    def _request(self, case: Any) -> Request:
        import requests

        sent = requests.Request(**case.as_transport_kwargs(base_url=self.address)).prepare()
        headers = {n: v for n, v in sent.headers.items() if n.lower() in _SENT or n in (case.headers or {})}
        body: Any = sent.body.encode() if isinstance(sent.body, str) else sent.body
        target = str(sent.url)[len(self.address) :]
        if not target.startswith("/"):
            target = f"/{target}"
        return Request(str(sent.method), target, body, {n: _text(v) for n, v in headers.items()})


_SENT = {"content-type", "accept"}


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _operations(document: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
    import schemathesis
    from schemathesis.core.result import Err

    # Without a configuration of its own it would take one that lies in the working folder.
    loaded = schemathesis.openapi.from_dict(dict(document), config=schemathesis.Config())
    found: dict[tuple[str, str], Any] = {}
    for result in loaded.get_all_operations():
        if isinstance(result, Err):
            raise CannotTell(f"an operation of the document cannot be read: {result.err()}")
        operation = result.ok()
        found[operation.path, operation.method.lower()] = operation
    return found


@cache
def _checks() -> list[Any]:
    from schemathesis.specs.openapi import checks

    return [
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_headers_conformance,
        checks.response_schema_conformance,
    ]


@cache
def _prepared(address: str) -> Any:
    import requests

    return requests.Request("GET", address).prepare()


def _words(failure: Any) -> str:
    return f"{failure.title}: {failure.message.partition(chr(10) + chr(10))[0]}"[:400].replace("\n", " ")


def _undeclared(operation: Operation, answer: Answer) -> str:
    """A body where the document declares none."""
    responses = operation.said.get("responses") or {}
    status = str(answer.status)
    said = next((responses[k] for k in (status, f"{status[0]}XX", "default") if k in responses), None)
    if answer.body and isinstance(said, Mapping) and "$ref" not in said and not said.get("content"):
        return f"Undocumented body: {status} comes with {answer.media or 'a body'}, and no content is declared for it"
    return ""
