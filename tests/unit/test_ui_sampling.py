"""The sampling page in this process: files of several kinds, the same rows as ``maeum sample``, on to a labelling file."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

pytest.importorskip("streamlit")
from page_kit import html, sound
from page_kit import opened as drawn
from streamlit.testing.v1 import AppTest

import maeum
from maeum._lang import set_language
from maeum.annotating.desk import Desk
from maeum.apps.ui import sampled
from maeum.apps.ui.settings import VARIABLE, Settings
from maeum.apps.ui.state import Model
from maeum.apps.ui.uploads import look, received
from maeum.data import Example
from maeum.formats import write
from maeum.sampling import Pool, SampleSettings, sample, write_sample

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
    pytest.mark.usefixtures("own_main_module"),
]
THINGS = ("배송이", "포장이", "색감이", "화면이", "결말이")
SAID = ("정말 마음에 들어요", "너무 실망스러워요", "그저 그래요", "눈물이 났어요", "무서웠어요", "화가 나요")
TEXTS = [f"{thing} {said}" for thing in THINGS for said in SAID]
ROWS = [(text, "가" if number % 3 else "나") for number, text in enumerate(TEXTS)]


@pytest.fixture
def page(monkeypatch, sample_model):
    """``page(folder)``: the sampling page as a new visitor sees it, in English."""

    def opened(folder: Path | None = None, name: str = "sampling") -> AppTest:
        settings = Settings(
            models=(str(sample_model("nikl-ea")),), language="en", folder=None if folder is None else str(folder)
        )
        monkeypatch.setenv(VARIABLE, settings.to_json())
        return drawn(name)

    yield opened
    set_language(None)


def csv() -> bytes:
    return ("리뷰,몰\n" + "".join(f"{text},{mall}\n" for text, mall in ROWS)).encode("cp949")


def table(kind: str, tmp_path: Path) -> bytes:
    rows = [Example(f"r{n}", text, meta={"mall": mall}) for n, (text, mall) in enumerate(ROWS)]
    write(rows, tmp_path / f"pool.{kind}")
    return (tmp_path / f"pool.{kind}").read_bytes()


def picked(app: AppTest) -> AppTest:
    app.number_input(key="sampling_n").set_value(8)
    return sound(app.button(key="sampling_go").click().run())


def test_rows_are_picked_with_their_reasons_and_offered(page):
    app = sound(page())
    assert "No file yet" in html(app)
    app.file_uploader(key="sampling_upload").upload("후기.csv", csv() + ",가\n".encode("cp949"), "text/csv").run()
    assert "cp949" in html(sound(app))
    app = picked(app)
    shown = html(app)
    assert ">8<" in shown
    assert any("1 rows could not be read" in item.label for item in app.expander)
    rows = app.dataframe[-1].value
    assert list(rows["no."]) == list(range(1, 9))
    assert set(rows["text"]) <= set(TEXTS)
    assert sum("by chance" in why for why in rows["why"]) == 1  # a tenth of 8
    assert all("near a threshold" in " ".join(why) or "by chance" in why for why in rows["why"])
    assert [item.label for item in app.get("download_button")] == ["Download JSONL", "Download xlsx"]
    assert "maeum ui --folder" in shown
    assert "Not used: rare words" in shown


@pytest.mark.parametrize("kind", ["xlsx", "jsonl", "parquet", "csv"])
def test_every_kind_of_file_gives_the_same_rows(kind, sample_model, tmp_path):
    upload = received(f"pool.{kind}", table(kind, tmp_path), "1")
    task = maeum.load(sample_model("nikl-ea")).task
    pool = sampled.UploadPool(upload, look(upload), task, ("mall",), {}, limit=100)
    rows = list(pool.rows(first=True))
    assert [(row.text, group) for row, group in rows] == [(text, (mall,)) for text, mall in ROWS]


def test_a_parquet_file_on_the_page(page, tmp_path):
    app = page()
    app.file_uploader(key="sampling_upload").upload("pool.parquet", table("parquet", tmp_path), "application/x").run()
    assert len(picked(sound(app)).dataframe[-1].value) == 8


def test_training_texts_are_left_out_and_two_more_criteria_told(page):
    app = page()
    app.file_uploader(key="sampling_upload").upload("후기.csv", csv(), "text/csv").run()
    assert app.slider(key="sampling_weight_rare").disabled
    known = TEXTS[:20]
    train = ("리뷰\n" + "".join(f"{text}\n" for text in known)).encode()
    app.file_uploader(key="sampling_train").upload("학습.csv", train, "text/csv").run()
    assert not app.slider(key="sampling_weight_rare").disabled
    app = picked(app)
    assert not set(app.dataframe[-1].value["text"]) & set(known)
    assert ">20<" in html(app)
    assert "Not used: rare words" not in html(app)


def test_shares_of_a_column_are_kept(page):
    app = page()
    app.file_uploader(key="sampling_upload").upload("후기.csv", csv(), "text/csv").run()
    stratify = next(box for box in app.multiselect if "proportions" in box.label)
    assert stratify.options == ["몰"]
    stratify.set_value(["몰"])
    app.number_input(key="sampling_n").set_value(9)
    app = sound(app.button(key="sampling_go").click().run())
    assert "By group: 가 6, 나 3" in html(app)


def test_weights_change_what_is_picked_and_nothing_left_is_an_error(page):
    app = page()
    app.file_uploader(key="sampling_upload").upload("후기.csv", csv(), "text/csv").run()
    app.slider(key="sampling_weight_threshold").set_value(0.0).run()
    app.button(key="sampling_go").click().run()
    assert not app.exception
    assert "no criterion" in app.error[0].value


def test_what_was_picked_stays_when_settings_change(page):
    app = page()
    app.file_uploader(key="sampling_upload").upload("후기.csv", csv(), "text/csv").run()
    app = picked(app)
    app = sound(app.number_input(key="sampling_n").set_value(5).run())
    assert "settings have changed" in html(app)
    assert len(app.dataframe[-1].value) == 8


def test_the_downloads_are_what_the_command_writes(sample_model, tmp_path):
    upload = received("후기.csv", csv(), "1")
    seen = look(upload)
    folder = sample_model("nikl-ea")
    model = Model(str(folder), {"nikl-ea": maeum.load(folder)}, (), folder)
    settings = SampleSettings(n=6, stratify=("몰",), batch_size=sampled.BATCH)
    task = model.heads["nikl-ea"].task
    pool = sampled.UploadPool(upload, seen, task, ("몰",), {"text_column": "리뷰"}, limit=100)
    ticks: list[int] = []
    found = sampled.draw(model, "nikl-ea", pool, settings, train=None, tick=ticks.append)
    assert ticks == [30]
    (tmp_path / "후기.csv").write_bytes(csv())
    same = sample(model.heads["nikl-ea"], Pool(str(tmp_path / "후기.csv"), task, ("몰",)), settings, model=folder)
    assert [row.text for row in found.rows] == [row.text for row in same.rows]
    write_sample(found.rows, tmp_path / "a.jsonl")
    assert sampled.jsonl(found.rows) == (tmp_path / "a.jsonl").read_bytes()
    write_sample(found.rows, tmp_path / "a.xlsx")
    (tmp_path / "b.xlsx").write_bytes(sampled.xlsx(found.rows))
    assert cells(tmp_path / "a.xlsx") == cells(tmp_path / "b.xlsx")


def cells(path: Path) -> list[list[object]]:
    import python_calamine

    book = python_calamine.load_workbook(io.BytesIO(path.read_bytes()))
    return [list(row) for row in book.get_sheet_by_index(0).iter_rows()]


def test_a_long_pool_is_cut_and_says_so(sample_model):
    folder = sample_model("nikl-ea")
    upload = received("후기.csv", csv(), "1")
    task = maeum.load(folder).task
    pool = sampled.UploadPool(upload, look(upload), task, (), {"text_column": "리뷰"}, limit=10)
    assert [row.text for row, _ in pool.rows(first=True)] == TEXTS[:10]
    assert pool.cut
    assert len(list(pool.rows(first=False))) == 10


def test_picked_rows_become_a_labelling_file(page, tmp_path):
    app = page(tmp_path)
    app.file_uploader(key="sampling_upload").upload("후기.csv", csv(), "text/csv").run()
    app = picked(app)
    app.toggle(key="sampling_suggest").set_value(True)
    app = sound(app.button(key="sampling_over").click().run())
    assert "'후기.sqlite' is made" in app.success[0].value
    with Desk(tmp_path / "후기.sqlite") as desk:
        rows = desk.examples()
    assert [row.text for row in rows] == list(app.dataframe[-1].value["text"])
    assert all(row.meta["sample"]["picked"] in ("score", "random") for row in rows)
    app = app.button(key="sampling_over").click().run()
    assert not app.exception
    assert "already" in app.error[0].value


def test_an_upload_is_kept_until_it_is_taken_away(page):
    """Streamlit forgets the file of a page that is left; the session does not."""
    app = page(name="files")
    app.file_uploader(key="files_upload").upload("후기.csv", csv(), "text/csv").run()
    sound(app.button(key="files_go").click().run())
    assert ">30<" in html(app)
    again = page(name="files")
    for key in ("files_upload_kept", "files_result"):
        again.session_state[key] = app.session_state[key]
    sound(again.run())
    assert "Uploaded before: 후기.csv" in html(again)
    assert ">30<" in html(again)
    sound(again.button(key="files_upload_forget").click().run())
    assert "No file yet" in html(again)
