"""Bytes in a bucket. Needs the extra ``s3``.

There is no rename: an object is put under its name at once, and read back before it counts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from .blobs import CHUNK, NAME, Staged, checked, digest, told
from .problems import Down, Misconfigured
from .settings import Settings

try:
    import obstore
    from obstore.exceptions import BaseError, NotFoundError
    from obstore.store import S3Store
except ImportError as exc:
    raise Misconfigured("the package obstore is not installed", fix="pip install 'ldt-registry[s3]'") from exc

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

# Short: an upload that cannot be stored is better refused and repeated than kept waiting.
RETRY: RetryConfig = {"max_retries": 2, "retry_timeout": timedelta(seconds=10)}
NONE = (NotFoundError, FileNotFoundError)


class S3Blobs:
    """Objects named by their SHA-256, under the prefix of the store."""

    def __init__(self, store: S3Store, home: Path) -> None:
        self.store, self.staging = store, home / "staging"
        self.staging.mkdir(parents=True, exist_ok=True)

    def stage(self) -> Staged:
        return Staged(self.staging)

    def promote(self, staged: Staged) -> str:
        staged.finish()
        name = staged.sha256.hexdigest()
        with _told():
            obstore.put(self.store, name, staged.path)
            if digest(self, name) != name:  # servers were seen that accept a wrong checksum
                raise Down("the storage changed the bytes that were stored", code="storage-damaged")
        return name

    def size(self, name: str) -> int | None:
        with _told():
            try:
                return int(obstore.head(self.store, checked(name))["size"])
            except NONE:
                return None

    def read(self, name: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        with _told():
            if (start, end) != (0, None):
                stop = end if end is not None else int(obstore.head(self.store, checked(name))["size"])
                if stop > start:
                    yield bytes(obstore.get_range(self.store, checked(name), start=start, end=stop))
                return
            for piece in obstore.get(self.store, checked(name)).stream(CHUNK):
                yield bytes(piece)

    def path(self, name: str) -> Path | None:
        return None

    def delete(self, name: str) -> None:
        with _told(), contextlib.suppress(*NONE):
            obstore.delete(self.store, checked(name))

    def names(self) -> Iterator[str]:
        with _told():
            for batch in obstore.list(self.store):
                yield from (m["path"] for m in batch if NAME.fullmatch(m["path"]))


def open_s3(settings: Settings) -> S3Blobs:
    """The bucket that the settings name; keys that they do not name are taken from the environment, as Amazon's tools do."""
    address = settings.blobs or ""
    if not address.startswith("s3://") or not address.removeprefix("s3://").strip("/"):
        raise Misconfigured(f"{address!r} names no bucket", fix="Write s3://BUCKET or s3://BUCKET/PREFIX.")
    said = {"region": settings.s3_region, "endpoint": settings.s3_endpoint}
    for name, secret in (
        ("access_key_id", settings.s3_access_key),
        ("secret_access_key", settings.s3_secret_key),
    ):
        said[name] = secret.get_secret_value() if secret is not None else None
    client: ClientConfig = {
        "connect_timeout": timedelta(seconds=2),
        "read_timeout": timedelta(seconds=15),
        "timeout": timedelta(minutes=10),
        "allow_http": (settings.s3_endpoint or "").startswith("http://"),
    }
    store = S3Store.from_url(
        address,
        config={k: v for k, v in said.items() if v is not None},  # type: ignore[arg-type]
        client_options=client,
        retry_config=RETRY,
    )
    return S3Blobs(store, settings.home)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    with told():
        try:
            yield
        except NONE as error:
            raise Down("bytes that should be kept are not in the storage", code="storage-damaged") from error
        except BaseError as error:
            raise Down("the storage does not answer", code="storage-down") from error
