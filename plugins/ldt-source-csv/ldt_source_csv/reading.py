"""The file as a table of text, and the way back from a row to its line."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
from numpy.typing import NDArray

import ldt_core as ldt

from .params import CsvParams, Melt

_MAX_CELL = 10_000_000


@dataclass(frozen=True)
class Text:
    """Columns of text. ``rows`` is the row of the file that each row here was made from.

    ``heads`` is, after a melt, the header of the cell that the value column holds.
    """

    params: CsvParams
    columns: dict[str, Any]
    rows: NDArray[np.int64]
    value: str | None = None
    heads: NDArray[Any] | None = None

    def column(self, name: str) -> Any:
        try:
            return self.columns[name]
        except KeyError:
            raise ldt.ParamError(
                f"there is no column '{name}'",
                code="no column",
                where=str(self.params.file),
                fix=f"there are {', '.join(self.columns)}",
            ) from None

    def take(self, keep: NDArray[np.bool_]) -> Text:
        mask = pa.array(keep)
        columns = {name: values.filter(mask) for name, values in self.columns.items()}
        heads = None if self.heads is None else self.heads[keep]
        return Text(self.params, columns, self.rows[keep], self.value, heads)

    def place(self, row: int, column: str) -> str:
        """``file:line:column`` of a cell; the line is looked up by reading the file once more."""
        if column == self.value and self.heads is not None:
            column = str(self.heads[row])
        line = find_line(self.params, int(self.rows[row]))
        return f"{self.params.file}:{line}:{column}"


@contextmanager
def open_bytes(params: CsvParams) -> Iterator[IO[bytes]]:
    path: Path = params.file.path
    if not path.is_file():
        raise ldt.NotFound(
            "there is no such file", code="no file", where=str(params.file), fix="correct file:"
        )
    try:
        if path.suffix.lower() == ".zip":
            with zipfile.ZipFile(path) as archive, archive.open(_member(archive, params)) as stream:
                yield stream
        else:
            with pa.input_stream(str(path), compression="detect") as stream:
                yield stream
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        raise ldt.InputError(
            f"the file is damaged: {error}", code="not readable", where=str(params.file), fix="fetch it again"
        ) from error


def _member(archive: zipfile.ZipFile, params: CsvParams) -> str:
    names = [n for n in archive.namelist() if not n.endswith("/") and not n.startswith("__MACOSX/")]
    chosen = params.member if params.member is not None else (names[0] if len(names) == 1 else None)
    if chosen not in names:
        raise ldt.ParamError(
            f"the archive holds {len(names)} files" if chosen is None else f"the archive holds no '{chosen}'",
            code="member",
            where=str(params.file),
            fix=f"write member: one of {', '.join(names)}",
        )
    return str(chosen)


def _lines(params: CsvParams, stream: IO[bytes]) -> Iterator[str]:
    return iter(io.TextIOWrapper(stream, encoding=params.encoding, newline=""))


def read_header(params: CsvParams) -> tuple[list[str], str]:
    """(column names, separator)."""
    with open_bytes(params) as stream:
        lines = _lines(params, stream)
        try:
            first = next(islice(lines, params.skip_rows, None), None)
        except UnicodeDecodeError as error:
            raise _undecoded(params, error) from error
        if first is None or not first.strip():
            raise ldt.InputError(
                f"line {params.skip_rows + 1} should be the header, and is empty or beyond the end",
                code="no header",
                where=str(params.file),
                fix="correct skip_rows, or give the file its content",
            )
        separator = params.separator or find_separator(first)
        found = next(csv.reader([first, *islice(lines, 50)], delimiter=separator))
    if params.names is None:
        return [name.strip() for name in found], separator
    if len(params.names) != len(found):
        raise ldt.ParamError(
            f"names lists {len(params.names)} columns and the first line has {len(found)}",
            code="names",
            where=str(params.file),
            fix="name every column, in the order of the file",
        )
    return list(params.names), separator


def find_separator(line: str) -> str:
    """The sign among ``; tab | ,`` that stands most often outside quotes; a comma where none does."""
    bare = re.sub(r'"[^"]*"', "", line)
    return max((",", ";", "\t", "|"), key=bare.count)


def read_text(params: CsvParams) -> Text:
    """Every cell as text. Raises ``InputError`` for rows of another length and undecodable bytes."""
    names, separator = read_header(params)
    skip = params.skip_rows + (params.names is None) + params.skip_after_header
    ragged: list[Any] = []

    def note(row: Any) -> str:
        ragged.append(row)
        return "skip"

    labels = [str(i) for i in range(len(names))]  # headers may repeat
    try:
        with open_bytes(params) as stream:
            table = pa_csv.read_csv(
                stream,
                pa_csv.ReadOptions(
                    column_names=labels, skip_rows=skip, encoding=_arrow_encoding(params), use_threads=False
                ),
                pa_csv.ParseOptions(delimiter=separator, newlines_in_values=True, invalid_row_handler=note),
                pa_csv.ConvertOptions(
                    column_types=dict.fromkeys(labels, pa.string()),
                    strings_can_be_null=False,
                    check_utf8=True,
                ),
            )
    except UnicodeDecodeError as error:
        raise _undecoded(params, error) from error
    except pa.ArrowInvalid as error:
        if "UTF8" in str(error):
            raise _undecoded(params, error) from error
        if "Empty CSV" not in str(error):
            raise ldt.InputError(str(error), code="not readable", where=str(params.file)) from error
        table = pa.table({label: pa.array([], pa.string()) for label in labels})
    if ragged:
        _refuse_ragged(params, ragged, separator)
    columns: dict[str, Any] = {}
    for name, label in zip(names, labels, strict=True):
        if name in columns:
            name = f"{name}#{sum(n == name or n.startswith(f'{name}#') for n in columns) + 1}"
        columns[name] = pc.utf8_trim_whitespace(table[label].combine_chunks())
    return Text(params, columns, np.arange(table.num_rows))


def _refuse_ragged(params: CsvParams, ragged: list[Any], separator: str) -> None:
    first = ragged[0]
    text = str(first.text).strip()
    line: int | str = "?"
    with open_bytes(params) as stream:
        for number, candidate in enumerate(_lines(params, stream), 1):
            if number > params.skip_rows and candidate.strip() == text:
                line = number
                break
    raise ldt.InputError(
        f"the row has {first.actual_columns} cells and the header {first.expected_columns}"
        + (f" (and {len(ragged) - 1} more rows are so)" if len(ragged) > 1 else ""),
        code="ragged",
        where=f"{params.file}:{line}",
        fix=f"correct the row, or state separator: if '{separator}' is the wrong one",
    )


def _arrow_encoding(params: CsvParams) -> str:
    # Arrow drops the byte order mark of UTF-8 by itself; anything else is decoded by Python, slower.
    name = params.encoding.lower().replace("_", "-")
    return "utf8" if name in ("utf-8-sig", "utf-8", "utf8") else name


def _undecoded(params: CsvParams, error: Exception) -> ldt.InputError:
    return ldt.InputError(
        f"the text is not {params.encoding}: {error}",
        code="encoding",
        where=str(params.file),
        fix="state encoding: (cp1252 and latin-1 are common)",
    )


def find_line(params: CsvParams, row: int) -> int:
    """The line on which data row ``row`` starts; blank lines and line breaks in quotes count."""
    _, separator = read_header(params)
    skip = params.skip_rows + (params.names is None) + params.skip_after_header
    csv.field_size_limit(_MAX_CELL)
    with open_bytes(params) as stream:
        lines = _lines(params, stream)
        for _ in range(skip):
            next(lines)
        reader = csv.reader(lines, delimiter=separator)
        start = 1
        for cells in reader:
            if cells:
                if row == 0:
                    return skip + start
                row -= 1
            start = reader.line_num + 1
    return skip + start


def drop_empty_rows(text: Text) -> Text:
    """Without the rows in which no cell holds anything."""
    if not len(text.rows):
        return text
    filled = np.zeros(len(text.rows), bool)
    for values in text.columns.values():
        filled |= _numpy(pc.not_equal(values, ""))
    return text if filled.all() else text.take(filled)


def drop_rows_without(text: Text, columns: Iterable[str]) -> Text:
    for name in columns:
        absent = pc.is_in(text.column(name), value_set=pa.array(["", *text.params.missing], pa.string()))
        text = text.take(~_numpy(absent))
    return text


def choose_rows(text: Text, where: dict[str, str | tuple[str, ...]]) -> Text:
    for name, wanted in where.items():
        allowed = (wanted,) if isinstance(wanted, str) else wanted
        text = text.take(_numpy(pc.is_in(text.column(name), value_set=pa.array(allowed, pa.string()))))
    return text


def melt(text: Text, how: Melt) -> Text:
    """One row for each row of the file and each matching column, the rows of one line together."""
    pattern = re.compile(how.columns)
    matched = [(name, found) for name in text.columns if (found := pattern.fullmatch(name)) is not None]
    if not matched:
        raise ldt.ParamError(
            f"no column matches '{how.columns}'",
            code="melt",
            where=str(text.params.file),
            fix=f"there are {', '.join(text.columns)}",
        )
    wide = {name for name, _ in matched}
    rest = {name: values for name, values in text.columns.items() if name not in wide}
    clash = {how.key, how.value} & set(rest)
    if clash:
        raise ldt.ParamError(
            f"the file has a column '{clash.pop()}' already", code="melt", fix="choose another name"
        )
    rows, count = len(text.rows), len(matched)
    repeat = pa.array(np.repeat(np.arange(rows), count))
    keys = [found[1] if found.re.groups else name for name, found in matched]
    cells = np.empty((rows, count), object)
    for i, (name, _) in enumerate(matched):
        cells[:, i] = text.columns[name].to_numpy(zero_copy_only=False)
    columns = {name: values.take(repeat) for name, values in rest.items()}
    columns[how.key] = pa.array(_tile(keys, rows), pa.string())
    columns[how.value] = pa.array(cells.ravel(), pa.string())
    heads = np.array(_tile([name for name, _ in matched], rows), object)
    return Text(text.params, columns, np.repeat(text.rows, count), how.value, heads)


def _tile(items: Iterable[str], times: int) -> list[str]:
    return list(items) * times


def _numpy(values: Any) -> NDArray[np.bool_]:
    array: NDArray[np.bool_] = values.to_numpy(zero_copy_only=False)
    return array.astype(bool, copy=False)
