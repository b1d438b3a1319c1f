"""``maeum explain``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from maeum._lang import say
from maeum.apps.cli import emit
from maeum.apps.cli._options import Say, device_option, examples, json_option, load_model, quiet_option, task_option

if TYPE_CHECKING:
    from maeum.explaining import Explanation, Faithfulness, LabelEvidence


@click.command(
    help=say(
        "모델 MODEL이 TEXT에 준 라벨을 어느 낱말이 만들었는지 봅니다. 낱말을 하나씩 가리고 다시 물어 확률이 줄어든 만큼이 "
        "점수입니다. 후기 모델이면 속성마다 감성의 근거도 봅니다. TEXT가 -이면 표준 입력을 한 줄에 하나씩 읽습니다.",
        "Which words made the labels that MODEL gives TEXT: each is hidden in turn, and the drop of the probability is its "
        "score; of review models, also what made the grade of each aspect. - reads lines from standard input.",
    ),
    epilog=examples(
        "maeum explain runs/first '배송이 너무 늦어서 환불했어요'",
        "maeum explain runs/first --target 배우 '배우는 좋았는데 결말이 별로' --html 근거.html",
        "maeum explain runs/first --input 리뷰.txt --label anger --unit morpheme --json",
        "maeum explain runs/후기 '옷은 예쁜데 배송이 늦어요' --aspect 배송",
        "maeum explain runs/인코더 '결말이 아쉬웠다' --method ig",
    ),
)
@click.argument("model", metavar="MODEL")
@click.argument("texts", metavar="TEXT…", nargs=-1)
@click.option(
    "--input", "source", metavar="FILE", help=say("글이 한 줄에 하나씩 든 파일", "A file with one text a line.")
)
@click.option("--target", metavar="T", help=say("감정의 대상이 되는 말", "What the emotion is about."))
@click.option(
    "--label",
    "labels",
    metavar="L",
    multiple=True,
    help=say(
        "근거를 볼 라벨. 여러 번 쓸 수 있습니다(기본: 모델이 준 라벨)",
        "Label to explain; repeatable (default: those given).",
    ),
)
@click.option(
    "--aspect",
    "aspects",
    metavar="A",
    multiple=True,
    help=say(
        "근거를 볼 속성과 그 감성(후기 모델). 여러 번 쓸 수 있습니다(기본: 모델이 찾은 속성)",
        "Aspect to explain, and its grade (review models); repeatable (default: those found).",
    ),
)
@click.option(
    "--method",
    type=click.Choice(["mask", "exact", "ig"]),
    default="mask",
    show_default=True,
    help=say(
        "가려 보기, 선형 모델의 정확한 몫, 인코더의 적분 기울기(maeum[ig])",
        "Masking, the exact parts of a linear model, or integrated gradients of an encoder (maeum[ig]).",
    ),
)
@click.option(
    "--steps",
    type=click.IntRange(1),
    default=50,
    show_default=True,
    metavar="N",
    help=say("적분 기울기의 점 수", "Points of integrated gradients."),
)
@click.option(
    "--unit",
    type=click.Choice(["eojeol", "morpheme", "token"]),
    default="eojeol",
    show_default=True,
    help=say("한 번에 가릴 단위", "What is hidden at a time."),
)
@click.option(
    "--mask",
    type=click.Choice(["delete", "circles", "mask"]),
    help=say(
        "가리는 방법: 지우기, ○○○, [MASK](기본: 어절은 지우고 그보다 작으면 ○○○)",
        "How it is hidden: deleted, ○○○ or [MASK] (default: eojeols deleted, smaller units ○○○).",
    ),
)
@click.option(
    "--top", type=click.IntRange(1), metavar="N", help=say("보일 낱말 수(기본 5)", "Words shown (default 5).")
)
@click.option(
    "--leave-out",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="K",
    help=say("낱말을 K개까지 함께도 가립니다.", "Also hide up to K words together."),
)
@click.option(
    "--quick/--full",
    default=None,
    help=say(
        "중요해 보이는 곳만 자세히, 또는 빠짐없이(기본: 긴 글만 빠르게)",
        "Look closely only where it matters, or everywhere (default: quick for long texts only).",
    ),
)
@click.option("--mask-target", is_flag=True, help=say("대상도 가려 봅니다.", "Hide the target, too."))
@click.option("--html", metavar="FILE", help=say("HTML 쪽을 쓸 파일", "Write a page here."))
@task_option
@device_option
@json_option
@quiet_option
def explain(
    model: str,
    texts: tuple[str, ...],
    source: str | None,
    top: int | None,
    html: str | None,
    as_json: bool,
    quiet: bool,
    task: str | None,
    **words: Any,
) -> None:
    """Parse, call ``maeum.explain``, print the words."""
    import maeum
    from maeum._files import write_text

    given = _texts(texts, source)
    found = maeum.explain(
        load_model(model, task=task),
        given,
        labels=list(words.pop("labels")) or None,
        aspect=list(words.pop("aspects")) or None,
        name=model,
        progress=Say(quiet=quiet or as_json),
        **words,
    )
    if html:
        write_text(Path(html), found.to_html())
    if as_json:
        emit(_cut(found.to_dict(), top))
        return
    for item in found:
        click.echo("\n".join(_lines(item, top or 5)))
    if found.faithfulness is not None and len(found) > 1:
        click.echo(say("전체 평균", "mean of all") + "\n" + _trust(found.faithfulness))


def _texts(texts: tuple[str, ...], source: str | None) -> list[str]:
    """The texts of the words, of standard input, or of a file."""
    from maeum.errors import UsageError

    if source is not None and not texts:
        try:
            with Path(source).open(encoding="utf-8-sig") as file:
                return [line.rstrip("\n") for line in file]
        except UnicodeDecodeError as error:
            raise UsageError(
                f"{source}: UTF-8이 아닙니다. 'maeum convert'로 바꾸거나 UTF-8로 저장하세요.",
                f"{source}: not UTF-8; save it as UTF-8 or use 'maeum convert'",
            ) from error
    if texts == ("-",):
        return [line.rstrip("\n") for line in sys.stdin]
    if not texts or source is not None:
        raise click.UsageError(
            say("TEXT를 쓰거나, --input 파일을 쓰세요(둘 중 하나).", "give either TEXT or --input FILE")
        )
    return list(texts)


def _cut(data: dict[str, Any], top: int | None) -> dict[str, Any]:
    for result in data["results"]:
        for evidence in (*result["evidence"], *result.get("grades", ())):
            evidence["words"] = evidence["words"][:top]
            if "pair" in evidence:
                evidence["pair"] = evidence["pair"][:top]
            if "groups" in evidence:
                evidence["groups"] = evidence["groups"][:top]
    return data


def _lines(item: Explanation, top: int) -> list[str]:
    lines = [item.text, *(f"  {say('알림', 'note')}: {note}" for note in item.notes)]
    grades = {grade.aspect: grade for grade in item.grades}
    for found in item.evidence:
        lines += _evidence(found, top, found.name)
        if grade := grades.get(found.key):
            lines += _evidence(grade.evidence, top, f"{grade.name} → {grade.evidence.name}")
    return lines


def _evidence(found: LabelEvidence, top: int, name: str) -> list[str]:
    from maeum._tables import display_width, tidy

    mark = "●" if found.decided else "○"
    lines = [f"  {mark} {name} {found.probability:.1%}"]
    if found.gap is not None:
        lines.append("    " + say(f"완전성 오차 {found.gap:+.4f}", f"completeness gap {found.gap:+.4f}"))
    shown = list(found.ranked[:top])
    against = [word for word in found.ranked[top:] if word.score < 0][-1:]
    names = [(tidy(word.text), word.score) for word in [*shown, *against]]
    width = max((display_width(name) for name, _ in names), default=0)
    for name, score in names:
        bar = ("█" if score > 0 else "░") * round(min(abs(score), 1) * 30)
        lines.append(f"    {score:+.3f}  {name}{' ' * (width - display_width(name))}  {bar}".rstrip())
    for group in found.groups[:top]:
        together = " + ".join(tidy(found.words[place].text) for place in group.words)
        lines.append(f"    {group.score:+.3f}  {together}")
    if found.faithfulness is not None:
        lines.append(_trust(found.faithfulness))
    return lines


def _trust(found: Faithfulness) -> str:
    return "    " + say(
        f"포괄성 {found.comprehensiveness:.2f}(무작위 {found.chance_comprehensiveness:.2f}), "
        f"충분성 {found.sufficiency:.2f}(무작위 {found.chance_sufficiency:.2f}), "
        f"AOPC {found.aopc:.2f}(무작위 {found.chance_aopc:.2f})",
        f"comprehensiveness {found.comprehensiveness:.2f} (random {found.chance_comprehensiveness:.2f}), "
        f"sufficiency {found.sufficiency:.2f} (random {found.chance_sufficiency:.2f}), "
        f"AOPC {found.aopc:.2f} (random {found.chance_aopc:.2f})",
    )
