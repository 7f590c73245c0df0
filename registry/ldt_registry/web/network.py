"""From which network a request comes: what is counted when somebody guesses."""

from __future__ import annotations

import ipaddress

from starlette.requests import HTTPConnection

from ..registry import Registry


def network_of(request: HTTPConnection) -> str:
    """The IPv4 address, or the /64 that one IPv6 user has; behind proxies what the outermost trusted one wrote."""
    registry: Registry = request.app.state.registry
    proxies = registry.settings.proxies
    said = request.client.host if request.client is not None else ""
    if proxies:
        hops = [h.strip() for line in request.headers.getlist("x-forwarded-for") for h in line.split(",")]
        said = hops[-proxies] if len(hops) >= proxies else said
    try:
        address = ipaddress.ip_address(said.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((int(address), 64), strict=False))
    return str(address)
