"""Search: an exact name first, then names that begin so, then names spelled nearly so, then texts; certified before not.

Every stage asks the database for at most ``MOST`` candidates, certified ones first, and ranks only those: a word that most
documents hold costs no more than another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from .database import now
from .facets import FACETS
from .problems import Malformed
from .schema import component, search_doc, search_facet
from .words import LONGEST_QUERY, closeness, fold, read_words

MOST = 500
NEAR = 0.45
"""How close (0 to 1) a name must come to what was typed to be taken for it."""
FEW, ENOUGH, CLOSE = 5, 50, 200
"""So few hits that hold every word are followed by those that hold any; so many are not looked for in
descriptions, nor nearly spelled; so many names are looked at for how near they are."""
HEADLINES, EVERYWHERE = "{name title summary} : ", ""
_NAMED: sa.ColumnElement[str] = sa.literal_column("(search_doc.name || ' ' || search_doc.title)")
EXACT, BEGINS, NEARLY, TEXT, ANY = range(5)


@dataclass(frozen=True)
class Hit:
    """A component that was found. ``stage`` says how: by its name, its beginning, nearly, by all words, by any word."""

    id: str
    kind: str
    artifact: str
    level: int
    version: str
    facets: Mapping[str, Sequence[str]]
    stage: int
    score: float


@dataclass(frozen=True)
class Found:
    """A page of hits. ``total`` counts at most ``MOST``; ``facets`` count the values of all hits."""

    hits: list[Hit]
    total: int
    facets: dict[str, dict[str, int]] = field(default_factory=dict)


def search(
    connection: sa.Connection,
    query: str = "",
    filters: Mapping[str, Sequence[str]] | None = None,
    *,
    offset: int = 0,
    limit: int = 20,
    count_facets: bool = True,
) -> Found:
    """Find components. Several values of one facet are alternatives, several facets must all hold.

    ``level`` is the least level. Whatever was typed, it never raises; a facet that is unknown does: Malformed.
    """
    at = now(connection)
    chosen = _filtered(filters or {}, at)
    asked = read_words(query)
    stages: dict[str, tuple[int, float]] = {}
    if query.strip() and not asked:
        return Found([], 0)
    if not asked:
        rows = connection.execute(
            sa.select(search_doc.c.component_id, search_doc.c.changed_at)
            .where(*chosen)
            .order_by(_level(at).desc(), search_doc.c.changed_at.desc())
            .limit(MOST)
        )
        stages = {r.component_id: (TEXT, r.changed_at.timestamp()) for r in rows}
    else:
        named = _by_name(connection, query, chosen, at)
        texts = _by_text(connection, asked, chosen, at)
        # Who spelled it right finds it, or much of it, and need not be told what is spelled nearly so.
        sure = len(texts) >= ENOUGH or any(stage == EXACT for stage, _ in named.values())
        nearly = {} if sure else _nearly(connection, asked, chosen)
        stages = texts | nearly | named
    order = _order(connection, stages, at)
    counted = count(connection, order, at) if count_facets else {}
    page = order[max(offset, 0) : max(offset, 0) + limit]
    return Found(_read_hits(connection, page, stages, at), len(order), counted)


def count(connection: sa.Connection, ids: Sequence[str], at: datetime) -> dict[str, dict[str, int]]:
    """How many of these components have each value of each facet, the most frequent first."""
    number = sa.func.count()
    rows = connection.execute(
        sa.select(search_facet.c.name, search_facet.c.value, number.label("n"))
        .where(search_facet.c.component_id.in_(ids))
        .group_by(search_facet.c.name, search_facet.c.value)
        .order_by(number.desc(), search_facet.c.value)
    )
    found: dict[str, dict[str, int]] = {name: {} for name in FACETS}
    for row in rows:
        found[row.name][row.value] = row.n
    level = _level(at)
    rows = connection.execute(
        sa.select(level.label("level"), number.label("n"))
        .where(search_doc.c.component_id.in_(ids))
        .group_by(level)
        .order_by(level.desc())
    )
    found["level"] = {str(row.level): row.n for row in rows}
    return {name: values for name, values in found.items() if values}


def _level(at: datetime) -> sa.ColumnElement[int]:
    """The level of a certificate while it stands."""
    return sa.case((search_doc.c.certified_until > at, search_doc.c.level), else_=0)


def _filtered(filters: Mapping[str, Sequence[str]], at: datetime) -> list[sa.ColumnElement[bool]]:
    found = []
    for name, values in filters.items():
        if name not in FACETS:
            raise Malformed(
                f"There is no facet {name!r}.", code="no-facet", fix=f"Facets are {', '.join(FACETS)}."
            )
        if name == "level":
            least = [int(v) for v in values if v.isdecimal() and len(v) < 3]
            if len(least) < len(values):
                raise Malformed("A level is 0, 1, 2 or 3.", code="no-facet", fix="Name a level.")
            found.append(_level(at) >= min(least, default=0))
            continue
        clean = [v.encode("utf-8", "ignore").decode().replace("\0", "") for v in values]
        has = sa.select(search_facet.c.component_id).where(
            search_facet.c.name == name, search_facet.c.value.in_(clean)
        )
        found.append(search_doc.c.component_id.in_(has))
    return found


def _by_name(
    connection: sa.Connection, query: str, chosen: Sequence[Any], at: datetime
) -> dict[str, tuple[int, float]]:
    """What is so named, and what begins so. The name in the index is the id, then the name of the project."""
    typed = fold(query[:LONGEST_QUERY])
    joined = typed.replace(" ", "")
    begins = search_doc.c.name.startswith(typed, autoescape=True)
    others = (
        search_doc.c.name.contains(f" {typed}", autoescape=True),
        sa.func.replace(search_doc.c.name, " ", "").startswith(joined, autoescape=True),
        search_doc.c.title == typed,
    )
    rows = connection.execute(
        sa.select(search_doc.c.component_id, search_doc.c.name, search_doc.c.title)
        .where(sa.or_(begins, *others), *chosen)
        .order_by(sa.case((begins, 0), else_=1), _level(at).desc(), sa.func.length(search_doc.c.name))
        .limit(MOST)
    )
    found = {}
    for row in rows:
        own = fold(row.component_id)
        exact = typed in (own, row.title, row.name.removeprefix(own).strip()) or joined == own.replace(
            " ", ""
        )
        found[row.component_id] = (EXACT if exact else BEGINS, 1.0 / (1 + len(row.name)))
    return found


def _nearly(
    connection: sa.Connection, asked: list[str], chosen: Sequence[Any]
) -> dict[str, tuple[int, float]]:
    """What is spelled nearly so: candidates by what they share, then how close each is, the same for both databases."""
    for where in (_sharing_trigrams(connection, asked), _sharing_shape(asked)):
        rows = connection.execute(
            sa.select(search_doc.c.component_id, search_doc.c.name, search_doc.c.title)
            .where(where, *chosen)
            .limit(CLOSE)
        )
        close = {row.component_id: closeness(asked, f"{row.name} {row.title}") for row in rows}
        found = {i: (NEARLY, score) for i, score in close.items() if score >= NEAR}
        if found:
            break
    return found


def _sharing_trigrams(connection: sa.Connection, asked: list[str]) -> sa.ColumnElement[bool]:
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("SET LOCAL pg_trgm.word_similarity_threshold = 0.35"))
        return sa.or_(*(sa.literal(word).op("<%")(_NAMED) for word in asked))
    pieces = {w[n : n + 3] for w in asked for n in range(len(w) - 2)}
    if not pieces:
        return sa.false()
    candidates = sa.text(
        "SELECT component_id FROM search_gram WHERE search_gram MATCH :query ORDER BY rank LIMIT :most"
    ).bindparams(query=" OR ".join(f'"{p}"' for p in sorted(pieces)), most=CLOSE)
    return search_doc.c.component_id.in_([row.component_id for row in connection.execute(candidates)])


def _sharing_shape(asked: list[str]) -> sa.ColumnElement[bool]:
    """A word with the same first letter and about as many: two swapped letters leave a short word no trigram."""
    text = sa.literal(" ") + _NAMED + sa.literal(" ")
    longest = max(asked, key=len)
    lengths = range(max(len(longest) - 2, 3), len(longest) + 1)
    return sa.or_(sa.false(), *(text.like(f"% {longest[0]}{'_' * n} %") for n in lengths))


def _by_text(
    connection: sa.Connection, asked: list[str], chosen: Sequence[Any], at: datetime
) -> dict[str, tuple[int, float]]:
    """What holds every word, the last of which may be begun only; where that is little, after it what holds any."""
    whole: dict[str, tuple[int, float]] = {}
    for part in (HEADLINES, EVERYWHERE):  # most of what is meant says so in its name, title or summary
        found = _match(connection, asked, "AND", part, chosen, at)
        whole = {i: (TEXT, score) for i, score in found.items()} | whole
        if len(whole) >= ENOUGH:
            return whole
    if len(whole) >= FEW or len(asked) == 1:
        return whole
    return {
        i: (ANY, score) for i, score in _match(connection, asked, "OR", HEADLINES, chosen, at).items()
    } | whole


def _match(
    connection: sa.Connection, asked: list[str], joint: str, part: str, chosen: Sequence[Any], at: datetime
) -> dict[str, float]:
    # The words hold letters and digits only, so that no operator of either language is among them.
    if connection.dialect.name == "sqlite":
        matched = sa.text(
            "SELECT component_id, -bm25(search_text, 0, 10.0, 6.0, 3.0, 1.0) AS score "
            "FROM search_text WHERE search_text MATCH :query"
        ).bindparams(
            query=f"{part}(" + f" {joint} ".join([*(f'"{w}"' for w in asked[:-1]), f'"{asked[-1]}" *']) + ")"
        )
        text = matched.columns(sa.column("component_id", sa.Text), sa.column("score", sa.Float)).subquery()
        query = (
            sa.select(search_doc.c.component_id, text.c.score)
            .join(text, text.c.component_id == search_doc.c.component_id)
            .where(*chosen)
            .order_by(_level(at).desc(), text.c.score.desc())
            .limit(MOST)
        )
    else:
        operator = "&" if joint == "AND" else "|"
        marks = "ABC" if part else ""
        listed = [*(f"{w}:{marks}" if marks else w for w in asked[:-1]), f"{asked[-1]}:*{marks}"]
        words = sa.func.to_tsquery("english", f" {operator} ".join(listed))
        vector: sa.ColumnElement[Any] = sa.literal_column("search_doc.vector")
        inner = (
            sa.select(search_doc.c.component_id, vector.label("vector"))
            .where(vector.op("@@")(words), *chosen)
            .order_by(_level(at).desc())
            .limit(MOST)
            .subquery()
        )
        weights: sa.ColumnElement[Any] = sa.literal_column("'{0.1, 0.3, 0.6, 1.0}'::float4[]")
        query = sa.select(
            inner.c.component_id, sa.func.ts_rank(weights, inner.c.vector, words).label("score")
        )
    return {row.component_id: float(row.score) for row in connection.execute(query)}


def _order(connection: sa.Connection, stages: Mapping[str, tuple[int, float]], at: datetime) -> list[str]:
    """By stage, certified before not, then by score."""
    level = _level(at).label("now")
    rows = connection.execute(
        sa.select(search_doc.c.component_id, level).where(search_doc.c.component_id.in_(list(stages)))
    )
    keys = [(stages[i][0], now == 0, -stages[i][1], i) for i, now in rows]
    return [i for *_, i in sorted(keys)[:MOST]]


def _read_hits(
    connection: sa.Connection, page: Sequence[str], stages: Mapping[str, tuple[int, float]], at: datetime
) -> list[Hit]:
    rows = connection.execute(
        sa.select(search_doc, component.c.kind, component.c.artifact, _level(at).label("now"))
        .join(component, component.c.id == search_doc.c.component_id)
        .where(search_doc.c.component_id.in_(page))
    )
    hits = {
        r.component_id: Hit(
            r.component_id, r.kind, r.artifact, r.now, r.version, r.facets, *stages[r.component_id]
        )
        for r in rows
    }
    return [hits[i] for i in page]
