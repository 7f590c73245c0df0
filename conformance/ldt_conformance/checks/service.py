"""Checks of the catalogue's part ``service``: what it says of itself, what it answers, whom it lets in.

Sessions, jobs and limits stand in ``service_state`` and ``service_limits``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ldt_core.remote.problems import PROBLEM

from .. import openapi_rules as rules
from ..answers import Document, server_fault
from ..hostile import elsewhere
from ..interface import Interface, Operation, check_service
from ..openapi_blind_spots import blind_spots, schema_error
from ..services import Answer, Request
from ..standing import Standing
from ..trial import CannotTell, NotApplicable, NothingToTry, Trial
from . import service_limits, service_state

__all__ = ["service_limits", "service_state"]

REFUSED_AS = {"ParamError", "InputError", "NotFound", "Unavailable", "Unsupported", "Cancelled"}


@check_service("LDT-HTTP-OAS-01")
def its_document_is_valid_and_self_contained(service: Interface) -> None:
    trial = service.trial
    where, answer = service.raw_document
    trial.expect(
        answer.status == 200,
        f"there is no OpenAPI document at /api: it answered {answer!s:.200}",
        given=where,
        expected="200 with an OpenAPI document",
        got=str(answer),
    )
    document = service.document
    _nothing_found(service, rules.faults(document), "has faults")
    trial.expect(
        bool(document.get("paths")),
        "the OpenAPI document has no paths",
        expected="paths",
        got=sorted(document),
    )


@check_service("LDT-HTTP-OAS-02")
def its_document_misleads_nobody(service: Interface) -> None:
    _nothing_found(service, blind_spots(service.document), "misleads")


def _nothing_found(service: Interface, found: list[rules.Finding], what: str) -> None:
    """Count one observation: there is no finding."""
    first = f", and {len(found) - 1} more" if len(found) > 1 else ""
    service.trial.expect(
        not found,
        f"the OpenAPI document {what}: {found[0]}{first}" if found else "",
        given=service.raw_document[0],
        expected=found[0].mend if found else None,
        got=[str(f) for f in found],
    )


NEEDED: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "model": (("POST", "processes", "ID", "execution"),),
    "simulator": (
        ("POST", "sessions"),
        ("POST", "sessions", "*", "step"),
        ("DELETE", "sessions", "*"),
    ),
    "source": (("GET", "collections", "PORT", "items"),),
}
"""Operations of a kind; ``*`` is a parameter, ``ID`` the component's id or a parameter, ``PORT`` each output port."""
OF_STATE = (("GET", "sessions", "*", "state"), ("PUT", "sessions", "*", "state"))


@check_service("LDT-HTTP-PROF-01")
def it_offers_what_its_kind_needs(service: Interface) -> None:
    trial = service.trial
    manifest = service.manifest
    needed = list(NEEDED[service.kind])
    if "state" in manifest["capabilities"]:
        needed += OF_STATE
    if manifest.get("dynamic"):
        needed.append(("POST", "ports"))
    for method, *parts in needed:
        for port in service.ports[1] if "PORT" in parts else [""]:
            words = {"*": None, "ID": manifest["id"], "PORT": port}
            found = service.operation(method, *(words.get(p, p) for p in parts))
            path = "/" + "/".join(p if (w := words.get(p, p)) is None else w for p in parts)
            trial.expect(
                found is not None,
                f"the OpenAPI document lacks {method} {path}, which a {service.kind} offers",
                expected=f"{method} {path}",
                got=[o.label for o in service.operations],
            )
    _main_operation_works(service)


def _main_operation_works(service: Interface) -> None:
    """The example goes through, by requests that fit the document's schemas, with outputs as the ports declare them."""
    if service.kind == "model":
        request = service.execution()
        _fits(service, request, "processes", service.manifest["id"], "execution")
        service.tables(service.granted(request).object, request)
    elif service.kind == "simulator":
        new = service.new_session()
        _fits(service, new, "sessions")
        name, answer = service.session()
        service.tables(answer.object.get("outputs", {}), new, at=())
        _fits(service, service.step(name, 1), "sessions", None, "step")
        step, said, _ = service.stepped(name, 1, 0)
        service.tables(said.object.get("outputs"), step, at=("step",))
    elif service.kind == "source":
        for port in service.ports[1]:
            request = service.items(port)
            service.table(service.granted(request).object, port, request)


def _fits(service: Interface, request: Request, *parts: str | None) -> None:
    """The body of a good request is one that the document's schema takes."""
    found = service.operation(request.method, *parts)
    if found is None:
        return
    said = rules.follow(service.document, found.said.get("requestBody"))
    content = (said or {}).get("content", {}).get("application/json")
    service.trial.expect(
        content is not None,
        f"{found.label} takes no application/json",
        expected="requestBody with application/json",
        got=said,
    )
    why = schema_error(service.document, content.get("schema", True), json.loads(request.body or b""))
    service.trial.expect(
        not why,
        f"the schema of {found.label} refuses a good request: {why}",
        given=str(request),
        expected="a schema that takes what the contract sends",
        got=content.get("schema"),
    )


