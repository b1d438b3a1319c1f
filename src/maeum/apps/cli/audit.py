"""``maeum audit``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from maeum._lang import say
from maeum.apps.cli import emit
from maeum.apps.cli._options import (
    Say,
    data_options,
    device_option,
    examples,
    json_option,
    output_option,
    overwrite_option,
    quiet_option,
    read_data,
    task_option,
    task_or_none,
)

if TYPE_CHECKING:
    from maeum.auditing import Audit
    from maeum.data import Dataset


@click.command(
    help=say(
        "DATA의 라벨을 점검합니다: 틀린 것으로 보이는 라벨(잘못 달린 것, 빠진 것), 헷갈리는 라벨 짝과 그 낱말, 같은 글의 다른 라벨, "
        "평가 행에 섞인 글, 너무 드문 라벨. 결과 폴더의 worklist.xlsx에 결정을 적거나 웹 앱(maeum ui --folder)에서 정하고 --apply로 되돌리면 고친 데이터와 변경 기록을 씁니다. "
        "결정 없이 바뀌는 것은 없습니다.",
        "Audit the labels of DATA: which look wrong (given or missing), which are confused and by what words, same text with "
        "other labels, leakage into valid rows, labels too rare. Fill in decisions in worklist.xlsx, or decide in the web app (maeum ui --folder), "
        "and give them back with --apply for a corrected data set and a changelog. Nothing changes without a decision.",
    ),
    epilog=examples(
        "maeum audit train.jsonl -o 점검 --valid dev.jsonl",
        "maeum audit train.jsonl -o 점검 --model mini",
        "maeum audit train.jsonl -o 점검 --oof runs/first",
        "maeum audit train.jsonl --apply 점검/worklist.xlsx -o fixed.jsonl --who 김민지",
        "maeum audit train.jsonl --apply 점검/decisions.sqlite -o fixed.jsonl",
    ),
)
@click.argument("data", metavar="DATA")
@output_option
@click.option(
    "--model",
    default="linear",
    show_default=True,
    metavar="SPEC",
    help=say(
        "교차 검증할 모델: linear, mini, encoder:폴더 …",
        "Model for the cross-validation: linear, mini, encoder:FOLDER …",
    ),
)
@click.option(
    "--oof",
    metavar="MODEL",
    help=say(
        "이 데이터로 학습한 모델 폴더의 교차 검증 확률을 씁니다(새로 학습하지 않음).",
        "Use the out-of-fold probabilities of a folder that was trained on this data.",
    ),
)
@click.option(
    "--valid",
    metavar="FILE",
    help=say("학습 글이 섞였는지 볼 평가 파일", "Valid rows, to look for texts that also train."),
)
@click.option(
    "--folds", type=click.IntRange(2, 100), metavar="K", help=say("교차 검증의 겹(기본 5)", "Folds (default 5).")
)
@click.option(
    "--expected-errors",
    type=float,
    default=0.05,
    show_default=True,
    metavar="P",
    help=say("틀렸다고 가정할 라벨의 몫", "Share of the labels that is assumed to be wrong."),
)
@click.option(
    "--method",
    type=click.Choice(["posterior", "cleanlab"]),
    default="posterior",
    show_default=True,
    help=say("점수: 우리 것, 또는 견주어 볼 cleanlab", "Score: ours, or cleanlab's to compare."),
)
@click.option(
    "--top",
    type=click.IntRange(1),
    default=500,
    show_default=True,
    metavar="N",
    help=say("목록에 올릴 라벨 수", "Entries of the work list."),
)
@click.option(
    "--near",
    type=float,
    default=0.7,
    show_default=True,
    metavar="P",
    help=say("이만큼 같으면 비슷한 글", "Texts this alike are near-duplicates."),
)
@click.option("--seed", type=int, default=42, show_default=True, help=say("씨앗", "Seed."))
@click.option(
    "--apply",
    "apply_list",
    metavar="LIST",
    help=say(
        "결정을 적은 목록(xlsx, csv, 웹 앱의 sqlite)을 DATA에 적용해 -o에 씁니다.",
        "Apply a list of decisions (xlsx, csv, or the web app's sqlite) to DATA.",
    ),
)
@click.option("--who", metavar="NAME", help=say("--apply: 누가 정했는지", "With --apply: who decided."))
@click.option("--when", metavar="DATE", help=say("--apply: 언제 정했는지", "With --apply: when."))
@task_option
@data_options
@overwrite_option
@device_option
@json_option
@quiet_option
def audit(data: str, output: str, apply_list: str | None, **words: Any) -> None:
    """Parse, call ``maeum.auditing``, say what was found."""
    from maeum._files import refuse_existing
    from maeum.auditing import Settings, write
    from maeum.auditing import audit as run
    from maeum.auditing.outputs import FOLDER
    from maeum.errors import UsageError

    progress = Say(quiet=words["quiet"] or words["as_json"])
    reading = {name: words[name] for name in _READING}
    if apply_list is not None:
        _apply(data, apply_list, Path(output), reading, words)
        return
    if words["who"] or words["when"]:
        raise UsageError("--who와 --when은 --apply와 함께 씁니다.", "--who and --when go with --apply")
    refuse_existing(Path(output), overwrite=words["overwrite"], kind=FOLDER)
    settings = Settings(**{name: words[name] for name in ("expected_errors", "method", "top", "near", "seed")})
    progress(say(f"읽는 중: {data}", f"reading {data}"))
    rows = read_data(data, task=task_or_none(words["task"]), rejects_beside=output, **reading)
    valid = words["valid"] and read_data(words["valid"], task=rows.task, rejects_beside=f"{output}.valid", **reading)
    work = Path(f"{output}.partial")
    found = run(
        rows,
        valid=valid or None,
        model=words["model"],
        oof=words["oof"],
        folds=words["folds"],
        settings=settings,
        work=work,
        progress=progress,
    )
    summary = write(found, output, overwrite=words["overwrite"])
    _remove(work)
    if words["as_json"]:
        emit({"output": output, **summary})
        return
    for note in found.notes:
        click.echo(say(f"알림: {note}", f"note: {note}"), err=True)
    click.echo(_summary(found))
    folder = Path(output).parent
    click.echo(
        say(
            f"\n목록: {output}/worklist.xlsx   보고서: {output}/report.html\n웹 앱에서 정하기: maeum ui --folder {folder}\n결정을 적은 뒤: "
            f"maeum audit {data} --apply {output}/worklist.xlsx -o 고친.jsonl (웹 앱에서 정했으면 {output}/decisions.sqlite)",
            f"\nlist: {output}/worklist.xlsx   report: {output}/report.html\ndecide in the web app: maeum ui --folder {folder}\n"
            f"once decided: maeum audit {data} --apply {output}/worklist.xlsx -o fixed.jsonl (in the web app: "
            f"{output}/decisions.sqlite)",
        )
    )


def _apply(data: str, path: str, output: Path, reading: dict[str, Any], words: dict[str, Any]) -> None:
    from maeum.auditing import apply, read_decisions
    from maeum.auditing.applying import changelog_of, save
    from maeum.errors import DataError, UsageError
    from maeum.formats import output_format

    output_format(output)
    for place in (output, changelog_of(output)):
        if place.exists() and not words["overwrite"]:
            raise UsageError(
                f"'{place}'이(가) 이미 있습니다. 다른 이름을 쓰거나 --overwrite를 붙이세요.",
                f"'{place}' already exists; choose another name or add --overwrite",
            )
    rows: Dataset = read_data(data, task=task_or_none(words["task"]), rejects_beside=str(output), **reading)
    back = read_decisions(path, rows)
    if back.problems:
        for problem in back.problems[:_SHOWN]:
            click.echo(f"  {problem}", err=True)
        count = len(back.problems)
        raise DataError(
            f"쓸 수 없는 줄이 {count}개라 아무것도 쓰지 않았습니다. 위의 줄을 고쳐 다시 실행하세요. 첫 문제: {back.problems[0]}",
            f"{count} lines cannot be used, so nothing was written; mend them and run again. The first: {back.problems[0]}",
        )
    done = apply(rows, back.decisions, who=words["who"] or "", when=words["when"] or "", source=Path(path).name)
    log = save(done, output)
    about = done.to_dict() | {"output": str(output), "changelog": str(log), "undecided": back.undecided}
    if words["as_json"]:
        emit(about)
        return
    counts = about["decisions"]
    click.echo(
        say(
            f"{output}: {about['rows']:,}행(고친 결정 {counts['fix']}, 뺀 결정 {counts['drop']}, 그대로 {counts['keep']}, 정하지 않음 "
            f"{back.undecided}). 변경 기록: {log}",
            f"{output}: {about['rows']:,} rows ({counts['fix']} fixed, {counts['drop']} dropped, {counts['keep']} kept, "
            f"{back.undecided} undecided); changelog: {log}",
        )
    )


def _summary(found: Audit) -> str:
    """What was found, for a terminal: the worst labels, the most confused pairs, and counts."""
    from maeum._lang import language
    from maeum._tables import text_table

    blocks = []
    for part in found.parts:
        names = {label.key: label.name(language()) for label in part.task.labels}
        worst = sorted(part.labels, key=lambda row: (-(row.wrong + row.missing), row.label))[:_ROWS]
        heads = [say("라벨", "label"), say("학습", "train"), say("평가", "valid"), say("의심", "suspicious")]
        heads += [say("오류 비중", "error share"), say("빠짐", "missing"), "F1", ""]
        lines = [
            [
                names[row.label],
                f"{row.train}",
                "–" if row.valid is None else f"{row.valid}",
                f"{row.wrong}",
                f"{row.error_share:.1%}",
                f"{row.missing}",
                f"{row.f1:.2f}",
                say("너무 드묾", "too rare") if row.rare else "",
            ]
            for row in worst
        ]
        title = "" if len(found.parts) == 1 else f"[{part.name}]\n"
        blocks.append(title + text_table(heads, lines))
        keys = part.task.keys
        pairs = [
            say(
                f"{names[keys[pair.first]]} → {names[keys[pair.second]]}: {pair.count}행, 거꾸로 {pair.back}",
                f"{names[keys[pair.first]]} → {names[keys[pair.second]]}: {pair.count} rows, reverse {pair.back}",
            )
            + (
                say("; 갈리는 낱말: ", "; contested: ") + ", ".join(word.word for word in pair.contested)
                if pair.contested
                else ""
            )
            for pair in part.pairs[:5]
        ]
        if pairs:
            blocks.append(
                say("헷갈리는 라벨(달린 것 → 모델):", "confused (given → seen):") + "\n  " + "\n  ".join(pairs)
            )
    expected = sum(item.score for item in found.suspects)
    line = say(
        f"목록 {len(found.suspects):,}개(추정 오류 {expected:,.0f}) · 같은 글 다른 라벨 {len(found.same):,}묶음 · 비슷한 글 다른 라벨 "
        f"{len(found.near):,}쌍",
        f"{len(found.suspects):,} listed (about {expected:,.0f} wrong) · {len(found.same):,} texts with different labels · "
        f"{len(found.near):,} nearly equal pairs with different labels",
    )
    if found.overlap is not None:
        line += say(
            f" · 평가에 섞인 글 {len(found.overlap.same):,}(비슷한 글 {len(found.overlap.near):,})",
            f" · {len(found.overlap.same):,} valid texts in training ({len(found.overlap.near):,} nearly)",
        )
    return "\n\n".join([*blocks, line])


def _remove(work: Path) -> None:
    import shutil

    shutil.rmtree(work, ignore_errors=True)


_READING = ("format", "text_column", "label_column", "target_column", "encoding", "on_error", "rejects")
_SHOWN = 20
_ROWS = 15
