"""A model folder in, the same folder with ONNX graphs out: convert, compare, measure, judge, write."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maeum import folder as model_folder
from maeum._files import (
    atomic_folder,
    canonical_json,
    pretty_json,
    read_json,
    refuse_existing,
    write_text,
)
from maeum._lang import say
from maeum._optional import require_installed
from maeum.analyzer import Analyzer
from maeum.data import Dataset
from maeum.errors import TaskMismatch, UsageError
from maeum.exporting.converting import Exporter, versions
from maeum.exporting.samples import sample_inputs
from maeum.exporting.verdict import EPSILON, PRECISIONS, Measured, Precision, Stopwatch, Verdict, judge, measure
from maeum.models.base import Predictor
from maeum.models.head import HeadPredictor, SharedTrunk, save_trunk

Line = Callable[[str], None]


@dataclass(frozen=True)
class Exported:
    """What an export left."""

    output: Path
    facts: Mapping[str, Any]
    """The content of ``export.json``."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {"model": str(self.output), **self.facts}

    def summary(self) -> str:
        """A few lines for people."""
        facts = self.facts
        worst = max((max(item["windows"], item["texts"]) for item in facts["parity"]), default=0.0)
        lines = [
            say(
                f"같음 검사: 원래 모델과 fp32 그래프의 확률 차이 최대 {worst:.1e} (허용 1e-05)",
                f"parity: probabilities of model and fp32 graph differ by at most {worst:.1e} (allowed 1e-05)",
            )
        ]
        if facts["asked"] != "fp32":
            kept = facts["precision"] == facts["asked"]
            lines.append(
                say(f"{facts['asked']}로 썼습니다.", f"written as {facts['asked']}.")
                if kept
                else say(f"{facts['asked']} 대신 fp32로 썼습니다.", f"written as fp32 instead of {facts['asked']}.")
            )
            lines += [f"- {reason}" for reason in facts["reasons"]]
        size = facts["megabytes"]
        lines.append(say(f"크기: {size:.1f} MB", f"size: {size:.1f} MB"))
        return "\n".join(lines)


def export(
    source: str | Path,
    output: str | Path,
    *,
    precision: Precision = "fp32",
    data: Dataset | None = None,
    epsilon: float = EPSILON,
    overwrite: bool = False,
    progress: Line = lambda _: None,
    stopwatch: Stopwatch | None = None,
) -> Exported:
    """Write a model folder that needs onnxruntime and tokenizers only.

    Args:
        source: a model folder of an encoder, a linear model, the mean of folds of such, or several heads on one trunk.
        precision: int8 and fp16 are kept only if they are good enough (``verdict``), else fp32 is written.
        data: labelled rows to judge by, seen by neither training nor thresholds; None: agreement on sample texts.
        epsilon: F1 that may be lost.
        stopwatch: measures the speed of two predictors; None: by running them in turns.

    Raises:
        UsageError: the model cannot be exported, by name, or a setting makes no sense.
        ParityError: the graph says something else than the model; nothing is written.
    """
    source, output = model_folder.embedded(source), Path(output)
    if precision not in PRECISIONS or not 0 <= epsilon <= 1:
        raise UsageError(
            f"precision은 {', '.join(PRECISIONS)} 중 하나, epsilon은 0과 1 사이여야 합니다: {precision}, {epsilon}",
            f"precision is one of {', '.join(PRECISIONS)} and epsilon in [0, 1], got {precision}, {epsilon}",
        )
    _check_apart(source, output)
    refuse_existing(output, overwrite=overwrite)
    for module in ("onnx", "torch"):
        require_installed(module)
    analyzers = model_folder.load_heads(source)
    if data is not None:
        _check_task(data, analyzers)
    with tempfile.TemporaryDirectory() as work:
        exporter = Exporter(Path(work), model_folder.fingerprint(source), _metadata(analyzers))
        progress(say("그래프로 바꾸고 원래 모델과 비교", "making the graph and comparing it with the model"))
        chosen = _full(exporter, analyzers)
        facts: dict[str, Any] = {"asked": precision, "precision": "fp32", "reasons": [], "measured": {}}
        if precision != "fp32":
            progress(say(f"{precision} 재기", f"measuring {precision}"))
            smaller = _smaller(exporter, chosen, precision)
            verdict, measured = _judged(analyzers, chosen, smaller, precision, data, epsilon, stopwatch)
            facts |= {"reasons": list(verdict.reasons), "epsilon": epsilon}
            facts["measured"] = {name: found.to_dict() for name, found in measured.items()}
            if verdict.kept:
                chosen, facts["precision"] = smaller, precision
        facts |= {
            "exported_from": exporter.origin,
            "parity": [parity.to_dict() for parity in exporter.parities],
            "versions": versions(),
        }
        progress(say("저장", "saving"))
        _write(source, output, analyzers, chosen, facts, overwrite=overwrite)
    return Exported(output, facts)


