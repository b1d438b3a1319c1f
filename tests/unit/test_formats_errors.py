"""Every way a file can be wrong × the formats people use: one readable sentence with its place, or a reject."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maeum import formats
from maeum.errors import DataError, UsageError
from maeum.formats import ReadReport


def ea(name: str = "a", text: str = "회의 참석 지겹다", **output: str) -> dict[str, Any]:
    keys = ("joy", "anticipation", "trust", "surprise", "disgust", "fear", "anger", "sadness")
    return {
        "id": name,
        "input": {"form": text, "target": None},
        "output": {key: output.get(key, "False") for key in keys},
    }


def lines(*rows: Any) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def ours(name: str = "a", text: str = "좋다", **more: Any) -> dict[str, Any]:
    return {"id": name, "text": text, "target": None, "labels": ["joy"]} | more


BUILD: dict[str, tuple[str, Callable[..., str]]] = {
    "jsonl": ("data.jsonl", lambda rows: lines(*(ours(*row) for row in rows))),
    "nikl-ea": ("data.jsonl", lambda rows: lines(*(ea(*row) for row in rows))),
    "csv": ("data.csv", lambda rows: "id,text,label\n" + "".join(f"{i},{t},joy\n" for i, t in rows)),
    "tsv": ("data.tsv", lambda rows: "id\ttext\tlabel\n" + "".join(f"{i}\t{t}\tjoy\n" for i, t in rows)),
}
GOOD = [("a", "좋다"), ("b", "싫다"), ("c", "그렇다")]
FIRST = {"jsonl": 1, "nikl-ea": 1, "csv": 2, "tsv": 2}
"""Line of the first row."""


def build(folder: Path, format: str, rows: list[tuple[str, str]]) -> Path:
    name, make = BUILD[format]
    path = folder / name
    path.write_bytes(make(rows).encode("utf-8"))
    return path


def refused(path: Path, match: str, line: int | None, format: str, **settings: Any) -> DataError:
    """The file is refused with this sentence and place; a sentence is one line."""
    with pytest.raises(DataError, match=match) as caught:
        formats.read(path, format=format, task="nikl-ea", **settings)
    error = caught.value
    place = str(path) if line is None else f"{path}:{line}"
    assert str(error).startswith(f"{place}: ")
    assert "\n" not in str(error)
    assert error.ko != error.en
    return error


def skips(path: Path, rows: list[str], format: str, rejected: int = 1, **settings: Any) -> list[dict[str, Any]]:
    """With ``on_error="skip"`` these texts remain and the rest is in the rejects file."""
    rejects = path.with_name("rejects.jsonl")
    report = ReadReport()
    data = formats.read(
        path, format=format, task="nikl-ea", on_error="skip", rejects=rejects, report=report, **settings
    )
    assert data.texts == rows
    assert (report.rows, report.rejected) == (len(rows), rejected)
    found = [json.loads(line) for line in rejects.read_text(encoding="utf-8").splitlines()]
    assert len(found) == rejected
    assert all(row.keys() == {"line", "error", "raw"} for row in found)
    assert report.first_error == found[0]["error"]
    return found


@pytest.mark.parametrize("format", BUILD)
class TestEveryFormat:
    def test_good(self, format: str, tmp_path: Path) -> None:
        data = formats.read(build(tmp_path, format, GOOD), format=format, task="nikl-ea")
        assert data.texts == ["좋다", "싫다", "그렇다"]
        assert data.ids == ["a", "b", "c"]

    @pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf"])
    def test_empty(self, format: str, content: bytes, tmp_path: Path) -> None:
        path = tmp_path / BUILD[format][0]
        path.write_bytes(content)
        refused(path, "there is no data", None, format)

    def test_missing(self, format: str, tmp_path: Path) -> None:
        refused(tmp_path / "nothing.jsonl", "no such file", None, format)

    def test_folder(self, format: str, tmp_path: Path) -> None:
        refused(tmp_path, "this is a folder", None, format)

    def test_duplicate_id(self, format: str, tmp_path: Path) -> None:
        path = build(tmp_path, format, [*GOOD, ("b", "또")])
        first = FIRST[format]
        refused(path, f"id 'b' was used on line {first + 1} already", first + 3, format)
        assert skips(path, ["좋다", "싫다", "그렇다"], format)[0]["line"] == first + 3

    @pytest.mark.parametrize("blank", ["", "  "])
    def test_blank_text(self, format: str, blank: str, tmp_path: Path) -> None:
        path = build(tmp_path, format, [GOOD[0], ("x", blank), GOOD[2]])
        refused(path, "the text is blank", FIRST[format] + 1, format)
        skips(path, ["좋다", "그렇다"], format)

    def test_wrong_bytes(self, format: str, tmp_path: Path) -> None:
        path = build(tmp_path, format, [GOOD[0], ("x", "QQ"), GOOD[2]])
        content = path.read_bytes().replace(b"QQ", b"\xff\xff")
        path.write_bytes(content)
        error = refused(path, "is not utf-8; give the right --encoding", FIRST[format] + 1, format)
        assert f"byte 0xff at offset {content.index(0xFF)}" in str(error)
        assert "\\xff" in skips(path, ["좋다", "그렇다"], format)[0]["raw"]

    def test_nul(self, format: str, tmp_path: Path) -> None:
        path = build(tmp_path, format, [GOOD[0], ("x", "가QQ"), GOOD[2]])
        path.write_bytes(path.read_bytes().replace(b"QQ", b"\0"))
        refused(path, "is NUL", FIRST[format] + 1, format)
        skips(path, ["좋다", "그렇다"], format)

    def test_encoded_surrogate(self, format: str, tmp_path: Path) -> None:
        path = build(tmp_path, format, [GOOD[0], ("x", "QQ"), GOOD[2]])
        path.write_bytes(path.read_bytes().replace(b"QQ", b"\xed\xa0\x80"))
        refused(path, "is not utf-8", FIRST[format] + 1, format)
        skips(path, ["좋다", "그렇다"], format)

    def test_long_line(self, format: str, tmp_path: Path) -> None:
        path = build(tmp_path, format, [GOOD[0], ("x", "가" * 3_500_000), GOOD[2]])
        tracemalloc.start()
        refused(path, "longer than 1,048,576 bytes", FIRST[format] + 1, format)
        skips(path, ["좋다", "그렇다"], format)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 8_000_000
        data = formats.read(path, format=format, task="nikl-ea", max_line_bytes=20_000_000)
        assert len(data[1].text) == 3_500_000

    def test_long_text_within_limit(self, format: str, tmp_path: Path) -> None:
        path = build(tmp_path, format, [("x", "가" * 200_000)])
        assert len(formats.read(path, format=format, task="nikl-ea")[0].text) == 200_000

    def test_unknown_option(self, format: str, tmp_path: Path) -> None:
        path = build(tmp_path, format, GOOD)
        with pytest.raises(UsageError, match="text_column"):
            formats.read(path, format=format, text_colum="x")
        with pytest.raises(UsageError, match="stop, skip"):
            formats.read(path, format=format, on_error="ignore")
        with pytest.raises(UsageError, match="unknown encoding"):
            formats.read(path, format=format, encoding="utf-9")

    def test_wrong_encoding_asked(self, format: str, tmp_path: Path) -> None:
        path = build(tmp_path, format, [("a", "가나다 뷁")])
        refused(path, "is not ascii", FIRST[format], format, encoding="ascii")

    def test_all_rejected(self, format: str, tmp_path: Path) -> None:
        path = build(tmp_path, format, [("a", " ")])
        with pytest.raises(DataError, match=r"no usable row \(1 rejected\)"):
            formats.read(path, format=format, task="nikl-ea", on_error="skip")


@pytest.mark.parametrize("format", ["jsonl", "nikl-ea"])
class TestJson:
    def test_cut_last_line(self, format: str, tmp_path: Path) -> None:
        path = build(tmp_path, format, GOOD)
        path.write_bytes(path.read_bytes()[:-30])
        refused(path, "the JSON breaks off", 3, format)
        found = skips(path, ["좋다", "싫다"], format)
        assert found[0]["line"] == 3
        assert found[0]["raw"].startswith('{"id": "c"')

    def test_only_line_cut(self, format: str, tmp_path: Path) -> None:
        path = build(tmp_path, format, GOOD[:1])
        path.write_bytes(path.read_bytes()[:-10])
        refused(path, "the JSON breaks off", 1, format)

    def test_cut_array(self, format: str, tmp_path: Path) -> None:
        path = build(tmp_path, format, GOOD)
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        text = json.dumps(rows, ensure_ascii=False, indent=1)
        path.write_text(text, encoding="utf-8")
        assert len(formats.read(path, format=format, task="nikl-ea")) == 3
        path.write_text(text[:-40], encoding="utf-8")
        with pytest.raises(DataError, match="the JSON breaks off"):
            formats.read(path, format=format, task="nikl-ea")
        skips(path, ["좋다", "싫다"], format)

    def test_not_json(self, format: str, tmp_path: Path) -> None:
        path = build(tmp_path, format, GOOD)
        path.write_text(path.read_text(encoding="utf-8") + "{'id': 1}\n", encoding="utf-8")
        refused(path, r"not JSON \(column 2", 4, format)
        skips(path, ["좋다", "싫다", "그렇다"], format)

    @pytest.mark.parametrize("row", ["3", '"text"', "[1, 2]", "null"])
    def test_wrong_row_type(self, format: str, row: str, tmp_path: Path) -> None:
        path = build(tmp_path, format, GOOD)
        path.write_text(path.read_text(encoding="utf-8") + row + "\n", encoding="utf-8")
        refused(path, "a row is an object", 4, format)
        skips(path, ["좋다", "싫다", "그렇다"], format)

    @pytest.mark.parametrize(("escape", "code"), [("\\ud800", "U+D800"), ("\\uDFFF", "U+DFFF"), ("\\u0000", "U+0000")])
    def test_escaped_trouble(self, format: str, escape: str, code: str, tmp_path: Path) -> None:
        path = build(tmp_path, format, [GOOD[0], ("x", "가QQ"), GOOD[2]])
        path.write_text(path.read_text(encoding="utf-8").replace("QQ", escape), encoding="utf-8")
        error = refused(path, "cannot be written as UTF-8", 2, format)
        assert f"character 2 of '{'input.form' if format == 'nikl-ea' else 'text'}' is {code}" in str(error)
        skips(path, ["좋다", "그렇다"], format)

    def test_escaped_emoji_is_fine(self, format: str, tmp_path: Path) -> None:
        path = build(tmp_path, format, [("x", "가QQ")])
        path.write_text(path.read_text(encoding="utf-8").replace("QQ", "\\ud83d\\ude00"), encoding="utf-8")
        assert formats.read(path, format=format, task="nikl-ea").texts == ["가😀"]

    @pytest.mark.parametrize("value", [3, None, ["좋다"], {"form": "좋다"}, True])
    def test_text_is_not_text(self, format: str, value: Any, tmp_path: Path) -> None:
        path = build(tmp_path, format, GOOD)
        row = ours("x") | {"text": value} if format == "jsonl" else ea("x") | {"input": {"form": value}}
        path.write_text(path.read_text(encoding="utf-8") + lines(row), encoding="utf-8")
        refused(path, "is text, got", 4, format)
        skips(path, ["좋다", "싫다", "그렇다"], format)

    def test_unknown_label(self, format: str, tmp_path: Path) -> None:
        row = ours(labels=["joyy"]) if format == "jsonl" else ea()
        if format == "nikl-ea":
            row["output"]["joyy"] = "True"
        path = tmp_path / "data.jsonl"
        path.write_text(lines(row), encoding="utf-8")
        refused(path, "label 'joyy' is not in task 'nikl-ea'; did you mean 'joy'", 1, format)

    @pytest.mark.parametrize(
        ("target", "match"),
        [
            ({"form": "회의", "begin": 1, "end": 3}, r"not at \[1, 3\).*occurs at \[0, 2\)"),
            ({"form": "회의", "begin": 0, "end": 99}, r"not at \[0, 99\)"),
            ({"form": "회의", "begin": -7, "end": -5}, "not at"),
            ({"form": "회사", "begin": 0, "end": 2}, "does not occur in the text"),
            ({"form": "회사"}, "does not occur in the text"),
            ({"form": 3, "begin": 0, "end": 2}, "a target is a word"),
            ({"form": "회의", "begin": "one", "end": 2}, "whole numbers"),
            (["회의", 0, 2], "a target is a word"),
        ],
    )
    def test_target(self, format: str, target: Any, match: str, tmp_path: Path) -> None:
        row = ours("x", "회의 참석") | {"target": target}
        if format == "nikl-ea":
            row = ea("x")
            row["input"] = {"form": "회의 참석", "target": target}
        path = tmp_path / "data.jsonl"
        path.write_text(lines(ours("a") if format == "jsonl" else ea("a"), row), encoding="utf-8")
        refused(path, match, 2, format)

    def test_deep_nesting(self, format: str, tmp_path: Path) -> None:
        path = build(tmp_path, format, GOOD)
        path.write_text(path.read_text(encoding="utf-8") + '{"text": ' + "[" * 100_000 + "\n", encoding="utf-8")
        refused(path, "JSON", 4, format)


@pytest.mark.parametrize("format", ["csv", "tsv"])
class TestTables:
    def separator(self, format: str) -> str:
        return "," if format == "csv" else "\t"

    def write(self, folder: Path, format: str, *rows: str) -> Path:
        path = folder / f"data.{format}"
        path.write_bytes("\n".join(rows).replace(",", self.separator(format)).encode() + b"\n")
        return path

    def test_no_text_column(self, format: str, tmp_path: Path) -> None:
        path = self.write(tmp_path, format, "번호,말,감정", "1,좋다,joy")
        error = refused(path, "no column 'text'; the columns are: '번호', '말', '감정'", None, format)
        assert "choose one with --text-column" in str(error)
        with pytest.raises(DataError, match="--text-column"):
            formats.read(path, format=format, on_error="skip")
        assert formats.read(path, format=format, task="nikl-ea", text_column="말").texts == ["좋다"]

    @pytest.mark.parametrize("column", ["text", "label", "target", "id"])
    def test_column_asked_for_is_missing(self, format: str, column: str, tmp_path: Path) -> None:
        path = self.write(tmp_path, format, "text,label", "좋다,joy")
        refused(path, f"no column 'nope'.*--{column}-column", None, format, **{f"{column}_column": "nope"})

    def test_ragged(self, format: str, tmp_path: Path) -> None:
        path = self.write(tmp_path, format, "text,label", "좋다,joy", "싫다", "글,joy,더", "그렇다,joy,")
        refused(path, "the row has 1 cells, the header 2", 3, format)
        skips(path, ["좋다", "그렇다"], format, rejected=2)

    def test_column_twice(self, format: str, tmp_path: Path) -> None:
        path = self.write(tmp_path, format, "text,label,text", "좋다,joy,나쁘다")
        refused(path, "column 'text' twice", 1, format)

    def test_unknown_label(self, format: str, tmp_path: Path) -> None:
        path = self.write(tmp_path, format, "text,label", "좋다,joy", "싫다,angre")
        refused(path, "label 'angre' is not in task 'nikl-ea'; did you mean 'anger'", 3, format)
        skips(path, ["좋다"], format)

    def test_nfd_names(self, format: str, tmp_path: Path) -> None:
        import unicodedata

        path = self.write(tmp_path, format, unicodedata.normalize("NFD", "리뷰,감정"), "좋다,joy")
        assert formats.read(path, format=format, task="nikl-ea").texts == ["좋다"]
        assert formats.read(path, format=format, task="nikl-ea", text_column="리뷰")[0].labels == ("joy",)

    def test_header_only(self, format: str, tmp_path: Path) -> None:
        refused(self.write(tmp_path, format, "text,label"), "there is no data", None, format)


class TestCsv:
    def test_quotes_lines_and_numbers(self, tmp_path: Path) -> None:
        path = tmp_path / "data.csv"
        path.write_bytes('text,label\r\n"첫 줄\r\n둘째, ""줄""",joy\r\n\r\n싫다,joyy\r\n'.encode())
        with pytest.raises(DataError, match="joyy") as caught:
            formats.read(path, task="nikl-ea")
        assert caught.value.line == 5
        assert formats.read(path, task="nikl-ea", on_error="skip").texts == ['첫 줄\r\n둘째, "줄"']

    def test_open_quote_loses_one_line(self, tmp_path: Path) -> None:
        path = tmp_path / "data.csv"
        path.write_text('text,label\n좋다,joy\n"싫다,joy\n그렇다,joy\n아니다,joy\n', encoding="utf-8")
        refused(path, r'opens a quote \("\) that is never closed', 3, "csv")
        found = skips(path, ["좋다", "그렇다", "아니다"], "csv")
        assert found[0]["raw"] == '"싫다,joy'

    def test_text_after_quote(self, tmp_path: Path) -> None:
        path = tmp_path / "data.csv"
        path.write_text('text,label\n"좋다"고,joy\n그렇다,joy\n', encoding="utf-8")
        refused(path, "not valid CSV", 2, "csv")
        skips(path, ["그렇다"], "csv")

    def test_bare_carriage_return(self, tmp_path: Path) -> None:
        path = tmp_path / "data.csv"
        path.write_bytes("text,label\r좋다,joy\r".encode())
        with pytest.raises(DataError, match="bare CR"):
            formats.read(path)

    def test_wide_cell(self, tmp_path: Path) -> None:
        path = tmp_path / "data.csv"
        path.write_text('text,label\n"' + "가\n" * 100_000 + '",joy\n', encoding="utf-8")
        assert len(formats.read(path, task="nikl-ea")[0].text) == 200_000


