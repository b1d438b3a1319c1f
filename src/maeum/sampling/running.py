"""The run: measure every row once, rank, read the best rows again, pick a batch that differs."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maeum._lang import say
from maeum.analyzer import Analyzer, batched
from maeum.data import Example
from maeum.errors import DataError, UsageError
from maeum.sampling.choosing import pick_diverse
from maeum.sampling.criteria import Criteria, Measured, prepared
from maeum.sampling.pool import Pool, row_key
from maeum.sampling.quotas import proportionate, remaining
from maeum.sampling.settings import DIVERSITY, SampleSettings, full_weights
from maeum.sampling.table import Table, mixed, ranks

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
_FEWEST = 50
"""Candidates of a group beyond its quota, however small the quota."""


@dataclass(frozen=True)
class Sample:
    """Rows to label next, and how they came about."""

    rows: tuple[Example, ...]
    """In the order to label them; ``meta["sample"]`` holds each row's reasons."""
    report: dict[str, Any]
    """Counts, the criteria used, and why others were not."""


@dataclass(frozen=True)
class _Ranked:
    """The pool's rows that may be picked, ranked."""

    rows: Ints
    """Row numbers (n,) in file order."""
    groups: Ints
    scores: Floats
    ranks: dict[str, Floats]
    table: Table
    weights: dict[str, float]

    def reasons(self, at: int) -> dict[str, Any]:
        """What the criteria say of the row at a place of ``rows``."""
        row = self.rows[at]
        found = {
            name: {"value": _short(self.table.column(name)[row]), "rank": _short(column[at])}
            for name, column in self.ranks.items()
        }
        won = max(found, key=lambda name: self.weights[name] * found[name]["rank"])
        return {"score": _short(self.scores[at]), "criteria": found, "won": won}


def sample(
    analyzer: Analyzer,
    pool: Pool,
    settings: SampleSettings,
    *,
    train: Sequence[Example] | None = None,
    model: Path | None = None,
    tick: Callable[[int], None] = lambda _: None,
) -> Sample:
    """Pick the rows to label next.

    Args:
        analyzer: the model as it is.
        pool: unlabelled rows; read twice.
        settings: how many, from where, by what.
        train: rows the model learned from: their texts are not picked again, and say what is rare and far.
        model: the model's folder, whose own trunk may give the vectors.
        tick: called with the number of rows measured so far.

    Raises:
        UsageError: no criterion applies to this model, or nothing is left to pick from.
        DataError: as reading does, or the pool changed between the passes.
    """
    weights = full_weights(settings.weights)
    texts = None if train is None else prepared(analyzer, train)
    criteria = Criteria(analyzer, weights, texts, vectors=settings.vectors, model=model, seed=settings.seed)
    table = _measure(pool, criteria, settings.batch_size, tick)
    known = np.unique(np.array([row_key(row) for row in train or ()], np.uint64))
    rows, in_train, repeated = table.fresh(known)
    if not len(rows):
        raise UsageError(
            "고를 글이 없습니다. 후보의 글이 모두 --train에 이미 있습니다.",
            "there is nothing to pick: every text of the pool is in --train already",
        )
    ranked = _rank(table, rows, criteria.names, weights)
    by_chance, quota = _quotas(ranked, settings)
    picked, group_of = _pick(ranked, by_chance, quota, pool, criteria, settings)
    report = {
        "pool": pool.report.rows,
        "skipped": pool.report.rejected,
        "in_train": in_train,
        "repeated": repeated,
        "choosable": len(rows),
        "picked": len(picked),
        "random": len(by_chance),
        "won": dict(Counter(row.meta["sample"].get("won", "random") for row in picked).most_common()),
        "criteria": list(criteria.names),
        "not_used": {name: say(*why) for name, why in criteria.missing.items()},
        "weights": {name: weights[name] for name in (*criteria.names, DIVERSITY)},
        "vectors": criteria.vectors.name if criteria.vectors else "none",
        "seed": settings.seed,
        "groups": group_of if settings.stratify else {},
    }
    return Sample(tuple(picked), report)


def _measure(pool: Pool, criteria: Criteria, batch_size: int, tick: Callable[[int], None]) -> Table:
    table, done = Table(criteria.names), 0
    for batch in batched(pool.rows(first=True), batch_size):
        rows = [row for row, _ in batch]
        table.add([row_key(row) for row in rows], [group for _, group in batch], criteria.measure(rows).values)
        done += len(batch)
        tick(done)
    return table


def _rank(table: Table, rows: Ints, names: Sequence[str], weights: dict[str, float]) -> _Ranked:
    ranked = {name: ranks(table.column(name)[rows]) for name in names}
    groups = table.column("group")[rows].astype(np.int64)
    return _Ranked(rows, groups, mixed(ranked, weights), ranked, table, weights)


