"""A fake environment in which the specimens are installed, and nothing of this machine's own cache."""

from __future__ import annotations

import importlib
import json
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

# Wall time is never asserted: the first example often pays for an import.
hypothesis.settings.register_profile("ldt", deadline=None)
hypothesis.settings.load_profile("ldt")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what runs in the background deaf to interrupts, and programs that the tests start would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

HERE = Path(__file__).parent


def install(site: Path, distribution: str, package: str, code: str, components: list[dict[str, Any]]) -> None:
    """Lay out a distribution as an installer does: dist-info, package, component.json."""
    info = site / f"{distribution.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "entry_points.txt").write_text(f"[ldt]\n{distribution} = {package}\n", encoding="utf-8")
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n", encoding="utf-8"
    )
    (site / package).mkdir()
    (site / package / "__init__.py").write_text(code, encoding="utf-8")
    manifest = {"contract": 1, "components": components, "commands": []}
    (site / package / "component.json").write_text(json.dumps(manifest), encoding="utf-8")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LDT_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("UV_OFFLINE", "1")  # what a twin lacks must not be fetched by a test
        yield


@pytest.fixture(scope="session")
def specimens(tmp_path_factory: pytest.TempPathFactory, own_cache: None) -> Iterator[Any]:
    """The package ``ldt_specimens``, installed from ``specimens.py`` and imported."""
    site = tmp_path_factory.mktemp("site")
    offers = [
        ("well", "source"),
        ("mill", "simulator"),
        ("keeper", "simulator"),
        ("dice", "simulator"),
        ("sieve", "model"),
        ("fussy", "model"),
        ("glass", "viewer"),
    ]
    code = (HERE / "specimens.py").read_text(encoding="utf-8")
    components = [{"id": i, "kind": k, "title": i, "contract": 1} for i, k in offers]
    install(site, "ldt-specimens", "ldt_specimens", code, components)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        yield importlib.import_module("ldt_specimens")


@pytest.fixture
def offer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """``offer(distribution, package, code, {id: kind})`` installs one more distribution for this test."""
    site = tmp_path / "site"
    made: list[str] = []

    def add(distribution: str, package: str, code: str, components: dict[str, str]) -> None:
        described = [{"id": i, "kind": k, "title": i, "contract": 1} for i, k in components.items()]
        install(site, distribution, package, code, described)
        made.append(package)
        monkeypatch.syspath_prepend(str(site))

    yield add
    for package in made:
        sys.modules.pop(package, None)
    shutil.rmtree(site, ignore_errors=True)


@pytest.fixture(scope="module")
def basins(tmp_path_factory: pytest.TempPathFactory, own_cache: None) -> Iterator[None]:
    """The package ``ldt_basins``, installed from ``basins.py``."""
    site = tmp_path_factory.mktemp("basins")
    code = (HERE / "basins.py").read_text(encoding="utf-8")
    kinds = {"rain": "source", "harm": "model", "luck": "model", "once": "model"}
    kinds |= dict.fromkeys(("basin", "sieve-basin", "hasty-basin", "gate"), "simulator")
    offers = [{"id": i, "kind": k, "title": i, "contract": 1} for i, k in kinds.items()]
    install(site, "ldt-basins", "ldt_basins", code, offers)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        yield
    sys.modules.pop("ldt_basins", None)


@pytest.fixture
def lab(basins: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The basins' twin, run in this process."""
    monkeypatch.syspath_prepend(str(HERE))
    from lab import Lab

    return Lab(tmp_path, monkeypatch)
