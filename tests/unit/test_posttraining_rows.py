"""Rows of continued masked-LM training: eojeols, the corpus files, masks, batches."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from maeum.hf import loading
from maeum.hf.frame import frame_of
from maeum.hf.tokenizers import load_tokenizer
from maeum.posttraining import PosttrainSettings
from maeum.posttraining.corpus import Corpus, Reading, cut, eojeol_starts, held_out, write_corpus
from maeum.posttraining.masking import Batches, Masking, Passes, mask_row

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")


def test_eojeols_are_what_stands_between_spaces() -> None:
    text = "배송이 정말  빨라요!"
    assert eojeol_starts(text, [(0, 2), (2, 3), (4, 6), (8, 10), (10, 12)]) == [True, False, True, True, False]
    # the space belongs to the token, as in byte-level and Metaspace tokenizers
    assert eojeol_starts("가 나다", [(0, 1), (1, 3), (3, 4)]) == [True, True, False]
    # the space is a token of its own: it begins the eojeol, and the next token goes on with it
    assert eojeol_starts("가 뷁", [(0, 1), (1, 2), (2, 3)]) == [True, True, False]
    # and where it has the place of the character after it
    assert eojeol_starts("가 뷁", [(0, 1), (2, 3), (2, 3)]) == [True, True, False]
    # a character that the tokenizer drops lies between them
    assert eojeol_starts("가\u200b 나", [(0, 1), (3, 4)]) == [True, True]
    assert eojeol_starts("", []) == []


@pytest.mark.parametrize("name", ["klue-bert", "kobert", "e5"])
def test_eojeols_agree_with_the_spaces_of_the_text(name: str, tiny_base: Callable[..., Path]) -> None:
    tokenizer = load_tokenizer(tiny_base(name))
    for text in [*tiny.sentences()[::7], "뷁궯 가", "앞뒤   공백\t탭", "ㅋㅋㅋ😂 10,000원!!"]:
        coded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        assert sum(eojeol_starts(text, coded["offset_mapping"])) == len(text.split()), text


def test_long_rows_are_cut_at_eojeols_and_lose_nothing() -> None:
    starts = [i % 3 == 0 for i in range(20)]
    assert cut(starts, 8) == [(0, 6), (6, 12), (12, 20)]
    assert cut([True] + [False] * 9, 4) == [(0, 4), (4, 8), (8, 10)]
    assert cut([True], 4) == [(0, 1)]


def masking(**changes: Any) -> Masking:
    return dataclasses.replace(Masking(0.15, True, 4, np.arange(10, 500), 42), **changes)


def test_tokens_of_an_eojeol_are_hidden_together() -> None:
    ids = np.arange(100, 112)
    starts = np.array([1, 0, 0, 1, 0, 1, 0, 0, 0, 1, 1, 0], bool)
    unit = np.cumsum(starts) - 1
    seen = set()
    for row in range(300):
        given, masked = masking()(ids, starts, times=1, row=row)
        units = set(unit[masked].tolist())
        assert len(units) == 1  # 15% of five eojeols, never none
        assert set(np.flatnonzero(masked)) == set(np.flatnonzero(np.isin(unit, list(units))))
        assert (given[~masked] == ids[~masked]).all()
        seen |= units
    assert seen == {0, 1, 2, 3, 4}


def test_one_eojeol_is_hidden_token_by_token() -> None:
    _, masked = masking()(np.arange(100, 106), np.array([1, 0, 0, 0, 0, 0], bool), times=1, row=0)
    assert masked.sum() == 1


def test_shares_are_those_of_the_paper() -> None:
    ids = np.full(20, 7)  # not in ``ordinary``: a random token is never the same
    starts = np.ones(20, bool)
    fates = {"mask": 0, "random": 0, "same": 0}
    for row in range(4000):
        given, masked = masking()(ids, starts, times=3, row=row)
        fates["mask"] += int((given[masked] == 4).sum())
        fates["same"] += int((given[masked] == 7).sum())
        fates["random"] += int(((given[masked] != 4) & (given[masked] != 7)).sum())
        assert set(given.tolist()) <= {4, 7, *range(10, 500)}
    total = sum(fates.values())
    assert abs(total / (4000 * 20) - 0.15) < 0.002
    for name, share in (("mask", 0.8), ("random", 0.1), ("same", 0.1)):
        assert abs(fates[name] / total - share) < 0.012, fates


def test_masks_depend_on_seed_pass_and_row_alone() -> None:
    ids, starts = np.arange(100, 160), np.ones(60, bool)
    first = masking()(ids, starts, times=1, row=5)
    np.random.default_rng().random(3)
    assert all((a == b).all() for a, b in zip(first, masking()(ids, starts, times=1, row=5), strict=True))
    for other in (
        masking()(ids, starts, times=2, row=5),
        masking()(ids, starts, times=1, row=6),
        masking(seed=1)(ids, starts, times=1, row=5),
    ):
        assert (first[1] != other[1]).any()


def test_two_tokens_are_enough() -> None:
    for seed in range(20):
        _, masked = mask_row(np.array([5, 6]), np.array([True, True]), masking(), np.random.default_rng(seed))
        assert masked.sum() == 1


def test_flat_files_hold_every_token(tiny_base: Callable[..., Path], tmp_path: Path) -> None:
    lines = [*tiny.sentences()[:30], " ".join(tiny.sentences()[:10])]
    source = tmp_path / "a.txt"
    source.write_text("\n".join(lines), encoding="utf-8")
    tokenizer = load_tokenizer(tiny_base("e5"))
    reading = Reading([str(source)], None, None, None, "skip")
    settings = PosttrainSettings(clean="raw")
    counts = write_corpus(tmp_path, reading, tokenizer, 20, settings, lambda _: None)
    corpus = Corpus.open(tmp_path)
    assert len(corpus) == counts["rows"] > 31
    assert counts["cut"] >= 1
    assert corpus.lengths.max() <= 20
    joined = [np.concatenate([corpus.row(r)[0] for r in np.flatnonzero(corpus.text == n)]).tolist() for n in range(31)]
    assert joined == tokenizer(lines, add_special_tokens=False)["input_ids"]
    assert corpus.counts(len(tokenizer)).sum() == counts["tokens"] == sum(map(len, joined))


def test_specials_are_never_hidden_and_held_out_texts_never_learned(
    tiny_base: Callable[..., Path], tmp_path: Path
) -> None:
    source = tmp_path / "a.txt"
    source.write_text("\n".join(tiny.sentences()), encoding="utf-8")
    for name in ("e5", "klue-roberta"):
        tokenizer = load_tokenizer(tiny_base(name))
        frame = frame_of(tokenizer, loading.load_config(tiny_base(name)))
        write_corpus(
            tmp_path,
            Reading([str(source)], None, None, None, "skip"),
            tokenizer,
            12,
            PosttrainSettings(),
            lambda _: None,
        )
        corpus = Corpus.open(tmp_path)
        held, rows = held_out(corpus.text, 20, 42)
        assert not set(corpus.text[held]) & set(corpus.text[rows])
        assert len(set(corpus.text[held].tolist())) == 20
        batches = Batches(corpus, masking(mask_id=frame.mask_id), frame)
        items = Passes(rows, 3)
        assert len(items) == 3 * len(rows)
        assert items[len(rows)] == (2, rows[0])
        batch = batches(items[:40])
        special = torch.tensor(sorted(set(frame.begin + frame.end + (frame.pad_id,))))
        assert not torch.isin(batch["labels"], special).any()
        assert batch["masked"].any(1).all()
        assert (batch["attention_mask"][batch["masked"]] == 1).all()
        plain = batches.plain(batch["rows"])["input_ids"]
        assert (plain[batch["masked"]] == batch["labels"][batch["masked"]]).all()
        assert (plain[~batch["masked"]] == batch["input_ids"][~batch["masked"]]).all()
