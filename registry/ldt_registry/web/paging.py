"""Cursors: where a search goes on. Opaque to whoever holds one, and of use only to the search that gave it.

Hits are ranked anew for each page, so what is published between two pages may move a hit over their border.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence

from ..problems import Malformed
from ..search import MOST

Filters = Mapping[str, Sequence[str]]


def make_cursor(query: str, filters: Filters, offset: int) -> str:
    plain = f"{offset}.{_mark(query, filters)}"
    return base64.urlsafe_b64encode(plain.encode()).decode().rstrip("=")


def read_cursor(cursor: str, query: str, filters: Filters) -> int:
    """The offset; 0 for none. Raises Malformed where this search did not give it."""
    if not cursor:
        return 0
    try:
        plain = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except (binascii.Error, ValueError):
        plain = ""
    offset, _, mark = plain.partition(".")
    known = offset.isdecimal() and len(offset) < 4 and mark == _mark(query, filters)
    if not known or not 0 < int(offset) <= MOST:
        raise Malformed(
            "This cursor was not given by this search.",
            code="bad-cursor",
            fix="Ask for the first page, and take `next` from each answer.",
        )
    return int(offset)


def _mark(query: str, filters: Filters) -> str:
    asked = json.dumps([query, sorted((k, sorted(v)) for k, v in filters.items() if v)])
    return hashlib.sha256(asked.encode("utf-8", "backslashreplace")).hexdigest()[:16]
