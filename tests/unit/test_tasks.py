"""The tasks that come with the package: complete, in the order of their data, and readable back."""

from __future__ import annotations

import pytest

from maeum.errors import TaskMismatch
from maeum.task import Task, builtin_task, builtin_task_names, get_task

KEYS = {
    "nikl-ea": "joy anticipation trust surprise disgust fear anger sadness",
    "kote": (
        "불평/불만 환영/호의 감동/감탄 지긋지긋 고마움 슬픔 화남/분노 존경 기대감 우쭐댐/무시함 안타까움/실망 비장함 "
        "의심/불신 뿌듯함 편안/쾌적 신기함/관심 아껴주는 부끄러움 공포/무서움 절망 한심함 역겨움/징그러움 짜증 어이없음 "
        "없음 패배/자기혐오 귀찮음 힘듦/지침 즐거움/신남 깨달음 죄책감 증오/혐오 흐뭇함(귀여움/예쁨) 당황/난처 경악 "
        "부담/안_내킴 서러움 재미없음 불쌍함/연민 놀람 행복 불안/걱정 기쁨 안심/신뢰"
    ),
    "goemotions": (
        "admiration amusement anger annoyance approval caring confusion curiosity desire disappointment disapproval "
        "disgust embarrassment excitement fear gratitude grief joy love nervousness optimism pride realization relief "
        "remorse sadness surprise neutral"
    ),
    "nsmc": "부정 긍정",
    "kobest-sentineg": "부정 긍정",
    "sentiment": "부정 중립 긍정",
    "aihub-7": "공포 놀람 분노 슬픔 중립 행복 혐오",
    "aihub-dialogue-6": "분노 슬픔 불안 상처 당황 기쁨",
    "korean-hate-speech": "none offensive hate",
    "chatbot": "일상 이별 사랑",
    "review-fashion": "디자인 배송 색상 품질 가격 스타일 만족도 신축성 착용감 소재 핏 사이즈 길이 마감처리 서비스",
    "mabsa-sight": "Mathematical_Related_Concept Instructor Course_General_Feedback Other Teaching_Setup",
}
SIZES = {
    "nikl-sa": 25,
    "mabsa-restaurant": 13,
    "mabsa-hotel": 34,
    "mabsa-phone": 86,
    "mabsa-laptop": 108,
    "mabsa-food": 10,
    "mabsa-coursera": 30,
}
MULTILABEL = {"nikl-ea", "kote", "goemotions"}


def test_names_are_known() -> None:
    assert set(builtin_task_names()) == set(KEYS) | set(SIZES)


@pytest.mark.parametrize("name", builtin_task_names())
def test_reads_and_writes_back(name: str) -> None:
    task = builtin_task(name)
    assert task.name == name
    assert task.description
    assert Task.from_dict(task.to_dict()) == task
    assert get_task(name) is task


@pytest.mark.parametrize("name", builtin_task_names())
def test_every_spelling_means_one_label(name: str) -> None:
    """No name or alias is shared by two labels, so none is silently useless."""
    task = builtin_task(name)
    for label in task.labels:
        for word in (label.key, label.name("ko"), label.name("en"), *label.aliases):
            assert task.resolve(word) == label.key, word


@pytest.mark.parametrize("name", KEYS)
def test_keys_are_in_the_order_of_the_data(name: str) -> None:
    assert builtin_task(name).keys == tuple(KEYS[name].split())


@pytest.mark.parametrize("name", SIZES)
def test_sizes(name: str) -> None:
    assert len(builtin_task(name)) == SIZES[name]


@pytest.mark.parametrize("name", builtin_task_names())
def test_kinds(name: str) -> None:
    task = builtin_task(name)
    is_aspect = name == "review-fashion" or name.startswith(("mabsa-", "nikl-sa"))
    assert task.kind == ("aspect" if is_aspect else "multilabel" if name in MULTILABEL else "multiclass")
    assert task.targeted == (name == "nikl-ea")
    if is_aspect:
        assert task.sentiment_keys == (
            ("-2", "-1", "0", "1", "2") if name == "review-fashion" else ("negative", "neutral", "positive")
        )
        assert all(label.ko for label in task.sentiments)


@pytest.mark.parametrize("name", ["nikl-ea", "goemotions", "korean-hate-speech", "mabsa-laptop", "mabsa-phone"])
def test_english_keys_have_korean_names(name: str) -> None:
    assert all(label.ko for label in builtin_task(name).labels)


@pytest.mark.parametrize("name", ["nikl-ea", "review-fashion"])
def test_annotators_are_told_when_to_give_a_label(name: str) -> None:
    task = builtin_task(name)
    assert all(len(label.guideline) > 10 for label in (*task.labels, *task.sentiments))


@pytest.mark.parametrize(
    ("task", "word", "key"),
    [
        ("nikl-ea", "당황", "surprise"),
        ("nikl-ea", "기쁨", "joy"),
        ("kote", "불만", "불평/불만"),
        ("kote", "부담/안내킴", "부담/안_내킴"),
        ("kote", "귀여움", "흐뭇함(귀여움/예쁨)"),
        ("goemotions", "감사", "gratitude"),
        ("nsmc", "0", "부정"),
        ("nsmc", "Positive", "긍정"),
        ("aihub-7", "angry", "분노"),
        ("aihub-7", "anger", "분노"),
        ("aihub-7", "sad", "슬픔"),
        ("aihub-7", " Happiness ", "행복"),
        ("aihub-7", "기쁨", "행복"),
        ("aihub-dialogue-6", "E37", "불안"),
        ("aihub-dialogue-6", "E69", "기쁨"),
        ("chatbot", "1", "이별"),
        ("nikl-sa", "패키지/ 구성품#가격", "패키지/구성품#가격"),
    ],
)
def test_spellings_of_the_data(task: str, word: str, key: str) -> None:
    assert builtin_task(task).resolve(word) == key


def test_every_code_of_the_dialogue_corpus_is_known() -> None:
    task = builtin_task("aihub-dialogue-6")
    assert [task.index(f"E{code}") for code in range(10, 70)] == [code // 10 - 1 for code in range(10, 70)]


def test_unknown_label_gets_a_suggestion() -> None:
    with pytest.raises(TaskMismatch, match=r"sadnes.*sadness"):
        builtin_task("nikl-ea").resolve("sadnes")
    with pytest.raises(TaskMismatch, match=r"역겨움/징그러욤.*역겨움/징그러움"):
        builtin_task("kote").resolve("역겨움/징그러욤")


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("배송", ["구김"]),
        ("품질", ["늘어남", "쫀쫀", "짱짱"]),
        ("신축성", ["쫀쫀", "허리"]),
        ("마감처리", ["바느질", "박음질", "실밥"]),
    ],
)
def test_tagging_rules_of_the_fashion_task(label: str, words: list[str]) -> None:
    task = builtin_task("review-fashion")
    guideline = task.labels[task.index(label)].guideline
    assert [word for word in words if word not in guideline] == []
