"""Checks of the catalogue's part ``source``."""

from __future__ import annotations

from . import (
    source_answers,
    source_incremental,
    source_places,
    source_schema,
    source_times,
    source_values,
)

__all__ = [
    "source_answers",
    "source_incremental",
    "source_places",
    "source_schema",
    "source_times",
    "source_values",
]
