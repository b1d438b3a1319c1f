"""``maeum batch`` over a file of reviews: killed twice and resumed, local against Ray, memory, and what a billion would take.

    maeum train DATA/kote/train.tsv --format kote -o runs/kote
    python benchmarks/batch.py --model runs/kote [--neural mini] [--data DIR] [--rows 650000] [--workers 2]
    python benchmarks/batch.py --model runs/kote --neural mini --rows 20000 --neural-rows 1000      # a short try

Steps, each a process of its own:

* ``single``: ``maeum predict -o single.jsonl``, the rate to compare with and the rows to be equal to;
* ``local``: ``maeum batch --format jsonl``, killed with SIGKILL when a third and two thirds of its parts are there, then
  resumed to the end; every row must be there once, and the joined parts must be the single file, byte for byte;
* ``clean``: the same without interruption, timed; ``parquet``: in the default format, for its size;
* ``ray``: the same on a Ray cluster of this machine; its parts and manifest must be those of ``clean``;
* ``neural``: single and batch with a second model on the first ``--neural-rows`` rows;
* ``plan``, ``driver``: how fast text files are cut into parts, and how many parts a second one main process can hand out.

Rates are given per second of the clock and per second of processor time, which a busy machine does not change much.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from _results import save

from maeum.bulk import BatchSettings, running
from maeum.bulk.plan import InputFile, Part, Plan, Stamp, make_plan
from maeum.bulk.settings import BATCH_SIZE, PART_ROWS
from maeum.bulk.stored import MANIFEST, PLAN, Output
from maeum.bulk.work import Done
from maeum.formats.lines import Source
from maeum.formats.tables import parquet_rows

BILLION = 1_000_000_000
NODE_CORES = 64
DRIVER_PARTS = 5_000


@dataclass
class Watched:
    """What was seen of a process and of those it started."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    main_mb: float = 0.0
    worker_mb: float = 0.0
    quarters_mb: list[float] = field(default_factory=lambda: [0.0] * 4)
    """Largest memory of the main process while each quarter of the parts was done."""


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "maeum", *map(str, words)]


