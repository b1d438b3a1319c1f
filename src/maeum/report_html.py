"""The report as one HTML page: works offline, without JavaScript, on a phone, and in the dark.

``page`` and ``fragment`` are functions of what ``Report.to_dict`` gives, so a saved ``report.json`` draws the same page
later. Everything from outside is escaped, and the page's own Content-Security-Policy allows no request, no frame, no
form and no script but the one below (by its hash), which only sorts the table.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from maeum import _svg
from maeum._lang import language, say
from maeum._svg import Series, escape

MOST_LABELS = 100
"""Labels that get plots of their own, those with the most positives first; more would only make the page heavy."""
MOST_CELLS = 64
"""Labels on a side of the heat map, chosen likewise."""

Names = Sequence[tuple[str, str]]
"""(display name, key) of every label."""
Metrics = Sequence[tuple[str, str, float | None]]
"""(key, display name, value) of every metric."""

_CARDS = {
    "multiclass": ("accuracy", "macro_f1", "weighted_f1", "macro_ap", "macro_roc_auc", "top_label_ece"),
    "multilabel": ("micro_f1", "macro_f1", "samples_f1", "subset_accuracy", "macro_ap", "mean_ece"),
}


def page(
    *,
    data: Mapping[str, Any],
    facts: Sequence[tuple[str, str]],
    tables: Sequence[tuple[str, Sequence[str], Sequence[Sequence[str]]]],
    warnings: Sequence[str],
    shown_metrics: Metrics,
    names: Names,
) -> str:
    """A whole page.

    Args:
        data: ``Report.to_dict()`` of a valid report.
        facts: (name, value) of what was judged and how, in words.
        tables: (title, headings, cells) of anything else to show, each in a section of its own.
        warnings: sentences to show before any table.
    """
    title = f"{data['model'] or data['task']} · {say('평가 보고서', 'evaluation report')}"
    sections = [
        ("labels", say("라벨별 성적", "By label"), _label_table(data, names, linked=True)),
        ("overview", say("한눈에 보기", "At a glance"), _overview(data, names)),
        ("plots", say("라벨별 그림", "Plots by label"), _plots(data, names)),
        ("matrix", *_matrix(data, names)),
        ("metrics", say("전체 지표", "All metrics"), _metric_table(data, shown_metrics)),
        *((f"table-{index}", title, _word_table(heads, rows)) for index, (title, heads, rows) in enumerate(tables)),
        ("made", say("어떻게 만들었나", "How this was made"), _how(data, facts)),
    ]
    links = "".join(f'<a href="#{anchor}">{escape(name)}</a>' for anchor, name, _ in sections)
    bodies = "".join(
        f'<section id="{anchor}"><h2>{escape(name)}</h2>{body}</section>' for anchor, name, body in sections
    )
    return (
        f'{head(title, policy=_policy())}<body class="mm"><main>{_header(data)}{_warnings(warnings)}{_cards(data, shown_metrics)}'
        f'<nav aria-label="{say("차례", "contents")}">{links}</nav>{bodies}</main>\n<script>{_SCRIPT}</script>\n'
        "</body>\n</html>\n"
    )


NO_SCRIPT = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""Content-Security-Policy of a page that asks nobody for anything and runs nothing."""


def head(title: str, style: str = "", *, policy: str = NO_SCRIPT) -> str:
    """The beginning of every page of ours, up to its body.

    Args:
        title: plain text.
        style: CSS beside that of all pages.
        policy: Content-Security-Policy.
    """
    styles = "\n".join(part for part in (_svg.STYLE, _TABLE_STYLE, _PAGE_STYLE, style) if part)
    return (
        f'<!doctype html>\n<html lang="{language()}">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        f"<title>{escape(title)}</title>\n<style>\n{styles}\n</style>\n</head>\n"
    )


def fragment(
    *,
    data: Mapping[str, Any],
    facts: Sequence[tuple[str, str]],
    tables: Sequence[tuple[str, Sequence[str], Sequence[Sequence[str]]]],
    warnings: Sequence[str],
    shown_metrics: Metrics,
    names: Names,
) -> str:
    """Header, cards and the table of labels, styled without touching the page around them; arguments as ``page``."""
    del facts, tables
    return (
        f'<div class="mm mm-box" lang="{language()}"><style>{_svg.STYLE}\n{_TABLE_STYLE}</style>{_header(data, tag="div")}{_warnings(warnings)}'
        f"{_cards(data, shown_metrics)}{_label_table(data, names, linked=False)}</div>"
    )


