"""Base encoders: a tiny E5S1 file is read, cut and written; damaged files are refused in one sentence."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from safetensors.numpy import load_file

from maeum.bases import e5 as base_encoders
from maeum.bases.charsmap import build_charsmap
from maeum.bases.e5 import convert_base, find_base, korean_pieces
from maeum.bases.e5_file import read_e5
from maeum.errors import FormatError, MissingExtra, UsageError

H, LAYERS, HEADS, FFN, POSITIONS = 32, 1, 4, 64, 16
JAMO = {0x314B: "ᄏ", 0x314E: "ᄒ", 0x3160: "ᅲ", 0x315C: "ᅮ", 0x3147: "ᄋ", 0x3161: "ᅳ", 0x314F: "ᅡ"}
NORMALISER = {1: "", 0x7F: "", 9: " ", 10: " ", 0x339D: "cm", 0xFF01: "!", **JAMO}
PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁", *"가나다", *JAMO.values(), *".,?!~^", *"0123456789", *"cmq"]
PIECES += ["▁가나", "привет", "▁слово", "ᄏᄏ", "12345", "<mask>"]


@pytest.fixture
def tensors(rng) -> dict[str, np.ndarray]:
    """Values that Q4_0 holds exactly: (q - 8) * 0.5 with q from 0 to 15."""

    def matrix(*shape: int) -> np.ndarray:
        return ((rng.integers(0, 16, shape) - 8) * 0.5).astype(np.float32)

    out = {"emb.word": matrix(len(PIECES) + 3, H), "emb.pos": matrix(POSITIONS, H), "emb.type": matrix(2, H)}
    out |= {"emb.ln.w": matrix(H), "emb.ln.b": matrix(H)}
    for name, rows, columns in (
        *((name, H, H) for name in ("q", "k", "v", "ao")),
        ("fi", FFN, H),
        ("fo", H, FFN),
    ):
        out |= {f"l0.{name}.w": matrix(rows, columns), f"l0.{name}.b": matrix(rows)}
    for name in ("aln", "oln"):
        out |= {f"l0.{name}.w": matrix(H), f"l0.{name}.b": matrix(H)}
    return out


def q4(values: np.ndarray, scale: float = 0.5) -> bytes:
    """Encode as the format's description says, block by block."""
    out = b""
    for block in values.reshape(-1, 32):
        codes = (block / 0.5 + 8).astype(int)
        out += struct.pack("<e", scale) + bytes(codes[j] | codes[j + 16] << 4 for j in range(16))
    return out


def e5_bytes(tensors, *, magic=b"E5S1", version=1, header=(), pieces=PIECES, scale=0.5, specials=(0, 2, 1, 3)) -> bytes:
    sizes = [H, LAYERS, HEADS, FFN, len(tensors["emb.word"]), POSITIONS, 2]
    for place, value in header:
        sizes[place] = value
    head = magic + struct.pack("<I7ifi", version, *sizes, 1e-12, 32)
    coded = [piece if isinstance(piece, bytes) else piece.encode() for piece in pieces]
    offsets = np.cumsum([0, *map(len, coded)])
    head += struct.pack("<5iQ", len(coded), *specials, offsets[-1]) + offsets.astype("<u4").tobytes()
    head += np.linspace(-2, -12, len(coded)).astype("<f4").tobytes() + b"".join(coded)
    entries = b"".join(
        struct.pack(f"<IB{len(text)}I", code, len(text), *map(ord, text)) for code, text in NORMALISER.items()
    )
    head += struct.pack("<iI", len(NORMALISER), len(entries)) + entries + struct.pack("<i", len(tensors))
    bodies = [
        (name, 1, q4(value, scale))
        if value.ndim == 2 and name not in ("emb.pos", "emb.type")
        else (name, 0, value.tobytes())
        for name, value in tensors.items()
    ]
    start = len(head) + sum(2 + len(name) + 21 for name, _, _ in bodies)
    for name, kind, body in bodies:
        head += struct.pack("<H", len(name)) + name.encode()
        head += struct.pack("<BIQQ", kind, tensors[name].size, start, len(body))
        start += len(body)
    return head + b"".join(body for _, _, body in bodies)


