"""Pages: JSON and HTML say the same; each form has a tag of its own; the client gets the type it asks for."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta, timezone
from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote, urljoin

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ldt_registry.index import (
    HTML,
    JSON,
    PLAIN,
    Entry,
    Page,
    Rendered,
    Root,
    as_html,
    as_json,
    choose,
    matches,
    takes_gzip,
)

PAGE_URL = "https://registry.example/simple/heat-load/"
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30)
DIGEST = st.text("0123456789abcdef", min_size=64, max_size=64)
ENTRIES = st.builds(
    Entry,
    filename=TEXT.filter(lambda t: t.strip(".") and "/" not in t),
    version=TEXT,
    sha256=DIGEST,
    size=st.integers(0, 2**40),
    uploaded=st.datetimes(
        datetime(2000, 1, 1), timezones=st.sampled_from([UTC, timezone(timedelta(hours=2))])
    ),
    requires_python=st.none() | TEXT,
    metadata_sha256=st.none() | DIGEST,
    yanked=st.none() | TEXT,
)
PAGES = st.builds(
    Page,
    name=st.just("heat-load"),
    serial=st.integers(1, 2**40),
    status=st.sampled_from(["active", "archived", "deprecated", "quarantined"]),
    reason=st.none() | TEXT,
    entries=st.lists(ENTRIES, max_size=4).map(tuple),
    versions=st.lists(TEXT, max_size=4).map(tuple),
)


class Reader(HTMLParser):
    """What a client reads of an HTML page."""

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self.metas: dict[str, str | None] = {}
        self.links: list[tuple[str, dict[str, str | None]]] = []
        self.open: dict[str, str | None] | None = None
        self.feed(body.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "meta" and found.get("name"):
            self.metas[str(found["name"])] = found["content"]
        assert tag in {"html", "head", "meta", "title", "body", "h1", "a", "br"}, f"{tag} came from somewhere"
        self.open = found if tag == "a" else None

    def handle_data(self, data: str) -> None:
        if self.open is not None:
            self.links.append((data, self.open))
            self.open = None


@given(PAGES)
def test_both_forms_say_the_same_and_what_the_page_says(page: Page) -> None:
    told: dict[str, Any] = json.loads(as_json(page))
    read = Reader(as_html(page))
    assert told["meta"] == {"api-version": "1.4", "_last-serial": page.serial}
    assert read.metas["pypi:repository-version"] == "1.4"
    assert read.metas["pypi:project-status"] == told["project-status"]["status"] == page.status
    assert read.metas.get("pypi:project-status-reason") == told["project-status"].get("reason") == page.reason
    assert told["versions"] == list(page.versions)
    assert len(told["files"]) == len(read.links) == len(page.entries)
    for entry, file, (text, link) in zip(page.entries, told["files"], read.links, strict=True):
        assert file["filename"] == text == entry.filename
        url, _, fragment = str(link["href"]).partition("#")
        absolute = urljoin(PAGE_URL, file["url"])
        assert urljoin(PAGE_URL, url) == absolute
        assert unquote(absolute) == (
            f"https://registry.example/files/{entry.sha256[:2]}/{entry.sha256}/{entry.filename}"
        )
        assert file["hashes"] == {"sha256": entry.sha256}
        assert fragment == f"sha256={entry.sha256}"
        assert file["size"] == entry.size
        assert datetime.fromisoformat(file["upload-time"]) == entry.uploaded
        assert file["upload-time"].endswith("Z")
        assert file.get("requires-python") == link.get("data-requires-python") == entry.requires_python
        for key in ("core-metadata", "data-dist-info-metadata"):
            said = entry.metadata_sha256
            assert file[key] == ({"sha256": said} if said else False)
            assert link.get(key if key.startswith("data") else f"data-{key}") == (
                f"sha256={said}" if said else None
            )
        assert file["yanked"] == (False if entry.yanked is None else entry.yanked)
        assert link.get("data-yanked") == entry.yanked


def test_the_root_lists_every_project_in_both_forms() -> None:
    root = Root(7, (("air", 3), ("heat-load", 7)))
    told = json.loads(as_json(root))
    assert told["meta"] == {"api-version": "1.4", "_last-serial": 7}
    assert told["projects"] == [{"name": "air", "_last-serial": 3}, {"name": "heat-load", "_last-serial": 7}]
    assert [(t, a["href"]) for t, a in Reader(as_html(root)).links] == [
        ("air", "air/"),
        ("heat-load", "heat-load/"),
    ]


def test_each_form_has_its_own_strong_tag_and_a_compressed_form_holds_the_same_bytes() -> None:
    rendered = Rendered(Page("a", 4))
    forms = {(k, c): rendered.form(k, c) for k in (JSON, HTML, PLAIN) for c in (False, True)}
    assert len({f.etag for f in forms.values()}) == 6
    for (kind, compressed), form in forms.items():
        headers = dict(form.headers)
        plain = rendered.form(kind, False).body
        assert (gzip.decompress(form.body) if compressed else form.body) == plain
        assert headers.get(b"content-encoding") == (b"gzip" if compressed else None)
        assert headers[b"content-length"] == str(len(form.body)).encode()
        assert headers[b"vary"] == b"Accept, Accept-Encoding"
        assert headers[b"x-pypi-last-serial"] == b"4"
        assert not form.etag.startswith(b"W/")
        assert Rendered(Page("a", 4)).form(kind, compressed) == form, "the same page has the same tag"
    assert Rendered(Page("a", 5)).form(JSON, False).etag != rendered.form(JSON, False).etag
    assert dict(Rendered(Page("a", 4), private=True).form(JSON, False).headers)[b"cache-control"].startswith(
        b"private"
    )


PIP = f"{JSON}, {HTML}; q=0.1, text/html; q=0.01"
UV = f"{JSON}, {HTML};q=0.2, text/html;q=0.01"


@pytest.mark.parametrize(
    ("accept", "answer"),
    [
        (PIP, JSON),
        (UV, JSON),
        ("application/vnd.pypi.simple.latest+json", JSON),
        (HTML, HTML),
        (f"{JSON};q=0.2, {HTML};q=0.3", HTML),
        (f"{JSON};q=0, text/html", PLAIN),
        ("text/html,application/xhtml+xml,*/*;q=0.8", PLAIN),
        ("", PLAIN),
        ("*/*", PLAIN),
        ("application/json", PLAIN),
        ("application/vnd.pypi.simple.v2+json", PLAIN),
        (f"{JSON};q=nonsense", PLAIN),
        (f"{JSON}, {PLAIN}", JSON),
    ],
)
def test_the_client_gets_the_type_it_weighs_highest(accept: str, answer: str) -> None:
    assert choose(accept) == answer


@pytest.mark.parametrize(
    ("accept", "answer"),
    [
        ("gzip, deflate", True),
        ("br;q=1, gzip;q=0.5", True),
        ("gzip;q=0", False),
        ("identity", False),
        ("", False),
        ("*", True),
    ],
)
def test_compression_is_used_where_the_client_takes_it(accept: str, answer: bool) -> None:
    assert takes_gzip(accept) is answer


def test_a_tag_matches_in_a_list_weakly_and_as_a_star() -> None:
    assert matches('"a", W/"b"', b'"b"')
    assert matches("*", b'"b"')
    assert not matches('"a"', b'"b"')


@given(st.text(max_size=60))
def test_no_accept_header_breaks_the_choice(text: str) -> None:
    assert choose(text) in (JSON, HTML, PLAIN)
    assert takes_gzip(text) in (True, False)
    assert matches(text, b'"x"') in (True, False)
