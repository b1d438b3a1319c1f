"""Loading encoders and tokenizers: every Korean shape, frames, KoBERT's pieces, messages, saving."""

from __future__ import annotations

import ast
import json
import random
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny

from maeum._lang import set_language
from maeum.errors import FormatError, UsageError
from maeum.hf import loading

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

pytestmark = pytest.mark.usefixtures("one_thread")

TEXTS = [
    "배송이 너무 빨라서 기분이 좋아요 ㅋㅋㅋ",
    "생각보다 별로라서 속상했어요ㅠㅠ 😂😂👍🏻",
    "10,000원이면 3.5점, USB-C 안 맞음!!",
    "  앞뒤   공백\t탭 ",
    "뷁궯쀍 漢字 ♥ ＡＢＣ",
    "ㅋㅋㅠㅠ ㅋㅠ ㅡㅡ",
    unicodedata.normalize("NFD", "감동입니다"),
]


@pytest.fixture(scope="module")
def shape(tiny_base: Callable[..., Path]) -> Callable[..., Path]:
    return tiny_base


@pytest.fixture
def copy(shape: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """A folder of one's own to break."""
    return lambda name: Path(shutil.copytree(shape(name), tmp_path / name))


def inputs(frame: Any, first: list[int], second: list[int] | None = None) -> dict[str, Any]:
    ids, types = frame.encode(first, second)
    given = {"input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, len(ids), dtype=torch.long)}
    return given if types is None else {**given, "token_type_ids": torch.tensor([types])}


def pieces(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


# ------------------------------------------------------------------------------------------------------ every shape


@pytest.mark.parametrize("name", list(tiny.SHAPES))
def test_every_shape_loads_and_runs(shape, name: str) -> None:
    folder = shape(name)
    tokenizer, config = loading.load_tokenizer(folder), loading.load_config(folder)
    frame = loading.frame(tokenizer, config)
    backbone = loading.load_backbone(folder)
    model = loading.load_classifier(folder, 3, problem_type="multi_label_classification")
    assert tokenizer.is_fast
    assert loading.new_weights(backbone) == ()
    assert all(parameter.dtype == torch.float32 for parameter in backbone.parameters())
    assert not model.training
    assert loading.new_weights(model)
    first, second = pieces(tokenizer, TEXTS[0]), pieces(tokenizer, TEXTS[1])
    for given in (inputs(frame, first), inputs(frame, first, second)):
        with torch.no_grad():
            assert backbone(**given).last_hidden_state.shape == (1, given["input_ids"].shape[1], tiny.WIDTH)
            assert model(**given).logits.shape == (1, 3)


@pytest.mark.parametrize("name", list(tiny.SHAPES))
def test_the_frame_is_the_tokenizers_own(shape, name: str) -> None:
    folder = shape(name)
    tokenizer, config = loading.load_tokenizer(folder), loading.load_config(folder)
    frame = loading.frame(tokenizer, config)
    for first, second in [*((text, None) for text in TEXTS), *zip(TEXTS, reversed(TEXTS), strict=True)]:
        own = tokenizer(first, second, return_token_type_ids=True)
        ids, types = frame.encode(pieces(tokenizer, first), None if second is None else pieces(tokenizer, second))
        assert ids == own["input_ids"]
        assert types is None or types == own["token_type_ids"]
        assert len(ids) == frame.overhead(pair=second is not None) + sum(
            len(pieces(tokenizer, text)) for text in (first, second) if text is not None
        )


def test_what_the_frames_are(shape) -> None:
    frames = {
        name: loading.frame(loading.load_tokenizer(shape(name)), loading.load_config(shape(name)))
        for name in tiny.SHAPES
    }
    assert {frame.max_positions for frame in frames.values()} == {512}  # RoBERTa's 514 rows too
    types = {name: (frame.begin_type, frame.first_type, frame.second_type) for name, frame in frames.items()}
    nothing, bert = (None, None, None), (0, 0, 1)
    assert types == {
        "klue-bert": bert,
        "klue-roberta": nothing,
        "kcelectra": bert,
        "kobert": bert,
        "kobert-skt": bert,
        "funnel": (2, 0, 1),
        "e5": nothing,
    }
    assert (frames["klue-roberta"].begin, frames["klue-roberta"].pad_id, frames["klue-roberta"].mask_id) == ((0,), 1, 4)
    assert (frames["e5"].between, frames["kobert"].pad_id) == ((2, 2), 1)


def test_klue_roberta_pair_as_its_tokenizer_says_fails_and_as_we_say_runs(shape) -> None:
    folder = shape("klue-roberta")
    tokenizer, config = loading.load_tokenizer(folder), loading.load_config(folder)
    model = loading.load_backbone(folder)
    own = tokenizer(TEXTS[0], TEXTS[1], return_tensors="pt", return_token_type_ids=True)
    assert int(own["token_type_ids"].max()) == 1
    with pytest.raises(IndexError):
        model(**own)
    assert not loading.segment_ids(config, tokenizer)
    frame = loading.frame(tokenizer, config)
    model(**inputs(frame, pieces(tokenizer, TEXTS[0]), pieces(tokenizer, TEXTS[1])))


def test_the_longest_input_runs_and_one_more_does_not(shape) -> None:
    folder = shape("klue-roberta")
    frame = loading.frame(loading.load_tokenizer(folder), loading.load_config(folder))
    model = loading.load_backbone(folder)
    room = frame.max_positions - frame.overhead(pair=False)
    with torch.no_grad():
        model(**inputs(frame, [5] * room))
    with pytest.raises((IndexError, RuntimeError)):
        model(**inputs(frame, [5] * (room + 1)))


@pytest.mark.parametrize("name", list(tiny.SHAPES))
def test_offsets_point_into_the_raw_text(shape, name: str) -> None:
    tokenizer = loading.load_tokenizer(shape(name))
    text = "  배송이 좋아요 ㅋㅋㅋ 10000원"
    found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    covered = {index for start, end in found["offset_mapping"] for index in range(start, end)}
    assert {index for index, char in enumerate(text) if not char.isspace()} <= covered
    piece = next(i for i, (a, b) in enumerate(found["offset_mapping"]) if text[a:b].strip() == "원")
    assert tokenizer.convert_ids_to_tokens(found["input_ids"][piece]).strip("▁#") in ("원", "[UNK]")


def test_pooling(shape, copy) -> None:
    assert loading.pooling_of(shape("e5")) == "mean"
    assert loading.pooling_of(shape("klue-bert")) is None
    folder = copy("e5")
    config = folder / "1_Pooling" / "config.json"
    config.write_text(json.dumps({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}))
    assert loading.pooling_of(folder) == "cls"
    config.write_text(json.dumps({"pooling_mode": "mean"}))
    assert loading.pooling_of(folder) == "mean"
    config.write_text(json.dumps({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}))
    assert loading.pooling_of(folder) is None


# ----------------------------------------------------------------------------------------------------------- KoBERT


@pytest.mark.parametrize(("name", "model"), [("kobert", "tokenizer_78b3253a26.model"), ("kobert-skt", "spiece.model")])
def test_kobert_ids_are_sentencepieces(shape, name: str, model: str) -> None:
    import sentencepiece

    folder = shape(name)
    tokenizer = loading.load_tokenizer(folder)
    processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / model))
    more = ["", " ", "\t\n", "\ufeff시작", "▁", "①②㈜ ㎏", "café e\u0301", "\u3000전각\u3000", "ㅋ\u200bㅋ", "❤️ ©️ 1️⃣"]
    for text in [*TEXTS, *more, *tiny.sentences()]:
        assert pieces(tokenizer, text) == processor.encode(text), text


def test_kobert_on_random_strings_differs_only_in_the_order_of_equal_scores(shape) -> None:
    """Ties between orders of the same pieces are broken by float32 rounding in sentencepiece: .. + . or . + .."""
    import sentencepiece

    folder = shape("kobert")
    tokenizer = loading.load_tokenizer(folder)
    processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer_78b3253a26.model"))
    alphabet = "가나다좋ㅋㅠ뷁😂  \t👍1a,.Zé\u1100\u1161\u200d♥漢Ａ\u3000\u00a0㈜…!?~^"
    draw = random.Random(0)
    same = 0
    for _ in range(2000):
        text = "".join(draw.choices(alphabet, k=draw.randrange(20)))
        mine, theirs = pieces(tokenizer, text), processor.encode(text)
        assert sorted(mine) == sorted(theirs), text
        same += mine == theirs
    assert same > 1800


def test_kobert_ids_follow_vocab_txt(copy) -> None:
    folder = copy("kobert")
    before = loading.load_tokenizer(folder)
    lines = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    moved = lines[:5] + lines[5:][::-1]
    (folder / "vocab.txt").write_text("".join(f"{line}\n" for line in moved), encoding="utf-8")
    after = loading.load_tokenizer(folder)
    for text in TEXTS:
        assert [moved[i] for i in pieces(after, text)] == [lines[i] for i in pieces(before, text)]


def test_kobert_is_saved_as_an_ordinary_fast_tokenizer(shape, tmp_path: Path) -> None:
    import transformers

    folder = shape("kobert")
    tokenizer = loading.load_tokenizer(folder)
    loading.save_pretrained(loading.load_backbone(folder), tokenizer, tmp_path)
    assert (tmp_path / "tokenizer.json").is_file()
    for again in (loading.load_tokenizer(tmp_path), transformers.AutoTokenizer.from_pretrained(tmp_path)):
        for text in TEXTS:
            assert again(text, TEXTS[0])["input_ids"] == tokenizer(text, TEXTS[0])["input_ids"]


def test_kobert_files_that_do_not_fit(copy) -> None:
    folder = copy("kobert")
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text(vocabulary.read_text(encoding="utf-8") + "▁없던조각\n", encoding="utf-8")
    with pytest.raises(FormatError, match=r"do not fit each other \(▁없던조각\)"):
        loading.load_tokenizer(folder)
    model = folder / "tokenizer_78b3253a26.model"
    model.write_bytes(model.read_bytes()[:-7])
    with pytest.raises(FormatError, match=r"not a sentencepiece model, or cut short"):
        loading.load_tokenizer(folder)


# ------------------------------------------------------------------------------------------------- other tokenizers


def test_tokenizer_json_wins_over_what_a_class_would_make_of_it(copy) -> None:
    folder = copy("klue-bert")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    del settings["do_lower_case"]  # BertTokenizer's default is lower-casing, and then syllables taken apart
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    tokenizer = loading.load_tokenizer(folder)
    assert tokenizer.tokenize("iPhone 좋아") == loading.load_tokenizer(copy("kcelectra")).tokenize("iPhone 좋아")


def test_special_tokens_without_roles_are_found(copy) -> None:
    folder = copy("klue-bert")
    (folder / "special_tokens_map.json").unlink()
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": False})
    )
    tokenizer = loading.load_tokenizer(folder)
    assert (tokenizer.cls_token, tokenizer.sep_token, tokenizer.pad_token, tokenizer.mask_token) == (
        "[CLS]",
        "[SEP]",
        "[PAD]",
        "[MASK]",
    )


