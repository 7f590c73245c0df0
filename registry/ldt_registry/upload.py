"""How a file is published: RECEIVING, STAGED, VALID, PROMOTED, PUBLISHED; or refused, and nothing of it stays.

Bytes first, rows second: the commit of the last transaction is the only moment of publication, and by then the bytes
survive a crash under their digest. In between, a claim with a lease keeps the collector away. Every rule is asked
twice, before the bytes are kept and again in the last transaction, since rights and rivals change meanwhile.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import secrets
import shutil
import time
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from packaging.utils import canonicalize_version
from sqlalchemy.dialects import postgresql, sqlite

from . import audit, journal
from .blobs import Staged, put
from .catalogue import record_components, refresh_project
from .checkers import Checkers
from .database import locked, now
from .distribution import Distribution
from .multipart import Form
from .names import normalise, skeleton
from .problems import Down, Malformed, NoSpace, TooLarge
from .registry import Registry
from .rights import Owner, settle
from .rules import Standing, ask, refuse_switched_off
from .schema import blob, claim, file, project, release, sbom
from .tokens import Identity, authenticate

ROUNDS = 5


@dataclass(frozen=True)
class Published:
    """``new`` is false where these very bytes stood there already."""

    filename: str
    sha256: str
    new: bool


class _Condemned(Exception):
    """The collector is about to delete these bytes."""


def admit(registry: Registry, header: str | None, length: int | None, network: str = "") -> Identity:
    """Who uploads, before a byte of the body is read. Raises what can be known by then."""
    identity = authenticate(registry, header, network)
    with registry.database.read() as connection:
        refuse_switched_off(connection, "read-only", "no-uploads")
    settings = registry.settings
    if length is not None and length > settings.max_file + settings.max_fields * settings.max_field:
        raise TooLarge(f"The upload is larger than {settings.max_file} bytes.", fix="Make the file smaller.")
    disk = shutil.disk_usage(registry.blobs.staging)
    if disk.free - (length or 0) < max(settings.keep_free, disk.total * settings.keep_free_share):
        raise NoSpace("The disk of this registry is nearly full.", fix="Ask its operator.")
    return identity


def publish(
    registry: Registry, checkers: Checkers, identity: Identity, form: Form, staged: Staged
) -> Published:
    """Publish what was received, or find that it is published already. Returns when it survives a crash."""
    check_form(form)
    check_digests(form, staged)
    staged.finish()
    found = checkers.inspect(staged.path, form.filename)
    check_agreement(form, found)
    upload = _Upload(registry, identity, found, staged)
    for _ in range(ROUNDS):
        answer = upload.claim()
        if answer is None:
            upload.promote()
            answer = upload.commit()
        if answer is not None:
            return answer
    raise Down("The upload did not finish within its lease.", code="lease-lost")


def check_form(form: Form) -> None:
    """What every client sends alike. Raises Malformed."""
    for name, value in ((":action", "file_upload"), ("protocol_version", "1")):
        if form.one(name) != value:
            raise Malformed(
                f"The field {name!r} is {form.one(name)!r}, not {value!r}.",
                fix="Upload with a current client.",
            )
    for name in ("name", "version", "filetype", "metadata_version"):
        if form.one(name) is None:
            raise Malformed(f"The field {name!r} is missing.", fix="Upload with a current client.")


def check_digests(form: Form, staged: Staged) -> None:
    """Every digest that was sent is that of the bytes that came, and one was sent. Raises Malformed."""
    counted = {
        "sha256_digest": staged.sha256.hexdigest(),
        "blake2_256_digest": staged.blake2_256.hexdigest(),
        "md5_digest": staged.md5.hexdigest(),
    }
    sent = {name: said for name in counted if (said := form.one(name)) is not None}
    if not sent:
        raise Malformed(
            "No digest of the file was sent.", fix=f"Send one of {', '.join(counted)}, in hexadecimal."
        )
    for name, said in sent.items():
        if not hmac.compare_digest(said.lower().encode(), counted[name].encode()):
            raise Malformed(
                f"The bytes that came are not those of the {name} that was sent.", fix="Send the file again."
            )


def check_agreement(form: Form, found: Distribution) -> None:
    """The form says what the file is. Raises Malformed; the file is the truth."""
    pairs = (
        ("name", normalise(form.one("name") or ""), found.norm_name),
        ("version", canonicalize_version(form.one("version") or ""), found.canonical),
        ("filetype", form.one("filetype"), found.filetype),
    )
    for name, said, truth in pairs:
        if said != truth:
            raise Malformed(
                f"The form says {name} {form.one(name)!r}, the file itself {truth!r}.",
                fix="Build it again, and let the client fill in the form.",
            )


class _Upload:
    """One file on its way from staged to published."""

    def __init__(self, registry: Registry, identity: Identity, found: Distribution, staged: Staged) -> None:
        self._registry = registry
        self._identity = identity
        self._found = found
        self._staged = staged
        self._sha256 = staged.sha256.hexdigest()
        self._blobs = {self._sha256: staged.size}
        self._metadata = found.metadata if found.filetype == "bdist_wheel" else None
        self._bill = next((b.encode() for b in found.sboms.values()), None)
        self._beside = [b for b in (self._metadata, self._bill) if b is not None]
        self._blobs |= {_digest(b): len(b) for b in self._beside}
        self._id = ""

    def claim(self) -> Published | None:
        """Ask every rule, and claim the bytes until the lease ends; or find that all is done."""
        self._id = secrets.token_hex(16)
        patience = time.monotonic() + self._registry.settings.wait
        while True:
            try:
                with self._registry.database.write() as connection:
                    standing = self._ask(connection)
                    if not standing.published:
                        self._insert_claims(connection)
                        return None
                self._mend()
                return Published(self._found.filename, self._sha256, new=False)
            except _Condemned:
                if time.monotonic() > patience:
                    raise Down("These bytes are being deleted.", code="blob-condemned") from None
                time.sleep(0.05)

    def _mend(self) -> None:
        """Bytes of a published file that were lost come back with whoever sends them again."""
        blobs = self._registry.blobs
        if blobs.size(self._sha256) != self._staged.size:
            blobs.promote(self._staged)
        for content in self._beside:
            if blobs.size(_digest(content)) != len(content):
                put(blobs, content)

    def promote(self) -> None:
        """Keep the bytes under their digests; after this they survive a crash."""
        blobs = self._registry.blobs
        try:
            if self._staged.path.exists():
                blobs.promote(self._staged)
            elif (
                blobs.size(self._sha256) != self._staged.size
            ):  # an earlier round moved them, and lost its lease
                raise Down("The upload took longer than its lease.", code="lease-lost")
            for content in self._beside:
                put(blobs, content)
        except BaseException:
            self._release()
            raise

    def commit(self) -> Published | None:
        """Publish, if the claims still hold; None where they do not."""
        try:
            with self._registry.database.write() as connection:
                # One publication at a time: rivals for a name or a file find each other's rows.
                journal.hold(connection)
                mine = sa.select(sa.func.count()).where(
                    claim.c.upload == self._id, claim.c.lease_until > now(connection)
                )
                if connection.scalar(mine) != len(self._blobs):
                    return None
                standing = self._ask(connection)
                if not standing.published:
                    self._insert_rows(connection, standing)
                connection.execute(sa.delete(claim).where(claim.c.upload == self._id))
                return Published(self._found.filename, self._sha256, new=not standing.published)
        except BaseException:
            self._release()
            raise

    def _ask(self, connection: sa.Connection) -> Standing:
        return ask(self._registry, connection, self._identity, self._found, self._sha256, self._staged.size)

    def _insert_claims(self, connection: sa.Connection) -> None:
        at = now(connection)
        insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
        for sha256, size in sorted(self._blobs.items()):  # in one order, so that rivals cannot deadlock
            row = insert(blob).values(sha256=sha256, size=size, state="pending", touched=at)
            connection.execute(row.on_conflict_do_nothing())
            state = connection.scalar(
                locked(connection, sa.select(blob.c.state).where(blob.c.sha256 == sha256))
            )
            if state not in ("pending", "live"):  # condemned, or gone since the line above found it there
                raise _Condemned
            connection.execute(
                sa.insert(claim).values(
                    upload=self._id, sha256=sha256, lease_until=at + self._registry.settings.lease
                )
            )

    def _hold_blobs(self, connection: sa.Connection) -> None:
        """In the order of ``_insert_claims``, and before a row that refers to one is made."""
        mine = sa.select(blob.c.sha256).where(blob.c.sha256.in_(self._blobs)).order_by(blob.c.sha256)
        connection.execute(locked(connection, mine)).all()

    def _insert_rows(self, connection: sa.Connection, standing: Standing) -> None:
        found, actor, at = self._found, self._identity.actor, now(connection)
        self._hold_blobs(connection)
        project_id = self._make_project(connection, standing.project)
        release_id = standing.release.id if standing.release is not None else None
        if release_id is None:
            release_id = _insert(
                connection,
                release,
                project_id=project_id,
                version=found.version,
                canonical=found.canonical,
                created_at=at,
                published_at=at,
                summary=found.summary,
                core_metadata=found.core_metadata,
            )
        file_id = _insert(
            connection,
            file,
            project_id=project_id,
            release_id=release_id,
            filename=found.filename,
            sha256=self._sha256,
            blake2_256=self._staged.blake2_256.hexdigest(),
            metadata_sha256=None if self._metadata is None else _digest(self._metadata),
            size=self._staged.size,
            filetype=found.filetype,
            tags=list(found.tags),
            requires_python=found.requires_python,
            uploaded_by=actor,
            uploaded_at=at,
        )
        connection.execute(
            sa.update(project)
            .where(project.c.id == project_id)
            .values(size=project.c.size + self._staged.size)
        )
        connection.execute(
            sa.update(blob).where(blob.c.sha256.in_(self._blobs)).values(state="live", touched=at)
        )
        if self._bill is not None:
            connection.execute(
                sa.insert(sbom).values(file_id=file_id, sha256=_digest(self._bill), origin="kept")
            )
        record_components(connection, project_id, release_id, found)
        refresh_project(connection, project_id)
        said = {"filename": found.filename, "sha256": self._sha256, "version": found.version}
        audit.record(connection, actor, "file-published", found.norm_name, **said)
        journal.append(connection, "file-published", actor, project_id=project_id, **said)

    def _make_project(self, connection: sa.Connection, owned: sa.Row[Any] | Owner) -> int:
        if not isinstance(owned, Owner):
            return int(owned.id)
        name = self._found.norm_name
        audit.record(connection, self._identity.actor, "project-made", name)
        made = _insert(
            connection,
            project,
            name=self._found.name,
            norm_name=name,
            skeleton=skeleton(name),
            org_id=owned.org_id,
            account_id=owned.account_id,
            created_at=now(connection),
        )
        settle(self._registry, connection, self._identity, name, made)
        return made

    def _release(self) -> None:
        """Let go of the claims; where that fails, their lease ends by itself."""
        with contextlib.suppress(Exception), self._registry.database.write() as connection:
            journal.hold(connection)  # the collector removes claims, too, in an order of its own
            connection.execute(sa.delete(claim).where(claim.c.upload == self._id))


def _insert(connection: sa.Connection, table: sa.Table, **values: Any) -> int:
    key = connection.execute(sa.insert(table).values(**values)).inserted_primary_key
    assert key is not None
    return int(key[0])


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
