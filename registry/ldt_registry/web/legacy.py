"""``POST /legacy/``: how twine, uv, hatch, flit and poetry upload."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from ..blobs import Staged
from ..multipart import Form, FormReader, Limits, paced
from ..problems import Malformed, Problem, TooSlow
from ..registry import Registry
from ..upload import admit, publish
from .network import network_of

router = APIRouter()
BLOCK = 2**20  # what is hashed and written at once, off the event loop
DRAINED = 64 * 2**20


@router.post("/legacy")
async def redirect_to_slash(request: Request) -> Response:
    """The address without its slash: clients need an absolute one to go on with, and made from no header of theirs."""
    registry: Registry = request.app.state.registry
    return RedirectResponse(f"{registry.settings.base_url}/legacy/", 308)


@router.post("/legacy/")
async def upload(request: Request) -> Response:
    """Receive, check and publish one file. 200 also where these very bytes are published already."""
    registry: Registry = request.app.state.registry
    body = request.stream()
    try:
        header = request.headers.get("authorization")
        identity = await run_in_threadpool(admit, registry, header, _length(request), network_of(request))
        with await run_in_threadpool(registry.blobs.stage) as staged:
            form = await _receive(registry, request.headers.get("content-type"), body, staged)
            done = await run_in_threadpool(
                publish, registry, request.app.state.checkers, identity, form, staged
            )
    except ClientDisconnect:
        raise Malformed("The connection ended before the upload did.") from None
    except Problem as problem:
        waits = isinstance(problem, TooSlow) or "expect" in request.headers  # it sends nothing now
        if waits or not await _drain(body):
            problem.headers.setdefault("Connection", "close")
        raise
    return PlainTextResponse(f"{'published' if done.new else 'already published'}: {done.filename}\n")


def _length(request: Request) -> int | None:
    said = request.headers.get("content-length", "")
    return int(said) if said.isdecimal() else None


async def _receive(
    registry: Registry, content_type: str | None, body: AsyncIterator[bytes], staged: Staged
) -> Form:
    settings = registry.settings
    limits = Limits(part=settings.max_field, file=settings.max_file, fields=settings.max_fields)
    held = bytearray()
    reader = FormReader(content_type, held.extend, limits)
    async for piece in paced(body, seconds=settings.upload_seconds, rate=settings.slowest_rate):
        reader.feed(piece)
        if len(held) >= BLOCK:
            await run_in_threadpool(staged.write, bytes(held))
            held.clear()
    form = reader.finish()
    await run_in_threadpool(staged.write, bytes(held))
    return form


async def _drain(body: AsyncIterator[bytes], seconds: float = 2.0) -> bool:
    """Read what is still coming, for a while: a client that is cut off while sending misses the answer."""
    left = DRAINED
    try:
        async with asyncio.timeout(seconds):
            async for piece in body:
                left -= len(piece)
                if left < 0:
                    return False
    except (TimeoutError, ClientDisconnect):
        return False
    return True
