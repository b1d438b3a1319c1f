"""The command line as people run it."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli_kit import maeum, ok

KEYS = ["joy", "anticipation", "trust", "surprise", "disgust", "fear", "anger", "sadness"]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A folder with a trained model in ``model``."""
    place = tmp_path_factory.mktemp("run")
    ok("train", "sample:nikl-ea", "--valid", "0.2", "-o", "model", cwd=place)
    return place


def test_train_leaves_a_whole_folder_and_says_what_it_did(run):
    names = {path.name for path in (run / "model").iterdir()}
    assert {"manifest.json", "task.json", "text.json", "thresholds.json", "calibration.json", "report.json"} <= names
    assert {"report.html", "README.md", "settings.json", "model", "oof.safetensors"} <= names
    assert not list(run.glob(".model*"))
    report = json.loads((run / "model" / "report.json").read_text(encoding="utf-8"))
    assert report["metrics"]["macro_f1"] > 0.3


@pytest.mark.slow
def test_the_same_seed_gives_the_same_model(tmp_path):
    # processes of their own: what ran in this one before may have changed its number of BLAS threads, and sums with them
    for name in ("first", "again"):
        ok("train", "sample:nikl-ea", "--valid", "0.2", "-o", name, cwd=tmp_path, process=True)
    first, again = (json.loads((tmp_path / n / "manifest.json").read_text())["files"] for n in ("first", "again"))
    for name in ("model/model.safetensors", "thresholds.json", "oof.safetensors"):
        assert first[name] == again[name]


