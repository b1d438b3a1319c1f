"""What a model is worth on labelled rows: a ``Report`` of numbers, and its forms for files, terminals and notebooks.

A report holds data only: no text of any row, nothing it would have to print. Numbers come from ``metrics`` and
``thresholds``; here they are gathered, thinned out for plots, and laid out.

Ratios are 0–1. A value that does not exist (the average precision of a label without positives) is ``None``, ``null``
in JSON and ``-`` on paper. Words for people are chosen by ``maeum._lang`` when a report is laid out, not when it is made.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from maeum import metrics, report_html
from maeum._lang import language, say
from maeum._tables import text_table, tidy
from maeum.errors import FormatError, UsageError
from maeum.task import Kind, Task
from maeum.thresholds import Curve, Thresholds, curve

Floats = NDArray[np.float64]

FORMAT_VERSION = 1
"""Version of ``Report.to_dict``'s form; a newer one is refused."""

LEVEL = 0.95
"""Of the bootstrap intervals of the metrics."""

_POINTS = 120
"""Most points of one curve."""
_FEW_POSITIVES = 10
"""Below so many positives in the test rows a label's score is said to be shaky."""
_SUMMARY_ROWS = 50

_METRICS: dict[str, tuple[str, str]] = {
    "accuracy": ("정확도", "accuracy"),
    "micro_f1": ("마이크로 F1", "micro F1"),
    "micro_precision": ("마이크로 정밀도", "micro precision"),
    "micro_recall": ("마이크로 재현율", "micro recall"),
    "macro_f1": ("매크로 F1", "macro F1"),
    "macro_precision": ("매크로 정밀도", "macro precision"),
    "macro_recall": ("매크로 재현율", "macro recall"),
    "weighted_f1": ("가중 F1", "weighted F1"),
    "samples_f1": ("행별 F1 평균", "samples F1"),
    "subset_accuracy": ("완전 일치율", "subset accuracy"),
    "label_accuracy": ("라벨별 일치율", "label accuracy"),
    "macro_ap": ("mAP(AP 평균)", "mAP (mean AP)"),
    "macro_roc_auc": ("ROC-AUC 평균", "macro ROC-AUC"),
    "top_label_ece": ("고른 라벨의 ECE ↓", "top-label ECE ↓"),
    "mean_ece": ("ECE 평균 ↓", "mean ECE ↓"),
    "mean_brier": ("Brier 평균 ↓", "mean Brier ↓"),
    "gold_labels_per_row": ("행당 정답 라벨 수", "gold labels per row"),
    "predicted_labels_per_row": ("행당 예측 라벨 수", "predicted labels per row"),
    "empty_predictions": ("라벨을 못 받은 행의 비율", "share of rows given no label"),
}
"""Metrics in the order they are shown, with their names; ↓ marks those that are better when lower."""


@dataclass(frozen=True)
class LabelResult:
    """One label's numbers on the test rows."""

    key: str
    ko: str
    """Name shown in Korean; the key if empty."""
    en: str
    """Name shown in English; the key if empty."""
    precision: float
    recall: float
    f1: float
    ap: float | None
    """Average precision; None without positives."""
    roc_auc: float | None
    """None where all rows are positive or all negative."""
    threshold: float | None
    """None under the argmax rule; above 1 for a label that is never given."""
    threshold_low: float | None
    """Lower end of the threshold's 90% bootstrap interval, None if it was not computed."""
    threshold_high: float | None
    support: int
    """Positives among the test rows."""
    train_support: int | None
    """Positives among the training rows, None if not known."""
    predicted: int
    """Rows the label was given to."""
    ece: float
    brier: float

    @property
    def name(self) -> str:
        """The display name in the language in force."""
        return (self.ko if language() == "ko" else self.en) or self.key

    @property
    def full_name(self) -> str:
        """The display name, and the key in brackets where it differs."""
        return self.key if self.name == self.key else f"{self.name} ({self.key})"


@dataclass(frozen=True)
class LabelCurves:
    """What the plots of one label are drawn from: at most 120 points a curve; empty without positives."""

    threshold: tuple[float, ...]
    """Cuts of the threshold curve, falling."""
    precision: tuple[float | None, ...]
    """At each cut; None where nothing passes."""
    recall: tuple[float, ...]
    f1: tuple[float, ...]
    pr_recall: tuple[float, ...]
    """Recall along the precision–recall curve, rising."""
    pr_precision: tuple[float, ...]
    reliability: tuple[tuple[float, float, int], ...]
    """(mean probability, share of positives, rows) per bin of probability."""