# -- head ---------------------------------------------------------------------------------------------------------


def _header(data: Mapping[str, Any], *, tag: str = "h1") -> str:
    rows, labels = f"{data['n']:,}", f"{len(data['labels']):,}"
    parts = [
        escape(data["data"]),
        say(f"{rows}행", f"{rows} rows"),
        say(f"라벨 {labels}개", f"{labels} labels"),
    ]
    line = "".join(f"<span>{part}</span>" for part in parts)
    name = say("평가 보고서", "Evaluation report")
    return (
        f'<header class="mm-head"><p class="mm-brow">maeum {name} · {escape(data["task"])}</p>'
        f'<{tag} class="mm-title">{escape(data["model"] or data["task"])}</{tag}><p class="mm-meta">{line}</p></header>'
    )


def _warnings(warnings: Sequence[str]) -> str:
    if not warnings:
        return ""
    items = "".join(f"<li>{escape(note)}</li>" for note in warnings)
    return f'<aside class="mm-warn"><strong>{say("읽기 전에", "Before you read on")}</strong><ul>{items}</ul></aside>'


def _cards(data: Mapping[str, Any], shown_metrics: Metrics) -> str:
    by_key = {key: (name, value) for key, name, value in shown_metrics}
    chosen = _CARDS.get(data["kind"], _CARDS["multilabel"])
    cards = []
    for key in chosen:
        if key not in by_key:
            continue
        name, value = by_key[key]
        low, high = data["intervals"].get(key, (None, None))
        track = note = ""
        if value is not None:
            band = ""
            if low is not None and high is not None:
                band = f'<i class="mm-band" style="left:{low:.2%};width:{max(high - low, 0.004):.2%}"></i>'
                note = f"95% {low:.4f}–{high:.4f}"
            track = (
                f'<span class="mm-track">{band}<i class="mm-pin" style="left:{min(max(value, 0), 1):.2%}"></i></span>'
            )
        cards.append(
            f'<div class="mm-card"><span class="mm-name">{escape(name)}</span>'
            f'<span class="mm-value">{_show(value, 4)}</span>{track}<span class="mm-note">{note or "&nbsp;"}</span></div>'
        )
    return f'<div class="mm-cards">{"".join(cards)}</div>'


# -- tables -------------------------------------------------------------------------------------------------------


