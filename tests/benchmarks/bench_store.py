"""A hit in the store against joblib.Memory and a floor: the same input of 8 MB, the same result of 1.6 MB.

The input is at hand in all three, as it is between two stages of a run. joblib hashes it at every call;
a table keeps its digest, so a hit hashes nothing but the key. The floor hashes the input once too, and
maps a .npy. What a run does with a hit is to go on with the digest; reading the result is told apart.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ldt_core.store import Store
from ldt_core.tables import Port, Recording, Table, instant, number

ROWS, RESULT = 1_000_000, 200_000


def best(work: Callable[[], Any], times: int) -> float:
    """Milliseconds, the least of several."""
    took = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        took.append(time.perf_counter() - begun)
    return min(took) * 1000


def scenario(values: np.ndarray, share: float) -> np.ndarray:
    return values[:RESULT] * share


def main() -> list[dict[str, Any]]:
    values = np.random.default_rng(1).random(ROWS)
    result = scenario(values, 0.5)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        floor = best(_floor(folder, values, result), 500)
        store = Store(folder / "store")
        with store.lease("benchmark"):
            find, load = _ours(store, values, result)
            hit, read = best(find, 500), best(load, 20)
        peer = best(_joblib(folder, values), 20)
    return [
        {"what": "floor: input hashed once, mapped .npy", "ms": floor, "ratio": 1.0, "aim": None},
        {"what": "store hit (aim: 0.1 ms), over the floor", "ms": hit, "ratio": hit / floor, "aim": None},
        {"what": "joblib.Memory hit, over the store hit", "ms": peer, "ratio": peer / hit, "aim": 100},
        {
            "what": "store hit, the table read and checked; joblib over it",
            "ms": read,
            "ratio": peer / read,
            "aim": None,
        },
    ]


def _floor(folder: Path, values: np.ndarray, result: np.ndarray) -> Callable[[], Any]:
    digest = hashlib.sha256(values.tobytes()).hexdigest()

    def path() -> Path:
        return folder / f"{hashlib.sha256(f'code {digest} 0.5'.encode()).hexdigest()}.npy"

    np.save(path(), result)
    return lambda: np.load(path(), mmap_mode="r")


def _ours(
    store: Store, values: np.ndarray, result: np.ndarray
) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """A hit as a run has it: the key of all fields made, the entry found, under a lease."""
    given = Table({"value": values})
    port = Port({"time": instant(), "value": number("mm", "x:rain", cell="sum")})
    stamps = np.datetime64("2026-01-01", "us") + np.arange(RESULT)

    def key() -> str:
        return Store.key({"code": "x" * 64, "params": {"share": 0.5}, "input": given.digest, "seed": 1})

    whole = Recording.of(port, [(0, RESULT, Table({"time": stamps, "value": result}))])
    store.put(key(), {"value": whole}, {}, owner="scenario")

    def read() -> Table:
        entry = store.find(key())
        assert entry is not None
        return entry.recording("value").table

    assert (read()["value"] == result).all()
    return lambda: store.find(key()), read


def _joblib(folder: Path, values: np.ndarray) -> Callable[[], Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from joblib import Memory
    cached = Memory(folder / "joblib", mmap_mode="r", verbose=0).cache(scenario)
    cached(values, 0.5)
    return lambda: cached(values, 0.5)


if __name__ == "__main__":
    for row in main():
        print(f"{row['what']:<60} {row['ms']:8.3f} ms  x{row['ratio']:.3g}")
