"""Who is joined with whom in a loop of links."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def find_loops(names: Iterable[str], links: Iterable[tuple[str, str]]) -> list[tuple[str, ...]]:
    """The strongly connected components, sources first, each sorted by name.

    The order depends on the names alone. After Kosaraju: what is left last by a walk down the links
    is met first by a walk up, and meets nothing but its own component.
    """
    down: dict[str, list[str]] = {n: [] for n in sorted(names)}
    up: dict[str, list[str]] = {n: [] for n in down}
    for source, target in sorted(set(links)):
        down[source].append(target)
        up[target].append(source)
    left = _walk(list(down), down)
    met: set[str] = set()
    return [tuple(sorted(_walk([name], up, met))) for name in reversed(left) if name not in met]


def _walk(roots: Sequence[str], links: dict[str, list[str]], met: set[str] | None = None) -> list[str]:
    """All that is reached and was not ``met``, in the order in which it is left; depth first."""
    met = set() if met is None else met
    left: list[str] = []
    for root in roots:
        if root in met:
            continue
        met.add(root)
        path = [(root, iter(links[root]))]
        while path:
            name, others = path[-1]
            other = next((o for o in others if o not in met), None)
            if other is None:
                left.append(name)
                path.pop()
            else:
                met.add(other)
                path.append((other, iter(links[other])))
    return left
