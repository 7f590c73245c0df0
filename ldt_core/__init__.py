"""The Local Digital Twin core: ``import ldt_core as ldt`` gives an author all that is needed.

Names load when first used (PEP 562), so that importing this package costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "errors": "LdtError TwinFileError ParamError PluginError WiringError ScheduleError DataError InputError "
    "NotFound Unavailable RunError Unsupported Cancelled StoreError RemoteError",
    "tables": "Column Port GridPort Table Grid Tables instant text boolean number integer geometry check",
    "interfaces": "CONTRACT SECOND Component Context DataSource Duration Field File Flag Info Model Params Query "
    "Secret Simulator Step View Viewer Window parse_duration format_duration unit",
    "hookspecs": "hookimpl",
    "engines.protocol": "Engine Event Needs Setting",
    "units": "conversion Conversion",
}
_MODULE = {name: module for module, names in _HOME.items() for name in names.split()}
_SUBMODULES = ("scene", "testing")

if TYPE_CHECKING:
    from . import scene as scene
    from . import testing as testing
    from .engines.protocol import Engine as Engine
    from .engines.protocol import Event as Event
    from .engines.protocol import Needs as Needs
    from .engines.protocol import Setting as Setting
    from .errors import Cancelled as Cancelled
    from .errors import DataError as DataError
    from .errors import InputError as InputError
    from .errors import LdtError as LdtError
    from .errors import NotFound as NotFound
    from .errors import ParamError as ParamError
    from .errors import PluginError as PluginError
    from .errors import RemoteError as RemoteError
    from .errors import RunError as RunError
    from .errors import ScheduleError as ScheduleError
    from .errors import StoreError as StoreError
    from .errors import TwinFileError as TwinFileError
    from .errors import Unavailable as Unavailable
    from .errors import Unsupported as Unsupported
    from .errors import WiringError as WiringError
    from .hookspecs import hookimpl as hookimpl
    from .interfaces import CONTRACT as CONTRACT
    from .interfaces import SECOND as SECOND
    from .interfaces import Component as Component
    from .interfaces import Context as Context
    from .interfaces import DataSource as DataSource
    from .interfaces import Duration as Duration
    from .interfaces import Field as Field
    from .interfaces import File as File
    from .interfaces import Flag as Flag
    from .interfaces import Info as Info
    from .interfaces import Model as Model
    from .interfaces import Params as Params
    from .interfaces import Query as Query
    from .interfaces import Secret as Secret
    from .interfaces import Simulator as Simulator
    from .interfaces import Step as Step
    from .interfaces import View as View
    from .interfaces import Viewer as Viewer
    from .interfaces import Window as Window
    from .interfaces import format_duration as format_duration
    from .interfaces import parse_duration as parse_duration
    from .interfaces import unit as unit
    from .tables import Column as Column
    from .tables import Grid as Grid
    from .tables import GridPort as GridPort
    from .tables import Port as Port
    from .tables import Table as Table
    from .tables import Tables as Tables
    from .tables import boolean as boolean
    from .tables import check as check
    from .tables import geometry as geometry
    from .tables import instant as instant
    from .tables import integer as integer
    from .tables import number as number
    from .tables import text as text
    from .units import Conversion as Conversion
    from .units import conversion as conversion


def __getattr__(name: str) -> Any:
    import importlib

    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    module = _MODULE.get(name)
    if module is None:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE, *_SUBMODULES})