@dataclass(frozen=True)
class Report:
    """How a model did on labelled rows; made by ``make_report`` or read by ``from_dict``."""

    task: str
    kind: Kind
    fingerprint: str
    """Of the task."""
    data: str
    """The rows judged on, in words or as a path."""
    model: str
    n: int
    """Rows."""
    metrics: Mapping[str, float | None]
    intervals: Mapping[str, tuple[float, float]]
    """95% bootstrap intervals of some of the metrics; empty if not computed."""
    labels: tuple[LabelResult, ...]
    """In the order of the task."""
    curves: tuple[LabelCurves, ...]
    """One per label."""
    reliability: tuple[tuple[float, float, int], ...]
    """As in ``LabelCurves``, over all labels together; of the label picked in a multiclass task."""
    matrix: tuple[tuple[int, ...], ...]
    """(k, k): ``confusion`` (rows gold, columns predicted) or ``cooccurrence`` of gold labels."""
    matrix_kind: Literal["confusion", "cooccurrence"]
    thresholds: Thresholds
    tuned_on_same_rows: bool
    """Whether the thresholds were found on the rows that are judged here, which makes scores look better."""
    decided: bool
    """Whether decisions came from elsewhere, such as another task's labels mapped to this one's: no thresholds then."""
    notes: tuple[str, ...]
    resamples: int
    seed: int
    extra: Mapping[str, Any]
    """Anything else worth keeping, as plain JSON data."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Label keys in the order of the task."""
        return tuple(label.key for label in self.labels)

    @property
    def _has_thresholds(self) -> bool:
        return any(label.threshold is not None for label in self.labels)

    def with_extra(self, **extra: Any) -> Report:
        """The same report with more kept in ``extra``, made plain JSON data."""
        return replace(self, extra={**self.extra, **{name: _plain(value) for name, value in extra.items()}})

    # -- words ----------------------------------------------------------------------------------------------

    def warnings(self) -> tuple[str, ...]:
        """What a reader must know before trusting the numbers, most important first; then the notes."""
        return (*(say(*pair) for pair in self._cautions()), *self.notes)

    def _cautions(self) -> list[tuple[str, str]]:
        """The same without the notes, each in Korean and English."""
        found = []
        if self.tuned_on_same_rows:
            found.append(
                (
                    "기준값을 이 행들로 정했으므로 점수가 실제보다 높게 나옵니다. 기준값을 정할 때 쓰지 않은 행으로 다시 재세요.",
                    "The thresholds were tuned on these very rows, so the scores are higher than they would be on new "
                    "rows; measure again on rows that did not tune them.",
                )
            )
        absent = [label.key for label in self.labels if label.support == 0]
        if absent:
            names = _listed(absent)
            found.append(
                (
                    f"이 데이터에 정답이 하나도 없는 라벨이 {len(absent)}개입니다({names}). 매크로 F1에는 0으로 들어가고 AP·ROC-AUC 평균에서는 빠집니다.",
                    f"{len(absent)} label(s) have no positive row here ({names}): they count as 0 in macro F1 and are "
                    "left out of the mean AP and ROC-AUC.",
                )
            )
        rare = [label.key for label in self.labels if 0 < label.support < _FEW_POSITIVES]
        if rare:
            names = _listed(rare)
            found.append(
                (
                    f"정답이 {_FEW_POSITIVES}개 미만인 라벨이 {len(rare)}개입니다({names}). 이 라벨들의 점수는 우연에 크게 흔들립니다.",
                    f"{len(rare)} label(s) have fewer than {_FEW_POSITIVES} positive rows ({names}); chance moves their "
                    "scores a lot.",
                )
            )
        return found

    # -- as data --------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data; ``from_dict`` reads it back to an equal report."""
        return {
            "format_version": FORMAT_VERSION,
            "task": self.task,
            "kind": self.kind,
            "fingerprint": self.fingerprint,
            "data": self.data,
            "model": self.model,
            "n": self.n,
            "warnings": [{"ko": ko, "en": en} for ko, en in self._cautions()],
            "notes": list(self.notes),
            "metrics": dict(self.metrics),
            "intervals": {name: list(pair) for name, pair in self.intervals.items()},
            "labels": [asdict(label) for label in self.labels],
            "thresholds": self.thresholds.to_dict(),
            "tuned_on_same_rows": self.tuned_on_same_rows,
            "decided": self.decided,
            "resamples": self.resamples,
            "seed": self.seed,
            "extra": dict(self.extra),
            "matrix_kind": self.matrix_kind,
            "matrix": [list(row) for row in self.matrix],
            "reliability": [list(point) for point in self.reliability],
            "curves": [
                {field.name: _lists(getattr(item, field.name)) for field in fields(LabelCurves)} for item in self.curves
            ],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Report:
        """Read ``to_dict``'s form.

        Raises:
            FormatError: something is missing or of a wrong type, or a newer version wrote it.
        """
        try:
            version = data["format_version"]
            if not isinstance(version, int) or version > FORMAT_VERSION:
                raise ValueError(f"format_version {version!r} > {FORMAT_VERSION}")
            report = cls(
                task=_word(data["task"]),
                kind=_one_of(data["kind"], get_args(Kind)),
                fingerprint=_word(data["fingerprint"]),
                data=_word(data["data"]),
                model=_word(data["model"]),
                n=_whole(data["n"]),
                metrics={_word(name): _maybe(value) for name, value in data["metrics"].items()},
                intervals={_word(name): _ends(pair) for name, pair in data["intervals"].items()},
                labels=tuple(_read_label(item) for item in data["labels"]),
                curves=tuple(_read_curves(item) for item in data["curves"]),
                reliability=_read_bins(data["reliability"]),
                matrix=tuple(tuple(_whole(count) for count in row) for row in data["matrix"]),
                matrix_kind=_one_of(data["matrix_kind"], ("confusion", "cooccurrence")),
                thresholds=Thresholds.from_dict(data["thresholds"]),
                tuned_on_same_rows=_flag(data["tuned_on_same_rows"]),
                decided=_flag(data["decided"]),
                notes=tuple(_word(note) for note in data["notes"]),
                resamples=_whole(data["resamples"]),
                seed=_whole(data["seed"]),
                extra={_word(name): _plain(value) for name, value in data["extra"].items()},
            )
            k = len(report.labels)
            if len(report.curves) != k or [len(row) for row in report.matrix] != [k] * k:
                raise ValueError(f"labels {k}, curves {len(report.curves)}, matrix {len(report.matrix)}")
            if report.thresholds.keys != report.keys:
                raise ValueError("thresholds.keys != labels")
        except (KeyError, TypeError, ValueError, AttributeError, FormatError) as error:
            why = f"{type(error).__name__}: {error}"
            raise FormatError(
                f"보고서(report.json)를 읽을 수 없습니다: {why}", f"cannot read the report (report.json): {why}"
            ) from error
        return report

    def to_json(self) -> str:
        """``to_dict`` as JSON for people too: one line a field, one line a label, curves packed."""
        lines = []
        for name, value in self.to_dict().items():
            if isinstance(value, list) and value:
                inner = ",\n    ".join(_json(item) for item in value)
                lines.append(f"  {_json(name)}: [\n    {inner}\n  ]")
            else:
                lines.append(f"  {_json(name)}: {_json(value)}")
        return "{\n" + ",\n".join(lines) + "\n}\n"

    @classmethod
    def from_json(cls, text: str) -> Report:
        """Read ``to_json``'s form.

        Raises:
            FormatError: not JSON, or not a report.
        """
        try:
            data = json.loads(text)
        except ValueError as error:
            raise FormatError(
                f"보고서(report.json)가 JSON이 아닙니다: {error}", f"the report (report.json) is not JSON: {error}"
            ) from error
        return cls.from_dict(data)

    # -- laid out -------------------------------------------------------------------------------------------

    def shown_metrics(self) -> list[tuple[str, str, float | None]]:
        """(key, name in the language in force, value) in the order they are shown."""
        known = [name for name in _METRICS if name in self.metrics]
        others = [name for name in self.metrics if name not in _METRICS]
        return [(name, say(*_METRICS.get(name, (name, name))), self.metrics[name]) for name in known + others]

    def to_markdown(self) -> str:
        """Tables in Markdown: what was judged, all metrics with intervals, and every label."""
        parts = [f"# {say('평가 보고서', 'Evaluation report')}: {_md(self.task)}", ""]
        parts += [f"- {name}: {_md(value)}" for name, value in self._facts()]
        if self.warnings():
            parts += ["", *(f"> **{say('주의', 'Note')}** {_md(note)}\n>" for note in self.warnings())]
            parts[-1] = parts[-1].removesuffix("\n>")
        parts += ["", f"## {say('전체', 'Overall')}", ""]
        parts += _md_table(
            [say("지표", "metric"), say("값", "value"), say("95% 구간", "95% interval")],
            [[name, _show(value, 4), self._interval(key)] for key, name, value in self.shown_metrics()],
        )
        parts += ["", f"## {say('라벨별', 'By label')}", ""]
        heads, cells = self._label_table()
        parts += _md_table(heads, [[_md(name), *numbers] for name, *numbers in cells])
        for title, heads, cells in self._extra_tables():
            parts += ["", f"## {_md(title)}", ""]
            parts += _md_table(
                [_md(head) for head in heads], [[_md(cell) for cell in row] for row in cells], words=True
            )
        return "\n".join(parts) + "\n"

    def summary(self) -> str:
        """A compact plain-text table for a terminal with a fixed-width font, Hangul counted as two columns wide.

        At most 50 labels are listed, in the order of the task.
        """
        head = f"{self.task} · {self.data} · " + say(f"{self.n:,}행", f"{self.n:,} rows")
        lines = [tidy(f"{self.model} · {head}" if self.model else head)]
        lines += [f"! {tidy(note)}" for note in self.warnings()]
        lines.append("")
        chosen = ("accuracy", *_HEADLINE) if "accuracy" in self.metrics else _HEADLINE
        rows = [
            [name.replace(" ↓", ""), _show(value, 4), self._interval(key)]
            for key, name, value in self.shown_metrics()
            if key in chosen and not (key == "subset_accuracy" and "accuracy" in self.metrics)
        ]
        lines.append(text_table([say("지표", "metric"), say("값", "value"), say("95% 구간", "95% interval")], rows))
        lines.append("")
        heads, cells = self._label_table()
        keep = [index for index, head in enumerate(heads) if head not in ("Brier", "ECE", "ROC-AUC")]
        shown = [[row[index] for index in keep] for row in cells[:_SUMMARY_ROWS]]
        lines.append(text_table([heads[index] for index in keep], shown))
        if len(cells) > _SUMMARY_ROWS:
            more = len(cells) - _SUMMARY_ROWS
            lines.append(say(f"... 그리고 라벨 {more}개", f"... and {more} more labels"))
        return "\n".join(lines)

    def to_html(self) -> str:
        """One self-contained page: cards, tables and plots, readable offline, without JavaScript and on a phone."""
        return report_html.page(**self._for_html())

    def _repr_html_(self) -> str:
        """Cards and tables for a notebook; the plots are in ``to_html``."""
        return report_html.fragment(**self._for_html())

    def _for_html(self) -> dict[str, Any]:
        return {
            "data": self.to_dict(),
            "facts": self._facts() + self._extra_facts(),
            "tables": self._extra_tables(),
            "warnings": self.warnings(),
            "shown_metrics": self.shown_metrics(),
            "names": [(label.name, label.key) for label in self.labels],
        }

    def _facts(self) -> list[tuple[str, str]]:
        """(name, value) of what was judged and how, in words."""
        rule = self.thresholds
        if self.decided:
            decision = say("다른 곳에서 정한 라벨", "labels decided elsewhere")
        elif rule.is_argmax:
            decision = say("확률이 가장 높은 라벨 하나", "the most probable label")
        else:
            decision = say("확률 ≥ 라벨별 기준값", "probability ≥ the label's threshold")
            decision += (
                say("; 넘는 라벨이 없으면 가장 높은 하나", "; the most probable one if none passes")
                if rule.empty == "argmax"
                else say("; 넘는 라벨이 없으면 라벨 없음", "; no label if none passes")
            )
        tuned = {"none": say("조정하지 않음", "not tuned"), "set": say("직접 정함", "set by hand")}
        objective = tuned.get(rule.objective, rule.objective) + (f" · {rule.tuned_on}" if rule.tuned_on else "")
        kind = {
            "multilabel": say("여럿 고르기", "multilabel"),
            "multiclass": say("하나 고르기", "multiclass"),
            "aspect": say("속성", "aspect"),
        }[self.kind]
        k = len(self.labels)
        facts = [
            (say("모델", "model"), self.model),
            (say("과제", "task"), f"{self.task} ({kind}, {say(f'라벨 {k}개', f'{k} labels')})"),
            (say("데이터", "data"), self.data),
            (say("행", "rows"), f"{self.n:,}"),
            (say("결정 규칙", "decision rule"), decision),
        ]
        if self._has_thresholds:
            facts.append((say("기준값", "thresholds"), objective))
        return [(name, value) for name, value in facts if value]

    def _extra_facts(self) -> list[tuple[str, str]]:
        """(name, value) of what ``extra`` holds, but for its tables."""
        facts = []
        for place, value in _leaves(self.extra):
            if _as_table(value) is None and value not in (None, "", []):
                facts.append((" · ".join(map(field_name, place)), _worded(value)))
        return facts

    def _extra_tables(self) -> list[tuple[str, list[str], list[list[str]]]]:
        """(title, headings, cells) of what in ``extra`` is a table: rows that are objects with the same fields."""
        tables = []
        for place, value in _leaves(self.extra):
            table = _as_table(value, row_name if place[0] in ("stress", "phenomena") else str)
            if table is not None:
                named = [field for field in place if len(place) == 1 or field not in ("rows", "results")]
                tables.append((" · ".join(map(field_name, named)), *table))
        return tables

    def _interval(self, metric: str) -> str:
        pair = self.intervals.get(metric)
        return "" if pair is None else f"[{pair[0]:.4f}, {pair[1]:.4f}]"

    def _label_table(self) -> tuple[list[str], list[list[str]]]:
        """Headings and cells of the table of labels; columns nobody has a value for are left out."""
        table: list[tuple[str, Callable[[LabelResult], str]]] = [
            (say("라벨", "label"), lambda label: label.full_name),
            (say("정밀도", "precision"), lambda label: _show(label.precision)),
            (say("재현율", "recall"), lambda label: _show(label.recall)),
            ("F1", lambda label: _show(label.f1)),
            ("AP", lambda label: _show(label.ap)),
            ("ROC-AUC", lambda label: _show(label.roc_auc)),
        ]
        if self._has_thresholds:
            table.append((say("기준값", "threshold"), _shown_threshold))
        table.append((say("정답 수", "support"), lambda label: f"{label.support:,}"))
        table.append((say("예측 수", "predicted"), lambda label: f"{label.predicted:,}"))
        if any(label.train_support is not None for label in self.labels):
            table.append((say("학습 정답 수", "train support"), lambda label: _show_count(label.train_support)))
        table.append(("ECE", lambda label: _show(label.ece)))
        table.append(("Brier", lambda label: _show(label.brier)))
        return [head for head, _ in table], [[cell(label) for _, cell in table] for label in self.labels]


_HEADLINE = ("micro_f1", "macro_f1", "weighted_f1", "samples_f1", "subset_accuracy", "macro_ap", "mean_ece")
"""Metrics of the terminal summary and of ``compare``."""


def make_report(
    task: Task,
    y: NDArray[Any],
    proba: NDArray[Any],
    thresholds: Thresholds,
    *,
    decided: NDArray[Any] | None = None,
    data: str,
    model: str = "",
    train_support: Sequence[int] | None = None,
    notes: Sequence[str] = (),
    tuned_on_same_rows: bool = False,
    seed: int = 0,
    resamples: int = 1000,
    extra: Mapping[str, Any] | None = None,
) -> Report:
    """Judge probabilities and the decisions made from them.

    Args:
        y: (n, k) gold zeros and ones in the order of ``task.labels``; one per row in a multiclass task.
        proba: (n, k) in [0, 1].
        thresholds: the decision rule in force.
        decided: (n, k) decisions made elsewhere, to be judged instead of ``thresholds.decide(proba)``.
        data, model: the rows judged and the model, in words, for the reader.
        train_support: positives of each label among the training rows (k,).
        notes: remarks for the reader; warnings this report can tell by itself are added when it is laid out.
        tuned_on_same_rows: say so if the thresholds were found on these very rows.
        resamples: bootstrap resamples for the intervals; 0 for none.
        extra: anything else to keep, such as fingerprints and versions; made plain JSON data.

    Raises:
        UsageError: no rows, or arrays that do not fit the task or each other.
    """
    gold, p = _checked(task, y, proba, thresholds)
    if train_support is not None and len(train_support) != len(task):
        raise UsageError(
            f"train_support는 라벨마다 하나씩 {len(task)}개여야 하는데 {len(train_support)}개입니다.",
            f"train_support must have one count for each of {len(task)} labels, got {len(train_support)}",
        )
    pred = thresholds.decide(p) if decided is None else _zeros_and_ones(decided, gold.shape)
    labels = _label_results(task, gold, p, pred, thresholds if decided is None else None, train_support)
    single = task.kind == "multiclass" and bool((pred.sum(1) == 1).all())
    top = p.argmax(1)
    rows = np.arange(len(p))
    intervals = (
        metrics.bootstrap_intervals(gold, pred, resamples=resamples, level=LEVEL, seed=seed) if resamples else {}
    )
    if task.kind == "multiclass" and "subset_accuracy" in intervals:
        intervals["accuracy"] = intervals["subset_accuracy"]
    overall = metrics.reliability(gold[rows, top], p[rows, top]) if task.kind == "multiclass" else None
    matrix = metrics.confusion_matrix(gold, pred) if single else metrics.cooccurrence(gold)
    return Report(
        task=task.name,
        kind=task.kind,
        fingerprint=task.fingerprint,
        data=data,
        model=model,
        n=len(gold),
        metrics=_overall(task, gold, p, pred, labels),
        intervals={name: (low, high) for name, (low, high) in intervals.items()},
        labels=labels,
        curves=tuple(
            _curves(gold[:, column], p[:, column], pred[:, column], label.threshold)
            for column, label in enumerate(labels)
        ),
        reliability=_bins(metrics.reliability(gold, p) if overall is None else overall),
        matrix=tuple(tuple(int(count) for count in row) for row in matrix),
        matrix_kind="confusion" if single else "cooccurrence",
        thresholds=thresholds,
        tuned_on_same_rows=tuned_on_same_rows,
        decided=decided is not None,
        notes=tuple(notes),
        resamples=resamples,
        seed=seed,
        extra={str(name): _plain(value) for name, value in (extra or {}).items()},
    )


def compare(reports: Sequence[Report]) -> str:
    """Reports side by side in Markdown: one line a report, then F1 of every label where the tasks are the same.

    The best value of a column is bold. Intervals are 95%.
    """
    if not reports:
        return ""
    metric_names = [
        name
        for name in ("accuracy", *_HEADLINE)
        if any(report.metrics.get(name) is not None for report in reports)
        and not (name == "subset_accuracy" and all("accuracy" in report.metrics for report in reports))
    ]
    heads = [say("모델", "model"), say("데이터", "data"), say("행", "rows")]
    table = [[_md(_name_of(report, number)) for number, report in enumerate(reports, start=1)]]
    table += [[_md(report.data) for report in reports], [f"{report.n:,}" for report in reports]]
    for name in metric_names:
        heads.append(say(*_METRICS[name]))
        values = [report.metrics.get(name) for report in reports]
        shown = _with_best(values, 4, lowest="↓" in _METRICS[name][1])
        spans = [report._interval(name) for report in reports]
        table.append([f"{value} {span}".strip() for value, span in zip(shown, spans, strict=True)])
    parts = _md_table(heads, [list(row) for row in zip(*table, strict=True)])
    if len({(report.data, report.n) for report in reports}) > 1:
        words = say(
            "데이터가 서로 달라 점수를 바로 견줄 수 없습니다.", "The data differ, so scores do not compare directly."
        )
        parts += ["", f"> {words}"]
    for number, report in enumerate(reports, start=1):
        if report.tuned_on_same_rows:
            parts += ["", f"> {_md(_name_of(report, number))}: {_md(report.warnings()[0])}"]
    if len({report.keys for report in reports}) == 1 and len(reports) > 1:
        heads = [say("라벨별 F1", "F1 by label"), *(_md(_name_of(r, i)) for i, r in enumerate(reports, start=1))]
        cells = [
            [_md(reports[0].labels[index].full_name), *_with_best([report.labels[index].f1 for report in reports], 3)]
            for index in range(len(reports[0].labels))
        ]
        parts += ["", *_md_table(heads, cells)]
    return "\n".join(parts) + "\n"


# -- from arrays --------------------------------------------------------------------------------------------------


def _checked(
    task: Task, y: NDArray[Any], proba: NDArray[Any], thresholds: Thresholds
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    y, proba = np.asarray(y), np.asarray(proba, np.float32)
    if y.shape != proba.shape or y.ndim != 2 or y.shape[1] != len(task):
        raise UsageError(
            f"정답 {y.shape}과(와) 확률 {proba.shape}은(는) (행, {len(task)}) 모양이어야 합니다.",
            f"gold labels {y.shape} and probabilities {proba.shape} must both be (rows, {len(task)})",
        )
    if len(y) == 0:
        raise UsageError("잴 행이 없습니다.", "there are no rows to measure")
    if thresholds.keys != task.keys:
        raise UsageError(
            f"기준값의 라벨이 과제 '{task.name}'의 라벨과 다릅니다.",
            f"the labels of the thresholds are not those of task '{task.name}'",
        )
    if not ((proba >= 0) & (proba <= 1)).all():
        raise UsageError("확률은 모두 0과 1 사이의 수여야 합니다.", "probabilities must all be numbers in 0–1")
    y = _zeros_and_ones(y, proba.shape)
    if task.kind == "multiclass" and not (y.sum(1) == 1).all():
        raise UsageError(
            f"과제 '{task.name}'은(는) 행마다 정답이 정확히 하나여야 합니다.",
            f"task '{task.name}' takes exactly one gold label a row",
        )
    return y, proba


def _zeros_and_ones(cells: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    cells = np.asarray(cells)
    if cells.shape != shape or not np.isin(cells, (0, 1)).all():
        raise UsageError(
            f"정답과 판정은 0과 1로 된 {shape} 배열이어야 합니다.",
            f"gold labels and decisions must be zeros and ones of shape {shape}",
        )
    return cells.astype(np.uint8)


def _overall(
    task: Task, y: NDArray[np.uint8], proba: NDArray[np.float32], pred: NDArray[np.uint8], labels: Sequence[LabelResult]
) -> dict[str, float | None]:
    found: dict[str, float | None] = dict(metrics.decision_metrics(y, pred))
    if task.kind == "multiclass":
        found["accuracy"] = found["subset_accuracy"]
        found["top_label_ece"] = metrics.top_label_ece(y, proba)
    found["macro_ap"] = _mean(label.ap for label in labels)
    found["macro_roc_auc"] = _mean(label.roc_auc for label in labels)
    found["mean_ece"] = _mean(label.ece for label in labels)
    found["mean_brier"] = _mean(label.brier for label in labels)
    found["gold_labels_per_row"] = float(y.sum(1).mean())
    found["predicted_labels_per_row"] = float(pred.sum(1).mean())
    found["empty_predictions"] = float((pred.sum(1) == 0).mean())
    return found


def _label_results(
    task: Task,
    y: NDArray[np.uint8],
    proba: NDArray[np.float32],
    pred: NDArray[np.uint8],
    rule: Thresholds | None,
    train_support: Sequence[int] | None,
) -> tuple[LabelResult, ...]:
    by_label = metrics.counts(y, pred)
    precision, recall, f1 = by_label.precision, by_label.recall, by_label.f1
    ap, auc = metrics.average_precision(y, proba), metrics.roc_auc(y, proba)
    ece, brier = metrics.ece(y, proba), metrics.brier(y, proba)
    return tuple(
        LabelResult(
            key=label.key,
            ko=label.ko,
            en=label.en,
            precision=float(precision[column]),
            recall=float(recall[column]),
            f1=float(f1[column]),
            ap=_maybe(ap[column]),
            roc_auc=_maybe(auc[column]),
            threshold=rule.values[column] if rule and rule.values else None,
            threshold_low=rule.low[column] if rule and rule.low else None,
            threshold_high=rule.high[column] if rule and rule.high else None,
            support=int(y[:, column].sum()),
            train_support=None if train_support is None else int(train_support[column]),
            predicted=int(pred[:, column].sum()),
            ece=float(ece[column]),
            brier=float(brier[column]),
        )
        for column, label in enumerate(task.labels)
    )


def _curves(
    y: NDArray[np.uint8], proba: NDArray[np.float32], pred: NDArray[np.uint8], threshold: float | None
) -> LabelCurves:
    """Exact points of one label's curves, thinned out so that the optimum and the cut in force stay."""
    bins = _bins(metrics.reliability(y, proba))
    if not y.any():
        return LabelCurves((), (), (), (), (), (), bins)
    whole = curve(y, proba)
    passing = int(pred.sum()) if threshold is None else int((proba >= np.float32(threshold)).sum())
    now = min(int(np.searchsorted(whole.passed, passing)), len(whole.cuts) - 1)
    by_cut = _thin_by_cut(whole, now)
    by_recall = _thin_by_recall(whole, now)
    nothing = whole.passed[by_cut] == 0
    return LabelCurves(
        threshold=_rounded(whole.cuts[by_cut], 6),
        precision=tuple(
            None if bare else value for bare, value in zip(nothing, _rounded(whole.precision[by_cut]), strict=True)
        ),
        recall=_rounded(whole.recall[by_cut]),
        f1=_rounded(whole.f1[by_cut]),
        pr_recall=_rounded(whole.recall[by_recall]),
        pr_precision=_rounded(whole.precision[by_recall]),
        reliability=bins,
    )


def _thin_by_cut(whole: Curve, now: int) -> NDArray[np.int64]:
    """At most ``_POINTS`` rows of a curve: half spread evenly over the thresholds, half over the passing rows."""
    m = len(whole.cuts)
    if m <= _POINTS:
        return np.arange(m)
    half = (_POINTS - 2) // 2
    even = np.searchsorted(-whole.cuts, -np.linspace(whole.cuts[0], whole.cuts[-1], half))
    ranks = np.linspace(0, m - 1, half).round().astype(np.int64)
    return np.unique(np.concatenate([np.minimum(even, m - 1), ranks, [now, int(np.argmax(whole.f1))]]))


def _thin_by_recall(whole: Curve, now: int) -> NDArray[np.int64]:
    """At most ``_POINTS`` rows of a curve, spread evenly over recall, without the point where nothing passes."""
    m = len(whole.cuts)
    if m <= _POINTS:
        return np.arange(1, m)
    even = np.searchsorted(whole.recall, np.linspace(0, 1, _POINTS - 3) - 1e-12)
    picked = np.concatenate([even, [1, max(now, 1), m - 1]])
    return np.unique(np.clip(picked, 1, m - 1))


def _bins(points: Iterable[tuple[float, float, int]]) -> tuple[tuple[float, float, int], ...]:
    return tuple((round(mean, 5), round(share, 5), size) for mean, share, size in points)


def _rounded(values: Floats, digits: int = 4) -> tuple[float, ...]:
    return tuple(round(float(value), digits) for value in values)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


# -- from JSON ----------------------------------------------------------------------------------------------------


def _read_label(item: Mapping[str, Any]) -> LabelResult:
    trained = item["train_support"]
    return LabelResult(
        key=_word(item["key"]),
        ko=_word(item["ko"]),
        en=_word(item["en"]),
        precision=_number(item["precision"]),
        recall=_number(item["recall"]),
        f1=_number(item["f1"]),
        ap=_maybe(item["ap"]),
        roc_auc=_maybe(item["roc_auc"]),
        threshold=_maybe(item["threshold"]),
        threshold_low=_maybe(item["threshold_low"]),
        threshold_high=_maybe(item["threshold_high"]),
        support=_whole(item["support"]),
        train_support=None if trained is None else _whole(trained),
        predicted=_whole(item["predicted"]),
        ece=_number(item["ece"]),
        brier=_number(item["brier"]),
    )


def _read_curves(item: Mapping[str, Any]) -> LabelCurves:
    numbers = {
        name: tuple(_number(value) for value in item[name])
        for name in ("threshold", "recall", "f1", "pr_recall", "pr_precision")
    }
    precision = tuple(_maybe(value) for value in item["precision"])
    lengths = {len(precision), *(len(numbers[name]) for name in ("threshold", "recall", "f1"))}
    if len(lengths) > 1 or len(numbers["pr_recall"]) != len(numbers["pr_precision"]):
        raise ValueError("curves: lengths differ")
    return LabelCurves(**numbers, precision=precision, reliability=_read_bins(item["reliability"]))


def _read_bins(points: Sequence[Sequence[Any]]) -> tuple[tuple[float, float, int], ...]:
    return tuple((_number(mean), _number(share), _whole(size)) for mean, share, size in points)


def _word(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"text expected, got {value!r}")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"true or false expected, got {value!r}")
    return value


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"whole number expected, got {value!r}")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(f"number expected, got {value!r}")
    return float(value)


def _maybe(value: Any) -> float | None:
    """A finite number, or None for None and NaN."""
    return None if value is None or math.isnan(value) else _number(float(value))


def _ends(pair: Sequence[Any]) -> tuple[float, float]:
    low, high = pair
    return _number(low), _number(high)


def _one_of(value: Any, allowed: tuple[str, ...]) -> Any:
    if value not in allowed:
        raise ValueError(f"{value!r} is not one of {', '.join(allowed)}")
    return value


def _plain(value: Any) -> Any:
    """JSON data for a value from Python or numpy; NaN and infinity become None, anything unknown its ``str``."""
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, np.generic | np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(inner) for inner in (sorted(value, key=str) if isinstance(value, set | frozenset) else value)]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return value.as_posix() if isinstance(value, Path) else str(value)


