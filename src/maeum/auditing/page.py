"""The audit as one HTML page: no script, no request."""

from __future__ import annotations

from collections.abc import Sequence

from maeum._lang import language, say
from maeum._svg import escape
from maeum.auditing.confusing import Pair, Word
from maeum.auditing.findings import Audit, LabelRow, Part, Suspect
from maeum.auditing.page_copies import copies, cut, leakage, table
from maeum.auditing.settings import RARE, SUSPICIOUS
from maeum.auditing.worklist import shown_text, shown_value
from maeum.report_html import head
from maeum.task import Task

LISTED = 60
"""Suspects on the page; the work list has all."""


def page(audit: Audit) -> str:
    """A whole page."""
    several = len(audit.parts) > 1
    sections = [("suspects", say("틀린 라벨로 보이는 것", "Labels that look wrong"), _suspects(audit))]
    for part in audit.parts:
        of = f" · {_part_name(part)}" if several else ""
        sections.append((f"labels-{part.name}", say("라벨별", "By label") + of, _labels(part)))
    for part in audit.parts:
        of = f" · {_part_name(part)}" if several else ""
        sections.append((f"pairs-{part.name}", say("헷갈리는 라벨", "Confused labels") + of, _pairs(audit, part)))
    sections.append(("copies", say("같은 글, 다른 라벨", "Same text, other labels"), copies(audit)))
    if audit.overlap is not None:
        sections.append(("leakage", say("평가 행에 섞인 글", "Leakage into the valid rows"), leakage(audit)))
    sections.append(("made", say("어떻게 만들었나", "How this was made"), _made(audit)))
    links = "".join(f'<a href="#{anchor}">{escape(name)}</a>' for anchor, name, _ in sections)
    bodies = "".join(
        f'<section id="{anchor}"><h2>{escape(name)}</h2>{body}</section>' for anchor, name, body in sections
    )
    source = audit.data.source or say("데이터", "data")
    name = say("라벨 점검", "Label audit")
    line = [say(f"{len(audit.data):,}행", f"{len(audit.data):,} rows"), audit.model]
    meta = "".join(f"<span>{escape(part)}</span>" for part in line)
    return (
        head(f"{source} · {name}", _STYLE)
        + f'<body class="mm"><main><header class="mm-head"><p class="mm-brow">maeum {escape(name)} · '
        f'{escape(audit.data.task.name)}</p><h1 class="mm-title">{escape(source)}</h1><p class="mm-meta">{meta}</p></header>'
        f'{_notes(audit)}{_cards(audit)}<nav aria-label="{say("차례", "contents")}">{links}</nav>{bodies}</main>\n</body>\n'
        "</html>\n"
    )


def _notes(audit: Audit) -> str:
    items = "".join(f"<li>{escape(note)}</li>" for note in audit.notes)
    head = say("읽기 전에", "Before you read on")
    return f'<aside class="mm-warn"><strong>{head}</strong><ul>{items}</ul></aside>' if items else ""


def _cards(audit: Audit) -> str:
    expected = sum(item.score for item in audit.suspects)
    rare = sum(row.rare and row.train > 0 for part in audit.parts for row in part.labels)
    cards = [
        (
            say("목록에 올린 라벨", "labels listed"),
            f"{len(audit.suspects):,}",
            say(f"추정: 그 가운데 {expected:,.0f}개가 오류", f"estimate: {expected:,.0f} of them wrong"),
        ),
        (
            say("헷갈리는 라벨 짝", "confused pairs"),
            f"{sum(len(part.pairs) for part in audit.parts):,}",
            "",
        ),
        (
            say("같은 글, 다른 라벨", "same text, other labels"),
            f"{len(audit.same):,}",
            say(f"비슷한 글 {len(audit.near):,}쌍", f"{len(audit.near):,} pairs nearly the same"),
        ),
        (
            say("너무 드문 라벨", "labels too rare"),
            f"{rare:,}",
            say(f"글 {RARE}개 미만", f"fewer than {RARE} texts"),
        ),
    ]
    if audit.overlap is not None:
        cards.append(
            (
                say("평가에 섞인 글", "valid texts in training"),
                f"{len(audit.overlap.same):,}",
                say(f"비슷한 글 {len(audit.overlap.near):,}", f"nearly: {len(audit.overlap.near):,}"),
            )
        )
    items = "".join(
        f'<div class="mm-card"><span class="mm-name">{escape(name)}</span><span class="mm-value">{value}</span>'
        f'<span class="mm-note">{escape(note) or "&nbsp;"}</span></div>'
        for name, value, note in cards
    )
    return f'<div class="mm-cards">{items}</div>'


