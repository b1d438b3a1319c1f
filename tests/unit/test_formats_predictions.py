"""Predictions: ours out and in, other people's files, and whose row is whose."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import maeum
from maeum import formats
from maeum.data import Dataset, Example, Input, Target
from maeum.errors import DataError, UsageError
from maeum.evaluation import judge, score_predictions
from maeum.formats import PredictionRow, align, is_predictions_file, read_predictions
from maeum.task import builtin_task
from maeum.thresholds import Thresholds

EA = builtin_task("nikl-ea")
PERCENT = {
    "joy": 52.43,
    "anticipation": 30.4,
    "trust": 16.59,
    "surprise": 0.0,
    "disgust": 0.01,
    "fear": 0.03,
    "anger": 0.01,
    "sadness": 0.05,
}
OTHER = dict(zip(PERCENT, [1, 2, 3, 4, 5, 6, 7, 99.5], strict=True))
TEXTS = ("주인공의 노래 기대된다", "또 회의 참석 지겹다")
TARGETS = ("주인공의 노래", "회의")


def dataset(*texts: str, targets: tuple[str | None, ...] = TARGETS, ids: tuple[str, ...] = ("x", "y")) -> Dataset:
    rows = []
    for name, text, form in zip(ids, texts or tuple(text + "!" for text in TEXTS), targets, strict=True):
        target = Target(form, text.index(form), text.index(form) + len(form)) if form else None
        rows.append(Example(name, text, target, ()))
    return Dataset(EA, rows)


def flat(index: int, **more: Any) -> dict[str, Any]:
    return {"text": TEXTS[index], "target": TARGETS[index]} | more | (PERCENT, OTHER)[index]


LAYOUTS: dict[str, Any] = {
    "flat": [flat(0), flat(1)],
    "nested": [{"text": TEXTS[0], "target": TARGETS[0], "emo": PERCENT}, {"text": TEXTS[1], "target": TARGETS[1], "emo": OTHER}],
    "deep": [{"text": t, "target": f, "predict": {"probs": s}} for t, f, s in zip(TEXTS, TARGETS, (PERCENT, OTHER), strict=True)],
    "list": [[TEXTS[0], TARGETS[0], PERCENT], [TEXTS[1], TARGETS[1], OTHER]],
    "by number": {"0": flat(0), "1": flat(1)},
    "under a key": {"data": [flat(0), flat(1)]},
    "korean": [
        {"text": t, "target": f, "기쁨": s["joy"], "기대": s["anticipation"], "신뢰": s["trust"], "당황": s["surprise"],
         "혐오": s["disgust"], "공포": s["fear"], "분노": s["anger"], "슬픔": s["sadness"]}
        for t, f, s in zip(TEXTS, TARGETS, (PERCENT, OTHER), strict=True)
    ],
    "strings": [flat(i) | {k: f"{v}%" for k, v in (PERCENT, OTHER)[i].items()} for i in (0, 1)],
    "nikl": [
        {"id": n, "input": {"form": t, "target": {"form": f, "begin": t.index(f), "end": t.index(f) + len(f)}}, "output": s}
        for n, t, f, s in zip("xy", TEXTS, TARGETS, (PERCENT, OTHER), strict=True)
    ],
    "repeated": [flat(0), flat(0), flat(1), flat(1), flat(1)],
    "scores only": [PERCENT, OTHER],
}  # fmt: skip


class TestOtherPeoples:
    @pytest.mark.parametrize("shape", ["document", "indented", "lines"])
    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_layouts(self, layout: str, shape: str, tmp_path: Path) -> None:
        value = LAYOUTS[layout]
        path = tmp_path / "dev_data_clean_predict.json"
        if shape == "lines" and isinstance(value, list) and layout != "list":
            path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in value), encoding="utf-8")
        else:
            path.write_text(
                json.dumps(value, ensure_ascii=False, indent=1 if shape == "indented" else None), encoding="utf-8"
            )
        assert is_predictions_file(path)
        found = read_predictions(path, EA)
        assert len(found) == 2
        expected = np.array([list(PERCENT.values()), list(OTHER.values())]) / 100
        np.testing.assert_allclose(found.scores, expected, atol=1e-7)
        assert found.scores.dtype == np.float32
        assert found.labels is None
        if layout == "scores only":
            assert found.inputs is None
        else:
            target = Target("주인공의 노래", 0, 7)
            assert found.inputs is not None
            assert found.inputs[0] == Input(TEXTS[0], target)

    def test_probabilities_stay(self, tmp_path: Path) -> None:
        path = tmp_path / "p.json"
        path.write_text(json.dumps([{key: value / 100 for key, value in PERCENT.items()}]), encoding="utf-8")
        assert read_predictions(path, EA).scores[0, 0] == np.float32(0.5243)

    @pytest.mark.parametrize("value", [-0.1, 100.5, float("nan"), float("inf")])
    def test_neither_probability_nor_percentage(self, value: float, tmp_path: Path) -> None:
        path = tmp_path / "p.json"
        path.write_text(json.dumps([PERCENT, PERCENT | {"joy": value}]), encoding="utf-8")
        with pytest.raises(DataError, match=r"p.json: row 2 has score .*neither a probability"):
            read_predictions(path, EA)

    def test_missing_label(self, tmp_path: Path) -> None:
        path = tmp_path / "p.jsonl"
        short = {key: value for key, value in PERCENT.items() if key != "fear"}
        path.write_text(json.dumps(PERCENT) + "\n" + json.dumps(short) + "\n", encoding="utf-8")
        with pytest.raises(DataError, match=r"p.jsonl:2: every row needs a score for all 8 labels of task 'nikl-ea'"):
            read_predictions(path, EA)

    @pytest.mark.parametrize("content", ["", "[]", '[{"joy": 1'])
    def test_broken(self, content: str, tmp_path: Path) -> None:
        path = tmp_path / "p.json"
        path.write_text(content, encoding="utf-8")
        with pytest.raises(DataError, match=r"p\.json"):
            read_predictions(path, EA)
        assert not is_predictions_file(path)

    def test_repeated_rows_that_differ_stay_apart(self, tmp_path: Path) -> None:
        path = tmp_path / "p.json"
        path.write_text(json.dumps([flat(0), flat(0) | {"joy": 60.0}]), encoding="utf-8")
        assert len(read_predictions(path, EA)) == 2


ROWS = [
    PredictionRow(
        "x",
        '가, "나"\n다',
        Target("가", 0, 1),
        ("joy", "fear"),
        dict(zip(EA.keys, [0.9, 0.1, 0.1, 0.1, 0.1, 0.7, 1 / 3, 0.0], strict=True)),
    ),
    PredictionRow("y", "글", None, (), dict.fromkeys(EA.keys, 0.25)),
]


class TestOurs:
    @pytest.mark.parametrize("format", ["jsonl", "csv", "xlsx", "parquet"])
    def test_out_and_in(self, format: str, tmp_path: Path) -> None:
        path = tmp_path / f"p.{format}"
        formats.write_predictions(ROWS, path, EA, format)
        if format != "parquet":
            assert is_predictions_file(path)
        found = read_predictions(path, EA)
        assert found.ids == ("x", "y")
        assert found.inputs == (Input(ROWS[0].text, ROWS[0].target), Input("글"))
        assert found.labels == (("joy", "fear"), ())
        expected = np.array([list(row.scores.values()) for row in ROWS], dtype=np.float32)
        np.testing.assert_array_equal(found.scores, expected)

    def test_line(self) -> None:
        row = PredictionRow("x", "글", None, ("joy",), {"joy": float(np.float32(1 / 3))}, meta={"n": np.int64(3)})
        assert formats.prediction_line(row) == (
            '{"id": "x", "text": "글", "target": null, "labels": ["joy"], "scores": {"joy": 0.33333334}, "meta": {"n": 3}}'
        )

    def test_read_as_data(self, tmp_path: Path) -> None:
        path = tmp_path / "p.jsonl"
        formats.write_predictions(ROWS, path, EA)
        data = formats.read(path, task=EA)
        assert [row.labels for row in data] == [("joy", "fear"), ()]
        assert data[0].meta == {}

    def test_table_columns(self, tmp_path: Path) -> None:
        formats.write_predictions(ROWS, tmp_path / "p.csv", EA, "csv")
        lines = (tmp_path / "p.csv").read_text(encoding="utf-8-sig").splitlines()
        assert lines[0] == "id,text,target,labels," + ",".join(EA.keys)
        assert lines[-1] == "y,글,,[],0.25,0.25,0.25,0.25,0.25,0.25,0.25,0.25"

    def test_aspects(self, tmp_path: Path) -> None:
        task = builtin_task("review-fashion")
        item = {
            "aspect": "배송",
            "sentiment": "-1",
            "begin": 0,
            "end": 2,
            "score": 0.9,
            "sentiment_scores": {"-1": 0.8},
            "evidence": [[0, 2]],
        }
        row = PredictionRow("x", "배송 느림", None, ("배송",), dict.fromkeys(task.keys, 0.5), (item,))
        formats.write_predictions([row], tmp_path / "p.jsonl", task)
        assert json.loads((tmp_path / "p.jsonl").read_text(encoding="utf-8"))["aspects"] == [item]
        assert read_predictions(tmp_path / "p.jsonl", task).labels == (("배송",),)
        data = formats.read(tmp_path / "p.jsonl", task=task)
        assert data[0].aspects is not None
        assert data[0].aspects[0].sentiment == "-1"
        formats.write_predictions([row], tmp_path / "p.csv", task, "csv")
        assert ",배송 -1,0.5" in (tmp_path / "p.csv").read_text(encoding="utf-8-sig")

    def test_other_formats(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="jsonl, csv, tsv, xlsx, parquet, got 'nikl-ea'"):
            formats.write_predictions(ROWS, tmp_path / "p.x", EA, "nikl-ea")

    def test_id_twice(self, tmp_path: Path) -> None:
        formats.write_predictions([ROWS[0], ROWS[0]], tmp_path / "p.jsonl", EA)
        with pytest.raises(DataError, match="id 'x' occurs twice"):
            read_predictions(tmp_path / "p.jsonl", EA)


def decided(scores: np.ndarray) -> np.ndarray:
    return (scores >= 0.5).astype(np.uint8)


class TestOneByOne:
    """Tables of predictions read row by row say what the whole file says."""

    @pytest.mark.parametrize("format", ["csv", "xlsx", "parquet"])
    def test_as_a_whole(self, format: str, tmp_path: Path) -> None:
        path = tmp_path / f"p.{format}"
        formats.write_predictions(ROWS, path, EA, format)
        rows, whole = list(formats.iter_table_predictions(path, EA, decided)), read_predictions(path, EA)
        assert tuple(row.id for row in rows) == whole.ids
        assert tuple(Input(row.text, row.target) for row in rows) == whole.inputs
        assert tuple(row.labels for row in rows) == whole.labels
        assert [list(row.scores.values()) for row in rows] == whole.scores.tolist()

    def test_percent_and_rows_without_labels_or_ids(self, tmp_path: Path) -> None:
        head = "id,text,labels," + ",".join(EA.keys)
        lines = [head, "a,하나,joy,0.5,60,1,1,1,1,1,1", ",둘,,0.5,40,1,1,1,1,1,100"]
        (tmp_path / "p.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        rows = list(formats.iter_table_predictions(tmp_path / "p.csv", EA, decided))
        whole = read_predictions(tmp_path / "p.csv", EA)
        assert [list(row.scores.values()) for row in rows] == whole.scores.tolist()
        assert [row.id for row in rows] == ["row-000001", "row-000002"]
        assert whole.ids is None
        # a file that lacks labels somewhere is decided on by one rule throughout
        assert [row.labels for row in rows] == [(EA.keys[1],), (EA.keys[7],)]

    @pytest.mark.parametrize("value", ["nan", "-1", "101"])
    def test_no_probability(self, value: str, tmp_path: Path) -> None:
        line = ",".join(["y", "글", "joy", value, *["0.5"] * 7])
        (tmp_path / "p.csv").write_text(f"id,text,labels,{','.join(EA.keys)}\n{line}\n", encoding="utf-8")
        with pytest.raises(DataError, match=r"p\.csv:2.*neither a probability"):
            next(formats.iter_table_predictions(tmp_path / "p.csv", EA, decided))

    def test_memory_does_not_grow(self, tmp_path: Path) -> None:
        import tracemalloc

        text = "긴 글 " * 1000
        row = ROWS[1]
        rows = [PredictionRow(f"r{i}", f"{text}{i}", None, (), row.scores) for i in range(2000)]
        formats.write_predictions(rows, tmp_path / "p.csv", EA, "csv")
        del rows
        tracemalloc.start()
        count = sum(1 for _ in formats.iter_table_predictions(tmp_path / "p.csv", EA, decided))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert count == 2000
        assert peak < (tmp_path / "p.csv").stat().st_size / 4


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", '{"id": "a", "text": "글", "labels": ["joy"]}'),
        ("a.jsonl", '{"id": "a", "input": {"form": "글"}, "output": {"joy": "False", "fear": "True"}}'),
        ("a.jsonl", '{"id": "a", "text": "글", "target": {"form": "글", "begin": 0, "end": 1}, "labels": null}'),
        ("a.json", '{"text": "글", "target": "글", "emo": "기쁨"}'),
        ("a.csv", "id,text,target,labels,memo,n\n1,글,,joy,x,3\n"),
        ("a.csv", "text,label\n글,1\n"),
        ("a.txt", "글"),
        ("a.json", "not json"),
    ],
)
def test_data_is_not_predictions(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert not is_predictions_file(tmp_path / name)
    assert not is_predictions_file(tmp_path)


class TestAlign:
    def predictions(self, folder: Path, *rows: Any) -> formats.Predictions:
        path = folder / "p.json"
        path.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
        return read_predictions(path, EA)

    def test_by_id(self, tmp_path: Path) -> None:
        found = align(self.predictions(tmp_path, flat(1, id="y"), flat(0, id="x")), dataset())
        assert (found.rows.tolist(), found.rule) == ([1, 0], "id")

    def test_ids_of_another_file_do_not_count(self, tmp_path: Path) -> None:
        predictions = self.predictions(tmp_path, flat(1, id="row-000001"), flat(0, id="row-000002"))
        found = align(predictions, dataset(ids=("row-000001", "row-000002")))
        assert (found.rows.tolist(), found.rule) == ([1, 0], "text")

    def test_by_text_and_target(self, tmp_path: Path) -> None:
        rows = [{"text": "가 나", "target": form, **scores} for form, scores in (("가", PERCENT), ("나", OTHER))]
        data = dataset("가 나.", "가 나 ", targets=("나", "가"))
        found = align(self.predictions(tmp_path, *rows, rows[0]), data)
        assert (found.rows.tolist(), found.rule) == ([1, 0], "text")

    def test_by_text_without_targets(self, tmp_path: Path) -> None:
        rows = [{"text": TEXTS[1], **OTHER}, {"text": TEXTS[0], **PERCENT}]
        assert align(self.predictions(tmp_path, *rows), dataset()).rows.tolist() == [1, 0]

    def test_by_order(self, tmp_path: Path) -> None:
        found = align(self.predictions(tmp_path, PERCENT, OTHER), dataset())
        assert (found.rows.tolist(), found.rule) == ([0, 1], "order")
        found = align(self.predictions(tmp_path, flat(0), {**flat(1), "text": "cleaned"}), dataset())
        assert (found.rows.tolist(), found.rule) == ([0, 1], "order")

    def test_by_order_with_merged_rows(self, tmp_path: Path) -> None:
        predictions = self.predictions(tmp_path, flat(0), flat(0), {**flat(1), "text": "cleaned"})
        data = dataset(TEXTS[0], TEXTS[0], TEXTS[1], targets=(TARGETS[0], TARGETS[0], TARGETS[1]), ids=("a", "b", "c"))
        assert align(predictions, data).rows.tolist() == [0, 0, 1]

    def test_nothing_fits(self, tmp_path: Path) -> None:
        predictions = self.predictions(tmp_path, flat(0), flat(0) | {"text": "다른 글"}, flat(0) | {"text": "또"})
        with pytest.raises(
            DataError, match=r"p.json: 3 predictions cannot be matched to 2 rows: 1 matched.*id 'y'.*no prediction"
        ):
            align(predictions, dataset())
        strangers = self.predictions(tmp_path, {**flat(0), "text": "다른"}, {**flat(1), "text": "글"})
        with pytest.raises(DataError, match="0 matched"):
            align(strangers, dataset())

    def test_ambiguous(self, tmp_path: Path) -> None:
        predictions = self.predictions(tmp_path, flat(0), flat(0) | {"joy": 60.0}, flat(1))
        with pytest.raises(DataError, match="several predictions with different scores"):
            align(predictions, dataset())


class TestJudged:
    """The labels of a file were decided by the thresholds of the model that wrote it; 0.5 would judge another model."""

    HIGHEST = (("joy", 0.3), ("fear", 0.2))

    def file(self, folder: Path, *labels: tuple[str, ...] | None) -> Path:
        path = folder / "p.jsonl"
        scores = {**dict.fromkeys(EA.keys, 0.01), **dict(self.HIGHEST)}
        rows = [
            {"id": f"r{number}", "text": f"글 {number}", "target": None, "scores": scores}
            | ({} if given is None else {"labels": given})
            for number, given in enumerate(labels)
        ]
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        return path

    def data(self, *labels: tuple[str, ...]) -> Dataset:
        # the other way round: decisions must follow their rows
        rows = [Example(f"r{number}", f"글 {number}", None, given) for number, given in enumerate(labels)]
        return Dataset(EA, rows[::-1])

    def test_by_the_labels_of_the_file(self, tmp_path: Path) -> None:
        found = (("joy",), ("fear",), ())
        report = maeum.evaluate(self.file(tmp_path, *found), self.data(*found))
        assert report.metrics["micro_f1"] == report.metrics["subset_accuracy"] == 1
        assert any("labels that the file holds" in note for note in report.notes)
        assert "labels decided elsewhere" in report.to_markdown()

    @pytest.mark.parametrize("kind", ["csv", "tsv", "xlsx", "parquet"])
    def test_of_tables_too(self, kind: str, tmp_path: Path) -> None:
        found = (("joy",), ("fear",), ())
        scores = dict.fromkeys(EA.keys, 0.1)
        rows = [PredictionRow(f"r{i}", f"글 {i}", None, labels, scores) for i, labels in enumerate(found)]
        formats.write_predictions(rows, tmp_path / f"p.{kind}", EA, kind)
        assert maeum.evaluate(tmp_path / f"p.{kind}", self.data(*found)).metrics["subset_accuracy"] == 1

    def test_thresholds_given_come_first(self, tmp_path: Path) -> None:
        path, data = self.file(tmp_path, ("joy",), ("fear",)), self.data(("joy", "fear"), ("joy", "fear"))
        rule = Thresholds.default(EA).replaced({"joy": 0.25, "fear": 0.15}, EA)
        report = judge(score_predictions(path, data, thresholds=rule))
        assert report.metrics["subset_accuracy"] == 1
        assert any("thresholds given decided" in note for note in report.notes)
        assert report.labels[0].threshold == 0.25

    def test_a_row_without_labels_leaves_it_to_one_rule(self, tmp_path: Path) -> None:
        report = maeum.evaluate(self.file(tmp_path, ("joy",), None), self.data(("joy",), ("joy",)))
        assert report.metrics["micro_f1"] == 0
        assert any("a threshold of 0.5 decided" in note for note in report.notes)
