"""Servers that stand for those of others, over TLS on loopback, and registries that trust them."""

from __future__ import annotations

import contextlib
import dataclasses
import http.server
import json
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Self
from urllib.parse import parse_qsl

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from ldt_registry.registry import Registry

Answer = tuple[int, dict[str, str], bytes]


@contextlib.contextmanager
def serving(certificate: ssl.SSLContext, answer: Callable[[str], Answer]) -> Iterator[tuple[str, list[str]]]:
    """A server over TLS on loopback; (its address, the paths that were asked for)."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            status, headers, body = answer(self.path)
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = certificate.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"https://localhost:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def trusting(registry: Registry, *hosts: str) -> Registry:
    settings = registry.settings.model_copy(update={"trusted_hosts": frozenset(hosts)})
    return dataclasses.replace(registry, settings=settings)


def place(address: str) -> str:
    return address.removeprefix("https://")


_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)  # once: it takes a while


class Issuer:
    """Makes tokens as GitHub or GitLab does, of any claims, with keys that it shows and others."""

    def __init__(self, certificate: ssl.SSLContext) -> None:
        self.key = _KEY
        self.shown: list[dict[str, Any]] = [self.jwk(self.key, "first")]
        self.described: dict[str, Any] = {}
        self.claims: dict[str, Any] = {}
        self._serving = serving(certificate, self._answer)

    def __enter__(self) -> Self:
        self.url, self.asked = self._serving.__enter__()
        self.described = {"issuer": self.url, "jwks_uri": f"{self.url}/jwks"}
        return self

    def __exit__(self, *words: Any) -> None:
        self._serving.__exit__(*words)

    @staticmethod
    def jwk(key: Any, kid: str, **more: Any) -> dict[str, Any]:
        kind = (
            jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
        )
        return {**kind.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig"} | more

    def token(
        self, *, key: Any = None, alg: str = "RS256", kid: str = "first", header: Any = None, **said: Any
    ) -> str:
        """A token for the registry; what is said replaces claims, None leaves one out."""
        at = int(time.time())
        claims: dict[str, Any] = {
            "iss": self.url,
            "aud": "ldt-registry",
            "iat": at,
            "nbf": at,
            "exp": at + 300,
        }
        claims |= {"jti": secrets.token_hex(8), **self.claims, **said}
        claims = {k: v for k, v in claims.items() if v is not None}
        return jwt.encode(
            claims, self.key if key is None else key, alg, headers={"kid": kid} | (header or {})
        )

    def _answer(self, path: str) -> Answer:
        at, _, query = path.partition("?")
        found: Any = None
        if at == "/.well-known/openid-configuration":
            found = self.described
        elif at == "/jwks":
            found = {"keys": self.shown}
        elif at == "/token":
            found = {"value": self.token(aud=dict(parse_qsl(query))["audience"])}
        return (404, {}, b"") if found is None else (200, {}, json.dumps(found).encode())


GITHUB = {
    "sub": "repo:old-town/heat:environment:release",
    "repository": "old-town/heat",
    "repository_id": "74",
    "repository_owner": "old-town",
    "repository_owner_id": "65",
    "job_workflow_ref": "old-town/heat/.github/workflows/release.yml@refs/heads/main",
    "environment": "release",
    "ref": "refs/heads/main",
}
GITLAB = {
    "sub": "project_path:old-town/heat:ref_type:branch:ref:main",
    "project_id": "7",
    "project_path": "old-town/heat",
    "namespace_id": "6",
    "namespace_path": "old-town",
    "ref_protected": "true",
}
