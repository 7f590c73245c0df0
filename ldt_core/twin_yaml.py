"""YAML with places: the text of a twin file as plain data, each value with its line and column.

Scalars are read by the YAML 1.2 core schema, so ``on``, ``no``, ``08:30`` and ``2026-03-02`` are
text and nothing becomes a date. Duplicate keys, tags, merge keys, several documents, deep nesting
and aliases that multiply are refused. ``${NAME}`` and ``${NAME:-default}`` read the environment;
``$${`` is a plain ``${``. An unquoted scalar is resolved after that, as if its text stood there.
"""

from __future__ import annotations

import bisect
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import yaml

from .errors import ErrorList, LdtError, TwinFileError

MAX_BYTES = 1_000_000
MAX_DEPTH = 50
MAX_VALUES = 100_000

KeyPath = tuple[str | int, ...]

_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: dict[str, bool | None] = {"": None, "~": None}
_WORDS |= dict.fromkeys(("null", "Null", "NULL"))
_WORDS |= dict.fromkeys(("true", "True", "TRUE"), True)
_WORDS |= dict.fromkeys(("false", "False", "FALSE"), False)
_VARIABLE = re.compile(r"\$\$\{|\$\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-[^{}$]*)?\})?")
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_LINE_END = re.compile(r"\r\n|\r|\n")


class Spot(NamedTuple):
    """Offsets into the text: of a mapping's key (None for list items and the root), of its value."""

    key: int | None
    value: int


@dataclass(frozen=True)
class Source:
    """``tree`` is the file as dicts, lists and scalars; ``spots`` says where each path stands."""

    name: str
    lines: list[int]
    tree: Any
    spots: Mapping[KeyPath, Spot]

    def at(self, offset: int) -> str:
        """``twin.yaml:12:5`` (line and column count from 1)."""
        return _place(self.name, self.lines, offset)

    def place(self, *path: str | int, key: bool = False) -> str:
        """Where a path stands, or else the nearest path above it.

        That is the value if it starts on its key's line or is a list item, else the key; with
        ``key`` always the key.
        """
        while path and path not in self.spots:
            path = path[:-1]
        spot = self.spots.get(path, Spot(None, 0))
        if spot.key is None:
            return self.at(spot.value)
        same_line = bisect.bisect(self.lines, spot.key) == bisect.bisect(self.lines, spot.value)
        return self.at(spot.value if same_line and not key else spot.key)


def _place(name: str, lines: list[int], offset: int) -> str:
    line = bisect.bisect(lines, offset)
    return f"{name}:{line}:{offset - lines[line - 1] + 1}"


def read_source(data: bytes, name: str, env: Mapping[str, str]) -> tuple[Source, list[LdtError]]:
    """The data and every error that does not stop the reading; one that does is raised with them."""
    if len(data) > MAX_BYTES:
        what = f"the file has {len(data)} bytes; a twin file has at most {MAX_BYTES}"
        raise _stop(what, f"{name}:1:1", "keep data in files of its own, named by params", code="too large")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        before = data[: exc.start].decode("utf-8-sig", "replace")
        kind = "UTF-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "not UTF-8"
        raise _stop(
            f"the text is {kind}: byte {exc.start} is 0x{data[exc.start]:02x}",
            _place(name, _line_starts(before), len(before)),
            "save the file as UTF-8",
            code="encoding",
        ) from None
    return _Reader(text, name, env).read()


def _line_starts(text: str) -> list[int]:
    return [0, *(m.end() for m in _LINE_END.finditer(text))]


def _stop(what: str, where: str, fix: str, code: str = "syntax") -> TwinFileError:
    return TwinFileError(what, code=code, where=where, fix=fix)


@dataclass
class _Node:
    """A value with its offset. ``size`` and ``height`` count what stands below it, aliases expanded."""

    offset: int
    value: Any
    keys: dict[str, int] = field(default_factory=dict)
    size: int = 1
    height: int = 0

    def add(self, child: _Node) -> None:
        self.size += child.size
        self.height = max(self.height, child.height + 1)


@dataclass
class _Open:
    """A collection that is being read."""

    node: _Node
    anchor: str | None
    key: str | None = None


