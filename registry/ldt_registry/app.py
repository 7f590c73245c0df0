"""The web application: routes of ``web``, problems as documents, health."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from .checkers import Checkers
from .listing import Listing
from .oidc import Keys
from .problems import MEDIA_TYPE, Malformed, Problem
from .readme import Readmes
from .registry import Registry
from .shelf import Shelf
from .web import account, api_v1, files, health, legacy, login, oidc, openapi, pages
from .web.bounds import Bounded
from .web.simple import SimpleIndex


class Application(FastAPI):
    """Pages of the index, which are asked for more than all else, do not pass through the framework's layers."""

    index: SimpleIndex

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/simple/"):
            await super().__call__(scope, receive, send)
            return
        try:
            await self.index(scope, receive, send)
        except Problem as problem:
            await answer(problem)(scope, receive, send)


def create_app(registry: Registry, checkers: Checkers | None = None) -> FastAPI:
    """The application of one registry; routes find it as ``request.app.state.registry``."""
    listing = Listing(registry)
    checking = checkers or Checkers()

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        yield
        listing.close()
        app.state.readmes.close()
        if checkers is None:
            checking.close()

    app = Application(
        title=registry.settings.title,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,  # it would make an address from the request
        lifespan=life,
    )
    app.state.registry = registry
    app.state.shelf = Shelf(listing)
    app.state.checkers = checking
    app.state.readmes = Readmes()
    app.state.keys = Keys(registry)
    for routes in (health, legacy, files, account, login, oidc, api_v1, openapi, pages):
        app.include_router(routes.router)
    app.index = SimpleIndex(app.state.shelf, registry.settings.public_url)
    app.router.routes += [Route("/simple", app.index), Mount("/simple", app.index)]  # also under a root path
    app.add_middleware(Bounded)
    app.add_exception_handler(Problem, _tell_problem)
    app.add_exception_handler(HTTPException, _tell_http)
    app.add_exception_handler(RequestValidationError, _tell_malformed)
    app.add_exception_handler(Exception, _tell_fault)
    return app


def answer(problem: Problem) -> JSONResponse:
    """The problem document as an answer."""
    return JSONResponse(problem.as_document(), problem.status, problem.headers, MEDIA_TYPE)


async def _tell_problem(_: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, Problem)
    return answer(exc)


async def _tell_http(_: Request, exc: Exception) -> JSONResponse:
    """What the framework raises: no such route, no such method."""
    assert isinstance(exc, HTTPException)
    document = {"type": "about:blank", "title": exc.detail, "status": exc.status_code, "detail": exc.detail}
    return JSONResponse(document, exc.status_code, exc.headers, MEDIA_TYPE)


async def _tell_malformed(_: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, RequestValidationError)
    wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in exc.errors())
    return answer(Malformed(wrong, fix="Correct these and send it again."))


async def _tell_fault(_: Request, exc: Exception) -> JSONResponse:
    """What nobody foresaw. The server logs it; the client learns nothing of the inside."""
    return answer(Problem("the registry failed; its log says why"))
