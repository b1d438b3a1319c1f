"""How probable each label word is after a prompt, for all rows and labels with one pass over the prompts.

``label_logprobs`` gives log P(answer | prompt) under the model's whole vocabulary. The tokens that all prompts begin
with are run once and their keys and values lent to every batch; the other tokens of a prompt are run once, whatever the
number of labels. Answers of one token need nothing more; of longer answers only the tokens after the first are run, on
top of the row's keys and values.

A row's result depends on its prompt alone, not on the rows beside it: padding is masked and positions are given. Where
that would not be enough (a sliding window shorter than the rows, recurrent layers, positions that stretch with the
length of the text, a kind of cache not known here) rows are run together with rows of exactly the same length only, in
whole sequences and without a cache: slower, and exact for any causal model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from maeum._progress import Step
from maeum.errors import UsageError
from maeum.models.prompt_tokens import shared_prefix

Floats = NDArray[np.float64]
Ids = tuple[int, ...]
Side = Literal["left", "right"]


def label_logprobs(
    model: Any,
    prompts: Sequence[Ids],
    answers: Sequence[Ids],
    *,
    pad_id: int,
    token_budget: int,
    prefix: int = -1,
    side: Side = "left",
    progress: Step | None = None,
) -> Floats:
    """Log-probabilities (n, k) of k answers after each of n prompts, natural logarithm, over the full vocabulary.

    An answer of several tokens gets the sum of its tokens' conditional log-probabilities.

    Args:
        model: a causal language model of transformers, bare or wrapped by peft; it is run in evaluation mode.
        prompts: token ids, special tokens included; identical prompts are run once.
        answers: token ids of each answer.
        pad_id: any id of the vocabulary; it is masked and never looked at.
        token_budget: tokens of a batch at most, shared beginning and padding included; one row always goes.
        prefix: how many leading ids of the prompts to run once for all; -1: as many as they share, 0: none.
        side: where shorter rows are padded. The numbers are the same; ``left`` is faster.
        progress: called after each batch with the number of rows done.

    Raises:
        UsageError: an empty prompt or answer, prompts that do not share the ``prefix`` given, or a model that answers
            with something that is not a number.
    """
    import torch

    from maeum.models._label_scorer import Call, Scorer, plan_of

    _check(prompts, answers, prefix)
    out = np.zeros((len(prompts), len(answers)))
    if not out.size:
        return out
    times = Counter(prompts)
    different = list(times)
    done = 0
    found: dict[Ids, Floats] = {}
    training = bool(model.training)
    model.eval()
    try:
        with torch.inference_mode():
            scorer = Scorer(Call(model), plan_of(answers), pad_id, side)
            for batch, scores in scorer.run(different, token_budget, prefix):
                found.update(zip(batch, scores, strict=True))
                done += sum(times[prompt] for prompt in batch)
                if progress is not None:
                    progress(done, "")
    finally:
        model.train(training)
    for row, prompt in enumerate(prompts):
        out[row] = found[prompt]
    if not np.isfinite(out).all():
        raise UsageError(
            "모델이 숫자가 아닌 값(NaN 또는 무한대)을 냈습니다. fp16에서 흔한 일이니 bf16이나 fp32로 여세요.",
            "the model answered with NaN or infinity; fp16 often does that, so open it in bf16 or fp32",
        )
    return out


def proba_from(
    logp: Floats,
    how: Literal["vocab", "labels"],
    length: Literal["sum", "mean"] = "sum",
    lengths: Sequence[int] | None = None,
) -> NDArray[np.float32]:
    """Probabilities (n, k) from what ``label_logprobs`` gave.

    Args:
        logp: log-probabilities (n, k).
        how: ``vocab``: the probability of the whole label word among everything the model could say, as seed 000's
            percentages; the rows do not sum to 1. ``labels``: shared out among the label words, rows sum to 1.
        length: ``sum``: as it is, so that words of more tokens come out smaller. ``mean``: divided by the answer's
            number of tokens, which under ``vocab`` is the geometric mean of its tokens' probabilities: a score between
            0 and 1, no longer a probability.
        lengths: tokens of each answer (k,); needed by ``mean``.
    """
    scores = np.asarray(logp, np.float64)
    if length == "mean":
        if lengths is None or len(lengths) != scores.shape[1]:
            raise UsageError(
                f"mean에는 답 {scores.shape[1]}개의 토큰 수가 필요합니다.",
                f"'mean' needs the number of tokens of each of the {scores.shape[1]} answers",
            )
        scores = scores / np.asarray(lengths, np.float64)
    if how == "labels":
        scores = scores - _logsumexp(scores)
    # a sum of float32 log-probabilities may end a hair above log 1
    proba: NDArray[np.float32] = np.exp(np.minimum(scores, 0)).astype(np.float32)
    return proba


def calibrated(logp: Floats, logp_content_free: Floats) -> Floats:
    """Log-probabilities (n, k) over the labels, without the model's bias towards some words.

    Contextual calibration (Zhao et al. 2021, "Calibrate Before Use"): each label's probability is divided by the one it
    gets after a prompt whose text says nothing ("N/A", an empty text), their ``W = diag(p_cf)^-1, b = 0``, and the row
    is made to sum to 1. The decision is theirs; their softmax over the quotients, which flattens them, is not taken.

    Args:
        logp: (n, k).
        logp_content_free: (m, k) or (k,), after m content-free prompts; their probabilities are averaged.
    """
    free = np.atleast_2d(np.asarray(logp_content_free, np.float64))
    if free.shape[0] == 0 or free.shape[1:] != logp.shape[1:]:
        raise UsageError(
            f"내용 없는 입력의 점수는 (m, {logp.shape[1]}) 모양이어야 합니다: {free.shape}",
            f"content-free scores must be of shape (m, {logp.shape[1]}), got {free.shape}",
        )
    mean = _logsumexp(free.T)[:, 0] - np.log(len(free))
    scores = np.asarray(logp, np.float64) - mean
    calibrated: Floats = scores - _logsumexp(scores)
    return calibrated


def _logsumexp(scores: Floats) -> Floats:
    top = scores.max(1, keepdims=True, initial=-np.inf)
    total: Floats = top + np.log(np.exp(scores - top).sum(1, keepdims=True))
    return total


def _check(prompts: Sequence[Ids], answers: Sequence[Ids], prefix: int) -> None:
    for ko, en, rows in (("프롬프트", "prompt", prompts), ("답", "answer", answers)):
        for number, ids in enumerate(rows):
            if not ids:
                raise UsageError(
                    f"{number}번째 {ko}에 토큰이 없습니다. 하나 이상이어야 합니다.",
                    f"{en} {number} (from 0) holds no tokens; it needs at least one",
                )
    if prefix > 0 and prompts and prefix > (shared := shared_prefix(prompts)):
        raise UsageError(
            f"프롬프트들이 공유하는 앞부분은 {shared}개 토큰인데 prefix={prefix}입니다. -1로 두면 스스로 찾습니다.",
            f"the prompts share their first {shared} tokens, but prefix={prefix}; -1 finds it by itself",
        )
