"""Collecting deletes what nobody uses and nothing else; checking finds all that is wrong; a backup comes back whole."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from filling import THEN, add_blob, add_file
from ldt_registry import audit, journal, migrations, schema
from ldt_registry.blobs import FileBlobs, get, put
from ldt_registry.commands import registry as command
from ldt_registry.database import now
from ldt_registry.keeping import backup
from ldt_registry.keeping.fsck import check, repair
from ldt_registry.keeping.gc import collect, references
from ldt_registry.problems import Misconfigured
from ldt_registry.registry import Registry
from ldt_registry.settings import Settings

# -- collecting --------------------------------------------------------------------------------


def test_every_table_that_names_bytes_keeps_them() -> None:
    named = {f"{c.table.name}.{c.name}" for c in references()}
    assert {"file.sha256", "file.metadata_sha256", "sbom.sha256", "certificate.bundle_sha256"} <= named
    assert "claim.sha256" not in named


def test_used_claimed_and_new_bytes_stay_the_rest_goes(registry: Registry) -> None:
    used = add_file(registry, "demo", b"used")
    claimed, unused, pending = (add_blob(registry, b) for b in (b"claimed", b"unused", b"pending"))
    with registry.database.write() as connection:
        at = now(connection)
        touch = sa.update(schema.blob).where(schema.blob.c.sha256 == pending)
        connection.execute(touch.values(state="pending"))
        held = {"upload": "u", "sha256": claimed, "lease_until": at + timedelta(minutes=1)}
        connection.execute(sa.insert(schema.claim).values(**held))
    fresh = add_blob(registry, b"fresh", touched=at)
    found = collect(registry)
    assert (found.blobs, found.size, found.claims) == (2, len(b"unused") + len(b"pending"), 0)
    assert set(registry.blobs.names()) == {used, claimed, fresh}
    assert registry.blobs.size(unused) is None
    assert not [f for f in check(registry) if not f.harmless]


def test_a_claim_whose_lease_has_ended_holds_nothing(registry: Registry) -> None:
    left = add_blob(registry, b"left by a killed upload", state="pending")
    with registry.database.write() as connection:
        connection.execute(sa.insert(schema.claim).values(upload="u", sha256=left, lease_until=THEN))
    assert collect(registry)[:1] == (1,)
    assert list(registry.blobs.names()) == []


def test_collecting_that_was_killed_halfway_is_finished_by_the_next(registry: Registry) -> None:
    left = add_blob(registry, b"condemned, bytes there", state="condemned")
    gone = add_blob(registry, b"condemned, bytes gone", state="condemned")
    registry.blobs.delete(gone)
    assert collect(registry).blobs == 2
    assert registry.blobs.size(left) is None
    with registry.database.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(schema.blob)) == 0


# -- checking ----------------------------------------------------------------------------------


def _kinds(registry: Registry, **how: bool) -> list[str]:
    return sorted(f.kind for f in check(registry, **how))


def test_a_registry_in_order_has_no_findings(registry: Registry) -> None:
    add_file(registry, "demo", b"content")
    assert check(registry) == []


@pytest.mark.parametrize(
    ("harm", "quick", "kinds"),
    [
        (b"", True, ["bytes-damaged"]),
        (b"contenX", False, ["bytes-damaged"]),
        (b"contenX", True, []),  # of the same size: only reading shows it
        (None, True, ["bytes-missing"]),
    ],
)
def test_damaged_and_missing_bytes_are_found(
    registry: Registry, harm: bytes | None, quick: bool, kinds: list[str]
) -> None:
    path = registry.blobs.path(add_file(registry, "demo", b"content"))
    assert path is not None
    if harm is None:
        path.unlink()
    else:
        path.write_bytes(harm)
    assert _kinds(registry, quick=quick) == kinds


def test_unknown_bytes_are_taken_up_and_collected(registry: Registry) -> None:
    put(registry.blobs, b"nobody knows me")
    findings = check(registry)
    assert [f.kind for f in findings] == ["unknown-bytes"]
    assert repair(registry, findings) == 1
    assert collect(registry).blobs == 0  # it is young
    assert collect(registry, unused=timedelta(0)).blobs == 1
    assert check(registry) == []


@pytest.mark.parametrize(
    ("order", "kinds"),
    [
        ("UPDATE project SET size = 1", ["project-size"]),
        ("UPDATE project SET serial = 99", ["serial-ahead"]),
        ("UPDATE head SET serial = 99", ["journal-gap"]),
        ("UPDATE head SET audit_id = 99", ["audit-broken"]),
        ("UPDATE file SET size = 1", ["file-without-blob", "project-size"]),
        ("UPDATE blob SET state = 'condemned'", ["file-without-blob"]),
    ],
)
def test_rows_that_disagree_are_found(registry: Registry, order: str, kinds: list[str]) -> None:
    add_file(registry, "demo", b"content")
    with registry.database.write() as connection:
        connection.exec_driver_sql(order)
    assert _kinds(registry) == kinds


def test_the_command_says_what_is_wrong_and_exits_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = ["--home", str(tmp_path)]
    assert command(["init", *home]) == 0
    registry = Registry.open(Settings.load(home=tmp_path))
    name = add_file(registry, "demo", b"content")
    assert command(["fsck", *home]) == 0
    registry.blobs.delete(name)
    registry.close()
    capsys.readouterr()
    assert command(["fsck", *home, "--json"]) == 1
    finding, summary = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (finding["kind"], finding["subject"], summary["wrong"]) == ("bytes-missing", name, 1)
    assert command(["audit", "verify", *home]) == 0
    assert command(["gc", *home]) == 0
    assert command(["fsck", "--home", str(tmp_path / "none")]) == 1
    assert "ldt registry init" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


# -- backup and restore ------------------------------------------------------------------------


def _content(registry: Registry) -> dict[str, list[Any]]:
    """All rows of all tables but the head, the journal of the restore and passing things."""
    with registry.database.read() as connection:
        return {
            t.name: sorted(map(repr, connection.execute(sa.select(t)).all()))
            for t in schema.metadata.sorted_tables
            if t.name not in ("head", "audit", *backup.LEFT_OUT)
        }


@pytest.fixture
def full(registry: Registry) -> Registry:
    for number in range(3):
        add_file(registry, f"demo-{number}", b"content %d" % number)
    with registry.database.write() as connection:
        meta = {"role": "root", "version": 1, "content": b"\x00\xff{}", "signed_at": THEN, "not_after": THEN}
        connection.execute(sa.insert(schema.tuf_meta).values(**meta))
        connection.execute(
            sa.insert(schema.flag).values(name="read-only", on=False, reason="é\n", since=THEN)
        )
    return registry


@pytest.mark.parametrize("into", ["sqlite", "postgresql"])
def test_a_backup_comes_back_whole_in_either_database(
    full: Registry, into: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    saved = backup.backup(full, tmp_path / "saved")
    assert (saved.blobs, saved.copied) == (3, 3)
    assert backup.verify(tmp_path / "saved") == 3
    url = request.getfixturevalue("postgresql").new_database() if into == "postgresql" else None
    other = Registry.open(Settings.load(home=tmp_path / "other", database=url))
    migrations.move(other.database)  # a restore that was killed before the rows came
    found = backup.restore(other, tmp_path / "saved")
    assert _content(other) == _content(full)
    assert check(other) == []
    assert found.epoch != saved.epoch
    with other.database.read() as connection:
        assert journal.read_head(connection) == (found.epoch, saved.serial)
        assert audit.verify(connection) is None
    add_file(other, "new", b"after the restore")  # counters go on above the rows that came
    with pytest.raises(Misconfigured, match="not empty"):
        backup.restore(other, tmp_path / "saved")
    other.close()


def test_a_second_backup_copies_only_what_is_new_and_the_first_stays_until_it_is_done(
    full: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.backup(full, tmp_path)
    first = (tmp_path / backup.FILE).read_text(encoding="utf-8")
    add_file(full, "more", b"more")

    def die(*_: object) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(backup, "copy_blob", die)
        with pytest.raises(KeyboardInterrupt):
            backup.backup(full, tmp_path)
    assert (tmp_path / backup.FILE).read_text(encoding="utf-8") == first
    assert backup.verify(tmp_path) == 3
    saved = backup.backup(full, tmp_path)
    assert (saved.blobs, saved.copied) == (4, 1)
    assert len(list(tmp_path.glob("tables-*"))) == 1
    with full.database.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(schema.claim)) == 0


def test_a_damaged_backup_is_refused(full: Registry, tmp_path: Path) -> None:
    backup.backup(full, tmp_path / "saved")
    other = Registry.open(Settings.load(home=tmp_path / "other"))
    table = next((tmp_path / "saved").glob("tables-*/file.jsonl"))
    good = table.read_bytes()
    table.write_bytes(good.replace(b"demo-1", b"demo-9"))
    with pytest.raises(Misconfigured, match="table file is damaged"):
        backup.restore(other, tmp_path / "saved")
    table.write_bytes(good)
    store = FileBlobs(tmp_path / "saved")
    damaged = store.path(next(store.names()))
    assert damaged is not None
    damaged.write_bytes(b"x")
    for call in (
        lambda: backup.restore(other, tmp_path / "saved"),
        lambda: backup.verify(tmp_path / "saved"),
    ):
        with pytest.raises(Misconfigured, match="damaged"):
            call()
    with pytest.raises(Misconfigured, match="no finished backup"):
        backup.restore(other, tmp_path / "nothing")
    other.close()


def test_lost_bytes_come_back_from_a_backup(full: Registry, tmp_path: Path) -> None:
    backup.backup(full, tmp_path)
    name = next(full.blobs.names())
    content = get(full.blobs, name)
    full.blobs.delete(name)
    assert backup.restore_bytes(full, tmp_path) == 1
    assert get(full.blobs, name) == content
    assert check(full) == []
