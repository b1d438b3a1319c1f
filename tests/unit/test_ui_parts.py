"""The parts of the web app that draw nothing themselves: marks, colours, uploads, comparing, thresholds, settings."""

from __future__ import annotations

import io
import json
import threading
import zipfile

import numpy as np
import pytest
from cli_kit import failed, maeum

from maeum._lang import language, say, speak
from maeum.data import Dataset, Example, Target
from maeum.errors import DataError, MaeumError, UsageError
from maeum.explaining import Word
from maeum.metrics import counts
from maeum.task import Label, Task, builtin_task
from maeum.thresholds import Thresholds

pytest.importorskip("streamlit")

from maeum.apps.ui import charts, labelled, look, marks, uploads
from maeum.apps.ui.settings import Settings, streamlit_flags
from maeum.apps.ui.views import PAGES
from maeum.evaluation import Scored

HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(1)>'


def words_of(text: str, scores: list[float]) -> list[Word]:
    found, at = [], 0
    for part, score in zip(text.split(" "), scores, strict=True):
        found.append(Word(at, at + len(part), part, score, score))
        at += len(part) + 1
    return found


# -- marks ------------------------------------------------------------------------------------------------------------


def test_marked_text_keeps_every_letter_and_escapes_it():
    text = f"{HOSTILE.replace(' ', '_')} 좋았다 & 끝"
    shown = marks.marked(text, words_of(text, [0.5, 0.2, 0.0, -0.3]), "#123456")
    assert "<script" not in shown
    assert "<img" not in shown
    assert shown.count("<mark") == 3  # the word with score 0 is not marked
    assert shown.count('class="against"') == 1


def test_hostile_label_and_file_names_are_escaped_everywhere():
    aspect = marks.Aspect(HOSTILE, HOSTILE, 0.5, "#000", HOSTILE, "#000", [(HOSTILE, 1.0, "#000")], ())
    made = [
        marks.chips([marks.Chip(HOSTILE, "#000", HOSTILE)]),
        marks.cards([marks.Card(HOSTILE, HOSTILE, HOSTILE, 1.0)]),
        marks.aspect_cards(HOSTILE, [aspect]),
        marks.many_marked(HOSTILE, [aspect]),
        marks.empty(HOSTILE, HOSTILE, HOSTILE),
        marks.legend([("", "#000", HOSTILE)]),
        marks.head(HOSTILE, HOSTILE),
        marks.sub(HOSTILE),
        marks.note(HOSTILE),
        marks.marked(HOSTILE, [], "#000", Target(HOSTILE, 0, len(HOSTILE))),
    ]
    assert all("<script" not in html and "<img" not in html for html in made)


def test_strength_is_relative_but_faint_scores_stay_faint():
    strong = marks.marked("가 나", words_of("가 나", [0.4, 0.2]), "#000")
    assert "--a:1.00" in strong
    assert "--a:0.50" in strong
    assert "--a:0.50" in marks.marked("가 나", words_of("가 나", [0.01, 0.0]), "#000")


def test_a_word_of_two_aspects_bears_both_colours():
    text = "배송도 포장도 좋아요"
    pair = [
        marks.Aspect("a", "배송", 0.9, "#111111", "긍정", "#000", [], tuple(words_of(text, [0.5, 0.0, 0.4]))),
        marks.Aspect("b", "포장", 0.8, "#222222", "긍정", "#000", [], tuple(words_of(text, [0.0, 0.5, 0.4]))),
    ]
    shown = marks.many_marked(text, pair)
    assert shown.count("<mark") == 3
    assert shown.count("linear-gradient") == 1
    assert "배송 긍정" in shown


# -- colours ----------------------------------------------------------------------------------------------------------


def test_a_feeling_keeps_its_colour_across_label_sets():
    ea, kote, seven = (look.label_colours(builtin_task(name)) for name in ("nikl-ea", "kote", "aihub-7"))
    assert ea["sadness"] == kote["슬픔"] == seven["슬픔"]
    assert ea["anger"] == kote["화남/분노"] == seven["분노"]
    assert look.label_colours(builtin_task("nsmc"))["긍정"] == look.FAMILIES["긍정"]
    assert set(look.label_colours(builtin_task("kote"))) == set(builtin_task("kote").keys)


def test_aspects_have_colours_of_their_own_and_grades_go_from_red_to_green():
    task = builtin_task("mabsa-laptop")
    colours = look.aspect_colours(task)
    assert len(set(colours.values())) == len(task)
    assert list(look.grade_colours(["-1", "0", "1"]).values()) == [look.GRADES[0], look.GRADES[2], look.GRADES[4]]


