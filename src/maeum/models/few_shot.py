"""Worked examples for a prompt: the labelled rows most like the one that is asked about.

Likeness is the cosine of TF-IDF weights of character n-grams, which needs no model, gives the same answer everywhere and
suits Korean, whose words change their ends (Liu et al. 2022, "What makes good in-context examples for GPT-3?", found the
nearest rows better than random ones).
"""

from __future__ import annotations

import functools
import json
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from maeum._files import atomic_text
from maeum.data import Input, Target
from maeum.errors import FormatError, UsageError

ORDERS = (2, 4)
"""Shortest and longest n-gram, within words and their borders."""


@dataclass(frozen=True, slots=True)
class Shot:
    """A labelled input."""

    input: Input
    labels: tuple[str, ...]
    """Label keys; ``()`` where none applies."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        target = self.input.target
        return {
            "text": self.input.text,
            "target": target and target.to_dict(),
            "aspect": self.input.aspect,
            "labels": list(self.labels),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Shot:
        """What ``to_dict`` gave.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        text, target, aspect, labels = (data[name] for name in ("text", "target", "aspect", "labels"))
        if not isinstance(text, str) or not isinstance(aspect, str | None) or not isinstance(labels, list):
            raise TypeError
        span = None if target is None else Target(str(target["form"]), int(target["begin"]), int(target["end"]))
        return cls(Input(text, span, aspect), tuple(str(label) for label in labels))


@dataclass(frozen=True)
class Pool:
    """Labelled inputs to choose from, in order."""

    examples: tuple[Shot, ...]

    def choose(self, item: Input, k: int) -> tuple[Shot, ...]:
        """The ``k`` examples most like an input, the most similar last, next to the question.

        An example with the very same text (white space aside) is never chosen, whatever its target: it would give the
        answer away. Equally similar ones stand by their order in the pool, the earlier counting as more similar. Fewer
        than ``k`` are returned where the pool has no more.

        Raises:
            UsageError: ``k`` is negative.
        """
        if k < 0:
            raise UsageError(f"예시의 수는 0 이상이어야 합니다: {k}", f"the number of examples cannot be negative: {k}")
        if k == 0 or not self.examples:
            return ()
        own = _key(item.text)
        order = np.argsort(-self._similarity(item.text), kind="stable")
        found: list[Shot] = []
        for at in order.tolist():
            if self._keys[at] != own:
                found.append(self.examples[at])
                if len(found) == k:
                    break
        return tuple(reversed(found))

    def save(self, path: Path) -> None:
        """Write one JSON object a line."""
        with atomic_text(path) as file:
            for shot in self.examples:
                file.write(json.dumps(shot.to_dict(), ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, path: Path) -> Pool:
        """Read what ``save`` wrote.

        Raises:
            FormatError: a line is something else; the line is named.
        """
        shots: list[Shot] = []
        # not splitlines: a text may hold U+2028 and its like, which end no line here
        lines = path.read_text(encoding="utf-8", errors="surrogatepass").split("\n")
        for number, line in enumerate(lines, start=1):
            if not line and number == len(lines):
                break
            try:
                shots.append(Shot.from_dict(json.loads(line)))
            except (KeyError, TypeError, ValueError) as error:
                raise FormatError(
                    f"{path}:{number}: 예시(text, target, aspect, labels)가 아닙니다. 모델 폴더가 손상되었습니다.",
                    f"{path}:{number}: this is no example (text, target, aspect, labels); the model folder is damaged",
                ) from error
        return cls(tuple(shots))

    @functools.cached_property
    def _keys(self) -> list[str]:
        return [_key(shot.input.text) for shot in self.examples]

    @functools.cached_property
    def _index(self) -> tuple[_TfIdf, sparse.csr_matrix] | None:
        """The n-grams' weights and (n-grams, examples) of the pool; None where no text has an n-gram."""
        if not any(self._keys):
            return None
        weigher = _TfIdf(self._keys)
        return weigher, weigher.weigh(self._keys).T.tocsr()

    def _similarity(self, text: str) -> NDArray[np.float64]:
        """(n,) cosine of the text and every example."""
        similar = np.zeros(len(self.examples))
        if self._index is not None:
            weigher, weights = self._index
            row = (weigher.weigh([_key(text)]) @ weights).tocoo()
            similar[row.col] = row.data
        # beyond this only the order of summation speaks, and ties must be ties
        return np.round(similar, 12)


class _TfIdf:
    """TF-IDF weights of character n-grams: counts times ln((1 + n) / (1 + df)) + 1, rows of length one.

    The same numbers as scikit-learn's ``TfidfVectorizer(analyzer="char_wb")``.

    Args:
        texts: what n-grams there are, and how rare they are, is told from these.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        seen = Counter(gram for text in texts for gram in set(_ngrams(text)))
        self._columns = {gram: column for column, gram in enumerate(seen)}
        self._idf = np.log((1 + len(texts)) / (1 + np.fromiter(seen.values(), np.float64, len(seen)))) + 1

    def weigh(self, texts: Sequence[str]) -> sparse.csr_matrix:
        """(texts, n-grams); n-grams that the texts above do not have are left out, and a row may be all zeros."""
        counts = [Counter(gram for gram in _ngrams(text) if gram in self._columns) for text in texts]
        ends = np.cumsum([0, *map(len, counts)])
        columns = np.array([self._columns[gram] for count in counts for gram in count], np.int64)
        values = np.array([n for count in counts for n in count.values()], np.float64) * self._idf[columns]
        rows = np.repeat(np.arange(len(texts)), np.diff(ends))
        length = np.sqrt(np.bincount(rows, values**2, minlength=len(texts)))
        shape = (len(texts), len(self._columns))
        return sparse.csr_matrix((values / length[rows], columns, ends), shape=shape)


def _ngrams(text: str) -> Iterator[str]:
    """Character n-grams of every word between two spaces; a word shorter than an order is one n-gram, once."""
    for word in text.lower().split():
        word = f" {word} "
        for n in range(ORDERS[0], ORDERS[1] + 1):
            yield from (word[at : at + n] for at in range(max(len(word) - n, 0) + 1))
            if len(word) <= n:
                break


def _key(text: str) -> str:
    """The text with its white space and its Unicode form evened out."""
    return " ".join(unicodedata.normalize("NFC", text).split())
