"""``maeum sample``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from maeum._lang import say
from maeum.apps.cli import emit
from maeum.apps.cli._options import (
    data_options,
    device_option,
    examples,
    json_option,
    load_model,
    output_option,
    overwrite_option,
    quiet_option,
    task_option,
)

if TYPE_CHECKING:
    from maeum.sampling import Sample


@click.command(
    help=say(
        "POOL의 라벨 없는 글 가운데 다음에 라벨을 달 글을 고릅니다. 기준값에 가까운 글, 고르기 어려운 글, 모델끼리 답이 다른 글, "
        "드문 낱말이 든 글, 배운 글과 먼 글을 섞어 순위를 매기고, 서로 다른 글이 되게 고릅니다. 학습에 쓴 글을 --train으로 주면 "
        "그 글은 빼고, 드문 낱말과 먼 글도 봅니다.",
        "Which unlabelled texts of POOL to label next: near a threshold, no clear choice, models that disagree, rare words, "
        "far from the training text; mixed, and unlike one another. With --train, its texts are left out, and rare words and "
        "far texts can be told.",
    ),
    epilog=examples(
        "maeum sample runs/first 새글.jsonl -n 200 --train 학습.jsonl -o 라벨할글.jsonl",
        "maeum sample runs/review 후기.csv -n 500 --train 학습.jsonl --stratify mall,category -o 라벨할글.xlsx",
        "maeum sample runs/folds 새글.csv -n 300 --weights disagreement=2,rare=0 --random-share 0.2 -o 고른글.csv",
    ),
)
@click.argument("model", metavar="MODEL")
@click.argument("pool", metavar="POOL")
@click.option("-n", "n", type=click.IntRange(1), required=True, metavar="N", help=say("고를 행 수", "Rows to pick."))
@output_option
@click.option(
    "--train",
    metavar="DATA",
    help=say(
        "모델이 배운 데이터(형식은 알아서 봅니다)", "What the model learned from (its format is told from the file)."
    ),
)
@click.option(
    "--stratify",
    metavar="C,C",
    help=say(
        "이 열들의 값마다 후보의 크기에 비례해 고릅니다.",
        "Rows in proportion to the pool for every value of these columns.",
    ),
)
@click.option(
    "--random-share",
    type=click.FloatRange(0, 1),
    default=0.1,
    show_default=True,
    metavar="P",
    help=say("그냥 무작위로 고를 비율(치우치지 않은 평가용)", "Share picked by plain chance, for honest estimates."),
)
@click.option(
    "--weights",
    metavar="W",
    help=say(
        "기준의 가중치. 예: threshold=1,rare=0 (threshold, uncertainty, disagreement, rare, outlier, diversity)",
        "Weights, such as threshold=1,rare=0 (threshold, uncertainty, disagreement, rare, outlier, diversity).",
    ),
)
@click.option(
    "--vectors",
    default="auto",
    show_default=True,
    metavar="V",
    help=say(
        "거리를 잴 문장 벡터: auto(모델의 몸통, 없으면 mini, 없으면 ngrams), ngrams, mini, 모델 폴더",
        "Sentence vectors for distances: auto (the model's trunk, else mini, else ngrams), ngrams, mini, or a folder.",
    ),
)
@task_option
@data_options
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    default=512,
    show_default=True,
    help=say("한 번에 볼 글 수", "Texts per step."),
)
@click.option("--seed", type=int, default=42, show_default=True, help=say("무작위의 씨앗", "Seed of what is random."))
@overwrite_option
@device_option
@json_option
@quiet_option
def sample(model: str, pool: str, output: str, train: str | None, **words: Any) -> None:
    """Parse, call ``maeum.sampling``, say what was done."""
    from maeum._files import refuse_existing, refuse_input
    from maeum.apps.cli._models import parse_values
    from maeum.apps.cli.predict import _bar
    from maeum.folder import embedded
    from maeum.formats import iter_examples
    from maeum.sampling import Pool, SampleSettings, output_kind, write_sample
    from maeum.sampling import sample as run

    output_kind(Path(output))
    refuse_input(Path(output), pool, *([train] if train else []))
    if not words["overwrite"]:
        refuse_existing(Path(output), overwrite=False)
    settings = SampleSettings(
        n=words["n"],
        random_share=words["random_share"],
        stratify=tuple(part.strip() for part in (words["stratify"] or "").split(",") if part.strip()),
        weights=parse_values(words["weights"], "--weights threshold=1,rare=0") if words["weights"] else {},
        vectors=words["vectors"],
        batch_size=words["batch_size"],
        seed=words["seed"],
    )
    analyzer = load_model(model, task=words["task"])
    reading = {name: words[name] for name in ("format", "text_column", "target_column", "encoding", "on_error")}
    rejects = None
    if words["on_error"] == "skip":
        rejects = Path(words["rejects"] or f"{output}.rejects.jsonl")
        rejects.unlink(missing_ok=True)
    rows = Pool(pool, analyzer.task, settings.stratify, rejects=rejects, **reading)
    learned = None if train is None else list(iter_examples(train, with_labels=False))
    folder = embedded(model)
    with _bar(words) as tick:
        found = run(analyzer, rows, settings, train=learned, model=folder, tick=tick)
    write_sample(found.rows, Path(output), overwrite=words["overwrite"])
    if words["as_json"]:
        emit({"output": output, **found.report})
    elif not words["quiet"]:
        for line in _lines(found, output, train is not None, rejects):
            click.echo(line, err=True)


def _lines(found: Sample, output: str, with_train: bool, rejects: Path | None) -> list[str]:
    from maeum.sampling.writing import _WORDS

    told = found.report
    won = ", ".join(f"{say(*_WORDS[name])} {count}" for name, count in told["won"].items())
    lines = [
        say(
            f"{output}: 후보 {told['pool']:,}행 가운데 {told['picked']:,}행을 골랐습니다({won}).",
            f"{output}: picked {told['picked']:,} of {told['pool']:,} rows ({won})",
        ),
        say(
            f"뺀 글: 학습 데이터에 있음 {told['in_train']:,}, 되풀이 {told['repeated']:,}. 문장 벡터: {told['vectors']}",
            f"left out: {told['in_train']:,} in the training data, {told['repeated']:,} repeated. Vectors: {told['vectors']}",
        ),
    ]
    lines += [
        say(f"쓰지 않은 기준 {name}: {why}", f"not used, {name}: {why}") for name, why in told["not_used"].items()
    ]
    if not with_train:
        lines.append(
            say(
                "--train이 없어서, 이미 배운 글도 골랐을 수 있습니다.",
                "without --train, texts the model learned from may be among them",
            )
        )
    if told["skipped"]:
        lines.append(
            say(f"잘못된 {told['skipped']}행은 {rejects}에 있습니다.", f"{told['skipped']} bad rows are in {rejects}")
        )
    return lines
