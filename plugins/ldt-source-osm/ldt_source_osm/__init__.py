"""Streets, buildings, trees and places of an OpenStreetMap file."""

from __future__ import annotations

import ldt_core as ldt

from .source import Osm

__all__ = ["Osm"]


@ldt.hookimpl
def ldt_data_sources() -> list[type[ldt.DataSource]]:
    return [Osm]
