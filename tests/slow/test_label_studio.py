"""A real Label Studio: our interface becomes a project, our tasks are labelled through its API, its export comes back.

It is installed into an environment of its own, since it pins exact versions of much that we use too. Where one is
installed already, ``MAEUM_LABEL_STUDIO`` may name its ``label-studio`` program, which saves minutes.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_kit import ok
from review_kit import CUES, SHOP, planted, write_jsonl, write_task

from maeum.annotating import studio_config
from maeum.annotating.studio_out import region
from maeum.data import Example
from maeum.task import builtin_task

pytestmark = pytest.mark.slow
TOKEN = "0123456789abcdef0123456789abcdef01234567"
_INSTALL_SEC, _START_SEC = 900, 600


class Studio:
    """A running server, asked as its documentation says."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        head = {"Content-Type": "application/json", "Authorization": f"Token {TOKEN}"}
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(self.url + path, data, head, method=method)
        try:
            with urllib.request.urlopen(asked, timeout=120) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read().decode()[:500]}") from error


def program(folder: Path) -> Path:
    """The ``label-studio`` program, installed if need be; skips, or fails where CI wants it, if that cannot be."""
    if named := os.environ.get("MAEUM_LABEL_STUDIO"):
        return Path(named)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=_INSTALL_SEC)
    install = [folder / "bin" / "pip", "install", "-q", "--no-cache-dir", "--no-compile", "label-studio"]
    try:
        done = subprocess.run(install, capture_output=True, text=True, timeout=_INSTALL_SEC, check=False)
        trouble = done.stderr[-500:] if done.returncode else ""
    except subprocess.TimeoutExpired:
        trouble = f"pip took longer than {_INSTALL_SEC} s"
    if trouble:
        message = f"label-studio could not be installed: {trouble}"
        (pytest.fail if os.environ.get("MAEUM_REQUIRE_DATA") else pytest.skip)(message)
    return folder / "bin" / "label-studio"


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """A server on a free port of this machine, with a database of its own."""
    place = tmp_path_factory.mktemp("studio")
    start = program(place / "venv")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    quiet = {"LATEST_VERSION_CHECK": "false", "COLLECT_ANALYTICS": "false", "SENTRY_DSN": "", "FRONTEND_SENTRY_DSN": ""}
    own = {"LABEL_STUDIO_BASE_DATA_DIR": str(place / "data"), "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true"}
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    words = ["start", "--no-browser", "--internal-host", "127.0.0.1", "--port", str(port)]
    words += ["--username", "a@example.com", "--password", "only-here-1", "--user-token", TOKEN]
    with (place / "log.txt").open("w") as log:
        server = subprocess.Popen(
            [start, *words], env={**kept, **quiet, **own, "HOME": str(place)}, stdin=subprocess.DEVNULL, stdout=log,
            stderr=log, start_new_session=True,
        )  # fmt: skip
        try:
            url = f"http://127.0.0.1:{port}"
            until = time.monotonic() + _START_SEC
            while not is_up(url):
                assert server.poll() is None, (place / "log.txt").read_text()[-2000:]
                assert time.monotonic() < until, "the server did not start in time"
                time.sleep(1)
            yield Studio(url)
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(20)
            if server.poll() is None:
                os.killpg(server.pid, signal.SIGKILL)


def is_up(url: str) -> bool:
    try:
        with urllib.request.urlopen(url + "/health", timeout=20) as answer:
            return answer.status == 200
    except OSError:
        return False


def gold(row: Example) -> list[dict[str, Any]]:
    """What an annotator marks: the words of every aspect, and its grade."""
    result = []
    for number, item in enumerate(row.aspects or ()):
        cue = CUES[item.aspect, item.sentiment]
        begin = row.text.index(cue)
        name = next(label.name("en") for label in SHOP.labels if label.key == item.aspect)
        result.append(region(f"g{number}", "evidence", "labels", [name], row.text, begin, begin + len(cue)))
        result.append(region(f"g{number}", "grade", "choices", [item.sentiment], row.text, begin, begin + len(cue)))
    return result


