"""Every component that can be served has a document that tools accept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ldt_core.catalog import installed, load
from ldt_core.errors import LdtError
from ldt_core.interfaces import Viewer
from ldt_core.manifest import describe
from ldt_core.remote.manifests import checked
from ldt_core.remote.openapi import document, validate
from ldt_core.remote.served import Served

ROOT = Path(__file__).resolve().parent.parent.parent
EXAMPLE = ROOT / "docs" / "examples" / "node-component"
OFFERS = [o for o in installed().offers if o.kind != "viewer"]


@pytest.mark.parametrize("offer", OFFERS, ids=lambda o: o.id)
def test_what_is_installed_can_be_described_to_any_tool(offer: Any) -> None:
    component = load(offer)
    assert not issubclass(component, Viewer)
    try:
        served = Served(component)
    except LdtError as exc:  # it needs a parameter that only its owner can set, and says which
        assert exc.fix or exc.where or exc.what
        required = describe(component)["params"].get("required", [])
        assert required, exc
        return
    collections = list(served.outputs) if served.kind == "source" else []
    validate(document([served], collections, "http://127.0.0.1:1", True), "here")
    checked(json.loads(json.dumps(served.manifest)), "here")
