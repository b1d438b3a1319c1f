"""Cutting files into parts: together the parts have every row of the whole file once, with its number, line and error."""

from __future__ import annotations

import json
import random
import unicodedata
from pathlib import Path

import pytest

from maeum.bulk.parquet import read_footer, row_batches
from maeum.bulk.plan import Plan, find_files, make_plan
from maeum.bulk.reading import PartOfFile, part_examples
from maeum.bulk.scanning import scan
from maeum.bulk.settings import BatchSettings, Crew
from maeum.errors import DataError, UsageError
from maeum.formats import ReadOptions, ReadReport, iter_examples
from maeum.formats.jsonrows import json_rows
from maeum.formats.lines import Source
from maeum.formats.tables import csv_rows, tsv_rows

SIZES = (1, 2, 3, 5, 1000)


def planned(path: Path, part_rows: int, **settings: object) -> Plan:
    root, names = find_files(path)
    return make_plan(root, names, BatchSettings(part_rows=part_rows, **settings))


def in_parts(path: Path, task, part_rows: int, **settings: object) -> tuple[list[tuple[str, str]], list[dict]]:
    """(id, text) of all the rows, and the rejects."""
    chosen = BatchSettings(part_rows=part_rows, **settings)
    plan = planned(path, part_rows, **settings)
    rows, rejects = [], path.parent / "rejects.jsonl"
    rejects.unlink(missing_ok=True)
    for part in plan.parts:
        file, report = plan.files[part.file], ReadReport()
        rows += part_examples(plan.path(part), file, part, chosen, task, report, rejects)
        assert report.rows + report.rejected == part.rows
    refused = [json.loads(line) for line in rejects.read_text().splitlines()] if rejects.exists() else []
    return [(row.id, row.text) for row in rows], refused


def whole(path: Path, task, **settings: object) -> tuple[list[tuple[str, str]], list[dict]]:
    """The same by the reader of whole files."""
    rejects = path.parent / "whole-rejects.jsonl"
    rejects.unlink(missing_ok=True)
    rows = list(iter_examples(path, task=task, with_labels=False, rejects=rejects, **settings))
    refused = [json.loads(line) for line in rejects.read_text().splitlines()] if rejects.exists() else []
    return [(row.id, row.text) for row in rows], refused


CSV = 'text,memo\n"첫 글, 쉼표",a\n\n"두 줄에\n걸친 ""글""",b\n 셋째,c\n,,\n"줄이\r\n셋인\n\n글",d\n마지막 5" 화면,e\n끝,f'


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949"])
def test_csv_with_line_breaks_in_cells(tmp_path, three, size, encoding):
    (tmp_path / "a.csv").write_bytes(CSV.encode(encoding))
    found, _ = in_parts(tmp_path / "a.csv", three, size)
    assert found == whole(tmp_path / "a.csv", three)[0]
    assert [text for _, text in found][1:4] == ['두 줄에\n걸친 "글"', " 셋째", "줄이\r\n셋인\n\n글"]
    assert len(found) == 6


@pytest.mark.parametrize("size", SIZES)
def test_decomposed_text_and_column_names_come_through(tmp_path, three, size):
    nfd = unicodedata.normalize("NFD", "리뷰,번호\n행복한 날,가1\n슬픈 날,나2\n")
    (tmp_path / "a.csv").write_text(nfd, encoding="utf-8")
    found, _ = in_parts(tmp_path / "a.csv", three, size, text_column="리뷰", id_column="번호")
    assert [(unicodedata.normalize("NFC", id), unicodedata.normalize("NFC", text)) for id, text in found] == [
        ("가1", "행복한 날"),
        ("나2", "슬픈 날"),
    ]
    assert found[0][1] == unicodedata.normalize("NFD", "행복한 날")


