"""Texts as the search reads them: folded to plain words, the same for both databases, from whatever a stranger typed."""

from __future__ import annotations

import re
import unicodedata

LONGEST_QUERY = 200
MOST_WORDS = 12
_WORD = re.compile(r"[^\W_]+")


def fold(text: str) -> str:
    """Lower case, without accents, words parted by single spaces; nothing but letters and digits is left."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    return " ".join(_WORD.findall("".join(c for c in plain if not unicodedata.combining(c))))


def read_words(query: str) -> list[str]:
    """The words of a query, in order, each once: at most twelve, of the first 200 characters."""
    return list(dict.fromkeys(fold(query[:LONGEST_QUERY]).split()))[:MOST_WORDS]


def grams(word: str) -> set[str]:
    """Three letters each, with the ends marked: how a word is compared with one that is spelled wrongly."""
    marked = f"  {word} "
    return {marked[n : n + 3] for n in range(len(marked) - 2)}


def closeness(asked: list[str], text: str) -> float:
    """How well each word asked for is met by the nearest word of a folded text: 0 to 1, on average."""
    there = [grams(w) for w in text.split()]
    if not asked or not there:
        return 0.0
    return sum(max(_shared(grams(word), one) for one in there) for word in asked) / len(asked)


def _shared(one: set[str], two: set[str]) -> float:
    return len(one & two) / len(one | two)
