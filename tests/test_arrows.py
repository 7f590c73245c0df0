"""Who may import whom: the imports of every module are parsed, nothing is run."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "ldt_core"
PLUGINS = sorted(p for p in (ROOT / "plugins").iterdir() if (p / "pyproject.toml").is_file())
FORBIDDEN_IN_CORE = {
    "ldt_conformance",
    "ldt_registry",
    "sqlalchemy",
    "pytest",
    "pandas",
    "xarray",
    "geopandas",
}
# What the application may know of the core besides its top name.
WEB_MAY = {"ldt_core.scene", "ldt_core.twin", "ldt_core.store", "ldt_core.kpi", "ldt_core.runs"}


def imports(path: Path) -> Iterator[tuple[str, bool, int]]:
    """(absolute module, at module level, line) of every import; relative ones are resolved."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = {id(n) for n in tree.body} | {
        id(n) for i in tree.body if isinstance(i, ast.If | ast.Try) and not _type_checking(i) for n in i.body
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) in top, node.lineno
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                package = path.relative_to(ROOT).with_suffix("").parts[: -node.level]
                module = ".".join([*package, module]).strip(".")
            yield module, id(node) in top, node.lineno
            for alias in node.names:
                yield f"{module}.{alias.name}", id(node) in top, node.lineno


def _type_checking(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def _modules(folder: Path) -> list[Path]:
    found = sorted(folder.rglob("*.py"))
    assert found, f"{folder} holds no module: this check would prove nothing"
    return found


def test_core_imports_no_plugin_and_nothing_heavy() -> None:
    packages = {p.name.replace("-", "_") for p in PLUGINS}
    for path in _modules(CORE):
        for name, _, line in imports(path):
            top = name.split(".")[0]
            assert top not in FORBIDDEN_IN_CORE | packages, f"{path.name}:{line} imports {name}"


def test_only_the_remote_part_knows_a_web_framework() -> None:
    for path in _modules(CORE):
        if "remote" in path.parts:
            continue
        for name, _, line in imports(path):
            assert name.split(".")[0] not in {"fastapi", "httpx", "starlette"}, (
                f"{path.name}:{line} imports {name}"
            )


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda p: p.name)
def test_plugin_imports_the_core_by_its_top_name(plugin: Path) -> None:
    package = plugin.name.replace("-", "_")
    others = {p.name.replace("-", "_") for p in PLUGINS} - {package}
    allowed = WEB_MAY if plugin.name == "ldt-web" else {"ldt_core.scene"}
    for path in _modules(plugin / package):
        for name, _, line in imports(path):
            where = f"{path.relative_to(ROOT)}:{line} imports {name}"
            top = name.split(".")[0]
            assert top not in others | {"ldt_conformance", "ldt_registry"}, where
            if name.startswith("ldt_core.") and (CORE / f"{name.split('.')[1]}.py").is_file():
                assert ".".join(name.split(".")[:2]) in allowed, where


def test_the_suite_knows_no_plugin_but_the_page_and_no_registry() -> None:
    others = {p.name.replace("-", "_") for p in PLUGINS} - {"ldt_web"}
    for path in _modules(ROOT / "conformance" / "ldt_conformance"):
        for name, _, line in imports(path):
            where = f"{path.relative_to(ROOT)}:{line} imports {name}"
            assert name.split(".")[0] not in others | {"ldt_registry"}, where


REGISTRY = ROOT / "registry" / "ldt_registry"
REGISTRY_MAY = {"certificate", "errors", "manifest"}
# In reading order, as in the core; `web` and `commands` stand above the subjects, and each subject has one module.
REGISTRY_ORDER = [
    "problems",
    "settings",
    "names",
    "schema",
    "database",
    "migrations",
    "journal",
    "audit",
    "blobs",
    "s3",
    "registry",
    "members",
    "archive",
    "metadata",
    "components",
    "sbom",
    "sdist",
    "wheel",
    "distribution",
    "checkers",
    "fetch",
    "limits",
    "tokens",
    "logs",
    "rights",
    "accounts",
    "sessions",
    "organisations",
    "namespaces",
    "newcomers",
    "publishers",
    "oidc",
    "multipart",
    "jobs",
    "words",
    "facets",
    "catalogue",
    "rules",
    "upload",
    "releases",
    "index",
    "shelf",
    "listing",
    "search",
    "compare",
    "fits",
    "details",
    "readme",
    "bills",
    "advisories",
    "exports",
    "trust",
    "keeping",
    "web",
    "app",
    "commands",
]


def test_the_registry_knows_little_of_the_core_and_no_component() -> None:
    others = {p.name.replace("-", "_") for p in PLUGINS} | {"ldt_conformance"}
    for path in _modules(REGISTRY):
        for name, _, line in imports(path):
            where = f"{path.relative_to(ROOT)}:{line} imports {name}"
            assert name.split(".")[0] not in others, where
            parts = name.split(".")
            if parts[0] == "ldt_core" and len(parts) > 1 and (CORE / f"{parts[1]}.py").is_file():
                assert parts[1] in REGISTRY_MAY, where


def test_registry_modules_import_only_what_stands_above() -> None:
    rank = {name: number for number, name in enumerate(REGISTRY_ORDER)}
    for path in _modules(REGISTRY):
        room = path.relative_to(REGISTRY).parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        assert room in rank, f"{path.name} has no place in the reading order of the registry"
        for name, top, line in imports(path):
            parts = name.split(".")
            # As `registry.ldt_registry.x` where it is relative, `ldt_registry.x` where it is not.
            parts = parts[1:] if parts[:2] == ["registry", "ldt_registry"] else parts
            if parts[0] == "ldt_registry" and len(parts) > 1 and top and parts[1] in rank:
                assert rank[parts[1]] <= rank[room], (
                    f"{path.name}:{line}: {room} imports {parts[1]}, which stands below"
                )


