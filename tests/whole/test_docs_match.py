"""What the documentation says of the code is so: names, headings, calls, links."""

from __future__ import annotations

import ast
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = ROOT / "docs"
GENERATE = runpy.run_path(str(DOCS / "generate.py"))
WALK = DOCS / "concepts" / "walkthrough.md"


def _headings(path: Path) -> set[str]:
    return set(re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.M))


# -- the walkthrough ---------------------------------------------------------------------------


def _module(name: str) -> tuple[Path, list[str]]:
    """The file of a dotted name, and what is named inside it."""
    parts = name.split(".")
    root = ROOT / "plugins" / "ldt-web" / "ldt_web" if parts[0] == "ldt_web" else ROOT / "ldt_core"
    parts = parts[1:] if parts[0] == "ldt_web" else parts
    for count in range(len(parts), 0, -1):
        path = root.joinpath(*parts[:count]).with_suffix(".py")
        if path.is_file():
            return path, parts[count:]
    raise AssertionError(f"no module holds {name}")


def _definition(name: str) -> ast.AST:
    """The function or class of a dotted name."""
    path, inside = _module(name)
    found: ast.AST = ast.parse(path.read_text(encoding="utf-8"))
    for part in inside:
        body = [
            n for n in ast.walk(found) if isinstance(n, ast.FunctionDef | ast.ClassDef) and n.name == part
        ]
        assert body, f"{path.name} has no {part} ({name})"
        found = body[0]
    return found


def _calls(node: ast.AST) -> set[str]:
    """Names of everything that a function calls or hands on, functions inside it included."""
    called = {n.func.id for n in ast.walk(node) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
    return called | {
        n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Load)
    }


def _steps() -> list[tuple[str, str, str]]:
    return re.findall(r"^- `([\w.]+)` (→|⇢) `([\w.]+)`: ", WALK.read_text(encoding="utf-8"), re.M)


@pytest.mark.parametrize("step", _steps(), ids=lambda s: f"{s[0]} to {s[2]}")
def test_a_step_of_the_walkthrough_is_in_the_code(step: tuple[str, str, str]) -> None:
    source, arrow, target = step
    _definition(target)
    caller = _definition(source)
    last = target.rpartition(".")[2]
    if arrow == "→":
        assert last in _calls(caller), f"{source} calls no {last}"
    else:
        assert last not in _calls(caller), f"{source} calls {last} by its own name: write →"


def test_the_walkthrough_is_one_way_without_a_gap() -> None:
    steps = _steps()
    assert len(steps) > 30
    reached = {"cli.main"}
    for source, _, target in steps:
        owner = source.rpartition(".")[0]
        # A method is reached with its class's other methods: a loop calls its own.
        known = source in reached or any(r == owner or r.rpartition(".")[0] == owner for r in reached)
        assert known, f"nothing leads to {source}"
        reached.add(target)
    for name in ("interfaces.Simulator.step", "store.Store.put", "ldt_web.page.render_page"):
        assert name in reached


def test_the_walkthrough_goes_through_seven_files() -> None:
    files = [m[1] for h in sorted(_headings(WALK)) if (m := re.match(r"\d\. `([\w/.]+)`", h))]
    assert len(files) == 7
    assert all((ROOT / f).is_file() for f in files)


def test_what_goes_by_name_finds_its_target() -> None:
    """The dashed arrows: the worker's module, the plugin's command."""
    import json

    assert '"ldt_core.engines.worker"' in (ROOT / "ldt_core/engines/child.py").read_text(encoding="utf-8")
    manifest = json.loads((ROOT / "plugins/ldt-web/ldt_web/component.json").read_text(encoding="utf-8"))
    assert "ldt_web.cli:view" in [c["target"] for c in manifest["commands"]]


# -- the reference -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(GENERATE["PAGES"]))
def test_the_reference_is_that_of_the_code(name: str) -> None:
    page, wanted = GENERATE["render"](name)
    assert page == wanted, "run: python docs/generate.py"


def test_every_requirement_has_a_page_that_is_that_of_the_catalogue() -> None:
    wanted = GENERATE["requirement_pages"]()
    found = set((DOCS / "reference" / "requirements").glob("*.md"))
    assert found == set(wanted), "run: python docs/generate.py"
    for path, text in wanted.items():
        assert path.read_text(encoding="utf-8") == text, "run: python docs/generate.py"


