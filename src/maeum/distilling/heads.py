"""A model of several heads with fewer layers: one student trunk learns what the teacher says under all of its heads.

The teacher may be any folder of heads, exported or not, with linear models mixed in or not: its calibrated probabilities
for all tasks side by side are what the trunk of the student learns. Labels come from a plan (``maeum.heads``), split as
training splits it: rows that train, rows that set calibration and thresholds, rows that only judge.
"""

from __future__ import annotations

import copy
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maeum import folder as model_folder
from maeum._files import refuse_existing
from maeum._lang import say
from maeum._processes import one_process
from maeum._progress import Line
from maeum._version import __version__
from maeum.analyzer import Analyzer
from maeum.distilling.heads_lesson import JoinedTeacher, Lesson, Rows, gather_rows, lesson_of
from maeum.distilling.heads_results import DistilledHeads, Measured, results_of, save
from maeum.distilling.pool import pool_words
from maeum.distilling.settings import DEFAULTS, DistillSettings
from maeum.distilling.softening import SoftLabels
from maeum.errors import TaskMismatch, UsageError
from maeum.experiment import claim, has_progress, prepare_all
from maeum.heads import Plan
from maeum.heads.training import trained_by
from maeum.models.base import Proba
from maeum.models.head import HeadPredictor, SharedTrunk
from maeum.models.many_heads import ManyHeads
from maeum.text import TextPrep


def distill_heads(
    teacher: str | Path,
    texts: str | Path,
    output: str | Path,
    settings: DistillSettings = DEFAULTS,
    *,
    plan: Plan | None = None,
    reading: Mapping[str, Any] | None = None,
    soft_labels: str | Path | None = None,
    overwrite: bool = False,
    progress: Line = lambda _: None,
) -> DistilledHeads:
    """Train one trunk on the probabilities of all heads of a teacher and write it as a folder of heads.

    The same call again goes on from where a killed one stopped.

    Args:
        teacher: a folder of heads of any kind.
        texts: a file of any format of ``maeum.formats``; labels in it are not read.
        output: the folder to write; ``output.partial`` is used meanwhile.
        plan: labelled rows of every head: those that train are learnt from (``alpha``), as often in an epoch as they say;
            those held out set calibration and thresholds; those left judge. Without it thresholds are tuned on
            held-out texts against the teacher's decisions.
        reading: how ``texts`` is read: ``format``, ``text_column``, ``encoding``, ``on_error`` …
        soft_labels: folder for the teacher's probabilities, kept for other students; None: thrown away at the end.
        overwrite: replace an existing model folder, and throw away an interrupted run with other settings.
        progress: called with a line before each stage.

    Raises:
        UsageError: settings that do not fit each other, the teacher or the plan; no network to start from.
        TaskMismatch: the start or the plan has other heads than the teacher.
        DataError: a file cannot be read, or too few texts are left.
    """
    output = Path(output)
    one_process("distill")
    refuse_existing(output, overwrite=overwrite)
    progress(say(f"교사 여는 중: {teacher}", f"opening the teacher {teacher}"))
    heads = _heads_of(teacher)
    student = _untaught(heads, settings, plan)
    rows = gather_rows(
        str(texts), dict(reading or {}), student.prep, student.model.tasks, plan, student.split_seed, settings
    )
    progress(pool_words(rows.pool.counts))
    work = Path(f"{output}.partial")
    kept = None if soft_labels is None else Path(soft_labels)
    places = _Places(model_folder.embedded(teacher), str(texts), output, work, kept)
    try:
        return _run(heads, student, rows, settings, places, progress, overwrite=overwrite)
    finally:
        if work.exists() and not has_progress(work) and not any(work.rglob("part-*")):
            shutil.rmtree(work, ignore_errors=True)  # nothing there is worth the next command's while


@dataclass(frozen=True)
class _Places:
    teacher: Path
    texts: str
    output: Path
    work: Path
    kept: Path | None
    """Where the teacher's probabilities are to stay."""


