"""``/api/v1``: what is published, for programs to search and read. Nothing here asks who somebody is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, create_model

from .. import details
from ..compare import MOST, compare, find_similar
from ..components import Id
from ..facets import FACETS
from ..fits import fit, read_twin
from ..names import normalise
from ..registry import Registry
from ..search import Found, search
from . import answers
from .paging import make_cursor, read_cursor

router = APIRouter(prefix="/api/v1", tags=["catalogue"])
HOW: tuple[answers.How, ...] = ("name", "beginning", "spelling", "all words", "any word")
LONGEST_TWIN = 2**16


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")

    q: str = Field(
        "", max_length=2000, description="what to search for; without it everything, certified first"
    )
    limit: int = Field(20, ge=1, le=100, description="hits on a page")
    cursor: str = Field("", max_length=100, description="`next` of the page before")


_facets: dict[str, Any] = {
    name.replace("-", "_"): (
        list[Annotated[str, Field(max_length=500)]],
        Field([], alias=name, max_length=50, description=f"{about}; several are alternatives"),
    )
    for name, about in FACETS.items()
}
Asked = create_model("Asked", __base__=_Asked, **_facets)


class Twin(BaseModel):
    """The text of a twin file, of its lock, or of both, and the components in question."""

    model_config = ConfigDict(extra="forbid")

    components: list[Id] = Field(min_length=1, max_length=20)
    twin: str = Field("", max_length=LONGEST_TWIN, description="twin.yaml")
    lock: str = Field("", max_length=LONGEST_TWIN * 16, description="twin.lock")


def _registry(request: Request) -> Registry:
    found: Registry = request.app.state.registry
    return found


Here = Annotated[Registry, Depends(_registry)]
Of = Annotated[Id, Path(description="id of a component")]
Name = Annotated[str, Path(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,200}[A-Za-z0-9])?$")]
Release = Annotated[str, Path(pattern=r"^[A-Za-z0-9.!+_-]{1,100}$")]
Filename = Annotated[str, Path(pattern=r"^[A-Za-z0-9._!+-]{1,300}\.whl$")]


@router.get("/components")
def find_components(registry: Here, asked: Annotated[Asked, Query()]) -> answers.Hits:
    """Search: an exact name first, then beginnings, spellings, words; certified before not."""
    said = asked.model_dump(by_alias=True)
    filters = {name: said[name] for name in FACETS if said[name]}
    offset = read_cursor(said["cursor"], said["q"], filters)
    with registry.database.read() as connection:
        found = search(connection, said["q"], filters, offset=offset, limit=said["limit"])
        hits = describe(connection, found)
    until = offset + len(hits)
    more = make_cursor(said["q"], filters, until) if hits and until < found.total else None
    return answers.Hits(total=found.total, hits=hits, facets=found.facets, next=more)


def describe(connection: sa.Connection, found: Found) -> list[answers.Hit]:
    """Hits with the words that a person reads."""
    texts = details.read_headlines(connection, {h.id: h.version for h in found.hits})
    return [
        answers.Hit.model_validate(
            {
                "id": h.id,
                "title": texts[h.id][0],
                "summary": texts[h.id][1],
                "kind": h.kind,
                "artifact": h.artifact,
                "version": h.version,
                "level": h.level,
                "found_by": HOW[h.stage],
                "facets": {name: list(values) for name, values in h.facets.items()},
            }
        )
        for h in found.hits
    ]


@router.get("/components/{component_id}")
def read_component(registry: Here, component_id: Of) -> answers.Component:
    """A component by its newest version that is not yanked, with all its versions."""
    with registry.database.read() as connection:
        found = details.read_component(connection, component_id)
    shown = found.pop("shown")
    return answers.Component(
        **_lists(registry, found),
        version=shown["version"],
        licence=shown["licence"],
        manifest=shown["manifest"],
        about=shown["about"],
        requires=shown["requires"],
    )


@router.get("/components/{component_id}/similar")
def read_similar(registry: Here, component_id: Of) -> list[answers.Alike]:
    """Components that give or need the same, the most alike first."""
    with registry.database.read() as connection:
        details.read_component(connection, component_id)
        found = find_similar(connection, component_id)
    return [answers.Alike(id=i, score=score) for i, score in found]


@router.get("/compare")
def read_comparison(
    registry: Here, id: Annotated[list[Id], Query(min_length=2, max_length=MOST)]
) -> answers.Comparison:
    """Two to six components side by side, by their newest versions."""
    with registry.database.read() as connection:
        lines = compare(connection, id)
    return answers.Comparison(
        components=id,
        lines=[answers.Line(name=line.name, values=list(line.values), same=line.same) for line in lines],
    )


@router.post("/fits")
def judge_fit(registry: Here, asked: Twin) -> list[answers.Fit]:
    """Whether components fit a twin, told from its file or its lock; neither is run or kept."""
    with registry.database.read() as connection:
        twin = read_twin(connection, asked.twin.encode(), asked.lock.encode())
        found = [fit(connection, twin, i) for i in asked.components]
    return [
        answers.Fit(
            id=f.id,
            version=f.version,
            verdict=f.verdict,
            gaps=[answers.Gap(what=g.what, fix=g.fix, hard=g.hard) for g in f.gaps],
        )
        for f in found
    ]


@router.get("/projects/{name}")
def read_project(registry: Here, name: Name) -> answers.Project:
    """A project and its releases, newest first; a quarantined one shows none."""
    with registry.database.read() as connection:
        found = details.read_project(connection, normalise(name))
    found["name"] = found.pop("norm_name")
    return answers.Project(**_lists(registry, found))


@router.get("/projects/{name}/releases/{version}")
def read_release(registry: Here, name: Name, version: Release) -> answers.Release:
    """A release with its files."""
    with registry.database.read() as connection:
        found = details.read_release(connection, normalise(name), version)
    return answers.Release(**_lists(registry, found))


@router.get(
    "/files/{filename}/sbom",
    response_class=Response,
    responses={200: {"content": {"application/json": {}, "application/vnd.cyclonedx+json": {}}}},
)
def read_sbom(registry: Here, filename: Filename) -> Response:
    """The bill of materials of a wheel: the one that it brings, else one of what its metadata declare."""
    content, origin, kind = details.read_bill(registry, filename)
    headers = {
        "Content-Disposition": f'attachment; filename="{filename}.cdx.json"',
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "X-Content-Type-Options": "nosniff",
        "X-Sbom-Origin": origin,
    }
    return Response(content, headers=headers, media_type=kind)


def _lists(registry: Registry, found: Mapping[str, Any]) -> dict[str, Any]:
    """The lists in what was read, as the answers have them."""
    shapes: dict[str, type[answers.Answer]] = {
        "files": answers.File,
        "certificates": answers.Certificate,
        "advisories": answers.Advisory,
        "versions": answers.Version,
        "releases": answers.Version,
    }
    made = dict(found)
    for name in shapes.keys() & found.keys():
        shape = shapes[name]
        made[name] = [
            shape(**{k: v for k, v in _with_url(registry, one).items() if k in shape.model_fields})
            for one in found[name]
        ]
    return made


def _with_url(registry: Registry, one: Mapping[str, Any]) -> dict[str, Any]:
    return {**one, "url": f"{registry.settings.base_url}{one['path']}"} if "path" in one else dict(one)
