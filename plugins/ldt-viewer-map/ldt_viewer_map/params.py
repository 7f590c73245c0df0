"""The parameters of the viewer ``map``."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, field_validator

import ldt_core as ldt


class MapParams(ldt.Params):
    """What may be said of the maps; what is keyed by ref names refs of the view's ``show``."""

    title: str = Field("", description="heading; empty: the view's own title")
    titles: dict[str, str] = Field({}, description="what to call a ref of `show`, by ref")
    context: list[str] = Field([], description="refs whose places are drawn in grey below the values")
    time: Literal["auto", "mean", "energetic", "sum", "min", "max", "last"] = Field(
        "auto", description="how windows become one value; auto: sum for sums, energetic for dB, else mean"
    )
    top: int = Field(10, ge=1, le=1000, description="places that a table lists")
    breaks: dict[str, Annotated[list[float], Field(min_length=1)]] = Field(
        {},
        description="class breaks by ref, in its unit, rising; empty: chosen from the values of all runs",
    )
    threshold: dict[str, Annotated[float, Field(gt=0)]] = Field(
        {}, description="least change that counts, by ref, in its unit; empty: by quantity or values"
    )

    @field_validator("breaks")
    @classmethod
    def _rise(cls, breaks: dict[str, list[float]]) -> dict[str, list[float]]:
        for ref, marks in breaks.items():
            if any(a >= b for a, b in pairwise(marks)):
                raise ValueError(f"the breaks of '{ref}' do not rise: {marks}")
        return breaks
