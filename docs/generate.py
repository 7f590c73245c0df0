"""Write the reference pages from the code: `python docs/generate.py`. A test compares them.

What stands above the mark of a page is written by hand, what stands below comes from here.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ldt_conformance import reference
from ldt_conformance.requirements import released

from ldt_core import errors, hookspecs
from ldt_core.cli import build_parser
from ldt_core.twin import twin_json_schema

ROOT = Path(__file__).resolve().parent.parent
MARK = "<!-- below: written by docs/generate.py -->\n"


# -- commands --------------------------------------------------------------------------------


def write_cli() -> str:
    parts = []
    for name, parser in sorted(_subparsers().items()):
        rows = [_argument(a) for a in parser._actions if not isinstance(a, argparse._HelpAction)]
        table = ["| Argument | Default | Meaning |", "|---|---|---|", *rows] if rows else []
        about = parser.description or ""
        parts.append(
            "\n".join([f"## `ldt {name}`", "", f"{about[:1].upper()}{about[1:]}.", "", *table]).strip()
        )
    for distribution, command in _plugin_commands():
        about = command["help"]
        parts.append(
            f"## `ldt {command['name']}`\n\n{about[:1].upper()}{about[1:]}. Added by {distribution}: "
            f"`ldt {command['name']} --help` names its arguments."
        )
    return "\n\n".join(parts) + "\n"


def _subparsers() -> dict[str, argparse.ArgumentParser]:
    actions = build_parser()._actions
    found = next(a for a in actions if isinstance(a, argparse._SubParsersAction))
    return dict(found.choices)


def _argument(action: argparse.Action) -> str:
    shown = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    if action.option_strings:
        value = "" if action.nargs == 0 else f" {shown}"
        name = ", ".join(f"`{o}{value}`" for o in action.option_strings)
    else:
        name = f"`{shown}`" + ("..." if action.nargs in ("*", "+") else "")
    default = f"`{action.default}`" if isinstance(action.default, str) else ""
    words = action.help or ""
    if action.choices:
        words = f"{words}: " * bool(words) + "one of " + ", ".join(f"`{c}`" for c in action.choices)
    return f"| {name} | {default} | {words} |"


def _plugin_commands() -> Iterator[tuple[str, dict[str, str]]]:
    folders = ("plugins/*", "conformance", "registry")
    for path in sorted(p for f in folders for p in ROOT.glob(f"{f}/*/component.json")):
        manifest = json.loads(path.read_text(encoding="utf-8"))
        for command in manifest["commands"]:
            yield manifest["distribution"], command


# -- the twin file ---------------------------------------------------------------------------

# The sections in the order of a file: (heading, definition in the schema, how it is reached).
SECTIONS = [
    ("twin", "Area", "twin:"),
    ("purpose", "Purpose", "purpose:"),
    ("time", "Period", "time:"),
    ("run", "RunRules", "run:"),
    ("checkpoint", "CheckpointRules", "run: {checkpoint: ...}"),
    ("components", "ComponentEntry", "components: {NAME: ...}"),
    ("columns", "ColumnEntry", "components: {NAME: {columns: {COLUMN: ...}}}"),
    ("resources", "Resources", "components: {NAME: {resources: ...}}"),
    ("connect", "Link", "connect: [...]"),
    ("record", "RecordRule", "record: {COMPONENT.PORT: ...}"),
    ("kpis", "KpiDefinition", "kpis: {NAME: ...}"),
    ("views", "ViewDefinition", "views: {NAME: ...}"),
    ("scenarios", "Scenario", "scenarios: {NAME: ...}"),
    ("branch", "Branch", "scenarios: {NAME: {branch: ...}}"),
    ("sweeps", "Sweep", "sweeps: {NAME: ...}"),
    ("sample", "Sample", "sweeps: {NAME: {sample: ...}}"),
]


def write_twin_file() -> str:
    schema = twin_json_schema()
    unnamed = set(schema["$defs"]) - {definition for _, definition, _ in SECTIONS}
    assert not unnamed, f"no section for {unnamed}"
    parts = ["## The file\n\n" + _keys(schema, schema)]
    for name, definition, path in SECTIONS:
        found = schema["$defs"][definition]
        parts.append(f"## {name}\n\n`{path}`. {found['description']}\n\n{_keys(found, schema)}")
    return "\n\n".join(parts) + "\n"


def _keys(definition: dict[str, Any], schema: dict[str, Any]) -> str:
    rows = ["| Key | Value | Meaning |", "|---|---|---|"]
    for key, value in definition["properties"].items():
        needed = " (needed)" if key in definition.get("required", ()) else ""
        rows.append(f"| `{key}`{needed} | {_value(value)} | {_meaning(value, schema)} |")
    return "\n".join(rows)


def _meaning(value: dict[str, Any], schema: dict[str, Any]) -> str:
    reference = value.get("$ref", "").rpartition("/")[2]
    return str(value.get("description") or schema["$defs"].get(reference, {}).get("description", ""))


def _value(value: dict[str, Any]) -> str:
    """What may be written, in a few words."""
    options = [v for v in value.get("anyOf", [value]) if v.get("type") != "null"]
    said = []
    for option in options:
        if "const" in option:
            said.append(f"`{option['const']}`")
        elif "enum" in option:
            said.extend(f"`{v}`" for v in option["enum"])
        elif option.get("examples"):
            said.append(f"such as `{option['examples'][0]}`")
        elif option.get("type") in ("string", "number", "integer", "boolean"):
            said.append({"string": "text", "integer": "whole number"}.get(option["type"], option["type"]))
        elif option.get("type") == "array":
            said.append("list")
        else:
            said.append("mapping" if option.get("type") == "object" or "$ref" in option else "any")
    text = ", ".join(dict.fromkeys(said))
    default = value.get("default")
    return text + (f"; `{default}`" if isinstance(default, str | int) and default != "" else "")


# -- errors ----------------------------------------------------------------------------------

# Functions of the core that make an error: (class, position of the code).
MAKERS = {
    ("twin", "_error"): ("TwinFileError", 0),
    ("twin_scenarios", "_error"): ("TwinFileError", 0),
    ("twin_values", "refuse"): ("TwinFileError", 0),
    ("tables", "_refused"): ("InputError", 1),
}


def write_errors() -> str:
    codes = find_codes()
    parts = []
    for kind in error_classes():
        exits = f"Group {kind.group}, exit code {kind.exit_code}" + (
            ", may succeed later" if kind.retryable else ""
        )
        base = kind.__mro__[1].__name__
        above = "" if base == "Exception" else f"; a kind of `{base}`"
        lines = [f"## `{kind.__name__}`", "", f"{exits}{above}. {_who(kind)}"]
        if codes.get(kind.__name__):
            lines += ["", "Codes: " + ", ".join(f"`{c}`" for c in sorted(codes[kind.__name__])) + "."]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def error_classes() -> list[type[errors.LdtError]]:
    classes = [v for v in vars(errors).values() if isinstance(v, type) and issubclass(v, errors.LdtError)]
    return sorted(classes, key=lambda c: (c.group, len(c.__mro__), c.__name__))


def _who(kind: type[errors.LdtError]) -> str:
    """The class's own docstring, else what the tree in the module's docstring says of it."""
    if kind.__doc__ and kind.__doc__ != kind.__base__.__doc__:  # type: ignore[union-attr]
        return " ".join(inspect.cleandoc(kind.__doc__).split("\n\n")[0].split())
    for line in (errors.__doc__ or "").splitlines():
        name, _, rest = line.lstrip("│├└─ ").partition("  ")
        if name == kind.__name__:
            words = rest.split("  ")[-1]
            return f"{words[:1].upper()}{words[1:]}."
    raise LookupError(f"nothing says what {kind.__name__} means")


def find_codes() -> dict[str, set[str]]:
    """The codes that stand in the source of the core, by class."""
    known = {c.__name__ for c in error_classes()}
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / "ldt_core").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            value: ast.expr | None = next((k.value for k in node.keywords if k.arg == "code"), None)
            if maker := MAKERS.get((path.stem, name)):
                name, position = maker
                value = node.args[position] if len(node.args) > position else value
            if name in known and isinstance(value, ast.Constant) and isinstance(value.value, str):
                found.setdefault(name, set()).add(value.value)
    return found


# -- hooks -----------------------------------------------------------------------------------


def write_hooks() -> str:
    parts = []
    for name in hook_names():
        spec = getattr(hookspecs, name)
        text = " ".join(inspect.cleandoc(spec.__doc__).split())
        parts.append(f"## `{name}`\n\n`{name}{_signature(spec)}`\n\n{text}")
    return "\n\n".join(parts) + "\n"


def hook_names() -> list[str]:
    return [n for n, v in vars(hookspecs).items() if n.startswith("ldt_") and hasattr(v, "ldt_spec")]


def _signature(spec: Any) -> str:
    return str(inspect.signature(spec)).replace("'", "")


# -- pages -----------------------------------------------------------------------------------

PAGES = {
    "cli.md": write_cli,
    "twin-file.md": write_twin_file,
    "errors.md": write_errors,
    "hooks.md": write_hooks,
    "requirements.md": reference.write_list,
}


def render(name: str) -> tuple[str, str]:
    """(the page as it stands, the page as it must be)."""
    page = (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8")
    head, mark, _ = page.partition(MARK)
    assert mark, f"{name} has no mark"
    return page, f"{head}{MARK}\n{PAGES[name]()}"


def requirement_pages() -> dict[Path, str]:
    """The page of each released requirement, written as a whole."""
    folder = ROOT / "docs" / "reference" / "requirements"
    return {folder / f"{id}.md": reference.write_page(r) for id, r in released().items()}


def main() -> int:
    for name in PAGES:
        page, wanted = render(name)
        if page != wanted:
            (ROOT / "docs" / "reference" / name).write_text(wanted, encoding="utf-8")
            print(f"wrote docs/reference/{name}")
    wanted_pages = requirement_pages()
    folder = ROOT / "docs" / "reference" / "requirements"
    folder.mkdir(exist_ok=True)
    for path in folder.glob("*.md"):
        if path not in wanted_pages:
            path.unlink()
            print(f"removed {path.relative_to(ROOT)}")
    for path, text in wanted_pages.items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