@pytest.mark.parametrize("name", list(tiny.SHAPES))
def test_no_token_lies_outside_the_embedding(shape, name: str) -> None:
    """Funnel's class adds <s> and </s> to a vocabulary of BERT's; a text that holds one must not crash the model."""
    folder = shape(name)
    tokenizer, config = loading.load_tokenizer(folder), loading.load_config(folder)
    assert len(tokenizer) <= config.vocab_size
    for text in ("<s>좋아</s>", "<cls> <mask>", "[CLS] [MASK]", "<eop><eod>"):
        assert max(pieces(tokenizer, text)) < config.vocab_size


def test_a_vocabulary_larger_than_the_embedding_is_refused(copy) -> None:
    folder = copy("kcelectra")
    with (folder / "vocab.txt").open("a", encoding="utf-8") as file:
        file.write("하나더\n")
    with pytest.raises(FormatError, match="has 351 tokens and the model embeds only 350"):
        loading.load_tokenizer(folder)


def test_a_folder_without_tokenizer_files(copy) -> None:
    folder = copy("kcelectra")
    (folder / "vocab.txt").unlink()
    with pytest.raises(FormatError, match="has no tokenizer files"):
        loading.load_tokenizer(folder)


# ----------------------------------------------------------------------------------------------------------- models


