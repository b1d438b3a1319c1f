"""The history of a training run: rows, CSV, chart."""

from __future__ import annotations

import csv
import math
import re
import xml.etree.ElementTree as ET

import pytest

from maeum._lang import set_language
from maeum._svg_plot import round_ticks
from maeum.history import chart, table, write_chart, write_csv

LOG = [
    {"loss": 0.7, "grad_norm": 1.0, "learning_rate": 1e-3, "epoch": 0.5, "step": 1},
    {"loss": 0.5, "grad_norm": 1.0, "learning_rate": 5e-4, "epoch": 1.0, "step": 2},
    {"eval_loss": 0.6, "eval_micro_f1": 0.4, "eval_macro_f1": 0.3, "eval_accuracy": 0.8, "epoch": 1.0, "step": 2},
    {"loss": 0.4, "grad_norm": 1.0, "learning_rate": 0.0, "epoch": 1.5, "step": 3},
    {"train_runtime": 3.0, "epoch": 1.5, "step": 3},
]
SVG = "{http://www.w3.org/2000/svg}"


def lines(text: str) -> list[ET.Element]:
    """The lines of data (those of the legend are two points at one height)."""
    found = ET.fromstring(text).iter(f"{SVG}polyline")
    return [line for line in found if line.attrib["points"].count(",29") != 2]


def points(line: ET.Element) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in line.attrib["points"].split())]


def words(text: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(text).iter(f"{SVG}text")]


def test_one_row_per_step():
    rows = table(LOG)
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert rows[1]["train_loss"] == 0.5
    assert rows[1]["valid_loss"] == 0.6
    assert "valid_loss" not in rows[2]
    assert table(LOG, fold=2)[0]["fold"] == 2


def test_the_csv_opens_in_excel(tmp_path):
    write_csv(tmp_path / "history.csv", table(LOG, fold=0))
    raw = (tmp_path / "history.csv").read_bytes()
    assert raw.startswith(b"\xef\xbb\xbffold,step,epoch,train_loss,valid_loss")
    rows = list(csv.DictReader(raw.decode("utf-8-sig").splitlines()))
    assert [row["train_loss"] for row in rows] == ["0.7", "0.5", "0.4"]


def test_the_chart_has_losses_left_and_scores_right():
    text = chart(table(LOG))
    found = lines(text)
    assert [line.attrib["class"] for line in found] == ["l1", "l2 dash", "l1", "l2 dash", "l3 dot"]
    train = points(found[0])
    assert [x for x, _ in train] == sorted(x for x, _ in train)
    assert [y for _, y in train] == sorted(y for _, y in train)  # a falling loss: y grows downwards
    assert {"training rows", "held-out rows", "micro F1", "macro F1", "accuracy"} <= set(words(text))
    # one evaluation is one point, which no line would show
    assert len(list(ET.fromstring(text).iter(f"{SVG}circle"))) == 3 + 1 + 3


def test_a_run_without_held_out_rows_has_one_panel():
    text = chart(table([entry for entry in LOG if "eval_loss" not in entry]))
    assert len(lines(text)) == 1
    assert len(list(ET.fromstring(text).iter(f"{SVG}g"))) == 1
    ET.fromstring(chart([]))


def test_folds_are_thin_and_their_mean_is_bold():
    rows = [
        {"fold": fold, "step": step, "epoch": step / 4, "train_loss": loss + 0.2 * fold}
        for fold, last in ((0, 8), (1, 6))
        for step, loss in ((2, 0.8), (4, 0.5), (last, 0.3))
    ]
    first, second, mean = lines(chart(rows))
    assert first.attrib["class"] == second.attrib["class"] == "l1 thin"
    assert float(first.attrib["stroke-width"]) < float(mean.attrib["stroke-width"])
    # the mean ends with the shorter fold and lies between the two
    assert points(mean)[-1][0] == points(second)[-1][0] < points(first)[-1][0]
    for (_, low), (_, middle), (_, high) in zip(points(first), points(mean), points(second), strict=False):
        assert high < middle < low
    assert any("thin: each fold" in word for word in words(chart(rows)))


def test_values_that_are_no_numbers_leave_a_gap():
    rows = [
        *table(LOG),
        {"step": 4, "epoch": 2.0, "train_loss": math.nan},
        {"step": 5, "epoch": 2.5, "train_loss": 1.0},
    ]
    assert len(points(lines(chart(rows))[0])) == 4
    assert "nan" not in chart(rows)


def test_the_file_stands_alone(tmp_path):
    set_language("ko")
    write_chart(tmp_path / "history.svg", table(LOG))
    text = (tmp_path / "history.svg").read_text(encoding="utf-8")
    root = ET.fromstring(text)
    assert root.tag == f"{SVG}svg"
    assert "Noto Sans KR" in root.attrib["font-family"]
    assert {"손실", "학습 행", "떼어 둔 행", "마이크로 F1"} <= set(words(text))
    # nothing is fetched, and no colour hangs on a style sheet or a variable
    assert set(re.findall(r"https?://[^\s\"']+", text)) == {"http://www.w3.org/2000/svg"}
    assert "var(" not in text
    for element in root.iter():
        if element.tag in (f"{SVG}text", f"{SVG}circle", f"{SVG}rect"):
            assert element.attrib["fill"].startswith("#")
        elif element.tag in (f"{SVG}polyline", f"{SVG}path"):
            assert element.attrib["stroke"].startswith("#")
    style = root.find(f"{SVG}style")
    assert style is not None
    assert (style.text or "").startswith("@media (prefers-color-scheme:dark)")


def test_a_model_folder_holds_it(tmp_path):
    import dataclasses

    from maeum import folder
    from maeum.experiment import save_run, train
    from maeum.formats import read

    result = train(read("sample:nikl-ea"))
    save_run(dataclasses.replace(result, history=table(LOG)), tmp_path / "model")
    manifest = folder.check(tmp_path / "model")
    assert {"history.csv", "history.svg"} <= set(manifest["files"])


def test_names_of_metrics_are_escaped():
    log = [{"eval_<b>&": 0.5, "epoch": 1.0, "step": 1}]
    assert "<b>&" in words(chart(table(log)))


@pytest.mark.parametrize(
    ("low", "high", "want"),
    [
        (0.68, 0.697, [0.68, 0.685, 0.69, 0.695, 0.7]),
        (0, 72, [0, 20, 40, 60, 80]),
        (0.5, 0.5, [0.44, 0.46, 0.48, 0.5, 0.52, 0.54, 0.56]),
        (0, 12_500, [0, 5000, 10_000, 15_000]),
    ],
)
def test_ticks_are_round_and_hold_the_range(low, high, want):
    assert round_ticks(low, high) == pytest.approx(want)


def test_ticks_of_steps_are_whole():
    assert round_ticks(0, 2, least=1) == [0, 1, 2]
