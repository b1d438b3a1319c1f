"""The turns of an improvement loop, one JSON line each, on one frozen test set.

``turns.jsonl`` only grows. A turn says which data the model learnt from and how much of it, which model it is, its scores
on the frozen rows, the gap to the turn before, and what was decided in between. ``quality.svg`` shows the scores over the
labelled rows.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maeum._files import sha256_file, write_text
from maeum._lang import say
from maeum._svg_plot import Line, Panel, sheet
from maeum.comparing.paired import Gap
from maeum.comparing.running import Comparison
from maeum.comparing.sides import Side
from maeum.errors import DataError, UsageError

TURNS, CHART = "turns.jsonl", "quality.svg"


@dataclass(frozen=True)
class Turn:
    """What recording did."""

    number: int
    """Of the newest turn."""
    added: int
    """Turns that were written: 2 at the start, 0 for a model that is recorded already."""
    folder: Path
    notes: tuple[str, ...] = ()


def record(
    folder: str | Path,
    found: Comparison,
    *,
    note: str = "",
    decisions: str | Path | None = None,
    labelled: int | None = None,
) -> Turn:
    """Add B as a turn (and A before it, if it is the first).

    Args:
        folder: the loop.
        found: the comparison of the turn before (A) with this one (B) on the frozen rows.
        note: what was done in this turn, in words.
        decisions: the changelog of ``maeum audit --apply``; its counts and fingerprint are kept.
        labelled: rows B was trained on, where its folder does not say.

    Raises:
        UsageError: the frozen rows are not those of the turns before.
        DataError: the record or the changelog cannot be read.
    """
    place = Path(folder)
    turns = read_turns(place)
    _refuse_thawed(turns, found, place)
    if any(turn["model"]["fingerprint"] == found.b.fingerprint for turn in turns):
        told = say(
            "이 모델은 이미 기록되어 있어 더하지 않았습니다.", "this model is recorded already; nothing was added"
        )
        return Turn(turns[-1]["turn"], 0, place, (told,))
    notes = []
    added = 0
    if not turns:
        turns.append(
            _turn(0, found, found.a, {name: gap.before for name, gap in found.scores.items()}, found.a.labelled)
        )
        added += 1
        if found.a.fingerprint == found.b.fingerprint:
            told = say(
                "A와 B가 같아 첫 차례만 적었습니다.", "A and B are the same, so only the first turn was recorded"
            )
            return _written(turns, 1, place, (told,))
    against = next((turn for turn in reversed(turns) if turn["model"]["fingerprint"] == found.a.fingerprint), None)
    if against is None or against is not turns[-1]:
        notes.append(
            say(
                "A는 바로 앞 차례의 모델이 아닙니다. 차이는 A와 견준 것으로 적습니다.",
                "A is not the model of the turn before; the gap is to A",
            )
        )
    turn = _turn(
        turns[-1]["turn"] + 1,
        found,
        found.b,
        {name: gap.after for name, gap in found.scores.items()},
        found.b.labelled if labelled is None else labelled,
    )
    turn["against"] = {
        "turn": None if against is None else against["turn"],
        "model": found.a.fingerprint,
        "gaps": {name: _gap(gap) for name, gap in found.scores.items()},
        "rows": found.changes.counts,
    }
    turn["note"] = note
    turn["decisions"] = None if decisions is None else _decisions(Path(decisions))
    turns.append(turn)
    return _written(turns, added + 1, place, tuple(notes))


def _written(turns: Sequence[dict[str, Any]], added: int, place: Path, notes: tuple[str, ...]) -> Turn:
    place.mkdir(parents=True, exist_ok=True)
    write_text(place / TURNS, "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in turns))
    write_text(place / CHART, chart(turns))
    return Turn(turns[-1]["turn"], added, place, notes)


def read_turns(folder: str | Path) -> list[dict[str, Any]]:
    """The turns so far, oldest first; none where there is no record.

    Raises:
        DataError: a line is damaged.
        UsageError: ``folder`` is a file.
    """
    path = Path(folder) / TURNS
    if Path(folder).exists() and not Path(folder).is_dir():
        raise UsageError(
            f"'{folder}'은(는) 폴더가 아닙니다. --loop에는 차례를 적을 폴더를 주세요.",
            f"'{folder}' is no folder; --loop takes the folder that holds the turns",
        )
    if not path.exists():
        return []
    turns = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            turn = json.loads(line)
            _ = (turn["turn"], turn["model"]["fingerprint"], turn["frozen"]["fingerprint"], turn["scores"])
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise DataError(
                "차례의 기록이 깨졌습니다. 손으로 고쳤다면 되돌리세요.",
                "the record of a turn is damaged; undo what was edited by hand",
                path=path,
                line=number,
            ) from error
        turns.append(turn)
    return turns


def chart(turns: Sequence[Mapping[str, Any]]) -> str:
    """Scores over labelled rows; over the turns where a turn does not know its rows, or all have as many."""
    known = all(turn.get("labelled") is not None for turn in turns) and len({turn["labelled"] for turn in turns}) > 1
    xs = [float(turn["labelled"] if known else turn["turn"]) for turn in turns]
    order = sorted(range(len(xs)), key=lambda at: (xs[at], turns[at]["turn"]))
    names = list(turns[-1]["scores"])
    lines = [
        Line(name, [xs[at] for at in order], [float(turns[at]["scores"][name]) for at in order], color=1 + index % 4)
        for index, name in enumerate(names)
        if all(name in turn["scores"] for turn in turns)
    ]
    title = say("고정한 평가 행에서의 성적", "Scores on the frozen rows")
    x_name = say("라벨을 단 학습 행", "labelled training rows") if known else say("차례", "turn")
    return sheet([Panel(title, lines, x_name)], title=title)


def _refuse_thawed(turns: Sequence[Mapping[str, Any]], found: Comparison, place: Path) -> None:
    frozen = {turn["frozen"]["fingerprint"] for turn in turns}
    if frozen and frozen != {found.data.fingerprint}:
        before = turns[0]["frozen"]
        raise UsageError(
            f"'{place}'의 고정 평가 행이 바뀌었습니다(기록 {before['rows']}행 {before['fingerprint']}, 지금 {len(found.data)}행 "
            f"{found.data.fingerprint}). 점수를 이어서 견줄 수 없으니 원래의 파일을 쓰거나 새 --loop 폴더를 시작하세요.",
            f"the frozen rows of '{place}' have changed (recorded: {before['rows']} rows, {before['fingerprint']}; now "
            f"{len(found.data)} rows, {found.data.fingerprint}); scores would not be comparable, so use the file it began "
            "with, or begin another --loop folder",
        )


def _turn(
    number: int, found: Comparison, side: Side, scores: Mapping[str, float], labelled: int | None
) -> dict[str, Any]:
    return {
        "turn": number,
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "frozen": {
            "source": found.data.source,
            "rows": len(found.data),
            "fingerprint": found.data.fingerprint,
        },
        "model": {"name": side.name, "fingerprint": side.fingerprint},
        "labelled": labelled,
        "trained_on": side.trained_on or None,
        "scores": {name: round(value, 6) for name, value in scores.items()},
    }


def _gap(gap: Gap) -> dict[str, float]:
    return {"gap": round(gap.gap, 6), "low": round(gap.low, 6), "high": round(gap.high, 6)}


def _decisions(path: Path) -> dict[str, Any]:
    """Counts of a changelog.

    Raises:
        DataError: it is none.
    """
    words: list[str] = []
    if not path.is_file():
        raise DataError("파일이 없습니다. 경로를 확인하세요.", "no such file; check the path", path=path)
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            words.append(str(json.loads(line)["decision"]))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise DataError(
            "maeum audit --apply가 쓴 변경 기록(*.changes.jsonl)이 아닙니다.",
            "this is not a changelog that maeum audit --apply wrote (*.changes.jsonl)",
            path=path,
            line=len(words) + 1,
        ) from error
    counts = {word: words.count(word) for word in ("keep", "fix", "drop")}
    return {"file": path.name, "sha256": sha256_file(path)[:16], **counts}
