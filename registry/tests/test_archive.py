"""Archives of an attacker: each is refused for its own reason, and the honest one beside it passes."""

from __future__ import annotations

import io
import struct
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable

import forge
import pytest
from forge import DATA, FILENAME, FOLDER, INFO, LINK, PACKAGE, PIPE, Entry
from hypothesis import given, settings
from hypothesis import strategies as st
from ldt_registry.archive import Limits, open_archive
from ldt_registry.distribution import Distribution, inspect_stream
from ldt_registry.problems import Malformed, Problem, Refused

AMBIGUOUS, DAMAGED, MEMBER = "ambiguous-archive", "damaged-archive", "member-name"
GOOD = forge.wheel()


def inspect(content: bytes, filename: str = FILENAME, limits: Limits | None = None) -> Distribution:
    return inspect_stream(io.BytesIO(content), filename, limits)


def with_entry(*extra: Entry, **said: object) -> bytes:
    """The good wheel with further members before RECORD, which does not list them: the archive is refused first."""
    good = forge.entries(forge.members())
    return forge.zipped([*good[:-1], *extra, good[-1]], **said)  # type: ignore[arg-type]


def with_file(name: str, content: bytes = b"x") -> bytes:
    return forge.wheel(forge.members(**{name: content}))


def changed(index: int = 0, **fields: object) -> bytes:
    """The good wheel with one member's fields set."""
    good = forge.entries(forge.members())
    for name, value in fields.items():
        setattr(good[index], name, value)
    return forge.zipped(good)


def unicode_path(name: bytes) -> bytes:
    body = b"\x01" + struct.pack("<I", 0) + name
    return struct.pack("<2H", 0x7075, len(body)) + body


INIT = f"{PACKAGE}/__init__.py".encode()
BOMB = bytes(64 * 2**20)

