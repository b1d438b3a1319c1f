"""A pretrained encoder of the BERT family with a label head, fine-tuned: ``--model encoder:PATH_OR_HUB_ID``.

Inputs become token windows (``windows.py``), the encoder and its head (``heads.py``) turn them into logits, a loss
(``losses.py``) and the loop of ``maeum.hf.training`` train them. Here the parts are put together, saved and asked.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from maeum._files import pretty_json, read_json, write_text
from maeum._lang import say
from maeum._optional import require
from maeum._progress import Line
from maeum.data import Input
from maeum.errors import FormatError, NotFitted, UsageError
from maeum.hf import training
from maeum.hf.files import pooling_of
from maeum.hf.frame import frame_of
from maeum.hf.loading import save_pretrained
from maeum.hf.tokenizers import load_tokenizer
from maeum.hf.training import Log, LoopConfig, unknown
from maeum.metrics import counts
from maeum.models.base import Labels, Proba, check_inputs
from maeum.models.batching import Floats, by_token_budget, join, probabilities
from maeum.models.windows import MARKERS, TARGET_INPUTS, TargetInput, Window, Windows
from maeum.task import Kind, Task

if TYPE_CHECKING:
    from maeum.models._label_model import LabelModel
    from maeum.models.losses import LossConfig

Head = Literal["auto", "cls", "mean", "bigru"]
Aggregate = Literal["auto", "max", "mean"]

CPU_TOKENS, GPU_TOKENS = 4096, 32768
"""Tokens of a prediction batch, padding included."""


@dataclass(frozen=True, kw_only=True)
class EncoderConfig(LoopConfig):
    """Everything that decides a fine-tuned encoder, beside the data and the seed."""

    base: str
    """Folder or hub id of the pretrained encoder."""
    revision: str | None = None
    """Branch, tag or commit of a hub id."""
    head: Head = "auto"
    """``cls``: the architecture's own classification head; ``mean``: linear on the mean of the tokens; ``bigru``: a
    bidirectional GRU over the tokens, joined to the first token. ``auto``: mean where the base was trained with mean
    pooling, else cls."""
    dropout: float | None = None
    """Dropout of the head; None: what the base's own configuration says, or 0.1."""
    dense: int | None = None
    """Width of the hidden layers of ``bigru``."""
    target_input: TargetInput = "none"
    """How the model is told the target: not at all, as a second text, or marked where it stands."""
    max_length: int = 256
    """Tokens of a window, at most what the encoder takes; longer texts become several windows."""
    overlap: float = 0.25
    """Share of a window that the next one repeats."""
    aggregate: Aggregate = "auto"
    """How window logits are joined, label by label; auto: max for multilabel (a label shows in some part), mean for
    multiclass."""
    loss: str | None = None
    """bce, focal, asl, asl-seed001 (multilabel); ce, focal, ordinal (multiclass)."""
    label_smoothing: float = 0.0
    pos_weight: Literal["none", "balanced"] = "none"
    class_weight: Literal["none", "balanced"] = "none"
    gamma: float | None = None
    """Focusing exponent of the focal loss."""
    alpha: float | None = None
    """Weight of positives in the focal loss."""
    gamma_neg: float | None = None
    gamma_pos: float | None = None
    """Focusing exponents of the asymmetric loss."""
    loss_clip: float | None = None
    """Probability shift of the asymmetric loss."""
    loss_eps: float | None = None
    steepness: float | None = None
    """How fast the ordinal loss forgets classes beside the right one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.head not in ("auto", *HEADS):
            raise unknown("head", self.head, ("auto", *HEADS))
        if self.target_input not in TARGET_INPUTS:
            raise unknown("target-input", self.target_input, TARGET_INPUTS)
        if self.aggregate not in ("auto", "max", "mean"):
            raise unknown("aggregate", self.aggregate, ("auto", "max", "mean"))
        if self.max_length < 8:
            raise UsageError(
                f"max-length는 8 이상이어야 합니다: {self.max_length}",
                f"max-length must be at least 8, got {self.max_length}",
            )

    @classmethod
    def of(cls, base: str, options: Mapping[str, Any]) -> Self:
        """Settings from options by name.

        Raises:
            UsageError: an option that does not exist, or a value that does not fit.
        """
        known = {field.name for field in dataclasses.fields(cls)} - {"base"}
        for name in options:
            if name not in known:
                raise unknown(say("설정", "setting"), name, sorted(known))
        return cls(base=base, **options)

    def loss_config(self, kind: Kind) -> LossConfig:
        """The loss these settings ask for."""
        from maeum.models.losses import LossConfig, default_loss

        return LossConfig(
            name=self.loss or default_loss(kind).name,
            label_smoothing=self.label_smoothing,
            pos_weight=self.pos_weight,
            class_weight=self.class_weight,
            gamma=self.gamma,
            alpha=self.alpha,
            gamma_neg=self.gamma_neg,
            gamma_pos=self.gamma_pos,
            clip=self.loss_clip,
            eps=self.loss_eps,
            steepness=self.steepness,
        )


HEADS = ("cls", "mean", "bigru")


@dataclass(frozen=True)
class Aim:
    """What a model is trained towards where that is more than labels, such as a teacher's probabilities."""

    loss: Callable[[dict[str, Any], Any], Any]
    """(outputs of the network, aims (n, m)) -> losses (n,)."""
    network: Callable[[LabelModel], Any] = lambda model: model
    """The model as the loop calls it: itself, or wrapped in something that gives ``loss`` more to look at."""


