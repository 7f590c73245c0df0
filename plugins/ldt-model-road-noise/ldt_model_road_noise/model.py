"""The component: traffic per street in, level before each building's loudest wall out."""

from __future__ import annotations

from collections import OrderedDict
from typing import Annotated, Literal

import numpy as np
import pyproj
from pydantic import ConfigDict

import ldt_core as ldt

from .absorption import absorb_air
from .coefficients import A_WEIGHTING, SURFACES, Floats, Surface
from .emission import line_power
from .propagation import Transfer, trace

SurfaceCode = Literal[
    "reference", "NL01", "NL02", "NL03", "NL04", "NL05", "NL06", "NL07",
    "NL08", "NL09", "NL10", "NL11", "NL12", "NL13", "NL14",
]  # fmt: skip

_TRANSFERS: OrderedDict[str, Transfer] = OrderedDict()
_KEPT = 4


class RoadNoise(ldt.Model):
    """A-weighted road-traffic noise before the loudest wall of each building: a screening estimate.

    Sound power per metre of street after CNOSSOS-EU (Directive 2015/996, coefficients of Delegated
    Directive 2021/1226); then divergence over hard ground, absorption by air (ISO 9613-1) and one
    fixed loss behind buildings. No reflections between walls, no terrain, no weather: it ranks
    streets and scenarios, it does not replace a noise map.

    Levels are decibels: each is an energetic mean of its window, and the ``background`` is added as
    energy. An arithmetic mean over windows or buildings is a mean of levels, not of energy.
    """

    id = "road-noise"
    title = "Road noise at buildings (screening estimate)"
    inputs = {
        "network": ldt.Port(
            {"edge": ldt.text(), "geometry": ldt.geometry("LineString")},
            at="start",
            entity="street-edge",
            id="edge",
            description="Streets; one edge per direction.",
        ),
        "traffic": ldt.Port(
            {
                "time": ldt.instant(),
                "edge": ldt.text(),
                "flow": ldt.number("{veh}/h", "x:traffic_flow", cell="mean", range=(0.0, 1e6)),
                "heavy": ldt.number("{veh}/h", "x:heavy_traffic_flow", cell="mean", range=(0.0, 1e6)),
                "speed": ldt.number("km/h", "x:vehicle_speed", cell="mean", range=(0.0, 300.0)),
            },
            entity="street-edge",
            id="edge",
            description="All vehicles, the heavy ones among them, their mean speed. No row: no traffic.",
        ),
        "buildings": ldt.Port(
            {
                "building": ldt.text(),
                "geometry": ldt.geometry("MultiPolygon"),
                "height": ldt.number("m", "x:building_height", range=(0.0, 2000.0)),
            },
            at="start",
            entity="building",
            id="building",
            description="Those higher than 4 m screen the walls behind them.",
        ),
    }
    outputs = {
        "levels": ldt.Port(
            {
                "time": ldt.instant(),
                "building": ldt.text(),
                "level": ldt.number("dB", "x:sound_level_a", cell="mean", range=(-50.0, 200.0)),
            },
            entity="building",
            id="building",
            description="Screening estimate: A-weighted level 4 m above ground at the loudest outer wall.",
        ),
        "emission": ldt.Port(
            {
                "time": ldt.instant(),
                "edge": ldt.text(),
                "power": ldt.number("dB", "x:sound_power_level_a_per_metre", cell="mean", range=(0.0, 200.0)),
            },
            entity="street-edge",
            id="edge",
            description="A-weighted sound power per metre, dB re 1 pW/m; 0 where nothing drives.",
        ),
    }
    validity = {
        "use": "comparing streets and scenarios; not strategic noise mapping",
        "speed": "20 to 130 km/h; slower vehicles are as loud as at 20 km/h",
        "not modelled": "reflections, terrain, soft ground, weather, gradient, junctions, motorcycles",
        "emission": "equations agree with a reference implementation to rounding, in every octave band",
    }

    class Params(ldt.Params):
        model_config = ConfigDict(use_attribute_docstrings=True)

        surface: SurfaceCode = "reference"
        """Pavement of all streets: a row of Table F-4 (NL05: stone mastic asphalt SMA-NL8)."""
        temperature: Annotated[float, ldt.unit("Cel"), ldt.Field(ge=-20, le=50)] = 20.0
        """Of the air: cold tyres are louder, and it sets the absorption."""
        humidity: Annotated[float, ldt.unit("%"), ldt.Field(ge=10, le=100)] = 70.0
        """Relative humidity of the air, for its absorption."""
        medium_share: Annotated[float, ldt.unit("1"), ldt.Field(ge=0, le=1)] = 0.0
        """Share of category 2 (two axles, twin tyres) among the heavy vehicles; the rest is category 3."""
        background: Annotated[float, ldt.unit("dB"), ldt.Field(ge=0, le=80)] = 35.0
        """Level of everything that is not a modelled street, added to every building."""
        max_distance: Annotated[float, ldt.unit("m"), ldt.Field(gt=0, le=2000)] = 150.0
        """Streets farther away do not count."""
        screening_loss: Annotated[float, ldt.unit("dB"), ldt.Field(ge=0, le=25)] = 20.0
        """What a building in the line of sight takes; 20 dB is the cap of ISO 9613-2 for one edge."""
        spacing: Annotated[float, ldt.unit("m"), ldt.Field(ge=1, le=100)] = 10.0
        """Greatest distance between two receivers along a wall."""

    def compute(self, inputs: ldt.Tables) -> ldt.Tables:
        network, traffic, buildings = (_table(inputs, name) for name in ("network", "traffic", "buildings"))
        surface = SURFACES[self.params.surface]
        flows, speed = self._align(network, traffic)
        self._flag_speeds(flows, speed, surface)
        weighted = line_power(flows, speed, surface, self.params.temperature) * 10.0 ** (A_WEIGHTING / 10.0)
        transfer = self._transfer(network, buildings)
        heard = transfer.loudest(weighted, len(buildings)) + 10.0 ** (self.params.background / 10.0)
        start = self.context.instant(self.context.window.start)
        return {
            "levels": ldt.Table(
                {
                    "time": np.full(len(buildings), start),
                    "building": buildings["building"],
                    "level": 10.0 * np.log10(heard),
                }
            ),
            "emission": ldt.Table(
                {
                    "time": np.full(len(network), start),
                    "edge": network["edge"],
                    "power": 10.0 * np.log10(np.maximum(weighted.sum(1), 1.0)),
                }
            ),
        }

    def _align(self, network: ldt.Table, traffic: ldt.Table) -> tuple[Floats, Floats]:
        """Flows (edge, category) and speed in the network's order."""
        row = {edge: i for i, edge in enumerate(network["edge"])}
        if len(row) < len(network):
            raise ldt.InputError(
                f"{len(network) - len(row)} edge ids occur more than once",
                where="road-noise.network.edge",
                fix="give every street edge an id of its own",
            )
        unknown = [edge for edge in traffic["edge"] if edge not in row]
        if unknown:
            raise ldt.InputError(
                f"{len(unknown)} of {len(traffic)} rows name an edge that the network lacks: '{unknown[0]}'",
                code="ids do not pair",
                where="road-noise.traffic.edge",
                fix="link network and traffic from the same component",
            )
        at = np.fromiter((row[edge] for edge in traffic["edge"]), np.int64, len(traffic))
        if len(np.unique(at)) < len(at):
            raise ldt.InputError(
                "an edge has several rows in one window",
                where="road-noise.traffic.edge",
                fix="give one row per edge and window",
            )
        flow, heavy = traffic["flow"], traffic["heavy"]
        over = heavy > flow * (1 + 1e-9) + 1e-9
        if over.any():
            first = int(over.argmax())
            raise ldt.InputError(
                f"'{traffic['edge'][first]}' has {heavy[first]:g} heavy among {flow[first]:g} vehicles/h",
                where="road-noise.traffic.heavy",
                fix="flow counts all vehicles, heavy ones included",
            )
        flows, speed = np.zeros((len(network), 3)), np.full(len(network), 50.0)
        flows[at, 0] = np.maximum(flow - heavy, 0.0)
        flows[at, 1] = heavy * self.params.medium_share
        flows[at, 2] = heavy * (1.0 - self.params.medium_share)
        speed[at] = traffic["speed"]
        return flows, speed

    def _flag_speeds(self, flows: Floats, speed: Floats, surface: Surface) -> None:
        if surface.speeds is None:
            return
        low, high = surface.speeds
        outside = (flows.sum(1) > 0) & ((speed < low) | (speed > high))
        self.context.flag(
            "surface_speed",
            float(outside.sum()),
            f"streets driven outside {low:g} to {high:g} km/h, for which {surface.name} is declared",
        )

    def _transfer(self, network: ldt.Table, buildings: ldt.Table) -> Transfer:
        """The part that no window changes, kept by the content that it was made from."""
        if pyproj.CRS.from_user_input(self.context.crs).is_geographic:
            raise ldt.InputError(
                f"distances cannot be measured in {self.context.crs}, whose unit is the degree",
                where="twin.crs",
                fix="give the twin a projected CRS in metres, such as its UTM zone",
            )
        p = self.params
        absorption = absorb_air(p.temperature, p.humidity)
        static = network.select("geometry").digest, buildings.select("geometry", "height").digest
        key = repr((*static, p.spacing, p.max_distance, p.temperature, p.humidity, p.screening_loss))
        if key not in _TRANSFERS:
            self.context.check_cancelled()
            _TRANSFERS[key] = trace(
                network["geometry"],
                buildings["geometry"],
                buildings["height"],
                spacing=p.spacing,
                max_distance=p.max_distance,
                absorption=absorption,
                screening_loss=p.screening_loss,
                progress=self._report,
            )
            while len(_TRANSFERS) > _KEPT:
                _TRANSFERS.popitem(last=False)
        _TRANSFERS.move_to_end(key)
        transfer = _TRANSFERS[key]
        enclosed = len(buildings) - len(np.unique(transfer.building))
        self.context.flag(
            "enclosed_buildings",
            float(enclosed),
            "buildings without a free outer wall: they show the background",
        )
        return transfer

    def _report(self, share: float) -> None:
        self.context.check_cancelled()
        self.context.progress(share)


def _table(inputs: ldt.Tables, name: str) -> ldt.Table:
    table = inputs.get(name)
    if not isinstance(table, ldt.Table):
        raise ldt.InputError(f"no table came on '{name}'", where=f"road-noise.{name}", fix="link this input")
    return table
