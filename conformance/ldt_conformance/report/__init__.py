"""The report of a run of the suite, and what is derived from it.

``document`` is the whole truth; ``page`` shows it to people; ``junit``, ``earl``, ``tar`` and ``ctrf`` are what other
tools read, each of which loses something.
"""

from __future__ import annotations

from .document import Component, Environment, Report, Subject, Waived, read_report
from .write import write_report

__all__ = ["Component", "Environment", "Report", "Subject", "Waived", "read_report", "write_report"]
