"""What is installed: found without importing it, and told where it is broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ldt_core.hookspecs
import ldt_core.interfaces  # noqa: F401
from ldt_core import catalog as under_test
from ldt_core.catalog import Catalog, Offer, installed, load, load_package
from ldt_core.errors import PluginError

OFFER: dict[str, Any] = {"id": "spring", "kind": "source", "title": "Spring", "contract": 1}
COMMAND = {"name": "dig", "help": "dig deeper", "target": "ldt_spring:dig"}
CODE = """
import ldt_core as ldt

class Spring(ldt.DataSource):
    id = "spring"
    def read(self, query): ...

@ldt.hookimpl
def ldt_data_sources():
    return [Spring]
"""


class Site:
    """A folder on ``sys.path`` that a test fills."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: set[str] = set()

    def put(
        self,
        distribution: str = "ldt-spring",
        package: str = "ldt_spring",
        *,
        manifest: Any = None,
        code: str = CODE,
        info: str = "{}-1.0.dist-info",
        metadata: str | None = "METADATA",
        entry: str = "[ldt]\n{} = {}\n",
    ) -> Path:
        """Lay out a distribution; ``manifest`` is JSON, text, or None for none."""
        folder = self.folder / package
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "__init__.py").write_text(code, encoding="utf-8")
        if manifest is not None:
            text = manifest if isinstance(manifest, str) else json.dumps(manifest)
            (folder / "component.json").write_text(text, encoding="utf-8")
        about = self.folder / info.format(distribution.replace("-", "_"))
        about.mkdir(exist_ok=True)
        (about / "entry_points.txt").write_text(entry.format(distribution, package), encoding="utf-8")
        if metadata:
            (about / metadata).write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 2.5\n")
        self.made.add(package)
        return about


