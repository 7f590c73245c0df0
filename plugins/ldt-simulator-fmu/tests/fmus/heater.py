"""A heated room, capacity T' = power - loss (T - outside), stepped exactly; exported by PythonFMU3 for FMI 3.0."""

import math

from pythonfmu3 import Float64, Fmi3Causality, Fmi3Initial, Fmi3Slave, Fmi3Variability, Int64, Unit
from pythonfmu3.fmi3slave import Fmi3StepResult


class Heater(Fmi3Slave):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.time, self.power, self.outside = 0.0, 0.0, 283.15
        self.loss, self.capacity, self.temperature = 100.0, 1.0e6, 293.15
        self.steps = 0
        watt = {"kg": 1, "m": 2, "s": -3}
        self.register_units(
            [
                Unit("kW", factor=1000.0, **watt),
                Unit("degC", K=1, offset=273.15),
                Unit("K", K=1),
                Unit("W/K", **watt, K=-1),
                Unit("smoots", m=1, factor=1.7018),
            ]
        )
        fixed, discrete = Fmi3Variability.fixed, Fmi3Variability.discrete
        parameter, output = Fmi3Causality.parameter, Fmi3Causality.output
        self.register_variable(
            Float64("time", causality=Fmi3Causality.independent, variability=Fmi3Variability.continuous)
        )
        self.register_variable(Float64("power", causality=Fmi3Causality.input, start=0.0, unit="kW"))
        self.register_variable(Float64("loss", causality=parameter, variability=fixed, unit="W/K"))
        self.register_variable(Float64("outside", causality=parameter, variability=fixed, unit="K"))
        self.register_variable(Float64("temperature", causality=output, initial=Fmi3Initial.exact, unit="K"))
        self.register_variable(Int64("steps", causality=output, variability=discrete))

    def do_step(self, time, size):
        rest = self.outside + 1000 * self.power / self.loss
        kept = math.exp(-size * self.loss / self.capacity)
        self.temperature = rest + (self.temperature - rest) * kept
        self.steps += 1
        return Fmi3StepResult()
