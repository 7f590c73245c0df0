"""A line for each stage of a run: what is being tried, and what came of it."""

from __future__ import annotations

import time
from collections import Counter
from typing import TextIO

from .outcome import Outcome, Result

STAGES = {
    "PKG": "the package",
    "COR": "what every component owes",
    "SRC": "data source",
    "MOD": "model",
    "SIM": "simulator",
    "VIE": "viewer",
    "HTTP": "service",
}


class Progress:
    """Told each result; writes a stage's line when it ends, and as it goes on a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.live = stream, stream.isatty()
        self.stage: tuple[str | None, str] | None = None
        self.counts: Counter[Outcome] = Counter()
        self.begun = time.monotonic()

    def say(self, words: str) -> None:
        """A line of its own, such as what is being prepared."""
        self.close()
        print(words, file=self.stream, flush=True)

    def __call__(self, result: Result) -> None:
        stage = (result.component, result.requirement.split("-")[1])
        if stage != self.stage:
            self.close()
            self.stage, self.begun = stage, time.monotonic() - result.seconds
        self.counts[result.outcome] += 1
        if self.live:
            print(f"\r\x1b[K{self._line()}", end="", file=self.stream, flush=True)

    def close(self) -> None:
        """End the stage that is open."""
        if self.stage is not None:
            print(f"\r\x1b[K{self._line()}" if self.live else self._line(), file=self.stream, flush=True)
        self.stage = None
        self.counts.clear()

    def _line(self) -> str:
        assert self.stage is not None
        name = f"{self.stage[0] or ''}: {STAGES[self.stage[1]]}".removeprefix(": ")
        said = ", ".join(f"{n} {o}" for o in Outcome if (n := self.counts[o]))
        return f"{name:<44} {said}   {time.monotonic() - self.begun:.1f} s"
