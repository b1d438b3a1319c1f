"""Made-up reviews whose words say what they are about, a task for them, and commands in this process."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from maeum.apps.cli import run as run_command
from maeum.data import AspectLabel, Dataset, Example
from maeum.task import Label, Task

SHOP = Task(
    "shop",
    "aspect",
    (Label("delivery", ko="배송"), Label("price", ko="가격"), Label("look", ko="모양")),
    (Label("-1", ko="나쁨"), Label("0", ko="보통"), Label("1", ko="좋음")),
)
CUES = {
    ("delivery", "-1"): "택배가 함흥차사",
    ("delivery", "0"): "택배는 약속한 날",
    ("delivery", "1"): "택배가 번개처럼",
    ("price", "-1"): "값은 바가지",
    ("price", "0"): "값은 어디나 같음",
    ("price", "1"): "값은 거저 수준",
    ("look", "-1"): "생김새 우중충",
    ("look", "0"): "생김새 평범",
    ("look", "1"): "생김새 화사함",
}
FILLER = ("오늘", "동생이", "주말에", "처음", "다시", "저녁에", "엄마가", "가게에서", "점심에", "친구랑")


def planted(n: int = 150, seed: int = 3, prefix: str = "r") -> Dataset:
    """Reviews whose words say which aspects they are about, and how each is judged."""
    rng = np.random.default_rng(seed)
    rows = []
    for row in range(n):
        picked = sorted(rng.permutation(3)[: row % 3].tolist())
        found = [(SHOP.keys[i], SHOP.sentiment_keys[int(rng.integers(3))]) for i in picked]
        words = [*map(str, rng.choice(FILLER, 2)), *(CUES[pair] for pair in found), f"{seed}{row}"]
        rows.append(Example(f"{prefix}{row}", " ".join(words), aspects=tuple(AspectLabel(*pair) for pair in found)))
    return Dataset(SHOP, rows, source="made up")


def write_jsonl(path: Path, rows: Sequence[Example]) -> Path:
    path.write_text("".join(json.dumps(row.to_dict(), ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def write_task(path: Path, task: Task = SHOP) -> Path:
    """The task as people write it."""
    quoted = [
        f'name = "{task.name}"\nkind = "aspect"\n',
        *(f'[[labels]]\nkey = "{label.key}"\nko = "{label.ko}"\n' for label in task.labels),
        *(f'[[sentiments]]\nkey = "{label.key}"\nko = "{label.ko}"\n' for label in task.sentiments),
    ]
    path.write_text("\n".join(quoted), encoding="utf-8")
    return path


def call(*words: object, code: int = 0) -> str:
    """Run a command in this process; what it says on stdout, or on stderr where it should fail."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = run_command([str(word) for word in words])
    assert status == code, err.getvalue()
    return (err if code else out).getvalue()
