"""A tokenizer and its embeddings with fewer pieces: those that a corpus uses, every single character, the specials.

A text whose pieces are all kept is cut into the same pieces as before, in every kind of tokenizer:

* Unigram (Viterbi): the best segmentation is still there, and its rivals are a part of those it beat before. The piece
  with the lowest score stays too, because unknown characters cost a fixed amount more than it.
* WordPiece (longest match first): the longest piece that matched is there, and nothing longer is.
* BPE (merges by rank): a piece is made inside its own span alone, so whatever is merged on the way to a kept piece is
  kept as well (``_made_of``); then at each step the pair merged before is still the first one in rank.

Other texts fall apart into shorter pieces, in the end into characters.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch  # noqa: TID253  only what holds a network imports this module
from numpy.typing import NDArray
from torch import nn  # noqa: TID253

from maeum._optional import require
from maeum.errors import UsageError

__all__ = ["Trim", "choose_pieces", "cut_embeddings", "cut_tokenizer"]

Ids = NDArray[np.int64]
_ROLES = ("bos_token", "eos_token", "unk_token", "pad_token", "cls_token", "sep_token", "mask_token")
_AFTER_PAD = ("roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "longformer", "mpnet", "data2vec-text")
"""Architectures that count positions from the id of the padding token, which therefore must not change."""


@dataclass(frozen=True)
class Trim:
    """Which rows of the embeddings stay."""

    kept: Ids
    """(m,) old ids, ascending; the place in it is the new id."""
    before: int
    """Rows there were."""

    def new_id(self, old: int) -> int:
        """The new id of a piece that stays."""
        place = int(np.searchsorted(self.kept, old))
        if place == len(self.kept) or self.kept[place] != old:
            raise KeyError(old)
        return place


def choose_pieces(tokenizer: Any, config: Any, counts: NDArray[np.int64], *, min_count: int) -> Trim:
    """The pieces to keep: used at least ``min_count`` times, single characters and bytes, special and added tokens.

    Args:
        tokenizer: a fast tokenizer of transformers.
        config: the model's.
        counts: (rows of the embeddings,) how often each id occurred.

    Raises:
        UsageError: a kind of tokenizer that cannot be cut, or nothing to cut.
    """
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    vocabulary = _vocabulary(content["model"])
    rows = len(counts)
    wanted = {int(number) for number in np.flatnonzero(counts >= min_count)}
    wanted |= {number for piece, number in vocabulary.items() if _is_small(piece, content["model"])}
    wanted |= {int(token["id"]) for token in content["added_tokens"]}
    wanted |= {int(number) for number in tokenizer.all_special_ids}
    named = (getattr(config, name, None) for name in ("pad_token_id", "bos_token_id", "eos_token_id"))
    wanted |= {number for number in named if isinstance(number, int)}
    if config.model_type in _AFTER_PAD:
        wanted |= set(range((config.pad_token_id or 0) + 1))
    model = content["model"]
    if model["type"] == "Unigram":
        scores = [score for _, score in model["vocab"]]
        wanted |= {int(np.argmin(scores)), int(model["unk_id"] or 0)}
    elif model.get("unk_token") in vocabulary:
        wanted.add(vocabulary[model["unk_token"]])
    if model["type"] == "BPE":
        names = {number: piece for piece, number in vocabulary.items()}
        ranks = _ranks(model)
        for piece in [names[number] for number in sorted(wanted) if number in names]:
            wanted |= {vocabulary[part] for part in _made_of(piece, ranks) if part in vocabulary}
    kept = np.array(sorted(number for number in wanted if 0 <= number < rows), np.int64)
    return Trim(kept, rows)


def cut_tokenizer(tokenizer: Any, trim: Trim) -> Any:
    """The same tokenizer with the pieces of ``trim`` alone, under their new ids."""
    transformers: Any = require("transformers")
    from tokenizers import Tokenizer

    content = json.loads(tokenizer.backend_tokenizer.to_str())
    new = {int(old): place for place, old in enumerate(trim.kept)}
    _cut_model(content["model"], new)
    content["added_tokens"] = [
        {**token, "id": new[token["id"]]} for token in content["added_tokens"] if token["id"] in new
    ]
    _renumber(content.get("post_processor"), new)
    content["padding"] = content["truncation"] = None
    roles = {role: str(token) for role in _ROLES if (token := getattr(tokenizer, role)) is not None}
    made = transformers.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(content)),
        model_max_length=tokenizer.model_max_length,
        padding_side=tokenizer.padding_side,
        truncation_side=tokenizer.truncation_side,
        model_input_names=list(tokenizer.model_input_names),
        clean_up_tokenization_spaces=getattr(tokenizer, "clean_up_tokenization_spaces", False),
        **roles,
    )
    extra = [str(token) for token in tokenizer.all_special_tokens if str(token) not in roles.values()]
    if extra:
        made.add_special_tokens({"additional_special_tokens": extra}, False)
    return made


def cut_embeddings(model: Any, trim: Trim) -> None:
    """Leave only the rows of ``trim`` in the model's embeddings, and name the special tokens anew in its configuration."""
    old = model.get_input_embeddings()
    rows = torch.from_numpy(trim.kept).to(old.weight.device)
    padding = None if old.padding_idx is None else trim.new_id(old.padding_idx)
    made = nn.Embedding(len(trim.kept), old.embedding_dim, padding, device=old.weight.device, dtype=old.weight.dtype)
    with torch.no_grad():
        made.weight.copy_(old.weight.detach()[rows])
    model.set_input_embeddings(made)
    for config in {id(each): each for each in (model.config, model.base_model.config)}.values():
        config.vocab_size = len(trim.kept)
        for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
            number = getattr(config, name, None)
            if isinstance(number, int) and 0 <= number < trim.before:
                setattr(config, name, trim.new_id(number))


