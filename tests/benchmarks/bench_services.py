"""What it costs to judge a service: its OpenAPI document, and a request with the judging of its answer.

The peer of the rules is the validator itself on the same document, as a program calls it (200 paths, 400 operations, one
schema in two its own); the floor of a request is the same one by ``http.client`` on a connection of its own.
Run: ``python tests/benchmarks/bench_services.py``.
"""

from __future__ import annotations

import copy
import http.client
import time
from collections.abc import Callable
from typing import Any

import openapi_spec_validator as library
from ldt_conformance.answers import Document
from ldt_conformance.interface import Operation
from ldt_conformance.openapi_blind_spots import blind_spots, operations
from ldt_conformance.openapi_rules import faults
from ldt_conformance.services import Asker
from ldt_conformance.zoo.services import GoodModelService, serving

KINDS = {"3.0.3": library.OpenAPIV30SpecValidator, "3.1.0": library.OpenAPIV31SpecValidator}
ROUNDS, REQUESTS = 5, 200


def document(version: str, paths: int = 200) -> dict[str, Any]:
    said: dict[str, Any] = {}
    answer = {"type": "object", "properties": {"id": {"type": "string"}, "level": {"type": "number"}}}
    done = {"200": {"description": "done", "content": {"application/json": {"schema": answer}}}}
    name = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    for n in range(paths):
        own = {
            "type": "object",
            "required": ["a"],
            "properties": {"a": {"type": "number"}, f"x{n}": {"minimum": n}},
        }
        body = {"content": {"application/json": {"schema": own}}}
        get = {"operationId": f"get{n}", "responses": copy.deepcopy(done)}
        post = {"operationId": f"post{n}", "requestBody": body, "responses": copy.deepcopy(done)}
        said[f"/things{n}/{{id}}"] = {"parameters": [dict(name)], "get": get, "post": post}
    return {"openapi": version, "info": {"title": "t", "version": "1"}, "paths": said}


def best(work: Callable[[], Any], rounds: int = ROUNDS) -> float:
    """Milliseconds of the fastest round."""
    found = []
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        found.append(1000 * (time.perf_counter() - begun))
    return min(found)


def main() -> list[dict[str, Any]]:
    rows = []
    for version, kind in KINDS.items():
        content = document(version)
        assert not faults(content)
        peer = best(lambda content=content, kind=kind: kind(content).validate())  # type: ignore[misc]
        ours = best(lambda content=content: faults(content))  # type: ignore[misc]
        blind = best(lambda content=content: blind_spots(content))  # type: ignore[misc]
        rows += [
            {
                "what": f"OpenAPI {version}, 200 paths: the validator alone",
                "ms": peer,
                "ratio": 1.0,
                "aim": None,
            },
            {"what": f"OpenAPI {version}, 200 paths: faults", "ms": ours, "ratio": ours / peer, "aim": 0.5},
            {
                "what": f"OpenAPI {version}, 200 paths: blind spots",
                "ms": blind,
                "ratio": blind / peer,
                "aim": None,
            },
        ]
    return rows + _requests()


def _requests() -> list[dict[str, Any]]:
    with serving(GoodModelService) as address:
        asker = Asker(address)

        def bare() -> None:
            for _ in range(REQUESTS):
                line = http.client.HTTPConnection(asker.host, asker.port)
                line.request("GET", "/conformance")
                line.getresponse().read()
                line.close()

        def judged() -> None:
            for _ in range(REQUESTS):
                assert not known.fault(operation, asker.get("/conformance"))

        content = asker.get("/api").object
        known = Document(content, address)
        operation = next(o for o in (Operation(*f) for f in operations(content)) if o.path == "/conformance")
        floor, ours = best(bare) / REQUESTS, best(judged) / REQUESTS
    return [
        {"what": "a request by http.client, a connection each", "ms": floor, "ratio": 1.0, "aim": None},
        {"what": "a request that is judged", "ms": ours, "ratio": ours / floor, "aim": 2.0},
    ]


if __name__ == "__main__":
    for row in main():
        print(f"{row['what']:<58} {row['ms']:10.3f} ms  x{row['ratio']:.2f}")
