"""Decoders, adapters and their identity: every tiny shape, files that must be refused, 4 bits on the CPU."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import tiny_decoders

from maeum import _optional
from maeum.errors import FormatError, MissingExtra, UsageError
from maeum.hf import adapters, causal, memory
from maeum.hf.adapters import LoraSettings
from maeum.hf.loading import save_pretrained

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPES = list(tiny_decoders.SHAPES)
CPU = torch.device("cpu")
SMALL = LoraSettings(r=4, alpha=8, dropout=0.0)
NEOX = ["dense", "dense_4h_to_h", "dense_h_to_4h", "query_key_value"]
LLAMA = ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"]
IDS = torch.arange(300, 324).view(2, 12)


@pytest.fixture
def copy(tiny_decoder: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """A folder of one's own to break."""
    return lambda name: Path(shutil.copytree(tiny_decoder(name), tmp_path / name))


@pytest.fixture
def nf4() -> None:
    """4 bits on this CPU, or the reason why not."""
    pytest.importorskip("bitsandbytes")
    try:
        causal.check_quantize("nf4", "cpu")
    except Exception as error:  # pragma: no cover - depends on the machine
        pytest.skip(f"bitsandbytes does not work here: {error}")


def proba(model: Any) -> Any:
    with torch.no_grad():
        return model(input_ids=IDS).logits[:, -1].float().softmax(-1)


def learn(model: Any, steps: int = 3) -> list[float]:
    """A few steps on whatever is trainable, so that adapters are no longer nothing."""
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for _ in range(steps):
        loss = model(input_ids=IDS, labels=IDS).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    model.eval()
    return losses


def base_weights(model: Any) -> dict[str, Any]:
    """Name without what peft puts around it → a copy."""
    return {
        name.replace("base_model.model.", "").replace(".base_layer", ""): parameter.detach().clone()
        for name, parameter in model.named_parameters()
        if "lora_" not in name
    }


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_loads_and_its_words_are_single_tokens(tiny_decoder, name: str) -> None:
    folder = tiny_decoder(name)
    model, tokenizer = causal.load_causal(folder, device=CPU), causal.load_decoder_tokenizer(folder)
    assert not model.training
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    prompt = "### 문장: 배송이 좋아요 😂 뷁\n### 감정:"
    ids = tokenizer(prompt)["input_ids"]
    for word in tiny_decoders.WORDS:
        joint = tokenizer(f"{prompt} {word}")["input_ids"]
        assert joint[:-1] == ids
        assert tokenizer.decode(joint[-1:]).strip() == word
    first, second = proba(model)
    assert float((first - second).abs().max()) > 0.01  # the texts matter, or no test of equality could fail
    hidden = causal.load_decoder(folder, device=CPU)(input_ids=IDS).last_hidden_state
    assert hidden.shape == (2, 12, tiny_decoders.WIDTH)


def test_special_tokens_are_the_decoders_own(tiny_decoder) -> None:
    roles = ("bos_token", "eos_token", "unk_token", "pad_token", "cls_token", "sep_token", "mask_token")
    found = {}
    for name in SHAPES:
        tokenizer = causal.load_decoder_tokenizer(tiny_decoder(name))
        found[name] = tuple(getattr(tokenizer, role) for role in roles)
        starts = tokenizer("기쁨")["input_ids"][0] == tokenizer.bos_token_id
        assert starts == (name == "llama")
    end = "<|endoftext|>"
    assert found == {
        "gpt-neox": (end, end, end, end, None, None, None),
        "llama": ("<s>", "</s>", "<unk>", "</s>", None, None, None),
        "qwen": (None, "<|im_end|>", None, end, None, None, None),
    }


def test_the_chat_template_stays(tiny_decoder, tmp_path: Path) -> None:
    folder = tiny_decoder("qwen")
    tokenizer = causal.load_decoder_tokenizer(folder)
    said = [{"role": "user", "content": "안녕"}]
    want = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n안녕<|im_end|>\n<|im_start|>assistant\n"
    assert tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True) == want
    save_pretrained(causal.load_causal(folder, device=CPU), tokenizer, tmp_path)
    again = causal.load_decoder_tokenizer(tmp_path)
    assert again.apply_chat_template(said, tokenize=False, add_generation_prompt=True) == want
    assert "\n".join(tokenizer.convert_ids_to_tokens(tokenizer(want)["input_ids"])).count("<|im_start|>") == 3


