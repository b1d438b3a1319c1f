"""The labelling page without a browser: what it gives the board, what it does with an outbox, which files it opens."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("streamlit")
from streamlit.testing.v1 import AppTest

from maeum._lang import set_language
from maeum.annotating import Desk, create_desk
from maeum.apps.ui.settings import VARIABLE, Settings
from maeum.apps.ui.views.labelling_board import board_data
from maeum.apps.ui.views.labelling_files import desks, file_name
from maeum.data import Example, Target
from maeum.errors import UsageError
from maeum.task import builtin_task

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
    pytest.mark.usefixtures("own_main_module"),
]
ROWS = [
    Example("하나", "고양이가 문을 열었다", Target("문을", 5, 7)),
    Example("둘", "<b>비</b>가 왔다", meta={"sample": {"won": "threshold", "criteria": {"threshold": {"at": "joy"}}}}),
    Example("셋", "버스를 놓쳤다", meta={"sample": "남의 것"}),
]


@pytest.fixture
def desk(tmp_path):
    create_desk(tmp_path / "a.sqlite", builtin_task("nikl-ea"), ROWS)
    with Desk(tmp_path / "a.sqlite") as opened:
        yield opened


def item(token: str, at: int, labels: list[str] | None, *, seen: str = "", kind: str = "save") -> dict[str, object]:
    answer = None if labels is None else {"labels": labels}
    return {"token": token, "kind": kind, "at": at, "answer": answer, "note": "", "seen": seen}


def test_the_board_gets_rows_labels_and_reasons(desk):
    data = board_data(desk, "지은", None)
    first, second, third = data["queue"]
    assert (first["before"], first["target"], first["after"]) == ("고양이가 ", "문을", " 열었다")
    assert [row["why"] for row in (first, second, third)] == ["", "near a threshold(joy)", ""]
    assert [label["name"] for label in data["labels"]][:2] == ["joy", "anticipation"]
    assert all(label["note"] for label in data["labels"])
    assert data["results"] == []


def test_an_outbox_is_done_once_however_often_it_comes(desk):
    outbox = {"turn": 1, "items": [item("a", 0, ["joy"]), item("b", 1, None, kind="skip"), item("c", 2, [])]}
    for _ in range(2):
        data = board_data(desk, "지은", outbox)
        assert [result["kept"] for result in data["results"]] == [True, True, True]
        assert data["answered"] == 1
        assert (data["progress"]["done"], data["progress"]["left"]) == (2, 1)
        assert [row["at"] for row in data["queue"]] == [1]
        assert [row["at"] for row in data["recent"]] == [0, 2]


def test_a_refusal_carries_the_newer_answer_and_an_impossible_one_a_sentence(desk):
    desk.save("지은", 0, {"labels": ["joy"]}, seen="", token="other window")
    items = [item("a", 0, ["anger"]), item("b", 9, ["joy"]), item("c", 1, ["설렘"])]
    refused, no_row, no_label = board_data(desk, "지은", {"turn": 1, "items": items})["results"]
    assert not refused["kept"]
    assert refused["row"]["own"]["answer"] == {"labels": ["joy"]}
    assert "no row 9" in no_row["error"]
    assert "no such answer" in no_label["error"]


def test_what_others_said_is_shown_only_with_ones_own_answer(desk):
    desk.save("민호", 0, {"labels": ["fear"]}, seen="", token="m")
    before = board_data(desk, "지은", None)
    assert "fear" not in str(before["queue"])
    assert before["recent"] == []
    after = board_data(desk, "지은", {"turn": 1, "items": [item("a", 0, ["fear"])]})
    assert [(said["who"], said["answer"]) for said in after["recent"][0]["others"]] == [("민호", {"labels": ["fear"]})]
    assert after["progress"]["shared"] == {"민호": [1, 1]}


@pytest.mark.parametrize(
    ("typed", "name"),
    [("7월", "7월.sqlite"), ("a.sqlite", "a.sqlite"), ("../../밖", "밖.sqlite"), ("c:\\x\\y", "y.sqlite"), ("..가/..", None), ("/", None)],
)  # fmt: skip
def test_a_new_file_cannot_lead_out_of_the_folder(typed, name):
    if name is None:
        with pytest.raises(UsageError):
            file_name(typed)
    else:
        assert file_name(typed) == name


def test_only_labelling_files_of_the_folder_itself_are_listed(tmp_path):
    task = builtin_task("nsmc")
    for place in ("a.sqlite", "b.db", "안/c.sqlite"):
        create_desk(tmp_path / place, task, ROWS)
    (tmp_path / "d.sqlite").write_text("글", encoding="utf-8")
    assert list(desks(tmp_path)) == ["a.sqlite"]
    assert desks(tmp_path / "없음") == {}


# -- the page -----------------------------------------------------------------------------------------------


def draw() -> None:
    from maeum.apps.ui.frame import one
    from maeum.apps.ui.views import PAGES

    one(next(page for page in PAGES if page.name == "labelling"))


@pytest.fixture
def page(monkeypatch, sample_model):
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])

    def opened(folder: Path | None, **asked: str) -> AppTest:
        models = (str(sample_model("nikl-ea")),)
        own = Settings(models=models, language="en", folder=None if folder is None else str(folder))
        monkeypatch.setenv(VARIABLE, own.to_json())
        app = AppTest.from_function(draw, default_timeout=60)
        for key, value in asked.items():
            app.query_params[key] = value
        app.run()
        assert not app.exception
        return app

    yield opened
    set_language(None)


def html(app: AppTest) -> str:
    return "\n".join(found.value for found in app.html)


def test_without_a_folder_the_page_says_how_to_get_one(page):
    assert "maeum ui --folder" in html(page(None))


def test_a_path_in_the_address_opens_nothing(page, tmp_path):
    inside = tmp_path / "작업"
    create_desk(inside / "a.sqlite", builtin_task("nsmc"), ROWS)
    create_desk(tmp_path / "b.sqlite", builtin_task("nsmc"), ROWS)
    for asked in ("../b.sqlite", str(tmp_path / "b.sqlite")):
        app = page(inside, desk=asked, annotator="지은")
        assert [box.options for box in app.selectbox if box.key == "labelling_file"] == [["a.sqlite"]]


def test_a_name_is_asked_for_and_checked(page, tmp_path):
    create_desk(tmp_path / "a.sqlite", builtin_task("nsmc"), ROWS)
    app = page(tmp_path)
    next(button for button in app.button if button.label == "Start").click()
    app.run()
    assert "visible characters" in app.error[0].value
