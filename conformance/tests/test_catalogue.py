"""The catalogue keeps its own rules."""

from __future__ import annotations

from ldt_conformance.checks import checks
from ldt_conformance.requirements import KINDS, catalogue, export, profile, released
from ldt_conformance.zoo import specimens
from ldt_conformance.zoo.packages import packages
from ldt_conformance.zoo.services import services


def test_every_released_requirement_has_a_check_and_nothing_else_has() -> None:
    assert set(checks()) == set(released())


def test_every_released_requirement_has_a_mutant() -> None:
    broken = {s.fails for s in specimens()} | {p.fails for p in packages()} | {s.fails for s in services()}
    assert set(released()) <= broken


def test_every_kind_owes_something_of_its_own_whatever_it_claims() -> None:
    for area, kind in KINDS.items():
        owed = {r.area for r, left_out in profile(kind, 1, (), "process") if not left_out}
        assert {area, "COR"} <= owed, f"a {kind} would be certified for what it is not"


def test_needs_stand_before_what_needs_them() -> None:
    order = list(catalogue())
    for id, requirement in catalogue().items():
        for need in requirement.needs:
            assert order.index(need) < order.index(id), f"{id} needs {need}, which comes later"


def test_every_released_requirement_shows_a_fault_and_its_mending() -> None:
    for requirement in released().values():
        for field in ("title", "must", "why", "source", "mend", "failing", "mended"):
            assert getattr(requirement, field).strip(), f"{requirement.id} lacks {field}"
        assert "MUST" in requirement.must, requirement.id


def test_the_export_names_its_digest() -> None:
    found = export()
    assert len(found["sha256"]) == 64
    assert [r["id"] for r in found["requirements"]] == list(released())
