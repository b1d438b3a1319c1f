"""Particles by the last sound."""

from __future__ import annotations

import unicodedata

import pytest

from maeum.josa import has_final, josa, with_josa
from maeum.task import builtin_task, builtin_task_names


@pytest.mark.parametrize(
    ("word", "particle"),
    [
        ("행복", "이"), ("분노", "가"), ("슬픔", "이"), ("화남/분노", "가"), ("매우 부정", "이"), ("의심/불신", "이"),
        ("행복(기쁨과 함께)", "이"), ("분노 [화]", "가"), ("'기쁨'", "이"), ("분노!!", "가"), ("기쁨 😊", "이"), ("분노~", "가"),
        ("10", "이"), ("2", "가"), ("-2", "가"), ("0", "이"), ("1,000", "이"), ("3.0", "이"), ("2.5", "가"),
        ("1000000000000", "가"), ("10000000000000000", "이"), ("１３", "이"), ("７", "이"), ("TOP 9", "가"),
        ("SNS", "가"), ("HTML", "이"), ("B", "가"), ("R", "이"), ("KBS1", "이"),
        ("joy", "가"), ("anger", "가"), ("admiration", "이"), ("caring", "이"), ("approval", "이"), ("time", "이"),
        ("love", "가"), ("sadness", "가"), ("NO EMOTION", "이"),
        ("50%", "가"), ("3+", "가"), ("C#", "이"), ("ㅋㅋ", "이"), ("ㅏ", "가"),
        ("set", "이(가)"), ("幸福", "이(가)"), ("", "이(가)"), ("!!", "이(가)"), ("喜び", "이(가)"),
    ],
)  # fmt: skip
def test_the_particle_fits_the_last_sound(word, particle):
    assert josa(word, "이/가") == particle


def test_decomposed_hangul_counts_as_what_it_shows():
    assert josa(unicodedata.normalize("NFD", "행복"), "이/가") == "이"
    assert josa(unicodedata.normalize("NFD", "분노"), "이/가") == "가"


def test_every_pair():
    assert [with_josa("슬픔", pair) for pair in ("은/는", "을/를", "과/와")] == ["슬픔은", "슬픔을", "슬픔과"]
    assert [with_josa("분노", pair) for pair in ("은/는", "을/를", "과/와")] == ["분노는", "분노를", "분노와"]


def test_every_korean_label_of_the_built_in_tasks_is_told():
    names = [
        label.name("ko")
        for task in map(builtin_task, builtin_task_names())
        for label in (*task.labels, *task.sentiments)
        if any("가" <= char <= "힣" for char in label.name("ko"))
    ]
    assert len(names) > 60
    assert [name for name in names if has_final(name) is None] == []
