"""A component looks the same by every door, and whatever becomes of it there is told in a word."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pydantic
import pytest
from ldt_conformance.drivers.base import Raised, Subject
from ldt_conformance.drivers.here import HereDriver
from ldt_conformance.drivers.http import HttpDriver, Service, completed, serve
from ldt_conformance.drivers.process import ProcessDriver, place_of
from ldt_conformance.packing import build_wheel, install_wheel, put_folder
from ldt_conformance.zoo.models import EXAMPLE, GoodModel

import ldt_core as ldt
from ldt_core.errors import RemoteError
from ldt_core.isolation import Launch
from ldt_core.manifest import describe

DEEDS = ("where", "die", "exit", "shout", "garble", "own", "work")


class OwnInputError(ldt.InputError):
    """A component's own class of a word of the contract."""


class Teller(GoodModel):
    """Tells where it runs, or comes to an end, as its parameter says."""

    class Params(GoodModel.Params):
        deed: str = "where"

        @pydantic.field_validator("deed")
        @classmethod
        def known(cls, deed: str) -> str:
            if deed not in DEEDS:
                raise ValueError("what is that?")
            return deed

    def compute(self, inputs: ldt.Tables) -> ldt.Tables:
        if self.params.deed == "die":
            os._exit(3)
        if self.params.deed == "exit":
            raise SystemExit(0)
        if self.params.deed == "shout":
            for _ in range(200):
                os.write(1, b"x" * 100_000)
        if self.params.deed == "garble":
            for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
                if "socket" in os.path.realpath(f"/proc/self/fd/{name}"):
                    os.write(int(name), b"200 OK and all is well" * 9)
        if self.params.deed == "own":
            raise OwnInputError("no", where="air")
        if self.params.deed == "where":
            words = [os.environ.get("TZ"), Path.cwd(), os.environ.get("PYTHONHASHSEED"), os.getpid()]
            raise ldt.NotFound(" ".join(map(str, words)))
        return super().compute(inputs)


def told(driver: Any, deed: str = "where") -> Raised:
    with pytest.raises(Raised) as caught, opened(driver, deed) as subject:
        subject.compute(dict(EXAMPLE.inputs))
    return caught.value


def opened(driver: Any, deed: str) -> Subject:
    subject: Subject = driver.open({"deed": deed}, ldt.Context())
    return subject


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teller")
    source = put_folder(Teller, folder / "source", "ldt-zoo-teller")
    return install_wheel(build_wheel(source, folder), folder / "site")


@pytest.fixture
def apart(site: Path) -> Iterator[ProcessDriver]:
    with ProcessDriver.at(place_of([site, Path(__file__).parent]), "zoo-model") as driver:
        yield driver


def test_a_fresh_process_has_the_variables_and_the_folder_asked_for(tmp_path: Path) -> None:
    with HereDriver(Teller) as here:
        with here.fresh(TZ="Asia/Tokyo", PYTHONHASHSEED="7", PWD=str(tmp_path)) as one, here.fresh() as two:
            first, again, other = told(one), told(one), told(two)
        assert str(first.error.what).startswith(f"Asia/Tokyo {tmp_path} 7 ")
        pids = [int(r.error.what.rpartition(" ")[2]) for r in (first, again, other)]
        assert len({*pids, os.getpid()}) == 3, "one process for one driver, and none of them this"


@pytest.mark.bwrap
def test_a_sandbox_that_hides_process_numbers_and_clears_variables_may_stand_before_it(
    site: Path, tmp_path: Path
) -> None:
    if shutil.which("bwrap") is None:
        assert os.environ.get("CI") != "true", "needs bubblewrap (Debian: apt-get install bubblewrap)"
        pytest.skip("needs bubblewrap (Debian: apt-get install bubblewrap)")
    words = ["bwrap", "--unshare-pid", "--die-with-parent", "--clearenv", "--setenv", "PATH", "/usr/bin:/bin"]
    words += ["--setenv", "TMPDIR", str(tmp_path), "--dev-bind", "/", "/", "--proc", "/proc"]
    place = place_of([site, Path(__file__).parent], launch=Launch(before=tuple(words)))
    with ProcessDriver.at(place, "zoo-model") as inside, inside.fresh(TZ="UTC", PWD=str(tmp_path)) as driver:
        found = told(driver).error.what
        assert found.startswith(f"UTC {tmp_path} None ")
        assert int(found.rpartition(" ")[2]) < 10, "a number of its own namespace"
        assert told(driver, "die").word == "died"