# what is done -> (the wheel, the code of its refusal)
CORPUS: dict[str, tuple[Callable[[], bytes], str]] = {
    # 1: paths that lead elsewhere
    "up": (lambda: with_file("../evil.py"), MEMBER),
    "up from within": (lambda: with_file(f"{PACKAGE}/../../evil.py"), MEMBER),
    "absolute": (lambda: with_file("/etc/cron.d/evil"), MEMBER),
    "drive": (lambda: with_file("C:/evil.py"), MEMBER),
    "stream of a file": (lambda: with_file(f"{PACKAGE}/a.py:evil"), MEMBER),
    "backslash": (lambda: with_file("..\\evil.py"), MEMBER),
    "NUL": (lambda: with_file(f"{PACKAGE}/a.py\0.txt"), MEMBER),
    "line end": (lambda: with_file(f"{PACKAGE}/a\n.py"), MEMBER),
    "here": (lambda: with_file(f"{PACKAGE}/./a.py"), MEMBER),
    "empty part": (lambda: with_file(f"{PACKAGE}//a.py"), MEMBER),
    "device": (lambda: with_file(f"{PACKAGE}/aux.py"), MEMBER),
    "dot at the end": (lambda: with_file(f"{PACKAGE}/a.py."), MEMBER),
    "right to left": (lambda: with_file(f"{PACKAGE}/a\u202eyp.txt"), MEMBER),
    "not composed": (lambda: with_file(f"{PACKAGE}/e\u0301.py"), MEMBER),
    "no name": (lambda: with_entry(Entry(b"")), MEMBER),
    "long name": (lambda: with_file(f"{PACKAGE}/{'a' * 600}.py"), MEMBER),
    "program of another": (lambda: with_file(f"{DATA}/data/bin/pip"), "bad-layout"),
    "packages of another": (lambda: with_file(f"{DATA}/data/lib/python3.11/site-packages/x.py"), "bad-layout"),
    "data of another": (lambda: with_file("other-1.0.data/purelib/x.py"), "bad-layout"),
    "undeclared program": (lambda: with_file(f"{DATA}/scripts/pip"), "undeclared-script"),
    "no package": (lambda: with_file("a-b/x.py"), "bad-layout"),
    "package of another": (lambda: with_file("numpy/__init__.py"), "foreign-package"),
    "module of Python": (lambda: with_file("json/__init__.py"), "foreign-package"),
    "command that leads up": (
        lambda: with_file(f"{INFO}/entry_points.txt", b"[console_scripts]\n../../evil = heat_load:main\n"),
        "bad-entry-points",
    ),
    # 2: what is no file
    "link": (lambda: with_entry(Entry(INIT + b"x", b"/etc/passwd", LINK)), "not-a-file"),
    "pipe": (lambda: with_entry(Entry(INIT + b"x", b"", PIPE)), "not-a-file"),
    "folder by mode": (lambda: with_entry(Entry(INIT + b"x", b"", FOLDER)), "not-a-file"),
    "folder by mark": (lambda: with_entry(Entry(INIT + b"x", b"", 0x10)), AMBIGUOUS),
    "folder with content": (lambda: with_entry(Entry(b"heat_load/", b"x" * 9, FOLDER)), AMBIGUOUS),
    # 3: bombs and lies about sizes
    "bomb": (lambda: with_file(f"{PACKAGE}/zeros", BOMB), "bomb"),
    "unpacks to more": (
        lambda: changed(content=b"ab", packed=forge.deflate(b"ab" * 500_000)),
        DAMAGED,
    ),
    "unpacks to less": (lambda: changed(packed=forge.deflate(b"")), DAMAGED),
    "not packed at all": (lambda: changed(packed=b"\xff" * 40), DAMAGED),
    "another checksum": (lambda: changed(local={"crc": 7}, central={"crc": 7}), DAMAGED),
    "hidden behind packed bytes": (lambda: changed(packed=forge.deflate(b'"""A package."""\n') + b"evil"), DAMAGED),
    "cut off": (lambda: GOOD[:-200], AMBIGUOUS),
    "nothing": (lambda: b"", "no-archive"),
    "one byte inside another": (
        lambda: forge.zipped([*forge.entries(forge.members()), Entry(b"a.py", b"", only="central", central={"offset": 0})]),
        AMBIGUOUS,
    ),
    # 4: two readers, two contents
    "bytes before": (lambda: with_entry(prefix=b"#!/bin/sh\n"), AMBIGUOUS),
    "bytes before, offsets moved": (lambda: b"MZ" + GOOD, AMBIGUOUS),
    "bytes between": (lambda: changed(index=2, before=b"evil"), AMBIGUOUS),
    "bytes before the table": (lambda: with_entry(gap=b"evil"), AMBIGUOUS),
    "bytes behind the table": (lambda: with_entry(middle=b"evil"), AMBIGUOUS),
    "bytes behind": (lambda: GOOD + b"evil", AMBIGUOUS),
    "an archive behind": (lambda: GOOD + GOOD, AMBIGUOUS),
    "comment": (lambda: with_entry(comment=GOOD[-22:]), AMBIGUOUS),
    "comment of a member": (lambda: changed(comment=b"x"), AMBIGUOUS),
    "twice": (lambda: with_entry(Entry(INIT, b"evil")), AMBIGUOUS),
    "twice but for case": (lambda: with_entry(Entry(INIT.upper(), b"evil")), AMBIGUOUS),
    "twice but for width": (
        lambda: with_entry(Entry("heat_load/__init__．py".encode(), b"evil", flags=0x800)), AMBIGUOUS
    ),
    "file and folder": (lambda: with_entry(Entry(INIT + b"/evil.py", b"evil")), AMBIGUOUS),
    "another name inside": (lambda: changed(local={"name": INIT.replace(b"init", b"evil")}), AMBIGUOUS),
    "another size inside": (lambda: changed(local={"size": 3}), AMBIGUOUS),
    "another method inside": (lambda: changed(local={"method": 0}), AMBIGUOUS),
    "only in its own header": (lambda: with_entry(Entry(b"heat_load/evil.py", b"evil", only="local")), AMBIGUOUS),
    "only in the table": (lambda: with_entry(Entry(b"heat_load/evil.py", b"evil", only="central")), AMBIGUOUS),
    "fewer than counted": (lambda: with_entry(here=9, count=9), "no-archive"),
    "more than counted": (lambda: with_entry(here=2, count=2), AMBIGUOUS),
    "sizes behind": (lambda: changed(flags=0x8), AMBIGUOUS),
    "encrypted": (lambda: changed(flags=0x1), AMBIGUOUS),
    "another packing": (lambda: changed(method=12), AMBIGUOUS),
    "stored in two sizes": (lambda: changed(method=0, packed=b"x"), AMBIGUOUS),
    "name by Unicode path": (lambda: changed(extra=unicode_path(b"evil.py")), AMBIGUOUS),
    "64 bits": (lambda: changed(extra=struct.pack("<2H2Q", 1, 16, 17, 17)), AMBIGUOUS),
    "broken extra field": (lambda: changed(extra=b"\x55\x54\xff\xff"), AMBIGUOUS),
    "name in no encoding": (lambda: with_entry(Entry("heat_load/é.py".encode(), b"")), AMBIGUOUS),
    "broken UTF-8": (lambda: with_entry(Entry(b"heat_load/\xff.py", b"", flags=0x800)), AMBIGUOUS),
    "several disks": (lambda: with_entry(disk=1), AMBIGUOUS),
    "two folders": (lambda: with_file("Heat_Load-1.0.DIST-INFO/METADATA"), AMBIGUOUS),
    "two folders, two files": (lambda: with_file("heat_load-2.0.dist-info/entry_points.txt"), "no-wheel"),
    "egg beside": (lambda: with_file("heat_load.egg-info/PKG-INFO"), "no-wheel"),
    "folder of another": (
        lambda: GOOD.replace(INFO.encode(), INFO.replace("heat", "meat").encode()),
        "filename-differs",
    ),
    "no WHEEL": (lambda: forge.wheel({n: c for n, c in forge.members().items() if "WHEEL" not in n}), "no-wheel"),
    "another platform": (
        lambda: forge.wheel(forge.members(**{f"{INFO}/WHEEL": forge.WHEEL.replace(b"any", b"win32")})),
        "filename-differs",
    ),
    # 10: code that starts by itself
    "pth": (lambda: with_file("evil.pth", b"import os"), "starts-code"),
    "PTH": (lambda: with_file("evil.PTH", b"import os"), "starts-code"),
    "start": (lambda: with_file("evil.start"), "starts-code"),
    "pth in purelib": (lambda: with_file(f"{DATA}/purelib/evil.pth"), "starts-code"),
    "sitecustomize": (lambda: with_file("sitecustomize.py"), "starts-code"),
    "usercustomize": (lambda: with_file("usercustomize/__init__.py"), "starts-code"),
}  # fmt: skip


