"""What a component can be filtered by: read off its manifest, what its publisher says, and its licence."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

FACETS: dict[str, str] = {
    "kind": "source, model, simulator or viewer",
    "artifact": "wheel, service, image, weights or dataset",
    "capability": "what the interface can do beyond its core",
    "needs": "a quantity that an input port asks for",
    "needs-unit": "the unit that it is asked for in",
    "gives": "a quantity that an output port has",
    "gives-unit": "the unit that it is given in",
    "standard": "a standard that the publisher names",
    "licence": "an SPDX identifier in its licence",
    "deployment": "on-premise, hosted or saas",
    "mim": "a Minimal Interoperability Mechanism, alone and with how far it is met",
    "level": "of its certificate, as long as that stands; 0 where there is none",
}
_LICENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")


def read_facets(
    manifest: Mapping[str, Any], artifact: str, about: Mapping[str, Any], licence: str | None
) -> dict[str, list[str]]:
    """Every facet but the level, with its values in order."""
    needs, gives = columns(manifest, "inputs"), columns(manifest, "outputs")
    found: dict[str, Iterable[str]] = {
        "kind": [manifest["kind"]],
        "artifact": [artifact],
        "capability": manifest.get("capabilities", ()),
        "needs": [q for q, _ in needs],
        "needs-unit": [u for _, u in needs if u],
        "gives": [q for q, _ in gives],
        "gives-unit": [u for _, u in gives if u],
        "standard": about.get("standards", ()),
        "licence": licences(licence),
        "deployment": about.get("deployment", ()),
        "mim": [v for name, level in about.get("mims", {}).items() for v in (name, f"{name} {level}")],
    }
    return {name: sorted(set(values)) for name, values in found.items() if values}


def columns(manifest: Mapping[str, Any], side: str) -> list[tuple[str, str | None]]:
    """(quantity, unit) of the measured columns of all ports of a side; open ones have none."""
    return [
        (column["quantity"], column.get("unit"))
        for port in manifest.get(side, {}).values()
        for column in port["columns"].values()
        if column.get("quantity")
    ]


def licences(expression: str | None) -> list[str]:
    """The identifiers in an SPDX expression."""
    return [w for w in _LICENCE.findall(expression or "") if w not in ("AND", "OR", "WITH")]
