"""Each corpus layout on rows written for the test, guessing, options, streaming; the real files at the end."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest

from maeum import formats
from maeum.data import AspectLabel, Target
from maeum.errors import DataError, TaskMismatch, UsageError
from maeum.formats import ReadReport, guess_format
from maeum.formats.ids import SeenIds
from maeum.task import Task, builtin_task

EMOTIONS = ("joy", "anticipation", "trust", "surprise", "disgust", "fear", "anger", "sadness")


def dump(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def workbook(path: Path, rows: list[list[Any]]) -> Path:
    import xlsxwriter

    book = xlsxwriter.Workbook(str(path))
    sheet = book.add_worksheet()
    for line, row in enumerate(rows):
        for column, cell in enumerate(row):
            if cell is not None:
                sheet.write(line, column, cell)
    book.close()
    return path


class TestNiklEa:
    ROW: ClassVar[dict[str, Any]] = {
        "id": "nikluge-2023-ea-dev-000001",
        "input": {"form": "&name& 연기 기대된다", "target": {"form": "&name&", "begin": 0, "end": 6}},
        "output": {key: "True" if key in ("trust", "joy") else "False" for key in EMOTIONS[::-1]},
    }

    def test_row(self, tmp_path: Path) -> None:
        data = formats.read(dump(tmp_path / "ea.jsonl", self.ROW))
        assert data.task == builtin_task("nikl-ea")
        assert data[0].id == "nikluge-2023-ea-dev-000001"
        assert data[0].target == Target("&name&", 0, 6)
        assert data[0].labels == ("joy", "trust")

    @pytest.mark.parametrize("output", ["", None, "absent"])
    def test_unlabelled(self, output: str | None, tmp_path: Path) -> None:
        row = dict(self.ROW, output=output)
        if output == "absent":
            del row["output"]
        assert formats.read(dump(tmp_path / "ea.jsonl", row))[0].labels is None

    @pytest.mark.parametrize("yes", ["True", "true", " TRUE ", True, 1, "1"])
    def test_spellings_of_true(self, yes: Any, tmp_path: Path) -> None:
        row = dict(self.ROW, output={"joy": yes, "fear": False, "anger": 0, "trust": "False"})
        assert formats.read(dump(tmp_path / "ea.jsonl", row))[0].labels == ("joy",)

    def test_none_applies(self, tmp_path: Path) -> None:
        row = dict(self.ROW, output=dict.fromkeys(EMOTIONS, "False"))
        assert formats.read(dump(tmp_path / "ea.jsonl", row))[0].labels == ()

    @pytest.mark.parametrize("target", [None, "absent", {"form": None, "begin": None, "end": None}, {"form": ""}])
    def test_no_target(self, target: Any, tmp_path: Path) -> None:
        given = {"form": "좋다"} if target == "absent" else {"form": "좋다", "target": target}
        assert formats.read(dump(tmp_path / "ea.jsonl", dict(self.ROW, input=given)))[0].target is None

    def test_offsets_may_be_strings(self, tmp_path: Path) -> None:
        given = {"form": "가 나", "target": {"form": "나", "begin": "2", "end": "3"}}
        assert formats.read(dump(tmp_path / "ea.jsonl", dict(self.ROW, input=given)))[0].target == Target("나", 2, 3)

    def test_extra_keys_are_kept(self, tmp_path: Path) -> None:
        row = {**self.ROW, "source": "SNS", "input": {**self.ROW["input"], "speaker": 2}}
        assert formats.read(dump(tmp_path / "ea.jsonl", row))[0].meta == {"source": "SNS", "input": {"speaker": 2}}

    def test_bad_truth(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="output 'joy' is \"True\" or \"False\", got 'maybe'"):
            formats.read(dump(tmp_path / "ea.jsonl", dict(self.ROW, output={"joy": "maybe"})))

    @pytest.mark.parametrize("shape", ["array", "pretty", "commas", "bom", "spaced"])
    def test_shapes(self, shape: str, tmp_path: Path) -> None:
        rows = [self.ROW, dict(self.ROW, id="2"), dict(self.ROW, id="3")]
        texts = [json.dumps(row, ensure_ascii=False) for row in rows]
        content = {
            "array": json.dumps(rows, ensure_ascii=False),
            "pretty": json.dumps(rows, ensure_ascii=False, indent=2),
            "commas": ",\n".join(json.dumps(row, ensure_ascii=False, indent=1) for row in rows),
            "bom": "\ufeff" + "\r\n".join(texts),
            "spaced": "\n\n" + "\n\n".join(texts) + "\n\n",
        }[shape]
        path = tmp_path / "ea.jsonl"
        path.write_bytes(content.encode())
        assert formats.read(path).ids == ["nikluge-2023-ea-dev-000001", "2", "3"]

    def test_rows_without_ids(self, tmp_path: Path) -> None:
        row = {"input": {"form": "좋다"}}
        assert formats.read(dump(tmp_path / "ea.jsonl", row, row)).ids == ["row-000001", "row-000002"]


class TestNiklSa:
    def read(self, folder: Path, annotation: Any) -> tuple[AspectLabel, ...] | None:
        row = {"id": "1", "sentence_form": "둘리 기어가 좋아요", "annotation": annotation}
        return formats.read(dump(folder / "sa.jsonl", row))[0].aspects

    def test_triple(self, tmp_path: Path) -> None:
        found = self.read(tmp_path, [["본품#품질", ["기어", 3, 5], "negative"]])
        assert found == (AspectLabel("본품#품질", "negative", 3, 5),)

    def test_pair_and_implicit_and_spacing(self, tmp_path: Path) -> None:
        found = self.read(
            tmp_path,
            [
                ["제품 전체#일반", "positive"],
                ["패키지/ 구성품#가격", [None, 0, 0], "neutral"],
                ["브랜드#일반", None, "positive"],
            ],
        )
        assert found == (
            AspectLabel("제품 전체#일반", "positive"),
            AspectLabel("패키지/구성품#가격", "neutral"),
            AspectLabel("브랜드#일반", "positive"),
        )

    @pytest.mark.parametrize(("annotation", "expected"), [([], ()), ("", None), (None, None)])
    def test_empty(self, annotation: Any, expected: Any, tmp_path: Path) -> None:
        assert self.read(tmp_path, annotation) == expected

    @pytest.mark.parametrize(
        ("annotation", "match"),
        [
            ([["본품#품질"]], r"\[category, \[form, begin, end\], polarity\]"),
            (["본품#품질"], "an annotation is"),
            ([["본품#품짏", "positive"]], "did you mean '본품#품질'"),
            ([["본품#품질", "positiv"]], "did you mean 'positive'"),
            ([["본품#품질", ["기어", 0, 2], "positive"]], r"not at \[0, 2\)"),
            ([["본품#품질", ["기어", 0], "positive"]], r"\[form, begin, end\]"),
        ],
    )
    def test_errors(self, annotation: Any, match: str, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=match):
            self.read(tmp_path, annotation)


class TestAihub:
    HEADER = "wav_id,발화문,상황,1번 감정,1번 감정세기,2번 감정,2번 감정세기,3번 감정,3번 감정세기,4번 감정,4번감정세기,5번 감정,5번 감정세기,나이,성별"

    def speech(self, folder: Path, *rows: str, encoding: str = "cp949") -> Path:
        path = folder / "5차년도_2차.csv"
        path.write_bytes("\r\n".join([self.HEADER, *rows, ""]).encode(encoding))
        return path

    @pytest.mark.parametrize("encoding", ["cp949", "utf-8", "utf-8-sig"])
    def test_speech(self, encoding: str, tmp_path: Path) -> None:
        path = self.speech(
            tmp_path,
            'w1,"헐, 진짜?",anger,Neutral,0,angry,1,angry ,2,Sadness,1,sadness,2,29,male',
            "w2,나 합격했어,happiness,Happiness,2,happiness,1,neutral,0,Happiness,1,surprise,2,31,female",
            "w3,슬프다,sad,sad,1,sad,1,sad,1,sad,1,sad,1,31,female",
            encoding=encoding,
        )
        assert guess_format(path) == "aihub-speech"
        data = formats.read(path)
        assert data.task.name == "aihub-7"
        assert data.texts == ["헐, 진짜?", "나 합격했어", "슬프다"]
        assert [row.labels for row in data] == [("분노",), ("행복",), ("슬픔",)]
        assert data[0].id == "w1"
        assert data[0].meta["성별"] == "male"

    def test_raters(self, tmp_path: Path) -> None:
        path = self.speech(
            tmp_path,
            "w1,글,anger,Neutral,0,fear,1,fear ,2,Sadness,1,sadness,1,29,male",
            "w2,글,anger,neutral,0,Neutral,0,neutral,0,fear,0,fear,0,29,male",
            "w3,글,fear,disgust,1,fear,1,neutral,0,neutral,0,neutral,0,29,male",
        )
        assert [row.labels for row in formats.read(path, gold="raters")] == [("공포",), ("중립",), ("공포",)]
        with pytest.raises(UsageError, match="situation, raters"):
            formats.read(path, gold="both")

    def test_repeated_wav_id(self, tmp_path: Path) -> None:
        row = "w1,글,anger,neutral,0,neutral,0,neutral,0,fear,0,fear,0,29,male"
        assert formats.read(self.speech(tmp_path, row, row, row)).ids == ["w1", "w1#2", "w1#3"]

    def test_unknown_situation(self, tmp_path: Path) -> None:
        path = self.speech(tmp_path, "w1,글,anrgy,neutral,0,neutral,0,neutral,0,fear,0,fear,0,29,male")
        with pytest.raises(DataError, match=r"5차년도_2차.csv:2: label 'anrgy'"):
            formats.read(path)

    def test_short(self, tmp_path: Path) -> None:
        path = workbook(
            tmp_path / "단발성.xlsx",
            [
                ["Sentence", "Emotion", None, None],
                ["언니 동생으로 부르는게 맞는 일인가요..??", "공포"],
                [10000, "놀람 "],
                ["글", "공포", None, 3],
            ],
        )
        assert guess_format(path) == "aihub-short"
        data = formats.read(path)
        assert [row.labels for row in data] == [("공포",), ("놀람",), ("공포",)]
        assert data[1].text == "10000"

    def test_continuous(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        path = workbook(
            tmp_path / "연속적.xlsx",
            [
                [None, "Unnamed", None],
                ["dialog #", "발화", "감정"],
                ["S", "아 진짜!", "분노"],
                [None, "응", "ㅍ"],
                [None, "그래", "중립"],
            ],
        )
        assert guess_format(path) == "aihub-continuous"
        report = ReadReport()
        data = formats.read(path, report=report)
        assert [(row.text, row.labels) for row in data] == [("아 진짜!", ("분노",)), ("그래", ("중립",))]
        assert report.dropped == 1
        assert "1 rows left out" in caplog.text

    def test_dialogue(self, tmp_path: Path) -> None:
        row = {
            "profile": {"persona-id": "Pro_1", "emotion": {"type": "E18", "situation": ["S06"]}},
            "talk": {
                "id": {"profile-id": "Pro_1", "talk-id": "T_2"},
                "content": {"HS01": "일은 왜 해도 끝이 없지?", "SS01": "…", "HS02": "화가 나.", "HS03": ""},
            },
        }
        path = tmp_path / "감성대화.json"
        for content in (
            json.dumps([row], ensure_ascii=False, indent=1),
            json.dumps(row, ensure_ascii=False, indent=1) + ",",
        ):
            path.write_text(content, encoding="utf-8")
            assert guess_format(path) == "aihub-dialogue"
            data = formats.read(path)
            assert (data[0].id, data[0].labels) == ("Pro_1-T_2", ("분노",))
            assert data[0].text == "일은 왜 해도 끝이 없지? 화가 나."
        table = workbook(
            tmp_path / "감성대화.xlsx",
            [["번호", "감정_대분류", "사람문장1", "시스템문장1", "사람문장2"], [1, "기쁨 ", "좋아", "…", "정말"]],
        )
        assert guess_format(table) == "aihub-dialogue"
        assert [(row.text, row.labels) for row in formats.read(table)] == [("좋아 정말", ("기쁨",))]

    def test_absa(self, tmp_path: Path) -> None:
        row = {
            "Index": "7", "RawText": "가격이 착하고 예뻐요", "Domain": "패션",
            "Aspects": [
                {"Aspect": "가격", "SentimentText": "가격이 착하고", "SentimentPolarity": "1"},
                {"Aspect": "디자인", "SentimentText": "없는 말", "SentimentPolarity": "-1"},
            ],
        }  # fmt: skip
        path = tmp_path / "absa.json"
        path.write_text(json.dumps([row], ensure_ascii=False), encoding="utf-8")
        data = formats.read(path)
        assert data.task.kind == "aspect"
        assert data.task.sentiment_keys == ("-1", "1")
        assert data[0].aspects == (AspectLabel("가격", "1", 0, 7), AspectLabel("디자인", "-1"))
        assert data[0].meta["Domain"] == "패션"


class TestPublic:
    def test_nsmc(self, tmp_path: Path) -> None:
        content = 'id\tdocument\tlabel\n1\t"따옴표로 시작, 쉼표\t1\n2\t\t0\n'
        for name in ("train.tsv", "ratings_train.txt"):
            path = tmp_path / name
            path.write_text(content, encoding="utf-8")
            data = formats.read(path)
            assert (data.task.name, data.ids) == ("nsmc", ["1", "2"])
            assert data.texts == ['"따옴표로 시작, 쉼표', ""]
            assert [row.labels for row in data] == [("긍정",), ("부정",)]
        (tmp_path / "nsmc.csv").write_text('id,document,label\n1,"가, 나",1\n', encoding="utf-8")
        assert formats.read(tmp_path / "nsmc.csv").texts == ["가, 나"]

    def test_kote_and_goemotions(self, tmp_path: Path) -> None:
        kote = tmp_path / "kote.tsv"
        kote.write_text('id\ttext\tlabels\n7\t글 "쓴다\t43,0\n', encoding="utf-8")
        data = formats.read(kote)
        assert (data.task.name, data[0].labels) == ("kote", ("불평/불만", builtin_task("kote").keys[43]))
        other = tmp_path / "go.tsv"
        other.write_text("text\tlabels\n글\t27, 4\n", encoding="utf-8")
        data = formats.read(other)
        assert (data.task.name, data[0].labels) == ("goemotions", ("approval", "neutral"))
        (tmp_path / "labels.json").write_text(json.dumps({"ko": list(builtin_task("kote").keys)}), encoding="utf-8")
        assert guess_format(other) == "kote"
        other.write_text("text\tlabels\n글\t44\n", encoding="utf-8")
        with pytest.raises(DataError, match="'kote' has no label number 44; they are 0–43"):
            formats.read(other)

    def test_copies_without_a_header(self, tmp_path: Path) -> None:
        path = tmp_path / "train.tsv"
        path.write_text("39087\t내가 톰이었다면\t2,13\n30893\t글\t0\n", encoding="utf-8")
        assert formats.read(path, format="kote").ids == ["39087", "30893"]
        path.write_text("글\t27\teebbqej\n다른 글\t2,4\ted00q6i\n", encoding="utf-8")
        assert formats.read(path, format="goemotions").texts == ["글", "다른 글"]

    def test_the_other_tables(self, tmp_path: Path) -> None:
        hate = tmp_path / "hate.tsv"
        hate.write_text("comments\tcontain_gender_bias\tbias\thate\n글\tFalse\tnone\toffensive\n", encoding="utf-8")
        assert formats.read(hate)[0].labels == ("offensive",)
        chat = tmp_path / "chat.tsv"
        chat.write_text("question\tanswer\tlabel\n12시 땡!\t하루가 가네요.\t2\n", encoding="utf-8")
        assert formats.read(chat)[0].labels == ("사랑",)
        kobest = tmp_path / "any.tsv"
        kobest.write_text("id\tlabel\ttext\n1\t0\t별로\n", encoding="utf-8")
        assert guess_format(kobest) == "tsv"
        assert formats.read(kobest, format="kobest-sentineg")[0].labels == ("부정",)

    def test_label_of_another_task(self, tmp_path: Path) -> None:
        path = tmp_path / "nsmc.tsv"
        path.write_text("id\tdocument\tlabel\n1\t글\t1\n", encoding="utf-8")
        assert formats.read(path, task="kobest-sentineg")[0].labels == ("긍정",)
        with pytest.raises(DataError, match="label '1' is not in task 'kote'"):
            formats.read(path, task="kote")

    def test_mabsa(self, tmp_path: Path) -> None:
        row = {
            "id": "m1", "domain": "hotel", "text": "정말 좋은 가격",
            "aspects": [
                {"term": "가격", "begin": 6, "end": 8, "category": "hotel prices", "polarity": "conflict"},
                {"term": None, "begin": None, "end": None, "category": "hotel general", "polarity": "positive"},
                {"term": "좋은", "begin": None, "end": None, "category": "hotel general", "polarity": "positive"},
                {"term": "없음", "begin": None, "end": None, "category": "hotel general", "polarity": "positive"},
            ],
        }  # fmt: skip
        data = formats.read(dump(tmp_path / "x.jsonl", row))
        assert data.task.name == "mabsa-hotel"
        assert data[0].aspects == (
            AspectLabel("hotel prices", "neutral", 6, 8), AspectLabel("hotel general", "positive"),
            AspectLabel("hotel general", "positive", 3, 5), AspectLabel("hotel general", "positive"),
        )  # fmt: skip
        with pytest.raises(DataError, match=r"x\.jsonl:1: label 'hotel prices' is not in task"):
            formats.read(tmp_path / "x.jsonl", task="mabsa-phone")


class TestEmoJson:
    ROWS: ClassVar[list[dict[str, Any]]] = [
        {"text": "또 회의 참석 지겹다", "target": "회의", "emo": "혐오"},
        {"text": "라면", "target": "라면", "emo": ""},
        {"text": "또 회의 참석 지겹다", "target": "회의", "emo": "당황"},
        {"text": "또 회의 참석 지겹다", "target": "참석", "emo": "슬픔"},
        {"text": "아 회의", "target": "회의.", "emo": "joy"},
        {"text": "새 글", "target": None},
    ]

    @pytest.mark.parametrize("shape", ["lines", "array"])
    def test_merged(self, shape: str, tmp_path: Path) -> None:
        path = dump(tmp_path / "train_data_clean.json", *self.ROWS)
        if shape == "array":
            path.write_text(json.dumps(self.ROWS, ensure_ascii=False, indent=4), encoding="utf-8")
        data = formats.read(path)
        assert data.task.name == "nikl-ea"
        assert [row.labels for row in data] == [("surprise", "disgust"), (), ("sadness",), ("joy",), None]
        assert data.ids == ["row-000001", "row-000002", "row-000004", "row-000005", "row-000006"]
        assert data[0].target == Target("회의", 2, 4)
        assert data[3].target is None
        assert data[3].meta == {"target_form": "회의."}

    def test_unknown_emotion(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=":1: label '행복' is not in task 'nikl-ea'"):
            formats.read(dump(tmp_path / "a.jsonl", {"text": "글", "target": "글", "emo": "행복"}))


class TestCompletion:
    def test_markdown(self, tmp_path: Path) -> None:
        path = tmp_path / "리뷰.md"
        path.write_text(
            "# 학습 데이터\n\n    | id | review | Completion |\n    | --- | --- | --- |\n"
            "    | 176 | 1+1으로 \\| 예뻐요~ | 만족도 -1, 소재 −1,사이즈2 |\n    | 177 | 그냥 | |\n\n| keyword | n |\n| --- | --- |\n| a | 1 |\n",
            encoding="utf-8",
        )
        assert guess_format(path) == "completion"
        data = formats.read(path)
        assert data.task.name == "review-fashion"
        assert data.texts == ["1+1으로 | 예뻐요~", "그냥"]
        assert data[0].id == "176"
        assert [(item.aspect, item.sentiment) for item in data[0].aspects or ()] == [
            ("만족도", "-1"),
            ("소재", "-1"),
            ("사이즈", "2"),
        ]
        assert data[1].aspects == ()

    @pytest.mark.parametrize(
        "cell",
        ["디자인1, 배송-1", "디자인 1 ,배송 -1", "디자인: 1; 배송: -1", "디자인(1), 배송(-1)", "디자인 +1, 배송 −1,"],
    )
    def test_spellings(self, cell: str, tmp_path: Path) -> None:
        path = tmp_path / "a.csv"
        path.write_text(f'Text,Completion\n모자는 귀엽지만,"{cell}"\n', encoding="utf-8")
        found = formats.read(path)[0].aspects or ()
        assert [(item.aspect, item.sentiment) for item in found] == [("디자인", "1"), ("배송", "-1")]

    @pytest.mark.parametrize(
        ("cell", "match"),
        [
            ("디자안 1", "did you mean '디자인'"),
            ("디자인", "not a keyword and a grade"),
            ("디자인 7", "label '7'"),
            ("1", "not a keyword"),
        ],
    )
    def test_errors(self, cell: str, match: str, tmp_path: Path) -> None:
        path = tmp_path / "a.csv"
        path.write_text(f"Text,Completion\n글,{cell}\n", encoding="utf-8")
        with pytest.raises(DataError, match=match):
            formats.read(path)


class TestOurs:
    def test_every_field(self, tmp_path: Path) -> None:
        row = {
            "id": "a", "text": "배송 느려요", "target": {"form": "배송", "begin": 0, "end": 2}, "labels": ["anger", "joy"],
            "meta": {"n": 1}, "scores": {"joy": 0.5}, "date": "2024-01-02",
        }  # fmt: skip
        data = formats.read(dump(tmp_path / "a.jsonl", row), task="nikl-ea")
        assert data[0].labels == ("joy", "anger")
        assert data[0].target == Target("배송", 0, 2)
        assert data[0].meta == {"date": "2024-01-02", "n": 1}

    def test_aspects_with_scores(self, tmp_path: Path) -> None:
        item = {
            "aspect": "배송",
            "sentiment": -1,
            "begin": 0,
            "end": 2,
            "score": 0.9,
            "sentiment_scores": {},
            "evidence": [],
        }
        row = {"id": "a", "text": "배송 느려요", "labels": None, "aspects": [item]}
        data = formats.read(dump(tmp_path / "a.jsonl", row), task="review-fashion")
        assert data[0].aspects == (AspectLabel("배송", "-1", 0, 2),)
        assert data[0].meta == {}

    @pytest.mark.parametrize(
        ("item", "match"),
        [
            ({"aspect": "배송"}, "the aspect '배송' has no sentiment"),
            ({"aspect": "배송", "sentiment": "-1", "begin": 0, "end": 99}, r"outside the text \(0–6\)"),
            ({"aspect": "배송", "sentiment": "-1", "begin": 0}, "outside the text"),
            ({"aspect": "배달", "sentiment": "-1"}, "label '배달' is not in task"),
            ("배송", '"aspect", "sentiment"'),
        ],
    )
    def test_bad_aspects(self, item: Any, match: str, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=match):
            formats.read(dump(tmp_path / "a.jsonl", {"text": "배송 느려요", "aspects": [item]}), task="review-fashion")

    def test_task_of_another_kind(self, tmp_path: Path) -> None:
        path = dump(tmp_path / "a.jsonl", {"text": "글", "aspects": [{"aspect": "배송", "sentiment": "-1"}]})
        with pytest.raises(DataError, match="not an aspect task"):
            formats.read(path, task="nikl-ea")
        path = dump(tmp_path / "b.jsonl", {"text": "글", "labels": ["배송"]})
        with pytest.raises(UsageError, match="needs an aspects column"):
            formats.read(path, task="review-fashion")

    def test_labels_of_another_task_do_not_matter_for_prediction(self, tmp_path: Path) -> None:
        path = dump(tmp_path / "a.jsonl", {"text": "글", "labels": ["no such label"]})
        found = list(formats.iter_examples(path, task="nikl-ea", with_labels=False))
        assert found[0].labels is None

    def test_column_options(self, tmp_path: Path) -> None:
        row = {"말": "가 나", "기분": "기쁨|화남", "누구": "나", "키": 7}
        data = formats.read(
            dump(tmp_path / "a.jsonl", row), task="nikl-ea",
            text_column="말", label_column="기분", target_column="누구", id_column="키",
        )  # fmt: skip
        assert (data[0].id, data[0].text, data[0].labels, data[0].target) == (
            "7",
            "가 나",
            ("joy", "anger"),
            Target("나", 2, 3),
        )


class TestInferredTask:
    def task(self, folder: Path, *cells: str) -> Task:
        path = folder / "reviews.csv"
        path.write_text("text,label\n" + "".join(f'글,"{cell}"\n' for cell in cells), encoding="utf-8")
        return formats.read(path).task

    def test_multiclass(self, tmp_path: Path) -> None:
        task = self.task(tmp_path, "행복", "분노", "행복", "")
        assert (task.name, task.kind, task.keys) == ("reviews", "multiclass", ("분노", "행복"))

    @pytest.mark.parametrize("cell", ["나,가", "나;가", "나 | 가", '[""나"", ""가""]'])
    def test_multilabel(self, cell: str, tmp_path: Path) -> None:
        task = self.task(tmp_path, cell, "다")
        assert (task.kind, task.keys) == ("multilabel", ("가", "나", "다"))
        assert formats.read(tmp_path / "reviews.csv")[0].labels == ("가", "나")

    def test_numbers_by_value(self, tmp_path: Path) -> None:
        assert self.task(tmp_path, "10", "9", "-1").keys == ("-1", "9", "10")

    def test_nothing_labelled(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"reviews\.csv: no row has a label.*--task"):
            self.task(tmp_path, "", "")

    def test_one_label(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="'가' is the only label"):
            self.task(tmp_path, "가", "가")

    def test_aspects(self, tmp_path: Path) -> None:
        rows = [
            {
                "text": "글",
                "aspects": [{"aspect": "b", "sentiment": "positive"}, {"aspect": "a", "sentiment": "negative"}],
            }
        ]
        task = formats.read(dump(tmp_path / "a.jsonl", *rows)).task
        assert (task.kind, task.keys, task.sentiment_keys) == ("aspect", ("a", "b"), ("negative", "positive"))

    def test_whole_cell_wins_over_splitting(self, tmp_path: Path) -> None:
        task = Task.from_dict({"name": "t", "kind": "multilabel", "labels": ["연애, 결혼", "연애", "결혼"]})
        (tmp_path / "a.csv").write_text('text,label\n글,"연애, 결혼"\n글,결혼;연애\n', encoding="utf-8")
        assert [row.labels for row in formats.read(tmp_path / "a.csv", task=task)] == [
            ("연애, 결혼",),
            ("연애", "결혼"),
        ]


class TestSources:
    def test_stdin(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Fake:
            buffer = io.BytesIO('{"text": "좋다"}\n'.encode())

        monkeypatch.setattr(sys, "stdin", Fake())
        assert [row.text for row in formats.iter_examples("-")] == ["좋다"]

    @pytest.mark.parametrize(
        ("format", "content"), [("txt", "가\n\n나\n"), ("csv", "text\n가\n나\n"), ("tsv", "text\n가\n나\n")]
    )
    def test_stdin_pipe(self, format: str, content: str) -> None:
        code = f"from maeum import formats; print([r.text for r in formats.iter_examples('-', format={format!r})])"
        done = subprocess.run(
            [sys.executable, "-X", "utf8", "-c", code], input=content.encode("cp949"), capture_output=True, check=True
        )
        assert done.stdout.decode().strip() == "['가', '나']"

    @pytest.mark.parametrize("suffix", [".xlsx", ".parquet"])
    def test_stdin_binary(self, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "a.csv").write_text("text,label\n좋다,joy\n", encoding="utf-8")
        formats.write(formats.read(tmp_path / "a.csv", task="nikl-ea"), tmp_path / f"a{suffix}")

        class Fake:
            buffer = io.BytesIO((tmp_path / f"a{suffix}").read_bytes())

        monkeypatch.setattr(sys, "stdin", Fake())
        assert formats.read("-", format=suffix[1:], task="nikl-ea").texts == ["좋다"]

    @pytest.mark.parametrize("name", ["nikl-ea", "aihub", "fashion"])
    def test_samples(self, name: str) -> None:
        report = ReadReport()
        data = formats.read(f"sample:{name}", report=report)
        assert len(data) > 100
        assert report.rejected == 0
        assert data.is_labelled
        assert data.task.name == {"nikl-ea": "nikl-ea", "aihub": "aihub-7", "fashion": "review-fashion"}[name]
        assert formats.sample_path(name).is_file()
        assert formats.read(f"sample:{name}").fingerprint == data.fingerprint

    def test_a_submission_of_the_sample_answers_is_the_sample(self, tmp_path: Path) -> None:
        path = formats.sample_path("nikl-ea")
        formats.write(formats.read("sample:nikl-ea"), tmp_path / "out.jsonl", "nikl-ea", source=path)
        assert (tmp_path / "out.jsonl").read_bytes() == path.read_bytes()

    def test_sample_names(self) -> None:
        with pytest.raises(UsageError, match="no sample 'sample:nope'; there are: sample:nikl-ea"):
            formats.read("sample:nope")

    @pytest.mark.parametrize(
        "content", ["| Text | Completion |\n| --- | --- |\n| 글 | 배송 1 |\n", "Text,Completion\n글,배송 1\n"]
    )
    def test_stdin_completion(self, content: str, monkeypatch: pytest.MonkeyPatch) -> None:
        class Fake:
            buffer = io.BytesIO(content.encode())

        monkeypatch.setattr(sys, "stdin", Fake())
        assert formats.read("-", format="completion")[0].aspects == (AspectLabel("배송", "1"),)

    def test_text_lines(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_bytes("첫 글\r\n\r\n둘째, 글".encode())
        found = list(formats.iter_examples(tmp_path / "a.txt"))
        assert [(row.id, row.text, row.labels) for row in found] == [
            ("row-000001", "첫 글", None),
            ("row-000002", "둘째, 글", None),
        ]

    def test_streams(self, tmp_path: Path) -> None:
        path = dump(tmp_path / "a.jsonl", {"text": "가"}, {"text": ""})
        rows = formats.iter_examples(path)
        assert next(rows).text == "가"
        with pytest.raises(DataError, match="blank"):
            next(rows)

    def test_a_broken_off_reading_closes_its_file(self, tmp_path: Path) -> None:
        for name in ("a.jsonl", "a.csv", "a.tsv", "a.txt"):
            path = tmp_path / name
            path.write_text('{"text": "가"}\n' * 3 if name == "a.jsonl" else "text\n가\n나\n", encoding="utf-8")
            rows = formats.iter_examples(path)
            next(rows)
            rows.close()  # type: ignore[attr-defined]  # a generator; an open file would be a ResourceWarning

    def test_ids_of_long_files(self) -> None:
        seen = SeenIds(recent=3)
        for number in range(10):
            assert f"id-{number}" not in seen
            seen.add(f"id-{number}", number + 1)
        assert all(f"id-{number}" in seen for number in range(10))
        assert (seen.line("id-9"), seen.line("id-0"), seen.line("id-10")) == (10, 0, None)

    def test_a_given_id_may_not_look_like_a_made_up_one(self, tmp_path: Path) -> None:
        path = dump(tmp_path / "a.jsonl", {"id": "row-000002", "text": "가"}, {"text": "나"})
        with pytest.raises(DataError, match="id 'row-000002' was used on line 1 already"):
            formats.read(path, task="nikl-ea")
        path = dump(tmp_path / "a.jsonl", {"text": "가"}, {"text": "나"}, {"id": "row-000001", "text": "나"})
        with pytest.raises(DataError, match="id 'row-000001' was used before already"):
            formats.read(path, task="nikl-ea")
        path = dump(tmp_path / "a.jsonl", {"text": "가"}, {"id": "row-000009", "text": "나"}, {"text": "나"})
        assert formats.read(path, task="nikl-ea").ids == ["row-000001", "row-000009", "row-000003"]

    def test_unknown_names(self, tmp_path: Path) -> None:
        path = dump(tmp_path / "a.jsonl", {"text": "가"})
        with pytest.raises(UsageError, match="no format 'json'; there are: jsonl, csv"):
            formats.read(path, format="json")
        with pytest.raises(UsageError, match="no task 'nikl'"):
            formats.read(path, task="nikl")

    def test_cheap_import(self) -> None:
        heavy = "arro3|arro3.core|python_calamine|xlsxwriter|sklearn|scipy|pandas|tqdm|emoji"
        code = f"import sys, maeum.formats; print([m for m in '{heavy}'.split('|') if m in sys.modules])"
        assert (
            subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
            == "[]"
        )


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", '{"something": 1}\n'),
        ("a.dat", "text\n가\n"),
        ("a", "text\n가\n"),
    ],
)
def test_uncertain_format(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match="cannot be told for certain; name it with --format: jsonl"):
        guess_format(tmp_path / name)


def test_task_mismatch_is_not_leaked(tmp_path: Path) -> None:
    path = dump(tmp_path / "a.jsonl", {"text": "가", "labels": ["가", "나"]})
    with pytest.raises(DataError, match="takes exactly one label a row, got 2") as caught:
        formats.read(path, task=Task.from_dict({"name": "t", "kind": "multiclass", "labels": ["가", "나"]}))
    assert not isinstance(caught.value, TaskMismatch)


@pytest.mark.data
class TestRealData:
    @pytest.mark.parametrize(
        ("file", "format", "rows", "labels"),
        [
            ("kote/train.tsv", "kote", 6500, 44),
            ("kote/dev.tsv", "kote", 1000, 44),
            ("goemotions_ko/train.tsv", "goemotions", 43410, 28),
            ("goemotions_ko/dev.tsv", "goemotions", 5426, 28),
            ("kobest_sentineg/train.tsv", "kobest-sentineg", 3649, 2),
            ("kobest_sentineg/dev.tsv", "kobest-sentineg", 400, 2),
            ("korean_hate_speech/train.tsv", "korean-hate-speech", 7896, 3),
            ("korean_hate_speech/dev.tsv", "korean-hate-speech", 471, 3),
            ("chatbot_data/chatbot.tsv", "chatbot", 11823, 3),
            pytest.param("nsmc/train.tsv", "nsmc", 187316, 2, marks=pytest.mark.slow),
        ],
    )
    def test_tables(self, data_dir: Path, file: str, format: str, rows: int, labels: int) -> None:
        report = ReadReport()
        data = formats.read(data_dir / file, report=report)
        assert (report.format, report.rows, report.rejected) == (format, rows, 0)
        assert data.y.shape == (rows, labels)
        assert data.is_labelled

    @pytest.mark.parametrize("domain", ["restaurant", "hotel", "phone", "laptop", "food", "sight", "coursera"])
    def test_mabsa(self, data_dir: Path, domain: str) -> None:
        data = [formats.read(data_dir / "mabsa_ko" / f"{domain}.{part}.jsonl") for part in ("train", "dev")]
        assert all(part.task.name == f"mabsa-{domain}" and part.is_labelled for part in data)
        spans = [
            (row.text, item) for part in data for row in part for item in row.aspects or () if item.begin is not None
        ]
        assert all(item.end is not None and 0 <= (item.begin or 0) < item.end <= len(text) for text, item in spans)

    def test_parquet_streams(self, data_dir: Path) -> None:
        rows = formats.iter_examples(data_dir / "nsmc" / "reviews.parquet")
        first = next(rows)
        assert first.meta.keys() == {"movie_id", "rating", "date"}
        rows.close()  # type: ignore[attr-defined]  # a generator
