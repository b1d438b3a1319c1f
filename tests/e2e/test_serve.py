"""The service over a real socket: every route, every dialect."""

from __future__ import annotations

import itertools
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cli_kit import ok
from serving_kit import TEXTS, Running, feelings, polar, reviews, serving

import maeum
from maeum.folder import save
from maeum.serving.store import LoadedModel


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("served")
    save(feelings(), place / "feelings")
    save(reviews(), place / "shop")
    return place


@pytest.fixture(scope="module")
def place(folders: Path) -> Iterator[Running]:
    models = [str(folders / "feelings"), f"후기={folders / 'shop'}", f"both={folders / 'feelings'}"]
    with serving(models, max_texts=8, max_queue=256, max_chars=500, max_explain_texts=2) as running:
        heads = {"feelings": feelings(), "polar": polar()}
        running.service.store.models["both"].current = LoadedModel(heads, "abc")
        yield running


# -- /v1 ----------------------------------------------------------------------------------------------------


def test_emotions_are_those_of_analyze(place: Running, folders: Path) -> None:
    texts = ["기쁘고 행복한 하루", "화가 나고 슬퍼서 눈물이"]
    found = place.post("/v1/emotions", {"texts": texts}).json()
    told = json.loads(ok("analyze", "--model", folders / "feelings", *texts, "--json", cwd=folders).stdout)
    assert found == {**told, "model": "feelings"}
    assert found["results"][0]["labels"] == ["기쁨"]


def test_emotions_of_several_heads(place: Running) -> None:
    found = place.post("/v1/emotions", {"texts": [TEXTS[0]], "model": "both"}).json()["results"][0]
    assert list(found["scores"]) == list(found["labels_by_task"]) == ["feelings", "polar"]
    assert found["labels"] == found["labels_by_task"]["feelings"]
    one = place.post("/v1/emotions", {"texts": [TEXTS[0]], "model": "both", "task": "polar"}).json()["results"][0]
    assert one["scores"] == {"polar": found["scores"]["polar"]}
    assert "labels_by_task" not in one
    missing = place.post("/v1/emotions", {"texts": ["글"], "task": "polar"})
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "unknown_task")
    assert "feelings" in missing.json()["error"]["message"]


def test_targets(place: Running) -> None:
    text = "배우는 기쁘고 결말은 슬퍼서"
    span = {"form": "결말", "begin": 8, "end": 10}
    items = [{"text": text, "target": "결말"}, {"text": text, "target": span}, {"text": text}]
    found = place.post("/v1/emotions", {"texts": items}).json()["results"]
    assert found[0] == found[1]
    assert found[0]["target"] == span
    assert "target" not in found[2]
    for target in ("감독", {"form": "결말", "begin": 0, "end": 2}, {"form": "결말", "begin": 10**9, "end": 10**9}):
        wrong = place.post("/v1/emotions", {"texts": ["글", {"text": text, "target": target}]})
        assert wrong.status_code == 422
        assert "texts[1]" in wrong.json()["error"]["message"]


def test_reviews(place: Running) -> None:
    text = "오늘 택배가 번개처럼 값은 바가지"
    plain = place.post("/v1/reviews", {"texts": [text], "model": "후기"}).json()
    library = reviews().analyze([text])[0]
    assert plain["results"] == [
        {
            "text": text,
            "labels": list(library.labels),
            "scores": dict(library.scores),
            "aspects": [dict(aspect) for aspect in library.aspects or ()],
        }
    ]
    assert {item["aspect"]: item["sentiment"] for item in plain["results"][0]["aspects"]} == {
        "delivery": "1",
        "price": "-1",
    }
    proven = place.post("/v1/reviews", {"texts": [text], "model": "후기", "evidence": 1}).json()["results"][0][
        "aspects"
    ]
    for item in proven:
        assert len(item["evidence"]) <= 1
        for word in item["evidence"]:
            assert text[word["begin"] : word["end"]] == word["text"]
    assert [{k: v for k, v in item.items() if "evidence" not in k} for item in proven] == plain["results"][0]["aspects"]
    wrong = place.post("/v1/reviews", {"texts": [text]})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (422, "wrong_task")


