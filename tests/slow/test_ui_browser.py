"""The web app as people see it: a real Chromium through every page of a live ``maeum ui``, wide and narrow.

Screenshots are kept in the folder ``MAEUM_ARTEFACTS``, or in pytest's own temporary folder.
"""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from browser_kit import PATIENCE_MS, App

import maeum

pytest.importorskip("streamlit")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::ResourceWarning")]

WIDTHS = (1440, 390)
ROWS = ["정말 기분이 좋아서 웃었어요", "너무 무서워서 잠을 못 잤다", "또 늦다니 화가 난다", "그냥 그래요"]


@dataclass
class Live:
    """A running app."""

    address: str
    models: list[Path]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, sample_model: Any) -> Iterator[Live]:
    place = tmp_path_factory.mktemp("live")
    models = [place / name for name in ("first", "second", "fashion")]
    shutil.copytree(sample_model("nikl-ea"), models[0])
    own = maeum.load(models[0])
    strict = own.thresholds.replaced(dict.fromkeys(own.task.keys, 0.4), own.task)
    maeum.save(maeum.Analyzer(own.predictor, prep=own.prep, calibration=own.calibration, thresholds=strict), models[1])
    shutil.copytree(sample_model("fashion"), models[2])
    home = place / "home"
    home.mkdir()
    app = App(home, (*map(str, models), "--allow-save"))
    app.start()
    yield Live(app.address, models)
    said = app.stop()
    assert "Traceback" not in said
    assert not any(text in said for text in ROWS)  # no text of anybody in the log
    assert app.left() == []


@dataclass
class Visit:
    """One visitor at one page."""

    page: Any
    live: Live
    width: int
    artefacts: Path
    asked: list[str] = field(default_factory=list)

    def open(self, name: str) -> None:
        self.page.goto(f"{self.live.address}/{name}")
        self.settle()

    def settle(self) -> None:
        """Wait until the script of the page has run to its end and everything is drawn."""
        self.page.wait_for_timeout(400)
        self.page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]', timeout=PATIENCE_MS)
        self.page.wait_for_function(
            "() => !document.querySelector('[data-testid=\"stSkeleton\"]')", timeout=PATIENCE_MS
        )
        self.page.wait_for_timeout(400)

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=re.compile(name)).first.click(timeout=PATIENCE_MS)
        self.settle()

    def keep(self, name: str) -> None:
        """A screenshot of the whole page."""
        self.sound()
        height = self.page.evaluate("() => document.querySelector('[data-testid=stMain]').scrollHeight")
        self.page.set_viewport_size({"width": self.width, "height": min(max(900, height + 20), 6000)})
        self.page.wait_for_timeout(300)
        self.page.screenshot(path=str(self.artefacts / f"{name}-{self.width}.png"))
        self.page.set_viewport_size({"width": self.width, "height": 900})

    def sound(self) -> None:
        """No error is shown, nothing outside was asked for, and nothing is wider than the window."""
        assert self.page.locator('[data-testid="stException"]').count() == 0
        assert self.page.locator('[data-testid="stAlertContentError"]').count() == 0
        outside = [
            url for url in self.asked if not url.startswith((self.live.address, "data:", "blob:", "ws://127.0.0.1"))
        ]
        assert outside == []
        assert self.page.evaluate("() => document.documentElement.scrollWidth") <= self.width

    def text(self) -> str:
        return str(self.page.locator('[data-testid="stMain"]').inner_text())


@pytest.fixture(params=WIDTHS)
def visit(request: pytest.FixtureRequest, browser: Any, live: Live, artefacts: Path) -> Iterator[Visit]:
    context = browser.new_context(
        viewport={"width": request.param, "height": 900}, locale="ko-KR", accept_downloads=True
    )
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    found = Visit(page, live, request.param, artefacts)
    page.on("request", lambda asked: found.asked.append(asked.url))
    yield found
    context.close()


def test_a_sentence(visit):
    visit.open("")
    visit.keep("sentence-empty")
    visit.page.get_by_label("문장", exact=True).fill("배우는 좋았는데 <b>결말</b>이 너무 허무해서 화가 났다")
    visit.page.get_by_label(re.compile("^대상")).fill("결말")
    visit.press("^.*분석$")
    assert "근거" in visit.text()
    marks = visit.page.locator(".mm-text mark")
    assert marks.count() >= 1
    assert visit.page.locator(".mm-text u").inner_text() == "결말"
    assert "<b>결말</b>이" in visit.page.locator(".mm-text").inner_text().replace("\n", "")
    marks.first.hover()
    tip = marks.first.evaluate("mark => getComputedStyle(mark, '::after').content")
    assert "%p" in tip
    visit.keep("sentence")


