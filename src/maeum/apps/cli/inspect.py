"""``maeum demo``, ``maeum info`` and ``maeum doctor``."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import locale
import os
import platform
import shutil
import sys
from pathlib import Path
from typing import Any

import click

from maeum._lang import language, say
from maeum.apps.cli import emit
from maeum.apps.cli._options import examples, json_option, overwrite_option


@click.command(
    help=say("패키지에 든 예제 데이터를 DIR에 풉니다.", "Copy the sample data of the package into DIR."),
    epilog=examples("maeum demo demo-data", "maeum train demo-data/nikl-ea.jsonl --valid 0.2 -o runs/first"),
)
@click.argument("folder", metavar="DIR")
@overwrite_option
@json_option
def demo(folder: str, overwrite: bool, as_json: bool) -> None:
    """Copy the sample files."""
    from importlib import resources

    from maeum.errors import UsageError

    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    sources = [file for file in (resources.files("maeum") / "samples").iterdir() if file.is_file()]
    there = [file.name for file in sources if (target / file.name).exists()]
    if there and not overwrite:
        raise UsageError(
            f"'{folder}'에 이미 {', '.join(there)}이(가) 있습니다. --overwrite를 붙이거나 다른 폴더를 쓰세요.",
            f"'{folder}' already holds {', '.join(there)}; add --overwrite or choose another folder",
        )
    written = []
    for file in sources:
        (target / file.name).write_bytes(file.read_bytes())
        written.append(str(target / file.name))
    if as_json:
        emit({"files": sorted(written)})
    else:
        click.echo("\n".join(sorted(written)))


@click.command(
    help=say(
        "모델 폴더가 무엇인지 설명하고 손상이 없는지 확인합니다.", "What a model folder is; verifies its checksums."
    ),
    epilog=examples("maeum info runs/first"),
)
@click.argument("model", metavar="MODEL")
@json_option
def info(model: str, as_json: bool) -> None:
    """Describe a model folder."""
    from maeum import load_heads
    from maeum.engine import engine_of
    from maeum.folder import check, embedded

    heads = load_heads(model)
    analyzer = next(iter(heads.values()))
    folder = embedded(model)
    manifest = check(folder)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    about: dict[str, Any] = {
        "model": model,
        "kind": manifest["model"],
        "made_by": f"maeum {manifest['maeum']}",
        "task": analyzer.task.name,
        "task_kind": analyzer.task.kind,
        "labels": list(analyzer.task.keys),
        "text_preparation": analyzer.prep.recipe,
        "thresholds": analyzer.thresholds.to_dict(),
        "train": analyzer.about.get("train", {}),
        "settings": analyzer.about.get("settings", {}),
        "folds": len(list((folder / "folds").glob("*"))),
        "engine": engine_of(folder),
        "bytes": size,
    }
    if len(heads) > 1:
        about["heads"] = {
            name: {"task_kind": head.task.kind, "labels": list(head.task.keys), "thresholds": head.thresholds.to_dict()}
            for name, head in heads.items()
        }
    from maeum.reviews import card

    review = card.facts_of_folder(analyzer, folder)
    if as_json:
        emit({**about, **({"review": review} if review else {})})
        return
    rows = [
        (say("모델", "model"), f"{about['kind']} ({about['made_by']})"),
        (say("과제", "task"), f"{about['task']} ({about['task_kind']}, {len(about['labels'])} labels)"),
        (say("라벨", "labels"), ", ".join(about["labels"])),
        (
            say("학습 데이터", "training data"),
            f"{about['train'].get('source', '?')}, {about['train'].get('rows', '?')} rows",
        ),
        (say("글 준비", "text preparation"), about["text_preparation"]),
        (say("기준값", "thresholds"), f"{analyzer.thresholds.objective}; {analyzer.thresholds.tuned_on or '–'}"),
        *(card.lines(review, card.grade_names(analyzer)) if review else ()),
        *(
            (f"  --task {name}", f"{head.task.kind}, {len(head.task)} labels; {head.thresholds.tuned_on or '–'}")
            for name, head in heads.items()
            if len(heads) > 1
        ),
        (say("실행", "engine"), about["engine"]),
        (say("크기", "size"), f"{size / 1e6:.1f} MB"),
        (say("상태", "state"), say("손상 없음", "checksums match")),
    ]
    for name, value in rows:
        click.echo(f"{name}: {value}")


@click.command(
    help=say(
        "이 컴퓨터가 준비되었는지 봅니다: 버전, 추가 기능, 글자 설정, 디스크.",
        "Versions, extras, encodings, disk: whether this machine is ready.",
    ),
    epilog=examples("maeum doctor", "maeum doctor --json"),
)
@json_option
def doctor(as_json: bool) -> int:
    """Report what works and what to do about what does not."""
    checks = _checks()
    if as_json:
        emit({"ok": all(item["ok"] for item in checks), "checks": checks})
    else:
        for item in checks:
            mark = "✓" if item["ok"] else "✗"
            click.echo(f"{mark} {item['name']}: {item['value']}" + (f"  → {item['do']}" if item.get("do") else ""))
    return 0 if all(item["ok"] for item in checks) else 1


def _checks() -> list[dict[str, Any]]:
    from maeum._optional import EXTRA_OF, install_command
    from maeum.engine import engine_facts, int8_shown

    found: list[dict[str, Any]] = []

    def add(name: str, value: object, ok: bool = True, do: str = "") -> None:
        found.append({"name": name, "value": str(value), "ok": ok, "do": do})

    def need(name: str, value: object, ok: bool, do: str) -> None:
        add(name, value, ok, "" if ok else do)

    add("maeum", importlib.metadata.version("maeum"))
    need(
        "Python", platform.python_version(), sys.version_info >= (3, 11), say("3.11 이상이 필요합니다", "3.11 or newer")
    )
    for package in (
        "numpy",
        "scipy",
        "safetensors",
        "onnxruntime",
        "tokenizers",
        "click",
        "tqdm",
        "emoji",
        "arro3-io",
        "python-calamine",
        "xlsxwriter",
    ):
        try:
            add(package, importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            add(package, say("없음", "missing"), False, "pip install maeum")
    for module in EXTRA_OF:
        there = importlib.util.find_spec(module) is not None
        hint = "" if there else install_command(EXTRA_OF[module])
        add(
            say(f"추가 기능: {module}", f"extra: {module}"),
            say("있음", "installed") if there else say("없음(선택)", "absent (optional)"),
            True,
            hint,
        )
    facts = engine_facts()
    need(
        say("추론 엔진", "engine"),
        f"onnxruntime {facts['onnxruntime'] or '–'}" + (f", torch {facts['torch']}" if facts["torch"] else ""),
        facts["onnxruntime"] is not None,
        "pip install onnxruntime",
    )
    add(say("스레드(CPU 코어)", "threads (CPU cores)"), facts["threads"])
    add(say("int8 명령", "int8 instructions"), f"{facts['processor']}: {int8_shown(facts['int8'])}")
    add(say("내장 모델 mini", "embedded model mini"), _embedded())
    add(say("언어", "language"), language())
    add(say("콘솔 글자", "console encoding"), sys.stdout.encoding)
    add(say("로캘", "locale"), ".".join(str(part) for part in locale.getlocale()))
    free = shutil.disk_usage(Path.cwd()).free
    need(
        say("디스크 여유", "free disk"),
        f"{free / 1e9:.1f} GB",
        free > 1e9,
        say("1 GB 이상 비우세요", "free at least 1 GB"),
    )
    try:
        probe = Path.cwd() / f".maeum-doctor-{os.getpid()}"
        probe.write_text("가", encoding="utf-8")
        probe.unlink()
        add(say("현재 폴더에 쓰기", "writing here"), Path.cwd())
    except OSError as error:
        add(
            say("현재 폴더에 쓰기", "writing here"),
            error,
            False,
            say("다른 폴더에서 실행하세요", "run in another folder"),
        )
    return found


def _embedded() -> str:
    from maeum.errors import UsageError
    from maeum.folder import embedded, read_manifest

    try:
        manifest = read_manifest(embedded("mini"))
    except UsageError:
        return say("이 버전에는 없음", "not in this version")
    return f"maeum {manifest['maeum']}: {', '.join(manifest.get('heads', ()))}"