# -- charts -----------------------------------------------------------------------------------------------------------


def test_charts_hold_their_rows_and_no_address():
    bars = [charts.Bar("기쁨", 0.7, 0.3, True, "#e0a100"), charts.Bar("슬픔", 0.1, None, False, "#3b82c4")]
    rows = [{"name": "기쁨", "first": 0.5, "second": 0.25}]
    points = [{"threshold": 0.1, "precision": 0.5, "recall": 1.0, "f1": 0.66}]
    made = [
        charts.scores(bars, look.LIGHT),
        charts.pairs(rows, ("A · 'quoted'", "B"), look.DARK, title="F1"),
        charts.curve(points, now=0.2, own=0.3, best=(0.1, 0.66), colours=look.LIGHT),
        charts.counts(
            [{"name": "기쁨", "count": 2, "share": 1.0, "shown": "2", "colour": "#000"}], look.LIGHT, title="n"
        ),
        charts.grades(
            [{"name": "배송", "grade": "좋음", "count": 1, "place": 0}], ["좋음"], {"좋음": "#000"}, title="n"
        ),
    ]
    for chart in made:
        spec = chart.to_dict()
        spec.pop("$schema")
        assert "http" not in json.dumps(spec)


def test_the_number_of_a_bar_stands_clear_of_its_threshold():
    spec = charts.scores(
        [
            charts.Bar("a", 0.17, 0.22, False, "#000"),
            charts.Bar("b", 0.9, 0.3, True, "#000"),
            charts.Bar("c", 0.013, 0.16, False, "#000"),  # on a narrow screen "1.3%" reaches beyond it
        ],
        look.LIGHT,
    )
    ends = {row["name"]: row["end"] for row in spec.data.values}
    assert ends == {"a": 0.22, "b": 0.9, "c": 0.16}


# -- uploads ----------------------------------------------------------------------------------------------------------

CSV = '작성일,리뷰,별점\n2024-01-01,배송이 빨라요,5\n2024-01-02,,1\n2024-01-03,"색이, 달라요",2\n'


def sent(name: str, text: str, encoding: str = "utf-8") -> uploads.Upload:
    return uploads.received(name, text.encode(encoding), "id")


def test_a_cp949_table_is_read_in_memory_and_its_bad_rows_are_listed(monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("an upload was looked for on disk")

    upload = sent("후기.csv", CSV, "cp949")
    monkeypatch.setattr("pathlib.Path.open", refuse)
    seen = uploads.look(upload)
    assert (seen.format, seen.encoding, seen.text) == ("csv", "cp949", "리뷰")
    assert seen.columns == ("작성일", "리뷰", "별점")
    rows = uploads.read_rows(upload, seen, limit=100, columns={"text_column": "리뷰", "target_column": None})
    assert [row.text for row in rows.examples] == ["배송이 빨라요", "색이, 달라요"]
    assert rows.report.rejected == 1
    assert rows.report.refused[0].line == 3
    assert not rows.cut


def test_rows_beyond_the_limit_are_left_and_said_so():
    upload = sent("a.txt", "하나\n둘\n셋\n")
    rows = uploads.read_rows(upload, uploads.look(upload), limit=2)
    assert [row.text for row in rows.examples] == ["하나", "둘"]
    assert rows.cut


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.jsonl", '{"감상": "좋아요", "n": 1}\n{"감상": "싫어요", "n": 2}\n'),
        ("a.csv", "감상,n\n좋아요,1\n싫어요,2\n"),
        ("a.tsv", "감상\tn\n좋아요\t1\n싫어요\t2\n"),
    ],
)
def test_a_column_of_an_unknown_name_is_chosen_by_hand(name, text):
    upload = sent(name, text)
    seen = uploads.look(upload)
    assert seen.text is None
    assert seen.columns == ("감상", "n")
    rows = uploads.read_rows(upload, seen, limit=9, columns={"text_column": "감상"})
    assert [row.text for row in rows.examples] == ["좋아요", "싫어요"]


def test_workbooks_are_read_and_written_in_memory(three):
    proba = np.array([[0.9, 0.1, 0.2], [0.2, 0.8, 0.7]], np.float32)
    rows = (Example("1", "=1+1 좋아요"), Example("2", "싫어요, 정말"))
    found = uploads.Predicted(three, rows, proba, (proba > 0.5).astype(np.uint8), None)
    book = uploads.xlsx_bytes(found.rows(), three)
    seen = uploads.look(uploads.received("a.xlsx", book, "id"))
    assert seen.format == "xlsx"
    assert seen.rows[0]["text"] == "=1+1 좋아요"
    table = uploads.csv_bytes(found.rows([1]), three)
    assert table.startswith(b"\xef\xbb\xbf")
    assert table.decode("utf-8-sig").splitlines()[1].startswith('2,"싫어요, 정말",,')


