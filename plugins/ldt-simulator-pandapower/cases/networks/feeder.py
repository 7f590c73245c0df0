"""Makes the two networks that the conformance suite reads. Both were made up: `python cases/feeder.py` writes them anew.

`feeder.json`: 110 kV, two transformers, a 20 kV feeder with three loads and a static generator, places in EPSG:25832.
`line.json`: one line of 5 km at 20 kV without capacitance, so that its drop of voltage has a closed form.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandapower

LINE = {"r_ohm_per_km": 0.3, "x_ohm_per_km": 0.35, "c_nf_per_km": 0.0, "max_i_ka": 0.3}
PLACES = {"intake": (0, 0), "west": (100, 0), "east": (100, 200), "mill": (900, 0), "quay": (1700, 0)}


def feeder() -> Any:
    net = pandapower.create_empty_network(add_stdtypes=False)
    bus = {}
    for name, (x, y) in PLACES.items():
        geo = json.dumps({"type": "Point", "coordinates": [686000.0 + x, 4930000.0 + y]})
        bus[name] = pandapower.create_bus(net, 110.0 if name == "intake" else 20.0, name=name)
        net.bus.loc[bus[name], "geo"] = geo
    pandapower.create_ext_grid(net, bus["intake"], 1.02)
    for low in ("west", "east"):
        pandapower.create_transformer_from_parameters(
            net,
            bus["intake"],
            bus[low],
            sn_mva=25.0,
            vn_hv_kv=110.0,
            vn_lv_kv=20.0,
            vkr_percent=0.4,
            vk_percent=12.0,
            pfe_kw=14.0,
            i0_percent=0.07,
            name=f"to {low}",
        )
    for a, b, length in (("west", "mill", 0.8), ("mill", "quay", 0.8), ("east", "quay", 1.7)):
        pandapower.create_line_from_parameters(net, bus[a], bus[b], length, **LINE, name=f"{a} to {b}")
    for name, load in (("west", 3.0), ("mill", 1.5), ("quay", 2.5)):
        pandapower.create_load(net, bus[name], load, 0.25 * load)
    pandapower.create_sgen(net, bus["mill"], 0.8, name="roofs")
    return net


def line() -> Any:
    net = pandapower.create_empty_network(add_stdtypes=False)
    a, b = (pandapower.create_bus(net, 20.0, name=n) for n in ("a", "b"))
    pandapower.create_ext_grid(net, a, 1.0)
    pandapower.create_line_from_parameters(net, a, b, 5.0, **LINE)
    return net


if __name__ == "__main__":
    for make in (feeder, line):
        text = json.dumps(json.loads(pandapower.to_json(make())), separators=(",", ":"))
        Path(__file__).with_name(f"{make.__name__}.json").write_text(text + "\n", encoding="utf-8")
