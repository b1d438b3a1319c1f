"""``distill`` and ``prune`` on the command line: what they print, and what they say about bad input."""

from __future__ import annotations

import json

import pytest
import tiny

from maeum.apps.cli import run

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytestmark = pytest.mark.usefixtures("one_thread")
FAST = ["--max-length", "24", "--device", "cpu", "--batch-size", "32"]


@pytest.fixture(scope="module")
def place(tmp_path_factory, tiny_base):
    """A folder with texts and a model trained on the sample data."""
    folder = tmp_path_factory.mktemp("compress")
    (folder / "texts.txt").write_text("\n".join(tiny.sentences()), encoding="utf-8")
    words = ["train", "sample:nikl-ea", "--model", f"encoder:{tiny_base('e5')}", "--set", "max_steps=4", "-q"]
    assert run([*words, *FAST, "-o", str(folder / "teacher")]) == 0
    return folder


def ok(capsys, *words) -> dict:
    assert run([str(word) for word in (*words, "--json")]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return json.loads(out)


def bad(capsys, *words) -> str:
    status = run([str(word) for word in words])
    assert status in (1, 2)
    err = capsys.readouterr().err
    assert "Traceback" not in err
    return err


def test_distill_then_prune_then_predict(place, capsys, tmp_path):
    teacher, texts, small, less = place / "teacher", place / "texts.txt", tmp_path / "small", tmp_path / "less"
    words = ("--student", "layers:1", "--hidden", 1, "--epochs", 1, *FAST, "--valid", "sample:nikl-ea", "-o", small)
    found = ok(capsys, "distill", teacher, texts, *words)
    assert found["model"] == str(small)
    assert set(found["valid"]["scores"]) == {"micro_f1", "macro_f1"}
    assert found["counts"]["texts"] == 200
    assert found["sizes"]["student"]["texts_per_second"] > 0
    found = ok(capsys, "prune", small, "--vocabulary", texts, "--ffn", 0.5, "--data", "sample:nikl-ea", "-o", less)
    assert found["sizes"]["after"]["parameters"] < found["sizes"]["before"]["parameters"]
    assert run(["predict", str(less), str(texts), "-o", str(tmp_path / "out.jsonl"), "-q"]) == 0
    assert len((tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()) == 200
    capsys.readouterr()
    assert run(["runs", str(tmp_path)]) == 0
    table = capsys.readouterr().out
    assert "small" in table
    assert "less" in table


def test_people_read_sizes_agreement_and_where_the_thresholds_are_from(place, capsys, tmp_path):
    words = ["distill", place / "teacher", place / "texts.txt", "--student", "linear", "-o", tmp_path / "linear", "-q"]
    assert run(list(map(str, words))) == 0
    out = capsys.readouterr().out
    assert "teacher" in out
    assert "agreement with the teacher (200 texts not learnt from)" in out
    words = ["prune", place / "teacher", "--keep-layers", "1", "-o", tmp_path / "one", "-q"]
    assert run(list(map(str, words))) == 0
    out, err = capsys.readouterr()
    assert "agreement with the model as it was" in out
    assert "the thresholds are those of the model as it was" in err


def test_bad_words_get_one_sentence(place, capsys, tmp_path):
    teacher, texts, out = place / "teacher", place / "texts.txt", tmp_path / "out"
    assert "unknown student 'half'" in bad(capsys, "distill", teacher, texts, "--student", "half", "-o", out)
    assert "there is no model folder" in bad(capsys, "distill", place / "no", texts, "-o", out)
    assert "no.txt" in bad(capsys, "distill", teacher, place / "no.txt", "--student", "layers:1", "-o", out)
    assert "there is no model folder ./none" in bad(
        capsys, "distill", teacher, texts, "--student", "encoder:./none", "-o", out
    )
    assert "keep 1 to 2 layers, not 6" in bad(capsys, "distill", teacher, texts, "-o", out)
    said = bad(capsys, "distill", teacher, texts, "--student", "layers:1", "--set", "head=cls", "-o", out)
    assert "this cannot be changed: head" in said
    assert "already exists" in bad(capsys, "distill", teacher, texts, "-o", teacher)
    assert "exclude each other" in bad(capsys, "prune", teacher, "--layers", 1, "--keep-layers", "0", "-o", out)
    assert "use --recover" in bad(capsys, "prune", teacher, "--layers", 1, "--epochs", 2, "-o", out)
    assert "say what to take out" in bad(capsys, "prune", teacher, "-o", out)
    assert not out.exists()
    assert not (tmp_path / "out.partial").exists()
