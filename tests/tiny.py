"""Tiny random-weight models in the real shapes of the Korean encoders people fine-tune.

Each builder writes a folder as its namesake lies on the hub: the same architecture, special tokens and their ids,
configuration keys, tokenizer files and quirks, with widths shrunk (32 wide, two heads, two layers) and vocabularies
trained here, on sentences written here. What each comment calls "real" is recalled from the published
configurations; "assumed" marks what could not be looked up again while this was written.

Real hub repositories of these models mostly hold ``pytorch_model.bin`` only; the builders write safetensors and
``as_bin`` turns a folder into that older form.
"""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

WIDTH, HEADS, LAYERS = 32, 2, 2

_WHAT = ["배송", "가격", "품질", "포장", "상담", "화면", "소리", "향", "디자인", "맛"]
_HOW = [
    "정말 마음에 들어요 ㅋㅋㅋ",
    "생각보다 별로라서 속상했어요 ㅠㅠ",
    "10000원이면 괜찮은 편이에요",
    "너무 좋아서 또 샀습니다 👍",
    "기대하지 않았는데 깜짝 놀랐어요 😂😂",
    "화가 나서 환불했습니다 ㅡㅡ",
    "그냥 그래요... 3점 드려요",
    "친구에게도 추천했어요♥",
    "다시는 안 사요!! 최악ㅋㅋ",
    "어제 왔는데 벌써 고장 났어요 ㅜㅜ",
]
_MORE = [
    "오늘은 기분이 좋다. 하늘도 맑고 바람도 시원하다.",
    "아무 말도 하고 싶지 않은 하루였다 😢",
    "iPhone 15 Pro 케이스 샀는데 USB-C 단자가 안 맞음",
    "사장님이 친절하시고 커피가 맛있어서 매주 갑니다~^^",
    "웃다가 울었다 ㅋㅋㅠㅠ 2024년 최고의 영화",
    "무섭고 떨렸지만 끝까지 해냈다는 게 자랑스럽다",
    "약속을 또 어기다니 믿을 수가 없네",
    "엄마 생각이 나서 눈물이 났어요",
    "OMG 대박 이벤트 100% 당첨이라니",
    "그 사람 이름만 들어도 짜증이 난다",
]


def sentences() -> list[str]:
    """About two hundred short Korean sentences with laughter, tears, emoji, digits and some English."""
    made = [
        f"{what}{'이' if (ord(what[-1]) - 0xAC00) % 28 else '가'} {how}" for what, how in itertools.product(_WHAT, _HOW)
    ]
    return [*made, *(f"{a} {b}" for a, b in itertools.product(_MORE, repeat=2))]


def klue_bert(folder: Path) -> Path:
    """klue/bert-base. Real: BertForPreTraining, cased WordPiece of 32000, [PAD] 0 … [MASK] 4, two segments."""
    vocabulary = _wordpiece(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], lowercase=False)
    _write_bert_files(folder, vocabulary, with_json=True, settings={"tokenizer_class": "BertTokenizer"})
    config = _bert_config(len(vocabulary), architectures=["BertForPreTraining"], model_type="bert")
    return _write_model(folder, "BertForPreTraining", config)


def klue_roberta(folder: Path) -> Path:
    """klue/roberta-base. Real: RoBERTa with BERT's tokenizer and a single segment.

    514 position rows for 512 tokens; ids [CLS] 0, [PAD] 1, [SEP] 2, [UNK] 3, [MASK] 4 so that they agree with
    RoBERTa's bos, pad and eos. The tokenizer numbers the second text 1 and ``type_vocab_size`` is 1.
    """
    vocabulary = _wordpiece(["[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]"], lowercase=False)
    settings = {"tokenizer_class": "BertTokenizer", "bos_token": "[CLS]", "eos_token": "[SEP]"}
    _write_bert_files(folder, vocabulary, with_json=True, settings=settings)
    config = _bert_config(
        len(vocabulary),
        architectures=["RobertaForMaskedLM"],
        model_type="roberta",
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
        type_vocab_size=1,
        max_position_embeddings=514,
        layer_norm_eps=1e-5,
        tokenizer_class="BertTokenizer",
        gradient_checkpointing=False,
    )
    return _write_model(folder, "RobertaForMaskedLM", config)


def kcelectra(folder: Path) -> Path:
    """beomi/KcELECTRA-base-v2022. Real: ElectraForPreTraining (a discriminator), cased WordPiece of 54343.

    ``embedding_size`` equals ``hidden_size`` (768), so there is no projection between them; two segments; emoji in
    the vocabulary. Assumed: ``vocab.txt`` without a ``tokenizer.json``.
    """
    vocabulary = _wordpiece(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], lowercase=False)
    settings = {"tokenizer_class": "ElectraTokenizer", "strip_accents": False}
    _write_bert_files(folder, vocabulary, with_json=False, settings=settings)
    config = _bert_config(
        len(vocabulary),
        architectures=["ElectraForPreTraining"],
        model_type="electra",
        embedding_size=WIDTH,
        summary_activation="gelu",
        summary_last_dropout=0.1,
        summary_type="first",
        summary_use_proj=True,
    )
    return _write_model(folder, "ElectraForPreTraining", config)


