"""What a certificate needs of this machine."""

from __future__ import annotations

import os

import pytest
from ldt_conformance.browser import find_chromium
from ldt_conformance.sandbox import unavailable


@pytest.fixture(scope="session", autouse=True)
def _walls_and_a_browser() -> None:
    """Without them nothing is certified; where everything must be said, that is a failure."""
    missing = unavailable() or ("" if find_chromium() else "Chromium is missing: apt-get install chromium")
    if missing:
        assert os.environ.get("CI") != "true", missing
        pytest.skip(missing)
