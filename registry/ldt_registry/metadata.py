"""Core metadata (METADATA of a wheel, PKG-INFO of a source distribution), read from its bytes and held to rules.

The parser is that of ``packaging``. It lets pass what an index must not: addresses that run a script, requirements that
fetch from anywhere, bytes that are no text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from email.errors import MessageError
from typing import Any
from urllib.parse import urlsplit

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from packaging.metadata import InvalidMetadata, Metadata, RawMetadata, parse_email
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_version

from .names import hidden, normalise, show
from .problems import Malformed, Refused

LARGEST = 4 * 2**20
LONGEST_LINE = 512
MOST_REQUIREMENTS = 1000
_SCHEMES = {"http", "https"}
_ONE_LINE = ("name", "version", "summary", "author", "maintainer", "author_email", "maintainer_email", "license_expression",
             "home_page", "download_url", "requires_python", "description_content_type")  # fmt: skip
_FIX = "Correct pyproject.toml and build it again."


@dataclass(frozen=True)
class Described:
    """What a distribution says of itself. ``raw`` are its fields as JSON has them, ``content`` the bytes as they were read."""

    name: str
    version: str
    content: bytes
    raw: dict[str, Any]
    requires_python: str | None
    summary: str | None
    licence: str | None
    licence_files: tuple[str, ...]
    requires: tuple[Requirement, ...]

    @property
    def norm_name(self) -> str:
        return normalise(self.name)

    @property
    def canonical(self) -> str:
        return canonicalize_version(self.version)


def read_metadata(content: bytes) -> Described:
    """Parse and check. Raises Malformed (not metadata) or Refused (against the rules), naming each field."""
    if len(content) > LARGEST:
        raise Refused(
            f"The metadata is larger than {LARGEST} bytes.",
            code="metadata-too-large",
            fix="Shorten the description.",
        )
    try:
        raw, unparsed = parse_email(content)
        if unparsed:
            listed = ", ".join(show(str(k)[:60]) for k in sorted(unparsed)[:10])
            raise Malformed(
                f"These fields of the metadata cannot be read, are unknown, or stand twice: {listed}.",
                code="unparsed-metadata",
                fix=_FIX,
            )
        if _older(
            raw.get("metadata_version", ""), (2, 4)
        ):  # tools wrote the field for years before it had a rule
            raw.pop("license_files", None)
        said = Metadata.from_raw(raw, validate=True)
    except (ExceptionGroup, InvalidMetadata, MessageError, ValueError, UnicodeError) as exc:
        reasons = "; ".join(map(str, getattr(exc, "exceptions", [exc])))
        raise Malformed(
            f"The metadata cannot be used: {reasons[:1000]}", code="bad-metadata", fix=_FIX
        ) from exc
    _check_lines(raw)
    _check_addresses(raw)
    return Described(
        name=said.name,
        version=str(said.version),
        content=content,
        raw={k: _plain(v) for k, v in raw.items()},
        requires_python=str(said.requires_python) if said.requires_python else None,
        summary=said.summary,
        licence=read_licence(raw),
        licence_files=tuple(raw.get("license_files", ())),
        requires=_read_requirements(raw),
    )


def _older(version: str, than: tuple[int, int]) -> bool:
    numbers = version.split(".")
    return (
        len(numbers) == 2
        and all(n.isdecimal() for n in numbers)
        and (int(numbers[0]), int(numbers[1])) < than
    )


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, set | frozenset) else value


def _check_lines(raw: RawMetadata) -> None:
    """Short fields are one line each, without characters that hide or turn what is read."""
    texts = [(field, str(value)) for field in _ONE_LINE if (value := raw.get(field))]
    lists: tuple[tuple[str, Any], ...] = (
        ("keywords", raw.get("keywords")), ("classifiers", raw.get("classifiers")), ("project_urls", raw.get("project_urls")),
        ("requires_dist", raw.get("requires_dist")), ("license_files", raw.get("license_files")),
    )  # fmt: skip
    for field, values in lists:
        pairs = values.items() if isinstance(values, dict) else ((v, "") for v in values or ())
        texts += [(field, f"{one} {two}".strip()) for one, two in pairs]
    for field, text in texts:
        if (char := hidden(text)) is not None:
            raise Refused(
                f"The field {field} holds a character that cannot be seen: {char}.",
                code="hidden-character",
                fix=_FIX,
            )
        if (
            "\n" in text.strip()
            or len(text) > LONGEST_LINE * 4
            or (field == "summary" and len(text) > LONGEST_LINE)
        ):
            raise Refused(
                f"The field {field} is longer than one line, or than {LONGEST_LINE} characters.",
                code="long-field",
                fix=_FIX,
            )


def _check_addresses(raw: RawMetadata) -> None:
    found = [(f"Project-URL {show(label)}", url) for label, url in (raw.get("project_urls") or {}).items()]
    found += [(field, str(raw.get(field))) for field in ("home_page", "download_url") if raw.get(field)]
    for what, url in found:
        if what.startswith("Project") and not url:
            raise Refused(f"{what} has no address.", code="bad-address", fix=_FIX)
        require_address(url, what)


def require_address(url: str, what: str, schemes: set[str] = _SCHEMES) -> str:
    """An address that a person may be sent to. Raises Refused."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in schemes | {"mailto"} and not any(c.isspace() or c in '<>"\\' for c in url)
        good = good and (bool(parts.hostname) if parts.scheme != "mailto" else "@" in parts.path)
        good = good and parts.username is None and parts.password is None
    except ValueError:
        good = False
    if not good or hidden(url):
        raise Refused(
            f"{what} is {show(url[:200])}, which is no https, http or mailto address.",
            code="bad-address",
            fix=_FIX,
        )
    return url


def _read_requirements(raw: RawMetadata) -> tuple[Requirement, ...]:
    texts = raw.get("requires_dist") or []
    if len(texts) > MOST_REQUIREMENTS:
        raise Refused(
            f"It has {len(texts)} requirements, more than {MOST_REQUIREMENTS}.",
            code="too-many-requirements",
            fix=_FIX,
        )
    found = []
    for text in texts:
        try:
            requirement = Requirement(text)
        except InvalidRequirement as exc:
            raise Malformed(
                f"The requirement {show(text[:200])} cannot be read.", code="bad-metadata", fix=_FIX
            ) from exc
        if requirement.url is not None:
            raise Refused(
                f"The requirement {show(text[:200])} fetches from an address, past every index and every check.",
                code="direct-reference",
                fix="Require a version by name.",
            )
        found.append(requirement)
    return tuple(found)


def read_licence(raw: Mapping[str, Any]) -> str | None:
    """The SPDX expression (PEP 639) of parsed fields, where it is stated as one; a text in other words is none."""
    stated = raw.get("license_expression")
    if stated:
        return str(canonicalize_license_expression(stated))
    try:
        return str(canonicalize_license_expression(raw.get("license") or ""))
    except InvalidLicenseExpression:
        return None
