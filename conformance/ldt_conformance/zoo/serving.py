"""All specimens of a site folder behind one server, each below a path of its own: they share their ids."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ldt_core.manifest import describe

from ..drivers.http import HttpDriver, Service
from ..drivers.process import place_of
from . import Specimen, pack


def fixed(specimen: Specimen) -> dict[str, Any]:
    """The parameters that a server of it must set: the files of its example."""
    params, base = specimen.example.params, specimen.example.base
    files = [n for n in describe(specimen.component)["files"] if n in params]
    return {n: str(Path(base, str(params[n])).absolute()) for n in files}


def start(specimens: Iterable[Specimen], site: Path) -> Service:
    """One server of all of them, out of the site folder in which they lie."""
    said = {pack.distribution(s): fixed(s) for s in specimens if s.component.kind != "viewer"}
    return Service(place_of([site]), f"{__name__}:main", [json.dumps(said)])


def driver(service: Service, specimen: Specimen) -> HttpDriver:
    return HttpDriver(f"{service.address}/{pack.distribution(specimen)}", fixed=fixed(specimen))


def main(arguments: list[str]) -> int:
    """Serve until told to end; the address in the first line."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.routing import Mount

    from ldt_core.catalog import installed, load
    from ldt_core.commands.serving import listen
    from ldt_core.remote.served import Served
    from ldt_core.remote.server import make_app

    wanted: Mapping[str, Any] = json.loads(arguments[0])
    with tempfile.TemporaryDirectory(prefix="ldt-zoo-") as cache, listen("127.0.0.1", 0) as listener:
        routes = [
            Mount(
                f"/{o.distribution}",
                make_app([Served(load(o), wanted[o.distribution], offer=o, base=Path(), cache=Path(cache))]),
            )
            for o in installed().offers
            if o.distribution in wanted
        ]
        print(json.dumps({"address": f"http://127.0.0.1:{listener.getsockname()[1]}"}), flush=True)
        uvicorn.Server(uvicorn.Config(Starlette(routes=routes), log_level="warning")).run(sockets=[listener])
    return 0
