"""BMI 2.0 models for the tests: heat in a plate (a grid), and a draining tank (single values)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml
from bmipy import Bmi


class _Base(Bmi):
    """What both models answer alike; what is not asked of them raises NotImplementedError."""

    INPUTS: tuple[str, ...] = ()
    OUTPUTS: tuple[str, ...] = ()
    UNITS: dict[str, str] = {}
    TIME = "s"

    def update(self):
        self.update_until(self.time + self.dt)

    def finalize(self):
        self.values = {}

    def get_component_name(self):
        return type(self).__name__

    def get_input_item_count(self):
        return len(self.INPUTS)

    def get_output_item_count(self):
        return len(self.OUTPUTS)

    def get_input_var_names(self):
        return self.INPUTS

    def get_output_var_names(self):
        return self.OUTPUTS

    def get_var_grid(self, name):
        return 0

    def get_var_type(self, name):
        return str(self.values[name].dtype)

    def get_var_units(self, name):
        return self.UNITS[name]

    def get_var_itemsize(self, name):
        return self.values[name].itemsize

    def get_var_nbytes(self, name):
        return self.values[name].nbytes

    def get_var_location(self, name):
        return "node"

    def get_current_time(self):
        return self.time

    def get_start_time(self):
        return 0.0

    def get_end_time(self):
        return np.finfo(float).max

    def get_time_units(self):
        return self.TIME

    def get_time_step(self):
        return self.dt

    def get_value(self, name, dest):
        dest[:] = self.values[name].ravel()
        return dest

    def get_value_ptr(self, name):
        return self.values[name]

    def get_value_at_indices(self, name, dest, inds):
        dest[:] = self.values[name].ravel()[inds]
        return dest

    def set_value(self, name, src):
        self.values[name].ravel()[:] = src

    def set_value_at_indices(self, name, inds, src):
        self.values[name].ravel()[inds] = src

    def get_grid_size(self, grid):
        return next(iter(self.values.values())).size

    def _not_said(self, *arguments):
        raise NotImplementedError

    get_grid_rank = get_grid_type = get_grid_shape = get_grid_spacing = get_grid_origin = _not_said
    get_grid_x = get_grid_y = get_grid_z = get_grid_node_count = get_grid_edge_count = _not_said
    get_grid_face_count = get_grid_edge_nodes = get_grid_face_edges = get_grid_face_nodes = _not_said
    get_grid_nodes_per_face = _not_said


class Heat(_Base):
    """Explicit heat conduction in a unit square, cold at its edges, from the first sine mode."""

    INPUTS = ("plate_surface__heat_source", "plate_surface__temperature")
    OUTPUTS = ("plate_surface__temperature",)
    UNITS = {"plate_surface__temperature": "K", "plate_surface__heat_source": "K s-1"}

    def initialize(self, config_file):
        config = yaml.safe_load(Path(config_file).read_text(encoding="utf-8"))
        self.n, self.k = config["nodes"], config["conductivity"]
        self.h = 1.0 / (self.n - 1)
        self.dt = 0.2 * self.h**2 / self.k
        self.time = 0.0
        mode = np.sin(np.pi * np.linspace(0, 1, self.n))
        self.values = {
            "plate_surface__temperature": np.outer(mode, mode),
            "plate_surface__heat_source": np.zeros((self.n, self.n)),
        }

    def update_until(self, time):
        t, q = self.values["plate_surface__temperature"], self.values["plate_surface__heat_source"]
        while self.time < time - 1e-12:
            dt = min(self.dt, time - self.time)
            flow = t[2:, 1:-1] + t[:-2, 1:-1] + t[1:-1, 2:] + t[1:-1, :-2] - 4 * t[1:-1, 1:-1]
            t[1:-1, 1:-1] += dt * (self.k * flow / self.h**2 + q[1:-1, 1:-1])
            self.time += dt

    def get_grid_rank(self, grid):
        return 2

    def get_grid_type(self, grid):
        return "uniform_rectilinear"

    def get_grid_shape(self, grid, shape):
        shape[:] = self.n
        return shape

    def get_grid_spacing(self, grid, spacing):
        spacing[:] = self.h
        return spacing

    def get_grid_origin(self, grid, origin):
        origin[:] = 0.0
        return origin


class Tank(_Base):
    """A linear tank in hours, stepped exactly, that can stop only at full hours."""

    INPUTS = ("inflow",)
    OUTPUTS = ("level", "hours")
    UNITS = {"inflow": "m h-1", "level": "m", "hours": "-"}
    TIME = "hours"

    def initialize(self, config_file):
        self.dt, self.time = 1.0, 0.0
        self.values = {"inflow": np.zeros(1), "level": np.ones(1), "hours": np.zeros(1, np.int32)}

    def update_until(self, time):
        kept = np.exp(-0.1 * self.dt)
        while self.time < time:
            v = self.values
            v["level"][0] = v["level"][0] * kept + v["inflow"][0] / 0.1 * (1 - kept)
            v["hours"][0] += 1
            self.time += self.dt

    def get_grid_rank(self, grid):
        return 0


class Odd(Tank):
    UNITS = {"inflow": "buckets", "level": "m", "hours": "-"}


class Moons(Tank):
    TIME = "months"


class Stuck(Tank):
    def update(self):
        pass


class Shy(Tank):
    def update(self):
        if self.values["inflow"][0] > 1:
            raise ValueError("no more than 1 m/h")
        super().update()
