"""Names of projects: one spelling, what looks alike, what nobody may take."""

from __future__ import annotations

import importlib.metadata
import re
import sys
import unicodedata
from functools import cache

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from .problems import Malformed

LONGEST = 100
OURS = ("ldt", "ldt-conformance", "ldt-core", "ldt-registry", "ldt-toolbox")
_VALID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_ALIKE = str.maketrans({"1": "l", "i": "l", "0": "o", "5": "s", "-": None})
_PAIRS = (("rn", "m"), ("vv", "w"))


def normalise(name: str) -> str:
    return canonicalize_name(name)


def require_name(name: str) -> str:
    """The normalised name. Raises Malformed where it is no name of a project."""
    if not isinstance(name, str) or len(name) > LONGEST or not _VALID.fullmatch(name):
        raise Malformed(
            f"{show(str(name)[:LONGEST])} is no name of a project.",
            code="bad-name",
            fix=f"Use up to {LONGEST} ASCII letters, digits, dots, dashes and underscores; begin and end with a letter or digit.",
        )
    return normalise(name)


def skeleton(name: str) -> str:
    """What is left of a name for a hasty eye: separators gone, ``1`` and ``i`` as ``l``, ``0`` as ``o``, ``rn`` as ``m``."""
    bare = normalise(name).translate(_ALIKE)
    for pair, one in _PAIRS:
        bare = bare.replace(pair, one)
    return bare


def prefixes(name: str) -> list[str]:
    """The prefixes under which a name falls, longest first, itself included: ``a-b-c``, ``a-b``, ``a``."""
    parts = normalise(name).split("-")
    return ["-".join(parts[:n]) for n in range(len(parts), 0, -1)]


def hidden(text: str) -> str | None:
    """The first character that cannot be seen or turns the direction of writing, named; tabs and line ends are none."""
    for char in text:
        if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") and char not in "\t\n\r":
            return f"U+{ord(char):04X} {unicodedata.name(char, '')}".rstrip()
    return None


def show(text: str) -> str:
    """A text of a stranger within a message: quoted, on one line, everything hidden escaped."""
    return ascii(text)


def look_alike(one: str, two: str) -> bool:
    """Whether two different names could be taken for each other: the same skeleton, or one slip away from it.

    A slip is a letter left out, added, replaced, or swapped with its neighbour. Names under five letters are told by their
    skeleton alone: there everything is one slip away. A number is no slip: ``solver2`` follows ``solver``.
    """
    return normalise(one) != normalise(two) and alike_skeletons(skeleton(one), skeleton(two))


def alike_skeletons(one: str, two: str) -> bool:
    if one == two:
        return True
    short, long = sorted((one, two), key=len)
    if len(short) < 5 or len(long) - len(short) > 1:
        return False
    at = next((n for n, (a, b) in enumerate(zip(short, long)) if a != b), len(short))
    if long[at].isdigit() and (at == len(short) or short[at].isdigit()):
        return False
    if len(short) < len(long):
        return short[at:] == long[at + 1 :]
    swapped = short[at : at + 2] == long[at : at + 2][::-1] and short[at + 2 :] == long[at + 2 :]
    return swapped or short[at + 1 :] == long[at + 1 :]


@cache
def reserved() -> dict[str, str]:
    """Names that nobody may take, each with the reason: ours, the standard library's, those that our distributions need.

    The last are names of the public index: whoever took one here could slip in between.
    """
    found = {normalise(n): "the name of a module of Python" for n in sys.stdlib_module_names}
    waiting = ["ldt-core", "ldt-registry"]
    seen: set[str] = set()
    while waiting:
        name = normalise(waiting.pop())
        if name in seen:
            continue
        seen.add(name)
        try:
            needed = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            needed = []
        for text in needed:
            try:
                waiting.append(Requirement(text).name)
            except InvalidRequirement:
                continue
    found |= dict.fromkeys(seen, "the name of a package of the public index that the toolbox needs")
    found |= dict.fromkeys(OURS, "a name of this toolbox")
    return found


def why_reserved(name: str) -> str | None:
    """Why nobody may take this name, or None: it is reserved, or looks like one that is."""
    name = normalise(name)
    if name in reserved():
        return f"It is {reserved()[name]}."
    mine = skeleton(name)
    near = next((n for n, s in _reserved_skeletons() if alike_skeletons(mine, s)), None)
    return None if near is None else f"It looks like {near!r}, {reserved()[near]}."


@cache
def _reserved_skeletons() -> list[tuple[str, str]]:
    return [(n, skeleton(n)) for n in sorted(reserved())]
