"""A key covers every file that a parameter stands for."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

import ldt_core as ldt
from ldt_core.errors import DataError
from ldt_core.tasks import canonical_params


class Listing(ldt.File):
    """A file whose lines name other files beside it."""

    __slots__ = ()

    def files(self) -> tuple[Path, ...]:
        return (self.path, *(self.path.parent / line for line in self.path.read_text().split()))


class Params(ldt.Params):
    listing: Listing
    plain: ldt.File


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "list.txt").write_text("one two")
    for name in ("one", "two", "other"):
        (tmp_path / name).write_text(name)
    return tmp_path


def _change(path: Path) -> None:
    path.write_text(path.read_text() + "!")
    os.utime(path, ns=(1, 1))


def _params(folder: Path) -> Params:
    return Params.model_validate({"listing": "list.txt", "plain": "other"}, context={"base": folder})


@pytest.mark.parametrize("name", ["list.txt", "one", "two", "other"])
def test_a_change_in_any_file_changes_key_and_digest(folder: Path, name: str) -> None:
    params = _params(folder)
    assert type(params.listing) is Listing
    key = canonical_params(params)
    digests = {params.listing.digest(), params.plain.digest()}
    (folder / "three").write_text("not named")
    assert canonical_params(_params(folder)) == key
    (folder / "list.txt").write_text("one two  ") if name == "list.txt" else _change(folder / name)
    assert canonical_params(_params(folder)) != key
    assert {params.listing.digest(), params.plain.digest()} != digests


def test_files_that_change_places_change_the_key(folder: Path) -> None:
    key = canonical_params(_params(folder))
    (folder / "one").write_text("two")
    (folder / "two").write_text("one")
    for name in ("one", "two"):
        os.utime(folder / name, ns=(2, 2))
    assert canonical_params(_params(folder)) != key


def test_another_place_with_the_same_content_has_the_same_key(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    twin = tmp_path_factory.mktemp("twin")
    for path in folder.iterdir():
        (twin / path.name).write_bytes(path.read_bytes())
    assert canonical_params(_params(folder)) == canonical_params(_params(twin))


def test_a_named_file_that_is_missing_is_told(folder: Path) -> None:
    (folder / "two").unlink()
    with pytest.raises(DataError, match="two cannot be read"):
        canonical_params(_params(folder))


def test_a_file_of_another_kind_is_made_the_kind_that_is_asked_for(folder: Path) -> None:
    params = Params(listing=ldt.File("list.txt", folder), plain=ldt.File("other", folder))  # type: ignore[arg-type]
    assert type(params.listing) is Listing
    assert params.listing.path == folder / "list.txt"
    again = pickle.loads(pickle.dumps(params))  # noqa: S301 - our own bytes
    assert (type(again.listing), again.listing.path) == (Listing, folder / "list.txt")
