"""The contract's own defaults: what a component does not offer, it refuses in the contract's words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import ldt_core as ldt


class Silent(ldt.DataSource):
    id = "silent"


class Still(ldt.Simulator):
    id = "still"

    def step(self, inputs: ldt.Tables, until: int) -> ldt.Tables:
        return {}


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: Silent().read(ldt.Query()), "'silent' is read by listening only"),
        (lambda: Silent().listen(ldt.Query()), "'silent' cannot be listened to"),
        (lambda: Still().get_state(), "'still' does not give or take its state"),
        (lambda: Still().set_state(b""), "'still' does not give or take its state"),
    ],
)
def test_what_a_component_does_not_offer_is_unsupported(call: Callable[[], Any], said: str) -> None:
    with pytest.raises(ldt.Unsupported) as caught:
        call()
    assert caught.value.what == said


class Saved(Still):
    id = "saved"

    def get_state(self) -> bytes:
        return b""


class Heard(Silent):
    id = "heard"

    def listen(self, query: ldt.Query, cursor: str | None = None) -> Iterator[tuple[ldt.Tables, str]]:
        yield from ()


@pytest.mark.parametrize(
    ("kind", "shown"), [(Still, set()), (Saved, {"state"}), (Silent, set()), (Heard, {"incremental"})]
)
def test_a_component_can_what_its_class_overrides(kind: type[ldt.Component], shown: set[str]) -> None:
    assert kind().capabilities() == shown
