"""Continued masked-LM training: every shape, resuming, the folder it leaves, files of every kind."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from maeum.errors import DataError, UsageError
from maeum.posttraining import Posttrained, PosttrainSettings, posttrain

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from maeum.hf import loading, masked_lm  # noqa: E402
from maeum.hf.files import pooling_of  # noqa: E402
from maeum.hf.frame import frame_of  # noqa: E402
from maeum.hf.tokenizers import load_tokenizer  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

QUICK = PosttrainSettings(max_steps=2, batch_size=8, valid=10, head_warmup_steps=1, device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def shape(tiny_base: Callable[..., Path]) -> Callable[..., Path]:
    return tiny_base


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "texts.txt"
    path.write_text("\n".join(tiny.sentences()) + "\n", encoding="utf-8")
    return path


class Listener:
    """Collects lines; breaks a run off once a bar has come to a step."""

    def __init__(self, stop: tuple[str, int] | None = None) -> None:
        self.lines: list[str] = []
        self.stop = stop

    def __call__(self, line: str) -> None:
        self.lines.append(line)

    @contextlib.contextmanager
    def bar(self, name: str, total: int) -> Iterator[Callable[[int, str], None]]:
        def step(done: int, remark: str) -> None:
            if self.stop == (name, done):
                raise KeyboardInterrupt

        yield step


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def run(
    base: Path, source: Path | list[Path], out: Path, settings: PosttrainSettings = QUICK, **words: Any
) -> Posttrained:
    return posttrain(base, source if isinstance(source, list) else [source], out, settings, **words)


# ----------------------------------------------------------------------------------------------------- every shape


@pytest.mark.parametrize("name", list(tiny.SHAPES))
def test_every_shape_is_trained_and_opens_again(
    name: str, shape: Callable[[str], Path], texts: Path, tmp_path: Path
) -> None:
    base = shape(name)
    result = run(base, texts, tmp_path / "out")
    facts = result.facts
    assert facts["new_head"] == (name not in ("klue-bert", "klue-roberta"))
    assert facts["sparse_logits"] == (name != "funnel")
    assert facts["judged"]["after"]["perplexity"] > 1
    assert facts["held_out_rows"] == 10
    assert not (tmp_path / "out.partial").exists()
    assert loading.new_weights(loading.load_masked_lm(tmp_path / "out")) == ()
    backbone = loading.load_backbone(tmp_path / "out")
    before = loading.load_backbone(base).state_dict()
    moved = [
        key
        for key, value in backbone.state_dict().items()
        if value.is_floating_point() and (value != before[key]).any()
    ]
    assert moved
    old, new = load_tokenizer(base), load_tokenizer(tmp_path / "out")
    for text in tiny.sentences()[::40]:
        assert old(text)["input_ids"] == new(text)["input_ids"]
    assert pooling_of(tmp_path / "out") == pooling_of(base)
    if name == "klue-bert":
        kept = weights(tmp_path / "out")["bert.pooler.dense.weight"]
        assert torch.equal(kept, weights(base)["bert.pooler.dense.weight"])
    assert str(tmp_path) not in "".join(
        path.read_text(encoding="utf-8") for path in (tmp_path / "out").glob("*") if path.suffix in (".json", ".md")
    )


@pytest.mark.parametrize("name", ["klue-bert", "klue-roberta", "kcelectra", "e5", "funnel"])
def test_picking_positions_before_the_head_changes_nothing(name: str, shape: Callable[[str], Path]) -> None:
    model, _ = masked_lm.load(shape(name))
    frame = frame_of(load_tokenizer(shape(name)), model.backbone.config)
    ids = torch.randint(5, 200, (3, 9))
    mask = torch.ones_like(ids)
    mask[1, 6:] = 0
    ids[mask == 0] = frame.pad_id
    masked = torch.zeros(3, 9, dtype=torch.bool)
    masked[0, 2] = masked[1, 3] = masked[1, 5] = masked[2, 8] = True
    full = masked_lm.MaskedLM(model.backbone, sparse=False).eval()
    with torch.inference_mode():
        a, b = (m(ids, mask, masked)["logits"] for m in (model.eval(), full))
    assert a.shape == (4, model.backbone.config.vocab_size)
    torch.testing.assert_close(a, b, rtol=0, atol=1e-5)
    assert model.sparse == (name != "funnel")


def test_tied_weights_are_saved_once_and_read_back(shape: Callable[[str], Path]) -> None:
    model, new = masked_lm.load(shape("e5"))
    assert new
    state = model.state_dict()
    pointers = [tensor.data_ptr() for tensor in state.values()]
    assert len(set(pointers)) == len(pointers)
    assert not any("word_embeddings" in name or "decoder.weight" in name for name in model.head_parameters())
    other, _ = masked_lm.load(shape("e5"))
    found = other.load_state_dict(state)
    assert (list(found.missing_keys), list(found.unexpected_keys)) == ([], [])


# ---------------------------------------------------------------------------------------------------------- results


@pytest.mark.slow
def test_perplexity_falls_and_the_folder_says_by_how_much(
    shape: Callable[[str], Path], texts: Path, tmp_path: Path
) -> None:
    settings = dataclasses.replace(
        QUICK,
        max_steps=None,
        epochs=6,
        batch_size=16,
        learning_rate=1e-2,
        valid=0.1,
        head_warmup_steps=None,
        whole_word=False,
    )
    result = run(shape("e5"), texts, tmp_path / "out", settings)
    judged = result.facts["judged"]
    assert judged["after"]["perplexity"] < 0.92 * judged["head"]["perplexity"]
    assert judged["head"]["perplexity"] < judged["before"]["perplexity"]
    assert judged["after"]["guessed"] == judged["before"]["guessed"]
    assert result.facts["steps"] == math.ceil(result.facts["train_rows"] * 6 / 16)
    assert result.facts["head_steps"] == 200
    assert -1 <= result.facts["vectors"]["cosine"] <= 1
    evaluated = [entry for entry in result.facts["log"]["model"] if "eval_perplexity" in entry]
    assert len(evaluated) >= 5
    assert 5.5 < result.facts["log"]["model"][-1]["epoch"] <= 6.5
    on_disk = json.loads((tmp_path / "out" / "posttrain.json").read_text(encoding="utf-8"))
    assert on_disk == json.loads(json.dumps(result.facts))
    assert on_disk["versions"]["torch"]
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert f"{judged['after']['perplexity']:.2f}" in card
    assert "perplexity" in result.summary()
    assert "log" not in result.to_dict()


@pytest.mark.slow
def test_a_run_broken_off_three_times_ends_like_one_that_was_not(
    shape: Callable[[str], Path], texts: Path, tmp_path: Path
) -> None:
    name = "e5"
    # 190 rows make 12 steps a pass: the second break falls into the second pass
    settings = dataclasses.replace(
        QUICK, max_steps=16, batch_size=16, head_warmup_steps=4, checkpoint_minutes=0, learning_rate=1e-3
    )
    whole = run(shape(name), texts, tmp_path / "whole", settings)
    assert whole.facts["train_rows"] < 16 * 16
    for stop in (("head", 2), ("training", 5), ("training", 14)):
        with pytest.raises(KeyboardInterrupt):
            run(shape(name), texts, tmp_path / "broken", settings, progress=Listener(stop))
        assert not (tmp_path / "broken").exists()
    listener = Listener()
    broken = run(shape(name), texts, tmp_path / "broken", settings, progress=listener)
    assert any("resuming from checkpoint-13" in line for line in listener.lines)
    a, b = weights(tmp_path / "whole"), weights(tmp_path / "broken")
    assert a.keys() == b.keys()
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert whole.facts["judged"] == broken.facts["judged"]
    assert whole.facts["vectors"] == broken.facts["vectors"]

    again = run(shape(name), texts, tmp_path / "broken", settings)
    assert again.complete_before
    assert again.facts["judged"] == whole.facts["judged"]


@pytest.mark.slow
def test_other_settings_do_not_go_on_from_an_interrupted_run(
    shape: Callable[[str], Path], texts: Path, tmp_path: Path
) -> None:
    settings = dataclasses.replace(QUICK, max_steps=4, head_warmup_steps=0, checkpoint_minutes=0)
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run(shape("klue-bert"), texts, out, settings, progress=Listener(("training", 3)))
    other = dataclasses.replace(settings, learning_rate=1e-4)
    with pytest.raises(UsageError, match=r"other settings \(learning_rate 5e-05 → 0.0001\).*--overwrite"):
        run(shape("klue-bert"), texts, out, other)
    with pytest.raises(UsageError, match="other files"):
        run(shape("klue-bert"), [texts, texts], out, settings)
    assert run(shape("klue-bert"), texts, out, other, overwrite=True).facts["settings"]["learning_rate"] == 1e-4
    with pytest.raises(UsageError, match="already exists"):
        run(shape("klue-bert"), texts, out, settings)
    assert not run(shape("klue-bert"), texts, out, settings, overwrite=True).complete_before


def test_a_foreign_folder_in_the_way_is_left_alone(shape: Callable[[str], Path], texts: Path, tmp_path: Path) -> None:
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / "mine").write_text("x")
    with pytest.raises(UsageError, match="was not made by posttrain"):
        run(shape("klue-bert"), texts, tmp_path / "out", overwrite=True)
    assert (tmp_path / "out.partial" / "mine").exists()


def test_fine_tuning_from_the_result(shape: Callable[[str], Path], texts: Path, tmp_path: Path) -> None:
    from maeum.data import Input
    from maeum.models.encoder import EncoderClassifier
    from maeum.task import Label, Task

    run(shape("e5"), texts, tmp_path / "out")
    task = Task("two", "multiclass", (Label("a"), Label("b")))
    options = {"max_steps": 2, "batch_size": 8, "device": "cpu", "max_length": 32}
    model = EncoderClassifier.of(str(tmp_path / "out"), task, seed=1, options=options)
    inputs = [Input(text) for text in tiny.sentences()[:16]]
    model.fit(inputs, np.eye(2, dtype=np.uint8)[np.arange(16) % 2])
    assert model.predict_proba(inputs).shape == (16, 2)
    assert model._model is not None
    assert model._model.head_name == "mean"


# ---------------------------------------------------------------------------------------------------------- sources


def test_sources_of_every_kind_duplicates_and_bad_rows(shape: Callable[[str], Path], tmp_path: Path) -> None:
    import arro3.core
    import arro3.io

    lines = tiny.sentences()
    txt, jsonl, csv, parquet = (tmp_path / f"a.{suffix}" for suffix in ("txt", "jsonl", "csv", "parquet"))
    txt.write_text("\n\n".join([*lines[:20], lines[3], "네"]) + "\n", encoding="utf-8")
    rows = [json.dumps({"text": line, "labels": ["joy"]}, ensure_ascii=False) for line in lines[15:40]]
    jsonl.write_text("\n".join([*rows, "{broken"]), encoding="utf-8")
    csv.write_text(
        "리뷰,별점\n" + "".join(f'"{line}",3\n' for line in lines[40:50]) + '" ",1\n', encoding="cp949", errors="ignore"
    )
    column = arro3.core.Array([*lines[50:60], None], arro3.core.DataType.string())
    arro3.io.write_parquet(arro3.core.Table.from_pydict({"review": column}), parquet)
    result = run(
        shape("klue-bert"),
        [txt, jsonl, csv, parquet],
        tmp_path / "out",
        text_column=["none", "text", "리뷰", "review"],
    )
    counts = result.facts["counts"]
    assert counts["texts"] == 20 + 1 + 20 + 10 + 10
    assert counts["duplicates"] == 1 + 5
    assert counts["rejected"] == 3
    assert [entry["format"] for entry in counts["files"]] == ["txt", "jsonl", "csv", "parquet"]
    assert "a.jsonl:26" in counts["first_error"]
    with pytest.raises(DataError, match=r"a\.jsonl:26"):
        run(shape("klue-bert"), [txt, jsonl], tmp_path / "other", on_error="stop")
    assert not (tmp_path / "other.partial").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "there is no data"), ("\n \n", "there is no data"), ("네\n", "nothing to learn from")],
)
def test_files_without_texts_say_so(content: str, message: str, shape: Callable[[str], Path], tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        run(shape("klue-bert"), source, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_wrong_words_are_refused_before_any_work(shape: Callable[[str], Path], texts: Path, tmp_path: Path) -> None:
    for changes, message in (
        ({"mask": 0.0}, "mask is out of range"),
        ({"epochs": 0}, "epochs"),
        ({"clean": "nothing"}, "nothing"),
        ({"precision": "int4"}, "precision"),
    ):
        with pytest.raises(UsageError, match=message):
            dataclasses.replace(QUICK, **changes)
    with pytest.raises(UsageError, match="leave none to learn from"):
        run(shape("klue-bert"), texts, tmp_path / "out", dataclasses.replace(QUICK, valid=5000))
    with pytest.raises(UsageError, match="standard input"):
        run(shape("klue-bert"), Path("-"), tmp_path / "out")
    with pytest.raises(UsageError, match="--text-column"):
        run(shape("klue-bert"), texts, tmp_path / "out", text_column=["a", "b"])


def test_command(shape: Callable[[str], Path], texts: Path, tmp_path: Path) -> None:
    from click.testing import CliRunner

    from maeum.apps.cli.posttrain import posttrain as command

    (tmp_path / "run.toml").write_text("batch-size = 4\nvalid = 0\nno-whole-word = true\nseed = 7\n")
    out = tmp_path / "out"
    words = [str(shape("klue-bert")), str(texts), "-o", str(out), "--max-steps", "2", "--limit", "50", "--seed", "1"]
    words += ["--config", str(tmp_path / "run.toml"), "--device", "cpu"]
    done = CliRunner().invoke(command, [*words, "--json"], catch_exceptions=False)
    facts = json.loads(done.stdout)
    assert facts["settings"]["batch_size"] == 4
    assert facts["settings"]["seed"] == 1
    assert facts["settings"]["whole_word"] is False
    assert facts["counts"]["texts"] == 50
    assert facts["judged"]["after"] is None
    done = CliRunner().invoke(command, words, catch_exceptions=False)
    assert "already complete" in done.stdout
    assert "50 texts" in done.stdout
