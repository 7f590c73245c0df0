"""Names of projects: one spelling, and what looks alike."""

from __future__ import annotations

from packaging.utils import canonicalize_name

_ALIKE = str.maketrans({"1": "l", "i": "l", "0": "o", "-": None})


def normalise(name: str) -> str:
    return canonicalize_name(name)


def skeleton(name: str) -> str:
    """What is left of a name for a hasty eye: separators gone, ``1`` and ``i`` as ``l``, ``0`` as ``o``."""
    return normalise(name).translate(_ALIKE)