def test_the_chat_template_stays_when_tokens_without_a_row_are_dropped(copy) -> None:
    folder = copy("qwen")
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    rows = json.loads((folder / "config.json").read_text())["vocab_size"]
    last = content["added_tokens"][-1]
    more = [{**last, "id": index, "content": f"<|extra {index}|>"} for index in range(last["id"] + 1, rows + 2)]
    content["added_tokens"] += more
    (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    tokenizer = causal.load_decoder_tokenizer(folder)
    assert len(tokenizer) == rows
    assert (tokenizer.chat_template, tokenizer.eos_token) == (tiny_decoders.CHATML, "<|im_end|>")


def test_a_llama_with_tokenizer_model_only_is_not_taken_for_kobert(copy) -> None:
    import sentencepiece

    folder = tiny_decoders.as_sentencepiece(copy("llama"))
    tokenizer = causal.load_decoder_tokenizer(folder)
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.unk_token) == ("<s>", "</s>", "<unk>")
    assert (tokenizer.cls_token, tokenizer.sep_token, tokenizer.mask_token) == (None, None, None)
    assert tokenizer.pad_token == "</s>"
    processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    for text in [*tiny.sentences()[:50], "뷁😂\n### 감정: 기쁨"]:
        assert tokenizer(text)["input_ids"] == [tokenizer.bos_token_id, *processor.encode(text)]


def test_a_tokenizer_class_inside_the_folder_is_not_run_and_not_needed(copy) -> None:
    folder = copy("llama")
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    settings |= {"tokenizer_class": "OwnTokenizer", "auto_map": {"AutoTokenizer": ["own.OwnTokenizer", None]}}
    path.write_text(json.dumps(settings))
    (folder / "own.py").write_text("raise SystemExit('code of a model folder was run')\n")
    tokenizer = causal.load_decoder_tokenizer(folder)
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == ("<s>", "</s>", "</s>")


def test_the_end_token_is_found_in_the_configuration(copy) -> None:
    folder = copy("llama")
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    (folder / "special_tokens_map.json").unlink()
    tokenizer = causal.load_decoder_tokenizer(folder)
    assert (tokenizer.eos_token, tokenizer.pad_token) == (settings["eos_token"], settings["eos_token"])
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "eos_token_id": None}))
    with pytest.raises(FormatError, match="neither an end-of-text nor a padding token"):
        causal.load_decoder_tokenizer(folder)


def test_context_lengths(tiny_decoder) -> None:
    assert [causal.context_length(tiny_decoder(name)) for name in SHAPES] == [2048, 4096, 32768]


def test_an_encoder_is_no_decoder(tiny_base) -> None:
    for load in (causal.load_causal, causal.load_decoder):
        with pytest.raises(UsageError, match=r"is not a decoder language model \(bert\)"):
            load(tiny_base("klue-bert"), device=CPU)


def test_pickles_are_refused(copy) -> None:
    folder = tiny.as_bin(copy("llama"))
    with pytest.raises(UsageError, match="has no safetensors weights"):
        causal.load_causal(folder, device=CPU)
    with pytest.raises(UsageError, match="has no safetensors weights"):
        causal.base_fingerprint(folder)


def test_missing_and_damaged_weights_are_refused(copy) -> None:
    from safetensors.torch import load_file, save_file

    path = copy("llama") / "model.safetensors"
    whole = load_file(path)
    less = {name: tensor.clone() for name, tensor in whole.items() if "layers.1.mlp.up" not in name}
    save_file(less, path, metadata={"format": "pt"})
    with pytest.raises(FormatError, match=r"model.layers.1.mlp.up_proj.weight is missing \(1 such\)"):
        causal.load_causal(path.parent, device=CPU)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(FormatError, match="cannot be loaded"):
        causal.load_causal(path.parent, device=CPU)


