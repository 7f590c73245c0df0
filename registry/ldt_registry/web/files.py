"""``/files/``: the bytes that pages link to, and beside each wheel its metadata.

Which files there are is what the pages say: one truth for both. A path is made from a digest, never from the request. The
bytes are somebody else's, on our origin: they are sent as a download that may run nothing, and never encoded, since
installers hash what they receive.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response, StreamingResponse
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool

from ..blobs import Blobs
from ..distribution import read_filename
from ..index import Entry
from ..problems import Down, Malformed, Missing
from ..registry import Registry
from ..releases import note_download
from ..shelf import Shelf

router = APIRouter()
SIDECAR = ".metadata"
OPAQUE = "application/octet-stream"
SMALL = 2**20  # read at once: opening, looking and reading apart are three waits for a thread


@router.api_route("/files/{head}/{sha256}/{filename}", methods=["GET", "HEAD"])
async def download(request: Request, head: str, sha256: str, filename: str) -> Response:
    """A file under its digest and name, or its metadata. Raises Missing where no page links to it."""
    registry: Registry = request.app.state.registry
    entry = await _find(request.app.state.shelf, filename.removesuffix(SIDECAR))
    if entry is None or entry.sha256 != sha256 or not sha256.startswith(head) or len(head) != 2:
        raise Missing(
            f"There is no file {filename!r} with this digest.", fix="Look at the page of the project."
        )
    whole = request.method == "GET" and "range" not in request.headers
    if filename.endswith(SIDECAR):
        if entry.metadata_sha256 is None:
            raise Missing(f"{entry.filename} has no metadata beside it.", fix="Read it from the file.")
        return await run_in_threadpool(_answer, registry.blobs, entry.metadata_sha256, filename, whole)
    response = await run_in_threadpool(_answer, registry.blobs, entry.sha256, filename, whole)
    if not entry.downloaded and request.method == "GET":
        response.background = BackgroundTask(note_download, registry, entry.filename)
    return response


async def _find(shelf: Shelf, filename: str) -> Entry | None:
    try:
        name = read_filename(filename).name
    except Malformed:
        return None
    page = await shelf.page(name)
    return page.files.get(filename) if page is not None else None


def _answer(blobs: Blobs, name: str, filename: str, whole: bool) -> Response:
    headers = {
        "ETag": f'"{name}"',
        "Cache-Control": "public, max-age=31536000, immutable",
        "Content-Disposition": f'attachment; filename="{filename}"',
        "Content-Security-Policy": "sandbox; default-src 'none'; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    size = blobs.size(name)
    if size is None:
        raise Down(
            "The storage does not have these bytes; the operator runs `ldt registry fsck`.",
            code="blob-missing",
        )
    path = blobs.path(name)
    if path is not None and whole and size <= SMALL:
        return Response(path.read_bytes(), headers=headers, media_type=OPAQUE)
    if path is not None:
        return FileResponse(path, headers=headers, media_type=OPAQUE)
    return StreamingResponse(
        blobs.read(name), headers=headers | {"Content-Length": str(size)}, media_type=OPAQUE
    )
