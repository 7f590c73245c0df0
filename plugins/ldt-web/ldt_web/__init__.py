"""The app: turns Scenes into what a person sees.

``render_page`` gives one self-contained HTML file: no request leaves it, no script is needed to read it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

COMMANDS = [
    {
        "name": "view",
        "help": "write the page of a run: one file that opens with the network off",
        "target": "ldt_web.cli:view",
    }
]

if TYPE_CHECKING:
    from .bundle import Part as Part
    from .bundle import RunSummary as RunSummary
    from .bundle import SceneBundle as SceneBundle
    from .page import render_page as render_page

_HOME = {"Part": "bundle", "RunSummary": "bundle", "SceneBundle": "bundle", "render_page": "page"}


def __getattr__(name: str) -> Any:
    import importlib

    if name not in _HOME:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