def test_every_built_in_task_makes_a_valid_interface(studio):
    for name in ("kote", "nsmc", "nikl-ea", "review-fashion"):
        studio("POST", "/api/projects/validate/", {"label_config": studio_config(builtin_task(name))})


def test_labels_go_round_and_train_a_model(studio, tmp_path):
    truth = planted(60, prefix="s")
    blank = [Example(row.id, row.text + " 🎉" if number % 7 == 0 else row.text) for number, row in enumerate(truth)]
    write_jsonl(tmp_path / "rows.jsonl", blank)
    write_task(tmp_path / "shop.toml")
    write_jsonl(tmp_path / "first.jsonl", planted(30, seed=5).examples)
    ok("train", "first.jsonl", "--task", "shop.toml", "-o", "first", "--quiet", cwd=tmp_path)
    ok("annotate", "export", "rows.jsonl", "--task", "shop.toml", "--model", "first", "-o", "tasks.json", cwd=tmp_path)

    config = (tmp_path / "tasks.config.xml").read_text(encoding="utf-8")
    project = studio("POST", "/api/projects/", {"title": "round", "label_config": config})["id"]
    tasks = json.loads((tmp_path / "tasks.json").read_text(encoding="utf-8"))
    sent = studio("POST", f"/api/projects/{project}/import", tasks)
    assert (sent["task_count"], sent["prediction_count"]) == (60, sum("predictions" in task for task in tasks))

    by_id = {row.id: row for row in truth}
    there = studio("GET", f"/api/tasks?project={project}&page_size=100&fields=all")["tasks"]
    assert len(there) == 60
    for task in there[:50]:
        row = by_id[task["data"]["id"]]
        studio("POST", f"/api/tasks/{task['id']}/annotations/", {"result": gold(row)})
    accepted = [task for task in there[50:] if task["predictions"]]
    for task in accepted:  # "the model is right": its marks as they came back from the server
        studio("POST", f"/api/tasks/{task['id']}/annotations/", {"result": task["predictions"][0]["result"]})

    export = studio("GET", f"/api/projects/{project}/export?exportType=JSON&download_all_tasks=true")
    (tmp_path / "export.json").write_text(json.dumps(export, ensure_ascii=False), encoding="utf-8")
    words = ("annotate", "import", "export.json", "--rows", "rows.jsonl", "--task", "shop.toml", "-o", "labelled.jsonl")
    told = json.loads(ok(*words, "--json", cwd=tmp_path).stdout)
    assert (told["problems"], told["labelled"]) == ([], 50 + len(accepted))
    assert not json.loads(ok(*words, "--json", cwd=tmp_path).stdout)["written"]

    lines = [json.loads(line) for line in (tmp_path / "labelled.jsonl").read_text(encoding="utf-8").splitlines()]
    marked = {task["data"]["id"] for task in there[:50]}
    for line in lines:
        if line["id"] in marked:
            expected = {
                (item.aspect, item.sentiment, CUES[item.aspect, item.sentiment]) for item in by_id[line["id"]].aspects
            }
            assert {
                (a["aspect"], a["sentiment"], line["text"][a["begin"] : a["end"]]) for a in line["aspects"]
            } == expected
            assert line["meta"]["annotations"][0]["when"].endswith("+00:00")

    texts = [(tmp_path / name).read_text(encoding="utf-8") for name in ("first.jsonl", "labelled.jsonl")]
    (tmp_path / "more.jsonl").write_text("".join(texts), encoding="utf-8")
    ok("train", "more.jsonl", "--task", "shop.toml", "-o", "second", "--quiet", cwd=tmp_path)
    trained = json.loads((tmp_path / "second" / "settings.json").read_text(encoding="utf-8"))["train"]["rows"]
    assert trained == 30 + told["labelled"]
    held = write_jsonl(tmp_path / "held.jsonl", planted(60, seed=9).examples)
    before, after = (
        json.loads(ok("evaluate", name, held, "--json", cwd=tmp_path).stdout)["metrics"]["micro_f1"]
        for name in ("first", "second")
    )
    assert after >= max(before, 0.9)
