"""A character map as the ``precompiled_charsmap`` of SentencePiece, which tokenizers' ``Precompiled`` reads.

Layout, little-endian: u32 size of the trie in bytes; the trie, a double array of u32 units in the format of
Darts-clone; the replacements in UTF-8, each closed by a NUL. A key's value is the byte offset of its replacement.

The map is kept in this form because ``Precompiled`` looks every character up in one step, where thousands of
``Replace`` steps would each scan the whole text. Format: github.com/s-yata/darts-clone (darts.h, class
DoubleArrayUnit) and the reader in github.com/huggingface/spm_precompiled.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

_HAS_LEAF = 1 << 8
_VALUE = 1 << 31
_MAX_OFFSET = 1 << 21  # units hold 22 bits of offset; larger tries need a second form that is not written here
_BLOCK = 256  # labels are bytes: base ^ label stays within the block of its base
_WINDOW = 4 * _BLOCK  # how far back free units are looked for: filling older gaps takes long and saves little


def build_charsmap(mapping: Mapping[int, str]) -> bytes:
    """The bytes of a charsmap.

    Args:
        mapping: code point → replacement (may be empty). No key may be 0, and no replacement may hold NUL: NUL
            closes keys and values in this format.

    Returns:
        What ``tokenizers.normalizers.Precompiled`` takes.

    Raises:
        ValueError: the mapping holds NUL or a surrogate, or is too large for the format.
    """
    if 0 in mapping or any("\0" in value for value in mapping.values()):
        raise ValueError("a charsmap cannot hold NUL")
    strings = bytearray()
    where: dict[str, int] = {}
    keys: dict[bytes, int] = {}
    for code, value in mapping.items():
        if value not in where:
            where[value] = len(strings)
            strings += value.encode("utf-8") + b"\0"
        keys[chr(code).encode("utf-8")] = where[value]
    trie = _double_array(keys)
    return len(trie).to_bytes(4, "little") + trie + bytes(strings)


def _double_array(keys: Mapping[bytes, int]) -> bytes:
    """The units of a double array: a node's child under byte c is at ``base ^ c``, its value at ``base ^ 0``."""
    children: dict[bytes, list[int]] = {b"": []}
    for key in sorted(keys):
        for end in range(1, len(key) + 1):
            prefix, label = key[: end - 1], key[end - 1]
            labels = children.setdefault(prefix, [])
            if label not in labels:
                labels.append(label)
        children.setdefault(key, [])
    units = [0] * _BLOCK
    used = [False] * _BLOCK  # a unit is taken
    bases: set[int] = set()  # each node needs a base of its own, or one node would find another's children
    used[0] = True  # the root
    position = {b"": 0}
    for node in sorted(children, key=lambda node: (len(node), node)):
        labels = ([0] if node in keys else []) + children[node]
        if not labels:
            continue
        probe = max(1, len(used) - _WINDOW)
        while used[probe] or probe ^ labels[0] in bases or any(used[probe ^ labels[0] ^ label] for label in labels):
            probe += 1
            if probe == len(used):
                units += [0] * _BLOCK
                used += [False] * _BLOCK
        base = probe ^ labels[0]
        bases.add(base)
        here = position[node]
        offset = here ^ base
        if offset >= _MAX_OFFSET:
            raise ValueError("the charsmap is too large")
        units[here] |= offset << 10 | (_HAS_LEAF if node in keys else 0)
        for label in labels:
            used[base ^ label] = True
            if label == 0:
                units[base] = _VALUE | keys[node]
            else:
                units[base ^ label] |= label
                position[node + bytes([label])] = base ^ label
    return np.array(units, dtype="<u4").tobytes()
