"""A multipart form read as it streams: fields in memory, one file part handed on in blocks, own limits.

The parser is python-multipart's; what is ours are the limits (a long README is more than the one mebibyte
that web frameworks allow a part) and that nothing is believed before the closing boundary was seen.
Parts come in any order and need no Content-Type: the clients of packages differ in both.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from .problems import Malformed, TooLarge, TooSlow

FILE_PART = "content"


@dataclass(frozen=True)
class Limits:
    """Bytes of one text part, of all text parts together and of the file; number of parts."""

    part: int = 4 * 2**20
    text: int = 16 * 2**20
    file: int = 400 * 2**20
    fields: int = 5000

    @property
    def whole(self) -> int:
        """Bytes of a body with all its boundaries and headers."""
        return self.file + self.text + 2048 * self.fields


@dataclass(frozen=True)
class Form:
    """What was sent: every field with its values in the order sent, and the name of the file."""

    fields: dict[str, list[str]]
    filename: str

    def one(self, name: str) -> str | None:
        """The single value of a field; None where it is absent, empty or UNKNOWN. Two values are an error."""
        values = [v for v in self.fields.get(name, []) if v.strip() not in ("", "UNKNOWN")]
        if len(values) > 1:
            raise Malformed(f"The field {name!r} was sent {len(values)} times.", fix="Send it once.")
        return values[0] if values else None

    def many(self, name: str) -> list[str]:
        """All values of a field that may be repeated."""
        return [v for v in self.fields.get(name, []) if v.strip() not in ("", "UNKNOWN")]


class FormReader:
    """Feed it the body in pieces of any size; the file's bytes go to ``write`` as they come.

    ``finish`` gives the form, or raises where the body ended early or held no file.
    """

    def __init__(
        self, content_type: str | None, write: Callable[[bytes], object], limits: Limits | None = None
    ) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if kind != b"multipart/form-data" or not boundary:
            raise Malformed(
                f"The body is {content_type or 'of no stated type'!r}, not multipart/form-data with a boundary.",
                fix="Upload with twine, uv, hatch, flit or poetry, or send the form as they do.",
            )
        self._write = write
        self._limits = limits or Limits()
        self._fields: dict[str, list[str]] = defaultdict(list)
        self._filename: str | None = None
        self._parts = self._text = self._file = self._fed = 0
        self._done = False
        self._start_part()
        callbacks = {
            "on_part_begin": self._start_part,
            "on_part_data": self._take,
            "on_part_end": self._end_part,
            "on_header_field": self._name_header,
            "on_header_value": self._value_header,
            "on_header_end": self._end_header,
            "on_headers_finished": self._open_part,
            "on_end": self._end,
        }
        try:
            self._parser = MultipartParser(boundary, callbacks)  # type: ignore[arg-type]
        except FormParserError as exc:
            raise Malformed(
                f"The boundary of the form cannot be used: {exc}.", fix="Use a shorter one."
            ) from exc

    def feed(self, piece: bytes) -> None:
        """Read on. Raises Malformed or TooLarge at the first byte that breaks the form or passes a limit."""
        self._fed += len(piece)
        if self._fed > self._limits.whole:
            raise TooLarge("The body goes on for longer than a form can be.", fix="Send one distribution.")
        if self._done:
            return  # what follows the closing boundary is to be ignored
        try:
            self._parser.write(piece)
        except FormParserError as exc:
            raise Malformed(
                f"The form is broken: {exc}.", fix="Send it again; a proxy may have cut it."
            ) from exc

    def finish(self) -> Form:
        if not self._done:
            raise Malformed("The form ends before its closing boundary.", fix="Send it again.")
        if self._filename is None:
            raise Malformed(
                f"The form holds no file: the part {FILE_PART!r} with a filename is missing.",
                fix="Send the distribution in it.",
            )
        return Form(dict(self._fields), self._filename)

    # -- called by the parser --

    def _start_part(self) -> None:
        self._field = self._value = b""
        self._headers: dict[bytes, bytes] = {}
        self._name: str | None = None
        self._is_file = False
        self._pieces: list[bytes] = []
        self._size = 0

    def _name_header(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _value_header(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        self._headers[self._field.lower()] = self._value
        self._field = self._value = b""

    def _open_part(self) -> None:
        self._parts += 1
        if self._parts > self._limits.fields:
            raise TooLarge(f"The form has more than {self._limits.fields} parts.", fix="Send fewer fields.")
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._name = _text(options.get(b"name", b""), "a name of a part")
        if not self._name:
            raise Malformed("A part of the form has no name.", fix="Name it in its Content-Disposition.")
        self._is_file = self._name == FILE_PART
        if self._is_file:
            if self._filename is not None:
                raise Malformed("The form holds two files.", fix="Send one distribution per request.")
            self._filename = _text(options.get(b"filename", b""), "the filename")
            if not self._filename:
                raise Malformed("The file has no filename.", fix="Name it in its Content-Disposition.")

    def _take(self, data: bytes, start: int, end: int) -> None:
        size = end - start
        if self._is_file:
            self._file += size
            if self._file > self._limits.file:
                raise TooLarge(
                    f"The file is larger than {self._limits.file} bytes.",
                    fix="Make it smaller; keep weights and data apart from the wheel.",
                )
            self._write(data[start:end])
            return
        self._size += size
        self._text += size
        if self._size > self._limits.part or self._text > self._limits.text:
            raise TooLarge(
                f"The field {self._name!r} makes the form's text too large "
                f"({self._limits.part} bytes a field, {self._limits.text} in all).",
                fix="Shorten the description.",
            )
        self._pieces.append(data[start:end])

    def _end_part(self) -> None:
        if not self._is_file and self._name is not None:
            self._fields[self._name].append(_text(b"".join(self._pieces), f"the field {self._name!r}"))
        self._pieces = []

    def _end(self) -> None:
        self._done = True


def _text(raw: bytes, what: str) -> str:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise Malformed(f"{what[0].upper()}{what[1:]} is not UTF-8.", fix="Encode it as UTF-8.") from exc
    if "\0" in text:
        raise Malformed(f"{what[0].upper()}{what[1:]} holds a NUL.", fix="Remove it.")
    return text


async def paced(
    body: AsyncIterator[bytes], *, seconds: float, rate: int, window: float = 30.0
) -> AsyncIterator[bytes]:
    """The body, as long as it keeps up: at least ``rate`` bytes/s in each ``window`` seconds, all within ``seconds``.

    A connection that trickles holds a socket and a staged file; it is ended here. Raises TooSlow.
    """
    clock = asyncio.get_running_loop().time
    mark = clock()
    end = mark + seconds
    got = 0
    while True:
        try:
            async with asyncio.timeout_at(min(end, mark + window)):
                piece = await anext(body)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise TooSlow(
                f"The upload is slower than {rate} bytes/s, or takes longer than {seconds:g} s.",
                fix="Send it again over a faster connection.",
            ) from None
        got += len(piece)
        if got >= rate * window:
            mark, got = clock(), 0
        yield piece