def test_evaluate_prints_a_table_and_json(run):
    done = ok("evaluate", "model", "sample:nikl-ea", "--html", "r.html", cwd=run)
    assert "joy" in done.stdout
    assert (run / "r.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    found = json.loads(ok("evaluate", "model", "sample:nikl-ea", "--json", cwd=run).stdout)
    assert 0 < found["metrics"]["micro_f1"] <= 1


def test_stress_reports_flip_rates_and_nfd_flips_nothing(run):
    done = json.loads(ok("evaluate", "model", "sample:nikl-ea", "--stress", "--json", cwd=run).stdout)
    results = done["extra"]["stress"]["results"]
    assert results["nfd"]["row_flips"] == 0
    assert results["invisible"]["row_flips"] == 0
    assert results["none"]["row_flips"] == 0
    assert results["typos"]["row_flips"] > 0


def test_predict_analyze_and_python_agree(run):
    import maeum as package

    ok("predict", "model", "sample:nikl-ea", "-o", "p.jsonl", cwd=run)
    rows = [json.loads(line) for line in (run / "p.jsonl").read_text(encoding="utf-8").splitlines()]
    data = package.read("sample:nikl-ea")
    assert [row["id"] for row in rows] == data.ids
    assert list(rows[0]["scores"]) == KEYS
    row = rows[7]
    said = json.loads(
        ok("analyze", "--model", "model", "--json", "--target", row["target"]["form"], row["text"], cwd=run).stdout
    )["results"][0]
    assert said["labels"] == row["labels"]
    assert said["scores"]["nikl-ea"] == pytest.approx(row["scores"], abs=1e-5)
    analysis = package.load(run / "model").analyze([data[7]])[0]
    assert dict(analysis.scores) == pytest.approx(row["scores"], abs=1e-5)


def test_submission_is_the_input_with_only_output_changed(run):
    source = Path(__file__).parents[2] / "src" / "maeum" / "samples" / "nikl-ea.jsonl"
    ok("predict", "model", source, "-o", "s.jsonl", "--output-format", "nikl-ea", cwd=run)
    ok("predict", "model", "sample:nikl-ea", "-o", "q.jsonl", cwd=run)
    ok("convert", "q.jsonl", "--to", "nikl-ea", "--source", source, "-o", "s2.jsonl", cwd=run)
    made = (run / "s.jsonl").read_bytes()
    assert made == (run / "s2.jsonl").read_bytes()
    for old, new in zip(source.read_bytes().splitlines(), made.splitlines(), strict=True):
        assert old.split(b'"output"')[0] == new.split(b'"output"')[0]
        assert set(json.loads(new)["output"]) == set(KEYS)


def test_seed_000_second_half_from_its_own_prediction_file(run):
    """Simulate, set thresholds, merge into a submission: percentages in, submission out."""
    import maeum as package

    data = package.read("sample:nikl-ea")
    analyzer = package.load(run / "model")
    percent = [
        {
            "text": e.text,
            "target": e.target.form,
            **{k: round(float(p) * 100, 2) for k, p in zip(KEYS, row, strict=True)},
        }
        for e, row in zip(data, analyzer.predict_proba(data), strict=True)
    ]
    (run / "dev_predict.json").write_text(json.dumps(percent, ensure_ascii=False), encoding="utf-8")
    done = ok(
        *("thresholds", "dev_predict.json", "sample:nikl-ea", "--objective", "accuracy"),
        *("--table", "table.csv", "-o", "thresholds.json", "--json"),
        cwd=run,
    )
    tuned = json.loads(done.stdout)
    with (run / "table.csv").open(encoding="utf-8-sig") as file:
        table = list(csv.reader(file))
    assert len(table) == 1001
    assert table[0] == ["threshold", *KEYS]
    assert table[301][0] == "30.0%"
    best = max(int(row[1]) for row in table[1:])
    joy = [round(float(p["joy"]) / 100, 6) >= tuned["values"]["joy"] - 1e-9 for p in percent]
    right = sum(given == ("joy" in e.labels) for given, e in zip(joy, data, strict=True))
    assert right >= best
    ok(
        *("convert", "dev_predict.json", "--to", "nikl-ea", "--source", "sample:nikl-ea"),
        *("--thresholds", "thresholds.json", "-o", "merged.jsonl"),
        cwd=run,
    )
    merged = package.read(run / "merged.jsonl", format="nikl-ea")
    assert merged.ids == data.ids
    found = ok("evaluate", "dev_predict.json", "sample:nikl-ea", "--thresholds", "thresholds.json", "--json", cwd=run)
    assert json.loads(found.stdout)["metrics"]["label_accuracy"] > 0.8


def test_thresholds_set_and_retune_change_the_folder_and_keep_it_whole(run):
    ok("thresholds", "model", "--set", "joy=0.331,기대=0.2", cwd=run)
    said = json.loads(ok("info", "model", "--json", cwd=run).stdout)
    assert said["thresholds"]["values"]["joy"] == pytest.approx(0.331)
    assert said["thresholds"]["values"]["anticipation"] == pytest.approx(0.2)
    ok("thresholds", "model", "sample:nikl-ea", "--objective", "precision>=0.8", cwd=run)
    done = maeum("evaluate", "model", "sample:nikl-ea", cwd=run)
    assert done.returncode == 0
    assert "tuned on these very rows" in done.stdout + done.stderr or "same rows" in done.stdout + done.stderr
    ok("thresholds", "model", "--objective", "micro-f1", cwd=run)


def test_csv_opens_in_a_spreadsheet_with_hangul(run):
    ok("predict", "model", "sample:aihub", "-o", "out.csv", cwd=run)
    raw = (run / "out.csv").read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf")
    with (run / "out.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) >= 210
    assert {"id", "text", "labels", "joy"} <= set(rows[0])


@pytest.mark.parametrize("suffix", ["xlsx", "parquet", "tsv"])
def test_other_tables_read_back(run, suffix):
    import maeum as package

    ok("predict", "model", "sample:nikl-ea", "-o", f"t.{suffix}", cwd=run)
    back = package.read(run / f"t.{suffix}", task="nikl-ea")
    assert back.texts == package.read("sample:nikl-ea").texts


def test_a_cp949_console_never_raises(run):
    (run / "emoji.txt").write_text(
        "최고예요👍🏽 ♥ ㅋㅋㅋ\n정말 싫다 😡☹\n\U0001f468\u200d\U0001f469\u200d\U0001f467 가족\n", "utf-8"
    )
    done = maeum("predict", "model", "emoji.txt", "-o", "-", cwd=run, PYTHONIOENCODING="cp949")
    assert done.returncode == 0, done.stderr
    again = subprocess.run(
        [sys.executable, "-m", "maeum", "predict", "model", "emoji.txt", "-o", "-"],
        cwd=run,
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "cp949", "MAEUM_LANG": "ko"},
        check=True,
    )
    texts = [json.loads(line)["text"] for line in again.stdout.decode("cp949").splitlines()]
    assert texts[0] == "최고예요👍🏽 ♥ ㅋㅋㅋ"
    plain = maeum("analyze", "--model", "model", "최고예요👍🏽 ♥", cwd=run, PYTHONIOENCODING="cp949")
    assert plain.returncode == 0, plain.stderr
    ok("predict", "model", "emoji.txt", "-o", "emoji.csv", cwd=run, PYTHONIOENCODING="cp949")


def test_one_row_predicts_but_does_not_train(run):
    (run / "one.jsonl").write_text('{"id":"1","text":"좋다","labels":["joy"]}\n', encoding="utf-8")
    done = maeum("train", "one.jsonl", "--task", "nikl-ea", "-o", "no", cwd=run)
    assert done.returncode == 1
    assert "at least 10" in done.stderr
    assert not (run / "no").exists()
    ok("predict", "model", "one.jsonl", "-o", "one.out.jsonl", cwd=run)
    assert len((run / "one.out.jsonl").read_text(encoding="utf-8").splitlines()) == 1


@pytest.mark.slow
def test_folds_answer_together_and_each_is_a_model(run):
    ok("train", "sample:aihub", "--folds", "3", "--valid", "0.2", "-o", "folds", cwd=run)
    import numpy as np

    import maeum as package

    texts = ["정말 놀랐어", "너무 슬퍼서 눈물이 나"]
    together = package.load(run / "folds").predict_proba(texts)
    each = [package.load(run / "folds" / "folds" / str(i)) for i in range(3)]
    mean = np.mean(
        [fold.predictor.predict_proba([fold.prep.prepare_input(package.Input(t)) for t in texts]) for fold in each], 0
    )
    assert together == pytest.approx(each[0].calibration.apply(mean.astype(np.float32)), abs=1e-5)
    ok("evaluate", "folds/folds/1", "sample:aihub", cwd=run)
    ok("train", "sample:aihub", "--folds", "3", "--keep", "best", "--valid", "0.2", "-o", "best", cwd=run)
    table = ok("runs", ".", "--sort", "macro_f1", cwd=run).stdout
    assert "folds" in table
    assert "best" in table


def test_damage_and_newer_versions_are_refused_in_one_sentence(run):
    import shutil

    for name, change in {
        "cut": lambda p: (p / "manifest.json").unlink(),
        "edited": lambda p: (p / "thresholds.json").write_text("{}"),
        "missing": lambda p: (p / "model" / "model.safetensors").unlink(),
        "newer": lambda p: (p / "manifest.json").write_text(
            (p / "manifest.json").read_text().replace('"format": 1', '"format": 99')
        ),
        "garbage": lambda p: (p / "manifest.json").write_text("{"),
    }.items():
        place = run / f"damaged-{name}"
        shutil.copytree(run / "model", place)
        change(place)
        done = maeum("predict", place.name, "sample:aihub", "-o", "never.jsonl", cwd=run)
        assert done.returncode == 1, name
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
        assert not (run / "never.jsonl").exists()
        shutil.rmtree(place)


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["predict", "nowhere", "x.csv", "-o", "y"], 1, "there is no model folder"),
        (["train", "nowhere.csv", "-o", "y"], 1, "nowhere.csv"),
        (["train", "sample:nikl-ea", "-o", "y", "--model", "xgboost"], 1, "cannot be trained"),
        (["train", "sample:nikl-ea", "-o", "y", "--valid", "1.5"], 1, "0–1"),
        (["train", "sample:nikl-ea", "-o", "y", "--objective", "f2"], 1, "unknown objective"),
        (["train", "sample:nikl-ea", "-o", "y", "--clean", "seed002"], 1, "seed001"),
        (["train", "sample:nikl-ea", "-o", "y", "--task", "niklea"], 1, "no task 'niklea'"),
        (["train"], 2, "missing"),
        (["trian", "x"], 2, "did you mean 'train'"),
        (["train", "sample:nikl-ea", "-o", "y", "--fold", "3"], 2, "--folds"),
        (["analyze", "좋다", "--model", "nowhere"], 1, "there is no model folder"),
        (["--lang", "fr", "doctor"], 2, "ko | en"),
    ],
)
def test_mistakes_get_one_sentence_and_the_right_status(tmp_path, words, status, sentence):
    done = maeum(*words, cwd=tmp_path)
    assert done.returncode == status, done.stderr
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_korean_is_the_default_and_english_is_a_flag(tmp_path):
    korean = maeum("train", "없는파일.csv", "-o", "y", cwd=tmp_path, MAEUM_LANG="ko")
    assert "오류" in korean.stderr
    english = maeum("--lang", "en", "train", "없는파일.csv", "-o", "y", cwd=tmp_path, MAEUM_LANG="ko")
    assert "error" in english.stderr


