"""Labelling files: answers of several people and windows at once, and their way back into labelled rows."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections import Counter
from pathlib import Path

import pytest
from cli_kit import maeum, ok
from review_kit import SHOP

from maeum.annotating import Desk, create_desk, import_files, labelled_text
from maeum.annotating import desk as desks
from maeum.annotating.desk import annotator_name
from maeum.annotating.desk_file import is_desk
from maeum.data import Example, Target
from maeum.errors import UsageError
from maeum.task import Label, Task

MOOD = Task("mood", "multiclass", (Label("up", ko="좋음"), Label("flat", ko="그저"), Label("down", ko="나쁨")))
ROWS = [Example(f"행-{n}", f"오늘의 글 {n}", meta={"source": "일기"}) for n in range(6)]
JOY, RAGE = {"labels": ["기쁨"]}, {"labels": ["분노"]}


@pytest.fixture
def path(three, tmp_path) -> Path:
    create_desk(tmp_path / "a.sqlite", three, ROWS)
    return tmp_path / "a.sqlite"


def texts(rows) -> list[str]:
    return [row.example.id.removeprefix("행-") for row in rows]


# -- one person ---------------------------------------------------------------------------------------------


def test_a_row_that_is_answered_comes_no_more_and_is_there_after_opening_again(three, path):
    with Desk(path) as desk:
        assert (desk.task, len(desk), desk.share) == (three, 6, False)
        assert texts(desk.upcoming("지은", 3)) == ["0", "1", "2"]
        saved = desk.save("지은", 1, JOY, seen="", token="a", note="  두 줄\n메모 ")
        assert saved.kept
    with Desk(path) as desk:
        assert texts(desk.upcoming("지은", 9)) == ["0", "2", "3", "4", "5"]
        (row,) = desk.recent("지은", 5)
        assert (row.own.answer, row.own.token, row.own.note) == (JOY, "a", "두 줄 메모")
        assert row.example.meta == {"source": "일기"}
        assert (desk.progress("지은").done, desk.progress("지은").left) == (1, 5)


def test_answers_are_kept_in_the_order_of_the_task_and_none_fits_is_one(path):
    with Desk(path) as desk:
        desk.save("지은", 0, {"labels": ["슬픔", "기쁨"]}, seen="", token="a")
        desk.save("지은", 1, {"labels": []}, seen="", token="b")
        assert [said.answer["labels"] for _, _, said in desk.everything()] == [["기쁨", "슬픔"], []]


@pytest.mark.parametrize(
    "answer", [{"labels": ["설렘"]}, {"labels": "기쁨"}, {"aspects": []}, {}, {"labels": [3]}, {"labels": [["기쁨"]]}]
)
def test_an_answer_the_task_cannot_have_is_refused(path, answer):
    with Desk(path) as desk:
        with pytest.raises(UsageError, match="no such answer"):
            desk.save("지은", 0, answer, seen="", token="a")
        assert desk.progress("지은").done == 0


def test_one_label_where_one_is_chosen_and_one_grade_for_an_aspect(tmp_path):
    create_desk(tmp_path / "m.sqlite", MOOD, ROWS)
    create_desk(tmp_path / "s.sqlite", SHOP, ROWS)
    aspect, grade = SHOP.keys[0], SHOP.sentiment_keys[0]
    said = {"aspect": aspect, "sentiment": grade}
    with Desk(tmp_path / "m.sqlite") as mood, Desk(tmp_path / "s.sqlite") as shop:
        with pytest.raises(UsageError):
            mood.save("지은", 0, {"labels": ["up", "down"]}, seen="", token="a")
        with pytest.raises(UsageError):
            shop.save("지은", 0, {"aspects": [said, said]}, seen="", token="a")
        with pytest.raises(UsageError):
            shop.save("지은", 0, {"aspects": [{"aspect": aspect, "sentiment": "아주"}]}, seen="", token="a")
        assert mood.save("지은", 0, {"labels": ["up"]}, seen="", token="a").kept
        assert shop.save("지은", 0, {"aspects": [said]}, seen="", token="a").kept


def test_rows_that_were_skipped_come_last_and_again_last(path):
    with Desk(path) as desk:
        for token, position in (("a", 0), ("b", 1), ("c", 0)):
            desk.skip("지은", position, token=token)
        desk.skip("지은", 1, token="b")  # the same request again
        assert texts(desk.upcoming("지은", 9)) == ["2", "3", "4", "5", "1", "0"]
        assert texts(desk.upcoming("민호", 2)) == ["0", "1"]


def test_an_answer_that_is_taken_back_leaves_the_row_open(path, three):
    with Desk(path) as desk:
        desk.save("지은", 0, JOY, seen="", token="a")
        desk.save("지은", 0, None, seen="a", token="b")
        assert texts(desk.upcoming("지은", 1)) == ["0"]
        assert desk.upcoming("지은", 1)[0].own.token == "b"
        assert desk.progress("지은").done == 0
    assert import_files([path], ROWS, three).counts()["unlabelled"] == 6
    with Desk(path) as desk:
        assert not desk.save("지은", 0, RAGE, seen="", token="c").kept  # a window that saw neither
        assert desk.save("지은", 0, RAGE, seen="b", token="d").kept


def test_a_clock_that_was_set_back_does_not_make_a_later_answer_the_earlier_one(path, monkeypatch):
    with Desk(path) as desk:
        monkeypatch.setattr(desks, "now", lambda: "2031-01-01T00:00:00.000+00:00")
        first = desk.save("지은", 0, JOY, seen="", token="a").standing
        monkeypatch.setattr(desks, "now", lambda: "2030-01-01T00:00:00.000+00:00")
        assert desk.save("지은", 0, RAGE, seen="a", token="b").standing.saved >= first.saved


# -- several windows ----------------------------------------------------------------------------------------


def test_a_window_that_has_not_seen_the_newer_answer_is_refused_and_shown_it(path):
    with Desk(path) as one, Desk(path) as two:
        assert one.save("지은", 0, JOY, seen="", token="a").kept
        refused = two.save("지은", 0, RAGE, seen="", token="b")
        assert not refused.kept
        assert refused.standing.answer == JOY
        assert one.row("지은", 0).own.answer == JOY
        assert two.save("지은", 0, RAGE, seen="a", token="c").kept


def test_two_changes_sent_one_after_the_other_are_refused_together(path):
    """The second was made on top of the first, which was refused: it must not get through either."""
    with Desk(path) as one, Desk(path) as two:
        one.save("지은", 0, JOY, seen="", token="a")
        assert not two.save("지은", 0, RAGE, seen="", token="b").kept
        assert not two.save("지은", 0, {"labels": []}, seen="b", token="c").kept
        assert one.row("지은", 0).own.answer == JOY


def test_a_save_that_is_sent_again_counts_once(path):
    with Desk(path) as desk:
        desk.save("지은", 0, JOY, seen="", token="a")
        desk.save("지은", 0, RAGE, seen="a", token="b")
        again = desk.save("지은", 0, JOY, seen="", token="a")
        assert again.kept
        assert again.standing.answer == RAGE
        with pytest.raises(UsageError, match="another row"):
            desk.save("지은", 1, JOY, seen="", token="a")


def test_annotators_never_touch_one_another(path):
    with Desk(path) as one, Desk(path) as two:
        one.save("지은", 0, JOY, seen="", token="a")
        assert two.save("민호", 0, RAGE, seen="", token="b").kept
        one.save("지은", 1, JOY, seen="", token="c")
        two.save("민호", 1, JOY, seen="", token="d")
        assert [said.answer for said in one.others("지은", 0)] == [RAGE]
        progress = one.progress("지은")
        assert progress.others == {"민호": 2}
        assert progress.shared == {"민호": (2, 1)}


def at_once(path: Path, names: list[str], work) -> None:
    """``work(desk, name)`` in a thread and a connection of its own for each, started together."""
    ready, failed = threading.Barrier(len(names)), []

    def labour(name: str) -> None:
        try:
            with Desk(path) as desk:
                ready.wait()
                work(desk, name)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=labour, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


def test_of_many_windows_that_save_the_same_row_at_once_one_wins(path):
    kept = []

    def save(desk: Desk, name: str) -> None:
        for position in range(6):
            saved = desk.save("지은", position, {"labels": []}, seen="", token=f"{name}-{position}")
            if saved.kept:
                kept.append((position, name))

    at_once(path, [f"창{n}" for n in range(6)], save)
    assert sorted(position for position, _ in kept) == list(range(6))
    with Desk(path) as desk:
        assert {(position, said.token.split("-")[0]) for position, _, said in desk.everything()} == set(kept)


def test_rows_that_are_shared_out_are_answered_once_each(three, tmp_path):
    path = tmp_path / "s.sqlite"
    rows = [Example(str(n), f"글 {n}") for n in range(60)]
    create_desk(path, three, rows, share=True)

    def label(desk: Desk, name: str) -> None:
        while upcoming := desk.upcoming(name, 3):
            for row in upcoming:
                assert desk.save(name, row.position, JOY, seen="", token=f"{name}-{row.position}").kept

    at_once(path, ["지은", "민호", "서연", "하준"], label)
    with Desk(path) as desk:
        by_row = Counter(position for position, _, _ in desk.everything())
        assert by_row == dict.fromkeys(range(60), 1)
        assert desk.progress("지은").left == 0


def test_a_held_row_is_given_to_others_when_its_time_is_over_or_it_is_skipped(three, tmp_path, monkeypatch):
    path = tmp_path / "s.sqlite"
    create_desk(path, three, ROWS, share=True)
    now = [1000.0]
    monkeypatch.setattr(desks.time, "time", lambda: now[0])
    with Desk(path) as desk:
        assert texts(desk.upcoming("지은", 2)) == ["0", "1"]
        assert texts(desk.upcoming("민호", 2)) == ["2", "3"]
        assert texts(desk.upcoming("지은", 2)) == ["0", "1"]
        desk.skip("지은", 0, token="a")
        assert texts(desk.upcoming("서연", 9)) == ["0", "4", "5"]
        now[0] += desks.HELD_SEC + 1
        assert texts(desk.upcoming("민호", 9)) == ["0", "1", "2", "3", "4", "5"]
        assert desk.save("지은", 1, JOY, seen="", token="b").kept  # late, but work is never thrown away
        assert texts(desk.upcoming("민호", 9)) == ["0", "2", "3", "4", "5"]


# -- files --------------------------------------------------------------------------------------------------


def test_a_file_with_answers_is_never_overwritten(three, path):
    with pytest.raises(UsageError, match="already exists"):
        create_desk(path, three, ROWS)
    create_desk(path, three, ROWS[:2], overwrite=True)
    with Desk(path) as desk:
        assert len(desk) == 2
        desk.save("지은", 0, JOY, seen="", token="a")
    with pytest.raises(UsageError, match="holds 1 answers"):
        create_desk(path, three, ROWS, overwrite=True)


def test_other_files_are_told_by_their_head_and_refused(three, tmp_path, path):
    other = tmp_path / "b.sqlite"
    with sqlite3.connect(other) as file:
        file.execute("CREATE TABLE t (a)")
    file.close()
    (tmp_path / "c.sqlite").write_text("글", encoding="utf-8")
    assert [is_desk(tmp_path / name) for name in ("a.sqlite", "b.sqlite", "c.sqlite", "d.sqlite")] == [
        True, False, False, False,
    ]  # fmt: skip
    with pytest.raises(UsageError, match="not a labelling file"):
        Desk(other)
    with pytest.raises(UsageError, match="there is no labelling file"):
        Desk(tmp_path / "d.sqlite")
    assert not (tmp_path / "d.sqlite").exists()
    with pytest.raises(UsageError, match="not a labelling file"):
        create_desk(other, three, ROWS, overwrite=True)


def test_half_a_surrogate_pair_and_a_target_come_back_as_they_were(three, tmp_path):
    row = Example("x", "그 \ud83d 배우가 좋았다", Target("배우", 4, 6))
    create_desk(tmp_path / "a.sqlite", three, [row])
    with Desk(tmp_path / "a.sqlite") as desk:
        assert desk.examples() == [row]


def test_names():
    assert annotator_name("  김  지은 ") == "김 지은"
    for bad in ("", "   ", "가" * 41, "지\u200b은"):
        with pytest.raises(UsageError):
            annotator_name(bad)


# -- back ---------------------------------------------------------------------------------------------------


def test_an_import_keeps_who_and_when_and_is_idempotent(three, path):
    with Desk(path) as desk:
        desk.save("지은", 0, JOY, seen="", token="a")
        desk.save("지은", 0, {"labels": ["기쁨", "슬픔"]}, seen="a", token="b")
        when = desk.save("민호", 0, JOY, seen="", token="c", note="애매").standing.saved
        desk.save("지은", 2, {"labels": []}, seen="", token="d")
    done = import_files([path], ROWS, three)
    assert [row.labels for row in done.rows[:3]] == [("기쁨",), None, ()]
    kept = {item["annotator"]: item for item in done.rows[0].meta["annotations"]}
    assert kept["민호"] == {"annotator": "민호", "when": when, "labels": ["기쁨"], "note": "애매"}
    assert kept["지은"]["labels"] == ["기쁨", "슬픔"]
    assert [conflict.what for conflict in done.conflicts] == ["슬픔"]
    assert done.rows[0].meta["source"] == "일기"
    again = import_files([path], ROWS, three, before=done.rows)
    assert again.new == 0
    assert labelled_text(again, three) == labelled_text(done, three)


def test_an_import_refuses_other_rows_and_another_task(three, path):
    with Desk(path) as desk:
        desk.save("지은", 0, JOY, seen="", token="a")
    done = import_files([path], [Example("행-0", "다른 글")], three)
    assert "a.sqlite:1" in str(done.problems.errors[0])
    other = Task("other", "multilabel", (Label("기쁨"), Label("분노")))
    assert "another task" in str(import_files([path], ROWS, other).problems.errors[0])


def test_none_fits_is_no_label_where_one_must_be_chosen(tmp_path):
    path = tmp_path / "m.sqlite"
    create_desk(path, MOOD, ROWS)
    with Desk(path) as desk:
        desk.save("지은", 0, {"labels": []}, seen="", token="a")
        desk.save("지은", 1, {"labels": ["up"]}, seen="", token="b")
    done = import_files([path], ROWS, MOOD)
    assert [row.labels for row in done.rows[:2]] == [None, ("up",)]
    assert "no label fits" in str(done.problems.notices[0])


def test_aspects_come_back_with_their_grades(tmp_path):
    path = tmp_path / "s.sqlite"
    create_desk(path, SHOP, ROWS)
    aspect, grade = SHOP.keys[1], SHOP.sentiment_keys[-1]
    with Desk(path) as desk:
        desk.save("지은", 3, {"aspects": [{"aspect": aspect, "sentiment": grade}]}, seen="", token="a")
    (found,) = import_files([path], ROWS, SHOP).rows[3].aspects
    assert (found.aspect, found.sentiment) == (aspect, grade)


@pytest.fixture
def rows_file(tmp_path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text(
        "".join(json.dumps({"id": row.id, "text": row.text}, ensure_ascii=False) + "\n" for row in ROWS),
        encoding="utf-8",
    )
    return path


def test_the_command_line_makes_a_file_and_reads_it_back(rows_file, sample_model, tmp_path):
    made = tmp_path / "작업" / "a.sqlite"
    export = ("annotate", "export", rows_file, "-o", made, "--model", sample_model("nikl-ea"), "--share")
    ok(*export, cwd=tmp_path)
    with Desk(made) as desk:
        assert (len(desk), desk.share, desk.task.name, desk.model) == (6, True, "nikl-ea", "nikl-ea")
        row = desk.upcoming("지은", 1)[0]
        assert set(row.suggested["labels"]) <= set(desk.task.keys)
        desk.save("지은", 0, {"labels": ["joy"]}, seen="", token="a")
    ok("annotate", "import", made, "--rows", rows_file, "--task", "nikl-ea", "-o", "out.jsonl", cwd=tmp_path)
    first = json.loads((tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert (first["labels"], first["meta"]["annotations"][0]["annotator"]) == (["joy"], "지은")
    assert "already exists" in maeum(*export, cwd=tmp_path).stderr
    assert "holds 1 answers" in maeum(*export, "--overwrite", cwd=tmp_path).stderr


def test_sharing_out_is_for_labelling_files_alone(rows_file, tmp_path):
    failed = maeum("annotate", "export", rows_file, "-o", "a.xlsx", "--task", "kote", "--share", cwd=tmp_path)
    assert failed.returncode == 1
    assert "--share goes with --to sqlite" in failed.stderr