def _vocabulary(model: Mapping[str, Any]) -> dict[str, int]:
    """Piece → id.

    Raises:
        UsageError: a kind of tokenizer that is not known here.
    """
    kind = model["type"]
    affixed = kind == "BPE" and (model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"))
    if kind not in ("Unigram", "WordPiece", "BPE", "WordLevel") or affixed:
        raise UsageError(
            f"이런 토크나이저({kind})의 어휘는 줄일 수 없습니다. Unigram, WordPiece, BPE만 됩니다.",
            f"the vocabulary of this kind of tokenizer ({kind}) cannot be cut; Unigram, WordPiece and BPE can",
        )
    if kind == "Unigram":
        return {piece: number for number, (piece, _) in enumerate(model["vocab"])}
    return {piece: int(number) for piece, number in model["vocab"].items()}


def _is_small(piece: str, model: Mapping[str, Any]) -> bool:
    """Whether a piece is one character (also inside a word) or stands for one byte."""
    inside = model.get("continuing_subword_prefix") or ""
    if inside and piece.startswith(inside):
        piece = piece[len(inside) :]
    return len(piece) == 1 or (len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"))


def _ranks(model: Mapping[str, Any]) -> dict[tuple[str, str], int]:
    pairs = (pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"])
    return {(first, second): rank for rank, (first, second) in enumerate(pairs)}


def _made_of(piece: str, ranks: Mapping[tuple[str, str], int]) -> Iterable[str]:
    """Every piece that is made on the way to this one, when its characters are merged by rank."""
    parts = list(piece)
    found = set(parts)
    while len(parts) > 1:
        pairs = list(itertools.pairwise(parts))
        best = min(pairs, key=lambda pair: ranks.get(pair, len(ranks)))
        if best not in ranks:
            break
        merged: list[str] = []
        at = 0
        while at < len(parts):
            if at + 1 < len(parts) and (parts[at], parts[at + 1]) == best:
                merged.append(parts[at] + parts[at + 1])
                at += 2
            else:
                merged.append(parts[at])
                at += 1
        parts = merged
        found.add("".join(best))
    return found


def _cut_model(model: dict[str, Any], new: Mapping[int, int]) -> None:
    if model["type"] == "Unigram":
        model["vocab"] = [entry for number, entry in enumerate(model["vocab"]) if number in new]
        if model["unk_id"] is not None:
            model["unk_id"] = new[model["unk_id"]]
        return
    model["vocab"] = {piece: new[number] for piece, number in model["vocab"].items() if number in new}
    if model["type"] == "BPE":
        known = model["vocab"]
        split: Sequence[Any] = [pair.split(" ") if isinstance(pair, str) else list(pair) for pair in model["merges"]]
        model["merges"] = [pair for pair in split if pair[0] in known and pair[1] in known and "".join(pair) in known]


def _renumber(part: Any, new: Mapping[int, int]) -> None:
    """Ids of special tokens in a post-processor, of whatever kind."""
    if not isinstance(part, dict):
        return
    for name in ("sep", "cls"):
        if isinstance(part.get(name), list) and len(part[name]) == 2:
            part[name] = [part[name][0], new[part[name][1]]]
    if isinstance(part.get("special_tokens"), dict):
        for token in part["special_tokens"].values():
            token["ids"] = [new[number] for number in token["ids"]]
    for inner in part.get("processors") or ():
        _renumber(inner, new)
