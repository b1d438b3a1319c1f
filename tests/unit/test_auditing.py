"""Audits find what was planted, and nothing is changed without a decision."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from audit_kit import CHEWY, graded, reviews, sides, with_chewy_as_stretch

from maeum._lang import set_language
from maeum.auditing import Audit, Settings, audit, write
from maeum.auditing.confusing import confusable
from maeum.auditing.duplicates import between, near_pairs, within
from maeum.auditing.page import page
from maeum.auditing.scoring import cell_errors, class_errors
from maeum.data import Dataset, Example, Target
from maeum.errors import MaeumError, TaskMismatch, UsageError
from maeum.experiment import TrainSettings, train
from maeum.splits import duplicate_key
from maeum.task import Label, Task


@pytest.fixture(scope="module")
def planted() -> tuple[Dataset, set[str]]:
    return with_chewy_as_stretch(reviews(), share=0.4)


@pytest.fixture(scope="module")
def found(planted: tuple[Dataset, set[str]]) -> Audit:
    return audit(planted[0], valid=reviews(40, seed=9), settings=Settings(top=60))


# -- scores -----------------------------------------------------------------------------------------------------------


def test_cell_scores_are_the_chance_of_an_error(rng: np.random.Generator) -> None:
    """A simulation that follows the assumption: of cells with score s, a share of s is wrong, for common and rare labels."""
    n, share = 200_000, 0.05
    q = np.stack([rng.beta(0.6, 1.4, n), rng.beta(0.15, 2.0, n)], 1)
    truth = rng.random((n, 2)) < q
    frequency = truth.mean(0)
    false = share * frequency / (1 - frequency)
    flips = np.where(truth, rng.random((n, 2)) < share, rng.random((n, 2)) < false)
    y = (truth ^ flips).astype(np.uint8)
    scores = cell_errors(y, q.astype(np.float32), share=share)
    tested = 0
    for label in range(2):
        for low, high in ((0.1, 0.3), (0.3, 0.6), (0.6, 1.0)):
            inside = (scores[:, label] >= low) & (scores[:, label] < high)
            if inside.sum() > 300:
                tested += 1
                assert flips[inside, label].mean() == pytest.approx(scores[inside, label].mean(), abs=0.08)
    assert tested >= 4


def test_a_rare_label_is_not_suspected_for_being_rare() -> None:
    """Label 0 is on in half of the rows, label 1 in one of fifty: a probability of 0.1 is low for the first alone."""
    y = np.zeros((100, 2), np.uint8)
    y[:50, 0] = 1
    y[:2, 1] = 1
    proba = np.full((100, 2), 0.001, np.float32)
    proba[:2] = 0.1
    scores = cell_errors(y, proba, share=0.05)
    assert scores[0, 0] > 5 * scores[0, 1]


def test_a_rare_label_that_is_likely_nowhere_and_given_everywhere_is_suspected() -> None:
    """If even the least likely rows have a label with a chance of 0.05, it may be that often wrong, rare or not."""
    y = np.zeros((100, 1), np.uint8)
    y[:2] = 1
    quiet, loud = (np.full((100, 1), floor, np.float32) for floor in (0.0005, 0.06))
    quiet[:2], loud[:2] = 0.1, 0.1
    assert cell_errors(y, loud, share=0.05)[0, 0] > 5 * cell_errors(y, quiet, share=0.05)[0, 0]


@pytest.mark.slow  # importing cleanlab takes seconds
def test_cleanlab_gives_its_own_score() -> None:
    """Self-confidence knows no frequencies: the same probability is the same score for a rare label."""
    pytest.importorskip("cleanlab")
    y = np.zeros((100, 2), np.uint8)
    y[:50, 0] = 1
    y[:2, 1] = 1
    plain = cell_errors(y, np.full((100, 2), 0.1, np.float32), share=0.05, method="cleanlab")
    assert plain[0] == pytest.approx([0.9, 0.9])
    data, wrong = sides()
    found = audit(data, settings=Settings(method="cleanlab", top=10))
    assert {data.ids[item.row] for item in found.suspects[: len(wrong)]} == wrong


def test_scores_fall_with_the_probability_of_what_is_given() -> None:
    proba = np.linspace(0.01, 0.99, 50, dtype=np.float32)[:, None]
    given = cell_errors(np.ones((50, 1), np.uint8), proba, share=0.05)
    absent = cell_errors(np.zeros((50, 1), np.uint8), proba, share=0.05)
    assert (np.diff(given[:, 0]) <= 0).all()
    assert (np.diff(absent[:, 0]) >= 0).all()


def test_rows_of_one_text_vote() -> None:
    """Two rows say yes and one no, and the model cannot tell: the one is more likely wrong. Copies that agree change nothing."""
    y = np.array([[1], [1], [0], [1], [0], [0]], np.uint8)
    proba = np.full((6, 1), 0.5, np.float32)
    alone = cell_errors(y, proba, share=0.05)
    voted = cell_errors(y, proba, share=0.05, twins=[[0, 1, 2], [4, 5]])
    assert voted[2, 0] > 0.5 > voted[0, 0]
    assert voted[3:] == pytest.approx(alone[3:])


def test_class_scores_and_the_likeliest_other_class() -> None:
    y = np.eye(3, dtype=np.uint8)[[0, 0, 1, 2, 2, 2]]
    proba = np.full((6, 3), 0.05, np.float32)
    proba[np.arange(6), [0, 2, 1, 2, 2, 1]] = 0.9
    errors, other = class_errors(y, proba, share=0.05)
    assert set(np.flatnonzero(errors > 0.3)) == {1, 5}
    assert other[1] == 2
    assert other[5] == 1
    assert (other != y.argmax(1)).all()


def test_rows_of_one_text_vote_on_classes() -> None:
    y = np.eye(2, dtype=np.uint8)[[0, 0, 1, 1]]
    proba = np.full((4, 2), 0.5, np.float32)
    errors, _ = class_errors(y, proba, share=0.05, twins=[[0, 1, 2]])
    assert errors[2] > 0.5 > errors[0]


@pytest.mark.parametrize("wrong", [{"expected_errors": 0.0}, {"expected_errors": 0.5}, {"near": 0.2}, {"method": "x"}])
def test_settings_without_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Settings(**wrong)  # type: ignore[arg-type]


# -- copies -----------------------------------------------------------------------------------------------------------


def test_near_pairs_are_those_that_an_exact_search_finds(rng: np.random.Generator) -> None:
    """Texts with some letters changed: every pair above 0.8 is found, and none below the limit."""
    letters = [chr(0xAC00 + at) for at in rng.integers(0, 3000, 60)]
    texts = []
    for _ in range(40):
        text = "".join(rng.choice(letters, 40))
        texts += [text, text[:-2] + "가나", "다" + text[3:]]
    keys = [duplicate_key(text) for text in texts]
    triples = [{key[at : at + 3] for at in range(len(key) - 2)} for key in keys]
    exact = {
        (a, b): len(triples[a] & triples[b]) / len(triples[a] | triples[b])
        for a in range(len(texts))
        for b in range(a + 1, len(texts))
    }
    found = {(a, b): share for a, b, share in near_pairs(texts, near=0.7)}
    assert found
    assert all(share == pytest.approx(exact[pair]) and share >= 0.7 for pair, share in found.items())
    assert {pair for pair, share in exact.items() if share > 0.8} <= found.keys()


def test_short_texts_are_only_compared_for_being_the_same() -> None:
    assert near_pairs(["최고예요", "최고네요", ""], near=0.5) == []


def test_a_sentence_with_two_targets_is_no_conflict() -> None:
    task = Task("t", "multilabel", (Label("a"), Label("b")), targeted=True)
    text = "배는 달고 사과는 셔요 그래도 샀어요"
    pear, apple = Target("배", 0, 1), Target("사과", 6, 8)
    rows = [Example("1", text, pear, ("a",)), Example("2", text, apple, ("b",)), Example("3", text + "!", pear, ("b",))]
    groups, near = within(Dataset(task, rows), near=0.7)
    assert groups == [[0, 2]]
    assert near == []


def test_leakage_is_found_word_for_word_and_nearly() -> None:
    train_rows = reviews(30)
    text = train_rows[0].text
    rows = [
        Example("v1", text.upper() + "!!", labels=("배송",)),
        Example("v2", train_rows[1].text + " 네", labels=train_rows[1].labels),
        Example("v3", "전혀 다른 이야기를 하는 글입니다", labels=("색상",)),
    ]
    overlap = between(train_rows, Dataset(train_rows.task, rows), near=0.7)
    assert [(twins.first, twins.second) for twins in overlap.same] == [(0, 0)]
    assert [(twins.first, twins.second, twins.agree) for twins in overlap.near] == [(1, 1, True)]


# -- confused labels --------------------------------------------------------------------------------------------------


def test_the_story_of_stretch_and_chewy_is_found(planted: tuple[Dataset, set[str]], found: Audit) -> None:
    """쫀쫀 belongs to 품질; annotators gave some of its rows to 신축성. Nobody told the audit where to look."""
    part = found.parts[0]
    pairs = [({part.task.keys[pair.first], part.task.keys[pair.second]}, pair) for pair in part.pairs]
    assert pairs
    names, pair = pairs[0]
    assert names == {"신축성", "품질"}
    contested = {word.word for word in pair.contested}
    assert contested & {"쫀쫀", "쫀쫀한"}
    word = next(word for word in pair.contested if word.word in ("쫀쫀", "쫀쫀한"))
    given = dict(zip(part.task.keys, (0, 0, 0, 0), strict=True))
    for example in planted[0]:
        if "쫀쫀" in example.text:
            for label in example.labels or ():
                given[label] += 1
    assert min(word.first, word.second) >= 0.7 * min(given["신축성"], given["품질"])


def test_a_typical_word_in_rows_of_another_label_is_named() -> None:
    """A few rows only: the word still speaks for 품질, and is told as a stray in the rows given 신축성."""
    data, wrong = with_chewy_as_stretch(reviews(300), share=0.15)
    part = audit(data).parts[0]
    pair = next(p for p in part.pairs if {part.task.keys[p.first], part.task.keys[p.second]} == {"신축성", "품질"})
    named = {word for word, _ in pair.stray} | {word.word for word in pair.contested}
    assert named & {"쫀쫀", "쫀쫀한"}
    assert {part.ids[row] for row in pair.rows} <= wrong


def test_clean_labels_have_no_confused_pair() -> None:
    data = reviews()
    y = data.y
    assert confusable(data.texts, y, y, y.astype(np.float32), most=10) == []


# -- the run ----------------------------------------------------------------------------------------------------------


def test_most_of_the_list_is_what_was_planted(planted: tuple[Dataset, set[str]], found: Audit) -> None:
    data, wrong = planted
    top = found.suspects[: len(wrong)]
    right = [data.ids[item.row] in wrong and item.label in ("신축성", "품질") for item in top]
    assert np.mean(right) > 0.8
    kinds = {(item.label, item.kind) for item in top}
    assert ("신축성", "wrong") in kinds
    scores = [item.score for item in found.suspects]
    assert scores == sorted(scores, reverse=True)
    assert all(found.settings.expected_errors <= score <= 1 for score in scores)
    assert all(item.reason for item in found.suspects)


def test_the_table_of_labels(planted: tuple[Dataset, set[str]], found: Audit) -> None:
    rows = {row.label: row for row in found.parts[0].labels}
    support = planted[0].y.sum(0)
    assert [row.train for row in found.parts[0].labels] == support.tolist()
    assert rows["신축성"].valid == int(reviews(40, seed=9).y[:, 0].sum())
    assert rows["신축성"].wrong > rows["배송"].wrong
    assert 0 < rows["신축성"].error_share < rows["신축성"].wrong / rows["신축성"].train
    assert not any(row.rare for row in rows.values())


def test_a_label_of_few_texts_is_too_rare() -> None:
    task = Task("r", "multilabel", (Label("흔함"), Label("드묾"), Label("없음")))
    rows = [Example(f"{n}", f"{n}번째 글은 그냥 그렇습니다", labels=("흔함",)) for n in range(40)]
    # 25 rows, but of one text
    rows += [Example(f"d{n}", "늘 같은 글이 들어왔습니다", labels=("드묾",)) for n in range(25)]
    found = audit(Dataset(task, rows))
    assert [(row.label, row.rare, row.train) for row in found.parts[0].labels] == [
        ("흔함", False, 40),
        ("드묾", True, 25),
        ("없음", True, 0),
    ]


def test_two_classes() -> None:
    data, wrong = sides()
    found = audit(data, settings=Settings(top=10))
    first = {data.ids[item.row] for item in found.suspects[: len(wrong)]}
    assert first == wrong
    assert {(item.given, item.suggested) for item in found.suspects} <= {("긍정", "부정"), ("부정", "긍정")}


def test_aspects_and_their_grades() -> None:
    planted, wrong = with_chewy_as_stretch(reviews(160), share=0.3)
    data = graded(planted)
    rows = list(data)
    aspects = rows[5].aspects or ()
    flipped = tuple(type(a)(a.aspect, "1" if a.sentiment == "-1" else "-1") for a in aspects)
    rows[5] = Example(rows[5].id, rows[5].text, aspects=flipped)
    found = audit(Dataset(data.task, rows, source="g"))
    assert [part.name for part in found.parts] == ["aspects", "sentiment"]
    by_kind = {kind: [item for item in found.suspects if item.kind == kind] for kind in ("wrong", "missing", "grade")}
    assert {data.ids[item.row] for item in by_kind["wrong"] if item.label == "신축성"} & wrong
    assert all(item.given in ("-1", "1") and item.suggested == "no" for item in by_kind["wrong"])
    assert all(item.given == "no" and item.suggested in ("-1", "1") for item in by_kind["missing"])
    assert (5, flipped[0].sentiment) in {(item.row, item.given) for item in by_kind["grade"][:4]}


def test_probabilities_of_a_folder_trained_on_these_rows(tmp_path: Path) -> None:
    data, wrong = sides()
    train(data, settings=TrainSettings(), output=tmp_path / "m")
    found = audit(data, oof=tmp_path / "m")
    assert {data.ids[item.row] for item in found.suspects[: len(wrong)]} == wrong
    with pytest.raises(UsageError, match="not those of this data"):
        audit(data[:70], oof=tmp_path / "m")
    other, _ = sides(wrong=6)
    with pytest.raises(UsageError, match="not those of this data"):
        audit(other, oof=tmp_path / "m")
    with pytest.raises(TaskMismatch):
        audit(reviews(40), oof=tmp_path / "m")


def test_data_that_cannot_be_audited(three: Task) -> None:
    with pytest.raises(UsageError, match="no row is labelled"):
        audit(Dataset(three, [Example("1", "글")]))
    with pytest.raises(MaeumError):
        audit(Dataset(three, [Example("1", "글", labels=("기쁨",))]))
    with pytest.raises(TaskMismatch):
        audit(reviews(40), valid=sides()[0])


# -- what is written --------------------------------------------------------------------------------------------------


def test_the_page_holds_what_was_found_and_no_markup_of_the_texts() -> None:
    data = reviews(60)
    evil = '<script>alert("x")</script>'
    rows = [Example("<b>", data[0].text + evil, labels=("배송",)), *list(data)[1:]]
    rows += [Example("twin", data[0].text + evil, labels=("색상",))]
    found = audit(Dataset(data.task, rows, source=evil), valid=data)
    set_language("ko")
    html = page(found)
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "틀린 라벨로 보이는 것" in html
    assert "같은 글, 다른 라벨" in html
    assert "src=" not in html
    assert not re.search(r"https?://", html)


def test_the_folder(found: Audit, tmp_path: Path) -> None:
    summary = write(found, tmp_path / "audit")
    assert sorted(path.name for path in (tmp_path / "audit").iterdir()) == [
        "audit.json",
        "decisions.sqlite",
        "report.html",
        "worklist.xlsx",
    ]
    assert summary["listed"] == len(found.suspects)
    assert summary["leakage"] is not None
    with pytest.raises(UsageError, match="already exists"):
        write(found, tmp_path / "audit")
    write(found, tmp_path / "audit", overwrite=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("!")
    with pytest.raises(UsageError, match="not written by maeum audit"):
        write(found, tmp_path / "mine", overwrite=True)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_the_list_has_a_drop_down_and_guidelines(found: Audit, tmp_path: Path) -> None:
    write(found, tmp_path / "audit")
    with zipfile.ZipFile(tmp_path / "audit" / "worklist.xlsx") as book:
        sheet = book.read("xl/worksheets/sheet1.xml").decode()
        strings = book.read("xl/sharedStrings.xml").decode()
    assert "keep,fix,drop" in sheet
    assert 'type="list"' in sheet
    assert "pane" in sheet
    assert "쫀쫀하다는 말은 여기" in strings
    assert CHEWY in strings
