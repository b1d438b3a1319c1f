"""Review models that vote, stage by stage: their aspects together, and together the grade of each aspect found.

The result is a review model like any other, whose two stages are votes. The out-of-fold table of a review folder is that of
its aspects alone, so weights are fitted on labelled rows that are given, or are equal.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from maeum import folder as model_folder
from maeum._files import atomic_folder, write_text
from maeum._lang import say
from maeum.analyzer import Analyzer
from maeum.crossval import OutOfFold
from maeum.data import Dataset
from maeum.errors import TaskMismatch, UsageError
from maeum.experiment import RunResult, save_run
from maeum.report import Report
from maeum.reviews import card
from maeum.reviews.predictor import ReviewPredictor
from maeum.reviews.scoring import with_review_scores
from maeum.reviews.stages import aspect_rows, sentiment_rows
from maeum.text import TextPrep
from maeum.voting.building import EnsembleResult
from maeum.voting.building import ensemble as vote_of
from maeum.voting.members import Member, unseen
from maeum.voting.rules import Pool, Vote
from maeum.voting.weighing import Empty


@dataclass(frozen=True)
class ReviewVote:
    """A review model that votes, and how each stage did beside its members."""

    analyzer: Analyzer
    stages: Mapping[str, EnsembleResult]
    """``aspects`` and ``sentiment``."""
    report: Report | None = None
    """Of the aspects, with the scores of both stages in ``extra["review"]``; None without labelled rows."""
    oof: OutOfFold | None = None
    notes: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        review = None if self.report is None else self.report.extra.get("review")
        return {"stages": {name: stage.to_dict() for name, stage in self.stages.items()}, "review": review}


def is_review_folder(path: str | Path) -> bool:
    """Whether a model folder holds a review model; its files are not verified."""
    return Path(path).is_dir() and model_folder.read_manifest(Path(path)).get("model") == ReviewPredictor.kind


def open_reviews(paths: Iterable[str | Path]) -> list[tuple[str, Analyzer]]:
    """Review model folders, with their names.

    Raises:
        UsageError, FormatError: a folder is not there, damaged, or no review model.
        TaskMismatch: they have different tasks.
    """
    found: list[tuple[str, Analyzer]] = []
    for path in paths:
        analyzer = model_folder.load(path)
        if not isinstance(analyzer.predictor, ReviewPredictor):
            raise UsageError(
                f"'{path}'은(는) 리뷰 모델이 아닙니다. 리뷰 모델은 리뷰 모델끼리만 투표합니다.",
                f"'{path}' is no review model; review models vote among themselves only",
            )
        if found and analyzer.task.fingerprint != found[0][1].task.fingerprint:
            raise TaskMismatch(
                f"함께 투표하려면 과제가 같아야 합니다: '{found[0][1].task.name}'과(와) '{analyzer.task.name}'",
                f"models that vote must have the same task: '{found[0][1].task.name}' and '{analyzer.task.name}'",
            )
        found.append((str(path), analyzer))
    return found


def ensemble(
    members: Sequence[tuple[str, Analyzer]],
    *,
    vote: Vote = "soft",
    data: Dataset | None = None,
    weights: Sequence[float] | None = None,
    equal: bool = False,
    pool: Pool | Literal["auto"] = "auto",
    objective: str | None = None,
    empty: Empty = "auto",
    progress: Callable[[str], None] = lambda _: None,
) -> ReviewVote:
    """A review model whose stages are votes; arguments and errors as of ``maeum.voting.ensemble``.

    Args:
        members: from ``open_reviews``.
        data: labelled rows of the aspect task that no member was trained on; each stage is weighed on them.
        weights: for both stages alike.
        objective: of the aspects' thresholds; None: micro-f1, as in training.
    """
    task = members[0][1].task
    of_stage = {"aspects": [_aspects(*member) for member in members], "sentiment": [_grades(*m) for m in members]}
    rows: dict[str, Dataset] = {}
    notes: list[str] = []
    if data is not None:
        data = _unseen(of_stage["aspects"], data.labelled(), notes)
        rows = {"aspects": aspect_rows(data), "sentiment": sentiment_rows(data)}
        _refuse_ungraded(rows["sentiment"])
    shared: dict[str, Any] = {"vote": vote, "weights": weights, "equal": equal, "pool": pool}
    aim = objective if vote == "hard" else objective or "micro-f1"
    stages = {
        "aspects": vote_of(
            of_stage["aspects"], data=rows.get("aspects"), objective=aim, empty=empty, progress=progress, **shared
        ),
        "sentiment": vote_of(of_stage["sentiment"], data=rows.get("sentiment"), progress=progress, **shared),
    }
    aspects, sentiment = stages["aspects"], stages["sentiment"]
    thresholds = aspects.analyzer.thresholds
    if data is not None:
        # by the whole task's rows evaluate knows that it judges on the rows that tuned
        tuned_on = thresholds.tuned_on.replace(rows["aspects"].fingerprint, data.fingerprint)
        thresholds = dataclasses.replace(thresholds, tuned_on=tuned_on)
    about = {
        **aspects.analyzer.about,
        **_train_of(members),
        "tuned": None if data is None else {"source": data.source, "rows": len(data), "fingerprint": data.fingerprint},
        "stages": {name: stage.analyzer.about for name, stage in stages.items()},
    }
    analyzer = Analyzer(
        ReviewPredictor(task, aspects.analyzer, sentiment.analyzer),
        prep=TextPrep.named("raw"),
        thresholds=thresholds,
        about=about,
    )
    notes += dict.fromkeys([*aspects.notes, *sentiment.notes])
    if data is None or aspects.report is None or sentiment.report is None or aspects.oof is None:
        return ReviewVote(analyzer, stages, notes=tuple(notes))
    report = aspects.report.with_extra(sentiment=dict(sentiment.report.metrics))
    report = with_review_scores(report, analyzer, data)
    proba = aspects.analyzer.calibration.apply(aspects.oof.proba)
    oof = dataclasses.replace(aspects.oof, task=task, proba=proba)
    return ReviewVote(analyzer, stages, report, oof, tuple(notes))


def save_ensemble(result: ReviewVote, output: str | Path, *, overwrite: bool = False) -> Path:
    """Write the model folder of a vote of review models: all of it or nothing."""
    output, analyzer = Path(output), result.analyzer
    if result.report is not None and result.oof is not None:
        section = card.section(analyzer, result.report)
        save_run(RunResult(analyzer, result.report, result.oof), output, overwrite=overwrite, section=section)
        return output
    with atomic_folder(output, overwrite=overwrite) as target:
        model_folder.write_analyzer(analyzer, target)
        write_text(target / "README.md", _card(result))
        model_folder.seal(target, analyzer.predictor.kind, analyzer.task)
    return output


def _aspects(name: str, analyzer: Analyzer) -> Member:
    """The first stage as a member, with the thresholds in force."""
    stage = _review(analyzer).aspects
    rule = analyzer.thresholds
    own = Analyzer(stage.predictor, prep=stage.prep, thresholds=rule, calibration=stage.calibration, about=stage.about)
    return Member(name, own)


def _grades(name: str, analyzer: Analyzer) -> Member:
    return Member(name, _review(analyzer).sentiment)


def _train_of(members: Sequence[tuple[str, Analyzer]]) -> dict[str, Any]:
    """The members' record of their training rows, where they share it."""
    first, *others = (analyzer.about.get("train") or {} for _, analyzer in members)
    same = all(other.get("fingerprint") == first.get("fingerprint") for other in others)
    return {"train": first} if first and same else {}


