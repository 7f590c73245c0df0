"""Components that are wrong as a whole, to see that the suite cannot be fooled or brought down by any.

Those of ``wild`` are files of their own that import nothing of the suite, since one of them looks for it.
"""

from __future__ import annotations

import inspect
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ConfigDict

import ldt_core as ldt
from ldt_core.interfaces import Component
from ldt_core.scene import Scene
from ldt_core.tables import empty

from .. import packing
from ..example import Example
from . import Specimen, specimens
from .models import AIR
from .wild import saboteur, sniffer

METHODS: Mapping[str, Sequence[str]] = {
    "source": ("read", "listen", "version"),
    "model": ("compute",),
    "simulator": ("initialize", "step", "get_state", "set_state"),
    "viewer": ("render",),
}
"""What a component of a kind does, beside being made and ended."""

Act = Callable[..., Any]


@dataclass(frozen=True)
class Control:
    """``alone`` says that its package holds its module as it stands, and does not import it from here. ``claims`` are capabilities that its manifest has beside
    those that its code shows."""

    name: str
    specimen: Specimen
    alone: bool = False
    claims: tuple[str, ...] = ()

    @property
    def distribution(self) -> str:
        return f"ldt-zoo-{self.name}-{self.specimen.component.kind}"


class Anything(ldt.Params):
    """Parameters that refuse nothing."""

    model_config = ConfigDict(extra="allow")


def _nothing(component: Component, method: str, *arguments: Any) -> Any:
    """Nothing, in the shape that is asked for."""
    if method in ("version", "set_state"):
        return None
    if method == "get_state":
        return b""
    if method == "listen":
        return iter(())
    if method == "render":
        return Scene(title="", viewer=component.id, runs=list(arguments[0].runs), blocks=[])
    at = ("start",) if method == "initialize" else ("step",) if method == "step" else ("start", "step")
    return {n: empty(p) for n, p in component.outputs.items() if isinstance(p, ldt.Port) and p.at in at}


def _yes(component: Component, method: str, *arguments: Any) -> Any:
    """An empty answer, whatever was asked."""
    return {"get_state": b"{}", "listen": iter(()), "version": "1", "set_state": None}.get(method, {})


def _no(component: Component, method: str, *arguments: Any) -> Any:
    raise ldt.InputError("no", where="everything", fix="ask somebody else")


def _crash(component: Component, method: str, *arguments: Any) -> Any:
    os._exit(7)


def _sleep(component: Component, method: str, *arguments: Any) -> Any:
    while True:
        time.sleep(3600.0)


_MADE: dict[str, int] = {}
"""Instances of a class that were asked for something."""


def _now_and_then(component: Any, method: str, *arguments: Any) -> Any:
    """What it should, but every fifth instance never gets that far."""
    name = type(component).__name__
    if not hasattr(component, "number"):
        component.number = _MADE[name] = _MADE.get(name, 0) + 1
    if component.number % 5 == 0:
        raise ValueError("out of luck")
    return getattr(super(type(component), component), method)(*arguments)


ACTS: Mapping[str, Act] = {
    "null": _nothing,
    "refuser": _no,
    "yes-man": _yes,
    "crasher": _crash,
    "sleeper": _sleep,
    "flake": _now_and_then,
}
WILD: Mapping[str, type[Component]] = {"sniffer": sniffer.Sniffer, "saboteur": saboteur.Saboteur}
WATCHED = Example(params={"threshold": 27.0}, windows=1, inputs={"air": AIR})
CLAIMS = ("incremental", "subscribe", "transform", "uncertainty", "state", "coupling")


def _acting(act: Act, method: str) -> Callable[..., Any]:
    def call(self: Component, *arguments: Any) -> Any:
        return act(self, method, *arguments)

    return call


def _class(name: str, good: type[Component], content: Mapping[str, Any]) -> type[Component]:
    """A class of this module, so that other processes can import it."""
    title = f"{name.title().replace('-', '')}{good.kind.title()}"
    made = type(title, (good,), {"__module__": __name__, "__doc__": f"Synthetic control: {name}.", **content})
    globals()[title] = made
    return made


def controls() -> Iterator[Control]:
    """All of them: of every kind, and the wild ones, which are models."""
    for good in specimens():
        kind = good.component.kind
        if good.fails is not None:
            continue
        for name, act in ACTS.items():
            content: dict[str, Any] = {m: _acting(act, m) for m in METHODS[kind]}
            if name in ("null", "yes-man"):
                content["Params"] = Anything
            yield Control(name, Specimen(_class(name, good.component, content), good.example))
        base: Any = next(k for k in good.component.__mro__ if k.__dict__.get("kind") == kind)
        optional = {m: getattr(base, m) for m in ("listen", "get_state", "set_state") if hasattr(base, m)}
        yield Control("shy", Specimen(_class("shy", good.component, optional), good.example))
        yield Control("liar", Specimen(_class("liar", good.component, optional), good.example), claims=CLAIMS)
    for name, component in WILD.items():
        yield Control(name, Specimen(component, WATCHED), alone=True)


def install(found: Sequence[Control], under: Path) -> Path:
    """A site folder in which they lie installed."""
    for control in found:
        component, code = control.specimen.component, ""
        if control.alone:
            code = inspect.getsource(sys.modules[component.__module__])
        folder = packing.put_folder(
            component,
            under / control.distribution,
            control.distribution,
            code=code,
            claims=control.claims,
        )
        packing.install_wheel(packing.build_wheel(folder, under / "wheels"), under / "site")
    return under / "site"


CONTROLS = {c.distribution: c for c in controls()}
"""By their distributions. Their classes are made when this module is imported, as another process must find them."""
