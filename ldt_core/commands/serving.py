"""``ldt remote serve``: installed components over HTTP."""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..catalog import cache_folder, installed
from ..errors import ParamError, PluginError
from .output import components_apart, print_json


def serve(options: argparse.Namespace) -> int:
    """Listen until told to end. Prints the address once connections are taken."""
    try:
        import uvicorn

        from ..remote.served import find_served
        from ..remote.server import Rules, make_app
    except ImportError as exc:
        raise PluginError(
            f"serving needs a package that is not installed: {exc.name}",
            code="not installed",
            fix="pip install 'ldt-core[http]'",
        ) from exc
    fixed = _fixed(options.params, options.ids)
    with components_apart():
        place = {"crs": options.crs, "bbox": _box(options.bbox)}
        catalog, cache = installed(), cache_folder() / "served"
        served = [find_served(catalog, id, fixed[id], cache, **place) for id in options.ids]
    rules = Rules(
        token=_token(options.token),
        largest=options.largest or Rules.largest,
        sessions=options.sessions,
        idle=float(options.idle),
    )
    app = make_app(served, rules)
    listener = listen(options.host, options.port)
    shown = f"[{options.host}]" if ":" in options.host else options.host
    address = f"http://{shown}:{listener.getsockname()[1]}"

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if options.json:
                print_json({"address": address, "components": [s.id for s in served]})
            else:
                print(f"{', '.join(s.id for s in served)} at {address}")
                if options.host not in ("127.0.0.1", "::1", "localhost") and rules.token is None:
                    print("anybody who reaches this address may use it: see --token", file=sys.stderr)
            sys.stdout.flush()

    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        lifespan="on",
        timeout_graceful_shutdown=3,
        server_header=False,
    )
    Server(config).run(sockets=[listener])
    return 0


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0 is any that is free. Raises ``PluginError``."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    # Else an answer's second part waits for the first to be acknowledged: 40 ms, for every step of a simulator.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except (OSError, OverflowError) as exc:
        listener.close()
        raise PluginError(
            f"{host}:{port} cannot be listened at: {exc}",
            code="not usable",
            fix="leave --port out: any that is free",
        ) from exc
    return listener


def _fixed(text: str, ids: list[str]) -> dict[str, Mapping[str, Any]]:
    """Parameters by component."""
    try:
        if not text.lstrip().startswith("{"):
            text = Path(text).read_text(encoding="utf-8")
        content = json.loads(text)
        if not isinstance(content, dict):
            raise ValueError("it is no object")
    except (OSError, ValueError) as exc:
        raise ParamError(
            f"--params cannot be read: {exc}",
            code="bad value",
            fix="write JSON such as '{\"speed\": 2}', or a file's path",
        ) from exc
    if len(ids) == 1:
        return {ids[0]: content}
    odd = sorted(set(content) - set(ids))
    if odd or not all(isinstance(v, dict) for v in content.values()):
        raise ParamError(
            "--params of several components are written by id",
            code="bad value",
            fix=f"'{{\"{ids[0]}\": {{...}}}}'",
        )
    return {id: content.get(id, {}) for id in ids}


def _box(text: str | None) -> tuple[float, float, float, float] | None:
    if text is None:
        return None
    try:
        a, b, c, d = (float(t) for t in text.split(","))
    except ValueError as exc:
        raise ParamError("--bbox is MINX,MINY,MAXX,MAXY", code="bad value") from exc
    return a, b, c, d


def _token(name: str | None) -> str | None:
    """From the environment: what stands on a command line is seen by every process of the machine."""
    if name is None:
        return None
    token = os.environ.get(name, "")
    if not token or not token.isascii():
        raise ParamError(
            f"the environment variable {name} holds no token", code="bad value", fix=f"export {name}=..."
        )
    return token
