"""The check of a package's bill of materials, in CycloneDX or SPDX as JSON (PEP 770)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

from packaging.utils import canonicalize_name

from ..package_trial import PackageTrial
from ..trial import Trial
from . import check

_MAY_BE_LEFT_OUT = ("pip", "setuptools", "wheel", "uv")
"""What makes environments is in some of them."""


@check("LDT-PKG-SBOM-01")
def the_bill_of_materials_is_true(trial: Trial) -> None:
    bench = cast(PackageTrial, trial).bench
    artefact = bench.artefact
    files = [f for f in artefact.files if f.startswith(artefact.info("sboms/"))]
    trial.expect(
        bool(files), "the wheel holds no bill of materials", expected=f"{artefact.info('sboms/')}NAME.json"
    )
    listed: dict[str, str] = {}
    for file in files:
        try:
            listed |= dict(_listed(json.loads(artefact.read(file) or b"")))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
            trial.fail(f"{file} cannot be read as CycloneDX or SPDX: {exc}", given=file)
    present = installed_at(Path(bench.environment().site))
    present.pop(artefact.name, None)
    listed.pop(artefact.name, None)
    missing = sorted(present.keys() - listed.keys() - set(_MAY_BE_LEFT_OUT))
    trial.expect(not missing, "it does not list what is installed with it", expected="all of it", got=missing)
    foreign = sorted(listed.keys() - present.keys())
    trial.expect(not foreign, "it lists what is not installed with it", expected="nothing else", got=foreign)
    other = {n: f"listed {v}, installed {present[n]}" for n, v in listed.items() if v and v != present[n]}
    trial.expect(not other, "it lists other versions than are installed", got=other)


def installed_at(site: Path) -> dict[str, str]:
    """Version by name of every distribution of a site folder."""
    found = {}
    for folder in site.glob("*.dist-info"):
        name, _, version = folder.name.removesuffix(".dist-info").rpartition("-")
        found[str(canonicalize_name(name))] = version
    return found


def _listed(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Name and version (empty where it is not said) of every Python distribution. Raises ``ValueError``."""
    if document.get("bomFormat") == "CycloneDX":
        if not str(document["specVersion"]).startswith("1."):
            raise ValueError(f"CycloneDX {document['specVersion']} is not known here")
        yield from _cyclonedx(document["components"])
    elif str(document.get("spdxVersion", "")).startswith("SPDX-2."):
        for package in document["packages"]:
            links = [str(r.get("referenceLocator", "")) for r in package.get("externalRefs", [])]
            purl = next((link for link in links if link.startswith("pkg:")), "")
            yield from _named(package["name"], str(package.get("versionInfo", "")), purl)
    elif "spdx.org/rdf/3" in str(document.get("@context")):
        for item in document["@graph"]:
            if item.get("type") == "software_Package":
                version = str(item.get("software_packageVersion", ""))
                yield from _named(item["name"], version, str(item.get("software_packageUrl", "")))
    else:
        raise ValueError("it says neither bomFormat nor spdxVersion")


def _cyclonedx(components: list[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for item in components:
        yield from _named(item["name"], str(item.get("version", "")), str(item.get("purl", "")))
        yield from _cyclonedx(item.get("components", []))


def _named(name: str, version: str, purl: str) -> Iterator[tuple[str, str]]:
    """A thing with a package address of another world than Python's (a C library inside the wheel) is left alone."""
    if not purl:
        yield str(canonicalize_name(name)), version
    elif purl.startswith("pkg:pypi/"):
        said, _, at = unquote(purl.removeprefix("pkg:pypi/").partition("?")[0]).partition("@")
        yield str(canonicalize_name(said)), at or version
