"""Checks of services that keep something between requests: sessions and jobs."""

from __future__ import annotations

import time
import uuid
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from ..interface import Interface, check_service
from ..services import Answer, Request
from ..trial import CannotTell, NotApplicable, Trial

ENDED = ("successful", "failed", "dismissed")
GONE = (404, 410)


@check_service("LDT-HTTP-STATE-01")
def sessions_live_from_creation_to_deletion(service: Interface) -> None:
    trial = service.trial
    if service.kind != "simulator":
        raise NotApplicable(f"a {service.kind} keeps no sessions")

    def expect(answer: Answer, request: Request, statuses: tuple[int, ...], what: str) -> None:
        trial.expect(
            answer.status in statuses,
            what,
            given=str(request),
            expected=" or ".join(map(str, statuses)),
            got=str(answer),
        )

    name, other = service.session()[0], service.session()[0]
    trial.expect(name != other, "two sessions have one name", got=name)
    gap = service.step(name, 2)
    expect(service.ask(gap), gap, (409,), "a step that leaves one out is not refused")
    backwards = service.step(name, 1, until=-1)
    service.ask(backwards)  # what becomes of it is seen below, and its refusal by LDT-HTTP-ERR-01
    first, done, reached = service.stepped(name, 1, 0)
    _same(trial, done, service.granted(first), first, "the same step again gives another answer")
    changed = service.step(name, 1, until=service.trial.example.step * 2)
    expect(service.ask(changed), changed, (409,), "a number that was used is taken for another step")
    second, after, end = service.stepped(name, 2, reached)
    expect(service.ask(first), first, (409,), "a step that is over is not refused")
    _same(trial, after, service.granted(second), second, "the last step again gives another answer")
    moved = "what was refused or asked twice has moved the session: it differs from one that was only stepped"
    for seq, start, mine in ((1, 0, done), (2, reached, after)):
        request, theirs, _ = service.stepped(other, seq, start)
        _same(trial, theirs, mine, request, moved)
    if "state" in service.manifest["capabilities"]:
        _state(service, other)
    delete = Request("DELETE", f"/sessions/{quote(name, safe='')}")
    expect(service.ask(delete), delete, (200, 204), "a session cannot be deleted")
    for gone in (service.step(name, 3, end), second, delete):
        expect(service.ask(gone), gone, GONE, "a deleted session is still there")
    service.stepped(other, 3, end)
    nobody = service.step("nothing-of-this-name", 1)
    expect(service.ask(nobody), nobody, GONE, "a session that never was is found")
    _made_once(service)


def _same(trial: Trial, expected: Answer, got: Answer, request: Request, what: str) -> None:
    """Two answers to a step say the same, but for the session's name."""
    one, two = expected.object, got.object
    trial.expect(
        bool(one) and (one.get("reached"), one.get("outputs")) == (two.get("reached"), two.get("outputs")),
        what,
        given=str(request),
        expected=one,
        got=two,
    )


def _state(service: Interface, session: str) -> None:
    """A state that was taken and put back goes on as before; what is none is refused and changes nothing."""
    target = f"/sessions/{quote(session, safe='')}/state"
    octets = {"Content-Type": "application/octet-stream"}
    kept = service.granted(Request("GET", target, headers={"Accept": "*/*"})).body
    put = Request("PUT", target, kept, octets)
    service.granted(put, 200, 204)
    again = service.granted(Request("GET", target, headers={"Accept": "*/*"})).body
    service.trial.expect(again == kept, "a state that was put back is another one", expected=kept, got=again)
    for what, body in (("nothing", b""), ("what is none", b"\x00\xff no state")):
        spoilt = Request("PUT", target, body, octets)
        answer = service.ask(spoilt)
        service.trial.expect(
            400 <= answer.status < 500,
            f"{what} is taken for a state",
            given=str(spoilt),
            expected="4xx",
            got=str(answer),
        )


def _made_once(service: Interface) -> None:
    """A key makes one session, however often it is asked for."""
    key = f"certify-{uuid.uuid4()}"  # a service may keep the keys of earlier runs
    (name, _), (again, _) = (service.session(Idempotency_Key=key) for _ in range(2))
    service.trial.expect(
        again == name,
        "one Idempotency-Key makes two sessions",
        given=str(service.new_session(Idempotency_Key=key)),
        expected=name,
        got=again,
    )


