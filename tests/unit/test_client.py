"""The client against services that answer as docs/serve.md says, and against bad ones; the real one is in tests/slow."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Callable

import httpx
import pytest

from maeum.client import BatchRow, Client, CutShort, ServiceError
from maeum.data import Input, Target
from maeum.errors import DataError, UsageError

LIMITS = {"max_texts": 3, "max_explain_texts": 2, "max_payload_bytes": 4096}


class Service:
    """Answers every text with one label, its length; ``refusals`` come first."""

    def __init__(self, *refusals: httpx.Response | Exception) -> None:
        self.refusals = list(refusals)
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if request.url.path == "/info":
            return httpx.Response(200, json={"limits": LIMITS})
        if self.refusals:
            refusal = self.refusals.pop(0)
            if isinstance(refusal, Exception):
                raise refusal
            return refusal
        if request.url.path == "/v1/batch":
            lines = [self.line(n, json.loads(row)) for n, row in enumerate(request.content.splitlines(), 1)]
            done = {"done": True, "rows": len(lines), "errors": 0}
            return httpx.Response(200, content="".join(json.dumps(line) + "\n" for line in [*lines, done]))
        body = json.loads(request.content)
        return httpx.Response(200, json={"model": "m", "results": [self.result(text) for text in body["texts"]]})

    @staticmethod
    def result(row: dict) -> dict:
        return {"text": row["text"], "labels": [str(len(row["text"]))], "scores": {"t": {"joy": 0.5}}}

    @staticmethod
    def line(number: int, row: dict) -> dict:
        if not isinstance(row["text"], str):
            return {"line": number, "error": {"code": "bad_line", "message": "no text"}}
        return {"id": row["id"], "text": row["text"], "target": None, "labels": ["joy"], "scores": {"joy": 0.5}}

    def asked_for(self, path: str) -> list[dict]:
        return [json.loads(request.content) for request in self.asked if request.url.path == path]


def connect(service: Callable[[httpx.Request], httpx.Response], **options) -> tuple[Client, list[float]]:
    client = Client("http://host", transport=httpx.MockTransport(service), **options)
    waited: list[float] = []
    client._sleep = waited.append
    return client, waited


def refusal(status: int, code: str, **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"error": {"code": code, "message": "so"}}, headers=headers)


def test_texts_of_all_kinds_are_asked_and_answers_read():
    service = Service()
    client, _ = connect(service)
    found = client.emotions(
        ["배우가 좋다", {"text": "결말", "target": "결말"}, Input("표가", Target("표", 0, 1))], target="배우", task="t"
    )
    assert [item.labels for item in found] == [("6",), ("2",), ("2",)]
    assert found[0].labels_by_task == {"t": ("6",)}
    assert found[0].to_dict() == service.result({"text": "배우가 좋다"})
    assert service.asked_for("/v1/emotions") == [
        {
            "texts": [
                {"text": "배우가 좋다", "target": "배우"},
                {"text": "결말", "target": "결말"},
                {"text": "표가", "target": {"form": "표", "begin": 0, "end": 1}},
            ],
            "task": "t",
        }
    ]


def test_long_lists_go_in_the_parts_the_service_takes():
    service = Service()
    client, _ = connect(service)
    texts = ["가" * n for n in range(1, 8)]
    assert [item.text for item in client.emotions(texts)] == texts
    assert [len(body["texts"]) for body in service.asked_for("/v1/emotions")] == [3, 3, 1]
    # 1 500 characters of three bytes: over half the payload with any other
    long = ["나" * 600] * 3
    assert len(client.emotions(long)) == 3
    assert [len(body["texts"]) for body in service.asked_for("/v1/emotions")][3:] == [1, 1, 1]
    assert [request.url.path for request in service.asked].count("/info") == 1
    assert client.emotions([]) == []


def test_what_may_pass_is_asked_again_and_waits_as_told():
    service = Service(
        refusal(429, "overloaded", **{"Retry-After": "2"}),
        httpx.ConnectError("refused"),
        httpx.RemoteProtocolError("closed"),
        refusal(503, "draining", **{"Retry-After": "1000"}),
        httpx.Response(503, text="<html>a proxy</html>"),
    )
    client, waited = connect(service)
    assert client.emotions(["좋다"])[0].labels == ("2",)
    assert 2 <= waited[0] <= 2.5 + 0.15
    assert all(0 < pause < 2 for pause in waited[1:3])
    assert waited[3] == 30
    assert len(waited) == 5


@pytest.mark.parametrize("status", [400, 401, 404, 405, 408, 413, 415, 422, 500, 502])
def test_other_refusals_are_raised_at_once(status):
    service = Service(refusal(status, "why", **{"X-Request-ID": "r-1"}))
    client, waited = connect(service)
    with pytest.raises(ServiceError, match=r"why.*so") as raised:
        client.emotions(["좋다"])
    assert (raised.value.status, raised.value.code, raised.value.request_id) == (status, "why", "r-1")
    assert waited == []


def test_it_gives_up_after_the_last_attempt():
    client, waited = connect(lambda request: refusal(429, "overloaded"), retries=2)
    with pytest.raises(ServiceError) as raised:
        client.emotions(["좋다"])
    assert raised.value.code == "overloaded"
    assert len(waited) == 2

    def nobody(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    client, waited = connect(nobody, retries=1)
    with pytest.raises(ServiceError, match="is the service running") as raised:
        client.info()
    assert (raised.value.status, raised.value.code, len(waited)) == (None, "unreachable", 1)
    assert client.health() is False


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={}),
        httpx.Response(200, json={"results": []}),
    ],
)
def test_another_service_is_noticed(answer):
    client, waited = connect(lambda request: answer)
    with pytest.raises(ServiceError, match="no answer of a maeum service") as raised:
        client.emotions(["좋다"])
    assert raised.value.code == "no_maeum"
    assert waited == []


def test_batch_takes_rows_as_answers_are_used():
    service = Service()
    client, _ = connect(service)
    taken = itertools.count()
    rows = ({"id": f"r{n}", "text": "좋다"} for n in taken)
    answers = client.batch(rows, parallel=2)
    first = list(itertools.islice(answers, 300))
    answers.close()
    assert [row.id for row in first] == [f"r{n}" for n in range(300)]
    assert [row.number for row in first] == list(range(1, 301))
    # four parts of 256, and the row that did not fit the last
    assert next(taken) <= 4 * 256 + 2


def test_batch_rows_keep_their_places():
    service = Service()
    client, _ = connect(service)
    rows = ["좋다", {"text": None}, {"id": "own", "text": "표"}]
    found = list(client.batch(rows, start=0))
    assert [row.id for row in found] == ["row-000001", "row-000002", "own"]
    assert found[1] == BatchRow(2, "row-000002", "no text", (), {}, code="bad_line")
    error = {"code": "bad_line", "message": "no text"}
    assert found[1].to_dict() == {"id": "row-000002", "line": 2, "error": error}
    assert found[2].to_dict() == {"id": "own", "text": "표", "target": None, "labels": ["joy"], "scores": {"joy": 0.5}}
    assert [row.number for row in client.batch(rows, start=2)] == [3]
    assert list(client.batch([])) == []


class Cutting(httpx.SyncByteStream):
    """A body that breaks off."""

    def __init__(self, body: bytes, error: Exception | None) -> None:
        self.body, self.error = body, error

    def __iter__(self):
        yield self.body
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize("error", [None, httpx.RemoteProtocolError("peer closed"), httpx.ReadTimeout("slow")])
@pytest.mark.parametrize("rest", [b"", b'{"id": "ha'])
def test_a_cut_batch_goes_on_from_the_line_it_got_to(error, rest):
    whole = Service()

    def cuts(request: httpx.Request) -> httpx.Response:
        """Two lines an answer, then the end: until only two or fewer are asked for."""
        answer = whole(request)
        lines = answer.content.splitlines(keepends=True)
        if len(lines) <= 3:
            return answer
        return httpx.Response(200, stream=Cutting(b"".join(lines[:2]) + rest, error))

    client, waited = connect(cuts, retries=1)
    rows = [f"글 {n}" for n in range(9)]
    found = list(client.batch(rows))
    assert [row.text for row in found] == rows
    assert [row.id for row in found] == [f"row-{n:06d}" for n in range(1, 10)]
    assert len(waited) == 4


def test_a_batch_that_cannot_go_on_says_how_far_it_got():
    whole = Service()
    asked = itertools.count()

    def dies(request: httpx.Request) -> httpx.Response:
        if next(asked):
            raise httpx.ConnectError("refused")
        lines = whole(request).content.splitlines(keepends=True)
        return httpx.Response(200, stream=Cutting(b"".join(lines[:5]), httpx.ReadError("reset")))

    client, waited = connect(dies, retries=2)
    rows = [f"글 {n}" for n in range(9)]
    got: list[str] = []
    with pytest.raises(CutShort, match=r"stopped after 5 rows.*batch\(rows, start=5\)") as raised:
        # what was given before the error counts
        got.extend(row.text for row in client.batch(rows))
    assert got == rows[:5]
    assert raised.value.done == 5
    assert len(waited) == 2
    client, _ = connect(whole)
    assert [row.text for row in client.batch(rows, start=raised.value.done)] == rows[5:]


@pytest.mark.parametrize("said", [{"line": 3, "error": {"code": "draining"}}, {"error": {"code": "slow_body"}}])
def test_what_ends_a_stream_is_no_answer_to_a_row(said):
    """A service that stops says so in a line; the rows from there on are asked for again."""
    whole = Service()
    said["error"]["message"] = "so"
    stops = [True]

    def stopping(request: httpx.Request) -> httpx.Response:
        lines = whole(request).content.splitlines(keepends=True)
        body = b"".join(lines[:2]) + json.dumps(said).encode() if stops else b"".join(lines)
        stops.clear()
        return httpx.Response(200, content=body)

    client, waited = connect(stopping)
    found = list(client.batch([f"글 {n}" for n in range(5)]))
    assert [(row.number, row.error) for row in found] == [(n, None) for n in range(1, 6)]
    assert len(waited) == 1


def test_a_batch_with_wrong_lines_is_not_believed():
    one = json.dumps(Service.line(1, {"id": "a", "text": "글"})).encode() + b"\n"
    done = b'{"done": true}\n'
    for body in (done, one + one + done, b'{"line": 7, "error": {"message": "?"}}\n' + done, b"[]\n"):
        client, waited = connect(lambda request, body=body: httpx.Response(200, content=body))
        with pytest.raises(CutShort, match="no answer of a maeum service"):
            list(client.batch(["글"]))
        assert waited == []


def test_refused_batches_are_raised():
    client, waited = connect(Service(refusal(404, "unknown_model")))
    with pytest.raises(CutShort) as raised:
        list(client.batch(["글"], model="none"))
    assert (raised.value.code, raised.value.done, waited) == ("unknown_model", 0, [])


def test_the_key_is_sent_and_not_shown(monkeypatch):
    service = Service()
    monkeypatch.setenv("MAEUM_API_KEY", "from-env")
    client, _ = connect(service)
    client.info()
    given, _ = connect(service, api_key="given")
    given.info()
    none, _ = connect(service, api_key="")
    none.info()
    keys = [request.headers.get("authorization") for request in service.asked]
    assert keys == ["Bearer from-env", "Bearer given", None]
    assert "given" not in repr(given)


def test_nonsense_is_refused_before_anything_is_sent():
    for bad in ({"url": "host:80"}, {"url": "http://h", "timeout": 0}, {"url": "http://h", "retries": -1}):
        with pytest.raises(UsageError):
            Client(**bad)
    with pytest.raises(UsageError, match="ASCII"):
        Client("http://h", api_key="열쇠")
    service = Service()
    client, _ = connect(service)
    with pytest.raises(TypeError, match="wrap it"):
        client.emotions("글")
    with pytest.raises(TypeError, match="wrap it"):
        list(client.batch("글"))
    with pytest.raises(DataError, match="JSON cannot hold"):
        client.emotions([{"text": float("nan")}])
    assert service.asked == []
    # half a surrogate pair is no UTF-8, but JSON can say it, and the service judge it
    refusing, _ = connect(Service(refusal(400, "bad_json")))
    with pytest.raises(ServiceError, match="bad_json"):
        refusing.emotions(["\ud83d"])


def test_importing_maeum_does_not_import_the_client():
    asked = "import sys, maeum, maeum.errors; print([m for m in sys.modules if 'client' in m or m == 'httpx'])"
    said = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
