"""Programs that others wrote, against our service: Hugging Face's client, KServe's protocol, schemathesis."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from serving_kit import Running, feelings, polar, reviews, serving

from maeum.folder import save
from maeum.serving.store import LoadedModel

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("clients")
    save(feelings(), folder / "feelings")
    save(reviews(), folder / "shop")
    models = [str(folder / "feelings"), str(folder / "shop"), f"both={folder / 'feelings'}"]
    with serving(models, max_texts=16, max_queue=512, max_chars=500, timeout=20) as running:
        heads = {"feelings": feelings(), "polar": polar()}
        running.service.store.models["both"].current = LoadedModel(heads, "abc")
        yield running


@pytest.mark.parametrize("path", ["/predict", "", "/"])
def test_the_hugging_face_client(place: Running, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    huggingface_hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)  # it refuses even this machine otherwise
    client = huggingface_hub.InferenceClient(model=place.url + path)
    text = "기쁘고 행복한 하루"
    scores = feelings().analyze([text])[0].scores
    found = client.text_classification(text)
    assert [(item.label, item.score) for item in found] == sorted(scores.items(), key=lambda pair: -pair[1])
    assert len(client.text_classification(text, top_k=2)) == 2
    plain = {item.label: item.score for item in client.text_classification(text, function_to_apply="sigmoid")}
    assert plain == pytest.approx(dict(scores), abs=2e-6)
    raw = client.text_classification(text, function_to_apply="none")
    assert raw[0].score > 0 > raw[-1].score
    with pytest.raises(huggingface_hub.errors.HfHubHTTPError, match="inputs"):
        client.text_classification(" ")


def test_a_raw_request_of_the_open_inference_protocol(place: Running) -> None:
    """As KServe's and Triton's clients write it: numbers and names as their specification has them."""
    head = {"content-type": "application/json"}
    body = (
        '{"id": "42", "inputs": [{"name": "text", "shape": [2], "datatype": "BYTES", "parameters": {"content_type": "str"}, '
        '"data": ["기쁘고 행복한 하루", "화가 나고"]}], "outputs": [{"name": "scores", "parameters": {"binary_data": false}}]}'
    )
    url = f"{place.url}/v2/models/feelings"
    assert httpx.get(f"{place.url}/v2/health/ready", trust_env=False).status_code == 200
    assert httpx.get(f"{url}/ready", trust_env=False).status_code == 200
    about = httpx.get(url, trust_env=False).json()
    assert {"name", "versions", "platform", "inputs", "outputs"} <= set(about)
    answer = httpx.post(f"{url}/infer", content=body.encode(), headers=head, trust_env=False)
    found = answer.json()
    assert (answer.status_code, found["id"], found["model_name"]) == (200, "42", "feelings")
    (output,) = found["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("scores", "FP32", [2, 3])
    wanted = [s for item in feelings().analyze(["기쁘고 행복한 하루", "화가 나고"]) for s in item.scores.values()]
    assert output["data"] == wanted


def test_what_openapi_promises_and_whatever_else_is_sent(place: Running) -> None:
    """No 5xx for requests that fit the description, and for those that do not."""
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis.errors import Unsatisfiable

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of its own dependencies
        schemathesis.serializer.alias("application/x-ndjson", "text/plain")
        schema = schemathesis.openapi.from_url(f"{place.url}/openapi.json")
        seen: dict[int, int] = {}
        for result in schema.get_all_operations():
            operation = result.ok()
            for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
                strategy = operation.as_strategy(generation_mode=mode)

                @settings(
                    max_examples=25,
                    deadline=None,
                    database=None,
                    derandomize=True,
                    phases=[Phase.generate],
                    suppress_health_check=list(HealthCheck),
                )
                @given(case=strategy)
                def ask(case: Any) -> None:
                    answer = case.call()
                    seen[answer.status_code] = seen.get(answer.status_code, 0) + 1
                    assert answer.status_code < 500, (case.as_curl_command(), answer.text)
                    if answer.status_code >= 400 and "json" in answer.headers.get("content-type", [""])[0]:
                        assert "error" in answer.json()

                # an address without parameters and body has nothing that could be wrong
                with contextlib.suppress(*((Unsatisfiable,) if mode.is_negative else ())):
                    ask()
    assert seen[200] > 30
    assert seen[422] > 20