@pytest.mark.parametrize("name", SHAPES)
def test_adapters_come_back_the_same(tiny_decoder, tmp_path: Path, name: str) -> None:
    folder = tiny_decoder(name)
    model = causal.load_causal(folder, device=CPU)
    untrained, weights = proba(model), base_weights(model)
    adapted = adapters.add_lora(model, SMALL, seed=1)
    assert torch.equal(proba(adapted), untrained)
    losses = learn(adapted)
    assert losses[-1] < losses[0]
    trained = proba(adapted)
    assert float((trained - untrained).abs().max()) > 0.01
    assert same(base_weights(adapted), weights)
    adapters.save_adapter(adapted, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    again = adapters.load_adapter(causal.load_causal(folder, device=CPU), tmp_path)
    assert torch.equal(proba(again), trained)
    assert same(base_weights(again), weights)
    assert not again.training
    assert causal.parameter_counts(again)[0] == 0


def test_the_folder_is_pefts_and_names_no_place_of_this_machine(tiny_decoder, tmp_path: Path) -> None:
    import peft

    folder = tiny_decoder("llama")
    adapted = adapters.add_lora(causal.load_causal(folder, device=CPU), SMALL, seed=1)
    learn(adapted)
    adapters.save_adapter(adapted, tmp_path)
    written = (tmp_path / "adapter_config.json").read_text()
    assert str(folder) not in written
    assert json.loads(written)["target_modules"] == LLAMA
    base = causal.load_causal(folder, device=CPU)
    with pytest.warns(FutureWarning, match="is_gradient_checkpointing"):  # peft's own; ours is silent
        plain = peft.PeftModel.from_pretrained(base, tmp_path)
    assert torch.equal(proba(plain.eval()), proba(adapted))


def test_training_goes_on_from_a_folder(tiny_decoder, tmp_path: Path) -> None:
    folder = tiny_decoder("qwen")
    adapted = adapters.add_lora(causal.load_causal(folder, device=CPU), SMALL, seed=1)
    losses = learn(adapted)
    adapters.save_adapter(adapted, tmp_path)
    again = adapters.load_adapter(causal.load_causal(folder, device=CPU), tmp_path, trainable=True)
    assert causal.parameter_counts(again) == causal.parameter_counts(adapted)
    assert learn(again, 1)[0] < losses[-1]


def test_a_decoder_without_head_takes_adapters(tiny_decoder, tmp_path: Path) -> None:
    def state(model: Any) -> Any:
        with torch.no_grad():
            return model(input_ids=IDS).last_hidden_state

    for name in SHAPES:
        adapted = adapters.add_lora(causal.load_decoder(tiny_decoder(name), device=CPU), SMALL, seed=1)
        adapted.train()
        adapted(input_ids=IDS).last_hidden_state.square().mean().backward()
        torch.optim.SGD([p for p in adapted.parameters() if p.requires_grad], lr=10.0).step()
        adapted.eval()
        adapters.save_adapter(adapted, tmp_path / name)
        bare = causal.load_decoder(tiny_decoder(name), device=CPU)
        before = state(bare)
        assert torch.equal(state(adapters.load_adapter(bare, tmp_path / name)), state(adapted))
        assert not torch.equal(before, state(adapted))
    with pytest.raises(FormatError, match="do not fit this base"):
        adapters.load_adapter(causal.load_causal(tiny_decoder("llama"), device=CPU), tmp_path / "llama")


@pytest.mark.parametrize(("name", "targets"), [("gpt-neox", NEOX), ("llama", LLAMA), ("qwen", LLAMA)])
def test_auto_targets(tiny_decoder, name: str, targets: list[str]) -> None:
    adapted = adapters.add_lora(causal.load_causal(tiny_decoder(name), device=CPU), SMALL, seed=1)
    assert sorted(adapted.peft_config["default"].target_modules) == targets
    learning = {parameter for parameter, value in adapted.named_parameters() if value.requires_grad}
    assert all(".lora_A." in parameter or ".lora_B." in parameter for parameter in learning)
    carriers = {parameter.split(".lora_")[0] for parameter in learning}
    assert {carrier.rsplit(".", 1)[-1] for carrier in carriers} == set(targets)
    assert len(carriers) == len(targets) * tiny_decoders.LAYERS
    trainable, everything = causal.parameter_counts(adapted)
    assert trainable == sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    assert everything == sum(p.numel() for p in adapted.parameters())


def test_named_targets(tiny_decoder) -> None:
    def load() -> Any:
        return causal.load_causal(tiny_decoder("llama"), device=CPU)

    adapted = adapters.add_lora(load(), LoraSettings(targets=("v_proj", "q_proj")), seed=1)
    learning = {name.split(".")[6] for name, parameter in adapted.named_parameters() if parameter.requires_grad}
    assert learning == {"q_proj", "v_proj"}
    listed = ", ".join(LLAMA)
    for target in ("query_key_value", "lm_head", "embed_tokens", ""):
        with pytest.raises(UsageError, match=f"^this model has no layer '{target}'; adapters go on: {listed}$"):
            adapters.add_lora(load(), LoraSettings(targets=("q_proj", target)), seed=1)


def test_conv1d_of_gpt2_is_a_target_too(tmp_path: Path) -> None:
    import transformers

    config = transformers.GPT2Config(n_embd=32, n_head=2, n_layer=1, n_positions=64, vocab_size=400)
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path / "gpt2")
    adapted = adapters.add_lora(causal.load_causal(tmp_path / "gpt2", device=CPU), SMALL, seed=1)
    assert sorted(adapted.peft_config["default"].target_modules) == ["c_attn", "c_fc", "c_proj"]
    learn(adapted)
    before = proba(adapted)
    adapters.save_adapter(adapted, tmp_path / "adapter")
    again = adapters.load_adapter(causal.load_causal(tmp_path / "gpt2", device=CPU), tmp_path / "adapter")
    assert torch.equal(proba(again), before)
    np.testing.assert_allclose(proba(adapters.merged(again)), before, atol=1e-5)


