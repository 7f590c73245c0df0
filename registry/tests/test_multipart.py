"""The form parser: any cut of the body gives the same form; nothing is believed before the end."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ldt_registry.multipart import Form, FormReader, Limits, paced
from ldt_registry.problems import Malformed, TooLarge, TooSlow

BOUNDARY = "frontier"
TYPE = f"multipart/form-data; boundary={BOUNDARY}"
WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)


def body(*parts: tuple[str, str | None, bytes]) -> bytes:
    """(name, filename, bytes) of each part; without Content-Type, as uv and flit send it."""
    out = b""
    for name, filename, data in parts:
        extra = f'; filename="{filename}"' if filename is not None else ""
        out += f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{extra}\r\n\r\n'.encode()
        out += data + b"\r\n"
    return out + f"--{BOUNDARY}--\r\n".encode()


def read(raw: bytes, *, cuts: list[int] | None = None, limits: Limits | None = None) -> tuple[Form, bytes]:
    got: list[bytes] = []
    reader = FormReader(TYPE, got.append, limits)
    edges = sorted({0, len(raw), *(c % (len(raw) + 1) for c in cuts or [])})
    for start, end in itertools.pairwise(edges):
        reader.feed(raw[start:end])
    return reader.finish(), b"".join(got)


@given(
    st.lists(st.tuples(st.sampled_from(["name", "version", "classifiers"]), WORDS), max_size=6),
    st.binary(max_size=300),
    st.integers(0, 6),
    st.lists(st.integers(0, 5000), max_size=12),
)
def test_any_cut_and_any_order_of_parts_gives_the_same_form(
    fields: list[tuple[str, str]], content: bytes, place: int, cuts: list[int]
) -> None:
    parts: list[tuple[str, str | None, bytes]] = [(n, None, v.encode()) for n, v in fields]
    parts.insert(min(place, len(parts)), ("content", "a-1.whl", content))
    form, file = read(body(*parts), cuts=cuts)
    assert file == content
    assert form.filename == "a-1.whl"
    for name in ("name", "version", "classifiers"):
        assert form.fields.get(name, []) == [v for n, v in fields if n == name]


def test_bytes_that_look_like_a_boundary_stay_in_the_file() -> None:
    content = f"\r\n--{BOUNDARY[:-1]}\r\n\r\n--\r\n--front".encode() * 50
    for size in (1, 2, 7, 64):
        raw = body(("content", "a.whl", content))
        assert read(raw, cuts=list(range(0, len(raw), size)))[1] == content


@given(st.data())
def test_a_form_cut_short_is_refused(data: st.DataObject) -> None:
    raw = body(("name", None, b"x"), ("content", "a.whl", b"12345"))
    end = data.draw(st.integers(0, len(raw) - len("--\r\n") - 1))
    with pytest.raises(Malformed):
        read(raw[:end])


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (body(("name", None, b"x")), "holds no file"),
        (body(("content", "a", b""), ("content", "b", b"")), "two files"),
        (body(("content", "", b"1")), "no filename"),
        (body(("", None, b"1"), ("content", "a", b"")), "no name"),
        (body(("name", None, b"\xff"), ("content", "a", b"")), "not UTF-8"),
        (body(("name", None, b"a\0b"), ("content", "a", b"")), "NUL"),
        (b"--other\r\n\r\n", "broken"),
        (b"", "ends before"),
    ],
)
def test_a_broken_form_is_refused_with_its_reason(raw: bytes, words: str) -> None:
    with pytest.raises(Malformed, match=words) as caught:
        read(raw)
    assert caught.value.fix


@pytest.mark.parametrize(
    "kind", [None, "", "application/json", "multipart/form-data", "multipart/mixed; boundary=x"]
)
def test_another_kind_of_body_is_refused(kind: str | None) -> None:
    with pytest.raises(Malformed, match="multipart/form-data"):
        FormReader(kind, lambda b: None)


def test_each_limit_is_held_and_just_below_it_passes() -> None:
    limits = Limits(part=10, text=15, file=20, fields=4)
    fits = body(("a", None, b"x" * 10), ("b", None, b"x" * 5), ("content", "f", b"y" * 20))
    assert read(fits, limits=limits)[1] == b"y" * 20
    for over in (
        body(("a", None, b"x" * 11), ("content", "f", b"")),
        body(("a", None, b"x" * 10), ("b", None, b"x" * 6), ("content", "f", b"")),
        body(("content", "f", b"y" * 21)),
        body(*[(c, None, b"") for c in "abcd"], ("content", "f", b"")),
    ):
        with pytest.raises(TooLarge) as caught:
            read(over, limits=limits)
        assert caught.value.fix


def test_a_long_description_passes() -> None:
    text = b"word " * 500_000
    form, _ = read(body(("description", None, text), ("content", "f", b"1")))
    assert form.one("description") == text.decode()


def test_a_single_field_sent_twice_is_refused_and_unknown_means_absent() -> None:
    form, _ = read(body(("v", None, b"1"), ("v", None, b"2"), ("u", None, b"UNKNOWN"), ("content", "f", b"")))
    with pytest.raises(Malformed, match="2 times"):
        form.one("v")
    assert form.one("u") is None
    assert form.one("absent") is None
    assert form.many("v") == ["1", "2"]


def test_headers_of_a_part_without_end_are_refused() -> None:
    reader = FormReader(TYPE, lambda b: None)
    reader.feed(f"--{BOUNDARY}\r\nX-Long: ".encode())
    with pytest.raises(Malformed, match="broken"):
        reader.feed(b"x" * 100_000)


@pytest.mark.parametrize("start", [b"", b"\r\n", body(("content", "f", b"1"))])
def test_a_body_without_end_is_cut_off_before_and_after_the_form(start: bytes) -> None:
    reader = FormReader(TYPE, lambda b: None, Limits(part=10, text=10, file=10, fields=2))
    reader.feed(start)
    with pytest.raises((Malformed, TooLarge)):
        reader.feed(b"x" * 5000)


def test_a_body_that_keeps_up_passes_and_one_that_trickles_is_ended() -> None:
    async def body_of(pauses: list[float]) -> AsyncIterator[bytes]:
        for pause in pauses:
            await asyncio.sleep(pause)
            yield b"x" * 100

    async def through(pauses: list[float], **limits: float) -> int:
        return len([p async for p in paced(body_of(pauses), **limits)])  # type: ignore[arg-type]

    assert asyncio.run(through([0] * 5, seconds=60, rate=10_000, window=60)) == 5
    for limits in (
        {"seconds": 60, "rate": 10_000, "window": 0.05},
        {"seconds": 0.05, "rate": 1, "window": 60},
    ):
        with pytest.raises(TooSlow):
            asyncio.run(through([0, 0, 3600], **limits))
