"""``recipes/*.toml``: each says what its rows of the published tables say, and each trains (on a tiny model)."""

from __future__ import annotations

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
from maeum.models.encoder import EncoderConfig
from maeum.runs import collect
from maeum.task import get_task

FOLDER = Path(__file__).parents[2] / "recipes"
RECIPES = sorted(FOLDER.glob("*.toml"))
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


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
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
    """All recipes; those that differ from an earlier one in numbers only are slow tests."""
    seen, found = set(), []
    for recipe in RECIPES:
        content = tomllib.loads(recipe.read_text(encoding="utf-8"))
        words = content["encoder"]
        shape = SHAPES[content["model"].removeprefix("encoder:")]
        kind = (shape, content["clean"], words["loss"], words.get("head"), "folds" in content, "patience" in words)
        marks = [pytest.mark.slow] if kind in seen else []
        seen.add(kind)
        found.append(pytest.param(recipe, id=recipe.stem, marks=marks))
    return found


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
