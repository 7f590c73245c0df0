"""A client of a registry, for tests of what it answers under pressure."""

from __future__ import annotations

import random

import httpx
from dists import fields, make_wheel


class Client:
    """Uploads wheels to a registry and reads its pages, as clients do."""

    def __init__(self, address: str, token: str) -> None:
        self.http = httpx.Client(base_url=address, auth=("__token__", token), timeout=60)
        self.number = 0

    def upload(self, size: int = 0) -> httpx.Response:
        self.number += 1
        version = f"{self.number}.0"
        # Synthetic content that cannot be packed smaller.
        body = f"x = '{random.Random(self.number).randbytes(size).hex()}'"
        filename, content = make_wheel(version=version, body=body)
        return self.http.post(
            "/legacy/",
            data=fields(filename, content, version=version),
            files={"content": (filename, content)},
        )

    def page(self) -> httpx.Response:
        return self.http.get("/simple/heat-load/", headers={"Accept": "application/vnd.pypi.simple.v1+json"})

    def fetch(self) -> httpx.Response:
        return self.http.get(httpx.URL("/simple/heat-load/").join(self.page().json()["files"][0]["url"]))
