"""Run by test_faults.py where a small disk is mounted at the home: fill it with uploads, make room, and say what was seen."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from asking import Client
from dists import make_token
from ldt_registry.keeping.fsck import check
from ldt_registry.registry import Registry, initialise
from ldt_registry.settings import Settings
from servers import Process

UPLOADS = 18


def main(home: Path, url: str | None) -> dict[str, object]:
    registry = Registry.open(Settings.load(home=home, database=url, keep_free=0, keep_free_share=0.0))
    initialise(registry)
    ballast = home / "ballast"
    ballast.write_bytes(bytes(2_000_000))
    seen: dict[str, object] = {}
    with Process(home, log=home.parent / "server.log", database=url) as server:
        asking = Client(server.address, make_token(registry))
        seen["answers"] = [asking.upload(300_000).status_code for _ in range(UPLOADS)]
        seen["staged"] = len(list(registry.blobs.staging.iterdir()))
        seen["page"] = asking.page().status_code
        seen["files"] = len(asking.page().json()["files"])
        seen["fetched"] = asking.fetch().status_code
        seen["wrong"] = [f.kind for f in check(registry) if not f.harmless]
        ballast.unlink()
        seen["later"] = asking.upload(300_000).status_code
        seen["wrong later"] = [f.kind for f in check(registry) if not f.harmless]
        asking.http.close()
    registry.close()
    return seen


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), sys.argv[2] or None)))
