"""The sample data: enough of it, natural, and labelled as its task says."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import pytest

import maeum
from maeum.data import check_target
from maeum.formats import sample_path
from maeum.task import builtin_task


@pytest.fixture(scope="module")
def samples():
    return {name: maeum.read(f"sample:{name}") for name in ("nikl-ea", "aihub", "fashion")}


def four_grams(text: str) -> set[str]:
    text = " ".join(text.split())
    return {text[i : i + 4] for i in range(max(1, len(text) - 3))}


def alike(texts: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs that share more than half of the shorter one's character 4-grams."""
    grams = [four_grams(text) for text in texts]
    where = defaultdict(list)
    for row, found in enumerate(grams):
        for gram in found:
            where[gram].append(row)
    pairs = []
    for row, found in enumerate(grams):
        shared = Counter(other for gram in found for other in where[gram] if other > row)
        pairs += [(texts[row], texts[o]) for o, count in shared.items() if count > 0.5 * min(len(found), len(grams[o]))]
    return pairs


def test_enough_sentences(samples):
    assert len(set(samples["nikl-ea"].texts)) >= 450
    assert len(set(samples["aihub"].texts)) >= 210
    assert len(set(samples["fashion"].texts)) >= 250


def test_no_templates(samples):
    texts = list(dict.fromkeys(text for data in samples.values() for text in data.texts))
    assert alike(texts) == []
    for data in samples.values():
        words = Counter(word for text in set(data.texts) for word in text.split())
        assert sum(count == 1 for count in words.values()) >= 0.6 * len(words)


def test_emotions_are_spread_and_combined(samples):
    data = samples["nikl-ea"]
    support = dict(zip(data.task.keys, data.y.sum(0).tolist(), strict=True))
    assert min(support.values()) >= 45
    sizes = Counter(len(example.labels) for example in data)
    assert sizes[0] >= 30
    assert sizes[2] >= 150
    assert sizes[3] >= 20
    by_text = defaultdict(list)
    for example in data:
        check_target(example.text, example.target)
        by_text[example.text].append(example.labels)
    assert sum(len(labels) > 1 and len(set(labels)) > 1 for labels in by_text.values()) >= 40


def test_aihub_file_is_cp949_in_the_published_layout(samples):
    raw = sample_path("sample:aihub").read_bytes()
    header = raw.decode("cp949").splitlines()[0].split(",")
    assert header[:3] == ["wav_id", "발화문", "상황"]
    assert header[10] == "4번감정세기"
    with pytest.raises(UnicodeDecodeError):
        raw.decode("utf-8")
    assert (samples["aihub"].y.sum(0) >= 30).all()


def test_reviews_have_keywords_grades_and_evidence(samples):
    data = samples["fashion"]
    assert (data.y.sum(0) >= 25).all()
    grades = Counter(item.sentiment for example in data for item in example.aspects)
    assert set(grades) == set(data.task.sentiment_keys)
    assert min(grades.values()) >= 35
    for example in data:
        for item in example.aspects:
            assert 0 <= item.begin < item.end <= len(example.text)


def test_review_guidelines_carry_the_tagging_rules():
    guideline = {label.key: label.guideline for label in builtin_task("review-fashion").labels}
    assert all(guideline.values())
    assert "쫀쫀" in guideline["품질"] + guideline["신축성"]
    assert "박음질" in guideline["마감처리"]
    assert "구김" in guideline["배송"] + guideline["소재"] + guideline["마감처리"]
