"""Probabilities of eight emotion words after a prompt: all rows together against seed 000's one row at a time.

    python benchmarks/decoder_inference.py --size both [--rows N] [--device cpu]

The models are GPT-NeoX with random weights (``tiny``: 4 layers of 128; ``100m``: 12 layers of 768, 30,000 tokens): speed
does not depend on what a model has learned. The tokenizer, a byte-level BPE, is trained here on sentences generated
here; the prompt is seed 000's and the eight words are one token each.

The reference is seed 000's function: ``generate`` of one token for one row, then ``compute_transition_scores`` once for
each word on the sequence whose last token was replaced. Ours is ``label_logprobs`` on all rows, with and without the
shared beginning of the prompts run once. Both from the same ids, in fp32, on the same number of threads.
"""

from __future__ import annotations

import argparse
import random
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import transformers
from _results import save
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from maeum.models.label_scoring import label_logprobs

Ids = tuple[int, ...]
Floats = NDArray[np.float64]

PROMPT = "아래는 문장에서 대상에 대한 감정을 매우 정확하게 분류한다.\n### 문장: {text}\n### 대상: {target}\n### 감정:"
WORDS = ("기쁨", "기대", "신뢰", "당황", "혐오", "공포", "분노", "슬픔")
VOCABULARY = 30_000
SHAPES = {"tiny": (4, 128, 4), "100m": (12, 768, 12)}
"""Layers, width, heads."""
BARS = {("cpu", "tiny"): 5.0, ("cpu", "100m"): 2.0, ("cuda", "tiny"): 10.0, ("cuda", "100m"): 10.0}
CPU_TOKENS, GPU_TOKENS = 4096, 32768

_PEOPLE = ["배우", "감독", "점원", "선생님", "친구", "동생", "가수", "사장님", "기사님", "작가", "선수", "이웃"]
_THINGS = ["연기", "목소리", "말투", "표정", "음식", "공연", "영화", "경기", "수업", "선물", "노래", "이야기"]
_FEELS = [
    "정말 놀라웠다",
    "너무 아쉬웠다",
    "기대한 것보다 훨씬 좋았다",
    "생각할수록 화가 난다",
    "믿음직스러워서 마음이 놓인다",
    "무서워서 눈을 감았다",
    "자꾸 떠올라 눈물이 난다",
    "다시 보고 싶지 않다",
    "하루 종일 웃게 했다",
    "앞으로가 더 궁금하다",
]
_WHEN = ["오늘", "어제", "지난주에", "처음에는", "마지막에", "비 오는 날에", "퇴근길에", "아침부터", "결국", "솔직히"]
_PIECES = (
    "아래",
    "는",
    " 문장",
    " 대상",
    "에서",
    "에",
    " 대한",
    " 감정",
    "을",
    " 매우",
    " 정확",
    "하게",
    " 분류",
    "한다",
)
"""What the tokenizer knows of the prompt: stems and endings, as one trained on general Korean text has them."""


def texts(n: int, seed: int) -> list[tuple[str, str]]:
    """Generated sentences of one to four clauses with the thing they are about."""
    draw = random.Random(seed)
    made = []
    for _ in range(n):
        target = f"{draw.choice(_PEOPLE)}의 {draw.choice(_THINGS)}"
        clauses = [f"{draw.choice(_WHEN)} {target} {draw.choice(_FEELS)}"]
        for _ in range(draw.choice((0, 0, 1, 1, 2, 3))):
            clauses.append(
                f"{draw.choice(_WHEN)} {draw.choice(_PEOPLE)} {draw.choice(_THINGS)} {draw.randrange(1000)}번 "
                f"{_noise(draw)} {draw.choice(_FEELS)}"
            )
        made.append((", ".join(clauses) + draw.choice((".", "!!", " ㅋㅋㅋ", " ㅠㅠ", "...")), target))
    return made


def _noise(draw: random.Random) -> str:
    """A made-up word: it gives the tokenizer something to learn 30,000 pieces from."""
    return "".join(chr(0xAC00 + draw.randrange(11_172)) for _ in range(draw.choice((2, 3))))


def tokenizer() -> Tokenizer:
    """A byte-level BPE in which the eight words are single tokens after a space, trained without the prompt."""
    found = Tokenizer(models.BPE())
    found.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    found.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    lines = [text for text, _ in texts(6000, seed=1)]
    found.train_from_iterator([*lines, *(list(_PIECES) + [f"### 감정: {word}" for word in WORDS]) * 50], trainer)
    return found


def model(size: str, device: str, words: list[int]) -> Any:
    """A GPT-NeoX with random weights that, like a trained one, gives most of the probability to one of ``words``.

    With every token at 1 / 30,000 no difference could be seen.
    """
    layers, width, heads = SHAPES[size]
    config = transformers.GPTNeoXConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * width,
        max_position_embeddings=512,
        initializer_range=width**-0.5,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
    )
    torch.manual_seed(0)
    net: Any = transformers.GPTNeoXForCausalLM(config)
    with torch.no_grad():
        net.get_output_embeddings().weight[words] *= 10
    return net.eval().to(device)


def reference(net: Any, prompts: list[Ids], words: list[int], device: str) -> Floats:
    """Seed 000's function, row by row."""
    rows = []
    for prompt in prompts:
        ids = torch.tensor([prompt], device=device)
        outputs = net.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=1,
            return_dict_in_generate=True,
            output_scores=True,
        )
        row = []
        for word in words:
            outputs.sequences[0][-1] = word
            scores = net.compute_transition_scores(
                outputs.sequences, (outputs.scores[0].float(),), normalize_logits=True
            )
            row.append(float(np.exp(scores[0][0].cpu().numpy())))
        rows.append(row)
    return np.array(rows)


