"""``ldt registry release`` and ``project``: what the operator changes of what is published."""

from __future__ import annotations

import argparse

from .. import releases
from .opening import opened, say
from .people import me


def release(options: argparse.Namespace) -> int:
    name = options.name
    with opened(options) as registry:
        match options.what:
            case "yank":
                releases.yank(registry, me(), name, options.version, options.code, options.text)
                words = f"{name} {options.version} is yanked: installers choose it only where it is pinned."
                say(options, words, name=name, version=options.version, yanked=True)
            case "unyank":
                releases.restore(registry, me(), name, options.version)
                words = f"{name} {options.version} is chosen again."
                say(options, words, name=name, version=options.version, yanked=False)
            case "delete":
                releases.delete(registry, me(), name, options.filename, options.text)
                words = f"{options.filename} is deleted; its name is never used again."
                say(options, words, name=name, filename=options.filename)
    return 0


def project(options: argparse.Namespace) -> int:
    with opened(options) as registry:
        releases.mark(registry, me(), options.name, options.status, options.why, options.replaced_by)
        say(options, f"{options.name} is {options.status}.", name=options.name, status=options.status)
    return 0
