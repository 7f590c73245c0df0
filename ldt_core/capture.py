"""A group at an instant at which all its clocks stand: taken as a checkpoint, and put back."""

from __future__ import annotations

from typing import cast

from .actor import Actor
from .checkpoint import Checkpoint, Refused, Saved
from .errors import LdtError
from .faults import broken, guarded
from .group import Group
from .interfaces import Simulator


def capture(group: Group) -> Checkpoint:
    """Everything that is needed to go on from where all clocks stand."""
    actors, lagged = group.actors.values(), group.lagged.items()
    return Checkpoint(
        next(a.time for a in actors),
        {a.name: _saved(a) for a in actors},
        {n: list(h.parts) for n, h in group.buffers.items()},
        {n: [] if r.found is None else [(0, 0, r.found)] for n, r in lagged},
        {n: r.worst for n, r in lagged},
        {f"{a.name}.{n}": list(parts) for a in actors for n, parts in a.parts.items()},
    )


def _saved(actor: Actor) -> Saved:
    context = actor.context
    return Saved(state_of(actor), context.rng_state, tuple(context.flags))


def state_of(actor: Actor) -> bytes | None:
    """What the component gives as its state; None for a model."""
    component = actor.component
    if not isinstance(component, Simulator):
        return None
    state = guarded(actor.name, "get_state", component.get_state)
    if not isinstance(state, (bytes, bytearray, memoryview)):
        raise broken(actor.name, f"get_state returned a {type(state).__name__}, not bytes")
    return bytes(state)


def restore(group: Group, saved: Checkpoint) -> None:
    """Go on from a checkpoint: of a group that is started and connected, before ``prepare``. Raises ``Refused``."""
    group.progress.done = saved.at * len(group.actors)
    for actor in group.actors.values():
        actor.time = saved.at
        member = saved.members.get(actor.name, Saved())
        actor.context.flags[:] = member.flags
        actor.context.rng_state = member.rng
        if member.state is not None:
            _set_state(actor, member.state)
        for name, port in actor.member.outputs.items():
            ref = f"{actor.name}.{name}"
            if ref in group.record and port.at == "step":
                actor.parts[name] = list(saved.recorded[ref])
    for name, history in group.buffers.items():
        history.parts[:] = saved.links[name]
    for name, reader in group.lagged.items():
        reader.found = next((table for _, _, table in saved.read[name]), None)
        reader.worst = saved.worst[name]


def _set_state(actor: Actor, state: bytes) -> None:
    try:
        guarded(actor.name, "set_state", lambda: cast(Simulator, actor.component).set_state(state))
    except LdtError as exc:
        raise Refused(f"{actor.name} refuses its state: {exc.what}") from exc
