"""Run by test_faults.py, its system calls watched: one upload into a new registry."""

from __future__ import annotations

import sys
from pathlib import Path

from dists import make_token
from fault_points import upload
from ldt_registry.registry import Registry, initialise
from ldt_registry.settings import Settings

registry = Registry.open(Settings.load(home=Path(sys.argv[1]), keep_free=0, keep_free_share=0.0))
initialise(registry)
assert upload(registry, make_token(registry), 1)
registry.close()
