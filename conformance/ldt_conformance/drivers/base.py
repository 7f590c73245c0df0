"""A driver, the instance that it opens, and what that may raise: all that a check touches of a component."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import ValidationError

import ldt_core as ldt
from ldt_core import errors
from ldt_core.interfaces import AnyPort, Component

from ..budget import TooLong
from ..requirements import Door

Word = Literal[
    "config",
    "input",
    "not found",
    "unavailable",
    "unsupported",
    "cancelled",
    "unexpected",
    "died",
    "too long",
]
"""What a component raised, in the contract's words; ``unexpected`` is anything that it may not raise."""

_WORDS: tuple[tuple[type[Exception], Word], ...] = (
    (errors.ParamError, "config"),
    (errors.InputError, "input"),
    (errors.NotFound, "not found"),
    (errors.Unavailable, "unavailable"),
    (errors.Unsupported, "unsupported"),
    (errors.Cancelled, "cancelled"),
)


class Raised(Exception):
    """What the component under test raised from a call. ``error`` is the exception as the driver got it."""

    def __init__(self, error: BaseException, call: str, word: Word) -> None:
        super().__init__(f"{call} raised {type(error).__name__}: {error}")
        self.error, self.call, self.word = error, call, word

    @property
    def path(self) -> tuple[str, ...]:
        """Where in the parameters or inputs the culprit stands, as far as the error says."""
        if isinstance(self.error, ValidationError):
            return tuple(str(p) for p in self.error.errors(include_url=False)[0]["loc"])
        where = getattr(self.error, "where", "")
        return (where,) if where else ()


class Driver(ABC):
    """A way in to one component. ``manifest`` is what is said of it (see ``ldt_core.manifest.describe``)."""

    door: ClassVar[Door]
    manifest: Mapping[str, Any]
    _another: Driver | None = None
    _stack: ExitStack | None = None
    scratch: Path | None = None
    """Where folders must lie that the component is to see; None: anywhere."""

    @abstractmethod
    def component(self) -> type[Component]:
        """The class that stands for the component here: its own, or a proxy that speaks to it."""

    @abstractmethod
    def fresh(self, **environment: str) -> AbstractContextManager[Driver]:
        """The same component in a new process, under these environment variables (``TZ``, ``LANG``,
        ``PYTHONHASHSEED``, ``PWD`` as its working folder); over HTTP, a new session of the same service."""

    def another(self) -> Driver:
        """The same component in another process, the same one as long as this driver is open."""
        if self._another is None:
            self._stack = ExitStack()
            self._another = self._stack.enter_context(self.fresh())
        return self._another

    def word_of(self, error: BaseException) -> Word:
        """What ``error`` says in the contract's words."""
        for kind, word in _WORDS:
            if isinstance(error, kind):
                return word
        return "unexpected"

    def describe(self) -> Mapping[str, Any]:
        """What the component says of itself when asked now (the manifest is what its artefact says)."""
        return self.manifest

    def open(
        self,
        params: Mapping[str, Any],
        context: ldt.Context,
        *,
        base: Any = None,
    ) -> Subject:
        """A new instance. Relative files in ``params`` start at ``base``. Raises ``Raised``."""
        kind = self.call("load", self.component)
        whole = None if base is None else Path(base).absolute()  # a fresh process may stand in another folder

        def read() -> Any:
            return kind.Params.model_validate(dict(params), context={"base": whole})

        try:
            found = self.call("open", read)
        except Raised as raised:
            if isinstance(raised.error, ValidationError):
                raise Raised(raised.error, "open", "config") from raised.error
            raise
        return Subject(self.call("open", kind, found, context), self)

    def call(self, name: str, work: Any, *arguments: Any) -> Any:
        """Call into the component; whatever comes out of it comes as ``Raised``."""
        try:
            return work(*arguments)
        except (TooLong, KeyboardInterrupt):
            raise
        except BaseException as exc:
            raise Raised(exc, name, self.word_of(exc)) from exc

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def memory(self, subject: Subject) -> int | None:
        """Bytes that the process in which ``subject`` lives holds now; None where that cannot be seen."""
        return None

    def dropped(self, subject: Subject) -> Mapping[str, Sequence[str]]:
        """Columns that came by a port, were not declared and did not get as far as here."""
        return {}

    def close(self) -> None:
        """End what was started for it."""
        if self._stack is not None:
            self._stack.close()
            self._another = self._stack = None


class Subject:
    """One instance of the component under test. Every call may raise ``Raised``."""

    def __init__(self, component: Component, driver: Driver) -> None:
        self.component = component
        self.driver = driver

    def __enter__(self) -> Subject:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of it; whether it finalizes well is a requirement of its own."""
        with suppress(Raised):
            self._call("finalize")

    @property
    def context(self) -> ldt.Context:
        return self.component.context

    def _call(self, name: str, *arguments: Any) -> Any:
        return self.driver.call(name, getattr(self.component, name), *arguments)

    # -- every kind --

    def ports(self) -> tuple[Mapping[str, AnyPort], Mapping[str, AnyPort]]:
        found: tuple[Mapping[str, AnyPort], Mapping[str, AnyPort]] = self._call("ports")
        return found

    def capabilities(self) -> frozenset[str]:
        found: frozenset[str] = self._call("capabilities")
        return found

    def finalize(self) -> None:
        """Let it finalize; it can be called again, to see what it does then."""
        self.driver.call("finalize", getattr(self.component, "finalize_only", self.component.finalize))

    # -- sources --

    def batches(self, query: ldt.Query) -> Iterator[ldt.Tables]:
        """What ``read`` gives, batch by batch as it comes."""
        answer = self._call("read", query)
        if isinstance(answer, Mapping) or not isinstance(answer, Iterator):
            yield answer
            return
        end = object()
        while (batch := self.driver.call("read", next, answer, end)) is not end:
            yield batch

    def read(self, query: ldt.Query) -> dict[str, Any]:
        """All batches joined, by port."""
        parts: dict[str, list[Any]] = {}
        for batch in self.batches(query):
            for name, item in batch.items():
                parts.setdefault(name, []).append(item)
        return {n: items[0] if len(items) == 1 else ldt.Table.concat(items) for n, items in parts.items()}

    def listen(self, query: ldt.Query, cursor: str | None = None) -> Iterator[tuple[ldt.Tables, str]]:
        stream = self._call("listen", query, cursor)
        end = object()
        while (item := self.driver.call("listen", next, stream, end)) is not end:
            yield item

    def version(self, query: ldt.Query) -> str | None:
        found: str | None = self._call("version", query)
        return found

    # -- models --

    def compute(self, inputs: ldt.Tables) -> ldt.Tables:
        found: ldt.Tables = self._call("compute", inputs)
        return found

    # -- simulators --

    def initialize(self, inputs: ldt.Tables) -> ldt.Tables:
        found: ldt.Tables = self._call("initialize", inputs) or {}
        return found

    def step(self, inputs: ldt.Tables, until: int) -> ldt.Step:
        """One step over [context.window.start, until); the window is set here."""
        start = self.context.window.start
        self.context.window = ldt.Window(start, until)
        answer = self._call("step", inputs, until)
        return answer if isinstance(answer, ldt.Step) else ldt.Step(answer, until)

    def get_state(self) -> bytes:
        found: bytes = self._call("get_state")
        return found

    def set_state(self, state: bytes) -> None:
        self._call("set_state", state)

    # -- viewers --

    def render(self, view: Any) -> Any:
        return self._call("render", view)