def test_a_cell_too_long_for_a_workbook_is_refused(three):
    found = uploads.Predicted(
        three, (Example("1", "가" * 40_000),), np.zeros((1, 3), np.float32), np.zeros((1, 3), np.uint8), None
    )
    with pytest.raises(DataError, match="take the csv"):
        uploads.xlsx_bytes(found.rows(), three)


def test_a_workbook_that_unpacks_to_something_huge_is_refused():
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr("xl/worksheets/sheet1.xml", b"0" * 30_000_000)
    with pytest.raises(DataError, match="unpacks to"):
        uploads.received("bomb.xlsx", whole.getvalue(), "id")


@pytest.mark.parametrize("name", ["../../etc/passwd.csv", "C:\\temp\\a.csv", "a/b/c.csv"])
def test_an_upload_cannot_name_a_path(name):
    assert "/" not in uploads.received(name, b"", "id").name
    assert "\\" not in uploads.received(name, b"", "id").name


def test_a_file_that_is_no_data_says_so():
    with pytest.raises(MaeumError):
        uploads.look(uploads.received("a.xlsx", b"\x00\x01 not a workbook", "id"))


# -- labelled rows ----------------------------------------------------------------------------------------------------


def scored_rows(task: Task, thresholds: tuple[float, ...], seed: int = 0, n: int = 60) -> Scored:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, (n, len(task))).astype(np.uint8)
    proba = np.clip(y * 0.4 + np.random.default_rng(seed + 1).random((n, len(task))) * 0.6, 0, 1).astype(np.float32)
    data = Dataset(
        task, [Example(str(i), f"글 {i}", labels=task.decode(row)) for i, row in enumerate(y)], source="made up"
    )
    return Scored(data, task, proba, Thresholds(task.keys, thresholds), "m")


def test_comparing_agrees_with_the_metrics(three):
    first, second = scored_rows(three, (0.5, 0.5, 0.5)), scored_rows(three, (0.1, 0.9, 0.5))
    found = labelled.compare(first, second)
    expected = counts(first.data.y, second.thresholds.decide(second.proba))
    np.testing.assert_allclose(found.f1[1], expected.f1)
    assert found.gaps["micro_f1"].after == pytest.approx(float(expected.pooled().f1))
    assert found.mapped == (False, False)
    assert (found.right[0] == (found.decided[0] == found.data.y).all(1)).all()


def test_a_model_of_another_label_set_is_compared_in_the_labels_of_the_rows():
    ea, seven = builtin_task("nikl-ea"), builtin_task("aihub-7")
    first = scored_rows(ea, (0.5,) * 8)
    rng = np.random.default_rng(2)
    proba = rng.random((len(first.data), 7)).astype(np.float32)
    other = Scored(first.data, seven, proba / proba.sum(1, keepdims=True), Thresholds.default(seven), "other")
    found = labelled.compare(first, other)
    assert found.mapped == (False, True)
    assert found.decided[1].shape == (len(first.data), 8)


def test_the_bench_finds_the_best_threshold_and_follows_a_move(three):
    bench = labelled.Bench.on(scored_rows(three, (0.5, 0.5, 0.5)))
    best, f1 = bench.best(0)
    rule = bench.scored.thresholds
    moved = rule.replaced({three.keys[0]: best}, three)
    assert bench.table(moved)[0]["f1"] == pytest.approx(f1, abs=1e-6)
    assert bench.table(moved)[0]["f1"] >= bench.table(rule)[0]["f1"]
    assert bench.table(moved)[1] == bench.table(rule)[1]
    assert bench.metrics(moved)["macro_f1"] >= bench.metrics(rule)["macro_f1"]
    points = bench.points(0)
    assert len(points) <= labelled.POINTS + 1
    for value in (0.05, 0.31, 0.62, 0.97):  # the step that is drawn at a threshold is what the rule gives there
        drawn = next(p for p in points if p["threshold"] >= value)
        assert drawn["f1"] == pytest.approx(bench.table(rule.replaced({three.keys[0]: value}, three))[0]["f1"])
    assert [p["threshold"] for p in points] == sorted(p["threshold"] for p in points)


