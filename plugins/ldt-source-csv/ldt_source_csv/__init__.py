"""Any CSV file as a data source."""

from __future__ import annotations

import ldt_core as ldt

from .source import Csv

__all__ = ["Csv"]


@ldt.hookimpl
def ldt_data_sources() -> list[type[ldt.DataSource]]:
    return [Csv]