def test_explain_is_that_of_the_library(place: Running) -> None:
    text = "오늘은 기쁘고 행복한 하루"
    found = place.post("/v1/explain", {"texts": [text], "labels": ["joy", "분노"]}).json()
    wanted = maeum.explain(feelings(), [text], labels=["joy", "분노"], name="feelings").to_dict()
    assert found == json.loads(json.dumps(wanted))
    cut = place.post("/v1/explain", {"texts": [text], "top": 1, "method": "exact", "faithfulness": False}).json()
    assert [len(item["words"]) for item in cut["results"][0]["evidence"]] == [1]
    for wrong, status in (
        ({"labels": ["기뿜"]}, 422),
        ({"aspects": ["배송"]}, 422),
        ({"method": "ig"}, 422),
        ({"unit": "word"}, 422),
        ({"texts": ["글", "글", "글"]}, 413),
        ({"task": "없음"}, 404),
    ):
        assert place.post("/v1/explain", {"texts": [text], **wrong}).status_code == status


def test_models(place: Running) -> None:
    found = place.get("/v1/models").json()["models"]
    assert [model["name"] for model in found] == ["feelings", "후기", "both"]
    assert found[0]["tasks"][0]["labels"][0] == {"key": "기쁨", "ko": "기쁨", "en": "joy"}
    assert set(found[0]["tasks"][0]["thresholds"]) == {"기쁨", "분노", "슬픔"}
    assert [grade["key"] for grade in found[1]["tasks"][0]["sentiments"]] == ["-1", "0", "1"]


# -- /v1/batch ------------------------------------------------------------------------------------------------


def batch(place: Running, content: Any, query: str = "", **options: Any) -> tuple[httpx.Response, list[dict[str, Any]]]:
    answer = httpx.post(place.url + "/v1/batch" + query, content=content, timeout=30, trust_env=False, **options)
    return answer, [json.loads(line) for line in answer.text.splitlines()]


def test_batch_lines_are_those_of_predict(place: Running, folders: Path, tmp_path: Path) -> None:
    rows = [{"id": f"행{n}", "text": text, "labels": ["모르는 라벨"]} for n, text in enumerate(TEXTS)]
    rows += [{"text": "id 없는 글"}, {"id": "t", "text": "배우는 기쁘고", "target": "배우"}]
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    ok("predict", folders / "feelings", source, "-o", tmp_path / "out.jsonl", cwd=tmp_path)
    answer, lines = batch(place, source.read_bytes())
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    assert "".join(answer.text.splitlines(keepends=True)[:-1]) == (tmp_path / "out.jsonl").read_text(encoding="utf-8")
    assert lines[-1] == {"done": True, "rows": len(rows), "errors": 0}


def test_every_line_is_answered_for(place: Running) -> None:
    body = b'{"text": "\xea\xb8\x80"}\nnonsense\n\n{"text": " "}\n{"text": 1}\n{"text": "x", "text": "y"}\n\xff\n' + (
        json.dumps({"text": "x" * 501}).encode() + b'\n{"text": "\\u0000"}\n{"text": "\xeb\x81\x9d"}'
    )
    answer, lines = batch(place, body)
    assert answer.status_code == 200
    assert [line.get("line", line.get("id", "done")) for line in lines] == [
        "row-000001", 2, 4, 5, 6, 7, 8, 9, "row-000009", "done",
    ]  # fmt: skip
    assert {line["error"]["code"] for line in lines if "error" in line} == {
        "bad_json",
        "bad_line",
        "invalid",
        "text_too_long",
    }
    assert lines[-1] == {"done": True, "rows": 2, "errors": 7}


