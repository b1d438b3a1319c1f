"""``maeum batch`` with real processes: kill -9, dying workers, Ray, several heads, memory that does not grow."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_kit import ok

from maeum.bulk import BatchSettings, Crew, run_batch
from maeum.bulk.local import LocalPool
from maeum.bulk.plan import find_files, make_plan
from maeum.bulk.work import Assignment, Died, Done
from maeum.errors import DataError
from maeum.folder import fingerprint

pytestmark = pytest.mark.slow
WORDS = ("--format", "jsonl", "--part-rows", "64", "--workers", "2")


def write_rows(path: Path, count: int) -> Path:
    with path.open("w", encoding="utf-8") as file:
        for n in range(count):
            file.write(
                json.dumps({"id": f"r{n}", "text": f"{n}번째 하루는 참 길고 고단했다"}, ensure_ascii=False) + "\n"
            )
    return path


def joined(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.glob("part-*.jsonl")))


def start(*words: object, cwd: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "maeum", *map(str, words)],
        cwd=cwd,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "MAEUM_LANG": "en"},
        start_new_session=True,
    )


def children(process: int) -> list[int]:
    """Processes whose parent it is."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            fields = (place / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == process:
            found.append(int(place.name))
    return found


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)


def test_killed_twice_then_resumed_every_row_is_there_once(tmp_path, sample_model):
    model = sample_model("nikl-ea")
    write_rows(tmp_path / "in.jsonl", 12_000)
    ok("predict", model, "in.jsonl", "-o", "whole.jsonl", "-q", cwd=tmp_path)
    command = ("batch", model, "in.jsonl", "out", *WORDS)
    parts = 0
    for _ in range(2):
        before = parts
        process = start(*command, cwd=tmp_path)
        until(lambda before=before: len(list((tmp_path / "out").glob("part-*"))) > before + 5)
        workers = children(process.pid)
        process.send_signal(signal.SIGKILL)  # the main process alone: its workers must go by themselves
        assert process.wait() == -signal.SIGKILL
        until(lambda workers=workers: not any(Path(f"/proc/{pid}").exists() for pid in workers))
        parts = len(list((tmp_path / "out").glob("part-*")))
        assert before + 5 < parts < 188
        assert not (tmp_path / "out" / "manifest.json").exists()
    done = json.loads(ok(*command, "--json", cwd=tmp_path, process=True).stdout)
    assert (done["rows"], done["parts"]) == (12_000, 188)
    assert done["resumed"] >= parts - 4
    assert joined(tmp_path / "out") == (tmp_path / "whole.jsonl").read_bytes()


def test_ctrl_c_leaves_the_parts_that_are_done(tmp_path, sample_model):
    model = sample_model("nikl-ea")
    write_rows(tmp_path / "in.jsonl", 8_000)
    command = ("batch", model, "in.jsonl", "out", *WORDS)
    process = start(*command, cwd=tmp_path)
    until(lambda: len(list((tmp_path / "out").glob("part-*"))) > 3)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(30) == 130
    assert not list((tmp_path / "out").glob(".part*"))
    assert json.loads(ok(*command, "--json", cwd=tmp_path, process=True).stdout)["resumed"] > 3


def test_a_worker_that_is_killed_is_replaced_and_its_part_done_again(tmp_path, sample_model):
    model = sample_model("nikl-ea")
    write_rows(tmp_path / "in.jsonl", 100)
    settings = BatchSettings(format="jsonl", part_rows=50)
    root, names = find_files(tmp_path / "in.jsonl")
    plan = make_plan(root, names, settings)
    (tmp_path / "out").mkdir()
    assignment = Assignment(str(model), fingerprint(model), str(root), str(tmp_path / "out"), settings)
    with LocalPool(assignment, 1) as pool:
        pool.give(plan.files[0], plan.parts[0])
        assert pool.free == 0
        os.kill(pool._hands[0].process.pid, signal.SIGKILL)
        [(number, outcome)] = pool.wait()
        assert (number, pool.free) == (0, 1)
        assert isinstance(outcome, Died)
        assert "SIGKILL" in outcome.en
        assert "memory" in outcome.en
        pool.give(plan.files[0], plan.parts[0])
        [(number, outcome)] = pool.wait()
        assert isinstance(outcome, Done)
        assert outcome.rows == 50


def test_workers_that_die_again_and_again_name_the_part(tmp_path, sample_model, monkeypatch):
    model = sample_model("nikl-ea")
    write_rows(tmp_path / "in.jsonl", 10)
    wait = LocalPool.wait

    def kill(self: LocalPool) -> object:
        for hand in self._hands:
            os.kill(hand.process.pid, signal.SIGKILL)
        return wait(self)

    monkeypatch.setattr(LocalPool, "wait", kill)
    with pytest.raises(DataError, match=r"died 2 times of part 0 \(rows 1–10 of 'in\.jsonl'\).*killed by SIGKILL"):
        run_batch(model, tmp_path / "in.jsonl", tmp_path / "out", crew=Crew(workers=1))


