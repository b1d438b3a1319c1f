"""The linear model's counts and last stage: whoever else is asked about the same texts, and however many there are."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from maeum.data import Input, Target
from maeum.models import ngrams
from maeum.models.linear import LinearClassifier, LinearConfig, bucket_table
from maeum.models.ngrams import NgramConfig, count_ngrams
from maeum.task import Label, Task

WORDS = {"기쁨": "기쁘고 행복한", "분노": "화가 나고 분한", "슬픔": "슬퍼서 눈물이 나는"}
FEELINGS = Task("feelings", "multilabel", tuple(Label(word) for word in WORDS))
INPUTS = [Input(f"{n}번째 날은 {word} 하루였다") for n in range(20) for word in WORDS.values()]
ODD = [
    Input(""),
    Input(" \t "),
    Input("A\x00b ㅋㅋㅋ\ud800 밥을 밥을 밥을"),
    Input("배우는 좋은데 값이 비싸다", Target("값이", 9, 11)),
    Input("배우는 좋은데 값이 비싸다", aspect="가격"),
]
SMALL = NgramConfig(orders=(1, 2, 4), jamo_orders=(4,), bits=12)
OTHER = NgramConfig(orders=(1, 2, 3), jamo_orders=(), bits=12)


def whole(items: list[Input], config: NgramConfig, table: np.ndarray) -> np.ndarray:
    """Counts by the other way, which keeps nothing: all buckets, then the columns of a vocabulary."""
    counts = count_ngrams(items, config).toarray()
    columns = np.zeros((len(items), int(table.max()) + 1), np.float32)
    np.add.at(columns.T, table[table >= 0], counts.T[table >= 0])
    return columns


@pytest.mark.parametrize("items", [ODD, INPUTS[:7], [ODD[0]], [*ODD, *INPUTS]], ids=["odd", "some", "empty", "all"])
@pytest.mark.parametrize("config", [SMALL, OTHER])
def test_counts_of_a_vocabulary_are_those_of_all_buckets(items: list[Input], config: NgramConfig) -> None:
    rng = np.random.default_rng(0)
    for known in (1500, 100, 1):
        table = bucket_table(rng.permutation(1 << 12)[:known].astype(np.uint32), 12)
        found = count_ngrams(items, config, table)
        assert found.has_canonical_format
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found.toarray(), whole(items, config, table))


def test_texts_are_hashed_once_for_all_vocabularies(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[int] = []
    real = ngrams._streams
    monkeypatch.setattr(ngrams, "_streams", lambda items, config: (hashed.append(len(items)), real(items, config))[1])
    tables = [bucket_table(np.arange(start, 4096, 3, dtype=np.uint32), 12) for start in range(3)]
    items = [Input(f"처음 보는 글 {n}") for n in range(4)]
    for table in tables:
        count_ngrams(items, SMALL, table)
        count_ngrams(list(items), OTHER, table)
    assert hashed == [4, 4]  # once for each of the two settings
    count_ngrams(items[:3], SMALL, tables[0])
    assert hashed == [4, 4, 3]
    other = threading.Thread(target=count_ngrams, args=(items[:3], SMALL, tables[0]))
    other.start()
    other.join()
    assert hashed == [4, 4, 3, 3]  # what one thread keeps is its own


def test_long_texts_are_not_kept() -> None:
    table = bucket_table(np.arange(0, 4096, 2, dtype=np.uint32), 12)
    items = [Input("긴 글은 붙들어 두지 않는다 " * 6000)]
    np.testing.assert_array_equal(count_ngrams(items, SMALL, table).toarray(), whole(items, SMALL, table))
    assert ngrams._KEPT.hashed.items != tuple(items)


def test_a_text_gets_the_same_bits_in_any_batch() -> None:
    y = np.array([[int(word in item.text) for word in WORDS.values()] for item in INPUTS], np.uint8)
    config = LinearConfig.of({"few_labels": 2, "stack": {"min_rows": 10, "features": 512}})
    model = LinearClassifier(FEELINGS, seed=1, config=config).fit(INPUTS, y)
    assert "beta" in model._state  # with the second stage
    texts = INPUTS * 5
    once = model.predict_proba(texts)
    for size in (1, 2, 7, 16, 17, 64):
        parts = [model.predict_proba(texts[at : at + size]) for at in range(0, len(texts), size)]
        np.testing.assert_array_equal(np.concatenate(parts), once, err_msg=str(size))