def test_batch_streams_both_ways(place: Running) -> None:
    """The second half is sent only after the first was answered."""
    host = place.url.removeprefix("http://")
    seen: list[bytes] = []

    def pieces() -> Iterator[bytes]:
        yield b'{"id": "a", "text": "\xea\xb8\x80"}\n{"id": "b", '
        yield b'"text": "\xea\xb8\x80"}\n'

    with socket.create_connection((host.rpartition(":")[0], int(host.rpartition(":")[2])), timeout=10) as connection:
        connection.sendall(b"POST /v1/batch HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number, piece in enumerate(pieces()):
            connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
            wanted = (b'"a"', b'"b"')[number]
            while not any(wanted in part for part in seen):
                part = connection.recv(65536)
                assert part
                seen.append(part)
        connection.sendall(b"0\r\n\r\n")
        while b'"done"' not in b"".join(seen):
            seen.append(connection.recv(65536))
    assert b'{"done":true,"rows":2,"errors":0}' in b"".join(seen)


def test_batch_of_many_lines_in_odd_pieces(place: Running) -> None:
    body = "".join(json.dumps({"id": str(n), "text": f"{n}번째 글"}) + "\n" for n in range(1500)).encode()
    cuts = itertools.batched(body, 7001) if hasattr(itertools, "batched") else None
    pieces = map(bytes, cuts) if cuts else (body[at : at + 7001] for at in range(0, len(body), 7001))
    _, lines = batch(place, pieces, "?model=both&task=polar")
    assert [line["id"] for line in lines[:-1]] == [str(n) for n in range(1500)]
    assert set(lines[0]["scores"]) == {"neg", "pos"}
    assert lines[-1]["rows"] == 1500


def test_batch_refusals(place: Running) -> None:
    assert batch(place, b"", "?model=no")[0].status_code == 404
    assert batch(place, b"", "?task=no")[0].status_code == 404
    long = batch(place, b"", "?model=" + "x" * 300)
    assert (long[0].status_code, long[1][0]["error"]["code"]) == (422, "invalid")
    assert batch(place, b"", headers={"content-type": "text/csv"})[0].status_code == 415
    assert batch(place, b"")[1] == [{"done": True, "rows": 0, "errors": 0}]


# -- other dialects -------------------------------------------------------------------------------------------


def test_predict_as_text_embeddings_inference_has_it(place: Running) -> None:
    text = "기쁘고 행복한 하루"
    scores = dict(feelings().analyze([text])[0].scores)
    wanted = [{"label": key, "score": score} for key, score in sorted(scores.items(), key=lambda item: -item[1])]
    assert place.post("/predict", {"inputs": text}).json() == wanted
    assert place.post("/predict", {"inputs": [[text], [text, "하루"]], "truncate": True}).json() == [wanted, wanted]
    assert place.post("/predict", {"inputs": [text, text], "raw_scores": False}).json() == [wanted, wanted]
    assert place.post("/predict", {"inputs": text, "top_k": 1}).json() == wanted[:1]
    assert place.post("/", {"inputs": text, "parameters": {"top_k": 1}}).json() == [wanted[:1]]
    assert place.post("/predict", {"inputs": text, "raw_scores": True}).json()[0]["score"] > 0.5
    total = sum(item["score"] for item in place.post("/predict", {"inputs": "화가 나고 슬퍼서 기쁘고"}).json())
    assert total != pytest.approx(1)
    for wrong in ({}, {"inputs": []}, {"inputs": [[]]}, {"inputs": [[text, "a", "b"]]}, {"inputs": 1}, {"inputs": ""}):
        answer = place.post("/predict", wrong)
        assert (answer.status_code, answer.json()["error_type"]) == (422, "Validation")


def test_infer_as_the_open_inference_protocol_has_it(place: Running) -> None:
    texts = ["기쁘고 행복한 하루", "아무 말"]
    tensor = {"name": "text", "shape": [2], "datatype": "BYTES", "data": texts}
    found = place.post("/v2/models/feelings/infer", {"id": "7", "inputs": [tensor]}).json()
    assert (found["model_name"], found["id"]) == ("feelings", "7")
    outputs = {output["name"]: output for output in found["outputs"]}
    assert outputs["scores"]["shape"] == [2, 3]
    assert outputs["scores"]["data"] == [s for item in feelings().analyze(texts) for s in item.scores.values()]
    assert outputs["label_names"]["data"] == ["기쁨", "분노", "슬픔"]
    assert [json.loads(item) for item in outputs["labels"]["data"]] == [["기쁨"], []]
    nested = {**tensor, "shape": [2, 1], "data": [[text] for text in texts]}
    target = {"name": "target", "shape": [2], "datatype": "BYTES", "data": ["하루", ""]}
    asked = {"inputs": [nested, target], "outputs": [{"name": "scores"}], "parameters": {"task": "polar"}}
    other = place.post("/v2/models/both/versions/abc/infer", asked).json()
    assert [output["name"] for output in other["outputs"]] == ["scores"]
    assert other["outputs"][0]["shape"] == [2, 2]
    for wrong in (
        {"inputs": [{**tensor, "shape": [3]}]},
        {"inputs": [{**tensor, "shape": [1, 2]}]},
        {"inputs": [{**tensor, "datatype": "FP32"}]},
        {"inputs": [{**tensor, "data": [], "shape": [0]}]},
        {"inputs": [tensor, tensor]},
        {"inputs": [target]},
        {"inputs": [tensor], "parameters": {"task": 3}},
        {"inputs": [{**tensor, "data": ["", ""]}]},
    ):
        answer = place.post("/v2/models/feelings/infer", wrong)
        assert answer.status_code == 422
        assert isinstance(answer.json()["error"], str)
    assert place.post("/v2/models/feelings/versions/9/infer", {"inputs": [tensor]}).status_code == 404


def test_what_probes_ask(place: Running) -> None:
    assert place.get("/v2").json()["name"] == "maeum"
    assert place.get("/v2/health/live").json() == {"live": True}
    assert place.get("/v2/health/ready").json() == {"ready": True}
    assert place.get("/health").json() == {"status": "ok"}
    assert place.get("/v2/models/후기/ready").json() == {"name": "후기", "ready": True}
    about = place.get("/v2/models/both").json()
    assert about["parameters"] == {"tasks": ["feelings", "polar"], "default_task": "feelings"}
    assert about["outputs"][0] == {"name": "scores", "datatype": "FP32", "shape": [-1, 3]}
    head = httpx.head(place.url + "/health", trust_env=False)
    assert (head.status_code, head.content) == (200, b"")


# -- for people and machines ----------------------------------------------------------------------------------


def test_info_tells_models_and_limits_and_nothing_of_the_machine(place: Running, folders: Path) -> None:
    found = place.get("/info")
    told = found.json()
    assert told["model_type"]["classifier"]["label2id"] == {"기쁨": 0, "분노": 1, "슬픔": 2}
    assert (told["max_client_batch_size"], told["limits"]["max_chars"]) == (8, 500)
    assert str(folders) not in found.text
    assert "127.0.0.1" not in found.text


def test_metrics(place: Running) -> None:
    place.post("/v1/emotions", {"texts": ["하나", "둘"]})
    shown = place.get("/metrics")
    assert shown.headers["content-type"].startswith("text/plain")
    names = {line.split("{")[0].split(" ")[0] for line in shown.text.splitlines() if not line.startswith("#")}
    assert {
        "maeum_requests_total", "maeum_request_seconds_bucket", "maeum_texts_total", "maeum_queue_texts",
        "maeum_batch_texts_count", "maeum_requests_in_flight", "process_resident_memory_bytes",
    } <= names  # fmt: skip


def test_openapi_and_the_page_need_no_other_server(place: Running) -> None:
    openapi = place.get("/openapi.json").json()
    wanted = {
        "/v1/emotions",
        "/v1/reviews",
        "/v1/explain",
        "/v1/batch",
        "/v1/models",
        "/predict",
        "/health",
        "/info",
        "/metrics",
    }
    assert wanted <= set(openapi["paths"])
    schemas = openapi["components"]["schemas"]
    assert schemas["EmotionsRequest"]["properties"]["texts"]["maxItems"] == 8
    refs = {part.split('"')[0] for part in json.dumps(openapi).split("#/components/schemas/")[1:]}
    assert refs <= set(schemas)
    page = place.get("/docs").text
    for outside in ("http://", "https://", "//cdn", "src="):
        assert outside not in page
    for path in wanted:
        assert path in page


def test_the_page_of_the_docs_lists_every_route(place: Running) -> None:
    text = (Path(__file__).parents[2] / "docs" / "serve.md").read_text(encoding="utf-8")
    for path, methods in place.get("/openapi.json").json()["paths"].items():
        for method in methods:
            assert f"{method.upper()} {path}".replace("{name}", "{이름}") in text


@pytest.mark.parametrize("path", ["/v1/emotions", "/v1/reviews", "/v1/explain", "/v1/batch", "/predict", "/"])
def test_wrong_methods(place: Running, path: str) -> None:
    for method in ("GET", "HEAD", "PUT", "DELETE", "PATCH"):
        answer = httpx.request(method, place.url + path, trust_env=False)
        assert answer.status_code == 405
        assert answer.headers["allow"] == "POST"


def test_limits_of_texts(place: Running) -> None:
    for texts, status, code in (
        (["글"] * 9, 413, "too_many_texts"),
        (["글" * 501], 413, "text_too_long"),
        (["  \n"], 422, "invalid"),
        ([""], 422, "invalid"),
        ([], 422, "invalid"),
    ):
        answer = place.post("/v1/emotions", {"texts": texts})
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert place.post("/v1/emotions", {"texts": ["글" * 500] * 8}).status_code == 200


def test_browsers_may_call_from_origins_that_are_named(folders: Path) -> None:
    with serving([str(folders / "feelings")], cors_origin=("http://shop.example",), keys=(b"k",)) as place:
        asked = {"origin": "http://shop.example", "access-control-request-method": "POST"}
        assert httpx.options(place.url + "/v1/emotions", headers=asked, trust_env=False).status_code == 200
        refused = place.post("/v1/emotions", {"texts": ["글"]}, headers={"origin": "http://shop.example"})
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "http://shop.example")
        other = httpx.options(place.url + "/v1/emotions", headers={**asked, "origin": "http://other"}, trust_env=False)
        assert "access-control-allow-origin" not in other.headers


