"""A linear tank, level' = inflow - k level, stepped exactly; exported by PythonFMU for FMI 2.0."""

import math

from pythonfmu import Boolean, Fmi2Causality, Fmi2Initial, Fmi2Slave, Fmi2Variability, Integer, Real, String


class Tank(Fmi2Slave):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inflow, self.level, self.k = 0.0, 1.0, 0.001
        self.steps, self.full, self.note = 0, False, "calm"
        discrete = Fmi2Variability.discrete
        self.register_variable(Real("inflow", causality=Fmi2Causality.input, start=0.0))
        self.register_variable(
            Real("k", causality=Fmi2Causality.parameter, variability=Fmi2Variability.fixed)
        )
        self.register_variable(Real("level", causality=Fmi2Causality.output, initial=Fmi2Initial.exact))
        self.register_variable(Integer("steps", causality=Fmi2Causality.output, variability=discrete))
        self.register_variable(Boolean("full", causality=Fmi2Causality.output, variability=discrete))
        self.register_variable(String("note", causality=Fmi2Causality.output, variability=discrete))

    def do_step(self, time, size):
        if self.inflow < 0:
            raise ValueError("the pump is dry")
        kept = math.exp(-self.k * size)
        self.level = self.level * kept + self.inflow / self.k * (1 - kept)
        self.steps += 1
        self.full = self.level > 2
        self.note = "high" if self.full else "calm"
        return True
