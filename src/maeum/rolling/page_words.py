"""The parts of the page that hold words and sentences rather than counts, and how all of it was made."""

from __future__ import annotations

from maeum._lang import say
from maeum._svg import escape
from maeum.rolling.counting import ALL
from maeum.rolling.rollup import Cell, Result
from maeum.rolling.sheet import Sentences, where

CARDS = 24
"""Labels with words and sentences, the most frequent ones."""


def words(result: Result, texts: Sentences) -> str:
    """Telling words, a card for each label."""
    cards = []
    for label in result.labels()[:CARDS]:
        lines = []
        for grade in (-1, *range(len(result.task.sentiments))):
            found = result.words.get((label, grade))
            if not found:
                continue
            shown = ""
            for item in found:
                title = f"{result.label_name(label)} · {item.word} ({item.count:,}; z {item.z:.1f})"
                body = f"{escape(item.word)} <small>{item.count:,}</small>"
                shown += texts.button(body, [Cell(ALL, label, grade, item.word)], title)
            lines.append(f"<dt>{escape(result.grade_name(grade))}</dt><dd>{shown}</dd>")
        if lines:
            name = escape(result.label_name(label))
            cards.append(f'<article><h3>{name}</h3><dl class="rl-words">{"".join(lines)}</dl></article>')
    told = say(
        "그 칸의 글에 나머지 글보다 뚜렷이 많은 낱말입니다(디리클레 사전분포를 둔 로그 오즈, z > 1.96). 숫자는 그 낱말이 든 글 수입니다.",
        "Words that texts of a cell have clearly more often than all others (log-odds with a Dirichlet prior, z > 1.96), and in "
        "how many texts of the cell.",
    )
    none = say("글이 적어 두드러진 낱말이 없습니다.", "Too few texts for any word to stand out.")
    return f'<p class="told">{told if cards else none}</p><div class="cards">{"".join(cards)}</div>'


def sentences(result: Result) -> str:
    """Sentences of every label and grade in plain HTML, which open without a script."""
    parts = []
    for label in result.labels()[:CARDS]:
        folds = []
        for grade in range(max(1, len(result.task.sentiments))):
            found = result.sentences.get(Cell(ALL, label, grade))
            if not found:
                continue
            count = int(result.counts[ALL].cells[label, grade])
            items = "".join(
                f"<li>{escape(item.text)}<small>{escape(where(item))} · {item.score:.2f}</small></li>" for item in found
            )
            name = result.grade_name(grade) or say("문장", "sentences")
            folds.append(f"<details><summary>{escape(name)} ({count:,})</summary><ul>{items}</ul></details>")
        if folds:
            parts.append(f"<div><h3>{escape(result.label_name(label))}</h3>{''.join(folds)}</div>")
    return f'<div class="rl-say">{"".join(parts)}</div>'


def how(result: Result) -> str:
    """Facts about the run."""
    facts, settings = result.facts, result.settings
    half = (settings.examples + 1) // 2
    rows = [
        (say("모델", "model"), facts.model),
        (say("과제", "task"), f"{result.task.name} ({len(result.task)})"),
        (say("입력", "input"), f"{facts.input} · {say(f'{facts.rows:,}행', f'{facts.rows:,} rows')}"),
        (
            say("문장", "sentences"),
            say(
                f"숫자마다 확률이 가장 높은 것 {half}개와 무작위 {settings.examples - half}개(씨앗 {settings.seed})까지. 기간·묶음·낱말은 더 적게.",
                f"up to {half} of the highest probability and {settings.examples - half} at random (seed {settings.seed}) for "
                "each number; fewer for periods, groups and words",
            ),
        ),
        (
            say("낱말", "words"),
            say(
                f"조사를 규칙으로 뗀 어절과 그 첫 두 글자 {facts.vocabulary:,}가지를 글마다 한 번씩 셌습니다. "
                f"세지 않은 낱말은 많아야 글 {facts.unlisted:,}개에 나옵니다. Monroe, Colaresi & Quinn(2008).",
                f"{facts.vocabulary:,} eojeols without particles (cut by rule) and their first two syllables, once a text; a word "
                f"that is not counted is in at most {facts.unlisted:,} texts. Monroe, Colaresi & Quinn (2008)",
            ),
        ),
        (
            say("주의", "mind"),
            say(
                "모두 모델의 판단을 센 것이며, 구간은 모델의 오류를 담지 않습니다.",
                "All of this counts what the model says; intervals do not cover the model's own errors.",
            ),
        ),
    ]
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows)
    return f'<dl class="facts">{items}</dl>'
