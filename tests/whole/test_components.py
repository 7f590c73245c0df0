"""What every component of this repository promises, whoever wrote it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema.validators import Draft202012Validator

from ldt_core.catalog import Offer, installed, load
from ldt_core.manifest import describe
from ldt_core.tables import port_as_dict, port_from_dict
from ldt_core.units import check_unit

ROOT = Path(__file__).resolve().parent.parent.parent
OFFERS = installed(refresh=True).offers


def test_all_plugins_are_installed() -> None:
    folders = {p.parent.name for p in (ROOT / "plugins").glob("*/pyproject.toml")}
    offering = {o.distribution for o in OFFERS} | {c.distribution for c in installed().commands}
    assert offering == folders - {"ldt-demo"} | {"ldt-conformance", "ldt-registry"}


@pytest.mark.parametrize("offer", OFFERS, ids=lambda o: o.id)
def test_manifest_equals_the_code(offer: Offer) -> None:
    """Any drift between class and component.json would make listing lie."""
    assert json.loads(json.dumps(describe(load(offer)), default=str)) == offer.describe()


@pytest.mark.parametrize("offer", OFFERS, ids=lambda o: o.id)
def test_ports_say_what_they_carry(offer: Offer) -> None:
    manifest = offer.describe()
    for side in ("inputs", "outputs"):
        for name, plain in manifest[side].items():
            port = port_from_dict(plain)
            assert port_as_dict(port) == plain
            for column_name, column in port.columns.items():
                where = f"{offer.id}.{name}.{column_name}"
                if column.kind == "number" and not manifest["dynamic"]:
                    assert column.unit is not None, f"{where} has no unit"
                    assert column.quantity is not None, f"{where} has no quantity"
                if column.unit is not None:
                    check_unit(column.unit)
                if column.kind == "geometry":
                    assert column.crs is not None, f"{where} has no CRS"


@pytest.mark.parametrize("offer", OFFERS, ids=lambda o: o.id)
def test_params_are_a_json_schema_that_refuses_unknown_keys(offer: Offer) -> None:
    schema = offer.describe()["params"]
    Draft202012Validator.check_schema(schema)
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize("offer", OFFERS, ids=lambda o: o.id)
def test_description_is_sentences(offer: Offer) -> None:
    manifest: dict[str, Any] = offer.describe()
    assert manifest["description"].rstrip().endswith((".", ")"))
    assert manifest["title"] != manifest["id"]
    shown = subprocess.run(
        [sys.executable, "-m", "ldt_core.cli", "show", offer.id], capture_output=True, text=True, check=True
    ).stdout
    for name in (*manifest["inputs"], *manifest["outputs"], *manifest["params"].get("properties", {})):
        assert name in shown