@pytest.mark.parametrize("name", list(tiny.SHAPES))
def test_save_and_load_give_equal_logits(shape, name: str, tmp_path: Path) -> None:
    import transformers

    folder, labels = shape(name), {0: "기쁨", 1: "분노", 2: "슬픔"}
    tokenizer, config = loading.load_tokenizer(folder), loading.load_config(folder)
    model = loading.load_classifier(folder, 3, labels, problem_type="multi_label_classification", dropout=0.3)
    loading.save_pretrained(model, tokenizer, tmp_path)
    written = sorted(path.name for path in tmp_path.iterdir())
    assert written == ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    assert str(folder) not in (tmp_path / "config.json").read_text() + (tmp_path / "tokenizer_config.json").read_text()
    given = inputs(loading.frame(tokenizer, config), pieces(tokenizer, TEXTS[0]), pieces(tokenizer, TEXTS[1]))
    again = loading.load_classifier(tmp_path)
    other = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        want = model(**given).logits
        # Memory-mapped weights lie differently aligned, which may cost the last bit; the weights themselves are equal.
        torch.testing.assert_close(again(**given).logits, want, rtol=0, atol=1e-7)
        torch.testing.assert_close(other(**given).logits, want, rtol=0, atol=1e-7)
    for loaded in (again, other):
        for path, tensor in model.state_dict().items():
            assert torch.equal(loaded.state_dict()[path], tensor), path
    assert loading.new_weights(again) == ()
    assert (again.config.id2label, again.config.problem_type) == (labels, "multi_label_classification")
    assert again.config.label2id == {"기쁨": 0, "분노": 1, "슬픔": 2}
    assert loading.load_tokenizer(tmp_path)(TEXTS[0])["input_ids"] == tokenizer(TEXTS[0])["input_ids"]
    assert (
        transformers.AutoTokenizer.from_pretrained(tmp_path)(TEXTS[0])["input_ids"] == tokenizer(TEXTS[0])["input_ids"]
    )


