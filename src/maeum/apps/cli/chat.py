"""``maeum chat``: a prompt that answers every sentence with what it felt in it."""

from __future__ import annotations

import contextlib
import sys
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from maeum._lang import language, say
from maeum.apps.cli._options import device_option, examples, quiet_option, task_option
from maeum.josa import with_josa

if TYPE_CHECKING:
    from maeum.analyzer import Analysis, Analyzer

NAMED = 3
"""Labels that a sentence names; of more it says how many."""
BARS, BAR_WIDTH = 5, 30
HISTORY = 100
NONE = frozenset({"없음", "감정 없음", "none", "no emotion"})
"""Labels that say there is nothing to name."""
SPEAKER = "nikl-ea"
"""The head that speaks first where a model has several: eight emotions make a sentence, KOTE's 44 make a list."""


@click.command(
    help=say(
        "한 문장씩 입력하며 감정을 봅니다. 0을 입력하면 끝나고, /도움말로 쓸 수 있는 말을 봅니다.",
        "A prompt: what is felt in each sentence. 0 ends it, /help lists what else can be typed.",
    ),
    epilog=examples(
        "maeum chat",
        "maeum chat runs/first --target 배우",
        "maeum chat mini --task nsmc --no-bars",
        "cat texts.txt | maeum chat -q > answers.txt",
    ),
)
@click.argument("model", metavar="[MODEL]", default="mini")
@click.option("--target", metavar="T", help=say("감정의 대상이 되는 말", "What the emotion is about."))
@task_option
@click.option("--no-bars", is_flag=True, help=say("막대를 그리지 않습니다.", "No bars."))
@device_option
@quiet_option
def chat(model: str, target: str | None, task: str | None, no_bars: bool, quiet: bool) -> None:
    """Open the model, then answer until ``0`` or the end of the input."""
    from maeum import load_heads
    from maeum.apps.cli._options import load_model

    heads = load_heads(model) if task is None else {task: load_model(model, task=task)}
    _Chat(heads, target=target, bars=not no_bars and sys.stdout.isatty(), quiet=quiet).run()


class _Chat:
    """The state of a conversation.

    Args:
        heads: the model's heads by task; ``SPEAKER`` (or the first) speaks until another is asked for.
        target: what all the sentences are about.
        bars: whether to draw them.
        quiet: no prompt, for input that nobody types.
    """

    def __init__(self, heads: Mapping[str, Analyzer], *, target: str | None, bars: bool, quiet: bool) -> None:
        self.heads = heads
        self.task = SPEAKER if SPEAKER in heads else next(iter(heads))
        self.target = target
        self.bars = bars
        self.quiet = quiet
        self.history: deque[tuple[str, str]] = deque(maxlen=HISTORY)
        self.block = _block(sys.stdout.encoding)
        self.typed = sys.stdin.isatty()

    def run(self) -> None:
        """Ask and answer until ``0`` or the end of the input."""
        _prepare_input()
        while True:
            try:
                text = _decoded(input("" if self.quiet else _prompt()))
            except EOFError:
                text = "0"
                self.typed = False
            if text is None:
                click.echo(
                    say("글자를 읽을 수 없습니다. UTF-8이나 cp949로 입력하세요.", "this is neither UTF-8 nor cp949"),
                    err=True,
                )
            elif text == "0":
                if not self.typed and not self.quiet:  # nobody pressed Enter behind the last prompt
                    click.echo()
                return
            elif text.startswith("/"):
                self._command(text)
            elif text:
                self._answer(text)

    # -- inside ---------------------------------------------------------------------------------------------

    def _answer(self, text: str) -> None:
        from maeum.errors import MaeumError

        try:
            found = self.heads[self.task].analyze([text], target=self.target)[0]
        except MaeumError as error:  # such as a target that this sentence does not mention: the next one may
            click.echo(say("오류: ", "error: ") + str(error), err=True)
            return
        lines = sentences(found)
        self.history.append((text, " ".join(lines)))
        for line in lines:
            click.echo(f">> {line}")
        if self.bars:
            for line in bars(found, self.block):
                click.echo(line)
        click.echo()

    def _command(self, text: str) -> None:
        word, _, rest = text[1:].partition(" ")
        command = {
            "도움말": self._help, "help": self._help, "?": self._help,
            "기록": self._show, "history": self._show,
            "대상": self._aim, "target": self._aim,
            "과제": self._choose, "task": self._choose,
        }.get(word.lower())  # fmt: skip
        if command is None:
            click.echo(
                say(f"'/{word}'라는 명령은 없습니다. /도움말을 보세요.", f"there is no command '/{word}'; see /help"),
                err=True,
            )
        else:
            command(rest.strip())

    def _help(self, _: str) -> None:
        click.echo(
            say(
                "0            끝내기\n"
                "/기록        지금까지 입력한 문장과 답\n"
                "/대상 배우   감정의 대상을 정하기(말을 빼면 지우기)\n"
                "/과제 nsmc   다른 과제로 답하기(말을 빼면 있는 과제 보기)\n"
                "/도움말      이 도움말",
                "0              end\n"
                "/history       what was typed and answered so far\n"
                "/target actor  what the emotion is about (without a word: nothing in particular)\n"
                "/task nsmc     answer with another head (without a word: list them)\n"
                "/help          this help",
            )
        )

    def _show(self, _: str) -> None:
        for number, (text, answer) in enumerate(self.history, start=1):
            click.echo(f"{number:3}  {text}\n     {answer}")
        if not self.history:
            click.echo(say("아직 입력한 문장이 없습니다.", "nothing was typed yet"))

    def _aim(self, word: str) -> None:
        self.target = word or None
        click.echo(
            say(f"대상: {word or '정하지 않음'}", f"target: {word or 'nothing in particular'}"),
        )

    def _choose(self, name: str) -> None:
        if name in self.heads:
            self.task = name
        elif name:
            click.echo(say(f"과제 '{name}'이(가) 없습니다.", f"there is no head '{name}'"), err=True)
        shown = ", ".join(f"[{head}]" if head == self.task else head for head in self.heads)
        click.echo(say(f"과제: {shown}", f"heads: {shown}"))


