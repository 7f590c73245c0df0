"""What people type finds what they mean: on SQLite and on PostgreSQL, whatever they type."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
import shelves
import sqlalchemy as sa
import time_machine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ldt_registry import schema
from ldt_registry.catalogue import refresh_all, refresh_project
from ldt_registry.database import now
from ldt_registry.problems import Conflict, Malformed
from ldt_registry.registry import Registry
from ldt_registry.search import ANY, EXACT, NEARLY, Found, search
from ldt_registry.words import closeness, fold, read_words

Ask = Callable[..., Found]


@pytest.fixture
def ask(registry: Registry) -> Ask:
    """Search a small city of components."""
    shelves.fill(registry)

    def ask(query: str = "", **filters: list[str]) -> Found:
        with registry.database.read() as connection:
            return search(connection, query, {k.replace("_", "-"): v for k, v in filters.items()}, limit=500)

    return ask


def ids(found: Found) -> list[str]:
    return [h.id for h in found.hits]


# What is typed, and what must come first. Fifty, as people wrote them in issues of other indexes: names, parts, slips, words.
GOLDEN = {
    "flood-depth": "flood-depth", "flood depth": "flood-depth", "Flood_Depth": "flood-depth", "FLOOD-DEPTH": "flood-depth",
    "ldt-simulator-flood-depth": "flood-depth", "floo": "flood-depth", "flood": "flood-depth", "flod-depth": "flood-depth",
    "flood-dpeth": "flood-depth", "fload depth": "flood-depth", "water stands": "flood-depth", "how high the water": "flood-depth",
    "rain-radar": "rain-radar", "rain": "rain-radar", "rian-radar": "rain-radar", "radar rain": "rain-radar", "rainfall": "rain-radar",
    "five minutes": "rain-radar", "rain-gauge": "rain-gauge", "gauge": "rain-gauge", "guage": "rain-gauge", "point measurements": "rain-gauge",
    "rain_gauges": "rain-gauge", "flood risk": "flood-risk", "flood-risk": "flood-risk", "losses": "flood-risk", "expected loss": "flood-risk",
    "buildings": "flood-risk", "drainage": "urban-drainage", "urban-drainage": "urban-drainage", "drains": "urban-drainage",
    "urban drainge": "urban-drainage", "surcharge": "urban-drainage", "sewer": "urban-drainage", "road-traffic": "road-traffic",
    "vehicles": "road-traffic", "trafic": "road-traffic", "road-noise": "road-noise", "noise": "road-noise", "road noise": "road-noise",
    "roadnoise": "road-noise", "facade": "road-noise", "lärm": "railway-noise", "larm": "railway-noise", "railway": "railway-noise",
    "zugen": "railway-noise", "tram": "tram-delay", "late at stops": "tram-delay", "heat": "heat-island", "night temperature": "heat-island",
    "kpi": "kpi-radar", "kpi-table": "kpi-table", "kpi-views": "kpi-radar", "chart of kpis": "kpi-radar", "air_temperature": "heat-island",
}  # fmt: skip


def test_fifty_queries_find_what_is_meant(ask: Ask) -> None:
    assert len(GOLDEN) >= 50
    wrong = {q: ids(ask(q))[:3] for q, wanted in GOLDEN.items() if ids(ask(q))[:1] != [wanted]}
    assert wrong == {}


def test_an_exact_name_comes_first_although_another_is_certified(ask: Ask) -> None:
    found = ask("road-traffic")
    assert found.hits[0].stage == EXACT
    assert found.hits[0].level == 0


def test_certified_comes_before_not_certified_within_a_stage(ask: Ask) -> None:
    for query in ("rain", "noise", "flood", "sound levels", ""):
        hits = ask(query).hits
        assert len(hits) > 1
        marks = [(h.stage, h.level == 0) for h in hits]
        assert marks == sorted(marks), query


def test_stuffing_a_description_with_words_does_not_help(ask: Ask) -> None:
    for query in ("flood", "rain noise", "heat", "traffic"):
        hits = ask(query).hits
        assert hits[0].id != "best-of-all", query
    assert ask("flood rain cold").hits[-1].stage == ANY


def test_a_slip_of_the_finger_is_told_as_one(ask: Ask) -> None:
    assert ask("flod-depth").hits[0].stage == NEARLY
    assert ids(ask("zzzzqqqq")) == []


def test_facets_filter_and_are_counted(ask: Ask) -> None:
    assert ids(ask(kind=["viewer"])) == ["kpi-radar", "kpi-table"]
    assert set(ids(ask(kind=["viewer", "source"]))) == {"kpi-radar", "kpi-table", "rain-radar", "rain-gauge"}
    assert ids(ask(needs=["rainfall_rate"], capability=["checkpoint"])) == ["flood-depth"]
    assert set(ids(ask(gives=["x:sound_level_a"], gives_unit=["dB"]))) == {"road-noise", "railway-noise"}
    assert set(ids(ask("noise", level=["2"]))) == {"railway-noise"}
    assert ids(ask(licence=["EUPL-1.2"])) == ["flood-risk"]
    assert ids(ask(standard=["OGC WaterML 2"])) == ids(ask(deployment=["on-premise"])) == ["flood-depth"]
    assert ids(ask(mim=["MIM1"])) == ids(ask(mim=["MIM1 partial"])) == ["road-traffic"]
    counted = ask().facets
    assert counted["kind"] == {"model": 6, "simulator": 3, "source": 2, "viewer": 2}
    assert counted["level"] == {"3": 1, "2": 2, "1": 1, "0": 9}
    assert counted["needs"] == {"rainfall_rate": 2, "x:travel_time": 2, "x:water_depth": 1}


def test_an_unknown_facet_is_told(ask: Ask) -> None:
    with pytest.raises(Malformed, match="kind"):
        ask(colour=["red"])
    with pytest.raises(Malformed, match="level"):
        ask(level=["high"])


HOSTILE = [
    '"', "'", "a\"b'c", "flood OR", "OR", "AND NOT", "NEAR(a b)", "name:flood", "flood*", "*", "^flood", "(", ")", "a AND", "-flood", "{a b}",
    "flood\0depth", "\0", "\ud800", "%", "_", "%%%s", "\\", "';DROP TABLE search_doc;--", "flood & | !", "<->", ":*", "a:*b", "flood\n\tdepth",
    "\u202eflood", "🏙️", "x" * 100_000, "a " * 10_000, "١٢٣", "ﬂood", "İ", "ß", "the", "of the and", "１２", "²", "a" * 2000 + "%", "\x1b[31m",
]  # fmt: skip


def test_no_query_raises(ask: Ask) -> None:
    for query in HOSTILE:
        assert isinstance(ask(query), Found), query
        assert isinstance(ask("rain", kind=[query], licence=[query]), Found), query
    assert ids(ask("flood\0-depth"))[0] == "flood-depth"
    assert ids(ask("ﬂood depth"))[0] == "flood-depth"
    assert len(ids(ask())) == 13


@given(st.lists(st.text(max_size=250), min_size=40, max_size=40))
@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_a_query(registry: Registry, queries: list[str]) -> None:
    with registry.database.read() as connection:
        for query in queries:
            assert search(connection, query).total == 0


@given(st.text(max_size=300))
def test_words_of_any_text_are_letters_and_digits(text: str) -> None:
    words = read_words(text)
    assert len(words) <= 12
    assert all(w and all(c.isalnum() for c in w) and w == fold(w) for w in words)
    assert 0 <= closeness(words, fold(text)) <= 1


def test_pages_of_hits_join_to_the_whole(ask: Ask, registry: Registry) -> None:
    whole = ids(ask("rain noise flood"))
    with registry.database.read() as connection:
        pages = [
            search(connection, "rain noise flood", offset=n, limit=2) for n in range(0, len(whole) + 2, 2)
        ]
    assert [i for p in pages for i in ids(p)] == whole
    assert {p.total for p in pages} == {len(whole)}


def test_what_is_quarantined_yanked_or_withdrawn_is_not_found(ask: Ask, registry: Registry) -> None:
    def change(table: sa.Table, where: sa.ColumnElement[bool], **values: object) -> None:
        with registry.database.write() as connection:
            connection.execute(sa.update(table).where(where).values(**values))
            refresh_all(connection)

    name = schema.project.c.norm_name
    change(schema.project, name == "ldt-simulator-flood-depth", status="quarantined", reason="a look")
    assert "flood-depth" not in ids(ask_again(registry, "flood depth"))
    change(schema.project, name == "ldt-simulator-flood-depth", status="active", reason=None)
    assert ids(ask_again(registry, "flood depth"))[0] == "flood-depth"
    owned = sa.select(schema.project.c.id).where(name == "ldt-model-flood-risk").scalar_subquery()
    change(
        schema.release,
        schema.release.c.project_id == owned,
        state="yanked",
        yank_code="broken",
        yank_text="x",
    )
    assert "flood-risk" not in ids(ask_again(registry, "flood risk"))


def ask_again(registry: Registry, query: str) -> Found:
    with registry.database.read() as connection:
        return search(connection, query)


def test_a_certificate_that_ended_or_was_revoked_no_longer_lifts(registry: Registry) -> None:
    project_id = shelves.put(registry, shelves.manifest("heat-island", "Heat"), level=2, days=30)
    assert ask_again(registry, "heat").hits[0].level == 2
    with registry.database.write() as connection:
        if registry.database.dialect == "sqlite":  # the clock of PostgreSQL cannot be moved from here
            with time_machine.travel(now(connection) + timedelta(days=31), tick=False):
                assert search(connection, "heat").hits[0].level == 0
        one = connection.scalar(sa.select(schema.certificate.c.id))
        connection.execute(
            sa.insert(schema.cert_status).values(certificate_id=one, state="revoked", reason="x", since=now(connection), actor="a")
        )  # fmt: skip
        refresh_project(connection, project_id)
    assert ask_again(registry, "heat").hits[0].level == 0


def test_the_newest_final_version_is_what_is_found(registry: Registry) -> None:
    shelves.put(registry, shelves.manifest("heat-island", "Old title"), version="1.10")
    shelves.put(registry, shelves.manifest("heat-island", "New title"), version="1.9")
    shelves.put(registry, shelves.manifest("heat-island", "Newest title"), version="2.0rc1")
    assert ask_again(registry, "old title").hits[0].version == "1.10"
    assert ask_again(registry, "heat").total == 1


def test_an_id_is_one_projects_and_keeps_its_kind(registry: Registry) -> None:
    shelves.put(registry, shelves.manifest("heat-island", "Heat"))
    with pytest.raises(Conflict, match="another project"):
        shelves.put(registry, shelves.manifest("heat-island", "Mine"), project="other")
    with pytest.raises(Conflict, match="twins rely"):
        shelves.put(
            registry,
            shelves.manifest("heat-island", "Heat", "viewer"),
            project="ldt-model-heat-island",
            version="2.0",
        )
    assert ask_again(registry, "mine").total == 0


def test_making_the_index_anew_changes_nothing(ask: Ask, registry: Registry) -> None:
    asked = list(GOLDEN)[::5]
    before = {q: ids(ask(q))[:20] for q in asked}
    with registry.database.write() as connection:
        assert refresh_all(connection) == 13
    assert {q: ids(ask_again(registry, q)) for q in asked} == before
