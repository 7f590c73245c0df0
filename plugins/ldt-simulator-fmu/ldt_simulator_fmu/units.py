"""From the units of an FMU to UCUM codes, proved by their size in base units."""

from __future__ import annotations

import math
from typing import Any

import ldt_core as ldt

# Names that tools write and UCUM spells otherwise.
_SPELLED = {
    "": "1", "-": "1", "degC": "Cel", "°C": "Cel", "degF": "[degF]", "hour": "h", "kWh": "kW.h", "Wh": "W.h",
    "MWh": "MW.h", "m3/hour": "m3/h", "l": "L", "l/s": "L/s", "rpm": "{rpm}/min",
}  # fmt: skip
_BASE = {"kg": "kg", "m": "m", "s": "s", "A": "A", "K": "K", "mol": "mol", "cd": "cd", "rad": "rad"}


def ucum_code(name: str | None, base: Any | None) -> str | None:
    """The UCUM code of an FMI unit, or None where there is no proof of one.

    ``base`` is FMPy's ``BaseUnit`` (exponents, factor and offset), with which any code must agree. Without
    it a name counts where UCUM knows it or spells it in one other way.
    """
    if name is None:
        return None
    spelled = _SPELLED.get(name, name.replace("*", ".").replace("^", ""))
    if base is None:
        return spelled if _is_known(spelled) else None
    whole = ".".join(f"{u}{e if e != 1 else ''}" for n, u in _BASE.items() if (e := getattr(base, n))) or "1"
    for code in (spelled, whole):
        try:
            gain, offset = ldt.conversion(code, whole)
        except ldt.WiringError:
            continue
        if math.isclose(gain, base.factor, rel_tol=1e-9) and math.isclose(offset, base.offset, abs_tol=1e-9):
            return code
    return None


def _is_known(code: str) -> bool:
    try:
        ldt.conversion(code, "m")
    except ldt.WiringError as exc:
        return exc.code != "unit unknown"
    return True