@pytest.fixture
def source(tmp_path, tensors):
    path = tmp_path / "tiny.bin"
    path.write_bytes(e5_bytes(tensors))
    return path


def test_reads_sizes_pieces_and_values_exactly(source, tensors):
    file = read_e5(source)
    assert (file.sizes["hidden"], file.sizes["positions"], file.sizes["eps"]) == (H, POSITIONS, 1e-12)
    assert list(file.pieces) == PIECES
    assert file.normaliser == NORMALISER
    assert file.specials == {"bos": 0, "eos": 2, "pad": 1, "unk": 3}
    for name, value in tensors.items():
        np.testing.assert_array_equal(file.tensor(name, *value.shape), value)
    np.testing.assert_array_equal(
        file.tensor("emb.word", *tensors["emb.word"].shape, rows=np.array([5, 2])), tensors["emb.word"][[5, 2]]
    )


def test_the_folder_holds_the_chosen_rows_and_says_so(source, tensors, tmp_path):
    lines: list[str] = []
    facts = convert_base("e5-small-ko", tmp_path / "out", source=source, progress=lines.append)
    gone = {"привет", "▁слово", "12345"}
    rows = [i for i, piece in enumerate(PIECES) if piece not in gone]
    assert facts["pieces"] == len(rows) == len(PIECES) - 3
    assert lines
    weights = load_file(tmp_path / "out" / "model.safetensors")
    assert facts["parameters"] == sum(value.size for value in weights.values())
    np.testing.assert_array_equal(weights["embeddings.word_embeddings.weight"], tensors["emb.word"][rows])
    np.testing.assert_array_equal(weights["encoder.layer.0.intermediate.dense.weight"], tensors["l0.fi.w"])
    np.testing.assert_array_equal(weights["encoder.layer.0.output.LayerNorm.bias"], tensors["l0.oln.b"])
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (config["architectures"], config["vocab_size"], config["pad_token_id"]) == (["BertModel"], len(rows), 1)
    pooling = json.loads((tmp_path / "out" / "1_Pooling" / "config.json").read_text())
    assert pooling["pooling_mode_mean_tokens"]
    assert not pooling["pooling_mode_cls_token"]
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    for word in ("license: mit", "dequantised 4-bit", "query: ", "tiny.bin", facts["source_sha256"]):
        assert word in card
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["model"] == "base-encoder"
    assert set(manifest["files"]) >= {"config.json", "model.safetensors", "1_Pooling/config.json"}


def test_full_vocabulary_keeps_every_piece(source, tensors, tmp_path):
    facts = convert_base("e5-small-ko", tmp_path / "out", source=source, vocabulary="full")
    assert facts["pieces"] == len(PIECES)
    weights = load_file(tmp_path / "out" / "model.safetensors")
    np.testing.assert_array_equal(
        weights["embeddings.word_embeddings.weight"], tensors["emb.word"][: len(PIECES)]
    )  # rows without a piece go


def test_the_tokenizer_works_as_described(source, tmp_path):
    from tokenizers import Tokenizer

    convert_base("e5-small-ko", tmp_path / "out", source=source)
    tokenizer = Tokenizer.from_file(str(tmp_path / "out" / "tokenizer.json"))
    unknown = tokenizer.token_to_id("<unk>")
    assert [tokenizer.token_to_id(token) for token in ("<s>", "<pad>", "</s>", "<unk>")] == [0, 1, 2, 3]
    assert tokenizer.token_to_id("<mask>") == tokenizer.get_vocab_size() - 1
    assert tokenizer.encode("ㅋㅋㅠㅠ", add_special_tokens=False).tokens == ["▁", "ᄏ", "ᄏ", "ᅲ", "ᅲ"]
    assert unknown not in tokenizer.encode("가나다 ㅋㅎㅠㅜ 2.5！").ids
    assert unknown in tokenizer.encode("привет").ids
    assert tokenizer.encode("가", "나").tokens == ["<s>", "▁", "가", "</s>", "</s>", "▁", "나", "</s>"]
    assert tokenizer.encode("가 <mask>").tokens == ["<s>", "▁", "가", " <mask>", "</s>"]
    assert tokenizer.encode("\t가 \n  다 ").tokens == tokenizer.encode("가 다").tokens
    assert tokenizer.decode(tokenizer.encode("가나 다!").ids) == "가나 다!"
    text = "\x01\x7f다 \t3㎝가\x01나"
    found = tokenizer.encode(text, add_special_tokens=False)
    spans = [(token, text[start:end]) for token, (start, end) in zip(found.tokens, found.offsets, strict=True)]
    assert [pair for pair in spans if pair[0] != "▁"] == [
        ("다", "다"),
        ("3", "3"),
        ("c", "㎝"),
        ("m", "㎝"),
        ("가", "가"),
        ("나", "나"),
    ]


