"""The only way out: documents of other servers, asked for by addresses that people gave us.

The guard is the core's: a name is resolved once, each address is judged, and the connection goes to the address that was
judged. Here it is set narrow: https to public servers at their usual port, no redirect to another host, small answers, soon.
Hosts in the own network are asked only where the operator trusts them.
"""

from __future__ import annotations

import json
from typing import Any

from ldt_core.errors import LdtError
from ldt_core.remote.net import Client, Limits, Policy

from .problems import Refused
from .registry import Registry

LARGEST = 1 << 20
LIMITS = Limits(connect=5.0, read=5.0, total=10.0, largest=LARGEST, attempts=1, redirects=2)


def get(registry: Registry, address: str) -> bytes:
    """The bytes of one document. Raises Refused where it is not asked, does not answer, or answers no."""
    policy = Policy(trusted=registry.settings.trusted_hosts, ports=frozenset({80, 443}), stay=True)
    client = Client(policy, LIMITS)
    try:
        return bytes(client.ask("GET", address, accept="*/*", good=(200,)).body)
    except LdtError as exc:
        raise Refused(
            f"{address[:200]!r} could not be read: {exc.what}",
            code="not-fetched",
            fix="Check the address; a server of the own network is named in `trusted_hosts`.",
        ) from exc
    finally:
        client.close()


def get_json(registry: Registry, address: str) -> Any:
    """A JSON document. Raises Refused."""
    try:
        return json.loads(get(registry, address))
    except (ValueError, RecursionError) as exc:
        raise Refused(f"{address[:200]!r} is no JSON document.", code="not-fetched") from exc