@pytest.mark.parametrize("size", SIZES)
def test_tsv_and_json_lines(tmp_path, three, size):
    (tmp_path / "a.tsv").write_text('id\ttext\n1\t"따옴표는 글자\n\n2\t둘\n3\t셋', encoding="utf-8")
    assert in_parts(tmp_path / "a.tsv", three, size)[0] == whole(tmp_path / "a.tsv", three)[0]
    lines = ['{"text": "하나"}', "", '{"text": "둘", "id": "b"}', "\u3000", '{"text": "줄\\n셋"}']
    (tmp_path / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    found, _ = in_parts(tmp_path / "a.jsonl", three, size)
    assert found == [("row-000001", "하나"), ("b", "둘"), ("row-000003", "줄\n셋")]


@pytest.mark.parametrize("size", SIZES)
def test_bad_rows_keep_their_lines_and_their_sentences(tmp_path, three, size):
    csv = '글,x\n좋다,1\n"열린 따옴표,2\n칸이 셋,3,4\n널\0문자,5\n'.encode() + b"\xff\xfe\xfd,6\n" + "끝,7\n".encode()
    (tmp_path / "a.csv").write_bytes(csv)
    settings = {"on_error": "skip", "text_column": "글"}
    rows, refused = in_parts(tmp_path / "a.csv", three, size, **settings)
    expected, expected_refused = whole(tmp_path / "a.csv", three, format="csv", **settings)
    assert rows == expected
    assert [item["line"] for item in refused] == [item["line"] for item in expected_refused]
    assert [item["raw"] for item in refused] == [item["raw"] for item in expected_refused]
    assert any("0xff at offset" in item["error"] for item in refused)
    offsets = [item["error"] for item in refused if "offset" in item["error"]]
    assert offsets == [item["error"] for item in expected_refused if "offset" in item["error"]]
    jsonl = b'{"text": "a"}\n{"text": \n[1]\n{"no": 1}\n\xff\n{"text": "b"}\n'
    (tmp_path / "a.jsonl").write_bytes(jsonl)
    rows, refused = in_parts(tmp_path / "a.jsonl", three, size, on_error="skip")
    assert (rows, refused) == whole(tmp_path / "a.jsonl", three, format="jsonl", on_error="skip")
    assert [item["line"] for item in refused] == [2, 3, 4, 5]


def test_the_first_bad_row_stops_with_its_line(tmp_path, three):
    (tmp_path / "a.csv").write_text("text,x\n하나,1\n둘,2\n\n ,3\n넷,4\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"a\.csv:5: the text is blank"):
        in_parts(tmp_path / "a.csv", three, 2)


PIECES = [
    b"a",
    b"\xea\xb0\x80",
    b'"',
    b'""',
    b",",
    b",",
    b"\n",
    b"\n",
    b"\r\n",
    b"\r",
    b" ",
    b"\t",
    b"\0",
    b"\xff",
    b"{}",
    b"[",
]


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl"])
def test_any_bytes_give_the_same_rows_in_parts_as_whole(tmp_path, kind):
    rows_of = {"csv": csv_rows, "tsv": tsv_rows, "jsonl": json_rows}[kind]
    rng = random.Random(7)
    path, cut = tmp_path / f"a.{kind}", 0
    for _ in range(120):
        head = b"" if kind == "jsonl" else b"x,y\n" if kind == "csv" else b"x\ty\n"
        # the first row settles the encoding, so that each part need not guess it anew
        path.write_bytes(head + b'"\xea\xb0\x80"\n' + b"".join(rng.choices(PIECES, k=rng.randrange(40))))
        options = ReadOptions(encoding="utf-8")
        expected = [shown(row) for row in rows_of(Source(path, options))]
        for size in (1, 2, 3):
            found = scan(path, kind, options, size)
            assert found.rows == len(expected)
            cut += len(found.cuts) > 1
            assert [row for part in parts_of(path, kind, size) for row in part] == expected
    assert cut > 150


def shown(row) -> tuple:
    """What must be the same of a row; an open quote may be noticed at the end of the part or further down the file."""
    return row.number, row.line, row.error is None, None if row.error else row.value


def parts_of(path: Path, kind: str, size: int):
    from maeum.bulk import reading

    settings = BatchSettings(part_rows=size, encoding="utf-8")
    plan = make_plan(path.parent, [path.name], settings)
    rows = {"csv": reading._csv_rows, "tsv": reading._tsv_rows, "jsonl": reading._json_rows}[kind]
    for part in plan.parts:
        source = PartOfFile(path, ReadOptions(encoding="utf-8"))
        source.place(plan.files[0], part)
        yield [shown(row) for row in reading._of_part(rows, plan.files[0], part, settings, source)]


def test_a_file_that_cannot_be_cut_says_what_to_do(tmp_path):
    (tmp_path / "a.csv").write_text("text\n글\n", encoding="utf-16")
    with pytest.raises(UsageError, match=r"utf-16 cannot be cut by bytes; turn it into UTF-8"):
        planned(tmp_path / "a.csv", 10)
    (tmp_path / "b.json").write_text('[\n{"text": "글"}\n]', encoding="utf-8")
    with pytest.raises(UsageError, match="not an object a line"):
        planned(tmp_path / "b.json", 10)
    (tmp_path / "c.xlsx").write_bytes(b"PK")
    with pytest.raises(UsageError, match="a workbook cannot be cut"):
        planned(tmp_path / "c.xlsx", 10)
    (tmp_path / "d.csv.gz").write_bytes(b"")
    with pytest.raises(UsageError, match="unpack compressed files"):
        planned(tmp_path / "d.csv.gz", 10)
    with pytest.raises(UsageError, match="there is no"):
        planned(tmp_path / "nothing", 10)


def test_an_empty_file_is_refused_and_one_row_is_one_part(tmp_path, three):
    for name, text in (("a.csv", ""), ("b.csv", "text\n"), ("c.jsonl", "\n\n")):
        (tmp_path / name).write_text(text)
        with pytest.raises(DataError, match="at least one row is needed"):
            planned(tmp_path / name, 10)
    (tmp_path / "one.csv").write_text("text\n하나", encoding="utf-8")
    assert in_parts(tmp_path / "one.csv", three, 10)[0] == [("row-000001", "하나")]


def test_a_folder_is_read_in_the_order_of_its_names_and_ids_tell_the_files_apart(tmp_path, three):
    folder = tmp_path / "in"
    (folder / "2024").mkdir(parents=True)
    (folder / "b.csv").write_text("text\n비\n", encoding="utf-8")
    (folder / "2024" / "a.jsonl").write_text('{"text": "에이"}\n', encoding="utf-8")
    (folder / "empty.csv").write_text("text\n")
    (folder / "_SUCCESS").touch()
    (folder / ".hidden.csv").touch()
    found, _ = in_parts(folder, three, 10)
    assert found == [("2024/a/row-000001", "에이"), ("b/row-000001", "비")]
    (folder / "notes.md").touch()
    with pytest.raises(UsageError, match=r"notes\.md"):
        find_files(folder)


def test_a_plan_comes_back_from_its_json(tmp_path):
    (tmp_path / "a.csv").write_text(CSV, encoding="utf-8")
    plan = planned(tmp_path / "a.csv", 2)
    assert Plan.from_dict(json.loads(json.dumps(plan.to_dict())), plan.root) == plan
    assert [part.rows for part in plan.parts] == [2, 2, 2]


@pytest.fixture
def parquet(tmp_path) -> Path:
    """``a.parquet``: 100 rows in row groups of 7."""
    import arro3.core
    import arro3.io

    kinds = arro3.core.DataType
    table = arro3.core.Table.from_pydict(
        {
            "review": arro3.core.Array([f"글 {n}" for n in range(100)], kinds.large_string()),
            "stars": arro3.core.Array([n % 5 if n % 9 else None for n in range(100)], kinds.int8()),
        }
    )
    arro3.io.write_parquet(table, str(tmp_path / "a.parquet"), max_row_group_size=7)
    return tmp_path / "a.parquet"


@pytest.mark.parametrize("size", [1, 6, 7, 30, 1000])
def test_parquet_is_cut_by_rows_whatever_its_row_groups(parquet, three, size):
    assert len(read_footer(parquet).rows) == 15
    found, _ = in_parts(parquet, three, size)
    assert found == [(f"row-{n + 1:06d}", f"글 {n}") for n in range(100)]


def test_a_view_of_some_row_groups_reads_only_those(parquet):
    footer = read_footer(parquet)
    assert sum(batch.num_rows for batch in row_batches(parquet, 20, 40)) == 20
    data = bytearray(parquet.read_bytes())
    data[4:40] = bytes(36)  # the first row group is broken, and nobody looks
    parquet.write_bytes(bytes(data))
    assert [cell for batch in row_batches(parquet, 70, 73) for cell in batch.column(0).to_pylist()] == [
        "글 70", "글 71", "글 72",
    ]  # fmt: skip
    assert len(footer.only(2, 4)) < len(footer.data)


def test_a_broken_parquet_is_one_sentence(parquet, tmp_path):
    for name, data in (
        ("b", parquet.read_bytes()[:-20]),
        ("c", b"PAR1"),
        ("d", b""),
        ("e", b"x" * 50 + b"\x40\0\0\0PAR1"),
    ):
        broken = tmp_path / f"{name}.parquet"
        broken.write_bytes(data)
        with pytest.raises(DataError, match="damaged or cut short"):
            planned(broken, 10)
    (tmp_path / "f.parquet").write_bytes(b"PAR1....PARE")
    with pytest.raises(DataError, match="encrypted"):
        planned(tmp_path / "f.parquet", 10)


@pytest.mark.parametrize("encoding", ["utf-8", "cp949", "utf-8-sig"])
@pytest.mark.parametrize("block", [7, 64, 1 << 20])
def test_json_lines_in_blocks_of_any_size(tmp_path, three, monkeypatch, encoding, block):
    from maeum.bulk import scanning

    monkeypatch.setattr(scanning, "_BLOCK", block)
    text = (
        '{"text": "ascii"}\n' * 5 + '\n \n{"text": "행복한 날"}\r\n\u3000\n  {"text": "슬픈 날"}\n' + '{"text": "끝"}'
    )
    (tmp_path / "a.jsonl").write_bytes(text.encode(encoding))
    expected, _ = whole(tmp_path / "a.jsonl", three)
    for size in SIZES:
        assert in_parts(tmp_path / "a.jsonl", three, size)[0] == expected
    assert planned(tmp_path / "a.jsonl", 2).files[0].encoding == encoding.removesuffix("-sig")


def test_a_long_line_is_one_row_and_held_by_nobody(tmp_path):
    line = b'{"text": "' + b"a" * (3 << 20) + b'"}\n'
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "a"}\n' + line + b'{"text": "b"}\n')
    found = scan(tmp_path / "a.jsonl", "jsonl", ReadOptions(), 1)
    assert [(cut.byte, cut.row, cut.line) for cut in found.cuts] == [(0, 1, 1), (14, 2, 2), (14 + len(line), 3, 3)]


@pytest.mark.parametrize("wrong", [{"part_rows": 0}, {"batch_size": 0}, {"format": "xlsx"}, {"on_error": "maybe"}])
def test_settings_that_make_no_sense(wrong):
    with pytest.raises(UsageError):
        BatchSettings(**wrong)


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"gpus": -1}, {"engine": "spark"}, {"address": "auto"}, {"gpus": 1}])
def test_crews_that_make_no_sense(wrong):
    with pytest.raises(UsageError):
        Crew(**wrong)
