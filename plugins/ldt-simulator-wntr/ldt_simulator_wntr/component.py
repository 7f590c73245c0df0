"""The component: parameters in, one EPANET project, tables out."""

from __future__ import annotations

import importlib.metadata
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, cast

import ldt_core as ldt

from . import network, params, ports, state, windows
from .hydraulics import WARNINGS, Hydraulics

VALUE = {
    "demand": "demand",
    "factors": "factor",
    "supply": "voltage",
    "available": "available",
    "open": "open",
}
"""The value column of each input port."""


class WaterNetwork(ldt.Simulator):
    """Pressure, flow, tanks and pumps of a drinking water network, by EPANET 2.2 as WNTR brings it.

    Sources: Rossman et al., EPANET 2.2 User Manual, US EPA 2020. Klise et al., A software framework for
    assessing the resilience of drinking water systems (WNTR), Environmental Modelling & Software 95, 2017.
    """

    id = "water-network"
    title = "Water network (EPANET by WNTR)"
    inputs = ports.INPUTS
    outputs = ports.OUTPUTS
    dynamic = True
    processes = ("fc-list",)  # matplotlib, which wntr imports, asks it once for the fonts of the machine
    validity: ClassVar[Mapping[str, Any]] = {
        "hydraulics": "a row of steady states; no water hammer, no water quality",
        "windows": "whole seconds; a window shorter than the hydraulic step shortens it, so tanks differ a little",
        "pumps": "power by the file's efficiency; a motor is on or off, its power does not depend on the voltage",
    }
    tolerances: ClassVar[Mapping[str, float]] = {"pressure": 1e-9, "flow": 1e-9, "level": 1e-9, "power": 1e-9}

    Params = params.Params

    def __init__(self, params: Any = None, context: ldt.Context | None = None) -> None:
        super().__init__(params, context)
        self._work: Path | None = None
        self._net: network.Network | None = None
        self._hydraulics: Hydraulics | None = None
        self._windows: list[tuple[int, state.Told]] = []
        self._tripped: set[str] = set()

    def ports(self) -> tuple[Mapping[str, ldt.Port], Mapping[str, ldt.Port]]:
        """With the CRS of the coordinates, the licence, and what of the place was made up."""
        p = self.params
        shipped = p.network is not None
        licence = p.licence or ("BSD-3-Clause" if shipped else None)
        attribution = p.attribution or ("Networks shipped with WNTR (US EPA, Sandia)" if shipped else None)
        outputs: dict[str, ldt.Port] = {}
        for name, port in ports.OUTPUTS.items():
            made_up = None
            columns = dict(port.columns)
            shape = port.geometry_column and columns["geometry"].geometry
            if shape:
                columns["geometry"] = ldt.geometry(shape, crs="twin" if p.place else p.crs)
            if p.place is not None:
                made_up = f"A generic water network ({p.title}), moved and scaled to this place: not the city's own."
            elif p.crs is None:
                made_up = f"{p.title} does not say where its coordinates are."
            outputs[name] = port.replace(
                columns=columns, licence=licence, attribution=attribution, synthetic=made_up
            )
        return ports.INPUTS, outputs

    # -- start ------------------------------------------------------------------------------

    def initialize(self, inputs: ldt.Tables) -> ldt.Tables:
        """Read the network, compute the hours before ``begin``, and give places and tank levels."""
        self.finalize()
        self._work = Path(tempfile.mkdtemp(prefix="water-", dir=self.context.scratch.resolve()))
        self._net = network.Network(self.params.path(), self.params.place, self.context.cache)
        strange = sorted(set(self.params.out_of_service) - set(self._net.links))
        if strange:
            raise ldt.ParamError(
                f"'{self.params.title}' has no pump, pipe or valve '{strange[0]}'",
                code="ids do not pair",
                where="out_of_service",
                fix="pumps are " + ", ".join(self._net.pumps[:12]) + "; ldt view shows the pipes",
            )
        self._open()
        return {**self._net.tables(), "tanks": windows.tanks(self.hydraulics, self.context.instant(0))}

    def _open(self) -> None:
        """A new EPANET project at the run's start."""
        assert self._net is not None
        assert self._work is not None
        if self._hydraulics is not None:
            self._hydraulics.close()
        self._hydraulics = Hydraulics(self.params.path(), self._net, self.params, self._work)
        self._hydraulics.pass_over(self.params.begin // ldt.SECOND)
        self._hydraulics.warned.clear()
        self._windows, self._tripped = [], set()

    @property
    def hydraulics(self) -> Hydraulics:
        if self._hydraulics is None:
            raise ldt.Unsupported("the water network has not been initialized")
        return self._hydraulics

    # -- step -------------------------------------------------------------------------------

    def step(self, inputs: ldt.Tables, until: int) -> ldt.Tables:
        """Raises ``InputError`` for ids that are not there and where EPANET finds no solution."""
        told: state.Told = {
            name: dict(zip(table[port.id].tolist(), table[VALUE[name]].tolist(), strict=True))
            for name, port in ports.INPUTS.items()
            if (table := cast("ldt.Table | None", inputs.get(name))) is not None and port.id is not None
        }
        start = self._windows[-1][0] if self._windows else 0
        window = windows.Sums(self.hydraulics.network)
        for solved in self.hydraulics.advance(self._tell(until, told)):
            window.add(solved)
        for code, (name, meaning) in WARNINGS.items():
            if count := self.hydraulics.warned.get(code):
                self.context.flag(name, count, meaning)
        tables = window.tables(self.context.instant(start))
        tables["tanks"] = windows.tanks(self.hydraulics, self.context.instant(until))
        return tables

    def _tell(self, until: int, told: state.Told) -> int:
        """Tell EPANET what this window brings, and remember it; the window's end in the file's seconds."""
        if until % ldt.SECOND:
            raise ldt.InputError(
                f"a window ends at {until / ldt.SECOND} s, and EPANET counts whole seconds",
                code="step",
                fix="give the component a step of whole seconds",
            )
        self._check_ids(told)
        p, hydraulics = self.params, self.hydraulics
        for pump, voltage in told.get("supply", {}).items():
            if voltage < p.undervoltage:
                self._tripped.add(pump)
            elif voltage >= p.restart:
                self._tripped.discard(pump)
        shut = set(p.out_of_service)
        shut |= {pump for pump, may in told.get("available", {}).items() if not may}
        shut |= {pipe for pipe, may in told.get("open", {}).items() if not may}
        hydraulics.shut(shut | self._tripped)
        demands = {node: flow / 3600.0 for node, flow in told.get("demand", {}).items()}
        hydraulics.ask(demands, told.get("factors", {}))
        self._windows.append((until, told))
        return int((p.begin + until) // ldt.SECOND)

    def _check_ids(self, told: state.Told) -> None:
        net = self.hydraulics.network
        for port, known in (
            ("demand", net.junctions),
            ("factors", net.junctions),
            ("supply", net.pumps),
            ("available", net.pumps),
            ("open", net.pipes),
        ):
            strange = sorted(set(told.get(port, ())) - set(known))
            if strange:
                what = "junction" if port in ("demand", "factors") else ports.INPUTS[port].id
                raise ldt.InputError(
                    f"'{self.params.title}' has no {what} '{strange[0]}'",
                    code="ids do not pair",
                    where=port,
                    fix="known are " + ", ".join(known[:12]) + (" and more" if len(known) > 12 else ""),
                )

    # -- state ------------------------------------------------------------------------------

    def get_state(self) -> bytes:
        return state.pack(self._setup(), self._windows)

    def set_state(self, saved: bytes) -> None:
        """Compute again up to the saved instant. Raises ``InputError`` for a torn or foreign state."""
        told = state.unpack(saved, self._setup())
        self._open()
        for until, inputs in told:
            self.hydraulics.pass_over(self._tell(until, inputs))
            self.context.check_cancelled()

    def _setup(self) -> str:
        return state.setup_digest(
            self.params, self.params.path().read_bytes(), importlib.metadata.version("wntr")
        )

    def finalize(self) -> None:
        if self._hydraulics is not None:
            self._hydraulics.close()
            self._hydraulics = None
        if self._work is not None:
            shutil.rmtree(self._work, ignore_errors=True)
            self._work = None
