"""Compiles tank.c to tank.fmu for the platform that it runs on: `python cases/build.py`, where a C compiler is."""

from __future__ import annotations

import subprocess
import tempfile
import zipfile
from pathlib import Path

import fmpy
from fmpy.fmi2 import FMU2Slave

HERE = Path(__file__).parent
DESCRIPTION = """<?xml version="1.0" encoding="UTF-8"?>
<fmiModelDescription fmiVersion="2.0" modelName="Tank" guid="{made-up-tank}"
    description="A tank of water with a hole in its floor, made up">
  <CoSimulation modelIdentifier="tank" canHandleVariableCommunicationStepSize="true" canGetAndSetFMUstate="true"
    canSerializeFMUstate="true"/>
  <UnitDefinitions>
    <Unit name="m"><BaseUnit m="1"/></Unit>
    <Unit name="m2"><BaseUnit m="2"/></Unit>
    <Unit name="m2/s"><BaseUnit m="2" s="-1"/></Unit>
    <Unit name="m3/s"><BaseUnit m="3" s="-1"/></Unit>
    <Unit name="m3/h"><BaseUnit m="3" s="-1" factor="2.777777777777778E-4"/></Unit>
  </UnitDefinitions>
  <ModelVariables>
    <ScalarVariable name="inflow" valueReference="1" causality="input" variability="continuous">
      <Real start="0" unit="m3/s"/></ScalarVariable>
    <ScalarVariable name="area" valueReference="2" causality="parameter" variability="fixed">
      <Real start="20" unit="m2"/></ScalarVariable>
    <ScalarVariable name="rate" valueReference="3" causality="parameter" variability="fixed">
      <Real start="0.005" unit="m2/s"/></ScalarVariable>
    <ScalarVariable name="level" valueReference="4" causality="output" variability="continuous" initial="exact">
      <Real start="1.5" unit="m"/></ScalarVariable>
    <ScalarVariable name="outflow" valueReference="5" causality="output" variability="continuous" initial="calculated">
      <Real unit="m3/s"/></ScalarVariable>
  </ModelVariables>
  <ModelStructure>
    <Outputs><Unknown index="4"/><Unknown index="5"/></Outputs>
    <InitialUnknowns><Unknown index="5"/></InitialUnknowns>
  </ModelStructure>
</fmiModelDescription>
"""


def build(target: Path) -> None:
    """Functions that the source does not have are stubs that report an error."""
    code = (HERE / "tank.c").read_text(encoding="utf-8")
    names = {n for n in dir(FMU2Slave) if n.startswith("fmi2")}
    stubs = [f"int {n}(void) {{ return 3; }}" for n in sorted(names) if f"{n}(" not in code]
    with tempfile.TemporaryDirectory() as room:
        source, library = Path(room, "all.c"), Path(room, "tank.so")
        source.write_text(code + "\n".join(stubs) + "\n", encoding="utf-8")
        words = ["-shared", "-fPIC", "-O2", "-s", "-w", "-o", str(library), str(source), "-lm"]
        subprocess.run(["cc", *words], check=True)
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("modelDescription.xml", DESCRIPTION)
            archive.write(library, f"binaries/{fmpy.platform}/tank.so")
            archive.write(HERE / "tank.c", "sources/tank.c")


if __name__ == "__main__":
    build(HERE / "tank.fmu")