def _lists(value: tuple[Any, ...]) -> list[Any]:
    return [list(item) if isinstance(item, tuple) else item for item in value]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


# -- layout -------------------------------------------------------------------------------------------------------


_WORDS = {
    "train": ("학습 데이터", "training data"),
    "valid": ("검증 데이터", "validation data"),
    "data": ("데이터", "data"),
    "taxonomy": ("라벨 대응", "label map"),
    "stress": ("흔들기 시험", "stress test"),
    "phenomena": ("어려운 문장", "hard sentences"),
    "measured": ("잰 것", "measured"),
    "contrast": ("대조", "contrast"),
    "negation": ("부정", "negation"),
    "sarcasm": ("반어", "sarcasm"),
    "comparison": ("비교", "comparison"),
    "conditional": ("조건", "conditional"),
    "reversal": ("뒤집힘", "reversal"),
    "right": ("방향이 맞음", "right side"),
    "found": ("속성을 찾음", "aspect found"),
    "count": ("수", "count"),
    "review": ("속성과 감성", "aspects and grades"),
    "aspect_micro_f1": ("속성 마이크로 F1", "aspects, micro-F1"),
    "aspect_macro_f1": ("속성 매크로 F1", "aspects, macro-F1"),
    "sentiment": ("감성 단계", "grades"),
    "sentiment_accuracy": ("감성 정확도", "grades, accuracy"),
    "sentiment_macro_f1": ("감성 매크로 F1", "grades, macro-F1"),
    "sentiment_error": ("등급 차이 평균", "grades off, mean"),
    "pipeline_micro_f1": ("속성+감성 마이크로 F1", "both, micro-F1"),
    "pipeline_macro_f1": ("속성+감성 매크로 F1", "both, macro-F1"),
    "confusion": ("등급 혼동(행 = 정답)", "confusion of grades (row = given)"),
    "grades": ("등급", "grades"),
    "pairs": ("정답 (글, 속성) 쌍", "given (text, aspect) pairs"),
    "versions": ("버전", "versions"),
    "seconds": ("걸린 시간(초)", "seconds"),
    "rows": ("행", "rows"),
    "results": ("결과", "results"),
    "coverage": ("범위", "coverage"),
    "source": ("원본", "source"),
    "target": ("대상", "target"),
    "targets": ("대상", "targets"),
    "kind": ("종류", "kind"),
    "note": ("설명", "note"),
    "fingerprint": ("지문", "fingerprint"),
    "support": ("라벨별 정답 수", "support"),
    "row_flips": ("바뀐 행 비율", "rows flipped"),
    "cell_flips": ("바뀐 판정 비율", "decisions flipped"),
    "mean_shift": ("확률 변화 평균", "mean shift"),
    "grade_flips": ("바뀐 등급 비율", "grades flipped"),
    "graded_pairs": ("앞뒤 모두 찾은 (글, 속성) 쌍", "(text, aspect) pairs found before and after"),
    **_METRICS,
}
"""Names of fields often found in ``extra``."""