@check_service("LDT-HTTP-JOB-01")
def jobs_are_kept_as_declared(service: Interface) -> None:
    trial = service.trial
    if service.operation("GET", "jobs", None) is None:
        raise NotApplicable("its document offers no jobs")
    if service.kind != "model":
        raise NotApplicable(f"the work of a {service.kind} is no job")
    request = service.execution()
    twice = [service.granted(request) for _ in range(2)]
    address, body = _start(service)
    trial.expect(
        isinstance(body.get("jobID"), str) and body.get("status") in ("accepted", "running", *ENDED),
        "a new job says neither its name nor how it stands",
        expected={"jobID": "...", "status": "accepted"},
        got=body,
    )
    said = _ended(service, address)
    trial.expect(
        said.get("status") == "successful" and said.get("jobID") == body["jobID"],
        "a job out of the example does not succeed",
        given=str(request),
        expected={"jobID": body["jobID"], "status": "successful"},
        got=said,
    )
    results = Request("GET", f"{address}/results", headers={"Accept": "application/json"})
    kept = [service.granted(results) for _ in range(2)]
    service.tables(kept[0].object, results)
    trial.expect(
        kept[0].body == kept[1].body, "the result of a job is another one the second time", given=str(results)
    )
    if twice[0].object == twice[1].object:
        trial.expect(
            kept[0].object == twice[0].object,
            "a job gives another result than the same request without one",
            given=str(results),
            expected=twice[0].object,
            got=kept[0].object,
        )
    _dismissed(service, address, "a job that has ended")
    _dismissed(service, _start(service)[0], "a job that was just made")
    nobody = service.get("/jobs/nothing-of-this-name")
    trial.expect(nobody.status in GONE, "a job that never was is found", expected="404", got=str(nobody))


def _start(service: Interface) -> tuple[str, dict[str, Any]]:
    """The path of a new job below the service's address, and what is said of it."""
    request = service.execution()
    waiting = Request(
        request.method, request.target, request.body, {**request.headers, "Prefer": "respond-async"}
    )
    answer = service.granted(waiting, 201, 202)
    place = urlsplit(urljoin(f"{service.asker.address}/", answer.headers.get("location", "")))
    base = service.asker.base
    mine = (place.hostname, place.port or service.asker.port) == (service.asker.host, service.asker.port)
    path = place.path[len(base) :] if mine and place.path.startswith(f"{base}/jobs/") else ""
    service.trial.expect(
        bool(path),
        "the answer does not say where the job stands",
        given=str(waiting),
        expected="Location: .../jobs/NAME",
        got=answer.headers.get("location", "no Location"),
    )
    return path, answer.object


def _ended(service: Interface, address: str) -> dict[str, Any]:
    pause = 0.01
    while True:
        answer = service.ask(Request("GET", address))  # as often as it takes, so no observation
        said = answer.object if answer.status == 200 else {"status": f"answer {answer.status}"}
        if said.get("status") in ENDED:
            return said
        if said.get("status") not in ("accepted", "running"):
            service.trial.fail(
                "a job does not tell how it stands, in a word of the standard",
                given=f"GET {address}",
                expected=["accepted", "running", *ENDED],
                got=said,
            )
        if service.asker.left() < pause:
            raise CannotTell("the job did not end within the budget")
        time.sleep(pause)
        pause = min(1.0, pause * 1.5)


def _dismissed(service: Interface, address: str, what: str) -> None:
    request = Request("DELETE", address)
    service.granted(request, 200, 204)
    after = service.ask(Request("GET", address))
    service.trial.expect(
        after.status in GONE or after.object.get("status") == "dismissed",
        f"{what} is still there after it was dismissed",
        given=str(request),
        expected="404, or the status dismissed",
        got=str(after),
    )
    results = service.ask(Request("GET", f"{address}/results"))
    service.trial.expect(
        results.status >= 400,
        f"the result of {what} is still given after it was dismissed",
        given=f"GET {address}/results",
        expected="404",
        got=str(results),
    )