@pytest.mark.parametrize("name", list(tiny.SHAPES))
def test_dropout_reaches_the_head_and_nothing_else(shape, name: str) -> None:
    def rates(model: Any) -> tuple[set[float], list[float]]:
        kinds = [(module, path) for path, module in model.named_modules() if isinstance(module, torch.nn.Dropout)]
        inside = [module.p for module, path in kinds if path.startswith(f"{model.base_model_prefix}.")]
        return {module.p for module, path in kinds if not path.startswith(f"{model.base_model_prefix}.")}, inside

    head, body = rates(loading.load_classifier(shape(name), 2, dropout=0.37))
    assert head == {0.37}
    assert body == rates(loading.load_classifier(shape(name), 2))[1]


def test_new_heads_follow_the_seed(shape) -> None:
    def head(seed: int) -> Any:
        torch.manual_seed(seed)
        return loading.load_classifier(shape("klue-bert"), 3).classifier.weight

    assert torch.equal(head(1), head(1))
    assert not torch.equal(head(1), head(2))


def test_a_head_is_kept_for_the_same_labels_only(shape, tmp_path: Path) -> None:
    labels = {0: "부정", 1: "긍정"}
    first = loading.load_classifier(shape("klue-bert"), 2, labels)
    loading.save_pretrained(first, loading.load_tokenizer(shape("klue-bert")), tmp_path)
    same = loading.load_classifier(tmp_path, 2, labels)
    assert torch.equal(same.classifier.weight, first.classifier.weight)
    for k, wanted in ((2, {0: "긍정", 1: "부정"}), (3, None)):
        other = loading.load_classifier(tmp_path, k, wanted)
        assert other.classifier.weight.shape[0] == k
        assert not torch.equal(other.classifier.weight[:2], first.classifier.weight)
        assert loading.new_weights(other) == ("classifier.bias", "classifier.weight")
        assert torch.equal(
            other.bert.encoder.layer[0].output.dense.weight, first.bert.encoder.layer[0].output.dense.weight
        )


