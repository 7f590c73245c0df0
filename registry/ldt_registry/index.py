"""The pages that installers read: one model of a page, rendered as JSON and as HTML.

JSON is the simple repository API 1.4 (PEP 691, 700, 714, 592, 792), HTML the same version, which is the last
that HTML has (PEP 833). A page is rendered once in every form; a form carries its headers and a strong ETag.
"""

from __future__ import annotations

import gzip
import hashlib
import html
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote

API_VERSION = "1.4"
JSON = "application/vnd.pypi.simple.v1+json"
HTML = "application/vnd.pypi.simple.v1+html"
PLAIN = "text/html"
# What each accepted type is answered with; a wildcard and anything unknown get HTML, for people.
_ANSWERS = {
    JSON: JSON,
    "application/vnd.pypi.simple.latest+json": JSON,
    HTML: HTML,
    "application/vnd.pypi.simple.latest+html": HTML,
    PLAIN: PLAIN,
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One file. ``yanked`` is the reason, None where it is not yanked; ``size`` in bytes, ``uploaded`` with zone."""

    filename: str
    version: str
    sha256: str
    size: int
    uploaded: datetime
    requires_python: str | None = None
    metadata_sha256: str | None = None
    yanked: str | None = None
    downloaded: bool = False

    @property
    def path(self) -> str:
        """Where the file stands under the registry's root; bound to the bytes."""
        return f"files/{self.sha256[:2]}/{self.sha256}/{quote(self.filename, safe='')}"


@dataclass(frozen=True, slots=True)
class Page:
    """One project. ``entries`` and ``versions`` are in order of version; empty while quarantined."""

    name: str
    serial: int
    status: str = "active"
    reason: str | None = None
    entries: tuple[Entry, ...] = ()
    versions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Root:
    """All projects: (normalised name, serial), and the serial of the whole index."""

    serial: int
    projects: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Form:
    """A page in one type and encoding, ready to be sent: ASGI headers and body."""

    etag: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


class Rendered:
    """A page or the root in every form; each is made when first asked for."""

    def __init__(self, page: Page | Root, *, private: bool = False) -> None:
        self.page = page
        self.files = {e.filename: e for e in page.entries} if isinstance(page, Page) else {}
        self._private = private
        self._forms: dict[tuple[str, bool], Form] = {}

    def form(self, kind: str, compressed: bool) -> Form:
        found = self._forms.get((kind, compressed))
        if found is None:
            found = self._forms[kind, compressed] = self._make(kind, compressed)
        return found

    @property
    def size(self) -> int:
        """Bytes held with every form made, from above: what a cache must count."""
        page = self.page
        return 1024 + (300 * len(page.projects) if isinstance(page, Root) else 2500 * len(page.entries))

    def _make(self, kind: str, compressed: bool) -> Form:
        body = (as_json if kind == JSON else as_html)(self.page)
        # The type is part of the tag: two forms with the same bytes are still two representations.
        tag = hashlib.sha256(kind.encode() + b"\n" + body).hexdigest()[:32] + ("-gzip" if compressed else "")
        if compressed:
            body = gzip.compress(body, 6, mtime=0)
        etag = f'"{tag}"'.encode()
        headers = [
            (b"content-type", kind.encode() + (b"" if kind == JSON else b"; charset=utf-8")),
            (b"content-length", str(len(body)).encode()),
            (b"etag", etag),
            (b"vary", b"Accept, Accept-Encoding" + (b", Authorization" if self._private else b"")),
            (b"cache-control", b"private, max-age=0" if self._private else b"max-age=0"),
            (b"x-pypi-last-serial", str(self.page.serial).encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
        ]
        if compressed:
            headers.append((b"content-encoding", b"gzip"))
        return Form(etag, tuple(headers), body)


def as_json(page: Page | Root) -> bytes:
    meta = {"api-version": API_VERSION, "_last-serial": page.serial}
    answer: dict[str, Any]
    if isinstance(page, Root):
        answer = {"meta": meta, "projects": [{"name": n, "_last-serial": s} for n, s in page.projects]}
    else:
        status = {"status": page.status} | ({"reason": page.reason} if page.reason else {})
        answer = {
            "meta": meta,
            "name": page.name,
            "project-status": status,
            "versions": list(page.versions),
            "files": [_file(e) for e in page.entries],
        }
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()


def _file(entry: Entry) -> dict[str, Any]:
    metadata = {"sha256": entry.metadata_sha256} if entry.metadata_sha256 else False
    found: dict[str, Any] = {
        "filename": entry.filename,
        "url": f"../../{entry.path}",
        "hashes": {"sha256": entry.sha256},
        "size": entry.size,
        "upload-time": entry.uploaded.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "yanked": entry.yanked if entry.yanked is not None else False,
        "core-metadata": metadata,
        "data-dist-info-metadata": metadata,  # what PEP 714 renamed; older clients read this one
    }
    if entry.requires_python:
        found["requires-python"] = entry.requires_python
    return found


def as_html(page: Page | Root) -> bytes:
    title = "Projects" if isinstance(page, Root) else f"Files of {page.name}"
    metas = {"pypi:repository-version": API_VERSION}
    links: list[tuple[str, str, dict[str, str]]]
    if isinstance(page, Root):
        links = [(f"{n}/", n, {}) for n, _ in page.projects]
    else:
        metas["pypi:project-status"] = page.status
        if page.reason:
            metas["pypi:project-status-reason"] = page.reason
        links = [(f"../../{e.path}#sha256={e.sha256}", e.filename, _data(e)) for e in page.entries]
    lines = ["<!DOCTYPE html>", '<html lang="en"><head><meta charset="utf-8">']
    lines += [f'<meta name="{k}" content="{html.escape(v)}">' for k, v in metas.items()]
    lines += [f"<title>{html.escape(title)}</title></head><body><h1>{html.escape(title)}</h1>"]
    for href, text, data in links:
        extra = "".join(f' {k}="{html.escape(v)}"' for k, v in data.items())
        lines.append(f'<a href="{html.escape(href)}"{extra}>{html.escape(text)}</a><br>')
    return ("\n".join(lines) + "\n</body></html>\n").encode()


def _data(entry: Entry) -> dict[str, str]:
    data = {}
    if entry.requires_python:
        data["data-requires-python"] = entry.requires_python
    if entry.metadata_sha256:
        data["data-core-metadata"] = data["data-dist-info-metadata"] = f"sha256={entry.metadata_sha256}"
    if entry.yanked is not None:
        data["data-yanked"] = entry.yanked
    return data


@lru_cache(512)
def choose(accept: str) -> str:
    """The type to answer with, by the client's ``Accept``: its highest weight, the first named among equals."""
    best, weight = PLAIN, 0.0
    for word in accept.split(","):
        name, *options = (p.strip().lower() for p in word.split(";"))
        answer = _ANSWERS.get(name)
        if answer is not None and (found := _weight(options)) > weight:
            best, weight = answer, found
    return best


@lru_cache(512)
def takes_gzip(accept_encoding: str) -> bool:
    for word in accept_encoding.split(","):
        name, *options = (p.strip().lower() for p in word.split(";"))
        if name in ("gzip", "*"):
            return _weight(options) > 0
    return False


def _weight(options: Iterable[str]) -> float:
    for option in options:
        key, _, value = option.partition("=")
        if key.strip() == "q":
            try:
                return min(max(float(value), 0.0), 1.0)
            except ValueError:
                return 0.0
    return 1.0


def matches(if_none_match: str, etag: bytes) -> bool:
    """Does the client hold this form already? ``W/`` is dropped, as If-None-Match compares weakly."""
    tags = [t.strip().removeprefix("W/") for t in if_none_match.split(",")]
    return "*" in tags or etag.decode() in tags