def _review(analyzer: Analyzer) -> ReviewPredictor:
    assert isinstance(analyzer.predictor, ReviewPredictor)
    return analyzer.predictor


def _unseen(members: Sequence[Member], data: Dataset, notes: list[str]) -> Dataset:
    """The rows no member was trained on, as far as can be told by their aspects."""
    left = set(unseen(members, aspect_rows(data), notes).ids)
    return data.select([row for row, example in enumerate(data) if example.id in left])


def _refuse_ungraded(rows: Dataset) -> None:
    if not len(rows):
        raise UsageError(
            "--data의 행에 속성이 하나도 없어 감성 단계의 가중치를 찾을 수 없습니다.",
            "the rows of --data mention no aspect, so the grades cannot be weighed on them",
        )


def _card(result: ReviewVote) -> str:
    """The model card where nothing was measured."""
    front = "---\nlanguage: ko\nlibrary_name: maeum\npipeline_tag: text-classification\n---\n"
    parts = [front, f"# {result.analyzer.task.name} (review vote)\n"]
    for name, stage in result.stages.items():
        listed = "\n".join(f"- {score.name}: {score.kind}, {score.weight:.3f}" for score in stage.members)
        parts.append(f"## {name}\n\n{listed}\n")
    parts.append(say("잰 점수가 없습니다. 자기 데이터로 재세요.", "Nothing was measured; measure it on your own rows."))
    return "\n".join(parts) + "\n"
