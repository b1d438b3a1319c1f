"""Training several heads on one trunk: split, learn, mix with linear models, calibrate, set thresholds, judge.

Who judges what is as in ``maeum.experiment``, source by source: the ``valid`` rows only judge; a tenth of the others is
left out of the trunk's training and sets calibration, thresholds and the share of the linear model, whose probabilities
for those rows are out-of-fold. Where a head has rows that people labelled for its very task, only those set and judge;
rows that a taxonomy labelled help to learn. No row is trained on whose text is held out somewhere else.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from maeum import folder as model_folder
from maeum._files import atomic_folder, refuse_existing
from maeum._lang import say
from maeum._processes import is_main_process, wait_for_all
from maeum._progress import Line
from maeum._version import __version__
from maeum.analyzer import Analyzer
from maeum.crossval import OutOfFold
from maeum.data import Dataset, Input
from maeum.errors import UsageError
from maeum.experiment import TrainSettings, claim, library_versions, tune
from maeum.heads.folder import HeadResult, refuse_names, save_heads
from maeum.heads.plan import Plan, Source
from maeum.history import table
from maeum.models.base import Proba
from maeum.models.blocks import ABSENT
from maeum.models.encoder import EncoderConfig
from maeum.models.head import HeadPredictor, SharedTrunk, fit_platt, fit_weight, mixed, open_trunk, save_trunk
from maeum.models.linear import LinearClassifier, LinearConfig
from maeum.models.many_heads import ManyHeads
from maeum.report import Report, make_report
from maeum.splits import duplicate_groups, duplicate_key, fold_numbers, holdout
from maeum.task import Task
from maeum.text import TextPrep

Floats = NDArray[np.float32]
LINEAR_FOLDS = 5


@dataclass(frozen=True)
class HeadsSettings:
    """Everything that decides the result, beside the plan."""

    base: str
    """Folder or hub id of the encoder, or with ``frozen`` the folder of heads whose trunk is kept."""
    frozen: bool = False
    """Keep a trunk that this very plan trained, exported or not; linear models, mixture and thresholds are made anew."""
    seed: int = 42
    split_seed: int = 42
    clean: str = "default"
    """Text preparation recipe."""
    linear: bool = True
    """Mix in a linear model per head, as far as the held-out rows want it."""
    linear_options: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the linear models."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the encoder and its training; ``epochs`` counts passes over the whole plan (default 1)."""


@dataclass(frozen=True)
class Part:
    """One source, split."""

    source: Source
    train: Dataset
    """Rows the trunk learns from."""
    held: Dataset
    """Rows for calibration, thresholds and the mixture."""
    judge: Dataset | None


def train_heads(
    plan: Plan,
    settings: HeadsSettings,
    *,
    output: str | Path,
    overwrite: bool = False,
    progress: Line = lambda _: None,
) -> dict[str, HeadResult]:
    """Train all heads of a plan and write their folder.

    A killed run goes on where it was: the trunk from its last checkpoint.

    Raises:
        UsageError: a head has too few rows, a setting does not exist, or the output is there already.
    """
    refuse_existing(Path(output), overwrite=overwrite)
    LinearConfig.of(settings.linear_options)  # a wrong word is said before hours of training
    refuse_names([task.name for task in plan.heads])
    work = Path(f"{output}.partial")
    prep = TextPrep.named(settings.clean)
    if settings.frozen:
        trunk = kept_trunk(settings.base, plan, settings.split_seed)
        parts = split_plan(plan, settings)
        _refuse_thin(plan.heads, parts, settings)
    else:
        config = EncoderConfig.of(settings.base, {"epochs": 1.0, **settings.options})
        model = ManyHeads(plan.heads, config, seed=settings.seed, weights=plan.weights)
        parts = split_plan(plan, settings)
        _refuse_thin(plan.heads, parts, settings)
        identity = {"settings": dataclasses.asdict(settings), "plan": plan.fingerprint, "maeum": __version__}
        claim(work, identity | {"weights": dict(plan.weights)}, overwrite=overwrite)
        progress(say("몸통 학습", "training the trunk"))
        trunk = SharedTrunk(_trained(model, parts, plan.heads, prep, settings, work, progress))
    history = table(trunk.trunk.history, fold=None) if isinstance(trunk.trunk, ManyHeads) else []
    results = {}
    for task in plan.heads:
        progress(say(f"머리: {task.name}", f"head: {task.name}"))
        results[task.name] = _head(task, parts, trunk, prep, settings, plan)
    if is_main_process():
        progress(say("저장", "saving"))
        save_heads(results, trunk, Path(output), history=history, overwrite=overwrite)
        shutil.rmtree(work, ignore_errors=True)
    wait_for_all()
    return results


