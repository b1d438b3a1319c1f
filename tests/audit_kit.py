"""Labelled rows with known errors, for audits: short reviews of our own words, each label with words that show it."""

from __future__ import annotations

import random

from maeum.data import AspectLabel, Dataset, Example
from maeum.task import Label, Task

SHOPS = Task(
    "shop",
    "multilabel",
    (
        Label("신축성", guideline="늘어나고 되돌아오는 성질"),
        Label("품질", guideline="튼튼함. 쫀쫀하다는 말은 여기"),
        Label("배송"),
        Label("색상"),
    ),
)
GRADED = Task("graded", "aspect", SHOPS.labels, sentiments=(Label("-1"), Label("1")))
SIDES = Task("sides", "multiclass", (Label("부정"), Label("긍정")))

PARTS = {
    "신축성": ["허리가 쭉쭉 늘어나요", "스판기가 넉넉해요", "밴드가 잘 늘어나서 편해요", "탄력이 있어 잘 돌아와요"],
    "품질": ["박음질이 꼼꼼해요", "보풀 없이 오래 입어요", "마감이 깔끔하네요", "두 해째 멀쩡해요"],
    "배송": ["택배가 하루 만에 왔어요", "포장이 반듯했어요", "주문하고 금방 받았어요", "기사님이 문 앞에 두셨어요"],
    "색상": ["하늘빛이 맑아요", "화면보다 색이 짙어요", "물이 안 빠져요", "크림색이 은은해요"],
}
FILLERS = [
    "그래서 추천해요",
    "엄마도 좋아하셨어요",
    "다음에 또 살게요",
    "친구랑 같이 샀어요",
    "주말에 입었어요",
    "선물했어요",
]
CHEWY = "쫀쫀한 느낌이에요"
"""A word of 품질, as the guideline has it."""


def reviews(rows: int = 240, *, seed: int = 0) -> Dataset:
    """Correctly labelled rows; about a sixth speak of 쫀쫀 and are 품질."""
    rng = random.Random(seed)
    made = []
    for number in range(rows):
        labels = rng.sample(SHOPS.keys, rng.choice([1, 1, 2]))
        parts = [CHEWY if key == "품질" and rng.random() < 0.5 else rng.choice(PARTS[key]) for key in labels]
        text = " ".join([*parts, rng.choice(FILLERS), f"{rng.randrange(1000)}호"])
        made.append(Example(f"r{number:03d}", text, labels=SHOPS.order(labels)))
    return Dataset(SHOPS, made, source="reviews.jsonl")


def with_chewy_as_stretch(data: Dataset, *, share: float, seed: int = 1) -> tuple[Dataset, set[str]]:
    """The story of seed 004: some rows with 쫀쫀 are given 신축성 instead of 품질; their ids."""
    rng = random.Random(seed)
    rows, wrong = [], set()
    for example in data:
        labels = set(example.labels or ())
        if "쫀쫀" in example.text and rng.random() < share:
            labels = (labels - {"품질"}) | {"신축성"}
            wrong.add(example.id)
        rows.append(Example(example.id, example.text, labels=SHOPS.order(labels)))
    return Dataset(SHOPS, rows, source=data.source), wrong


def graded(data: Dataset, *, seed: int = 2) -> Dataset:
    """The same rows as an aspect task, with grades that the text shows."""
    rng = random.Random(seed)
    rows = []
    for example in data:
        good = rng.random() < 0.5
        text = f"{example.text} {'정말 마음에 들어요' if good else '너무 실망이에요'}"
        aspects = tuple(AspectLabel(key, "1" if good else "-1") for key in example.labels or ())
        rows.append(Example(example.id, text, aspects=aspects))
    return Dataset(GRADED, rows, source=data.source)


def sides(rows: int = 80, *, wrong: int = 4, seed: int = 3) -> tuple[Dataset, set[str]]:
    """Two classes that the text shows; the ids of rows given the other one."""
    rng = random.Random(seed)
    made = []
    for number in range(rows):
        good = number % 2 == 0
        text = f"{rng.choice(FILLERS)} {'정말 마음에 들어요' if good else '너무 실망이에요'} {rng.randrange(1000)}호"
        given = good != (number < wrong)
        made.append(Example(f"s{number:03d}", text, labels=("긍정" if given else "부정",)))
    return Dataset(SIDES, made, source="sides.jsonl"), {f"s{number:03d}" for number in range(wrong)}
