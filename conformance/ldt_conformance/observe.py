"""A bench for a package: an environment that holds it and what it declares, and what its components do there.

What a component did is read from what the kernel shows of its walls (packets, files, processes, memory); the audit hook
inside only names the line.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ldt_core.catalog import Offer, cache_folder
from ldt_core.environments import Environment, environment_variables, solve
from ldt_core.errors import PluginError

from . import sandbox
from .artefact import Artefact
from .drivers.process import ProcessDriver
from .example import Example
from .exercise import Observed, exercise, left_running, own_log, show
from .requirements import Requirement
from .sandbox import Limits, Sandbox
from .trial import CannotTell, Trial

_PROBE = Path(__file__).parent / "confine" / "probe.py"
LIMITS = Limits(cpu=200, seconds=240)
"""Of one example under watch."""


class Bench:
    """Where a package is installed and tried. Everything is made when it is first asked for."""

    def __init__(self, artefact: Artefact, examples: Mapping[str, Example]) -> None:
        self.artefact, self.examples = artefact, examples
        self._room = tempfile.TemporaryDirectory(prefix="ldt-bench-")
        self.room = Path(self._room.name)
        self._environment: Environment | None = None
        self._observed: dict[str, tuple[set[str], Observed]] = {}
        self._imported: tuple[set[str], dict[str, Any]] = (set(), {})

    def close(self) -> None:
        self._room.cleanup()

    # -- its environment --

    def environment(self) -> Environment:
        """One that holds the package, what it declares, and this core. Raises ``PluginError``."""
        if self._environment is None:
            a = self.artefact
            with offline(a):
                wanted = f"{a.name} @ {a.wheel.resolve().as_uri()}"
                self._environment = solve([wanted], cache_folder() / "certify")[0]
        return self._environment

    @property
    def package(self) -> Path:
        """The folder of the installed package."""
        return Path(self.environment().site) / self.artefact.package

    def can_install(self) -> bool:
        """Whether anything at all can be installed here without a network: what this core needs."""
        try:
            with offline(self.artefact):
                solve(["pluggy"], cache_folder() / "certify")
        except PluginError:
            return False
        return True

    # -- its import --

    def imported(self, requirement: Requirement) -> dict[str, Any]:
        """What importing the package does, once for all requirements; one that asks again gets another look."""
        askers, found = self._imported
        if not found or requirement.id in askers:
            askers, found = set(), self.probe()
        self._imported = ({*askers, requirement.id}, found)
        return found

    def probe(self, environment: Environment | None = None, first: Sequence[str] = ()) -> dict[str, Any]:
        """What importing the package does and what it offers, see ``confine.probe``; inside walls where there can be any.

        Under ``seen`` what was seen from outside; None where there are no walls.
        """
        environment = environment or self.environment()
        with tempfile.TemporaryDirectory(dir=self.room) as folder:
            walls = None
            if not sandbox.unavailable():
                beside = [self.package] if environment is self._environment else []
                walls = Sandbox(
                    environment, beside=beside, judged=self.package, limits=Limits(seconds=60, cpu=20)
                )
            answer = (walls.scratch if walls else Path(folder)) / "answer.json"
            words = [environment.python, "-P", str(_PROBE), self.artefact.package, str(answer), *first]
            if walls is None:
                variables = {**environment_variables(), "LDT_CACHE": folder, "TMPDIR": folder}
                done = subprocess.run(words, capture_output=True, text=True, cwd=folder, env=variables)
                return {"seen": None, **_answer(answer, done.stdout + done.stderr, done.returncode)}
            with walls:
                ended = walls.run(words)
                return {"seen": ended.seen, **_answer(answer, ended.output, ended.code, ended.seen.limit)}

    # -- its components --

    def offers(self) -> list[Offer]:
        found = self.environment().offers().offers
        return [o for o in found if o.distribution == self.artefact.name]

    def observed(self, offer: Offer, requirement: Requirement) -> Observed:
        """What a component did in its example. The same run serves all requirements; one that asks again gets another.

        Raises ``CannotTell`` where there can be no walls, or the example cannot be run by the suite.
        """
        if problem := sandbox.unavailable():
            raise CannotTell(f"nothing can be seen from outside without walls: {problem}")
        askers, found = self._observed.get(offer.id, (set(), None))
        if found is None or requirement.id in askers:
            askers, found = set(), self.watch(offer, requirement)
        self._observed[offer.id] = ({*askers, requirement.id}, found)
        return found

    def watch(
        self,
        offer: Offer,
        requirement: Requirement,
        params: Mapping[str, Any] | None = None,
        *,
        spoil: bool = False,
    ) -> Observed:
        """Run the example inside walls, with other parameters if any are given; ``spoil``: with wrong inputs after it."""
        example = self.examples.get(offer.id, Example())
        if params is not None:
            example = replace(example, params=params)
        read = [example.base] if example.base != Path() else []
        found = Observed()
        log, lines = own_log()
        with Sandbox(
            self.environment(), limits=LIMITS, read=read, beside=[self.package], judged=self.package
        ) as walls:
            driver = ProcessDriver(offer, walls.place(), scratch=walls.scratch)
            if params is not None:  # its words are looked at
                launch = driver.place.launch._replace(quiet=False)
                driver.place = driver.place._replace(launch=launch)
            trial = Trial(requirement, driver, example)
            try:
                if offer.kind == "viewer":
                    show(trial, found, walls)
                else:
                    exercise(trial, found, log, spoil=spoil)
                    found.left = left_running(walls)
            finally:
                trial.close()
                driver.close()
            if offer.kind != "viewer":
                found.seen = walls.seen()
        found.left = found.left or found.seen.left
        found.texts["what it printed"] = found.seen.printed
        found.texts["its log"] = "\n".join(lines)
        return found


def _answer(path: Path, printed: str, code: int, limit: str | None = None) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return dict(found)
    except (OSError, ValueError):
        how = f"met the limit of {limit}" if limit else f"ended the process with code {code}"
        return {"loaded": False, "raised": f"importing it {how}", "where": "", "printed": printed[-2000:]}


@contextmanager
def offline(artefact: Artefact) -> Iterator[None]:
    """uv without a network, with what the vendor handed in."""
    wanted = {"UV_OFFLINE": "1"}
    if artefact.links is not None:
        wanted["UV_FIND_LINKS"] = str(artefact.links)
    if artefact.lock is not None:
        wanted["UV_CONSTRAINT"] = str(artefact.lock)
    kept = {n: os.environ.get(n) for n in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in kept.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
