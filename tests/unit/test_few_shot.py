"""Worked examples: which are chosen, in what order, and that they come back from a file as they were."""

from __future__ import annotations

import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from maeum.data import Input, Target
from maeum.errors import FormatError, UsageError
from maeum.models.few_shot import ORDERS, Pool, Shot, _TfIdf


def pool(*texts: str) -> Pool:
    return Pool(tuple(Shot(Input(text), (f"{number}",)) for number, text in enumerate(texts)))


def chosen(made: Pool, text: str, k: int) -> list[str]:
    return [shot.input.text for shot in made.choose(Input(text), k)]


def test_the_most_similar_stand_last():
    made = pool("배송이 빨라요", "화면이 밝고 좋아요", "배송이 너무 늦었어요", "맛이 없어요")
    assert chosen(made, "배송이 너무 늦어요", 2) == ["배송이 빨라요", "배송이 너무 늦었어요"]
    assert chosen(made, "배송이 너무 늦어요", 4)[-2:] == ["배송이 빨라요", "배송이 너무 늦었어요"]
    assert chosen(made, "화면이 참 밝아요", 1) == ["화면이 밝고 좋아요"]


def test_weights_are_those_of_scikit_learn():
    texts = ["배송이 빨라요", "A급 Oh 가", "", "배송 배송 배송이 늦어요 ㅋㅋㅋㅋ", "가\u2003나", "ß İ"]
    asked = [*texts, "처음 보는 말", "배송이 참 빨라요"]
    theirs = TfidfVectorizer(analyzer="char_wb", ngram_range=ORDERS).fit(texts)
    ours = _TfIdf(texts)
    expected = (theirs.transform(asked) @ theirs.transform(texts).T).toarray()
    assert (ours.weigh(asked) @ ours.weigh(texts).T).toarray() == pytest.approx(expected, abs=1e-12)


def test_words_count_the_more_the_rarer_they_are():
    made = pool(*["오늘 배송"] * 30, "포장 배송")
    assert chosen(made, "포장 오늘", 1) == ["포장 배송"]


@pytest.mark.parametrize(
    "text", ["배송이 빨라요", " 배송이  빨라요\n", "\u1107\u1162\u1109\u1169\u11bc\u110b\u1175 빨라요"]
)
def test_the_very_same_text_is_never_its_own_example(text):
    made = Pool(
        (
            Shot(Input("배송이 빨라요", Target("배송", 0, 2)), ("a",)),
            Shot(Input("배송이 빨라요", Target("빨라", 4, 6)), ("b",)),
            Shot(Input("배송이 빨라서 좋아요"), ("c",)),
        )
    )
    for k in (1, 2, 3):
        assert [shot.labels for shot in made.choose(Input(text, Target("배송", 0, 2)), k)] == [("c",)]


def test_equally_similar_ones_stand_by_their_order():
    made = pool("가나다", "맛있어요", "맛있어요", "마바사", "맛있어요")
    assert [shot.labels for shot in made.choose(Input("참 맛있어요"), 3)] == [("4",), ("2",), ("1",)]
    many = pool(*(text for number in range(40) for text in (f"다른 말 {number}", "맛있어요")))
    assert [int(shot.labels[0]) for shot in many.choose(Input("참 맛있어요"), 40)] == list(range(79, 0, -2))
    # nothing in common with any: the first ones, the first of them last
    assert [shot.labels for shot in made.choose(Input("xyz"), 2)] == [("1",), ("0",)]


def test_the_choice_is_the_same_every_time_and_does_not_depend_on_what_was_asked_before():
    texts = [f"{what}이 {how}" for what in ("배송", "가격", "품질") for how in ("좋아요", "별로예요", "그냥 그래요")]
    first, second = pool(*texts), pool(*texts)
    asked = ["배송이 별로", "가격이 좋네요", "품질"]
    wanted = [chosen(first, text, 4) for text in asked]
    assert [chosen(second, text, 4) for text in reversed(asked)] == list(reversed(wanted))


def test_there_may_be_fewer_than_asked_for():
    made = pool("하나", "둘")
    assert len(made.choose(Input("셋"), 5)) == 2
    assert made.choose(Input("셋"), 0) == ()
    assert Pool(()).choose(Input("셋"), 3) == ()
    assert chosen(pool("", " "), "셋", 2) == [" ", ""]
    assert len(pool("", "하나").choose(Input(""), 2)) == 1
    with pytest.raises(UsageError, match="cannot be negative: -1"):
        made.choose(Input("셋"), -1)


def test_a_pool_comes_back_from_its_file(tmp_path):
    made = Pool(
        (
            Shot(Input('줄\n바꿈\u2028과 \u0085 따옴표" 그리고 \ud83d'), ()),
            Shot(Input("배송이 늦어요", Target("배송", 0, 2)), ("anger", "sadness")),
            Shot(Input("천이 얇아요", aspect="소재"), ("-1",)),
            Shot(Input(""), ("a",)),
        )
    )
    path = tmp_path / "examples.jsonl"
    made.save(path)
    assert Pool.load(path) == made
    assert path.read_bytes().count(b"\n") == 4
    assert Pool.load(path).choose(Input("배송이 빨라요"), 2) == made.choose(Input("배송이 빨라요"), 2)
    Pool(()).save(path)
    assert Pool.load(path) == Pool(())


@pytest.mark.parametrize(
    "line",
    [
        '{"text": "가"',
        '{"text": "가"}',
        "[]",
        '{"text": 1, "target": null, "aspect": null, "labels": []}',
        '{"text": "가", "target": null, "aspect": null, "labels": "a"}',
        '{"text": "가", "target": {"form": "가"}, "aspect": null, "labels": []}',
        "",
    ],
)
def test_a_damaged_file_is_named_with_its_line(line, tmp_path):
    path = tmp_path / "examples.jsonl"
    pool("가").save(path)
    path.write_text(path.read_text(encoding="utf-8") + line + "\n", encoding="utf-8")
    with pytest.raises(FormatError, match=r"examples\.jsonl:2: this is no example"):
        Pool.load(path)
