"""Pages as a person reads them: without scripts, on a phone, by ear; and as an attacker fills them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import shelves
import sqlalchemy as sa
from dists import fields, make_token, make_wheel
from ldt_registry import schema
from ldt_registry.registry import Registry
from servers import Served
from test_api import HOSTILE

XSS = "</title><script>canary()</script><img src=x onerror=canary()>\"'>"


@pytest.fixture
def city(registry: Registry, serve: Callable[[Registry], Served]) -> Iterator[httpx.Client]:
    """A small city of synthetic components; one has a long description."""
    shelves.fill(registry)
    describe(
        registry,
        "ldt-simulator-flood-depth",
        "# Flood depth\n\n| Case | Error |\n|---|---|\n| dam | 2 % |\n\n#### Deep\n\n> kept\n",
    )
    with httpx.Client(base_url=serve(registry).address, timeout=60) as client:
        yield client


def describe(registry: Registry, project: str, text: str, **more: Any) -> None:
    """Write a long description, as METADATA brings it."""
    with registry.database.write() as connection:
        of = sa.select(schema.project.c.id).where(schema.project.c.norm_name == project).scalar_subquery()
        said = connection.scalar(
            sa.select(schema.release.c.core_metadata).where(schema.release.c.project_id == of)
        )
        said = {
            **said,
            "description": text,
            "description_content_type": "text/markdown; charset=UTF-8",
            **more,
        }
        connection.execute(
            sa.update(schema.release).where(schema.release.c.project_id == of).values(core_metadata=said)
        )


@pytest.mark.parametrize("database", ["sqlite"])
def test_what_is_searched_is_found_filtered_and_paged(city: httpx.Client) -> None:
    page = city.get("/", params={"q": "noise"}).text
    assert page.index("Noise of roads") < page.index("Lärm von Zügen") < page.index("Everything")
    page = city.get("/", params={"kind": "simulator", "level": "3"}).text
    assert "Flood depth" in page
    assert "Road traffic" not in page
    assert re.search(r'value="simulator" checked', page)
    assert "Nothing is published that fits" in city.get("/", params={"q": "zzzzqqqq"}).text


@pytest.mark.parametrize("database", ["sqlite"])
def test_what_follows_from_parameters_is_not_shown_as_nothing(registry: Registry, city: httpx.Client) -> None:
    rows = {"outputs": {"rows": {"shape": "table", "columns": {}}}, "dynamic": True}
    shelves.put(registry, shelves.manifest("anything", "Any file", "source", **rows))
    page = city.get("/components/anything").text
    assert "That follows from its parameters." in page
    assert "<strong>rows</strong>: its columns follow from the parameters." in page
    assert "It needs nothing" not in page


@pytest.mark.parametrize("database", ["sqlite"])
def test_a_component_is_shown_with_what_a_city_asks(city: httpx.Client) -> None:
    page = city.get("/components/flood-depth").text
    for part in (
        "rainfall_rate",
        "mm/h",
        "x:water_depth",
        "OGC WaterML 2",
        "level 3, good",
        "Apache-2.0",
        "<h3>Flood depth</h3>",
        "as declared",
        "checkpoint",
    ):
        assert part in page, part
    assert "explicit = true" in page
    assert "--hash=sha256:" in page
    assert "extra-index" not in page
    assert (
        city.get("/compare", params={"id": ["rain-radar", "rain-gauge"]}).text.count("rainfall_rate [mm/h]")
        == 2
    )


@pytest.mark.parametrize("database", ["sqlite"])
def test_a_twin_is_judged_on_a_page_sent_from_our_own(registry: Registry, city: httpx.Client) -> None:
    form = {"components": "road-noise", "twin": "components: {rain: {use: rain-gauge}}"}
    own = registry.settings.base_url
    page = city.post("/fits", data=form, headers={"Origin": own}).text
    assert "fits with changes" in page
    assert "Add one that does: road-traffic." in page
    assert city.post("/fits", data=form, headers={"Origin": "https://evil.example"}).status_code == 403
    for wrong in (
        {"components": "a", "twin": "["},
        {"components": "", "twin": "x"},
        {"components": "\0", "twin": "components: {}"},
    ):
        found = city.post("/fits", data=wrong, headers={"Origin": own})
        assert found.status_code in (400, 404)
        assert 'role="alert"' in found.text


@pytest.mark.parametrize("database", ["sqlite"])
def test_what_is_not_there_is_a_page_that_says_so(city: httpx.Client) -> None:
    for path, status in (
        ("/components/no-such", 404),
        ("/components/%00", 404),
        ("/compare", 400),
        ("/compare?id=a", 400),
        ("/?cursor=x", 400),
        ("/?level=x", 400),
    ):
        found = city.get(path)
        assert (path, found.status_code) == (path, status)
        assert found.headers["content-type"].startswith("text/html")
        assert 'role="alert"' in found.text


def test_whatever_is_typed_is_answered_with_a_page_that_escapes_it(city: httpx.Client) -> None:
    for text in [*HOSTILE, XSS]:
        found = city.get("/", params={"q": text, "needs": text})
        assert found.status_code == 200, text
        assert "<script" not in found.text
        assert city.get(httpx.URL("/compare", params={"id": [text, "a"]})).status_code in (400, 404)


@pytest.mark.parametrize("database", ["sqlite"])
def test_every_page_forbids_scripts_frames_and_other_hosts(city: httpx.Client) -> None:
    for path in (
        "/",
        "/components/flood-depth",
        "/compare?id=rain-radar&id=rain-gauge",
        "/fits",
        "/components/none",
        "/static/style.css",
    ):
        found = city.get(path)
        policy = found.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert found.headers["x-content-type-options"] == "nosniff"
        assert "<script" not in found.text
        assert not re.search(r"\son\w+=|\sstyle=", found.text)
        assert not re.search(r'(src|href)="(https?:)?//(?!example)', found.text)


@pytest.mark.parametrize("database", ["sqlite"])
def test_a_wheel_sent_as_a_page_is_a_download_that_may_run_nothing(
    registry: Registry, serve: Callable[[Registry], Served]
) -> None:
    address, (name, content) = serve(registry).address, make_wheel(body="<script>canary()</script>")
    sent = httpx.post(f"{address}/legacy/", data=fields(name, content), files={"content": (name, content, "text/html")},
                      auth=("__token__", make_token(registry)), timeout=60)  # fmt: skip
    assert sent.status_code == 200
    page = httpx.get(
        f"{address}/simple/heat-load/", headers={"Accept": "application/vnd.pypi.simple.v1+json"}
    ).json()
    found = httpx.get(httpx.URL(f"{address}/simple/heat-load/").join(page["files"][0]["url"]))
    assert found.headers["content-type"] == "application/octet-stream"
    assert found.headers["content-disposition"].startswith("attachment")
    assert found.headers["content-security-policy"].startswith("sandbox")
    assert found.headers["x-content-type-options"] == "nosniff"
