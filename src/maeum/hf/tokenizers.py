"""Tokenizers of encoders of the BERT family and of decoders, from the files of a model.

A tokenizer that has a ``tokenizer.json`` is that file, not what a tokenizer class rebuilds from its vocabulary;
KoBERT's sentencepiece model is read here, everything else by transformers.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maeum._optional import require
from maeum.errors import FormatError
from maeum.hf.files import one_sentence, quiet, read_json, resolve

__all__ = ["load_tokenizer"]

_BERT_SPECIALS = ("[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]")
_SPIECE_NAMES = ("tokenizer_78b3253a26.model", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model")


def load_tokenizer(ref: str | os.PathLike[str], *, revision: str | None = None) -> Any:
    """The tokenizer of a model, always one that knows offsets (``PreTrainedTokenizerFast``).

    ``tokenizer.json`` is taken as it is. Without one, KoBERT's layouts (a sentencepiece model with BERT's special
    tokens, with or without ``vocab.txt``) are built by ``_from_sentencepiece``, everything else by transformers.

    Raises:
        UsageError: see ``resolve``.
        FormatError: no tokenizer files, or files that do not fit each other.
    """
    transformers: Any = require("transformers")
    folder = resolve(ref, revision=revision)
    quiet()
    local = {"local_files_only": True, "trust_remote_code": False}
    if not (folder / "tokenizer.json").is_file():
        spiece = next((folder / name for name in _SPIECE_NAMES if (folder / name).is_file()), None)
        if spiece is not None and (found := _from_sentencepiece(spiece, folder)) is not None:
            return found
        if spiece is None and not (folder / "vocab.txt").is_file() and not (folder / "vocab.json").is_file():
            raise FormatError(
                f"{ref}에 토크나이저 파일이 없습니다 (tokenizer.json, vocab.txt, *.model 중 하나가 필요).",
                f"{ref} has no tokenizer files (tokenizer.json, vocab.txt or *.model)",
            )
        with one_sentence(ref):
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **local)
        if not tokenizer.is_fast:
            raise FormatError(
                f"{ref}의 토크나이저는 글자 위치를 알려 주지 않아 쓸 수 없습니다. tokenizer.json이 있는 모델을 주세요.",
                f"the tokenizer of {ref} gives no character positions; use a model that has a tokenizer.json",
            )
        return _within_table(tokenizer, folder)
    with one_sentence(ref):
        # Not AutoTokenizer: a class such as BertTokenizer would keep the vocabulary of the file and put its own
        # normaliser (lower-casing by default) in place of the one that is written there.
        tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(folder, **local)
        roles = ("unk_token", "pad_token", "cls_token", "sep_token", "mask_token")
        if any(getattr(tokenizer, role) is None for role in roles):
            # The file lists special tokens but not their roles, and old folders leave those to the class.
            try:
                named = transformers.AutoTokenizer.from_pretrained(folder, **local)
            except (OSError, ValueError, KeyError, ImportError):
                # Decoders name the end token and have no other roles; their class may be code, which is not run.
                if tokenizer.eos_token is None:
                    raise
                named = None
            vocabulary = tokenizer.get_vocab()
            for role in roles:
                token = getattr(named, role, None)
                if getattr(tokenizer, role) is None and token in vocabulary:
                    setattr(tokenizer, role, token)
    return _within_table(tokenizer, folder)


def _within_table(tokenizer: Any, folder: Path) -> Any:
    """The same tokenizer without tokens that the embedding table has no row for.

    A tokenizer class adds its default special tokens to whatever vocabulary it is given (Funnel's ``<s>`` and
    ``</s>`` to BERT's, say); a text that happens to hold one would then index past the end of the table.
    """
    rows = read_json(folder / "config.json", default={}).get("vocab_size")
    if not isinstance(rows, int) or len(tokenizer) <= rows:
        return tokenizer
    transformers: Any = require("transformers")
    from tokenizers import Tokenizer

    content = json.loads(tokenizer.backend_tokenizer.to_str())
    if any(index >= rows for index in tokenizer.backend_tokenizer.get_vocab(with_added_tokens=False).values()):
        raise FormatError(
            f"{folder}의 토크나이저 어휘({len(tokenizer)})가 모델의 임베딩({rows})보다 큽니다.",
            f"the tokenizer in {folder} has {len(tokenizer)} tokens and the model embeds only {rows}",
        )
    content["added_tokens"] = [token for token in content["added_tokens"] if token["id"] < rows]
    kept = Tokenizer.from_str(json.dumps(content))
    roles = {}
    for role in ("bos_token", "eos_token", "unk_token", "pad_token", "cls_token", "sep_token", "mask_token"):
        token = getattr(tokenizer, role)
        if token is not None and kept.token_to_id(str(token)) is not None:
            roles[role] = str(token)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=kept,
        model_max_length=tokenizer.model_max_length,
        padding_side=tokenizer.padding_side,
        chat_template=tokenizer.chat_template,
        **roles,
    )


@dataclass(frozen=True)
class _Spiece:
    """What a sentencepiece model file says."""

    pieces: list[tuple[str, float, int]]
    """Piece, score, type (1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte)."""
    model_type: int
    """1 unigram, 2 BPE."""
    rule: str
    """Name of the normalisation that ``charsmap`` holds, such as nmt_nfkc."""
    charsmap: bytes
    dummy_prefix: bool
    squeeze_spaces: bool


def _read_spiece(path: Path) -> _Spiece:
    """Read the fields of sentencepiece_model.proto that decide how text becomes pieces.

    By hand, because the generated protobuf module asks for the protobuf package, which nothing else here needs.
    """
    import struct

    pieces: list[tuple[str, float, int]] = []
    model_type, rule, charsmap, dummy_prefix, squeeze = 1, "", b"", True, True
    try:
        for number, value in _fields(path.read_bytes()):
            if number == 1 and isinstance(value, bytes):
                entry = dict(_fields(value))
                text, score, kind = entry.get(1, b""), entry.get(2, bytes(4)), entry.get(3, 1)
                if not (isinstance(text, bytes) and isinstance(score, bytes) and isinstance(kind, int)):
                    raise ValueError("piece")
                pieces.append((text.decode("utf-8"), float(struct.unpack("<f", score)[0]), kind))
            elif number == 2 and isinstance(value, bytes):
                model_type = int(dict(_fields(value)).get(3, 1))
            elif number == 3 and isinstance(value, bytes):
                spec = dict(_fields(value))
                rule = bytes(spec.get(1, b"")).decode("utf-8")
                charsmap = bytes(spec.get(2, b""))
                dummy_prefix, squeeze = bool(spec.get(3, 1)), bool(spec.get(4, 1))
    except (ValueError, IndexError, struct.error, TypeError) as error:
        raise FormatError(
            f"sentencepiece 모델 파일이 아니거나 잘렸습니다: {path}", f"not a sentencepiece model, or cut short: {path}"
        ) from error
    return _Spiece(pieces, model_type, rule, charsmap, dummy_prefix, squeeze)


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(field number, value) of one protobuf message: numbers for varints, bytes for everything else."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = varint()
        wire = key & 7
        if wire == 0:
            yield key >> 3, varint()
            continue
        size = {1: 8, 5: 4}.get(wire, -1)
        if wire == 2:
            size = varint()
        if size < 0 or at + size > len(data):
            raise ValueError("wire format")
        yield key >> 3, data[at : at + size]
        at += size


def _from_sentencepiece(path: Path, folder: Path) -> Any | None:
    """KoBERT's tokenizer: sentencepiece's own segmentation, ids by ``vocab.txt``, BERT's frame around it.

    ``None`` when the model file has no BERT special tokens: then it is not KoBERT's layout.

    The ids equal those of the sentencepiece library, which is what the model was pre-trained with; the digit-comma
    rule and the accent stripping that the XLNet and KoBERT tokenizer classes add on top are not copied.
    """
    transformers: Any = require("transformers")
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    spiece = _read_spiece(path)
    scores = {piece: score for piece, score, _ in spiece.pieces}
    order = [piece for piece, _, _ in spiece.pieces]
    if (folder / "vocab.txt").is_file():
        lines = (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")
        order = [line.strip(" \t\r") for line in (lines[:-1] if lines[-1] == "" else lines)]
    if not {"[CLS]", "[SEP]"} <= set(order):
        return None
    unknown = next((piece for piece, _, kind in spiece.pieces if kind == 2), None)
    lost = [piece for piece, _, kind in spiece.pieces if kind in (1, 4) and piece not in set(order)]
    extra = [piece for piece in order if piece not in scores and piece not in _BERT_SPECIALS]
    if spiece.model_type != 1 or unknown is None or len(set(order)) != len(order) or lost or extra:
        what = (lost or extra or [path.name])[0]
        raise FormatError(
            f"{folder}의 vocab.txt와 {path.name}이 서로 맞지 않습니다 ({what}).",
            f"vocab.txt and {path.name} in {folder} do not fit each other ({what})",
        )
    if unknown not in order:
        # vocab.txt may call it [UNK] where the model says <unk>.
        scores["[UNK]"], unknown = scores[unknown], "[UNK]"
    # A piece that sentencepiece never emits must not change the lowest score: unknown characters cost 10 below it.
    normal = [score for _, score, kind in spiece.pieces if kind == 1]
    vocabulary = [(piece, scores.get(piece, 0.0) if piece in scores else max(normal)) for piece in order]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=order.index(unknown), byte_fallback=False))

    # sentencepiece applies its table to the longest match, so that ㅋㅠ is one syllable (큐) to it, as NFKC has it;
    # Precompiled looks at one grapheme at a time, so everything that spans several is composed before.
    steps: list[Any] = []
    if spiece.charsmap:
        compose = normalizers.NFKC() if "nfkc" in spiece.rule else normalizers.NFC()
        steps = [compose, normalizers.Precompiled(spiece.charsmap)]
    if spiece.squeeze_spaces:
        steps += [normalizers.Replace(Regex(" {2,}"), " "), normalizers.Strip(left=True, right=True)]
    if steps:
        tokenizer.normalizer = normalizers.Sequence(steps)
    # "first" would look at the raw text and give no prefix where the normaliser removed its first character.
    scheme = "always" if spiece.dummy_prefix else "never"
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme=scheme, split=False)
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme=scheme)
    ids = {piece: index for index, piece in enumerate(order)}
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
    )
    tokenizer.add_special_tokens([token for token in _BERT_SPECIALS if token in ids])
    tokenizer.add_tokens(
        [
            AddedToken(piece, normalized=False)
            for piece, _, kind in spiece.pieces
            if kind == 4 and piece not in _BERT_SPECIALS
        ]
    )
    settings = read_json(folder / "tokenizer_config.json", default={})
    length = settings.get("model_max_length", settings.get("max_len", 512))
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token=unknown,
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]" if "[MASK]" in ids else None,
        model_max_length=length if isinstance(length, int) and length < 100_000 else 512,
        padding_side="right",
    )