def test_arguments_of_load_classifier_that_make_no_sense(shape) -> None:
    with pytest.raises(UsageError, match="label ids must be 0 to 2"):
        loading.load_classifier(shape("klue-bert"), 3, {0: "가", 1: "나"})
    with pytest.raises(UsageError, match="give k as well"):
        loading.load_classifier(shape("klue-bert"), problem_type="multi_label_classification")


def test_a_base_is_not_a_saved_classifier(shape) -> None:
    with pytest.raises(FormatError, match="has no trained classification head"):
        loading.load_classifier(shape("klue-bert"))


def test_masked_lm_heads(shape) -> None:
    assert loading.new_weights(loading.load_masked_lm(shape("klue-bert"))) == ()
    assert loading.new_weights(loading.load_masked_lm(shape("klue-roberta"))) == ()
    fresh = loading.new_weights(loading.load_masked_lm(shape("kcelectra")))  # a discriminator
    assert fresh
    assert all(name.startswith("generator_") for name in fresh)


def test_half_precision_files_are_read_as_float32_unless_asked(copy) -> None:
    folder = copy("klue-bert")
    loading.load_backbone(folder).to(torch.bfloat16).save_pretrained(folder)
    assert loading.load_backbone(folder).dtype == torch.float32
    assert loading.load_backbone(folder, dtype=torch.bfloat16).dtype == torch.bfloat16


def test_bin_weights_are_read_without_pickle(copy) -> None:
    folder = copy("klue-bert")
    want = loading.load_backbone(folder)
    assert loading.weights_note(folder) is None
    tiny.as_bin(folder)
    note = loading.weights_note(folder)
    assert note is not None
    assert "has no safetensors" in note
    got = loading.load_backbone(folder)
    assert all(torch.equal(a, b) for a, b in zip(want.parameters(), got.parameters(), strict=True))


class _Evil:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return Path.touch, (Path(_Evil.target),)  # type: ignore[return-value]

    target = ""


def test_code_in_a_bin_is_not_run(copy, tmp_path: Path) -> None:
    folder = tiny.as_bin(copy("klue-bert"))
    _Evil.target = str(tmp_path / "ran")
    torch.save({"weights": _Evil()}, folder / "pytorch_model.bin")
    with pytest.raises(FormatError, match="holds more than tensors and was not read"):
        loading.load_backbone(folder)
    assert not (tmp_path / "ran").exists()


def test_weights_of_another_architecture_are_refused(copy) -> None:
    folder = copy("klue-bert")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "electra", "embedding_size": tiny.WIDTH}))
    with pytest.raises(FormatError, match="do not fit the architecture electra"):
        loading.load_backbone(folder)
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    for load in (loading.load_backbone, loading.load_masked_lm, lambda ref: loading.load_classifier(ref, 2)):
        with pytest.raises(FormatError, match=r"layer\.2\.attention.* is missing \(16 such\)"):
            load(folder)


def test_cut_or_unknown_files_are_one_sentence(copy) -> None:
    folder = copy("klue-bert")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(FormatError, match="cannot be loaded") as caught:
        loading.load_backbone(folder)
    assert "\n" not in str(caught.value)
    (folder / "config.json").write_text('{"model_type": "no-such-thing"}')
    with pytest.raises(FormatError, match="cannot be loaded"):
        loading.load_config(folder)
    (folder / "config.json").write_text('{"model_type": ')
    with pytest.raises(FormatError):
        loading.load_config(folder)


# --------------------------------------------------------------------------------------------------- refs and the hub