def kobert(folder: Path) -> Path:
    """monologg/kobert. Real: BertModel of 8002 pieces, a sentencepiece model and ``vocab.txt`` beside each other.

    [UNK] 0, [PAD] 1, [CLS] 2, [SEP] 3, [MASK] 4, while ``pad_token_id`` of the configuration is 0 by default; the
    tokenizer class is code inside the repository (``auto_map``), which must not be run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model = _sentencepiece(size=300)
    (folder / "tokenizer_78b3253a26.model").write_bytes(model)
    pieces = _pieces(model)
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces), encoding="utf-8")
    auto = {"AutoTokenizer": ["tokenization_kobert.KoBertTokenizer", None]}
    _write_json(
        folder / "tokenizer_config.json",
        {"do_lower_case": False, "model_max_length": 512, "tokenizer_class": "KoBertTokenizer", "auto_map": auto},
    )
    (folder / "tokenization_kobert.py").write_text("raise SystemExit('code of a model folder was run')\n")
    config = _bert_config(len(pieces), architectures=["BertModel"], model_type="bert")
    return _write_model(folder, "BertModel", config)


def kobert_skt(folder: Path) -> Path:
    """skt/kobert-base-v1. Real: the same vocabulary as ``spiece.model``, with XLNet's tokenizer class named.

    XLNet's class frames texts the XLNet way (``A [SEP] [CLS]``, left padding), which is not what the model saw.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model = _sentencepiece(size=300)
    (folder / "spiece.model").write_bytes(model)
    roles = {"bos_token": "[CLS]", "eos_token": "[SEP]", **_roles("[{}]")}
    _write_json(folder / "special_tokens_map.json", roles)
    _write_json(
        folder / "tokenizer_config.json",
        {
            **roles,
            "do_lower_case": False,
            "keep_accents": False,
            "remove_space": True,
            "tokenizer_class": "XLNetTokenizer",
        },
    )
    config = _bert_config(len(_pieces(model)), architectures=["BertModel"], model_type="bert", pad_token_id=1)
    return _write_model(folder, "BertModel", config)


def funnel(folder: Path) -> Path:
    """kykim/funnel-kor-base. Real: Funnel, three blocks and a decoder, 42000 lower-cased WordPieces, [CLS] in segment 2.

    ``type_vocab_size`` 3 and ``max_position_embeddings`` 512 stand in older configurations and mean nothing to the
    class. Assumed: BERT's names for the special tokens, and no accent stripping (which would take every
    syllable apart, because it starts with NFD).
    """
    vocabulary = _wordpiece(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], lowercase=True)
    settings = {"tokenizer_class": "FunnelTokenizer", "do_lower_case": True, "strip_accents": False}
    _write_bert_files(folder, vocabulary, with_json=False, settings=settings)
    config: dict[str, Any] = {
        "architectures": ["FunnelModel"],
        "model_type": "funnel",
        "vocab_size": len(vocabulary),
        "block_sizes": [1, 1, 1],
        "block_repeats": [1, 1, 1],
        "num_decoder_layers": 1,
        "d_model": WIDTH,
        "n_head": HEADS,
        "d_head": WIDTH // HEADS,
        "d_inner": 2 * WIDTH,
        "hidden_act": "gelu_new",
        "hidden_dropout": 0.1,
        "attention_dropout": 0.1,
        "activation_dropout": 0.0,
        "attention_type": "relative_shift",
        "pooling_type": "mean",
        "separate_cls": True,
        "truncate_seq": True,
        "pool_q_only": True,
        "type_vocab_size": 3,
        "max_position_embeddings": 512,
    }
    return _write_model(folder, "FunnelModel", config)


