"""Specimens: whole packages. Each is the files of a wheel; a mutant changes a few of them."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import ldt_core as ldt
from ldt_core.manifest import describe, render
from ldt_core.wheels import write_wheel

from ..artefact import Artefact, open_wheel
from ..example import Example
from .sample import TollModel

Files = dict[str, str]
"""Text by path inside the wheel."""
INFO, PACKAGE = "zoo_toll-1.2.0.dist-info", "zoo_toll"
CODE = f"{PACKAGE}/__init__.py"
SBOM = f"{INFO}/sboms/toll.cdx.json"
FLOW = ldt.Table(
    {
        "time": [np.datetime64("2026-03-02T05:00", "us")] * 2,
        "road": ["A 7", "Żółta"],
        "flow": [120.0, 30.5],
    }
)
EXAMPLES = {"zoo-toll": Example(params={"rate": 2.0, "token": "swordfish"}, windows=1, inputs={"flow": FLOW})}


@dataclass(frozen=True)
class PackageSpecimen:
    """A package of the zoo. ``fails`` is the one requirement that it breaks; None: it is good. ``offered`` is the change that
    the version before it had, too."""

    name: str
    change: Callable[[Files], None]
    fails: str | None = None
    offered: Callable[[Files], None] = lambda contents: None

    def opened(self, folder: Path) -> Artefact:
        """Its wheel, below ``folder``, with the version that was certified before it."""

        def before(contents: Files) -> None:
            self.offered(contents)
            _before(contents)

        previous = write(before, folder / "before")
        return replace(open_wheel(self.wheel(folder)), previous=previous)

    def wheel(self, folder: Path) -> Path:
        """Write it into ``folder``."""
        return write(self.change, folder)


def write(change: Callable[[Files], None], folder: Path) -> Path:
    """The wheel of the good package, changed; below ``folder``."""
    contents = dict(_good())
    change(contents)
    info = next(n for n in contents if n.endswith("/WHEEL")).partition("/")[0]
    name = f"{info.removesuffix('.dist-info')}-py3-none-any.whl"
    return write_wheel({n: t.encode() for n, t in contents.items()}, info, name, folder)


def _before(contents: Files) -> None:
    """Make it version 1.1.0, which offered the same."""
    for name in list(contents):
        contents[name.replace("zoo_toll-1.2.0", "zoo_toll-1.1.0")] = contents.pop(name).replace(
            "1.2.0", "1.1.0"
        )


@cache
def _good() -> Files:
    code = (files("ldt_conformance.zoo") / "sample.py").read_text("utf-8")
    manifest: dict[str, Any] = {
        "contract": 1,
        "distribution": "zoo-toll",
        "version": "1.2.0",
        "components": [describe(TollModel)],
        "commands": [],
    }
    return {
        CODE: code,
        f"{PACKAGE}/component.json": render(manifest),
        f"{PACKAGE}/rates.csv": "vehicle,rate\ncar,2.0\n",
        f"{INFO}/METADATA": "Metadata-Version: 2.4\nName: zoo-toll\nVersion: 1.2.0\nLicense-Expression: MIT\n"
        "License-File: LICENSE\nRequires-Python: >=3.11\nRequires-Dist: ldt-core>=0.1\n",
        f"{INFO}/WHEEL": "Wheel-Version: 1.0\nGenerator: zoo\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{INFO}/entry_points.txt": f"[ldt]\nzoo-toll = {PACKAGE}\n",
        SBOM: json.dumps({"bomFormat": "CycloneDX", "specVersion": "1.6", "components": _needed("ldt-core")}),
        f"{INFO}/licenses/LICENSE": "Permission is hereby granted, free of charge, to any animal of the zoo.\n",
    }


def _needed(name: str) -> list[dict[str, str]]:
    """A distribution and all that it needs, as components of a bill of materials."""
    found, waiting = set(), [name]
    while waiting:
        one = str(canonicalize_name(waiting.pop()))
        if one not in found:
            found.add(one)
            needs = map(Requirement, importlib.metadata.requires(one) or ())
            waiting += [r.name for r in needs if r.marker is None or r.marker.evaluate({"extra": ""})]
    return [{"type": "library", "name": n, "purl": f"pkg:pypi/{n}"} for n in sorted(found)]


def _offers_a_twin_alone(contents: Files) -> None:
    """No component: what only a component can do is not asked of it."""
    manifest = json.loads(contents[f"{PACKAGE}/component.json"])
    contents[f"{PACKAGE}/component.json"] = render({**manifest, "components": [], "twins": ["twin.yaml"]})
    contents[f"{PACKAGE}/twin.yaml"] = "ldt: 1\n"
    contents[CODE] = '"""A twin."""\n'


_ALL = [
    PackageSpecimen("good", lambda contents: None),
    PackageSpecimen("good_without_components", _offers_a_twin_alone, offered=_offers_a_twin_alone),
]


def packages() -> list[PackageSpecimen]:
    """All of them, the good one first."""
    return list(_ALL)


def _mutant(fails: str) -> Callable[[Callable[[Files], None]], Callable[[Files], None]]:
    def mark(change: Callable[[Files], None]) -> Callable[[Files], None]:
        _ALL.append(PackageSpecimen(change.__name__, change, fails))
        return change

    return mark


def _replace(contents: Files, file: str, old: str, new: str) -> None:
    assert old in contents[file], f"{file} has no {old!r}"
    contents[file] = contents[file].replace(old, new)


@_mutant("LDT-PKG-META-01")
def manifest_made_at_import(contents: Files) -> None:
    manifest = contents.pop(f"{PACKAGE}/component.json")
    contents[CODE] += f"\nfrom pathlib import Path\nMANIFEST = {json.dumps(manifest)!r}\n"


@_mutant("LDT-PKG-META-01")
def lists_a_twin_that_is_not_there(contents: Files) -> None:
    _offers_a_twin_alone(contents)
    del contents[f"{PACKAGE}/twin.yaml"]


@_mutant("LDT-PKG-META-01")
def manifest_of_another_contract(contents: Files) -> None:
    _replace(contents, f"{PACKAGE}/component.json", '"contract": 1', '"contract": 99')


@_mutant("LDT-PKG-META-01")
def name_differs_from_the_file_name(contents: Files) -> None:
    _replace(contents, f"{INFO}/METADATA", "Name: zoo-toll", "Name: numpy")


@_mutant("LDT-PKG-VER-01")
def manifest_of_another_version(contents: Files) -> None:
    _replace(contents, f"{PACKAGE}/component.json", '"version": "1.2.0"', '"version": "1.1.0"')


@_mutant("LDT-PKG-VER-01")
def code_of_another_version(contents: Files) -> None:
    contents[CODE] += '\n__version__ = "1.2.0.dev3"\n'


@_mutant("LDT-PKG-LIC-01")
def licence_free(contents: Files) -> None:
    _replace(contents, f"{INFO}/METADATA", "License-Expression: MIT", "License-Expression: Free")


@_mutant("LDT-PKG-LIC-01")
def licence_without_its_text(contents: Files) -> None:
    del contents[f"{INFO}/licenses/LICENSE"]


@_mutant("LDT-PKG-INST-01")
def imports_what_it_does_not_declare(contents: Files) -> None:
    contents[CODE] += "\nimport hypothesis\n"


@_mutant("LDT-PKG-INST-01")
def lacks_a_data_file(contents: Files) -> None:
    contents[CODE] += '\nfrom importlib.resources import files\n(files(__name__) / "rates.csv").read_text()\n'
    del contents[f"{PACKAGE}/rates.csv"]


@_mutant("LDT-PKG-INST-01")
def needs_what_nobody_has(contents: Files) -> None:
    _replace(
        contents, f"{INFO}/METADATA", "ldt-core>=0.1", "ldt-core>=0.1\nRequires-Dist: zoo-no-such-package"
    )


@_mutant("LDT-PKG-INST-01")
def ends_the_process_that_imports_it(contents: Files) -> None:
    contents[CODE] += "\nimport os\nos._exit(0)\n"


@_mutant("LDT-PKG-INST-01")
def hangs_on_import(contents: Files) -> None:
    contents[CODE] += "\nwhile True:\n    pass\n"


@_mutant("LDT-PKG-ENTRY-01")
def misspelt_hook(contents: Files) -> None:
    contents[CODE] += "\n@ldt.hookimpl\ndef ldt_model():\n    return [TollModel]\n"


@_mutant("LDT-PKG-ENTRY-01")
def offers_less_than_it_lists(contents: Files) -> None:
    _replace(contents, CODE, "return [TollModel]", "return []")


@_mutant("LDT-PKG-ENTRY-01")
def lists_an_id_twice(contents: Files) -> None:
    manifest = json.loads(contents[f"{PACKAGE}/component.json"])
    manifest["components"] *= 2
    contents[f"{PACKAGE}/component.json"] = json.dumps(manifest)


@_mutant("LDT-PKG-IMPORT-01")
def starts_a_thread_on_import(contents: Files) -> None:
    contents[CODE] += "\nimport threading, time\n"
    contents[CODE] += "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"


@_mutant("LDT-PKG-IMPORT-01")
def prints_on_import(contents: Files) -> None:
    contents[CODE] += '\nprint("Thank you for choosing the zoo!")\n'


@_mutant("LDT-PKG-IMPORT-01")
def seeds_the_common_generator_on_import(contents: Files) -> None:
    contents[CODE] += "\nimport random\nrandom.seed(1)\n"


@_mutant("LDT-PKG-IMPORT-01")
def seeds_it_in_a_second_package_of_its_own(contents: Files) -> None:
    contents["zoo_helper.py"] = "import random\n\nrandom.seed(1)\n"
    contents[CODE] += "\nimport zoo_helper\n"


@_mutant("LDT-PKG-IMPORT-01")
def writes_on_import(contents: Files) -> None:
    contents[CODE] += '\nopen(__file__ + ".log", "w").write("imported")\n'


@_mutant("LDT-PKG-IMPORT-01")
def looks_for_updates_on_import(contents: Files) -> None:
    contents[CODE] += "\nimport socket\ntry:\n    socket.create_connection(('updates.example.org', 443), 1)\n"
    contents[CODE] += "except OSError:\n    pass\n"


@_mutant("LDT-PKG-IMPORT-01")
def silences_warnings_on_import(contents: Files) -> None:
    contents[CODE] += '\nimport warnings\nwarnings.filterwarnings("ignore")\n'


@_mutant("LDT-PKG-NET-01")
def phones_home_in_a_c_call(contents: Files) -> None:
    _in_compute(
        contents,
        "import ctypes, socket, struct",
        "libc = ctypes.CDLL(None)",
        'home = struct.pack("=HH4s8x", 2, socket.htons(443), socket.inet_aton("203.0.113.9"))',
        "libc.connect(libc.socket(2, 1, 0), home, 16)",
    )


@_mutant("LDT-PKG-NET-01")
def asks_for_a_name(contents: Files) -> None:
    _in_compute(
        contents,
        "import contextlib, socket",
        "with contextlib.suppress(OSError):",
        '    socket.getaddrinfo("telemetry.example.org", 443)',
    )


@_mutant("LDT-PKG-FS-01")
def writes_beside_its_code(contents: Files) -> None:
    _in_compute(contents, 'open(__file__ + ".cache", "w").write("1")')


@_mutant("LDT-PKG-FS-01")
def writes_at_home_in_a_c_call(contents: Files) -> None:
    _in_compute(
        contents,
        "import ctypes, os",
        "libc = ctypes.CDLL(None)",
        'libc.close(libc.open(os.path.expanduser("~/.zoo").encode(), os.O_CREAT | os.O_WRONLY, 0o600))',
    )


@_mutant("LDT-PKG-FS-01")
def tries_to_write_where_nobody_may(contents: Files) -> None:
    _in_compute(
        contents,
        "import contextlib",
        "with contextlib.suppress(OSError):",
        '    open(ldt.__file__ + ".log", "w")',
    )


@_mutant("LDT-PKG-PROC-01")
def leaves_a_child_running(contents: Files) -> None:
    _replace(contents, CODE, '    id = "zoo-toll"', '    id = "zoo-toll"\n    processes = ("sleep",)')
    _replace(contents, f"{PACKAGE}/component.json", '"processes": []', '"processes": ["sleep"]')
    _in_compute(contents, "import subprocess", 'self.child = subprocess.Popen(["sleep", "600"])')


@_mutant("LDT-PKG-PROC-01")
def starts_what_it_does_not_list(contents: Files) -> None:
    _in_compute(contents, "import subprocess", 'subprocess.run(["true"], check=True)')


@_mutant("LDT-PKG-RES-01")
def takes_twice_what_it_declares(contents: Files) -> None:
    _in_compute(contents, "filled = bytearray(b'z') * (1024 * 2**20)")


@_mutant("LDT-PKG-RES-01")
def declares_nothing(contents: Files) -> None:
    _replace(contents, CODE, '    resources = {"memory": "512MiB"}', "")
    manifest = json.loads(contents[f"{PACKAGE}/component.json"])
    manifest["components"][0]["resources"] = {}
    contents[f"{PACKAGE}/component.json"] = json.dumps(manifest)


@_mutant("LDT-PKG-SBOM-01")
def omits_a_dependency_from_its_bill(contents: Files) -> None:
    bill = json.loads(contents[SBOM])
    bill["components"] = [c for c in bill["components"] if c["name"] != "numpy"]
    contents[SBOM] = json.dumps(bill)


@_mutant("LDT-PKG-SBOM-01")
def bills_what_is_not_there(contents: Files) -> None:
    _replace(contents, SBOM, '"components": [', '"components": [{"type": "library", "name": "left-pad"}, ')


@_mutant("LDT-PKG-SBOM-01")
def has_no_bill(contents: Files) -> None:
    del contents[SBOM]


@_mutant("LDT-PKG-COMPAT-01")
def renames_an_output_in_a_minor_version(contents: Files) -> None:
    for file in (CODE, f"{PACKAGE}/component.json"):
        _replace(contents, file, '"toll": ', '"charge": ')
    _replace(contents, CODE, "with_columns(toll=", "with_columns(charge=")


@_mutant("LDT-PKG-COMPAT-01")
def demands_a_parameter_in_a_minor_version(contents: Files) -> None:
    _replace(contents, CODE, '"1")] = 2.0', '"1")]')
    manifest = json.loads(contents[f"{PACKAGE}/component.json"])
    schema = manifest["components"][0]["params"]
    del schema["properties"]["rate"]["default"]
    schema["required"] = ["rate", "token"]
    contents[f"{PACKAGE}/component.json"] = json.dumps(manifest)


@_mutant("LDT-PKG-SECR-01")
def token_in_an_error(contents: Files) -> None:
    _in_compute(
        contents,
        'if "flow" not in inputs:',
        '    raise ldt.InputError(f"nobody answers {self.params.token.get_secret_value()}", code="null")',
    )


@_mutant("LDT-PKG-SECR-01")
def token_in_the_log(contents: Files) -> None:
    _in_compute(contents, 'self.context.log.info("as %s", self.params.token.get_secret_value())')


@_mutant("LDT-PKG-SECR-01")
def token_that_is_plain_text(contents: Files) -> None:
    _replace(contents, CODE, "token: ldt.Secret", "token: str")
    manifest = json.loads(contents[f"{PACKAGE}/component.json"])
    component = manifest["components"][0]
    component["secrets"] = []
    component["params"]["properties"]["token"] = {"title": "Token", "type": "string"}
    contents[f"{PACKAGE}/component.json"] = json.dumps(manifest)


def _in_compute(contents: Files, *lines: str) -> None:
    """Put lines at the beginning of the model's computation."""
    head = "    def compute(self, inputs: ldt.Tables) -> ldt.Tables:\n"
    _replace(contents, CODE, head, head + "".join(f"        {line}\n" for line in lines))


def record_line(inside: str, data: bytes) -> str:
    """A line of RECORD."""
    code = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
    return f"{inside},sha256={code},{len(data)}"
