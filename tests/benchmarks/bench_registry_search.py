"""Search over ten thousand components (made up), on SQLite and PostgreSQL: the 95th percentile of forty queries, and the
slowest. The floor is one bare match of the database's own index, ranked by the database.

`python tests/benchmarks/bench_registry_search.py [--components N]`
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "registry" / "tests"))

from ldt_registry import schema  # noqa: E402
from ldt_registry.catalogue import record_components, refresh_project  # noqa: E402
from ldt_registry.database import now  # noqa: E402
from ldt_registry.distribution import Distribution  # noqa: E402
from ldt_registry.registry import Registry, initialise  # noqa: E402
from ldt_registry.search import search  # noqa: E402
from ldt_registry.settings import Settings  # noqa: E402

WHAT = [
    "flood",
    "noise",
    "traffic",
    "heat",
    "rain",
    "power",
    "water",
    "tram",
    "bus",
    "air",
    "solar",
    "wind",
    "waste",
    "tree",
    "parking",
]
HOW = [
    "depth",
    "level",
    "demand",
    "forecast",
    "risk",
    "delay",
    "count",
    "supply",
    "quality",
    "island",
    "radar",
    "gauge",
    "balance",
    "map",
]
FLOOR = {
    "sqlite": "SELECT component_id FROM search_text WHERE search_text MATCH '\"flood\"' ORDER BY rank LIMIT 20",
    "postgresql": "SELECT component_id FROM search_doc WHERE vector @@ to_tsquery('english', 'flood') "
    "ORDER BY ts_rank(vector, to_tsquery('english', 'flood')) DESC LIMIT 20",
}


def fill(registry: Registry, number: int) -> None:
    chance = random.Random(1)
    from shelves import _insert, manifest

    words = (
        WHAT
        + HOW
        + [
            f"{a}{b}"
            for a in "bdfgklmnprst"
            for b in (f"{v}{c}{w}" for v in "aeiou" for c in "klmnrst" for w in "aeiou")
        ]
    )
    often = [1 / (1 + n) for n in range(len(words))]  # as words are: the first is in nearly every text

    with registry.database.write() as connection:
        at = now(connection)
        account = _insert(connection, schema.account, name="a", created_at=at)
        for n in range(number):
            what, how = chance.choice(WHAT), chance.choice(HOW)
            name = f"{what}-{how}-{n}"
            text = " ".join(chance.choices(words, often, k=60))
            plain = manifest(
                name,
                f"{what} {how}",
                description=text,
                gives={"x": ("m", f"x:{what}_{how}")},
                needs={"y": ("m", f"x:{how}_{what}")},
            )
            row = {"name": name, "norm_name": name, "skeleton": name, "account_id": account, "created_at": at}
            project = _insert(connection, schema.project, **row)
            release = _insert(
                connection,
                schema.release,
                project_id=project,
                version="1.0",
                canonical="1",
                created_at=at,
                published_at=at,
                summary=text[:80],
            )
            found = Distribution(
                f"{name}.whl", "bdist_wheel", name, name, "1.0", "1", b"", components=(plain,)
            )
            record_components(connection, project, release, found)
            refresh_project(connection, project)


def queries() -> list[str]:
    """Names, beginnings, slips, words that most hold, words that none holds."""
    chance = random.Random(2)
    pairs = [(chance.choice(WHAT), chance.choice(HOW)) for _ in range(8)]
    found = [f"{a}-{b}-{chance.randrange(9999)}" for a, b in pairs] + [f"{a} {b}" for a, b in pairs]
    found += [a[:3] for a, _ in pairs] + [f"{a[:2]}{a[3:]} {b}" for a, b in pairs]
    return found + [
        "flood",
        "level",
        "x:rain_depth",
        "nothing of the kind",
        "guage",
        "",
        "the flood risk of noise",
        "q",
    ]


def timed(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return (time.perf_counter() - start) * 1000


def measure(settings: Settings, number: int) -> list[dict[str, Any]]:
    registry = Registry.open(settings)
    initialise(registry)
    fill(registry, number)
    dialect, asked = registry.database.dialect, queries()

    def run(query: str) -> None:
        with registry.database.read() as connection:
            search(connection, query)

    def floor() -> None:
        with registry.database.read() as connection:
            connection.execute(sa.text(FLOOR[dialect])).all()

    for query in asked:
        run(query)
    times = sorted(timed(lambda q=query: run(q)) for query in asked * 3)  # type: ignore[misc]
    least = statistics.median(timed(floor) for _ in range(9))
    registry.close()
    p95 = times[int(len(times) * 0.95)]
    return [
        {"what": f"{dialect}: one bare match", "ms": least, "ratio": 1.0, "aim": None},
        {
            "what": f"{dialect}: search, median",
            "ms": statistics.median(times),
            "ratio": statistics.median(times) / least,
            "aim": None,
        },
        {"what": f"{dialect}: search, 95 % (aim 100 ms)", "ms": p95, "ratio": p95 / least, "aim": None},
        {"what": f"{dialect}: search, slowest", "ms": times[-1], "ratio": times[-1] / least, "aim": None},
    ]


def main(number: int = 10_000) -> list[dict[str, Any]]:
    from servers import Postgresql

    with tempfile.TemporaryDirectory() as folder, Postgresql() as server:
        sqlite = Settings.load(home=Path(folder) / "one", keep_free=0)
        other = Settings.load(home=Path(folder) / "two", database=server.new_database(), keep_free=0)
        return [*measure(sqlite, number), *measure(other, number)]


if __name__ == "__main__":
    words = sys.argv[1:]
    for row in main(int(words[1]) if words[:1] == ["--components"] else 10_000):
        print(f"{row['what']:<50} {row['ms']:>10.2f} ms  x{row['ratio']:.2f}")
