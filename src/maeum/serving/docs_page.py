"""``/docs``: the routes as one page that asks no other server for anything."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from typing import Any

from maeum._lang import language, say

_STYLE = """
:root{color-scheme:light dark}
body{font:16px/1.6 system-ui,"Apple SD Gothic Neo","Malgun Gothic",sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.05rem;margin:2rem 0 .3rem;border-top:1px solid #8884;padding-top:1rem}
code,pre,textarea{font:14px/1.5 ui-monospace,Consolas,monospace}
pre{background:#8881;padding:.7rem;overflow-x:auto;border-radius:6px;white-space:pre-wrap;word-break:break-word}
textarea{width:100%;box-sizing:border-box;min-height:6rem;border-radius:6px;border:1px solid #8886;padding:.5rem}
b.m{display:inline-block;min-width:3.2rem;font-family:ui-monospace,monospace;color:#2563eb}
input,button{font:inherit;padding:.25rem .7rem;border-radius:6px;border:1px solid #8886}
"""
_SCRIPT = """
for (const form of document.querySelectorAll("form[data-path]")) form.addEventListener("submit", async event => {
  event.preventDefault();
  const out = form.querySelector("pre"), key = document.getElementById("key").value, area = form.querySelector("textarea");
  const headers = area ? {"content-type": area.dataset.type} : {};
  if (key) headers["authorization"] = "Bearer " + key;
  out.hidden = false;
  try {
    const answer = await fetch(document.body.dataset.root + form.dataset.path, {method: form.dataset.method, headers, body: area ? area.value : undefined});
    const text = await answer.text();
    let shown = text;
    try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch {}
    out.textContent = answer.status + " " + answer.headers.get("x-request-id") + "\\n" + shown;
  } catch (error) { out.textContent = String(error); }
});
"""


def page(openapi: Mapping[str, Any], root: str) -> str:
    """The page.

    Args:
        openapi: the description of the routes.
        root: path that a proxy puts in front.
    """
    sections = "".join(
        _section(path, method, about) for path, methods in openapi["paths"].items() for method, about in methods.items()
    )
    title = html.escape(f"{openapi['info']['title']} {openapi['info']['version']}")
    return (
        f"<!doctype html><html lang='{language()}'><head><meta charset='utf-8'>"
        f"<meta name='viewport' content='width=device-width'><title>{title}</title><style>{_STYLE}</style></head>"
        f"<body data-root='{html.escape(root, quote=True)}'><h1>{title}</h1><p>"
        + say(
            "이 쪽은 바깥 주소를 부르지 않습니다. 기계가 읽을 설명: ",
            "This page asks no other server for anything. For machines: ",
        )
        + f"<a href='{html.escape(root, quote=True)}/openapi.json'>openapi.json</a></p>"
        + f"<p><label>{say('API 키', 'API key')} <input id='key' type='password' autocomplete='off'></label></p>"
        + f"{sections}<script>{_SCRIPT}</script></body></html>"
    )


def _section(path: str, method: str, about: Mapping[str, Any]) -> str:
    shown, verb = html.escape(path), html.escape(method.upper())
    content = about.get("requestBody", {}).get("content", {})
    box = ""
    for kind, body in content.items():
        example = body.get("example", "")
        text = example if isinstance(example, str) else json.dumps(example, ensure_ascii=False, indent=2)
        box += (
            f"<textarea data-type='{html.escape(kind, quote=True)}' spellcheck='false'>{html.escape(text)}</textarea>"
        )
    form = ""
    if "{" not in path:
        form = (
            f"<form data-path='{html.escape(path, quote=True)}' data-method='{verb}'>{box}"
            f"<p><button>{say('보내기', 'Send')}</button></p><pre hidden></pre></form>"
        )
    elif box:
        form = f"<pre>{html.escape(text)}</pre>"
    return f"<h2><b class='m'>{verb}</b> <code>{shown}</code></h2><p>{html.escape(about.get('summary', ''))}</p>{form}"
