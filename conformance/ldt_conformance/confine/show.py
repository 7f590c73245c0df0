"""Renders one view with an installed viewer: ``python show.py ID GIVEN ANSWER``; ``GIVEN`` is the judge's pickle.

Viewers run where the twin runs and have no other process to speak from, so this is it.
"""

from __future__ import annotations

import json
import logging
import pickle
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def main(arguments: Sequence[str]) -> int:
    id, given, answer = arguments[0], Path(arguments[1]), Path(arguments[2])
    asked = pickle.loads(given.read_bytes())  # noqa: S301 - the judge wrote it
    logging.basicConfig(level=logging.DEBUG)
    answer.write_text(json.dumps(shown(id, asked)), encoding="utf-8")
    return 0


def shown(id: str, asked: dict[str, Any]) -> dict[str, str]:
    import ldt_core as ldt
    from ldt_core.catalog import installed, load

    try:
        viewer: Any = load(installed().find(id))
        params = viewer.Params.model_validate(asked["params"], context={"base": asked["base"]})
        one = viewer(params, ldt.Context(**asked["context"]))
        scene = one.render(asked["view"])
        one.finalize()
        return {"output": scene.model_dump_json() if hasattr(scene, "model_dump_json") else repr(scene)}
    except Exception as exc:
        return {"error": f"{type(exc).__name__}: {exc}"}


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
