"""Language models end to end by the CLI: what a small one learns, and every command of ``docs/howto-modu-emo.md``.

The small decoder is a GPT-NeoX (polyglot-ko's shape) of 2 layers and 192 numbers with a tokenizer trained on the
sample's own training texts. Its weights are random, which takes some care, because adapters can only use what the base
already does (found by trying; a base as transformers initialises it stayed at a loss of 7.0 for a dozen epochs):

- The output layer is frozen, and the last state has a fixed length. With rows as short as a fresh 0.02 makes them no
  word can ever become likely. Trained models have long rows, so ours are long too.
- An emotion stands in a word or two of the text, and the answer's token has to look at all of it. Trained models carry
  words to where they are needed; here attention begins nearly even (small queries and keys) with values of full size,
  so that what arrives is a mean of the text's words. With fully random attention the same adapters learn every
  training row by heart and little about others.
- Pre-training for a minute on the five hundred texts as language modelling was tried and does not do it: the loss
  stayed where a guess is. Words that the texts hardly hold all get the same short row in the output layer, it seems,
  and adapters cannot tell them apart any more.
- r 64 and 1e-3 instead of 16 and 2e-4: a model this small has few numbers to adapt, and little time.

What is asserted of unseen rows is the mean average precision, which needs no thresholds: micro-F1 is 0.30 for a model
that knows nothing and gives every label.
"""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import numpy as np
import pytest
import tiny_decoders

