"""Label Studio exports as data: our own projects and others', several annotators, and files that are something else."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from cli_kit import ok
from review_kit import SHOP

from maeum.annotating import studio_task
from maeum.annotating.studio_out import choices, region
from maeum.data import AspectLabel, Example, Target
from maeum.errors import DataError
from maeum.formats import ReadReport, guess_format, iter_examples, open_source, read
from maeum.sampling import Pool
from maeum.task import Label, Task

MOOD = Task("mood", "multiclass", (Label("up", ko="좋음"), Label("flat", ko="그저"), Label("down", ko="나쁨")))


def said(*results: dict[str, Any], who: int = 1, when: str = "2026-03-01T09:00:00Z", **more: Any) -> dict[str, Any]:
    return {"completed_by": who, "updated_at": when, "result": list(results), **more}


def item(text: str, *annotations: dict[str, Any], number: int = 1, **data: Any) -> dict[str, Any]:
    return {"id": number, "data": {"text": text, **data}, "annotations": list(annotations)}


def save(path: Path, items: Any) -> Path:
    path.write_text(json.dumps(items, ensure_ascii=False), encoding="utf-8")
    return path


@pytest.fixture
def moods(tmp_path: Path) -> Path:
    """Another project's export: its own tag name, a number for id, one choice, three annotators on the second row."""
    tag = "기분"
    return save(
        tmp_path / "export.json",
        [
            item("버스를 놓쳤다", said(choices(tag, ["나쁨"])), number=11, mall="A"),
            item(
                "표를 구했다",
                *(said(choices(tag, [w]), who=n) for n, w in enumerate(["좋음", "그저", "좋음"])),
                number=12,
            ),
            item("밥을 먹었다", said(choices(tag, ["그저"])), number=13),
        ],
    )


def test_labels_are_found_without_being_told(moods: Path) -> None:
    assert guess_format(moods) == "label-studio"
    report = ReadReport()
    data = read(moods, report=report)
    assert data.task.kind == "multiclass"
    assert data.task.keys == ("그저", "나쁨", "좋음")
    assert [row.labels for row in data] == [("나쁨",), ("좋음",), ("그저",)]
    assert data.ids == ["11", "12", "13"]
    assert data[0].meta == {"mall": "A", "annotators": ["label-studio:1"]}
    told = {"label-studio:0": "좋음", "label-studio:1": "그저", "label-studio:2": "좋음"}
    assert data[1].meta["conflicts"] == [{"what": "", "said": told, "decided": "좋음"}]
    assert (report.rows, report.conflicts, report.undecided) == (3, 1, 0)


def test_words_are_those_of_a_task(moods: Path) -> None:
    assert [row.labels for row in read(moods, task=MOOD)] == [("down",), ("up",), ("flat",)]
    other = Task("other", "multilabel", (Label("기쁨"), Label("나쁨")))
    with pytest.raises(DataError, match=r"export\.json") as caught:
        read(moods, task=other)
    assert "좋음" in caught.value.en
    skipped = ReadReport()
    assert len(read(moods, task=other, on_error="skip", report=skipped)) == 1
    assert skipped.rejected == 2


