"""Loading encoders and heads, and saving them: every Korean shape, weights that must not be trusted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny

from maeum.errors import FormatError, UsageError
from maeum.hf import loading
from maeum.hf.files import weights_note
from maeum.hf.frame import frame_of, segment_ids
from maeum.hf.tokenizers import load_tokenizer

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

pytestmark = pytest.mark.usefixtures("one_thread")

TEXTS = [
    "배송이 너무 빨라서 기분이 좋아요 ㅋㅋㅋ",
    "생각보다 별로라서 속상했어요ㅠㅠ 😂😂👍🏻",
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


@pytest.mark.parametrize("name", list(tiny.SHAPES))
def test_every_shape_loads_and_runs(shape, name: str) -> None:
    folder = shape(name)
    tokenizer, config = load_tokenizer(folder), loading.load_config(folder)
    frame = frame_of(tokenizer, config)
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


def test_klue_roberta_pair_as_its_tokenizer_says_fails_and_as_we_say_runs(shape) -> None:
    folder = shape("klue-roberta")
    tokenizer, config = load_tokenizer(folder), loading.load_config(folder)
    model = loading.load_backbone(folder)
    own = tokenizer(TEXTS[0], TEXTS[1], return_tensors="pt", return_token_type_ids=True)
    assert int(own["token_type_ids"].max()) == 1
    with pytest.raises(IndexError):
        model(**own)
    assert not segment_ids(config, tokenizer)
    frame = frame_of(tokenizer, config)
    model(**inputs(frame, pieces(tokenizer, TEXTS[0]), pieces(tokenizer, TEXTS[1])))


def test_the_longest_input_runs_and_one_more_does_not(shape) -> None:
    folder = shape("klue-roberta")
    frame = frame_of(load_tokenizer(folder), loading.load_config(folder))
    model = loading.load_backbone(folder)
    room = frame.max_positions - frame.overhead(pair=False)
    with torch.no_grad():
        model(**inputs(frame, [5] * room))
    with pytest.raises((IndexError, RuntimeError)):
        model(**inputs(frame, [5] * (room + 1)))


@pytest.mark.parametrize("name", list(tiny.SHAPES))
def test_save_and_load_give_equal_logits(shape, name: str, tmp_path: Path) -> None:
    import transformers

    folder, labels = shape(name), {0: "기쁨", 1: "분노", 2: "슬픔"}
    tokenizer, config = load_tokenizer(folder), loading.load_config(folder)
    model = loading.load_classifier(folder, 3, labels, problem_type="multi_label_classification", dropout=0.3)
    loading.save_pretrained(model, tokenizer, tmp_path)
    written = sorted(path.name for path in tmp_path.iterdir())
    assert written == ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    assert str(folder) not in (tmp_path / "config.json").read_text() + (tmp_path / "tokenizer_config.json").read_text()
    given = inputs(frame_of(tokenizer, config), pieces(tokenizer, TEXTS[0]), pieces(tokenizer, TEXTS[1]))
    again = loading.load_classifier(tmp_path)
    other = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        want = model(**given).logits
        # Memory-mapped weights lie differently aligned, which may cost the last bit; the weights themselves are equal.
        torch.testing.assert_close(again(**given).logits, want, rtol=0, atol=1e-6)
        torch.testing.assert_close(other(**given).logits, want, rtol=0, atol=1e-6)
    for loaded in (again, other):
        for path, tensor in model.state_dict().items():
            assert torch.equal(loaded.state_dict()[path], tensor), path
    assert loading.new_weights(again) == ()
    assert (again.config.id2label, again.config.problem_type) == (labels, "multi_label_classification")
    assert again.config.label2id == {"기쁨": 0, "분노": 1, "슬픔": 2}
    assert load_tokenizer(tmp_path)(TEXTS[0])["input_ids"] == tokenizer(TEXTS[0])["input_ids"]
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
    loading.save_pretrained(first, load_tokenizer(shape("klue-bert")), tmp_path)
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
    assert weights_note(folder) is None
    tiny.as_bin(folder)
    note = weights_note(folder)
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