def test_the_bench_refuses_rows_of_another_task(three):
    scored = scored_rows(builtin_task("nikl-ea"), (0.5,) * 8)
    other = Scored(scored.data, three, np.zeros((60, 3), np.float32), Thresholds.default(three), "m")
    with pytest.raises(MaeumError, match="model's own task"):
        labelled.Bench.on(other)


def test_an_upload_without_labels_says_which_column_to_check(three):
    with pytest.raises(UsageError, match="column of the labels"):
        labelled.rows_of_upload(sent("a.csv", "text\n좋아요\n"), three, 10, {"text_column": "text"})


# -- settings, pages, language ----------------------------------------------------------------------------------------


def test_settings_travel_through_the_environment(monkeypatch):
    settings = Settings(models=("가", "나"), allow_save=True, max_mb=3, language="en")
    monkeypatch.setenv("MAEUM_UI", settings.to_json())
    assert Settings.current() == settings
    monkeypatch.delenv("MAEUM_UI")
    assert Settings.current() == Settings()


def test_streamlit_neither_phones_home_nor_opens_a_browser_of_its_own():
    flags = streamlit_flags(Settings(), host="127.0.0.1", port=8501, debug=False)
    assert {"--browser.gatherUsageStats=false", "--server.headless=true", "--server.address=127.0.0.1"} <= set(flags)
    assert "--client.showErrorDetails=none" in flags
    assert not any("http" in flag for flag in flags)


def test_every_page_of_the_table_can_be_drawn():
    assert [page.name for page in PAGES] == [
        "sentence",
        "reviews",
        "files",
        "compare",
        "thresholds",
        "sampling",
        "labelling",
        "auditing",
    ]
    assert all(callable(page.show) for page in PAGES)


def test_a_session_speaks_its_own_language():
    heard: dict[str, str] = {}

    def session(name: str) -> None:
        speak(name)  # type: ignore[arg-type]
        heard[name] = say("가", "a") + language()

    threads = [threading.Thread(target=session, args=(name,)) for name in ("ko", "en")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heard == {"ko": "가ko", "en": "aen"}
    assert language() == "en"  # of this thread, which nobody told


# -- the command ------------------------------------------------------------------------------------------------------


def test_ui_refuses_a_folder_that_is_no_model_and_a_taken_port(tmp_path, sample_model):
    import socket

    assert "no model folder" in failed(1, "ui", "nowhere", cwd=tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert "--port" in failed(1, "ui", sample_model("nikl-ea"), "--port", port, cwd=tmp_path)


def test_thresholds_of_the_workbench_go_back_into_a_model_folder(tmp_path, sample_model):
    import shutil

    import maeum as package

    folder = tmp_path / "model"
    shutil.copytree(sample_model("nikl-ea"), folder)
    own = package.load(folder)
    rule = own.thresholds.replaced({"joy": 0.25}, own.task)
    (tmp_path / "thresholds.json").write_text(json.dumps(rule.to_dict()), encoding="utf-8")
    assert maeum("thresholds", folder, "--from", "thresholds.json", cwd=tmp_path).returncode == 0
    assert package.load(folder).thresholds == rule
    other = Thresholds(("a",), (0.5,))
    (tmp_path / "thresholds.json").write_text(json.dumps(other.to_dict()), encoding="utf-8")
    assert "not for the labels" in failed(1, "thresholds", folder, "--from", "thresholds.json", cwd=tmp_path)
    said = failed(1, "thresholds", folder, "--from", "thresholds.json", "--set", "joy=0.2", cwd=tmp_path)
    assert "neither with --set" in said


def test_labels_that_nobody_mapped_get_colours_too():
    own = Task("own", "multilabel", (Label("a"), Label("b")))
    assert len(set(look.label_colours(own).values())) == 2


def test_streamlit_is_run_with_our_flags_and_uploads_stay_in_memory(tmp_path, sample_model, monkeypatch):
    from starlette.formparsers import MultiPartParser
    from streamlit.web import cli

    ran: list[list[str]] = []
    monkeypatch.setattr(cli, "main", lambda words, standalone_mode: ran.append(words))
    monkeypatch.setattr(MultiPartParser, "spool_max_size", 1)
    monkeypatch.setenv("MAEUM_UI", "")
    model = sample_model("nikl-ea")
    done = maeum("ui", model, "--no-browser", "--port", "8765", "--max-mb", "7", "--allow-save", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "http://127.0.0.1:8765" in done.stderr
    assert {"--server.port=8765", "--server.address=127.0.0.1", "--server.maxUploadSize=7"} <= set(ran[0])
    assert MultiPartParser.spool_max_size > 7 << 20
    assert Settings.current() == Settings(models=(str(model),), allow_save=True, max_mb=7, language="en")
