"""The paths of an archive's members: each stays inside, is the same on every system, and is there once."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from .names import hidden, show
from .problems import Malformed, Refused

_DEVICES = {"con", "prn", "aux", "nul", "conin$", "conout$"} | {
    f"{d}{n}" for d in ("com", "lpt") for n in "0123456789"
}


def check_members(names: Iterable[str]) -> None:
    """The names of all members, folders with a slash at their end. Raises Malformed or Refused."""
    seen: dict[str, str] = {}
    for name in names:
        path = name.removesuffix("/")
        check_path(path)
        same = same_everywhere(path)
        if same in seen:
            raise _ambiguous(f"{show(seen[same])} and {show(name)} are one file on many systems")
        seen[same] = name
    for same, name in seen.items():
        while "/" in same:
            same = same.rpartition("/")[0]
            if not seen.get(same, "/").endswith("/"):
                raise _ambiguous(f"{show(name)} lies in {show(seen[same])}, which is a file")


def same_everywhere(path: str) -> str:
    """One text for all paths that some system takes for the same: case and compatible characters folded."""
    return unicodedata.normalize("NFKC", path).casefold()


def check_path(name: str) -> None:
    """Raises Refused unless the path stays inside its folder and is the same on every system."""
    why = None
    if name.startswith("/") or "\\" in name or ":" in name:
        why = "is absolute, or is so on another system"
    elif hidden(name) or any(c in name for c in "\t\n\r\0"):
        why = "has characters that cannot be seen"
    elif unicodedata.normalize("NFC", name) != name:
        why = "is not in the usual composed form (NFC)"
    else:
        for part in name.split("/"):
            if part in ("", ".", ".."):
                why = "leads out of its folder, or has empty parts"
            elif part[-1] in ". ":
                why = "has a part that ends with a dot or a space"
            elif part.partition(".")[0].casefold() in _DEVICES:
                why = "is the name of a device on some systems"
            elif len(part.encode()) > 255:
                why = "has a part that is longer than 255 bytes"
    if why is not None:
        raise Refused(f"The member {show(name)} {why}.", code="member-name", fix="Rename the file.")


def _ambiguous(what: str) -> Malformed:
    return Malformed(
        f"The archive could be read in two ways: {what}.", code="ambiguous-archive", fix="Rename one."
    )
