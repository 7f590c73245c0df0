"""What must be said beside the results: what was made up, whose data it is, what the components reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ldt_core.scene import KpiBlock

from .bundle import RunSummary, SceneBundle
from .words import write_amount


@dataclass(frozen=True)
class FlagRow:
    """A quality flag: what it says, its technical name, and its value in each run."""

    text: str
    name: str
    values: list[str]


@dataclass(frozen=True)
class FlagTable:
    """The flags that were raised, and how many checks found nothing."""

    runs: list[str]
    rows: list[FlagRow]
    silent: int


def list_flags(record: RunSummary, titles: Mapping[str, str]) -> FlagTable:
    """The flags of all runs, in the order of the components; those whose value is zero are only counted."""
    found: dict[tuple[str, str], dict[str, tuple[float, str]]] = {}
    for run, flags in record.flags.items():
        for flag in flags:
            found.setdefault((flag.text or flag.name, flag.name), {})[run] = (flag.value, flag.unit)
    raised = {key: values for key, values in found.items() if any(v for v, _ in values.values())}
    runs = [*titles, *(r for r in record.flags if r not in titles)]
    rows = [
        FlagRow(
            text[:1].upper() + text[1:],
            name,
            [write_amount(*values[run]) if run in values else "–" for run in runs],
        )
        for (text, name), values in raised.items()
    ]
    return FlagTable([titles.get(run, run) for run in runs], rows, len(found) - len(raised))


def gather(bundles: Sequence[SceneBundle], what: str) -> list[str]:
    """Synthetic notices or credits of all blocks and their data, each once."""
    found: list[str] = []
    for bundle in bundles:
        for block in bundle.scene.blocks:
            found.extend(getattr(block, what))
            if isinstance(block, KpiBlock):
                found.extend(text for kpi in block.kpis for text in getattr(kpi, what))
        for ref in bundle.scene.data:
            if what == "synthetic" and ref.synthetic:
                found.append(ref.synthetic)
            elif what == "credits":
                found.extend(
                    [", ".join(filter(None, (ref.attribution, ref.licence)))] if ref.attribution else []
                )
    unique = list(dict.fromkeys(filter(None, found)))
    return [text for text in unique if not _is_made_of(text, [u for u in unique if u != text])]


def _is_made_of(text: str, others: Sequence[str]) -> bool:
    """Whether ``text`` only strings together what ``others`` say."""
    for other in sorted(others, key=len, reverse=True):
        text = text.replace(other, "")
    return not text.strip(" .;,")


def mark_synthetic(texts: Sequence[str], notices: Sequence[str]) -> str:
    """The short mark of what holds made-up data: which of the numbered notices hold, if not all do."""
    said = [text for text in texts if text]
    if not said:
        return ""
    numbers = [i for i, notice in enumerate(notices, 1) if any(notice in text for text in said)]
    if not numbers or len(numbers) == len(notices):
        return "partly made-up data"
    return f"partly made-up data ({', '.join(map(str, numbers))})"