def _check_task(data: Dataset, analyzers: Mapping[str, Analyzer]) -> None:
    name = data.task.name
    if name not in analyzers:
        raise TaskMismatch(
            f"--data의 과제 '{name}'이(가) 모델에 없습니다. 있는 과제: {', '.join(analyzers)}",
            f"--data is of task '{name}', the model has: {', '.join(analyzers)}",
        )
    if (found := data.task.keys) != (keys := analyzers[name].task.keys):
        raise TaskMismatch(
            f"--data의 과제 '{name}'은(는) 모델의 것과 라벨이나 그 차례가 다릅니다: {', '.join(found)} / {', '.join(keys)}",
            f"task '{name}' of --data has other labels than the model's, or in another order: "
            f"{', '.join(found)} / {', '.join(keys)}",
        )


def _check_apart(source: Path, output: Path) -> None:
    """Refuse an output that would replace the model, or be copied into itself."""
    a, b = source.resolve(), output.resolve()
    if a.is_relative_to(b) or b.is_relative_to(a):
        raise UsageError(
            f"내보낼 곳 '{output}'이(가) 원래 모델 '{source}'과(와) 겹칩니다. 다른 폴더를 -o로 주세요. 원래 모델은 그대로 둡니다.",
            f"the output '{output}' overlaps the model '{source}'; give another folder with -o, the original is kept",
        )


def _full(exporter: Exporter, analyzers: Mapping[str, Analyzer]) -> dict[str, Predictor]:
    """The fp32 predictor of every head."""
    first = next(iter(analyzers.values())).predictor
    if not isinstance(first, HeadPredictor):
        return {name: exporter.full(analyzer.predictor) for name, analyzer in analyzers.items()}
    encoder: Any = first.trunk.trunk
    if encoder.kind != "many-heads":
        raise UsageError(
            "이미 내보낸 모델입니다. 원래 모델을 주세요.", "this is an exported model already; give the original"
        )
    trunk = exporter.trunk(encoder)
    exporter.compared(encoder, trunk)
    return _on_trunk({name: analyzer.predictor for name, analyzer in analyzers.items()}, SharedTrunk(trunk))


def _on_trunk(heads: Mapping[str, Predictor], trunk: SharedTrunk) -> dict[str, Predictor]:
    found: dict[str, Predictor] = {}
    for name, head in heads.items():
        assert isinstance(head, HeadPredictor)
        found[name] = HeadPredictor(head.task, trunk, linear=head.linear, weight=head.weight, platt=head.platt)
    return found


def _smaller(exporter: Exporter, full: Mapping[str, Predictor], precision: Precision) -> dict[str, Predictor]:
    first: Any = next(iter(full.values()))
    if not isinstance(first, HeadPredictor):
        return {name: exporter.smaller(model, precision) for name, model in full.items()}
    trunk: Any = first.trunk.trunk
    return _on_trunk(full, SharedTrunk(exporter.smaller_trunk(trunk, precision)))


def _judged(
    analyzers: Mapping[str, Analyzer],
    full: Mapping[str, Predictor],
    smaller: Mapping[str, Predictor],
    precision: Precision,
    data: Dataset | None,
    epsilon: float,
    stopwatch: Stopwatch | None,
) -> tuple[Verdict, dict[str, Measured]]:
    """The verdict of all heads together: one that loses too much is enough to write fp32."""
    if all(smaller[name] is full[name] for name in full):
        already = say(
            "선형 모델의 가중치는 이미 16비트입니다. 더 작은 형식은 없습니다.",
            "the weights of a linear model are 16 bits wide already; there is no smaller form",
        )
        return Verdict(False, (already,)), {}
    reasons, measured, kept = [], {}, True
    for name, analyzer in analyzers.items():
        items, y, words = _rows(analyzer, data)
        found = measure(analyzer.with_predictor(full[name]), smaller[name], items, y, source=words, stopwatch=stopwatch)
        verdict = judge(found, precision, epsilon)
        where = f"{name}: " if len(analyzers) > 1 else ""
        reasons += [f"{where}{reason} [{words}]" for reason in verdict.reasons]
        measured[name], kept = found, kept and verdict.kept
    return Verdict(kept, tuple(reasons)), measured


