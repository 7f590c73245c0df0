"""What a person reads of a registry: search, component, comparison, fit. Plain pages; no script is needed or sent."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from importlib.resources import files
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from .. import details
from ..compare import compare, find_similar
from ..facets import FACETS
from ..fits import Fit, fit, read_twin
from ..problems import Malformed, Missing, Problem
from ..registry import Registry
from ..search import MOST, search
from .api_v1 import describe
from .paging import make_cursor, read_cursor
from .rendering import HEADERS, is_address, render
from .signed_in import form_of

MANY = 12
"""Values of a facet that are offered, the most frequent first, and all that are chosen."""
ON_A_PAGE = 20


class PageRoute(APIRoute):
    """A problem is a page, too."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def show(request: Request) -> Response:
            try:
                return await handle(request)
            except Problem as exc:
                return _page(
                    request, "problem.html", title=exc.title, status=exc.status, what=exc.what, fix=exc.fix
                )
            except RequestValidationError:
                return _page(
                    request,
                    "problem.html",
                    title=Malformed.title,
                    status=400,
                    what="This address cannot be read.",
                    fix="",
                )

        return show


router = APIRouter(include_in_schema=False, route_class=PageRoute)


def _page(request: Request, template: str, **said: Any) -> Response:
    registry: Registry = request.app.state.registry
    return render(template, private=False, registry=registry.settings.title, problem="", **said)


@router.get("/")
def show_search(request: Request) -> Response:
    """The front page, and what was found."""
    registry: Registry = request.app.state.registry
    asked = request.query_params
    query = asked.get("q", "")[:2000]
    filters = {name: list(dict.fromkeys(v for v in asked.getlist(name) if v))[:50] for name in FACETS}
    filters = {name: values for name, values in filters.items() if values}
    offset = read_cursor(asked.get("cursor", ""), query, filters)
    with registry.database.read() as connection:
        found = search(connection, query, filters, offset=offset, limit=ON_A_PAGE)
        hits = describe(connection, found)
    until = offset + len(hits)
    pairs = [("q", query), *((n, v) for n, values in filters.items() for v in values)]
    more = None
    if hits and until < found.total:
        more = "/?" + urlencode([*pairs, ("cursor", make_cursor(query, filters, until))])
    offered = {}
    for name, about in FACETS.items():
        counted = dict(list(found.facets.get(name, {}).items())[:MANY])
        counted |= {v: found.facets.get(name, {}).get(v, 0) for v in filters.get(name, ())}
        if counted:
            offered[name] = (about, counted)
    return _page(
        request, "search.html", title="Find a component", query=query, hits=hits, total=found.total, most=MOST, start=offset + 1,
        more=more, offered=offered, chosen=filters, first=not pairs[1:] and not query,
    )  # fmt: skip


@router.get("/components/{component_id}")
def show_component(request: Request, component_id: str) -> Response:
    """One component: what it needs and gives, its versions, its bytes, how it is installed, what its publisher writes."""
    registry: Registry = request.app.state.registry
    with registry.database.read() as connection:
        found = details.read_component(connection, _known(component_id))
        shown = found["shown"]
        alike = find_similar(connection, component_id)
        said = details.Words()
        if found["project"]:
            said = details.read_words(connection, found["project"], shown["version"])
    wheels = [f for f in found["files"] if f["filetype"] == "bdist_wheel"]
    return _page(
        request, "component.html", title=shown["manifest"]["title"], component=found, shown=shown, manifest=shown["manifest"],
        about=shown["about"], alike=alike, wheels=wheels, index=f"{registry.settings.base_url}/simple/",
        readme=Markup(request.app.state.readmes.render(said.text, said.kind)),
        summary=shown["summary"], links={n: url for n, url in said.links.items() if is_address(url)},
    )  # fmt: skip


@router.get("/compare")
def show_comparison(request: Request) -> Response:
    registry: Registry = request.app.state.registry
    ids = request.query_params.getlist("id")
    with registry.database.read() as connection:
        lines = compare(connection, [_known(i) for i in ids])
    return _page(request, "compare.html", title="Components side by side", ids=ids, lines=lines)


@router.get("/fits")
def ask_fit(request: Request) -> Response:
    wanted = request.query_params.get("components", "")
    return _page(request, "fits.html", title="Does it fit my twin?", wanted=wanted[:500], twin="", found=None)


@router.post("/fits")
async def show_fit(request: Request) -> Response:
    """What is sent is read and forgotten."""
    form = await form_of(request)
    ids = list(dict.fromkeys(form.one("components").split()))[:20]
    if not ids:
        raise Malformed("No component is named.", fix="Write its id.")
    found = await run_in_threadpool(_judge, request.app.state.registry, ids, form.one("twin"))
    return _page(
        request,
        "fits.html",
        title="Does it fit my twin?",
        wanted=" ".join(ids),
        twin=form.one("twin"),
        found=found,
    )


def _judge(registry: Registry, ids: list[str], twin: str) -> list[Fit]:
    with registry.database.read() as connection:
        read = read_twin(connection, twin.encode())
        return [fit(connection, read, _known(i)) for i in ids]


@router.get("/static/style.css")
def style() -> Response:
    content = files(__package__).joinpath("static", "style.css").read_bytes()
    return Response(
        content, media_type="text/css", headers=HEADERS | {"Cache-Control": "public, max-age=300"}
    )


def _known(component_id: str) -> str:
    """An id as the database may be asked for. Raises Missing for what can be none."""
    if not component_id.isascii() or not component_id.replace("-", "a").isalnum():
        raise Missing(
            f"There is no component {component_id[:100]!a}.", code="no-component", fix="Search for it."
        )
    return component_id
