"""The audit page in this process: decisions by button, filters, two people at once, downloads, a new audit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("streamlit")
from audit_kit import reviews, sides, with_chewy_as_stretch
from page_kit import html, sound
from page_kit import opened as drawn
from streamlit.testing.v1 import AppTest

from maeum._lang import set_language
from maeum.apps.ui import audits
from maeum.apps.ui.settings import VARIABLE
from maeum.apps.ui.settings import Settings as UiSettings
from maeum.auditing import Settings, apply, audit, read_decisions, write
from maeum.auditing.desk import Desk
from maeum.auditing.desk_file import DESK
from maeum.errors import UsageError
from maeum.formats import read
from maeum.formats.jsonl import json_line

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
    pytest.mark.usefixtures("own_main_module"),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with one audit and its rows."""
    data = with_chewy_as_stretch(reviews(120), share=0.4)[0]
    place = tmp_path_factory.mktemp("made") / "후기"
    write(audit(data, settings=Settings(top=12)), place, rows=data)
    return place


@pytest.fixture
def work(made, tmp_path) -> Path:
    """A copy of it for one test."""
    import shutil

    shutil.copytree(made, tmp_path / "work" / "후기")
    return tmp_path / "work"


@pytest.fixture
def page(monkeypatch, sample_model):
    """``page(folder)``: the audit page as a new visitor sees it, in English."""

    def opened(folder: Path | None) -> AppTest:
        settings = UiSettings(
            models=(str(sample_model("nikl-ea")),), language="en", folder=None if folder is None else str(folder)
        )
        monkeypatch.setenv(VARIABLE, settings.to_json())
        return drawn("auditing")

    yield opened
    set_language(None)


def named(app: AppTest, who: str = "Minji") -> AppTest:
    app.text_input(key="auditing_who").input(who)
    return sound(app.button(key="auditing_start").click().run())


def press(app: AppTest, word: str) -> AppTest:
    """The button of a decision, whichever line it is for."""
    return (
        app.button(key=next(b.key for b in app.button if (b.key or "").startswith(f"auditing_{word}_"))).click().run()
    )


def rulings(work: Path) -> dict[tuple[str, str], str]:
    with Desk(work / "후기" / DESK) as desk:
        return {key: ruling.word for key, ruling in desk.rulings().items()}


def test_without_a_folder_it_says_how_to_get_one(page):
    app = sound(page(None))
    assert "maeum ui --folder" in html(app)
    assert not app.selectbox


def test_a_line_shows_text_words_labels_probabilities_and_guidelines(page, work):
    app = sound(page(work))
    shown = html(app)
    with Desk(work / "후기" / DESK) as desk:
        first = desk.entries()[0]
    assert "<mark " in shown
    assert first.reason.split("(")[0] in shown
    assert 'class="mm-bars"' in shown
    assert f"{first.said.scores[first.label]:.0%}" in shown
    assert "튼튼함. 쫀쫀하다는 말은 여기" in shown
    assert "0 of " in shown


def test_nobody_decides_without_a_name(page, work):
    app = sound(page(work))
    words = [b for b in app.button if (b.key or "").startswith(("auditing_keep_", "auditing_fix_", "auditing_drop_"))]
    assert len(words) == 3
    assert all(button.disabled for button in words)
    app = named(app)
    assert not next(b for b in app.button if (b.key or "").startswith("auditing_fix_")).disabled


def test_each_decision_is_saved_at_once_and_the_next_line_follows(page, work):
    app = named(page(work))
    for decided, word in enumerate(("keep", "fix", "unsure"), start=1):
        before = html(app)
        app = sound(press(app, word))
        assert html(app) != before
        assert len(rulings(work)) == decided
    assert sorted(rulings(work).values()) == ["fix", "keep", "unsure"]
    app = sound(app.button(key="auditing_undo").click().run())
    assert sorted(rulings(work).values()) == ["fix", "keep"]
    assert "2 of " in html(sound(page(work)))  # another visit: what was decided is not asked again


def test_a_decision_of_somebody_else_is_shown_and_not_overwritten(page, work):
    app = named(page(work))
    with Desk(work / "후기" / DESK) as desk:
        desk.decide(1, "drop", who="Junho", seen=0)
        key = (desk.entries()[0].example.id, desk.entries()[0].label)
    app = press(app, "fix")
    assert not app.exception
    assert "Junho decided about this row after it was shown" in app.warning[0].value
    assert rulings(work)[key] == "drop"
    assert "Junho" in html(app)
    app = sound(press(app, "fix"))  # seen now, and meant
    assert rulings(work)[key] == "fix"