def test_the_good_wheel_passes() -> None:
    found = inspect(GOOD)
    assert (found.norm_name, found.version, found.licence) == ("heat-load", "1.0", "Apache-2.0")
    assert found.metadata == forge.METADATA
    assert found.requires == ("numpy>=2",)
    with zipfile.ZipFile(io.BytesIO(GOOD)) as archive:
        assert archive.testzip() is None


@pytest.mark.parametrize("done", CORPUS)
def test_an_archive_of_an_attacker_is_refused_for_its_own_reason(done: str) -> None:
    make, code = CORPUS[done]
    with pytest.raises((Malformed, Refused)) as caught:
        inspect(make())
    assert caught.value.code == code, caught.value.what
    assert caught.value.fix
    assert caught.value.what.isprintable()


@pytest.mark.parametrize(
    "make",
    [
        lambda: changed(mode=0),
        lambda: changed(method=0),
        lambda: changed(extra=struct.pack("<2HBI", 0x5455, 5, 1, 0)),
        lambda: with_entry(Entry(b"heat_load/data/", b"", FOLDER, 0)),
        lambda: with_file("heat_load/größe.json"),
        lambda: with_file(f"{PACKAGE}.libs/libheat.so"),
        lambda: with_file(f"{DATA}/data/share/heat/curve.csv"),
        lambda: with_file(f"{DATA}/purelib/heat_load/more.py"),
        lambda: with_file(f"{PACKAGE}/zeros", bytes(2**20)),
        lambda: with_file(f"{PACKAGE}/inner.zip", GOOD),
    ],
)
def test_what_honest_tools_do_passes(make: Callable[[], bytes]) -> None:
    inspect(make())


