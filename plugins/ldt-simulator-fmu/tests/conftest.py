"""FMUs made by other people's exporters, and one compiled from C."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

SOURCES = Path(__file__).parent / "fmus"


def _export(tool: str, source: str, folder: Path) -> Path:
    command = [sys.executable, "-m", tool, "build", "-f", str(SOURCES / source), "-d", str(folder)]
    subprocess.run([*command, "--handle-state", "--serialize-state"], check=True, capture_output=True)
    return folder / f"{source.removesuffix('.py').capitalize()}.fmu"


@pytest.fixture(scope="session")
def tank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _export("pythonfmu", "tank.py", tmp_path_factory.mktemp("fmi2"))


@pytest.fixture(scope="session")
def heater(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _export("pythonfmu3", "heater.py", tmp_path_factory.mktemp("fmi3"))


MINUTE = """<?xml version="1.0" encoding="UTF-8"?>
<fmiModelDescription fmiVersion="3.0" modelName="Minute" instantiationToken="minute">
  <CoSimulation modelIdentifier="minute" mightReturnEarlyFromDoStep="true"
    canHandleVariableCommunicationStepSize="true"/>
  <ModelVariables>
    <Float64 name="time" valueReference="0" causality="independent" variability="continuous"/>
    <Float64 name="x" valueReference="1" causality="output"/>
    <Float64 name="profile" valueReference="2" causality="output"><Dimension start="3"/></Float64>
  </ModelVariables>
  <ModelStructure><Output valueReference="1"/><InitialUnknown valueReference="1"/></ModelStructure>
</fmiModelDescription>
"""


@pytest.fixture(scope="session")
def minute(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled here. Functions that it does not have are stubs that report an error."""
    compiler = shutil.which("cc")
    if compiler is None:
        assert not os.environ.get("CI"), "needs a C compiler (Debian: apt-get install gcc libc6-dev)"
        pytest.skip("needs a C compiler (Debian: apt-get install gcc libc6-dev)")
    import fmpy
    from fmpy.fmi3 import FMU3Slave

    folder = tmp_path_factory.mktemp("minute")
    code = (SOURCES / "minute.c").read_text(encoding="utf-8")
    names = {n for n in dir(FMU3Slave) if n.startswith("fmi3")}
    stubs = [f"int {n}(void) {{ return 3; }}" for n in sorted(names) if f"{n}(" not in code]
    (folder / "all.c").write_text(code + "\n".join(stubs) + "\n", encoding="utf-8")
    library = folder / "minute.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-w", "-o", library, folder / "all.c"], check=True)
    with zipfile.ZipFile(folder / "minute.fmu", "w") as archive:
        archive.writestr("modelDescription.xml", MINUTE)
        archive.write(library, f"binaries/{fmpy.platform_tuple}/minute.so")
    return folder / "minute.fmu"