def watch(words: list[str], output: Path, parts: int, *, kill_at: int | None = None) -> Watched:
    """Run a command to its end, or kill its main process when so many parts are there."""
    seen, begun = Watched(), time.perf_counter()
    # a worker computes on one thread; with more, sums of the single process are added up in another order
    env = {**os.environ, "MAEUM_LANG": "en", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, env=env)
    workers: set[int] = set()
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            seen.cpu_seconds = usage.ru_utime + usage.ru_stime
            seen.main_mb = max(seen.main_mb, seen.quarters_mb[-1])
            break
        done = sum(1 for _ in output.glob("part-*")) if output.is_dir() else 0
        memory = _megabytes(process.pid)
        seen.main_mb = max(seen.main_mb, memory)
        quarter = min(3, done * 4 // max(parts, 1))
        seen.quarters_mb[quarter] = max(seen.quarters_mb[quarter], memory)
        workers = _children(process.pid)
        seen.worker_mb = max([seen.worker_mb, *map(_megabytes, workers)])
        if kill_at is not None and done >= kill_at:
            process.send_signal(signal.SIGKILL)
            kill_at = None
        time.sleep(0.05)
    seen.seconds = time.perf_counter() - begun
    while any(Path(f"/proc/{pid}").exists() for pid in workers):
        time.sleep(0.05)
    return seen


def _megabytes(pid: int) -> float:
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    found = [line.split()[1] for line in text.splitlines() if line.startswith("VmRSS")]
    return int(found[0]) / 1024 if found else 0.0


def _children(pid: int) -> set[int]:
    found = set()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found |= {int(child) for child in task.read_text().split()}
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def first_rows(source: Path, target: Path, rows: int) -> int:
    """The first rows of a Parquet file as one; how many there were."""
    import arro3.core
    import arro3.io

    batches, left = [], rows
    for batch in arro3.io.read_parquet(str(source), batch_size=8192):
        batches.append(batch.slice(0, min(left, batch.num_rows)))
        left -= batches[-1].num_rows
        if not left:
            break
    arro3.io.write_parquet(arro3.core.Table.from_batches(batches), str(target), compression="snappy")
    return rows - left


def digest(files: list[Path]) -> str:
    """SHA-256 of files one after the other."""
    found = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                found.update(block)
    return found.hexdigest()


def parts_of(folder: Path) -> list[Path]:
    return sorted(folder.glob("part-*"))


def rate(rows: int, seen: Watched) -> dict[str, float]:
    return {
        "seconds": round(seen.seconds, 2),
        "cpu_seconds": round(seen.cpu_seconds, 2),
        "rows_per_second": round(rows / seen.seconds, 1),
        "rows_per_cpu_second": round(rows / max(seen.cpu_seconds, 1e-9), 1),
        "main_mb": round(seen.main_mb, 1),
        "worker_mb": round(seen.worker_mb, 1),
    }


def need(condition: bool, sentence: str) -> None:
    if not condition:
        raise SystemExit(f"FAILED: {sentence}")


def run_model(
    model: str, source: Path, rows: int, place: Path, words: argparse.Namespace, *, full: bool
) -> dict[str, Any]:
    """Single process, killed and resumed, clean, Parquet and, if asked for, Ray."""
    parts = -(-rows // words.part_rows)
    common = ["--text-column", "review", "--part-rows", words.part_rows, "--workers", words.workers, "-q"]
    single, result = place / "single.jsonl", dict[str, Any](model=Path(model).name, rows=rows, parts=parts)
    many = len(_heads(model)) > 1  # predict answers with one head only
    if not many:
        seen = watch(command("predict", model, source, "-o", single, "--text-column", "review", "-q"), place, parts)
        need(single.exists(), "predict did not finish")
        result["single"] = rate(rows, seen)
    if full:
        target = place / "local"
        batch = command("batch", model, source, target, "--format", "jsonl", *common)
        kept = []
        for share in (1, 2):
            watch(batch, target, parts, kill_at=max(share, parts * share // 3))
            kept.append(len(parts_of(target)))
            need(not (target / MANIFEST).exists(), "it finished before it was killed: give more --rows")
        watch(batch, target, parts)
        need((target / MANIFEST).exists(), "the resumed run did not finish")
        result["killed_at_parts"] = kept
        need(digest(parts_of(target)) == digest([single]), "resumed parts are not the single file")
        result["equal_to_single"] = True
    target = place / "clean"
    seen = watch(command("batch", model, source, target, "--format", "jsonl", *common), target, parts)
    result["local"] = rate(rows, seen) | {"main_mb_by_quarter": [round(item, 1) for item in seen.quarters_mb]}
    manifest = json.loads((target / MANIFEST).read_text())
    need(manifest["rows"] == rows, "rows are missing")
    result["jsonl_bytes"] = sum(part["bytes"] for part in manifest["parts"])
    if not many and not full:
        need(digest(parts_of(target)) == digest([single]), "parts are not the single file")
        result["equal_to_single"] = True
    target = place / "parquet"
    seen = watch(command("batch", model, source, target, *common), target, parts)
    result["parquet"] = rate(rows, seen)
    result["parquet_bytes"] = sum(path.stat().st_size for path in parts_of(target))
    if words.ray and full:
        target = place / "ray"
        seen = watch(
            command("batch", model, source, target, "--format", "jsonl", "--engine", "ray", *common), target, parts
        )
        need((target / MANIFEST).read_bytes() == (place / "clean" / MANIFEST).read_bytes(), "Ray's manifest differs")
        need(digest(parts_of(target)) == digest(parts_of(place / "clean")), "Ray's parts differ")
        result["ray"] = {"seconds": round(seen.seconds, 2), "rows_per_second": round(rows / seen.seconds, 1)}
        result["ray_equal_to_local"] = True
    return result


def _heads(model: str) -> tuple[str, ...]:
    from maeum.folder import head_names

    return head_names(model)


def plan_speed(source: Path, place: Path) -> dict[str, Any]:
    """How fast CSV and JSON lines are cut; Parquet needs its footer only."""
    import csv

    found: dict[str, Any] = {}
    rows = [(row.value["review_id"], row.value["review"]) for row in parquet_rows(Source(source))]
    with (place / "a.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("id", "text"), *rows])
    with (place / "a.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps({"id": id, "text": text}, ensure_ascii=False) + "\n" for id, text in rows)
    shutil.copy(source, place / "a.parquet")
    for name in ("a.csv", "a.jsonl", "a.parquet"):
        begun = time.process_time()
        plan = make_plan(place, [name], BatchSettings())
        seconds = time.process_time() - begun
        need(plan.rows == len(rows), f"{name} was cut into {plan.rows} rows instead of {len(rows)}")
        size = (place / name).stat().st_size
        found[Path(name).suffix[1:]] = {
            "rows_per_second": round(plan.rows / seconds),
            "mb_per_second": round(size / 1e6 / seconds, 1),
            "bytes_per_row": round(size / plan.rows, 1),
        }
    return found


class _NoWork:
    """A pool whose workers need no time."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.waiting: list[Part] = []

    @property
    def free(self) -> int:
        return self.workers - len(self.waiting)

    def give(self, file: InputFile, part: Part) -> None:
        self.waiting.append(part)

    def wait(self) -> list[tuple[int, Done]]:
        part = self.waiting.pop()
        return [(part.number, Done(part.number, part.rows, 0, 1, "0" * 64, 0.0))]


def driver_speed(place: Path) -> dict[str, Any]:
    """Parts a second that one main process hands out and writes down, and the size of its files."""
    parts = tuple(Part(n, 0, n, n + 1, n + 1, PART_ROWS, n + 1) for n in range(DRIVER_PARTS))
    plan = Plan(place, (InputFile("a.parquet", "parquet", Stamp(1, 1, "0" * 64), PART_ROWS * DRIVER_PARTS),), parts)
    target = Output(place / "driver", {"model": "0" * 64})
    target.folder.mkdir()
    target.begin(plan)
    pool: Any = _NoWork(64)
    done: dict[int, Done] = {}
    step: Callable[[int, str], None] = lambda rows, remark: None  # noqa: E731
    begun = time.perf_counter()
    running._drive(pool, plan, list(parts), done, target, step)
    seconds = time.perf_counter() - begun
    plan_bytes = (target.folder / PLAN).stat().st_size
    target.finish({}, plan, done, "parquet")
    return {
        "parts_per_second": round(DRIVER_PARTS / seconds),
        "plan_bytes_per_part": round(plan_bytes / DRIVER_PARTS, 1),
        "manifest_bytes_per_part": round((target.folder / MANIFEST).stat().st_size / DRIVER_PARTS, 1),
    }


def billion(models: list[dict[str, Any]], in_bytes: float) -> str:
    """A billion reviews from the measured rates, as a Markdown table."""
    lines = [
        f"| 모델 | 코어당 행/초 | 코어·시간 | {NODE_CORES}코어 노드 수: 24시간 안에 | 1시간 안에 | 들어가는 것 | 나오는 것 |",
        "|---|---|---|---|---|---|---|",
    ]
    for item in models:
        per_core = item["parquet"]["rows_per_cpu_second"]
        hours = BILLION / per_core / 3600
        out = item["parquet_bytes"] / item["rows"]
        nodes = [-(-hours // (NODE_CORES * limit)) for limit in (24, 1)]
        lines.append(
            f"| {item['model']} | {per_core:,.0f} | {hours:,.0f} | {nodes[0]:,.0f} | {nodes[1]:,.0f} "
            f"| {in_bytes * BILLION / 1e9:,.0f} GB | {out * BILLION / 1e9:,.0f} GB |"
        )
    return "\n".join(lines)


def measured(models: list[dict[str, Any]]) -> str:
    """What was measured, as a Markdown table."""
    lines = [
        "| 모델, 행 | 방법 | 초 | 행/초 | 행/CPU초 | 메모리: 주 프로세스 | 작업자 |",
        "|---|---|---|---|---|---|---|",
    ]
    for item in models:
        for name in ("single", "local", "parquet", "ray"):
            if name in item:
                row = item[name]
                cells = [
                    f"{row[key]:,.0f}" if key in row else "–" for key in ("rows_per_cpu_second", "main_mb", "worker_mb")
                ]
                lines.append(
                    f"| {item['model']}, {item['rows']:,} | {name} | {row['seconds']:,.1f} | {row['rows_per_second']:,.0f} "
                    f"| {' | '.join(cells)} |"
                )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a model folder with one head, the linear one")
    parser.add_argument("--neural", help="a second model (mini, or an exported encoder)")
    parser.add_argument("--neural-rows", type=int, default=20_000)
    parser.add_argument("--data", default=os.environ.get("MAEUM_DATA", "../shared/data"))
    parser.add_argument("--rows", type=int, default=10**9)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--part-rows", type=int, default=PART_ROWS)
    parser.add_argument("--no-ray", dest="ray", action="store_false")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        source = place / "reviews.parquet"
        rows = first_rows(Path(words.data) / "nsmc" / "reviews.parquet", source, words.rows)
        (place / "linear").mkdir()
        models = [run_model(words.model, source, rows, place / "linear", words, full=True)]
        if words.neural:
            few = place / "few.parquet"
            count = first_rows(source, few, words.neural_rows)
            (place / "neural").mkdir()
            # whole batches, so that the model sees the same texts together as in one process
            size = max(BATCH_SIZE, count // (4 * words.workers) // BATCH_SIZE * BATCH_SIZE)
            smaller = argparse.Namespace(**{**vars(words), "part_rows": size})
            models.append(run_model(words.neural, few, count, place / "neural", smaller, full=False))
        plan, driver = plan_speed(source, place), driver_speed(place)
    print(measured(models), billion(models, plan["parquet"]["bytes_per_row"]), sep="\n\n")
    print(json.dumps({"plan": plan, "driver": driver}, indent=1))
    print(save("batch", {"models": models, "plan": plan, "driver": driver, "workers": words.workers}))


if __name__ == "__main__":
    main()