# -- suspects ---------------------------------------------------------------------------------------------------------


def _suspects(audit: Audit) -> str:
    share = audit.settings.expected_errors
    told = say(
        f"라벨의 {share:.0%}가 틀렸다고 가정할 때, 지금 값이 틀렸을 가능성이 높은 순서입니다. 모델은 이 행들을 보지 않고 배웠습니다. "
        f"모두 {len(audit.suspects):,}개가 worklist.xlsx에 있고 여기에는 {min(LISTED, len(audit.suspects))}개를 보입니다. "
        "결정하기 전에는 아무것도 바뀌지 않습니다.",
        f"The likeliest errors first, assuming that {share:.0%} of the labels are wrong; the model never saw the rows it "
        f"judges. All {len(audit.suspects):,} are in worklist.xlsx, {min(LISTED, len(audit.suspects))} are shown here. "
        "Nothing changes before somebody decides.",
    )
    if not audit.suspects:
        return f'<p class="told">{escape(say("의심할 라벨이 없습니다.", "No label looks wrong."))}</p>'
    heads = [
        say("가능성", "chance"),
        say("글", "text"),
        say("라벨", "label"),
        say("지금", "now"),
        say("제안", "proposed"),
        say("까닭", "why"),
    ]
    rows = [_suspect(audit, item) for item in audit.suspects[:LISTED]]
    return f'<p class="told">{escape(told)}</p>{table(heads, rows, "au-list")}'


def _suspect(audit: Audit, item: Suspect) -> str:
    example = audit.data[item.row]
    task = audit.data.task
    name = _name(task, item.label) if task.kind != "multiclass" else ""
    cells = [
        f'<th scope="row"><span class="au-score" style="--v:{item.score:.2f}">{item.score:.2f}</span></th>',
        f'<td class="au-text">{escape(cut(shown_text(example)))}<small>{escape(example.id)}</small></td>',
        f"<td>{escape(name or _name(task, item.given))}</td>",
        f'<td class="au-tight">{escape(shown_value(item.given))}</td>',
        f'<td class="au-tight"><b>{escape(shown_value(item.suggested) or "?")}</b></td>',
        f'<td class="au-why">{escape(item.reason)}</td>',
    ]
    return f"<tr>{''.join(cells)}</tr>"


# -- labels -----------------------------------------------------------------------------------------------------------


def _labels(part: Part) -> str:
    told = say(
        f"의심은 달린 행 가운데 틀렸을 가능성이 {SUSPICIOUS:g} 이상인 것, 오류 비중은 그 가능성의 합을 달린 행으로 나눈 추정, 빠짐은 "
        "달리지 않았으나 달려야 할 듯한 행입니다. 성적은 교차 검증의 것이고, 배움은 평균 정밀도를 라벨의 몫으로 나눈 값입니다(1이면 찍기).",
        f"Suspicious: of the rows given the label, those with a chance of {SUSPICIOUS:g} or more to be wrong; error share: the "
        "sum of these chances by the rows given it, an estimate; missing: rows that look as if they should have it. Scores "
        "are out-of-fold; learnt is average precision by the label's share (1: guessing).",
    )
    with_valid = any(row.valid is not None for row in part.labels)
    heads = [say("라벨", "label"), say("학습", "train")]
    heads += [say("평가", "valid"), say("평가/학습", "valid/train")] if with_valid else []
    heads += [say("의심", "suspicious"), say("오류 비중", "error share"), say("빠짐", "missing")]
    heads += ["P", "R", "F1", say("배움", "learnt"), ""]
    rows = [_label(part, row, with_valid) for row in part.labels]
    return f'<p class="told">{escape(told)}</p>{table(heads, rows)}'


