"""``maeum chat``: the prompt, the sentences and what can be typed besides."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_kit import maeum, ok

from maeum._lang import set_language
from maeum.analyzer import Analyzer
from maeum.apps.cli import chat as chat_module
from maeum.apps.cli.chat import _block, _Chat, bars, sentences
from maeum.task import Label, Task
from maeum.text import TextPrep

PROMPT = "하고싶은 말을 입력해주세요 : "
SEVEN = Task("seven", "multiclass", tuple(map(Label, ("공포", "놀람", "분노", "슬픔", "중립", "행복", "혐오"))))
SHOP = Task(
    "shop", "aspect", (Label("배송", en="delivery"), Label("색상", en="colour")),
    (Label("-1", ko="부정", en="dislike"), Label("1", ko="만족", en="satisfaction")),
)  # fmt: skip


class Fixed:
    """A predictor that always answers the same."""

    kind = "fixed"

    def __init__(self, task: Task, proba: list[float]) -> None:
        self.task = task
        self.proba = np.array(proba, np.float32)

    def predict_proba(self, inputs: Any) -> np.ndarray:
        return np.tile(self.proba, (len(inputs), 1))

    def save(self, folder: Path) -> None:
        raise NotImplementedError


class Graded(Fixed):
    """The same with grades."""

    def grade(self, inputs: Any, on: Any) -> list[list[dict]]:
        keys = [key for key, is_on in zip(self.task.keys, on[0], strict=True) if is_on]
        return [[{"aspect": key, "sentiment": "-1", "sentiment_scores": {}} for key in keys] for _ in inputs]


def analyzer(task: Task, *proba: float) -> Analyzer:
    predictor: Any = (Graded if task.kind == "aspect" else Fixed)(task, list(proba))
    return Analyzer(predictor, prep=TextPrep.named("default"))


@pytest.fixture(autouse=True)
def korean():
    set_language("ko")


def talk(monkeypatch, capsys, typed: str | bytes, *heads: Analyzer, **options: Any) -> tuple[str, str]:
    """(what was printed, what was complained)."""
    raw = typed.encode() if isinstance(typed, str) else typed
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8"))
    named = {head.task.name: head for head in heads or (analyzer(SEVEN, 0, 0, 0, 0, 0.1, 0.9, 0),)}
    _Chat(named, **{"target": None, "bars": False, "quiet": False, **options}).run()
    done = capsys.readouterr()
    return done.out, done.err


def test_the_prompt_and_the_answer_are_those_of_the_seed(monkeypatch, capsys):
    out, err = talk(monkeypatch, capsys, "오늘 상 받았어\n0\n안 읽힘\n")
    assert out == f"{PROMPT}>> 입력하신 내용에서 행복이 느껴집니다.\n\n{PROMPT}\n"
    assert err == ""


@pytest.mark.parametrize("label", ["공포", "놀람", "분노", "슬픔", "중립", "행복", "혐오"])
def test_every_label_of_the_seed_with_its_particle(label):
    found = analyzer(SEVEN, *(0.9 if key == label else 0.01 for key in SEVEN.keys)).analyze(["글"])[0]
    particle = {"공포": "가", "분노": "가", "혐오": "가"}.get(label, "이")
    assert sentences(found) == [f"입력하신 내용에서 {label}{particle} 느껴집니다."]


def multi(*names: str) -> Task:
    return Task("multi", "multilabel", tuple(Label(name) for name in names))


@pytest.mark.parametrize(
    ("scores", "ko", "en"),
    [
        ((0.9, 0.8, 0.1, 0.1, 0.1), "기쁨과 분노가 느껴집니다.", "I feel 기쁨 and 분노 in what you wrote."),
        ((0.8, 0.9, 0.1, 0.1, 0.1), "분노와 기쁨이 느껴집니다.", "I feel 분노 and 기쁨 in what you wrote."),
        ((0.9, 0.8, 0.7, 0.1, 0.9), "기쁨, 분노, 놀람이 느껴집니다.", "I feel 기쁨, 분노 and 놀람 in what you wrote."),
        ((0.9, 0.8, 0.7, 0.6, 0.1), "기쁨, 분노, 놀람 등 4가지가 느껴집니다.", "I feel 기쁨, 분노, 놀람 and 1 more in what you wrote."),
        ((0.1, 0.1, 0.1, 0.1, 0.9), "감정이 느껴지지 않습니다.", "I feel no emotion in what you wrote."),
        ((0.1, 0.4, 0.1, 0.1, 0.1), "뚜렷하게 느껴지는 것이 없습니다. 가장 가까운 것은 분노(40.0%)입니다.",
         "Nothing stands out in what you wrote; the nearest is 분노 (40.0%)."),
    ],
)  # fmt: skip
def test_several_labels_none_and_the_label_that_means_none(scores, ko, en):
    found = analyzer(multi("기쁨", "분노", "놀람", "공포", "없음"), *scores).analyze(["글"])[0]
    assert sentences(found) == [f"입력하신 내용에서 {ko}"]
    set_language("en")
    assert sentences(found) == [en]


def test_review_models_answer_aspect_by_aspect():
    assert sentences(analyzer(SHOP, 0.9, 0.8).analyze(["글"])[0]) == [
        "배송에서 부정이 느껴집니다.",
        "색상에서 부정이 느껴집니다.",
    ]
    assert "속성을 찾지 못했습니다" in sentences(analyzer(SHOP, 0.1, 0.1).analyze(["글"])[0])[0]
    set_language("en")
    assert sentences(analyzer(SHOP, 0.9, 0.1).analyze(["글"])[0]) == ["I feel dislike about delivery."]


def test_the_eight_emotions_speak_first_where_a_model_has_several_heads(monkeypatch, capsys):
    eight, other = Task("nikl-ea", "multilabel", (Label("joy", ko="기쁨"),)), multi("안심/신뢰", "고마움")
    out, _ = talk(monkeypatch, capsys, "글\n/과제\n0\n", analyzer(other, 0.9, 0.9), analyzer(eight, 0.9))
    assert ">> 입력하신 내용에서 기쁨이 느껴집니다." in out
    assert "과제: multi, [nikl-ea]" in out
    out, _ = talk(monkeypatch, capsys, "글\n0\n", analyzer(other, 0.9, 0.1), analyzer(SEVEN, 0, 0, 0, 0, 0, 0.9, 0))
    assert ">> 입력하신 내용에서 안심/신뢰가 느껴집니다." in out


def test_nothing_typed_asks_again_and_the_end_of_input_ends(monkeypatch, capsys):
    out, _ = talk(monkeypatch, capsys, "\n   \n\ufeff")
    assert out == PROMPT * 4 + "\n"
    assert talk(monkeypatch, capsys, "", quiet=True) == ("", "")
    assert talk(monkeypatch, capsys, "글", quiet=True)[0] == ">> 입력하신 내용에서 행복이 느껴집니다.\n\n"


def test_history_target_heads_and_help(monkeypatch, capsys):
    heads = (analyzer(SEVEN, 0, 0, 0, 0, 0.1, 0.9, 0), analyzer(multi("분노"), 0.9))
    typed = "/기록\n하나\n/과제 multi\n둘\n/기록\n/과제 없는것\n/대상 배우\n글\n배우가 좋다\n/대상\n/도움말\n/뭐\n0\n"
    out, err = talk(monkeypatch, capsys, typed, *heads)
    answers = [line for line in out.replace(PROMPT, "").splitlines() if line]
    assert answers[:2] == ["아직 입력한 문장이 없습니다.", ">> 입력하신 내용에서 행복이 느껴집니다."]
    assert answers[2:4] == ["과제: seven, [multi]", ">> 입력하신 내용에서 분노가 느껴집니다."]
    assert answers[4:8] == [
        "  1  하나", "     입력하신 내용에서 행복이 느껴집니다.", "  2  둘", "     입력하신 내용에서 분노가 느껴집니다.",
    ]  # fmt: skip
    assert "대상: 배우" in answers
    assert "대상: 정하지 않음" in answers
    assert any(line.startswith("/기록") for line in answers)
    assert [line for line in err.splitlines() if line] == [
        "과제 '없는것'이(가) 없습니다.",
        "오류: 대상 '배우'이(가) 글에 없습니다: '글'",
        "'/뭐'라는 명령은 없습니다. /도움말을 보세요.",
    ]


def test_bytes_of_another_encoding_are_read_or_asked_for_again(monkeypatch, capsys):
    out, err = talk(monkeypatch, capsys, "행복해\n".encode("cp949") + b"\xff\xfe\n0\n")
    assert out.count(">> 입력하신 내용에서") == 1
    assert err == "글자를 읽을 수 없습니다. UTF-8이나 cp949로 입력하세요.\n"


def test_bars_are_aligned_and_of_a_character_the_console_has():
    found = analyzer(multi("기쁨", "화남/분노", "놀람"), 0.9, 0.5, 0.01).analyze(["글"])[0]
    assert bars(found, "█") == [
        "  ● 기쁨       90.0% ███████████████████████████",
        "  ● 화남/분노  50.0% ███████████████",
        "    놀람        1.0%",
    ]
    assert (_block("utf-8"), _block("cp949"), _block("ascii"), _block(None)) == ("█", "■", "#", "█")


def test_bars_are_for_terminals(monkeypatch, capsys):
    found, _ = talk(monkeypatch, capsys, "글\n0\n", bars=True)
    assert "█" in found
    assert "  ● 행복  90.0%" in found


def test_the_command_with_a_model_folder(tmp_path, sample_model):
    set_language(None)
    model = sample_model("nikl-ea")
    done = ok("chat", model, "--target", "표", cwd=tmp_path, stdin="드디어 표를 구했다!!\n배송이 늦다\n0\n")
    assert done.stdout.startswith("Say something: >> ")
    assert "in what you wrote" in done.stdout
    assert "█" not in done.stdout
    assert "the target '표' does not occur" in done.stderr
    assert maeum("chat", "nowhere", cwd=tmp_path, stdin="").returncode == 1


@pytest.mark.slow
def test_a_console_in_cp949_and_one_in_ascii(tmp_path, sample_model):
    set_language(None)
    for encoding in ("cp949", "ascii"):
        words = {"MAEUM_LANG": "ko", "PYTHONIOENCODING": encoding}
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", "maeum", "chat", str(sample_model("nikl-ea"))],
            input="똠방각하 뷁 😀\n".encode() + "행복하다\n".encode("cp949") + b"/help\n0\n",
            capture_output=True,
            check=False,
            cwd=tmp_path,
            env={"PATH": "", **words},
        )
        assert done.returncode == 0, done.stderr
        assert b"Traceback" not in done.stderr
        assert done.stdout.count(b">> ") == 2


def test_ctrl_c_ends_like_other_commands(monkeypatch, tmp_path, sample_model):
    set_language(None)

    def interrupted(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(chat_module, "input", interrupted, raising=False)
    done = maeum("chat", sample_model("nikl-ea"), cwd=tmp_path)
    assert done.returncode == 130
    assert done.stderr.endswith("\nstopped\n")
