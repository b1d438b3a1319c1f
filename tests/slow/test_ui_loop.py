"""The improvement loop as people see it, in a real Chromium: pick rows, decide about labels by keyboard, kill, go on, apply.

Screenshots are kept in the folder ``MAEUM_ARTEFACTS``, or in pytest's own temporary folder.
"""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from audit_kit import reviews, with_chewy_as_stretch
from browser_kit import PATIENCE_MS, App

import maeum
from maeum.annotating.desk import Desk as LabellingDesk
from maeum.auditing import Settings, audit, write
from maeum.auditing.desk import Desk
from maeum.auditing.desk_file import DESK
from maeum.auditing.worklist import value_of
from maeum.formats import write as write_rows

pytest.importorskip("streamlit")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::ResourceWarning")]

MADE = ".mm-done b"
"""Where the page says how many lines are decided."""


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "작업"


@pytest.fixture
def app(tmp_path: Path, work: Path, sample_model: Any) -> Iterator[App]:
    home = tmp_path / "home"
    home.mkdir()
    found = App(home, (str(sample_model("nikl-ea")), "--folder", str(work)))
    yield found
    if found.running:
        assert "Traceback" not in found.kill()
    assert found.left() == []


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, locale="ko-KR", accept_downloads=True)
    opened = context.new_page()
    opened.set_default_timeout(PATIENCE_MS)
    yield opened
    context.close()


def settle(page: Any) -> None:
    """Wait until the script of the page has run to its end and everything is drawn."""
    page.wait_for_timeout(300)
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]', timeout=PATIENCE_MS)
    page.wait_for_function("() => !document.querySelector('[data-testid=\"stSkeleton\"]')", timeout=PATIENCE_MS)
    page.wait_for_timeout(200)


def sound(page: Any) -> None:
    assert page.locator('[data-testid="stException"]').count() == 0
    assert page.locator('[data-testid="stAlertContentError"]').count() == 0


def keep(page: Any, place: Path, name: str) -> None:
    """Screenshots, wide and narrow; nothing is wider than the window."""
    sound(page)
    for width in (1440, 390):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(500)
        height = page.evaluate("() => document.querySelector('[data-testid=stMain]').scrollHeight")
        page.set_viewport_size({"width": width, "height": min(max(900, height + 20), 6000)})
        page.wait_for_timeout(300)
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width
        page.screenshot(path=str(place / f"{name}-{width}.png"))
    page.set_viewport_size({"width": 1440, "height": 900})
    settle(page)


def press(page: Any, key: str) -> float:
    """A key that decides; the seconds until the page shows the next line."""
    before = page.locator(MADE).inner_text()
    start = time.monotonic()
    page.keyboard.press(key)
    page.wait_for_function(
        f"said => document.querySelector('{MADE}') && document.querySelector('{MADE}').innerText !== said", arg=before
    )
    took = time.monotonic() - start
    settle(page)
    return took


def named(page: Any, who: str) -> None:
    page.get_by_label(re.compile("^누가")).fill(who)
    page.keyboard.press("Enter")
    settle(page)


def download(page: Any, name: str) -> bytes:
    with page.expect_download() as waiting:
        page.get_by_role("button", name=re.compile(name)).click()
    return Path(waiting.value.path()).read_bytes()