def test_only_tests_use_what_is_for_tests() -> None:
    packages = [CORE, REGISTRY, *(p / p.name.replace("-", "_") for p in PLUGINS)]
    for path in (p for package in packages for p in _modules(package)):
        if path == CORE / "__init__.py":
            continue
        for name, _, line in imports(path):
            assert not name.startswith("ldt_core.testing"), f"{path.name}:{line} imports {name}"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr == "testing":
                raise AssertionError(f"{path.name}:{node.lineno} uses ldt.testing")


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda p: p.name)
def test_plugin_tests_know_no_other_plugin(plugin: Path) -> None:
    """They may take what an author has, ``ldt_core.testing`` among it."""
    others = {p.name.replace("-", "_") for p in PLUGINS} - {plugin.name.replace("-", "_")}
    for path in sorted((plugin / "tests").rglob("*.py")):
        for name, _, line in imports(path):
            assert name.split(".")[0] not in others, f"{path.name}:{line} imports {name}"


# In reading order: a module imports only what stands above it.
ORDER = [
    "errors",
    "usage",
    "identity",
    "units",
    "tables",
    "ipc",
    "scene",
    "interfaces",
    "hookspecs",
    "catalog",
    "manifest",
    "certificate",
    "twin",
    "wheels",
    "environments",
    "homes",
    "process",
    "viewing",
    "isolation",
    "adapters",
    "resample",
    "testing",
    "wires",
    "checkpoint",
    "faults",
    "loops",
    "windows",
    "actor",
    "iterate",
    "group",
    "start",
    "connect",
    "capture",
    "clock",
    "runner",
    "kpi",
    "wanted",
    "linking",
    "schedule",
    "wiring",
    "planning",
    "locking",
    "sweeps",
    "store",
    "resume",
    "collect",
    "tasks",
    "branching",
    "engines",
    "service",
    "child",
    "needs",
    "ensemble",
    "record",
    "journal",
    "results",
    "results_table",
    "sensitivity",
    "remote",
    "run_view",
    "views",
    "runs",
    "reproduce",
    "export",
    "crate",
    "commands",
    "cli",
]


def test_core_modules_import_only_what_stands_above() -> None:
    rank = {name: number for number, name in enumerate(ORDER)}
    for path in _modules(CORE):
        room = path.relative_to(CORE).parts[0].removesuffix(".py")
        room = {"_arrow": "tables", "_buffers": "tables", "_entry": "store", "_lease": "store"}.get(
            room, room
        )
        room = "twin" if room.startswith("twin_") else room
        if room == "__init__":
            continue
        assert room in rank, f"{path.name} has no place in the reading order"
        for name, top, line in imports(path):
            parts = name.split(".")
            if parts[0] != "ldt_core" or len(parts) < 2 or not top:
                continue
            other = {"_arrow": "tables", "_buffers": "tables", "_entry": "store", "_lease": "store"}.get(
                parts[1], parts[1]
            )
            other = "twin" if other.startswith("twin_") else other
            if other in rank:
                assert rank[other] <= rank[room], (
                    f"{path.name}:{line}: {room} imports {other}, which stands below"
                )


def test_help_and_list_import_nothing_heavy(tmp_path: Path) -> None:
    """`ldt --help` and `ldt list` load no array, table, schema or plugin code."""
    import subprocess

    heavy = ["numpy", "pyarrow", "pydantic", "pandas", "fastapi", "sqlalchemy", "pluggy", "yaml", "shapely"]
    for words in (["--help"], ["list"]):
        code = (
            "import sys\nfrom ldt_core.cli import main\n"
            f"try: main({words!r})\nexcept SystemExit: pass\n"
            f"loaded = [m for m in {heavy!r} if m in sys.modules]\n"
            "loaded += [m for m in sys.modules if m.startswith('ldt_') and not m.startswith('ldt_core')]\n"
            "sys.exit(f'loaded {loaded}' if loaded else 0)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env={"PATH": "", "LDT_CACHE": str(tmp_path)},
        )
        assert done.returncode == 0, done.stderr


def test_importing_the_core_imports_nothing_else() -> None:
    import subprocess

    code = "import ldt_core, sys; sys.exit([m for m in ('numpy', 'pydantic', 'pyarrow') if m in sys.modules] or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def _below(module: str) -> set[str]:
    """All modules of the core that one imports, at once or late, directly or not; not for types alone."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in found or not (CORE / f"{name}.py").is_file():
            continue
        found.add(name)
        tree = ast.parse((CORE / f"{name}.py").read_text(encoding="utf-8"))
        for_types = [n for n in ast.walk(tree) if isinstance(n, ast.If) and _type_checking(n)]
        skipped = {id(n) for i in for_types for n in ast.walk(i)}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.level == 1 and id(node) not in skipped:
                waiting += [node.module] if node.module else [a.name for a in node.names]
    return found


def test_keys_know_all_code_that_can_change_a_number() -> None:
    from ldt_core.identity import STAGE_CODE

    # Errors change no number.
    assert _below("runner") - {"errors"} <= set(STAGE_CODE)
    assert all((CORE / f"{name}.py").is_file() for name in STAGE_CODE)