class EncoderClassifier:
    """A fine-tuned encoder.

    Args:
        seed: fixes the new weights, the order of rows and dropout; on a CPU with the same number of threads the same
            seed gives the same model.
    """

    kind = "encoder"

    def __init__(self, task: Task, config: EncoderConfig, *, seed: int = 42) -> None:
        require("torch")
        require("transformers")
        self.task = task
        self.config = config
        self.seed = seed
        self.history: Log = []
        """What the training loop logged."""
        self._model: LabelModel | None = None
        self._windows: Windows | None = None
        self._tokenizer: Any = None
        self._start: tuple[LabelModel, Any] | None = None

    @classmethod
    def of(cls, base: str, task: Task, *, seed: int, options: Mapping[str, Any]) -> Self:
        """An untrained model from ``encoder:BASE`` and options by name."""
        config = EncoderConfig.of(base, options)
        model = cls(task, config, seed=seed)
        training.check(config)
        return model

    @classmethod
    def around(cls, task: Task, config: EncoderConfig, model: LabelModel, tokenizer: Any, *, seed: int = 42) -> Self:
        """A classifier with a network that is trained already; training goes on from it instead of from the base."""
        return cls(task, config, seed=seed).begin_with(model, tokenizer)

    def begin_with(self, model: LabelModel, tokenizer: Any) -> Self:
        """Take over a network that is trained already: it answers, and training goes on from it."""
        self._start = (model, tokenizer)
        self._tokenizer = tokenizer
        self._windows_of(model)
        self._model = model.eval()
        return self

    @property
    def network(self) -> LabelModel:
        """The network.

        Raises:
            NotFitted: there is none yet.
        """
        if self._model is None:
            raise NotFitted("학습하지 않은 모델입니다.", "this model is not trained yet; call fit first")
        return self._model

    @property
    def tokenizer(self) -> Any:
        """The tokenizer of the network."""
        return self._tokenizer

    @property
    def windows(self) -> Windows:
        """How inputs become the network's windows.

        Raises:
            NotFitted: there is no network yet.
        """
        return self._windows_of(self.network)

    def fit(self, inputs: Sequence[Input], y: Labels) -> Self:
        """Fine-tune on inputs and labels (n, k)."""
        return self.fit_watched(inputs, y)

    def fit_watched(
        self,
        inputs: Sequence[Input],
        y: Labels,
        *,
        held: tuple[Sequence[Input], Labels] | None = None,
        work: Path | None = None,
        name: str = "",
        progress: Line = lambda _: None,
    ) -> Self:
        """Fine-tune, judged on held-out rows along the way.

        Args:
            held: inputs and labels that are only looked at: for the history, and for ``patience``.
            work: folder for checkpoints; a killed run with the same data and settings goes on from there.
            name: what the progress bar is called.
        """
        loss = self._loss(y)
        aim = Aim(lambda outputs, labels: loss(outputs["logits"], labels))
        return self._learn(inputs, y, aim, loss, held=held, work=work, name=name, progress=progress)

    def fit_to(
        self,
        inputs: Sequence[Input],
        aims: Floats,
        aim: Aim,
        *,
        held: tuple[Sequence[Input], Labels] | None = None,
        work: Path | None = None,
        name: str = "",
        progress: Line = lambda _: None,
    ) -> Self:
        """Fine-tune towards more than labels: rows of numbers ``aims`` (n, m) that ``aim.loss`` understands.

        The other arguments are those of ``fit_watched``; held-out rows are judged by their labels, with the plain loss.
        """
        from maeum.models.losses import default_loss, make_loss

        plain = make_loss(default_loss(self.task.kind), self.task.kind)
        return self._learn(inputs, aims, aim, plain, held=held, work=work, name=name, progress=progress)

    def _learn(
        self,
        inputs: Sequence[Input],
        aims: NDArray[Any],
        aim: Aim,
        held_loss: Any,
        *,
        held: tuple[Sequence[Input], Labels] | None,
        work: Path | None,
        name: str,
        progress: Line,
    ) -> Self:
        import torch

        check_inputs(inputs)
        config = self.config
        torch.manual_seed(self.seed)
        model = self._build()
        windows = self._windows_of(model)
        rows = [(number, pieces, aims[number]) for number, pieces in enumerate(windows(inputs))]
        device = training.pick_device(config.device)
        model.to(device)
        self._model = model
        watch = None if held is None else functools.partial(self._judge, windows(held[0]), held[1], held_loss)
        job = training.Job(
            model=aim.network(model),
            rows=rows,
            lengths=[sum(len(window.ids) for window in pieces) for _, pieces, _ in rows],
            collate=functools.partial(collate, pad_id=windows.frame.pad_id, spare=spare_columns(model.backbone.config)),
            loss=aim.loss,
            groups=model.parameter_groups(
                learning_rate=config.learning_rate or default_learning_rate(model.width),
                head_learning_rate=config.head_learning_rate,
                weight_decay=config.weight_decay,
                layer_decay=config.layer_decay,
                freeze=config.freeze,
            ),
            evaluate=watch,
            name=name,
        )
        loop = dataclasses.replace(config, metric=config.metric or watched_metric(self.task))
        self.history = training.run(job, loop, seed=self.seed, work=work, progress=progress)
        return self

    def predict_proba(self, inputs: Sequence[Input]) -> Proba:
        """Probabilities (n, k)."""
        return probabilities(self.logits(inputs), self.task.kind)

    def save(self, folder: Path) -> None:
        """The encoder as a folder that transformers opens, ``hf/``, and what is ours beside it."""
        if self._model is None:
            raise NotFitted("학습하지 않은 모델입니다.", "this model is not trained yet; call fit first")
        from safetensors.torch import save_file

        (folder / "hf").mkdir()
        save_pretrained(self._model.whole_backbone(), self._tokenizer, folder / "hf")
        if self._model.head is not None:
            tensors = {name: value.contiguous().cpu() for name, value in self._model.head.state_dict().items()}
            save_file(tensors, folder / "head.safetensors")
        about = {
            "seed": self.seed,
            "head": self._model.head_name,
            "config": dataclasses.asdict(self.config),
        }
        if self._model.heads is not None:
            about["kept_heads"] = self._model.heads
        write_text(folder / "encoder.json", pretty_json(about))
        write_text(folder / "history.json", pretty_json({"log": self.history}))

    @classmethod
    def load(cls, folder: Path, task: Task) -> Self:
        """Read what ``save`` wrote."""
        require("torch")
        require("transformers")
        about = read_json(folder / "encoder.json")
        options = dict(about["config"])
        self = cls(task, EncoderConfig.of(options.pop("base"), options), seed=int(about["seed"]))
        self._restore(folder, about["head"])
        if "kept_heads" in about:
            self.network.cut_heads(about["kept_heads"])
        return self

    def _restore(self, folder: Path, head: str) -> None:
        """The weights, tokenizer and history that ``save`` wrote."""
        from safetensors.torch import load_file

        from maeum.models._label_model import LabelModel

        self.history = read_json(folder / "history.json")["log"]
        model = LabelModel.open(folder / "hf", head, len(self.task), self._aggregate, self.config)
        if model.head is not None:
            try:
                model.head.load_state_dict(load_file(folder / "head.safetensors"))
            except RuntimeError as error:
                raise FormatError(
                    f"'{folder}'의 머리(head) 가중치가 설정과 맞지 않습니다.",
                    f"the head weights in '{folder}' do not fit its settings",
                ) from error
        self._tokenizer = load_tokenizer(folder / "hf")
        self._windows_of(model)
        self._model = model.to(training.pick_device("auto")).eval()

    def logits(self, inputs: Sequence[Input]) -> Floats:
        """Logits (n, k), before the sigmoid or softmax."""
        check_inputs(inputs)
        if self._model is None or self._windows is None:
            raise NotFitted("학습하지 않은 모델입니다.", "this model is not trained yet; call fit first")
        return self._logits(self._windows(inputs))

    def _loss(self, y: Labels) -> Any:
        """(logits, labels) -> (n,) loss of each row; ``y`` are the training labels, for weights by frequency."""
        from maeum.models.losses import make_loss

        return make_loss(self.config.loss_config(self.task.kind), self.task.kind, y.sum(0), len(y))

    @property
    def _aggregate(self) -> Literal["max", "mean"]:
        if self.config.aggregate != "auto":
            return self.config.aggregate
        return "mean" if self.task.kind == "multiclass" else "max"

    def _build(self) -> LabelModel:
        from maeum.models._label_model import LabelModel

        config = self.config
        if self._start is not None:
            model, self._tokenizer = copy.deepcopy(self._start[0]), self._start[1]
            return model.requires_grad_(True)
        self._tokenizer = load_tokenizer(config.base, revision=config.revision)
        head = config.head
        if head == "auto":
            head = "mean" if pooling_of(config.base, revision=config.revision) == "mean" else "cls"
        model = LabelModel.new(head, self.task, self._aggregate, config)
        if config.target_input == "marker":
            self._tokenizer.add_special_tokens({"additional_special_tokens": list(MARKERS)}, False)
            model.make_room(self._tokenizer)
        return model

    def _windows_of(self, model: LabelModel) -> Windows:
        frame = frame_of(self._tokenizer, model.backbone.config)
        markers = ()
        if self.config.target_input == "marker":
            markers = tuple(self._tokenizer.convert_tokens_to_ids(list(MARKERS)))
        self._windows = Windows(
            self._tokenizer,
            frame,
            self.config.target_input,
            min(self.config.max_length, frame.max_positions),
            self.config.overlap,
            markers,
        )
        return self._windows

    def _logits(self, pieces: Sequence[tuple[Window, ...]]) -> Floats:
        """(n, k): windows of similar length together, each joined to its text afterwards."""
        import torch

        assert self._model is not None
        assert self._windows is not None
        model, pad_id = self._model.eval(), self._windows.frame.pad_id
        spare = spare_columns(model.backbone.config)
        flat = [window for windows in pieces for window in windows]
        owner = np.repeat(np.arange(len(pieces)), [len(windows) for windows in pieces])
        device = next(model.parameters()).device
        budget = CPU_TOKENS if device.type == "cpu" else GPU_TOKENS
        out = np.zeros((len(flat), len(self.task)), np.float32)
        with torch.inference_mode():
            for batch in by_token_budget([len(window.ids) for window in flat], budget):
                tensors = pad([flat[number] for number in batch], pad_id, spare)
                moved = {name: tensor.to(device) for name, tensor in tensors.items()}
                out[batch] = model.window_logits(**moved).float().cpu().numpy()
        return join(out, owner, len(pieces), self._aggregate)

    def _judge(self, pieces: Sequence[tuple[Window, ...]], y: Labels, loss: Any) -> dict[str, float]:
        import torch

        logits = self._logits(pieces)
        each = loss(torch.from_numpy(logits), torch.from_numpy(y.astype(np.float32)))
        return {"loss": float(each.mean())} | quick_metrics(self.task, y, probabilities(logits, self.task.kind))


