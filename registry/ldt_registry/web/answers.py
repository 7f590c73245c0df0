"""What ``/api/v1`` answers, member by member: nothing is said that stands not here."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..components import Kind


class Answer(BaseModel):
    """Strict: a member that is wrong or unknown is a fault of ours, and found by the first test that meets it."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


Artifact = Literal["wheel", "service", "image", "weights", "dataset"]
State = Literal["published", "yanked"]
Status = Literal["active", "archived", "quarantined", "deprecated"]
Level = Literal[0, 1, 2, 3]
How = Literal["name", "beginning", "spelling", "all words", "any word"]


class Hit(Answer):
    id: str
    title: str
    summary: str
    kind: Kind
    artifact: Artifact
    version: str
    level: Level = Field(description="of the certificate that stands; 0 where none does")
    found_by: How
    facets: dict[str, list[str]]


class Hits(Answer):
    """A page of hits. ``next`` is the cursor of the next page, null on the last. ``facets`` count all hits."""

    total: int = Field(description="how many were found, 500 at most")
    hits: list[Hit]
    facets: dict[str, dict[str, int]]
    next: str | None


class Certificate(Answer):
    id: str
    subject: str = Field(description="SHA-256 of the bytes that it speaks of")
    level: Literal[1, 2, 3]
    catalogue: str
    issued: datetime
    not_after: datetime
    state: Literal["good", "suspended", "revoked", "superseded", "expired"]
    reason: str


class Advisory(Answer):
    id: str
    summary: str
    exploited: bool
    modified: datetime


class File(Answer):
    filename: str
    filetype: Literal["bdist_wheel", "sdist"]
    sha256: str
    size: int = Field(description="in bytes")
    uploaded_at: datetime
    requires_python: str | None
    url: str
    sbom: Literal["kept", "declared"] | None = Field(
        description="where its bill comes from: the wheel itself, or its metadata; only a wheel has one"
    )


class Version(Answer):
    version: str
    state: State
    yank_code: str | None
    yank_text: str | None
    published_at: datetime
    summary: str | None
    requires_python: str | None


class Component(Answer):
    """A component. ``manifest`` is its part of component.json; ``about`` what its publisher says beyond that."""

    id: str
    kind: Kind
    artifact: Artifact
    project: str | None
    status: Status
    reason: str | None
    version: str
    licence: str | None
    manifest: dict[str, Any]
    about: dict[str, Any]
    requires: list[str]
    files: list[File]
    certificates: list[Certificate]
    advisories: list[Advisory]
    versions: list[Version]


class Project(Answer):
    name: str
    status: Status
    reason: str | None
    replaced_by: str | None
    serial: int
    components: list[str]
    releases: list[Version]
    advisories: list[Advisory]


class Release(Version):
    project: str
    components: list[str]
    licence: str | None
    requires: list[str]
    links: dict[str, str]
    files: list[File]


class Line(Answer):
    """One thing that is compared: a value for each component, in their order."""

    name: str
    values: list[Any]
    same: bool


class Comparison(Answer):
    components: list[str]
    lines: list[Line]


class Alike(Answer):
    id: str
    score: float = Field(description="above 0; the higher the more they share")


class Gap(Answer):
    what: str
    fix: str
    hard: bool = Field(description="no change of the twin alone helps")


class Fit(Answer):
    id: str
    version: str
    verdict: Literal["fits", "fits with changes", "does not fit"]
    gaps: list[Gap]


class ProblemDocument(BaseModel):
    """RFC 9457: what went wrong, and as ``fix`` how to mend it."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    fix: str = ""