def test_ten_rows_are_decided_by_keyboard_through_a_kill_and_applied(
    app: App, work: Path, page: Any, artefacts: Path, tmp_path: Path
):
    data = with_chewy_as_stretch(reviews(240), share=0.4)[0]
    write(audit(data, settings=Settings(top=20)), work / "후기", rows=data)
    write_rows(data, tmp_path / "후기.jsonl")
    path = work / "후기" / DESK
    app.start()
    page.goto(f"{app.address}/auditing")
    settle(page)
    keep(page, artefacts, "audit-start")
    named(page, "민지")
    took = [press(page, key) for key in "12125"]
    keep(page, artefacts, "audit")
    with Desk(path) as desk:
        before = desk.rulings()
    assert [ruling.word for ruling in before.values()] == ["keep", "fix", "keep", "fix", "unsure"]
    assert {ruling.who for ruling in before.values()} == {"민지"}
    app.kill()

    with Desk(path) as desk:
        assert desk.rulings() == before
    app.start()
    page.goto(f"{app.address}/auditing")
    settle(page)
    assert page.locator(MADE).inner_text() == "5 / 20개 정함"
    named(page, "준호")
    took += [press(page, key) for key in "1214"]
    page.keyboard.press("3")
    page.get_by_role("button", name=re.compile("이대로 저장")).wait_for()
    settle(page)
    page.keyboard.press("3")  # the third label, which becomes what it was not
    page.wait_for_function("() => !document.querySelector('[data-test-script-state=\"running\"]')")
    settle(page)
    keep(page, artefacts, "audit-editing")
    took.append(press(page, "0"))
    print("seconds from key to next line:", " ".join(f"{each:.2f}" for each in took))

    with Desk(path) as desk:
        rulings, entries = desk.rulings(), desk.entries()
    for key, ruling in before.items():
        assert rulings[key] == ruling
    page.get_by_role("tab", name="결과").click()
    settle(page)
    page.get_by_role("button", name=re.compile("고친 데이터 만들기")).click()
    settle(page)
    keep(page, artefacts, "audit-results")
    rows, changes = download(page, "고친 데이터 .JSONL"), download(page, "변경 기록")
    book = tmp_path / "결정.xlsx"
    book.write_bytes(download(page, "결정 내려받기"))
    sound(page)

    # the command line makes the same of the SQLite file and of the workbook
    for name, decisions in (("a", path), ("b", book)):
        done = subprocess.run(
            [sys.executable, "-m", "maeum", "audit", str(tmp_path / "후기.jsonl"), "--apply", str(decisions), "-o", str(tmp_path / f"{name}.jsonl"), "--task", str(shop(tmp_path))],
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert (tmp_path / f"{name}.jsonl").read_bytes() == rows
    log = [json.loads(line) for line in changes.decode().splitlines()]
    assert log == [
        {**json.loads(line), "list": DESK} for line in (tmp_path / "a.changes.jsonl").read_text("utf-8").splitlines()
    ]
    fixed = {row["id"]: row for row in map(json.loads, rows.decode().splitlines())}
    dropped = {ruling.row for ruling in rulings.values() if ruling.word == "drop"}
    assert len(dropped) == 1
    assert set(fixed) == set(data.ids) - dropped
    decided = {(r.row, r.label): r for r in rulings.values()}
    for example in data:
        if example.id in dropped:
            continue
        for label in data.task.keys:
            ruling = decided.get((example.id, label))
            value = ruling.value if ruling is not None and ruling.word == "fix" else value_of(example, label, data.task)
            assert (label in fixed[example.id]["labels"]) is (value == "yes")
    assert sorted((change["id"], change["label"]) for change in log) == sorted(
        key for key, ruling in decided.items() if ruling.word != "unsure"
    )
    assert {change["who"] for change in log} == {"민지", "준호"}
    assert any(r.word == "fix" and r.label == "배송" and r.entry for r in rulings.values()), entries[0]


def shop(place: Path) -> Path:
    """The task of the rows as a file, for the command line."""
    from audit_kit import SHOPS

    lines = [f'name = "{SHOPS.name}"', f'kind = "{SHOPS.kind}"']
    for label in SHOPS.labels:
        lines += [
            "[[labels]]",
            f'key = "{label.key}"',
            *([f'guideline = "{label.guideline}"'] if label.guideline else []),
        ]
    (place / "shop.toml").write_text("\n".join(lines), encoding="utf-8")
    return place / "shop.toml"


def test_two_windows_never_overwrite_one_another(app: App, work: Path, browser: Any):
    data = with_chewy_as_stretch(reviews(120), share=0.4)[0]
    write(audit(data, settings=Settings(top=8)), work / "후기", rows=data)
    app.start()
    pages = []
    for who in ("민지", "준호"):
        context = browser.new_context(viewport={"width": 1200, "height": 900}, locale="ko-KR")
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(f"{app.address}/auditing")
        settle(page)
        named(page, who)
        pages.append(page)
    press(pages[0], "1")
    pages[1].keyboard.press("4")  # still shows the line that was just decided
    pages[1].get_by_text("민지 님이 이 행을 정해서").wait_for()
    with Desk(work / "후기" / DESK) as desk:
        (ruling,) = desk.rulings().values()
    assert (ruling.word, ruling.who) == ("keep", "민지")
    settle(pages[1])
    assert "민지" in pages[1].locator('[data-testid="stMain"]').inner_text()
    for page in pages:
        page.context.close()


def test_rows_are_picked_and_handed_over_to_labelling(app: App, work: Path, page: Any, artefacts: Path, tmp_path: Path):
    things, said = (
        ["배송이", "포장이", "색감이", "화면이", "결말이"],
        ["마음에 들어요", "실망스러워요", "무서웠어요", "신나요"],
    )
    made = io.StringIO()
    writer = csv.writer(made)
    writer.writerow(["작성일", "리뷰", "몰"])
    texts = [f"{thing} {word} {n}호" for thing in things for word in said for n in range(6)]
    writer.writerows([["2026-07-01", text, "가" if n % 3 else "나"] for n, text in enumerate(texts)])
    source = tmp_path / "후기.csv"
    source.write_bytes(made.getvalue().encode("cp949"))
    app.start()
    page.goto(f"{app.address}/sampling")
    settle(page)
    keep(page, artefacts, "sampling-empty")
    page.locator("input[type=file]").first.set_input_files(str(source))
    page.get_by_role("button", name="고르기", exact=True).wait_for()
    settle(page)
    assert "cp949" in page.locator('[data-testid="stMain"]').inner_text()
    rows = page.get_by_label("고를 행 수")
    rows.fill("30")
    rows.press("Enter")
    settle(page)
    page.get_by_role("button", name="고르기", exact=True).click()
    page.get_by_text("고른 행 (라벨을 달 순서)").wait_for()
    settle(page)
    keep(page, artefacts, "sampling")
    written = [json.loads(line) for line in download(page, "JSONL 내려받기").decode().splitlines()]
    assert len(written) == 30
    assert {row["text"] for row in written} <= set(texts)
    assert sum(row["meta"]["sample"]["picked"] == "random" for row in written) == 3
    book = tmp_path / "고른.xlsx"
    book.write_bytes(download(page, "엑셀 내려받기"))
    assert [row.text for row in maeum.read(book, task="nikl-ea")] == [row["text"] for row in written]

    # another page and back: nothing is lost
    page.get_by_role("link", name="파일").click()
    settle(page)
    page.get_by_role("link", name="고르기").click()
    settle(page)
    assert "앞서 올린 파일: 후기.csv" in page.locator('[data-testid="stMain"]').inner_text()
    assert page.get_by_text("고른 행 (라벨을 달 순서)").count() == 1

    page.get_by_role("button", name="라벨 달기로 넘기기").click()
    page.wait_for_url(re.compile("/labelling"))
    settle(page)
    sound(page)
    with LabellingDesk(work / "후기.sqlite") as desk:
        assert [row.text for row in desk.examples()] == [row["text"] for row in written]


def test_an_upload_is_audited_on_the_page(app: App, work: Path, page: Any, artefacts: Path, tmp_path: Path):
    data = with_chewy_as_stretch(reviews(160), share=0.4)[0]
    write_rows(data, tmp_path / "고객 의견.xlsx")
    app.start()
    page.goto(f"{app.address}/auditing")
    settle(page)
    keep(page, artefacts, "audit-empty")
    page.locator("input[type=file]").first.set_input_files(str(tmp_path / "고객 의견.xlsx"))
    page.get_by_role("button", name="점검하기").wait_for()
    settle(page)
    keep(page, artefacts, "audit-new")
    page.get_by_role("button", name="점검하기").click()
    page.locator(MADE).wait_for()
    settle(page)
    sound(page)
    assert (work / "고객 의견" / "data.jsonl").is_file()
    with Desk(work / "고객 의견" / DESK) as desk:
        assert desk.about["rows"] == 160
        assert page.locator(MADE).inner_text() == f"0 / {len(desk.entries())}개 정함"
