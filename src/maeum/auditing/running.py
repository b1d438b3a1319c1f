"""``audit``: labelled rows in; wrong-looking labels, confused pairs, copies and labels too rare to learn out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from maeum._lang import say
from maeum._progress import Line
from maeum.auditing import duplicates, listing
from maeum.auditing.confusing import confusable
from maeum.auditing.evidence import said_of
from maeum.auditing.findings import Audit, LabelRow, Part, Suspect
from maeum.auditing.listing import Floats
from maeum.auditing.probing import Probed, probe, recall, train_settings
from maeum.auditing.scoring import cell_errors, class_errors
from maeum.auditing.settings import RARE, SUSPICIOUS, Settings
from maeum.data import Dataset
from maeum.errors import TaskMismatch, UsageError
from maeum.metrics import average_precision, counts
from maeum.splits import duplicate_key


def audit(
    data: Dataset,
    *,
    valid: Dataset | None = None,
    model: str = "linear",
    oof: str | Path | None = None,
    folds: int | None = None,
    settings: Settings | None = None,
    model_options: Mapping[str, Any] | None = None,
    work: Path | None = None,
    progress: Line = lambda _: None,
) -> Audit:
    """Look for labels that are wrong. Nothing is changed.

    Args:
        data: the rows; those without labels are left out.
        valid: rows of the same task that judge; looked at for texts that also train.
        model: what to train by cross-validation, as for ``maeum train``.
        oof: a model folder that was trained on these rows; its out-of-fold probabilities are used instead.
        folds: folds of the cross-validation, 5 by default.
        settings: what to list.
        model_options: settings of the model itself.
        work: folder for the progress of a model that trains long.
        progress: called with a line before each stage.

    Raises:
        UsageError: too few rows to train on, or ``oof`` is of other rows.
        TaskMismatch: ``valid`` or ``oof`` is of another task.
    """
    settings = settings or Settings()
    rows = data.labelled()
    if not len(rows):
        raise UsageError("라벨이 있는 행이 없습니다.", "no row is labelled")
    if valid is not None and valid.task.fingerprint != rows.task.fingerprint:
        raise TaskMismatch(
            f"--valid의 과제 '{valid.task.name}'가 데이터의 과제 '{rows.task.name}'와 다릅니다.",
            f"the valid rows are of task '{valid.task.name}', the data of '{rows.task.name}'",
        )
    run = _Run(rows, valid, settings, progress)
    if len(rows) < len(data):
        missing = len(data) - len(rows)
        run.notes.append(say(f"라벨이 없는 {missing}행은 뺐습니다.", f"{missing} rows without labels were left out"))
    if oof is not None:
        probed = run.timed("fit", lambda: recall(rows, oof))
        return run(probed, str(oof))
    chosen = train_settings(model, folds=folds, seed=settings.seed, options=model_options or {})
    place = None if work is None or chosen.is_quick else work
    probed = run.timed("fit", lambda: probe(rows, chosen, work=place, progress=progress))
    return run(probed, model)


class _Run:
    """The stages of an audit, timed."""

    def __init__(self, data: Dataset, valid: Dataset | None, settings: Settings, progress: Line) -> None:
        self.data = data
        self.valid = valid
        self.settings = settings
        self.progress = progress
        self.notes: list[str] = []
        self.seconds: dict[str, float] = {}

    def __call__(self, probed: Mapping[str, Probed], model: str) -> Audit:
        settings = self.settings
        self.progress(say("같은 글과 비슷한 글 찾기", "looking for copies"))
        groups, near = self.timed("duplicates", lambda: duplicates.within(self.data, near=settings.near))
        overlap = None
        if self.valid is not None:
            valid = self.valid
            overlap = self.timed("leakage", lambda: duplicates.between(self.data, valid, near=settings.near))
        self.progress(say("라벨마다 점수 매기기", "scoring the labels"))
        suspects: list[Suspect] = []
        above = 0
        parts = []
        for name, part in probed.items():
            self._note(name, part)
            found, reach, errors = self.timed(
                f"score {name}", lambda n=name, p=part: self._suspects(n, p, groups, probed)
            )
            suspects += found
            above += reach
            parts.append(self.timed(f"words {name}", lambda n=name, p=part, e=errors: self._part(n, p, e)))
        suspects.sort(key=lambda item: (-item.score, item.row))
        listed = tuple(suspects[: settings.top])
        said = self.timed("evidence", lambda: said_of(self.data, listed, probed))
        differ = [group for group in groups if len({duplicates.labels_of(self.data[row]) for row in group}) > 1]
        return Audit(
            self.data,
            settings,
            model,
            tuple(parts),
            listed,
            above,
            tuple(map(tuple, differ)),
            sum(map(len, groups)),
            tuple(sorted((twins for twins in near if not twins.agree), key=lambda twins: -twins.similarity)),
            sum(twins.agree for twins in near),
            overlap,
            self.valid,
            tuple(self.notes),
            self.seconds,
            said,
        )

    def timed(self, stage: str, work: Any) -> Any:
        """Do a stage and remember how long it took."""
        start = time.perf_counter()
        result = work()
        self.seconds[stage] = round(time.perf_counter() - start, 3)
        return result

    def _note(self, name: str, part: Probed) -> None:
        self.notes += [note if name == "labels" else f"{name}: {note}" for note in part.notes]
        if self.data.task.kind == "aspect" and name == "aspects" and not (self.data.y.any(1)).all():
            bare = int((~self.data.y.any(1)).sum())
            self.notes.append(say(f"속성이 하나도 없는 글이 {bare}개입니다.", f"{bare} texts have no aspect at all"))

    def _suspects(
        self, name: str, part: Probed, groups: list[list[int]], probed: Mapping[str, Probed]
    ) -> tuple[list[Suspect], int, Floats]:
        settings = self.settings
        share = settings.expected_errors
        if part.rows.task.kind == "multiclass":
            twins = groups if name == "labels" else []
            errors, other = class_errors(part.y, part.proba, share=share, method=settings.method, twins=twins)
            found, above = listing.classes(part, errors, other, twins, floor=share, most=settings.top)
            if name == "sentiment":
                found = listing.grade_suspects(self.data, found)
            return found, above, np.where(part.y == 1, errors[:, None], 0.0)
        errors = cell_errors(part.y, part.proba, share=share, method=settings.method, twins=groups)
        found, above = listing.cells(part, errors, groups, floor=share, most=settings.top)
        if name == "aspects":
            found = listing.graded(self.data, found, probed.get("sentiment"))
        return found, above, errors

    def _part(self, name: str, part: Probed, errors: Floats) -> Part:
        task = part.rows.task
        by_label = counts(part.y, part.decided)
        ap = average_precision(part.y, part.proba)
        train = part.y.sum(0, dtype=np.int64)
        suspicious = errors >= SUSPICIOUS
        wrong, missing = (suspicious & (part.y == 1)).sum(0), (suspicious & (part.y == 0)).sum(0)
        support = None if self.valid is None or name == "sentiment" else self.valid.labelled().y.sum(0, dtype=np.int64)
        labels = tuple(
            LabelRow(
                key,
                int(train[at]),
                None if support is None else int(support[at]),
                int(wrong[at]),
                float((errors[:, at] * (suspicious & (part.y == 1))[:, at]).sum()),
                int(missing[at]),
                float(by_label.precision[at]),
                float(by_label.recall[at]),
                float(by_label.f1[at]),
                float(ap[at] / (train[at] / len(part.y))) if train[at] else None,
                _distinct(part, at, int(train[at])) < RARE,
            )
            for at, key in enumerate(task.keys)
        )
        texts = part.rows.texts
        pairs = confusable(texts, part.y, part.decided, part.proba, most=self.settings.pairs)
        return Part(name, task, len(part.y), labels, tuple(pairs), tuple(texts), tuple(part.rows.ids))


def _distinct(part: Probed, label: int, rows: int) -> int:
    """Different texts given a label; where there are many rows, their number will do."""
    if rows >= 10 * RARE:
        return rows
    return len({duplicate_key(part.rows[int(row)].text) for row in np.flatnonzero(part.y[:, label])})
