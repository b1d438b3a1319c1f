"""Whether a graph says what the network says: on windows of many shapes, and from text to probability."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from maeum.data import Input, Target
from maeum.errors import MaeumError
from maeum.models._sessions import open_session
from maeum.models.base import Predictor
from maeum.models.batching import probabilities

if TYPE_CHECKING:
    from maeum.models.encoder import EncoderClassifier

TOLERANCE = 1e-5
"""Largest difference of a probability."""
SHAPES = ((1, 3), (2, 9), (3, 33), (5, 64), (2, 0))
"""Windows and tokens; 0 tokens stands for the longest windows there are. Rows but the first are padded."""
TEXTS = (
    "",
    "드디어 표를 구했다!! ㅋㅋㅋㅋ",
    "배송은 빨랐는데 포장이 다 찢어져서 왔어요 ㅠㅠ 10000원이나 줬는데...",
    "[SEP] <s> 😂👍🏽 \u200b 이상한 글자 \ud800",
    "가격 대비 괜찮습니다. " * 120,
)
"""Also a text of several windows."""


@dataclass(frozen=True)
class Parity:
    """The largest differences of probabilities found."""

    shapes: tuple[tuple[int, int], ...]
    """(windows, tokens) tried."""
    windows: float
    """Between network and graph on the same windows, padded and not."""
    texts: float
    """Between the two predictors on texts."""

    @property
    def holds(self) -> bool:
        """Whether both are within ``TOLERANCE``."""
        return max(self.windows, self.texts) <= TOLERANCE

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "shapes": [list(shape) for shape in self.shapes],
            "windows": self.windows,
            "texts": self.texts,
            "tolerance": TOLERANCE,
        }


class ParityError(MaeumError):
    """A graph differs from the network it was made from."""


def encoder_parity(model: EncoderClassifier, exported: Predictor, path: Path) -> Parity:
    """Compare an encoder with its fp32 graph and with the predictor around it.

    Raises:
        ParityError: they differ by more than ``TOLERANCE``.
    """
    import torch

    network = model.network.to("cpu").eval()
    frame = model.windows.frame
    session = open_session(path)
    rng = np.random.default_rng(0)
    vocabulary = int(network.backbone.get_input_embeddings().weight.shape[0])
    worst, tried = 0.0, []
    for count, tokens in SHAPES:
        tokens = tokens or model.windows.max_length
        feed = _windows(rng, count, tokens, vocabulary, frame.pad_id, types=frame.first_type is not None)
        with torch.inference_mode():
            want = network.window_logits(**{name: torch.from_numpy(value) for name, value in feed.items()})
        found = session.run(["logits"], feed)[0]
        p, q = (probabilities(np.asarray(each, np.float32), "multilabel") for each in (want.float().numpy(), found))
        worst = max(worst, float(np.abs(p - q).max(initial=0)))
        tried.append((count, tokens))
    return _checked(Parity(tuple(tried), worst, _on_texts(model, exported)))


def text_parity(model: Predictor, exported: Predictor) -> Parity:
    """Compare two predictors on texts alone, together and one by one.

    Raises:
        ParityError: they differ by more than ``TOLERANCE``.
    """
    return _checked(Parity((), 0.0, _on_texts(model, exported)))


def _on_texts(model: Predictor, exported: Predictor) -> float:
    inputs = [Input(text) for text in TEXTS]
    inputs += [
        Input("친구가 준 선물이 친구보다 좋다", target) for target in (Target("선물", 5, 7), Target("친구", 9, 11))
    ]
    want, together = model.predict_proba(inputs), exported.predict_proba(inputs)
    single = np.concatenate([exported.predict_proba([item]) for item in inputs])
    return float(max(np.abs(want - together).max(initial=0), np.abs(want - single).max(initial=0)))


def _windows(
    rng: np.random.Generator, count: int, tokens: int, vocabulary: int, pad_id: int, *, types: bool
) -> dict[str, NDArray[np.int64]]:
    """Random windows (count, tokens), each a few tokens shorter than the one before it and padded."""
    ids = rng.integers(0, vocabulary, (count, tokens))
    mask = np.ones_like(ids)
    for row in range(count):
        length = max(1, tokens - row * max(1, tokens // (count + 1)))
        ids[row, length:], mask[row, length:] = pad_id, 0
    feed = {"input_ids": ids, "attention_mask": mask}
    if types:
        feed["token_type_ids"] = rng.integers(0, 2, ids.shape) * mask
    return feed


def _checked(parity: Parity) -> Parity:
    if not parity.holds:
        worst = max(parity.windows, parity.texts)
        raise ParityError(
            f"ONNX 그래프의 확률이 원래 모델과 {worst:.1e}만큼 다릅니다(허용 {TOLERANCE:.0e}). 폴더를 만들지 않았습니다. "
            "모델 구조와 이 문장을 적어 알려 주세요.",
            f"the graph's probabilities differ from the model's by {worst:.1e} (allowed {TOLERANCE:.0e}); nothing was "
            "written. Please report it with the model's architecture",
        )
    return parity