def _run(
    heads: Mapping[str, Analyzer],
    student: _Student,
    rows: Rows,
    settings: DistillSettings,
    places: _Places,
    progress: Line,
    *,
    overwrite: bool,
) -> DistilledHeads:
    seconds: dict[str, float] = {}
    start = time.perf_counter()
    joined = JoinedTeacher(heads, student.model.tasks)
    lesson = lesson_of(rows, joined, _softened(joined, rows, places, progress), settings)
    seconds["teacher"] = round(time.perf_counter() - start, 1)
    start = time.perf_counter()
    _teach(student, lesson, settings, places.work / "student", progress, overwrite=overwrite)
    seconds["train"] = round(time.perf_counter() - start, 1)
    progress(say("보정과 기준값", "calibration and thresholds"))
    about = Measured(heads, places.teacher, places.texts, settings, student.split_seed, student.same_rows, seconds)
    results, facts = results_of(student.model, student.prep, lesson, about, progress)
    progress(say("저장", "saving"))
    ordered = {name: results[name] for name in heads}
    save(ordered, SharedTrunk(student.model), facts, places.output, overwrite=overwrite)
    for name in ("soft", "student"):
        shutil.rmtree(places.work / name, ignore_errors=True)
    if places.work.exists() and not any(places.work.iterdir()):
        places.work.rmdir()
    return DistilledHeads(places.output, {name: result.analyzer for name, result in ordered.items()}, facts)


def _softened(joined: JoinedTeacher, rows: Rows, places: _Places, progress: Line) -> Proba:
    """The teacher's pass, kept in parts."""
    identity = {
        "teacher": model_folder.fingerprint(places.teacher),
        "task": joined.task.fingerprint,
        "texts": rows.pool.digest(),
        "maeum": __version__,
    }
    folder = places.work / "soft" if places.kept is None else places.kept
    return SoftLabels(folder, identity, kept=places.kept is not None).fill(joined, rows.pool.inputs, progress)


@dataclass(frozen=True)
class _Student:
    """The trunk that is to learn."""

    model: ManyHeads
    layers: list[int]
    """The layers of ``guide`` that its own stand for."""
    guide: Any
    """The whole backbone these are from; None where there is none."""
    prep: TextPrep
    start: str | None
    """Fingerprint of the folder its network is from, where that is not the teacher's."""
    split_seed: int
    """Of the rows that are held out of a plan."""
    same_rows: bool
    """Whether teacher and start were trained by the very plan, so that neither has seen the rows held out now."""


def _heads_of(teacher: str | Path) -> dict[str, Analyzer]:
    if not model_folder.head_names(teacher):
        raise UsageError(
            f"'{teacher}'은(는) 머리가 여럿인 모델 폴더가 아닙니다.", f"'{teacher}' is no folder of several heads"
        )
    return model_folder.load_heads(teacher)


def _untaught(heads: Mapping[str, Analyzer], settings: DistillSettings, plan: Plan | None) -> _Student:
    """The student before its first step; what cannot be trained is said before the teacher's long pass."""
    if settings.kind == "linear":
        raise UsageError(
            "머리가 여럿인 학생은 몸통 하나를 같이 쓰므로 linear일 수 없습니다. --task로 머리 하나를 고르세요.",
            "a student of several heads shares one trunk and cannot be linear; choose one head with --task",
        )
    place = settings.argument if settings.kind == "model" else settings.start
    starts = [next(iter(heads.values()))]
    if settings.kind == "encoder":
        model, layers, guide, prep = _from_base(heads, settings, plan)
    else:
        found = heads if place is None else _heads_of(place)
        starts.append(next(iter(found.values())))
        model, layers, guide = _from_trunk(heads, found, place, settings, plan)
        prep = starts[-1].prep
    seeds = {int(head.about.get("settings", {}).get("split_seed", settings.seed)) for head in starts}
    split_seed = seeds.pop() if len(seeds) == 1 else settings.seed
    same = plan is not None and all(trained_by(head, plan, split_seed) for head in starts)
    start = None if place is None else model_folder.fingerprint(place)
    return _Student(model, layers, guide, prep, start, split_seed, same)


def _from_base(
    heads: Mapping[str, Analyzer], settings: DistillSettings, plan: Plan | None
) -> tuple[ManyHeads, list[int], Any, TextPrep]:
    from maeum.hf.files import resolve
    from maeum.hf.training import check
    from maeum.models.encoder import EncoderConfig

    config = EncoderConfig.of(settings.argument, settings.model_options)
    check(config)
    resolve(config.base, revision=config.revision, weights=True)
    tasks = [head.task for head in heads.values()]
    model = ManyHeads(tasks, config, seed=settings.seed, weights=None if plan is None else plan.weights)
    prep = next(iter(heads.values())).prep
    return model, [], None, prep if settings.clean is None else TextPrep.named(settings.clean)


