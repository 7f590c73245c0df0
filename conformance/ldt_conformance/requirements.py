"""The catalogue: every requirement as data, read from ``catalogue/*.yaml``.

An id is never renumbered or reused; a stricter meaning gets a new number. A requirement that is ``planned`` has no check
yet and counts in no verdict.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

RELEASE = "2026.11"
"""Of the catalogue, by calendar. A patch may only loosen."""

FILES = ("package", "every", "source", "model", "simulator", "viewer", "compared", "service")
"""In the order of work: what a later one needs stands in an earlier one."""

KINDS: Mapping[str, str] = {"SRC": "source", "MOD": "model", "SIM": "simulator", "VIE": "viewer"}
"""The part of an id that names a kind; ``PKG`` is the package's, ``COR`` everybody's, ``HTTP`` a service's."""

Door = Literal["here", "process", "http"]
DOORS: tuple[Door, ...] = ("here", "process", "http")


class Requirement(BaseModel):
    """One promise. ``must`` is the sentence that is tested, ``why`` what goes wrong without it, ``source`` where it
    comes from, ``maps_to`` clauses of outside standards, ``needs`` what must hold before it can be tested, ``doors`` by
    which drivers it can be seen, ``seconds`` how long its check may take, ``failing`` and ``mended`` a piece of code each, ``mend`` what to do in a sentence."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^LDT-(PKG|COR|SRC|MOD|SIM|VIE|HTTP)-[A-Z0-9]+-\d\d$")
    level: Literal[1, 2, 3, "A"]
    status: Literal["released", "planned"] = "released"
    title: str
    must: str
    why: str
    source: str
    maps_to: tuple[str, ...] = ()
    capability: (
        Literal["incremental", "subscribe", "transform", "uncertainty", "state", "coupling"] | None
    ) = None
    needs: tuple[str, ...] = ()
    doors: tuple[Door, ...] = DOORS
    seconds: float = Field(default=20.0, gt=0)
    since: str = RELEASE
    mend: str = ""
    failing: str = ""
    mended: str = ""

    @property
    def area(self) -> str:
        """``PKG``, ``COR``, ``SRC``, ``MOD``, ``SIM``, ``VIE`` or ``HTTP``."""
        return self.id.split("-")[1]


@cache
def catalogue() -> Mapping[str, Requirement]:
    """Every requirement by id, planned ones among them, in the order of work."""
    found: dict[str, Requirement] = {}
    for name in FILES:
        text = (files("ldt_conformance") / "catalogue" / f"{name}.yaml").read_text(encoding="utf-8")
        for item in yaml.safe_load(text) or []:
            requirement = Requirement.model_validate(item)
            if requirement.id in found:
                raise ValueError(f"{requirement.id} stands twice in the catalogue")
            found[requirement.id] = requirement
    return found


def released() -> dict[str, Requirement]:
    return {i: r for i, r in catalogue().items() if r.status == "released"}


def export() -> dict[str, Any]:
    """The released catalogue as one JSON object, with its digest (sha256 of the canonical JSON of the requirements)."""
    requirements = [r.model_dump(mode="json", exclude={"status"}) for r in released().values()]
    canonical = json.dumps(requirements, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    return {"release": RELEASE, "sha256": digest, "requirements": requirements}


def profile(
    kind: str | None, level: int, claims: Iterable[str], door: Door, *, service: bool = False
) -> list[tuple[Requirement, str]]:
    """What a component of ``kind`` owes at ``level`` (the package, where ``kind`` is None; a service that does not say
    what it is, where it is empty), with the reason why a requirement does not apply, or an empty text. Only claims and the door decide, never what a component looks like."""
    claims = set(claims)
    owed = []
    for requirement in released().values():
        if requirement.level == "A" or requirement.level > level:
            continue
        area = requirement.area
        if kind is None:
            wanted = area == "PKG"
        elif not kind:
            wanted = service and area == "HTTP"
        else:
            wanted = area == "COR" or KINDS.get(area) == kind or (service and area == "HTTP")
        if not wanted:
            continue
        reason = ""
        if requirement.capability is not None and requirement.capability not in claims:
            reason = f"not claimed: {requirement.capability}"
        elif door not in requirement.doors:
            services = requirement.doors == ("http",)
            reason = "holds for services only" if services else f"cannot be seen by this way in ({door})"
        owed.append((requirement, reason))
    return owed