def default_learning_rate(width: int) -> float:
    """Small encoders need larger steps: 7e-5 up to 512 wide, 3e-5 above."""
    return 7e-5 if width <= 512 else 3e-5


def watched_metric(task: Task) -> str:
    """What ``patience`` watches unless told."""
    return "accuracy" if task.kind == "multiclass" else "macro-f1"


def quick_metrics(task: Task, y: Labels, proba: Proba) -> dict[str, float]:
    """What is watched during training.

    Multilabel F1 is taken at the one threshold, common to all labels, that is best on these very rows: good enough to
    see whether training still helps, and a little too high as a result. Thresholds proper are tuned later.
    """
    if task.kind == "multiclass":
        decided = np.zeros_like(y)
        decided[np.arange(len(y)), proba.argmax(1)] = 1
        found = counts(y, decided)
        accuracy = float((y.argmax(1) == proba.argmax(1)).mean())
        # of labels that exclude each other micro-F1 is the accuracy
        return {"accuracy": accuracy, "micro-f1": accuracy, "macro-f1": float(found.f1.mean())}
    best = {"micro-f1": 0.0, "macro-f1": 0.0}
    for cut in np.linspace(0.02, 0.98, 49):
        found = counts(y, (proba >= cut).astype(np.uint8))
        tp, fp, fn = found.tp.sum(), found.fp.sum(), found.fn.sum()
        best["micro-f1"] = max(best["micro-f1"], float(2 * tp / max(1, 2 * tp + fp + fn)))
        best["macro-f1"] = max(best["macro-f1"], float(found.f1.mean()))
    return best | {"accuracy": float(((proba >= 0.5) == y).mean())}


