"""What to label next: each criterion, the mix, quotas, and a run over a small pool."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from review_kit import SHOP

from maeum.analyzer import Analyzer
from maeum.data import Dataset, Example, Target
from maeum.errors import DataError, UsageError
from maeum.formats import write
from maeum.models.ensemble import MeanPredictor
from maeum.sampling import Pool, SampleSettings, reason, sample, write_sample
from maeum.sampling.choosing import pick_diverse
from maeum.sampling.committee import ask, divergence, vote_entropy
from maeum.sampling.criteria import Criteria
from maeum.sampling.outliers import Known
from maeum.sampling.pool import chances, row_key
from maeum.sampling.quotas import proportionate, remaining
from maeum.sampling.rare import TrainingWords
from maeum.sampling.settings import full_weights
from maeum.sampling.table import ranks
from maeum.sampling.uncertain import choice_uncertainty, grade_uncertainty, threshold_nearness
from maeum.sampling.vectors import NgramVectors
from maeum.task import Label, Task
from maeum.text import TextPrep
from maeum.thresholds import ABOVE_ALL, Thresholds

MOOD = Task("mood", "multiclass", (Label("up"), Label("flat"), Label("down")))


class Said:
    """A model that says what was agreed on: probabilities by text."""

    kind = "said"

    def __init__(self, task, table):
        self.task, self.table = task, table

    def predict_proba(self, inputs):
        return np.array([self.table[item.text] for item in inputs], np.float32).reshape(-1, len(self.task))


def analyzer(task, table, *more, thresholds=None) -> Analyzer:
    predictor = Said(task, table)
    if more:
        predictor = MeanPredictor(task, [predictor, *(Said(task, other) for other in more)])
    return Analyzer(predictor, prep=TextPrep.named("raw"), thresholds=thresholds)


def pool(tmp_path: Path, rows, task, name="pool.jsonl", **settings) -> Pool:
    write(Dataset(task, rows), tmp_path / name)
    return Pool(str(tmp_path / name), task, **settings)


# -- criteria -------------------------------------------------------------------------------------------------


def test_nearness_is_to_the_tuned_threshold_and_not_to_one_half():
    rule = Thresholds(("a", "b", "c"), (0.1, 0.9, ABOVE_ALL))
    near, label = threshold_nearness(np.array([[0.1, 0.2, 1.0], [0.5, 0.5, 0.5], [0.001, 0.88, 1.0]]), rule)
    assert near[0] == pytest.approx(1)
    assert near[1] == pytest.approx(1 / 9)  # the odds of 0.5 are 9 times those of 0.1
    assert label.tolist() == [0, 0, 1]
    assert near[0] > near[2] > near[1]


def test_labels_that_cannot_flip_do_not_count():
    near, label = threshold_nearness(np.array([[0.999999, 0.0]]), Thresholds(("a", "b"), (ABOVE_ALL, 0.0)))
    assert (near.tolist(), label.tolist()) == ([0], [-1])


def test_uncertainty_is_the_formula_of_the_notes():
    found = choice_uncertainty(np.array([[1, 0, 0, 0], [0.25] * 4, [0.5, 0.5, 0, 0]]))
    assert found.tolist() == pytest.approx([0, 1, 0.5 * 4 / 3])


def test_a_review_is_as_unsure_as_its_least_sure_grade():
    def item(aspect, *scores):
        return {"aspect": aspect, "sentiment_scores": dict(zip("abc", scores, strict=True))}

    graded = [[item("x", 1, 0, 0), item("y", 0.4, 0.3, 0.3)], [], [item("x", 1, 0, 0)]]
    values, column = grade_uncertainty(graded, {"x": 0, "y": 1})
    assert values.tolist() == pytest.approx([0.9, 0, 0])
    assert column.tolist() == [1, -1, 0]


def test_divergence_of_members():
    same, apart = np.array([[0.9, 0.1]]), np.array([[1.0, 0.0]])
    assert divergence(np.stack([same, same]), exclusive=False) == pytest.approx(0, abs=1e-9)
    opposite = divergence(np.stack([apart, 1 - apart]), exclusive=False)
    assert opposite == pytest.approx(1, abs=1e-6)  # one bit a label
    assert divergence(np.stack([apart, 1 - apart]), exclusive=True).sum() == pytest.approx(1, abs=1e-6)
    assert vote_entropy(np.array([[[1, 1]], [[1, 0]]])).tolist() == [[0, 1]]


def test_a_committees_answer_is_the_models_own(three):
    first, second = {"글": [0.1, 0.2, 0.3]}, {"글": [0.9, 0.2, 0.4]}
    model = analyzer(three, first, second)
    proba, apart = ask(model, [Example("0", "글")])
    assert np.array_equal(proba, model.predict_proba(["글"]))
    assert apart.argmax() == 0
    assert ask(analyzer(three, first), [Example("0", "글")])[1] is None


@pytest.mark.parametrize("vote", ["soft", "hard"])
def test_a_vote_answers_as_it_does_alone(three, vote):
    from maeum.voting import VotePredictor

    tables = ({"글": [0.6, 0.2, 0.3]}, {"글": [0.4, 0.2, 0.8]}, {"글": [0.7, 0.1, 0.9]})
    members = [analyzer(three, table) for table in tables]
    model = Analyzer(VotePredictor(three, members, vote=vote), prep=TextPrep.named("raw"))
    proba, apart = ask(model, [Example("0", "글")])
    assert np.array_equal(proba, model.predict_proba(["글"]))
    assert (apart[0, [0, 2]] > 0.02).all()
    assert apart[0, 1] < 0.02


def test_words_the_training_text_does_not_know_are_rare():
    words = TrainingWords(["오늘 영화가 재미있다", "어제 영화가 재미없다", "오늘 음악이 좋다"] * 20)
    values, which = words.rarity(["오늘 영화가 재미있다", "쿿뛣 영화가 재미있다", ""])
    assert values[1] > values[0]
    assert values[2] == 0
    assert which[1].startswith("쿿")


def test_a_vocabulary_is_the_same_every_time():
    texts = [f"{a} {b} 이야기" for a in ("바다", "하늘", "구름", "나무") for b in ("푸른", "맑은", "높은", "깊은")] * 5
    probe = ["낯선 바다 이야기", "높은 하늘"]
    assert TrainingWords(texts).rarity(probe)[0].tolist() == TrainingWords(texts).rarity(probe)[0].tolist()


def test_far_texts_are_far():
    known = ["배송이 빨라요", "배송이 늦어요", "배송 기사님 친절해요"]
    vectors = NgramVectors(known)
    near, far = Known(vectors(known)).distance(vectors(["배송이 빨라서 좋아요", "quantum chromodynamics"]))
    assert near < far
    assert np.linalg.norm(vectors(["배송이 빨라요", ""]), axis=1).tolist() == pytest.approx([1, 0])


def test_ranks_share_ties():
    assert ranks(np.array([3, 1, 3, 2])).tolist() == [0.75, 0.125, 0.75, 0.375]


# -- quotas and choosing --------------------------------------------------------------------------------------


def test_largest_remainder():
    assert proportionate(np.array([50, 30, 20]), 10).tolist() == [5, 3, 2]
    assert proportionate(np.array([334, 333, 333]), 10).tolist() == [4, 3, 3]
    assert proportionate(np.array([1, 1, 98]), 10).tolist() == [0, 0, 10]
    assert proportionate(np.array([2, 3]), 99).tolist() == [2, 3]
    assert remaining(np.array([5, 3, 2]), np.array([0, 4, 0]), 6).tolist() == [4, 0, 2]


@given(st.lists(st.integers(0, 50), min_size=1, max_size=8), st.integers(0, 200))
def test_quotas_add_up_and_fit(sizes, total):
    found = proportionate(np.array(sizes), total)
    assert found.sum() == min(total, sum(sizes))
    assert (found <= np.array(sizes)).all()
    if total <= sum(sizes) and sum(sizes):
        assert (np.abs(found - total * np.array(sizes) / sum(sizes)) < 1 + 1e-9).all()


def test_a_batch_differs():
    vectors = np.array([[1, 0], [1, 0.01], [0, 1]], np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    scores, groups = np.array([1.0, 0.99, 0.9]), np.zeros(3, np.int64)
    assert [row for row, _ in pick_diverse(scores, vectors, groups, np.array([2]), weight=0.5)] == [0, 2]
    assert [row for row, _ in pick_diverse(scores, vectors, groups, np.array([2]), weight=0)] == [0, 1]
    before = vectors[:1]
    assert pick_diverse(scores, vectors, groups, np.array([1]), weight=0.5, before=before)[0][0] == 2
    split = pick_diverse(scores, vectors, np.array([0, 1, 1]), np.array([1, 1]), weight=0)
    assert [row for row, _ in split] == [0, 1]


def test_chance_depends_on_the_text_and_the_seed_alone():
    keys = np.array([row_key(Example(str(i), text)) for i, text in enumerate(("가 나", "가나", "다"))], np.uint64)
    assert keys[0] == keys[1] != keys[2]
    assert (chances(keys, 1)[::-1] == chances(keys[::-1], 1)).all()
    assert (chances(keys, 1) != chances(keys, 2)).all()
    spread = chances(np.arange(4000, dtype=np.uint64), 3).astype(np.float64) / 2**64
    assert abs(spread.mean() - 0.5) < 0.02


def test_two_targets_of_a_text_are_two_rows():
    text = "비와 비"
    keys = {row_key(Example("x", text, target)) for target in (None, Target("비", 0, 1), Target("비", 3, 4))}
    assert len(keys) == 3


# -- a run ----------------------------------------------------------------------------------------------------


def moods(count: int) -> tuple[list[Example], dict[str, list[float]]]:
    """Rows numbered by how sure the model is: the last ones least."""
    rows, table = [], {}
    for number in range(count):
        text = f"{number}번 손님이 {number * 7}호에 남긴 이야기"
        sure = 1 - number / count * 2 / 3
        table[text] = [sure, (1 - sure) / 2, (1 - sure) / 2]
        rows.append(Example(f"r{number}", text, meta={"mall": "AB"[number % 4 == 0]}))
    return rows, table


def test_the_least_certain_rows_come_first_with_their_reasons(tmp_path):
    rows, table = moods(60)
    settings = SampleSettings(5, random_share=0, weights={"diversity": 0})
    found = sample(analyzer(MOOD, table), pool(tmp_path, rows, MOOD), settings)
    assert [row.id for row in found.rows] == ["r59", "r58", "r57", "r56", "r55"]
    why = found.rows[0].meta["sample"]
    assert (why["picked"], why["won"], why["criteria"]["uncertainty"]["at"]) == ("score", "uncertainty", "up")
    assert why["criteria"]["uncertainty"]["rank"] == pytest.approx(59.5 / 60, abs=1e-4)
    assert found.rows[0].labels is None
    assert found.rows[0].meta["mall"] == "A"
    assert set(found.report["not_used"]) == {"threshold", "disagreement", "rare", "outlier"}


def test_training_texts_and_repeats_are_left_out(tmp_path):
    rows, table = moods(20)
    twice = [*rows, Example("again", rows[18].text + "!")]
    table[twice[-1].text] = table[rows[18].text]
    train = [Example("t", rows[19].text.replace(" ", "  ").upper())]
    table[train[0].text] = [1, 0, 0]
    settings = SampleSettings(3, random_share=0, vectors="ngrams", weights={"rare": 0, "outlier": 0})
    found = sample(analyzer(MOOD, table), pool(tmp_path, twice, MOOD), settings, train=train)
    ids = [row.id for row in found.rows]
    assert ids[0] == "r18"
    assert not {"again", "r19"} & set(ids)
    assert (found.report["in_train"], found.report["repeated"], found.report["choosable"]) == (1, 1, 19)


def test_strata_get_their_share_and_chance_is_marked(tmp_path):
    rows, table = moods(80)
    settings = SampleSettings(16, random_share=0.25, stratify=("Mall",))
    found = sample(analyzer(MOOD, table), pool(tmp_path, rows, MOOD, stratify=("Mall",)), settings)
    assert found.report["groups"] == {"A": 12, "B": 4}
    picked = [row.meta["sample"]["picked"] for row in found.rows]
    assert picked.count("random") == 4
    again = sample(analyzer(MOOD, table), pool(tmp_path, rows, MOOD, stratify=("Mall",)), settings)
    assert [row.to_dict() for row in again.rows] == [row.to_dict() for row in found.rows]
    other = SampleSettings(16, random_share=0.25, stratify=("Mall",), seed=7)
    drawn = {row.id for row in found.rows if row.meta["sample"]["picked"] == "random"}
    new = sample(analyzer(MOOD, table), pool(tmp_path, rows, MOOD, stratify=("Mall",)), other)
    assert drawn != {row.id for row in new.rows if row.meta["sample"]["picked"] == "random"}


def test_rows_picked_by_chance_are_a_fair_sample(tmp_path):
    rows, table = moods(200)
    counts = np.zeros(200)
    source = pool(tmp_path, rows, MOOD)
    for seed in range(30):
        settings = SampleSettings(40, random_share=1, seed=seed)
        for row in sample(analyzer(MOOD, table), source, settings).rows:
            counts[int(row.id[1:])] += 1
    # 30 draws of 40 of 200: 6 a row on average; least certain rows no oftener than the rest
    assert abs(counts[100:].mean() - 6) < 0.5


def test_the_order_of_the_pool_changes_nothing(tmp_path):
    rows, table = moods(60)
    settings = SampleSettings(10, random_share=0.3)
    one = sample(analyzer(MOOD, table), pool(tmp_path, rows, MOOD), settings)
    two = sample(analyzer(MOOD, table), pool(tmp_path, rows[::-1], MOOD, "back.jsonl"), settings)
    assert {row.id for row in one.rows} == {row.id for row in two.rows}


def test_disagreement_points_at_the_label(three, tmp_path):
    first = {"하나": [0.5, 0.1, 0.1], "둘": [0.5, 0.1, 0.1], "셋": [0.5, 0.1, 0.1]}
    second = {**first, "둘": [0.5, 0.9, 0.1]}
    rows = [Example(str(at), text) for at, text in enumerate(first)]
    weights = {"threshold": 0, "disagreement": 1, "diversity": 0}
    model = analyzer(three, first, second)
    found = sample(model, pool(tmp_path, rows, three), SampleSettings(1, random_share=0, weights=weights))
    assert found.rows[0].text == "둘"
    assert found.rows[0].meta["sample"]["criteria"]["disagreement"]["at"] == "분노"
    assert reason(found.rows[0].meta["sample"]) == "models disagree(분노)"


def test_files_of_a_sample(tmp_path):
    rows, table = moods(20)
    found = sample(analyzer(MOOD, table), pool(tmp_path, rows, MOOD), SampleSettings(4))
    write_sample(found.rows, tmp_path / "s.jsonl")
    assert json.loads((tmp_path / "s.jsonl").read_text(encoding="utf-8").splitlines()[0])["meta"]["sample"]["score"]
    write_sample(found.rows, tmp_path / "s.csv")
    head = (tmp_path / "s.csv").read_text(encoding="utf-8-sig").splitlines()[0]
    assert head == "id,text,mall,sample_picked,sample_why,sample_score,sample_uncertainty"
    with pytest.raises(UsageError, match="already exists"):
        write_sample(found.rows, tmp_path / "s.csv")


def test_what_makes_no_sense_is_refused(tmp_path, three):
    rows, table = moods(5)
    with pytest.raises(UsageError, match="did you mean: outlier"):
        full_weights({"outliers": 1})
    with pytest.raises(UsageError, match="all weights are 0"):
        SampleSettings(3, weights=dict.fromkeys(("threshold", "uncertainty", "disagreement", "rare", "outlier"), 0.0))
    with pytest.raises(UsageError, match="no criterion applies"):
        Criteria(analyzer(MOOD, table), full_weights({"uncertainty": 0}), None)
    with pytest.raises(UsageError, match="cannot be standard input"):
        Pool("-", three)
    with pytest.raises(DataError, match="no row has a column 'shop'"):
        sample(
            analyzer(MOOD, table), pool(tmp_path, rows, MOOD, stratify=("shop",)), SampleSettings(2, stratify=("shop",))
        )
    with pytest.raises(UsageError, match="nothing to pick"):
        sample(analyzer(MOOD, table), pool(tmp_path, rows, MOOD), SampleSettings(2), train=rows)


def test_a_pool_that_changes_between_the_passes_is_noticed(tmp_path, monkeypatch):
    rows, table = moods(8)
    source = pool(tmp_path, rows, MOOD)
    once = source.rows

    def changing(*, first):
        yield from once(first=first)
        if first:
            write(Dataset(MOOD, rows[::-1]), tmp_path / "pool.jsonl")

    monkeypatch.setattr(source, "rows", changing)
    with pytest.raises(DataError, match="changed between the two passes"):
        sample(analyzer(MOOD, table), source, SampleSettings(3))


def test_review_models_have_both(tmp_path):
    class Reviewer(Said):
        def grade(self, inputs, on):
            graded = [{"-1": 0.4, "0": 0.3, "1": 0.3}, {"-1": 1.0, "0": 0.0, "1": 0.0}]
            return [
                [
                    {"aspect": SHOP.keys[c], "sentiment": "-1", "sentiment_scores": graded[c]}
                    for c in np.flatnonzero(row)
                ]
                for row in on
            ]

    table = {"느린 택배": [0.9, 0.1, 0.1], "싼 값": [0.1, 0.9, 0.1]}
    model = Analyzer(Reviewer(SHOP, table), prep=TextPrep.named("raw"))
    rows = [Example(str(at), text) for at, text in enumerate(table)]
    weights = {"threshold": 0}
    found = sample(model, pool(tmp_path, rows, SHOP), SampleSettings(1, random_share=0, weights=weights))
    assert found.rows[0].text == "느린 택배"
    assert found.rows[0].meta["sample"]["criteria"]["uncertainty"]["at"] == "delivery"
