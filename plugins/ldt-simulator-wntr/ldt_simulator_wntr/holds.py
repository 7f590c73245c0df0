"""Links that something outside keeps shut, whatever the network's own controls would do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

STATUS, SETTING = 11, 12  # of EPANET's link parameters
TIMER, CLOCK = 2, 3  # of EPANET's kinds of simple controls
DAY = 86_400


@dataclass
class _Held:
    since: int
    setting: float  # of a pump its speed, of other links open (1) or closed (0)


class Holds:
    """Shuts links and lets them go again.

    While a link is held, its simple controls are taken out, for EPANET obeys them within a solution; its rules may open it at
    the end of a hydraulic step, and ``press`` shuts it again before the next one. A link that is let go
    has the setting that it had, or the one that a timer gave it meanwhile.
    """

    def __init__(self, toolkit: Any, pumps: set[int], clock_start: int) -> None:
        self._toolkit, self._pumps, self._clock_start = toolkit, pumps, clock_start
        controls = [toolkit.ENgetcontrol(i) for i in range(1, toolkit.ENgetcount(5) + 1)]
        self._controls: dict[int, list[dict[str, Any]]] = {}
        for control in controls:
            self._controls.setdefault(control["linkindex"], []).append(control)
        self._held: dict[int, _Held] = {}

    def change(self, shut: set[int], now: int) -> None:
        """From now on these links are shut, and no others."""
        for link in sorted(set(self._held) - shut):
            self._release(link, self._held.pop(link), now)
        for link in sorted(shut - set(self._held)):
            self._held[link] = _Held(now, self._setting(link))
            for control in self._controls.get(link, ()):
                self._set(control, 0)

    def press(self) -> None:
        """Before every solution: shut what is held."""
        for link in self._held:
            if self._setting(link) != 0 or self._toolkit.ENgetlinkvalue(link, STATUS) != 0:
                self._toolkit.ENsetlinkvalue(link, STATUS, 0)

    def _setting(self, link: int) -> float:
        return float(self._toolkit.ENgetlinkvalue(link, SETTING if link in self._pumps else STATUS))

    def _release(self, link: int, held: _Held, now: int) -> None:
        setting = held.setting
        latest = held.since - 1
        for control in self._controls.get(link, ()):
            self._set(control, link)
            at = self._last_time(control, now)
            if at is not None and latest < at <= now and at >= held.since:
                latest, setting = at, control["setting"]
        self._toolkit.ENsetlinkvalue(link, SETTING if link in self._pumps else STATUS, setting)

    def _last_time(self, control: dict[str, Any], now: int) -> int | None:
        """When a timer went off last, in seconds of the simulation."""
        if control["type"] == TIMER:
            return int(control["level"])
        if control["type"] == CLOCK:
            return now - (now + self._clock_start - int(control["level"])) % DAY
        return None

    def _set(self, control: dict[str, Any], link: int) -> None:
        c = control
        self._toolkit.ENsetcontrol(int(c["index"]), c["type"], link, c["setting"], c["nodeindex"], c["level"])
