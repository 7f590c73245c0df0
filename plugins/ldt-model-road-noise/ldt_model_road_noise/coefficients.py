"""Published coefficients of the CNOSSOS-EU road source, vehicle categories 1 to 3.

Source: Annex II of Directive 2002/49/EC as set by Commission Directive (EU) 2015/996, with Tables
F-1 and F-4 of Appendix F as replaced by Commission Delegated Directive (EU) 2021/1226, annex point
(19) (OJ L 269, 28.7.2021, pp. 96-99), and the A-weighting of section 2.5.5 in the same act.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BANDS = (63, 125, 250, 500, 1000, 2000, 4000, 8000)
"""Nominal centre frequencies of the octave bands, Hz."""

A_WEIGHTING: Floats = np.array([-26.2, -16.1, -8.6, -3.2, 0.0, 1.2, 1.0, -1.1])
"""Octave-band A-weighting, dB."""

CATEGORIES = ("light", "medium", "heavy")
"""Category 1: cars and vans to 3.5 t; 2: two axles, twin tyres behind; 3: three axles and more."""


class Vehicles(NamedTuple):
    """Table F-1: coefficients of rolling and propulsion noise, each of shape (category, band), in dB."""

    rolling_a: Floats
    rolling_b: Floats
    propulsion_a: Floats
    propulsion_b: Floats


VEHICLES = Vehicles(
    rolling_a=np.array(
        [
            [83.1, 89.2, 87.7, 93.1, 100.1, 96.7, 86.8, 76.2],
            [88.7, 93.2, 95.7, 100.9, 101.7, 95.1, 87.8, 83.6],
            [91.7, 96.2, 98.2, 104.9, 105.1, 98.5, 91.1, 85.6],
        ]
    ),
    rolling_b=np.array(
        [
            [30.0, 41.5, 38.9, 25.7, 32.5, 37.2, 39.0, 40.0],
            [30.0, 35.8, 32.6, 23.8, 30.1, 36.2, 38.3, 40.1],
            [30.0, 33.5, 31.3, 25.4, 31.8, 37.1, 38.6, 40.6],
        ]
    ),
    propulsion_a=np.array(
        [
            [97.9, 92.5, 90.7, 87.2, 84.7, 88.0, 84.4, 77.1],
            [105.5, 100.2, 100.5, 98.7, 101.0, 97.8, 91.2, 85.0],
            [108.8, 104.2, 103.5, 102.9, 102.6, 98.5, 93.8, 87.5],
        ]
    ),
    propulsion_b=np.array(
        [
            [-1.3, 7.2, 7.7, 8.0, 8.0, 8.0, 8.0, 8.0],
            [-1.9, 4.7, 6.4, 6.5, 6.5, 6.5, 6.5, 6.5],
            [0.0, 3.0, 4.6, 5.0, 5.0, 5.0, 5.0, 5.0],
        ]
    ),
)
"""The coefficients of 2021; the method allows a national set in their place."""

TEMPERATURE_K: Floats = np.array([0.08, 0.04, 0.04])
"""Coefficient K of formula 2.2.10, dB per degree below 20 Cel."""


class Surface(NamedTuple):
    """A row group of Table F-4: ``alpha`` (category, band) in dB, ``beta`` (category) in dB per
    tenfold speed, and the speeds (km/h) that the row is declared valid for."""

    name: str
    alpha: Floats
    beta: Floats
    speeds: tuple[float, float] | None


def _surface(
    name: str, speeds: tuple[float, float] | None, *rows: tuple[tuple[float, ...], float]
) -> Surface:
    return Surface(name, np.array([a for a, _ in rows]), np.array([b for _, b in rows]), speeds)


_NONE = ((0.0,) * 8, 0.0)
_THIN_2 = ((13.8, 5.4, 3.9, -0.4, -1.8, -2.1, -0.7, -0.2), 0.5)
_THIN_3 = ((14.1, 6.1, 4.1, -0.4, -1.8, -2.1, -0.7, -0.2), 0.3)

# fmt: off
SURFACES: dict[str, Surface] = {
    "reference": _surface("reference road surface", None, _NONE, _NONE, _NONE),
    "NL01": _surface("1-layer porous asphalt (ZOAB)", (50, 130),
        ((0.0, 5.4, 4.3, 4.2, -1.0, -3.2, -2.6, 0.8), -6.5),
        ((7.9, 4.3, 5.3, -0.4, -5.2, -4.6, -3.0, -1.4), 0.2),
        ((9.3, 5.0, 5.5, -0.4, -5.2, -4.6, -3.0, -1.4), 0.2)),
    "NL02": _surface("2-layer porous asphalt (ZOAB)", (50, 130),
        ((1.6, 4.0, 0.3, -3.0, -4.0, -6.2, -4.8, -2.0), -3.0),
        ((7.3, 2.0, -0.3, -5.2, -6.1, -6.0, -4.4, -3.5), 4.7),
        ((8.3, 2.2, -0.4, -5.2, -6.2, -6.1, -4.5, -3.5), 4.7)),
    "NL03": _surface("2-layer porous asphalt, fine (ZOAB)", (80, 130),
        ((-1.0, 3.0, -1.5, -5.3, -6.3, -8.5, -5.3, -2.4), -0.1),
        ((7.9, 0.1, -1.9, -5.9, -6.1, -6.8, -4.9, -3.8), -0.8),
        ((9.4, 0.2, -1.9, -5.9, -6.1, -6.7, -4.8, -3.8), -0.9)),
    "NL04": _surface("stone mastic asphalt SMA-NL5", (40, 80),
        ((10.3, -0.9, 0.9, 1.8, -1.8, -2.7, -2.0, -1.3), -1.6), _NONE, _NONE),
    "NL05": _surface("stone mastic asphalt SMA-NL8", (40, 80),
        ((6.0, 0.3, 0.3, 0.0, -0.6, -1.2, -0.7, -0.7), -1.4), _NONE, _NONE),
    "NL06": _surface("brushed down concrete", (70, 120),
        ((8.2, -0.4, 2.8, 2.7, 2.5, 0.8, -0.3, -0.1), 1.4),
        ((0.3, 4.5, 2.5, -0.2, -0.1, -0.5, -0.9, -0.8), 5.0),
        ((0.2, 5.3, 2.5, -0.2, -0.1, -0.6, -1.0, -0.9), 5.5)),
    "NL07": _surface("optimised brushed down concrete", (70, 80),
        ((-0.2, -0.7, 1.4, 1.2, 1.1, -1.6, -2.0, -1.8), 1.0),
        ((-0.7, 3.0, -2.0, -1.4, -1.8, -2.7, -2.0, -1.9), -6.6),
        ((-0.5, 4.2, -1.9, -1.3, -1.7, -2.5, -1.8, -1.8), -6.6)),
    "NL08": _surface("fine broomed concrete", (70, 120),
        ((8.0, -0.7, 4.8, 2.2, 1.2, 2.6, 1.5, -0.6), 7.6),
        ((0.2, 8.6, 7.1, 3.2, 3.6, 3.1, 0.7, 0.1), 3.2),
        ((0.1, 9.8, 7.4, 3.2, 3.1, 2.4, 0.4, 0.0), 2.0)),
    "NL09": _surface("worked surface", (50, 130),
        ((8.3, 2.3, 5.1, 4.8, 4.1, 0.1, -1.0, -0.8), -0.3),
        ((0.1, 6.3, 5.8, 1.8, -0.6, -2.0, -1.8, -1.6), 1.7),
        ((0.0, 7.4, 6.2, 1.8, -0.7, -2.1, -1.9, -1.7), 1.4)),
    "NL10": _surface("hard elements in herringbone", (30, 60),
        ((27.0, 16.2, 14.7, 6.1, 3.0, -1.0, 1.2, 4.5), 2.5),
        ((29.5, 20.0, 17.6, 8.0, 6.2, -1.0, 3.1, 5.2), 2.5),
        ((29.4, 21.2, 18.2, 8.4, 5.6, -1.0, 3.0, 5.8), 2.5)),
    "NL11": _surface("hard elements not in herringbone", (30, 60),
        ((31.4, 19.7, 16.8, 8.4, 7.2, 3.3, 7.8, 9.1), 2.9),
        ((34.0, 23.6, 19.8, 10.5, 11.7, 8.2, 12.2, 10.0), 2.9),
        ((33.8, 24.7, 20.4, 10.9, 10.9, 6.8, 12.0, 10.8), 2.9)),
    "NL12": _surface("quiet hard elements", (30, 60),
        ((26.8, 13.7, 11.9, 3.9, -1.8, -5.8, -2.7, 0.2), -1.7),
        ((9.2, 5.7, 4.8, 2.3, 4.4, 5.1, 5.4, 0.9), 0.0),
        ((9.1, 6.6, 5.2, 2.6, 3.9, 3.9, 5.2, 1.1), 0.0)),
    "NL13": _surface("thin layer A", (40, 130),
        ((10.4, 0.7, -0.6, -1.2, -3.0, -4.8, -3.4, -1.4), -2.9), _THIN_2, _THIN_3),
    "NL14": _surface("thin layer B", (40, 130),
        ((6.8, -1.2, -1.2, -0.3, -4.9, -7.0, -4.8, -3.2), -1.8), _THIN_2, _THIN_3),
}
# fmt: on
"""Table F-4 by the code that is in common use for its rows (NL01 ... in the order of the table)."""