def test_transformers_opens_the_folder(source, tmp_path):
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    convert_base("e5-small-ko", tmp_path / "out", source=source)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out", local_files_only=True)
    model = transformers.AutoModel.from_pretrained(tmp_path / "out", local_files_only=True, add_pooling_layer=False)
    assert (tokenizer.bos_token_id, tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id) == (
        0,
        1,
        2,
        3,
    )
    assert (tokenizer.cls_token, tokenizer.sep_token, tokenizer.mask_token) == ("<s>", "</s>", "<mask>")
    assert tokenizer.mask_token_id == len(tokenizer) - 1
    assert tokenizer.model_max_length == POSITIONS
    batch = tokenizer(["가나다", "ㅋ"], padding=True, return_tensors="pt")
    assert set(batch) == {"input_ids", "attention_mask"}
    assert batch["input_ids"][1, -1] == 1
    with torch.no_grad():
        assert model(**batch).last_hidden_state.isfinite().all()


def test_the_rule():
    kept = ["▁재미", "ᄏᄏ", "K리그", "😂", "▁?!", "❤️", "2024", "10.", "▁10,000", "▁OK", "zzz", "▁passage", "ω", "の"]
    gone = ["20240", "2,505", "100%.", "OST", "▁movie", "文", "привет", "é", "们"]
    ranked = {
        67: ("▁the", True),
        1_500: ("é", False),
        1_501: ("привет", False),
        9_000: ("文", True),
        9_001: ("们", False),
    }
    ranked |= {34_000: ("OST", True), 34_001: ("AMOLED", False), 46_000: ("▁movie", False)}
    pieces = ["слово"] * 61_000 + kept + gone + ["<mask>"]
    for rank, (piece, _) in ranked.items():
        pieces[rank] = piece
    found = korean_pieces(pieces)
    expected = [0, 1, 2, 3, *(rank for rank, (_, stays) in ranked.items() if stays)]
    assert found.tolist() == [*expected, *range(61_000, 61_000 + len(kept)), len(pieces) - 1]


def test_a_charsmap_maps_every_character_as_its_table(rng):
    from tokenizers import normalizers

    codes = [int(code) for code in rng.choice(0x110000, 3000, replace=False) if code and not 0xD800 <= code < 0xE000]
    table = {code: ["", " ", "가", "abc", "𝟙ω"][i % 5] for i, code in enumerate(codes)}
    normaliser = normalizers.Precompiled(build_charsmap(table))
    for code in {*codes, *range(1, 0x3000), *(code ^ 1 for code in codes)}:
        if code and not 0xD800 <= code < 0xE000:
            assert normaliser.normalize_str(chr(code)) == table.get(code, chr(code)), hex(code)


