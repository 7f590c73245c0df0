"""A simulator's class, from a package or from a file; what foreign code raises, in the contract's words; states that are sealed."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ldt_core as ldt

_MARK = b"ldt-mosaik-state 1\n"


def load_class(path: str, file: Path | None) -> Any:
    """The class at ``package.module:Class``, or of this name in ``file``. Raises ``ParamError``, ``NotFound``."""
    module, _, name = path.rpartition(":")
    if bool(module) == (file is not None):
        raise ldt.ParamError(
            f"simulator: '{path}' does not say where the class is",
            code="no simulator",
            fix="write package.module:Class; or the name of the class alone, and its Python file under file:",
        )
    try:
        kind = getattr(importlib.import_module(module) if file is None else _of_file(file), name)
    except ldt.LdtError:
        raise
    except Exception as exc:  # whatever a module does when it is imported
        raise ldt.ParamError(
            f"the simulator '{path}' cannot be imported: {exc}",
            code="no simulator",
            fix="name a class of a package that is installed in this environment, or of a file that Python can read",
        ) from exc
    missing = [m for m in ("init", "create", "step", "get_data") if not hasattr(kind, m)]
    if missing:
        raise ldt.ParamError(
            f"'{path}' has no {', '.join(missing)}",
            code="no simulator",
            fix="name a subclass of mosaik_api_v3.Simulator",
        )
    return kind


def _of_file(file: Path) -> Any:
    """The module of a file, named by its content, so that a saved state finds its class in any process."""
    if not file.is_file():
        raise ldt.NotFound(f"the simulator's file {file} is not there", fix="correct file:")
    name = f"ldt_mosaik_{hashlib.sha256(file.read_bytes()).hexdigest()[:16]}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


class Refused(Exception):
    """A simulator in another process raised something: it is as if it had raised it here."""


@contextlib.contextmanager
def understood(what: str, kind: type[ldt.LdtError], fix: str) -> Iterator[None]:
    """What the simulator raises, as an error of ``kind`` that tells it."""
    try:
        yield
    except (ldt.LdtError, RuntimeError):  # a word of ours already, or a rule of mosaik that was broken
        raise
    except Exception as exc:
        said = str(exc) if isinstance(exc, Refused) else f"{type(exc).__name__}: {exc!s:.300}"
        raise kind(f"the simulator {what}: {said}", code="refused by the simulator", fix=fix) from exc


def seal(body: bytes, kind: type) -> bytes:
    """``body`` behind a mark and a digest, so that torn and foreign bytes are never unpickled."""
    return _MARK + _digest(body, kind) + body


def unseal(state: bytes, kind: type) -> bytes:
    """Raises ``InputError`` for bytes that are no state of a simulator of this class."""
    mark, body = state[: len(_MARK) + 32], state[len(_MARK) + 32 :]
    if mark != _MARK + _digest(body, kind):
        raise ldt.InputError(f"this is no state of '{kind.__name__}'", code="state", fix="run from the start")
    return body


def _digest(body: bytes, kind: type) -> bytes:
    return hashlib.sha256(f"{kind.__module__}:{kind.__qualname__}\0".encode() + body).digest()
