"""Packages of the zoo, hostile wheels, and wheels made from folders and from what is installed."""

from __future__ import annotations

import os
import shutil
import stat
import struct
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ldt_conformance import artefact, certification, observe, pythons, sandbox
from ldt_conformance import judge as judging
from ldt_conformance.artefact import Artefact, open_folder, open_installed, open_wheel
from ldt_conformance.checks.package_compat import _ports
from ldt_conformance.judge import judge_package
from ldt_conformance.outcome import Outcome, Result, Verdict, verdict_of
from ldt_conformance.requirements import catalogue, profile
from ldt_conformance.sandbox import Limits
from ldt_conformance.vendor import VendorError, VendorFile, handed_in
from ldt_conformance.zoo.packages import CODE, EXAMPLES, INFO, PackageSpecimen, packages, record_line

from ldt_core.errors import PluginError

GOOD = packages()[0]


def _may_be_blocked(root: str) -> set[str]:
    found = {root}
    while more := {i for i, r in catalogue().items() if found & set(r.needs)} - found:
        found |= more
    return found


def _verdict(results: list[Result]) -> Verdict:
    return verdict_of(results, [(r.id, None) for r, _ in profile(None, 2, (), "process")])


def _first_of_each() -> list[PackageSpecimen]:
    first = {p.fails: p for p in reversed(packages())}
    also = ("token_in_the_log", "good_without_components", "lists_a_twin_that_is_not_there")
    return [*first.values(), *(p for p in packages() if p.name in also)]


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LDT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def walls() -> None:
    if problem := sandbox.unavailable():
        assert not os.environ.get("CI"), problem
        pytest.skip(problem)


@pytest.mark.bwrap
@pytest.mark.usefixtures("walls")
@pytest.mark.parametrize("specimen", _first_of_each(), ids=lambda s: s.name)
def test_a_package_fails_its_requirement(
    specimen: PackageSpecimen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "REPEATS", 1)
    only = [specimen.fails] if specimen.fails else []
    results = judge_package(specimen.opened(tmp_path), EXAMPLES, level=2, only=only)
    reasons = {r.requirement: r.reason for r in results if r.outcome is Outcome.FAILED}
    assert set(reasons) == set(only), reasons
    assert not [r for r in results if r.outcome is Outcome.CANT_TELL]
    assert _verdict(results) is (Verdict.FAILED if specimen.fails else Verdict.CERTIFIED)


@pytest.mark.slow
@pytest.mark.bwrap
@pytest.mark.usefixtures("walls")
@pytest.mark.parametrize("specimen", packages(), ids=lambda s: s.name)
def test_a_package_fails_its_requirement_and_no_other(
    specimen: PackageSpecimen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "REPEATS", 1)
    results = judge_package(specimen.opened(tmp_path), EXAMPLES, level=2)
    reasons = {r.requirement: r.reason for r in results if r.outcome is Outcome.FAILED}
    odd = {r.requirement: r.reason for r in results if r.outcome is Outcome.CANT_TELL}
    untested = {r.requirement for r in results if r.outcome is Outcome.UNTESTED}
    assert set(reasons) == ({specimen.fails} if specimen.fails else set()), reasons
    assert not odd
    assert untested <= (_may_be_blocked(specimen.fails) if specimen.fails else set())


# -- hostile wheels ------------------------------------------------------------------------------------------