def test_local_refs_that_are_wrong(tmp_path: Path, copy) -> None:
    with pytest.raises(UsageError, match="there is no model folder"):
        loading.load_config(tmp_path / "missing")
    with pytest.raises(UsageError, match="there is no model folder"):
        loading.load_config("./a/b")
    with pytest.raises(UsageError, match=r"has no config\.json"):
        loading.load_tokenizer(tmp_path)
    (tmp_path / "file.bin").touch()
    with pytest.raises(UsageError, match="a model is a folder"):
        loading.load_config(tmp_path / "file.bin")
    folder = copy("klue-bert")
    (folder / "model.safetensors").unlink()
    with pytest.raises(UsageError, match=r"neither model\.safetensors nor pytorch_model\.bin"):
        loading.load_backbone(folder)


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_a_hub_id_while_offline(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "1")  # after the client was imported, which read it then
    for load in (loading.load_tokenizer, loading.load_config, loading.load_backbone, loading.load_masked_lm):
        with pytest.raises(UsageError, match=r"no folder 'nobody/nothing'.*offline mode is on.*maeum base e5-small-ko"):
            load("nobody/nothing")
    set_language("ko")
    with pytest.raises(UsageError, match="오프라인 모드"):
        loading.load_config("nobody/nothing")


def test_a_hub_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub
    from huggingface_hub import constants
    from huggingface_hub.errors import LocalEntryNotFoundError

    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for error in (LocalEntryNotFoundError("no"), ConnectionError("no")):

        def fail(*args: object, error: Exception = error, **kwargs: object) -> str:
            raise error

        monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
        with pytest.raises(UsageError, match="the hub cannot be reached; give a local folder"):
            loading.load_config("nobody/nothing")


def test_a_downloaded_copy_works_offline(shape, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    home, commit = tmp_path / "models--nobody--tiny", "0" * 40
    shutil.copytree(shape("kobert"), home / "snapshots" / commit)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert loading.load_backbone("nobody/tiny").config.hidden_size == tiny.WIDTH
    assert loading.load_tokenizer("nobody/tiny").cls_token == "[CLS]"


@pytest.mark.parametrize("weights", ["model.safetensors", "pytorch_model.bin"])
def test_a_hub_id_fetches_bin_only_where_there_is_nothing_else(
    copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: str
) -> None:
    import fnmatch

    import huggingface_hub

    remote, cache = copy("klue-bert"), tmp_path / "cache"
    cache.mkdir()
    kept = (remote / "model.safetensors").read_bytes()
    tiny.as_bin(remote)
    if weights == "model.safetensors":
        (remote / weights).write_bytes(kept)  # the hub has both

    def download(name: str, *, allow_patterns: list[str], **kwargs: object) -> str:
        for path in remote.iterdir():
            if any(fnmatch.fnmatch(path.name, pattern) for pattern in allow_patterns):
                shutil.copy(path, cache)
        return str(cache)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    loading.load_tokenizer("klue/bert-base")
    fetched = {path.name for path in cache.iterdir()}
    assert not fetched & {"model.safetensors", "pytorch_model.bin"}
    loading.load_backbone("klue/bert-base")
    assert {path.name for path in cache.iterdir()} - fetched == {weights}


def test_nothing_is_printed(shape, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = loading.load_classifier(shape("klue-roberta"), 3)
    loading.load_masked_lm(shape("kcelectra"))
    loading.save_pretrained(model, loading.load_tokenizer(shape("klue-roberta")), tmp_path)
    out = capfd.readouterr()
    assert (out.out, out.err) == ("", "")


def test_only_this_package_calls_the_hugging_face_libraries() -> None:
    names = {"transformers", "accelerate", "huggingface_hub"}
    source = Path(loading.__file__).parents[1]
    for path in source.rglob("*.py"):
        if source / "hf" in path.parents:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        # A bare ``require("transformers")`` only asks whether it is there, before any work is done.
        asked = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            used: list[str] = []
            if isinstance(node, ast.Import):
                used = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                used = [node.module or ""]
            elif isinstance(node, ast.Call) and id(node) not in asked:
                called = getattr(node.func, "id", getattr(node.func, "attr", ""))
                if called in ("require", "import_module"):
                    used = [str(arg.value) for arg in node.args if isinstance(arg, ast.Constant)]
            assert not {name.split(".")[0] for name in used} & names, path
