"""The trials of a search as a CSV and as one HTML page: table, history, and which settings mattered."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maeum import _svg, report_html
from maeum._files import atomic_text
from maeum._lang import say
from maeum._svg import escape
from maeum.search_space import short


@dataclass(frozen=True)
class Trial:
    """One try."""

    number: int
    state: str
    """complete, pruned, failed or running."""
    value: float | None
    """The metric; None unless complete."""
    seconds: float | None
    values: Mapping[str, Any]
    """What the search chose, by setting."""
    error: str = ""
    """Why it failed."""
    last: float | None = None
    """The last score on the way, which pruning looked at."""


@dataclass(frozen=True)
class SearchTable:
    """What the page shows."""

    task: str
    metric: str
    trials: Sequence[Trial]
    best: Trial | None
    importance: Mapping[str, float]
    fixed: Mapping[str, str]
    config: str
    """The best configuration as TOML."""
    command: str
    valid: Mapping[str, float | None] | None = None
    """Metrics of the best configuration on rows no trial saw."""
    notes: Sequence[str] = field(default_factory=tuple)


def ranked(trials: Sequence[Trial]) -> list[Trial]:
    """Complete trials by value, best first; then the others as they came."""
    return sorted(trials, key=lambda trial: (trial.value is None, -(trial.value or 0.0), trial.number))


def setting_names(trials: Sequence[Trial]) -> list[str]:
    """Settings that any trial has."""
    return list(dict.fromkeys(name for trial in trials for name in trial.values))


def write_csv(trials: Sequence[Trial], path: Path) -> None:
    """All trials, best first, as a CSV that Excel opens; settings under their own names."""
    names = setting_names(trials)
    with atomic_text(path, encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["number", "state", "value", "last_score", "seconds", *_shown(names), "error"])
        for trial in ranked(trials):
            seconds = "" if trial.seconds is None else round(trial.seconds, 2)
            values = [trial.values.get(name, "") for name in names]
            numbers = ["" if number is None else number for number in (trial.value, trial.last)]
            writer.writerow([trial.number, trial.state, *numbers, seconds, *values, trial.error])


def html_page(table: SearchTable) -> str:
    """One page that works offline and without scripts."""
    title = f"{table.task} · {say('설정 탐색', 'hyper-parameter search')}"
    sections = [
        (say("가장 좋은 설정", "Best settings"), _best(table)),
        (say("설정의 중요도", "What mattered"), _importance(table.importance, len(_complete(table.trials)))),
        (say("탐색 경과", "History"), _history(table)),
        (say("모든 시도", "All trials"), _trials(table)),
        (say("고정한 설정", "Fixed settings"), _facts(table.fixed)),
    ]
    body = "".join(f"<section><h2>{escape(name)}</h2>{content}</section>" for name, content in sections)
    counted = ", ".join(
        f"{_state(state)} {count}"
        for state in _STATE_WORDS
        if (count := sum(trial.state == state for trial in table.trials))
    )
    told = say(
        "점수는 교차 검증(out-of-fold) 행에서, 각 겹을 나머지 겹에서 맞춘 기준값으로 판정해 잰 것입니다. 여러 시도 가운데 "
        "가장 높은 값을 고른 것이므로 조금 낙관적입니다. 따로 둔 평가 행의 점수가 최종 판단입니다.",
        "Scores are on out-of-fold rows, each fold decided with thresholds tuned on the others. The best of many trials is "
        "a little optimistic; the score on rows held apart has the last word.",
    )
    style = "pre{overflow-x:auto;padding:12px;background:var(--soft);border-radius:8px}"
    return (
        report_html.head(title, style)
        + f'<body class="mm"><main><header class="mm-head"><p class="mm-brow">maeum tune · {escape(table.task)}</p>'
        f'<h1 class="mm-title">{escape(title)}</h1><p class="mm-meta"><span>{escape(table.metric)}</span>'
        f'<span>{escape(counted)}</span></p></header><p class="told">{told}</p>{body}</main>\n</body>\n</html>\n'
    )


# -- sections ---------------------------------------------------------------------------------------------------------

_STATE_WORDS = {
    "complete": ("완료", "complete"),
    "pruned": ("중단", "pruned"),
    "failed": ("실패", "failed"),
    "running": ("진행 중", "running"),
}


def _state(state: str) -> str:
    return say(*_STATE_WORDS[state])


def _best(table: SearchTable) -> str:
    if table.best is None:
        told = say("끝까지 간 시도가 아직 없습니다.", "No trial has come to its end yet.")
        return f'<p class="told">{told}</p>'
    facts = {table.metric: f"{table.best.value:.4f}", say("시도", "trial"): str(table.best.number)}
    for name, value in (table.valid or {}).items():
        if value is not None and name in ("accuracy", "micro_f1", "macro_f1"):
            facts[say(f"평가 행의 {name}", f"{name} on the valid rows")] = f"{value:.4f}"
    return (
        f"{_facts(facts)}<p>{say('이 설정으로 다시 학습하는 명령:', 'The command that trains with these settings:')}</p>"
        f"<pre>{escape(table.command)}</pre><details><summary>best.toml</summary><pre>{escape(table.config)}</pre></details>"
    )


def _importance(importance: Mapping[str, float], complete: int) -> str:
    if not importance:
        told = say(
            "끝까지 간 시도가 적거나 점수가 모두 같아 중요도를 잴 수 없습니다.",
            "Too few trials have finished, or all have the same score, so importance cannot be told.",
        )
        return f'<p class="told">{told}</p>'
    told = say(
        "점수의 차이 가운데 그 설정이 설명하는 몫(%)입니다(fANOVA).",
        "The share (%) of the differences in score that each setting explains (fANOVA).",
    )
    if complete < 10:
        told += " " + say(
            f"끝까지 간 시도가 {complete}개뿐이라 믿을 만하지 않습니다.",
            f"With only {complete} finished trials this is hardly reliable.",
        )
    order = sorted(importance, key=lambda name: -importance[name])
    chart = _svg.bars(
        _shown(order),
        [[100 * importance[name]] for name in order],
        series=[say("중요도(%)", "importance (%)")],
        title=say("설정의 중요도", "importance of settings"),
        desc=", ".join(f"{name} {importance[name]:.0%}" for name in order),
        width=520,
        high=100,
    )
    return f'<p class="told">{told}</p>{chart}'


def _history(table: SearchTable) -> str:
    told = say(
        "점은 시도 하나, 계단은 그때까지의 최고 점수입니다. 흐린 점은 도중에 멈춘 시도의 마지막 점수, ×는 실패입니다.",
        "Each dot is a trial, the steps are the best so far. Pale dots are the last scores of pruned trials, × are failures.",
    )
    chart = history_chart(table.trials, title=say("탐색 경과", "history of the search"), y_name=table.metric)
    return f'<p class="told">{told}</p>{chart}'


def history_chart(trials: Sequence[Trial], *, title: str, y_name: str, width: float = 680, height: float = 260) -> str:
    """Value by trial, with the best so far."""
    points = [(trial, trial.value if trial.value is not None else trial.last) for trial in trials]
    values = [value for trial, value in points if value is not None and trial.state != "failed"]
    low, high, marks = _scale(values)
    last = max((trial.number for trial in trials), default=0)
    left, right, top, bottom = 44.0, 10.0, 20.0, 30.0

    def x(number: float) -> float:
        return left + (width - left - right) * (number + 0.5) / (last + 1)

    def y(value: float) -> float:
        share = min(max((value - low) / (high - low), 0.0), 1.0)
        return height - bottom - share * (height - top - bottom)

    parts = [f'<text x="2" y="10">{escape(y_name)}</text>']
    for mark in marks:
        parts.append(f'<path class="grid" d="M{left} {y(mark):.1f}H{width - right}"/>')
        parts.append(f'<text x="{left - 6}" y="{y(mark) + 3.4:.1f}" text-anchor="end">{mark:.4g}</text>')
    every = max(1, math.ceil((last + 1) / 12))
    for number in range(0, last + 1, every):
        parts.append(f'<text x="{x(number):.1f}" y="{height - 16}" text-anchor="middle">{number}</text>')
    parts.append(
        f'<text x="{width - right}" y="{height - 3}" text-anchor="end">{escape(say("시도 번호", "trial"))}</text>'
    )
    parts.append(f'<polyline class="l2" points="{_best_line(trials, x, y)}"/>')
    for trial, value in sorted(points, key=lambda point: point[0].number):
        tip = f"<title>{escape(_tip(trial, value))}</title>"
        if trial.state == "failed":
            parts.append(
                f'<text class="ink" x="{x(trial.number):.1f}" y="{height - bottom - 2}" text-anchor="middle">×{tip}</text>'
            )
        elif value is not None:
            soft = "" if trial.state == "complete" else " soft"
            parts.append(
                f'<circle class="f1 point{soft}" cx="{x(trial.number):.1f}" cy="{y(value):.1f}" r="4">{tip}</circle>'
            )
    return (
        f'<svg role="img" viewBox="0 0 {width:g} {height:g}" style="max-width:{width * 1.2:g}px">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )


def _best_line(trials: Sequence[Trial], x: Any, y: Any) -> str:
    """Steps of the best value so far."""
    points: list[str] = []
    best: float | None = None
    complete = _complete(trials)
    for trial in sorted(complete, key=lambda each: each.number):
        value = trial.value or 0.0
        if best is not None:
            points.append(f"{x(trial.number):.1f},{y(best):.1f}")
        best = value if best is None else max(best, value)
        points.append(f"{x(trial.number):.1f},{y(best):.1f}")
    return " ".join(points)


def _scale(values: Sequence[float]) -> tuple[float, float, list[float]]:
    """Ends of the axis, and round marks between them."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    if high - low < 1e-6:
        low, high = low - 0.05, high + 0.05
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, end = math.floor(low / step), math.ceil(high / step)
    return first * step, end * step, [number * step for number in range(first, end + 1)]