def test_behind_a_proxy_that_adds_a_path(folders: Path) -> None:
    with serving([str(folders / "feelings")], root_path="/api", keys=(b"k",)) as place:
        assert place.get("/health").status_code == 200
        assert "/api/openapi.json" in place.get("/docs").text
        wrong = place.post("/predict", {"inputs": "글"})
        assert (wrong.status_code, wrong.json()["error_type"]) == (401, "Unauthorized")


def test_texts_are_logged_only_if_asked(folders: Path) -> None:
    for log_texts in (False, True):
        with serving([str(folders / "feelings")], log_texts=log_texts) as place:
            place.post("/v1/emotions", {"texts": ["남몰래 적은 글"]})
            place.post("/v1/emotions", {"texts": [{"text": "남몰래", "target": "없는말"}]})
            place.get("/v1/emotions/남몰래")
            logged = json.dumps(place.events, ensure_ascii=False)
            assert ("남몰래 적은 글" in logged) == log_texts
            assert "없는말" not in logged


# -- when things go wrong ---------------------------------------------------------------------------------------


class Failing:
    """A head that fails in its own way."""

    def __init__(self, error: Exception) -> None:
        self.analyzer = feelings()
        self.error = error

    def __getattr__(self, name: str) -> Any:
        return getattr(self.analyzer, name)

    def predict_prepared(self, inputs: Any) -> Any:
        raise self.error


