"""What a mosaik simulator says of itself, and what the twin file adds: entities and attributes as rows and columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import ldt_core as ldt

from .spans import Cell


class Attribute(ldt.Params):
    """What an attribute of mosaik means; mosaik itself says no units."""

    unit: str
    """UCUM code."""
    quantity: str | None = None
    """CF standard name, or x:..."""
    name: str | None = None
    """Its name in the twin, where its own cannot be written there."""
    cell: Cell = "point"
    """How a value stands for its window; over several steps in a window outputs are reduced by it."""


class Creation(ldt.Params):
    """Entities of one model."""

    model: str
    """Name of the model, as the simulator's meta data has it."""
    count: int = ldt.Field(default=1, ge=1)
    """How many."""
    params: dict[str, Any] = {}
    """Parameters of the model."""


@dataclass(frozen=True)
class Kind:
    """The entities of one model, in the order of their creation, and the attributes used."""

    model: str
    ids: tuple[str, ...]
    inputs: Mapping[str, Attribute]
    outputs: Mapping[str, Attribute]

    @property
    def entity(self) -> str:
        return f"mosaik-{self.model}"


def kinds_of(
    meta: Mapping[str, Any],
    ids: Mapping[str, list[str]],
    inputs: Mapping[str, Attribute],
    outputs: Mapping[str, Attribute],
) -> list[Kind]:
    """The models that are used, each with its entities. Raises ``ParamError`` for an attribute that none of them has."""
    for side, asked in (("inputs", inputs), ("outputs", outputs)):
        for name in asked:
            known = {a for m in ids for a in meta["models"][m].get("attrs", ())}
            if name not in known and not any(meta["models"][m].get("any_inputs") for m in ids):
                raise ldt.ParamError(
                    f"{side} names '{name}', which none of the created entities has",
                    code="no attribute",
                    fix=f"there are {', '.join(sorted(known))}",
                )
    kinds = []
    for model, found in ids.items():
        about = meta["models"][model]
        attrs = set(about.get("attrs", ()))
        fed = {n: a for n, a in inputs.items() if n in attrs or about.get("any_inputs")}
        read = {n: a for n, a in outputs.items() if n in attrs}
        if fed or read:
            kinds.append(Kind(model, tuple(found), fed, read))
    return kinds


def input_ports(kinds: list[Kind], kind: Kind) -> dict[str, tuple[str, Attribute]]:
    """Each fed attribute by its port; with the model's name where several models have it."""
    shared = {n for n in kind.inputs if sum(n in k.inputs for k in kinds) > 1}
    return {
        (f"{plain(kind.model)}_" if n in shared else "") + column_name(n, a): (n, a)
        for n, a in kind.inputs.items()
    }


def flat(entities: list[Any]) -> Iterator[Any]:
    """Entities and their children, parents first."""
    for entity in entities:
        yield entity
        yield from flat(entity.get("children") or [])


def plain(name: str) -> str:
    """A name as a twin file can write it."""
    return "".join(c if c.isalnum() or c in "_-" else "_" for c in name)


def column_name(name: str, attribute: Attribute) -> str:
    return attribute.name or plain(name)


def column(attribute: Attribute, nulls: bool = False) -> ldt.Column:
    return ldt.number(attribute.unit, attribute.quantity, cell=attribute.cell, nulls=nulls)
