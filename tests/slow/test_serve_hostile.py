"""Two hundred requests that mean harm: each gets a clean 4xx, or a closed connection where it was no HTTP at all.

All of them carry a secret in the text and the key; nothing of it may be in the log. The service answers as before after
each of them.
"""

from __future__ import annotations

import itertools
import json
import random
import re
import socket
import string
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving_kit import Running, feelings, reviews, serving

from maeum.folder import save

pytestmark = pytest.mark.slow

SECRET = "남몰래적은비밀글"
KEY = "correct-horse-battery"
WRONG = "wrong-horse-battery"
MARK = "zzSECRETzz"
"""What goes where no Hangul can: paths, headers, keys."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("hostile")
    save(feelings(), folder / "feelings")
    save(reviews(), folder / "shop")
    limits = {"max_texts": 4, "max_queue": 256, "max_chars": 200, "max_payload_bytes": 20_000, "body_timeout": 0.4}
    with serving([str(folder / "feelings"), str(folder / "shop")], keys=(KEY.encode(),), **limits) as running:
        yield running


def request(
    body: bytes = b"", *, path: str = "/v1/emotions", method: str = "POST", key: str | None = KEY, **headers: str
) -> bytes:
    """A whole request; ``headers`` replace those it would have."""
    fields = {"Host": "x", "Content-Type": "application/json", "Content-Length": str(len(body))}
    if key is not None:
        fields["Authorization"] = f"Bearer {key}"
    fields |= {name.replace("_", "-").title(): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value != "-")
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("utf-8", "surrogateescape") + body


def as_json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def bodies() -> Iterator[tuple[str, bytes]]:
    """Bodies that are no request for any route with a body in JSON."""
    s = SECRET.encode()
    yield from {
        "empty": b"",
        "space": b" \n\t",
        "null": b"null",
        "number": b"1",
        "string": b'"' + s + b'"',
        "list": b'["' + s + b'"]',
        "true": b"true",
        "cut": b'{"texts": ["' + s,
        "cut in a letter": b'{"texts": ["' + s[:-1] + b'"]}',
        "trailing": b'{"texts": ["' + s + b'"]} x',
        "two": b'{"texts": ["' + s + b'"]}{"texts": ["x"]}',
        "single quotes": b"{'texts': ['" + s + b"']}",
        "comment": b'{"texts": ["' + s + b'"] /* x */}',
        "trailing comma": b'{"texts": ["' + s + b'",]}',
        "nan": b'{"texts": [NaN]}',
        "infinity": b'{"texts": [-Infinity]}',
        "huge number": b'{"texts": [' + b"9" * 6000 + b"]}",
        "huge exponent": b'{"texts": [1e999999]}',
        "deep lists": b"[" * 9000 + b"]" * 9000,
        "deep objects": b'{"a":' * 3000 + b"1" + b"}" * 3000,
        "deep cut": b"[" * 19000,
        "deep texts": b'{"texts": ' + b"[" * 50 + b'"' + s + b'"' + b"]" * 50 + b"}",
        "nul": b'{"texts": ["' + s + b'\\u0000"]}',
        "raw nul": b'{"texts": ["' + s + b'\x00"]}',
        "control": b'{"texts": ["' + s + b'\x01"]}',
        "high surrogate": b'{"texts": ["' + s + b'\\ud83d"]}',
        "low surrogate": b'{"texts": ["\\ude00' + s + b'"]}',
        "swapped surrogates": b'{"texts": ["\\ude00\\ud83d"]}',
        "surrogate key": b'{"\\ud800": 1, "texts": ["' + s + b'"]}',
        "latin": b'{"texts": ["caf\xe9"]}',
        "cp949": '{"texts": ["비밀"]}'.encode("cp949"),
        "utf-16": '{"texts": ["비밀"]}'.encode("utf-16"),
        "overlong": b'{"texts": ["\xc0\xaf"]}',
        "encoded surrogate": b'{"texts": ["\xed\xa0\x80"]}',
        "beyond unicode": b'{"texts": ["\xf5\x80\x80\x80"]}',
        "bom": b'\xef\xbb\xbf{"texts": ["' + s + b'"]}',
        "twice": b'{"texts": ["' + s + b'"], "texts": ["x"]}',
        "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
        "xml": b"<texts><text>" + s + b"</text></texts>",
        "form": b"texts=" + s,
        "pickle": b"\x80\x04\x95\x0f\x00\x00\x00\x00\x00\x00\x00.",
        "too large": b'{"texts": ["' + s * 2000 + b'"]}',
    }.items()


def wrong_values() -> Iterator[tuple[str, str, object]]:
    """(name, path, value): JSON that is no request of its route."""
    text = SECRET
    for number, texts in enumerate(
        (
            [],
            None,
            text,
            {},
            1,
            [None],
            [1],
            [True],
            [[text]],
            [{}],
            [{"text": None}],
            [{"text": [text]}],
            [""],
            [" \n"],
        )
    ):
        for path in ("/v1/emotions", "/v1/reviews", "/v1/explain"):
            yield f"texts {number}", path, {"texts": texts}
    for name, value in {
        "too many": {"texts": [text] * 5},
        "too long": {"texts": [text * 40]},
        "no texts": {},
        "unknown field": {"texts": [text], MARK: 1},
        "proto": {"texts": [text], "__proto__": {}},
        "unknown in item": {"texts": [{"text": text, MARK: 1}]},
        "target elsewhere": {"texts": [{"text": text, "target": MARK}]},
        "empty target": {"texts": [{"text": text, "target": ""}]},
        "target number": {"texts": [{"text": text, "target": 1}]},
        "negative span": {"texts": [{"text": text, "target": {"form": "남", "begin": -1, "end": 1}}]},
        "far span": {"texts": [{"text": text, "target": {"form": "남", "begin": 0, "end": 10**9}}]},
        "huge span": {"texts": [{"text": text, "target": {"form": "남", "begin": 0, "end": 10**40}}]},
        "float span": {"texts": [{"text": text, "target": {"form": "남", "begin": 0.0, "end": 1.0}}]},
        "wrong span": {"texts": [{"text": text, "target": {"form": "비밀", "begin": 0, "end": 2}}]},
        "model number": {"texts": [text], "model": 1},
        "model empty": {"texts": [text], "model": ""},
        "model list": {"texts": [text], "model": ["feelings"]},
        "model long": {"texts": [text], "model": "x" * 5000},
        "model dots": {"texts": [text], "model": "../../etc/passwd"},
        "model path": {"texts": [text], "model": "/etc/passwd"},
        "model home": {"texts": [text], "model": "~"},
        "model url": {"texts": [text], "model": "http://127.0.0.1:1/"},
        "model percent": {"texts": [text], "model": "%2e%2e%2f"},
        "model backslash": {"texts": [text], "model": "..\\..\\x"},
        "model newline": {"texts": [text], "model": "feelings\n"},
        "task unknown": {"texts": [text], "task": MARK},
        "task dots": {"texts": [text], "task": "../polar"},
        "task class": {"texts": [text], "task": "__class__"},
    }.items():
        yield name, "/v1/emotions", value
    for name, value in {
        "no aspects": {"texts": [text]},
        "evidence string": {"texts": [text], "model": "shop", "evidence": "yes"},
        "evidence zero": {"texts": [text], "model": "shop", "evidence": 0},
        "evidence many": {"texts": [text], "model": "shop", "evidence": 10**9},
    }.items():
        yield name, "/v1/reviews", value
    for name, value in {
        "label unknown": {"texts": [text], "labels": [MARK]},
        "labels string": {"texts": [text], "labels": "joy"},
        "labels many": {"texts": [text], "labels": ["joy"] * 100},
        "aspects of none": {"texts": [text], "aspects": ["배송"]},
        "unit": {"texts": [text], "unit": MARK},
        "method": {"texts": [text], "method": "os.system"},
        "gradients of none": {"texts": [text], "method": "ig"},
        "leave out": {"texts": [text], "leave_out": 10**6},
        "top": {"texts": [text], "top": -1},
    }.items():
        yield name, "/v1/explain", value
    for number, inputs in enumerate(
        (None, 1, [], [[]], [[text, text, text]], [[text, MARK]], {"text": text}, "", [""])
    ):
        for path in ("/predict", "/"):
            yield f"inputs {number}", path, {"inputs": inputs}
    yield "function", "/predict", {"inputs": text, "parameters": {"function_to_apply": "exec"}}
    yield "top k", "/predict", {"inputs": text, "top_k": 0}
    yield (
        "contradiction",
        "/predict",
        {"inputs": text, "raw_scores": True, "parameters": {"function_to_apply": "softmax"}},
    )
    tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": [text]}
    for number, change in enumerate(
        (
            {"shape": [2]}, {"shape": [-1]}, {"shape": []}, {"shape": [10**9]}, {"datatype": "INT64"}, {"data": [1]},
            {"name": MARK}, {"data": text}, {"shape": [1, 1, 1]}, {"data": [[text], [text, text]]}, {"extra": 1},
        )
    ):  # fmt: skip
        yield f"tensor {number}", "/v2/models/feelings/infer", {"inputs": [{**tensor, **change}]}
    yield "no tensor", "/v2/models/feelings/infer", {"inputs": []}
    yield "output", "/v2/models/feelings/infer", {"inputs": [tensor], "outputs": [{"name": MARK}]}


def raw_requests() -> Iterator[tuple[str, list[bytes]]]:
    """(name, pieces): what is wrong is not the JSON."""
    good = as_json({"texts": [SECRET]})
    for name, key in {"none": None, "wrong": WRONG, "empty": "", "long": "k" * 5000, "prefix": KEY[:-1]}.items():
        yield f"key {name}", [request(good, key=key)]
    yield "key non-ascii", [request(good, authorization="Bearer \udcff\udcfe")]
    yield "key basic", [request(good, authorization="Basic " + KEY)]
    for path in (
        "/v2/models/../../etc/passwd", "/v2/models/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "/v2/models/..", "/v2/models/%00",
        f"/v2/models/{MARK}", "/v2/models/feelings%2f..%2fshop", "/v2/models/%ff%fe", "//v2/models/feelings", "/v2/models/",
        "/v2/models/feelings/versions/../infer", f"/{MARK}", "/../../etc/passwd", "/static/../../x", "/.env", "/v1", "/V1/EMOTIONS",
        "/v1/emotions/", "/v1//emotions", "/v1/emotions;x", "/v2/models/feelings\\..", "/v2/models/" + "a" * 3000,
    ):  # fmt: skip
        yield f"path {path[:40]}", [request(path=path, method="GET")]
    for method in ("GET", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "FOO", "HEAD"):
        yield f"method {method}", [request(method=method, connection="close")]
    for kind in (
        "-",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/",
        "json",
    ):
        yield f"type {kind}", [request(good, content_type=kind)]
    yield "encoding", [request(good, content_encoding="gzip")]
    yield "length too long", [request(good, content_length=str(10**12))]
    yield "length longer", [request(good, content_length=str(len(good) + 5))]
    yield "length negative", [request(good, content_length="-1")]
    yield "length word", [request(good, content_length="many")]
    yield "two lengths", [request(good).replace(b"Content-Length", b"Content-Length: 3\r\nContent-Length")]
    yield "length and chunks", [request(b"", transfer_encoding="chunked, chunked") + b"0\r\n\r\n"]
    chunked = request(b"", transfer_encoding="chunked", content_length="-")
    yield "chunk size", [chunked + b"zz\r\n" + good + b"\r\n0\r\n\r\n"]
    yield "chunk short", [chunked + b"5\r\n" + good + b"\r\n0\r\n\r\n"]
    yield "chunk negative", [chunked + b"-1\r\n\r\n"]
    yield "chunk huge", [chunked + b"f" * 40 + b"\r\n"]
    yield (
        "chunks too large",
        [chunked + b"1000\r\n" + b"x" * 4096 + b"\r\n", *([b"1000\r\n" + b"x" * 4096 + b"\r\n"] * 6)],
    )
    yield "chunks without end", [chunked + b"2\r\n{ \r\n"]
    yield "slow body", [request(b"", content_length="50"), *(b"{", b" ", b" ", b" ", b" ", b" ")]
    yield "slow chunks", [chunked, *([b"1\r\n{\r\n"] * 6)]
    yield "header huge", [request(good, x_big="a" * 70_000)]
    yield "headers many", [request(good, **{f"x_{n}": "a" * 100 for n in range(600)})]
    yield "header nul", [request(good, x_nul="a\x00b")]
    yield "header line", [request(good).replace(b"Host: x", b"Host: x\r\nno colon here")]
    yield "header folded", [request(good).replace(b"Host: x", b"Host: x\r\n : y")]
    yield "no host", [request(good, host="-")]
    yield "two hosts", [request(good).replace(b"Host: x", b"Host: x\r\nHost: y")]
    yield (
        "websocket",
        [request(b"", method="GET", connection="Upgrade", upgrade="websocket", sec_websocket_version="13")],
    )
    yield "version", [request(good).replace(b"HTTP/1.1", b"HTTP/9.9")]
    yield "preface", [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
    yield "garbage", [b"\x00\x01\x02" + SECRET.encode() + b"\r\n\r\n"]
    yield "tls", [bytes.fromhex("16030100a5010000a10303") + b"\x00" * 50]
    yield "line only", [b"GET\r\n\r\n"]
    yield "spaces", [b"   \r\n\r\n"]
    yield "slow headers", [b"POST /v1/emotions HTTP/1.1\r\n", b"Host: x\r\n", b"X: ", b"a", b"b", b"c"]


def random_garbage(count: int) -> Iterator[tuple[str, list[bytes]]]:
    """Requests with some bytes changed, the same each time."""
    chance = random.Random(7)
    good = request(as_json({"texts": [SECRET], "model": "feelings"}))
    for number in range(count):
        wild = bytearray(good)
        for _ in range(chance.randint(1, 6)):
            wild[chance.randrange(len(wild))] = chance.choice([0, 10, 13, 34, 92, 123, 255, *string.printable.encode()])
        yield f"changed {number}", [bytes(wild)]


def hostile() -> list[tuple[str, list[bytes]]]:
    paths = itertools.cycle(["/v1/emotions", "/v1/reviews", "/v1/explain", "/predict", "/v2/models/feelings/infer"])
    cases = [(f"body {name}", [request(body, path=next(paths))]) for name, body in bodies()]
    cases += [(f"{path} {name}", [request(as_json(value), path=path)]) for name, path, value in wrong_values()]
    return cases + list(raw_requests())


CLOSED = ("garbage", "tls", "line only", "spaces", "preface", "slow headers", "chunk")
"""What may end with a closed connection and no answer: it is no HTTP, or breaks off being it."""


def test_each_gets_a_clean_refusal(place: Running) -> None:
    cases = hostile()
    assert len(cases) >= 200
    wrong: list[str] = []
    for name, pieces in cases:
        found = place.raw(pieces, pause=0.12 if "slow" in name else 0.0)
        status = re.match(rb"HTTP/1\.1 (\d{3})", found)
        if status is None:
            if found or not name.startswith(CLOSED):
                wrong.append(f"{name}: {found[:80]!r}")
        elif not 400 <= int(status[1]) < 500:
            wrong.append(f"{name}: {found[:200]!r}")
        elif SECRET.encode() in found.partition(b"\r\n\r\n")[0]:
            wrong.append(f"{name}: the answer's headers quote the request")
    assert not wrong, "\n".join(wrong)
    good = place.raw(request(as_json({"texts": [SECRET]})))
    assert good.startswith(b"HTTP/1.1 200")
    logged = place.stream.getvalue()
    for told in (SECRET, KEY, WRONG, MARK, "etc/passwd"):
        assert told not in logged
        assert json.dumps(told)[1:-1] not in logged
    until = time.monotonic() + 2
    while place.service.lifecycle.in_flight and time.monotonic() < until:
        time.sleep(0.01)  # an answer is on its way before the request is over
    assert place.service.lifecycle.in_flight == 0


def test_changed_bytes_never_break_the_service(place: Running) -> None:
    for name, pieces in random_garbage(150):
        found = place.raw(pieces, seconds=5)
        status = re.match(rb"HTTP/1\.1 (\d{3})", found)
        # a change may leave a good request, or one that never ends and is closed
        assert status is None or int(status[1]) == 200 or 400 <= int(status[1]) < 500, (name, found[:200])
    assert SECRET not in place.stream.getvalue()
    assert not [event for event in place.events if event["event"] == "failed"]


def test_batch_bodies_that_stop_are_told_so(place: Running) -> None:
    head = request(
        b"", path="/v1/batch", transfer_encoding="chunked", content_length="-", content_type="application/jsonl"
    )
    line = as_json({"text": "기쁘고 행복한"}) + b"\n"
    found = place.raw([head + b"%x\r\n%s\r\n" % (len(line), line)], seconds=5)
    assert b'"scores"' in found
    assert b"slow_body" in found
    assert b'"done"' not in found


def test_the_service_goes_on_after_many_that_leave_at_once(place: Running) -> None:
    good = request(as_json({"texts": ["글 하나"]}))
    host, port = place.url.removeprefix("http://").rsplit(":", 1)
    for _ in range(50):
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.sendall(good)
    assert place.raw(good).startswith(b"HTTP/1.1 200")


def test_a_client_that_sends_without_reading_is_let_go(tmp_path: Path) -> None:
    """Its answers fill the buffers between, and nothing more is read of it; the service itself goes on."""
    save(feelings(), tmp_path / "m")
    line = as_json({"text": "글 " * 1000}) + b"\n"
    piece = b"%x\r\n%s\r\n" % (len(line) * 50, line * 50)
    with serving([str(tmp_path / "m")], timeout=0.5) as place:
        host, port = place.url.removeprefix("http://").rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(request(b"", path="/v1/batch", transfer_encoding="chunked", content_length="-"))
            with pytest.raises((ConnectionResetError, BrokenPipeError)):
                connection.sendall(piece * 300)
        assert place.post("/v1/emotions", {"texts": ["글"]}).status_code == 200
