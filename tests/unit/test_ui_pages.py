"""Every page of the web app with a tiny linear model, in this process (Streamlit's own test driver)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("streamlit")
from page_kit import PATIENCE, html, sound
from page_kit import opened as drawn
from streamlit.testing.v1 import AppTest

from maeum._lang import set_language
from maeum.apps.ui.settings import SCRIPT, VARIABLE, Settings

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
    pytest.mark.usefixtures("own_main_module"),
]


@pytest.fixture
def page(monkeypatch, sample_model):
    """``page("files", model…)``: a page that was drawn once, in English."""

    def opened(name: str, *models: Path, **settings: object) -> AppTest:
        folders = tuple(str(model) for model in models) or (str(sample_model("nikl-ea")),)
        monkeypatch.setenv(VARIABLE, Settings(models=folders, language="en", **settings).to_json())
        return drawn(name)

    yield opened
    set_language(None)


def test_the_app_opens_on_the_first_page(monkeypatch, sample_model):
    monkeypatch.setenv(VARIABLE, Settings(models=(str(sample_model("nikl-ea")),), language="ko").to_json())
    app = sound(AppTest.from_file(str(SCRIPT), default_timeout=PATIENCE).run())
    assert "한 문장" in html(app)
    assert "아직 문장이 없습니다" in html(app)


def test_a_sentence_gets_labels_bars_and_marked_words(page):
    app = page("sentence")
    app.text_area(key="sentence_text").input("드디어 표를 구했다 <b>정말</b> 신난다")
    app.text_input(key="sentence_target").input("표")
    next(button for button in app.button if button.label == "Analyze").click()
    sound(app.run())
    shown = html(app)
    assert 'class="mm-chip"' in shown
    assert "<mark " in shown
    assert "&lt;b&gt;" in shown
    assert "<b>정말" not in shown
    label = next(box for box in app.selectbox if "Evidence" in box.label)
    assert len(label.options) == 8
    sound(label.select_index(7).run())


def test_the_embedded_model_has_a_tab_for_each_head_and_can_show_all_44_labels(page):
    app = page("sentence", Path("mini"))
    app.button(key="sentence_example_2").click()
    sound(app.run())
    assert [tab.label.rsplit(" ")[-1] for tab in app.tabs] == ["nikl-ea", "kote", "goemotions", "nsmc"]
    assert "고마웠어요" in html(app)
    app.session_state["sentence_head_en"] = app.tabs[1].label  # only the open tab is drawn
    app.run()
    sound(app.toggle(key="sentence_kote_all").set_value(True).run())
    assert len(next(box for box in app.selectbox if "Evidence" in box.label).options) == 44


def test_a_target_that_does_not_occur_is_a_sentence_not_a_traceback(page):
    app = page("sentence")
    app.text_area(key="sentence_text").input("영화가 좋았다")
    app.text_input(key="sentence_target").input("배우")
    next(button for button in app.button if button.label == "Analyze").click()
    app.run()
    assert not app.exception
    assert "does not occur" in app.error[0].value


def test_the_language_switch_changes_every_word(page):
    app = page("sentence")
    assert "No sentence yet" in html(app)
    app.segmented_control(key="language").set_value("ko").run()
    assert "아직 문장이 없습니다" in html(sound(app))


def test_reviews_without_a_review_model_offer_to_train_one(page):
    app = sound(page("reviews"))
    assert "knows no aspects" in html(app)
    assert app.button(key="reviews_train")


@pytest.mark.slow
def test_a_review_model_shows_aspects_grades_and_words(page, sample_model):
    app = page("reviews", sample_model("fashion"))
    app.text_area(key="reviews_text").input("배송은 빨랐는데 실밥이 너무 많이 풀려 있어요\n\n색이 예뻐요")
    next(button for button in app.button if button.label == "Analyze").click()
    shown = html(sound(app.run()))
    assert 'class="mm-aspect"' in shown
    assert 'class="mm-grade"' in shown
    assert "--a:" in shown


def test_a_file_is_analyzed_filtered_and_offered(page):
    app = page("files")
    assert "No file yet" in html(app)
    rows = "작성일,리뷰\n" + "".join(
        f"2024-01-0{n % 9 + 1},{text} {n}\n" for n, text in enumerate(["정말 기뻐요", "무서웠다"] * 8)
    )
    app.file_uploader(key="files_upload").upload("후기.csv", (rows + "2024-02-02,\n").encode("cp949"), "text/csv").run()
    sound(app)
    assert "cp949" in html(app)
    assert app.button(key="files_go").label == "Analyze this file"
    sound(app.button(key="files_go").click().run())
    shown = html(app)
    assert ">16<" in shown
    assert any("1 rows could not be read" in item.label for item in app.expander)
    assert [item.label for item in app.get("download_button")] == ["Download CSV (16 rows)", "Download xlsx"]
    sound(app.text_input(key="files_search").input("무서").run())
    assert "8 / 16 rows" in html(app)


def test_a_file_that_is_no_data_is_said_in_a_sentence(page):
    app = page("files")
    app.file_uploader(key="files_upload").upload("a.xlsx", b"nothing", "application/x").run()
    assert not app.exception
    assert "workbook" in app.error[0].value


def test_comparing_needs_two_models_and_then_finds_where_they_part(page, sample_model, tmp_path):
    assert "only one model" in html(sound(page("compare")))
    import maeum

    model = maeum.load(sample_model("nikl-ea"))
    strict = model.thresholds.replaced(dict.fromkeys(model.task.keys, 0.6), model.task)
    other = maeum.Analyzer(model.predictor, prep=model.prep, calibration=model.calibration, thresholds=strict)
    maeum.save(other, tmp_path / "strict")
    app = page("compare", sample_model("nikl-ea"), tmp_path / "strict")
    sound(app.text_input(key="compare_text").input("드디어 표를 구했다 신난다").run())
    assert "part on" in html(app) or "same labels" in html(app)


def test_moving_a_threshold_moves_the_scores_and_the_file(page):
    app = sound(page("thresholds"))
    before = html(app)
    slider = app.slider[0]
    sound(slider.set_value(0.9).run())
    after = html(app)
    assert before != after
    assert 'class="down"' in after or 'class="up"' in after
    app.button(key="thresholds_back").click().run()
    assert 'class="down"' not in html(sound(app))


@pytest.mark.slow
def test_saving_into_the_folder_only_where_it_was_allowed(page, sample_model, tmp_path):
    import shutil

    import maeum

    folder = tmp_path / "model"
    shutil.copytree(sample_model("nikl-ea"), folder)
    app = page("thresholds", folder)
    assert not [button for button in app.button if button.key == "thresholds_save"]
    app = page("thresholds", folder, allow_save=True)
    app.slider[0].set_value(0.9).run()
    sound(app.button(key="thresholds_save").click().run())
    assert maeum.load(folder).thresholds.values[0] == pytest.approx(0.9, abs=1e-6)
    assert json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["model"] == "linear"


def test_an_error_nobody_foresaw_quotes_no_text(page, monkeypatch):
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("비밀 문장")

    monkeypatch.setattr("maeum.apps.ui.state.analyses", broken)
    app = page("sentence")
    app.text_area(key="sentence_text").input("비밀 문장")
    next(button for button in app.button if button.label == "Analyze").click()
    app.run()
    assert not app.exception
    assert "RuntimeError" in app.error[0].value
    assert "비밀" not in app.error[0].value