def exact(net: Any, prompts: list[Ids], words: list[int], device: str) -> Floats:
    """The reference's scores turned into probabilities in float64.

    ``compute_transition_scores`` takes its softmax over a dimension that is not the last, and on a CPU that sum over the
    vocabulary is added up one by one in float32: where one word has nearly everything, it alone is off by some 1e-4.
    """
    rows = []
    with torch.inference_mode():
        for prompt in prompts:
            ids = torch.tensor([prompt], device=device)
            rows.append(net(input_ids=ids).logits[0, -1].double().softmax(-1)[words].cpu().numpy())
    return np.array(rows)


def ours(net: Any, prompts: list[Ids], words: list[int], device: str, prefix: int = -1) -> Floats:
    """All rows together."""
    budget = CPU_TOKENS if device == "cpu" else GPU_TOKENS
    answers = [(word,) for word in words]
    return np.exp(label_logprobs(net, prompts, answers, pad_id=0, token_budget=budget, prefix=prefix))


def timed(work: Callable[[], Floats], device: str) -> tuple[Floats, float]:
    """The answer and the seconds it took.

    On one CPU thread these are seconds of computing: what other programs take from a busy machine is not counted.
    """
    clock = time.process_time if device == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    answer = work()  # it ends with numbers on the CPU, so on a GPU nothing is left running either
    return answer, clock() - start


def measure(size: str, rows: int, device: str, coder: Tokenizer) -> dict[str, Any]:
    """One size: rows per second of all three, and how far the probabilities are apart."""
    data = texts(rows, seed=2)
    prompts = [tuple(coder.encode(PROMPT.format(text=text, target=target)).ids) for text, target in data]
    lengths = [len(coder.encode(text).ids) for text, _ in data]
    words = [coder.encode(f" {word}").ids for word in WORDS]
    assert all(len(word) == 1 for word in words), "a word is not a single token"
    single = [word[0] for word in words]
    net = model(size, device, single)
    for way in (reference, ours):  # what is only done once
        way(net, prompts[:3], single, device)
    expected, slow = timed(lambda: reference(net, prompts, single, device), device)
    together, fast = timed(lambda: ours(net, prompts, single, device), device)
    alone, plain = timed(lambda: ours(net, prompts, single, device, prefix=0), device)
    few = prompts[:16]
    scores = exact(net, few, single, device)
    truth = exact(net.double(), few, single, device)
    return {
        "size": size,
        "parameters": sum(weights.numel() for weights in net.parameters()),
        "rows": rows,
        "text_tokens": [min(lengths), int(np.median(lengths)), max(lengths)],
        "prompt_tokens_mean": float(np.mean([len(prompt) for prompt in prompts])),
        "shared_tokens": _shared(prompts),
        "reference_rows_per_sec": rows / slow,
        "ours_rows_per_sec": rows / fast,
        "ours_without_shared_rows_per_sec": rows / plain,
        "ratio": slow / fast,
        "ratio_of_sharing": plain / fast,
        "bar": BARS[device.split(":")[0], size],
        "largest_difference": float(np.abs(together - expected).max()),
        "largest_difference_of_sharing": float(np.abs(together - alone).max()),
        "largest_difference_from_reference_scores": float(np.abs(together[: len(few)] - scores).max()),
        "reference_from_float64": float(np.abs(expected[: len(few)] - truth).max()),
        "ours_from_float64": float(np.abs(together[: len(few)] - truth).max()),
        "spread": float(expected.std(0).mean()),
    }


def _shared(prompts: list[Ids]) -> int:
    return next(place for place, ids in enumerate(zip(*prompts, strict=False)) if len(set(ids)) > 1)


def main() -> None:
    """Print one table and save it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=("tiny", "100m", "both"), default="tiny")
    parser.add_argument("--rows", type=int, help="default: 1000 for tiny, 200 for 100m")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--note", default="", help="kept with the result")
    words = parser.parse_args()
    warnings.simplefilter("ignore")
    coder = tokenizer()
    found = []
    for size in ("tiny", "100m") if words.size == "both" else (words.size,):
        row = measure(size, words.rows or {"tiny": 1000, "100m": 200}[size], words.device, coder)
        found.append(row)
        low, middle, high = row["text_tokens"]
        print(
            f"{size}: {row['parameters'] / 1e6:.1f} M parameters, {row['rows']} rows, texts of {low}-{high} tokens "
            f"(median {middle}), prompts of {row['prompt_tokens_mean']:.0f}, {row['shared_tokens']} shared\n"
            f"  one row at a time     {row['reference_rows_per_sec']:9.1f} rows/s\n"
            f"  ours                  {row['ours_rows_per_sec']:9.1f} rows/s  {row['ratio']:.2f} times (bar {row['bar']:g})\n"
            f"  ours, nothing shared  {row['ours_without_shared_rows_per_sec']:9.1f} rows/s, so sharing gives "
            f"{row['ratio_of_sharing']:.2f} times\n"
            f"  max |dp| to the reference {row['largest_difference']:.1e} (bar 1e-4), on 16 rows to its scores with the "
            f"softmax in float64 {row['largest_difference_from_reference_scores']:.1e}\n"
            f"  from a float64 model: reference {row['reference_from_float64']:.1e}, ours {row['ours_from_float64']:.1e}; "
            f"probabilities spread by {row['spread']:.1e}",
            flush=True,
        )
    libraries = {"torch": torch.__version__, "transformers": transformers.__version__}
    facts = libraries | {
        "device": words.device,
        "threads": torch.get_num_threads(),
        "precision": "fp32",
        "note": words.note,
    }
    path = save(f"decoder_inference-{words.size}-{words.device.replace(':', '')}", facts | {"rows": found})
    print("saved", path.name)


if __name__ == "__main__":
    main()