def test_every_command_has_a_heading() -> None:
    commands = set(GENERATE["_subparsers"]()) | {c["name"] for _, c in GENERATE["_plugin_commands"]()}
    assert {"run", "view", "new"} <= commands
    assert {f"`ldt {name}`" for name in commands} <= _headings(DOCS / "reference" / "cli.md")


def test_every_error_class_has_a_heading() -> None:
    names = {c.__name__ for c in GENERATE["error_classes"]()}
    assert {"WiringError", "ParamError"} <= names
    assert {f"`{name}`" for name in names} <= _headings(DOCS / "reference" / "errors.md")


def test_every_hook_has_a_heading() -> None:
    names = GENERATE["hook_names"]()
    assert "ldt_models" in names
    assert {f"`{name}`" for name in names} <= _headings(DOCS / "reference" / "hooks.md")


def test_exit_codes_are_those_of_the_classes() -> None:
    text = (DOCS / "reference" / "cli.md").read_text(encoding="utf-8")
    shown = {int(n) for n in re.findall(r"^\| (\d+) \|", text, re.M)}
    assert shown == {c.exit_code for c in GENERATE["error_classes"]()} | {0, 2, 130}


def test_thirty_lines_are_thirty_lines() -> None:
    page = (DOCS / "tutorial" / "first-plugin.md").read_text(encoding="utf-8")
    code = re.findall(r"component\.py -->\n```python\n(.*?)```", page, re.S)
    assert len([line for line in code[0].splitlines() if line.strip()]) <= 32


# -- pages among each other --------------------------------------------------------------------

PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "CONTRIBUTING.md", ROOT / "README.md"])


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{page.name}: {target}"
        if anchor:
            anchors = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in _headings(found)}
            assert anchor in anchors, f"{page.name}: {target}"


def test_every_page_can_be_reached_from_the_index() -> None:
    reached, waiting = set(), [DOCS / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md" or not page.is_file():
            continue
        reached.add(page)
        links = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
        waiting += [(page.parent / t).resolve() for t in links if "://" not in t]
    pages = {p for p in DOCS.rglob("*.md") if "examples" not in p.parts}
    assert pages <= reached


def test_decisions_are_numbered_and_say_what_was_rejected() -> None:
    pages = sorted(DOCS.glob("adr/0*.md"))
    numbers = [p.name[:4] for p in pages]
    assert len(set(numbers)) == len(numbers)
    for page in pages:
        text = page.read_text(encoding="utf-8")
        for part in ("**Decided.**", "**Why.**", "**Rejected.**", "**Price.**"):
            assert part in text, f"{page.name} lacks {part}"
        assert len(re.findall(r"^- \*", text, re.M)) >= 3, f"{page.name} rejects too little"
        assert page.name in (DOCS / "adr" / "README.md").read_text(encoding="utf-8")


def test_no_page_uses_a_word_that_the_glossary_avoids() -> None:
    """The few words that mean one thing here and another one elsewhere; options of other programs are theirs."""
    avoided = re.compile(r"(?<!--no-)\b(dataframe|data frames?|experiment|dashboard|microservice)\b", re.I)
    for page in DOCS.rglob("*.md"):
        if page.name == "glossary.md" or "adr" in page.parts:
            continue
        found = avoided.search(page.read_text(encoding="utf-8"))
        assert found is None, f"{page.name}: {found[0]}"


def test_changes_are_numbered() -> None:
    names = sorted(p.name for p in (ROOT / "changes").iterdir())
    assert names
    assert all(re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", n) for n in names), names
    numbers = [n[:4] for n in names]
    assert len(set(numbers)) == len(numbers)


def test_gates_in_contributing_are_those_of_tox() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    tox = (ROOT / "tox.ini").read_text(encoding="utf-8")
    for name in re.findall(r"`tox -e ([\w-]+)", text):
        if name.startswith("ldt-"):
            assert name in {p.name for p in (ROOT / "plugins").iterdir()} | {"ldt-model-heat-load"}
        else:
            assert f"[testenv:{name}]" in tox, name
