"""Texts as the search reads them: folded to plain words, the same for both databases, from whatever a stranger typed."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from .names import alike_skeletons

LONGEST_QUERY = 200
MOST_WORDS = 12
LEAST = 0.3
_WORD = re.compile(r"[^\W_]+")


def fold(text: str) -> str:
    """Lower case, without accents, words parted by single spaces; nothing but letters and digits is left."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    return " ".join(_WORD.findall("".join(c for c in plain if not unicodedata.combining(c))))


def read_words(query: str) -> list[str]:
    """The words of a query, in order, each once: at most twelve, of the first 200 characters."""
    return list(dict.fromkeys(fold(query[:LONGEST_QUERY]).split()))[:MOST_WORDS]


@lru_cache(maxsize=2**16)
def grams(word: str) -> frozenset[str]:
    """Three letters each, with the ends marked: how a word is compared with one that is spelled wrongly."""
    marked = f"  {word} "
    return frozenset(marked[n : n + 3] for n in range(len(marked) - 2))


def closeness(asked: list[str], text: str) -> float:
    """How well each word asked for is met by the nearest word of a folded text: 0 to 1, on average; 0 where one is not."""
    there = text.split()
    best = [max((_near(word, one) for one in there), default=0.0) for word in asked]
    return sum(best) / len(best) if best and min(best) >= LEAST else 0.0


@lru_cache(maxsize=2**16)
def _near(one: str, two: str) -> float:
    """The share of common trigrams; a single slip is near in a short word, too."""
    mine, other = grams(one), grams(two)
    slip = 0.8 if min(len(one), len(two)) >= 5 and alike_skeletons(one, two) else 0.0
    return max(slip, len(mine & other) / len(mine | other))
