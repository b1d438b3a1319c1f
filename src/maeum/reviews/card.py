"""What a review model is, for people: both stages, aspects, grades, decision rules and scores (model card, ``info``)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maeum._files import read_json
from maeum._lang import language, say
from maeum.analyzer import Analyzer
from maeum.report import Report
from maeum.reviews.predictor import ReviewPredictor

_SCORES = {
    "aspect_micro_f1": ("속성 micro-F1", "aspects, micro-F1"),
    "aspect_macro_f1": ("속성 macro-F1", "aspects, macro-F1"),
    "sentiment_accuracy": ("감성 정확도", "grades, accuracy"),
    "sentiment_macro_f1": ("감성 macro-F1", "grades, macro-F1"),
    "sentiment_error": ("등급 차이 평균", "grades off, mean"),
    "pipeline_micro_f1": ("둘 다 micro-F1", "both, micro-F1"),
    "pipeline_macro_f1": ("둘 다 macro-F1", "both, macro-F1"),
}


def facts(analyzer: Analyzer, report: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A review model as plain data; empty for other models.

    Args:
        report: ``Report.to_dict()`` of its run, for the scores.

    Returns:
        ``aspects`` and ``grades`` (keys, grades from worst to best), ``stages`` (model, rows, rule of each),
        ``thresholds`` (of each aspect) and ``scores``: of both stages, and of the pipeline where rows judged it.
    """
    model = analyzer.predictor
    if not isinstance(model, ReviewPredictor):
        return {}
    stages = {"aspects": model.aspects, "sentiment": model.sentiment}
    # the aspects are decided by the whole model's thresholds, which may have been changed since the training
    rules = {"aspects": analyzer.thresholds, "sentiment": model.sentiment.thresholds}
    return {
        "aspects": list(analyzer.task.keys),
        "grades": list(analyzer.task.sentiment_keys),
        "stages": {
            name: {
                "kind": stage.predictor.kind,
                "rows": (stage.about.get("train") or {}).get("rows"),
                "text_preparation": stage.prep.recipe,
                "decision": "argmax" if rules[name].is_argmax else "thresholds",
                "objective": rules[name].objective,
                "tuned_on": rules[name].tuned_on,
            }
            for name, stage in stages.items()
        },
        "thresholds": dict(zip(analyzer.task.keys, analyzer.thresholds.values, strict=False)),
        "scores": _scores(report or {}),
    }


def facts_of_folder(analyzer: Analyzer, folder: Path) -> dict[str, Any]:
    """The same of a model folder, with the scores that its ``report.json`` holds."""
    path = folder / "report.json"
    return facts(analyzer, read_json(path) if path.is_file() else None)


def lines(found: Mapping[str, Any], names: Mapping[str, str]) -> list[tuple[str, str]]:
    """(name, value) of what ``facts`` gave, in words.

    Args:
        names: display name of each grade.
    """
    shown = [
        (say("감성 등급(나쁜 것부터)", "grades, worst first"), ", ".join(_both(key, names) for key in found["grades"])),
    ]
    called = {"aspects": say("1단계(속성)", "stage 1 (aspects)"), "sentiment": say("2단계(감성)", "stage 2 (grades)")}
    for name, stage in found["stages"].items():
        rule = (
            say("가장 그럴듯한 등급 하나", "the most probable grade")
            if stage["decision"] == "argmax"
            else say(f"속성마다 기준값({stage['objective']})", f"a threshold for each aspect ({stage['objective']})")
        )
        rows = stage["rows"]
        learnt = "" if rows is None else say(f", 학습 {rows:,}행", f", {rows:,} training rows")
        shown.append((called[name], f"{stage['kind']}{learnt}; {rule}"))
    if found["thresholds"]:
        cuts = ", ".join(f"{key} {value:.3f}" for key, value in found["thresholds"].items())
        shown.append((say("속성의 기준값", "thresholds of the aspects"), cuts))
    if found["scores"]:
        scores = ", ".join(f"{say(*_SCORES[name])} {value:.4f}" for name, value in found["scores"].items())
        shown.append((say("점수", "scores"), scores))
    if found["scores"] and "pipeline_micro_f1" not in found["scores"]:
        shown.append((say("둘 다", "both"), _unjudged()))
    return shown


def grade_names(analyzer: Analyzer) -> dict[str, str]:
    """Key → display name of the grades, in the language in force."""
    return {label.key: label.name(language()) for label in analyzer.task.sentiments}


def section(analyzer: Analyzer, report: Report) -> str:
    """What the model card says of the two stages, in Markdown."""
    found = facts(analyzer, report.to_dict())
    aspects = ", ".join(f"`{key}`" for key in found["aspects"])
    parts = [
        say("## 두 단계", "## Two stages"),
        "",
        say(
            "글에서 속성을 모두 찾고(1단계), 찾은 속성마다 감성 등급을 하나 매깁니다(2단계).",
            "Finds the aspects a text speaks of (stage 1), then gives each of them one grade (stage 2).",
        ),
        "",
        f"- {say('속성', 'aspects')}: {aspects}",
        *(f"- {name}: {value}" for name, value in lines({**found, "scores": {}}, grade_names(analyzer))),
    ]
    if found["scores"]:
        parts += ["", f"| {say('점수', 'score')} | {say('값', 'value')} |", "|---|---:|"]
        parts += [f"| {say(*_SCORES[name])} | {value:.4f} |" for name, value in found["scores"].items()]
    if "pipeline_micro_f1" not in found["scores"]:
        parts += ["", _unjudged()]
    return "\n".join(parts) + "\n"


def _scores(report: Mapping[str, Any]) -> dict[str, float]:
    extra, metrics = report.get("extra") or {}, report.get("metrics") or {}
    if "review" in extra:
        return {name: float(extra["review"][name]) for name in _SCORES}
    grades = extra.get("sentiment") or {}
    given = {
        "aspect_micro_f1": metrics.get("micro_f1"),
        "aspect_macro_f1": metrics.get("macro_f1"),
        "sentiment_accuracy": grades.get("accuracy"),
        "sentiment_macro_f1": grades.get("macro_f1"),
    }
    return {name: float(value) for name, value in given.items() if value is not None}


def _unjudged() -> str:
    return say(
        "두 단계를 합친 점수는 --valid로 떼어 둔 행이 있을 때만 잽니다.",
        "The score of both stages together is measured where --valid holds rows out.",
    )


def _both(key: str, names: Mapping[str, str]) -> str:
    name = names.get(key, key)
    return key if name == key else f"{name} ({key})"
