"""Bills of materials: the one that a wheel brings is kept; of any other one is made from its metadata, and says so.

What is made is CycloneDX 1.6. It lists what METADATA declares, which is less than what is installed: its lifecycle is
``design``, and a property says ``declared``.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from .components import read_json
from .names import normalise
from .problems import Malformed

LARGEST = 16 * 2**20
MOST = 20_000
MEDIA_TYPE = "application/vnd.cyclonedx+json; version=1.6"
_SPACE = uuid.UUID("6d0c8b53-3d0f-5d5c-9a43-2f3bb4f0d5a1")


def check_sbom(content: bytes, name: str) -> dict[str, Any]:
    """A bill that a wheel brings: CycloneDX or SPDX as JSON, bounded. What it says is its publisher's word. Raises Malformed."""
    plain = read_json(content, name, LARGEST)
    known = (
        plain.get("bomFormat") == "CycloneDX"
        or str(plain.get("spdxVersion", "")).startswith("SPDX-")
        or "@graph" in plain
    )
    if not known:
        raise Malformed(
            f"{name} is neither CycloneDX nor SPDX.",
            code="bad-sbom",
            fix="Write it with a tool of one of the two.",
        )
    parts = plain.get("components", plain.get("packages", plain.get("@graph", [])))
    if not isinstance(parts, list) or len(parts) > MOST:
        raise Malformed(
            f"{name} lists no parts, or more than {MOST}.", code="bad-sbom", fix="List direct parts only."
        )
    return plain


def make_sbom(
    name: str,
    version: str,
    sha256: str,
    made: datetime,
    *,
    summary: str | None = None,
    licence: str | None = None,
    requires: Iterable[str] = (),
) -> bytes:
    """A bill of what a wheel declares: ``licence`` as an SPDX expression, ``requires`` as in Requires-Dist.

    The same bytes for the same wheel and instant, so that it need not be kept.
    """
    from cyclonedx.contrib.license.factories import LicenseFactory
    from cyclonedx.model import HashAlgorithm, HashType, Property
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentScope, ComponentType
    from cyclonedx.model.lifecycle import LifecyclePhase, PredefinedLifecycle
    from cyclonedx.output.json import JsonV1Dot6
    from packageurl import PackageURL
    from packaging.requirements import Requirement

    name = normalise(name)
    root = Component(
        type=ComponentType.LIBRARY,
        name=name,
        version=version,
        bom_ref=f"{name}@{version}",
        purl=PackageURL("pypi", None, name, version),
        description=summary,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256)],
        licenses=[LicenseFactory().make_with_expression(licence)] if licence else (),
    )
    bom = Bom(serial_number=uuid.uuid5(_SPACE, f"{sha256} {made.isoformat()}"))
    bom.metadata.timestamp = made
    bom.metadata.component = root
    bom.metadata.lifecycles.add(PredefinedLifecycle(phase=LifecyclePhase.DESIGN))
    bom.metadata.tools.components.add(Component(type=ComponentType.APPLICATION, name="ldt-registry"))
    bom.metadata.properties.add(Property(name="ldt:origin", value="declared"))
    needed: dict[str, list[Requirement]] = {}
    for text in requires:
        requirement = Requirement(text)
        needed.setdefault(normalise(requirement.name), []).append(requirement)
    parts = []
    for part_name, asked in sorted(needed.items()):
        always = any(r.marker is None for r in asked)
        part = Component(
            type=ComponentType.LIBRARY,
            name=part_name,
            bom_ref=f"declared:{part_name}",
            purl=PackageURL("pypi", None, part_name),
            scope=ComponentScope.REQUIRED if always else ComponentScope.OPTIONAL,
            properties=[Property(name="ldt:requirement", value=str(r)) for r in asked],
        )
        bom.components.add(part)
        parts.append(part)
    bom.register_dependency(root, parts)
    return JsonV1Dot6(bom).output_as_string(indent=1).encode()