def _label(part: Part, row: LabelRow, with_valid: bool) -> str:
    cells = [f"{row.train:,}"]
    if with_valid:
        ratio = "–" if row.valid is None or not row.train else f"{row.valid / row.train:.0%}"
        cells += ["–" if row.valid is None else f"{row.valid:,}", ratio]
    cells += [f"{row.wrong:,}", f"{row.error_share:.1%}", f"{row.missing:,}"]
    cells += [f"{row.precision:.2f}", f"{row.recall:.2f}", f"{row.f1:.2f}"]
    cells.append("–" if row.lift is None else f"×{row.lift:.1f}")
    flag = say("없음", "absent") if not row.train else say("너무 드묾", "too rare") if row.rare else ""
    flag = f'<span class="au-flag">{escape(flag)}</span>' if flag else ""
    body = "".join(f"<td>{cell}</td>" for cell in cells)
    return f'<tr><th scope="row">{escape(_name(part.task, row.label))}</th>{body}<td>{flag}</td></tr>'


# -- pairs ------------------------------------------------------------------------------------------------------------


def _pairs(audit: Audit, part: Part) -> str:
    told = say(
        "한쪽만 달린 행을 모델이 다른 쪽으로 보았거나, 두 라벨에 두드러진 낱말의 행이 양쪽으로 갈려 있는 짝입니다. "
        "'갈리는 낱말'에는 라벨을 다는 기준이 없다는 뜻이니 지침에 적어 두세요.",
        "Rows with one of the two labels that the model sees as the other, or words typical of both whose rows are split "
        "between them. Contested words have no rule: put one into the guideline.",
    )
    if not part.pairs:
        return f'<p class="told">{escape(say("뚜렷한 짝이 없습니다.", "No pair stands out."))}</p>'
    cards = "".join(_pair(audit, part, pair) for pair in part.pairs)
    return f'<p class="told">{escape(told)}</p><div class="cards au-pairs">{cards}</div>'


def _pair(audit: Audit, part: Part, pair: Pair) -> str:
    a, b = (_name(part.task, part.task.keys[at]) for at in (pair.first, pair.second))
    count = say(
        f"'{a}'(으)로 달렸으나 모델은 '{b}': {pair.count:,}행(우연이면 {pair.expected:.1f}) · 거꾸로 {pair.back:,}행",
        f"given '{a}', seen as '{b}': {pair.count:,} rows ({pair.expected:.1f} by chance) · the reverse: {pair.back:,}",
    )
    only = say(
        f"'{a}'만 {pair.only_first:,}행, '{b}'만 {pair.only_second:,}행",
        f"only '{a}': {pair.only_first:,} rows, only '{b}': {pair.only_second:,}",
    )
    lines = []
    if pair.contested:
        shown = "".join(
            f'<span class="au-contested">{escape(word.word)} <small>{word.first} : {word.second}</small></span>'
            for word in pair.contested
        )
        lines.append((say("갈리는 낱말", "contested"), shown))
    if pair.stray:
        shown = "".join(f"<span>{escape(word)} <small>{count}</small></span>" for word, count in pair.stray)
        name = say(f"'{a}' 행에 든 '{b}'의 낱말", f"words of '{b}' in rows of '{a}'")
        lines.append((name, shown))
    lines += [(say(f"'{a}'의 낱말", f"words of '{a}'"), _words(pair.tells_first))] if pair.tells_first else []
    lines += [(say(f"'{b}'의 낱말", f"words of '{b}'"), _words(pair.tells_second))] if pair.tells_second else []
    words = "".join(f"<dt>{escape(name)}</dt><dd>{shown}</dd>" for name, shown in lines)
    examples = "".join(
        f"<li>{escape(cut(part.texts[row]))} <small>{escape(part.ids[row])}</small></li>" for row in pair.rows
    )
    if examples:
        title = say("행 보기", "rows")
        examples = f"<details><summary>{escape(title)}</summary><ul>{examples}</ul></details>"
    return (
        f'<article><h3><span>{escape(a)} → {escape(b)}</span></h3><p class="mm-note">{escape(count)}<br>{escape(only)}</p>'
        f'<dl class="au-words">{words}</dl>{examples}</article>'
    )


