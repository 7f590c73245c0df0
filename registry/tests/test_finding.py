"""From the upload of a real client to what is found; the commands that check files and keep the index."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import forge
import httpx
import pytest
import sqlalchemy as sa
from dists import fields, make_token
from forge import INFO, PACKAGE
from ldt_registry import schema
from ldt_registry.bills import read_bill
from ldt_registry.commands import registry as command
from ldt_registry.problems import Missing
from ldt_registry.registry import Registry
from ldt_registry.search import search
from servers import Served
from test_distribution import component, manifest

from ldt_core.manifest import package_manifest

BILL = b'{"bomFormat": "CycloneDX", "specVersion": "1.6", "components": []}'


def plugin(version: str = "1.0", **said: object) -> tuple[str, bytes]:
    """A wheel with one component and a bill of materials."""
    listed = manifest(component(**said), version=version)
    files = forge.members(
        **{
            f"{INFO}/entry_points.txt": b"[ldt]\nheat-load = heat_load\n",
            f"{PACKAGE}/component.json": json.dumps(listed).encode(),
            f"{INFO}/sboms/all.cdx.json": BILL,
        }
    )
    return forge.FILENAME, forge.wheel(files)


def send(served: Served, token: str, file: tuple[str, bytes]) -> httpx.Response:
    return httpx.post(
        f"{served.address}/legacy/",
        data=fields(*file),
        files={"content": file},
        auth=("__token__", token),
        timeout=30,
    )


def test_what_is_published_is_found_and_its_bill_is_kept(
    registry: Registry, serve: Callable[[Registry], Served]
) -> None:
    served, token = serve(registry), make_token(registry)
    answer = send(served, token, plugin(title="Heat of the quarter"))
    assert answer.status_code == 200, answer.text
    with registry.database.read() as connection:
        (hit,) = search(connection, "heat of the quarter").hits
        kept = connection.execute(sa.select(schema.sbom)).one()
        states = set(connection.scalars(sa.select(schema.blob.c.state)))
    assert (hit.id, hit.kind, hit.version) == ("heat-load", "model", "1.0")
    assert hit.facets["licence"] == ["Apache-2.0"]
    assert (kept.sha256, kept.origin) == (hashlib.sha256(BILL).hexdigest(), "kept")
    assert registry.blobs.size(kept.sha256) == len(BILL)
    assert states == {"live"}
    assert read_bill(registry, forge.FILENAME) == (BILL, "kept")
    with pytest.raises(Missing):
        read_bill(registry, "none-1.0-py3-none-any.whl")


def test_the_bill_of_a_wheel_that_brings_none_is_made_of_what_it_declares(
    registry: Registry, serve: Callable[[Registry], Served]
) -> None:
    served, token = serve(registry), make_token(registry)
    assert send(served, token, (forge.FILENAME, forge.wheel())).status_code == 200
    made = read_bill(registry, forge.FILENAME)
    assert made.origin == "declared"
    assert made == read_bill(registry, forge.FILENAME)
    assert [c["name"] for c in json.loads(made.content)["components"]] == ["numpy"]


def test_a_licence_in_other_words_is_no_facet(registry: Registry) -> None:
    import shelves

    shelves.put(registry, shelves.manifest("a", "A"), licence="Do what you like, but ask", stated="license")
    with registry.database.read() as connection:
        assert "licence" not in search(connection, "a").hits[0].facets


def test_a_name_that_looks_like_a_reserved_one_is_refused_at_its_upload(
    registry: Registry, serve: Callable[[Registry], Served]
) -> None:
    from dists import make_wheel

    served, file = serve(registry), make_wheel("nunpy")
    form = fields(*file, "nunpy")
    answer = httpx.post(
        f"{served.address}/legacy/",
        data=form,
        files={"content": file},
        auth=("__token__", make_token(registry)),
        timeout=30,
    )
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:ldt:registry:reserved-name")
    assert "numpy" in answer.json()["detail"]
    assert list(registry.blobs.staging.iterdir()) == []


def test_check_says_of_each_file_whether_it_would_be_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, content = plugin()
    good, bad = tmp_path / name, tmp_path / "other-1.0-py3-none-any.whl"
    good.write_bytes(content)
    bad.write_bytes(content)
    assert command(["check", str(good)]) == 0
    assert "heat-load 1.0 is fit to be published: heat-load" in capsys.readouterr().out
    assert command(["check", str(good), str(bad), str(tmp_path / "none.whl"), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [f["taken"] for f in found] == [True, False, False]
    assert found[1]["problem"]["type"] == "urn:ldt:registry:filename-differs"


def test_the_index_is_made_anew_and_unmet_names_are_listed(
    registry: Registry, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import shelves

    shelves.put(registry, shelves.manifest("a", "A"), project="pa", requires=("city-private-lib>=1",))
    home = str(registry.settings.home)
    if registry.settings.database is not None:
        monkeypatch.setenv("LDT_REGISTRY_DATABASE", registry.settings.database.get_secret_value())
    assert command(["reindex", "--home", home]) == 0
    assert command(["unmet", "--home", home]) == 0
    assert capsys.readouterr().out == "1 components can be found.\ncity-private-lib: required by pa\n"


def test_what_a_package_says_about_itself_stands_in_its_manifest(monkeypatch: pytest.MonkeyPatch) -> None:
    import ldt_registry

    assert "about" not in package_manifest("ldt_registry", "ldt-registry", "1")
    monkeypatch.setattr(ldt_registry, "ABOUT", {"standards": ["PEP 503"]}, raising=False)
    assert package_manifest("ldt_registry", "ldt-registry", "1")["about"] == {"standards": ["PEP 503"]}
