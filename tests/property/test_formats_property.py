"""What is written is read back, whatever the text: line breaks, quotes, tabs, emoji, separators, byte order marks."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maeum import formats
from maeum.data import AspectLabel, Dataset, Example, Target
from maeum.formats.labels import LabelReader, labels_cell
from maeum.formats.splice import splice_value
from maeum.task import Task, builtin_task

EA = builtin_task("nikl-ea")
FASHION = builtin_task("review-fashion")
# Everything UTF-8 can write but NUL, and often what breaks parsers.
letters = st.characters(exclude_categories=("Cs",), exclude_characters="\0")
tricky = st.sampled_from(
    ['"', "'", ",", "\n", "\r\n", "\r", "\t", "|", ";", "\\", "=1+1", "😀", "가", "\u2028", "\ufeff", "[", "{", " "]
)
texts = st.lists(st.one_of(st.text(letters, max_size=8), tricky), min_size=1, max_size=8).map("".join).filter(str.strip)
metas = st.dictionaries(st.sampled_from(["date", "상품", "n"]), st.text(letters, max_size=5), max_size=2)
labels = st.one_of(st.none(), st.sets(st.sampled_from(EA.keys)).map(EA.order))


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@st.composite
def targets(draw: st.DrawFn, text: str) -> Target | None:
    if draw(st.booleans()):
        return None
    begin = draw(st.integers(0, len(text) - 1))
    end = draw(st.integers(begin + 1, len(text)))
    return Target(text[begin:end], begin, end)


@st.composite
def datasets(draw: st.DrawFn) -> Dataset:
    rows = []
    for text in draw(st.lists(texts, min_size=1, max_size=5)):
        name = f"{draw(st.text(letters, max_size=3)).strip()}-{len(rows)}"
        rows.append(Example(name, text, draw(targets(text)), draw(labels), None, draw(metas)))
    return Dataset(EA, rows)


@given(data=datasets())
@settings(deadline=None)
@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_round_trip(suffix: str, data: Dataset, folder: Path) -> None:
    path = folder / f"a{suffix}"
    formats.write(data, path)
    again = formats.read(path, format=suffix[1:], task=EA)
    assert again.examples == data.examples
    assert again.fingerprint == data.fingerprint
    for before, after in zip(data, again, strict=True):
        assert {k: v for k, v in after.meta.items() if v or suffix == ".jsonl"} == {
            k: v for k, v in before.meta.items() if v or suffix == ".jsonl"
        }


@given(data=datasets())
@settings(deadline=None, max_examples=50)
def test_round_trip_xlsx(data: Dataset, folder: Path) -> None:
    path = folder / "a.xlsx"
    rows = [row for row in data if "\r" not in row.text and row.text.isprintable() and row.id.isprintable()]
    if rows:
        formats.write(Dataset(EA, rows), path)
        assert formats.read(path, format="xlsx", task=EA).examples == tuple(rows)


@given(data=datasets())
@settings(deadline=None)
def test_round_trip_nikl_ea(data: Dataset, folder: Path) -> None:
    formats.write(data, folder / "ea.jsonl", "nikl-ea")
    assert formats.read(folder / "ea.jsonl").examples == data.examples


@given(data=datasets(), answers=st.lists(labels, min_size=5, max_size=5), indent=st.sampled_from([None, 1]))
@settings(deadline=None)
def test_submission_keeps_the_rest(
    data: Dataset, answers: list[tuple[str, ...] | None], indent: int | None, folder: Path
) -> None:
    source, path = folder / "source.jsonl", folder / "answer.jsonl"
    formats.write(data, source, "nikl-ea")
    if indent is not None:
        rows = [json.loads(line) for line in source.read_text(encoding="utf-8").split("\n") if line]
        source.write_text(json.dumps(rows, indent=indent, separators=(" ,", ": ")), encoding="utf-8")
    answered = [Example(row.id, row.text, row.target, answer) for row, answer in zip(data, answers, strict=False)]
    formats.write(answered, path, "nikl-ea", task=EA, source=source)
    assert list(formats.read(path, format="nikl-ea")) == answered
    # Putting the old answers back gives the old file, byte for byte but for how the answers are spaced.
    formats.write(data, folder / "back.jsonl", "nikl-ea", source=path)
    if indent is None:
        assert (folder / "back.jsonl").read_bytes() == source.read_bytes()


@given(data=datasets())
@settings(deadline=None)
@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
def test_round_trip_emo_json(suffix: str, data: Dataset, folder: Path) -> None:
    unique = {(row.text, row.target): row for row in data}
    formats.write(Dataset(EA, unique.values()), folder / f"emo{suffix}", "emo-json")
    again = formats.read(folder / f"emo{suffix}", format="emo-json")
    assert [(row.text, row.target, row.labels) for row in again] == [(*key, row.labels) for key, row in unique.items()]


@given(
    rows=st.lists(
        st.tuples(
            texts,
            st.lists(st.tuples(st.sampled_from(FASHION.keys), st.sampled_from(FASHION.sentiment_keys)), max_size=4),
        ),
        min_size=1,
        max_size=4,
    )
)
@settings(deadline=None)
def test_round_trip_completion(rows: list[tuple[str, list[tuple[str, str]]]], folder: Path) -> None:
    data = [
        Example(str(n), text, aspects=tuple(AspectLabel(*pair) for pair in pairs))
        for n, (text, pairs) in enumerate(rows)
    ]
    formats.write(data, folder / "c.csv", "completion")
    assert [(row.text, row.aspects) for row in formats.read(folder / "c.csv", format="completion")] == [
        (row.text, row.aspects) for row in data
    ]


@given(
    names=st.lists(
        st.text(letters, min_size=1, max_size=4).filter(lambda s: s == s.strip()), min_size=1, max_size=5, unique=True
    ),
    chosen=st.data(),
)
def test_label_cells(names: list[str], chosen: st.DataObject) -> None:
    if len({name.lower() for name in names}) < len(names):
        return
    task = Task.from_dict({"name": "t", "kind": "multilabel", "labels": names})
    picked = task.order(chosen.draw(st.sets(st.sampled_from(names))))
    assert LabelReader(task).cell(labels_cell(picked)) == picked


json_values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=5)
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=6,
)


@given(
    row=st.dictionaries(st.one_of(st.text(max_size=4), st.just("output")), json_values, max_size=5),
    indent=st.sampled_from([None, 0, 2]),
    escape=st.booleans(),
    pad=st.sampled_from(["", " ", "\t", "\r\n"]),
)
def test_splice_changes_one_value(row: dict[str, object], indent: int | None, escape: bool, pad: str) -> None:
    raw = pad + json.dumps(row, indent=indent, ensure_ascii=escape) + pad
    spliced = splice_value(raw, "output", '{"new": [1]}')
    assert json.loads(spliced) == row | {"output": {"new": [1]}}
    if "output" in row:
        assert (
            splice_value(spliced, "output", json.dumps(row["output"], indent=indent, ensure_ascii=escape)).split()
            == raw.split()
        )


@given(content=st.binary(max_size=200), suffix=st.sampled_from([".jsonl", ".json", ".csv", ".tsv", ".txt", ".md"]))
@settings(deadline=None, max_examples=300)
def test_any_bytes_are_data_or_one_sentence(content: bytes, suffix: str, folder: Path) -> None:
    from maeum.errors import DataError, UsageError

    path = folder / f"any{suffix}"
    path.write_bytes(content)
    for on_error in ("stop", "skip"):
        try:
            rows = list(formats.iter_examples(path, on_error=on_error))
        except (DataError, UsageError) as error:
            sentence = str(error)
        else:
            sentence = ""
            assert rows
            assert len({row.id for row in rows}) == len(rows)
            for row in rows:
                row.text.encode("utf-8")
        assert "\n" not in sentence
