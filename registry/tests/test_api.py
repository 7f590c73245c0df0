"""``/api/v1``, read as a program reads it: on both databases, page by page, and by a client that tries everything."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import hypothesis
import pytest
import schemathesis
import shelves
from dists import fields, make_token, make_wheel
from ldt_registry.app import create_app
from ldt_registry.registry import Registry, initialise
from ldt_registry.settings import Settings
from ldt_registry.web.openapi import make_document
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from servers import Served

HOSTILE = ["'", '"', "a\"b'", "NEAR(", "a AND", "OR OR", "*", "-", "a*b", "^", "(", "{}", "col:x", "\0", "\\", "%_", ";--", "\u202e", "𝔘", "!&|",
           "a" * 2000, " ".join("abcdefghij" * 40)]  # fmt: skip


@pytest.fixture
def api(registry: Registry, serve: Callable[[Registry], Served]) -> Iterator[httpx.Client]:
    shelves.fill(registry)
    with httpx.Client(base_url=f"{serve(registry).address}/api/v1", timeout=60) as client:
        yield client


def test_a_search_is_ranked_filtered_and_counted(api: httpx.Client) -> None:
    found = api.get("/components", params={"q": "noise"}).json()
    ids = [h["id"] for h in found["hits"]]
    assert (ids[0], ids[-1]) == ("road-noise", "best-of-all")  # which is stuffed with every word
    assert found["facets"]["kind"]["model"] == 3
    german = next(h for h in found["hits"] if h["id"] == "railway-noise")
    assert (german["title"], german["summary"]) == ("Lärm von Zügen", "Sound levels beside tracks")
    certified = api.get("/components", params={"kind": ["model", "simulator"], "level": "1"}).json()
    assert {h["id"] for h in certified["hits"]} == {"flood-depth", "road-noise", "railway-noise"}


def test_pages_join_to_the_whole_and_a_cursor_serves_its_own_search_only(api: httpx.Client) -> None:
    whole = [h["id"] for h in api.get("/components", params={"limit": 100}).json()["hits"]]
    paged, cursor = [], ""
    while cursor is not None:
        page = api.get("/components", params={"limit": 5, "cursor": cursor}).json()
        paged += [h["id"] for h in page["hits"]]
        last, cursor = cursor, page["next"]
    assert paged == whole
    assert len(whole) > 10
    for params in ({"cursor": last, "q": "rain"}, {"cursor": "x"}, {"cursor": "é"}, {"cursor": "MTA="}):
        refused = api.get("/components", params=params)
        assert (refused.status_code, refused.json()["type"]) == (400, "urn:ldt:registry:bad-cursor")


def test_a_component_says_what_it_needs_and_gives_and_which_bytes_it_is(api: httpx.Client) -> None:
    found = api.get("/components/flood-depth").json()
    assert found["manifest"]["inputs"]["given"]["columns"]["rain"]["unit"] == "mm/h"
    assert [c["level"] for c in found["certificates"]] == [3]
    assert found["about"]["standards"] == ["OGC WaterML 2"]
    file = found["files"][0]
    assert file["url"].endswith(f"/files/{file['sha256'][:2]}/{file['sha256']}/{file['filename']}")
    assert file["sha256"] == found["certificates"][0]["subject"]
    project = api.get(f"/projects/{found['project'].upper().replace('-', '_')}").json()
    assert project["components"] == ["flood-depth"]
    release = api.get(f"/projects/{project['name']}/releases/{project['releases'][0]['version']}").json()
    assert release["files"] == found["files"]
    assert api.get(f"/files/{file['filename']}/sbom").headers["x-sbom-origin"] == "declared"


def test_components_are_compared_and_like_ones_named(api: httpx.Client) -> None:
    found = api.get("/compare", params={"id": ["rain-radar", "rain-gauge"]}).json()
    lines = {line["name"]: line for line in found["lines"]}
    assert lines["gives"] == {"name": "gives", "values": [["rainfall_rate [mm/h]"]] * 2, "same": True}
    assert lines["level"]["values"] == [2, 0]
    assert api.get("/components/rain-radar/similar").json()[0]["id"] == "rain-gauge"
    assert api.get("/compare", params={"id": ["rain-radar"]}).status_code == 400


def test_a_twin_is_told_what_fits_it(api: httpx.Client) -> None:
    asked = {"components": ["flood-depth", "road-noise"], "twin": "components: {rain: {use: rain-gauge}}"}
    first, second = api.post("/fits", json=asked).json()
    assert (first["verdict"], second["verdict"]) == ("fits", "fits with changes")
    assert second["gaps"][0]["fix"] == "Add one that does: road-traffic."


def test_what_is_wrong_is_a_problem_document_and_never_a_fault(api: httpx.Client) -> None:
    cases = [
        ("/components/no-such", 404), ("/components/NO", 400), ("/components/%00", 400), ("/components?limit=0", 400),
        ("/components?nonsense=1", 400), ("/components?level=x", 400), ("/projects/nobody", 404), ("/projects/a%00b", 400),
        ("/projects/kpi-views/releases/9", 404), ("/files/..%2f..%2fetc/sbom", 404), ("/files/a.whl/sbom", 404), ("/compare?id=a&id=a", 400),
    ]  # fmt: skip
    for path, status in cases:
        found = api.get(path)
        assert (path, found.status_code) == (path, status)
        assert found.headers["content-type"] == "application/problem+json"
    twins = ["a: [", "{" * 5000, "- 1", "components: {a: {use: \"\\0\"}}", "components: {a: {use: 1}}", "x: !!python/object:os.system {}"]  # fmt: skip
    for twin in twins:
        assert api.post("/fits", json={"components": ["kpi-table"], "twin": twin}).status_code in (200, 400)
    many = "components: {" + ", ".join(f"a{n}: {{use: c{n}}}" for n in range(400)) + "}"
    refused = api.post("/fits", json={"components": ["kpi-table"], "twin": many})
    assert (refused.status_code, refused.json()["type"]) == (400, "urn:ldt:registry:too-large")
    lone = api.post("/fits", content=b'{"components": ["kpi-table"], "twin": "\\ud800"}')
    assert lone.status_code == 400
    assert api.post("/fits", content=b"[" * 3 * 2**20).status_code == 413


def test_whatever_is_typed_is_answered(api: httpx.Client) -> None:
    for text in HOSTILE:
        assert api.get("/components", params={"q": text}).status_code == 200, text
        assert (
            api.get("/components", params={"needs": text[:500], "licence": text[:500]}).status_code == 200
        ), text


def test_a_kept_bill_of_a_real_upload_is_handed_out(
    registry: Registry, serve: Callable[[Registry], Served]
) -> None:
    address, (name, content) = serve(registry).address, make_wheel(needs="numpy>=2")
    sent = httpx.post(
        f"{address}/legacy/",
        data=fields(name, content),
        files={"content": (name, content)},
        auth=("__token__", make_token(registry)),
        timeout=60,
    )
    assert sent.status_code == 200
    bill = httpx.get(f"{address}/api/v1/files/{name}/sbom")
    assert [c["name"] for c in bill.json()["components"]] == ["numpy"]
    assert bill.headers["x-sbom-origin"] == "declared"


CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    home = tmp_path_factory.mktemp("api") / "home"
    opened = Registry.open(Settings.load(home=home, port=0, keep_free=0, keep_free_share=0.0))
    initialise(opened)
    shelves.fill(opened)
    yield opened
    opened.close()


def test_the_document_is_openapi_3_1() -> None:
    document = make_document("A registry", "http://127.0.0.1")
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []
    assert document["openapi"].startswith("3.1")
    names = {p["name"] for p in document["paths"]["/api/v1/components"]["get"]["parameters"]}
    assert {"q", "limit", "cursor", "kind", "needs-unit", "level"} <= names


def test_a_client_that_tries_everything_finds_no_fault(filled: Registry) -> None:
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", create_app(filled))
    tried = []
    for operation in schema.include(tag="catalogue").get_all_operations():

        @hypothesis.settings(
            max_examples=8,
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(hypothesis.HealthCheck),
            phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
        )
        @hypothesis.given(case=operation.ok().as_strategy())
        def attempt(case: schemathesis.Case) -> None:
            case.call_and_validate(checks=CHECKS)
            tried.append(case.path)

        attempt()
    assert len(set(tried)) == 8
