"""``ldt registry check``, ``reindex`` and ``unmet``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ..problems import Problem
from .opening import opened, say


def check(options: argparse.Namespace) -> int:
    """Check files as a registry would at their upload; 1 where one would be refused. Needs no registry, and asks none."""
    found = [_check(path) for path in options.files]
    if options.json:
        print(json.dumps(found, ensure_ascii=True))
    else:
        for one in found:
            print(f"{one['file']}: {one['said']}")
    return 0 if all(f["taken"] for f in found) else 1


def _check(path: Path) -> dict[str, Any]:
    from ..distribution import inspect

    try:
        said = inspect(path, path.name)
    except Problem as exc:
        return {"file": path.name, "taken": False, "said": str(exc), "problem": exc.as_document()}
    except OSError as exc:
        return {"file": path.name, "taken": False, "said": f"it cannot be read: {exc.strerror}"}
    ids = [c["id"] for c in said.components]
    words = f"{said.norm_name} {said.version} is fit to be published" + (f": {', '.join(ids)}" if ids else "")
    known = {"name": said.norm_name, "version": said.version, "components": ids}
    return {"file": path.name, "taken": True, "said": words, **known}


def reindex(options: argparse.Namespace) -> int:
    """Make anew what the search reads."""
    from ..catalogue import refresh_all

    with opened(options) as registry, registry.database.write() as connection:
        number = refresh_all(connection)
    say(options, f"{number} components can be found.", components=number)
    return 0


def unmet(options: argparse.Namespace) -> int:
    """Names that wheels here require, and that are neither here nor known to be on the public index."""
    from ..newcomers import find_unmet

    with opened(options) as registry, registry.database.read() as connection:
        found = find_unmet(connection)
    words = "\n".join(f"{name}: required by {', '.join(asking)}" for name, asking in found.items())
    say(options, words or "Every required name is known.", unmet=found)
    return 0
