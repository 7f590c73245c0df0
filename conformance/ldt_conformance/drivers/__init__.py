"""The ways in to a component under test. A check sees no difference between them."""

from __future__ import annotations

from .base import Driver, Raised, Subject, Word

__all__ = ["Driver", "Raised", "Subject", "Word"]