def test_existing_output_is_refused_before_any_work(run):
    done = maeum("train", "sample:nikl-ea", "-o", "model", cwd=run)
    assert done.returncode == 1
    assert "--overwrite" in done.stderr
    (run / "precious").mkdir(exist_ok=True)
    (run / "precious" / "thesis.txt").write_text("x")
    done = maeum("train", "sample:nikl-ea", "-o", "precious", "--overwrite", cwd=run)
    assert done.returncode == 1
    assert (run / "precious" / "thesis.txt").exists()


def test_config_file_and_its_unknown_keys(run):
    (run / "run.toml").write_text('valid = 0.3\nobjective = "macro-f1"\nsplit-seed = 7\n')
    ok("train", "sample:nikl-ea", "--config", "run.toml", "--seed", "1", "-o", "conf", cwd=run)
    settings = json.loads((run / "conf" / "settings.json").read_text(encoding="utf-8"))["settings"]
    assert settings["objective"] == "macro-f1"
    assert settings["split_seed"] == 7
    (run / "bad.toml").write_text("objectiv = 1\n")
    done = maeum("train", "sample:nikl-ea", "--config", "bad.toml", "-o", "conf2", cwd=run)
    assert done.returncode == 1
    assert "did you mean 'objective'" in done.stderr


def test_predict_refuses_another_model_input_or_option(run):
    ok("predict", "model", "sample:nikl-ea", "-o", "again.jsonl", cwd=run)
    done = ok("predict", "model", "sample:nikl-ea", "-o", "again.jsonl", cwd=run)
    assert "already complete" in done.stderr
    done = maeum("predict", "model", "sample:aihub", "-o", "again.jsonl", cwd=run)
    assert done.returncode == 1
    assert "--overwrite" in done.stderr
    ok("predict", "model", "sample:aihub", "-o", "again.jsonl", "--overwrite", cwd=run)


