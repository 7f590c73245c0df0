"""``ldt new``: a working distribution of one component, or a twin file to start from."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import keyword
import os
import re
import subprocess
import sys
from pathlib import Path

from ..catalog import Catalog, installed, load
from ..errors import ParamError, PluginError, RunError, StoreError, Unsupported

TEMPLATES = Path(__file__).parent / "templates"
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
LONGEST = 40

# What a file of the new folder is made from; the made-up source of an example is the source's own template.
COMMON = {
    "pyproject.toml": "common/pyproject.toml.txt",
    "CHANGELOG.md": "common/CHANGELOG.md.txt",
    "@package@/py.typed": "common/py.typed.txt",
    "tests/test_@module@_whole.py": "common/test_whole.py.txt",
}
OWN = {
    "@package@/__init__.py": "__init__.py.txt",
    "@package@/component.py": "component.py.txt",
    "tests/test_@module@.py": "test.py.txt",
    "cases/first.json": "case.json.txt",
    "example/twin.yaml": "twin.yaml.txt",
    "conformance.toml": "conformance.toml.txt",
}
MORE = {
    "model": {
        "cases/cool.json": "case-cool.json.txt",
        "cases/other.json": "case-other.json.txt",
        "cases/air.csv": "air.csv.txt",
    },
}
WITH_SAMPLE = ("model", "viewer")

MODEL_OR_SIMULATOR = (
    "A model here computes each window from its inputs and keeps nothing. What the field calls a model with\n"
    "time of its own (BMI, SUMO) is a simulator here: ldt new simulator {name}\n"
)


def new(options: argparse.Namespace) -> int:
    """Write the folder and say what to do with it. Overwrites nothing.

    Raises ``ParamError`` for a name that cannot be one, a folder that exists, an id that is taken.
    """
    name = check_name(options.name)
    if options.kind == "twin":
        return _new_twin(name, Path(options.into), Path(options.source) if options.source else None)
    if options.source:
        raise ParamError(
            f"a {options.kind} does not start from a file",
            code="bad value",
            where="--from",
            fix=f"leave --from out, or make a twin: ldt new twin {name} --from {options.source}",
        )
    catalog = installed()
    distribution = f"ldt-{options.kind}-{name}"
    _refuse_taken(catalog, name, distribution)
    if options.kind == "model":
        print(MODEL_OR_SIMULATOR.format(name=name))
    folder = Path(options.into) / distribution
    _write(folder, fill_plugin(options.kind, name))
    _describe(folder)
    _say(folder, _next_of_plugin(options.kind, folder))
    return 0


def check_name(name: str) -> str:
    """The name itself. Raises ``ParamError`` where it is not kebab-case."""
    if NAME.fullmatch(name) and len(name) <= LONGEST:
        return name
    proposal = "-".join(re.findall(r"[a-z0-9]+", name.lower()))[:LONGEST].strip("-")
    good = NAME.fullmatch(proposal) is not None
    raise ParamError(
        f"'{name}' cannot be the name: it takes lower-case letters, digits and single hyphens, begins with a "
        f"letter and has at most {LONGEST} signs",
        code="bad value",
        where="NAME",
        fix=f"did you mean '{proposal}'?" if good else "write for example street-trees",
    )


def _refuse_taken(catalog: Catalog, id: str, distribution: str) -> None:
    for offer in catalog.offers:
        if offer.id == id and offer.distribution != distribution:
            raise ParamError(
                f"the component '{id}' is offered by {offer.distribution} already, and an id has one owner",
                code="two owners",
                where="NAME",
                fix="choose another name",
            )


# -- a plugin --------------------------------------------------------------------------------


def fill_plugin(kind: str, name: str) -> dict[str, str]:
    """The files of a new distribution, text by path; all but ``component.json``, which is made from the code."""
    words = _words(kind, name)
    files = {path: _read(template) for path, template in COMMON.items()}
    own = OWN | MORE.get(kind, {})
    files |= {path: _read(f"{kind}/{template}") for path, template in own.items()}
    files["README.md"] = _read(f"{kind}/README.md.txt") + _read("common/usage.md.txt")
    filled = {_fill(path, words): _fill(text, words) for path, text in files.items()}
    filled["LICENSE"] = _licence_text()
    if kind in WITH_SAMPLE:
        sample = words | {
            "Class": f"{words['Class']}Sample",
            "id": f"{name}-sample",
            "Title": f"Made-up day for {name}",
        }
        filled[f"{words['package']}/sample.py"] = _fill(_read("source/component.py.txt"), sample)
    return filled


def _licence_text() -> str:
    """That of the licence which the new pyproject.toml names: the core's own, Apache-2.0, as it was installed."""
    return importlib.metadata.distribution("ldt-core").read_text("licenses/LICENSE") or ""


