"""Tokenizers and their frames: every Korean shape, KoBERT's pieces, files that do not fit."""

from __future__ import annotations

import json
import random
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny

from maeum.errors import FormatError
from maeum.hf import loading
from maeum.hf.frame import frame_of
from maeum.hf.tokenizers import load_tokenizer

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


def pieces(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


@pytest.mark.parametrize("name", list(tiny.SHAPES))
def test_the_frame_is_the_tokenizers_own(shape, name: str) -> None:
    folder = shape(name)
    tokenizer, config = load_tokenizer(folder), loading.load_config(folder)
    frame = frame_of(tokenizer, config)
    for first, second in [*((text, None) for text in TEXTS), *zip(TEXTS, reversed(TEXTS), strict=True)]:
        own = tokenizer(first, second, return_token_type_ids=True)
        ids, types = frame.encode(pieces(tokenizer, first), None if second is None else pieces(tokenizer, second))
        assert ids == own["input_ids"]
        assert types is None or types == own["token_type_ids"]
        assert len(ids) == frame.overhead(pair=second is not None) + sum(
            len(pieces(tokenizer, text)) for text in (first, second) if text is not None
        )


def test_what_the_frames_are(shape) -> None:
    frames = {name: frame_of(load_tokenizer(shape(name)), loading.load_config(shape(name))) for name in tiny.SHAPES}
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


@pytest.mark.parametrize("name", list(tiny.SHAPES))
def test_offsets_point_into_the_raw_text(shape, name: str) -> None:
    tokenizer = load_tokenizer(shape(name))
    text = "  배송이 좋아요 ㅋㅋㅋ 10000원"
    found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    covered = {index for start, end in found["offset_mapping"] for index in range(start, end)}
    assert {index for index, char in enumerate(text) if not char.isspace()} <= covered
    piece = next(i for i, (a, b) in enumerate(found["offset_mapping"]) if text[a:b].strip() == "원")
    assert tokenizer.convert_ids_to_tokens(found["input_ids"][piece]).strip("▁#") in ("원", "[UNK]")


@pytest.mark.parametrize(("name", "model"), [("kobert", "tokenizer_78b3253a26.model"), ("kobert-skt", "spiece.model")])
def test_kobert_ids_are_sentencepieces(shape, name: str, model: str) -> None:
    import sentencepiece

    folder = shape(name)
    tokenizer = load_tokenizer(folder)
    processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / model))
    more = ["", " ", "\t\n", "\ufeff시작", "▁", "①②㈜ ㎏", "café e\u0301", "\u3000전각\u3000", "ㅋ\u200bㅋ", "❤️ ©️ 1️⃣"]
    for text in [*TEXTS, *more, *tiny.sentences()]:
        assert pieces(tokenizer, text) == processor.encode(text), text


def test_kobert_on_random_strings_differs_only_in_the_order_of_equal_scores(shape) -> None:
    """Ties between orders of the same pieces are broken by float32 rounding in sentencepiece: .. + . or . + .."""
    import sentencepiece

    folder = shape("kobert")
    tokenizer = load_tokenizer(folder)
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
    before = load_tokenizer(folder)
    lines = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    moved = lines[:5] + lines[5:][::-1]
    (folder / "vocab.txt").write_text("".join(f"{line}\n" for line in moved), encoding="utf-8")
    after = load_tokenizer(folder)
    for text in TEXTS:
        assert [moved[i] for i in pieces(after, text)] == [lines[i] for i in pieces(before, text)]


def test_kobert_is_saved_as_an_ordinary_fast_tokenizer(shape, tmp_path: Path) -> None:
    import transformers

    folder = shape("kobert")
    tokenizer = load_tokenizer(folder)
    loading.save_pretrained(loading.load_backbone(folder), tokenizer, tmp_path)
    assert (tmp_path / "tokenizer.json").is_file()
    for again in (load_tokenizer(tmp_path), transformers.AutoTokenizer.from_pretrained(tmp_path)):
        for text in TEXTS:
            assert again(text, TEXTS[0])["input_ids"] == tokenizer(text, TEXTS[0])["input_ids"]


def test_kobert_files_that_do_not_fit(copy) -> None:
    folder = copy("kobert")
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text(vocabulary.read_text(encoding="utf-8") + "▁없던조각\n", encoding="utf-8")
    with pytest.raises(FormatError, match=r"do not fit each other \(▁없던조각\)"):
        load_tokenizer(folder)
    model = folder / "tokenizer_78b3253a26.model"
    model.write_bytes(model.read_bytes()[:-7])
    with pytest.raises(FormatError, match=r"not a sentencepiece model, or cut short"):
        load_tokenizer(folder)


def test_tokenizer_json_wins_over_what_a_class_would_make_of_it(copy) -> None:
    folder = copy("klue-bert")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    del settings["do_lower_case"]  # BertTokenizer's default is lower-casing, and then syllables taken apart
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    tokenizer = load_tokenizer(folder)
    assert tokenizer.tokenize("iPhone 좋아") == load_tokenizer(copy("kcelectra")).tokenize("iPhone 좋아")


def test_special_tokens_without_roles_are_found(copy) -> None:
    folder = copy("klue-bert")
    (folder / "special_tokens_map.json").unlink()
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": False})
    )
    tokenizer = load_tokenizer(folder)
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
    tokenizer, config = load_tokenizer(folder), loading.load_config(folder)
    assert len(tokenizer) <= config.vocab_size
    for text in ("<s>좋아</s>", "<cls> <mask>", "[CLS] [MASK]", "<eop><eod>"):
        assert max(pieces(tokenizer, text)) < config.vocab_size


def test_a_vocabulary_larger_than_the_embedding_is_refused(copy) -> None:
    folder = copy("kcelectra")
    with (folder / "vocab.txt").open("a", encoding="utf-8") as file:
        file.write("하나더\n")
    with pytest.raises(FormatError, match="has 351 tokens and the model embeds only 350"):
        load_tokenizer(folder)


def test_a_folder_without_tokenizer_files(copy) -> None:
    folder = copy("kcelectra")
    (folder / "vocab.txt").unlink()
    with pytest.raises(FormatError, match="has no tokenizer files"):
        load_tokenizer(folder)