@pytest.mark.parametrize(
    "rows",
    [
        {f"{PACKAGE}/__init__.py": f"{PACKAGE}/__init__.py,sha256={'A' * 43},17"},
        {f"{PACKAGE}/__init__.py": f"{PACKAGE}/__init__.py,,"},
        {f"{PACKAGE}/__init__.py": f"{PACKAGE}/__init__.py,md5=0cc175b9c0f1b6a831c399e269772661,17"},
        {f"{PACKAGE}/__init__.py": ""},
        {"more": f"{PACKAGE}/more.py,sha256={'A' * 43},17"},
        {"more": f"{INFO}/RECORD,,"},
        {"more": "one,two"},
        {"more": '"open'},
        {"more": f"{PACKAGE}/\udcff,,".encode("utf-8", "surrogateescape").decode("latin-1")},
    ],
)
def test_a_record_that_is_not_true_is_refused(rows: dict[str, str]) -> None:
    with pytest.raises(Malformed) as caught:
        inspect(forge.wheel(None, **rows))
    assert caught.value.code == "record-differs"


def test_a_wrong_size_in_record_is_refused() -> None:
    files = forge.members()
    listed = forge.record(files).replace(b",17\n", b",18\n")
    assert listed != forge.record(files)
    with pytest.raises(Malformed, match="17 bytes"):
        inspect(forge.zipped(forge.entries(files, listed)))


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 7))
@settings(max_examples=200)
def test_one_flipped_bit_is_refused_or_changes_nothing(at: int, bit: int) -> None:
    _same_or_refused(GOOD[:at] + bytes([GOOD[at] ^ (1 << bit)]) + GOOD[at + 1 :])