def test_a_model_that_fails_is_our_mistake_and_tells_nothing(place: Running) -> None:
    model = place.service.store.models["both"]
    before = model.current
    try:
        model.current = LoadedModel({"feelings": Failing(ValueError("몰래 쓴 글"))}, "bad")  # type: ignore[dict-item]
        for path, body in (
            ("/v1/emotions", {"texts": ["몰래 쓴 글"], "model": "both"}),
            ("/predict", {"inputs": "글", "model": "both"}),
        ):
            answer = place.post(path, body)
            assert answer.status_code == 500
            assert answer.headers["x-request-id"]
            assert "error" in answer.json()
            assert "몰래" not in answer.text
        answer, lines = batch(place, b'{"text": "a"}\nbad\n{"text": "b"}\n', "?model=both")
        assert [line.get("line", "done") for line in lines] == [1, 2, 3, "done"]
        assert lines[-1] == {"done": True, "rows": 0, "errors": 3}
        model.current = LoadedModel({"feelings": Failing(TimeoutError())}, "bad")  # type: ignore[dict-item]
        answer = place.post("/v1/emotions", {"texts": ["글"], "model": "both"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "timeout")
        assert answer.headers["retry-after"]
    finally:
        model.current = before
    assert place.post("/v1/emotions", {"texts": ["글"], "model": "both"}).status_code == 200
    assert "몰래" not in place.stream.getvalue()
    place.told(lambda all: any(e["event"] == "failed" and e["exception"]["type"] == "ValueError" for e in all))


def test_routes_of_fixed_addresses_are_answered_past_the_router(
    place: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(self: Any, scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("it went through the router")

    monkeypatch.setattr("fastapi.FastAPI.__call__", lost)
    own = "past-the-router"
    for path, body in (
        ("/v1/emotions?x=1", {"texts": ["글"]}),
        ("/v1/reviews", {"texts": ["옷이 예뻐요"], "model": "후기"}),
        ("/v1/explain", {"texts": ["글"]}),
        ("/predict", {"inputs": "글"}),
        ("/", {"inputs": "글"}),
    ):
        assert place.post(path, body, headers={"x-request-id": own}).status_code == 200, path
    assert place.post("/v1/emotions", {"texts": []}, headers={"x-request-id": own}).status_code == 422

    def routes(events: list[dict[str, Any]]) -> list[str]:
        return [event["route"] for event in events if event.get("id") == own]

    told = place.told(lambda events: len(routes(events)) == 6)
    assert routes(told) == ["/v1/emotions", "/v1/reviews", "/v1/explain", "/predict", "/", "/v1/emotions"]
    assert place.get("/v1/models").status_code == 500
