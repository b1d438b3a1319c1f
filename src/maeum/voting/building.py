"""Model folders to an ensemble: measure the members, weigh them, tune what is the ensemble's own, report, save."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from maeum import folder as model_folder
from maeum._files import atomic_folder, write_text
from maeum._lang import say
from maeum.analyzer import Analyzer
from maeum.calibration import Calibration
from maeum.crossval import OutOfFold
from maeum.data import Dataset
from maeum.experiment import RunResult, TrainSettings, library_versions, save_run, tune
from maeum.report import Report, make_report
from maeum.task import Task
from maeum.text import TextPrep
from maeum.thresholds import Thresholds
from maeum.voting.members import Member, data_table, oof_table, unseen
from maeum.voting.predictor import VotePredictor
from maeum.voting.rules import Pool, Vote, weighted
from maeum.voting.weighing import (
    Empty,
    MemberScore,
    Standing,
    Table,
    Weights,
    check_options,
    fixed_rule,
    member_scores,
    metrics,
    votes_rule,
    weigh,
)


@dataclass(frozen=True)
class EnsembleResult(Standing):
    """A voting model and how it did beside its members."""

    analyzer: Analyzer
    report: Report | None = None
    """None without labelled rows."""
    oof: OutOfFold | None = None
    """The ensemble's scores before its own calibration, for the rows it was measured on."""


def ensemble(
    members: Sequence[Member],
    *,
    vote: Vote = "soft",
    data: Dataset | None = None,
    weights: Sequence[float] | None = None,
    equal: bool = False,
    pool: Pool | Literal["auto"] = "auto",
    objective: str | None = None,
    empty: Empty = "auto",
    progress: Callable[[str], None] = lambda _: None,
) -> EnsembleResult:
    """A model that votes, with weights, calibration and thresholds of its own; ``save_ensemble`` writes it.

    Args:
        members: from ``open_members``.
        vote: ``soft`` or ``hard``.
        data: labelled rows to fit on and judge by, which no member was trained on. None: the rows all members have
            out-of-fold probabilities for; without such rows the weights are equal, the thresholds of a soft vote the
            mean of the members', and there is no report.
        weights: set by hand. Hard votes are not fitted: without these they count alike.
        equal: equal weights.
        pool: how a soft vote joins probabilities; ``auto``: as the rows say (``rules.choose_pool``).
        objective: of the thresholds of a soft vote; None: as in training.
        empty: when no label passes. ``auto``: what is better on the rows for a soft vote, ``none`` for a hard one.

    Raises:
        UsageError: options that contradict each other, or rows that cannot be used.
        TaskMismatch: members or rows of different tasks.
        DataError: out-of-fold tables that give a row different labels.
    """
    check_options(len(members), vote, weights, equal=equal, objective=objective, pool=pool)
    task, names = members[0].analyzer.task, [member.name for member in members]
    kinds = [member.analyzer.predictor.kind for member in members]
    notes: list[str] = []
    progress(say("멤버들의 확률 모으기", "gathering the members' probabilities"))
    if data is None:
        table, why = oof_table(members)
    else:
        data = unseen(members, data, notes)
        table, why = data_table(members, data), ""
    chosen = weigh(task, vote, len(members), table, why, given=weights, equal=equal, pool=pool)
    if table is None:
        notes.append(_unmeasured(vote, "" if why in chosen.why else why))
    notes.extend(chosen.idle(names))
    predictor = VotePredictor(
        task, [member.analyzer for member in members], vote=vote, weights=chosen.values, pool=chosen.pool
    )
    progress(say("보정과 기준값", "calibration and thresholds"))
    settings = TrainSettings(model="vote", objective=objective, empty=empty)
    oof = None if table is None else OutOfFold(task, table.ids, table.y, predictor.scores(table.probas), table.fold)
    calibration, thresholds = _tuned(predictor, chosen, settings, oof, table)
    scores = member_scores(task, table, chosen, names, kinds)
    about = _about(members, vote, chosen, scores, settings, data, notes)
    analyzer = Analyzer(
        predictor, prep=TextPrep.named("raw"), thresholds=thresholds, calibration=calibration, about=about
    )
    if table is None or oof is None:
        return EnsembleResult(chosen, scores, {}, "", tuple(notes), analyzer)
    progress(say("평가", "evaluating"))
    proba = calibration.apply(oof.proba)
    support = about["train"].get("support")
    report = make_report(
        task,
        table.y,
        proba,
        thresholds,
        data=table.words,
        model=f"vote ({vote}): " + ", ".join(f"{s.name} {s.weight:.3f}" for s in scores),
        train_support=[int(support.get(key, 0)) for key in task.keys] if support else None,
        notes=[*notes, _weights_note(chosen)],
        tuned_on_same_rows=_tuned_here(vote, members, data),
        extra={"vote": vote, "members": [_cells(score) for score in scores], "train": about["train"]},
    )
    own = metrics(task, table.y, proba, thresholds.decide(proba))
    return EnsembleResult(chosen, scores, own, table.words, tuple(notes), analyzer, report, oof)


def save_ensemble(result: EnsembleResult, output: str | Path, *, overwrite: bool = False) -> Path:
    """Write the model folder of an ensemble: all of it or nothing."""
    output, analyzer = Path(output), result.analyzer
    if result.report is not None and result.oof is not None:
        save_run(RunResult(analyzer, result.report, result.oof), output, overwrite=overwrite)
        return output
    with atomic_folder(output, overwrite=overwrite) as target:
        model_folder.write_analyzer(analyzer, target)
        write_text(target / "README.md", _card(result))
        model_folder.seal(target, analyzer.predictor.kind, analyzer.task)
    return output


