"""Writing: tables, submissions that keep every byte they do not answer, atomic files, and the way back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from maeum import formats
from maeum.data import AspectLabel, Dataset, Example, Target
from maeum.errors import DataError, UsageError
from maeum.formats.splice import splice_value
from maeum.task import Task, builtin_task

EA = builtin_task("nikl-ea")
FALSE = '{"joy": "False", "anticipation": "False", "trust": "False", "surprise": "False", "disgust": "False", "fear": "False", "anger": "False", "sadness": "False"}'


def output(*labels: str) -> str:
    text = FALSE
    for label in labels:
        text = text.replace(f'"{label}": "False"', f'"{label}": "True"')
    return text


class TestSplice:
    @pytest.mark.parametrize(
        ("raw", "expected"),
        [
            ('{"a": 1, "output": ""}', '{"a": 1, "output": NEW}'),
            ('  {"output":{"x": {"output": 1}}  ,"b" : [1,\t2]}\r\n', '  {"output":NEW  ,"b" : [1,\t2]}\r\n'),
            ('{"a": {"output": 1}}', '{"a": {"output": 1}, "output": NEW}'),
            ('{"a": "}\\"output\\": 3" }', '{"a": "}\\"output\\": 3", "output": NEW }'),
            ("{}", '{"output": NEW}'),
            ("{ }", '{"output": NEW }'),
            ('{"\\u006futput": null, "x":1.50e3}', '{"\\u006futput": NEW, "x":1.50e3}'),
            ('{"output": 1, "output": 2}', '{"output": 1, "output": NEW}'),
        ],
    )
    def test_value(self, raw: str, expected: str) -> None:
        assert splice_value(raw, "output", "NEW") == expected

    @pytest.mark.parametrize("raw", ["[]", "3", '{"a" 1}', '{"a": 1', '{"a": }', ""])
    def test_not_an_object(self, raw: str) -> None:
        with pytest.raises(ValueError, match=r".+"):
            splice_value(raw, "output", "NEW")


ROWS = [
    '{"id": "a",   "input": {"form": "\\uac00 \\/ 나", "target": {"form":"나","begin":4,"end":5}}, "output": ""}',
    '{"output" : {"joy":"True"} , "input":{"target":null,"form":"가\\ud83d\\ude00"},"id":"b","extra":[1.0,  2e3]}',
    '\t{"id": "c", "input": {"form": "없음", "note": {"output": "True"}}}  ',
]
ANSWERS = [("joy", "fear"), (), ("sadness",)]
EXPECTED = [
    ROWS[0].replace('"output": ""', f'"output": {output("joy", "fear")}'),
    ROWS[1].replace('{"joy":"True"}', FALSE),
    ROWS[2].replace("}}}", f'}}}}, "output": {output("sadness")}}}'),
]


class TestSubmission:
    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    @pytest.mark.parametrize("last", [True, False])
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949"])
    def test_every_other_byte_stays(self, end: str, last: bool, encoding: str, tmp_path: Path) -> None:
        source, path = tmp_path / "test.jsonl", tmp_path / "out.jsonl"
        source.write_bytes((end.join(ROWS) + end * last).encode(encoding))
        data = formats.read(source, format="nikl-ea")
        answered = [Example(row.id, row.text, labels=labels) for row, labels in zip(data, ANSWERS, strict=True)]
        formats.write(Dataset(EA, answered[::-1]), path, "nikl-ea", source=source)
        assert path.read_bytes() == (end.join(EXPECTED) + end * last).encode(encoding)
        assert [row.labels for row in formats.read(path, format="nikl-ea")] == [("joy", "fear"), (), ("sadness",)]

    def test_array(self, tmp_path: Path) -> None:
        source, path = tmp_path / "test.json", tmp_path / "out.json"
        source.write_text("[ " + " ,\n".join(ROWS) + "]\n", encoding="utf-8")
        data = formats.read(source)
        answered = [Example(row.id, row.text, labels=labels) for row, labels in zip(data, ANSWERS, strict=True)]
        formats.write(answered, path, "nikl-ea", source=source)
        assert path.read_text(encoding="utf-8") == "[ " + " ,\n".join(EXPECTED) + "]\n"

    def test_rows_without_ids(self, tmp_path: Path) -> None:
        source, path = tmp_path / "test.jsonl", tmp_path / "out.jsonl"
        source.write_text('{"input": {"form": "가"}}\n\n{"input": {"form": "나"}}\n', encoding="utf-8")
        data = formats.read(source)
        formats.write([Example(row.id, row.text, labels=("joy",)) for row in data], path, "nikl-ea", source=source)
        assert [row.labels for row in formats.read(path)] == [("joy",), ("joy",)]

    def test_other_rows(self, tmp_path: Path) -> None:
        source, path = tmp_path / "test.jsonl", tmp_path / "out.jsonl"
        source.write_text("\n".join(ROWS), encoding="utf-8")
        with pytest.raises(DataError, match="no prediction for row 'b' of the original"):
            formats.write([Example("a", "가", labels=())], path, "nikl-ea", source=source)
        extra = [Example(name, "가", labels=()) for name in "abcd"]
        with pytest.raises(DataError, match="1 of 4 predictions are for rows"):
            formats.write(extra, path, "nikl-ea", source=source)
        source.write_text(ROWS[0] + "\n[]\n", encoding="utf-8")
        with pytest.raises(DataError, match=r"test\.jsonl:2: cannot be read as JSON objects"):
            formats.write(extra, path, "nikl-ea", source=source)
        assert not path.exists()
        assert sorted(tmp_path.iterdir()) == [source]

    def test_written_anew(self, tmp_path: Path) -> None:
        example = Example("a", "가 나", Target("나", 2, 3), ("trust",), None, {"input": {"s": 1}, "k": 2, "_x": 3})
        formats.write([example], tmp_path / "out.jsonl", "nikl-ea")
        text = (tmp_path / "out.jsonl").read_text(encoding="utf-8")
        given = '{"form": "가 나", "target": {"form": "나", "begin": 2, "end": 3}, "s": 1}'
        assert text == f'{{"id": "a", "input": {given}, "output": {output("trust")}, "k": 2}}\n'
        formats.write([Example("a", "가")], tmp_path / "out.jsonl", "nikl-ea")
        assert '"output": ""' in (tmp_path / "out.jsonl").read_text(encoding="utf-8")

    def test_aspects(self, tmp_path: Path) -> None:
        source, path = tmp_path / "sa.jsonl", tmp_path / "out.jsonl"
        source.write_bytes('{"id":"1", "sentence_form":"기어 \\u00b7",  "annotation":[]}\r\n'.encode())
        found = (
            AspectLabel("본품#품질", "negative", 0, 2),
            AspectLabel("본품#품질", "negative"),
            AspectLabel("본품#가격", "positive"),
        )
        examples = [Example("1", "기어 ·", aspects=found)]
        formats.write(examples, path, "nikl-sa", source=source)
        pairs = '[["본품#품질", "negative"], ["본품#가격", "positive"]]'
        assert path.read_bytes() == source.read_bytes().replace(b"[]", pairs.encode())
        formats.write(examples, path, "nikl-sa")
        assert formats.read(path)[0].aspects == found


EXAMPLES = (
    Example(
        "a", '=1+1, "따옴표"\n새 줄', Target("따옴표", 7, 10), ("joy", "fear"), None, {"date": "2024-01-02", "n": "3"}
    ),
    Example("b", "나 10000원", None, (), None, {"date": "", "n": ""}),
    Example("c", "  앞 공백 😀\t탭", None, None, None, {"date": "", "n": ""}),
)


class TestTables:
    @pytest.mark.parametrize("suffix", [".csv", ".xlsx", ".parquet", ".jsonl"])
    def test_round_trip(self, suffix: str, tmp_path: Path) -> None:
        path = tmp_path / f"a{suffix}"
        formats.write(Dataset(EA, EXAMPLES), path)
        assert tuple(formats.read(path, task=EA)) == EXAMPLES
        if suffix != ".jsonl":
            assert formats.read(path, task=EA)[0].meta == EXAMPLES[0].meta

    @pytest.mark.parametrize("suffix", [".csv", ".xlsx", ".parquet", ".tsv", ".jsonl"])
    def test_aspects(self, suffix: str, tmp_path: Path) -> None:
        task = builtin_task("review-fashion")
        rows = (
            Example("a", "배송 느림", aspects=(AspectLabel("배송", "-1", 0, 2), AspectLabel("가격", "1"))),
            Example("b", "글", aspects=()),
        )
        formats.write(Dataset(task, rows), tmp_path / f"a{suffix}")
        assert tuple(formats.read(tmp_path / f"a{suffix}", task=task)) == rows

    def test_csv_opens_in_excel(self, tmp_path: Path) -> None:
        formats.write(EXAMPLES, tmp_path / "a.csv")
        content = (tmp_path / "a.csv").read_bytes()
        assert content.startswith(b"\xef\xbb\xbfid,text,target,target_begin,target_end,labels,date,n\r\n")
        assert ',"=1+1, ""따옴표""\n새 줄",따옴표,7,10,joy|fear,'.encode() in content

    def test_xlsx_never_computes(self, tmp_path: Path) -> None:
        import python_calamine

        formats.write([Example("=2", "=1+1"), Example("b", "http://x.y"), Example("c", "12")], tmp_path / "a.xlsx")
        sheet = python_calamine.load_workbook(str(tmp_path / "a.xlsx")).get_sheet_by_index(0)
        assert sheet.to_python()[1:] == [["=2", "=1+1"], ["b", "http://x.y"], ["c", "12"]]

    def test_tsv_refuses_what_it_cannot_hold(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="row 'a' has a tab or a line break"):
            formats.write([Example("a", "가\n나")], tmp_path / "a.tsv")
        formats.write([Example("a", '"가" 나', labels=("joy",))], tmp_path / "a.tsv")
        assert formats.read(tmp_path / "a.tsv", task=EA).texts == ['"가" 나']

    def test_long_cell(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="a cell holds 32,767 characters"):
            formats.write([Example("a", "가" * 32_768)], tmp_path / "a.xlsx")
        assert list(tmp_path.iterdir()) == []

    def test_labels_with_separators(self, tmp_path: Path) -> None:
        task = Task.from_dict({"name": "t", "kind": "multilabel", "labels": ["가, 나", "[다", "라|마"]})
        rows = (
            Example("a", "글", labels=("가, 나", "라|마")),
            Example("b", "글", labels=("[다",)),
            Example("c", "글", labels=("라|마",)),
        )
        formats.write(Dataset(task, rows), tmp_path / "a.csv")
        assert tuple(formats.read(tmp_path / "a.csv", task=task)) == rows

    def test_meta_named_like_a_column(self, tmp_path: Path) -> None:
        formats.write([Example("a", "글", meta={"text": "x", "n": [1]})], tmp_path / "a.csv")
        assert "id,text,meta_text,n\r\na,글,x,[1]" in (tmp_path / "a.csv").read_bytes().decode()

    @pytest.mark.parametrize("suffix", [".csv", ".xlsx", ".parquet", ".jsonl", ".tsv"])
    def test_a_failed_write_leaves_nothing(self, suffix: str, tmp_path: Path) -> None:
        def rows() -> Any:
            yield EXAMPLES[1]
            raise RuntimeError("stop")

        path = tmp_path / f"a{suffix}"
        path.write_text("old", encoding="utf-8")
        with pytest.raises(RuntimeError, match="stop"):
            formats.write(rows(), path)
        assert path.read_text(encoding="utf-8") == "old"
        assert list(tmp_path.iterdir()) == [path]


class TestOthers:
    def test_emo_json(self, tmp_path: Path) -> None:
        rows = (
            Example("row-000001", "회의 앞 회의", Target("회의", 5, 7), ("joy", "surprise")),
            Example("row-000003", "회의 앞 회의", Target("회의", 0, 2), ()),
            Example("row-000004", "글", None, None),
        )
        for name in ("a.json", "a.jsonl"):
            formats.write(Dataset(EA, rows), tmp_path / name, "emo-json")
            assert tuple(formats.read(tmp_path / name)) == rows
        first = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
        assert first[:3] == [
            {"text": "회의 앞 회의", "target": "회의", "begin": 5, "end": 7, "emo": "기쁨"},
            {"text": "회의 앞 회의", "target": "회의", "begin": 5, "end": 7, "emo": "당황"},
            {"text": "회의 앞 회의", "target": "회의", "emo": ""},
        ]
        formats.write([], tmp_path / "a.json", "emo-json")
        assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == []
        with pytest.raises(UsageError, match="aspects cannot be written"):
            formats.write([Example("a", "글", aspects=())], tmp_path / "a.json", "emo-json")

    @pytest.mark.parametrize("suffix", [".csv", ".md", ".xlsx"])
    def test_completion(self, suffix: str, tmp_path: Path) -> None:
        task = builtin_task("review-fashion")
        rows = (
            Example("row-000001", "1|2, \\| 옷", aspects=(AspectLabel("디자인", "1"), AspectLabel("배송", "-2"))),
            Example("row-000002", "글", aspects=()),
        )
        formats.write(Dataset(task, rows), tmp_path / f"a{suffix}", "completion")
        assert tuple(formats.read(tmp_path / f"a{suffix}")) == rows
        if suffix == ".md":
            assert "디자인 1, 배송 -2 |" in (tmp_path / "a.md").read_text(encoding="utf-8")
            with pytest.raises(DataError, match="cannot hold a line break"):
                formats.write([Example("a", "가\n나", aspects=())], tmp_path / "b.md", "completion")

    def test_completion_needs_numbered_aspects(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="row 'a' has no aspects"):
            formats.write([Example("a", "글", labels=("joy",))], tmp_path / "a.csv", "completion")
        with pytest.raises(DataError, match="grades that are numbers, got 'positive'"):
            formats.write(
                [Example("a", "글", aspects=(AspectLabel("가", "positive"),))], tmp_path / "a.csv", "completion"
            )

    def test_what_cannot_be_written(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="'kote' cannot be written; these can: jsonl, csv"):
            formats.write(EXAMPLES, tmp_path / "a.tsv", "kote")
        with pytest.raises(UsageError, match="does not tell the output format"):
            formats.write(EXAMPLES, tmp_path / "a.dat")
