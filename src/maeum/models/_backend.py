"""The tokenizer of an exported model: ``tokenizer.json`` read by the ``tokenizers`` package alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from maeum.errors import FormatError


class BackendTokenizer:
    """Answers the calls that ``Windows`` makes of a fast tokenizer of transformers.

    Args:
        path: ``tokenizer.json``.
        specials: special tokens and their ids, which no text may bring along.
        unknown: id of the unknown token, put in their place.
    """

    def __init__(self, path: Path, specials: Mapping[str, int], unknown: int) -> None:
        from tokenizers import Tokenizer

        try:
            self._backend = Tokenizer.from_file(str(path))
        except Exception as error:  # the package raises plain Exception
            raise FormatError(
                f"'{path}'은(는) 토크나이저 파일이 아니거나 잘렸습니다. 다시 내보내세요(maeum export).",
                f"'{path}' is not a tokenizer file, or cut short; export it again (maeum export)",
            ) from error
        # a file may have been saved with either on, and both would stay on for every later call
        self._backend.no_padding()
        self._backend.no_truncation()
        self.all_special_tokens = list(specials)
        self.all_special_ids = list(specials.values())
        self.unk_token_id = unknown

    def __call__(
        self,
        texts: Sequence[str],
        *,
        add_special_tokens: bool,
        return_offsets_mapping: bool,
        **_: Any,
    ) -> dict[str, list[Any]]:
        """``{"input_ids", "offset_mapping"}`` of texts, one list each."""
        coded = self._backend.encode_batch(list(texts), add_special_tokens=add_special_tokens)
        found: dict[str, list[Any]] = {"input_ids": [item.ids for item in coded]}
        if return_offsets_mapping:
            found["offset_mapping"] = [item.offsets for item in coded]
        return found
