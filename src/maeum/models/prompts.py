"""Prompt templates: how an input is put to a language model, and what its answer looks like.

A template is a TOML file (``maeum/prompts/*.toml``, or one's own)::

    name = "mood"
    prompt = \"\"\"
    ### 글: {text}
    ### 감정:\"\"\"           # ends exactly where the answer begins
    answer = " {word}"       # the separator belongs to the answer: tokenizers see "감정:" and " 기쁨"

    [words.nikl-ea]          # words of a task's labels; the others are the task's Korean names
    surprise = "당황"

Slots are ``{text} {target} {aspect} {label} {choices}``; ``{{`` and ``}}`` are braces. ``untargeted`` and ``aspected``
replace ``prompt`` where an input has no target, or has an aspect; ``yesno`` asks about one ``{label}`` at a time. With
``chat = true`` the prompt is the user's turn in the tokenizer's chat template.
"""

from __future__ import annotations

import dataclasses
import difflib
import string
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from maeum.data import Input
from maeum.errors import UsageError
from maeum.task import Task

SLOTS = ("text", "target", "aspect", "label", "choices")
_BASIC = ("joy", "happiness", "sadness", "anger", "fear", "disgust", "surprise")  # Ekman's, as keys or English names


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a prompt: the template's own text (``slot`` is None) or what fills a slot."""

    text: str
    slot: str | None = None


