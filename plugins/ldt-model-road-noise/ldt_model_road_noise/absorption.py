"""How much sound the air takes: ISO 9613-1:1993, pure tones at the exact midband frequencies."""

from __future__ import annotations

import numpy as np

from .coefficients import BANDS, Floats

MIDBANDS: Floats = np.array([1000.0 * 10.0 ** (0.3 * k) for k in range(-4, 4)])
"""Exact midband frequencies (Hz) of the nominal 63 Hz to 8 kHz."""

REFERENCE_PRESSURE = 101.325
_TRIPLE_POINT = 273.16
_REFERENCE_TEMPERATURE = 293.15

assert len(MIDBANDS) == len(BANDS)


def absorb_air(temperature: float, humidity: float, pressure: float = REFERENCE_PRESSURE) -> Floats:
    """Attenuation of the eight bands, dB/m. Equations (3) to (5), (B.2) and (B.3) of the standard.

    ``temperature`` in Cel, relative ``humidity`` in %, ``pressure`` in kPa. The standard gives 10 %
    accuracy from -20 to 50 Cel.
    """
    kelvin = temperature + 273.15
    warmth = kelvin / _REFERENCE_TEMPERATURE
    ratio = pressure / REFERENCE_PRESSURE
    saturation = 10.0 ** (-6.8346 * (_TRIPLE_POINT / kelvin) ** 1.261 + 4.6151)
    water = humidity * saturation / ratio  # molar concentration, %
    oxygen = ratio * (24.0 + 4.04e4 * water * (0.02 + water) / (0.391 + water))
    nitrogen = ratio * warmth**-0.5 * (9.0 + 280.0 * water * np.exp(-4.170 * (warmth ** (-1 / 3) - 1.0)))
    f = MIDBANDS
    classical = 1.84e-11 / ratio * warmth**0.5
    relaxation = warmth**-2.5 * (
        0.01275 * np.exp(-2239.1 / kelvin) / (oxygen + f**2 / oxygen)
        + 0.1068 * np.exp(-3352.0 / kelvin) / (nitrogen + f**2 / nitrogen)
    )
    return np.asarray(8.686 * f**2 * (classical + relaxation))
