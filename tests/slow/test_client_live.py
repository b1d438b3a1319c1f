"""The client against a real ``maeum serve`` over a real socket: the library's own answers, keys, and a server that dies."""

from __future__ import annotations

import signal

import pytest
from live_service import start

import maeum
from maeum.client import Client, CutShort, ServiceError
from maeum.errors import UsageError

pytestmark = pytest.mark.slow
TEXTS = ["드디어 콘서트 표를 구했다!!", "약속을 또 어겨서 너무 화가 난다", "조용한 밤이다"]


def test_answers_are_those_of_the_library(sample_model, tmp_path, monkeypatch):
    emotions, reviews = sample_model("nikl-ea"), sample_model("fashion")
    monkeypatch.setenv("MAEUM_API_KEY", "열쇠 아님")
    with pytest.raises(UsageError, match="ASCII"):
        Client("http://127.0.0.1:1")
    with start(emotions, f"r={reviews}", log=tmp_path, MAEUM_API_KEYS="one,two", MAEUM_SERVE_MAX_TEXTS="2") as live:
        with Client(live.url, api_key="") as nobody:
            assert nobody.health()
            with pytest.raises(ServiceError) as raised:
                nobody.emotions(TEXTS)
            assert (raised.value.status, raised.value.code) == (401, "unauthorized")
            assert raised.value.request_id
        with Client(live.url, api_key="two") as client:
            name = client.info()["models"][0]["name"]
            analyzer = maeum.load(emotions)
            found = client.emotions(TEXTS)
            for row, here in zip(found, analyzer.analyze(TEXTS), strict=True):
                assert row.labels == here.labels
                assert row.scores["nikl-ea"] == pytest.approx(dict(here.scores), abs=1e-6)
            about = client.emotions(["배우는 좋았는데 결말이 별로"], target="배우", model=name)[0]
            assert about.target == {"form": "배우", "begin": 0, "end": 2}
            assert [row.to_dict()["labels"] for row in client.batch(TEXTS)] == [list(row.labels) for row in found]

            judged = client.reviews(["사이즈가 작아요"] * 3, model="r", evidence=2)
            here = maeum.load(reviews).analyze(["사이즈가 작아요"])[0]
            assert [aspect.aspect for aspect in judged[2].aspects] == [aspect["aspect"] for aspect in here.aspects]
            assert 1 <= len(judged[0].aspects[0].evidence) <= 2
            word = judged[0].aspects[0].evidence[0]
            assert "사이즈가 작아요"[word.begin : word.end] == word.text

            why = client.explain(TEXTS[:1], labels=["joy"])[0]
            direct = maeum.explain(emotions, TEXTS[:1], labels=["joy"])[0]
            assert why.to_dict().keys() == direct.to_dict().keys()
            assert [word.text for word in why.evidence[0].words] == [word.text for word in direct["joy"].ranked]
            with pytest.raises(ServiceError) as raised:
                client.emotions(TEXTS, model="none")
            assert raised.value.code == "unknown_model"
        log = live.log.read_text(encoding="utf-8")
    assert not any(text in log for text in (*TEXTS, "two"))


def test_rows_of_a_killed_server_are_had_from_the_next_one(sample_model, tmp_path):
    """SIGKILL in the middle: the client says how far it got, and every row is there once in the end."""
    model = sample_model("nikl-ea")
    rows = [{"id": f"r{n}", "text": f"{TEXTS[n % 3]} {n}"} for n in range(1500)]
    got: list[str] = []
    with start(model, log=tmp_path) as live, Client(live.url, retries=1) as client:
        port = int(live.url.rsplit(":", 1)[1])

        def taken():
            for row in client.batch(rows):
                yield row.id
                if row.number == 500:
                    live.process.send_signal(signal.SIGKILL)
                    live.process.wait()

        with pytest.raises(CutShort) as raised:
            got.extend(taken())
    assert 500 <= len(got) == raised.value.done < len(rows)
    assert raised.value.code in ("unreachable", "cut")
    with start(model, log=tmp_path, port=port) as live, Client(live.url) as client:
        got += [row.id for row in client.batch(rows, start=raised.value.done)]
    assert got == [row["id"] for row in rows]


def test_a_server_that_comes_back_is_waited_for(sample_model, tmp_path):
    """The same without giving up: what is asked while nobody is there is asked again."""
    import threading

    model = sample_model("nikl-ea")
    (tmp_path / "second").mkdir()
    back = []

    def restart(port: int) -> None:
        service = start(model, log=tmp_path / "second", port=port)
        back.append((service, service.__enter__()))

    rows = [f"{TEXTS[n % 3]} {n}" for n in range(800)]
    got = []
    try:
        with start(model, log=tmp_path) as live:
            port = int(live.url.rsplit(":", 1)[1])
            with Client(live.url, retries=12) as client:
                for row in client.batch(rows):
                    got.append(row.text)
                    if len(got) == 100:
                        live.process.send_signal(signal.SIGKILL)
                        live.process.wait()
                        again = threading.Thread(target=restart, args=(port,))
                        again.start()
                again.join()
    finally:
        for service, _ in back:
            service.__exit__(None, None, None)
    assert got == rows