def test_a_choice_without_majority_stays_open(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    split = [said(choices("labels", [word]), who=n) for n, word in enumerate(["up", "down"])]
    path = save(
        tmp_path / "e.json", [item("그럭저럭", *split), item("좋다", said(choices("labels", ["up"])), number=2)]
    )
    report = ReadReport()
    with caplog.at_level(logging.WARNING, "maeum.formats"):
        data = read(path, task=MOOD, report=report)
    assert [row.labels for row in data] == [None, ("up",)]
    assert (report.conflicts, report.undecided) == (1, 1)
    assert "annotators differ on 1 rows" in caplog.text


def test_more_than_half_give_a_label(three: Task, tmp_path: Path) -> None:
    given = [["기쁨", "슬픔"], ["기쁨"], ["분노"]]
    path = save(tmp_path / "e.json", [item("글", *(said(choices("labels", w), who=n) for n, w in enumerate(given)))])
    row = read(path, task=three)[0]
    assert row.labels == ("기쁨",)
    assert [(one["what"], one["decided"]) for one in row.meta["conflicts"]] == [
        ("기쁨", "O"),
        ("분노", "X"),
        ("슬픔", "X"),
    ]


def test_what_does_not_count(three: Task, tmp_path: Path) -> None:
    first = said(choices("labels", ["분노"]), when="2026-03-01T09:00:00Z")
    again = said(choices("labels", ["기쁨"]), when="2026-03-02T09:00:00+09:00")
    skipped = said(choices("labels", ["슬픔"]), who=2, was_cancelled=True)
    guessed = {
        "predictions": [{"result": [choices("labels", ["슬픔"])]}],
        "drafts": [said(choices("labels", ["슬픔"]))],
    }
    items = [
        {**item("다시 달았다", again, first, skipped), **guessed},
        {**item("아무도 안 달았다", number=2), **guessed},
        item("하나도 해당하지 않는다", said(), number=3),
    ]
    data = read(save(tmp_path / "e.json", items), task=three)
    assert [row.labels for row in data] == [("기쁨",), None, ()]
    assert "conflicts" not in data[0].meta


def test_our_own_project_comes_back(tmp_path: Path) -> None:
    task = Task("aimed", "multilabel", (Label("joy", ko="기쁨"), Label("anger", ko="분노")), targeted=True)
    rows = [Example("a", "🎉 회의는 지겹다", Target("회의", 2, 4), meta={"팀": "가"}), Example("b", "회의가 끝났다")]
    out = [studio_task(task, row) for row in rows]
    out[0]["annotations"] = [said(choices("labels", ["분노"]))]
    # a browser counts UTF-16 units; the annotator marked what the row left open
    marked = region("t0", "target", "labels", ["target"], rows[1].text, 0, 2)
    out[1]["annotations"] = [said(marked, choices("labels", ["joy"]))]
    data = read(save(tmp_path / "e.json", out), task=task)
    assert [(row.id, row.target, row.labels) for row in data] == [
        ("a", Target("회의", 2, 4), ("anger",)),
        ("b", Target("회의", 0, 2), ("joy",)),
    ]
    assert "check" not in data[0].meta


def test_aspects_are_regions_with_grades(tmp_path: Path) -> None:
    text = "🎉배송은 늦고 색은 곱다"
    key, grade = SHOP.keys[0], SHOP.sentiment_keys[0]
    place = region("r1", "evidence", "labels", [key], text, 1, 3)
    place["value"] |= {"start": 2, "end": 4}  # UTF-16 units
    choice = {**choices("grade", [grade]), "id": "r1"}
    choice["value"] |= {"start": 2, "end": 4}
    path = save(tmp_path / "e.json", [item(text, said(place, choice))])
    assert read(path, task=SHOP)[0].aspects == (AspectLabel(key, grade, 1, 3),)
    found = read(path)
    assert (found.task.kind, found.task.keys, found.task.sentiment_keys) == ("aspect", (key,), (grade,))
    del choice["value"]["choices"]
    with pytest.raises(DataError, match="0 grades"):
        read(save(path, [item(text, said(place, choice))]), task=SHOP)


def test_several_choices_are_told_apart_by_name(tmp_path: Path) -> None:
    answer = said(choices("mood", ["up"]), choices("topic", ["집"]))
    path = save(tmp_path / "e.json", [item("이사했다", answer)])
    with pytest.raises(DataError, match="'mood', 'topic'"):
        read(path, task=MOOD, on_error="skip")
    assert read(path, task=MOOD, label_column="mood")[0].labels == ("up",)
    with pytest.raises(DataError, match="no <Choices> named 'x'"):
        read(path, task=MOOD, label_column="x")


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([{"text": "글", "mood": "up", "annotation_id": 1}], "choose the format 'JSON'"),
        ([{"data": {"audio": "a.wav"}, "annotations": []}], "no column 'text'"),
        ([{"data": {"text": 3}, "annotations": []}], "'text' is text"),
        ([item("글", said(region("a", "ner", "labels", ["사람"], "글", 0, 1)))], "no choices about whole texts"),
        ([item("글", said({**choices("labels", []), "value": {"choices": "up"}}))], "a list of words"),
        ([item("글", said(choices("labels", ["up"]), when="어제"))], "no time"),
        ([], "no data"),
    ],
)
def test_what_is_wrong_is_said(items: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read(save(tmp_path / "e.json", items), task=MOOD, format="label-studio")


def test_odd_shapes_are_no_answers(tmp_path: Path) -> None:
    relation = {"type": "relation", "from_id": "a", "to_id": "b"}
    odd = [{**item("글"), "annotations": 3}, item("말", said(relation, choices("labels", ["up"]), who=2), number=2)]
    odd.append(
        item("뜻", {"completed_by": {"id": 3, "email": "a@b.c"}, "result": [choices("labels", ["down"])]}, number=3)
    )
    data = read(save(tmp_path / "e.json", odd), task=MOOD)
    assert [row.labels for row in data] == [None, ("up",), ("down",)]
    assert data[2].meta["annotators"] == ["a@b.c"]


def test_a_pool_needs_no_labels(moods: Path) -> None:
    assert [row.labels for row in iter_examples(moods, with_labels=False)] == [None] * 3


def test_columns_are_the_fields_of_data(moods: Path) -> None:
    """Whoever looks at raw rows (a preview, the columns of a roll-up, strata) sees the fields, not the export's frame."""
    opened = open_source(moods)
    first = next(iter(opened.format.rows(opened.source)))
    assert first.value == {"text": "버스를 놓쳤다", "mall": "A"}
    assert [group for _, group in Pool(str(moods), MOOD, ("mall",)).rows(first=True)] == [("A",), ("",), ("",)]


def test_train_and_convert_take_it(tmp_path: Path) -> None:
    words = {"up": ("기쁘다", "즐겁다", "신난다"), "down": ("슬프다", "괴롭다", "아프다")}
    texts = [(f"{day}일째 {word}", key) for key, found in words.items() for word in found for day in range(1, 6)]
    items = [item(text, said(choices("labels", [key])), number=n) for n, (text, key) in enumerate(texts)]
    items[0]["annotations"] += [said(choices("labels", [key]), who=n) for n, key in ((2, "down"), (3, "up"))]
    save(tmp_path / "export.json", items)
    done = ok("train", "export.json", "--format", "label-studio", "-o", "m", "--valid", "0.3", "--quiet", cwd=tmp_path)
    assert "annotators differ on 1 rows: the majority stands, and 0 rows" in done.stderr
    told = json.loads(ok("evaluate", "m", "export.json", "--json", cwd=tmp_path).stdout)
    assert told["metrics"]["accuracy"] == 1
    ok("convert", "export.json", "--to", "jsonl", "-o", "rows.jsonl", cwd=tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    assert (len(lines), lines[0]["labels"]) == (30, ["up"])
