"""Tables of figures: every cell as text for readers, with the exact value beside it."""

from __future__ import annotations

from dataclasses import dataclass

from ldt_core.scene import Cell, Figures, Head

from .words import apart_digits, digits_for, is_number, parse_instant, write_instant, write_number, write_unit


@dataclass(frozen=True)
class HeadCell:
    title: str
    unit: str
    number: bool


@dataclass(frozen=True)
class BodyCell:
    """``exact`` holds the number behind ``text``; ``header`` marks the cell that names its row."""

    text: str
    number: bool = False
    header: bool = False
    exact: str | None = None


@dataclass(frozen=True)
class FigureTable:
    caption: str
    heads: list[HeadCell]
    rows: list[list[BodyCell]]
    more: int
    zone: str | None


def lay_out(figures: Figures, zone: str) -> FigureTable:
    """The table as it is shown. Rows shorter than the head are filled, longer ones cut."""
    columns = figures.columns
    named = next((i for i, c in enumerate(columns) if c.kind == "text"), 0 if columns else -1)
    digits = [_digits(c, [r[i] for r in figures.rows if i < len(r)]) for i, c in enumerate(columns)]
    mixed = [i for i, c in enumerate(columns) if _follows_row(c, columns)]
    rows = []
    for row in figures.rows:
        together = [float(row[i]) for i in mixed if i < len(row) and is_number(row[i])]  # type: ignore[arg-type]
        shared = apart_digits(together)
        rows.append(
            [
                _cell(
                    column,
                    row[i] if i < len(row) else None,
                    shared if i in mixed else digits[i],
                    zone,
                    header=i == named,
                )
                for i, column in enumerate(columns)
            ]
        )
    heads = [HeadCell(c.title or c.id, write_unit(c.unit), c.kind == "number") for c in columns]
    local = any(c.kind == "instant" for c in columns)
    return FigureTable(figures.caption, heads, rows, figures.more, zone if local else None)


def _follows_row(column: Head, columns: list[Head]) -> bool:
    """Whether the decimals of a column are those of each row, since each row has a unit of its own."""
    mixed = any(c.id == "unit" and c.kind == "text" for c in columns)
    return mixed and column.kind == "number" and column.unit is None and column.digits is None


def _digits(column: Head, values: list[Cell]) -> int | None:
    """One number of decimals for a column whose values are of one size, else None: each its own."""
    if column.digits is not None:
        return max(0, min(column.digits, 12))
    sizes = [abs(float(v)) for v in values if is_number(v) and v]
    if sizes and max(sizes) / min(sizes) > 1e4:
        return None
    return digits_for(*sizes)


def _cell(column: Head, value: Cell, digits: int | None, zone: str, *, header: bool) -> BodyCell:
    if value is None or (isinstance(value, float) and not is_number(value)):
        return BodyCell("–", column.kind == "number", header)
    if isinstance(value, bool):
        return BodyCell("yes" if value else "no", False, header)
    if column.kind == "instant" and parse_instant(value) is not None:
        return BodyCell(write_instant(value, zone), False, header, str(value))
    if isinstance(value, str):
        return BodyCell(write_unit(value) if column.id == "unit" else value, False, header)
    return BodyCell(write_number(value, digits), True, header, repr(value))
