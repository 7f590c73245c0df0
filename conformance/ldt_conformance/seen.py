"""What commands did inside the walls, as the programs there and the audit hook wrote it down."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Seen:
    """What commands did inside. ``limit`` names the limit that one met: memory, disk, cpu, time, processes.

    ``names`` are those asked of a name server, with the address that stood for each; ``addresses`` (address, port,
    protocol) those a packet went to; ``written`` files outside the scratch folder; ``left`` commands that ran on when
    theirs had ended; ``started`` all commands seen; ``printed`` the first that was printed; ``events`` what Python's
    audit hook wrote down.
    """

    network: str = "watched"
    names: Mapping[str, str] = field(default_factory=dict)
    addresses: tuple[tuple[str, int, str], ...] = ()
    written: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    started: tuple[str, ...] = ()
    memory: int = 0
    scratch: int = 0
    cpu: float = 0.0
    seconds: float = 0.0
    processes: int = 0
    refused: int = 0
    limit: str | None = None
    ended_by: str | None = None
    printed: str = ""
    events: tuple[Mapping[str, Any], ...] = ()

    @property
    def processors(self) -> float:
        """How many were kept busy, on average."""
        return self.cpu / self.seconds if self.seconds else 0.0

    @property
    def hosts(self) -> dict[str, str]:
        """Every host asked for: names, and addresses that no name was asked for, with how."""
        stand = set(self.names.values())
        found = {f"{a}": f"{a} port {p} ({how})" for a, p, how in self.addresses if a not in stand}
        return {**dict.fromkeys(self.names, "a name"), **found}


def read_report(said: Mapping[str, Any]) -> Seen:
    return Seen(
        network=said["network"],
        names=dict(said.get("names", {})),
        addresses=tuple((a, p, how) for a, p, how in said.get("addresses", ())),
        written=tuple(said.get("written", ())),
        left=tuple(p["command"] for p in said.get("left", ())),
        started=tuple(said.get("started", ())),
        memory=said.get("memory", 0),
        scratch=said.get("scratch", 0),
        cpu=said.get("cpu", 0.0),
        seconds=said.get("seconds", 0.0),
        processes=said.get("processes", 0),
        refused=said.get("pids_refused", 0),
        limit=_limit(said),
        ended_by=said.get("ended_by"),
        printed=said.get("printed", ""),
    )


def _limit(said: Mapping[str, Any]) -> str | None:
    if said.get("memory_refused"):
        return "memory"
    return said.get("limit") or ("processes" if said.get("pids_refused") else None)


def together(found: Sequence[Seen]) -> Seen:
    """What several commands did, as if it were one."""
    whole = Seen()
    for one in found:
        whole = Seen(
            network=one.network if whole.network == "watched" else whole.network,
            names={**whole.names, **one.names},
            addresses=tuple(dict.fromkeys((*whole.addresses, *one.addresses))),
            written=tuple(dict.fromkeys((*whole.written, *one.written))),
            left=(*whole.left, *one.left),
            started=tuple(dict.fromkeys((*whole.started, *one.started))),
            memory=max(whole.memory, one.memory),
            scratch=max(whole.scratch, one.scratch),
            cpu=whole.cpu + one.cpu,
            seconds=whole.seconds + one.seconds,
            processes=max(whole.processes, one.processes),
            refused=whole.refused + one.refused,
            limit=whole.limit or one.limit,
            ended_by=whole.ended_by or one.ended_by,
            printed=whole.printed + one.printed,
        )
    return whole


def read_events(log: Path) -> Iterable[Mapping[str, Any]]:
    """What the audit hook wrote; what is judged could write there too, so that nothing is decided by it alone."""
    with suppress(OSError), log.open("rb") as stream:
        for line in stream.read(4 * 2**20).splitlines():
            with suppress(ValueError, KeyError, TypeError):
                found = json.loads(line)
                what = [str(w) for w in found["what"]]
                yield {"event": str(found["event"]), "what": what, "where": str(found["where"])}
