"""What a distribution says of itself: filename, METADATA and component.json agree, and none says what an index must not repeat."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import forge
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from forge import DATA, FILENAME, INFO, PACKAGE
from hypothesis import given
from hypothesis import strategies as st
from ldt_registry.components import read_components, read_json
from ldt_registry.distribution import Distribution, inspect_stream, read_filename
from ldt_registry.metadata import read_metadata
from ldt_registry.problems import Malformed, Problem, Refused
from ldt_registry.sbom import check_sbom, make_sbom

WORKSPACE = Path(__file__).parents[2]
MANIFESTS = sorted(WORKSPACE.glob("plugins/*/ldt_*/component.json"))
PORT = {"shape": "table", "columns": {"flow": {"kind": "number", "unit": "m3/s", "quantity": "x:flow"}}}


def inspect(content: bytes, filename: str = FILENAME) -> Distribution:
    return inspect_stream(io.BytesIO(content), filename)


def with_metadata(old: bytes, new: bytes) -> bytes:
    assert old in forge.METADATA
    return forge.wheel(forge.members(**{f"{INFO}/METADATA": forge.METADATA.replace(old, new)}))


def with_line(line: str) -> bytes:
    return forge.wheel(forge.members(**{f"{INFO}/METADATA": forge.METADATA + line.encode() + b"\n"}))


def component(**said: Any) -> dict[str, Any]:
    return {
        "id": "heat-load",
        "kind": "model",
        "contract": 1,
        "title": "Heat load",
        "inputs": {"rain": PORT},
    } | said


def manifest(*components: dict[str, Any], **said: Any) -> dict[str, Any]:
    plain = {"contract": 1, "distribution": "heat-load", "version": "1.0", "components": list(components)}
    return plain | {"commands": []} | said


def plugin(content: bytes | dict[str, Any], **files: bytes) -> bytes:
    content = content if isinstance(content, bytes) else json.dumps(content).encode()
    more = {
        f"{INFO}/entry_points.txt": b"[ldt]\nheat-load = heat_load\n",
        f"{PACKAGE}/component.json": content,
    }
    return forge.wheel(forge.members(**more, **files))


# -- filename, METADATA ------------------------------------------------------------------------------------


@pytest.mark.parametrize("named", ["heat_load-1.0", "meat_load-1.0", "heat_load-2.0"])
@pytest.mark.parametrize("said", [("heat-load", "1.0"), ("meat-load", "1.0"), ("heat-load", "2.0")])
def test_filename_folder_and_metadata_agree_or_the_wheel_is_refused(
    named: str, said: tuple[str, str]
) -> None:
    files = forge.members()
    files[f"{INFO}/METADATA"] = (
        f"Metadata-Version: 2.4\nName: {said[0]}\nVersion: {said[1]}\nLicense-File: LICENSE\n".encode()
    )
    content, filename = forge.wheel(files), f"{named}-py3-none-any.whl"
    if named == "heat_load-1.0" and said == ("heat-load", "1.0"):
        assert inspect(content, filename).canonical == "1"
        return
    with pytest.raises(Malformed) as caught:
        inspect(content, filename)
    assert caught.value.code == "filename-differs"


def test_spellings_of_one_name_and_version_agree() -> None:
    content = with_metadata(b"heat-load\nVersion: 1.0", b"Heat.Load\nVersion: 1.0.0")
    found = inspect(content, FILENAME)
    assert (found.name, found.norm_name, found.canonical) == ("Heat.Load", "heat-load", "1")


@pytest.mark.parametrize(
    "filename",
    ["", "heat.zip", "heat_load.whl", "heat_load-1.0.whl", "heat_load-x-py3-none-any.whl", "../heat_load-1.0-py3-none-any.whl",
     "heat load-1.0-py3-none-any.whl", "heat_load-1.0-py3-none-any.whl\n", "heat_load-1.0.tar", "h\u202eeat-1.0.tar.gz",
     f"{'a' * 200}-1.0.tar.gz"],
)  # fmt: skip
def test_what_is_no_filename_is_refused(filename: str) -> None:
    with pytest.raises(Malformed):
        read_filename(filename)


@given(st.text(max_size=60))
def test_any_text_as_filename_is_read_or_refused(filename: str) -> None:
    for text in (
        filename,
        f"{filename}.whl",
        f"heat_load-{filename}-py3-none-any.whl",
        f"{filename}-1.0.tar.gz",
    ):
        try:
            assert read_filename(text).name
        except Problem as problem:
            assert problem.what.isprintable()


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("Requires-Dist: evil @ http://127.0.0.1/evil.whl", "direct-reference"),
        ("Requires-Dist: evil @ file:///etc/passwd", "direct-reference"),
        ("Requires-Dist: @", "bad-metadata"),
        ("Project-URL: x, javascript:alert(1)", "bad-address"),
        ("Project-URL: x, data:text/html,<script>", "bad-address"),
        ("Project-URL: x, https://user:word@example.org/", "bad-address"),
        ("Project-URL: x, https:", "bad-address"),
        ("Project-URL: x, ", "bad-address"),
        ("Home-page: JAVASCRIPT:alert(1)", "bad-address"),
        ("Download-URL: //example.org/x", "bad-address"),
        ("Summary: twice", "unparsed-metadata"),
        ("X-Unknown: x", "unparsed-metadata"),
        ("Name: other", "unparsed-metadata"),
        ("Author: a\u202eb", "hidden-character"),
        ("Keywords: a\u200bb", "hidden-character"),
        ("License-File: ../LICENSE", "bad-metadata"),
        ("License-File: NOTICE", "licence-file"),
        ("Description-Content-Type: text/html", "bad-metadata"),
        ("Requires-External: " + "x" * 10, None),
        ("Project-URL: Source, https://example.org/x", None),
        ("Author-Email: Anna <anna@example.org>", None),
    ],
)
def test_fields_that_an_index_must_not_repeat_are_refused(line: str, code: str | None) -> None:
    if code is None:
        inspect(with_line(line))
        return
    with pytest.raises((Malformed, Refused)) as caught:
        inspect(with_line(line))
    assert caught.value.code == code, caught.value.what


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Apache-2.0", b"Apache 2"), (b"Apache-2.0", b"Apache-2.0 AND nothing"), (b">=3.11", b"3.11 or so"),
        (b"Version: 2.4", b"Version: 9.9"), (b"Version: 1.0", b"Version: one"), (b"Name: heat-load\n", b""),
        (b"Degrees", b"\xff\xfe"), (b"comfort", b"x" * 3000),
    ],
)  # fmt: skip
def test_metadata_that_breaks_its_rules_is_refused(old: bytes, new: bytes) -> None:
    with pytest.raises((Malformed, Refused)):
        inspect(with_metadata(old, new))


def test_the_field_that_tools_wrote_before_it_had_a_rule_passes() -> None:
    found = read_metadata(b"Metadata-Version: 2.1\nName: a\nVersion: 1\nLicense: MIT\nLicense-File: X\n")
    assert (found.licence, found.licence_files) == ("MIT", ())


@given(
    st.one_of(
        st.binary(max_size=300),
        st.text(max_size=300).map(str.encode),
        st.binary(max_size=60).map(lambda b: forge.METADATA + b),
    )
)
def test_any_bytes_as_metadata_are_read_or_refused(content: bytes) -> None:
    try:
        found = read_metadata(content)
    except Problem as problem:
        assert problem.status in (400, 422)
        return
    json.dumps(found.raw)


# -- component.json ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda p: p.parent.name)
def test_the_manifests_of_this_workspace_are_read(path: Path) -> None:
    content = path.read_bytes()
    plain = json.loads(content)
    found, kept = read_components(content, plain["distribution"], plain["version"])
    assert [c.id for c in found.components] == [c["id"] for c in plain["components"]]
    assert kept == plain


def test_a_plugin_is_read_with_its_components() -> None:
    about = {
        "standards": ["OGC API"],
        "mims": {"MIM1": "full"},
        "deployment": ["on-premise"],
        "support_until": "2031-12-31",
    }
    found = inspect(plugin(manifest(component(), about=about)))
    assert [c["id"] for c in found.components] == ["heat-load"]
    assert found.components[0]["inputs"]["rain"]["columns"]["flow"]["unit"] == "m3/s"
    assert found.about == about


def test_a_library_has_no_components_and_needs_no_manifest() -> None:
    assert inspect(forge.wheel()).components == ()


def test_a_plugin_without_its_manifest_is_refused() -> None:
    points = {f"{INFO}/entry_points.txt": b"[ldt]\nheat-load = heat_load\n"}
    with pytest.raises(Refused, match="ldt manifest"):
        inspect(forge.wheel(forge.members(**points)))
    points = {f"{INFO}/entry_points.txt": b"[ldt]\na = heat_load\nb = heat_load\n"}
    with pytest.raises(Refused, match="2 entry points"):
        inspect(forge.wheel(forge.members(**points)))


BAD: dict[str, Any] = {
    "no JSON": b"{",
    "no object": b"[]",
    "not UTF-8": b'{"a": "\xff"}',
    "a key twice": b'{"contract": 1, "contract": 1}',
    "deep": b'{"a":' * 5000 + b"1" + b"}" * 5000,
    "deeper than Python": b"[" * 200_000,
    "no number": b'{"contract": NaN}',
    "huge number": b'{"contract": ' + b"9" * 5000 + b"}",
    "NUL": manifest(component(title="a\0b")),
    "another contract": manifest(component(), contract=2),
    "a component of another contract": manifest(component(contract=2)),
    "another distribution": manifest(component(), distribution="meat-load"),
    "another version": manifest(component(), version="2.0"),
    "an id twice": manifest(component(), component()),
    "an id with slashes": manifest(component(id="../heat")),
    "an id in capitals": manifest(component(id="Heat")),
    "a fifth kind": manifest(component(kind="service")),
    "no title": manifest({k: v for k, v in component().items() if k != "title"}),
    "a title that turns": manifest(component(title="a\u202eb")),
    "a port that is none": manifest(component(inputs={"rain": 3})),
    "a column of no kind": manifest(component(inputs={"rain": {"columns": {"a": {"kind": "colour"}}}})),
    "a port without columns": manifest(component(inputs={"rain": {"shape": "table"}})),
    "an id column that is not there": manifest(component(inputs={"rain": PORT | {"id": "x", "entity": "y"}})),
    "a reference to elsewhere": manifest(component(params={"properties": {"a": {"$ref": "http://127.0.0.1/x"}}})),
    "an address that runs": manifest(component(), about={"security_contact": "javascript:alert(1)"}),
    "a word of about that is none": manifest(component(), about={"deploiment": ["saas"]}),
    "too many": manifest(*[component(id=f"c{n}") for n in range(501)]),
}  # fmt: skip


@pytest.mark.parametrize("done", BAD)
def test_a_manifest_that_cannot_be_relied_on_is_refused(done: str) -> None:
    with pytest.raises((Malformed, Refused)) as caught:
        inspect(plugin(BAD[done]))
    assert caught.value.what.isprintable()
    assert len(caught.value.what) < 5000


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9) | st.sampled_from(["id", "kind", "columns", "unit"]), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(
    st.sampled_from(["components", "about", "inputs", "outputs", "params", "title", "rain", "capabilities"]),
    JSON,
)
def test_any_json_in_a_manifest_is_read_or_refused(where: str, said: Any) -> None:
    plain = manifest(component())
    if where in ("components", "about"):
        plain[where] = said
    elif where == "rain":
        plain["components"][0]["inputs"]["rain"] = said
    else:
        plain["components"][0][where] = said
    try:
        read_components(json.dumps(plain).encode(), "heat-load", "1.0")
    except Problem as problem:
        assert problem.status in (400, 422)


def test_programs_are_installed_only_where_they_are_declared() -> None:
    files = {f"{DATA}/scripts/heat": b"#!python\n"}
    with pytest.raises(Refused, match="heat"):
        inspect(plugin(manifest(component()), **files))
    inspect(plugin(manifest(component(), about={"scripts": ["heat"]}), **files))


# -- bills of materials ------------------------------------------------------------------------------------


def test_a_bill_is_made_of_what_is_declared_and_says_so() -> None:
    found = inspect(with_line('Requires-Dist: scipy>=1 ; extra == "more"\nProvides-Extra: more'))
    at = datetime(2026, 3, 2, tzinfo=UTC)
    said = {"summary": found.summary, "licence": found.licence, "requires": found.requires}
    made = make_sbom(found.name, found.version, "ab" * 32, at, **said)
    assert made == make_sbom(found.name, found.version, "ab" * 32, at, **said)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(made.decode()) is None
    plain = check_sbom(made, "made")
    assert plain["metadata"]["properties"] == [{"name": "ldt:origin", "value": "declared"}]
    assert plain["metadata"]["component"]["purl"] == "pkg:pypi/heat-load@1.0"
    assert plain["metadata"]["component"]["licenses"] == [{"expression": "Apache-2.0"}]
    assert [(c["name"], c["scope"]) for c in plain["components"]] == [
        ("numpy", "required"),
        ("scipy", "optional"),
    ]


def test_the_bill_that_a_wheel_brings_is_kept_as_it_is() -> None:
    bill = b'{"bomFormat": "CycloneDX", "specVersion": "1.6", "components": []}'
    found = inspect(forge.wheel(forge.members(**{f"{INFO}/sboms/all.cdx.json": bill})))
    assert found.sboms == {"all.cdx.json": bill.decode()}


@pytest.mark.parametrize(
    "bill",
    [b"{}", b"[]", b'{"bomFormat": "CycloneDX", "components": 3}', b'{"bomFormat": "CycloneDX", "components": ' + b"[" * 90 + b"]" * 90 + b"}",
     b'{"bomFormat": "CycloneDX", "components": [' + b"1," * 20_001 + b"1]}", b'{"spdxVersion": "SPDX-2.3", "packages": {}}'],
)  # fmt: skip
def test_a_bill_that_is_none_or_too_large_is_refused(bill: bytes) -> None:
    with pytest.raises((Malformed, Refused)):
        inspect(forge.wheel(forge.members(**{f"{INFO}/sboms/all.cdx.json": bill})))


@given(st.binary(max_size=200))
def test_any_bytes_as_json_are_read_or_refused(content: bytes) -> None:
    try:
        assert isinstance(read_json(content, "x"), dict)
    except Problem as problem:
        assert problem.what.isprintable()