@pytest.mark.parametrize("wrong", [{"r": 0}, {"alpha": 0}, {"dropout": 1.0}, {"targets": ()}])
def test_settings_that_make_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        LoraSettings(**wrong)


def test_first_weights_depend_on_the_seed_only(tiny_decoder) -> None:
    def first(seed: int) -> Any:
        adapted = adapters.add_lora(causal.load_causal(tiny_decoder("gpt-neox"), device=CPU), SMALL, seed=seed)
        return {name: p.detach() for name, p in adapted.named_parameters() if p.requires_grad}

    torch.manual_seed(5)
    one = first(1)
    state = torch.get_rng_state()
    again = first(1)
    assert torch.equal(torch.get_rng_state(), state)
    assert same(one, again)
    torch.manual_seed(6)
    assert same(one, first(1))
    other = first(2)
    for name, tensor in one.items():
        assert bool(tensor.any()) == ("lora_A" in name)
        assert torch.equal(tensor, other[name]) == ("lora_B" in name)


@pytest.mark.parametrize("name", SHAPES)
def test_merged_is_a_plain_model(tiny_decoder, tmp_path: Path, name: str) -> None:
    import transformers

    adapted = adapters.add_lora(causal.load_causal(tiny_decoder(name), device=CPU), SMALL, seed=1)
    untrained = proba(adapted)
    learn(adapted)
    before = proba(adapted)
    whole = adapters.merged(adapted)
    np.testing.assert_allclose(proba(whole), before, atol=1e-5)
    assert float((before - untrained).abs().max()) > 0.01
    save_pretrained(whole, causal.load_decoder_tokenizer(tiny_decoder(name)), tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("adapter")]
    assert "lora" not in (tmp_path / "config.json").read_text()
    plain = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    assert type(plain) is type(causal.load_causal(tiny_decoder(name), device=CPU))
    np.testing.assert_allclose(proba(plain), before, atol=1e-5)
    assert causal.load_decoder_tokenizer(tmp_path)("좋아요 😂")["input_ids"]


