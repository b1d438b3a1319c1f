"""Prompt templates: slots, variants, words, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from maeum._lang import set_language
from maeum.data import Input, Target
from maeum.errors import UsageError
from maeum.models.prompts import Segment, Template, builtin_templates, load_template, template_for
from maeum.task import Label, Task, builtin_task, builtin_task_names

SCHOOL = Input("학교 앞 가게가 문을 닫았다", Target("가게", 5, 7))


def test_the_prompt_of_seed_000_comes_out_exactly():
    template = load_template("seed000")
    assert template.render(SCHOOL) == (
        "아래는 문장에서 대상에 대한 감정을 매우 정확하게 분류한다.\n"
        "### 문장: 학교 앞 가게가 문을 닫았다\n"
        "### 대상: 가게\n"
        "### 감정:"
    )
    assert template.answer_text("기쁨") == " 기쁨"
    words = template.words_for(builtin_task("nikl-ea"))
    assert list(words.values()) == ["기쁨", "기대", "신뢰", "당황", "혐오", "공포", "분노", "슬픔"]
    assert list(words) == list(builtin_task("nikl-ea").keys)


def test_the_prompt_of_seed_004_with_and_without_an_aspect():
    template = load_template("seed004")
    assert template.render(Input("천이 얇아요")) == "###입력: 천이 얇아요\n###명령어: 리뷰를 분석해줘\n###출력:"
    assert template.render(Input("천이 얇아요", aspect="소재")) == "###입력: 천이 얇아요\n###키워드: 소재\n###출력:"


@pytest.mark.parametrize("name", builtin_templates())
def test_builtin_templates_can_be_written_down_and_asked(name):
    template = load_template(name)
    assert template.name == name
    assert Template.from_dict(template.to_dict()) == template
    for item in (SCHOOL, Input("글", Target("글", 0, 1), "소재")):
        assert item.text in template.render(item, choices=("하나", "둘"))
        if template.yesno:
            assert "둘째" in template.render(item, label="둘째")
    if name in ("emotion", "label", "chat"):
        assert "가게" not in template.render(Input("비가 온다"), choices=("하나",))
        assert "하나" in template.render(Input("비가 온다"), label="하나")


def test_an_empty_separator_and_other_settings_survive_being_written_down():
    template = Template("mine", "{text}:", separator="", yes="응", answer="\n{word}", words={"t": {"a": "가"}})
    assert Template.from_dict(template.to_dict()) == template


def test_segments_tell_the_template_and_what_fills_it_apart():
    template = Template("mine", "{{글}} {text} / {target} =")
    assert template.segments(SCHOOL) == (
        Segment("{글} "),
        Segment(SCHOOL.text, "text"),
        Segment(" / "),
        Segment("가게", "target"),
        Segment(" ="),
    )
    # what fills a slot is never read as a slot
    braces = Input("{target} {0} {{}}", Target("0", 9, 10))
    assert template.render(braces) == "{글} {target} {0} {{}} / 0 ="


def test_variants_follow_target_aspect_and_question():
    template = Template(
        "mine",
        "가 {text} {target} =",
        untargeted="나 {text} =",
        aspected="다 {text} {aspect} =",
        yesno="라 {text} {target} {label} ?",
        yesno_untargeted="마 {text} {label} ?",
    )
    plain, aspect = Input("x"), Input("x", aspect="y")
    assert template.render(SCHOOL)[0] == "가"
    assert template.render(plain)[0] == "나"
    assert template.render(aspect) == "다 x y ="
    assert template.render(SCHOOL, label="z")[0] == "라"
    assert template.render(plain, label="z") == "마 x z ?"


def test_an_empty_text_is_a_text():
    assert Template("mine", "글: {text} 답:").render(Input("")) == "글:  답:"


def test_words_are_the_templates_then_korean_names_then_keys():
    task = Task("t", "multilabel", (Label("a", ko="가"), Label("b", ko="나"), Label("c")))
    template = Template("mine", "{text}:", words={"t": {"b": "둘"}, "other": {"a": "x"}})
    assert template.words_for(task) == {"a": "가", "b": "둘", "c": "c"}
    with pytest.raises(UsageError, match=r"'bb' in \[words\.t\] is not a label of the task; did you mean 'b'"):
        Template("mine", "{text}:", words={"t": {"bb": "x"}}).words_for(task)


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt": "{txt}:"}, "unknown slot {txt}; did you mean 'text'"),
        ({"prompt": "{text!r}:"}, "unknown slot {text}"),
        ({"prompt": "{text:>9}:"}, "unknown slot {text}"),
        ({"prompt": "{}{text}:"}, "unknown slot {}"),
        ({"prompt": "글:"}, "'prompt' must have {text} exactly once, it has it 0 times"),
        ({"prompt": "{text} {text}:"}, "it has it 2 times"),
        ({"prompt": "{text}: }"}, "the braces do not match"),
        ({"prompt": "{text}: {word}"}, "must end where the answer begins"),
        ({"prompt": "글: {text}"}, "ends in {text}"),
        ({"prompt": "{text} 답: "}, "ends in white space"),
        ({"prompt": "{text} 답:\n"}, "ends in white space"),
        ({"untargeted": "답:"}, "'untargeted' must have {text}"),
        ({"untargeted": "{text}\n결과:"}, "must end in the same word, or the answer's tokens differ: 결과:, 답:"),
        ({"aspected": "{text} 답:"}, "'aspected' must have {aspect}"),
        ({"yesno": "{text} 답:"}, "'yesno' must have {label}"),
        ({"answer": "기쁨"}, "'answer' must have {word} exactly once"),
        ({"answer": "{word}{text}"}, "unknown slot {text}"),
        ({"system": "x"}, "'system' belongs to templates with chat = true"),
        ({"none": ""}, "an answer word is empty"),
        ({"words": {"t": {"a": " 가"}}}, "white space at an end: ' 가'"),
        ({"words": {"a": "가"}}, "'words' must be [words.TASK]"),
        ({"chat": "yes"}, "'chat' must be true or false, got 'yes'"),
        ({"prompt": 3}, "'prompt' must be a string, got 3"),
        ({"prompt": ""}, "lacks 'prompt'"),
        ({"promt": "x"}, "unknown key 'promt'; did you mean 'prompt'"),
    ],
)
def test_what_makes_no_sense_is_said_in_one_sentence(change, message, language):
    data = {"name": "mine", "prompt": "{text} 답:"} | change
    set_language(language)
    with pytest.raises(UsageError) as caught:
        Template.from_dict(data)
    said = str(caught.value)
    assert "\n" not in said
    if language == "en":
        assert message in said
    else:
        assert "프롬프트" in said


def test_a_chat_prompt_may_end_as_it_likes():
    template = Template("mine", "{text}", chat=True, untargeted="다음: {text} ")
    assert template.answer_text("예") == "예"
    assert Template("mine", "{text}", chat=True, answer="답은 {word}").answer_text("예") == "답은 예"


@pytest.mark.parametrize(
    ("item", "label", "message"),
    [
        (Input("x"), None, "row 3: prompt 'seed000' needs {target}, and there is none; for texts without a target use"),
        (Input("x", Target("", 0, 0)), None, "row 3: prompt 'seed000' needs {target}"),
        (SCHOOL, "기쁨", "prompt 'seed000' has no 'yesno', so it cannot ask yes or no"),
    ],
)
def test_a_row_that_lacks_what_the_prompt_asks_for_is_named(item, label, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        load_template("seed000").segments(item, label=label, row=2)


def test_a_prompt_that_names_the_choices_needs_some():
    assert "### 보기: 하나, 둘\n" in load_template("label").render(Input("x"), choices=("하나", "둘"))
    with pytest.raises(UsageError, match=r"needs \{choices\}"):
        load_template("label").render(Input("x"))


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(UsageError, match="there is no prompt 'emotoin'; did you mean 'emotion'"):
        load_template("emotoin")
    with pytest.raises(UsageError, match="known: chat, emotion, label, seed000, seed004"):
        load_template("zzz")


def test_a_file_is_a_template_named_after_it(tmp_path: Path):
    path = tmp_path / "mood.toml"
    path.write_text('prompt = """\n글: {text}\n기분:"""\n[words.nikl-ea]\nsurprise = "당황"\n', encoding="utf-8")
    template = load_template(str(path))
    assert (template.name, template.prompt) == ("mood", "글: {text}\n기분:")
    assert template.words_for(builtin_task("nikl-ea"))["surprise"] == "당황"
    assert template.words_for(builtin_task("nikl-ea"))["fear"] == "공포"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'prompt = "{text}', "cannot be read as TOML"),
        ("prompt = '글'".encode("cp949"), "cannot be read as TOML"),
        (b'prompt = "{txt}:"', "mood.toml: prompt 'mood': unknown slot"),
        (b"prompt = 3", "mood.toml: prompt: 'prompt' must be a string"),
    ],
)
def test_a_broken_file_is_named(content, message, tmp_path: Path):
    path = tmp_path / "mood.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=re.escape(message)):
        load_template(str(path))
    with pytest.raises(UsageError, match=r"no prompt"):
        load_template(str(tmp_path / "absent.toml"))


def test_tasks_about_emotions_and_targets_get_the_emotion_prompt():
    chosen = {name: template_for(builtin_task(name)) for name in builtin_task_names()}
    about = {name for name, template in chosen.items() if template == "emotion"}
    assert about == {"nikl-ea", "aihub-7", "aihub-dialogue-6", "goemotions", "kote"}
    assert set(chosen.values()) == {"emotion", "label"}
    assert template_for(Task("t", "multilabel", (Label("a"),), targeted=True)) == "emotion"
