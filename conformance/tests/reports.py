"""A report of a run that never was, for tests of what becomes of one."""

from __future__ import annotations

import hashlib
from typing import Any

from ldt_conformance.outcome import Outcome, Result
from ldt_conformance.report import Component, Environment, Report, Subject
from ldt_conformance.requirements import export

ARTEFACT = b"the bytes of a wheel"


def make_report(**changes: Any) -> Report:
    catalogue = export()
    results = tuple(
        Result(requirement=r["id"], component="zoo-model", outcome=Outcome.PASSED, observations=2)
        for r in catalogue["requirements"]
        if "-MOD-" in r["id"] and r["level"] == 1
    )
    fields: dict[str, Any] = {
        "catalogue": catalogue["release"],
        "catalogue_sha256": catalogue["sha256"],
        "level": 1,
        "subject": Subject(
            name="ldt-model-zoo",
            version="1.0",
            kind="wheel",
            file="ldt_model_zoo-1.0-py3-none-any.whl",
            sha256=hashlib.sha256(ARTEFACT).hexdigest(),
        ),
        "components": (Component(id="zoo-model", kind="model", manifest_sha256="0" * 64),),
        "environment": Environment(
            suite="0.1.0", core="0.1.0", python="3.11", platform="linux", door="process", sandbox="bubblewrap"
        ),
        "owed": tuple((r.requirement, r.component) for r in results),
        "results": results,
        "started": "2026-11-25T12:00:00Z",
        "seconds": 1.5,
    }
    return Report(**{**fields, **changes})