_ROWS = {
    "none": ("그대로", "unchanged"),
    "no_spaces": ("띄어쓰기 없음", "no spaces"),
    "typos": ("모음 오타", "vowel typos"),
    "laughter": ("ㅋㅋ 덧붙임", "ㅋㅋ at the end"),
    "emoji": ("이모지 덧붙임", "emoji at the end"),
    "punctuation": ("마침표 바꿈", "other full stops"),
    "nfd": ("NFD 글자", "NFD letters"),
    "invisible": ("보이지 않는 글자", "invisible characters"),
    "all": ("모두", "all"),
}
"""Names of rows of the sections ``stress`` and ``phenomena``; elsewhere such a word is a label's key."""


def field_name(field: str) -> str:
    """The words for a field that is often found in ``extra``, in the language in force; else the field itself."""
    return say(*_WORDS.get(field, (field, field)))


def row_name(row: str) -> str:
    """The words for a row of the sections ``stress`` and ``phenomena``, in the language in force; else the row itself."""
    return say(*_ROWS.get(row, (row, row)))


def _leaves(extra: Mapping[str, Any]) -> list[tuple[tuple[str, ...], Any]]:
    """(path, value) of every entry, one level below objects that are not tables themselves."""
    found: list[tuple[tuple[str, ...], Any]] = []
    for name, value in extra.items():
        if isinstance(value, Mapping) and _as_table(value) is None:
            found += [((name, inner), item) for inner, item in value.items()]
        else:
            found.append(((name,), value))
    return found


