"""``recipes/*.toml``: each says what its rows of the published tables say, and each trains (on a tiny model)."""

from __future__ import annotations

import dataclasses
import importlib.resources
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from maeum.apps.cli import run
from maeum.apps.cli._config import merge_config
from maeum.apps.cli.train import _settings, train
from maeum.experiment import TrainSettings
from maeum.formats import read, write
from maeum.hf import training
from maeum.models.decoder_config import DecoderClsConfig, DecoderConfig
from maeum.models.encoder import EncoderConfig
from maeum.runs import collect
from maeum.task import get_task

FOLDER = Path(__file__).parents[2] / "recipes"
RECIPES = sorted(FOLDER.glob("*.toml"))
ENCODERS = [path for path in RECIPES if "encoder" in tomllib.loads(path.read_text(encoding="utf-8"))]
DECODERS = [path for path in RECIPES if path not in ENCODERS]
ROW = re.compile(r"^#   (0?\d*\.\d+)(?:  (--.+))?$", re.MULTILINE)

ELECTRA = "beomi/KcELECTRA-base-v2022"
LARGE, KOELECTRA = "klue/roberta-large", "monologg/koelectra-base-v3-goemotions"
SEED001 = (
    # model, test micro-F1, batch, epochs, learning rate, weight decay, without &others&, cleansed, loss, patience
    (ELECTRA, "87.9478512", 128, 98, 4e-5, 0.1, True, True, "bce", None),
    (ELECTRA, "87.7295831", 64, 14, 4e-5, 0.1, True, True, "bce", None),
    (ELECTRA, "87.6970651", 128, 20, 4e-5, 0.0, True, True, "bce", None),
    (ELECTRA, "87.6294870", 128, 77, 4e-5, 0.1, True, True, "bce", None),
    (ELECTRA, "87.5520154", 128, 13, 4e-5, 0.1, True, True, "bce", None),
    (ELECTRA, "87.4240290", 128, 14, 4e-5, 0.0, True, True, "bce", None),
    (ELECTRA, "87.3756740", 128, 3, 4e-5, 0.1, True, True, "bce", None),
    (ELECTRA, "87.3658978", 128, 100, 4e-5, 0.1, True, True, "focal", 3),
    (ELECTRA, "87.3576720", 128, 4, 4e-5, 0.1, True, True, "focal", 3),
    (ELECTRA, "87.3398256", 128, 7, 4e-5, 0.1, True, True, "focal", 3),
    (ELECTRA, "87.2735910", 128, 14, 1e-4, 0.0, True, True, "bce", None),
    (ELECTRA, "87.2366987", 128, 50, 4e-5, 0.1, True, True, "focal", 3),
    (ELECTRA, "87.2167629", 64, 14, 2e-5, 0.1, True, True, "bce", None),
    (ELECTRA, "87.1599667", 128, 14, 4e-5, 0.1, True, True, "focal", 3),
    (ELECTRA, "87.1098263", 128, 14, 1e-4, 0.1, True, True, "bce", None),
    (ELECTRA, "87.0509874", 128, 54, 4e-5, 0.1, True, True, "focal", 3),
    (ELECTRA, "87.0000208", 128, 13, 2e-5, 0.1, False, True, "bce", None),
    (ELECTRA, "86.9470899", 64, 14, 2e-5, 0.1, False, True, "bce", None),
    (LARGE, "86.5736336", 64, 14, 2e-5, 0.1, False, False, "bce", None),
    ("kykim/bert-kor-base", "86.5275926", 128, 13, 2e-5, 0.1, True, True, "bce", None),
    (LARGE, "86.4393056", 64, 14, 2e-5, 0.1, False, True, "bce", None),
    (LARGE, "86.1970606", 64, 14, 2e-5, 0.1, True, True, "bce", None),
    ("kykim/bert-kor-base", "85.8253457", 128, 4, 2e-5, 0.1, False, False, "bce", None),
    ("beomi/kcbert-large", "85.756033", 64, 14, 2e-5, 0.1, True, True, "bce", None),
    ("kykim/electra-kor-base", "85.4660508", 128, 6, 2e-5, 0.1, True, True, "bce", None),
    ("kykim/funnel-kor-base", "85.4522818", 128, 10, 2e-5, 0.1, True, True, "bce", None),
    ("klue/roberta-base", "85.3803773", 128, 14, 4e-5, 0.1, False, False, "bce", None),
    ("kykim/funnel-kor-base", "85.3276541", 128, 10, 2e-5, 0.1, False, False, "bce", None),
    ("kykim/electra-kor-base", "85.0007948", 128, 14, 2e-5, 0.1, False, False, "bce", None),
    ("klue/bert-base", "84.7908872", 128, 5, 2e-5, 0.1, False, False, "bce", None),
    (KOELECTRA, "84.2704342", 64, 14, 4e-5, 0.1, False, False, "bce", None),
    (KOELECTRA, "83.4074137", 128, 10, 2e-5, 0.1, False, False, "bce", None),
)
"""The result table of seed 001, as published."""