@dataclass(frozen=True)
class Template:
    """A prompt with slots, its variants, and the words of the answers.

    Raises:
        UsageError: a slot that does not exist, no ``{text}``, a prompt that does not end where the answer begins.
    """

    name: str
    prompt: str
    untargeted: str = ""
    """The prompt where an input has no target; empty: the same."""
    aspected: str = ""
    """The prompt where an input has an aspect; empty: the same."""
    answer: str = ""
    """What follows the prompt; empty: ``" {word}"``, or ``"{word}"`` in a chat template."""
    system: str = ""
    """The system's turn; chat only."""
    chat: bool = False
    """Whether the prompt is the user's turn in the tokenizer's chat template."""
    yesno: str = ""
    """The prompt that asks about one ``{label}``; empty: this template cannot."""
    yesno_untargeted: str = ""
    """The same where an input has no target; empty: the same."""
    yes: str = "예"
    no: str = "아니오"
    none: str = "없음"
    """What is answered where no label applies."""
    separator: str = "\n\n"
    """Between worked examples; a chat template has turns instead."""
    words: Mapping[str, Mapping[str, str]] = field(default_factory=dict, hash=False)
    """Task name → label key → word, where it is not the label's Korean name."""

    def __post_init__(self) -> None:
        if not self.answer:
            object.__setattr__(self, "answer", "{word}" if self.chat else " {word}")
        _check(self)

    def segments(
        self, item: Input, *, label: str | None = None, choices: Sequence[str] = (), row: int | None = None
    ) -> tuple[Segment, ...]:
        """The template's text and what fills its slots, apart and in order; empty stretches left out.

        Args:
            label: the word asked about: takes the ``yesno`` variant.
            choices: the words to choose from, for ``{choices}``.
            row: the row's index, for the message only.

        Raises:
            UsageError: a slot of the variant has nothing to fill it; the row is named, counted from 1.
        """
        values = {
            "text": item.text,
            "target": item.target.form if item.target is not None else None,
            "aspect": item.aspect,
            "label": label,
            "choices": ", ".join(choices),
        }
        found: list[Segment] = []
        for literal, slot in _parse(self._variant(item, label), self.name):
            if literal:
                found.append(Segment(literal))
            if slot is None:
                continue
            if not values[slot] and slot != "text":
                raise self._empty(slot, row)
            found.append(Segment(values[slot] or "", slot))
        return tuple(found)

    def render(self, item: Input, **asked: Any) -> str:
        """The prompt as one string (of a chat template: the user's turn). Arguments and errors as of ``segments``."""
        return "".join(part.text for part in self.segments(item, **asked))

    def answer_text(self, word: str) -> str:
        """What follows the prompt when the answer is ``word``."""
        return self.answer.format(word=word)

    def words_for(self, task: Task) -> dict[str, str]:
        """Label key → word, in the task's order: the template's own words, else Korean names, else keys.

        Raises:
            UsageError: the template has a word for a label that the task has not.
        """
        own = self.words.get(task.name, {})
        for key in own:
            if key not in task.keys:
                hint_ko, hint_en = _hint(key, task.keys)
                raise UsageError(
                    f"프롬프트 '{self.name}'의 [words.{task.name}]에 있는 '{key}'은(는) 과제의 라벨이 아닙니다.{hint_ko}",
                    f"prompt '{self.name}': '{key}' in [words.{task.name}] is not a label of the task;{hint_en}",
                )
        return {label.key: own.get(label.key) or label.name("ko") for label in task.labels}

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON/TOML data, without what is empty (but an empty separator says something)."""
        data = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        data["words"] = {task: dict(words) for task, words in self.words.items()}
        return {name: value for name, value in data.items() if value or name == "separator"}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Template:
        """A template from plain data, such as ``to_dict`` gives.

        Raises:
            UsageError: a key is missing, unknown or of the wrong type; otherwise as the class says.
        """
        kinds = {item.name: item for item in dataclasses.fields(cls)}
        for name, value in data.items():
            if name not in kinds:
                hint_ko, hint_en = _hint(name, kinds)
                raise UsageError(f"프롬프트: 모르는 항목 '{name}'.{hint_ko}", f"prompt: unknown key '{name}';{hint_en}")
            _check_type(name, value)
        if missing := [name for name in ("name", "prompt") if not data.get(name)]:
            raise UsageError(f"프롬프트에 {missing[0]} 항목이 없습니다.", f"the prompt template lacks '{missing[0]}'")
        return cls(**data)

    def _variant(self, item: Input, label: str | None) -> str:
        if label is not None:
            if not self.yesno:
                raise UsageError(
                    f"프롬프트 '{self.name}'에는 yesno가 없어 예/아니오로 물을 수 없습니다.",
                    f"prompt '{self.name}' has no 'yesno', so it cannot ask yes or no",
                )
            return self.yesno_untargeted if self.yesno_untargeted and item.target is None else self.yesno
        if self.aspected and item.aspect is not None:
            return self.aspected
        return self.untargeted if self.untargeted and item.target is None else self.prompt

    def _empty(self, slot: str, row: int | None) -> UsageError:
        where_ko, where_en = ("", "") if row is None else (f"{row + 1}번째 행: ", f"row {row + 1}: ")
        hint_ko = " 대상이 없는 글에는 emotion이나 label을 쓰세요." if slot == "target" else ""
        hint_en = "; for texts without a target use 'emotion' or 'label'" if slot == "target" else ""
        return UsageError(
            f"{where_ko}프롬프트 '{self.name}'에는 {{{slot}}}이(가) 필요한데 비어 있습니다.{hint_ko}",
            f"{where_en}prompt '{self.name}' needs {{{slot}}}, and there is none{hint_en}",
        )


def builtin_templates() -> tuple[str, ...]:
    """Names of the templates that come with the package."""
    files = (resources.files("maeum") / "prompts").iterdir()
    return tuple(sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml")))


def load_template(name_or_path: str) -> Template:
    """A built-in template by name, or a file (``.toml``) by path.

    Raises:
        UsageError: neither (the nearest name is suggested), or a template that makes no sense.
    """
    names = builtin_templates()
    if name_or_path in names:
        text = (resources.files("maeum") / "prompts" / f"{name_or_path}.toml").read_text(encoding="utf-8")
        return Template.from_dict(tomllib.loads(text))
    path = Path(name_or_path)
    if path.suffix == ".toml" and path.is_file():
        try:
            return Template.from_dict({"name": path.stem} | tomllib.loads(path.read_text(encoding="utf-8")))
        except UsageError as error:
            raise UsageError(f"{path}: {error.ko}", f"{path}: {error.en}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(
                f"{path}: TOML로 읽을 수 없습니다: {error}", f"{path}: cannot be read as TOML: {error}"
            ) from error
    hint_ko, hint_en = _hint(name_or_path, names)
    raise UsageError(
        f"프롬프트 '{name_or_path}'이(가) 없습니다.{hint_ko} 직접 만든 것은 .toml 파일 경로를 쓰세요.",
        f"there is no prompt '{name_or_path}';{hint_en}. For your own, give the path of a .toml file",
    )


def template_for(task: Task) -> str:
    """Name of the built-in template for a task: ``emotion`` for emotions and for targets, else ``label``."""
    spellings = {name.lower() for label in task.labels for name in (label.key, label.en)}
    return "emotion" if task.targeted or len(spellings.intersection(_BASIC)) >= 3 else "label"


# -- checks -------------------------------------------------------------------------------------------------------------

_NEEDED = {"yesno": ("label",), "yesno_untargeted": ("label",), "aspected": ("aspect",)}
_VARIANTS = ("prompt", "untargeted", "aspected", "yesno", "yesno_untargeted")


def _parse(text: str, name: str, slots: Sequence[str] = SLOTS) -> list[tuple[str, str | None]]:
    """(text, slot) pairs as ``str.format`` would see them; the slot is None at the end.

    Raises:
        UsageError: a brace on its own, or a slot that is not one of ``slots``.
    """
    try:
        parts = list(string.Formatter().parse(text))
    except ValueError as error:
        raise UsageError(
            f"프롬프트 '{name}'의 중괄호가 맞지 않습니다({error}). 글자 그대로의 중괄호는 {{{{ }}}}로 쓰세요.",
            f"prompt '{name}': the braces do not match ({error}); a brace itself is written {{{{ or }}}}",
        ) from error
    found: list[tuple[str, str | None]] = []
    before = ""
    for literal, slot, form, conversion in parts:
        if slot is not None and (slot not in slots or form or conversion):
            hint_ko, hint_en = _hint(slot, slots)
            raise UsageError(
                f"프롬프트 '{name}': 모르는 자리 {{{slot}}}.{hint_ko}",
                f"prompt '{name}': unknown slot {{{slot}}};{hint_en}",
            )
        before += literal  # the parser stops at every brace that stands for itself
        if slot is not None:
            found.append((before, slot))
            before = ""
    return [*found, (before, None)] if before else found


def _check(template: Template) -> None:
    name = template.name
    endings: dict[str, str] = {}
    for variant in _VARIANTS:
        text = getattr(template, variant)
        if not text:
            continue
        if "{word}" in text or "{answer}" in text:
            raise UsageError(
                f"프롬프트 '{name}'의 {variant}은(는) 답이 시작되는 곳에서 끝나야 합니다. 답은 answer에 적으세요.",
                f"prompt '{name}': '{variant}' must end where the answer begins; the answer goes into 'answer'",
            )
        parts = _parse(text, name)
        slots = [slot for _, slot in parts if slot is not None]
        for slot in ("text", *_NEEDED.get(variant, ())):
            if slots.count(slot) != 1:
                raise UsageError(
                    f"프롬프트 '{name}'의 {variant}에는 {{{slot}}}이(가) 꼭 한 번 있어야 하는데 {slots.count(slot)}번 있습니다.",
                    f"prompt '{name}': '{variant}' must have {{{slot}}} exactly once, it has it {slots.count(slot)} times",
                )
        if not template.chat:
            _check_end(name, variant, parts)
            endings[variant] = parts[-1][0].split()[-1]
    _check_answer(template, endings)


def _check_end(name: str, variant: str, parts: list[tuple[str, str | None]]) -> None:
    """The tokens of an answer depend on what stands just before it, so that must be the same for every row."""
    literal, slot = parts[-1]
    if slot is not None:
        raise UsageError(
            f"프롬프트 '{name}'의 {variant}이(가) {{{slot}}}(으)로 끝납니다. '### 답:'처럼 틀의 글자로 끝나야 합니다.",
            f"prompt '{name}': '{variant}' ends in {{{slot}}}; it must end in text of its own, such as '### 답:'",
        )
    if literal != literal.rstrip():
        raise UsageError(
            f"프롬프트 '{name}'의 {variant}이(가) 빈칸이나 줄바꿈으로 끝납니다. 그것은 answer에 넣으세요(예: \" {{word}}\").",
            f"prompt '{name}': '{variant}' ends in white space, which belongs to 'answer' (such as \" {{word}}\")",
        )


def _check_answer(template: Template, endings: Mapping[str, str]) -> None:
    name = template.name
    if [slot for _, slot in _parse(template.answer, name, ("word",)) if slot] != ["word"]:
        raise UsageError(
            f"프롬프트 '{name}'의 answer에는 {{word}}가 꼭 한 번 있어야 합니다: {template.answer!r}",
            f"prompt '{name}': 'answer' must have {{word}} exactly once, got {template.answer!r}",
        )
    for group in (("prompt", "untargeted", "aspected"), ("yesno", "yesno_untargeted")):
        ends = {endings[variant] for variant in group if variant in endings}
        if len(ends) > 1:
            shown = ", ".join(sorted(ends))
            raise UsageError(
                f"프롬프트 '{name}': {', '.join(group)}은(는) 같은 말로 끝나야 답의 토큰이 같습니다: {shown}",
                f"prompt '{name}': {', '.join(group)} must end in the same word, or the answer's tokens differ: {shown}",
            )
    if template.system and not template.chat:
        raise UsageError(
            f"프롬프트 '{name}': system은 chat = true일 때만 쓸 수 있습니다.",
            f"prompt '{name}': 'system' belongs to templates with chat = true",
        )
    words = [template.yes, template.no, template.none, *(w for ws in template.words.values() for w in ws.values())]
    for word in words:
        if not word or word != word.strip():
            raise UsageError(
                f"프롬프트 '{name}': 답의 낱말이 비었거나 빈칸으로 시작하거나 끝납니다: {word!r}",
                f"prompt '{name}': an answer word is empty or has white space at an end: {word!r}",
            )


def _check_type(name: str, value: object) -> None:
    if name == "chat":
        fits, ko, en = isinstance(value, bool), "true나 false", "true or false"
    elif name == "words":
        fits = isinstance(value, Mapping) and all(
            isinstance(words, Mapping) and all(isinstance(word, str) for word in words.values())
            for words in value.values()
        )
        ko, en = '[words.과제] 아래의 라벨 = "낱말"', '[words.TASK] with label = "word"'
    else:
        fits, ko, en = isinstance(value, str), "글자", "a string"
    if not fits:
        raise UsageError(
            f"프롬프트의 {name}은(는) {ko}여야 하는데 {value!r}입니다.", f"prompt: '{name}' must be {en}, got {value!r}"
        )


def _hint(word: str, known: Sequence[str] | Mapping[str, Any]) -> tuple[str, str]:
    close = difflib.get_close_matches(word, list(known), n=1)
    if close:
        return f" '{close[0]}'인가요?", f" did you mean '{close[0]}'?"
    return f" 쓸 수 있는 것: {', '.join(known)}.", f" known: {', '.join(known)}"
