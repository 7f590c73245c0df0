"""From a finished ensemble to judged KPIs, and from a run's record to the figures that people read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from .ensemble import Ensemble
from .identity import core_digest
from .kpi import Change, change, evaluate, result_unit
from .store import Entry, canonical
from .tables import GridPort, Port, Recording, port_as_dict
from .tasks import short
from .twin import KpiDefinition, Ref, Twin
from .wanted import attribute_port, value_column
from .wiring import Plan

if TYPE_CHECKING:
    from . import scene


class Recordings:
    """The recordings of an ensemble, each read once."""

    def __init__(self, ensemble: Ensemble) -> None:
        self.ensemble = ensemble
        self._read: dict[tuple[str, str], Recording] = {}

    def entry(self, scenario: str, component: str, replicate: int) -> Entry:
        return self.ensemble.entries[self.ensemble.work(scenario, component, replicate).key]

    def get(self, scenario: str, ref: Ref, replicate: int) -> Recording:
        entry = self.entry(scenario, ref.component, replicate)
        name = f"{ref.component}.{ref.port}"
        key = (entry.key, name)
        if key not in self._read:
            self._read[key] = entry.recording(name)
        return self._read[key]


def judge(ensemble: Ensemble) -> dict[str, Any]:
    """Every KPI by scenario and replicate, with its definition, its version and what it was made from."""
    recordings = Recordings(ensemble)
    return {id: _judge_one(ensemble, recordings, id, kpi) for id, kpi in ensemble.twin.kpis.items()}


def _judge_one(ensemble: Ensemble, recordings: Recordings, id: str, kpi: KpiDefinition) -> dict[str, Any]:
    definition = describe_kpi(id, kpi, own_unit(ensemble, kpi))
    digest = short(canonical(definition).decode())
    values: dict[str, list[float | None]] = {}
    inputs: dict[str, list[str]] = {}
    for scenario in ensemble.scenarios:
        values[scenario], inputs[scenario] = [], []
        for replicate in range(ensemble.replicates):
            value, key = kpi_value(ensemble, recordings, kpi, scenario, replicate, digest)
            values[scenario].append(value)
            inputs[scenario].append(key)
    chance = any(
        stage.replicated
        for plan in ensemble.plans.values()
        for stage in plan.stages
        if kpi.of.component in stage.members
    )
    base = values[ensemble.scenarios[0]]
    changes = {
        s: _plain(found)
        for s in ensemble.scenarios[1:]
        if (found := change(values[s], base, chance=chance)) is not None
    }
    return {
        **definition,
        "digest": digest,
        "chance": chance,
        "values": values,
        "inputs": inputs,
        "changes": changes,
        "credits": credits_of(ensemble.plans[ensemble.scenarios[0]], kpi.of, kpi.weight),
        "synthetic": synthetic_of(ensemble.plans[ensemble.scenarios[0]], kpi.of, kpi.weight),
    }


def own_unit(ensemble: Ensemble, kpi: KpiDefinition) -> str:
    port = ensemble.plans[ensemble.scenarios[0]].nodes[kpi.of.component].outputs[kpi.of.port]
    return result_unit(kpi, port.columns[value_column(kpi.of, cast(Port, port), str(kpi.of))])


def describe_kpi(id: str, kpi: KpiDefinition, unit: str) -> dict[str, Any]:
    return {
        "title": kpi.title or id.replace("_", " "),
        "description": kpi.description,
        "of": str(kpi.of),
        "where": [list(w) for w in kpi.where],
        "reduce": [list(r) for r in kpi.reduce.items()],
        "weight": str(kpi.weight) if kpi.weight else None,
        "against": kpi.against,
        "unit": kpi.unit or unit,
        "better": kpi.better,
        "target": kpi.target,
    }


def kpi_value(
    ensemble: Ensemble, recordings: Recordings, kpi: KpiDefinition, scenario: str, replicate: int, digest: str
) -> tuple[float | None, str]:
    """A KPI's value, from the store where its definition and inputs are the same."""
    refs = [(scenario, kpi.of)]
    if kpi.weight is not None:
        refs.append((scenario, kpi.weight))
    if kpi.against is not None:
        refs.append((ensemble.baseline_of(scenario), kpi.of))
    attributes = _attributes(ensemble, kpi, scenario)
    refs += [(scenario, r) for r in attributes.values()]
    # The same numbers under another unit are another value, so what the ports mean counts as well.
    used = [
        [
            recordings.entry(s, r.component, replicate).digests[f"{r.component}.{r.port}"],
            port_as_dict(ensemble.plans[s].nodes[r.component].outputs[r.port]),
        ]
        for s, r in refs
    ]
    store = ensemble.store
    key = store.key({"kpi": digest, "inputs": used, "code": core_digest("kpi", "resample", "units")})
    entry = store.find(key)
    if entry is not None:
        return cast("float | None", entry.meta["value"]), key
    recording = recordings.get(scenario, kpi.of, replicate)
    place = str(kpi.of)
    weight = recordings.get(scenario, kpi.weight, replicate) if kpi.weight else None
    value = evaluate(
        kpi,
        value_column(kpi.of, recording.port, place),
        recording,
        weight=weight,
        weight_column=value_column(kpi.weight, weight.port, place) if kpi.weight and weight else None,
        baseline=recordings.get(ensemble.baseline_of(scenario), kpi.of, replicate) if kpi.against else None,
        attributes={n: recordings.get(scenario, r, replicate) for n, r in attributes.items()},
    )
    store.put(key, {}, {"value": value}, owner=f"kpi of {kpi.of}")
    return value, key