def test_the_labels_of_a_row_can_be_edited(page, work):
    app = named(page(work))
    app = sound(press(app, "edit"))
    with Desk(work / "후기" / DESK) as desk:
        example, task = desk.entries()[0].example, desk.task
    for label in (*example.labels, "배송"):  # away with what it has
        app = sound(
            app.button(key=next(b.key for b in app.button if (b.key or "").endswith(f"_on_{label}"))).click().run()
        )
    app = sound(app.button(key=next(b.key for b in app.button if (b.key or "").endswith("_save"))).click().run())
    data = read(work / "후기" / "data.jsonl", task=task)
    done = apply(data, read_decisions(work / "후기" / DESK, data).decisions)
    assert next(row for row in done.data if row.id == example.id).labels == ("배송",)


def test_filters_choose_the_lines_to_go_through(page, work):
    app = named(page(work))
    with Desk(work / "후기" / DESK) as desk:
        entries, stamp = desk.entries(), desk.about["made"]
    missing = sum(entry.kind == "missing" for entry in entries)
    app = sound(app.selectbox(key=f"auditing_kind_{stamp}_en").set_value("missing").run())
    assert f"1 / {missing}<" in html(app)
    app = sound(app.selectbox(key=f"auditing_kind_{stamp}_en").set_value("").run())
    state = next(group for group in app.button_group if group.label == "State")
    app = sound(state.set_value("done").run())
    assert "No line fits" in html(app)


def test_the_corrected_data_are_those_of_the_command_line(page, work):
    app = named(page(work))
    for word in ("fix", "keep", "drop"):
        app = sound(press(app, word))
    app.session_state["auditing_tab_en"] = "Results"
    app = sound(app.run())
    app = sound(app.button(key="auditing_apply").click().run())
    assert [item.label for item in app.get("download_button")] == [
        "Download decisions (xlsx)",
        "Corrected data (JSONL)",
        "Changelog",
    ]
    place = work / "후기"
    data = read(place / "data.jsonl", task=audits.opened(place / DESK).task)
    found = audits.correct(place / DESK, data)
    done = apply(data, read_decisions(place / DESK, data).decisions)
    assert found.rows.decode() == "".join(json_line(row) + "\n" for row in done.data)
    changes = [json.loads(line) for line in found.changes.decode().splitlines()]
    assert [change["decision"] for change in changes] == [
        d.decision for d in read_decisions(place / DESK, data).decisions
    ]
    assert {change["who"] for change in changes} == {"Minji"}
    (work / "list.xlsx").write_bytes(audits.workbook(place / DESK))
    assert read_decisions(work / "list.xlsx", data).decisions == read_decisions(place / DESK, data).decisions


def test_an_uploaded_file_is_audited_and_opened(page, tmp_path):
    app = sound(page(tmp_path / "new"))
    data, _ = sides(80, wrong=6)
    rows = "리뷰,라벨\n" + "".join(f"{row.text},{row.labels[0]}\n" for row in data)
    app.file_uploader(key="auditing_upload").upload("고객 의견.csv", rows.encode("cp949"), "text/csv").run()
    sound(app)
    assert "cp949" in html(app)
    app = sound(app.button(key="auditing_go").click().run())
    place = tmp_path / "new" / "고객 의견"
    assert sorted(path.name for path in place.iterdir()) == [
        "audit.json",
        "data.jsonl",
        "decisions.sqlite",
        "report.html",
        "worklist.xlsx",
    ]
    assert app.selectbox(key="auditing_name").value == "고객 의견"
    assert 'class="mm-bars"' in html(app)
    assert len(read(place / "data.jsonl", task=audits.opened(place / DESK).task)) == 80


@pytest.mark.parametrize("typed", ["../위로", "/etc/passwd", "..", "a/b\\c", "이름\u0000"])
def test_a_typed_name_stays_in_the_folder(typed, tmp_path):
    try:
        name = audits.safe_name(typed)
    except UsageError:
        return
    assert (tmp_path / name).parent == tmp_path
    assert (tmp_path / name).resolve().parent == tmp_path.resolve()
    assert not name.startswith(".")


def test_the_other_language_has_no_word_of_the_first(page, work):
    app = sound(page(work))
    app = sound(app.segmented_control(key="language").set_value("ko").run())
    shown = html(app)
    assert "개 정함" in shown
    assert "decided" not in shown