from maeum.apps.cli import run
from maeum.formats import read, write
from maeum.metrics import average_precision
from maeum.splits import duplicate_groups, holdout
from maeum.task import get_task

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]
ROOT = Path(__file__).parents[2]
HOWTO = ROOT / "docs" / "howto-modu-emo.md"
WIDTH, HEADS, LAYERS, PIECES = 192, 6, 2, 2400
WORDS = ["기쁨", "기대", "신뢰", "당황", "혐오", "공포", "분노", "슬픔"]
NAMES = "nikluge-ea-2023-{}.jsonl"
SMALL = ["--device", "cpu", "--set", "quantize=none", "--set", "precision=fp32"]
LEARNING = ["--epochs", "14", "--batch-size", "16", "--learning-rate", "1e-3"]
LEARNING += ["--set", "lora_r=64", "--set", "lora_alpha=64"]
LEARNING += ["--set", "warmup=0.05", "--set", "gradient_checkpointing=false"]
"""Instead of what the recipe of seed 000 says."""


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """The three files of the competition, made of the sample's rows: train, dev, and test without answers."""
    folder = tmp_path_factory.mktemp("modu-emo")
    rows = read("sample:nikl-ea")
    train, held = holdout(rows.y, duplicate_groups(rows.texts), fraction=0.2, seed=7)
    dev, test = held[30:], held[:30]
    for name, chosen in (("train", train), ("dev", dev), ("test", test)):
        write(rows.select(chosen), folder / NAMES.format(name), "nikl-ea")
    (folder / "gold.jsonl").write_bytes((folder / NAMES.format("test")).read_bytes())
    asked = [json.loads(line) | {"output": ""} for line in lines(folder / "gold.jsonl")]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in asked)
    (folder / NAMES.format("test")).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def base(place) -> Path:
    """The small decoder; see above."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    folder = place / "base"
    texts = sorted({json.loads(line)["input"]["form"] for line in lines(place / NAMES.format("train"))})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny_decoders, "corpus", lambda original=tiny_decoders.corpus: [*texts, *original()])
        tokenizer = tiny_decoders._byte_level(tiny_decoders._GPT2_WORDS, first=["<|endoftext|>"], size=PIECES)
    roles = dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>")
    tiny_decoders._write_tokenizer(folder, tokenizer, {"tokenizer_class": "PreTrainedTokenizerFast", **roles})
    config = {
        "architectures": ["GPTNeoXForCausalLM"],
        "model_type": "gpt_neox",
        "vocab_size": tokenizer.get_vocab_size(),
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": 4 * WIDTH,
        "rotary_pct": 0.5,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": False,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder))
        ends = {id(model.get_input_embeddings().weight): 1.0, id(model.get_output_embeddings().weight): 0.22}
        for name, parameter in model.named_parameters():
            if parameter.ndim != 2:
                continue
            fair = parameter.shape[1] ** -0.5
            std = ends.get(id(parameter), fair if "attention" in name else 0.3 * fair)
            torch.nn.init.normal_(parameter, std=std)
            if "query_key_value" in name:
                by_head = parameter.data.view(HEADS, 3, WIDTH // HEADS, WIDTH)
                by_head[:, :2] *= 0.3  # queries and keys
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def trained(place, base) -> Path:
    """The folder after the commands of the how-to: converted, trained, predicted, tuned, merged."""
    before = Path.cwd()
    os.chdir(place)
    try:
        for command in commands():
            words = [str(ROOT / word) if word.startswith("recipes/") else word for word in shlex.split(command)[1:]]
            if words[0] == "train":
                words += ["--model", f"decoder:{base}", *SMALL, *LEARNING, "-q"]
            assert run(words) == 0, command
    finally:
        os.chdir(before)
    return place


@pytest.fixture(scope="module")
def asked(place, base) -> Path:
    """The same base, asked as it is."""
    words = ["train", str(place / NAMES.format("train")), "--model", f"decoder:{base}", *SMALL, "-q"]
    words += [
        "--set",
        "learn=none",
        "--set",
        "template=seed000",
        "--no-calibration",
        "-o",
        str(place / "runs" / "zero"),
    ]
    assert run(words) == 0
    return place / "runs" / "zero"


def commands() -> list[str]:
    """The command lines of the how-to, in order."""
    found = [line for line in lines(HOWTO) if line.startswith("maeum ")]
    assert len(found) >= 12
    return found


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def scores(model: Path, rows: Path) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """(labels, scores, ids) of a file of rows with labels."""
    import maeum

    data = read(rows, format="nikl-ea")
    return data.y, maeum.load(model).predict_proba(data), data.ids


def best_micro_f1(y: np.ndarray, proba: np.ndarray) -> float:
    """Micro-F1 at thresholds tuned on the same rows: how much of them was learnt, not how good the model is."""
    from maeum.metrics import decision_metrics
    from maeum.thresholds import tune_thresholds

    rule = tune_thresholds(y, proba, get_task("nikl-ea"), objective="micro-f1")
    return decision_metrics(y, rule.decide(proba))["micro_f1"]


def test_it_learns_its_training_sentences(trained):
    model = trained / "runs" / "polyglot"
    y, proba, ids = scores(model, trained / NAMES.format("train"))
    held = set(lines(model / "oof_ids.txt"))
    learnt = np.array([name not in held for name in ids])
    assert 0.85 < learnt.mean() < 0.95
    found = best_micro_f1(y[learnt], proba[learnt])
    print("training rows, micro-F1", round(found, 4))
    assert found >= 0.9


def test_it_beats_itself_untrained_on_rows_never_seen(trained, asked):
    found = []
    for model in (trained / "runs" / "polyglot", asked):
        parts = [scores(model, trained / name)[:2] for name in (NAMES.format("dev"), "gold.jsonl")]
        y, proba = (np.concatenate(each) for each in zip(*parts, strict=True))
        found.append(float(average_precision(y, proba).mean()))
    print("unseen rows, mean average precision: trained, zero-shot", [round(value, 4) for value in found])
    # measured 0.247 and 0.187, and 0.288 and 0.233 at 128 numbers; by chance it is 0.18, the share of labels that are on
    assert found[0] > found[1] + 0.03


def test_the_submission_is_the_test_file_with_answers(trained):
    test = [json.loads(line) for line in lines(trained / NAMES.format("test"))]
    for name in ("nikluge-ea-2023-test_predict.jsonl", "seed_point.jsonl", "submission.jsonl"):
        answers = [json.loads(line) for line in lines(trained / name)]
        assert [{**row, "output": ""} for row in answers] == test
        assert all(set(row["output"].values()) <= {"True", "False"} and len(row["output"]) == 8 for row in answers)


def test_the_merge_is_that_of_the_published_script(trained):
    points = {
        **{"joy": 33.1, "anticipation": 18.4, "trust": 35.7, "surprise": 21.0},
        **{"disgust": 26.5, "fear": 56.4, "anger": 35.2, "sadness": 50.8},
    }
    predicted = [json.loads(line)["scores"] for line in lines(trained / "test_predict.jsonl")]
    merged = [json.loads(line)["output"] for line in lines(trained / "seed_point.jsonl")]
    for row, answer in zip(predicted, merged, strict=True):
        assert answer == {key: str(100 * row[key] >= point) for key, point in points.items()}


def test_the_simulation_and_the_point_table_are_those_of_the_published_script(trained):
    rows = [json.loads(line)["output"] for line in lines(trained / NAMES.format("dev"))]
    predicted = [json.loads(line)["scores"] for line in lines(trained / "dev_predict.jsonl")]
    keys = get_task("nikl-ea").keys

    def right(key: str, cut: float) -> int:
        return sum((scored[key] >= cut) == (row[key] == "True") for row, scored in zip(rows, predicted, strict=True))

    head, *table = (trained / "percent.csv").read_text(encoding="utf-8-sig").splitlines()
    assert head.split(",")[1:] == list(keys)
    assert len(table) == 1000
    for line in table[::37]:
        percent, *counts = line.split(",")
        cut = float(percent.rstrip("%")) / 100
        assert list(map(int, counts)) == [right(key, cut) for key in keys], percent
    tuned = json.loads((trained / "thresholds.json").read_text(encoding="utf-8"))["values"]
    for number, key in enumerate(keys, start=1):
        assert right(key, tuned[key]) >= max(int(line.split(",")[number]) for line in table)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # peft 0.21 under transformers 5.23
def test_scores_are_the_probabilities_of_the_words_by_hand(trained, base):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    plain = AutoModelForCausalLM.from_pretrained(base)
    model = PeftModel.from_pretrained(plain, str(trained / "runs" / "polyglot" / "model" / "adapter")).eval()
    words = dict(zip(get_task("nikl-ea").keys, WORDS, strict=True))
    predicted = [json.loads(line)["scores"] for line in lines(trained / "dev_predict.jsonl")]
    rows = [json.loads(line)["input"] for line in lines(trained / NAMES.format("dev"))]
    for row, scored in list(zip(rows, predicted, strict=True))[:5]:
        prompt = (
            "아래는 문장에서 대상에 대한 감정을 매우 정확하게 분류한다.\n"
            f"### 문장: {row['form']}\n### 대상: {row['target']['form']}\n### 감정:"
        )
        with torch.no_grad():
            last = model(**tokenizer(prompt, return_tensors="pt", return_token_type_ids=False)).logits[0, -1]
        for key, word in words.items():
            (number,) = tokenizer(f" {word}")["input_ids"]
            assert scored[key] == pytest.approx(float(last.softmax(-1)[number]), abs=2e-4)


def test_the_converted_files_are_those_of_the_first_step(trained):
    train = json.loads((trained / "train_data_clean.json").read_text(encoding="utf-8"))
    source = [json.loads(line) for line in lines(trained / NAMES.format("train"))]
    labels = [sum(value == "True" for value in row["output"].values()) for row in source]
    assert len([row for row in train if row["emo"]]) == sum(labels)
    assert len([row for row in train if not row["emo"]]) == labels.count(0)
    assert {row["emo"] for row in train} == {*WORDS, ""}
    test = json.loads((trained / "test_data_clean.json").read_text(encoding="utf-8"))
    assert all(set(row) <= {"text", "target", "begin", "end"} for row in test)


def test_percentages_without_texts_are_matched_by_order(trained, tmp_path):
    """Seed 000's own ``*_predict.json`` holds percentages and nothing else."""
    predicted = [json.loads(line)["scores"] for line in lines(trained / "dev_predict.jsonl")]
    percent = [{key: round(100 * value, 2) for key, value in row.items()} for row in predicted]
    (tmp_path / "dev_data_clean_predict.json").write_text(json.dumps(percent, indent=2), encoding="utf-8")
    words = ["thresholds", str(tmp_path / "dev_data_clean_predict.json"), str(trained / NAMES.format("dev"))]
    words += ["--objective", "accuracy", "--empty", "none", "-o", str(tmp_path / "thresholds.json")]
    assert run(words) == 0
    found, exact = (
        json.loads((folder / "thresholds.json").read_text(encoding="utf-8"))["values"] for folder in (tmp_path, trained)
    )
    assert found == pytest.approx(exact, abs=0.011)