def _tip(trial: Trial, value: float | None) -> str:
    score = "" if value is None else f" {value:.4f}"
    values = " ".join(
        f"{name}={short(each)}" for name, each in zip(_shown(trial.values), trial.values.values(), strict=True)
    )
    return f"{say('시도', 'trial')} {trial.number} ({_state(trial.state)}){score} {values} {trial.error}".strip()


def _trials(table: SearchTable) -> str:
    names = setting_names(table.trials)
    heads = [say("시도", "trial"), table.metric, say("상태", "state"), *_shown(names), say("초", "seconds")]
    rows = []
    for trial in ranked(table.trials):
        state = _state(trial.state)
        if trial.state == "pruned" and trial.last is not None:
            state += f" ({trial.last:.4f})"
        if trial.error:
            state += f": {trial.error}"
        value = "–" if trial.value is None else f"{trial.value:.4f}"
        seconds = "–" if trial.seconds is None else f"{trial.seconds:.1f}"
        cells = [value, state, *(short(trial.values.get(name, "")) for name in names), seconds]
        rows.append(
            f'<tr><th scope="row">{trial.number}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in cells)}</tr>'
        )
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    return (
        f'<div class="mm-scroll" tabindex="0"><table class="mm-table mm-words"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _facts(facts: Mapping[str, str]) -> str:
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())
    return f'<dl class="facts">{items}</dl>'


def _complete(trials: Sequence[Trial]) -> list[Trial]:
    return [trial for trial in trials if trial.value is not None]


def _shown(names: Any) -> list[str]:
    """Setting names as they stand in files and on the command line."""
    return [name.replace("_", "-") for name in names]
