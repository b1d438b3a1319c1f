"""Style and script of the page: numbers that open the sentences behind them in a dialog."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from maeum._lang import say
from maeum._svg import escape
from maeum.rolling.rollup import Cell, Result, Sentence


class Sentences:
    """The sentences that the page's numbers open, each text once.

    Args:
        result: where they are.
    """

    def __init__(self, result: Result) -> None:
        self._result = result
        self._texts: dict[str, int] = {}
        self._rows: list[list[str]] = []
        self._numbers: dict[Cell, int] = {}
        self._cells: list[list[list[Any]]] = []

    def button(self, shown: str, cells: list[Cell], title: str, cls: str = "") -> str:
        """A number that opens the sentences of some cells, or just the number where there are none."""
        numbers = [self._number(cell) for cell in cells if self._result.sentences.get(cell)]
        classes = f"rl-n {cls}".strip()
        if not numbers:
            return f'<span class="{classes}">{shown}</span>'
        word = next((cell.word for cell in cells if cell.word), "")
        marked = f' data-w="{escape(word)}"' if word else ""
        listed = ",".join(map(str, numbers))
        return f'<button type="button" class="{classes}" data-c="{listed}" data-t="{escape(title)}"{marked}>{shown}</button>'

    def _number(self, cell: Cell) -> int:
        number = self._numbers.get(cell)
        if number is None:
            number = self._numbers[cell] = len(self._cells)
            items = self._result.sentences[cell]
            self._cells.append([[self._row(item), round(item.score, 3), int(item.why == "random")] for item in items])
        return number

    def _row(self, item: Sentence) -> int:
        row = self._texts.get(item.id)
        if row is None:
            row = self._texts[item.id] = len(self._rows)
            self._rows.append([item.text, where(item)])
        return row

    def data(self) -> str:
        """All of it as a JSON block that the script reads; nothing in it can end the block."""
        text = json.dumps({"rows": self._rows, "cells": self._cells}, ensure_ascii=False, separators=(",", ":"))
        # lone surrogates cannot be written, and "<" could begin a tag
        safe = text.replace("<", "\\u003c").encode("utf-8", "replace").decode("utf-8")
        return f'<script type="application/json" id="rl-data">{safe}</script>'


def where(item: Sentence) -> str:
    """Where a sentence is from."""
    return " · ".join(part for part in (item.day, item.group, item.id) if part)


def dialog() -> str:
    """The box that opens, and a word for readers whose browser runs no script."""
    close, chance = escape(say("닫기", "close")), escape(say("무작위", "random"))
    needs = say(
        "숫자를 눌러 문장을 여는 데에는 JavaScript가 필요합니다. 아래 '대표 문장'과 examples.jsonl은 없어도 됩니다.",
        "Opening sentences from a number takes JavaScript; the section of sentences below and examples.jsonl do not.",
    )
    return (
        f'<dialog id="rl-box" data-random="{chance}"><form method="dialog"><h3></h3><button>{close}</button></form><ol></ol></dialog>'
        f'<noscript><p class="told">{escape(needs)}</p></noscript>'
    )


def policy() -> str:
    """Content-Security-Policy: this script and no other, and no request at all."""
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


SCRIPT = """
const box = document.getElementById("rl-box"), list = box.querySelector("ol");
const data = JSON.parse(document.getElementById("rl-data").textContent);
const add = (parent, tag, text, cls) => {
  const made = document.createElement(tag);
  made.textContent = text;
  if (cls) made.className = cls;
  parent.append(made);
  return made;
};
const mark = (parent, text, word) => {
  const low = text.toLowerCase();
  let at = 0;
  for (let i = word ? low.indexOf(word) : -1; i >= 0; i = low.indexOf(word, at)) {
    parent.append(text.slice(at, i));
    add(parent, "mark", text.slice(i, i + word.length));
    at = i + word.length;
  }
  parent.append(text.slice(at));
};
document.addEventListener("click", (event) => {
  if (event.target === box) box.close();
  const button = event.target.closest("[data-c]");
  if (!button) return;
  box.querySelector("h3").textContent = button.dataset.t;
  list.replaceChildren();
  const seen = new Set();
  for (const cell of button.dataset.c.split(",")) {
    for (const [row, score, random] of data.cells[cell]) {
      if (seen.has(row)) continue;
      seen.add(row);
      const item = add(list, "li", "");
      mark(add(item, "q", ""), data.rows[row][0], button.dataset.w);
      add(item, "small", data.rows[row][1] + " · " + score.toFixed(2) + (random ? " · " + box.dataset.random : ""));
    }
  }
  box.showModal();
  box.scrollTop = 0;
});
"""

STYLE = """
.mm{--neg:213,94,0;--pos:0,114,178}
@media (prefers-color-scheme:dark){.mm{--neg:255,154,86;--pos:86,180,233}}
.mm svg.rl-bar{height:16px;min-width:110px;border-radius:3px;overflow:hidden}
.mm svg .rl-band{fill:var(--ink);fill-opacity:.45}.mm svg .rl-pale{fill-opacity:.14}.mm svg .rl-thin{fill-opacity:.25;stroke-opacity:.3}.mm svg circle.rl-thin{stroke:none}.mm svg polyline.rl-thin{fill:none}
.rl-n{font-variant-numeric:tabular-nums}
button.rl-n{all:unset;cursor:pointer;font-variant-numeric:tabular-nums;text-decoration:underline dotted var(--dim);text-underline-offset:3px}
button.rl-n:hover{color:var(--accent)}button.rl-n:focus-visible{outline:2px solid var(--accent);border-radius:2px}
.mm .mm-table td.rl-chart{min-width:130px;width:34%;padding-left:0}
.mm .mm-table td small{display:block;margin:0}
.mm .mm-table td.rl-heat{background-color:rgba(var(--tone),calc(.62*var(--v)));min-width:68px}
.mm .mm-table td.rl-few,.mm .mm-table tr.rl-few td{color:var(--dim)}
.mm .mm-table td.rl-few .rl-n{opacity:.6}
.rl-key{display:flex;flex-wrap:wrap;gap:4px 16px;margin:0 0 12px;color:var(--dim);font-size:13px}
.rl-key span{display:inline-flex;align-items:center;gap:6px}.rl-key svg{width:14px!important;height:14px!important;flex:none}
.rl-key svg.rl-line{width:26px!important}
article details{margin-top:8px}summary{cursor:pointer;color:var(--dim);font-size:13px}summary:hover{color:var(--ink)}
article .mm-table{font-size:13px}article .mm-table th,article .mm-table td{padding:4px 6px!important}
article .mm-table tbody th{min-width:5em!important;font-weight:400!important}
.rl-words{margin:0;display:grid;grid-template-columns:max-content 1fr;gap:6px 12px;font-size:14px}
.rl-words dt{color:var(--dim)}.rl-words dd{margin:0;display:flex;flex-wrap:wrap;gap:2px 12px}.rl-words small{color:var(--dim)}
.rl-say{columns:2 420px;column-gap:40px}.rl-say>div{break-inside:avoid}.rl-say details{margin:0 0 6px}.rl-say h3{margin:0 0 4px;padding-top:12px}
.rl-say ul{margin:6px 0 10px;padding-left:1.2em}.rl-say li{margin:0 0 6px}.rl-say small{color:var(--dim);display:block;font-size:12px}
#rl-box{width:min(680px,calc(100vw - 24px));max-height:min(80vh,760px);padding:0 24px 20px;border:1px solid var(--line);border-radius:12px;
background:var(--surface);color:var(--ink);overflow-y:auto}
#rl-box::backdrop{background:rgba(0,0,0,.4)}
#rl-box form{position:sticky;top:0;display:flex;justify-content:space-between;align-items:start;gap:16px;padding:18px 0 10px;background:var(--surface)}
#rl-box h3{margin:0;font-size:17px}#rl-box form button{flex:none;font:inherit;font-size:13px;padding:3px 12px;border:1px solid var(--line);border-radius:6px;
background:var(--soft);color:var(--ink);cursor:pointer}
#rl-box ol{margin:0;padding-left:1.6em}#rl-box li{margin:0 0 12px}#rl-box q{quotes:none;white-space:pre-wrap}
#rl-box small{display:block;color:var(--dim);font-size:12px}#rl-box mark{background:rgba(var(--pos),.25);color:inherit;border-radius:2px}
@media (max-width:760px){.rl-words{grid-template-columns:1fr;gap:2px}.rl-words dd{margin:0 0 8px}#rl-box{padding:0 14px 14px}}
""".strip()