SHAPES = {
    ELECTRA: "kcelectra",
    KOELECTRA: "kcelectra",
    "kykim/electra-kor-base": "kcelectra",
    "klue/roberta-large": "klue-roberta",
    "klue/roberta-base": "klue-roberta",
    "klue/bert-base": "klue-bert",
    "kykim/bert-kor-base": "klue-bert",
    "beomi/kcbert-large": "klue-bert",
    "kykim/funnel-kor-base": "funnel",
    "skt/kobert-base-v1": "kobert-skt",
}
"""The tiny model in the shape of each base."""


def settings(recipe: Path, *words: str) -> TrainSettings:
    """What ``maeum train DATA --config recipe`` makes of it, with more words on the command line."""
    context: click.Context = train.make_context(
        "train", ["data.jsonl", "-o", "out", "--config", str(recipe), *words], resilient_parsing=False
    )
    found: TrainSettings = _settings(merge_config(context, dict(context.params)), TrainSettings)
    return found


def published_rows() -> Iterator[tuple[Path, str, list[str]]]:
    for recipe in RECIPES:
        for score, words in ROW.findall(recipe.read_text(encoding="utf-8")):
            yield recipe, score, shlex.split(words)


def encoder(found: TrainSettings) -> EncoderConfig:
    return EncoderConfig.of(found.model.removeprefix("encoder:"), found.model_options)


def decoder(found: TrainSettings) -> DecoderConfig | DecoderClsConfig:
    """The settings of a language model; nothing is fetched or opened for it."""
    kind, _, base = found.model.partition(":")
    made: dict[str, type[DecoderConfig | DecoderClsConfig]] = {
        "decoder": DecoderConfig,
        "decoder-cls": DecoderClsConfig,
    }
    return made[kind].of(base, found.model_options)


@pytest.mark.parametrize("recipe", DECODERS, ids=lambda path: path.stem)
def test_settings_of_language_models_are_known_and_spelled_out(recipe):
    from maeum.models.prompts import load_template

    found = settings(recipe)
    config = decoder(found)
    load_template(config.template)
    if isinstance(config, DecoderConfig):
        words = load_template(config.template).words_for(get_task("nikl-ea")) | dict(config.words)
        assert len(set(words.values())) == len(words) == 8
        assert not found.calibrate  # seed 000's percentages, as they are
        assert {"form", "scores", "unlabelled"} <= set(found.model_options)
    else:
        assert config.loss_config("multilabel").settings()["name"] == config.loss
    # without the 4 bits and their optimiser, which ask for a GPU, the loop takes the rest
    training.check(dataclasses.replace(config, quantize="none", optimizer="adamw", precision="fp32", device="cpu"))
    assert {
        *("template", "quantize", "lora_r", "lora_alpha", "lora_dropout", "lora_targets", "epochs", "batch_size"),
        *("learning_rate", "weight_decay", "warmup", "schedule", "max_length", "optimizer", "gradient_checkpointing"),
    } <= set(found.model_options)


