"""Delivery tours on a street network with the travel times of a traffic model."""

from __future__ import annotations

import ldt_core as ldt


@ldt.hookimpl
def ldt_models() -> list[type[ldt.Model]]:
    from .model import LastMile

    return [LastMile]