def _rows(analyzer: Analyzer, data: Dataset | None) -> tuple[Sequence[Any], NDArray[np.uint8] | None, str]:
    if data is not None and data.task.name == analyzer.task.name:
        rows = data.labelled()
        if not len(rows):
            raise UsageError("--data에 라벨이 달린 행이 없습니다.", "no row of --data is labelled")
        words = say(f"{data.source}, {len(rows)}행", f"{data.source}, {len(rows)} rows")
        if data.fingerprint == (analyzer.about.get("train") or {}).get("fingerprint"):
            words += say("; 이 행들로 학습한 모델입니다", "; the model was trained on these very rows")
        elif data.fingerprint in analyzer.thresholds.tuned_on:
            words += say("; 기준값을 이 행들로 골랐습니다", "; the thresholds were chosen on these very rows")
        return list(rows), rows.y, words
    inputs = sample_inputs()
    words = say(
        f"예제 글 {len(inputs)}건, 라벨 없이 fp32의 판정과 비교",
        f"{len(inputs)} sample texts, without labels: against the decisions of fp32",
    )
    return inputs, None, words


def _metadata(analyzers: Mapping[str, Analyzer]) -> dict[str, str]:
    """What a program that reads the graph alone needs to know."""
    found: dict[str, str] = {}
    for name, analyzer in analyzers.items():
        where = f"{name}." if len(analyzers) > 1 else ""
        found |= {
            f"maeum.{where}task": canonical_json(analyzer.task.to_dict()),
            f"maeum.{where}text": canonical_json(analyzer.prep.to_dict()),
            f"maeum.{where}calibration": canonical_json(analyzer.calibration.to_dict()),
            f"maeum.{where}thresholds": canonical_json(analyzer.thresholds.to_dict()),
        }
    return found


def _write(
    source: Path,
    output: Path,
    analyzers: Mapping[str, Analyzer],
    chosen: Mapping[str, Predictor],
    facts: dict[str, Any],
    *,
    overwrite: bool,
) -> None:
    """The source's own files around the new model."""
    first = next(iter(chosen.values()))
    several = isinstance(first, HeadPredictor) and (source / "trunk").is_dir()
    left_out = shutil.ignore_patterns(*(("trunk",) if several else ("model", "folds")), "manifest.json")
    with atomic_folder(output, overwrite=overwrite) as target:
        shutil.copytree(source, target, ignore=left_out, dirs_exist_ok=True)
        place = target / ("trunk" if several else "model")
        place.mkdir()
        if several:
            assert isinstance(first, HeadPredictor)
            save_trunk(first.trunk, place)
        else:
            first.save(place)
        for settings in _settings_files(target, several, tuple(analyzers)):
            about = read_json(settings)
            about["export"] = {name: facts[name] for name in ("exported_from", "asked", "precision", "reasons")}
            write_text(settings, pretty_json(about))
        facts["megabytes"] = round(sum(path.stat().st_size for path in place.rglob("*") if path.is_file()) / 1e6, 3)
        write_text(target / "export.json", pretty_json(facts))
        if (card := target / "README.md").is_file():
            write_text(card, card.read_text(encoding="utf-8") + _card_lines(facts))
        kind = model_folder.HEADS_KIND if several else first.kind
        task = next(iter(analyzers.values())).task
        model_folder.seal(target, kind, task, heads=tuple(analyzers) if several else ())


def _settings_files(target: Path, several: bool, names: Sequence[str]) -> list[Path]:
    if not several:
        return [target / "settings.json"]
    return [target / "heads" / name / "settings.json" for name in names]


def _card_lines(facts: Mapping[str, Any]) -> str:
    lines = [f"- ONNX, {facts['precision']}", *(f"- {reason}" for reason in facts["reasons"])]
    return "\n## " + say("내보내기", "Export") + "\n\n" + "\n".join(lines) + "\n"