def manifest(*components: Any, commands: Any = ()) -> dict[str, Any]:
    return {"contract": 1, "components": list(components), "commands": list(commands)}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setenv("LDT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "path", [str(folder), *(p for p in sys.path if "site-packages" not in p)])
    found = Site(folder)
    yield found
    load_package.cache_clear()
    for package in found.made:
        sys.modules.pop(package, None)


def own(found: Catalog) -> list[Offer]:
    return [o for o in found.offers if o.package.startswith("ldt_spring")]


# -- finding ----------------------------------------------------------------------------------


def test_an_offer_is_found_and_nothing_imported(site: Site) -> None:
    site.put(manifest=manifest(OFFER, commands=[COMMAND]), code="raise SystemExit('imported')")
    found = installed()
    (offer,) = own(found)
    assert offer[:6] == ("spring", "source", "Spring", "ldt-spring", "2.5", "ldt_spring")
    assert offer.describe() == OFFER
    assert [c.name for c in found.commands] == ["dig"]
    assert not found.problems
    assert "ldt_spring" not in sys.modules


def test_an_egg_info_an_editable_folder_and_odd_places_on_the_path(site: Site, tmp_path: Path) -> None:
    """The metadata in one place, the package in another; and places that are none."""
    about = site.put(manifest=manifest(OFFER), info="{}.egg-info", metadata="PKG-INFO")
    source = tmp_path / "source"
    source.mkdir()
    (site.folder / "ldt_spring").rename(source / "ldt_spring")
    (site.folder / "ldt_flat.egg-info").write_text("a file, as old installers left it")
    archive = tmp_path / "all.zip"
    with zipfile.ZipFile(archive, "w") as stream:
        stream.writestr("ldt_zip-1.0.dist-info/entry_points.txt", "[ldt]\nldt-zip = ldt_zip\n")
    for place in (str(source), str(archive), str(tmp_path / "nowhere"), ""):
        sys.path.insert(0, place)
    (offer,) = own(installed())
    assert offer.version == "2.5"
    assert Path(offer.manifest).parent.parent == source
    (about / "PKG-INFO").unlink()
    assert own(installed(refresh=True))[0].version == ""


@pytest.mark.parametrize("entry", ["[other]\n{} = {}\n", "[ldt", "[ldt]", "# [ldt]\n"])
def test_other_entry_points_offer_nothing(site: Site, entry: str) -> None:
    site.put(manifest=manifest(OFFER), entry=entry)
    assert own(installed()) == []


# -- what is broken is a problem, never an end ------------------------------------------------

BROKEN: dict[str, Any] = {
    "no component.json": (None, "has no component.json"),
    "no JSON": ("{", "JSONDecodeError"),
    "a list": ("[]", "component.json cannot be read"),
    "no commands": ({"components": []}, "'commands'"),
    "an id that is a number": (manifest({**OFFER, "id": 7}), "id is 7, not a text"),
    "no title": (manifest({"id": "spring", "kind": "source"}), "'title'"),
    "another kind": (manifest({**OFFER, "kind": "oracle"}), "there is no kind 'oracle'"),
    "a command without a name": (manifest(commands=[{**COMMAND, "name": None}]), "name is None"),
    "not UTF-8": ("\udcff", "UnicodeDecodeError"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_manifest_is_named_and_the_others_are_found(site: Site, name: str) -> None:
    content, said = BROKEN[name]
    site.put("ldt-bad", "ldt_spring_bad", manifest="" if name == "not UTF-8" else content)
    if name == "not UTF-8":
        (site.folder / "ldt_spring_bad" / "component.json").write_bytes(b"\xff")
    site.put(manifest=manifest(OFFER))
    found = installed()
    assert [o.id for o in own(found)] == ["spring"]
    (problem,) = found.problems
    assert problem.startswith("ldt-bad: ")
    assert said in problem
    (site.folder / "ldt_spring_bad" / "component.json").write_text(json.dumps(manifest()))
    assert installed().problems == [], "what is mended is seen at once"


@pytest.mark.parametrize("package", ["ldt_absent", "os.path", "ldt_spring:thing", "../ldt_spring", ""])
def test_an_entry_that_names_no_package_is_a_problem(site: Site, package: str) -> None:
    site.put(manifest=manifest(OFFER), entry=f"[ldt]\n{{}} = {package}\n")
    assert "has no component.json" in installed().problems[0]


def test_a_broken_entry_points_file_is_a_problem(site: Site) -> None:
    site.put(manifest=manifest(OFFER), entry="[ldt]\nno delimiter\n")
    assert "entry_points.txt cannot be read" in installed().problems[0]
    about = site.put(manifest=manifest(OFFER))
    (about / "entry_points.txt").write_bytes(b"[ldt]\n\xff = x\n")
    assert own(installed(refresh=True)) == []


def test_a_finder_that_raises_hides_only_its_own(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    class Finder:
        def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
            if name == "ldt_gone":
                raise RuntimeError("anybody's code")

    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    site.put(manifest=manifest(OFFER))
    site.put("ldt-gone", "ldt_gone", manifest=manifest())
    assert [o.id for o in own(installed())] == ["spring"]


# -- the index --------------------------------------------------------------------------------


def test_the_index_is_used_until_something_changes(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    about = site.put(manifest=manifest(OFFER))
    scans: list[int] = []
    scan = under_test._scan
    monkeypatch.setattr(under_test, "_scan", lambda folders: scans.append(1) or scan(folders))
    assert installed() == installed()
    assert len(scans) == 1
    path = site.folder / "ldt_spring" / "component.json"
    path.write_text(json.dumps(manifest({**OFFER, "title": "Deep spring"})))
    os.utime(path, ns=(1, 1))
    assert own(installed())[0].title == "Deep spring"
    (about / "entry_points.txt").unlink()
    about.joinpath("METADATA").unlink()
    about.rmdir()  # uninstalled
    os.utime(site.folder, ns=(1, 1))
    assert own(installed()) == []
    assert len(scans) == 3


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 1}', "null", '{"version": 1, "stamp": 7}'])
def test_a_damaged_index_is_made_anew(site: Site, tmp_path: Path, content: str) -> None:
    site.put(manifest=manifest(OFFER))
    installed()
    (index,) = (tmp_path / "cache").glob("index-*.json")
    index.write_text(content)
    assert [o.id for o in own(installed())] == ["spring"]
    assert json.loads(index.read_text())["version"] > 1


def test_a_cache_that_cannot_be_written_costs_time_only(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.put(manifest=manifest(OFFER))
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LDT_CACHE", str(tmp_path / "file" / "cache"))
    assert [o.id for o in own(installed())] == ["spring"]


def test_eight_processes_write_the_index_at_once(site: Site, tmp_path: Path) -> None:
    site.put(manifest=manifest(OFFER))
    code = (
        "import sys; from ldt_core.catalog import installed\n"
        "for n in range(60): assert [o.id for o in installed(refresh=n % 2 == 0).offers] == ['spring']\n"
    )
    root = str(Path(__file__).resolve().parent.parent)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site.folder), root]), "PYTHONWARNINGS": "error"}
    words = [sys.executable, "-S", "-c", code]
    processes = [subprocess.Popen(words, env=env, stderr=subprocess.PIPE) for _ in range(8)]
    for process in processes:
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said.decode()
    assert [p.suffix for p in (tmp_path / "cache").iterdir()] == [".json"]


# -- one id, one class ------------------------------------------------------------------------


def test_two_owners_of_one_id_are_both_named(site: Site) -> None:
    site.put(manifest=manifest(OFFER))
    site.put("ldt-other", "ldt_spring_other", manifest=manifest(OFFER))
    with pytest.raises(PluginError) as caught:
        installed().find("spring")
    assert caught.value.code == "two owners"
    assert "ldt-other 2.5 and ldt-spring 2.5" in caught.value.what


def test_what_is_not_installed_says_who_offers_it(site: Site) -> None:
    site.put(manifest=manifest(OFFER))
    with pytest.raises(PluginError, match="did you mean 'spring'"):
        installed().find("sprin")
    with pytest.raises(PluginError, match="pip install ldt-source-csv"):
        Catalog([], [], []).find("csv")


HOOK = "\nimport ldt_core as ldt\n@ldt.hookimpl\ndef "
BAD_CODE: dict[str, tuple[str, str, str]] = {
    "import error": ("import nothing_here", "import failed", "ModuleNotFoundError"),
    "syntax error": ("def", "import failed", "SyntaxError"),
    "exits": ("import sys; sys.exit(0)", "import failed", "SystemExit"),
    "misspelt hook": (HOOK + "ldt_datasources(): return []", "unknown hook", "ldt_datasources"),
    "hook with arguments": (HOOK + "ldt_models(plan): return []", "unknown hook", "plan"),
    "hook raises": (HOOK + "ldt_models(): raise ValueError('late')", "import failed", "late"),
    "hook gives one": (HOOK + "ldt_models(): return 5", "import failed", "ldt_models cannot be used"),
    "hook gives an object": (HOOK + "ldt_models(): return [5]", "import failed", "no model class"),
    "class of another kind": (
        CODE.replace("ldt_data_sources", "ldt_models"),
        "import failed",
        "which is no model class",
    ),
    "no id": (CODE.replace('    id = "spring"\n', ""), "import failed", "no source class with an id"),
    "two of one id": (
        CODE + "    return [Spring, type('Well2', (Spring,), {})]",
        "import failed",
        "two classes",
    ),
    "no hook": ("", "manifest differs from code", "offers no such class"),
    "another id": (CODE.replace('"spring"', '"pond"'), "manifest differs from code", "the source 'spring'"),
}


@pytest.mark.parametrize("name", BAD_CODE)
def test_code_that_cannot_be_used_is_told_with_its_package(site: Site, name: str) -> None:
    code, number, said = BAD_CODE[name]
    if name == "two of one id":
        code = CODE.replace("return [Spring]", "return [Spring, type('Well2', (Spring,), {})]")
    site.put(manifest=manifest(OFFER), code=code)
    with pytest.raises(PluginError) as caught:
        load(installed().find("spring"))
    assert caught.value.code == number
    assert said in str(caught.value)
    assert "ldt_spring" in str(caught.value) or "ldt-spring" in str(caught.value)
    assert caught.value.fix


def test_another_contract_is_refused_before_the_import(site: Site) -> None:
    site.put(manifest=manifest({**OFFER, "contract": 2}), code="raise SystemExit('imported')")
    with pytest.raises(PluginError) as caught:
        load(installed().find("spring"))
    assert caught.value.code == "contract version"
    assert "pip install --upgrade ldt-spring ldt-core" in caught.value.fix


def test_a_good_plugin_loads(site: Site) -> None:
    site.put(manifest=manifest(OFFER))
    assert load(installed().find("spring")).id == "spring"


def test_a_manifest_that_is_gone_is_told(site: Site) -> None:
    site.put(manifest=manifest(OFFER))
    offer = installed().find("spring")
    path = Path(offer.manifest)
    spoil: list[Callable[[], Any]] = [
        lambda: path.write_text("[]"),
        lambda: path.write_text("{"),
        path.unlink,
    ]
    for deed in spoil:
        deed()
        with pytest.raises(PluginError, match="cannot be read"):
            load(offer)