class TestEncodings:
    TEXTS = ("똠방각하 펲시콜라", "뷁 좋다", "ㅋㅋ ㅠㅠ")

    def content(self) -> str:
        return "text,label\n" + "".join(f"{text},joy\n" for text in self.TEXTS)

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949", "utf-16", "utf-16-le-bom", "utf-16-be-bom"])
    @pytest.mark.parametrize("suffix", [".csv", ".tsv", ".txt"])
    def test_detected(self, encoding: str, suffix: str, tmp_path: Path) -> None:
        path = tmp_path / f"data{suffix}"
        text = self.content().replace(",", "\t" if suffix == ".tsv" else ",")
        if encoding.endswith("-bom"):
            path.write_bytes(("\ufeff" + text).encode(encoding.removesuffix("-bom")))
        else:
            path.write_bytes(text.encode(encoding))
        report = ReadReport()
        found = list(formats.iter_examples(path, report=report))
        if suffix == ".txt":
            assert [row.text for row in found] == text.split("\n")[:-1]
        else:
            assert tuple(row.text for row in found) == self.TEXTS
        assert report.encoding == encoding.removesuffix("-sig")[:6].rstrip("-")

    def test_cp949_after_a_long_ascii_head(self, tmp_path: Path) -> None:
        path = tmp_path / "data.csv"
        path.write_bytes(("text\n" + "ascii only\n" * 40_000 + "한글\n").encode("cp949"))
        assert formats.read(path, task="nikl-ea")[-1].text == "한글"

    def test_one_bad_byte_does_not_make_a_file_cp949(self, tmp_path: Path) -> None:
        path = tmp_path / "data.csv"
        path.write_bytes("text\n좋다\n".encode() + "한글".encode("cp949") + b"\n" + "나쁘다\n".encode())
        refused(path, "is not utf-8", 3, "csv")

    def test_utf16_cut(self, tmp_path: Path) -> None:
        path = tmp_path / "data.csv"
        path.write_bytes(self.content().encode("utf-16")[:-1])
        with pytest.raises(DataError, match="check --encoding"):
            formats.read(path)

    def test_line_separators_stay_in_the_text(self, tmp_path: Path) -> None:
        path = tmp_path / "data.jsonl"
        text = "앞\u2028뒤\x85끝\x0b\x0c"
        path.write_text(lines(ours("a", text)), encoding="utf-8")
        assert formats.read(path, task="nikl-ea").texts == [text]


