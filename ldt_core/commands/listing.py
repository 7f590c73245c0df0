"""``ldt list``, ``ldt show``, ``ldt completion``: what is installed, without importing any of it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from ..catalog import installed
from .output import print_json


def list_components(options: argparse.Namespace) -> int:
    catalog = installed()
    offers = [o for o in catalog.offers if options.kind in (None, o.kind)]
    if options.json:
        print_json([{k: v for k, v in o._asdict().items() if k != "manifest"} for o in offers])
        return 0
    for problem in catalog.problems:
        print(f"ldt: {problem}", file=sys.stderr)
    if not offers:
        print("no components are installed; for a first twin: pip install ldt-demo")
        return 0
    wide = max(len(o.id) for o in offers)
    for offer in offers:
        print(f"{offer.kind:<10} {offer.id:<{wide}}  {offer.title}  ({offer.distribution} {offer.version})")
    return 0


def show_component(options: argparse.Namespace) -> int:
    offer = installed().find(options.id)
    manifest = offer.describe()
    if options.json:
        print_json(manifest)
        return 0
    print(f"{manifest['id']} ({manifest['kind']}) from {offer.distribution} {offer.version}")
    print(f"  {manifest['title']}\n")
    print("\n".join(f"  {line}" for line in manifest["description"].splitlines()))
    for side in ("inputs", "outputs"):
        if manifest[side]:
            print(f"\n{side}")
        for name, port in manifest[side].items():
            notes = [port.get("at", "step")]
            notes += [f"one row per {port['entity']}"] if port.get("entity") else []
            notes += ["events"] if port.get("events") else []
            notes += ["optional"] if port.get("optional") else []
            print(f"  {name} ({', '.join(notes)})")
            for column, spec in port["columns"].items():
                print(f"    {column:<16} {_column(spec)}")
    print("\nparameters")
    for name, spec in manifest["params"].get("properties", {}).items():
        default = f" = {json.dumps(spec['default'])}" if "default" in spec else " (required)"
        unit = f" [{manifest['units'][name]}]" if name in manifest["units"] else ""
        print(f"  {name}{unit}{default}  {spec.get('description', '')}".rstrip())
    if manifest["dynamic"]:
        print("\nports depend on the parameters; `ldt check` shows those of a twin")
    return 0


def _column(spec: dict[str, Any]) -> str:
    words = [spec["kind"]]
    words += [spec[k] for k in ("unit", "quantity", "geometry", "crs") if spec.get(k)]
    words += [spec["cell"]] if "cell" in spec else []
    words += ["may be missing"] if spec.get("nulls") else []
    return " ".join(words)


def schema() -> int:
    """Print the schema; editors take it from a comment: ``# yaml-language-server: $schema=FILE``."""
    from ..twin import twin_json_schema

    print(json.dumps(twin_json_schema(), indent=2, ensure_ascii=False))
    return 0


_BASH = """_ldt() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}"
  if [ "$COMP_CWORD" -eq 1 ]; then COMPREPLY=($(compgen -W "{commands}" -- "$word"))
  else COMPREPLY=($(compgen -W "$(ldt "${{COMP_WORDS[1]}}" --help 2>/dev/null | grep -oE -- '--[a-z-]+' | sort -u)" \
-- "$word") $(compgen -f -- "$word")); fi
}}
complete -o filenames -F _ldt ldt
"""
_ZSH = """#compdef ldt
autoload -U +X bashcompinit && bashcompinit
{bash}"""
_FISH = """{lines}
complete -c ldt -n 'not __fish_use_subcommand' -F
"""


def completion(options: argparse.Namespace, commands: Sequence[str]) -> int:
    """A script for the shell; commands of plugins installed now are in it."""
    bash = _BASH.format(commands=" ".join(commands))
    if options.shell == "bash":
        print(bash, end="")
    elif options.shell == "zsh":
        print(_ZSH.format(bash=bash), end="")
    else:
        lines = "\n".join(f"complete -c ldt -n __fish_use_subcommand -f -a {c}" for c in commands)
        print(_FISH.format(lines=lines), end="")
    return 0