def _as_table(value: Any, called: Callable[[str], str] = str) -> tuple[list[str], list[list[str]]] | None:
    """Headings and cells of a list of objects, or of an object of objects (names first); None for anything else.

    Args:
        called: the words for the names of an object's rows.
    """
    if isinstance(value, Mapping) and value and all(isinstance(row, Mapping) and row for row in value.values()):
        rows = [{"": called(name), **row} for name, row in value.items()]
    elif isinstance(value, list) and value and all(isinstance(row, Mapping) and row for row in value):
        rows = value
    else:
        return None
    heads = list(dict.fromkeys(head for row in rows for head in row))
    return [field_name(head) for head in heads], [[_worded(row.get(head)) for head in heads] for row in rows]


def _worded(value: Any) -> str:
    """Plain data in words."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_worded(item)}" for name, item in value.items())
    return ", ".join(map(_worded, value)) if isinstance(value, list) else _json(value)


def _show(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _show_count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _shown_threshold(label: LabelResult) -> str:
    """The threshold, with its interval if there is one; above 1 it is never passed."""
    if label.threshold is None:
        return "-"
    value = _show(label.threshold) if label.threshold <= 1 else ">1"
    if label.threshold_low is None or label.threshold_high is None:
        return value
    return f"{value} [{label.threshold_low:.3f}, {label.threshold_high:.3f}]"


def _name_of(report: Report, number: int) -> str:
    return report.model or f"#{number}"


def _with_best(values: Sequence[float | None], digits: int, *, lowest: bool = False) -> list[str]:
    """Values as text, the best bold where they differ."""
    shown = [_show(value, digits) for value in values]
    known = [value for value in values if value is not None]
    if len({_show(value, digits) for value in known}) < 2:
        return shown
    best = _show(min(known) if lowest else max(known), digits)
    return [f"**{value}**" if value == best else value for value in shown]


def _listed(keys: Sequence[str], most: int = 8) -> str:
    return ", ".join(keys[:most]) + (", …" if len(keys) > most else "")


def _md(text: str) -> str:
    """Text that Markdown shows as it is, in a table too."""
    escaped = re.sub(r"([\\|*_`\[\]])", r"\\\1", tidy(text))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _md_table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, words: bool = False) -> list[str]:
    """Lines of a table whose first column is text and whose others are numbers or ``words``, all escaped already."""
    lines = [f"| {' | '.join(heads)} |", "|---" + ("|---" if words else "|---:") * (len(heads) - 1) + "|"]
    return lines + [f"| {' | '.join(row)} |" for row in rows]
