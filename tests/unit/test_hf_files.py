"""Finding the files of a model: folders, the hub and its cache, pooling."""

from __future__ import annotations

import ast
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny

from maeum._lang import set_language
from maeum.errors import UsageError
from maeum.hf import loading
from maeum.hf.files import pooling_of
from maeum.hf.tokenizers import load_tokenizer

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def shape(tiny_base: Callable[..., Path]) -> Callable[..., Path]:
    return tiny_base


@pytest.fixture
def copy(shape: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """A folder of one's own to break."""
    return lambda name: Path(shutil.copytree(shape(name), tmp_path / name))


def test_pooling(shape, copy) -> None:
    assert pooling_of(shape("e5")) == "mean"
    assert pooling_of(shape("klue-bert")) is None
    folder = copy("e5")
    config = folder / "1_Pooling" / "config.json"
    config.write_text(json.dumps({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}))
    assert pooling_of(folder) == "cls"
    config.write_text(json.dumps({"pooling_mode": "mean"}))
    assert pooling_of(folder) == "mean"
    config.write_text(json.dumps({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}))
    assert pooling_of(folder) is None


def test_local_refs_that_are_wrong(tmp_path: Path, copy) -> None:
    with pytest.raises(UsageError, match="there is no model folder"):
        loading.load_config(tmp_path / "missing")
    with pytest.raises(UsageError, match="there is no model folder"):
        loading.load_config("./a/b")
    with pytest.raises(UsageError, match=r"has no config\.json"):
        load_tokenizer(tmp_path)
    (tmp_path / "file.bin").touch()
    with pytest.raises(UsageError, match="a model is a folder"):
        loading.load_config(tmp_path / "file.bin")
    folder = copy("klue-bert")
    (folder / "model.safetensors").unlink()
    with pytest.raises(UsageError, match=r"neither model\.safetensors nor pytorch_model\.bin"):
        loading.load_backbone(folder)


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_a_hub_id_while_offline(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "1")  # after the client was imported, which read it then
    for load in (load_tokenizer, loading.load_config, loading.load_backbone, loading.load_masked_lm):
        with pytest.raises(UsageError, match=r"no folder 'nobody/nothing'.*offline mode is on.*maeum base e5-small-ko"):
            load("nobody/nothing")
    set_language("ko")
    with pytest.raises(UsageError, match="오프라인 모드"):
        loading.load_config("nobody/nothing")


def test_a_hub_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub
    from huggingface_hub import constants
    from huggingface_hub.errors import LocalEntryNotFoundError

    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for error in (LocalEntryNotFoundError("no"), ConnectionError("no")):

        def fail(*args: object, error: Exception = error, **kwargs: object) -> str:
            raise error

        monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
        with pytest.raises(UsageError, match="the hub cannot be reached; give a local folder"):
            loading.load_config("nobody/nothing")


def test_a_downloaded_copy_works_offline(shape, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    home, commit = tmp_path / "models--nobody--tiny", "0" * 40
    shutil.copytree(shape("kobert"), home / "snapshots" / commit)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert loading.load_backbone("nobody/tiny").config.hidden_size == tiny.WIDTH
    assert load_tokenizer("nobody/tiny").cls_token == "[CLS]"


@pytest.mark.parametrize("weights", ["model.safetensors", "pytorch_model.bin"])
def test_a_hub_id_fetches_bin_only_where_there_is_nothing_else(
    copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: str
) -> None:
    import fnmatch

    import huggingface_hub

    remote, cache = copy("klue-bert"), tmp_path / "cache"
    cache.mkdir()
    kept = (remote / "model.safetensors").read_bytes()
    tiny.as_bin(remote)
    if weights == "model.safetensors":
        (remote / weights).write_bytes(kept)  # the hub has both

    def download(name: str, *, allow_patterns: list[str], **kwargs: object) -> str:
        for path in remote.iterdir():
            if any(fnmatch.fnmatch(path.name, pattern) for pattern in allow_patterns):
                shutil.copy(path, cache)
        return str(cache)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    load_tokenizer("klue/bert-base")
    fetched = {path.name for path in cache.iterdir()}
    assert not fetched & {"model.safetensors", "pytorch_model.bin"}
    loading.load_backbone("klue/bert-base")
    assert {path.name for path in cache.iterdir()} - fetched == {weights}


def test_nothing_is_printed(shape, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = loading.load_classifier(shape("klue-roberta"), 3)
    loading.load_masked_lm(shape("kcelectra"))
    loading.save_pretrained(model, load_tokenizer(shape("klue-roberta")), tmp_path)
    out = capfd.readouterr()
    assert (out.out, out.err) == ("", "")


def test_only_this_package_calls_the_hugging_face_libraries() -> None:
    names = {"transformers", "accelerate", "huggingface_hub"}
    source = Path(loading.__file__).parents[1]
    for path in source.rglob("*.py"):
        if source / "hf" in path.parents:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        # A bare ``require("transformers")`` only asks whether it is there, before any work is done.
        asked = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            used: list[str] = []
            if isinstance(node, ast.Import):
                used = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                used = [node.module or ""]
            elif isinstance(node, ast.Call) and id(node) not in asked:
                called = getattr(node.func, "id", getattr(node.func, "attr", ""))
                if called in ("require", "import_module"):
                    used = [str(arg.value) for arg in node.args if isinstance(arg, ast.Constant)]
            assert not {name.split(".")[0] for name in used} & names, path
