"""An encoder that is trained already and learns on: smaller than it was, or from a teacher."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from maeum.errors import UsageError
from maeum.hf.training import check
from maeum.models.encoder import EncoderClassifier, EncoderConfig, default_learning_rate

_STRUCTURE = ("revision", "head", "dropout", "dense", "target_input", "max_length", "overlap", "aggregate")
"""Settings that belong to the network, whoever trains it on."""
_FIXED = ("head", "dense", "target_input", "aggregate", "revision")


def going_on(
    start: EncoderClassifier, network: Any, options: Mapping[str, Any], *, seed: int, tokenizer: Any = None
) -> EncoderClassifier:
    """A classifier around a trained network, with the structure of ``start`` and the training asked for by ``options``.

    Args:
        tokenizer: of the network, where it is another one than that of ``start``.

    Raises:
        UsageError: an option that does not exist, or would change the network.
    """
    config = config_going_on(start, network, options)
    return EncoderClassifier.around(start.task, config, network, tokenizer or start.tokenizer, seed=seed)


def config_going_on(start: EncoderClassifier, network: Any, options: Mapping[str, Any]) -> EncoderConfig:
    """The settings of ``going_on``. The head is trained already: unless told, it learns at the rate of the encoder.

    Raises:
        UsageError: an option that does not exist, or would change the network.
    """
    fixed = sorted(set(_FIXED) & set(options))
    if fixed:
        raise UsageError(
            f"이미 학습한 인코더에서 이어 가므로 바꿀 수 없는 설정입니다: {', '.join(fixed)}",
            f"an encoder that is trained already goes on, so this cannot be changed: {', '.join(fixed)}",
        )
    kept = {name: getattr(start.config, name) for name in _STRUCTURE}
    config = EncoderConfig.of(start.config.base, {**kept, **options})
    if config.head_learning_rate is None:
        rate = config.learning_rate or default_learning_rate(network.width)
        config = dataclasses.replace(config, head_learning_rate=rate)
    check(config)
    return config
