"""A process that pygeoapi serves in the tests: it knows nothing of us."""

from __future__ import annotations

from typing import Any

from pygeoapi.process.base import BaseProcessor

META = {
    "version": "1.0.0",
    "id": "tally",
    "title": {"en": "Tally"},
    "description": {"en": "Sum and count of numbers."},
    "jobControlOptions": ["sync-execute", "async-execute"],
    "keywords": ["numbers"],
    "links": [],
    "inputs": {
        "values": {
            "title": "values",
            "schema": {"type": "array", "items": {"type": "number"}},
            "minOccurs": 1,
            "maxOccurs": 1,
        },
        "scale": {
            "title": "scale",
            "schema": {"type": "number", "minimum": 0},
            "minOccurs": 0,
            "maxOccurs": 1,
        },
    },
    "outputs": {
        "sum": {"title": "sum", "schema": {"type": "number"}},
        "count": {"title": "count", "schema": {"type": "integer"}},
    },
    "example": {"inputs": {"values": [1.0]}},
}


class Tally(BaseProcessor):  # type: ignore[misc]
    def __init__(self, definition: Any) -> None:
        super().__init__(definition, self.about())

    def about(self) -> dict[str, Any]:
        return META

    def execute(self, data: Any, outputs: Any = None) -> tuple[str, dict[str, Any]]:
        values = [float(v) * float(data.get("scale", 1.0)) for v in data["values"]]
        return "application/json", {"sum": sum(values), "count": len(values)}


class Later(Tally):
    """The same for those who wait: as a job only."""

    def about(self) -> dict[str, Any]:
        return {**META, "id": "later", "jobControlOptions": ["async-execute"]}