def _attributes(ensemble: Ensemble, kpi: KpiDefinition, scenario: str) -> dict[str, Ref]:
    """Where the columns stand that ``where`` names and the KPI's own port lacks."""
    outputs = {n: node.outputs for n, node in ensemble.plans[scenario].nodes.items()}
    own = outputs[kpi.of.component][kpi.of.port].columns
    found = {n: attribute_port(outputs, kpi.of, n) for n, _, _ in kpi.where if n not in own}
    return {n: r for n, r in found.items() if r is not None}


def _plain(found: Change) -> dict[str, Any]:
    return {
        "mean": found.mean,
        "percent": found.percent,
        "low": found.low,
        "high": found.high,
        "n": found.n,
        "verdict": found.verdict,
        "pairing_gain": found.gain,
        "certain": found.certain,
    }


def ancestors(plan: Plan, component: str) -> list[str]:
    """The component and all that it reads from, directly or not, in the order of the twin file."""
    found = {component}
    while True:
        more = {w.source for w in plan.wires if w.target in found} - found
        if not more:
            return [n for n in plan.nodes if n in found]
        found |= more


def lineage(plan: Plan, ref: Ref) -> list[Port | GridPort]:
    """The port that ``ref`` names and all that it was computed from, nearest first."""
    found: dict[tuple[str, str], None] = {}
    waiting = [(ref.component, ref.port)]
    while waiting:
        here = waiting.pop(0)
        if here not in found:
            found[here] = None
            waiting += [(w.source, w.port) for w in plan.wires if w.target == here[0]]
    return [plan.nodes[component].outputs[port] for component, port in found]


def synthetic_of(plan: Plan, *refs: Ref | None) -> list[str]:
    """What was made up among all that these ports were computed from."""
    ports = [p for ref in refs if ref is not None for p in lineage(plan, ref)]
    return list(dict.fromkeys(p.synthetic for p in ports if p.synthetic))


def credits_of(plan: Plan, *refs: Ref | None) -> list[str]:
    """Attribution and licence of all data that these ports were computed from."""
    ports = [p for ref in refs if ref is not None for p in lineage(plan, ref)]
    said = [", ".join(x for x in (p.attribution, p.licence) if x) for p in ports]
    return list(dict.fromkeys(s for s in said if s))


def judged_kpis(record: Mapping[str, Any], runs: Sequence[str]) -> list[scene.Kpi]:
    """The KPIs of a run's record as scenes and ``ldt compare`` show them; ``runs[0]`` is the baseline."""
    from . import scene

    found = []
    for id, kpi in record["kpis"].items():
        base = kpi["values"][runs[0]]
        values = []
        for run in runs:
            known = [v for v in kpi["values"][run] if v is not None]
            mean = sum(known) / len(known) if known else None
            diff = change(kpi["values"][run], base, chance=kpi["chance"]) if run != runs[0] else None
            better = None
            if diff is not None and diff.certain and kpi["better"] is not None:
                better = (diff.mean < 0) == (kpi["better"] == "lower")
            values.append(
                scene.KpiValue(
                    run=run,
                    value=mean,
                    lowest=min(known) if known else None,
                    highest=max(known) if known else None,
                    n=len(known),
                    met=_met(mean, kpi["target"], kpi["better"]),
                    change=diff.mean if diff else None,
                    percent=diff.percent if diff else None,
                    low=diff.low if diff else None,
                    high=diff.high if diff else None,
                    verdict=diff.verdict if diff else None,
                    better=better,
                )
            )
        found.append(
            scene.Kpi(
                id=id,
                title=kpi["title"],
                unit=kpi["unit"],
                better=kpi["better"],
                target=kpi["target"],
                values=values,
                credits=kpi["credits"],
                synthetic=kpi["synthetic"],
            )
        )
    return found


def _met(value: float | None, target: float | None, better: str | None) -> bool | None:
    if value is None or target is None or better is None:
        return None
    return value <= target if better == "lower" else value >= target


def place_port(twin: Twin, plan: Plan, ref: Ref) -> Ref | None:
    """The port that carries the geometry of the entities that ``ref`` speaks of."""
    port = plan.nodes[ref.component].outputs[ref.port]
    if not isinstance(port, Port) or port.entity is None:
        return None
    if port.geometry_column is not None:
        return ref
    nearest_first = [ref.component, *(n for n in ancestors(plan, ref.component)), *plan.nodes]
    for name in nearest_first:
        for port_name, other in plan.nodes[name].outputs.items():
            if other.entity == port.entity and isinstance(other, Port) and other.geometry_column is not None:
                return Ref(name, port_name, None)
    return None
