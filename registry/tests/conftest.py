"""A real PostgreSQL, a real S3 server, registries on both databases; all on loopback, started by the tests that ask."""

from __future__ import annotations

import os
import shutil
import ssl
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from ldt_registry.checkers import Checkers
from ldt_registry.registry import Registry, initialise
from ldt_registry.settings import Settings
from servers import Postgresql, S3Server, Served

# Wall time is never asserted: the first example often pays for an import.
hypothesis.settings.register_profile("ldt", deadline=None)
hypothesis.settings.load_profile("ldt")


@pytest.fixture(autouse=True)
def _settings_of_the_test_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in os.environ if n.startswith("LDT_REGISTRY_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgresql]:
    """A PostgreSQL server; ``new_database()`` gives an empty database."""
    with Postgresql() as server:
        yield server


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """An S3 server; ``new_bucket()`` gives settings of an empty bucket."""
    with S3Server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> str:
    """Every test that asks for this runs on both."""
    return str(request.param)


@pytest.fixture
def new_database(request: pytest.FixtureRequest) -> Iterator[Callable[..., str]]:
    """Databases of one test; they are dropped after it."""
    made: list[str] = []

    def make(template: str = "template0") -> str:
        made.append(request.getfixturevalue("postgresql").new_database(template))
        return made[-1]

    yield make
    for url in made:
        request.getfixturevalue("postgresql").drop(url)


@pytest.fixture
def home() -> Iterator[Path]:
    """Where a registry is to be made; in memory where that is possible, since a registry waits for its disk all the time."""
    memory = Path("/dev/shm")  # noqa: S108
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder) / "home"


def _settings(home: Path, url: str | None) -> Settings:
    return Settings.load(home=home, database=url, port=0, keep_free=0, keep_free_share=0.0)


@pytest.fixture
def settings(home: Path, database: str, new_database: Callable[..., str]) -> Settings:
    """Of an empty registry, whose database has no tables yet."""
    return _settings(home, new_database() if database == "postgresql" else None)


@pytest.fixture(scope="session")
def _made() -> dict[str, str]:
    """The initialised database of each kind, to be copied: migrating each time would take long."""
    return {}


@pytest.fixture
def registry(
    home: Path,
    database: str,
    _made: dict[str, str],
    new_database: Callable[..., str],
    request: pytest.FixtureRequest,
) -> Iterator[Registry]:
    """An empty registry, ready."""
    if database not in _made:
        url = request.getfixturevalue("postgresql").new_database() if database == "postgresql" else None
        made = Registry.open(_settings(request.getfixturevalue("tmp_path_factory").mktemp("made"), url))
        initialise(made)
        made.close()
        _made[database] = made.database.url.database or ""
    if database == "sqlite":
        home.mkdir()
        shutil.copyfile(_made[database], home / "registry.db")
        opened = Registry.open(_settings(home, None))
    else:
        opened = Registry.open(_settings(home, new_database(template=_made[database])))
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def checkers() -> Iterator[Checkers]:
    """The processes that read uploaded archives, shared: they keep nothing of one upload for the next."""
    made = Checkers()
    yield made
    made.close()


@pytest.fixture
def serve(checkers: Checkers) -> Iterator[Callable[[Registry], Served]]:
    """Serve a registry from this process until the test ends."""
    running: list[Served] = []

    def start(registry: Registry) -> Served:
        running.append(Served(registry, checkers))
        return running[-1]

    yield start
    for one in running:
        one.close()


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A certificate authority that this process trusts: `ca.pem`, and `localhost.pem` with the key of localhost."""
    import trustme

    made = trustme.CA()
    made.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    made.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "localhost.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return tmp_path


@pytest.fixture
def certificate(authority: Path) -> ssl.SSLContext:
    """Of localhost, for a server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "localhost.pem")
    return context


@pytest.fixture
def long_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of years: none ends while a test counts."""
    import dataclasses
    from datetime import timedelta

    from ldt_registry import rights, sessions, tokens

    for module, name in (
        (tokens, "TOKENS_OF_NETWORK"),
        (sessions, "LOGINS_OF_ACCOUNT"),
        (sessions, "LOGINS_OF_NETWORK"),
    ):
        longer = dataclasses.replace(getattr(module, name), window=timedelta(days=3650))
        monkeypatch.setattr(module, name, longer)
    monkeypatch.setattr(rights, "PER_HOUR", timedelta(days=3650))