class TestBinary:
    @pytest.mark.parametrize("suffix", [".xlsx", ".parquet"])
    @pytest.mark.parametrize("content", [b"", b"not a table", b"PAR1....PAR1"])
    def test_damaged(self, suffix: str, content: bytes, tmp_path: Path) -> None:
        path = tmp_path / f"data{suffix}"
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"workbook|Parquet") as caught:
            formats.read(path)
        assert caught.value.path == str(path)

    @pytest.mark.parametrize("suffix", [".xlsx", ".parquet"])
    def test_cut_short(self, suffix: str, tmp_path: Path) -> None:
        path = tmp_path / f"data{suffix}"
        (tmp_path / "d.csv").write_text("text,label\n좋다,joy\n", encoding="utf-8")
        formats.write(formats.read(tmp_path / "d.csv", task="nikl-ea"), path)
        assert formats.read(path, task="nikl-ea").texts == ["좋다"]
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(DataError, match=r"workbook|Parquet"):
            formats.read(path)


def test_missing_key_names_the_keys(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text(lines({"text": "좋다"}, {"body": "싫다", "n": 1}), encoding="utf-8")
    refused(path, "no column 'text'; the columns are: 'body', 'n'; choose one with --text-column", 2, "jsonl")


def test_a_row_over_several_errors_is_rejected_once_and_appended(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text(lines(ours("a"), ours("a", " "), ours("b")), encoding="utf-8")
    skips(path, ["좋다", "좋다"], "jsonl")
    formats.read(path, task="nikl-ea", on_error="skip", rejects=path.with_name("rejects.jsonl"))
    assert len(path.with_name("rejects.jsonl").read_text(encoding="utf-8").splitlines()) == 2


def test_skipping_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text(lines(ours("a"), ours("b", ""), ours("c", "")), encoding="utf-8")
    formats.read(path, task="nikl-ea", on_error="skip")
    assert [record.getMessage().split("; first")[0] for record in caplog.records] == [f"{path}: 2 rows skipped"]


def test_korean_sentences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAEUM_LANG", "ko")
    path = tmp_path / "data.csv"
    path.write_text("말,감정\n좋다,joy\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"'본문' 열을 찾을 수 없습니다\. 있는 열: '말', '감정'"):
        formats.read(path)