def _entries(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {n: archive.read(n) for n in archive.namelist()}


def _write(path: Path, entries: dict[str | zipfile.ZipInfo, bytes], **how: int) -> None:
    with zipfile.ZipFile(path, "w", **how) as archive:  # type: ignore[arg-type]
        for name, data in entries.items():
            archive.writestr(name, data)


def _no_zip(path: Path) -> None:
    path.write_bytes(b"no zip at all\n" * 50)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _cut(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def _bomb(path: Path) -> None:
    _write(
        path, {**_entries(path), "zoo_toll/zeros.bin": bytes(100 * 2**20)}, compression=zipfile.ZIP_DEFLATED
    )


def _bomb_that_lies(path: Path) -> None:
    """Its table of contents says ten bytes."""
    _bomb(path)
    raw = bytearray(path.read_bytes())
    size = struct.pack("<L", 100 * 2**20)
    assert size in raw
    path.write_bytes(bytes(raw.replace(size, struct.pack("<L", 10))))


def _climbing(path: Path) -> None:
    _write(path, {**_entries(path), "../../etc/cron.d/zoo": b"* * * * * root true\n"})


def _absolute(path: Path) -> None:
    _write(path, {**_entries(path), "/etc/zoo": b""})


def _of_another_system(path: Path) -> None:
    _write(path, {**_entries(path), "C:\\zoo.dll": b""})


def _link(path: Path) -> None:
    link = zipfile.ZipInfo("zoo_toll/passwd")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    _write(path, {**_entries(path), link: b"/etc/passwd"})


def _twice(path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("zoo_toll/__init__.py", "print('the other one')")


def _twice_by_unicode(path: Path) -> None:
    _write(path, {**_entries(path), "zoo_toll/caf\u00e9.py": b"", "zoo_toll/cafe\u0301.py": b""})


def _invisible(path: Path) -> None:
    _write(path, {**_entries(path), "zoo_toll/\u202eyp.tnerap": b""})


def _changed_after_recording(path: Path) -> None:
    entries = _entries(path)
    entries["zoo_toll/rates.csv"] += b"lorry,0.0\n"
    _write(path, entries)


def _not_recorded(path: Path) -> None:
    _write(path, {**_entries(path), "zoo_toll/extra.py": b"pass\n"})


def _recorded_and_absent(path: Path) -> None:
    entries = _entries(path)
    del entries["zoo_toll/rates.csv"]
    _write(path, entries)


def _without_metadata(path: Path) -> None:
    entries = _entries(path)
    del entries[f"{INFO}/METADATA"]
    _write(path, entries)


def _with_two_infos(path: Path) -> None:
    _write(path, {**_entries(path), "numpy-2.0.dist-info/METADATA": b"Name: numpy\n"})


def _encrypted(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    at = raw.rfind(b"PK\x01\x02")
    raw[at + 8] |= 1
    path.write_bytes(bytes(raw))


def _recursive_entry_points(path: Path) -> None:
    entries = _entries(path)
    entries[f"{INFO}/entry_points.txt"] = b"[ldt\nzoo-toll"
    entries[f"{INFO}/RECORD"] = _record(entries)
    _write(path, entries)


def _deep_manifest(path: Path) -> None:
    entries = _entries(path)
    entries["zoo_toll/component.json"] = b"[" * 200_000
    entries[f"{INFO}/RECORD"] = _record(entries)
    _write(path, entries)


def _record(entries: dict[str, bytes]) -> bytes:
    lines = [record_line(n, d) for n, d in entries.items() if n != f"{INFO}/RECORD"]
    return "\n".join([*lines, f"{INFO}/RECORD,,", ""]).encode()


HOSTILE: list[tuple[Callable[[Path], None], str]] = [
    (_no_zip, "no wheel that can be read"),
    (_empty, "no wheel that can be read"),
    (_cut, "no wheel that can be read"),
    (_bomb, "a bomb"),
    (_bomb_that_lies, "digest"),
    (_climbing, "outside its folder"),
    (_absolute, "outside its folder"),
    (_of_another_system, "outside its folder"),
    (_link, "a link"),
    (_twice, "one file on many systems"),
    (_twice_by_unicode, "one file on many systems"),
    (_invisible, "no file should be called"),
    (_changed_after_recording, "digests differ"),
    (_not_recorded, "no digest of"),
    (_recorded_and_absent, "does not hold"),
    (_without_metadata, "holds no zoo_toll"),
    (_with_two_infos, "2 folders"),
    (_encrypted, "encrypted"),
    (_recursive_entry_points, "entry_points.txt cannot be read"),
    (_deep_manifest, "the manifest cannot be read"),
]


@pytest.mark.parametrize(("spoil", "said"), HOSTILE, ids=lambda v: getattr(v, "__name__", None))
def test_a_hostile_wheel_ends_with_a_verdict_that_says_why(
    spoil: Callable[[Path], None], said: str, tmp_path: Path
) -> None:
    wheel = GOOD.wheel(tmp_path)
    spoil(wheel)
    results = judge_package(open_wheel(wheel), EXAMPLES)
    assert said in results[0].reason
    assert results[0].requirement == "LDT-PKG-META-01"
    assert {r.outcome for r in results[1:]} == {Outcome.UNTESTED}
    assert _verdict(results) is Verdict.FAILED


@pytest.mark.parametrize(
    "name", ["zoo_toll.whl", "zoo toll-1.2.0-py3-none-any.whl", "zoo_toll-x-py3-none-any.whl"]
)
def test_a_file_name_that_is_none_of_a_wheel_is_told(name: str, tmp_path: Path) -> None:
    found = open_wheel(GOOD.wheel(tmp_path).rename(tmp_path / name))
    assert "file name" in found.problems[0]


def test_a_wheel_of_too_many_files_is_not_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artefact, "MOST_FILES", 100)
    wheel = GOOD.wheel(tmp_path)
    assert open_wheel(wheel).problems == ()
    _write(wheel, {f"zoo_toll/{i}": b"" for i in range(101)})
    assert "more than 100" in open_wheel(wheel).problems[0]


# -- where wheels come from --------------------------------------------------------------------------------------


def _project(folder: Path) -> Path:
    (folder / "demo_pkg").mkdir(parents=True)
    (folder / "demo_pkg" / "__init__.py").write_text("")
    (folder / "LICENSE").write_text("Do what you like with this, for ever and a day.\n")
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "demo-pkg"\nversion = "1.0"\n'
    )
    (folder / "backend.py").write_text(
        "from pathlib import Path\nfrom ldt_core.wheels import write_wheel\n"
        "def build_wheel(folder, settings=None, metadata=None):\n"
        "    files = {'demo_pkg/__init__.py': b'', 'demo_pkg-1.0.dist-info/WHEEL': b'Tag: py3-none-any',\n"
        "        'demo_pkg-1.0.dist-info/METADATA': b'Metadata-Version: 2.1\\nName: demo-pkg\\nVersion: 1.0\\n'}\n"
        "    name = 'demo_pkg-1.0-py3-none-any.whl'\n"
        "    write_wheel(files, 'demo_pkg-1.0.dist-info', name, Path(folder)).rename(Path(folder) / name)\n"
        "    return name\n"
    )
    return folder


def test_a_folder_that_cannot_be_built_without_a_network_is_told(tmp_path: Path) -> None:
    folder = _project(tmp_path / "project")
    text = (
        (folder / "pyproject.toml").read_text().replace("requires = []", 'requires = ["no-such-backend-ldt"]')
    )
    (folder / "pyproject.toml").write_text(text)
    with pytest.raises(PluginError, match="no wheel could be built") as caught:
        open_folder(folder, tmp_path / "out")
    assert "certify the wheel" in caught.value.fix


def test_a_plugin_installed_in_the_editable_way_is_judged_by_its_folders_wheel(tmp_path: Path) -> None:
    found = open_installed("ldt-source-csv", tmp_path)
    assert found.problems == ()
    assert [c["id"] for c in found.components] == ["csv"]


def test_the_same_folder_gives_the_same_bytes(tmp_path: Path) -> None:
    first = open_installed("ldt-source-csv", tmp_path / "a")
    assert first.sha256 == open_installed("ldt-source-csv", tmp_path / "b").sha256


def test_an_installed_distribution_is_packed_from_what_its_installer_listed(tmp_path: Path) -> None:
    found = open_installed("pluggy", tmp_path)
    assert (found.name, found.problems) == ("pluggy", ())
    assert isinstance(found, Artefact)


def test_what_is_not_installed_is_told(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="'no-such-thing' is not installed"):
        open_installed("no-such-thing", tmp_path)


# -- what hostile code comes to ----------------------------------------------------------------------------------

FORKS = "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass\n"
HOSTILE_CODE = [
    ("forks without end", FORKS, "limit of its walls"),
    ("fills the disk", "while True:\n    (self.context.scratch / str(len(os.listdir(self.context.scratch)))).write_bytes(bytes(2**24))\n",
     "limit of its walls: disk"),
    ("kills its parents", "import signal\nfor pid in (1, os.getppid(), -1):\n    os.kill(pid, signal.SIGKILL)\nimport time\ntime.sleep(30)\n", "SIGKILL"),
    ("ends early and well", "os._exit(0)\n", "exit code 0"),
    ("says nonsense to the judge", "for fd in range(3, 40):\n    try:\n        os.write(fd, b'x' * 64)\n"
     "    except OSError:\n        pass\nos._exit(0)\n", "does not run to its end"),
]  # fmt: skip


@pytest.mark.bwrap
@pytest.mark.usefixtures("walls")
@pytest.mark.parametrize(("name", "code", "said"), HOSTILE_CODE, ids=[n for n, _, _ in HOSTILE_CODE])
def test_hostile_code_ends_with_a_verdict_that_says_what_happened(
    name: str, code: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "REPEATS", 1)
    patience = 60 if said.endswith("disk") else 4  # a disk that others write to takes its time to be filled
    monkeypatch.setattr(observe, "LIMITS", Limits(cpu=10, seconds=patience, processes=64, disk=2**28))

    def change(contents: dict[str, str]) -> None:
        head = "    def compute(self, inputs: ldt.Tables) -> ldt.Tables:\n"
        lines = "".join(f"        {line}\n" for line in ["import os", *code.splitlines()])
        contents[CODE] = contents[CODE].replace(head, head + lines)

    wheel = PackageSpecimen(name, change).wheel(tmp_path)
    results = judge_package(open_wheel(wheel), EXAMPLES, only=["LDT-PKG-NET-01"])
    (found,) = [r for r in results if r.requirement == "LDT-PKG-NET-01"]
    assert said in found.reason
    assert found.outcome in (Outcome.FAILED, Outcome.CANT_TELL)
    assert _verdict(results) is not Verdict.CERTIFIED


@pytest.mark.bwrap
@pytest.mark.usefixtures("walls")
def test_the_guilty_line_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "REPEATS", 1)
    (specimen,) = [p for p in packages() if p.name == "asks_for_a_name"]
    results = judge_package(open_wheel(specimen.wheel(tmp_path)), EXAMPLES, only=["LDT-PKG-NET-01"])
    (found,) = [r for r in results if r.requirement == "LDT-PKG-NET-01"]
    assert found.evidence is not None
    assert "telemetry.example.org" in found.reason
    assert "zoo_toll/__init__.py:" in str(found.evidence.got)


@pytest.mark.bwrap
@pytest.mark.usefixtures("walls")
def test_what_a_dependency_does_when_it_is_imported_is_not_charged(tmp_path: Path) -> None:
    bench = observe.Bench(open_wheel(GOOD.wheel(tmp_path)), EXAMPLES)
    site = Path(bench.environment().site)
    (site / "elsewhere.py").write_text("import random\n\nrandom.seed(1)\n")
    code = site / "zoo_toll" / "__init__.py"
    copy = code.with_name("fresh.py")  # installers link files: the one in the cache stays as it is
    copy.write_text(code.read_text() + "\nimport elsewhere\n")
    copy.replace(code)
    try:
        first = bench.probe()
        assert "random generator" in first["changed"]
        assert "elsewhere" in first["modules"]
        assert bench.probe(first=first["modules"])["changed"] == {}
    finally:
        bench.close()
        shutil.rmtree(bench.environment().folder)


def test_without_walls_nobody_can_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox.unavailable.cache_clear()
    monkeypatch.setenv("PATH", "/nowhere")
    try:
        results = judge_package(open_wheel(GOOD.wheel(tmp_path)), EXAMPLES)
    finally:
        sandbox.unavailable.cache_clear()
    told = {r.requirement: r.reason for r in results if r.outcome is Outcome.CANT_TELL}
    blocked = {r.requirement for r in results if r.blocked_by == "LDT-PKG-IMPORT-01"}
    assert set(told) == {"LDT-PKG-IMPORT-01", "LDT-PKG-SECR-01"}
    assert blocked == {"LDT-PKG-NET-01", "LDT-PKG-FS-01"}
    assert all("bubblewrap is not installed" in reason for reason in told.values())
    assert _verdict(results) is Verdict.INCOMPLETE


# -- the other Pythons, and a whole run ----------------------------------------------------------------------------


@pytest.mark.bwrap
@pytest.mark.usefixtures("walls")
def test_another_python_is_tried_or_it_is_said_that_it_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    program = Path(sys.base_prefix, "bin", f"python{version}")
    monkeypatch.setattr(pythons, "here", lambda: {version: str(program), "3.99": "/nowhere/python"})
    found = {}
    for specimen in packages():
        if specimen.name in ("good", "imports_what_it_does_not_declare", "needs_what_nobody_has"):
            bench = observe.Bench(open_wheel(specimen.wheel(tmp_path / specimen.name)), EXAMPLES)
            found[specimen.name] = pythons.others(bench, quick=False)
            bench.close()
    assert found["good"] == {version: "", "3.99": "not tried: no environment can be made of it"}
    assert "No module named 'hypothesis'" in found["imports_what_it_does_not_declare"][version]
    assert "zoo-no-such-package" in found["needs_what_nobody_has"][version]


@pytest.mark.bwrap
@pytest.mark.usefixtures("walls")
def test_a_wheel_is_judged_as_the_registry_does_it(tmp_path: Path) -> None:
    wheel = GOOD.wheel(tmp_path)
    (tmp_path / "flow.csv").write_text("time,road,flow\n2026-03-02T05:00:00Z,A 7,120\n")
    (tmp_path / "conformance.toml").write_text(
        '[component.zoo-toll]\nparams = {token = "swordfish"}\ninputs = {flow = "flow.csv"}\n'
    )
    report = certification.run(
        str(wheel),
        as_registry=True,
        only=["LDT-PKG-NET-01", "LDT-MOD-DET-01"],
        vendor=tmp_path / "conformance.toml",
    )
    assert report.environment.sandbox.startswith("bubblewrap, profile ")
    passed = {r.requirement for r in report.results if r.outcome is Outcome.PASSED}
    assert {"LDT-PKG-NET-01", "LDT-MOD-DET-01"} <= passed
    assert "swordfish" not in report.model_dump_json()


def test_what_a_vendor_hands_in_with_a_wheel_is_found_beside_its_file(tmp_path: Path) -> None:
    artefact = open_wheel(GOOD.wheel(tmp_path))
    (tmp_path / "old.whl").write_bytes(b"")
    said = VendorFile.model_validate({"package": {"previous": "old.whl"}})
    assert handed_in(artefact, said, tmp_path).previous == tmp_path / "old.whl"
    with pytest.raises(VendorError, match=r"package\.lock: there is no pins\.txt"):
        handed_in(artefact, VendorFile.model_validate({"package": {"lock": "pins.txt"}}), tmp_path)


@pytest.mark.parametrize(
    ("then", "now", "what"),
    [
        ({"a": {"kind": "number", "unit": "m"}}, {"a": {"kind": "number", "unit": "km"}}, "from m to km"),
        ({"a": {"kind": "text"}}, {}, "'p.a' is gone"),
        ({"a": {"kind": "text"}}, {"a": {"kind": "text"}, "b": {"kind": "text"}}, None),
    ],
)
def test_an_output_is_compared_with_what_it_was(
    then: dict[str, object], now: dict[str, object], what: str | None
) -> None:
    found = list(_ports({"p": {"columns": then}}, {"p": {"columns": now}}, taken=False))
    assert found == [] if what is None else what in found[0]
    grown = list(_ports({"p": {"columns": then}}, {"p": {"columns": now}}, taken=True))
    assert any("is demanded" in f for f in grown) == (what is None)