def _from_trunk(
    heads: Mapping[str, Analyzer],
    found: Mapping[str, Analyzer],
    place: str | None,
    settings: DistillSettings,
    plan: Plan | None,
) -> tuple[ManyHeads, list[int], Any]:
    """A copy of a trained trunk, of which ``layers`` keeps some."""
    from maeum.hf.cutting import layer_numbers, layers_of
    from maeum.models.going_on import config_going_on

    first = next(iter(found.values())).predictor
    trunk = first.trunk.trunk if isinstance(first, HeadPredictor) else None
    if not isinstance(trunk, ManyHeads):
        raise UsageError(
            (f"'{place}'의" if place else "교사의")
            + " 몸통은 내보낸 그래프라 층을 가져올 수 없습니다. --start에 같은 머리로 학습한(내보내기 전) 모델 폴더를 주거나 "
            "--student encoder:폴더를 쓰세요.",
            ("the trunk of " + (f"'{place}'" if place else "the teacher"))
            + " is an exported graph, from which no layers can be taken; give --start the folder of the same heads as it was "
            "trained (before its export), or use --student encoder:FOLDER",
        )
    _refuse_other_heads(heads, {task.name: task.fingerprint for task in trunk.tasks}, place or "--start")
    network = copy.deepcopy(trunk.network)
    layers: list[int] = []
    if settings.kind == "layers":
        layers = layer_numbers(settings.argument, len(layers_of(network.backbone)))
        network.cut_layers(layers)
    config = config_going_on(trunk, network, settings.model_options)
    weights = trunk.weights | (dict(plan.weights) if plan is not None else {})
    model = ManyHeads(trunk.tasks, config, seed=settings.seed, weights=weights)
    return model.begin_with(network, trunk.tokenizer), layers, trunk.network.backbone


def _refuse_other_heads(heads: Mapping[str, Analyzer], found: Mapping[str, str], place: str) -> None:
    wanted = {name: head.task.fingerprint for name, head in heads.items()}
    if wanted != dict(found):
        raise TaskMismatch(
            f"'{place}'의 머리({', '.join(found)})가 교사의 머리({', '.join(wanted)})와 다르거나 라벨이 다릅니다.",
            f"the heads of '{place}' ({', '.join(found)}) are not those of the teacher ({', '.join(wanted)}), or have other labels",
        )


def _teach(
    student: _Student, lesson: Lesson, settings: DistillSettings, work: Path, progress: Line, *, overwrite: bool
) -> None:
    """Train the student's trunk."""
    from maeum.models.encoder import Aim
    from maeum.models.soft_losses import Guided, aims, guided_loss, many_soft_loss

    model, rows = student.model, lesson.rows
    alpha = settings.alpha if rows.parts is not None else 0.0
    plain = many_soft_loss(model.blocks, model.weights, temperature=settings.temperature, alpha=alpha)
    aim = Aim(guided_loss(plain, settings.hidden))
    if settings.hidden > 0:
        aim = Aim(aim.loss, lambda network: Guided(network, student.guide, student.layers))
    held, y = lesson.watched(student.prep)
    identity = {
        "settings": settings.identity(),
        "start": student.start,
        "weights": model.weights,
        "lesson": lesson.digest(),
        "maeum": __version__,
    }
    claim(work, identity, overwrite=overwrite)
    order = np.repeat(lesson.train, rows.times[lesson.train])
    progress(
        say(
            f"학생 학습: {len(order):,}건, 지켜보는 글 {len(held):,}건(배우지 않음)",
            f"training the student on {len(order):,} texts, watched on {len(held):,} that it does not learn from",
        )
    )
    inputs = prepare_all(student.prep, rows.pool.inputs)
    everything = aims(lesson.soft, rows.pool.hard(len(lesson.teacher.task)))
    model.fit_to(
        [inputs[row] for row in order.tolist()],
        everything[order],
        aim,
        held=(held, y),
        work=work,
        name=say("학생 학습", "student"),
        progress=progress,
    )