def _words(kind: str, name: str) -> dict[str, str]:
    title = "".join(part.capitalize() for part in name.split("-"))
    return {
        "id": name,
        "kind": {"source": "data source"}.get(kind, kind),
        "Class": title + kind.capitalize() if keyword.iskeyword(title) else title,
        "Title": name.replace("-", " ").capitalize(),
        "distribution": f"ldt-{kind}-{name}",
        "package": f"ldt_{kind}_{name}".replace("-", "_"),
        "module": f"{kind}_{name}".replace("-", "_"),
    }


def _read(template: str) -> str:
    return (TEMPLATES / template).read_text(encoding="utf-8")


def _fill(text: str, words: dict[str, str]) -> str:
    return re.sub("@([A-Za-z]+)@", lambda found: words[found[1]], text)


def _describe(folder: Path) -> None:
    """Write ``component.json``, in a process of its own: importing new code here would leave it loaded."""
    done = subprocess.run(
        [sys.executable, "-B", "-m", "ldt_core.manifest", str(folder)], capture_output=True, text=True
    )
    if done.returncode:
        raise RunError(
            "component.json could not be made",
            code="component raised",
            where=str(folder),
            fix=f"ldt manifest {folder} shows why: {done.stderr.strip()[-300:]}",
        )


def _next_of_plugin(kind: str, folder: Path) -> list[str]:
    if kind == "viewer":
        return [
            f'pip install -e "{folder}[test]" ldt-web',
            f"ldt run {folder / 'example'}",
            f"ldt view {folder / 'example'} --out page.html",
        ]
    return [f'pip install -e "{folder}[test]"', f"pytest {folder}", f"ldt run {folder / 'example'}"]


# -- a twin ----------------------------------------------------------------------------------


def _new_twin(name: str, into: Path, data: Path | None) -> int:
    catalog = installed()
    folder = into / name
    offered = {o.id for o in catalog.offers}
    if data is not None:
        files = {"twin.yaml": _twin_from(catalog, name, data, folder)}
    else:
        components, kpis, scenarios = (
            ("csv", "csv-kpis", "csv-scenarios") if "csv" in offered else ("none", "", "no-scenarios")
        )
        views = "views" if {"csv", "kpi"} <= offered else ""
        parts = ["head", components, kpis, views, scenarios]
        text = "\n".join(_read(f"twin/{part}.txt") for part in parts if part)
        files = {"twin.yaml": _fill(text, _words("twin", name))}
        if "csv" in offered:
            files["counts.csv"] = _read("twin/counts.csv.txt")
    _write(folder, files)
    if data is not None:
        print(f"{folder / 'twin.yaml'}: fill in what is marked  # <- fill in\n")
    _say(folder, [f"ldt check {folder}", f"ldt run {folder}", f"ldt compare {folder}"])
    return 0


def _twin_from(catalog: Catalog, name: str, data: Path, folder: Path) -> str:
    """A twin file over one CSV file. Its header is read by the source ``csv`` itself; its rows are not."""
    if not re.search(r"\.(csv|tsv|txt)(\.gz)?$|\.zip$", data.name.lower()):
        raise Unsupported(
            f"'{data.name}' is no CSV file",
            code="unsupported",
            where="--from",
            fix="write the component by hand: ldt list names the sources, ldt show ID their parameters",
        )
    try:
        source = load(catalog.find("csv"))
    except PluginError as exc:
        exc.where = exc.where or "--from"
        raise
    _, outputs = source({"file": str(data.absolute())}).ports()
    columns = "\n".join(
        f"        {_quote(column)}: {{from: {_quote(column)}, unit: null, quantity: null}} # <- fill in"
        for column in outputs["rows"].columns
    )
    path = os.path.relpath(data.absolute(), folder.absolute())
    words = _words("twin", name) | {"file": _quote(Path(path).as_posix()), "columns": columns}
    text = "\n".join(_read(f"twin/{part}.txt") for part in ("head", "from", "no-scenarios"))
    return _fill(text, words)


def _quote(text: str) -> str:
    """A YAML scalar in double quotes, as JSON writes it; ``${`` is meant as it stands."""
    return json.dumps(text.replace("${", "$${"), ensure_ascii=False)


# -- writing ---------------------------------------------------------------------------------


def _write(folder: Path, files: dict[str, str]) -> None:
    if folder.exists():
        raise ParamError(
            f"{folder} exists, and nothing is overwritten",
            code="exists",
            where="NAME",
            fix="choose another name, or another place with --into",
        )
    try:
        for path, text in files.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8", newline="\n")
    except OSError as exc:
        raise StoreError(
            f"the folder cannot be written: {exc.strerror}",
            code="not writable",
            where=str(folder),
            fix="choose another place with --into",
        ) from exc


def _say(folder: Path, commands: list[str]) -> None:
    files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    print(f"made {folder}:")
    for file in files:
        print(f"  {file}")
    print("\nnext:")
    for command in commands:
        print(f"  {command}")
