"""A group at an instant at which all its clocks stand: taken as a checkpoint, and put back."""

from __future__ import annotations

from .actor import Actor
from .checkpoint import Checkpoint, Refused, Saved
from .errors import LdtError
from .group import Group


def capture(group: Group) -> Checkpoint:
    """Everything that is needed to go on from where all clocks stand."""
    actors, lagged = group.actors.values(), group.lagged.items()
    return Checkpoint(
        next(a.time for a in actors),
        {a.name: _saved(a) for a in actors},
        {n: list(h.parts) for n, h in group.buffers.items()},
        {n: [] if r.found is None else [(0, 0, r.found)] for n, r in lagged},
        _worst(group),
        {f"{a.name}.{n}": list(parts) for a in actors for n, parts in a.parts.items()},
    )


def _worst(group: Group) -> dict[str, float]:
    """What is told of delayed links at the end: the largest change or residual, and how often windows repeated."""
    found = {n: r.worst for n, r in group.lagged.items()}
    found |= {n: r.worst for n, r in group.implicit.items()}
    return found | {f"{b.name} {n}": float(c) for b in group.blocks for n, c in b.counts.items()}


def _saved(actor: Actor) -> Saved:
    context = actor.context
    return Saved(actor.get_state(), context.rng_state, tuple(context.flags))


def restore(group: Group, saved: Checkpoint) -> None:
    """Go on from a checkpoint: of a group that is started and connected, before ``prepare``. Raises ``Refused``."""
    group.progress.done = saved.at * len(group.actors)
    for actor in group.actors.values():
        actor.time = saved.at
        member = saved.members.get(actor.name, Saved())
        actor.context.flags[:] = member.flags
        actor.context.rng_state = member.rng
        if member.state is not None:
            try:
                actor.set_state(member.state)
            except LdtError as exc:
                raise Refused(f"{actor.name} refuses its state: {exc.what}") from exc
        for name, port in actor.member.outputs.items():
            ref = f"{actor.name}.{name}"
            if ref in group.record and port.at == "step":
                actor.parts[name] = list(saved.recorded[ref])
    for name, history in group.buffers.items():
        history.parts[:] = saved.links[name]
    for name, reader in group.lagged.items():
        reader.found = next((table for _, _, table in saved.read[name]), None)
        reader.worst = saved.worst[name]
    for name, implicit in group.implicit.items():
        implicit.worst = saved.worst[name]
    for block in group.blocks:
        block.counts = {n: int(saved.worst[f"{block.name} {n}"]) for n in block.counts}