def _unmeasured(vote: Vote, why: str) -> str:
    head = say("잰 점수가 없습니다.", "nothing was measured")
    if vote == "soft":
        head = say(
            "기준값은 멤버들 기준값의 평균이고, 잰 점수가 없습니다.",
            "the thresholds are the mean of the members' and nothing was measured",
        )
    return head + (why and say(f" {why}", f": {why}"))


def _tuned(
    predictor: VotePredictor, chosen: Weights, settings: TrainSettings, oof: OutOfFold | None, table: Table | None
) -> tuple[Calibration, Thresholds]:
    """Calibration and thresholds of the ensemble; those of a hard vote are fixed."""
    task, rules = predictor.task, [member.thresholds for member in predictor.members]
    if predictor.vote == "hard":
        return Calibration.identity(task), votes_rule(task, settings.empty, rules)
    if oof is None or table is None:
        return Calibration.identity(task), _mean_rule(task, rules, predictor.weights, settings.empty)
    calibration, thresholds = tune(oof, settings)
    same = "; the members' weights were fitted on the same rows" if chosen.how == "fitted" else ""
    return calibration, replace(thresholds, tuned_on=table.tuned_on + same)


def _mean_rule(task: Task, rules: Sequence[Thresholds], weights: Sequence[float], empty: Empty) -> Thresholds:
    """Without rows: the mean of the members' thresholds, and what the heavier half of them does when nothing passes."""
    rule = fixed_rule(task, empty, tuned_on="nothing: the mean of the members' thresholds")
    if rule.is_argmax:
        return rule
    values = weighted([np.asarray(each.values, np.float64) for each in rules], weights)
    fills = sum(weight for each, weight in zip(rules, weights, strict=True) if each.empty == "argmax")
    chosen: Literal["none", "argmax"] = "argmax" if empty == "argmax" or (empty == "auto" and fills > 0.5) else "none"
    cuts = tuple(float(np.float32(value)) for value in values)
    return replace(rule, values=cuts, objective="mean of the members", empty=chosen)


def _tuned_here(vote: Vote, members: Sequence[Member], data: Dataset | None) -> bool:
    """Whether the thresholds in force were tuned on the rows of the report."""
    if members[0].analyzer.task.kind == "multiclass":
        return False
    if vote == "soft":
        return True
    marks = ("out-of-fold", "held out") if data is None else (data.fingerprint,)
    return any(mark in member.analyzer.thresholds.tuned_on for member in members for mark in marks)


def _about(
    members: Sequence[Member],
    vote: Vote,
    chosen: Weights,
    scores: Sequence[MemberScore],
    settings: TrainSettings,
    data: Dataset | None,
    notes: list[str],
) -> dict[str, Any]:
    task = members[0].analyzer.task
    rows = None if data is None else {"source": data.source, "rows": len(data), "fingerprint": data.fingerprint}
    return {
        "settings": {
            "model": "vote",
            "vote": vote,
            "objective": "votes" if vote == "hard" else settings.objective_for(task),
            "empty": settings.empty,
        },
        "members": [
            {**asdict(score), "text": member.analyzer.prep.recipe, "train": member.analyzer.about.get("train")}
            for member, score in zip(members, scores, strict=True)
        ],
        "weights": asdict(chosen),
        "train": _train_info(members),
        # a soft vote tunes on the rows it is given, so they judge nothing; a hard vote has nothing to tune
        "valid": rows if vote == "hard" else None,
        "tuned": rows if vote == "soft" else None,
        "versions": library_versions(),
        "notes": notes,
    }


def _train_info(members: Sequence[Member]) -> dict[str, Any]:
    """The members' training data as one: their own record if they share it, else the sum."""
    known: dict[str, Mapping[str, Any]] = {}
    for member in members:
        train = member.analyzer.about.get("train") or {}
        known.setdefault(str(train.get("fingerprint") or member.name), train)
    if len(known) == 1:
        return dict(next(iter(known.values())))
    sources = dict.fromkeys(str(train.get("source") or "?") for train in known.values())
    rows = sum(int(train.get("rows") or 0) for train in known.values())
    return {"source": " + ".join(sources), "rows": rows, "fingerprint": "", "support": None}


def _cells(score: MemberScore) -> dict[str, Any]:
    """A row of the report's table of members."""
    shown = ("micro_f1", "macro_f1", "log_loss")
    row: dict[str, Any] = {"name": score.name, "kind": score.kind, "weight": score.weight}
    return row | {name: score.metrics[name] for name in shown}


def _weights_note(chosen: Weights) -> str:
    same = say(". 같은 행에서 재었으므로 조금 유리합니다.", "; judged on the same rows, which favours it a little")
    return chosen.sentence() + (same if chosen.how == "fitted" else "")


def _card(result: EnsembleResult) -> str:
    """The model card where nothing was measured."""
    members = "\n".join(f"- {score.name}: {score.kind}, {score.weight:.3f}" for score in result.members)
    front = "---\nlanguage: ko\nlibrary_name: maeum\npipeline_tag: text-classification\n---\n"
    nothing = say("잰 점수가 없습니다. 자기 데이터로 재세요.", "Nothing was measured; measure it on your own rows.")
    name = result.analyzer.task.name
    return f"{front}\n# {name} (vote)\n\n- {result.weights.sentence()}\n{members}\n\n{nothing}\n"