class _Reader:
    def __init__(self, text: str, name: str, env: Mapping[str, str]) -> None:
        self.text, self.name, self.env = text, name, env
        self.lines = _line_starts(text)
        self.errors: list[LdtError] = []
        self.anchors: dict[str, _Node] = {}
        self.open: list[_Open] = []
        self.root: _Node | None = None

    def read(self) -> tuple[Source, list[LdtError]]:
        bad = _FORBIDDEN.search(self.text)
        if bad:
            raise self.stop(f"the character U+{ord(bad[0]):04X} is not allowed", bad.start(), "remove it")
        try:
            for event in yaml.parse(self.text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
                self.take(event)
        except yaml.MarkedYAMLError as exc:
            raise self.syntax(exc) from None
        except (yaml.YAMLError, ValueError, OverflowError) as exc:  # the last two: an escape beyond Unicode
            raise self.stop(str(exc), 0, "remove what YAML does not allow") from None
        spots: dict[KeyPath, Spot] = {}
        tree = _flatten(self.root, (), None, spots) if self.root else None
        return Source(self.name, self.lines, tree, spots), self.errors

    def take(self, event: Any) -> None:
        offset = event.start_mark.index
        if isinstance(event, yaml.DocumentStartEvent):
            if self.root is not None:
                raise self.stop("a second document begins", offset, "write one twin per file, without ---")
        elif isinstance(event, (yaml.SequenceStartEvent, yaml.MappingStartEvent)):
            if self.expects_key():
                raise self.stop(
                    "a key must be text, not a list or a mapping", offset, "put quotes around the key"
                )
            if len(self.open) >= MAX_DEPTH:
                raise self.stop(f"nested deeper than {MAX_DEPTH} levels", offset, "nest fewer levels")
            self.refuse_tag(event.tag, offset)
            value: Any = [] if isinstance(event, yaml.SequenceStartEvent) else {}
            self.open.append(_Open(_Node(offset, value), event.anchor))
        elif isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
            done = self.open.pop()
            self.attach(done.node, done.anchor)
        elif isinstance(event, yaml.AliasEvent):
            self.attach(self.alias(event.anchor, offset), None)
        elif isinstance(event, yaml.ScalarEvent):
            self.refuse_tag(event.tag, offset)
            if _SURROGATE.search(event.value):  # libyaml refuses these escapes by itself
                raise self.stop("half a character is escaped here", offset, "write the character itself")
            if self.expects_key():
                self.take_key(event.value, event.implicit[0], offset)
            else:
                self.attach(_Node(offset, self.scalar(event.value, event.implicit[0], offset)), event.anchor)

    def expects_key(self) -> bool:
        return bool(self.open) and isinstance(self.open[-1].node.value, dict) and self.open[-1].key is None

    def take_key(self, key: str, plain: bool, offset: int) -> None:
        top = self.open[-1]
        top.key = key
        if plain and key == "<<":
            self.refuse(offset, "bad value", "merge keys (<<) are not part of YAML 1.2", "write the keys out")
        if key in top.node.keys:
            first = _place("line", self.lines, top.node.keys[key]).split(":")[1]
            self.refuse(
                offset,
                "duplicate key",
                f"'{key}' stands here twice, first in line {first}",
                "remove one of them",
            )
        else:
            top.node.keys[key] = offset

    def attach(self, node: _Node, anchor: str | None) -> None:
        if anchor is not None:
            self.anchors[anchor] = node
        if not self.open:
            self.root = node
            return
        top = self.open[-1]
        if isinstance(top.node.value, list):
            top.node.value.append(node)
        else:
            top.node.value.setdefault(top.key, node)
            top.key = None
        top.node.add(node)
        if top.node.size > MAX_VALUES or len(self.open) + top.node.height > MAX_DEPTH:
            raise self.stop(
                f"more than {MAX_VALUES} values or {MAX_DEPTH} levels once its aliases (*name) are expanded",
                node.offset,
                "use fewer aliases",
                code="too large",
            )

    def alias(self, anchor: str | None, offset: int) -> _Node:
        if self.expects_key():
            raise self.stop("an alias cannot be a key", offset, "write the key out")
        if any(o.anchor == anchor for o in self.open):
            raise self.stop(f"'*{anchor}' stands inside the value that it names", offset, "remove this alias")
        if anchor is None or anchor not in self.anchors:
            raise self.stop(
                f"no '&{anchor}' stands before this '*{anchor}'", offset, "put quotes around the text"
            )
        return replace(self.anchors[anchor], offset=offset)

    def scalar(self, raw: str, plain: bool, offset: int) -> Any:
        text = _VARIABLE.sub(lambda m: self.variable(m, offset), raw) if "${" in raw else raw
        if not plain or (not text and raw):
            return text
        if text in _WORDS:
            return _WORDS[text]
        try:
            if _INTEGER.fullmatch(text):
                return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
            number = float(text) if _FLOAT.fullmatch(text) else None
        except ValueError:  # more digits than Python reads
            number = math.inf
        if _NOT_FINITE.fullmatch(text) or (number is not None and math.isinf(number)):
            self.refuse(
                offset, "bad value", f"{_short(text)} is not a finite number", "write a finite number"
            )
            return text
        return text if number is None else number

    def variable(self, match: re.Match[str], offset: int) -> str:
        name, default = match["name"], match["default"]
        if match[0] == "$${":
            return "${"
        if name is None:
            self.refuse(
                offset,
                "bad value",
                "this ${...} names no variable",
                "write ${NAME} or ${NAME:-default}, or $${ for a plain ${",
            )
            return match[0]
        value = self.env.get(name)
        if default is not None:
            return value or default[2:]
        if value is None:
            self.refuse(
                offset,
                "variable not set",
                f"the environment variable {name} is not set",
                f"set {name}, or write ${{{name}:-default}}",
            )
            return match[0]
        if _SURROGATE.search(value):
            what = f"the environment variable {name} is not UTF-8"
            self.refuse(offset, "encoding", what, f"set {name} to text in UTF-8")
            return match[0]
        return value

    def refuse_tag(self, tag: str | None, offset: int) -> None:
        if tag is not None:
            short = tag.replace("tag:yaml.org,2002:", "!!")
            self.refuse(
                offset, "bad value", f"the tag {short} is not read here", "remove it; quotes make text"
            )

    def refuse(self, offset: int, code: str, what: str, fix: str) -> None:
        where = _place(self.name, self.lines, offset)
        self.errors.append(TwinFileError(what, code=code, where=where, fix=fix))

    def stop(self, what: str, offset: int, fix: str, code: str = "syntax") -> LdtError:
        offset = min(offset, len(self.text))
        error = _stop(what, _place(self.name, self.lines, offset), fix, code)
        return join([*self.errors, error])

    def syntax(self, exc: yaml.MarkedYAMLError) -> LdtError:
        mark = exc.problem_mark or exc.context_mark
        offset = min(mark.index if mark else 0, len(self.text))
        what = ", ".join(part for part in (exc.context, exc.problem) if part) or "not YAML"
        fix = "check the indentation, brackets and quotes here and on the line before"
        if self.text[max(offset - 1, 0) : offset + 1] == "${":
            fix = 'inside { } or [ ] put quotes around it: "${NAME}"'
        elif self.text[offset : offset + 1] == "\t":
            what, fix = "a tab indents this line", "indent with spaces"
        elif self.text[offset : offset + 1] in ("@", "`", "%"):
            fix = f"put quotes around text that begins with {self.text[offset]}"
        return self.stop(what, offset, fix)


def read_scalar(text: str) -> Any:
    """A value as an unquoted scalar of the twin file would be read: number, truth, nothing, else text."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    return float(text) if _FLOAT.fullmatch(text) and math.isfinite(float(text)) else text


def join(errors: list[LdtError]) -> LdtError:
    """The one error, or all as one."""
    return errors[0] if len(errors) == 1 else ErrorList(errors)


def _flatten(node: _Node, path: KeyPath, key: int | None, spots: dict[KeyPath, Spot]) -> Any:
    spots[path] = Spot(key, node.offset)
    if isinstance(node.value, dict):
        return {k: _flatten(child, (*path, k), node.keys[k], spots) for k, child in node.value.items()}
    if isinstance(node.value, list):
        return [_flatten(child, (*path, i), None, spots) for i, child in enumerate(node.value)]
    return node.value


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."