PIECE = st.one_of(
    st.binary(max_size=30),
    st.sampled_from(
        [b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x06", b"\0" * 22, GOOD[-22:], GOOD[:80], GOOD]
    ),
    st.builds(lambda a, n: GOOD[a : a + n], st.integers(0, len(GOOD)), st.integers(0, 300)),
)


@given(st.lists(st.tuples(st.integers(0, len(GOOD)), st.integers(0, 60), PIECE), min_size=1, max_size=3))
@settings(max_examples=300)
def test_bytes_cut_out_and_put_in_are_refused_or_change_nothing(cuts: list[tuple[int, int, bytes]]) -> None:
    content = GOOD
    for at, length, piece in cuts:
        content = content[:at] + piece + content[at + length :]
    _same_or_refused(content)


@given(st.permutations(range(5)))
@settings(max_examples=50)
def test_members_may_stand_in_any_order(order: list[int]) -> None:
    good = forge.entries(forge.members())
    assert inspect(forge.zipped([good[i] for i in order])).metadata == forge.METADATA


def _same_or_refused(content: bytes) -> None:
    """What passes is read by the standard library as the good wheel is: no bytes are hidden, none differ."""
    try:
        found = inspect(content)
    except Problem:
        return
    assert found == inspect(GOOD)
    assert len(content) == len(GOOD)
    with zipfile.ZipFile(io.BytesIO(content)) as ours, zipfile.ZipFile(io.BytesIO(GOOD)) as good:
        assert ours.namelist() == good.namelist()
        assert [ours.read(n) for n in ours.namelist()] == [good.read(n) for n in good.namelist()]


def test_the_quarter_gigabyte_of_zeros_costs_little_memory() -> None:
    """Counted by real bytes: also where the headers claim that it is small."""
    packer = forge.zlib.compressobj(9, forge.zlib.DEFLATED, -15)
    packed = b"".join(packer.compress(bytes(2**20)) for _ in range(256)) + packer.flush()
    assert len(packed) < 300 * 1024
    lying = changed(content=bytes(2**20), packed=packed)
    honest = changed(packed=packed, local={"size": 2**28}, central={"size": 2**28})
    tracemalloc.start()
    try:
        for content, code in ((lying, DAMAGED), (honest, "bomb")):
            with pytest.raises(Problem) as caught:
                inspect(content)
            assert caught.value.code == code
        assert tracemalloc.get_traced_memory()[1] < 16 * 2**20
    finally:
        tracemalloc.stop()


def test_members_sizes_and_tables_have_limits() -> None:
    with pytest.raises(Refused, match="members"):
        inspect(GOOD, limits=Limits(members=4))
    with pytest.raises(Refused, match="unpacks"):
        inspect(GOOD, limits=Limits(total=100))
    with pytest.raises(Refused, match="table of contents"):
        open_archive(io.BytesIO(forge.zipped([Entry(b"a" * 60_000)])), Limits(members=1))


def link(kind: bytes) -> tarfile.TarInfo:
    item = tarfile.TarInfo("heat_load-1.0/evil")
    item.type, item.linkname = kind, "../../etc/passwd"
    return item


def file(name: str, size: int = 0) -> tarfile.TarInfo:
    item = tarfile.TarInfo(name)
    item.size = size
    return item


SDISTS: dict[str, tuple[Callable[[], bytes], str]] = {
    "up": (lambda: forge.sdist(file("heat_load-1.0/../evil")), MEMBER),
    "absolute": (lambda: forge.sdist(file("/evil")), MEMBER),
    "elsewhere": (lambda: forge.sdist(file("other-1.0/evil")), "filename-differs"),
    "link": (lambda: forge.sdist(link(tarfile.SYMTYPE)), "not-a-file"),
    "hard link": (lambda: forge.sdist(link(tarfile.LNKTYPE)), "not-a-file"),
    "device": (lambda: forge.sdist(link(tarfile.CHRTYPE)), "not-a-file"),
    "twice": (lambda: forge.sdist(file("heat_load-1.0/PKG-INFO")), AMBIGUOUS),
    "bomb": (lambda: forge.sdist(file("heat_load-1.0/zeros", len(BOMB))), "bomb"),
    "no PKG-INFO": (lambda: forge.sdist(file("heat_load-1.0/x"), top="heat_load-1.0/deep"), "no-archive"),
    "bytes behind": (lambda: forge.sdist(tail=b"evil"), "no-archive"),
    "an archive behind": (lambda: forge.sdist(tail=forge.sdist()), AMBIGUOUS),
    "cut off": (lambda: forge.sdist()[:-30], "no-archive"),
    "nothing": (lambda: b"", "no-archive"),
    "metadata of another": (lambda: forge.sdist(content=forge.METADATA.replace(b"heat", b"meat")), "filename-differs"),
}  # fmt: skip


@pytest.mark.parametrize("done", SDISTS)
def test_a_source_distribution_of_an_attacker_is_refused(done: str) -> None:
    make, code = SDISTS[done]
    with pytest.raises((Malformed, Refused)) as caught:
        inspect(make(), "heat_load-1.0.tar.gz")
    assert caught.value.code == code, caught.value.what


def test_a_good_source_distribution_passes() -> None:
    found = inspect(forge.sdist(file("heat_load-1.0/a.py", 9)), "heat_load-1.0.tar.gz")
    assert (found.filetype, found.norm_name) == ("sdist", "heat-load")


TAR = forge.sdist(file("heat_load-1.0/a.py", 9))


@given(st.integers(0, len(TAR)), st.integers(0, 20), st.binary(max_size=20))
@settings(max_examples=150)
def test_a_broken_source_distribution_is_refused_and_nothing_else_happens(
    at: int, length: int, piece: bytes
) -> None:
    try:
        found = inspect(TAR[:at] + piece + TAR[at + length :], "heat_load-1.0.tar.gz")
    except Problem:
        return
    assert found.norm_name == "heat-load"