def _quotas(ranked: _Ranked, settings: SampleSettings) -> tuple[Ints, Ints]:
    """Places (in ``ranked.rows``) that chance picks, and how many rows each group then gives by score."""
    total = min(settings.n, len(ranked.rows))
    count = int(total * settings.random_share + 0.5)
    chosen = ranked.table.by_chance(ranked.rows, count, settings.seed)
    places = np.searchsorted(ranked.rows, chosen)
    sizes = np.bincount(ranked.groups, minlength=len(ranked.table.groups))
    taken = np.bincount(ranked.groups[places], minlength=len(sizes))
    return places, remaining(proportionate(sizes, total), taken, total - count)


def _candidates(ranked: _Ranked, by_chance: Ints, quota: Ints, factor: int) -> Ints:
    """The best places of each group, a few times its quota, in file order."""
    free = np.ones(len(ranked.rows), bool)
    free[by_chance] = False
    found = []
    for group in np.flatnonzero(quota):
        members = np.flatnonzero((ranked.groups == group) & free)
        most = min(len(members), int(quota[group]) * factor + _FEWEST)
        found.append(members[np.argsort(-ranked.scores[members], kind="stable")[:most]])
    return np.sort(np.concatenate(found)) if found else np.zeros(0, np.int64)


def _pick(
    ranked: _Ranked, by_chance: Ints, quota: Ints, pool: Pool, criteria: Criteria, settings: SampleSettings
) -> tuple[list[Example], dict[str, int]]:
    """Rows of both kinds with their reasons, those picked by chance spread over the others; and rows by group."""
    candidates = _candidates(ranked, by_chance, quota, settings.candidates)
    texts = _read_again(pool, ranked, np.concatenate([candidates, by_chance]))
    fresh, drawn = [texts[place] for place in candidates.tolist()], [texts[place] for place in by_chance.tolist()]
    order: list[tuple[int, float]] = []
    if fresh:
        vectors = criteria.places(fresh)
        before = criteria.places(drawn) if drawn else None
        weight = ranked.weights[DIVERSITY]
        order = pick_diverse(
            ranked.scores[candidates], vectors, ranked.groups[candidates], quota, weight=weight, before=before
        )
    best = [fresh[at] for at, _ in order]
    hints = _hints(criteria, best, settings.batch_size)
    rows = []
    for number, ((at, distance), example) in enumerate(zip(order, best, strict=True)):
        why = {"picked": "score", **ranked.reasons(int(candidates[at])), "distance": _short(distance)}
        pointed = {name: column[number] for name, column in hints.items() if column[number]}
        for name, word in pointed.items():
            why["criteria"][name]["at"] = word
        rows.append(_with(example, why))
    extra = [
        _with(example, {"picked": "random", **ranked.reasons(place), "won": "random"})
        for example, place in zip(drawn, by_chance.tolist(), strict=True)
    ]
    places = np.concatenate([candidates[[at for at, _ in order]] if order else candidates[:0], by_chance])
    counts = Counter(" / ".join(ranked.table.groups[group]) for group in ranked.groups[places].tolist())
    return _interleave(rows, extra, settings.seed), dict(counts.most_common())


def _read_again(pool: Pool, ranked: _Ranked, places: Ints) -> dict[int, Example]:
    wanted = {int(ranked.rows[place]): int(place) for place in places}
    keys = ranked.table.column("key")
    found: dict[int, Example] = {}
    for number, (example, _) in enumerate(pool.rows(first=False)):
        if number in wanted:
            if number >= len(keys) or row_key(example) != int(keys[number]):
                break
            found[wanted[number]] = example
            if len(found) == len(wanted):
                return found
    if len(found) == len(wanted):
        return found
    raise DataError(
        "두 번 읽는 사이에 파일이 바뀌었습니다. 다시 실행하세요.",
        "the file changed between the two passes; run again",
        path=pool.source,
    )


def _hints(criteria: Criteria, rows: Sequence[Example], batch_size: int) -> dict[str, list[str]]:
    """What each criterion points at in the rows picked: measured anew, which is cheaper than words for a whole pool."""
    parts: list[Measured] = [criteria.measure(batch) for batch in batched(rows, batch_size)]
    names = parts[0].hints if parts else {}
    return {name: [word for part in parts for word in part.hints[name]] for name in names}


def _with(example: Example, why: dict[str, Any]) -> Example:
    return dataclasses.replace(example, labels=None, aspects=None, meta={**example.meta, "sample": why})


def _interleave(rows: list[Example], extra: list[Example], seed: int) -> list[Example]:
    """``extra`` at random places of ``rows``: an annotator who stops half-way has labelled half of either kind."""
    total = len(rows) + len(extra)
    places = set(np.random.default_rng(seed).choice(total, len(extra), replace=False).tolist())
    first, second = iter(rows), iter(extra)
    return [next(second) if place in places else next(first) for place in range(total)]


def _short(value: Any) -> float:
    return round(float(value), 4)
