"""The component: parameters in, one SUMO process, tables out."""

from __future__ import annotations

import contextlib
import math
import shutil
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

import ldt_core as ldt

from . import convert, demand, detectors, files, params, ports, scenario, snapshot, tables
from .classes import HEAVY
from .network import Network, read_crs, read_network
from .outputs import EdgeData, Sums, Tail, finished, write_definitions
from .process import Sumo as Process

_PART = 600 * ldt.SECOND


class Sumo(ldt.Simulator):
    """Microscopic (or mesoscopic) road traffic by Eclipse SUMO, with its emissions, edge by edge.

    One SUMO process per run, advanced window by window over TraCI; sums per edge are made inside SUMO.
    Scenario parameters (``close``, ``speed_limit``, ``lanes``, ``signals``) change the network before
    the first second. Source: Lopez et al., Microscopic Traffic Simulation using SUMO, ITSC 2018.
    """

    id = "sumo"
    title = "Road traffic (SUMO)"
    outputs = ports.OUTPUTS
    stochastic = True
    dynamic = True
    processes = ("sumo", "netconvert")
    validity: ClassVar[Mapping[str, Any]] = {
        "scale": "a district to a city; motor traffic on streets",
        "windows": "whole multiples of step_length, from a minute on for stable means",
        "demand": "generated demand shows mechanisms, not today's volumes: calibrate before judging levels",
        "emissions": "hot running emissions of one class per kind of vehicle; no cold starts, no gradients",
    }

    Params = params.Params

    def __init__(self, params: Any = None, context: ldt.Context | None = None) -> None:
        super().__init__(params, context)
        self._work: Path | None = None
        self._process: Process | None = None
        self._net: Network | None = None
        self.begin = 0.0
        self._rewind()

    def _rewind(self) -> None:
        """To the run's start, where nobody has set out."""
        self._now = 0
        self._period: int | None = None
        self.arrived = self._teleports_before = 0
        self._snapshot: bytes | None = None
        self._vehicle_class: dict[str, str] = {}

    # Ports

    def ports(self) -> tuple[Mapping[str, ldt.Port], Mapping[str, ldt.Port]]:
        """The outputs with the network's CRS, its licence, and what of the demand was made up."""
        p = self.params
        path = self._source()
        osm = convert.is_osm(path)
        crs = convert.utm(path)[0] if osm else read_crs(path)
        licence = p.licence or (convert.LICENCE if osm else None)
        attribution = p.attribution or (convert.ATTRIBUTION if osm else None)
        made_up = demand.describe(p.demand) if p.demand.rate is not None else None
        if made_up and osm:
            made_up += " Signal timings are worked out from the map, not the city's own."
        outputs: dict[str, ldt.Port] = {}
        for name, port in self.outputs.items():
            assert isinstance(port, ldt.Port)
            if name == "noise" and not p.noise:
                continue
            outputs[name] = port.replace(licence=licence, attribution=attribution)
            if name == "network":
                columns = {**port.columns, "geometry": ldt.geometry("LineString", crs=crs)}
                outputs[name] = outputs[name].replace(columns=columns)
            else:
                outputs[name] = outputs[name].replace(synthetic=made_up)
        return {}, outputs

    def _source(self) -> Path:
        if self.params.network is not None:
            return Path(self.params.network.path)
        network = files.sources(self.params.demand).network
        if network is None:
            raise ldt.ParamError(
                f"{self.params.demand.config} names no net-file",
                code="no network",
                fix="give network as well",
            )
        return network

    # Start

    def initialize(self, inputs: ldt.Tables) -> ldt.Tables:
        """Read or convert the network, change it as the scenario says, and lay out the demand."""
        self.finalize()
        self._rewind()
        context, p = self.context, self.params
        self._work = Path(tempfile.mkdtemp(prefix="sumo-", dir=context.scratch.resolve()))
        source = self._source()
        if convert.is_osm(source):
            cache = context.cache if context.cache != Path() else self._work
            source = convert.convert(source, p.osm, cache.resolve(), context.check_cancelled)
        base = read_network(source)
        edits = scenario.plan(base, p)
        net = self._net = scenario.apply(base, edits, self.work / "scenario.net.xml")
        closed = any("allow" in edit or "disallow" in edit for edit in edits.values())
        found = self._demand(base, net, closed)
        programs = [*base.programs, *found.programs]
        signals = scenario.write_signals(net, programs, p.signals, self.work / "signals.add.xml")
        self._files = [*found.additional, *([signals] if signals else [])]
        self._routes, self._options, self.begin = found.routes, found.options, found.begin
        self._vehicle_class = found.classes
        self._windows = tables.Windows(net)
        self._rows = {edge.id: row for row, edge in enumerate(net.edges)}
        loops = detectors.list_loops(found.additional, net)
        return {"network": tables.of_network(net), "detectors": loops}

    def _demand(self, base: Network, net: Network, closed: bool) -> files.Demands:
        p, context = self.params, self.context
        if p.demand.rate is None:
            found = files.sources(p.demand)
            files.copy(found, net, closed, p.emission_class, self.work / "demand")
            lost, total = len(found.unroutable), None
        else:
            rng = np.random.default_rng([context.seed, 1])
            trips = demand.generate(base, p.demand, rng)
            kept = demand.routable(net, trips)
            path = demand.write_trips(kept, p.emission_class, self.work / "trips.rou.xml")
            found = files.Demands([path], classes=dict(demand.CLASS_OF))
            lost, total = len(trips) - len(kept), len(trips)
        if lost:
            of = f" of {total}" if total else ""
            context.flag(
                "unroutable_trips",
                lost,
                f"{lost}{of} trips cannot be made in this scenario and were left out: compare per trip",
                "{trip}",
            )
        return found

    # Running

    def command(self, period: int) -> list[str]:
        """SUMO's arguments for edge data of every ``period`` microseconds (without the TraCI port)."""
        assert self._net is not None
        p = self.params
        heavy = sorted(t for t, c in self._vehicle_class.items() if c in HEAVY)
        self._with_heavy = bool(heavy)
        default = None if "DEFAULT_VEHTYPE" in self._vehicle_class else p.emission_class.car
        ours = write_definitions(
            self.work / "edges.add.xml", period / ldt.SECOND, heavy, default, self.params.noise
        )
        teleport = -1 if p.teleport_after is None else p.teleport_after / ldt.SECOND
        words = [
            *("--net-file", str(self._net.path)),
            *("--route-files", ",".join(map(str, self._routes))),
            *("--additional-files", ",".join(map(str, [*self._files, ours]))),
            *("--begin", f"{self.begin:g}", "--step-length", f"{p.step_length / ldt.SECOND:g}"),
            *("--seed", str(self.context.seed % (2**31 - 1)), "--scale", f"{p.scale:g}"),
            *("--time-to-teleport", f"{teleport:g}"),
            *("--tripinfo-output", "trips.xml", "--precision", "6"),
            *("--no-step-log", "--xml-validation", "never", "--xml-validation.net", "never"),
            *self._options,
        ]
        if p.mesoscopic:
            words += ["--mesosim"]
        if p.ignore_route_errors:
            words += ["--ignore-route-errors"]
        if p.rerouting.share > 0:
            words += ["--device.rerouting.probability", f"{p.rerouting.share:g}"]
            words += ["--device.rerouting.period", f"{p.rerouting.period / ldt.SECOND:g}"]
        if p.state == "snapshot":
            words += ["--save-state.rng", "--save-state.precision", "17"]
        return words

    @property
    def work(self) -> Path:
        """The folder of this run's files. Raises ``Unsupported`` before ``initialize``."""
        if self._work is None:
            raise ldt.Unsupported("the simulator is not initialized", code="not initialized")
        return self._work

    def _launch(self, period: int) -> None:
        """Start SUMO and bring it to the present: by its own saved state, or by running again."""
        self._halt()
        self._period = period
        words = self.command(period)
        for name in ("traffic", "heavy", "emissions", "noise", "trips"):
            (self.work / f"{name}.xml").unlink(missing_ok=True)
        if self._snapshot is not None:
            (self.work / "load.xml").write_bytes(self._snapshot)
            words += ["--load-state", "load.xml"]
        process = self._process = Process(words, self.work, self.context.check_cancelled)
        self._edge_data = EdgeData(self.work, self._rows, self._with_heavy, self.params.noise)
        self._trip_tail = Tail(self.work / "trips.xml", "tripinfo")
        self._entered_again: Sums | None = None
        if self._snapshot is not None:
            self._entered_again = snapshot.entered_on_loading(process, self._rows, self._with_heavy)
        elif self._now > 0:
            self._advance(0, self._now)
            self._edge_data.new(self._now // period)
            again = sum(1 for _ in finished(self._trip_tail))
            if again != self.arrived:
                raise ldt.InputError(
                    f"running again gave {again} arrivals where the state has {self.arrived}",
                    code="state foreign",
                    fix="resume with the same SUMO version and machine type, or run from the start",
                )

    def _advance(self, start: int, until: int) -> None:
        """Simulate; in parts, so that a cancelled run ends soon. The parts change nothing."""
        process = self._process
        assert process is not None
        for end in [*range(start + _PART, until, _PART), until]:
            self.context.check_cancelled()
            target = self.begin + end / ldt.SECOND
            process.ask("simulating", partial(process.traci.simulationStep, target))

    def step(self, inputs: ldt.Tables, until: int) -> ldt.Tables:
        if self._net is None:
            raise ldt.Unsupported("step before initialize", code="not initialized")
        start = self._now
        length = self.params.step_length
        if until <= start or until % length:
            raise ldt.ParamError(
                f"SUMO cannot go from {ldt.format_duration(start)} to {ldt.format_duration(until)}: "
                f"its step is {ldt.format_duration(length)}",
                code="step",
                where="step",
                fix="choose windows that are whole multiples of step_length",
            )
        # Edge data comes in whole intervals: where a window does not end with one, they are made shorter.
        period = math.gcd(start, until, self._period or 0)
        if self._process is None or period != self._period:
            if self._process is not None and self.params.state == "snapshot":
                self._teleports_before += self._count("teleports.total")
                self._snapshot = self._save()
            self._launch(period)
        try:
            self._advance(start, until)
        except BaseException:
            self._halt()  # it may stand anywhere between the windows
            raise
        self._snapshot = None
        sums = self._edge_data.new((until - start) // period)
        if self._entered_again is not None:
            for name, values in self._entered_again.items():
                sums[name] = sums[name] - values
            self._entered_again = None
        origin = self.context.instant(0), self.begin
        trips = tables.of_trips(finished(self._trip_tail), self._vehicle_class, *origin)
        self._now = until
        self.arrived += len(trips)
        time = self.context.instant(start)
        noise = (
            {"noise": self._windows.noise(sums, time, (until - start) // period)} if self.params.noise else {}
        )
        return {
            **noise,
            "flow": self._windows.flow(sums, time, (until - start) / ldt.SECOND),
            "emissions": self._windows.emissions(sums, time),
            "trips": trips,
            "arrivals": self._arrivals(self.context.instant(until)),
        }

    def _arrivals(self, time: np.datetime64) -> ldt.Table:
        waiting, running = self._count("vehicles.waiting"), self._count("vehicles.running")
        teleports = self._teleports_before + self._count("teleports.total")
        self._report("not_arrived", waiting + running, "vehicles had not arrived at the end", "{veh}")
        self._report("teleports", teleports, "vehicles were stuck and moved on by SUMO", "{veh}")
        for what in ("collisions", "emergencyStops"):
            count = self._count(f"safety.{what}")
            self._report(what.lower().replace("stops", "_stops"), count, f"{what} happened", "1")
        return ldt.Table(
            {
                "time": [time],
                "waiting_to_enter": [waiting],
                "running": [running],
                "arrived": [self.arrived],
            }
        )

    def _count(self, statistic: str) -> int:
        process = self._process
        assert process is not None
        return int(
            process.ask("counting", lambda: process.traci.simulation.getParameter("", f"stats.{statistic}"))
        )

    def _report(self, name: str, count: int, text: str, unit: str) -> None:
        flags = self.context.flags
        if count:
            self.context.flag(name, count, f"{count} {text}", unit)
        else:
            flags[:] = [flag for flag in flags if flag.name != name]

    # State

    def capabilities(self) -> frozenset[str]:
        """``state`` is a promise of the same bits, which a snapshot does not keep."""
        return super().capabilities() if self.params.state == "replay" else frozenset()

    def get_state(self) -> bytes:
        """The state at the end of the last window; see the parameter ``state`` for what it can do."""
        teleports = self._teleports_before
        saved = None
        if self.params.state == "snapshot" and self._now > 0:
            saved = self._snapshot or self._save()
            teleports += self._count("teleports.total") if self._process else 0
        position = snapshot.Position(self._now, self._period, self.arrived, teleports)
        return snapshot.pack(self._setup(), position, saved)

    def set_state(self, state: bytes) -> None:
        """Go to a saved instant. Raises ``InputError`` for a torn state or that of another setup."""
        position, saved = snapshot.unpack(state, self._setup())
        self._halt()
        self._now, self._period = position.now, position.period
        self.arrived = position.arrived
        self._teleports_before = position.teleports if saved is not None else 0
        self._snapshot = saved

    def _setup(self) -> str:
        return snapshot.setup_digest(self.params, self.context.seed)

    def _save(self) -> bytes:
        assert self._process is not None
        process, path = self._process, self.work / "save.xml"
        process.ask("saving its state", lambda: process.traci.simulation.saveState(str(path)))
        return path.read_bytes()

    # End

    def _halt(self) -> None:
        if self._process is not None:
            self._process.stop()
            self._process = None

    def finalize(self) -> None:
        self._halt()
        if self._work is not None:
            with contextlib.suppress(OSError):
                shutil.rmtree(self._work)
            self._work = None
