"""What the page of a component says about installing does install, by real pip and uv; and what was uploaded is what is shown."""

from __future__ import annotations

import html
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import forge
import httpx
import pytest
from clients import BIN, run
from dists import fields, make_token
from ldt_registry.registry import Registry
from servers import Served
from test_distribution import component, manifest, plugin

README = b"Description-Content-Type: text/markdown\n\n# Heat load\n\n<script>canary()</script>\n\n*Degrees* above comfort.\n"


@pytest.fixture
def boxes(
    registry: Registry, serve: Callable[[Registry], Served], monkeypatch: pytest.MonkeyPatch
) -> tuple[str, list[str]]:
    """(page, what it offers to copy) of a component that came as a wheel."""
    served = serve(registry)
    public = registry.settings.model_copy(update={"public_url": served.address})
    object.__setattr__(registry, "settings", public)
    monkeypatch.setattr(forge, "METADATA", forge.METADATA.replace(b"Requires-Dist: numpy>=2\n", b"") + README)
    wheel = plugin(manifest(component()), **{f"{forge.INFO}/METADATA": forge.METADATA})
    sent = httpx.post(f"{served.address}/legacy/", data=fields(forge.FILENAME, wheel), files={"content": (forge.FILENAME, wheel)},
                      auth=("__token__", make_token(registry)), timeout=60)  # fmt: skip
    assert sent.status_code == 200, sent.text
    page = httpx.get(f"{served.address}/components/heat-load", timeout=60).text
    return page, [html.unescape(b) for b in re.findall(r'<pre class="copy"><code>(.*?)</code></pre>', page, re.DOTALL)]  # fmt: skip


@pytest.mark.parametrize("database", ["sqlite"])
def test_pip_installs_by_the_hash_that_is_shown_and_nothing_else(
    boxes: tuple[str, list[str]], tmp_path: Path
) -> None:
    page, (_, lines, command) = boxes
    assert "<em>Degrees</em> above comfort" in page
    assert "canary" not in page
    assert "extra-index" not in page
    words = [sys.executable, "-m", *shlex.split(command), "--disable-pip-version-check"]
    (tmp_path / "component.txt").write_text(lines)
    done = run([*words, "--target", "good"], cwd=tmp_path, home=tmp_path / "home")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "good" / "heat_load" / "component.json").is_file()
    other = re.sub(r"sha256:.", lambda found: "sha256:" + ("0" if found[0][-1] != "0" else "1"), lines)
    (tmp_path / "component.txt").write_text(other)
    refused = run([*words, "--target", "bad"], cwd=tmp_path, home=tmp_path / "home")
    assert refused.returncode != 0
    assert "DO NOT MATCH" in refused.stderr
    assert not (tmp_path / "bad" / "heat_load").exists()


@pytest.mark.parametrize("database", ["sqlite"])
def test_uv_locks_it_from_this_registry_alone(boxes: tuple[str, list[str]], tmp_path: Path) -> None:
    page, (project, *_) = boxes
    named = project.replace(
        "[project]", '[project]\nname = "town"\nversion = "1"\nrequires-python = ">=3.11"'
    )
    (tmp_path / "pyproject.toml").write_text(named)
    env = {"UV_NO_CONFIG": "0", "UV_PYTHON": sys.executable}
    done = run([BIN / "uv", "lock"], cwd=tmp_path, home=tmp_path / "home", **env)
    assert done.returncode == 0, done.stderr
    locked = (tmp_path / "uv.lock").read_text()
    (sha256,) = set(re.findall(r"--hash=sha256:([0-9a-f]{64})", page))
    assert f"sha256:{sha256}" in locked
    index = re.search(r'url = "(http.*)"', project)
    assert index is not None
    assert f'source = {{ registry = "{index[1]}"' in locked