def _words(found: Sequence[Word]) -> str:
    return "".join(f"<span>{escape(word.word)} <small>{word.first} : {word.second}</small></span>" for word in found)


def _made(audit: Audit) -> str:
    settings = audit.settings
    rows = [
        (say("데이터", "data"), f"{audit.data.source} · {audit.data.fingerprint}"),
        (say("과제", "task"), f"{audit.data.task.name} ({audit.data.task.kind}, {len(audit.data.task)})"),
        (say("모델", "model"), audit.model),
        (
            say("점수", "score"),
            say(
                f"교차 검증 확률과, 라벨의 {settings.expected_errors:.0%}가 틀렸다는 가정에서 베이즈 규칙으로 얻은 오류 가능성. 드문 라벨은 드문 "
                "만큼 잘못 달리기도 어렵다고 보되, 가장 그럴듯하지 않은 행의 확률이 그 한도를 정합니다.",
                f"Bayes' rule on out-of-fold probabilities, assuming that {settings.expected_errors:.0%} of the labels are "
                "wrong; a rare label is given by mistake as rarely as the least likely rows of it allow.",
            )
            if settings.method == "posterior"
            else "cleanlab, 1 − self-confidence",
        ),
        (
            say("낱말", "words"),
            say(
                "디리클레 사전분포를 둔 로그 오즈(Monroe 등 2008), z > 1.96. 여러 번 견주므로 더러는 우연입니다.",
                "log-odds with a Dirichlet prior (Monroe et al. 2008), z > 1.96; of so many comparisons some are chance.",
            ),
        ),
        (say("걸린 시간", "seconds"), ", ".join(f"{name} {value:.1f}" for name, value in audit.seconds.items())),
    ]
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows)
    return f'<dl class="facts">{items}</dl>'


def _name(task: Task, key: str) -> str:
    return task.labels[task.keys.index(key)].name(language())


def _part_name(part: Part) -> str:
    names = {"aspects": say("속성", "aspects"), "sentiment": say("감성", "grades")}
    return names.get(part.name, part.name)


_STYLE = """
.mm .au-list td,.mm .au-list thead th{text-align:left;white-space:normal;vertical-align:top}
.mm .au-list tbody th{min-width:4em;vertical-align:top;white-space:nowrap}
.mm .au-list td.au-tight,.mm .au-list thead th{white-space:nowrap}
.mm .mm-table td.au-text{min-width:17em;max-width:34em;word-break:keep-all;overflow-wrap:anywhere}
.mm .mm-table td.au-text small{display:block;margin:2px 0 0}
.mm .mm-table td.au-why{min-width:12em;color:var(--dim);font-size:13px}
.au-score{display:inline-block;padding:1px 7px;border-radius:9px;background:color-mix(in srgb,var(--c2) calc(60%*var(--v)),transparent);font-variant-numeric:tabular-nums}
.au-flag{padding:1px 8px;border-radius:9px;background:var(--warn);border:1px solid var(--warn-line);font-size:12px}
.au-words{display:grid;grid-template-columns:minmax(6em,max-content) 1fr;gap:6px 12px;margin:10px 0;font-size:14px}
.au-words dt{color:var(--dim);max-width:11em}.au-words dd{margin:0;display:flex;flex-wrap:wrap;gap:2px 12px}.au-words small{color:var(--dim)}
.au-contested{background:var(--warn);border-radius:4px;padding:0 5px}
.au-pairs ul{margin:6px 0 0;padding-left:1.2em;font-size:13.5px}.au-pairs li small{color:var(--dim)}
article summary{cursor:pointer;color:var(--dim);font-size:13px}
""".strip()