def test_the_other_language(visit):
    visit.open("")
    if visit.width < 640:
        visit.page.get_by_test_id("stExpandSidebarButton").click()
    visit.page.get_by_role("radio", name="English").click()
    visit.settle()
    assert "One sentence" in visit.text()
    assert "한 문장" not in visit.text()


def test_reviews(visit):
    visit.open("reviews")
    visit.press("예로 채우기")
    assert visit.page.locator(".mm-aspect").count() >= 3
    assert visit.page.locator(".mm-aspect .mm-grade").count() >= 3
    visit.keep("reviews")


def test_a_file_in_cp949_comes_back_as_tables(visit, tmp_path):
    made = io.StringIO()
    writer = csv.writer(made)
    writer.writerow(["작성일", "리뷰"])
    writer.writerows([[f"2024-01-{n % 28 + 1:02}", f"{ROWS[n % 4]} {n}"] for n in range(120)])
    writer.writerow(["2024-02-01", ""])
    source = tmp_path / "후기.csv"
    source.write_bytes(made.getvalue().encode("cp949"))
    visit.open("files")
    visit.keep("files-empty")
    visit.page.locator("input[type=file]").set_input_files(str(source))
    visit.page.get_by_role("button", name=re.compile("이 파일 분석")).wait_for()
    assert "cp949" in visit.text()
    visit.press("이 파일 분석")
    visit.page.get_by_text("120 / 120행").wait_for()
    assert "읽지 못한 행 1개" in visit.text()
    visit.keep("files")
    visit.page.get_by_label("글에서 찾기").fill("무서워서")
    visit.page.keyboard.press("Enter")
    visit.page.get_by_text("30 / 120행").wait_for()
    with visit.page.expect_download() as waiting:
        visit.page.get_by_role("button", name=re.compile("CSV 내려받기")).click()
    content = Path(waiting.value.path()).read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))
    assert len(rows) == 30
    assert all("무서워서" in row["text"] for row in rows)
    with visit.page.expect_download() as waiting:
        visit.page.get_by_role("button", name=re.compile("엑셀 내려받기")).click()
    book = tmp_path / "out.xlsx"
    book.write_bytes(Path(waiting.value.path()).read_bytes())
    assert len(maeum.read(book, task="nikl-ea")) == 30
    visit.sound()


def test_two_models(visit, tmp_path):
    visit.open("compare")
    visit.page.get_by_label("문장", exact=True).fill("또 늦다니 정말 화가 난다")
    visit.page.keyboard.press("Enter")
    visit.page.get_by_text(re.compile("답이 갈린 라벨|같은 라벨을 주었습니다")).wait_for()
    visit.settle()
    visit.keep("compare-sentence")
    visit.page.get_by_role("tab", name="라벨 달린 파일").click()
    visit.settle()
    labelled = tmp_path / "dev.jsonl"
    data = maeum.read("sample:nikl-ea")[:80]
    labelled.write_text("".join(json.dumps(row.to_dict(), ensure_ascii=False) + "\n" for row in data), encoding="utf-8")
    visit.page.locator("input[type=file]").set_input_files(str(labelled))
    visit.page.get_by_role("button", name="두 모델 재기").wait_for()
    visit.press("두 모델 재기")
    visit.page.get_by_text("라벨마다 F1").wait_for()
    visit.settle()
    assert "macro-F1" in visit.text()
    assert "80행" in visit.text()
    visit.keep("compare-file")


def test_thresholds_are_moved_taken_away_and_saved(visit, tmp_path):
    visit.open("thresholds")
    before = maeum.load(visit.live.models[0]).thresholds
    slider = visit.page.get_by_role("slider").first
    slider.focus()
    for _ in range(3):  # one by one: while the page is drawn anew, a slow machine may miss a key
        visit.page.keyboard.press("ArrowRight")
        visit.settle()
    shown = float(visit.page.get_by_role("slider").first.input_value())
    assert visit.page.locator(".mm-card small.up, .mm-card small.down").count() >= 1
    visit.keep("thresholds")
    with visit.page.expect_download() as waiting:
        visit.page.get_by_role("button", name=re.compile("내려받기")).click()
    file = tmp_path / "thresholds.json"
    file.write_bytes(Path(waiting.value.path()).read_bytes())
    moved = json.loads(file.read_text(encoding="utf-8"))["values"]["joy"]
    assert moved == pytest.approx(shown, abs=0.003)
    assert moved > before.values[0] + 0.004
    accepted = subprocess.run(
        [sys.executable, "-m", "maeum", "thresholds", str(visit.live.models[1]), "--from", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert accepted.returncode == 0, accepted.stderr
    assert maeum.load(visit.live.models[1]).thresholds.values[0] == pytest.approx(moved)
    visit.press("모델 폴더에 저장")
    visit.page.get_by_text("모델 폴더에 저장했습니다").wait_for()
    assert maeum.load(visit.live.models[0]).thresholds.values[0] == pytest.approx(moved)
    visit.sound()