@pytest.mark.parametrize("table", [{0: "a"}, {65: "\0"}])
def test_a_charsmap_holds_no_nul(table):
    with pytest.raises(ValueError, match="NUL"):
        build_charsmap(table)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"magic": b"GGUF"}, "not an E5S1 file"),
        ({"version": 2}, "version is 2"),
        ({"header": [(2, 5)]}, "sizes"),
        ({"header": [(0, 64)]}, "another size"),
        ({"header": [(1, 2)]}, "no tensor 'l1"),
        ({"header": [(4, 3)]}, "more pieces"),
        ({"scale": float("nan")}, "not finite"),
        ({"pieces": [*PIECES[:-2], b"\xff\xfe", "<mask>"]}, "UTF-8"),
        ({"pieces": [*PIECES[:-2], "가", "<mask>"]}, "repeats"),
        ({"pieces": PIECES[:-1]}, "<mask>"),
        ({"pieces": [piece for piece in PIECES if piece not in ("ᅲ", "ᄏ")]}, "Korean needs: ㅋ ㅠ"),
        ({"specials": (0, 2, 3, 1)}, "<pad>"),
        ({"specials": (0, 2, 1, -3)}, "vocabulary"),
    ],
)
def test_a_wrong_file_is_refused_in_one_sentence(tensors, tmp_path, changes, says):
    (tmp_path / "bad.bin").write_bytes(e5_bytes(tensors, **changes))
    with pytest.raises(FormatError, match=says) as caught:
        convert_base("e5-small-ko", tmp_path / "out", source=tmp_path / "bad.bin")
    assert "bad.bin" in caught.value.ko
    assert not (tmp_path / "out").exists()


def test_a_file_cut_anywhere_is_refused(source, tmp_path):
    whole = source.read_bytes()
    for end in [*range(0, 900, 7), *range(900, len(whole), 997), len(whole) - 1]:
        (tmp_path / "cut.bin").write_bytes(whole[:end])
        with pytest.raises(FormatError):
            read_e5(tmp_path / "cut.bin")


def test_changed_bytes_are_read_or_refused_but_never_crash(source, tmp_path, rng):
    whole = source.read_bytes()
    for _ in range(300):
        data = bytearray(whole)
        for place in rng.integers(0, 2500, 2):
            data[place] = rng.integers(256)
        (tmp_path / "odd.bin").write_bytes(data)
        try:
            file = read_e5(tmp_path / "odd.bin")
            file.tensor("l0.fi.w", FFN, H)
        except FormatError:
            pass


def test_unknown_names_and_a_full_place_are_usage_errors(source, tmp_path):
    with pytest.raises(UsageError, match="e5-small-ko"):
        convert_base("e5-large", tmp_path / "out", source=source)
    with pytest.raises(UsageError, match="'full'"):
        convert_base("e5-small-ko", tmp_path / "out", source=source, vocabulary="english")
    convert_base("e5-small-ko", tmp_path / "out", source=source)
    with pytest.raises(UsageError, match="already exists"):
        convert_base("e5-small-ko", tmp_path / "out", source=source)
    convert_base("e5-small-ko", tmp_path / "out", source=source, vocabulary="full", overwrite=True)


def test_a_missing_package_names_the_extra(monkeypatch, tmp_path):
    absent = base_encoders.Base("maeum-no-such-package", "1", "x.bin", "", "")
    monkeypatch.setitem(base_encoders.BASES, "e5-small-ko", absent)
    with pytest.raises(MissingExtra, match="maeum-no-such-package"):
        convert_base("e5-small-ko", tmp_path / "out")
    there = base_encoders.Base("numpy", "2", "numpy/no-such-file.bin", "", "")
    monkeypatch.setitem(base_encoders.BASES, "e5-small-ko", there)
    with pytest.raises(FormatError, match="reinstall numpy"):
        find_base("e5-small-ko")


def test_the_command(source, tmp_path, capsys):
    from click.testing import CliRunner

    from maeum.apps.cli.base import base

    words = ["e5-small-ko", "-o", str(tmp_path / "out"), "--from", str(source), "--json"]
    done = CliRunner().invoke(base, words, catch_exceptions=False)
    assert done.exit_code == 0
    assert json.loads(done.stdout)["pieces"] == len(PIECES) - 3
    done = CliRunner().invoke(base, [*words[:-1], "--vocabulary", "full", "--overwrite"], catch_exceptions=False)
    assert f"{len(PIECES)} pieces" in done.stderr