def sentences(found: Analysis) -> list[str]:
    """What was felt, in words: one sentence, or for review models one for each aspect."""
    if found.aspects is not None:
        return _aspect_sentences(found)
    names = {label.key: label.name(language()) for label in found.task.labels}
    labels = sorted(found.labels, key=lambda key: -found.scores[key])
    named = [names[key] for key in labels if not {key, names[key].lower()} & NONE]
    if named:
        return [
            say(
                f"입력하신 내용에서 {with_josa(_joined(named), '이/가')} 느껴집니다.",
                f"I feel {_joined(named)} in what you wrote.",
            )
        ]
    if labels:
        return [say("입력하신 내용에서 감정이 느껴지지 않습니다.", "I feel no emotion in what you wrote.")]
    key, score = max(found.scores.items(), key=lambda item: item[1])
    return [
        say(
            f"입력하신 내용에서 뚜렷하게 느껴지는 것이 없습니다. 가장 가까운 것은 {names[key]}({score:.1%})입니다.",
            f"Nothing stands out in what you wrote; the nearest is {names[key]} ({score:.1%}).",
        )
    ]


def bars(found: Analysis, block: str) -> list[str]:
    """The most probable labels as bars; ``●`` marks those that were decided on."""
    from maeum._tables import display_width

    names = {label.key: label.name(language()) for label in found.task.labels}
    shown = sorted(found.scores.items(), key=lambda item: -item[1])[:BARS]
    width = max(display_width(names[key]) for key, _ in shown)
    lines = []
    for key, score in shown:
        mark = "●" if key in found.labels else " "
        pad = " " * (width - display_width(names[key]))
        lines.append(f"  {mark} {names[key]}{pad} {score:6.1%} {block * round(score * BAR_WIDTH)}".rstrip())
    return lines


def _aspect_sentences(found: Analysis) -> list[str]:
    names = {label.key: label.name(language()) for label in found.task.labels}
    grades = {label.key: label.name(language()) for label in found.task.sentiments}
    lines = []
    for item in found.aspects or ():
        aspect, grade = names[item["aspect"]], grades[item["sentiment"]]
        lines.append(say(f"{aspect}에서 {with_josa(grade, '이/가')} 느껴집니다.", f"I feel {grade} about {aspect}."))
    return lines or [
        say("입력하신 내용에서 이야기한 속성을 찾지 못했습니다.", "I found none of the aspects in what you wrote.")
    ]


def _joined(names: list[str]) -> str:
    """Names in a row as a sentence has them: ``기쁨과 놀람``, ``joy and surprise``."""
    more = len(names) - NAMED
    if more > 0:
        kinds = f"{', '.join(names[:NAMED])} 등 {len(names)}가지"
        return say(kinds, f"{', '.join(names[:NAMED])} and {more} more")
    *rest, last = names
    if not rest:
        return last
    if len(rest) == 1:
        return say(f"{with_josa(rest[0], '과/와')} {last}", f"{rest[0]} and {last}")
    return say(", ".join(names), f"{', '.join(rest)} and {last}")


def _prompt() -> str:
    return say("하고싶은 말을 입력해주세요 : ", "Say something: ")


def _block(encoding: str | None) -> str:
    """A filled block that the console can show: cp949 has only the square."""
    for block in "█■":
        with contextlib.suppress(UnicodeEncodeError, LookupError):
            block.encode(encoding or "utf-8")
            return block
    return "#"


def _prepare_input() -> None:
    """Line editing and the up arrow where there is readline; bytes of another encoding do not end the conversation."""
    stream: Any = sys.stdin
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="surrogateescape")
    if stream.isatty():
        with contextlib.suppress(ImportError):  # Windows has its own
            import readline

            readline.set_history_length(HISTORY)


def _decoded(sentence: str) -> str | None:
    """What was typed, read as UTF-8 or cp949 where the console's encoding did not fit; None if it is neither."""
    text = sentence
    if any("\ud800" <= char <= "\udfff" for char in text):
        try:
            raw = text.encode(sys.stdin.encoding or "utf-8", "surrogateescape")
        except UnicodeEncodeError:
            return None
        for encoding in ("utf-8", "cp949"):
            with contextlib.suppress(UnicodeDecodeError):
                text = raw.decode(encoding)
                break
        else:
            return None
    return text.lstrip("\ufeff").replace("\0", "").strip()