def _label_table(data: Mapping[str, Any], names: Names, *, linked: bool) -> str:
    labels = data["labels"]
    ruled = any(label["threshold"] is not None for label in labels)
    trained = any(label["train_support"] is not None for label in labels)
    heads = [say("라벨", "label"), "F1", say("정밀도", "precision"), say("재현율", "recall"), "AP", "ROC-AUC"]
    heads += [say("기준값", "threshold")] if ruled else []
    heads += [say("정답 수", "support"), say("예측 수", "predicted")]
    heads += [say("학습 정답 수", "train support")] if trained else []
    heads += ["ECE", "Brier"]
    plotted = set(_chosen(data, MOST_LABELS))
    rows = []
    for index, (label, (name, key)) in enumerate(zip(labels, names, strict=True)):
        called = _called(name, key)
        if linked and index in plotted:
            called = f'<a href="#label-{index}">{called}</a>'
        cells = [_bar_cell(label[field]) for field in ("f1", "precision", "recall", "ap", "roc_auc")]
        if ruled:
            cells.append(_cell(label["threshold"], _threshold(label)))
        cells.append(_cell(label["support"], f"{label['support']:,}"))
        cells.append(_cell(label["predicted"], f"{label['predicted']:,}"))
        if trained:
            count = label["train_support"]
            cells.append(_cell(count, "–" if count is None else f"{count:,}"))
        cells += [_cell(label[field], _show(label[field])) for field in ("ece", "brier")]
        rows.append(f'<tr><th scope="row">{called}</th>{"".join(cells)}</tr>')
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    return (
        '<div class="mm-scroll" tabindex="0" role="region" aria-label="'
        f'{escape(say("라벨별 성적표", "table of labels"))}"><table class="mm-table mm-sort"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _metric_table(data: Mapping[str, Any], shown_metrics: Metrics) -> str:
    rows = []
    for key, name, value in shown_metrics:
        pair = data["intervals"].get(key)
        interval = f"{pair[0]:.4f}–{pair[1]:.4f}" if pair else ""
        rows.append(f'<tr><th scope="row">{escape(name)}</th><td>{_show(value, 4)}</td><td>{interval}</td></tr>')
    heads = (say("지표", "metric"), say("값", "value"), say("95% 구간", "95% interval"))
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    return (
        f'<div class="mm-scroll"><table class="mm-table mm-narrow"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _how(data: Mapping[str, Any], facts: Sequence[tuple[str, str]]) -> str:
    rows = [*facts, (say("과제 지문", "task fingerprint"), data["fingerprint"])]
    if data["resamples"]:
        words = say(
            f"행을 {data['resamples']:,}번 다시 뽑은 부트스트랩 95% 구간(씨앗 {data['seed']})",
            f"95% bootstrap over {data['resamples']:,} resamples of the rows (seed {data['seed']})",
        )
        rows.append((say("구간", "intervals"), words))
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows)
    return f'<dl class="facts">{items}</dl>'


def _word_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in row[1:])}</tr>'
        for row in rows
    )
    return (
        '<div class="mm-scroll" tabindex="0"><table class="mm-table mm-words"><thead>'
        f"<tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


# -- plots --------------------------------------------------------------------------------------------------------


def _overview(data: Mapping[str, Any], names: Names) -> str:
    top = data["kind"] == "multiclass"
    diagram = _svg.reliability_diagram(
        [tuple(point) for point in data["reliability"]],
        title=say("신뢰도 그림", "reliability diagram"),
        desc=say(
            "점이 대각선에 가까울수록 확률이 실제 비율과 맞습니다.",
            "The nearer the dots to the diagonal, the closer probabilities are to what happens.",
        ),
        x_name=say("모델이 말한 확률", "predicted probability"),
        y_name=say("실제로 맞은 비율", "observed share"),
        width=360,
        height=320,
    )
    told = (
        say("고른 라벨의 확률을 열 구간으로 나눈 점입니다.", "Dots are ten bins of the picked label's probability.")
        if top
        else say(
            "모든 라벨의 확률을 열 구간으로 나눈 점입니다.", "Dots are ten bins of the probabilities of all labels."
        )
    )
    told += " " + say(
        "점선에 붙을수록 좋고, 점이 클수록 행이 많습니다. 아래에 있으면 자신이 지나친 것입니다.",
        "The closer to the dashed line the better; larger dots hold more cells; below it the model is overconfident.",
    )
    chosen = _chosen(data, MOST_LABELS)
    aside = max(0, (len(chosen) - _BESIDE) // 2)
    split = len(chosen) - aside
    counts, more = _count_bars(data, names, chosen[:split]), _count_bars(data, names, chosen[split:])
    over = say(
        "예측 막대가 정답보다 길면 그 라벨을 남발하고, 짧으면 아끼는 것입니다.",
        "A predicted bar longer than its gold bar means the label is given too often; a shorter one, too rarely.",
    )
    return (
        f'<div class="two"><figure><figcaption><b>{say("정답 수와 예측 수", "Gold and predicted counts")}</b>{over}'
        f"</figcaption>{counts}</figure><div>"
        f"<figure><figcaption><b>{say('신뢰도', 'Reliability')}</b>{told}</figcaption>{diagram}</figure>"
        f"{more}</div></div>"
    )


_BESIDE = 16
"""Labels whose bars are as tall as the reliability diagram; bars of more go on below it."""


def _count_bars(data: Mapping[str, Any], names: Names, chosen: Sequence[int]) -> str:
    """Bars for some labels, on the scale of all."""
    if not chosen:
        return ""
    return _svg.bars(
        [names[index][0] for index in chosen],
        [(data["labels"][index]["support"], data["labels"][index]["predicted"]) for index in chosen],
        series=(say("정답", "gold"), say("예측", "predicted")),
        title=say("라벨별 정답 수와 예측 수", "gold and predicted counts by label"),
        high=max(max(label["support"], label["predicted"], 1) for label in data["labels"]),
    )


def _plots(data: Mapping[str, Any], names: Names) -> str:
    ruled = any(label["threshold"] is not None for label in data["labels"])
    legend = "".join(
        f'<span><svg class="key" viewBox="0 0 24 8" aria-hidden="true"><path class="l{color} {stroke}" '
        f'stroke-width="2" d="M1 4h22"/></svg>{escape(name)}</span>'
        for color, stroke, name in (
            (1, "", "F1"),
            (3, "dash", say("정밀도", "precision")),
            (4, "dot", say("재현율", "recall")),
        )
    )
    if ruled:
        mark = '<svg class="key" viewBox="0 0 24 12" aria-hidden="true"><path class="mark" d="M12 0v12"/></svg>'
        legend += f"<span>{mark}{say('기준값(음영: 90% 구간)', 'threshold (shaded: 90% interval)')}</span>"
    dot = '<svg class="key" viewBox="0 0 24 12" aria-hidden="true"><circle class="f2" cx="12" cy="6" r="4"/></svg>'
    legend += f"<span>{dot}{say('지금의 결정 규칙이 내는 정밀도와 재현율', 'where the decision rule works now')}</span>"
    cards = "".join(_label_card(data, index, names[index]) for index in _chosen(data, MOST_LABELS))
    return f'<p class="legend">{legend}</p>{_left_out(data, MOST_LABELS)}<div class="cards">{cards}</div>'


def _label_card(data: Mapping[str, Any], index: int, name: tuple[str, str]) -> str:
    label, curves = data["labels"][index], data["curves"][index]
    called = name[0]
    head = f'<h3><span>{_called(*name)}</span><span class="big">F1 {_show(label["f1"])}</span></h3>'
    shown = [
        (say("정밀도", "precision"), _show(label["precision"])),
        (say("재현율", "recall"), _show(label["recall"])),
        ("AP", _show(label["ap"])),
        *([(say("기준값", "threshold"), _cut(label["threshold"]))] if label["threshold"] is not None else []),
        (say("정답 / 예측", "gold / predicted"), f"{label['support']:,} / {label['predicted']:,}"),
        ("ECE", _show(label["ece"])),
    ]
    numbers = "".join(f"<div><dt>{escape(term)}</dt><dd>{value}</dd></div>" for term, value in shown)
    if not label["support"]:
        told = say(
            "이 데이터에 정답이 없어 곡선을 그릴 수 없습니다.", "No curve: the label has no positive row in this data."
        )
        charts = [f'<p class="none">{told}</p>']
    else:
        charts = [_threshold_chart(label, curves, called), _pr_chart(label, curves, called)]
    charts.append(
        _svg.reliability_diagram(
            [tuple(point) for point in curves["reliability"]],
            title=f"{called}: {say('신뢰도', 'reliability')}",
            x_name=say("확률", "probability"),
            y_name=say("실제 비율", "observed share"),
        )
    )
    return (
        f'<article id="label-{index}">{head}<div class="charts">{"".join(charts)}<dl class="numbers">{numbers}</dl>'
        "</div></article>"
    )


def _threshold_chart(label: Mapping[str, Any], curves: Mapping[str, Any], called: str) -> str:
    """Precision, recall and F1 over thresholds; flat ends are drawn out to 0 and 1."""
    cuts = [min(cut, 1.0) for cut in curves["threshold"]]
    xs = [1.0, *cuts, 0.0]
    passing = [(cut, value) for cut, value in zip(cuts, curves["precision"], strict=True) if value is not None]
    lines = [
        Series(say("재현율", "recall"), xs, _stretched(curves["recall"]), 4, "dot"),
        Series(
            say("정밀도", "precision"),
            [*(cut for cut, _ in passing), 0.0],
            [*(value for _, value in passing), passing[-1][1]],
            3,
            "dash",
        ),
        Series("F1", xs, _stretched(curves["f1"]), 1),
    ]
    low, high = label["threshold_low"], label["threshold_high"]
    return _svg.line_chart(
        lines,
        title=f"{called}: {say('기준값에 따른 점수', 'scores by threshold')}",
        desc=say(f"지금의 F1은 {_show(label['f1'])}", f"F1 now is {_show(label['f1'])}"),
        x_name=say("기준값", "threshold"),
        y_name=say("점수", "score"),
        mark_x=label["threshold"],
        band_x=(low, high) if low is not None and high is not None else None,
    )


def _pr_chart(label: Mapping[str, Any], curves: Mapping[str, Any], called: str) -> str:
    return _svg.line_chart(
        [Series("PR", curves["pr_recall"], curves["pr_precision"], 1)],
        title=f"{called}: {say('정밀도–재현율 곡선', 'precision–recall curve')}",
        desc=f"AP {_show(label['ap'])}",
        x_name=say("재현율", "recall"),
        y_name=say("정밀도", "precision"),
        point=(label["recall"], label["precision"]) if label["predicted"] else None,
    )


def _stretched(values: Sequence[float]) -> list[float]:
    return [values[0], *values, values[-1]]


def _matrix(data: Mapping[str, Any], names: Names) -> tuple[str, str]:
    """Heading and body of the section on pairs of labels."""
    chosen = _chosen(data, MOST_CELLS)
    counts = [[data["matrix"][i][j] for j in chosen] for i in chosen]
    shown = [names[index][0] for index in chosen]
    if data["matrix_kind"] == "confusion":
        title = say("혼동 행렬", "Confusion matrix")
        told = say(
            "행은 정답, 열은 예측입니다. 색은 그 정답 가운데 몇 %를 그 라벨로 예측했는지입니다.",
            "Rows are gold labels, columns predictions. Colour is the share of the gold label given that prediction.",
        )
        chart = _svg.heat_map(
            shown, counts, title=title, desc=told, row_name=say("정답", "gold"), column_name=say("예측", "predicted")
        )
    else:
        title = say("함께 나오는 라벨(정답)", "Labels that occur together (gold)")
        told = say(
            "행의 라벨이 있을 때 열의 라벨도 있는 비율을 색으로 나타냈습니다. 회색 대각선은 그 라벨의 정답 수입니다.",
            "Colour is how often the column's label is there when the row's is. The grey diagonal holds each label's support.",
        )
        chart = _svg.heat_map(
            shown,
            counts,
            title=title,
            desc=told,
            row_name=say("이 라벨이 있을 때", "given"),
            column_name=say("함께 있는 라벨", "also there"),
            self_grey=True,
        )
    note = _left_out(data, MOST_CELLS)
    return title, f'<p class="told">{told}</p>{note}<div class="mm-scroll" tabindex="0">{chart}</div>'


def _chosen(data: Mapping[str, Any], most: int) -> list[int]:
    """Columns to draw, in the order of the task: all, or the ``most`` with the most positives."""
    support = [label["support"] for label in data["labels"]]
    if len(support) <= most:
        return list(range(len(support)))
    return sorted(sorted(range(len(support)), key=lambda index: -support[index])[:most])


def _left_out(data: Mapping[str, Any], most: int) -> str:
    k = len(data["labels"])
    if k <= most:
        return ""
    told = say(
        f"라벨 {k}개 가운데 정답이 많은 {most}개만 그렸습니다. 나머지 수치는 표와 report.json에 있습니다.",
        f"Only the {most} most frequent of {k} labels are drawn; the table and report.json hold the rest.",
    )
    return f'<p class="told">{told}</p>'


# -- pieces -------------------------------------------------------------------------------------------------------


def _called(name: str, key: str) -> str:
    return escape(name) if name == key else f"{escape(name)} <small>{escape(key)}</small>"


def _show(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _cut(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}" if value <= 1 else "&gt;1"


def _threshold(label: Mapping[str, Any]) -> str:
    low, high = label["threshold_low"], label["threshold_high"]
    interval = "" if low is None or high is None else f" <small>{low:.2f}–{high:.2f}</small>"
    return f"{_cut(label['threshold'])}{interval}"


def _cell(value: float | None, shown: str) -> str:
    return f'<td data-v="{"" if value is None else value}">{shown}</td>'


def _bar_cell(value: float | None) -> str:
    if value is None:
        return '<td data-v="">–</td>'
    return f'<td data-v="{value:.6f}" class="mm-bar" style="--v:{value:.3f}">{value:.3f}</td>'


def _policy() -> str:
    digest = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


_SCRIPT = """
for (const table of document.querySelectorAll(".mm-sort")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0], first = [...body.rows];
  first.forEach((row, i) => { row.dataset.i = i; });
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = column > 0 && head.ariaSort !== "descending";
      const up = column > 0 && head.ariaSort === "descending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      if (down) head.setAttribute("aria-sort", "descending");
      if (up) head.setAttribute("aria-sort", "ascending");
      const value = (row) => row.cells[column].dataset.v;
      body.append(...first.slice().sort((a, b) => {
        if (!down && !up) return a.dataset.i - b.dataset.i;
        if (value(a) === "" || value(b) === "") return (value(a) === "") - (value(b) === "");
        return down ? value(b) - value(a) : value(a) - value(b);
      }));
    });
  });
}
"""

_TABLE_STYLE = f"""
.mm{{color:var(--ink);font:15px/1.6 {_svg.FONTS};word-break:keep-all;overflow-wrap:anywhere;
--soft:#f5f7f9;--accent:var(--c1);--warn:#fff6e5;--warn-line:#e0a100}}
@media (prefers-color-scheme:dark){{.mm{{--soft:#1d232c;--warn:#2e2712;--warn-line:#b98a12}}}}
.mm-box{{padding:16px;background:var(--surface)}}
.mm *{{box-sizing:border-box}}
.mm .mm-head{{margin:0 0 20px}}.mm .mm-head p{{margin:0}}
.mm .mm-brow{{color:var(--dim);font-size:13px}}
.mm .mm-title{{margin:2px 0 4px;font-size:28px;font-weight:700;line-height:1.3;letter-spacing:-.01em}}
.mm .mm-meta{{color:var(--dim)}}.mm .mm-meta span+span::before{{content:"·";margin:0 .5em}}
.mm .mm-warn{{margin:0 0 20px;padding:12px 16px;background:var(--warn);border-left:4px solid var(--warn-line);border-radius:4px 8px 8px 4px}}
.mm .mm-warn ul{{margin:4px 0 0;padding-left:1.2em}}
.mm .mm-cards{{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:0 0 24px}}
.mm .mm-card{{display:flex;flex-direction:column;padding:14px 16px;background:var(--surface);border:1px solid var(--line);border-radius:10px}}
.mm .mm-name{{color:var(--dim);font-size:13px}}
.mm .mm-value{{font-size:25px;font-weight:700;line-height:1.35;font-variant-numeric:tabular-nums;letter-spacing:-.01em}}
.mm .mm-note{{color:var(--dim);font-size:12px;font-variant-numeric:tabular-nums}}
.mm .mm-track{{position:relative;height:6px;margin:5px 0 6px;background:var(--grid);border-radius:3px}}
.mm .mm-band{{position:absolute;top:0;bottom:0;background:var(--accent);opacity:.4;border-radius:3px}}
.mm .mm-pin{{position:absolute;top:-3px;bottom:-3px;width:3px;margin-left:-1.5px;background:var(--accent);border-radius:2px}}
.mm .mm-scroll{{overflow-x:auto;overflow-y:hidden;max-width:100%}}
.mm .mm-table{{width:100%;border-collapse:collapse;font-size:14px;font-variant-numeric:tabular-nums;background:var(--surface);color:var(--ink)}}
.mm .mm-table th,.mm .mm-table td{{padding:6px 10px;border:0;border-bottom:1px solid var(--grid);text-align:right;white-space:nowrap;background:transparent}}
.mm .mm-table thead th{{color:var(--dim);font-size:13px;font-weight:600;border-bottom:1px solid var(--line);vertical-align:bottom}}
.mm .mm-table th:first-child{{text-align:left;position:sticky;left:0;background:var(--surface);z-index:1}}
.mm .mm-table tbody th{{font-weight:600;white-space:normal;min-width:7.5em;max-width:16em}}
.mm .mm-table small{{margin-left:4px;color:var(--dim);font-size:11px;font-weight:400;line-height:1.3}}
.mm .mm-table tbody th small{{margin:0;font-size:12px}}
.mm .mm-table tbody tr:hover>*{{background-color:var(--soft)}}
.mm .mm-table .mm-bar{{min-width:76px;background:linear-gradient(var(--accent),var(--accent)) 10px calc(100% - 3px)/calc((100% - 20px)*var(--v)) 3px no-repeat}}
.mm .mm-words td,.mm .mm-words thead th{{text-align:left;white-space:normal;overflow-wrap:normal;min-width:4.5em}}
.mm .mm-narrow{{max-width:560px}}
.mm a{{color:inherit;text-decoration-color:var(--line);text-underline-offset:3px}}.mm a:hover{{color:var(--accent)}}
""".strip()

_PAGE_STYLE = """
html{scroll-behavior:smooth}@media (prefers-reduced-motion:reduce){html{scroll-behavior:auto}}
body.mm{margin:0;background:var(--soft)}
main{max-width:1180px;margin:0 auto;padding:40px 24px 64px}
nav{display:flex;flex-wrap:wrap;gap:4px 20px;padding:0 0 12px;font-size:14px}
section{margin:0 0 24px;padding:24px;background:var(--surface);border:1px solid var(--line);border-radius:12px;scroll-margin-top:12px}
h2{margin:0 0 12px;font-size:20px;line-height:1.35;letter-spacing:-.01em}
h3{display:flex;justify-content:space-between;align-items:baseline;gap:12px;margin:0 0 8px;font-size:15px;line-height:1.4}
h3{overflow-wrap:anywhere}h3 small,h3 .big{color:var(--dim);font-weight:400;font-size:13px}h3 .big{white-space:nowrap;font-variant-numeric:tabular-nums}
.told{margin:0 0 12px;color:var(--dim)}
.two{display:grid;grid-template-columns:minmax(0,1fr) minmax(0,1fr);gap:40px;align-items:start}
figure{margin:0}.two figure+svg{margin-top:28px}.two figure>svg{max-width:480px}figcaption{margin:0 0 12px;color:var(--dim);font-size:14px}figcaption b{display:block;color:var(--ink)}
.legend{position:sticky;top:0;z-index:2;background:var(--surface);padding:8px 0;display:flex;flex-wrap:wrap;gap:4px 20px;margin:0 0 8px;color:var(--dim);font-size:13px}
.legend span{display:inline-flex;align-items:center;gap:6px}
.mm svg.key{display:inline-block;width:24px;flex:none}.mm svg.key path{fill:none}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(330px,100%),1fr));gap:16px}
article{padding:14px;border:1px solid var(--line);border-radius:10px;scroll-margin-top:48px;break-inside:avoid}
article:target{outline:2px solid var(--accent)}
.charts{display:grid;grid-template-columns:1fr 1fr;gap:10px 12px;align-items:center}
.none{grid-column:1/-1;margin:8px 0;color:var(--dim)}
.numbers{margin:0;font-size:12.5px;font-variant-numeric:tabular-nums}
.numbers div{display:flex;justify-content:space-between;gap:8px;padding:1.5px 0;border-bottom:1px solid var(--grid)}
.numbers dt{color:var(--dim)}.numbers dd{margin:0;text-align:right}
.facts{display:grid;grid-template-columns:minmax(120px,max-content) 1fr;gap:6px 20px;margin:0}
.facts dt{color:var(--dim)}.facts dd{margin:0}
th button{all:unset;cursor:pointer;white-space:nowrap}th button:hover{color:var(--ink)}th button:focus-visible{outline:2px solid var(--accent)}
th[aria-sort] button{color:var(--ink)}th[aria-sort=descending] button::after{content:" ▼";font-size:9px}
th[aria-sort=ascending] button::after{content:" ▲";font-size:9px}
@media (max-width:760px){main{padding:24px 12px 40px}section{padding:18px 14px}.two{grid-template-columns:minmax(0,1fr)}
.mm .mm-cards{grid-template-columns:1fr 1fr;gap:8px}.mm .mm-card{padding:10px 12px}.mm .mm-value{font-size:21px}.mm .mm-title{font-size:23px}
article{padding:12px 10px}.facts{grid-template-columns:1fr;gap:0}.facts dd{margin:0 0 8px}}
@media print{body.mm{background:#fff}section{border:0;padding:0}nav{display:none}}
""".strip()
