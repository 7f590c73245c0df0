"""What the renderers are given: scenes with their tables, and the record of the run."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ldt_core as ldt
from ldt_core.scene import DataRef, RunRef, Scene

# Control characters, bidirectional overrides and embeddings, lone surrogates and non-characters:
# none has a glyph, all can damage a page, its encoding or the order in which text is read.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)


def clean(value: Any) -> Any:
    """``value`` with every text in it free of characters that are unsafe in a page."""
    if isinstance(value, str):
        return _UNSAFE.sub("\ufffd", value)
    if isinstance(value, Mapping):
        return {clean(k): clean(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        cleaned = [clean(v) for v in value]
        return type(value)(*cleaned) if hasattr(value, "_fields") else type(value)(cleaned)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.replace(
            value, **{f.name: clean(getattr(value, f.name)) for f in dataclasses.fields(value)}
        )
    if isinstance(value, RunRef):
        return RunRef.model_validate(clean(value.model_dump()))
    return value


@dataclass(frozen=True)
class Part:
    """One component of the twin: what it was, and which distribution and version it came from."""

    name: str
    component: str
    distribution: str
    version: str
    title: str = ""
    licence: str = ""


@dataclass(frozen=True)
class RunSummary:
    """The record of a run in the words of its reader.

    ``start`` and ``end`` are RFC 3339 instants, shown in ``zone`` (IANA); ``duration`` is the
    computing time in seconds. ``scenarios`` lists the baseline first. ``flags`` maps a scenario to
    its quality flags. ``not_reproducible`` names what would differ if the run were repeated, ``limits``
    says what the results must not be used for.
    """

    title: str
    run_id: str
    start: str
    end: str
    goal: str = ""
    owner: str = ""
    limits: str = ""
    zone: str = "UTC"
    scenarios: Sequence[RunRef] = ()
    seed: int = 0
    replicates: int = 1
    components: Sequence[Part] = ()
    credits: Sequence[str] = ()
    flags: Mapping[str, Sequence[ldt.Flag]] = field(default_factory=dict)
    not_reproducible: Sequence[str] = ()
    duration: float | None = None
    created: str | None = None


@dataclass(frozen=True)
class SceneBundle:
    """A scene and its data.

    ``tables`` gives the table of a ``DataRef`` id: a mapping or a function. ``images`` holds the
    bytes of references whose media type is a picture.
    """

    scene: Scene
    tables: Mapping[str, ldt.Table] | Callable[[str], ldt.Table] = field(default_factory=dict)
    images: Mapping[str, bytes] = field(default_factory=dict)

    def cleaned(self) -> SceneBundle:
        return dataclasses.replace(self, scene=Scene.model_validate(clean(self.scene.model_dump())))

    def ref(self, id: str) -> DataRef:
        for ref in self.scene.data:
            if ref.id == id:
                return ref
        raise ldt.NotFound(
            f"the scene speaks of data '{id}' but does not list it",
            where=f"scene '{self.scene.title}'",
            fix="publish the table before a block refers to it",
        )

    def table(self, id: str) -> ldt.Table:
        """The table of a reference. Raises ``NotFound``."""
        self.ref(id)
        try:
            return self.tables(id) if callable(self.tables) else self.tables[id]
        except KeyError:
            raise ldt.NotFound(
                f"there is no table for the data '{id}'",
                where=f"scene '{self.scene.title}'",
                fix="give SceneBundle the tables of all references that its blocks draw",
            ) from None
