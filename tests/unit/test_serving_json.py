"""Strict JSON, short scores, lines of a streamed body."""

from __future__ import annotations

import asyncio
import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from maeum.serving.lines import ExampleReader, Line, read_lines
from maeum.serving.refusals import Refusal
from maeum.serving.strictjson import dumps, loads, short


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "NaN"),
        (b'{"a": 1, "a": 2}', "twice"),
        (b'{"a": {"b": 1, "b": 1}}', "twice"),
        (b'"\xff"', "UTF-8"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b'"\\ud800"', "surrogate"),
        (b'"\\u0000"', "NUL"),
        (b'{"\\udfff": 1}', "surrogate"),
        (b'"\x00"', "not JSON"),
        (b"[" * 100_000, "deep"),
        (b"[" * 40 + b"]" * 40, "deep"),
        (b"1" * 5000, "too long"),
        (b"{} {}", "not JSON"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(body: bytes, says: str) -> None:
    with pytest.raises(Refusal) as refused:
        loads(body)
    assert (refused.value.status, refused.value.code) == (400, "bad_json")
    assert says in refused.value.en


def test_ordinary_json_passes() -> None:
    value = {"texts": ["좋아요 😀", "\U0001f600"], "n": [1, 2.5, None, True], "deep": [[[[1]]]]}
    assert loads(dumps(value)) == value
    assert loads(json.dumps(value).encode()) == value  # escaped pairs are whole characters


@settings(max_examples=60, deadline=None)
@given(arrays(np.float32, (3, 4), elements=st.floats(0, 1, width=32)))
def test_short_scores_are_those_of_the_library(scores: np.ndarray) -> None:
    assert short(scores).tolist() == [[float(str(score)) for score in row] for row in scores]


def test_short_scores_of_hard_numbers() -> None:
    scores = np.array([[0, 1, 0.1, 1e-45, 1e-7, 0.99999994, 5e-324, 1 / 3, 3.0517578e-05]], np.float32)
    assert short(scores).tolist() == [[float(str(score)) for score in scores[0]]]
    assert short(np.zeros((0, 3), np.float32)).shape == (0, 3)


def lines(body: bytes, cut: list[int], longest: int = 20) -> list[Line]:
    places = [0, *sorted(min(place, len(body)) for place in cut), len(body)]
    pieces = iter([body[a:b] for a, b in itertools.pairwise(places)])

    async def piece() -> bytes | None:
        return next(pieces, None)

    async def work() -> list[Line]:
        return [line async for line in read_lines(piece, longest)]

    return asyncio.run(work())


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(0, 60), max_size=8))
def test_lines_do_not_depend_on_how_a_body_is_cut(cut: list[int]) -> None:
    body = b"one\n\n  \ntwo\r\n" + b"x" * 25 + b"\nfour\n" + b"y" * 20
    found = lines(body, cut)
    assert [(line.number, line.row) for line in found] == [(1, 1), (4, 2), (5, 3), (6, 4), (7, 5)]
    assert [line.content for line in found] == [b"one", b"two\r", None, b"four", b"y" * 20]


@pytest.mark.parametrize(
    ("body", "numbers"),
    [(b"", []), (b"\n\n", []), (b"a", [1]), (b"a\n", [1]), (b"\na", [2]), (b"z" * 30, [1]), (b"z" * 30 + b"\n", [1])],
)
def test_ends_of_bodies(body: bytes, numbers: list[int]) -> None:
    for cut in ([], [1], [21], [30], [3, 22]):
        assert [line.number for line in lines(body, cut)] == numbers


def test_lines_are_read_as_predict_reads_them() -> None:
    reader = ExampleReader()
    row = {"id": 7, "text": "배우는 좋았다", "target": {"form": "배우", "begin": 0, "end": 2}, "labels": ["없는 라벨"]}
    example = reader.read(Line(1, 1, b"\xef\xbb\xbf" + json.dumps(row).encode()))
    assert (example.id, example.text, example.labels) == ("7", "배우는 좋았다", None)
    assert example.target is not None
    assert example.target.form == "배우"
    assert reader.read(Line(9, 4, b'{"text": "\xea\xb8\x80"}')).id == "row-000004"
    for bad, code in ((b"[]", "bad_line"), (b'{"x": 1}', "bad_line"), (b'{"text": 3}', "bad_line"), (b"{", "bad_json")):
        with pytest.raises(Refusal) as refused:
            reader.read(Line(1, 1, bad))
        assert refused.value.code == code