def kept_trunk(folder: str | Path, plan: Plan, split_seed: int) -> SharedTrunk:
    """The trunk of a folder of heads that this plan trained: only then its held-out rows are rows it never saw.

    Raises:
        UsageError: there is no such folder of heads, or another plan or split trained it.
    """
    names = model_folder.head_names(folder)
    first = model_folder.load(folder, task=names[0] if names else None)
    if not isinstance(first.predictor, HeadPredictor):
        raise UsageError(
            f"'{folder}'은(는) 머리가 여럿인 모델 폴더가 아닙니다.", f"'{folder}' is no folder of several heads"
        )
    if not trained_by(first, plan, split_seed):
        raise UsageError(
            f"'{folder}'의 몸통은 다른 계획이나 다른 --split-seed로 배웠습니다. 그러면 떼어 둔 행을 이미 보았을 수 있습니다. "
            "그때의 계획을 주거나 --model encoder:…로 새로 학습하세요.",
            f"the trunk of '{folder}' was trained by another plan or --split-seed and may have seen the rows held out now; "
            "give the plan of then, or train anew with --model encoder:…",
        )
    return first.predictor.trunk


def trained_by(head: Analyzer, plan: Plan, split_seed: int) -> bool:
    """Whether this plan trained a head of several, so that the rows held out now are rows its trunk never saw."""
    then, now = (_who_is_held_out(rows) for rows in (head.about.get("plan", []), plan.fingerprint))
    return then == now and head.about["settings"].get("split_seed") == split_seed


def own_rows(plan: Plan, which: Literal["train", "held", "judge"], *, split_seed: int = 42) -> dict[str, Dataset]:
    """Of each head the rows that people labelled for its very task, as training splits them; heads without are left out."""
    parts = split_plan(plan, HeadsSettings(base="", split_seed=split_seed))
    found: dict[str, Dataset] = {}
    for task in plan.heads:
        of_task = [getattr(part, which) for part in parts if part.source.is_native(task)]
        examples = [example for rows in of_task if rows is not None for example in rows]
        if examples:
            found[task.name] = Dataset(task, examples, source=which)
    return found


