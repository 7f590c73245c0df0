"""The hooks by which a plugin's package offers what it has. Called when a run needs a component,
never inside the step loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from .engines.protocol import Engine
    from .interfaces import DataSource, Model, Simulator, Viewer

hookspec = pluggy.HookspecMarker("ldt")
hookimpl = pluggy.HookimplMarker("ldt")


@hookspec
def ldt_data_sources() -> list[type[DataSource]]:  # type: ignore[empty-body]
    """Return the data source classes of this package."""


@hookspec
def ldt_models() -> list[type[Model]]:  # type: ignore[empty-body]
    """Return the model classes of this package."""


@hookspec
def ldt_simulators() -> list[type[Simulator]]:  # type: ignore[empty-body]
    """Return the simulator classes of this package."""


@hookspec
def ldt_viewers() -> list[type[Viewer]]:  # type: ignore[empty-body]
    """Return the viewer classes of this package."""


@hookspec
def ldt_engines() -> list[type[Engine]]:  # type: ignore[empty-body]
    """Return the engine classes of this package, each with the ``name`` that ``ldt run --engine`` takes.

    Called when a run names one of them. An engine is constructed with an ``ldt.Setting``, takes paths of
    task files, hands each to an ``ldt worker`` somewhere and passes on what that answers as ``ldt.Event``.
    """


@hookspec
def ldt_run_started(context: Any) -> None:
    """A run begins: ``context`` is its record so far, as a mapping.

    Called, for reports only, in the packages of the components that the twin names.
    """


@hookspec
def ldt_run_finished(context: Any) -> None:
    """A run ended, well or not: ``context`` is the record, as ``run.json`` holds it.

    Called, for reports only, in the packages of the components that the twin names.
    """