def test_the_language_models_of_the_seeds():
    polyglot, llama, kullm, cls = (
        decoder(settings(FOLDER / f"{name}.toml"))
        for name in ("seed000-polyglot-12.8b", "seed000-llama-2-ko-7b", "seed002-kullm-12.8b", "seed004-decoder-cls")
    )
    for config in (polyglot, llama):
        assert (config.lora_r, config.lora_alpha, config.lora_dropout) == (16, 32, 0.01)
        assert (config.batch_size, config.learning_rate, config.epochs) == (2, 2e-4, 4)
        assert (config.template, config.form, config.scores, config.unlabelled) == ("seed000", "label", "vocab", "skip")
        assert config.quantize == "nf4"
        assert config.gradient_checkpointing
    assert polyglot.lora.targets == ("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h")
    assert llama.lora.targets == ("q_proj", "v_proj")
    assert (polyglot.base, llama.base) == ("EleutherAI/polyglot-ko-12.8b", "beomi/llama-2-ko-7b")
    assert kullm.base == "nlpai-lab/kullm-polyglot-12.8b-v2"
    assert (kullm.batch_size, kullm.epochs, kullm.lora_dropout, kullm.warmup) == (16, 5, 0.05, 0.1)
    assert (kullm.lora.targets, dict(kullm.words)) == (("query_key_value",), {"surprise": "깜짝"})
    assert (cls.template, cls.loss, cls.dropout) == ("seed004", "bce", 0.2)


@pytest.mark.parametrize("recipe", ENCODERS, ids=lambda path: path.stem)
def test_settings_are_known_and_spelled_out(recipe):
    found = settings(recipe)
    config = encoder(found)
    kind = get_task(tomllib.loads(recipe.read_text(encoding="utf-8")).get("task", "nikl-ea")).kind
    assert config.loss_config(kind).settings()["name"] == config.loss
    # what a table gives must not hang on a default that may change
    assert {"epochs", "batch_size", "learning_rate", "weight_decay", "loss", "warmup", "schedule"} <= set(
        found.model_options
    )


def test_every_row_of_the_table_of_seed_001_has_its_command():
    found = {
        score: (recipe, settings(recipe, *words))
        for recipe, score, words in published_rows()
        if recipe.name.startswith("seed001")
    }
    assert len(found) == len(SEED001)
    for base, score, batch, epochs, rate, decay, no_others, cleansed, loss, patience in SEED001:
        recipe, chosen = found[score]
        config = encoder(chosen)
        assert (config.base, config.batch_size, config.epochs) == (base, batch, epochs), score
        assert (config.learning_rate, config.weight_decay) == (rate, decay), score
        assert (config.loss, config.patience) == (loss, patience), score
        assert chosen.clean == ("seed001" if cleansed else "raw"), score
        # a recipe that cannot leave &others& in says so in its name
        assert ("keep-others" in recipe.name) == (cleansed and not no_others), score
        assert config.target_input == "pair"


def test_the_other_seeds_and_the_runs_without_a_score():
    scores = {(recipe.stem, score) for recipe, score, _ in published_rows() if not recipe.stem.startswith("seed001")}
    assert scores == {
        ("seed002-kullm-12.8b", "0.878"),
        ("seed002-roberta-large", "0.872"),
        ("seed002-roberta-large-bigru", "0.875"),
        ("seed003-kobert", "0.9208138173302107"),
    }
    bigru = encoder(settings(FOLDER / "seed002-roberta-large-bigru.toml"))
    assert (bigru.head, bigru.dense, bigru.head_learning_rate) == ("bigru", 2 * (4 * 512 + 1024), 2e-5)
    kobert = encoder(settings(FOLDER / "seed003-kobert.toml"))
    assert (kobert.epochs, kobert.batch_size, kobert.max_length, kobert.warmup) == (5, 64, 64, 0.1)
    assert (kobert.schedule, kobert.max_grad_norm, kobert.dropout) == ("cosine", 1.0, 0.5)
    for name, patience in (("10folds", 7), ("asl-10folds", 5), ("asl2-10folds", 5)):
        chosen = settings(FOLDER / f"seed001-{name}.toml")
        config = encoder(chosen)
        assert (chosen.folds, config.patience, config.epochs, config.batch_size) == (10, patience, 100, 64)
        assert (config.base, config.learning_rate, config.max_length) == (ELECTRA, 2e-5, 200)