def _who_is_held_out(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What decides which rows are held out, wherever their files lie now; how often the others are seen does not."""
    return [{name: value for name, value in row.items() if name not in ("source", "passes")} for row in rows]


def split_plan(plan: Plan, settings: HeadsSettings) -> list[Part]:
    """Every source split; texts that judge anywhere tune nowhere, and texts held out anywhere are trained on nowhere."""
    parts = []
    for source in plan.sources:
        rows, judge = source.rows, None
        if isinstance(source.valid, Dataset):
            judge = source.valid
            known = {duplicate_key(text) for text in judge.texts}
            rows = rows.select(n for n, text in enumerate(rows.texts) if duplicate_key(text) not in known)
        elif source.valid is not None:
            kept, out = _holdout(rows, source.valid, settings.split_seed)
            rows, judge = rows.select(kept), rows.select(out)
        kept, out = _holdout(rows, source.held, settings.split_seed)
        parts.append(Part(source, rows.select(kept), rows.select(out), judge))
    judged = {duplicate_key(text) for part in parts for text in (part.judge.texts if part.judge else ())}
    kept_out = judged | {duplicate_key(text) for part in parts for text in part.held.texts}
    return [
        dataclasses.replace(part, train=_without(part.train, kept_out), held=_without(part.held, judged))
        for part in parts
    ]


def _without(rows: Dataset, keys: Set[str]) -> Dataset:
    return rows.select(n for n, text in enumerate(rows.texts) if duplicate_key(text) not in keys)


def _refuse_thin(heads: Sequence[Task], parts: Sequence[Part], settings: HeadsSettings) -> None:
    """Say before hours of training what would fail after them."""
    for task in heads:
        train, held = (
            [rows.examples[row].text for _, rows, here, _ in _taught(task, parts, which) for row in here]
            for which in ("train", "held")
        )
        if not train or not held:
            missing = say("배울", "learn from") if not train else say("기준값을 맞출", "set the thresholds on")
            raise UsageError(
                f"머리 '{task.name}'에 {missing} 행이 없습니다.", f"'{task.name}' has no rows to {missing}"
            )
        distinct = len({duplicate_key(text) for text in (*train, *held)})
        if settings.linear and distinct < LINEAR_FOLDS:
            raise UsageError(
                f"머리 '{task.name}'에 서로 다른 글이 {distinct}개뿐입니다. 적어도 {LINEAR_FOLDS}개가 필요합니다.",
                f"'{task.name}' has only {distinct} distinct labelled texts; at least {LINEAR_FOLDS} are needed",
            )


def _holdout(rows: Dataset, share: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return holdout(rows.y, duplicate_groups(rows.texts), fraction=share, seed=seed)


def _trained(
    model: ManyHeads,
    parts: Sequence[Part],
    heads: Sequence[Task],
    prep: TextPrep,
    settings: HeadsSettings,
    work: Path,
    progress: Line,
) -> Any:
    """The trunk, trained or read back from an earlier run that got that far."""
    done = work / "trunk"
    if done.exists():
        return open_trunk(done).trunk
    inputs: list[Input] = []
    labels: list[Floats] = []
    rng = np.random.default_rng(settings.seed)
    for part in parts:
        times = pass_counts(len(part.train), part.source.passes, rng)
        found = joined_labels(part.source, part.train, heads)
        own = _prepared(prep, part.train)
        order = np.repeat(np.arange(len(times)), times)
        inputs += [own[row] for row in order]
        labels.append(found[order])
    held = [row for part in parts for row in _prepared(prep, part.held)]
    y_held = np.concatenate([joined_labels(part.source, part.held, heads) for part in parts])
    model.fit_watched(
        inputs,
        np.concatenate(labels),
        held=(held, y_held),
        work=work / "steps",
        name=say("학습", "training"),
        progress=progress,
    )
    if is_main_process():
        with atomic_folder(done) as folder:
            save_trunk(SharedTrunk(model), folder)
    return model


def pass_counts(n: int, passes: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """(n,) how often each row is seen in an epoch: ``passes`` on average, each row within one of the others."""
    times = np.full(n, int(passes))
    extra = round((passes - int(passes)) * n)
    times[rng.permutation(n)[:extra]] += 1
    return times


def joined_labels(source: Source, rows: Dataset, heads: Sequence[Task]) -> Floats:
    """(n, K) labels for all heads, ``ABSENT`` for those the source does not teach."""
    return np.concatenate(
        [
            source.labels(rows, head) if source.teaches(head) else np.full((len(rows), len(head)), ABSENT, np.float32)
            for head in heads
        ],
        axis=1,
    )


def _prepared(prep: TextPrep, rows: Dataset) -> list[Input]:
    return [prep.prepare_input(item) for item in rows.inputs]


@dataclass(frozen=True)
class HeadRows:
    """The rows of one head, over all its sources."""

    inputs: list[Input]
    y: NDArray[np.uint8]
    ids: tuple[str, ...]


def _taught(task: Task, parts: Sequence[Part], which: str) -> Iterator[tuple[int, Dataset, NDArray[np.int64], Floats]]:
    """Of every source that has rows of a head: its number, ``which`` of its rows, those labelled (m,), labels (n, k)."""
    native = which != "train" and any(part.source.is_native(task) for part in parts)
    for number, part in enumerate(parts):
        rows: Dataset | None = getattr(part, which)
        if rows is None or not (part.source.is_native(task) if native else part.source.teaches(task)):
            continue
        y = part.source.labels(rows, task)
        yield number, rows, np.flatnonzero(y[:, 0] != ABSENT), y


def head_rows(task: Task, parts: Sequence[Part], which: str, prep: TextPrep) -> HeadRows:
    """One part (``train``, ``held``, ``judge``) of the rows of a head, prepared."""
    inputs: list[Input] = []
    labels: list[Floats] = [np.zeros((0, len(task)), np.float32)]
    ids: list[str] = []
    for number, rows, here, y in _taught(task, parts, which):
        own = _prepared(prep, rows)
        inputs += [own[row] for row in here]
        labels.append(y[here])
        row_ids = rows.ids
        ids += [f"{number}/{row_ids[row]}" for row in here]
    return HeadRows(inputs, np.concatenate(labels).astype(np.uint8), tuple(ids))


def _head(
    task: Task, parts: Sequence[Part], trunk: SharedTrunk, prep: TextPrep, settings: HeadsSettings, plan: Plan
) -> HeadResult:
    train, held, judge = (head_rows(task, parts, which, prep) for which in ("train", "held", "judge"))
    z = trunk.logits(held.inputs)[:, trunk.trunk.blocks[task.name].columns]
    # what a taxonomy made of other corpora may be of another density than the head's own rows
    borrowed = any(part.source.teaches(task) and not part.source.is_native(task) for part in parts)
    platt = fit_platt(z, held.y, task) if borrowed else None
    if platt is not None:
        z = z * platt[0] + platt[1]
    linear, other, weight = None, None, 1.0
    if settings.linear:
        linear, other = _linear(task, train, held, settings)
        weight = fit_weight(z, other, held.y, task)
        if weight == 1:
            linear = None
    predictor = HeadPredictor(task, trunk, linear=linear, weight=weight, platt=platt)
    proba = mixed(z, other, weight, task)
    oof = OutOfFold(task, held.ids, held.y, proba, np.zeros(len(held.ids), np.int64))
    spec = f"{'frozen' if settings.frozen else 'encoder'}:{settings.base}"
    words = TrainSettings(model=spec, seed=settings.seed, split_seed=settings.split_seed)
    calibration, thresholds = tune(oof, words)
    sources = [part.source for part in parts if part.source.teaches(task)]
    about = {
        "settings": {**dataclasses.asdict(settings), "weights": dict(plan.weights), "trunk_weight": weight},
        "plan": plan.fingerprint,
        "train": {
            "source": ", ".join(source.rows.source for source in sources),
            "rows": len(train.ids),
            "fingerprint": "+".join(source.rows.fingerprint for source in sources),
            "support": dict(zip(task.keys, map(int, train.y.sum(0)), strict=True)),
        },
        "versions": library_versions(),
    }
    analyzer = Analyzer(predictor, prep=prep, calibration=calibration, thresholds=thresholds, about=about)
    return HeadResult(analyzer, _judged(analyzer, judge, oof, train), oof)


def _linear(task: Task, train: HeadRows, held: HeadRows, settings: HeadsSettings) -> tuple[LinearClassifier, Proba]:
    """A linear model of all rows, and its out-of-fold probabilities for the held-out ones."""
    inputs = [*train.inputs, *held.inputs]
    y = np.concatenate([train.y, held.y])
    groups = duplicate_groups([item.text for item in inputs])
    model = LinearClassifier(task, seed=settings.seed, config=LinearConfig.of(settings.linear_options))
    fold = fold_numbers(y, groups, folds=LINEAR_FOLDS, seed=settings.split_seed)
    proba = model.fit_folds(inputs, y, fold)
    return model, proba[len(train.ids) :]


def _judged(analyzer: Analyzer, judge: HeadRows, oof: OutOfFold, train: HeadRows) -> Report:
    if len(judge.ids):
        # the rows are prepared already
        proba = analyzer.calibration.apply(analyzer.predictor.predict_proba(judge.inputs))
        return make_report(
            analyzer.task,
            judge.y,
            proba,
            analyzer.thresholds,
            data="valid",
            model="head",
            train_support=train.y.sum(0).tolist(),
        )
    return make_report(
        analyzer.task,
        oof.y,
        analyzer.calibration.apply(oof.proba),
        analyzer.thresholds,
        data=say("떼어 둔 학습 행", "held-out training rows"),
        model="head",
        train_support=train.y.sum(0).tolist(),
        tuned_on_same_rows=analyzer.task.kind != "multiclass",
    )
