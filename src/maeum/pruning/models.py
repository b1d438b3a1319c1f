"""Encoder model folders: cut, recover, tune anew, measure beside the model as it was, save."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from maeum import folder as model_folder
from maeum import measuring
from maeum._files import atomic_folder, pretty_json, write_text
from maeum._lang import say
from maeum._progress import Line
from maeum.analyzer import Analyzer
from maeum.crossval import OutOfFold
from maeum.data import Dataset, Input
from maeum.errors import UsageError
from maeum.experiment import MIN_TRAIN_ROWS, TrainSettings, claim, library_versions, model_card, prepare_all, tune
from maeum.pruning.importance import ROWS, by_loss, by_size
from maeum.pruning.settings import PruneSettings
from maeum.pruning.trimming import changed, choose, read_texts
from maeum.report import Report, make_report
from maeum.splits import duplicate_groups, duplicate_key, holdout

if TYPE_CHECKING:
    from maeum.models.encoder import EncoderClassifier

HELD_SHARE = 0.1
"""Share of the labelled rows that recovery leaves out, for the thresholds."""
_LOSS = (
    "loss",
    "label_smoothing",
    "pos_weight",
    "class_weight",
    "gamma",
    "alpha",
    "gamma_neg",
    "gamma_pos",
    "loss_clip",
    "loss_eps",
    "steepness",
)
"""Settings of the loss a model was trained with, which it recovers with too."""


@dataclasses.dataclass(frozen=True)
class Rows:
    """Labelled rows, by what they are for."""

    train: Dataset | None
    tune: Dataset | None
    judge: Dataset | None
    judged_apart: bool
    """Whether the rows that judge are others than those that tune."""
    shared: int = 0
    """Rows of ``--data`` left out because their texts are also among those of ``--valid``."""


def divide(data: Dataset | None, valid: Dataset | None, settings: PruneSettings) -> Rows:
    """Rows that recover, rows that tune thresholds, rows that judge.

    Raises:
        UsageError: recovery without labelled rows, or with too few; all labelled rows judge.
    """
    if settings.recover > 0 and data is None:
        raise UsageError(
            "--recover에는 라벨이 있는 데이터가 필요합니다. --data를 주세요.",
            "--recover needs labelled rows; give --data",
        )
    train, shared = None, 0
    if data is not None and valid is not None:
        known = {duplicate_key(text) for text in valid.texts}
        apart = data.select(row for row, text in enumerate(data.texts) if duplicate_key(text) not in known)
        shared = len(data) - len(apart)
        if not len(apart):
            raise UsageError(
                f"'{data.source}'의 글이 모두 --valid에도 있어, 배우거나 기준값을 맞출 행이 없습니다.",
                f"every text of '{data.source}' is also in --valid, so no row is left to learn from or to tune on",
            )
        data = apart if shared else data
    if data is not None and settings.recover > 0:
        kept, held = holdout(data.y, duplicate_groups(data.texts), fraction=HELD_SHARE, seed=settings.seed)
        if len(kept) < MIN_TRAIN_ROWS:
            raise UsageError(
                f"라벨이 있는 글이 {len(data)}건뿐이라 다시 배울 수 없습니다.",
                f"{len(data)} labelled rows are too few to recover with",
            )
        train, data = data.select(kept), data.select(held)
    return Rows(train, data, valid or data, valid is not None, shared)


class ModelPruning:
    """One encoder model folder.

    Args:
        place: the folder.
    """

    def __init__(self, place: Path, settings: PruneSettings, progress: Line) -> None:
        from maeum.models.encoder import EncoderClassifier

        self.place = place
        self.settings = settings
        self.progress = progress
        self.before = model_folder.load(place)
        if type(self.before.predictor) is not EncoderClassifier:
            kind = self.before.predictor.kind
            raise UsageError(
                f"인코더 하나로 된 모델 폴더와 바탕 폴더만 줄일 수 있습니다. '{place}'은(는) '{kind}'입니다. "
                "겹으로 학습한 폴더라면 folds/0을 주거나, 먼저 maeum distill로 하나로 만드세요.",
                f"only model folders of one encoder and base folders can be pruned; '{place}' is '{kind}'; of a folder with "
                "folds give folds/0, or make it one model with maeum distill first",
            )
        self.start: EncoderClassifier = self.before.predictor
        self.notes: list[str] = []
        self.cut: dict[str, Any] = {}

    def texts(self, source: str, reading: Mapping[str, Any]) -> Iterator[str]:
        """The corpus of a vocabulary, as the model reads it."""
        return read_texts(source, reading, self.before.prep)

    def make(
        self, rows: Rows, corpus: Iterator[str] | None, work: Path, *, overwrite: bool, identity: Mapping[str, Any]
    ) -> Analyzer:
        """The model cut, recovered and tuned."""
        settings = self.settings
        if rows.shared:
            self.notes.append(
                say(
                    f"--data의 {rows.shared}행은 글이 --valid에도 있어 뺐습니다.",
                    f"{rows.shared} rows of --data were left out because their texts are also in --valid",
                )
            )
        network = copy.deepcopy(self.start.network)
        tokenizer = self.start.tokenizer
        if corpus is not None:
            tokenizer = self._trim(network, corpus, rows.judge)
        if settings.layers is not None:
            self._cut_layers(network)
        model = self._around(network, tokenizer)
        if settings.ffn is not None or settings.heads is not None:
            model = self._thin(model, rows)
        if settings.recover > 0 and rows.train is not None:
            claim(work, identity, overwrite=overwrite)
            self._recover(model, rows, work)
        return self._tuned(model, rows)

    def _around(self, network: Any, tokenizer: Any) -> EncoderClassifier:
        from maeum.models.going_on import going_on

        settings = self.settings
        loss = {name: getattr(self.start.config, name) for name in _LOSS}
        options = {**loss, "epochs": settings.recover or 1.0, **settings.model_options}
        return going_on(self.start, network, options, seed=settings.seed, tokenizer=tokenizer)

    def _trim(self, network: Any, corpus: Iterator[str], judge: Dataset | None) -> Any:
        from maeum.hf.vocabulary import cut_embeddings, cut_tokenizer

        self.progress(say("어휘 세는 중", "counting pieces"))
        before, backbone = self.start.tokenizer, network.backbone
        rows = backbone.get_input_embeddings().weight.shape[0]
        trim, found = choose(
            before, backbone.config, corpus, rows, min_count=self.settings.min_count, progress=self.progress
        )
        after = cut_tokenizer(before, trim)
        cut_embeddings(backbone, trim)
        self.cut["vocabulary"] = found
        if judge is not None:
            texts = [self.before.prep.prepare_input(item).text for item in judge.inputs]
            self.cut["vocabulary"]["judging"] = changed(before, after, trim, texts)
        self.progress(
            say(
                f"어휘 {found['pieces_before']:,} → {found['pieces_after']:,}조각, 글의 {found['same_texts']:.1%}는 전과 똑같이 나뉨",
                f"{found['pieces_before']:,} → {found['pieces_after']:,} pieces; {found['same_texts']:.1%} of the texts "
                "are cut as before",
            )
        )
        return after

    def _cut_layers(self, network: Any) -> None:
        from maeum.hf.cutting import layer_numbers, layers_of

        there = len(layers_of(network.backbone))
        numbers = layer_numbers(str(self.settings.layers), there)
        network.cut_layers(numbers)
        self.cut["layers"] = {"before": there, "kept": numbers}
        self.progress(say(f"층 {there} → {len(numbers)}개 ({numbers})", f"{there} → {len(numbers)} layers ({numbers})"))

    def _thin(self, model: EncoderClassifier, rows: Rows) -> EncoderClassifier:
        """Neurons and heads taken out, the least important first."""
        from maeum.hf import cutting

        network, settings = model.network, self.settings
        data = rows.train or rows.tune
        if data is None:
            how, found = "size", by_size(network.backbone)
            self.notes.append(
                say(
                    "라벨이 있는 데이터가 없어 가중치의 크기로 골랐습니다. --data를 주면 손실에 미치는 영향으로 고릅니다.",
                    "without labelled rows neurons and heads were chosen by the size of their weights; with --data they are "
                    "chosen by what the loss owes to them",
                )
            )
        else:
            chosen = np.random.default_rng(settings.seed).permutation(len(data))[:ROWS]
            part = data.select(np.sort(chosen).tolist())
            self.progress(say(f"중요도: {len(part):,}건", f"importance on {len(part):,} rows"))
            how, found = "loss", by_loss(model, prepare_all(self.before.prep, part.inputs), part.y)
        if settings.heads is not None:
            before = cutting.head_count(network.backbone)
            network.cut_heads([kept.tolist() for kept in found.best_heads(settings.heads)])
            self.cut["heads"] = {"before": before, "kept": cutting.head_count(network.backbone), "by": how}
        if settings.ffn is not None:
            before = cutting.ffn_width(network.backbone)
            cutting.keep_neurons(network.backbone, found.best_neurons(settings.ffn))
            self.cut["ffn"] = {"before": before, "kept": cutting.ffn_width(network.backbone), "by": how}
        return self._around(network, model.tokenizer)

    def _recover(self, model: EncoderClassifier, rows: Rows, work: Path) -> None:
        assert rows.train is not None
        assert rows.tune is not None
        prep = self.before.prep
        self.progress(say(f"다시 배우기: {len(rows.train):,}건", f"recovering on {len(rows.train):,} rows"))
        model.fit_watched(
            prepare_all(prep, rows.train.inputs),
            rows.train.y,
            held=(prepare_all(prep, rows.tune.inputs), rows.tune.y),
            work=work,
            name=say("다시 배우기", "recovering"),
            progress=self.progress,
        )

    def _tuned(self, model: EncoderClassifier, rows: Rows) -> Analyzer:
        before, settings, data = self.before, self.settings, rows.tune
        about = {key: value for key, value in before.about.items() if key not in ("valid", "notes")}
        about |= {"pruned": {"from": self.place.name, **self.cut}, "versions": library_versions(), "notes": self.notes}
        if rows.judge is not None:
            judge = rows.judge
            about["valid"] = {"source": judge.source, "rows": len(judge), "fingerprint": judge.fingerprint}
        thresholds, calibration = before.thresholds, before.calibration
        if data is not None:
            self.progress(say("보정과 기준값", "calibration and thresholds"))
            proba = model.predict_proba(prepare_all(before.prep, data.inputs))
            fold = np.zeros(len(data), np.int64)
            oof = OutOfFold(before.task, tuple(data.ids), data.y, proba, fold)
            words = TrainSettings(
                model="encoder:", objective=settings.objective, empty=settings.empty, seed=settings.seed
            )
            calibration, thresholds = tune(oof, words)
            thresholds = dataclasses.replace(
                thresholds, tuned_on=f"{data.source or 'rows'}: {len(data)} rows, fingerprint {data.fingerprint}"
            )
        elif settings.cuts_weights:
            self.notes.append(
                say(
                    "기준값은 전의 모델 것 그대로입니다. 덜어 낸 모델의 확률은 다르니 --data나 maeum thresholds로 다시 맞추세요.",
                    "the thresholds are those of the model as it was; its probabilities are others now, so tune them with "
                    "--data or maeum thresholds",
                )
            )
        return Analyzer(model, prep=before.prep, thresholds=thresholds, calibration=calibration, about=about)

    def facts(self, after: Analyzer, rows: Rows, sample: list[Input]) -> dict[str, Any]:
        """What was gained and what it cost."""
        before, judge = self.before, rows.judge
        sizes = {}
        for name, model in (("before", before), ("after", after)):
            megabytes = measuring.folder_megabytes(self.place) if name == "before" else 0.0
            count = measuring.parameter_count(model.predictor)
            sizes[name] = measuring.Size(megabytes, count, measuring.speed(model, sample)).to_dict()
        judged = None
        if judge is not None:
            both = [model.predict_proba(judge) for model in (before, after)]
            decided = [model.decide(proba) for model, proba in zip((before, after), both, strict=True)]
            scores = measuring.gaps(after.task, judge.y, *decided)
            judged = {
                "source": judge.source,
                "rows": len(judge),
                "fingerprint": judge.fingerprint,
                "tuned_on_same_rows": not rows.judged_apart,
                "scores": {name: dataclasses.asdict(gap) for name, gap in scores.items()},
                "agreement": measuring.agreement(both[0], decided[0], both[1], decided[1]),
            }
        else:
            both = [model.predict_proba(sample) for model in (before, after)]
            decided = [model.decide(proba) for model, proba in zip((before, after), both, strict=True)]
        return {
            "model": self.place.name,
            "kind": "encoder",
            "settings": dataclasses.asdict(self.settings) | {"model_options": dict(self.settings.model_options)},
            "cut": self.cut,
            "sizes": sizes,
            "agreement": measuring.agreement(both[0], decided[0], both[1], decided[1]),
            "judged": judged,
            "thresholds": after.thresholds.tuned_on,
            "notes": self.notes,
        }

    def report(self, after: Analyzer, rows: Rows) -> Report | None:
        """The report of the model on the rows that judge; None without any."""
        judge = rows.judge
        if judge is None:
            return None
        train = after.about.get("train") or {}
        support = train.get("support")
        return make_report(
            after.task,
            judge.y,
            after.predict_proba(judge),
            after.thresholds,
            data=judge.source or "rows",
            model="encoder (pruned)",
            train_support=list(support.values()) if support else None,
            notes=self.notes,
            tuned_on_same_rows=not rows.judged_apart and after.task.kind != "multiclass",
            extra={"train": train, "valid": after.about.get("valid")},
        )


def save_model(after: Analyzer, report: Report | None, facts: dict[str, Any], output: Path, *, overwrite: bool) -> None:
    """Write the model folder in one step, and into ``facts`` how large it is."""
    with atomic_folder(output, overwrite=overwrite) as target:
        model_folder.write_analyzer(after, target)
        facts["sizes"]["after"]["megabytes"] = measuring.folder_megabytes(target)
        if report is not None:
            write_text(target / "report.json", report.to_json())
            write_text(target / "report.html", report.to_html())
            write_text(target / "README.md", model_card(after, report))
        write_text(target / "prune.json", pretty_json(facts))
        model_folder.seal(target, after.predictor.kind, after.task)