def test_adapters_that_hold_no_numbers_are_not_merged(tiny_decoder) -> None:
    adapted = adapters.add_lora(causal.load_causal(tiny_decoder("llama"), device=CPU), SMALL, seed=1)
    next(p for n, p in adapted.named_parameters() if "lora_B" in n).data.fill_(float("nan"))
    with pytest.raises(FormatError):
        adapters.merged(adapted)


def test_adapter_files_that_are_missing_damaged_or_others(tiny_decoder, tmp_path: Path) -> None:
    def load() -> Any:
        return adapters.load_adapter(causal.load_causal(tiny_decoder("llama"), device=CPU), tmp_path)

    adapters.save_adapter(
        adapters.add_lora(causal.load_causal(tiny_decoder("llama"), device=CPU), SMALL, seed=1), tmp_path
    )
    weights, config = tmp_path / "adapter_model.safetensors", tmp_path / "adapter_config.json"
    good, text = weights.read_bytes(), config.read_text()
    load()
    weights.write_bytes(good[:-50])
    with pytest.raises(FormatError, match="cannot be loaded"):
        load()
    weights.unlink()
    with pytest.raises(FormatError, match=r"has no adapter file adapter_model\.safetensors"):
        load()
    weights.write_bytes(good)
    config.unlink()
    with pytest.raises(FormatError, match=r"has no adapter file adapter_config\.json"):
        load()
    for wrong, sentence in (
        ('{"peft_type": "LORA"', "not readable as JSON"),
        (text.replace('"LORA"', '"IA3"'), "does not describe LoRA adapters"),
        (text.replace('"r": 4', '"r": 8'), r"do not fit this base: .* \(28 such\)"),
        (text.replace('"bias"', '"future_option": "on",\n  "bias"'), "future_option in .* is not understood"),
        (json.dumps({**json.loads(text), "target_modules": ["q_proj"]}), r"do not fit this base: .* \(24 such\)"),
        (json.dumps({**json.loads(text), "target_modules": "all-linear"}), "target_modules in .* is not understood"),
    ):
        config.write_text(wrong)
        with pytest.raises(FormatError, match=sentence):
            load()