@check_service("LDT-HTTP-RESP-01")
def whatever_it_is_sent_it_answers_as_documented(service: Interface) -> None:
    trial = service.trial
    document = Document(service.document, service.asker.address)

    def judge(operation: Operation | None, what: str, request: Request, answer: Answer) -> None:
        why = server_fault(answer) if operation is None else document.fault(operation, answer)
        trial.expect(
            not why,
            f"{request.method} {request.target.partition('?')[0][:80]} ({what}): {why}",
            given=str(request),
            expected="no server error" if operation is None else f"as documented for {operation.label}",
            got=str(answer),
        )

    standing = Standing(service)
    for operation in service.operations:
        for what, request, strictly in standing.requests(operation):
            answer = standing.ask(request)
            judge(operation if strictly else None, what, request, answer)
            if what == "good":
                trial.expect(
                    answer.status < 400,
                    f"{operation.label} refuses a good request",
                    given=str(request),
                    expected="2xx",
                    got=str(answer),
                )
    for what, request in elsewhere():
        judge(None, what, request, service.ask(request))
    for operation in service.operations:
        for valid in standing.ways(operation):

            def holds(request: Request, operation: Operation = operation, valid: bool = valid) -> None:
                judge(operation, "valid" if valid else "not valid", request, standing.ask(request))

            with suppress(NothingToTry):  # nothing but good texts fits, or does not fit, a path
                trial.search(document.requests(operation, valid=valid), holds, examples=10)


@check_service("LDT-HTTP-ERR-01")
def it_refuses_in_words(service: Interface) -> None:
    """After the same request was granted unspoilt."""
    trial = service.trial
    standing = Standing(service)
    service.granted(service.good)
    for what, request, words in standing.refusals():
        answer = standing.ask(request)
        _is_problem(trial, what, request, answer)
        if words:
            said = answer.object.get("ldt")
            word = said.get("class") if isinstance(said, Mapping) else None
            trial.expect(
                word in words and bool(isinstance(said, Mapping) and said.get("code") and said.get("what")),
                f"the refusal of {what} does not say what it is in the words of the contract",
                given=str(request),
                expected={"ldt": {"class": " or ".join(words), "code": "...", "what": "..."}},
                got=str(answer),
            )


def _is_problem(trial: Trial, what: str, request: Request, answer: Answer) -> None:
    trial.expect(
        400 <= answer.status < 500,
        f"{what} is not refused",
        given=str(request),
        expected="4xx",
        got=str(answer),
    )
    trial.expect(
        answer.media == PROBLEM,
        f"the refusal of {what} is no {PROBLEM}",
        given=str(request),
        expected=f"Content-Type: {PROBLEM}",
        got=str(answer),
    )
    said: Any = answer.object
    right = (
        isinstance(said.get("title"), str)
        and said["title"]
        and said.get("status", answer.status) == answer.status
    )
    trial.expect(
        bool(right),
        f"the problem of {what} has no title, or another status than its answer",
        given=str(request),
        expected={"title": "...", "status": answer.status},
        got=str(answer),
    )
    own = said.get("ldt")
    if own is not None:
        word = own.get("class") if isinstance(own, Mapping) else own
        trial.expect(
            word in REFUSED_AS,
            f"the problem of {what} has a word that the contract does not know: {word!r:.60}",
            given=str(request),
            expected=sorted(REFUSED_AS),
            got=str(answer),
        )


@check_service("LDT-HTTP-AUTH-01")
def its_protection_is_real(service: Interface) -> None:
    trial = service.trial
    protected = [o for o in service.operations if _wants(service.document, o)]
    if not protected:
        raise NotApplicable("its document declares no protection")
    token = service.token
    if not token:
        raise CannotTell("its document declares protection, and no token was given to judge it with")
    schemes = (
        rules.follow(service.document, service.document.get("components") or {}).get("securitySchemes") or {}
    )
    for operation in protected:
        kinds = [
            rules.follow(service.document, schemes.get(n, {})) for n in _wants(service.document, operation)
        ]
        trial.expect(
            any(
                k.get("type") in ("oauth2", "openIdConnect") or str(k.get("scheme")).lower() == "bearer"
                for k in kinds
            ),
            f"{operation.label} is protected in a way that clients of the contract do not know",
            expected={"type": "http", "scheme": "bearer"},
            got=kinds,
        )
    wrong = ["", "x", token[:-1], f"{token}x", token.swapcase() if token.swapcase() != token else "y", "null"]
    standing = Standing(service)
    service.granted(service.good)
    for number, operation in enumerate(protected):
        request = standing.plain(operation)
        _refused(trial, service, request, None)
        for other in wrong if number == 0 else wrong[:1]:
            _refused(trial, service, request, other)
        if operation.method in ("get", "head"):
            answer = standing.ask(request)
            trial.expect(
                answer.status not in (401, 403),
                f"{operation.label} refuses its own token",
                given=str(request),
                got=str(answer),
            )
    for target in ("//component", "/component/", "/%63omponent", f"/component?token={token}", "/./component"):
        answer = service.ask(Request("GET", target), token=None)
        trial.expect(
            not 200 <= answer.status < 300,
            "what is protected is given away at another spelling of its path",
            given=f"GET {target.partition('?')[0]} without Authorization",
            expected="401",
            got=str(answer),
        )


def _wants(document: Mapping[str, Any], operation: Operation) -> list[str]:
    """The security schemes of which an operation wants one; none where it may also be asked without."""
    needs = operation.said.get("security", document.get("security")) or []
    return [] if any(not n for n in needs) else [name for need in needs for name in need]


def _refused(trial: Trial, service: Interface, request: Request, token: str | None) -> None:
    answer = service.ask(request, token=token)
    how = "without a token" if token is None else "with a wrong token"
    trial.expect(
        answer.status in (401, 403),
        f"{request.method} {request.target.partition('?')[0]} is granted {how}",
        given=f"{request} {how}",
        expected="401",
        got=str(answer),
    )
