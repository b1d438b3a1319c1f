"""Reports: numbers against scikit-learn, round trips, every form of a report, and awkward inputs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from maeum import _svg
from maeum._lang import set_language
from maeum._tables import display_width
from maeum.errors import FormatError, UsageError
from maeum.report import Report, compare, make_report, text_table
from maeum.task import Kind, Label, Task, get_task
from maeum.thresholds import ABOVE_ALL, Thresholds, tune_thresholds

GOLDEN = Path(__file__).parents[1] / "golden"
EVIL = "<script>alert(1)</script>"


@pytest.fixture(autouse=True)
def _korean() -> Iterator[None]:
    set_language("ko")
    yield
    set_language(None)


def a_task(kind: Kind = "multilabel", keys: tuple[str, ...] = ("기쁨", "슬픔", "분노", "놀람")) -> Task:
    return Task("연습", kind, tuple(Label(key, en=f"en-{index}") for index, key in enumerate(keys)))


def rows_of(task: Task, n: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    k = len(task)
    if task.kind == "multiclass":
        y = np.eye(k, dtype=np.uint8)[rng.integers(k, size=n)]
        raw = np.exp(rng.normal(size=(n, k)) + 1.5 * y)
        return y, (raw / raw.sum(1, keepdims=True)).astype(np.float32)
    score = rng.normal(size=(n, k)) - np.linspace(0.2, 1.5, k)
    y = (score + rng.normal(size=(n, k)) > 0).astype(np.uint8)
    return y, (1 / (1 + np.exp(-1.5 * score))).astype(np.float32)


def a_report(kind: Kind = "multilabel", n: int = 300, **words: Any) -> Report:
    task = a_task(kind)
    y, proba = rows_of(task, n)
    rule = tune_thresholds(y, proba, task, resamples=20, tuned_on="다른 행")
    return make_report(task, y, proba, rule, **{"data": "연습.csv", "model": "가짜 모델", "resamples": 50} | words)


# -- numbers ------------------------------------------------------------------------------------------------------


def test_multilabel_numbers_are_those_of_scikit_learn() -> None:
    task = a_task()
    y, proba = rows_of(task)
    rule = tune_thresholds(y, proba, task)
    pred = rule.decide(proba)
    report = make_report(task, y, proba, rule, data="x", resamples=0)
    for average in ("micro", "macro", "weighted", "samples"):
        expected = sk.f1_score(y, pred, average=average, zero_division=0)
        assert report.metrics[f"{average}_f1"] == pytest.approx(expected)
    assert report.metrics["subset_accuracy"] == pytest.approx(sk.accuracy_score(y, pred))
    assert report.metrics["macro_roc_auc"] == pytest.approx(sk.roc_auc_score(y, proba, average="macro"))
    assert report.metrics["macro_ap"] == pytest.approx(sk.average_precision_score(y, proba, average="macro"))
    brier = [sk.brier_score_loss(y[:, c], proba[:, c]) for c in range(4)]
    assert report.metrics["mean_brier"] == pytest.approx(np.mean(brier))
    assert report.metrics["predicted_labels_per_row"] == pytest.approx(pred.sum(1).mean())
    assert report.metrics["empty_predictions"] == pytest.approx((pred.sum(1) == 0).mean())
    assert report.intervals == {}
    columns = sk.precision_recall_fscore_support(y, pred, zero_division=0)
    for label, precision, recall, f1, support in zip(report.labels, *columns, strict=True):
        assert (label.precision, label.recall, label.f1) == pytest.approx((precision, recall, f1))
        assert label.support == support
    assert [label.predicted for label in report.labels] == pred.sum(0).tolist()
    assert report.matrix == tuple(map(tuple, (y.T.astype(int) @ y).tolist()))
    assert "accuracy" not in report.metrics


def test_multiclass_numbers_are_those_of_scikit_learn() -> None:
    task = a_task("multiclass")
    y, proba = rows_of(task)
    report = make_report(task, y, proba, Thresholds.default(task), data="x", resamples=30)
    gold, pred = y.argmax(1), proba.argmax(1)
    assert report.metrics["accuracy"] == pytest.approx(sk.accuracy_score(gold, pred))
    assert report.intervals["accuracy"] == report.intervals["subset_accuracy"]
    assert report.metrics["macro_f1"] == pytest.approx(sk.f1_score(gold, pred, average="macro"))
    assert report.metrics["macro_roc_auc"] == pytest.approx(sk.roc_auc_score(gold, proba, multi_class="ovr"))
    assert report.matrix_kind == "confusion"
    assert report.matrix == tuple(map(tuple, sk.confusion_matrix(gold, pred).tolist()))
    assert all(label.threshold is None for label in report.labels)
    assert sum(size for _, _, size in report.reliability) == len(y)


def test_curves_are_thinned_but_keep_the_optimum_and_the_cut_in_force() -> None:
    task = a_task(keys=("하나",))
    y, proba = rows_of(task, n=5000)
    rule = tune_thresholds(y, proba, task, objective="macro-f1")
    report = make_report(task, y, proba, rule, data="x", resamples=0)
    (curves,) = report.curves
    assert 100 < len(curves.threshold) <= 120
    assert 100 < len(curves.pr_recall) <= 120
    assert max(curves.f1) == pytest.approx(report.labels[0].f1, abs=1e-4)
    assert list(curves.threshold) == sorted(curves.threshold, reverse=True)
    assert list(curves.pr_recall) == sorted(curves.pr_recall)
    near = min(
        zip(curves.pr_recall, curves.pr_precision, strict=True), key=lambda p: abs(p[0] - report.labels[0].recall)
    )
    assert near == pytest.approx((report.labels[0].recall, report.labels[0].precision), abs=1e-4)
    for cut, recall in list(zip(curves.threshold, curves.recall, strict=True))[::10]:
        expected = (y[:, 0] & (proba[:, 0] >= np.float32(cut))).sum() / y.sum()
        assert recall == pytest.approx(expected, abs=2e-3)


def test_decisions_made_elsewhere_are_judged_as_they_are() -> None:
    task = a_task()
    y, proba = rows_of(task)
    report = make_report(task, y, proba, Thresholds.default(task), decided=y, data="x", resamples=0)
    assert report.metrics["micro_f1"] == 1
    assert report.decided
    assert all(label.threshold is None for label in report.labels)
    assert "기준값 |" not in report.to_markdown()
    assert Report.from_json(report.to_json()) == report


# -- as data ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["multilabel", "multiclass"])
def test_json_round_trip(kind: Kind) -> None:
    extra = {"train": {"rows": np.int64(3), "path": Path("a/b"), "nan": np.nan, "set": {"b", "a"}}, "x": np.arange(2)}
    report = a_report(kind, notes=["메모"], extra=extra, train_support=[1, 2, 3, 4], tuned_on_same_rows=True)
    assert Report.from_json(report.to_json()) == report
    assert Report.from_dict(report.to_dict()).to_json() == report.to_json()
    assert report.extra["train"] == {"rows": 3, "path": "a/b", "nan": None, "set": ["a", "b"]}
    assert "NaN" not in report.to_json()
    assert report.with_extra(stress={"a": (1, 2)}).extra == {**report.extra, "stress": {"a": [1, 2]}}


def broken() -> list[Any]:
    return [
        pytest.param(lambda d: d.pop("labels"), id="missing"),
        pytest.param(lambda d: d.update(format_version=99), id="newer"),
        pytest.param(lambda d: d.update(n="3"), id="type"),
        pytest.param(lambda d: d.update(kind="other"), id="kind"),
        pytest.param(lambda d: d["labels"][0].update(f1="<b>"), id="label"),
        pytest.param(lambda d: d["labels"][0].update(support=True), id="bool"),
        pytest.param(lambda d: d["curves"][0]["recall"].pop(), id="curve"),
        pytest.param(lambda d: d["curves"].pop(), id="curves"),
        pytest.param(lambda d: d["matrix"][0].pop(), id="matrix"),
        pytest.param(lambda d: d.update(metrics=3), id="metrics"),
        pytest.param(lambda d: d["metrics"].update(micro_f1="high"), id="metric"),
        pytest.param(lambda d: d["intervals"].update(micro_f1=[0.1]), id="interval"),
        pytest.param(lambda d: d["thresholds"].pop("keys"), id="thresholds"),
        pytest.param(lambda d: d["reliability"].append([0.1]), id="reliability"),
    ]


@pytest.mark.parametrize("change", broken())
def test_wrong_data_is_a_format_error(change: Any) -> None:
    data = json.loads(a_report().to_json())
    change(data)
    with pytest.raises(FormatError, match=r"보고서\(report.json\)를 읽을 수 없습니다"):
        Report.from_dict(data)


def test_what_is_not_json_is_a_format_error() -> None:
    with pytest.raises(FormatError, match="JSON이 아닙니다"):
        Report.from_json("{")
    with pytest.raises(FormatError):
        Report.from_json("[1]")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"y": np.zeros((0, 4))}, "모양이어야"),
        ({"y": np.zeros((0, 4)), "proba": np.zeros((0, 4))}, "행이 없습니다"),
        ({"proba": np.full((300, 4), np.nan)}, "0과 1 사이"),
        ({"proba": np.full((300, 4), 1.5)}, "0과 1 사이"),
        ({"y": np.full((300, 4), 2)}, "0과 1로 된"),
        ({"decided": np.zeros((3, 4))}, "0과 1로 된"),
        ({"train_support": [1]}, "4개여야"),
        ({"thresholds": Thresholds(("a",), (0.5,))}, "라벨과 다릅니다"),
    ],
)
def test_wrong_arguments(change: dict[str, Any], match: str) -> None:
    task = a_task()
    y, proba = rows_of(task)
    words: dict[str, Any] = {"y": y, "proba": proba, "thresholds": Thresholds.default(task), "data": "x"} | change
    with pytest.raises(UsageError, match=match):
        make_report(task, **words)


def test_a_multiclass_row_needs_one_gold_label() -> None:
    task = a_task("multiclass")
    y, proba = rows_of(task)
    with pytest.raises(UsageError, match="정확히 하나"):
        make_report(task, np.zeros_like(y), proba, Thresholds.default(task), data="x")


# -- words --------------------------------------------------------------------------------------------------------


def test_the_warning_comes_first_in_every_form() -> None:
    report = a_report(tuned_on_same_rows=True, notes=["메모"])
    assert "실제보다 높게 나옵니다" in report.warnings()[0]
    assert report.warnings()[-1] == "메모"
    for form in (report.to_markdown(), report.summary(), report.to_html(), report._repr_html_(), report.to_json()):
        assert "실제보다 높게 나옵니다" in form
    assert "higher than they would be" in report.to_json()
    set_language("en")
    assert "higher than they would be" in report.warnings()[0]
    assert 'lang="en"' in report.to_html()


@pytest.mark.parametrize("language", ["ko", "en"])
def test_golden_markdown(language: Any) -> None:
    set_language(language)
    task = Task("연습", "multilabel", (Label("joy", "기쁨", "joy"), Label("a|b", "가*나", ""), Label("없음")))
    y = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0]], np.uint8)
    proba = np.array([[0.9, 0.1, 0.2], [0.6, 0.4, 0.1], [0.7, 0.8, 0.1], [0.1, 0.2, 0.1]], np.float32)
    rule = Thresholds(task.keys, (0.5, 0.5, ABOVE_ALL), "macro-f1", "argmax", "fold", (0.4, 0.3, 0.1), (0.6, 0.8, 1.0))
    report = make_report(
        task,
        y,
        proba,
        rule,
        data="a_b.csv",
        model="<모델>",
        notes=["첫 줄\n| 둘째"],
        train_support=[20, 10, 0],
        tuned_on_same_rows=True,
        resamples=100,
        extra={"taxonomy": {"rows": [{"source": "가", "targets": ["joy", "a|b"], "note": "*"}]}},
    )
    path = GOLDEN / ("report.md" if language == "ko" else "report.en.md")
    assert report.to_markdown() == path.read_text(encoding="utf-8")


def test_summary_is_aligned_for_a_terminal_and_fits_cp949() -> None:
    report = a_report(train_support=[1, 2, 3, 4])
    text = report.summary()
    text.encode("cp949")
    assert "\x1b" not in a_report(model="\x1b[31m빨강").summary()
    table = text.split("\n\n")[2].splitlines()
    assert [line.split()[0] for line in table[1:5]] == list(report.keys)
    assert len({display_width(line) for line in table}) == 1


def test_summary_of_many_labels_is_cut() -> None:
    task = a_task(keys=tuple(f"라벨{index}" for index in range(80)))
    y, proba = rows_of(task)
    text = make_report(task, y, proba, Thresholds.default(task), data="x", resamples=0).summary()
    assert "라벨 30개" in text
    assert len(text.splitlines()) < 70


def test_text_table_counts_hangul_as_two_columns() -> None:
    assert text_table(["라벨", "n"], [["가나다", "1"], ["a", "10"]]) == "라벨     n\n가나다   1\na       10"
    assert text_table(["a", "b"], [["x", "말"], ["y", "긴 말"]]) == "a  b\nx  말\ny  긴 말"
    assert text_table(["a"], []) == "a"


def test_compare_marks_the_best() -> None:
    good, bad = a_report(model="가"), a_report(model="나", n=200)
    text = compare([good, bad])
    assert text.count("\n|") > 8
    assert "**" in text
    assert "바로 견줄 수 없습니다" in text
    assert compare([]) == ""
    assert "라벨별 F1" not in compare([good])
    mixed = compare([good, a_report("multiclass", model="다")])
    assert "정확도" in mixed


# -- HTML ---------------------------------------------------------------------------------------------------------


class _Checker(HTMLParser):
    """Collects tags and attributes, and checks that tags are closed in order."""

    void = frozenset({"meta", "br", "path", "rect", "circle", "polyline"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.void:
            assert self.open.pop() == tag


def evil_report(kind: Kind = "multilabel") -> Report:
    task = Task(
        EVIL, kind, (Label(EVIL, ko=f'"><img src=x onerror="{EVIL}">', en="\x00\ud800&"), Label("b'\"<"), Label("c"))
    )
    y, proba = rows_of(task)
    rule = tune_thresholds(y, proba, task, tuned_on=EVIL, resamples=5)
    extra = {EVIL: {EVIL: EVIL}, "rows": [{EVIL: EVIL}], "list": [EVIL]}
    return make_report(task, y, proba, rule, data=EVIL, model=EVIL, notes=[EVIL], extra=extra, resamples=10)


@pytest.mark.parametrize("kind", ["multilabel", "multiclass"])
@pytest.mark.parametrize("language", ["ko", "en"])
def test_html_escapes_everything(kind: Kind, language: Any) -> None:
    set_language(language)
    report = evil_report(kind)
    for text in (report.to_html(), report._repr_html_()):
        text.encode("utf-8")
        assert EVIL not in text
        assert "&lt;script&gt;" in text
        checked = _Checker(text)
        assert not checked.open
        names = [tag for tag, _ in checked.tags]
        assert names.count("script") == ("<!doctype" in text)
        assert not {"img", "link", "iframe", "object", "form"} & set(names)
        for tag, attributes in checked.tags:
            assert not [name for name in attributes if name.startswith("on")], tag
            assert not (attributes.get("href") or "#").replace("#", "", 1).startswith("javascript")
            assert "src" not in attributes
    assert EVIL not in report.to_markdown()


def test_html_is_self_contained_with_a_strict_policy() -> None:
    text = a_report().to_html()
    assert text.startswith('<!doctype html>\n<html lang="ko">\n<head>\n<meta charset="utf-8">')
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    assert policy.group(1).startswith("default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-")
    assert "http" not in re.sub(r"http-equiv", "", text)
    assert "url(" not in text
    ids = [attributes["id"] for _, attributes in _Checker(text).tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [attributes["href"] for tag, attributes in _Checker(text).tags if tag == "a"]
    assert {(link or "")[1:] for link in links} <= set(ids)


def test_every_chart_has_a_name() -> None:
    text = a_report().to_html()
    for chart in re.findall(r"<svg.*?</svg>", text, re.S):
        assert "aria-hidden" in chart[:80] or re.match(
            r'<svg role="img" viewBox="[\d. ]+"[^>]*><title>[^<]+</title>', chart
        )
    numbers = re.findall(r'(?:points|d|x|y|cx|cy|width|height)="([^"]*)"', text)
    assert not any("nan" in value or "inf" in value for value in numbers)


def test_the_page_of_44_labels_is_light() -> None:
    task = get_task("kote")
    y, proba = rows_of(task, n=3000)
    report = make_report(task, y, proba, tune_thresholds(y, proba, task), data="kote", resamples=10)
    assert len(report.to_html().encode()) < 1_500_000
    assert len(report.to_json().encode()) < 1_000_000
    assert len(report._repr_html_().encode()) < 60_000


def test_the_page_of_very_many_labels_is_light_too() -> None:
    task = a_task(keys=tuple(f"라벨{index}" for index in range(300)))
    y, proba = rows_of(task, n=1000)
    text = make_report(task, y, proba, Thresholds.default(task), data="x", resamples=0).to_html()
    assert len(text.encode()) < 2_500_000
    assert "300개 가운데" in text


# -- awkward inputs -----------------------------------------------------------------------------------------------


def all_forms(report: Report) -> None:
    assert Report.from_json(report.to_json()) == report
    assert report.summary()
    assert report.to_markdown()
    assert not _Checker(report.to_html()).open
    assert report._repr_html_()
    assert compare([report, report])


@pytest.mark.parametrize("gold", [0, 1])
@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_one_row_one_label(gold: int, p: float) -> None:
    task = a_task(keys=("하나",))
    rule = Thresholds(task.keys, (0.5,))
    report = make_report(task, np.array([[gold]]), np.array([[p]]), rule, data="x", resamples=20)
    assert report.labels[0].roc_auc is None
    assert (report.labels[0].ap is None) == (gold == 0)
    all_forms(report)


def test_a_label_without_positives() -> None:
    task = a_task()
    y, proba = rows_of(task)
    y[:, 1] = 0
    y[5:, 2] = 0
    report = make_report(task, y, proba, Thresholds.default(task), data="x", resamples=10)
    assert report.labels[1].ap is None
    assert report.metrics["macro_ap"] == pytest.approx(np.mean([report.labels[c].ap for c in (0, 2, 3)]))  # type: ignore[arg-type]
    assert "1개입니다(슬픔)" in report.warnings()[0]
    assert "10개 미만인 라벨이 1개입니다(분노)" in report.warnings()[1]
    assert report.curves[1].threshold == ()
    assert "정답이 없어 곡선을 그릴 수 없습니다" in report.to_html()
    all_forms(report)


def test_nothing_is_ever_predicted() -> None:
    task = a_task()
    y, proba = rows_of(task)
    rule = Thresholds(task.keys, (ABOVE_ALL,) * 4)
    report = make_report(task, y, proba, rule, data="x", resamples=10)
    assert report.metrics["empty_predictions"] == 1
    assert report.metrics["micro_f1"] == 0
    assert "&gt;1" in report.to_html()
    assert "| >1 |" in report.to_markdown()
    all_forms(report)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_constant_probabilities(value: float) -> None:
    task = a_task()
    y, _ = rows_of(task)
    proba = np.full(y.shape, value)
    all_forms(make_report(task, y, proba, tune_thresholds(y, proba, task), data="x", resamples=5))


def test_no_gold_label_at_all() -> None:
    task = a_task()
    y, proba = rows_of(task)
    report = make_report(task, np.zeros_like(y), proba, Thresholds.default(task), data="x", resamples=5)
    assert report.metrics["macro_ap"] is None
    assert report.metrics["macro_roc_auc"] is None
    all_forms(report)


def test_a_multiclass_task_with_thresholds_has_no_confusion_matrix() -> None:
    task = a_task("multiclass")
    y, proba = rows_of(task)
    report = make_report(task, y, proba, Thresholds(task.keys, (0.9,) * 4), data="x", resamples=5)
    assert report.matrix_kind == "cooccurrence"
    all_forms(report)


# -- charts -------------------------------------------------------------------------------------------------------


def test_widths_and_cuts_of_text() -> None:
    assert display_width("가a") == 3
    assert display_width("\u1100\u1161") == 2  # decomposed, as macOS writes file names
    assert _svg.text_width("가나", 10) == pytest.approx(20)
    assert _svg.shorten("가나다라마", 30, 10).endswith("…")
    assert _svg.shorten("가나", 30, 10) == "가나"


@pytest.mark.parametrize("high", [0, 1, 3, 9, 10, 99, 1234, 5_000_000])
def test_ticks_cover_the_largest_value(high: float) -> None:
    found = _svg.ticks(high)
    assert found[0] == 0
    assert found[-1] >= max(high, 1)
    assert len(found) <= 7


def test_rows_of_a_table_are_renamed_in_the_stress_section_only() -> None:
    perturbed = {"rows": 9, "results": {"none": {"row_flips": 0.25}, "emoji": {"row_flips": 0.5}}}
    labels = {"none": {"f1": 0.5}, "emoji": {"f1": 0.75}}
    text = a_report(extra={"stress": perturbed, "mine": labels}).to_markdown()
    assert "| 그대로 | 0.25 |" in text
    assert "| 이모지 덧붙임 | 0.5 |" in text
    assert "| none | 0.5 |" in text
    assert "| emoji | 0.75 |" in text
