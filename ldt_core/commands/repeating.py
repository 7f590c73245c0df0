"""``ldt lock``, ``reproduce``, ``export``: that a run can be had again, elsewhere and later."""

from __future__ import annotations

import argparse
import sys

from ..catalog import installed
from ..errors import PluginError
from ..locking import HERE, NAME, make_lock, read_lock, refuse_drift, write_lock
from ..runs import load_twin
from .output import print_json, shown


def lock(options: argparse.Namespace) -> int:
    """Write ``twin.lock`` beside the twin file, or check this environment against it."""
    twin = load_twin(options.twin)
    path = twin.path.parent / NAME
    if options.check:
        content = refuse_drift(twin, installed(), path)
        if options.json:
            print_json(content)
        else:
            many = len(content["environments"][HERE]["distributions"])
            print(f"{shown(path)}: {many} distributions as locked")
        return 0
    try:
        known = read_lock(path)
    except PluginError:
        known = None
    content, why = make_lock(twin, installed(), known)
    write_lock(path, content)
    if why:
        print(f"some distributions have no hashes of their files: {why}", file=sys.stderr)
    if options.json:
        print_json(content)
        return 0
    found = content["environments"][HERE]["distributions"]
    local = sum(bool(d.get("local")) for d in found.values())
    more = f", {local} of them local, known by their content alone" if local else ""
    print(f"{shown(path)}: {len(found)} distributions{more}")
    return 0
