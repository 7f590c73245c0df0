"""Sound power of road traffic after CNOSSOS-EU, section 2.2: rolling and propulsion noise.

Left out, because no input carries them: gradient, studded tyres, distance to a junction and
powered two-wheelers. Two-way streets are two edges, each with its own flow.
"""

from __future__ import annotations

import numpy as np

from .coefficients import TEMPERATURE_K, VEHICLES, Floats, Surface, Vehicles

REFERENCE_SPEED = 70.0
REFERENCE_TEMPERATURE = 20.0

LEAST_SPEED = 20.0
"""km/h. Section 2.2.2: below it a vehicle's sound power is that at 20 km/h."""

LEAST_DENSITY_SPEED = 5.0
"""km/h. Q / v is the number of vehicles on a metre; in a standing queue it would grow without end.

The method leaves this case open. At 5 km/h a lane at capacity already holds a vehicle every few metres.
"""


def vehicle_power(
    speed: Floats, surface: Surface, temperature: float, vehicles: Vehicles = VEHICLES
) -> Floats:
    """Sound power level of one vehicle, dB re 1 pW, shape (n, category, band).

    ``speed`` in km/h, shape (n,); ``temperature`` of the air in Cel. Formulas 2.2.2, 2.2.4, 2.2.10,
    2.2.11, 2.2.19 and 2.2.20.
    """
    v = np.maximum(speed, LEAST_SPEED)[:, None, None]
    decades = np.log10(v / REFERENCE_SPEED)
    warm = (TEMPERATURE_K * (REFERENCE_TEMPERATURE - temperature))[:, None]
    rolling = (
        vehicles.rolling_a + surface.alpha + (vehicles.rolling_b + surface.beta[:, None]) * decades + warm
    )
    # A porous surface also absorbs engine noise; a rough one does not add to it.
    absorbed = np.minimum(surface.alpha, 0.0)
    propulsion = vehicles.propulsion_a + vehicles.propulsion_b * (v / REFERENCE_SPEED - 1.0) + absorbed
    return np.asarray(10.0 * np.log10(10.0 ** (rolling / 10.0) + 10.0 ** (propulsion / 10.0)))


def line_power(
    flows: Floats,
    speed: Floats,
    surface: Surface,
    temperature: float,
    vehicles: Vehicles = VEHICLES,
) -> Floats:
    """Sound power per metre of street, pW/m (linear, not dB), shape (n, band). Formula 2.2.1.

    ``flows`` in vehicles per hour, shape (n, category); ``speed`` in km/h, shape (n,), for all
    categories alike. A street without traffic emits 0.
    """
    density = flows / (1000.0 * np.maximum(speed, LEAST_DENSITY_SPEED))[:, None]
    power = 10.0 ** (vehicle_power(speed, surface, temperature, vehicles) / 10.0)
    return np.asarray(np.einsum("nc,ncb->nb", density, power))