def test_a_changed_base_is_refused(copy, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = copy("gpt-neox")
    saved = json.loads(json.dumps(causal.base_fingerprint(folder)))
    assert (saved["model_type"], saved["revision"], saved["id"]) == ("gpt_neox", None, str(folder))
    causal.check_base(saved, folder)
    moved = folder.rename(tmp_path / "elsewhere")
    causal.check_base(saved, moved)
    sentence = r"^\S+elsewhere is not the base this model was trained on \(\S+\): {} differs; bring back [^\n]*$"
    # another tokenizer gives the same words other numbers
    tokens = (moved / "tokenizer_config.json").read_text()
    (moved / "tokenizer_config.json").write_text("{}")
    with pytest.raises(FormatError, match=sentence.format("tokenizer_config.json")):
        causal.check_base(saved, moved)
    (moved / "tokenizer_config.json").write_text(tokens)

    config, path = (moved / "config.json").read_text(), moved / "model.safetensors"
    (moved / "config.json").write_text(config.replace('"rotary_pct": 0.5', '"rotary_pct": 0.25'))
    with pytest.raises(FormatError, match=sentence.format("config.json")):
        causal.check_base(saved, moved)
    (moved / "config.json").write_text(config)
    whole = {name: tensor.clone() for name, tensor in load_file(path).items()}
    size = path.stat().st_size
    whole["gpt_neox.layers.1.attention.dense.weight"][0, 0] += 1
    path.unlink()
    save_file(whole, path, metadata={"format": "pt"})
    assert path.stat().st_size == size
    with pytest.raises(FormatError, match=sentence.format("model.safetensors")):
        causal.check_base(saved, moved)


def test_large_files_are_sampled_from_first_to_last_byte(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    path = tmp_path / "model-00001-of-00001.safetensors"
    size = 70 * 65_536 + 123
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    path.write_bytes(bytes(size))
    digest = causal.base_fingerprint(tmp_path)["weights"][0]["sha256"]
    for at in (0, size - 1):
        with path.open("r+b") as file:
            file.seek(at)
            file.write(b"x")
        after = causal.base_fingerprint(tmp_path)["weights"][0]["sha256"]
        assert after != digest
        digest = after


def test_a_base_is_found_again(tiny_decoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(shutil.copytree(tiny_decoder("qwen"), tmp_path / "bases" / "qwen"))
    monkeypatch.chdir(tmp_path)
    saved = causal.base_fingerprint("bases/qwen")
    assert causal.find_base(saved) == folder.resolve().as_posix()
    monkeypatch.chdir("/")
    assert Path(causal.find_base(saved)) == folder.resolve()
    assert causal.find_base({"id": "Qwen/Qwen2.5-0.5B", "folder": None, "revision": "abc"}) == "Qwen/Qwen2.5-0.5B"
    shutil.rmtree(folder)
    with pytest.raises(UsageError, match="which is gone; put it back there"):
        causal.find_base(saved)


def test_a_hub_model_is_known_by_its_commit(tiny_decoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    snapshot = Path(shutil.copytree(tiny_decoder("llama"), tmp_path / "snapshots" / commit))
    asked = []

    def fetch(name: str, revision: str | None, patterns: list[str]) -> Path:
        asked.append(revision)
        return snapshot

    monkeypatch.setattr("maeum.hf.files._fetch", fetch)
    saved = causal.base_fingerprint("someone/llama-ko", "main")
    assert (saved["id"], saved["folder"], saved["revision"]) == ("someone/llama-ko", None, commit)
    causal.check_base(saved, causal.find_base(saved))
    assert set(asked[1:]) == {commit}
    adapted = adapters.add_lora(causal.load_causal("someone/llama-ko", device=CPU), SMALL, seed=1)
    adapters.save_adapter(adapted, tmp_path / "adapter")
    written = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert written["base_model_name_or_path"] == "someone/llama-ko"


def test_four_bits_need_cuda_or_the_users_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    causal.check_quantize("none", "auto")
    for device in ("auto", "cuda", "cuda:0", "mps"):
        with pytest.raises(UsageError, match="need a CUDA GPU and none was found; use quantize=none, or device=cpu"):
            causal.check_quantize("nf4", device)
    with pytest.raises(UsageError, match="none or nf4, not int8"):
        causal.check_quantize("int8", "cpu")
    real = _optional.importlib.import_module

    def absent(name: str) -> Any:
        if name == "bitsandbytes":
            raise ModuleNotFoundError(name=name)
        return real(name)

    monkeypatch.setattr(_optional.importlib, "import_module", absent)
    with pytest.raises(MissingExtra, match="llm"):
        causal.check_quantize("nf4", "cpu")


@pytest.mark.usefixtures("nf4")
@pytest.mark.parametrize("name", SHAPES)
def test_four_bits_are_the_dense_model_with_rounded_weights(tiny_decoder, name: str) -> None:
    """And judging in between neither changes the weights nor cuts off the gradient."""
    from bitsandbytes.functional import dequantize_4bit

    small = causal.load_causal(tiny_decoder(name), quantize="nf4", device=CPU)
    dense = causal.load_causal(tiny_decoder(name), device=CPU)
    of_dense = dict(dense.named_modules())
    packed = {n: m for n, m in small.named_modules() if type(m).__name__ == "Linear4bit"}
    assert len(packed) == tiny_decoders.LAYERS * (4 if name == "gpt-neox" else 7)  # not the output layer
    exact = proba(dense)
    for layer, module in packed.items():
        weight, full = dequantize_4bit(module.weight.data, module.weight.quant_state), of_dense[layer].weight.detach()
        lost = float((weight - full).norm() / full.norm())
        assert 0.05 < lost < 0.12, layer  # NormalFloat4 of a normal distribution: 0.09
        of_dense[layer].weight.data = weight
    assert float((proba(dense) - exact).abs().max()) > 0.01
    np.testing.assert_allclose(proba(small), proba(dense), atol=1e-5)
    np.testing.assert_allclose(proba(small), proba(dense), atol=1e-5)  # the second time too
    assert causal.parameter_counts(small)[1] == causal.parameter_counts(dense)[1]


@pytest.mark.usefixtures("nf4")
@pytest.mark.parametrize("name", SHAPES)
def test_adapters_on_four_bits(tiny_decoder, tmp_path: Path, name: str) -> None:
    folder = tiny_decoder(name)
    adapted = adapters.add_lora(causal.load_causal(folder, quantize="nf4", device=CPU), SMALL, seed=1)
    learning = {n: p for n, p in adapted.named_parameters() if p.requires_grad}
    assert learning
    assert all("lora_" in n and p.dtype == torch.float32 for n, p in learning.items())
    plain = adapters.add_lora(causal.load_causal(folder, device=CPU), SMALL, seed=1)
    assert same(
        {n: p.detach() for n, p in learning.items()},
        {n: p.detach() for n, p in plain.named_parameters() if p.requires_grad},
    )
    weights = base_weights(adapted)
    untrained = proba(adapted)  # judged before it is trained
    losses = learn(adapted)
    assert losses[-1] < losses[0]
    adapted.train()
    adapted(input_ids=IDS, labels=IDS).loss.backward()
    assert all(bool(p.grad.any()) for n, p in learning.items() if "layers.0." in n)
    adapted.eval()
    trained = proba(adapted)
    assert float((trained - untrained).abs().max()) > 0.01
    assert same(base_weights(adapted), weights)
    adapters.save_adapter(adapted, tmp_path)
    again = adapters.load_adapter(causal.load_causal(folder, quantize="nf4", device=CPU), tmp_path)
    assert torch.equal(proba(again), trained)
    with pytest.raises(UsageError, match="cannot be merged into 4-bit weights"):
        adapters.merged(again)
    whole = adapters.load_adapter(causal.load_causal(folder, device=CPU), tmp_path)
    adapters.merged(whole)


@pytest.mark.usefixtures("nf4")
def test_layers_that_the_cpu_kernels_get_wrong_are_refused(tmp_path: Path) -> None:
    import transformers

    config = transformers.LlamaConfig(
        hidden_size=96, intermediate_size=64, num_attention_heads=2, num_hidden_layers=1, vocab_size=64
    )
    transformers.LlamaForCausalLM(config).save_pretrained(tmp_path)
    with pytest.raises(UsageError, match=r"a multiple of 64 wide; model.layers.0.self_attn.q_proj of .* has 96"):
        causal.load_causal(tmp_path, quantize="nf4", device=CPU)
    causal.load_causal(tmp_path, device=CPU)


@pytest.mark.usefixtures("nf4")
def test_a_quantised_model_is_not_quantised_again(copy) -> None:
    folder = copy("llama")
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_8bit": True}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match="is already quantised"):
        causal.load_causal(folder, quantize="nf4", device=CPU)


@pytest.mark.slow  # a process of its own that imports torch and transformers
def test_nothing_is_printed_even_by_a_first_import(tiny_decoder, tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys, warnings, pathlib\n"
        "import torch, transformers\n"
        "warnings.simplefilter('error')\n"
        "from maeum.hf import adapters, causal\n"
        "base, out = sys.argv[1:]\n"
        "device = torch.device('cpu')\n"
        "model = adapters.add_lora(causal.load_causal(base, device=device), adapters.LoraSettings(), seed=1)\n"
        "adapters.save_adapter(model, out)\n"
        "again = adapters.load_adapter(causal.load_causal(base, device=device), out)\n"
        "adapters.merged(again)\n"
        "causal.check_quantize('nf4', 'cpu')\n"
        "causal.load_causal(base, quantize='nf4', device=device)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tiny_decoder("llama")), str(tmp_path)], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_peak_memory() -> None:
    found = memory.peak_memory()
    assert found["device"] in ("cpu", "cuda")
    assert found["peak_bytes"] > 1_000_000