def e5(folder: Path) -> Path:
    """intfloat/multilingual-e5-small. Real: a BertModel with XLM-R's Unigram tokenizer, mean pooling beside it.

    ``<s> A </s></s> B </s>``, ids <s> 0, <pad> 1, </s> 2, <unk> 3 and <mask> last, while ``pad_token_id`` of the
    configuration is 0; two segments of which the second was never used.
    """
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    specials = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=600, special_tokens=specials, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(sentences(), trainer)
    tokenizer.add_special_tokens(["<mask>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    roles = {"bos_token": "<s>", "eos_token": "</s>", **_roles("<{}>", cls="<s>", sep="</s>")}
    _write_json(folder / "special_tokens_map.json", roles)
    settings = {**roles, "model_max_length": 512, "tokenizer_class": "XLMRobertaTokenizer"}
    _write_json(folder / "tokenizer_config.json", settings)
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
    ]
    _write_json(folder / "modules.json", modules)
    (folder / "1_Pooling").mkdir(exist_ok=True)
    pooling = {
        "word_embedding_dimension": WIDTH,
        "pooling_mode_cls_token": False,
        "pooling_mode_mean_tokens": True,
        "pooling_mode_max_tokens": False,
        "pooling_mode_mean_sqrt_len_tokens": False,
    }
    _write_json(folder / "1_Pooling" / "config.json", pooling)
    config = _bert_config(
        tokenizer.get_vocab_size(),
        architectures=["BertModel"],
        model_type="bert",
        tokenizer_class="XLMRobertaTokenizer",
    )
    return _write_model(folder, "BertModel", config)


SHAPES: dict[str, Callable[[Path], Path]] = {
    "klue-bert": klue_bert,
    "klue-roberta": klue_roberta,
    "kcelectra": kcelectra,
    "kobert": kobert,
    "kobert-skt": kobert_skt,
    "funnel": funnel,
    "e5": e5,
}
"""Name → function that fills a folder and returns it."""


def build(name: str, folder: Path) -> Path:
    """Write the tiny model ``name`` of ``SHAPES`` into ``folder`` (made if needed) and return it."""
    return SHAPES[name](folder)


def as_bin(folder: Path) -> Path:
    """Turn ``model.safetensors`` of a folder into the ``pytorch_model.bin`` of older repositories."""
    import torch
    from safetensors.torch import load_file

    source = folder / "model.safetensors"
    # clone: load_file may hand out views of the file that is deleted below
    torch.save({name: tensor.clone() for name, tensor in load_file(source).items()}, folder / "pytorch_model.bin")
    source.unlink()
    return folder


def make_easy(folder: Path) -> Path:
    """No dropout, and weights as large as those of a trained model: it learns in a few steps and tells texts apart."""
    from safetensors.torch import load_file, save_file

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    _write_json(folder / "config.json", {name: 0.0 if "dropout" in name else value for name, value in config.items()})
    path = folder / "model.safetensors"
    louder = {
        name: value * 6 if value.ndim == 2 and "embeddings" not in name else value.clone()
        for name, value in load_file(path).items()
    }
    path.unlink()
    save_file(louder, path, metadata={"format": "pt"})
    return folder


def _wordpiece(specials: list[str], *, lowercase: bool) -> list[str]:
    """A vocabulary with ``##`` pieces whose first ids are the special tokens in the order given."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase, strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=350, special_tokens=specials, show_progress=False)
    tokenizer.train_from_iterator(sentences(), trainer)
    ids = tokenizer.get_vocab()
    return sorted(ids, key=lambda token: ids[token])


def _write_bert_files(folder: Path, vocabulary: list[str], *, with_json: bool, settings: dict[str, Any]) -> None:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in vocabulary), encoding="utf-8")
    roles = _roles("[{}]")
    base = {"do_lower_case": False, "tokenize_chinese_chars": True, "model_max_length": 512, **roles}
    _write_json(folder / "special_tokens_map.json", roles)
    _write_json(folder / "tokenizer_config.json", {**base, **settings})
    if not with_json:
        return
    ids = {token: index for index, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=False
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
    )
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    tokenizer.save(str(folder / "tokenizer.json"))


def _sentencepiece(size: int) -> bytes:
    """A Unigram model with KoBERT's special tokens at their places."""
    import sentencepiece

    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences()),
        model_writer=out,
        vocab_size=size,
        model_type="unigram",
        normalization_rule_name="nmt_nfkc",
        character_coverage=0.9995,
        unk_id=0,
        pad_id=1,
        bos_id=2,
        eos_id=3,
        unk_piece="[UNK]",
        pad_piece="[PAD]",
        bos_piece="[CLS]",
        eos_piece="[SEP]",
        control_symbols=["[MASK]"],
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
    )
    return out.getvalue()


def _pieces(model: bytes) -> list[str]:
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    return [processor.id_to_piece(index) for index in range(processor.get_piece_size())]


def _roles(form: str, **other: str) -> dict[str, str]:
    lower = form.startswith("<")
    roles = ("unk", "sep", "pad", "cls", "mask")
    return {f"{role}_token": other.get(role, form.format(role if lower else role.upper())) for role in roles}


def _bert_config(vocab_size: int, **changes: Any) -> dict[str, Any]:
    return {
        "attention_probs_dropout_prob": 0.1,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "hidden_size": WIDTH,
        "initializer_range": 0.02,
        "intermediate_size": 2 * WIDTH,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": 512,
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "pad_token_id": 0,
        "type_vocab_size": 2,
        "vocab_size": vocab_size,
        **changes,
    }


def _write_model(folder: Path, kind: str, config: dict[str, Any]) -> Path:
    import torch
    import transformers

    from maeum.hf.files import quiet

    quiet()
    _write_json(folder / "config.json", config)
    read = transformers.AutoConfig.from_pretrained(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = getattr(transformers, kind)(read)
        for parameter in _vectors(model):
            # Biases start at zero; a tiny model whose biases matter finds more mistakes.
            torch.nn.init.normal_(parameter, std=0.05)
    model.save_pretrained(folder)
    # What the class writes today is not what lies on the hub.
    _write_json(folder / "config.json", config)
    return folder


def _vectors(model: Any) -> Iterator[Any]:
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            yield parameter


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