RAY = """
import sys
from maeum.bulk import BatchSettings, Crew, run_batch

model, source, output, rows = sys.argv[1:]
settings = BatchSettings(format="jsonl", part_rows=int(rows))
result = run_batch(model, source, output, settings=settings, crew=Crew("ray", workers=2))
assert result.resumed == 0
"""


def test_ray_writes_the_very_parts_and_manifest_of_local(tmp_path, sample_model):
    pytest.importorskip("ray")
    model = sample_model("nikl-ea")
    write_rows(tmp_path / "in.jsonl", 900)
    settings = BatchSettings(format="jsonl", part_rows=200)
    run_batch(model, tmp_path / "in.jsonl", tmp_path / "local", settings=settings, crew=Crew(workers=2))
    words = [str(model), str(tmp_path / "in.jsonl"), str(tmp_path / "ray"), "200"]
    done = subprocess.run([sys.executable, "-c", RAY, *words], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    names = sorted(path.name for path in (tmp_path / "local").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "ray").iterdir())
    assert len(names) == 6
    for name in names:
        assert (tmp_path / "local" / name).read_bytes() == (tmp_path / "ray" / name).read_bytes()


RAY_DIES = """
import os, signal, sys, threading, time
from maeum.bulk import BatchSettings, Crew, run_batch
from maeum.bulk.ray_engine import RayPool

give, killed = RayPool.give, []


def give_and_kill(self, file, part):
    give(self, file, part)
    if not killed:
        killed.append(part.number)
        actor, _ = next(iter(self._busy.values()))
        self._ray.kill(actor)


RayPool.give = give_and_kill
model, source, output = sys.argv[1:]
settings = BatchSettings(format="jsonl", part_rows=300)
result = run_batch(model, source, output, settings=settings, crew=Crew("ray", workers=1))
assert killed and result.rows == 900, result
"""


def test_a_ray_worker_that_dies_is_replaced(tmp_path, sample_model):
    pytest.importorskip("ray")
    write_rows(tmp_path / "in.jsonl", 900)
    words = [str(sample_model("nikl-ea")), str(tmp_path / "in.jsonl"), str(tmp_path / "ray")]
    done = subprocess.run(
        [sys.executable, "-c", RAY_DIES, *words], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr


def test_all_heads_answer_unless_one_is_asked_for(tmp_path, tiny_base, one_thread):
    import arro3.io

    import maeum
    from maeum.heads import HeadsSettings, read_plan, train_heads

    plan = ""
    for name, kind, keys in (("multi", "multilabel", "가나다"), ("single", "multiclass", "부정")):
        labels = "".join(f'[[labels]]\nkey = "{key}"\n' for key in keys)
        (tmp_path / f"{name}.toml").write_text(f'name = "{name}"\nkind = "{kind}"\n{labels}', encoding="utf-8")
        rows = [{"text": f"{name} {keys[n % len(keys)]} 글 {n}", "labels": [keys[n % len(keys)]]} for n in range(60)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        plan += f'[[sources]]\ndata = "{name}.jsonl"\ntask = "{tmp_path / name}.toml"\n'
    (tmp_path / "plan.toml").write_text(plan, encoding="utf-8")
    options = {"epochs": 1.0, "batch_size": 10, "device": "cpu", "precision": "fp32"}
    settings = HeadsSettings(base=str(tiny_base("e5")), options=options)
    train_heads(read_plan(tmp_path / "plan.toml"), settings, output=tmp_path / "model")
    source = write_rows(tmp_path / "in.jsonl", 30)
    texts = [json.loads(line)["text"] for line in source.read_text().splitlines()]
    heads = {name: head.analyze(texts) for name, head in maeum.load_heads(tmp_path / "model").items()}

    crew = Crew(workers=1)
    run_batch(tmp_path / "model", source, tmp_path / "pq", settings=BatchSettings(part_rows=20), crew=crew)
    table = arro3.io.read_parquet(str(tmp_path / "pq" / "part-00001.parquet")).read_all()
    assert table.schema.names == [
        "id", "text", "target", "multi.labels", "multi.가", "multi.나", "multi.다", "single.labels", "single.부", "single.정",
    ]  # fmt: skip
    scores = [item.scores["정"] for item in heads["single"][20:]]
    assert table["single.정"].to_pylist() == pytest.approx(scores, abs=1e-6)
    run_batch(tmp_path / "model", source, tmp_path / "js", settings=BatchSettings(format="jsonl"), crew=crew)
    row = json.loads(joined(tmp_path / "js").splitlines()[3])
    assert row["labels_by_task"] == {name: list(found[3].labels) for name, found in heads.items()}
    assert set(row["scores"]) == {"multi", "single"}
    one = BatchSettings(format="csv", task="single")
    run_batch(tmp_path / "model", source, tmp_path / "one", settings=one, crew=crew)
    header = (tmp_path / "one" / "part-00000.csv").read_text(encoding="utf-8-sig").splitlines()[0]
    assert header == "id,text,target,labels,부,정"
