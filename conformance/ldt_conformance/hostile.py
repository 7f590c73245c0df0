"""What services break on: fixed requests, tried before anything is generated. All of them are well-formed HTTP; what is not
stands in ``checks/service_limits.py``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from .services import JSON, Request

LEAVES: dict[str, Any] = {
    "null": None,
    "an object": {},
    "a list": [],
    "a list of a list": [[]],
    "an empty text": "",
    "a text": "x",
    "NUL in a text": "a\0b",
    "half a character": "\ud800",
    "true": True,
    "minus one": -1,
    "zero": 0,
    "over 32 bits": 2**31,
    "over 53 bits": 2**53 + 1,
    "over 64 bits": 2**64,
    "very large": 1e308,
    "very small": 5e-324,
    "not whole": 0.5,
}
"""Put in the place of every value of a good request, one after the other."""

BODIES: dict[str, bytes] = {
    "nothing": b"",
    "half an object": b"{",
    "half a text": b'{"a": "b',
    "null": b"null",
    "a list": b"[]",
    "a number": b"5",
    "a text": b'"x"',
    "NaN": b"NaN",
    "Infinity": b'{"a": -Infinity}',
    "two values": b"{} {}",
    "a comma too many": b'{"a": 1,}',
    "no UTF-8": b'{"a": "\xff\xfe"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "half a character": b'{"a": "\\ud800"}',
    "NUL": b'{"a": "\x00"}',
    "1e999": b'{"a": 1e999}',
    "5,000 digits": b'{"a": ' + b"9" * 5000 + b"}",
    "one key twice": b'{"params": {}, "params": null}',
    "depth 100,000": b"[" * 100_000,
    "depth 20,000, closed": b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
    "a long key": b'{"' + b"k" * 100_000 + b'": 1}',
    "a prototype": b'{"__proto__": {"x": 1}, "constructor": {"prototype": {"x": 1}}}',
    "many keys": json.dumps({f"k{n}": n for n in range(10_000)}).encode(),
}
MEDIA: dict[str, str | None] = {
    "none": None,
    "text": "text/plain",
    "XML": "application/xml",
    "a form": "application/x-www-form-urlencoded",
    "parts": "multipart/form-data; boundary=x",
    "UTF-16": "application/json; charset=utf-16",
    "an unknown charset": "application/json; charset=klingon",
    "no type": ";;;",
    "a long one": "application/json; " + "x" * 4000,
}
SEGMENTS: dict[str, str] = {
    "up": "..%2f..%2f..%2fetc%2fpasswd",
    "dots": "%2e%2e",
    "NUL": "%00",
    "no UTF-8": "%ff%fe",
    "half an escape": "%",
    "an escape of an escape": "%2500",
    "a line break": "%0d%0aSet-Cookie:%20x=1",
    "a quote": "'%20OR%20'1'='1",
    "braces": "%7B%7B7*7%7D%7D",
    "a bicycle": quote("\U0001f6b2"),
    "composed otherwise": quote("Zoe\u0308"),
    "a minus": "-1",
    "zero": "0",
    "400 digits": "9" * 400,
    "a long one": "a" * 3000,
    "a name of Windows": "con",
    "a name of JavaScript": "__proto__",
}
VALUES: dict[str, str] = {
    **{n: v for n, v in SEGMENTS.items() if n not in ("dots", "up", "a name of Windows")},
    "nothing": "",
    "no number": "NaN",
    "1e999": "1e999",
    "half JSON": "%7B",
    "null": "null",
    "a list": "1,2",
    "backwards": "2020-01-02T00:00:00Z/2020-01-01T00:00:00Z",
    "no day": "2020-02-30T00:00:00Z",
    "a year too far": "99999-01-01T00:00:00Z",
    "a reference": "http%3A%2F%2F127.0.0.1%3A1%2F",
}
HEADERS: dict[str, dict[str, str | None]] = {
    "an Accept that nobody offers": {"Accept": "application/x-nothing"},
    "a broken Accept": {"Accept": ";q=;,,/"},
    "a long Accept": {"Accept": ",".join(f"a/b{n}" for n in range(500))},
    "an odd Prefer": {"Prefer": "respond-async; wait=-1, x=\xff"},
    "an odd Range": {"Range": "bytes=9-0,-1,x"},
    "an odd cookie": {"Cookie": "a=\xff; =; ;;"},
    "an odd condition": {"If-Modified-Since": "yesterday", "If-None-Match": '"'},
    "an odd language": {"Accept-Language": "xx-\xff;q=9"},
    "an odd method": {"X-HTTP-Method-Override": "DELETE"},
    "another host": {
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "gopher",
        "Forwarded": "for=;;",
    },
    "many": {f"X-{n}": "v" * 50 for n in range(60)},
}
ODD_PATHS = (
    "/nothing/at/all",
    "//",
    "/%00",
    "/..%2f..%2fetc%2fpasswd",
    "/.env",
    "/component/",
    "/component%2f",
    "/COMPONENT",
    "/?x=%ff",
    "/" + "a" * 5000,
)
ODD_METHODS = ("PROPFIND", "TRACE", "CONNECTED", "get", "OPTIONS")


FEW = ("null", "an object", "half a character", "minus one", "over 64 bits")


def chosen(*, quick: bool, slow: bool) -> dict[str, Any]:
    """The leaves to try: all of them, few, or one."""
    names = FEW[: 1 if quick and slow else len(FEW)] if quick or slow else LEAVES
    return {n: LEAVES[n] for n in names}


def bodies(good: Request, leaves: Mapping[str, Any]) -> Iterator[tuple[str, Request]]:
    """``good`` with other bodies and media types, and with every value of its own replaced by each of ``leaves``; with
    what is odd about it."""
    if not (good.headers.get("Content-Type") or "").startswith(JSON):
        for what, body in (
            ("nothing", b""),
            ("a byte", b"x"),
            ("half", (good.body or b"")[: len(good.body or b"") // 2]),
        ):
            yield f"body: {what}", _with(good, body=body)
        return
    for what, body in BODIES.items():
        yield f"body: {what}", _with(good, body=body)
    for what, media in MEDIA.items():
        yield f"media type: {what}", _with(good, headers={**good.headers, "Content-Type": media})
    yield "packed", _with(good, headers={**good.headers, "Content-Encoding": "gzip"})
    for what, content in _replaced(json.loads(good.body or b"{}"), leaves):
        yield what, _with(good, body=json.dumps(content).encode())


def _replaced(content: Any, leaves: Mapping[str, Any], depth: int = 4) -> Iterator[tuple[str, Any]]:
    """``content`` with one value replaced, for each value as deep as ``depth`` and each of ``leaves``, or left out."""
    places = list(_places(content, depth))
    for path in places:
        for what, leaf in leaves.items():
            yield f"{'/'.join(map(str, path))}: {what}", _put(content, path, leaf)
    for path in places:
        if isinstance(path[-1], str):
            yield f"{'/'.join(map(str, path))}: left out", _put(content, path, _GONE)
    if isinstance(content, Mapping):
        yield "an unknown key", {**content, "unknown": 1}


_GONE = object()


def _places(content: Any, depth: int) -> Iterator[tuple[Any, ...]]:
    if depth and isinstance(content, Mapping | list):
        keys = list(content) if isinstance(content, Mapping) else list(range(len(content)))[:1]
        for key in keys:
            yield (key,)
            for more in _places(content[key], depth - 1):
                yield (key, *more)


def _put(content: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    made: Any = list(content) if isinstance(content, list) else dict(content)
    if value is _GONE and len(path) == 1:
        del made[path[0]]
    else:
        made[path[0]] = _put(content[path[0]], path[1:], value)
    return made


def queries(good: Request, names: list[str]) -> Iterator[tuple[str, Request]]:
    """``good`` with odd values for each of its query parameters, twice over, and with an unknown one."""
    path, _, query = good.target.partition("?")
    parts = [p for p in query.split("&") if p]
    for name in names:
        others = [p for p in parts if p.partition("=")[0] != name]
        for what, value in VALUES.items():
            yield f"{name}: {what}", _with(good, target=f"{path}?{'&'.join([*others, f'{name}={value}'])}")
        twice = [*others, f"{name}=1", f"{name}=2"]
        yield f"{name}: twice", _with(good, target=f"{path}?{'&'.join(twice)}")
    yield "an unknown parameter", _with(good, target=f"{path}?{'&'.join([*parts, 'unknown=1'])}")


def segments(good: Request, template: str) -> Iterator[tuple[str, Request]]:
    """``good`` with odd values in the place of each parameter of its path."""
    path, mark, query = good.target.partition("?")
    parts, names = path.split("/"), template.split("/")
    for at, name in enumerate(names):
        if name.startswith("{") and at < len(parts):
            for what, value in SEGMENTS.items():
                target = "/".join([*parts[:at], value, *parts[at + 1 :]])
                yield f"{name}: {what}", _with(good, target=f"{target}{mark}{query}")


def headers(good: Request) -> Iterator[tuple[str, Request]]:
    for what, more in HEADERS.items():
        yield f"headers: {what}", _with(good, headers={**good.headers, **more})


def elsewhere() -> Iterator[tuple[str, Request]]:
    """Requests that no document speaks of."""
    for path in ODD_PATHS:
        yield f"path: {path[:40]}", Request("GET", path)
    for method in ODD_METHODS:
        yield f"method: {method}", Request(method, "/component")


def _with(good: Request, **changes: Any) -> Request:
    from dataclasses import replace

    if "body" in changes and not any(n.lower() == "content-type" for n in good.headers):
        changes.setdefault("headers", {**good.headers, "Content-Type": JSON})
    return replace(good, **changes)
