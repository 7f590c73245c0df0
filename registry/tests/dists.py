"""Distributions for tests, made from nothing, and the form that clients send them in."""

from __future__ import annotations

import base64
import hashlib
import io
import secrets
import tarfile
import zipfile
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from ldt_registry import schema, tokens
from ldt_registry.checkers import Checkers
from ldt_registry.database import now
from ldt_registry.multipart import Form
from ldt_registry.registry import Registry
from ldt_registry.upload import Published, publish


def make_wheel(
    name: str = "heat-load",
    version: str = "1.0",
    *,
    body: str = "",
    tag: str = "py3-none-any",
    needs: str = "",
) -> tuple[str, bytes]:
    """(filename, bytes) of a wheel with one module, METADATA, WHEEL and a true RECORD."""
    stem = name.replace("-", "_")
    info = f"{stem}-{version}.dist-info"
    members = {
        f"{stem}/__init__.py": f'"""A package."""\n{body}\n'.encode(),
        f"{info}/METADATA": metadata(name, version, needs),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n".encode(),
    }
    record = "".join(
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}\n"
        for path, data in members.items()
    )
    members[f"{info}/RECORD"] = (record + f"{info}/RECORD,,\n").encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in members.items():
            archive.writestr(zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
    return f"{stem}-{version}-{tag}.whl", buffer.getvalue()


def make_sdist(name: str = "heat-load", version: str = "1.0") -> tuple[str, bytes]:
    stem = f"{name.replace('-', '_')}-{version}"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        data = metadata(name, version)
        member = tarfile.TarInfo(f"{stem}/PKG-INFO")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return f"{stem}.tar.gz", buffer.getvalue()


def metadata(name: str, version: str, needs: str = "") -> bytes:
    return (
        f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\nSummary: Degrees above comfort\n"
        "Requires-Python: >=3.11\nLicense-Expression: Apache-2.0\n"
        + (f"Requires-Dist: {needs}\n" if needs else "")
    ).encode()


def fields(filename: str, content: bytes, name: str = "heat-load", version: str = "1.0") -> dict[str, Any]:
    """The form that goes with a file."""
    wheel = filename.endswith(".whl")
    return {
        ":action": "file_upload",
        "protocol_version": "1",
        "metadata_version": "2.4",
        "name": name,
        "version": version,
        "filetype": "bdist_wheel" if wheel else "sdist",
        "pyversion": "py3" if wheel else "source",
        "sha256_digest": hashlib.sha256(content).hexdigest(),
        "classifiers": ["Typing :: Typed", "Topic :: Scientific/Engineering"],
    }


def make_account(registry: Registry, name: str = "", *, role: str = "user") -> int:
    with registry.database.write() as connection:
        row = sa.insert(schema.account).values(
            name=name or f"a-{secrets.token_hex(4)}", role=role, created_at=now(connection)
        )
        key = connection.execute(row).inserted_primary_key
        assert key is not None
        return int(key[0])


def make_token(registry: Registry, account_id: int | None = None, *scopes: str, days: float = 1) -> str:
    """A token of an account, a new one where none is named; it may upload and yank, or what is said."""
    account_id = account_id if account_id is not None else make_account(registry)
    with registry.database.write() as connection:
        return tokens.mint(
            connection,
            scopes=list(scopes or ("upload", "yank")),
            until=now(connection) + timedelta(days=days),
            account_id=account_id,
        )


def put(
    registry: Registry, checkers: Checkers, identity: tokens.Identity, file: tuple[str, bytes], **said: str
) -> Published:
    """Upload a file without a server between."""
    filename, content = file
    form = fields(filename, content, **said)
    with registry.blobs.stage() as staged:
        staged.write(content)
        sent = Form({k: v if isinstance(v, list) else [v] for k, v in form.items()}, filename)
        return publish(registry, checkers, identity, sent, staged)
