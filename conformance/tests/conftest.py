"""Helpers of these tests can be imported by their names."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import hypothesis
import pytest
from ldt_conformance.browser import find_chromium

# Wall time is never asserted: the first example often pays for an import.
hypothesis.settings.register_profile("ldt", deadline=None)
hypothesis.settings.load_profile("ldt")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what runs in the background deaf to interrupts, and programs that the tests start would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path.insert(0, str(Path(__file__).parent))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Without Chromium nothing is said of viewers; where everything must be said, that is a failure."""
    if item.get_closest_marker("browser") and find_chromium() is None:
        if os.environ.get("CI") == "true":
            pytest.fail("Chromium is missing: apt-get install chromium")
        pytest.skip("needs Chromium")