@pytest.fixture(scope="module")
def service(site: Path) -> Iterator[Service]:
    with serve(place_of([site, Path(__file__).parent]), "zoo-model") as found:
        yield found


@pytest.mark.parametrize(
    ("deed", "word"),
    [
        ("exit", "unexpected"),
        ("own", "input"),
        ("where", "not found"),
        ("die", "died"),
        ("garble", "unexpected"),
    ],
)
def test_what_becomes_of_a_component_is_a_word_and_the_next_instance_works(
    apart: ProcessDriver, deed: str, word: str
) -> None:
    assert told(apart, deed).word == word
    with opened(apart, "work") as subject:
        assert len(subject.compute(dict(EXAMPLE.inputs))["load"]) == 3


@pytest.mark.parametrize(("deed", "word"), [("exit", "unexpected"), ("own", "input"), ("where", "not found")])
def test_a_service_says_the_same_words(service: Service, deed: str, word: str) -> None:
    driver = HttpDriver(service.address)
    assert told(driver, deed).word == word
    with opened(driver, "work") as subject:
        assert len(subject.compute(dict(EXAMPLE.inputs))["load"]) == 3


def test_a_service_that_dies_has_died(site: Path) -> None:
    service = serve(place_of([site, Path(__file__).parent]), "zoo-model")
    with HttpDriver(service.address, service=service) as driver:
        assert told(driver, "die").word == "died"
    assert not service.alive


def test_a_service_that_cannot_come_up_says_why(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no installed package offers the component 'zoo-model'"):
        serve(place_of([tmp_path]), "zoo-model")


def test_what_a_component_does_after_its_end_is_its_own(apart: ProcessDriver) -> None:
    with opened(apart, "work") as subject:
        subject.finalize()
        subject.finalize()
        assert len(subject.compute(dict(EXAMPLE.inputs))["load"]) == 3, "this one does not mind"
    with pytest.raises(Raised, match="was finalized"):
        subject.compute(dict(EXAMPLE.inputs))


def test_a_component_that_prints_without_end_holds_nobody_up(
    apart: ProcessDriver, capfd: pytest.CaptureFixture[str]
) -> None:
    with opened(apart, "shout") as subject:
        assert len(subject.compute(dict(EXAMPLE.inputs))["load"]) == 3
    assert capfd.readouterr().err == ""


def test_a_refused_parameter_is_a_config_error_at_every_door(apart: ProcessDriver, service: Service) -> None:
    for driver in (HereDriver(Teller), apart, HttpDriver(service.address)):
        for name in ("threshold", "deed"):
            with pytest.raises(Raised) as caught:
                driver.open({name: "warm"}, ldt.Context())
            assert (caught.value.word, caught.value.path) == ("config", (name,))


def test_the_manifest_of_the_artefact_is_what_the_code_says(apart: ProcessDriver) -> None:
    assert apart.describe() == apart.manifest
    assert sys.modules.keys().isdisjoint({"ldt_zoo_teller"}), "nothing was imported here"


def test_what_a_service_leaves_unsaid_is_what_a_class_leaves_unsaid() -> None:
    said = {k: v for k, v in describe(Mill).items() if v or k == "inputs"}
    assert completed(said, "http://mill") == describe(Mill)
    with pytest.raises(RemoteError, match="tolerances"):
        completed({**said, "tolerances": 3}, "http://mill")


class Mill(ldt.Model):
    """Says no more than it must."""

    id = "mill"
    outputs: ClassVar = {"flour": ldt.Port({"flour": ldt.number("kg", "mass")})}

    def compute(self, inputs: ldt.Tables) -> ldt.Tables:
        return {}