def test_the_list_of_recipes_is_whole():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| `([\w.-]+)\.toml`", text, re.MULTILINE)
    assert sorted(named) == sorted(recipe.stem for recipe in RECIPES)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Forty sample rows of both kinds of data."""
    folder = tmp_path_factory.mktemp("recipes")
    rows = read("sample:nikl-ea")
    write(rows.select(range(0, 400, 10)), folder / "nikl.jsonl", "nikl-ea")
    sample = importlib.resources.files("maeum") / "samples" / "aihub.csv"
    lines = sample.read_bytes().decode("cp949").splitlines()
    (folder / "aihub.csv").write_bytes("\r\n".join([lines[0], *lines[1:161:4]]).encode("cp949"))
    return folder


def once_per_kind() -> list[object]:
    """All recipes of encoders; those that differ from an earlier one in numbers only are slow tests."""
    seen, found = set(), []
    for recipe in ENCODERS:
        content = tomllib.loads(recipe.read_text(encoding="utf-8"))
        words = content["encoder"]
        shape = SHAPES[content["model"].removeprefix("encoder:")]
        kind = (shape, content["clean"], words["loss"], words.get("head"), "folds" in content, "patience" in words)
        marks = [pytest.mark.slow] if kind in seen else []
        seen.add(kind)
        found.append(pytest.param(recipe, id=recipe.stem, marks=marks))
    return found


SHAPES_OF_DECODERS = {"seed000-llama-2-ko-7b": "llama"}
"""The other bases are of polyglot-ko's shape."""


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", ["seed000-llama-2-ko-7b", "seed004-decoder-cls"])
def test_a_language_model_trains(name, data, tiny_decoder, tmp_path, capsys):
    recipe = FOLDER / f"{name}.toml"
    kind = settings(recipe).model.partition(":")[0]
    tiny = tiny_decoder(SHAPES_OF_DECODERS.get(name, "gpt-neox"))
    words = ["train", str(data / "nikl.jsonl"), "--config", str(recipe), "--model", f"{kind}:{tiny}", "--device", "cpu"]
    words += ["--set", "quantize=none", "--set", "optimizer=adamw", "--set", "precision=fp32", "--set", "max_steps=2"]
    assert run([*words, "-q", "-o", str(tmp_path / "run")]) == 0, capsys.readouterr().err
    about = json.loads((tmp_path / "run" / "settings.json").read_text(encoding="utf-8"))
    assert about["settings"]["model_options"]["template"] == settings(recipe).model_options["template"]


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("recipe", once_per_kind())
def test_it_trains(recipe, data, tiny_base, tmp_path, capsys):
    chosen = settings(recipe)
    tiny = tiny_base(SHAPES[encoder(chosen).base])
    rows = data / ("aihub.csv" if recipe.stem.startswith("seed003") else "nikl.jsonl")
    words = ["train", str(rows), "--config", str(recipe), "--model", f"encoder:{tiny}", "-o", str(tmp_path / "run")]
    words += ["--set", "max_steps=2", "--batch-size", "16", "--device", "cpu", "--valid", "0.25", "-q"]
    if chosen.folds:
        words += ["--folds", "2"]
    if encoder(chosen).dense:
        words += ["--set", "dense=16"]
    assert run(words) == 0, capsys.readouterr().err
    about = json.loads((tmp_path / "run" / "settings.json").read_text(encoding="utf-8"))
    assert about["settings"]["clean"] == chosen.clean
    assert about["settings"]["calibrate"] == chosen.calibrate
    kept = {name: value for name, value in chosen.model_options.items() if name not in ("batch_size", "dense")}
    assert kept.items() <= about["settings"]["model_options"].items()
    (row,) = collect(tmp_path, sort="macro_f1")
    assert "problem" not in row
    assert (row["loss"], row["weight_decay"]) == (encoder(chosen).loss, encoder(chosen).weight_decay)
