"""Simulators for the tests, written for mosaik: the sun, an event counter, and some that misbehave."""

import sys

import mosaik_api_v3


class Sun(mosaik_api_v3.Simulator):
    """Time-based: irradiance that grows with time; steps every `step_size`."""

    def __init__(self):
        super().__init__(
            {"type": "time-based", "models": {"Sky": {"public": True, "params": ["base"], "attrs": ["dni"]}}}
        )

    def init(self, sid, time_resolution, step_size=900):
        self.step_size, self.base, self.now = step_size, {}, 0
        return self.meta

    def create(self, num, model, base=100.0):
        made = [f"sky-{len(self.base) + i}" for i in range(num)]
        self.base.update(dict.fromkeys(made, base))
        return [{"eid": e, "type": model} for e in made]

    def step(self, time, inputs, max_advance):
        self.now = time
        return time + self.step_size

    def get_data(self, outputs):
        return {e: {"dni": self.base[e] + self.now / 100} for e in outputs}


class Store(mosaik_api_v3.Simulator):
    """Time-based: batteries that are charged; steps every minute, energy in kWh, power in kW."""

    def __init__(self):
        attrs = {"public": True, "params": ["energy"], "attrs": ["power", "energy", "losses"]}
        super().__init__({"type": "time-based", "models": {"Battery": attrs}})

    def init(self, sid, time_resolution):
        self.energy, self.losses = {}, {}
        return self.meta

    def create(self, num, model, energy):
        made = [f"battery-{len(self.energy) + i}" for i in range(num)]
        self.energy.update(dict.fromkeys(made, energy))
        return [{"eid": e, "type": model} for e in made]

    def step(self, time, inputs, max_advance):
        for entity in self.energy:
            power = sum(inputs.get(entity, {}).get("power", {}).values())
            self.losses[entity] = 0.02 * abs(power) / 60
            self.energy[entity] += power / 60 - self.losses[entity]
        return time + 60

    def get_data(self, outputs):
        return {e: {a: getattr(self, a)[e] for a in attrs} for e, attrs in outputs.items()}


class Bank(mosaik_api_v3.Simulator):
    """Hybrid, with children: an account adds what comes; it speaks only when it has something new."""

    def __init__(self):
        models = {
            "House": {"public": True, "params": ["accounts"], "attrs": []},
            "Account": {
                "public": False,
                "params": [],
                "attrs": ["paid", "sum", "owner"],
                "trigger": ["paid"],
                "non-persistent": ["sum"],
            },
        }
        super().__init__({"type": "hybrid", "models": models})

    def init(self, sid, time_resolution):
        self.sums, self.calls = {}, []
        return self.meta

    def create(self, num, model, accounts):
        children = [{"eid": f"a{i}", "type": "Account"} for i in range(accounts)]
        self.sums = {c["eid"]: None for c in children}
        return [{"eid": "house", "type": model, "children": children}]

    def step(self, time, inputs, max_advance):
        self.calls.append(time)
        for entity, attrs in inputs.items():
            self.sums[entity] = (self.sums[entity] or 0.0) + sum(attrs["paid"].values())
        return None

    def get_data(self, outputs):
        return {e: {"sum": s} for e, s in self.sums.items() if s is not None}


class Ear(mosaik_api_v3.Simulator):
    """Hears every value that reaches it."""

    seen = []

    def __init__(self):
        models = {"Ear": {"public": True, "any_inputs": True, "params": [], "attrs": []}}
        super().__init__({"type": "event-based", "models": models})

    def create(self, num, model):
        return [{"eid": "ear", "type": model}]

    def step(self, time, inputs, max_advance):
        self.seen.extend(v for values in inputs["ear"].values() for v in values.values())

    def get_data(self, outputs):
        return {}


class Still(Sun):
    def step(self, time, inputs, max_advance):
        return time


class Wordy(Sun):
    def get_data(self, outputs):
        return {e: {"dni": "bright"} for e in outputs}


class Mute(Sun):
    def get_data(self, outputs):
        return {}


class Crash(Sun):
    def step(self, time, inputs, max_advance):
        sys.exit(7)


if __name__ == "__main__":
    kind = {"sun": Sun, "crash": Crash}[sys.argv.pop(1)]
    mosaik_api_v3.start_simulation(kind())