def test_bad_rows_stop_or_are_set_aside(run):
    lines = ['{"id":"1","text":"좋다"}', '{"id":"2","text":', '{"id":"3","text":"싫다"}']
    (run / "bad.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    done = maeum("predict", "model", "bad.jsonl", "-o", "bad.out.jsonl", cwd=run)
    assert done.returncode == 1
    assert "bad.jsonl:2" in done.stderr
    assert not list(run.glob("bad.out*"))
    ok("predict", "model", "bad.jsonl", "-o", "bad.out.jsonl", "--on-error", "skip", cwd=run)
    assert [json.loads(x)["id"] for x in (run / "bad.out.jsonl").read_text(encoding="utf-8").splitlines()] == ["1", "3"]
    rejects = [json.loads(x) for x in (run / "bad.out.jsonl.rejects.jsonl").read_text(encoding="utf-8").splitlines()]
    assert rejects[0]["line"] == 2


def test_stdin_to_stdout(run):
    words = ("predict", "model", "-", "--format", "txt", "-o", "-", "-q")
    done = maeum(*words, cwd=run, stdin="좋아요\n싫어요\n", process=True)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["text"] for line in done.stdout.splitlines()] == ["좋아요", "싫어요"]


def test_demo_info_doctor_help(run):
    ok("demo", "demo", cwd=run)
    assert {"nikl-ea.jsonl", "aihub.csv", "fashion.jsonl"} <= {path.name for path in (run / "demo").iterdir()}
    assert maeum("demo", "demo", cwd=run).returncode == 1
    assert json.loads(ok("doctor", "--json", cwd=run).stdout)["ok"] is True
    for command in (
        "train",
        "evaluate",
        "predict",
        "thresholds",
        "convert",
        "runs",
        "demo",
        "info",
        "doctor",
        "analyze",
    ):
        assert "maeum " + command in ok(command, "--help", cwd=run).stdout


def test_kote_model_on_nikl_data_shows_the_mapping(tmp_path):
    texts = ["화가 나", "정말 기뻐", "무섭다", "슬프다", "고마워요", "역겹다", "불안해"]
    labels = ["화남/분노", "기쁨", "공포/무서움", "슬픔", "고마움", "역겨움/징그러움", "불안/걱정"]
    with (tmp_path / "k.jsonl").open("w", encoding="utf-8") as file:
        for i in range(70):
            row = {"id": str(i), "text": f"{texts[i % 7]} {i * 37 % 101}번째로", "labels": [labels[i % 7]]}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    ok("train", "k.jsonl", "--task", "kote", "-o", "m", cwd=tmp_path)
    done = ok("evaluate", "m", "sample:nikl-ea", cwd=tmp_path)
    for word in ("exact", "lossy", "unmapped", "기쁨", "joy"):
        assert word in done.stdout