def spare_columns(config: Any) -> int:
    """Padding that the longest window of a batch gets too.

    Each pooling of Funnel drops the last column. Unless that is padding, the longest text of a batch is read without
    its end (and the shortest texts of all not at all).
    """
    return int(2 ** len(config.block_sizes)) if config.model_type == "funnel" else 0


def pad(windows: Sequence[Window], pad_id: int, spare: int = 0) -> dict[str, Any]:
    """Windows as tensors (m, L), padded on the right; L is ``spare`` more than the longest needs."""
    import torch

    width = max(len(window.ids) for window in windows) + spare
    ids = np.full((len(windows), width), pad_id, np.int64)
    mask = np.zeros_like(ids)
    types = np.zeros_like(ids)
    for row, window in enumerate(windows):
        ids[row, : len(window.ids)] = window.ids
        mask[row, : len(window.ids)] = 1
        types[row, : len(window.types)] = window.types
    tensors = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
    if windows[0].types:
        tensors["token_type_ids"] = torch.from_numpy(types)
    return tensors


def collate(
    rows: Sequence[tuple[int, tuple[Window, ...], NDArray[Any]]], *, pad_id: int, spare: int = 0
) -> dict[str, Any]:
    """Training rows as tensors: the windows of all rows, whose they are, and the labels (n, k)."""
    import torch

    tensors = pad([window for _, windows, _ in rows for window in windows], pad_id, spare)
    owner = np.repeat(np.arange(len(rows)), [len(windows) for _, windows, _ in rows])
    tensors["owner"] = torch.from_numpy(owner)
    tensors["labels"] = torch.from_numpy(np.stack([labels for _, _, labels in rows]).astype(np.float32))
    tensors["rows"] = [number for number, _, _ in rows]
    return tensors
